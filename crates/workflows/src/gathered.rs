//! Writing what many have to say in one transaction: while one commits, the next gathers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plinth_core::{OrgId, StoreError};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// How much is written in one transaction at most.
const MOST: usize = 256;

/// From how many on that wait a second transaction begins while the first one's disk writes.
const MANY: usize = 64;

/// Transactions at a time for each organization.
const MOST_WRITERS: usize = 2;

/// After so many in one transaction more are expected to come soon.
const BUSY: usize = 24;

/// For how many a patient writer waits then.
const ENOUGH: usize = 160;

type Written<O> = Pin<Box<dyn Future<Output = Result<Vec<O>, StoreError>> + Send>>;
type Write<I, O> = Box<dyn Fn(OrgId, Arc<[I]>) -> Written<O> + Send + Sync>;
type Waiting<I, O> = (I, oneshot::Sender<Result<O, StoreError>>);

/// One transaction at a time for each organization, or two where much waits. Who writes alone waits for nobody; who writes while
/// others do goes with all that came meanwhile, so that a flush to disk is shared by as many as there are. Who writes waits until
/// it is stored.
pub(crate) struct Gathered<I, O> {
    write: Arc<Write<I, O>>,
    /// How long it waits for more where much is written.
    patience: Duration,
    /// Organizations for which something is being written.
    places: Arc<Places<I, O>>,
}

type Places<I, O> = Mutex<HashMap<OrgId, Place<I, O>>>;

/// What waits, and how many write.
struct Place<I, O> {
    waiting: Vec<Waiting<I, O>>,
    writers: usize,
    /// Told when enough waits for one who is patient.
    enough: Arc<Notify>,
}

impl<I, O> Clone for Gathered<I, O> {
    fn clone(&self) -> Self {
        Self { write: self.write.clone(), patience: self.patience, places: self.places.clone() }
    }
}

