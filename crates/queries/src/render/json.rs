use std::collections::{HashMap, HashSet};

use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::array::{Part, parse};
use super::kind::{UserTypes, ValueKind};
use super::number::{
    is_exact_decimal, is_exact_integer, is_json_number, is_read_right, read_number,
};
use super::text::{utf8, write_string, write_timestamp};
use crate::{RawRow, ResultColumn};

/// Writes rows as JSON.
///
/// ```
/// # use plinth_queries::{JsonRows, RawRow, ResultColumn, UserTypes};
/// let column = ResultColumn { name: "count".into(), type_oid: 20, type_modifier: -1 };
/// let mut rows = JsonRows::new(&[column], &UserTypes::default());
/// let row = RawRow::new(bytes::Bytes::from_static(b"\0\x01\0\0\0\x03142")).expect("one value of three bytes");
/// let mut out = Vec::new();
/// rows.write_array(&row, &mut out);
/// assert_eq!(out, b"[142]");
/// ```
#[derive(Clone, Debug)]
pub struct JsonRows {
    kinds: Vec<ValueKind>,
    /// `"name":` of each column, each name once.
    keys: Vec<Vec<u8>>,
    scratch: Vec<u8>,
    replaced: bool,
}

impl JsonRows {
    /// A writer for rows of these columns.
    pub fn new(columns: &[ResultColumn], types: &UserTypes) -> Self {
        Self {
            kinds: columns.iter().map(|it| ValueKind::of(it.type_oid, types)).collect(),
            keys: distinct_names(columns)
                .iter()
                .map(|name| {
                    let mut key = Vec::with_capacity(name.len() + 3);
                    write_string(name.as_bytes(), &mut key);
                    key.push(b':');
                    key
                })
                .collect(),
            scratch: Vec::new(),
            replaced: false,
        }
    }

    /// Appends a row as an array: `[1,"a",null]`, without a line break anywhere in it.
    pub fn write_array(&mut self, row: &RawRow, out: &mut Vec<u8>) {
        out.push(b'[');
        for (at, value) in row.values().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            self.write_value(at, value, out);
        }
        out.push(b']');
    }

    /// Appends a row as an object: `{"id":1,"name":"a"}`, without a line break anywhere in it.
    ///
    /// Of columns of the same name the second is called `name_2`, and so on, so that no value is lost.
    pub fn write_object(&mut self, row: &RawRow, out: &mut Vec<u8>) {
        out.push(b'{');
        for (at, value) in row.values().enumerate().take(self.keys.len()) {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&self.keys[at]);
            self.write_value(at, value, out);
        }
        out.push(b'}');
    }

    /// A row as values, where one is looked at rather than passed on.
    ///
    /// JSON of the database that is nested too deep to be held, or has a number that would be another one afterwards, comes as
    /// its text.
    pub fn values(&mut self, row: &RawRow) -> Vec<Value> {
        let mut json = Vec::new();
        row.values()
            .enumerate()
            .map(|(at, value)| {
                json.clear();
                self.write_value(at, value, &mut json);
                let read = if numbers(&json).all(is_read_right) {
                    serde_json::from_slice(&json).ok()
                } else {
                    std::str::from_utf8(&json).ok().and_then(|it| read(it, LEVELS))
                };
                read.unwrap_or_else(|| Value::String(utf8(value.unwrap_or_default()).into_owned()))
            })
            .collect()
    }

    /// Whether text that was not UTF-8 has been written with U+FFFD in place of what could not be read: a database in
    /// `SQL_ASCII` lets anything in.
    pub fn replaced_text(&self) -> bool {
        self.replaced
    }

    fn write_value(&mut self, at: usize, value: Option<&[u8]>, out: &mut Vec<u8>) {
        let Some(value) = value else {
            out.extend_from_slice(b"null");
            return;
        };
        let whole = match self.kinds.get(at).copied().unwrap_or(ValueKind::Text) {
            ValueKind::Array { element, delimiter } => {
                write_array(value, element.into(), delimiter, &mut self.scratch, out)
            }
            ValueKind::Unknown if value.starts_with(b"{") => {
                write_array(value, ValueKind::Text, b',', &mut self.scratch, out)
            }
            kind => write_scalar(kind, value, out),
        };
        self.replaced |= !whole;
    }
}

/// How deep JSON may be nested of which each number is read by itself: every level is gone through once more.
const LEVELS: usize = 16;

