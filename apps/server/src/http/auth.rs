use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use plinth_tenancy::Email;
use plinth_tenancy::accounts::{Membership, Tokens};
use plinth_tenancy::signing::PublishedKey;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;
use validator::Validate;

use super::caller::origin;
use super::envelope::{Reply, envelope};
use super::input::Valid;
use super::problem::Problems;
use super::{Problem, Services, SignedInCaller};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(sign_in)
        .service(refresh_tokens)
        .service(sign_out)
        .service(sign_out_everywhere)
        .service(forgot_password)
        .service(reset_password)
        .service(change_password);
}

/// Sign in
///
/// Answers with an access token for `Authorization: Bearer …`, good for ten minutes, and a refresh token for the next
/// ones. After ten failures within fifteen minutes an account takes no further password for the rest of them.
#[utoipa::path(
    tag = "authentication",
    request_body = SignIn,
    responses((status = 200, body = TokensEnvelope, description = "The tokens, who signed in, and where they belong."), Problems),
    security(()),
)]
#[post("/auth/login")]
async fn sign_in(
    request: HttpRequest,
    services: web::Data<Services>,
    body: Valid<SignIn>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let SignIn { email, password } = body.0;
    let email = Email::parse(&email)?;
    let agent = request.headers().get(header::USER_AGENT).and_then(|it| it.to_str().ok());
    let device = agent.unwrap_or_default();
    let tokens = services.accounts.sign_in(&email, &password, device, &origin(&request)).await?;
    Ok(secret(reply.ok(TokensBody::from(tokens))))
}

/// Get new tokens
///
/// Exchanges a refresh token. It is good once: send the new one the next time. One that is sent again later ends the
/// session, because somebody else may have it.
#[utoipa::path(
    tag = "authentication",
    request_body = Refresh,
    responses((status = 200, body = TokensEnvelope, description = "New tokens."), Problems),
    security(()),
)]
#[post("/auth/refresh")]
async fn refresh_tokens(
    request: HttpRequest,
    services: web::Data<Services>,
    body: Valid<Refresh>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let token = body.0.refresh_token;
    let tokens = services.accounts.refresh(token.expose_secret(), &origin(&request)).await?;
    Ok(secret(reply.ok(TokensBody::from(tokens))))
}

/// Sign out
///
/// Ends the session of the access token that is sent: here at once, on every server within a second. Needs a sign-in.
#[utoipa::path(
    tag = "authentication",
    responses((status = 204, description = "Signed out."), Problems),
    security(("bearer" = [])),
)]
#[post("/auth/logout")]
async fn sign_out(
    person: SignedInCaller,
    services: web::Data<Services>,
) -> Result<HttpResponse, Problem> {
    services.accounts.sign_out(&person).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Sign out everywhere
///
/// Ends all your sessions, on all devices, and all that apps may do for you. API keys go on working. Needs a sign-in.
#[utoipa::path(
    tag = "authentication",
    responses((status = 204, description = "Signed out."), Problems),
    security(("bearer" = [])),
)]
#[post("/auth/logout-all")]
async fn sign_out_everywhere(
    person: SignedInCaller,
    services: web::Data<Services>,
) -> Result<HttpResponse, Problem> {
    services.accounts.sign_out_everywhere(&person).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Ask for a new password
///
/// Sends a letter with a link to that address, if it is somebody's. The answer is the same if not.
#[utoipa::path(
    tag = "authentication",
    request_body = Forgot,
    responses((status = 202, description = "If somebody has that address, a letter is on its way."), Problems),
    security(()),
)]
#[post("/auth/password/forgot")]
async fn forgot_password(
    request: HttpRequest,
    services: web::Data<Services>,
    body: Valid<Forgot>,
) -> Result<HttpResponse, Problem> {
    let email = Email::parse(&body.0.email)?;
    services.accounts.forgot(&email, &origin(&request)).await?;
    Ok(HttpResponse::Accepted().finish())
}

/// Choose a new password by a link
///
/// With the token of the link in the letter, which is good once and for an hour. All your sessions end.
#[utoipa::path(
    tag = "authentication",
    request_body = Reset,
    responses((status = 204, description = "The password is changed."), Problems),
    security(()),
)]
#[post("/auth/password/reset")]
async fn reset_password(
    request: HttpRequest,
    services: web::Data<Services>,
    body: Valid<Reset>,
) -> Result<HttpResponse, Problem> {
    let Reset { token, password } = body.0;
    services.accounts.reset(token.expose_secret(), &password, &origin(&request)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Change your password
///
/// All your other sessions end, and with them what apps may do for you. Needs a sign-in.
#[utoipa::path(
    tag = "authentication",
    request_body = ChangePassword,
    responses((status = 204, description = "The password is changed."), Problems),
    security(("bearer" = [])),
)]
#[post("/auth/password")]
async fn change_password(
    person: SignedInCaller,
    services: web::Data<Services>,
    body: Valid<ChangePassword>,
) -> Result<HttpResponse, Problem> {
    let ChangePassword { current_password, new_password } = body.0;
    services.accounts.change_password(&person, &current_password, &new_password).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Keys that sign access tokens
///
/// A JSON Web Key Set (RFC 7517), for services that check our tokens. A new key stands here for an hour before it is
/// used, and an old one until its last token has expired; fetch the set anew when a token names a key that you do not
/// have, and at least daily.
#[utoipa::path(
    tag = "authentication",
    responses((status = 200, body = KeySetBody, description = "The public keys.")),
    security(()),
)]
#[get("/.well-known/jwks.json")]
pub(super) async fn jwks(services: web::Data<Services>) -> Result<HttpResponse, Problem> {
    let keys = services.accounts.signing().published().await;
    let keys = keys.map_err(plinth_tenancy::AccountError::from)?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .json(KeySetBody { keys: keys.into_iter().map(KeyBody::from).collect() }))
}

