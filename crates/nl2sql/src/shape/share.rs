//! Shares: which part of all rows, or of what they bring, is of some kind.

use jiff::civil::Date;

use super::{Shape, Words, counted, measure, only};
use crate::{
    index::{FastMap, SchemaIndex},
    lexicon::LEXICON,
    logical::{Arithmetic, Expr, LogicalQuery, Predicate},
    phrase, time,
    token::{Token, TokenKind},
};

const ASKS: [&str; 15] = [
    "what|which portion|ratio of",
    "what|which percentage|percent|share|proportion|fraction|part of",
    "what|which % of",
    "percentage|percent|share|proportion|fraction of",
    "% of",
    "what is the percentage|percent|share|proportion|fraction of",
    "what was the percentage|percent|share|proportion|fraction of",
    "how many percent of",
    "what|which percentage|share of all|our|the",
    "percentage|share|proportion of all|our|the",
    "what|which percentage|percent|share|proportion|fraction of all|our|the",
    "what is the percentage|share|proportion of all|our|the",
    "how much of all|our|the",
    "how much of",
    "how many of all|our|the",
];

/// Words that begin what is said of the whole.
const TURNS: [&str; 44] = [
    "were", "was", "are", "is", "have", "has", "had", "did", "do", "does", "get", "gets", "got",
    "came", "come", "comes", "went", "go", "goes", "that", "who", "which", "with", "without",
    "made", "in", "from", "by", "to", "through", "via", "over", "under", "above", "below", "using",
    "paid", "whose", "where", "being", "on", "at", "never", "not",
];

/// `what percentage of orders were cancelled`, `share of parcels delivered late, by carrier`, `return rate per channel`
pub(super) fn share<'a>(
    index: &'a SchemaIndex,
    words: &Words<'a>,
    today: Date,
) -> Option<Shape<'a>> {
    // a fraction is of one, a percentage of a hundred
    let of_one = words.has(&["proportion|fraction"]) && !words.has(&["percent|percentage|%"]);
    let shape = of_hundred(index, words, today)?;
    if !of_one {
        return Some(shape);
    }
    let Shape { tokens, wrap } = shape;
    Some(Shape {
        tokens,
        wrap: Box::new(move |query, read| {
            let mut query = wrap(query, read)?;
            for it in &mut query.select {
                if let Expr::Percentage(part, whole) = it {
                    *it = Expr::Arithmetic(Arithmetic::Divide, part.clone(), whole.clone());
                }
            }
            Some(query)
        }),
    })
}

/// The same in percent.
fn of_hundred<'a>(index: &'a SchemaIndex, words: &Words<'a>, today: Date) -> Option<Shape<'a>> {
    if let Some(tokens) = rate(index, words) {
        return cut(index, &tokens, 0, today);
    }
    if let Some(shape) = beside(index, words) {
        return Some(shape);
    }
    let (from, until) = words.find(&ASKS)?;
    // `more than 80 percent of …` is a bound
    if from > 0 && matches!(words.0[from - 1].kind, TokenKind::Number(_)) {
        return None;
    }
    let length = words.says(from, &ASKS)?;
    // `how much of`, `how many of` ask for a share only where that is said
    if words.word(from) == "how"
        && words.word(from + 2) != "percent"
        && !words.has(&["in percent", "percent", "percentage", "in %", "as a percentage", "%"])
        && words.word(from + 1) == "many"
    {
        return None;
    }
    let _ = until;
    let mut tokens: Vec<Token> = words.0[..words.end()].to_vec();
    // what stands in front (`for each channel, …`) goes behind
    let front: Vec<Token> = tokens.drain(..from).collect();
    tokens.drain(..length);
    let told = Words(&tokens);
    let gone = told.all(&[
        "in percent",
        "as a percentage",
        "in percentage",
        "percent",
        "in %",
        "as percent",
        "percentage",
    ]);
    let mut tokens = told.without(&gone);
    // the commas around what is gone
    tokens.dedup_by(|next, it| next.is_mark(',') && it.is_mark(','));
    let front: Vec<Token> = front
        .into_iter()
        .filter(|it| {
            !it.is_mark(',')
                && !matches!(
                    it.lower.as_str(),
                    "what"
                        | "is"
                        | "the"
                        | "show"
                        | "me"
                        | "give"
                        | "was"
                        | "calculate"
                        | "tell"
                        | "a"
                        | "find"
                )
        })
        .collect();
    tokens.extend(front);
    while tokens.last().is_some_and(|it| matches!(it.kind, TokenKind::Mark(_))) {
        tokens.pop();
    }
    cut(index, &tokens, 0, today)
}

