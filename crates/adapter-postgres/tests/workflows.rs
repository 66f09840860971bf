//! Workflows and their runs over a real Postgres: the ports' contracts, many workers at once, and a long queue.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(clippy::print_stdout, reason = "counts are for whoever runs the tests")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use plinth_adapter_postgres::{
    Database, DatabaseUrl, PostgresListeners, PostgresRope, PostgresRuns, PostgresTenancy,
    PostgresWorkflows, migrate, migrations,
};
use plinth_core::{
    Clock, Credential, ManualClock, OrgId, Principal, ScopeSet, StoreError, SystemClock, UserId,
};
use plinth_queries::QueryId;
use plinth_tenancy::{MemberRole, RecordingMailer, Role, TenancyStore as _};
use plinth_testdb::TestDatabase;
use plinth_workflows::actions::Actions;
use plinth_workflows::alerts::testing::alert_store_contract;
use plinth_workflows::bell::Bell;
use plinth_workflows::definition::Step;
use plinth_workflows::events::testing::event_store_contract;
use plinth_workflows::hook::HookKey;
use plinth_workflows::secrets::testing::credential_store_contract;
use plinth_workflows::testing::{
    approval_contract, enqueue, limits, listener_contract, losses_contract, outage_contract, put,
    run_queue_contract, schedule_contract, workflow_store_contract,
};
use plinth_workflows::{
    Advance, Changed, Context, Fault, FitsRole, Found, Members, Outward, OutwardAnswer,
    OutwardCall, RunEnd, RunId, RunQueue as _, RunState, StepResult, StepRunner, Taken, Then,
    Worker, WorkerParts, WorkerSettings, WorkflowId, WorkflowStore as _,
};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_postgres::NoTls;

struct Ours {
    database: Database,
    store: PostgresWorkflows,
    queue: PostgresRuns,
    us: (OrgId, UserId),
    them: (OrgId, UserId),
    at: Timestamp,
    clock: Arc<ManualClock>,
    test: TestDatabase,
}

async fn ours(manual: bool) -> Ours {
    let key = format!("plinth {:?}", migrations());
    let test = TestDatabase::create_from_template(&key, async |draft| {
        migrate(&url(&draft.url())).await?;
        Ok(())
    })
    .await
    .unwrap();
    let at = "2026-01-01T00:00:30Z".parse().unwrap();
    let clock = Arc::new(ManualClock::at(at));
    let mut database = Database::open(&url(&test.url()), 8)
        .await
        .unwrap()
        .with_trail(plinth_tenancy::TrailKey::new([7; 32]));
    if manual {
        database = database.with_clock(clock.clone());
    }
    let tenancy = PostgresTenancy::new(database.clone());
    let mut people = Vec::new();
    for (name, email) in [("Ours", "ann@example.com"), ("Theirs", "bob@example.com")] {
        let (new, _) = plinth_tenancy::testing::owner(name, email, at);
        let entry = plinth_tenancy::testing::entry(new.organization.id, at);
        tenancy.found(&new, None, &entry).await.unwrap();
        people.push((new.organization.id, new.user.id));
    }
    let clock_of_letters: Arc<dyn Clock> = clock.clone();
    Ours {
        store: PostgresWorkflows::new(database.clone()),
        queue: PostgresRuns::new(database.clone(), clock_of_letters),
        database,
        us: people[0],
        them: people[1],
        at,
        clock,
        test,
    }
}

fn url(text: &str) -> DatabaseUrl {
    DatabaseUrl::parse(&text.to_owned().into()).unwrap()
}

