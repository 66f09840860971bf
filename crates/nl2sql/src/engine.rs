//! The engine: one question, one outcome.

use crate::{
    confidence::{self, CONFIDENCE_THRESHOLD},
    correct,
    doubt::content,
    explain,
    index::SchemaIndex,
    lexicon::LEXICON,
    link,
    logical::LogicalQuery,
    meta::{self, MetaAnswer},
    phrase,
    read::{likeliest, others, read},
    time, token, work,
};

/// What the engine must know beside the question and the schema.
#[derive(Clone, Debug)]
pub struct AskContext {
    /// The moment of asking, in the organization's time zone.
    pub now: jiff::Zoned,
}

/// The most readings that are offered where none is sure.
const MOST_OPTIONS: usize = 3;

/// Answers questions over schemas. Holds nothing of any schema, so one serves all.
#[derive(Debug, Default)]
pub struct Engine {
    _private: (),
}

/// What became of a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It was understood.
    Answered(Reading),
    /// It has several readings that are nearly equally likely, or one that is not sure enough.
    NeedsClarification(Clarification),
    /// It cannot be answered over this schema, as far as the engine can see.
    NotAnswerable(NotUnderstood),
    /// It speaks of what is there, but not for the caller: these are the caller's own words for it.
    NotPermitted(Vec<String>),
    /// It was about the schema itself.
    Meta(MetaAnswer),
}

/// A question as it was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// One SELECT.
    pub sql: String,
    /// What it does, in plain words.
    pub explanation: String,
    /// The tables it reads, as `schema.table`, sorted.
    pub tables: Vec<String>,
    /// What was taken for granted, one sentence each.
    pub assumptions: Vec<String>,
    /// How likely it is right, from 0 to 1.
    pub confidence: f64,
    /// The query behind the SQL.
    pub query: LogicalQuery,
    /// Words of the question that had no part in it.
    pub ignored: Vec<String>,
    /// What the confidence was computed from, in the order of [`SIGNALS`](crate::SIGNALS).
    pub signals: Vec<f64>,
}

/// One way to understand a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// A few words to choose by.
    pub label: String,
    /// What it does, in plain words.
    pub explanation: String,
    /// One SELECT.
    pub sql: String,
    /// How likely it is what was meant, from 0 to 1.
    pub confidence: f64,
}

/// A question back.
#[derive(Clone, Debug, PartialEq)]
pub struct Clarification {
    /// What is asked back.
    pub question: String,
    /// At most three ways to understand the question, the likeliest first.
    pub options: Vec<Choice>,
    /// Words that were not understood.
    pub words: Vec<String>,
    /// At most three questions that can be answered over this schema.
    pub rephrasings: Vec<String>,
}

/// A question that was not understood.
#[derive(Clone, Debug, PartialEq)]
pub struct NotUnderstood {
    /// Words that were not understood.
    pub words: Vec<String>,
    /// At most three questions that can be answered over this schema.
    pub rephrasings: Vec<String>,
    /// What to tell the person.
    pub message: String,
}

/// A table that may matter to a question.
#[derive(Clone, Debug, PartialEq)]
pub struct RelevantTable {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// How strongly the question speaks of it, from 0 to 1.
    pub score: f64,
    /// Its columns, those that matter first.
    pub columns: Vec<RelevantColumn>,
}

/// A column that may matter to a question.
#[derive(Clone, Debug, PartialEq)]
pub struct RelevantColumn {
    /// Its name.
    pub name: String,
    /// How strongly the question speaks of it, from 0 to 1.
    pub score: f64,
    /// Values of it that the question names.
    pub values: Vec<String>,
}

impl Engine {
    /// An engine. The lexicons are parsed once for the whole process.
    pub fn new() -> Self {
        let _ = &*LEXICON;
        Self::default()
    }

