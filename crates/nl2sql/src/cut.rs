//! The part of a schema that matters to a question: what a language model gets to read of a large one.
//!
//! Each word of the question votes for the tables that it may mean, by their names, columns and values; a word that many
//! tables share says little of each. A vote counts for what keys connect to as well, the less the farther: so tables win
//! around which the whole question is answered, those between them that no word names among them. What the engine's own
//! reading uses is in. Then whole tables are taken from the top, as answers need columns that no word names, and of the
//! rest what was meant.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    engine::{RelevantColumn, RelevantTable},
    index::SchemaIndex,
    interpret::{EARNED, Interpreter},
    lexicon::LEXICON,
    link::{self, Meaning},
    logical::LogicalQuery,
    token,
};

/// What a table is worth beside its votes, if the engine's own reading uses it.
const READ: f64 = 2.0;

/// What a vote for one table is worth for another, by the steps between them along keys.
const NEAR: [f64; 3] = [1.0, 0.6, 0.3];

/// How much of the room whole tables take.
const WHOLE: f64 = 0.8;

/// The most columns of one table that are taken whatever they are worth.
const WIDE: usize = 40;

/// From which worth on a column of a table that is not taken whole is.
const MEANT: f64 = 0.3;

/// What a word is worth that stands inside a longer name, and how many letters it has at least.
const INSIDE: f64 = 0.35;
const INSIDE_LETTERS: usize = 4;

/// What a word for money says of quantities and prices, whose product it may be.
const SOLD: f64 = 0.6;

/// Words for money that was earned or spent, beside [`EARNED`].
const MONEY: [&str; 7] = ["spent", "spend", "spends", "spending", "income", "earned", "earnings"];

/// The most values of a column that are told.
const VALUES: usize = 5;

/// See [`crate::Engine::relevant_schema`]. `read` is the engine's own reading, if it has one.
pub(crate) fn cut(
    question: &str,
    index: &SchemaIndex,
    budget: usize,
    read: Option<&LogicalQuery>,
) -> Vec<RelevantTable> {
    let mut worth = Worth::new(index);
    worth.vote(question);
    if let Some(read) = read {
        worth.read(read);
    }
    worth.spread();
    let chosen = worth.choose(budget);
    let order = worth.order();
    order
        .into_iter()
        .filter(|it| !chosen[*it].is_empty())
        .map(|table| worth.told(table, &chosen[table]))
        .collect()
}

/// What tables and columns are worth to a question.
struct Worth<'a> {
    index: &'a SchemaIndex,
    tables: Vec<f64>,
    /// For each word the tables that it votes for.
    votes: Vec<BTreeMap<usize, f64>>,
    columns: Vec<Vec<f64>>,
    /// Values that the question names, by table and column.
    values: BTreeMap<(usize, usize), Vec<String>>,
}

impl<'a> Worth<'a> {
    fn new(index: &'a SchemaIndex) -> Self {
        Self {
            index,
            tables: vec![0.0; index.tables.len()],
            votes: Vec::new(),
            columns: index.tables.iter().map(|it| vec![0.0; it.columns.len()]).collect(),
            values: BTreeMap::new(),
        }
    }

