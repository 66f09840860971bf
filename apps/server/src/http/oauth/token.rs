//! What apps call: the forms and answers of RFC 6749, RFC 7009, RFC 7662 and RFC 8414.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use base64::Engine as _;
use plinth_core::{Scope, ScopeSet};
use plinth_tenancy::accounts::Tokens;
use plinth_tenancy::oauth::{Client, ClientSecret, GrantError};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::http::caller::origin;
use crate::http::{Problem, Services};

type Fields = Vec<(String, String)>;

/// Metadata of the authorization server
///
/// Where an OAuth library finds everything else (RFC 8414).
#[utoipa::path(
    tag = "oauth",
    responses((status = 200, body = OAuthMetadata, description = "The metadata.")),
    security(()),
)]
#[get("/.well-known/oauth-authorization-server")]
pub(super) async fn metadata(services: web::Data<Services>) -> HttpResponse {
    let at = |path: &str| format!("{}{path}", services.public_url);
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "public, max-age=3600")).json(
        OAuthMetadata {
            issuer: services.public_url.to_string(),
            authorization_endpoint: at("/oauth/authorize"),
            token_endpoint: at("/oauth/token"),
            revocation_endpoint: at("/oauth/revoke"),
            introspection_endpoint: at("/oauth/introspect"),
            jwks_uri: at("/.well-known/jwks.json"),
            scopes_supported: Scope::ALL.map(Scope::as_str),
            response_types_supported: ["code"],
            grant_types_supported: ["authorization_code", "refresh_token"],
            code_challenge_methods_supported: ["S256"],
            token_endpoint_auth_methods_supported: [
                "client_secret_basic",
                "client_secret_post",
                "none",
            ],
            authorization_response_iss_parameter_supported: true,
        },
    )
}

/// Get tokens
///
/// For the code of a consent (`grant_type=authorization_code` with `code`, `redirect_uri`, `code_verifier`) or for a
/// refresh token (`grant_type=refresh_token`), which is good once. An app with a secret sends it with its id as Basic
/// authentication or as `client_id` and `client_secret`; a public one sends `client_id`.
#[utoipa::path(
    tag = "oauth",
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, body = OAuthTokens, description = "The tokens."),
        (status = 400, body = OAuthError, description = "The code or the refresh token is not good, or something is missing."),
        (status = 401, body = OAuthError, description = "The client is unknown, or its secret is wrong."),
    ),
    security(()),
)]
#[post("/oauth/token")]
pub(super) async fn exchange(
    request: HttpRequest,
    services: web::Data<Services>,
    form: Result<web::Form<Fields>, actix_web::Error>,
) -> Result<HttpResponse, Problem> {
    let answered = async {
        let form = Form::read(form)?;
        let client = form.client(&request)?;
        let origin = origin(&request);
        match form.one("grant_type")? {
            Some("authorization_code") => {
                let need = |name| {
                    form.one(name)?.ok_or(GrantError::InvalidRequest(
                        "code, redirect_uri and code_verifier are needed",
                    ))
                };
                let (code, uri) = (need("code")?, need("redirect_uri")?);
                let verifier = need("code_verifier")?;
                services.oauth.exchange(&client, code, uri, verifier, &origin).await
            }
            Some("refresh_token") => {
                let token = form.one("refresh_token")?;
                let token = token.ok_or(GrantError::InvalidRequest("refresh_token is needed"))?;
                services.oauth.refresh(&client, token, &origin).await
            }
            Some(_) => Err(GrantError::UnsupportedGrantType),
            None => Err(GrantError::InvalidRequest("grant_type is needed")),
        }
    };
    match answered.await {
        Ok((tokens, scopes)) => Ok(uncached().json(OAuthTokens::new(&tokens, scopes, &services))),
        Err(err) => refused(err),
    }
}

