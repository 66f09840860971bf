use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use futures_util::future::join4;
use jiff::Timestamp;
use plinth_core::{OrgId, StoreError, UserId};
use plinth_tenancy::outbox::{Letter, LetterTo, Message};
use plinth_workflows::events::EventKind;
use plinth_workflows::writes::Approval;
use plinth_workflows::{
    Advance, Ask, Attempt, Round, RunEnd, RunId, RunQueue, RunState, TakeLimits, Taken, Then,
    WorkflowId,
};
use serde_json::{Value, json};
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use super::{PostgresRuns, approvals, rows, runs};
use crate::database::{internal, store};
use crate::{events, outbox};

/// After so many failures in a row a workflow stands still.
const MOST_FAILURES: i32 = 10;

/// How long an error is kept, in characters.
const ERROR_CHARS: usize = 1_000;

#[async_trait]
impl RunQueue for PostgresRuns {
    async fn take(&self, limits: &TakeLimits) -> Result<Round, StoreError> {
        let most = i32::try_from(limits.most).unwrap_or(i32::MAX);
        let (after_org, after_workflow) = (limits.after.0.as_uuid(), limits.after.1.as_uuid());
        let take = "SELECT taken_org, taken_run, taken_fence
             FROM take_workflow_runs($1, make_interval(secs => $2), $3, $4, $5)";
        let parameters: [&(dyn ToSql + Sync); 5] = [
            &most,
            &limits.lease.as_secs_f64(),
            &limits.per_organization,
            &after_org,
            &after_workflow,
        ];
        let mut order: HashMap<Uuid, usize> = HashMap::new();
        let mut by_org: BTreeMap<OrgId, Vec<(Uuid, i64)>> = BTreeMap::new();
        let (mut is_short, mut is_busy) = (false, false);
        for row in self.database.rows_of_nobody(take, &parameters).await? {
            let org = row.try_get::<_, Option<Uuid>>(0).map_err(internal)?;
            let run = row.try_get::<_, Option<Uuid>>(1).map_err(internal)?;
            match (org, run) {
                (Some(org), Some(run)) => {
                    order.insert(run, order.len());
                    let fence = row.try_get(2).map_err(internal)?;
                    by_org.entry(OrgId::from_uuid(org)).or_default().push((run, fence));
                }
                (Some(_), None) => is_busy = true,
                (None, _) => is_short = true,
            }
        }
        let mut runs = Vec::with_capacity(order.len());
        for (org, held) in by_org {
            // From here on as everywhere: in the organization's own view.
            match self.read_taken(org, &held).await {
                Ok(read) => runs.extend(read),
                // Theirs go on when the lease is over; nobody else's wait for that.
                Err(err) => {
                    let error = plinth_core::chain(&err);
                    tracing::warn!(error, %org, "runs that were taken cannot be read");
                }
            }
        }
        runs.sort_by_key(|it| order.get(&it.id.as_uuid()).copied());
        Ok(Round { runs, is_short, is_busy })
    }

    async fn keep(&self, held: &[(RunId, i64)], lease: Duration) -> Result<Vec<RunId>, StoreError> {
        let ids: Vec<Uuid> = held.iter().map(|it| it.0.as_uuid()).collect();
        let fences: Vec<i64> = held.iter().map(|it| it.1).collect();
        let keep = "SELECT keep_workflow_runs($1, $2, make_interval(secs => $3))";
        let parameters: [&(dyn ToSql + Sync); 3] = [&ids, &fences, &lease.as_secs_f64()];
        let kept = self.database.rows_of_nobody(keep, &parameters).await?;
        Ok(kept.iter().map(|row| RunId::from_uuid(row.get(0))).collect())
    }

