//! Of which entries those may know whom policies bind.
//!
//! What an entry makes run is rewritten like every statement. But its *text* was written by somebody who may have seen more,
//! and a text about hidden things tells them: who reads `email = 'ada@example.com'` has no need of the column.

use std::collections::HashSet;

use plinth_connections::TableName;
use plinth_schema_introspect::Catalog;
use plinth_sql_guard::Guard;

use super::trying::statements;
use super::{Entry, EntryBody};

/// What callers whom policies bind see of a database.
pub(crate) struct Bound<'a> {
    guard: &'a Guard,
    /// As these callers may know it.
    catalog: &'a Catalog,
    /// The values that the schema itself names.
    labels: HashSet<&'a str>,
}

impl<'a> Bound<'a> {
    pub(crate) fn new(guard: &'a Guard, catalog: &'a Catalog) -> Self {
        let relations = catalog.relations.iter().filter(|it| it.readable);
        let columns = relations.flat_map(|it| &it.columns).filter(|it| it.readable);
        let labels = columns.flat_map(|it| &it.enum_values).map(String::as_str).collect();
        Self { guard, catalog, labels }
    }

    /// Whether an entry's text tells these callers nothing of what is hidden from them: it speaks of no table that is closed
    /// to them and of no column that is masked for them. What quotes data (the value that a term means, the constants of an
    /// example) speaks of no table of which rows are hidden from them, or of what the schema names itself. A definition may
    /// have constants: it says which rows count for everybody, and not which there are. What cannot be judged is not known.
    pub(crate) fn may_know(&self, entry: &Entry) -> bool {
        let own = match &entry.body {
            EntryBody::Term { table, column, value, .. } => {
                self.may_know_place(table, column.as_deref(), value.as_deref())
            }
            EntryBody::Metric { table, .. } => self.may_know_place(table, None, None),
            EntryBody::Example { .. } => true,
        };
        let quotes = matches!(entry.body, EntryBody::Example { .. });
        own && statements(entry).iter().all(|sql| {
            self.guard.telling(sql).is_ok_and(|it| {
                !it.masked && (!quotes || it.texts.iter().all(|it| self.says_nothing(it)))
            })
        })
    }

    fn may_know_place(&self, table: &str, column: Option<&str>, value: Option<&str>) -> bool {
        let Some((schema, name)) = table.split_once('.') else { return false };
        let of = TableName { schema: schema.to_owned(), name: name.to_owned() };
        let Some(hidden) = self.guard.hidden(&of) else { return false };
        let Some(column) = column else { return true };
        let Some(relation) = self.catalog.find(schema, name) else { return false };
        let Some(at) = relation.column(column) else { return false };
        let found = &relation.columns[at];
        let is_hidden = value
            .is_some_and(|value| hidden.rows && found.enum_values.iter().all(|it| it != value));
        !hidden.masked.contains(&found.name) && !is_hidden
    }

    /// Whether a constant is no value of a row: a label of the schema, a time, a unit of one, or nothing.
    fn says_nothing(&self, text: &str) -> bool {
        self.labels.contains(text) || is_of_time(text)
    }
}

/// Whether a text is of digits and the marks of a moment, of numbers with units of time, or such a unit.
fn is_of_time(text: &str) -> bool {
    const UNITS: [&str; 13] = [
        "microsecond",
        "millisecond",
        "second",
        "minute",
        "hour",
        "day",
        "week",
        "month",
        "quarter",
        "year",
        "decade",
        "century",
        "epoch",
    ];
    let is_unit =
        |it: &str| UNITS.contains(&it) || UNITS.iter().any(|unit| it == format!("{unit}s"));
    let is_number = |it: &str| it.len() <= 4 && it.bytes().all(|it| it.is_ascii_digit());
    let bytes = text.as_bytes();
    let is_moment = bytes.len() >= 10
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && bytes.iter().all(|it| {
            it.is_ascii_digit() || matches!(it, b'-' | b':' | b'.' | b'+' | b' ' | b'T' | b'Z')
        })
        && bytes.len() <= 35;
    let text = text.to_lowercase();
    is_moment
        || is_unit(&text)
        || text.split_whitespace().enumerate().all(|(at, it)| {
            if at.is_multiple_of(2) { is_number(it.trim_start_matches('-')) } else { is_unit(it) }
        }) && text.split_whitespace().count().is_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_from_values() {
        for text in ["", "month", "90 days", "1 year 6 months", "-3 days", "2025-01-31"] {
            assert!(is_of_time(text), "{text}");
        }
        assert!(is_of_time("2025-01-31T10:00:00+02:00"));
        for text in ["Ada", "90", "4711", "May", "90 people", "days 90", "+49 171 555", "Z-1"] {
            assert!(!is_of_time(text), "{text}");
        }
    }
}
