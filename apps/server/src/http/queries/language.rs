//! The organization's own language for a connection: its glossary, its metrics, and questions with checked SQL.

use actix_web::{HttpResponse, delete, get, post, put, web};
use plinth_connections::ConnectionId;
use plinth_queries::{Entry, EntryId, EntryKind, EntryStatus, Feedback, QueryId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use super::language_body::{
    ExampleBody, ExampleEnvelope, ExamplePage, MetricBody, MetricEnvelope, MetricPage, PutExample,
    PutMetric, PutTerm, StatusBody, TermBody, TermEnvelope, TermPage,
};
use crate::http::envelope::{Reply, envelope};
use crate::http::etag::{IfMatch, tagged};
use crate::http::input::{Paging, Valid};
use crate::http::problem::{DatabaseProblems, ErrorBody, Problems};
use crate::http::{Caller, Problem, Services};

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_terms)
        .service(create_term)
        .service(get_term)
        .service(replace_term)
        .service(delete_term)
        .service(list_metrics)
        .service(create_metric)
        .service(get_metric)
        .service(replace_metric)
        .service(delete_metric)
        .service(list_examples)
        .service(create_example)
        .service(get_example)
        .service(replace_example)
        .service(delete_example)
        .service(accept_example);
}

/// List terms
///
/// A term is what people call something: a table, a column, a value of one ("settled" is `paid` in `invoices.state`), rows of which a predicate holds ("active customer"), or a number of each row ("margin"). By name; one that does not fit the schema any more says so in `broken` and is
/// not used. Needs the scope `queries:read`.
#[utoipa::path(
    tag = "language",
    params(("id" = String, Path, description = "The connection's id."), Paging),
    responses((status = 200, body = TermPage, description = "A page of terms."), Problems, DatabaseProblems),
)]
#[get("/connections/{id}/glossary")]
async fn list_terms(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ConnectionId>,
    paging: web::Query<Paging>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let all = services.queries.list_language(&permit, id.into_inner(), EntryKind::Term).await?;
    page(all, &paging, &services, &reply, TermBody::from)
}

/// Add a term
///
/// It is tried first: parsed, judged by the guard, and planned by the database. From then on it changes answers, on every
/// server within a second, and an answer that leans on it says so in `used`. Needs the scope `queries:write`.
#[utoipa::path(
    tag = "language",
    params(("id" = String, Path, description = "The connection's id.")),
    request_body = PutTerm,
    responses(
        (status = 201, body = TermEnvelope, description = "Added.", headers(("ETag" = String, description = "Names this version."))),
        Problems, DatabaseProblems,
    ),
)]
#[post("/connections/{id}/glossary")]
async fn create_term(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ConnectionId>,
    body: Valid<PutTerm>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (connection, (name, body)) = (id.into_inner(), body.0.read());
    let made = services.queries.define(&permit, connection, &name, body).await?;
    let location = format!("/v1/connections/{connection}/glossary/{}", made.id);
    let version = made.version;
    Ok(tagged(reply.created(location, TermBody::from(made)), version))
}

/// Show a term
///
/// Needs the scope `queries:read`.
#[utoipa::path(
    tag = "language",
    params(("id" = String, Path, description = "The connection's id."), ("term_id" = String, Path, description = "Its id.")),
    responses(
        (status = 200, body = TermEnvelope, description = "What it says.", headers(("ETag" = String, description = "Names this version."))),
        Problems, DatabaseProblems,
    ),
)]
#[get("/connections/{id}/glossary/{term_id}")]
async fn get_term(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ConnectionId, String)>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (connection, id) = place(path, EntryKind::Term)?;
    let entry = services.queries.get_language(&permit, connection, id).await?;
    let version = entry.version;
    Ok(tagged(reply.ok(TermBody::from(entry)), version))
}

