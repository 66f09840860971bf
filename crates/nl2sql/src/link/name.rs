//! What words may name: tables and columns whose names hold every word of content.

use std::collections::HashMap;

use super::{Hits, NameLink, is_question_word};
use crate::{
    index::{KIND, SchemaIndex},
    interpret::EARNED,
    lexicon::{Form, LEXICON},
    token::{Token, TokenKind},
};

/// What these tokens may name, best first: every token that carries content must be a word of the name.
pub(super) fn names(
    index: &SchemaIndex,
    tokens: &[Token],
    hits: &Hits,
    first: usize,
    end: usize,
) -> Vec<NameLink> {
    let part = &tokens[first..end];
    let function = |it: &Token| {
        it.kind == TokenKind::Word && LEXICON.is_stop(&it.lower)
            || it.kind == TokenKind::Mark('\'')
            || it.kind == TokenKind::Mark('-')
    };
    let outer = |it: &Token| !matches!(it.kind, TokenKind::Word | TokenKind::Number(_));
    if outer(&part[0]) || outer(&part[part.len() - 1]) {
        return Vec::new();
    }
    // `sales made last week`: done, not of a make
    if part.len() == 1 && part[0].lower == "made" {
        return Vec::new();
    }
    if part.len() > 1
        && (matches!(part[0].kind, TokenKind::Number(_))
            && !hits[first].values().flatten().any(|it| it.1 >= 1.0))
    {
        return Vec::new();
    }
    // `longer than 3000` compares
    if part.len() == 1
        && LEXICON.degree(&part[0].lower).is_some_and(|it| it.form == Form::Comparative)
        && tokens.get(end).is_some_and(|it| it.lower == "than")
    {
        return Vec::new();
    }
    // `products cost more than …`: a verb ends no name
    if part.len() > 1
        && matches!(part[part.len() - 1].lower.as_str(), "cost" | "costs")
        && tokens.get(end).is_some_and(|it| {
            matches!(
                it.lower.as_str(),
                "more"
                    | "less"
                    | "over"
                    | "under"
                    | "above"
                    | "below"
                    | "between"
                    | "exactly"
                    | "at"
            )
        })
    {
        return Vec::new();
    }
    // `institutions founded after 1880`: things and what happened to them
    if let [thing, verb] = part
        && verb.lower.ends_with("ed")
        && thing.lower != thing.lemma
        && tokens.get(end).is_some_and(|it| {
            matches!(
                it.lower.as_str(),
                "after" | "before" | "in" | "since" | "between" | "during" | "by" | "on"
            )
        })
        && hits[first].iter().any(|(name, words)| {
            let it = &index.names[*name as usize];
            it.column.is_none() && it.words.len() == 1 && words.iter().any(|it| it.1 >= 0.9)
        })
    {
        return Vec::new();
    }
    // a span neither begins nor ends with a function word, unless a name does
    let content: Vec<usize> = (first..end).filter(|&it| !function(&tokens[it])).collect();
    if content.is_empty() {
        // a column called `from`: only as it stands, and not a word of every question
        return Vec::new();
    }
    if part.iter().any(|it| {
        matches!(it.kind, TokenKind::Mark(mark) if mark != '\'' && mark != '-')
            || it.kind == TokenKind::Quoted
    }) {
        return Vec::new();
    }
    let mut found: HashMap<(usize, Option<usize>), (f64, bool)> = HashMap::new();
    let mut keep = |index: &SchemaIndex, name: u32, score: f64| {
        let it = &index.names[name as usize];
        let entry = found.entry((it.table, it.column)).or_insert((0.0, false));
        if score > entry.0 + 1e-9 || (score > entry.0 - 1e-9 && !it.with_table) {
            *entry = (score, it.with_table);
        }
    };
    let lead = content[0];
    if first == lead && content[content.len() - 1] == end - 1 {
        for name in hits[lead].keys() {
            if let Some(score) = match_name(index, *name, tokens, hits, &content, first, end) {
                keep(index, *name, score);
            }
        }
        // written as one word: `fastest lap` and `fastestlap`
        if part.len() <= 4 {
            let worded = || {
                part.iter().filter(|it| matches!(it.kind, TokenKind::Word | TokenKind::Number(_)))
            };
            let joined: String = worded().map(|it| it.lower.as_str()).collect();
            for form in [
                LEXICON.lemma(&joined),
                worded().map(|it| it.lemma.as_str()).collect::<String>(),
                joined,
            ] {
                for name in index.compact.get(&form).into_iter().flatten() {
                    keep(index, *name, 0.98 * index.names[*name as usize].quality);
                }
            }
        }
        // phrases of several words that stand for others: `last name` and `surname`
        let stems: Vec<&str> = content.iter().map(|it| tokens[*it].stem.as_str()).collect();
        for phrase in LEXICON.phrases(&stems.join(" ")) {
            let Some(head) = phrase.first() else { continue };
            for (name, _) in index.postings.get(head).into_iter().flatten() {
                let it = &index.names[*name as usize];
                let total: f64 = it
                    .words
                    .iter()
                    .zip(&it.weights)
                    .filter(|(word, _)| phrase.contains(&word.1))
                    .map(|it| it.1)
                    .sum();
                let covered = phrase.iter().all(|stem| it.words.iter().any(|word| word.1 == *stem));
                if covered && total > 0.4 {
                    keep(index, *name, 0.95 * total * it.quality);
                }
            }
        }
    }
    // what nothing is called like, but descriptions speak of
    if found.values().all(|it| it.0 < LEAST)
        && let [token] = part
        && is_thing(token)
    {
        for it in index.remarks.get(&token.stem).into_iter().flatten() {
            found.insert((it.table, it.column), (REMARK, false));
        }
    }
    // `train stations` are stations, not the rows that connect trains and stations
    for ((table, column), entry) in &mut found {
        let info = &index.tables[*table];
        // `located in Rome` names no table of locations
        if column.is_none() && part.len() == 1 && part[0].lower == "located" {
            entry.0 = 0.0;
        }
        if column.is_none() && info.bridge && info.words.len() > 1 && content.len() > 1 {
            let head = &info.words[info.words.len() - 1..];
            let partner = index.edges_of[*table]
                .iter()
                .any(|edge| index.tables[index.edges[*edge].seen_from(*table).1].words == head);
            if partner {
                entry.0 *= 0.5;
            }
        }
    }
    // words that count and calculate are names only where they are the whole of one
    let calculates = end == first + 1
        && matches!(
            tokens[first].lemma.as_str(),
            "number"
                | "count"
                | "total"
                | "average"
                | "sum"
                | "most"
                | "least"
                | "maximum"
                | "minimum"
                | "mean"
                | "max"
                | "min"
                | "first"
                | "last"
                | "top"
                | "above"
                | "below"
                | "over"
                | "under"
                | "month"
                | "year"
                | "week"
                | "day"
                | "quarter"
                | "hour"
        );
    // `the tallest building` is no `years as tallest`
    let superlative = end == first + 1
        && LEXICON.degree(&tokens[first].lower).is_some_and(|it| it.form == Form::Superlative);
    let least = if calculates || superlative { 0.9 } else { LEAST };
    // but `each day of the week` is a column of days, where there is one
    let step = crate::time::unit(&tokens[first].lower).is_some()
        && matches!(tokens.get(end + 1).map(|it| it.lower.as_str()), Some("the" | "each"))
        && matches!(
            tokens.get(end + 2).map(|it| it.lower.as_str()),
            Some("week" | "month" | "year")
        );
    if calculates && !step && tokens.get(end).is_some_and(|it| it.lower == "of") {
        return Vec::new();
    }
    let mut links: Vec<NameLink> = found
        .into_iter()
        .filter(|it| it.1.0 >= least)
        .map(|((table, column), (score, with_table))| NameLink { table, column, score, with_table })
        .collect();
    // what was earned is a number, no part of the name of a `sales_channel`
    if end == first + 1 && EARNED.contains(&tokens[first].lower.as_str()) {
        links.retain(|it| {
            let number = |column: usize| index.tables[it.table].columns[column].class.is_numeric();
            it.score >= WHOLE || it.column.is_some_and(number)
        });
    }
    links.sort_by(|a, b| {
        b.score.total_cmp(&a.score).then((a.column.is_some(), a.table, a.column).cmp(&(
            b.column.is_some(),
            b.table,
            b.column,
        )))
    });
    links.truncate(40);
    links
}

