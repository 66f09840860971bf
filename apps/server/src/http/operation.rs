//! For whoever runs the server: is it alive, is it ready, how is it doing.

use actix_web::http::header;
use actix_web::{HttpResponse, get, web};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;

use super::Services;

/// Alive
///
/// The process answers.
#[utoipa::path(tag = "operation", responses((status = 200, description = "It is alive.")), security(()))]
#[get("/healthz")]
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// Ready
///
/// The process can do its work: its own database answers.
#[utoipa::path(
    tag = "operation",
    responses(
        (status = 200, description = "It is ready."),
        (status = 503, description = "Its database does not answer."),
    ),
    security(()),
)]
#[get("/readyz")]
pub(super) async fn readyz(services: web::Data<Services>) -> HttpResponse {
    match services.database.ping().await {
        Ok(()) => HttpResponse::Ok().json(json!({ "status": "ready" })),
        Err(err) => {
            tracing::warn!(error = plinth_core::chain(&err), "not ready");
            HttpResponse::ServiceUnavailable()
                .json(json!({ "status": "unavailable", "reason": "the database does not answer" }))
        }
    }
}

/// Metrics
///
/// In Prometheus's text format.
#[utoipa::path(
    tag = "operation",
    responses((status = 200, content_type = "text/plain", description = "The metrics.")),
    security(()),
)]
#[get("/metrics")]
pub(super) async fn metrics(services: web::Data<Services>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .body(services.metrics.as_ref().map(PrometheusHandle::render).unwrap_or_default())
}
