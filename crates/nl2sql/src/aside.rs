//! Takes out of a question what says how to answer rather than what is asked: how to match texts, which tables to join,
//! what a span of time includes. What changes the answer stays, so that it is read or missed.

use crate::{
    lexicon::{Form, LEXICON},
    time,
    token::{Token, TokenKind},
};

/// Takes such asides out, and says in plain words what they add to a span of time.
pub(crate) fn without(tokens: &mut Vec<Token>) {
    instructions(tokens);
    owners(tokens);
    uncounted(tokens);
    that_is(tokens);
    joining(tokens);
    rounded(tokens);
    whole_units(tokens);
    inclusive(tokens);
}

fn word(tokens: &[Token], at: usize) -> &str {
    match tokens.get(at) {
        Some(it) if it.kind != TokenKind::Quoted => &it.lower,
        _ => "",
    }
}

fn says(tokens: &[Token], at: usize, words: &[&str]) -> bool {
    words.iter().enumerate().all(|(step, it)| word(tokens, at + step) == *it)
}

fn ends(token: &Token) -> bool {
    matches!(token.kind, TokenKind::Mark('.' | '?' | '!' | ';'))
}

/// Sentences behind the first that only say how texts are matched or dates are shown: `Match strings exactly.`
fn instructions(tokens: &mut Vec<Token>) {
    let mut from = 0;
    let mut at = 0;
    while at < tokens.len() {
        let end = ends(&tokens[at]) || at + 1 == tokens.len();
        if !end {
            at += 1;
            continue;
        }
        let sentence = &tokens[from..=at];
        let has = |all: &[&str]| sentence.iter().any(|it| all.contains(&it.lower.as_str()));
        let told = from > 0
            && match word(tokens, from) {
                "match" | "filter" | "compare" => has(&[
                    "exactly",
                    "exact",
                    "case",
                    "insensitively",
                    "insensitive",
                    "sensitive",
                    "wildcard",
                    "wildcards",
                    "ilike",
                    "like",
                    "substring",
                ]),
                "represent" | "format" => true,
                "truncate" => has(&["date", "dates", "timestamp", "timestamps"]),
                _ => false,
            };
        if told {
            tokens.drain(from..=at);
            at = from;
        } else {
            at += 1;
            from = at;
        }
    }
}

/// `by the country the goods come from (the supplier's)`: by the supplier's country.
fn owners(tokens: &mut Vec<Token>) {
    let found = (3..tokens.len()).find(|&at| {
        tokens[at].is_mark('(')
            && matches!(word(tokens, at + 1), "the" | "our")
            && tokens.get(at + 3).is_some_and(|it| it.is_mark('\''))
            && tokens.get(at + 4).is_some_and(|it| it.is_mark(')'))
    });
    let Some(at) = found else { return };
    let led = |it: &usize| matches!(word(tokens, *it), "by" | "per" | "of" | "in");
    let Some(lead) = (at.saturating_sub(9)..at - 1).rev().find(led) else { return };
    let noun = lead + 1 + usize::from(matches!(word(tokens, lead + 1), "the" | "each" | "every"));
    if noun >= at || tokens[noun].kind != TokenKind::Word {
        return;
    }
    let read = [tokens[at + 2].clone(), tokens[noun].clone()];
    tokens.splice(lead + 1..at + 5, read);
}

/// `… Internal notes do not count.`: without the internal ones.
fn uncounted(tokens: &mut Vec<Token>) {
    let mut end = tokens.len();
    while end > 0 && ends(&tokens[end - 1]) {
        end -= 1;
    }
    if end < 5 || !matches!(word(tokens, end - 1), "count" | "matter") {
        return;
    }
    let length = match (word(tokens, end - 3), word(tokens, end - 2)) {
        (_, "don't" | "doesn't") => 2,
        ("do" | "does", "not") => 3,
        _ => return,
    };
    let Some(start) = (1..end - length)
        .rev()
        .find(|it| ends(&tokens[*it]) || tokens[*it].is_mark(',') || tokens[*it].is_mark('-'))
    else {
        return;
    };
    let what = &tokens[start + 1..end - length];
    let place = tokens[start].clone();
    let mut read = crate::phrase::words(", excluding", &place);
    match what {
        [one] => read.push(one.clone()),
        // of what kind they are tells them apart
        [kind, _] => {
            read.push(kind.clone());
            read.extend(crate::phrase::words("ones", &place));
        }
        _ => return,
    }
    tokens.splice(start..end, read);
}

