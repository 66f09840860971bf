//! What people do with workflows, and what triggers do.

mod approvals;
mod calls;
mod preview;
mod triggers;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use plinth_connections::Connections;
use plinth_core::{
    Clock, Cursor, Limit, OrgId, Page, Permit, Principal, QueriesRead, Scope, StoreError, UserId,
    WorkflowsRead, WorkflowsWrite,
};
use plinth_queries::{Parameter, Queries, QueryError, QueryId};
use plinth_tenancy::{AuditEntry, Tenancy};
use serde_json::{Map, Value, json};

pub use preview::Previewed;
pub use triggers::{Hook, HookCall, MOST_HOOK_BYTES};

use self::calls::Calls;
use crate::actions::{Actions, without_contents};
use crate::bell::Bell;
use crate::definition::{ActionKind, Definition, Fault, StepKind, Trigger};
use crate::discretion;
use crate::gathered::Gathered;
use crate::hook::HookKey;
use crate::ports::{Changed, Enqueued, Members, Queued, StepRunner, WorkflowStore};
use crate::run::{Attempt, NewRun, Run, RunStep, TriggerEvent};
use crate::workflow::{Published, Workflow};
use crate::writes::{Approval, WantedApproval};
use crate::{RunId, WorkflowError, WorkflowId};

/// The most workflows of one organization.
const MOST: i64 = 1_000;

/// How many runs of one workflow may wait before no more come.
pub const MOST_WAITING: i64 = 100_000;

/// What is needed to make a workflow.
#[derive(Clone, Debug)]
pub struct NewWorkflow {
    /// 1 to 200 characters, unique in the organization.
    pub name: String,
    /// Up to 2,000 characters.
    pub description: String,
    /// What it does: see [`Definition::parse`].
    pub definition: Value,
    /// Whether it is published at once.
    pub publish: bool,
    /// Whether its triggers start it.
    pub enabled: bool,
}

/// What to change; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct WorkflowChange {
    /// See [`NewWorkflow::name`].
    pub name: Option<String>,
    /// See [`NewWorkflow::description`].
    pub description: Option<String>,
    /// Fields of the definition, each in the place of the draft's.
    pub definition: serde_json::Map<String, Value>,
    /// Whether the draft is published by it; only what is published runs.
    pub publish: bool,
    /// Whether its triggers start it. `true` also ends a pause.
    pub enabled: Option<bool>,
    /// The revision that the caller has seen; `None` changes whatever is there.
    pub expected: Option<i64>,
}

/// A run with all that happened in it.
#[derive(Clone, Debug)]
pub struct RunDetail {
    /// The run.
    pub run: Run,
    /// Its steps and actions, in order.
    pub steps: Vec<RunStep>,
    /// Every try, in order.
    pub attempts: Vec<Attempt>,
    /// What actions waited for, or wait for, in order. What would be done is left out for who may not see it.
    pub approvals: Vec<Approval>,
}

/// Workflows of organizations.
#[derive(Clone)]
pub struct Workflows {
    parts: Arc<WorkflowParts>,
    /// Runs to be queued.
    queued: Gathered<Enqueued, Queued>,
    /// What came to webhooks, and of which workflows too many runs wait.
    calls: Arc<Calls>,
    /// Versions that this server does not understand, as far as it has said so.
    unread: Arc<Mutex<HashSet<(WorkflowId, i32)>>>,
}

