use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use plinth_connections::{ConnectionId, Connections, Opened};
use plinth_core::{
    Clock, Cursor, Limit, Page, Permit, Principal, QueriesRead, QueriesWrite, StoreError,
};
use plinth_models::{Chosen, ModelRef, Models, WhyEmbedded};
use plinth_nl2sql::model::{DryRun, DryRunError, Tried};
use plinth_nl2sql::{AskContext, Engine, Outcome, Reading};
use plinth_schema_introspect::{SchemaAnnotations, Schemas};
use plinth_sql_guard::Rule;
use plinth_tenancy::Tenancy;
use serde_json::json;

use crate::conversation::Talk;
use crate::history::History;
use crate::knowledge::{Judged, Knowledge, KnowledgeCache};
use crate::model;
use crate::reading::{self, Read};
use crate::running::Entry;
use crate::{
    ConversationId, Conversations, HistoryFilter, JsonRows, ModelNote, Notes, QueryError, QueryId,
    QueryOutcome, QueryRecord, QueryStore, RunError, RunLimits, Running, Statement,
    StatementRunner,
};

/// The longest question, in characters.
pub const MAX_QUESTION_CHARS: usize = 2_000;

/// What the operator sets for every run.
#[derive(Clone, Debug)]
pub struct QuerySettings {
    /// Rows given out unless the caller says otherwise.
    pub default_rows: u64,
    /// Rows that a caller may ask for at most.
    pub max_rows: u64,
    /// Bytes of rows given out at most.
    pub max_bytes: u64,
    /// The largest single row, in bytes.
    pub max_row_bytes: usize,
    /// How long a statement may run unless the caller says otherwise.
    pub default_time: Duration,
    /// How long a caller may let a statement run at most.
    pub max_time: Duration,
}

impl Default for QuerySettings {
    fn default() -> Self {
        Self {
            default_rows: 10_000,
            max_rows: 1_000_000,
            max_bytes: 256 << 20,
            max_row_bytes: 16 << 20,
            default_time: Duration::from_secs(30),
            max_time: Duration::from_mins(5),
        }
    }
}

/// What somebody sends.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Over which database.
    pub connection: ConnectionId,
    /// In words or in SQL.
    pub input: Input,
    /// The conversation that it goes on in; `None` for a new one.
    pub conversation: Option<ConversationId>,
    /// Rows wanted at most; `None` for the usual number.
    pub row_limit: Option<u64>,
    /// How long it may run, in milliseconds; `None` for the usual time.
    pub timeout_ms: Option<u64>,
    /// Which language model reads a question; `None` for the organization's default.
    pub model: Option<ModelRef>,
}

/// A question or a statement.
#[derive(Clone, Debug)]
pub enum Input {
    /// In plain language.
    Question(String),
    /// One read-only statement.
    Sql(String),
}

/// What comes back.
pub enum Answer {
    /// Rows are coming.
    Rows(Box<Running>),
    /// The question was about the schema itself.
    Meta(Box<QueryRecord>),
}

/// Asking and running, and the history of both.
#[derive(Clone)]
pub struct Queries {
    connections: Connections,
    schemas: Schemas,
    annotations: SchemaAnnotations,
    tenancy: Tenancy,
    engine: Arc<Engine>,
    models: Models,
    runner: Arc<dyn StatementRunner>,
    history: Arc<History>,
    conversations: Conversations,
    knowledge: Arc<KnowledgeCache>,
    settings: Arc<QuerySettings>,
    clock: Arc<dyn Clock>,
}

