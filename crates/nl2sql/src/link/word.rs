//! The names that single words may be words of: as they stand, by synonyms and abbreviations, in spite of slips.

use std::{collections::HashSet, sync::Arc};

use crate::{
    index::{Hit, Kin, SchemaIndex, WordHits},
    interpret::EARNED,
    lexicon::LEXICON,
    token::{Token, TokenKind},
    work,
};

/// For each token the names it may be a word of.
pub(super) type Hits = Vec<Arc<WordHits>>;

/// How alike words are that only `lexicon/wordnet.txt` takes for each other.
const WIDER: f64 = 0.62;

/// How alike a word and one are that it may be a slip of.
const SLIP: f64 = 0.75;

/// How alike words are that are near in general dictionaries, and less near.
const RELATED: [f64; 2] = [0.61, 0.52];

/// Of how many things at most a word may be a name that is only near to theirs, or less near.
const RELATED_THINGS: [usize; 2] = [3, 1];

pub(super) fn word_hits(index: &SchemaIndex, tokens: &[Token]) -> Hits {
    let nothing = Arc::new(WordHits::default());
    let hits = tokens.iter().enumerate().map(|(at, token)| {
        if !matches!(token.kind, TokenKind::Word | TokenKind::Number(_)) || is_silent(&token.lower)
        {
            return nothing.clone();
        }
        let kind = if token.kind == TokenKind::Word { "" } else { "#" };
        let said = format!("{kind}{}\n{}\n{}", token.lower, token.lemma, token.stem);
        let mut hits = index.heard.hits(&said, || hits_of(index, token));
        let before = at.checked_sub(1).map(|it| &tokens[it]);
        if hits.len() == 0 && is_thing(token) && may_be_related(token, before) {
            let said = format!("~{}", token.stem);
            hits = index.heard.hits(&said, || related_hits(index, &token.stem));
        }
        work::note(hits.len());
        hits
    });
    hits.collect()
}