impl Ours {
    /// Runs a query past all rules; gives its first column.
    async fn rows(&self, query: &str) -> Vec<String> {
        let (client, connection) =
            tokio_postgres::connect(&self.test.superuser_url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("SET search_path = plinth").await.unwrap();
        client.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }
}

#[tokio::test]
async fn workflows_keep_their_contract() {
    let ours = ours(true).await;
    workflow_store_contract(&ours.store, ours.us, ours.them, ours.at).await;
}

#[tokio::test]
async fn the_queue_keeps_its_contract() {
    let it = ours(true).await;
    let pass = |by| it.clock.advance(by);
    run_queue_contract(&it.store, &it.queue, it.us, it.them, it.at, pass).await;
}

#[tokio::test]
async fn lost_runs_are_counted() {
    let it = ours(true).await;
    losses_contract(&it.store, &it.queue, it.us, it.at, |by| it.clock.advance(by)).await;
}

#[tokio::test]
async fn approvals_keep_their_contract() {
    let it = ours(true).await;
    let pass = |by| it.clock.advance(by);
    approval_contract(&it.store, &it.queue, it.us, it.them, it.at, pass).await;
}

#[tokio::test]
async fn listeners_keep_their_contract() {
    let it = ours(true).await;
    let clock: Arc<dyn Clock> = it.clock.clone();
    let listeners = PostgresListeners::new(it.database.clone(), clock);
    let pass = |by| it.clock.advance(by);
    listener_contract(&it.store, &listeners, it.us, it.them, it.at, pass).await;
}

#[tokio::test]
async fn owners_hear_of_each_outage_once() {
    let it = ours(true).await;
    let letters = async || {
        it.rows("SELECT payload->'letter'->>'kind' FROM outbox ORDER BY created_at, id").await
    };
    // Letters of one moment come in any order.
    let sorted = async || {
        let mut kinds = letters().await;
        let order = ["workflow_failed", "workflow_recovered", "workflow_failed", "workflow_paused"];
        if kinds.len() <= order.len() {
            let mut expected: Vec<_> =
                order[..kinds.len()].iter().map(ToString::to_string).collect();
            let told = expected.clone();
            kinds.sort();
            expected.sort();
            if kinds == expected {
                return told;
            }
        }
        kinds
    };
    outage_contract(&it.store, &it.queue, it.us, it.at, sorted).await;
    let to = it.rows("SELECT DISTINCT payload->'to'->>'address' FROM outbox").await;
    assert_eq!(to, ["ann@example.com"]);
}

#[tokio::test]
async fn schedules_keep_their_contract() {
    let it = ours(true).await;
    schedule_contract(&it.store, it.us, it.them, it.at, |by| it.clock.advance(by)).await;
}

#[tokio::test]
async fn a_hundred_thousand_waiting_runs_of_one_make_nobody_else_wait() {
    let it = ours(false).await;
    let (ours, theirs) = (
        put(&it.store, it.us, "ours", it.at, 1000).await,
        put(&it.store, it.them, "theirs", it.at, 1000).await,
    );
    let many = format!(
        "INSERT INTO workflow_runs (id, org_id, workflow_id, version, state, trigger_kind, due_at, created_at)
         SELECT gen_random_uuid(), '{}', '{}', 1, 'queued', 'manual', now(), now() FROM generate_series(1, 100000)
         RETURNING 'x'",
        it.us.0.as_uuid(),
        ours.as_uuid()
    );
    assert_eq!(it.rows(&many).await.len(), 100_000);
    let mut waited = Vec::new();
    for _ in 0..20 {
        let queued = Instant::now();
        let id = enqueue(&it.store, it.them.0, theirs, it.at).await;
        loop {
            let taken = it.queue.take(&limits(16)).await.unwrap().runs;
            assert!(!taken.is_empty());
            if taken.iter().any(|it| it.id == id) {
                break;
            }
        }
        waited.push(queued.elapsed());
    }
    waited.sort_unstable();
    assert!(waited[19] <= Duration::from_secs(1), "{waited:?}");
}

/// Also where statistics are of a moment when all of them waited: then every other index of runs looks as good.
#[tokio::test]
async fn runs_that_have_ended_are_not_looked_at_when_others_are_taken() {
    let it = ours(false).await;
    let workflow = put(&it.store, it.us, "ours", it.at, 1000).await;
    let queue = async |many: u32| {
        let (org, workflow) = (it.us.0.as_uuid(), workflow.as_uuid());
        it.rows(&format!(
            "INSERT INTO workflow_runs (id, org_id, workflow_id, version, state, trigger_kind, due_at, created_at)
             SELECT gen_random_uuid(), '{org}', '{workflow}', 1, 'queued', 'manual', now(), now()
             FROM generate_series(1, {many})"
        ))
        .await;
    };
    queue(20_000).await;
    it.rows("ANALYZE workflow_runs").await;
    // Committed to the log at once, unlike what tests write otherwise: an index entry counts as dead only when its row's
    // end is in the log.
    it.rows(
        "WITH durable AS MATERIALIZED (SELECT set_config('synchronous_commit', 'on', true))
         UPDATE workflow_runs SET state = 'succeeded', ended_at = now() FROM durable",
    )
    .await;
    // Entries of indexes that were looked at, in this transaction.
    let take = "WITH taken AS MATERIALIZED (
             SELECT count(*) AS many FROM take_waiting_workflow_runs(32, '3 s', 1000, gen_random_uuid(), '{}', '{}')
             WHERE taken_run IS NOT NULL
         )
         SELECT max(many) || ' ' || (sum(pg_stat_get_xact_tuples_returned(indexrelid) + 0 * many) < 1000)
         FROM pg_index, taken WHERE indrelid = 'workflow_runs'::regclass";
    // The first that comes by takes away what the index of those that wait still has of the others; a later one, if
    // Postgres itself was reading in this database just then. A plan that looks at them looks at them each time.
    let mut seen = Vec::new();
    for _ in 0..20 {
        queue(5).await;
        seen.extend(it.rows(take).await);
        if seen.len() > 1 && seen.last().is_some_and(|it| it == "5 true") {
            return;
        }
    }
    panic!("each take looked at what has ended: {seen:?}");
}

