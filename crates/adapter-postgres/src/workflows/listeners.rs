//! Who listens to which database.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use jiff::Timestamp;
use plinth_connections::ConnectionId;
use plinth_core::{Clock, OrgId, StoreError, UserId};
use plinth_workflows::listening::{Heard, Listened, Listener, ListenerStore};
use plinth_workflows::{MOST_WAITING, NewRun, RunId, TriggerEvent, WorkflowId};

use super::runs;
use crate::Database;
use crate::database::{internal, store};

/// [`ListenerStore`] in our own database.
#[derive(Clone)]
pub struct PostgresListeners {
    database: Database,
    clock: Arc<dyn Clock>,
    /// Of which workflows too many runs wait, as it was when this server looked in a minute.
    full: Arc<Mutex<HashMap<WorkflowId, (i64, bool)>>>,
}

impl PostgresListeners {
    /// Keeps them in `database`; events are dated by `clock`.
    pub fn new(database: Database, clock: Arc<dyn Clock>) -> Self {
        Self { database, clock, full: Arc::default() }
    }

    /// Whether so many runs of it wait that no more may come. It is looked at once a minute: counting many takes a while.
    async fn is_full(
        &self,
        tx: &Transaction<'_>,
        org: OrgId,
        workflow: WorkflowId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let minute = now.as_second().div_euclid(60);
        let known = self.full.lock().expect("not poisoned").get(&workflow).copied();
        if let Some((_, is_full)) = known.filter(|it| it.0 == minute) {
            return Ok(is_full);
        }
        let is_full = runs::is_full(tx, org, workflow, MOST_WAITING).await?;
        let mut full = self.full.lock().expect("not poisoned");
        full.retain(|_, it| it.0 == minute);
        full.insert(workflow, (minute, is_full));
        Ok(is_full)
    }
}

#[async_trait]
impl ListenerStore for PostgresListeners {
    async fn take(&self, most: i32, lease: Duration) -> Result<Vec<Listened>, StoreError> {
        self.database
            .for_nobody(async |tx| {
                let take = "SELECT taken_org, taken_connection, taken_fence, heard_until
                     FROM take_workflow_listeners($1, make_interval(secs => $2))";
                let take = tx.prepare_cached(take).await.map_err(store)?;
                let rows = tx.query(&take, &[&most, &lease.as_secs_f64()]).await.map_err(store)?;
                rows.iter()
                    .map(|row| {
                        Ok(Listened {
                            org: OrgId::from_uuid(row.try_get(0).map_err(internal)?),
                            connection: ConnectionId::from_uuid(row.try_get(1).map_err(internal)?),
                            fence: row.try_get(2).map_err(internal)?,
                            heard_until: row.try_get(3).map_err(internal)?,
                        })
                    })
                    .collect()
            })
            .await
    }

    async fn keep(
        &self,
        it: &Listened,
        lease: Duration,
        heard_until: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let keep =
            "UPDATE workflow_listeners SET lease_until = db_now() + make_interval(secs => $4),
                 listened_until = coalesce($5, listened_until)
             WHERE org_id = $1 AND connection_id = $2 AND fence = $3";
        self.database
            .for_org(it.org, async |tx| {
                let keep = tx.prepare_cached(keep).await.map_err(store)?;
                let (org, connection) = (it.org.as_uuid(), it.connection.as_uuid());
                let seconds = lease.as_secs_f64();
                let kept = tx
                    .execute(&keep, &[&org, &connection, &it.fence, &seconds, &heard_until])
                    .await;
                Ok(kept.map_err(store)? == 1)
            })
            .await
    }

    async fn release(&self, it: &Listened) -> Result<(), StoreError> {
        let release = "UPDATE workflow_listeners SET lease_until = NULL
             WHERE org_id = $1 AND connection_id = $2 AND fence = $3";
        self.database
            .for_org(it.org, async |tx| {
                let (org, connection) = (it.org.as_uuid(), it.connection.as_uuid());
                tx.execute(release, &[&org, &connection, &it.fence]).await.map_err(store)?;
                Ok(())
            })
            .await
    }

