//! What happens to every request: an id, a span, a log line, metrics, and errors written in the caller's form.

use std::sync::Arc;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _};
use tracing::Instrument as _;
use uuid::Uuid;

use super::envelope::RequestId;
use super::{Problem, idempotency, limits};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives the request an id and a span, and its answer that id, the caller's form of an error, a log line and metrics.
///
/// # Errors
///
/// Only what actix itself fails with, before any handler.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let id = request_id(&request);
    request.extensions_mut().insert(RequestId(id.clone()));
    let span = tracing::info_span!("request", request.id = %id, org.id = tracing::field::Empty);

    // Middleware inside this one that fails would be answered in plain text by actix; ours does not.
    let mut response = idempotency::call(request, next).instrument(span.clone()).await?;
    if let Some(err) = response.response().error() {
        let problem = match err.as_error::<Problem>() {
            Some(problem) => problem.clone(),
            None => foreign(err),
        };
        let rendered = problem.render(response.request(), &id);
        let extra = response.headers().clone();
        let request = response.request().clone();
        response = ServiceResponse::new(request, rendered);
        for (name, value) in
            extra.iter().filter(|(name, _)| *name != "content-type" && *name != "content-length")
        {
            response.headers_mut().append(name.clone(), value.clone());
        }
    }
    limits::tell(&mut response);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let _in = span.enter();
    record(&response, started);
    Ok(response)
}

/// An id that the caller sent, if it is short and plain enough to stand in a header and a log line; else one of ours.
fn request_id(request: &ServiceRequest) -> Arc<str> {
    let sent = request.headers().get(REQUEST_ID).and_then(|it| it.to_str().ok());
    let sane = |it: &&str| {
        !it.is_empty()
            && it.len() <= 64
            && it.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
    };
    match sent.filter(sane) {
        Some(id) => id.into(),
        None => Uuid::new_v4().to_string().into(),
    }
}

/// An error that actix made itself, in our form.
pub(super) fn foreign(err: &Error) -> Problem {
    use plinth_core::ErrorKind;
    let status = err.as_response_error().status_code();
    let kind = match status.as_u16() {
        404 => ErrorKind::NotFound,
        405 => ErrorKind::MethodNotAllowed,
        413 => ErrorKind::PayloadTooLarge,
        400..=499 => ErrorKind::Invalid,
        503 => ErrorKind::Unavailable,
        _ => {
            tracing::error!(error = %err, "request failed");
            return Problem::new(ErrorKind::Internal, "something went wrong on our side", None);
        }
    };
    Problem::new(kind, err.to_string(), None)
}

fn record(response: &ServiceResponse<BoxBody>, started: Instant) {
    let took = started.elapsed();
    let status = response.status().as_u16();
    let request = response.request();
    // The pattern, not the path: ids would make a metric for each thing there is.
    let route = request.match_pattern().unwrap_or_else(|| "unmatched".to_owned());
    // Strangers can send any word as a method.
    let method = match request.method().as_str() {
        known @ ("GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD" | "OPTIONS") => {
            known.to_owned()
        }
        _ => "other".to_owned(),
    };
    metrics::counter!(
        "plinth_http_requests_total",
        "method" => method.clone(), "route" => route.clone(), "status" => status.to_string()
    )
    .increment(1);
    metrics::histogram!("plinth_http_request_seconds", "method" => method.clone(), "route" => route.clone())
        .record(took.as_secs_f64());
    let took_ms = took.as_secs_f64() * 1000.0;
    if route == "/healthz" || route == "/readyz" || route == "/metrics" {
        tracing::debug!(method, route, status, took_ms, "answered");
    } else {
        tracing::info!(method, route, status, took_ms, "answered");
    }
}
