//! The loop of proposing, judging and repairing, and the choice among what came of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;

use plinth_schema_introspect::Catalog;
use plinth_sql_guard::{Approved, Guard, Rejection};
use serde_json::{Value, json};

use super::{
    agreement::{self, Agreement},
    answer::{self, Answer},
    candidates::{self, Candidate},
    ports::{
        DryRun, DryRunError, LanguageModel, Message, Meter, ModelError, ModelRequest, Role, Tried,
        Usage,
    },
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
    /// Also the first rows of what its proposals find, to choose among them, and what the database says when one fails
    /// over them.
    Results,
}

/// Columns of which a model learns nothing, not even that they are there: those that are masked for whoever asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withheld(BTreeSet<(String, String, String)>);

impl Withheld {
    /// These columns, each as its schema, table and own name.
    pub fn new(columns: impl IntoIterator<Item = (String, String, String)>) -> Self {
        Self(columns.into_iter().collect())
    }

    /// Whether that column is one of them.
    pub(crate) fn holds(&self, schema: &str, table: &str, column: &str) -> bool {
        self.0.iter().any(|it| it.0 == schema && it.1 == table && it.2 == column)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What an organization taught that matters to a question. Data to the model like all else that people wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taught {
    /// Words and what they mean here, the most fitting first.
    pub terms: Vec<(String, String)>,
    /// Questions with statements that somebody verified, the most similar first.
    pub examples: Vec<(String, String)>,
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
    /// How many statements are asked for at most; more than one only where the engine does not read the question the
    /// same way.
    pub candidates: u8,
}

/// How freely the model chooses its words for further candidates: else they would all be the same.
const VARIED: f32 = 0.7;

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            columns: 200,
            prompt_bytes: 48 * 1024,
            answer_tokens: 4_096,
            repairs: 2,
            candidates: 3,
        }
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
    /// And what not.
    pub withheld: &'a Withheld,
    /// What the organization taught.
    pub taught: &'a Taught,
    /// Adds up what the model uses.
    pub meter: &'a Meter,
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
    /// How many statements of the model there were to choose from.
    pub candidates: u8,
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
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The model says that the question cannot be answered over this schema.
    #[error("the language model says that this cannot be answered: {reason}")]
    Declined {
        /// In the model's words, one line; may be empty.
        reason: String,
    },
    /// No proposal was good, repairs included.
    #[error("the language model found no statement that can be run: {problem}")]
    Unusable {
        /// What was wrong with the last one.
        problem: Problem,
        /// How often one went back.
        repairs: u8,
    },
    /// The database could not be asked for a plan, so nothing can be run either.
    #[error("the database could not be asked for a plan: {message}")]
    DatabaseUnavailable {
        /// Why.
        message: String,
    },
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

impl ModelStrategy {
    /// Answers with that model.
    pub fn new(model: Arc<dyn LanguageModel>, settings: ModelSettings) -> Self {
        Self { model, settings }
    }

    /// Which model answers.
    pub fn model(&self) -> &str {
        self.model.name()
    }

