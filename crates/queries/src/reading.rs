//! From a question, and what was asked before it, to what it means.

use std::time::Instant;

use plinth_nl2sql::conversation::{self, FollowUp, Past};
use plinth_nl2sql::lookup::{Found, Wanted};
use plinth_nl2sql::{
    AskContext, Engine, MetaAnswer, NotUnderstood, Outcome, SchemaIndex, asks_for_freshness,
};

use crate::conversation::{MAX_QUESTIONS, Turn, TurnState};
use crate::knowledge::Knowledge;
use crate::{Notes, Used};

/// What a question means.
pub(crate) struct Read {
    pub(crate) outcome: Outcome,
    /// The engine's own time, in milliseconds.
    pub(crate) engine_ms: f64,
    /// What was taken over from the answer before.
    pub(crate) taken_over: Vec<String>,
    /// What of the organization's language it leans on.
    pub(crate) used: Vec<Used>,
    /// What follow-ups go on from.
    pub(crate) state: Option<TurnState>,
    /// It is settled without a language model.
    pub(crate) settled: bool,
    /// The answer before the last one is wanted.
    pub(crate) back: bool,
    /// A statement that somebody checked, and what goes with it.
    pub(crate) example: Option<(String, Notes)>,
    /// What narrows the rows down, in words.
    pub(crate) narrowed: Option<String>,
    /// Which words the database might know that nothing explains; `None` if it is understood.
    pub(crate) wanted: Option<Wanted>,
}

/// What that question means, after that answer, with what was looked up for it.
pub(crate) fn read(
    engine: &Engine,
    knowledge: &Knowledge,
    question: &str,
    last: Option<&Turn>,
    with_examples: bool,
    context: &AskContext,
    found: &[Found],
) -> Read {
    let shared = knowledge.index();
    let started = Instant::now();
    let own = (!found.is_empty()).then(|| shared.with_found(found));
    let index = own.as_ref().unwrap_or(shared);
    if asks_for_freshness(question) {
        return Read::settled(freshness(knowledge, context));
    }
    let mut read = match last {
        Some(turn) => after(engine, index, question, turn, context),
        None => None,
    }
    .or_else(|| with_examples.then(|| checked(knowledge, question, context)).flatten())
    .unwrap_or_else(|| fresh(engine, index, question, last.is_some(), context));
    if let Outcome::Answered(reading) = &read.outcome
        && read.example.is_none()
    {
        read.narrowed = engine.narrowed(index, &reading.query);
        for it in index.used_language(question, &reading.query) {
            let used = Used { kind: it.kind.to_owned(), id: it.id, name: it.name };
            if !read.used.contains(&used) {
                read.used.push(used);
            }
        }
    }
    if !read.settled && found.is_empty() {
        read.wanted = engine.wanted(question, index, context, &read.outcome);
    }
    read.engine_ms = started.elapsed().as_secs_f64() * 1000.0;
    read
}

impl Read {
    fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            engine_ms: 0.0,
            taken_over: Vec::new(),
            used: Vec::new(),
            state: None,
            settled: false,
            back: false,
            example: None,
            narrowed: None,
            wanted: None,
        }
    }

    /// Whether something can be made of it: an answer, or readings to choose from.
    pub(crate) fn is_usable(&self) -> bool {
        matches!(self.outcome, Outcome::Answered(_) | Outcome::NeedsClarification(_))
    }

    fn settled(outcome: Outcome) -> Self {
        Self { settled: true, ..Self::of(outcome) }
    }
}

/// The answer to a question that somebody checked.
fn checked(knowledge: &Knowledge, question: &str, context: &AskContext) -> Option<Read> {
    let today = context.now.date();
    let found = knowledge.examples(today).answer(knowledge.index(), question, today)?;
    let used = Used { kind: "example".to_owned(), id: found.id, name: found.question.clone() };
    let notes = Notes {
        explanation: Some(format!("Answers as somebody checked it for “{}”.", found.question)),
        assumptions: found.changed,
        confidence: Some(found.confidence),
        engine: "embedded".to_owned(),
        used: vec![used],
        ..Notes::default()
    };
    let nothing = not_answerable("The checked answer cannot be used.");
    Some(Read { example: Some((found.sql, notes)), ..Read::settled(nothing) })
}

fn fresh(
    engine: &Engine,
    index: &SchemaIndex,
    question: &str,
    known: bool,
    context: &AskContext,
) -> Read {
    let mut read = Read::of(engine.ask(question, index, context));
    match &mut read.outcome {
        Outcome::Answered(reading) => {
            let questions = vec![question.to_owned()];
            read.state = TurnState::of(&reading.query, index.fingerprint().to_owned(), questions);
        }
        Outcome::NotAnswerable(it) if !known && conversation::goes_on(question) => {
            "This goes on from an earlier question; send the conversation_id of its answer, or ask in full."
                .clone_into(&mut it.message);
        }
        _ => {}
    }
    read
}

