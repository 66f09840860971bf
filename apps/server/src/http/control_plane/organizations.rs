use actix_web::{HttpResponse, delete, get, patch, post, web};
use jiff::Timestamp;
use plinth_control_plane::ProjectId;
use plinth_core::{
    AllProjects, Cursor, ErrorKind, Limit, OrgId, Page, Permit, TeamRead, TeamWrite,
};
use plinth_tenancy::team::Invitation;
use plinth_tenancy::{Email, Member, MemberId, MemberRole, Role, RoleKey};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::projects::{of_caller, org};
use super::{limit, optional};
use crate::http::problem::ControlPlaneProblems;
use crate::http::{Caller, Problem, Services, SignedInCaller};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_organization_members)
        .service(get_organization_member)
        .service(update_organization_member)
        .service(remove_organization_member)
        .service(list_organization_invitations)
        .service(invite_to_organization)
        .service(transfer_projects);
}

/// More people than this are shown page by page.
const MOST_MEMBERS: u32 = 1000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct MembersQuery {
    /// `email`, `role` or `joined_at`.
    sort_by: Option<String>,
    /// `asc` or `desc`.
    sort_order: Option<String>,
    /// Where the page begins: what the one before gave.
    cursor: Option<String>,
    /// How many, at most 1000.
    limit: Option<u32>,
}

/// A member.
#[derive(Serialize, ToSchema)]
#[schema(as = OrganizationMember)]
struct MemberBody {
    id: Uuid,
    user_id: Uuid,
    org_id: String,
    /// `admin`, `editor`, `viewer`, or `member` for a role of the organization's own.
    role: &'static str,
    joined_at: Timestamp,
}

impl From<&Member> for MemberBody {
    fn from(it: &Member) -> Self {
        Self {
            id: it.id.as_uuid(),
            user_id: it.user.as_uuid(),
            org_id: it.org.to_string(),
            role: role_name(&it.role),
            joined_at: it.joined_at,
        }
    }
}

/// An invitation.
#[derive(Serialize, ToSchema)]
#[schema(as = OrganizationInvitation)]
struct InvitationBody {
    id: Uuid,
    email: String,
    org_id: String,
    invited_by: Uuid,
    invited_at: Timestamp,
    role: &'static str,
}

impl From<&Invitation> for InvitationBody {
    fn from(it: &Invitation) -> Self {
        Self {
            id: it.id.as_uuid(),
            email: it.email.as_str().to_owned(),
            org_id: it.org.to_string(),
            invited_by: it.invited_by.as_uuid(),
            invited_at: it.sent_at,
            role: role_name(&it.role),
        }
    }
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = OrganizationMemberUpdateRequest)]
struct UpdateMember {
    #[schema(example = "editor")]
    role: String,
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = OrganizationInvitesCreateRequest)]
struct Invite {
    invitations: Vec<InviteOne>,
}

#[derive(Default, Deserialize, ToSchema)]
struct InviteOne {
    #[schema(example = "ben@example.com")]
    email: String,
    /// `admin`, `editor`, `viewer` or `member`, which is an editor here.
    #[schema(example = "viewer")]
    role: String,
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = TransferProjectsRequest)]
struct TransferProjects {
    destination_org_id: String,
    project_ids: Vec<String>,
}

/// How a role is called in this API.
fn role_name(role: &MemberRole) -> &'static str {
    match role {
        MemberRole::BuiltIn(Role::Owner | Role::Admin) => "admin",
        MemberRole::BuiltIn(Role::Editor) => "editor",
        MemberRole::BuiltIn(Role::Viewer) => "viewer",
        MemberRole::Custom(_) => "member",
    }
}

/// The role that a name of this API means.
fn role_of(name: &str) -> Result<RoleKey, Problem> {
    let role = match name {
        "admin" => Role::Admin,
        "editor" | "member" => Role::Editor,
        "viewer" => Role::Viewer,
        _ => {
            let rule = "must be admin, editor, member or viewer";
            return Err(Problem::invalid(format!("role {rule}"), json!({ "role": rule })));
        }
    };
    Ok(RoleKey::BuiltIn(role))
}

/// The caller's own organization, named in the path.
fn own(caller: &Caller, named: &str) -> Result<OrgId, Problem> {
    let id = org(named)?;
    of_caller(caller, Some(&id.to_string()))?;
    Ok(id)
}

fn no_member() -> Problem {
    Problem::new(ErrorKind::NotFound, "member not found", None)
}

