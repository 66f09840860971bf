//! JSON that others send, read so that nothing of it is lost.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::{Number, Value};

use crate::decimal::Decimal;

/// Numbers of so few characters without an exponent are those that a double holds to all their digits: 15 always fit.
const SHORT: usize = 15;

/// Reads JSON; `None` for what is none, and for what is nested deeper than is read.
///
/// A number that would come out as another one (`12345678901234567890.12`, `1e400`) is a text of the same characters, and
/// what no database keeps in a text (`\u0000`, half of a surrogate pair) is U+FFFD.
pub(crate) fn read(text: &str) -> Option<Value> {
    // By the grammar alone: what is no JSON must not become some by what is replaced.
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    serde_json::from_str(&kept(text)).ok()
}

/// JSON with what would be lost in reading replaced.
fn kept(text: &str) -> Cow<'_, str> {
    let mut kept = String::new();
    let (mut copied, mut at) = (0, 0);
    let mut is_in_text = false;
    while let Some(byte) = text.as_bytes().get(at) {
        let (length, replaced) = match byte {
            b'"' => {
                is_in_text = !is_in_text;
                (1, None)
            }
            b'\\' if is_in_text => escape(&text[at..]),
            b'-' | b'0'..=b'9' if !is_in_text => {
                let number = leading_number(&text[at..]);
                (number.len(), (!is_held(number)).then(|| format!("\"{number}\"")))
            }
            _ => (1, None),
        };
        if let Some(replaced) = replaced {
            kept.push_str(&text[copied..at]);
            kept.push_str(&replaced);
            copied = at + length;
        }
        at += length;
    }
    if copied == 0 {
        return text.into();
    }
    kept.push_str(&text[copied..]);
    kept.into()
}

/// How long the escape at the beginning is, and what stands in its place if it cannot be kept.
fn escape(text: &str) -> (usize, Option<String>) {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    match unit(0) {
        Some(0xd800..=0xdbff) if matches!(unit(6), Some(0xdc00..=0xdfff)) => (12, None),
        Some(0 | 0xd800..=0xdfff) => (6, Some("\\ufffd".to_owned())),
        _ => (2, None),
    }
}

fn leading_number(text: &str) -> &str {
    let is_part = |it: char| it.is_ascii_digit() || matches!(it, '-' | '+' | '.' | 'e' | 'E');
    &text[..text.find(|it| !is_part(it)).unwrap_or(text.len())]
}

