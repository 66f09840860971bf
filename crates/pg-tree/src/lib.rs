//! Postgres's own parser, with the tree that it makes read from the parser's memory.
//!
//! Start with [`parse`] and [`scan`]. They answer with the types of `pg_query`, and with the very values that
//! `pg_query::parse` and `pg_query::scan` answer with. Those let C write the tree as a message of Protocol Buffers and
//! decode that again, which takes several times what parsing itself takes; here the C structs are read where they lie.
//!
//! Which struct lies how in memory is generated from the headers of the linked library (`cargo xtask generate`, into
//! `nodes/`). A kind of node that is not among them, a value that does not fit, or another version of the library: then the
//! statement goes the way over messages, so that nothing is lost and nothing is guessed.
//!
//! **Invariant:** for every text, the answer is that of `pg_query`; and this is the only crate with `unsafe` code, each block
//! of which says why it holds.

mod library;
mod memory;
mod nodes;

use std::ffi::CString;

use pg_query::protobuf::{RawStmt, ScanToken};

use crate::library::Parsed;
use crate::nodes::{Depth, Stop};

/// Why there is no tree, or there are no tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// What Postgres says against the text, in its words.
    #[error("{0}")]
    Refused(String),
    /// More than a hundred messages within messages, which is where the decoder of `pg_query` stops.
    #[error("the statement is nested too deeply")]
    TooDeep,
    /// The text holds a NUL, which ends a text in C.
    #[error("the text holds a NUL character")]
    Nul,
    /// `pg_query` failed otherwise.
    #[error("the statement cannot be read")]
    Unreadable,
}

/// The statements of a text, by Postgres's grammar.
///
/// Needs, in a debug build, some 20 kB of stack for each level of the tree, of which there are a hundred at most.
///
/// # Errors
///
/// [`Error::Refused`] if it is not of the grammar, [`Error::TooDeep`] if the tree has more levels, [`Error::Nul`].
pub fn parse(sql: &str) -> Result<Vec<RawStmt>, Error> {
    let text = CString::new(sql).map_err(|_| Error::Nul)?;
    if !library::is_known() {
        return over_messages(sql);
    }
    let parsed = Parsed::of(&text)?;
    match nodes::statements(parsed.tree(), Depth::OUTERMOST) {
        Ok(statements) => Ok(statements),
        Err(Stop::TooDeep) => Err(Error::TooDeep),
        Err(Stop::Unknown) => {
            // One at a time: the parser's memory is left before it is entered again.
            drop(parsed);
            over_messages(sql)
        }
    }
}

/// The words and signs of a text, comments among them.
///
/// # Errors
///
/// [`Error::Refused`] if the scanner does not take it, [`Error::Nul`].
pub fn scan(sql: &str) -> Result<Vec<ScanToken>, Error> {
    let text = CString::new(sql).map_err(|_| Error::Nul)?;
    library::scan(&text)
}

/// The same tree the long way round.
fn over_messages(sql: &str) -> Result<Vec<RawStmt>, Error> {
    match pg_query::parse(sql, 0) {
        Ok(tree) => Ok(tree.protobuf.stmts),
        Err(pg_query::Error::Parse(message)) => Err(Error::Refused(message)),
        // The decoder's only limit is that of depth; what it decodes comes from a parser that we trust.
        Err(pg_query::Error::Decode(_)) => Err(Error::TooDeep),
        Err(_) => Err(Error::Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sql: &str) -> Result<Vec<RawStmt>, Stop> {
        let text = CString::new(sql).expect("no NUL");
        let parsed = Parsed::of(&text).expect("a statement");
        nodes::statements(parsed.tree(), Depth::OUTERMOST)
    }

    #[test]
    fn the_linked_library_is_the_one_whose_layouts_are_known() {
        assert!(library::is_known() || cfg!(not(target_pointer_width = "64")));
    }

    /// That the trees are the right ones is held by the guard's tests, which compare them; here, that none of these goes the
    /// long way.
    #[test]
    fn each_kind_of_a_statement_that_reads_or_writes_is_known() {
        let kinds = include_str!("../tests/kinds.sql");
        for sql in kinds.split(";\n").filter(|it| !it.trim().is_empty()) {
            assert!(read(sql).is_ok(), "{sql}");
        }
        assert_eq!(read("CREATE TABLE t (a int)"), Err(Stop::Unknown));
    }

    #[test]
    fn what_is_refused_is_refused_in_postgres_words() {
        let refused = |message: &str| Err(Error::Refused(message.to_owned()));
        assert_eq!(parse("SELECT 1 FROM"), refused("syntax error at end of input"));
        let open = Error::Refused("unterminated quoted string at or near \"'a\"".into());
        assert_eq!(scan("SELECT 'a"), Err(open));
        assert_eq!(parse("SELECT\0 1"), Err(Error::Nul));
        assert_eq!(scan("\0"), Err(Error::Nul));
    }

    #[test]
    fn a_text_without_words_has_no_tokens_and_no_statements() {
        assert_eq!(scan(""), Ok(Vec::new()));
        assert_eq!(parse(" "), Ok(Vec::new()));
        assert_eq!(scan("a").map(|it| it.len()), Ok(1));
    }

    #[test]
    fn levels_are_counted_as_the_decoder_counts_them() {
        let nested = |levels: usize| format!("SELECT {}1", "~ ".repeat(levels));
        assert!(read(&nested(20)).is_ok());
        assert_eq!(read(&nested(60)), Err(Stop::TooDeep));
        assert_eq!(parse(&nested(60)), Err(Error::TooDeep));
    }
}
