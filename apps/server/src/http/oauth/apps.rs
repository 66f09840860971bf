use actix_web::{HttpResponse, delete, get, post, put, web};
use jiff::Timestamp;
use plinth_core::{AppId, Scope};
use plinth_tenancy::oauth::{App, ClientSecret, NewApp, RedirectUri};
use plinth_tenancy::scope_set;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::http::envelope::{Reply, envelope, page_envelope};
use crate::http::input::{Paging, Valid};
use crate::http::problem::Problems;
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_oauth_apps)
        .service(create_oauth_app)
        .service(get_oauth_app)
        .service(replace_oauth_app)
        .service(change_oauth_app_secret)
        .service(remove_oauth_app);
}

const LIST: &str = "oauth-apps";

/// List OAuth apps
///
/// Those that this organization registered, newest first; never their secrets. Needs the scope `admin`.
#[utoipa::path(
    tag = "oauth",
    params(Paging),
    responses((status = 200, body = OAuthAppPage, description = "A page of apps."), Problems),
)]
#[get("/oauth-apps")]
async fn list_oauth_apps(
    caller: Caller,
    services: web::Data<Services>,
    paging: web::Query<Paging>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let after = paging.cursor(&services.cursors, LIST)?;
    let page = services.oauth.list(&permit, after, paging.limit()?).await?;
    let next = page.next.map(|it| services.cursors.seal(LIST, it));
    Ok(reply.page(page.items.into_iter().map(OAuthAppBody::from).collect(), next))
}

/// Register an OAuth app
///
/// Members of any organization can let it act for them. Its secret is in this answer and nowhere else. Needs the scope
/// `admin`, and every scope that the app is registered for.
#[utoipa::path(
    tag = "oauth",
    request_body = OAuthAppSettings,
    responses((status = 201, body = NewOAuthAppEnvelope, description = "The app, with its secret."), Problems),
)]
#[post("/oauth-apps")]
async fn create_oauth_app(
    caller: Caller,
    services: web::Data<Services>,
    body: Valid<OAuthAppSettings>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (app, secret) = services.oauth.register(&permit, body.0.read()?).await?;
    let location = format!("/v1/oauth-apps/{}", app.id);
    let (body, kept) = NewOAuthAppBody::both(app, secret.as_ref());
    Ok(reply.created_once(location, body, kept))
}

/// Get an OAuth app
///
/// Needs the scope `admin`.
#[utoipa::path(
    tag = "oauth",
    params(("id" = String, Path, description = "The app's id.", example = "app_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = OAuthAppEnvelope, description = "The app."), Problems),
)]
#[get("/oauth-apps/{id}")]
async fn get_oauth_app(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<AppId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let app = services.oauth.get(&caller.permit()?, id.into_inner()).await?;
    Ok(reply.ok(OAuthAppBody::from(app)))
}

/// Change an OAuth app
///
/// Its name, where its answers go and what it can ask for; whether it is confidential stays as it is. What people granted
/// before stays granted. Needs the scope `admin`, and every scope that the app is registered for.
#[utoipa::path(
    tag = "oauth",
    params(("id" = String, Path, description = "The app's id.", example = "app_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    request_body = OAuthAppSettings,
    responses((status = 200, body = OAuthAppEnvelope, description = "The app."), Problems),
)]
#[put("/oauth-apps/{id}")]
async fn replace_oauth_app(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<AppId>,
    body: Valid<OAuthAppSettings>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let app = services.oauth.change(&permit, id.into_inner(), body.0.read()?).await?;
    Ok(reply.ok(OAuthAppBody::from(app)))
}

/// Give an OAuth app a new secret
///
/// The old one stops working at once. Needs the scope `admin`.
#[utoipa::path(
    tag = "oauth",
    params(("id" = String, Path, description = "The app's id.", example = "app_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 201, body = NewOAuthAppEnvelope, description = "The app, with its secret."), Problems),
)]
#[post("/oauth-apps/{id}/secret")]
async fn change_oauth_app_secret(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<AppId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (app, secret) = services.oauth.change_secret(&permit, id.into_inner()).await?;
    let location = format!("/v1/oauth-apps/{}", app.id);
    let (body, kept) = NewOAuthAppBody::both(app, Some(&secret));
    Ok(reply.created_once(location, body, kept))
}