    async fn begin(
        &self,
        org: OrgId,
        run: RunId,
        fence: i64,
        attempt: &Attempt,
    ) -> Result<bool, StoreError> {
        let insert = "INSERT INTO workflow_run_attempts (org_id, run_id, position, fence, number, started_at)
             SELECT org_id, id, $4, $3, $5, $6 FROM workflow_runs
             WHERE org_id = $1 AND id = $2 AND fence = $3 AND state = 'running' AND done = $4 FOR SHARE";
        self.database
            .for_org(org, async |tx| {
                let insert = tx.prepare_cached(insert).await.map_err(store)?;
                let parameters: [&(dyn ToSql + Sync); 6] = [
                    &org.as_uuid(),
                    &run.as_uuid(),
                    &fence,
                    &attempt.position,
                    &attempt.number,
                    &attempt.started_at,
                ];
                Ok(tx.execute(&insert, &parameters).await.map_err(store)? == 1)
            })
            .await
    }

    async fn begun(
        &self,
        org: OrgId,
        run: RunId,
        position: i32,
    ) -> Result<Option<Timestamp>, StoreError> {
        let query = "SELECT min(started_at) FROM workflow_run_attempts
             WHERE org_id = $1 AND run_id = $2 AND position = $3 AND succeeded IS NULL";
        self.database
            .for_org(org, async |tx| {
                let query = tx.prepare_cached(query).await.map_err(store)?;
                let row = tx.query_one(&query, &[&org.as_uuid(), &run.as_uuid(), &position]).await;
                row.map_err(store)?.try_get(0).map_err(internal)
            })
            .await
    }

    async fn approvals(&self, org: OrgId, run: RunId) -> Result<Vec<Approval>, StoreError> {
        self.database.for_org(org, async |tx| approvals::all(tx, org, run).await).await
    }

    async fn ask(
        &self,
        org: OrgId,
        run: RunId,
        fence: i64,
        wanted: &Ask,
    ) -> Result<bool, StoreError> {
        let now = self.clock.now();
        self.database
            .for_org(org, async |tx| approvals::ask(tx, org, run, fence, wanted, now).await)
            .await
    }

    async fn advance(&self, org: OrgId, all: &[Advance]) -> Result<Vec<bool>, StoreError> {
        let now = self.clock.now();
        let work = async |tx: &Transaction<'_>| {
            let had = write_runs(tx, org, all).await?;
            let ours: Vec<&Advance> = all.iter().filter(|it| had.contains_key(&held(it))).collect();
            let ends: Vec<_> = ours
                .iter()
                .filter_map(|it| match &it.then {
                    Then::End(end) => Some((had[&held(it)], it.run, end)),
                    Then::Continue | Then::Again { .. } => None,
                })
                .collect();
            // None of them needs what another answers: they are sent at once.
            let (steps, attempts, letters, announced) = join4(
                write_steps(tx, org, &ours),
                write_attempts(tx, org, &ours),
                tell(tx, org, &ends, now),
                announce(tx, org, &ends, now),
            )
            .await;
            steps?;
            attempts?;
            announced?;
            for letter in letters? {
                outbox::put(tx, &letter).await?;
            }
            let had = all.iter().map(|it| had.contains_key(&held(it))).collect();
            Ok::<Vec<bool>, StoreError>(had)
        };
        // Results of steps are flushed with whatever is written next: that an action begins, or that the run ends.
        if all.iter().all(Advance::may_be_repeated) {
            self.database.for_org_unflushed(org, work).await
        } else {
            self.database.for_org(org, work).await
        }
    }
}

