//! Waking workers: the one of this process in memory, those of others through the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use plinth_core::StoreError;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

/// The shortest time from one ring to the next: what comes meanwhile is told with the next.
const RING_EVERY: Duration = Duration::from_millis(5);

/// How long it waits before it listens again after the session was cut.
const AGAIN: Duration = Duration::from_secs(1);

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
        loop {
            let cut = self.rope.hear(&listening, self.here.clone()).await;
            self.hears.store(false, Ordering::Relaxed);
            self.here.notify_one();
            if let Err(err) = cut {
                tracing::debug!(
                    error = plinth_core::chain(&err),
                    "nothing is heard of other servers; the queue is looked at more often meanwhile"
                );
            }
            sleep(AGAIN).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Counting {
        rings: AtomicUsize,
        cut: Notify,
    }

    #[async_trait]
    impl Rope for Counting {
        async fn ring(&self) -> Result<(), StoreError> {
            self.rings.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        async fn hear(
            &self,
            listening: &(dyn Fn() + Sync),
            _: Arc<Notify>,
        ) -> Result<(), StoreError> {
            listening();
            self.cut.notified().await;
            Ok(())
        }
    }

    #[tokio::test]
    async fn others_are_told_where_nobody_here_can() {
        let moment = Duration::from_millis(50);
        let rope = Arc::new(Counting::default());
        let bell = Arc::new(Bell::new(rope.clone()));
        let (stop, stopped) = watch::channel(false);
        let working = tokio::spawn({
            let bell = bell.clone();
            async move { bell.work(true, stopped).await }
        });
        sleep(moment).await;
        assert!(bell.hears());
        bell.rung().await;
        for _ in 0..100 {
            bell.ring();
        }
        sleep(moment).await;
        let told = rope.rings.load(Ordering::Relaxed);
        assert!((1..=2).contains(&told), "many at once are told once: {told}");
        bell.set_room(true);
        bell.ring();
        sleep(moment).await;
        assert_eq!(rope.rings.load(Ordering::Relaxed), told, "the worker here takes it");
        bell.rung().await;
        // The session is cut, and comes back.
        rope.cut.notify_one();
        sleep(moment).await;
        assert!(!bell.hears());
        bell.rung().await;
        sleep(AGAIN + moment).await;
        assert!(bell.hears());
        stop.send(true).expect("it works");
        working.await.expect("it ends");
        assert!(!bell.hears());
    }
}
