//! Of which words of a question the engine would like to know, and where they could stand.

use plinth_schema_introspect::{TypeClass, is_secret_name, is_secret_value};

use super::{TextColumn, Wanted, WantedWord};
use crate::{
    confidence::SIGNALS,
    correct,
    engine::{AskContext, Engine, Outcome},
    index::SchemaIndex,
    lexicon::LEXICON,
    link::{self, Item, Meaning},
    phrase, time, token,
};

/// The most words, and adjoining words, that are asked for.
const WORDS: usize = 8;

/// The most columns that are named; of those not all can be searched.
const COLUMNS: usize = 200;

/// The most adjoining words that may be one value.
const LONGEST_RUN: usize = 5;

/// A name in capitals that resembles something of the schema no better than that may be something else.
const WEAK: f64 = 0.7;

/// How far away from the tables that a question names a value is looked for.
const NEAR: usize = 2;

impl Engine {
    /// What looking into the database could tell about a question that was read like that; `None` where it is understood, or
    /// where no word is left that a value could explain.
    pub fn wanted(
        &self,
        question: &str,
        index: &SchemaIndex,
        context: &AskContext,
        outcome: &Outcome,
    ) -> Option<Wanted> {
        let open = match outcome {
            // A value was guessed, or a word had no part in it: there it is not understood in full.
            Outcome::Answered(reading) => {
                let unseen = SIGNALS.iter().position(|it| *it == "unseen");
                !reading.ignored.is_empty()
                    || unseen.and_then(|at| reading.signals.get(at)).is_some_and(|it| *it > 0.0)
            }
            Outcome::NeedsClarification(_) | Outcome::NotAnswerable(_) => true,
            Outcome::NotPermitted(_) | Outcome::Meta(_) => false,
        };
        if !open {
            return None;
        }
        let mut tokens = token::tokenize(&index.spoken(question));
        correct::correct(index, &mut tokens);
        phrase::plain(&mut tokens);
        let times = time::find(&tokens, context.now.date());
        let items = link::link(index, &tokens, &times);
        let mut words = words(&items);
        if let Outcome::Answered(reading) = outcome {
            let read = |it: &WantedWord| {
                let lower = it.text.to_lowercase();
                !reading.ignored.iter().any(|word| lower.contains(&word.to_lowercase()))
            };
            // what has its part in the answer is understood, but for names that stand in no sample
            words.retain(|it| it.in_part || !read(it));
        }
        let columns = if words.is_empty() { Vec::new() } else { columns(index, &items) };
        (!columns.is_empty()).then_some(Wanted { words, columns })
    }
}

/// Runs of words that mean nothing yet, each whole, in pairs and word by word.
fn words(items: &[Item]) -> Vec<WantedWord> {
    let mut all: Vec<WantedWord> = Vec::new();
    let mut add = |part: &[Item]| {
        let text = part.iter().map(|it| it.text.as_str()).collect::<Vec<_>>().join(" ");
        let in_part = part.iter().all(|it| it.capital || it.quoted);
        let known = all.iter().any(|it| it.text.eq_ignore_ascii_case(&text));
        if !known && text.chars().count() <= 80 && !is_secret_value(&text) {
            all.push(WantedWord { text, in_part });
        }
    };
    let mut at = 0;
    while at < items.len() {
        if !is_open(&items[at]) {
            at += 1;
            continue;
        }
        let first = at;
        at += 1;
        while at < items.len() && at - first < LONGEST_RUN && !items[first].quoted {
            if is_open(&items[at]) && !items[at].quoted {
                at += 1;
            } else if joins(items, at) {
                at += 2;
            } else {
                break;
            }
        }
        let run = &items[first..at];
        add(run);
        if run.len() > 2 {
            run.windows(2).filter(|it| it.iter().all(is_open)).for_each(&mut add);
        }
        run.iter().filter(|it| is_open(it)).for_each(|it| add(std::slice::from_ref(it)));
    }
    all.truncate(WORDS);
    all
}

/// `Bank of Ghent`: a small word between two in capitals.
fn joins(items: &[Item], at: usize) -> bool {
    let small = matches!(items[at].lower.as_str(), "of" | "and" | "the" | "de" | "van" | "von");
    let named = |it: Option<&Item>| it.is_some_and(|it| it.capital && is_open(it));
    small && at > 0 && named(items.get(at - 1)) && named(items.get(at + 1))
}

/// Whether that is a word of weight which means nothing yet.
fn is_open(it: &Item) -> bool {
    let letters = it.text.chars().filter(|it| it.is_alphabetic()).count();
    match &it.meaning {
        Meaning::Word if it.capital => letters > 1 && !LEXICON.is_stop(&it.lower),
        Meaning::Word => {
            letters > 2
                && !LEXICON.is_stop(&it.lower)
                && !LEXICON.is_light(&it.lower)
                && LEXICON.degree(&it.lower).is_none()
                && !link::is_question_word(&it.lower)
        }
        Meaning::Value(links) => links.is_empty(),
        Meaning::Name(links) => it.capital && links.first().is_none_or(|it| it.score < WEAK),
        Meaning::Number(..) | Meaning::Time(_) | Meaning::Mark(_) => false,
    }
}

/// Columns of text of which not all values are known: of the tables that the question names first, then of those around
/// them; those that name rows to people before others.
fn columns(index: &SchemaIndex, items: &[Item]) -> Vec<TextColumn> {
    let mut named: Vec<usize> = Vec::new();
    for it in items {
        let (Meaning::Name(links), false) = (&it.meaning, it.capital) else { continue };
        let Some(best) = links.first() else { continue };
        for link in links.iter().filter(|it| it.score >= best.score - 0.1) {
            if !named.contains(&link.table) {
                named.push(link.table);
            }
        }
    }
    let mut ranked: Vec<(usize, bool, usize, usize)> = Vec::new();
    for (at, table) in index.tables.iter().enumerate() {
        let steps = named.iter().filter_map(|it| index.distance(*it, at)).min();
        // nothing is named: it may stand anywhere
        let steps = if named.is_empty() { Some(0) } else { steps.filter(|it| *it <= NEAR) };
        let Some(steps) = steps else { continue };
        for (column, it) in table.columns.iter().enumerate() {
            let open = it.class == TypeClass::Text
                && !it.complete
                && it.key.is_none()
                && it.defined.is_none()
                && !is_secret_name(&it.name, it.comment.as_deref());
            if open {
                ranked.push((steps, !table.display.contains(&column), at, column));
            }
        }
    }
    ranked.sort_unstable();
    ranked.truncate(COLUMNS);
    let named = |(_, _, table, column): (usize, bool, usize, usize)| {
        let table = &index.tables[table];
        TextColumn {
            schema: table.schema.clone(),
            table: table.name.clone(),
            column: table.columns[column].name.clone(),
        }
    };
    ranked.into_iter().map(named).collect()
}
