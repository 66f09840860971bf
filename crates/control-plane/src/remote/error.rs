use plinth_connections::KeyError;
use plinth_core::{Classify, ErrorKind, InvalidCursor, PermitError, StoreError};
use serde_json::{Value, json};

/// Why something about a remote, or a project that lives at one, was not done.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// A field breaks a rule.
    #[error("{field}: {rule}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong.
        rule: String,
    },
    /// There is one of that name.
    #[error("a remote named `{0}` already exists")]
    NameTaken(String),
    /// The project is known here already.
    #[error("project already exists; project_name:\"{0}\"")]
    ProjectKnown(String),
    /// The organization has as many as it may.
    #[error("there are {0} remotes already; remove some")]
    TooMany(i64),
    /// No such thing in this organization.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// It has changed since it was read.
    #[error("the remote has changed since you read it")]
    Changed,
    /// Projects live there.
    #[error(
        "projects live at the remote: delete them, or let them go with `DELETE /v1/remotes/{{id}}/projects/{{project_id}}`"
    )]
    InUse,
    /// What is asked for is done at the remote itself.
    #[error("{0}")]
    There(&'static str),
    /// The call came from a server that passed it on already.
    #[error("a project of a remote cannot live at a third server")]
    Loop,
    /// The remote takes its secret no more.
    #[error(
        "the remote `{0}` does not take its key: set another one with `PATCH /v1/remotes/{{id}}`, or sign in anew with `POST /v1/remotes/{{id}}/authorization`"
    )]
    KeyRefused(String),
    /// Nobody has signed in to it, or it renews its token no more.
    #[error(
        "nobody is signed in to the remote `{0}`: begin with `POST /v1/remotes/{{id}}/authorization`"
    )]
    NotConnected(String),
    /// Nothing was done there: it can be tried again.
    #[error(
        "the remote `{remote}` could not be reached ({why}); nothing was done there. Try again in a moment, and look at `POST /v1/remotes/{{id}}/test` if it stays so"
    )]
    Away {
        /// Its name.
        remote: String,
        /// What happened.
        why: String,
    },
    /// The call may have been carried out.
    #[error(
        "the remote `{remote}` did not answer as it should ({why}); whether it was done there is not known: look before you try again"
    )]
    Unknown {
        /// Its name.
        remote: String,
        /// What happened.
        why: String,
    },
    /// The answer was lost, and what the call was to make is there.
    #[error(
        "the remote `{remote}` did not answer as it should, but {what}: look at it before you try again"
    )]
    AnswerLost {
        /// Its name.
        remote: String,
        /// What is there now.
        what: String,
    },
    /// What the remote said, in its own words.
    #[error("{message}")]
    Said {
        /// With which status, of 400 and above.
        status: u16,
        /// Its word for programs; empty where the status says everything.
        code: String,
        /// Its words for people.
        message: String,
        /// After how many seconds to try again, where it says so.
        retry_after_seconds: Option<u64>,
    },
    /// The caller may not.
    #[error(transparent)]
    Permit(#[from] PermitError),
    /// See [`InvalidCursor`].
    #[error(transparent)]
    Cursor(#[from] InvalidCursor),
    /// The secret could not be sealed or opened.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Our own storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RemoteError {
    pub(super) fn field(field: &'static str, rule: impl Into<String>) -> Self {
        Self::Field { field, rule: rule.into() }
    }
}

impl Classify for RemoteError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Field { .. } | Self::There(_) | Self::Loop => ErrorKind::Invalid,
            // Trying again does not help: somebody has to sign in first.
            Self::NameTaken(_)
            | Self::ProjectKnown(_)
            | Self::TooMany(_)
            | Self::InUse
            | Self::NotConnected(_) => ErrorKind::Conflict,
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Changed => ErrorKind::PreconditionFailed,
            Self::KeyRefused(_) | Self::Away { .. } => ErrorKind::Unavailable,
            Self::Unknown { .. } | Self::AnswerLost { .. } => ErrorKind::Connection,
            Self::Said { status, .. } => match status {
                403 => ErrorKind::Forbidden,
                404 => ErrorKind::NotFound,
                409 => ErrorKind::Conflict,
                412 => ErrorKind::PreconditionFailed,
                413 => ErrorKind::PayloadTooLarge,
                423 => ErrorKind::Busy,
                429 => ErrorKind::RateLimited,
                _ => ErrorKind::Invalid,
            },
            Self::Permit(err) => err.kind(),
            Self::Cursor(err) => err.kind(),
            Self::Key(err) => err.kind(),
            Self::Store(err) => err.kind(),
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::Field { field, rule } => Some(json!({ *field: rule })),
            Self::NameTaken(_) => Some(json!({ "name": "taken" })),
            Self::ProjectKnown(_) => Some(json!({ "code": "PROJECT_ALREADY_EXISTS" })),
            Self::There(_) | Self::Loop => Some(json!({ "code": "NOT_AVAILABLE" })),
            Self::NotConnected(_) => Some(json!({ "code": "REMOTE_NOT_CONNECTED" })),
            Self::KeyRefused(_) => Some(json!({ "code": "REMOTE_KEY_REFUSED" })),
            Self::Away { .. } => {
                Some(json!({ "code": "REMOTE_UNAVAILABLE", "retry_after_seconds": 5 }))
            }
            Self::Unknown { .. } => Some(json!({ "code": "REMOTE_OUTCOME_UNKNOWN" })),
            Self::AnswerLost { .. } => Some(json!({ "code": "REMOTE_ANSWER_LOST" })),
            Self::Said { code, retry_after_seconds, .. } => {
                let mut details = json!({ "code": code });
                if let Some(seconds) = retry_after_seconds {
                    details["retry_after_seconds"] = json!(seconds);
                }
                Some(details)
            }
            Self::Permit(err) => err.details(),
            Self::Cursor(err) => err.details(),
            _ => None,
        }
    }
}
