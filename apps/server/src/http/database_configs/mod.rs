//! The connections, seen through the door that an agent platform's back end knows: paths, fields and envelopes of its own,
//! the same records behind them.

mod body;
mod input;
mod probe;

use actix_web::http::header;
use actix_web::{HttpResponse, delete, get, patch, post, web};
use plinth_connections::{Connection, ConnectionError, ConnectionFilter, ConnectionId};
use plinth_core::{ErrorKind, Limit};
use plinth_schema_introspect::SchemaError;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use self::body::{
    Config, ConfigAnswer, ConfigDeleted, ConfigFreshness, ConfigList, ConfigSchema, ConfigSummary,
};
use self::input::{CreateConfig, PatchConfig};
use super::etag::{IfMatch, tagged};
use super::input::Valid;
use super::problem::{ConfigDatabaseProblems, ConfigEditProblems, ConfigProblems};
use super::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_database_configs)
        .service(create_database_config)
        .service(get_database_config)
        .service(update_database_config)
        .service(delete_database_config)
        .service(refresh_database_config_schema)
        .service(get_database_config_freshness)
        .service(probe::test_postgres)
        .service(probe::discover_postgres_schema);
}

/// The age from which a schema is to be read anew, in hours.
const STALE_HOURS: f64 = 24.0;

/// Which configs to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct Shown {
    /// Those too that were removed.
    #[serde(default)]
    #[param(default = false)]
    include_deleted: bool,
    /// Only those that may be used.
    #[serde(default)]
    #[param(default = false)]
    active_only: bool,
}

/// List database configs
///
/// All of them, newest first. Needs the scope `connections:read`.
#[utoipa::path(
    tag = "database configs",
    params(Shown),
    responses((status = 200, body = ConfigList, description = "The configs."), ConfigProblems),
)]
#[get("/api/database-configs")]
async fn list_database_configs(
    caller: Caller,
    services: web::Data<Services>,
    shown: web::Query<Shown>,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let filter = ConnectionFilter {
        with_deleted: shown.include_deleted,
        active_only: shown.active_only,
        ..ConnectionFilter::default()
    };
    let (mut data, mut after) = (Vec::new(), None);
    loop {
        let page = services.connections.list(&permit, filter, after, Limit::new(100)?).await?;
        data.extend(page.items.iter().map(ConfigSummary::from));
        after = page.next;
        if after.is_none() {
            return Ok(HttpResponse::Ok().json(ConfigList::new(data)));
        }
    }
}

/// Add a database config
///
/// Credentials are kept sealed and never come out. Nothing is dialled at once. Needs the scope `connections:write`.
#[utoipa::path(
    tag = "database configs",
    request_body = CreateConfig,
    responses((status = 201, body = ConfigAnswer, description = "Added."), ConfigProblems),
)]
#[post("/api/database-configs")]
async fn create_database_config(
    caller: Caller,
    services: web::Data<Services>,
    body: Valid<CreateConfig>,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let new = body.0.parse(services.clock.now())?;
    let made = services.connections.create(&permit, new, false).await?;
    let location = format!("/api/database-configs/{}", made.id.as_uuid());
    let mut response = HttpResponse::Created();
    Ok(shown(response.insert_header((header::LOCATION, location)), &made))
}

/// Show a database config
///
/// Needs the scope `connections:read`.
#[utoipa::path(
    tag = "database configs",
    params(("id" = Uuid, Path, description = "The config's id.")),
    responses((status = 200, body = ConfigAnswer, description = "The config."), ConfigProblems),
)]
#[get("/api/database-configs/{id}")]
async fn get_database_config(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let found = services.connections.get(&permit, ConnectionId::from_uuid(*id)).await;
    Ok(shown(&mut HttpResponse::Ok(), &found.map_err(told)?))
}

