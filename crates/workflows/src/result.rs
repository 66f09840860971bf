use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a step found: all of it, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepResult {
    /// The columns' names, each once.
    pub columns: Vec<String>,
    /// The rows: numbers where a double holds them exactly, else texts.
    pub rows: Vec<Vec<Value>>,
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
            line(&mut row.iter().map(|it| match it {
                // A number of the database's own is no formula, also with a sign before it.
                Value::Number(it) => format!("\u{0}{it}"),
                other => text_of(other),
            }));
        }
        out
    }
}

fn csv_cell(text: &str) -> String {
    if let Some(number) = text.strip_prefix('\u{0}') {
        return number.to_owned();
    }
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
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
}

impl Glance {
    /// The value of a column in the first row; `None` if there is no such column or no row.
    pub fn first(&self, name: &str) -> Option<&Value> {
        self.first.as_ref()?.get(self.columns.iter().position(|it| it == name)?)
    }
}

impl From<&StepResult> for Glance {
    fn from(it: &StepResult) -> Self {
        Self {
            columns: it.columns.clone(),
            first: it.rows.first().cloned(),
            row_count: it.row_count(),
        }
    }
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
    fn a_spreadsheet_gets_texts_and_no_formulas() {
        let result = StepResult {
            columns: vec!["name".to_owned(), "total".to_owned()],
            rows: vec![
                vec![json!("=HYPERLINK(\"x\")"), json!(-3)],
                vec![json!("a, \"b\""), json!(null)],
            ],
        };
        let expected = "name,total\r\n\"'=HYPERLINK(\"\"x\"\")\",-3\r\n\"a, \"\"b\"\"\",\r\n";
        assert_eq!(result.csv(), expected);
    }
}
