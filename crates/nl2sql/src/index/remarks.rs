//! What the descriptions of a schema speak of, word by word: a last resort for words that no name and no synonym knows.

use std::collections::{HashMap, HashSet};

use super::SchemaIndex;
use crate::{lexicon::LEXICON, link::is_question_word, token::normalized};

/// What a word in descriptions may mean: a table, or a column of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Remark {
    pub(crate) table: usize,
    pub(crate) column: Option<usize>,
}

/// How many descriptions must speak of a table by a word before that word is one for its rows.
const TOLD: f64 = 2.0;

/// How much more often than in those of any other table.
const AHEAD: f64 = 1.5;

/// A reference that is described by what it refers to says more than a word in passing.
const REFERS: f64 = 1.5;

/// Of how many columns at most a word may be said.
const COLUMNS: usize = 2;

/// How many words at the beginning of a column's description say what it is.
const HEAD: usize = 4;

impl SchemaIndex {
    /// Notes what descriptions speak of. References must be known.
    pub(super) fn add_remarks(&mut self) {
        let mut tables: HashMap<String, HashMap<usize, f64>> = HashMap::new();
        let mut columns: HashMap<String, Vec<Remark>> = HashMap::new();
        let mut tell = |stem: String, table: usize, by: f64| {
            *tables.entry(stem).or_default().entry(table).or_default() += by;
        };
        for (table, info) in self.tables.iter().enumerate() {
            for stem in stems(info.comment.as_deref().unwrap_or_default(), usize::MAX) {
                tell(stem, table, 1.0);
            }
            for (column, it) in info.columns.iter().enumerate() {
                let comment = it.comment.as_deref().unwrap_or_default();
                if comment.is_empty() {
                    continue;
                }
                let target = self.edges_of[table]
                    .iter()
                    .map(|edge| &self.edges[*edge])
                    .find(|edge| edge.from == table && edge.from_columns == [column])
                    .map(|edge| edge.to);
                if let Some(target) = target {
                    if let Some(stem) = stems(first_clause(comment), 1).into_iter().next() {
                        tell(stem, target, REFERS);
                    }
                    continue;
                }
                for stem in stems(comment, usize::MAX) {
                    tell(stem, table, 1.0);
                }
                for stem in stems(head(first_clause(comment)), HEAD) {
                    columns.entry(stem).or_default().push(Remark { table, column: Some(column) });
                }
            }
        }
        for (stem, told) in tables {
            let mut all: Vec<(usize, f64)> = told.into_iter().collect();
            all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            let next = all.get(1).map_or(0.0, |it| it.1);
            if let Some((table, best)) = all.first()
                && *best >= TOLD
                && *best >= AHEAD * next
            {
                self.remarks.insert(stem, vec![Remark { table: *table, column: None }]);
            }
        }
        for (stem, found) in columns {
            if found.len() <= COLUMNS && !self.remarks.contains_key(&stem) {
                self.remarks.insert(stem, found);
            }
        }
    }
}

/// A clause up to the word that says something of what it begins with: `Distance to the scene` is a distance.
fn head(clause: &str) -> &str {
    let mut begun = false;
    for (at, word) in clause.split_whitespace().scan(0, |at, word| {
        let from = clause[*at..].find(word).map_or(*at, |it| *at + it);
        *at = from + word.len();
        Some((from, word))
    }) {
        let stop = LEXICON.is_stop(&word.to_lowercase());
        if begun && stop {
            return &clause[..at];
        }
        begun |= !stop;
    }
    clause
}

/// What stands before the first mark.
fn first_clause(comment: &str) -> &str {
    comment.split(['.', ',', ';', '(', ':']).next().unwrap_or_default()
}

/// The stems of the first `most` words of a description that carry content, each once.
fn stems(comment: &str, most: usize) -> Vec<String> {
    let normal = normalized(comment);
    let mut seen: HashSet<String> = HashSet::new();
    normal
        .split(' ')
        .filter(|it| it.len() > 3 && !LEXICON.is_stop(it))
        .take(most)
        .filter(|it| !LEXICON.is_light(it) && !is_question_word(it))
        .map(|it| LEXICON.stem(&LEXICON.lemma(it)))
        .filter(|it| seen.insert(it.clone()))
        .collect()
}
