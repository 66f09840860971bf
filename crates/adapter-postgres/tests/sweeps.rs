//! What is forgotten goes in parts that are over soon, and waits for nobody.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use jiff::SignedDuration;
use plinth_adapter_postgres::{
    Database, DatabaseUrl, PostgresAlerts, PostgresIdempotency, PostgresTenancy, PostgresWorkflows,
    migrate, migrations,
};
use plinth_core::{Clock as _, OrgId, SystemClock, UserId};
use plinth_tenancy::TenancyStore as _;
use plinth_tenancy::idempotency::{
    Begun, Fingerprint, IdempotencyKey, IdempotencyStore as _, NewRequest,
};
use plinth_testdb::TestDatabase;
use plinth_workflows::WorkflowStore as _;
use plinth_workflows::alerts::AlertStore as _;
use plinth_workflows::testing::put;
use tokio_postgres::{Client, NoTls};

const MONTH: SignedDuration = SignedDuration::from_hours(24 * 30);

struct Ours {
    database: Database,
    us: (OrgId, UserId),
    test: TestDatabase,
}

/// A database with an organization, over so many connections at most.
async fn ours(connections: usize) -> Ours {
    let url = |text: &str| DatabaseUrl::parse(&text.to_owned().into()).unwrap();
    let key = format!("plinth {:?}", migrations());
    let test = TestDatabase::create_from_template(&key, async |draft| {
        migrate(&url(&draft.url())).await?;
        Ok(())
    })
    .await
    .unwrap();
    let database = Database::open(&url(&test.url()), connections)
        .await
        .unwrap()
        .with_trail(plinth_tenancy::TrailKey::new([7; 32]));
    let at = "2026-01-01T00:00:30Z".parse().unwrap();
    let (new, _) = plinth_tenancy::testing::owner("Ours", "ann@example.com", at);
    let entry = plinth_tenancy::testing::entry(new.organization.id, at);
    PostgresTenancy::new(database.clone()).found(&new, None, &entry).await.unwrap();
    Ours { database, us: (new.organization.id, new.user.id), test }
}

