use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use plinth_core::{Clock, FastMap, KeyId, OrgId, Principal, StoreError};

use super::{Bucket, Period, Rate, Rates};

/// How long the rates of a caller are trusted before they are read again.
const TRUST: SignedDuration = SignedDuration::from_secs(5);

/// How long a full bucket is believed to be full: another server may give back what it did not use.
const FULL: SignedDuration = SignedDuration::from_secs(1);

/// A block that was used up within this was too small; the next is twice as large.
const QUICK: SignedDuration = SignedDuration::from_secs(1);

/// A block that lasted longer was too large; the next is half as large.
const SLOW: SignedDuration = SignedDuration::from_secs(5);

/// What has not been touched for this is given back.
const IDLE: SignedDuration = SignedDuration::from_secs(2);

/// How many requests the first block of a bucket is for.
const FIRST_BLOCK: u32 = 4;

/// No block is more than this part of what is left, so that one server does not keep from others what it may not use.
const PART: u32 = 4;

/// How many buckets and callers are remembered at most.
const REMEMBERED: usize = 50_000;

/// Where servers share their counts. A server reserves requests in blocks and lets them through on its own; so the count
/// is never too low, and there is no write for each request.
#[async_trait]
pub trait RateStore: Send + Sync + 'static {
    /// What holds for the organization and the key now.
    async fn rates(&self, org: OrgId, key: Option<KeyId>) -> Result<Rates, StoreError>;

    /// Reserves at most `want` requests in the window that began at `start` (Unix seconds), such that all servers together
    /// never have more than `limit`. Says how many it got and how many are reserved in all.
    async fn reserve(
        &self,
        bucket: Bucket,
        start: i64,
        want: u32,
        limit: u32,
    ) -> Result<(u32, u32), StoreError>;

    /// Gives back what was reserved and not used.
    async fn give_back(&self, bucket: Bucket, start: i64, unused: u32) -> Result<(), StoreError>;
}

/// What a caller is told about their limits: those of the bucket that is nearest to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Whether the request may go on.
    pub is_admitted: bool,
    /// How many requests the window lets through.
    pub limit: u32,
    /// How many are left, as far as this server knows.
    pub remaining: u32,
    /// When the window ends, in Unix seconds.
    pub reset: i64,
    /// In seconds, how long to wait before trying again; 0 if admitted.
    pub retry_after: i64,
    /// Which window it is.
    pub period: Period,
    /// Whether it is the key's own, and not the organization's.
    pub is_keys: bool,
}

/// What holds for each caller, and when it was read.
type RateCache = FastMap<(OrgId, Option<KeyId>), (Timestamp, Rates)>;

/// Lets requests through until their limits are reached.
#[derive(Clone)]
pub struct Limiter {
    store: Arc<dyn RateStore>,
    clock: Arc<dyn Clock>,
    /// Under one lock, because nearly every request needs both and changes nothing else: one that finds all it needs here
    /// takes the lock once.
    known: Arc<Mutex<State>>,
    /// Held while a block is reserved, so that a burst makes one reservation and not one for each request. Several, so
    /// that organizations seldom wait for each other.
    reserving: Arc<[tokio::sync::Mutex<()>; 64]>,
}

/// What this server knows.
#[derive(Default)]
struct State {
    rates: RateCache,
    windows: FastMap<Bucket, Window>,
}

/// What this server knows of a bucket.
#[derive(Clone, Copy, Debug)]
struct Window {
    start: i64,
    /// Reserved by this server and not used yet.
    unused: u32,
    /// Reserved by all servers, when this one last asked.
    reserved: u32,
    /// The size of the last block, and when it was got.
    block: u32,
    got_at: Timestamp,
    used_at: Timestamp,
    full_at: Option<Timestamp>,
}

