//! Write connections: what actions of workflows write through.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, delete, get, patch, post, web};
use jiff::Timestamp;
use plinth_connections::writes::{
    NewWriteConnection, USUAL_WRITTEN_ROWS, WriteConnection, WriteConnectionId,
    WriteConnectionPatch,
};
use plinth_connections::{
    AllowedTables, ConnectionId, ConnectionName, InvalidConnection, TableName, password,
    server_name,
};
use plinth_core::UserId;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use super::envelope::{Reply, envelope, page_envelope};
use super::etag::{IfMatch, tagged};
use super::input::{Paging, Valid};
use super::problem::{DatabaseProblems, EditProblems, Problems};
use super::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_write_connections)
        .service(create_write_connection)
        .service(get_write_connection)
        .service(update_write_connection)
        .service(delete_write_connection);
}

/// The name of the list in cursors.
const LIST: &str = "write connections";

/// List write connections
///
/// Newest first. Needs the scope `connections:read`.
#[utoipa::path(
    tag = "connections",
    params(Paging),
    responses((status = 200, body = WriteConnectionPage, description = "A page of write connections."), Problems),
)]
#[get("/write-connections")]
async fn list_write_connections(
    caller: Caller,
    services: web::Data<Services>,
    paging: web::Query<Paging>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let after = paging.cursor(&services.cursors, LIST)?;
    let page = services.write_connections.list(&permit, after, paging.limit()?).await?;
    let next = page.next.map(|it| services.cursors.seal(LIST, it));
    Ok(reply.page(page.items.iter().map(WriteConnectionBody::from).collect::<Vec<_>>(), next))
}

/// Make a write connection
///
/// It stands beside a connection, over the same database, with a role of its own that must not be the one that reads. Only
/// `write` actions of workflows use it, for one INSERT, UPDATE, DELETE or CALL on what is listed. It is tried out once, unless
/// `verify` is false; with `key_schema` the table `plinth_write_keys` is made there, by which an action takes effect once. Without it an action takes
/// effect at most once. Needs the scope `connections:write`.
#[utoipa::path(
    tag = "connections",
    request_body = CreateWriteConnection,
    responses((status = 201, body = WriteConnectionEnvelope, description = "Made."), Problems, DatabaseProblems),
)]
#[post("/write-connections")]
async fn create_write_connection(
    caller: Caller,
    services: web::Data<Services>,
    body: Valid<CreateWriteConnection>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let body = body.0;
    let verify = body.verify;
    let new = NewWriteConnection {
        name: ConnectionName::parse(&body.name)?,
        connection: body.connection_id,
        username: server_name(body.username, InvalidConnection::Username)?,
        password: password(body.password)?,
        tables: names(&body.tables)?,
        procedures: names(&body.procedures)?,
        max_rows: body.max_rows.unwrap_or(USUAL_WRITTEN_ROWS),
        key_schema: body.key_schema,
    };
    let made = services.write_connections.create(&permit, new, verify).await?;
    let location = format!("/v1/write-connections/{}", made.id);
    Ok(tagged(reply.created(location, WriteConnectionBody::from(&made)), made.revision))
}

/// Show a write connection
///
/// The answer's `ETag` is for `If-Match` of a change. Needs the scope `connections:read`.
#[utoipa::path(
    tag = "connections",
    params(("id" = String, Path, description = "The write connection's id.", example = "wconn_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = WriteConnectionEnvelope, description = "The write connection."), Problems),
)]
#[get("/write-connections/{id}")]
async fn get_write_connection(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<WriteConnectionId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let found = services.write_connections.get(&caller.permit()?, id.into_inner()).await?;
    Ok(tagged(reply.ok(WriteConnectionBody::from(&found)), found.revision))
}

/// Change a write connection
///
/// What is left out stays; the connection beside which it stands is for good. Another `username` takes the password beside
/// it, and so does everything once that connection leads elsewhere. Another role or `key_schema` is tried out before it is
/// kept; `key_schema: null` keeps no more keys. Needs the scope `connections:write`.
#[utoipa::path(
    tag = "connections",
    params(
        ("id" = String, Path, description = "The write connection's id.", example = "wconn_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that you read."),
    ),
    request_body = UpdateWriteConnection,
    responses(
        (status = 200, body = WriteConnectionEnvelope, description = "The write connection as it is now."),
        Problems, EditProblems, DatabaseProblems,
    ),
)]
#[patch("/write-connections/{id}")]
async fn update_write_connection(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<WriteConnectionId>,
    if_match: IfMatch,
    body: Valid<UpdateWriteConnection>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let body = body.0;
    let username = body.username.map(|it| server_name(it, InvalidConnection::Username));
    let patch = WriteConnectionPatch {
        name: body.name.as_deref().map(ConnectionName::parse).transpose()?,
        username: username.transpose()?,
        password: body.password.map(password).transpose()?,
        tables: body.tables.as_deref().map(names).transpose()?,
        procedures: body.procedures.as_deref().map(names).transpose()?,
        max_rows: body.max_rows,
        key_schema: body.key_schema,
    };
    let (id, expected) = (id.into_inner(), if_match.revisions());
    let changed = services.write_connections.update(&permit, id, patch, expected).await?;
    Ok(tagged(reply.ok(WriteConnectionBody::from(&changed)), changed.revision))
}

