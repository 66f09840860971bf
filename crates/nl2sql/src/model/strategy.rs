//! The loop of proposing, judging and repairing.

use std::sync::Arc;

use plinth_schema_introspect::Catalog;
use plinth_sql_guard::{Approved, Guard, Rejection};
use serde_json::{Value, json};

use super::{
    agreement::{self, Agreement},
    answer::{self, Answer},
    ports::{DryRun, DryRunError, LanguageModel, Message, ModelError, ModelRequest, Role, Usage},
    prompt,
};
use crate::{
    engine::{AskContext, Engine, Reading},
    index::SchemaIndex,
};

/// What of a database a model may see. Decided for each connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModelPrivacy {
    /// Names, types, keys, comments and the labels of enums; no value of any row.
    #[default]
    SchemaOnly,
    /// Also a few sampled values of each column, those that the question names first.
    SampleValues,
}

/// How a model is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSettings {
    /// How many columns of a schema a model gets to read at most.
    pub columns: usize,
    /// How many bytes question and schema may have together; the schema is cut further until they fit.
    pub prompt_bytes: usize,
    /// The longest answer, in tokens. Models that think aloud spend theirs here too.
    pub answer_tokens: u32,
    /// How often a statement that was refused goes back to the model.
    pub repairs: u8,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self { columns: 200, prompt_bytes: 48 * 1024, answer_tokens: 4_096, repairs: 2 }
    }
}

/// A question, and everything that answering it takes. All of it is of one snapshot of one connection.
#[derive(Clone, Copy)]
pub struct ModelQuestion<'a> {
    /// As the person wrote it.
    pub question: &'a str,
    /// Cuts the schema and gives the second opinion.
    pub engine: &'a Engine,
    /// What may be asked about.
    pub index: &'a SchemaIndex,
    /// The same snapshot, for types, comments and keys.
    pub catalog: &'a Catalog,
    /// Judges what the model proposes.
    pub guard: &'a Guard,
    /// The moment of asking.
    pub context: &'a AskContext,
    /// Plans what the guard let through.
    pub dry_run: &'a dyn DryRun,
    /// What the model may see.
    pub privacy: ModelPrivacy,
}

/// A model's answer that the guard and the planner accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelReading {
    /// One SELECT, as the guard approved it: this text is to be run, not the model's.
    pub sql: String,
    /// What it does, in the model's words, one line; the engine's words where the model gave none and both agree; may be
    /// empty.
    pub explanation: String,
    /// The tables it reads, as `schema.table`, sorted; as the guard saw them, not as the model says.
    pub tables: Vec<String>,
    /// What was taken for granted, one sentence each.
    pub assumptions: Vec<String>,
    /// How likely it is right, from 0 to 1.
    pub confidence: f64,
    /// Which model.
    pub model: String,
    /// How often the statement went back to the model.
    pub repairs: u8,
    /// How it stands to the embedded engine's own reading.
    pub agreement: Agreement,
    /// What it cost.
    pub usage: Usage,
}

/// Why a model's last proposal was no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Problem {
    /// It did not keep to the contract.
    #[error("the answer was not in the agreed form")]
    Unreadable,
    /// The guard refused the statement.
    #[error("the statement was refused: {0}")]
    Rejected(Rejection),
    /// The database could not plan it.
    #[error("the database could not plan the statement: {message} ({sqlstate})")]
    Database {
        /// Five characters, like `42703`.
        sqlstate: String,
        /// The primary message.
        message: String,
    },
}

/// Why there is no answer by the model; the embedded engine is to answer instead.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ModelFailure {
    /// The model did not answer.
    #[error("{error}")]
    Model {
        /// Why.
        error: ModelError,
        /// What was spent until then.
        usage: Usage,
    },
    /// The model says that the question cannot be answered over this schema.
    #[error("the language model says that this cannot be answered: {reason}")]
    Declined {
        /// In the model's words, one line; may be empty.
        reason: String,
        /// What it cost.
        usage: Usage,
    },
    /// No proposal was good, repairs included.
    #[error("the language model found no statement that can be run: {problem}")]
    Unusable {
        /// What was wrong with the last one.
        problem: Problem,
        /// How often one went back.
        repairs: u8,
        /// What it cost.
        usage: Usage,
    },
    /// The database could not be asked for a plan, so nothing can be run either.
    #[error("the database could not be asked for a plan: {message}")]
    DatabaseUnavailable {
        /// Why.
        message: String,
        /// What was spent until then.
        usage: Usage,
    },
}

impl ModelFailure {
    /// What was spent without an answer: it counts like any other use.
    pub fn usage(&self) -> Usage {
        match self {
            Self::Model { usage, .. }
            | Self::Declined { usage, .. }
            | Self::Unusable { usage, .. }
            | Self::DatabaseUnavailable { usage, .. } => *usage,
        }
    }
}

/// Answers questions with a language model. Holds nothing of any schema, so one serves all.
#[derive(Clone)]
pub struct ModelStrategy {
    model: Arc<dyn LanguageModel>,
    settings: ModelSettings,
}

impl std::fmt::Debug for ModelStrategy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelStrategy")
            .field("model", &self.model.name())
            .field("settings", &self.settings)
            .finish()
    }
}

/// A statement that can be run.
struct Accepted {
    approved: Approved,
    explanation: String,
    assumptions: Vec<String>,
}

impl ModelStrategy {
    /// Answers with that model.
    pub fn new(model: Arc<dyn LanguageModel>, settings: ModelSettings) -> Self {
        Self { model, settings }
    }

    /// Which model answers.
    pub fn model(&self) -> &str {
        self.model.name()
    }