/// Also where statistics say that hardly any is under way, as they do of a moment when none was.
#[tokio::test]
async fn moving_runs_on_looks_at_no_others_that_are_under_way() {
    let it = ours(false).await;
    let workflow = put(&it.store, it.us, "ours", it.at, 1000).await;
    it.rows("ANALYZE workflow_runs").await;
    let (org, workflow) = (it.us.0.as_uuid(), workflow.as_uuid());
    it.rows(&format!(
        "INSERT INTO workflow_runs (id, org_id, workflow_id, version, state, trigger_kind, due_at, created_at, lease_until, fence)
         SELECT gen_random_uuid(), '{org}', '{workflow}', 1, 'running', 'manual', now(), now(), now() + interval '1 h', n
         FROM generate_series(1, 500) n"
    ))
    .await;
    let advance = format!(
        "WITH org AS MATERIALIZED (SELECT set_config('plinth.org_id', '{org}', true)), these AS MATERIALIZED (
             SELECT array_agg(id) AS ids, array_agg(fence) AS fences, array_agg(0) AS none, array_agg('succeeded'::text) AS states,
                 array_agg(0::float8) AS pauses, array_agg(1) AS done, array_agg(NULL::text) AS texts
             FROM (SELECT id, fence FROM workflow_runs ORDER BY fence LIMIT 40) first, org
         ), before AS MATERIALIZED (
             SELECT sum(pg_stat_get_xact_tuples_returned(indexrelid) + 0 * cardinality(ids)) AS entries
             FROM pg_index, these WHERE indrelid = 'workflow_runs'::regclass
         ), moved AS MATERIALIZED (
             SELECT count(*) AS many FROM before, these, LATERAL advance_workflow_runs(
                 ids, fences, CASE WHEN entries >= 0 THEN none END, states, pauses, done, none, texts, texts)
         )
         SELECT max(many) || ' ' || (sum(pg_stat_get_xact_tuples_returned(indexrelid) + 0 * many) - max(entries) < 200)
         FROM pg_index, before, moved WHERE indrelid = 'workflow_runs'::regclass"
    );
    assert_eq!(it.rows(&advance).await, ["40 true"]);
}

#[tokio::test]
async fn workflows_take_turns_in_each_organization_by_themselves() {
    let it = ours(true).await;
    let mut workflows = Vec::new();
    for who in [it.us, it.us, it.us, it.them] {
        let name = format!("number {}", workflows.len());
        let workflow = put(&it.store, who, &name, it.at, 1000).await;
        for _ in 0..6 {
            enqueue(&it.store, who.0, workflow, it.at).await;
        }
        workflows.push(workflow);
    }
    // Rounds end with either organization, and each has one place in each.
    let mut round = limits(2);
    let mut taken: HashMap<WorkflowId, usize> = HashMap::new();
    let mut last: HashMap<OrgId, WorkflowId> = HashMap::new();
    for _ in 0..6 {
        for run in it.queue.take(&round).await.unwrap().runs {
            *taken.entry(run.workflow).or_default() += 1;
            last.insert(run.org, run.workflow);
            round.after = run.org;
        }
        round.after_workflows = last.iter().map(|(org, flow)| (*org, *flow)).collect();
    }
    let counts: Vec<_> = workflows.iter().map(|id| taken.get(id).copied()).collect();
    assert_eq!(counts, [Some(2), Some(2), Some(2), Some(6)]);
}

