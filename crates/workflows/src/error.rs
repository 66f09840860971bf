use plinth_connections::ConnectionError;
use plinth_core::{Classify, ErrorKind, InvalidCursor, PermitError, StoreError};
use plinth_queries::QueryError;
use plinth_tenancy::TenancyError;
use serde_json::{Value, json};

use crate::definition::Fault;
use crate::{RunId, WorkflowId};

/// Why something about workflows was not done.
#[derive(Debug, thiserror::Error)]
pub enum WorkflowError {
    /// The definition breaks rules.
    #[error("the workflow is not valid: {}", summary(.0))]
    Invalid(Vec<Fault>),
    /// A field breaks a rule.
    #[error("{field}: {rule}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong.
        rule: &'static str,
    },
    /// There is one of that name.
    #[error("a workflow named `{0}` already exists")]
    NameTaken(String),
    /// The organization has as many as it may.
    #[error("there are {0} workflows already; remove some")]
    TooMany(i64),
    /// No such workflow in this organization.
    #[error("there is no workflow {0}")]
    NotFound(WorkflowId),
    /// No such run in this organization.
    #[error("there is no run {0}")]
    RunNotFound(RunId),
    /// No such version.
    #[error("there is no version {0} of this workflow")]
    NoVersion(i32),
    /// Nothing of it is published.
    #[error("nothing of this workflow is published yet")]
    NotPublished,
    /// It has changed since it was read.
    #[error("the workflow has changed since you read it")]
    Changed,
    /// The run has ended.
    #[error("the run has ended already")]
    Ended,
    /// The run waits for nobody, or waited too long.
    #[error("the run waits for no approval")]
    NothingWaits,
    /// Somebody else's to decide.
    #[error("members with the role `{0}` decide this")]
    NotYours(String),
    /// Their own request, which somebody else has to approve.
    #[error("it is your own: somebody else with the role `{0}`, an owner or an admin approves it")]
    OwnRequest(String),
    /// A webhook's URL that is none, or not any more.
    #[error("there is no such webhook")]
    NoHook,
    /// A call whose signature is missing or wrong, or too old.
    #[error("the call is not signed as this webhook needs it: {0}")]
    Unsigned(&'static str),
    /// The workflow does not take calls now.
    #[error("this workflow does not run now: {0}")]
    Standing(&'static str),
    /// More calls came this minute than the webhook takes.
    #[error("more calls came in this minute than `per_minute`; try again in {seconds} s")]
    TooFast {
        /// When the next minute begins.
        seconds: i64,
    },
    /// Too many runs of it wait.
    #[error("too many runs of this workflow wait already; try again when there are fewer")]
    Full,
    /// Who acts by a credential that is narrower than they are cannot let a workflow act with all that they are.
    #[error("a workflow asks with its owner's rights, which this key or token does not have: {0}")]
    Narrow(&'static str),
    /// A connection that a step names.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// A query that a step names.
    #[error(transparent)]
    Query(#[from] Box<QueryError>),
    /// See [`PermitError`].
    #[error(transparent)]
    Permit(#[from] PermitError),
    /// See [`InvalidCursor`].
    #[error(transparent)]
    Cursor(#[from] InvalidCursor),
    /// The organization could not be read.
    #[error(transparent)]
    Tenancy(#[from] TenancyError),
    /// Our own storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Faults as answers have them.
pub(crate) fn faults(faults: &[Fault]) -> Value {
    let fields: serde_json::Map<String, Value> =
        faults.iter().map(|it| (it.pointer.clone(), it.message.clone().into())).collect();
    json!({ "faults": faults, "fields": fields })
}

pub(crate) fn summary(faults: &[Fault]) -> String {
    let mut texts: Vec<_> = faults
        .iter()
        .take(3)
        .map(|it| {
            if it.pointer.is_empty() {
                it.message.clone()
            } else {
                format!("{} {}", it.pointer, it.message)
            }
        })
        .collect();
    if faults.len() > 3 {
        texts.push(format!("and {} more", faults.len() - 3));
    }
    texts.join("; ")
}

impl Classify for WorkflowError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) | Self::Field { .. } => ErrorKind::Invalid,
            Self::NameTaken(_)
            | Self::TooMany(_)
            | Self::NotPublished
            | Self::Ended
            | Self::NothingWaits
            | Self::Standing(_) => ErrorKind::Conflict,
            Self::NotFound(_) | Self::RunNotFound(_) | Self::NoVersion(_) | Self::NoHook => {
                ErrorKind::NotFound
            }
            Self::TooFast { .. } | Self::Full => ErrorKind::RateLimited,
            Self::Narrow(_) | Self::NotYours(_) | Self::OwnRequest(_) => ErrorKind::Forbidden,
            Self::Connection(err) => err.kind(),
            Self::Query(err) => err.kind(),
            Self::Changed => ErrorKind::PreconditionFailed,
            Self::Unsigned(_) => ErrorKind::Unauthenticated,
            Self::Permit(err) => err.kind(),
            Self::Cursor(err) => err.kind(),
            Self::Tenancy(err) => err.kind(),
            Self::Store(err) => err.kind(),
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::Invalid(found) => Some(faults(found)),
            Self::Field { field, rule } => Some(json!({ *field: rule })),
            Self::NameTaken(_) => Some(json!({ "name": "taken" })),
            Self::Standing(reason) => Some(json!({ "reason": reason })),
            Self::TooFast { seconds } => {
                Some(json!({ "reason": "per_minute", "retry_after_seconds": seconds }))
            }
            Self::Full => Some(json!({ "reason": "too_many_waiting", "retry_after_seconds": 60 })),
            Self::Connection(err) => err.details(),
            Self::Query(err) => err.details(),
            Self::NotYours(role) | Self::OwnRequest(role) => Some(json!({ "role": role })),
            Self::Narrow(reason) => Some(json!({ "reason": reason })),
            Self::Permit(err) => err.details(),
            Self::Cursor(err) => err.details(),
            Self::Tenancy(err) => err.details(),
            Self::TooMany(_)
            | Self::NotFound(_)
            | Self::RunNotFound(_)
            | Self::NoVersion(_)
            | Self::NotPublished
            | Self::Changed
            | Self::Ended
            | Self::NothingWaits
            | Self::NoHook
            | Self::Unsigned(_)
            | Self::Store(_) => None,
        }
    }
}
