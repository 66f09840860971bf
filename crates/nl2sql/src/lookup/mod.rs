//! Looking words up: what no name and no value that was sampled explains may stand somewhere in the database.
//!
//! The engine reads no database. It says of which words it wants to know and in which columns they could stand
//! ([`Engine::wanted`]); [`Access`] says of a catalog which columns can be searched cheaply, and makes one statement of it
//! ([`Access::lookup`]); whoever runs that hands what it gives to [`SchemaIndex::with_found`], over which the question is read
//! again.
//!
//! [`Engine::wanted`]: crate::Engine::wanted
//! [`SchemaIndex::with_found`]: crate::SchemaIndex::with_found

mod access;
mod found;
mod wanted;

#[cfg(test)]
mod tests;

pub use access::{Access, Lookup};
pub(crate) use found::{FoundAt, told, worth};

/// Words of a question that nothing explains, and where they could stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The words, those that say the most first.
    pub words: Vec<WantedWord>,
    /// Where they could stand, the nearest to what the question speaks of first.
    pub columns: Vec<TextColumn>,
}

/// One or more adjoining words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedWord {
    /// As somebody wrote them, one blank between two.
    pub text: String,
    /// Whether a value that only begins or ends with them is meant as well, as for names.
    pub in_part: bool,
}

/// A column of text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextColumn {
    /// The table's schema.
    pub schema: String,
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
}

/// A word that stands in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where.
    pub column: TextColumn,
    /// As somebody wrote it.
    pub word: String,
    /// As it is stored.
    pub value: String,
}
