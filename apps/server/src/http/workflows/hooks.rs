use actix_web::{HttpRequest, HttpResponse, get, post, web};
use plinth_core::ErrorKind;
use plinth_workflows::{HookCall, MOST_HOOK_BYTES, WorkflowId};
use secrecy::ExposeSecret as _;
use serde_json::json;
use utoipa_actix_web::service_config::ServiceConfig;

use super::body::{HookBody, HookEnvelope, RunBody, RunEnvelope};
use crate::http::caller::origin;
use crate::http::envelope::Reply;
use crate::http::problem::Problems;
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(get_workflow_webhook)
        .service(rotate_workflow_webhook)
        .service(call_workflow_webhook);
}

/// Read a workflow's webhook
///
/// Its URL, which is a secret, the secret that its callers sign with, and the one that its own calls are signed with where
/// an action says `sign`. Needs the scope `workflows:write`.
#[utoipa::path(
    tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id.", example = "wf_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = HookEnvelope, description = "The webhook."), Problems),
)]
#[get("/workflows/{id}/webhook")]
async fn get_workflow_webhook(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<WorkflowId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let hook = services.workflows.hook(&caller.permit()?, id.into_inner()).await?;
    Ok(reply.ok(HookBody {
        url: format!("{}/v1/hooks/{}", services.public_url, hook.token.expose_secret()),
        secret: hook.secret.expose_secret().to_owned(),
        calls_secret: hook.calls_secret.expose_secret().to_owned(),
    }))
}

/// Change a workflow's webhook
///
/// Another URL and other secrets; the old ones stop working at once. Read them at `GET /workflows/{id}/webhook`. Needs the
/// scope `workflows:write`.
#[utoipa::path(
    tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id.", example = "wf_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 204, description = "They are changed."), Problems),
)]
#[post("/workflows/{id}/webhook/rotate")]
async fn rotate_workflow_webhook(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<WorkflowId>,
) -> Result<HttpResponse, Problem> {
    services.workflows.rotate_hook(&caller.permit()?, id.into_inner()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Call a workflow's webhook
///
/// Whoever has the URL may. JSON of up to 64 KiB is what templates read as `webhook`; other text comes as
/// `{"text": …}`. A call with a `webhook-id` is taken once: again within ten minutes it answers 200 and starts nothing.
/// Where the workflow asks for signed calls, they are signed by Standard Webhooks and at most five minutes old. More calls
/// in a minute than the trigger's `per_minute` are answered with 429.
#[utoipa::path(
    tag = "workflows",
    params(
        ("token" = String, Path, description = "The secret part of the URL.", example = "AY86K0xdfm-AkaKzxNXm9w"),
        ("webhook-id" = Option<String>, Header, description = "Names the call."),
        ("webhook-timestamp" = Option<String>, Header, description = "When it was signed, in Unix seconds."),
        ("webhook-signature" = Option<String>, Header, description = "`v1,` and the signature, in Base64."),
    ),
    request_body(content = Option<Object>, description = "Anything."),
    responses(
        (status = 202, body = RunEnvelope, description = "The run, which waits."),
        (status = 200, description = "The call was taken before."),
        Problems,
    ),
    security(()),
)]
#[post("/hooks/{token}")]
async fn call_workflow_webhook(
    request: HttpRequest,
    services: web::Data<Services>,
    token: web::Path<String>,
    body: web::Bytes,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    if body.len() > MOST_HOOK_BYTES {
        let message = format!("a webhook takes at most {MOST_HOOK_BYTES} bytes");
        return Err(Problem::new(ErrorKind::PayloadTooLarge, message, None));
    }
    let header = |name: &str| {
        let value = request.headers().get(name)?.to_str().ok();
        value.filter(|it| !it.is_empty()).map(str::to_owned)
    };
    let call = HookCall {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
        source: origin(&request).address.map(|it| it.to_string()).unwrap_or_default(),
        body: body.to_vec(),
    };
    Ok(match services.workflows.called(&token, call).await? {
        Some(run) => reply.accepted(RunBody::from(&run)),
        None => reply.ok(json!({ "repeated": true })),
    })
}
