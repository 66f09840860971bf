//! Sessions kept for the next statement: a pool for each connection, a bound over all of them.

use std::collections::HashMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{Object, Pool, PoolError, QueueMode};
use plinth_connections::{ConnectionId, Diagnosis, Target};
use plinth_core::OrgId;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::dial::Dialer;
use crate::opener::Opener;
use crate::session::{Session, State};
use crate::settings::TargetSettings;
use crate::share::{Lack, Purpose, Share, Shares, Turn};
use crate::ssh::TunnelSlot;

/// How often idle sessions are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(15);

/// Why there is no session.
#[derive(Debug)]
pub(crate) enum NoSession {
    /// See [`Diagnosis`].
    Unreachable(Box<Diagnosis>),
    /// The bound is reached, and no session came back in time.
    Busy,
}

/// All pools of this process.
pub(crate) struct Pools {
    dialer: Dialer,
    settings: TargetSettings,
    shares: Shares,
    by_connection: RwLock<HashMap<ConnectionId, Entry>>,
}

struct Entry {
    org: OrgId,
    version: i64,
    pool: Pool<Opener>,
    background: Arc<Semaphore>,
}

impl Entry {
    /// Whoever waits hears that the connection has changed.
    fn close(&self) {
        self.pool.close();
        self.background.close();
    }
}

/// How many of a connection's sessions what runs in the background may have at once: there is always one that it leaves to
/// those who wait for an answer, unless there is only one.
fn background_sessions(all: usize) -> usize {
    (all - all.div_ceil(4)).max(1)
}

impl Pools {
    pub(crate) fn new(dialer: Dialer, settings: TargetSettings) -> Self {
        let shares = Shares::new(&settings);
        Self { dialer, settings, shares, by_connection: RwLock::default() }
    }

    /// A session from the target's pool, or a new one. In the background it waits for its turn, and gets none but the pool's.
    pub(crate) async fn session(
        self: &Arc<Self>,
        target: &Target,
        in_background: bool,
    ) -> Result<PooledSession, NoSession> {
        // A closed pool is one whose connection has just changed: there is another by now, or will be.
        for _ in 0..2 {
            let Some((pool, background)) = self.pool(target) else { break };
            let turn = if in_background {
                let turn = self.shares.turn(target.org, background);
                match timeout(self.settings.turn_limit, turn).await {
                    Ok(Some(turn)) => Some(turn),
                    Ok(None) => continue,
                    Err(_) => return Err(NoSession::Busy),
                }
            } else {
                None
            };
            let lease = match pool.get().await {
                Ok(it) => Lease::Pooled(it),
                Err(PoolError::Backend(it)) => return Err(it),
                Err(PoolError::Closed) => continue,
                Err(_) => return Err(NoSession::Busy),
            };
            let age_limit = self.settings.age_limit;
            return Ok(PooledSession { lease: Some(lease), age_limit, turn });
        }
        if in_background {
            return Err(NoSession::Busy);
        }
        self.fresh(target).await
    }

    /// A new session that belongs to no pool.
    pub(crate) async fn fresh(
        self: &Arc<Self>,
        target: &Target,
    ) -> Result<PooledSession, NoSession> {
        let lease = Lease::Alone(self.open(target, &TunnelSlot::default(), Purpose::Trial).await?);
        let age_limit = self.settings.age_limit;
        Ok(PooledSession { lease: Some(lease), age_limit, turn: None })
    }

    /// Dials, if the bounds allow one more session or come to allow it soon.
    pub(crate) async fn open(
        &self,
        target: &Target,
        slot: &TunnelSlot,
        purpose: Purpose<'_>,
    ) -> Result<Box<Session>, NoSession> {
        let share = match self.shares.try_take(target.org, purpose) {
            Ok(it) => it,
            Err(lack) => {
                // Somebody else's idle session is worth less than this one.
                self.close_longest_idle(lack, target.org);
                timeout(self.settings.wait_limit, self.shares.take(target.org, purpose))
                    .await
                    .ok()
                    .flatten()
                    .ok_or(NoSession::Busy)?
            }
        };
        // Boxed: what dialling keeps is large, and most who ask for a session dial nothing.
        let mut session = Box::pin(self.dialer.open(target, slot))
            .await
            .map_err(|it| NoSession::Unreachable(Box::new(it)))?;
        session.share = Some(share);
        Ok(Box::new(session))
    }

    /// The pool for a target, made if there is none, and the turns of what runs in the background. `None` for a target that is
    /// not kept, or that was changed since it was read.
    fn pool(self: &Arc<Self>, target: &Target) -> Option<(Pool<Opener>, Arc<Semaphore>)> {
        let connection = target.connection?;
        let fits = |it: &Entry| it.version == target.version;
        {
            let pools = self.by_connection.read().unwrap_or_else(PoisonError::into_inner);
            match pools.get(&connection) {
                Some(it) if fits(it) => return Some((it.pool.clone(), it.background.clone())),
                Some(it) if it.version > target.version => return None,
                _ => {}
            }
        }
        let mut pools = self.by_connection.write().unwrap_or_else(PoisonError::into_inner);
        match pools.get(&connection) {
            Some(it) if fits(it) => return Some((it.pool.clone(), it.background.clone())),
            Some(it) if it.version > target.version => return None,
            Some(it) => it.close(),
            None => {}
        }
        let opener = Opener::new(self, target.clone(), self.settings.connect_limit);
        let pool = Pool::builder(opener)
            .max_size(self.settings.sessions_per_connection)
            .wait_timeout(Some(self.settings.wait_limit))
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .build()
            .expect("the runtime is set");
        if pools.is_empty() {
            self.sweep_regularly();
        }
        let turns = background_sessions(self.settings.sessions_per_connection);
        let background = Arc::new(Semaphore::new(turns));
        let (org, version) = (target.org, target.version);
        let entry = Entry { org, version, pool: pool.clone(), background: background.clone() };
        pools.insert(connection, entry);
        Some((pool, background))
    }

