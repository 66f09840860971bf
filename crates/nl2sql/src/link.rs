//! Links words of a question to what they may mean in a schema: tables, columns, values, numbers.

use std::collections::HashMap;

use crate::{
    index::SchemaIndex,
    lexicon::LEXICON,
    token::{Token, TokenKind},
    values::{exact_values, quoted_values, values},
};

/// A table or column that some words may mean.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NameLink {
    pub(crate) table: usize,
    pub(crate) column: Option<usize>,
    /// 1 for the name as it stands, less for parts, synonyms, guesses.
    pub(crate) score: f64,
    /// Whether the words also name the table.
    pub(crate) with_table: bool,
}

/// A value that some words may mean, and the column where it was seen.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ValueLink {
    pub(crate) table: usize,
    pub(crate) column: usize,
    /// As it is stored.
    pub(crate) value: String,
    pub(crate) score: f64,
}

/// What some words of a question mean.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Meaning {
    /// A word of language, or one that is not understood.
    Word,
    /// Tables or columns, best first.
    Name(Vec<NameLink>),
    /// Values, best first; empty for a quoted text that was seen nowhere.
    Value(Vec<ValueLink>),
    /// A number, and values in text columns that look like it.
    Number(f64, Vec<ValueLink>),
    /// A span of time.
    Time(crate::time::Span),
    /// A mark.
    Mark(char),
}

/// Some adjoining tokens and what they mean.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    pub(crate) meaning: Meaning,
    /// Lower-case text, words separated by one space.
    pub(crate) lower: String,
    /// As written.
    pub(crate) text: String,
    /// The base form of its last token.
    pub(crate) lemma: String,
    /// Positions of its tokens.
    pub(crate) first: usize,
    pub(crate) end: usize,
    /// Whether it stood in quotes.
    pub(crate) quoted: bool,
    /// Whether it begins with a capital inside a sentence.
    pub(crate) capital: bool,
    /// What it could mean as a name, where the value was preferred.
    pub(crate) names: Vec<NameLink>,
}

impl Item {
    pub(crate) fn is_mark(&self, mark: char) -> bool {
        self.meaning == Meaning::Mark(mark)
    }
    pub(crate) fn is_word(&self) -> bool {
        matches!(self.meaning, Meaning::Word)
    }
}

const MAX_NAME: usize = 6;

