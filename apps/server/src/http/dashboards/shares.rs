use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::{Next, from_fn};
use actix_web::{Error, HttpRequest, HttpResponse, delete, get, post, web};
use plinth_dashboards::{Ask, DashboardId, ShareId, WidgetId};
use secrecy::ExposeSecret as _;
use utoipa_actix_web::service_config::ServiceConfig;

use super::body::{
    BoardParams, CreateShare, PictureParams, ShareBody, ShareEnvelope, SharedDashboard,
    SharedEnvelope, SharesEnvelope,
};
use super::chosen;
use super::pictures::{check, size, svg};
use crate::http::client_address::client_address;
use crate::http::envelope::Reply;
use crate::http::input::Valid;
use crate::http::problem::Problems;
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_dashboard_shares)
        .service(create_dashboard_share)
        .service(revoke_dashboard_share)
        .service(get_shared_dashboard)
        .service(get_shared_dashboard_image)
        .service(get_shared_widget_image);
}

/// List a dashboard's links
///
/// Newest first, at most 200, also those that do not work any more. Their tokens are not shown again. Needs the scope
/// `dashboards:write`.
#[utoipa::path(
    tag = "dashboards",
    params(("id" = String, Path, description = "The dashboard's id.", example = "dash_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = SharesEnvelope, description = "The links."), Problems),
)]
#[get("/dashboards/{id}/shares")]
async fn list_dashboard_shares(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<DashboardId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let shares = services.dashboards.shares(&caller.permit()?, id.into_inner()).await?;
    let now = services.clock.now();
    Ok(reply.ok(shares.into_iter().map(|it| ShareBody::of(it, now)).collect::<Vec<_>>()))
}

/// Share a dashboard
///
/// A link shows the dashboard to whoever has it, as it is at that moment: each widget runs as its owner, with their rights and
/// under the policies that bind them, as it does for you. It shows nothing any more once it is expired or revoked, you left,
/// or you may not look yourself. `filters` are values that nobody with the link changes; `attributes` are what row policies
/// that read them are asked with, in addition to all that binds whoever a widget runs as. The token is shown once. Needs the
/// scope `dashboards:write`, and `dashboards:read` and `queries:read`.
#[utoipa::path(
    tag = "dashboards",
    params(("id" = String, Path, description = "The dashboard's id.", example = "dash_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    request_body = CreateShare,
    responses((status = 201, body = ShareEnvelope, description = "The link."), Problems),
)]
#[post("/dashboards/{id}/shares")]
async fn create_dashboard_share(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<DashboardId>,
    body: Valid<CreateShare>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let (permit, id) = (caller.permit()?, id.into_inner());
    let (share, token) = services.dashboards.share(&permit, id, body.0.try_into()?).await?;
    let location = format!("/v1/dashboards/{id}/shares/{}", share.id);
    let kept = ShareBody::of(share, services.clock.now());
    let shown = kept.clone().with_token(&services.public_url, token.expose_secret());
    Ok(reply.created_once(location, shown, kept))
}

/// Revoke a dashboard's link
///
/// From the answer on it shows nothing. Needs the scope `dashboards:write`.
#[utoipa::path(
    tag = "dashboards",
    params(
        ("id" = String, Path, description = "The dashboard's id.", example = "dash_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
        ("share_id" = String, Path, description = "The link's id.", example = "share_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
    ),
    responses((status = 204, description = "It is revoked."), Problems),
)]
#[delete("/dashboards/{id}/shares/{share_id}")]
async fn revoke_dashboard_share(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(DashboardId, ShareId)>,
) -> Result<HttpResponse, Problem> {
    let (permit, (id, share)) = (caller.permit()?, path.into_inner());
    services.dashboards.revoke(&permit, id, share).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Show a shared dashboard
///
/// Whoever has the token may. What its widgets show, without what they ask. Answers may be half a minute old. A widget that
/// a locked value or an attribute of the link does not reach any more has an error with `details.reason` `withheld`. Whoever looks too often
/// gets 429: an address 300 times a minute, a link 600 times.
#[utoipa::path(
    tag = "dashboards",
    params(
        ("token" = String, Path, description = "The secret part of the link.", example = "AY86K0xdfm-AkaKzxNXm9w"),
        BoardParams,
    ),
    responses((status = 200, body = SharedEnvelope, description = "What it shows."), Problems),
    security(()),
)]
#[get("/shared-dashboards/{token}", wrap = "from_fn(for_any_page)")]
async fn get_shared_dashboard(
    services: web::Data<Services>,
    request: HttpRequest,
    token: web::Path<String>,
    params: web::Query<BoardParams>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let ask = Ask { filters: chosen(params.into_inner().filters)?, max_age_seconds: None };
    let from = client_address(&request, &services.trusted_proxies);
    let looked = services.dashboards.look_shared(&token, from, ask).await?;
    Ok(reply.ok(SharedDashboard::from(looked)))
}

/// Draw a shared dashboard
///
/// Whoever has the token may: for mail and pages. An SVG.
#[utoipa::path(
    tag = "dashboards",
    params(
        ("token" = String, Path, description = "The secret part of the link.", example = "AY86K0xdfm-AkaKzxNXm9w"),
        BoardParams,
    ),
    responses(
        (status = 200, body = String, content_type = "image/svg+xml", description = "The picture."),
        Problems,
    ),
    security(()),
)]
#[get("/shared-dashboards/{token}/image.svg", wrap = "from_fn(for_any_page)")]
async fn get_shared_dashboard_image(
    services: web::Data<Services>,
    request: HttpRequest,
    token: web::Path<String>,
    params: web::Query<BoardParams>,
) -> Result<HttpResponse, Problem> {
    let ask = Ask { filters: chosen(params.into_inner().filters)?, max_age_seconds: None };
    let from = client_address(&request, &services.trusted_proxies);
    let looked = services.dashboards.look_shared(&token, from, ask).await?;
    Ok(svg(looked.picture(false)))
}

/// Draw a widget of a shared dashboard
///
/// Whoever has the token may. An SVG.
#[utoipa::path(
    tag = "dashboards",
    params(
        ("token" = String, Path, description = "The secret part of the link.", example = "AY86K0xdfm-AkaKzxNXm9w"),
        ("widget_id" = String, Path, description = "The widget's id.", example = "wid_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
        PictureParams,
    ),
    responses(
        (status = 200, body = String, content_type = "image/svg+xml", description = "The picture."),
        Problems,
    ),
    security(()),
)]
#[get("/shared-dashboards/{token}/widgets/{widget_id}/image.svg", wrap = "from_fn(for_any_page)")]
async fn get_shared_widget_image(
    services: web::Data<Services>,
    request: HttpRequest,
    path: web::Path<(String, WidgetId)>,
    params: web::Query<PictureParams>,
) -> Result<HttpResponse, Problem> {
    let ((token, widget), params) = (path.into_inner(), params.into_inner());
    check(&params)?;
    let ask = Ask { filters: chosen(params.filters.clone())?, max_age_seconds: None };
    let from = client_address(&request, &services.trusted_proxies);
    let shown = services.dashboards.look_shared_at(&token, from, widget, ask).await?;
    Ok(svg(shown.picture(size(&shown, &params), false).to_svg()))
}

/// Lets pages of any origin read the answer, also one that is an error, and nobody keep it: who may look is decided by the token
/// in the path, and by nothing that a browser sends along by itself.
async fn for_any_page(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let mut response = next.call(request).await?;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
