use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plinth_core::{Clock, OrgId, StoreError};
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use uuid::Uuid;

use crate::actions::Actions;
use crate::engine::{Engine, Stop};
use crate::hook::HookKey;
use crate::ports::{Members, RunQueue, StepRunner, TakeLimits, WorkflowStore};
use crate::run::Taken;
use crate::writer::Writer;
use crate::{RunId, WorkflowId};

/// How long a worker has a run to itself. With `KEEP_EVERY` and `LOOK_EVERY` it says how soon the run of a killed
/// worker goes on elsewhere: within 4 seconds.
pub const LEASE: Duration = Duration::from_secs(3);

/// How often leases are kept.
pub(crate) const KEEP_EVERY: Duration = Duration::from_millis(750);

/// How often a worker looks for runs that another process queued. Its own process wakes it.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long it waits after storage failed.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

/// How long runs that are under way at a stop may take to end; the others are taken over elsewhere.
const GRACE: Duration = Duration::from_secs(10);

/// How much a worker does at once.
#[derive(Clone, Copy, Debug)]
pub struct WorkerSettings {
    /// Runs under way in this process at most.
    pub runs: usize,
    /// Runs of one organization under way at once, in all processes together.
    pub runs_per_organization: u32,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self { runs: 64, runs_per_organization: 32 }
    }
}

/// What a worker is put together from.
pub struct WorkerParts {
    /// The queue.
    pub queue: Arc<dyn RunQueue>,
    /// Definitions and earlier results.
    pub store: Arc<dyn WorkflowStore>,
    /// Who owners are now.
    pub members: Arc<dyn Members>,
    /// Asks what steps ask.
    pub steps: Arc<dyn StepRunner>,
    /// Takes actions.
    pub actions: Actions,
    /// Makes the secrets that calls are signed with.
    pub hooks: HookKey,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Wakes it when this process queued a run.
    pub woken: Arc<Notify>,
    /// How much it does at once.
    pub settings: WorkerSettings,
}

/// Takes runs and does what their workflows say. Any number of processes may, over one database.
pub struct Worker {
    engine: Arc<Engine>,
    woken: Arc<Notify>,
    settings: WorkerSettings,
    held: Arc<Mutex<HashMap<RunId, (i64, AbortHandle)>>>,
    round: Mutex<(OrgId, WorkflowId)>,
}

impl Worker {
    /// Puts it together. Inside of a runtime: what it writes is gathered by a task of its own.
    pub fn new(parts: WorkerParts) -> Self {
        let WorkerParts { queue, store, members, steps, actions, hooks, clock, woken, settings } =
            parts;
        let writer = Writer::start(queue.clone());
        let known = Mutex::default();
        let engine = Engine { queue, store, members, steps, actions, hooks, clock, writer, known };
        let nobody = (OrgId::from_uuid(Uuid::nil()), WorkflowId::from_uuid(Uuid::nil()));
        Self {
            engine: Arc::new(engine),
            woken,
            settings,
            held: Arc::default(),
            round: Mutex::new(nobody),
        }
    }

    /// Works until it is told to stop.
    pub async fn work(&self, mut stopped: watch::Receiver<bool>) {
        let mut running: JoinSet<()> = JoinSet::new();
        let mut kept = Instant::now();
        let mut look = Instant::now();
        while !*stopped.borrow() {
            let free = self.settings.runs.saturating_sub(running.len());
            // Taken in batches: what would bring little waits a moment until more has ended.
            let worth = match free {
                0 => kept + KEEP_EVERY,
                free if free * 4 >= self.settings.runs => look,
                _ => look + LOOK_EVERY,
            };
            if free > 0 && Instant::now() >= worth {
                match self.take(free).await {
                    Ok(taken) => {
                        let is_full = taken.len() >= free;
                        for run in taken {
                            self.start(run, &mut running);
                        }
                        look = Instant::now() + if is_full { Duration::ZERO } else { LOOK_EVERY };
                    }
                    Err(err) => {
                        let error = plinth_core::chain(&err);
                        tracing::warn!(
                            error,
                            "the queue of runs cannot be read; it will be tried again"
                        );
                        look = Instant::now() + AFTER_FAILURE;
                    }
                }
            }
            if kept.elapsed() >= KEEP_EVERY {
                kept = Instant::now();
                self.keep().await;
            }
            let next = if free > 0 { worth.max(look) } else { worth }.min(kept + KEEP_EVERY);
            tokio::select! {
                _ = running.join_next(), if !running.is_empty() => {
                    while running.try_join_next().is_some() {}
                }
                () = self.woken.notified() => look = Instant::now(),
                () = tokio::time::sleep_until(next) => {}
                _ = stopped.changed() => {}
            }
        }
        let deadline = Instant::now() + GRACE;
        while !running.is_empty() && Instant::now() < deadline {
            let _ = tokio::time::timeout(KEEP_EVERY, running.join_next()).await;
            self.keep().await;
        }
    }

