//! The first and the last of what belongs to each: `customers whose first order was cancelled`, and how soon the next one came:
//! `who came back for a second order within 30 days`.

use plinth_schema_introspect::TypeClass;

use super::{Read, Shape, Words, kinds::spoken};
use crate::{
    index::SchemaIndex,
    logical::{
        Aggregate, Arithmetic, ColumnRef, Comparison, Expr, Literal, LogicalQuery, OrderKey,
        Predicate, TimeUnit, WindowFunction,
    },
    token::{Token, TokenKind},
};

/// What belongs to each, when it happened, and to whom it belongs.
struct Series {
    table: usize,
    key: ColumnRef,
    owner: ColumnRef,
    moment: ColumnRef,
}

/// The rows that a name means, in the order in which they happened, for each row of another table.
fn series(index: &SchemaIndex, name: &[Token], of: usize, read: &Read<'_>) -> Option<Series> {
    let place = name.first()?;
    let mut tokens = spoken("number of", place, &[name]);
    tokens.extend(spoken("last month", place, &[]));
    let query = read(&tokens)?;
    let table = query.root?;
    let moment = query.filter.iter().find_map(|it| match it {
        Predicate::During { moment: Expr::Column(it), .. } if it.table == table => Some(*it),
        _ => None,
    })?;
    let [key] = index.tables[table].primary.as_slice() else { return None };
    let mut edges = index.edges_of[table]
        .iter()
        .map(|it| &index.edges[*it])
        .filter(|it| it.from == table && it.to == of && it.from_columns.len() == 1);
    let owner = edges.next()?.from_columns[0];
    edges.next().is_none().then(|| Series {
        table,
        key: ColumnRef::new(table, *key),
        owner: ColumnRef::new(table, owner),
        moment,
    })
}

impl Series {
    /// From the first, or from the last; of what happened at once the order in which it was written down.
    fn order(&self, last: bool) -> Vec<OrderKey> {
        [self.moment, self.key]
            .into_iter()
            .map(|it| OrderKey { by: Expr::Column(it), descending: last })
            .collect()
    }
}

/// The rows that somebody is asked about, of whom something further holds.
fn among(
    index: &SchemaIndex,
    mut query: LogicalQuery,
    those: LogicalQuery,
) -> Option<LogicalQuery> {
    let root = query.root?;
    let [key] = index.tables[root].primary.as_slice() else { return None };
    if query.limit.is_some() || !query.per.is_empty() || query.set.is_some() {
        return None;
    }
    query.filter.push(Predicate::InQuery {
        columns: vec![ColumnRef::new(root, *key)],
        query: Box::new(those),
        negated: false,
    });
    Some(query)
}

/// `how many customers had their very first order cancelled`, `customers whose last order was returned`
pub(super) fn first_or_last<'a>(index: &'a SchemaIndex, words: &Words<'a>) -> Option<Shape<'a>> {
    let end = words.end();
    let (from, until) = words.find(&[
        "had|have|has|got their|his|her very first|last",
        "had|have|has|got their|his|her first|last",
        "whose very first|last",
        "whose first|last",
    ])?;
    if from == 0 || until >= end {
        return None;
    }
    let last = words.word(until - 1) == "last";
    let name = words.0[until..=until].to_vec();
    // `whose last name is …`
    if name[0].kind != TokenKind::Word || matches!(name[0].lemma.as_str(), "name" | "initial") {
        return None;
    }
    let mut state = until + 1;
    while matches!(words.word(state), "was" | "were" | "is" | "got" | "be" | "been" | "being") {
        state += 1;
    }
    // `whose last order was a year ago` is a bound on the last moment
    if state >= end || (state..end).any(|it| words.word(it) == "ago") {
        return None;
    }
    // `in 2025`, `with a coupon`: said as they stand; `cancelled`: that were so
    let led = matches!(
        words.word(state),
        "in" | "with"
            | "without"
            | "via"
            | "through"
            | "over"
            | "on"
            | "by"
            | "from"
            | "during"
            | "before"
            | "after"
            | "since"
            | "under"
            | "above"
    );
    let place = name[0].clone();
    let what = if led {
        spoken("", &place, &[&name, &words.0[state..end]])
    } else {
        let mut all = name.clone();
        all.extend(spoken("that were", &place, &[&words.0[state..end]]));
        all
    };
    Some(Shape {
        tokens: words.0[..from].to_vec(),
        wrap: Box::new(move |query, read| {
            let series = series(index, &name, query.root?, read)?;
            let held = read(&what)?;
            let rows = held.root == Some(series.table)
                && held.limit.is_none()
                && held.group.is_empty()
                && held.per.is_empty()
                && held.set.is_none()
                && !held.filter.is_empty()
                && !held.select.iter().any(Expr::is_aggregate);
            if !rows {
                return None;
            }
            let extreme = LogicalQuery {
                select: vec![Expr::Column(series.key)],
                root: Some(series.table),
                per: vec![Expr::Column(series.owner)],
                order: series.order(last),
                limit: Some(1),
                ..LogicalQuery::default()
            };
            let mut filter = held.filter.clone();
            filter.push(Predicate::InQuery {
                columns: vec![series.key],
                query: Box::new(extreme),
                negated: false,
            });
            let those = LogicalQuery {
                select: vec![Expr::Column(series.owner)],
                root: Some(series.table),
                also: held.also.clone(),
                edges: held.edges.clone(),
                filter,
                ..LogicalQuery::default()
            };
            among(index, query, those)
        }),
    })
}

