//! Chance that comes out the same on every platform and in every version: written here, integers only.

/// What a stream of chance is for. Two streams never meet, so that a change to how customers are made leaves orders as
/// they were.
#[derive(Clone, Copy)]
pub(crate) enum Stream {
    Employee = 1,
    Supplier,
    Product,
    Customer,
    Order,
    Review,
    Ticket,
    Message,
    Day,
}

/// `SplitMix64` (Steele, Lea and Flood, 2014): one addition and one mixing per number, which is plenty for sample data.
pub(crate) struct Random(u64);

impl Random {
    /// The chance of one thing: the same three arguments give the same numbers, in whatever order things are made.
    pub(crate) fn new(seed: u64, stream: Stream, index: u64) -> Self {
        Self(mix(mix(seed ^ mix(stream as u64)) ^ index))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// 0 to `end - 1`; 0 if `end` is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // The high half of the product, which is less than `end`.
        u64::try_from((u128::from(self.next()) * u128::from(end)) >> 64).unwrap_or_default()
    }

    /// `low` to `high`, both included; `low` if there is nothing between.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        let width = high.saturating_sub(low).max(0).unsigned_abs() + 1;
        low + self.below(width).cast_signed()
    }

    pub(crate) fn chance(&mut self, permille: u64) -> bool {
        self.below(1000) < permille
    }

    /// An index into something of this length, which must not be 0.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or_default()
    }

    /// Like `between`, but small values come more often.
    pub(crate) fn skewed(&mut self, low: i64, high: i64) -> i64 {
        let top = self.between(low, high);
        self.between(low, top)
    }

    /// One of these, each as often as the others.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    /// One of the values, each as often as its weight says.
    pub(crate) fn weighted<T: Copy>(&mut self, from: &[(T, u64)]) -> T {
        let total = from.iter().map(|(_, weight)| weight).sum();
        let mut rest = self.below(total);
        for &(value, weight) in from {
            if rest < weight {
                return value;
            }
            rest -= weight;
        }
        from[0].0
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_published_generator() {
        let mut random = Random(1_234_567);
        let numbers: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(
            numbers,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn chance_stays_in_its_bounds() {
        let mut random = Random::new(7, Stream::Order, 3);
        let mut seen = [false; 5];
        for _ in 0..1000 {
            let value = random.between(-2, 2);
            assert!((-2..=2).contains(&value));
            seen[usize::try_from(value + 2).unwrap()] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(random.between(5, 1), 5);
        assert!(!random.chance(0));
        assert!(random.chance(1000));
    }

    #[test]
    fn weights_decide_how_often_a_value_comes() {
        let mut random = Random::new(7, Stream::Order, 4);
        let often = (0..10_000).filter(|_| random.weighted(&[(true, 9), (false, 1)])).count();
        assert!((8_700..9_300).contains(&often), "{often}");
    }
}