impl PostgresRuns {
    /// Reads runs that were taken with those fences; without those that somebody else has taken meanwhile.
    async fn read_taken(&self, org: OrgId, held: &[(Uuid, i64)]) -> Result<Vec<Taken>, StoreError> {
        let (ids, fences): (Vec<Uuid>, Vec<i64>) = held.iter().copied().unzip();
        // A run of an older version acts for whoever published that one: nobody's rights are used for what another wrote.
        let query = "SELECT r.id, r.workflow_id, w.name, coalesce(v.published_by, w.owner_id), r.version, r.fence,
                 r.trigger_kind, r.payload, r.created_at, r.started_at, r.done, r.tried
             FROM unnest($2::uuid[], $3::bigint[]) AS it (id, fence)
             JOIN workflow_runs r ON r.id = it.id AND r.fence = it.fence
             JOIN workflows w ON w.org_id = r.org_id AND w.id = r.workflow_id
             LEFT JOIN workflow_versions v ON v.org_id = r.org_id AND v.workflow_id = r.workflow_id
                 AND v.number = r.version
             WHERE r.org_id = $1 AND r.state = 'running'";
        let parameters: [&(dyn ToSql + Sync); 3] = [&org.as_uuid(), &ids, &fences];
        let found = self.database.rows_of_org(org, query, &parameters).await?;
        let mut taken = Vec::with_capacity(found.len());
        let mut begun = Vec::new();
        for row in &found {
            let id: Uuid = row.try_get(0).map_err(internal)?;
            if row.try_get::<_, i32>(10).map_err(internal)? > 0 {
                begun.push(id);
            }
            taken.push(Taken {
                org,
                id: RunId::from_uuid(id),
                workflow: WorkflowId::from_uuid(row.try_get(1).map_err(internal)?),
                workflow_name: row.try_get(2).map_err(internal)?,
                owner: UserId::from_uuid(row.try_get(3).map_err(internal)?),
                version: row.try_get(4).map_err(internal)?,
                fence: row.try_get(5).map_err(internal)?,
                trigger: row.try_get(6).map_err(internal)?,
                // One that cannot be read must not hold up the others that were taken with it.
                payload: row.try_get::<_, Option<Json<_>>>(7).ok().flatten().map(|it| it.0),
                created_at: row.try_get(8).map_err(internal)?,
                started_at: row.try_get(9).map_err(internal)?,
                done: Vec::new(),
                tried: row.try_get(11).map_err(internal)?,
            });
        }
        if !begun.is_empty() {
            let mut done: HashMap<RunId, Vec<_>> = HashMap::new();
            let steps = async |tx: &Transaction<'_>| runs::steps(tx, org, &begun).await;
            for (run, step) in self.database.for_org(org, steps).await? {
                done.entry(run).or_default().push(step);
            }
            for it in &mut taken {
                it.done = done.remove(&it.id).unwrap_or_default();
            }
        }
        Ok(taken)
    }
}

/// A run as one worker has it: another that lost it may write about it in the same moment.
fn held(it: &Advance) -> (Uuid, i64) {
    (it.run.as_uuid(), it.fence)
}

/// Moves runs on; gives those that the worker still had, with their workflows.
async fn write_runs(
    tx: &Transaction<'_>,
    org: OrgId,
    all: &[Advance],
) -> Result<HashMap<(Uuid, i64), WorkflowId>, StoreError> {
    let update = "UPDATE workflow_runs r SET
             state = it.state,
             lease_until = CASE WHEN it.state = 'running' THEN r.lease_until END,
             due_at = CASE WHEN it.state = 'queued' THEN db_now() + make_interval(secs => it.pause) ELSE r.due_at END,
             done = r.done + it.done,
             tried = CASE WHEN it.done > 0 THEN 0 ELSE r.tried + it.tried END,
             verdict = coalesce(it.verdict, r.verdict),
             error = it.error,
             ended_at = CASE WHEN it.state NOT IN ('running', 'queued') THEN db_now() END
         FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::float8[], $6::integer[], $7::integer[], $8::text[], $9::text[],
             $10::integer[]) AS it (id, fence, state, pause, done, tried, verdict, error, stored)
         WHERE r.org_id = $1 AND r.id = it.id AND r.fence = it.fence AND r.state = 'running'
             AND r.done = it.stored
         RETURNING r.id, r.fence, r.workflow_id";
    let update = tx.prepare_cached(update).await.map_err(store)?;
    let end = |it: &Advance| match &it.then {
        Then::End(end) => Some(end.clone()),
        Then::Continue | Then::Again { .. } => None,
    };
    let ids: Vec<Uuid> = all.iter().map(|it| it.run.as_uuid()).collect();
    let fences: Vec<i64> = all.iter().map(|it| it.fence).collect();
    let states: Vec<&str> = all
        .iter()
        .map(|it| match &it.then {
            Then::Continue => RunState::Running.as_str(),
            Then::Again { .. } => RunState::Queued.as_str(),
            Then::End(end) => end.state.as_str(),
        })
        .collect();
    let pauses: Vec<f64> = all
        .iter()
        .map(|it| match &it.then {
            Then::Again { pause } => pause.as_secs_f64(),
            Then::Continue | Then::End(_) => 0.0,
        })
        .collect();
    let done: Vec<i32> = all.iter().map(|it| i32::from(it.step.is_some())).collect();
    let tried: Vec<i32> = all.iter().map(|it| i32::from(it.attempt.is_some())).collect();
    let verdicts: Vec<Option<&str>> =
        all.iter().map(|it| end(it)?.verdict.map(rows::verdict)).collect();
    let errors: Vec<Option<String>> =
        all.iter().map(|it| end(it)?.error.as_deref().map(storable)).collect();
    let stored: Vec<i32> = all.iter().map(|it| it.stored).collect();
    let parameters: [&(dyn ToSql + Sync); 10] = [
        &org.as_uuid(),
        &ids,
        &fences,
        &states,
        &pauses,
        &done,
        &tried,
        &verdicts,
        &errors,
        &stored,
    ];
    let ours = tx.query(&update, &parameters).await.map_err(store)?;
    let of = |row: &Row| ((row.get(0), row.get(1)), WorkflowId::from_uuid(row.get(2)));
    Ok(ours.iter().map(of).collect())
}

