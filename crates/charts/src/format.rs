//! Numbers and moments in words.

use jiff::civil::DateTime;

/// A number with thousands divided by commas and so many decimals.
pub(crate) fn plain(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |it| (it.0, Some(it.1)));
    let mut out = String::new();
    // What rounds to nothing has no sign.
    if value < 0.0 && text.bytes().any(|it| matches!(it, b'1'..=b'9')) {
        out.push('−');
    }
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(rest) = rest {
        out.push('.');
        out.push_str(rest);
    }
    out
}

/// A number as people would write it: up to two decimals where they matter, up to four digits of a small one.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e15).contains(&size) {
        return scientific(value);
    }
    let decimals = match size {
        _ if size.fract() == 0.0 => 0,
        _ if size >= 1.0 => 2,
        _ if size >= 0.01 => 4,
        _ => 6,
    };
    let text = plain(value, decimals);
    if text.contains('.') {
        let cut = text.trim_end_matches('0').trim_end_matches('.');
        return if decimals == 2 && cut.len() + 1 == text.len() { text } else { cut.to_owned() };
    }
    text
}

/// A number in little room, like `1.2M`.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    let (unit, sign) = match size {
        _ if size >= 1e15 => return scientific(value),
        _ if size >= 999_950_000_000.0 => (1e12, "T"),
        _ if size >= 999_950_000.0 => (1e9, "B"),
        _ if size >= 999_950.0 => (1e6, "M"),
        _ if size >= 10_000.0 => (1e3, "k"),
        _ => return number(value),
    };
    let text = plain(value / unit, 1);
    format!("{}{sign}", text.strip_suffix(".0").unwrap_or(&text))
}

fn scientific(value: f64) -> String {
    let text = format!("{value:.2e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    format!("{}e{power}", digits.replace('-', "−"))
}

/// A tick of an axis whose ticks are `step` apart: all of an axis in the same unit, each exact.
pub(crate) fn tick(value: f64, step: f64, largest: f64) -> String {
    let value = if value.abs() < step * 1e-6 { 0.0 } else { value };
    if largest >= 1e15 || (largest != 0.0 && largest < 1e-4) {
        return if value == 0.0 { "0".to_owned() } else { scientific(value) };
    }
    let (unit, sign) = match largest {
        _ if largest >= 1e12 => (1e12, "T"),
        _ if largest >= 1e9 => (1e9, "B"),
        _ if largest >= 1e6 => (1e6, "M"),
        _ if largest >= 1e4 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let step = step / unit;
    let decimals = (0..9usize)
        .find(|it| {
            let scaled = step * 10f64.powi(i32::try_from(*it).unwrap_or(0));
            (scaled - scaled.round()).abs() < 1e-6 * scaled.max(1.0)
        })
        .unwrap_or(9);
    let text = plain(value / unit, decimals);
    if value == 0.0 { "0".to_owned() } else { format!("{text}{sign}") }
}

/// How exactly the moments of an axis are worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    /// All are first days of years.
    Year,
    /// All are first days of months.
    Month,
    /// All are midnights.
    Day,
    /// With a time of day.
    Minute,
}

/// A moment, as exactly as it is worth telling.
pub(crate) fn moment(at: DateTime, precision: Precision) -> String {
    let pattern = match precision {
        Precision::Year => "%Y",
        Precision::Month => "%b %Y",
        Precision::Day => "%-d %b %Y",
        Precision::Minute => "%-d %b %Y %H:%M",
    };
    at.strftime(pattern).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1234.0, "1,234"),
            (-1_234_567.5, "−1,234,567.50"),
            (0.25, "0.25"),
            (0.123_456_7, "0.1235"),
            (12.345, "12.35"),
            (1e18, "1e18"),
            (0.00001, "1e-5"),
        ] {
            assert_eq!(number(value), text);
        }
        for (value, text) in [
            (999.0, "999"),
            (12_345.0, "12.3k"),
            (999_960.0, "1M"),
            (-2_500_000.0, "−2.5M"),
            (3e9, "3B"),
            (4.2e12, "4.2T"),
        ] {
            assert_eq!(short(value), text);
        }
        assert_eq!(plain(-0.001, 2), "0.00");
    }

    #[test]
    fn ticks_of_one_axis_have_one_unit_and_are_exact() {
        assert_eq!(tick(500_000.0, 500_000.0, 2e6), "0.5M");
        assert_eq!(tick(1_000_000.0, 500_000.0, 2e6), "1.0M");
        assert_eq!(tick(0.0, 0.25, 1.0), "0");
        assert_eq!(tick(0.25, 0.25, 1.0), "0.25");
        assert_eq!(tick(1500.0, 500.0, 5000.0), "1,500");
        assert_eq!(tick(2.5e-7, 2.5e-7, 1e-6), "2.5e-7");
    }
}
