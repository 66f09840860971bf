use jiff::{SignedDuration, Timestamp};

use super::token::LIFETIME;

/// How long a key signs.
const PERIOD: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How long before it signs a key is published: whoever keeps our key set for that long still knows every key. The
/// answer of `jwks.json` allows a twelfth of it.
const AHEAD: SignedDuration = SignedDuration::from_hours(1);

/// How long after it last signed a key is published: until every token of it has expired, and a little more for clocks
/// that differ.
const BEHIND: SignedDuration = LIFETIME.saturating_add(SignedDuration::from_mins(5));

/// When a key signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledKey {
    /// Its id.
    pub id: String,
    /// It signs from then on, until the next one does.
    pub signs_from: Timestamp,
}

/// What an operator wants done with the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// Only what is due.
    WhenDue,
    /// A new key, published now and used as soon as everybody can know it.
    Now,
    /// A new key at once, and an end to all the others and to every token that they signed: somebody else has one.
    Compromised,
}

/// What has to be done with the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// A key is to be made, which signs from then on.
    pub add: Option<Timestamp>,
    /// These are no longer needed.
    pub remove: Vec<String>,
}

impl Plan {
    /// Decides for these keys, in any order.
    pub fn of(keys: &[ScheduledKey], rotation: Rotation, now: Timestamp) -> Self {
        if rotation == Rotation::Compromised {
            let remove = keys.iter().map(|it| it.id.clone()).collect();
            return Self { add: Some(now), remove };
        }
        let mut keys: Vec<_> = keys.iter().collect();
        keys.sort_by_key(|it| it.signs_from);
        let Some(newest) = keys.last() else {
            return Self { add: Some(now), remove: Vec::new() };
        };
        let ends = newest.signs_from + PERIOD;
        let waits = newest.signs_from > now;
        let add = match rotation {
            // One that waits for its turn is what was asked for.
            Rotation::Now if waits => None,
            Rotation::Now => Some(now + AHEAD),
            _ if ends - AHEAD <= now => Some(ends.max(now + AHEAD)),
            _ => None,
        };
        let gone = |next: &ScheduledKey| next.signs_from + BEHIND <= now;
        let remove = keys.windows(2).filter(|pair| gone(pair[1])).map(|pair| pair[0].id.clone());
        Self { add, remove: remove.collect() }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.add.is_none() && self.remove.is_empty()
    }
}

/// Which of the keys signs now: the newest whose turn has come.
pub(super) fn signer<'a, T>(
    keys: impl IntoIterator<Item = (&'a T, Timestamp)>,
    now: Timestamp,
) -> Option<&'a T> {
    let ready = keys.into_iter().filter(|(_, from)| *from <= now);
    ready.max_by_key(|(_, from)| *from).map(|(key, _)| key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(id: &str, signs_from: Timestamp) -> ScheduledKey {
        ScheduledKey { id: id.to_owned(), signs_from }
    }

    fn start() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().expect("a time")
    }

    #[test]
    fn a_suspicion_ends_every_key_at_once() {
        let (now, keys) = (start(), [key("a", start()), key("b", start() + AHEAD)]);
        let plan = Plan::of(&keys, Rotation::Compromised, now);
        assert_eq!(plan, Plan { add: Some(now), remove: vec!["a".into(), "b".into()] });
    }

    #[test]
    fn asking_twice_makes_one_key() {
        let now = start() + SignedDuration::from_hours(5);
        let plan = Plan::of(&[key("a", start())], Rotation::Now, now);
        assert_eq!(plan.add, Some(now + AHEAD));
        let two = [key("a", start()), key("b", now + AHEAD)];
        assert!(Plan::of(&two, Rotation::Now, now).is_empty());
    }

    proptest! {
        /// Whenever somebody looks after the keys, for years, with pauses of up to forty days and orders in between.
        #[test]
        fn a_key_is_known_before_it_signs_and_until_its_tokens_have_expired(
            steps in prop::collection::vec((1_i64..=960, any::<bool>()), 1..60),
        ) {
            let mut now = start();
            let mut keys: Vec<ScheduledKey> = Vec::new();
            // Which key signed last, and when it did so for the last time.
            let mut signed: Vec<(String, Timestamp)> = Vec::new();
            for (count, (hours, asked)) in steps.into_iter().enumerate() {
                let rotation = if asked { Rotation::Now } else { Rotation::WhenDue };
                let plan = Plan::of(&keys, rotation, now);
                for id in &plan.remove {
                    let last = signed.iter().rev().find(|it| it.0 == *id).map(|it| it.1);
                    prop_assert!(last.is_none_or(|it| it + LIFETIME <= now), "{id} is needed");
                }
                keys.retain(|it| !plan.remove.contains(&it.id));
                if let Some(from) = plan.add {
                    prop_assert!(keys.is_empty() || from >= now + AHEAD, "nobody knows it yet");
                    keys.push(key(&count.to_string(), from));
                }
                prop_assert!(Plan::of(&keys, Rotation::WhenDue, now).is_empty(), "all is done");
                prop_assert!(keys.len() <= 3);
                let signs = signer(keys.iter().map(|it| (it, it.signs_from)), now);
                prop_assert!(signs.is_some());
                now += SignedDuration::from_hours(hours);
                // It went on signing until now, or until the next one's turn.
                let at_end = signer(keys.iter().map(|it| (it, it.signs_from)), now);
                for it in [signs, at_end].into_iter().flatten() {
                    let next = keys.iter().map(|it| it.signs_from).filter(|at| *at > it.signs_from).min();
                    signed.push((it.id.clone(), next.map_or(now, |at| at.min(now))));
                }
            }
        }
    }
}
