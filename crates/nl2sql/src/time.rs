//! Finds expressions of time in a question and says which span they mean.

mod calendar;

pub(crate) use calendar::{month, month_name, season};
use jiff::{ToSpan, civil::Date};

use crate::{
    logical::{Moment, TimeUnit},
    token::{Token, TokenKind},
};

/// What an expression of time means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Span {
    /// From one moment (included) until another (excluded).
    Range(Option<Moment>, Option<Moment>),
    /// In that month of any year.
    Month(i8),
    /// On that day of the week, Monday is 1; several of them.
    Weekdays(Vec<i8>),
    /// A year that may also be a plain number.
    Year(i16, Bound),
}

/// On which side of a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// In it.
    In,
    /// Before it began.
    Before,
    /// After it ended.
    After,
    /// From its beginning on.
    Since,
    /// Until its end.
    Until,
}

/// Where in the question an expression was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) first: usize,
    pub(crate) end: usize,
    pub(crate) span: Span,
}

/// Every expression of time in the question, in order.
pub(crate) fn find(tokens: &[Token], today: Date) -> Vec<Found> {
    let reader = Reader { tokens, today };
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if let Some((span, end)) = reader.expression(at) {
            found.push(Found { first: at, end, span });
            at = end;
        } else {
            at += 1;
        }
    }
    found
}

pub(crate) fn unit(word: &str) -> Option<TimeUnit> {
    Some(match word {
        "hour" | "hours" => TimeUnit::Hour,
        "day" | "days" => TimeUnit::Day,
        "week" | "weeks" => TimeUnit::Week,
        "month" | "months" => TimeUnit::Month,
        "quarter" | "quarters" => TimeUnit::Quarter,
        "year" | "years" => TimeUnit::Year,
        _ => return None,
    })
}

fn weekday(word: &str) -> Option<i8> {
    const DAYS: [&str; 7] =
        ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let word = word.strip_suffix('s').unwrap_or(word);
    let at = DAYS.iter().position(|it| *it == word)?;
    i8::try_from(at + 1).ok()
}

struct Reader<'a> {
    tokens: &'a [Token],
    today: Date,
}

