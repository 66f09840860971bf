//! What actions wait for.

use deadpool_postgres::Transaction;
use plinth_core::{OrgId, StoreError, UserId};
use plinth_tenancy::outbox::{Letter, LetterTo, Message};
use plinth_workflows::writes::{Approval, ApprovalState, Decision};
use plinth_workflows::{Ask, RunId};
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};

use crate::database::{internal, store};
use crate::outbox;

/// All of a run, in order.
pub(super) async fn all(
    tx: &Transaction<'_>,
    org: OrgId,
    run: RunId,
) -> Result<Vec<Approval>, StoreError> {
    let query = "SELECT *, expires_at <= db_now() AS expired FROM workflow_approvals
         WHERE org_id = $1 AND run_id = $2 ORDER BY position";
    let query = tx.prepare_cached(query).await.map_err(store)?;
    let found = tx.query(&query, &[&org.as_uuid(), &run.as_uuid()]).await.map_err(store)?;
    found.iter().map(read).collect()
}

/// Asks, unless it was asked before, and lets the run wait; `false` if the worker has the run no more.
pub(super) async fn ask(
    tx: &Transaction<'_>,
    org: OrgId,
    run: RunId,
    fence: i64,
    wanted: &Ask,
    now: jiff::Timestamp,
) -> Result<bool, StoreError> {
    let lock = "SELECT w.name FROM workflow_runs r JOIN workflows w ON w.org_id = r.org_id AND w.id = r.workflow_id
         WHERE r.org_id = $1 AND r.id = $2 AND r.fence = $3 AND r.state = 'running' FOR UPDATE OF r";
    let found = tx.query_opt(lock, &[&org.as_uuid(), &run.as_uuid(), &fence]).await;
    let Some(found) = found.map_err(store)? else { return Ok(false) };
    let insert = "INSERT INTO workflow_approvals (org_id, run_id, position, action, role, shown, asked_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, db_now(), db_now() + make_interval(secs => $7))
         ON CONFLICT (org_id, run_id, position) DO NOTHING RETURNING expires_at";
    let parameters: [&(dyn ToSql + Sync); 7] = [
        &org.as_uuid(),
        &run.as_uuid(),
        &wanted.position,
        &wanted.action,
        &wanted.role,
        &Json(&wanted.shown),
        &wanted.time.as_secs_f64(),
    ];
    let asked = tx.query_opt(insert, &parameters).await.map_err(store)?;
    let wait =
        "UPDATE workflow_runs r SET state = 'queued', lease_until = NULL, due_at = a.expires_at
         FROM workflow_approvals a
         WHERE r.org_id = $1 AND r.id = $2 AND a.org_id = $1 AND a.run_id = $2 AND a.position = $3";
    let parameters: [&(dyn ToSql + Sync); 3] = [&org.as_uuid(), &run.as_uuid(), &wanted.position];
    tx.execute(wait, &parameters).await.map_err(store)?;
    // Told once, however often the run was taken up meanwhile.
    if let Some(asked) = asked {
        let letter = Letter::ApprovalWanted {
            workflow: found.try_get(0).map_err(internal)?,
            run: run.to_string(),
            action: wanted.action.clone(),
            role: wanted.role.clone(),
            expires_at: asked.try_get(0).map_err(internal)?,
        };
        outbox::put(tx, &Message::mail(org, now, &LetterTo::Managers, &letter)).await?;
    }
    Ok(true)
}

/// Decides what a run waits for, and makes it due; `false` if it waits for nothing.
pub(super) async fn decide(
    tx: &Transaction<'_>,
    org: OrgId,
    run: RunId,
    decision: &Decision,
) -> Result<bool, StoreError> {
    let lock =
        "SELECT FROM workflow_runs WHERE org_id = $1 AND id = $2 AND state = 'queued' FOR UPDATE";
    if tx.execute(lock, &[&org.as_uuid(), &run.as_uuid()]).await.map_err(store)? == 0 {
        return Ok(false);
    }
    let decide = "UPDATE workflow_approvals SET approved = $3, decided_at = db_now(), decided_by = $4, comment = $5
         WHERE org_id = $1 AND run_id = $2 AND approved IS NULL AND expires_at > db_now()";
    let parameters: [&(dyn ToSql + Sync); 5] = [
        &org.as_uuid(),
        &run.as_uuid(),
        &decision.approves,
        &decision.by.as_uuid(),
        &decision.comment,
    ];
    if tx.execute(decide, &parameters).await.map_err(store)? == 0 {
        return Ok(false);
    }
    let due = "UPDATE workflow_runs SET due_at = db_now() WHERE org_id = $1 AND id = $2";
    tx.execute(due, &[&org.as_uuid(), &run.as_uuid()]).await.map_err(store)?;
    Ok(true)
}

fn read(row: &Row) -> Result<Approval, StoreError> {
    let expired: bool = row.try_get("expired").map_err(internal)?;
    let state = match row.try_get::<_, Option<bool>>("approved").map_err(internal)? {
        Some(true) => ApprovalState::Approved,
        Some(false) => ApprovalState::Declined,
        None if expired => ApprovalState::Expired,
        None => ApprovalState::Pending,
    };
    let by: Option<uuid::Uuid> = row.try_get("decided_by").map_err(internal)?;
    Ok(Approval {
        position: row.try_get("position").map_err(internal)?,
        action: row.try_get("action").map_err(internal)?,
        role: row.try_get("role").map_err(internal)?,
        shown: row.try_get::<_, Json<_>>("shown").map_err(internal)?.0,
        asked_at: row.try_get("asked_at").map_err(internal)?,
        expires_at: row.try_get("expires_at").map_err(internal)?,
        state,
        decided_at: row.try_get("decided_at").map_err(internal)?,
        decided_by: by.map(UserId::from_uuid),
        comment: row.try_get("comment").map_err(internal)?,
    })
}
