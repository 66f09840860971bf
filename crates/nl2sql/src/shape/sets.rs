//! Sets: those of one kind but not of another, those of both.

use jiff::civil::Date;

use super::{Shape, Words};
use crate::{
    conversation::multiplies,
    index::SchemaIndex,
    logical::{Aggregate, ColumnRef, Expr, LogicalQuery, Predicate, SetOperation},
    phrase, time,
    token::Token,
};

/// `customers who ordered in 2025 but not in 2026`, `countries where we have customers but no supplier`
pub(super) fn set<'a>(index: &'a SchemaIndex, words: &Words<'a>, today: Date) -> Option<Shape<'a>> {
    both_times(index, words, today)
        .or_else(|| without(index, words, today))
        .or_else(|| as_well(index, words))
        .or_else(|| both_places(index, words, today))
        .or_else(|| both_things(index, words))
}

fn without<'a>(index: &'a SchemaIndex, words: &Words<'a>, today: Date) -> Option<Shape<'a>> {
    let denials = [
        "but not|no|never|without|didn't|don't|doesn't|haven't|hasn't|aren't|isn't|weren't|wasn't",
        "but have|has|had|did|do|does|are|is|were|was not|never|no",
        "and not|never|didn't|don't|haven't|hasn't",
        "and did|do|have|has|had|were|was not|never|no",
        "and no",
        "but who|that did|do|have|has|had|were|was not|never|no",
        "but then|also not|never|didn't",
        "yet not|never|no",
    ];
    let (at, until) = words.find(&denials)?;
    let end = words.end();
    if at < 2 || until >= end {
        return None;
    }
    let mut left: Vec<Token> = words.0[..at].to_vec();
    while left.last().is_some_and(|it| it.is_mark(',')) {
        left.pop();
    }
    let right: &[Token] = &words.0[until..end];
    let place = right.first()?.clone();
    let spans = time::find(&left, today);
    let elided = time::find(right, today).first().is_some_and(|it| {
        it.first == 0 && it.end == right.len()
            || it.first <= 1
                && matches!(right[0].lower.as_str(), "in" | "during" | "since")
                && it.end == right.len()
    });
    let denies_rows = words.word(until - 1) == "no" || words.word(until - 1) == "without";
    let other: Vec<Token> = if elided {
        // the same, at another time
        let span = spans.last()?;
        let mut all = left[..span.first].to_vec();
        all.extend_from_slice(right);
        all.extend_from_slice(&left[span.end..]);
        all
    } else if let ([since], Some(span)) = (right, spans.last())
        && since.lower == "since"
    {
        // `in 2025 but not since`
        let mut all = left[..span.first].to_vec();
        all.extend(phrase::words("after", &place));
        let lead = usize::from(left[span.first].lower == "in");
        all.extend_from_slice(&left[span.first + lead..]);
        all
    } else if denies_rows {
        // the same words up to what one has
        let verb = (0..left.len()).rev().find(|&it| {
            matches!(left[it].lower.as_str(), "have" | "has" | "had" | "with" | "got" | "are")
        })?;
        let mut all = left[..=verb].to_vec();
        all.extend_from_slice(right);
        all
    } else {
        // the same ones, who did another thing
        let verb = (1..left.len()).find(|&it| {
            matches!(
                left[it].lower.as_str(),
                "who"
                    | "that"
                    | "which"
                    | "have"
                    | "has"
                    | "had"
                    | "with"
                    | "from"
                    | "in"
                    | "are"
                    | "were"
                    | "was"
            ) || left[it].lower.ends_with("ed")
                || matches!(left[it].lower.as_str(), "bought" | "wrote" | "made" | "sold" | "paid")
        })?;
        let mut all = left[..verb].to_vec();
        all.extend(phrase::words("that", &place));
        all.extend_from_slice(right);
        all
    };
    Some(Shape {
        tokens: left,
        wrap: Box::new(move |query, read| put(index, query, read(&other)?, SetOperation::Except)),
    })
}

