//! Alerts on saved queries.

mod body;

use actix_web::{HttpResponse, delete, get, patch, post, web};
use jiff::SignedDuration;
use plinth_queries::QueryId;
use plinth_workflows::alerts::{Alert, AlertChange, AlertId, NewAlert};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use self::body::{AlertBody, AlertEnvelope, AlertPage, EvaluationBody, EvaluationPage};
use super::connections::given;
use super::envelope::Reply;
use super::etag::{IfMatch, tagged};
use super::input::{Paging, Valid};
use super::problem::{EditProblems, Problems};
use super::queries::open_repairs;
use super::{Caller, Problem, Services};

const LIST: &str = "alerts";
const EVALUATIONS: &str = "alert evaluations";

/// The longest time for which an alert can be muted at once, in seconds.
const LONGEST_MUTE: i64 = 366 * 24 * 3_600;

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_alerts)
        .service(create_alert)
        .service(get_alert)
        .service(update_alert)
        .service(delete_alert)
        .service(evaluate_alert)
        .service(mute_alert)
        .service(unmute_alert)
        .service(list_alert_evaluations);
}

/// List alerts
///
/// Newest first. Needs the scope `workflows:read`.
#[utoipa::path(
    tag = "alerts",
    params(Paging),
    responses((status = 200, body = AlertPage, description = "A page of alerts."), Problems),
)]
#[get("/alerts")]
async fn list_alerts(
    caller: Caller,
    services: web::Data<Services>,
    paging: web::Query<Paging>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let after = paging.cursor(&services.cursors, LIST)?;
    let page = services.alerts.list(&permit, after, paging.limit()?).await?;
    let next = page.next.map(|it| services.cursors.seal(LIST, it));
    let queries: Vec<_> = page.items.iter().map(|it| it.query).collect();
    let repairs = open_repairs(&caller, &services, &queries).await?;
    let shown = |it| AlertBody::with_repair(it, &repairs);
    Ok(reply.page(page.items.iter().map(shown).collect(), next))
}

/// Make an alert
///
/// A condition on a query of the history or a saved one; a query that nobody saved is saved by it. It is evaluated at once
/// and then on its schedule, as the caller. All that is wrong is told at once: `details.faults`, with JSON pointers. Needs
/// the scope `workflows:write`, and `queries:read`.
#[utoipa::path(
    tag = "alerts",
    request_body = CreateAlert,
    responses((status = 201, body = AlertEnvelope, description = "The alert."), Problems),
)]
#[post("/alerts")]
async fn create_alert(
    caller: Caller,
    services: web::Data<Services>,
    body: Valid<CreateAlert>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let (permit, body) = (caller.permit()?, body.0);
    let new = NewAlert {
        name: body.name,
        description: body.description.unwrap_or_default(),
        query: query(&body.query_id)?,
        parameters: body.parameters.unwrap_or_default(),
        condition: body.condition,
        schedule: body.schedule,
        notify: body.notify.unwrap_or_else(|| json!({})),
        rearm_seconds: body.rearm_seconds,
        enabled: body.enabled.unwrap_or(true),
    };
    let made = services.alerts.create(&permit, new).await?;
    let location = format!("/v1/alerts/{}", made.id);
    Ok(tagged(reply.created(location, written(&caller, &services, &made).await), made.revision))
}

/// Read an alert
///
/// `ETag` is its revision. Needs the scope `workflows:read`.
#[utoipa::path(
    tag = "alerts",
    params(("id" = String, Path, description = "The alert's id.", example = "alert_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = AlertEnvelope, description = "The alert."), Problems),
)]
#[get("/alerts/{id}")]
async fn get_alert(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<AlertId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let found = services.alerts.get(&caller.permit()?, id.into_inner()).await?;
    Ok(tagged(reply.ok(with_repair(&caller, &services, &found).await?), found.revision))
}

