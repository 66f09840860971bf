//! `Idempotency-Key` on POST: the effect happens once, and the answer is given again.

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue, LOCATION};
use actix_web::http::{Method, StatusCode, Uri, header};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest as _, HttpRequest, HttpResponse, web};
use plinth_connections::{DataKey, Location, Sealed};
use plinth_core::{ErrorKind, OrgId, StoreError};
use plinth_tenancy::idempotency::{Effect, IdempotencyError, IdempotencyKey, RENEW_EVERY, Turn};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::visit::Visit;
use super::{Caller, Problem, Services};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Larger answers are not kept; the request is then carried out again, as if it had carried no key.
const KEPT_BYTES: u64 = 1 << 20;

/// Headers that belong to the answer and not to its transport.
const KEPT_HEADERS: [HeaderName; 3] = [header::CONTENT_TYPE, header::LOCATION, header::ETAG];

/// What is to be kept of an answer that holds a secret which is shown once. A handler leaves it in its response.
pub(super) struct ShownOnce(pub(super) String);

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// The key that a request carries, if one counts for it.
pub(super) fn key_of_request(request: &ServiceRequest) -> Option<HeaderValue> {
    if request.method() != Method::POST {
        return None;
    }
    // Tokens are kept nowhere, and asking for them twice harms nobody.
    request.headers().get(KEY).filter(|_| !gives_tokens(request.path())).cloned()
}

/// Carries a request out that carries this key, unless it came before with the same.
///
/// # Errors
///
/// What the handler fails with.
pub(super) async fn call(
    sent: HeaderValue,
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    // A caller without credentials gets the handler's own answer: it refuses, or it is a route that takes none.
    let Ok(caller) = Caller::from_request(request.request(), &mut Payload::None).await else {
        return next.call(request).await;
    };
    let services = services(request.request());
    let org = caller.principal().org;
    let turn = async {
        let key = sent.to_str().ok().and_then(|it| IdempotencyKey::parse(it).ok());
        let key = key.ok_or(IdempotencyError::InvalidKey)?;
        let body = request.extract::<web::Bytes>().await;
        let body = body.map_err(|err| super::observe::foreign(&err))?;
        let path = request.uri().path_and_query().map_or("", |it| it.as_str());
        let print = services.idempotency.fingerprint("POST", path, &body);
        request.set_payload(body.into());
        Ok::<_, Problem>(services.idempotency.begin(caller.principal(), key, print).await?)
    };
    match turn.await {
        Err(problem) => Ok(refuse(request, problem)),
        Ok(Turn::Run(id)) => {
            Visit::note(request.request(), |it| it.caller = Some(caller.marking(id)));
            run(&services, org, id, request, next).await
        }
        Ok(Turn::Replay(id, answer)) => match open(&services, org, id, &answer) {
            Ok(kept) => Ok(request.into_response(kept.into_response()).map_into_boxed_body()),
            Err(problem) => Ok(refuse(request, problem)),
        },
        Ok(Turn::Recover(id, effect)) => {
            let answered = recover(effect, request, next).await?;
            keep(&services, org, id, answered).await
        }
    }
}

/// Whether the path answers with a person's or an app's tokens.
fn gives_tokens(path: &str) -> bool {
    ["/v1/auth/login", "/v1/auth/refresh", "/oauth/token"].iter().any(|it| path.ends_with(it))
}

fn refuse(request: ServiceRequest, problem: Problem) -> ServiceResponse<BoxBody> {
    ServiceResponse::from_err(problem, request.into_parts().0)
}

fn services(request: &HttpRequest) -> Services {
    let services = request.app_data::<web::Data<Services>>().expect("every app has its services");
    Services::clone(services)
}

/// Carries the request out, and says now and then that it is still at it.
async fn run(
    services: &Services,
    org: OrgId,
    id: Uuid,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let mut answering = next.call(request);
    let answered = loop {
        tokio::select! {
            answered = &mut answering => break answered?,
            () = tokio::time::sleep(RENEW_EVERY) => warn(services.idempotency.renew(org, id).await),
        }
    };
    keep(services, org, id, answered).await
}

