//! Days and moments as plain numbers, and how the history of the shop is spread over them.

use jiff::civil::Date;

use crate::random::{Random, Stream};

/// Seconds since the Unix epoch, UTC.
pub(crate) type Seconds = i64;
/// Days since the Unix epoch, UTC.
pub(crate) type Day = i64;

pub(crate) const MINUTE: Seconds = 60;
pub(crate) const HOUR: Seconds = 3600;
pub(crate) const DAY: Seconds = 86_400;

/// The oldest day that can be written, for dates of birth.
const OLDEST: Date = jiff::civil::date(1940, 1, 1);
/// How many days after today can be written, for what was promised.
const AHEAD: i64 = 120;
/// Months of sales before the one of today.
const MONTHS_OF_HISTORY: i64 = 36;

/// Year (four digits), month (from 1) and day of a date.
#[derive(Clone, Copy)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    pub(crate) month: usize,
    pub(crate) day: i64,
}

/// Knows which day it is, and how every day since 1940 is written: dates are asked for so often that they are looked up.
pub(crate) struct Calendar {
    /// Nothing happens after this.
    pub(crate) now: Seconds,
    pub(crate) today: Day,
    /// The first day with sales: the first of a month, so that charts by month begin with a whole one.
    pub(crate) opening: Day,
    oldest: Day,
    civil: Vec<Civil>,
    labels: Vec<[u8; 10]>,
}

impl Calendar {
    /// `None` if the year is outside 1980 to 2999.
    pub(crate) fn new(now: jiff::Timestamp) -> Option<Self> {
        let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
        if !(1980..=2999).contains(&today.year()) {
            return None;
        }
        let now = now.as_second();
        let today_number = day_of(now);
        let mut calendar = Self {
            now,
            today: today_number,
            opening: 0,
            oldest: 0,
            civil: Vec::new(),
            labels: Vec::new(),
        };
        let mut date = OLDEST;
        let mut ahead = 0;
        while ahead <= AHEAD {
            let (year, month, day) = (date.year(), date.month(), date.day());
            let mut label = *b"0000-00-00";
            let digits = i64::from(year) * 10_000 + i64::from(month) * 100 + i64::from(day);
            let mut rest = digits.unsigned_abs();
            for place in [9, 8, 6, 5, 3, 2, 1, 0] {
                label[place] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
                rest /= 10;
            }
            calendar.labels.push(label);
            calendar.civil.push(Civil {
                year: year.into(),
                month: month.unsigned_abs().into(),
                day: day.into(),
            });
            if date >= today {
                ahead += 1;
            }
            date = date.tomorrow().ok()?;
        }
        let length = i64::try_from(calendar.labels.len()).ok()?;
        calendar.oldest = today_number + AHEAD + 1 - length;
        let mut opening = today_number + 1 - i64::from(today.day());
        for _ in 0..MONTHS_OF_HISTORY {
            opening -= 1;
            opening += 1 - calendar.civil(opening).day;
        }
        calendar.opening = opening;
        Some(calendar)
    }

    fn place(&self, day: Day) -> usize {
        let last = self.labels.len() - 1;
        usize::try_from(day - self.oldest).unwrap_or_default().min(last)
    }

    pub(crate) fn civil(&self, day: Day) -> Civil {
        self.civil[self.place(day)]
    }

    /// The day as `2026-11-20`.
    pub(crate) fn label(&self, day: Day) -> &[u8; 10] {
        &self.labels[self.place(day)]
    }

    /// The moment, if it has come.
    pub(crate) fn past(&self, at: Seconds) -> Option<Seconds> {
        (at <= self.now).then_some(at)
    }

    /// How many days have sales, today included.
    pub(crate) fn days(&self) -> i64 {
        self.today - self.opening + 1
    }
}

pub(crate) fn day_of(at: Seconds) -> Day {
    at.div_euclid(DAY)
}

/// 0 is Monday.
pub(crate) fn weekday(day: Day) -> usize {
    usize::try_from((day + 3).rem_euclid(7)).unwrap_or_default()
}

/// How busy each hour of a day is, UTC; a European shop with customers overseas.
const HOURS: [u64; 24] =
    [6, 5, 4, 3, 3, 5, 9, 16, 24, 30, 34, 36, 38, 36, 34, 33, 34, 37, 42, 46, 44, 34, 20, 11];
/// How busy each month is, in permille.
const MONTHS: [u64; 12] = [850, 830, 900, 940, 980, 960, 900, 880, 980, 1050, 1330, 1450];
/// How busy each weekday is, from Monday, in permille.
const WEEKDAYS: [u64; 7] = [1080, 1000, 980, 1000, 950, 880, 1110];

/// Weight-seconds of a day up to this second.
fn busy_until(second: Seconds) -> u64 {
    let second = second.clamp(0, DAY).unsigned_abs();
    let hour = HOUR.unsigned_abs();
    HOURS
        .iter()
        .zip(0..)
        .map(|(weight, index)| weight * second.saturating_sub(index * hour).min(hour))
        .sum()
}

/// How many events of one kind fall on each day, with at least one on every day: events are numbered from 0 through the
/// whole history, so that any of them can be made without making those before it.
pub(crate) struct Plan {
    first_day: Day,
    /// Number of the first event of each day, and the number of all events at the end.
    starts: Vec<u64>,
    /// How much of the last day has passed.
    last_day_ends: Seconds,
}

