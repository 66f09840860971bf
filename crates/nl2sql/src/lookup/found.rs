//! What was found, as an index for one question knows it.

use super::Found;
use crate::{
    index::{Answerable, SchemaIndex},
    logical::{ColumnRef, Comparison, Expr, Literal, LogicalQuery, Predicate},
    token::normalized,
};

/// How much less a value is meant of which only a part was said.
const IN_PART: f64 = 0.85;

/// The most values with a word in them that one column may have; of more of them none is meant.
const MOST_PARTS: usize = 3;

/// Where a word was found.
#[derive(Clone, Debug)]
pub(crate) struct FoundAt {
    pub(crate) table: usize,
    pub(crate) column: usize,
    /// As it is stored.
    pub(crate) value: String,
    /// As somebody wrote it.
    pub(crate) word: String,
    /// Whether the value is nothing else.
    pub(crate) whole: bool,
}

impl SchemaIndex {
    /// The same index for one question, of whose words these were found in the database. It shares everything else with this
    /// one.
    ///
    /// Where a word is all of a value, others of which it is a part do not count.
    #[must_use]
    pub fn with_found(&self, found: &[Found]) -> Self {
        let mut index = self.clone();
        // what was found may be what answers them
        index.answerable = Answerable::default();
        if let Some(base) = &self.base {
            index.base = Some(Box::new(base.with_found(found)));
        }
        for it in found {
            let table = index
                .tables
                .iter()
                .position(|own| own.schema == it.column.schema && own.name == it.column.table);
            let Some(table) = table else { continue };
            let column = index.tables[table].columns.iter().position(|own| {
                own.name == it.column.column && own.key.is_none() && own.defined.is_none()
            });
            let (Some(column), key) = (column, normalized(&it.word)) else { continue };
            let at = FoundAt {
                table,
                column,
                value: it.value.clone(),
                word: it.word.clone(),
                whole: is_whole(&it.word, &it.value),
            };
            index.found.entry(key).or_default().push(at);
        }
        for all in index.found.values_mut() {
            if all.iter().any(|it| it.whole) {
                all.retain(|it| it.whole);
            }
            let counted: Vec<(usize, usize)> = all.iter().map(|it| (it.table, it.column)).collect();
            let many = |it: &FoundAt| {
                counted.iter().filter(|at| **at == (it.table, it.column)).count() > MOST_PARTS
            };
            all.retain(|it| it.whole || !many(it));
        }
        index.found.retain(|_, all| !all.is_empty());
        index
    }
}

/// Whether a word, in one of its forms, is all of that value.
pub(super) fn is_whole(word: &str, value: &str) -> bool {
    let (word, value) = (normalized(word), normalized(value));
    word == value || super::access::base(&word) == Some(value)
}

/// How much a link to a value is worth beside one to a value that was said in full.
pub(crate) fn worth(index: &SchemaIndex, key: &str, place: (usize, usize), value: &str) -> f64 {
    let Some(found) = index.found.get(key) else { return 1.0 };
    let in_part =
        found.iter().any(|it| !it.whole && (it.table, it.column) == place && it.value == value);
    if in_part { IN_PART } else { 1.0 }
}

/// Where the values of a query were found that had to be looked up, one sentence for each.
pub(crate) fn told(index: &SchemaIndex, query: &LogicalQuery) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    if index.found.is_empty() {
        return told;
    }
    let mut tell = |column: ColumnRef, value: &str| {
        let here = |it: &&FoundAt| {
            (it.table, it.column) == (column.table, column.column) && it.value == value
        };
        let Some(it) = index.found.values().flatten().find(here) else { return };
        let place = |it: &FoundAt| {
            let table = &index.tables[it.table];
            format!("{}.{}", table.name, table.columns[it.column].name)
        };
        let mut text = if it.whole {
            format!("“{}” was found in {}", it.word, place(it))
        } else {
            format!("“{}” means “{}”, which was found in {}", it.word, it.value, place(it))
        };
        let same = index.found.values().flatten().filter(|other| other.word == it.word);
        let mut others: Vec<String> = same.map(place).filter(|other| *other != place(it)).collect();
        others.sort();
        others.dedup();
        if !others.is_empty() {
            text = format!("{text}; it also stands in {}", others.join(", "));
        }
        if !told.contains(&text) {
            told.push(text);
        }
    };
    query.each(&mut |part| {
        for it in part.filter.iter().chain(&part.having) {
            equal_to(it, &mut tell);
        }
        for it in &part.select {
            if let Expr::Aggregate { filter: Some(filter), .. } = it {
                equal_to(filter, &mut tell);
            }
        }
    });
    told
}

/// Calls `f` with every column that a condition compares with one text.
fn equal_to(it: &Predicate, f: &mut impl FnMut(ColumnRef, &str)) {
    match it {
        Predicate::Compare(
            Expr::Column(column),
            Comparison::Equal | Comparison::NotEqual,
            Expr::Literal(Literal::Text(value)),
        ) => f(*column, value),
        Predicate::And(all) | Predicate::Or(all) => all.iter().for_each(|it| equal_to(it, f)),
        Predicate::Not(it) => equal_to(it, f),
        _ => {}
    }
}
