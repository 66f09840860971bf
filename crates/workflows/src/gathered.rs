//! Writing what many have to say in one transaction: while one commits, the next gathers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use plinth_core::{OrgId, StoreError};
use tokio::sync::oneshot;

/// How much is written in one transaction at most.
const MOST: usize = 200;

/// From how many on that wait a second transaction begins while the first one's disk writes.
const MANY: usize = 64;

/// Transactions at a time for each organization.
const MOST_WRITERS: usize = 2;

type Written<O> = Pin<Box<dyn Future<Output = Result<Vec<O>, StoreError>> + Send>>;
type Write<I, O> = Box<dyn Fn(OrgId, Arc<[I]>) -> Written<O> + Send + Sync>;
type Waiting<I, O> = (I, oneshot::Sender<Result<O, StoreError>>);

/// One transaction at a time for each organization, or two where much waits. Who writes alone waits for nobody; who writes while
/// others do goes with all that came meanwhile, so that a flush to disk is shared by as many as there are. Who writes waits until
/// it is stored.
pub(crate) struct Gathered<I, O> {
    write: Arc<Write<I, O>>,
    /// Organizations for which something is being written.
    places: Arc<Places<I, O>>,
}

type Places<I, O> = Mutex<HashMap<OrgId, Place<I, O>>>;

/// What waits, and how many write.
struct Place<I, O> {
    waiting: Vec<Waiting<I, O>>,
    writers: usize,
}

impl<I, O> Clone for Gathered<I, O> {
    fn clone(&self) -> Self {
        Self { write: self.write.clone(), places: self.places.clone() }
    }
}

impl<I: Send + Sync + Clone + 'static, O: Send + 'static> Gathered<I, O> {
    /// Writes by `write`, which answers each in turn.
    pub(crate) fn new<F>(write: impl Fn(OrgId, Arc<[I]>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Vec<O>, StoreError>> + Send + 'static,
    {
        let write: Write<I, O> = Box::new(move |org, all| Box::pin(write(org, all)));
        Self { write: Arc::new(write), places: Arc::default() }
    }

    /// Writes it, alone or together with others'.
    pub(crate) async fn write(&self, org: OrgId, it: I) -> Result<O, StoreError> {
        let (done, waits) = oneshot::channel();
        let begins = {
            let mut places = self.places.lock().expect("not poisoned");
            let new = || Place { waiting: Vec::new(), writers: 0 };
            let here = places.entry(org).or_insert_with(new);
            here.waiting.push((it, done));
            let begins =
                here.writers == 0 || (here.writers < MOST_WRITERS && here.waiting.len() >= MANY);
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
        let _left = Left { org, places: &self.places };
        loop {
            let (all, waits): (Vec<_>, Vec<_>) = {
                let mut places = self.places.lock().expect("not poisoned");
                let Some(here) = places.get_mut(&org).filter(|it| !it.waiting.is_empty()) else {
                    return;
                };
                let most = here.waiting.len().min(MOST);
                here.waiting.drain(..most).unzip()
            };
            match (self.write)(org, all.clone().into()).await {
                Ok(written) => {
                    for (wait, written) in waits.into_iter().zip(written) {
                        let _ = wait.send(Ok(written));
                    }
                }
                // One that cannot be stored takes nobody else with it.
                Err(StoreError::Internal(_)) if all.len() > 1 => {
                    for (it, wait) in all.into_iter().zip(waits) {
                        let _ = wait.send(self.write_one(org, it).await);
                    }
                }
                Err(err) => {
                    let text = plinth_core::chain(&err);
                    let is_ours = matches!(err, StoreError::Internal(_));
                    for wait in waits {
                        let text = text.clone().into();
                        let err = if is_ours {
                            StoreError::Internal(text)
                        } else {
                            StoreError::Unavailable(text)
                        };
                        let _ = wait.send(Err(err));
                    }
                }
            }
        }
    }

    async fn write_one(&self, org: OrgId, it: I) -> Result<O, StoreError> {
        let written = (self.write)(org, [it].into()).await?;
        written.into_iter().next().ok_or_else(|| StoreError::Internal("nothing answered".into()))
    }
}

/// One writer is gone, however it ended. If it was the last, whoever still waits hears that it was given up.
struct Left<'a, I, O> {
    org: OrgId,
    places: &'a Places<I, O>,
}

impl<I, O> Drop for Left<'_, I, O> {
    fn drop(&mut self) {
        let mut places = self.places.lock().expect("not poisoned");
        if let Entry::Occupied(mut here) = places.entry(self.org) {
            here.get_mut().writers -= 1;
            if here.get().writers == 0 {
                here.remove();
            }
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
    async fn one_that_cannot_be_stored_takes_nobody_with_it() {
        let (gathered, _) = noting();
        let all = [1, 13, 2].map(|it| gathered.write(org(1), it));
        let all = futures_util::future::join_all(all).await;
        assert!(matches!(all[..], [Ok(2), Err(StoreError::Internal(_)), Ok(4)]), "{all:?}");
        assert_eq!(gathered.write(org(1), 5).await.expect("written"), 10);
    }

    #[tokio::test]
    async fn who_hangs_up_takes_nobody_with_them() {
        let (gathered, _) = noting();
        assert!(gathered.write(org(1), 1).now_or_never().is_none());
        let second = gathered.write(org(1), 2);
        assert_eq!(second.await.expect("written"), 4);
    }
}
