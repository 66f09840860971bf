//! What happens to every request: an id, a span, a log line, metrics, and errors written in the caller's form.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _};
use plinth_core::FastMap;
use tracing::Instrument as _;
use uuid::Uuid;

use super::visit::Visit;
use super::{Problem, idempotency, limits, refusals};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives the request an id and a span, and its answer that id, the caller's form of an error, a log line and metrics.
///
/// # Errors
///
/// Only what actix itself fails with, before any handler.
pub async fn observe(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let id = request_id(&request);
    request.extensions_mut().insert(Visit { id: id.clone(), ..Visit::default() });
    let span = tracing::info_span!("request", request.id = %id, org.id = tracing::field::Empty);

    // What few requests need is apart: this future is moved several times before it is polled, and each would carry the room.
    let answering = match idempotency::key_of_request(&request) {
        Some(key) => Box::pin(idempotency::call(key, request, next)),
        None => next.call(request),
    };
    // Middleware inside this one that fails would be answered in plain text by actix; ours does not.
    let mut response = answering.instrument(span.clone()).await?;
    if response.response().error().is_some() {
        response = Box::pin(told(response, &id)).instrument(span.clone()).await;
    }
    limits::tell(&mut response);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let _in = span.enter();
    record(&response, started);
    Ok(response)
}

/// The answer with its error in the caller's form.
async fn told(response: ServiceResponse<BoxBody>, id: &str) -> ServiceResponse<BoxBody> {
    let Some(err) = response.response().error() else { return response };
    let problem = match err.as_error::<Problem>() {
        Some(problem) => problem.clone(),
        None => foreign(err),
    };
    refusals::note(&response, &problem).await;
    let rendered = problem.render(response.request(), id);
    let extra = response.headers().clone();
    let mut response = ServiceResponse::new(response.request().clone(), rendered);
    for (name, value) in
        extra.iter().filter(|(name, _)| *name != "content-type" && *name != "content-length")
    {
        response.headers_mut().append(name.clone(), value.clone());
    }
    response
}

/// An id that the caller sent, if it is short and plain enough to stand in a header and a log line; else one of ours.
fn request_id(request: &ServiceRequest) -> Arc<str> {
    let sent = request.headers().get(REQUEST_ID).and_then(|it| it.to_str().ok());
    let sane = |it: &&str| {
        !it.is_empty()
            && it.len() <= 64
            && it.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
    };
    if let Some(id) = sent.filter(sane) {
        id.into()
    } else {
        let mut text = Uuid::encode_buffer();
        Arc::from(&*fresh_id().hyphenated().encode_lower(&mut text))
    }
}

/// How many ids' bytes are fetched from the system at once: a call for each costs more than the rest of an id.
const IDS_AT_ONCE: usize = 64;

/// A new id, random like any of version 4.
fn fresh_id() -> Uuid {
    type Spare = Vec<[u8; 16]>;
    thread_local! {
        static SPARE: RefCell<Spare> = const { RefCell::new(Vec::new()) };
    }
    SPARE.with_borrow_mut(|spare| {
        if spare.is_empty() {
            let mut bytes = [0; 16 * IDS_AT_ONCE];
            // Without randomness nothing else works either; the library says so in its own way.
            if getrandom::fill(&mut bytes).is_err() {
                return Uuid::new_v4();
            }
            spare.extend(bytes.as_chunks().0);
        }
        let bytes = spare.pop().unwrap_or_default();
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    })
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
    let pattern = request.match_pattern();
    let route = pattern.as_deref().unwrap_or("unmatched");
    let method = method_of(request.method());
    measure(method, route, status, took);
    let took_ms = took.as_secs_f64() * 1000.0;
    if route == "/healthz" || route == "/readyz" || route == "/metrics" {
        tracing::debug!(method, route, status, took_ms, "answered");
    } else {
        tracing::info!(method, route, status, took_ms, "answered");
    }
}

/// Strangers can send any word as a method.
fn method_of(method: &Method) -> &'static str {
    ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
        .into_iter()
        .find(|it| *it == method.as_str())
        .unwrap_or("other")
}

/// A route's metrics, once for each way that it is answered: looking them up by their labels' texts for each request costs
/// more than all else that is measured here. There are as many as there are series.
type Meters = FastMap<String, Vec<(&'static str, u16, Meter)>>;

#[derive(Clone)]
struct Meter {
    answered: metrics::Counter,
    seconds: metrics::Histogram,
}

thread_local! {
    static METERS: RefCell<Meters> = RefCell::default();
}

fn measure(method: &'static str, route: &str, status: u16, took: Duration) {
    METERS.with_borrow_mut(|meters| {
        let known = meters.get(route).into_iter().flatten();
        let found = known.into_iter().find(|it| it.0 == method && it.1 == status);
        if let Some((_, _, meter)) = found {
            return meter.note(took);
        }
        let meter = Meter::new(method, route, status);
        meter.note(took);
        meters.entry(route.to_owned()).or_default().push((method, status, meter));
    });
}

impl Meter {
    fn new(method: &'static str, route: &str, status: u16) -> Self {
        let route = route.to_owned();
        Self {
            answered: metrics::counter!(
                "plinth_http_requests_total",
                "method" => method, "route" => route.clone(), "status" => status.to_string()
            ),
            seconds: metrics::histogram!(
                "plinth_http_request_seconds", "method" => method, "route" => route
            ),
        }
    }

    fn note(&self, took: Duration) {
        self.answered.increment(1);
        self.seconds.record(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_requests_get_the_same_id() {
        let ids: Vec<_> = (0..10_000).map(|_| fresh_id()).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        assert!(ids.iter().all(|it| it.get_version_num() == 4));
    }
}
