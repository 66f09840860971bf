use std::collections::BTreeMap;

use actix_web::{HttpResponse, get, web};
use jiff::Timestamp;
use plinth_control_plane::{BranchFrame, BranchId, Granularity, ProjectFilter, ProjectId};
use plinth_core::{Cursor, ProjectsRead};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::consumption::{Asked, ConsumptionQuery, by_month, named};
use super::limit;
use super::projects::{of_caller, place};
use crate::http::problem::ControlPlaneProblems;
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list_consumption_v2).service(list_branch_consumption_v2);
}

/// The figures that are measured.
const MEASURED: [&str; 5] = [
    "compute_unit_seconds",
    "root_branch_bytes_month",
    "child_branch_bytes_month",
    "instant_restore_bytes_month",
    "public_network_transfer_bytes",
];

/// What clients may ask for: those beyond the measured ones are left out of answers, and not told as nothing.
const KNOWN: [&str; 8] = [
    MEASURED[0],
    MEASURED[1],
    MEASURED[2],
    MEASURED[3],
    MEASURED[4],
    "private_network_transfer_bytes",
    "extra_branches_month",
    "snapshot_storage_bytes_month",
];

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct BranchesQuery {
    /// Only these branches, with commas between them.
    branch_ids: Option<String>,
}

/// What was used in a frame, by one branch or several.
#[derive(Clone, Copy, Default)]
struct Sum {
    cpu_ms: i64,
    root_bytes_hours: i64,
    child_bytes_hours: i64,
    history_bytes_hours: i64,
    transfer_bytes: i64,
}

impl Sum {
    fn add(&mut self, it: &BranchFrame) {
        self.cpu_ms += it.frame.used.cpu_ms;
        self.transfer_bytes += it.frame.used.transfer_bytes;
        let bytes_hours =
            if it.is_root { &mut self.root_bytes_hours } else { &mut self.child_bytes_hours };
        *bytes_hours += it.frame.logical_bytes_hours;
        self.history_bytes_hours += it.frame.storage_bytes_hours - it.frame.logical_bytes_hours;
    }

    fn body(&self, asked: &Asked, begin: Timestamp) -> Value {
        let month = Granularity::Monthly.floor(begin);
        let hours = Granularity::Monthly.end_of(month).duration_since(month).as_hours().max(1);
        let value = |name: &str| match name {
            "compute_unit_seconds" => self.cpu_ms / 1000,
            "root_branch_bytes_month" => self.root_bytes_hours / hours,
            "child_branch_bytes_month" => self.child_bytes_hours / hours,
            "public_network_transfer_bytes" => self.transfer_bytes,
            _ => self.history_bytes_hours / hours,
        };
        let metrics = asked.metrics.iter().filter(|it| MEASURED.contains(it));
        let metrics: Vec<_> =
            metrics.map(|it| json!({ "metric_name": it, "value": value(it) })).collect();
        json!({
            "timeframe_start": begin, "timeframe_end": asked.granularity.end_of(begin),
            "metrics": metrics,
        })
    }
}

fn periods<'a>(
    asked: &Asked,
    number: i64,
    frames: impl Iterator<Item = &'a BranchFrame>,
) -> Vec<Value> {
    let mut sums = BTreeMap::<Timestamp, Sum>::new();
    for it in frames {
        sums.entry(it.frame.begin).or_default().add(it);
    }
    by_month(number, sums.iter().map(|(begin, sum)| (*begin, sum.body(asked, *begin))))
}

