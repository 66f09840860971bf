use deadpool_postgres::Transaction;
use jiff::Timestamp;
use plinth_core::{OrgId, StoreError};
use plinth_workflows::{NewRun, Run, RunId, RunStep, TriggerEvent};
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

/// The steps of runs, in order.
pub(super) async fn steps(
    tx: &Transaction<'_>,
    org: OrgId,
    runs: &[Uuid],
) -> Result<Vec<(RunId, RunStep)>, StoreError> {
    let query = "SELECT * FROM workflow_run_steps WHERE org_id = $1 AND run_id = ANY ($2) ORDER BY position";
    let query = tx.prepare_cached(query).await.map_err(store)?;
    let found = tx.query(&query, &[&org.as_uuid(), &runs]).await.map_err(store)?;
    let read = |row: &tokio_postgres::Row| {
        Ok((RunId::from_uuid(row.try_get("run_id").map_err(internal)?), rows::step(row)?))
    };
    found.iter().map(read).collect()
}