/// The same as the reader of JSON reads, where that one takes a double for its neighbour; `None` if a number would be another one.
fn read(json: &str, levels: usize) -> Option<Value> {
    let (json, below) = (json.trim(), levels.checked_sub(1)?);
    match json.as_bytes().first()? {
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            items.into_iter().map(|it| read(it.get(), below)).collect()
        }
        b'{' => {
            let fields: HashMap<String, &RawValue> = serde_json::from_str(json).ok()?;
            let field = |(name, it): (_, &RawValue)| Some((name, read(it.get(), below)?));
            fields.into_iter().map(field).collect::<Option<Map<_, _>>>().map(Value::Object)
        }
        b'-' | b'0'..=b'9' => read_number(json).map(Value::Number),
        _ => serde_json::from_str(json).ok(),
    }
}

/// The numbers in JSON, as they stand there.
fn numbers(json: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = json;
    std::iter::from_fn(move || {
        loop {
            let at = rest.iter().position(|it| matches!(it, b'"' | b'-' | b'0'..=b'9'))?;
            rest = &rest[at..];
            if rest[0] == b'"' {
                let (mut end, mut is_escaped) = (1, false);
                while is_escaped || *rest.get(end)? != b'"' {
                    is_escaped = !is_escaped && rest[end] == b'\\';
                    end += 1;
                }
                rest = &rest[end + 1..];
            } else {
                let is_part =
                    |it: &u8| matches!(it, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
                let end = rest.iter().position(|it| !is_part(it)).unwrap_or(rest.len());
                let (number, after) = rest.split_at(end);
                rest = after;
                return Some(number);
            }
        }
    })
}

/// Each column's name, later ones of the same name with a number after it.
pub(super) fn distinct_names(columns: &[ResultColumn]) -> Vec<String> {
    let mut taken: HashSet<String> = HashSet::new();
    let given: HashSet<&str> = columns.iter().map(|it| it.name.as_str()).collect();
    columns
        .iter()
        .map(|it| {
            let free = |name: &String| !taken.contains(name) && !given.contains(name.as_str());
            let name = if taken.contains(&it.name) {
                (2..=u32::MAX)
                    .map(|number| format!("{}_{number}", it.name))
                    .find(free)
                    .expect("numbers do not end")
            } else {
                it.name.clone()
            };
            taken.insert(name.clone());
            name
        })
        .collect()
}

/// Writes a value that is no array. `false` if text was replaced.
fn write_scalar(kind: ValueKind, value: &[u8], out: &mut Vec<u8>) -> bool {
    let plain = match kind {
        ValueKind::Integer => is_exact_integer(value),
        ValueKind::Numeric => is_exact_decimal(value),
        ValueKind::Float => is_json_number(value),
        ValueKind::Boolean => {
            let word: &[u8] = match value {
                b"t" => b"true",
                b"f" => b"false",
                _ => return write_string(value, out),
            };
            out.extend_from_slice(word);
            return true;
        }
        ValueKind::Timestamp => return write_timestamp(value, out),
        ValueKind::Json => return write_json(value, out),
        ValueKind::Money | ValueKind::Text | ValueKind::Array { .. } | ValueKind::Unknown => false,
    };
    if plain {
        out.extend_from_slice(value);
        true
    } else {
        write_string(value, out)
    }
}

/// Embeds JSON of the database. Numbers in it stay as they are, however large.
///
/// Its `json` type keeps line breaks between tokens, which would end a line of NDJSON: they become blanks.
fn write_json(value: &[u8], out: &mut Vec<u8>) -> bool {
    let text = utf8(value);
    if serde_json::from_str::<IgnoredAny>(&text).is_err() {
        return write_string(value, out);
    }
    let start = out.len();
    out.extend_from_slice(text.as_bytes());
    for byte in &mut out[start..] {
        // Inside of a string they are not allowed as they are, so these stand between tokens.
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    matches!(text, std::borrow::Cow::Borrowed(_))
}

/// Writes an array literal as a JSON array; as a string if it is none.
fn write_array(
    value: &[u8],
    element: ValueKind,
    delimiter: u8,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> bool {
    let start = out.len();
    let mut whole = true;
    let read = parse(value, delimiter, scratch, |part| match part {
        Part::Open(preceded) => out.extend_from_slice(if preceded { b",[" } else { b"[" }),
        Part::Close => out.push(b']'),
        Part::Element(value, preceded) => {
            if preceded {
                out.push(b',');
            }
            match value {
                Some(value) => whole &= write_scalar(element, value, out),
                None => out.extend_from_slice(b"null"),
            }
        }
    });
    if read.is_none() {
        out.truncate(start);
        return write_string(value, out);
    }
    whole
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::kind::Shape;
    use super::super::testing::row;
    use super::*;

    fn column(type_oid: u32) -> ResultColumn {
        ResultColumn { name: "it".into(), type_oid, type_modifier: -1 }
    }

    fn written(type_oid: u32, text: &str) -> String {
        let mut out = Vec::new();
        JsonRows::new(&[column(type_oid)], &UserTypes::default())
            .write_array(&row(&[Some(text.as_bytes())]), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_what_their_type_says() {
        for (type_oid, text, expected) in [
            (23, "-42", "[-42]"),
            (20, "9223372036854775807", r#"["9223372036854775807"]"#),
            (701, "1e+20", "[1e+20]"),
            (701, "NaN", r#"["NaN"]"#),
            (701, "-Infinity", r#"["-Infinity"]"#),
            (1700, "12.50", "[12.50]"),
            (1700, "33.3333333333333333", r#"["33.3333333333333333"]"#),
            (1700, "NaN", r#"["NaN"]"#),
            (16, "t", "[true]"),
            (16, "f", "[false]"),
            (25, "a\"b\n", r#"["a\"b\n"]"#),
            (114, "{\"a\":\n 1e400, \"a\": [null]}", r#"[{"a":  1e400, "a": [null]}]"#),
            (3802, "\"x\"", r#"["x"]"#),
            (1184, "2026-01-02 03:04:05.123456+00", r#"["2026-01-02T03:04:05.123456+00:00"]"#),
            (1082, "2026-01-02", r#"["2026-01-02"]"#),
            (1186, "1 day 02:03:04", r#"["1 day 02:03:04"]"#),
            (17, "\\x00ff", r#"["\\x00ff"]"#),
            (790, "-$5.00", r#"["-$5.00"]"#),
            (3904, "[1,5)", r#"["[1,5)"]"#),
            (2249, "(1,\"a b\")", r#"["(1,\"a b\")"]"#),
            (1007, "{1,NULL,3}", "[[1,null,3]]"),
            (1007, "{{1,2},{3,NULL}}", "[[[1,2],[3,null]]]"),
            (1007, "[2:3]={1,2}", "[[1,2]]"),
            (1016, "{9007199254740993}", r#"[["9007199254740993"]]"#),
            (1020, "{(3,4),(1,2);(7,8),(5,6)}", r#"[["(3,4),(1,2)","(7,8),(5,6)"]]"#),
            (
                1185,
                "{\"2026-11-20 16:31:02.913807+00\"}",
                r#"[["2026-11-20T16:31:02.913807+00:00"]]"#,
            ),
            (3807, r#"{"{\"a\": [1]}"}"#, r#"[[{"a": [1]}]]"#),
            (1009, "not an array", r#"["not an array"]"#),
            (20_000, "{new,\"label two\"}", r#"[["new","label two"]]"#),
            (20_000, "new", r#"["new"]"#),
        ] {
            assert_eq!(written(type_oid, text), expected, "{type_oid} {text}");
        }
    }

    #[test]
    fn text_of_a_known_type_that_begins_like_an_array_is_text() {
        let mut types = UserTypes::default();
        types.insert(20_000, Shape::Scalar, None, "set");
        let mut rows = JsonRows::new(&[column(20_000)], &types);
        assert_eq!(rows.values(&row(&[Some(b"{1}")])), [json!("{1}")]);
    }

    #[test]
    fn columns_of_the_same_name_keep_their_values_in_an_object() {
        let names =
            ["a", "a", "a_2", "a"].map(|name| ResultColumn { name: name.into(), ..column(23) });
        let mut out = Vec::new();
        let values = row(&[Some(b"1"), Some(b"2"), Some(b"3"), None]);
        JsonRows::new(&names, &UserTypes::default()).write_object(&values, &mut out);
        assert_eq!(out, br#"{"a":1,"a_3":2,"a_2":3,"a_4":null}"#);
    }

    #[test]
    fn replaced_text_is_reported() {
        let mut rows = JsonRows::new(&[column(25)], &UserTypes::default());
        assert_eq!(rows.values(&row(&[Some("é".as_bytes())])), [json!("é")]);
        assert!(!rows.replaced_text());
        assert_eq!(rows.values(&row(&[Some(b"\xe9")])), [json!("\u{fffd}")]);
        assert!(rows.replaced_text());
    }

    #[test]
    fn json_that_cannot_be_held_comes_as_text() {
        let deep = "[".repeat(1_000) + &"]".repeat(1_000);
        let mut rows = JsonRows::new(&[column(3802)], &UserTypes::default());
        assert_eq!(rows.values(&row(&[Some(deep.as_bytes())])), [json!(deep)]);
        let mut out = Vec::new();
        rows.write_array(&row(&[Some(deep.as_bytes())]), &mut out);
        assert_eq!(out, format!("[{deep}]").as_bytes());
    }

    #[test]
    fn json_whose_numbers_would_be_others_comes_as_text() {
        let mut rows = JsonRows::new(&[column(114)], &UserTypes::default());
        let mut one = |text: &str| rows.values(&row(&[Some(text.as_bytes())])).remove(0);
        for text in [
            r#"{"id": 12345678901234567890123}"#,
            "[0.12345678901234567890, 1]",
            "100000000000000000000001",
            "1e-400",
            "1e400",
            r#"{"a\\": -123456789.123456789123}"#,
        ] {
            assert_eq!(one(text), json!(text));
        }
        for text in [
            r#"{"id": 1234567890123456789, "of": 18446744073709551615, "by": -9223372036854775808}"#,
            "[0.1, 12.50, 1E5, -0, 1e300, 0.0]",
            r#"{"12345678901234567890123": "0.12345678901234567890\" 1e400"}"#,
            "true",
        ] {
            assert_eq!(one(text), serde_json::from_str::<Value>(text).unwrap());
        }
        let mut many = JsonRows::new(&[column(3807)], &UserTypes::default());
        let text = "{1,12345678901234567890123}";
        assert_eq!(many.values(&row(&[Some(text.as_bytes())])), [json!(text)]);
    }

    #[test]
    fn a_double_is_the_one_that_was_sent() {
        let all =
            ["0.30000000000000004", "52.520006599999995", "-1.7976931348623157e+308", "5e-324"];
        let mut one = JsonRows::new(&[column(701)], &UserTypes::default());
        let mut many = JsonRows::new(&[column(1022)], &UserTypes::default());
        let mut json = JsonRows::new(&[column(3802)], &UserTypes::default());
        for text in all {
            let double = json!(text.parse::<f64>().unwrap());
            assert_eq!(one.values(&row(&[Some(text.as_bytes())])), [double.clone()]);
            let array = format!("{{{text},NULL}}");
            assert_eq!(many.values(&row(&[Some(array.as_bytes())])), [json!([double, null])]);
            let object = format!("{{\"at\": [{text} , \"{text}\"]}}");
            let expected = json!({ "at": [double, text] });
            assert_eq!(json.values(&row(&[Some(object.as_bytes())])), [expected]);
        }
    }

    fn any_type() -> impl Strategy<Value = u32> {
        prop::sample::select(vec![
            16, 20, 25, 114, 700, 1082, 1184, 1700, 3802, 790, 199, 1000, 1009, 1016, 1020, 1185,
            1231, 3807, 20_000,
        ])
    }

    fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            any::<Vec<u8>>(),
            "[-+0-9.eE{}\\[\\],;\":tfn\\\\ \nNULul=]{0,24}".prop_map(String::into_bytes),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn whatever_comes_becomes_valid_json_on_one_line(
            values in prop::collection::vec((any_type(), prop::option::of(any_bytes())), 0..4),
        ) {
            let columns: Vec<_> = values.iter().map(|it| column(it.0)).collect();
            let bytes: Vec<_> = values.iter().map(|it| it.1.as_deref()).collect();
            let mut rows = JsonRows::new(&columns, &UserTypes::default());
            let mut out = Vec::new();
            rows.write_array(&row(&bytes), &mut out);
            prop_assert!(serde_json::from_slice::<Vec<IgnoredAny>>(&out).is_ok_and(|it| it.len() == values.len()));
            prop_assert!(std::str::from_utf8(&out).is_ok() && !out.contains(&b'\n'));
            out.clear();
            rows.write_object(&row(&bytes), &mut out);
            prop_assert!(serde_json::from_slice::<IgnoredAny>(&out).is_ok());
            prop_assert_eq!(rows.values(&row(&bytes)).len(), values.len());
        }
    }
}