#[tokio::test]
async fn nobody_is_hidden_behind_workflows_that_are_at_their_limits() {
    let it = ours(true).await;
    let oldest = it.at - jiff::SignedDuration::from_hours(24);
    let waiting = put(&it.store, it.us, "the oldest", oldest, 1).await;
    for number in 0..257 {
        let name = format!("number {number}");
        let workflow = put(&it.store, it.us, &name, it.at, 1).await;
        for _ in 0..2 {
            enqueue(&it.store, it.us.0, workflow, it.at).await;
        }
    }
    let mut busy = 0;
    while busy < 257 {
        busy += it.queue.take(&limits(257)).await.unwrap().runs.len();
    }
    let one = enqueue(&it.store, it.us.0, waiting, it.at).await;
    let round = it.queue.take(&limits(10)).await.unwrap();
    assert_eq!(round.runs.iter().map(|it| it.id).collect::<Vec<_>>(), [one]);
    assert!(round.is_short, "and the others wait for a place");
}

#[tokio::test]
async fn leases_are_kept_also_while_somebody_holds_a_run() {
    let it = ours(false).await;
    let workflow = put(&it.store, it.us, "ours", it.at, 1000).await;
    for _ in 0..2 {
        enqueue(&it.store, it.us.0, workflow, it.at).await;
    }
    let taken = it.queue.take(&limits(2)).await.unwrap().runs;
    let held: Vec<_> = taken.iter().map(|run| (run.id, run.fence)).collect();
    let (mut holder, connection) =
        tokio_postgres::connect(&it.test.superuser_url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let holding = holder.transaction().await.unwrap();
    let lock = "SELECT FROM plinth.workflow_runs WHERE id = $1 FOR UPDATE";
    holding.execute(lock, &[&held[0].0.as_uuid()]).await.unwrap();
    let keeping = it.queue.keep(&held, Duration::from_hours(1));
    let kept = tokio::time::timeout(Duration::from_secs(10), keeping).await;
    let mut kept = kept.expect("it waits for nobody").unwrap();
    kept.sort();
    let mut all: Vec<_> = held.iter().map(|it| it.0).collect();
    all.sort();
    assert_eq!(kept, all, "both are still this worker's");
    let long = "SELECT id::text FROM workflow_runs WHERE lease_until > now() + interval '30 min'";
    assert_eq!(it.rows(long).await, [held[1].0.as_uuid().to_string()]);
    // What somebody else has by now is not.
    holding.rollback().await.unwrap();
    let stale = [(held[0].0, held[0].1 + 1), held[1]];
    let kept = it.queue.keep(&stale, Duration::from_hours(1)).await.unwrap();
    assert_eq!(kept, [held[1].0]);
}

#[tokio::test]
async fn keeping_leases_and_moving_runs_on_are_never_in_each_others_way() {
    let it = ours(false).await;
    let workflow = put(&it.store, it.us, "ours", it.at, 1000).await;
    let (org, workflow) = (it.us.0, workflow.as_uuid());
    it.rows(&format!(
        "INSERT INTO workflow_runs (id, org_id, workflow_id, version, state, trigger_kind, due_at, created_at)
         SELECT gen_random_uuid(), '{}', '{workflow}', 1, 'queued', 'manual', now(), now() FROM generate_series(1, 400)",
        org.as_uuid()
    ))
    .await;
    let taken = it.queue.take(&limits(400)).await.unwrap().runs;
    assert_eq!(taken.len(), 400);
    let all: Vec<_> = taken.iter().map(|run| (run.id, run.fence)).collect();
    let backwards: Vec<_> = all.iter().rev().copied().collect();
    let is_over = AtomicBool::new(false);
    let keeping = async |held: &[(RunId, i64)]| {
        while !is_over.load(Ordering::Relaxed) {
            it.queue.keep(held, Duration::from_mins(1)).await.unwrap();
        }
    };
    let moving = async {
        for batch in taken.chunks(20) {
            let end = |run: &Taken| Advance {
                run: run.id,
                fence: run.fence,
                stored: 0,
                step: None,
                attempt: None,
                verdict: None,
                then: Then::End(RunEnd {
                    state: RunState::Succeeded,
                    error: None,
                    told: None,
                    pause: None,
                }),
            };
            let ends: Vec<_> = batch.iter().map(end).collect();
            let moved = it.queue.advance(org, &ends).await.unwrap();
            assert!(moved.iter().all(|it| *it), "{moved:?}");
        }
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(keeping(&all), keeping(&backwards), moving);
    let ended = "SELECT count(*)::text FROM workflow_runs WHERE state = 'succeeded' AND lease_until IS NULL";
    assert_eq!(it.rows(ended).await, ["400"]);
}

/// By whom ever it is deleted: its age, its workflow's end, its organization's.
#[tokio::test]
async fn what_hangs_on_runs_goes_with_them_and_no_others_do() {
    let it = ours(false).await;
    let mut workflows = Vec::new();
    for (who, name) in [(it.us, "swept"), (it.us, "removed"), (it.them, "theirs")] {
        let workflow = put(&it.store, who, name, it.at, 1000).await;
        workflows.push(workflow.as_uuid());
        it.rows(&format!(
            "WITH runs AS (
                 INSERT INTO workflow_runs (id, org_id, workflow_id, version, state, trigger_kind, due_at, created_at, ended_at)
                 SELECT gen_random_uuid(), '{}', '{}', 1, 'succeeded', 'manual', at, at, at
                 FROM (SELECT now() - interval '2 days' * ('{name}' = 'swept')::integer AS at) it, generate_series(1, 3)
                 RETURNING org_id, id
             ), tried AS (
                 INSERT INTO workflow_run_attempts (org_id, run_id, position, fence, number, error, started_at)
                 SELECT org_id, id, 2, 1, n, '{name}', now() FROM runs, generate_series(1, 2) n
             ), asked AS (
                 INSERT INTO workflow_approvals (org_id, run_id, position, action, role, shown, asked_at, expires_at)
                 SELECT org_id, id, 2, '{name}', 'editor', '{{}}', now(), now() FROM runs
             )
             INSERT INTO workflow_run_steps (org_id, run_id, position, name, is_action, succeeded, started_at, ended_at)
             SELECT org_id, id, n, '{name}', false, true, now(), now() FROM runs, generate_series(0, 1) n",
            who.0.as_uuid(),
            workflow.as_uuid()
        ))
        .await;
    }
    let left = "SELECT name || ' ' || count(*) FROM (
                    SELECT name FROM workflow_run_steps UNION ALL SELECT error FROM workflow_run_attempts
                    UNION ALL SELECT action FROM workflow_approvals
                ) it GROUP BY name ORDER BY name";
    assert_eq!(it.rows(left).await, ["removed 15", "swept 15", "theirs 15"]);
    let day = jiff::SignedDuration::from_hours(24);
    assert_eq!(it.store.sweep(it.us.0, day, 100).await.unwrap(), 3);
    assert_eq!(it.rows(left).await, ["removed 15", "theirs 15"]);
    it.rows(&format!("DELETE FROM workflows WHERE id = '{}'", workflows[1])).await;
    assert_eq!(it.rows(left).await, ["theirs 15"]);
    it.rows(&format!("DELETE FROM organizations WHERE id = '{}'", it.them.0.as_uuid())).await;
    assert!(it.rows(left).await.is_empty());
}

