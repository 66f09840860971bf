mod body;
mod input;
mod login;

use actix_web::{HttpResponse, delete, get, patch, post, web};
use plinth_connections::{ConnectionError, ConnectionFilter, ConnectionId};
use utoipa_actix_web::service_config::ServiceConfig;

use self::body::{
    ConnectionBody, ConnectionEnvelope, ConnectionPage, ConnectionTest, ConnectionTestEnvelope,
};
pub(super) use self::body::{DiagnosisBody, HealthBody};
use self::input::{CreateConnection, PatchConnection};
pub(super) use self::login::{LoginFields, clearable, given};
use super::envelope::Reply;
use super::etag::{IfMatch, tagged};
use super::input::{Paging, Valid};
use super::problem::{DatabaseProblems, EditProblems, Problems};
use super::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_connections)
        .service(create_connection)
        .service(get_connection)
        .service(update_connection)
        .service(delete_connection)
        .service(test_connection);
}

/// The name of the list in cursors.
const LIST: &str = "connections";

/// List connections
///
/// Newest first. Needs the scope `connections:read`.
#[utoipa::path(
    tag = "connections",
    params(Paging),
    responses((status = 200, body = ConnectionPage, description = "A page of connections."), Problems),
)]
#[get("/connections")]
async fn list_connections(
    caller: Caller,
    services: web::Data<Services>,
    paging: web::Query<Paging>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let after = paging.cursor(&services.cursors, LIST)?;
    let all = ConnectionFilter::default();
    let page = services.connections.list(&permit, all, after, paging.limit()?).await?;
    let next = page.next.map(|it| services.cursors.seal(LIST, it));
    Ok(reply.page(page.items.iter().map(ConnectionBody::from).collect::<Vec<_>>(), next))
}

/// Connect a database
///
/// Keeps the address and the credentials (sealed; a password goes in and never comes out). Nothing is dialled at once
/// unless `verify` is true. Needs the scope `connections:write`.
#[utoipa::path(
    tag = "connections",
    request_body = CreateConnection,
    responses((status = 201, body = ConnectionEnvelope, description = "Connected."), Problems, DatabaseProblems),
)]
#[post("/connections")]
async fn create_connection(
    caller: Caller,
    services: web::Data<Services>,
    body: Valid<CreateConnection>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let verify = body.verify;
    let new = body.0.parse(services.clock.now())?;
    let connection = services.connections.create(&permit, new, verify).await?;
    let location = format!("/v1/connections/{}", connection.id);
    Ok(tagged(reply.created(location, ConnectionBody::from(&connection)), connection.revision))
}

/// Show a connection
///
/// The answer's `ETag` is for `If-Match` of a change. Needs the scope `connections:read`.
#[utoipa::path(
    tag = "connections",
    params(("id" = String, Path, description = "The connection's id.", example = "conn_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = ConnectionEnvelope, description = "The connection."), Problems),
)]
#[get("/connections/{id}")]
async fn get_connection(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ConnectionId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let connection = services.connections.get(&permit, id.into_inner()).await?;
    Ok(tagged(reply.ok(ConnectionBody::from(&connection)), connection.revision))
}

/// Change a connection
///
/// A JSON merge patch (RFC 7396): fields that are left out stay, null takes away what can be away. A change of how the
/// database is reached counts at once on this server and within a second on every other; sessions of before end. Send the
/// `ETag` that you read as `If-Match`, and the change is refused if somebody else was faster. The password has to be in it
/// again when it would go to another place (`host`, `port`, `tunnel`) or less protected (`ssl_mode`, `channel_binding`,
/// `ssl_root_cert`), and what logs in to the bastion when that becomes another. Needs the scope `connections:write`.
#[utoipa::path(
    tag = "connections",
    params(
        ("id" = String, Path, description = "The connection's id."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that you read."),
    ),
    request_body = PatchConnection,
    responses(
        (status = 200, body = ConnectionEnvelope, description = "The connection as it is now."),
        Problems, EditProblems, DatabaseProblems,
    ),
)]
#[patch("/connections/{id}")]
async fn update_connection(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ConnectionId>,
    if_match: IfMatch,
    body: Valid<PatchConnection>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let verify = body.verify;
    let patch = body.0.parse()?;
    let (id, expected) = (id.into_inner(), if_match.revisions());
    let connection = services.connections.update(&permit, id, &patch, expected, verify).await?;
    Ok(tagged(reply.ok(ConnectionBody::from(&connection)), connection.revision))
}

/// Remove a connection
///
/// Its credentials and what is known of its schema go too; the history of its queries stays. Needs the scope
/// `connections:write`.
#[utoipa::path(
    tag = "connections",
    params(
        ("id" = String, Path, description = "The connection's id."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that you read."),
    ),
    responses((status = 204, description = "Removed."), Problems, EditProblems),
)]
#[delete("/connections/{id}")]
async fn delete_connection(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ConnectionId>,
    if_match: IfMatch,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    services.connections.remove(&permit, id.into_inner(), if_match.revisions()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Test a connection
///
/// Opens a fresh session and says what it found, also if the connection is not active. A database that cannot be reached
/// is an answer too: `success` is false and `diagnosis` says how far it came and what to do. Needs the scope
/// `connections:write`.
#[utoipa::path(
    tag = "connections",
    params(("id" = String, Path, description = "The connection's id.")),
    responses((status = 200, body = ConnectionTestEnvelope, description = "What was found."), Problems),
)]
#[post("/connections/{id}/test")]
async fn test_connection(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ConnectionId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let body = match services.connections.test(&permit, id.into_inner()).await {
        Ok(report) => ConnectionTest::found(report),
        Err(ConnectionError::Unreachable(diagnosis)) => ConnectionTest::failed(*diagnosis),
        Err(err) => return Err(err.into()),
    };
    Ok(reply.ok(body))
}