/// What [`Queries`] is put together from.
pub struct QueryParts {
    /// The databases.
    pub connections: Connections,
    /// Their schemas.
    pub schemas: Schemas,
    /// What people wrote beside them.
    pub annotations: SchemaAnnotations,
    /// Time zones of organizations.
    pub tenancy: Tenancy,
    /// Turns questions into SQL.
    pub engine: Arc<Engine>,
    /// Language models beside it.
    pub models: Models,
    /// Runs statements.
    pub runner: Arc<dyn StatementRunner>,
    /// Keeps the history.
    pub store: Arc<dyn QueryStore>,
    /// What was asked before.
    pub conversations: Conversations,
    /// The operator's limits.
    pub settings: QuerySettings,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// A schema that is older than this is read anew when a name is not found in it: the table may be new.
const STALE: SignedDuration = SignedDuration::from_secs(10);

impl Queries {
    /// Puts the service together.
    pub fn new(parts: QueryParts) -> Self {
        Self {
            connections: parts.connections,
            schemas: parts.schemas,
            annotations: parts.annotations,
            tenancy: parts.tenancy,
            engine: parts.engine,
            models: parts.models,
            runner: parts.runner,
            history: Arc::new(History::new(parts.store)),
            conversations: parts.conversations,
            knowledge: Arc::default(),
            settings: Arc::new(parts.settings),
            clock: parts.clock,
        }
    }

    /// Answers a question or runs a statement. Whatever comes of it stands in the history.
    ///
    /// # Errors
    ///
    /// Each case of [`QueryError`]; nothing is left running in the database.
    pub async fn ask(&self, permit: &Permit<QueriesRead>, ask: Ask) -> Result<Answer, QueryError> {
        let caller = permit.principal();
        if caller.saved_queries_only {
            return Err(QueryError::SavedOnly);
        }
        let limits = self.limits(&ask, caller).await?;
        check(&ask.input)?;
        let chosen = match (&ask.input, ask.model) {
            (Input::Question(_), wanted) => self.models.choose(permit, wanted).await?,
            (Input::Sql(_), Some(_)) => {
                return Err(QueryError::Input("a model is for questions; send it without sql"));
            }
            (Input::Sql(_), None) => Chosen::Embedded(WhyEmbedded::Chosen),
        };
        // What is not there, or not the caller's, leaves no trace in anybody's history.
        let opened = self.connections.open(caller, ask.connection).await?;
        let mut talk = self.talk(caller, &ask).await?;
        let mut entry = self.entry(caller, &ask);
        let answered = match &ask.input {
            Input::Question(question) => {
                self.answer(&opened, question, talk.as_mut(), &chosen, &limits, &mut entry).await
            }
            Input::Sql(sql) => self.run_own(&opened, sql, &limits, &mut entry).await,
        };
        if let Some(talk) = &talk {
            // Not the answer itself: its rows could then not be waited for on another thread.
            let outcome = match &answered {
                Ok(Some(_)) => QueryOutcome::Answered,
                Ok(None) => QueryOutcome::Meta,
                Err(err) => err.outcome(),
            };
            self.keep(talk, &mut entry, outcome).await;
        }
        match answered {
            Ok(Some((started, rows, types))) => {
                let running = Running::new(rows, types, started, limits.rows, entry);
                Ok(Answer::Rows(Box::new(running)))
            }
            Ok(None) => {
                entry.end(QueryOutcome::Meta, None, None);
                Ok(Answer::Meta(Box::new(entry.record.clone())))
            }
            Err(err) => {
                let err = err.told_in(entry.record.notes.conversation);
                entry.end_with(&err, None);
                Err(err)
            }
        }
    }

    /// The conversation that a question belongs to; SQL belongs to one only if it says so.
    async fn talk(&self, caller: &Principal, ask: &Ask) -> Result<Option<Talk>, QueryError> {
        let text = match &ask.input {
            Input::Question(text) => text,
            Input::Sql(_) if ask.conversation.is_none() => return Ok(None),
            Input::Sql(text) => text,
        };
        let conversations = &self.conversations;
        conversations.go_on(caller, ask.conversation, ask.connection, text).await.map(Some)
    }

    /// Keeps the turn before its rows are given out. An answer is not lost because its conversation is: then it is in none.
    async fn keep(&self, talk: &Talk, entry: &mut Entry, outcome: QueryOutcome) {
        let record = &mut entry.record;
        record.notes.conversation = Some(talk.id);
        record.outcome = outcome;
        if let Err(err) = self.conversations.keep(talk, record).await {
            tracing::warn!(
                error = plinth_core::chain(&err),
                "a conversation's turn cannot be kept"
            );
            record.notes.conversation = None;
        }
    }

