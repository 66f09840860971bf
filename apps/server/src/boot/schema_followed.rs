use std::sync::Arc;

use async_trait::async_trait;
use plinth_connections::ConnectionId;
use plinth_core::{Clock, chain};
use plinth_queries::QueryId;
use plinth_queries::repairs::Repairs;
use plinth_schema_introspect::SnapshotId;
use plinth_tenancy::outbox::{Delivery, Failure, Message, MessageId, OutboxStore, Waiting};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Tries the saved queries of a connection whose schema has changed.
pub(crate) struct SchemaFollowed {
    repairs: Repairs,
    outbox: Arc<dyn OutboxStore>,
    clock: Arc<dyn Clock>,
}

/// What the message of a change says.
#[derive(Debug, Deserialize, Serialize)]
struct Payload {
    connection: ConnectionId,
    /// The state of the schema before.
    from: SnapshotId,
    /// After which query to go on.
    #[serde(default)]
    after: Option<QueryId>,
}

impl SchemaFollowed {
    pub(crate) fn new(
        repairs: Repairs,
        outbox: Arc<dyn OutboxStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { repairs, outbox, clock }
    }
}

#[async_trait]
impl Delivery for SchemaFollowed {
    async fn deliver(&self, message: &Waiting) -> Result<(), Failure> {
        let org = message.message.org;
        let Payload { connection, from, after } = Payload::deserialize(&message.message.payload)
            .map_err(|_| {
                Failure::Temporary("this server does not know such a change".to_owned())
            })?;
        let temporary = |err: &dyn std::error::Error| Failure::Temporary(chain(err));
        let checked = self.repairs.check(org, connection, from, after).await;
        let checked = checked.map_err(|err| temporary(&err))?;
        let counts = checked.counts;
        for (outcome, many) in [
            ("tried", counts.tried),
            ("broken", counts.broken),
            ("repaired", counts.repaired),
            ("recovered", counts.recovered),
        ] {
            metrics::counter!("plinth_saved_queries_checked_total", "outcome" => outcome)
                .increment(many);
        }
        // Mail and others wait for the same workers: what is left is a message of its own.
        if let Some(next) = checked.next {
            let now = self.clock.now();
            let rest = Message {
                id: MessageId::new(now),
                org,
                topic: Message::SCHEMA.to_owned(),
                payload: json!(Payload { connection, from, after: Some(next) }),
                created_at: now,
            };
            self.outbox.put(&rest).await.map_err(|err| temporary(&err))?;
        }
        Ok(())
    }
}
