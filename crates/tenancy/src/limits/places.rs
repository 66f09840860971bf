use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use plinth_core::OrgId;
use tokio::sync::oneshot;

/// Places for what runs side by side in one process, of which no organization keeps others from theirs: one has half of them
/// at most, and a place that becomes free goes to whoever waits for the organization that has the fewest.
#[derive(Clone)]
pub struct Places(Arc<Shared>);

struct Shared {
    most: usize,
    most_of_one: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    taken: usize,
    organizations: HashMap<OrgId, Organization>,
}

#[derive(Default)]
struct Organization {
    taken: usize,
    waiting: VecDeque<oneshot::Sender<Place>>,
}

/// A place, until it is dropped.
pub struct Place {
    shared: Arc<Shared>,
    org: OrgId,
    /// Whether to give it back; not while that is being done.
    is_held: bool,
}

impl Places {
    /// So many places in all.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Shared { most, most_of_one: (most / 2).max(1), state: Mutex::default() }))
    }

    /// Waits for a place. Who stops waiting leaves the queue.
    pub async fn take(&self, org: OrgId) -> Place {
        let mut wait = self.0.take_or_wait(org);
        loop {
            match wait {
                Ok(place) => return place,
                // A sender is dropped only with its place given; if it ever were, ask again.
                Err(receiver) => match receiver.await {
                    Ok(place) => return place,
                    Err(_) => wait = self.0.take_or_wait(org),
                },
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_or_wait(self: &Arc<Self>, org: OrgId) -> Result<Place, oneshot::Receiver<Place>> {
        let mut state = self.lock();
        let is_free = state.taken < self.most;
        let organization = state.organizations.entry(org).or_default();
        if is_free && organization.taken < self.most_of_one && organization.waiting.is_empty() {
            organization.taken += 1;
            state.taken += 1;
            return Ok(Place { shared: self.clone(), org, is_held: true });
        }
        let (sender, receiver) = oneshot::channel();
        organization.waiting.push_back(sender);
        drop(state);
        // Those before may all have stopped waiting.
        self.hand_on();
        Err(receiver)
    }

    /// Gives free places to those who wait.
    fn hand_on(self: &Arc<Self>) {
        loop {
            let mut state = self.lock();
            if state.taken >= self.most {
                return;
            }
            state.organizations.retain(|_, it| {
                it.waiting.retain(|sender| !sender.is_closed());
                it.taken > 0 || !it.waiting.is_empty()
            });
            let waiting = state
                .organizations
                .iter()
                .filter(|(_, it)| !it.waiting.is_empty() && it.taken < self.most_of_one);
            let Some(org) = waiting.min_by_key(|it| it.1.taken).map(|it| *it.0) else { return };
            let Some(organization) = state.organizations.get_mut(&org) else { return };
            let Some(sender) = organization.waiting.pop_front() else { return };
            organization.taken += 1;
            state.taken += 1;
            drop(state);
            let place = Place { shared: self.clone(), org, is_held: true };
            if let Err(mut place) = sender.send(place) {
                // It stopped waiting between. Not by dropping, which would come back here.
                place.is_held = false;
                self.give_back(org);
            }
        }
    }

    fn give_back(&self, org: OrgId) {
        let mut state = self.lock();
        state.taken -= 1;
        if let Some(organization) = state.organizations.get_mut(&org) {
            organization.taken -= 1;
            if organization.taken == 0 && organization.waiting.is_empty() {
                state.organizations.remove(&org);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_held {
            self.shared.give_back(self.org);
            self.shared.hand_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use jiff::{SignedDuration, Timestamp};

    use super::*;

    fn organization(number: i64) -> OrgId {
        OrgId::new(Timestamp::UNIX_EPOCH + SignedDuration::from_secs(number))
    }

    fn polled<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Poll<T> {
        std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn one_organization_leaves_half_of_the_places_to_others() {
        let (places, ann, bob) = (Places::new(4), organization(1), organization(2));
        let held = [places.take(ann).await, places.take(ann).await];
        let mut third = pin!(places.take(ann));
        assert!(polled(&mut third).is_pending(), "it has its half");
        let theirs = [places.take(bob).await, places.take(bob).await];
        drop(theirs);
        assert!(polled(&mut third).is_pending(), "free, and not for it");
        drop(held);
        assert!(polled(&mut third).is_ready());
    }

    #[tokio::test]
    async fn a_free_place_goes_to_who_has_the_fewest() {
        let (places, orgs) = (Places::new(4), [1, 2, 3].map(organization));
        let [ann, bob, eve] = orgs;
        let mut held = vec![places.take(ann).await, places.take(ann).await];
        held.push(places.take(bob).await);
        held.push(places.take(bob).await);
        let mut anns: Vec<_> = (0..100).map(|_| Box::pin(places.take(ann))).collect();
        for it in &mut anns {
            assert!(polled(it).is_pending());
        }
        let mut eves = pin!(places.take(eve));
        assert!(polled(&mut eves).is_pending());
        held.remove(0);
        let Poll::Ready(_eves) = polled(&mut eves) else { panic!("she has none, and waited last") };
        assert!(polled(&mut anns[0]).is_pending());
        held.remove(0);
        assert!(polled(&mut anns[0]).is_ready(), "in their order");
    }

    #[tokio::test]
    async fn who_stops_waiting_takes_no_place() {
        let (places, ann) = (Places::new(2), organization(1));
        let held = places.take(ann).await;
        {
            let mut waits = pin!(places.take(ann));
            assert!(polled(&mut waits).is_pending());
        }
        {
            // It has been given a place, and is gone before it takes it.
            let mut waits = Box::pin(places.take(ann));
            assert!(polled(&mut waits).is_pending());
            drop(held);
            drop(waits);
        }
        let _one = places.take(ann).await;
        let state = places.0.lock();
        assert_eq!((state.taken, state.organizations.len()), (1, 1));
    }
}
