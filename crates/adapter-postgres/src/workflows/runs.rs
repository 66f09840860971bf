use std::collections::{HashMap, HashSet};

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use plinth_core::{OrgId, StoreError};
use plinth_workflows::{Enqueued, NewRun, Run, RunId, RunStep, TriggerEvent, WorkflowId};
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use super::rows;
use crate::database::{internal, store};

/// Notes what a trigger did; `false` if there is an event of that slot already.
pub(super) async fn note(
    tx: &Transaction<'_>,
    org: OrgId,
    event: &TriggerEvent,
) -> Result<bool, StoreError> {
    let insert = "INSERT INTO workflow_events (id, org_id, workflow_id, kind, at, source, slot, run_id, outcome)
         SELECT $1, org_id, id, $4, $5, $6, $7, $8, $9 FROM workflows WHERE org_id = $2 AND id = $3
         ON CONFLICT (org_id, workflow_id, slot) DO NOTHING";
    let insert = tx.prepare_cached(insert).await.map_err(store)?;
    let (id, org, workflow) = (event.id.as_uuid(), org.as_uuid(), event.workflow.as_uuid());
    let run = event.run.map(RunId::as_uuid);
    let parameters: [&(dyn ToSql + Sync); 9] = [
        &id,
        &org,
        &workflow,
        &event.kind,
        &event.at,
        &event.source,
        &event.slot,
        &run,
        &event.outcome,
    ];
    Ok(tx.execute(&insert, &parameters).await.map_err(store)? == 1)
}

/// Queues a run of what is published, with its event; `None` if nothing is, or the slot has its event already.
pub(super) async fn enqueue(
    tx: &Transaction<'_>,
    org: OrgId,
    run: &NewRun,
    slot: Option<Timestamp>,
) -> Result<Option<Run>, StoreError> {
    if !note(tx, org, &run.event).await? {
        return Ok(None);
    }
    let insert = format!(
        "INSERT INTO workflow_runs (id, org_id, workflow_id, version, state, trigger_kind, payload, slot, due_at, created_at)
         SELECT $1, org_id, id, published, 'queued', $4, $5, $6, db_now(), $7 FROM workflows
         WHERE org_id = $2 AND id = $3 AND published IS NOT NULL
             AND ($4 = 'manual' OR enabled AND paused_at IS NULL)
         RETURNING {}",
        rows::RUN
    );
    let insert = tx.prepare_cached(&insert).await.map_err(store)?;
    let (id, org, workflow) = (run.id.as_uuid(), org.as_uuid(), run.workflow.as_uuid());
    let payload = run.payload.as_ref().map(Json);
    let parameters: [&(dyn ToSql + Sync); 7] =
        [&id, &org, &workflow, &run.event.kind, &payload, &slot, &run.event.at];
    let queued = tx.query_opt(&insert, &parameters).await.map_err(store)?;
    if queued.is_none() {
        // No run, no event of one.
        let undo = "DELETE FROM workflow_events WHERE org_id = $1 AND id = $2";
        tx.execute(undo, &[&org, &run.event.id.as_uuid()]).await.map_err(store)?;
    }
    queued.as_ref().map(rows::run).transpose()
}

/// Whether at least so many runs wait.
pub(super) async fn is_full(
    tx: &Transaction<'_>,
    org: OrgId,
    workflow: WorkflowId,
    most: i64,
) -> Result<bool, StoreError> {
    // In the order of the index of what waits, of which no more is read than that.
    let query = "SELECT EXISTS (
             SELECT FROM (
                 SELECT FROM workflow_runs WHERE org_id = $1 AND workflow_id = $2 AND state = 'queued'
                 ORDER BY due_at, id LIMIT 1 OFFSET $3
             ) last
         )";
    let query = tx.prepare_cached(query).await.map_err(store)?;
    let before = (most - 1).max(0);
    let found = tx.query_one(&query, &[&org.as_uuid(), &workflow.as_uuid(), &before]).await;
    found.map_err(store)?.try_get(0).map_err(internal)
}