impl Limiter {
    /// Puts the limiter together.
    pub fn new(store: Arc<dyn RateStore>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            known: Arc::default(),
            reserving: Arc::new(std::array::from_fn(|_| tokio::sync::Mutex::default())),
        }
    }

    /// Counts one request of the caller, unless one of their limits is reached.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn admit(&self, caller: &Principal) -> Result<Admission, StoreError> {
        let now = self.clock.now();
        match self.admit_at_once(caller, now) {
            Some(admission) => Ok(admission),
            None => Box::pin(self.admit_slowly(caller.org, caller.key(), now)).await,
        }
    }

    /// [`Limiter::admit`] where this server knows the caller's limits and has reserved requests left in all of them, as it has
    /// for nearly every request: at once. `None`, and nothing is counted, if something has to be asked first.
    pub fn admit_at_once(&self, caller: &Principal, now: Timestamp) -> Option<Admission> {
        lock(&self.known).admit(caller.org, caller.key(), now)
    }

    /// The same where something has to be read or reserved first.
    async fn admit_slowly(
        &self,
        org: OrgId,
        key: Option<KeyId>,
        now: Timestamp,
    ) -> Result<Admission, StoreError> {
        let rates = self.rates(org, key, now).await?;
        let mut tightest: Option<Admission> = None;
        let mut taken = Vec::with_capacity(4);
        for (bucket, limit) in buckets(org, key, rates) {
            let admission = self.take(bucket, limit, now).await?;
            if !admission.is_admitted {
                // A request that is refused counts nowhere.
                for bucket in taken {
                    self.put_back(bucket);
                }
                return Ok(admission);
            }
            taken.push(bucket);
            tightest = Some(tighter(tightest, admission));
        }
        Ok(tightest.expect("there is always the organization's bucket"))
    }

    async fn rates(
        &self,
        org: OrgId,
        key: Option<KeyId>,
        now: Timestamp,
    ) -> Result<Rates, StoreError> {
        if let Some(rates) = lock(&self.known).rates(org, key, now) {
            return Ok(rates);
        }
        let rates = self.store.rates(org, key).await?;
        let known = &mut lock(&self.known).rates;
        if known.len() >= REMEMBERED {
            known.retain(|_, (read_at, _)| now.duration_since(*read_at) < TRUST);
        }
        known.insert((org, key), (now, rates));
        Ok(rates)
    }

    /// Takes one request out of a bucket.
    async fn take(
        &self,
        bucket: Bucket,
        limit: u32,
        now: Timestamp,
    ) -> Result<Admission, StoreError> {
        let start = bucket.period.start(now);
        if let Some(admission) = self.take_here(bucket, start, limit, now) {
            return Ok(admission);
        }
        let turn = usize::from(bucket.subject().as_bytes()[15]) % self.reserving.len();
        let _one_at_a_time = self.reserving[turn].lock().await;
        // Somebody else may have reserved while this one waited.
        if let Some(admission) = self.take_here(bucket, start, limit, now) {
            return Ok(admission);
        }
        let last = lock(&self.known).windows.get(&bucket).copied().filter(|it| it.start == start);
        let want = match last {
            Some(last) => next_block(&last, limit, now),
            None => FIRST_BLOCK.min(limit.div_ceil(PART)),
        };
        let (got, reserved) = self.store.reserve(bucket, start, want, limit).await?;
        let window = Window {
            start,
            unused: got.saturating_sub(1),
            reserved,
            block: want,
            got_at: now,
            used_at: now,
            full_at: (got == 0).then_some(now),
        };
        self.remember(bucket, window, now);
        Ok(window.admission(bucket, limit, got > 0, now))
    }

    /// Takes one request out of what this server has reserved, or refuses at once while the bucket is known to be full.
    fn take_here(
        &self,
        bucket: Bucket,
        start: i64,
        limit: u32,
        now: Timestamp,
    ) -> Option<Admission> {
        let mut known = lock(&self.known);
        let window = known.windows.get_mut(&bucket).filter(|it| it.start == start)?;
        if window.unused > 0 {
            window.unused -= 1;
            window.used_at = now;
            return Some(window.admission(bucket, limit, true, now));
        }
        let is_full = window.full_at.is_some_and(|it| now.duration_since(it) < FULL)
            // The operator may have given more.
            && window.reserved >= limit;
        is_full.then(|| window.admission(bucket, limit, false, now))
    }

    fn put_back(&self, bucket: Bucket) {
        if let Some(window) = lock(&self.known).windows.get_mut(&bucket) {
            window.unused += 1;
        }
    }

    fn remember(&self, bucket: Bucket, window: Window, now: Timestamp) {
        let windows = &mut lock(&self.known).windows;
        if windows.len() >= REMEMBERED {
            windows.retain(|bucket, it| it.start == bucket.period.start(now));
        }
        windows.insert(bucket, window);
    }

    /// Gives back what was reserved and has not been used for a while, so that other servers can let it through; forgets
    /// windows that are over.
    ///
    /// # Errors
    ///
    /// Only when storage fails; what was not given back stays reserved until its window ends.
    pub async fn tick(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut unused = Vec::new();
        lock(&self.known).windows.retain(|bucket, window| {
            if window.start != bucket.period.start(now) {
                return false;
            }
            if window.unused > 0 && now.duration_since(window.used_at) >= IDLE {
                unused.push((*bucket, window.start, window.unused));
                window.reserved = window.reserved.saturating_sub(window.unused);
                window.unused = 0;
            }
            true
        });
        for (bucket, start, unused) in unused {
            self.store.give_back(bucket, start, unused).await?;
        }
        Ok(())
    }
}

impl State {
    fn rates(&self, org: OrgId, key: Option<KeyId>, now: Timestamp) -> Option<Rates> {
        let (read_at, rates) = self.rates.get(&(org, key))?;
        (now.duration_since(*read_at) < TRUST).then_some(*rates)
    }

