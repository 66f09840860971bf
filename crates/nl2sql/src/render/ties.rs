//! The first row and those that are as good as it.

use crate::logical::LogicalQuery;

/// What asks for one row alone.
pub(super) const FIRST: &str = " LIMIT 1";

/// What asks for it and its equals.
pub(super) const WITH_TIES: &str = " FETCH FIRST 1 ROW WITH TIES";

/// Whether rows that are equal in what they are ranked by are all meant: where they are ranked by a value that each of them
/// holds. Of groups that are counted or summed up the first one is shown.
pub(crate) fn may_tie(query: &LogicalQuery) -> bool {
    query.limit == Some(1)
        && query.offset.is_none()
        && !query.order.is_empty()
        && !query.order.iter().any(|it| it.by.is_aggregate())
        && query.per.is_empty()
        && query.set.is_none()
        && query.source.is_none()
        // `the length of the longest`: of all of them it is the same
        && !query.select.iter().all(|shown| query.order.iter().any(|it| it.by == *shown))
}