/// Whether a word names nothing, whatever things are called.
fn is_silent(word: &str) -> bool {
    LEXICON.is_stop(word)
        && !matches!(
            word,
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
}

/// How well a word says what another word is the name of, where both mean the same everywhere.
const SAME: f64 = 0.95;

fn hits_of(index: &SchemaIndex, token: &Token) -> WordHits {
    let vocabulary = &index.vocabulary;
    let mut hits: Vec<Hit> = Vec::new();
    let mut add = |stem: &str, score: f64, exact: Option<&str>| {
        let exact = exact.and_then(|it| vocabulary.id(it));
        for &(name, at) in vocabulary.holding(stem) {
            let word = || vocabulary.words(vocabulary.name(name))[usize::from(at)].lemma;
            let score = if exact.is_some_and(|it| it == word()) { 1.0 } else { score };
            hits.push(Hit { name, at, score });
        }
    };
    add(&token.stem, 0.9, Some(&token.lemma));
    if token.lower != token.lemma {
        add(&token.lower, 0.95, Some(&token.lower));
    }
    let verb = is_done(token);
    // `sales` are what was earned, though whoever sells may call an order so
    let earned = EARNED.contains(&token.lower.as_str());
    let apt = |it: &&String| !(verb || earned && it.as_str() == "order");
    for other in LEXICON.synonyms(&token.stem).iter().filter(apt) {
        let one_thing = matches!(
            token.lemma.as_str(),
            "average" | "mean" | "maximum" | "max" | "minimum" | "min"
        );
        let score = if one_thing {
            0.92
        } else if LEXICON.is_same(&token.stem, other) {
            SAME
        } else {
            0.72
        };
        add(other, score, None);
    }
    for other in LEXICON.wider(&token.stem).iter().filter(|_| !verb) {
        add(other, WIDER, None);
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
        && !LEXICON.is_light(&token.lower)
        && LEXICON.degree(&token.lower).is_none()
    {
        // a slip of the finger
        let limit = if token.lower.len() > 8 { 2 } else { 1 };
        let mut near = vocabulary.near(&token.lemma, &token.stem, limit);
        if near.is_empty() {
            near = vocabulary.near_whole(&token.lemma);
        }
        let near = near.into_iter().flatten();
        hits.extend(near.map(|&(name, at)| Hit { name, at, score: SLIP }));
    }
    WordHits::new(hits)
}

/// Whether a word says what is done, or how often: what somebody made is no brand, and what is sorted has no sort; where an
/// order was placed is no place.
fn is_done(token: &Token) -> bool {
    matches!(
        token.lower.as_str(),
        "made"
            | "makes"
            | "making"
            | "make"
            | "selling"
            | "sorted"
            | "sort"
            | "sorting"
            | "daily"
            | "weekly"
            | "monthly"
            | "quarterly"
            | "yearly"
    ) || token.lower.ends_with("ed") && LEXICON.is_light(&token.lower)
}

/// What is called by a word that is near to that one, where nothing is called by the word itself: the nearest only, and only
/// if they are few.
fn related_hits(index: &SchemaIndex, stem: &str) -> WordHits {
    let vocabulary = &index.vocabulary;
    for (near, score, most) in
        [(true, RELATED[0], RELATED_THINGS[0]), (false, RELATED[1], RELATED_THINGS[1])]
    {
        let mut hits: Vec<Hit> = Vec::new();
        let mut things: HashSet<(usize, Option<usize>)> = HashSet::new();
        for (other, _) in LEXICON.related(stem).filter(|it| it.1 == near) {
            for &(name, at) in vocabulary.holding(other) {
                let it = vocabulary.name(name);
                let weight = vocabulary.words(it)[usize::from(at)].weight;
                // the word that says what it is, not what it is of
                let head = usize::from(at) + 1 == it.len();
                if weight > 0.99 || near && (head || weight > 0.5) {
                    hits.push(Hit { name, at, score });
                    if !it.with_table {
                        things.insert((it.table(), it.column()));
                    }
                }
            }
        }
        if !hits.is_empty() {
            let few = things.len() <= most;
            let kin = if near { Kin::Near } else { Kin::Loose };
            return if few { WordHits::new(hits).by(kin) } else { WordHits::default() };
        }
    }
    WordHits::default()
}

/// Whether another word may be looked for: not for units behind numbers, verbs behind what does something ("trainers work"), kinds behind
/// names ("the SP team"), and words about databases.
fn may_be_related(token: &Token, before: Option<&Token>) -> bool {
    let led = before.is_some_and(|it| {
        let many = it.kind == TokenKind::Word && it.lower != it.lemma && it.lower.ends_with('s');
        it.capital
            || many && token.lower == token.lemma
            || matches!(it.kind, TokenKind::Number(_))
            || matches!(
                it.lower.as_str(),
                "who" | "that" | "which" | "to" | "does" | "do" | "did" | "$"
            )
    });
    let own = matches!(
        token.lemma.as_str(),
        "table"
            | "column"
            | "field"
            | "schema"
            | "row"
            | "dollar"
            | "euro"
            | "pound"
            | "gram"
            | "kilogram"
            | "mile"
            | "meter"
            | "kilometer"
            | "term"
            | "worth"
            | "second"
    );
    !led && !own && !is_done(token)
}

/// Whether a word may be one for a thing: no verb, no adjective of degree, no word of every question.
pub(super) fn is_thing(token: &Token) -> bool {
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

/// The most letters of words that are compared without asking for memory.
const LETTERS: usize = 63;

/// How many letters must be inserted, dropped, changed or swapped; above the limit it is only said that it is above.
pub(crate) fn distance(a: &str, b: &str, limit: usize) -> usize {
    if a.is_ascii() && b.is_ascii() {
        return steps(a.as_bytes(), b.as_bytes(), limit);
    }
    let letters = |it: &str| it.chars().collect::<Vec<char>>();
    steps(&letters(a), &letters(b), limit)
}

fn steps<T: PartialEq>(a: &[T], b: &[T], limit: usize) -> usize {
    if a.len().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    // what both begin or end with costs nothing
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[same..], &b[same..]);
    let same = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[..a.len() - same], &b[..b.len() - same]);
    if a.is_empty() || b.is_empty() {
        return a.len().max(b.len());
    }
    if b.len() > LETTERS {
        let mut rows = [(); 3].map(|()| vec![0; b.len() + 1]);
        let [first, second, third] = &mut rows;
        return fill(a, b, limit, [first, second, third]);
    }
    let mut rows = [[0; LETTERS + 1]; 3];
    let [first, second, third] = &mut rows;
    fill(a, b, limit, [first, second, third])
}

/// The same by a table of which three rows are kept: the one before the last, the last, and the one that is being made.
fn fill<T: PartialEq>(a: &[T], b: &[T], limit: usize, rows: [&mut [usize]; 3]) -> usize {
    let [mut before, mut last, mut row] = rows;
    for (at, it) in last[..=b.len()].iter_mut().enumerate() {
        *it = at;
    }
    let mut least_before = 0;
    for i in 1..=a.len() {
        row[0] = i;
        let mut least = i;
        for j in 1..=b.len() {
            let mut best = (last[j] + 1)
                .min(row[j - 1] + 1)
                .min(last[j - 1] + usize::from(a[i - 1] != b[j - 1]));
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row[j] = best;
            least = least.min(best);
        }
        if least > limit && least_before > limit {
            return limit + 1;
        }
        least_before = least;
        (before, last, row) = (last, row, before);
    }
    last[b.len()]
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

    #[test]
    fn slips_are_counted_as_in_the_whole_table() {
        assert_eq!(distance("naïve", "naive", 1), 1);
        assert_eq!(distance("kitten", "sitting", 3), 3);
        assert!(distance("abcdef", "uvwxyz", 2) > 2);
        assert_eq!(distance("same", "same", 0), 0);
        let long = "a".repeat(80);
        assert_eq!(distance(&format!("{long}x{long}"), &format!("{long}y{long}"), 1), 1);
        assert_eq!(distance(&format!("q{long}z"), &format!("z{long}q"), 2), 2);
    }
}