/// Everything that comes in pages.
pub(super) async fn all_of<T, E: Into<Problem>>(
    mut next: impl AsyncFnMut(Option<Cursor>, Limit) -> Result<Page<T>, E>,
) -> Result<Vec<T>, Problem> {
    let limit = Limit::new(100).unwrap_or_default();
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = next(after, limit).await.map_err(Into::into)?;
        all.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

pub(super) async fn members(
    services: &Services,
    permit: &Permit<TeamRead>,
) -> Result<Vec<Member>, Problem> {
    all_of(async |after, limit| services.team.members(permit, after, limit).await).await
}

/// List an organization's members
///
/// The team. Needs the scope `team:read`.
#[utoipa::path(
    tag = "account",
    params(("org_id" = Uuid, Path, description = "The organization's id."), MembersQuery),
    responses((status = 200, description = "`members`, each a `member` and a `user`, and `pagination.next` while there are more."), ControlPlaneProblems),
)]
#[get("/organizations/{org_id}/members")]
async fn list_organization_members(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<String>,
    query: web::Query<MembersQuery>,
) -> Result<HttpResponse, Problem> {
    own(&caller, &id)?;
    let mut found = members(&services, &caller.permit()?).await?;
    let sort_by = query.sort_by.as_deref().unwrap_or("joined_at");
    match sort_by {
        "email" => found.sort_by(|a, b| (a.email.as_str(), a.id).cmp(&(b.email.as_str(), b.id))),
        "role" => {
            found.sort_by(|a, b| (role_name(&a.role), a.id).cmp(&(role_name(&b.role), b.id)));
        }
        "joined_at" => found.sort_by_key(|it| (it.joined_at, it.id)),
        _ => {
            let rule = "must be email, role or joined_at";
            return Err(Problem::invalid(format!("sort_by {rule}"), json!({ "sort_by": rule })));
        }
    }
    let sort_order = query.sort_order.as_deref().unwrap_or("asc").to_lowercase();
    if sort_order == "desc" {
        found.reverse();
    }
    let limit = limit(query.limit, MOST_MEMBERS, MOST_MEMBERS)? as usize;
    let list = format!("members {sort_by} {sort_order}");
    if let Some(cursor) = query.cursor.as_deref().filter(|it| !it.is_empty()) {
        let last = services.cursors.open_bytes(&list, cursor)?;
        let at = found.iter().position(|it| it.id.as_uuid().as_bytes().as_slice() == last);
        found = at.map(|at| found.split_off(at + 1)).unwrap_or_default();
    }
    let more = found.len() > limit;
    found.truncate(limit);
    let mut pagination = json!({ "sort_by": sort_by, "sort_order": sort_order.to_uppercase() });
    if let Some(last) = found.last().filter(|_| more) {
        let bytes = last.id.as_uuid();
        pagination["next"] = services.cursors.seal_bytes(&list, bytes.as_bytes()).into();
    }
    let bodies: Vec<_> = found
        .iter()
        .map(|it| {
            json!({
                "member": MemberBody::from(it), "user": { "email": it.email.as_str(), "has_mfa": false },
            })
        })
        .collect();
    Ok(HttpResponse::Ok().json(json!({ "members": bodies, "pagination": pagination })))
}

/// Read an organization's member
///
/// Needs the scope `team:read`.
#[utoipa::path(
    tag = "account",
    params(("org_id" = Uuid, Path, description = "The organization's id."), ("member_id" = Uuid, Path, description = "The member's id.")),
    responses((status = 200, description = "The member."), ControlPlaneProblems),
)]
#[get("/organizations/{org_id}/members/{member_id}")]
async fn get_organization_member(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(String, Uuid)>,
) -> Result<HttpResponse, Problem> {
    let (id, member) = path.into_inner();
    own(&caller, &id)?;
    let found = members(&services, &caller.permit()?).await?;
    let found = found.iter().find(|it| it.id.as_uuid() == member).ok_or_else(no_member)?;
    Ok(HttpResponse::Ok().json(MemberBody::from(found)))
}

/// Change a member's role
///
/// Needs the scope `team:write`; nobody can give more than they have, and the owner stays the owner.
#[utoipa::path(
    tag = "account",
    params(("org_id" = Uuid, Path, description = "The organization's id."), ("member_id" = Uuid, Path, description = "The member's id.")),
    request_body = UpdateMember,
    responses((status = 200, description = "The member."), ControlPlaneProblems),
)]
#[patch("/organizations/{org_id}/members/{member_id}")]
async fn update_organization_member(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(String, Uuid)>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let (id, member) = path.into_inner();
    own(&caller, &id)?;
    let permit = caller.permit::<TeamWrite>()?;
    let role = role_of(&optional::<UpdateMember>(&body)?.role)?;
    let member = services.team.change_role(&permit, MemberId::from_uuid(member), role).await?;
    Ok(HttpResponse::Ok().json(MemberBody::from(&member)))
}

