//! Rows held against the rows of their own group: `products that cost more than twice the average of their category`.

use super::{Shape, Words, bind_parent, rank::told_apart};
use crate::{
    index::SchemaIndex,
    logical::{Aggregate, Arithmetic, ColumnRef, Expr, LogicalQuery, Predicate, WindowFunction},
    phrase,
    token::{Token, TokenKind},
};

/// The most words that name a group.
const MOST_WORDS: usize = 3;

/// See the module.
pub(super) fn own_group<'a>(index: &'a SchemaIndex, words: &Words<'a>) -> Option<Shape<'a>> {
    let (average, _) = words.find(&["average", "mean", "avg"])?;
    let (kind, gone) = behind(words, average).or_else(|| possessed(words, average))?;
    let tokens = words.without(&[gone]);
    Some(Shape {
        tokens,
        wrap: Box::new(move |mut query, read| {
            let root = query.root?;
            let [key] = index.tables[root].primary.as_slice() else { return None };
            let key = ColumnRef::new(root, *key);
            let at = query.filter.iter().position(|it| compared(it).is_some())?;
            let (keys, _) = told_apart(index, &kind, &query, read)?;
            let held = query.filter.remove(at);
            let (left, times, mean) = compared(&held)?;
            let Predicate::Compare(_, comparison, _) = &held else { return None };
            // every other comparison with a mean would be of another group
            if query.filter.iter().any(|it| compared(it).is_some()) || mean.root != Some(root) {
                return None;
            }
            let mut each = LogicalQuery {
                select: vec![
                    Expr::Column(key),
                    left.clone(),
                    Expr::Window {
                        function: WindowFunction::Mean,
                        argument: Some(Box::new(left.clone())),
                        partition: keys.clone(),
                        order: Vec::new(),
                    },
                ],
                root: Some(root),
                filter: mean.filter.clone(),
                ..LogicalQuery::default()
            };
            for it in &keys {
                it.columns(&mut |column| bind_parent(index, &mut each, column));
            }
            let own = Expr::Output(2);
            let right = match times {
                Some(times) => {
                    Expr::Arithmetic(Arithmetic::Multiply, Box::new(times.clone()), Box::new(own))
                }
                None => own,
            };
            let those = LogicalQuery {
                select: vec![Expr::Output(0)],
                root: Some(root),
                filter: vec![Predicate::Compare(Expr::Output(1), *comparison, right)],
                source: Some(Box::new(each)),
                ..LogicalQuery::default()
            };
            query.filter.push(Predicate::InQuery {
                columns: vec![key],
                query: Box::new(those),
                negated: false,
            });
            Some(query)
        }),
    })
}

/// `the average of their category`: what names the group, and what goes.
fn behind(words: &Words<'_>, average: usize) -> Option<(Vec<Token>, (usize, usize))> {
    let (at, kind) = (average + 1..words.end().min(average + 5)).find_map(|at| {
        let length = words.says(
            at,
            &[
                "of|in|for|within|among|across|at their|its|his|her own",
                "of|in|for|within|among|across|at their|its|his|her",
                "of|in|for|within|among the same",
            ],
        )?;
        Some((at, at + length))
    })?;
    let end = (kind..words.end())
        .find(|it| matches!(words.0[*it].kind, TokenKind::Mark(_)))
        .unwrap_or(words.end());
    let named = (1..=MOST_WORDS).contains(&(end - kind));
    named.then(|| (words.0[kind..end].to_vec(), (at, end)))
}

/// `their department's average`
fn possessed(words: &Words<'_>, average: usize) -> Option<(Vec<Token>, (usize, usize))> {
    let group = words.0.get(average.checked_sub(1)?)?;
    let name = group.lower.strip_suffix("'s").or_else(|| group.lower.strip_suffix('\''))?;
    let from = average.checked_sub(2)?;
    let theirs = matches!(words.word(from), "their" | "its" | "his" | "her");
    theirs.then(|| (phrase::words(name, group), (from, average)))
}

/// A comparison of each row with a mean over all rows: of what, how many times the mean, and the query of the mean.
fn compared(it: &Predicate) -> Option<(&Expr, Option<&Expr>, &LogicalQuery)> {
    let Predicate::Compare(left, _, right) = it else { return None };
    let (times, query) = match right {
        Expr::Scalar(query) => (None, query),
        Expr::Arithmetic(Arithmetic::Multiply, times, query) => match query.as_ref() {
            Expr::Scalar(query) => (Some(times.as_ref()), query),
            _ => return None,
        },
        _ => return None,
    };
    let [Expr::Aggregate { function: Aggregate::Avg, argument: Some(of), filter: None, .. }] =
        query.select.as_slice()
    else {
        return None;
    };
    (of.as_ref() == left && query.group.is_empty() && query.source.is_none()).then_some((
        left,
        times,
        query.as_ref(),
    ))
}
