use actix_web::{HttpResponse, delete, get, post, web};
use plinth_control_plane::{BranchId, KeySetRecord, NewKeySet, ProjectId};
use plinth_core::ErrorKind;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::optional;
use crate::http::problem::ControlPlaneProblems;
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list_key_sets).service(add_key_set).service(delete_key_set);
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = AddProjectJWKSRequest)]
struct AddKeySet {
    #[schema(example = "https://id.example.com/.well-known/jwks.json")]
    jwks_url: String,
    #[schema(example = "Example")]
    provider_name: String,
    /// For one branch; for all unless said.
    #[schema(value_type = Option<String>)]
    branch_id: Option<BranchId>,
    jwt_audience: Option<String>,
    /// Roles that are there, at most ten: none are made.
    role_names: Option<Vec<String>>,
}

fn body(project: &ProjectId, it: &KeySetRecord) -> Value {
    let mut body = json!({
        "id": it.id, "project_id": project, "jwks_url": it.url, "provider_name": it.provider,
        "role_names": it.roles, "created_at": it.created_at, "updated_at": it.created_at,
    });
    if let Some(branch) = &it.branch {
        body["branch_id"] = json!(branch);
    }
    if let Some(audience) = &it.audience {
        body["jwt_audience"] = json!(audience);
    }
    body
}

/// List a project's key sets
///
/// Where tokens of its applications are verified by. They are kept and told, for whoever verifies: no server here takes such
/// tokens in the place of a password. Needs the scope `projects:read`.
#[utoipa::path(
    tag = "projects",
    params(("project_id" = String, Path, description = "The project's id.")),
    responses((status = 200, description = "`jwks`."), ControlPlaneProblems),
)]
#[get("/projects/{project_id}/jwks")]
async fn list_key_sets(
    caller: Caller,
    services: web::Data<Services>,
    project: web::Path<ProjectId>,
) -> Result<HttpResponse, Problem> {
    let all = services.control_plane.key_sets(&caller.permit()?, &project).await?;
    let all: Vec<_> = all.iter().map(|it| body(&project, it)).collect();
    Ok(HttpResponse::Ok().json(json!({ "jwks": all })))
}

/// Add a key set to a project
///
/// Once it could be read at its URL, which must be `https` and lead where Plinth may call. It is kept and told, for whoever
/// verifies tokens: no server here takes them in the place of a password. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "projects",
    params(("project_id" = String, Path, description = "The project's id.")),
    request_body = AddKeySet,
    responses((status = 201, description = "`jwks` and `operations`, of which there are none."), ControlPlaneProblems),
)]
#[post("/projects/{project_id}/jwks")]
async fn add_key_set(
    caller: Caller,
    services: web::Data<Services>,
    project: web::Path<ProjectId>,
    sent: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let sent: AddKeySet = optional(&sent)?;
    let new = NewKeySet {
        url: sent.jwks_url,
        provider: sent.provider_name,
        branch: sent.branch_id,
        audience: sent.jwt_audience,
        roles: sent.role_names.unwrap_or_default(),
    };
    let made = services.control_plane.add_key_set(&caller.permit()?, &project, new).await?;
    Ok(HttpResponse::Created().json(json!({ "jwks": body(&project, &made), "operations": [] })))
}

/// Remove a key set from a project
///
/// Needs the scope `projects:write`.
#[utoipa::path(
    tag = "projects",
    params(("project_id" = String, Path, description = "The project's id."), ("jwks_id" = String, Path, description = "The key set's id.")),
    responses((status = 200, description = "The key set."), ControlPlaneProblems),
)]
#[delete("/projects/{project_id}/jwks/{jwks_id}")]
async fn delete_key_set(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, String)>,
) -> Result<HttpResponse, Problem> {
    let (project, id) = path.into_inner();
    let id = id.parse().map_err(|_| Problem::new(ErrorKind::NotFound, "jwks not found", None))?;
    let gone = services.control_plane.remove_key_set(&caller.permit()?, &project, id).await?;
    Ok(HttpResponse::Ok().json(body(&project, &gone)))
}
