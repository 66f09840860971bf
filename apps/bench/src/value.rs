//! Values as they are compared: what two statements may write differently and still mean the same is made alike here.

use std::cmp::Ordering;

use tokio_postgres::types::{Kind, Type};

/// Numbers that differ by less than this part of the larger one are the same: averages and ratios are rounded in many ways.
const RELATIVE_TOLERANCE: f64 = 1e-4;

/// Numbers that differ by less than this are the same, whatever their size.
const ABSOLUTE_TOLERANCE: f64 = 1e-6;

/// Rounding to fewer decimals than these is no excuse.
const FEWEST_DECIMALS: u8 = 2;

/// Texts longer than this are no numbers, whatever their digits.
const LONGEST_NUMBER: usize = 20;

/// From here on a double no longer holds every whole number, so that whole numbers are compared with tolerance too.
const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;

/// One value of a result.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// Of any numeric type, or a text that reads as a number.
    Number(Number),
    /// Anything else. A moment at midnight UTC is its date.
    Text(String),
}

/// A number, never NaN or infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Number {
    pub(crate) value: f64,
    /// To how many decimals it was rounded; `None` where rounding is no excuse.
    pub(crate) decimals: Option<u8>,
}

impl Value {
    /// Reads a value from Postgres's own text for it.
    pub(crate) fn read(text: Option<&str>, of: &Type) -> Self {
        let Some(text) = text else { return Self::Null };
        let mut base = of;
        while let Kind::Domain(inner) = base.kind() {
            base = inner;
        }
        match *base {
            Type::BOOL => Self::Bool(text == "t"),
            Type::MONEY => {
                let digits: String = text.chars().filter(|c| !matches!(c, '$' | ',')).collect();
                Self::number(&digits).unwrap_or_else(|| Self::Text(text.to_owned()))
            }
            Type::INTERVAL => interval_seconds(text)
                .map_or_else(|| Self::Text(text.to_owned()), |s| Self::Text(format!("{s} s"))),
            Type::BPCHAR => Self::plain(text.trim_end_matches(' ')),
            _ => Self::plain(text),
        }
    }

    fn plain(text: &str) -> Self {
        let may_be_long = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if (text.len() < LONGEST_NUMBER || may_be_long)
            && let Some(number) = Self::number(text)
        {
            return number;
        }
        Self::Text(moment(text).unwrap_or_else(|| text.to_owned()))
    }

    fn number(text: &str) -> Option<Self> {
        // "inf" and "nan" are words too.
        if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
            return None;
        }
        let text = text.trim();
        let value: f64 = text.parse().ok()?;
        let decimals = match text.split_once('.') {
            // An exponent moves the point.
            _ if text.contains(['e', 'E']) => u8::MAX,
            Some((_, decimals)) => u8::try_from(decimals.len()).unwrap_or(u8::MAX),
            None => 0,
        };
        // Minus zero is zero.
        let number = Number { value: value + 0.0, decimals: Some(decimals) };
        value.is_finite().then_some(Self::Number(number))
    }

    /// The same value, but from now on a number must be right to all its decimals.
    pub(crate) fn unrounded(self) -> Self {
        match self {
            Self::Number(number) => Self::Number(Number { decimals: None, ..number }),
            other => other,
        }
    }

    /// Whether both mean the same.
    pub(crate) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Number(a), Self::Number(b)) => same_number(*a, *b),
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Bool(a), other) | (other, Self::Bool(a)) => other.truth() == Some(*a),
            _ => false,
        }
    }

    /// What a value says when it stands where a boolean is expected.
    fn truth(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            Self::Number(number) if number.is(1) => Some(true),
            Self::Number(number) if number.is(0) => Some(false),
            Self::Text(text) => match text.to_ascii_lowercase().as_str() {
                "t" | "true" | "yes" => Some(true),
                "f" | "false" | "no" => Some(false),
                _ => None,
            },
            Self::Null | Self::Number(_) => None,
        }
    }

    /// An order in which everything but numbers counts: rows that are the same stand together even if their numbers differ
    /// a little.
    pub(crate) fn order_apart_from_numbers(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    /// The order of two numbers; others are alike.
    pub(crate) fn order_of_numbers(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.value.total_cmp(&b.value),
            _ => Ordering::Equal,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Number(_) => 2,
            Self::Text(_) => 3,
        }
    }
}

