use std::collections::HashSet;
use std::sync::Arc;

use plinth_connections::{ConnectionError, ConnectionId, Opened};
use plinth_core::{
    OrgId, Permit, Principal, QueriesRead, QueriesWrite, Recent, StoreError, UserId,
};
use plinth_nl2sql::language::TermMeaning;
use plinth_nl2sql::model::Taught;
use plinth_tenancy::AuditEntry;
use serde_json::json;

use super::{
    Entry, EntryBody, EntryId, EntryKind, EntryStatus, InvalidEntry, Language, MAX_ENTRIES,
    PutEntryError,
};
use crate::knowledge::Knowledge;
use crate::{Queries, QueryError, QueryId};

/// Of how many connections languages are held in memory at most.
pub(crate) const HELD_LANGUAGES: usize = 64;

/// The languages that were read last.
pub(crate) type HeldLanguages = Recent<(OrgId, ConnectionId), Arc<Language>>;

/// What somebody thinks of an answer.
#[derive(Clone, Debug)]
pub struct Feedback {
    /// Whether it is right.
    pub is_good: bool,
    /// What the statement should have been.
    pub sql: Option<String>,
    /// What they say.
    pub comment: Option<String>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedbackGiven {
    /// The candidate that it became.
    pub candidate: Option<EntryId>,
}

/// How many terms and metrics, and how many examples, a model is told at most.
const TOLD: (usize, usize) = (20, 5);

impl Knowledge {
    /// The glossary, the metrics and the examples that matter to a question, for a language model: those whose words stand
    /// in it first.
    pub(crate) fn taught(&self, question: &str, today: jiff::civil::Date) -> Taught {
        let asked = question.to_lowercase();
        let said = |name: &str, others: &[String]| {
            asked.contains(&name.to_lowercase())
                || others.iter().any(|it| asked.contains(&it.to_lowercase()))
        };
        let mut terms: Vec<(bool, (String, String))> = Vec::new();
        for it in self.language().terms() {
            let meaning = match &it.meaning {
                TermMeaning::Table => it.table.clone(),
                TermMeaning::Column(column) => format!("{}.{column}", it.table),
                TermMeaning::Value { column, value } => {
                    format!("{}.{column} is the value '{value}'", it.table)
                }
                TermMeaning::Predicate(sql) => format!("rows of {} where {sql}", it.table),
                TermMeaning::Expression(sql) => format!("of each row of {}: {sql}", it.table),
            };
            terms.push((!said(&it.name, &it.synonyms), (it.name, meaning)));
        }
        for it in self.language().metrics() {
            let filter = it.filter.iter().map(|it| format!(", of rows where {it}"));
            let time = it.time.iter().map(|it| format!(", at the time {it}"));
            let more: String = filter.chain(time).collect();
            let meaning = format!("{} over {}{more}", it.expression, it.table);
            terms.push((!said(&it.name, &it.synonyms), (it.name, meaning)));
        }
        terms.sort_by_key(|it| it.0);
        let terms = terms.into_iter().map(|it| it.1).take(TOLD.0).collect();
        let examples = self.examples(today);
        let like = examples.like(question, TOLD.1).into_iter();
        let examples = like.map(|it| (it.question.clone(), it.sql.clone())).collect();
        Taught { terms, examples }
    }
}

impl Queries {
    /// The connection's language; at most a second old.
    pub(crate) async fn language(&self, opened: &Opened) -> Result<Arc<Language>, StoreError> {
        let key = (opened.connection.org, opened.connection.id);
        let read = async |before: Option<Arc<Language>>| {
            let version = self.language_store.version(key.0, key.1).await?;
            let newest = match before {
                Some(before) if before.version == version => before,
                _ if version == 0 => Arc::default(),
                _ => Arc::new(self.language_store.all(key.0, key.1).await?),
            };
            Ok::<_, StoreError>(Some(newest))
        };
        Ok(self.languages.get(&key, read).await?.unwrap_or_default())
    }

    /// Whoever changed something sees it at once.
    pub(super) fn forget_language(&self, opened: &Opened) {
        let key = (opened.connection.org, opened.connection.id);
        self.languages.forget(&key);
    }

