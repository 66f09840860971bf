//! Groups held against all groups: `months that were better than the average month`, and the best of them added up: `revenue
//! of our 100 best customers together`.

use jiff::civil::Date;

use super::{Shape, Words, kinds::spoken, measure};
use crate::{
    lexicon::LEXICON,
    logical::{Aggregate, Comparison, Expr, LogicalQuery, Predicate},
    time,
    token::{Token, TokenKind},
};

const MORE: &str = "better|higher|stronger|more|larger|bigger|greater|busier";
const LESS: &str = "worse|lower|weaker|less|fewer|smaller|slower|poorer";

/// Words that say what was earned.
fn earned(word: &str) -> bool {
    matches!(word, "revenue" | "turnover" | "sales" | "money" | "earnings" | "takings")
}

/// `which months of 2025 were better than the average month of that year`, `customers with more orders than the average
/// customer`
pub(super) fn beyond<'a>(words: &Words<'a>, today: Date) -> Option<Shape<'a>> {
    let end = words.end();
    let (average, kind) = words.find(&[
        "than the|an|a|our average|mean|typical",
        "above|below the|an|a|our average|mean",
        "than average|usual",
    ])?;
    let lemma = words.0.get(kind).filter(|_| kind < end).map(|it| it.lemma.as_str())?;
    // the things that are compared, as they were named before
    let thing = (0..average).find(|it| words.0[*it].lemma == lemma)?;
    let compared = (thing + 1..=average)
        .rev()
        .find_map(|it| {
            let up = words.says(it, &[MORE, "above"]).is_some();
            (up || words.says(it, &[LESS, "below"]).is_some()).then_some((it, up))
        })
        .filter(|it| average - it.0.min(average) <= 4)?;
    let comparison = if compared.1 { Comparison::Greater } else { Comparison::Less };
    // what is counted or summed up stands between: `more orders than`
    let mut between: Vec<Token> = words.0[(compared.0 + 1).min(average)..average].to_vec();
    let unit = time::unit(lemma);
    // `spent more than the average customer`: how much they brought
    let spent = between.is_empty()
        && unit.is_none()
        && compared.0 > 0
        && matches!(words.word(compared.0 - 1), "spent" | "spend" | "paid" | "bought");
    if between.is_empty() && unit.is_none() && !spent {
        return None;
    }
    let spans = time::find(words.0, today);
    if between.is_empty() {
        // or in front: `months with revenue above the average month`
        let timed = |at: usize| spans.iter().any(|it| (it.first..it.end).contains(&at));
        between = (thing + 1..compared.0)
            .filter(|it| !timed(*it) && !LEXICON.is_stop(words.word(*it)))
            .map(|it| words.0[it].clone())
            .collect();
    }
    if spent {
        between.clear();
    }
    let counts = words.says(0, &["how many", "number of"]).is_some();
    let assumed = between.is_empty();
    // `of that year` says once more when
    let mut after = kind + 1;
    let again = [
        "of|in|for that|this year|period|month|quarter|time",
        "of|in|for the same year|period|month|quarter|time",
    ];
    after += words.says(after, &again).unwrap_or(0);
    // who did not, has nothing to be held against
    let did = [
        "who|that bought|ordered|purchased",
        "who|that bought|ordered|purchased something|anything",
        "who|that ever|has|have bought|ordered|purchased",
        "who|that ever bought|ordered|purchased something|anything",
    ];
    after += words.says(after, &did).unwrap_or(0);
    if after < end {
        return None;
    }
    let mut tail: Vec<Token> = Vec::new();
    for it in spans.iter().filter(|it| it.end <= average) {
        tail.extend_from_slice(&words.0[it.first..it.end]);
    }
    let place = words.0[thing].clone();
    if between.last().is_some_and(|it| it.lower == "in") {
        between.pop();
    }
    let sums = between.last().is_some_and(|it| earned(&it.lower));
    let lead = match (assumed, sums) {
        (true, _) => "revenue",
        (_, true) => "",
        _ => "number of",
    };
    let by = match unit {
        Some(unit) => format!("by {}", unit.name()),
        None => format!("per {lemma}"),
    };
    let mut tokens = spoken(lead, &place, &[&between, &tail]);
    tokens.extend(spoken(&by, &place, &[]));
    Some(Shape {
        tokens,
        wrap: Box::new(move |mut query, _| {
            let value = measure(&query)?;
            let plain = query.limit.is_none()
                && query.per.is_empty()
                && query.having.is_empty()
                && query.set.is_none()
                && query.source.is_none();
            if query.group.is_empty() || !plain {
                return None;
            }
            query.order.clear();
            let each = LogicalQuery { select: vec![value.clone()], ..query.clone() };
            let mean = LogicalQuery {
                select: vec![Expr::aggregate(Aggregate::Avg, Expr::Output(0))],
                root: query.root,
                source: Some(Box::new(each)),
                ..LogicalQuery::default()
            };
            query.having.push(Predicate::Compare(value, comparison, Expr::Scalar(Box::new(mean))));
            if counts {
                query.select.retain(|it| !it.is_aggregate());
                return Some(LogicalQuery {
                    select: vec![Expr::count()],
                    root: query.root,
                    source: Some(Box::new(query)),
                    ..LogicalQuery::default()
                });
            }
            Some(query)
        }),
    })
}

/// `how much revenue did our 100 best customers bring us together`: a sum over the first of a ranking.
pub(super) fn together<'a>(words: &Words<'a>, today: Date) -> Option<Shape<'a>> {
    let end = words.end();
    if !words.has(&["together", "combined", "in total", "altogether", "in sum"]) {
        return None;
    }
    let number = |at: usize| matches!(words.0.get(at).map(|it| it.kind), Some(TokenKind::Number(it)) if it >= 2.0 && it.fract() == 0.0);
    let degree = |at: usize| {
        matches!(words.word(at), "best" | "top" | "biggest" | "largest" | "most" | "strongest")
    };
    // `100 best customers`, `top 100 customers`
    let (from, noun) = (0..end).find_map(|at| {
        let (a, b) = (number(at) && degree(at + 1), degree(at) && number(at + 1));
        (a || b).then_some((at, at + 2))
    })?;
    if !words.0.get(noun).is_some_and(|it| it.kind == TokenKind::Word) || noun >= end {
        return None;
    }
    if !(0..end).any(|it| earned(words.word(it))) {
        return None;
    }
    let many = if number(from) { from } else { from + 1 };
    let spans = time::find(words.0, today);
    let mut tail: Vec<Token> = Vec::new();
    for it in spans.iter().filter(|it| it.first > noun || it.end <= from) {
        tail.extend_from_slice(&words.0[it.first..it.end]);
    }
    let place = words.0[noun].clone();
    let mut tokens = spoken("top", &place, &[&words.0[many..=many], &words.0[noun..=noun]]);
    tokens.extend(spoken("by revenue", &place, &[&tail]));
    Some(Shape {
        tokens,
        wrap: Box::new(|mut query, _| {
            let [key] = query.order.as_slice() else { return None };
            let plain = query.limit.is_some_and(|it| it > 1)
                && query.per.is_empty()
                && query.set.is_none()
                && query.source.is_none();
            if query.group.is_empty() || !plain || !key.by.is_aggregate() {
                return None;
            }
            query.select = vec![key.by.clone()];
            query.distinct = false;
            Some(LogicalQuery {
                select: vec![Expr::aggregate(Aggregate::Sum, Expr::Output(0))],
                root: query.root,
                source: Some(Box::new(query)),
                ..LogicalQuery::default()
            })
        }),
    })
}
