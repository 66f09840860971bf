//! Bodies of the organization's language.

use jiff::Timestamp;
use plinth_queries::{Entry, EntryBody, EntryStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use crate::http::envelope::{envelope, page_envelope};

/// What people call something. Say one thing of the table: nothing more, a column, a column and a value, a predicate, or an
/// expression.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub(super) struct PutTerm {
    /// One word of the connection's language, with or without the table's own.
    #[schema(example = "active customer", min_length = 1, max_length = 60)]
    name: String,
    /// What else it is called.
    #[serde(default)]
    #[schema(max_items = 20)]
    synonyms: Vec<String>,
    /// Of which table it speaks, as `schema.table`.
    #[schema(example = "public.customers", max_length = 200)]
    table: String,
    /// The column that it means, or of which it means a value.
    #[schema(max_length = 200)]
    column: Option<String>,
    /// The value that it means, as it is stored.
    #[schema(max_length = 200)]
    value: Option<String>,
    /// What holds of the rows that it means: SQL over the table's columns.
    #[schema(example = "created_at > now() - interval '90 days'", max_length = 20000)]
    predicate: Option<String>,
    /// The number of each row that it means: SQL over the table's columns.
    #[schema(max_length = 20000)]
    expression: Option<String>,
    /// For people.
    #[schema(max_length = 2000)]
    description: Option<String>,
}

impl PutTerm {
    pub(super) fn read(self) -> (String, EntryBody) {
        let Self { name, synonyms, table, column, value, predicate, expression, description } =
            self;
        let body =
            EntryBody::Term { synonyms, table, column, value, predicate, expression, description };
        (name, body)
    }
}

/// What people measure.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub(super) struct PutMetric {
    #[schema(example = "net revenue", min_length = 1, max_length = 60)]
    name: String,
    /// What else it is called.
    #[serde(default)]
    #[schema(max_items = 20)]
    synonyms: Vec<String>,
    /// Over the rows of which table, as `schema.table`.
    #[schema(example = "public.orders", max_length = 200)]
    table: String,
    /// An aggregate over the table's columns.
    #[schema(example = "sum(total_amount)", max_length = 20000)]
    expression: String,
    /// Which rows count: SQL over the table's columns.
    #[schema(example = "status <> 'cancelled'", max_length = 20000)]
    filter: Option<String>,
    /// When a row counts: one of the table's columns, or SQL over them.
    #[schema(example = "ordered_at", max_length = 20000)]
    time_column: Option<String>,
    /// For people.
    #[schema(max_length = 2000)]
    description: Option<String>,
}

impl PutMetric {
    pub(super) fn read(self) -> (String, EntryBody) {
        let Self { name, synonyms, table, expression, filter, time_column, description } = self;
        let time = time_column;
        (name, EntryBody::Metric { synonyms, table, expression, filter, time, description })
    }
}

/// A question and its SQL.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub(super) struct PutExample {
    #[schema(example = "Who are our 5 best customers?", min_length = 1, max_length = 2000)]
    question: String,
    /// One read-only statement.
    #[schema(
        example = "SELECT customer_id FROM orders GROUP BY customer_id ORDER BY sum(total_amount) DESC LIMIT 5",
        max_length = 20000
    )]
    sql: String,
    /// For people.
    #[schema(max_length = 2000)]
    comment: Option<String>,
}

impl PutExample {
    pub(super) fn read(self) -> (String, EntryBody) {
        let Self { question, sql, comment } = self;
        (question, EntryBody::Example { sql, comment, query: None })
    }
}

/// Whether an entry counts.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = EntryStatus)]
pub(super) enum StatusBody {
    /// It changes answers.
    Active,
    /// Somebody has to accept it first.
    Candidate,
}

impl From<EntryStatus> for StatusBody {
    fn from(it: EntryStatus) -> Self {
        match it {
            EntryStatus::Active => Self::Active,
            EntryStatus::Candidate => Self::Candidate,
        }
    }
}

