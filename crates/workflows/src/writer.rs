use std::collections::BTreeMap;
use std::sync::Arc;

use plinth_core::{OrgId, StoreError};
use tokio::sync::{mpsc, oneshot};

use crate::ports::RunQueue;
use crate::run::Advance;

/// How much is written in one transaction at most.
const MOST: usize = 200;

type Waiting = (Advance, oneshot::Sender<Result<bool, StoreError>>);

/// Writes what many runs have to say at once: while one transaction commits, the next gathers. Who writes waits until it
/// is stored.
#[derive(Clone)]
pub(crate) struct Writer(mpsc::UnboundedSender<(OrgId, Waiting)>);

impl Writer {
    /// Starts it; it ends with its last clone.
    pub(crate) fn start(queue: Arc<dyn RunQueue>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(write_all(queue, receiver));
        Self(sender)
    }

    /// Whether the worker still had the run; then it is stored.
    pub(crate) async fn write(&self, org: OrgId, advance: Advance) -> Result<bool, StoreError> {
        let (done, waits) = oneshot::channel();
        let gone = || StoreError::Unavailable("the writer has stopped".into());
        self.0.send((org, (advance, done))).map_err(|_| gone())?;
        waits.await.map_err(|_| gone())?
    }
}

async fn write_all(
    queue: Arc<dyn RunQueue>,
    mut waiting: mpsc::UnboundedReceiver<(OrgId, Waiting)>,
) {
    let mut gathered = Vec::with_capacity(MOST);
    while waiting.recv_many(&mut gathered, MOST).await > 0 {
        let mut by_org: BTreeMap<OrgId, Vec<Waiting>> = BTreeMap::new();
        for (org, it) in gathered.drain(..) {
            by_org.entry(org).or_default().push(it);
        }
        let writes = by_org.into_iter().map(|(org, all)| write(&*queue, org, all));
        futures_util::future::join_all(writes).await;
    }
}

async fn write(queue: &dyn RunQueue, org: OrgId, all: Vec<Waiting>) {
    let (advances, waits): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    match queue.advance(org, &advances).await {
        Ok(had) => {
            for (wait, had) in waits.into_iter().zip(had) {
                let _ = wait.send(Ok(had));
            }
        }
        Err(err) => {
            let text = plinth_core::chain(&err);
            for wait in waits {
                let _ = wait.send(Err(StoreError::Unavailable(text.clone().into())));
            }
        }
    }
}
