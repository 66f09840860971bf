//! Series over time: growth from step to step, running totals, means over groups.

use super::{Shape, Words, measure, with_words};
use crate::{
    index::SchemaIndex,
    lexicon::LEXICON,
    logical::{Aggregate, Arithmetic, Expr, LogicalQuery, OrderKey, TimeUnit, WindowFunction},
    token::TokenKind,
};

/// The unit of a step, by the words that name it.
fn unit(word: &str) -> Option<TimeUnit> {
    crate::time::unit(word).or(match word {
        "hourly" => Some(TimeUnit::Hour),
        "daily" => Some(TimeUnit::Day),
        "weekly" => Some(TimeUnit::Week),
        "monthly" => Some(TimeUnit::Month),
        "quarterly" => Some(TimeUnit::Quarter),
        "yearly" | "annual" | "annually" => Some(TimeUnit::Year),
        _ => None,
    })
}

/// The step that the words group by: `by month`, `per week`, `monthly`.
fn step(words: &Words<'_>) -> Option<(usize, usize, TimeUnit)> {
    (0..words.len()).find_map(|at| {
        if matches!(words.word(at), "by" | "per" | "each" | "every") {
            let next = at + 1 + usize::from(words.word(at + 1) == "the");
            return crate::time::unit(words.word(next)).map(|unit| (at, next + 1, unit));
        }
        let adverb = words.word(at).ends_with("ly") || words.word(at) == "annual";
        adverb.then(|| unit(words.word(at))).flatten().map(|unit| (at, at + 1, unit))
    })
}

fn bucket(query: &LogicalQuery) -> Option<Expr> {
    query.group.iter().find(|it| matches!(it, Expr::Bucket(..))).cloned()
}

/// By the steps of time, other groups apart.
fn along(query: &LogicalQuery, bucket: &Expr) -> (Vec<Expr>, Vec<OrderKey>) {
    let partition = query.group.iter().filter(|it| *it != bucket).cloned().collect();
    (partition, vec![OrderKey { by: bucket.clone(), descending: false }])
}

/// `month over month growth of …`, `how did … change from month to month`
pub(super) fn growth<'a>(_index: &'a SchemaIndex, words: &Words<'a>) -> Option<Shape<'a>> {
    let mut gone: Vec<(usize, usize)> = Vec::new();
    let over = (0..words.len()).find_map(|at| {
        let unit = unit(words.word(at))?;
        let same = words.word(at + 2) == words.word(at);
        (same && matches!(words.word(at + 1), "over" | "to" | "by" | "on")).then_some((at, unit))
    });
    let grows = words.all(&[
        "growth rate",
        "growth",
        "change",
        "changes",
        "increase",
        "decrease",
        "development",
        "grew",
        "grow",
        "grown",
        "changed",
        "developed",
        "develop",
        "difference",
        "evolve",
        "evolution",
    ]);
    let unit = if let Some((at, unit)) = over {
        let from = if matches!(words.word(at.wrapping_sub(1)), "from") { at - 1 } else { at };
        gone.push((from, at + 3));
        unit
    } else {
        // `growth … by month`, `… compared to the previous month` for each
        if grows.is_empty() {
            return None;
        }
        let (from, until, unit) = step(words)?;
        gone.push((from, until));
        unit
    };
    gone.extend(words.all(&[
        "compared to|with the previous|prior|last|preceding month|week|quarter|year|day",
        "versus|vs the previous|prior|preceding month|week|quarter|year|day",
        "compared to|with the month|week|quarter|year|day before",
        "in percent",
        "as a percentage",
        "in percentage",
        "percentage",
        "percent",
        "in %",
        "%",
        "as percent",
        "how did",
        "how has",
        "how have",
        "how much did",
        "what is",
        "what was",
        "rate of",
        "rate",
    ]));
    let percent = words.has(&["percent", "percentage", "%", "growth", "rate"]);
    // `growth in|of revenue`: the small word goes with it
    for it in &grows {
        let small = matches!(words.word(it.1), "in" | "of")
            && !words.word(it.1 + 1).starts_with(|c: char| c.is_ascii_digit());
        gone.push((it.0, it.1 + usize::from(small)));
    }
    let tokens = with_words(words.without(&gone), &format!("by {}", unit.name()));
    Some(Shape {
        tokens,
        wrap: Box::new(move |mut query, _| {
            let value = measure(&query)?;
            let bucket = bucket(&query)?;
            let (partition, order) = along(&query, &bucket);
            let before = Expr::Window {
                function: WindowFunction::Before,
                argument: Some(Box::new(value.clone())),
                partition,
                order,
            };
            let more =
                Expr::Arithmetic(Arithmetic::Subtract, Box::new(value), Box::new(before.clone()));
            query.select.push(if percent {
                Expr::Percentage(Box::new(more), Box::new(before))
            } else {
                more
            });
            query.order = vec![OrderKey { by: bucket, descending: false }];
            Some(query)
        }),
    })
}

