use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use plinth_core::{Cursor, Limit, OrgId, Principal, StoreError, UserId};
use plinth_queries::QueryId;
use plinth_tenancy::{AuditEntry, MemberRole};
use serde_json::Value;

use crate::condition::Earlier;
use crate::definition::Step;
use crate::result::StepResult;
use crate::run::{Advance, Attempt, Begin, NewRun, Run, RunStep, Taken, TriggerEvent};
use crate::schedule::Firing;
use crate::template::Context;
use crate::workflow::{Published, Workflow};
use crate::writes::{Approval, ApprovalFilter, Decision, ListedApproval};
use crate::{EventId, RunId, WorkflowError, WorkflowId};

/// A decision about one workflow: pure, so that it can be taken again.
pub type DecideWorkflow<'a> =
    &'a mut (dyn FnMut(&mut Workflow) -> Result<Changed, WorkflowError> + Send);

/// A decision about a schedule that is due, given the slot, the database's time and whether a run waits or is under way.
pub type DecideFiring<'a> = &'a (dyn Fn(Timestamp, Timestamp, bool) -> Firing + Send + Sync);

/// What a change leaves beside the workflow itself.
#[derive(Clone, Debug, Default)]
pub struct Changed {
    /// A version that is published by it.
    pub published: Option<Published>,
    /// What goes into the trail; without one nothing is written at all.
    pub entry: Option<AuditEntry>,
}