/// The same after an answer; `None` if the question stands alone.
fn after(
    engine: &Engine,
    index: &SchemaIndex,
    question: &str,
    turn: &Turn,
    context: &AskContext,
) -> Option<Read> {
    // What goes on from nothing that can be changed still wants to be told so.
    let Some(past) = past(engine, index, turn, context) else {
        let nothing = Past {
            query: plinth_nl2sql::LogicalQuery::default(),
            confidence: 0.0,
            assumptions: Vec::new(),
        };
        return match engine.follow_up(question, &nothing, index, context) {
            FollowUp::Why => Some(Read::settled(why(turn))),
            FollowUp::Back => Some(Read {
                back: true,
                ..Read::settled(not_answerable("There is no answer before that one."))
            }),
            FollowUp::None => None,
            FollowUp::Edited(_) | FollowUp::Unclear(_) => {
                let by = match turn.notes.engine.as_str() {
                    "sql" => "by you".to_owned(),
                    "embedded" => "over a schema that has changed since".to_owned(),
                    other => format!("by {other}"),
                };
                Some(Read::of(not_answerable(&format!(
                    "The last answer's statement was written {by}, so that it cannot be changed by a follow-up; ask in full."
                ))))
            }
        };
    };
    match engine.follow_up(question, &past, index, context) {
        FollowUp::None => None,
        FollowUp::Why => Some(Read::settled(why(turn))),
        FollowUp::Back => Some(Read {
            back: true,
            ..Read::settled(not_answerable("There is no answer before that one."))
        }),
        FollowUp::Edited(edited) => {
            let mut questions =
                turn.state.as_ref().map(|it| it.questions.clone()).unwrap_or_default();
            questions.push(question.to_owned());
            let state =
                TurnState::of(&edited.reading.query, index.fingerprint().to_owned(), questions);
            Some(Read {
                taken_over: edited.taken_over,
                used: turn.notes.used.clone(),
                state,
                ..Read::settled(Outcome::Answered(edited.reading))
            })
        }
        FollowUp::Unclear(it) => Some(Read::of(Outcome::NotAnswerable(NotUnderstood {
            words: it.words,
            rephrasings: it.rephrasings,
            message: it.message,
        }))),
    }
}

fn not_answerable(message: &str) -> Outcome {
    Outcome::NotAnswerable(NotUnderstood {
        words: Vec::new(),
        rephrasings: Vec::new(),
        message: message.to_owned(),
    })
}

/// The typed query behind an answer. Where the schema has changed since, its questions are read anew; what comes of them
/// counts only if it is the same statement still.
fn past(engine: &Engine, index: &SchemaIndex, turn: &Turn, context: &AskContext) -> Option<Past> {
    let state = turn.state.as_ref()?;
    let of = |query| Past {
        query,
        confidence: turn.notes.confidence.unwrap_or_default(),
        assumptions: turn.notes.assumptions.clone(),
    };
    if state.structure == index.fingerprint()
        && let Ok(query) = serde_json::from_value(state.query.clone())
    {
        return Some(of(query));
    }
    let (first, rest) = state.questions.split_first()?;
    if rest.len() >= MAX_QUESTIONS {
        return None;
    }
    let mut reading = engine.best_reading(first, index, context)?;
    for question in rest {
        let past = Past {
            query: reading.query,
            confidence: reading.confidence,
            assumptions: reading.assumptions,
        };
        let FollowUp::Edited(edited) = engine.follow_up(question, &past, index, context) else {
            return None;
        };
        reading = edited.reading;
    }
    (Some(&reading.sql) == turn.sql.as_ref()).then(|| of(reading.query))
}

/// How old what is known of the schema is.
fn freshness(knowledge: &Knowledge, context: &AskContext) -> Outcome {
    let taken_at = knowledge.snapshot().taken_at;
    let age = context.now.timestamp().duration_since(taken_at);
    let minutes = age.as_mins();
    let ago = match minutes {
        ..1 => "less than a minute ago".to_owned(),
        1 => "a minute ago".to_owned(),
        2..120 => format!("{minutes} minutes ago"),
        120..2880 => format!("{} hours ago", minutes / 60),
        _ => format!("{} days ago", minutes / 1440),
    };
    let at = taken_at.to_zoned(context.now.time_zone().clone());
    let at = at.strftime("%Y-%m-%d %H:%M:%S %Z");
    Outcome::Meta(MetaAnswer {
        answer: format!(
            "The schema was last read {ago}, at {at}. Where a question names something that is not in it, it is read anew."
        ),
        tables: Vec::new(),
        examples: Vec::new(),
    })
}

/// How an answer came to be, in words.
fn why(turn: &Turn) -> Outcome {
    let Notes { explanation, tables, assumptions, confidence, engine, taken_over, used, .. } =
        &turn.notes;
    let mut parts: Vec<String> = Vec::new();
    match explanation {
        Some(text) => parts.push(format!("The last answer {}", lowered(text))),
        None => {
            parts
                .push("The last answer is that of a statement which was sent as it is.".to_owned());
        }
    }
    if !tables.is_empty() {
        parts.push(format!("It reads {}.", tables.join(", ")));
    }
    if !taken_over.is_empty() {
        parts.push(format!("It took over from the answer before: {}.", taken_over.join("; ")));
    }
    if !used.is_empty() {
        let names: Vec<String> =
            used.iter().map(|it| format!("the {} “{}”", it.kind, it.name)).collect();
        parts.push(format!("It leans on {}.", names.join(", ")));
    }
    if explanation.is_some() {
        parts.push(if assumptions.is_empty() {
            "Nothing was taken for granted.".to_owned()
        } else {
            format!("Taken for granted: {}.", assumptions.join("; ").trim_end_matches('.'))
        });
    }
    if let Some(confidence) = confidence {
        parts.push(format!(
            "Readings with such signs are right in about {:.0} of 100 cases.",
            confidence * 100.0
        ));
    }
    match engine.as_str() {
        "" | "embedded" | "sql" => {}
        other => parts.push(format!("The statement was written by {other}.")),
    }
    if let Some(sql) = &turn.sql {
        parts.push(format!("The statement is: {sql}"));
    }
    Outcome::Meta(MetaAnswer {
        answer: parts.join(" "),
        tables: tables.clone(),
        examples: Vec::new(),
    })
}

fn lowered(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |it| it.to_lowercase().chain(chars).collect())
}
