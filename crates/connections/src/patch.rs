use jiff::Timestamp;
use secrecy::SecretString;

use crate::{
    Activity, AllowedTables, ChannelBinding, Connection, ConnectionError, ConnectionName,
    DEFAULT_PORT, Description, Health, Host, InvalidConnection, InvalidTransport, Login,
    ModelPrivacy, Place, SslMode, TlsMaterial, TransportField, Tunnel, TunnelCredential,
};

#[cfg(test)]
mod tests;

/// What is to be done with something that can also be nothing: left, taken away, or set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is taken away.
    Clear,
    /// It becomes this.
    Set(T),
}

impl<T> Patch<T> {
    /// What there is afterwards.
    pub fn apply(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Keep => before,
            Self::Clear => None,
            Self::Set(it) => Some(it),
        }
    }

    /// Whether nothing is to be done.
    pub fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }
}

/// What to change of a connection; all that is not said stays.
#[derive(Clone, Debug, Default)]
pub struct ConnectionPatch {
    /// See [`Connection::name`].
    pub name: Option<ConnectionName>,
    /// See [`Connection::description`].
    pub description: Patch<Description>,
    /// How it is reached.
    pub login: LoginPatch,
    /// See [`Connection::allowed_tables`].
    pub allowed_tables: Option<AllowedTables>,
    /// See [`Connection::is_test`].
    pub is_test: Option<bool>,
    /// See [`Connection::is_primary`].
    pub is_primary: Option<bool>,
    /// Whether it may be used.
    pub is_active: Option<bool>,
    /// See [`Connection::sampling`].
    pub sampling: Option<bool>,
    /// See [`Connection::model_privacy`].
    pub model_privacy: Option<ModelPrivacy>,
}

/// What to change of how a database is reached.
#[derive(Clone, Debug, Default)]
pub struct LoginPatch {
    /// Plinth itself changes the password of a role that it made on a server that it runs. Nobody else can change how
    /// such a database is reached.
    pub by_plinth: bool,
    /// The database's host.
    pub host: Option<Host>,
    /// Its port.
    pub port: Option<u16>,
    /// See [`Login::database`].
    pub database: Option<String>,
    /// See [`Login::username`].
    pub username: Option<String>,
    /// See [`Login::password`].
    pub password: Option<SecretString>,
    /// See [`Login::ssl_mode`].
    pub ssl_mode: Option<SslMode>,
    /// A mode below which it shall not be: what is stronger stays.
    pub ssl_mode_at_least: Option<SslMode>,
    /// Certificate authorities as PEM.
    pub roots: Patch<String>,
    /// The client's certificate as PEM.
    pub certificate: Patch<String>,
    /// Its private key as PEM.
    pub client_key: Patch<SecretString>,
    /// See [`TlsMaterial::channel_binding`].
    pub channel_binding: Option<ChannelBinding>,
    /// The bastion.
    pub tunnel: Patch<TunnelPatch>,
}

/// What to change of a bastion; where there is none yet, all that it needs has to be said.
#[derive(Clone, Debug, Default)]
pub struct TunnelPatch {
    /// See [`Tunnel::host`].
    pub host: Option<String>,
    /// See [`Tunnel::port`].
    pub port: Option<u16>,
    /// See [`Tunnel::username`].
    pub username: Option<String>,
    /// A password instead of what logged in before.
    pub password: Option<SecretString>,
    /// A private key instead of what logged in before.
    pub private_key: Option<SecretString>,
    /// What opens that private key.
    pub passphrase: Option<SecretString>,
    /// See [`Tunnel::host_key`].
    pub host_key: Option<String>,
}

