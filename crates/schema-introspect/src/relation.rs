use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Check, Exclusion, ForeignKey, Index, InferredKey, Key};

/// What kind of relation it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelationKind {
    /// An ordinary table, or a partition.
    #[default]
    Table,
    /// The parent of partitions.
    PartitionedTable,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A table of another server.
    ForeignTable,
}

/// Something that can stand in `FROM`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Relation {
    /// Its oid: stable as long as it exists.
    pub oid: u32,
    /// The schema's name.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: RelationKind,
    /// What somebody wrote about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the role may read the whole of it (`SELECT` on it, or on every column, and `USAGE` on its schema).
    pub readable: bool,
    /// Its columns, in order, dropped ones left out.
    pub columns: Vec<Column>,
    /// Numbers (`attnum`) that columns had which were dropped since, but for those after the last column that is left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<i16>,
    /// Primary key, unique keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Key>,
    /// Foreign keys from here to another relation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_keys: Vec<ForeignKey>,
    /// Columns that look like references which nobody declared, with what their values tell; empty where values are not
    /// looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inferred_keys: Vec<InferredKey>,
    /// Indexes that are not keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<Index>,
    /// `CHECK` constraints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// `EXCLUDE` constraints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclusions: Vec<Exclusion>,
    /// The planner's estimate of the number of rows; `None` if it was never analyzed or has no rows of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_rows: Option<f64>,
    /// The oid of the table it is a partition of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_of: Option<u32>,
    /// Which rows it holds of the table it is a partition of, like `FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_bound: Option<String>,
    /// How its rows are spread over partitions; `None` if it has no partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_key: Option<PartitionKey>,
    /// The oids of the tables it inherits from in the old way (partitions excepted).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inherits: Vec<u32>,
    /// A view's or materialized view's query, as the server prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// The oids of the relations that a view's or materialized view's query names, sorted; those under these views are
    /// not among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<u32>,
    /// The server of a foreign table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Whether row-level security restricts the role here.
    pub row_security: bool,
    /// What changes without anybody changing the schema; `None` if it was not measured or has no rows of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measures: Option<Measures>,
}

/// What is known of a table's files and of the planner's knowledge of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measures {
    /// Bytes on disk of its rows, with large values kept aside (TOAST), without indexes. Of a partitioned table all its
    /// partitions' together.
    pub table_bytes: u64,
    /// Bytes on disk of all its indexes.
    pub index_bytes: u64,
    /// When somebody last analyzed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_analyze: Option<Timestamp>,
    /// When the server last analyzed it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_autoanalyze: Option<Timestamp>,
}

/// By what the rows of a table are spread over its partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionKey {
    /// How.
    pub strategy: PartitionStrategy,
    /// Strategy and columns or expressions as the server prints them, like `RANGE (placed_on)`.
    pub definition: String,
}

/// How rows find their partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionStrategy {
    /// By ranges of values.
    Range,
    /// By lists of values.
    List,
    /// By a hash of the values.
    Hash,
}

impl Relation {
    /// `schema.name`, as allow-lists and answers write it.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// The position in [`Relation::columns`] of the column of that name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|it| it.name == name)
    }

    /// The number (`attnum`) of the column at that position of [`Relation::columns`]: it stays the same when the column is
    /// renamed, and no other column of the table ever gets it.
    pub fn number(&self, position: usize) -> i16 {
        let mut number = i16::try_from(position + 1).unwrap_or(i16::MAX);
        for gap in &self.gaps {
            if *gap > number {
                break;
            }
            number = number.saturating_add(1);
        }
        number
    }

    /// The position in [`Relation::columns`] of the column of that number.
    pub fn position(&self, number: i16) -> Option<usize> {
        let gaps = self.gaps.partition_point(|it| *it < number);
        if self.gaps.get(gaps) == Some(&number) {
            return None;
        }
        let position = usize::try_from(number).ok()?.checked_sub(1 + gaps)?;
        (position < self.columns.len()).then_some(position)
    }

    /// The positions of the primary key's columns; empty if it has none.
    pub fn primary_key(&self) -> &[usize] {
        self.keys.iter().find(|it| it.primary).map_or(&[], |it| &it.columns)
    }
}