    /// Counts a request in all its buckets, if all that takes is known here and every bucket has one left; else counts it
    /// nowhere.
    fn admit(&mut self, org: OrgId, key: Option<KeyId>, now: Timestamp) -> Option<Admission> {
        let rates = self.rates(org, key, now)?;
        let mut tightest: Option<Admission> = None;
        for (index, (bucket, limit)) in buckets(org, key, rates).enumerate() {
            let start = bucket.period.start(now);
            let window = self.windows.get_mut(&bucket);
            let Some(window) = window.filter(|it| it.start == start && it.unused > 0) else {
                for (bucket, _) in buckets(org, key, rates).take(index) {
                    self.windows.entry(bucket).and_modify(|it| it.unused += 1);
                }
                return None;
            };
            window.unused -= 1;
            window.used_at = now;
            let admission = window.admission(bucket, limit, true, now);
            tightest = Some(tighter(tightest, admission));
        }
        tightest
    }
}

/// The one that is nearer to its end.
fn tighter(one: Option<Admission>, other: Admission) -> Admission {
    match one {
        Some(one)
            if u64::from(one.remaining) * u64::from(other.limit)
                <= u64::from(other.remaining) * u64::from(one.limit) =>
        {
            one
        }
        _ => other,
    }
}

/// The buckets that a request counts in, each with its limit.
fn buckets(org: OrgId, key: Option<KeyId>, rates: Rates) -> impl Iterator<Item = (Bucket, u32)> {
    let both = move |key: Option<KeyId>, rate: Rate| {
        [(Period::Minute, rate.per_minute), (Period::Day, rate.per_day)]
            .map(|(period, limit)| (Bucket { org, key, period }, limit))
    };
    // The key's first: it is the narrower one.
    let own = key.zip(rates.key).map(|(key, rate)| both(Some(key), rate));
    own.into_iter().flatten().chain(both(None, rates.organization))
}

/// How much to reserve after a block is used up: what the traffic seems to need for a second or a few.
fn next_block(last: &Window, limit: u32, now: Timestamp) -> u32 {
    let lasted = now.duration_since(last.got_at);
    let wanted = if last.full_at.is_some() {
        1
    } else if lasted < QUICK {
        last.block.saturating_mul(2)
    } else if lasted > SLOW {
        last.block / 2
    } else {
        last.block
    };
    let left = limit.saturating_sub(last.reserved);
    wanted.clamp(1, (left / PART).max(1))
}