    /// What that question means, as the model reads it. Takes up to `repairs + candidates + 1` calls of the model, each
    /// with the time limit of its own; whoever has less time drops the future, which cancels the call.
    ///
    /// Questions about the schema itself are better left to [`Engine::ask`], which answers them with
    /// [`crate::Outcome::Meta`] at once.
    ///
    /// # Errors
    ///
    /// [`ModelFailure`]; nothing is left running.
    pub async fn ask(&self, asked: &ModelQuestion<'_>) -> Result<ModelReading, ModelFailure> {
        let opening = self.opening(asked)?;
        let (first, repairs) = self.first(asked, opening.clone()).await?;
        let own = asked.engine.best_reading(asked.question, asked.index, asked.context);
        let own = own.and_then(|it| Some((asked.guard.check_as_written(&it.sql).ok()?, it)));
        let mut agreement = agreement::compare(&first.approved, own.as_ref().map(|it| &it.0));
        let mut seconded = None;
        if let Some((approved, _)) = &own
            && matches!(agreement, Agreement::SameTables | Agreement::Different)
            && first.tried.is_some()
        {
            seconded = tried(asked, &approved.sql).await;
            if let (Some(a), Some(b)) = (&first.tried, &seconded)
                && candidates::are_same(a, b)
            {
                agreement = Agreement::SameResult;
            }
        }
        let mut all = vec![first];
        if !matches!(agreement, Agreement::Same | Agreement::SameResult) {
            all.extend(self.further(asked, &opening).await);
        }
        let voice = own.as_ref().map(|(approved, it)| {
            let tried = seconded.as_ref();
            candidates::Voice { approved, tried, confidence: it.confidence }
        });
        let groups = candidates::grouped(&all, voice.as_ref());
        let mut best = groups[0].members[0];
        let mut share = groups[0].share(all.len());
        if asked.privacy == ModelPrivacy::Results
            && asked.withheld.is_empty()
            && groups.len() > 1
            && share < candidates::MAJORITY
            && let Some(picked) = self.pick(asked, &all, &groups).await
        {
            best = groups[picked].members[0];
            share = candidates::MAJORITY;
        }
        let count = all.len();
        let chosen = all.swap_remove(best);
        if best > 0 {
            agreement = agreement::compare(&chosen.approved, own.as_ref().map(|it| &it.0));
            if let (Some(a), Some(b)) = (&chosen.tried, &seconded)
                && candidates::are_same(a, b)
                && agreement != Agreement::Same
            {
                agreement = Agreement::SameResult;
            }
        }
        // The repairs were those of the first one.
        let repairs = if best == 0 { repairs } else { 0 };
        let own = own.map(|it| it.1);
        Ok(self.reading(asked, chosen, own, agreement, repairs, (count, share)))
    }

