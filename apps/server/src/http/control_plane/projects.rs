use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, web};
use plinth_control_plane::remote::{RemoteError, named_region};
use plinth_control_plane::{
    Computes, NewProject, OfferedLibrary, ProjectFilter, ProjectId, ProjectPatch, SqlName,
    no_pooler,
};
use plinth_core::{AllProjects, Cursor, OrgId, ProjectsRead};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::body::{
    BranchBody, DatabaseBody, EndpointBody, ProjectBody, REGION, RoleBody, connections, operations,
    pooled_uri, uri,
};
use super::{limit, optional, remote};
use crate::http::problem::ControlPlaneProblems;
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_shared_projects)
        .service(list_projects)
        .service(create_project)
        .service(get_project)
        .service(update_project)
        .service(delete_project)
        .service(recover_project)
        .service(list_available_preload_libraries)
        .service(get_connection_uri);
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Where the page begins: what the one before gave.
    cursor: Option<String>,
    /// How many, at most 400.
    limit: Option<u32>,
    /// Part of a name or id.
    search: Option<String>,
    /// The organization; only the caller's own has any here.
    org_id: Option<String>,
    /// Those that were deleted and can be recovered.
    recoverable: Option<bool>,
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = ProjectCreateRequest)]
struct CreateProject {
    project: CreateProjectFields,
}

#[derive(Default, Deserialize, ToSchema)]
struct CreateProjectFields {
    #[schema(example = "myproject")]
    name: Option<String>,
    region_id: Option<String>,
    org_id: Option<String>,
    pg_version: Option<i32>,
    store_passwords: Option<bool>,
    history_retention_seconds: Option<i32>,
    autoscaling_limit_min_cu: Option<f64>,
    autoscaling_limit_max_cu: Option<f64>,
    #[schema(value_type = Option<Object>)]
    default_endpoint_settings: Option<Value>,
    #[schema(value_type = Option<Object>)]
    settings: Option<Value>,
    branch: Option<FirstBranch>,
}

#[derive(Default, Deserialize, ToSchema)]
struct FirstBranch {
    name: Option<String>,
    role_name: Option<String>,
    database_name: Option<String>,
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = ProjectUpdateRequest)]
struct UpdateProject {
    project: UpdateProjectFields,
}

#[derive(Default, Deserialize, ToSchema)]
struct UpdateProjectFields {
    name: Option<String>,
    history_retention_seconds: Option<i32>,
    #[schema(value_type = Option<Object>)]
    default_endpoint_settings: Option<Value>,
    #[schema(value_type = Option<Object>)]
    settings: Option<Value>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct UriQuery {
    /// The branch; the endpoint's unless said, and the default one where neither is named.
    #[param(value_type = Option<String>)]
    branch_id: Option<plinth_control_plane::BranchId>,
    /// The endpoint; the branch's that writes unless said.
    #[param(value_type = Option<String>)]
    endpoint_id: Option<plinth_control_plane::EndpointId>,
    database_name: String,
    role_name: String,
    /// Through the endpoint's pooler: `true`, or `false` as by default.
    pooled: Option<String>,
}

/// An organization that is named must be the caller's.
pub(super) fn of_caller(caller: &Caller, named: Option<&str>) -> Result<(), Problem> {
    let own = caller.principal().org.to_string();
    if named.is_some_and(|it| it != own) {
        let text = "organization not found";
        return Err(Problem::new(plinth_core::ErrorKind::NotFound, text, None));
    }
    Ok(())
}

/// The place after a project in a list.
pub(super) fn place(created_at: jiff::Timestamp, number: i64) -> Cursor {
    Cursor { created_at, id: Uuid::from_u128(u128::try_from(number).unwrap_or_default()) }
}

/// List projects
///
/// The organization's projects, newest first. Needs the scope `projects:read`.
#[utoipa::path(
    tag = "projects",
    params(ListQuery),
    responses((status = 200, description = "`projects`, and `pagination.cursor` while there may be more."), ControlPlaneProblems),
)]
#[get("/projects")]
async fn list_projects(
    caller: Caller,
    services: web::Data<Services>,
    query: web::Query<ListQuery>,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit::<ProjectsRead>()?;
    of_caller(&caller, query.org_id.as_deref())?;
    let after = query.cursor.as_deref().filter(|it| !it.is_empty());
    let after = after.map(|it| services.cursors.open("projects", it)).transpose()?;
    let limit = limit(query.limit, 10, 400)?;
    let filter =
        ProjectFilter { search: query.search.clone(), after, limit, ..ProjectFilter::default() };
    let deleted = query.recoverable == Some(true);
    // What lives at a remote stands among the others, as it last told of it; what was deleted there it tells itself.
    let mut away = Vec::new();
    if !deleted {
        away = services.remotes.projects(&permit, filter.clone()).await.map_err(remote::problem)?;
    }
    let found = services.control_plane.list(&permit, filter, deleted).await?;
    let now = services.clock.now();
    let ids: Vec<_> = found.iter().map(|it| it.id.clone()).collect();
    let used = services.control_plane.used_this_month(&permit, &ids).await?;
    let here = found.iter().map(|it| {
        (place(it.created_at, it.number), json!(ProjectBody::of(it, None, now).with_usage(&used)))
    });
    let away = away.iter().map(|it| (place(it.created_at, it.number), it.shown()));
    let mut all: Vec<_> = here.chain(away).collect();
    all.sort_by_key(|(it, _)| std::cmp::Reverse((it.created_at, it.id)));
    all.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let last = all.last().map(|it| it.0);
    let bodies: Vec<_> = all.into_iter().map(|it| it.1).collect();
    let mut body = json!({ "projects": bodies, "applications": {}, "integrations": {} });
    // Some clients stop at a short page, others when no cursor comes: this suits both.
    if let Some(last) = last {
        let cursor = services.cursors.seal("projects", last);
        body["pagination"] = json!({ "cursor": cursor });
    }
    Ok(HttpResponse::Ok().json(body))
}