/// `bad reviews, i.e. one or two stars`: those with one or two stars, which are called bad.
fn that_is(tokens: &mut Vec<Token>) {
    let found = (2..tokens.len()).find_map(|at| {
        let comma = tokens[at].is_mark(',') || tokens[at].is_mark('(');
        let dotted = comma
            && word(tokens, at + 1) == "i"
            && word(tokens, at + 3) == "e"
            && tokens.get(at + 2).is_some_and(|it| it.is_mark('.'));
        let next = if dotted {
            at + 4 + usize::from(tokens.get(at + 4).is_some_and(|it| it.is_mark('.')))
        } else if comma && word(tokens, at + 1) == "ie" {
            at + 2
        } else if comma && says(tokens, at + 1, &["that", "is"]) {
            at + 3
        } else {
            return None;
        };
        Some((at, next + usize::from(tokens.get(next).is_some_and(|it| it.is_mark(',')))))
    });
    let Some((at, next)) = found.filter(|it| it.1 < tokens.len()) else { return };
    // `the worst reviews, i.e. those with one star`: the superlative chooses among them
    let positive = LEXICON.degree(word(tokens, at - 2)).is_some_and(|it| it.form == Form::Positive);
    let before = at.checked_sub(3).map_or("", |it| word(tokens, it));
    let judged = positive && !matches!(before, "most" | "least" | "more" | "less");
    if !judged || tokens[at - 1].kind != TokenKind::Word {
        return;
    }
    let bracket = tokens[at].is_mark('(');
    let place = tokens[at].clone();
    if bracket && let Some(close) = (next..tokens.len()).find(|it| tokens[*it].is_mark(')')) {
        tokens.remove(close);
    }
    tokens.splice(at..next, crate::phrase::words("with", &place));
    tokens.remove(at - 2);
}

/// `by doing a left join from A to B`, `based on joining A and B`: how, not what.
fn joining(tokens: &mut Vec<Token>) {
    let leads: [&[&str]; 5] = [
        &["based", "on", "joining"],
        &["by", "joining"],
        &["by", "doing", "a"],
        &["by", "using", "a"],
        &["using", "a"],
    ];
    let found = (1..tokens.len()).find(|&at| {
        leads.iter().any(|it| {
            says(tokens, at, it)
                && (it.last() == Some(&"joining")
                    || (at + it.len()..at + it.len() + 3).any(|at| word(tokens, at) == "join"))
        })
    });
    let Some(mut from) = found else { return };
    let until = (from..tokens.len()).find(|it| ends(&tokens[*it])).unwrap_or(tokens.len());
    if tokens[from - 1].is_mark(',') {
        from -= 1;
    }
    tokens.drain(from..until);
}

/// `rounded to 2 decimal places`
fn rounded(tokens: &mut Vec<Token>) {
    let found = (1..tokens.len()).find(|&at| {
        matches!(word(tokens, at), "rounded" | "round")
            && (at + 1..at + 7)
                .any(|it| matches!(word(tokens, it), "decimal" | "decimals" | "places" | "digits"))
    });
    let Some(mut from) = found else { return };
    let Some(mut until) = (from + 1..from + 7)
        .find(|it| matches!(word(tokens, *it), "decimal" | "decimals" | "places" | "digits"))
    else {
        return;
    };
    until += 1;
    if matches!(word(tokens, until), "places" | "points" | "digits") {
        until += 1;
    }
    if tokens[from - 1].is_mark(',') {
        from -= 1;
    }
    tokens.drain(from..until.min(tokens.len()));
}

/// `the last 6 months excluding the current month`: the last 6 whole ones.
fn whole_units(tokens: &mut Vec<Token>) {
    let mut at = 0;
    while at < tokens.len() {
        let lead = [
            &["excluding", "the", "current"][..],
            &["exclusive", "of", "the", "current"],
            &["not", "including", "the", "current"],
            &["not", "counting", "the", "current"],
            &["without", "the", "current"],
            &["but", "not", "the", "current"],
            &["excluding", "this"],
            &["not", "including", "this"],
        ]
        .into_iter()
        .find(|it| says(tokens, at, it));
        let Some((lead, unit)) =
            lead.and_then(|it| Some((it, time::unit(word(tokens, at + it.len()))?)))
        else {
            at += 1;
            continue;
        };
        let mut until = at + lead.len() + 1;
        let mut from = at;
        if from > 0 && tokens[from - 1].is_mark('(') {
            from -= 1;
            until += usize::from(tokens.get(until).is_some_and(|it| it.is_mark(')')));
        }
        if from > 0 && tokens[from - 1].is_mark(',') {
            from -= 1;
        }
        // the span that it is said of: `last 6 months`, `previous week`
        let counted = (0..from).rev().take(8).find(|&it| {
            time::unit(word(tokens, it)) == Some(unit)
                && it > 0
                && (matches!(tokens[it - 1].kind, TokenKind::Number(_))
                    || matches!(
                        word(tokens, it - 1),
                        "calendar" | "full" | "whole" | "last" | "previous" | "past" | "iso"
                    ))
        });
        let Some(counted) = counted else {
            at += 1;
            continue;
        };
        tokens.drain(from..until);
        if matches!(tokens[counted - 1].kind, TokenKind::Number(_)) {
            let place = tokens[counted].clone();
            tokens.splice(counted..counted, crate::phrase::words("whole", &place));
        }
        at = from;
    }
}

