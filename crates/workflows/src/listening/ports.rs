use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use plinth_connections::ConnectionId;
use plinth_core::{OrgId, StoreError, UserId};
use serde_json::Value;

use crate::WorkflowId;

/// A database that this server listens to now.
#[derive(Clone, Debug)]
pub struct Listened {
    /// Whose.
    pub org: OrgId,
    /// Which connection.
    pub connection: ConnectionId,
    /// Counts how often it was taken. Whoever writes with an older number has lost it.
    pub fence: i64,
    /// Until when all that was said is known to have been heard before; `None` if nobody ever listened.
    pub heard_until: Option<Timestamp>,
}

/// A workflow that a channel of the database starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Which.
    pub workflow: WorkflowId,
    /// As whom it runs.
    pub owner: UserId,
    /// The channel.
    pub channel: String,
    /// How many runs a minute at most.
    pub per_minute: u32,
    /// Whether there is a run when something may have been missed.
    pub runs_on_gap: bool,
}

/// What comes of what was heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// Which workflow.
    pub workflow: WorkflowId,
    /// The channel.
    pub channel: String,
    /// What a run of it reads as `notify`; `None` for no run.
    pub payload: Option<Value>,
    /// Why there is no run; what `queued` is for one.
    pub outcome: String,
}

/// Who listens to which database. Every method is one transaction. Time is the database's, but for what was heard until
/// when: that is the clock's of whoever listened.
#[async_trait]
pub trait ListenerStore: Send + Sync + 'static {
    /// Takes at most `most` databases that live workflows listen to and nobody has.
    async fn take(&self, most: i32, lease: Duration) -> Result<Vec<Listened>, StoreError>;

    /// Keeps one for another lease, noting until when all was heard if that is said; `false` if it is lost.
    async fn keep(
        &self,
        it: &Listened,
        lease: Duration,
        heard_until: Option<Timestamp>,
    ) -> Result<bool, StoreError>;

    /// Gives one back, so that another can take it at once.
    async fn release(&self, it: &Listened) -> Result<(), StoreError>;

    /// The live workflows that listen to it; none while the organization is being deleted.
    async fn listeners(
        &self,
        org: OrgId,
        connection: ConnectionId,
    ) -> Result<Vec<Listener>, StoreError>;

    /// Queues runs and notes events, all or nothing; `false` if it is lost, and then nothing is written.
    async fn write(&self, it: &Listened, heard: &[Heard]) -> Result<bool, StoreError>;
}