    /// The likeliest statement, repaired until it can be run.
    async fn first(
        &self,
        asked: &ModelQuestion<'_>,
        mut messages: Vec<Message>,
    ) -> Result<(Candidate, u8), ModelFailure> {
        let mut repairs = 0;
        let mut was_unreadable = false;
        loop {
            let text = self.complete(asked, &messages, 0.0).await?;
            let (problem, proposal) = match answer::read(&text) {
                Answer::Declined(reason) => return Err(ModelFailure::Declined { reason }),
                Answer::Unreadable => (Problem::Unreadable, None),
                Answer::Sql { sql, explanation, assumptions } => match judge(asked, &sql).await {
                    Ok((approved, tried)) => {
                        let candidate = Candidate { approved, tried, explanation, assumptions };
                        return Ok((candidate, repairs));
                    }
                    Err(Judgement::Unavailable(message)) => {
                        return Err(ModelFailure::DatabaseUnavailable { message });
                    }
                    Err(Judgement::Bad { problem, feedback }) => (problem, Some((sql, feedback))),
                },
            };
            // One reminder of the form is enough: a model that refuses in prose does so again.
            let is_hopeless = problem == Problem::Unreadable && was_unreadable;
            if repairs >= self.settings.repairs || is_hopeless {
                return Err(ModelFailure::Unusable { problem, repairs });
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

    /// More statements, all at once. What cannot be run is dropped: repairs are for the likeliest one.
    async fn further(&self, asked: &ModelQuestion<'_>, opening: &[Message]) -> Vec<Candidate> {
        let count = usize::from(self.settings.candidates.saturating_sub(1));
        let one = async || {
            let text = self.complete(asked, opening, VARIED).await.ok()?;
            let Answer::Sql { sql, explanation, assumptions } = answer::read(&text) else {
                return None;
            };
            let (approved, tried) = judge(asked, &sql).await.ok()?;
            Some(Candidate { approved, tried, explanation, assumptions })
        };
        join_all((0..count).map(|_| one())).await.into_iter().flatten().collect()
    }

    /// Which group the model takes, after it has seen what each finds. Only where rows may be shown.
    async fn pick(
        &self,
        asked: &ModelQuestion<'_>,
        all: &[Candidate],
        groups: &[candidates::Group],
    ) -> Option<usize> {
        let shown: Vec<(&str, &Tried)> = groups
            .iter()
            .take(candidates::SHOWN)
            .map(|it| &all[it.members[0]])
            .map(|it| Some((it.approved.sql.as_str(), it.tried.as_ref()?)))
            .collect::<Option<_>>()?;
        let messages = prompt::choice(asked.question, &shown);
        let text = self.complete(asked, &messages, 0.0).await.ok()?;
        answer::choice(&text, shown.len())
    }

    async fn complete(
        &self,
        asked: &ModelQuestion<'_>,
        messages: &[Message],
        temperature: f32,
    ) -> Result<String, ModelError> {
        let request = ModelRequest {
            messages: messages.to_vec(),
            temperature,
            max_tokens: self.settings.answer_tokens,
            json: true,
        };
        self.model.complete(&request, asked.meter).await
    }

    /// The conversation's beginning, with as much of the schema as fits.
    fn opening(&self, asked: &ModelQuestion<'_>) -> Result<Vec<Message>, ModelError> {
        let mut columns = self.settings.columns;
        while columns > 0 {
            let mut schema = asked.engine.relevant_schema(asked.question, asked.index, columns);
            if !asked.withheld.is_empty() {
                for it in &mut schema {
                    let (schema, table) = (&it.schema, &it.name);
                    it.columns.retain(|it| !asked.withheld.holds(schema, table, &it.name));
                }
            }
            let messages = prompt::opening(asked, &schema);
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
        chosen: Candidate,
        own: Option<Reading>,
        agreement: Agreement,
        repairs: u8,
        (candidates, share): (usize, f64),
    ) -> ModelReading {
        let Candidate { approved, explanation, assumptions, .. } = chosen;
        let share = (candidates > 1).then_some(share);
        let confidence =
            agreement::confidence(agreement, own.as_ref(), repairs, assumptions.len(), share);
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
            candidates: u8::try_from(candidates).unwrap_or(u8::MAX),
            agreement,
            usage: asked.meter.total(),
        }
    }
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

/// What a cheap run of a statement finds; `None` where that says nothing.
async fn tried(asked: &ModelQuestion<'_>, sql: &str) -> Option<Tried> {
    asked.dry_run.try_run(sql).await.ok().flatten()
}

/// First the guard, then the planner, then a cheap run: the database never sees what the guard did not let through.
async fn judge(
    asked: &ModelQuestion<'_>,
    sql: &str,
) -> Result<(Approved, Option<Tried>), Judgement> {
    let approved = asked.guard.check_as_written(sql).map_err(|rejection| {
        let feedback = json!({
            "kind": "refused",
            "rule": rejection.rule.name(),
            "message": prompt::clipped(&rejection.message),
            "position": rejection.position,
            "similar_tables": rejection.near,
        });
        Judgement::Bad { problem: Problem::Rejected(rejection), feedback }
    })?;
    asked.dry_run.plan(&approved.sql).await.map_err(|error| bad(error, true))?;
    match asked.dry_run.try_run(&approved.sql).await {
        Ok(tried) => Ok((approved, tried)),
        // What fails over rows may say what stands in them.
        Err(error @ DryRunError::Database { .. }) => {
            Err(bad(error, asked.privacy == ModelPrivacy::Results))
        }
        // Planned it was; running it is another matter, and somebody else's.
        Err(DryRunError::Unavailable(_)) => Ok((approved, None)),
    }
}

fn bad(error: DryRunError, may_tell: bool) -> Judgement {
    match error {
        DryRunError::Unavailable(message) => Judgement::Unavailable(message),
        DryRunError::Database { sqlstate, message, hint, position } => {
            let feedback = if may_tell {
                json!({
                    "kind": "database_error",
                    "sqlstate": sqlstate,
                    "message": prompt::clipped(&message),
                    "hint": hint.as_deref().map(prompt::clipped),
                    "position": position,
                })
            } else {
                json!({
                    "kind": "database_error",
                    "sqlstate": sqlstate,
                    "message": "it fails while it runs; see the SQLSTATE",
                })
            };
            Judgement::Bad { problem: Problem::Database { sqlstate, message }, feedback }
        }
    }
}
