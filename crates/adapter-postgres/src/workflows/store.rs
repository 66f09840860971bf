use async_trait::async_trait;
use deadpool_postgres::Transaction;
use jiff::{SignedDuration, Timestamp};
use plinth_core::{Cursor, Limit, OrgId, StoreError, UserId};
use plinth_tenancy::AuditEntry;
use plinth_workflows::condition::Earlier;
use plinth_workflows::schedule::Skipped;
use plinth_workflows::writes::{Approval, ApprovalFilter, Decision, ListedApproval};
use plinth_workflows::{
    Attempt, DecideFiring, DecideWorkflow, Enqueued, EventId, Glance, NewRun, Published, Queued,
    Run, RunId, RunStep, TriggerEvent, Workflow, WorkflowError, WorkflowId, WorkflowStore,
};
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use super::{PostgresWorkflows, approvals, rows, runs};
use crate::audit;
use crate::database::{Deletion, broken_constraint, delete, internal, store};
use crate::sweep::Old;

const INSERT: &str = "INSERT INTO workflows (id, org_id, name, description, owner_id, enabled, paused_at, paused_why, failures,
         draft, published, trigger_kind, next_slot, hook_number, revision, created_at, updated_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";

const UPDATE: &str = "UPDATE workflows SET name = $3, description = $4, owner_id = $5, enabled = $6, paused_at = $7,
         paused_why = $8, failures = $9, draft = $10, published = $11, trigger_kind = $12, next_slot = $13,
         hook_number = $14, revision = $15, created_at = $16, updated_at = $17
     WHERE id = $1 AND org_id = $2";

/// What is forgotten of a workflow is found in the index of its runs, from the oldest on: there is none of their ends, and no
/// run ends before it is made.
const OLD_RUNS: Old<'_> = Old {
    table: "workflow_runs",
    which: "workflow_id = $2 AND created_at < (SELECT db_now() - make_interval(secs => $3))
             AND ended_at < (SELECT db_now() - make_interval(secs => $3)) ORDER BY created_at, id",
    part: RUNS_AT_ONCE,
};

/// The first run that is one too many. Nearly always there is none: then only the index is read.
const BEYOND: &str = "SELECT created_at, id FROM workflow_runs
     WHERE org_id = $1 AND workflow_id = $2 AND ended_at IS NOT NULL
         AND (SELECT true FROM workflow_runs WHERE org_id = $1 AND workflow_id = $2
              ORDER BY created_at DESC, id DESC OFFSET $3 LIMIT 1)
     ORDER BY created_at DESC, id DESC OFFSET $3 LIMIT 1";

const RUNS_BEYOND: Old<'_> = Old {
    table: "workflow_runs",
    which: "workflow_id = $2 AND (created_at, id) <= ($3, $4) AND ended_at IS NOT NULL ORDER BY created_at, id",
    part: RUNS_AT_ONCE,
};

const OLD_EVENTS: Old<'_> = Old {
    table: "workflow_events",
    which: "workflow_id = $2 AND at < (SELECT db_now() - make_interval(secs => $3)) ORDER BY at, id",
    part: 1_000,
};

/// With a run go the results of its steps, up to 4 MiB each.
const RUNS_AT_ONCE: u64 = 100;

/// At how many runs it is looked for those that acted as one person. Where nobody took the workflow over, no more are read than
/// are wanted.
const LOOKED_AT: i64 = 1_000;

/// Runs the statement, which inserts or updates.
async fn write(tx: &Transaction<'_>, sql: &str, it: &Workflow) -> Result<(), WorkflowError> {
    let (paused_at, paused_why) = it.paused.clone().unzip();
    let draft = Json(&it.draft);
    let (id, org, owner) = (it.id.as_uuid(), it.org.as_uuid(), it.owner.as_uuid());
    let parameters: [&(dyn ToSql + Sync); 17] = [
        &id,
        &org,
        &it.name,
        &it.description,
        &owner,
        &it.enabled,
        &paused_at,
        &paused_why,
        &it.failures,
        &draft,
        &it.published,
        &it.trigger,
        &it.next_slot,
        &it.hook_number,
        &it.revision,
        &it.created_at,
        &it.updated_at,
    ];
    tx.execute(sql, &parameters).await.map_err(|err| match broken_constraint(&err) {
        Some("workflows_name_key") => WorkflowError::NameTaken(it.name.clone()),
        _ => store(err).into(),
    })?;
    Ok(())
}