/// Cancels what triggers queued and nobody has begun, of a workflow that they start no more. What somebody asked for by hand, and
/// what has begun, waits on. Whoever takes one in this moment has it: nobody is waited for, as whoever moves runs on has their rows
/// before the workflow's.
pub(super) async fn cancel_waiting(
    tx: &Transaction<'_>,
    org: OrgId,
    workflow: WorkflowId,
) -> Result<(), StoreError> {
    let cancel = "WITH waiting AS (
             SELECT id FROM workflow_runs
             WHERE org_id = $1 AND workflow_id = $2 AND state = 'queued' AND started_at IS NULL AND trigger_kind <> 'manual'
             FOR UPDATE SKIP LOCKED
         )
         UPDATE workflow_runs r SET state = 'cancelled', ended_at = db_now(),
             error = 'workflow_disabled: its workflow was disabled or paused before it began'
         FROM waiting WHERE r.id = waiting.id";
    tx.execute(cancel, &[&org.as_uuid(), &workflow.as_uuid()]).await.map_err(store)?;
    Ok(())
}

/// Notes the calls that runs come of; gives the runs of those that were taken before. What is not published takes none.
pub(super) async fn take_calls(
    tx: &Transaction<'_>,
    org: OrgId,
    all: &[Enqueued],
) -> Result<HashSet<RunId>, StoreError> {
    let of = |it: &Enqueued| Some((it.run.workflow.as_uuid(), it.once.as_ref()?.id.clone()));
    let calls: Vec<_> = all.iter().filter_map(of).collect();
    let Some(kept) = all.iter().filter_map(|it| Some(it.once.as_ref()?.kept)).max() else {
        return Ok(HashSet::new());
    };
    let workflows: Vec<Uuid> = calls.iter().map(|it| it.0).collect();
    let names: Vec<&str> = calls.iter().map(|it| it.1.as_str()).collect();
    let org = org.as_uuid();
    let forget = "DELETE FROM workflow_calls
         WHERE org_id = $1 AND workflow_id = ANY ($2) AND at < db_now() - make_interval(secs => $3)";
    let forget = tx.prepare_cached(forget).await.map_err(store)?;
    tx.execute(&forget, &[&org, &workflows, &kept.as_secs_f64()]).await.map_err(store)?;
    // In one order everywhere: two servers that were called with the same never wait for each other.
    let insert = "INSERT INTO workflow_calls (org_id, workflow_id, call, at)
         SELECT $1, it.workflow, it.call, db_now() FROM unnest($2::uuid[], $3::text[]) AS it (workflow, call)
         JOIN workflows w ON w.org_id = $1 AND w.id = it.workflow
         WHERE w.published IS NOT NULL AND w.enabled AND w.paused_at IS NULL ORDER BY it.workflow, it.call
         ON CONFLICT DO NOTHING RETURNING workflow_id, call";
    let insert = tx.prepare_cached(insert).await.map_err(store)?;
    let taken = tx.query(&insert, &[&org, &workflows, &names]).await.map_err(store)?;
    let mut taken: HashSet<(Uuid, String)> =
        taken.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut left: Vec<(RunId, (Uuid, String))> = Vec::new();
    for it in all {
        if let Some(call) = of(it)
            && !taken.remove(&call)
        {
            left.push((it.run.id, call));
        }
    }
    if left.is_empty() {
        return Ok(HashSet::new());
    }
    let known = "SELECT c.workflow_id, c.call FROM workflow_calls c
         JOIN unnest($2::uuid[], $3::text[]) AS it (workflow, call)
             ON c.workflow_id = it.workflow AND c.call = it.call
         WHERE c.org_id = $1";
    let known = tx.prepare_cached(known).await.map_err(store)?;
    let known = tx.query(&known, &[&org, &workflows, &names]).await.map_err(store)?;
    let known: HashSet<(Uuid, String)> = known.iter().map(|row| (row.get(0), row.get(1))).collect();
    Ok(left.into_iter().filter(|it| known.contains(&it.1)).map(|it| it.0).collect())
}

