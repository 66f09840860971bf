use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::decimal::Decimal;
use crate::places::padded;

/// What a step found: all of it, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepResult {
    /// The columns' names, each once.
    pub columns: Vec<String>,
    /// The rows: numbers where a double holds them exactly, else texts.
    pub rows: Vec<Vec<Value>>,
    /// With how many decimal places each column's numbers are written, where they all came with as many; empty if that is so
    /// of none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decimals: Vec<Option<u16>>,
    /// Where the columns of numbers stand of which some are texts, because no double holds them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub long_numbers: Vec<usize>,
}

impl StepResult {
    /// How many rows there are.
    pub fn row_count(&self) -> u64 {
        self.rows.len() as u64
    }

    /// Where a column stands.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|it| it == name)
    }

    /// The value of a column in the first row; `None` if there is no such column or no row.
    pub fn first(&self, name: &str) -> Option<&Value> {
        self.rows.first()?.get(self.column(name)?)
    }

    /// One row with its columns' names.
    pub fn object(&self, row: &[Value]) -> Map<String, Value> {
        self.columns.iter().cloned().zip(row.iter().cloned()).collect()
    }

    /// The rows with their columns' names.
    pub fn objects(&self) -> Vec<Value> {
        self.rows.iter().map(|row| Value::Object(self.object(row))).collect()
    }

    /// The values of one row as people read them.
    pub fn texts<'a>(&'a self, row: &'a [Value]) -> impl Iterator<Item = String> + 'a {
        texts(&self.decimals, row)
    }

    /// The result as RFC 4180 CSV. A text that a spreadsheet would take for a formula gets an apostrophe before it.
    pub fn csv(&self) -> String {
        let mut out = String::new();
        let mut line = |cells: &mut dyn Iterator<Item = String>| {
            let cells: Vec<String> = cells.map(|it| csv_cell(&it)).collect();
            out.push_str(&cells.join(","));
            out.push_str("\r\n");
        };
        line(&mut self.columns.iter().cloned());
        for row in &self.rows {
            line(&mut self.texts(row));
        }
        out
    }
}

fn csv_cell(text: &str) -> String {
    // A number is no formula, also with a sign before it: one that no double holds comes as its text.
    let is_number = || text.starts_with('-') && Decimal::parse(text).is_some();
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_number();
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\n', '\r']) || formula {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

/// What later runs look back at: how many rows a result had, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Glance {
    /// The columns' names.
    pub columns: Vec<String>,
    /// The first row; `None` where there was none.
    pub first: Option<Vec<Value>>,
    /// How many rows there were.
    pub row_count: u64,
    /// With how many decimal places each column's numbers are written, as of the result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decimals: Vec<Option<u16>>,
}

impl Glance {
    /// The value of a column in the first row; `None` if there is no such column or no row.
    pub fn first(&self, name: &str) -> Option<&Value> {
        self.first.as_ref()?.get(self.columns.iter().position(|it| it == name)?)
    }

    /// The values of the first row as people read them.
    pub fn texts(&self) -> impl Iterator<Item = String> + '_ {
        texts(&self.decimals, self.first.as_deref().unwrap_or_default())
    }
}

impl From<&StepResult> for Glance {
    fn from(it: &StepResult) -> Self {
        Self {
            columns: it.columns.clone(),
            first: it.rows.first().cloned(),
            row_count: it.row_count(),
            decimals: it.decimals.clone(),
        }
    }
}

/// How deep a value of a result may be nested. What is kept is read again three levels deeper, and beyond 127 nothing is read.
const DEEPEST: usize = 120;

/// A value as it can be stored and read again: a NUL, which Postgres keeps in no text, is U+FFFD, and JSON that is nested too
/// deep is its text.
pub(crate) fn storable(mut value: Value) -> Value {
    if clean(&mut value, DEEPEST) { value } else { Value::String(value.to_string()) }
}

