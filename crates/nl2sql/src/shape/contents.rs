//! What one thing holds: `what was in the biggest order of 2025`.

use super::{Shape, Words};
use crate::{
    index::SchemaIndex,
    logical::{ColumnRef, Expr, LogicalQuery, Predicate},
};

/// See the module.
pub(super) fn contents<'a>(index: &'a SchemaIndex, words: &Words<'a>) -> Option<Shape<'a>> {
    let length = words.says(0, &["what is|was|were in|inside", "what's in|inside", "what did"])?;
    let mut from = length;
    if words.says(0, &["what did"]).is_some() {
        // `what did the biggest order contain`
        words.find(&["contain|include|consist of|hold"]).filter(|it| it.1 >= words.end())?;
    }
    while matches!(words.word(from), "the" | "our" | "a") {
        from += 1;
    }
    let gone: Vec<(usize, usize)> = std::iter::once((0, from))
        .chain(words.all(&["contain|include|consist of|hold"]).into_iter().filter(|_| length == 2))
        .collect();
    let tokens = words.without(&gone);
    Some(Shape {
        tokens,
        wrap: Box::new(move |query, _| {
            let whole = query.root.filter(|_| query.limit == Some(1))?;
            let plain = query.per.is_empty()
                && query.group.is_empty()
                && query.set.is_none()
                && !query.select.iter().any(Expr::is_aggregate);
            let ([key], true) = (index.tables[whole].primary.as_slice(), plain) else {
                return None;
            };
            let (line, by, part) = held(index, whole)?;
            let key = Expr::Column(ColumnRef::new(whole, *key));
            let thing = LogicalQuery { select: vec![key], distinct: false, ..query };
            Some(LogicalQuery {
                select: index.tables[part]
                    .display
                    .iter()
                    .map(|it| Expr::Column(ColumnRef::new(part, *it)))
                    .collect(),
                root: Some(part),
                also: vec![line],
                filter: vec![Predicate::InQuery {
                    columns: vec![ColumnRef::new(line, by)],
                    query: Box::new(thing),
                    negated: false,
                }],
                ..LogicalQuery::default()
            })
        }),
    })
}

/// The lines of a whole, the reference by which they belong to it, and what each line is of: where there is only one such.
fn held(index: &SchemaIndex, whole: usize) -> Option<(usize, usize, usize)> {
    let own = &index.tables[whole].words;
    let mut found = Vec::new();
    for &edge in &index.edges_of[whole] {
        let edge = &index.edges[edge];
        let lines = &index.tables[edge.from];
        let named = lines.words.len() > own.len() && own.iter().all(|it| lines.words.contains(it));
        let ([by], true, true) =
            (edge.from_columns.as_slice(), edge.to == whole, named || lines.bridge)
        else {
            continue;
        };
        for &other in &index.edges_of[edge.from] {
            let other = &index.edges[other];
            let known = index.tables[other.to].display != index.tables[other.to].primary;
            if other.from == edge.from && other.to != whole && known {
                found.push((edge.from, *by, other.to));
            }
        }
    }
    match found.as_slice() {
        [one] => Some(*one),
        _ => None,
    }
}