/// `countries where we have suppliers as well as customers`
fn as_well<'a>(index: &'a SchemaIndex, words: &Words<'a>) -> Option<Shape<'a>> {
    let (from, at, until) = match words.find(&["as well as", "and also"]) {
        Some((at, until)) => (0, at, until),
        None => {
            // `both an office and customers`
            let (both, _) = words.find(&["have|has|with both"])?;
            let and = (both + 2..words.end()).find(|it| words.word(*it) == "and")?;
            (both + 1, and, and + 1)
        }
    };
    let verb = (0..at).rev().find(|it| matches!(words.word(*it), "have" | "has" | "with"))?;
    if verb + 1 >= at || until >= words.end() {
        return None;
    }
    let mut left: Vec<Token> = words.0[..at].to_vec();
    if from > 0 {
        left.remove(from);
    }
    let mut other: Vec<Token> = words.0[..=verb].to_vec();
    other.extend_from_slice(&words.0[until..words.end()]);
    Some(Shape {
        tokens: left,
        wrap: Box::new(move |query, read| {
            let [Expr::Column(_)] = query.select.as_slice() else { return None };
            put(index, query, read(&other)?, SetOperation::Intersect)
        }),
    })
}

/// `articles that went to one shop as well as to another in 2025`: those of which both hold, where one of them may have several.
fn both_places<'a>(index: &'a SchemaIndex, words: &Words<'a>, today: Date) -> Option<Shape<'a>> {
    let (at, until) = words.find(&["as well as to|from|in|at|via|through|by"])?;
    let (end, again) = (words.end(), until - 1);
    let from = (1..at).rev().find(|it| words.word(*it) == words.word(again))?;
    if until >= end {
        return None;
    }
    // a time at the end holds for both
    let spans = time::find(words.0, today);
    let tail = spans.last().filter(|it| it.end == end && it.first > until).map(|it| it.first);
    let mut left: Vec<Token> = words.0[..at].to_vec();
    left.extend_from_slice(&words.0[tail.unwrap_or(end)..end]);
    let mut other: Vec<Token> = words.0[..from].to_vec();
    other.extend_from_slice(&words.0[again..end]);
    Some(Shape {
        tokens: left,
        wrap: Box::new(move |query, read| {
            let several = multiplies(index, &query);
            let other = read(&other).filter(|_| several)?;
            put(index, query, other, SetOperation::Intersect)
        }),
    })
}

/// `who bought something from one shelf and something from another`: those who did both.
fn both_things<'a>(index: &'a SchemaIndex, words: &Words<'a>) -> Option<Shape<'a>> {
    const THING: [&str; 3] = ["something|anything", "one thing", "at least one thing"];
    let (first, length) = words.find(&THING).map(|it| (it.0, it.1 - it.0))?;
    let and = (first + length + 1..words.end())
        .find(|it| words.word(*it) == "and" && words.says(it + 1, &THING).is_some())?;
    if first < 2 || and + 2 >= words.end() {
        return None;
    }
    let mut other: Vec<Token> = words.0[..first].to_vec();
    other.extend_from_slice(&words.0[and + 1..words.end()]);
    Some(Shape {
        tokens: words.0[..and].to_vec(),
        wrap: Box::new(move |query, read| {
            put(index, query, read(&other)?, SetOperation::Intersect)
        }),
    })
}

