mod knowing;
mod looking_up;
mod planner;
mod run_as;
mod starting;
mod writing;

use std::sync::Arc;
use std::time::Duration;

use plinth_connections::{ConnectionId, Connections, Opened};
use plinth_core::{
    Clock, Cursor, Limit, Page, Permit, Principal, QueriesRead, QueriesWrite, Recent, StoreError,
};
use plinth_models::{Chosen, Models, WhyEmbedded};
use plinth_nl2sql::lookup::Found;
use plinth_nl2sql::{AskContext, Engine, Outcome, Reading};
use plinth_schema_introspect::{SchemaAnnotations, Schemas};
use plinth_tenancy::{AuditEntry, Tenancy};
use serde_json::json;

use self::knowing::{is_outdated, names_what_is_gone};
use self::planner::Planner;
pub(crate) use self::run_as::Noted;
pub(crate) use self::starting::{Begun, Started};
pub use self::writing::JudgedWrite;
use crate::ask::{Answer, Ask, CallerLimits, Input, Purpose, QuerySettings, check};
use crate::conversation::Talk;
use crate::discretion;
use crate::explain::Explained;
use crate::history::History;
use crate::kept::KeptAnswers;
use crate::knowledge::{Knowledge, KnowledgeCache};
use crate::language::{HELD_LANGUAGES, HeldLanguages, Trials};
use crate::lookups::Lookups;
use crate::model;
use crate::policies::Policies;
use crate::reading::{self, Read};
use crate::running::Entry;
use crate::{
    Conversations, Definition, HistoryFilter, LanguageStore, ModelNote, Notes, QueryError, QueryId,
    QueryOutcome, QueryRecord, QueryStore, RunLimits, Running, SavedStore, StatementRunner,
};

/// How often a change is tried again that met another one, where the caller did not say which state it is meant for.
pub(crate) const TRIES: usize = 5;