    /// What that question means over that schema. Takes a few milliseconds, never blocks, never fails.
    pub fn ask(&self, question: &str, index: &SchemaIndex, context: &AskContext) -> Outcome {
        work::begin();
        let mut tokens = token::tokenize(&index.spoken(question));
        correct::correct(index, &mut tokens);
        phrase::plain(&mut tokens);
        if let Some(answer) = meta::answer(index, &tokens) {
            return Outcome::Meta(answer);
        }
        let today = context.now.date();
        let times = time::find(&tokens, today);
        let Some(read) = likeliest(index, &tokens, today) else {
            let concealed = index.concealed_in(&tokens);
            if !concealed.is_empty() {
                return Outcome::NotPermitted(concealed);
            }
            let items = link::link(index, &tokens, &times);
            return Outcome::NotAnswerable(NotUnderstood {
                words: content(&items, &vec![false; items.len()]),
                rephrasings: meta::examples(index, &[]),
                message:
                    "Nothing in the question names a table, a column or a value of this database."
                        .to_owned(),
            });
        };
        let words = read.ignored.clone();
        if read.confidence >= CONFIDENCE_THRESHOLD {
            return Outcome::Answered(read);
        }
        let concealed = index.concealed_in(&tokens);
        if !concealed.is_empty() {
            return Outcome::NotPermitted(concealed);
        }
        let tables: Vec<usize> = read.query.root.into_iter().collect();
        let rephrasings = meta::examples(index, &tables);
        if read.confidence < confidence::HOPELESS {
            return Outcome::NotAnswerable(NotUnderstood {
                message: if words.is_empty() {
                    "The question could not be read with enough certainty.".to_owned()
                } else {
                    format!("These words were not understood: {}.", words.join(", "))
                },
                words,
                rephrasings,
            });
        }
        let mut readings = others(index, &tokens, today, &read);
        readings.insert(0, read);
        readings.truncate(MOST_OPTIONS);
        let options = choices(index, readings);
        let asked = if options.len() > 1 {
            "Which of these do you mean?"
        } else {
            "Is this what you mean?"
        };
        Outcome::NeedsClarification(Clarification {
            question: if words.is_empty() {
                asked.to_owned()
            } else {
                format!("I did not understand {}. {asked}", words.join(", "))
            },
            options,
            words,
            rephrasings,
        })
    }

    /// The likeliest reading, however unsure: for measuring, and for a language model that wants a second opinion.
    pub fn best_reading(
        &self,
        question: &str,
        index: &SchemaIndex,
        context: &AskContext,
    ) -> Option<Reading> {
        work::begin();
        let mut tokens = token::tokenize(&index.spoken(question));
        correct::correct(index, &mut tokens);
        phrase::plain(&mut tokens);
        likeliest(index, &tokens, context.now.date())
    }

    /// The tables and columns that may matter to a question, most relevant first, at most `budget` columns in all.
    ///
    /// Tables that connect relevant ones are among them. A schema that fits the budget is returned whole.
    pub fn relevant_schema(
        &self,
        question: &str,
        index: &SchemaIndex,
        budget: usize,
    ) -> Vec<RelevantTable> {
        work::begin();
        let mut tokens = token::tokenize(question);
        correct::correct(index, &mut tokens);
        let read = read(index, &link::link(index, &tokens, &[]), &tokens, None);
        crate::cut::cut(question, index, budget, read.as_ref().map(|it| &it.query))
    }
}

/// Readings to choose from. What is said alike in a few words is said in full.
fn choices(index: &SchemaIndex, readings: Vec<Reading>) -> Vec<Choice> {
    let labels: Vec<String> = readings.iter().map(|it| explain::label(index, &it.query)).collect();
    let alike = |label: &String| labels.iter().filter(|it| *it == label).count() > 1;
    readings
        .into_iter()
        .zip(&labels)
        .map(|(it, label)| Choice {
            label: if alike(label) {
                it.explanation.trim_end_matches('.').to_owned()
            } else {
                label.clone()
            },
            explanation: it.explanation,
            sql: it.sql,
            confidence: it.confidence,
        })
        .collect()
}
