//! What background checks found, and when they come.

use deadpool_postgres::Transaction;
use jiff::SignedDuration;
use plinth_connections::{Checked, Connection, ConnectionId, Judged, Turn};
use plinth_core::{OrgId, StoreError};
use plinth_workflows::events::EventKind;
use serde_json::json;
use tokio_postgres::types::Json;

use super::is_checked;
use crate::database::store;
use crate::{Database, audit, events, outbox};

/// Takes what is due.
pub(super) async fn take(
    database: &Database,
    limit: usize,
    lease: SignedDuration,
) -> Result<Vec<(OrgId, ConnectionId)>, StoreError> {
    let limit = i32::try_from(limit).unwrap_or(i32::MAX);
    let take =
        "SELECT org_id, connection_id FROM take_connection_checks($1, make_interval(secs => $2))";
    database
        .for_nobody(async |tx| {
            let take = tx.prepare_cached(take).await.map_err(store)?;
            let rows = tx.query(&take, &[&limit, &lease.as_secs_f64()]).await.map_err(store)?;
            let ids = |row: &tokio_postgres::Row| {
                (OrgId::from_uuid(row.get(0)), ConnectionId::from_uuid(row.get(1)))
            };
            Ok(rows.iter().map(ids).collect())
        })
        .await
}

/// Keeps what a check found, unless the connection was changed since.
pub(super) async fn put(database: &Database, check: &Checked) -> Result<bool, StoreError> {
    let Checked { connection: it, judged, again_in, entry, message } = check;
    // The row lock makes a change of the record wait, so that neither overwrites the other.
    let lock = "SELECT FROM connections WHERE org_id = $1 AND id = $2 AND revision = $3 AND deleted_at IS NULL FOR UPDATE";
    let write = "UPDATE connection_checks
         SET status = $3, checked_at = $4, failures = $5, failing_since = $6, diagnosis = $7,
             due_at = db_now() + make_interval(secs => $8)
         WHERE org_id = $1 AND connection_id = $2";
    let turn =
        "UPDATE connections SET inactive_reason = $3, revision = revision + 1, updated_at = $4
                WHERE org_id = $1 AND id = $2";
    database
        .for_org(it.org, async |tx| {
            let (org, id) = (it.org.as_uuid(), it.id.as_uuid());
            if tx.execute(lock, &[&org, &id, &it.revision]).await.map_err(store)? == 0 {
                return Ok(false);
            }
            let health = &judged.health;
            let failures = i32::try_from(health.failures).unwrap_or(i32::MAX);
            let diagnosis = health.diagnosis.as_deref().map(Json);
            let pause = again_in.as_secs_f64();
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 8] = [
                &org,
                &id,
                &health.status.as_str(),
                &health.checked_at,
                &failures,
                &health.failing_since,
                &diagnosis,
                &pause,
            ];
            tx.execute(write, &values).await.map_err(store)?;
            if judged.activity != it.activity {
                let reason = judged.activity.reason();
                tx.execute(turn, &[&org, &id, &reason, &health.checked_at]).await.map_err(store)?;
            }
            if let Some(message) = message {
                outbox::put(tx, message).await?;
            }
            announce(tx, it, judged).await?;
            if let Some(entry) = entry {
                audit::append(database, tx, entry).await?;
            }
            Ok(true)
        })
        .await
}

/// Tells others' servers what the check turned around.
async fn announce(
    tx: &Transaction<'_>,
    it: &Connection,
    judged: &Judged,
) -> Result<(), StoreError> {
    let health = &judged.health;
    let (kind, data) = match judged.turn {
        None => return Ok(()),
        Some(Turn::Lost) => {
            let data = json!({
                "connection_id": it.id, "connection": it.name.as_str(), "since": health.failing_since,
                "title": health.diagnosis.as_ref().map(|it| &it.title),
            });
            (EventKind::ConnectionUnhealthy, data)
        }
        Some(Turn::Recovered) => {
            let data = json!({ "connection_id": it.id, "connection": it.name.as_str() });
            (EventKind::ConnectionRecovered, data)
        }
    };
    let Some(at) = health.checked_at else { return Ok(()) };
    events::announce(tx, it.org, kind, || vec![(at, data)]).await
}

/// Nothing is known any more; it is looked at next, if it is looked at.
pub(super) async fn reset(tx: &Transaction<'_>, it: &Connection) -> Result<(), StoreError> {
    let reset = "UPDATE connection_checks
         SET status = 'unknown', checked_at = NULL, failures = 0, failing_since = NULL, diagnosis = NULL,
             due_at = CASE WHEN $3 THEN db_now() END
         WHERE org_id = $1 AND connection_id = $2";
    tx.execute(reset, &[&it.org.as_uuid(), &it.id.as_uuid(), &is_checked(it)])
        .await
        .map_err(store)?;
    Ok(())
}

/// It is looked at no more.
pub(super) async fn stop(
    tx: &Transaction<'_>,
    org: OrgId,
    id: ConnectionId,
) -> Result<(), StoreError> {
    let stop =
        "UPDATE connection_checks SET due_at = NULL WHERE org_id = $1 AND connection_id = $2";
    tx.execute(stop, &[&org.as_uuid(), &id.as_uuid()]).await.map_err(store)?;
    Ok(())
}
