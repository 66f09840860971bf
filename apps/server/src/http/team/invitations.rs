use actix_web::{HttpRequest, HttpResponse, delete, get, post, web};
use jiff::Timestamp;
use plinth_tenancy::InvitationId;
use plinth_tenancy::team::Invitation;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;
use validator::Validate;

use crate::http::envelope::{Reply, envelope, page_envelope};
use crate::http::input::{Paging, Valid};
use crate::http::problem::Problems;
use crate::http::{Caller, Problem, Services, caller};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_invitations)
        .service(get_invitation)
        .service(resend_invitation)
        .service(revoke_invitation)
        .service(accept_invitation);
}

const LIST: &str = "invitations";

/// List invitations
///
/// Those that were neither accepted nor taken back, newest first; one that has expired can be sent again for a month.
/// Needs the scope `team:read`.
#[utoipa::path(
    tag = "team",
    params(Paging),
    responses((status = 200, body = InvitationPage, description = "A page of invitations."), Problems),
)]
#[get("/team/invitations")]
async fn list_invitations(
    caller: Caller,
    services: web::Data<Services>,
    paging: web::Query<Paging>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let after = paging.cursor(&services.cursors, LIST)?;
    let page = services.team.invitations(&permit, after, paging.limit()?).await?;
    let next = page.next.map(|it| services.cursors.seal(LIST, it));
    let now = services.clock.now();
    let items = page.items.into_iter().map(|it| InvitationBody::of(&it, now));
    Ok(reply.page(items.collect::<Vec<_>>(), next))
}

/// Read an invitation
///
/// As long as it was neither accepted nor taken back. Needs the scope `team:read`.
#[utoipa::path(
    tag = "team",
    params(("id" = String, Path, description = "The invitation's id.", example = "inv_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = InvitationEnvelope, description = "The invitation."), Problems),
)]
#[get("/team/invitations/{id}")]
async fn get_invitation(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<InvitationId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let invitation = services.team.invitation(&permit, id.into_inner()).await?;
    Ok(reply.ok(InvitationBody::of(&invitation, services.clock.now())))
}

/// Send an invitation again
///
/// With a new link, good for seven days from now; older links are good no longer. Needs the scope `team:write`, and the
/// role may not be above the caller.
#[utoipa::path(
    tag = "team",
    params(("id" = String, Path, description = "The invitation's id.", example = "inv_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = InvitationEnvelope, description = "The invitation."), Problems),
)]
#[post("/team/invitations/{id}/resend")]
async fn resend_invitation(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<InvitationId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let invitation = services.team.resend(&permit, id.into_inner()).await?;
    Ok(reply.ok(InvitationBody::of(&invitation, services.clock.now())))
}

/// Take an invitation back
///
/// Its links are good no longer. Needs the scope `team:write`, and its role may not be above the caller.
#[utoipa::path(
    tag = "team",
    params(("id" = String, Path, description = "The invitation's id.", example = "inv_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 204, description = "Taken back."), Problems),
)]
#[delete("/team/invitations/{id}")]
async fn revoke_invitation(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<InvitationId>,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    services.team.revoke(&permit, id.into_inner()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Accept an invitation
///
/// With the token of the letter's link, which proves who is meant: whoever has the invited address becomes a member,
/// and nobody else. It works once. Who has no password yet chooses one; who has one leaves it out. It does not sign
/// anybody in.
#[utoipa::path(
    tag = "team",
    request_body = AcceptInvitation,
    responses((status = 200, body = AcceptedEnvelope, description = "The new membership."), Problems),
    security(()),
)]
#[post("/invitations/accept")]
async fn accept_invitation(
    request: HttpRequest,
    services: web::Data<Services>,
    body: Valid<AcceptInvitation>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let AcceptInvitation { token, password } = body.0;
    let origin = caller::origin(&request);
    let accepted = services.team.accept(token.expose_secret(), password.as_ref(), &origin).await?;
    let member = accepted.member;
    Ok(reply.ok(AcceptedBody {
        organization_id: member.org.as_uuid(),
        member_id: member.id.to_string(),
        user_id: member.user.to_string(),
        email: member.email.as_str().to_owned(),
        role: member.role.key().to_string(),
    }))
}

/// Somebody comes.
#[derive(Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct AcceptInvitation {
    /// From the letter's link.
    #[schema(value_type = String, write_only, example = "invite_…")]
    token: SecretString,
    /// For who has none yet: at least 8 characters.
    #[schema(value_type = Option<String>, write_only, example = "correct horse battery staple")]
    password: Option<SecretString>,
}

/// The new membership.
#[derive(Serialize, ToSchema)]
#[schema(as = AcceptedInvitation)]
struct AcceptedBody {
    organization_id: Uuid,
    #[schema(example = "mem_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    member_id: String,
    #[schema(example = "user_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    user_id: String,
    #[schema(example = "ben@example.com")]
    email: String,
    #[schema(example = "editor")]
    role: String,
}

/// Who was asked to come.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Invitation)]
pub(crate) struct InvitationBody {
    #[schema(example = "inv_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: String,
    #[schema(example = "ben@example.com")]
    email: String,
    /// `admin`, `editor`, `viewer`, or the id of a role of the organization's own.
    #[schema(example = "editor")]
    role: String,
    /// How people call that role.
    #[schema(example = "editor")]
    role_name: String,
    /// Who sent it last: what they may not grant any more, nobody gets by it.
    #[schema(example = "user_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    invited_by: String,
    /// How often it was sent.
    #[schema(example = 1, minimum = 1)]
    sendings: i32,
    created_at: Timestamp,
    sent_at: Timestamp,
    expires_at: Timestamp,
    /// Whether its link is good no longer; it can be sent again.
    is_expired: bool,
}

impl InvitationBody {
    pub(super) fn of(it: &Invitation, now: Timestamp) -> Self {
        Self {
            is_expired: !it.is_good(now),
            id: it.id.to_string(),
            email: it.email.as_str().to_owned(),
            role: it.role.key().to_string(),
            role_name: it.role.name().to_owned(),
            invited_by: it.invited_by.to_string(),
            sendings: it.sending,
            created_at: it.created_at,
            sent_at: it.sent_at,
            expires_at: it.expires_at,
        }
    }
}

envelope! {
    /// An invitation.
    InvitationEnvelope(InvitationBody)
}
envelope! {
    /// The new membership.
    AcceptedEnvelope(AcceptedBody)
}
page_envelope! {
    /// A page of invitations.
    InvitationPage(InvitationBody)
}
