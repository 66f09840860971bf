use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use plinth_connections::ConnectionId;
use plinth_core::{Credential, Cursor, KeyId, Limit, OrgId, Origin, StoreError, UserId};
use plinth_tenancy::AuditEntry;
use plinth_tenancy::audit::AuditOutcome;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::ConversationId;
use crate::saved::{Definition, RunOf};

plinth_core::typed_id! {
    /// Identifies one question or statement that somebody sent.
    QueryId, "q"
}

/// What became of a question or statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryOutcome {
    /// Rows came back.
    Answered,
    /// The statement was made and planned, and not run, as the caller wanted.
    Planned,
    /// It was about the schema itself, and was answered without SQL.
    Meta,
    /// It can be read in several ways; the caller was asked which.
    NeedsClarification,
    /// It was not understood.
    NotAnswerable,
    /// It asks for what the connection does not allow.
    NotPermitted,
    /// The statement breaks a rule of the guard.
    Rejected,
    /// The database could not run it, or could not be reached.
    Failed,
    /// It ran into its time limit.
    TimedOut,
    /// The caller hung up or cancelled.
    Cancelled,
}

impl QueryOutcome {
    /// Every outcome.
    pub const ALL: [Self; 10] = [
        Self::Answered,
        Self::Planned,
        Self::Meta,
        Self::NeedsClarification,
        Self::NotAnswerable,
        Self::NotPermitted,
        Self::Rejected,
        Self::Failed,
        Self::TimedOut,
        Self::Cancelled,
    ];

    /// Its name in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Planned => "planned",
            Self::Meta => "meta",
            Self::NeedsClarification => "needs_clarification",
            Self::NotAnswerable => "not_answerable",
            Self::NotPermitted => "not_permitted",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What an answer says beside its rows, so that people can judge it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Notes {
    /// What the statement does, in words; `None` for the caller's own SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
    /// The tables that were read, as `schema.table`.
    pub tables: Vec<String>,
    /// What was taken for granted.
    pub assumptions: Vec<String>,
    /// How sure the engine is, 0 to 1; `None` for the caller's own SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Who wrote the statement: `embedded`, a model's name, or `sql` for the caller.
    pub engine: String,
    /// The answer in words, where there is one beside or instead of rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The language engine's own time, in milliseconds; `None` for the caller's own SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_ms: Option<f64>,
    /// In which conversation it was asked; `None` for SQL that was sent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationId>,
    /// What was taken over from the answer before, one phrase each; empty for a question of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken_over: Vec<String>,
    /// What of the organization's own language it leans on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used: Vec<Used>,
    /// What narrows the rows down, in words: told where nothing is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub narrowed: Option<String>,
    /// What a language model had to do with it; `None` where none was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelNote>,
    /// The tables of which policies hid something from the caller.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restricted: Vec<String>,
    /// With which values of its parameters a saved query ran, by name.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// When the rows were read, if they were kept from an earlier run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_at: Option<Timestamp>,
    /// To whom it was shown, where that is somebody else than it ran as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown_to: Option<UserId>,
}

/// Something of the organization's own language that an answer leans on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// `term`, `metric` or `example`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Its name, or the example's question.
    pub name: String,
}

/// What a language model had to do with an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelNote {
    /// Which one: `installation`, or the id of the organization's own; `None` where none was asked.
    pub model: Option<String>,
    /// What became of it: `answered`, `declined`, `unsure`, `failed`, `budget_exceeded`, `inactive`.
    pub outcome: String,
    /// Why it did not answer, in words.
    pub reason: Option<String>,
    /// How its statement stands to the engine's own reading: `same`, `same_result`, `same_tables`, `different`, `none`.
    pub agreement: Option<String>,
    /// How many of its statements there were to choose from.
    pub candidates: Option<u8>,
    /// How often a statement went back to it.
    pub repairs: Option<u8>,
    /// Tokens that it read.
    pub prompt_tokens: u64,
    /// Tokens that it wrote.
    pub completion_tokens: u64,
}

/// What went wrong, as the caller was told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedError {
    /// The message.
    pub message: String,
    /// The details.
    pub details: Option<Value>,
}