/// Replace a term
///
/// It is tried as a new one. Needs the scope `queries:write`.
#[utoipa::path(
    tag = "language",
    params(
        ("id" = String, Path, description = "The connection's id."),
        ("term_id" = String, Path, description = "Its id."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what is to be replaced."),
    ),
    request_body = PutTerm,
    responses(
        (status = 200, body = TermEnvelope, description = "Replaced.", headers(("ETag" = String, description = "Names this version."))),
        (status = 412, body = ErrorBody, description = "`precondition_failed`: it has changed since it was read."),
        Problems, DatabaseProblems,
    ),
)]
#[put("/connections/{id}/glossary/{term_id}")]
async fn replace_term(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ConnectionId, String)>,
    if_match: IfMatch,
    body: Valid<PutTerm>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (connection, id) = place(path, EntryKind::Term)?;
    let (name, body) = body.0.read();
    let queries = &services.queries;
    let entry =
        queries.redefine(&permit, connection, id, &name, body, if_match.revisions()).await?;
    let version = entry.version;
    Ok(tagged(reply.ok(TermBody::from(entry)), version))
}

/// Remove a term
///
/// Needs the scope `queries:write`.
#[utoipa::path(
    tag = "language",
    params(
        ("id" = String, Path, description = "The connection's id."),
        ("term_id" = String, Path, description = "Its id."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what is to be removed."),
    ),
    responses(
        (status = 204, description = "Removed."),
        (status = 412, body = ErrorBody, description = "`precondition_failed`: it has changed since it was read."),
        Problems, DatabaseProblems,
    ),
)]
#[delete("/connections/{id}/glossary/{term_id}")]
async fn delete_term(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ConnectionId, String)>,
    if_match: IfMatch,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (connection, id) = place(path, EntryKind::Term)?;
    services.queries.undefine(&permit, connection, id, if_match.revisions()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// List metrics
///
/// A metric is an aggregate over the rows of a table, of which a filter may leave some out; `time_column` says when a row counts. By name; one that does not fit the schema any more says so in `broken` and is
/// not used. Needs the scope `queries:read`.
#[utoipa::path(
    tag = "language",
    params(("id" = String, Path, description = "The connection's id."), Paging),
    responses((status = 200, body = MetricPage, description = "A page of metrics."), Problems, DatabaseProblems),
)]
#[get("/connections/{id}/metrics")]
async fn list_metrics(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ConnectionId>,
    paging: web::Query<Paging>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let all = services.queries.list_language(&permit, id.into_inner(), EntryKind::Metric).await?;
    page(all, &paging, &services, &reply, MetricBody::from)
}

/// Add a metric
///
/// It is tried first: parsed, judged by the guard, and planned by the database. From then on it changes answers, on every
/// server within a second, and an answer that leans on it says so in `used`. Needs the scope `queries:write`.
#[utoipa::path(
    tag = "language",
    params(("id" = String, Path, description = "The connection's id.")),
    request_body = PutMetric,
    responses(
        (status = 201, body = MetricEnvelope, description = "Added.", headers(("ETag" = String, description = "Names this version."))),
        Problems, DatabaseProblems,
    ),
)]
#[post("/connections/{id}/metrics")]
async fn create_metric(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ConnectionId>,
    body: Valid<PutMetric>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (connection, (name, body)) = (id.into_inner(), body.0.read());
    let made = services.queries.define(&permit, connection, &name, body).await?;
    let location = format!("/v1/connections/{connection}/metrics/{}", made.id);
    let version = made.version;
    Ok(tagged(reply.created(location, MetricBody::from(made)), version))
}

