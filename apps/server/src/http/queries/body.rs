use jiff::Timestamp;
use plinth_connections::ConnectionId;
use plinth_queries::{ConversationId, Explained, Notes, QueryOutcome, QueryRecord, Used};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use validator::Validate;

use super::saved_body::{ParameterBody, RunOfBody, VisibilityBody};
use crate::http::Problem;
use crate::http::envelope::{envelope, page_envelope};
use crate::http::input::read_object;

/// A question or a statement.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateQuery {
    /// In plain language; either this or `sql`.
    #[schema(example = "How many orders were placed last week?", max_length = 2000)]
    #[validate(length(max = 8000, message = "a question has at most 2000 characters"))]
    pub(super) question: Option<String>,
    /// One read-only statement of your own.
    #[schema(max_length = 65536)]
    pub(super) sql: Option<String>,
    /// Over which connection.
    #[schema(value_type = String, example = "conn_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    pub(super) connection_id: ConnectionId,
    /// In which conversation, to go on from its last answer: what an earlier answer gave. Without it a question begins one.
    #[schema(value_type = Option<String>, example = "conv_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    pub(super) conversation_id: Option<ConversationId>,
    /// What the answer carries beside the rows.
    #[serde(default)]
    pub(super) format: Format,
    /// Rows wanted at most; 10,000 unless the operator set another number. An answer that is cut off says `truncated`.
    #[schema(minimum = 1)]
    pub(super) row_limit: Option<u64>,
    /// Bytes of rows wanted at most, as the database sends them. An answer that is cut off says `truncated`.
    #[schema(minimum = 1)]
    pub(super) byte_limit: Option<u64>,
    /// How long the statement may run, in milliseconds.
    #[schema(minimum = 1)]
    pub(super) timeout_ms: Option<u64>,
    /// Which language model reads the question: `embedded` for none, `installation`, or the id of one of the
    /// organization's own. Without it, the organization's default.
    #[schema(example = "embedded")]
    pub(super) model: Option<String>,
    /// Make the statement, guard and plan it, and run nothing: the answer has `sql` and `plan`, and no rows.
    #[serde(default)]
    pub(super) dry_run: bool,
    /// The same, and how the plan is wanted.
    pub(super) explain: Option<Explain>,
}

/// How a plan is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Explain {
    /// In words.
    Words,
    /// In words, and as the server prints it.
    Json,
}

/// How to run a query again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RunQuery {
    /// Values of its parameters by name; what is left out has its default.
    #[schema(value_type = Object)]
    pub(super) parameters: Map<String, Value>,
    /// How old an answer may be, in seconds: one that was given before to the same is given again, with `cached_at`. 0 runs it
    /// now, for whoever asks next too. Without it, the saved query's `max_age_seconds` counts.
    #[schema(maximum = 86400, example = 0)]
    pub(super) max_age: Option<u32>,
    /// What the answer carries beside the rows.
    pub(super) format: Format,
    /// As when asking.
    #[schema(minimum = 1)]
    pub(super) row_limit: Option<u64>,
    /// As when asking.
    #[schema(minimum = 1)]
    pub(super) byte_limit: Option<u64>,
    /// As when asking.
    #[schema(minimum = 1)]
    pub(super) timeout_ms: Option<u64>,
}

impl RunQuery {
    /// Reads a body that may be missing.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        let text = std::str::from_utf8(body).map_err(|err| {
            let text = format!("the body is not UTF-8: {err}");
            Problem::invalid(text.clone(), json!({ "body": text }))
        })?;
        match text.trim_ascii() {
            // `null` says the same as nothing.
            "" | "null" => Ok(Self::default()),
            text => read_object(text),
        }
    }
}

/// What an answer carries beside the plain rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// Nothing more.
    #[default]
    Table,
    /// `results.records`: an object for each row.
    Json,
    /// `results.csv`: a text with a header line.
    Csv,
    /// `chart`: a Vega-Lite specification made from the result's types.
    Chart,
}

