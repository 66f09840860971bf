//! Looking at a database that is not kept: does it answer, what is in it.

use actix_web::{HttpResponse, post, web};
use plinth_connections::{AllowedTables, ConnectionError, Diagnosis, TestReport, TriedTable};
use plinth_schema_introspect::{Discovered, DiscoveredTable};
use serde::Serialize;
use utoipa::ToSchema;

use super::input::ProbeInput;
use super::told_of_schema;
use crate::http::connections::DiagnosisBody;
use crate::http::input::Valid;
use crate::http::problem::{ConfigDatabaseProblems, ConfigProblems};
use crate::http::{Caller, Problem, Services};

/// Test a Postgres database
///
/// Logs in with what was sent and reads a row of the first allowed table, or of any. A database that cannot be reached is
/// an answer too: `success` is false and `diagnosis` says how far it came and what to do. Nothing is kept. Needs the scope
/// `connections:write`.
#[utoipa::path(
    tag = "database configs",
    request_body = ProbeInput,
    responses((status = 200, body = PostgresTest, description = "What was found."), ConfigProblems),
)]
#[post("/api/db/test-postgres")]
pub(super) async fn test_postgres(
    caller: Caller,
    services: web::Data<Services>,
    body: Valid<ProbeInput>,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let probe = body.0.parse(services.clock.now())?;
    // An empty list lets nothing be read, so there is nothing to try.
    let nothing = AllowedTables::parse([])?;
    let tested = if probe.allowed == nothing {
        services.connections.test_login_only(&permit, &probe.login).await.map(|it| (it, None))
    } else {
        services.connections.test_login(&permit, &probe.login, probe.first_table.as_ref()).await
    };
    let body = match tested {
        Ok((report, tried)) => PostgresTest::found(report, tried),
        Err(ConnectionError::Unreachable(diagnosis)) => PostgresTest::failed(*diagnosis),
        Err(err) => return Err(err.into()),
    };
    Ok(HttpResponse::Ok().json(body))
}

/// Discover a Postgres schema
///
/// Says what could be read with what was sent, so that somebody can choose. Nothing is kept. Needs the scope
/// `connections:write`.
#[utoipa::path(
    tag = "database configs",
    request_body = ProbeInput,
    responses(
        (status = 200, body = PostgresDiscovery, description = "What could be read."),
        ConfigProblems, ConfigDatabaseProblems,
    ),
)]
#[post("/api/db/discover-postgres-schema")]
pub(super) async fn discover_postgres_schema(
    caller: Caller,
    services: web::Data<Services>,
    body: Valid<ProbeInput>,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let probe = body.0.parse(services.clock.now())?;
    let found = services.discovery.discover(&permit, &probe.login, &probe.allowed).await;
    Ok(HttpResponse::Ok().json(PostgresDiscovery::from(found.map_err(told_of_schema)?)))
}

/// What a test found.
#[derive(Debug, Serialize, ToSchema)]
struct PostgresTest {
    /// Whether a session could be opened.
    success: bool,
    /// From the first packet to a usable session, in milliseconds.
    #[schema(required = true)]
    latency_ms: Option<f64>,
    /// The first allowed table, or the first that the role may read; null if there is none.
    #[schema(required = true, example = "public.users")]
    tested_table: Option<String>,
    /// Whether a row of it could be read; null if there was no table to try.
    #[schema(required = true)]
    tested_table_accessible: Option<bool>,
    #[schema(required = true, example = "15.18")]
    server_version: Option<String>,
    /// Whether the session was encrypted.
    #[schema(required = true)]
    tls: Option<bool>,
    /// What the owner should know, like a superuser or a role that can write.
    warnings: Vec<String>,
    /// `connection_error`, if no session could be opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    /// Why none could, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// `error`, if none could.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    /// Why none could, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnosis: Option<DiagnosisBody>,
}

impl PostgresTest {
    fn found(report: TestReport, tried: Option<TriedTable>) -> Self {
        Self {
            success: true,
            latency_ms: Some(report.latency_ms),
            tested_table: tried.as_ref().map(|it| it.name.to_string()),
            tested_table_accessible: tried.map(|it| it.is_accessible),
            server_version: Some(report.server_version),
            tls: Some(report.tls),
            warnings: report.warnings,
            error: None,
            message: None,
            status: None,
            diagnosis: None,
        }
    }

    fn failed(diagnosis: Diagnosis) -> Self {
        Self {
            success: false,
            latency_ms: None,
            tested_table: None,
            tested_table_accessible: None,
            server_version: None,
            tls: None,
            warnings: Vec::new(),
            error: Some("connection_error"),
            message: Some(diagnosis.to_string()),
            status: Some("error"),
            diagnosis: Some(diagnosis.into()),
        }
    }
}

/// What could be read.
#[derive(Debug, Serialize, ToSchema)]
struct PostgresDiscovery {
    success: bool,
    /// By name; system schemas are left out.
    schemas: Vec<SchemaFound>,
    duration_ms: u64,
}

/// A schema.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DiscoveredSchema)]
struct SchemaFound {
    #[schema(example = "public")]
    name: String,
    tables: Vec<TableFound>,
    views: Vec<TableFound>,
}

/// A table or view.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DiscoveredTable)]
struct TableFound {
    #[schema(example = "users")]
    name: String,
    #[schema(example = "public.users")]
    full_name: String,
    /// Exact below 10,000 for tables; above that, and for views, the planner's estimate. Null if neither could be had in
    /// time.
    #[schema(required = true)]
    row_count: Option<u64>,
}

impl From<Discovered> for PostgresDiscovery {
    fn from(it: Discovered) -> Self {
        let schemas = it.schemas.into_iter().map(|(schema, found)| {
            let (views, tables): (Vec<_>, Vec<_>) = found.into_iter().partition(|it| it.is_view);
            let told = |it: DiscoveredTable| TableFound {
                full_name: format!("{schema}.{}", it.name),
                name: it.name,
                row_count: it.row_count,
            };
            SchemaFound {
                tables: tables.into_iter().map(told).collect(),
                views: views.into_iter().map(told).collect(),
                name: schema.clone(),
            }
        });
        Self { success: true, schemas: schemas.collect(), duration_ms: it.duration_ms }
    }
}
