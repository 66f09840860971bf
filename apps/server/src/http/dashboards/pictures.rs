use actix_web::http::header;
use actix_web::{HttpResponse, get, web};
use plinth_charts::Size;
use plinth_dashboards::{Ask, DashboardId, Shown, WidgetId};
use utoipa_actix_web::service_config::ServiceConfig;

use super::body::{BoardParams, PictureParams};
use super::chosen;
use crate::http::problem::Problems;
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(get_dashboard_image).service(get_widget_image);
}

/// Draw a dashboard
///
/// As an SVG, with what its widgets show now, each run as its owner. On a widget that fails stands why. Needs the scope
/// `dashboards:read`.
#[utoipa::path(
    tag = "dashboards",
    params(
        ("id" = String, Path, description = "The dashboard's id.", example = "dash_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
        BoardParams,
    ),
    responses(
        (status = 200, body = String, content_type = "image/svg+xml", description = "The picture."),
        Problems,
    ),
)]
#[get("/dashboards/{id}/image.svg")]
async fn get_dashboard_image(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<DashboardId>,
    params: web::Query<BoardParams>,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let ask = Ask { filters: chosen(params.into_inner().filters)?, max_age_seconds: None };
    let looked = services.dashboards.look(&permit, id.into_inner(), ask).await?;
    Ok(svg(looked.picture(true)))
}

/// Draw a widget
///
/// As an SVG, with what it shows now, run as its owner. If it fails, why stands on the picture. Needs the scope
/// `dashboards:read`.
#[utoipa::path(
    tag = "dashboards",
    params(
        ("id" = String, Path, description = "The dashboard's id.", example = "dash_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
        ("widget_id" = String, Path, description = "The widget's id.", example = "wid_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
        PictureParams,
    ),
    responses(
        (status = 200, body = String, content_type = "image/svg+xml", description = "The picture."),
        Problems,
    ),
)]
#[get("/dashboards/{id}/widgets/{widget_id}/image.svg")]
async fn get_widget_image(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(DashboardId, WidgetId)>,
    params: web::Query<PictureParams>,
) -> Result<HttpResponse, Problem> {
    let (permit, (id, widget)) = (caller.permit()?, path.into_inner());
    let params = params.into_inner();
    check(&params)?;
    let ask = Ask { filters: chosen(params.filters.clone())?, max_age_seconds: None };
    let shown = services.dashboards.look_at(&permit, id, widget, ask).await?;
    Ok(svg(shown.picture(size(&shown, &params), true).to_svg()))
}

/// Whether a picture can be that large.
pub(super) fn check(params: &PictureParams) -> Result<(), Problem> {
    for (name, value, least) in [("width", params.width, 120), ("height", params.height, 60)] {
        if value.is_some_and(|it| !(least..=4_000).contains(&it)) {
            let rule = format!("has to be a whole number from {least} to 4000");
            let message = format!("{name}: {rule}");
            return Err(Problem::invalid(message, serde_json::json!({ name: rule })));
        }
    }
    Ok(())
}

pub(super) fn size(shown: &Shown, params: &PictureParams) -> Size {
    let usual = shown.size();
    let width = params.width.unwrap_or(usual.width());
    Size::clamped(width, params.height.unwrap_or(usual.height()))
}

/// A picture that shows itself and nothing else, wherever it is opened, and that nobody keeps.
pub(super) fn svg(text: String) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "image/svg+xml"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"))
        .body(text)
}
