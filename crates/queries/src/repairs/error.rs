use plinth_core::{Classify, ErrorKind, PermitError, StoreError};
use serde_json::{Value, json};

use super::RepairId;
use crate::QueryError;

/// Why something about repairs was not done.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// No such repair of a query that the caller sees.
    #[error("there is no repair {0}")]
    NotFound(RepairId),
    /// It is settled, has nothing that could be applied, or is of an older version of the query.
    #[error("{why}")]
    Conflict {
        /// For programs.
        reason: &'static str,
        /// For people.
        why: String,
    },
    /// What a mode is for: nothing of that id that the caller sees.
    #[error("there is no such query or dashboard")]
    NoSubject,
    /// The caller may not.
    #[error(transparent)]
    Permit(#[from] PermitError),
    /// The query could not be changed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Our own storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Classify for RepairError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) | Self::NoSubject => ErrorKind::NotFound,
            Self::Conflict { .. } => ErrorKind::Conflict,
            Self::Permit(err) => err.kind(),
            Self::Query(err) => err.kind(),
            Self::Store(err) => err.kind(),
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::Conflict { reason, .. } => Some(json!({ "reason": reason })),
            Self::Permit(err) => err.details(),
            Self::Query(err) => err.details(),
            Self::NotFound(_) | Self::NoSubject | Self::Store(_) => None,
        }
    }
}