async fn publish(
    tx: &Transaction<'_>,
    org: OrgId,
    id: WorkflowId,
    it: &Published,
) -> Result<(), StoreError> {
    let insert = "INSERT INTO workflow_versions (org_id, workflow_id, number, definition, concurrency, published_by, published_at, meant)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let (org, id, by) = (org.as_uuid(), id.as_uuid(), it.by.as_uuid());
    let (definition, meant) = (Json(&it.definition), it.meant.as_ref().map(Json));
    let parameters: [&(dyn ToSql + Sync); 8] =
        [&org, &id, &it.number, &definition, &it.concurrency, &by, &it.at, &meant];
    tx.execute(insert, &parameters).await.map_err(store)?;
    Ok(())
}

#[async_trait]
impl WorkflowStore for PostgresWorkflows {
    async fn insert(
        &self,
        workflow: &Workflow,
        published: Option<&Published>,
        most: i64,
        entry: &AuditEntry,
    ) -> Result<(), WorkflowError> {
        let org = workflow.org.as_uuid();
        self.database
            .for_org(workflow.org, async |tx| {
                let lane = "INSERT INTO workflow_lanes (org_id) VALUES ($1) ON CONFLICT DO NOTHING";
                tx.execute(lane, &[&org]).await.map_err(store)?;
                let count = "SELECT count(*) FROM workflows WHERE org_id = $1";
                let count: i64 = tx.query_one(count, &[&org]).await.map_err(store)?.get(0);
                if count >= most {
                    return Err(WorkflowError::TooMany(most));
                }
                write(tx, INSERT, workflow).await?;
                if let Some(published) = published {
                    publish(tx, workflow.org, workflow.id, published).await?;
                }
                Ok(audit::append(&self.database, tx, entry).await?)
            })
            .await
    }

    async fn find(&self, org: OrgId, id: WorkflowId) -> Result<Option<Workflow>, StoreError> {
        let query = find_query("");
        let found =
            self.database.rows_of_org(org, &query, &[&org.as_uuid(), &id.as_uuid()]).await?;
        found.first().map(rows::workflow).transpose()
    }

