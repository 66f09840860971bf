use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{Clock, FastMap};

/// How long something counts after it was read: a change made by another server counts here after at most this.
const FRESH: SignedDuration = SignedDuration::from_secs(1);

/// How long anybody waits for another who reads. That one's request may be held up, by a client that takes no bytes for one.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is kept elsewhere, as it was at most a second ago. When the second is over, one reads it anew and whoever wants the
/// same meanwhile waits for that: what many use is read once a second, however many use it.
pub struct Recent<K, V> {
    clock: Arc<dyn Clock>,
    most: usize,
    places: RwLock<Places<K, V>>,
}

type Places<K, V> = FastMap<K, Arc<Place<V>>>;

/// Where one thing is held. Whoever reads holds the place itself: what they find after it was forgotten reaches nobody who
/// comes later.
struct Place<V> {
    held: Mutex<Option<(Timestamp, V)>>,
    /// Held by whoever reads.
    one: tokio::sync::Mutex<()>,
    /// How many times reading failed.
    failures: AtomicU64,
}

impl<V> Default for Place<V> {
    fn default() -> Self {
        Self { held: Mutex::default(), one: tokio::sync::Mutex::default(), failures: 0.into() }
    }
}

impl<V: Clone> Place<V> {
    fn held(&self) -> Option<(Timestamp, V)> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fresh(&self, now: Timestamp) -> Option<V> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (read_at, value) = held.as_ref()?;
        (now.duration_since(*read_at) < FRESH).then(|| value.clone())
    }

    /// What was read from that time on, however long it took.
    fn since(&self, came: Timestamp) -> Option<V> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().filter(|it| it.0 >= came).map(|it| it.1.clone())
    }

    fn read_at(&self) -> Option<Timestamp> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|it| it.0)
    }

    /// Holds what was read at that time, if nothing was that is newer.
    fn hold(&self, read_at: Timestamp, value: Option<V>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_none_or(|it| it.0 <= read_at) {
            *held = value.map(|it| (read_at, it));
        }
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Recent<K, V> {
    /// Holds nothing yet, and about `most` things at most; those that were read longest ago go first.
    pub fn new(clock: Arc<dyn Clock>, most: usize) -> Self {
        Self { clock, most, places: RwLock::default() }
    }

    /// What is held, or what `read` finds, given what was held before. `None` from it says that there is no such thing, and is
    /// not held.
    ///
    /// # Errors
    ///
    /// What `read` says; nothing is held then but what was. Whoever waited for it reads by themselves.
    pub async fn get<E>(
        &self,
        key: &K,
        read: impl AsyncFnOnce(Option<V>) -> Result<Option<V>, E>,
    ) -> Result<Option<V>, E> {
        let came = self.clock.now();
        let known = self.places.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        if let Some(found) = known.as_ref().and_then(|it| it.fresh(came)) {
            return Ok(Some(found));
        }
        // Apart: what is held is what nearly everybody finds, and they need no room for the rest.
        Box::pin(self.get_slowly(key, came, known, read)).await
    }

    /// What `pick` takes of what is held, if that was read within the last second before `now`; `None` if it has to be read. It
    /// waits for nothing and copies nothing: for what nearly every request asks. `pick` must not come back here.
    pub fn peek<T>(&self, key: &K, now: Timestamp, pick: impl FnOnce(&V) -> T) -> Option<T> {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        let held = places.get(key)?.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (read_at, value) = held.as_ref()?;
        (now.duration_since(*read_at) < FRESH).then(|| pick(value))
    }

    async fn get_slowly<E>(
        &self,
        key: &K,
        came: Timestamp,
        known: Option<Arc<Place<V>>>,
        read: impl AsyncFnOnce(Option<V>) -> Result<Option<V>, E>,
    ) -> Result<Option<V>, E> {
        let place = known.unwrap_or_else(|| self.place(key));
        let failures = place.failures.load(Ordering::Acquire);
        let mut one = tokio::time::timeout(PATIENCE, place.one.lock()).await.ok();
        // The clock has gone on while it waited. What was begun to be read meanwhile serves all who waited, even if reading it
        // took longer than it counts: else they would read one after the other.
        if let Some(found) = place.since(came).or_else(|| place.fresh(self.clock.now())) {
            return Ok(Some(found));
        }
        if place.failures.load(Ordering::Acquire) != failures {
            // It waited for one that failed. One after the other, the last would wait for all the others' limits.
            one = None;
        }
        let now = self.clock.now();
        let before = place.held().map(|it| it.1);
        let found = read(before).await.inspect_err(|_| {
            place.failures.fetch_add(1, Ordering::AcqRel);
        })?;
        place.hold(now, found.clone());
        drop(one);
        Ok(found)
    }

    /// Holds what was read at that time.
    pub fn put(&self, key: &K, read_at: Timestamp, value: V) {
        // In a place of its own: who reads an older one at this moment must not put it over this.
        let place = Arc::new(Place::default());
        place.hold(read_at, Some(value));
        self.insert(key, |it| {
            it.insert(key.clone(), place);
        });
    }

    /// Forgets what is held because it has changed: whoever comes from here on gets what is read from here on.
    pub fn forget(&self, key: &K) {
        self.places.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Forgets what is older than a second: for what must not lie in memory longer than it is used.
    pub fn sweep(&self) {
        let now = self.clock.now();
        let is_used = |it: &Arc<Place<V>>| {
            Arc::strong_count(it) > 1
                || it.read_at().is_some_and(|it| now.duration_since(it) < FRESH)
        };
        self.places
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, place| is_used(place));
    }

    fn place(&self, key: &K) -> Arc<Place<V>> {
        self.insert(key, |it| it.entry(key.clone()).or_default().clone())
    }

    fn insert<T>(&self, key: &K, insert: impl FnOnce(&mut Places<K, V>) -> T) -> T {
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= self.most && !places.contains_key(key) {
            // An eighth at once, so that making room costs little however many there are.
            let mut ages: Vec<_> = places.values().map(|it| it.read_at()).collect();
            let at = ages.len() / 8;
            let (_, oldest, _) = ages.select_nth_unstable(at);
            let oldest = *oldest;
            // Who reads into a place that goes keeps what they found to themselves.
            places.retain(|_, it| it.read_at() > oldest);
        }
        insert(&mut places)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[derive(Default)]
    struct Hand(Mutex<Timestamp>);

    impl Hand {
        fn forward(&self, milliseconds: i64) {
            *self.0.lock().unwrap() += SignedDuration::from_millis(milliseconds);
        }
    }

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            *self.0.lock().unwrap()
        }
    }

    fn recent(most: usize) -> (Arc<Hand>, Recent<u32, u32>) {
        let clock = Arc::new(Hand::default());
        (clock.clone(), Recent::new(clock, most))
    }

    fn now<F: Future>(future: F) -> F::Output {
        let runtime = runtime();
        let _entered = runtime.enter();
        let mut future = pin!(future);
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(it) => it,
            Poll::Pending => panic!("it waits for something"),
        }
    }

    /// Whoever waits for somebody has a limit, which a runtime's clock ends.
    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
    }

    fn found(recent: &Recent<u32, u32>, key: u32, value: u32) -> u32 {
        now(recent.get(&key, async |_| Ok::<_, Infallible>(Some(value)))).unwrap().unwrap()
    }

    /// Waits until it is polled for the second time.
    async fn a_moment() {
        let mut polled = false;
        poll_fn(
            |_| {
                if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
            },
        )
        .await;
    }

    #[test]
    fn it_is_read_anew_when_the_second_is_over() {
        let (clock, recent) = recent(8);
        let peeked = || recent.peek(&1, clock.now(), |it| it + 1);
        assert_eq!(peeked(), None);
        assert_eq!(found(&recent, 1, 10), 10);
        clock.forward(999);
        assert_eq!(found(&recent, 1, 11), 10);
        assert_eq!(peeked(), Some(11));
        clock.forward(1);
        assert_eq!(peeked(), None);
        let before = now(recent.get(&1, async |before| {
            assert_eq!(before, Some(10), "whoever reads is given what was held");
            Ok::<_, Infallible>(Some(12))
        }));
        assert_eq!(before, Ok(Some(12)));
        recent.forget(&1);
        assert_eq!(peeked(), None);
        assert_eq!(found(&recent, 1, 13), 13);
        // What is not there is asked for each time.
        assert_eq!(now(recent.get(&2, async |_| Ok::<_, Infallible>(None))), Ok(None));
        assert_eq!(found(&recent, 2, 20), 20);
        clock.forward(1_000);
        recent.sweep();
        assert!(recent.places.read().unwrap().is_empty());
    }

    #[test]
    fn one_reads_and_the_others_wait_for_it() {
        let runtime = runtime();
        let _entered = runtime.enter();
        let (_, recent) = recent(8);
        let reads = AtomicUsize::new(0);
        let get = || {
            recent.get(&1, async |_| {
                reads.fetch_add(1, Ordering::Relaxed);
                a_moment().await;
                Ok::<_, Infallible>(Some(10))
            })
        };
        let (mut first, mut second) = (pin!(get()), pin!(get()));
        let context = &mut Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(context).is_pending());
        assert!(second.as_mut().poll(context).is_pending());
        assert_eq!(first.as_mut().poll(context), Poll::Ready(Ok(Some(10))));
        assert_eq!(second.as_mut().poll(context), Poll::Ready(Ok(Some(10))));
        assert_eq!(reads.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_took_longer_than_it_counts_serves_all_who_waited_for_it() {
        let runtime = runtime();
        let _entered = runtime.enter();
        let (clock, recent) = recent(8);
        let get = |value| {
            recent.get(&1, async move |_| {
                a_moment().await;
                Ok::<_, Infallible>(Some(value))
            })
        };
        let (mut first, mut second, mut third) = (pin!(get(1)), pin!(get(2)), pin!(get(3)));
        let context = &mut Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(context).is_pending());
        clock.forward(1);
        assert!(second.as_mut().poll(context).is_pending());
        assert!(third.as_mut().poll(context).is_pending());
        clock.forward(1_500);
        assert_eq!(first.as_mut().poll(context), Poll::Ready(Ok(Some(1))));
        // What was begun before they came may be too old for them; what the first of them reads is not.
        assert!(second.as_mut().poll(context).is_pending());
        clock.forward(1_500);
        assert_eq!(second.as_mut().poll(context), Poll::Ready(Ok(Some(2))));
        assert_eq!(third.as_mut().poll(context), Poll::Ready(Ok(Some(2))));
    }

    #[test]
    fn who_reads_what_was_forgotten_meanwhile_keeps_it_to_themselves() {
        let runtime = runtime();
        let _entered = runtime.enter();
        let (_, recent) = recent(8);
        let mut old = pin!(recent.get(&1, async |_| {
            a_moment().await;
            Ok::<_, Infallible>(Some(1))
        }));
        let context = &mut Context::from_waker(Waker::noop());
        assert!(old.as_mut().poll(context).is_pending());
        recent.forget(&1);
        assert_eq!(found(&recent, 1, 2), 2);
        assert_eq!(old.as_mut().poll(context), Poll::Ready(Ok(Some(1))));
        assert_eq!(found(&recent, 1, 3), 2);
        recent.put(&1, Timestamp::default(), 4);
        assert_eq!(found(&recent, 1, 5), 4);
    }

    #[test]
    fn nobody_queues_behind_one_that_failed() {
        let runtime = runtime();
        let _entered = runtime.enter();
        let (_, recent) = recent(8);
        let get = |value: Result<Option<u32>, u32>| {
            recent.get(&1, async move |_| {
                a_moment().await;
                value
            })
        };
        let (mut first, mut second) = (pin!(get(Err(1))), pin!(get(Err(2))));
        let mut third = pin!(get(Ok(Some(3))));
        let context = &mut Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(context).is_pending());
        assert!(second.as_mut().poll(context).is_pending());
        assert!(third.as_mut().poll(context).is_pending());
        assert_eq!(first.as_mut().poll(context), Poll::Ready(Err(1)));
        // Both read at the same time.
        assert!(second.as_mut().poll(context).is_pending());
        assert!(third.as_mut().poll(context).is_pending());
        assert_eq!(second.as_mut().poll(context), Poll::Ready(Err(2)));
        assert_eq!(third.as_mut().poll(context), Poll::Ready(Ok(Some(3))));
    }

    #[test]
    fn what_was_read_longest_ago_makes_room() {
        let (clock, recent) = recent(8);
        for key in 0..8 {
            found(&recent, key, 0);
            clock.forward(10);
        }
        found(&recent, 8, 0);
        let left = recent.places.read().unwrap();
        assert!(left.len() <= 8 && left.contains_key(&8) && left.contains_key(&7));
        assert!(!left.contains_key(&0), "{:?}", left.keys());
    }
}