impl Plan {
    /// About `total` events from `first_day` until now, growing and swinging as the shop does.
    pub(crate) fn new(calendar: &Calendar, seed: u64, first_day: Day, total: u64) -> Self {
        let weights: Vec<u64> =
            (first_day..=calendar.today).map(|day| busyness(calendar, seed, day)).collect();
        let last_day_ends = calendar.now - calendar.today * DAY;
        let sum: u64 = weights.iter().sum();
        let mut starts = Vec::with_capacity(weights.len() + 1);
        let (mut next, mut before) = (0, 0);
        for (weight, day) in weights.iter().zip(first_day..) {
            starts.push(next);
            let mut count = (before + weight) * total / sum - before * total / sum;
            if day == calendar.today {
                count = count * busy_until(last_day_ends) / busy_until(DAY);
            }
            before += weight;
            next += count.max(1);
        }
        starts.push(next);
        Self { first_day, starts, last_day_ends }
    }

    pub(crate) fn len(&self) -> u64 {
        self.starts.last().copied().unwrap_or_default()
    }

    /// Numbers of the events of a day; nothing for a day outside the plan.
    pub(crate) fn on(&self, day: Day) -> std::ops::Range<u64> {
        let Ok(place) = usize::try_from(day - self.first_day) else { return 0..0 };
        match self.starts.get(place..) {
            Some([start, end, ..]) => *start..*end,
            _ => 0..0,
        }
    }

    /// When this event happens: never before the event with the number before it, and never after now.
    pub(crate) fn moment(&self, number: u64, random: &mut Random) -> Seconds {
        let place = self.starts.partition_point(|start| *start <= number).max(1) - 1;
        let place = place.min(self.starts.len().saturating_sub(2));
        let (start, end) = (self.starts[place], self.starts[place + 1]);
        let is_last_day = place + 2 == self.starts.len();
        let until = busy_until(if is_last_day { self.last_day_ends } else { DAY });
        // The day is cut into as many equally busy slices as it has events; this event is somewhere in its own.
        let slice = 1_000_000;
        let share = number.saturating_sub(start) * slice + random.below(slice);
        let mut rest = until * share / ((end - start).max(1) * slice);
        let mut second = 0;
        for weight in HOURS {
            let hour = weight * HOUR.unsigned_abs();
            if rest < hour {
                second += (rest / weight).cast_signed();
                break;
            }
            rest -= hour;
            second += HOUR;
        }
        (self.first_day + i64::try_from(place).unwrap_or_default()) * DAY + second
    }
}

/// How busy the shop is on a day, compared with its other days.
fn busyness(calendar: &Calendar, seed: u64, day: Day) -> u64 {
    let civil = calendar.civil(day);
    let age = (day - calendar.opening).max(0).unsigned_abs();
    let mut weight = 320 + 1000 * age / calendar.days().unsigned_abs();
    weight = weight * MONTHS[civil.month - 1] / 1000 * WEEKDAYS[weekday(day)] / 1000;
    weight = match (civil.month, civil.day) {
        (11, 20..=30) => weight * 16 / 10,
        (12, 24..=26) => weight / 2,
        _ => weight,
    };
    weight * Random::new(seed, Stream::Day, day.unsigned_abs()).between(850, 1150).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(now: &str) -> Calendar {
        Calendar::new(now.parse().unwrap()).unwrap()
    }

    #[test]
    fn days_are_written_as_the_calendar_has_them() {
        let calendar = calendar("2026-11-20T10:00:00Z");
        for day in [-9000, -1, 0, 59, 19_782, calendar.today, calendar.today + AHEAD] {
            let epoch = jiff::civil::date(1970, 1, 1);
            let date = epoch.checked_add(jiff::Span::new().days(day)).unwrap();
            assert_eq!(calendar.label(day), date.to_string().as_bytes());
            assert_eq!(
                weekday(day),
                usize::from(date.weekday().to_monday_zero_offset().unsigned_abs())
            );
        }
    }

    #[test]
    fn history_begins_on_the_first_of_a_month_three_years_ago() {
        for (now, opening) in [
            ("2026-11-20T10:00:00Z", "2023-11-01"),
            ("2024-02-29T00:00:00Z", "2021-02-01"),
            ("2027-01-01T23:59:59Z", "2024-01-01"),
        ] {
            let calendar = calendar(now);
            assert_eq!(calendar.label(calendar.opening), opening.as_bytes());
        }
    }

    #[test]
    fn events_come_in_order_on_their_days_and_not_after_now() {
        for now in ["2026-11-20T10:00:00Z", "2026-11-20T00:00:00Z", "2027-01-01T23:59:59Z"] {
            let calendar = calendar(now);
            let plan = Plan::new(&calendar, 1, calendar.opening, 5_000);
            let mut before = Seconds::MIN;
            for day in calendar.opening..=calendar.today {
                assert!(!plan.on(day).is_empty());
                for number in plan.on(day) {
                    let at = plan.moment(number, &mut Random::new(1, Stream::Order, number));
                    assert!(at >= before && at <= calendar.now && day_of(at) == day);
                    before = at;
                }
            }
            assert_eq!(plan.on(calendar.today).end, plan.len());
            assert!(
                plan.on(calendar.today + 1).is_empty() && plan.on(calendar.opening - 1).is_empty()
            );
        }
    }
}
