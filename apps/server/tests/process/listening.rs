//! A server that listens to a database and is killed: another goes on.

use std::time::Duration;

use nix::sys::signal::Signal;
use plinth_testdb::TestDatabase;
use serde_json::json;

use crate::bootstrap::printed_key;
use crate::client::{shop, until};
use crate::plinth::{LIMIT, MASTER_KEY, Running, plinth, run, serve_on};
use crate::writes::connected;

/// Four seconds of the lease, one until somebody looks, and time to dial.
const AT_MOST: Duration = Duration::from_secs(10);

const LISTENS: &str = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()
     AND query LIKE 'LISTEN%' AND application_name = 'plinth'";

#[actix_web::test]
async fn when_the_one_that_listens_is_killed_another_goes_on() {
    let database = TestDatabase::create().await.unwrap();
    let url = database.url();
    let first = Running::start(&mut serve_on(&url)).up().await;
    let mut command =
        plinth(&["bootstrap", "--organization", "Acme", "--email", "ann@example.com"]);
    command.env("PLINTH_DATABASE_URL", &url).env("PLINTH_MASTER_KEY", MASTER_KEY);
    let key = printed_key(&run(&mut command));
    let ann = first.somebody(&key);
    let target = shop().await;
    let connection = ann.connect(&target).await;
    let body = json!({
        "name": "Listens",
        "trigger": { "type": "listen", "connection_id": connection, "channel": "orders" },
        "steps": [{ "name": "one", "type": "sql", "connection_id": connection,
                    "sql": "SELECT {{ notify.payload.id }}::int AS id" }],
    });
    let made = ann.post("/v1/workflows", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let path =
        format!("/v1/workflows/{}/events?limit=100", made.body["data"]["id"].as_str().unwrap());
    let client = connected(&target.superuser_url()).await;
    let listener = async || {
        let all = client.query(LISTENS, &[]).await.unwrap();
        assert!(all.len() <= 1, "one listens at a time");
        all.first().map(|row| row.get::<_, i32>(0))
    };
    until("it listens", LIMIT, async || listener().await.is_some()).await;
    let before = listener().await;
    let second = Running::start(&mut serve_on(&url)).up().await;
    let bob = second.somebody(&key);
    let events = async || bob.get(&path).await.body["data"].as_array().unwrap().clone();
    let started = async || events().await.iter().filter(|it| it["run_id"].is_string()).count();
    client.batch_execute("NOTIFY orders, '{\"id\": 1}'").await.unwrap();
    until("it starts a run", LIMIT, async || started().await == 1).await;
    assert_eq!(listener().await, before, "the second one does not listen");

    first.kill().await;
    let took = until("the other one listens", AT_MOST, async || {
        listener().await.is_some_and(|it| Some(it) != before)
    })
    .await;
    println!("it listens again {} ms after the kill", took.as_millis());
    until("it is told", LIMIT, async || {
        events().await.iter().any(|it| it["outcome"].as_str().unwrap().contains("listens again"))
    })
    .await;
    for id in 2..5 {
        client.batch_execute(&format!("NOTIFY orders, '{{\"id\": {id}}}'")).await.unwrap();
    }
    until("each starts a run", LIMIT, async || started().await == 4).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(started().await, 4, "and only one");
    second.stop(Signal::SIGTERM).await;
    until("nobody listens", LIMIT, async || listener().await.is_none()).await;
}
