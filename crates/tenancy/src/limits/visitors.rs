use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use plinth_core::Clock;

/// How many are remembered at most; whoever has not come for a minute is forgotten first.
const REMEMBERED: usize = 50_000;

const MINUTE_NS: i128 = 60_000_000_000;

/// Lets in whom nobody knows: each of them so many times a minute, all at once if they have not come for a while.
///
/// Counted in this process's memory: a flood must not become writes to our database. Servers count each for itself.
#[derive(Clone)]
pub struct Visitors<K> {
    clock: Arc<dyn Clock>,
    per_minute: u32,
    /// For each, until when what it took is worked off.
    known: Arc<Mutex<HashMap<K, Timestamp>>>,
}

impl<K: Eq + Hash> Visitors<K> {
    /// Lets each in so many times a minute.
    pub fn new(clock: Arc<dyn Clock>, per_minute: u32) -> Self {
        Self { clock, per_minute: per_minute.max(1), known: Arc::default() }
    }

    /// Counts a visit. One that is refused does not count.
    ///
    /// # Errors
    ///
    /// In how many seconds to come again, if it is one too many.
    pub fn admit(&self, who: K) -> Result<(), i64> {
        let now = self.clock.now().as_nanosecond();
        // Counts are whole after every step: a panic elsewhere leaves nothing half done.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let until = known.get(&who).map_or(now, |it| it.as_nanosecond().max(now));
        let after = until + MINUTE_NS / i128::from(self.per_minute);
        let over = after - now - MINUTE_NS;
        if over > 0 {
            let seconds = (over + 999_999_999) / 1_000_000_000;
            return Err(i64::try_from(seconds).unwrap_or(60));
        }
        if known.len() >= REMEMBERED && !known.contains_key(&who) {
            known.retain(|_, it| it.as_nanosecond() > now);
            // So many who all came within the last minute: they begin anew rather than that memory grows.
            if known.len() >= REMEMBERED {
                known.clear();
            }
        }
        if let Ok(after) = Timestamp::from_nanosecond(after) {
            known.insert(who, after);
        }
        Ok(())
    }
}

/// The network that an address counts for: who has one IPv6 address has 2^64 of them.
pub fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(it) => it.to_string(),
        IpAddr::V6(it) => {
            let [a, b, c, d, ..] = it.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use plinth_core::ManualClock;

    use super::*;

    #[test]
    fn each_comes_so_many_times_a_minute() {
        let clock = Arc::new(ManualClock::at("2026-03-04T05:06:07Z".parse().unwrap()));
        let visitors = Visitors::new(clock.clone(), 60);
        for _ in 0..60 {
            assert_eq!(visitors.admit("ann"), Ok(()));
        }
        assert_eq!(visitors.admit("ann"), Err(1));
        assert_eq!(visitors.admit("bob"), Ok(()), "who has not come yet");
        clock.advance(SignedDuration::from_secs(2));
        assert_eq!([(); 3].map(|()| visitors.admit("ann")), [Ok(()), Ok(()), Err(1)]);
        clock.advance(SignedDuration::from_hours(1));
        let admitted = (0..100).filter(|_| visitors.admit("ann").is_ok()).count();
        assert_eq!(admitted, 60, "who waits longer does not gather more");
    }

    #[test]
    fn a_seldom_visitor_is_told_how_long_to_wait() {
        let clock = Arc::new(ManualClock::at("2026-03-04T05:06:07Z".parse().unwrap()));
        let visitors = Visitors::new(clock, 2);
        assert_eq!([(); 3].map(|()| visitors.admit(1)), [Ok(()), Ok(()), Err(30)]);
    }

    #[test]
    fn an_address_counts_for_what_one_subscriber_has() {
        let of = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
