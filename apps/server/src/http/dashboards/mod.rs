//! Dashboards with what their widgets show, pictures of them, and links that show them to others.

mod body;
mod pictures;
mod shares;

use actix_web::{HttpResponse, delete, get, patch, post, web};
use plinth_dashboards::{Ask, DashboardChange, DashboardId};
use serde_json::{Map, Value, json};
use utoipa_actix_web::service_config::ServiceConfig;

use self::body::{
    CreateDashboard, DashboardBody, DashboardEnvelope, DashboardPage, LookParams, RefreshDashboard,
    UpdateDashboard,
};
use super::envelope::Reply;
use super::etag::{IfMatch, tagged};
use super::input::{Paging, Valid};
use super::problem::{EditProblems, Problems};
use super::{Caller, Problem, Services};

const LIST: &str = "dashboards";

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_dashboards)
        .service(create_dashboard)
        .service(get_dashboard)
        .service(update_dashboard)
        .service(delete_dashboard)
        .service(refresh_dashboard);
    pictures::routes(config);
    shares::routes(config);
}

/// List dashboards
///
/// Newest first, without what their widgets show. Needs the scope `dashboards:read`.
#[utoipa::path(
    tag = "dashboards",
    params(Paging),
    responses((status = 200, body = DashboardPage, description = "A page of dashboards."), Problems),
)]
#[get("/dashboards")]
async fn list_dashboards(
    caller: Caller,
    services: web::Data<Services>,
    paging: web::Query<Paging>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let after = paging.cursor(&services.cursors, LIST)?;
    let page = services.dashboards.list(&permit, after, paging.limit()?).await?;
    let next = page.next.map(|it| services.cursors.seal(LIST, it));
    Ok(reply.page(page.items.into_iter().map(DashboardBody::from).collect(), next))
}

/// Make a dashboard
///
/// Widgets on a grid of twelve columns, each on a query of the history or a saved one; a query that nobody saved is saved by
/// it. All that is wrong is told at once: `details.faults`, with JSON pointers. The answer is without what the widgets show.
/// Needs the scope `dashboards:write`, and for widgets `queries:read`.
#[utoipa::path(
    tag = "dashboards",
    request_body = CreateDashboard,
    responses((status = 201, body = DashboardEnvelope, description = "The dashboard."), Problems),
)]
#[post("/dashboards")]
async fn create_dashboard(
    caller: Caller,
    services: web::Data<Services>,
    body: Valid<CreateDashboard>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let made = services.dashboards.create(&caller.permit()?, body.0.into()).await?;
    let (location, revision) = (format!("/v1/dashboards/{}", made.id), made.revision);
    Ok(tagged(reply.created(location, DashboardBody::from(made)), revision))
}

/// Show a dashboard
///
/// With what every widget shows now. Each runs as its owner (`owner_id`), with their rights and under the policies that bind
/// them, not you: all who may look see the same figures. They run side by side, and each has its own `error`, `cached_at` and
/// `duration_ms`. Answers may be as old as the widget's `max_age_seconds`, else the dashboard's `refresh_seconds`, else the
/// query's own, unless you say otherwise. `ETag` is its revision. Needs the scope `dashboards:read`.
#[utoipa::path(
    tag = "dashboards",
    params(
        ("id" = String, Path, description = "The dashboard's id.", example = "dash_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
        LookParams,
    ),
    responses((status = 200, body = DashboardEnvelope, description = "The dashboard."), Problems),
)]
#[get("/dashboards/{id}")]
async fn get_dashboard(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<DashboardId>,
    params: web::Query<LookParams>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let (permit, params) = (caller.permit()?, params.into_inner());
    if params.max_age.is_some_and(|it| it > 86_400) {
        let rule = "max_age has to be a whole number from 0 to 86400";
        return Err(Problem::invalid(rule, json!({ "max_age": rule })));
    }
    let ask = Ask { filters: chosen(params.filters)?, max_age_seconds: params.max_age };
    if params.data == Some(false) {
        let found = services.dashboards.get(&permit, id.into_inner()).await?;
        let revision = found.revision;
        return Ok(tagged(reply.ok(DashboardBody::from(found)), revision));
    }
    let looked = services.dashboards.look(&permit, id.into_inner(), ask).await?;
    let revision = looked.dashboard.revision;
    Ok(tagged(reply.ok(DashboardBody::looked(looked)), revision))
}

/// Refresh a dashboard
///
/// The same as showing it, with everything run now. Needs the scope `dashboards:read`.
#[utoipa::path(
    tag = "dashboards",
    params(("id" = String, Path, description = "The dashboard's id.", example = "dash_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    request_body = RefreshDashboard,
    responses((status = 200, body = DashboardEnvelope, description = "The dashboard."), Problems),
)]
#[post("/dashboards/{id}/refresh")]
async fn refresh_dashboard(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<DashboardId>,
    body: Valid<RefreshDashboard>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let ask = Ask { filters: body.0.filters.unwrap_or_default(), max_age_seconds: Some(0) };
    let looked = services.dashboards.look(&permit, id.into_inner(), ask).await?;
    let revision = looked.dashboard.revision;
    Ok(tagged(reply.ok(DashboardBody::looked(looked)), revision))
}

/// Change a dashboard
///
/// What is left out stays; `widgets` and `filters` are replaced as a whole. With `If-Match` only what was read is changed.
/// Needs the scope `dashboards:write`, and for widgets `queries:read`.
#[utoipa::path(
    tag = "dashboards",
    params(("id" = String, Path, description = "The dashboard's id.", example = "dash_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"), IfMatch),
    request_body = UpdateDashboard,
    responses(
        (status = 200, body = DashboardEnvelope, description = "The dashboard."),
        Problems,
        EditProblems,
    ),
)]
#[patch("/dashboards/{id}")]
async fn update_dashboard(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<DashboardId>,
    seen: IfMatch,
    body: Valid<UpdateDashboard>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let expected = seen.revisions().map(<[i64]>::to_vec);
    let change = DashboardChange { expected, ..body.0.into() };
    let changed = services.dashboards.change(&permit, id.into_inner(), change).await?;
    let revision = changed.revision;
    Ok(tagged(reply.ok(DashboardBody::from(changed)), revision))
}

/// Delete a dashboard
///
/// With the links to it. Its queries stay. Needs the scope `dashboards:write`.
#[utoipa::path(
    tag = "dashboards",
    params(
        ("id" = String, Path, description = "The dashboard's id.", example = "dash_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
        IfMatch,
    ),
    responses((status = 204, description = "It is gone."), Problems, EditProblems),
)]
#[delete("/dashboards/{id}")]
async fn delete_dashboard(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<DashboardId>,
    seen: IfMatch,
) -> Result<HttpResponse, Problem> {
    services.dashboards.remove(&caller.permit()?, id.into_inner(), seen.revisions()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Filters from a query string.
fn chosen(text: Option<String>) -> Result<Map<String, Value>, Problem> {
    let Some(text) = text.filter(|it| !it.is_empty()) else { return Ok(Map::new()) };
    serde_json::from_str(&text).map_err(|_| {
        let rule = "filters have to be a JSON object, like {\"country\": \"France\"}";
        Problem::invalid(rule, json!({ "filters": rule }))
    })
}
