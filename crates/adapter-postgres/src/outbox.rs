use async_trait::async_trait;
use deadpool_postgres::Transaction;
use jiff::SignedDuration;
use plinth_core::{OrgId, StoreError};
use plinth_tenancy::outbox::{Message, MessageId, OutboxStore, Waiting};
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::Database;
use crate::database::{internal, store};

/// [`OutboxStore`] in our own database.
#[derive(Clone)]
pub struct PostgresOutbox {
    database: Database,
}

impl PostgresOutbox {
    /// Drains the outbox of `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

/// Writes a message in the transaction of the change that makes it necessary.
pub(crate) async fn put(tx: &Transaction<'_>, message: &Message) -> Result<(), StoreError> {
    let insert = "INSERT INTO outbox (id, org_id, topic, payload, created_at, due_at) VALUES ($1, $2, $3, $4, $5, db_now())";
    let (id, org) = (message.id.as_uuid(), message.org.as_uuid());
    let insert = tx.prepare_cached(insert).await.map_err(store)?;
    tx.execute(&insert, &[&id, &org, &message.topic, &Json(&message.payload), &message.created_at])
        .await
        .map_err(store)?;
    Ok(())
}

/// How long an error is kept, in characters.
const ERROR_CHARS: usize = 500;

#[async_trait]
impl OutboxStore for PostgresOutbox {
    async fn put(&self, message: &Message) -> Result<(), StoreError> {
        self.database.for_org(message.org, async |tx| put(tx, message).await).await
    }

    async fn take(&self, limit: usize, lease: SignedDuration) -> Result<Vec<Waiting>, StoreError> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let ids: Vec<(OrgId, Uuid)> = self
            .database
            .for_nobody(async |tx| {
                let take =
                    "SELECT org_id, message_id FROM take_outbox($1, make_interval(secs => $2))";
                let take = tx.prepare_cached(take).await.map_err(store)?;
                let rows = tx.query(&take, &[&limit, &lease.as_secs_f64()]).await.map_err(store)?;
                Ok::<_, StoreError>(
                    rows.iter().map(|row| (OrgId::from_uuid(row.get(0)), row.get(1))).collect(),
                )
            })
            .await?;
        let mut taken = Vec::with_capacity(ids.len());
        let find =
            "SELECT topic, payload, created_at, attempts FROM outbox WHERE org_id = $1 AND id = $2";
        for (org, id) in ids {
            // From here on as everywhere: in the organization's own view.
            let found = self
                .database
                .for_org(org, async |tx| {
                    tx.query_opt(find, &[&org.as_uuid(), &id]).await.map_err(store)
                })
                .await?;
            let Some(row) = found else { continue };
            let message = Message {
                id: MessageId::from_uuid(id),
                org,
                topic: row.try_get(0).map_err(internal)?,
                payload: row.try_get::<_, Json<_>>(1).map_err(internal)?.0,
                created_at: row.try_get(2).map_err(internal)?,
            };
            taken.push(Waiting { message, attempts: row.try_get(3).map_err(internal)? });
        }
        taken.sort_by_key(|it| (it.message.created_at, it.message.id.as_uuid()));
        Ok(taken)
    }

    async fn done(&self, org: OrgId, id: MessageId) -> Result<(), StoreError> {
        let update = "UPDATE outbox SET due_at = NULL, done_at = db_now(), last_error = NULL WHERE org_id = $1 AND id = $2";
        self.database
            .for_org(org, async |tx| {
                tx.execute(update, &[&org.as_uuid(), &id.as_uuid()]).await.map_err(store)?;
                // What was done is kept for a while, so that an operator can see it.
                let sweep = "DELETE FROM outbox WHERE org_id = $1 AND id = ANY (ARRAY(
                     SELECT id FROM outbox WHERE org_id = $1 AND done_at < (SELECT db_now() - interval '7 days')
                     ORDER BY done_at LIMIT 20 FOR UPDATE SKIP LOCKED))";
                tx.execute(sweep, &[&org.as_uuid()]).await.map_err(store)?;
                Ok(())
            })
            .await
    }

    async fn failed(
        &self,
        org: OrgId,
        id: MessageId,
        error: &str,
        again_in: Option<SignedDuration>,
    ) -> Result<(), StoreError> {
        let error: String = error.chars().filter(|it| *it != '\0').take(ERROR_CHARS).collect();
        let pause = again_in.map(|it| it.as_secs_f64());
        let update =
            "UPDATE outbox SET due_at = db_now() + make_interval(secs => $3), last_error = $4
             WHERE org_id = $1 AND id = $2";
        self.database
            .for_org(org, async |tx| {
                tx.execute(update, &[&org.as_uuid(), &id.as_uuid(), &pause, &error])
                    .await
                    .map_err(store)?;
                Ok(())
            })
            .await
    }
}
