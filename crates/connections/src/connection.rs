use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use plinth_core::{OrgId, UserId};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::{
    Activity, AllowedTables, ChannelBinding, Health, HostKey, InvalidConnection, TlsMaterial,
    Tunnel, TunnelCredential,
};

plinth_core::typed_id! {
    /// Identifies a connection.
    ConnectionId, "conn"
}

/// A database that an organization connected. Holds no secret: the password is sealed beside it.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Stable for the life of the connection.
    pub id: ConnectionId,
    /// To whom it belongs.
    pub org: OrgId,
    /// Unique among the organization's connections.
    pub name: ConnectionName,
    /// What people wrote about it.
    pub description: Option<Description>,
    /// Where it is.
    pub place: Place,
    /// The database's name on that server.
    pub database: String,
    /// The role to log in as.
    pub username: String,
    /// How the transport is protected.
    pub ssl_mode: SslMode,
    /// Certificates of its own.
    pub tls: TlsSettings,
    /// The bastion it is reached through, if any.
    pub tunnel: Option<TunnelSettings>,
    /// What may be read through it.
    pub allowed_tables: AllowedTables,
    /// Whether `plinth_test_…` keys may use it.
    pub is_test: bool,
    /// Whether it is the one to use when nobody says which; at most one of an organization's is.
    pub is_primary: bool,
    /// Whether it may be used now.
    pub activity: Activity,
    /// Whether values of columns with few different ones are looked at when its schema is read.
    pub sampling: bool,
    /// What of it a language model may see.
    pub model_privacy: ModelPrivacy,
    /// What background checks found.
    pub health: Health,
    /// Counts changes of the record, whoever or whatever made them.
    pub revision: i64,
    /// Who added it.
    pub created_by: UserId,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it was removed; its credentials are gone since.
    pub deleted_at: Option<Timestamp>,
}

/// What of [`TlsMaterial`] may be seen: all but the client's private key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Certificate authorities as PEM; `None` means those of Plinth's machine.
    pub roots: Option<String>,
    /// The client's certificate with its chain, as PEM.
    pub certificate: Option<String>,
    /// Whether the login must be tied to the TLS session.
    pub channel_binding: ChannelBinding,
}

/// What of [`Tunnel`] may be seen: all but what logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelSettings {
    /// See [`Tunnel::host`].
    pub host: Host,
    /// See [`Tunnel::port`].
    pub port: u16,
    /// See [`Tunnel::username`].
    pub username: String,
    /// See [`Tunnel::host_key`].
    pub host_key: HostKey,
}

impl From<&TlsMaterial> for TlsSettings {
    fn from(it: &TlsMaterial) -> Self {
        Self {
            roots: it.roots().map(str::to_owned),
            certificate: it.client().map(|it| it.chain().to_owned()),
            channel_binding: it.channel_binding,
        }
    }
}

impl From<&Tunnel> for TunnelSettings {
    fn from(it: &Tunnel) -> Self {
        Self {
            host: it.host.clone(),
            port: it.port,
            username: it.username.clone(),
            host_key: it.host_key.clone(),
        }
    }
}

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At an address that somebody typed; the egress gate judges it at every dial.
    Typed {
        /// A name or an address.
        host: Host,
        /// The TCP port.
        port: u16,
    },
    /// On a server that Plinth runs itself, whose port is known only to Plinth. Tenants cannot write this.
    Managed {
        /// Which server: `embedded`.
        server: String,
    },
}

impl Place {
    /// The server that Plinth runs for itself.
    pub const EMBEDDED: &str = "embedded";

    /// Whether it may be dialled without anybody asking for it: a server that Plinth runs for others sleeps when nobody
    /// uses it, and dialling would wake it.
    pub fn may_be_checked(&self) -> bool {
        match self {
            Self::Typed { .. } => true,
            Self::Managed { server } => server == Self::EMBEDDED,
        }
    }
}

/// What somebody gives us to connect a database.
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
#[derive(Clone, Debug)]
pub struct NewConnection {
    /// See [`Connection::name`].
    pub name: ConnectionName,
    /// See [`Connection::description`].
    pub description: Option<Description>,
    /// What dialling needs.
    pub login: Login,
    /// See [`Connection::allowed_tables`].
    pub allowed_tables: AllowedTables,
    /// See [`Connection::is_test`].
    pub is_test: bool,
    /// See [`Connection::is_primary`].
    pub is_primary: bool,
    /// Whether it may be used at once.
    pub is_active: bool,
    /// See [`Connection::sampling`].
    pub sampling: bool,
    /// See [`Connection::model_privacy`].
    pub model_privacy: ModelPrivacy,
}

impl NewConnection {
    /// One that may be used at once, for every table that the role may read.
    pub fn new(name: ConnectionName, login: Login) -> Self {
        Self {
            name,
            description: None,
            login,
            allowed_tables: AllowedTables::All,
            is_test: false,
            is_primary: false,
            is_active: true,
            sampling: true,
            model_privacy: ModelPrivacy::default(),
        }
    }
}

