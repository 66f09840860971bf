//! Saving what was asked, and SQL of one's own, under a name.

use actix_web::{HttpResponse, patch, post, web};
use plinth_connections::ConnectionId;
use plinth_queries::{NewSaved, QueryId, SaveChange};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use validator::Validate;

use super::body::{QueryBody, QueryEnvelope};
use super::saved_body::{
    ParameterBody, VisibilityBody, objects, objects_if_given, read_parameters,
};
use crate::http::envelope::Reply;
use crate::http::etag::{IfMatch, tagged};
use crate::http::input::Valid;
use crate::http::keys::given;
use crate::http::problem::{DatabaseProblems, ErrorBody, Problems};
use crate::http::{Caller, Problem, Services};

/// Save SQL of your own
///
/// Under a name, with parameters: `{{ name }}` in the SQL stands for the value of one, which is bound and never part of the
/// text. The guard and the database's planner look at it first; it is not run. `POST /queries/{id}/run` does that. Needs the
/// scope `queries:write`.
#[utoipa::path(
    tag = "queries",
    request_body = SaveSql,
    responses(
        (status = 201, body = QueryEnvelope, description = "Saved.", headers(("ETag" = String, description = "Names this state."))),
        Problems, DatabaseProblems,
    ),
)]
#[post("/queries/save")]
pub(super) async fn save_sql(
    caller: Caller,
    services: web::Data<Services>,
    body: Valid<SaveSql>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let it = body.0;
    let new = NewSaved {
        connection: it.connection_id,
        sql: it.sql,
        parameters: read_parameters(it.parameters)?,
        name: named(&it.name)?,
        description: it.description,
        tags: filed(it.tags)?,
        visibility: it.visibility.into(),
        max_age_seconds: it.max_age_seconds,
    };
    let saved = services.queries.save_new(&permit, new).await?;
    let (location, revision) = (format!("/v1/queries/{}", saved.id), saved.definition.revision);
    Ok(tagged(reply.created(location, QueryBody::from(saved)), revision))
}

/// Save a query
///
/// Under a name, with what it is for and what it is filed under; with `sql` and `parameters` in place of what ran, where it
/// is to take values. It is listed with `saved=true`, and people whose role runs saved queries only may run it, unless it is
/// private. Needs the scope `queries:write`.
#[utoipa::path(
    tag = "queries",
    params(
        ("id" = String, Path, description = "The query's id."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what is to be changed."),
    ),
    request_body = SaveQuery,
    responses(
        (status = 200, body = QueryEnvelope, description = "The query.", headers(("ETag" = String, description = "Names this state."))),
        (status = 412, body = ErrorBody, description = "`precondition_failed`: it has changed since it was read."),
        Problems, DatabaseProblems,
    ),
)]
#[post("/queries/{id}/save")]
pub(super) async fn save_query(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<QueryId>,
    if_match: IfMatch,
    body: Valid<SaveQuery>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let it = body.0;
    let change = SaveChange {
        saved: Some(true),
        name: Some(Some(named(&it.name)?)),
        description: Some(it.description),
        tags: Some(filed(it.tags)?),
        visibility: it.visibility.map(Into::into),
        sql: it.sql,
        parameters: it.parameters.map(read_parameters).transpose()?,
        max_age_seconds: it.max_age_seconds.map(Some),
    };
    let queries = &services.queries;
    let saved = queries.save(&permit, id.into_inner(), change, if_match.revisions()).await?;
    let revision = saved.definition.revision;
    Ok(tagged(reply.ok(QueryBody::from(saved)), revision))
}

/// Change a saved query
///
/// Its name, what it is for, its tags, for whom it is there, and whether it is saved; what is left out stays. A change of
/// `sql` or `parameters` makes a new version, after the guard and the database's planner have looked at it. Only its owner
/// changes `visibility`. Needs the scope `queries:write`.
#[utoipa::path(
    tag = "queries",
    params(
        ("id" = String, Path, description = "The query's id."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what is to be changed."),
    ),
    request_body = UpdateQuery,
    responses(
        (status = 200, body = QueryEnvelope, description = "The query.", headers(("ETag" = String, description = "Names this state."))),
        (status = 412, body = ErrorBody, description = "`precondition_failed`: it has changed since it was read."),
        Problems, DatabaseProblems,
    ),
)]
#[patch("/queries/{id}")]
pub(super) async fn update_query(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<QueryId>,
    if_match: IfMatch,
    body: Valid<UpdateQuery>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let it = body.0;
    let change = SaveChange {
        saved: it.saved,
        name: it.name.map(|it| it.as_deref().map(named).transpose()).transpose()?,
        description: it.description,
        tags: it.tags.map(filed).transpose()?,
        visibility: it.visibility.map(Into::into),
        sql: it.sql,
        parameters: it.parameters.map(read_parameters).transpose()?,
        max_age_seconds: it.max_age_seconds,
    };
    let queries = &services.queries;
    let changed = queries.save(&permit, id.into_inner(), change, if_match.revisions()).await?;
    let revision = changed.definition.revision;
    Ok(tagged(reply.ok(QueryBody::from(changed)), revision))
}

