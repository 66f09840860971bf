//! The organization's own language: what its people call things, how they compute what they speak of, and questions whose
//! answers somebody has checked.
//!
//! A term or metric becomes a column that the database does not have (`Defined`): it is linked, grouped, ordered and
//! compared by like any other, and written as its expression. So every way to ask works for it.

mod example;
mod settle;
mod speak;

pub use example::{Adapted, Example, Examples};
pub(crate) use settle::settle;
pub use speak::Unusable;

use crate::{
    index::SchemaIndex,
    lexicon::LEXICON,
    logical::{Aggregate, ColumnRef, Comparison, Expr, Literal, LogicalQuery, Predicate},
    token::{self, Token, TokenKind},
};

/// What people of an organization call something of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Its id, as it is told.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// What else it is called.
    pub synonyms: Vec<String>,
    /// Of which table it speaks, as `schema.table`.
    pub table: String,
    /// What it means there.
    pub meaning: TermMeaning,
}

/// What a term means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TermMeaning {
    /// The table itself.
    Table,
    /// One of its columns.
    Column(String),
    /// A value of one of its columns.
    Value {
        /// The column.
        column: String,
        /// The value, as it is stored.
        value: String,
    },
    /// Rows of which this holds: an SQL expression over the table's columns.
    Predicate(String),
    /// A number of each row: an SQL expression over the table's columns.
    Expression(String),
}

/// What an organization measures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its id, as it is told.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// What else it is called.
    pub synonyms: Vec<String>,
    /// Over the rows of which table, as `schema.table`.
    pub table: String,
    /// An aggregate over the table's columns, like `sum(quantity * unit_price)`.
    pub expression: String,
    /// Which rows count: an SQL expression over the table's columns.
    pub filter: Option<String>,
    /// When a row counts: an SQL expression over the table's columns.
    pub time: Option<String>,
}

/// A column that the database does not have, but the organization's language.
#[derive(Clone, Debug)]
pub(crate) struct Defined {
    pub(crate) pieces: Vec<DefinedPiece>,
    pub(crate) metric: Option<MetricColumn>,
    /// Names within it, by which its table must not be called.
    pub(crate) inner: Vec<String>,
}

/// A piece of such a column's expression.
#[derive(Clone, Debug)]
pub(crate) enum DefinedPiece {
    Text(String),
    /// A real column of the same table, by its position.
    Column {
        at: usize,
        nested: bool,
    },
}

/// What more is known of a metric.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MetricColumn {
    /// What is taken of the row's value; `None` if the expression is an aggregate as a whole.
    pub(crate) function: Option<Aggregate>,
    /// The column that says which rows count.
    pub(crate) filter: Option<usize>,
    /// The column that says when a row counts.
    pub(crate) time: Option<usize>,
}

/// A word of the organization's in an index.
#[derive(Clone, Debug)]
pub(crate) struct Spoken {
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    pub(crate) name: String,
    /// Its ways to be said, in base forms.
    pub(crate) ways: Vec<Vec<String>>,
    pub(crate) place: Place,
}

/// What it stands for.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Name { table: usize, column: Option<usize> },
    Value { table: usize, column: usize, value: String },
    Defined { table: usize, column: usize, noun: bool },
}

/// Something of the organization's language that an answer leans on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedLanguage {
    /// `term`, `metric` or `example`.
    pub kind: &'static str,
    /// Its id.
    pub id: String,
    /// Its name, or the example's question.
    pub name: String,
}

fn lemmas(tokens: &[Token]) -> Vec<&str> {
    tokens.iter().map(|it| it.lemma.as_str()).collect()
}

/// Where those words stand one after the other.
fn find(words: &[&str], way: &[String]) -> Option<usize> {
    (!way.is_empty() && words.len() >= way.len())
        .then(|| {
            (0..=words.len() - way.len())
                .find(|at| way.iter().zip(&words[*at..]).all(|(a, b)| a == b))
        })
        .flatten()
}

