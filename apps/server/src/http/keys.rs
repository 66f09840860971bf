use actix_web::{HttpResponse, delete, get, patch, post, web};
use jiff::Timestamp;
use plinth_core::KeyId;
use plinth_tenancy::{
    ApiKey, Email, KeyChange, KeyKind, KeyLimits, KeyScope, NewKey, OrganizationName, SetupToken,
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;
use validator::Validate;

use super::envelope::{Reply, envelope, page_envelope};
use super::input::{Paging, Valid};
use super::problem::Problems;
use super::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(set_up)
        .service(list_api_keys)
        .service(create_api_key)
        .service(get_api_key)
        .service(update_api_key)
        .service(revoke_api_key);
}

const LIST: &str = "api-keys";

/// Make the first owner
///
/// With the one-time token that the server printed at its first start. Takes no API key: it answers with the first one.
#[utoipa::path(
    tag = "api keys",
    request_body = SetUp,
    responses((status = 201, body = FoundedEnvelope, description = "The organization, its owner and a key that is shown once."), Problems),
    security(()),
)]
#[post("/setup")]
async fn set_up(
    services: web::Data<Services>,
    body: Valid<SetUp>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let SetUp { token, organization, email, password } = body.0;
    let (name, email) = (OrganizationName::parse(&organization)?, Email::parse(&email)?);
    let token = SetupToken::new(token);
    // The token first: hashing is costly, and strangers who guess must not keep people from signing in. Then the
    // password, before the token is used up: one that will not do must not cost it.
    services.tenancy.check_setup(&token).await?;
    let hash = match &password {
        Some(password) => Some(services.accounts.prepare_password(password, &email).await?),
        None => None,
    };
    let founded = services.tenancy.set_up(&token, name, email).await?;
    if let Some(hash) = hash {
        services.accounts.keep_first_password(founded.user, &hash).await?;
    }
    let body = FoundedBody {
        organization_id: founded.organization.id.as_uuid(),
        user_id: founded.user.to_string(),
        api_key: founded.key.expose().to_owned(),
    };
    Ok(reply.created("/v1/api-keys".to_owned(), body))
}

/// List API keys
///
/// Newest first, revoked ones included; never their secrets. Needs the scope `admin`; who signed in and has it not sees
/// their own keys.
#[utoipa::path(
    tag = "api keys",
    params(Paging),
    responses((status = 200, body = ApiKeyPage, description = "A page of keys."), Problems),
)]
#[get("/api-keys")]
async fn list_api_keys(
    caller: Caller,
    services: web::Data<Services>,
    paging: web::Query<Paging>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let after = paging.cursor(&services.cursors, LIST)?;
    let page = services.tenancy.list_keys(&permit, after, paging.limit()?).await?;
    let next = page.next.map(|it| services.cursors.seal(LIST, it));
    Ok(reply.page(page.items.into_iter().map(ApiKeyBody::from).collect::<Vec<_>>(), next))
}

/// Make an API key
///
/// Its secret is in this answer and nowhere else. Needs the scope `admin`, or a sign-in where the organization lets its
/// members make keys. A key carries at most what its maker may, at every use, and dies with their membership.
#[utoipa::path(
    tag = "api keys",
    request_body = CreateApiKey,
    responses((status = 201, body = NewApiKeyEnvelope, description = "The key, with its secret."), Problems),
)]
#[post("/api-keys")]
async fn create_api_key(
    caller: Caller,
    services: web::Data<Services>,
    body: Valid<CreateApiKey>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let CreateApiKey {
        name,
        scopes,
        is_test,
        expires_at,
        rate_limit_per_minute,
        rate_limit_per_day,
    } = body.0;
    let kind = if is_test { KeyKind::Test } else { KeyKind::Live };
    let limits = KeyLimits { per_minute: rate_limit_per_minute, per_day: rate_limit_per_day };
    let scope = KeyScope::parse(&scopes)?;
    let new = NewKey { name, kind, scope, expires_at, limits, project: None };
    let (key, secret) = services.tenancy.create_key(&permit, new).await?;
    let location = format!("/v1/api-keys/{}", key.id);
    let about = ApiKeyBody::from(key);
    let kept = NewApiKeyBody { key: None, about: about.clone() };
    let body = NewApiKeyBody { key: Some(secret.expose().to_owned()), about };
    Ok(reply.created_once(location, body, kept))
}

/// Read an API key
///
/// Never its secret. Needs the scope `admin`, or a sign-in for one's own keys.
#[utoipa::path(
    tag = "api keys",
    params(("id" = String, Path, description = "The key's id.", example = "key_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = ApiKeyEnvelope, description = "The key."), Problems),
)]
#[get("/api-keys/{id}")]
async fn get_api_key(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<KeyId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let key = services.tenancy.get_key(&permit, id.into_inner()).await?;
    Ok(reply.ok(ApiKeyBody::from(key)))
}

/// Change an API key
///
/// Its name and its own limits. Needs the scope `admin`, or a sign-in for one's own keys.
#[utoipa::path(
    tag = "api keys",
    params(("id" = String, Path, description = "The key's id.", example = "key_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    request_body = UpdateApiKey,
    responses((status = 200, body = ApiKeyEnvelope, description = "The key."), Problems),
)]
#[patch("/api-keys/{id}")]
async fn update_api_key(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<KeyId>,
    body: Valid<UpdateApiKey>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let UpdateApiKey { name, rate_limit_per_minute, rate_limit_per_day } = body.0;
    let change = KeyChange { name, per_minute: rate_limit_per_minute, per_day: rate_limit_per_day };
    let key = services.tenancy.change_key(&permit, id.into_inner(), &change).await?;
    Ok(reply.ok(ApiKeyBody::from(key)))
}

