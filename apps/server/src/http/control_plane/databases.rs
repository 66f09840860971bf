use actix_web::{HttpResponse, delete, get, patch, post, web};
use plinth_control_plane::{BranchId, Database, Outcome, ProjectId, SqlName};
use plinth_core::ErrorKind;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::body::{DatabaseBody, operations};
use super::optional;
use crate::http::problem::ControlPlaneProblems;
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_databases)
        .service(create_database)
        .service(get_database)
        .service(update_database)
        .service(delete_database);
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = DatabaseCreateRequest)]
struct CreateDatabase {
    database: CreateDatabaseFields,
}

#[derive(Default, Deserialize, ToSchema)]
struct CreateDatabaseFields {
    #[schema(example = "shop")]
    name: String,
    #[schema(example = "neondb_owner")]
    owner_name: String,
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = DatabaseUpdateRequest)]
struct UpdateDatabase {
    database: UpdateDatabaseFields,
}

#[derive(Default, Deserialize, ToSchema)]
struct UpdateDatabaseFields {
    name: Option<String>,
    owner_name: Option<String>,
}

fn not_found() -> Problem {
    Problem::new(ErrorKind::NotFound, "database not found", None)
}

fn name(text: String) -> Result<SqlName, Problem> {
    SqlName::try_from(text).map_err(|_| not_found())
}

fn changed(outcome: &Outcome, database: &Database) -> serde_json::Value {
    json!({ "database": DatabaseBody::from(database), "operations": operations(&outcome.operations) })
}

/// List databases
///
/// Needs the scope `projects:read`.
#[utoipa::path(
    tag = "databases",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id.")),
    responses((status = 200, description = "`databases`."), ControlPlaneProblems),
)]
#[get("/projects/{project_id}/branches/{branch_id}/databases")]
async fn list_databases(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId)>,
) -> Result<HttpResponse, Problem> {
    let (project, branch) = path.into_inner();
    let tree = services.control_plane.with_branch(&caller.permit()?, &project, &branch).await?;
    let all: Vec<_> = tree.databases_of(&branch).map(DatabaseBody::from).collect();
    Ok(HttpResponse::Ok().json(json!({ "databases": all })))
}

/// Make a database
///
/// Needs the scope `projects:write`.
#[utoipa::path(
    tag = "databases",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id.")),
    request_body = CreateDatabase,
    responses((status = 201, description = "The database."), ControlPlaneProblems),
)]
#[post("/projects/{project_id}/branches/{branch_id}/databases")]
async fn create_database(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId)>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let (project, branch) = path.into_inner();
    let fields = optional::<CreateDatabase>(&body)?.database;
    let (permit, owner) = (caller.permit()?, &fields.owner_name);
    let made =
        services.control_plane.create_database(&permit, &project, &branch, &fields.name, owner);
    let (outcome, name) = made.await?;
    let database = outcome.tree.database(&branch, &name).ok_or_else(not_found)?;
    Ok(HttpResponse::Created().json(changed(&outcome, database)))
}

/// Read a database
///
/// Needs the scope `projects:read`.
#[utoipa::path(
    tag = "databases",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id."), ("database_name" = String, Path, description = "The database's name.")),
    responses((status = 200, description = "The database."), ControlPlaneProblems),
)]
#[get("/projects/{project_id}/branches/{branch_id}/databases/{database_name}")]
async fn get_database(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId, String)>,
) -> Result<HttpResponse, Problem> {
    let (project, branch, database) = path.into_inner();
    let tree = services.control_plane.with_branch(&caller.permit()?, &project, &branch).await?;
    let database = tree.database(&branch, &name(database)?).ok_or_else(not_found)?;
    Ok(HttpResponse::Ok().json(json!({ "database": DatabaseBody::from(database) })))
}

/// Change a database
///
/// Its name, which ends its sessions, or its owner. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "databases",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id."), ("database_name" = String, Path, description = "The database's name.")),
    request_body = UpdateDatabase,
    responses((status = 200, description = "The database."), ControlPlaneProblems),
)]
#[patch("/projects/{project_id}/branches/{branch_id}/databases/{database_name}")]
async fn update_database(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId, String)>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let (project, branch, database) = path.into_inner();
    let fields = optional::<UpdateDatabase>(&body)?.database;
    let (permit, database) = (caller.permit()?, name(database)?);
    let (called, owner) = (fields.name.as_deref(), fields.owner_name.as_deref());
    let plane = &services.control_plane;
    let done = plane.update_database(&permit, &project, &branch, &database, called, owner).await?;
    let (outcome, name) = done;
    let database = outcome.tree.database(&branch, &name).ok_or_else(not_found)?;
    Ok(HttpResponse::Ok().json(changed(&outcome, database)))
}

/// Delete a database
///
/// With everything in it; its sessions end. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "databases",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id."), ("database_name" = String, Path, description = "The database's name.")),
    responses((status = 200, description = "The database as it was."), (status = 204, description = "It was not there."), ControlPlaneProblems),
)]
#[delete("/projects/{project_id}/branches/{branch_id}/databases/{database_name}")]
async fn delete_database(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId, String)>,
) -> Result<HttpResponse, Problem> {
    let (project, branch, database) = path.into_inner();
    let (permit, database) = (caller.permit()?, name(database)?);
    let done =
        services.control_plane.delete_database(&permit, &project, &branch, &database).await?;
    let Some((outcome, database)) = done else { return Ok(HttpResponse::NoContent().finish()) };
    Ok(HttpResponse::Ok().json(changed(&outcome, &database)))
}