impl SchemaIndex {
    /// The question with what the organization's nouns leave out: "how many whales" speaks of customers.
    pub(crate) fn spoken<'a>(&self, question: &'a str) -> std::borrow::Cow<'a, str> {
        let mut text = std::borrow::Cow::Borrowed(question);
        for it in &self.spoken {
            let Place::Defined { table, noun: true, .. } = it.place else { continue };
            let tokens = token::tokenize(&text);
            let words = lemmas(&tokens);
            let names = &self.tables[table].words;
            if find(&words, names).is_some() {
                continue;
            }
            let found = it.ways.iter().find_map(|way| Some(find(&words, way)? + way.len() - 1));
            if let Some(last) = found
                && tokens[last].kind != TokenKind::Quoted
            {
                let (head, tail) = text.split_at(tokens[last].end);
                let many = crate::meta::plural(&names.join(" "));
                text = std::borrow::Cow::Owned(format!("{head} {many}{tail}"));
            }
        }
        text
    }

    /// What of the organization's language a query leans on that a question became.
    pub fn used_language(&self, question: &str, query: &LogicalQuery) -> Vec<UsedLanguage> {
        if self.spoken.is_empty() {
            return Vec::new();
        }
        let tokens = token::tokenize(question);
        let words = lemmas(&tokens);
        let mut columns: Vec<(usize, usize)> = Vec::new();
        let mut tables: Vec<usize> = Vec::new();
        let mut values: Vec<(usize, usize, String)> = Vec::new();
        query.each(&mut |part| {
            tables.extend(part.instances().iter().map(|it| it.0));
            let mut note = |it: ColumnRef| columns.push((it.table, it.column));
            part.select
                .iter()
                .chain(&part.group)
                .chain(&part.per)
                .for_each(|it| it.columns(&mut note));
            part.order.iter().for_each(|it| it.by.columns(&mut note));
            part.filter.iter().chain(&part.having).for_each(|it| it.columns(&mut note));
            part.filter.iter().for_each(|it| note_values(it, &mut values));
        });
        let used = self.spoken.iter().filter(|it| match &it.place {
            Place::Defined { table, column, .. } => columns.contains(&(*table, *column)),
            place => {
                it.ways.iter().any(|way| find(&words, way).is_some())
                    && match place {
                        Place::Name { table, column: None } => tables.contains(table),
                        Place::Name { table, column: Some(column) } => {
                            columns.contains(&(*table, *column))
                        }
                        Place::Value { table, column, value } => {
                            values.iter().any(|it| (it.0, it.1, &it.2) == (*table, *column, value))
                        }
                        Place::Defined { .. } => false,
                    }
            }
        });
        used.map(|it| UsedLanguage { kind: it.kind, id: it.id.clone(), name: it.name.clone() })
            .collect()
    }
}

fn note_values(it: &Predicate, values: &mut Vec<(usize, usize, String)>) {
    match it {
        Predicate::Compare(
            Expr::Column(at),
            Comparison::Equal | Comparison::NotEqual,
            Expr::Literal(Literal::Text(text)),
        ) => {
            values.push((at.table, at.column, text.clone()));
        }
        Predicate::And(all) | Predicate::Or(all) => {
            all.iter().for_each(|it| note_values(it, values));
        }
        Predicate::Not(it) => note_values(it, values),
        _ => {}
    }
}

/// The words of a name in their base form; all of them, where it has no others than such that say nothing.
pub(crate) fn said(name: &str) -> Vec<String> {
    let tokens = token::tokenize(name);
    let all: Vec<String> = tokens.iter().map(|it| it.lemma.clone()).collect();
    let telling: Vec<String> =
        tokens.iter().filter(|it| !LEXICON.is_stop(&it.lower)).map(|it| it.lemma.clone()).collect();
    if telling.is_empty() { all } else { telling }
}

#[cfg(test)]
mod tests;