/// Answers at once, and counts.
#[derive(Default)]
struct Counting {
    asked: AtomicU64,
    calls: Mutex<HashMap<String, u32>>,
}

#[async_trait]
impl StepRunner for Counting {
    async fn run(&self, _: &Principal, _: &Step, _: &Context) -> Result<Found, Fault> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(2)).await;
        let result = StepResult {
            columns: vec!["one".to_owned()],
            rows: vec![vec![json!(1)]],
            ..StepResult::default()
        };
        Ok(Found { result, query: QueryId::new(SystemClock.now()) })
    }
}

#[async_trait]
impl Outward for Counting {
    async fn call(&self, call: OutwardCall) -> Result<OutwardAnswer, Fault> {
        let key = call.headers.iter().find(|it| it.0 == "idempotency-key").unwrap().1.clone();
        *self.calls.lock().unwrap().entry(key).or_default() += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok(OutwardAnswer { status: 200, content_type: None, retry_after: None, body: Vec::new() })
    }
}

struct Everybody;

#[async_trait]
impl Members for Everybody {
    async fn acting(&self, org: OrgId, user: UserId) -> Result<Option<Principal>, StoreError> {
        Ok(Some(Principal {
            org,
            user,
            credential: Credential::Job,
            scopes: ScopeSet::all(),
            is_owner: false,
            project: None,
            test_only: false,
            saved_queries_only: false,
            origin: Arc::default(),
        }))
    }