/// Revoke an API key
///
/// It stops working here at once and on every server within a second. Needs the scope `admin`, or a sign-in for one's own
/// keys.
#[utoipa::path(
    tag = "api keys",
    params(("id" = String, Path, description = "The key's id.", example = "key_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 204, description = "Revoked."), Problems),
)]
#[delete("/api-keys/{id}")]
async fn revoke_api_key(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<KeyId>,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    services.tenancy.revoke_key(&permit, id.into_inner()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The first owner.
#[derive(Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct SetUp {
    /// The token that the server printed at its first start.
    #[schema(write_only, example = "setup_…")]
    token: String,
    /// The organization's name, 1 to 100 characters.
    #[schema(example = "Example Shop")]
    organization: String,
    /// The owner's e-mail address.
    #[schema(example = "owner@example.com")]
    email: String,
    /// With it the owner can sign in; without one, only the API key is there until a password is chosen by a link.
    #[schema(write_only, value_type = Option<String>, example = "correct horse battery staple")]
    password: Option<SecretString>,
}

/// What came of it.
#[derive(Serialize, ToSchema)]
#[schema(as = Founded)]
struct FoundedBody {
    organization_id: Uuid,
    user_id: String,
    /// Shown once.
    api_key: String,
}

/// A key to make.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct CreateApiKey {
    /// What it is for, 1 to 100 characters.
    #[schema(example = "nightly report")]
    name: String,
    /// `["read"]` (queries and dashboards), `["full"]` (all that you may), or scopes like `queries:read`.
    #[schema(example = json!(["queries:read"]))]
    scopes: Vec<String>,
    /// Makes a `plinth_test_…` key, which reaches only connections that are marked as test.
    #[serde(default)]
    is_test: bool,
    /// From when it no longer works; never, if left out.
    expires_at: Option<Timestamp>,
    /// Requests a minute at most, below what the organization may; no further limit, if left out.
    #[schema(minimum = 1, maximum = 2_000_000_000)]
    rate_limit_per_minute: Option<u32>,
    /// Requests a day at most, below what the organization may; no further limit, if left out.
    #[schema(minimum = 1, maximum = 2_000_000_000)]
    rate_limit_per_day: Option<u32>,
}

/// What to change of a key; what is left out stays, and null takes a limit away.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct UpdateApiKey {
    /// What it is for, 1 to 100 characters.
    #[schema(example = "nightly report")]
    name: Option<String>,
    /// Requests a minute at most.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 2_000_000_000)]
    #[expect(clippy::option_option, reason = "left out, null and a number mean three things")]
    rate_limit_per_minute: Option<Option<u32>>,
    /// Requests a day at most.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 2_000_000_000)]
    #[expect(clippy::option_option, reason = "left out, null and a number mean three things")]
    rate_limit_per_day: Option<Option<u32>>,
}

/// Tells a null from what is left out.
#[expect(clippy::option_option, reason = "left out, null and a value mean three things")]
pub(super) fn given<'de, D, T>(from: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(from).map(Some)
}

/// An API key without its secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
struct ApiKeyBody {
    #[schema(example = "key_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: String,
    name: String,
    scopes: Vec<String>,
    is_test: bool,
    /// The last four characters of its secret.
    hint: String,
    /// Who made it.
    created_by: String,
    created_at: Timestamp,
    #[schema(required = true)]
    expires_at: Option<Timestamp>,
    #[schema(required = true)]
    revoked_at: Option<Timestamp>,
    /// At most a minute behind.
    #[schema(required = true)]
    last_used_at: Option<Timestamp>,
    /// Its own limit, below its organization's; null for none.
    #[schema(required = true)]
    rate_limit_per_minute: Option<u32>,
    /// Its own limit, below its organization's; null for none.
    #[schema(required = true)]
    rate_limit_per_day: Option<u32>,
}

impl From<ApiKey> for ApiKeyBody {
    fn from(it: ApiKey) -> Self {
        Self {
            id: it.id.to_string(),
            scopes: it.scope.names(),
            is_test: it.kind == KeyKind::Test,
            name: it.name,
            hint: it.hint,
            created_by: it.user.to_string(),
            created_at: it.created_at,
            expires_at: it.expires_at,
            revoked_at: it.revoked_at,
            last_used_at: it.last_used_at,
            rate_limit_per_minute: it.limits.per_minute,
            rate_limit_per_day: it.limits.per_day,
        }
    }
}

/// A key that was just made.
#[derive(Serialize, ToSchema)]
#[schema(as = NewApiKey)]
struct NewApiKeyBody {
    /// The secret. Shown once: null where the answer is given again for an `Idempotency-Key`.
    #[schema(required = true, example = "plinth_live_…")]
    key: Option<String>,
    #[serde(flatten)]
    about: ApiKeyBody,
}

envelope! {
    /// What came of the set-up.
    FoundedEnvelope(FoundedBody)
}
envelope! {
    /// A key that was just made.
    NewApiKeyEnvelope(NewApiKeyBody)
}
envelope! {
    /// A key.
    ApiKeyEnvelope(ApiKeyBody)
}
page_envelope! {
    /// A page of keys.
    ApiKeyPage(ApiKeyBody)
}