/// An answer that nobody on the way may keep.
fn secret(mut response: HttpResponse) -> HttpResponse {
    let no_store = header::HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, no_store);
    response
}

/// Who signs in.
#[derive(Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct SignIn {
    /// Your e-mail address.
    #[schema(example = "ann@example.com")]
    email: String,
    /// Your password.
    #[schema(write_only, value_type = String, example = "correct horse battery staple")]
    password: SecretString,
}

/// What is exchanged.
#[derive(Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct Refresh {
    /// The newest refresh token.
    #[schema(write_only, value_type = String, example = "plinth_refresh_…")]
    refresh_token: SecretString,
}

/// Who forgot their password.
#[derive(Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct Forgot {
    /// Your e-mail address.
    #[schema(example = "ann@example.com")]
    email: String,
}

/// A new password by a link.
#[derive(Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct Reset {
    /// The token of the link.
    #[schema(write_only, value_type = String, example = "reset_…")]
    token: SecretString,
    /// The new password: at least 8 characters.
    #[schema(write_only, value_type = String, example = "correct horse battery staple")]
    password: SecretString,
}

/// A new password.
#[derive(Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct ChangePassword {
    /// The password that you have.
    #[schema(write_only, value_type = String, example = "correct horse battery staple")]
    current_password: SecretString,
    /// The one that you want: at least 8 characters.
    #[schema(write_only, value_type = String, example = "tall giraffes eat acacia leaves")]
    new_password: SecretString,
}

/// What a sign-in is given.
#[derive(Serialize, ToSchema)]
#[schema(as = Tokens)]
struct TokensBody {
    /// A JSON Web Token: send it as `Authorization: Bearer …`.
    #[schema(example = "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCIsImtpZCI6Ii4uLiJ9…")]
    access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// For how many seconds the access token is good.
    #[schema(example = 600)]
    expires_in: i64,
    /// For the next tokens. Good once.
    #[schema(example = "plinth_refresh_…")]
    refresh_token: String,
    /// Until when, if the session is not used.
    refresh_expires_at: jiff::Timestamp,
    /// The session's id.
    #[schema(example = "sess_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    session_id: String,
    /// Which organization requests are for unless they pick another by `x-tenant-id`; null if you are in none.
    #[schema(required = true)]
    organization_id: Option<Uuid>,
    user: UserBody,
    /// Where you belong, oldest membership first.
    organizations: Vec<MembershipBody>,
}

impl From<Tokens> for TokensBody {
    fn from(it: Tokens) -> Self {
        Self {
            access_token: it.access.text.expose_secret().to_owned(),
            token_type: "Bearer",
            expires_in: plinth_tenancy::signing::LIFETIME.as_secs(),
            refresh_token: it.refresh.expose_secret().to_owned(),
            refresh_expires_at: it.refresh_expires_at,
            session_id: it.session.to_string(),
            organization_id: it.org.map(plinth_core::OrgId::as_uuid),
            user: it.user.into(),
            organizations: it.memberships.into_iter().map(MembershipBody::from).collect(),
        }
    }
}

/// A person.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub(super) struct UserBody {
    #[schema(example = "user_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: String,
    #[schema(example = "ann@example.com")]
    email: String,
    created_at: jiff::Timestamp,
}

impl From<plinth_tenancy::User> for UserBody {
    fn from(it: plinth_tenancy::User) -> Self {
        let email = it.email.as_str().to_owned();
        Self { id: it.id.to_string(), email, created_at: it.created_at }
    }
}

/// An organization that a person belongs to.
#[derive(Serialize, ToSchema)]
#[schema(as = Membership)]
pub(super) struct MembershipBody {
    /// The organization's id.
    id: Uuid,
    #[schema(example = "Example Shop")]
    name: String,
    /// What you are there: a built-in role, or the id of one that the organization made.
    #[schema(example = "owner")]
    role: String,
    /// How people call that role.
    #[schema(example = "owner")]
    role_name: String,
}

impl From<Membership> for MembershipBody {
    fn from(it: Membership) -> Self {
        Self {
            id: it.org.as_uuid(),
            name: it.name.to_string(),
            role: it.role.key().to_string(),
            role_name: it.role.name().to_owned(),
        }
    }
}

/// A JSON Web Key Set.
#[derive(Serialize, ToSchema)]
#[schema(as = JsonWebKeySet)]
struct KeySetBody {
    keys: Vec<KeyBody>,
}

/// A public key (RFC 8037).
#[derive(Serialize, ToSchema)]
#[schema(as = JsonWebKey)]
struct KeyBody {
    #[schema(example = "OKP")]
    kty: &'static str,
    #[schema(example = "Ed25519")]
    crv: &'static str,
    /// The key, in base64url.
    x: String,
    /// As in the header of its tokens.
    kid: String,
    #[schema(example = "EdDSA")]
    alg: &'static str,
    #[schema(example = "sig")]
    #[serde(rename = "use")]
    usage: &'static str,
}

impl From<PublishedKey> for KeyBody {
    fn from(PublishedKey { kty, crv, x, kid, alg, usage }: PublishedKey) -> Self {
        Self { kty, crv, x, kid, alg, usage }
    }
}

envelope! {
    /// What a sign-in is given.
    TokensEnvelope(TokensBody)
}
