use plinth_core::{Classify, ErrorKind, StoreError};
use serde_json::{Value, json};

use crate::{ConnectionId, ConnectionName, Diagnosis};

/// Why an operation on connections failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// Input that breaks a rule.
    #[error(transparent)]
    Invalid(#[from] InvalidConnection),
    /// No such connection in this organization, or not for this key.
    #[error("there is no connection {0}")]
    NotFound(ConnectionId),
    /// Another connection of the organization has that name.
    #[error("a connection named `{0}` already exists")]
    NameTaken(ConnectionName),
    /// The database could not be reached with these settings.
    #[error("the database could not be reached: {}", .0.title)]
    Unreachable(Box<Diagnosis>),
    /// A sealed value did not open: the master key is another one, or the row was tampered with.
    #[error("a stored credential could not be opened")]
    Sealed(#[from] crate::VaultError),
    /// Our own storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Diagnosis> for ConnectionError {
    fn from(diagnosis: Diagnosis) -> Self {
        Self::Unreachable(Box::new(diagnosis))
    }
}

/// Which rule the input breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConnection {
    /// See [`ConnectionName`].
    #[error("a name has 1 to 100 characters and no control characters")]
    Name,
    /// See [`crate::Host`].
    #[error("a host is one DNS name or one IP address, without port, path or list")]
    Host,
    /// A port is 1 to 65535.
    #[error("a port is a number from 1 to 65535")]
    Port,
    /// See [`crate::SslMode`].
    #[error("ssl_mode is one of disable, prefer, require, verify-ca, verify-full")]
    SslMode,
    /// The database's name.
    #[error("a database's name has 1 to 63 bytes and no control characters")]
    Database,
    /// The role's name.
    #[error("a username has 1 to 63 bytes and no control characters")]
    Username,
    /// The password.
    #[error("a password has at most 1024 bytes and no NUL")]
    Password,
}

impl InvalidConnection {
    /// The field of the request that it is about.
    pub fn field(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Host => "host",
            Self::Port => "port",
            Self::SslMode => "ssl_mode",
            Self::Database => "database",
            Self::Username => "username",
            Self::Password => "password",
        }
    }
}

impl Classify for InvalidConnection {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    fn details(&self) -> Option<Value> {
        Some(json!({ self.field(): self.to_string() }))
    }
}

impl Classify for ConnectionError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(err) => err.kind(),
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::NameTaken(_) => ErrorKind::Conflict,
            Self::Unreachable(_) => ErrorKind::Connection,
            Self::Sealed(_) => ErrorKind::Internal,
            Self::Store(err) => err.kind(),
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::Invalid(err) => err.details(),
            Self::Unreachable(diagnosis) => Some(json!({ "diagnosis": diagnosis })),
            Self::NotFound(_) | Self::NameTaken(_) | Self::Sealed(_) | Self::Store(_) => None,
        }
    }
}
