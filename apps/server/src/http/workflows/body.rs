use std::sync::Arc;

use jiff::Timestamp;
use plinth_core::UserId;
use plinth_queries::repairs::Repair;
use plinth_workflows::actions::Sent;
use plinth_workflows::condition::Verdict;
use plinth_workflows::writes::Approval;
use plinth_workflows::{
    Attempt, Fault, Previewed, Published, Run, RunDetail, RunId, RunStep, StepResult, TriggerEvent,
    Workflow, WorkflowId,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::http::envelope::{Meta, envelope, page_envelope};
use crate::http::queries::RepairBody;

/// A workflow.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Workflow)]
pub(super) struct WorkflowBody {
    #[schema(value_type = String, example = "wf_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: WorkflowId,
    #[schema(example = "Late orders")]
    name: String,
    description: String,
    /// `draft` (nothing is published), `enabled`, `disabled` or `paused`.
    #[schema(example = "enabled")]
    status: &'static str,
    /// Why it stands still; null unless it is paused.
    #[schema(required = true)]
    paused_reason: Option<String>,
    #[schema(required = true)]
    paused_at: Option<Timestamp>,
    /// Runs that failed since one succeeded.
    consecutive_failures: i32,
    /// As whom it runs.
    #[schema(value_type = String, example = "user_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    owner_id: UserId,
    /// The number of the version that runs; null before anything was published.
    #[schema(required = true)]
    published_version: Option<i32>,
    /// When its schedule is due; null where none is.
    #[schema(required = true)]
    next_run_at: Option<Timestamp>,
    /// The draft's trigger.
    #[schema(value_type = Object)]
    trigger: Value,
    /// The draft's steps.
    #[schema(value_type = Vec<Object>)]
    steps: Value,
    /// The draft's conditions; null for none.
    #[schema(value_type = Option<Object>, required = true)]
    conditions: Value,
    /// The draft's actions.
    #[schema(value_type = Vec<Object>)]
    actions: Value,
    /// The draft's limits; null for the usual.
    #[schema(value_type = Option<Object>, required = true)]
    limits: Value,
    /// What broke the saved queries that its steps run, of the draft and of the version that runs, if a change of a schema
    /// did, and what they would have to be: of the queries that the caller sees. Left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    repairs: Option<Vec<RepairBody>>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl WorkflowBody {
    /// A workflow with the open repairs of what it asks.
    pub(super) fn with_repairs(it: &Workflow, repairs: Vec<Repair>) -> Self {
        let repairs = repairs.into_iter().map(RepairBody::from).collect();
        Self { repairs: Some(repairs), ..Self::from(it) }
    }
}

impl From<&Workflow> for WorkflowBody {
    fn from(it: &Workflow) -> Self {
        let part = |name: &str| it.draft.get(name).cloned().unwrap_or(Value::Null);
        let status = match () {
            () if it.published.is_none() => "draft",
            () if !it.enabled => "disabled",
            () if it.paused.is_some() => "paused",
            () => "enabled",
        };
        let (paused_at, paused_reason) = it.paused.clone().unzip();
        Self {
            id: it.id,
            name: it.name.clone(),
            description: it.description.clone(),
            status,
            paused_reason,
            paused_at,
            consecutive_failures: it.failures,
            owner_id: it.owner,
            published_version: it.published,
            next_run_at: it.next_slot,
            trigger: part("trigger"),
            steps: part("steps"),
            conditions: part("conditions"),
            actions: part("actions"),
            limits: part("limits"),
            repairs: None,
            created_at: it.created_at,
            updated_at: it.updated_at,
        }
    }
}

/// A published version; it never changes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowVersion)]
pub(super) struct VersionBody {
    version: i32,
    #[schema(value_type = Object)]
    definition: Value,
    #[schema(value_type = String, example = "user_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    published_by: UserId,
    published_at: Timestamp,
}

impl From<Published> for VersionBody {
    fn from(it: Published) -> Self {
        Self {
            version: it.number,
            definition: it.definition,
            published_by: it.by,
            published_at: it.at,
        }
    }
}

/// A run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowRun)]
pub(super) struct RunBody {
    #[schema(value_type = String, example = "run_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: RunId,
    #[schema(value_type = String, example = "wf_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    workflow_id: WorkflowId,
    version: i32,
    /// `queued`, `running`, `succeeded`, `failed`, `cancelled` or `timed_out`.
    #[schema(example = "succeeded")]
    status: &'static str,
    /// `manual`, `schedule`, `webhook` or `listen`.
    #[schema(example = "manual")]
    trigger: String,
    /// The schedule's slot that it was made for.
    #[schema(required = true)]
    slot: Option<Timestamp>,
    /// `met`, `not_met` or `unknown`; null before they were judged, and without any.
    #[schema(value_type = Option<String>, required = true)]
    conditions: Option<Verdict>,
    #[schema(required = true)]
    error: Option<String>,
    created_at: Timestamp,
    #[schema(required = true)]
    started_at: Option<Timestamp>,
    #[schema(required = true)]
    ended_at: Option<Timestamp>,
}

impl From<&Run> for RunBody {
    fn from(it: &Run) -> Self {
        Self {
            id: it.id,
            workflow_id: it.workflow,
            version: it.version,
            status: it.state.as_str(),
            trigger: it.trigger.clone(),
            slot: it.slot,
            conditions: it.verdict,
            error: it.error.clone(),
            created_at: it.created_at,
            started_at: it.started_at,
            ended_at: it.ended_at,
        }
    }
}

/// A run with all that happened in it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowRunDetail)]
pub(super) struct RunDetailBody {
    #[serde(flatten)]
    run: RunBody,
    /// Steps and actions that are over, in order.
    steps: Vec<StepBody>,
    /// What actions waited for, or wait for, in order. A run that waits is `queued`.
    approvals: Vec<ApprovalBody>,
}

/// What an action waits for, or waited.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowRunApproval)]
pub(super) struct ApprovalBody {
    #[schema(example = "mark")]
    action: String,
    /// The role that decides; owners and admins may too.
    #[schema(example = "admin")]
    role: String,
    /// `pending`, `approved`, `declined`, `expired`, or `withdrawn` if the run was cancelled before.
    #[schema(example = "pending")]
    status: &'static str,
    /// The statement and its values: exactly that is what is approved. Null for who neither may decide nor sees results.
    #[schema(value_type = Option<Object>, required = true)]
    shown: Value,
    /// As whom the run acts; null for approvals from before this was kept.
    #[schema(value_type = Option<String>, required = true)]
    requested_by: Option<UserId>,
    /// Who started the run, where somebody did.
    #[schema(value_type = Option<String>, required = true)]
    started_by: Option<UserId>,
    asked_at: Timestamp,
    expires_at: Timestamp,
    #[schema(required = true)]
    decided_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, required = true)]
    decided_by: Option<UserId>,
    #[schema(required = true)]
    comment: Option<String>,
}