/// Remove an OAuth app
///
/// All that people granted to it ends. Needs the scope `admin`.
#[utoipa::path(
    tag = "oauth",
    params(("id" = String, Path, description = "The app's id.", example = "app_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 204, description = "Removed."), Problems),
)]
#[delete("/oauth-apps/{id}")]
async fn remove_oauth_app(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<AppId>,
) -> Result<HttpResponse, Problem> {
    services.oauth.remove(&caller.permit()?, id.into_inner()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// What an app is.
#[derive(Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct OAuthAppSettings {
    /// What people read when they are asked, 1 to 100 characters; unique in the organization.
    #[schema(example = "Report builder")]
    name: String,
    /// Where its answers may go, 1 to 20: https URLs, http URLs of a loopback address (whatever the port), or URLs of the
    /// app's own scheme with a dot in it.
    #[schema(example = json!(["https://reports.example.com/callback"]))]
    redirect_uris: Vec<String>,
    /// The most that it can ask for.
    #[schema(example = json!(["queries:read", "dashboards:read"]))]
    scopes: Vec<String>,
    /// Whether it can keep a secret, as a server can. An app on somebody's machine or in a browser cannot.
    #[serde(default = "confidential")]
    #[schema(default = true)]
    is_confidential: bool,
}

fn confidential() -> bool {
    true
}

impl OAuthAppSettings {
    fn read(self) -> Result<NewApp, Problem> {
        let uris = self.redirect_uris.iter().map(|it| RedirectUri::parse(it));
        let scopes = scope_set(&self.scopes).map_err(|err| {
            Problem::invalid(err.to_string(), json!({ "scopes": err.to_string() }))
        })?;
        Ok(NewApp {
            name: self.name,
            redirect_uris: uris.collect::<Result<_, _>>()?,
            scopes,
            is_confidential: self.is_confidential,
        })
    }
}

/// A third-party app, without its secret.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = OAuthApp)]
struct OAuthAppBody {
    /// Also its `client_id`.
    #[schema(example = "app_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: String,
    name: String,
    redirect_uris: Vec<String>,
    scopes: Vec<&'static str>,
    is_confidential: bool,
    /// Who registered it.
    created_by: String,
    created_at: Timestamp,
}

impl From<App> for OAuthAppBody {
    fn from(it: App) -> Self {
        Self {
            id: it.id.to_string(),
            redirect_uris: it.redirect_uris.iter().map(|it| it.as_str().to_owned()).collect(),
            scopes: it.scopes.iter().map(Scope::as_str).collect(),
            is_confidential: it.secret.is_some(),
            name: it.name,
            created_by: it.created_by.to_string(),
            created_at: it.created_at,
        }
    }
}

/// An app with a secret that was just made.
#[derive(Serialize, ToSchema)]
#[schema(as = NewOAuthApp)]
struct NewOAuthAppBody {
    /// The secret. Shown once: null for a public app, and where the answer is given again for an `Idempotency-Key`.
    #[schema(required = true, example = "plinth_secret_…")]
    client_secret: Option<String>,
    #[serde(flatten)]
    about: OAuthAppBody,
}

impl NewOAuthAppBody {
    /// The body to answer with, and the same without its secret.
    fn both(app: App, secret: Option<&ClientSecret>) -> (Self, Self) {
        let about = OAuthAppBody::from(app);
        let kept = Self { client_secret: None, about: about.clone() };
        (Self { client_secret: secret.map(|it| it.expose().to_owned()), about }, kept)
    }
}

envelope! {
    /// An OAuth app.
    OAuthAppEnvelope(OAuthAppBody)
}
envelope! {
    /// An OAuth app with a secret that was just made.
    NewOAuthAppEnvelope(NewOAuthAppBody)
}
page_envelope! {
    /// A page of OAuth apps.
    OAuthAppPage(OAuthAppBody)
}
