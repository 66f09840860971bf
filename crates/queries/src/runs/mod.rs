//! Runs that nobody waits for: they go on while their caller is away, can be cancelled from anywhere, and keep their rows for a
//! while.
//!
//! **Invariant:** a run is its caller's alone. Its rows lie in our database sealed, and not longer than [`RESULTS_KEPT_FOR`].

mod ports;
mod service;

use jiff::{SignedDuration, Timestamp};
use plinth_connections::ConnectionId;
use plinth_core::{Classify as _, ErrorKind, OrgId, UserId};
pub use ports::{Beat, QueryRunStore, RunViewer, SealedPage};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
pub use service::{BackgroundRuns, RunPage, RunParts, Wanted};

use crate::{CutOff, QueryError, QueryId, SavedColumn};

plinth_core::typed_id! {
    /// Identifies a run that nobody waits for.
    QueryRunId, "qrun"
}

/// How long a run and its rows are kept after its end.
pub const RESULTS_KEPT_FOR: SignedDuration = SignedDuration::from_hours(1);

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It waits for its turn.
    Queued,
    /// It is under way.
    Running,
    /// Its rows are there.
    Succeeded,
    /// It has none; [`QueryRun::error`] says why.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// Its statement took longer than it may.
    TimedOut,
}

impl RunState {
    /// Its name in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
        }
    }

    /// Whether nothing comes after it.
    pub fn is_end(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// The state of that name.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [
            Self::Queued,
            Self::Running,
            Self::Succeeded,
            Self::Failed,
            Self::Cancelled,
            Self::TimedOut,
        ];
        all.into_iter().find(|it| it.as_str() == text)
    }
}

/// A run that nobody waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryRun {
    /// Its id.
    pub id: QueryRunId,
    /// Whose.
    pub org: OrgId,
    /// Who wanted it, and as whom it runs: nobody else sees it.
    pub user: UserId,
    /// Over which database.
    pub connection: ConnectionId,
    /// How far it is.
    pub state: RunState,
    /// Whether somebody has asked for its end.
    pub is_cancel_wanted: bool,
    /// Its entry in the history; `None` until a statement has begun to answer.
    pub query: Option<QueryId>,
    /// The statement, from then on.
    pub sql: Option<String>,
    /// What is to be said in words: of a question about the schema itself, or where nothing is found.
    pub answer: Option<String>,
    /// The columns; empty until they are known, and where there are no rows.
    pub columns: Vec<SavedColumn>,
    /// How many rows are kept so far.
    pub row_count: u64,
    /// After how many it is cut off.
    pub row_limit: Option<u64>,
    /// Which limit cut them off; `None` if these are all.
    pub cut_off: Option<CutOff>,
    /// Whether text of its rows was not UTF-8 and has U+FFFD in it.
    pub text_replaced: bool,
    /// When the rows were read, if that was for an earlier run.
    pub cached_at: Option<Timestamp>,
    /// From sending the statement to its last row, in milliseconds.
    pub execution_time_ms: Option<f64>,
    /// Why there are no rows.
    pub error: Option<RunFault>,
    /// When it was wanted.
    pub created_at: Timestamp,
    /// When it had its turn.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Until when it is kept; `None` while it is under way.
    pub expires_at: Option<Timestamp>,
}

/// What went wrong, as it is told to whoever comes back for the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFault {
    /// What they can do about it.
    pub kind: ErrorKind,
    /// The message.
    pub message: String,
    /// See [`plinth_core::Classify::details`].
    pub details: Option<Value>,
}

impl RunFault {
    /// What is told of a run whose process ended before it did.
    pub fn server_lost() -> Self {
        Self {
            kind: ErrorKind::Unavailable,
            message: "the server that ran this ended before it did; run it again".to_owned(),
            details: Some(json!({ "reason": "server_lost", "retryable": true })),
        }
    }

    /// As an error is told: what is our own fault stays with us.
    pub(crate) fn of(err: &QueryError) -> Self {
        let kind = err.kind();
        if kind.is_ours() {
            tracing::error!(error = plinth_core::chain(err), "a run failed");
            let message = "something went wrong on our side".to_owned();
            return Self { kind, message, details: None };
        }
        Self { kind, message: err.to_string(), details: err.details() }
    }
}