    async fn limits(&self, ask: &Ask, caller: &Principal) -> Result<RunLimits, QueryError> {
        let settings = &self.settings;
        let rows = ask.row_limit.unwrap_or(settings.default_rows);
        if rows == 0 || rows > settings.max_rows {
            return Err(QueryError::Limit { field: "row_limit", most: settings.max_rows });
        }
        let most = u64::try_from(settings.max_time.as_millis()).unwrap_or(u64::MAX);
        let time = match ask.timeout_ms {
            Some(ms) if ms == 0 || ms > most => {
                return Err(QueryError::Limit { field: "timeout_ms", most });
            }
            Some(ms) => Duration::from_millis(ms),
            None => settings.default_time,
        };
        Ok(RunLimits {
            rows,
            bytes: settings.max_bytes,
            row_bytes: settings.max_row_bytes,
            time,
            time_zone: self.tenancy.time_zone(caller.org).await?.to_string(),
        })
    }

    fn entry(&self, caller: &Principal, ask: &Ask) -> Entry {
        let now = self.clock.now();
        let (question, sql) = match &ask.input {
            Input::Question(question) => (Some(question.clone()), None),
            Input::Sql(sql) => (None, Some(sql.clone())),
        };
        let record = QueryRecord {
            id: QueryId::new(now),
            org: caller.org,
            connection: ask.connection,
            user: caller.user,
            key: caller.key(),
            question,
            sql,
            outcome: QueryOutcome::Failed,
            notes: Notes::default(),
            error: None,
            row_count: None,
            truncated: false,
            execution_time_ms: None,
            saved: false,
            created_at: now,
        };
        let (credential, origin) = (caller.credential, caller.origin.clone());
        Entry { history: self.history.clone(), record, credential, origin, ended: false }
    }
}

type Started = (Instant, Box<dyn crate::Rows>, Arc<crate::UserTypes>);

impl Queries {
    /// Writes the history entries that wait; the server calls it twice a second.
    ///
    /// # Errors
    ///
    /// Only when our own storage is down; then they go on waiting.
    pub async fn flush_history(&self) -> Result<(), StoreError> {
        self.history.flush().await
    }