impl Window {
    fn admission(
        &self,
        bucket: Bucket,
        limit: u32,
        is_admitted: bool,
        now: Timestamp,
    ) -> Admission {
        let reset = self.start + bucket.period.seconds();
        let remaining = if is_admitted {
            (limit.saturating_sub(self.reserved)).saturating_add(self.unused).min(limit)
        } else {
            0
        };
        Admission {
            is_admitted,
            limit,
            remaining,
            reset,
            retry_after: if is_admitted { 0 } else { (reset - now.as_second()).max(1) },
            period: bucket.period,
            is_keys: bucket.key.is_some(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Counts are whole after every step: a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicU32, Ordering};

    use plinth_core::{Credential, ManualClock, Origin, ScopeSet, UserId};
    use proptest::prelude::*;

    use super::*;

    /// What servers share, in memory: the rule is what is tested here, and the store has a contract of its own.
    struct Shared {
        rate: Rate,
        counts: Mutex<HashMap<(Bucket, i64), u32>>,
        writes: AtomicU32,
    }

    #[async_trait]
    impl RateStore for Shared {
        async fn rates(&self, _: OrgId, key: Option<KeyId>) -> Result<Rates, StoreError> {
            Ok(Rates { organization: self.rate, key: key.map(|_| self.rate) })
        }

        async fn reserve(
            &self,
            bucket: Bucket,
            start: i64,
            want: u32,
            limit: u32,
        ) -> Result<(u32, u32), StoreError> {
            self.writes.fetch_add(1, Ordering::Relaxed);
            let mut counts = lock(&self.counts);
            let count = counts.entry((bucket, start)).or_default();
            let got = want.min(limit.saturating_sub(*count));
            *count += got;
            Ok((got, *count))
        }

        async fn give_back(
            &self,
            bucket: Bucket,
            start: i64,
            unused: u32,
        ) -> Result<(), StoreError> {
            *lock(&self.counts).entry((bucket, start)).or_default() -= unused;
            Ok(())
        }
    }

    fn shared(rate: Rate) -> Arc<Shared> {
        Arc::new(Shared { rate, counts: Mutex::default(), writes: AtomicU32::new(0) })
    }

    fn clock() -> Arc<ManualClock> {
        Arc::new(ManualClock::at("2026-03-04T05:06:00Z".parse().expect("a time")))
    }

    fn caller(key: bool) -> Principal {
        let at = Timestamp::UNIX_EPOCH;
        let credential = if key { Credential::Key(KeyId::new(at)) } else { Credential::Job };
        Principal {
            org: OrgId::new(at),
            user: UserId::new(at),
            credential,
            scopes: ScopeSet::NONE,
            is_owner: false,
            project: None,
            test_only: false,
            saved_queries_only: false,
            origin: Arc::new(Origin::default()),
        }
    }

    #[tokio::test]
    async fn a_free_organization_gets_thirty_a_minute_and_then_is_told_how_long_to_wait() {
        let (store, clock) = (shared(super::super::Plan::Free.rate()), clock());
        let limiter = Limiter::new(store.clone(), clock.clone());
        let caller = caller(true);
        for left in (0..30).rev() {
            let admission = limiter.admit(&caller).await.expect("stored");
            assert!(admission.is_admitted);
            assert_eq!((admission.limit, admission.remaining), (30, left));
        }
        clock.advance(SignedDuration::from_secs(20));
        let refused = limiter.admit(&caller).await.expect("stored");
        assert_eq!((refused.is_admitted, refused.remaining, refused.retry_after), (false, 0, 40));
        clock.advance(SignedDuration::from_secs(40));
        assert!(limiter.admit(&caller).await.expect("stored").is_admitted, "a new minute");
    }

    #[tokio::test]
    async fn who_is_let_through_at_once_counts_and_who_is_not_does_not() {
        let (store, clock) = (shared(Rate { per_minute: 20, per_day: 1000 }), clock());
        let limiter = Limiter::new(store, clock.clone());
        let caller = caller(true);
        assert_eq!(limiter.admit_at_once(&caller, clock.now()), None, "nothing is known");
        let mut left = limiter.admit(&caller).await.expect("stored").remaining;
        let mut asked = 0;
        while left > 0 {
            let admission = if let Some(it) = limiter.admit_at_once(&caller, clock.now()) {
                it
            } else {
                asked += 1;
                limiter.admit(&caller).await.expect("stored")
            };
            assert!(admission.is_admitted);
            left -= 1;
            assert_eq!(admission.remaining, left);
        }
        assert!(asked < 19, "some are let through at once");
        assert_eq!(limiter.admit_at_once(&caller, clock.now()), None, "none is refused at once");
        assert!(!limiter.admit(&caller).await.expect("stored").is_admitted);
    }

    #[tokio::test]
    async fn what_one_server_reserved_and_did_not_use_the_others_get() {
        let (store, clock) = (shared(Rate { per_minute: 20, per_day: 1000 }), clock());
        let [a, b] = [0, 1].map(|_| Limiter::new(store.clone(), clock.clone()));
        let caller = caller(false);
        assert!(a.admit(&caller).await.expect("stored").is_admitted);
        clock.advance(SignedDuration::from_secs(3));
        a.tick().await.expect("given back");
        let mut admitted = 1;
        while b.admit(&caller).await.expect("stored").is_admitted {
            admitted += 1;
        }
        assert_eq!(admitted, 20, "not one is lost");
    }

    #[tokio::test]
    async fn busy_traffic_does_not_write_for_each_request() {
        let (store, clock) = (shared(super::super::Plan::SelfHosted.rate()), clock());
        let limiter = Limiter::new(store.clone(), clock.clone());
        let caller = caller(true);
        for _ in 0..10_000 {
            assert!(limiter.admit(&caller).await.expect("stored").is_admitted);
        }
        let writes = store.writes.load(Ordering::Relaxed);
        assert!(writes < 80, "{writes} writes for 10,000 requests over 4 buckets");
    }

    proptest! {
        #[test]
        fn any_number_of_servers_never_let_more_through_than_the_limit(
            limit in 1u32..200, servers in 1usize..6, steps in prop::collection::vec((0usize..6, 0i64..900), 1..600)
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                let (store, clock) = (shared(Rate { per_minute: limit, per_day: 100_000 }), clock());
                let all: Vec<_> =
                    (0..servers).map(|_| Limiter::new(store.clone(), clock.clone())).collect();
                let caller = caller(false);
                let mut admitted: HashMap<i64, u32> = HashMap::new();
                for (server, pause) in steps {
                    clock.advance(SignedDuration::from_millis(pause));
                    let server = &all[server % servers];
                    if pause > 850 {
                        server.tick().await.expect("given back");
                    }
                    let minute = Period::Minute.start(clock.now());
                    if server.admit(&caller).await.expect("stored").is_admitted {
                        *admitted.entry(minute).or_default() += 1;
                    }
                }
                for (minute, count) in admitted {
                    assert!(count <= limit, "{count} of {limit} in {minute}");
                }
            });
        }
    }
}