/// `cumulative …`, `running total of …`
pub(super) fn running<'a>(words: &Words<'a>) -> Option<Shape<'a>> {
    let gone = words.all(&[
        "cumulative",
        "cumulatively",
        "cumulated",
        "accumulated",
        "running total of|for",
        "running sum of|for",
        "running count of",
        "running total",
        "running sum",
        "a running",
        "running",
    ]);
    if gone.is_empty() {
        return None;
    }
    let mut tokens = words.without(&gone);
    if step(words).is_none() {
        tokens = with_words(tokens, "by month");
    }
    Some(Shape {
        tokens,
        wrap: Box::new(|mut query, _| {
            let value = measure(&query)?;
            let bucket = bucket(&query)?;
            let (partition, order) = along(&query, &bucket);
            let so_far = Expr::Window {
                function: WindowFunction::Running,
                argument: Some(Box::new(value.clone())),
                partition,
                order,
            };
            let at = query.select.iter().position(|it| *it == value)?;
            query.select[at] = so_far;
            query.order = vec![OrderKey { by: bucket, descending: false }];
            Some(query)
        }),
    })
}

/// `three month moving average of revenue`, `7-day rolling average of orders`
pub(super) fn moving<'a>(words: &Words<'a>) -> Option<Shape<'a>> {
    let (at, until) =
        words.find(&["moving|rolling|trailing average|mean|avg", "moving|rolling averages"])?;
    let number = |at: usize| match words.0.get(at)?.kind {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
        TokenKind::Number(it) if it.fract() == 0.0 && (2.0..=366.0).contains(&it) => {
            Some(it as u16)
        }
        _ => None,
    };
    // `three month moving average`, `moving average over 3 months`
    let before = at.checked_sub(2).and_then(|it| {
        let hyphen = usize::from(words.0[it].is_mark('-'));
        let first = it.checked_sub(hyphen)?;
        Some((number(first)?, crate::time::unit(words.word(at - 1))?, (first, until)))
    });
    let over = (until..words.end()).find_map(|it| {
        let length =
            words.says(it, &["over the last|past", "over", "of the last|past", "across"])?;
        let rows = number(it + length)?;
        Some((rows, crate::time::unit(words.word(it + length + 1))?, (it, it + length + 2)))
    });
    let mut gone = vec![(at, until)];
    let (rows, unit, said) = before.or(over)?;
    gone.push(said);
    if matches!(words.word(until), "of" | "for" | "in") {
        gone.push((until, until + 1));
    }
    let mut tokens = words.without(&gone);
    match step(words) {
        Some((.., step)) if step != unit => return None,
        Some(_) => {}
        None => tokens = with_words(tokens, &format!("by {}", unit.name())),
    }
    Some(Shape {
        tokens,
        wrap: Box::new(move |mut query, _| {
            let value = measure(&query)?;
            let bucket = bucket(&query)?;
            if query.limit.is_some() {
                return None;
            }
            let (partition, order) = along(&query, &bucket);
            let at = query.select.iter().position(|it| *it == value)?;
            query.select[at] = Expr::Window {
                function: WindowFunction::Moving(rows),
                argument: Some(Box::new(value)),
                partition,
                order,
            };
            query.order = vec![OrderKey { by: bucket, descending: false }];
            Some(query)
        }),
    })
}

