//! A chart for a result: a Vega-Lite specification made from the columns' types and the shape of the rows.

use plinth_queries::{ResultColumn, UserTypes, ValueKind};
use serde_json::{Map, Value, json};

/// Points that a chart is drawn from at most; more would be a smear, and a large answer twice.
const MAX_POINTS: usize = 2_000;

/// The oid of `date` (`pg_type.dat`); its text is its value, so it has no kind of its own.
const DATE: u32 = 1082;

/// What a column can be on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Time,
    Number,
    Name,
}

/// Collects rows and then says how to draw them.
pub(super) struct ChartMaker {
    columns: Vec<(String, Role)>,
    rows: Vec<Vec<Value>>,
    more: bool,
}

impl ChartMaker {
    pub(super) fn new(columns: &[ResultColumn], types: &UserTypes) -> Self {
        let role = |it: &ResultColumn| match ValueKind::of(it.type_oid, types) {
            _ if it.type_oid == DATE => Role::Time,
            ValueKind::Timestamp => Role::Time,
            kind if kind.is_number() => Role::Number,
            _ => Role::Name,
        };
        let columns = columns.iter().map(|it| (it.name.clone(), role(it))).collect();
        Self { columns, rows: Vec::new(), more: false }
    }

    pub(super) fn add(&mut self, row: Vec<Value>) {
        if self.rows.len() < MAX_POINTS {
            self.rows.push(row);
        } else {
            self.more = true;
        }
    }

    /// The specification; null when there is nothing to draw: no rows, or no number among the columns.
    pub(super) fn finish(self) -> Value {
        let first = |role| self.columns.iter().position(|it| it.1 == role);
        let Some(measure) = self.measure() else { return Value::Null };
        if self.rows.is_empty() {
            return Value::Null;
        }
        let (mark, x) = if let Some(time) = first(Role::Time) {
            ("line", Some((time, "temporal")))
        } else if let Some(name) = first(Role::Name) {
            ("bar", Some((name, "nominal")))
        } else if let Some(other) =
            self.columns.iter().position(|it| it.1 == Role::Number).filter(|it| *it != measure)
        {
            ("point", Some((other, "quantitative")))
        } else {
            ("text", None)
        };
        let mut encoding = Map::new();
        if let Some((at, kind)) = x {
            // The order of the rows is part of the answer: "top five" stays in order of size.
            encoding.insert("x".to_owned(), json!({ "field": field(at), "type": kind, "title": self.columns[at].0, "sort": null }));
            let value = json!({ "field": field(measure), "type": "quantitative", "title": self.columns[measure].0 });
            encoding.insert("y".to_owned(), value);
            let second =
                (0..self.columns.len()).find(|it| self.columns[*it].1 == Role::Name && *it != at);
            if let Some(at) = second {
                encoding.insert(
                    "color".to_owned(),
                    json!({ "field": field(at), "type": "nominal", "title": self.columns[at].0 }),
                );
            }
        } else {
            encoding.insert(
                "text".to_owned(),
                json!({ "field": field(measure), "type": "quantitative" }),
            );
        }
        let values: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                row.iter()
                    .enumerate()
                    .map(|(at, value)| (field(at), number(value, self.columns[at].1)))
                    .collect::<Map<_, _>>()
                    .into()
            })
            .collect();
        json!({
            "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
            "description": if self.more { "The first 2000 rows." } else { "" },
            "data": { "values": values },
            "mark": mark,
            "encoding": encoding,
        })
    }

    /// The last number among the columns: questions put the measure after what it is measured by.
    fn measure(&self) -> Option<usize> {
        self.columns.iter().rposition(|it| it.1 == Role::Number)
    }
}

/// Columns' names may hold dots and brackets, which mean paths in Vega-Lite, and need not be unique.
fn field(at: usize) -> String {
    format!("c{at}")
}

/// A number that is a string because a double cannot hold it exactly is near enough for a picture.
fn number(value: &Value, role: Role) -> Value {
    match value {
        Value::String(text) if role == Role::Number => {
            text.parse::<f64>().map_or(Value::Null, Value::from)
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maker(columns: &[(&str, Role)], rows: Vec<Vec<Value>>) -> ChartMaker {
        let columns = columns.iter().map(|(name, role)| ((*name).to_owned(), *role)).collect();
        ChartMaker { columns, rows, more: false }
    }

    #[test]
    fn the_types_of_the_columns_choose_the_mark() {
        let time = maker(
            &[("month", Role::Time), ("revenue", Role::Number)],
            vec![vec![json!("2026-01-01"), json!(3)]],
        );
        let spec = time.finish();
        assert_eq!(
            (&spec["mark"], &spec["encoding"]["y"]["title"]),
            (&json!("line"), &json!("revenue"))
        );
        let names = maker(
            &[("country", Role::Name), ("orders", Role::Number)],
            vec![vec![json!("France"), json!(3)]],
        );
        assert_eq!(names.finish()["mark"], "bar");
        let single = maker(&[("count", Role::Number)], vec![vec![json!(142)]]);
        assert_eq!(single.finish()["mark"], "text");
    }

    #[test]
    fn nothing_to_draw_is_no_chart() {
        assert_eq!(maker(&[("name", Role::Name)], vec![vec![json!("x")]]).finish(), Value::Null);
        assert_eq!(maker(&[("count", Role::Number)], vec![]).finish(), Value::Null);
    }

    #[test]
    fn a_number_too_large_for_a_double_is_still_drawn() {
        let big = maker(
            &[("n", Role::Name), ("v", Role::Number)],
            vec![vec![json!("x"), json!("12345678901234567890")]],
        );
        assert!(big.finish()["data"]["values"][0]["c1"].is_number());
    }
}
