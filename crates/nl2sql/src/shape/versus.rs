//! Two periods beside each other: `revenue this year versus last year`, `how many more orders than the month before`.

use jiff::{ToSpan, civil::Date};

use super::{Shape, Words, counted, measure, only};
use crate::{
    index::SchemaIndex,
    logical::{Arithmetic, Comparison, Expr, Literal, LogicalQuery, Moment, Predicate, TimeUnit},
    phrase,
    time::{self, Bound, Span},
    token::Token,
};

/// What is wanted of the two.
#[derive(Clone, Copy, PartialEq)]
enum Wanted {
    Both,
    Difference,
    Growth,
    /// By how many percent, and nothing else.
    Percent,
}

const BESIDE: [&str; 14] = [
    "vs",
    "versus",
    "compared to|with",
    "in comparison to|with",
    "relative to",
    "against",
    "than",
    "as opposed to",
    "compare to|with",
    "compares to|with",
    "and compare to|with",
    "above or below",
    "higher|more|better|greater or lower|less|worse|smaller than",
    "or",
];

/// See the module.
pub(super) fn versus<'a>(
    index: &'a SchemaIndex,
    words: &Words<'a>,
    today: Date,
) -> Option<Shape<'a>> {
    let more = words.find(&[
        "how many more|fewer|less",
        "how much more|less",
        "difference",
        "change",
        "changed",
    ]);
    let grows = words.find(&[
        "growth",
        "grow",
        "grew",
        "grown",
        "increase",
        "increased",
        "decrease",
        "decreased",
        "rise",
        "rose",
        "fall",
        "fell",
        "drop",
        "dropped",
        "decline",
        "declined",
    ]);
    let percent = words.find(&["percent", "percentage", "%"]);
    let how_much = words.has(&["by how many|much percent|%", "by what|which percent|percentage"]);
    let (first, second, mut gone) = beside(words, today)
        .or_else(|| between(words, today, more.is_some() || grows.is_some()))
        .or_else(|| side_by_side(words, today))?;
    let wanted = match (more, grows) {
        _ if how_much => Wanted::Percent,
        (_, Some(_)) => Wanted::Growth,
        (Some(_), None) if percent.is_some() => Wanted::Growth,
        (Some(_), None) => Wanted::Difference,
        (None, None) => Wanted::Both,
    };
    gone.extend(words.all(&[
        "in percent",
        "as a percentage",
        "in percentage",
        "percentage",
        "percent",
        "by how many|much percent|% is|was|are|were|did",
        "by how many|much percent|%",
        "by what|which percent|percentage is|was|are|were|did",
        "by what|which percent|percentage",
        "by what",
        "by how much",
        "difference in|of|between",
        "difference",
        "change in|of",
        "change",
        "changed",
        "growth in|of|rate",
        "growth",
        "grow",
        "grew",
        "grown",
        "increase in|of",
        "increase",
        "increased",
        "decrease in|of",
        "decrease",
        "decreased",
        "rise in|of",
        "rise",
        "rose",
        "fall in|of",
        "fall",
        "fell",
        "drop in|of",
        "drop",
        "dropped",
        "decline in|of",
        "decline",
        "declined",
        "compare",
        "comparison of",
        "how does",
        "how do",
        "how did",
        "how has",
        "how have",
        "how much did",
        "did the|our",
        "did",
        "has",
        "have we",
    ]));
    let mut tokens: Vec<Token> = Vec::new();
    let kept = words.without(&gone);
    let mut at = 0;
    while at < kept.len() {
        // `how many more orders`: how many
        let many = at > 0
            && matches!(kept[at - 1].lower.as_str(), "many" | "much")
            && matches!(kept[at].lower.as_str(), "more" | "fewer" | "less");
        if !many {
            tokens.push(kept[at].clone());
        }
        at += 1;
    }
    Some(Shape {
        tokens,
        wrap: Box::new(move |query, _| put(index, query, &first, &second, wanted)),
    })
}

/// Two periods beside a word that compares.
fn beside(words: &Words<'_>, today: Date) -> Option<(Span, Span, Vec<(usize, usize)>)> {
    let spans = time::find(words.0, today);
    for at in 0..words.len() {
        let Some(length) = words.says(at, &BESIDE) else { continue };
        let next = at + length;
        let before = spans.iter().rev().find(|it| it.end <= at);
        let later = spans.iter().find(|it| it.first >= next && it.first <= next + 1);
        let relative = earlier(words, next);
        if words.word(at) == "or" && !words.has(&["more", "fewer", "less"]) {
            continue;
        }
        if let Some((shift, end)) = relative {
            // `last month than the month before`, and without a period: this one
            let first = match before {
                Some(it) => it.span.clone(),
                None => continue,
            };
            let second = shifted(&first, shift)?;
            return Some((first, second, vec![(at, end)]));
        }
        // `above or below 2025`: what is no time beside another word is one beside this
        if let (None, Some(before), "above" | "higher" | "more" | "better" | "greater") =
            (later, before, words.word(at))
            && let Some(span) = words.0.get(next..=next).and_then(|it| alone(it, today))
        {
            return Some((before.span.clone(), span, vec![(at, next + 1)]));
        }
        let Some(later) = later else { continue };
        if let Some(before) = before {
            let until = later.end;
            return Some((before.span.clone(), later.span.clone(), vec![(at, until)]));
        }
        // `compared to last month, how many orders …`
        if let Some(other) = spans.iter().find(|it| it.first >= later.end) {
            let mut until = later.end;
            if words.0.get(until).is_some_and(|it| it.is_mark(',')) {
                until += 1;
            }
            return Some((other.span.clone(), later.span.clone(), vec![(at, until)]));
        }
    }
    None
}