    async fn role(&self, _: OrgId, _: UserId) -> Result<Option<MemberRole>, StoreError> {
        Ok(Some(MemberRole::BuiltIn(Role::Admin)))
    }

    async fn has_another(
        &self,
        _: OrgId,
        _: &[UserId],
        _: FitsRole<'_>,
    ) -> Result<bool, StoreError> {
        Ok(true)
    }
}

fn bell(it: &Ours) -> Arc<Bell> {
    Arc::new(Bell::new(Arc::new(PostgresRope::new(it.database.clone()))))
}

fn worker(it: &Ours, counting: &Arc<Counting>, bell: &Arc<Bell>) -> Worker {
    Worker::new(WorkerParts {
        queue: Arc::new(it.queue.clone()),
        store: Arc::new(it.store.clone()),
        members: Arc::new(Everybody),
        steps: counting.clone(),
        actions: Actions::new(Arc::new(RecordingMailer::default()), counting.clone()),
        hooks: HookKey::new([7; 32]),
        clock: Arc::new(SystemClock),
        bell: bell.clone(),
        settings: WorkerSettings {
            runs: 16,
            runs_per_organization: 64,
            ..WorkerSettings::default()
        },
    })
}

async fn call_of(it: &Ours, name: &str) -> WorkflowId {
    let id = put(&it.store, it.us, name, it.at, 100).await;
    let mut definition = plinth_workflows::testing::definition();
    definition["actions"] = json!([{ "name": "post", "type": "http", "url": "https://hooks.example.com/x",
        "json": { "n": "{{ row_count }}" } }]);
    let mut publish = |workflow: &mut plinth_workflows::Workflow| {
        workflow.published = Some(2);
        let published = plinth_workflows::Published {
            number: 2,
            definition: definition.clone(),
            meant: None,
            by: it.us.1,
            at: it.at,
            concurrency: 100,
        };
        Ok(Changed { published: Some(published), entry: None })
    };
    it.store.change(it.us.0, id, &mut publish).await.unwrap().unwrap();
    id
}

/// Five workers over one queue, of which one is cut off at random again and again: every run ends once, none is lost, and
/// what was sent twice carried the same key.
#[tokio::test(flavor = "multi_thread")]
async fn every_run_ends_once_whoever_dies() {
    const RUNS: usize = 300;
    let it = Arc::new(ours(false).await);
    let workflow = call_of(&it, "call").await;
    let counting = Arc::new(Counting::default());
    let start = || {
        let (it, counting) = (it.clone(), counting.clone());
        tokio::spawn(async move {
            let (_alive, stopped) = tokio::sync::watch::channel(false);
            worker(&it, &counting, &bell(&it)).work(stopped).await;
        })
    };
    let mut workers: Vec<_> = (0..5).map(|_| start()).collect();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut killed = 0;
    let mut ids = Vec::new();
    for number in 0..RUNS {
        ids.push(enqueue(&it.store, it.us.0, workflow, SystemClock.now()).await);
        if number % 15 == 14 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let at = usize::try_from(seed % 5).unwrap();
            // Its runs go with it, in the middle of whatever they do.
            workers[at].abort();
            workers[at] = start();
            killed += 1;
        }
    }
    let deadline = Instant::now() + Duration::from_secs(90);
    let open = "SELECT count(*)::text FROM workflow_runs WHERE ended_at IS NULL";
    while it.rows(open).await != ["0"] {
        assert!(Instant::now() < deadline, "{} of {RUNS} are open", it.rows(open).await[0]);
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let again = "SELECT count(*)::text FROM workflow_runs WHERE starts > 1";
    println!("{killed} workers cut off, {} runs taken over", it.rows(again).await[0]);
    for worker in workers {
        worker.abort();
    }
    let states = "SELECT DISTINCT state || ' ' || done FROM workflow_runs";
    assert_eq!(it.rows(states).await, ["succeeded 2"]);
    let calls = counting.calls.lock().unwrap();
    assert_eq!(calls.len(), RUNS, "each run called under one key of its own");
    for id in &ids {
        assert!(calls.contains_key(&format!("{id}.post")));
    }
}

