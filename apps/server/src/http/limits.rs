//! What callers are told about how many requests they may make.

use std::cell::RefCell;

use actix_web::body::BoxBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use plinth_core::ErrorKind;
use plinth_tenancy::limits::Admission;
use serde_json::json;

use super::Problem;
use super::visit::Visit;

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

/// A number as it was last written: limits and the ends of windows are the same for many requests one after the other, and
/// writing the three numbers costs a tenth of what authentication does.
#[derive(Default)]
struct Last<N>(Option<(N, HeaderValue)>);

impl<N: Copy + PartialEq + Into<HeaderValue>> Last<N> {
    fn written(&mut self, number: N) -> HeaderValue {
        match &self.0 {
            Some((of, value)) if *of == number => value.clone(),
            _ => self.0.insert((number, number.into())).1.clone(),
        }
    }
}

thread_local! {
    static LAST_LIMIT: RefCell<Last<u32>> = RefCell::default();
    static LAST_RESET: RefCell<Last<i64>> = RefCell::default();
}

/// Writes the headers, on every answer to an authenticated request.
pub(super) fn tell(response: &mut ServiceResponse<BoxBody>) {
    let Some(admission) = Visit::of(response.request(), |it| it.admission).flatten() else {
        return;
    };
    let headers = response.headers_mut();
    headers.insert(LIMIT, LAST_LIMIT.with_borrow_mut(|it| it.written(admission.limit)));
    headers.insert(REMAINING, HeaderValue::from(admission.remaining));
    headers.insert(RESET, LAST_RESET.with_borrow_mut(|it| it.written(admission.reset)));
    if !admission.is_admitted {
        headers.insert(RETRY_AFTER, HeaderValue::from(admission.retry_after));
    }
}