/// `from 2024 to 2025`, `between March and April 2026`, where something changes.
fn between(
    words: &Words<'_>,
    today: Date,
    changes: bool,
) -> Option<(Span, Span, Vec<(usize, usize)>)> {
    if !changes {
        return None;
    }
    for at in 0..words.len() {
        let joiner = match words.word(at) {
            "from" => "to",
            "between" => "and",
            _ => continue,
        };
        let Some(middle) = (at + 2..words.len().min(at + 6)).find(|&it| words.word(it) == joiner)
        else {
            continue;
        };
        for end in (middle + 2..=words.len().min(middle + 5)).rev() {
            let one = alone(&words.0[at + 1..middle], today);
            let two = alone(&words.0[middle + 1..end], today);
            if let (Some(one), Some(two)) = (one, two) {
                // the later one is what is held against the earlier one; the first stays in the question
                let (one, two) = in_one_year(one, two)?;
                return Some((two, one, vec![(at + 1, middle + 1), (at, at + 1)]));
            }
        }
    }
    None
}

/// `revenue 2025 and 2026 next to each other`
fn side_by_side(words: &Words<'_>, today: Date) -> Option<(Span, Span, Vec<(usize, usize)>)> {
    let said = words.find(&[
        "next to each other",
        "side by side",
        "beside each other",
        "against each other",
        "compared",
        "in comparison",
    ])?;
    let spans = time::find(words.0, today);
    let [.., one, two] = spans.as_slice() else { return None };
    Some((one.span.clone(), two.span.clone(), vec![said, (one.end, two.end)]))
}

/// `March` beside `April 2026` is in that year as well.
fn in_one_year(one: Span, two: Span) -> Option<(Span, Span)> {
    if let (Span::Month(month), Span::Range(Some(Moment::Day(day)), _)) = (&one, &two) {
        let first = Date::new(day.year(), *month, 1).ok()?;
        let next = first.checked_add(1.month()).ok()?;
        return Some((Span::Range(Some(Moment::Day(first)), Some(Moment::Day(next))), two));
    }
    Some((one, two))
}

/// What tokens mean as a period, if they are one.
fn alone(tokens: &[Token], today: Date) -> Option<Span> {
    let place = tokens.first()?;
    let mut all = phrase::words("in", place);
    all.extend_from_slice(tokens);
    let found = time::find(&all, today);
    match found.as_slice() {
        [one] if one.end == all.len() && one.first <= 1 => Some(one.span.clone()),
        _ => None,
    }
}

/// How far an earlier period lies back, where it is said by the other one: `the month before`, `the same period last year`.
fn earlier(words: &Words<'_>, at: usize) -> Option<(TimeUnit, usize)> {
    let mut next = at;
    while matches!(words.word(next), "in" | "the" | "during" | "that" | "of" | "for") {
        next += 1;
    }
    if let Some(length) = words.says(
        next,
        &[
            "same period|time|month|week|quarter|day|span last year",
            "same period|time|month|week|quarter|day of last year",
            "same period|time|month|week|quarter|day a|one year ago|before|earlier",
            "same period|time|month|week|quarter|day the year before",
            "same period|time|month|week|quarter|day the previous|prior year",
            "same period|time|month|week|quarter|day in|of the previous|prior year",
            "year before",
            "previous|prior|preceding year",
            "a|one year earlier|before|ago",
        ],
    ) {
        return Some((TimeUnit::Year, next + length));
    }
    let unit = |word: &str| time::unit(word);
    if let Some(unit) = unit(words.word(next))
        && matches!(words.word(next + 1), "before" | "prior" | "earlier")
    {
        let more = usize::from(words.word(next + 2) == "that");
        return Some((unit, next + 2 + more));
    }
    if matches!(words.word(next), "previous" | "prior" | "preceding")
        && let Some(unit) = unit(words.word(next + 1))
    {
        return Some((unit, next + 2));
    }
    None
}

