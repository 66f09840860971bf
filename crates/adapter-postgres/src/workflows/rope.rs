//! Telling other processes that runs wait: `NOTIFY`, in a transaction of its own.

use std::future::poll_fn;
use std::sync::Arc;

use async_trait::async_trait;
use plinth_core::StoreError;
use plinth_workflows::bell::Rope;
use tokio::sync::Notify;
use tokio_postgres::AsyncMessage;
use uuid::Uuid;

use crate::Database;
use crate::database::{store, unavailable};

const CHANNEL: &str = "plinth_runs";

/// [`Rope`] through our own database, over a session beside the pool.
///
/// Postgres commits transactions with a `NOTIFY` one after the other. So it is never said in the transaction that it tells
/// of, which waits for the disk, but after it, in one that waits for nothing.
pub struct PostgresRope {
    database: Database,
    /// Who says it: this process need not hear itself.
    own: String,
}

impl PostgresRope {
    /// Reaches whoever works for `database`.
    pub fn new(database: Database) -> Self {
        Self { database, own: Uuid::new_v4().simple().to_string() }
    }
}

#[async_trait]
impl Rope for PostgresRope {
    async fn ring(&self) -> Result<(), StoreError> {
        let notify =
            "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)::text";
        self.database.rows_of_nobody(notify, &[&CHANNEL, &self.own]).await.map(drop)
    }

    async fn hear(
        &self,
        listening: &(dyn Fn() + Sync),
        woken: Arc<Notify>,
    ) -> Result<(), StoreError> {
        let (client, mut connection) = self.database.dial().await?;
        let own = self.own.clone();
        // It ends with the session, or with its client when this is dropped.
        let hearing = tokio::spawn(async move {
            loop {
                match poll_fn(|context| connection.poll_message(context)).await {
                    Some(Ok(AsyncMessage::Notification(it))) if it.payload() != own => {
                        woken.notify_one();
                    }
                    Some(Ok(_)) => {}
                    Some(Err(err)) => return Err(store(err)),
                    None => return Ok(()),
                }
            }
        });
        client.batch_execute(&format!("LISTEN {CHANNEL}")).await.map_err(store)?;
        listening();
        hearing.await.map_err(unavailable)?
    }
}