impl From<StatusBody> for EntryStatus {
    fn from(it: StatusBody) -> Self {
        match it {
            StatusBody::Active => Self::Active,
            StatusBody::Candidate => Self::Candidate,
        }
    }
}

/// What every entry has.
#[derive(Debug, Serialize, ToSchema)]
struct EntryHead {
    connection_id: String,
    /// Why it does not fit the schema any more; such an entry is not used.
    #[schema(required = true)]
    broken: Option<String>,
    /// Grows with each change; in quotes it is the `ETag`.
    version: i64,
    created_by: Uuid,
    created_at: Timestamp,
    updated_by: Uuid,
    updated_at: Timestamp,
}

impl From<&Entry> for EntryHead {
    fn from(it: &Entry) -> Self {
        Self {
            connection_id: it.connection.to_string(),
            broken: it.broken.clone(),
            version: it.version,
            created_by: it.created_by.as_uuid(),
            created_at: it.created_at,
            updated_by: it.updated_by.as_uuid(),
            updated_at: it.updated_at,
        }
    }
}

/// A term.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Term)]
pub(super) struct TermBody {
    #[schema(example = "term_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: String,
    #[schema(example = "active customer")]
    name: String,
    synonyms: Vec<String>,
    #[schema(example = "public.customers")]
    table: String,
    column: Option<String>,
    value: Option<String>,
    predicate: Option<String>,
    expression: Option<String>,
    description: Option<String>,
    #[serde(flatten)]
    head: EntryHead,
}

impl From<Entry> for TermBody {
    fn from(it: Entry) -> Self {
        let head = EntryHead::from(&it);
        let (id, name) = (it.id.to_string(), it.name);
        let EntryBody::Term { synonyms, table, column, value, predicate, expression, description } =
            it.body
        else {
            unreachable!("an entry of a term's id is a term")
        };
        Self { id, name, synonyms, table, column, value, predicate, expression, description, head }
    }
}

/// A metric.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Metric)]
pub(super) struct MetricBody {
    #[schema(example = "metric_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: String,
    #[schema(example = "net revenue")]
    name: String,
    synonyms: Vec<String>,
    #[schema(example = "public.orders")]
    table: String,
    #[schema(example = "sum(total_amount)")]
    expression: String,
    filter: Option<String>,
    time_column: Option<String>,
    description: Option<String>,
    #[serde(flatten)]
    head: EntryHead,
}

impl From<Entry> for MetricBody {
    fn from(it: Entry) -> Self {
        let head = EntryHead::from(&it);
        let (id, name) = (it.id.to_string(), it.name);
        let EntryBody::Metric { synonyms, table, expression, filter, time, description } = it.body
        else {
            unreachable!("an entry of a metric's id is a metric")
        };
        let time_column = time;
        Self { id, name, synonyms, table, expression, filter, time_column, description, head }
    }
}

/// A question with checked SQL.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Example)]
pub(super) struct ExampleBody {
    #[schema(example = "ex_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: String,
    #[schema(example = "Who are our 5 best customers?")]
    question: String,
    sql: String,
    status: StatusBody,
    comment: Option<String>,
    /// The query that it came of.
    query_id: Option<String>,
    #[serde(flatten)]
    head: EntryHead,
}

impl From<Entry> for ExampleBody {
    fn from(it: Entry) -> Self {
        let head = EntryHead::from(&it);
        let (id, question, status) = (it.id.to_string(), it.name, it.status.into());
        let EntryBody::Example { sql, comment, query } = it.body else {
            unreachable!("an entry of an example's id is an example")
        };
        Self { id, question, sql, status, comment, query_id: query, head }
    }
}

envelope! {
    /// A term.
    TermEnvelope(TermBody)
}
envelope! {
    /// A metric.
    MetricEnvelope(MetricBody)
}
envelope! {
    /// An example.
    ExampleEnvelope(ExampleBody)
}
page_envelope! {
    /// A page of terms, by name.
    TermPage(TermBody)
}
page_envelope! {
    /// A page of metrics, by name.
    MetricPage(MetricBody)
}
page_envelope! {
    /// A page of examples, by question.
    ExamplePage(ExampleBody)
}