/// A column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The type as `format_type` prints it, like `numeric(12,2)` or `shop.order_status`.
    pub type_name: String,
    /// The type's oid (of the domain, where it is one).
    pub type_oid: u32,
    /// What can be done with it.
    pub class: TypeClass,
    /// Whether it may be null.
    pub nullable: bool,
    /// The default expression, or the expression of a generated column, as the server prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whether the server makes the value (identity or generated).
    pub generated: bool,
    /// How the server makes the value; `None` if it does not, or in a snapshot of before this was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// Its collation, like `"C"` or `"de-x-icu"`, where it is not the type's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation: Option<String>,
    /// What somebody wrote about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the role may read it.
    pub readable: bool,
    /// The labels of its enum type, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enum_values: Vec<String>,
    /// Values that were seen in it; `None` if it was not sampled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<Samples>,
    /// The planner's estimate of how many distinct values it has: above zero a number, below zero the negated fraction
    /// of the rows (as in `pg_stats.n_distinct`); `None` if it was never analyzed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distinct: Option<f32>,
}

/// How the server makes a column's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Generation {
    /// `GENERATED ALWAYS AS IDENTITY`.
    IdentityAlways,
    /// `GENERATED BY DEFAULT AS IDENTITY`.
    IdentityByDefault,
    /// `GENERATED ALWAYS AS (…) STORED`; the expression is [`Column::default`].
    Stored,
    /// `GENERATED ALWAYS AS (…) VIRTUAL`; the expression is [`Column::default`].
    Virtual,
}

/// What can be done with a column's values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TypeClass {
    /// `smallint`, `integer`, `bigint`, and domains over them.
    Integer,
    /// `numeric`, `real`, `double precision`, `money`.
    Decimal,
    /// `text`, `varchar`, `char`, `name`, `citext`.
    Text,
    /// `boolean`.
    Boolean,
    /// `date`.
    Date,
    /// `timestamp` with or without time zone.
    Timestamp,
    /// `time` with or without time zone.
    Time,
    /// `interval`.
    Interval,
    /// `uuid`.
    Uuid,
    /// `json`, `jsonb`.
    Json,
    /// An enum type.
    Enum,
    /// An array of anything.
    Array,
    /// `bytea`.
    Binary,
    /// Everything else.
    #[default]
    Other,
}

impl TypeClass {
    /// Whether sums and averages make sense.
    pub fn is_numeric(self) -> bool {
        matches!(self, Self::Integer | Self::Decimal)
    }

    /// Whether it says on which day something was.
    pub fn is_temporal(self) -> bool {
        matches!(self, Self::Date | Self::Timestamp)
    }

    /// Whether it holds words.
    pub fn is_textual(self) -> bool {
        matches!(self, Self::Text | Self::Enum)
    }
}

/// Values that were seen in a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    /// The values as text, the most frequent first. Of a column of documents one member each, as `{"wood":"oak"}`.
    pub values: Vec<String>,
    /// Whether these are all values that the column has.
    pub complete: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_numbers_name_the_same_columns() {
        let column = |name: &str| Column { name: name.into(), ..Column::default() };
        let columns = ["a", "d", "e", "h"].map(column).to_vec();
        let relation = Relation { columns, gaps: vec![2, 3, 6, 7], ..Relation::default() };
        let numbers: Vec<_> = (0..4).map(|it| relation.number(it)).collect();
        assert_eq!(numbers, [1, 4, 5, 8]);
        let positions: Vec<_> = (-1..=9).map(|it| relation.position(it)).collect();
        let none = None;
        let expected =
            [none, none, Some(0), none, none, Some(1), Some(2), none, none, Some(3), none];
        assert_eq!(positions, expected);
    }
}
