//! The names that single words may be words of: as they stand, by synonyms and abbreviations, in spite of slips.

use std::collections::HashMap;

use crate::{
    index::SchemaIndex,
    lexicon::LEXICON,
    token::{Token, TokenKind},
};

/// For each token the names it may be a word of: name, position of the word there, how alike they are.
pub(super) type Hits = Vec<HashMap<u32, Vec<(u8, f64)>>>;

/// How alike words are that only `lexicon/wordnet.txt` takes for each other.
const WIDER: f64 = 0.62;

pub(super) fn word_hits(index: &SchemaIndex, tokens: &[Token]) -> Hits {
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
            // what somebody made is no brand, and what is sorted has no sort
            let verb = matches!(
                token.lower.as_str(),
                "made"
                    | "makes"
                    | "making"
                    | "make"
                    | "sorted"
                    | "sort"
                    | "sorting"
                    | "daily"
                    | "weekly"
                    | "monthly"
                    | "quarterly"
                    | "yearly"
            );
            // where an order was placed is no place
            let verb = verb || token.lower.ends_with("ed") && LEXICON.is_light(&token.lower);
            for other in LEXICON.synonyms(&token.stem).iter().filter(|_| !verb) {
                let one_thing = matches!(
                    token.lemma.as_str(),
                    "average" | "mean" | "maximum" | "max" | "minimum" | "min"
                );
                add(other, if one_thing { 0.92 } else { 0.72 }, None);
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
