use actix_web::{HttpResponse, delete, get, post, web};
use plinth_control_plane::{BranchId, Outcome, ProjectId, Role, SqlName};
use plinth_core::ErrorKind;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::body::{RoleBody, operations};
use super::optional;
use crate::http::problem::ControlPlaneProblems;
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_roles)
        .service(create_role)
        .service(get_role)
        .service(delete_role)
        .service(reveal_password)
        .service(reset_password);
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = RoleCreateRequest)]
struct CreateRole {
    role: CreateRoleFields,
}

#[derive(Default, Deserialize, ToSchema)]
struct CreateRoleFields {
    #[schema(example = "reporting")]
    name: String,
    /// Whether nobody can log in as it.
    no_login: Option<bool>,
}

fn not_found() -> Problem {
    Problem::new(ErrorKind::NotFound, "role not found", None)
}

fn name(text: String) -> Result<SqlName, Problem> {
    SqlName::try_from(text).map_err(|_| not_found())
}

fn changed(outcome: &Outcome, role: &Role, password: Option<&SecretString>) -> serde_json::Value {
    json!({ "role": RoleBody::of(role, password), "operations": operations(&outcome.operations) })
}

/// List roles
///
/// Needs the scope `projects:read`.
#[utoipa::path(
    tag = "roles",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id.")),
    responses((status = 200, description = "`roles`."), ControlPlaneProblems),
)]
#[get("/projects/{project_id}/branches/{branch_id}/roles")]
async fn list_roles(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId)>,
) -> Result<HttpResponse, Problem> {
    let (project, branch) = path.into_inner();
    let tree = services.control_plane.with_branch(&caller.permit()?, &project, &branch).await?;
    let all: Vec<_> = tree.roles_of(&branch).map(|it| RoleBody::of(it, None)).collect();
    Ok(HttpResponse::Ok().json(json!({ "roles": all })))
}

/// Make a role
///
/// Its password is in the answer. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "roles",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id.")),
    request_body = CreateRole,
    responses((status = 201, description = "The role."), ControlPlaneProblems),
)]
#[post("/projects/{project_id}/branches/{branch_id}/roles")]
async fn create_role(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId)>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let (project, branch) = path.into_inner();
    let fields = optional::<CreateRole>(&body)?.role;
    let can_log_in = fields.no_login != Some(true);
    let permit = caller.permit()?;
    let made =
        services.control_plane.create_role(&permit, &project, &branch, &fields.name, can_log_in);
    let (outcome, password) = made.await?;
    let role = outcome.tree.role(&branch, &name(fields.name)?).ok_or_else(not_found)?;
    Ok(HttpResponse::Created().json(changed(&outcome, role, password.as_ref())))
}

/// Read a role
///
/// Needs the scope `projects:read`.
#[utoipa::path(
    tag = "roles",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id."), ("role_name" = String, Path, description = "The role's name.")),
    responses((status = 200, description = "The role."), ControlPlaneProblems),
)]
#[get("/projects/{project_id}/branches/{branch_id}/roles/{role_name}")]
async fn get_role(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId, String)>,
) -> Result<HttpResponse, Problem> {
    let (project, branch, role) = path.into_inner();
    let tree = services.control_plane.with_branch(&caller.permit()?, &project, &branch).await?;
    let role = tree.role(&branch, &name(role)?).ok_or_else(not_found)?;
    Ok(HttpResponse::Ok().json(json!({ "role": RoleBody::of(role, None) })))
}

/// Delete a role
///
/// What it owns goes to the owner of the database. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "roles",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id."), ("role_name" = String, Path, description = "The role's name.")),
    responses((status = 200, description = "The role as it was."), (status = 204, description = "It was not there."), ControlPlaneProblems),
)]
#[delete("/projects/{project_id}/branches/{branch_id}/roles/{role_name}")]
async fn delete_role(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId, String)>,
) -> Result<HttpResponse, Problem> {
    let (project, branch, role) = path.into_inner();
    let (permit, role) = (caller.permit()?, name(role)?);
    let done = services.control_plane.delete_role(&permit, &project, &branch, &role).await?;
    let Some((outcome, role)) = done else { return Ok(HttpResponse::NoContent().finish()) };
    Ok(HttpResponse::Ok().json(changed(&outcome, &role, None)))
}

/// Reveal a password
///
/// 412 where the project does not store passwords. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "roles",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id."), ("role_name" = String, Path, description = "The role's name.")),
    responses((status = 200, description = "`password`."), (status = 412, description = "It is not stored."), ControlPlaneProblems),
)]
#[get("/projects/{project_id}/branches/{branch_id}/roles/{role_name}/reveal_password")]
async fn reveal_password(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId, String)>,
) -> Result<HttpResponse, Problem> {
    let (project, branch, role) = path.into_inner();
    let (permit, role) = (caller.permit()?, name(role)?);
    let password =
        services.control_plane.reveal_password(&permit, &project, &branch, &role).await?;
    Ok(HttpResponse::Ok().json(json!({ "password": password.expose_secret() })))
}

/// Reset a password
///
/// The new one is in the answer; sessions of the role end. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "roles",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id."), ("role_name" = String, Path, description = "The role's name.")),
    responses((status = 200, description = "The role."), ControlPlaneProblems),
)]
#[post("/projects/{project_id}/branches/{branch_id}/roles/{role_name}/reset_password")]
async fn reset_password(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId, String)>,
) -> Result<HttpResponse, Problem> {
    let (project, branch, role) = path.into_inner();
    let (permit, role) = (caller.permit()?, name(role)?);
    let done = services.control_plane.reset_password(&permit, &project, &branch, &role).await?;
    let (outcome, password) = done;
    let role = outcome.tree.role(&branch, &role).ok_or_else(not_found)?;
    Ok(HttpResponse::Ok().json(changed(&outcome, role, Some(&password))))
}