/// `customers who ordered in both 2024 and 2025`
fn both_times<'a>(index: &'a SchemaIndex, words: &Words<'a>, today: Date) -> Option<Shape<'a>> {
    let (at, _) = words.find(&["both"])?;
    let middle = (at + 2..words.end().min(at + 7)).find(|&it| words.word(it) == "and")?;
    let lead = matches!(words.word(at - usize::from(at > 0)), "in" | "during" | "on");
    let first = &words.0[at + 1..middle];
    let place = first.first()?.clone();
    for end in (middle + 2..=words.end().min(middle + 5)).rev() {
        let second = &words.0[middle + 1..end];
        let timed = |part: &[Token]| {
            let mut all = phrase::words("in", &place);
            let own = part.first().is_some_and(|it| it.lower == "in");
            all.extend_from_slice(if own { &part[1..] } else { part });
            let whole = time::find(&all, today).first().is_some_and(|it| it.end == all.len());
            whole.then_some(all)
        };
        let (Some(one), Some(two)) = (timed(first), timed(second)) else { continue };
        let with = |part: Vec<Token>| {
            let mut all = words.0[..at - usize::from(lead)].to_vec();
            all.extend(part);
            all.extend_from_slice(&words.0[end..]);
            all
        };
        let (tokens, other) = (with(one), with(two));
        return Some(Shape {
            tokens,
            wrap: Box::new(move |query, read| {
                put(index, query, read(&other)?, SetOperation::Intersect)
            }),
        });
    }
    None
}

/// The table whose rows a query counts or shows.
fn subject(index: &SchemaIndex, query: &LogicalQuery) -> Option<usize> {
    let table = match query.select.first()? {
        Expr::Aggregate { function: Aggregate::Count, argument: Some(of), .. } => match of.as_ref()
        {
            Expr::Column(it) if index.tables[it.table].is_keyed_by(it.column) => it.table,
            _ => return None,
        },
        Expr::Aggregate { function: Aggregate::Count, argument: None, .. } => query.root?,
        Expr::Column(it) if it.role == 0 => {
            let known = query.select.iter().all(|other| {
                matches!(other, Expr::Column(other) if other.table == it.table
                    && (index.tables[it.table].display.contains(&other.column)
                        || index.tables[it.table].primary.contains(&other.column)))
            });
            if !known {
                return None;
            }
            it.table
        }
        _ => return None,
    };
    (index.tables[table].primary.len() == 1).then_some(table)
}

/// The keys of the rows that a query counts or shows.
fn keys(index: &SchemaIndex, mut query: LogicalQuery, table: usize) -> LogicalQuery {
    let key = ColumnRef::new(table, index.tables[table].primary[0]);
    query.select = vec![Expr::Column(key)];
    query.distinct = false;
    query.order.clear();
    if !query.group.is_empty() && !query.group.contains(&Expr::Column(key)) {
        query.group.push(Expr::Column(key));
    }
    query
}

fn put(
    index: &SchemaIndex,
    one: LogicalQuery,
    two: LogicalQuery,
    how: SetOperation,
) -> Option<LogicalQuery> {
    let plain = |it: &LogicalQuery| {
        it.limit.is_none() && it.per.is_empty() && it.set.is_none() && it.source.is_none()
    };
    // what stands in a set stands in the same one
    if !plain(&one) || !plain(&two) || one == two {
        return None;
    }
    if let (Some(table), Some(other)) = (subject(index, &one), subject(index, &two))
        && table == other
    {
        let key = ColumnRef::new(table, index.tables[table].primary[0]);
        let counts = one.select[0].is_aggregate();
        let show = if counts { vec![Expr::count()] } else { one.select.clone() };
        let among = |query: LogicalQuery, negated| Predicate::InQuery {
            columns: vec![key],
            query: Box::new(keys(index, query, table)),
            negated,
        };
        // what the rows themselves must be like needs no other query
        let own = one.instances().iter().all(|it| it.0 == table) && one.having.is_empty();
        let mut filter = if own { one.filter.clone() } else { vec![among(one, false)] };
        filter.push(among(two, how == SetOperation::Except));
        return Some(LogicalQuery {
            select: show,
            root: Some(table),
            filter,
            ..LogicalQuery::default()
        });
    }
    // values that stand in both: `countries where …`
    if let ([Expr::Column(a)], [Expr::Column(b)]) = (one.select.as_slice(), two.select.as_slice())
        && index.column(*a).class == index.column(*b).class
        && one.group.is_empty()
        && two.group.is_empty()
    {
        let clean = |mut it: LogicalQuery| {
            it.order.clear();
            it.distinct = false;
            it
        };
        let mut all = clean(one);
        all.set = Some((how, Box::new(clean(two))));
        return Some(all);
    }
    None
}
