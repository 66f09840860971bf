//! Runs that nobody waits for.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use jiff::Timestamp;
use plinth_core::{Permit, QueriesRead};
use plinth_queries::{CutOff, QueryId, QueryRun, QueryRunId, RunFault, RunState, Wanted};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::http::envelope::{Reply, envelope};
use crate::http::problem::{ErrorInfo, Problems};
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(get_query_run).service(get_query_run_results).service(cancel_query_run);
}

/// Rows on a page of results.
const USUAL_ROWS: u64 = 1_000;
const MOST_ROWS: u64 = 10_000;

/// Whether the caller would rather come back for the answer than wait for it (RFC 7240).
pub(super) fn is_preferred(request: &HttpRequest) -> bool {
    let lines = request.headers().get_all("prefer").filter_map(|it| it.to_str().ok());
    let mut preferences = lines.flat_map(|it| it.split(','));
    preferences.any(|it| {
        let name = it.split([';', '=']).next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case("respond-async")
    })
}

/// Begins a run, and says where it is.
pub(super) async fn begin(
    services: &Services,
    permit: &Permit<QueriesRead>,
    wanted: Wanted,
    reply: &Reply,
) -> Result<HttpResponse, Problem> {
    let run = services.query_runs.begin(permit, wanted).await?;
    let mut response = reply.accepted(RunBody::from(run.clone()));
    let headers = response.headers_mut();
    let location = format!("/v1/query-runs/{}", run.id);
    if let Ok(location) = header::HeaderValue::from_str(&location) {
        headers.insert(header::LOCATION, location);
    }
    headers.insert(
        header::HeaderName::from_static("preference-applied"),
        header::HeaderValue::from_static("respond-async"),
    );
    Ok(response)
}

/// Show a run
///
/// How far a run is that was begun with `Prefer: respond-async`: yours only. It is kept for an hour after its end. Needs the
/// scope `queries:read`.
#[utoipa::path(
    tag = "queries",
    params(("id" = String, Path, description = "The run's id.", example = "qrun_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = QueryRunEnvelope, description = "The run."), Problems),
)]
#[get("/query-runs/{id}")]
async fn get_query_run(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<QueryRunId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let run = services.query_runs.get(&caller.permit()?, id.into_inner()).await?;
    Ok(reply.ok(RunBody::from(run)))
}

/// Show a run's rows
///
/// A page of them, once it has succeeded; until then 409. Needs the scope `queries:read`.
#[utoipa::path(
    tag = "queries",
    params(
        ("id" = String, Path, description = "The run's id.", example = "qrun_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
        ResultParams,
    ),
    responses((status = 200, body = QueryRunResultsPage, description = "A page of rows."), Problems),
)]
#[get("/query-runs/{id}/results")]
async fn get_query_run_results(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<QueryRunId>,
    params: web::Query<ResultParams>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let (permit, id) = (caller.permit()?, id.into_inner());
    let ResultParams { limit, cursor } = params.into_inner();
    let most = limit.unwrap_or(USUAL_ROWS);
    if !(1..=MOST_ROWS).contains(&most) {
        let rule = format!("has to be a whole number from 1 to {MOST_ROWS}");
        return Err(Problem::invalid(format!("limit: {rule}"), json!({ "limit": rule })));
    }
    let list = format!("rows of {id}");
    let place = cursor.map(|it| services.cursors.open_bytes(&list, &it)).transpose()?;
    let from = place.and_then(|it| it.try_into().ok()).map_or(0, u64::from_be_bytes);
    let page = services.query_runs.results(&permit, id, from, most).await?;
    let next = page.next.map(|it| services.cursors.seal_bytes(&list, &it.to_be_bytes()));
    let body = ResultsBody::of(page.run, page.rows);
    let written = web::block(move || reply.written(&body, next)).await;
    let written = written
        .map_err(|_| Problem::new(plinth_core::ErrorKind::Unavailable, "try again", None))?;
    Ok(HttpResponse::Ok().content_type("application/json").body(written))
}

/// Cancel a run
///
/// Its statement is cancelled in the database, whichever server runs it, within about half a second; `state` says when that
/// is done. What has ended stays as it is. Needs the scope `queries:read`.
#[utoipa::path(
    tag = "queries",
    params(("id" = String, Path, description = "The run's id.", example = "qrun_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 202, body = QueryRunEnvelope, description = "It is about to end, or has ended."), Problems),
)]
#[post("/query-runs/{id}/cancel")]
async fn cancel_query_run(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<QueryRunId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let run = services.query_runs.cancel(&caller.permit()?, id.into_inner()).await?;
    Ok(reply.accepted(RunBody::from(run)))
}

/// Which of a run's rows.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ResultParams {
    /// Rows on a page, 1 to 10,000.
    #[param(minimum = 1, maximum = 10000, default = 1000)]
    limit: Option<u64>,
    /// `meta.next_cursor` of the page before.
    cursor: Option<String>,
}