/// Cuts into the whole and what is said of it.
fn cut<'a>(
    index: &'a SchemaIndex,
    tokens: &[Token],
    _from: usize,
    today: Date,
) -> Option<Shape<'a>> {
    let words = Words(tokens);
    let end = words.end();
    // groups and the like at the end hold for both
    let tail = (1..end).find(|&at| {
        words
            .says(
                at,
                &[
                    "per",
                    "for each|every",
                    "in each|every",
                    "by each",
                    "each|every",
                    "grouped by",
                    "broken down by",
                    "of each|every",
                    "within each",
                ],
            )
            .is_some()
            || words.word(at) == "by" && groups_by(&words, at)
    });
    let tail = tail.unwrap_or(end);
    let mut tail_from = tail;
    if tail > 0 && tokens.get(tail - 1).is_some_and(|it| it.is_mark(',')) {
        tail_from -= 1;
    }
    let spans = time::find(tokens, today);
    let whole = (1..tail_from).find(|&at| {
        TURNS.contains(&words.word(at)) && !spans.iter().any(|it| (it.first..it.end).contains(&at))
    });
    // `orders placed last year were cancelled`: the last auxiliary turns
    let auxiliary = (1..tail_from).rev().find(|&at| {
        matches!(
            words.word(at),
            "were"
                | "was"
                | "are"
                | "is"
                | "have"
                | "has"
                | "had"
                | "get"
                | "gets"
                | "got"
                | "did"
                | "do"
                | "came"
                | "come"
                | "comes"
                | "went"
                | "go"
        )
    });
    let participle = (1..tail_from).find(|&at| {
        tokens[at].lower.len() > 4
            && tokens[at].lower.ends_with("ed")
            && tokens[at].kind == TokenKind::Word
    });
    // `payments fail`: a verb that a state is called after
    let verb = (1..tail_from).find(|&at| {
        let word = words.word(at);
        word.len() > 2
            && ["ed", "d", "led", "ned"].iter().any(|it| index.values.has(&format!("{word}{it}")))
    });
    let participle = participle.or(verb);
    let at = match (auxiliary, participle, whole) {
        (Some(it), _, _) => it,
        (None, Some(a), Some(b)) => a.min(b),
        (None, a, b) => match a.or(b) {
            Some(it) => it,
            None if tail < end => return parts(tokens),
            None => return None,
        },
    };
    let place = tokens.first()?;
    let tail_tokens = &tokens[tail_from..end];
    // spans of time within what is said may hold for the whole as well
    let timed: Vec<(usize, usize)> = spans
        .iter()
        .filter(|it| it.first >= at && it.end <= tail_from)
        .map(|it| (it.first, it.end))
        .collect();
    let asks = |part: &[Token]| {
        let sum = part.iter().any(|it| {
            matches!(
                it.lower.as_str(),
                "revenue" | "turnover" | "sales" | "total" | "amount" | "units" | "sum"
            )
        });
        let mut all = if sum { Vec::new() } else { phrase::words("number of", place) };
        all.extend_from_slice(part);
        all
    };
    let mut base = asks(&tokens[..at]);
    let mut moved = base.clone();
    for it in &timed {
        moved.extend_from_slice(&tokens[it.0..it.1]);
    }
    let mut full = asks(&tokens[..at]);
    full.extend_from_slice(&tokens[at..tail_from]);
    for it in [&mut base, &mut moved, &mut full] {
        it.extend_from_slice(tail_tokens);
    }
    Some(Shape {
        tokens: full,
        wrap: Box::new(move |query, read| {
            let part = counted(index, query)?;
            // a time that is of the part alone (`customers who ordered in 2025`) is none of the whole's
            if !timed.is_empty()
                && let Some(whole) = read(&moved).and_then(|it| counted(index, it))
                && whole.filter.iter().all(|it| part.filter.contains(it))
                && let Some(it) = put(&part, whole)
            {
                return Some(it);
            }
            put(&part, counted(index, read(&base)?)?)
        }),
    })
}