impl Number {
    /// A whole number.
    pub(crate) fn whole(value: u32) -> Self {
        Self { value: f64::from(value), decimals: Some(0) }
    }

    fn is(self, value: u32) -> bool {
        same_number(self, Self::whole(value))
    }
}

/// Counts are exact, what was computed is not.
#[expect(clippy::float_cmp, reason = "whole numbers are compared exactly")]
fn same_number(a: Number, b: Number) -> bool {
    let exact = |n: f64| n.fract() == 0.0 && n.abs() < EXACT_BELOW;
    if exact(a.value) && exact(b.value) {
        return a.value == b.value;
    }
    let apart = (a.value - b.value).abs();
    let rounding = a.decimals.zip(b.decimals).map_or(0.0, |(a, b)| {
        let kept = a.min(b).max(FEWEST_DECIMALS);
        // A bit more than a half: doubles hold few decimals exactly.
        0.500_000_1 * 10_f64.powi(-i32::from(kept))
    });
    let large = a.value.abs().max(b.value.abs());
    apart <= (ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * large).max(rounding)
}

/// One way to write a date or a moment, or `None` if it is none: a month is its first day, a moment at midnight its day, and
/// UTC goes without saying.
fn moment(text: &str) -> Option<String> {
    let date = text.get(..10).filter(|date| is_date(date));
    let Some(date) = date else {
        let month = text.len() == 7 && is_date(&format!("{text}-01"));
        return month.then(|| format!("{text}-01"));
    };
    let Some(rest) = text.get(10..).filter(|rest| !rest.is_empty()) else {
        return Some(date.to_owned());
    };
    let time = rest.strip_prefix([' ', 'T'])?;
    let time = ["+00:00", "+00", "Z"].iter().find_map(|utc| time.strip_suffix(utc)).unwrap_or(time);
    let time = match time.split_once('.') {
        Some((seconds, fraction)) if fraction.bytes().all(|b| b == b'0') => seconds,
        _ => time,
    };
    Some(if time == "00:00:00" { date.to_owned() } else { format!("{date} {time}") })
}

