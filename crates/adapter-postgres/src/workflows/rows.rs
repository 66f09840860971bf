//! From rows to what they mean.

use std::sync::Arc;

use plinth_core::{OrgId, StoreError, UserId};
use plinth_queries::QueryId;
use plinth_workflows::condition::Verdict;
use plinth_workflows::{
    Attempt, EventId, Published, Run, RunId, RunState, RunStep, TriggerEvent, Workflow, WorkflowId,
};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Json};

use crate::database::internal;

pub(super) const WORKFLOW: &str =
    "id, org_id, name, description, owner_id, enabled, paused_at, paused_why, failures, draft,
    published, trigger_kind, next_slot, hook_number, revision, created_at, updated_at";

pub(super) const RUN: &str = "id, org_id, workflow_id, version, state, trigger_kind, slot, verdict, error, starts, created_at,
    started_at, ended_at";

fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, StoreError> {
    row.try_get(column).map_err(internal)
}

pub(super) fn workflow(row: &Row) -> Result<Workflow, StoreError> {
    let paused_at: Option<_> = get(row, "paused_at")?;
    let paused_why: Option<String> = get(row, "paused_why")?;
    Ok(Workflow {
        id: WorkflowId::from_uuid(get(row, "id")?),
        org: OrgId::from_uuid(get(row, "org_id")?),
        name: get(row, "name")?,
        description: get(row, "description")?,
        owner: UserId::from_uuid(get(row, "owner_id")?),
        enabled: get(row, "enabled")?,
        paused: paused_at.zip(paused_why),
        failures: get(row, "failures")?,
        draft: get::<Json<_>>(row, "draft")?.0,
        published: get(row, "published")?,
        trigger: get(row, "trigger_kind")?,
        next_slot: get(row, "next_slot")?,
        hook_number: get(row, "hook_number")?,
        revision: get(row, "revision")?,
        created_at: get(row, "created_at")?,
        updated_at: get(row, "updated_at")?,
    })
}

pub(super) fn published(row: &Row) -> Result<Published, StoreError> {
    Ok(Published {
        number: get(row, "number")?,
        definition: get::<Json<_>>(row, "definition")?.0,
        meant: get::<Option<Json<_>>>(row, "meant")?.map(|it| it.0),
        by: UserId::from_uuid(get(row, "published_by")?),
        at: get(row, "published_at")?,
        concurrency: get(row, "concurrency")?,
    })
}

pub(super) fn run(row: &Row) -> Result<Run, StoreError> {
    let state: &str = get(row, "state")?;
    let state = RunState::ALL.into_iter().find(|it| it.as_str() == state);
    Ok(Run {
        id: RunId::from_uuid(get(row, "id")?),
        org: OrgId::from_uuid(get(row, "org_id")?),
        workflow: WorkflowId::from_uuid(get(row, "workflow_id")?),
        version: get(row, "version")?,
        state: state.ok_or_else(|| internal("a run of no state"))?,
        trigger: get(row, "trigger_kind")?,
        slot: get(row, "slot")?,
        verdict: verdict_of(get(row, "verdict")?)?,
        error: get(row, "error")?,
        starts: get(row, "starts")?,
        created_at: get(row, "created_at")?,
        started_at: get(row, "started_at")?,
        ended_at: get(row, "ended_at")?,
    })
}

pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "met",
        Verdict::NotMet => "not_met",
        Verdict::Unknown => "unknown",
    }
}

pub(super) fn verdict_of(text: Option<&str>) -> Result<Option<Verdict>, StoreError> {
    let all = [Verdict::Met, Verdict::NotMet, Verdict::Unknown];
    let find = |text: &str| all.into_iter().find(|it| verdict(*it) == text);
    text.map(|text| find(text).ok_or_else(|| internal(format!("no verdict: {text}")))).transpose()
}

pub(super) fn step(row: &Row) -> Result<RunStep, StoreError> {
    Ok(RunStep {
        position: get(row, "position")?,
        name: get(row, "name")?,
        is_action: get(row, "is_action")?,
        succeeded: get(row, "succeeded")?,
        result: get::<Option<Json<_>>>(row, "result")?.map(|it| Arc::new(it.0)),
        query: get::<Option<_>>(row, "query_id")?.map(QueryId::from_uuid),
        error: get(row, "error")?,
        started_at: get(row, "started_at")?,
        ended_at: get(row, "ended_at")?,
    })
}

pub(super) fn attempt(row: &Row) -> Result<Attempt, StoreError> {
    Ok(Attempt {
        position: get(row, "position")?,
        number: get(row, "number")?,
        succeeded: get(row, "succeeded")?,
        request: get::<Option<Json<_>>>(row, "request")?.map(|it| it.0),
        response: get::<Option<Json<_>>>(row, "response")?.map(|it| it.0),
        error: get(row, "error")?,
        started_at: get(row, "started_at")?,
        ended_at: get(row, "ended_at")?,
    })
}

pub(super) fn event(row: &Row) -> Result<TriggerEvent, StoreError> {
    Ok(TriggerEvent {
        id: EventId::from_uuid(get(row, "id")?),
        workflow: WorkflowId::from_uuid(get(row, "workflow_id")?),
        kind: get(row, "kind")?,
        at: get(row, "at")?,
        source: get(row, "source")?,
        slot: get(row, "slot")?,
        run: get::<Option<_>>(row, "run_id")?.map(RunId::from_uuid),
        outcome: get(row, "outcome")?,
    })
}