fn named(name: &str) -> Result<String, Problem> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 200 || name.chars().any(char::is_control) {
        let rule = "a name has 1 to 200 characters";
        return Err(Problem::invalid(rule, json!({ "name": rule })));
    }
    Ok(name.to_owned())
}

fn filed(tags: Vec<String>) -> Result<Vec<String>, Problem> {
    let mut filed: Vec<String> = tags.iter().map(|it| it.trim().to_lowercase()).collect();
    filed.sort();
    filed.dedup();
    let fits = |it: &String| {
        !it.is_empty() && it.chars().count() <= 50 && !it.chars().any(char::is_control)
    };
    if filed.len() > 20 || !filed.iter().all(fits) {
        let rule = "at most 20 tags, each of 1 to 50 characters";
        return Err(Problem::invalid(rule, json!({ "tags": rule })));
    }
    Ok(filed)
}

/// A statement of your own, and as what to save it.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub(super) struct SaveSql {
    /// What it is called.
    #[schema(example = "Customers of a country", min_length = 1, max_length = 200)]
    name: String,
    /// Over which connection.
    #[schema(value_type = String, example = "conn_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    connection_id: ConnectionId,
    /// One read-only statement, with `{{ name }}` where the values of parameters stand.
    #[schema(max_length = 65536, example = "SELECT 1 AS one")]
    sql: String,
    /// What it is run with.
    #[serde(default, deserialize_with = "objects")]
    #[schema(max_items = 50)]
    parameters: Vec<ParameterBody>,
    /// What it is for.
    #[schema(max_length = 2000)]
    #[validate(length(max = 2000, message = "a description has at most 2000 characters"))]
    description: Option<String>,
    /// What it is filed under.
    #[serde(default)]
    #[schema(example = json!(["sales"]), max_items = 20)]
    tags: Vec<String>,
    /// For whom it is there.
    #[serde(default)]
    visibility: VisibilityBody,
    /// How old an answer may be unless whoever runs it says otherwise, in seconds. Without it, it is run each time.
    #[schema(maximum = 86400, example = 60)]
    max_age_seconds: Option<u32>,
}

/// As what to save it.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub(super) struct SaveQuery {
    /// What it is called.
    #[schema(example = "Orders by country", min_length = 1, max_length = 200)]
    name: String,
    /// What it is for.
    #[schema(max_length = 2000)]
    #[validate(length(max = 2000, message = "a description has at most 2000 characters"))]
    description: Option<String>,
    /// What it is filed under.
    #[serde(default)]
    #[schema(example = json!(["sales"]), max_items = 20)]
    tags: Vec<String>,
    /// For whom it is there; for everybody unless you say otherwise. Only what you asked yourself can be private.
    visibility: Option<VisibilityBody>,
    /// One read-only statement in place of what ran, with `{{ name }}` where the values of parameters stand.
    #[schema(max_length = 65536, example = "SELECT 1 AS one")]
    sql: Option<String>,
    /// What it is run with.
    #[serde(default, deserialize_with = "objects_if_given")]
    #[schema(max_items = 50)]
    parameters: Option<Vec<ParameterBody>>,
    /// How old an answer may be unless whoever runs it says otherwise, in seconds.
    #[schema(maximum = 86400, example = 60)]
    max_age_seconds: Option<u32>,
}

/// What to change; what is left out stays.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateQuery {
    /// Whether it is saved.
    saved: Option<bool>,
    /// What it is called; null takes the name away.
    #[serde(default, deserialize_with = "given")]
    #[expect(clippy::option_option, reason = "left out, null and a value mean three things")]
    #[schema(value_type = Option<String>, example = "Orders by country", min_length = 1, max_length = 200)]
    name: Option<Option<String>>,
    /// What it is for; null takes it away.
    #[serde(default, deserialize_with = "given")]
    #[expect(clippy::option_option, reason = "left out, null and a value mean three things")]
    #[schema(value_type = Option<String>, max_length = 2000)]
    #[validate(length(max = 2000, message = "a description has at most 2000 characters"))]
    description: Option<Option<String>>,
    /// What it is filed under.
    #[schema(example = json!(["sales"]), max_items = 20)]
    tags: Option<Vec<String>>,
    /// For whom it is there; only its owner changes that.
    visibility: Option<VisibilityBody>,
    /// One read-only statement, with `{{ name }}` where the values of parameters stand.
    #[schema(max_length = 65536, example = "SELECT 1 AS one")]
    sql: Option<String>,
    /// What it is run with; all of them.
    #[serde(default, deserialize_with = "objects_if_given")]
    #[schema(max_items = 50)]
    parameters: Option<Vec<ParameterBody>>,
    /// How old an answer may be unless whoever runs it says otherwise, in seconds; null runs it each time.
    #[serde(default, deserialize_with = "given")]
    #[expect(clippy::option_option, reason = "left out, null and a value mean three things")]
    #[schema(value_type = Option<u32>, maximum = 86400, example = 60)]
    max_age_seconds: Option<Option<u32>>,
}
