use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use futures_util::future::join3;
use jiff::Timestamp;
use plinth_core::{OrgId, StoreError, UserId};
use plinth_tenancy::outbox::{Letter, LetterTo, Message};
use plinth_workflows::events::EventKind;
use plinth_workflows::writes::Approval;
use plinth_workflows::{
    Advance, Ask, Begin, Round, RunEnd, RunId, RunQueue, RunState, RunStep, StepResult, TakeLimits,
    Taken, Then, WorkflowId,
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

/// Takes what waits.
const TAKE: &str = "SELECT taken_org, taken_run, taken_fence
     FROM take_waiting_workflow_runs($1, make_interval(secs => $2), $3, $4, $5, $6)";

/// Takes first those whose worker lost its lease.
const TAKE_WITH_LOST: &str = "WITH lost AS MATERIALIZED (
         SELECT taken_org, taken_run, taken_fence FROM take_lost_workflow_runs($1, make_interval(secs => $2))
     )
     SELECT taken_org, taken_run, taken_fence FROM lost
     UNION ALL
     SELECT it.taken_org, it.taken_run, it.taken_fence
     FROM (SELECT $1 - count(*)::integer AS most FROM lost) room,
         LATERAL take_waiting_workflow_runs(room.most, make_interval(secs => $2), $3, $4, $5, $6) it";

#[async_trait]
impl RunQueue for PostgresRuns {
    async fn take(&self, limits: &TakeLimits) -> Result<Round, StoreError> {
        let most = i32::try_from(limits.most).unwrap_or(i32::MAX);
        let of_orgs: Vec<Uuid> = limits.after_workflows.iter().map(|it| it.0.as_uuid()).collect();
        let after: Vec<Uuid> = limits.after_workflows.iter().map(|it| it.1.as_uuid()).collect();
        let take = if limits.with_lost { TAKE_WITH_LOST } else { TAKE };
        let parameters: [&(dyn ToSql + Sync); 6] = [
            &most,
            &limits.lease.as_secs_f64(),
            &limits.per_organization,
            &limits.after.as_uuid(),
            &of_orgs,
            &after,
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
        Ok(Round { runs, taken: order.len(), is_short, is_busy })
    }

    async fn steps(&self, org: OrgId, run: RunId) -> Result<Option<Vec<RunStep>>, StoreError> {
        let parameters: [&(dyn ToSql + Sync); 2] = [&org.as_uuid(), &run.as_uuid()];
        let found = self.database.rows_of_org(org, runs::STEPS, &parameters).await?;
        let steps: Result<_, StoreError> = found.iter().map(rows::step).collect();
        let unread = |err| {
            let error = plinth_core::chain(&err);
            tracing::error!(run.id = %run, error, "what a run has done cannot be read");
        };
        Ok(steps.map_err(unread).ok())
    }

    async fn keep(&self, held: &[(RunId, i64)], lease: Duration) -> Result<Vec<RunId>, StoreError> {
        let ids: Vec<Uuid> = held.iter().map(|it| it.0.as_uuid()).collect();
        let fences: Vec<i64> = held.iter().map(|it| it.1).collect();
        let keep = "SELECT keep_workflow_runs($1, $2, make_interval(secs => $3))";
        let parameters: [&(dyn ToSql + Sync); 3] = [&ids, &fences, &lease.as_secs_f64()];
        let kept = self.database.rows_of_nobody(keep, &parameters).await?;
        Ok(kept.iter().map(|row| RunId::from_uuid(row.get(0))).collect())
    }

    async fn begin(&self, org: OrgId, all: &[Begin]) -> Result<Vec<bool>, StoreError> {
        let insert = "INSERT INTO workflow_run_attempts (org_id, run_id, position, fence, number, started_at)
             SELECT $1, it.run_id, it.position, it.fence, it.number, it.started_at
             FROM unnest($2::uuid[], $3::integer[], $4::bigint[], $5::integer[], $6::timestamptz[])
                 AS it (run_id, position, fence, number, started_at)
             CROSS JOIN LATERAL (
                 SELECT FROM workflow_runs WHERE org_id = $1 AND id = it.run_id AND fence = it.fence
                     AND state = 'running' AND done = it.position
                 OFFSET 0 FOR SHARE
             ) r
             RETURNING run_id, fence";
        // In one order everywhere, so that nobody waits for who waits for them.
        let mut ordered: Vec<&Begin> = all.iter().collect();
        ordered.sort_by_key(|it| it.run);
        let parameters: [&(dyn ToSql + Sync); 6] = [
            &org.as_uuid(),
            &column(&ordered, |it| it.run.as_uuid()),
            &column(&ordered, |it| it.attempt.position),
            &column(&ordered, |it| it.fence),
            &column(&ordered, |it| it.attempt.number),
            &column(&ordered, |it| it.attempt.started_at),
        ];
        let follow = async |_: &Transaction<'_>, rows: Vec<Row>| {
            let key = |row: &Row| -> Result<(Uuid, i64), StoreError> {
                Ok((row.try_get(0).map_err(internal)?, row.try_get(1).map_err(internal)?))
            };
            rows.iter().map(key).collect::<Result<HashSet<_>, _>>()
        };
        let begun = self.database.for_org_after(org, true, insert, &parameters, follow).await?;
        Ok(all.iter().map(|it| begun.contains(&(it.run.as_uuid(), it.fence))).collect())
    }