/// An answer.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its derive is used; the answer is streamed by answer.rs")]
#[schema(as = Answer)]
pub(super) struct AnswerBody {
    #[schema(example = "q_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    query_id: String,
    outcome: OutcomeBody,
    question: Option<String>,
    /// The statement that ran; null if the question was about the schema itself.
    #[schema(required = true, example = "SELECT count(*) FROM orders")]
    sql: Option<String>,
    /// Null if the question was about the schema itself.
    #[schema(required = true)]
    results: Option<ResultsBody>,
    /// The answer in words: to a question about the schema itself, and where nothing is found, with what it was narrowed
    /// down to.
    answer: Option<String>,
    /// What the statement does, in words.
    explanation: Option<String>,
    /// The tables that were read, as `schema.table`.
    tables: Vec<String>,
    /// What was taken for granted.
    assumptions: Vec<String>,
    /// How sure the engine is, 0 to 1; null for your own SQL.
    confidence: Option<f64>,
    /// Who wrote the statement: `embedded`, a model's name, or `sql` for your own.
    #[schema(example = "embedded")]
    engine: String,
    /// Send it with the next question to go on from this answer; null for SQL that was sent without one.
    #[schema(example = "conv_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    conversation_id: Option<String>,
    /// What was taken over from the answer before; empty for a question of its own.
    #[schema(example = json!(["only where customers.country is “Germany”"]))]
    taken_over: Vec<String>,
    /// What of the organization's own language the answer leans on.
    used: Vec<UsedBody>,
    /// What a language model had to do with it; null where none was wanted.
    #[schema(required = true)]
    model: Option<ModelNoteBody>,
    /// The tables of which policies hid something from you.
    restricted: Vec<String>,
    /// Of which saved query this is a run.
    #[schema(required = true)]
    run_of: Option<RunOfBody>,
    /// With which values of its parameters it ran, by name.
    #[schema(value_type = Object)]
    parameter_values: Map<String, Value>,
    /// When the rows were read, if they were kept from an earlier run; null if they were read now.
    #[schema(required = true)]
    cached_at: Option<Timestamp>,
    /// A Vega-Lite specification; with `format: "chart"`.
    #[schema(value_type = Option<Object>)]
    chart: Option<Value>,
    /// What the planner says; with `dry_run` or `explain`, and then nothing was run.
    plan: Option<PlanBody>,
    timings: TimingsBody,
    /// From sending the statement to its last row, in milliseconds.
    #[schema(required = true)]
    execution_time_ms: Option<f64>,
}

/// What a language model had to do with an answer.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its derive is used; the answer is streamed by answer.rs")]
#[schema(as = ModelNote)]
pub(super) struct ModelNoteBody {
    /// `installation` or the id of the organization's own; null where none was asked.
    #[schema(required = true)]
    model: Option<String>,
    /// What became of it: `answered`, `declined`, `unsure`, `failed`, `budget_exceeded` or `inactive`. In all but the first
    /// the embedded engine answered.
    outcome: String,
    /// Why it did not answer.
    #[schema(required = true)]
    reason: Option<String>,
    /// How its statement stands to the engine's own reading: `same`, `same_result`, `same_tables`, `different`, `none`.
    #[schema(required = true)]
    agreement: Option<String>,
    /// How many of its statements there were to choose from.
    #[schema(required = true)]
    candidates: Option<u8>,
    /// How often a statement went back to it to be repaired.
    #[schema(required = true)]
    repairs: Option<u8>,
    prompt_tokens: u64,
    completion_tokens: u64,
}

/// What the planner says of a statement that was not run.
#[derive(Serialize, ToSchema)]
#[schema(as = Plan)]
pub(super) struct PlanBody {
    /// What the database would do, in words, in the order in which rows pass through it.
    #[schema(example = json!(["Reads all of public.orders (about 12,000 rows)", "Groups and sums up (about 1 rows)"]))]
    steps: Vec<String>,
    /// In the planner's own unit: reading a page of a table is 1. Null where policies hide something of what is read.
    #[schema(required = true, example = 245.5)]
    total_cost: Option<f64>,
    /// How many rows the planner expects. Null where policies hide something of what is read.
    #[schema(required = true, example = 1.0)]
    estimated_rows: Option<f64>,
    /// The plan as the server prints it (`EXPLAIN (VERBOSE, FORMAT JSON)`); with `explain: "json"`, and where policies hide
    /// nothing of what is read.
    #[schema(value_type = Option<Value>)]
    json: Option<Value>,
}

impl PlanBody {
    pub(super) fn new(explained: &Explained, with_json: bool) -> Self {
        let json = explained.plan.as_deref().filter(|_| with_json);
        Self {
            steps: explained.steps.clone(),
            total_cost: explained.total_cost,
            estimated_rows: explained.estimated_rows,
            json: json.and_then(|it| serde_json::from_str(it).ok()),
        }
    }
}

