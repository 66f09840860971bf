use std::cmp::Ordering;

use num_bigint::BigInt;
use serde_json::Value;

/// The longest number that is read, in digits: a `numeric` of Postgres has some 147,000 at most.
const MOST_DIGITS: usize = 150_000;

/// How far an exponent may move the point: a double's goes to 324.
const FARTHEST: i64 = 1_000;

/// A decimal number, exactly as it is written: nothing is lost between a database and what it is compared with.
#[derive(Clone, Debug)]
pub struct Decimal {
    /// The number without its point.
    digits: BigInt,
    /// How many of the digits stand after the point.
    scale: u32,
}

impl Decimal {
    /// Reads `-12.50`, `1e-7` and the like; `None` if it is none, and for those that are too long.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (is_negative, plain) = match number.as_bytes().first()? {
            b'-' => (true, &number[1..]),
            b'+' => (false, &number[1..]),
            _ => (false, number),
        };
        let (whole, part) = plain.split_once('.').unwrap_or((plain, ""));
        let mut digits = format!("{whole}{part}");
        let is_number = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
        if !is_number || digits.len() > MOST_DIGITS || !(-FARTHEST..=FARTHEST).contains(&exponent) {
            return None;
        }
        let mut scale = i64::try_from(part.len()).ok()? - exponent;
        while scale < 0 {
            digits.push('0');
            scale += 1;
        }
        let digits: BigInt = digits.parse().ok()?;
        let digits = if is_negative { -digits } else { digits };
        Some(Self { digits, scale: u32::try_from(scale).ok()? })
    }

    /// A number of a result or a definition; `None` for what is none. A number of JSON is what its shortest text says, which
    /// is what somebody wrote.
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Number(it) => Self::parse(&it.to_string()),
            Value::String(text) => Self::parse(text.trim()),
            _ => None,
        }
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.digits == BigInt::ZERO
    }

    pub(crate) fn plus(&self, other: &Self) -> Self {
        let scale = self.scale.max(other.scale);
        Self { digits: self.at(scale) + other.at(scale), scale }
    }

    /// The double that is nearest to it; `None` for what is too large for one.
    pub(crate) fn nearest(&self) -> Option<f64> {
        let text = format!("{}e-{}", self.digits, self.scale);
        text.parse().ok().filter(|it: &f64| it.is_finite())
    }

    pub(crate) fn minus(&self, other: &Self) -> Self {
        let scale = self.scale.max(other.scale);
        Self { digits: self.at(scale) - other.at(scale), scale }
    }

    pub(crate) fn times(&self, other: &Self) -> Self {
        Self { digits: &self.digits * &other.digits, scale: self.scale + other.scale }
    }

    pub(crate) fn magnitude(&self) -> Self {
        let digits = BigInt::from(self.digits.magnitude().clone());
        Self { digits, scale: self.scale }
    }

    /// The digits with so many after the point, which are no fewer than there are.
    fn at(&self, scale: u32) -> BigInt {
        &self.digits * BigInt::from(10).pow(scale - self.scale)
    }
}

impl From<u64> for Decimal {
    fn from(number: u64) -> Self {
        Self { digits: number.into(), scale: 0 }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let scale = self.scale.max(other.scale);
        self.at(scale).cmp(&other.at(scale))
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// A number of that many ten-thousandths, as Postgres writes it.
    fn written(parts: i64) -> String {
        let sign = if parts < 0 { "-" } else { "" };
        let (whole, part) = (parts.unsigned_abs() / 10_000, parts.unsigned_abs() % 10_000);
        format!("{sign}{whole}.{part:04}")
    }

    #[test]
    fn no_exponent_makes_more_than_it_may() {
        for exponent in [i64::MIN, i64::MIN + 1, i64::MAX, FARTHEST + 1, -FARTHEST - 1] {
            assert!(Decimal::parse(&format!("1e{exponent}")).is_none(), "{exponent}");
        }
        assert!(Decimal::parse(&format!("1e{FARTHEST}")).is_some());
    }

    proptest! {
        #[test]
        fn decimals_are_compared_and_calculated_as_whole_numbers_are(a: i32, b: i32) {
            let (a, b) = (i64::from(a), i64::from(b));
            let parse = |it: i64| Decimal::parse(&written(it)).expect("a number");
            prop_assert_eq!(parse(a).cmp(&parse(b)), a.cmp(&b));
            prop_assert_eq!(parse(a).minus(&parse(b)), parse(a - b));
            let product = Decimal { digits: BigInt::from(a) * b, scale: 8 };
            prop_assert_eq!(parse(a).times(&parse(b)), product);
            prop_assert_eq!(parse(a).magnitude(), parse(a.abs()));
        }

        #[test]
        fn a_double_of_json_is_what_its_text_says(number: f64) {
            prop_assume!(number.is_finite());
            // Of two texts that are as short, as of 1658047017214904.25, it is the one that JSON has.
            let text = json!(number).to_string();
            prop_assert_eq!(text.parse(), Ok(number));
            prop_assert_eq!(Decimal::of(&json!(number)), Decimal::parse(&text));
        }

        #[test]
        fn what_is_no_number_is_none(text in "[0-9a-fxE .+-]{0,12}") {
            let read = Decimal::parse(&text).is_some();
            prop_assert!(!read || text.parse::<f64>().is_ok(), "{}", text);
        }
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        let parse = |it: &str| Decimal::parse(it);
        assert_eq!(parse("100.00"), parse("1e2"));
        assert_eq!(parse("-0.0"), parse("0"));
        assert_eq!(parse(".5"), parse("5E-1"));
        assert!(parse("9007199254740993") > parse("9007199254740992"));
        for none in ["", "-", ".", "e1", "1e", "1e9999999999", "NaN", "Infinity", "1_000", "0x10"] {
            assert!(parse(none).is_none(), "{none}");
        }
    }
}