    async fn responses(
        &self,
        org: OrgId,
        run: RunId,
        position: i32,
    ) -> Result<Vec<Value>, StoreError> {
        let query = "SELECT response FROM workflow_run_attempts
             WHERE org_id = $1 AND run_id = $2 AND position = $3 AND response IS NOT NULL";
        let parameters: [&(dyn ToSql + Sync); 3] = [&org.as_uuid(), &run.as_uuid(), &position];
        let found = self.database.rows_of_org(org, query, &parameters).await?;
        found.iter().map(|row| Ok(row.try_get::<_, Json<Value>>(0).map_err(internal)?.0)).collect()
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
        // Results of steps are flushed with whatever is written next: that an action begins, or that the run ends.
        let flushed = !all.iter().all(Advance::may_be_repeated);
        let what = Columns::new(org, all);
        let follow = async |tx: &Transaction<'_>, rows: Vec<Row>| {
            let moved = Moved::read(&rows)?;
            let ours: Vec<&Advance> = all.iter().filter(|it| moved.had(it)).collect();
            let ends: Vec<_> = ours
                .iter()
                .filter_map(|it| match &it.then {
                    Then::End(end) => Some((moved.runs[&held(it)], it.run, end)),
                    Then::Continue | Then::Again { .. } => None,
                })
                .collect();
            let is_told =
                moved.had_failed || ends.iter().any(|it| it.2.state != RunState::Succeeded);
            let letters =
                async { if is_told { tell(tx, org, &ends, now).await } else { Ok(Vec::new()) } };
            let announced =
                async { if moved.is_heard { announce(tx, org, &ends, now).await } else { Ok(()) } };
            // None of them needs what another answers: they are sent at once.
            let (attempts, letters, announced) =
                join3(write_attempts(tx, org, &ours), letters, announced).await;
            attempts?;
            announced?;
            for letter in letters? {
                outbox::put(tx, &letter).await?;
            }
            Ok(all.iter().map(|it| moved.had(it)).collect())
        };
        self.database.for_org_after(org, flushed, ADVANCE, &what.parameters(), follow).await
    }
}