    /// Entries of one kind, by name; what does not fit the schema any more says so. Whom policies bind sees what changes
    /// answers, without what tells of things that are hidden from them, and what they wrote themselves.
    ///
    /// # Errors
    ///
    /// [`QueryError::Connection`] if there is no such connection for the caller.
    pub async fn list_language(
        &self,
        permit: &Permit<QueriesRead>,
        connection: ConnectionId,
        kind: EntryKind,
    ) -> Result<Vec<Entry>, QueryError> {
        let opened = self.connections.open(permit.principal(), connection).await?;
        self.catch_up_a_while(&opened).await;
        let shown = self.shown(&opened, permit.user()).await?;
        Ok(shown.into_iter().filter(|it| it.id.kind() == kind).collect())
    }

    /// The entries that somebody may read.
    async fn shown(&self, opened: &Opened, user: UserId) -> Result<Vec<Entry>, QueryError> {
        let knowledge = self.knowledge(opened, user).await?;
        let known = knowledge.language();
        if !knowledge.is_bound() {
            return Ok(known.entries.clone());
        }
        let all = self.language(opened).await?;
        let known: HashSet<EntryId> = known.entries.iter().map(|it| it.id).collect();
        let shown = all.entries.iter().filter(|it| it.updated_by == user || known.contains(&it.id));
        let mut shown: Vec<Entry> = shown.cloned().collect();
        // Why was found out over everything that the connection allows.
        for it in shown.iter_mut().filter(|it| it.broken.is_some()) {
            it.broken = Some("it does not fit the schema any more".to_owned());
        }
        Ok(shown)
    }

    /// One entry.
    ///
    /// # Errors
    ///
    /// [`QueryError::NoEntry`]; else as for [`Queries::list_language`].
    pub async fn get_language(
        &self,
        permit: &Permit<QueriesRead>,
        connection: ConnectionId,
        id: EntryId,
    ) -> Result<Entry, QueryError> {
        let all = self.list_language(permit, connection, id.kind()).await?;
        all.into_iter().find(|it| it.id == id).ok_or(QueryError::NoEntry(id))
    }

    /// Adds an entry that counts at once, after it was tried: parsed, judged by the guard and planned by the database.
    ///
    /// # Errors
    ///
    /// [`QueryError::Entry`] for what breaks a rule, [`QueryError::Unusable`] for what does not fit the schema,
    /// [`QueryError::NameTaken`], [`QueryError::TooManyEntries`].
    pub async fn define(
        &self,
        permit: &Permit<QueriesWrite>,
        connection: ConnectionId,
        name: &str,
        body: EntryBody,
    ) -> Result<Entry, QueryError> {
        let opened = self.connections.open(permit.principal(), connection).await?;
        self.add(&opened, permit.principal(), name, body, EntryStatus::Active).await
    }

    async fn add(
        &self,
        opened: &Opened,
        caller: &Principal,
        name: &str,
        body: EntryBody,
        status: EntryStatus,
    ) -> Result<Entry, QueryError> {
        let name = name.trim();
        body.check(name)?;
        let now = self.clock.now();
        let mut entry = Entry {
            id: EntryId::new(body.kind(), now),
            org: opened.connection.org,
            connection: opened.connection.id,
            name: name.to_owned(),
            body,
            status,
            broken: None,
            checked: None,
            version: 0,
            created_by: caller.user,
            created_at: now,
            updated_by: caller.user,
            updated_at: now,
        };
        self.tried(opened, caller, &mut entry).await?;
        let action = match status {
            EntryStatus::Active => "language.defined",
            EntryStatus::Candidate => "language.proposed",
        };
        let told = told(AuditEntry::of(caller, now, action), &entry);
        let put = self.language_store.insert(&entry, MAX_ENTRIES, &told).await;
        entry.version = put.map_err(|err| failed(err, &entry))?;
        self.forget_language(opened);
        Ok(entry)
    }

