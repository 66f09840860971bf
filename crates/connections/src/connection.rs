use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use plinth_core::{OrgId, UserId};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::{AllowedTables, InvalidConnection, TlsMaterial, Tunnel};

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
    /// Where it is.
    pub place: Place,
    /// The database's name on that server.
    pub database: String,
    /// The role to log in as.
    pub username: String,
    /// How the transport is protected.
    pub ssl_mode: SslMode,
    /// What may be read through it.
    pub allowed_tables: AllowedTables,
    /// Whether `plinth_test_…` keys may use it.
    pub is_test: bool,
    /// Who added it.
    pub created_by: UserId,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
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

/// What somebody gives us to connect a database.
#[derive(Debug)]
pub struct NewConnection {
    /// See [`Connection::name`].
    pub name: ConnectionName,
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
    /// See [`Connection::allowed_tables`].
    pub allowed_tables: AllowedTables,
    /// See [`Connection::is_test`].
    pub is_test: bool,
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

/// How the transport is protected, meaning what libpq means by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
        let text = text.trim();
        let length = text.chars().count();
        if length == 0 || length > 100 || text.chars().any(char::is_control) {
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