impl LoginPatch {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        let Self {
            by_plinth: _,
            host,
            port,
            database,
            username,
            password,
            ssl_mode,
            ssl_mode_at_least,
            roots,
            certificate,
            client_key,
            channel_binding,
            tunnel,
        } = self;
        host.is_none()
            && port.is_none()
            && database.is_none()
            && username.is_none()
            && password.is_none()
            && ssl_mode.is_none()
            && ssl_mode_at_least.is_none()
            && channel_binding.is_none()
            && roots.is_keep()
            && certificate.is_keep()
            && client_key.is_keep()
            && tunnel.is_keep()
    }

    /// A login made of nothing else.
    ///
    /// # Errors
    ///
    /// - [`InvalidConnection::Missing`] naming what is needed and was not said.
    /// - [`ConnectionError::Transport`] if certificates, key or tunnel cannot be used.
    pub fn complete(self, now: Timestamp) -> Result<Login, ConnectionError> {
        let missing = InvalidConnection::Missing;
        let place = Place::Typed {
            host: self.host.ok_or(missing("host"))?,
            port: self.port.unwrap_or(DEFAULT_PORT),
        };
        let database = self.database.ok_or(missing("database"))?;
        let username = self.username.ok_or(missing("username"))?;
        let password = self.password.ok_or(missing("password"))?;
        let (roots, certificate) = (self.roots.apply(None), self.certificate.apply(None));
        let key = self.client_key.apply(None);
        let binding = self.channel_binding.unwrap_or_default();
        let tls = TlsMaterial::parse(
            roots.as_deref(),
            certificate.as_deref(),
            key.as_ref(),
            binding,
            now,
        )?;
        let tunnel = match self.tunnel {
            Patch::Set(tunnel) => Some(tunnel.apply(None)?),
            Patch::Keep | Patch::Clear => None,
        };
        let ssl_mode = self.ssl_mode.unwrap_or_default();
        let ssl_mode = ssl_mode.max(self.ssl_mode_at_least.unwrap_or(ssl_mode));
        Ok(Login { place, database, username, password, ssl_mode, tls, tunnel })
    }

    /// The login after the change. A kept password goes only where it was given for, as well protected as then: whoever
    /// may change a connection may not read its password, and else had only to send it to a server of their own.
    ///
    /// # Errors
    ///
    /// - [`InvalidConnection::PasswordAgain`] if another place or a weaker protection comes without a password.
    /// - [`ConnectionError::Managed`] if Plinth runs the database.
    /// - [`ConnectionError::Transport`] if certificates, key or tunnel do not fit together then.
    pub fn apply(self, before: &Login, now: Timestamp) -> Result<Login, ConnectionError> {
        if self.is_empty() {
            return Ok(before.clone());
        }
        let place = match &before.place {
            Place::Typed { host, port } => Place::Typed {
                host: self.host.unwrap_or_else(|| host.clone()),
                port: self.port.unwrap_or(*port),
            },
            managed @ Place::Managed { .. } if self.by_plinth => managed.clone(),
            Place::Managed { .. } => return Err(ConnectionError::Managed),
        };
        let ssl_mode = self.ssl_mode.unwrap_or(before.ssl_mode);
        let ssl_mode = ssl_mode.max(self.ssl_mode_at_least.unwrap_or(ssl_mode));
        let tls_changes =
            !(self.roots.is_keep() && self.certificate.is_keep() && self.client_key.is_keep());
        let binding = self.channel_binding.unwrap_or(before.tls.channel_binding);
        // What is not touched is not judged again: an authority may have expired meanwhile, and a new password is still
        // a new password.
        let tls = if tls_changes {
            let client = before.tls.client();
            let roots = self.roots.apply(before.tls.roots().map(str::to_owned));
            let certificate = self.certificate.apply(client.map(|it| it.chain().to_owned()));
            let key = self.client_key.apply(client.map(|it| it.key().clone()));
            TlsMaterial::parse(
                roots.as_deref(),
                certificate.as_deref(),
                key.as_ref(),
                binding,
                now,
            )?
        } else {
            let mut tls = before.tls.clone();
            tls.channel_binding = binding;
            tls
        };
        let tunnel = match self.tunnel {
            Patch::Keep => before.tunnel.clone(),
            Patch::Clear => None,
            Patch::Set(patch) => Some(patch.apply(before.tunnel.as_ref())?),
        };
        let is_exposed = place != before.place
            || is_other_way(before.tunnel.as_ref(), tunnel.as_ref())
            || is_weaker((before.ssl_mode, &before.tls), (ssl_mode, &tls));
        if is_exposed && self.password.is_none() {
            return Err(InvalidConnection::PasswordAgain.into());
        }
        Ok(Login {
            place,
            database: self.database.unwrap_or_else(|| before.database.clone()),
            username: self.username.unwrap_or_else(|| before.username.clone()),
            password: self.password.unwrap_or_else(|| before.password.clone()),
            ssl_mode,
            tls,
            tunnel,
        })
    }
}

/// Whether another bastion than before stands between us and the database, or one where there was none, or none any more:
/// then the same host's name can be another machine.
fn is_other_way(before: Option<&Tunnel>, after: Option<&Tunnel>) -> bool {
    match (before, after) {
        (None, None) => false,
        (Some(before), Some(after)) => after.is_other_than(before),
        (None, Some(_)) | (Some(_), None) => true,
    }
}