/// Rows and what they are.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its derive is used; the answer is streamed by answer.rs")]
#[schema(as = Results)]
pub(super) struct ResultsBody {
    /// The columns' names.
    #[schema(example = json!(["count"]))]
    columns: Vec<String>,
    /// The columns' names and types.
    schema: Vec<ResultColumnBody>,
    /// Each row as a list of values in the order of the columns. Numbers that a double cannot hold exactly are strings.
    #[schema(value_type = Vec<Vec<Value>>, example = json!([[142]]))]
    rows: Vec<Vec<Value>>,
    /// Each row as an object; with `format: "json"`.
    #[schema(value_type = Option<Vec<Object>>)]
    records: Option<Vec<Value>>,
    /// The rows as CSV; with `format: "csv"`.
    csv: Option<String>,
    row_count: u64,
    /// Whether a limit cut the rows off.
    truncated: bool,
    /// Which limit did: `rows` or `bytes`.
    truncated_by: Option<String>,
    /// The limit on rows.
    row_limit: u64,
    /// Whether some text was not UTF-8 and stands here with replacement characters.
    text_replaced: bool,
}

/// A column of a result.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its derive is used; the answer is streamed by answer.rs")]
#[schema(as = ResultColumn)]
pub(super) struct ResultColumnBody {
    name: String,
    /// As Postgres calls it.
    #[serde(rename = "type")]
    #[schema(example = "bigint")]
    type_name: String,
}

/// Something of the organization's own language.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsedLanguage)]
pub(super) struct UsedBody {
    /// `term`, `metric` or `example`.
    #[schema(example = "metric")]
    kind: String,
    id: String,
    /// Its name, or the example's question.
    #[schema(example = "revenue")]
    name: String,
}

impl From<Used> for UsedBody {
    fn from(it: Used) -> Self {
        Self { kind: it.kind, id: it.id, name: it.name }
    }
}

/// Where the time went.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its derive is used; the answer is streamed by answer.rs")]
#[schema(as = Timings)]
pub(super) struct TimingsBody {
    /// The language engine's own time, in milliseconds; null for your own SQL.
    engine_ms: Option<f64>,
}

/// What became of a question or statement.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = QueryOutcome)]
pub(crate) enum OutcomeBody {
    /// Rows came back.
    Answered,
    /// The statement was made and planned, and not run, as the caller wanted.
    Planned,
    /// It was about the schema itself, and was answered in words.
    Meta,
    /// It can be read in several ways.
    NeedsClarification,
    /// It was not understood.
    NotAnswerable,
    /// It asks for what the connection or the role does not allow.
    NotPermitted,
    /// The statement is not one read-only SELECT of harmless parts.
    Rejected,
    /// The database could not run it, or could not be reached.
    Failed,
    /// It ran into its time limit.
    TimedOut,
    /// The caller hung up.
    Cancelled,
}

impl From<QueryOutcome> for OutcomeBody {
    fn from(it: QueryOutcome) -> Self {
        match it {
            QueryOutcome::Answered => Self::Answered,
            QueryOutcome::Planned => Self::Planned,
            QueryOutcome::Meta => Self::Meta,
            QueryOutcome::NeedsClarification => Self::NeedsClarification,
            QueryOutcome::NotAnswerable => Self::NotAnswerable,
            QueryOutcome::NotPermitted => Self::NotPermitted,
            QueryOutcome::Rejected => Self::Rejected,
            QueryOutcome::Failed => Self::Failed,
            QueryOutcome::TimedOut => Self::TimedOut,
            QueryOutcome::Cancelled => Self::Cancelled,
        }
    }
}

impl From<OutcomeBody> for QueryOutcome {
    fn from(it: OutcomeBody) -> Self {
        match it {
            OutcomeBody::Answered => Self::Answered,
            OutcomeBody::Planned => Self::Planned,
            OutcomeBody::Meta => Self::Meta,
            OutcomeBody::NeedsClarification => Self::NeedsClarification,
            OutcomeBody::NotAnswerable => Self::NotAnswerable,
            OutcomeBody::NotPermitted => Self::NotPermitted,
            OutcomeBody::Rejected => Self::Rejected,
            OutcomeBody::Failed => Self::Failed,
            OutcomeBody::TimedOut => Self::TimedOut,
            OutcomeBody::Cancelled => Self::Cancelled,
        }
    }
}

