//! Decides whether a statement may be run: one statement, that only reads, only what a connection allows, and runs no code
//! but what is known to be harmless.
//!
//! Start with [`Guard`]. A statement is parsed with Postgres's own grammar, every node of the tree is visited, and what
//! is not known to be safe is refused: kinds of nodes, relations, functions, operators, types, casts. Names are resolved
//! as the server would resolve them, against a snapshot of its catalogs.
//!
//! Where policies limit what a caller sees of a table, the statement is rewritten first ([`Restriction`]), and the new text
//! is what is judged in the end.
//!
//! What a workflow's action writes has a judge of its own ([`WriteGuard`]), for write connections only.
//!
//! The guard is one wall of several. What runs the statement holds a `READ ONLY` transaction, uses the extended protocol,
//! and limits time, rows and bytes; and it pins what the guard relies on: the snapshot's `search_path`, and
//! `standard_conforming_strings = on`.
//!
//! **Invariant:** no I/O. The same statement, catalog and list give the same answer.

mod expression;
mod facts;
mod guard;
mod lists;
mod mend;
mod near;
mod parse;
mod parser;
mod policy;
mod rejection;
mod telling;
mod views;
mod walk;
mod write;

pub use expression::{Expression, Piece};
pub use guard::{Approved, Guard};
pub use mend::{Action, Edit, Fix, Mending, ResultColumn, Step, mend};
pub use parse::{MAX_BRACKET_DEPTH, MAX_SQL_BYTES, MAX_TOKENS};
pub use policy::{
    InvalidPredicate, MAX_PREDICATE_BYTES, Mask, PolicyParameter, Predicate, Restriction,
};
pub use rejection::{Rejection, Rule};
pub use telling::{Hidden, Telling};
pub use write::{ApprovedWrite, WriteGuard, WriteKind};
