use serde::{Deserialize, Serialize};

/// When a constraint is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deferral {
    /// With each statement, always.
    #[default]
    None,
    /// With each statement, unless a transaction defers it (`DEFERRABLE`).
    Deferrable,
    /// At the end of the transaction (`DEFERRABLE INITIALLY DEFERRED`).
    Deferred,
}

impl Deferral {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it by reference")]
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// A primary or unique key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// The constraint's name.
    pub name: String,
    /// Positions in [`Relation::columns`](crate::Relation::columns).
    pub columns: Vec<usize>,
    /// Whether it is the primary key.
    pub primary: bool,
    /// Positions of the columns that its index carries along (`INCLUDE`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<usize>,
    /// Whether two nulls count as the same value (`NULLS NOT DISTINCT`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nulls_not_distinct: bool,
    /// When it is checked.
    #[serde(default, skip_serializing_if = "Deferral::is_none")]
    pub deferral: Deferral,
    /// What somebody wrote about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// What happens to a row when the row it refers to is deleted or gets another key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReferenceAction {
    /// The change fails, at the time that [`Deferral`] says.
    #[default]
    NoAction,
    /// The change fails at once.
    Restrict,
    /// The row follows.
    Cascade,
    /// Its columns become null.
    SetNull,
    /// Its columns get their defaults.
    SetDefault,
}

impl ReferenceAction {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it by reference")]
    fn is_none(&self) -> bool {
        *self == Self::NoAction
    }
}

/// A reference to another relation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// The constraint's name.
    pub name: String,
    /// Positions in [`Relation::columns`](crate::Relation::columns) of this relation.
    pub columns: Vec<usize>,
    /// The oid of the relation that is referred to.
    pub target: u32,
    /// Positions in the other relation's columns, in the same order.
    pub target_columns: Vec<usize>,
    /// What happens when the other row is deleted.
    #[serde(default, skip_serializing_if = "ReferenceAction::is_none")]
    pub on_delete: ReferenceAction,
    /// What happens when the other row's key changes.
    #[serde(default, skip_serializing_if = "ReferenceAction::is_none")]
    pub on_update: ReferenceAction,
    /// Positions of those columns that `ON DELETE SET NULL` or `SET DEFAULT` is about; empty if it is about all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_delete_columns: Vec<usize>,
    /// Whether all columns must be null for a row to refer to nothing (`MATCH FULL`); else one is enough.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub match_full: bool,
    /// When it is checked.
    #[serde(default, skip_serializing_if = "Deferral::is_none")]
    pub deferral: Deferral,
    /// Whether rows from before it was added were never checked (`NOT VALID`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_valid: bool,
    /// What somebody wrote about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// A condition that every row fulfils. Where a snapshot was read while the table was being changed, it may be missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// The constraint's name.
    pub name: String,
    /// As the server prints it, like `CHECK ((total > 0))`.
    pub definition: String,
    /// Positions of the columns that it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<usize>,
    /// Whether rows from before it was added were never checked (`NOT VALID`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_valid: bool,
    /// What somebody wrote about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// A condition that no two rows fulfil together. Missing in the same case as a [`Check`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Exclusion {
    /// The constraint's name.
    pub name: String,
    /// As the server prints it, like `EXCLUDE USING gist (room WITH =, during WITH &&)`.
    pub definition: String,
    /// Positions of the columns that it compares; expressions are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<usize>,
    /// What somebody wrote about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// An index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Positions in [`Relation::columns`](crate::Relation::columns); expressions are left out.
    pub columns: Vec<usize>,
    /// Whether it admits each combination of values of [`columns`](Self::columns) once, in all rows: one that is partial,
    /// over expressions or invalid does not.
    pub unique: bool,
    /// `btree`, `gin`, ….
    pub method: String,
    /// Positions of the columns that it carries along (`INCLUDE`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<usize>,
    /// As the server prints it (`CREATE INDEX …`), where columns, uniqueness and method do not say all: an index that is
    /// partial, over expressions, or with an order, collation, operator class or options of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// Whether the server does not use it, because making it failed or is not finished.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub invalid: bool,
    /// What somebody wrote about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}
