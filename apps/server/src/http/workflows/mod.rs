//! Workflows, their runs, and the calls of their webhooks.

mod approvals;
mod body;
mod hooks;
mod runs;

use actix_web::{HttpResponse, delete, get, patch, post, web};
use plinth_workflows::{NewWorkflow, Workflow, WorkflowChange, WorkflowId};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use self::body::{
    PreviewBody, PreviewEnvelope, SentBody, SentEnvelope, VersionBody, VersionsEnvelope,
    WorkflowBody, WorkflowEnvelope, WorkflowPage,
};
use super::envelope::Reply;
use super::etag::{IfMatch, tagged};
use super::input::{Paging, Valid};
use super::problem::{EditProblems, Problems};
use super::queries::open_repairs;
use super::{Caller, Problem, Services};

const LIST: &str = "workflows";

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    // Before the routes of one workflow, whose id it is not.
    approvals::routes(config);
    config
        .service(list_workflows)
        .service(create_workflow)
        .service(get_workflow)
        .service(update_workflow)
        .service(delete_workflow)
        .service(publish_workflow)
        .service(enable_workflow)
        .service(disable_workflow)
        .service(list_workflow_versions)
        .service(preview_workflow)
        .service(test_workflow_action);
    runs::routes(config);
    hooks::routes(config);
}

/// List workflows
///
/// Newest first. Needs the scope `workflows:read`.
#[utoipa::path(
    tag = "workflows",
    params(Paging),
    responses((status = 200, body = WorkflowPage, description = "A page of workflows."), Problems),
)]
#[get("/workflows")]
async fn list_workflows(
    caller: Caller,
    services: web::Data<Services>,
    paging: web::Query<Paging>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let after = paging.cursor(&services.cursors, LIST)?;
    let page = services.workflows.list(&permit, after, paging.limit()?).await?;
    let next = page.next.map(|it| services.cursors.seal(LIST, it));
    Ok(reply.page(page.items.iter().map(WorkflowBody::from).collect(), next))
}

/// Make a workflow
///
/// A trigger, one or more query steps, perhaps conditions, actions in order. It is checked as a whole: `details.faults`
/// names everything that is wrong, with JSON pointers. It runs as the caller. Needs the scope `workflows:write` and
/// `queries:read`.
#[utoipa::path(
    tag = "workflows",
    request_body = CreateWorkflow,
    responses((status = 201, body = WorkflowEnvelope, description = "The workflow."), Problems),
)]
#[post("/workflows")]
async fn create_workflow(
    caller: Caller,
    services: web::Data<Services>,
    body: Valid<CreateWorkflow>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let body = body.0;
    let mut definition = Map::new();
    definition.insert("trigger".to_owned(), body.trigger);
    definition.insert("steps".to_owned(), body.steps);
    definition.extend(body.conditions.map(|it| ("conditions".to_owned(), it)));
    definition
        .insert("actions".to_owned(), body.actions.unwrap_or_else(|| Value::Array(Vec::new())));
    definition.extend(body.limits.map(|it| ("limits".to_owned(), it)));
    let new = NewWorkflow {
        name: body.name,
        description: body.description.unwrap_or_default(),
        definition: definition.into(),
        publish: body.publish.unwrap_or(true),
        enabled: body.enabled.unwrap_or(true),
    };
    let made = services.workflows.create(&permit, new).await?;
    let location = format!("/v1/workflows/{}", made.id);
    let body = written(&caller, &services, &made).await;
    Ok(tagged(reply.created(location, body), made.revision))
}

/// Read a workflow
///
/// With its draft; `ETag` is its revision. Needs the scope `workflows:read`.
#[utoipa::path(
    tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id.", example = "wf_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = WorkflowEnvelope, description = "The workflow."), Problems),
)]
#[get("/workflows/{id}")]
async fn get_workflow(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<WorkflowId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let found = services.workflows.get(&caller.permit()?, id.into_inner()).await?;
    let body = with_repairs(&caller, &services, &found).await?;
    Ok(tagged(reply.ok(body), found.revision))
}

/// Change a workflow
///
/// What is left out stays. Changed fields of the definition go into the draft, which is published unless `publish` is
/// false; who publishes is the owner from then on. With `If-Match` only what was read is changed. Needs the scope
/// `workflows:write` and, for the definition, `queries:read`.
#[utoipa::path(
    tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id.", example = "wf_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"), IfMatch),
    request_body = UpdateWorkflow,
    responses((status = 200, body = WorkflowEnvelope, description = "The workflow."), Problems, EditProblems),
)]
#[patch("/workflows/{id}")]
async fn update_workflow(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<WorkflowId>,
    seen: IfMatch,
    body: Valid<UpdateWorkflow>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let body = body.0;
    let mut definition = Map::new();
    let fields = [
        ("trigger", body.trigger),
        ("steps", body.steps),
        ("conditions", body.conditions),
        ("actions", body.actions),
        ("limits", body.limits),
    ];
    for (name, value) in fields {
        definition.extend(value.map(|it| (name.to_owned(), it)));
    }
    let change = WorkflowChange {
        name: body.name,
        description: body.description,
        publish: body.publish.unwrap_or(!definition.is_empty()),
        definition,
        enabled: body.enabled,
        expected: None,
    };
    change_workflow(&caller, &services, id.into_inner(), &seen, change, &reply).await
}

