use actix_web::{HttpResponse, get, web};
use plinth_control_plane::{OperationId, ProjectId};
use plinth_core::Cursor;
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::body::{OperationBody, operations};
use super::limit;
use crate::http::problem::ControlPlaneProblems;
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list_operations).service(get_operation);
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Where the page begins: what the one before gave.
    cursor: Option<String>,
    /// How many, at most 1000.
    limit: Option<u32>,
}

/// List operations
///
/// Newest first, also those of a project that was deleted. Needs the scope `projects:read`.
#[utoipa::path(
    tag = "operations",
    params(("project_id" = String, Path, description = "The project's id."), ListQuery),
    responses((status = 200, description = "`operations`, and `pagination.cursor` while there may be more."), ControlPlaneProblems),
)]
#[get("/projects/{project_id}/operations")]
async fn list_operations(
    caller: Caller,
    services: web::Data<Services>,
    project: web::Path<ProjectId>,
    query: web::Query<ListQuery>,
) -> Result<HttpResponse, Problem> {
    let after = query.cursor.as_deref().filter(|it| !it.is_empty());
    let after = after.map(|it| services.cursors.open("operations", it)).transpose()?;
    let limit = limit(query.limit, 1000, 1000)?;
    let permit = caller.permit()?;
    let found = services.control_plane.operations(&permit, &project, after, limit).await?;
    let mut body = json!({ "operations": operations(&found) });
    if let Some(last) = found.last() {
        let place = Cursor { created_at: last.created_at, id: last.id.as_uuid() };
        body["pagination"] = json!({ "cursor": services.cursors.seal("operations", place) });
    }
    Ok(HttpResponse::Ok().json(body))
}

/// Read an operation
///
/// Needs the scope `projects:read`.
#[utoipa::path(
    tag = "operations",
    params(("project_id" = String, Path, description = "The project's id."), ("operation_id" = Uuid, Path, description = "The operation's id.")),
    responses((status = 200, description = "The operation."), ControlPlaneProblems),
)]
#[get("/projects/{project_id}/operations/{operation_id}")]
async fn get_operation(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, Uuid)>,
) -> Result<HttpResponse, Problem> {
    let (project, id) = path.into_inner();
    let (permit, id) = (caller.permit()?, OperationId::from_uuid(id));
    let found = services.control_plane.operation(&permit, &project, id).await?;
    Ok(HttpResponse::Ok().json(json!({ "operation": OperationBody::from(&found) })))
}