    fn vote(&mut self, question: &str) {
        let mut tokens = token::tokenize(question);
        crate::correct::correct(self.index, &mut tokens);
        let items = link::link(self.index, &tokens, &[]);
        for item in &items {
            // The best that the item says of each table, and of each column.
            let mut of_tables: BTreeMap<usize, f64> = BTreeMap::new();
            let mut of_columns: BTreeMap<(usize, usize), f64> = BTreeMap::new();
            let mut note = |table: usize, column: Option<usize>, score: f64| {
                let best = of_tables.entry(table).or_default();
                *best = best.max(if column.is_some() { score * 0.8 } else { score });
                if let Some(column) = column {
                    let best = of_columns.entry((table, column)).or_default();
                    *best = best.max(score);
                }
            };
            let names = match &item.meaning {
                Meaning::Name(links) => links,
                _ => &item.names,
            };
            for link in names {
                // The table's own words are no sign of each of its columns.
                let column = link.column.filter(|_| !link.with_table || link.score > 0.8);
                note(link.table, column, link.score.min(1.0));
            }
            if let Meaning::Value(links) | Meaning::Number(_, links) = &item.meaning {
                for link in links {
                    note(link.table, Some(link.column), (link.score * 0.7).min(1.0));
                    let told = self.values.entry((link.table, link.column)).or_default();
                    if told.len() < VALUES && !told.contains(&link.value) {
                        told.push(link.value.clone());
                    }
                }
            }
            // `revenue` is a column's name in few schemas, and quantity times price in most
            let money = |it: &str| EARNED.contains(&it) || MONEY.contains(&it);
            if tokens[item.first..item.end].iter().any(|it| money(&it.lower)) {
                let sold = || Interpreter::new(self.index, &[], &[]).sold_in();
                for &(table, quantity, price) in self.index.sold.get_or_init(sold) {
                    note(table, Some(quantity), SOLD);
                    note(table, Some(price), SOLD);
                }
            }
            // Single words inside longer items, and their synonyms.
            for token in &tokens[item.first..item.end] {
                if LEXICON.is_stop(&token.lower) {
                    continue;
                }
                for stem in std::iter::once(&token.stem).chain(LEXICON.synonyms(&token.stem)) {
                    for (name, _) in self.index.vocabulary.holding(stem) {
                        let it = self.index.vocabulary.name(*name);
                        let column = it.column().filter(|_| !it.with_table);
                        note(it.table(), column, 0.4 * it.quality);
                    }
                }
            }
            // A word may stand inside a name that is not written apart, as in `sbcustomer`.
            for token in &tokens[item.first..item.end] {
                if token.stem.len() < INSIDE_LETTERS || LEXICON.is_stop(&token.lower) {
                    continue;
                }
                for (table, info) in self.index.tables.iter().enumerate() {
                    if holds(&info.name, &token.stem) {
                        note(table, None, INSIDE);
                    }
                    for (column, info) in info.columns.iter().enumerate() {
                        if holds(&info.name, &token.stem) {
                            note(table, Some(column), INSIDE);
                        }
                    }
                }
            }
            let says = rarity(of_tables.len(), self.index.tables.len());
            of_tables.values_mut().for_each(|it| *it *= says);
            self.votes.push(of_tables);
            for ((table, column), score) in of_columns {
                let worth = &mut self.columns[table][column];
                *worth = worth.max(score);
            }
        }
    }

    /// What the engine's own reading uses, joins included.
    fn read(&mut self, query: &LogicalQuery) {
        let mut used: BTreeSet<usize> = BTreeSet::new();
        let mut columns: BTreeSet<(usize, usize)> = BTreeSet::new();
        query.each(&mut |part| {
            if let Some(plan) = crate::join::plan(self.index, part) {
                for it in &plan.tables {
                    used.insert(it.table);
                    for (there, here) in it.to.iter().flat_map(|it| &it.1) {
                        columns.insert((it.table, *here));
                        if let Some((from, _)) = &it.to {
                            columns.insert((plan.tables[*from].table, *there));
                        }
                    }
                }
            }
            let mut note = |it: crate::logical::ColumnRef| {
                columns.insert((it.table, it.column));
            };
            for it in part.select.iter().chain(&part.group).chain(&part.per) {
                it.columns(&mut note);
            }
            part.order.iter().for_each(|it| it.by.columns(&mut note));
            part.filter.iter().chain(&part.having).for_each(|it| it.columns(&mut note));
        });
        for (table, column) in columns {
            used.insert(table);
            let worth = &mut self.columns[table][column];
            *worth = worth.max(1.0);
        }
        self.votes.push(used.into_iter().map(|it| (it, READ)).collect());
    }