/// Cuts the tokens into items so that as much as possible is understood.
pub(crate) fn link(
    index: &SchemaIndex,
    tokens: &[Token],
    times: &[crate::time::Found],
) -> Vec<Item> {
    let n = tokens.len();
    let hits = word_hits(index, tokens);
    // best[i]: the best way to cut the tokens from i on: its worth and the end of the first piece
    let mut best: Vec<(f64, usize, Meaning, Vec<NameLink>)> =
        vec![(0.0, n, Meaning::Word, Vec::new()); n + 1];
    for at in (0..n).rev() {
        let token = &tokens[at];
        let own = match token.kind {
            TokenKind::Mark(mark) => Meaning::Mark(mark),
            TokenKind::Number(value) => Meaning::Number(value, exact_values(index, &token.lower)),
            TokenKind::Quoted => Meaning::Value(quoted_values(index, &token.text)),
            TokenKind::Word => Meaning::Word,
        };
        let mut choice = (
            best[at + 1].0 + if own == Meaning::Word { 0.0 } else { 0.3 },
            at + 1,
            own,
            Vec::new(),
        );
        for time in times.iter().filter(|it| it.first == at) {
            let worth = 1.2 * count(time.end - at) + best[time.end].0;
            if worth > choice.0 {
                choice = (worth, time.end, Meaning::Time(time.span.clone()), Vec::new());
            }
        }
        if matches!(token.kind, TokenKind::Word) || matches!(token.kind, TokenKind::Number(_)) {
            let reach = (at + MAX_NAME).min(n);
            for end in at + 1..=reach {
                // what stands in quotes is meant as it stands
                if tokens[end - 1].kind == TokenKind::Quoted {
                    break;
                }
                let links = names(index, tokens, &hits, at, end);
                let Some(top) = links.first() else { continue };
                let worth = top.score * (count(end - at) + 0.15 * (count(end - at) - 1.0))
                    - if top.score < 0.5 { 0.15 } else { 0.0 }
                    + best[end].0;
                if worth > choice.0 {
                    choice = (worth, end, Meaning::Name(links), Vec::new());
                }
            }
        }
        if !matches!(token.kind, TokenKind::Mark(_) | TokenKind::Quoted) {
            let reach = (at + index.longest_value + 3).min(n);
            for end in (at + 1..=reach).rev() {
                if tokens[at..end].iter().any(|it| it.kind == TokenKind::Quoted)
                    || tokens[end - 1].kind == TokenKind::Mark('?')
                {
                    continue;
                }
                let links = values(index, tokens, at, end);
                let Some(top) = links.first() else { continue };
                if end > at + 1 && told_apart(index, tokens, &hits, &links, at, end) {
                    continue;
                }
                let mut worth = top.score * count(end - at) + best[end].0;
                // `which buyer …`: who is asked for, though somebody's title is called so
                if end == at + 1 && !token.capital && asked_for(tokens, at) {
                    let named = names(index, tokens, &hits, at, end)
                        .iter()
                        .any(|it| it.column.is_none() && it.score >= 0.6);
                    if named {
                        worth -= 0.4 * top.score;
                    }
                }
                if worth > choice.0 {
                    let other = match &choice.2 {
                        Meaning::Name(links) if choice.1 == end => links.clone(),
                        _ => names(index, tokens, &hits, at, end),
                    };
                    let meaning = match token.kind {
                        TokenKind::Number(value) if end == at + 1 => Meaning::Number(value, links),
                        _ => Meaning::Value(links),
                    };
                    choice = (worth, end, meaning, other);
                }
            }
        }
        best[at] = choice;
    }
    let mut items = Vec::new();
    let mut at = 0;
    while at < n {
        let (_, end, meaning, names) = best[at].clone();
        items.push(item(tokens, at, end, meaning, names));
        at = end;
    }
    doubt_weak_names(tokens, &mut items);
    items
}

/// `the Ebro river`: a river called Ebro, where there is one, rather than something else that is called so in full.
fn told_apart(
    index: &SchemaIndex,
    tokens: &[Token],
    hits: &Hits,
    links: &[ValueLink],
    at: usize,
    end: usize,
) -> bool {
    let kinds = names(index, tokens, hits, end - 1, end);
    let Some(kind) = kinds.first().filter(|it| it.column.is_none() && it.score > 0.9) else {
        return false;
    };
    links.iter().all(|it| it.table != kind.table)
        && values(index, tokens, at, end - 1)
            .iter()
            .any(|it| it.table == kind.table && it.score > 0.9)
}

/// Whether the word there is what is asked for: right behind a word that asks.
fn asked_for(tokens: &[Token], at: usize) -> bool {
    let word = |back: usize| at.checked_sub(back).map_or("", |it| tokens[it].lower.as_str());
    matches!(word(1), "which" | "many" | "each" | "per" | "every" | "our" | "what")
        || matches!(tokens[at.saturating_sub(1)].kind, TokenKind::Number(_))
            && matches!(word(2), "top" | "best" | "first")
}