/// List shared projects
///
/// Projects of other organizations that are shared with the caller, oldest first. Needs the scope `projects:read`.
#[utoipa::path(
    tag = "projects",
    responses((status = 200, description = "`projects`."), ControlPlaneProblems),
)]
#[get("/projects/shared")]
async fn list_shared_projects(
    caller: Caller,
    services: web::Data<Services>,
) -> Result<HttpResponse, Problem> {
    let found = services.control_plane.shared(&caller.permit()?).await?;
    let now = services.clock.now();
    let bodies: Vec<_> =
        found.iter().map(|it| ProjectBody::of(&it.project, Some(it), now)).collect();
    Ok(HttpResponse::Ok().json(json!({ "projects": bodies })))
}

/// Make a project
///
/// With a default branch, a role, a database and an endpoint. The role's password is in the answer. With the `region_id` of a
/// remote (`neon:<name>`, see `/regions`) it is made there. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "projects",
    request_body = CreateProject,
    responses((status = 201, description = "The project and everything in it."), ControlPlaneProblems),
)]
#[post("/projects")]
async fn create_project(
    request: HttpRequest,
    caller: Caller,
    services: web::Data<Services>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit::<AllProjects>()?;
    let fields = optional::<CreateProject>(&body)?.project;
    of_caller(&caller, fields.org_id.as_deref())?;
    if let Some((name, region)) = fields.region_id.as_deref().and_then(named_region) {
        if remote::was_passed(&request) {
            return Err(remote::problem(RemoteError::Loop));
        }
        // All that it was asked for, also what is not known here.
        let sent: Value = optional(&body)?;
        let sent = sent["project"].as_object().cloned().unwrap_or_default();
        let made = services.remotes.create_project(&permit, name, region, sent).await;
        return remote::noted(made).map(remote::response).map_err(remote::problem);
    }
    if let Some(region) = fields.region_id.filter(|it| it != REGION) {
        let text =
            format!("region_id: there is no region `{region}` here; the only one is `{REGION}`");
        return Err(Problem::invalid(text, json!({ "code": "REGION_NOT_FOUND" })));
    }
    let branch = fields.branch.unwrap_or_default();
    let computes = match (fields.autoscaling_limit_min_cu, fields.autoscaling_limit_max_cu) {
        (None, None) => None,
        (min, max) => {
            let usual = Computes::default();
            Some(Computes { min: min.unwrap_or(usual.min), max: max.unwrap_or(usual.max) })
        }
    };
    let new = NewProject {
        name: fields.name,
        branch: branch.name,
        role: branch.role_name,
        database: branch.database_name,
        pg_version: fields.pg_version,
        history_retention_seconds: fields.history_retention_seconds,
        store_passwords: fields.store_passwords,
        default_endpoint_settings: fields.default_endpoint_settings,
        settings: fields.settings,
        computes,
        own: false,
    };
    let made = services.control_plane.create(&permit, new).await?;
    let tree = &made.outcome.tree;
    let root = tree.default_branch().ok_or_else(gone)?;
    let passwords: Vec<(SqlName, _)> =
        tree.roles_of(&root.id).map(|it| (it.name.clone(), made.password.clone())).collect();
    let roles: Vec<_> =
        tree.roles_of(&root.id).map(|it| RoleBody::of(it, Some(&made.password))).collect();
    Ok(HttpResponse::Created().json(json!({
        "project": ProjectBody::of(&tree.project, Some(tree), services.clock.now()),
        "connection_uris": connections(tree, &root.id, &passwords),
        "roles": roles,
        "databases": tree.databases_of(&root.id).map(DatabaseBody::from).collect::<Vec<_>>(),
        "operations": operations(&made.outcome.operations),
        "branch": BranchBody::from(root),
        "endpoints": tree.endpoints.iter().map(|it| EndpointBody::of(tree, it)).collect::<Vec<_>>(),
    })))
}