/// End a token
///
/// Whichever of the two tokens is sent, all that was granted with it ends. A token that is not good is nothing to end: the
/// answer is the same.
#[utoipa::path(
    tag = "oauth",
    request_body(content = TokenOnly, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "It is not good any more."),
        (status = 400, body = OAuthError, description = "Something is missing."),
        (status = 401, body = OAuthError, description = "The client is unknown, or its secret is wrong."),
    ),
    security(()),
)]
#[post("/oauth/revoke")]
pub(super) async fn revoke(
    request: HttpRequest,
    services: web::Data<Services>,
    form: Result<web::Form<Fields>, actix_web::Error>,
) -> Result<HttpResponse, Problem> {
    let answered = async {
        let form = Form::read(form)?;
        let client = form.client(&request)?;
        let token = form.one("token")?.ok_or(GrantError::InvalidRequest("token is needed"))?;
        services.oauth.revoke(&client, token, &origin(&request)).await
    };
    match answered.await {
        Ok(()) => Ok(uncached().finish()),
        Err(err) => refused(err),
    }
}

/// Ask what a token is good for
///
/// For apps with a secret, about their own tokens only: any other is as one that is not good.
#[utoipa::path(
    tag = "oauth",
    request_body(content = TokenOnly, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, body = Introspection, description = "What there is to say."),
        (status = 400, body = OAuthError, description = "Something is missing."),
        (status = 401, body = OAuthError, description = "The client is unknown or public, or its secret is wrong."),
    ),
    security(()),
)]
#[post("/oauth/introspect")]
pub(super) async fn introspect(
    request: HttpRequest,
    services: web::Data<Services>,
    form: Result<web::Form<Fields>, actix_web::Error>,
) -> Result<HttpResponse, Problem> {
    let answered = async {
        let form = Form::read(form)?;
        let client = form.client(&request)?;
        let token = form.one("token")?.ok_or(GrantError::InvalidRequest("token is needed"))?;
        services.oauth.introspect(&client, token).await
    };
    let live = match answered.await {
        Ok(live) => live,
        Err(err) => return refused(err),
    };
    let said = live.map_or(Introspection::default(), |it| Introspection {
        active: true,
        scope: Some(names(it.scopes)),
        client_id: Some(it.app.to_string()),
        sub: Some(it.user.to_string()),
        org: it.org.map(|it| it.to_string()),
        exp: Some(it.expires_at),
        iat: it.issued_at,
        iss: Some(services.public_url.to_string()),
        token_type: Some(if it.is_refresh { "refresh_token" } else { "Bearer" }),
    });
    Ok(uncached().json(said))
}

/// A form that was sent, with each field at most once (RFC 6749, 3.2).
struct Form(Fields);

impl Form {
    fn read(form: Result<web::Form<Fields>, actix_web::Error>) -> Result<Self, GrantError> {
        let form = form.map_err(|_| {
            GrantError::InvalidRequest("send a form as application/x-www-form-urlencoded")
        })?;
        Ok(Self(form.into_inner()))
    }

    /// A field, if it is there.
    fn one(&self, name: &str) -> Result<Option<&str>, GrantError> {
        let mut found = self.0.iter().filter(|(field, _)| field == name);
        let first = found.next().map(|(_, value)| value.as_str());
        if found.next().is_some() {
            return Err(GrantError::InvalidRequest("a field comes twice"));
        }
        Ok(first.filter(|it| !it.is_empty()))
    }

    /// Who the app says it is, in one of the two ways.
    fn client(&self, request: &HttpRequest) -> Result<Client, GrantError> {
        let (id, secret) = (self.one("client_id")?, self.one("client_secret")?);
        let Some(sent) = request.headers().get(header::AUTHORIZATION) else {
            let id = id.ok_or(GrantError::InvalidClient)?.to_owned();
            return Ok(Client { id, secret: secret.map(|it| ClientSecret::sent(it.to_owned())) });
        };
        let basic = sent.to_str().ok().and_then(basic).ok_or(GrantError::InvalidClient)?;
        if secret.is_some() || id.is_some_and(|it| it != basic.0) {
            return Err(GrantError::InvalidRequest("send the client's id and secret in one way"));
        }
        Ok(Client { id: basic.0, secret: Some(ClientSecret::sent(basic.1)) })
    }
}

/// Id and secret of Basic authentication, each encoded as in a form before (RFC 6749, 2.3.1).
fn basic(value: &str) -> Option<(String, String)> {
    let (scheme, encoded) = value.split_once(' ')?;
    let is_basic = scheme.eq_ignore_ascii_case("basic");
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(bytes).ok().filter(|_| is_basic)?;
    // Neither an id nor a secret of ours has a character that a form would encode.
    let (id, secret) = text.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

fn names(scopes: ScopeSet) -> String {
    scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(" ")
}

fn uncached() -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    response
}

