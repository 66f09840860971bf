use std::time::Duration;

use nix::sys::signal::Signal;
use plinth_testdb::TestDatabase;
use serde_json::json;
use tokio_postgres::NoTls;

use crate::bootstrap::printed_key;
use crate::client::{send, shop, until};
use crate::plinth::{LIMIT, MASTER_KEY, Running, plinth, run, serve_on};
use crate::writes::connected;

/// What one server does is known to the others within this.
const AT_MOST: Duration = Duration::from_secs(2);

/// So long a run is held by a server that says nothing.
const HELD: Duration = Duration::from_secs(6);

#[actix_web::test]
async fn two_servers_start_at_once_on_an_empty_database_and_know_what_the_other_does() {
    let database = TestDatabase::create().await.unwrap();
    let url = database.url();
    let mut servers =
        [serve_on(&url), serve_on(&url)].map(|mut it| Running::start(&mut it)).into_iter();
    let (first, second) = (servers.next().unwrap().up().await, servers.next().unwrap().up().await);
    assert_ne!(first.listen(), second.listen());
    assert_ne!(first.printed_token().await, second.printed_token().await);

    let mut command =
        plinth(&["bootstrap", "--organization", "Acme", "--email", "ann@example.com"]);
    command.env("PLINTH_DATABASE_URL", &url).env("PLINTH_MASTER_KEY", MASTER_KEY);
    let ann = first.somebody(&printed_key(&run(&mut command)));
    let there = ann.at(second.listen());

    let target = shop().await;
    let connection = ann.connect(&target).await;
    assert_eq!(
        there.sql(&connection, "SELECT count(*) FROM customers").await.rows(),
        &json!([[10]])
    );
    let asked = ann.ask(&connection, "How many customers are there?").await;
    let asked = asked.body["data"]["query_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/queries/{asked}");
    assert_eq!(ann.get(&path).await.status, 200, "where it was asked it is known at once");
    until("the other server has the entry", AT_MOST, async || there.get(&path).await.status == 200)
        .await;

    let new = ann.post("/v1/api-keys", json!({ "name": "report", "scopes": ["read"] })).await;
    let report = second.somebody(new.body["data"]["key"].as_str().unwrap());
    assert_eq!(report.get("/v1/queries").await.status, 200, "a key works everywhere at once");
    let id = new.body["data"]["id"].as_str().unwrap();
    assert_eq!(ann.delete(&format!("/v1/api-keys/{id}")).await.status, 204);
    until("the other server refuses the key", AT_MOST, async || {
        report.get("/v1/queries").await.status == 401
    })
    .await;

    first.stop(Signal::SIGTERM).await;
    assert_eq!(there.sql(&connection, "SELECT 1").await.rows(), &json!([[1]]), "the other goes on");
    second.stop(Signal::SIGTERM).await;
}

/// A statement that runs until somebody ends it.
const ENDLESS: &str =
    "SELECT count(*) FROM generate_series(1, 987654321) a, generate_series(1, 1000) b";

#[actix_web::test]
async fn a_run_that_nobody_waits_for_has_failed_seconds_after_its_server_was_killed() {
    let database = TestDatabase::create().await.unwrap();
    let url = database.url();
    let first = Running::start(&mut serve_on(&url)).up().await;
    let second = Running::start(&mut serve_on(&url)).up().await;
    let mut command =
        plinth(&["bootstrap", "--organization", "Acme", "--email", "ann@example.com"]);
    command.env("PLINTH_DATABASE_URL", &url).env("PLINTH_MASTER_KEY", MASTER_KEY);
    let ann = first.somebody(&printed_key(&run(&mut command)));
    let there = ann.at(second.listen());
    let target = shop().await;
    let connection = ann.connect(&target).await;
    let body = json!({ "connection_id": connection, "sql": ENDLESS, "timeout_ms": 60_000 });
    let request = ann.request("POST", "/v1/queries").header("prefer", "respond-async").json(&body);
    let begun = send(request).await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    let path = format!("/v1/query-runs/{}", begun.body["data"]["id"].as_str().unwrap());
    let state = async || there.get(&path).await.body["data"]["state"].clone();
    until("the other server sees it run", LIMIT, async || state().await == "running").await;
    // Beats keep it: longer than it would be held without.
    actix_web::rt::time::sleep(HELD + Duration::from_secs(1)).await;
    assert_eq!(state().await, "running");
    first.kill().await;
    // Nobody asks for it: the other server sees to it by itself.
    let own = connected(&database.superuser_url()).await;
    let ended = "SELECT EXISTS (SELECT FROM plinth.query_runs WHERE state = 'failed' AND finished_at IS NOT NULL)";
    let took =
        until("the other server writes down that it failed", HELD + AT_MOST * 3, async || {
            own.query_one(ended, &[]).await.unwrap().get(0)
        });
    println!("written down {} ms after the kill", took.await.as_millis());
    assert_eq!(state().await, "failed");
    let run = there.get(&path).await.body["data"].clone();
    assert_eq!(run["error"]["details"]["reason"], "server_lost", "{run}");
    second.stop(Signal::SIGTERM).await;
}

