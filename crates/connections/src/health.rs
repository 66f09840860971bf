use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Diagnosis;

/// How many checks in a row must fail until a connection is no longer used.
pub const FAILURES_UNTIL_LOST: u32 = 3;

/// Whether a connection may be used now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Activity {
    /// It may.
    #[default]
    Active,
    /// Somebody switched it off, and somebody has to switch it on again.
    SwitchedOff,
    /// Background checks failed; when one succeeds it is active again.
    Lost,
}

impl Activity {
    /// Whether it may be used.
    pub fn is_active(self) -> bool {
        self == Self::Active
    }

    /// Why it may not, as a word; `None` if it may.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Active => None,
            Self::SwitchedOff => Some("switched_off"),
            Self::Lost => Some("unhealthy"),
        }
    }

    /// From the word; `None` if there is no such reason.
    pub fn from_reason(reason: Option<&str>) -> Option<Self> {
        [Self::Active, Self::SwitchedOff, Self::Lost].into_iter().find(|it| it.reason() == reason)
    }
}

/// How the last check ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// It was not checked since it was added or its settings changed.
    #[default]
    Unknown,
    /// A session could be opened.
    Healthy,
    /// None could.
    Unhealthy,
}

impl HealthStatus {
    /// Its name in answers and rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Unknown, Self::Healthy, Self::Unhealthy].into_iter().find(|it| it.as_str() == name)
    }
}

/// What background checks found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// How the last one ended.
    pub status: HealthStatus,
    /// When that was.
    pub checked_at: Option<Timestamp>,
    /// How many failed in a row.
    pub failures: u32,
    /// When the first of those failed.
    pub failing_since: Option<Timestamp>,
    /// Why the last one failed.
    pub diagnosis: Option<Box<Diagnosis>>,
}

/// What a check turned around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It was used and no longer is.
    Lost,
    /// It was not used and is again.
    Recovered,
}

/// What follows from a check.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// How it stands now.
    pub health: Health,
    /// Whether it may be used now.
    pub activity: Activity,
    /// What that turned around, if anything.
    pub turn: Option<Turn>,
}

impl Health {
    /// What follows from a check that ended so at `at`. What a person switched off stays off.
    #[must_use]
    pub fn judge(
        &self,
        activity: Activity,
        found: Result<(), Box<Diagnosis>>,
        at: Timestamp,
    ) -> Judged {
        let health = match found {
            Ok(()) => Self {
                status: HealthStatus::Healthy,
                checked_at: Some(at),
                failures: 0,
                failing_since: None,
                diagnosis: None,
            },
            Err(diagnosis) => Self {
                status: HealthStatus::Unhealthy,
                checked_at: Some(at),
                failures: self.failures.saturating_add(1),
                failing_since: self.failing_since.or(Some(at)),
                diagnosis: Some(diagnosis),
            },
        };
        let lost = health.failures >= FAILURES_UNTIL_LOST;
        let (activity, turn) = match activity {
            Activity::Active if lost => (Activity::Lost, Some(Turn::Lost)),
            Activity::Lost if health.failures == 0 => (Activity::Active, Some(Turn::Recovered)),
            same => (same, None),
        };
        Judged { health, activity, turn }
    }
}

/// `interval`, shortened or lengthened by up to a tenth: many connections that were added at once are not checked at once
/// for ever. `at_random` is any random number.
pub fn with_jitter(interval: SignedDuration, at_random: u16) -> SignedDuration {
    let share = 0.9 + 0.2 * f64::from(at_random) / f64::from(u16::MAX);
    interval.mul_f64(share)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Fault, Stage};

    fn refused() -> Result<(), Box<Diagnosis>> {
        Err(Box::new(Diagnosis {
            stage: Stage::Connect,
            fault: Fault::ConnectionRefused,
            title: "Nobody listens".to_owned(),
            explanation: "The port is closed.".to_owned(),
            fix_steps: vec!["Start the server.".to_owned()],
            retryable: true,
        }))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn the_third_failure_in_a_row_loses_it_and_one_success_brings_it_back() {
        let mut judged =
            Judged { health: Health::default(), activity: Activity::Active, turn: None };
        let checks = [
            (refused(), None),
            (refused(), None),
            (Ok(()), None),
            (refused(), None),
            (refused(), None),
            (refused(), Some(Turn::Lost)),
            (refused(), None),
            (Ok(()), Some(Turn::Recovered)),
            (Ok(()), None),
        ];
        for (second, (found, turn)) in (0..).zip(checks) {
            judged = judged.health.judge(judged.activity, found, at(second));
            assert_eq!(judged.turn, turn, "check {second}");
        }
        assert_eq!((judged.activity, judged.health.failures), (Activity::Active, 0));
    }

    #[test]
    fn since_when_it_fails_is_the_first_failure() {
        let first = Health::default().judge(Activity::Active, refused(), at(5));
        let second = first.health.judge(first.activity, refused(), at(9));
        assert_eq!(second.health.failing_since, Some(at(5)));
        assert_eq!(second.health.checked_at, Some(at(9)));
    }

    proptest! {
        #[test]
        fn what_a_person_switched_off_stays_off(found in prop::collection::vec(any::<bool>(), 0..20)) {
            let mut health = Health::default();
            for (second, good) in (0..).zip(found) {
                let found = if good { Ok(()) } else { refused() };
                let judged = health.judge(Activity::SwitchedOff, found, at(second));
                prop_assert_eq!((judged.activity, judged.turn), (Activity::SwitchedOff, None));
                health = judged.health;
            }
        }

        #[test]
        fn jitter_is_a_tenth_at_most(at_random: u16) {
            let interval = SignedDuration::from_mins(5);
            let it = with_jitter(interval, at_random).as_secs_f64();
            prop_assert!((270.0..=330.0).contains(&it));
        }
    }
}