    /// Counts the votes: of each word the best that is said of a table or of what is near.
    fn spread(&mut self) {
        for votes in &self.votes {
            let mut near: BTreeMap<usize, f64> = BTreeMap::new();
            for (voted, vote) in votes {
                for (table, steps) in self.index.within(*voted, NEAR.len() - 1) {
                    let best = near.entry(table).or_default();
                    *best = best.max(vote * NEAR[steps]);
                }
            }
            for (table, worth) in near {
                self.tables[table] += worth;
            }
        }
    }

    /// The tables, the worthiest first.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.tables.len()).collect();
        order.sort_by(|a, b| self.tables[*b].total_cmp(&self.tables[*a]).then(a.cmp(b)));
        order
    }

    fn column(&self, table: usize, column: usize) -> f64 {
        let info = &self.index.tables[table];
        let it = &info.columns[column];
        self.columns[table][column]
            + if it.primary || it.foreign { 0.4 } else { 0.0 }
            + if info.display.contains(&column) { 0.3 } else { 0.0 }
    }

    /// The columns of each table that fit, the worthiest first.
    fn choose(&self, budget: usize) -> Vec<Vec<usize>> {
        let total: usize = self.columns.iter().map(Vec::len).sum();
        let mut chosen: Vec<Vec<usize>> = vec![Vec::new(); self.tables.len()];
        let ranked = |table: usize| {
            // what only the organization's language has is told as such
            let known = &self.index.tables[table].columns;
            let mut all: Vec<usize> =
                (0..known.len()).filter(|it| known[*it].defined.is_none()).collect();
            all.sort_by(|a, b| {
                self.column(table, *b).total_cmp(&self.column(table, *a)).then(a.cmp(b))
            });
            all
        };
        if total <= budget {
            for (table, chosen) in chosen.iter_mut().enumerate() {
                *chosen = ranked(table);
            }
            return chosen;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a part of a number of columns"
        )]
        let whole = (budget as f64 * WHOLE) as usize;
        let mut left = budget;
        let order = self.order();
        for &table in &order {
            if self.tables[table] <= 0.0 && left < budget {
                break;
            }
            if budget - left >= whole {
                break;
            }
            let columns = ranked(table);
            // The last of them leaves room for what is meant of the others.
            let most = columns.len().min(WIDE).min(whole + left - budget);
            chosen[table].extend(&columns[..most]);
            left -= most;
        }
        // Then what was meant of the others, and at last whatever fits.
        for least in [MEANT, f64::NEG_INFINITY] {
            for &table in &order {
                if self.tables[table] <= 0.0 {
                    break;
                }
                for column in ranked(table) {
                    if left == 0 {
                        return chosen;
                    }
                    if self.column(table, column) >= least && !chosen[table].contains(&column) {
                        chosen[table].push(column);
                        left -= 1;
                    }
                }
            }
        }
        chosen
    }

    fn told(&self, table: usize, columns: &[usize]) -> RelevantTable {
        let info = &self.index.tables[table];
        RelevantTable {
            schema: info.schema.clone(),
            name: info.name.clone(),
            score: self.tables[table].min(1.0),
            columns: columns
                .iter()
                .map(|&column| RelevantColumn {
                    name: info.columns[column].name.clone(),
                    score: self.columns[table][column].min(1.0),
                    values: self.values.get(&(table, column)).cloned().unwrap_or_default(),
                })
                .collect(),
        }
    }
}

/// What a word says of each of `meant` tables among `all`, from 0 to 1: all of it where it means one only.
#[expect(clippy::cast_precision_loss, reason = "numbers of tables")]
fn rarity(meant: usize, all: usize) -> f64 {
    let (meant, all) = (meant.max(1) as f64, all.max(1) as f64);
    (1.0 + all / meant).ln() / (1.0 + all).ln()
}

/// Whether a name holds that word, whatever its case.
fn holds(name: &str, word: &str) -> bool {
    name.len() > word.len()
        && name.as_bytes().windows(word.len()).any(|it| it.eq_ignore_ascii_case(word.as_bytes()))
}
