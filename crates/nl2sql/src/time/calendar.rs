//! Days, months, seasons, quarters and years, as a calendar names them.

use jiff::{ToSpan, civil::Date};

use super::{Bound, Reader, Span};
use crate::logical::Moment;

/// The number of the month that a word names, in full or cut short.
pub(crate) fn month(word: &str) -> Option<i8> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let at = MONTHS.iter().position(|it| {
        *it == word
            || (word.len() >= 3
                && word != "mar"
                && word != "sep"
                && word.len() < 5
                && it.starts_with(word))
            || (word == "mar" && *it == "march")
            || (word.starts_with("sep") && word.len() <= 4 && *it == "september")
    })?;
    i8::try_from(at + 1).ok()
}

/// The English name of a month.
pub(crate) fn month_name(month: i8) -> Option<&'static str> {
    const NAMES: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    NAMES.get(usize::try_from(month - 1).ok()?).copied()
}

/// The months of a season.
pub(crate) fn season(word: &str) -> Option<(i8, i8)> {
    Some(match word {
        "spring" => (3, 5),
        "summer" => (6, 8),
        "autumn" | "fall" => (9, 11),
        _ => return None,
    })
}

impl Reader<'_> {
    /// A date, a month, a quarter or a year.
    pub(super) fn calendar(&self, at: usize) -> Option<(Span, usize)> {
        self.iso(at)
            .or_else(|| self.days(at))
            .or_else(|| self.months(at))
            .or_else(|| self.season(at))
            .or_else(|| self.day_first(at))
            .or_else(|| self.month_first(at))
            .or_else(|| self.quarter(at))
            .or_else(|| self.half(at))
            .or_else(|| self.year(at).map(|year| (Span::Year(year, Bound::In), at + 1)))
    }

    fn date(&self, year: i64, month: i64, day: i64, end: usize) -> Option<(Span, usize)> {
        let date = Date::new(
            i16::try_from(year).ok()?,
            i8::try_from(month).ok()?,
            i8::try_from(day).ok()?,
        )
        .ok()?;
        Some((self.day(date), end))
    }

    /// `2024-05-03`, `05/03/2024`
    fn iso(&self, at: usize) -> Option<(Span, usize)> {
        let mark = |at: usize, mark: char| self.tokens.get(at).is_some_and(|it| it.is_mark(mark));
        if let Some(year) = self.year(at) {
            if mark(at + 1, '-') && mark(at + 3, '-') {
                return self.date(
                    i64::from(year),
                    self.whole(at + 2)?,
                    self.whole(at + 4)?,
                    at + 5,
                );
            }
            if mark(at + 1, '/') && mark(at + 3, '/') {
                return self.date(
                    i64::from(year),
                    self.whole(at + 2)?,
                    self.whole(at + 4)?,
                    at + 5,
                );
            }
            return None;
        }
        if mark(at + 1, '/') && mark(at + 3, '/') {
            let year = self.year(at + 4)?;
            return self.date(i64::from(year), self.whole(at)?, self.whole(at + 2)?, at + 5);
        }
        None
    }

    /// `3 May 2024`, `3rd of May`
    fn day_first(&self, at: usize) -> Option<(Span, usize)> {
        let day = self.whole(at).filter(|it| (1..=31).contains(it))?;
        let mut next = at + 1;
        if self.word(next) == "of" {
            next += 1;
        }
        let month = month(self.word(next))?;
        next += 1;
        if self.word(next) == "," || self.word(next) == "of" {
            next += 1;
        }
        match self.year(next) {
            Some(year) => self.date(i64::from(year), i64::from(month), day, next + 1),
            None => self.date(i64::from(self.today.year()), i64::from(month), day, at + 2),
        }
    }

    /// `May 3, 2024`, `May 2024`, `May`
    fn month_first(&self, at: usize) -> Option<(Span, usize)> {
        let month = month(self.word(at))?;
        // the verb and the walk: only a capital makes them months
        if matches!(self.word(at), "may" | "march" | "mar" | "dec" | "sat" | "jan")
            && !self.tokens[at].text.starts_with(|c: char| c.is_uppercase())
            && self.year(at + 1).is_none()
        {
            return None;
        }
        let mut next = at + 1;
        if let Some(day) = self.whole(next).filter(|it| (1..=31).contains(it)) {
            next += 1;
            if self.word(next) == "," {
                next += 1;
            }
            return match self.year(next) {
                Some(year) => self.date(i64::from(year), i64::from(month), day, next + 1),
                None => self.date(i64::from(self.today.year()), i64::from(month), day, at + 2),
            };
        }
        if self.word(next) == "," || self.word(next) == "of" {
            next += 1;
        }
        if self.word(next) == "this" && self.word(next + 1) == "year" {
            return Some((self.month_of(self.today.year(), month)?, next + 2));
        }
        if self.word(next) == "last" && self.word(next + 1) == "year" {
            return Some((self.month_of(self.today.year() - 1, month)?, next + 2));
        }
        match self.year(next) {
            Some(year) => Some((self.month_of(year, month)?, next + 1)),
            None => Some((Span::Month(month), at + 1)),
        }
    }

    /// `H1 2025`, `the second half of 2025`
    fn half(&self, at: usize) -> Option<(Span, usize)> {
        let (number, mut next): (i8, usize) = match self.word(at) {
            "h1" => (1, at + 1),
            "h2" => (2, at + 1),
            "first" | "1st" if self.word(at + 1) == "half" => (1, at + 2),
            "second" | "2nd" if self.word(at + 1) == "half" => (2, at + 2),
            _ => return None,
        };
        if matches!(self.word(next), "of" | "in") {
            next += 1;
        }
        let (year, end) = match self.year(next) {
            Some(year) => (year, next + 1),
            None if self.word(next) == "this" && self.word(next + 1) == "year" => {
                (self.today.year(), next + 2)
            }
            None if self.word(next) == "last" && self.word(next + 1) == "year" => {
                (self.today.year() - 1, next + 2)
            }
            None if self.word(at).starts_with('h') => (self.today.year(), next),
            None => return None,
        };
        let first = Date::new(year, number * 6 - 5, 1).ok()?;
        let until = first.checked_add(6.months()).ok()?;
        Some((Span::Range(Some(Moment::Day(first)), Some(Moment::Day(until))), end))
    }

    /// `Q2 2024`, `the second quarter of 2024`
    fn quarter(&self, at: usize) -> Option<(Span, usize)> {
        let number: i8 = match self.word(at) {
            "q1" => 1,
            "q2" => 2,
            "q3" => 3,
            "q4" => 4,
            word => {
                let number = ["first", "second", "third", "fourth"]
                    .iter()
                    .position(|it| *it == word)
                    .or_else(|| ["1st", "2nd", "3rd", "4th"].iter().position(|it| *it == word))?;
                if self.word(at + 1) != "quarter" {
                    return None;
                }
                i8::try_from(number + 1).ok()?
            }
        };
        let mut next = at + if self.word(at).starts_with('q') { 1 } else { 2 };
        if self.word(next) == "of" || self.word(next) == "in" {
            next += 1;
        }
        let (year, end) = match self.year(next) {
            Some(year) => (year, next + 1),
            None if self.word(next) == "this" && self.word(next + 1) == "year" => {
                (self.today.year(), next + 2)
            }
            None if self.word(next) == "last" && self.word(next + 1) == "year" => {
                (self.today.year() - 1, next + 2)
            }
            None => {
                (self.today.year(), if self.word(at).starts_with('q') { at + 1 } else { at + 2 })
            }
        };
        let first = Date::new(year, number * 3 - 2, 1).ok()?;
        let until = first.checked_add(3.months()).ok()?;
        Some((Span::Range(Some(Moment::Day(first)), Some(Moment::Day(until))), end))
    }

    /// `1 to 7 December 2025`, `December 1-7, 2025`: from one day of a month until another, both included.
    fn days(&self, at: usize) -> Option<(Span, usize)> {
        let day = |at: usize| self.whole(at).filter(|it| (1..=31).contains(it));
        let joins = |at: usize| {
            matches!(self.word(at), "to" | "until" | "till" | "through")
                || self.tokens.get(at).is_some_and(|it| it.is_mark('-') || it.is_mark('–'))
        };
        let (first, last, month, mut next) = if let Some(month) = month(self.word(at)) {
            let (first, last) = (day(at + 1)?, day(at + 3).filter(|_| joins(at + 2))?);
            (first, last, month, at + 4)
        } else {
            let (first, last) = (day(at)?, day(at + 2).filter(|_| joins(at + 1))?);
            let mut next = at + 3;
            if self.word(next) == "of" {
                next += 1;
            }
            (first, last, month(self.word(next))?, next + 1)
        };
        if self.tokens.get(next).is_some_and(|it| it.is_mark(',')) || self.word(next) == "of" {
            next += 1;
        }
        let (year, end) = match self.year(next) {
            Some(year) => (year, next + 1),
            None => (self.today.year(), next),
        };
        let date = |day: i64| Date::new(year, month, i8::try_from(day).ok()?).ok();
        let (from, until) = (date(first)?, date(last)?.tomorrow().ok()?);
        (from < until)
            .then_some((Span::Range(Some(Moment::Day(from)), Some(Moment::Day(until))), end))
    }

    /// `June to August 2026`: whole months of one year, or over the turn of one.
    fn months(&self, at: usize) -> Option<(Span, usize)> {
        let (first, last, mut next) = self.month_names(at)?;
        if self.word(next) == "of" {
            next += 1;
        }
        let year = self.year(next)?;
        Some((Self::from_to(year, first, last)?, next + 1))
    }

    /// Two months with a word between them that goes from one to the other, and where they end.
    fn month_names(&self, at: usize) -> Option<(i8, i8, usize)> {
        let first = month(self.word(at))?;
        let joins = matches!(self.word(at + 1), "to" | "until" | "till" | "through")
            || self.tokens.get(at + 1).is_some_and(|it| it.is_mark('-') || it.is_mark('–'));
        let last = month(self.word(at + 2)).filter(|_| joins)?;
        Some((first, last, at + 3))
    }

    /// From the first day of a month until the last of another, which is of that year.
    fn from_to(year: i16, first: i8, last: i8) -> Option<Span> {
        let begins = if first > last { year - 1 } else { year };
        let from = Date::new(begins, first, 1).ok()?;
        let until = Date::new(year, last, 1).ok()?.checked_add(1.month()).ok()?;
        Some(Span::Range(Some(Moment::Day(from)), Some(Moment::Day(until))))
    }

    /// `summer 2026`, `the summer of 2026, June to August`: the three months that weather keeps call so in the north; winter
    /// lies in two years and is left to be asked. Months that are said in addition are the ones that count.
    fn season(&self, at: usize) -> Option<(Span, usize)> {
        // what stands in the data by that name is one of its values
        let (first, last) = season(self.word(at)).filter(|_| !self.tokens[at].capital)?;
        let next = at + 1 + usize::from(self.word(at + 1) == "of");
        let year = self.year(next)?;
        let mut end = next + 1;
        let mark = |at: usize, mark: char| self.tokens.get(at).is_some_and(|it| it.is_mark(mark));
        let told = end + usize::from(mark(end, ',') || mark(end, '('));
        if let Some((first, last, until)) = self.month_names(told) {
            end = until + usize::from(mark(until, ')'));
            return Some((Self::from_to(year, first, last)?, end));
        }
        Some((Self::from_to(year, first, last)?, end))
    }
}
