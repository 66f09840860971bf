//! When schedules are due: arithmetic over the organization's wall clock, right across daylight saving.

use std::fmt;

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::definition::Overlap;

/// A schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// At which slots.
    pub timing: Timing,
    /// What becomes of slots that nobody was there for.
    pub misfire: Misfire,
    /// What becomes of a slot whose workflow is still at work.
    pub overlap: Overlap,
}

/// What becomes of slots that passed while no server was there, or the workflow's schedule stood still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfire {
    /// The newest of them is made up for, once; the others are recorded as skipped.
    RunOnce,
    /// All of them are recorded as skipped.
    Skip,
}

/// The usual rhythms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// At every fifth minute.
    FiveMinutes,
    /// At every fifteenth minute.
    FifteenMinutes,
    /// At minute 0.
    Hourly,
    /// At 09:00.
    Daily,
    /// On Mondays at 09:00.
    Weekly,
    /// On the first of the month at 09:00.
    Monthly,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 6] = [
        Self::FiveMinutes,
        Self::FifteenMinutes,
        Self::Hourly,
        Self::Daily,
        Self::Weekly,
        Self::Monthly,
    ];

    /// Its name in definitions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FiveMinutes => "5_minutes",
            Self::FifteenMinutes => "15_minutes",
            Self::Hourly => "hour",
            Self::Daily => "day",
            Self::Weekly => "week",
            Self::Monthly => "month",
        }
    }

    fn cron(self) -> &'static str {
        match self {
            Self::FiveMinutes => "*/5 * * * *",
            Self::FifteenMinutes => "*/15 * * * *",
            Self::Hourly => "0 * * * *",
            Self::Daily => "0 9 * * *",
            Self::Weekly => "0 9 * * 1",
            Self::Monthly => "0 9 1 * *",
        }
    }
}

/// At which slots a schedule is due.
#[derive(Clone)]
pub struct Timing {
    text: String,
    cron: Cron,
}

impl PartialEq for Timing {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timing({})", self.text)
    }
}

/// A text that is no cron expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidCron(String);

impl Timing {
    /// A usual rhythm.
    pub fn preset(preset: Preset) -> Self {
        Self::cron(preset.cron()).expect("ours are good")
    }

    /// A cron expression of five fields: minute, hour, day of the month, month, day of the week. If both days are
    /// restricted, either is enough.
    ///
    /// # Errors
    ///
    /// [`InvalidCron`] for what is none, and for one that is never due.
    pub fn cron(text: &str) -> Result<Self, InvalidCron> {
        let fields = text.split_whitespace().count();
        if fields != 5 {
            let rule = "has to have five fields: minute, hour, day of month, month, day of week";
            return Err(InvalidCron(rule.to_owned()));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).build();
        let cron = parser
            .parse(text)
            .map_err(|err| InvalidCron(format!("is no cron expression: {err}")))?;
        let timing = Self { text: text.to_owned(), cron };
        if timing.next(Timestamp::UNIX_EPOCH, &TimeZone::UTC).is_none() {
            return Err(InvalidCron("is never due".to_owned()));
        }
        Ok(timing)
    }

    /// The first slot after that moment; `None` if there is none within the calendar.
    ///
    /// A time of the day that is skipped when clocks are put forward is due right after the gap; one that comes twice when
    /// they are put back is due the first time. What is due every so many minutes or hours goes on in steps of the wall
    /// clock, and so also during the hour that comes twice.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut from = after;
        // The calendar's arithmetic must go forward whatever it is given.
        for _ in 0..4 {
            let next = self.cron.find_next_occurrence(&from.to_zoned(zone.clone()), false).ok()?;
            let next = next.timestamp();
            if next > after {
                return Some(next);
            }
            from += SignedDuration::from_secs(1);
        }
        None
    }
}

/// How late a slot may be taken up and still count as on time: servers look every second, and restarts take a while.
pub const PUNCTUAL: SignedDuration = SignedDuration::from_secs(60);

/// How many missed slots are recorded one by one at most; older ones are counted with the last of these.
pub const MOST_RECORDED: usize = 1_000;

/// Why a slot got no run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// Nobody was there in time.
    Misfire,
    /// The workflow was still at work.
    Overlap,
    /// Too many of its runs wait.
    Full,
}

/// What is to be done about a schedule that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firing {
    /// The slot that gets a run.
    pub run: Option<Timestamp>,
    /// The slots that do not, oldest first.
    pub skipped: Vec<(Timestamp, Skipped)>,
    /// When it is due again; `None` for never.
    pub next: Option<Timestamp>,
}

impl Schedule {
    /// Decides about a schedule whose next slot is `due`, at `now`: each slot from `due` to `now` gets a run or a reason.
    pub fn fire(&self, due: Timestamp, now: Timestamp, zone: &TimeZone, is_busy: bool) -> Firing {
        let (mut slots, mut next) = (Vec::new(), Some(due));
        while let Some(slot) = next.filter(|it| *it <= now) {
            slots.push(slot);
            next = self.timing.next(slot, zone);
            if slots.len() >= MOST_RECORDED {
                // After a very long pause: on to the newest ones.
                next = self.timing.next(slot.max(now - SignedDuration::from_hours(24)), zone);
                if slots.len() >= 2 * MOST_RECORDED {
                    next = self.timing.next(now, zone);
                }
            }
        }
        let newest = slots.pop();
        let mut skipped: Vec<_> = slots.into_iter().map(|it| (it, Skipped::Misfire)).collect();
        let mut run = None;
        if let Some(newest) = newest {
            let is_late = now.duration_since(newest) > PUNCTUAL;
            if is_late && self.misfire == Misfire::Skip {
                skipped.push((newest, Skipped::Misfire));
            } else if is_busy && self.overlap == Overlap::Skip {
                skipped.push((newest, Skipped::Overlap));
            } else {
                run = Some(newest);
            }
        }
        Firing { run, skipped, next }
    }
}

#[cfg(test)]
mod tests;
