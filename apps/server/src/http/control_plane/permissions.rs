use actix_web::{HttpResponse, delete, get, post, web};
use plinth_control_plane::{ProjectId, ProjectPermission};
use plinth_core::ErrorKind;
use plinth_tenancy::Email;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::optional;
use crate::http::problem::ControlPlaneProblems;
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list_permissions).service(grant_permission).service(revoke_permission);
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = GrantPermissionToProjectRequest)]
struct Grant {
    #[schema(example = "ben@example.com")]
    email: String,
}

fn body(it: &ProjectPermission) -> Value {
    let mut body = json!({
        "id": it.id, "granted_to_email": it.email.as_str(), "granted_at": it.granted_at,
    });
    if let Some(at) = it.revoked_at {
        body["revoked_at"] = json!(at);
    }
    body
}

/// List a project's permissions
///
/// With whom of other organizations it is shared. Needs the scope `projects:read` in the project's own organization.
#[utoipa::path(
    tag = "projects",
    params(("project_id" = String, Path, description = "The project's id.")),
    responses((status = 200, description = "`project_permissions`."), ControlPlaneProblems),
)]
#[get("/projects/{project_id}/permissions")]
async fn list_permissions(
    caller: Caller,
    services: web::Data<Services>,
    project: web::Path<ProjectId>,
) -> Result<HttpResponse, Problem> {
    let all = services.control_plane.permissions(&caller.permit()?, &project).await?;
    let all: Vec<_> = all.iter().map(body).collect();
    Ok(HttpResponse::Ok().json(json!({ "project_permissions": all })))
}

/// Share a project
///
/// With whoever has that address, in whatever organization they are: with the scopes that they have there they use it like one
/// of their own, but can neither delete it nor give it to others. Needs the scope `projects:write` in the project's own
/// organization.
#[utoipa::path(
    tag = "projects",
    params(("project_id" = String, Path, description = "The project's id.")),
    request_body = Grant,
    responses((status = 200, description = "The permission."), ControlPlaneProblems),
)]
#[post("/projects/{project_id}/permissions")]
async fn grant_permission(
    caller: Caller,
    services: web::Data<Services>,
    project: web::Path<ProjectId>,
    sent: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let email = Email::parse(&optional::<Grant>(&sent)?.email)?;
    let made = services.control_plane.grant(&caller.permit()?, &project, email).await?;
    Ok(HttpResponse::Ok().json(body(&made)))
}

/// End that a project is shared
///
/// From the next call on. Passwords that they know stay good until they are reset. Needs the scope `projects:write` in the
/// project's own organization.
#[utoipa::path(
    tag = "projects",
    params(("project_id" = String, Path, description = "The project's id."), ("permission_id" = String, Path, description = "The permission's id.")),
    responses((status = 200, description = "The permission."), ControlPlaneProblems),
)]
#[delete("/projects/{project_id}/permissions/{permission_id}")]
async fn revoke_permission(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, String)>,
) -> Result<HttpResponse, Problem> {
    let (project, id) = path.into_inner();
    let id =
        id.parse().map_err(|_| Problem::new(ErrorKind::NotFound, "permission not found", None))?;
    let ended = services.control_plane.revoke_permission(&caller.permit()?, &project, id).await?;
    Ok(HttpResponse::Ok().json(body(&ended)))
}