/// Has no turn for whoever asks first, and counts.
#[derive(Default)]
struct Crowded(AtomicU64);

#[async_trait]
impl StepRunner for Crowded {
    async fn run(&self, _: &Principal, _: &Step, _: &Context) -> Result<Found, Fault> {
        if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
            return Err(Fault { had_no_turn: true, ..Fault::temporary("everything is in use") });
        }
        let result = StepResult {
            columns: vec!["one".to_owned()],
            rows: vec![vec![json!(1)]],
            ..StepResult::default()
        };
        Ok(Found { result, query: QueryId::new(SystemClock.now()) })
    }
}

#[tokio::test]
async fn a_run_that_has_no_turn_gives_its_place_to_others_and_counts_no_try() {
    let it = ours(true).await;
    let workflow = put(&it.store, it.us, "crowded", it.at, 1).await;
    let counting = Arc::new(Counting::default());
    let worker = Worker::new(WorkerParts {
        queue: Arc::new(it.queue.clone()),
        store: Arc::new(it.store.clone()),
        members: Arc::new(Everybody),
        steps: Arc::new(Crowded::default()),
        actions: Actions::new(Arc::new(RecordingMailer::default()), counting),
        hooks: HookKey::new([7; 32]),
        clock: it.clock.clone(),
        bell: bell(&it),
        settings: WorkerSettings::default(),
    });
    let run = enqueue(&it.store, it.us.0, workflow, it.at).await;
    assert_eq!(worker.drain().await.unwrap(), 1);
    let seen = "SELECT state || ' ' || starts || ' ' || tried || ' ' || (started_at IS NULL) || ' '
         || (due_at - now() BETWEEN interval '0' AND interval '3 s') FROM workflow_runs";
    let seen = seen.replace("now()", &format!("'{}'::timestamptz", it.clock.now()));
    assert_eq!(it.rows(&seen).await, ["queued 0 0 true true"]);
    assert_eq!(worker.drain().await.unwrap(), 0, "it waits a moment");
    it.clock.advance(jiff::SignedDuration::from_secs(3));
    assert_eq!(worker.drain().await.unwrap(), 1);
    let (found, _, attempts, ..) = it.store.run(it.us.0, run).await.unwrap().unwrap();
    assert_eq!((found.state, found.starts), (RunState::Succeeded, 1));
    assert!(attempts.is_empty(), "{attempts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_is_stopped_where_it_is() {
    let it = Arc::new(ours(false).await);
    let workflow = put(&it.store, it.us, "slow", it.at, 1).await;
    struct Slow(Arc<Notify>);
    #[async_trait]
    impl StepRunner for Slow {
        async fn run(&self, _: &Principal, _: &Step, _: &Context) -> Result<Found, Fault> {
            struct Told(Arc<Notify>);
            impl Drop for Told {
                fn drop(&mut self) {
                    self.0.notify_one();
                }
            }
            let _told = Told(self.0.clone());
            std::future::pending().await
        }
    }
    let (dropped, counting) = (Arc::new(Notify::new()), Arc::new(Counting::default()));
    let worker = Worker::new(WorkerParts {
        queue: Arc::new(it.queue.clone()),
        store: Arc::new(it.store.clone()),
        members: Arc::new(Everybody),
        steps: Arc::new(Slow(dropped.clone())),
        actions: Actions::new(Arc::new(RecordingMailer::default()), counting),
        hooks: HookKey::new([7; 32]),
        clock: Arc::new(SystemClock),
        bell: bell(&it),
        settings: WorkerSettings::default(),
    });
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let working = tokio::spawn(async move { worker.work(stopped).await });
    let run = enqueue(&it.store, it.us.0, workflow, SystemClock.now()).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let (found, ..) = it.store.run(it.us.0, run).await.unwrap().unwrap();
        if found.state == RunState::Running {
            break;
        }
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let entry = plinth_tenancy::AuditEntry::of_plinth(it.us.0, it.at, "system", "x");
    it.store.cancel(it.us.0, run, &entry).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), dropped.notified()).await.unwrap();
    stop.send(true).unwrap();
    working.await.unwrap();
}