/// `refunds as a percentage of revenue`: one number as the share of another
fn beside<'a>(index: &'a SchemaIndex, words: &Words<'a>) -> Option<Shape<'a>> {
    let (at, until) = words.find(&[
        "as a|the percentage|percent|share|proportion|fraction of",
        "as % of",
        "as percent|percentage of",
        "in percent|% of",
    ])?;
    let end = words.end();
    // what follows a comma holds for both, and so does by what they are told apart
    let apart = |at: usize| {
        words.word(at) == "by"
            || words.says(at, &["per", "for each|every", "in each|every"]).is_some()
    };
    let comma = (until..end).find(|it| words.0[*it].is_mark(','));
    let common = comma.or_else(|| (until + 1..end).find(|it| apart(*it))).unwrap_or(end);
    if at == 0 || until >= common || matches!(words.0[at - 1].kind, TokenKind::Number(_)) {
        return None;
    }
    let tail: Vec<Token> = words.0[(common + usize::from(comma.is_some())).min(end)..end].to_vec();
    let grouped = apart(common + usize::from(comma.is_some()));
    let place = words.0[at].clone();
    let with_tail = |part: &[Token]| {
        // of groups both are sums
        let summed = part.first().is_some_and(|it| {
            matches!(
                it.lower.as_str(),
                "total" | "sum" | "number" | "count" | "average" | "revenue" | "turnover" | "sales"
            )
        });
        let mut all = if grouped && !summed { phrase::words("total", &place) } else { Vec::new() };
        all.extend(part.iter().skip_while(|it| grouped && it.lower == "the").cloned());
        if !tail.is_empty() {
            let timed = tail.first().is_some_and(|it| matches!(it.kind, TokenKind::Number(_)));
            if timed {
                all.extend(phrase::words("in", &place));
            }
            all.extend(tail.clone());
        }
        all
    };
    let whole = with_tail(&words.0[until..common]);
    let mut lead = 0;
    while matches!(
        words.word(lead),
        "what" | "is" | "was" | "were" | "are" | "the" | "show" | "me" | "our"
    ) && lead < at
    {
        lead += 1;
    }
    Some(Shape {
        tokens: with_tail(&words.0[lead..at]),
        wrap: Box::new(move |part, read| {
            let (part, whole) = (counted(index, part)?, counted(index, read(&whole)?)?);
            if grouped {
                return side_by_side(part, &whole);
            }
            if !part.group.is_empty()
                || !whole.group.is_empty()
                || part.limit.is_some()
                || whole.limit.is_some()
            {
                return None;
            }
            measure(&part)?;
            measure(&whole)?;
            Some(LogicalQuery {
                select: vec![Expr::Percentage(
                    Box::new(Expr::Scalar(Box::new(part))),
                    Box::new(Expr::Scalar(Box::new(whole))),
                )],
                ..LogicalQuery::default()
            })
        }),
    })
}

/// Of each group one number as the share of another, where both are of the same rows.
fn side_by_side(mut part: LogicalQuery, whole: &LogicalQuery) -> Option<LogicalQuery> {
    let (of, all) = (measure(&part)?, measure(whole)?);
    let alike = part.group == whole.group
        && part.filter == whole.filter
        && part.having.is_empty()
        && whole.having.is_empty()
        && part.limit.is_none()
        && whole.limit.is_none()
        && !part.group.is_empty();
    // rows that only one of them reads would be counted several times
    let tables = |it: &LogicalQuery| {
        let mut all = it.instances();
        all.sort_unstable();
        all
    };
    if !alike || tables(&part) != tables(whole) || of == all {
        return None;
    }
    let at = part.select.iter().position(|it| *it == of)?;
    part.select[at] = Expr::Percentage(Box::new(of), Box::new(all));
    Some(part)
}

/// `share of revenue by channel`: of each group what it brings of the whole
fn parts<'a>(tokens: &[Token]) -> Option<Shape<'a>> {
    Some(Shape {
        tokens: tokens.to_vec(),
        wrap: Box::new(|mut query, _| {
            let value = measure(&query)?;
            if query.group.is_empty() || query.limit.is_some() {
                return None;
            }
            let whole = Expr::Window {
                function: crate::logical::WindowFunction::Whole,
                argument: Some(Box::new(value.clone())),
                partition: Vec::new(),
                order: Vec::new(),
            };
            let at = query.select.iter().position(|it| *it == value)?;
            query.select[at] = Expr::Percentage(Box::new(value), Box::new(whole));
            Some(query)
        }),
    })
}

fn groups_by(words: &Words<'_>, at: usize) -> bool {
    let before = words.word(at - 1);
    !(before.ends_with("ed")
        || matches!(before, "paid" | "made" | "sold" | "bought" | "sent" | "written"))
        || words.0.get(at.wrapping_sub(1)).is_some_and(|it| it.is_mark(','))
}

