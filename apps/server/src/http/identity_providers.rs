use actix_web::{HttpResponse, delete, get, post, put, web};
use jiff::Timestamp;
use plinth_core::ProviderId;
use plinth_tenancy::identity::{IdentityProvider, NewProvider};
use plinth_tenancy::{RoleKey, UnknownRole};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use super::envelope::{Reply, envelope, page_envelope};
use super::input::Valid;
use super::problem::Problems;
use super::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_identity_providers)
        .service(create_identity_provider)
        .service(get_identity_provider)
        .service(replace_identity_provider)
        .service(remove_identity_provider);
}

/// List identity providers
///
/// Those whose tokens this organization takes, oldest first. Needs the scope `admin`.
#[utoipa::path(
    tag = "identity providers",
    responses((status = 200, body = IdentityProviderPage, description = "All of them."), Problems),
)]
#[get("/identity-providers")]
async fn list_identity_providers(
    caller: Caller,
    services: web::Data<Services>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let all = services.identities.list(&caller.permit()?).await?;
    Ok(reply.page(all.into_iter().map(IdentityProviderBody::from).collect(), None))
}

/// Add an identity provider
///
/// From then on a token of it is taken as `Authorization: Bearer …`, in this organization only. Whoever comes for the
/// first time becomes a member with the role that the first of their groups in `group_roles` says, and what their groups
/// say is what they are from then on. Somebody whom people invited keeps the role that people gave. Needs the scope
/// `admin`, and every role that is named.
#[utoipa::path(
    tag = "identity providers",
    request_body = IdentityProviderSettings,
    responses(
        (status = 201, body = IdentityProviderEnvelope, description = "The provider."),
        (status = 502, body = super::problem::ErrorBody, description = "`connection_error`: it was to be verified, and its keys cannot be read."),
        Problems,
    ),
)]
#[post("/identity-providers")]
async fn create_identity_provider(
    caller: Caller,
    services: web::Data<Services>,
    body: Valid<IdentityProviderSettings>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let verify = body.verify;
    let made = services.identities.create(&permit, body.0.read()?, verify).await?;
    let location = format!("/v1/identity-providers/{}", made.id);
    Ok(reply.created(location, IdentityProviderBody::from(made)))
}

/// Get an identity provider
///
/// Needs the scope `admin`.
#[utoipa::path(
    tag = "identity providers",
    params(("id" = String, Path, description = "The provider's id.", example = "idp_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = IdentityProviderEnvelope, description = "The provider."), Problems),
)]
#[get("/identity-providers/{id}")]
async fn get_identity_provider(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ProviderId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let found = services.identities.get(&caller.permit()?, id.into_inner()).await?;
    Ok(reply.ok(IdentityProviderBody::from(found)))
}

/// Change an identity provider
///
/// Puts all settings in the place of the old ones. Needs the scope `admin`, and every role that is named.
#[utoipa::path(
    tag = "identity providers",
    params(("id" = String, Path, description = "The provider's id.", example = "idp_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    request_body = IdentityProviderSettings,
    responses(
        (status = 200, body = IdentityProviderEnvelope, description = "The provider."),
        (status = 502, body = super::problem::ErrorBody, description = "`connection_error`: it was to be verified, and its keys cannot be read."),
        Problems,
    ),
)]
#[put("/identity-providers/{id}")]
async fn replace_identity_provider(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ProviderId>,
    body: Valid<IdentityProviderSettings>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let verify = body.verify;
    let new = body.0.read()?;
    let changed = services.identities.replace(&permit, id.into_inner(), new, verify).await?;
    Ok(reply.ok(IdentityProviderBody::from(changed)))
}

