use std::io::Write;

use serde_json::Number;

/// The largest integer up to which every integer is a double: 2^53.
const LIMIT: &[u8] = b"9007199254740992";

/// Whether the bytes are a number as JSON writes it.
pub(super) fn is_json_number(text: &[u8]) -> bool {
    let mut rest = text.strip_prefix(b"-").unwrap_or(text);
    let digits = leading_digits(rest);
    if digits == 0 || (digits > 1 && rest[0] == b'0') {
        return false;
    }
    rest = &rest[digits..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = leading_digits(fraction);
        if digits == 0 {
            return false;
        }
        rest = &fraction[digits..];
    }
    if let Some((b'e' | b'E', exponent)) = rest.split_first() {
        let exponent = match exponent.split_first() {
            Some((b'+' | b'-', exponent)) => exponent,
            _ => exponent,
        };
        return !exponent.is_empty() && leading_digits(exponent) == exponent.len();
    }
    rest.is_empty()
}

fn leading_digits(text: &[u8]) -> usize {
    text.iter().take_while(|it| it.is_ascii_digit()).count()
}

/// Whether an integer in decimal can be a JSON number: up to 2^53 in size.
pub(super) fn is_exact_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.is_empty() || leading_digits(digits) != digits.len() {
        return false;
    }
    if digits[0] == b'0' {
        return digits.len() == 1;
    }
    digits.len() < LIMIT.len() || (digits.len() == LIMIT.len() && digits <= LIMIT)
}

/// Whether a decimal as `numeric` prints it can be a JSON number: up to 2^53 in size, and the same decimal comes out when
/// it is read as the nearest double and that is printed with the fewest digits that name it.
///
/// Every decimal of at most 15 significant digits has that property (a double has 53 bits, 15.95 digits), as long as it
/// is not so small that doubles lose precision; that is decided by counting. Only those of 16 and 17 are tried.
pub(super) fn is_exact_decimal(text: &[u8]) -> bool {
    let magnitude = text.strip_prefix(b"-").unwrap_or(text);
    let whole_digits = leading_digits(magnitude);
    let (whole, rest) = magnitude.split_at(whole_digits);
    if whole.is_empty() || (whole.len() > 1 && whole[0] == b'0') {
        return false;
    }
    let fraction = match rest.split_first() {
        None => &[],
        Some((b'.', fraction))
            if !fraction.is_empty() && leading_digits(fraction) == fraction.len() =>
        {
            fraction
        }
        Some(_) => return false,
    };
    if whole.len() > LIMIT.len() {
        return false;
    }
    let trailing = fraction.iter().rev().take_while(|it| **it == b'0').count();
    let fraction = &fraction[..fraction.len() - trailing];
    let (significant, leading) = if whole == b"0" {
        let leading = fraction.iter().take_while(|it| **it == b'0').count();
        (fraction.len() - leading, leading)
    } else {
        (whole.len() + fraction.len(), 0)
    };
    match significant {
        0..=15 => leading < 290,
        16 | 17 => {
            let within = whole.len() < LIMIT.len()
                || (whole.len() == LIMIT.len()
                    && (whole < LIMIT || (whole == LIMIT && fraction.is_empty())));
            within && leading < 290 && survives_a_double(whole, fraction)
        }
        _ => false,
    }
}

/// Whether `whole.fraction` (no superfluous zeros) is what its nearest double prints as.
fn survives_a_double(whole: &[u8], fraction: &[u8]) -> bool {
    // 0. and 290 zeros and 17 digits is the longest that comes here.
    let mut given = [0; 320];
    let length = whole.len() + 1 + fraction.len();
    given[..whole.len()].copy_from_slice(whole);
    given[whole.len()] = b'.';
    given[whole.len() + 1..length].copy_from_slice(fraction);
    let given = if fraction.is_empty() { &given[..whole.len()] } else { &given[..length] };
    let Some(number) = std::str::from_utf8(given).ok().and_then(|it| it.parse::<f64>().ok()) else {
        return false;
    };
    let mut printed = [0; 400];
    let mut left = &mut printed[..];
    // `Display` of a double is its shortest decimal, without an exponent.
    let written = write!(left, "{number}").is_ok();
    let left = left.len();
    written && &printed[..printed.len() - left] == given
}

