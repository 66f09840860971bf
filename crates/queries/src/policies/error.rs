use plinth_connections::ConnectionError;
use plinth_core::{Classify, ErrorKind, StoreError};
use plinth_schema_introspect::SchemaError;
use plinth_tenancy::MemberId;
use serde_json::{Value, json};

use super::PolicyId;
use crate::RunError;

/// Why a policy was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A field breaks a rule.
    #[error("{field}: {message}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// What is wrong.
        message: String,
    },
    /// No such policy of this connection.
    #[error("there is no policy {0} of this connection")]
    NotFound(PolicyId),
    /// No such member.
    #[error("there is no member {0}")]
    MemberNotFound(MemberId),
    /// The connection has one of that name.
    #[error("this connection has a policy of that name already")]
    NameTaken,
    /// The connection has as many as it may.
    #[error("a connection has at most {0} policies")]
    TooMany(usize),
    /// It has changed since the caller read it.
    #[error("the policy has changed since you read it; read it again")]
    Changed,
    /// Whoever is bound by a connection's policies does not change them.
    #[error(
        "policies of this connection bind you; somebody whom they do not bind, or the owner, may change them"
    )]
    Bound,
    /// No such connection, or it cannot be reached.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The schema could not be read.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The database does not take the condition.
    #[error("the database does not take it: {0}")]
    Database(RunError),
    /// Our own storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PolicyError {
    pub(crate) fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { field, message: message.into() }
    }
}

impl Classify for PolicyError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. } | Self::Database(RunError::Database(_)) | Self::TooMany(_) => {
                ErrorKind::Invalid
            }
            Self::NotFound(_) | Self::MemberNotFound(_) => ErrorKind::NotFound,
            Self::NameTaken => ErrorKind::Conflict,
            Self::Changed => ErrorKind::PreconditionFailed,
            Self::Bound => ErrorKind::Forbidden,
            Self::Connection(err) => err.kind(),
            Self::Schema(err) => err.kind(),
            Self::Database(err) => err.kind(),
            Self::Store(err) => err.kind(),
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::Invalid { field, message } => Some(json!({ *field: message })),
            Self::NameTaken => Some(json!({ "name": self.to_string() })),
            Self::Bound => Some(json!({ "reason": "bound_by_policy" })),
            Self::Connection(err) => err.details(),
            Self::Schema(err) => err.details(),
            Self::Database(err @ RunError::Database(_)) => {
                Some(json!({ "rows": self.to_string(), "database": err.details() }))
            }
            Self::Database(err) => err.details(),
            Self::NotFound(_)
            | Self::MemberNotFound(_)
            | Self::TooMany(_)
            | Self::Changed
            | Self::Store(_) => None,
        }
    }
}