/// Takes back weak guesses that their surroundings speak against: half a name right beside a whole one (`music artists`),
/// a verb that only resembles a name of something the question does not speak of.
fn doubt_weak_names(tokens: &[Token], items: &mut [Item]) {
    let top = |item: &Item| match &item.meaning {
        Meaning::Name(links) => links.first().map_or(0.0, |it| it.score),
        _ => 0.0,
    };
    let mut named: HashMap<usize, f64> = HashMap::new();
    for item in items.iter() {
        if let Meaning::Name(links) = &item.meaning {
            for link in links.iter().filter(|it| it.column.is_none() || it.with_table) {
                let entry = named.entry(link.table).or_insert(0.0);
                *entry = entry.max(link.score);
            }
        }
    }
    for at in 0..items.len() {
        let score = top(&items[at]);
        if score == 0.0 || score >= 0.75 {
            continue;
        }
        let beside = |other: Option<&Item>| other.is_some_and(|it| top(it) >= 0.9);
        let before = at.checked_sub(1).and_then(|it| items.get(it));
        let Meaning::Name(links) = &items[at].meaning else { continue };
        let own = |other: Option<&Item>| {
            other.is_some_and(|it| match &it.meaning {
                Meaning::Name(others) => links.iter().any(|link| {
                    link.column.is_some()
                        && others.iter().any(|it| {
                            it.column.is_none() && it.table == link.table && it.score > 0.9
                        })
                }),
                _ => false,
            })
        };
        // a column may stand beside the name of its own table
        let crowded = (beside(items.get(at + 1)) && !own(items.get(at + 1)))
            || (beside(before) && !own(before));
        let token = &tokens[items[at].first];
        let verb = items[at].end == items[at].first + 1
            && (token.lower.ends_with("ed")
                || token.lower.ends_with("ing")
                || token.lower != token.lemma && !token.lower.ends_with('s'));
        let spoken_of = links.iter().any(|link| named.get(&link.table).is_some_and(|it| *it > 0.7));
        if crowded
            || (verb && !spoken_of && score < 0.7)
            || (!spoken_of && score < 0.4 && !named.is_empty())
        {
            items[at].meaning = Meaning::Word;
        }
    }
}

