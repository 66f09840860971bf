//! Shapes of business questions that are more than one plain query: growth, running totals, comparisons of periods, the
//! best of each, shares, sets.
//!
//! A shape takes the words that make it up out of the question, lets the rest be read as any question, and puts what was
//! read together anew. So what may be measured, filtered and grouped is the same for all of them.

mod beyond;
mod contents;
mod costs;
mod events;
mod kinds;
mod own;
mod rank;
mod series;
mod sets;
mod share;
mod versus;

use jiff::civil::Date;
pub(crate) use rank::bind_parent;

use crate::{
    index::SchemaIndex,
    logical::{Aggregate, ColumnRef, Expr, LogicalQuery},
    phrase,
    token::{Token, TokenKind},
};

/// Reads further words as a question of their own; `None` where they are not surely understood.
pub(crate) type Read<'a> = dyn Fn(&[Token]) -> Option<LogicalQuery> + 'a;

/// Puts together what was read.
type Wrap<'a> = Box<dyn Fn(LogicalQuery, &Read<'_>) -> Option<LogicalQuery> + 'a>;

/// A way to read a question as a shape around a plainer one.
pub(crate) struct Shape<'a> {
    /// The plainer question.
    pub(crate) tokens: Vec<Token>,
    /// See [`Wrap`].
    pub(crate) wrap: Wrap<'a>,
}

/// The shapes that a question may have, the likeliest first.
pub(crate) fn find<'a>(index: &'a SchemaIndex, tokens: &'a [Token], today: Date) -> Vec<Shape<'a>> {
    let words = Words(tokens);
    [
        series::moving(&words),
        series::growth(index, &words),
        versus::versus(index, &words, today),
        kinds::kinds(index, &words),
        own::own_group(index, &words),
        beyond::beyond(&words, today),
        beyond::together(&words, today),
        contents::contents(index, &words),
        costs::costs(&words),
        events::first_or_last(index, &words),
        events::soon_again(index, &words),
        events::apart(index, &words),
        series::running(&words),
        share::share(index, &words, today),
        sets::set(index, &words, today),
        rank::per(index, &words),
        rank::nth(&words),
        rank::places(&words),
        series::mean(index, &words),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A question as words, to look for phrases in.
pub(crate) struct Words<'a>(pub(crate) &'a [Token]);

impl<'a> Words<'a> {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The word there in lower case; empty for what stood in quotes.
    pub(crate) fn word(&self, at: usize) -> &'a str {
        match self.0.get(at) {
            Some(token) if token.kind != TokenKind::Quoted => &token.lower,
            _ => "",
        }
    }

    /// How many tokens the first of these phrases has that stands there; `a|b` are alternatives.
    pub(crate) fn says(&self, at: usize, phrases: &[&str]) -> Option<usize> {
        phrases
            .iter()
            .filter(|phrase| {
                phrase
                    .split(' ')
                    .enumerate()
                    .all(|(step, any)| any.split('|').any(|it| it == self.word(at + step)))
            })
            .map(|it| it.split(' ').count())
            .max()
    }

    /// Where the first of these phrases stands.
    pub(crate) fn find(&self, phrases: &[&str]) -> Option<(usize, usize)> {
        (0..self.len()).find_map(|at| self.says(at, phrases).map(|length| (at, at + length)))
    }

    /// Whether one of these phrases stands anywhere.
    pub(crate) fn has(&self, phrases: &[&str]) -> bool {
        self.find(phrases).is_some()
    }

    /// The question without those parts.
    pub(crate) fn without(&self, parts: &[(usize, usize)]) -> Vec<Token> {
        let gone = |at: usize| parts.iter().any(|it| (it.0..it.1).contains(&at));
        (0..self.len()).filter(|at| !gone(*at)).map(|at| self.0[at].clone()).collect()
    }

    /// Without the mark at the end.
    pub(crate) fn end(&self) -> usize {
        let mut end = self.len();
        while end > 0 && matches!(self.0[end - 1].kind, TokenKind::Mark('?' | '.' | '!')) {
            end -= 1;
        }
        end
    }

    /// Where every one of these phrases stands.
    pub(crate) fn all(&self, phrases: &[&str]) -> Vec<(usize, usize)> {
        (0..self.len())
            .filter_map(|at| self.says(at, phrases).map(|length| (at, at + length)))
            .collect()
    }
}

/// Tokens with words put before the mark that ends them.
pub(crate) fn with_words(mut tokens: Vec<Token>, text: &str) -> Vec<Token> {
    let Some(last) = tokens.last().cloned() else { return tokens };
    let mut end = tokens.len();
    while end > 0 && matches!(tokens[end - 1].kind, TokenKind::Mark('?' | '.' | '!')) {
        end -= 1;
    }
    tokens.splice(end..end, phrase::words(text, &last));
    tokens
}

/// The only aggregate that a query shows.
pub(crate) fn measure(query: &LogicalQuery) -> Option<Expr> {
    let mut all = query.select.iter().filter(|it| it.is_aggregate());
    let first = all.next()?.clone();
    all.next().is_none().then_some(first)
}

/// The same aggregate over rows of which `filter` holds too.
pub(crate) fn only(measure: &Expr, filter: &crate::logical::Predicate) -> Option<Expr> {
    use crate::logical::Predicate;
    match measure {
        Expr::Aggregate { function, distinct, argument, filter: own } => {
            let filter = match own {
                Some(own) => Predicate::And(vec![own.as_ref().clone(), filter.clone()]),
                None => filter.clone(),
            };
            Some(Expr::Aggregate {
                function: *function,
                distinct: *distinct,
                argument: argument.clone(),
                filter: Some(Box::new(filter)),
            })
        }
        Expr::Arithmetic(how, a, b) => {
            Some(Expr::Arithmetic(*how, Box::new(only(a, filter)?), Box::new(only(b, filter)?)))
        }
        Expr::Literal(_) => Some(measure.clone()),
        _ => None,
    }
}

/// A list of rows as their number.
pub(crate) fn counted(index: &SchemaIndex, mut query: LogicalQuery) -> Option<LogicalQuery> {
    if query.select.iter().any(Expr::is_aggregate) {
        return Some(query);
    }
    if query.limit.is_some() || !query.per.is_empty() || query.set.is_some() {
        return None;
    }
    let root = query.root?;
    let alone = query.instances().iter().all(|it| it.0 == root);
    let count = match index.tables[root].primary.as_slice() {
        [key] if !alone => Expr::Aggregate {
            function: Aggregate::Count,
            distinct: true,
            argument: Some(Box::new(Expr::Column(ColumnRef::new(root, *key)))),
            filter: None,
        },
        _ => Expr::count(),
    };
    query.select = query.group.iter().cloned().chain([count]).collect();
    query.distinct = false;
    query.order.clear();
    Some(query)
}