    /// What that question means, as the model reads it. Takes up to `1 + repairs` calls of the model, each with the time
    /// limit of its own; whoever has less time drops the future, which cancels the call.
    ///
    /// Questions about the schema itself are better left to [`Engine::ask`], which answers them with
    /// [`crate::Outcome::Meta`] at once.
    ///
    /// # Errors
    ///
    /// [`ModelFailure`]; nothing was run.
    pub async fn ask(&self, asked: &ModelQuestion<'_>) -> Result<ModelReading, ModelFailure> {
        let mut usage = Usage::default();
        let mut messages = self.opening(asked).map_err(|error| failed(error, usage))?;
        let mut repairs = 0;
        let mut was_unreadable = false;
        loop {
            let request = ModelRequest {
                messages: messages.clone(),
                temperature: 0.0,
                max_tokens: self.settings.answer_tokens,
                json: true,
            };
            let completion =
                self.model.complete(&request).await.map_err(|error| failed(error, usage))?;
            usage += completion.usage;
            let (problem, proposal) = match answer::read(&completion.text) {
                Answer::Declined(reason) => return Err(ModelFailure::Declined { reason, usage }),
                Answer::Unreadable => (Problem::Unreadable, None),
                Answer::Sql { sql, explanation, assumptions } => match judge(asked, &sql).await {
                    Ok(approved) => {
                        let accepted = Accepted { approved, explanation, assumptions };
                        return Ok(self.reading(asked, accepted, repairs, usage));
                    }
                    Err(Judgement::Unavailable(message)) => {
                        return Err(ModelFailure::DatabaseUnavailable { message, usage });
                    }
                    Err(Judgement::Bad { problem, feedback }) => (problem, Some((sql, feedback))),
                },
            };
            // One reminder of the form is enough: a model that refuses in prose does so again.
            let is_hopeless = problem == Problem::Unreadable && was_unreadable;
            if repairs >= self.settings.repairs || is_hopeless {
                return Err(ModelFailure::Unusable { problem, repairs, usage });
            }
            was_unreadable = problem == Problem::Unreadable;
            repairs += 1;
            tracing::debug!(model = self.model.name(), repairs, %problem, "model.repair");
            match proposal {
                Some((sql, feedback)) => {
                    // What the model said around its statement is dropped: it only leads it astray again.
                    let said = json!({ "sql": sql }).to_string();
                    messages.push(Message::new(Role::Assistant, said));
                    messages.push(prompt::correction(&feedback));
                }
                None => messages.push(Message::new(Role::User, prompt::REMINDER)),
            }
        }
    }

    /// The conversation's beginning, with as much of the schema as fits.
    fn opening(&self, asked: &ModelQuestion<'_>) -> Result<Vec<Message>, ModelError> {
        let mut columns = self.settings.columns;
        while columns > 0 {
            let schema = asked.engine.relevant_schema(asked.question, asked.index, columns);
            let messages = prompt::opening(
                asked.question,
                &schema,
                asked.catalog,
                asked.context,
                asked.privacy,
            );
            if messages.iter().map(|it| it.content.len()).sum::<usize>()
                <= self.settings.prompt_bytes
            {
                return Ok(messages);
            }
            columns /= 2;
        }
        Err(ModelError::TooLong)
    }

    fn reading(
        &self,
        asked: &ModelQuestion<'_>,
        accepted: Accepted,
        repairs: u8,
        usage: Usage,
    ) -> ModelReading {
        let Accepted { approved, explanation, assumptions } = accepted;
        let own: Option<Reading> =
            asked.engine.best_reading(asked.question, asked.index, asked.context);
        let own_approved = own.as_ref().and_then(|it| asked.guard.check(&it.sql).ok());
        let agreement = agreement::compare(&approved, own_approved.as_ref());
        let confidence = agreement::confidence(agreement, own.as_ref(), repairs, assumptions.len());
        let explanation = match own {
            Some(own) if explanation.is_empty() && agreement == Agreement::Same => own.explanation,
            _ => explanation,
        };
        ModelReading {
            sql: approved.sql,
            explanation,
            tables: approved.relations.iter().map(ToString::to_string).collect(),
            assumptions,
            confidence,
            model: self.model.name().to_owned(),
            repairs,
            agreement,
            usage,
        }
    }
}

fn failed(error: ModelError, usage: Usage) -> ModelFailure {
    ModelFailure::Model { error, usage }
}

/// Why a statement was not accepted.
enum Judgement {
    /// With what the model gets to read about it.
    Bad {
        problem: Problem,
        feedback: Value,
    },
    Unavailable(String),
}

/// First the guard, then the planner: the database never sees what the guard did not let through.
async fn judge(asked: &ModelQuestion<'_>, sql: &str) -> Result<Approved, Judgement> {
    let approved = asked.guard.check(sql).map_err(|rejection| {
        let feedback = json!({
            "kind": "refused",
            "rule": rejection.rule.name(),
            "message": prompt::clipped(&rejection.message),
            "position": rejection.position,
            "similar_tables": rejection.near,
        });
        Judgement::Bad { problem: Problem::Rejected(rejection), feedback }
    })?;
    match asked.dry_run.plan(&approved.sql).await {
        Ok(()) => Ok(approved),
        Err(DryRunError::Unavailable(message)) => Err(Judgement::Unavailable(message)),
        Err(DryRunError::Database { sqlstate, message, hint, position }) => {
            let feedback = json!({
                "kind": "database_error",
                "sqlstate": sqlstate,
                "message": prompt::clipped(&message),
                "hint": hint.as_deref().map(prompt::clipped),
                "position": position,
            });
            Err(Judgement::Bad { problem: Problem::Database { sqlstate, message }, feedback })
        }
    }
}