/// Whether the reader of JSON makes of a number what it says. It takes one double for its neighbour now and then.
pub(super) fn is_read_right(number: &[u8]) -> bool {
    // With so few digits it always does.
    if number.len() <= 15 && !number.iter().any(|it| matches!(it, b'e' | b'E')) {
        return true;
    }
    let Ok(text) = std::str::from_utf8(number) else { return false };
    let read = serde_json::from_str::<Number>(text);
    read.is_ok_and(|it| decimal(&it.to_string()).is_some_and(|it| Some(it) == decimal(text)))
}

/// A number of JSON, as an integer of 64 bits or else a double; `None` if it is neither.
pub(super) fn read_number(number: &str) -> Option<Number> {
    // Only a double keeps the sign of nothing.
    if let Some(it) = number.parse::<i64>().ok().filter(|_| number != "-0") {
        return Some(it.into());
    }
    if let Ok(it) = number.parse::<u64>() {
        return Some(it.into());
    }
    let read = Number::from_f64(number.parse().ok()?)?;
    (decimal(&read.to_string())? == decimal(number)?).then_some(read)
}

/// The significant digits of a number, and the power of ten of the last of them; `None` where that is beyond any reason.
fn decimal(number: &str) -> Option<(String, i64)> {
    let unsigned = number.strip_prefix('-').unwrap_or(number);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = i64::from(exponent.parse::<i32>().ok()?) - i64::try_from(fraction.len()).ok()?;
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some((String::new(), 0));
    }
    let zeros = i64::try_from(digits.len() - significant.len()).ok()?;
    Some((significant.to_owned(), exponent + zeros))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_are_numbers_up_to_two_to_the_53() {
        for text in ["0", "-1", "9007199254740992", "-9007199254740992", "999999999999999"] {
            assert!(
                is_exact_integer(text.as_bytes()) && is_exact_decimal(text.as_bytes()),
                "{text}"
            );
        }
        for text in
            ["9007199254740993", "-9223372036854775808", "10000000000000000", "", "-", "1e5", "007"]
        {
            assert!(!is_exact_integer(text.as_bytes()), "{text}");
            assert!(!is_exact_decimal(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn decimals_that_no_double_holds_are_not_numbers() {
        for text in [
            "0.1",
            "12.50",
            "-0.00",
            "123456789012.345",
            "12.5000000000000000",
            "0.00000000000000000001",
        ] {
            assert!(is_exact_decimal(text.as_bytes()), "{text}");
        }
        for text in [
            "0.12345678901234567890",
            "12345678901234567890",
            "33.3333333333333333",
            "NaN",
            "Infinity",
            "1.",
            ".5",
            "1.2.3",
            "9007199254740992.5",
        ] {
            assert!(!is_exact_decimal(text.as_bytes()), "{text}");
        }
    }

    fn value(text: &str) -> (String, String) {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        (whole.to_owned(), fraction.trim_end_matches('0').to_owned())
    }

    proptest! {
        #[test]
        fn a_decimal_that_is_a_number_keeps_its_value(text in "-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,24})?") {
            if is_exact_decimal(text.as_bytes()) {
                prop_assert!(is_json_number(text.as_bytes()));
                let printed = text.parse::<f64>().unwrap().to_string();
                prop_assert_eq!(value(&printed), value(&text));
            }
        }

        #[test]
        fn an_integer_that_is_a_number_keeps_its_value(number: i64) {
            let text = number.to_string();
            prop_assert_eq!(is_exact_integer(text.as_bytes()), number.unsigned_abs() <= 1 << 53);
        }

        #[test]
        fn what_is_read_of_a_number_is_what_it_says(
            text in "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,20})?([eE][-+]?[0-9]{1,3})?",
        ) {
            if let Some(read) = read_number(&text) {
                prop_assert_eq!(decimal(&read.to_string()), decimal(&text));
            }
            if is_read_right(text.as_bytes()) {
                let read: Number = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(Some(read), read_number(&text));
            }
        }

        #[test]
        fn every_double_is_read(double in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL) {
            // As it is printed by servers and by us. A text half-way between two of that length is printed as the even one.
            let text = serde_json::Value::from(double).to_string();
            prop_assert_eq!(read_number(&text).and_then(|it| it.as_f64()), Some(double));
        }

        #[test]
        fn what_counts_as_a_number_is_one_in_json(text in "[-+0-9.eE]{0,8}") {
            let read = serde_json::from_str::<&serde_json::value::RawValue>(&text);
            let valid = read.is_ok_and(|it| it.get() == text);
            prop_assert_eq!(is_json_number(text.as_bytes()), valid);
        }
    }
}
