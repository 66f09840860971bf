//! When something was answered, as text.

use std::cell::Cell;

use jiff::Timestamp;
use serde::{Serialize as _, Serializer};

/// `2026-11-28T13:44:00`.
const SECOND_BYTES: usize = 19;

/// With a dot, nine digits and `Z`.
const MOST_BYTES: usize = SECOND_BYTES + 11;

thread_local! {
    static LAST: Cell<(i64, [u8; SECOND_BYTES])> = const { Cell::new((i64::MIN, [0; SECOND_BYTES])) };
}

/// Writes a moment as [`Timestamp`] itself does. It stands in every answer, and the calendar is asked only once a second.
///
/// # Errors
///
/// Those of the serializer.
pub(super) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    let mut text = [0; MOST_BYTES];
    match write(*at, &mut text).and_then(|it| std::str::from_utf8(it).ok()) {
        Some(text) => to.serialize_str(text),
        None => at.serialize(to),
    }
}

/// `None` where a year has not four digits, and before 1970, when fractions count backwards.
fn write(at: Timestamp, text: &mut [u8; MOST_BYTES]) -> Option<&[u8]> {
    let (second, mut fraction) = (at.as_second(), u32::try_from(at.subsec_nanosecond()).ok()?);
    if second < 0 {
        return None;
    }
    let (mut of, mut whole) = LAST.get();
    if of != second {
        let written = Timestamp::from_second(second).ok()?.to_string();
        whole = written.strip_suffix('Z')?.as_bytes().try_into().ok()?;
        of = second;
        LAST.set((of, whole));
    }
    text[..SECOND_BYTES].copy_from_slice(&whole);
    let mut end = SECOND_BYTES;
    if fraction > 0 {
        text[end] = b'.';
        end += 1;
        let mut unit = 100_000_000;
        while fraction > 0 {
            text[end] = b'0' + u8::try_from(fraction / unit).ok()?;
            fraction %= unit;
            unit /= 10;
            end += 1;
        }
    }
    text[end] = b'Z';
    Some(&text[..=end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(at: Timestamp) -> serde_json::Value {
        serialize(&at, serde_json::value::Serializer).expect("a text")
    }

    proptest! {
        #[test]
        fn a_moment_is_written_as_the_calendar_writes_it(
            second in -100_000_000_000_i64..250_000_000_000,
            fraction in prop_oneof![Just(0), Just(1), Just(100_000_000), Just(120_000), 0..1_000_000_000],
        ) {
            let at = Timestamp::new(second, fraction).expect("within the calendar");
            prop_assert_eq!(written(at), at.to_string());
            // The same second again, and the next one.
            let later = Timestamp::new(second, 999_999_999).expect("within the calendar");
            prop_assert_eq!(written(later), later.to_string());
            let next = Timestamp::new(second + 1, fraction).expect("within the calendar");
            prop_assert_eq!(written(next), next.to_string());
        }
    }
}
