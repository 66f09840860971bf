use actix_web::{HttpResponse, delete, get, patch, post, web};
use jiff::Timestamp;
use plinth_control_plane::{
    Branch, BranchId, BranchPatch, EndpointPatch, Lsn, NewBranch, Outcome, ProjectId, Restore,
    SqlName,
};
use plinth_core::{ErrorKind, ProjectsRead, ProjectsWrite};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::body::{
    BranchBody, DatabaseBody, EndpointBody, RoleBody, annotation, connections, operations,
};
use super::endpoints::{EndpointFields, endpoint_kind};
use super::{limit, optional};
use crate::http::problem::ControlPlaneProblems;
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(count_branches)
        .service(list_branches)
        .service(create_branch)
        .service(get_branch)
        .service(update_branch)
        .service(delete_branch)
        .service(restore_branch)
        .service(reset_branch)
        .service(set_default_branch)
        .service(recover_branch);
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Part of a name or id.
    search: Option<String>,
    /// `name`, `created_at` or `updated_at`.
    sort_by: Option<String>,
    /// `asc` or `desc`.
    sort_order: Option<String>,
    /// Where the page begins: what the one before gave.
    cursor: Option<String>,
    /// How many, at most 10000.
    limit: Option<u32>,
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = BranchCreateRequest)]
struct CreateBranch {
    branch: Option<CreateBranchFields>,
    #[serde(default)]
    endpoints: Vec<EndpointFields>,
}

#[derive(Default, Deserialize, ToSchema)]
struct CreateBranchFields {
    parent_id: Option<String>,
    #[schema(example = "dev")]
    name: Option<String>,
    parent_lsn: Option<String>,
    parent_timestamp: Option<Timestamp>,
    protected: Option<bool>,
    /// `parent-data`, or `schema-only` for a root with the parent's roles, databases and definitions and none of its rows.
    init_source: Option<String>,
    expires_at: Option<Timestamp>,
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = BranchUpdateRequest)]
struct UpdateBranch {
    branch: UpdateBranchFields,
}

#[derive(Default, Deserialize, ToSchema)]
struct UpdateBranchFields {
    name: Option<String>,
    protected: Option<bool>,
    /// Null for never.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    expires_at: Option<Option<Timestamp>>,
}

/// Tells a null from nothing.
pub(super) fn given<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<Timestamp>>, D::Error> {
    Option::deserialize(from).map(Some)
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = BranchRestoreRequest)]
struct RestoreBranch {
    source_branch_id: Option<String>,
    source_lsn: Option<String>,
    source_timestamp: Option<Timestamp>,
    preserve_under_name: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct DeleteQuery {
    /// Whether its files go at once, and it cannot be recovered.
    hard_delete: Option<bool>,
}

pub(super) fn not_found() -> Problem {
    Problem::new(ErrorKind::NotFound, "branch not found", None)
}

pub(super) fn lsn(text: Option<&str>) -> Result<Option<Lsn>, Problem> {
    text.map(str::parse).transpose().map_err(|_| {
        let rule = "must be a log sequence number like 0/1A2B3C4D";
        Problem::invalid(format!("lsn {rule}"), json!({ "lsn": rule }))
    })
}

/// A branch with the operations that follow from a change of it.
fn changed(outcome: &Outcome, id: &BranchId) -> Result<HttpResponse, Problem> {
    let branch = outcome.tree.branch(id).ok_or_else(not_found)?;
    Ok(HttpResponse::Ok().json(json!({
        "branch": BranchBody::from(branch), "operations": operations(&outcome.operations),
    })))
}

fn matching<'a>(branches: &'a [Branch], search: Option<&str>) -> Vec<&'a Branch> {
    let search = search.map(str::to_lowercase).unwrap_or_default();
    let fits =
        |it: &&Branch| it.name.to_lowercase().contains(&search) || it.id.as_str().contains(&search);
    branches.iter().filter(fits).collect()
}

