//! Who sees which rows and values: statements are rewritten so that a table with a policy is read through a subquery that
//! filters its rows and masks its columns.
//!
//! Why this holds, whatever the statement does around it:
//!
//! - The *relation* is replaced, wherever its name stands. So a masked column is masked in conditions, groups, orders,
//!   joins and whole rows as it is in the result, and system columns (`ctid`, `xmin`, `tableoid`) are gone.
//! - Rows are filtered behind a fence (`OFFSET 0`): the planner moves no condition of the statement to where it would see
//!   rows that the policy hides, so that none of them can make it fail or take time.
//! - Names are those that the walk resolved, WITH names included, and the new text is judged like any other. It may read
//!   such a table at the very places only that the rewriting made.
//! - Values come in as parameters, and every name in what is inserted is qualified.
//! - What shows a table's rows by another name is closed until it has a policy of its own: views and materialized views over
//!   it, and parents of it.

mod compile;
mod predicate;
mod rewrite;

use std::collections::BTreeMap;

use plinth_connections::TableName;
use plinth_core::AttributeType;

pub(crate) use self::compile::Policing;
use self::compile::RewrittenSource;
pub use self::predicate::{InvalidPredicate, MAX_PREDICATE_BYTES, Predicate};
pub(crate) use self::rewrite::{Cut, Places, Use, rewrite};

/// What stands in the place of a column's values. The variants are sorted from what tells most to what tells least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mask {
    /// `***` and the last characters of the text. A text that is not longer is masked in full.
    Partial {
        /// How many characters are kept, 1 to 32.
        keep_last: u8,
    },
    /// A keyed hash of the text: the same values have the same hash, and nobody without the key can find the value by trying.
    Hash,
    /// `***` in a column of words; null in any other.
    Full,
    /// Null.
    Null,
}

impl Mask {
    /// The one of two that tells less.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        match (self, other) {
            (Self::Partial { keep_last: one }, Self::Partial { keep_last: two }) => {
                Self::Partial { keep_last: one.min(two) }
            }
            (one, two) => one.max(two),
        }
    }

    /// Whether the column becomes a text, whatever it was.
    pub fn makes_text(self) -> bool {
        matches!(self, Self::Partial { .. } | Self::Hash)
    }
}

/// What one caller may see of one relation. One without predicates and masks says that all of it may be seen: it opens a
/// view over tables with policies.
#[derive(Clone, Debug)]
pub struct Restriction {
    /// The relation.
    pub relation: TableName,
    /// Rows that satisfy all of these.
    pub rows: Vec<Predicate>,
    /// By column.
    pub masks: BTreeMap<String, Mask>,
    /// Why nothing of it may be seen; `None` if something may.
    pub closed: Option<String>,
}

/// A value that a rewritten statement needs, beside the caller's own parameters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyParameter {
    /// An attribute of the caller.
    Attribute {
        /// Its name.
        name: String,
        /// The type that it must have.
        of: AttributeType,
    },
    /// The key of hashes, mixed with the inner padding of HMAC (RFC 2104), as `bytea`.
    HashInner,
    /// The same with the outer padding.
    HashOuter,
}

/// A piece of what stands in a relation's place.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Parameter(PolicyParameter),
    /// An output column that is as it is in the relation, by its quoted name.
    Column(String),
    /// The relation's name, qualified.
    Relation(String),
}

/// The name by which what is inserted refers to its row. Names of the statement around it are further away.
const ROW: &str = "r";

/// A name in quotes.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
