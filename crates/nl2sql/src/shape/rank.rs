//! Places in an order: the best of each, the second best, ranks.

use super::{Shape, Words};
use crate::{
    index::SchemaIndex,
    lexicon::{Form, LEXICON},
    logical::{ColumnRef, Expr, LogicalQuery, OrderKey, WindowFunction},
    phrase,
    token::{Token, TokenKind},
};

fn superlative(word: &str) -> bool {
    matches!(
        word,
        "top"
            | "bottom"
            | "most"
            | "least"
            | "fewest"
            | "maximum"
            | "minimum"
            | "latest"
            | "newest"
            | "last"
            | "first"
    ) || LEXICON.degree(word).is_some_and(|it| it.form == Form::Superlative)
}

/// `top 3 products by revenue in every category`, `for each department the highest paid employee`
pub(super) fn per<'a>(index: &'a SchemaIndex, words: &Words<'a>) -> Option<Shape<'a>> {
    let (from, until) = words.find(&[
        "in|for|of|from|within|by|at each|every",
        "in|for|of|from|within|by|at each|every of the|our",
        "per",
        "each|every",
    ])?;
    // what is told apart: words up to a mark or a word that goes on
    let mut end = until;
    while end < words.end()
        && !matches!(words.0[end].kind, TokenKind::Mark(mark) if mark != '-')
        && !matches!(
            words.word(end),
            "the"
                | "in"
                | "by"
                | "with"
                | "that"
                | "who"
                | "what"
                | "which"
                | "show"
                | "find"
                | "last"
                | "this"
                | "and"
                | "during"
                | "since"
                | "between"
                | "for"
                | "of"
                | "is"
                | "are"
                | "was"
                | "were"
                | "has"
                | "have"
                | "from"
                | "on"
                | "based"
                | "list"
                | "give"
                | "name"
        )
    {
        end += 1;
    }
    // `for each top-level category the best …`: what is told apart may be called so itself
    let best = (0..words.len()).any(|it| superlative(words.word(it)) && !(from..end).contains(&it));
    if end == until || !best {
        return None;
    }
    let kind: Vec<Token> = words.0[until..end].to_vec();
    let mut gone = vec![(from, end)];
    if words.0.get(end).is_some_and(|it| it.is_mark(',')) {
        gone.push((end, end + 1));
    }
    // `what is` and `show` in front say nothing more
    let tokens = words.without(&gone);
    Some(Shape {
        tokens,
        wrap: Box::new(move |mut query, read| {
            if query.order.is_empty() || query.limit.is_none() || query.set.is_some() {
                return None;
            }
            if query.select.iter().all(Expr::is_aggregate) {
                return None;
            }
            let (keys, labels) = told_apart(index, &kind, &query, read)?;
            // of one thing there is no best one each
            if keys.iter().all(|it| query.select.contains(it)) {
                return None;
            }
            query.limit = Some(query.limit.unwrap_or(1));
            for it in &keys {
                it.columns(&mut |column| bind_parent(index, &mut query, column));
            }
            if !query.group.is_empty() {
                for it in keys.iter().chain(&labels) {
                    if !query.group.contains(it) {
                        query.group.push(it.clone());
                    }
                }
            }
            let mut select = labels;
            select.append(&mut query.select);
            // what it is ranked by is worth seeing
            let by = query.order[0].by.clone();
            if !select.contains(&by) && by.is_aggregate() {
                select.push(by);
            }
            query.select = select;
            query.per = keys;
            query.distinct = false;
            Some(query)
        }),
    })
}

/// The keys and labels of groups: of a table's rows, of a column's values.
pub(super) fn told_apart(
    index: &SchemaIndex,
    kind: &[Token],
    query: &LogicalQuery,
    read: &super::Read<'_>,
) -> Option<(Vec<Expr>, Vec<Expr>)> {
    let place = kind.first()?;
    let root = query.root?;
    let name = index.tables[root].words.join(" ");
    let mut tokens = phrase::words(&format!("number of {name} per"), place);
    tokens.extend_from_slice(kind);
    let grouped = read(&tokens)?;
    if !grouped.filter.is_empty() || grouped.limit.is_some() || grouped.group.is_empty() {
        return None;
    }
    let labels: Vec<Expr> =
        grouped.select.iter().filter(|it| !it.is_aggregate()).cloned().collect();
    // what follows from a key needs no part in it
    let keys: Vec<Expr> = match grouped.group.first()? {
        Expr::Column(it) if index.tables[it.table].is_keyed_by(it.column) => {
            vec![Expr::Column(*it)]
        }
        _ => grouped.group.clone(),
    };
    Some((keys, labels))
}

