use jiff::Timestamp;
use plinth_core::UserId;
use plinth_queries::repairs::Repair;
use plinth_workflows::alerts::{Alert, AlertId, Evaluation, EvaluationId, Mute, Notice};
use plinth_workflows::condition::Verdict;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::http::envelope::{envelope, page_envelope};
use crate::http::queries::RepairBody;

/// An alert.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Alert)]
pub(super) struct AlertBody {
    #[schema(value_type = String, example = "alert_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: AlertId,
    #[schema(example = "Too many late orders")]
    name: String,
    description: String,
    /// `ok`, `triggered`, `unknown` (it cannot be said, or was not evaluated yet) or `error` (the query fails).
    #[schema(example = "ok")]
    state: &'static str,
    state_since: Timestamp,
    /// Since when it holds; also while nobody knows whether it still does.
    #[schema(required = true)]
    triggered_since: Option<Timestamp>,
    /// When that was told last.
    #[schema(required = true)]
    last_told_at: Option<Timestamp>,
    /// `enabled`, `disabled` or `paused`.
    #[schema(example = "enabled")]
    status: &'static str,
    #[schema(required = true)]
    paused_reason: Option<String>,
    #[schema(required = true)]
    paused_at: Option<Timestamp>,
    /// Whether it was muted; with `muted_until` only until then.
    muted: bool,
    #[schema(required = true)]
    muted_until: Option<Timestamp>,
    /// As whom it asks.
    #[schema(value_type = String, example = "user_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    owner_id: UserId,
    #[schema(example = "q_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    query_id: String,
    #[schema(value_type = Object)]
    parameters: Map<String, Value>,
    #[schema(value_type = Object)]
    condition: Value,
    #[schema(value_type = Object)]
    schedule: Value,
    #[schema(value_type = Object)]
    notify: Value,
    #[schema(required = true)]
    rearm_seconds: Option<i64>,
    /// When it is evaluated next; null if it is not.
    #[schema(required = true)]
    next_evaluation_at: Option<Timestamp>,
    /// What broke its query, if a change of the schema did, and what it would have to be. Left out where the query works, or
    /// the caller does not see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<RepairBody>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl AlertBody {
    /// An alert; its query's repair is among these, if it has one.
    pub(super) fn with_repair(it: &Alert, repairs: &[Repair]) -> Self {
        let repair = repairs.iter().find(|repair| repair.query == it.query);
        Self { repair: repair.cloned().map(RepairBody::from), ..Self::from(it) }
    }
}

impl From<&Alert> for AlertBody {
    fn from(it: &Alert) -> Self {
        let status = match () {
            () if !it.enabled => "disabled",
            () if it.paused.is_some() => "paused",
            () => "enabled",
        };
        let (paused_at, paused_reason) = it.paused.clone().unzip();
        Self {
            id: it.id,
            name: it.name.clone(),
            description: it.description.clone(),
            state: it.standing.state.as_str(),
            state_since: it.standing.since,
            triggered_since: it.standing.episode.map(|it| it.since),
            last_told_at: it.standing.episode.and_then(|it| it.told_at),
            status,
            paused_reason,
            paused_at,
            muted: it.mute.is_some(),
            muted_until: it.mute.and_then(Mute::until),
            owner_id: it.owner,
            query_id: it.query.to_string(),
            parameters: it.parameters.clone(),
            condition: it.condition.clone(),
            schedule: it.schedule.clone(),
            notify: it.notify.clone(),
            rearm_seconds: it.rearm_seconds,
            repair: None,
            next_evaluation_at: it.due_at,
            created_at: it.created_at,
            updated_at: it.updated_at,
        }
    }
}

/// What came of one evaluation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AlertEvaluation)]
pub(super) struct EvaluationBody {
    #[schema(value_type = String, example = "eval_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: EvaluationId,
    /// The state that it led to.
    #[schema(example = "triggered")]
    state: &'static str,
    /// `met`, `not_met` or `unknown`; null if the query failed.
    #[schema(value_type = Option<String>, required = true)]
    condition: Option<Verdict>,
    /// How many rows there were; null if the query failed, and for others than who owned the alert then and admins.
    #[schema(required = true)]
    row_count: Option<u64>,
    /// The first row by its columns' names; null also where there was none.
    #[schema(value_type = Option<Object>, required = true)]
    first_row: Option<Map<String, Value>>,
    #[schema(required = true)]
    error: Option<String>,
    /// The entry of the history.
    #[schema(required = true)]
    query_run_id: Option<String>,
    /// What was told: `triggered`, `reminder`, `resolved`, `unknown`, `failing`, `recovered`; null for nothing.
    #[schema(required = true)]
    told: Option<&'static str>,
    tries: i32,
    started_at: Timestamp,
    ended_at: Timestamp,
}

impl From<Evaluation> for EvaluationBody {
    fn from(it: Evaluation) -> Self {
        let row_count = it.glance.as_ref().map(|it| it.row_count);
        let first_row =
            it.glance.and_then(|it| Some(it.columns.into_iter().zip(it.first?).collect()));
        Self {
            id: it.id,
            state: it.state.as_str(),
            condition: it.verdict,
            row_count,
            first_row,
            error: it.error,
            query_run_id: it.query.map(|it| it.to_string()),
            told: it.notice.map(Notice::as_str),
            tries: it.tries,
            started_at: it.started_at,
            ended_at: it.ended_at,
        }
    }
}

envelope! {
    /// An alert.
    AlertEnvelope(AlertBody)
}
page_envelope! {
    /// A page of alerts.
    AlertPage(AlertBody)
}
page_envelope! {
    /// A page of evaluations.
    EvaluationPage(EvaluationBody)
}