/// Says that it was asked, and never answers.
struct Hangs(Arc<Notify>);

#[async_trait]
impl StepRunner for Hangs {
    async fn run(&self, _: &Principal, _: &Step, _: &Context) -> Result<Found, Fault> {
        self.0.notify_one();
        std::future::pending().await
    }
}

/// A worker whose steps hang, with what is told when one is asked.
fn hanging(it: &Ours, grace: Duration) -> (Arc<Worker>, Arc<Notify>) {
    let asked = Arc::new(Notify::new());
    let worker = Worker::new(WorkerParts {
        queue: Arc::new(it.queue.clone()),
        store: Arc::new(it.store.clone()),
        members: Arc::new(Everybody),
        steps: Arc::new(Hangs(asked.clone())),
        actions: Actions::new(Arc::new(RecordingMailer::default()), Arc::<Counting>::default()),
        hooks: HookKey::new([7; 32]),
        clock: it.clock.clone(),
        bell: bell(it),
        settings: WorkerSettings { grace, ..WorkerSettings::default() },
    });
    (Arc::new(worker), asked)
}

#[tokio::test]
async fn a_run_that_no_worker_survives_is_given_up() {
    let it = ours(true).await;
    let workflow = put(&it.store, it.us, "deadly", it.at, 1).await;
    let run = enqueue(&it.store, it.us.0, workflow, it.at).await;
    let (worker, asked) = hanging(&it, Duration::ZERO);
    for _ in 0..10 {
        let dying = worker.clone();
        let dying = tokio::spawn(async move { dying.drain().await });
        asked.notified().await;
        dying.abort();
        assert!(dying.await.unwrap_err().is_cancelled());
        it.clock.advance(jiff::SignedDuration::from_secs(4));
    }
    assert_eq!(worker.drain().await.unwrap(), 1, "it is not asked again");
    let (found, steps, attempts) = it.store.run(it.us.0, run).await.unwrap().unwrap();
    assert_eq!((found.state, found.starts), (RunState::Failed, 11));
    let error = "it was begun 10 times in a row, and each time its worker died or was cut off";
    assert_eq!(found.error.as_deref(), Some(error));
    assert!(steps.is_empty() && attempts.is_empty());
    let letters = "SELECT payload->'letter'->>'kind' FROM outbox WHERE topic = 'mail'";
    assert_eq!(it.rows(letters).await, ["workflow_failed"]);
}

#[tokio::test]
async fn what_is_under_way_at_a_stop_goes_on_elsewhere_at_once_and_was_not_lost() {
    let it = ours(true).await;
    let workflow = put(&it.store, it.us, "long", it.at, 1).await;
    let run = enqueue(&it.store, it.us.0, workflow, it.at).await;
    let (worker, asked) = hanging(&it, Duration::ZERO);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let working = tokio::spawn(async move { worker.work(stopped).await });
    asked.notified().await;
    assert!(it.queue.take(&limits(1)).await.unwrap().runs.is_empty(), "it has its lease");
    stop.send(true).unwrap();
    working.await.unwrap();
    let taken = it.queue.take(&limits(1)).await.unwrap().runs.remove(0);
    assert_eq!((taken.id, taken.losses), (run, 0));
}

#[tokio::test]
async fn alerts_keep_their_contract() {
    let it = ours(true).await;
    let alerts = plinth_adapter_postgres::PostgresAlerts::new(it.database.clone());
    let letters =
        async || it.rows("SELECT payload->'to'->>'address' FROM outbox WHERE topic = 'mail'").await;
    let pass = |by| it.clock.advance(by);
    alert_store_contract(&alerts, it.us, it.them, it.at, pass, letters).await;
}

#[tokio::test]
async fn events_keep_their_contract() {
    let it = ours(true).await;
    let events = plinth_adapter_postgres::PostgresEvents::new(it.database.clone());
    event_store_contract(&events, it.us, it.them, it.at, |by| it.clock.advance(by)).await;
}

#[tokio::test]
async fn credentials_keep_their_contract() {
    let it = ours(true).await;
    let credentials = plinth_adapter_postgres::PostgresCredentials::new(it.database.clone());
    credential_store_contract(&credentials, it.us, it.them, it.at).await;
}