/// A column of a parent is reached by the reference of its own table to itself.
pub(crate) fn bind_parent(index: &SchemaIndex, query: &mut LogicalQuery, column: ColumnRef) {
    if column.role == 0 {
        return;
    }
    if !query.also.contains(&column.table) {
        query.also.push(column.table);
    }
    for &edge in &index.edges_of[column.table] {
        let it = &index.edges[edge];
        if it.from == it.to && !query.edges.contains(&edge) {
            query.edges.push(edge);
        }
    }
}

/// `the second highest salary`
pub(super) fn nth<'a>(words: &Words<'a>) -> Option<Shape<'a>> {
    let (at, number) = (0..words.len()).find_map(|at| {
        let number = match words.word(at) {
            "second" | "2nd" => 2,
            "third" | "3rd" => 3,
            "fourth" | "4th" => 4,
            "fifth" | "5th" => 5,
            _ => return None,
        };
        let next =
            words.word(at + 1 + usize::from(words.0.get(at + 1).is_some_and(|it| it.is_mark('-'))));
        (superlative(next) && !matches!(next, "last" | "first")).then_some((at, number))
    })?;
    let hyphen = usize::from(words.0.get(at + 1).is_some_and(|it| it.is_mark('-')));
    Some(Shape {
        tokens: words.without(&[(at, at + 1 + hyphen)]),
        wrap: Box::new(move |mut query, _| {
            if !query.per.is_empty() || query.set.is_some() {
                return None;
            }
            if query.order.is_empty() {
                // `the second highest price`: of the values, each once
                let [Expr::Aggregate { function, argument: Some(of), filter: None, .. }] =
                    query.select.as_slice()
                else {
                    return None;
                };
                let descending = match function {
                    crate::logical::Aggregate::Max => true,
                    crate::logical::Aggregate::Min => false,
                    _ => return None,
                };
                if !query.group.is_empty() {
                    return None;
                }
                let of = of.as_ref().clone();
                query.select = vec![of.clone()];
                query.distinct = true;
                query.order = vec![OrderKey { by: of, descending }];
                query.limit = Some(1);
                query.offset = Some(number - 1);
                return Some(query);
            }
            if query.limit != Some(1) {
                return None;
            }
            query.offset = Some(number - 1);
            Some(query)
        }),
    })
}

/// `rank the countries by revenue`
pub(super) fn places<'a>(words: &Words<'a>) -> Option<Shape<'a>> {
    let at = (0..2).find(|&it| matches!(words.word(it), "rank" | "ranking" | "ranked"))?;
    let by = (at + 1..words.len())
        .find(|&it| words.says(it, &["by", "based on", "in terms of", "according to"]).is_some())?;
    let length = words.says(by, &["by", "based on", "in terms of", "according to"])?;
    let mut from = at + 1;
    while matches!(words.word(from), "the" | "our" | "all" | "of") {
        from += 1;
    }
    let end = words.end();
    if from >= by || by + length >= end {
        return None;
    }
    // `revenue this year by country`
    let mut tokens: Vec<Token> = words.0[by + length..end].to_vec();
    while tokens.first().is_some_and(|it| matches!(it.lower.as_str(), "their" | "the" | "its")) {
        tokens.remove(0);
    }
    let place = words.0[at].clone();
    let named = tokens.first().is_some_and(|it| {
        matches!(
            it.lower.as_str(),
            "revenue" | "number" | "total" | "average" | "count" | "turnover" | "sales" | "units"
        )
    });
    if !named {
        return None;
    }
    tokens.extend(phrase::words("per", &place));
    tokens.extend_from_slice(&words.0[from..by]);
    Some(Shape {
        tokens,
        wrap: Box::new(|mut query, _| {
            let value = super::measure(&query)?;
            if query.group.is_empty() || query.limit.is_some() {
                return None;
            }
            let order = vec![OrderKey { by: value, descending: true }];
            query.select.push(Expr::Window {
                function: WindowFunction::Rank,
                argument: None,
                partition: Vec::new(),
                order: order.clone(),
            });
            query.order = order;
            Some(query)
        }),
    })
}
