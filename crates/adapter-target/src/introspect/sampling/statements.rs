//! The statement that looks at a table.

use std::fmt::Write;

use plinth_schema_introspect::{Relation, RelationKind, TypeClass};

use super::documents::{LONGEST_KEY, WIDEST};
use super::{LONGEST, PART_ROWS, WHOLE_ROWS, WHOLE_VALUES};

/// How much of a table is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Extent {
    /// All of it, or its first rows if it turns out to be larger than it was thought.
    Whole,
    /// Some pages from all over it.
    Part {
        /// How many rows it has.
        estimated_rows: f64,
    },
}

/// A statement that reads the table once and answers with rows of: place in `columns`, a value, how often it was seen;
/// and one of −1, null and how many rows were read. Of documents too one of the place, null and how many were too wide to be
/// looked into.
///
/// Values are compared byte by byte, whatever their collation: that is cheaper, and what is counted is what is printed.
pub(super) fn statement(relation: &Relation, columns: &[usize], extent: Extent) -> String {
    // Tables that inherit in the old way are tables of their own; partitions are all that a partitioned table has.
    let only = if relation.kind == RelationKind::PartitionedTable { "" } else { "ONLY " };
    let table = format!("{}.{}", quoted(&relation.schema), quoted(&relation.name));
    let mut sql = String::from("WITH s AS MATERIALIZED (SELECT ");
    for (place, column) in columns.iter().enumerate() {
        let name = quoted(&relation.columns[*column].name);
        let comma = if place > 0 { ", " } else { "" };
        let _ = if is_document(relation, *column) {
            // By what is stored, so that a large document that lies elsewhere is not fetched to be measured.
            let is_wide = format!("pg_column_size({name}) > {WIDEST}");
            write!(
                sql,
                "{comma}CASE WHEN NOT {is_wide} THEN {name}::jsonb END AS c{place}, {is_wide} AS w{place}"
            )
        } else {
            // One character more than is kept, to tell what was longer.
            write!(sql, "{comma}left({name}::text, {}) COLLATE \"C\" AS c{place}", LONGEST + 1)
        };
    }
    let _ = match extent {
        Extent::Whole => write!(sql, " FROM {only}{table} LIMIT {}", WHOLE_ROWS + 1),
        Extent::Part { estimated_rows } => {
            let percent =
                (100.0 * f64::from(PART_ROWS) / estimated_rows.max(1.0)).clamp(0.000_1, 100.0);
            write!(sql, " FROM {only}{table} TABLESAMPLE SYSTEM ({percent:.6}) LIMIT {PART_ROWS}")
        }
    };
    sql.push_str(") SELECT -1, NULL::text, count(*) FROM s");
    for (place, column) in columns.iter().enumerate() {
        if is_document(relation, *column) {
            members(&mut sql, place);
            continue;
        }
        let _ = write!(
            sql,
            " UNION ALL (SELECT {place}, c{place}, count(*) AS n FROM s WHERE c{place} IS NOT NULL \
             GROUP BY c{place} ORDER BY n DESC, c{place} LIMIT {})",
            WHOLE_VALUES + 1
        );
    }
    sql
}

fn is_document(relation: &Relation, column: usize) -> bool {
    relation.columns[column].class == TypeClass::Json
}

/// Adds the members of the documents in `s` by that place, each as a document of its own.
fn members(sql: &mut String, place: usize) {
    let (value, limit) = (LONGEST + 1, WHOLE_VALUES + 1);
    let _ = write!(
        sql,
        " UNION ALL (SELECT {place}, jsonb_build_object(m.key, CASE jsonb_typeof(m.value) \
         WHEN 'number' THEN '0'::jsonb WHEN 'string' THEN to_jsonb(left(m.value #>> '{{}}', {value})) \
         ELSE m.value END)::text COLLATE \"C\" AS v, count(*) AS n FROM s \
         CROSS JOIN LATERAL jsonb_each(CASE WHEN jsonb_typeof(c{place}) = 'object' THEN c{place} END) AS m \
         WHERE jsonb_typeof(m.value) IN ('string', 'number', 'boolean') AND length(m.key) BETWEEN 1 AND {LONGEST_KEY} \
         GROUP BY v ORDER BY n DESC, v LIMIT {limit}) \
         UNION ALL SELECT {place}, NULL, count(*) FROM s WHERE w{place}"
    );
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
