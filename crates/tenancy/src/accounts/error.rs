use plinth_core::{Classify, ErrorKind, OrgId, SessionId, StoreError};
use serde_json::{Value, json};

use crate::password::{HashError, InvalidPassword};
use crate::signing::SigningError;

/// Why an operation on people and their sessions failed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// No token, or one that does not work. Never says which: that would tell a stranger what exists.
    #[error("send a valid API key or token as `Authorization: Bearer …`, or a key as `x-api-key`")]
    Unauthenticated,
    /// No such person, or another password. Never says which.
    #[error("the e-mail address or the password is wrong")]
    WrongCredentials,
    /// The password that somebody gave to confirm a change is not theirs.
    #[error("the current password is wrong")]
    WrongPassword,
    /// The person does not belong to the organization that they picked.
    #[error("you do not belong to the organization {0}")]
    NotAMember(OrgId),
    /// The person belongs to no organization, and this is about one.
    #[error("you belong to no organization yet; make one or accept an invitation")]
    NoOrganization,
    /// Too many failures; for how many seconds.
    #[error("too many attempts; try again in {0} seconds")]
    Throttled(i64),
    /// Too many people at once.
    #[error("too many people are signing in just now; try again in a moment")]
    Busy,
    /// A new password that breaks a rule.
    #[error("the new password {0}")]
    InvalidPassword(#[from] InvalidPassword),
    /// A link that is not ours, was used, is too old, or was followed by a newer one.
    #[error("this link is not good any more; ask for a new one")]
    InvalidLink,
    /// No such session of this person.
    #[error("there is no session {0}")]
    SessionNotFound(SessionId),
    /// The system gave no random bytes.
    #[error("the system has no randomness")]
    NoRandomness,
    /// Tokens can be neither signed nor checked.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// Our own storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<HashError> for AccountError {
    fn from(err: HashError) -> Self {
        match err {
            HashError::Busy => Self::Busy,
            HashError::NoRandomness => Self::NoRandomness,
        }
    }
}

/// After how many seconds it is worth trying again when too many people sign in at once.
const BUSY_SECONDS: i64 = 1;

impl Classify for AccountError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unauthenticated | Self::WrongCredentials => ErrorKind::Unauthenticated,
            Self::WrongPassword | Self::InvalidPassword(_) | Self::InvalidLink => {
                ErrorKind::Invalid
            }
            Self::NotAMember(_) | Self::NoOrganization => ErrorKind::Forbidden,
            Self::Throttled(_) => ErrorKind::RateLimited,
            Self::Busy => ErrorKind::Unavailable,
            Self::SessionNotFound(_) => ErrorKind::NotFound,
            Self::Store(err) | Self::Signing(SigningError::Store(err)) => err.kind(),
            Self::NoRandomness | Self::Signing(_) => ErrorKind::Internal,
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::WrongPassword => Some(json!({ "current_password": "is wrong" })),
            Self::InvalidPassword(err) => Some(json!({ "password": err.to_string() })),
            Self::InvalidLink => Some(json!({ "token": "is not good any more" })),
            Self::NotAMember(_) => Some(json!({ "reason": "not_a_member" })),
            Self::NoOrganization => Some(json!({ "reason": "no_organization" })),
            Self::Throttled(seconds) => Some(json!({ "retry_after_seconds": seconds })),
            Self::Busy => Some(json!({ "retry_after_seconds": BUSY_SECONDS })),
            Self::Unauthenticated
            | Self::WrongCredentials
            | Self::SessionNotFound(_)
            | Self::NoRandomness
            | Self::Signing(_)
            | Self::Store(_) => None,
        }
    }
}