/// List branches
///
/// Needs the scope `projects:read`.
#[utoipa::path(
    tag = "branches",
    params(("project_id" = String, Path, description = "The project's id."), ListQuery),
    responses((status = 200, description = "`branches`, `annotations`, and `pagination.next` while there are more."), ControlPlaneProblems),
)]
#[get("/projects/{project_id}/branches")]
async fn list_branches(
    caller: Caller,
    services: web::Data<Services>,
    project: web::Path<ProjectId>,
    query: web::Query<ListQuery>,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit::<ProjectsRead>()?;
    let tree = services.control_plane.get(&permit, &project).await?;
    let mut found = matching(&tree.branches, query.search.as_deref());
    let sort_by = query.sort_by.as_deref().unwrap_or("updated_at");
    match sort_by {
        "name" => found.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id))),
        "created_at" => found.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id))),
        "updated_at" => found.sort_by(|a, b| (a.updated_at, &a.id).cmp(&(b.updated_at, &b.id))),
        _ => {
            let rule = "must be name, created_at or updated_at";
            return Err(Problem::invalid(format!("sort_by {rule}"), json!({ "sort_by": rule })));
        }
    }
    let sort_order = query.sort_order.as_deref().unwrap_or("desc").to_lowercase();
    if sort_order == "desc" {
        found.reverse();
    }
    let limit = limit(query.limit, 10_000, 10_000)? as usize;
    let list = format!("branches {project} {sort_by} {sort_order}");
    let after = query.cursor.as_deref().filter(|it| !it.is_empty());
    if let Some(cursor) = after {
        let id = services.cursors.open_bytes(&list, cursor)?;
        // One that was deleted meanwhile ends the list: nobody sees a branch twice.
        let at = found.iter().position(|it| it.id.as_str().as_bytes() == id);
        found = at.map(|at| found.split_off(at + 1)).unwrap_or_default();
    }
    let more = found.len() > limit;
    found.truncate(limit);
    let annotations: serde_json::Map<String, Value> =
        found.iter().map(|it| (it.id.to_string(), annotation(it.id.as_str()))).collect();
    let used = services.control_plane.branches_used_this_month(&permit, &project).await?;
    let mut pagination = json!({ "sort_by": sort_by, "sort_order": sort_order.to_uppercase() });
    if let Some(last) = found.last().filter(|_| more) {
        pagination["next"] = services.cursors.seal_bytes(&list, last.id.as_str().as_bytes()).into();
    }
    Ok(HttpResponse::Ok().json(json!({
        "branches": found
            .into_iter()
            .map(|it| BranchBody::from(it).with_usage(&used))
            .collect::<Vec<_>>(),
        "annotations": annotations,
        "pagination": pagination,
    })))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CountQuery {
    /// Part of a name or id.
    search: Option<String>,
}

/// Count branches
///
/// Needs the scope `projects:read`.
#[utoipa::path(
    tag = "branches",
    params(("project_id" = String, Path, description = "The project's id."), CountQuery),
    responses((status = 200, description = "`count`."), ControlPlaneProblems),
)]
#[get("/projects/{project_id}/branches/count")]
async fn count_branches(
    caller: Caller,
    services: web::Data<Services>,
    project: web::Path<ProjectId>,
    query: web::Query<CountQuery>,
) -> Result<HttpResponse, Problem> {
    let tree = services.control_plane.get(&caller.permit()?, &project).await?;
    let count = matching(&tree.branches, query.search.as_deref()).len();
    Ok(HttpResponse::Ok().json(json!({ "count": count })))
}

