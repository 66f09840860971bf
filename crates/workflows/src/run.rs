use std::sync::Arc;

use jiff::Timestamp;
use plinth_core::{OrgId, UserId};
use plinth_queries::QueryId;
use serde_json::Value;

use crate::condition::Verdict;
use crate::result::StepResult;
use crate::{EventId, RunId, WorkflowId};

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It waits: for its first start, or after a failed try for the next.
    Queued,
    /// A worker is at it.
    Running,
    /// All was done, or the conditions did not hold.
    Succeeded,
    /// A step or an action failed for good.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// It took longer than it may.
    TimedOut,
}

impl RunState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::TimedOut,
    ];

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
}

/// What a trigger did: a run, or a reason why there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct TriggerEvent {
    /// Its id.
    pub id: EventId,
    /// Of which workflow.
    pub workflow: WorkflowId,
    /// `manual`, `schedule`, `webhook` or `listen`.
    pub kind: String,
    /// When.
    pub at: Timestamp,
    /// From where: a user's id, an address; empty for the clock.
    pub source: String,
    /// The slot of a schedule.
    pub slot: Option<Timestamp>,
    /// The run that it made.
    pub run: Option<RunId>,
    /// `queued`, or why there is no run.
    pub outcome: String,
}

/// A run to be queued, with the event that it comes of.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// Of which workflow.
    pub workflow: WorkflowId,
    /// What a webhook's call brought; templates read it as `webhook`.
    pub payload: Option<Value>,
    /// The event; its `run` is this one.
    pub event: TriggerEvent,
}

/// A run as people see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Whose.
    pub org: OrgId,
    /// Of which workflow.
    pub workflow: WorkflowId,
    /// Of which published version.
    pub version: i32,
    /// Where it stands.
    pub state: RunState,
    /// What started it: `manual`, `schedule`, `webhook` or `listen`.
    pub trigger: String,
    /// The slot of the schedule that it was made for.
    pub slot: Option<Timestamp>,
    /// What came of the conditions; `None` before they were judged, and without any.
    pub verdict: Option<Verdict>,
    /// Why it failed.
    pub error: Option<String>,
    /// How often a worker took it.
    pub starts: i64,
    /// When it was queued.
    pub created_at: Timestamp,
    /// When it was first started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// A step or an action of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunStep {
    /// Its place in the run, from 0: steps first, then actions.
    pub position: i32,
    /// Its name.
    pub name: String,
    /// Whether it is an action.
    pub is_action: bool,
    /// Whether it was done; `false` if it failed for good.
    pub succeeded: bool,
    /// What a step found.
    pub result: Option<Arc<StepResult>>,
    /// The entry of the history that its statement has.
    pub query: Option<QueryId>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was begun, the last time.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
}

/// One try of a step or an action.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Of which step or action.
    pub position: i32,
    /// The number of the try, from 1.
    pub number: i32,
    /// What came of it; `None` while it is under way, and for one whose worker died: then nobody knows whether it took
    /// effect, and the next carries the same idempotency key.
    pub succeeded: Option<bool>,
    /// What was sent, bounded and without secrets.
    pub request: Option<Value>,
    /// What came back, bounded.
    pub response: Option<Value>,
    /// What went wrong.
    pub error: Option<String>,
    /// When it was begun.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// After how many lost leases in a row, with nothing stored between them, a run is given up. By chance nothing comes so far:
/// who kills one of five workers each second hits a step of a fifth of a second with one kill of 25.
const MOST_LOSSES: i32 = 10;

/// A run that a worker has taken, and has to itself as long as it keeps its lease.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Whose.
    pub org: OrgId,
    /// Which.
    pub id: RunId,
    /// Of which workflow.
    pub workflow: WorkflowId,
    /// Its name.
    pub workflow_name: String,
    /// As whom it runs.
    pub owner: UserId,
    /// Which published version it does.
    pub version: i32,
    /// Counts how often it was taken. Whoever writes with an older number has lost it.
    pub fence: i64,
    /// What started it.
    pub trigger: String,
    /// What a webhook's call brought.
    pub payload: Option<Value>,
    /// When it was queued.
    pub created_at: Timestamp,
    /// For how long it is under way since it was first started, by the database's clock: the worker's may differ.
    pub passed: std::time::Duration,
    /// How many steps and actions are stored.
    pub stored: usize,
    /// What is done already, in order. Nothing when it is taken: results may be large, and are read when their turn comes.
    pub done: Vec<RunStep>,
    /// How often the step or action that is next was tried.
    pub tried: i32,
    /// What came of the conditions; `None` before they were judged, and without any.
    pub verdict: Option<Verdict>,
    /// How often in a row a worker lost it without anything of it being stored.
    pub losses: i32,
}

impl Taken {
    /// Whether it ends here, because nobody survives it. Then nothing else of it is looked at: that may be what they died of.
    pub fn is_given_up(&self) -> bool {
        self.losses >= MOST_LOSSES
    }
}

/// Something that a worker has to write about a run that it has.
#[derive(Clone, Debug)]
pub struct Advance {
    /// Which run.
    pub run: RunId,
    /// The worker's number.
    pub fence: i64,
    /// How many steps and actions are stored, as far as the worker knows: the place of what it is about.
    pub stored: i32,
    /// The step or action that is over.
    pub step: Option<RunStep>,
    /// The try that is over.
    pub attempt: Option<Attempt>,
    /// What came of the conditions, if they were judged just now. It stays with the run.
    pub verdict: Option<Verdict>,
    /// What comes next.
    pub then: Then,
}

impl Advance {
    /// Whether it could be done again with nobody noticing: a step only reads, and before anything leaves, that it is begun
    /// is written for good, with all results before it.
    pub fn may_be_repeated(&self) -> bool {
        let reads = self.step.as_ref().is_some_and(|it| !it.is_action && it.succeeded);
        reads && self.attempt.is_none() && matches!(self.then, Then::Continue)
    }
}

/// A try that begins.
#[derive(Clone, Debug)]
pub struct Begin {
    /// Of which run.
    pub run: RunId,
    /// As the worker has it.
    pub fence: i64,
    /// Of which action, and when.
    pub attempt: Attempt,
}

/// What comes next.
#[derive(Clone, Debug)]
pub enum Then {
    /// The worker goes on.
    Continue,
    /// It waits, and is tried again, by whomever, in so long.
    Again {
        /// How long.
        pause: std::time::Duration,
    },
    /// It has ended.
    End(RunEnd),
}

/// How a run ends.
#[derive(Clone, Debug)]
pub struct RunEnd {
    /// [`RunState::Succeeded`], [`RunState::Failed`] or [`RunState::TimedOut`].
    pub state: RunState,
    /// Why it failed.
    pub error: Option<String>,
    /// The same for those who do not see what it read.
    pub told: Option<String>,
    /// Whether the workflow must not go on until somebody looks after it.
    pub pause: Option<&'static str>,
}