/// Where workflows and what came of them are kept. Every method is one transaction.
#[async_trait]
pub trait WorkflowStore: Send + Sync + 'static {
    /// Keeps a new workflow, with its first version if it has one.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::NameTaken`], [`WorkflowError::TooMany`] if there are `most` already; nothing changes.
    async fn insert(
        &self,
        workflow: &Workflow,
        published: Option<&Published>,
        most: i64,
        entry: &AuditEntry,
    ) -> Result<(), WorkflowError>;

    /// One workflow.
    async fn find(&self, org: OrgId, id: WorkflowId) -> Result<Option<Workflow>, StoreError>;

    /// The organization's workflows, newest first; one more than `limit` if there are more.
    async fn list(
        &self,
        org: OrgId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Workflow>, StoreError>;

    /// Changes a workflow as `decide` says; `None` if there is none. Runs that triggers queued and nobody has begun are cancelled
    /// if triggers start it no more by that.
    ///
    /// # Errors
    ///
    /// What `decide` says, and [`WorkflowError::NameTaken`]; nothing changes.
    async fn change(
        &self,
        org: OrgId,
        id: WorkflowId,
        decide: DecideWorkflow<'_>,
    ) -> Result<Option<Workflow>, WorkflowError>;

    /// Removes a workflow with its versions, runs and events, if its revision is one of `expected`; `false` if there is none.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::Changed`] if it has another revision.
    async fn remove(
        &self,
        org: OrgId,
        id: WorkflowId,
        expected: Option<&[i64]>,
        entry: &AuditEntry,
    ) -> Result<bool, WorkflowError>;

    /// The published versions, newest first.
    async fn versions(&self, org: OrgId, id: WorkflowId) -> Result<Vec<Published>, StoreError>;

    /// One published version.
    async fn version(
        &self,
        org: OrgId,
        id: WorkflowId,
        number: i32,
    ) -> Result<Option<Published>, StoreError>;

    /// Queues a run of the workflow's published version; `None` if the workflow is gone, or nothing of it is published.
    async fn enqueue(
        &self,
        org: OrgId,
        run: &NewRun,
        entry: Option<&AuditEntry>,
    ) -> Result<Option<Run>, StoreError> {
        let wanted = Enqueued { run: run.clone(), entry: entry.cloned(), once: None };
        let queued = self.enqueue_all(org, std::slice::from_ref(&wanted)).await?;
        Ok(queued.into_iter().next().and_then(Queued::run))
    }

    /// Queues runs of one organization, in one transaction; says of each in turn what came of it. A call counts as taken if
    /// its run is queued, and only then.
    async fn enqueue_all(&self, org: OrgId, runs: &[Enqueued]) -> Result<Vec<Queued>, StoreError>;

    /// Whether at least so many runs of it wait.
    async fn is_full(&self, org: OrgId, id: WorkflowId, most: i64) -> Result<bool, StoreError>;

    /// Notes a trigger that made no run.
    async fn note(&self, org: OrgId, event: &TriggerEvent) -> Result<(), StoreError>;

    /// What triggers did, newest first; one more than `limit` if there are more.
    async fn events(
        &self,
        org: OrgId,
        id: WorkflowId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<TriggerEvent>, StoreError>;

    /// The runs of a workflow, newest first; one more than `limit` if there are more.
    async fn runs(
        &self,
        org: OrgId,
        id: WorkflowId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Run>, StoreError>;

    /// One run with its steps and tries, in order.
    async fn run(
        &self,
        org: OrgId,
        id: RunId,
    ) -> Result<Option<(Run, Vec<RunStep>, Vec<Attempt>)>, StoreError>;

    /// What actions of a run waited for, or wait for, in order.
    async fn approvals(&self, org: OrgId, run: RunId) -> Result<Vec<Approval>, StoreError>;

    /// Approvals of all workflows, newest first; one more than `limit` if there are more. Whether somebody may decide is left
    /// open.
    async fn all_approvals(
        &self,
        org: OrgId,
        filter: ApprovalFilter,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<ListedApproval>, StoreError>;

    /// Decides what a run waits for, and lets it go on at once; `false` if it waits for nothing, or waited too long.
    async fn decide(
        &self,
        org: OrgId,
        run: RunId,
        decision: &Decision,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError>;

    /// Cancels a run that has not ended: whoever has it loses it. `None` if there is no such run, `false` beside it if it
    /// had ended.
    async fn cancel(
        &self,
        org: OrgId,
        id: RunId,
        entry: &AuditEntry,
    ) -> Result<Option<(Run, bool)>, StoreError>;

    /// What is kept in mind of runs of the workflow that acted as that person and got through their steps, whatever became of
    /// their actions: at most `most` of those that were queued before a run at that place, newest first. Beyond the newest
    /// thousand, whoever they acted as, none is looked for.
    async fn glances(
        &self,
        org: OrgId,
        workflow: WorkflowId,
        acting: UserId,
        before: Cursor,
        most: usize,
    ) -> Result<Vec<Earlier>, StoreError>;

    /// At most `most` workflows whose schedules are due, by the database's clock, without those of `but`: of each organization
    /// the first, then of each the second, and so on, so that many of one make nobody else wait.
    async fn due(
        &self,
        most: usize,
        but: &[WorkflowId],
    ) -> Result<Vec<(OrgId, WorkflowId)>, StoreError>;

    /// Acts on a schedule that is due, as `decide` says: one run or reason for each slot, however many servers try.
    /// `false` if it is not due any more, another version is published by now, or somebody else is at it.
    async fn fire(
        &self,
        org: OrgId,
        workflow: WorkflowId,
        version: i32,
        decide: DecideFiring<'_>,
    ) -> Result<bool, StoreError>;

    /// Whose workflow that is, for calls that bring no credential but the workflow's own token.
    async fn organization_of(&self, id: WorkflowId) -> Result<Option<OrgId>, StoreError>;

    /// Forgets runs that ended more than `age` ago, and those of each workflow beyond the newest `count`; says how many.
    async fn sweep(&self, org: OrgId, age: SignedDuration, count: i64) -> Result<u64, StoreError>;

    /// Every organization.
    async fn organizations(&self) -> Result<Vec<OrgId>, StoreError>;
}

/// How much a worker takes.
#[derive(Clone, Debug)]
pub struct TakeLimits {
    /// Runs at most.
    pub most: usize,
    /// How many runs of one organization may be under way at once, on all workers together.
    pub per_organization: i32,
    /// How long it has them to itself unless it keeps them.
    pub lease: Duration,
    /// After which organization the round goes on.
    pub after: OrgId,
    /// After which workflow it goes on in an organization; in others with the newest.
    pub after_workflows: Vec<(OrgId, WorkflowId)>,
    /// Whether runs are taken over whose worker lost its lease: all that are under way anywhere are looked through for that.
    pub with_lost: bool,
}

/// A run to be queued, and what the trail tells of it.
#[derive(Clone, Debug)]
pub struct Enqueued {
    /// The run and its event.
    pub run: NewRun,
    /// What goes into the trail.
    pub entry: Option<AuditEntry>,
    /// The call that it comes of, which is taken once; `None` for any number of times.
    pub once: Option<Call>,
}

/// A call from outside, by its caller's own name for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// The name.
    pub id: String,
    /// How long it is kept in mind.
    pub kept: SignedDuration,
}

/// What came of a run that was to be queued.
#[derive(Clone, Debug, PartialEq)]
pub enum Queued {
    /// It waits.
    Run(Box<Run>),
    /// The workflow is gone, or nothing of it is published.
    Gone,
    /// The call that it comes of was taken before.
    Repeated,
}

impl Queued {
    /// The run, if it waits.
    pub fn run(self) -> Option<Run> {
        match self {
            Self::Run(run) => Some(*run),
            Self::Gone | Self::Repeated => None,
        }
    }
}

/// What one round of taking brought.
#[derive(Debug, Default)]
pub struct Round {
    /// The runs, which the caller has now.
    pub runs: Vec<Taken>,
    /// How many were taken; more than there are if some could not be read.
    pub taken: usize,
    /// Whether others may wait that were not taken, because a limit was reached.
    pub is_short: bool,
    /// Whether others may wait that were not taken, because another worker was taking some of that organization.
    pub is_busy: bool,
}

/// An approval that is asked for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The action's place in the run.
    pub position: i32,
    /// Its name.
    pub action: String,
    /// The role that decides.
    pub role: String,
    /// What would be done.
    pub shown: Value,
    /// How long it waits.
    pub time: Duration,
    /// As whom the run acts.
    pub requested_by: UserId,
    /// Whether they, and whoever started the run, may approve it themselves.
    pub self_approval: bool,
}

/// The queue of runs. Every method is one transaction for each organization. Time is the database's.
#[async_trait]
pub trait RunQueue: Send + Sync + 'static {
    /// Takes runs that are due or whose worker has lost its lease. Organizations take turns, and within one its
    /// workflows: how many wait elsewhere makes nobody wait. No two callers get the same one. Leases that were lost are
    /// counted as long as nothing more is stored of the run. A crash of the database may
    /// undo it as long as nothing was written about the run after it; then whoever has it finds it lost. What is done of them
    /// already is not read.
    async fn take(&self, limits: &TakeLimits) -> Result<Round, StoreError>;

    /// The steps and actions of a run that are stored, in order; `None` if one of them cannot be read, by anybody.
    async fn steps(&self, org: OrgId, run: RunId) -> Result<Option<Vec<RunStep>>, StoreError>;

    /// Keeps runs for another lease; those that are not in the answer are lost: cancelled, or taken by another. A lease of no
    /// time gives them back: others may take them at once, and nobody has lost them.
    async fn keep(&self, runs: &[(RunId, i64)], lease: Duration) -> Result<Vec<RunId>, StoreError>;

    /// Notes that tries begin, before anything leaves; `false` for each whose run is lost, and then nothing may.
    async fn begin(&self, org: OrgId, all: &[Begin]) -> Result<Vec<bool>, StoreError>;

    /// Since when there is a try of that step or action whose end nobody knows; `None` if there is none.
    async fn begun(
        &self,
        org: OrgId,
        run: RunId,
        position: i32,
    ) -> Result<Option<Timestamp>, StoreError>;

    /// What tries of the action at that position got back. Nothing else of the run is read.
    async fn responses(
        &self,
        org: OrgId,
        run: RunId,
        position: i32,
    ) -> Result<Vec<Value>, StoreError>;

    /// What actions of the run waited for, or wait for, in order.
    async fn approvals(&self, org: OrgId, run: RunId) -> Result<Vec<Approval>, StoreError>;

    /// Asks for an approval unless it was asked for before, tells those who may hear of it, and lets the run wait until it
    /// is decided or expires. `false` if the run is lost; then nothing is written.
    async fn ask(
        &self,
        org: OrgId,
        run: RunId,
        fence: i64,
        wanted: &Ask,
    ) -> Result<bool, StoreError>;

    /// Writes what happened to runs, all or nothing; says of each in turn whether the worker still had it, with everything
    /// before it stored. About lost ones nothing is written. A crash of the database may undo results of steps with which
    /// runs go on, as long as nothing else was written after them; then whoever goes on from them finds the run lost.
    async fn advance(&self, org: OrgId, all: &[Advance]) -> Result<Vec<bool>, StoreError>;
}

/// Says whether somebody of a role will do.
pub type FitsRole<'a> = &'a (dyn Fn(&MemberRole) -> bool + Sync);

/// Says who somebody is now, for what runs in their name.
#[async_trait]
pub trait Members: Send + Sync + 'static {
    /// The member with the rights of their role as it is now; `None` if they are none any more.
    async fn acting(&self, org: OrgId, user: UserId) -> Result<Option<Principal>, StoreError>;

    /// The member's role as it is now; `None` if they are none.
    async fn role(&self, org: OrgId, user: UserId) -> Result<Option<MemberRole>, StoreError>;

    /// Whether a member but those has a role that `fits`.
    async fn has_another(
        &self,
        org: OrgId,
        but: &[UserId],
        fits: FitsRole<'_>,
    ) -> Result<bool, StoreError>;
}