/// Takes NULs out of a value; `false` if it is nested deeper than that.
fn clean(value: &mut Value, deepest: usize) -> bool {
    let replaced = |text: &str| text.replace('\0', "\u{fffd}");
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => {
            if text.contains('\0') {
                *text = replaced(text);
            }
            true
        }
        // All of them, also where one is too deep: the text is made of what is clean.
        Value::Array(all) => all
            .iter_mut()
            .fold(deepest > 0, |fits, it| clean(it, deepest.saturating_sub(1)) && fits),
        Value::Object(all) => {
            if all.keys().any(|it| it.contains('\0')) {
                *all = std::mem::take(all).into_iter().map(|it| (replaced(&it.0), it.1)).collect();
            }
            all.values_mut()
                .fold(deepest > 0, |fits, it| clean(it, deepest.saturating_sub(1)) && fits)
        }
    }
}

fn texts<'a>(decimals: &'a [Option<u16>], row: &'a [Value]) -> impl Iterator<Item = String> + 'a {
    let places = decimals.iter().copied().chain(std::iter::repeat(None));
    row.iter().zip(places).map(|(value, places)| match (value, places) {
        (Value::Number(number), Some(places)) => padded(number, places),
        (value, _) => text_of(value),
    })
}

/// A value as people read it: a text as it is, null as nothing.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_kept_can_be_stored_and_read_again() {
        for depth in [1, 119, 120, 121, 124, 125, 127] {
            let text = format!("{}7{}", "[{\"a\":".repeat(depth / 2), "}]".repeat(depth / 2));
            let text = if depth % 2 == 0 { text } else { format!("[{text}]") };
            let value = storable(serde_json::from_str(&text).expect("it can be held"));
            assert_eq!(value.is_string(), depth > DEEPEST, "{depth}");
            assert!(!value.is_string() || value == text);
            let result = StepResult {
                columns: vec!["it".to_owned()],
                rows: vec![vec![value]],
                ..StepResult::default()
            };
            let stored = serde_json::to_vec(&result).expect("it can be written");
            assert_eq!(serde_json::from_slice::<StepResult>(&stored).expect("read again"), result);
            let glance = Glance::from(&result);
            let stored = serde_json::to_vec(&glance).expect("it can be written");
            assert_eq!(serde_json::from_slice::<Glance>(&stored).expect("read again"), glance);
        }
        let value = storable(json!({ "a\0": ["x\0y", { "b": "\\u0000" }], "c": "\0" }));
        let clean = json!({ "a\u{fffd}": ["x\u{fffd}y", { "b": "\\u0000" }], "c": "\u{fffd}" });
        assert_eq!(value, clean);
        let deep = (0..=DEEPEST).fold(json!("\0"), |it, _| json!([it]));
        let Value::String(text) = storable(deep) else { panic!("it is its text") };
        assert!(text.contains("[\"\u{fffd}\"]") && !text.contains("u0000"), "{text}");
    }

    #[test]
    fn a_spreadsheet_gets_texts_and_no_formulas() {
        let result = StepResult {
            columns: vec!["name".to_owned(), "total".to_owned()],
            rows: vec![
                vec![json!("=HYPERLINK(\"x\")"), json!(-3)],
                vec![json!("a, \"b\""), json!(null)],
            ],
            ..StepResult::default()
        };
        let expected = "name,total\r\n\"'=HYPERLINK(\"\"x\"\")\",-3\r\n\"a, \"\"b\"\"\",\r\n";
        assert_eq!(result.csv(), expected);
        let priced = StepResult {
            columns: vec!["item".to_owned(), "price".to_owned()],
            rows: vec![
                vec![json!(1), json!(19.9)],
                vec![json!(2), json!(-20)],
                vec![json!(3), json!(null)],
            ],
            decimals: vec![None, Some(2)],
            ..StepResult::default()
        };
        assert_eq!(priced.csv(), "item,price\r\n1,19.90\r\n2,-20.00\r\n3,\r\n");
        for number in ["-33.3333333333333333", "-9007199254740993", "-1e-7"] {
            assert_eq!(csv_cell(number), number);
        }
        for text in ["-", "-1-1", "-1.2.3", "-1+cmd|' /C calc'!A0", "+1", "--1"] {
            assert_eq!(csv_cell(text), format!("\"'{text}\""));
        }
    }
}