/// Whether somebody in between could learn more of a login than before.
fn is_weaker(before: (SslMode, &TlsMaterial), after: (SslMode, &TlsMaterial)) -> bool {
    let ((old_mode, old), (new_mode, new)) = (before, after);
    let other_authorities = match (old.roots(), new.roots()) {
        (None, None) => false,
        // Nothing was checked before, so whoever is trusted now is one more check. But `prefer` goes without TLS where
        // the check fails, and from `verify-ca` on the machine's authorities counted.
        (None, Some(_)) => old_mode >= SslMode::VerifyCa || new_mode == SslMode::Prefer,
        (Some(old), new) => new != Some(old),
    };
    other_authorities || new_mode < old_mode || new.channel_binding < old.channel_binding
}

impl TunnelPatch {
    /// The bastion after the change. What logs in there goes only to the bastion that it was given for.
    ///
    /// # Errors
    ///
    /// [`InvalidTransport`] naming the field; it is the one that logs in if host, port or host key become others without
    /// it.
    pub fn apply(self, before: Option<&Tunnel>) -> Result<Tunnel, InvalidTransport> {
        let needed = |field| InvalidTransport::missing(field);
        let host = self.host.or_else(|| before.map(|it| it.host.to_string()));
        let username = self.username.or_else(|| before.map(|it| it.username.clone()));
        let host_key = self.host_key.or_else(|| before.map(|it| it.host_key.to_string()));
        let port = self.port.or_else(|| before.map(|it| it.port));
        // Whoever gives a part of what logs in gives all of it: an old passphrase says nothing of a new key.
        let given =
            self.password.is_some() || self.private_key.is_some() || self.passphrase.is_some();
        let (password, private_key, passphrase) = match before.map(|it| it.credential.clone()) {
            Some(TunnelCredential::Password(password)) if !given => (Some(password), None, None),
            Some(TunnelCredential::PrivateKey { key, passphrase }) if !given => {
                (None, Some(key), passphrase)
            }
            _ => (self.password, self.private_key, self.passphrase),
        };
        let after = Tunnel::parse(
            &host.ok_or_else(|| needed(TransportField::TunnelHost))?,
            port,
            &username.ok_or_else(|| needed(TransportField::TunnelUsername))?,
            password.as_ref(),
            private_key.as_ref(),
            passphrase.as_ref(),
            &host_key.ok_or_else(|| needed(TransportField::TunnelHostKey))?,
        )?;
        match before {
            Some(before) if !given && after.is_other_than(before) => {
                Err(InvalidTransport::again(match before.credential {
                    TunnelCredential::Password(_) => TransportField::TunnelPassword,
                    TunnelCredential::PrivateKey { .. } => TransportField::TunnelPrivateKey,
                }))
            }
            _ => Ok(after),
        }
    }
}

impl ConnectionPatch {
    /// The record after the change, with `login` as its new login; all but the revision and the time of the change.
    /// `relogin` says whether anything that dialling depends on is another than before.
    #[must_use]
    pub fn apply(self, before: &Connection, login: &Login, relogin: bool) -> Connection {
        let mut after = Connection {
            name: self.name.unwrap_or_else(|| before.name.clone()),
            description: self.description.apply(before.description.clone()),
            place: login.place.clone(),
            database: login.database.clone(),
            username: login.username.clone(),
            ssl_mode: login.ssl_mode,
            tls: (&login.tls).into(),
            tunnel: login.tunnel.as_ref().map(Into::into),
            allowed_tables: self.allowed_tables.unwrap_or_else(|| before.allowed_tables.clone()),
            is_test: self.is_test.unwrap_or(before.is_test),
            is_primary: self.is_primary.unwrap_or(before.is_primary),
            sampling: self.sampling.unwrap_or(before.sampling),
            model_privacy: self.model_privacy.unwrap_or(before.model_privacy),
            ..before.clone()
        };
        after.activity = match self.is_active {
            Some(true) => Activity::Active,
            Some(false) => Activity::SwitchedOff,
            // Whoever mends the settings wants to use them, and what failed before says nothing of them.
            None if relogin && before.activity == Activity::Lost => Activity::Active,
            None => before.activity,
        };
        if relogin || after.activity != before.activity {
            after.health = Health::default();
        }
        after
    }
}