    async fn list(
        &self,
        org: OrgId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Workflow>, StoreError> {
        let query = format!(
            "SELECT {} FROM workflows
             WHERE org_id = $1 AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3))
             ORDER BY created_at DESC, id DESC LIMIT $4",
            rows::WORKFLOW
        );
        let (at, id) = (after.map(|it| it.created_at), after.map(|it| it.id));
        let limit = i64::from(limit.get()) + 1;
        self.database
            .for_org(org, async |tx| {
                let found = tx.query(&query, &[&org.as_uuid(), &at, &id, &limit]).await;
                found.map_err(store)?.iter().map(rows::workflow).collect()
            })
            .await
    }

    async fn change(
        &self,
        org: OrgId,
        id: WorkflowId,
        decide: DecideWorkflow<'_>,
    ) -> Result<Option<Workflow>, WorkflowError> {
        self.database
            .for_org(org, async |tx| {
                let Some(mut workflow) = find(tx, org, id, "FOR UPDATE").await? else {
                    return Ok(None);
                };
                let was_live = workflow.is_live();
                let changed = decide(&mut workflow)?;
                if let Some(published) = &changed.published {
                    publish(tx, org, id, published).await?;
                }
                write(tx, UPDATE, &workflow).await?;
                if was_live && !workflow.is_live() {
                    runs::cancel_waiting(tx, org, id).await?;
                }
                if let Some(entry) = &changed.entry {
                    audit::append(&self.database, tx, entry).await?;
                }
                Ok(Some(workflow))
            })
            .await
    }

    async fn remove(
        &self,
        org: OrgId,
        id: WorkflowId,
        expected: Option<&[i64]>,
        entry: &AuditEntry,
    ) -> Result<bool, WorkflowError> {
        // Runs first, in their order, as whoever moves them on has them: else each could wait for the other.
        let lock = "SELECT FROM workflow_runs WHERE org_id = $1 AND workflow_id = $2 AND state IN ('queued', 'running')
             ORDER BY id FOR UPDATE";
        self.database
            .for_org(org, async |tx| {
                tx.execute(lock, &[&org.as_uuid(), &id.as_uuid()]).await.map_err(store)?;
                match delete(tx, "workflows", (org, id.as_uuid()), expected).await? {
                    Deletion::Missing => return Ok(false),
                    Deletion::Changed => return Err(WorkflowError::Changed),
                    Deletion::Done => {}
                }
                audit::append(&self.database, tx, entry).await?;
                Ok(true)
            })
            .await
    }

    async fn versions(&self, org: OrgId, id: WorkflowId) -> Result<Vec<Published>, StoreError> {
        let query = "SELECT * FROM workflow_versions WHERE org_id = $1 AND workflow_id = $2
             ORDER BY number DESC LIMIT 100";
        self.database
            .for_org(org, async |tx| {
                let found = tx.query(query, &[&org.as_uuid(), &id.as_uuid()]).await;
                found.map_err(store)?.iter().map(rows::published).collect()
            })
            .await
    }

    async fn version(
        &self,
        org: OrgId,
        id: WorkflowId,
        number: i32,
    ) -> Result<Option<Published>, StoreError> {
        let query = "SELECT * FROM workflow_versions WHERE org_id = $1 AND workflow_id = $2 AND number = $3";
        self.database
            .for_org(org, async |tx| {
                let found = tx.query_opt(query, &[&org.as_uuid(), &id.as_uuid(), &number]).await;
                found.map_err(store)?.as_ref().map(rows::published).transpose()
            })
            .await
    }

    async fn enqueue_all(&self, org: OrgId, all: &[Enqueued]) -> Result<Vec<Queued>, StoreError> {
        self.database
            .for_org(org, async |tx| {
                let repeated = runs::take_calls(tx, org, all).await?;
                let new: Vec<_> = all.iter().filter(|it| !repeated.contains(&it.run.id)).collect();
                let mut queued = runs::enqueue_all(tx, org, &new).await?;
                let is_queued = |it: &&Enqueued| queued.contains_key(&it.run.id);
                let entries: Vec<_> =
                    all.iter().filter(is_queued).filter_map(|it| it.entry.clone()).collect();
                audit::append_all(&self.database, tx, org, &entries).await?;
                let answer = |it: &Enqueued| match queued.remove(&it.run.id) {
                    Some(run) => Queued::Run(Box::new(run)),
                    None if repeated.contains(&it.run.id) => Queued::Repeated,
                    None => Queued::Gone,
                };
                Ok(all.iter().map(answer).collect())
            })
            .await
    }

    async fn is_full(&self, org: OrgId, id: WorkflowId, most: i64) -> Result<bool, StoreError> {
        self.database.for_org(org, async |tx| runs::is_full(tx, org, id, most).await).await
    }

    async fn note(&self, org: OrgId, event: &TriggerEvent) -> Result<(), StoreError> {
        self.database.for_org(org, async |tx| runs::note(tx, org, event).await.map(|_| ())).await
    }

    async fn events(
        &self,
        org: OrgId,
        id: WorkflowId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<TriggerEvent>, StoreError> {
        let query = "SELECT * FROM workflow_events WHERE org_id = $1 AND workflow_id = $2
                 AND ($3::timestamptz IS NULL OR (at, id) < ($3, $4))
             ORDER BY at DESC, id DESC LIMIT $5";
        let (at, last) = (after.map(|it| it.created_at), after.map(|it| it.id));
        let limit = i64::from(limit.get()) + 1;
        self.database
            .for_org(org, async |tx| {
                let parameters: [&(dyn ToSql + Sync); 5] =
                    [&org.as_uuid(), &id.as_uuid(), &at, &last, &limit];
                let found = tx.query(query, &parameters).await.map_err(store)?;
                found.iter().map(rows::event).collect()
            })
            .await
    }

    async fn runs(
        &self,
        org: OrgId,
        id: WorkflowId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Run>, StoreError> {
        let query = format!(
            "SELECT {} FROM workflow_runs WHERE org_id = $1 AND workflow_id = $2
                 AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4))
             ORDER BY created_at DESC, id DESC LIMIT $5",
            rows::RUN
        );
        let (at, last) = (after.map(|it| it.created_at), after.map(|it| it.id));
        let limit = i64::from(limit.get()) + 1;
        self.database
            .for_org(org, async |tx| {
                let parameters: [&(dyn ToSql + Sync); 5] =
                    [&org.as_uuid(), &id.as_uuid(), &at, &last, &limit];
                let found = tx.query(&query, &parameters).await.map_err(store)?;
                found.iter().map(rows::run).collect()
            })
            .await
    }

    async fn run(
        &self,
        org: OrgId,
        id: RunId,
    ) -> Result<Option<(Run, Vec<RunStep>, Vec<Attempt>)>, StoreError> {
        self.database
            .for_org_as_of_now(org, async |tx| {
                let Some(run) = runs::find(tx, org, id, "").await? else { return Ok(None) };
                let steps = runs::steps(tx, org, id).await?;
                let attempts =
                    "SELECT * FROM workflow_run_attempts WHERE org_id = $1 AND run_id = $2
                     ORDER BY position, started_at, fence, number";
                let attempts = tx.query(attempts, &[&org.as_uuid(), &id.as_uuid()]).await;
                let attempts = attempts.map_err(store)?;
                let attempts = attempts.iter().map(rows::attempt).collect::<Result<_, _>>()?;
                Ok(Some((run, steps, attempts)))
            })
            .await
    }

    async fn approvals(&self, org: OrgId, run: RunId) -> Result<Vec<Approval>, StoreError> {
        self.database.for_org(org, async |tx| approvals::all(tx, org, run).await).await
    }

    async fn all_approvals(
        &self,
        org: OrgId,
        filter: ApprovalFilter,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<ListedApproval>, StoreError> {
        self.database
            .for_org(org, async |tx| approvals::list(tx, org, filter, after, limit).await)
            .await
    }

    async fn decide(
        &self,
        org: OrgId,
        run: RunId,
        decision: &Decision,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        self.database
            .for_org(org, async |tx| {
                let decided = approvals::decide(tx, org, run, decision).await?;
                if decided {
                    audit::append(&self.database, tx, entry).await?;
                }
                Ok(decided)
            })
            .await
    }

    async fn cancel(
        &self,
        org: OrgId,
        id: RunId,
        entry: &AuditEntry,
    ) -> Result<Option<(Run, bool)>, StoreError> {
        let update = "UPDATE workflow_runs
             SET state = 'cancelled', lease_until = NULL, fence = fence + 1, ended_at = db_now()
             WHERE org_id = $1 AND id = $2";
        self.database
            .for_org(org, async |tx| {
                let found = runs::find(tx, org, id, "FOR UPDATE").await?;
                let Some(run) = found else { return Ok(None) };
                if run.state.is_end() {
                    return Ok(Some((run, false)));
                }
                tx.execute(update, &[&org.as_uuid(), &id.as_uuid()]).await.map_err(store)?;
                audit::append(&self.database, tx, entry).await?;
                Ok(runs::find(tx, org, id, "").await?.map(|run| (run, true)))
            })
            .await
    }

    async fn glances(
        &self,
        org: OrgId,
        workflow: WorkflowId,
        acting: UserId,
        before: Cursor,
        most: usize,
    ) -> Result<Vec<Earlier>, StoreError> {
        // A run that judged its conditions got through its steps, whatever became of its actions or is still to come of them.
        // A run acts as who published its version, which is looked up run by run until there are enough.
        let query = "SELECT s.run_id, s.name, s.result->'columns', s.result->'rows'->0, jsonb_array_length(s.result->'rows')
             FROM (SELECT id, created_at FROM (
                     SELECT id, created_at, version FROM workflow_runs
                     WHERE org_id = $1 AND workflow_id = $2 AND (created_at, id) < ($3, $4)
                       AND (verdict IS NOT NULL OR state = 'succeeded')
                     ORDER BY created_at DESC, id DESC LIMIT $7
                   ) it
                   WHERE (SELECT v.published_by FROM workflow_versions v
                          WHERE v.org_id = $1 AND v.workflow_id = $2 AND v.number = it.version) = $6
                   ORDER BY created_at DESC, id DESC LIMIT $5) r
             JOIN workflow_run_steps s ON s.org_id = $1 AND s.run_id = r.id
             WHERE s.result IS NOT NULL ORDER BY r.created_at DESC, r.id DESC";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.database
            .for_org(org, async |tx| {
                let parameters: [&(dyn ToSql + Sync); 7] = [
                    &org.as_uuid(),
                    &workflow.as_uuid(),
                    &before.created_at,
                    &before.id,
                    &most,
                    &acting.as_uuid(),
                    &LOOKED_AT,
                ];
                let mut runs: Vec<(Uuid, Earlier)> = Vec::new();
                for row in tx.query(query, &parameters).await.map_err(store)? {
                    let run: Uuid = row.try_get(0).map_err(internal)?;
                    if runs.last().is_none_or(|it| it.0 != run) {
                        runs.push((run, Earlier::new()));
                    }
                    let first: Option<Json<_>> = row.try_get(3).map_err(internal)?;
                    let rows: i32 = row.try_get(4).map_err(internal)?;
                    let glance = Glance {
                        columns: row.try_get::<_, Json<_>>(2).map_err(internal)?.0,
                        first: first.map(|it| it.0),
                        row_count: u64::try_from(rows).map_err(internal)?,
                        ..Glance::default()
                    };
                    let (_, earlier) = runs.last_mut().expect("there is one by now");
                    earlier.insert(row.try_get(1).map_err(internal)?, glance);
                }
                Ok(runs.into_iter().map(|it| it.1).collect())
            })
            .await
    }

    async fn due(
        &self,
        most: usize,
        but: &[WorkflowId],
    ) -> Result<Vec<(OrgId, WorkflowId)>, StoreError> {
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        let but: Vec<Uuid> = but.iter().map(|it| it.as_uuid()).collect();
        self.database
            .for_nobody(async |tx| {
                let query = "SELECT org_id, workflow_id FROM due_workflows($1, $2)";
                let query = tx.prepare_cached(query).await.map_err(store)?;
                let due = tx.query(&query, &[&most, &but]).await.map_err(store)?;
                let ids = |row: &tokio_postgres::Row| {
                    (OrgId::from_uuid(row.get(0)), WorkflowId::from_uuid(row.get(1)))
                };
                Ok(due.iter().map(ids).collect())
            })
            .await
    }

    async fn fire(
        &self,
        org: OrgId,
        workflow: WorkflowId,
        version: i32,
        decide: DecideFiring<'_>,
    ) -> Result<bool, StoreError> {
        let (org_id, id) = (org.as_uuid(), workflow.as_uuid());
        // Whoever comes second goes on with another, so that servers share what is due. Not `FOR UPDATE`: whoever queues a run
        // holds the workflow's key, and would be taken for somebody who fires.
        let lock = "SELECT next_slot, db_now() FROM workflows
             WHERE org_id = $1 AND id = $2 AND published = $3 AND next_slot <= db_now()
             FOR NO KEY UPDATE SKIP LOCKED";
        let busy = "SELECT EXISTS (SELECT FROM workflow_runs
             WHERE org_id = $1 AND workflow_id = $2 AND state IN ('queued', 'running') AND trigger_kind = 'schedule')";
        self.database
            .for_org(org, async |tx| {
                let found = tx.query_opt(lock, &[&org_id, &id, &version]).await.map_err(store)?;
                let Some(row) = found else { return Ok(false) };
                let slot: Timestamp = row.try_get(0).map_err(internal)?;
                let now: Timestamp = row.try_get(1).map_err(internal)?;
                let is_busy: bool =
                    tx.query_one(busy, &[&org_id, &id]).await.map_err(store)?.get(0);
                let firing = decide(slot, now, is_busy);
                for (slot, why) in &firing.skipped {
                    let outcome = match why {
                        Skipped::Misfire => "skipped: no server was there in time",
                        Skipped::Overlap => "skipped: the run before is not over",
                        Skipped::Full => "skipped: too many runs wait already",
                    };
                    let event = TriggerEvent {
                        slot: Some(*slot),
                        outcome: outcome.to_owned(),
                        ..TriggerEvent::new(workflow, "schedule", now, String::new())
                    };
                    runs::note(tx, org, &event).await?;
                }
                if let Some(slot) = firing.run {
                    let run = RunId::new(now);
                    let event = TriggerEvent {
                        id: EventId::new(now),
                        slot: Some(slot),
                        run: Some(run),
                        ..TriggerEvent::new(workflow, "schedule", now, String::new())
                    };
                    let new = NewRun { id: run, workflow, payload: None, event };
                    runs::enqueue(tx, org, &new, Some(slot)).await?;
                }
                let next = "UPDATE workflows SET next_slot = $3 WHERE org_id = $1 AND id = $2";
                tx.execute(next, &[&org_id, &id, &firing.next]).await.map_err(store)?;
                Ok(true)
            })
            .await
    }

    async fn organization_of(&self, id: WorkflowId) -> Result<Option<OrgId>, StoreError> {
        self.database
            .for_nobody(async |tx| {
                let row = tx.query_one("SELECT find_workflow($1)", &[&id.as_uuid()]).await;
                Ok(row.map_err(store)?.get::<_, Option<Uuid>>(0).map(OrgId::from_uuid))
            })
            .await
    }

    async fn sweep(&self, org: OrgId, age: SignedDuration, count: i64) -> Result<u64, StoreError> {
        let all = "SELECT id FROM workflows WHERE org_id = $1";
        let (id, age) = (org.as_uuid(), age.as_secs_f64());
        let mut forgotten = 0;
        for row in self.database.rows_of_org(org, all, &[&id]).await? {
            let workflow: Uuid = row.try_get(0).map_err(internal)?;
            forgotten += self.database.delete_old(org, &OLD_RUNS, &[&id, &workflow, &age]).await?;
            if let Some((at, newest)) =
                self.database.first_beyond(org, BEYOND, workflow, count).await?
            {
                let parameters: [&(dyn ToSql + Sync); 4] = [&id, &workflow, &at, &newest];
                forgotten += self.database.delete_old(org, &RUNS_BEYOND, &parameters).await?;
            }
            self.database.delete_old(org, &OLD_EVENTS, &[&id, &workflow, &age]).await?;
        }
        Ok(forgotten)
    }

    async fn organizations(&self) -> Result<Vec<OrgId>, StoreError> {
        self.database.organizations().await
    }
}

async fn find(
    tx: &Transaction<'_>,
    org: OrgId,
    id: WorkflowId,
    lock: &str,
) -> Result<Option<Workflow>, StoreError> {
    let found = tx.query_opt(&find_query(lock), &[&org.as_uuid(), &id.as_uuid()]).await;
    found.map_err(store)?.as_ref().map(rows::workflow).transpose()
}

fn find_query(lock: &str) -> String {
    format!("SELECT {} FROM workflows WHERE org_id = $1 AND id = $2 {lock}", rows::WORKFLOW)
}
