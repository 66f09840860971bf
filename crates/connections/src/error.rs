use plinth_core::{Classify, ErrorKind, StoreError};
use serde_json::{Value, json};

use crate::writes::WriteConnectionId;
use crate::{ConnectionId, ConnectionName, Diagnosis, InvalidTransport, KeyError};

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
    /// It may not be used now.
    #[error("{}", .0.text())]
    Inactive(Inactive),
    /// It was changed after the caller read it.
    #[error(
        "the connection was changed since you read it: read it again and send what you want changed"
    )]
    Changed,
    /// Plinth runs the database itself.
    #[error("Plinth runs this database itself, so how it is reached cannot be changed")]
    Managed,
    /// A key for test connections may not touch what others use.
    #[error(
        "a key for test connections can neither take the mark of a test connection away nor make one primary"
    )]
    TestKey,
    /// No such write connection in this organization.
    #[error("there is no write connection {0}")]
    WriteNotFound(WriteConnectionId),
    /// What writes needs a role of its own.
    #[error(
        "a write connection needs a role of its own: this one is the role that the connection reads with"
    )]
    ReadingRole,
    /// The table of keys cannot be made or used in the target.
    #[error("the table of keys cannot be used: {0}")]
    KeyTable(String),
    /// A certificate, a key or a tunnel that cannot be used.
    #[error(transparent)]
    Transport(#[from] InvalidTransport),
    /// A stored credential could not be opened, or a new one not sealed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Our own storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Diagnosis> for ConnectionError {
    fn from(diagnosis: Diagnosis) -> Self {
        Self::Unreachable(Box::new(diagnosis))
    }
}

/// Why a connection may not be used, with what to tell about it.
#[derive(Clone, Debug, PartialEq)]
pub enum Inactive {
    /// Somebody switched it off.
    ByPerson,
    /// Background checks failed several times in a row.
    ByHealth(Option<Box<Diagnosis>>),
}

impl Inactive {
    fn text(&self) -> String {
        match self {
            Self::ByPerson => "this connection is switched off; an admin can switch it on again".to_owned(),
            Self::ByHealth(Some(diagnosis)) => format!(
                "this connection is not used for now, because its database did not answer several times in a row: {}",
                diagnosis.title
            ),
            Self::ByHealth(None) => "this connection is not used for now, because its database did not answer several times in a row".to_owned(),
        }
    }

    fn details(&self) -> Value {
        match self {
            Self::ByPerson => {
                json!({ "reason": "connection_inactive", "inactive_reason": "switched_off" })
            }
            Self::ByHealth(diagnosis) => json!({
                "reason": "connection_inactive", "inactive_reason": "unhealthy", "diagnosis": diagnosis,
            }),
        }
    }
}

/// Which rule the input breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConnection {
    /// Something that is needed was not said: the field's name.
    #[error("`{0}` is needed")]
    Missing(&'static str),
    /// See [`ConnectionName`].
    #[error("a name has 1 to 100 characters and no control characters")]
    Name,
    /// See [`crate::Description`].
    #[error("a description has at most 2000 characters and no control characters")]
    Description,
    /// See [`crate::Host`].
    #[error("a host is one DNS name or one IP address, without port, path or list")]
    Host,
    /// A port is 1 to 65535.
    #[error("a port is a number from 1 to 65535")]
    Port,
    /// See [`crate::SslMode`].
    #[error("ssl_mode is one of disable, prefer, require, verify-ca, verify-full")]
    SslMode,
    /// See [`crate::ModelPrivacy`].
    #[error("model_privacy is one of schema_only, sample_values, results")]
    ModelPrivacy,
    /// The database's name.
    #[error("a database's name has 1 to 63 bytes and no control characters")]
    Database,
    /// The role's name.
    #[error("a username has 1 to 63 bytes and no control characters")]
    Username,
    /// The password.
    #[error("a password has at most 1024 bytes and no NUL")]
    Password,
    /// Nothing may be written through it.
    #[error("name the tables that may be written, or the procedures that may be called")]
    NothingListed,
    /// A list that is too long.
    #[error("at most 200 tables and 200 procedures can be listed")]
    TooManyListed,
    /// How many rows a statement may change.
    #[error("a statement may change 1 to 1000000 rows")]
    MaxRows,
    /// The table of keys is Plinth's own.
    #[error("the table `plinth_write_keys` is written by Plinth alone; take it off the list")]
    KeyTableListed,
    /// The schema of the table of keys.
    #[error("a schema has 1 to 63 bytes and no control characters")]
    KeySchema,
    /// The kept password would be sent to another place, or be less protected on its way.
    #[error(
        "give the password again: where it is sent to changes, or how it is protected on its way there"
    )]
    PasswordAgain,
}

impl InvalidConnection {
    /// The field of the request that it is about.
    pub fn field(self) -> &'static str {
        match self {
            Self::Missing(field) => field,
            Self::Name => "name",
            Self::Description => "description",
            Self::Host => "host",
            Self::Port => "port",
            Self::SslMode => "ssl_mode",
            Self::ModelPrivacy => "model_privacy",
            Self::Database => "database",
            Self::Username => "username",
            Self::NothingListed | Self::TooManyListed | Self::KeyTableListed => "tables",
            Self::MaxRows => "max_rows",
            Self::KeySchema => "key_schema",
            Self::Password | Self::PasswordAgain => "password",
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
            Self::NotFound(_) | Self::WriteNotFound(_) => ErrorKind::NotFound,
            Self::ReadingRole | Self::KeyTable(_) => ErrorKind::Invalid,
            Self::Unreachable(_) => ErrorKind::Connection,
            Self::NameTaken(_) | Self::Inactive(_) | Self::Managed => ErrorKind::Conflict,
            Self::Changed => ErrorKind::PreconditionFailed,
            Self::TestKey => ErrorKind::Forbidden,
            Self::Transport(err) => err.kind(),
            Self::Key(err) => err.kind(),
            Self::Store(err) => err.kind(),
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::Invalid(err) => err.details(),
            Self::Unreachable(diagnosis) => Some(json!({ "diagnosis": diagnosis })),
            Self::Inactive(why) => Some(why.details()),
            Self::Managed => Some(json!({ "reason": "managed" })),
            Self::TestKey => Some(json!({ "reason": "test_key" })),
            Self::Transport(err) => err.details(),
            Self::NameTaken(_) => Some(json!({ "name": self.to_string() })),
            Self::ReadingRole => Some(json!({ "username": self.to_string() })),
            Self::KeyTable(text) => Some(json!({ "key_schema": text })),
            Self::NotFound(_)
            | Self::WriteNotFound(_)
            | Self::Changed
            | Self::Key(_)
            | Self::Store(_) => None,
        }
    }
}
