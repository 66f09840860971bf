//! Text as a JSON string.

use std::borrow::Cow;

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Whether one of eight bytes must be escaped: a control character, a quotation mark or a backslash.
///
/// The usual arithmetic on a word: a byte's high bit comes out set where subtracting borrowed from it.
fn has_special(word: u64) -> bool {
    let zero = |it: u64| it.wrapping_sub(LOW) & !it;
    let control = word.wrapping_sub(LOW * 0x20) & !word;
    (control | zero(word ^ (LOW * u64::from(b'"'))) | zero(word ^ (LOW * u64::from(b'\\')))) & HIGH
        != 0
}

/// Where the first byte stands that must be escaped; the length if there is none.
fn first_special(text: &[u8]) -> usize {
    let (words, _) = text.as_chunks::<8>();
    let clean = words.iter().take_while(|it| !has_special(u64::from_le_bytes(**it))).count() * 8;
    let special = |it: &u8| *it < 0x20 || *it == b'"' || *it == b'\\';
    clean + text[clean..].iter().position(special).unwrap_or(text.len() - clean)
}

/// Writes text as a JSON string, in quotation marks.
///
/// What is not UTF-8 becomes U+FFFD; then the answer is `false`.
pub(super) fn write_string(text: &[u8], out: &mut Vec<u8>) -> bool {
    let text = utf8(text);
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let clean = first_special(rest);
        out.extend_from_slice(&rest[..clean]);
        let Some(special) = rest.get(clean) else { break };
        match special {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]]);
            }
        }
        rest = &rest[clean + 1..];
    }
    out.push(b'"');
    matches!(text, Cow::Borrowed(_))
}

/// The bytes as text; owned if something had to be replaced.
pub(super) fn utf8(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Writes a timestamp as ISO 8601 has it, in quotation marks: `T` between date and time, and minutes in the offset.
///
/// `infinity`, years before Christ, offsets to the second (local mean time) and everything that a `DateStyle` other
/// than ISO prints stay as they are.
pub(super) fn write_timestamp(text: &[u8], out: &mut Vec<u8>) -> bool {
    let Some((date, time)) = split_timestamp(text) else {
        return write_string(text, out);
    };
    out.push(b'"');
    out.extend_from_slice(date);
    out.push(b'T');
    out.extend_from_slice(time);
    // `+00`, not yet `+05:30`; a time without an offset ends in its seconds or their fraction.
    if time.len() > 8 && matches!(time[time.len() - 3], b'+' | b'-') {
        out.extend_from_slice(b":00");
    }
    out.push(b'"');
    true
}

/// `2026-01-02 03:04:05…` at the blank, if what stands beside it are digits and the signs of a time.
fn split_timestamp(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = text.iter().position(|it| *it == b' ')?;
    let (date, time) = (&text[..blank], &text[blank + 1..]);
    let date_like = date.len() >= 10
        && date.iter().all(|it| it.is_ascii_digit() || *it == b'-')
        && date[date.len() - 3] == b'-'
        && date[date.len() - 6] == b'-';
    let time_like = time.len() >= 8
        && time[2] == b':'
        && time[5] == b':'
        && time.iter().all(|it| it.is_ascii_digit() || matches!(it, b':' | b'.' | b'+' | b'-'));
    (date_like && time_like).then_some((date, time))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn timestamp(text: &str) -> String {
        let mut out = Vec::new();
        write_timestamp(text.as_bytes(), &mut out);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn timestamps_are_iso_8601() {
        for (given, expected) in [
            ("2026-01-02 03:04:05.123456+00", "2026-01-02T03:04:05.123456+00:00"),
            ("2026-01-02 03:04:05-03", "2026-01-02T03:04:05-03:00"),
            ("2026-11-20 22:01:02.938605+05:30", "2026-11-20T22:01:02.938605+05:30"),
            ("2026-01-02 03:04:05", "2026-01-02T03:04:05"),
            ("2026-01-02 03:04:05.1", "2026-01-02T03:04:05.1"),
            ("20000-01-01 00:00:00", "20000-01-01T00:00:00"),
            ("1880-01-01 00:00:00+00:09:21", "1880-01-01T00:00:00+00:09:21"),
        ] {
            assert_eq!(timestamp(given), expected);
        }
    }

    #[test]
    fn what_is_not_a_point_in_iso_time_stays_as_it_is() {
        for text in [
            "infinity",
            "-infinity",
            "0044-03-15 00:00:00+00 BC",
            "Fri Nov 20 16:31:02 2026 UTC",
            "",
        ] {
            assert_eq!(timestamp(text), text);
        }
    }

    proptest! {
        #[test]
        fn text_comes_back_as_it_was(text: String) {
            let mut out = Vec::new();
            prop_assert!(write_string(text.as_bytes(), &mut out));
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }

        #[test]
        fn every_byte_may_come(text: Vec<u8>) {
            let mut out = Vec::new();
            let whole = write_string(&text, &mut out);
            let read: String = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(whole, read.as_bytes() == text);
            out.clear();
            write_timestamp(&text, &mut out);
            prop_assert!(serde_json::from_slice::<String>(&out).is_ok());
        }

        #[test]
        fn eight_bytes_at_once_are_judged_as_one_by_one(bytes: [u8; 8]) {
            let special = bytes.iter().any(|it| *it < 0x20 || *it == b'"' || *it == b'\\');
            prop_assert_eq!(has_special(u64::from_le_bytes(bytes)), special);
        }
    }
}
