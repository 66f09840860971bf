//! Looking through views.
//!
//! Postgres checks the rights of a view's owner for what the view reads, so an allowed view shows what its owner chose to
//! show. Its code, though, runs like code in the statement: a view over a function that writes would write.

use std::collections::BTreeSet;

use crate::facts::{Facts, RelationId};
use crate::parse::parse;
use crate::walk::{Mode, Walker};

/// What a view reads, or why it may not be read.
pub(crate) type ViewVerdict = Result<ViewReads, String>;

#[derive(Debug)]
pub(crate) struct ViewReads {
    /// Tables, also those of views within.
    pub(crate) relations: BTreeSet<RelationId>,
    /// Whether it shows catalogs of the server.
    pub(crate) catalog: bool,
}

/// Views within views, at most; real ones stay far below. A snapshot taken while somebody redefines views could hold a
/// circle.
const MAX_DEPTH: usize = 32;

/// Judges a view, once for as long as the facts live. `depth` says how many views stand around it.
pub(crate) fn judge(facts: &Facts, id: RelationId, depth: usize) -> &ViewVerdict {
    let relation = &facts.relations[id];
    // Not `get_or_init`: that would lock itself out where a view reads itself.
    if let Some(verdict) = relation.view.get() {
        return verdict;
    }
    let verdict = look_through(facts, relation.definition.as_deref(), depth);
    relation.view.get_or_init(|| verdict)
}

fn look_through(facts: &Facts, definition: Option<&str>, depth: usize) -> ViewVerdict {
    if depth >= MAX_DEPTH {
        return Err(String::from("too many views stand within each other"));
    }
    let Some(definition) = definition else {
        return Err(String::from("its definition is not known; refresh the connection's schema"));
    };
    let judged = parse(definition).and_then(|parsed| {
        Walker::walk(facts, definition, Mode::View { depth: depth + 1 }, None, &parsed.select)
    });
    match judged {
        Ok(findings) => {
            Ok(ViewReads { relations: findings.reads, catalog: findings.reads_catalog })
        }
        Err(rejection) => Err(rejection.message),
    }
}