/// Change a database config
///
/// What is left out stays, inside `connection_config` and `settings` too. `ssl: true` means at least `require`; a stronger
/// mode is never weakened through this door. Another host or port needs the password again. Needs the scope
/// `connections:write`.
#[utoipa::path(
    tag = "database configs",
    params(("id" = Uuid, Path, description = "The config's id."), IfMatch),
    request_body = PatchConfig,
    responses((status = 200, body = ConfigAnswer, description = "The config as it is now."), ConfigProblems, ConfigEditProblems),
)]
#[patch("/api/database-configs/{id}")]
async fn update_database_config(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<Uuid>,
    if_match: IfMatch,
    body: Valid<PatchConfig>,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let patch = body.0.parse()?;
    let id = ConnectionId::from_uuid(*id);
    let changed =
        services.connections.update(&permit, id, &patch, if_match.revisions(), false).await;
    Ok(shown(&mut HttpResponse::Ok(), &changed.map_err(told)?))
}

/// Remove a database config
///
/// It stays in the list of those that were removed, without its credentials, and the history of its queries stays. Needs
/// the scope `connections:write`.
#[utoipa::path(
    tag = "database configs",
    params(("id" = Uuid, Path, description = "The config's id."), IfMatch),
    responses((status = 200, body = ConfigDeleted, description = "Removed."), ConfigProblems, ConfigEditProblems),
)]
#[delete("/api/database-configs/{id}")]
async fn delete_database_config(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<Uuid>,
    if_match: IfMatch,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let connection = ConnectionId::from_uuid(*id);
    let removed = services.connections.remove(&permit, connection, if_match.revisions()).await;
    removed.map_err(told)?;
    Ok(HttpResponse::Ok().json(ConfigDeleted::new(*id)))
}

/// Read a database's schema anew
///
/// Answers with what was read, as far as the config allows. Needs the scope `connections:write`.
#[utoipa::path(
    tag = "database configs",
    params(("id" = Uuid, Path, description = "The config's id.")),
    responses(
        (status = 200, body = ConfigSchema, description = "What was read."),
        ConfigProblems, ConfigDatabaseProblems,
    ),
)]
#[post("/api/database-configs/{id}/refresh-schema")]
async fn refresh_database_config_schema(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let read = services.schemas.refresh(&permit, ConnectionId::from_uuid(*id)).await;
    let (opened, snapshot) = read.map_err(told_of_schema)?;
    Ok(HttpResponse::Ok().json(ConfigSchema::new(&opened.connection, &snapshot)))
}

/// Say how old a schema is
///
/// From what was kept; the database is not asked. Needs the scope `connections:read`.
#[utoipa::path(
    tag = "database configs",
    params(("id" = Uuid, Path, description = "The config's id.")),
    responses((status = 200, body = ConfigFreshness, description = "How old it is."), ConfigProblems),
)]
#[get("/api/database-configs/{id}/freshness")]
async fn get_database_config_freshness(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let id = ConnectionId::from_uuid(*id);
    let newest = services.schemas.history(&permit, id, None, Limit::new(1)?).await;
    let newest = newest.map_err(told_of_schema)?;
    let read_at = newest.items.first().map(|it| it.taken_at);
    let now = services.clock.now();
    Ok(HttpResponse::Ok().json(ConfigFreshness::new(read_at, now, STALE_HOURS)))
}

/// The answer about one config.
fn shown(response: &mut actix_web::HttpResponseBuilder, it: &Connection) -> HttpResponse {
    tagged(response.json(ConfigAnswer::new(Config::from(it))), it.revision)
}

/// An error in the words of this door, where ids look otherwise.
fn told(err: ConnectionError) -> Problem {
    match err {
        ConnectionError::NotFound(id) => {
            let text = format!("there is no database config {}", id.as_uuid());
            Problem::new(ErrorKind::NotFound, text, None)
        }
        other => other.into(),
    }
}

/// The same for what reads schemas.
fn told_of_schema(err: SchemaError) -> Problem {
    match err {
        SchemaError::Connection(err) => told(err),
        other => other.into(),
    }
}