/// One entry of the history. Results are not part of it: they are the customer's data.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryRecord {
    /// Its id.
    pub id: QueryId,
    /// In which organization.
    pub org: OrgId,
    /// Over which connection.
    pub connection: ConnectionId,
    /// Who asked.
    pub user: UserId,
    /// With which key.
    pub key: Option<KeyId>,
    /// The question; `None` if the caller sent SQL.
    pub question: Option<String>,
    /// The statement; `None` if none came of the question.
    pub sql: Option<String>,
    /// What became of it.
    pub outcome: QueryOutcome,
    /// What was said beside the rows.
    pub notes: Notes,
    /// What went wrong.
    pub error: Option<RecordedError>,
    /// How many rows were given out.
    pub row_count: Option<u64>,
    /// Whether a limit cut the rows off.
    pub truncated: bool,
    /// From sending the statement to its last row, in milliseconds.
    pub execution_time_ms: Option<f64>,
    /// Whether somebody saved it.
    pub saved: bool,
    /// As what, if somebody did.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// What it is filed under.
    pub tags: Vec<String>,
    /// What else belongs to it, if somebody saved it.
    pub definition: Definition,
    /// Of which saved query it is a run.
    pub run_of: Option<RunOf>,
    /// When it was asked.
    pub created_at: Timestamp,
}

/// An entry of the history with who made it and from where, which the audit trail tells of it.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEntry {
    /// The entry.
    pub record: QueryRecord,
    /// By what the caller showed who they are.
    pub credential: Credential,
    /// Where the call came from.
    pub origin: Arc<Origin>,
}

impl std::ops::Deref for HistoryEntry {
    type Target = QueryRecord;

    fn deref(&self) -> &QueryRecord {
        &self.record
    }
}

impl HistoryEntry {
    /// What the audit trail tells of it: what was asked and run, and how it ended; never what a database answered, and no
    /// database's error, which may quote a value.
    pub fn audit_entry(&self) -> AuditEntry {
        let record = &self.record;
        let action = if record.question.is_some() { "query.asked" } else { "query.run" };
        let outcome = match record.outcome {
            QueryOutcome::Answered | QueryOutcome::Planned | QueryOutcome::Meta => {
                AuditOutcome::Succeeded
            }
            QueryOutcome::NotPermitted | QueryOutcome::Rejected => AuditOutcome::Denied,
            QueryOutcome::NeedsClarification
            | QueryOutcome::NotAnswerable
            | QueryOutcome::Failed
            | QueryOutcome::TimedOut
            | QueryOutcome::Cancelled => AuditOutcome::Failed,
        };
        let by = self.credential.kind();
        let entry = AuditEntry {
            credential_id: self.credential.id(),
            address: self.origin.address,
            request_id: self.origin.request_id.to_string(),
            ..AuditEntry::of_plinth(record.org, record.created_at, by, action)
        };
        entry.by(record.user).on("query", record.id).ended(outcome).with(json!({
            "connection": record.connection,
            "question": record.question,
            "sql": record.sql,
            "tables": record.notes.tables,
            "saved_query": record.run_of.map(|it| it.query),
            "parameters": record.notes.parameters,
            "cached_at": record.notes.cached_at,
            "shown_to": record.notes.shown_to,
            "outcome": record.outcome.as_str(),
            "row_count": record.row_count,
        }))
    }
}

/// Which entries to list; a field that is not set lets all through.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistoryFilter {
    /// Only saved ones.
    pub saved_only: bool,
    /// Only those over connections marked as test.
    pub test_only: bool,
    /// Only those in whose question, statement or name all of these words stand, in any case.
    pub words: Vec<String>,
    /// Only those over this connection.
    pub connection: Option<ConnectionId>,
    /// Only those of which this became.
    pub outcome: Option<QueryOutcome>,
    /// Only those of this person.
    pub user: Option<UserId>,
    /// Only those from this moment on.
    pub from: Option<Timestamp>,
    /// Only those before this moment.
    pub to: Option<Timestamp>,
    /// Only those whose statement this wrote: `embedded`, a model's name, or `sql`.
    pub engine: Option<String>,
    /// Only those with this tag.
    pub tag: Option<String>,
    /// Only runs of this saved query.
    pub run_of: Option<QueryId>,
    /// Only what this person may see: what others keep to themselves, and the runs of it, is left out.
    pub viewer: Option<UserId>,
}