/// Publish a workflow
///
/// The draft becomes the version that runs, and the caller its owner. Needs the scope `workflows:write` and
/// `queries:read`.
#[utoipa::path(
    tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id.", example = "wf_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"), IfMatch),
    responses((status = 200, body = WorkflowEnvelope, description = "The workflow."), Problems, EditProblems),
)]
#[post("/workflows/{id}/publish")]
async fn publish_workflow(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<WorkflowId>,
    seen: IfMatch,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let change = WorkflowChange { publish: true, ..WorkflowChange::default() };
    change_workflow(&caller, &services, id.into_inner(), &seen, change, &reply).await
}

/// Enable a workflow
///
/// Its triggers start it from now on; also ends a pause. Needs the scope `workflows:write`.
#[utoipa::path(
    tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id.", example = "wf_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"), IfMatch),
    responses((status = 200, body = WorkflowEnvelope, description = "The workflow."), Problems, EditProblems),
)]
#[post("/workflows/{id}/enable")]
async fn enable_workflow(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<WorkflowId>,
    seen: IfMatch,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let change = WorkflowChange { enabled: Some(true), ..WorkflowChange::default() };
    change_workflow(&caller, &services, id.into_inner(), &seen, change, &reply).await
}

/// Disable a workflow
///
/// Its triggers do not start it any more, and what they queued and nobody has begun is cancelled; what was asked for by hand, or is
/// under way, goes on. Needs the scope `workflows:write`.
#[utoipa::path(
    tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id.", example = "wf_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"), IfMatch),
    responses((status = 200, body = WorkflowEnvelope, description = "The workflow."), Problems, EditProblems),
)]
#[post("/workflows/{id}/disable")]
async fn disable_workflow(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<WorkflowId>,
    seen: IfMatch,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let change = WorkflowChange { enabled: Some(false), ..WorkflowChange::default() };
    change_workflow(&caller, &services, id.into_inner(), &seen, change, &reply).await
}

async fn change_workflow(
    caller: &Caller,
    services: &Services,
    id: WorkflowId,
    seen: &IfMatch,
    mut change: WorkflowChange,
    reply: &Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    // Of several that the caller may have read, the newest can be the current one; none at all matches nothing.
    change.expected = seen.revisions().map(|it| it.iter().copied().max().unwrap_or(-1));
    let changed = services.workflows.change(&permit, id, change).await?;
    let body = written(caller, services, &changed).await;
    Ok(tagged(reply.ok(body), changed.revision))
}

/// A workflow, with the open repairs of the saved queries that its steps run. Whoever may only change workflows is not told
/// of them.
async fn with_repairs(
    caller: &Caller,
    services: &Services,
    workflow: &Workflow,
) -> Result<WorkflowBody, Problem> {
    let Ok(permit) = caller.permit() else { return Ok(WorkflowBody::from(workflow)) };
    let queries = services.workflows.queries_of(&permit, workflow).await?;
    let queries: Vec<_> = queries.into_iter().collect();
    let repairs = open_repairs(caller, services, &queries).await?;
    Ok(WorkflowBody::with_repairs(workflow, repairs))
}

/// A workflow that was just written. What it was made into is told in any case: who heard of a failure would do it again.
async fn written(caller: &Caller, services: &Services, workflow: &Workflow) -> WorkflowBody {
    let told = with_repairs(caller, services, workflow).await;
    told.unwrap_or_else(|problem| {
        tracing::warn!(?problem, "a workflow is told without its queries' repairs");
        WorkflowBody::from(workflow)
    })
}

/// Delete a workflow
///
/// With its versions, runs and events. Runs that are under way stop. Needs the scope `workflows:write`.
#[utoipa::path(
    tag = "workflows",
    params(
        ("id" = String, Path, description = "The workflow's id.", example = "wf_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
        IfMatch,
    ),
    responses((status = 204, description = "It is gone."), Problems, EditProblems),
)]
#[delete("/workflows/{id}")]
async fn delete_workflow(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<WorkflowId>,
    seen: IfMatch,
) -> Result<HttpResponse, Problem> {
    services.workflows.remove(&caller.permit()?, id.into_inner(), seen.revisions()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// List a workflow's versions
///
/// What was published, newest first, at most 100. Needs the scope `workflows:read`.
#[utoipa::path(
    tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id.", example = "wf_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = VersionsEnvelope, description = "The versions."), Problems),
)]
#[get("/workflows/{id}/versions")]
async fn list_workflow_versions(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<WorkflowId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let versions = services.workflows.versions(&caller.permit()?, id.into_inner()).await?;
    Ok(reply.ok(versions.into_iter().map(VersionBody::from).collect::<Vec<_>>()))
}

