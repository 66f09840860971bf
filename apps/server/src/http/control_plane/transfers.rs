use actix_web::{HttpResponse, post, put, web};
use plinth_control_plane::ProjectId;
use plinth_core::{AllProjects, ErrorKind};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::optional;
use super::projects::of_caller;
use crate::http::problem::ControlPlaneProblems;
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(create_transfer_request).service(accept_transfer_request);
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = TransferRequestCreateRequest)]
struct CreateRequest {
    /// For how long it stands; a day unless said, at most 30.
    #[schema(example = 86400)]
    ttl_seconds: Option<i64>,
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = TransferRequestAcceptRequest)]
struct AcceptRequest {
    /// The organization that gets it: the caller's own.
    org_id: Option<String>,
}

/// Offer a project
///
/// Whoever is told the request's id can take the project into their organization, once. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "projects",
    params(("project_id" = String, Path, description = "The project's id.")),
    request_body = CreateRequest,
    responses((status = 201, description = "The request."), ControlPlaneProblems),
)]
#[post("/projects/{project_id}/transfer_requests")]
async fn create_transfer_request(
    caller: Caller,
    services: web::Data<Services>,
    project: web::Path<ProjectId>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let seconds = optional::<CreateRequest>(&body)?.ttl_seconds;
    let permit = caller.permit::<AllProjects>()?;
    let made = services.control_plane.request_transfer(&permit, &project, seconds).await?;
    Ok(HttpResponse::Created().json(json!({
        "id": made.id,
        "project_id": made.project.as_str(),
        "created_at": made.created_at,
        "expires_at": made.expires_at,
    })))
}

/// Take an offered project
///
/// Into the caller's organization, with its branches, endpoints and passwords; its addresses stay. Whoever offered it has it
/// no more. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "projects",
    params(("project_id" = String, Path, description = "The project's id."), ("request_id" = Uuid, Path, description = "The request's id.")),
    request_body = AcceptRequest,
    responses((status = 204, description = "The project is the organization's."), ControlPlaneProblems),
)]
#[put("/projects/{project_id}/transfer_requests/{request_id}")]
async fn accept_transfer_request(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, String)>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let (project, request) = path.into_inner();
    of_caller(&caller, optional::<AcceptRequest>(&body)?.org_id.as_deref())?;
    let permit = caller.permit::<AllProjects>()?;
    let request: Uuid = request
        .parse()
        .map_err(|_| Problem::new(ErrorKind::NotFound, "transfer request not found", None))?;
    services.control_plane.accept_transfer(&permit, &project, request).await?;
    Ok(HttpResponse::NoContent().finish())
}
