//! Saving what was asked under a name.

use actix_web::{HttpResponse, patch, post, web};
use plinth_queries::{QueryId, SaveChange};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use validator::Validate;

use super::body::{QueryBody, QueryEnvelope};
use crate::http::envelope::Reply;
use crate::http::input::Valid;
use crate::http::keys::given;
use crate::http::problem::Problems;
use crate::http::{Caller, Problem, Services};

/// Save a query
///
/// Under a name, with what it is for and what it is filed under. It is listed with `saved=true`, and people whose role runs
/// saved queries only may run it. Needs the scope `queries:write`.
#[utoipa::path(
    tag = "queries",
    params(("id" = String, Path, description = "The query's id.")),
    request_body = SaveQuery,
    responses((status = 200, body = QueryEnvelope, description = "The query."), Problems),
)]
#[post("/queries/{id}/save")]
pub(super) async fn save_query(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<QueryId>,
    body: Valid<SaveQuery>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let SaveQuery { name, description, tags } = body.0;
    let change = SaveChange {
        saved: Some(true),
        name: Some(Some(named(&name)?)),
        description: Some(description),
        tags: Some(filed(tags)?),
    };
    let saved = services.queries.save(&permit, id.into_inner(), change).await?;
    Ok(reply.ok(QueryBody::from(saved)))
}

/// Change a saved query
///
/// Its name, what it is for, its tags, and whether it is saved; what is left out stays. Needs the scope `queries:write`.
#[utoipa::path(
    tag = "queries",
    params(("id" = String, Path, description = "The query's id.")),
    request_body = UpdateQuery,
    responses((status = 200, body = QueryEnvelope, description = "The query."), Problems),
)]
#[patch("/queries/{id}")]
pub(super) async fn update_query(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<QueryId>,
    body: Valid<UpdateQuery>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let UpdateQuery { saved, name, description, tags } = body.0;
    let change = SaveChange {
        saved,
        name: name.map(|it| it.as_deref().map(named).transpose()).transpose()?,
        description,
        tags: tags.map(filed).transpose()?,
    };
    let changed = services.queries.save(&permit, id.into_inner(), change).await?;
    Ok(reply.ok(QueryBody::from(changed)))
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
}