impl Ours {
    /// A session past all rules.
    async fn behind(&self) -> Client {
        let (client, connection) =
            tokio_postgres::connect(&self.test.superuser_url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("SET search_path = plinth").await.unwrap();
        client
    }

    /// From now on no statement deletes more than so many rows of the table.
    async fn limit(&self, table: &str, most: u32) {
        let limit = format!(
            "CREATE FUNCTION limit_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 IF (SELECT count(*) FROM gone) > {most} THEN RAISE 'too many at once'; END IF;
                 RETURN NULL;
             END
             $$;
             CREATE TRIGGER limited AFTER DELETE ON {table} REFERENCING OLD TABLE AS gone
                 FOR EACH STATEMENT EXECUTE FUNCTION limit_{table}()"
        );
        self.behind().await.batch_execute(&limit).await.unwrap();
    }
}

async fn count(client: &Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn runs_that_are_old_or_many_go_in_parts_and_without_waiting() {
    let it = ours(4).await;
    let store = PostgresWorkflows::new(it.database.clone());
    let workflow = put(&store, it.us, "ours", SystemClock.now(), 10).await.as_uuid();
    let runs = async |from: &str, to: &str, state: &str| {
        let insert = format!(
            "INSERT INTO workflow_runs
                 (id, org_id, workflow_id, version, state, trigger_kind, due_at, lease_until, created_at, ended_at)
             SELECT gen_random_uuid(), '{org}', '{workflow}', 1, '{state}', 'manual', now(),
                 CASE '{state}' WHEN 'running' THEN now() END,
                 now() - make_interval(days => n), CASE '{state}' WHEN 'succeeded' THEN now() - make_interval(days => n) END
             FROM generate_series({from}, {to}) n",
            org = it.us.0.as_uuid(),
        );
        it.behind().await.batch_execute(&insert).await.unwrap();
    };
    runs("31", "650", "succeeded").await;
    runs("1", "29", "succeeded").await;
    runs("700", "702", "running").await;
    let events = format!(
        "INSERT INTO workflow_events (id, org_id, workflow_id, kind, at, source, outcome)
         SELECT gen_random_uuid(), '{}', '{workflow}', 'manual', now() - make_interval(days => n), '', 'queued'
         FROM generate_series(1, 2100) n",
        it.us.0.as_uuid(),
    );
    it.behind().await.batch_execute(&events).await.unwrap();
    it.limit("workflow_runs", 100).await;
    it.limit("workflow_events", 1000).await;

    // Another server is at one of them.
    let other = it.behind().await;
    let held = "BEGIN; SELECT FROM workflow_runs WHERE ended_at < now() - interval '649 days 12 hours' FOR UPDATE";
    other.batch_execute(held).await.unwrap();
    // All but it of 620 that are old, and four beyond the newest 25.
    assert_eq!(store.sweep(it.us.0, MONTH, 25).await.unwrap(), 619 + 4);
    let left = "SELECT count(*) FROM workflow_runs WHERE ended_at IS NOT NULL";
    assert_eq!(count(&other, left).await, 26);
    other.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(store.sweep(it.us.0, MONTH, 25).await.unwrap(), 1);
    assert_eq!(store.sweep(it.us.0, MONTH, 25).await.unwrap(), 0);
    assert_eq!(count(&other, "SELECT count(*) FROM workflow_runs").await, 28, "some are under way");
    assert_eq!(count(&other, "SELECT count(*) FROM workflow_events").await, 29);
}

#[tokio::test]
async fn evaluations_that_are_old_or_many_go_in_parts_and_without_waiting() {
    let it = ours(4).await;
    let store = PostgresAlerts::new(it.database.clone());
    let org = it.us.0.as_uuid();
    let insert = format!(
        "INSERT INTO alerts (id, org_id, name, description, owner_id, query_id, parameters, condition, schedule, notify,
             enabled, muted, state, state_since, trouble_told, tried, fence, revision, created_at, updated_at)
         VALUES (gen_random_uuid(), '{org}', 'late', '', gen_random_uuid(), gen_random_uuid(), '{{}}', '{{}}', '{{}}', '{{}}',
             true, false, 'ok', now(), false, 0, 0, 1, now(), now());
         INSERT INTO alert_evaluations (id, org_id, alert_id, state, tries, started_at, ended_at)
         SELECT gen_random_uuid(), '{org}', id, 'ok', 1, now(), now() - make_interval(days => n)
         FROM alerts, generate_series(1, 2100) n"
    );
    let other = it.behind().await;
    other.batch_execute(&insert).await.unwrap();
    it.limit("alert_evaluations", 1000).await;
    let held = "BEGIN; SELECT FROM alert_evaluations WHERE ended_at < now() - interval '2099 days 12 hours' FOR UPDATE";
    other.batch_execute(held).await.unwrap();
    assert_eq!(store.sweep(it.us.0, MONTH, 20).await.unwrap(), 2079);
    other.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(store.sweep(it.us.0, MONTH, 20).await.unwrap(), 1);
    assert_eq!(count(&other, "SELECT count(*) FROM alert_evaluations").await, 20);
}

/// Whoever sends a request waits for what it sweeps. The key itself is forgotten whatever is before it.
#[tokio::test]
async fn a_request_forgets_few_old_ones_and_its_own() {
    let it = ours(4).await;
    let store = PostgresIdempotency::new(it.database.clone());
    let org = it.us.0.as_uuid();
    let other = it.behind().await;
    let insert = format!(
        "INSERT INTO idempotent_requests (id, org_id, caller, key, fingerprint, answer, created_at)
         SELECT gen_random_uuid(), '{org}', 'ann', 'key-' || n, sha256('{{}}'), '{{}}', now() - make_interval(days => 500 - n)
         FROM generate_series(1, 400) n"
    );
    other.batch_execute(&insert).await.unwrap();
    let new = NewRequest {
        id: uuid::Uuid::from_u128(7),
        org: it.us.0,
        caller: "ann".to_owned(),
        key: IdempotencyKey::parse("key-400").unwrap(),
        fingerprint: Fingerprint([7; 32]),
        at: SystemClock.now(),
    };
    let lease = SignedDuration::from_mins(1);
    let begun = store.begin(&new, lease, SignedDuration::from_hours(24)).await.unwrap();
    assert_eq!(begun, Begun::Mine(new.id));
    assert_eq!(count(&other, "SELECT count(*) FROM idempotent_requests").await, 400 - 21 + 1);
}
