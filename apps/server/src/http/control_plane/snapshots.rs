use actix_web::{HttpResponse, delete, get, patch, post, put, web};
use jiff::Timestamp;
use plinth_control_plane::{
    BackupItem, BranchId, NewSnapshot, ProjectId, RestoreSnapshot, Snapshot, SnapshotPatch,
    StorageMethod,
};
use plinth_core::{ErrorKind, ProjectsRead};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::body::{BranchBody, EndpointBody, operations};
use super::branches::{given, lsn, not_found};
use super::optional;
use crate::http::problem::ControlPlaneProblems;
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(create_snapshot)
        .service(list_snapshots)
        .service(update_snapshot)
        .service(delete_snapshot)
        .service(restore_snapshot)
        .service(finalize_restore)
        .service(get_backup_schedule)
        .service(set_backup_schedule);
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CreateQuery {
    /// Its name; made of the branch's and the time unless said.
    name: Option<String>,
    /// As of which place in the branch's log.
    lsn: Option<String>,
    /// As of when; not together with `lsn`.
    timestamp: Option<Timestamp>,
    /// When it is deleted by itself.
    expires_at: Option<Timestamp>,
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = SnapshotUpdateRequest)]
struct UpdateSnapshot {
    snapshot: UpdateSnapshotFields,
}

#[derive(Default, Deserialize, ToSchema)]
struct UpdateSnapshotFields {
    #[schema(example = "before the migration")]
    name: Option<String>,
    /// Null for never.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    expires_at: Option<Option<Timestamp>>,
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = SnapshotRestoreRequest)]
struct RestoreBody {
    /// The new branch's name.
    name: Option<String>,
    /// In whose place it comes; the branch that the snapshot is of unless said.
    target_branch_id: Option<String>,
    /// Whether it takes that place at once.
    finalize_restore: Option<bool>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct RestoreQuery {
    /// The same as `name` in the body, which counts.
    name: Option<String>,
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = FinalizeRestoreRequest)]
struct FinalizeBody {
    /// How the branch is called from then on in whose place the other comes.
    name: Option<String>,
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = BackupSchedule)]
struct Schedule {
    /// Each with `frequency` (`hourly`, `daily`, `weekly`, `monthly` or `yearly`), `hour`, `day`, `month` and
    /// `retention_seconds`; all in UTC.
    #[schema(value_type = Vec<Object>)]
    schedule: Vec<BackupItem>,
}

/// A snapshot.
#[derive(Serialize, ToSchema)]
#[schema(as = Snapshot)]
struct SnapshotBody {
    #[schema(example = "snap-quiet-lake-a1b2c3d4")]
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    lsn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<Timestamp>,
    /// The branch that it is of, which may be gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_branch_id: Option<String>,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    manual: bool,
    /// The size of its files in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    full_size: Option<i64>,
    /// What it takes on the disk beside its branch, where that is known: all of it where every block was copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    diff_size: Option<i64>,
    /// `init` while it is being taken, then `ready`. Not in Neon's API.
    current_state: &'static str,
    /// How its files were made: `reflink` shares blocks with the branch until they change there, `copy` copied each. Not in
    /// Neon's API.
    #[serde(skip_serializing_if = "Option::is_none")]
    storage: Option<&'static str>,
}

impl From<&Snapshot> for SnapshotBody {
    fn from(it: &Snapshot) -> Self {
        let files = &it.files;
        let is_copy = files.storage == Some(StorageMethod::Copy);
        Self {
            id: files.id.to_string(),
            name: it.name.clone(),
            lsn: files.parent_lsn.map(|it| it.to_string()),
            timestamp: files.parent_timestamp,
            source_branch_id: files.parent.as_ref().map(ToString::to_string),
            created_at: files.created_at,
            expires_at: files.expires_at,
            manual: it.manual,
            full_size: files.logical_size,
            diff_size: files.logical_size.filter(|_| is_copy),
            current_state: files.state.as_str(),
            storage: files.storage.map(StorageMethod::as_str),
        }
    }
}