/// A period moved back by one unit.
fn shifted(span: &Span, unit: TimeUnit) -> Option<Span> {
    let months = |unit: TimeUnit| match unit {
        TimeUnit::Month => Some(1),
        TimeUnit::Quarter => Some(3),
        TimeUnit::Year => Some(12),
        _ => None,
    };
    let back = |moment: &Moment| -> Option<Moment> {
        let steps = |own: TimeUnit| match (own, unit) {
            (a, b) if a == b => Some(1),
            (own, unit) => match (months(own), months(unit)) {
                (Some(own), Some(unit)) if unit % own == 0 => Some(unit / own),
                _ => match (own, unit) {
                    (TimeUnit::Day, TimeUnit::Week) => Some(7),
                    _ => None,
                },
            },
        };
        Some(match moment {
            Moment::Start(own, at) => Moment::Start(*own, at - steps(*own)?),
            Moment::Now(own, 0) => {
                let _ = own;
                Moment::Now(unit, -1)
            }
            Moment::Now(own, at) => Moment::Now(*own, at - steps(*own)?),
            Moment::Day(date) => Moment::Day(match unit {
                TimeUnit::Year => date.checked_sub(1.year()).ok()?,
                TimeUnit::Quarter => date.checked_sub(3.months()).ok()?,
                TimeUnit::Month => date.checked_sub(1.month()).ok()?,
                TimeUnit::Week => date.checked_sub(1.week()).ok()?,
                TimeUnit::Day | TimeUnit::Hour => date.checked_sub(1.day()).ok()?,
            }),
        })
    };
    match span {
        // a period that still runs, beside its like a year ago: as far as it has come
        Span::Range(Some(Moment::Start(own, 0)), None) => {
            Some(Span::Range(Some(back(&Moment::Start(*own, 0))?), Some(Moment::Now(unit, -1))))
        }
        Span::Range(Some(Moment::Now(own, at)), None) => {
            Some(Span::Range(Some(back(&Moment::Now(*own, *at))?), Some(Moment::Now(*own, *at))))
        }
        Span::Range(from, until) => {
            let move_all = |it: &Option<Moment>| match it {
                Some(it) => back(it).map(Some),
                None => Some(None),
            };
            Some(Span::Range(move_all(from)?, move_all(until)?))
        }
        Span::Year(year, Bound::In) if unit == TimeUnit::Year => {
            Some(Span::Year(year - 1, Bound::In))
        }
        _ => None,
    }
}

/// That a moment lies in a period.
pub(super) fn within(moment: &Expr, span: &Span) -> Option<Predicate> {
    let part = |part: &'static str, value: f64| {
        Predicate::Compare(
            Expr::Part(part, Box::new(moment.clone())),
            Comparison::Equal,
            Expr::Literal(Literal::Number(value)),
        )
    };
    Some(match span {
        Span::Range(from, until) => {
            Predicate::During { moment: moment.clone(), from: from.clone(), until: until.clone() }
        }
        Span::Year(year, Bound::In) => part("year", f64::from(*year)),
        Span::Month(month) => part("month", f64::from(*month)),
        _ => return None,
    })
}

/// The condition of a query that says when, and the moment it speaks of.
pub(super) fn when(query: &LogicalQuery) -> Option<(usize, Expr)> {
    query.filter.iter().enumerate().rev().find_map(|(at, it)| match it {
        Predicate::During { moment, .. } => Some((at, moment.clone())),
        Predicate::Compare(Expr::Part("year" | "month", moment), Comparison::Equal, _) => {
            Some((at, moment.as_ref().clone()))
        }
        _ => None,
    })
}

fn put(
    index: &SchemaIndex,
    query: LogicalQuery,
    first: &Span,
    second: &Span,
    wanted: Wanted,
) -> Option<LogicalQuery> {
    let mut query = counted(index, query)?;
    if query.limit.is_some() || !query.per.is_empty() || !query.having.is_empty() {
        return None;
    }
    let value = measure(&query)?;
    let (at, moment) = when(&query)?;
    query.filter.remove(at);
    let (now, then) = (within(&moment, first)?, within(&moment, second)?);
    query.filter.push(Predicate::Or(vec![now.clone(), then.clone()]));
    let (now, then) = (only(&value, &now)?, only(&value, &then)?);
    let at = query.select.iter().position(|it| *it == value)?;
    let difference =
        Expr::Arithmetic(Arithmetic::Subtract, Box::new(now.clone()), Box::new(then.clone()));
    let shown = match wanted {
        Wanted::Both => vec![now, then],
        Wanted::Difference => vec![difference],
        Wanted::Percent => vec![Expr::Percentage(Box::new(difference), Box::new(then))],
        Wanted::Growth => {
            vec![
                now,
                then.clone(),
                difference.clone(),
                Expr::Percentage(Box::new(difference), Box::new(then)),
            ]
        }
    };
    query.select.splice(at..=at, shown);
    query.order.clear();
    Some(query)
}
