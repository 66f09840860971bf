use actix_web::{HttpResponse, delete, get, post, web};
use jiff::Timestamp;
use plinth_connections::{
    AllowedTables, Connection, ConnectionError, ConnectionId, ConnectionName, Diagnosis, Host,
    InvalidConnection, NewConnection, Place, SslMode, server_name,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;
use validator::Validate;

use super::envelope::{Reply, envelope, page_envelope};
use super::input::{Paging, Valid};
use super::problem::{DatabaseProblems, Problems};
use super::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_connections)
        .service(create_connection)
        .service(get_connection)
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
    let page = services.connections.list(&permit, after, paging.limit()?).await?;
    let next = page.next.map(|it| services.cursors.seal(LIST, it));
    Ok(reply.page(page.items.iter().map(ConnectionBody::from).collect::<Vec<_>>(), next))
}

/// Connect a database
///
/// Keeps the address and the credential (sealed; a password goes in and never comes out). Nothing is dialled unless
/// `verify` is true. Needs the scope `connections:write`.
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
    let connection = services.connections.create(&permit, body.0.parse()?, verify).await?;
    let location = format!("/v1/connections/{}", connection.id);
    Ok(reply.created(location, ConnectionBody::from(&connection)))
}

/// Show a connection
///
/// Needs the scope `connections:read`.
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
    Ok(reply.ok(ConnectionBody::from(&connection)))
}

/// Remove a connection
///
/// Its credential and what is known of its schema go too; the history of its queries stays. Needs the scope
/// `connections:write`.
#[utoipa::path(
    tag = "connections",
    params(("id" = String, Path, description = "The connection's id.")),
    responses((status = 204, description = "Removed."), Problems),
)]
#[delete("/connections/{id}")]
async fn delete_connection(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ConnectionId>,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    services.connections.remove(&permit, id.into_inner()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Test a connection
///
/// Opens a fresh session and says what it found. A database that cannot be reached is an answer too: `success` is false
/// and `diagnosis` says how far it came and what to do. Needs the scope `connections:write`.
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
        Ok(report) => ConnectionTest {
            success: true,
            latency_ms: Some(report.latency_ms),
            server_version: Some(report.server_version),
            server_version_num: Some(report.server_version_num),
            tls: Some(report.tls),
            warnings: report.warnings,
            diagnosis: None,
        },
        Err(ConnectionError::Unreachable(diagnosis)) => ConnectionTest {
            success: false,
            latency_ms: None,
            server_version: None,
            server_version_num: None,
            tls: None,
            warnings: Vec::new(),
            diagnosis: Some(DiagnosisBody::from(*diagnosis)),
        },
        Err(err) => return Err(err.into()),
    };
    Ok(reply.ok(body))
}

/// A database to connect.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct CreateConnection {
    /// What kind of database; `postgresql` is the only one.
    #[serde(rename = "type")]
    #[schema(example = "postgresql")]
    kind: DatabaseKind,
    /// 1 to 100 characters, unique in the organization.
    #[schema(example = "Production", min_length = 1, max_length = 100)]
    name: String,
    /// One DNS name or one IP address.
    #[schema(example = "db.example.com")]
    host: String,
    /// TCP port.
    #[serde(default = "default_port")]
    #[schema(default = 5432, minimum = 1, maximum = 65535)]
    #[validate(range(min = 1, max = 65535, message = "a port is a number from 1 to 65535"))]
    port: u32,
    /// The database's name.
    #[schema(example = "shop")]
    database: String,
    /// The role to log in as; one that can only read is best.
    #[schema(example = "reader")]
    username: String,
    /// The role's password. Never sent back.
    #[schema(value_type = String, format = Password, write_only)]
    password: SecretString,
    /// How the transport is protected, meaning what libpq means by it.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "require", default = "prefer", pattern = "^(disable|prefer|require|verify-ca|verify-full)$")]
    ssl_mode: Option<String>,
    /// The tables that may be read, as `schema.table`; without it, every table that the role may read, system catalogs
    /// excepted.
    #[schema(example = json!(["public.orders", "public.customers"]))]
    allowed_tables: Option<Vec<String>>,
    /// Whether `plinth_test_…` keys may use it.
    #[serde(default)]
    is_test: bool,
    /// Log in once before it is kept; if that fails nothing is kept.
    #[serde(default)]
    verify: bool,
}

