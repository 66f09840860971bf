//! Pictures of tables and the references between them.

mod layout;
mod mermaid;
mod select;
mod svg;
#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::{SchemaError, Visible};

pub use mermaid::mermaid;
pub use svg::svg;

/// The most tables of one picture.
pub const MAX_DIAGRAM_TABLES: usize = 200;

/// The most references of one picture.
const MAX_EDGES: usize = 600;

/// What a picture should show.
#[derive(Clone, Debug)]
pub struct DiagramOptions {
    /// These tables and no others, as callers name them; empty: whatever there is.
    pub tables: Vec<String>,
    /// Only what is so many references away from that table at most.
    pub around: Option<(String, u32)>,
    /// The most tables that are shown; up to [`MAX_DIAGRAM_TABLES`].
    pub most: usize,
    /// The most columns of a table that are shown; keys come first.
    pub columns: usize,
}

impl Default for DiagramOptions {
    /// Everything, as far as it stays readable.
    fn default() -> Self {
        Self { tables: Vec::new(), around: None, most: 40, columns: 12 }
    }
}

/// What a picture shows, before it is drawn.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diagram {
    /// The database's name.
    pub database: String,
    /// The tables, sorted by schema and name.
    pub tables: Vec<DiagramTable>,
    /// The references between them.
    pub edges: Vec<DiagramEdge>,
    /// How many tables there are that are not shown; partitions do not count.
    pub omitted: usize,
    /// How many references between the shown tables are not drawn, because there are more than anybody could follow.
    pub omitted_edges: usize,
}

/// A table of a picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DiagramTable {
    /// The schema's name.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What somebody wrote about it.
    pub comment: Option<String>,
    /// The columns that are shown, in order.
    pub columns: Vec<DiagramColumn>,
    /// How many columns are not shown.
    pub omitted: usize,
}

/// A column of a picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DiagramColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_name: String,
    /// Whether it is part of the primary key.
    pub primary: bool,
    /// Whether it is part of a reference, shown or not.
    pub foreign: bool,
    /// Whether it may be null.
    pub nullable: bool,
}

/// A reference of a picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DiagramEdge {
    /// The position in [`Diagram::tables`] of the table that refers.
    pub from: usize,
    /// The position of its first referring column among those that are shown.
    pub from_column: Option<usize>,
    /// The position of the table that is referred to.
    pub to: usize,
    /// The position of the first column there among those that are shown.
    pub to_column: Option<usize>,
    /// The names of the referring columns.
    pub columns: Vec<String>,
    /// Whether a row may refer to none.
    pub optional: bool,
    /// Whether at most one row refers to each.
    pub single: bool,
}

/// Chooses what a picture shows.
///
/// Where there are more tables than may be shown, those stay that are most connected, with each other and at all.
///
/// # Errors
///
/// [`SchemaError::TableNotFound`] if `tables` or `around` name one that is not there, or hidden.
pub fn diagram(visible: &Visible<'_>, options: &DiagramOptions) -> Result<Diagram, SchemaError> {
    select::select(visible, options)
}

impl Diagram {
    /// What was left out, as a sentence; `None` if nothing was.
    pub fn omission(&self) -> Option<String> {
        let mut said = Vec::new();
        if self.omitted > 0 {
            let all = self.tables.len() + self.omitted;
            let (shown, omitted) = (self.tables.len(), self.omitted);
            said.push(format!("{shown} of {all} tables are shown, {omitted} are left out"));
        }
        if self.omitted_edges > 0 {
            said.push(format!("{} references are left out", self.omitted_edges));
        }
        (!said.is_empty()).then(|| said.join("; "))
    }
}
