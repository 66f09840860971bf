//! Questions that go on from an answer: "and last month?", "only the German ones", "by country instead".
//!
//! A follow-up changes the typed query behind the last answer, side by side ([`Edit`]); no text is put together. What its
//! words mean is read as in any question, over the table that the last answer was about. What cannot be said of the last
//! answer for sure is asked back.

mod among;
mod apply;
mod edit;
mod narrow;
mod parts;
mod phrase;
mod place;
mod shift;
mod subject;
mod thing;
mod told;

use std::collections::BTreeSet;

pub use edit::Edit;
pub(crate) use edit::multiplies;
use phrase::{Intent, Phrase};

use crate::{
    confidence::CONFIDENCE_THRESHOLD,
    correct,
    engine::{AskContext, Engine, Reading},
    explain,
    index::SchemaIndex,
    join, link,
    logical::LogicalQuery,
    meta, render,
    token::{self, Token},
};

/// What a conversation has come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Past {
    /// The query behind the last answer.
    pub query: LogicalQuery,
    /// How likely that was right, from 0 to 1.
    pub confidence: f64,
    /// What was taken for granted there.
    pub assumptions: Vec<String>,
}

/// What a question is to the conversation that it is asked in.
#[derive(Clone, Debug, PartialEq)]
pub enum FollowUp {
    /// It stands alone.
    None,
    /// It changes the last answer.
    Edited(Box<Edited>),
    /// It wants the last answer explained.
    Why,
    /// It wants the answer before the last one.
    Back,
    /// It goes on from the last answer, but cannot be said of it for sure.
    Unclear(Unclear),
}

/// A last answer, changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Edited {
    /// What the changed query reads.
    pub reading: Reading,
    /// What was taken over from the last answer, one phrase each.
    pub taken_over: Vec<String>,
    /// What changes it back, the last change first.
    pub inverse: Vec<Edit>,
}

/// What is asked back of a follow-up.
#[derive(Clone, Debug, PartialEq)]
pub struct Unclear {
    /// What is asked.
    pub message: String,
    /// Words that were not understood.
    pub words: Vec<String>,
    /// At most three follow-ups or questions that can be answered.
    pub rephrasings: Vec<String>,
}

/// How much surer a last answer is than what is changed in it.
const CHANGED: f64 = 0.98;

/// Whether that goes on from something, so that it means nothing where nothing was asked before.
pub fn goes_on(question: &str) -> bool {
    phrase::read(&token::tokenize(question)).is_some_and(|it| it.surely)
}

impl Engine {
    /// What narrows that query down, in words, for whoever finds nothing by it.
    pub fn narrowed(&self, index: &SchemaIndex, query: &LogicalQuery) -> Option<String> {
        explain::narrowed(over(index, query), query)
    }

    /// What that question is to a conversation. Takes a few milliseconds, never blocks, never fails.
    pub fn follow_up(
        &self,
        question: &str,
        past: &Past,
        index: &SchemaIndex,
        context: &AskContext,
    ) -> FollowUp {
        let spoken = index.spoken(question);
        let question = spoken.as_ref();
        let mut tokens = token::tokenize(question);
        correct::correct(index, &mut tokens);
        let Some(Phrase { intent, surely }) = phrase::read(&tokens) else { return FollowUp::None };
        match intent {
            Intent::Why => return FollowUp::Why,
            Intent::Back => return FollowUp::Back,
            _ => {}
        }
        let index = over(index, &past.query);
        let talk = Talk { engine: self, question, tokens: &tokens, past, index, context };
        if !surely {
            let Intent::About(what) = &intent else { return FollowUp::None };
            if !talk.is_fragment(what.clone()) {
                return match talk.one_by_one() {
                    Some(query) => talk.finish(query),
                    None => FollowUp::None,
                };
            }
        }
        match talk.change(&intent) {
            Ok(query) => talk.finish(query),
            Err(why) => {
                let whole = matches!(intent, Intent::MeasureOf(..));
                if let Some(query) = talk.one_by_one().filter(|_| !whole) {
                    return talk.finish(query);
                }
                // what has a subject of its own may be a question of its own after all
                if talk.stands_alone(&intent) {
                    return FollowUp::None;
                }
                FollowUp::Unclear(talk.asked_back(why))
            }
        }
    }
}

/// How sure a changed answer is of what it took over: a little less than that was, but no answer that was sure enough to be
/// given becomes unsure because it is spoken of for long.
fn changed_from(confidence: f64) -> f64 {
    let less = confidence * CHANGED;
    if confidence >= CONFIDENCE_THRESHOLD { less.max(CONFIDENCE_THRESHOLD) } else { less }
}

/// The index that a query was read over: without views, where it reads none.
fn over<'a>(index: &'a SchemaIndex, query: &LogicalQuery) -> &'a SchemaIndex {
    let Some(base) = &index.base else { return index };
    let mut plain = true;
    query.each(&mut |part| {
        plain &= part.instances().iter().all(|it| it.0 < base.tables.len());
    });
    if plain { base } else { index }
}

/// A changed query, and what was found out on the way.
struct Changed {
    query: LogicalQuery,
    inverse: Vec<Edit>,
    /// How likely the new part is right.
    confidence: f64,
    assumptions: Vec<String>,
}

/// Why a follow-up cannot be applied.
#[derive(Clone, Debug)]
struct Doubt {
    message: String,
    words: Vec<String>,
}

impl Doubt {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), words: Vec::new() }
    }
}

/// One follow-up while it is read.
struct Talk<'a> {
    engine: &'a Engine,
    question: &'a str,
    tokens: &'a [Token],
    past: &'a Past,
    index: &'a SchemaIndex,
    context: &'a AskContext,
}