/// Queues runs of what is published, each with its event; gives those that were queued.
pub(super) async fn enqueue_all(
    tx: &Transaction<'_>,
    org: OrgId,
    all: &[&Enqueued],
) -> Result<HashMap<RunId, Run>, StoreError> {
    if all.is_empty() {
        return Ok(HashMap::new());
    }
    let insert = format!(
        "WITH published AS (
             SELECT it.*, w.published AS version
             FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::jsonb[], $6::timestamptz[], $7::uuid[], $8::text[], $9::text[])
                 AS it (run, workflow, kind, payload, at, event, source, outcome)
             JOIN workflows w ON w.org_id = $1 AND w.id = it.workflow
             WHERE w.published IS NOT NULL AND (it.kind = 'manual' OR w.enabled AND w.paused_at IS NULL)
         ), noted AS (
             INSERT INTO workflow_events (id, org_id, workflow_id, kind, at, source, run_id, outcome)
             SELECT event, $1, workflow, kind, at, source, run, outcome FROM published
         )
         INSERT INTO workflow_runs (id, org_id, workflow_id, version, state, trigger_kind, payload, due_at, created_at)
         SELECT run, $1, workflow, version, 'queued', kind, payload, db_now(), at FROM published
         RETURNING {}",
        rows::RUN
    );
    let insert = tx.prepare_cached(&insert).await.map_err(store)?;
    let runs: Vec<Uuid> = all.iter().map(|it| it.run.id.as_uuid()).collect();
    let workflows: Vec<Uuid> = all.iter().map(|it| it.run.workflow.as_uuid()).collect();
    let kinds: Vec<&str> = all.iter().map(|it| it.run.event.kind.as_str()).collect();
    let payloads: Vec<Option<Json<_>>> =
        all.iter().map(|it| it.run.payload.as_ref().map(Json)).collect();
    let times: Vec<Timestamp> = all.iter().map(|it| it.run.event.at).collect();
    let events: Vec<Uuid> = all.iter().map(|it| it.run.event.id.as_uuid()).collect();
    let sources: Vec<&str> = all.iter().map(|it| it.run.event.source.as_str()).collect();
    let outcomes: Vec<&str> = all.iter().map(|it| it.run.event.outcome.as_str()).collect();
    let parameters: [&(dyn ToSql + Sync); 9] = [
        &org.as_uuid(),
        &runs,
        &workflows,
        &kinds,
        &payloads,
        &times,
        &events,
        &sources,
        &outcomes,
    ];
    let queued = tx.query(&insert, &parameters).await.map_err(store)?;
    queued.iter().map(|row| rows::run(row).map(|it| (it.id, it))).collect()
}

pub(super) async fn find(
    tx: &Transaction<'_>,
    org: OrgId,
    id: RunId,
    lock: &str,
) -> Result<Option<Run>, StoreError> {
    let query =
        format!("SELECT {} FROM workflow_runs WHERE org_id = $1 AND id = $2 {lock}", rows::RUN);
    let found = tx.query_opt(&query, &[&org.as_uuid(), &id.as_uuid()]).await;
    found.map_err(store)?.as_ref().map(rows::run).transpose()
}

/// The steps of a run, in order. Each column is named: the statement stays prepared, also where a newer server adds one.
pub(super) const STEPS: &str =
    "SELECT position, name, is_action, succeeded, result, query_id, error, started_at, ended_at
     FROM workflow_run_steps WHERE org_id = $1 AND run_id = $2 ORDER BY position";

/// [`STEPS`], in a transaction.
pub(super) async fn steps(
    tx: &Transaction<'_>,
    org: OrgId,
    run: RunId,
) -> Result<Vec<RunStep>, StoreError> {
    let query = tx.prepare_cached(STEPS).await.map_err(store)?;
    let found = tx.query(&query, &[&org.as_uuid(), &run.as_uuid()]).await.map_err(store)?;
    found.iter().map(rows::step).collect()
}