/// Whether what is read of a number is that number, and is when it is read again: as it is written here, and by `jsonb`, which
/// writes no exponent. Reading itself may miss by a last digit, of some with more than 15.
fn is_held(number: &str) -> bool {
    if number.len() <= SHORT && !number.contains(['e', 'E']) {
        return true;
    }
    let read = |it: &str| serde_json::from_str::<Number>(it).ok();
    let Some(once) = read(number) else { return false };
    let written = once.to_string();
    let is_same = Decimal::parse(number)
        .is_some_and(|it| Decimal::parse(&written).is_some_and(|written| written == it));
    let Some(double) = once.as_f64().filter(|_| once.is_f64()) else { return is_same };
    let is_again = |it: &str| read(it).and_then(|it| it.as_f64()) == Some(double);
    is_same && is_again(&written) && is_again(&double.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_what_was_written() {
        for (text, expected) in [
            ("12345678901234567890.12", json!("12345678901234567890.12")),
            ("100000000000000.235", json!("100000000000000.235")),
            ("123456789012345678901", json!("123456789012345678901")),
            ("-9223372036854775809", json!("-9223372036854775809")),
            ("1e400", json!("1e400")),
            ("-1E-400", json!("-1E-400")),
            ("0.1000000000000000055511151231257827", json!("0.1000000000000000055511151231257827")),
            ("18446744073709551615", json!(u64::MAX)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("1234567890123.25", json!(1_234_567_890_123.25)),
            ("19.990000000000000000000000", json!(19.99)),
            ("1e300", json!(1e300)),
            ("1.5E-7", json!(1.5e-7)),
            // Read as a double that is read as another when it is written.
            ("0.0340E26", json!("0.0340E26")),
            ("-0", json!(-0.0)),
        ] {
            assert_eq!(read(text), Some(expected.clone()), "{text}");
            assert_eq!(
                read(&format!("{{\"a\" :[ {text},{text}]}}")),
                Some(json!({ "a": [expected, expected] })),
                "{text}",
            );
        }
    }

    #[test]
    fn texts_keep_what_can_be_kept() {
        for (text, expected) in [
            (r"a\u0000b", "a\u{fffd}b"),
            (r"\\u0000", r"\u0000"),
            (r"\\\u0000", "\\\u{fffd}"),
            (r"\ud83d\ude00", "\u{1f600}"),
            (r"\ud83d", "\u{fffd}"),
            (r"\ude00\ud83d", "\u{fffd}\u{fffd}"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}"),
            (r"\ud83d\u0000", "\u{fffd}\u{fffd}"),
            (r"\uD83Dx\n\u0041", "\u{fffd}x\nA"),
            (r#"\"1e400\" 1e400"#, r#""1e400" 1e400"#),
        ] {
            let object = format!(r#"{{"{text}":"{text}"}}"#);
            assert_eq!(read(&object), Some(json!({ expected: expected })), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_none() {
        for text in [
            "",
            " ",
            "1e400 1",
            "{1e400:1}",
            "{\"a\":01e400}",
            "1e",
            "--1",
            "\"\\ud83",
            "[1e400",
            "\"\\x\"",
            "1e400\"",
            "\"a\nb\"",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read(&"[".repeat(100_000)), None);
        assert_eq!(read(&format!("{}{}", "[".repeat(1_000), "]".repeat(1_000))), None);
    }

    /// What stands in a text of JSON: as it is written, and as it is kept.
    fn piece() -> impl Strategy<Value = (String, String)> {
        let plain = "[a-z0-9 .\u{e9}\u{1f600}-]{1,4}".prop_map(|it| (it.clone(), it));
        let escaped = proptest::sample::select(vec![
            (r#"\""#, "\""),
            (r"\\", "\\"),
            (r"\u0041", "A"),
            (r"\u0000", "\u{fffd}"),
            // Between others, so that no two halves make a whole.
            (r"\ud83d-", "\u{fffd}-"),
            (r"-\uDE00", "-\u{fffd}"),
            (r"\uD83D\ude00", "\u{1f600}"),
        ]);
        prop_oneof![plain, escaped.prop_map(|(a, b)| (a.to_owned(), b.to_owned()))]
    }

    fn text() -> impl Strategy<Value = (String, String)> {
        proptest::collection::vec(piece(), 0..5).prop_map(|all| all.into_iter().unzip())
    }

    /// JSON, and what it holds with every number as its characters.
    fn written() -> impl Strategy<Value = (String, Value)> {
        let number = "-?(0|[1-9][0-9]{0,24})([.][0-9]{1,24})?([eE][+-]?[0-9]{1,3})?";
        let leaf = prop_oneof![
            number.prop_map(|it| (it.clone(), json!({ "number": it }))),
            text().prop_map(|(a, b)| (format!("\"{a}\""), b.into())),
            Just(("null".to_owned(), Value::Null)),
            Just(("true".to_owned(), true.into())),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            let list = proptest::collection::vec(inner.clone(), 0..4).prop_map(|all| {
                let (texts, values): (Vec<_>, Vec<_>) = all.into_iter().unzip();
                (format!("[ {}]", texts.join(" ,")), values.into())
            });
            let object = (text(), inner).prop_map(|(key, it)| {
                (format!("{{\"{}\":{} }}", key.0, it.0), json!([key.1, it.1]))
            });
            prop_oneof![list, object]
        })
    }

    /// Whether that is what was written: numbers as numbers where they are the same, else as their characters.
    fn is_same(read: &Value, written: &Value) -> bool {
        match (read, written) {
            (Value::Object(read), Value::Array(written)) => {
                let read = read.iter().next().expect("one");
                written[0].as_str() == Some(read.0) && is_same(read.1, &written[1])
            }
            (Value::Array(read), Value::Array(written)) => {
                read.len() == written.len()
                    && read.iter().zip(written).all(|(read, it)| is_same(read, it))
            }
            (_, Value::Object(written)) => {
                let text = written["number"].as_str().expect("a text");
                let double: f64 = text.parse().expect("a number");
                let is_held = |it: String| Decimal::parse(text) == Decimal::parse(&it);
                match read {
                    Value::Number(read) => is_held(read.to_string()),
                    // Of those that a double holds exactly only some with an exponent are read as another.
                    read => {
                        read == text
                            && (text.len() > SHORT
                                || !is_held(format!("{double:?}"))
                                || text.contains(['e', 'E']))
                    }
                }
            }
            (read, written) => read == written,
        }
    }

    proptest! {
        #[test]
        fn all_of_json_is_kept((text, expected) in written()) {
            let read = read(&text);
            prop_assert!(read.as_ref().is_some_and(|it| is_same(it, &expected)), "{text}: {read:?}");
        }

        #[test]
        fn what_can_be_kept_is_not_touched(numbers: Vec<(i64, u64, i32)>, of in "[^\\x00]{0,20}") {
            let numbers: Vec<_> = numbers.iter().map(|it| json!([it.0, it.1, f64::from(it.2) / 1000.0])).collect();
            let value = json!({ of.clone(): numbers, "b": [of] });
            let text = value.to_string();
            prop_assert_eq!(&kept(&text), &text);
            prop_assert_eq!(read(&text), Some(value));
        }

        #[test]
        fn what_was_read_is_read_again((text, _) in written()) {
            let once = read(&text).expect("read");
            prop_assert_eq!(read(&once.to_string()), Some(once));
        }

        #[test]
        fn nothing_panics(bytes: Vec<u8>, near in "[\\[\\]{}\":,\\\\ud80c0-9eE+. \u{e9}-]{0,40}") {
            let lossy = String::from_utf8_lossy(&bytes);
            for text in [&*lossy, &near, &format!("\"{near}\""), &format!("\"{lossy}\"")] {
                let _ = kept(text);
                let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
                prop_assert_eq!(read(text).is_some(), is_json, "{}", text);
            }
        }
    }
}