fn default_port() -> u32 {
    5432
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum DatabaseKind {
    Postgresql,
}

impl CreateConnection {
    fn parse(self) -> Result<NewConnection, Problem> {
        let secret = self.password.expose_secret();
        if secret.len() > 1024 || secret.contains('\0') {
            return Err(InvalidConnection::Password.into());
        }
        let allowed_tables = match &self.allowed_tables {
            None => AllowedTables::All,
            Some(names) => AllowedTables::parse(names.iter().map(String::as_str))?,
        };
        let DatabaseKind::Postgresql = self.kind;
        Ok(NewConnection {
            name: ConnectionName::parse(&self.name)?,
            place: Place::Typed {
                host: Host::parse(&self.host)?,
                port: u16::try_from(self.port).map_err(|_| InvalidConnection::Port)?,
            },
            database: server_name(self.database, InvalidConnection::Database)?,
            username: server_name(self.username, InvalidConnection::Username)?,
            password: self.password,
            ssl_mode: self.ssl_mode.as_deref().map_or(Ok(SslMode::default()), str::parse)?,
            allowed_tables,
            is_test: self.is_test,
        })
    }
}

/// A connected database.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Connection)]
struct ConnectionBody {
    #[schema(example = "conn_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: String,
    organization_id: Uuid,
    #[serde(rename = "type")]
    kind: DatabaseKind,
    name: String,
    /// Null for a database that Plinth runs itself.
    #[schema(required = true)]
    host: Option<String>,
    /// Null for a database that Plinth runs itself.
    #[schema(required = true)]
    port: Option<u16>,
    database: String,
    username: String,
    ssl_mode: &'static str,
    /// Null: every table that the role may read.
    #[schema(required = true)]
    allowed_tables: Option<Vec<String>>,
    is_test: bool,
    /// Whether Plinth runs the database itself.
    is_managed: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<&Connection> for ConnectionBody {
    fn from(it: &Connection) -> Self {
        let (host, port) = match &it.place {
            Place::Typed { host, port } => (Some(host.to_string()), Some(*port)),
            Place::Managed { .. } => (None, None),
        };
        Self {
            id: it.id.to_string(),
            organization_id: it.org.as_uuid(),
            kind: DatabaseKind::Postgresql,
            name: it.name.to_string(),
            is_managed: host.is_none(),
            host,
            port,
            database: it.database.clone(),
            username: it.username.clone(),
            ssl_mode: it.ssl_mode.as_str(),
            allowed_tables: it.allowed_tables.names(),
            is_test: it.is_test,
            created_at: it.created_at,
            updated_at: it.updated_at,
        }
    }
}

/// What a test of a connection found.
#[derive(Debug, Serialize, ToSchema)]
struct ConnectionTest {
    /// Whether a session could be opened.
    success: bool,
    /// From the first packet to a usable session, in milliseconds.
    latency_ms: Option<f64>,
    #[schema(example = "15.18")]
    server_version: Option<String>,
    #[schema(example = 150_018)]
    server_version_num: Option<u32>,
    /// Whether the session was encrypted.
    tls: Option<bool>,
    /// What the owner should know, like a role that can write.
    warnings: Vec<String>,
    /// Why it failed and what to do.
    diagnosis: Option<DiagnosisBody>,
}

/// Why a database could not be reached.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Diagnosis)]
struct DiagnosisBody {
    /// How far it came: `resolve`, `connect`, `tls`, `auth`, `database` or `read_schema`.
    #[schema(value_type = String, example = "auth")]
    stage: plinth_connections::Stage,
    /// What went wrong there, as a word to match on.
    #[schema(value_type = String, example = "wrong_password")]
    fault: plinth_connections::Fault,
    title: String,
    explanation: String,
    /// What to do, most likely first.
    fix_steps: Vec<String>,
    /// Whether the same attempt may succeed later without a change.
    retryable: bool,
}

impl From<Diagnosis> for DiagnosisBody {
    fn from(it: Diagnosis) -> Self {
        let Diagnosis { stage, fault, title, explanation, fix_steps, retryable } = it;
        Self { stage, fault, title, explanation, fix_steps, retryable }
    }
}

envelope! {
    /// A connection.
    ConnectionEnvelope(ConnectionBody)
}
envelope! {
    /// What a test found.
    ConnectionTestEnvelope(ConnectionTest)
}
page_envelope! {
    /// A page of connections.
    ConnectionPage(ConnectionBody)
}