/// What a step's statement gave.
#[derive(Clone, Debug)]
pub struct Found {
    /// All rows.
    pub result: StepResult,
    /// The entry of the history.
    pub query: QueryId,
}

/// Why a step or an action was not done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What went wrong, for people; without secrets.
    pub message: String,
    /// Whether the same may work later.
    pub is_temporary: bool,
    /// Whether nothing was tried, because others had the sessions of the connection.
    pub had_no_turn: bool,
    /// What was sent, bounded and without secrets.
    pub request: Option<Value>,
    /// What came back, bounded.
    pub response: Option<Value>,
}

impl Fault {
    /// One that will never work.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            is_temporary: false,
            had_no_turn: false,
            request: None,
            response: None,
        }
    }

    /// One after which nobody knows whether it took effect, and which is not tried again.
    pub fn unknown(message: impl Into<String>) -> Self {
        let response = Some(serde_json::json!({ "took_effect": "unknown" }));
        Self { response, ..Self::permanent(message) }
    }

    /// Whether nobody knows if it took effect.
    pub fn is_unknown(&self) -> bool {
        self.response.as_ref().is_some_and(|it| it["took_effect"] == "unknown")
    }

    /// One that may work later.
    pub fn temporary(message: impl Into<String>) -> Self {
        Self { is_temporary: true, ..Self::permanent(message) }
    }
}

