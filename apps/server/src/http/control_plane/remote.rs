//! Calls about projects that live at a remote: they go there, with the rights that they need here, and come back in the
//! remote's words.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest as _, HttpRequest, HttpResponse, web};
use plinth_control_plane::remote::{Passing, RemoteAnswer, RemoteError, RemotePath};
use serde_json::{Value, json};

use crate::http::{Caller, Problem, Services, observe};

/// Stands before the routes: what is about a project of a remote never reaches them.
///
/// # Errors
///
/// What a handler fails with.
pub(in crate::http) async fn pass(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let path = match RemotePath::parse(request.uri().path()) {
        Ok(Some(path)) => path,
        Ok(None) => return here(next, request).await,
        // Only where it would be passed on; here it is what it is to the routes.
        Err(_) => return here(next, request).await,
    };
    // A caller without credentials is refused by the handler.
    let Ok(caller) = Caller::from_request(request.request(), &mut Payload::None).await else {
        return here(next, request).await;
    };
    let services = request.app_data::<web::Data<Services>>().expect("every app has its services");
    let services = Services::clone(services);
    let project = match services.remotes.project(caller.principal(), &path.project).await {
        Ok(Some(project)) => project,
        Ok(None) => return here(next, request).await,
        Err(err) => return Ok(ServiceResponse::from_err(problem(err), request.into_parts().0)),
    };
    // One of this installation that is shared with the caller is not hidden by another that took its id.
    if let Ok(permit) = caller.permit()
        && services.control_plane.get(&permit, &path.project).await.is_ok()
    {
        return here(next, request).await;
    }
    let passed = async {
        let body = request.extract::<web::Bytes>().await;
        let passing = Passing {
            path,
            method: request.method().as_str().to_owned(),
            query: request.uri().query().map(str::to_owned),
            body: body_of(&body.map_err(|err| observe::foreign(&err))?)?,
            was_passed: was_passed(request.request()),
        };
        let passed = services.remotes.pass(caller.principal(), &project, passing).await;
        noted(passed).map_err(problem)
    };
    match passed.await {
        Ok(answer) => Ok(request.into_response(response(answer))),
        Err(problem) => Ok(ServiceResponse::from_err(problem, request.into_parts().0)),
    }
}

/// Whether another server has passed it on already.
pub(super) fn was_passed(request: &HttpRequest) -> bool {
    request.headers().contains_key("x-plinth-passed")
}

async fn here(
    next: Next<impl MessageBody + 'static>,
    request: ServiceRequest,
) -> Result<ServiceResponse<BoxBody>, Error> {
    next.call(request).await.map(ServiceResponse::map_into_boxed_body)
}

fn body_of(bytes: &[u8]) -> Result<Option<Value>, Problem> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    serde_json::from_slice(bytes).map(Some).map_err(|err| {
        let text = err.to_string();
        Problem::invalid(format!("the body is not valid JSON: {text}"), json!({ "body": text }))
    })
}

/// Counts how calls of remotes end.
pub(super) fn noted(
    passed: Result<RemoteAnswer, RemoteError>,
) -> Result<RemoteAnswer, RemoteError> {
    let outcome = match &passed {
        Ok(_) => "done",
        Err(RemoteError::Said { .. } | RemoteError::KeyRefused(_)) => "refused",
        Err(RemoteError::Away { .. }) => "away",
        Err(RemoteError::Unknown { .. } | RemoteError::AnswerLost { .. }) => "unknown",
        // Nothing was sent.
        Err(_) => return passed,
    };
    metrics::counter!("plinth_remote_calls_total", "outcome" => outcome).increment(1);
    passed
}

pub(super) fn response(answer: RemoteAnswer) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = HttpResponse::build(status);
    if answer.body.is_null() { response.finish() } else { response.json(answer.body) }
}

/// What a remote refused keeps its status, also one that nothing of ours has.
pub(super) fn problem(err: RemoteError) -> Problem {
    let status = match &err {
        RemoteError::Said { status, .. } => StatusCode::from_u16(*status).ok(),
        _ => None,
    };
    let problem = Problem::from(err);
    match status {
        Some(status) => problem.with_status(status),
        None => problem,
    }
}
