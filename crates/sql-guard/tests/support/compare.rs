//! The two ways to a tree, held against each other.

use pg_query::protobuf::{RawStmt, ScanToken};
use plinth_pg_tree::Error;

/// What `pg_query` itself says of a text, which is what must be said.
fn long_way(sql: &str) -> Result<Vec<RawStmt>, Error> {
    match pg_query::parse(sql, 0) {
        Ok(tree) => Ok(tree.protobuf.stmts),
        Err(pg_query::Error::Parse(message)) => Err(Error::Refused(message)),
        Err(pg_query::Error::Decode(_)) => Err(Error::TooDeep),
        Err(pg_query::Error::Conversion(_)) => Err(Error::Nul),
        Err(_) => Err(Error::Unreadable),
    }
}

fn scanned_long_way(sql: &str) -> Result<Vec<ScanToken>, Error> {
    match pg_query::scan(sql) {
        Ok(scanned) => Ok(scanned.tokens),
        Err(pg_query::Error::Scan(message)) => Err(Error::Refused(message)),
        Err(pg_query::Error::Conversion(_)) => Err(Error::Nul),
        Err(_) => Err(Error::Unreadable),
    }
}

/// Whether it is refused for its depth: C may come to its end before the decoder comes to its own.
fn is_too_deep(answer: &Result<Vec<RawStmt>, Error>) -> bool {
    match answer {
        Err(Error::TooDeep) => true,
        Err(Error::Refused(message)) => {
            message.contains("nested too deeply") || message.contains("stack depth limit")
        }
        _ => false,
    }
}

/// Compares both ways; tells whether there is a tree.
pub(crate) fn compare(sql: &str) -> bool {
    assert_eq!(plinth_pg_tree::scan(sql), scanned_long_way(sql), "the words of {sql:?}");
    let (read, decoded) = (plinth_pg_tree::parse(sql), long_way(sql));
    let is_same = read == decoded || (is_too_deep(&read) && is_too_deep(&decoded));
    assert!(is_same, "{sql:?}\n{read:#?}\n{decoded:#?}");
    read.is_ok()
}