    pub(crate) fn forget(&self, connection: ConnectionId) {
        let mut pools = self.by_connection.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(it) = pools.remove(&connection) {
            it.close();
        }
    }

    /// Makes room for one session of what lacks, if a fitting one is idle.
    fn close_longest_idle(&self, lack: Lack, org: OrgId) {
        let beyond = |it: &Session| it.share.as_ref().is_some_and(Share::is_beyond_first);
        let fits = |entry: &Entry, session: &Session| match lack {
            Lack::Total => true,
            Lack::BeyondFirst => beyond(session),
            Lack::Organization => entry.org == org && beyond(session),
            Lack::Trial => false,
        };
        let pools = self.by_connection.read().unwrap_or_else(PoisonError::into_inner);
        let mut longest = None;
        for it in pools.values() {
            it.pool.retain(|session, metrics| {
                if fits(it, session) {
                    longest = longest.max(Some(metrics.last_used()));
                }
                true
            });
        }
        let Some(longest) = longest else { return };
        let mut closed = false;
        for it in pools.values() {
            it.pool.retain(|session, metrics| {
                // The clock has gone on since.
                let close = !closed && fits(it, session) && metrics.last_used() >= longest;
                closed |= close;
                !close
            });
        }
    }

    /// Closes sessions that were idle for too long, or are too old; drops pools that have none left.
    fn sweep(&self) {
        let (idle, age) = (self.settings.idle_limit, self.settings.age_limit);
        let mut pools = self.by_connection.write().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|_, it| {
            it.pool.retain(|session, metrics| {
                metrics.last_used() < idle && session.opened.elapsed() < age
            });
            let status = it.pool.status();
            status.size > 0 || status.waiting > 0 || Arc::strong_count(&it.background) > 1
        });
        self.shares.sweep();
    }

    /// Sweeps until no pool is left.
    fn sweep_regularly(self: &Arc<Self>) {
        let every = SWEEP_EVERY.min(self.settings.idle_limit);
        let pools = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                let Some(pools) = pools.upgrade() else { return };
                pools.sweep();
                let left = pools.by_connection.read().unwrap_or_else(PoisonError::into_inner);
                if left.is_empty() {
                    return;
                }
            }
        });
    }
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A session that goes back to its pool when dropped. If something is left unfinished on it, that is cancelled in the database and
/// the session is closed.
pub struct PooledSession {
    lease: Option<Lease>,
    age_limit: Duration,
    /// Of what runs in the background.
    turn: Option<Turn>,
}

enum Lease {
    Pooled(Object<Opener>),
    Alone(Box<Session>),
}

impl Deref for PooledSession {
    type Target = Session;

    fn deref(&self) -> &Session {
        match self.lease.as_ref().expect("only drop takes it") {
            Lease::Pooled(it) => it,
            Lease::Alone(it) => it,
        }
    }
}

impl DerefMut for PooledSession {
    fn deref_mut(&mut self) -> &mut Session {
        match self.lease.as_mut().expect("only drop takes it") {
            Lease::Pooled(it) => it,
            Lease::Alone(it) => it,
        }
    }
}

impl fmt::Debug for PooledSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PooledSession").field(&**self).finish()
    }
}

impl Lease {
    /// Gives the place in the pool free and closes the session.
    fn close(self) {
        if let Self::Pooled(it) = self {
            drop(Object::take(it));
        }
    }
}

impl Drop for PooledSession {
    fn drop(&mut self) {
        let (state, old) = (self.state, self.opened.elapsed() >= self.age_limit);
        // The next has its turn when the place in the pool is free, which goes back before this is dropped.
        let turn = self.turn.take();
        let Some(mut lease) = self.lease.take() else { return };
        match (state, tokio::runtime::Handle::try_current()) {
            // Dropping it gives it back.
            (State::Idle, _) if !old => {}
            // Until the server has stopped, the place in the pool stays taken: else statements that overrun their time could pile up there.
            (State::Busy, Ok(runtime)) => {
                runtime.spawn(async move {
                    match &mut lease {
                        Lease::Pooled(it) => it.abandon().await,
                        Lease::Alone(it) => it.abandon().await,
                    }
                    lease.close();
                    drop(turn);
                });
            }
            // Outside a runtime nothing can be sent; the server notices at its next write that nobody listens.
            (State::Idle | State::Dead | State::Busy, _) => lease.close(),
        }
    }
}
