//! Opens and checks the sessions of one pool.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use plinth_connections::{Diagnosis, Target};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::pool::{NoSession, Pools};
use crate::session::Session;
use crate::share::Purpose;
use crate::ssh::TunnelSlot;

/// Waits so much longer than a dial may take for the one who dials.
const TURN_GRACE: Duration = Duration::from_secs(1);

/// Knows how to reach one target.
pub(crate) struct Opener {
    pools: Weak<Pools>,
    target: Target,
    slot: TunnelSlot,
    /// Whether the pool has its first session; see [`Purpose::Pool`].
    first: Arc<AtomicBool>,
    /// Whether the last dial succeeded.
    proven: AtomicBool,
    /// Held by the one who dials a database that is not proven. Whoever waited for it takes its failure for an answer.
    turn: Mutex<Option<Diagnosis>>,
    turn_limit: Duration,
}

impl Opener {
    pub(crate) fn new(pools: &Arc<Pools>, target: Target, connect_limit: Duration) -> Self {
        Self {
            pools: Arc::downgrade(pools),
            target,
            slot: TunnelSlot::default(),
            first: Arc::default(),
            proven: AtomicBool::new(false),
            turn: Mutex::default(),
            turn_limit: connect_limit + TURN_GRACE,
        }
    }

    async fn dial(&self) -> Result<Box<Session>, NoSession> {
        let pools = self.pools.upgrade().ok_or(NoSession::Busy)?;
        let opened = pools.open(&self.target, &self.slot, Purpose::Pool(&self.first)).await;
        match &opened {
            Ok(_) => self.proven.store(true, Ordering::Release),
            Err(NoSession::Unreachable(_)) => self.proven.store(false, Ordering::Release),
            Err(NoSession::Busy) => {}
        }
        opened
    }

    /// One at a time, for a database of which it is not known that it answers: many who ask for one that hangs do not all dial it.
    async fn dial_in_turn(&self) -> Result<Box<Session>, NoSession> {
        let waiting = async {
            if let Ok(it) = self.turn.try_lock() {
                return (it, None);
            }
            let turn = self.turn.lock().await;
            // The dial that was waited for left it here, or nothing if it went well.
            let failed = turn.clone();
            (turn, failed)
        };
        let (mut turn, failed_meanwhile) =
            timeout(self.turn_limit, waiting).await.map_err(|_| NoSession::Busy)?;
        if self.proven.load(Ordering::Acquire) {
            drop(turn);
            return self.dial().await;
        }
        if let Some(it) = failed_meanwhile {
            return Err(NoSession::Unreachable(Box::new(it)));
        }
        // Should this one be given up, nobody takes an older failure for its.
        *turn = None;
        let opened = self.dial().await;
        *turn = match &opened {
            Err(NoSession::Unreachable(it)) => Some((**it).clone()),
            _ => None,
        };
        opened
    }
}

impl Manager for Opener {
    type Type = Box<Session>;
    type Error = NoSession;

    async fn create(&self) -> Result<Box<Session>, NoSession> {
        if self.proven.load(Ordering::Acquire) {
            self.dial().await
        } else {
            self.dial_in_turn().await
        }
    }

    async fn recycle(&self, session: &mut Box<Session>, _: &Metrics) -> RecycleResult<NoSession> {
        if !session.is_fit() {
            return Err(RecycleError::message("it has ended"));
        }
        // It lay idle: that it ended since, and nobody has heard of it yet, is no fault of what comes next.
        session.used = true;
        Ok(())
    }
}