impl PostgresRuns {
    /// Reads runs that were taken with those fences; without those that somebody else has taken meanwhile.
    async fn read_taken(&self, org: OrgId, held: &[(Uuid, i64)]) -> Result<Vec<Taken>, StoreError> {
        let (ids, fences): (Vec<Uuid>, Vec<i64>) = held.iter().copied().unzip();
        // A run of an older version acts for whoever published that one: nobody's rights are used for what another wrote.
        // Each is looked up by its id, for which `OFFSET` stands there: the planner would go through all that are under way.
        let query = "WITH r AS MATERIALIZED (
                 SELECT r.* FROM unnest($2::uuid[], $3::bigint[]) AS it (id, fence)
                 CROSS JOIN LATERAL (SELECT * FROM workflow_runs WHERE org_id = $1 AND id = it.id OFFSET 0) r
                 WHERE r.fence = it.fence AND r.state = 'running'
             ), w AS MATERIALIZED (
                 SELECT which.*, w.name, coalesce(v.published_by, w.owner_id) AS owner_id
                 FROM (SELECT DISTINCT workflow_id, version FROM r) which
                 CROSS JOIN LATERAL (SELECT * FROM workflows WHERE org_id = $1 AND id = which.workflow_id OFFSET 0) w
                 LEFT JOIN LATERAL (
                     SELECT * FROM workflow_versions
                     WHERE org_id = $1 AND workflow_id = which.workflow_id AND number = which.version OFFSET 0
                 ) v ON true
             )
             SELECT r.id, r.workflow_id, w.name, w.owner_id, r.version, r.fence, r.trigger_kind, r.payload, r.created_at,
                 extract(epoch FROM db_now() - r.started_at)::float8, r.done, r.tried, r.verdict,
                 CASE WHEN r.lost_done = r.done AND r.lost_tried = r.tried THEN r.losses ELSE 0 END
             FROM r JOIN w ON w.workflow_id = r.workflow_id AND w.version = r.version";
        let parameters: [&(dyn ToSql + Sync); 3] = [&org.as_uuid(), &ids, &fences];
        let found = self.database.rows_of_org(org, query, &parameters).await?;
        let taken = |row: &Row| {
            let stored: i32 = row.try_get(10).map_err(internal)?;
            let passed: f64 = row.try_get(9).map_err(internal)?;
            Ok(Taken {
                org,
                id: RunId::from_uuid(row.try_get(0).map_err(internal)?),
                workflow: WorkflowId::from_uuid(row.try_get(1).map_err(internal)?),
                workflow_name: row.try_get(2).map_err(internal)?,
                owner: UserId::from_uuid(row.try_get(3).map_err(internal)?),
                version: row.try_get(4).map_err(internal)?,
                fence: row.try_get(5).map_err(internal)?,
                trigger: row.try_get(6).map_err(internal)?,
                // One that cannot be read must not hold up the others that were taken with it.
                payload: row.try_get::<_, Option<Json<_>>>(7).ok().flatten().map(|it| it.0),
                created_at: row.try_get(8).map_err(internal)?,
                passed: Duration::try_from_secs_f64(passed).unwrap_or_default(),
                stored: usize::try_from(stored).map_err(internal)?,
                done: Vec::new(),
                tried: row.try_get(11).map_err(internal)?,
                verdict: rows::verdict_of(row.try_get(12).map_err(internal)?)?,
                losses: row.try_get(13).map_err(internal)?,
            })
        };
        found.iter().map(taken).collect()
    }
}

/// A run as one worker has it: another that lost it may write about it in the same moment.
fn held(it: &Advance) -> (Uuid, i64) {
    (it.run.as_uuid(), it.fence)
}

/// Moves runs on and keeps the results of their steps, in one statement; says which the worker still had, of which
/// workflow, whether runs of that had failed before, and whether others' servers want to hear of their ends.
const ADVANCE: &str = "WITH moved AS MATERIALIZED (
         SELECT moved_run AS id, moved_fence AS fence, moved_workflow AS workflow_id, moved_to_end AS has_ended
         FROM advance_workflow_runs($2, $3, $4, $5, $6, $7, $8, $9, $10)
     ), kept AS (
         INSERT INTO workflow_run_steps
             (org_id, run_id, position, name, is_action, succeeded, result, query_id, error, started_at, ended_at)
         SELECT $1, it.run_id, it.position, it.name, it.is_action, it.succeeded, it.result, it.query_id, it.error,
             it.started_at, it.ended_at
         FROM unnest($11::uuid[], $12::bigint[], $13::integer[], $14::text[], $15::boolean[], $16::boolean[], $17::jsonb[],
             $18::uuid[], $19::text[], $20::timestamptz[], $21::timestamptz[])
             AS it (run_id, fence, position, name, is_action, succeeded, result, query_id, error, started_at, ended_at)
         JOIN moved ON moved.id = it.run_id AND moved.fence = it.fence
     )
     SELECT m.id, m.fence, m.workflow_id,
         EXISTS (SELECT FROM (SELECT DISTINCT workflow_id AS id FROM moved WHERE has_ended) it CROSS JOIN LATERAL
             (SELECT FROM workflows WHERE org_id = $1 AND id = it.id AND failures > 0 OFFSET 0) w),
         EXISTS (SELECT FROM event_subscriptions WHERE org_id = $1 AND enabled AND kinds && $22::text[])
     FROM moved m";

