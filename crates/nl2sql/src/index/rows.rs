//! What stands for the rows of a table: the column that tells them apart, the number of what each stands for.

use super::SchemaIndex;
use crate::logical::ColumnRef;

impl SchemaIndex {
    /// The column that tells the rows of a table apart: its key, or what others refer to where none is declared.
    pub(crate) fn key_of(&self, table: usize) -> Option<ColumnRef> {
        let column = match self.tables[table].primary.as_slice() {
            [key] => *key,
            [] => self.edges_of[table]
                .iter()
                .map(|it| &self.edges[*it])
                .find(|it| it.to == table && it.from != table)
                .and_then(|it| it.to_columns.first().copied())?,
            _ => return None,
        };
        Some(ColumnRef::new(table, column))
    }

    /// The column that says how many things each row of a table stands for: a `count` of visits.
    pub(crate) fn tally(&self, table: usize) -> Option<ColumnRef> {
        let columns = &self.tables[table].columns;
        let column =
            columns.iter().position(|it| it.words == ["count"] && it.class.is_numeric())?;
        Some(ColumnRef::new(table, column))
    }
}
