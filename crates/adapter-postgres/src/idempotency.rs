use async_trait::async_trait;
use deadpool_postgres::Transaction;
use jiff::SignedDuration;
use plinth_core::{OrgId, StoreError};
use plinth_tenancy::AuditEntry;
use plinth_tenancy::idempotency::{Begun, Effect, IdempotencyStore, NewRequest};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::Database;
use crate::database::{internal, store, unavailable};

/// [`IdempotencyStore`] in our own database.
#[derive(Clone)]
pub struct PostgresIdempotency {
    database: Database,
}

impl PostgresIdempotency {
    /// Keeps requests in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

/// Notes in a change's transaction that the request which made it has had its effect. The first effect counts.
pub(crate) async fn mark(tx: &Transaction<'_>, entry: &AuditEntry) -> Result<(), StoreError> {
    let Some(id) = entry.idempotency else { return Ok(()) };
    let update = "UPDATE idempotent_requests SET effect = coalesce(effect, $3),
             effect_kind = CASE WHEN effect IS NULL THEN $4 ELSE effect_kind END,
             effect_id = CASE WHEN effect IS NULL THEN $5 ELSE effect_id END
         WHERE org_id = $1 AND id = $2";
    let org = entry.org.as_uuid();
    let marked = tx
        .execute(update, &[&org, &id, &entry.action, &entry.target_kind, &entry.target_id])
        .await
        .map_err(store)?;
    // This server was silent for so long that another one has taken the request over: its change must not happen twice.
    if marked == 0 {
        return Err(unavailable("the request was taken over by another server"));
    }
    Ok(())
}

#[async_trait]
impl IdempotencyStore for PostgresIdempotency {
    async fn begin(
        &self,
        new: &NewRequest,
        lease: SignedDuration,
        kept: SignedDuration,
    ) -> Result<Begun, StoreError> {
        let (org, key) = (new.org.as_uuid(), new.key.as_str());
        let (lease, kept) = (lease.as_secs_f64(), kept.as_secs_f64());
        self.database
            .for_org(new.org, async |tx| {
                // Somebody waits: of what is old only this key, and a few more than come.
                let sweep = "DELETE FROM idempotent_requests WHERE org_id = $1
                     AND created_at < (SELECT db_now() - make_interval(secs => $2))
                     AND (caller = $3 AND key = $4 OR id = ANY (ARRAY(
                         SELECT id FROM idempotent_requests
                         WHERE org_id = $1 AND created_at < (SELECT db_now() - make_interval(secs => $2))
                         ORDER BY created_at LIMIT 20 FOR UPDATE SKIP LOCKED)))";
                tx.execute(sweep, &[&org, &kept, &new.caller, &key]).await.map_err(store)?;
                let insert = "INSERT INTO idempotent_requests
                         (id, org_id, caller, key, fingerprint, leased_until, created_at)
                     VALUES ($1, $2, $3, $4, $5, db_now() + make_interval(secs => $6), db_now())
                     ON CONFLICT (org_id, caller, key) DO NOTHING";
                let print = new.fingerprint.0.as_slice();
                let inserted = tx
                    .execute(insert, &[&new.id, &org, &new.caller, &key, &print, &lease])
                    .await
                    .map_err(store)?;
                if inserted == 1 {
                    return Ok(Begun::Mine(new.id));
                }
                let find = "SELECT id, fingerprint, leased_until > db_now() AS is_leased, answer,
                         effect, effect_kind, effect_id
                     FROM idempotent_requests WHERE org_id = $1 AND caller = $2 AND key = $3 FOR UPDATE";
                let row = tx.query_opt(find, &[&org, &new.caller, &key]).await.map_err(store)?;
                // Released between the two statements: as good as running, the caller comes again.
                let Some(row) = row else { return Ok(Begun::Running) };
                let mut begun = judge(&row, print)?;
                if let Begun::Mine(id) | Begun::Unanswered(id, _) = &mut begun {
                    // Under a new id: whoever had it and is only slow can no longer mark it, so changes nothing.
                    let take = "UPDATE idempotent_requests
                         SET id = $3, leased_until = db_now() + make_interval(secs => $4)
                         WHERE org_id = $1 AND id = $2";
                    tx.execute(take, &[&org, &*id, &new.id, &lease]).await.map_err(store)?;
                    *id = new.id;
                }
                Ok(begun)
            })
            .await
    }

    async fn renew(&self, org: OrgId, id: Uuid, lease: SignedDuration) -> Result<(), StoreError> {
        let update =
            "UPDATE idempotent_requests SET leased_until = db_now() + make_interval(secs => $3)
             WHERE org_id = $1 AND id = $2 AND answer IS NULL";
        self.database
            .for_org(org, async |tx| {
                tx.execute(update, &[&org.as_uuid(), &id, &lease.as_secs_f64()])
                    .await
                    .map_err(store)?;
                Ok(())
            })
            .await
    }

    async fn finish(&self, org: OrgId, id: Uuid, answer: &[u8]) -> Result<(), StoreError> {
        let update = "UPDATE idempotent_requests SET answer = $3, leased_until = NULL
             WHERE org_id = $1 AND id = $2";
        self.database
            .for_org(org, async |tx| {
                tx.execute(update, &[&org.as_uuid(), &id, &answer]).await.map_err(store)?;
                Ok(())
            })
            .await
    }

    async fn release(&self, org: OrgId, id: Uuid) -> Result<(), StoreError> {
        self.database
            .for_org(org, async |tx| {
                let forget = "DELETE FROM idempotent_requests
                     WHERE org_id = $1 AND id = $2 AND answer IS NULL AND effect IS NULL";
                tx.execute(forget, &[&org.as_uuid(), &id]).await.map_err(store)?;
                let end = "UPDATE idempotent_requests SET leased_until = db_now()
                     WHERE org_id = $1 AND id = $2 AND answer IS NULL";
                tx.execute(end, &[&org.as_uuid(), &id]).await.map_err(store)?;
                Ok(())
            })
            .await
    }
}

fn judge(row: &Row, fingerprint: &[u8]) -> Result<Begun, StoreError> {
    let id: Uuid = row.try_get("id").map_err(internal)?;
    if row.try_get::<_, &[u8]>("fingerprint").map_err(internal)? != fingerprint {
        return Ok(Begun::Other);
    }
    if let Some(answer) = row.try_get::<_, Option<Vec<u8>>>("answer").map_err(internal)? {
        return Ok(Begun::Answered(id, answer));
    }
    if row.try_get("is_leased").map_err(internal)? {
        return Ok(Begun::Running);
    }
    let Some(action) = row.try_get("effect").map_err(internal)? else { return Ok(Begun::Mine(id)) };
    let text = |name: &str| row.try_get::<_, Option<String>>(name).map_err(internal);
    let (kind, target) = (text("effect_kind")?, text("effect_id")?);
    let effect = Effect { kind: kind.unwrap_or_default(), id: target.unwrap_or_default(), action };
    Ok(Begun::Unanswered(id, effect))
}
