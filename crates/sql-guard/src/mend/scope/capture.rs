//! Names that would mean something else where they stand.

use std::collections::BTreeSet;

use plinth_schema_introspect::Relation;

use super::{Column, Resolver, Source};
use crate::mend::names::RelationAt;

impl Resolver<'_> {
    /// Whether another source would take that name for its own if it stood alone.
    pub(super) fn is_taken(&self, name: &str, (level, source): (usize, usize)) -> bool {
        let has = |it: &Source| {
            let now = |it: &Column| {
                let fate = it.of.and_then(|it| self.names.column(it));
                let renamed = fate.and_then(|it| it.renamed.as_ref()).map(|it| it.1.as_str());
                renamed.or(it.name.as_deref()) == Some(name)
            };
            it.open || it.columns.iter().any(now)
        };
        let levels = self.levels.iter().enumerate().skip(level);
        levels
            .flat_map(|(at, it)| it.sources.iter().enumerate().map(move |(of, it)| ((at, of), it)))
            .any(|(at, it)| at != (level, source) && has(it))
    }

    /// Whether something that is read at that level has a column of that name now, and had none.
    pub(super) fn comes_to(&self, name: &str, level: usize) -> bool {
        let sources = self.levels.get(level).into_iter().flat_map(|it| &it.sources);
        let read: BTreeSet<RelationAt> =
            sources.flat_map(|it| &it.columns).filter_map(|it| Some(it.of?.0)).collect();
        let has = |it: &Relation| it.columns.iter().any(|it| it.name == name);
        read.into_iter().any(|at| {
            let was = &self.names.before.relations[at];
            !has(was) && self.names.after.relation(was.oid).is_some_and(has)
        })
    }
}