    /// The organization's history, newest first: what was asked and run, or only what was saved.
    ///
    /// # Errors
    ///
    /// Only when our own storage fails.
    pub async fn list(
        &self,
        permit: &Permit<QueriesRead>,
        saved_only: bool,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<QueryRecord>, QueryError> {
        let mut filter = filter(permit.principal());
        filter.saved_only |= saved_only;
        self.history.flush().await?;
        let items = self.history.store().list(permit.org(), filter, after, limit).await?;
        let place = |it: &QueryRecord| Cursor { created_at: it.created_at, id: it.id.as_uuid() };
        Ok(Page::cut(items, limit, place))
    }

    /// One entry of the history.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] also when it is another organization's, or not for this key or role.
    pub async fn get(
        &self,
        permit: &Permit<QueriesRead>,
        id: QueryId,
    ) -> Result<QueryRecord, QueryError> {
        self.history.flush().await?;
        let found = self.history.store().find(permit.org(), id, filter(permit.principal())).await?;
        found.ok_or(QueryError::NotFound(id))
    }

    /// Takes an entry out of the history.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] as for [`Queries::get`].
    pub async fn remove(
        &self,
        permit: &Permit<QueriesWrite>,
        id: QueryId,
    ) -> Result<(), QueryError> {
        self.history.flush().await?;
        let removed =
            self.history.store().remove(permit.org(), id, filter(permit.principal())).await?;
        if removed { Ok(()) } else { Err(QueryError::NotFound(id)) }
    }

    /// Runs the statement of an entry again, over the same connection, with a fresh entry of its own.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] as for [`Queries::get`]; [`QueryError::Input`] if no statement came of it; else as for
    /// [`Queries::ask`].
    pub async fn run_again(
        &self,
        permit: &Permit<QueriesRead>,
        id: QueryId,
        row_limit: Option<u64>,
        timeout_ms: Option<u64>,
    ) -> Result<Answer, QueryError> {
        let before = self.get(permit, id).await?;
        let Some(sql) = before.sql else {
            return Err(QueryError::Input("this question never became SQL; ask it again instead"));
        };
        let (connection, input) = (before.connection, Input::Sql(sql));
        let ask = Ask { connection, input, conversation: None, row_limit, timeout_ms, model: None };
        let limits = self.limits(&ask, permit.principal()).await?;
        let opened = self.connections.open(permit.principal(), ask.connection).await?;
        let mut entry = self.entry(permit.principal(), &ask);
        entry.record.question = before.question;
        entry.record.notes = Notes { conversation: None, ..before.notes };
        let Input::Sql(sql) = &ask.input else { unreachable!("made above") };
        match self.run_judged(&opened, sql, &limits, &mut entry).await {
            Ok((started, rows, types)) => {
                let running = Running::new(rows, types, started, limits.rows, entry);
                Ok(Answer::Rows(Box::new(running)))
            }
            Err(err) => {
                entry.end_with(&err, None);
                Err(err)
            }
        }
    }

    /// From a question to rows; `None` if it was answered without SQL.
    async fn answer(
        &self,
        opened: &Opened,
        question: &str,
        mut talk: Option<&mut Talk>,
        chosen: &Chosen,
        limits: &RunLimits,
        entry: &mut Entry,
    ) -> Result<Option<Started>, QueryError> {
        let mut knowledge = self.knowledge(opened).await?;
        let mut renewed = false;
        loop {
            let read = self.read(&knowledge, question, talk.as_deref(), limits).await?;
            let Read { outcome, engine_ms, taken_over, used, state, settled, back } = read;
            entry.record.notes.engine_ms = Some(engine_ms);
            if back
                && let Some(talk) = talk.as_deref_mut()
                && let Some(turn) = self.conversations.before(talk).await?
                && let Some(sql) = turn.sql.clone()
            {
                entry.record.sql = Some(sql.clone());
                entry.record.notes = Notes { engine_ms: Some(engine_ms), ..turn.notes.clone() };
                talk.state.clone_from(&turn.state);
                talk.back_to = Some(turn);
                return self.start(opened, &knowledge, &sql, limits).await.map(Some);
            }
            let (proposed, note) = match &outcome {
                Outcome::Meta(_) => (None, None),
                _ if settled => (None, None),
                _ => self.propose(opened, &knowledge, question, chosen, limits).await,
            };
            entry.record.notes.model.clone_from(&note);
            if let Some((sql, notes)) = proposed {
                entry.record.sql = Some(sql.clone());
                entry.record.notes = Notes { engine_ms: Some(engine_ms), model: note, ..notes };
                return self.start(opened, &knowledge, &sql, limits).await.map(Some);
            }
            let reading = match outcome {
                Outcome::Answered(reading) => reading,
                Outcome::Meta(meta) => {
                    entry.record.notes = Notes {
                        answer: Some(meta.answer),
                        engine: EMBEDDED.to_owned(),
                        ..Notes::default()
                    };
                    return Ok(None);
                }
                Outcome::NeedsClarification(asked) => {
                    let options = asked
                        .options
                        .iter()
                        .map(|it| json!({ "label": it.label, "explanation": it.explanation, "sql": it.sql }))
                        .collect();
                    return Err(QueryError::Ambiguous {
                        question: asked.question,
                        options,
                        words: asked.words,
                        rephrasings: asked.rephrasings,
                        conversation: None,
                    });
                }
                Outcome::NotAnswerable(_) if !renewed && self.is_stale(&knowledge) => {
                    knowledge = self.renew(opened).await?;
                    renewed = true;
                    continue;
                }
                Outcome::NotAnswerable(it) => {
                    return Err(QueryError::NotUnderstood {
                        message: it.message,
                        words: it.words,
                        rephrasings: it.rephrasings,
                        conversation: None,
                    });
                }
            };
            let Reading { sql, explanation, tables, assumptions, confidence, .. } = reading;
            entry.record.sql = Some(sql.clone());
            entry.record.notes = Notes {
                explanation: Some(explanation),
                tables,
                assumptions,
                confidence: Some(confidence),
                engine: EMBEDDED.to_owned(),
                engine_ms: Some(engine_ms),
                taken_over,
                used,
                model: note,
                ..Notes::default()
            };
            if let Some(talk) = talk.as_deref_mut() {
                talk.state = state;
            }
            match self.start(opened, &knowledge, &sql, limits).await {
                Err(err) if !renewed && names_what_is_gone(&err) && self.is_stale(&knowledge) => {
                    knowledge = self.renew(opened).await?;
                    renewed = true;
                }
                ended => return ended.map(Some),
            }
        }
    }

    /// The engine's reading. It computes for milliseconds, on large schemas for tens of them: not on a thread that others'
    /// requests wait for.
    async fn read(
        &self,
        knowledge: &Arc<Knowledge>,
        question: &str,
        talk: Option<&Talk>,
        limits: &RunLimits,
    ) -> Result<Read, QueryError> {
        let context = self.context(limits);
        let (engine, knowledge) = (self.engine.clone(), knowledge.clone());
        let question = question.to_owned();
        let last = talk.and_then(|it| it.last.clone());
        let reading = tokio::task::spawn_blocking(move || {
            reading::read(&engine, knowledge.index(), &question, last.as_ref(), &context)
        });
        // A bug of ours is told as one; it must not take the connection of the caller with it.
        reading.await.map_err(|err| QueryError::Store(StoreError::Internal(err.into())))
    }

    fn context(&self, limits: &RunLimits) -> AskContext {
        let zone = jiff::tz::TimeZone::get(&limits.time_zone).unwrap_or(jiff::tz::TimeZone::UTC);
        AskContext { now: self.clock.now().to_zoned(zone) }
    }

    /// What the chosen model makes of the question, and what is to be said of it; no statement if there is no model or
    /// nothing usable came of it: then the embedded engine's reading counts.
    async fn propose(
        &self,
        opened: &Opened,
        knowledge: &Arc<Knowledge>,
        question: &str,
        chosen: &Chosen,
        limits: &RunLimits,
    ) -> (Option<(String, Notes)>, Option<ModelNote>) {
        let selected = match chosen {
            Chosen::Embedded(why) => return (None, model::not_asked(*why)),
            Chosen::Model(selected) => selected,
        };
        let planner = Planner { queries: self, opened, knowledge, limits };
        let asked = model::Asked {
            engine: &self.engine,
            knowledge,
            question,
            context: self.context(limits),
            dry_run: &planner,
            privacy: opened.connection.model_privacy,
        };
        let (proposed, note) = model::propose(selected, asked).await;
        (proposed, Some(note))
    }

    async fn run_own(
        &self,
        opened: &Opened,
        sql: &str,
        limits: &RunLimits,
        entry: &mut Entry,
    ) -> Result<Option<Started>, QueryError> {
        self.run_judged(opened, sql, limits, entry).await.map(Some)
    }

    async fn run_judged(
        &self,
        opened: &Opened,
        sql: &str,
        limits: &RunLimits,
        entry: &mut Entry,
    ) -> Result<Started, QueryError> {
        if entry.record.notes.engine.is_empty() {
            CALLER.clone_into(&mut entry.record.notes.engine);
        }
        let mut knowledge = self.knowledge(opened).await?;
        let mut started = self.start(opened, &knowledge, sql, limits).await;
        if let Err(err) = &started
            && names_what_is_gone(err)
            && self.is_stale(&knowledge)
        {
            knowledge = self.renew(opened).await?;
            started = self.start(opened, &knowledge, sql, limits).await;
        }
        if entry.record.notes.tables.is_empty()
            && let Ok(judged) = knowledge.judge(sql)
        {
            entry.record.notes.tables =
                judged.approved.relations.iter().map(ToString::to_string).collect();
        }
        started
    }

    /// Guard, plan, run: the one way to a customer's database.
    async fn start(
        &self,
        opened: &Opened,
        knowledge: &Arc<Knowledge>,
        sql: &str,
        limits: &RunLimits,
    ) -> Result<Started, QueryError> {
        let judged = knowledge.judge(sql)?;
        let statement = knowledge.statement(&judged);
        let run_error = |source| QueryError::Run { sql: sql.to_owned(), source };
        if !judged.planned.load(Ordering::Relaxed) {
            self.hold_against_plan(opened, knowledge, &judged, &statement, limits, sql).await?;
        }
        let started = Instant::now();
        let rows = self.runner.run(&opened.target, &statement, limits).await.map_err(run_error)?;
        Ok((started, rows, knowledge.types.clone()))
    }

    /// The second judge: whatever the statement's text looked like, the planner's relations are what will be read.
    async fn hold_against_plan(
        &self,
        opened: &Opened,
        knowledge: &Knowledge,
        judged: &Judged,
        statement: &Statement,
        limits: &RunLimits,
        sql: &str,
    ) -> Result<(), QueryError> {
        let plan = self
            .runner
            .plan(&opened.target, statement, limits)
            .await
            .map_err(|source| QueryError::Run { sql: sql.to_owned(), source })?;
        for (schema, name) in &plan.relations {
            if !knowledge.may_be_read(&judged.approved, schema, name) {
                tracing::warn!(
                    connection.id = %opened.connection.id, table = %format!("{schema}.{name}"),
                    "the plan reads a relation that the guard did not see"
                );
                return Err(QueryError::TableNotAllowed { table: format!("{schema}.{name}") });
            }
        }
        judged.planned.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn knowledge(&self, opened: &Opened) -> Result<Arc<Knowledge>, QueryError> {
        let snapshot = self.schemas.current(opened).await?;
        let written = self.annotations.current(opened).await?;
        let (id, version) = (opened.connection.id, opened.target.version);
        if let Some(knowledge) = self.knowledge.get(id, snapshot.id, version, &written) {
            return Ok(knowledge);
        }
        let allowed = opened.connection.allowed_tables.clone();
        let make = move || Arc::new(Knowledge::new(snapshot, allowed, written));
        let made = tokio::task::spawn_blocking(make)
            .await
            .map_err(|err| QueryError::Store(StoreError::Internal(err.into())))?;
        self.knowledge.put(id, version, &made);
        Ok(made)
    }

    fn is_stale(&self, knowledge: &Knowledge) -> bool {
        self.clock.now().duration_since(knowledge.snapshot().taken_at) > STALE
    }

    async fn renew(&self, opened: &Opened) -> Result<Arc<Knowledge>, QueryError> {
        self.schemas.renew(opened).await?;
        self.knowledge(opened).await
    }
}

/// The planner as the model's strategy sees it: guard and plan, as for every statement that is run.
struct Planner<'a> {
    queries: &'a Queries,
    opened: &'a Opened,
    knowledge: &'a Arc<Knowledge>,
    limits: &'a RunLimits,
}

#[async_trait::async_trait]
impl DryRun for Planner<'_> {
    async fn plan(&self, sql: &str) -> Result<(), DryRunError> {
        let judged = self.knowledge.judge(sql).map_err(|it| refused(it.to_string()))?;
        let statement = self.knowledge.statement(&judged);
        let planned = self.queries.hold_against_plan(
            self.opened,
            self.knowledge,
            &judged,
            &statement,
            self.limits,
            sql,
        );
        planned.await.map_err(|err| match err {
            QueryError::Run { source: RunError::Database(message), .. } => DryRunError::Database {
                sqlstate: message.sqlstate,
                message: message.message,
                hint: message.hint,
                position: message.position,
            },
            QueryError::TableNotAllowed { .. } => refused(err.to_string()),
            other => DryRunError::Unavailable(other.to_string()),
        })
    }

