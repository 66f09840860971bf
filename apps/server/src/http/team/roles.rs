use actix_web::{HttpResponse, delete, get, patch, post, web};
use jiff::Timestamp;
use plinth_core::Scope;
use plinth_tenancy::team::TeamError;
use plinth_tenancy::{
    CustomRole, MemberRole, NewRole, RoleChange, RoleId, RoleKey, RoleName, UnknownRole, scope_set,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::http::envelope::{Meta, Reply, envelope};
use crate::http::input::Valid;
use crate::http::problem::Problems;
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_roles)
        .service(create_role)
        .service(get_role)
        .service(update_role)
        .service(delete_role);
}

/// Reads a role of a body.
pub(super) fn key(text: &str) -> Result<RoleKey, TeamError> {
    text.parse().map_err(|err: UnknownRole| err.into())
}

/// List roles
///
/// The built-in four from the highest down, then the organization's own by name; at most 104 in all. Needs the scope
/// `team:read`.
#[utoipa::path(
    tag = "team",
    responses((status = 200, body = RolesEnvelope, description = "Every role."), Problems),
)]
#[get("/roles")]
async fn list_roles(
    caller: Caller,
    services: web::Data<Services>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let roles = services.team.roles(&caller.permit()?).await?;
    Ok(reply.ok(roles.iter().map(RoleBody::from).collect::<Vec<_>>()))
}

/// Make a role
///
/// A named set of scopes. Needs the scope `team:write`, and allows at most what its maker may: `role_escalation_denied`.
#[utoipa::path(
    tag = "team",
    request_body = CreateRole,
    responses((status = 201, body = RoleEnvelope, description = "The role."), Problems),
)]
#[post("/roles")]
async fn create_role(
    caller: Caller,
    services: web::Data<Services>,
    body: Valid<CreateRole>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let CreateRole { name, description, scopes, saved_queries_only } = body.0;
    let new = NewRole {
        name: RoleName::parse(&name)?,
        description,
        scopes: scope_set(&scopes)?,
        saved_queries_only,
    };
    let role = services.team.create_role(&permit, new).await?;
    Ok(reply.created(format!("/v1/roles/{}", role.id), RoleBody::of(role)))
}

/// Read a role
///
/// One of the organization's own by its id, or a built-in one by its name. Needs the scope `team:read`.
#[utoipa::path(
    tag = "team",
    params(("id" = String, Path, description = "The role's id, or a built-in role's name.", example = "role_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = RoleEnvelope, description = "The role."), Problems),
)]
#[get("/roles/{id}")]
async fn get_role(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<String>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    // A name that cannot be a role's is the name of nothing.
    let key = id.parse().map_err(|err: UnknownRole| {
        Problem::new(plinth_core::ErrorKind::NotFound, format!("there is no role {}", err.0), None)
    })?;
    let role = services.team.role(&permit, key).await?;
    Ok(reply.ok(RoleBody::from(&role)))
}

/// Change a role
///
/// What its members may do changes here at once and on every server within a second. Needs the scope `team:write`; the
/// role may allow at most what the caller may, before and after. Built-in roles stay as they are.
#[utoipa::path(
    tag = "team",
    params(("id" = String, Path, description = "The role's id.", example = "role_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    request_body = UpdateRole,
    responses((status = 200, body = RoleEnvelope, description = "The role."), Problems),
)]
#[patch("/roles/{id}")]
async fn update_role(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<RoleId>,
    body: Valid<UpdateRole>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let UpdateRole { name, description, scopes, saved_queries_only } = body.0;
    let change = RoleChange {
        name: name.as_deref().map(RoleName::parse).transpose()?,
        description,
        scopes: scopes.as_deref().map(scope_set).transpose()?,
        saved_queries_only,
    };
    let role = services.team.change_own_role(&permit, id.into_inner(), change).await?;
    Ok(reply.ok(RoleBody::of(role)))
}

/// Remove a role
///
/// Refused while members or invitations hold it. Needs the scope `team:write`; the role may allow at most what the caller
/// may.
#[utoipa::path(
    tag = "team",
    params(("id" = String, Path, description = "The role's id.", example = "role_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 204, description = "Removed."), Problems),
)]
#[delete("/roles/{id}")]
async fn delete_role(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<RoleId>,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    services.team.remove_role(&permit, id.into_inner()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A role to make.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct CreateRole {
    /// 1 to 50 characters; unique in the organization, whatever the case of its letters.
    #[schema(example = "Analyst")]
    name: String,
    /// What it is for, at most 500 characters.
    #[serde(default)]
    #[schema(example = "Asks questions and sees dashboards.")]
    description: String,
    /// What it allows; at least one.
    #[schema(example = json!(["queries:read", "dashboards:read", "connections:read"]), min_items = 1)]
    scopes: Vec<String>,
    /// Whether `queries:read` covers saved queries only, as it does for viewers.
    #[serde(default)]
    saved_queries_only: bool,
}

/// What to change of a role; what is left out stays.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct UpdateRole {
    #[schema(example = "Senior analyst")]
    name: Option<String>,
    description: Option<String>,
    #[schema(example = json!(["queries:read", "queries:write"]), min_items = 1)]
    scopes: Option<Vec<String>>,
    saved_queries_only: Option<bool>,
}

/// A role.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Role)]
struct RoleBody {
    /// What stands as `role` of members and invitations: a built-in role's name, or an id.
    #[schema(example = "role_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: String,
    #[schema(example = "Analyst")]
    name: String,
    /// Empty for built-in roles.
    description: String,
    /// Whether every organization has it, and nobody can change it.
    is_built_in: bool,
    #[schema(example = json!(["queries:read", "dashboards:read"]))]
    scopes: Vec<&'static str>,
    /// Whether `queries:read` covers saved queries only.
    saved_queries_only: bool,
    /// Null for built-in roles.
    #[schema(required = true)]
    created_by: Option<String>,
    /// Null for built-in roles.
    #[schema(required = true)]
    created_at: Option<Timestamp>,
    /// Null for built-in roles.
    #[schema(required = true)]
    updated_at: Option<Timestamp>,
}

impl RoleBody {
    fn of(role: CustomRole) -> Self {
        Self::from(&MemberRole::Custom(role.into()))
    }
}

impl From<&MemberRole> for RoleBody {
    fn from(it: &MemberRole) -> Self {
        let own = match it {
            MemberRole::BuiltIn(_) => None,
            MemberRole::Custom(role) => Some(role),
        };
        Self {
            id: it.key().to_string(),
            name: it.name().to_owned(),
            description: own.map(|it| it.description.clone()).unwrap_or_default(),
            is_built_in: own.is_none(),
            scopes: it.scopes().iter().map(Scope::as_str).collect(),
            saved_queries_only: it.saved_queries_only(),
            created_by: own.map(|it| it.created_by.to_string()),
            created_at: own.map(|it| it.created_at),
            updated_at: own.map(|it| it.updated_at),
        }
    }
}

envelope! {
    /// A role.
    RoleEnvelope(RoleBody)
}

/// Every role.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its derive is used; the answers are written by Reply")]
pub(crate) struct RolesEnvelope {
    data: Vec<RoleBody>,
    meta: Meta,
}
