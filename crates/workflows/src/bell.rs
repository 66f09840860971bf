//! Waking workers: the one of this process in memory, those of others through the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use plinth_core::StoreError;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

/// The shortest time from one ring to the next: what comes meanwhile is told with the next.
const RING_EVERY: Duration = Duration::from_millis(5);

/// How long it waits before it listens again after the session was cut: twice as long each time that it cannot, up to the
/// second.
const AGAIN: Duration = Duration::from_millis(50);
const AGAIN_AT_MOST: Duration = Duration::from_secs(1);

/// Reaches the workers of other processes. What it says may be lost: whoever hears nothing looks by themselves.
#[async_trait]
pub trait Rope: Send + Sync + 'static {
    /// Tells all others that runs wait.
    async fn ring(&self) -> Result<(), StoreError>;

    /// Listens to the others until that is not possible any more. Says `listening` once it is, and `woken` at each ring.
    async fn hear(
        &self,
        listening: &(dyn Fn() + Sync),
        woken: Arc<Notify>,
    ) -> Result<(), StoreError>;
}

/// Wakes whoever can take a run that was queued just now.
pub struct Bell {
    rope: Arc<dyn Rope>,
    here: Arc<Notify>,
    out: Notify,
    has_room: AtomicBool,
    hears: AtomicBool,
}

impl Bell {
    /// One for this process.
    pub fn new(rope: Arc<dyn Rope>) -> Self {
        Self {
            rope,
            here: Arc::default(),
            out: Notify::new(),
            has_room: AtomicBool::new(false),
            hears: AtomicBool::new(false),
        }
    }

    /// Runs wait: the worker of this process begins at once, and if it cannot, those of others.
    pub fn ring(&self) {
        self.here.notify_one();
        if !self.has_room.load(Ordering::Relaxed) {
            self.out.notify_one();
        }
    }

    /// Waits until somebody rings.
    pub(crate) async fn rung(&self) {
        self.here.notified().await;
    }

    /// Whether this process's worker takes what is queued here.
    pub(crate) fn set_room(&self, has_room: bool) {
        self.has_room.store(has_room, Ordering::Relaxed);
    }

    /// Whether others' rings are heard.
    pub(crate) fn hears(&self) -> bool {
        self.hears.load(Ordering::Relaxed)
    }

    /// Carries rings out and, where there is a worker, in, until it is told to stop.
    pub async fn work(&self, has_worker: bool, mut stopped: watch::Receiver<bool>) {
        let inward = async {
            if has_worker {
                self.carry_in().await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = self.carry_out() => {}
            () = inward => {}
            _ = stopped.wait_for(|it| *it) => {}
        }
        self.hears.store(false, Ordering::Relaxed);
    }

    async fn carry_out(&self) {
        loop {
            self.out.notified().await;
            if let Err(err) = self.rope.ring().await {
                // They look by themselves soon.
                tracing::debug!(
                    error = plinth_core::chain(&err),
                    "other servers were not told of a run"
                );
            }
            sleep(RING_EVERY).await;
        }
    }

    async fn carry_in(&self) {
        let listening = || {
            self.hears.store(true, Ordering::Relaxed);
            // Something may have been missed.
            self.here.notify_one();
        };
        let mut pause = AGAIN;
        loop {
            let since = Instant::now();
            let cut = self.rope.hear(&listening, self.here.clone()).await;
            // One that is cut as soon as it listens, by a pooler say, is no better than one that cannot.
            if self.hears.swap(false, Ordering::Relaxed) && since.elapsed() > AGAIN_AT_MOST {
                pause = AGAIN;
            }
            self.here.notify_one();
            if let Err(err) = cut {
                tracing::debug!(
                    error = plinth_core::chain(&err),
                    "nothing is heard of other servers; the queue is looked at more often meanwhile"
                );
            }
            sleep(pause).await;
            pause = (pause * 2).min(AGAIN_AT_MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Tells what is done with it, and listens as often as it may.
    #[derive(Default)]
    struct Held {
        rings: AtomicUsize,
        rung: Notify,
        may_listen: Notify,
        cut: Notify,
    }

    #[async_trait]
    impl Rope for Held {
        async fn ring(&self) -> Result<(), StoreError> {
            self.rings.fetch_add(1, Ordering::Relaxed);
            self.rung.notify_one();
            Ok(())
        }

        async fn hear(
            &self,
            listening: &(dyn Fn() + Sync),
            _: Arc<Notify>,
        ) -> Result<(), StoreError> {
            self.may_listen.notified().await;
            listening();
            self.cut.notified().await;
            Ok(())
        }
    }

    /// Whether somebody would be woken by it now; afterwards nobody would.
    async fn is_due(it: &Notify) -> bool {
        tokio::select! {
            biased;
            () = it.notified() => true,
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test]
    async fn others_are_told_where_nobody_here_can() {
        let bell = Bell::new(Arc::new(Held::default()));
        for _ in 0..100 {
            bell.ring();
        }
        assert!(is_due(&bell.out).await && is_due(&bell.here).await);
        assert!(!is_due(&bell.out).await, "many at once are told once");
        assert!(!is_due(&bell.here).await);
        bell.set_room(true);
        bell.ring();
        assert!(!is_due(&bell.out).await, "the worker here takes it");
        assert!(is_due(&bell.here).await);
        bell.set_room(false);
        bell.ring();
        assert!(is_due(&bell.out).await);
    }

    #[tokio::test]
    async fn rings_are_carried_out_and_in_until_it_is_told_to_stop() {
        let rope = Arc::new(Held::default());
        let bell = Arc::new(Bell::new(rope.clone()));
        let (stop, stopped) = watch::channel(false);
        let working = tokio::spawn({
            let bell = bell.clone();
            async move { bell.work(true, stopped).await }
        });
        assert!(!bell.hears());
        rope.may_listen.notify_one();
        bell.rung().await;
        assert!(bell.hears());
        for told in 1..=3 {
            bell.ring();
            rope.rung.notified().await;
            assert_eq!(rope.rings.load(Ordering::Relaxed), told);
            bell.rung().await;
        }
        // The session is cut, and comes back.
        rope.cut.notify_one();
        bell.rung().await;
        assert!(!bell.hears(), "it looks by itself meanwhile");
        rope.may_listen.notify_one();
        bell.rung().await;
        assert!(bell.hears(), "something may have been missed");
        stop.send(true).expect("it works");
        working.await.expect("it ends");
        assert!(!bell.hears());
    }

    #[tokio::test]
    async fn a_server_without_a_worker_listens_to_nobody() {
        let rope = Arc::new(Held::default());
        let bell = Bell::new(rope.clone());
        let (stop, stopped) = watch::channel(false);
        rope.may_listen.notify_one();
        let checked = async {
            bell.ring();
            rope.rung.notified().await;
            assert!(!bell.hears() && is_due(&rope.may_listen).await);
            stop.send(true).expect("it works");
        };
        tokio::join!(bell.work(false, stopped), checked);
    }
}