/// Change an alert
///
/// What is left out stays. Who changes what it asks or whom it tells is its owner from then on. With another query,
/// condition or parameters it begins anew. With `If-Match` only what was read is changed. Needs the scope
/// `workflows:write`, and for what it asks or tells `queries:read`.
#[utoipa::path(
    tag = "alerts",
    params(("id" = String, Path, description = "The alert's id.", example = "alert_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"), IfMatch),
    request_body = UpdateAlert,
    responses((status = 200, body = AlertEnvelope, description = "The alert."), Problems, EditProblems),
)]
#[patch("/alerts/{id}")]
async fn update_alert(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<AlertId>,
    seen: IfMatch,
    body: Valid<UpdateAlert>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let (permit, body) = (caller.permit()?, body.0);
    let change = AlertChange {
        name: body.name,
        description: body.description,
        query: body.query_id.as_deref().map(query).transpose()?,
        parameters: body.parameters,
        condition: body.condition,
        schedule: body.schedule,
        notify: body.notify,
        rearm_seconds: body.rearm_seconds,
        enabled: body.enabled,
        // Of several that the caller may have read, the newest can be the current one; none at all matches nothing.
        expected: seen.revisions().map(|it| it.iter().copied().max().unwrap_or(-1)),
    };
    let changed = services.alerts.change(&permit, id.into_inner(), change).await?;
    Ok(tagged(reply.ok(written(&caller, &services, &changed).await), changed.revision))
}

/// Delete an alert
///
/// With what came of it. Needs the scope `workflows:write`.
#[utoipa::path(
    tag = "alerts",
    params(
        ("id" = String, Path, description = "The alert's id.", example = "alert_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
        IfMatch,
    ),
    responses((status = 204, description = "It is gone."), Problems, EditProblems),
)]
#[delete("/alerts/{id}")]
async fn delete_alert(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<AlertId>,
    seen: IfMatch,
) -> Result<HttpResponse, Problem> {
    services.alerts.remove(&caller.permit()?, id.into_inner(), seen.revisions()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Evaluate an alert
///
/// Now, whatever its schedule says, and tells whom it has to. 409 while it is disabled or paused. Needs the scope
/// `workflows:write`.
#[utoipa::path(
    tag = "alerts",
    params(("id" = String, Path, description = "The alert's id.", example = "alert_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 202, body = AlertEnvelope, description = "The alert, which is due."), Problems),
)]
#[post("/alerts/{id}/evaluate")]
async fn evaluate_alert(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<AlertId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let due = services.alerts.evaluate(&caller.permit()?, id.into_inner()).await?;
    Ok(reply.accepted(written(&caller, &services, &due).await))
}

/// Mute an alert
///
/// It is evaluated all the same and tells nobody: for so many seconds, or until it is unmuted. What still holds then is told
/// by the first evaluation after. Needs the scope `workflows:write`.
#[utoipa::path(
    tag = "alerts",
    params(("id" = String, Path, description = "The alert's id.", example = "alert_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    request_body = MuteAlert,
    responses((status = 200, body = AlertEnvelope, description = "The alert."), Problems),
)]
#[post("/alerts/{id}/mute")]
async fn mute_alert(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<AlertId>,
    body: Valid<MuteAlert>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let time = body.0.seconds.map(SignedDuration::from_secs);
    let muted = services.alerts.mute(&permit, id.into_inner(), time).await?;
    Ok(tagged(reply.ok(written(&caller, &services, &muted).await), muted.revision))
}

/// Unmute an alert
///
/// It tells again what there is to tell. Needs the scope `workflows:write`.
#[utoipa::path(
    tag = "alerts",
    params(("id" = String, Path, description = "The alert's id.", example = "alert_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = AlertEnvelope, description = "The alert."), Problems),
)]
#[post("/alerts/{id}/unmute")]
async fn unmute_alert(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<AlertId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let changed = services.alerts.unmute(&caller.permit()?, id.into_inner()).await?;
    Ok(tagged(reply.ok(written(&caller, &services, &changed).await), changed.revision))
}

/// List an alert's evaluations
///
/// Newest first, each with what came of it and what was told. They are kept for 30 days, the newest 10,000 of each alert.
/// What was found is for who owned the alert then, and for admins: it was read with their rights. Needs the scope
/// `workflows:read`.
#[utoipa::path(
    tag = "alerts",
    params(("id" = String, Path, description = "The alert's id.", example = "alert_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"), Paging),
    responses((status = 200, body = EvaluationPage, description = "A page of evaluations."), Problems),
)]
#[get("/alerts/{id}/evaluations")]
async fn list_alert_evaluations(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<AlertId>,
    paging: web::Query<Paging>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let after = paging.cursor(&services.cursors, EVALUATIONS)?;
    let id = id.into_inner();
    let page = services.alerts.evaluations(&permit, id, after, paging.limit()?).await?;
    let next = page.next.map(|it| services.cursors.seal(EVALUATIONS, it));
    Ok(reply.page(page.items.into_iter().map(EvaluationBody::from).collect(), next))
}