/// Preview a workflow
///
/// The draft's queries run, as the caller; actions are shown with what they would send, and nothing is sent. Needs the
/// scope `workflows:write` and `queries:read`.
#[utoipa::path(
    tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id.", example = "wf_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    request_body = PreviewWorkflow,
    responses((status = 200, body = PreviewEnvelope, description = "What it would do now."), Problems),
)]
#[post("/workflows/{id}/preview")]
async fn preview_workflow(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<WorkflowId>,
    body: Valid<PreviewWorkflow>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let (permit, webhook) = (caller.permit()?, body.0.webhook);
    let preview = services.workflows.preview(&permit, id.into_inner(), webhook).await?;
    Ok(reply.ok(PreviewBody::from(preview)))
}

/// Test an action
///
/// The draft's queries run, and then the action is taken for real, whatever the conditions say: `confirm` has to be true.
/// 200 also when it fails: `succeeded` says so. Needs the scope `workflows:write`, and `queries:read`.
#[utoipa::path(
    tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id.", example = "wf_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    request_body = TestAction,
    responses((status = 200, body = SentEnvelope, description = "What came of it."), Problems),
)]
#[post("/workflows/{id}/test-action")]
async fn test_workflow_action(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<WorkflowId>,
    body: Valid<TestAction>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let TestAction { action, confirm, webhook } = body.0;
    let id = id.into_inner();
    let sent = services.workflows.test_action(&permit, id, &action, confirm, webhook).await?;
    Ok(reply.ok(SentBody::from(sent)))
}

/// A workflow to make.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct CreateWorkflow {
    /// 1 to 200 characters, unique in the organization.
    #[schema(example = "Late orders")]
    name: String,
    /// Up to 2,000 characters.
    description: Option<String>,
    /// `{"type": "manual"}`, `{"type": "webhook", "signed": false, "per_minute": 600}`, or `{"type": "schedule"}` with `every`
    /// (`5_minutes`, `15_minutes`, `hour`, `day`, `week`, `month`) or `cron` (five fields, in the organization's zone),
    /// `misfire` (`run_once`, `skip`) and `overlap` (`skip`, `queue`).
    #[schema(value_type = Object, example = json!({ "type": "manual" }))]
    trigger: Value,
    /// Each with `name`, `type` and what the type needs: `question` (`connection_id`, `question`), `sql`
    /// (`connection_id`, `sql`), `saved_query` (`query_id`, perhaps `parameters`); perhaps `row_limit` and `timeout_seconds`.
    #[schema(value_type = Vec<Object>, example = json!([{ "name": "late", "type": "sql", "connection_id": "conn_018f3a2b4c5d7e6f8091a2b3c4d5e6f7", "sql": "SELECT 1 AS late" }]))]
    steps: Value,
    /// `{"type": …}`: `row_count`, `has_rows`, `no_rows`, `value`, `text`, `change`, `anomaly`, or `all` and `any` of others
    /// in `of`.
    #[schema(value_type = Option<Object>)]
    conditions: Option<Value>,
    /// Each with `name`, `type` (`email`, `http`, `slack`) and what the type needs; perhaps `continue_on_error`.
    #[schema(value_type = Option<Vec<Object>>)]
    actions: Option<Value>,
    /// `timeout_seconds` (900), `concurrency` (10), `attempts` (4).
    #[schema(value_type = Option<Object>)]
    limits: Option<Value>,
    /// Whether it is published at once, as without it.
    publish: Option<bool>,
    /// Whether its triggers start it, as without it.
    enabled: Option<bool>,
}

/// What to change; what is left out stays. Fields of the definition are as when it is made.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct UpdateWorkflow {
    /// 1 to 200 characters, unique in the organization.
    #[schema(example = "Late orders")]
    name: Option<String>,
    /// Up to 2,000 characters.
    description: Option<String>,
    #[schema(value_type = Option<Object>)]
    trigger: Option<Value>,
    #[schema(value_type = Option<Vec<Object>>)]
    steps: Option<Value>,
    #[schema(value_type = Option<Object>)]
    conditions: Option<Value>,
    #[schema(value_type = Option<Vec<Object>>)]
    actions: Option<Value>,
    #[schema(value_type = Option<Object>)]
    limits: Option<Value>,
    /// Whether the draft is published by it; without it, if the definition changes.
    publish: Option<bool>,
    /// Whether its triggers start it.
    enabled: Option<bool>,
}

/// With what to preview.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct PreviewWorkflow {
    /// Stands in for the body of a webhook's call.
    #[schema(value_type = Option<Value>)]
    webhook: Option<Value>,
}

/// Which action to take.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct TestAction {
    /// Its name.
    #[schema(example = "tell")]
    action: String,
    /// That it is meant: has to be true.
    confirm: bool,
    /// Stands in for the body of a webhook's call.
    #[schema(value_type = Option<Value>)]
    webhook: Option<Value>,
}