/// Keeps a good answer. Any other had no effect that counts, and the request may be sent again.
async fn keep(
    services: &Services,
    org: OrgId,
    id: Uuid,
    answered: ServiceResponse<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let is_small = matches!(answered.response().body().size(), BodySize::Sized(it) if it <= KEPT_BYTES)
        || answered.response().body().size() == BodySize::None;
    if !answered.status().is_success() || !is_small {
        warn(services.idempotency.release(org, id).await);
        return Ok(answered);
    }
    let (request, mut response) = answered.into_parts();
    let shown_once = response.extensions_mut().remove::<ShownOnce>();
    let (head, body) = response.into_parts();
    let body = actix_web::body::to_bytes(body).await.map_err(Error::from)?;
    let text = match shown_once {
        Some(ShownOnce(text)) => Some(text),
        None => std::str::from_utf8(&body).ok().map(str::to_owned),
    };
    match text {
        Some(text) => {
            let headers = KEPT_HEADERS.iter().filter_map(|name| {
                let value = head.headers().get(name)?.to_str().ok()?;
                Some((name.as_str().to_owned(), value.to_owned()))
            });
            let kept =
                Kept { status: head.status().as_u16(), headers: headers.collect(), body: text };
            match seal(services, org, id, &kept) {
                Ok(sealed) => warn(services.idempotency.finish(org, id, &sealed).await),
                Err(problem) => tracing::warn!(error = %problem, "an answer could not be kept"),
            }
        }
        None => warn(services.idempotency.release(org, id).await),
    }
    Ok(ServiceResponse::new(request, head.set_body(body).map_into_boxed_body()))
}

/// Storage that fails here does not undo what was done: the request's lease ends, and its effect is on record.
fn warn(done: Result<(), StoreError>) {
    if let Err(err) = done {
        tracing::warn!(error = plinth_core::chain(&err), "an idempotent request's record");
    }
}

/// Tells what there is now of a request that took effect and was never answered.
async fn recover(
    effect: Effect,
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let took_effect = Problem::new(
        ErrorKind::Conflict,
        "this request took effect, but its answer was lost",
        Some(json!({
            "reason": "answer_lost",
            "effect": { "action": effect.action, "kind": effect.kind, "id": effect.id },
        })),
    );
    let Some(place) = place(&effect) else { return Ok(refuse(request, took_effect)) };
    let Ok(uri) = place.parse::<Uri>() else { return Ok(refuse(request, took_effect)) };
    request.head_mut().method = Method::GET;
    request.match_info_mut().get_mut().update(&uri);
    request.head_mut().uri = uri;
    let mut answered = next.call(request).await?;
    if !answered.status().is_success() {
        return Ok(ServiceResponse::from_err(took_effect, answered.into_parts().0));
    }
    if effect.action.ends_with(".created") {
        *answered.response_mut().status_mut() = StatusCode::CREATED;
        if let Ok(place) = HeaderValue::from_str(&place) {
            answered.headers_mut().insert(LOCATION, place);
        }
    }
    answered.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(answered)
}

/// Where a thing of that kind can be read.
fn place(effect: &Effect) -> Option<String> {
    let id = &effect.id;
    Some(match effect.kind.as_str() {
        "connection" => format!("/v1/connections/{id}"),
        "api_key" => format!("/v1/api-keys/{id}"),
        "organization" => format!("/v1/organizations/{id}"),
        "invitation" => format!("/v1/team/invitations/{id}"),
        "role" => format!("/v1/roles/{id}"),
        "oauth_app" => format!("/v1/oauth-apps/{id}"),
        "identity_provider" => format!("/v1/identity-providers/{id}"),
        "model" => format!("/v1/models/{id}"),
        _ => return None,
    })
}

impl Kept {
    fn into_response(self) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let mut response = HttpResponse::build(status);
        for (name, value) in self.headers {
            response.insert_header((name, value));
        }
        response.insert_header((REPLAYED, "true")).body(self.body)
    }
}

fn key_of(services: &Services, org: OrgId) -> (DataKey, Location<'static>) {
    let key = services.answers.clone();
    let at = Location { org, table: "idempotent_requests", column: "answer", record: Uuid::nil() };
    (key, at)
}

fn seal(services: &Services, org: OrgId, id: Uuid, kept: &Kept) -> Result<Vec<u8>, Problem> {
    let (key, at) = key_of(services, org);
    let text: SecretString = serde_json::to_string(kept).map_err(|_| lost())?.into();
    let sealed = key.seal(Location { record: id, ..at }, &text).map_err(|_| lost())?;
    Ok([&sealed.key_version.to_be_bytes(), sealed.bytes.as_slice()].concat())
}

fn open(services: &Services, org: OrgId, id: Uuid, stored: &[u8]) -> Result<Kept, Problem> {
    let (key, at) = key_of(services, org);
    let (version, bytes) = stored.split_first_chunk::<4>().ok_or_else(lost)?;
    let sealed = Sealed { key_version: i32::from_be_bytes(*version), bytes: bytes.to_vec() };
    let text = key.open(Location { record: id, ..at }, &sealed).map_err(|_| lost())?;
    serde_json::from_str(text.expose_secret()).map_err(|_| lost())
}

fn lost() -> Problem {
    tracing::error!("a kept answer does not open");
    Problem::new(ErrorKind::Internal, "something went wrong on our side", None)
}
