use jiff::Timestamp;
use plinth_core::{KeyId, OrgId};
use uuid::Uuid;

/// How many requests are let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In each minute, at least 1.
    pub per_minute: u32,
    /// In each day (UTC), at least 1.
    pub per_day: u32,
}

/// What an organization may use. Plans are the operator's to give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plan {
    /// What a self-hosted installation gives if nobody says otherwise: enough not to be noticed.
    #[default]
    SelfHosted,
    /// 30 a minute, 1,000 a day.
    Free,
    /// 120 a minute, 10,000 a day.
    Pro,
    /// What the operator set.
    Custom(Rate),
}

impl Plan {
    /// The plan of that name, with the numbers that only a custom one has.
    pub fn read(name: &str, custom: Option<Rate>) -> Option<Self> {
        match name {
            "self-hosted" => Some(Self::SelfHosted),
            "free" => Some(Self::Free),
            "pro" => Some(Self::Pro),
            "custom" => custom.map(Self::Custom),
            _ => None,
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SelfHosted => "self-hosted",
            Self::Free => "free",
            Self::Pro => "pro",
            Self::Custom(_) => "custom",
        }
    }

    /// What it lets through, for the organization and for each of its keys.
    pub fn rate(self) -> Rate {
        match self {
            Self::SelfHosted => Rate { per_minute: 60_000, per_day: 86_400_000 },
            Self::Free => Rate { per_minute: 30, per_day: 1000 },
            Self::Pro => Rate { per_minute: 120, per_day: 10_000 },
            Self::Custom(rate) => rate,
        }
    }
}

/// What holds for one caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// For the whole organization.
    pub organization: Rate,
    /// For the key alone, if a key is used.
    pub key: Option<Rate>,
}

/// For how long requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// A minute of the clock.
    Minute,
    /// A day in UTC.
    Day,
}

impl Period {
    /// Its name in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Day => "day",
        }
    }

    /// Its length in seconds.
    pub fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Day => 86_400,
        }
    }

    /// The second (Unix) at which the one that holds `now` began.
    pub fn start(self, now: Timestamp) -> i64 {
        now.as_second() - now.as_second().rem_euclid(self.seconds())
    }
}

/// Whose requests are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bucket {
    /// The organization.
    pub org: OrgId,
    /// One key of it, or all that the organization does.
    pub key: Option<KeyId>,
    /// For how long they are counted together.
    pub period: Period,
}

impl Bucket {
    /// What the count is kept under: the key's id or the organization's.
    pub fn subject(&self) -> Uuid {
        self.key.map_or_else(|| self.org.as_uuid(), KeyId::as_uuid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_and_a_day_begin_where_the_clock_says() {
        let now: Timestamp = "2026-03-04T05:06:07.9Z".parse().expect("a time");
        let second = |text: &str| text.parse::<Timestamp>().expect("a time").as_second();
        assert_eq!(Period::Minute.start(now), second("2026-03-04T05:06:00Z"));
        assert_eq!(Period::Day.start(now), second("2026-03-04T00:00:00Z"));
    }

    #[test]
    fn every_plan_reads_back_from_its_name() {
        let rate = Rate { per_minute: 7, per_day: 70 };
        for plan in [Plan::SelfHosted, Plan::Free, Plan::Pro, Plan::Custom(rate)] {
            assert_eq!(Plan::read(plan.as_str(), Some(rate)), Some(plan));
        }
        assert_eq!(Plan::read("custom", None), None);
    }
}
