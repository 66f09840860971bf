use actix_web::{HttpResponse, delete, get, web};
use jiff::Timestamp;
use plinth_core::{AppId, Scope};
use plinth_tenancy::oauth::Grant;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::http::envelope::{Reply, page_envelope};
use crate::http::problem::Problems;
use crate::http::{Problem, Services, SignedInCaller};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list_my_apps).service(remove_my_app);
}

/// List the apps that you let act for you
///
/// Newest first. Needs a sign-in.
#[utoipa::path(
    tag = "me",
    responses((status = 200, body = GrantPage, description = "All of them."), Problems),
    security(("bearer" = [])),
)]
#[get("/me/apps")]
async fn list_my_apps(
    person: SignedInCaller,
    services: web::Data<Services>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let grants = services.oauth.grants(&person).await?;
    Ok(reply.page(grants.into_iter().map(GrantBody::from).collect(), None))
}

/// Take back what you let an app do
///
/// In all organizations. Its tokens stop working here at once and on every server within a second. Needs a sign-in.
#[utoipa::path(
    tag = "me",
    params(("id" = String, Path, description = "The app's id.", example = "app_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 204, description = "Taken back."), Problems),
    security(("bearer" = [])),
)]
#[delete("/me/apps/{id}")]
async fn remove_my_app(
    person: SignedInCaller,
    services: web::Data<Services>,
    id: web::Path<AppId>,
) -> Result<HttpResponse, Problem> {
    services.oauth.take_back(&person, id.into_inner()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// What you let an app do.
#[derive(Serialize, ToSchema)]
#[schema(as = Grant)]
struct GrantBody {
    #[schema(example = "app_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    app_id: String,
    app_name: String,
    /// The organization that it may act in.
    #[schema(required = true)]
    organization_id: Option<Uuid>,
    scopes: Vec<&'static str>,
    granted_at: Timestamp,
    /// To the minute.
    last_used_at: Timestamp,
}

impl From<Grant> for GrantBody {
    fn from(it: Grant) -> Self {
        let scopes = it.session.scopes.unwrap_or_default();
        Self {
            app_id: it.app.id.to_string(),
            app_name: it.app.name,
            organization_id: it.session.org.map(plinth_core::OrgId::as_uuid),
            scopes: scopes.iter().map(Scope::as_str).collect(),
            granted_at: it.session.created_at,
            last_used_at: it.session.last_used_at,
        }
    }
}

page_envelope! {
    /// What you let apps do.
    GrantPage(GrantBody)
}