/// How to reach a database and log in to it, as somebody gave it, with everything secret in clear.
#[derive(Clone, Debug)]
pub struct Login {
    /// See [`Connection::place`].
    pub place: Place,
    /// See [`Connection::database`].
    pub database: String,
    /// See [`Connection::username`].
    pub username: String,
    /// The role's password; kept sealed, never shown again.
    pub password: SecretString,
    /// See [`Connection::ssl_mode`].
    pub ssl_mode: SslMode,
    /// Certificates of its own; the private key is kept sealed.
    pub tls: TlsMaterial,
    /// The bastion it is reached through, if any; what logs in there is kept sealed.
    pub tunnel: Option<Tunnel>,
}

impl Login {
    /// The secrets that are others than before, as words.
    pub(crate) fn replaced_secrets(&self, before: &Self) -> Vec<&'static str> {
        let mut replaced = Vec::new();
        if self.password.expose_secret() != before.password.expose_secret() {
            replaced.push("password");
        }
        if self.client_key() != before.client_key() {
            replaced.push("ssl_key");
        }
        if self.tunnel_secrets() != before.tunnel_secrets() {
            replaced.push("tunnel credential");
        }
        replaced
    }

    fn client_key(&self) -> Option<&str> {
        self.tls.client().map(|it| it.key().expose_secret())
    }

    /// What logs in to the bastion, and whether it is a key.
    fn tunnel_secrets(&self) -> Option<(bool, &str, Option<&str>)> {
        self.tunnel.as_ref().map(|it| match &it.credential {
            TunnelCredential::Password(password) => (false, password.expose_secret(), None),
            TunnelCredential::PrivateKey { key, passphrase } => {
                let passphrase = passphrase.as_ref().map(ExposeSecret::expose_secret);
                (true, key.expose_secret(), passphrase)
            }
        })
    }

    /// Whether anything that is not secret is another than before.
    pub(crate) fn differs_openly(&self, before: &Self) -> bool {
        let open = |it: &Self| {
            (
                it.place.clone(),
                it.database.clone(),
                it.username.clone(),
                it.ssl_mode,
                TlsSettings::from(&it.tls),
                it.tunnel.as_ref().map(TunnelSettings::from),
            )
        };
        open(self) != open(before)
    }

    /// What to dial: for a connection that is kept, with its version, or to try out.
    pub fn target(&self, org: OrgId, kept: Option<(ConnectionId, i64)>) -> Target {
        Target {
            connection: kept.map(|(id, _)| id),
            org,
            place: self.place.clone(),
            database: self.database.clone(),
            username: self.username.clone(),
            password: self.password.clone(),
            ssl_mode: self.ssl_mode,
            tls: self.tls.clone(),
            tunnel: self.tunnel.clone(),
            version: kept.map_or(1, |(_, version)| version),
        }
    }
}

/// Everything that dialling needs. Lives for one dial; never stored, never printed.
#[derive(Clone, Debug)]
pub struct Target {
    /// The connection it was made from; `None` while trying one out that is not kept.
    pub connection: Option<ConnectionId>,
    /// To whom it belongs: pools are never shared across organizations.
    pub org: OrgId,
    /// See [`Connection::place`].
    pub place: Place,
    /// See [`Connection::database`].
    pub database: String,
    /// See [`Connection::username`].
    pub username: String,
    /// The password in clear.
    pub password: SecretString,
    /// See [`Connection::ssl_mode`].
    pub ssl_mode: SslMode,
    /// Certificates of its own, and how far the login is tied to TLS.
    pub tls: TlsMaterial,
    /// The bastion it is reached through, if any.
    pub tunnel: Option<Tunnel>,
    /// Changes whenever anything that dialling depends on changes, so that pools of the old settings end.
    pub version: i64,
}

impl Target {
    /// The password, for the adapter that logs in.
    pub fn expose_password(&self) -> &str {
        self.password.expose_secret()
    }
}

/// What of a database a language model may see. More is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModelPrivacy {
    /// Names, types, keys, comments and the labels of enums; no value of any row.
    #[default]
    SchemaOnly,
    /// Also a few sampled values of each column.
    SampleValues,
    /// Also the first rows of what it proposes, and what the database says when that fails over them.
    Results,
}

impl ModelPrivacy {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::SchemaOnly, Self::SampleValues, Self::Results];

    /// Its name in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SchemaOnly => "schema_only",
            Self::SampleValues => "sample_values",
            Self::Results => "results",
        }
    }
}

impl std::str::FromStr for ModelPrivacy {
    type Err = InvalidConnection;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or(InvalidConnection::ModelPrivacy)
    }
}

/// How the transport is protected, meaning what libpq means by it. A stronger one is greater.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS if the server has it; no check of who answers.
    #[default]
    Prefer,
    /// TLS or nothing; no check of who answers.
    Require,
    /// TLS with a certificate from a trusted authority, whoever it names.
    VerifyCa,
    /// TLS with a certificate from a trusted authority that names the host.
    VerifyFull,
}

