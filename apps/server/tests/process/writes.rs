//! A worker that is killed between what it wrote and the note that it did.

use nix::sys::signal::Signal;
use plinth_testdb::TestDatabase;
use serde_json::{Value, json};

use crate::bootstrap::printed_key;
use crate::client::{Person, shop, until};
use crate::plinth::{LIMIT, MASTER_KEY, Running, plinth, run, serve_on};
use crate::workers::worker_on;

/// Roles are the server's, and outlive a database.
pub(crate) const ROLE: &str = "plinth_test_writer";
pub(crate) const PASSWORD: &str = "writes what tests write";

pub(crate) async fn connected(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    actix_web::rt::spawn(connection);
    client
}

/// A table to count in, and who may.
async fn counting(target: &TestDatabase) -> tokio_postgres::Client {
    let client = connected(&target.superuser_url()).await;
    let script = format!(
        "DO $$ BEGIN CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}';
         EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
         CREATE TABLE counters (id int PRIMARY KEY, n int NOT NULL);
         INSERT INTO counters VALUES (1, 0), (2, 0);
         GRANT SELECT, UPDATE ON counters TO {ROLE};
         GRANT SELECT ON counters TO {reader};
         CREATE SCHEMA plinth AUTHORIZATION {ROLE}",
        reader = target.user()
    );
    client.batch_execute(&script).await.unwrap();
    client
}

async fn count(client: &tokio_postgres::Client, counter: i32) -> i32 {
    let row = client.query_one("SELECT n FROM counters WHERE id = $1", &[&counter]).await;
    row.unwrap().get(0)
}

/// Runs a workflow that counts, kills its worker when the count stands in the database and nowhere else, and gives the run as
/// another worker ended it.
async fn killed_after_writing(
    ann: &Person,
    (database, target): (&TestDatabase, &TestDatabase),
    (connection, writes): (&str, &str),
    counter: i32,
) -> Value {
    let client = connected(&target.superuser_url()).await;
    let body = json!({
        "name": format!("Counts {counter}"), "trigger": { "type": "manual" },
        "steps": [{ "name": "one", "type": "sql", "connection_id": connection, "sql": format!("SELECT {counter} AS id") }],
        "actions": [{ "name": "count", "type": "write", "write_connection_id": writes,
                      "sql": "UPDATE counters SET n = n + 1 WHERE id = {{ steps.one.id }}" }],
    });
    let made = ann.post("/v1/workflows", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let path = format!("/v1/workflows/{}", made.body["data"]["id"].as_str().unwrap());

    // The row is somebody else's for now, so that the statement waits.
    client.batch_execute("BEGIN").await.unwrap();
    client.execute("SELECT FROM counters WHERE id = $1 FOR UPDATE", &[&counter]).await.unwrap();
    let queued = ann.post(&format!("{path}/run"), json!({})).await;
    let run = format!("{path}/runs/{}", queued.body["data"]["id"].as_str().unwrap());
    let watching = connected(&target.superuser_url()).await;
    let waits = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND usename = $1
         AND wait_event_type = 'Lock'";
    let worker = worker_on(&database.url()).await;
    until("it waits for the row", LIMIT, async || {
        !watching.query(waits, &[&ROLE]).await.unwrap().is_empty()
    })
    .await;

    // Plinth's own row of the run, so that nothing is noted.
    let own = connected(&database.superuser_url()).await;
    own.batch_execute("BEGIN; SELECT FROM plinth.workflow_runs FOR UPDATE").await.unwrap();
    client.batch_execute("COMMIT").await.unwrap();
    until("it is written", LIMIT, async || count(&watching, counter).await == 1).await;
    worker.signal(Signal::SIGKILL);
    own.batch_execute("ROLLBACK").await.unwrap();

    let second = worker_on(&database.url()).await;
    until("another ends it", LIMIT, async || {
        ann.get(&run).await.body["data"]["ended_at"].is_string()
    })
    .await;
    let ended = ann.get(&run).await.body["data"].clone();
    second.signal(Signal::SIGTERM);
    second.ended().await;
    assert_eq!(count(&watching, counter).await, 1, "{ended}");
    ended
}

#[actix_web::test]
async fn what_was_written_before_a_kill_is_not_written_again() {
    let database = TestDatabase::create().await.unwrap();
    let url = database.url();
    let server = Running::start(serve_on(&url).env("PLINTH_WORKFLOW_RUNS", "0")).up().await;
    let mut command =
        plinth(&["bootstrap", "--organization", "Acme", "--email", "ann@example.com"]);
    command.env("PLINTH_DATABASE_URL", &url).env("PLINTH_MASTER_KEY", MASTER_KEY);
    let ann = server.somebody(&printed_key(&run(&mut command)));
    let target = shop().await;
    let client = counting(&target).await;
    let connection = ann.connect(&target).await;
    let writes = async |name: &str, key_schema: Option<&str>| {
        let body = json!({
            "name": name, "connection_id": connection, "username": ROLE, "password": PASSWORD,
            "tables": ["public.counters"], "key_schema": key_schema,
        });
        let made = ann.post("/v1/write-connections", body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        made.body["data"]["id"].as_str().unwrap().to_owned()
    };
    let (with_keys, without) =
        (writes("Once", Some("plinth")).await, writes("At most once", None).await);

    let ended =
        killed_after_writing(&ann, (&database, &target), (&connection, &with_keys), 1).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    let tries = &ended["steps"][1]["attempts"];
    assert_eq!(
        (&tries[0]["status"], &tries[1]["status"]),
        (&json!("unknown"), &json!("succeeded"))
    );
    assert_eq!(tries[1]["response"]["took_effect"], "before", "{ended}");

    // Without keys nobody knows, and nothing is done twice.
    let ended = killed_after_writing(&ann, (&database, &target), (&connection, &without), 2).await;
    assert_eq!(ended["status"], "failed", "{ended}");
    let tries = &ended["steps"][1]["attempts"];
    assert_eq!((&tries[0]["status"], &tries[1]["status"]), (&json!("unknown"), &json!("unknown")));
    assert!(ended["error"].as_str().unwrap().contains("not known"), "{ended}");
    assert_eq!((count(&client, 1).await, count(&client, 2).await), (1, 1));
    server.stop(Signal::SIGTERM).await;
}