    /// Does everything that is due now, and comes back when nothing is; says how many runs it took.
    ///
    /// # Errors
    ///
    /// When the queue cannot be read.
    pub async fn drain(&self) -> Result<usize, StoreError> {
        let mut all = 0;
        loop {
            let taken = self.take(self.settings.runs).await?;
            if taken.is_empty() {
                return Ok(all);
            }
            all += taken.len();
            let mut running = JoinSet::new();
            for run in taken {
                self.start(run, &mut running);
            }
            while !running.is_empty() {
                let _ = tokio::time::timeout(KEEP_EVERY, running.join_next()).await;
                self.keep().await;
            }
        }
    }

    async fn take(&self, most: usize) -> Result<Vec<Taken>, StoreError> {
        let after = *self.round.lock().expect("not poisoned");
        let per_organization = i32::try_from(self.settings.runs_per_organization);
        let limits = TakeLimits {
            most,
            per_organization: per_organization.unwrap_or(i32::MAX),
            lease: LEASE,
            after,
        };
        let taken = self.engine.queue.take(&limits).await?;
        if let Some(last) = taken.last() {
            *self.round.lock().expect("not poisoned") = (last.org, last.workflow);
        }
        Ok(taken)
    }

    fn start(&self, run: Taken, running: &mut JoinSet<()>) {
        let (engine, held) = (self.engine.clone(), self.held.clone());
        let (id, fence) = (run.id, run.fence);
        // Under the lock, so that a run that ends at once is not put in after it was taken out.
        let guard = Held { id, fence, all: held };
        let mut all = self.held.lock().expect("not poisoned");
        let task = running.spawn(async move {
            let _guard = guard;
            match engine.drive(&run).await {
                Ok(()) => {}
                Err(Stop::Lost) => tracing::info!(run.id = %id, "the run was cancelled or taken over"),
                Err(Stop::Store(err)) => {
                    let error = plinth_core::chain(&err);
                    tracing::warn!(run.id = %id, error, "the run cannot be written down; it goes on later");
                }
            }
        });
        all.insert(id, (fence, task));
    }

    /// Keeps what is under way here; what is lost is stopped at once, its statement included.
    async fn keep(&self) {
        let held: Vec<(RunId, i64)> = {
            let held = self.held.lock().expect("not poisoned");
            held.iter().map(|(id, it)| (*id, it.0)).collect()
        };
        if held.is_empty() {
            return;
        }
        match self.engine.queue.keep(&held, LEASE).await {
            Ok(kept) => {
                let all = self.held.lock().expect("not poisoned");
                for (id, fence) in held.iter().filter(|it| !kept.contains(&it.0)) {
                    if let Some((_, task)) = all.get(id).filter(|it| it.0 == *fence) {
                        task.abort();
                    }
                }
            }
            Err(err) => {
                tracing::warn!(
                    error = plinth_core::chain(&err),
                    "the leases of runs cannot be kept"
                );
            }
        }
    }
}

/// Takes a run out of those that are held, however its task ends.
struct Held {
    id: RunId,
    fence: i64,
    all: Arc<Mutex<HashMap<RunId, (i64, AbortHandle)>>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut all = self.all.lock().expect("not poisoned");
        if all.get(&self.id).is_some_and(|it| it.0 == self.fence) {
            all.remove(&self.id);
        }
    }
}