fn refused(err: GrantError) -> Result<HttpResponse, Problem> {
    let Some(code) = err.code() else {
        return Err(match err {
            GrantError::Account(err) => err.into(),
            GrantError::Store(err) => err.into(),
            other => unreachable!("{other} has a code"),
        });
    };
    let status = match err {
        GrantError::InvalidClient => StatusCode::UNAUTHORIZED,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut response = HttpResponse::build(status);
    if status == StatusCode::UNAUTHORIZED {
        response.insert_header((header::WWW_AUTHENTICATE, "Basic realm=\"plinth\""));
    }
    let body = json!({ "error": code, "error_description": err.to_string() });
    Ok(response.insert_header((header::CACHE_CONTROL, "no-store")).json(body))
}

/// How to get tokens.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its derive is used; the form is read field by field")]
struct TokenRequest {
    /// `authorization_code` or `refresh_token`.
    #[schema(example = "authorization_code")]
    grant_type: String,
    /// From the consent page.
    code: Option<String>,
    /// The same as on the way to the consent page.
    redirect_uri: Option<String>,
    /// What `code_challenge` is the SHA-256 of.
    code_verifier: Option<String>,
    /// From the last answer.
    refresh_token: Option<String>,
    /// The app's id, if it is not sent as Basic authentication.
    #[schema(example = "app_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    client_id: Option<String>,
    /// The app's secret, if it has one and it is not sent as Basic authentication.
    client_secret: Option<String>,
}

/// A token of an app.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its derive is used; the form is read field by field")]
struct TokenOnly {
    /// An access token or a refresh token.
    token: String,
    /// Ignored: what kind it is, the token says.
    token_type_hint: Option<String>,
    /// The app's id, if it is not sent as Basic authentication.
    client_id: Option<String>,
    /// The app's secret, if it has one and it is not sent as Basic authentication.
    client_secret: Option<String>,
}

/// Tokens of an app.
#[derive(Serialize, ToSchema)]
struct OAuthTokens {
    /// For `Authorization: Bearer …`.
    access_token: String,
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// In seconds.
    #[schema(example = 600)]
    expires_in: i64,
    /// For the next tokens. Good once.
    refresh_token: String,
    /// What was granted, with blanks between.
    #[schema(example = "queries:read dashboards:read")]
    scope: String,
}

impl OAuthTokens {
    fn new(tokens: &Tokens, scopes: ScopeSet, services: &Services) -> Self {
        let left = tokens.access.expires_at.duration_since(services.clock.now());
        Self {
            access_token: tokens.access.text.expose_secret().to_owned(),
            token_type: "Bearer",
            expires_in: left.as_secs(),
            refresh_token: tokens.refresh.expose_secret().to_owned(),
            scope: names(scopes),
        }
    }
}

/// Why an app gets no tokens (RFC 6749, 5.2).
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its derive is used")]
struct OAuthError {
    #[schema(example = "invalid_grant")]
    error: String,
    error_description: String,
}

/// What a token is good for (RFC 7662). Nothing but `active` if it is not good.
#[derive(Default, Serialize, ToSchema)]
struct Introspection {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// The person.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    /// The organization that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<String>,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
}

/// What OAuth libraries want to know (RFC 8414).
#[derive(Serialize, ToSchema)]
struct OAuthMetadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    revocation_endpoint: String,
    introspection_endpoint: String,
    jwks_uri: String,
    #[schema(value_type = Vec<String>)]
    scopes_supported: [&'static str; Scope::ALL.len()],
    #[schema(value_type = Vec<String>)]
    response_types_supported: [&'static str; 1],
    #[schema(value_type = Vec<String>)]
    grant_types_supported: [&'static str; 2],
    #[schema(value_type = Vec<String>)]
    code_challenge_methods_supported: [&'static str; 1],
    #[schema(value_type = Vec<String>)]
    token_endpoint_auth_methods_supported: [&'static str; 3],
    authorization_response_iss_parameter_supported: bool,
}
