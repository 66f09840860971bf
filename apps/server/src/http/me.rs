use actix_web::{HttpResponse, delete, get, web};
use jiff::Timestamp;
use plinth_core::{Credential, Scope, ScopeSet, SessionId, UserId};
use plinth_tenancy::session::Session;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::auth::{MembershipBody, UserBody};
use super::envelope::{Reply, envelope};
use super::problem::Problems;
use super::{Caller, Problem, Services, SignedInCaller};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(get_me)
        .service(get_my_access)
        .service(list_my_organizations)
        .service(list_my_sessions)
        .service(end_my_session);
}

/// Who am I
///
/// Whose the key or token is, for which organization it acts, and what it may do there.
#[utoipa::path(
    tag = "me",
    responses((status = 200, body = MeEnvelope, description = "The caller."), Problems),
)]
#[get("/me")]
async fn get_me(
    caller: Caller,
    services: web::Data<Services>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (user, membership) = services.accounts.me(&permit).await?;
    let principal = permit.principal();
    Ok(reply.ok(MeBody {
        user: user.into(),
        organization: membership.into(),
        scopes: ScopeNames(principal.scopes),
        credential: CredentialBody::from(principal.credential),
    }))
}

/// What may I do
///
/// The short form, which asks no database: whether a key or token works, for whom, and for what.
#[utoipa::path(
    tag = "me",
    responses((status = 200, body = AccessEnvelope, description = "What the caller may do."), Problems),
)]
#[get("/me/access")]
async fn get_my_access(caller: Caller, reply: Reply) -> HttpResponse {
    let principal = caller.principal();
    reply.ok(AccessBody {
        user_id: principal.user,
        organization_id: principal.org.as_uuid(),
        scopes: ScopeNames(principal.scopes),
        credential: CredentialBody::from(principal.credential),
    })
}

/// List my organizations
///
/// Where you belong, oldest membership first. Needs a sign-in.
#[utoipa::path(
    tag = "me",
    responses((status = 200, body = MembershipsEnvelope, description = "The organizations."), Problems),
    security(("bearer" = [])),
)]
#[get("/me/organizations")]
async fn list_my_organizations(
    person: SignedInCaller,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let all = person.memberships().iter().cloned().map(MembershipBody::from);
    Ok(reply.ok(all.collect::<Vec<_>>()))
}

/// List my sessions
///
/// Where you are signed in, newest first. Needs a sign-in.
#[utoipa::path(
    tag = "me",
    responses((status = 200, body = SessionsEnvelope, description = "The sessions that have not ended."), Problems),
    security(("bearer" = [])),
)]
#[get("/me/sessions")]
async fn list_my_sessions(
    person: SignedInCaller,
    services: web::Data<Services>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let sessions = services.accounts.list_sessions(&person).await?;
    let here = person.session();
    let body = |it: Session| SessionBody { is_current: it.id == here, ..SessionBody::from(it) };
    Ok(reply.ok(sessions.into_iter().map(body).collect::<Vec<_>>()))
}

/// End one of my sessions
///
/// It stops here at once, on every server within a second. Needs a sign-in.
#[utoipa::path(
    tag = "me",
    params(("id" = String, Path, description = "The session's id.", example = "sess_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 204, description = "Ended."), Problems),
    security(("bearer" = [])),
)]
#[delete("/me/sessions/{id}")]
async fn end_my_session(
    person: SignedInCaller,
    services: web::Data<Services>,
    id: web::Path<SessionId>,
) -> Result<HttpResponse, Problem> {
    services.accounts.end_session(&person, id.into_inner()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Who is calling.
#[derive(Serialize, ToSchema)]
#[schema(as = Me)]
struct MeBody {
    user: UserBody,
    /// The organization that the call is for, and the person's role in it.
    organization: MembershipBody,
    /// What the key or token may do: never more than the role.
    #[schema(value_type = Vec<String>, example = json!(["queries:read", "dashboards:read"]))]
    scopes: ScopeNames,
    credential: CredentialBody,
}

/// What a caller may do.
#[derive(Serialize, ToSchema)]
#[schema(as = Access)]
struct AccessBody {
    /// Whose the key or token is.
    #[schema(value_type = String, example = "usr_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    user_id: UserId,
    /// The organization that the call is for.
    organization_id: Uuid,
    /// What the key or token may do there: never more than the role.
    #[schema(value_type = Vec<String>, example = json!(["queries:read", "dashboards:read"]))]
    scopes: ScopeNames,
    credential: CredentialBody,
}

/// Scopes by their names, in their fixed order.
struct ScopeNames(ScopeSet);

impl Serialize for ScopeNames {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(Scope::as_str))
    }
}

/// By what a caller shows who they are.
#[derive(Serialize, ToSchema)]
#[schema(as = Credential)]
struct CredentialBody {
    /// `api_key`, `session`, `app` or `identity_provider`.
    #[schema(example = "api_key")]
    kind: &'static str,
    /// Its id, which is no secret.
    #[schema(required = true, example = "key_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: Option<String>,
}

impl From<Credential> for CredentialBody {
    fn from(it: Credential) -> Self {
        Self { kind: it.kind(), id: it.id() }
    }
}

/// A sign-in.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
struct SessionBody {
    #[schema(example = "sess_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: String,
    /// Whether this call comes from it.
    is_current: bool,
    /// What the client said it is.
    #[schema(example = "curl/8.5.0")]
    device: String,
    /// From where it was last used.
    #[schema(required = true, example = "192.0.2.7")]
    address: Option<String>,
    created_at: Timestamp,
    /// At most a minute behind.
    last_used_at: Timestamp,
    /// When it ends if it is not used.
    expires_at: Timestamp,
}

impl From<Session> for SessionBody {
    fn from(it: Session) -> Self {
        Self {
            id: it.id.to_string(),
            is_current: false,
            expires_at: it.expires_at(),
            address: it.address.map(|it| it.to_string()),
            device: it.device,
            created_at: it.created_at,
            last_used_at: it.last_used_at,
        }
    }
}

envelope! {
    /// Who is calling.
    MeEnvelope(MeBody)
}
envelope! {
    /// What a caller may do.
    AccessEnvelope(AccessBody)
}
envelope! {
    /// Where a person belongs.
    MembershipsEnvelope(Vec<MembershipBody>)
}
envelope! {
    /// Where a person is signed in.
    SessionsEnvelope(Vec<SessionBody>)
}
