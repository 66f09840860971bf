//! Workflows that a database starts by `NOTIFY`: one server listens to each database, and another when it dies.
//!
//! What a database says it says once, and to nobody when nobody listens. So what may have been missed is told in the
//! triggers' events; a run for each word is promised only as long as somebody listens.

mod hearing;
mod ports;
mod proof;
mod rate;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use plinth_connections::listening::TargetListener;
use plinth_connections::{ConnectionId, Connections};
use plinth_core::{Clock, OrgId};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::hearing::Hearing;
pub use self::ports::{Heard, Listened, Listener, ListenerStore};
use crate::bell::Bell;
use crate::ports::Members;

/// How long a server has a database to itself unless it keeps it.
pub const LISTEN_LEASE: Duration = Duration::from_secs(4);

/// How often a server looks for databases that nobody listens to.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many databases one look takes.
const MOST: i32 = 64;

/// What a listening server is put together from.
pub struct ListenParts {
    /// Who listens to what, and what came of it.
    pub store: Arc<dyn ListenerStore>,
    /// The databases.
    pub connections: Connections,
    /// Listens to them.
    pub databases: Arc<dyn TargetListener>,
    /// Who owners are now.
    pub members: Arc<dyn Members>,
    /// Wakes workers.
    pub bell: Arc<Bell>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Listens for all organizations. Any number of processes may.
#[derive(Clone)]
pub struct ListenWorker {
    parts: Arc<ListenParts>,
}

impl ListenWorker {
    /// Puts it together.
    pub fn new(parts: ListenParts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// Listens until it is told to stop.
    pub async fn work(&self, mut stopped: watch::Receiver<bool>) {
        let mut held: HashMap<(OrgId, ConnectionId), JoinHandle<()>> = HashMap::new();
        while !*stopped.borrow() {
            held.retain(|_, it| !it.is_finished());
            match self.parts.store.take(MOST, LISTEN_LEASE).await {
                Ok(taken) => {
                    for it in taken {
                        let key = (it.org, it.connection);
                        let hearing = Hearing::new(self.parts.clone(), it, stopped.clone());
                        // One that was lost without knowing it yet ends at its next word to the store.
                        if let Some(old) = held.insert(key, tokio::spawn(hearing.run())) {
                            old.abort();
                        }
                    }
                }
                Err(err) => {
                    let error = plinth_core::chain(&err);
                    tracing::warn!(
                        error,
                        "it cannot be read what to listen to; it will be tried again"
                    );
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = stopped.changed() => {}
            }
        }
        // Each gives back what it has, so that another server need not wait for the lease to end.
        for (_, it) in held {
            let _ = tokio::time::timeout(LISTEN_LEASE, it).await;
        }
    }
}
