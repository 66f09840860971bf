use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plinth_core::{Clock, StoreError};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::RunId;
use crate::actions::Actions;
use crate::bell::Bell;
use crate::engine::{Engine, Stop};
use crate::gathered::Gathered;
use crate::held::Holdings;
use crate::hook::HookKey;
use crate::owners::Owners;
use crate::ports::{Members, Round, RunQueue, StepRunner, TakeLimits, WorkflowStore};
use crate::resumed::Reading;
use crate::run::{Advance, Begin, Taken};
use crate::turns::Turns;

/// How long a worker has a run to itself. With `KEEP_EVERY` and `LOOK_EVERY` it says how soon the run of a killed
/// worker goes on elsewhere: within 4 seconds.
pub const LEASE: Duration = Duration::from_secs(3);

/// How often leases are kept.
pub(crate) const KEEP_EVERY: Duration = Duration::from_millis(750);

/// How often a worker looks for runs that it was not woken for: those whose worker died, those that are due again, and
/// where it does not hear other processes all that they queue.
const LOOK_SELDOM: Duration = Duration::from_millis(500);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often a worker looks for runs whose worker died, with what it looks for anyway.
const LOST_EVERY: Duration = Duration::from_millis(250);

/// How soon it looks again where another worker was taking runs: twice as long each time that it found nothing.
const LOOK_SOON: Duration = Duration::from_millis(4);

/// How many it takes at once, and with nothing under way: the first of many begin while the others are being taken. More than
/// these share nothing that is worth the wait.
const TAKE_MOST: usize = 256;
const TAKE_FIRST: usize = 64;

/// How long the next steps and ends are waited for where many are written. What a transaction costs beside them is as much as
/// thirty of them.
const PATIENCE: Duration = Duration::from_millis(20);

/// How long it waits for more room while there is little.
const GATHER: Duration = Duration::from_millis(10);

/// How long it waits after storage failed: twice as long each time, up to as long as it waits where nobody wakes it. Asking a
/// database that is away costs next to nothing, and the runs of everybody wait for the first answer.
const AFTER_FAILURE: Duration = Duration::from_millis(20);

/// How long giving back may take before the queue is looked at.
const GIVE_BACK_LIMIT: Duration = Duration::from_millis(500);

/// How much a worker does at once.
#[derive(Clone, Copy, Debug)]
pub struct WorkerSettings {
    /// Runs under way in this process at most.
    pub runs: usize,
    /// Runs of one organization under way at once, in all processes together.
    pub runs_per_organization: u32,
    /// How long runs that are under way at a stop may take to end; the others go on elsewhere.
    pub grace: Duration,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self { runs: 1024, runs_per_organization: 512, grace: Duration::from_secs(10) }
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
    /// Wakes it when a run was queued.
    pub bell: Arc<Bell>,
    /// How much it does at once.
    pub settings: WorkerSettings,
}

/// Takes runs and does what their workflows say. Any number of processes may, over one database.
pub struct Worker {
    engine: Arc<Engine>,
    bell: Arc<Bell>,
    settings: WorkerSettings,
    held: Arc<Mutex<HashMap<RunId, (i64, AbortHandle)>>>,
    stuck: Arc<Mutex<Stuck>>,
    turns: Mutex<Turns>,
    /// When it looks next for runs whose worker lost its lease.
    lost: Mutex<Instant>,
}

impl Worker {
    /// Puts it together.
    pub fn new(parts: WorkerParts) -> Self {
        let WorkerParts { queue, store, members, steps, actions, hooks, clock, bell, settings } =
            parts;
        let (owners, known) = (Owners::new(members), Mutex::default());
        let written = queue.clone();
        let writer = Gathered::new(move |org, all: Arc<[Advance]>| {
            let queue = written.clone();
            async move { queue.advance(org, &all).await }
        })
        .patient(PATIENCE);
        let begun = queue.clone();
        let beginner = Gathered::new(move |org, all: Arc<[Begin]>| {
            let queue = begun.clone();
            async move { queue.begin(org, &all).await }
        });
        let engine = Engine {
            queue,
            store,
            owners,
            steps,
            actions,
            hooks,
            clock,
            writer,
            beginner,
            known,
            holdings: Holdings::default(),
            reading: Reading::default(),
        };
        Self {
            engine: Arc::new(engine),
            bell,
            settings,
            held: Arc::default(),
            stuck: Arc::default(),
            turns: Mutex::default(),
            lost: Mutex::new(Instant::now()),
        }
    }