/// What [`ADVANCE`] did.
struct Moved {
    /// The runs that the worker still had, with their workflows.
    runs: HashMap<(Uuid, i64), WorkflowId>,
    /// Whether runs of a workflow of which one ended had failed before.
    had_failed: bool,
    /// Whether somebody subscribed to ends of runs.
    is_heard: bool,
}

impl Moved {
    fn read(rows: &[Row]) -> Result<Self, StoreError> {
        let mut moved = Self { runs: HashMap::new(), had_failed: false, is_heard: false };
        for row in rows {
            let run = (row.try_get(0).map_err(internal)?, row.try_get(1).map_err(internal)?);
            let workflow = WorkflowId::from_uuid(row.try_get(2).map_err(internal)?);
            moved.runs.insert(run, workflow);
            moved.had_failed |= row.try_get::<_, bool>(3).map_err(internal)?;
            moved.is_heard |= row.try_get::<_, bool>(4).map_err(internal)?;
        }
        Ok(moved)
    }

    fn had(&self, it: &Advance) -> bool {
        self.runs.contains_key(&held(it))
    }
}

/// The parameters of [`ADVANCE`], column by column.
struct Columns<'a> {
    org: Uuid,
    ids: Vec<Uuid>,
    fences: Vec<i64>,
    states: Vec<&'static str>,
    pauses: Vec<f64>,
    done: Vec<i32>,
    tried: Vec<i32>,
    verdicts: Vec<Option<&'static str>>,
    errors: Vec<Option<String>>,
    stored: Vec<i32>,
    steps: Steps<'a>,
    kinds: [&'static str; 2],
}

/// Those of them that are about steps.
struct Steps<'a> {
    runs: Vec<Uuid>,
    fences: Vec<i64>,
    positions: Vec<i32>,
    names: Vec<&'a str>,
    are_actions: Vec<bool>,
    succeeded: Vec<bool>,
    results: Vec<Option<Json<&'a StepResult>>>,
    queries: Vec<Option<Uuid>>,
    errors: Vec<Option<String>>,
    started: Vec<Timestamp>,
    ended: Vec<Timestamp>,
}

impl<'a> Columns<'a> {
    fn new(org: OrgId, all: &'a [Advance]) -> Self {
        let error = |it: &Advance| match &it.then {
            Then::End(end) => end.error.as_deref().map(storable),
            Then::Continue | Then::Again { .. } => None,
        };
        let state = |it: &Advance| match &it.then {
            Then::Continue => RunState::Running.as_str(),
            Then::Again { .. } => RunState::Queued.as_str(),
            Then::End(end) => end.state.as_str(),
        };
        let pause = |it: &Advance| match &it.then {
            Then::Again { pause } => pause.as_secs_f64(),
            Then::Continue | Then::End(_) => 0.0,
        };
        Self {
            org: org.as_uuid(),
            ids: column(all, |it| it.run.as_uuid()),
            fences: column(all, |it| it.fence),
            states: column(all, state),
            pauses: column(all, pause),
            done: column(all, |it| i32::from(it.step.is_some())),
            tried: column(all, |it| i32::from(it.attempt.is_some())),
            verdicts: column(all, |it| it.verdict.map(rows::verdict)),
            errors: column(all, error),
            stored: column(all, |it| it.stored),
            steps: Steps::new(all),
            kinds: [
                EventKind::WorkflowRunSucceeded.as_str(),
                EventKind::WorkflowRunFailed.as_str(),
            ],
        }
    }