/// Whether it is written like 2024-05-31.
fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// The length of an interval as Postgres counts it when it compares (a month has 30 days, a day 24 hours), in seconds,
/// from the text in its default style, like `1 year 2 mons -3 days 04:05:06.7`.
fn interval_seconds(text: &str) -> Option<f64> {
    const DAY: f64 = 86_400.0;
    let mut seconds = 0.0;
    let mut words = text.split_ascii_whitespace();
    while let Some(word) = words.next() {
        if word.contains(':') {
            let (sign, clock) = word.strip_prefix('-').map_or((1.0, word), |rest| (-1.0, rest));
            let mut unit = 3600.0;
            for part in clock.trim_start_matches('+').split(':') {
                seconds += sign * unit * part.parse::<f64>().ok()?;
                unit /= 60.0;
            }
            continue;
        }
        let count: f64 = word.parse().ok()?;
        seconds += count
            * match words.next()?.trim_end_matches('s') {
                "year" => 360.0 * DAY,
                "mon" => 30.0 * DAY,
                "day" => DAY,
                _ => return None,
            };
    }
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn same((a, type_a): (&str, Type), (b, type_b): (&str, Type)) -> bool {
        let (a, b) = (Value::read(Some(a), &type_a), Value::read(Some(b), &type_b));
        assert_eq!(a.same(&b), b.same(&a), "{a:?} {b:?}");
        a.same(&b)
    }

    #[test]
    fn the_same_number_may_be_of_any_type() {
        assert!(same(("5", Type::INT4), ("5.000", Type::NUMERIC)));
        assert!(same(("5", Type::INT8), ("5", Type::TEXT)));
        assert!(same(("1234.5", Type::NUMERIC), ("$1,234.50", Type::MONEY)));
        assert!(same(("-0", Type::FLOAT8), ("0", Type::INT4)));
        assert!(!same(("5", Type::INT4), ("6", Type::INT4)));
    }

    #[test]
    fn rounding_is_forgiven_and_a_wrong_count_is_not() {
        assert!(same(("0.33333333333333", Type::NUMERIC), ("0.333333", Type::FLOAT8)));
        assert!(same(("12345.678", Type::NUMERIC), ("12345.68", Type::NUMERIC)));
        assert!(same(("0.33", Type::NUMERIC), ("0.333333", Type::FLOAT8)));
        assert!(same(("12.345678", Type::NUMERIC), ("12.35", Type::NUMERIC)));
        assert!(!same(("0.33", Type::NUMERIC), ("0.34", Type::NUMERIC)));
        assert!(!same(("0.3", Type::NUMERIC), ("0.333333", Type::NUMERIC)));
        assert!(!same(("100000", Type::INT8), ("100001", Type::INT8)));
    }

    #[test]
    fn rounding_to_few_decimals_is_an_excuse_only_where_it_is_said() {
        let read = |text| Value::read(Some(text), &Type::NUMERIC).unrounded();
        assert!(!read("0.33").same(&read("0.333333")));
        assert!(read("0.333333").same(&read("0.33333333")));
    }

    #[test]
    fn a_moment_at_midnight_is_its_date() {
        assert!(same(("2024-05-31", Type::DATE), ("2024-05-31 00:00:00+00", Type::TIMESTAMPTZ)));
        assert!(same(("2024-05-31", Type::DATE), ("2024-05-31T00:00:00.000Z", Type::TEXT)));
        assert!(same(("2024-05", Type::TEXT), ("2024-05-01 00:00:00", Type::TIMESTAMP)));
        assert!(!same(("2024-05-31", Type::DATE), ("2024-05-31 00:00:01", Type::TIMESTAMP)));
        assert!(!same(("2024-05-31", Type::DATE), ("2024-06-01", Type::DATE)));
    }

    #[test]
    fn a_year_written_in_letters_stays_a_text() {
        assert_eq!(Value::read(Some("infinity"), &Type::DATE), Value::Text("infinity".to_owned()));
        assert_eq!(Value::read(Some("NaN"), &Type::FLOAT8), Value::Text("NaN".to_owned()));
        assert_eq!(
            Value::read(Some("äöü äöü äöü"), &Type::TEXT),
            Value::Text("äöü äöü äöü".into())
        );
    }

    #[test]
    fn intervals_are_compared_as_postgres_compares_them() {
        assert!(same(("1 day", Type::INTERVAL), ("24:00:00", Type::INTERVAL)));
        assert!(same(("1 mon -1 days", Type::INTERVAL), ("29 days", Type::INTERVAL)));
        assert!(same(("-00:00:01.5", Type::INTERVAL), ("-00:00:01.500", Type::INTERVAL)));
        assert!(!same(("1 day", Type::INTERVAL), ("1 day 00:00:01", Type::INTERVAL)));
        assert!(!same(("3 days", Type::INTERVAL), ("3", Type::INT4)));
    }

    #[test]
    fn yes_is_true() {
        assert!(same(("t", Type::BOOL), ("yes", Type::TEXT)));
        assert!(same(("f", Type::BOOL), ("0", Type::INT4)));
        assert!(!same(("t", Type::BOOL), ("2", Type::INT4)));
        assert!(!same(("t", Type::BOOL), ("maybe", Type::TEXT)));
    }

    #[test]
    fn padding_is_not_part_of_the_value() {
        assert!(same(("ab   ", Type::BPCHAR), ("ab", Type::TEXT)));
        assert!(!same(("ab   ", Type::TEXT), ("ab", Type::TEXT)));
    }

    #[test]
    fn null_is_like_nothing_else() {
        let null = Value::read(None, &Type::TEXT);
        assert!(null.same(&Value::Null));
        for other in ["", "0", "f", "null"] {
            assert!(!null.same(&Value::read(Some(other), &Type::TEXT)));
        }
    }

    proptest! {
        #[test]
        fn every_text_is_the_same_as_itself(text in "\\PC{0,30}") {
            let value = Value::read(Some(&text), &Type::TEXT);
            prop_assert!(value.same(&value));
        }

        #[test]
        fn whole_numbers_are_the_same_only_if_equal(a in -1_000_000_i64..1_000_000, b in -1_000_000_i64..1_000_000) {
            let read = |n: i64| Value::read(Some(&n.to_string()), &Type::INT8);
            prop_assert_eq!(read(a).same(&read(b)), a == b);
        }
    }
}