/// `how many buyers came back for a second order within 30 days of their first`: how far the second lies behind the first.
pub(super) fn soon_again<'a>(index: &'a SchemaIndex, words: &Words<'a>) -> Option<Shape<'a>> {
    let end = words.end();
    let (from, until) = words
        .find(&["a|another|the|their second|2nd", "another", "again"])
        .filter(|it| it.0 > 0)?;
    let within = (until..end).find(|it| words.word(*it) == "within")?;
    let number = |at: usize| match words.0.get(at).map(|it| it.kind) {
        #[expect(clippy::cast_possible_truncation, reason = "checked")]
        Some(TokenKind::Number(it)) if it.fract() == 0.0 && (1.0..=10_000.0).contains(&it) => {
            Some(it as i64)
        }
        _ => matches!(words.word(at), "a" | "one").then_some(1),
    };
    let count = number(within + 1)?;
    let unit = crate::time::unit(words.word(within + 2))?;
    // `of their first`
    let first = (within + 3..end).any(|it| matches!(words.word(it), "first" | "1st" | "previous"));
    let name = words.0[until..within].to_vec();
    if !first || name.len() != 1 || name[0].kind != TokenKind::Word {
        return None;
    }
    let verb = (1..=from).find(|it| {
        matches!(
            words.word(*it),
            "who"
                | "that"
                | "came"
                | "come"
                | "returned"
                | "return"
                | "placed"
                | "place"
                | "made"
                | "make"
                | "had"
                | "have"
                | "got"
                | "gave"
        )
    });
    let lead = words.0[..verb.unwrap_or(from)].to_vec();
    Some(Shape {
        tokens: lead,
        wrap: Box::new(move |query, read| {
            let series = series(index, &name, query.root?, read)?;
            let window = |function, argument: Option<Expr>| Expr::Window {
                function,
                argument: argument.map(Box::new),
                partition: vec![Expr::Column(series.owner)],
                order: series.order(false),
            };
            let moment = Expr::Column(series.moment);
            let source = LogicalQuery {
                select: vec![
                    Expr::Column(series.owner),
                    moment.clone(),
                    window(WindowFunction::Before, Some(moment)),
                    window(WindowFunction::Rank, None),
                ],
                root: Some(series.table),
                ..LogicalQuery::default()
            };
            // days apart are a number, moments apart a length of time
            let limit = match (index.column(series.moment).class, unit) {
                (TypeClass::Date, TimeUnit::Day | TimeUnit::Week) => {
                    let days = if unit == TimeUnit::Week { 7 * count } else { count };
                    #[expect(clippy::cast_precision_loss, reason = "a few days")]
                    Literal::Number(days as f64)
                }
                (TypeClass::Date, _) => return None,
                _ => Literal::Interval(count, unit),
            };
            let apart = Expr::Arithmetic(
                Arithmetic::Subtract,
                Box::new(Expr::Output(1)),
                Box::new(Expr::Output(2)),
            );
            let those = LogicalQuery {
                select: vec![Expr::Output(0)],
                root: Some(series.table),
                filter: vec![
                    Predicate::Compare(
                        Expr::Output(3),
                        Comparison::Equal,
                        Expr::Literal(Literal::Number(2.0)),
                    ),
                    Predicate::Compare(apart, Comparison::AtMost, Expr::Literal(limit)),
                ],
                source: Some(Box::new(source)),
                ..LogicalQuery::default()
            };
            among(index, query, those)
        }),
    })
}

