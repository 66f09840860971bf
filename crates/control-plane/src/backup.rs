use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};

/// How often a snapshot is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frequency {
    /// At each full hour.
    Hourly,
    /// Each day at [`BackupItem::hour`].
    Daily,
    /// Each week on [`BackupItem::day`], 1 for Monday to 7.
    Weekly,
    /// Each month on [`BackupItem::day`]; on the last day of months that are shorter.
    Monthly,
    /// Each year on [`BackupItem::day`] of [`BackupItem::month`].
    Yearly,
}

/// One line of a schedule by which snapshots are taken. All in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupItem {
    /// How often.
    pub frequency: Frequency,
    /// The hour of the day, 0 to 23; 0 if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hour: Option<i8>,
    /// The day of the week or month; the first if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<i8>,
    /// The month, 1 to 12; January if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub month: Option<i8>,
    /// After how many seconds such a snapshot is deleted; never if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_seconds: Option<i64>,
}

/// The shortest time that a snapshot is kept.
const LEAST_RETENTION_SECONDS: i64 = 3600;

impl BackupItem {
    /// Checks the numbers.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn check(&self) -> Result<(), &'static str> {
        let within =
            |it: Option<i8>, least: i8, most: i8| it.is_none_or(|it| (least..=most).contains(&it));
        if !within(self.hour, 0, 23) {
            return Err("hour must be 0 to 23");
        }
        let most = if self.frequency == Frequency::Weekly { 7 } else { 31 };
        if !within(self.day, 1, most) {
            return Err("day must be 1 to 7 in a week, and 1 to 31 in a month");
        }
        if !within(self.month, 1, 12) {
            return Err("month must be 1 to 12");
        }
        if self.retention_seconds.is_some_and(|it| it < LEAST_RETENTION_SECONDS) {
            return Err("retention_seconds must be at least 3600");
        }
        Ok(())
    }

    /// The next time after `now`.
    pub fn next_after(&self, now: Timestamp) -> Timestamp {
        let here = now.to_zoned(TimeZone::UTC).datetime();
        let hour = self.hour.unwrap_or(0);
        let at = |date: Date| date.at(hour, 0, 0, 0);
        let day_of = |first: Date| {
            let day = self.day.unwrap_or(1).min(first.days_in_month());
            first.with().day(day).build().unwrap_or(first)
        };
        let first = here.date().first_of_month();
        let mut candidates: Vec<DateTime> = Vec::with_capacity(3);
        match self.frequency {
            Frequency::Hourly => {
                let hour = here.date().at(here.hour(), 0, 0, 0);
                candidates.extend(hour.checked_add(1.hour()).ok());
            }
            Frequency::Daily => {
                candidates.push(at(here.date()));
                candidates.extend(here.date().tomorrow().ok().map(at));
            }
            Frequency::Weekly => {
                let today = here.date().weekday().to_monday_one_offset();
                let ahead = (self.day.unwrap_or(1) - today).rem_euclid(7);
                for days in [ahead, ahead + 7] {
                    candidates.extend(here.date().checked_add(i64::from(days).days()).ok().map(at));
                }
            }
            Frequency::Monthly => {
                for months in [0, 1] {
                    let first = first.checked_add(i64::from(months).months());
                    candidates.extend(first.ok().map(|it| at(day_of(it))));
                }
            }
            Frequency::Yearly => {
                for years in [0, 1] {
                    let first = first.with().month(self.month.unwrap_or(1)).build();
                    let first = first.and_then(|it| it.checked_add(i64::from(years).years()));
                    candidates.extend(first.ok().map(|it| at(day_of(it))));
                }
            }
        }
        candidates
            .into_iter()
            .filter_map(|it| it.to_zoned(TimeZone::UTC).ok().map(|it| it.timestamp()))
            .find(|it| *it > now)
            .unwrap_or(Timestamp::MAX)
    }

    /// The next time after `now` at which one of these is due.
    pub fn next_of(items: &[Self], now: Timestamp) -> Option<Timestamp> {
        items.iter().map(|it| it.next_after(now)).min()
    }

    /// Until when a snapshot is kept that was due at `due` and is taken at `now`: as long as the longest of those that were
    /// due then say; `None` for always.
    pub fn kept_until(items: &[Self], due: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let before = due - jiff::SignedDuration::from_nanos(1);
        let mut longest = 0;
        for item in items.iter().filter(|it| it.next_after(before) <= now) {
            longest = longest.max(item.retention_seconds?);
        }
        (longest > 0).then(|| now + jiff::SignedDuration::from_secs(longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(
        frequency: Frequency,
        month: Option<i8>,
        day: Option<i8>,
        hour: Option<i8>,
    ) -> BackupItem {
        BackupItem { frequency, hour, day, month, retention_seconds: None }
    }

    #[test]
    fn the_next_time_is_after_now_and_as_asked_for() {
        let now: Timestamp = "2026-01-31T10:30:00Z".parse().unwrap();
        for (item, next) in [
            (item(Frequency::Hourly, None, None, None), "2026-01-31T11:00:00Z"),
            (item(Frequency::Daily, None, None, Some(12)), "2026-01-31T12:00:00Z"),
            (item(Frequency::Daily, None, None, Some(10)), "2026-02-01T10:00:00Z"),
            // A Saturday.
            (item(Frequency::Weekly, None, Some(6), Some(11)), "2026-01-31T11:00:00Z"),
            (item(Frequency::Weekly, None, Some(6), Some(9)), "2026-02-07T09:00:00Z"),
            (item(Frequency::Weekly, None, Some(1), None), "2026-02-02T00:00:00Z"),
            (item(Frequency::Monthly, None, Some(31), None), "2026-02-28T00:00:00Z"),
            (item(Frequency::Yearly, Some(2), Some(29), Some(1)), "2026-02-28T01:00:00Z"),
            (item(Frequency::Yearly, Some(1), Some(1), None), "2027-01-01T00:00:00Z"),
        ] {
            assert_eq!(item.next_after(now), next.parse().unwrap(), "{item:?}");
        }
        let exact: Timestamp = "2026-02-28T00:00:00Z".parse().unwrap();
        let monthly = item(Frequency::Monthly, None, Some(31), None);
        assert_eq!(monthly.next_after(exact), "2026-03-31T00:00:00Z".parse().unwrap());
    }

    #[test]
    fn what_two_lines_ask_for_is_kept_as_long_as_the_longer_says() {
        let mut daily = item(Frequency::Daily, None, None, None);
        daily.retention_seconds = Some(7200);
        let mut weekly = item(Frequency::Weekly, None, Some(1), None);
        weekly.retention_seconds = Some(36_000);
        let monday: Timestamp = "2026-02-02T00:00:00Z".parse().unwrap();
        let tuesday: Timestamp = "2026-02-03T00:00:00Z".parse().unwrap();
        let both = [daily, weekly.clone()];
        let hours = |it: i64| jiff::SignedDuration::from_hours(it);
        assert_eq!(BackupItem::kept_until(&both, monday, monday), Some(monday + hours(10)));
        assert_eq!(BackupItem::kept_until(&both, tuesday, tuesday), Some(tuesday + hours(2)));
        weekly.retention_seconds = None;
        assert_eq!(BackupItem::kept_until(&[weekly], monday, monday), None);
    }
}
