//! How many sessions there may be, and for whom.
//!
//! Each connection may have one session whatever others do, up to a bound that is there to protect this process. What a connection has
//! beyond its first comes out of its organization's share, and out of a common one. So databases that hang, however many, take their own
//! first sessions and their organization's share, and never the one that a healthy database needs.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use plinth_core::OrgId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::settings::TargetSettings;

/// All shares of this process.
pub(crate) struct Shares {
    total: Arc<Semaphore>,
    beyond_first: Arc<Semaphore>,
    trials: Arc<Semaphore>,
    background: Arc<Semaphore>,
    by_org: Mutex<HashMap<OrgId, OrgShares>>,
    per_organization: usize,
    trials_per_organization: usize,
    background_per_organization: usize,
}

#[derive(Clone)]
struct OrgShares {
    beyond_first: Arc<Semaphore>,
    trials: Arc<Semaphore>,
    background: Arc<Semaphore>,
}

/// The turn of something that runs in the background; the next has its turn when it goes.
#[derive(Debug)]
pub(crate) struct Turn {
    _permits: [OwnedSemaphorePermit; 3],
}

/// For what a session is opened.
#[derive(Clone, Copy)]
pub(crate) enum Purpose<'a> {
    /// For a pool, which keeps here whether its first session is taken.
    Pool(&'a Arc<AtomicBool>),
    /// For one use: a test of a connection, or one whose settings have just changed.
    Trial,
}

/// Which bound is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// Over all sessions.
    Total,
    /// Of those beyond the connections' first.
    BeyondFirst,
    /// Of those beyond the first in the organization.
    Organization,
    /// Of sessions for one use: there is none to close for it.
    Trial,
}

/// One session's share; goes with it.
pub(crate) struct Share {
    first: Option<First>,
    _permits: Vec<OwnedSemaphorePermit>,
}

/// Gives the place of a pool's first session free again.
struct First(Arc<AtomicBool>);

impl First {
    fn take(taken: &Arc<AtomicBool>) -> Option<Self> {
        (!taken.swap(true, Ordering::AcqRel)).then(|| Self(taken.clone()))
    }
}

impl Drop for First {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Share {
    /// Whether it is beyond its pool's first.
    pub(crate) fn is_beyond_first(&self) -> bool {
        self.first.is_none()
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("first", &self.first.is_some()).finish_non_exhaustive()
    }
}

impl Shares {
    pub(crate) fn new(settings: &TargetSettings) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self {
            total: semaphore(settings.sessions_total),
            beyond_first: semaphore(settings.sessions_beyond_first),
            trials: semaphore(settings.trials_total),
            background: semaphore(settings.background_total),
            by_org: Mutex::default(),
            per_organization: settings.sessions_per_organization,
            trials_per_organization: settings.trials_per_organization,
            background_per_organization: settings.background_per_organization,
        }
    }

    fn of(&self, org: OrgId) -> OrgShares {
        let mut all = self.by_org.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || OrgShares {
            beyond_first: Arc::new(Semaphore::new(self.per_organization)),
            trials: Arc::new(Semaphore::new(self.trials_per_organization)),
            background: Arc::new(Semaphore::new(self.background_per_organization)),
        };
        all.entry(org).or_insert_with(new).clone()
    }

    /// Forgets organizations that have no session.
    pub(crate) fn sweep(&self) {
        let mut all = self.by_org.lock().unwrap_or_else(PoisonError::into_inner);
        let used = |it: &Arc<Semaphore>| Arc::strong_count(it) > 1;
        all.retain(|_, it| used(&it.beyond_first) || used(&it.trials) || used(&it.background));
    }

    /// A turn on a connection that has so many for what runs in the background, as soon as there is one; `None` if the
    /// connection has just changed. Whoever waits for their own connection holds nothing that others could use.
    pub(crate) async fn turn(&self, org: OrgId, of_connection: Arc<Semaphore>) -> Option<Turn> {
        let connection = of_connection.acquire_owned().await.ok()?;
        let organization = self.of(org).background.acquire_owned().await.ok()?;
        let all = self.background.clone().acquire_owned().await.ok()?;
        Some(Turn { _permits: [connection, organization, all] })
    }

    /// A share without waiting.
    pub(crate) fn try_take(&self, org: OrgId, purpose: Purpose<'_>) -> Result<Share, Lack> {
        let (first, bounds) = self.bounds(org, purpose);
        let mut permits = Vec::with_capacity(bounds.len());
        for (lack, semaphore) in bounds {
            permits.push(semaphore.try_acquire_owned().map_err(|_| lack)?);
        }
        Ok(Share { first, _permits: permits })
    }

    /// A share as soon as there is one.
    pub(crate) async fn take(&self, org: OrgId, purpose: Purpose<'_>) -> Option<Share> {
        let (first, bounds) = self.bounds(org, purpose);
        let mut permits = Vec::with_capacity(bounds.len());
        // The narrow ones first: who waits for its own organization holds nothing that others could use.
        for (_, semaphore) in bounds {
            permits.push(semaphore.acquire_owned().await.ok()?);
        }
        Some(Share { first, _permits: permits })
    }

    fn bounds(
        &self,
        org: OrgId,
        purpose: Purpose<'_>,
    ) -> (Option<First>, Vec<(Lack, Arc<Semaphore>)>) {
        let total = (Lack::Total, self.total.clone());
        match purpose {
            Purpose::Trial => {
                (None, vec![(Lack::Trial, self.of(org).trials), (Lack::Trial, self.trials.clone())])
            }
            Purpose::Pool(taken) => match First::take(taken) {
                Some(first) => (Some(first), vec![total]),
                None => (
                    None,
                    vec![
                        (Lack::Organization, self.of(org).beyond_first),
                        (Lack::BeyondFirst, self.beyond_first.clone()),
                        total,
                    ],
                ),
            },
        }
    }
}
