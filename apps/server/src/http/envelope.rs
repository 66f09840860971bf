//! The platform family's answers: `{"data": …, "meta": …}`.

use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::error::JsonPayloadError;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{
    FromRequest, HttpMessage as _, HttpRequest, HttpResponse, HttpResponseBuilder, dev::Payload,
    web,
};
use jiff::Timestamp;
use plinth_core::Clock;
use serde::Serialize;
use utoipa::ToSchema;

use super::idempotency::ShownOnce;
use super::{Services, moment};

/// The id of a request: the caller's own, when it sent a sane one.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

/// Makes answers in the envelope. A handler takes one to answer with.
pub(crate) struct Reply {
    pub(crate) request_id: Arc<str>,
    clock: Arc<dyn Clock>,
}

impl FromRequest for Reply {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = request.extensions().get::<RequestId>().map(|it| it.0.clone());
        let services =
            request.app_data::<web::Data<Services>>().expect("every app has its services");
        ready(Ok(Self {
            request_id: id.unwrap_or_else(|| "".into()),
            clock: services.clock.clone(),
        }))
    }
}

impl Reply {
    pub(crate) fn meta(&self) -> Meta {
        Meta { request_id: self.request_id.to_string(), timestamp: self.clock.now() }
    }

    pub(crate) fn ok<T: Serialize>(&self, data: T) -> HttpResponse {
        json(&mut HttpResponse::Ok(), &Envelope { data, meta: self.meta() })
    }

    pub(crate) fn accepted<T: Serialize>(&self, data: T) -> HttpResponse {
        json(&mut HttpResponse::Accepted(), &Envelope { data, meta: self.meta() })
    }

    pub(crate) fn created<T: Serialize>(&self, location: String, data: T) -> HttpResponse {
        let mut response = HttpResponse::Created();
        response.insert_header((header::LOCATION, location));
        json(&mut response, &Envelope { data, meta: self.meta() })
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
        json(&mut HttpResponse::Ok(), &PageEnvelope { data, meta })
    }

    /// The text of an answer of which there may be more, as JSON; for who writes it on another thread.
    pub(crate) fn written<T: Serialize>(&self, data: &T, next_cursor: Option<String>) -> Vec<u8> {
        let Meta { request_id, timestamp } = self.meta();
        let meta = PageMeta { request_id, timestamp, next_cursor };
        serde_json::to_vec(&PartEnvelope { data, meta })
            .expect("bodies have no keys that JSON cannot write")
    }
}

/// How much room an answer is given at first: most fit, and no text is moved while it grows.
const ROOM_BYTES: usize = 1024;

/// As [`HttpResponseBuilder::json`] does it, but for the room.
fn json(response: &mut HttpResponseBuilder, body: &impl Serialize) -> HttpResponse {
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
    #[schema(example = "0198c0de-7a3b-7cc1-9a55-3f2a8d1e6b70")]
    pub(crate) request_id: String,
    /// When it was answered.
    #[serde(serialize_with = "moment::serialize")]
    pub(crate) timestamp: Timestamp,
}

/// About one page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PageMeta {
    /// Also in the header `x-request-id`, and in the logs.
    #[schema(example = "0198c0de-7a3b-7cc1-9a55-3f2a8d1e6b70")]
    request_id: String,
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
