use actix_web::{HttpResponse, delete, get, patch, post, web};
use jiff::Timestamp;
use plinth_tenancy::{Email, Member, MemberId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use super::invitations::{InvitationBody, InvitationEnvelope};
use crate::http::envelope::{Reply, envelope, page_envelope};
use crate::http::input::{Paging, Valid};
use crate::http::problem::Problems;
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_members)
        .service(invite_member)
        // Before the one with an id in its place.
        .service(leave_organization)
        .service(update_member)
        .service(remove_member);
}

const LIST: &str = "members";

/// List members
///
/// Newest first. Needs the scope `team:read`.
#[utoipa::path(
    tag = "team",
    params(Paging),
    responses((status = 200, body = MemberPage, description = "A page of members."), Problems),
)]
#[get("/team/members")]
async fn list_members(
    caller: Caller,
    services: web::Data<Services>,
    paging: web::Query<Paging>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let after = paging.cursor(&services.cursors, LIST)?;
    let page = services.team.members(&permit, after, paging.limit()?).await?;
    let next = page.next.map(|it| services.cursors.seal(LIST, it));
    Ok(reply.page(page.items.into_iter().map(MemberBody::from).collect::<Vec<_>>(), next))
}

/// Invite somebody
///
/// A letter with a link goes to the address; the link is good for seven days and once. Needs the scope `team:write`, and
/// nobody can invite to a role that allows more than they may themselves: `role_escalation_denied`. The owner's role is
/// handed over and not given.
#[utoipa::path(
    tag = "team",
    request_body = InviteMember,
    responses((status = 201, body = InvitationEnvelope, description = "The invitation."), Problems),
)]
#[post("/team/members")]
async fn invite_member(
    caller: Caller,
    services: web::Data<Services>,
    body: Valid<InviteMember>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (email, role) = (Email::parse(&body.email)?, super::roles::key(&body.role)?);
    let invitation = services.team.invite(&permit, email, role).await?;
    let location = format!("/v1/team/invitations/{}", invitation.id);
    Ok(reply.created(location, InvitationBody::of(&invitation, services.clock.now())))
}

/// Change a member's role
///
/// What they may do changes here at once and on every server within a second. Needs the scope `team:write`; neither the
/// role nor the member may be above the caller, and the owner stays the owner until the organization is handed over.
#[utoipa::path(
    tag = "team",
    params(("member_id" = String, Path, description = "The member's id.", example = "mem_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    request_body = UpdateMember,
    responses((status = 200, body = MemberEnvelope, description = "The member."), Problems),
)]
#[patch("/team/members/{member_id}")]
async fn update_member(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<MemberId>,
    body: Valid<UpdateMember>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let role = super::roles::key(&body.role)?;
    let member = services.team.change_role(&permit, id.into_inner(), role).await?;
    Ok(reply.ok(MemberBody::from(member)))
}

/// Remove a member
///
/// Their keys and the invitations that they sent end with the membership; their sessions lose the organization within a
/// second. Needs the scope `team:write`; nobody can remove somebody above themselves, or the owner.
#[utoipa::path(
    tag = "team",
    params(("member_id" = String, Path, description = "The member's id.", example = "mem_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 204, description = "Removed."), Problems),
)]
#[delete("/team/members/{member_id}")]
async fn remove_member(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<MemberId>,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    services.team.remove(&permit, id.into_inner()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Leave the organization
///
/// Takes yourself out of it, with your keys. The owner hands it over first. Needs a sign-in: neither a key nor an app can
/// do this.
#[utoipa::path(
    tag = "team",
    responses((status = 204, description = "You are no member any more."), Problems),
    security(("bearer" = [])),
)]
#[delete("/team/members/me")]
async fn leave_organization(
    caller: Caller,
    services: web::Data<Services>,
) -> Result<HttpResponse, Problem> {
    services.team.leave(&caller.permit()?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Whom to invite.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct InviteMember {
    /// Where the letter goes.
    #[schema(example = "ben@example.com")]
    email: String,
    /// `admin`, `editor`, `viewer`, or the id of a role of the organization's own.
    #[schema(example = "editor")]
    role: String,
}

/// What becomes of a member.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct UpdateMember {
    /// `admin`, `editor`, `viewer`, or the id of a role of the organization's own.
    #[schema(example = "viewer")]
    role: String,
}

/// A person in the organization.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Member)]
pub(crate) struct MemberBody {
    #[schema(example = "mem_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: String,
    #[schema(example = "user_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    user_id: String,
    #[schema(example = "ben@example.com")]
    email: String,
    /// `owner`, `admin`, `editor`, `viewer`, or the id of a role of the organization's own.
    #[schema(example = "editor")]
    role: String,
    /// How people call that role.
    #[schema(example = "editor")]
    role_name: String,
    joined_at: Timestamp,
}

impl From<Member> for MemberBody {
    fn from(it: Member) -> Self {
        Self {
            id: it.id.to_string(),
            user_id: it.user.to_string(),
            email: it.email.as_str().to_owned(),
            role: it.role.key().to_string(),
            role_name: it.role.name().to_owned(),
            joined_at: it.joined_at,
        }
    }
}

envelope! {
    /// A member.
    MemberEnvelope(MemberBody)
}
page_envelope! {
    /// A page of members.
    MemberPage(MemberBody)
}