/// Show a metric
///
/// Needs the scope `queries:read`.
#[utoipa::path(
    tag = "language",
    params(("id" = String, Path, description = "The connection's id."), ("metric_id" = String, Path, description = "Its id.")),
    responses(
        (status = 200, body = MetricEnvelope, description = "What it says.", headers(("ETag" = String, description = "Names this version."))),
        Problems, DatabaseProblems,
    ),
)]
#[get("/connections/{id}/metrics/{metric_id}")]
async fn get_metric(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ConnectionId, String)>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (connection, id) = place(path, EntryKind::Metric)?;
    let entry = services.queries.get_language(&permit, connection, id).await?;
    let version = entry.version;
    Ok(tagged(reply.ok(MetricBody::from(entry)), version))
}

/// Replace a metric
///
/// It is tried as a new one. Needs the scope `queries:write`.
#[utoipa::path(
    tag = "language",
    params(
        ("id" = String, Path, description = "The connection's id."),
        ("metric_id" = String, Path, description = "Its id."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what is to be replaced."),
    ),
    request_body = PutMetric,
    responses(
        (status = 200, body = MetricEnvelope, description = "Replaced.", headers(("ETag" = String, description = "Names this version."))),
        (status = 412, body = ErrorBody, description = "`precondition_failed`: it has changed since it was read."),
        Problems, DatabaseProblems,
    ),
)]
#[put("/connections/{id}/metrics/{metric_id}")]
async fn replace_metric(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ConnectionId, String)>,
    if_match: IfMatch,
    body: Valid<PutMetric>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (connection, id) = place(path, EntryKind::Metric)?;
    let (name, body) = body.0.read();
    let queries = &services.queries;
    let entry =
        queries.redefine(&permit, connection, id, &name, body, if_match.revisions()).await?;
    let version = entry.version;
    Ok(tagged(reply.ok(MetricBody::from(entry)), version))
}

/// Remove a metric
///
/// Needs the scope `queries:write`.
#[utoipa::path(
    tag = "language",
    params(
        ("id" = String, Path, description = "The connection's id."),
        ("metric_id" = String, Path, description = "Its id."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what is to be removed."),
    ),
    responses(
        (status = 204, description = "Removed."),
        (status = 412, body = ErrorBody, description = "`precondition_failed`: it has changed since it was read."),
        Problems, DatabaseProblems,
    ),
)]
#[delete("/connections/{id}/metrics/{metric_id}")]
async fn delete_metric(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ConnectionId, String)>,
    if_match: IfMatch,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (connection, id) = place(path, EntryKind::Metric)?;
    services.queries.undefine(&permit, connection, id, if_match.revisions()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// List examples
///
/// An example is a question with SQL that somebody checked. Whoever asks the same gets that answer, also with other values, another time or another number in the places where the question has them. Candidates, which feedback has proposed, stand among them; `status` narrows the list. By name; one that does not fit the schema any more says so in `broken` and is
/// not used. Needs the scope `queries:read`.
#[utoipa::path(
    tag = "language",
    params(("id" = String, Path, description = "The connection's id."), ExampleParams),
    responses((status = 200, body = ExamplePage, description = "A page of examples."), Problems, DatabaseProblems),
)]
#[get("/connections/{id}/examples")]
async fn list_examples(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ConnectionId>,
    params: web::Query<ExampleParams>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let ExampleParams { status, limit, cursor } = params.into_inner();
    let paging = Paging::new(limit, cursor);
    let mut all =
        services.queries.list_language(&permit, id.into_inner(), EntryKind::Example).await?;
    if let Some(status) = status {
        all.retain(|it| it.status == EntryStatus::from(status));
    }
    page(all, &paging, &services, &reply, ExampleBody::from)
}

/// Add an example
///
/// It is tried first: parsed, judged by the guard, and planned by the database. From then on it changes answers, on every
/// server within a second, and an answer that leans on it says so in `used`. Needs the scope `queries:write`.
#[utoipa::path(
    tag = "language",
    params(("id" = String, Path, description = "The connection's id.")),
    request_body = PutExample,
    responses(
        (status = 201, body = ExampleEnvelope, description = "Added.", headers(("ETag" = String, description = "Names this version."))),
        Problems, DatabaseProblems,
    ),
)]
#[post("/connections/{id}/examples")]
async fn create_example(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ConnectionId>,
    body: Valid<PutExample>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (connection, (name, body)) = (id.into_inner(), body.0.read());
    let made = services.queries.define(&permit, connection, &name, body).await?;
    let location = format!("/v1/connections/{connection}/examples/{}", made.id);
    let version = made.version;
    Ok(tagged(reply.created(location, ExampleBody::from(made)), version))
}