fn gone() -> Problem {
    Problem::new(plinth_core::ErrorKind::NotFound, "project not found", None)
}

/// Read a project
///
/// Needs the scope `projects:read`.
#[utoipa::path(
    tag = "projects",
    params(("project_id" = String, Path, description = "The project's id.")),
    responses((status = 200, description = "The project."), ControlPlaneProblems),
)]
#[get("/projects/{project_id}")]
async fn get_project(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ProjectId>,
) -> Result<HttpResponse, Problem> {
    let (permit, plane) = (caller.permit::<ProjectsRead>()?, &services.control_plane);
    let tree = plane.get(&permit, &id).await?;
    let used = plane.used_this_month(&permit, std::slice::from_ref(&*id)).await?;
    let body = ProjectBody::of(&tree.project, Some(&tree), services.clock.now());
    Ok(HttpResponse::Ok().json(json!({ "project": body.with_usage(&used) })))
}

/// Change a project
///
/// Needs the scope `projects:write`.
#[utoipa::path(
    tag = "projects",
    params(("project_id" = String, Path, description = "The project's id.")),
    request_body = UpdateProject,
    responses((status = 200, description = "The project."), ControlPlaneProblems),
)]
#[patch("/projects/{project_id}")]
async fn update_project(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ProjectId>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let fields = optional::<UpdateProject>(&body)?.project;
    let patch = ProjectPatch {
        name: fields.name,
        history_retention_seconds: fields.history_retention_seconds,
        default_endpoint_settings: fields.default_endpoint_settings,
        settings: fields.settings,
    };
    let outcome = services.control_plane.update(&caller.permit()?, &id, patch).await?;
    let body = ProjectBody::of(&outcome.tree.project, Some(&outcome.tree), services.clock.now());
    Ok(HttpResponse::Ok()
        .json(json!({ "project": body, "operations": operations(&outcome.operations) })))
}

/// Delete a project
///
/// Its endpoints close at once; its files stay for a week, in which it can be recovered. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "projects",
    params(("project_id" = String, Path, description = "The project's id.")),
    responses((status = 200, description = "The project as it was."), ControlPlaneProblems),
)]
#[delete("/projects/{project_id}")]
async fn delete_project(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ProjectId>,
) -> Result<HttpResponse, Problem> {
    let outcome = services.control_plane.delete(&caller.permit()?, &id).await?;
    let body = ProjectBody::of(&outcome.tree.project, Some(&outcome.tree), services.clock.now());
    Ok(HttpResponse::Ok().json(json!({ "project": body })))
}

