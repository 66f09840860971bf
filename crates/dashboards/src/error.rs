use plinth_core::{Classify, ErrorKind, InvalidCursor, PermitError, StoreError};
use plinth_queries::QueryError;
use plinth_tenancy::TenancyError;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{DashboardId, ShareId, WidgetId};

/// One thing that is wrong with a dashboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where, as a JSON pointer into what was sent.
    pub pointer: String,
    /// What is wrong, in a sentence.
    pub message: String,
}

/// Why something about dashboards was not done.
#[derive(Debug, thiserror::Error)]
pub enum DashboardError {
    /// Widgets or filters break rules.
    #[error("the dashboard is not valid: {}", summary(.0))]
    Invalid(Vec<Fault>),
    /// A field breaks a rule.
    #[error("{field}: {rule}")]
    Field {
        /// Which.
        field: String,
        /// What is wrong.
        rule: String,
    },
    /// The organization has as many as it may.
    #[error("there are {0} dashboards already; remove some")]
    TooMany(i64),
    /// The dashboard has as many links as it may.
    #[error("there are {0} links to this dashboard already; revoke some")]
    TooManyShares(i64),
    /// No such dashboard in this organization.
    #[error("there is no dashboard {0}")]
    NotFound(DashboardId),
    /// No such widget on the dashboard.
    #[error("there is no widget {0} on this dashboard")]
    NoWidget(WidgetId),
    /// No such link to the dashboard.
    #[error("there is no link {0} to this dashboard")]
    NoShare(ShareId),
    /// A link that shows nothing: it is none, or expired, or revoked, or its maker may not look any more.
    #[error("this link does not work, or does not work any more")]
    DeadLink,
    /// Too many looks through links from one network address, or through one link; in how many seconds to come again.
    #[error("this link was looked through too often; try again in {0} s")]
    TooOften(i64),
    /// It has changed since it was read.
    #[error("the dashboard has changed since you read it")]
    Changed,
    /// Who acts by a credential that is narrower than they are cannot let a link show all that they may see.
    #[error("a link shows what its maker may see, and this key or token reaches less: {0}")]
    Narrow(&'static str),
    /// A query that a widget names.
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

impl From<QueryError> for DashboardError {
    fn from(err: QueryError) -> Self {
        Self::Query(Box::new(err))
    }
}

/// Why a widget shows nothing.
#[derive(Debug, thiserror::Error)]
pub enum WidgetError {
    /// The link locks a value that does not reach the widget, or not as it did when the link was made.
    #[error(
        "this link does not show this widget any more: a value that it locks does not reach it"
    )]
    Withheld,
    /// Whoever it runs as is no member of the organization any more.
    #[error("whoever this widget ran as has left the organization; somebody has to take it over")]
    OwnerGone,
    /// Whoever it runs as may run no queries any more.
    #[error(
        "whoever this widget runs as may not run queries any more; somebody has to take it over"
    )]
    OwnerMayNot,
    /// Its query was deleted, or is private to somebody else by now.
    #[error(
        "the query of this widget was deleted, or whoever the widget runs as may not see it any more; \
         give the widget another query"
    )]
    QueryGone,
    /// With those before it, its answer is more than one look holds.
    #[error(
        "this dashboard's answers are too large together, and there was no room for this one any more; \
         have its queries select less, or put some widgets on another dashboard"
    )]
    NoRoom,
    /// Our own storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its query failed.
    #[error(transparent)]
    Query(#[from] Box<QueryError>),
}

impl From<QueryError> for WidgetError {
    fn from(err: QueryError) -> Self {
        match err {
            QueryError::Unreached => Self::Withheld,
            QueryError::NotFound(_) => Self::QueryGone,
            err => Self::Query(Box::new(err)),
        }
    }
}

impl Classify for WidgetError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Withheld => ErrorKind::Forbidden,
            Self::OwnerGone | Self::OwnerMayNot | Self::NoRoom => ErrorKind::Conflict,
            Self::QueryGone => ErrorKind::NotFound,
            Self::Store(err) => err.kind(),
            Self::Query(err) => err.kind(),
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::Withheld => Some(json!({ "reason": "withheld" })),
            Self::OwnerGone => Some(json!({ "reason": "owner_gone" })),
            Self::OwnerMayNot => Some(json!({ "reason": "owner_may_not" })),
            Self::QueryGone => Some(json!({ "reason": "query_gone" })),
            Self::NoRoom => Some(json!({ "reason": "too_large_together" })),
            Self::Store(_) => None,
            Self::Query(err) => err.details(),
        }
    }
}

fn summary(faults: &[Fault]) -> String {
    let texts = faults.iter().take(3).map(|it| format!("{} {}", it.pointer, it.message));
    let mut texts: Vec<_> = texts.collect();
    if faults.len() > 3 {
        texts.push(format!("and {} more", faults.len() - 3));
    }
    texts.join("; ")
}

impl Classify for DashboardError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) | Self::Field { .. } => ErrorKind::Invalid,
            Self::TooMany(_) | Self::TooManyShares(_) => ErrorKind::Conflict,
            Self::NotFound(_) | Self::NoWidget(_) | Self::NoShare(_) | Self::DeadLink => {
                ErrorKind::NotFound
            }
            Self::Changed => ErrorKind::PreconditionFailed,
            Self::Narrow(_) => ErrorKind::Forbidden,
            Self::TooOften(_) => ErrorKind::RateLimited,
            Self::Query(err) => err.kind(),
            Self::Permit(err) => err.kind(),
            Self::Cursor(err) => err.kind(),
            Self::Tenancy(err) => err.kind(),
            Self::Store(err) => err.kind(),
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::Invalid(faults) => {
                let fields: serde_json::Map<String, Value> = faults
                    .iter()
                    .map(|it| (it.pointer.clone(), it.message.clone().into()))
                    .collect();
                Some(json!({ "faults": faults, "fields": fields }))
            }
            Self::Field { field, rule } => Some(json!({ field: rule })),
            Self::Narrow(reason) => Some(json!({ "reason": reason })),
            Self::TooOften(seconds) => Some(json!({ "retry_after_seconds": seconds })),
            Self::Query(err) => err.details(),
            Self::Permit(err) => err.details(),
            Self::Cursor(err) => err.details(),
            Self::Tenancy(err) => err.details(),
            Self::TooMany(_)
            | Self::TooManyShares(_)
            | Self::NotFound(_)
            | Self::NoWidget(_)
            | Self::NoShare(_)
            | Self::DeadLink
            | Self::Changed
            | Self::Store(_) => None,
        }
    }
}