/// `how many days pass on average between a customer's first and second order`, `average days between two orders of a
/// customer`: how far each lies behind the one before.
pub(super) fn apart<'a>(index: &'a SchemaIndex, words: &Words<'a>) -> Option<Shape<'a>> {
    let end = words.end();
    let (from, until) = words.find(&["between", "from"])?;
    let unit = (0..from).find_map(|it| match words.word(it) {
        "days" => Some(TimeUnit::Day),
        "hours" => Some(TimeUnit::Hour),
        "weeks" => Some(TimeUnit::Week),
        "months" => Some(TimeUnit::Month),
        "time" | "long" => Some(TimeUnit::Day),
        _ => None,
    })?;
    let function = if words.has(&["median"]) { Aggregate::Median } else { Aggregate::Avg };
    let (pair, after) = (until..end).find_map(|at| {
        let length = words.says(
            at,
            &[
                "first and|to second|2nd",
                "first and|to the|their second|2nd",
                "two consecutive|successive",
                "consecutive|successive",
                "two",
            ],
        )?;
        Some((at, at + length))
    })?;
    let second = words.word(pair) == "first";
    let plain = |it: &&Token| {
        it.kind == TokenKind::Word
            && !matches!(
                it.lower.as_str(),
                "a" | "an"
                    | "the"
                    | "their"
                    | "our"
                    | "each"
                    | "every"
                    | "same"
                    | "of"
                    | "by"
                    | "per"
                    | "for"
            )
    };
    // to whom they belong stands before them or behind
    let before: Vec<Token> = words.0[until..pair].iter().filter(plain).cloned().collect();
    let name = words.0.get(after..=after).filter(|_| after < end)?.to_vec();
    let behind: Vec<Token> = words.0[after + 1..end].iter().filter(plain).cloned().collect();
    let owner = match (before.len(), behind.len()) {
        (1 | 2, 0) => before,
        (0, 1 | 2) => behind,
        _ => return None,
    };
    let place = name[0].clone();
    Some(Shape {
        tokens: spoken("number of", &place, &[&owner]),
        wrap: Box::new(move |query, read| {
            if !query.filter.is_empty() || !query.group.is_empty() {
                return None;
            }
            let series = series(index, &name, query.root?, read)?;
            let window = |function, argument: Option<Expr>| Expr::Window {
                function,
                argument: argument.map(Box::new),
                partition: vec![Expr::Column(series.owner)],
                order: series.order(false),
            };
            let moment = Expr::Column(series.moment);
            let source = LogicalQuery {
                select: vec![
                    moment.clone(),
                    window(WindowFunction::Before, Some(moment)),
                    window(WindowFunction::Rank, None),
                ],
                root: Some(series.table),
                ..LogicalQuery::default()
            };
            // days apart are a number already
            let unit = match (index.column(series.moment).class, unit) {
                (TypeClass::Date, TimeUnit::Day) => None,
                (TypeClass::Date, _) => return None,
                _ => Some(unit),
            };
            let apart = Expr::Duration {
                from: Box::new(Expr::Output(1)),
                to: Box::new(Expr::Output(0)),
                unit,
            };
            let filter = second.then_some(Predicate::Compare(
                Expr::Output(2),
                Comparison::Equal,
                Expr::Literal(Literal::Number(2.0)),
            ));
            Some(LogicalQuery {
                select: vec![Expr::aggregate(function, apart)],
                root: Some(series.table),
                filter: filter.into_iter().collect(),
                source: Some(Box::new(source)),
                ..LogicalQuery::default()
            })
        }),
    })
}
