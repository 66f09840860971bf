use plinth_core::{Classify, ErrorKind, InvalidCursor, StoreError};
use serde_json::{Value, json};

use super::{DeliveryId, SubscriptionId};

/// Why something about events was not done.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// A field breaks a rule.
    #[error("{field}: {rule}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong.
        rule: String,
    },
    /// The organization has as many subscriptions as it may.
    #[error("there are {0} subscriptions already; remove some")]
    TooMany(i64),
    /// No such subscription in this organization.
    #[error("there is no subscription {0}")]
    NotFound(SubscriptionId),
    /// No such delivery of this subscription.
    #[error("there is no delivery {0}")]
    NoDelivery(DeliveryId),
    /// Nothing is sent while it is disabled.
    #[error("this subscription is disabled; enable it first")]
    Disabled,
    /// It has changed since it was read.
    #[error("the subscription has changed since you read it")]
    Changed,
    /// See [`InvalidCursor`].
    #[error(transparent)]
    Cursor(#[from] InvalidCursor),
    /// Our own storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Classify for EventError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Field { .. } => ErrorKind::Invalid,
            Self::TooMany(_) | Self::Disabled => ErrorKind::Conflict,
            Self::NotFound(_) | Self::NoDelivery(_) => ErrorKind::NotFound,
            Self::Changed => ErrorKind::PreconditionFailed,
            Self::Cursor(err) => err.kind(),
            Self::Store(err) => err.kind(),
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::Field { field, rule } => Some(json!({ *field: rule })),
            Self::Cursor(err) => err.details(),
            _ => None,
        }
    }
}
