//! What a follow-up took over from the answer before, in words.

use crate::{
    explain::{expr, list, predicate, table},
    index::SchemaIndex,
    logical::LogicalQuery,
};

/// What both queries have in common, one phrase each.
pub(super) fn taken_over(
    index: &SchemaIndex,
    before: &LogicalQuery,
    after: &LogicalQuery,
) -> Vec<String> {
    let mut all = Vec::new();
    if before.select == after.select && !after.select.is_empty() {
        let what: Vec<String> = after.select.iter().map(|it| expr(index, it)).collect();
        all.push(format!("what is shown: {}", list(&what)));
    } else if before.root == after.root
        && let Some(root) = after.root
    {
        all.push(format!("what it is about: {}", table(index, root)));
    }
    let kept = after.filter.iter().filter(|it| before.filter.contains(it));
    all.extend(kept.map(|it| format!("only where {}", predicate(index, it))));
    if !after.group.is_empty() && before.group == after.group {
        let keys: Vec<String> = after.group.iter().map(|it| expr(index, it)).collect();
        all.push(format!("for each {}", list(&keys)));
    }
    let kept = after.having.iter().filter(|it| before.having.contains(it));
    all.extend(kept.map(|it| format!("only groups where {}", predicate(index, it))));
    if !after.order.is_empty() && before.order == after.order {
        let keys: Vec<String> = after.order.iter().map(|it| expr(index, &it.by)).collect();
        all.push(format!("ordered by {}", list(&keys)));
    }
    if let Some(limit) = after.limit.filter(|_| before.limit == after.limit) {
        all.push(format!("the first {limit}"));
    }
    all
}