    fn parameters(&self) -> [&(dyn ToSql + Sync); 22] {
        let steps = &self.steps;
        [
            &self.org,
            &self.ids,
            &self.fences,
            &self.stored,
            &self.states,
            &self.pauses,
            &self.done,
            &self.tried,
            &self.verdicts,
            &self.errors,
            &steps.runs,
            &steps.fences,
            &steps.positions,
            &steps.names,
            &steps.are_actions,
            &steps.succeeded,
            &steps.results,
            &steps.queries,
            &steps.errors,
            &steps.started,
            &steps.ended,
            &self.kinds,
        ]
    }
}

impl<'a> Steps<'a> {
    fn new(all: &'a [Advance]) -> Self {
        let all: Vec<_> = all.iter().filter_map(|it| Some((it, it.step.as_ref()?))).collect();
        let query = |it: &RunStep| it.query.map(plinth_queries::QueryId::as_uuid);
        Self {
            runs: column(&all, |it| it.0.run.as_uuid()),
            fences: column(&all, |it| it.0.fence),
            positions: column(&all, |it| it.1.position),
            names: column(&all, |it| it.1.name.as_str()),
            are_actions: column(&all, |it| it.1.is_action),
            succeeded: column(&all, |it| it.1.succeeded),
            results: column(&all, |it| it.1.result.as_deref().map(Json)),
            queries: column(&all, |it| query(it.1)),
            errors: column(&all, |it| it.1.error.as_deref().map(storable)),
            started: column(&all, |it| it.1.started_at),
            ended: column(&all, |it| it.1.ended_at),
        }
    }
}

fn column<'a, I, T>(all: &'a [I], of: impl Fn(&'a I) -> T) -> Vec<T> {
    all.iter().map(of).collect()
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
         RETURNING {OWNER}, w.failures, w.paused_why, before.paused_at IS NULL AND w.paused_at IS NOT NULL,
             EXISTS (SELECT FROM workflow_runs r
                 JOIN workflow_versions v ON v.org_id = r.org_id AND v.workflow_id = r.workflow_id AND v.number = r.version
                 WHERE r.org_id = $1 AND r.id = $6 AND v.published_by = w.owner_id)"
    );
    for (workflow, run, end) in badly {
        let update = tx.prepare_cached(&update).await.map_err(store)?;
        let parameters: [&(dyn ToSql + Sync); 6] =
            [&org.as_uuid(), &workflow.as_uuid(), &MOST_FAILURES, &end.pause, &now, &run.as_uuid()];
        let Some(row) = tx.query_opt(&update, &parameters).await.map_err(store)? else { continue };
        let name: String = row.try_get(0).map_err(internal)?;
        let email: Option<String> = row.try_get(1).map_err(internal)?;
        let failures: i32 = row.try_get(2).map_err(internal)?;
        let why: Option<String> = row.try_get(3).map_err(internal)?;
        let is_new: Option<bool> = row.try_get(4).map_err(internal)?;
        if is_new == Some(true) {
            runs::cancel_waiting(tx, org, *workflow).await?;
            // Of an owner who left, the managers hear.
            let to = if end.pause.is_some() { LetterTo::Managers } else { to(email) };
            let reason = why.unwrap_or_default();
            let data = json!({ "workflow_id": workflow, "workflow": name, "reason": reason });
            events::announce(tx, org, EventKind::WorkflowPaused, || vec![(now, data)]).await?;
            let letter = Letter::WorkflowPaused { workflow: name, reason, at: now };
            letters.push(Message::mail(org, now, &to, &letter));
        } else if failures == 1 {
            // Who took the workflow over is nobody who may see what was read as another; managers are.
            let is_theirs = email.is_none() || row.try_get(5).map_err(internal)?;
            let error = if is_theirs { &end.error } else { &end.told };
            let error = error.as_deref().map(storable).unwrap_or_default();
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
            // Whoever receives it is nobody who may see what was read.
            data["error"] = end.told.as_deref().map(storable).into();
        }
        (now, data)
    };
    ends.iter().map(event).collect()
}

/// An error as it can be kept: bounded, without NUL.
fn storable(text: &str) -> String {
    text.chars().filter(|it| *it != '\0').take(ERROR_CHARS).collect()
}
