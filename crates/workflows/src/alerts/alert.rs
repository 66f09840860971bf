use jiff::Timestamp;
use plinth_core::{OrgId, UserId};
use plinth_queries::QueryId;
use serde_json::{Map, Value};

use super::standing::{AlertState, Notice, Standing};
use super::{AlertId, EvaluationId};
use crate::condition::Verdict;
use crate::result::Glance;

/// An alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Its id.
    pub id: AlertId,
    /// Whose.
    pub org: OrgId,
    /// Its name, unique in the organization.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// As whom its query runs: who said last what it asks and whom it tells.
    pub owner: UserId,
    /// What is asked.
    pub query: QueryId,
    /// The version of it that the owner stands for; `None`, from earlier, is the first.
    pub query_version: Option<u32>,
    /// Values of the query's parameters by name.
    pub parameters: Map<String, Value>,
    /// When it holds; see [`super::AlertRules::read`].
    pub condition: Value,
    /// When it is evaluated: `every` or `cron`.
    pub schedule: Value,
    /// Who is told: see [`super::Notify`].
    pub notify: Value,
    /// After how many seconds an episode that goes on is told of again; `None` for never.
    pub rearm_seconds: Option<i64>,
    /// Whether it is evaluated.
    pub enabled: bool,
    /// Whether it tells nothing for now.
    pub mute: Option<Mute>,
    /// Since when and why it stands still although it is enabled.
    pub paused: Option<(Timestamp, String)>,
    /// How it stands.
    pub standing: Standing,
    /// When it is evaluated next; `None` if it is not.
    pub due_at: Option<Timestamp>,
    /// How often the evaluation that is due was tried.
    pub tried: i32,
    /// Counts how often a worker took it or somebody changed it. Who writes with an older number has lost it.
    pub fence: i64,
    /// Counts changes, for `ETag`.
    pub revision: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed.
    pub updated_at: Timestamp,
}

/// For how long nothing is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mute {
    /// Until somebody ends it.
    Forever,
    /// Until then.
    Until(Timestamp),
}

impl Alert {
    /// Whether it is evaluated by itself.
    pub fn is_live(&self) -> bool {
        self.enabled && self.paused.is_none()
    }

    /// Whether nothing is told at that moment.
    pub fn is_muted(&self, now: Timestamp) -> bool {
        match self.mute {
            None => false,
            Some(Mute::Forever) => true,
            Some(Mute::Until(until)) => now < until,
        }
    }
}

/// What came of one evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Its id.
    pub id: EvaluationId,
    /// As whom it asked: the alert's owner at that time; `None` if that was not kept.
    pub owner: Option<UserId>,
    /// The state that it led to.
    pub state: AlertState,
    /// What came of the condition; `None` if the query failed.
    pub verdict: Option<Verdict>,
    /// What is kept in mind of the result; `None` if the query failed.
    pub glance: Option<Glance>,
    /// Why the query failed.
    pub error: Option<String>,
    /// The entry of the history that the query has.
    pub query: Option<QueryId>,
    /// What was told.
    pub notice: Option<Notice>,
    /// How often it was tried.
    pub tries: i32,
    /// When it began, the last time.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
}
