//! What actions wait for.

use deadpool_postgres::Transaction;
use plinth_core::{Cursor, Limit, OrgId, StoreError, UserId};
use plinth_tenancy::outbox::{Letter, LetterTo, Message};
use plinth_workflows::writes::{Approval, ApprovalFilter, ApprovalState, Decision, ListedApproval};
use plinth_workflows::{Ask, RunId, WorkflowId};
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};

use crate::database::{internal, store};
use crate::outbox;

/// How an approval `a` of the run `r` stands.
const STATE: &str = "CASE WHEN a.approved THEN 'approved' WHEN NOT a.approved THEN 'declined'
         WHEN r.ended_at < a.expires_at THEN 'withdrawn' WHEN a.expires_at <= db_now() THEN 'expired' ELSE 'pending' END";

/// All of a run, in order.
pub(super) async fn all(
    tx: &Transaction<'_>,
    org: OrgId,
    run: RunId,
) -> Result<Vec<Approval>, StoreError> {
    let query = format!(
        "SELECT a.*, {STATE} AS state FROM workflow_approvals a
         JOIN workflow_runs r ON r.org_id = a.org_id AND r.id = a.run_id
         WHERE a.org_id = $1 AND a.run_id = $2 ORDER BY a.position"
    );
    let query = tx.prepare_cached(&query).await.map_err(store)?;
    let found = tx.query(&query, &[&org.as_uuid(), &run.as_uuid()]).await.map_err(store)?;
    found.iter().map(read).collect()
}

/// Those of all workflows that a filter lets through, newest first.
pub(super) async fn list(
    tx: &Transaction<'_>,
    org: OrgId,
    filter: ApprovalFilter,
    after: Option<Cursor>,
    limit: Limit,
) -> Result<Vec<ListedApproval>, StoreError> {
    // What waits is few among many that were decided: it has an index of its own.
    let undecided = match filter.state {
        Some(ApprovalState::Pending | ApprovalState::Expired | ApprovalState::Withdrawn) => {
            "AND a.approved IS NULL"
        }
        Some(ApprovalState::Approved | ApprovalState::Declined) | None => "",
    };
    let query = format!(
        "SELECT * FROM (
             SELECT a.*, {STATE} AS state, r.workflow_id, w.name AS workflow_name
             FROM workflow_approvals a
             JOIN workflow_runs r ON r.org_id = a.org_id AND r.id = a.run_id
             JOIN workflows w ON w.org_id = r.org_id AND w.id = r.workflow_id
             WHERE a.org_id = $1 AND ($2::timestamptz IS NULL OR (a.asked_at, a.run_id) < ($2, $3))
                 AND ($4::uuid IS NULL OR r.workflow_id = $4) {undecided}
         ) it
         WHERE $5::text IS NULL OR it.state = $5
         ORDER BY asked_at DESC, run_id DESC LIMIT $6"
    );
    let (at, last) = (after.map(|it| it.created_at), after.map(|it| it.id));
    let limit = i64::from(limit.get()) + 1;
    let parameters: [&(dyn ToSql + Sync); 6] = [
        &org.as_uuid(),
        &at,
        &last,
        &filter.workflow.map(WorkflowId::as_uuid),
        &filter.state.map(ApprovalState::as_str),
        &limit,
    ];
    let found = tx.query(&query, &parameters).await.map_err(store)?;
    let listed = |row: &Row| {
        Ok(ListedApproval {
            workflow: WorkflowId::from_uuid(row.try_get("workflow_id").map_err(internal)?),
            workflow_name: row.try_get("workflow_name").map_err(internal)?,
            run: RunId::from_uuid(row.try_get("run_id").map_err(internal)?),
            approval: read(row)?,
            may_approve: false,
        })
    };
    found.iter().map(listed).collect()
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
    let lock = "SELECT w.name,
             (SELECT e.source FROM workflow_events e
              WHERE e.org_id = r.org_id AND e.workflow_id = r.workflow_id AND e.at = r.created_at AND e.run_id = r.id
                  AND e.kind = 'manual')
         FROM workflow_runs r JOIN workflows w ON w.org_id = r.org_id AND w.id = r.workflow_id
         WHERE r.org_id = $1 AND r.id = $2 AND r.fence = $3 AND r.state = 'running' AND r.done = $4
         FOR UPDATE OF r";
    let found =
        tx.query_opt(lock, &[&org.as_uuid(), &run.as_uuid(), &fence, &wanted.position]).await;
    let Some(found) = found.map_err(store)? else { return Ok(false) };
    // Who started it stands in its event, which is of the same moment.
    let insert = "INSERT INTO workflow_approvals (org_id, run_id, position, action, role, shown, asked_at, expires_at,
             requested_by, self_approval, started_by)
         VALUES ($1, $2, $3, $4, $5, $6, db_now(), db_now() + make_interval(secs => $7), $8, $9, $10)
         ON CONFLICT (org_id, run_id, position) DO NOTHING RETURNING expires_at";
    let started_by = found.try_get::<_, Option<String>>(1).map_err(internal)?;
    let started_by = started_by.and_then(|it| it.parse::<UserId>().ok());
    let parameters: [&(dyn ToSql + Sync); 10] = [
        &org.as_uuid(),
        &run.as_uuid(),
        &wanted.position,
        &wanted.action,
        &wanted.role,
        &Json(&wanted.shown),
        &wanted.time.as_secs_f64(),
        &wanted.requested_by.as_uuid(),
        &wanted.self_approval,
        &started_by.map(UserId::as_uuid),
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
         WHERE org_id = $1 AND run_id = $2 AND position = $6 AND approved IS NULL AND expires_at > db_now()";
    let parameters: [&(dyn ToSql + Sync); 6] = [
        &org.as_uuid(),
        &run.as_uuid(),
        &decision.approves,
        &decision.by.as_uuid(),
        &decision.comment,
        &decision.position,
    ];
    if tx.execute(decide, &parameters).await.map_err(store)? == 0 {
        return Ok(false);
    }
    let due = "UPDATE workflow_runs SET due_at = db_now() WHERE org_id = $1 AND id = $2";
    tx.execute(due, &[&org.as_uuid(), &run.as_uuid()]).await.map_err(store)?;
    Ok(true)
}

fn read(row: &Row) -> Result<Approval, StoreError> {
    let state: &str = row.try_get("state").map_err(internal)?;
    let state = ApprovalState::ALL.into_iter().find(|it| it.as_str() == state);
    let state = state.ok_or_else(|| internal("an approval stands as none does"))?;
    let user = |column: &str| {
        let id = row.try_get::<_, Option<uuid::Uuid>>(column).map_err(internal)?;
        Ok::<_, StoreError>(id.map(UserId::from_uuid))
    };
    Ok(Approval {
        position: row.try_get("position").map_err(internal)?,
        action: row.try_get("action").map_err(internal)?,
        role: row.try_get("role").map_err(internal)?,
        shown: row.try_get::<_, Json<_>>("shown").map_err(internal)?.0,
        asked_at: row.try_get("asked_at").map_err(internal)?,
        expires_at: row.try_get("expires_at").map_err(internal)?,
        state,
        decided_at: row.try_get("decided_at").map_err(internal)?,
        decided_by: user("decided_by")?,
        requested_by: user("requested_by")?,
        started_by: user("started_by")?,
        self_approval: row.try_get("self_approval").map_err(internal)?,
        comment: row.try_get("comment").map_err(internal)?,
    })
}