#[actix_web::test]
async fn migrating_needs_no_superuser_and_serving_is_bound_by_row_security() {
    let database = TestDatabase::create().await.unwrap();
    let server = Running::start(&mut serve_on(&database.url())).up().await;
    let (client, connection) =
        tokio_postgres::connect(&database.superuser_url(), NoTls).await.unwrap();
    actix_web::rt::spawn(connection);
    let owner = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = $1";
    for role in [database.user(), "plinth_app"] {
        assert!(!client.query_one(owner, &[&role]).await.unwrap().get::<_, bool>(0), "{role}");
    }
    let owned = "SELECT count(*) FROM pg_class WHERE relowner = 'plinth_app'::regrole";
    assert_eq!(client.query_one(owned, &[]).await.unwrap().get::<_, i64>(0), 0);
    server.stop(Signal::SIGTERM).await;
    // Nothing of the server's is left in the database's sessions.
    let sessions =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()";
    until("its sessions are gone", AT_MOST, async || {
        client.query_one(sessions, &[&database.name()]).await.unwrap().get::<_, i64>(0) == 0
    })
    .await;
}

#[actix_web::test]
async fn a_database_of_the_operators_needs_a_strong_master_key() {
    let database = TestDatabase::create().await.unwrap();
    run(serve_on(&database.url()).env_remove("PLINTH_MASTER_KEY"))
        .assert_refused(&["PLINTH_MASTER_KEY", "openssl rand -hex 32"]);
    for weak in ["changeme", &"0".repeat(64), &"ab".repeat(32), &MASTER_KEY[1..]] {
        let ended = run(serve_on(&database.url()).env("PLINTH_MASTER_KEY", weak));
        ended.assert_refused(&["PLINTH_MASTER_KEY", "32 random bytes"]);
        assert!(!ended.stderr.contains(weak), "it repeats the key: {}", ended.stderr);
    }
}

#[actix_web::test]
async fn a_server_with_another_master_key_than_the_first_is_refused() {
    let database = TestDatabase::create().await.unwrap();
    let first = Running::start(&mut serve_on(&database.url())).up().await;
    let other: String = MASTER_KEY.chars().rev().collect();
    let ended = run(serve_on(&database.url()).env("PLINTH_MASTER_KEY", &other));
    ended.assert_refused(&["not the master key"]);
    assert!(!ended.stderr.contains(&other) && !ended.stdout.contains(&other));
    assert_eq!(first.nobody().get("/readyz").await.status, 200);
    first.stop(Signal::SIGTERM).await;
}

#[actix_web::test]
async fn a_database_that_cannot_be_reached_is_said_without_its_password() {
    let nobody = "postgresql://somebody:hunter2canary@127.0.0.1:1/nothing";
    let ended = run(&mut serve_on(nobody));
    ended.assert_refused(&["refused"]);
    assert!(!ended.stderr.contains("hunter2canary") && !ended.stdout.contains("hunter2canary"));
    let database = TestDatabase::create().await.unwrap();
    let wrong = database.url().replace(database.password(), "hunter2canary");
    let ended = run(&mut serve_on(&wrong));
    ended.assert_refused(&["password"]);
    assert!(!ended.stderr.contains("hunter2canary") && !ended.stdout.contains("hunter2canary"));
}