    /// Works until it is told to stop.
    pub async fn work(&self, mut stopped: watch::Receiver<bool>) {
        let mut running: JoinSet<()> = JoinSet::new();
        let mut kept = Instant::now();
        let mut looks = Looks::new(self.settings.runs, Instant::now());
        while !*stopped.borrow() {
            let free = self.settings.runs.saturating_sub(running.len());
            let now = Instant::now();
            if looks.next(free, now).is_some_and(|it| it <= now) {
                let most = free.min(if running.is_empty() { TAKE_FIRST } else { TAKE_MOST });
                // Leases are kept also while the database lets us wait.
                let taken = {
                    let taking = self.take(most, self.seeks_lost(now));
                    tokio::pin!(taking);
                    loop {
                        tokio::select! {
                            it = &mut taking => break it,
                            () = tokio::time::sleep_until(kept + KEEP_EVERY) => {
                                kept = Instant::now();
                                self.keep().await;
                            }
                        }
                    }
                };
                match taken {
                    Ok(round) => {
                        if looks.is_failing() {
                            tracing::info!("the queue of runs can be read again");
                        }
                        let is_part = most < free && round.taken >= most;
                        if is_part {
                            // Those that were lost come first, and there may be more of them.
                            *self.lost.lock().expect("not poisoned") = Instant::now();
                        }
                        looks.took(&round, is_part, self.bell.hears(), Instant::now());
                        self.bell.set_room(looks.has_room(free, &round));
                        let since = Instant::now();
                        for run in round.runs {
                            self.start(run, since, &mut running);
                        }
                    }
                    Err(err) => {
                        // Once for each outage.
                        if !looks.is_failing() {
                            let error = plinth_core::chain(&err);
                            tracing::warn!(
                                error,
                                "the queue of runs cannot be read; it will be tried again"
                            );
                        }
                        looks.failed(Instant::now());
                    }
                }
            }
            if kept.elapsed() >= KEEP_EVERY {
                kept = Instant::now();
                self.keep().await;
            }
            let keep = kept + KEEP_EVERY;
            let free = self.settings.runs.saturating_sub(running.len());
            let next = looks.next(free, Instant::now()).map_or(keep, |it| it.min(keep));
            tokio::select! {
                _ = running.join_next(), if !running.is_empty() => {
                    looks.ended();
                    while running.try_join_next().is_some() {
                        looks.ended();
                    }
                }
                () = self.bell.rung() => looks.woken(Instant::now()),
                () = tokio::time::sleep_until(next) => {}
                _ = stopped.changed() => {}
            }
        }
        self.bell.set_room(false);
        let deadline = Instant::now() + self.settings.grace;
        while !running.is_empty() && Instant::now() < deadline {
            let most = KEEP_EVERY.min(deadline - Instant::now());
            let _ = tokio::time::timeout(most, running.join_next()).await;
            self.keep().await;
        }
        self.leave(running).await;
    }

    /// Stops what is under way, and gives it back: it goes on elsewhere at once, and nobody died of it.
    async fn leave(&self, mut running: JoinSet<()>) {
        let left = self.all_held();
        if left.is_empty() {
            return;
        }
        running.shutdown().await;
        let given = self.engine.queue.keep(&left, Duration::ZERO);
        // Else it goes on when its leases are over.
        if let Ok(Err(err)) = tokio::time::timeout(GIVE_BACK_LIMIT, given).await {
            tracing::debug!(error = plinth_core::chain(&err), "runs could not be given back");
        }
    }

