//! One table.

use actix_web::{HttpResponse, get, post, web};
use plinth_connections::ConnectionId;
use plinth_schema_introspect::{Visible, table_ddl};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::bodies::{SchemaSummary, TableBody};
use super::listing::Listed;
use crate::http::envelope::{Reply, envelope};
use crate::http::problem::{DatabaseProblems, Problems};
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(get_table).service(get_table_ddl).service(refresh_table);
}

/// Show a table
///
/// One table or view from the newest snapshot. Needs the scope `connections:read`.
#[utoipa::path(
    tag = "schemas",
    params(
        ("id" = String, Path, description = "The connection's id."),
        ("table" = String, Path, description = "The table, as `schema.table`; without a schema it is looked for along the search path.", example = "public.orders"),
    ),
    responses((status = 200, body = TableEnvelope, description = "The table."), Problems, DatabaseProblems),
)]
#[get("/connections/{id}/schema/tables/{table}")]
async fn get_table(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ConnectionId, String)>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (id, table) = path.into_inner();
    let (opened, snapshot) = services.schemas.get(&permit, id).await?;
    let policies = services.queries.policies();
    let snapshot = policies.shown(permit.principal(), &opened, snapshot).await?;
    let written = services.annotations.current(&opened).await?;
    let visible = Visible::new(&snapshot.catalog, &opened.connection.allowed_tables);
    let table = Listed::from(visible.table(&table)?);
    Ok(reply.ok(TableBody::new(&table, &visible, &written)))
}

/// Read a table anew
///
/// Reads one table or view of the database's catalog now, without looking at the others, and keeps it on top of the newest
/// snapshot, as a new one. A table that is gone is gone from there. Where nothing was read before, or what the table refers
/// to is not known yet, everything is read. Needs the scope `connections:write`.
#[utoipa::path(
    tag = "schemas",
    params(
        ("id" = String, Path, description = "The connection's id."),
        ("table" = String, Path, description = "The table, as `schema.table`; without a schema it is looked for along the search path.", example = "public.orders"),
    ),
    responses((status = 200, body = TableRefreshEnvelope, description = "The schema with that table."), Problems, DatabaseProblems),
)]
#[post("/connections/{id}/schema/tables/{table}/refresh")]
async fn refresh_table(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ConnectionId, String)>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (id, table) = path.into_inner();
    let (opened, snapshot) = services.schemas.refresh_table(&permit, id, &table).await?;
    let policies = services.queries.policies();
    let snapshot = policies.shown(permit.principal(), &opened, snapshot).await?;
    let visible = Visible::new(&snapshot.catalog, &opened.connection.allowed_tables);
    Ok(reply.ok(SchemaSummary::new(&visible, &snapshot)))
}

envelope! {
    /// What is known after a table was read anew.
    TableRefreshEnvelope(SchemaSummary)
}

/// Show a table as SQL
///
/// The statements that would make the table or view anew: types, sequences, the table with its keys and conditions,
/// indexes, references, comments. What this connection does not show is left out, and `remarks` say so. Privileges,
/// triggers, policies and storage settings are not in it. Needs the scope `connections:read`.
#[utoipa::path(
    tag = "schemas",
    params(
        ("id" = String, Path, description = "The connection's id."),
        ("table" = String, Path, description = "The table, as `schema.table`; without a schema it is looked for along the search path.", example = "public.orders"),
    ),
    responses((status = 200, body = DdlEnvelope, description = "The statements."), Problems, DatabaseProblems),
)]
#[get("/connections/{id}/schema/tables/{table}/ddl")]
async fn get_table_ddl(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ConnectionId, String)>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (id, table) = path.into_inner();
    let (opened, snapshot) = services.schemas.get(&permit, id).await?;
    let policies = services.queries.policies();
    let snapshot = policies.shown(permit.principal(), &opened, snapshot).await?;
    let visible = Visible::new(&snapshot.catalog, &opened.connection.allowed_tables);
    let relation = visible.table(&table)?;
    let ddl = table_ddl(&visible, relation);
    Ok(reply.ok(DdlBody {
        table: relation.full_name(),
        sql: ddl.to_string(),
        remarks: ddl.remarks,
    }))
}

/// A table as SQL.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TableDdl)]
struct DdlBody {
    #[schema(example = "public.orders")]
    table: String,
    /// Statements, each ended by a semicolon, in an order in which they can run.
    #[schema(example = "CREATE TABLE public.orders (\n    id integer NOT NULL\n);\n")]
    sql: String,
    /// What was left out; also at the head of `sql`.
    remarks: Vec<String>,
}

envelope! {
    /// A table as SQL.
    DdlEnvelope(DdlBody)
}
envelope! {
    /// A table.
    TableEnvelope(TableBody<'static>)
}