/// `(inclusive of start and end dates)`, `, inclusive of today`: a span of time is read so anyway.
fn inclusive(tokens: &mut Vec<Token>) {
    let mut at = 1;
    while at < tokens.len() {
        let both = says(tokens, at, &["both", "inclusive"]);
        if !both && word(tokens, at) != "inclusive" {
            at += 1;
            continue;
        }
        let mut from = at;
        let mut until = at + if both { 2 } else { 1 };
        if word(tokens, until) == "of" {
            let first = until + 1;
            until = first;
            while until < tokens.len() && spans(&tokens[until]) {
                until += 1;
            }
            // `the price inclusive of tax` is another price
            let timed = tokens[first..until].iter().any(|it| {
                matches!(it.kind, TokenKind::Number(_))
                    || time::unit(&it.lower).is_some()
                    || matches!(
                        it.lower.as_str(),
                        "today" | "now" | "start" | "end" | "date" | "dates"
                    )
            });
            if !timed {
                at += 1;
                continue;
            }
        }
        if tokens[from - 1].is_mark('(') {
            let Some(close) = (until..tokens.len()).find(|it| tokens[*it].is_mark(')')) else {
                return;
            };
            from -= 1;
            until = close + 1;
        } else if tokens[from - 1].is_mark(',') {
            from -= 1;
        }
        tokens.drain(from..until.min(tokens.len()));
        at = from.max(1);
    }
}

/// Whether a token may stand in what a span of time includes.
fn spans(token: &Token) -> bool {
    matches!(token.kind, TokenKind::Number(_) | TokenKind::Mark('\''))
        || token.kind == TokenKind::Word
            && (time::unit(&token.lower).is_some()
                || LEXICON.is_stop(&token.lower) && token.lower != "for"
                || matches!(
                    token.lower.as_str(),
                    "today"
                        | "now"
                        | "ago"
                        | "start"
                        | "end"
                        | "date"
                        | "dates"
                        | "current"
                        | "the"
                        | "and"
                        | "both"
                        | "a"
                ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::tokenize;

    fn read(question: &str) -> String {
        let mut tokens = tokenize(question);
        without(&mut tokens);
        tokens.iter().map(|it| it.lower.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn how_to_answer_is_no_part_of_the_question() {
        assert_eq!(
            read("How many nuts are ripe? Match strings exactly."),
            "how many nuts are ripe ?"
        );
        assert_eq!(
            read("List the nuts without a tree, by doing a left join from nuts to trees."),
            "list the nuts without a tree ."
        );
        assert_eq!(
            read("fruit by the country the nuts come from (the grower's)"),
            "fruit by grower country"
        );
        assert_eq!(
            read("trees with 8 bad nuts, i.e. two spots"),
            "trees with 8 nuts with 2 spots".replace('2', "two")
        );
        for it in [
            "trees with the oldest nuts, i.e. two spots",
            "trees with the most expensive nuts, that is two spots",
        ] {
            assert_eq!(read(it), it.replace(',', " ,").replace("i.e.", "i . e ."));
        }
        assert_eq!(
            read("who ate the most nuts? rotten shells do not count"),
            "who ate the most nuts , excluding rotten ones"
        );
        assert_eq!(read("average weight, rounded to 2 decimal places?"), "average weight ?");
        assert_eq!(
            read("Which nuts match an acorn? Use the latest date."),
            "which nuts match an acorn ? use the latest date ."
        );
    }

    #[test]
    fn spans_of_time_are_said_plainly() {
        assert_eq!(
            read("orders in the last 6 months (excluding the current month) by shop"),
            "orders in the last 6 whole months by shop"
        );
        assert_eq!(read("orders last week, exclusive of the current week"), "orders last week");
        assert_eq!(read("prices inclusive of the tax"), "prices inclusive of the tax");
        assert_eq!(
            read("orders in the past 30 days, inclusive of 30 days ago? Show them"),
            "orders in the past 30 days ? show them"
        );
        assert_eq!(
            read("orders between May 1 and May 3 (inclusive of start and end dates)"),
            "orders between may 1 and may 3"
        );
    }
}