/// Recover a project
///
/// Within a week of its deletion. Its endpoints open on the ports they had. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "projects",
    params(("project_id" = String, Path, description = "The project's id.")),
    responses((status = 200, description = "The project."), ControlPlaneProblems),
)]
#[post("/projects/{project_id}/recover")]
async fn recover_project(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ProjectId>,
) -> Result<HttpResponse, Problem> {
    let outcome = services.control_plane.recover(&caller.permit()?, &id).await?;
    let tree = &outcome.tree;
    let branches: Vec<_> = tree.branches.iter().map(BranchBody::from).collect();
    let body = ProjectBody::of(&tree.project, Some(tree), services.clock.now());
    Ok(HttpResponse::Ok().json(json!({ "project": body, "branches": branches })))
}

/// List the libraries that Postgres can load at its start
///
/// Those that `settings.preload_libraries` of the project may name: what is safe, and installed on the project's node. None
/// is loaded by default. Needs the scope `projects:read`.
#[utoipa::path(
    tag = "projects",
    params(("project_id" = String, Path, description = "The project's id.")),
    responses((status = 200, description = "`libraries`."), ControlPlaneProblems),
)]
#[get("/projects/{project_id}/available_preload_libraries")]
async fn list_available_preload_libraries(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ProjectId>,
) -> Result<HttpResponse, Problem> {
    let found = services.control_plane.libraries(&caller.permit()?, &id).await?;
    let body = |it: &OfferedLibrary| {
        json!({
            "library_name": it.name,
            "description": it.known().map(|it| it.description),
            "is_default": false,
            "is_experimental": false,
            "version": it.version,
        })
    };
    Ok(HttpResponse::Ok().json(json!({ "libraries": found.iter().map(body).collect::<Vec<_>>() })))
}

/// Read a connection URI
///
/// With the role's password in it. `pooled=true` gives that of the endpoint's pooler, which shares its connections in
/// transaction mode; 412 where there is none. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "projects",
    params(("project_id" = String, Path, description = "The project's id."), UriQuery),
    responses((status = 200, description = "`uri`."), ControlPlaneProblems),
)]
#[get("/projects/{project_id}/connection_uri")]
async fn get_connection_uri(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ProjectId>,
    query: web::Query<UriQuery>,
) -> Result<HttpResponse, Problem> {
    let not_found = |what: &str| {
        Problem::new(plinth_core::ErrorKind::NotFound, format!("{what} not found"), None)
    };
    let tree = services.control_plane.get(&caller.permit()?, &id).await?;
    let named = match &query.endpoint_id {
        Some(id) => Some(tree.endpoint(id).ok_or_else(|| not_found("endpoint"))?),
        None => None,
    };
    let branch = match (&query.branch_id, named) {
        (Some(id), _) => tree.branch(id),
        (None, Some(endpoint)) => tree.branch(&endpoint.branch),
        (None, None) => tree.default_branch(),
    };
    let branch = branch.ok_or_else(|| not_found("branch"))?;
    let endpoint = match named {
        Some(it) => Some(it).filter(|it| it.branch == branch.id),
        None => tree.writer_of(&branch.id),
    };
    let endpoint = endpoint.ok_or_else(|| not_found("endpoint"))?;
    let database = SqlName::try_from(query.database_name.clone()).ok();
    let database = database.and_then(|it| tree.database(&branch.id, &it));
    let database = database.ok_or_else(|| not_found("database"))?;
    let role = SqlName::try_from(query.role_name.clone()).map_err(|_| not_found("role"))?;
    let permit = caller.permit()?;
    let password = services.control_plane.reveal_password(&permit, &id, &branch.id, &role).await?;
    // Clients send it each in its own spelling.
    let pooled = query.pooled.as_deref().map(str::to_ascii_lowercase);
    let uri = match pooled.as_deref() {
        Some("true" | "1") => {
            let host = tree.pooled_address(endpoint).ok_or_else(no_pooler)?;
            pooled_uri(&host, &database.name, &role, &password)
        }
        _ => uri(&tree.address(endpoint), &database.name, &role, &password),
    };
    Ok(HttpResponse::Ok().json(json!({ "uri": uri })))
}

/// An organization as callers name it.
pub(super) fn org(text: &str) -> Result<OrgId, Problem> {
    text.parse()
        .map_err(|_| Problem::new(plinth_core::ErrorKind::NotFound, "organization not found", None))
}