async fn write_steps(tx: &Transaction<'_>, org: OrgId, all: &[&Advance]) -> Result<(), StoreError> {
    let steps: Vec<_> = all.iter().filter_map(|it| Some((it.run, it.step.as_ref()?))).collect();
    if steps.is_empty() {
        return Ok(());
    }
    let insert = "INSERT INTO workflow_run_steps
             (org_id, run_id, position, name, is_action, succeeded, result, query_id, error, started_at, ended_at)
         SELECT $1, it.* FROM unnest($2::uuid[], $3::integer[], $4::text[], $5::boolean[], $6::boolean[], $7::jsonb[],
             $8::uuid[], $9::text[], $10::timestamptz[], $11::timestamptz[]) AS it";
    let insert = tx.prepare_cached(insert).await.map_err(store)?;
    let runs: Vec<Uuid> = steps.iter().map(|it| it.0.as_uuid()).collect();
    let positions: Vec<i32> = steps.iter().map(|it| it.1.position).collect();
    let names: Vec<&str> = steps.iter().map(|it| it.1.name.as_str()).collect();
    let are_actions: Vec<bool> = steps.iter().map(|it| it.1.is_action).collect();
    let succeeded: Vec<bool> = steps.iter().map(|it| it.1.succeeded).collect();
    let results: Vec<Option<Json<_>>> =
        steps.iter().map(|it| it.1.result.as_ref().map(Json)).collect();
    let queries: Vec<Option<Uuid>> =
        steps.iter().map(|it| it.1.query.map(plinth_queries::QueryId::as_uuid)).collect();
    let errors: Vec<Option<String>> =
        steps.iter().map(|it| it.1.error.as_deref().map(storable)).collect();
    let started: Vec<_> = steps.iter().map(|it| it.1.started_at).collect();
    let ended: Vec<_> = steps.iter().map(|it| it.1.ended_at).collect();
    let parameters: [&(dyn ToSql + Sync); 11] = [
        &org.as_uuid(),
        &runs,
        &positions,
        &names,
        &are_actions,
        &succeeded,
        &results,
        &queries,
        &errors,
        &started,
        &ended,
    ];
    tx.execute(&insert, &parameters).await.map_err(store)?;
    Ok(())
}