/// What [`Workflows`] is put together from.
pub struct WorkflowParts {
    /// Where they are kept.
    pub store: Arc<dyn WorkflowStore>,
    /// Time zones of organizations.
    pub tenancy: Tenancy,
    /// The databases that steps ask.
    pub connections: Connections,
    /// The history that steps may run again.
    pub queries: Queries,
    /// Asks what steps ask.
    pub steps: Arc<dyn StepRunner>,
    /// Takes actions.
    pub actions: Actions,
    /// Who may approve.
    pub members: Arc<dyn Members>,
    /// Makes webhooks' URLs and secrets.
    pub hooks: HookKey,
    /// Wakes workers.
    pub bell: Arc<Bell>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Workflows {
    /// Puts the service together.
    pub fn new(parts: WorkflowParts) -> Self {
        let store = parts.store.clone();
        let queued = Gathered::new(move |org, all: Arc<[Enqueued]>| {
            let store = store.clone();
            async move { store.enqueue_all(org, &all).await }
        });
        Self { parts: Arc::new(parts), queued, calls: Arc::default(), unread: Arc::default() }
    }

    /// Makes a workflow, which runs as the caller.
    ///
    /// # Errors
    ///
    /// - [`WorkflowError::Invalid`] with everything that is wrong with the definition, [`WorkflowError::Field`] for the rest.
    /// - [`WorkflowError::NameTaken`], [`WorkflowError::TooMany`].
    /// - [`WorkflowError::Connection`] or [`WorkflowError::Query`] for what a step names and the caller cannot use.
    /// - [`WorkflowError::Narrow`] if the caller's credential is narrower than what the workflow would do.
    pub async fn create(
        &self,
        permit: &Permit<WorkflowsWrite>,
        new: NewWorkflow,
    ) -> Result<Workflow, WorkflowError> {
        let (caller, now) = (permit.principal(), self.parts.clock.now());
        let (name, description) = (name(&new.name)?, description(&new.description)?);
        let definition = self.read(caller, &new.definition).await?;
        let mut workflow = Workflow {
            id: WorkflowId::new(now),
            org: permit.org(),
            name,
            description,
            owner: permit.user(),
            enabled: new.enabled,
            paused: None,
            failures: 0,
            draft: new.definition,
            published: None,
            trigger: None,
            next_slot: None,
            hook_number: 1,
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        let published = if new.publish {
            let published = publish(&mut workflow, caller, &definition, now);
            self.plan(&mut workflow, &definition).await?;
            Some(published)
        } else {
            None
        };
        let entry = AuditEntry::of(caller, now, "workflow.created")
            .on("workflow", workflow.id)
            .with(json!({ "name": workflow.name, "published": workflow.published }));
        self.parts.store.insert(&workflow, published.as_ref(), MOST, &entry).await?;
        Ok(workflow)
    }

    /// The organization's workflows, newest first.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn list(
        &self,
        permit: &Permit<WorkflowsRead>,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<Workflow>, WorkflowError> {
        let items = self.parts.store.list(permit.org(), after, limit).await?;
        Ok(Page::cut(items, limit, |it| Cursor { created_at: it.created_at, id: it.id.as_uuid() }))
    }

    /// One workflow.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::NotFound`], also when it is another organization's.
    pub async fn get(
        &self,
        permit: &Permit<WorkflowsRead>,
        id: WorkflowId,
    ) -> Result<Workflow, WorkflowError> {
        self.find(permit.principal(), id).await
    }

    async fn find(&self, caller: &Principal, id: WorkflowId) -> Result<Workflow, WorkflowError> {
        let found = self.parts.store.find(caller.org, id).await?;
        found.ok_or(WorkflowError::NotFound(id))
    }

    /// Changes a workflow. Who publishes it is its owner from then on: it never does with somebody's rights what somebody
    /// else wrote.
    ///
    /// # Errors
    ///
    /// As for [`Workflows::create`], [`WorkflowError::NotFound`], and [`WorkflowError::Changed`] if it is not as expected.
    pub async fn change(
        &self,
        permit: &Permit<WorkflowsWrite>,
        id: WorkflowId,
        change: WorkflowChange,
    ) -> Result<Workflow, WorkflowError> {
        let (caller, now) = (permit.principal(), self.parts.clock.now());
        let before = self.find(caller, id).await?;
        let new_name = change.name.as_deref().map(name).transpose()?;
        let new_description = change.description.as_deref().map(description).transpose()?;
        let mut draft = before.draft.clone();
        if let Some(fields) = draft.as_object_mut() {
            fields.extend(change.definition.clone());
        }
        let is_edited = !change.definition.is_empty();
        let definition =
            if is_edited || change.publish { Some(self.read(caller, &draft).await?) } else { None };
        // What runs after the change: the next slot depends on it.
        let running = match (&definition, change.publish) {
            (Some(definition), true) => Some(definition.clone()),
            _ => self.published(&before).await?,
        };
        let next_slot = match (&running, change.publish || change.enabled == Some(true)) {
            (Some(running), true) => Some(self.next_slot(caller.org, running).await?),
            _ => None,
        };
        let mut decide = |workflow: &mut Workflow| {
            // What was judged is what was read before; a change that came between is another's.
            let expected = change.expected.unwrap_or(before.revision);
            if workflow.revision != expected || workflow.revision != before.revision {
                return Err(WorkflowError::Changed);
            }
            if let Some(name) = &new_name {
                workflow.name.clone_from(name);
            }
            if let Some(description) = &new_description {
                workflow.description.clone_from(description);
            }
            if is_edited {
                workflow.draft.clone_from(&draft);
            }
            let published = match (&definition, change.publish) {
                (Some(definition), true) => Some(publish(workflow, caller, definition, now)),
                _ => None,
            };
            if let Some(enabled) = change.enabled {
                workflow.enabled = enabled;
                if enabled {
                    workflow.paused = None;
                    workflow.failures = 0;
                }
            }
            if let Some(next) = next_slot {
                workflow.next_slot = next;
            }
            if !workflow.is_live() {
                workflow.next_slot = None;
            }
            workflow.revision += 1;
            workflow.updated_at = now;
            let entry =
                AuditEntry::of(caller, now, "workflow.changed").on("workflow", id).with(json!({
                    "name": new_name, "edited": is_edited, "enabled": change.enabled,
                    "published": published.as_ref().map(|it| it.number),
                }));
            Ok(Changed { published, entry: Some(entry) })
        };
        let changed = self.parts.store.change(caller.org, id, &mut decide).await?;
        changed.ok_or(WorkflowError::NotFound(id))
    }

    /// Removes a workflow with its runs. Runs that are under way stop.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::NotFound`], and [`WorkflowError::Changed`] if it has none of the revisions that are expected.
    pub async fn remove(
        &self,
        permit: &Permit<WorkflowsWrite>,
        id: WorkflowId,
        expected: Option<&[i64]>,
    ) -> Result<(), WorkflowError> {
        let now = self.parts.clock.now();
        let entry = AuditEntry::of(permit.principal(), now, "workflow.deleted").on("workflow", id);
        let removed = self.parts.store.remove(permit.org(), id, expected, &entry).await?;
        if removed { Ok(()) } else { Err(WorkflowError::NotFound(id)) }
    }

    /// The published versions, newest first.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::NotFound`].
    pub async fn versions(
        &self,
        permit: &Permit<WorkflowsRead>,
        id: WorkflowId,
    ) -> Result<Vec<Published>, WorkflowError> {
        self.find(permit.principal(), id).await?;
        Ok(self.parts.store.versions(permit.org(), id).await?)
    }

    /// The saved queries that a workflow's steps run: those of the draft and, where that is another, of the version that runs.
    ///
    /// # Errors
    ///
    /// Only when our own storage fails.
    pub async fn queries_of(
        &self,
        permit: &Permit<WorkflowsRead>,
        workflow: &Workflow,
    ) -> Result<BTreeSet<QueryId>, WorkflowError> {
        let (org, id) = (permit.org(), workflow.id);
        // A newer server may have written what this one does not understand.
        let queries =
            |it: &Value| Definition::stored(it).map(|it| it.queries()).unwrap_or_default();
        let mut all = queries(&workflow.draft);
        if let Some(number) = workflow.published
            && let Some(runs) = self.parts.store.version(org, id, number).await?
            && runs.definition != workflow.draft
        {
            all.extend(queries(&runs.definition));
        }
        Ok(all)
    }

    /// Queues a run of the published version, also of a workflow that is disabled or paused.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::NotFound`], [`WorkflowError::NotPublished`], [`WorkflowError::Full`].
    pub async fn run(
        &self,
        permit: &Permit<WorkflowsWrite>,
        id: WorkflowId,
    ) -> Result<Run, WorkflowError> {
        if self.is_full(permit.org(), id).await? {
            return Err(WorkflowError::Full);
        }
        let now = self.parts.clock.now();
        let mut event = TriggerEvent::new(id, "manual", now, permit.user().to_string());
        let run = RunId::new(now);
        event.run = Some(run);
        let entry = AuditEntry::of(permit.principal(), now, "workflow.run")
            .on("workflow", id)
            .with(json!({ "run": run }));
        let new = NewRun { id: run, workflow: id, payload: None, event };
        let new = Enqueued { run: new, entry: Some(entry), once: None };
        let Some(queued) = self.enqueue(permit.org(), new).await?.run() else {
            self.find(permit.principal(), id).await?;
            return Err(WorkflowError::NotPublished);
        };
        Ok(queued)
    }

    /// Whether so many runs of it wait that no more may come, as it was when this server looked in this minute.
    async fn is_full(&self, org: OrgId, id: WorkflowId) -> Result<bool, StoreError> {
        let now = self.parts.clock.now();
        if let Some(known) = self.calls.too_many_wait(id, now) {
            return Ok(known);
        }
        let found = self.parts.store.is_full(org, id, MOST_WAITING).await?;
        self.calls.looked(id, now, found);
        Ok(found)
    }

    /// Queues a run, together with others that come at the same time, and wakes the worker of this process.
    async fn enqueue(&self, org: OrgId, new: Enqueued) -> Result<Queued, WorkflowError> {
        // That such a request had its effect is marked in the same transaction, which fails if another server has taken it
        // over: no other's business.
        let is_marked = new.entry.as_ref().is_some_and(|it| it.idempotency.is_some());
        let queued = if is_marked {
            let queued = self.parts.store.enqueue_all(org, std::slice::from_ref(&new)).await?;
            queued.into_iter().next().unwrap_or(Queued::Gone)
        } else {
            self.queued.write(org, new).await?
        };
        self.parts.bell.ring();
        Ok(queued)
    }

    /// The runs of a workflow, newest first. Why one failed is told to others than whom it acted as and admins without what it
    /// read.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::NotFound`].
    pub async fn runs(
        &self,
        permit: &Permit<WorkflowsRead>,
        id: WorkflowId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<Run>, WorkflowError> {
        let workflow = self.find(permit.principal(), id).await?;
        let mut items = self.parts.store.runs(permit.org(), id, after, limit).await?;
        if !sees_results(permit.principal(), None) {
            let mut versions: HashMap<i32, Acted> = HashMap::new();
            for run in &mut items {
                let Some(error) = &mut run.error else { continue };
                let acted = match versions.entry(run.version) {
                    Entry::Occupied(it) => it.into_mut(),
                    Entry::Vacant(it) => it.insert(self.acted(&workflow, run.version).await?),
                };
                if !sees_results(permit.principal(), acted.by) {
                    *error = discretion::of_run(acted.definition.as_ref(), error);
                }
            }
        }
        Ok(Page::cut(items, limit, |it| Cursor { created_at: it.created_at, id: it.id.as_uuid() }))
    }

    /// What a workflow's triggers did, newest first.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::NotFound`].
    pub async fn events(
        &self,
        permit: &Permit<WorkflowsRead>,
        id: WorkflowId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<TriggerEvent>, WorkflowError> {
        self.find(permit.principal(), id).await?;
        let items = self.parts.store.events(permit.org(), id, after, limit).await?;
        Ok(Page::cut(items, limit, |it| Cursor { created_at: it.at, id: it.id.as_uuid() }))
    }

    /// One run with its steps, their results, and every try.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::RunNotFound`]. Results were read with the rights of whoever published the run's version, and stay
    /// theirs when somebody else takes the workflow over: others than they and admins see that there are some, and not what is
    /// in them; and of every try where it went and what came of it, and not what was sent. Nor are they told the database's
    /// words of what failed: those may quote what was read.
    pub async fn run_detail(
        &self,
        permit: &Permit<WorkflowsRead>,
        workflow: WorkflowId,
        id: RunId,
    ) -> Result<RunDetail, WorkflowError> {
        let found = self.parts.store.run(permit.org(), id).await?;
        let found = found.filter(|it| it.0.workflow == workflow);
        let (mut run, mut steps, mut attempts) = found.ok_or(WorkflowError::RunNotFound(id))?;
        let caller = permit.principal();
        let workflow = self.find(caller, run.workflow).await?;
        let mut approvals = self.parts.store.approvals(permit.org(), id).await?;
        // Who sees everything needs not be told apart from whom it acted as.
        let acted = if sees_results(caller, None) {
            None
        } else {
            let acted = self.acted(&workflow, run.version).await?;
            Some(acted).filter(|it| !sees_results(caller, it.by))
        };
        if let Some(acted) = acted {
            let definition = acted.definition.as_ref();
            let of_place = |position, error: &mut Option<String>| {
                let Some(error) = error else { return };
                *error = discretion::of_place(definition, position, error);
            };
            if let Some(error) = &mut run.error {
                *error = discretion::of_run(definition, error);
            }
            for step in &mut steps {
                step.result = None;
                of_place(step.position, &mut step.error);
            }
            for attempt in &mut attempts {
                without_contents(attempt);
                of_place(attempt.position, &mut attempt.error);
            }
            let role = if approvals.is_empty() {
                None
            } else {
                self.parts.members.role(caller.org, caller.user).await?
            };
            // Whoever is to decide has to see about what.
            for it in &mut approvals {
                if !sees_results(caller, it.requested_by)
                    && !role.as_ref().is_some_and(|role| WantedApproval::is_for(&it.role, role))
                {
                    it.shown = Value::Null;
                }
            }
        }
        Ok(RunDetail { run, steps, attempts, approvals })
    }

    /// Cancels a run: what it does is stopped within a second or so, its statement included; what has left has left.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::RunNotFound`], [`WorkflowError::Ended`].
    pub async fn cancel(
        &self,
        permit: &Permit<WorkflowsWrite>,
        workflow: WorkflowId,
        id: RunId,
    ) -> Result<Run, WorkflowError> {
        let found = self.parts.store.run(permit.org(), id).await?;
        found.filter(|it| it.0.workflow == workflow).ok_or(WorkflowError::RunNotFound(id))?;
        let now = self.parts.clock.now();
        let entry = AuditEntry::of(permit.principal(), now, "workflow_run.cancelled")
            .on("workflow_run", id);
        match self.parts.store.cancel(permit.org(), id, &entry).await? {
            None => Err(WorkflowError::RunNotFound(id)),
            Some((_, false)) => Err(WorkflowError::Ended),
            Some((run, true)) => Ok(run),
        }
    }

    /// Reads a definition, holds what it names against what the caller may use, and notes what that is now.
    async fn read(&self, caller: &Principal, value: &Value) -> Result<Definition, WorkflowError> {
        let mut definition = Definition::parse(value).map_err(WorkflowError::Invalid)?;
        if caller.test_only {
            return Err(WorkflowError::Narrow("it reaches test connections only"));
        }
        let permit = Permit::<QueriesRead>::check(caller)?;
        if let Trigger::Listen { connection, .. } = &definition.trigger {
            let opened = self.parts.connections.open(caller, *connection).await?;
            if !opened.connection.place.may_be_checked() {
                let message = "listening would keep this database from sleeping".to_owned();
                let pointer = "/trigger/connection_id".to_owned();
                return Err(WorkflowError::Invalid(vec![crate::definition::Fault {
                    pointer,
                    message,
                }]));
            }
        }
        let mut faults = Vec::new();
        for (at, step) in definition.steps.iter_mut().enumerate() {
            match &mut step.kind {
                StepKind::Question { connection, .. } | StepKind::Sql { connection, .. }
                    if caller.saved_queries_only =>
                {
                    return Err(WorkflowError::Narrow("it runs saved queries only"));
                }
                StepKind::Question { connection, .. } => {
                    self.parts.connections.open(caller, *connection).await?;
                }
                StepKind::Sql { connection, sql } => {
                    self.parts.connections.open(caller, *connection).await?;
                    let queries = &self.parts.queries;
                    let judged = queries.judge_read(caller, *connection, sql.sql(), sql.values());
                    // Where the schema cannot be read now, that shows when it runs.
                    if let Err(QueryError::Rejected(why)) = judged.await {
                        let pointer = format!("/steps/{at}/sql");
                        faults.push(Fault { pointer, message: why.to_string() });
                    }
                }
                StepKind::Query { query, version, parameters } => {
                    match self.parts.queries.get(&permit, *query).await {
                        Ok(record) => {
                            *version = Some(record.definition.version);
                            fitting(at, &record.definition.parameters, parameters, &mut faults);
                        }
                        Err(err @ QueryError::NotFound(_)) => {
                            let pointer = format!("/steps/{at}/query_id");
                            faults.push(Fault { pointer, message: err.to_string() });
                        }
                        Err(err) => return Err(Box::new(err).into()),
                    }
                }
            }
        }
        for (at, action) in definition.actions.iter().enumerate() {
            if let ActionKind::Write(write) = &action.kind {
                let writer = self.parts.actions.writer();
                let writer =
                    writer.map_err(|_| WorkflowError::Standing("nothing is written here"))?;
                if let Some(message) = writer.check(caller, write).await? {
                    faults.push(Fault { pointer: format!("/actions/{at}/sql"), message });
                }
            }
        }
        for (at, action) in definition.actions.iter_mut().enumerate() {
            match self.parts.actions.judge_credential(caller.org, action).await? {
                Ok(receiver) => action.receiver = receiver,
                Err(message) => {
                    faults.push(Fault { pointer: format!("/actions/{at}/credential"), message });
                }
            }
        }
        if faults.is_empty() { Ok(definition) } else { Err(WorkflowError::Invalid(faults)) }
    }

    /// What runs of it now.
    async fn published(&self, workflow: &Workflow) -> Result<Option<Definition>, WorkflowError> {
        let Some(number) = workflow.published else { return Ok(None) };
        self.version(workflow, number).await
    }

    /// As whom runs of a published version act, and what it says.
    async fn acted(&self, workflow: &Workflow, number: i32) -> Result<Acted, WorkflowError> {
        let found = self.parts.store.version(workflow.org, workflow.id, number).await?;
        let definition = found.as_ref().and_then(|it| Definition::of(it).ok());
        Ok(Acted { by: found.map(|it| it.by), definition })
    }

    /// What a published version says; `None` also if this server does not understand it.
    async fn version(
        &self,
        workflow: &Workflow,
        number: i32,
    ) -> Result<Option<Definition>, WorkflowError> {
        let found = self.parts.store.version(workflow.org, workflow.id, number).await?;
        Ok(found.and_then(|it| Definition::of(&it).ok()))
    }

    async fn plan(
        &self,
        workflow: &mut Workflow,
        definition: &Definition,
    ) -> Result<(), WorkflowError> {
        if workflow.is_live() {
            workflow.next_slot = self.next_slot(workflow.org, definition).await?;
        }
        Ok(())
    }

    async fn next_slot(
        &self,
        org: plinth_core::OrgId,
        definition: &Definition,
    ) -> Result<Option<jiff::Timestamp>, WorkflowError> {
        let Trigger::Schedule(schedule) = &definition.trigger else { return Ok(None) };
        let zone = self.zone(org).await?;
        Ok(schedule.timing.next(self.parts.clock.now(), &zone))
    }

    async fn zone(&self, org: plinth_core::OrgId) -> Result<jiff::tz::TimeZone, WorkflowError> {
        let name = self.parts.tenancy.time_zone(org).await?;
        Ok(jiff::tz::TimeZone::get(&name).unwrap_or(jiff::tz::TimeZone::UTC))
    }
}

/// A version as those see it who read what came of its runs.
struct Acted {
    /// As whom its runs act; `None` if there is no such version.
    by: Option<UserId>,
    /// What it says; `None` also if this server does not understand it.
    definition: Option<Definition>,
}

/// Whether what was read with that person's rights is shown to the caller. Where nobody knows whose they were, it is for those
/// who see everything.
pub(crate) fn sees_results(caller: &Principal, acted: Option<UserId>) -> bool {
    Permit::<QueriesRead>::check(caller).is_ok()
        && !caller.saved_queries_only
        && !caller.test_only
        && (acted == Some(caller.user) || caller.scopes.contains(Scope::Admin))
}

/// Makes the definition the version that runs, as the caller.
fn publish(
    workflow: &mut Workflow,
    caller: &Principal,
    definition: &Definition,
    now: jiff::Timestamp,
) -> Published {
    let number = workflow.published.unwrap_or(0) + 1;
    workflow.published = Some(number);
    workflow.trigger = Some(definition.trigger.kind().to_owned());
    workflow.owner = caller.user;
    workflow.paused = None;
    workflow.failures = 0;
    Published {
        number,
        definition: workflow.draft.clone(),
        meant: Some(definition.meant()),
        by: caller.user,
        at: now,
        concurrency: i32::try_from(definition.limits.concurrency).unwrap_or(i32::MAX),
    }
}

fn name(text: &str) -> Result<String, WorkflowError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > 200 || text.chars().any(char::is_control) {
        let rule = "has to be 1 to 200 characters, on one line";
        return Err(WorkflowError::Field { field: "name", rule });
    }
    Ok(text.to_owned())
}

/// Whether a step says what a saved query wants to be told: no value that it does not know, and each that it needs. Of what
/// kind a value is shows when it is filled in.
fn fitting(at: usize, wanted: &[Parameter], given: &Map<String, Value>, faults: &mut Vec<Fault>) {
    let pointer = |name: &str| {
        format!("/steps/{at}/parameters/{}", name.replace('~', "~0").replace('/', "~1"))
    };
    for name in given.keys().filter(|name| wanted.iter().all(|it| it.name != **name)) {
        let message = "the query has no such parameter".to_owned();
        faults.push(Fault { pointer: pointer(name), message });
    }
    let needed = wanted.iter().filter(|it| it.required && it.default.is_none());
    for it in needed.filter(|it| !given.contains_key(&it.name)) {
        let message = "the query needs a value for it".to_owned();
        faults.push(Fault { pointer: pointer(&it.name), message });
    }
}

fn description(text: &str) -> Result<String, WorkflowError> {
    if text.chars().count() > 2_000 || text.contains('\0') {
        let rule = "has to be at most 2000 characters";
        return Err(WorkflowError::Field { field: "description", rule });
    }
    Ok(text.to_owned())
}