/// `average number of orders per customer`, `average daily revenue`: the mean of one number for each.
pub(super) fn mean<'a>(index: &'a SchemaIndex, words: &Words<'a>) -> Option<Shape<'a>> {
    let average = words.find(&["average", "avg", "mean", "on average", "typical"])?;
    // how long something takes is a mean of its own
    if words.has(&[
        "days",
        "hours",
        "minutes",
        "how long",
        "time",
        "weeks between",
        "months between",
        "moving",
        "rolling",
        "trailing",
    ]) {
        return None;
    }
    // `the average number of citations per year`, where each row says how many it has
    if let Some((_, until)) = words.find(&["average|avg|mean number|count of"])
        && let Some(noun) = words.0.get(until)
        && index.tables.iter().flat_map(|it| &it.columns).any(|it| {
            it.class.is_numeric()
                && !it.is_id()
                && it.has_word(&noun.stem)
                && ["number", "count", "num"].iter().any(|word| it.has_word(word))
        })
    {
        return None;
    }
    // `for each position, what is the average number of points`, `the average age and how many …`: no mean of one number for each
    let leads = matches!(words.word(0), "for" | "in" | "per")
        && words.find(&["each", "every"]).is_some_and(|it| it.0 <= 1);
    if leads || words.has(&["and how many"]) {
        return None;
    }
    let mut gone = vec![average];
    let mut tail = String::new();
    let counts = words.has(&["average|avg|mean number|count of", "how many"]);
    let adverb = (0..words.len())
        .find(|&it| words.word(it).ends_with("ly") && unit(words.word(it)).is_some());
    // `average monthly rentals`, where a column is called so
    let called = |at: usize| {
        let columns = index.tables.iter().flat_map(|it| &it.columns);
        columns.into_iter().any(|it| {
            it.has_word(words.word(at))
                && words.0.get(at + 1).is_some_and(|next| it.has_word(&next.stem))
        })
    };
    if adverb.is_some_and(called) {
        return None;
    }
    let timed = step(words);
    let earned = words.has(&["revenue", "turnover", "sales"]);
    let within = ["in|on|for a|an|one", "in|on|for a single"];
    let each = words
        .find(&["per", "each", "every", "a single", "does a|an", "do our", "does our"])
        .or_else(|| counts.then(|| words.find(&within)).flatten());
    if let Some(at) = adverb.filter(|it| it.abs_diff(average.0) <= 2) {
        gone.push((at, at + 1));
        tail = format!("by {}", unit(words.word(at))?.name());
        if !earned && !words.has(&["number of", "how many"]) {
            tail = format!("number of {tail}");
        }
    } else if words.has(&["on average"]) && words.has(&["per", "each", "every"]) {
        // `orders per customer on average`
    } else if !(counts && each.is_some()) && !(earned && (timed.is_some() || each.is_some())) {
        return None;
    }
    let mut tokens = words.without(&gone);
    if let Some(number) = tail.strip_prefix("number of ") {
        let place = tokens.first()?.clone();
        tokens.splice(0..0, crate::phrase::words("number of", &place));
        tokens = with_words(tokens, number);
    } else if !tail.is_empty() {
        tokens = with_words(tokens, &tail);
    }
    // `number of pieces in a box`: in each
    if counts
        && each == words.find(&within)
        && let Some((from, until)) = Words(&tokens).find(&within)
    {
        let place = tokens[from].clone();
        tokens.splice(from..until, crate::phrase::words("per", &place));
    }
    // `how many orders does a customer place`: for each
    if let Some(at) = tokens.windows(2).position(|it| {
        matches!(it[0].lower.as_str(), "does" | "do")
            && matches!(it[1].lower.as_str(), "a" | "an" | "each" | "every" | "our")
    }) {
        let place = tokens[at].clone();
        tokens.splice(at..at + 2, crate::phrase::words("per", &place));
        // the verb behind says nothing more
        if tokens.get(at + 2).is_some_and(|it| {
            matches!(
                it.lemma.as_str(),
                "have"
                    | "place"
                    | "make"
                    | "get"
                    | "contain"
                    | "receive"
                    | "write"
                    | "buy"
                    | "hold"
            )
        }) {
            tokens.remove(at + 2);
        }
    }
    let _ = &LEXICON;
    Some(Shape {
        tokens,
        wrap: Box::new(|mut query, _| {
            let value = measure(&query)?;
            if query.group.is_empty() || query.limit.is_some() || !query.per.is_empty() {
                return None;
            }
            query.select = vec![value];
            query.order.clear();
            Some(LogicalQuery {
                select: vec![Expr::aggregate(Aggregate::Avg, Expr::Output(0))],
                root: query.root,
                source: Some(Box::new(query)),
                ..LogicalQuery::default()
            })
        }),
    })
}