/// One as the share of the other: rows that count more, where both read the same tables, else two numbers.
fn put(part: &LogicalQuery, mut whole: LogicalQuery) -> Option<LogicalQuery> {
    if part.limit.is_some() || whole.limit.is_some() || !whole.having.is_empty() {
        return None;
    }
    let more: Vec<Predicate> =
        part.filter.iter().filter(|it| !whole.filter.contains(it)).cloned().collect();
    let kept = whole.filter.iter().all(|it| part.filter.contains(it));
    let of = measure(&whole)?;
    let same_tables = {
        let (mut a, mut b) = (part.instances(), whole.instances());
        a.sort_unstable();
        b.sort_unstable();
        a == b
    };
    if same_tables && kept && !more.is_empty() && part.having.is_empty() {
        // whoever asks for those who were late does not count those who are still on their way
        for it in &more {
            settled(it, &mut whole.filter);
        }
        let filter = if let [one] = more.as_slice() { one.clone() } else { Predicate::And(more) };
        let at = whole.select.iter().position(|it| *it == of)?;
        whole.select[at] = Expr::Percentage(Box::new(only(&of, &filter)?), Box::new(of));
        return Some(whole);
    }
    if !whole.group.is_empty()
        || !part.group.is_empty()
        || part.filter == whole.filter
            && part.having == whole.having
            && part.instances() == whole.instances()
    {
        return None;
    }
    measure(part)?;
    Some(LogicalQuery {
        select: vec![Expr::Percentage(
            Box::new(Expr::Scalar(Box::new(part.clone()))),
            Box::new(Expr::Scalar(Box::new(whole.clone()))),
        )],
        ..LogicalQuery::default()
    })
}

/// A deadline is kept or missed by what has happened.
fn settled(it: &Predicate, filter: &mut Vec<Predicate>) {
    if let Predicate::Compare(Expr::Bucket(_, moment), _, Expr::Column(_)) = it
        && let Expr::Column(column) = moment.as_ref()
    {
        let known = Predicate::Null { column: *column, negated: true };
        if !filter.contains(&known) {
            filter.push(known);
        }
    }
}

/// `return rate per channel`: the share of what was returned, where that is a state of something.
fn rate(index: &SchemaIndex, words: &Words<'_>) -> Option<Vec<Token>> {
    let (at, _) = words.find(&["rate", "rates"])?;
    let noun = words.0.get(at.checked_sub(1)?)?;
    if noun.kind != TokenKind::Word {
        return None;
    }
    // a column of that name says it itself
    let named = format!("{} rate", noun.lemma);
    let column = index
        .tables
        .iter()
        .flat_map(|it| &it.columns)
        .filter(|it| it.words.last().is_some_and(|it| it == "rate"))
        .any(|it| it.words.join(" ").ends_with(&named));
    if column {
        return None;
    }
    let is_alike = |value: &str| {
        let lower = value.to_lowercase();
        LEXICON.stem(&LEXICON.lemma(&lower)) == noun.stem
            || lower.len() > 5
                && noun.lower.len() > 5
                && lower.as_bytes()[..6] == noun.lower.as_bytes()[..6]
    };
    // the same labels stand in many tables
    let mut alike: FastMap<&str, bool> = FastMap::default();
    let mut best: Option<(usize, String)> = None;
    for (number, table) in index.tables.iter().enumerate() {
        for column in &table.columns {
            if !column.complete || column.values.len() > 30 {
                continue;
            }
            for value in &column.values {
                if !*alike.entry(value).or_insert_with(|| is_alike(value)) {
                    continue;
                }
                let lower = value.to_lowercase();
                let spoken = words.0.iter().any(|it| table.words.contains(&it.lemma));
                let states = column.is_state();
                let worth = (spoken, states, table.rows > 0.0);
                let known = best.as_ref().is_some_and(|it| {
                    let other = &index.tables[it.0];
                    worth <= (words.0.iter().any(|it| other.words.contains(&it.lemma)), true, true)
                });
                // an adjective in front of a rate is none: `open rate`
                let told = lower != noun.lower || spoken;
                if (spoken || states) && told && !known {
                    best = Some((number, value.clone()));
                }
            }
        }
    }
    let (table, value) = best?;
    let place = noun.clone();
    let name = index.tables[table].words.join(" ");
    let mut tokens = phrase::words(&format!("{name} that were {value}"), &place);
    let mut from = at + 1;
    // `failure rate of payments`
    if words.word(from) == "of" {
        from += 1;
        while matches!(words.word(from), "the" | "our" | "all") {
            from += 1;
        }
        if words.0.get(from).is_some_and(|it| index.tables[table].words.contains(&it.lemma)) {
            from += 1;
        }
    }
    tokens.extend_from_slice(&words.0[from..words.end()]);
    Some(tokens)
}