/// Asking and running, and the history of both.
#[derive(Clone)]
pub struct Queries {
    pub(crate) connections: Connections,
    schemas: Schemas,
    annotations: SchemaAnnotations,
    tenancy: Tenancy,
    policies: Policies,
    engine: Arc<Engine>,
    models: Models,
    runner: Arc<dyn StatementRunner>,
    pub(crate) history: Arc<History>,
    pub(crate) saved: Arc<dyn SavedStore>,
    pub(crate) kept: Arc<KeptAnswers>,
    conversations: Conversations,
    pub(crate) language_store: Arc<dyn LanguageStore>,
    pub(crate) languages: Arc<HeldLanguages>,
    pub(crate) trials: Arc<Trials>,
    knowledge: Arc<KnowledgeCache>,
    lookups: Arc<Lookups>,
    pub(crate) settings: Arc<QuerySettings>,
    pub(crate) clock: Arc<dyn Clock>,
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
    /// Who sees what.
    pub policies: Policies,
    /// Turns questions into SQL.
    pub engine: Arc<Engine>,
    /// Language models beside it.
    pub models: Models,
    /// Runs statements.
    pub runner: Arc<dyn StatementRunner>,
    /// Keeps the history.
    pub store: Arc<dyn QueryStore>,
    /// Keeps what people saved of it.
    pub saved: Arc<dyn SavedStore>,
    /// What was asked before.
    pub conversations: Conversations,
    /// The organization's own language.
    pub language: Arc<dyn LanguageStore>,
    /// The operator's limits.
    pub settings: QuerySettings,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Queries {
    /// Puts the service together.
    pub fn new(parts: QueryParts) -> Self {
        Self {
            connections: parts.connections,
            schemas: parts.schemas,
            annotations: parts.annotations,
            tenancy: parts.tenancy,
            policies: parts.policies,
            engine: parts.engine,
            models: parts.models,
            runner: parts.runner,
            history: Arc::new(History::new(parts.store)),
            saved: parts.saved,
            kept: Arc::default(),
            conversations: parts.conversations,
            language_store: parts.language,
            languages: Arc::new(Recent::new(parts.clock.clone(), HELD_LANGUAGES)),
            trials: Arc::default(),
            knowledge: Arc::default(),
            lookups: Arc::default(),
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
        let limits = self.limits(ask.limits, caller).await?;
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
        let mut entry = self.entry(caller, ask.connection, &ask.input);
        entry.tell_to(ask.told.clone());
        let purpose = ask.purpose;
        let answered = match &ask.input {
            Input::Question(question) => {
                self.answer(&opened, question, talk.as_mut(), &chosen, &limits, purpose, &mut entry)
                    .await
            }
            Input::Sql(sql) => {
                let how = (purpose, None);
                self.run_judged(&opened, sql, &[], &limits, how, &mut entry).await.map(Some)
            }
        };
        if let Some(talk) = &talk {
            // Not the answer itself: its rows could then not be waited for on another thread.
            let outcome = match &answered {
                Ok(Some(Begun::Rows(_))) => QueryOutcome::Answered,
                Ok(Some(Begun::Planned(..))) => QueryOutcome::Planned,
                Ok(None) => QueryOutcome::Meta,
                Err(err) => err.outcome(),
            };
            self.keep(talk, &mut entry, outcome).await;
        }
        match answered {
            Ok(Some(Begun::Rows(started))) => {
                let running = Running::new(started, limits.rows, entry);
                Ok(Answer::Rows(Box::new(running)))
            }
            Ok(Some(Begun::Planned(plan, restricted))) => {
                entry.end(QueryOutcome::Planned, None, None);
                let record = entry.record.clone();
                Ok(Answer::Planned(Box::new(Explained::new(record, *plan, restricted))))
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

    /// How many rows one answer may have at most.
    pub fn most_rows(&self) -> u64 {
        self.settings.max_rows
    }

    pub(crate) fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    /// Who sees which rows and values, for what tells of schemas.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    pub(crate) async fn limits(
        &self,
        wanted: CallerLimits,
        caller: &Principal,
    ) -> Result<RunLimits, QueryError> {
        let CallerLimits { row_limit, byte_limit, timeout_ms, in_background, reader_time } = wanted;
        let settings = &self.settings;
        let bytes = byte_limit.unwrap_or(settings.max_bytes);
        if bytes == 0 || bytes > settings.max_bytes {
            return Err(QueryError::Limit { field: "byte_limit", most: settings.max_bytes });
        }
        let rows = row_limit.unwrap_or(settings.default_rows);
        if rows == 0 || rows > settings.max_rows {
            return Err(QueryError::Limit { field: "row_limit", most: settings.max_rows });
        }
        let most = u64::try_from(settings.max_time.as_millis()).unwrap_or(u64::MAX);
        let time = match timeout_ms {
            Some(ms) if ms == 0 || ms > most => {
                return Err(QueryError::Limit { field: "timeout_ms", most });
            }
            Some(ms) => Duration::from_millis(ms),
            None => settings.default_time,
        };
        Ok(RunLimits {
            rows,
            bytes,
            row_bytes: settings.max_row_bytes,
            time,
            reader_time,
            time_zone: self.tenancy.time_zone(caller.org).await?.to_string(),
            in_background,
        })
    }

    fn entry(&self, caller: &Principal, connection: ConnectionId, input: &Input) -> Entry {
        let now = self.clock.now();
        let (question, sql) = match input {
            Input::Question(question) => (Some(question.clone()), None),
            Input::Sql(sql) => (None, Some(sql.clone())),
        };
        let record = QueryRecord {
            id: QueryId::new(now),
            org: caller.org,
            connection,
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
            name: None,
            description: None,
            tags: Vec::new(),
            definition: Definition::default(),
            run_of: None,
            created_at: now,
        };
        let (credential, origin) = (caller.credential, caller.origin.clone());
        Entry {
            history: self.history.clone(),
            record,
            credential,
            origin,
            ended: false,
            told: None,
            narrowing: None,
        }
    }
}

impl Queries {
    /// Writes the history entries that wait; the server calls it twice a second.
    ///
    /// # Errors
    ///
    /// Only when our own storage is down; then they go on waiting.
    pub async fn flush_history(&self) -> Result<(), StoreError> {
        self.history.flush().await
    }

    /// The organization's history, newest first, as far as `filter` and the caller's rights let it through.
    ///
    /// # Errors
    ///
    /// Only when our own storage fails.
    pub async fn list(
        &self,
        permit: &Permit<QueriesRead>,
        mut wanted: HistoryFilter,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<QueryRecord>, QueryError> {
        let HistoryFilter { saved_only, test_only, viewer, .. } = filter(permit.principal());
        wanted.saved_only |= saved_only;
        wanted.test_only |= test_only;
        wanted.viewer = viewer;
        self.history.flush().await?;
        let mut items = self.history.store().list(permit.org(), wanted, after, limit).await?;
        for record in &mut items {
            self.keep_discretion(permit.principal(), record).await?;
        }
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
        let mut record = found.ok_or(QueryError::NotFound(id))?;
        self.keep_discretion(permit.principal(), &mut record).await?;
        Ok(record)
    }

    /// One entry of the history, as [`Queries::get`] shows it. Whoever runs saved queries only is also shown their own runs of
    /// those that they may see: what [`Queries::runs`] lists to them.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] also when it is another organization's, or not for this key or role.
    pub async fn show(
        &self,
        permit: &Permit<QueriesRead>,
        id: QueryId,
    ) -> Result<QueryRecord, QueryError> {
        self.history.flush().await?;
        let mut record = self.seen(permit.principal(), id).await?;
        self.keep_discretion(permit.principal(), &mut record).await?;
        Ok(record)
    }

    /// An entry that is in the caller's sight: what the filter lets through, and for whom that is saved queries only, a run of
    /// their own of one that it lets through now. What somebody saved after it ran may say something else by now, and is no such
    /// run any more.
    pub(crate) async fn seen(
        &self,
        caller: &Principal,
        id: QueryId,
    ) -> Result<QueryRecord, QueryError> {
        let store = self.history.store();
        if let Some(found) = store.find(caller.org, id, filter(caller)).await? {
            return Ok(found);
        }
        if !caller.saved_queries_only {
            return Err(QueryError::NotFound(id));
        }
        let own = HistoryFilter { saved_only: false, user: Some(caller.user), ..filter(caller) };
        let own = store.find(caller.org, id, own).await?.filter(|it| it.definition.version == 0);
        let (run, of) = own
            .and_then(|it| it.run_of.map(|of| (it, of.query)))
            .ok_or(QueryError::NotFound(id))?;
        let saved = store.find(caller.org, of, filter(caller)).await?;
        saved.map(|_| run).ok_or(QueryError::NotFound(id))
    }

    /// What is told to one member may quote what a policy hides from another.
    pub(crate) async fn keep_discretion(
        &self,
        caller: &Principal,
        record: &mut QueryRecord,
    ) -> Result<(), QueryError> {
        if discretion::concerns(record)
            && record.user != caller.user
            && self.policies.binds(caller, record.connection).await?
        {
            discretion::of_others(record);
        }
        Ok(())
    }

    /// Takes an entry out of the history. Of a saved query the organization's trail tells.
    ///
    /// `expected` are the revisions that the caller may have read; `None` for any.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] as for [`Queries::get`]; [`QueryError::Changed`] if it is not at an expected revision.
    pub async fn remove(
        &self,
        permit: &Permit<QueriesWrite>,
        id: QueryId,
        expected: Option<&[i64]>,
    ) -> Result<(), QueryError> {
        let (caller, store) = (permit.principal(), self.history.store());
        self.history.flush().await?;
        for _ in 0..TRIES {
            let found = store.find(caller.org, id, filter(caller)).await?;
            let found = found.ok_or(QueryError::NotFound(id))?;
            let revision = found.definition.revision;
            if expected.is_some_and(|it| !it.contains(&revision)) {
                return Err(QueryError::Changed(id));
            }
            let told = found.saved.then(|| {
                let told = AuditEntry::of(caller, self.clock.now(), "query.deleted");
                told.on("query", id).with(json!({
                    "name": found.name,
                    "visibility": found.definition.visibility.as_str(),
                    "version": found.definition.version,
                    "sql": found.sql,
                    "connection": found.connection,
                }))
            });
            if store.remove(caller.org, id, filter(caller), revision, told.as_ref()).await? {
                return Ok(());
            }
        }
        Err(QueryError::Changed(id))
    }

    /// From a question to rows; `None` if it was answered without SQL.
    async fn answer(
        &self,
        opened: &Opened,
        question: &str,
        mut talk: Option<&mut Talk>,
        chosen: &Chosen,
        limits: &RunLimits,
        purpose: Purpose,
        entry: &mut Entry,
    ) -> Result<Option<Begun>, QueryError> {
        let user = entry.record.user;
        let mut knowledge = self.knowledge(opened, user).await?;
        let (mut renewed, mut with_examples) = (false, true);
        loop {
            let read = self
                .read_looking(opened, &knowledge, question, talk.as_deref(), with_examples, limits)
                .await?;
            let Read {
                outcome,
                engine_ms,
                taken_over,
                used,
                state,
                settled,
                back,
                example,
                narrowed,
                wanted: _,
            } = read;
            entry.record.notes.engine_ms = Some(engine_ms);
            if back
                && let Some(talk) = talk.as_deref_mut()
                && let Some(turn) = self.conversations.before(talk).await?
                && let Some(sql) = turn.sql.clone()
            {
                entry.record.sql = Some(sql.clone());
                let restricted = knowledge.restricted(&sql, 0);
                entry.record.notes =
                    Notes { engine_ms: Some(engine_ms), restricted, ..turn.notes.clone() };
                talk.state.clone_from(&turn.state);
                talk.back_to = Some(turn);
                entry.tell();
                return self.start(opened, &knowledge, &sql, &[], limits, purpose).await.map(Some);
            }
            if let Some((sql, notes)) = example {
                entry.record.sql = Some(sql.clone());
                let restricted = knowledge.restricted(&sql, 0);
                entry.record.notes = Notes { engine_ms: Some(engine_ms), restricted, ..notes };
                entry.tell();
                match self.start(opened, &knowledge, &sql, &[], limits, purpose).await {
                    // One that does not fit the schema any more is not used; it is marked when it is next tried.
                    Err(err) if is_outdated(&err) => {
                        with_examples = false;
                        entry.record.sql = None;
                        entry.record.notes = Notes::default();
                        continue;
                    }
                    started => {
                        if let Ok(judged) = knowledge.judge(&sql) {
                            entry.record.notes.tables =
                                judged.approved.relations.iter().map(ToString::to_string).collect();
                        }
                        return started.map(Some);
                    }
                }
            }
            let (proposed, note) = match &outcome {
                Outcome::Meta(_) => (None, None),
                _ if settled => (None, None),
                _ => self.propose(opened, &knowledge, question, chosen, limits, purpose).await,
            };
            entry.record.notes.model.clone_from(&note);
            if let Some((sql, notes)) = proposed {
                entry.record.sql = Some(sql.clone());
                let restricted = knowledge.restricted(&sql, 0);
                entry.record.notes =
                    Notes { engine_ms: Some(engine_ms), model: note, restricted, ..notes };
                entry.tell();
                return self.start(opened, &knowledge, &sql, &[], limits, purpose).await.map(Some);
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
                Outcome::NotPermitted(_) if !renewed && self.is_stale(&knowledge) => {
                    knowledge = self.renew(opened, user).await?;
                    renewed = true;
                    continue;
                }
                Outcome::NotPermitted(words) => {
                    let why = words.iter().find_map(|it| knowledge.why_not_askable(it));
                    let message = why.unwrap_or_else(|| {
                        format!(
                            "“{}” is something that this connection does not let you ask about",
                            words.join("”, “")
                        )
                    });
                    return Err(QueryError::NotPermitted { message, words, conversation: None });
                }
                Outcome::NotAnswerable(_) if !renewed && self.is_stale(&knowledge) => {
                    knowledge = self.renew(opened, user).await?;
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
                restricted: knowledge.restricted(&sql, 0),
                narrowed,
                ..Notes::default()
            };
            if let Some(talk) = talk.as_deref_mut() {
                talk.state = state;
            }
            entry.tell();
            match self.start(opened, &knowledge, &sql, &[], limits, purpose).await {
                Err(err) if !renewed && names_what_is_gone(&err) && self.is_stale(&knowledge) => {
                    knowledge = self.renew(opened, user).await?;
                    renewed = true;
                }
                ended => return ended.map(Some),
            }
        }
    }

    /// The engine's reading; where it does not understand a word, with what the database knows of it.
    async fn read_looking(
        &self,
        opened: &Opened,
        knowledge: &Arc<Knowledge>,
        question: &str,
        talk: Option<&Talk>,
        with_examples: bool,
        limits: &RunLimits,
    ) -> Result<Read, QueryError> {
        let nothing: Arc<[Found]> = Arc::from([]);
        let read = self.read(knowledge, question, talk, with_examples, limits, nothing).await?;
        let Some(wanted) = &read.wanted else { return Ok(read) };
        let found = self.look_up(opened, knowledge, wanted, limits).await;
        if found.is_empty() {
            return Ok(read);
        }
        let again = self.read(knowledge, question, talk, with_examples, limits, found).await?;
        let engine_ms = read.engine_ms + again.engine_ms;
        let better = if again.is_usable() { again } else { read };
        Ok(Read { engine_ms, ..better })
    }

    /// The engine's reading. It computes for milliseconds, on large schemas for tens of them: not on a thread that others'
    /// requests wait for.
    async fn read(
        &self,
        knowledge: &Arc<Knowledge>,
        question: &str,
        talk: Option<&Talk>,
        with_examples: bool,
        limits: &RunLimits,
        found: Arc<[Found]>,
    ) -> Result<Read, QueryError> {
        let context = self.context(limits);
        let (engine, knowledge) = (self.engine.clone(), knowledge.clone());
        let question = question.to_owned();
        let last = talk.and_then(|it| it.last.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let last = last.as_ref();
            reading::read(&engine, &knowledge, &question, last, with_examples, &context, &found)
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
        purpose: Purpose,
    ) -> (Option<(String, Notes)>, Option<ModelNote>) {
        let selected = match chosen {
            Chosen::Embedded(why) => return (None, model::not_asked(*why)),
            Chosen::Model(selected) => selected,
        };
        let planner = Planner { queries: self, opened, knowledge, limits, purpose };
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
}

/// Who wrote a statement: the embedded engine.
const EMBEDDED: &str = "embedded";
/// Who wrote a statement: the caller.
pub(crate) const CALLER: &str = "sql";

/// What a caller may see of the history.
pub(crate) fn filter(caller: &Principal) -> HistoryFilter {
    HistoryFilter {
        saved_only: caller.saved_queries_only,
        test_only: caller.test_only,
        viewer: Some(caller.user),
        ..HistoryFilter::default()
    }
}
