//! A chart for a result: a Vega-Lite specification made from the columns' types and the shape of the rows.

use plinth_charts::{Chart, Column, ColumnKind, Data, Kind, Options};
use plinth_queries::{ResultColumn, UserTypes, type_name};
use serde_json::Value;

/// Points that a chart is drawn from at most; more would be a smear, and a large answer twice.
const MAX_POINTS: usize = 2_000;

/// Collects rows and then says how to draw them.
pub(super) struct ChartMaker {
    data: Data,
}

impl ChartMaker {
    pub(super) fn new(columns: &[ResultColumn], types: &UserTypes) -> Self {
        let column = |it: &ResultColumn| Column {
            name: it.name.clone(),
            kind: ColumnKind::of_type(&type_name(it.type_oid, it.type_modifier, types)),
        };
        let columns = columns.iter().map(column).collect();
        Self { data: Data { columns, rows: Vec::new(), more: false } }
    }

    pub(super) fn add(&mut self, row: Vec<Value>) {
        if self.data.rows.len() < MAX_POINTS {
            self.data.rows.push(row);
        } else {
            self.data.more = true;
        }
    }

    /// The specification; null when there is nothing to draw: no rows, or no number among the columns.
    pub(super) fn finish(mut self) -> Value {
        let Some(kind) = Kind::suggested(&self.data) else { return Value::Null };
        if kind != Kind::Scatter {
            self.keep_one_measure();
        }
        let options = Options::default();
        Chart::new(kind, &options, &self.data, "").map_or(Value::Null, |it| it.vega_lite())
    }

    /// The last number among the columns: questions put the measure after what it is measured by. Several are seldom of one
    /// size, and the smaller would lie flat on the axis.
    fn keep_one_measure(&mut self) {
        let is_number = |it: &Column| it.kind == ColumnKind::Number;
        let Some(measure) = self.data.columns.iter().rposition(is_number) else { return };
        let kept: Vec<bool> = self
            .data
            .columns
            .iter()
            .enumerate()
            .map(|(at, it)| at == measure || !is_number(it))
            .collect();
        let mut place = kept.iter();
        self.data.columns.retain(|_| place.next() == Some(&true));
        for row in &mut self.data.rows {
            let mut place = kept.iter();
            row.retain(|_| place.next() == Some(&true));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NUMBER: ColumnKind = ColumnKind::Number;
    const NAME: ColumnKind = ColumnKind::Text;

    fn maker(columns: &[(&str, ColumnKind)], rows: Vec<Vec<Value>>) -> ChartMaker {
        let column = |it: &(&str, ColumnKind)| Column { name: it.0.to_owned(), kind: it.1 };
        let columns = columns.iter().map(column).collect();
        ChartMaker { data: Data { columns, rows, more: false } }
    }

    #[test]
    fn the_types_of_the_columns_choose_the_mark() {
        let time = maker(
            &[("month", ColumnKind::Date), ("revenue", NUMBER)],
            vec![vec![json!("2026-01-01"), json!(3)]],
        );
        let spec = time.finish();
        assert_eq!(
            (&spec["mark"], &spec["encoding"]["y"]["title"]),
            (&json!("line"), &json!("revenue"))
        );
        let names = maker(
            &[("country", NAME), ("id", NUMBER), ("orders", NUMBER)],
            vec![vec![json!("France"), json!(7), json!(3)]],
        );
        let spec = names.finish();
        assert_eq!((&spec["mark"], &spec["data"]["values"][0]["y"]), (&json!("bar"), &json!(3.0)));
        let single = maker(&[("count", NUMBER)], vec![vec![json!(142)]]);
        assert_eq!(single.finish()["mark"], "text");
        let points = maker(&[("a", NUMBER), ("b", NUMBER)], vec![vec![json!(1), json!(2)]]);
        assert_eq!(points.finish()["mark"], "point");
    }

    #[test]
    fn nothing_to_draw_is_no_chart() {
        assert_eq!(maker(&[("name", NAME)], vec![vec![json!("x")]]).finish(), Value::Null);
        assert_eq!(maker(&[("count", NUMBER)], vec![]).finish(), Value::Null);
    }

    #[test]
    fn a_number_too_large_for_a_double_is_still_drawn() {
        let big = maker(
            &[("n", NAME), ("v", NUMBER)],
            vec![vec![json!("x"), json!("12345678901234567890")]],
        );
        assert!(big.finish()["data"]["values"][0]["y"].is_number());
    }
}