    /// What is under way here, with its fences.
    fn all_held(&self) -> Vec<(RunId, i64)> {
        let held = self.held.lock().expect("not poisoned");
        held.iter().map(|(id, it)| (*id, it.0)).collect()
    }

    /// Does everything that is due now, and comes back when nothing is; says how many runs it took.
    ///
    /// # Errors
    ///
    /// When the queue cannot be read.
    pub async fn drain(&self) -> Result<usize, StoreError> {
        let mut all = 0;
        loop {
            let taken = self.take(self.settings.runs, true).await?.runs;
            let since = Instant::now();
            if taken.is_empty() {
                return Ok(all);
            }
            all += taken.len();
            let mut running = JoinSet::new();
            for run in taken {
                self.start(run, since, &mut running);
            }
            while !running.is_empty() {
                let _ = tokio::time::timeout(KEEP_EVERY, running.join_next()).await;
                self.keep().await;
            }
        }
    }

    /// Whether it is time to look for runs whose worker lost its lease.
    fn seeks_lost(&self, now: Instant) -> bool {
        let mut next = self.lost.lock().expect("not poisoned");
        let is_due = *next <= now;
        if is_due {
            *next = now + LOST_EVERY;
        }
        is_due
    }

    async fn take(&self, most: usize, with_lost: bool) -> Result<Round, StoreError> {
        let gave_back = self.give_back().await;
        let (after, after_workflows) = {
            let turns = self.turns.lock().expect("not poisoned");
            (turns.organization(), turns.workflows())
        };
        let per_organization = i32::try_from(self.settings.runs_per_organization);
        let limits = TakeLimits {
            most,
            per_organization: per_organization.unwrap_or(i32::MAX),
            lease: LEASE,
            after,
            after_workflows,
            with_lost: with_lost || gave_back,
        };
        let round = self.engine.queue.take(&limits).await?;
        self.turns.lock().expect("not poisoned").took(&round.runs);
        Ok(round)
    }

    /// Gives back what could not be written down because the database was away, so that it goes on now, here or elsewhere,
    /// and not when its lease is over; says whether there was something.
    async fn give_back(&self) -> bool {
        let stuck = self.stuck.lock().expect("not poisoned").due(Instant::now());
        if stuck.is_empty() {
            return false;
        }
        let given = self.engine.queue.keep(&stuck, Duration::ZERO);
        match tokio::time::timeout(GIVE_BACK_LIMIT, given).await {
            // Somebody holds one of the rows, a session that was cut off perhaps. Nobody else's runs wait for that: these go
            // on when their leases are over.
            Ok(Ok(_)) | Err(_) => self.stuck.lock().expect("not poisoned").gave_back(&stuck),
            // The database is still away, and is asked again with the next look.
            Ok(Err(err)) => {
                tracing::debug!(error = plinth_core::chain(&err), "runs could not be given back");
            }
        }
        true
    }

    fn start(&self, run: Taken, since: Instant, running: &mut JoinSet<()>) {
        let (engine, held, stuck) = (self.engine.clone(), self.held.clone(), self.stuck.clone());
        let (id, fence) = (run.id, run.fence);
        // Under the lock, so that a run that ends at once is not put in after it was taken out.
        let guard = Held { id, fence, all: held };
        let mut all = self.held.lock().expect("not poisoned");
        let task = running.spawn(async move {
            let _guard = guard;
            match engine.take_up(run, since).await {
                Ok(()) | Err(Stop::Ended) => {}
                Err(Stop::Lost) => tracing::info!(run.id = %id, "the run was cancelled or taken over"),
                Err(Stop::Store(err)) => {
                    let error = plinth_core::chain(&err);
                    tracing::warn!(run.id = %id, error, "the run cannot be written down; it goes on later");
                    if matches!(err, StoreError::Unavailable(_)) {
                        let mut stuck = stuck.lock().expect("not poisoned");
                        stuck.add(id, fence, Instant::now());
                    }
                }
            }
        });
        // What this process lost and took again goes on once.
        if let Some((_, lost)) = all.insert(id, (fence, task)) {
            lost.abort();
        }
    }

