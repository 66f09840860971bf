//! The platform family's answers: `{"data": …, "meta": …}`.

use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::error::JsonPayloadError;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{FromRequest, HttpRequest, HttpResponse, HttpResponseBuilder, dev::Payload, web};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::idempotency::ShownOnce;
use super::visit::Visit;
use super::{Services, moment};

/// Makes answers in the envelope. A handler takes one to answer with.
pub(crate) struct Reply {
    pub(crate) request_id: Arc<str>,
    /// Each worker's own: the clock itself is counted by all of them.
    services: web::Data<Services>,
}

impl FromRequest for Reply {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let services =
            request.app_data::<web::Data<Services>>().expect("every app has its services");
        ready(Ok(Self { request_id: Visit::id(request), services: services.clone() }))
    }
}

impl Reply {
    pub(crate) fn meta(&self) -> Meta {
        Meta { request_id: self.request_id.clone(), timestamp: self.services.clock.now() }
    }

    pub(crate) fn ok<T: Serialize>(&self, data: T) -> HttpResponse {
        answer(&mut HttpResponse::Ok(), &Envelope { data, meta: self.meta() })
    }

    pub(crate) fn accepted<T: Serialize>(&self, data: T) -> HttpResponse {
        answer(&mut HttpResponse::Accepted(), &Envelope { data, meta: self.meta() })
    }

    pub(crate) fn created<T: Serialize>(&self, location: String, data: T) -> HttpResponse {
        let mut response = HttpResponse::Created();
        response.insert_header((header::LOCATION, location));
        answer(&mut response, &Envelope { data, meta: self.meta() })
    }

    /// An answer with a secret that is shown once: `kept` is the same without it, for whoever sends the request again.
    pub(crate) fn created_once<T: Serialize>(
        &self,
        location: String,
        data: T,
        kept: T,
    ) -> HttpResponse {
        let mut response = self.created(location, data);
        // What cannot be written is not kept: sending it again is then refused, and no secret lies anywhere.
        let kept = serde_json::to_string(&Envelope { data: kept, meta: self.meta() });
        response.extensions_mut().insert(ShownOnce(kept.unwrap_or_default()));
        response
    }

    pub(crate) fn page<T: Serialize>(
        &self,
        data: Vec<T>,
        next_cursor: Option<String>,
    ) -> HttpResponse {
        let Meta { request_id, timestamp } = self.meta();
        let meta = PageMeta { request_id, timestamp, next_cursor };
        answer(&mut HttpResponse::Ok(), &PageEnvelope { data, meta })
    }

    /// The text of an answer of which there may be more, as JSON; for who writes it on another thread.
    pub(crate) fn written<T: Serialize>(&self, data: &T, next_cursor: Option<String>) -> Vec<u8> {
        let Meta { request_id, timestamp } = self.meta();
        let meta = PageMeta { request_id, timestamp, next_cursor };
        let mut text = Vec::with_capacity(ROOM_BYTES);
        serde_json::to_writer(&mut text, &PartEnvelope { data, meta })
            .expect("bodies have no keys that JSON cannot write");
        text
    }
}

/// How much room an answer is given at first: most fit, and no text is moved while it grows.
const ROOM_BYTES: usize = 1024;

/// As [`HttpResponseBuilder::json`] does it, but for the room.
fn answer(response: &mut HttpResponseBuilder, body: &impl Serialize) -> HttpResponse {
    let mut text = Vec::with_capacity(ROOM_BYTES);
    match serde_json::to_writer(&mut text, body) {
        Ok(()) => response.content_type(HeaderValue::from_static("application/json")).body(text),
        Err(err) => HttpResponse::from_error(JsonPayloadError::Serialize(err)),
    }
}

#[derive(Serialize)]
struct PartEnvelope<'a, T> {
    data: &'a T,
    meta: PageMeta,
}

#[derive(Serialize)]
struct Envelope<T> {
    data: T,
    meta: Meta,
}

#[derive(Serialize)]
struct PageEnvelope<T> {
    data: Vec<T>,
    meta: PageMeta,
}

/// About the answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Meta {
    /// Also in the header `x-request-id`, and in the logs.
    #[schema(value_type = String, example = "0198c0de-7a3b-7cc1-9a55-3f2a8d1e6b70")]
    pub(crate) request_id: Arc<str>,
    /// When it was answered.
    #[serde(serialize_with = "moment::serialize")]
    pub(crate) timestamp: Timestamp,
}

/// About one page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PageMeta {
    /// Also in the header `x-request-id`, and in the logs.
    #[schema(value_type = String, example = "0198c0de-7a3b-7cc1-9a55-3f2a8d1e6b70")]
    request_id: Arc<str>,
    /// When it was answered.
    #[serde(serialize_with = "moment::serialize")]
    timestamp: Timestamp,
    /// Send it as `cursor` to get the next page; null on the last one.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// Declares the envelope of one answer for the OpenAPI document, under a name that SDKs can use.
macro_rules! envelope {
    ($(#[$doc:meta])* $name:ident($data:ty)) => {
        $(#[$doc])*
        #[derive(utoipa::ToSchema)]
        #[expect(dead_code, reason = "only its derive is used; the answers are written by Reply")]
        pub(crate) struct $name {
            data: $data,
            meta: crate::http::envelope::Meta,
        }
    };
}

/// The same for a page of a list.
macro_rules! page_envelope {
    ($(#[$doc:meta])* $name:ident($data:ty)) => {
        $(#[$doc])*
        #[derive(utoipa::ToSchema)]
        #[expect(dead_code, reason = "only its derive is used; the answers are written by Reply")]
        pub(crate) struct $name {
            /// Newest first.
            data: Vec<$data>,
            meta: crate::http::envelope::PageMeta,
        }
    };
}

pub(crate) use {envelope, page_envelope};