/// A run that nobody waits for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueryRun)]
pub(super) struct RunBody {
    #[schema(value_type = String, example = "qrun_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: QueryRunId,
    state: StateBody,
    /// Whether somebody has asked for its end.
    cancel_requested: bool,
    /// Its entry in the history; null until the database has begun to answer, and where nothing was run.
    #[schema(value_type = Option<String>, required = true)]
    query_id: Option<QueryId>,
    /// The statement, from then on.
    #[schema(required = true)]
    sql: Option<String>,
    /// The answer in words: to a question about the schema itself, and where nothing is found.
    #[schema(required = true)]
    answer: Option<String>,
    /// How many rows are there so far.
    row_count: u64,
    /// After how many rows it is cut off.
    #[schema(required = true)]
    row_limit: Option<u64>,
    truncated: bool,
    /// Which limit cut the rows off: `rows` or `bytes`.
    #[schema(value_type = Option<String>, required = true)]
    truncated_by: Option<CutOff>,
    /// Whether text that was not UTF-8 has U+FFFD in place of what could not be read.
    text_replaced: bool,
    /// When the rows were read, if they were kept from an earlier run.
    #[schema(required = true)]
    cached_at: Option<Timestamp>,
    #[schema(required = true)]
    execution_time_ms: Option<f64>,
    /// Where the rows are, once it has succeeded with any.
    #[schema(required = true)]
    results_url: Option<String>,
    /// Why there are none.
    #[schema(required = true)]
    error: Option<ErrorInfo>,
    created_at: Timestamp,
    #[schema(required = true)]
    started_at: Option<Timestamp>,
    #[schema(required = true)]
    finished_at: Option<Timestamp>,
    /// Until when it and its rows are kept; null while it is under way.
    #[schema(required = true)]
    expires_at: Option<Timestamp>,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = QueryRunState)]
pub(super) enum StateBody {
    /// It waits for its turn.
    Queued,
    /// It is under way.
    Running,
    /// Its rows are there.
    Succeeded,
    /// `error` says why there are none.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// Its statement took longer than it may.
    TimedOut,
}

impl From<RunState> for StateBody {
    fn from(it: RunState) -> Self {
        match it {
            RunState::Queued => Self::Queued,
            RunState::Running => Self::Running,
            RunState::Succeeded => Self::Succeeded,
            RunState::Failed => Self::Failed,
            RunState::Cancelled => Self::Cancelled,
            RunState::TimedOut => Self::TimedOut,
        }
    }
}

impl From<QueryRun> for RunBody {
    fn from(it: QueryRun) -> Self {
        let has_rows = it.state == RunState::Succeeded && !it.columns.is_empty();
        let fault = |it: RunFault| Problem::new(it.kind, it.message, it.details).into_info();
        Self {
            id: it.id,
            state: it.state.into(),
            cancel_requested: it.is_cancel_wanted,
            query_id: it.query,
            sql: it.sql,
            answer: it.answer,
            row_count: it.row_count,
            row_limit: it.row_limit,
            truncated: it.cut_off.is_some(),
            truncated_by: it.cut_off,
            text_replaced: it.text_replaced,
            cached_at: it.cached_at,
            execution_time_ms: it.execution_time_ms.map(super::answer::rounded),
            results_url: has_rows.then(|| format!("/v1/query-runs/{}/results", it.id)),
            error: it.error.map(fault),
            created_at: it.created_at,
            started_at: it.started_at,
            finished_at: it.finished_at,
            expires_at: it.expires_at,
        }
    }
}

/// Some of a run's rows.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueryRunResults)]
struct ResultsBody {
    columns: Vec<String>,
    schema: Vec<ColumnBody>,
    /// An array for each row, with a value for each column.
    #[schema(value_type = Vec<Vec<Value>>)]
    rows: Vec<Vec<Value>>,
    /// How many rows there are on all pages.
    row_count: u64,
    truncated: bool,
}

/// A column of a result.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueryRunColumn)]
struct ColumnBody {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
}

impl ResultsBody {
    fn of(run: QueryRun, rows: Vec<Vec<Value>>) -> Self {
        let column =
            |it: plinth_queries::SavedColumn| ColumnBody { name: it.name, type_name: it.type_name };
        Self {
            columns: run.columns.iter().map(|it| it.name.clone()).collect(),
            schema: run.columns.into_iter().map(column).collect(),
            rows,
            row_count: run.row_count,
            truncated: run.cut_off.is_some(),
        }
    }
}

envelope!(
    /// A run.
    QueryRunEnvelope(RunBody)
);

/// A page of a run's rows.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its derive is used; the answers are written by Reply")]
pub(crate) struct QueryRunResultsPage {
    data: ResultsBody,
    meta: crate::http::envelope::PageMeta,
}
