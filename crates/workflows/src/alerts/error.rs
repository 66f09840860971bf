use plinth_core::{Classify, ErrorKind, InvalidCursor, PermitError, StoreError};
use plinth_queries::QueryError;
use plinth_tenancy::TenancyError;
use serde_json::{Value, json};

use super::AlertId;
use crate::definition::Fault;

/// Why something about alerts was not done.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// What it says breaks rules.
    #[error("the alert is not valid: {}", crate::error::summary(.0))]
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
    #[error("an alert named `{0}` already exists")]
    NameTaken(String),
    /// The organization has as many as it may.
    #[error("there are {0} alerts already; remove some")]
    TooMany(i64),
    /// No such alert in this organization.
    #[error("there is no alert {0}")]
    NotFound(AlertId),
    /// It has changed since it was read.
    #[error("the alert has changed since you read it")]
    Changed,
    /// It is disabled or paused.
    #[error("this alert is disabled or paused; enable it first")]
    Standing,
    /// Who acts by a credential that is narrower than they are cannot let an alert act with all that they are.
    #[error("an alert asks with its owner's rights, which this key or token does not have: {0}")]
    Narrow(&'static str),
    /// The query that it names.
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

impl Classify for AlertError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) | Self::Field { .. } => ErrorKind::Invalid,
            Self::NameTaken(_) | Self::TooMany(_) | Self::Standing => ErrorKind::Conflict,
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Changed => ErrorKind::PreconditionFailed,
            Self::Narrow(_) => ErrorKind::Forbidden,
            Self::Query(err) => err.kind(),
            Self::Permit(err) => err.kind(),
            Self::Cursor(err) => err.kind(),
            Self::Tenancy(err) => err.kind(),
            Self::Store(err) => err.kind(),
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::Invalid(faults) => Some(crate::error::faults(faults)),
            Self::Field { field, rule } => Some(json!({ *field: rule })),
            Self::NameTaken(_) => Some(json!({ "name": "taken" })),
            Self::Narrow(reason) => Some(json!({ "reason": reason })),
            Self::Query(err) => err.details(),
            Self::Permit(err) => err.details(),
            Self::Cursor(err) => err.details(),
            Self::Tenancy(err) => err.details(),
            Self::TooMany(_)
            | Self::NotFound(_)
            | Self::Changed
            | Self::Standing
            | Self::Store(_) => None,
        }
    }
}
