use plinth_connections::ConnectionError;
use plinth_core::{AttributeType, Classify, ErrorKind, InvalidCursor, StoreError};
use plinth_models::ModelsError;
use plinth_schema_introspect::SchemaError;
use plinth_sql_guard::Rejection;
use plinth_tenancy::TenancyError;
use serde_json::{Value, json};

use crate::{
    ConversationId, EntryId, InvalidEntry, QueryId, QueryOutcome, QueryRunId, RunError, RunState,
};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Neither or both of `question` and `sql`, or one that is empty or too long.
    #[error("{0}")]
    Input(&'static str),
    /// A field of what somebody sends, or a value of a parameter, breaks a rule.
    #[error("{field}: {rule}")]
    Field {
        /// Which, as `sql` or `parameters.country`.
        field: String,
        /// What is wrong.
        rule: String,
    },
    /// The database does not take a value that is bound for what stands at its place.
    #[error("the database does not take the value of ${}: {rule}", .place + 1)]
    Value {
        /// Where it stands, from 0.
        place: usize,
        /// What the database says of it.
        rule: String,
    },
    /// Only its owner may do that to a saved query.
    #[error("only the owner of {0} decides for whom it is there")]
    NotOwner(QueryId),
    /// A saved query is not what the caller read.
    #[error("{0} has changed since you read it; read it again")]
    Changed(QueryId),
    /// No such version of a saved query.
    #[error("{query} has no version {number}")]
    NoVersion {
        /// The query.
        query: QueryId,
        /// The version.
        number: u32,
    },
    /// No such parameter of a saved query.
    #[error("{query} has no parameter `{name}`")]
    NoParameter {
        /// The query.
        query: QueryId,
        /// The name.
        name: String,
    },
    /// A limit outside its range.
    #[error("{field} must be from 1 to {most}")]
    Limit {
        /// The field of the request.
        field: &'static str,
        /// The largest value.
        most: u64,
    },
    /// A viewer runs saved queries only.
    #[error(
        "your role runs saved queries only; ask somebody with the editor role to save this one"
    )]
    SavedOnly,
    /// No such connection, or it cannot be reached.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The schema could not be read.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The model that was wanted cannot be used.
    #[error(transparent)]
    Model(#[from] ModelsError),
    /// The guard refuses the statement.
    #[error(transparent)]
    Rejected(Box<Rejection>),
    /// The plan reads a table that the connection does not allow.
    #[error("this reads `{table}`, which this connection does not allow")]
    TableNotAllowed {
        /// What stood in the plan.
        table: String,
    },
    /// A policy needs an attribute that the caller does not have.
    #[error("{}", missing_attribute(name, *needed, *held, tables))]
    Attribute {
        /// Its name.
        name: String,
        /// The type that it must have.
        needed: AttributeType,
        /// The type that the caller's has; `None` if there is none of that name.
        held: Option<AttributeType>,
        /// The tables that are read under policies.
        tables: Vec<String>,
    },
    /// A link carries an attribute that does not reach the statement: it would show more than when the link was made.
    #[error("an attribute that the link carries does not reach this query")]
    Unreached,
    /// The planner expects more than the organization allows.
    #[error("{message}")]
    TooCostly {
        /// What to tell the person.
        message: String,
        /// The limits that it exceeds and, where it may be told, the estimate.
        estimate: Value,
    },
    /// The engine did not understand the question.
    #[error("{message}")]
    NotUnderstood {
        /// What to tell the person.
        message: String,
        /// Which words it could not place.
        words: Vec<String>,
        /// Up to three questions that it can answer.
        rephrasings: Vec<String>,
        /// In which conversation it was asked.
        conversation: Option<ConversationId>,
    },
    /// The question speaks of what is there, but not for the caller.
    #[error("{message}")]
    NotPermitted {
        /// What to tell the person.
        message: String,
        /// The caller's own words for it.
        words: Vec<String>,
        /// In which conversation it was asked.
        conversation: Option<ConversationId>,
    },
    /// The question can be read in several ways.
    #[error("{question}")]
    Ambiguous {
        /// What to ask the person.
        question: String,
        /// The readings.
        options: Vec<Value>,
        /// Which words had no part in them.
        words: Vec<String>,
        /// Up to three questions that can be answered.
        rephrasings: Vec<String>,
        /// In which conversation it was asked.
        conversation: Option<ConversationId>,
    },
    /// No such conversation of the caller's.
    #[error("there is no conversation {0}")]
    NoConversation(ConversationId),
    /// A conversation over another database.
    #[error("that conversation is about another connection; start a new one")]
    OtherConnection,
    /// The statement did not run to its end.
    #[error("{source}")]
    Run {
        /// The statement.
        sql: String,
        /// Why.
        source: RunError,
    },
    /// What somebody sent breaks a rule of the organization's language.
    #[error(transparent)]
    Entry(#[from] InvalidEntry),
    /// It does not fit the schema.
    #[error("this cannot be used over the database as it is: {why}")]
    Unusable {
        /// Why.
        why: String,
    },
    /// The connection's language has that name.
    #[error("this connection's language has `{0}` already")]
    NameTaken(String),
    /// The connection's language is full.
    #[error("a connection has at most 500 entries of a kind; remove some")]
    TooManyEntries,
    /// No such entry of this organization's language.
    #[error("there is no entry {0}")]
    NoEntry(EntryId),
    /// It is not what the caller read.
    #[error("{0} has changed since you read it; read it again")]
    EntryChanged(EntryId),
    /// No such query in this organization.
    #[error("there is no query {0}")]
    NotFound(QueryId),
    /// The organization has as many runs that nobody waits for as it may.
    #[error("{0} runs of your organization have not ended; wait for some, or cancel them")]
    TooManyRuns(i64),
    /// No such run of the caller's, or it has expired.
    #[error("there is no run {0}, or it is kept no more")]
    NoRun(QueryRunId),
    /// A run that has no rows to show.
    #[error("{run} is {}; rows are there once it has succeeded", .state.as_str())]
    NoResults {
        /// The run.
        run: QueryRunId,
        /// How far it is.
        state: RunState,
    },
    /// A cursor that this list did not give.
    #[error(transparent)]
    Cursor(#[from] InvalidCursor),
    /// The caller's organization could not be read.
    #[error(transparent)]
    Tenancy(#[from] TenancyError),
    /// Our own storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn missing_attribute(
    name: &str,
    needed: AttributeType,
    held: Option<AttributeType>,
    tables: &[String],
) -> String {
    let what = match held {
        None => format!("your attribute `{name}` is not set"),
        Some(held) => format!("your attribute `{name}` is of type {held} and has to be {needed}"),
    };
    format!(
        "a policy decides by it what you see of {}, and {what}; ask whoever manages members",
        tables.join(", ")
    )
}

impl From<Rejection> for QueryError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(Box::new(rejection))
    }
}

impl QueryError {
    /// The same, for whoever is asked back in a conversation.
    #[must_use]
    pub(crate) fn told_in(mut self, id: Option<ConversationId>) -> Self {
        if let Self::NotUnderstood { conversation, .. }
        | Self::Ambiguous { conversation, .. }
        | Self::NotPermitted { conversation, .. } = &mut self
        {
            *conversation = id;
        }
        self
    }

    /// How the history calls this end.
    pub fn outcome(&self) -> QueryOutcome {
        match self {
            Self::NotUnderstood { .. } => QueryOutcome::NotAnswerable,
            Self::Ambiguous { .. } => QueryOutcome::NeedsClarification,
            Self::TableNotAllowed { .. }
            | Self::SavedOnly
            | Self::NotOwner(_)
            | Self::NotPermitted { .. }
            | Self::Attribute { .. }
            | Self::Unreached => QueryOutcome::NotPermitted,
            Self::TooCostly { .. } => QueryOutcome::Rejected,
            Self::Rejected(err) if err.kind() == ErrorKind::Forbidden => QueryOutcome::NotPermitted,
            Self::Rejected(_) => QueryOutcome::Rejected,
            Self::Run { source: RunError::TimedOut(_), .. } => QueryOutcome::TimedOut,
            Self::Run { source: RunError::Cancelled, .. } => QueryOutcome::Cancelled,
            Self::Run { .. }
            | Self::Input(_)
            | Self::Field { .. }
            | Self::Value { .. }
            | Self::Changed(_)
            | Self::NoVersion { .. }
            | Self::NoParameter { .. }
            | Self::Limit { .. }
            | Self::Connection(_)
            | Self::Schema(_)
            | Self::Model(_)
            | Self::NotFound(_)
            | Self::NoConversation(_)
            | Self::TooManyRuns(_)
            | Self::NoRun(_)
            | Self::NoResults { .. }
            | Self::Entry(_)
            | Self::Unusable { .. }
            | Self::NameTaken(_)
            | Self::TooManyEntries
            | Self::NoEntry(_)
            | Self::EntryChanged(_)
            | Self::OtherConnection
            | Self::Cursor(_)
            | Self::Tenancy(_)
            | Self::Store(_) => QueryOutcome::Failed,
        }
    }
}

/// Whether the same statement may succeed later without a change: SQLSTATE classes and codes for lost connections,
/// conflicts with others and exhausted resources (PostgreSQL documentation, appendix A).
fn is_retryable(sqlstate: &str) -> bool {
    matches!(sqlstate.get(..2), Some("08" | "40" | "53" | "57" | "58")) || sqlstate == "55P03"
}

impl Classify for RunError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Connection(_) => ErrorKind::Connection,
            Self::Database(_) | Self::RowTooLarge { .. } => ErrorKind::Query,
            Self::TimedOut(_) => ErrorKind::QueryTimeout,
            Self::Cancelled => ErrorKind::QueryCancelled,
            Self::Busy => ErrorKind::Unavailable,
        }
    }

    fn details(&self) -> Option<Value> {
        Some(match self {
            Self::Connection(diagnosis) => json!({ "diagnosis": diagnosis }),
            Self::Database(message) => {
                let mut details = json!(message);
                details["retryable"] = is_retryable(&message.sqlstate).into();
                details
            }
            Self::TimedOut(limit) => {
                json!({ "limit_ms": u64::try_from(limit.as_millis()).unwrap_or(u64::MAX), "retryable": false })
            }
            Self::RowTooLarge { limit_bytes } => {
                json!({ "reason": "row_too_large", "limit_bytes": limit_bytes, "retryable": false })
            }
            Self::Cancelled | Self::Busy => json!({ "retryable": true }),
        })
    }
}