    async fn try_run(&self, sql: &str) -> Result<Option<Tried>, DryRunError> {
        let judged = self.knowledge.judge(sql).map_err(|it| refused(it.to_string()))?;
        let statement = self.knowledge.statement(&judged);
        let limits = RunLimits {
            rows: TRIED_ROWS,
            bytes: TRIED_BYTES,
            row_bytes: TRIED_ROW_BYTES,
            time: TRIED_TIME.min(self.limits.time),
            time_zone: self.limits.time_zone.clone(),
        };
        let runner = &self.queries.runner;
        let running = async {
            let mut rows = runner.run(&self.opened.target, &statement, &limits).await?;
            let mut json = JsonRows::new(rows.columns(), &self.knowledge.types);
            let mut tried = Tried::default();
            loop {
                let some = rows.next().await?;
                if some.is_empty() {
                    tried.is_complete = rows.cut_off().is_none();
                    return Ok(tried);
                }
                for row in &some {
                    let text = |it| match it {
                        serde_json::Value::Null => None,
                        serde_json::Value::String(text) => Some(text),
                        other => Some(other.to_string()),
                    };
                    tried.rows.push(json.values(row).into_iter().map(text).collect());
                }
            }
        };
        match running.await {
            Ok(tried) => Ok(Some(tried)),
            Err(RunError::Database(message)) => Err(DryRunError::Database {
                sqlstate: message.sqlstate,
                message: message.message,
                hint: message.hint,
                position: message.position,
            }),
            // Not cheap, or not now: that says nothing about the statement.
            Err(
                RunError::TimedOut(_)
                | RunError::RowTooLarge { .. }
                | RunError::Cancelled
                | RunError::Busy,
            ) => Ok(None),
            Err(err @ RunError::Connection(_)) => Err(DryRunError::Unavailable(err.to_string())),
        }
    }
}

/// How far a statement of a model is run to see what it finds, before it is run in earnest.
const TRIED_ROWS: u64 = 200;
const TRIED_BYTES: u64 = 256 * 1024;
const TRIED_ROW_BYTES: usize = 64 * 1024;
const TRIED_TIME: Duration = Duration::from_millis(1_500);

/// A refusal of ours, told to the model as the database would (`insufficient_privilege`).
fn refused(message: String) -> DryRunError {
    DryRunError::Database { sqlstate: "42501".to_owned(), message, hint: None, position: None }
}

/// Who wrote a statement: the embedded engine.
const EMBEDDED: &str = "embedded";
/// Who wrote a statement: the caller.
const CALLER: &str = "sql";

fn check(input: &Input) -> Result<(), QueryError> {
    match input {
        Input::Question(question) if question.trim().is_empty() => {
            Err(QueryError::Input("send a question in words, or sql"))
        }
        Input::Question(question) if question.chars().count() > MAX_QUESTION_CHARS => {
            Err(QueryError::Input("a question has at most 2000 characters"))
        }
        Input::Question(_) | Input::Sql(_) => Ok(()),
    }
}

fn filter(caller: &Principal) -> HistoryFilter {
    HistoryFilter { saved_only: caller.saved_queries_only, test_only: caller.test_only }
}

/// Whether an error may come from a snapshot that is older than the schema: a name that is not there, by the guard's
/// word or by the server's (`undefined_table`, `undefined_column`, `undefined_function`, `undefined_object`,
/// `invalid_schema_name`).
fn names_what_is_gone(err: &QueryError) -> bool {
    match err {
        QueryError::Rejected(rejection) => rejection.rule == Rule::UnknownTable,
        QueryError::Run { source: RunError::Database(message), .. } => {
            matches!(message.sqlstate.as_str(), "42P01" | "42703" | "42883" | "42704" | "3F000")
        }
        _ => false,
    }
}
