//! What a result's values do not say of themselves: with how many decimal places they were written (a price of `19.90` is 19.9
//! as a number), and that a text stands for a number which no double holds.

use plinth_queries::{RawRow, ResultColumn};
use serde_json::{Number, Value};

/// The oid of `numeric` (`pg_type.dat`), the only type whose values keep zeros at their end.
const NUMERIC: u32 = 1700;

/// The oid of `bigint`: with `numeric` the types of numbers that a double may not hold.
const BIGINT: u32 = 20;

/// What is known of a column so far.
#[derive(Clone, Copy)]
enum Column {
    /// Not of decimals.
    Other,
    /// No value yet.
    Empty,
    /// Every value had so many places.
    Same(u16),
}

/// Looks at a result's columns while its rows come.
pub(crate) struct Places {
    columns: Vec<Column>,
    /// Whether a column is of numbers, and whether one came as a text.
    numbers: Vec<(bool, bool)>,
}

impl Places {
    pub(crate) fn of(columns: &[ResultColumn]) -> Self {
        let column =
            |it: &ResultColumn| if it.type_oid == NUMERIC { Column::Empty } else { Column::Other };
        let numbers = |it: &ResultColumn| (matches!(it.type_oid, NUMERIC | BIGINT), false);
        Self {
            columns: columns.iter().map(column).collect(),
            numbers: columns.iter().map(numbers).collect(),
        }
    }

    /// Looks at a row, as it came and as it is kept.
    pub(crate) fn add(&mut self, row: &RawRow, kept: &[Value]) {
        for (column, value) in self.columns.iter_mut().zip(row.values()) {
            let Some(value) = value else { continue };
            // `NaN` and the infinities have none.
            if !value.last().is_some_and(u8::is_ascii_digit) {
                continue;
            }
            let fraction = value.iter().rev().position(|it| *it == b'.').unwrap_or_default();
            *column = match (*column, u16::try_from(fraction)) {
                (Column::Empty, Ok(places)) => Column::Same(places),
                (Column::Same(before), Ok(places)) if before == places => Column::Same(before),
                _ => Column::Other,
            };
        }
        for ((is_number, is_long), value) in self.numbers.iter_mut().zip(kept) {
            *is_long |= *is_number && value.is_string();
        }
    }

    /// Of each column how many places all of its values had; nothing at all if no column has any.
    pub(crate) fn decimals(&self) -> Vec<Option<u16>> {
        let known = |it: &Column| match it {
            Column::Same(places) => Some(*places).filter(|it| *it > 0),
            Column::Other | Column::Empty => None,
        };
        let all: Vec<_> = self.columns.iter().map(known).collect();
        if all.iter().all(Option::is_none) { Vec::new() } else { all }
    }

    /// Where the columns of numbers stand of which some came as texts.
    pub(crate) fn long_numbers(&self) -> Vec<usize> {
        let long = self.numbers.iter().enumerate().filter(|it| it.1.1);
        long.map(|it| it.0).collect()
    }
}

/// A number with at least so many places.
pub(crate) fn padded(number: &Number, places: u16) -> String {
    // Not as JSON writes it, which has an exponent now and then.
    let double = number.as_f64().filter(|_| number.is_f64());
    let mut text = double.map_or_else(|| number.to_string(), |it| it.to_string());
    let has = text.split_once('.').map_or(0, |it| it.1.len());
    let missing = usize::from(places).saturating_sub(has);
    if missing > 0 && has == 0 {
        text.push('.');
    }
    text.extend(std::iter::repeat_n('0', missing));
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(values: &[Option<&str>]) -> RawRow {
        let count = u16::try_from(values.len()).expect("few");
        let mut body = count.to_be_bytes().to_vec();
        for value in values {
            let length = value.map_or(-1, |it| i32::try_from(it.len()).expect("short"));
            body.extend(length.to_be_bytes());
            body.extend(value.unwrap_or_default().as_bytes());
        }
        RawRow::new(body.into()).expect("a row")
    }

    fn places(type_oid: u32, values: &[Option<&str>]) -> Vec<Option<u16>> {
        let column = |name: &str, type_oid| ResultColumn {
            name: name.to_owned(),
            type_oid,
            type_modifier: -1,
        };
        let mut places = Places::of(&[column("text", 25), column("value", type_oid)]);
        for value in values {
            places.add(&row(&[Some("x"), *value]), &[]);
        }
        places.decimals()
    }

    #[test]
    fn a_column_has_the_places_that_all_of_its_values_have() {
        assert_eq!(places(NUMERIC, &[Some("19.90"), None, Some("-0.05")]), [None, Some(2)]);
        assert_eq!(
            places(NUMERIC, &[Some("NaN"), Some("1.500"), Some("Infinity")]),
            [None, Some(3)]
        );
        for values in [
            &[Some("19.90"), Some("19.9")][..],
            &[Some("19.90"), Some("20")],
            &[Some("20"), Some("30")],
            &[None, Some("NaN")],
            &[],
        ] {
            assert!(places(NUMERIC, values).is_empty(), "{values:?}");
        }
        let double = 701;
        assert!(places(double, &[Some("1.50"), Some("2.50")]).is_empty());
    }

    #[test]
    fn columns_of_numbers_with_texts_are_known() {
        let oids = [25, BIGINT, NUMERIC, 701, BIGINT];
        let columns: Vec<_> = oids
            .map(|type_oid| ResultColumn { name: "x".to_owned(), type_oid, type_modifier: -1 })
            .into();
        let mut places = Places::of(&columns);
        let empty = row(&[None; 5]);
        for kept in [
            json!(["1", 1, 1.5, "NaN", null]),
            json!(["1", "9007199254740993", "33.3333333333333333", 1, 2]),
        ] {
            places.add(&empty, kept.as_array().expect("a list"));
        }
        assert_eq!(places.long_numbers(), [1, 2]);
    }

    #[test]
    fn zeros_are_added_and_nothing_else_changes() {
        for (number, places, expected) in [
            (json!(19.9), 2, "19.90"),
            (json!(20.0), 2, "20.00"),
            (json!(20), 2, "20.00"),
            (json!(-0.5), 1, "-0.5"),
            (json!(0.1), 20, "0.10000000000000000000"),
            (json!(1e-7), 8, "0.00000010"),
            (json!(1.25), 1, "1.25"),
            (json!(9_007_199_254_740_992_u64), 1, "9007199254740992.0"),
        ] {
            let number = number.as_number().expect("a number");
            assert_eq!(padded(number, places), expected);
        }
    }
}