/// Read the consumption of projects, second version
///
/// `compute_unit_seconds` is the time of a core that their Postgres processes took; `root_branch_bytes_month` and
/// `child_branch_bytes_month` are the sizes of the data in branches, and `instant_restore_bytes_month` of the log, archives and
/// base copies, as parts of a month. `public_network_transfer_bytes` is what went through their endpoints, both ways. What is not measured (snapshots, the number of branches) is left out of the answer.
/// Needs the scope `projects:read`.
#[utoipa::path(
    tag = "consumption",
    params(ConsumptionQuery),
    responses((status = 200, description = "`projects`, and `pagination.cursor` while there may be more."), (status = 406, description = "The time is outside of what is kept at that granularity."), ControlPlaneProblems),
)]
#[get("/consumption_history/v2/projects")]
async fn list_consumption_v2(
    caller: Caller,
    services: web::Data<Services>,
    query: web::Query<ConsumptionQuery>,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit::<ProjectsRead>()?;
    of_caller(&caller, query.org_id.as_deref())?;
    let asked = Asked::read(&query, &KNOWN, services.clock.now())?;
    let after = query.cursor.as_deref().filter(|it| !it.is_empty());
    let after = after.map(|it| services.cursors.open("consumption", it)).transpose()?;
    let limit = limit(query.limit, 10, 100)?;
    let filter = ProjectFilter { after, limit, ..ProjectFilter::default() };
    let named = named(query.project_ids.as_deref())?;
    let span = (asked.from, asked.to);
    let plane = &services.control_plane;
    let (projects, frames) = plane
        .consumption_by_branch(&permit, named.as_deref(), &filter, asked.granularity, span)
        .await?;
    let body = |it: &plinth_control_plane::Project| {
        let own = frames.iter().filter(|frame| frame.frame.project == it.id);
        json!({ "project_id": it.id.as_str(), "periods": periods(&asked, it.number, own) })
    };
    let mut answer = json!({ "projects": projects.iter().map(body).collect::<Vec<_>>() });
    if let Some(last) = projects.last().filter(|_| named.is_none()) {
        answer["pagination"] = json!({ "cursor": services.cursors.seal("consumption", place(last.created_at, last.number)) });
    }
    Ok(HttpResponse::Ok().json(answer))
}

/// Read the consumption of branches
///
/// Of those of the projects in `project_ids` of which something is known in that time, also if they were deleted since; by
/// project and branch. The figures are those of projects. Needs the scope `projects:read`.
#[utoipa::path(
    tag = "consumption",
    params(ConsumptionQuery, BranchesQuery),
    responses((status = 200, description = "`branches`, and `pagination.cursor` while there are more."), (status = 406, description = "The time is outside of what is kept at that granularity."), ControlPlaneProblems),
)]
#[get("/consumption_history/v2/branches")]
async fn list_branch_consumption_v2(
    caller: Caller,
    services: web::Data<Services>,
    query: web::Query<ConsumptionQuery>,
    of: web::Query<BranchesQuery>,
) -> Result<HttpResponse, Problem> {
    const LIST: &str = "consumption of branches";
    let permit = caller.permit::<ProjectsRead>()?;
    of_caller(&caller, query.org_id.as_deref())?;
    let asked = Asked::read(&query, &KNOWN, services.clock.now())?;
    let named = named(query.project_ids.as_deref())?.ok_or_else(|| {
        let rule = "is required: one to a hundred projects";
        Problem::invalid(format!("project_ids {rule}"), json!({ "project_ids": rule }))
    })?;
    let wanted: Option<Vec<&str>> = of
        .branch_ids
        .as_deref()
        .filter(|it| !it.is_empty())
        .map(|it| it.split(',').map(str::trim).collect());
    let limit = limit(query.limit, 100, 1000)? as usize;
    let begin = query.cursor.as_deref().filter(|it| !it.is_empty());
    let begin = begin.map(|it| services.cursors.open(LIST, it)).transpose()?;
    let begin = begin.map_or(0, |it| usize::try_from(it.id.as_u128()).unwrap_or(usize::MAX));
    let filter = ProjectFilter::default();
    let span = (asked.from, asked.to);
    let plane = &services.control_plane;
    let (projects, frames) = plane
        .consumption_by_branch(&permit, Some(&named), &filter, asked.granularity, span)
        .await?;
    let mut branches = BTreeMap::<(&ProjectId, &BranchId), Vec<&BranchFrame>>::new();
    for it in &frames {
        if wanted.as_ref().is_none_or(|wanted| wanted.contains(&it.branch.as_str())) {
            branches.entry((&it.frame.project, &it.branch)).or_default().push(it);
        }
    }
    let page = branches.iter().skip(begin).take(limit);
    let bodies: Vec<_> = page
        .map(|((project, branch), own)| {
            let number = projects.iter().find(|it| it.id == **project).map_or(0, |it| it.number);
            json!({
                "project_id": project.as_str(), "branch_id": branch.as_str(),
                "periods": periods(&asked, number, own.iter().copied()),
            })
        })
        .collect();
    let end = begin.saturating_add(bodies.len());
    let mut answer = json!({ "branches": bodies });
    if end < branches.len() {
        let id = Uuid::from_u128(end as u128);
        let cursor = Cursor { created_at: asked.from, id };
        answer["pagination"] = json!({ "cursor": services.cursors.seal(LIST, cursor) });
    }
    Ok(HttpResponse::Ok().json(answer))
}
