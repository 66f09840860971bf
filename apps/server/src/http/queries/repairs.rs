//! Saved queries that a change of a schema broke.

use actix_web::{HttpResponse, get, post, put, web};
use plinth_core::QueriesRead;
use plinth_dashboards::DashboardId;
use plinth_queries::QueryId;
use plinth_queries::repairs::{ModeOf, Repair, RepairId};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use super::repairs_body::{
    ModeBody, ModesBody, ModesEnvelope, RepairBody, RepairEnvelope, RepairPage, StateBody,
};
use crate::http::envelope::Reply;
use crate::http::input::{Paging, Valid};
use crate::http::problem::{DatabaseProblems, ErrorBody, Problems};
use crate::http::{Caller, Problem, Services};

/// The open repairs of these saved queries, for what is told beside them; none for whoever may not read queries at all.
pub(in crate::http) async fn open_repairs(
    caller: &Caller,
    services: &Services,
    queries: &[QueryId],
) -> Result<Vec<Repair>, Problem> {
    if caller.permit::<QueriesRead>().is_err() {
        return Ok(Vec::new());
    }
    Ok(services.repairs.open_of(caller.principal(), queries).await?)
}

/// Before the routes of single queries: an id would match `repairs` too.
pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_repairs)
        .service(get_repair)
        .service(apply_repair)
        .service(dismiss_repair)
        .service(get_repair_modes)
        .service(set_repair_mode);
}

const LIST: &str = "query repairs";

/// Which repairs to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListRepairs {
    /// Only those in that state.
    #[param(inline)]
    state: Option<StateBody>,
    /// Only those of that query.
    #[param(value_type = Option<String>)]
    query_id: Option<QueryId>,
    /// Items on a page, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
    /// `meta.next_cursor` of the page before.
    cursor: Option<String>,
}

/// List saved queries that a schema's change broke
///
/// After each change of a connection's schema its saved queries are tried. One that does not work any more stands here, newest
/// first, with the changes that it meets and, unless repairs are `off` for it, a fix that was planned and run as the query's
/// owner. Needs the scope `queries:read`.
#[utoipa::path(
    tag = "queries",
    params(ListRepairs),
    responses((status = 200, body = RepairPage, description = "A page of repairs."), Problems),
)]
#[get("/queries/repairs")]
async fn list_repairs(
    caller: Caller,
    services: web::Data<Services>,
    wanted: web::Query<ListRepairs>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let ListRepairs { state, query_id, limit, cursor } = wanted.into_inner();
    let paging = Paging::new(limit, cursor);
    let after = paging.cursor(&services.cursors, LIST)?;
    let states = state.into_iter().map(Into::into).collect();
    let page = services.repairs.list(&permit, states, query_id, after, paging.limit()?).await?;
    let next = page.next.map(|it| services.cursors.seal(LIST, it));
    Ok(reply.page(page.items.into_iter().map(RepairBody::from).collect(), next))
}

/// Show the repair of a saved query
///
/// Needs the scope `queries:read`.
#[utoipa::path(
    tag = "queries",
    params(("repair_id" = String, Path, description = "The repair's id.", example = "rep_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = RepairEnvelope, description = "The repair."), Problems),
)]
#[get("/queries/repairs/{repair_id}")]
async fn get_repair(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<RepairId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let found = services.repairs.get(&caller.permit()?, id.into_inner()).await?;
    Ok(reply.ok(RepairBody::from(found)))
}

/// Apply what is proposed for a saved query
///
/// It becomes a version of the query, after guard and planner have looked at it as for a change by hand; the version before is
/// kept and can be restored. `conflict` if there is nothing to apply: no proposal, one that did not run, a repair that is
/// settled, or a query that somebody changed since (`details.reason`). Needs the scope `queries:write`.
#[utoipa::path(
    tag = "queries",
    params(("repair_id" = String, Path, description = "The repair's id.", example = "rep_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses(
        (status = 200, body = RepairEnvelope, description = "The repair, which is applied."),
        (status = 409, body = ErrorBody, description = "`conflict`: there is nothing to apply."),
        Problems, DatabaseProblems,
    ),
)]
#[post("/queries/repairs/{repair_id}/apply")]
async fn apply_repair(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<RepairId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let applied = services.repairs.apply(&caller.permit()?, id.into_inner()).await?;
    Ok(reply.ok(RepairBody::from(applied)))
}

/// Dismiss the repair of a saved query
///
/// Widgets are marked no more, until the query meets other changes. Needs the scope `queries:write`.
#[utoipa::path(
    tag = "queries",
    params(("repair_id" = String, Path, description = "The repair's id.", example = "rep_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses(
        (status = 200, body = RepairEnvelope, description = "The repair, which is dismissed."),
        (status = 409, body = ErrorBody, description = "`conflict`: it is settled already."),
        Problems,
    ),
)]
#[post("/queries/repairs/{repair_id}/dismiss")]
async fn dismiss_repair(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<RepairId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let dismissed = services.repairs.dismiss(&caller.permit()?, id.into_inner()).await?;
    Ok(reply.ok(RepairBody::from(dismissed)))
}

/// Show what is done for queries that break
///
/// The organization's mode, and those of single queries and dashboards. Needs the scope `queries:read`.
#[utoipa::path(
    tag = "queries",
    responses((status = 200, body = ModesEnvelope, description = "The modes."), Problems),
)]
#[get("/queries/repair-modes")]
async fn get_repair_modes(
    caller: Caller,
    services: web::Data<Services>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let modes = services.repairs.modes(&caller.permit()?).await?;
    Ok(reply.ok(ModesBody::from(modes)))
}

/// Set what is done for queries that break
///
/// With `query_id` for that saved query, with `dashboard_id` for the queries of that dashboard's widgets, else for the
/// organization. A query's own mode counts before its dashboards', of which the one counts that does least; they count before
/// the organization's. It counts from the next change of a schema on. Needs the scope `queries:write`; for a dashboard
/// `dashboards:write` too, for the organization `admin`.
#[utoipa::path(
    tag = "queries",
    request_body = SetRepairMode,
    responses((status = 200, body = ModesEnvelope, description = "The modes as they are now."), Problems),
)]
#[put("/queries/repair-modes")]
async fn set_repair_mode(
    caller: Caller,
    services: web::Data<Services>,
    body: Valid<SetRepairMode>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let SetRepairMode { mode, query_id, dashboard_id } = body.0;
    let of = match (query_id, dashboard_id) {
        (None, None) => ModeOf::Organization,
        (Some(id), None) => ModeOf::Query(id),
        (None, Some(id)) => ModeOf::Dashboard(id.as_uuid()),
        (Some(_), Some(_)) => {
            let rule = "a mode is for a query or for a dashboard; send one of the two";
            return Err(Problem::invalid(rule, json!({ "query_id": rule })));
        }
    };
    services.repairs.set_mode(&permit, of, mode.map(Into::into)).await?;
    let modes = services.repairs.modes(&caller.permit()?).await?;
    Ok(reply.ok(ModesBody::from(modes)))
}

/// What is done for queries that break.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct SetRepairMode {
    /// Null takes it away, so that what is above it counts.
    #[serde(deserialize_with = "sent")]
    #[schema(required = true)]
    mode: Option<ModeBody>,
    /// A saved query.
    #[schema(value_type = Option<String>)]
    query_id: Option<QueryId>,
    /// A dashboard.
    #[schema(value_type = Option<String>)]
    dashboard_id: Option<DashboardId>,
}

/// What may be null and has to be there.
fn sent<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ModeBody>, D::Error> {
    Option::deserialize(from)
}