/// One entry of the history.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Query)]
pub(super) struct QueryBody {
    #[schema(example = "q_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    query_id: String,
    connection_id: String,
    /// Who asked.
    user_id: String,
    outcome: OutcomeBody,
    #[schema(required = true)]
    question: Option<String>,
    /// Null if no statement came of the question.
    #[schema(required = true)]
    sql: Option<String>,
    answer: Option<String>,
    explanation: Option<String>,
    tables: Vec<String>,
    assumptions: Vec<String>,
    confidence: Option<f64>,
    engine: String,
    /// In which conversation it was asked.
    conversation_id: Option<String>,
    /// What was taken over from the answer before.
    taken_over: Vec<String>,
    /// What of the organization's own language the answer leans on.
    used: Vec<UsedBody>,
    /// What went wrong.
    error: Option<QueryFailure>,
    row_count: Option<u64>,
    truncated: bool,
    execution_time_ms: Option<f64>,
    /// The tables of which policies hid something from whoever asked.
    restricted: Vec<String>,
    saved: bool,
    /// As what it is saved.
    #[schema(required = true, example = "Orders by country")]
    name: Option<String>,
    /// What it is for.
    #[schema(required = true)]
    description: Option<String>,
    /// What it is filed under.
    #[schema(example = json!(["sales"]))]
    tags: Vec<String>,
    /// Who saved it.
    #[schema(required = true)]
    owner_id: Option<String>,
    /// For whom it is there.
    visibility: VisibilityBody,
    /// What it is run with.
    parameters: Vec<ParameterBody>,
    /// How old an answer may be unless whoever runs it says otherwise, in seconds; null: it is run each time.
    #[schema(required = true)]
    max_age_seconds: Option<u32>,
    /// The newest version's number; 0 if nobody saved it.
    version: u32,
    /// When it was last changed, if it was saved.
    #[schema(required = true)]
    updated_at: Option<Timestamp>,
    /// Of which saved query it is a run.
    #[schema(required = true)]
    run_of: Option<RunOfBody>,
    /// With which values of its parameters it ran, by name.
    #[schema(value_type = Object)]
    parameter_values: Map<String, Value>,
    /// When the rows were read, if they were kept from an earlier run.
    #[schema(required = true)]
    cached_at: Option<Timestamp>,
    created_at: Timestamp,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QueryFailure {
    message: String,
    #[schema(value_type = Option<Object>)]
    details: Option<Value>,
}

impl From<QueryRecord> for QueryBody {
    fn from(it: QueryRecord) -> Self {
        let Notes {
            explanation,
            tables,
            assumptions,
            confidence,
            engine,
            answer,
            conversation,
            taken_over,
            used,
            restricted,
            parameters: parameter_values,
            cached_at,
            ..
        } = it.notes;
        let definition = it.definition;
        Self {
            query_id: it.id.to_string(),
            connection_id: it.connection.to_string(),
            user_id: it.user.to_string(),
            outcome: it.outcome.into(),
            question: it.question,
            sql: it.sql,
            answer,
            explanation,
            tables,
            assumptions,
            confidence,
            engine,
            conversation_id: conversation.map(|it| it.to_string()),
            taken_over,
            used: used.into_iter().map(UsedBody::from).collect(),
            error: it.error.map(|it| QueryFailure { message: it.message, details: it.details }),
            row_count: it.row_count,
            truncated: it.truncated,
            execution_time_ms: it.execution_time_ms,
            restricted,
            saved: it.saved,
            name: it.name,
            description: it.description,
            tags: it.tags,
            owner_id: definition.owner.map(|it| it.to_string()),
            visibility: definition.visibility.into(),
            parameters: definition.parameters.into_iter().map(ParameterBody::from).collect(),
            max_age_seconds: definition.max_age_seconds,
            version: definition.version,
            updated_at: definition.updated_at,
            run_of: it.run_of.map(RunOfBody::from),
            parameter_values,
            cached_at,
            created_at: it.created_at,
        }
    }
}

envelope! {
    /// An answer.
    AnswerEnvelope(AnswerBody)
}
envelope! {
    /// A query.
    QueryEnvelope(QueryBody)
}
page_envelope! {
    /// A page of queries.
    QueryPage(QueryBody)
}