impl SslMode {
    /// Its name in requests and in libpq.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl FromStr for SslMode {
    type Err = InvalidConnection;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Disable, Self::Prefer, Self::Require, Self::VerifyCa, Self::VerifyFull]
            .into_iter()
            .find(|it| it.as_str() == text)
            .ok_or(InvalidConnection::SslMode)
    }
}

/// A name that people pick for a database: 1 to 100 characters, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionName(String);

impl ConnectionName {
    /// Parses what a person typed; surrounding space is dropped.
    ///
    /// # Errors
    ///
    /// [`InvalidConnection::Name`] if it is empty, too long or has control characters.
    pub fn parse(text: &str) -> Result<Self, InvalidConnection> {
        // As long as it was typed: the document can say no other rule.
        let is_long = text.chars().count() > 100;
        let text = text.trim();
        if text.is_empty() || is_long || text.chars().any(char::is_control) {
            return Err(InvalidConnection::Name);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConnectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What people write about a database: 1 to 2,000 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Description(String);

impl Description {
    /// Parses what a person typed; surrounding space is dropped, and nothing but space is no description.
    ///
    /// # Errors
    ///
    /// [`InvalidConnection::Description`] if it is too long, or has control characters other than tab and line breaks.
    pub fn parse(text: &str) -> Result<Option<Self>, InvalidConnection> {
        let control = |it: char| it.is_control() && !matches!(it, '\n' | '\r' | '\t');
        // As it was typed: the document can say no other rule.
        if text.chars().count() > 2000 || text.chars().any(control) {
            return Err(InvalidConnection::Description);
        }
        let text = text.trim();
        Ok((!text.is_empty()).then(|| Self(text.to_owned())))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks a role's password.
///
/// # Errors
///
/// [`InvalidConnection::Password`] if it is longer than 1024 bytes or has a NUL, which the protocol cannot carry.
pub fn password(text: SecretString) -> Result<SecretString, InvalidConnection> {
    let clear = text.expose_secret();
    if clear.len() > 1024 || clear.contains('\0') {
        return Err(InvalidConnection::Password);
    }
    Ok(text)
}

/// A host to dial: a DNS name or an address. No path (that would be a Unix socket), no list, no port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host(String);

impl Host {
    /// Parses what a person typed; surrounding space is dropped.
    ///
    /// # Errors
    ///
    /// [`InvalidConnection::Host`] for anything that is not one name or one address.
    pub fn parse(text: &str) -> Result<Self, InvalidConnection> {
        let text = text.trim();
        let bracketed = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let bare = bracketed.unwrap_or(text);
        if bare.parse::<std::net::IpAddr>().is_ok() {
            return Ok(Self(bare.to_owned()));
        }
        let label = |it: &str| {
            !it.is_empty()
                && it.len() <= 63
                && it.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        let name = bare.strip_suffix('.').unwrap_or(bare);
        if bracketed.is_some() || name.len() > 253 || !name.split('.').all(label) {
            return Err(InvalidConnection::Host);
        }
        Ok(Self(bare.to_ascii_lowercase()))
    }

    /// The host as text, without brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The longest name of a database or role that Postgres keeps, in bytes (`NAMEDATALEN` less one).
const NAME_BYTES: usize = 63;

/// Checks the name of a database or a role.
///
/// # Errors
///
/// `wrong` if it is empty, longer than Postgres keeps, or has a control character.
pub fn server_name(text: String, wrong: InvalidConnection) -> Result<String, InvalidConnection> {
    let good = !text.is_empty() && text.len() <= NAME_BYTES && !text.chars().any(char::is_control);
    if good { Ok(text) } else { Err(wrong) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_parsed_name_parses_to_itself(text in ".{0,120}") {
            if let Ok(name) = ConnectionName::parse(&text) {
                prop_assert_eq!(&ConnectionName::parse(name.as_str()).unwrap(), &name);
            }
        }

        #[test]
        fn a_parsed_host_parses_to_itself(text in "[a-zA-Z0-9._:\\[\\]/, -]{0,60}") {
            if let Ok(host) = Host::parse(&text) {
                prop_assert_eq!(&Host::parse(host.as_str()).unwrap(), &host);
            }
        }
    }

    #[test]
    fn a_host_is_one_name_or_one_address() {
        for good in [
            "db.example.com",
            "DB_1.internal",
            "10.0.0.1",
            "::1",
            "[2001:db8::1]",
            "db.example.com.",
        ] {
            assert!(Host::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            " ",
            "/var/run/postgresql",
            "a,b",
            "a:5432",
            "a b",
            "user@host",
            "[db]",
            "a..b",
            "é.test",
        ] {
            assert!(Host::parse(bad).is_err(), "{bad}");
        }
    }
}