impl Classify for QueryError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Input(_)
            | Self::Field { .. }
            | Self::Value { .. }
            | Self::Limit { .. }
            | Self::NotUnderstood { .. }
            | Self::OtherConnection
            | Self::TooCostly { .. }
            | Self::Ambiguous { .. } => ErrorKind::Invalid,
            Self::SavedOnly
            | Self::NotOwner(_)
            | Self::TableNotAllowed { .. }
            | Self::NotPermitted { .. }
            | Self::Attribute { .. }
            | Self::Unreached => ErrorKind::Forbidden,
            Self::Connection(err) => err.kind(),
            Self::Schema(err) => err.kind(),
            Self::Model(err) => err.kind(),
            Self::Rejected(err) => err.kind(),
            Self::Run { source, .. } => source.kind(),
            Self::NotFound(_)
            | Self::NoVersion { .. }
            | Self::NoParameter { .. }
            | Self::NoConversation(_)
            | Self::NoRun(_)
            | Self::NoEntry(_) => ErrorKind::NotFound,
            Self::TooManyRuns(_) => ErrorKind::RateLimited,
            Self::NoResults { .. } => ErrorKind::Conflict,
            Self::Entry(err) => err.kind(),
            Self::Unusable { .. } => ErrorKind::Invalid,
            Self::NameTaken(_) | Self::TooManyEntries => ErrorKind::Conflict,
            Self::EntryChanged(_) | Self::Changed(_) => ErrorKind::PreconditionFailed,
            Self::Cursor(err) => err.kind(),
            Self::Tenancy(err) => err.kind(),
            Self::Store(err) => err.kind(),
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::Input(rule) => Some(json!({ "question": rule, "sql": rule })),
            Self::Field { field, rule } => Some(json!({ field.as_str(): rule })),
            Self::Value { rule, .. } => Some(json!({ "parameters": rule })),
            Self::NotOwner(_) => Some(json!({ "reason": "owner_only" })),
            Self::Limit { field, .. } => Some(json!({ *field: self.to_string() })),
            Self::SavedOnly => Some(json!({ "reason": "saved_queries_only" })),
            Self::Connection(err) => err.details(),
            Self::Schema(err) => err.details(),
            Self::Model(err) => err.details(),
            Self::Rejected(err) => err.details(),
            Self::TableNotAllowed { table } => {
                Some(json!({ "reason": "table_not_allowed", "table": table }))
            }
            Self::Attribute { name, needed, tables, .. } => Some(json!({
                "reason": "attribute_missing",
                "attribute": name,
                "type": needed.to_string(),
                "tables": tables,
            })),
            Self::TooCostly { estimate, .. } => Some(estimate.clone()),
            Self::NotUnderstood { words, rephrasings, conversation, .. } => Some(json!({
                "reason": "not_answerable",
                "outcome": QueryOutcome::NotAnswerable,
                "not_understood": words,
                "rephrasings": rephrasings,
                "conversation_id": conversation,
            })),
            Self::NotPermitted { words, conversation, .. } => Some(json!({
                "reason": "not_permitted",
                "outcome": QueryOutcome::NotPermitted,
                "words": words,
                "conversation_id": conversation,
            })),
            Self::OtherConnection => {
                Some(json!({ "conversation_id": self.to_string(), "reason": "other_connection" }))
            }
            Self::Ambiguous { options, words, rephrasings, conversation, .. } => Some(json!({
                "reason": "needs_clarification",
                "outcome": QueryOutcome::NeedsClarification,
                "options": options,
                "not_understood": words,
                "rephrasings": rephrasings,
                "conversation_id": conversation,
            })),
            Self::Run { sql, source } => {
                let mut details = source.details().unwrap_or_else(|| json!({}));
                details["sql"] = sql.as_str().into();
                Some(details)
            }
            Self::Cursor(err) => err.details(),
            Self::Tenancy(err) => err.details(),
            Self::Entry(err) => err.details(),
            Self::Unusable { why } => Some(json!({ "reason": "unusable", "why": why })),
            Self::TooManyRuns(most) => Some(json!({ "reason": "too_many_runs", "most": most })),
            Self::NoResults { state, .. } => {
                Some(json!({ "reason": "no_results", "state": state.as_str() }))
            }
            Self::NameTaken(_) => Some(json!({ "reason": "name_taken" })),
            Self::TooManyEntries => Some(json!({ "reason": "too_many" })),
            Self::NotFound(_)
            | Self::NoVersion { .. }
            | Self::NoParameter { .. }
            | Self::Changed(_)
            | Self::NoConversation(_)
            | Self::NoRun(_)
            | Self::NoEntry(_)
            | Self::EntryChanged(_)
            | Self::Unreached
            | Self::Store(_) => None,
        }
    }
}