/// Remove a member
///
/// With their keys. Needs the scope `team:write`; the owner stays.
#[utoipa::path(
    tag = "account",
    params(("org_id" = Uuid, Path, description = "The organization's id."), ("member_id" = Uuid, Path, description = "The member's id.")),
    responses((status = 200, description = "Nothing."), ControlPlaneProblems),
)]
#[delete("/organizations/{org_id}/members/{member_id}")]
async fn remove_organization_member(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(String, Uuid)>,
) -> Result<HttpResponse, Problem> {
    let (id, member) = path.into_inner();
    own(&caller, &id)?;
    services.team.remove(&caller.permit()?, MemberId::from_uuid(member)).await?;
    Ok(HttpResponse::Ok().json(json!({})))
}

/// List an organization's invitations
///
/// Those that were neither accepted nor taken back. Needs the scope `team:read`.
#[utoipa::path(
    tag = "account",
    params(("org_id" = Uuid, Path, description = "The organization's id.")),
    responses((status = 200, description = "`invitations`."), ControlPlaneProblems),
)]
#[get("/organizations/{org_id}/invitations")]
async fn list_organization_invitations(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    own(&caller, &id)?;
    let (permit, team) = (caller.permit::<TeamRead>()?, &services.team);
    let all = all_of(async |after, limit| team.invitations(&permit, after, limit).await).await?;
    let all: Vec<_> = all.iter().map(InvitationBody::from).collect();
    Ok(HttpResponse::Ok().json(json!({ "invitations": all })))
}

/// Invite people
///
/// A letter with a link goes to each address, good for seven days and once. Needs the scope `team:write`; nobody can invite to
/// a role that allows more than they may themselves.
#[utoipa::path(
    tag = "account",
    params(("org_id" = Uuid, Path, description = "The organization's id.")),
    request_body = Invite,
    responses((status = 200, description = "`invitations`."), ControlPlaneProblems),
)]
#[post("/organizations/{org_id}/invitations")]
async fn invite_to_organization(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<String>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    own(&caller, &id)?;
    let permit = caller.permit::<TeamWrite>()?;
    let asked = optional::<Invite>(&body)?.invitations;
    if !(1..=100).contains(&asked.len()) {
        let rule = "must have 1 to 100 entries";
        return Err(Problem::invalid(
            format!("invitations {rule}"),
            json!({ "invitations": rule }),
        ));
    }
    // All are read before the first letter goes.
    let mut wanted = Vec::with_capacity(asked.len());
    for one in &asked {
        wanted.push((Email::parse(&one.email)?, role_of(&one.role)?));
    }
    let mut made = Vec::with_capacity(wanted.len());
    for (email, role) in wanted {
        let invitation = services.team.invite(&permit, email, role).await?;
        made.push(InvitationBody::from(&invitation));
    }
    Ok(HttpResponse::Ok().json(json!({ "invitations": made })))
}

/// Transfer projects to another organization
///
/// Their addresses, names and passwords stay. Needs a sign-in, and the scope `projects:write` in both organizations: with an
/// API key, of one organization, a transfer request does it.
#[utoipa::path(
    tag = "projects",
    params(("org_id" = Uuid, Path, description = "The organization that has them.")),
    request_body = TransferProjects,
    responses((status = 200, description = "Nothing."), ControlPlaneProblems),
)]
#[post("/organizations/{org_id}/projects/transfer")]
async fn transfer_projects(
    caller: SignedInCaller,
    services: web::Data<Services>,
    source: web::Path<String>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let body = optional::<TransferProjects>(&body)?;
    let (source, destination) = (org(&source)?, org(&body.destination_org_id)?);
    let not_found =
        |what: &str| Problem::new(ErrorKind::NotFound, format!("{what} not found"), None);
    let mut permits: Vec<Permit<AllProjects>> = Vec::with_capacity(2);
    for id in [source, destination] {
        let principal = caller.principal_in(id).ok_or_else(|| not_found("organization"))?;
        services.tenancy.require_open(id).await?;
        permits.push(Permit::check(&principal)?);
    }
    if !(1..=400).contains(&body.project_ids.len()) {
        let rule = "must have 1 to 400 entries";
        return Err(Problem::invalid(
            format!("project_ids {rule}"),
            json!({ "project_ids": rule }),
        ));
    }
    let read = |it: &String| it.parse::<ProjectId>().map_err(|_| not_found("project"));
    let projects = body.project_ids.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    services.control_plane.hand_over(&permits[0], &permits[1], &projects).await?;
    Ok(HttpResponse::Ok().json(json!({})))
}
