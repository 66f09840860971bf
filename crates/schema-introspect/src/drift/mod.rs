//! What changed between two catalogs, told in the terms of whoever queries them.

mod compare;
mod pairs;
#[cfg(test)]
mod tests;
mod texts;

use std::fmt;

use serde::Serialize;

pub use compare::changes_between;

/// One difference between an older and a newer catalog.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// To what kind of thing.
    pub object: ObjectKind,
    /// The table it belongs to, as `schema.table`: by its name in the newer catalog, unless it was removed. `None` for
    /// types.
    pub table: Option<String>,
    /// The thing's name, in the newer catalog unless it was removed; of a table or type with its schema.
    pub name: String,
    /// Which side of it changed; `None` if it was added, removed or renamed as a whole.
    pub aspect: Option<Aspect>,
    /// What stood there; for what was removed, what it was. `None` if there was nothing, or it would name what the
    /// connection hides.
    pub before: Option<String>,
    /// What stands there now; for what was added, what it is.
    pub after: Option<String>,
    /// For a rename, how sure that is, from 0 to 1: catalogs do not say, so it is a guess. 1 only if the database itself
    /// shows that it is the same thing.
    pub confidence: Option<f64>,
    /// Whether statements that worked before may fail, or mean something else now.
    pub breaking: bool,
}

/// What happened to a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is there now.
    Added,
    /// It is not there any more, or may not be read any more.
    Removed,
    /// It is called otherwise now.
    Renamed,
    /// Something about it is not as it was.
    Changed,
}

/// The kinds of things that changes are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// A table, partitioned table or foreign table.
    Table,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A column.
    Column,
    /// A primary key.
    PrimaryKey,
    /// A unique key.
    UniqueKey,
    /// A foreign key.
    ForeignKey,
    /// A CHECK or EXCLUDE constraint.
    Constraint,
    /// An index that is no key.
    Index,
    /// An enum.
    Enum,
    /// A domain.
    Domain,
    /// A type of another kind.
    Type,
}

/// A side of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// Table to view, or the like.
    Kind,
    /// A column's type, or what is under a domain.
    Type,
    /// Whether a column may be null.
    Nullable,
    /// A column's default.
    Default,
    /// How the server makes a column's value.
    Generated,
    /// What somebody wrote about it.
    Comment,
    /// The columns, or the whole text, of a key, reference, constraint or index.
    Definition,
    /// The labels of an enum.
    Labels,
    /// What a table is a partition of, or how it is divided.
    Partitioning,
    /// Whether row-level security restricts the role.
    RowSecurity,
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table => "table",
            Self::View => "view",
            Self::MaterializedView => "materialized view",
            Self::Column => "column",
            Self::PrimaryKey => "primary key",
            Self::UniqueKey => "unique key",
            Self::ForeignKey => "foreign key",
            Self::Constraint => "constraint",
            Self::Index => "index",
            Self::Enum => "enum",
            Self::Domain => "domain",
            Self::Type => "type",
        })
    }
}
