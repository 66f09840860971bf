use std::io::Write;

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
        fn what_counts_as_a_number_is_one_in_json(text in "[-+0-9.eE]{0,8}") {
            let read = serde_json::from_str::<&serde_json::value::RawValue>(&text);
            let valid = read.is_ok_and(|it| it.get() == text);
            prop_assert_eq!(is_json_number(text.as_bytes()), valid);
        }
    }
}
