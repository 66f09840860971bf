use plinth_core::{AppId, Classify, ErrorKind, StoreError};
use serde_json::{Value, json};

use super::InvalidApp;
use super::ports::PutAppError;
use crate::AccountError;

/// Why something about apps failed.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A setting breaks a rule.
    #[error(transparent)]
    Invalid(#[from] InvalidApp),
    /// No such app in this organization.
    #[error("there is no app {0}")]
    NotFound(AppId),
    /// The organization has one of that name.
    #[error("there is an app of this name already")]
    NameTaken,
    /// It would ask for more than the caller has.
    #[error("an app cannot be given scopes that you do not have")]
    Escalation,
    /// A public app has no secret to change.
    #[error("a public app has no secret")]
    IsPublic,
    /// The system gave no random bytes.
    #[error("the system has no randomness")]
    NoRandomness,
    /// What concerns the person.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// Our own storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<getrandom::Error> for AppError {
    fn from(_: getrandom::Error) -> Self {
        Self::NoRandomness
    }
}

impl From<PutAppError> for AppError {
    fn from(err: PutAppError) -> Self {
        match err {
            PutAppError::NameTaken => Self::NameTaken,
            PutAppError::Store(err) => err.into(),
        }
    }
}

impl Classify for AppError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(err) => err.kind(),
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::NameTaken | Self::IsPublic => ErrorKind::Conflict,
            Self::Escalation => ErrorKind::Forbidden,
            Self::NoRandomness => ErrorKind::Internal,
            Self::Account(err) => err.kind(),
            Self::Store(err) => err.kind(),
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::Invalid(err) => err.details(),
            Self::Escalation => Some(json!({ "reason": "role_escalation_denied" })),
            Self::Account(err) => err.details(),
            _ => None,
        }
    }
}

/// Why a request for consent cannot be shown to anybody.
#[derive(Debug, thiserror::Error)]
pub enum ConsentError {
    /// Who asks, or where the answer would go, is not known: nobody is sent there. The person is told.
    #[error("{0}")]
    Unknown(&'static str),
    /// The app made a mistake, and is told at its redirect URI.
    #[error("{error}: {description}")]
    Told {
        /// Where.
        redirect_uri: String,
        /// What the app gave to know the answer by.
        state: Option<String>,
        /// The code of RFC 6749, 4.1.2.1.
        error: &'static str,
        /// What is wrong.
        description: &'static str,
    },
    /// Our own storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why no tokens are given, with the codes of RFC 6749, 5.2.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// No such app, or it did not show its secret.
    #[error("the client is unknown, or its secret is wrong")]
    InvalidClient,
    /// The code or the refresh token is not good: unknown, used, too old, another app's, or with another verifier or
    /// redirect URI. Never says which.
    #[error("the code or the refresh token is not good")]
    InvalidGrant,
    /// Something is missing or comes twice.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// Not one of the two that there are.
    #[error("use the grant types authorization_code and refresh_token")]
    UnsupportedGrantType,
    /// Something of ours failed.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// Our own storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl GrantError {
    /// The code; `None` if the fault is ours.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::InvalidClient => Some("invalid_client"),
            Self::InvalidGrant => Some("invalid_grant"),
            Self::InvalidRequest(_) => Some("invalid_request"),
            Self::UnsupportedGrantType => Some("unsupported_grant_type"),
            Self::Account(_) | Self::Store(_) => None,
        }
    }
}