/// An alert, with its query's repair if that has one.
async fn with_repair(
    caller: &Caller,
    services: &Services,
    alert: &Alert,
) -> Result<AlertBody, Problem> {
    let repairs = open_repairs(caller, services, &[alert.query]).await?;
    Ok(AlertBody::with_repair(alert, &repairs))
}

/// An alert that was just written. What it was made into is told in any case: who heard of a failure would do it again.
async fn written(caller: &Caller, services: &Services, alert: &Alert) -> AlertBody {
    let told = with_repair(caller, services, alert).await;
    told.unwrap_or_else(|problem| {
        tracing::warn!(?problem, "an alert is told without its query's repair");
        AlertBody::from(alert)
    })
}

fn query(text: &str) -> Result<QueryId, Problem> {
    let rule = "has to be the id of a query, like `q_018f3a2b4c5d7e6f8091a2b3c4d5e6f7`";
    text.parse()
        .map_err(|_| Problem::invalid(format!("query_id {rule}"), json!({ "query_id": rule })))
}

/// An alert to make.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct CreateAlert {
    /// 1 to 200 characters, unique in the organization.
    #[schema(example = "Too many late orders")]
    name: String,
    /// Up to 2,000 characters.
    description: Option<String>,
    /// What is asked.
    #[schema(example = "q_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    query_id: String,
    /// Values of the query's parameters by name.
    #[schema(value_type = Option<Object>)]
    parameters: Option<Map<String, Value>>,
    /// As in workflows, without `step`: `row_count`, `has_rows`, `no_rows`, `value`, `text`, `change`, `anomaly`, or `all`
    /// and `any` of others in `of`.
    #[schema(value_type = Object, example = json!({ "type": "row_count", "is": ">", "value": 10 }))]
    condition: Value,
    /// `every` (`5_minutes`, `15_minutes`, `hour`, `day`, `week`, `month`) or `cron` (five fields), in the organization's
    /// zone.
    #[schema(value_type = Object, example = json!({ "every": "hour" }))]
    schedule: Value,
    /// Who is told: `owner` (true), `emails`, `resolved` (true: also that it is over), `unknown` (false: also that it
    /// cannot be said). That the alert itself fails or stands still, its owner is told in any case.
    #[schema(value_type = Option<Object>, example = json!({ "emails": ["ops@example.com"] }))]
    notify: Option<Value>,
    /// After how many seconds it is told again that it still holds, 60 to 2,592,000; without it, never.
    #[schema(minimum = 60, maximum = 2_592_000)]
    rearm_seconds: Option<i64>,
    /// Whether it is evaluated, as without it.
    enabled: Option<bool>,
}

/// What to change; what is left out stays. Fields are as when it is made.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct UpdateAlert {
    /// 1 to 200 characters, unique in the organization.
    #[schema(example = "Too many late orders")]
    name: Option<String>,
    /// Up to 2,000 characters.
    description: Option<String>,
    query_id: Option<String>,
    #[schema(value_type = Option<Object>)]
    parameters: Option<Map<String, Value>>,
    #[schema(value_type = Option<Object>)]
    condition: Option<Value>,
    #[schema(value_type = Option<Object>)]
    schedule: Option<Value>,
    #[schema(value_type = Option<Object>)]
    notify: Option<Value>,
    /// 60 to 2,592,000; null for never.
    #[serde(default, deserialize_with = "given")]
    #[expect(clippy::option_option, reason = "left out, null and a value mean three things")]
    #[schema(value_type = Option<i64>, minimum = 60, maximum = 2_592_000)]
    rearm_seconds: Option<Option<i64>>,
    /// Whether it is evaluated. `true` also ends a pause.
    enabled: Option<bool>,
}

/// For how long.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct MuteAlert {
    /// 1 to 31,622,400; without it, until it is unmuted.
    #[schema(example = 3600, minimum = 1, maximum = 31_622_400)]
    #[validate(range(min = 1, max = LONGEST_MUTE, message = "has to be from 1 to 31622400"))]
    seconds: Option<i64>,
}