impl From<Approval> for ApprovalBody {
    fn from(it: Approval) -> Self {
        Self {
            action: it.action,
            role: it.role,
            status: it.state.as_str(),
            shown: it.shown,
            requested_by: it.requested_by,
            started_by: it.started_by,
            asked_at: it.asked_at,
            expires_at: it.expires_at,
            decided_at: it.decided_at,
            decided_by: it.decided_by,
            comment: it.comment,
        }
    }
}

/// A step or an action of a run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowRunStep)]
struct StepBody {
    name: String,
    /// `query` or `action`.
    #[schema(example = "query")]
    kind: &'static str,
    /// `succeeded`, `failed`, or `running` while a try of it is not over.
    #[schema(example = "succeeded")]
    status: &'static str,
    /// Columns and rows, for whoever published the version that ran and for admins. `decimals`, where it is there, has the decimal places that all values of a
    /// column have, as they are written in mails: `19.90` is 19.9 as a number.
    #[schema(value_type = Option<Object>, required = true)]
    result: Option<StepResult>,
    #[schema(required = true)]
    query_id: Option<String>,
    #[schema(required = true)]
    error: Option<String>,
    #[schema(required = true)]
    started_at: Option<Timestamp>,
    #[schema(required = true)]
    ended_at: Option<Timestamp>,
    /// Every try of an action, and the tries of a query that failed.
    attempts: Vec<AttemptBody>,
}

