use std::error::Error;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a caller can do about an error. Each route family has one renderer that makes its body and status from this,
/// and only from this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The request breaks a rule; sending it again will not help.
    Invalid,
    /// No valid credentials came with the request.
    Unauthenticated,
    /// The caller is known but may not do this.
    Forbidden,
    /// The thing does not exist, or the caller may not know that it does.
    NotFound,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// The state of the thing does not allow it.
    Conflict,
    /// Something else is being done with the thing; trying again in a moment is safe.
    Busy,
    /// The thing has changed since the caller read it.
    PreconditionFailed,
    /// The body is larger than we take.
    PayloadTooLarge,
    /// Too many requests; wait.
    RateLimited,
    /// What the organization may spend is spent.
    BudgetExceeded,
    /// The customer's database refused or failed the statement.
    Query,
    /// The statement ran into its time limit.
    QueryTimeout,
    /// The statement was cancelled on request.
    QueryCancelled,
    /// The customer's database could not be reached, or went away.
    Connection,
    /// Something of ours is down or overloaded; try again later.
    Unavailable,
    /// A bug or broken data on our side.
    Internal,
}

impl ErrorKind {
    /// Whether the fault is on our side, so that its details stay there too.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Unavailable | Self::Internal)
    }
}

/// Errors that can be shown to a client. Deliberately not implemented for `anyhow::Error`.
pub trait Classify: Error + Send + Sync + 'static {
    /// What the caller can do about it.
    fn kind(&self) -> ErrorKind;

    /// Facts that a program can act on, as a JSON object; `None` when the message says everything. Never a secret.
    fn details(&self) -> Option<Value> {
        None
    }
}

/// What a storage port can fail with, whatever stands behind it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Could not be reached or timed out; safe to try again.
    #[error("storage is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// Anything else; needs a person.
    #[error("storage failed")]
    Internal(#[source] Box<dyn Error + Send + Sync>),
}

impl Classify for StoreError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unavailable(_) => ErrorKind::Unavailable,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }
}

/// The error and what caused it, on one line, for logs.
pub fn chain(err: &dyn Error) -> String {
    let mut line = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        line.push_str(": ");
        line.push_str(&err.to_string());
        cause = err.source();
    }
    line
}
