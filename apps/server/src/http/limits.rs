//! What callers are told about how many requests they may make.

use actix_web::HttpMessage as _;
use actix_web::body::BoxBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use plinth_core::ErrorKind;
use plinth_tenancy::limits::Admission;
use serde_json::json;

use super::Problem;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The answer to a request that is one too many.
pub(super) fn refused(admission: &Admission) -> Problem {
    let Admission { limit, retry_after, reset, .. } = admission;
    let (whose, period) =
        (if admission.is_keys { "key" } else { "organization" }, admission.period.as_str());
    Problem::new(
        ErrorKind::RateLimited,
        format!("this {whose} may make {limit} requests a {period}; try again in {retry_after} s"),
        Some(json!({
            "limit": limit, "period": period, "scope": whose, "reset": reset, "retry_after": retry_after,
        })),
    )
}

/// Writes the headers, on every answer to an authenticated request.
pub(super) fn tell(response: &mut ServiceResponse<BoxBody>) {
    let Some(admission) = response.request().extensions().get::<Admission>().copied() else {
        return;
    };
    let headers = response.headers_mut();
    headers.insert(LIMIT, HeaderValue::from(admission.limit));
    headers.insert(REMAINING, HeaderValue::from(admission.remaining));
    headers.insert(RESET, HeaderValue::from(admission.reset));
    if !admission.is_admitted {
        headers.insert(RETRY_AFTER, HeaderValue::from(admission.retry_after));
    }
}