/// Show an example
///
/// Needs the scope `queries:read`.
#[utoipa::path(
    tag = "language",
    params(("id" = String, Path, description = "The connection's id."), ("example_id" = String, Path, description = "Its id.")),
    responses(
        (status = 200, body = ExampleEnvelope, description = "What it says.", headers(("ETag" = String, description = "Names this version."))),
        Problems, DatabaseProblems,
    ),
)]
#[get("/connections/{id}/examples/{example_id}")]
async fn get_example(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ConnectionId, String)>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (connection, id) = place(path, EntryKind::Example)?;
    let entry = services.queries.get_language(&permit, connection, id).await?;
    let version = entry.version;
    Ok(tagged(reply.ok(ExampleBody::from(entry)), version))
}

/// Replace an example
///
/// It is tried as a new one. Needs the scope `queries:write`.
#[utoipa::path(
    tag = "language",
    params(
        ("id" = String, Path, description = "The connection's id."),
        ("example_id" = String, Path, description = "Its id."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what is to be replaced."),
    ),
    request_body = PutExample,
    responses(
        (status = 200, body = ExampleEnvelope, description = "Replaced.", headers(("ETag" = String, description = "Names this version."))),
        (status = 412, body = ErrorBody, description = "`precondition_failed`: it has changed since it was read."),
        Problems, DatabaseProblems,
    ),
)]
#[put("/connections/{id}/examples/{example_id}")]
async fn replace_example(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ConnectionId, String)>,
    if_match: IfMatch,
    body: Valid<PutExample>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (connection, id) = place(path, EntryKind::Example)?;
    let (name, body) = body.0.read();
    let queries = &services.queries;
    let entry =
        queries.redefine(&permit, connection, id, &name, body, if_match.revisions()).await?;
    let version = entry.version;
    Ok(tagged(reply.ok(ExampleBody::from(entry)), version))
}

/// Remove an example
///
/// A candidate is thereby refused. Needs the scope `queries:write`.
#[utoipa::path(
    tag = "language",
    params(
        ("id" = String, Path, description = "The connection's id."),
        ("example_id" = String, Path, description = "Its id."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what is to be removed."),
    ),
    responses(
        (status = 204, description = "Removed."),
        (status = 412, body = ErrorBody, description = "`precondition_failed`: it has changed since it was read."),
        Problems, DatabaseProblems,
    ),
)]
#[delete("/connections/{id}/examples/{example_id}")]
async fn delete_example(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ConnectionId, String)>,
    if_match: IfMatch,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (connection, id) = place(path, EntryKind::Example)?;
    services.queries.undefine(&permit, connection, id, if_match.revisions()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Accept a candidate
///
/// From then on the example changes answers. Needs the scope `queries:write`.
#[utoipa::path(
    tag = "language",
    params(
        ("id" = String, Path, description = "The connection's id."),
        ("example_id" = String, Path, description = "The example's id."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what is to be accepted."),
    ),
    responses(
        (status = 200, body = ExampleEnvelope, description = "The example.", headers(("ETag" = String, description = "Names this version."))),
        (status = 412, body = ErrorBody, description = "`precondition_failed`: it has changed since it was read."),
        Problems, DatabaseProblems,
    ),
)]
#[post("/connections/{id}/examples/{example_id}/accept")]
async fn accept_example(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ConnectionId, String)>,
    if_match: IfMatch,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (connection, id) = place(path, EntryKind::Example)?;
    let entry = services.queries.accept(&permit, connection, id, if_match.revisions()).await?;
    let version = entry.version;
    Ok(tagged(reply.ok(ExampleBody::from(entry)), version))
}