/// Names of a lower quality were made of what somebody wrote about a thing.
const SAID: f64 = 0.86;

/// Another word for the whole of a name fits so well.
const WHOLE: f64 = 0.6;

/// Names that fit less are none.
const LEAST: f64 = 0.3;

/// How surely a word means what descriptions call so.
const REMARK: f64 = 0.64;

/// Whether a word may be one for a thing: no verb, no adjective of degree, no word of every question.
fn is_thing(token: &Token) -> bool {
    token.kind == TokenKind::Word
        && token.lower.len() > 3
        && !token.capital
        && !token.lower.ends_with("ed")
        && !token.lower.ends_with("ing")
        && !LEXICON.is_light(&token.lower)
        && LEXICON.degree(&token.lower).is_none()
        && !is_question_word(&token.lower)
        && (token.lower == token.lemma || token.lower.ends_with('s'))
}

fn match_name(
    index: &SchemaIndex,
    name: u32,
    tokens: &[Token],
    hits: &Hits,
    content: &[usize],
    first: usize,
    end: usize,
) -> Option<f64> {
    let it = &index.names[name as usize];
    // in a description `placed` and `came` name nothing
    if let ([one], true) = (content, it.quality < SAID)
        && LEXICON.is_light(&tokens[*one].lower)
    {
        return None;
    }
    let mut matched = vec![0.0_f64; it.words.len()];
    let mut order = Vec::new();
    for &at in content {
        let best = hits[at]
            .get(&name)?
            .iter()
            .filter(|(word, _)| matched[usize::from(*word)] == 0.0)
            .max_by(|a, b| a.1.total_cmp(&b.1))?;
        // words that calculate are part of a name only as they stand there
        if best.1 < 0.9
            && matches!(
                tokens[at].lemma.as_str(),
                "total"
                    | "average"
                    | "sum"
                    | "maximum"
                    | "minimum"
                    | "max"
                    | "min"
                    | "mean"
                    | "number"
                    | "count"
            )
        {
            return None;
        }
        matched[usize::from(best.0)] = best.1;
        order.push(best.0);
    }
    // function words inside that the name has too
    for at in first..end {
        if !content.contains(&at)
            && let Some(all) = hits[at].get(&name)
            && let Some(best) =
                all.iter().find(|(word, score)| *score >= 1.0 && matched[usize::from(*word)] == 0.0)
        {
            matched[usize::from(best.0)] = 1.0;
        }
    }
    let coverage: f64 = matched.iter().zip(&it.weights).map(|(a, b)| a * b).sum();
    // `number of professors` counts them, even where a key is called `professor_number`
    if tokens[first].lemma == "number"
        && end > first + 1
        && tokens[first + 1].lower == "of"
        && let Some(column) = it.column
    {
        let info = &index.tables[it.table].columns[column];
        if info.foreign
            || info.primary
            || info.class.is_textual()
            || it.words.last().is_some_and(|word| word.0 == "number")
                && it.words.len() > 1
                && it.words[0].0 != "number"
        {
            return None;
        }
    }
    // its last word says what a table holds: `buildings` are apartment buildings
    let head = it.column.is_none()
        && it.words.len() > 1
        && matched.last().is_some_and(|it| *it > 0.85)
        && coverage > 0.3;
    let coverage = if head { 0.5 + 0.5 * coverage } else { coverage };
    // `fastest lap speed` names that column better than `speed of the fastest lap`
    let inverted = order.windows(2).any(|it| it[0] > it[1]);
    let gap = end - first > content.len()
        && !tokens[first..end].iter().any(|it| it.is_mark('\'') || it.is_mark('-'));
    let mut score = coverage * it.quality;
    // `launch date` is a date called `launch`, `date of launch` may be any
    if (it.quality - KIND).abs() < 1e-9 && (inverted || gap || coverage < 0.99) {
        return None;
    }
    if inverted {
        score *= 0.93;
    }
    if gap {
        score *= 0.95;
        if inverted && it.with_table {
            return None;
        }
        // only "of" may stand inside a name; anything else separates two
        if tokens[first..end].iter().enumerate().any(|(at, token)| {
            !content.contains(&(first + at))
                && !matches!(
                    token.lower.as_str(),
                    "of" | "'s"
                        | "-"
                        | "the"
                        | "in"
                        | "per"
                        | "and"
                        | "to"
                        | "for"
                        | "or"
                        | "by"
                        | "at"
                        | "is"
                )
        }) {
            return None;
        }
        let joiner = tokens[first..end].iter().enumerate().any(|(at, token)| {
            !content.contains(&(first + at))
                && matches!(
                    token.lower.as_str(),
                    "and" | "or" | "to" | "for" | "by" | "in" | "at" | "per" | "is"
                )
                && !it.words.iter().any(|word| word.0 == token.lower)
        });
        if joiner || (coverage < 0.9) {
            return None;
        }
    }
    Some(score)
}
