//! What a saved query was, how it ran, and what it can be run with.

use actix_web::{HttpResponse, get, post, web};
use plinth_queries::QueryId;
use utoipa_actix_web::service_config::ServiceConfig;

use super::body::{QueryBody, QueryEnvelope, QueryPage};
use super::saved_body::{
    ChoicesBody, ChoicesEnvelope, QueryVersionEnvelope, QueryVersionPage, VersionBody,
};
use crate::http::envelope::Reply;
use crate::http::etag::{IfMatch, tagged};
use crate::http::input::Paging;
use crate::http::problem::{DatabaseProblems, ErrorBody, Problems};
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_query_versions)
        .service(get_query_version)
        .service(restore_query_version)
        .service(list_query_runs)
        .service(list_parameter_choices);
}

const VERSIONS: &str = "query versions";
const RUNS: &str = "query runs";

/// List a saved query's versions
///
/// Newest first. Each change of its SQL or its parameters made one, and none ever changes. Needs the scope `queries:read`.
#[utoipa::path(
    tag = "queries",
    params(("id" = String, Path, description = "The query's id."), Paging),
    responses((status = 200, body = QueryVersionPage, description = "A page of versions."), Problems),
)]
#[get("/queries/{id}/versions")]
async fn list_query_versions(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<QueryId>,
    paging: web::Query<Paging>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let id = id.into_inner();
    let list = format!("{VERSIONS} of {id}");
    let before = paging.place(&services.cursors, &list)?;
    let before = before.and_then(|it| it.try_into().ok()).map(u32::from_be_bytes);
    let (found, more) = services.queries.versions(&permit, id, before, paging.limit()?).await?;
    let last = found.last().filter(|_| more).map(|it| it.number.to_be_bytes());
    let next = last.map(|it| services.cursors.seal_bytes(&list, &it));
    Ok(reply.page(found.into_iter().map(VersionBody::from).collect(), next))
}

/// Show a version of a saved query
///
/// Needs the scope `queries:read`.
#[utoipa::path(
    tag = "queries",
    params(
        ("id" = String, Path, description = "The query's id."),
        ("version" = u32, Path, description = "The version's number.", example = 1),
    ),
    responses((status = 200, body = QueryVersionEnvelope, description = "The version."), Problems),
)]
#[get("/queries/{id}/versions/{version}")]
async fn get_query_version(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(QueryId, u32)>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (id, number) = path.into_inner();
    let version = services.queries.version(&permit, id, number).await?;
    Ok(reply.ok(VersionBody::from(version)))
}

/// Restore a version of a saved query
///
/// Its SQL and parameters become a new version, after the guard and the database's planner have looked at them again. Needs
/// the scope `queries:write`.
#[utoipa::path(
    tag = "queries",
    params(
        ("id" = String, Path, description = "The query's id."),
        ("version" = u32, Path, description = "The version's number.", example = 1),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what is to be changed."),
    ),
    responses(
        (status = 200, body = QueryEnvelope, description = "The query.", headers(("ETag" = String, description = "Names this state."))),
        (status = 412, body = ErrorBody, description = "`precondition_failed`: it has changed since it was read."),
        Problems, DatabaseProblems,
    ),
)]
#[post("/queries/{id}/versions/{version}/restore")]
async fn restore_query_version(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(QueryId, u32)>,
    if_match: IfMatch,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (id, number) = path.into_inner();
    let query = services.queries.restore(&permit, id, number, if_match.revisions()).await?;
    let revision = query.definition.revision;
    Ok(tagged(reply.ok(QueryBody::from(query)), revision))
}

/// List a saved query's runs
///
/// Newest first, with the version that ran and the values of its parameters; of what only its owner sees, only its owner's.
/// People whose role runs saved queries only see their own runs. Needs the scope `queries:read`.
#[utoipa::path(
    tag = "queries",
    params(("id" = String, Path, description = "The query's id."), Paging),
    responses((status = 200, body = QueryPage, description = "A page of runs."), Problems),
)]
#[get("/queries/{id}/runs")]
async fn list_query_runs(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<QueryId>,
    paging: web::Query<Paging>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let id = id.into_inner();
    let list = format!("{RUNS} of {id}");
    let after = paging.cursor(&services.cursors, &list)?;
    let page = services.queries.runs(&permit, id, after, paging.limit()?).await?;
    let next = page.next.map(|it| services.cursors.seal(&list, it));
    Ok(reply.page(page.items.into_iter().map(QueryBody::from).collect(), next))
}

/// List what a parameter's value can be
///
/// The options of an `enum`, and the values that the saved query behind a parameter of the type `query` finds: its first
/// column, with the second as what people read. It is run as you, with its usual `max_age` or that of a minute. Needs the
/// scope `queries:read`.
#[utoipa::path(
    tag = "queries",
    params(
        ("id" = String, Path, description = "The query's id."),
        ("name" = String, Path, description = "The parameter's name.", example = "country"),
    ),
    responses(
        (status = 200, body = ChoicesEnvelope, description = "The choices."),
        Problems, DatabaseProblems,
    ),
)]
#[get("/queries/{id}/parameters/{name}/choices")]
async fn list_parameter_choices(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(QueryId, String)>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (id, name) = path.into_inner();
    let choices = services.queries.choices(&permit, id, &name).await?;
    Ok(reply.ok(ChoicesBody::from(choices)))
}