/// Where the history is kept. Every method but the first is one transaction.
#[async_trait]
pub trait QueryStore: Send + Sync + 'static {
    /// Adds entries of one organization, and tells its audit trail of each; one that is there already stays as it is, and one
    /// that was removed stays removed, whoever removed it. Each is added whole or not at all. All are on disk when it succeeds;
    /// when it fails, the first of them may be there.
    async fn insert(&self, org: OrgId, entries: &[Arc<HistoryEntry>]) -> Result<(), StoreError>;

    /// Finds an entry; `None` if the filter leaves it out.
    async fn find(
        &self,
        org: OrgId,
        id: QueryId,
        filter: HistoryFilter,
    ) -> Result<Option<QueryRecord>, StoreError>;

    /// Entries, newest first; one more than `limit` if there are more.
    async fn list(
        &self,
        org: OrgId,
        filter: HistoryFilter,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<QueryRecord>, StoreError>;

    /// Removes an entry that is at this revision for good: adding it once more does not bring it back. `told` goes to the
    /// organization's trail with it. `false` if there is none, or it is at another; then nothing is told.
    async fn remove(
        &self,
        org: OrgId,
        id: QueryId,
        filter: HistoryFilter,
        revision: i64,
        told: Option<&AuditEntry>,
    ) -> Result<bool, StoreError>;
}

/// How many entries wait in memory at most while the store is down; the oldest go first.
const WAITING: usize = 100_000;

/// Takes entries at once and writes them in batches: a question does not wait for its history.
pub(crate) struct History {
    store: Arc<dyn QueryStore>,
    waiting: Mutex<VecDeque<Arc<HistoryEntry>>>,
    /// Two flushes at once could show a reader neither's entries.
    flushing: tokio::sync::Mutex<()>,
}

impl History {
    pub(crate) fn new(store: Arc<dyn QueryStore>) -> Self {
        Self { store, waiting: Mutex::default(), flushing: tokio::sync::Mutex::default() }
    }

    pub(crate) fn record(&self, entry: HistoryEntry) {
        let mut waiting = self.waiting.lock().expect("not poisoned");
        if waiting.len() >= WAITING {
            waiting.pop_front();
            tracing::error!("the history cannot be written: its oldest waiting entry is dropped");
        }
        waiting.push_back(Arc::new(entry));
    }

    /// Writes everything that waits. What cannot be written goes on waiting.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        let _one = self.flushing.lock().await;
        let batch: Vec<_> = self.waiting.lock().expect("not poisoned").iter().cloned().collect();
        let mut orgs: Vec<OrgId> = batch.iter().map(|it| it.org).collect();
        orgs.sort_unstable();
        orgs.dedup();
        let mut failed = None;
        for org in orgs {
            let ours: Vec<_> = batch.iter().filter(|it| it.org == org).cloned().collect();
            match self.store.insert(org, &ours).await {
                Ok(()) => self.forget(&ours),
                // One organization's trouble (it was just deleted, say) is not another's, and one entry's not the next
                // one's.
                Err(StoreError::Internal(_)) => self.write_singly(org, &ours).await,
                Err(err) => failed = Some(err),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn write_singly(&self, org: OrgId, entries: &[Arc<HistoryEntry>]) {
        for entry in entries {
            let one = std::slice::from_ref(entry);
            match self.store.insert(org, one).await {
                Ok(()) => self.forget(one),
                Err(StoreError::Internal(err)) => {
                    tracing::error!(org.id = %org, query.id = %entry.id, error = %err, "a history entry cannot be kept");
                    self.forget(one);
                }
                // It goes on waiting.
                Err(StoreError::Unavailable(_)) => return,
            }
        }
    }

    fn forget(&self, written: &[Arc<HistoryEntry>]) {
        let ids: std::collections::HashSet<_> = written.iter().map(|it| it.id).collect();
        self.waiting.lock().expect("not poisoned").retain(|it| !ids.contains(&it.id));
    }

    pub(crate) fn store(&self) -> &dyn QueryStore {
        self.store.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Servers that are older read it too: of what they ask for nothing is left out.
    #[test]
    fn notes_that_say_nothing_are_short_and_longer_ones_are_read_still() {
        let notes = Notes { engine: "sql".to_owned(), ..Notes::default() };
        let kept = serde_json::to_value(&notes).expect("JSON");
        assert_eq!(kept, json!({ "engine": "sql", "tables": [], "assumptions": [] }));
        assert_eq!(serde_json::from_value::<Notes>(kept).expect("notes"), notes);
        let older = json!({
            "explanation": null, "tables": [], "assumptions": [], "confidence": null, "engine": "sql", "answer": null,
            "engine_ms": null, "conversation": null, "taken_over": [], "used": [], "narrowed": null, "model": null,
        });
        assert_eq!(serde_json::from_value::<Notes>(older).expect("notes"), notes);
    }
}
