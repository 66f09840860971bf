use actix_web::{HttpResponse, delete, get, patch, post, web};
use plinth_control_plane::{
    BranchId, EndpointId, EndpointKind, EndpointPatch, NewEndpoint, Outcome, ProjectId,
};
use plinth_core::{ErrorKind, ProjectsWrite};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::body::{EndpointBody, operations};
use super::optional;
use crate::http::problem::ControlPlaneProblems;
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_endpoints)
        .service(create_endpoint)
        .service(get_endpoint)
        .service(update_endpoint)
        .service(delete_endpoint)
        .service(start_endpoint)
        .service(suspend_endpoint)
        .service(restart_endpoint)
        .service(list_branch_endpoints);
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = EndpointRequest)]
struct EndpointRequest {
    endpoint: EndpointFields,
}

/// What can be said of an endpoint.
#[derive(Default, Deserialize, ToSchema)]
pub(super) struct EndpointFields {
    branch_id: Option<String>,
    /// `read_write` (one a branch) or `read_only`.
    pub(super) r#type: Option<String>,
    name: Option<String>,
    #[schema(value_type = Option<Object>)]
    settings: Option<Value>,
    autoscaling_limit_min_cu: Option<f64>,
    autoscaling_limit_max_cu: Option<f64>,
    suspend_timeout_seconds: Option<i64>,
    disabled: Option<bool>,
    /// Whether it has a pooled port; by default where PgBouncer is on the node's machine.
    pooler_enabled: Option<bool>,
}

impl From<EndpointFields> for EndpointPatch {
    fn from(it: EndpointFields) -> Self {
        Self {
            name: it.name,
            settings: it.settings,
            min: it.autoscaling_limit_min_cu,
            max: it.autoscaling_limit_max_cu,
            suspend_timeout_seconds: it.suspend_timeout_seconds,
            disabled: it.disabled,
            pooled: it.pooler_enabled,
        }
    }
}

fn not_found() -> Problem {
    Problem::new(ErrorKind::NotFound, "endpoint not found", None)
}

fn changed(outcome: &Outcome, id: &EndpointId) -> Result<HttpResponse, Problem> {
    let endpoint = outcome.tree.endpoint(id).ok_or_else(not_found)?;
    Ok(HttpResponse::Ok().json(json!({
        "endpoint": EndpointBody::of(&outcome.tree, endpoint),
        "operations": operations(&outcome.operations),
    })))
}

/// List endpoints
///
/// Needs the scope `projects:read`.
#[utoipa::path(
    tag = "endpoints",
    params(("project_id" = String, Path, description = "The project's id.")),
    responses((status = 200, description = "`endpoints`."), ControlPlaneProblems),
)]
#[get("/projects/{project_id}/endpoints")]
async fn list_endpoints(
    caller: Caller,
    services: web::Data<Services>,
    project: web::Path<ProjectId>,
) -> Result<HttpResponse, Problem> {
    let tree = services.control_plane.get(&caller.permit()?, &project).await?;
    let all: Vec<_> = tree.endpoints.iter().map(|it| EndpointBody::of(&tree, it)).collect();
    Ok(HttpResponse::Ok().json(json!({ "endpoints": all })))
}

/// List a branch's endpoints
///
/// Needs the scope `projects:read`.
#[utoipa::path(
    tag = "endpoints",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id.")),
    responses((status = 200, description = "`endpoints`."), ControlPlaneProblems),
)]
#[get("/projects/{project_id}/branches/{branch_id}/endpoints")]
async fn list_branch_endpoints(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId)>,
) -> Result<HttpResponse, Problem> {
    let (project, branch) = path.into_inner();
    let tree = services.control_plane.with_branch(&caller.permit()?, &project, &branch).await?;
    let all: Vec<_> = tree.endpoints_of(&branch).map(|it| EndpointBody::of(&tree, it)).collect();
    Ok(HttpResponse::Ok().json(json!({ "endpoints": all })))
}

/// Make an endpoint
///
/// A branch has one that writes. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "endpoints",
    params(("project_id" = String, Path, description = "The project's id.")),
    request_body = EndpointRequest,
    responses((status = 201, description = "The endpoint."), ControlPlaneProblems),
)]
#[post("/projects/{project_id}/endpoints")]
async fn create_endpoint(
    caller: Caller,
    services: web::Data<Services>,
    project: web::Path<ProjectId>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit::<ProjectsWrite>()?;
    let fields = optional::<EndpointRequest>(&body)?.endpoint;
    let required = |field: &str| {
        let rule = "is required";
        Problem::invalid(format!("{field} {rule}"), json!({ field: rule }))
    };
    let branch = fields.branch_id.as_deref().ok_or_else(|| required("branch_id"))?;
    let branch = branch.parse();
    let branch = branch.map_err(|_| Problem::new(ErrorKind::NotFound, "branch not found", None))?;
    let kind = fields.r#type.as_deref().ok_or_else(|| required("type"))?;
    let kind = endpoint_kind(kind)?;
    let new = NewEndpoint { branch, kind, patch: fields.into() };
    let (outcome, id) = services.control_plane.create_endpoint(&permit, &project, new).await?;
    let mut answer = changed(&outcome, &id)?;
    *answer.status_mut() = actix_web::http::StatusCode::CREATED;
    Ok(answer)
}