/// Remove an identity provider
///
/// Its tokens stop working here at once and on every server within a second. The members who came by it stay, as what
/// they are. Needs the scope `admin`.
#[utoipa::path(
    tag = "identity providers",
    params(("id" = String, Path, description = "The provider's id.", example = "idp_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 204, description = "Removed."), Problems),
)]
#[delete("/identity-providers/{id}")]
async fn remove_identity_provider(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ProviderId>,
) -> Result<HttpResponse, Problem> {
    services.identities.remove(&caller.permit()?, id.into_inner()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Whose tokens to take, and what they mean.
#[derive(Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct IdentityProviderSettings {
    /// How people call it, 1 to 100 characters; unique in the organization.
    #[schema(example = "Company sign-in")]
    name: String,
    /// The `iss` of its tokens, letter for letter.
    #[schema(example = "https://id.example.com/realms/work")]
    issuer: String,
    /// Where its keys are: an https URL that the server can reach.
    #[schema(example = "https://id.example.com/realms/work/keys")]
    jwks_url: String,
    /// What has to stand in its tokens' `aud`.
    #[schema(example = "plinth")]
    audience: String,
    /// Which claim has a person's e-mail address; dots go down into objects. A token whose `email_verified` is there and
    /// not true brings no address.
    #[serde(default = "email")]
    #[schema(default = "email")]
    email_claim: String,
    /// Which claim has the names of a person's groups.
    #[serde(default = "groups")]
    #[schema(default = "groups")]
    groups_claim: String,
    /// What the members of a group are; who is in several is what the first of them says.
    #[serde(default)]
    group_roles: Vec<GroupRole>,
    /// What somebody in none of these groups is: `admin`, `editor`, `viewer` or the id of a role of your own. Left out or
    /// null, they are kept out.
    #[serde(default)]
    #[schema(example = "viewer")]
    default_role: Option<String>,
    /// Whether its tokens are taken now.
    #[serde(default = "active")]
    #[schema(default = true)]
    is_active: bool,
    /// Reads the provider's keys once, and keeps the settings only if there are some that can be used.
    #[serde(default)]
    verify: bool,
}

fn email() -> String {
    "email".to_owned()
}

fn groups() -> String {
    "groups".to_owned()
}

fn active() -> bool {
    true
}

/// What the members of a group are.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GroupRole {
    /// The group's name, as it stands in tokens.
    #[schema(example = "data-team")]
    group: String,
    /// `admin`, `editor`, `viewer` or the id of a role of your own.
    #[schema(example = "editor")]
    role: String,
}

impl IdentityProviderSettings {
    fn read(self) -> Result<NewProvider, Problem> {
        let role = |field: &'static str, text: &str| {
            text.parse::<RoleKey>().map_err(|err: UnknownRole| {
                Problem::invalid(err.to_string(), json!({ field: err.to_string() }))
            })
        };
        let group_roles = self.group_roles.into_iter().map(|it| {
            let key = role("group_roles", &it.role)?;
            Ok::<_, Problem>((it.group, key))
        });
        let default_role = self.default_role.map(|it| role("default_role", &it)).transpose()?;
        Ok(NewProvider {
            name: self.name,
            issuer: self.issuer,
            jwks_url: self.jwks_url,
            audience: self.audience,
            email_claim: self.email_claim,
            groups_claim: self.groups_claim,
            group_roles: group_roles.collect::<Result<_, _>>()?,
            default_role,
            is_active: self.is_active,
        })
    }
}

/// An outside identity provider.
#[derive(Serialize, ToSchema)]
#[schema(as = IdentityProvider)]
struct IdentityProviderBody {
    #[schema(example = "idp_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: String,
    name: String,
    issuer: String,
    jwks_url: String,
    audience: String,
    email_claim: String,
    groups_claim: String,
    group_roles: Vec<GroupRole>,
    #[schema(required = true)]
    default_role: Option<String>,
    is_active: bool,
    created_at: Timestamp,
}

impl From<IdentityProvider> for IdentityProviderBody {
    fn from(it: IdentityProvider) -> Self {
        let group_roles = it.group_roles.into_iter();
        Self {
            id: it.id.to_string(),
            name: it.name,
            issuer: it.issuer,
            jwks_url: it.jwks_url,
            audience: it.audience,
            email_claim: it.email_claim,
            groups_claim: it.groups_claim,
            group_roles: group_roles
                .map(|(group, role)| GroupRole { group, role: role.to_string() })
                .collect(),
            default_role: it.default_role.map(|it| it.to_string()),
            is_active: it.is_active,
            created_at: it.created_at,
        }
    }
}

envelope! {
    /// An identity provider.
    IdentityProviderEnvelope(IdentityProviderBody)
}
page_envelope! {
    /// An organization's identity providers.
    IdentityProviderPage(IdentityProviderBody)
}
