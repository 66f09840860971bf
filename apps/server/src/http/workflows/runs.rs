use actix_web::{HttpResponse, get, post, web};
use plinth_workflows::{RunId, WorkflowId};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use super::body::{
    EventBody, EventPage, RunBody, RunDetailBody, RunDetailEnvelope, RunEnvelope, RunPage,
};
use crate::http::envelope::Reply;
use crate::http::input::{Paging, Valid};
use crate::http::problem::Problems;
use crate::http::{Caller, Problem, Services};

const RUNS: &str = "workflow runs";
const EVENTS: &str = "workflow events";

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(run_workflow)
        .service(list_workflow_runs)
        .service(get_workflow_run)
        .service(cancel_workflow_run)
        .service(decide_workflow_run)
        .service(list_workflow_events);
}

/// Run a workflow
///
/// Queues a run of what is published, also while the workflow is disabled or paused. Needs the scope `workflows:write`.
#[utoipa::path(
    tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id.", example = "wf_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 202, body = RunEnvelope, description = "The run, which waits."), Problems),
)]
#[post("/workflows/{id}/run")]
async fn run_workflow(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<WorkflowId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let run = services.workflows.run(&caller.permit()?, id.into_inner()).await?;
    Ok(reply.accepted(RunBody::from(&run)))
}

/// List a workflow's runs
///
/// Newest first. Runs are kept for 30 days, the newest 10,000 of each workflow. Needs the scope `workflows:read`.
#[utoipa::path(
    tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id.", example = "wf_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"), Paging),
    responses((status = 200, body = RunPage, description = "A page of runs."), Problems),
)]
#[get("/workflows/{id}/runs")]
async fn list_workflow_runs(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<WorkflowId>,
    paging: web::Query<Paging>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let after = paging.cursor(&services.cursors, RUNS)?;
    let page = services.workflows.runs(&permit, id.into_inner(), after, paging.limit()?).await?;
    let next = page.next.map(|it| services.cursors.seal(RUNS, it));
    Ok(reply.page(page.items.iter().map(RunBody::from).collect(), next))
}

/// Read a run
///
/// With its steps, their results, and every try. Results are for whoever published the version that ran, and for
/// admins: they were read with their rights. Needs the scope `workflows:read`.
#[utoipa::path(
    tag = "workflows",
    params(
        ("id" = String, Path, description = "The workflow's id.", example = "wf_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
        ("run_id" = String, Path, description = "The run's id.", example = "run_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
    ),
    responses((status = 200, body = RunDetailEnvelope, description = "The run."), Problems),
)]
#[get("/workflows/{id}/runs/{run_id}")]
async fn get_workflow_run(
    caller: Caller,
    services: web::Data<Services>,
    ids: web::Path<(WorkflowId, RunId)>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let (id, run) = ids.into_inner();
    let detail = services.workflows.run_detail(&caller.permit()?, id, run).await?;
    Ok(reply.ok(RunDetailBody::from(detail)))
}

/// Cancel a run
///
/// What it does is stopped within a second or so, its statement included; what has left has left. Needs the scope
/// `workflows:write`.
#[utoipa::path(
    tag = "workflows",
    params(
        ("id" = String, Path, description = "The workflow's id.", example = "wf_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
        ("run_id" = String, Path, description = "The run's id.", example = "run_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
    ),
    responses((status = 200, body = RunEnvelope, description = "The run."), Problems),
)]
#[post("/workflows/{id}/runs/{run_id}/cancel")]
async fn cancel_workflow_run(
    caller: Caller,
    services: web::Data<Services>,
    ids: web::Path<(WorkflowId, RunId)>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let (id, run) = ids.into_inner();
    let run = services.workflows.cancel(&caller.permit()?, id, run).await?;
    Ok(reply.ok(RunBody::from(&run)))
}

/// Approve or decline what a run waits for
///
/// For members with the role that the action names, owners and admins. Nobody approves what they asked for themselves (the
/// workflow's owner, and whoever started the run), unless the action says `self_approval` or nobody else could. The run goes
/// on at once; what was declined fails.
/// What was approved is exactly what is done: if it is another by then, it is not. Needs the scope `workflows:write`.
#[utoipa::path(
    tag = "workflows",
    params(
        ("id" = String, Path, description = "The workflow's id.", example = "wf_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
        ("run_id" = String, Path, description = "The run's id.", example = "run_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
    ),
    request_body = DecideRun,
    responses((status = 200, body = RunEnvelope, description = "The run."), Problems),
)]
#[post("/workflows/{id}/runs/{run_id}/approval")]
async fn decide_workflow_run(
    caller: Caller,
    services: web::Data<Services>,
    ids: web::Path<(WorkflowId, RunId)>,
    body: Valid<DecideRun>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let (id, run) = ids.into_inner();
    let DecideRun { decision, comment } = body.0;
    let approves = matches!(decision, DecisionWord::Approve);
    let permit = caller.permit()?;
    let run = services.workflows.decide(&permit, id, run, approves, comment).await?;
    Ok(reply.ok(RunBody::from(&run)))
}

/// What somebody decides.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct DecideRun {
    decision: DecisionWord,
    /// Why, for those who read the run; up to 1,000 characters.
    #[schema(max_length = 1000)]
    comment: Option<String>,
}

/// Whether it may be done.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum DecisionWord {
    Approve,
    Decline,
}

/// List what triggers did
///
/// Each with time, source and outcome, newest first: runs that were made, calls that were refused, slots that were
/// skipped. Needs the scope `workflows:read`.
#[utoipa::path(
    tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id.", example = "wf_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"), Paging),
    responses((status = 200, body = EventPage, description = "A page of events."), Problems),
)]
#[get("/workflows/{id}/events")]
async fn list_workflow_events(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<WorkflowId>,
    paging: web::Query<Paging>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let after = paging.cursor(&services.cursors, EVENTS)?;
    let page = services.workflows.events(&permit, id.into_inner(), after, paging.limit()?).await?;
    let next = page.next.map(|it| services.cursors.seal(EVENTS, it));
    Ok(reply.page(page.items.iter().map(EventBody::from).collect(), next))
}
