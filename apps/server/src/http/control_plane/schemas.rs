use actix_web::{HttpResponse, get, web};
use jiff::Timestamp;
use plinth_control_plane::{BranchId, Point, ProjectId, SchemaOf};
use plinth_core::ErrorKind;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;

use super::branches::lsn;
use crate::http::problem::ControlPlaneProblems;
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(get_branch_schema).service(compare_branch_schema);
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SchemaQuery {
    /// The database.
    #[param(example = "neondb")]
    db_name: String,
    /// As of which place in the branch's log.
    lsn: Option<String>,
    /// As of when; not together with `lsn`.
    timestamp: Option<Timestamp>,
    /// `sql`, or `json` for tables, columns and constraints.
    format: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CompareQuery {
    /// The database, in both branches.
    #[param(example = "neondb")]
    db_name: String,
    /// The branch to compare with; the parent unless said.
    #[param(value_type = Option<String>)]
    base_branch_id: Option<BranchId>,
    /// As of which place in the branch's log.
    lsn: Option<String>,
    /// As of when; not together with `lsn`.
    timestamp: Option<Timestamp>,
    /// As of which place in the other's log.
    base_lsn: Option<String>,
    /// As of when in the other; not together with `base_lsn`.
    base_timestamp: Option<Timestamp>,
}

/// A point as callers name it: now, unless they do.
pub(super) fn point(text: Option<&str>, timestamp: Option<Timestamp>) -> Result<Point, Problem> {
    match (lsn(text)?, timestamp) {
        (None, None) => Ok(Point::Head),
        (Some(lsn), None) => Ok(Point::Lsn(lsn)),
        (None, Some(at)) => Ok(Point::Time(at)),
        (Some(_), Some(_)) => {
            let rule = "give a timestamp or an LSN, not both";
            Err(Problem::invalid(format!("lsn: {rule}"), json!({ "lsn": rule })))
        }
    }
}

/// Read a branch's schema
///
/// As `pg_dump --schema-only` writes it, or as JSON; now or at a point of the branch's history. A branch that is suspended
/// runs for as long as that takes. Needs the scope `projects:read`.
#[utoipa::path(
    tag = "branches",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id."), SchemaQuery),
    responses((status = 200, description = "`sql`, or `json` with `tables`."), ControlPlaneProblems),
)]
#[get("/projects/{project_id}/branches/{branch_id}/schema")]
async fn get_branch_schema(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId)>,
    query: web::Query<SchemaQuery>,
) -> Result<HttpResponse, Problem> {
    let (project, branch) = path.into_inner();
    let SchemaQuery { db_name, lsn, timestamp, format } = query.into_inner();
    let of = SchemaOf { branch, database: db_name, point: point(lsn.as_deref(), timestamp)? };
    let (permit, plane) = (caller.permit()?, &services.control_plane);
    let body = match format.as_deref().unwrap_or("sql") {
        "sql" => json!({ "sql": plane.schema(&permit, &project, &of).await? }),
        "json" => {
            let tables = plane.tables(&permit, &project, &of).await?;
            let tables: Value = serde_json::from_str(&tables).map_err(|_| {
                Problem::new(ErrorKind::Internal, "the tables cannot be read", None)
            })?;
            json!({ "json": { "tables": tables } })
        }
        _ => {
            let rule = "must be sql or json";
            return Err(Problem::invalid(format!("format {rule}"), json!({ "format": rule })));
        }
    };
    Ok(HttpResponse::Ok().json(body))
}

/// Compare a branch's schema with another's
///
/// A unified diff that leads from the other branch, by default the parent, to this one; empty if they do not differ. Needs
/// the scope `projects:read`.
#[utoipa::path(
    tag = "branches",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id."), CompareQuery),
    responses((status = 200, description = "`diff`."), ControlPlaneProblems),
)]
#[get("/projects/{project_id}/branches/{branch_id}/compare_schema")]
async fn compare_branch_schema(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId)>,
    query: web::Query<CompareQuery>,
) -> Result<HttpResponse, Problem> {
    let (project, branch) = path.into_inner();
    let query = query.into_inner();
    let at = point(query.lsn.as_deref(), query.timestamp)?;
    let base_at = point(query.base_lsn.as_deref(), query.base_timestamp)?;
    let of = SchemaOf { branch, database: query.db_name, point: at };
    let (permit, plane) = (caller.permit()?, &services.control_plane);
    let diff = plane.compare_schema(&permit, &project, &of, query.base_branch_id, base_at).await?;
    Ok(HttpResponse::Ok().json(json!({ "diff": diff })))
}