async fn write_attempts(
    tx: &Transaction<'_>,
    org: OrgId,
    all: &[&Advance],
) -> Result<(), StoreError> {
    let tries: Vec<_> =
        all.iter().filter_map(|it| Some((it.run, it.fence, it.attempt.as_ref()?))).collect();
    if tries.is_empty() {
        return Ok(());
    }
    let write = "INSERT INTO workflow_run_attempts
             (org_id, run_id, position, fence, number, succeeded, request, response, error, started_at, ended_at)
         SELECT $1, it.* FROM unnest($2::uuid[], $3::integer[], $4::bigint[], $5::integer[], $6::boolean[], $7::jsonb[],
             $8::jsonb[], $9::text[], $10::timestamptz[], $11::timestamptz[]) AS it
         ON CONFLICT (org_id, run_id, position, fence, number) DO UPDATE SET
             succeeded = excluded.succeeded, request = excluded.request, response = excluded.response,
             error = excluded.error, ended_at = excluded.ended_at";
    let write = tx.prepare_cached(write).await.map_err(store)?;
    let runs: Vec<Uuid> = tries.iter().map(|it| it.0.as_uuid()).collect();
    let positions: Vec<i32> = tries.iter().map(|it| it.2.position).collect();
    let fences: Vec<i64> = tries.iter().map(|it| it.1).collect();
    let numbers: Vec<i32> = tries.iter().map(|it| it.2.number).collect();
    let succeeded: Vec<Option<bool>> = tries.iter().map(|it| it.2.succeeded).collect();
    let requests: Vec<Option<Json<_>>> =
        tries.iter().map(|it| it.2.request.as_ref().map(Json)).collect();
    let responses: Vec<Option<Json<_>>> =
        tries.iter().map(|it| it.2.response.as_ref().map(Json)).collect();
    let errors: Vec<Option<String>> =
        tries.iter().map(|it| it.2.error.as_deref().map(storable)).collect();
    let started: Vec<_> = tries.iter().map(|it| it.2.started_at).collect();
    let ended: Vec<_> = tries.iter().map(|it| it.2.ended_at).collect();
    let parameters: [&(dyn ToSql + Sync); 11] = [
        &org.as_uuid(),
        &runs,
        &positions,
        &fences,
        &numbers,
        &succeeded,
        &requests,
        &responses,
        &errors,
        &started,
        &ended,
    ];
    tx.execute(&write, &parameters).await.map_err(store)?;
    Ok(())
}