impl<I: Send + Sync + Clone + 'static, O: Send + 'static> Gathered<I, O> {
    /// Writes by `write`, which answers each in turn.
    pub(crate) fn new<F>(write: impl Fn(OrgId, Arc<[I]>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Vec<O>, StoreError>> + Send + 'static,
    {
        let write: Write<I, O> = Box::new(move |org, all| Box::pin(write(org, all)));
        Self { write: Arc::new(write), patience: Duration::ZERO, places: Arc::default() }
    }

    /// The same, but where much is written it waits so long for more. For what costs more for each transaction than for each that
    /// is written in it, and comes from so many that others are on their way meanwhile.
    pub(crate) fn patient(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Writes it, alone or together with others'.
    pub(crate) async fn write(&self, org: OrgId, it: I) -> Result<O, StoreError> {
        let (done, waits) = oneshot::channel();
        let begins = {
            let mut places = self.places.lock().expect("not poisoned");
            let new = || Place { waiting: Vec::new(), writers: 0, enough: Arc::default() };
            let here = places.entry(org).or_insert_with(new);
            here.waiting.push((it, done));
            if here.waiting.len() == ENOUGH {
                here.enough.notify_one();
            }
            let many = if self.patience.is_zero() { MANY } else { ENOUGH };
            let begins =
                here.writers == 0 || (here.writers < MOST_WRITERS && here.waiting.len() >= many);
            here.writers += usize::from(begins);
            begins
        };
        if begins {
            // A task of its own: whoever began it may hang up, and others wait for it.
            tokio::spawn(self.clone().write_all(org));
        }
        waits.await.map_err(|_| StoreError::Unavailable("writing was given up".into()))?
    }

    async fn write_all(self, org: OrgId) {
        let left = Left { org, places: &self.places };
        let mut is_busy = false;
        loop {
            if is_busy && !self.patience.is_zero() {
                self.wait_for_more(org).await;
            }
            let Some(all) = self.next(org) else {
                // It has left already, under the lock that saw that nothing waits.
                std::mem::forget(left);
                return;
            };
            let (all, waits): (Vec<_>, Vec<_>) = all.into_iter().unzip();
            is_busy = all.len() >= BUSY;
            match (self.write)(org, all.clone().into()).await {
                Ok(written) => {
                    for (wait, written) in waits.into_iter().zip(written) {
                        let _ = wait.send(Ok(written));
                    }
                }
                // One that cannot be stored takes nobody else with it. Each is tried by itself, also one that was alone: what it
                // met may have been a deadlock, which is over.
                Err(StoreError::Internal(_)) => {
                    for (it, wait) in all.into_iter().zip(waits) {
                        let _ = wait.send(self.write_one(org, it).await);
                    }
                }
                Err(StoreError::Unavailable(err)) => {
                    let text = plinth_core::chain(&*err);
                    for wait in waits {
                        let _ = wait.send(Err(StoreError::Unavailable(text.clone().into())));
                    }
                }
            }
        }
    }

    /// What is to be written next. If there is nothing, one writer is gone with that: whoever comes in the next moment sees it.
    fn next(&self, org: OrgId) -> Option<Vec<Waiting<I, O>>> {
        let mut places = self.places.lock().expect("not poisoned");
        let here = places.get_mut(&org)?;
        if here.waiting.is_empty() {
            leave(&mut places, org);
            return None;
        }
        let most = here.waiting.len().min(MOST);
        Some(here.waiting.drain(..most).collect())
    }

    /// Waits until enough wait, or nobody has come for an eighth of its patience: all that there are may be waiting already.
    async fn wait_for_more(&self, org: OrgId) {
        let over = Instant::now() + self.patience;
        let mut before = None;
        while Instant::now() < over {
            let (count, enough) = {
                let places = self.places.lock().expect("not poisoned");
                let Some(here) = places.get(&org) else { return };
                (here.waiting.len(), here.enough.clone())
            };
            if count >= ENOUGH || before == Some(count) {
                return;
            }
            before = Some(count);
            let _ = tokio::time::timeout(self.patience / 8, enough.notified()).await;
        }
    }

    async fn write_one(&self, org: OrgId, it: I) -> Result<O, StoreError> {
        let written = (self.write)(org, [it].into()).await?;
        written.into_iter().next().ok_or_else(|| StoreError::Internal("nothing answered".into()))
    }
}

/// A writer that ends in a panic is gone too. If it was the last, whoever still waits hears that it was given up.
struct Left<'a, I, O> {
    org: OrgId,
    places: &'a Places<I, O>,
}

impl<I, O> Drop for Left<'_, I, O> {
    fn drop(&mut self) {
        leave(&mut self.places.lock().expect("not poisoned"), self.org);
    }
}

fn leave<I, O>(places: &mut HashMap<OrgId, Place<I, O>>, org: OrgId) {
    if let Entry::Occupied(mut here) = places.entry(org) {
        here.get_mut().writers -= 1;
        if here.get().writers == 0 {
            here.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use uuid::Uuid;

    use super::*;

    fn org(number: u128) -> OrgId {
        OrgId::from_uuid(Uuid::from_u128(number))
    }

    /// Writes slowly, and notes how many came together.
    fn noting() -> (Gathered<u32, u32>, Arc<Mutex<Vec<usize>>>) {
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let noted = sizes.clone();
        let gathered = Gathered::new(move |_, all: Arc<[u32]>| {
            noted.lock().expect("not poisoned").push(all.len());
            async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                if all.contains(&13) {
                    return Err(StoreError::Internal("thirteen".into()));
                }
                Ok(all.iter().map(|it| it * 2).collect())
            }
        });
        (gathered, sizes)
    }

    #[tokio::test]
    async fn what_comes_while_one_is_written_goes_together() {
        let (gathered, sizes) = noting();
        let first = (0..5).map(|it| gathered.write(org(1), it));
        let other = gathered.write(org(2), 7);
        let (ours, theirs) =
            futures_util::future::join(futures_util::future::join_all(first), other).await;
        assert_eq!(
            ours.into_iter().map(|it| it.expect("written")).collect::<Vec<_>>(),
            [0, 2, 4, 6, 8]
        );
        assert_eq!(theirs.expect("written"), 14);
        let mut sizes = sizes.lock().expect("not poisoned").clone();
        sizes.sort_unstable();
        assert!(sizes.iter().sum::<usize>() == 6 && sizes.len() < 6, "{sizes:?}");
        tokio::task::yield_now().await;
        assert!(gathered.places.lock().expect("not poisoned").is_empty());
    }

    #[tokio::test]
    async fn where_much_waits_two_write_at_a_time_and_no_more() {
        let now = Arc::new(Mutex::new((0, 0)));
        let noted = now.clone();
        let gathered = Gathered::new(move |_, all: Arc<[u32]>| {
            let noted = noted.clone();
            async move {
                {
                    let mut now = noted.lock().expect("not poisoned");
                    now.0 += 1;
                    now.1 = now.1.max(now.0);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
                noted.lock().expect("not poisoned").0 -= 1;
                Ok(all.to_vec())
            }
        });
        for (many, writers) in [(64, 1), (1_000, 2)] {
            *now.lock().expect("not poisoned") = (0, 0);
            let all = (0..many).map(|it| gathered.write(org(1), it));
            let written = futures_util::future::join_all(all).await;
            for (it, written) in (0..many).zip(written) {
                assert_eq!(written.expect("written"), it);
            }
            assert_eq!(*now.lock().expect("not poisoned"), (0, writers), "{many}");
        }
        let all = [7, 13].map(|it| gathered.write(org(2), it));
        assert!(futures_util::future::join_all(all).await.iter().all(Result::is_ok));
        tokio::task::yield_now().await;
        assert!(gathered.places.lock().expect("not poisoned").is_empty());
    }

    #[tokio::test]
    async fn who_is_patient_waits_for_more_after_much_was_written() {
        let (gathered, sizes) = noting();
        let gathered = gathered.patient(Duration::from_mins(1));
        let begun = (20..51).map(|it| gathered.write(org(1), it));
        futures_util::future::join_all(begun).await;
        let mut waits = Box::pin(gathered.write(org(1), 31));
        assert!(waits.as_mut().now_or_never().is_none());
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let written = || sizes.lock().expect("not poisoned").clone();
        assert_eq!(written().iter().sum::<usize>(), 31, "it waits");
        let others = (100..).take(ENOUGH - 1).map(|it| gathered.write(org(1), it));
        let (one, others) =
            futures_util::future::join(waits, futures_util::future::join_all(others)).await;
        assert_eq!(one.expect("written"), 62);
        assert!(others.iter().all(Result::is_ok), "{others:?}");
        assert_eq!(written().last(), Some(&ENOUGH), "{:?}", written());
    }

    #[tokio::test]
    async fn one_that_cannot_be_stored_takes_nobody_with_it() {
        let (gathered, _) = noting();
        let all = [1, 13, 2].map(|it| gathered.write(org(1), it));
        let all = futures_util::future::join_all(all).await;
        assert!(matches!(all[..], [Ok(2), Err(StoreError::Internal(_)), Ok(4)]), "{all:?}");
        assert_eq!(gathered.write(org(1), 5).await.expect("written"), 10);
    }

    #[tokio::test]
    async fn one_that_was_alone_is_tried_once_more() {
        let tries = Arc::new(Mutex::new(0));
        let counted = tries.clone();
        let gathered = Gathered::new(move |_, all: Arc<[u32]>| {
            let mut tries = counted.lock().expect("not poisoned");
            *tries += 1;
            let deadlock = *tries == 1;
            async move {
                if deadlock {
                    Err(StoreError::Internal("deadlock".into()))
                } else {
                    Ok(all.to_vec())
                }
            }
        });
        assert_eq!(gathered.write(org(1), 7).await.expect("written"), 7);
        assert_eq!(*tries.lock().expect("not poisoned"), 2);
    }

    /// In the moment in which a writer finds nothing more to write.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn who_comes_as_a_writer_ends_is_not_forgotten() {
        let gathered = Gathered::new(async |_, all: Arc<[u32]>| Ok(all.to_vec()));
        let all = (0..8).map(|at| {
            let gathered = gathered.clone();
            tokio::spawn(async move {
                for it in 0..5_000 {
                    let it = it * 8 + at;
                    assert_eq!(gathered.write(org(1), it).await.expect("written"), it);
                }
            })
        });
        for it in all.collect::<Vec<_>>() {
            it.await.expect("no panic");
        }
    }

    #[tokio::test]
    async fn who_hangs_up_takes_nobody_with_them() {
        let (gathered, _) = noting();
        assert!(gathered.write(org(1), 1).now_or_never().is_none());
        let second = gathered.write(org(1), 2);
        assert_eq!(second.await.expect("written"), 4);
    }
}