/// One try.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowRunAttempt)]
struct AttemptBody {
    number: i32,
    /// `succeeded`, `failed`, or `unknown`: it is under way, or its worker died and nobody knows whether it took effect.
    #[schema(example = "succeeded")]
    status: &'static str,
    /// What was sent, bounded and without secrets.
    #[schema(value_type = Option<Object>, required = true)]
    request: Option<Value>,
    /// What came back, bounded.
    #[schema(value_type = Option<Object>, required = true)]
    response: Option<Value>,
    #[schema(required = true)]
    error: Option<String>,
    started_at: Timestamp,
    #[schema(required = true)]
    ended_at: Option<Timestamp>,
}

impl From<RunDetail> for RunDetailBody {
    fn from(it: RunDetail) -> Self {
        let mut steps: Vec<(i32, StepBody)> =
            it.steps.into_iter().map(|it| (it.position, step(it))).collect();
        for attempt in it.attempts {
            let at = attempt.position;
            if !steps.iter().any(|it| it.0 == at) {
                let name = String::new();
                steps.push((at, StepBody { name, ..waiting() }));
            }
            if let Some((_, step)) = steps.iter_mut().find(|it| it.0 == at) {
                step.attempts.push(AttemptBody::from(attempt));
            }
        }
        steps.sort_by_key(|it| it.0);
        let steps = steps.into_iter().map(|it| it.1).collect();
        let approvals = it.approvals.into_iter().map(ApprovalBody::from).collect();
        Self { run: RunBody::from(&it.run), steps, approvals }
    }
}

fn waiting() -> StepBody {
    StepBody {
        name: String::new(),
        kind: "action",
        status: "running",
        result: None,
        query_id: None,
        error: None,
        started_at: None,
        ended_at: None,
        attempts: Vec::new(),
    }
}

fn step(it: RunStep) -> StepBody {
    StepBody {
        name: it.name,
        kind: if it.is_action { "action" } else { "query" },
        status: if it.succeeded { "succeeded" } else { "failed" },
        result: it.result.map(Arc::unwrap_or_clone),
        query_id: it.query.map(|it| it.to_string()),
        error: it.error,
        started_at: Some(it.started_at),
        ended_at: Some(it.ended_at),
        attempts: Vec::new(),
    }
}

impl From<Attempt> for AttemptBody {
    fn from(it: Attempt) -> Self {
        let status = match it.succeeded {
            Some(true) => "succeeded",
            Some(false) => "failed",
            None => "unknown",
        };
        Self {
            number: it.number,
            status,
            request: it.request,
            response: it.response,
            error: it.error,
            started_at: it.started_at,
            ended_at: it.ended_at,
        }
    }
}

/// What a trigger did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowEvent)]
pub(super) struct EventBody {
    #[schema(example = "evt_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: String,
    /// `manual`, `schedule`, `webhook` or `listen`.
    #[schema(example = "schedule")]
    trigger: String,
    at: Timestamp,
    /// Who or from which address; empty for the clock.
    source: String,
    #[schema(required = true)]
    slot: Option<Timestamp>,
    #[schema(required = true)]
    run_id: Option<String>,
    /// `queued`, or why there is no run.
    #[schema(example = "queued")]
    outcome: String,
}