    /// Tries an entry and notes over which schema.
    async fn tried(
        &self,
        opened: &Opened,
        caller: &Principal,
        entry: &mut Entry,
    ) -> Result<(), QueryError> {
        let knowledge = self.knowledge(opened, caller.user).await?;
        let limits = self.trial_limits(opened).await?;
        if let Some(why) = self.try_out(opened, &knowledge, &limits, entry).await? {
            return Err(QueryError::Unusable { why });
        }
        // They would not see any more what they wrote. What only waits changes no answer of anybody's.
        if entry.status == EntryStatus::Active && !knowledge.may_know(entry) {
            let why = "it speaks of something that a policy hides from you: a masked column, or a value of a table of which you \
                       do not see all rows; somebody whom the policy does not bind can write it";
            return Err(QueryError::Unusable { why: why.to_owned() });
        }
        entry.broken = None;
        entry.checked = Some(knowledge.snapshot().id);
        Ok(())
    }

    /// Replaces what an entry says; a candidate stays one.
    ///
    /// # Errors
    ///
    /// [`QueryError::NoEntry`], [`QueryError::EntryChanged`]; else as for [`Queries::define`].
    pub async fn redefine(
        &self,
        permit: &Permit<QueriesWrite>,
        connection: ConnectionId,
        id: EntryId,
        name: &str,
        body: EntryBody,
        expected: Option<&[i64]>,
    ) -> Result<Entry, QueryError> {
        let opened = self.connections.open(permit.principal(), connection).await?;
        let mut entry = self.entry_of(&opened, permit.principal(), id).await?;
        let name = name.trim();
        body.check(name)?;
        entry.name = name.to_owned();
        entry.body = match (body, entry.body) {
            // where a candidate comes from stays known
            (EntryBody::Example { sql, comment, .. }, EntryBody::Example { query, .. }) => {
                EntryBody::Example { sql, comment, query }
            }
            (body, _) => body,
        };
        self.tried(&opened, permit.principal(), &mut entry).await?;
        self.update(permit, &opened, entry, expected, "language.changed").await
    }

    /// Lets a candidate count from now on.
    ///
    /// # Errors
    ///
    /// As for [`Queries::redefine`].
    pub async fn accept(
        &self,
        permit: &Permit<QueriesWrite>,
        connection: ConnectionId,
        id: EntryId,
        expected: Option<&[i64]>,
    ) -> Result<Entry, QueryError> {
        let opened = self.connections.open(permit.principal(), connection).await?;
        let mut entry = self.entry_of(&opened, permit.principal(), id).await?;
        entry.status = EntryStatus::Active;
        self.tried(&opened, permit.principal(), &mut entry).await?;
        self.update(permit, &opened, entry, expected, "language.accepted").await
    }

    async fn update(
        &self,
        permit: &Permit<QueriesWrite>,
        opened: &Opened,
        mut entry: Entry,
        expected: Option<&[i64]>,
        action: &'static str,
    ) -> Result<Entry, QueryError> {
        let now = self.clock.now();
        entry.updated_by = permit.user();
        entry.updated_at = now;
        let told = told(AuditEntry::of(permit.principal(), now, action), &entry);
        let put = self.language_store.update(&entry, expected, &told).await;
        self.forget_language(opened);
        entry.version = put.map_err(|err| failed(err, &entry))?;
        Ok(entry)
    }

    /// Takes an entry back; a candidate is thereby refused.
    ///
    /// # Errors
    ///
    /// [`QueryError::NoEntry`], [`QueryError::EntryChanged`].
    pub async fn undefine(
        &self,
        permit: &Permit<QueriesWrite>,
        connection: ConnectionId,
        id: EntryId,
        expected: Option<&[i64]>,
    ) -> Result<(), QueryError> {
        let opened = self.connections.open(permit.principal(), connection).await?;
        let entry = self.entry_of(&opened, permit.principal(), id).await?;
        let now = self.clock.now();
        let told = told(AuditEntry::of(permit.principal(), now, "language.removed"), &entry);
        let (org, connection) = (entry.org, entry.connection);
        let removed = self.language_store.remove(org, connection, id, expected, &told).await;
        self.forget_language(&opened);
        removed.map_err(|err| failed(err, &entry))
    }