fn no_snapshot() -> Problem {
    Problem::new(ErrorKind::NotFound, "snapshot not found", None)
}

/// Take a snapshot
///
/// Of a branch's state, now or at a point of its history; the branch goes on meanwhile, and the snapshot stays when it is
/// deleted. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "snapshots",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id."), CreateQuery),
    responses((status = 200, description = "The snapshot."), ControlPlaneProblems),
)]
#[post("/projects/{project_id}/branches/{branch_id}/snapshot")]
async fn create_snapshot(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId)>,
    query: web::Query<CreateQuery>,
) -> Result<HttpResponse, Problem> {
    let (project, branch) = path.into_inner();
    let query = query.into_inner();
    let new = NewSnapshot {
        name: query.name,
        lsn: lsn(query.lsn.as_deref())?,
        timestamp: query.timestamp,
        expires_at: query.expires_at,
    };
    let permit = caller.permit()?;
    let made = services.control_plane.create_snapshot(&permit, &project, &branch, new);
    let (outcome, id) = made.await?;
    let snapshot = outcome.tree.snapshot(&id).ok_or_else(no_snapshot)?;
    Ok(HttpResponse::Ok().json(json!({
        "snapshot": SnapshotBody::from(snapshot), "operations": operations(&outcome.operations),
    })))
}

/// List snapshots
///
/// Newest first. Needs the scope `projects:read`.
#[utoipa::path(
    tag = "snapshots",
    params(("project_id" = String, Path, description = "The project's id.")),
    responses((status = 200, description = "`snapshots`."), ControlPlaneProblems),
)]
#[get("/projects/{project_id}/snapshots")]
async fn list_snapshots(
    caller: Caller,
    services: web::Data<Services>,
    project: web::Path<ProjectId>,
) -> Result<HttpResponse, Problem> {
    let all = services.control_plane.snapshots(&caller.permit()?, &project).await?;
    let all: Vec<_> = all.iter().map(SnapshotBody::from).collect();
    Ok(HttpResponse::Ok().json(json!({ "snapshots": all })))
}

/// Change a snapshot
///
/// Its name, or when it is deleted by itself. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "snapshots",
    params(("project_id" = String, Path, description = "The project's id."), ("snapshot_id" = String, Path, description = "The snapshot's id.")),
    request_body = UpdateSnapshot,
    responses((status = 200, description = "The snapshot."), ControlPlaneProblems),
)]
#[patch("/projects/{project_id}/snapshots/{snapshot_id}")]
async fn update_snapshot(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId)>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let (project, id) = path.into_inner();
    let UpdateSnapshotFields { name, expires_at } = optional::<UpdateSnapshot>(&body)?.snapshot;
    let (permit, patch) = (caller.permit()?, SnapshotPatch { name, expires_at });
    let outcome = services.control_plane.update_snapshot(&permit, &project, &id, patch).await?;
    let snapshot = outcome.tree.snapshot(&id).ok_or_else(no_snapshot)?;
    Ok(HttpResponse::Ok().json(json!({ "snapshot": SnapshotBody::from(snapshot) })))
}

/// Delete a snapshot
///
/// With its files, at once and for good; branches that were restored from it stay. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "snapshots",
    params(("project_id" = String, Path, description = "The project's id."), ("snapshot_id" = String, Path, description = "The snapshot's id.")),
    responses((status = 202, description = "`operations`."), ControlPlaneProblems),
)]
#[delete("/projects/{project_id}/snapshots/{snapshot_id}")]
async fn delete_snapshot(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId)>,
) -> Result<HttpResponse, Problem> {
    let (project, id) = path.into_inner();
    let outcome = services.control_plane.delete_snapshot(&caller.permit()?, &project, &id).await?;
    Ok(HttpResponse::Accepted().json(json!({ "operations": operations(&outcome.operations) })))
}

