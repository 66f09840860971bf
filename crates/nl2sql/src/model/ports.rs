//! What the model strategy needs from outside: a model, and a database that plans.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Us: the rules of the conversation.
    System,
    /// The person who asks, and the data that goes with the question.
    User,
    /// The model itself, earlier in the conversation.
    Assistant,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A message of that role.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

/// What a model is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelRequest {
    /// The conversation so far, the system's message first.
    pub messages: Vec<Message>,
    /// How freely it may choose its words, from 0 (always the likeliest one) to 1. Models that take no temperature
    /// ignore it.
    pub temperature: f32,
    /// The longest answer, in tokens.
    pub max_tokens: u32,
    /// Whether the answer has to be one JSON object. A wish: not every server can hold a model to it.
    pub json: bool,
}

/// How much of a model was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Calls that were answered.
    pub calls: u32,
    /// Tokens read, as the server says; estimated where it does not.
    pub prompt_tokens: u64,
    /// Tokens written, thoughts included; likewise.
    pub completion_tokens: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.prompt_tokens = self.prompt_tokens.saturating_add(other.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(other.completion_tokens);
    }
}

/// Adds up what is used, whatever becomes of the calls: failed, tried again or dropped in the middle, a provider counts
/// them all the same.
#[derive(Debug, Default)]
pub struct Meter(Mutex<Usage>);

impl Meter {
    /// Adds what was used.
    pub fn add(&self, usage: Usage) {
        *self.0.lock().expect("not poisoned") += usage;
    }

    /// All that was added.
    pub fn total(&self) -> Usage {
        *self.0.lock().expect("not poisoned")
    }
}

/// Why a model gave no answer. None of the texts holds a key, a prompt or an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Nobody answers at the model's address, the connection broke, or the server says that it is down.
    #[error("the language model cannot be reached: {0}")]
    Unreachable(String),
    /// The key is missing, wrong, or may not use this model.
    #[error("the language model's server does not accept the key")]
    Unauthorized,
    /// Too many requests, or nothing left to spend.
    #[error("the language model's server asks to wait")]
    RateLimited {
        /// For how long, if it says so.
        retry_after: Option<Duration>,
    },
    /// It took longer than it may.
    #[error("the language model did not answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The server or the model withheld an answer.
    #[error("the language model refused to answer")]
    Refused,
    /// The answer holds nothing.
    #[error("the language model answered with nothing")]
    Empty,
    /// What came is not what the protocol says.
    #[error("the language model's server answered unexpectedly: {0}")]
    Protocol(String),
    /// The conversation, or the answer, is longer than the model or a limit of ours takes.
    #[error("the question with its schema, or the answer, is too long for the language model")]
    TooLong,
}

/// Something that continues a conversation.
#[async_trait]
pub trait LanguageModel: Send + Sync + 'static {
    /// What answers and histories call it.
    fn name(&self) -> &str;

    /// The next message, never empty. What it takes goes to the meter, also when nothing comes of it. Dropping the future
    /// cancels the call.
    ///
    /// # Errors
    ///
    /// [`ModelError`], after whatever the implementation does to try again.
    async fn complete(&self, request: &ModelRequest, meter: &Meter) -> Result<String, ModelError>;
}

/// Why a statement has no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DryRunError {
    /// The database says what is wrong with the statement.
    #[error("the database could not plan the statement: {message}")]
    Database {
        /// Five characters, like `42703`.
        sqlstate: String,
        /// The primary message.
        message: String,
        /// What to do.
        hint: Option<String>,
        /// Where in the statement, in characters from 1.
        position: Option<u32>,
    },
    /// The database could not be asked.
    #[error("the database could not be asked for a plan: {0}")]
    Unavailable(String),
}

/// The database that a question is about, as far as planning goes.
#[async_trait]
pub trait DryRun: Send + Sync {
    /// Has the statement planned and not run. Gets only statements that the guard let through.
    ///
    /// # Errors
    ///
    /// [`DryRunError`].
    async fn plan(&self, sql: &str) -> Result<(), DryRunError>;

    /// Has a statement that was planned run for a moment and for a few rows, as whoever asks could run it; `None` where
    /// that would not be cheap, or did not come to its end in time.
    ///
    /// # Errors
    ///
    /// [`DryRunError`].
    async fn try_run(&self, sql: &str) -> Result<Option<Tried>, DryRunError>;
}

/// What a cheap run of a statement found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// The first rows, each value as text.
    pub rows: Vec<Vec<Option<String>>>,
    /// Whether these are all.
    pub is_complete: bool,
}