impl From<&TriggerEvent> for EventBody {
    fn from(it: &TriggerEvent) -> Self {
        Self {
            id: it.id.to_string(),
            trigger: it.kind.clone(),
            at: it.at,
            source: it.source.clone(),
            slot: it.slot,
            run_id: it.run.map(|it| it.to_string()),
            outcome: it.outcome.clone(),
        }
    }
}

/// What a workflow would do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowPreview)]
pub(super) struct PreviewBody {
    steps: Vec<PreviewedBody>,
    /// `met`, `not_met` or `unknown`; null without any, and where a step failed.
    #[schema(value_type = Option<String>, required = true)]
    conditions: Option<Verdict>,
    /// What each action would send, also where the conditions do not hold.
    actions: Vec<PreviewedBody>,
}

/// One step or action of a preview.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowPreviewed)]
struct PreviewedBody {
    name: String,
    /// What it found, or would send; null if that failed.
    #[schema(value_type = Option<Object>, required = true)]
    result: Option<Value>,
    #[schema(required = true)]
    error: Option<String>,
}

impl PreviewedBody {
    fn of<T: Serialize>((name, result): (String, Result<T, Fault>)) -> Self {
        let (result, error) = match result {
            Ok(it) => (Some(serde_json::json!(it)), None),
            Err(fault) => (None, Some(fault.message)),
        };
        Self { name, result, error }
    }
}

impl From<Previewed> for PreviewBody {
    fn from(it: Previewed) -> Self {
        Self {
            steps: it.steps.into_iter().map(PreviewedBody::of).collect(),
            conditions: it.verdict,
            actions: it.actions.into_iter().map(PreviewedBody::of).collect(),
        }
    }
}

/// What came of an action.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowActionTest)]
pub(super) struct SentBody {
    succeeded: bool,
    #[schema(value_type = Option<Object>, required = true)]
    request: Option<Value>,
    #[schema(value_type = Option<Object>, required = true)]
    response: Option<Value>,
    #[schema(required = true)]
    error: Option<String>,
}

impl From<Result<Sent, Fault>> for SentBody {
    fn from(it: Result<Sent, Fault>) -> Self {
        match it {
            Ok(sent) => Self {
                succeeded: true,
                request: Some(sent.request),
                response: Some(sent.response),
                error: None,
            },
            Err(fault) => Self {
                succeeded: false,
                request: fault.request,
                response: fault.response,
                error: Some(fault.message),
            },
        }
    }
}

/// Where a workflow's webhook is, and with what its callers sign.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowWebhook)]
pub(super) struct HookBody {
    /// Whoever has it can start the workflow.
    #[schema(example = "https://plinth.example.com/v1/hooks/AY86K0xdfm-AkaKzxNXm9wAAAAFc…")]
    pub(super) url: String,
    /// For signing calls to it by Standard Webhooks.
    #[schema(example = "whsec_…")]
    pub(super) secret: String,
    /// For checking the calls of its `http` actions that say `sign`.
    #[schema(example = "whsec_…")]
    pub(super) calls_secret: String,
}

envelope! {
    /// A workflow.
    WorkflowEnvelope(WorkflowBody)
}
envelope! {
    /// A run.
    RunEnvelope(RunBody)
}
envelope! {
    /// A run with all that happened in it.
    RunDetailEnvelope(RunDetailBody)
}
envelope! {
    /// What a workflow would do.
    PreviewEnvelope(PreviewBody)
}
envelope! {
    /// What came of an action.
    SentEnvelope(SentBody)
}
envelope! {
    /// A workflow's webhook.
    HookEnvelope(HookBody)
}
page_envelope! {
    /// A page of workflows.
    WorkflowPage(WorkflowBody)
}
page_envelope! {
    /// A page of runs.
    RunPage(RunBody)
}
page_envelope! {
    /// A page of what triggers did.
    EventPage(EventBody)
}

/// Versions.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its derive is used; the answers are written by Reply")]
pub(super) struct VersionsEnvelope {
    data: Vec<VersionBody>,
    meta: Meta,
}
