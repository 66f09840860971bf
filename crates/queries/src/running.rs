use std::sync::Arc;
use std::time::Instant;

use plinth_core::{Classify as _, Credential, Origin};

use crate::ask::Told;
use crate::history::History;
use crate::policies::Narrowing;
use crate::service::Started;
use crate::{
    CutOff, HistoryEntry, Notes, QueryError, QueryId, QueryOutcome, QueryRecord, RawRow,
    RecordedError, ResultColumn, Rows, RunError, RunOf, UserTypes,
};

/// A statement whose rows are coming. Its history entry is written when it ends; dropping it before cancels it in the
/// database.
pub struct Running {
    rows: Box<dyn Rows>,
    types: Arc<UserTypes>,
    started: Instant,
    row_count: u64,
    ended: Option<Summary>,
    row_limit: u64,
    entry: Entry,
}

/// What is known of a statement at its end.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// How many rows were given out.
    pub row_count: u64,
    /// Which limit cut them off.
    pub cut_off: Option<CutOff>,
    /// From sending the statement to its last row, in milliseconds.
    pub execution_time_ms: f64,
}

impl Running {
    pub(crate) fn new(started: Started, row_limit: u64, entry: Entry) -> Self {
        let Started { at: started, rows, types } = started;
        Self { rows, types, started, row_count: 0, ended: None, row_limit, entry }
    }

    /// Its id in the history.
    pub fn id(&self) -> QueryId {
        self.entry.record.id
    }

    /// The question, if it was one.
    pub fn question(&self) -> Option<&str> {
        self.entry.record.question.as_deref()
    }

    /// The statement that runs, as the caller or the engine wrote it.
    pub fn sql(&self) -> &str {
        self.entry.record.sql.as_deref().unwrap_or_default()
    }

    /// Of which saved query it is a run.
    pub fn run_of(&self) -> Option<RunOf> {
        self.entry.record.run_of
    }

    /// What goes with the rows.
    pub fn notes(&self) -> &Notes {
        &self.entry.record.notes
    }

    /// The columns.
    pub fn columns(&self) -> &[ResultColumn] {
        self.rows.columns()
    }

    /// What the database's own types are, for rendering.
    pub fn types(&self) -> &Arc<UserTypes> {
        &self.types
    }

    /// After how many rows it is cut off.
    pub fn row_limit(&self) -> u64 {
        self.row_limit
    }

    /// The next rows, as many as have come; empty only at the end.
    ///
    /// # Errors
    ///
    /// [`QueryError::Run`]; then it has ended.
    pub async fn next(&mut self) -> Result<Vec<RawRow>, QueryError> {
        if self.ended.is_some() {
            return Ok(Vec::new());
        }
        match self.rows.next().await {
            Ok(rows) if rows.is_empty() => {
                let summary = self.summary_now(self.rows.cut_off());
                self.ended = Some(summary);
                let notes = &mut self.entry.record.notes;
                if self.row_count == 0
                    && notes.answer.is_none()
                    && self.entry.record.question.is_some()
                {
                    // What a policy hides may be there.
                    let seen = if notes.restricted.is_empty() { "" } else { " that you may see" };
                    notes.answer = Some(match &notes.narrowed {
                        Some(narrowed) => format!("Nothing{seen} is found where {narrowed}."),
                        None if seen.is_empty() => {
                            "Nothing is found: there are no such rows.".to_owned()
                        }
                        None => format!("Nothing{seen} is found."),
                    });
                }
                self.entry.end(QueryOutcome::Answered, Some(summary), None);
                Ok(rows)
            }
            Ok(rows) => {
                self.row_count += rows.len() as u64;
                Ok(rows)
            }
            Err(source) => {
                let summary = self.summary_now(None);
                self.ended = Some(summary);
                Err(self.entry.fail(source, Some(summary)))
            }
        }
    }

    /// How it ended; `None` while rows are coming.
    pub fn summary(&self) -> Option<Summary> {
        self.ended
    }

    fn summary_now(&self, cut_off: Option<CutOff>) -> Summary {
        let execution_time_ms = self.started.elapsed().as_secs_f64() * 1000.0;
        Summary { row_count: self.row_count, cut_off, execution_time_ms }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let summary = self.summary_now(None);
            self.entry.end(QueryOutcome::Cancelled, Some(summary), None);
        }
    }
}

/// A history entry in the making.
///
/// One that is dropped before its end stands in the history as cancelled: the caller hung up while the schema was read,
/// the question was understood or the database computed.
pub(crate) struct Entry {
    pub(crate) history: Arc<History>,
    pub(crate) record: QueryRecord,
    pub(crate) credential: Credential,
    pub(crate) origin: Arc<Origin>,
    pub(crate) ended: bool,
    pub(crate) told: Option<Told>,
    /// The link through which somebody looks at what comes of it.
    pub(crate) narrowing: Option<Arc<Narrowing>>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.ended {
            self.end(QueryOutcome::Cancelled, None, None);
        }
    }
}

impl Entry {
    /// Lets somebody know of what comes of it.
    pub(crate) fn tell_to(&mut self, told: Option<Told>) {
        if let Some(told) = &told {
            told.begin(self.record.id);
        }
        self.told = told;
    }

    /// Tells whoever wants to know of the statement, before it runs.
    pub(crate) fn tell(&self) {
        if let Some(told) = &self.told {
            told.tell(&self.record);
        }
    }

    pub(crate) fn end(
        &mut self,
        outcome: QueryOutcome,
        summary: Option<Summary>,
        error: Option<RecordedError>,
    ) {
        self.ended = true;
        self.record.outcome = outcome;
        self.record.error = error;
        if let Some(summary) = summary {
            self.record.row_count = Some(summary.row_count);
            self.record.truncated = summary.cut_off.is_some();
            self.record.execution_time_ms = Some(summary.execution_time_ms);
        }
        self.history.record(HistoryEntry {
            record: self.record.clone(),
            credential: self.credential,
            origin: self.origin.clone(),
        });
    }

    fn fail(&mut self, source: RunError, summary: Option<Summary>) -> QueryError {
        let sql = self.record.sql.clone().unwrap_or_default();
        let err = QueryError::Run { sql, source };
        self.end_with(&err, summary);
        err
    }

    pub(crate) fn end_with(&mut self, err: &QueryError, summary: Option<Summary>) {
        let recorded = RecordedError { message: err.to_string(), details: err.details() };
        self.end(err.outcome(), summary, Some(recorded));
    }
}