/// Asks what steps ask.
#[async_trait]
pub trait StepRunner: Send + Sync + 'static {
    /// Runs a step's query as that member, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`Fault`]; nothing is left running.
    async fn run(&self, caller: &Principal, step: &Step, context: &Context)
    -> Result<Found, Fault>;
}

/// A call to the outside, ready to be sent.
#[derive(Clone)]
pub struct OutwardCall {
    /// `GET`, `POST`, …
    pub method: &'static str,
    /// Where to.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Option<Vec<u8>>,
    /// How long it may take.
    pub time: Duration,
}

/// What came back from the outside.
#[derive(Clone, Debug)]
pub struct OutwardAnswer {
    /// The status.
    pub status: u16,
    /// The media type.
    pub content_type: Option<String>,
    /// After how many seconds to try again, if it said so.
    pub retry_after: Option<u64>,
    /// The beginning of the body.
    pub body: Vec<u8>,
}

/// Calls the outside, through the gate.
#[async_trait]
pub trait Outward: Send + Sync + 'static {
    /// Sends and waits for the answer. Where a redirect leads is judged like the first address.
    ///
    /// # Errors
    ///
    /// [`Fault`] if there is no answer; an answer that says no is one.
    async fn call(&self, call: OutwardCall) -> Result<OutwardAnswer, Fault>;
}

impl TriggerEvent {
    /// A new event, of which nothing came yet.
    pub fn new(workflow: WorkflowId, kind: &str, at: Timestamp, source: String) -> Self {
        Self {
            id: EventId::new(at),
            workflow,
            kind: kind.to_owned(),
            at,
            source,
            slot: None,
            run: None,
            outcome: "queued".to_owned(),
        }
    }
}
