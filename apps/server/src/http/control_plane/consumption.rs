use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, web};
use jiff::Timestamp;
use plinth_control_plane::{Frame, Granularity, Project, ProjectFilter, ProjectId, Used};
use plinth_core::{ErrorKind, ProjectsRead};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::limit;
use super::projects::{of_caller, place};
use crate::http::problem::ControlPlaneProblems;
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list_consumption).service(get_account_consumption);
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ConsumptionQuery {
    /// The beginning; rounded down to the granularity.
    #[param(example = "2026-03-01T00:00:00Z")]
    from: Timestamp,
    /// The end; rounded up to the granularity.
    #[param(example = "2026-03-02T00:00:00Z")]
    to: Timestamp,
    /// `hourly` (of the last 168 hours), `daily` (60 days) or `monthly` (a year).
    #[param(example = "hourly")]
    granularity: String,
    /// Only these projects, with commas between them.
    pub(super) project_ids: Option<String>,
    /// The organization: the caller's own.
    pub(super) org_id: Option<String>,
    /// Where the page begins: what the one before gave.
    pub(super) cursor: Option<String>,
    /// How many projects, at most 100.
    pub(super) limit: Option<u32>,
    /// Which figures, with commas between them; all of them unless said.
    metrics: Option<String>,
}

/// The figures that there are.
const METRICS: [&str; 8] = [
    "active_time_seconds",
    "compute_time_seconds",
    "written_data_bytes",
    "data_transfer_bytes",
    "synthetic_storage_size_bytes",
    "data_storage_bytes_hour",
    "logical_size_bytes",
    "logical_size_bytes_hour",
];

/// What is asked for, checked.
pub(super) struct Asked {
    pub(super) granularity: Granularity,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) metrics: Vec<&'static str>,
}

impl Asked {
    pub(super) fn read(
        query: &ConsumptionQuery,
        all: &[&'static str],
        now: Timestamp,
    ) -> Result<Self, Problem> {
        let granularity = match query.granularity.as_str() {
            "hourly" => Granularity::Hourly,
            "daily" => Granularity::Daily,
            "monthly" => Granularity::Monthly,
            _ => {
                let rule = "must be hourly, daily or monthly";
                let fields = json!({ "granularity": rule });
                return Err(Problem::invalid(format!("granularity {rule}"), fields));
            }
        };
        let from = granularity.floor(query.from);
        let mut to = granularity.floor(query.to);
        if to < query.to {
            to = granularity.end_of(to);
        }
        if query.from > query.to || from < granularity.floor(now - granularity.reach()) {
            let text = "the specified date-time range is outside the boundaries of the specified granularity";
            let problem = Problem::invalid(text, json!({ "code": "RANGE_OUT_OF_BOUNDS" }));
            return Err(problem.with_status(StatusCode::NOT_ACCEPTABLE));
        }
        let mut metrics = all.to_vec();
        if let Some(named) = query.metrics.as_deref().filter(|it| !it.is_empty()) {
            let named: Vec<&str> = named.split(',').map(str::trim).collect();
            if let Some(unknown) = named.iter().find(|it| !all.contains(it)) {
                let text = format!("metrics: there is no `{unknown}` here");
                return Err(Problem::invalid(text, json!({ "metrics": all })));
            }
            metrics.retain(|it| named.contains(it));
        }
        Ok(Self { granularity, from, to, metrics })
    }

    /// Figures by month, as their reader wants it.
    fn periods(&self, number: i64, frames: &[Frame]) -> Vec<Value> {
        by_month(number, frames.iter().map(|it| (it.begin, self.figures(it))))
    }

    fn figures(&self, frame: &Frame) -> Value {
        let used = &frame.used;
        let mut body = json!({
            "timeframe_start": frame.begin, "timeframe_end": self.granularity.end_of(frame.begin),
            // Those that clients count on are there, also where they are not asked for.
            "active_time_seconds": 0, "compute_time_seconds": 0, "written_data_bytes": 0,
            "synthetic_storage_size_bytes": 0,
        });
        for metric in &self.metrics {
            body[*metric] = match *metric {
                "active_time_seconds" => used.active_ms / 1000,
                "compute_time_seconds" => used.cpu_ms / 1000,
                "written_data_bytes" => used.written_bytes,
                "data_transfer_bytes" => used.transfer_bytes,
                "synthetic_storage_size_bytes" => used.storage_bytes,
                "data_storage_bytes_hour" => frame.storage_bytes_hours,
                "logical_size_bytes" => used.logical_bytes,
                _ => frame.logical_bytes_hours,
            }
            .into();
        }
        body
    }
}

/// Figures of frames by the month, of what has that number.
pub(super) fn by_month(
    number: i64,
    frames: impl IntoIterator<Item = (Timestamp, Value)>,
) -> Vec<Value> {
    let mut periods: Vec<(Timestamp, Vec<Value>)> = Vec::new();
    for (begin, figures) in frames {
        let month = Granularity::Monthly.floor(begin);
        if periods.last().is_none_or(|it| it.0 != month) {
            periods.push((month, Vec::new()));
        }
        periods.last_mut().expect("one was pushed").1.push(figures);
    }
    let body = |(month, consumption): (Timestamp, Vec<Value>)| {
        // Of each project and month one, always the same.
        let high = u64::try_from(number).unwrap_or_default();
        let low = u64::try_from(month.as_second()).unwrap_or_default();
        json!({
            "period_id": Uuid::from_u64_pair(high, low),
            "period_plan": "free_v3",
            "period_start": month,
            "period_end": Granularity::Monthly.end_of(month),
            "consumption": consumption,
        })
    };
    periods.into_iter().map(body).collect()
}

pub(super) fn named(text: Option<&str>) -> Result<Option<Vec<ProjectId>>, Problem> {
    let not_found = |_| Problem::new(ErrorKind::NotFound, "project not found", None);
    let Some(text) = text.filter(|it| !it.is_empty()) else { return Ok(None) };
    let ids: Vec<_> = text.split(',').map(str::trim).collect();
    if ids.len() > 100 {
        let rule = "must be at most 100";
        return Err(Problem::invalid(
            format!("project_ids {rule}"),
            json!({ "project_ids": rule }),
        ));
    }
    ids.into_iter().map(|it| it.parse().map_err(not_found)).collect::<Result<_, _>>().map(Some)
}

/// Read the consumption of projects
///
/// By the hour, day or month: for how long their Postgres processes ran, the time of a core that they took, how much was written
/// to their logs and went through their endpoints, and the room that they take; measured each minute, without waking anything. Needs the scope
/// `projects:read`.
#[utoipa::path(
    tag = "consumption",
    params(ConsumptionQuery),
    responses((status = 200, description = "`projects`, and `pagination.cursor` while there may be more."), (status = 406, description = "The time is outside of what is kept at that granularity."), ControlPlaneProblems),
)]
#[get("/consumption_history/projects")]
async fn list_consumption(
    caller: Caller,
    services: web::Data<Services>,
    query: web::Query<ConsumptionQuery>,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit::<ProjectsRead>()?;
    of_caller(&caller, query.org_id.as_deref())?;
    let asked = Asked::read(&query, &METRICS, services.clock.now())?;
    let after = query.cursor.as_deref().filter(|it| !it.is_empty());
    let after = after.map(|it| services.cursors.open("consumption", it)).transpose()?;
    let limit = limit(query.limit, 10, 100)?;
    let filter = ProjectFilter { after, limit, ..ProjectFilter::default() };
    let named = named(query.project_ids.as_deref())?;
    let span = (asked.from, asked.to);
    let found = services
        .control_plane
        .consumption(&permit, named.as_deref(), &filter, asked.granularity, span)
        .await?;
    let body = |(project, frames): &(Project, Vec<Frame>)| json!({ "project_id": project.id.as_str(), "periods": asked.periods(project.number, frames) });
    let mut answer = json!({ "projects": found.iter().map(body).collect::<Vec<_>>() });
    if let Some((last, _)) = found.last().filter(|_| named.is_none()) {
        let cursor = services.cursors.seal("consumption", place(last.created_at, last.number));
        answer["pagination"] = json!({ "cursor": cursor });
    }
    Ok(HttpResponse::Ok().json(answer))
}

