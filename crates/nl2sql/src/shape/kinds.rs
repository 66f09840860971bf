//! Two kinds beside each other: `orders with a coupon vs without`, `average fee of private vs business members`.

use super::{Shape, Words, counted, measure, only};
use crate::{
    index::SchemaIndex,
    logical::{Comparison, Expr, Literal, LogicalQuery, Predicate},
    phrase,
    token::{Token, TokenKind},
};

/// Words of which the second says no more than that the first is not so.
const OPPOSITES: [(&str, &str); 10] = [
    ("business", "private"),
    ("corporate", "private"),
    ("commercial", "private"),
    ("business", "individual"),
    ("company", "private"),
    ("active", "inactive"),
    ("paid", "unpaid"),
    ("internal", "external"),
    ("public", "private"),
    ("preferred", "other"),
];

/// See the module.
pub(super) fn kinds<'a>(index: &'a SchemaIndex, words: &Words<'a>) -> Option<Shape<'a>> {
    let (at, until) = words.find(&["vs|versus", "vs .", "compared to|with", "as opposed to"])?;
    let end = words.end();
    if at == 0 || until >= end {
        return None;
    }
    with_and_without(index, words, at, until, end)
        .or_else(|| one_and_other(index, words, at, until, end))
}

/// `orders with a coupon vs without`
fn with_and_without<'a>(
    index: &'a SchemaIndex,
    words: &Words<'a>,
    at: usize,
    until: usize,
    end: usize,
) -> Option<Shape<'a>> {
    let with = (1..at).rev().find(|it| matches!(words.word(*it), "with" | "having" | "using"))?;
    let without = (until..end)
        .find(|it| matches!(words.word(*it), "without"))
        .filter(|it| (until..*it).all(|it| matches!(words.word(it), "those" | "ones" | "the")))?;
    let what = &words.0[with + 1..at];
    if what.is_empty() {
        return None;
    }
    // the same thing may be said once more, and what follows holds for both
    let mut tail = without + 1;
    let again = what.last().is_some_and(|it| {
        (tail..end.min(tail + what.len() + 1)).any(|at| words.0[at].lemma == it.lemma)
    });
    if again {
        while words.0[tail].lemma != what[what.len() - 1].lemma {
            tail += 1;
        }
        tail += 1;
    } else if matches!(words.word(tail), "one" | "any" | "it") {
        tail += 1;
    }
    let rest = &words.0[tail..end];
    let mut tokens: Vec<Token> = words.0[..with].to_vec();
    let mut all = tokens.clone();
    all.extend_from_slice(rest);
    tokens.push(words.0[without].clone());
    tokens.extend_from_slice(what);
    tokens.extend_from_slice(rest);
    Some(Shape {
        tokens,
        wrap: Box::new(move |query, read| {
            let (without, all) = (counted(index, query)?, counted(index, read(&all)?)?);
            let (mine, rest) = apart(&without, &all)?;
            beside(without, &denied(&mine), &mine, rest)
        }),
    })
}

/// `average order value of business vs private customers`: two words before what they are said of.
fn one_and_other<'a>(
    index: &'a SchemaIndex,
    words: &Words<'a>,
    at: usize,
    until: usize,
    end: usize,
) -> Option<Shape<'a>> {
    let is_word = |at: usize| words.0.get(at).is_some_and(|it| it.kind == TokenKind::Word);
    let noun = until + 1;
    if noun >= end || !is_word(at - 1) || !is_word(until) || !is_word(noun) {
        return None;
    }
    let put = |kind: Option<usize>| -> Vec<Token> {
        let mut all: Vec<Token> = words.0[..at - 1].to_vec();
        all.extend(kind.map(|it| words.0[it].clone()));
        all.extend_from_slice(&words.0[noun..end]);
        all
    };
    let (first, second, all) = (put(Some(at - 1)), put(Some(until)), put(None));
    let opposite = OPPOSITES.iter().any(|(a, b)| {
        let pair = (words.word(at - 1), words.word(until));
        pair == (*a, *b) || pair == (*b, *a)
    });
    let denying = opposite && OPPOSITES.iter().any(|it| it.1 == words.word(at - 1));
    let tokens = if denying { second.clone() } else { first.clone() };
    Some(Shape {
        tokens,
        wrap: Box::new(move |query, read| {
            let one = counted(index, query)?;
            let all = counted(index, read(&all)?)?;
            let (mine, rest) = apart(&one, &all)?;
            if opposite {
                let not = denied(&mine);
                let (a, b) = if denying { (&not, &mine) } else { (&mine, &not) };
                return beside(one, a, b, rest);
            }
            let other = counted(index, read(&second)?)?;
            let (yours, _) = apart(&other, &all)?;
            let same = measure(&one)? == measure(&other)? && one.instances() == other.instances();
            if !same || mine == yours {
                return None;
            }
            beside(one, &mine, &yours, rest)
        }),
    })
}

/// What holds of the rows of the first that need not hold of those of the second, and what holds of both.
fn apart(one: &LogicalQuery, all: &LogicalQuery) -> Option<(Predicate, Vec<Predicate>)> {
    let plain = |it: &LogicalQuery| {
        it.limit.is_none() && it.per.is_empty() && it.set.is_none() && it.having.is_empty()
    };
    if !plain(one) || !plain(all) || measure(one)? != measure(all)? || one.group != all.group {
        return None;
    }
    if !all.filter.iter().all(|it| one.filter.contains(it)) {
        return None;
    }
    let more: Vec<&Predicate> = one.filter.iter().filter(|it| !all.filter.contains(it)).collect();
    match more.as_slice() {
        [one] => Some(((*one).clone(), all.filter.clone())),
        _ => None,
    }
}

/// The measure of rows of one kind and of rows of another.
fn beside(
    mut query: LogicalQuery,
    one: &Predicate,
    other: &Predicate,
    rest: Vec<Predicate>,
) -> Option<LogicalQuery> {
    let value = measure(&query)?;
    let at = query.select.iter().position(|it| *it == value)?;
    query.select.splice(at..=at, [only(&value, one)?, only(&value, other)?]);
    query.filter = rest;
    query.order.clear();
    Some(query)
}

/// What holds where this does not.
fn denied(it: &Predicate) -> Predicate {
    match it {
        Predicate::Null { column, negated } => {
            Predicate::Null { column: *column, negated: !negated }
        }
        Predicate::InQuery { columns, query, negated } => {
            Predicate::InQuery { columns: columns.clone(), query: query.clone(), negated: !negated }
        }
        Predicate::Compare(a, how, b @ Expr::Literal(Literal::Boolean(_)))
            if matches!(how, Comparison::Equal | Comparison::NotEqual) =>
        {
            Predicate::Compare(a.clone(), how.negated(), b.clone())
        }
        Predicate::Not(it) => it.as_ref().clone(),
        _ => Predicate::Not(Box::new(it.clone())),
    }
}

/// Words of a question put before others.
pub(super) fn spoken(text: &str, place: &Token, more: &[&[Token]]) -> Vec<Token> {
    let mut all = phrase::words(text, place);
    for it in more {
        all.extend_from_slice(it);
    }
    all
}