    /// Keeps what is under way here; what is lost is stopped at once, its statement included.
    async fn keep(&self) {
        let held = self.all_held();
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

/// When a worker looks for runs.
struct Looks {
    /// How many it may have at once.
    most: usize,
    /// When it looks if nothing happens before.
    at: Instant,
    /// Whether the last round left some that wait for a limit.
    is_short: bool,
    /// How long it waits after a round that another worker was in the way of.
    pause: Duration,
    /// How many ended since the last round.
    ended: usize,
    /// How long it waits after the next failure; `None` if the last look was none.
    again: Option<Duration>,
}

impl Looks {
    fn new(most: usize, now: Instant) -> Self {
        Self { most, at: now, is_short: false, pause: LOOK_SOON, ended: 0, again: None }
    }

    /// When to look next, with room for so many; `None` before there is room.
    fn next(&self, free: usize, now: Instant) -> Option<Instant> {
        if free == 0 {
            return None;
        }
        let running = self.most - free;
        // What waits for the ends of others, by the limit of its workflow or organization, comes when a part of them ended.
        if self.is_short && self.ended > 0 && self.ended * 4 >= running {
            return Some(now);
        }
        // Taken in batches: what would bring little waits a moment until more has ended.
        Some(if free * 4 >= self.most { self.at } else { self.at + GATHER })
    }

    /// Whether what is queued now would be taken at once.
    fn has_room(&self, free: usize, round: &Round) -> bool {
        !round.is_short && !round.is_busy && free.saturating_sub(round.runs.len()) * 4 > self.most
    }

    fn is_failing(&self) -> bool {
        self.again.is_some()
    }

    /// Notes a round, which was only a part of what there was room for if `is_part`.
    fn took(&mut self, round: &Round, is_part: bool, is_woken: bool, now: Instant) {
        self.ended = 0;
        self.again = None;
        self.is_short = round.is_short;
        if !round.runs.is_empty() {
            self.pause = LOOK_SOON;
        }
        let pause = match (round.is_busy, round.is_short || !is_woken) {
            _ if is_part => Duration::ZERO,
            (true, _) => self.pause,
            (false, true) => LOOK_EVERY,
            (false, false) => LOOK_SELDOM,
        };
        self.at = now + pause;
        if round.is_busy && round.runs.is_empty() {
            self.pause = (self.pause * 2).min(LOOK_EVERY);
        }
    }

    fn failed(&mut self, now: Instant) {
        self.ended = 0;
        let pause = self.again.unwrap_or(AFTER_FAILURE);
        self.at = now + pause;
        self.again = Some((pause * 2).min(LOOK_EVERY));
    }

    fn ended(&mut self) {
        self.ended += 1;
    }

    fn woken(&mut self, now: Instant) {
        self.at = self.at.min(now);
    }
}

/// Runs that this process had and could not write about, because the database was away.
#[derive(Default)]
struct Stuck {
    all: Vec<StuckRun>,
}

struct StuckRun {
    id: RunId,
    fence: i64,
    since: Instant,
    /// Whether it was given back already. It is remembered for a lease: what gets stuck again and again, although the
    /// database answers, goes on as seldom as leases are over.
    is_back: bool,
}

impl Stuck {
    fn add(&mut self, id: RunId, fence: i64, now: Instant) {
        match self.all.iter_mut().find(|it| it.id == id) {
            Some(it) if it.is_back => {}
            Some(it) => it.fence = fence,
            None => self.all.push(StuckRun { id, fence, since: now, is_back: false }),
        }
    }

    /// What is to be given back; forgets those whose leases are over.
    fn due(&mut self, now: Instant) -> Vec<(RunId, i64)> {
        self.all.retain(|it| now.duration_since(it.since) < LEASE);
        self.all.iter().filter(|it| !it.is_back).map(|it| (it.id, it.fence)).collect()
    }

    fn gave_back(&mut self, given: &[(RunId, i64)]) {
        for it in &mut self.all {
            it.is_back |= given.contains(&(it.id, it.fence));
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn round(is_short: bool, is_busy: bool) -> Round {
        Round { runs: Vec::new(), taken: 0, is_short, is_busy }
    }

    #[test]
    fn who_found_nothing_looks_seldom_and_who_was_in_anothers_way_soon() {
        let now = Instant::now();
        let mut looks = Looks::new(64, now);
        assert_eq!(looks.next(64, now), Some(now));
        assert_eq!(looks.next(0, now), None);
        looks.took(&round(false, false), false, true, now);
        assert_eq!(looks.next(64, now), Some(now + LOOK_SELDOM));
        looks.took(&round(false, false), false, false, now);
        assert_eq!(looks.next(64, now), Some(now + LOOK_EVERY));
        looks.took(&round(true, false), true, true, now);
        assert_eq!(looks.next(64, now), Some(now), "there was room for more");
        looks.took(&round(false, false), false, false, now);
        looks.woken(now);
        assert_eq!(looks.next(64, now), Some(now));
        // Little room waits a moment for more.
        assert_eq!(looks.next(3, now), Some(now + GATHER));
        let pauses: Vec<_> = (0..7)
            .map(|_| {
                looks.took(&round(false, true), false, true, now);
                looks.next(64, now).expect("there is room") - now
            })
            .collect();
        assert_eq!(pauses.first(), Some(&LOOK_SOON));
        assert_eq!(pauses.last(), Some(&LOOK_EVERY));
    }

    #[test]
    fn who_failed_looks_again_soon_and_then_less_often() {
        let now = Instant::now();
        let mut looks = Looks::new(64, now);
        let mut pauses = || {
            looks.failed(now);
            looks.next(64, now).expect("there is room") - now
        };
        let first: Vec<_> = (0..4).map(|_| pauses().as_millis()).collect();
        assert_eq!(first, [20, 40, 80, 100]);
        assert!(looks.is_failing());
        looks.took(&round(false, false), false, true, now);
        assert!(!looks.is_failing());
        looks.failed(now);
        assert_eq!(looks.next(64, now), Some(now + AFTER_FAILURE));
    }

    #[test]
    fn what_is_stuck_is_given_back_once_in_a_lease() {
        let now = Instant::now();
        let id = |number| RunId::from_uuid(Uuid::from_u128(number));
        let mut stuck = Stuck::default();
        stuck.add(id(1), 10, now);
        assert_eq!(stuck.due(now), [(id(1), 10)]);
        assert_eq!(stuck.due(now), [(id(1), 10)], "the database was away still");
        stuck.gave_back(&[(id(1), 10)]);
        stuck.add(id(1), 20, now);
        stuck.add(id(2), 10, now + LEASE / 2);
        assert_eq!(stuck.due(now + LEASE / 2), [(id(2), 10)]);
        assert_eq!(stuck.due(now + LEASE), [(id(2), 10)]);
        stuck.add(id(1), 30, now + LEASE);
        assert_eq!(stuck.due(now + LEASE), [(id(2), 10), (id(1), 30)]);
        assert!(stuck.due(now + LEASE * 2).is_empty());
    }

    #[test]
    fn what_a_limit_held_back_is_taken_when_a_part_has_ended() {
        let now = Instant::now();
        let mut looks = Looks::new(64, now);
        looks.took(&round(true, false), false, true, now);
        assert_eq!(looks.next(32, now), Some(now + LOOK_EVERY));
        for _ in 0..6 {
            looks.ended();
        }
        assert!(looks.next(38, now).is_some_and(|it| it > now), "6 of 32");
        looks.ended();
        assert_eq!(looks.next(39, now), Some(now), "7 of 32");
    }
}
