//! Axes: what they reach from and to, and where their ticks stand.

use jiff::civil::DateTime;
use jiff::{Span, ToSpan as _};

use crate::data::wall;
use crate::format;

/// A tick: where it stands, and what it says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    pub(crate) at: f64,
    pub(crate) text: String,
}

/// An axis of numbers or moments.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) ticks: Vec<Tick>,
}

impl Axis {
    /// Over these numbers, to the next tick on both sides; from zero on where `with_zero` says so.
    pub(crate) fn of_numbers(
        values: impl Iterator<Item = f64>,
        with_zero: bool,
        most_ticks: usize,
    ) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for it in values {
            low = low.min(it);
            high = high.max(it);
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if with_zero {
            low = low.min(0.0);
            high = high.max(0.0);
        }
        if high - low <= high.abs().max(low.abs()) * 1e-9 {
            // One value has room above and below it.
            let room = if low == 0.0 { 1.0 } else { low.abs() * 0.5 };
            if with_zero && low >= 0.0 {
                high += room;
            } else {
                (low, high) = (low - room, high + room);
            }
        }
        let step = step(high - low, most_ticks);
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        let (from, to) = (first * step, last * step);
        let largest = from.abs().max(to.abs());
        let count = (last - first).clamp(1.0, 100.0);
        let mut ticks = Vec::new();
        let mut number = 0.0;
        while number <= count {
            let at = (first + number) * step;
            ticks.push(Tick { at, text: format::tick(at, step, largest) });
            number += 1.0;
        }
        Self { from, to, ticks }
    }

    /// Over these moments, in seconds; ticks at whole hours, days, months, ….
    pub(crate) fn of_moments(values: impl Iterator<Item = f64>, most_ticks: usize) -> Self {
        let (mut from, mut to) = (f64::INFINITY, f64::NEG_INFINITY);
        for it in values {
            from = from.min(it);
            to = to.max(it);
        }
        if from > to {
            (from, to) = (0.0, 86_400.0);
        }
        if to - from <= 0.0 {
            (from, to) = (from - 43_200.0, to + 43_200.0);
        }
        let ticks = moments(from, to, most_ticks);
        Self { from, to, ticks }
    }

    /// Where on a line from 0 to 1 the value stands.
    pub(crate) fn place(&self, value: f64) -> f64 {
        (value - self.from) / (self.to - self.from)
    }
}

/// 1, 2 or 5 times a power of ten, so that at most about so many fit.
fn step(range: f64, most: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a handful of ticks")]
    let rough = range / (most.max(2) as f64);
    let power = 10f64.powf(rough.log10().floor());
    let times = rough / power;
    let times = match times {
        _ if times <= 1.0 => 1.0,
        _ if times <= 2.0 => 2.0,
        _ if times <= 5.0 => 5.0,
        _ => 10.0,
    };
    times * power
}

/// What is between two ticks of time.
#[derive(Clone, Copy)]
enum Step {
    Seconds(i64),
    Days(i64),
    Months(i16),
    Years(i16),
}

impl Step {
    const ALL: [Self; 24] = [
        Self::Seconds(1),
        Self::Seconds(5),
        Self::Seconds(15),
        Self::Seconds(30),
        Self::Seconds(60),
        Self::Seconds(300),
        Self::Seconds(900),
        Self::Seconds(1800),
        Self::Seconds(3600),
        Self::Seconds(10_800),
        Self::Seconds(21_600),
        Self::Seconds(43_200),
        Self::Days(1),
        Self::Days(2),
        Self::Days(7),
        Self::Days(14),
        Self::Months(1),
        Self::Months(2),
        Self::Months(3),
        Self::Months(6),
        Self::Years(1),
        Self::Years(2),
        Self::Years(5),
        Self::Years(10),
    ];

    fn seconds(self) -> f64 {
        let days = match self {
            #[expect(clippy::cast_precision_loss, reason = "at most half a day")]
            Self::Seconds(it) => return it as f64,
            #[expect(clippy::cast_precision_loss, reason = "at most two weeks")]
            Self::Days(it) => it as f64,
            Self::Months(it) => f64::from(it) * 30.44,
            Self::Years(it) => f64::from(it) * 365.25,
        };
        days * 86_400.0
    }