/// Restore a snapshot
///
/// Makes a branch of its state, with an endpoint to look at it. With `finalize_restore` it takes the place of the branch that
/// the snapshot is of, or of the named one: its name and its endpoints, whose addresses stay. Needs the scope
/// `projects:write`.
#[utoipa::path(
    tag = "snapshots",
    params(("project_id" = String, Path, description = "The project's id."), ("snapshot_id" = String, Path, description = "The snapshot's id."), RestoreQuery),
    request_body = RestoreBody,
    responses((status = 200, description = "The branch."), ControlPlaneProblems),
)]
#[post("/projects/{project_id}/snapshots/{snapshot_id}/restore")]
async fn restore_snapshot(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId)>,
    query: web::Query<RestoreQuery>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let (project, id) = path.into_inner();
    let body = optional::<RestoreBody>(&body)?;
    let restore = RestoreSnapshot {
        name: body.name.or_else(|| query.into_inner().name),
        target: body.target_branch_id.map(|it| it.parse().map_err(|_| not_found())).transpose()?,
        finalize: body.finalize_restore.unwrap_or(false),
    };
    let permit = caller.permit()?;
    let done = services.control_plane.restore_snapshot(&permit, &project, &id, restore).await?;
    let (outcome, branch) = done;
    let tree = &outcome.tree;
    let made = tree.branch(&branch).ok_or_else(not_found)?;
    Ok(HttpResponse::Ok().json(json!({
        "branch": BranchBody::from(made),
        "endpoints": tree.endpoints_of(&branch).map(|it| EndpointBody::of(tree, it)).collect::<Vec<_>>(),
        "operations": operations(&outcome.operations),
    })))
}

/// Finalize the restore of a snapshot
///
/// The branch takes the place of the one that it was restored for: its name, its endpoints, and as the default if that was.
/// The other stays under another name. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "snapshots",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id.")),
    request_body = FinalizeBody,
    responses((status = 200, description = "`operations`."), ControlPlaneProblems),
)]
#[post("/projects/{project_id}/branches/{branch_id}/finalize_restore")]
async fn finalize_restore(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId)>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let (project, id) = path.into_inner();
    let name = optional::<FinalizeBody>(&body)?.name;
    let (permit, plane) = (caller.permit()?, &services.control_plane);
    let outcome = plane.finalize_restore(&permit, &project, &id, name.as_deref()).await?;
    Ok(HttpResponse::Ok().json(json!({ "operations": operations(&outcome.operations) })))
}

/// Read a branch's backup schedule
///
/// Needs the scope `projects:read`.
#[utoipa::path(
    tag = "snapshots",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id.")),
    responses((status = 200, description = "`schedule`."), ControlPlaneProblems),
)]
#[get("/projects/{project_id}/branches/{branch_id}/backup_schedule")]
async fn get_backup_schedule(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId)>,
) -> Result<HttpResponse, Problem> {
    let (project, id) = path.into_inner();
    let permit = caller.permit::<ProjectsRead>()?;
    let tree = services.control_plane.with_branch(&permit, &project, &id).await?;
    let branch = tree.branch(&id).ok_or_else(not_found)?;
    Ok(HttpResponse::Ok().json(json!({ "schedule": branch.backups })))
}

/// Set a branch's backup schedule
///
/// By which snapshots of it are taken; an empty list ends that. What was missed while no node ran is made up for once. Needs
/// the scope `projects:write`.
#[utoipa::path(
    tag = "snapshots",
    params(("project_id" = String, Path, description = "The project's id."), ("branch_id" = String, Path, description = "The branch's id.")),
    request_body = Schedule,
    responses((status = 200, description = "Nothing."), ControlPlaneProblems),
)]
#[put("/projects/{project_id}/branches/{branch_id}/backup_schedule")]
async fn set_backup_schedule(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ProjectId, BranchId)>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let (project, id) = path.into_inner();
    let items = optional::<Schedule>(&body)?.schedule;
    services.control_plane.set_backups(&caller.permit()?, &project, &id, items).await?;
    Ok(HttpResponse::Ok().json(json!({})))
}