fn item(
    tokens: &[Token],
    first: usize,
    end: usize,
    meaning: Meaning,
    names: Vec<NameLink>,
) -> Item {
    let part = &tokens[first..end];
    let join = |f: fn(&Token) -> &str| part.iter().map(f).collect::<Vec<_>>().join(" ");
    Item {
        meaning,
        lower: join(|it| &it.lower),
        text: join(|it| &it.text),
        lemma: part.last().map(|it| it.lemma.clone()).unwrap_or_default(),
        first,
        end,
        quoted: part.iter().any(|it| it.kind == TokenKind::Quoted),
        capital: part[0].capital,
        names,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a handful of tokens")]
fn count(n: usize) -> f64 {
    n as f64
}

/// For each token the names it may be a word of: name, position of the word there, how alike they are.
type Hits = Vec<HashMap<u32, Vec<(u8, f64)>>>;

fn word_hits(index: &SchemaIndex, tokens: &[Token]) -> Hits {
    tokens
        .iter()
        .map(|token| {
            let mut hits: HashMap<u32, Vec<(u8, f64)>> = HashMap::new();
            if !matches!(token.kind, TokenKind::Word | TokenKind::Number(_)) {
                return hits;
            }
            if LEXICON.is_stop(&token.lower)
                && !matches!(
                    token.lower.as_str(),
                    "to" | "from"
                        | "of"
                        | "in"
                        | "by"
                        | "at"
                        | "for"
                        | "is"
                        | "and"
                        | "or"
                        | "the"
                        | "show"
                        | "us"
                        | "need"
                )
            {
                return hits;
            }
            let mut add = |stem: &str, score: f64, exact: Option<&str>| {
                for &(name, at) in index.postings.get(stem).into_iter().flatten() {
                    let score = match exact {
                        Some(lemma) => {
                            let word = &index.names[name as usize].words[at as usize];
                            if word.0 == lemma { 1.0 } else { score }
                        }
                        None => score,
                    };
                    let entry = hits.entry(name).or_default();
                    match entry.iter_mut().find(|it| it.0 == at) {
                        Some(it) => it.1 = it.1.max(score),
                        None => entry.push((at, score)),
                    }
                }
            };
            add(&token.stem, 0.9, Some(&token.lemma));
            if token.lower != token.lemma {
                add(&token.lower, 0.95, Some(&token.lower));
            }
            for other in LEXICON.synonyms(&token.stem) {
                let one_thing = matches!(
                    token.lemma.as_str(),
                    "average" | "mean" | "maximum" | "max" | "minimum" | "min"
                );
                add(other, if one_thing { 0.92 } else { 0.72 }, None);
            }
            if let Some(long) = LEXICON.expand(&token.lower)
                && let [one] = long
            {
                let lemma = LEXICON.lemma(one);
                add(&LEXICON.stem(&lemma), 0.9, None);
            }
            if hits.is_empty()
                && token.kind == TokenKind::Word
                && token.lower.len() > 4
                && !LEXICON.knows(&token.lower, &token.stem)
                && LEXICON.degree(&token.lower).is_none()
            {
                // a slip of the finger
                let limit = if token.lower.len() > 8 { 2 } else { 1 };
                for stem in &index.stems {
                    if stem.len() > 3
                        && stem.chars().next() == token.stem.chars().next()
                        && (distance(&token.stem, stem, limit) <= limit
                            || stem.len() > 5 && distance(&token.lemma, stem, 1) <= 1)
                    {
                        add_typo(index, stem, &mut hits);
                    }
                }
                // long endings are cut from stems, so the slip may hide a name that its whole word shows
                if hits.is_empty() {
                    for key in index.postings.keys().filter_map(|it| it.strip_prefix('=')) {
                        if key.len() > 5
                            && key.as_bytes().first() == token.lemma.as_bytes().first()
                            && distance(&token.lemma, key, 1) <= 1
                        {
                            add_typo(index, &format!("={key}"), &mut hits);
                        }
                    }
                }
            }
            hits
        })
        .collect()
}

fn add_typo(index: &SchemaIndex, stem: &str, hits: &mut HashMap<u32, Vec<(u8, f64)>>) {
    for &(name, at) in index.postings.get(stem).into_iter().flatten() {
        hits.entry(name).or_default().push((at, 0.75));
    }
}

/// How many letters must be inserted, dropped, changed or swapped; anything above the limit counts as one above it.
pub(crate) fn distance(a: &str, b: &str, limit: usize) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    if a.len().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let mut best = (rows[i - 1][j] + 1)
                .min(row[j - 1] + 1)
                .min(rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]));
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row[j] = best;
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// What these tokens may name, best first: every token that carries content must be a word of the name.
fn names(
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
    if part.len() > 1
        && (matches!(part[0].kind, TokenKind::Number(_))
            && !hits[first].values().flatten().any(|it| it.1 >= 1.0))
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
    // `train stations` are stations, not the rows that connect trains and stations
    for ((table, column), entry) in &mut found {
        let info = &index.tables[*table];
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
    let least = if calculates { 0.9 } else { 0.3 };
    if calculates && tokens.get(end).is_some_and(|it| it.lower == "of") {
        return Vec::new();
    }
    let mut links: Vec<NameLink> = found
        .into_iter()
        .filter(|it| it.1.0 >= least)
        .map(|((table, column), (score, with_table))| NameLink { table, column, score, with_table })
        .collect();
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

/// Words that ask, count and compare.
pub(crate) fn is_question_word(word: &str) -> bool {
    matches!(
        word,
        "number"
            | "count"
            | "total"
            | "average"
            | "mean"
            | "sum"
            | "maximum"
            | "minimum"
            | "max"
            | "min"
            | "order"
            | "ordered"
            | "sorted"
            | "sort"
            | "group"
            | "grouped"
            | "least"
            | "most"
            | "top"
            | "first"
            | "last"
            | "name"
            | "names"
            | "different"
            | "distinct"
            | "unique"
            | "common"
            | "id"
            | "ids"
            | "list"
            | "descending"
            | "ascending"
            | "alphabetical"
            | "type"
            | "types"
            | "kind"
            | "date"
            | "year"
            | "age"
            | "information"
            | "details"
            | "time"
            | "times"
            | "value"
            | "day"
            | "days"
            | "month"
            | "week"
            | "today"
            | "yesterday"
            | "people"
            | "person"
            | "including"
            | "include"
            | "code"
            | "one"
            | "two"
            | "three"
            | "used"
            | "either"
            | "neither"
            | "both"
            | "none"
            | "corresponding"
            | "respectively"
            | "together"
            | "along"
    )
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn a_swap_of_neighbours_is_one_slip() {
        assert_eq!(distance("cutsomer", "customer", 2), 1);
        assert_eq!(distance("order", "orders", 1), 1);
        assert_eq!(distance("short", "a much longer one", 2), 3);
    }
}