    /// The last such moment that is not after it.
    fn floor(self, at: DateTime) -> DateTime {
        let date = at.date();
        match self {
            Self::Seconds(it) => {
                let clock = at.time();
                let of_day = i64::from(clock.hour()) * 3600
                    + i64::from(clock.minute()) * 60
                    + i64::from(clock.second());
                date.at(0, 0, 0, 0).saturating_add((of_day / it * it).seconds())
            }
            Self::Days(it) if it % 7 == 0 => {
                let back = i64::from(date.weekday().to_monday_zero_offset());
                date.saturating_sub(back.days()).at(0, 0, 0, 0)
            }
            Self::Days(_) => date.at(0, 0, 0, 0),
            Self::Months(it) => {
                let month = (i16::from(date.month()) - 1) / it * it + 1;
                let month = i8::try_from(month).unwrap_or(1);
                jiff::civil::date(date.year(), month, 1).at(0, 0, 0, 0)
            }
            Self::Years(it) => {
                let year = date.year().div_euclid(it) * it;
                jiff::civil::date(year.max(-9999), 1, 1).at(0, 0, 0, 0)
            }
        }
    }

    fn span(self) -> Span {
        match self {
            Self::Seconds(it) => it.seconds(),
            Self::Days(it) => it.days(),
            Self::Months(it) => i64::from(it).months(),
            Self::Years(it) => i64::from(it).years(),
        }
    }

    fn text(self, at: DateTime, is_first: bool) -> String {
        let starts_day = at.time() == jiff::civil::Time::midnight();
        let pattern = match self {
            Self::Seconds(it) if it < 60 => "%H:%M:%S",
            Self::Seconds(_) if starts_day || is_first => "%-d %b %H:%M",
            Self::Seconds(_) => "%H:%M",
            Self::Days(_) if is_first || at.date().day_of_year() <= 7 => "%-d %b %Y",
            Self::Days(_) => "%-d %b",
            Self::Months(_) if is_first || at.date().month() == 1 => "%b %Y",
            Self::Months(_) => "%b",
            Self::Years(_) => "%Y",
        };
        at.strftime(pattern).to_string()
    }
}

fn moments(from: f64, to: f64, most: usize) -> Vec<Tick> {
    #[expect(clippy::cast_precision_loss, reason = "a handful of ticks")]
    let rough = (to - from) / (most.max(1) as f64);
    let step = Step::ALL.into_iter().find(|it| it.seconds() >= rough).unwrap_or_else(|| {
        let years = (rough / 86_400.0 / 365.25).ceil().clamp(10.0, 5000.0);
        #[expect(clippy::cast_possible_truncation, reason = "clamped")]
        let decades = (years / 10.0).ceil() as i16;
        Step::Years(decades * 10)
    });
    let mut at = step.floor(wall(from));
    let mut ticks = Vec::new();
    loop {
        let seconds = crate::data::moment(&at.to_string()).unwrap_or(f64::INFINITY);
        if seconds > to + 1e-6 || ticks.len() > 100 {
            return ticks;
        }
        if seconds >= from - 1e-6 {
            let text = step.text(at, ticks.is_empty());
            ticks.push(Tick { at: seconds, text });
        }
        match at.checked_add(step.span()) {
            Ok(next) if next > at => at = next,
            _ => return ticks,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::moment;

    #[test]
    fn months_get_ticks_at_their_first_days() {
        let (from, to) = (moment("2025-10-01").unwrap(), moment("2026-03-01").unwrap());
        let axis = Axis::of_moments([from, to].into_iter(), 6);
        let texts: Vec<_> = axis.ticks.iter().map(|it| it.text.as_str()).collect();
        assert_eq!(texts, ["Oct 2025", "Nov", "Dec", "Jan 2026", "Feb", "Mar"]);
    }

    #[test]
    fn hours_get_ticks_at_whole_hours() {
        let (from, to) = (moment("2026-01-02T20:10:00").unwrap(), moment("2026-01-03T08:00:00"));
        let axis = Axis::of_moments([from, to.unwrap()].into_iter(), 5);
        let texts: Vec<_> = axis.ticks.iter().map(|it| it.text.as_str()).collect();
        assert_eq!(texts, ["2 Jan 21:00", "3 Jan 00:00", "03:00", "06:00"]);
    }

    proptest! {
        #[test]
        fn numbers_lie_between_their_first_and_last_tick(
            values in prop::collection::vec(-1e12..1e12f64, 1..20),
            with_zero: bool,
        ) {
            let axis = Axis::of_numbers(values.iter().copied(), with_zero, 6);
            let room = (axis.to - axis.from) * 1e-6;
            for it in &values {
                prop_assert!(*it >= axis.from - room && *it <= axis.to + room);
            }
            prop_assert!(axis.ticks.len() >= 2 && axis.ticks.len() <= 14, "{axis:?}");
        }

        #[test]
        fn moments_have_ticks_in_order(from in -1e10..1e10f64, range in 0.0..1e10f64) {
            let axis = Axis::of_moments([from, from + range].into_iter(), 6);
            prop_assert!(axis.ticks.len() <= 20);
            prop_assert!(axis.ticks.windows(2).all(|it| it[0].at < it[1].at));
        }
    }
}