/// Read the consumption of the organization
///
/// Of all its projects together. Needs the scope `projects:read`.
#[utoipa::path(
    tag = "consumption",
    params(ConsumptionQuery),
    responses((status = 200, description = "`periods`."), (status = 406, description = "The time is outside of what is kept at that granularity."), ControlPlaneProblems),
)]
#[get("/consumption_history/account")]
async fn get_account_consumption(
    caller: Caller,
    services: web::Data<Services>,
    query: web::Query<ConsumptionQuery>,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit::<ProjectsRead>()?;
    of_caller(&caller, query.org_id.as_deref())?;
    let asked = Asked::read(&query, &METRICS, services.clock.now())?;
    let plane = &services.control_plane;
    let all = plane.all_consumption(&permit, asked.granularity, (asked.from, asked.to)).await?;
    let mut together: Vec<Frame> = Vec::new();
    for frame in all {
        let same = together.iter_mut().find(|it| it.begin == frame.begin);
        let Some(sum) = same else {
            together.push(frame);
            continue;
        };
        let (one, other) = (sum.used, frame.used);
        sum.used = Used {
            active_ms: one.active_ms + other.active_ms,
            cpu_ms: one.cpu_ms + other.cpu_ms,
            written_bytes: one.written_bytes + other.written_bytes,
            transfer_bytes: one.transfer_bytes + other.transfer_bytes,
            logical_bytes: one.logical_bytes + other.logical_bytes,
            storage_bytes: one.storage_bytes + other.storage_bytes,
        };
        sum.storage_bytes_hours += frame.storage_bytes_hours;
        sum.logical_bytes_hours += frame.logical_bytes_hours;
    }
    together.sort_by_key(|it| it.begin);
    Ok(HttpResponse::Ok().json(json!({ "periods": asked.periods(0, &together) })))
}
