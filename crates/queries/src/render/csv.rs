use super::kind::{UserTypes, ValueKind};
use super::number::is_json_number;
use super::text::utf8;
use crate::{RawRow, ResultColumn};

/// Writes rows as CSV: RFC 4180, with a header, lines ending in CR LF, in UTF-8.
///
/// Null is nothing at all and empty text is `""`, so that the two stay apart. Values are as the server prints them,
/// `boolean` is `true` and `false`.
///
/// A spreadsheet takes what begins with `=`, `+`, `-`, `@`, a tab or a line break for a formula and runs it. Such a value
/// gets a `'` before it, by which spreadsheets know text; numbers stay numbers.
#[derive(Clone, Debug)]
pub struct CsvRows {
    names: Vec<String>,
    kinds: Vec<ValueKind>,
    replaced: bool,
}

impl CsvRows {
    /// A writer for rows of these columns.
    pub fn new(columns: &[ResultColumn], types: &UserTypes) -> Self {
        Self {
            names: columns.iter().map(|it| it.name.clone()).collect(),
            kinds: columns.iter().map(|it| ValueKind::of(it.type_oid, types)).collect(),
            replaced: false,
        }
    }

    /// Appends the line of the columns' names.
    pub fn write_header(&self, out: &mut Vec<u8>) {
        for (at, name) in self.names.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            write_field(name, is_formula(name), out);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Appends a row.
    pub fn write(&mut self, row: &RawRow, out: &mut Vec<u8>) {
        for (at, value) in row.values().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            let Some(value) = value else { continue };
            let text = utf8(value);
            self.replaced |= matches!(text, std::borrow::Cow::Owned(_));
            match (self.kinds.get(at), text.as_ref()) {
                (Some(ValueKind::Boolean), "t") => out.extend_from_slice(b"true"),
                (Some(ValueKind::Boolean), "f") => out.extend_from_slice(b"false"),
                (Some(kind), text) if kind.is_number() => {
                    write_field(text, !is_amount(text) && is_formula(text), out);
                }
                (_, text) => write_field(text, is_formula(text), out),
            }
        }
        // One column that is null would be an empty line, which readers skip.
        if self.names.len() == 1 && row.values().next() == Some(None) {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(b"\r\n");
    }

    /// As [`JsonRows::replaced_text`](super::JsonRows::replaced_text).
    pub fn replaced_text(&self) -> bool {
        self.replaced
    }
}

/// Whether a spreadsheet would compute it.
pub(super) fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n'])
        && !is_json_number(text.strip_prefix('+').unwrap_or(text).as_bytes())
}

/// Whether it is a number or an amount of money: nothing after the sign that could be an operator or a name.
fn is_amount(text: &str) -> bool {
    let magnitude = text.strip_prefix('-').unwrap_or(text);
    let harmless = |it: char| {
        !it.is_ascii() || it.is_ascii_digit() || matches!(it, '.' | ',' | '$' | ' ' | '\'')
    };
    is_json_number(text.as_bytes()) || magnitude == "Infinity" || magnitude.chars().all(harmless)
}

fn write_field(text: &str, neutralize: bool, out: &mut Vec<u8>) {
    let special = |it: &u8| matches!(it, b'"' | b',' | b'\r' | b'\n');
    let edge = |it: &u8| it.is_ascii_whitespace();
    let bytes = text.as_bytes();
    let quoted = bytes.is_empty()
        || bytes.iter().any(special)
        || bytes.first().is_some_and(edge)
        || bytes.last().is_some_and(edge);
    if quoted {
        out.push(b'"');
    }
    if neutralize {
        out.push(b'\'');
    }
    for (at, part) in bytes.split(|it| *it == b'"').enumerate() {
        if at > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(part);
    }
    if quoted {
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::row;
    use super::*;

    fn column(type_oid: u32) -> ResultColumn {
        ResultColumn { name: "it".into(), type_oid, type_modifier: -1 }
    }

    fn line(type_oid: u32, text: Option<&str>) -> String {
        let mut out = Vec::new();
        let mut rows = CsvRows::new(&[column(type_oid)], &UserTypes::default());
        rows.write(&row(&[text.map(str::as_bytes)]), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn formulas_become_text_and_numbers_stay_numbers() {
        for (type_oid, text, expected) in [
            (25, "=1+1", "'=1+1\r\n"),
            (25, "=HYPERLINK(\"x\",1)", "\"'=HYPERLINK(\"\"x\"\",1)\"\r\n"),
            (25, "@SUM(1)", "'@SUM(1)\r\n"),
            (25, "\t=1", "\"'\t=1\"\r\n"),
            (25, "-1+cmd|' /C calc'!A0", "'-1+cmd|' /C calc'!A0\r\n"),
            (25, "+4930123456", "+4930123456\r\n"),
            (25, "-12.5", "-12.5\r\n"),
            (1700, "-12.50", "-12.50\r\n"),
            (701, "-1e-07", "-1e-07\r\n"),
            (701, "-Infinity", "-Infinity\r\n"),
            (790, "-$1,000.00", "\"-$1,000.00\"\r\n"),
            (1186, "-1 days", "'-1 days\r\n"),
            (25, "a=b", "a=b\r\n"),
            (16, "t", "true\r\n"),
        ] {
            assert_eq!(line(type_oid, Some(text)), expected);
        }
    }

    #[test]
    fn null_and_empty_text_stay_apart() {
        let mut out = Vec::new();
        let mut rows = CsvRows::new(&[column(25), column(25)], &UserTypes::default());
        rows.write_header(&mut out);
        rows.write(&row(&[None, Some(b"")]), &mut out);
        assert_eq!(out, b"it,it\r\n,\"\"\r\n");
    }

    /// A reader of RFC 4180.
    fn read(mut text: &str) -> Vec<String> {
        let mut fields = Vec::new();
        loop {
            let mut field = String::new();
            if let Some(quoted) = text.strip_prefix('"') {
                text = quoted;
                loop {
                    let (part, rest) = text.split_once('"').unwrap();
                    field.push_str(part);
                    text = rest;
                    let Some(rest) = text.strip_prefix('"') else { break };
                    field.push('"');
                    text = rest;
                }
            } else {
                let end = text.find([',', '\r']).unwrap();
                field.push_str(&text[..end]);
                text = &text[end..];
            }
            fields.push(field);
            match text.strip_prefix(',') {
                Some(rest) => text = rest,
                None => break,
            }
        }
        assert_eq!(text, "\r\n");
        fields
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_with_formulas_as_text(
            values in prop::collection::vec("[a1=+@,\"\r\n\t -]{0,6}|\\PC{0,4}", 1..4),
        ) {
            let columns = vec![column(25); values.len()];
            let bytes: Vec<_> = values.iter().map(|it| Some(it.as_bytes())).collect();
            let mut out = Vec::new();
            CsvRows::new(&columns, &UserTypes::default()).write(&row(&bytes), &mut out);
            for (value, read) in values.iter().zip(read(std::str::from_utf8(&out).unwrap())) {
                prop_assert!(!is_formula(&read));
                prop_assert_eq!(value, read.strip_prefix('\'').filter(|_| is_formula(value)).unwrap_or(&read));
            }
        }
    }
}