impl Talk<'_> {
    /// The words of some tokens, as they were written.
    fn text(&self, what: std::ops::Range<usize>) -> &str {
        let (Some(first), Some(last)) = (
            self.tokens.get(what.start),
            what.end.checked_sub(1).and_then(|it| self.tokens.get(it)),
        ) else {
            return "";
        };
        // quotes stand around a token
        let quote = |it: &Token| usize::from(it.kind == token::TokenKind::Quoted);
        let from = first.start - quote(first).min(first.start);
        let mut until = last.end;
        if quote(last) > 0 {
            until += self.question[last.end..].chars().next().map_or(0, char::len_utf8);
        }
        let from = (0..=from).rev().find(|it| self.question.is_char_boundary(*it)).unwrap_or(0);
        self.question.get(from..until).unwrap_or("")
    }

    /// The table that the last answer was about, in the plural.
    fn root(&self) -> Option<(usize, String)> {
        let root = self.past.query.root?;
        Some((root, meta::plural(&self.index.tables[root].words.join(" "))))
    }

    /// A sentence over that table read as a question of its own; `None` unless all of it was understood.
    fn read(&self, sentence: &str) -> Option<Reading> {
        let reading = self.engine.best_reading(sentence, self.index, self.context)?;
        let sure = reading.confidence >= CONFIDENCE_THRESHOLD && reading.ignored.is_empty();
        sure.then_some(reading)
    }

    /// Whether nothing in these words asks for anything: no word of a question, no table, only what narrows or names.
    fn is_fragment(&self, what: std::ops::Range<usize>) -> bool {
        let part = &self.tokens[what.clone()];
        let asks = part.iter().any(|it| {
            link::is_question_word(&it.lower)
                || matches!(
                    it.lower.as_str(),
                    "list"
                        | "show"
                        | "give"
                        | "count"
                        | "find"
                        | "number"
                        | "is"
                        | "are"
                        | "was"
                        | "were"
                        | "do"
                        | "does"
                        | "did"
                        | "have"
                        | "has"
                )
        });
        if part.is_empty() || asks || part.len() > 6 {
            return false;
        }
        let times = crate::time::find(part, self.context.now.date());
        let items = link::link(self.index, part, &times);
        let mut means = false;
        let plain = items.iter().all(|it| match &it.meaning {
            link::Meaning::Time(_) => {
                means = true;
                true
            }
            link::Meaning::Value(links) => {
                means |= !links.is_empty();
                !links.is_empty()
            }
            link::Meaning::Word => crate::lexicon::LEXICON.is_stop(&it.lower),
            link::Meaning::Mark(_) => true,
            link::Meaning::Name(_) | link::Meaning::Number(..) => false,
        });
        plain && means
    }

    /// Whether what could not be applied is a question of its own that the engine answers.
    fn stands_alone(&self, intent: &Intent) -> bool {
        let Intent::About(what) = intent else { return false };
        let items = link::link(self.index, &self.tokens[what.clone()], &[]);
        let table = items.iter().any(|it| match &it.meaning {
            link::Meaning::Name(links) => {
                links.first().is_some_and(|it| it.column.is_none() && it.score > 0.8)
            }
            _ => false,
        });
        let whole = self.text(what.start..what.end).to_owned();
        table && what.len() > 2 && self.read(&whole).is_some()
    }

    fn finish(&self, changed: Changed) -> FollowUp {
        let Changed { query, inverse, confidence, assumptions } = changed;
        let Some(sql) = render::render(self.index, &query) else {
            let doubt = Doubt::new("What you add does not connect with what was asked before.");
            return FollowUp::Unclear(self.asked_back(doubt));
        };
        let mut all = self.past.assumptions.clone();
        for it in assumptions {
            if !all.contains(&it) {
                all.push(it);
            }
        }
        let taken_over = told::taken_over(self.index, &self.past.query, &query);
        let mut tables: BTreeSet<String> = BTreeSet::new();
        query.each(&mut |part| {
            for it in join::plan(self.index, part).map(|it| it.tables).unwrap_or_default() {
                let table = &self.index.tables[it.table];
                tables.insert(format!("{}.{}", table.schema, table.name));
            }
        });
        let reading = Reading {
            explanation: explain::explain(self.index, &query),
            sql,
            tables: tables.into_iter().collect(),
            assumptions: all,
            confidence: changed_from(self.past.confidence).min(confidence),
            query,
            ignored: Vec::new(),
            signals: Vec::new(),
        };
        FollowUp::Edited(Box::new(Edited { reading, taken_over, inverse }))
    }

    /// A question back, with follow-ups that really can be applied.
    fn asked_back(&self, doubt: Doubt) -> Unclear {
        const TRIED: [&str; 6] = [
            "how many are there?",
            "and last month?",
            "as a percentage",
            "top 5",
            "which ones?",
            "by month",
        ];
        let asked = self.question.trim().to_lowercase();
        let can = |text: &str| {
            let tokens = token::tokenize(text);
            let talk = Talk { tokens: &tokens, question: text, ..*self };
            text != asked
                && phrase::read(&tokens).is_some_and(|it| {
                    talk.change(&it.intent)
                        .is_ok_and(|it| render::render(self.index, &it.query).is_some())
                })
        };
        let mut rephrasings: Vec<String> =
            TRIED.iter().filter(|it| can(it)).take(2).map(|it| (*it).to_owned()).collect();
        let root: Vec<usize> = self.past.query.root.into_iter().collect();
        rephrasings.extend(meta::examples(self.index, &root));
        rephrasings.truncate(3);
        Unclear { message: doubt.message, words: doubt.words, rephrasings }
    }
}

#[cfg(test)]
mod tests;