/// Make a branch
///
/// From another's state now, or as of a time or place in its log; the other goes on meanwhile. Roles, passwords and
/// databases come with it. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "branches",
    params(("project_id" = String, Path, description = "The project's id.")),
    request_body = CreateBranch,
    responses((status = 201, description = "The branch and everything in it."), ControlPlaneProblems),
)]
#[post("/projects/{project_id}/branches")]
async fn create_branch(
    caller: Caller,
    services: web::Data<Services>,
    project: web::Path<ProjectId>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit::<ProjectsWrite>()?;
    let body = optional::<CreateBranch>(&body)?;
    let fields = body.branch.unwrap_or_default();
    let schema_only = match fields.init_source.as_deref() {
        None | Some("parent-data") => false,
        Some("schema-only") => true,
        Some(_) => {
            let rule = "must be parent-data or schema-only";
            let fields = json!({ "init_source": rule });
            return Err(Problem::invalid(format!("init_source {rule}"), fields));
        }
    };
    let mut endpoints = Vec::new();
    for fields in body.endpoints {
        let kind = endpoint_kind(fields.r#type.as_deref().unwrap_or("read_write"))?;
        endpoints.push((kind, EndpointPatch::from(fields)));
    }
    let new = NewBranch {
        parent: fields.parent_id.map(|it| it.parse().map_err(|_| not_found())).transpose()?,
        name: fields.name,
        schema_only,
        lsn: lsn(fields.parent_lsn.as_deref())?,
        timestamp: fields.parent_timestamp,
        protected: fields.protected.unwrap_or(false),
        expires_at: fields.expires_at,
        endpoints,
    };
    let made = services.control_plane.create_branch(&permit, &project, new).await?;
    let (tree, id) = (&made.outcome.tree, &made.branch);
    let branch = tree.branch(id).ok_or_else(not_found)?;
    let password = |name: &SqlName| made.passwords.iter().find(|it| it.0 == *name).map(|it| &it.1);
    let mut answer = json!({
        "branch": BranchBody::from(branch),
        "endpoints": tree.endpoints_of(id).map(|it| EndpointBody::of(tree, it)).collect::<Vec<_>>(),
        "operations": operations(&made.outcome.operations),
        "roles": tree.roles_of(id).map(|it| RoleBody::of(it, password(&it.name))).collect::<Vec<_>>(),
        "databases": tree.databases_of(id).map(DatabaseBody::from).collect::<Vec<_>>(),
    });
    if tree.writer_of(id).is_some() {
        answer["connection_uris"] = json!(connections(tree, id, &made.passwords));
    }
    Ok(HttpResponse::Created().json(answer))
}

/// Read a branch
///
/// Needs the scope `projects:read`.
#[utoipa::path(
    tag = "branches",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id.")),
    responses((status = 200, description = "The branch."), ControlPlaneProblems),
)]
#[get("/projects/{project_id}/branches/{branch_id}")]
async fn get_branch(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId)>,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit::<ProjectsRead>()?;
    let (project, id) = path.into_inner();
    let tree = services.control_plane.with_branch(&permit, &project, &id).await?;
    let branch = tree.branch(&id).ok_or_else(not_found)?;
    let used = services.control_plane.branches_used_this_month(&permit, &project).await?;
    Ok(HttpResponse::Ok().json(json!({
        "branch": BranchBody::from(branch).with_usage(&used), "annotation": annotation(id.as_str()),
    })))
}

/// Change a branch
///
/// Needs the scope `projects:write`.
#[utoipa::path(
    tag = "branches",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id.")),
    request_body = UpdateBranch,
    responses((status = 200, description = "The branch."), ControlPlaneProblems),
)]
#[patch("/projects/{project_id}/branches/{branch_id}")]
async fn update_branch(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId)>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let (project, id) = path.into_inner();
    let UpdateBranchFields { name, protected, expires_at } =
        optional::<UpdateBranch>(&body)?.branch;
    let patch = BranchPatch { name, protected, expires_at };
    let permit = caller.permit()?;
    let outcome = services.control_plane.update_branch(&permit, &project, &id, patch).await?;
    changed(&outcome, &id)
}