    async fn entry_of(
        &self,
        opened: &Opened,
        caller: &Principal,
        id: EntryId,
    ) -> Result<Entry, QueryError> {
        let shown = self.shown(opened, caller.user).await?;
        shown.into_iter().find(|it| it.id == id).ok_or(QueryError::NoEntry(id))
    }

    /// Keeps what somebody thinks of an answer. A good answer, or a better statement for one, becomes a candidate that
    /// somebody who may change the language has to accept.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] as for [`Queries::get`]; [`QueryError::Entry`] if there is nothing to correct;
    /// [`QueryError::Unusable`] for a statement that does not fit the schema.
    pub async fn give_feedback(
        &self,
        permit: &Permit<QueriesRead>,
        id: QueryId,
        feedback: Feedback,
    ) -> Result<FeedbackGiven, QueryError> {
        let record = self.get(permit, id).await?;
        let invalid = |field, rule| QueryError::Entry(InvalidEntry { field, rule });
        let comment = feedback.comment.filter(|it| !it.trim().is_empty());
        if comment.as_ref().is_some_and(|it| it.chars().count() > super::MAX_TEXT_CHARS) {
            return Err(invalid("comment", "at most 2000 characters"));
        }
        if feedback.sql.is_some() && record.question.is_none() {
            return Err(invalid("sql", "only the answer to a question can be corrected"));
        }
        let sql = match (&feedback.sql, feedback.is_good) {
            (Some(sql), _) => Some(sql.clone()),
            // What follow-ups became answers no question that stands alone.
            (None, true) if record.notes.taken_over.is_empty() => record.sql.clone(),
            (None, _) => None,
        };
        let mut candidate = None;
        if let (Some(question), Some(sql)) = (&record.question, sql) {
            let opened = self.connections.open(permit.principal(), record.connection).await?;
            let shown = self.shown(&opened, permit.user()).await?;
            let known = shown.iter().find(|it| {
                matches!(&it.body, EntryBody::Example { sql: own, .. } if *own == sql)
                    && it.name == *question
            });
            candidate = if let Some(it) = known {
                Some(it.id)
            } else {
                let query = Some(record.id.to_string());
                let body = EntryBody::Example { sql, comment: comment.clone(), query };
                let status = EntryStatus::Candidate;
                let added = self.add(&opened, permit.principal(), question, body, status).await;
                match added {
                    Ok(entry) => Some(entry.id),
                    // Praise is not refused because too many wait.
                    Err(QueryError::TooManyEntries) if feedback.sql.is_none() => None,
                    Err(err) => return Err(err),
                }
            };
        }
        let now = self.clock.now();
        let told = AuditEntry::of(permit.principal(), now, "query.rated").on("query", id).with(
            json!({ "is_good": feedback.is_good, "candidate": candidate.map(|it| it.to_string()) }),
        );
        let (org, user) = (permit.org(), permit.user());
        self.language_store
            .rate(org, id, user, feedback.is_good, comment.as_deref(), now, &told)
            .await?;
        Ok(FeedbackGiven { candidate })
    }
}

/// What the trail tells of an entry. Not what it says: who reads the trail may be bound by policies.
fn told(entry: AuditEntry, about: &Entry) -> AuditEntry {
    let name = (about.id.kind() != EntryKind::Example).then_some(&about.name);
    let details = json!({ "connection": about.connection, "name": name, "status": about.status });
    entry.on(about.id.kind().as_str(), about.id).with(details)
}

fn failed(err: PutEntryError, entry: &Entry) -> QueryError {
    match err {
        PutEntryError::NameTaken => QueryError::NameTaken(entry.name.clone()),
        PutEntryError::TooMany => QueryError::TooManyEntries,
        PutEntryError::Missing if entry.version == 0 => {
            ConnectionError::NotFound(entry.connection).into()
        }
        PutEntryError::Missing => QueryError::NoEntry(entry.id),
        PutEntryError::Changed => QueryError::EntryChanged(entry.id),
        PutEntryError::Store(err) => err.into(),
    }
}
