use jiff::Timestamp;
use plinth_core::{Classify, ErrorKind, KeyId, StoreError};
use serde_json::{Value, json};

use crate::{InvalidKey, InvalidName, OrganizationName};

/// Why an operation on people and keys failed.
#[derive(Debug, thiserror::Error)]
pub enum TenancyError {
    /// No key, or one that does not work. Never says which: that would tell a stranger what exists.
    #[error("send a valid API key or token as `Authorization: Bearer …`, or a key as `x-api-key`")]
    Unauthenticated,
    /// Input that breaks a rule.
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
    /// Input that breaks a rule.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// Another organization has that name.
    #[error("an organization named `{0}` exists already")]
    NameTaken(OrganizationName),
    /// The setup token is wrong or was used.
    #[error("the setup token is wrong or was used already")]
    WrongToken,
    /// The organization is being deleted.
    #[error("the organization will be deleted at {0}; its owner can restore it until then")]
    Closing(Timestamp),
    /// Who has not the scope `admin` makes no keys here.
    #[error("in this organization only admins make API keys")]
    KeysByAdminsOnly,
    /// A key may not carry more than its maker.
    #[error("a key cannot carry scopes that you do not have")]
    Escalation,
    /// No such key in this organization.
    #[error("there is no key {0}")]
    KeyNotFound(KeyId),
    /// The system gave no random bytes.
    #[error("the system has no randomness")]
    NoRandomness,
    /// Our own storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<getrandom::Error> for TenancyError {
    fn from(_: getrandom::Error) -> Self {
        Self::NoRandomness
    }
}

impl Classify for TenancyError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unauthenticated => ErrorKind::Unauthenticated,
            Self::InvalidName(err) => err.kind(),
            Self::InvalidKey(err) => err.kind(),
            Self::NameTaken(_) | Self::Closing(_) => ErrorKind::Conflict,
            Self::WrongToken | Self::Escalation | Self::KeysByAdminsOnly => ErrorKind::Forbidden,
            Self::KeyNotFound(_) => ErrorKind::NotFound,
            Self::NoRandomness => ErrorKind::Internal,
            Self::Store(err) => err.kind(),
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::InvalidName(err) => err.details(),
            Self::InvalidKey(err) => err.details(),
            Self::Closing(at) => {
                Some(json!({ "reason": "organization_deleting", "deleting_at": at }))
            }
            Self::KeysByAdminsOnly => Some(json!({ "reason": "admins_only" })),
            Self::Escalation => Some(json!({ "reason": "role_escalation_denied" })),
            Self::Unauthenticated
            | Self::NameTaken(_)
            | Self::WrongToken
            | Self::KeyNotFound(_)
            | Self::NoRandomness
            | Self::Store(_) => None,
        }
    }
}