/// Counts failures, and says what workflows' owners have to hear: that it began, that it is over, that nothing goes on.
async fn tell(
    tx: &Transaction<'_>,
    org: OrgId,
    ends: &[(WorkflowId, RunId, &RunEnd)],
    now: jiff::Timestamp,
) -> Result<Vec<Message>, StoreError> {
    const OWNER: &str = "w.name, (SELECT u.email FROM members m JOIN users u ON u.id = m.user_id
             WHERE m.org_id = w.org_id AND m.user_id = w.owner_id) AS email";
    let to = |email: Option<String>| email.map_or(LetterTo::Managers, LetterTo::Address);
    let mut letters = Vec::new();
    // In one order whatever comes of them, so that two servers never wait for each other. Nothing is locked where nothing had
    // failed and nothing does: all runs of a workflow end here.
    let all: Vec<Uuid> = ends.iter().map(|it| it.0.as_uuid()).collect();
    let failed = ends.iter().filter(|it| it.2.state != RunState::Succeeded);
    let failed: Vec<Uuid> = failed.map(|it| it.0.as_uuid()).collect();
    let lock = "SELECT FROM workflows WHERE org_id = $1 AND id = ANY ($2) AND (failures > 0 OR id = ANY ($3))
         ORDER BY id FOR NO KEY UPDATE";
    let lock = tx.prepare_cached(lock).await.map_err(store)?;
    tx.execute(&lock, &[&org.as_uuid(), &all, &failed]).await.map_err(store)?;
    let well: HashSet<Uuid> = ends
        .iter()
        .filter(|it| it.2.state == RunState::Succeeded)
        .map(|it| it.0.as_uuid())
        .collect();
    if !well.is_empty() {
        let update = format!(
            "UPDATE workflows w SET failures = 0 WHERE w.org_id = $1 AND w.id = ANY ($2) AND w.failures > 0 RETURNING {OWNER}"
        );
        let update = tx.prepare_cached(&update).await.map_err(store)?;
        let well: Vec<Uuid> = well.into_iter().collect();
        for row in tx.query(&update, &[&org.as_uuid(), &well]).await.map_err(store)? {
            let workflow = row.try_get(0).map_err(internal)?;
            let letter = Letter::WorkflowRecovered { workflow, at: now };
            letters.push(Message::mail(org, now, &to(row.try_get(1).map_err(internal)?), &letter));
        }
    }
    let mut badly: Vec<_> = ends.iter().filter(|it| it.2.state != RunState::Succeeded).collect();
    badly.sort_by_key(|it| it.0);
    let update = format!(
        "UPDATE workflows w SET failures = w.failures + 1,
             paused_at = CASE WHEN w.failures + 1 >= $3 OR $4::text IS NOT NULL THEN coalesce(w.paused_at, $5) ELSE w.paused_at END,
             paused_why = CASE WHEN w.failures + 1 >= $3 OR $4::text IS NOT NULL
                 THEN coalesce(w.paused_why, $4, $3 || ' runs failed in a row') ELSE w.paused_why END,
             next_slot = CASE WHEN w.failures + 1 >= $3 OR $4::text IS NOT NULL THEN NULL ELSE w.next_slot END
         FROM workflows before
         WHERE w.org_id = $1 AND w.id = $2 AND before.org_id = w.org_id AND before.id = w.id
         RETURNING {OWNER}, w.failures, w.paused_why, before.paused_at IS NULL AND w.paused_at IS NOT NULL"
    );
    for (workflow, run, end) in badly {
        let update = tx.prepare_cached(&update).await.map_err(store)?;
        let parameters: [&(dyn ToSql + Sync); 5] =
            [&org.as_uuid(), &workflow.as_uuid(), &MOST_FAILURES, &end.pause, &now];
        let Some(row) = tx.query_opt(&update, &parameters).await.map_err(store)? else { continue };
        let name: String = row.try_get(0).map_err(internal)?;
        let email: Option<String> = row.try_get(1).map_err(internal)?;
        let failures: i32 = row.try_get(2).map_err(internal)?;
        let why: Option<String> = row.try_get(3).map_err(internal)?;
        let is_new: Option<bool> = row.try_get(4).map_err(internal)?;
        if is_new == Some(true) {
            // Of an owner who left, the managers hear.
            let to = if end.pause.is_some() { LetterTo::Managers } else { to(email) };
            let reason = why.unwrap_or_default();
            let data = json!({ "workflow_id": workflow, "workflow": name, "reason": reason });
            events::announce(tx, org, EventKind::WorkflowPaused, || vec![(now, data)]).await?;
            let letter = Letter::WorkflowPaused { workflow: name, reason, at: now };
            letters.push(Message::mail(org, now, &to, &letter));
        } else if failures == 1 {
            let error = end.error.as_deref().map(storable).unwrap_or_default();
            let letter =
                Letter::WorkflowFailed { workflow: name, run: run.to_string(), error, at: now };
            letters.push(Message::mail(org, now, &to(email), &letter));
        }
    }
    Ok(letters)
}

/// Tells others' servers how runs ended.
async fn announce(
    tx: &Transaction<'_>,
    org: OrgId,
    ends: &[(WorkflowId, RunId, &RunEnd)],
    now: jiff::Timestamp,
) -> Result<(), StoreError> {
    if ends.is_empty() {
        return Ok(());
    }
    let (well, badly): (Vec<_>, Vec<_>) =
        ends.iter().partition(|it| it.2.state == RunState::Succeeded);
    if !well.is_empty() {
        let happened = || of_ends(&well, now);
        events::announce(tx, org, EventKind::WorkflowRunSucceeded, happened).await?;
    }
    if !badly.is_empty() {
        let happened = || of_ends(&badly, now);
        events::announce(tx, org, EventKind::WorkflowRunFailed, happened).await?;
    }
    Ok(())
}

fn of_ends(
    ends: &[&(WorkflowId, RunId, &RunEnd)],
    now: jiff::Timestamp,
) -> Vec<(jiff::Timestamp, Value)> {
    let event = |(workflow, run, end): &&(WorkflowId, RunId, &RunEnd)| {
        let mut data = json!({ "workflow_id": workflow, "run_id": run });
        if end.state != RunState::Succeeded {
            data["status"] = end.state.as_str().into();
            data["error"] = end.error.as_deref().map(storable).into();
        }
        (now, data)
    };
    ends.iter().map(event).collect()
}

/// An error as it can be kept: bounded, without NUL.
fn storable(text: &str) -> String {
    text.chars().filter(|it| *it != '\0').take(ERROR_CHARS).collect()
}