/// Read an endpoint
///
/// Needs the scope `projects:read`.
#[utoipa::path(
    tag = "endpoints",
    params(("project_id" = String, Path, description = "The project's id."), ("endpoint_id" = String, Path, description = "The endpoint's id.")),
    responses((status = 200, description = "The endpoint."), ControlPlaneProblems),
)]
#[get("/projects/{project_id}/endpoints/{endpoint_id}")]
async fn get_endpoint(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, EndpointId)>,
) -> Result<HttpResponse, Problem> {
    let (project, id) = path.into_inner();
    let tree = services.control_plane.get(&caller.permit()?, &project).await?;
    let endpoint = tree.endpoint(&id).ok_or_else(not_found)?;
    Ok(HttpResponse::Ok().json(json!({ "endpoint": EndpointBody::of(&tree, endpoint) })))
}

/// Change an endpoint
///
/// Settings that Postgres takes only at a start hold from its next one. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "endpoints",
    params(("project_id" = String, Path, description = "The project's id."), ("endpoint_id" = String, Path, description = "The endpoint's id.")),
    request_body = EndpointRequest,
    responses((status = 200, description = "The endpoint."), ControlPlaneProblems),
)]
#[patch("/projects/{project_id}/endpoints/{endpoint_id}")]
async fn update_endpoint(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, EndpointId)>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let (project, id) = path.into_inner();
    let patch = optional::<EndpointRequest>(&body)?.endpoint.into();
    let permit = caller.permit()?;
    let outcome = services.control_plane.update_endpoint(&permit, &project, &id, patch).await?;
    changed(&outcome, &id)
}

/// Delete an endpoint
///
/// The branch stays. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "endpoints",
    params(("project_id" = String, Path, description = "The project's id."), ("endpoint_id" = String, Path, description = "The endpoint's id.")),
    responses((status = 200, description = "The endpoint as it was."), (status = 204, description = "It was not there."), ControlPlaneProblems),
)]
#[delete("/projects/{project_id}/endpoints/{endpoint_id}")]
async fn delete_endpoint(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, EndpointId)>,
) -> Result<HttpResponse, Problem> {
    let (project, id) = path.into_inner();
    let done = services.control_plane.delete_endpoint(&caller.permit()?, &project, &id).await?;
    let Some((outcome, endpoint)) = done else { return Ok(HttpResponse::NoContent().finish()) };
    Ok(HttpResponse::Ok().json(json!({
        "endpoint": EndpointBody::of(&outcome.tree, &endpoint),
        "operations": operations(&outcome.operations),
    })))
}

/// Start an endpoint
///
/// Its Postgres, that is: the port is open anyway. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "endpoints",
    params(("project_id" = String, Path, description = "The project's id."), ("endpoint_id" = String, Path, description = "The endpoint's id.")),
    responses((status = 200, description = "The endpoint."), ControlPlaneProblems),
)]
#[post("/projects/{project_id}/endpoints/{endpoint_id}/start")]
async fn start_endpoint(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, EndpointId)>,
) -> Result<HttpResponse, Problem> {
    let (project, id) = path.into_inner();
    let outcome = services.control_plane.start_endpoint(&caller.permit()?, &project, &id).await?;
    changed(&outcome, &id)
}

/// Suspend an endpoint
///
/// Its sessions end; the next connection starts its Postgres. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "endpoints",
    params(("project_id" = String, Path, description = "The project's id."), ("endpoint_id" = String, Path, description = "The endpoint's id.")),
    responses((status = 200, description = "The endpoint."), ControlPlaneProblems),
)]
#[post("/projects/{project_id}/endpoints/{endpoint_id}/suspend")]
async fn suspend_endpoint(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, EndpointId)>,
) -> Result<HttpResponse, Problem> {
    let (project, id) = path.into_inner();
    let outcome = services.control_plane.suspend_endpoint(&caller.permit()?, &project, &id).await?;
    changed(&outcome, &id)
}

/// Restart an endpoint
///
/// Needs the scope `projects:write`.
#[utoipa::path(
    tag = "endpoints",
    params(("project_id" = String, Path, description = "The project's id."), ("endpoint_id" = String, Path, description = "The endpoint's id.")),
    responses((status = 200, description = "The endpoint."), ControlPlaneProblems),
)]
#[post("/projects/{project_id}/endpoints/{endpoint_id}/restart")]
async fn restart_endpoint(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, EndpointId)>,
) -> Result<HttpResponse, Problem> {
    let (project, id) = path.into_inner();
    let outcome = services.control_plane.restart_endpoint(&caller.permit()?, &project, &id).await?;
    changed(&outcome, &id)
}

pub(super) fn endpoint_kind(text: &str) -> Result<EndpointKind, Problem> {
    text.parse().map_err(|_| {
        let rule = "must be read_write or read_only";
        Problem::invalid(format!("type {rule}"), json!({ "type": rule }))
    })
}
