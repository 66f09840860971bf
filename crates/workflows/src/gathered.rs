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

type Written<O> = Pin<Box<dyn Future<Output = Result<Vec<O>, StoreError>> + Send>>;
type Write<I, O> = Box<dyn Fn(OrgId, Arc<[I]>) -> Written<O> + Send + Sync>;
type Waiting<I, O> = (I, oneshot::Sender<Result<O, StoreError>>);

/// One transaction at a time for each organization. Who writes alone waits for nobody; who writes while others do goes with
/// all that came meanwhile, so that a flush to disk is shared by as many as there are. Who writes waits until it is stored.
pub(crate) struct Gathered<I, O> {
    write: Arc<Write<I, O>>,
    /// What waits, of organizations for which something is being written.
    waiting: Arc<Mutex<HashMap<OrgId, Vec<Waiting<I, O>>>>>,
}

impl<I, O> Clone for Gathered<I, O> {
    fn clone(&self) -> Self {
        Self { write: self.write.clone(), waiting: self.waiting.clone() }
    }
}

impl<I: Send + Sync + Clone + 'static, O: Send + 'static> Gathered<I, O> {
    /// Writes by `write`, which answers each in turn.
    pub(crate) fn new<F>(write: impl Fn(OrgId, Arc<[I]>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Vec<O>, StoreError>> + Send + 'static,
    {
        let write: Write<I, O> = Box::new(move |org, all| Box::pin(write(org, all)));
        Self { write: Arc::new(write), waiting: Arc::default() }
    }

    /// Writes it, alone or together with others'.
    pub(crate) async fn write(&self, org: OrgId, it: I) -> Result<O, StoreError> {
        let (done, waits) = oneshot::channel();
        let is_first = match self.waiting.lock().expect("not poisoned").entry(org) {
            Entry::Occupied(mut waiting) => {
                waiting.get_mut().push((it, done));
                false
            }
            Entry::Vacant(nobody) => {
                nobody.insert(vec![(it, done)]);
                true
            }
        };
        if is_first {
            // A task of its own: whoever began it may hang up, and others wait for it.
            tokio::spawn(self.clone().write_all(org));
        }
        waits.await.map_err(|_| StoreError::Unavailable("writing was given up".into()))?
    }

    async fn write_all(self, org: OrgId) {
        let _left = Left { org, waiting: &self.waiting };
        loop {
            let (all, waits): (Vec<_>, Vec<_>) = {
                let mut waiting = self.waiting.lock().expect("not poisoned");
                let Some(here) = waiting.get_mut(&org).filter(|it| !it.is_empty()) else {
                    waiting.remove(&org);
                    return;
                };
                let most = here.len().min(MOST);
                here.drain(..most).unzip()
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

/// Lets the next one begin anew, however this one ended; who waits for it hears that it did.
struct Left<'a, I, O> {
    org: OrgId,
    waiting: &'a Mutex<HashMap<OrgId, Vec<Waiting<I, O>>>>,
}

impl<I, O> Drop for Left<'_, I, O> {
    fn drop(&mut self) {
        // At a proper end it is gone already, or another one's that began meanwhile.
        if std::thread::panicking() {
            self.waiting.lock().expect("not poisoned").remove(&self.org);
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
        assert!(gathered.waiting.lock().expect("not poisoned").is_empty());
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