/// Give feedback on an answer
///
/// What you said of it before is replaced. An answer to a question that is right, or the SQL that it should have been,
/// becomes a candidate among the connection's examples, which somebody with the scope `queries:write` may accept. Needs
/// the scope `queries:read`.
#[utoipa::path(
    tag = "language",
    params(("id" = String, Path, description = "The query's id.")),
    request_body = GiveFeedback,
    responses((status = 200, body = FeedbackEnvelope, description = "Kept."), Problems, DatabaseProblems),
)]
#[post("/queries/{id}/feedback")]
pub(super) async fn give_feedback(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<QueryId>,
    body: Valid<GiveFeedback>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let GiveFeedback { rating, sql, comment } = body.0;
    let feedback = Feedback { is_good: matches!(rating, Rating::Up), sql, comment };
    let id = id.into_inner();
    let given = services.queries.give_feedback(&permit, id, feedback).await?;
    let candidate_id = given.candidate.map(|it| it.to_string());
    Ok(reply.ok(FeedbackBody { query_id: id.to_string(), rating, candidate_id }))
}

/// The name of these lists in cursors.
const LIST: &str = "language";

/// A connection's id and that of an entry of this kind; what is none is an id of nothing.
fn place(
    path: web::Path<(ConnectionId, String)>,
    kind: EntryKind,
) -> Result<(ConnectionId, EntryId), Problem> {
    let (connection, text) = path.into_inner();
    let id: EntryId = text.parse()?;
    if id.kind() != kind {
        return Err(plinth_queries::QueryError::NoEntry(id).into());
    }
    Ok((connection, id))
}

fn page<T: Serialize>(
    mut all: Vec<Entry>,
    paging: &Paging,
    services: &Services,
    reply: &Reply,
    body: fn(Entry) -> T,
) -> Result<HttpResponse, Problem> {
    // Sorted here as the places in cursors are.
    let place = |it: &Entry| format!("{}\0{}", it.name.to_lowercase(), it.id).into_bytes();
    all.sort_by_key(place);
    let limit = paging.limit()?.get() as usize;
    if let Some(after) = paging.place(&services.cursors, LIST)? {
        all.retain(|it| place(it) > after);
    }
    let more = all.len() > limit;
    all.truncate(limit);
    let next = all.last().filter(|_| more).map(place);
    let next = next.map(|it| services.cursors.seal_bytes(LIST, &it));
    Ok(reply.page(all.into_iter().map(body).collect(), next))
}

/// Which examples.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ExampleParams {
    /// Only such of this status.
    #[param(inline)]
    status: Option<StatusBody>,
    /// Items on a page, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
    /// `meta.next_cursor` of the page before.
    cursor: Option<String>,
}

/// What you think of an answer.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct GiveFeedback {
    rating: Rating,
    /// The statement that it should have been.
    #[schema(
        max_length = 20000,
        example = "SELECT count(*) FROM orders WHERE status <> 'cancelled'"
    )]
    #[validate(length(max = 20000, message = "at most 20000 characters"))]
    sql: Option<String>,
    /// What you want to say.
    #[schema(max_length = 2000)]
    #[validate(length(max = 2000, message = "at most 2000 characters"))]
    comment: Option<String>,
}

/// Right or wrong.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Rating {
    /// The answer is right.
    Up,
    /// The answer is wrong.
    Down,
}

/// What became of feedback.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Feedback)]
struct FeedbackBody {
    query_id: String,
    rating: Rating,
    /// The candidate that it became.
    #[schema(required = true, example = "ex_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    candidate_id: Option<String>,
}

envelope! {
    /// What became of feedback.
    FeedbackEnvelope(FeedbackBody)
}