    async fn listeners(
        &self,
        org: OrgId,
        connection: ConnectionId,
    ) -> Result<Vec<Listener>, StoreError> {
        let query = "SELECT w.id, w.owner_id, v.definition->'trigger'->>'channel',
                 coalesce((v.definition->'trigger'->>'per_minute')::bigint, $3),
                 coalesce(v.definition->'trigger'->>'on_gap' = 'run', false)
             FROM workflows w
             JOIN workflow_versions v ON v.org_id = w.org_id AND v.workflow_id = w.id AND v.number = w.published
             WHERE w.org_id = $1 AND w.trigger_kind = 'listen' AND w.enabled AND w.paused_at IS NULL
               AND (SELECT o.deleting_at IS NULL FROM organizations o WHERE o.id = $1)
               AND v.definition->'trigger'->>'connection_id' = $2
             ORDER BY w.id";
        let usual = i64::from(plinth_workflows::definition::USUAL_PER_MINUTE);
        self.database
            .for_org(org, async |tx| {
                let query = tx.prepare_cached(query).await.map_err(store)?;
                let connection = connection.to_string();
                let rows = tx.query(&query, &[&org.as_uuid(), &connection, &usual]).await;
                rows.map_err(store)?
                    .iter()
                    .map(|row| {
                        let per_minute: i64 = row.try_get(3).map_err(internal)?;
                        Ok(Listener {
                            workflow: WorkflowId::from_uuid(row.try_get(0).map_err(internal)?),
                            owner: UserId::from_uuid(row.try_get(1).map_err(internal)?),
                            channel: row.try_get(2).map_err(internal)?,
                            per_minute: u32::try_from(per_minute).map_err(internal)?,
                            runs_on_gap: row.try_get(4).map_err(internal)?,
                        })
                    })
                    .collect()
            })
            .await
    }

    async fn write(&self, it: &Listened, heard: &[Heard]) -> Result<bool, StoreError> {
        let now = self.clock.now();
        self.database
            .for_org(it.org, async |tx| {
                if !holds(tx, it).await? {
                    return Ok(false);
                }
                for one in heard {
                    let mut event =
                        TriggerEvent::new(one.workflow, "listen", now, one.channel.clone());
                    event.outcome.clone_from(&one.outcome);
                    let is_full = one.payload.is_some()
                        && self.is_full(tx, it.org, one.workflow, now).await?;
                    match &one.payload {
                        Some(_) if is_full => {
                            "skipped: too many runs wait already".clone_into(&mut event.outcome);
                            runs::note(tx, it.org, &event).await?;
                        }
                        Some(payload) => {
                            let id = RunId::new(now);
                            event.run = Some(id);
                            let payload = Some(payload.clone());
                            let run = NewRun { id, workflow: one.workflow, payload, event };
                            // One that is gone by now, or not published any more, is started by nobody.
                            runs::enqueue(tx, it.org, &run, None).await?;
                        }
                        None => {
                            runs::note(tx, it.org, &event).await?;
                        }
                    }
                }
                Ok(true)
            })
            .await
    }
}

/// Whether this server has it, which stays so to the end of the transaction: whoever takes it counts on, also where the
/// lease was over and nobody had noticed.
async fn holds(tx: &Transaction<'_>, it: &Listened) -> Result<bool, StoreError> {
    let lock = "SELECT FROM workflow_listeners
         WHERE org_id = $1 AND connection_id = $2 AND fence = $3 FOR SHARE";
    let lock = tx.prepare_cached(lock).await.map_err(store)?;
    let (org, connection) = (it.org.as_uuid(), it.connection.as_uuid());
    Ok(tx.execute(&lock, &[&org, &connection, &it.fence]).await.map_err(store)? == 1)
}