impl Reader<'_> {
    fn word(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |it| {
            if matches!(it.kind, TokenKind::Quoted) { "" } else { it.lower.as_str() }
        })
    }

    fn whole(&self, at: usize) -> Option<i64> {
        match self.tokens.get(at)?.kind {
            #[expect(clippy::cast_possible_truncation, reason = "checked to be small and whole")]
            TokenKind::Number(value) if value.fract() == 0.0 && value.abs() < 1e6 => {
                Some(value as i64)
            }
            _ => None,
        }
    }

    fn year(&self, at: usize) -> Option<i16> {
        let value = self.whole(at)?;
        let plain = self.word(at).len() == 4;
        (plain && (1500..=2199).contains(&value)).then_some(i16::try_from(value).ok()?)
    }

    /// An expression at that position and where it ends.
    fn expression(&self, at: usize) -> Option<(Span, usize)> {
        // `from 2020 onwards`
        if self.word(at) == "from"
            && let Some(year) = self.year(at + 1)
            && matches!(self.word(at + 2), "onwards" | "onward" | "on")
        {
            return Some((Span::Year(year, Bound::Since), at + 3));
        }
        self.ago(at)
            .or_else(|| self.relative(at))
            .or_else(|| self.bounded(at))
            .or_else(|| self.plain(at))
            .map(|(span, end)| self.open_ended(span, end))
    }

    /// `in 2010 or later`, `in March 2020 or before`
    fn open_ended(&self, span: Span, end: usize) -> (Span, usize) {
        let joined = matches!(self.word(end), "or" | "and");
        // `before 2010 or after 2015` says another time
        let told = self.whole(end + 2).is_some();
        let (later, length) = match (joined, self.word(end), self.word(end + 1)) {
            (true, _, "later" | "newer" | "afterwards" | "onwards") => (true, 2),
            (true, _, "after") if !told => (true, 2),
            (true, _, "earlier" | "older") => (false, 2),
            (true, _, "before") if !told => (false, 2),
            (_, "onwards" | "onward", _) => (true, 1),
            _ => return (span, end),
        };
        let open = match (span, later) {
            (Span::Year(year, Bound::In), true) => Span::Year(year, Bound::Since),
            (Span::Year(year, Bound::In), false) => Span::Year(year, Bound::Until),
            (Span::Range(Some(from), Some(_)), true) => Span::Range(Some(from), None),
            (Span::Range(Some(_), Some(until)), false) => Span::Range(None, Some(until)),
            (span, _) => return (span, end),
        };
        (open, end + length)
    }

    /// `3 weeks ago`, `more than a year ago`, `less than 10 days ago`
    fn ago(&self, start: usize) -> Option<(Span, usize)> {
        let mut at = start;
        let phrase = |at: usize, all: &[&str]| {
            all.iter().enumerate().all(|(step, it)| self.word(at + step) == *it)
        };
        let more = [
            &["more", "than"][..],
            &["longer", "than"],
            &["over"],
            &["at", "least"],
            &["earlier", "than"],
        ]
        .into_iter()
        .find(|it| phrase(at, it));
        let less = [
            &["less", "than"][..],
            &["under"],
            &["within", "the", "last"],
            &["no", "more", "than"],
        ]
        .into_iter()
        .find(|it| phrase(at, it));
        at += more.or(less).map_or(0, <[&str]>::len);
        let count = match self.word(at) {
            "a" | "an" | "one" => 1,
            "half" if phrase(at, &["half", "a", "year", "ago"]) => {
                let back = Moment::Now(TimeUnit::Month, -6);
                let span = if less.is_some() { (Some(back), None) } else { (None, Some(back)) };
                return Some((Span::Range(span.0, span.1), at + 4));
            }
            _ => self.whole(at)?,
        };
        let unit = unit(self.word(at + 1))?;
        if self.word(at + 2) != "ago" {
            return None;
        }
        let back = Moment::Now(unit, -count);
        let span = match (more.is_some(), less.is_some()) {
            (true, _) => Span::Range(None, Some(back)),
            (_, true) => Span::Range(Some(back), None),
            _ => {
                Span::Range(Some(Moment::Start(unit, -count)), Some(Moment::Start(unit, 1 - count)))
            }
        };
        Some((span, at + 3))
    }

    fn relative(&self, start: usize) -> Option<(Span, usize)> {
        let mut at = start;
        while matches!(self.word(at), "in" | "during" | "within" | "for" | "over" | "the" | "on") {
            at += 1;
        }
        if at > start + 2 {
            return None;
        }
        let day = |offset: i64| {
            Span::Range(
                Some(Moment::Start(TimeUnit::Day, offset)),
                Some(Moment::Start(TimeUnit::Day, offset + 1)),
            )
        };
        match self.word(at) {
            "today" => return Some((day(0), at + 1)),
            "yesterday" => return Some((day(-1), at + 1)),
            "tomorrow" => return Some((day(1), at + 1)),
            "ytd" => {
                return Some((Span::Range(Some(Moment::Start(TimeUnit::Year, 0)), None), at + 1));
            }
            "year" if self.word(at + 1) == "to" && self.word(at + 2) == "date" => {
                return Some((Span::Range(Some(Moment::Start(TimeUnit::Year, 0)), None), at + 3));
            }
            "month" if self.word(at + 1) == "to" && self.word(at + 2) == "date" => {
                return Some((Span::Range(Some(Moment::Start(TimeUnit::Month, 0)), None), at + 3));
            }
            _ => {}
        }
        let direction = match self.word(at) {
            "this" | "current" => 0,
            "last" | "past" | "previous" | "preceding" | "recent" => -1,
            "next" | "coming" | "upcoming" | "following" => 1,
            _ => return None,
        };
        let mut next = at + 1;
        if let Some(unit) = unit(self.word(next)) {
            let now = direction == 0;
            if self.word(at) == "past" {
                return Some((Span::Range(Some(Moment::Now(unit, -1)), None), next + 1));
            }
            let until = Some(Moment::Start(unit, direction + 1));
            let span = Span::Range(
                Some(Moment::Start(unit, direction)),
                if now { None.or(until) } else { until },
            );
            return Some((span, next + 1));
        }
        if let Some(day) = weekday(self.word(next)) {
            let mut date = self.today;
            for _ in 0..7 {
                date = if direction > 0 { date.tomorrow().ok()? } else { date.yesterday().ok()? };
                if date.weekday().to_monday_one_offset() == day {
                    break;
                }
            }
            return Some((self.day(date), next + 1));
        }
        if self.word(next) == "few" || self.word(next) == "couple" {
            next += 1;
            if self.word(next) == "of" {
                next += 1;
            }
            let unit = unit(self.word(next))?;
            return Some((Span::Range(Some(Moment::Now(unit, -3)), None), next + 1));
        }
        let count = self.whole(next)?;
        // `the last 6 whole months`: without the one that goes on
        if direction < 0
            && matches!(self.word(next + 1), "whole" | "full" | "complete" | "calendar")
            && let Some(unit) = unit(self.word(next + 2))
        {
            let (from, until) = (Moment::Start(unit, -count), Moment::Start(unit, 0));
            return Some((Span::Range(Some(from), Some(until)), next + 3));
        }
        let unit = unit(self.word(next + 1))?;
        match direction {
            -1 => Some((Span::Range(Some(Moment::Now(unit, -count)), None), next + 2)),
            1 => Some((
                Span::Range(Some(Moment::Now(unit, 0)), Some(Moment::Now(unit, count))),
                next + 2,
            )),
            _ => None,
        }
    }

    fn day(&self, date: Date) -> Span {
        let _ = self;
        Span::Range(Some(Moment::Day(date)), date.tomorrow().ok().map(Moment::Day))
    }

    /// `since`, `before`, `after`, `until`, `between … and …`, `from … to …`.
    fn bounded(&self, start: usize) -> Option<(Span, usize)> {
        // `on or after May 1`
        let or = self.word(start) == "on" && self.word(start + 1) == "or";
        let at = start + if or { 2 } else { 0 };
        let bound = match self.word(at) {
            "after" if or => Bound::Since,
            "before" if or => Bound::Until,
            _ if or => return None,
            "since" | "starting" => Bound::Since,
            "before" => Bound::Before,
            "after" => Bound::After,
            "until" | "till" => Bound::Until,
            "by" if self.calendar(at + 1).is_some() && self.year(at + 1).is_none() => Bound::Until,
            "between" | "from" => {
                let joiner = if self.word(at) == "between" { "and" } else { "to" };
                let (from, next) = self.calendar(at + 1)?;
                let joins = self.word(next) == joiner
                    || matches!(self.word(next), "until" | "till" | "through" | "-")
                    || self.word(next) == "and";
                if !joins {
                    // `from 1 to 7 May`: both ends were read as one span
                    let both = (at + 1..next).any(|it| self.word(it) == joiner);
                    return both.then_some((from, next));
                }
                let (to, end) = self.calendar(next + 1)?;
                if let (Span::Year(a, _), Span::Year(b, _)) = (&from, &to) {
                    // years that may be numbers: left to the comparison of numbers
                    let _ = (a, b);
                    return None;
                }
                let from = self.in_year_of(from, &to, at + 1, next);
                let (Span::Range(first, _), Span::Range(_, last)) =
                    (self.dated(from, &to)?, self.dated_plain(to)?)
                else {
                    return None;
                };
                return Some((Span::Range(first, last), end));
            }
            _ => return None,
        };
        let mut next = at + 1;
        if matches!(self.word(next), "the") {
            next += 1;
        }
        if self.word(next) == "year" && self.year(next + 1).is_some() {
            next += 1;
        }
        let (span, end) = self
            .calendar(next)
            .or_else(|| {
                let day = weekday(self.word(next))?;
                let mut date = self.today;
                while date.weekday().to_monday_one_offset() != day {
                    date = date.yesterday().ok()?;
                }
                Some((self.day(date), next + 1))
            })
            .or_else(|| self.relative(next))?;
        Some((
            match span {
                Span::Year(year, _) => Span::Year(year, bound),
                Span::Range(from, until) => match bound {
                    Bound::Since => Span::Range(from, None),
                    Bound::Before => Span::Range(None, from),
                    Bound::After => Span::Range(until, None),
                    Bound::Until => Span::Range(None, until),
                    Bound::In => Span::Range(from, until),
                },
                other => match self.dated_plain(other)? {
                    Span::Range(from, until) => match bound {
                        Bound::Since => Span::Range(from, None),
                        Bound::Before => Span::Range(None, from),
                        Bound::After => Span::Range(until, None),
                        _ => Span::Range(None, until),
                    },
                    _ => return None,
                },
            },
            end,
        ))
    }

    /// A day without a year is in the year of the day it goes until.
    fn in_year_of(&self, from: Span, to: &Span, first: usize, end: usize) -> Span {
        let said = (first..end).any(|it| self.year(it).is_some());
        if let (
            false,
            Span::Range(Some(Moment::Day(day)), _),
            Span::Range(_, Some(Moment::Day(until))),
        ) = (said, &from, to)
            && let Ok(last) = until.yesterday()
            && let Ok(moved) = Date::new(
                if day.month() > last.month() { last.year() - 1 } else { last.year() },
                day.month(),
                day.day(),
            )
        {
            return self.day(moved);
        }
        from
    }

    /// A month without a year, in the year of its partner.
    fn dated(&self, span: Span, partner: &Span) -> Option<Span> {
        if let (Span::Month(month), Span::Range(_, Some(Moment::Day(until)))) = (&span, partner) {
            let last = until.yesterday().ok()?;
            return self.month_of(last.year(), *month);
        }
        self.dated_plain(span)
    }

    /// A month without a year: the latest one that has begun.
    fn dated_plain(&self, span: Span) -> Option<Span> {
        match span {
            Span::Month(month) => {
                let year = if month <= self.today.month() {
                    self.today.year()
                } else {
                    self.today.year() - 1
                };
                self.month_of(year, month)
            }
            Span::Range(..) => Some(span),
            Span::Year(year, _) => self.year_of(year),
            Span::Weekdays(_) => None,
        }
    }

    fn month_of(&self, year: i16, month: i8) -> Option<Span> {
        let _ = self;
        let first = Date::new(year, month, 1).ok()?;
        let next = first.checked_add(1.month()).ok()?;
        Some(Span::Range(Some(Moment::Day(first)), Some(Moment::Day(next))))
    }

    fn year_of(&self, year: i16) -> Option<Span> {
        let _ = self;
        let first = Date::new(year, 1, 1).ok()?;
        let next = Date::new(year + 1, 1, 1).ok()?;
        Some(Span::Range(Some(Moment::Day(first)), Some(Moment::Day(next))))
    }

    fn plain(&self, start: usize) -> Option<(Span, usize)> {
        let mut at = start;
        let mut said = false;
        while matches!(
            self.word(at),
            "in" | "on" | "during" | "of" | "the" | "for" | "at" | "around"
        ) {
            said = true;
            at += 1;
        }
        if at > start + 2 {
            return None;
        }
        if self.word(at) == "month" && self.word(at + 1) == "of" {
            at += 2;
            said = true;
        }
        if self.word(at) == "year" && self.year(at + 1).is_some() {
            at += 1;
            said = true;
        }
        match self.word(at) {
            "weekend" | "weekends" if said => return Some((Span::Weekdays(vec![6, 7]), at + 1)),
            "weekday" | "weekdays" if said && self.word(at) == "weekdays" => {
                return Some((Span::Weekdays(vec![1, 2, 3, 4, 5]), at + 1));
            }
            word => {
                if said
                    && word.ends_with('s')
                    && let Some(day) = weekday(word)
                {
                    return Some((Span::Weekdays(vec![day]), at + 1));
                }
            }
        }
        let (span, end) = self.calendar(at)?;
        // a bare number of four digits is a number unless something says that it is a year
        let told = start > 0
            && matches!(
                self.word(start - 1),
                "revenue"
                    | "revenues"
                    | "turnover"
                    | "sales"
                    | "orders"
                    | "quarter"
                    | "month"
                    | "monthly"
                    | "quarterly"
            );
        // `2026 revenue`
        let told = told || matches!(self.word(end), "revenue" | "revenues" | "turnover" | "sales");
        if matches!(span, Span::Year(..)) && !said && !told && !self.plainly_a_year(at) {
            return None;
        }
        if matches!(span, Span::Month(_)) && !said {
            return None;
        }
        Some((span, end))
    }

    /// A year of our time that nothing counts or compares: `2026 revenue`, `orders per month 2025`.
    fn plainly_a_year(&self, at: usize) -> bool {
        let near = self.year(at).is_some_and(|it| (it - self.today.year()).abs() <= 15);
        let before = at.checked_sub(1).map_or("", |it| self.word(it));
        let lead = matches!(
            before,
            "than"
                | "over"
                | "under"
                | "above"
                | "below"
                | "least"
                | "most"
                | "exactly"
                | "is"
                | "="
                | "equals"
                | "equal"
                | "to"
                | "number"
                | "id"
                | "code"
                | "model"
                | "top"
                | "first"
                | "last"
                | "#"
                | "$"
                | "€"
                | "with"
                | "between"
                | "no"
                | "order"
                | "-"
                | "/"
                | ">"
                | "<"
                | "by"
                | "around"
                | "from"
        );
        let next = self.word(at + 1);
        let counts = matches!(
            next,
            "or" | "-"
                | "/"
                | "%"
                | "$"
                | "dollars"
                | "euros"
                | "units"
                | "km"
                | "kg"
                | "miles"
                | "people"
                | "points"
                | "days"
                | "meters"
                | "to"
        );
        near && !lead && !counts
    }
}

#[cfg(test)]
mod tests;