/// Delete a branch
///
/// With its endpoints. Its files stay for a week, in which it can be recovered, unless `hard_delete`. Needs the scope
/// `projects:write`.
#[utoipa::path(
    tag = "branches",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id."), DeleteQuery),
    responses((status = 200, description = "The branch as it was."), (status = 204, description = "It was not there."), ControlPlaneProblems),
)]
#[delete("/projects/{project_id}/branches/{branch_id}")]
async fn delete_branch(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId)>,
    query: web::Query<DeleteQuery>,
) -> Result<HttpResponse, Problem> {
    let (project, id) = path.into_inner();
    let hard = query.hard_delete == Some(true);
    let done = services.control_plane.delete_branch(&caller.permit()?, &project, &id, hard).await?;
    let Some((outcome, branch)) = done else { return Ok(HttpResponse::NoContent().finish()) };
    Ok(HttpResponse::Ok().json(json!({
        "branch": BranchBody::from(&branch), "operations": operations(&outcome.operations),
    })))
}

/// Restore a branch
///
/// To another's state, or an earlier one of its own. It keeps its id, its endpoint and its address. Needs the scope
/// `projects:write`.
#[utoipa::path(
    tag = "branches",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id.")),
    request_body = RestoreBranch,
    responses((status = 200, description = "The branch."), ControlPlaneProblems),
)]
#[post("/projects/{project_id}/branches/{branch_id}/restore")]
async fn restore_branch(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId)>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let (project, id) = path.into_inner();
    let body = optional::<RestoreBranch>(&body)?;
    let Some(source) = body.source_branch_id else {
        let rule = "source_branch_id is required";
        return Err(Problem::invalid(rule, json!({ "source_branch_id": rule })));
    };
    let restore = Restore {
        source: source.parse().map_err(|_| not_found())?,
        lsn: lsn(body.source_lsn.as_deref())?,
        timestamp: body.source_timestamp,
        preserve_under_name: body.preserve_under_name,
    };
    let permit = caller.permit()?;
    let outcome = services.control_plane.restore_branch(&permit, &project, &id, restore).await?;
    changed(&outcome, &id)
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = BranchResetRequest)]
struct ResetBranch {
    preserve_under_name: Option<String>,
}

/// Reset a branch to its parent
///
/// To the parent's state now. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "branches",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id.")),
    request_body = ResetBranch,
    responses((status = 200, description = "The branch."), ControlPlaneProblems),
)]
#[post("/projects/{project_id}/branches/{branch_id}/reset_to_parent")]
async fn reset_branch(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId)>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let (project, id) = path.into_inner();
    let body = optional::<ResetBranch>(&body)?;
    let tree = services.control_plane.with_branch(&caller.permit()?, &project, &id).await?;
    let parent = tree.branch(&id).and_then(|it| it.parent.clone());
    let Some(source) = parent else {
        let rule = plinth_control_plane::Rule::ResetRoot;
        return Err(plinth_control_plane::ControlPlaneError::from(rule).into());
    };
    let preserve_under_name = body.preserve_under_name;
    let restore = Restore { source, lsn: None, timestamp: None, preserve_under_name };
    let permit = caller.permit()?;
    let outcome = services.control_plane.restore_branch(&permit, &project, &id, restore).await?;
    changed(&outcome, &id)
}

/// Make a branch the default
///
/// Needs the scope `projects:write`.
#[utoipa::path(
    tag = "branches",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id.")),
    responses((status = 200, description = "The branch."), ControlPlaneProblems),
)]
#[post("/projects/{project_id}/branches/{branch_id}/set_as_default")]
async fn set_default_branch(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId)>,
) -> Result<HttpResponse, Problem> {
    let (project, id) = path.into_inner();
    let outcome = services.control_plane.set_default(&caller.permit()?, &project, &id).await?;
    changed(&outcome, &id)
}

/// Recover a branch
///
/// Within a week of its deletion, without its endpoints. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "branches",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id.")),
    responses((status = 200, description = "The branch."), ControlPlaneProblems),
)]
#[post("/projects/{project_id}/branches/{branch_id}/recover")]
async fn recover_branch(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId)>,
) -> Result<HttpResponse, Problem> {
    let (project, id) = path.into_inner();
    let outcome = services.control_plane.recover_branch(&caller.permit()?, &project, &id).await?;
    changed(&outcome, &id)
}