/// Remove a write connection
///
/// Its credential goes too, and actions that name it fail from then on. The table of keys stays in the database. Needs the
/// scope `connections:write`.
#[utoipa::path(
    tag = "connections",
    params(("id" = String, Path, description = "The write connection's id.", example = "wconn_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 204, description = "Removed."), Problems),
)]
#[delete("/write-connections/{id}")]
async fn delete_write_connection(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<WriteConnectionId>,
) -> Result<HttpResponse, Problem> {
    services.write_connections.remove(&caller.permit()?, id.into_inner()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// What makes a write connection.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct CreateWriteConnection {
    /// 1 to 100 characters, unique among the organization's write connections.
    #[schema(example = "Orders, writing", min_length = 1, max_length = 100)]
    name: String,
    /// The connection beside which it stands.
    #[schema(value_type = String, example = "conn_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    connection_id: ConnectionId,
    /// The role that writes; never the one that the connection reads with.
    #[schema(example = "writer")]
    username: String,
    /// The role's password. Never sent back.
    #[schema(value_type = String, format = Password, write_only)]
    password: SecretString,
    /// The tables that may be written, and read in the same statement, as `schema.table`.
    #[serde(default)]
    #[validate(length(max = 200, message = "has at most 200 names"))]
    #[schema(example = json!(["public.orders"]))]
    tables: Vec<String>,
    /// The procedures that may be called, as `schema.procedure`. What a procedure does is not judged.
    #[serde(default)]
    #[validate(length(max = 200, message = "has at most 200 names"))]
    #[schema(example = json!([]))]
    procedures: Vec<String>,
    /// A statement that changes more rows is rolled back.
    #[schema(default = 1000, minimum = 1, maximum = 1_000_000)]
    max_rows: Option<u32>,
    /// In which schema of the database the table `plinth_write_keys` is made, so that actions take effect once.
    #[schema(example = json!(null))]
    key_schema: Option<String>,
    /// Log in once before it is kept; if that fails nothing is kept. With `key_schema` that is done in any case.
    #[serde(default = "yes")]
    #[schema(default = true)]
    verify: bool,
}

/// What to change of a write connection.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct UpdateWriteConnection {
    /// 1 to 100 characters.
    #[schema(example = "Orders, writing", min_length = 1, max_length = 100)]
    name: Option<String>,
    /// Takes `password` beside it.
    username: Option<String>,
    /// The role's password. Never sent back.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    password: Option<SecretString>,
    /// All tables that may be written.
    #[validate(length(max = 200, message = "has at most 200 names"))]
    tables: Option<Vec<String>>,
    /// All procedures that may be called.
    #[validate(length(max = 200, message = "has at most 200 names"))]
    procedures: Option<Vec<String>>,
    /// A statement that changes more rows is rolled back.
    #[schema(minimum = 1, maximum = 1_000_000)]
    max_rows: Option<u32>,
    /// Null keeps no more keys.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<String>)]
    key_schema: Option<Option<String>>,
}

fn yes() -> bool {
    true
}

/// Tells null from what was left out.
fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn names(texts: &[String]) -> Result<BTreeSet<TableName>, Problem> {
    match AllowedTables::parse(texts.iter().map(String::as_str))? {
        AllowedTables::Listed(names) => Ok(names),
        AllowedTables::All => Ok(BTreeSet::new()),
    }
}

/// A write connection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WriteConnection)]
struct WriteConnectionBody {
    #[schema(value_type = String, example = "wconn_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: WriteConnectionId,
    name: String,
    /// The connection beside which it stands.
    #[schema(value_type = String, example = "conn_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    connection_id: ConnectionId,
    username: String,
    tables: Vec<String>,
    procedures: Vec<String>,
    max_rows: u32,
    /// Null: no keys are kept, and actions take effect at most once.
    #[schema(required = true)]
    key_schema: Option<String>,
    #[schema(value_type = String, example = "user_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    created_by: UserId,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<&WriteConnection> for WriteConnectionBody {
    fn from(it: &WriteConnection) -> Self {
        let names = |it: &BTreeSet<TableName>| it.iter().map(ToString::to_string).collect();
        Self {
            id: it.id,
            name: it.name.to_string(),
            connection_id: it.connection,
            username: it.username.clone(),
            tables: names(&it.tables),
            procedures: names(&it.procedures),
            max_rows: it.max_rows,
            key_schema: it.key_schema.clone(),
            created_by: it.created_by,
            created_at: it.created_at,
            updated_at: it.updated_at,
        }
    }
}

envelope! {
    /// A write connection.
    WriteConnectionEnvelope(WriteConnectionBody)
}
page_envelope! {
    /// A page of write connections.
    WriteConnectionPage(WriteConnectionBody)
}
