use plinth_connections::KeyError;
use plinth_core::{Classify, ErrorKind, InvalidCursor, StoreError};
use serde_json::{Value, json};

use super::CredentialId;

/// Why something about credentials was not done.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// A field breaks a rule.
    #[error("{field}: {rule}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong.
        rule: String,
    },
    /// There is one of that name.
    #[error("a credential named `{0}` already exists")]
    NameTaken(String),
    /// The organization has as many as it may.
    #[error("there are {0} credentials already; remove some")]
    TooMany(i64),
    /// No such credential in this organization.
    #[error("there is no credential {0}")]
    NotFound(CredentialId),
    /// It is another member's, and what is sent with it is another's too.
    #[error(
        "another member made this credential, and workflows use it: its maker or an admin may do that"
    )]
    NotYours,
    /// It has changed since it was read.
    #[error("the credential has changed since you read it")]
    Changed,
    /// See [`InvalidCursor`].
    #[error(transparent)]
    Cursor(#[from] InvalidCursor),
    /// The secret could not be sealed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Our own storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CredentialError {
    pub(super) fn field(field: &'static str, rule: impl Into<String>) -> Self {
        Self::Field { field, rule: rule.into() }
    }
}

impl Classify for CredentialError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Field { .. } => ErrorKind::Invalid,
            Self::NameTaken(_) | Self::TooMany(_) => ErrorKind::Conflict,
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::NotYours => ErrorKind::Forbidden,
            Self::Changed => ErrorKind::PreconditionFailed,
            Self::Cursor(err) => err.kind(),
            Self::Key(err) => err.kind(),
            Self::Store(err) => err.kind(),
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::Field { field, rule } => Some(json!({ *field: rule })),
            Self::NameTaken(_) => Some(json!({ "name": "taken" })),
            Self::Cursor(err) => err.details(),
            _ => None,
        }
    }
}
