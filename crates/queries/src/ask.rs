//! What somebody sends, what comes back, and how far it may go.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use plinth_connections::ConnectionId;
use plinth_models::ModelRef;

use crate::{ConversationId, Explained, Notes, QueryError, QueryId, QueryRecord, Running};

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
    /// How far it may go.
    pub limits: CallerLimits,
    /// Whether rows are wanted, or only what would be run.
    pub purpose: Purpose,
    /// Which language model reads a question; `None` for the organization's default.
    pub model: Option<ModelRef>,
    /// Whom to tell of the statement before it runs; `None` for nobody.
    pub told: Option<Told>,
}

/// Somebody who is told of a statement that is about to run, as its entry in the history stands then.
#[derive(Clone)]
pub struct Told {
    tell: Arc<dyn Fn(&QueryRecord) + Send + Sync>,
    entry: Arc<OnceLock<QueryId>>,
}

impl Told {
    /// Tells by that.
    pub fn new(tell: impl Fn(&QueryRecord) + Send + Sync + 'static) -> Self {
        Self { tell: Arc::new(tell), entry: Arc::default() }
    }

    /// The entry in the history, however it ends and whether or not there was a statement to tell of; `None` as long as there is
    /// none.
    pub fn entry(&self) -> Option<QueryId> {
        self.entry.get().copied()
    }

    /// Says which entry there is. It is one for each time that somebody asks or runs.
    pub(crate) fn begin(&self, entry: QueryId) {
        self.entry.get_or_init(|| entry);
    }

    pub(crate) fn tell(&self, record: &QueryRecord) {
        (self.tell)(record);
    }
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Told")
    }
}

/// How far a caller wants a run to go.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallerLimits {
    /// Rows wanted at most; `None` for the usual number.
    pub row_limit: Option<u64>,
    /// Bytes of rows wanted at most, as the database sends them; `None` for as many as the operator allows.
    pub byte_limit: Option<u64>,
    /// How long it may run, in milliseconds; `None` for the usual time.
    pub timeout_ms: Option<u64>,
    /// As in [`RunLimits::in_background`](crate::RunLimits::in_background).
    pub in_background: bool,
    /// As in [`RunLimits::reader_time`](crate::RunLimits::reader_time).
    pub reader_time: Duration,
}

/// What a call is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Rows.
    #[default]
    Run,
    /// The statement, and what the planner says of it: it is made, guarded and planned, and not run.
    Explain,
}

/// A statement to be run in somebody's name, for services that hold a permit of their own.
#[derive(Clone, Debug)]
pub struct StatementRun {
    /// Over which database.
    pub connection: ConnectionId,
    /// One read-only statement, with `$1`, `$2`, … where parameters stand.
    pub sql: String,
    /// The parameters' values in Postgres's text format, `None` for null.
    pub parameters: Vec<Option<String>>,
    /// What it came from, for the history; `None` if somebody wrote the statement.
    pub question: Option<String>,
    /// What was said of it when it was made.
    pub notes: Notes,
    /// How far it may go.
    pub limits: CallerLimits,
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
    /// What would run, for [`Purpose::Explain`].
    Planned(Box<Explained>),
    /// The question was about the schema itself.
    Meta(Box<QueryRecord>),
}

/// What is wrong with what somebody sends.
///
/// # Errors
///
/// [`QueryError::Input`] for a question that is empty or too long.
pub(crate) fn check(input: &Input) -> Result<(), QueryError> {
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
