//! Workflows that a database starts by NOTIFY.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::app::{Person, TestApp};
use crate::workflows::{detail, make, shop};

fn listening(connection: &str, more: &Value) -> Value {
    let mut trigger = json!({ "type": "listen", "connection_id": connection, "channel": "Orders" });
    trigger.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({
        "name": "Listens", "trigger": trigger,
        "steps": [{ "name": "one", "type": "sql", "connection_id": connection,
                    "sql": "SELECT {{ notify.payload.id }}::int AS id, {{ notify.text }} AS text, {{ notify.channel }} AS channel" }],
    })
}

/// A server that listens, until its sender says otherwise.
fn listens(services: &plinth_server::Services) -> watch::Sender<bool> {
    let (sender, stopped) = watch::channel(false);
    let worker = services.listen_worker.clone();
    actix_web::rt::spawn(async move { worker.work(stopped).await });
    sender
}

async fn events(person: &Person, workflow: &str) -> Vec<Value> {
    let answer = person.get(&format!("/v1/workflows/{workflow}/events?limit=100")).await;
    answer.body["data"].as_array().unwrap().clone()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn client(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    actix_web::rt::spawn(connection);
    client
}

const LISTENS: &str = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()
     AND query LIKE 'LISTEN%' AND application_name = 'plinth'";

#[actix_web::test]
async fn what_a_database_says_starts_runs_and_what_was_missed_is_told() {
    let (app, target) = (TestApp::start().await, shop().await);
    let other = app.another().await;
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let workflow = make(&ann, listening(&connection, &json!({ "per_minute": 5 }))).await;
    let mut catching = listening(&connection, &json!({ "channel": "Gaps", "on_gap": "run" }));
    catching["name"] = json!("Catches up");
    catching["steps"][0]["sql"] = json!(
        "SELECT {{ notify.gap }}::bool AS gap, {{ notify.since }}::timestamptz < now() AS since, {{ notify.channel }} AS channel"
    );
    let catching = make(&ann, catching).await;
    let client = client(&target.superuser_url()).await;
    let listeners = async || client.query(LISTENS, &[]).await.unwrap().len();

    let one = listens(&app.services);
    until("somebody listens", async || listeners().await == 1).await;
    // What another channel says is nobody's.
    client
        .batch_execute("NOTIFY \"Orders\", '{\"id\": 7}'; NOTIFY orders, '{\"id\": 8}'")
        .await
        .unwrap();
    until("it has started a run", async || !events(&ann, &workflow).await.is_empty()).await;
    app.services.worker.drain().await.unwrap();
    let event = events(&ann, &workflow).await[0].clone();
    assert_eq!((&event["trigger"], &event["source"]), (&json!("listen"), &json!("Orders")));
    let done = detail(&ann, &workflow, event["run_id"].as_str().unwrap()).await;
    assert_eq!(done["status"], "succeeded", "{done}");
    assert_eq!(done["steps"][0]["result"]["rows"], json!([[7, "{\"id\": 7}", "Orders"]]), "{done}");

    // A flood is a few runs and one entry that tells of the rest.
    for at in 0..50 {
        client.batch_execute(&format!("NOTIFY \"Orders\", '{{\"id\": {at}}}'")).await.unwrap();
    }
    let started =
        async || events(&ann, &workflow).await.iter().filter(|it| it["run_id"].is_string()).count();
    let told = async |what: &str| {
        let all = events(&ann, &workflow).await;
        all.iter().filter(|it| it["outcome"].as_str().unwrap().contains(what)).count()
    };
    until("as many runs as there may be", async || started().await == 5).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(started().await, 5, "and no more");

    // A second server does not listen beside the first, and goes on when that stops. What was skipped is told once, and so
    // is that something may have been missed between the two.
    let two = listens(&other);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(listeners().await, 1);
    let _ = one.send(true);
    until("the flood is told", async || told("46 notifications were skipped").await == 1).await;
    until("the other one listens", async || told("listens again").await == 1).await;
    assert_eq!(listeners().await, 1);
    client.batch_execute("NOTIFY \"Orders\", '{\"id\": 9}'").await.unwrap();
    until("it is heard once", async || started().await == 6).await;
    // Whoever wants to catch up gets a run for it, and knows since when.
    let caught = async || {
        let all = events(&ann, &catching).await;
        all.into_iter().filter(|it| it["run_id"].is_string()).collect::<Vec<_>>()
    };
    until("a run that catches up", async || caught().await.len() == 1).await;
    app.services.worker.drain().await.unwrap();
    let run = caught().await[0]["run_id"].clone();
    let done = detail(&ann, &catching, run.as_str().unwrap()).await;
    assert_eq!(done["steps"][0]["result"]["rows"], json!([[true, true, "Gaps"]]), "{done}");

    // The session is cut: it comes back by itself.
    let cut = format!("SELECT pg_terminate_backend(pid) FROM ({LISTENS}) it");
    client.query(&cut, &[]).await.unwrap();
    until("it is told that something may be missing", async || told("listens again").await == 2)
        .await;
    client.batch_execute("NOTIFY \"Orders\", '{\"id\": 10}'").await.unwrap();
    until("it is heard once", async || started().await == 7).await;
    assert_eq!(caught().await.len(), 2);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(started().await, 7);

    // Nobody wants it any more.
    for it in [&workflow, &catching] {
        let disabled = ann.post(&format!("/v1/workflows/{it}/disable"), json!({})).await;
        assert_eq!(disabled.status, 200, "{}", disabled.text);
    }
    until("nobody listens", async || listeners().await == 0).await;
    let _ = two.send(true);
}

/// Nobody knows at once that a session is gone. A run that catches up finds also what was said before that was noticed.
#[actix_web::test]
async fn what_may_have_been_missed_begins_when_the_session_was_last_known_to_hear() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let client = client(&target.superuser_url()).await;
    let begun = app.now();
    let at = |seconds: i64| begun + jiff::SignedDuration::from_secs(seconds);
    let changes = format!(
        "CREATE TABLE changes (id int, changed_at timestamptz); GRANT SELECT ON changes TO PUBLIC;
         INSERT INTO changes VALUES (1, '{}'), (2, '{}')",
        at(-1),
        at(2)
    );
    client.batch_execute(&changes).await.unwrap();
    let mut catching = listening(&connection, &json!({ "on_gap": "run" }));
    catching["steps"][0]["sql"] = json!(
        "SELECT id FROM changes WHERE changed_at > {{ notify.since }}::timestamptz ORDER BY id"
    );
    let workflow = make(&ann, catching).await;
    let one = listens(&app.services);
    let heard_until = async || {
        let query = "SELECT listened_until::text FROM plinth.workflow_listeners WHERE listened_until IS NOT NULL";
        app.rows(query).await.into_iter().next()
    };
    until("it listens", async || heard_until().await.is_some()).await;
    let known = heard_until().await;

    // Within the lease, so that nobody else begins.
    app.clock.advance(jiff::SignedDuration::from_secs(3));
    let cut = format!("SELECT pg_terminate_backend(pid) FROM ({LISTENS}) it");
    client.query(&cut, &[]).await.unwrap();
    let told = async || {
        let all = events(&ann, &workflow).await;
        let outcome = |it: &Value| it["outcome"].as_str().unwrap().to_owned();
        all.iter().map(outcome).find(|it| it.contains("listens again"))
    };
    until("it listens again", async || told().await.is_some()).await;
    let outcome = told().await.unwrap();
    assert!(outcome.contains(&format!("since {begun:.0}")), "{outcome}");
    until("that is known", async || heard_until().await != known).await;
    let caught = async || {
        let all = events(&ann, &workflow).await;
        all.iter().find_map(|it| it["run_id"].as_str().map(str::to_owned))
    };
    until("a run that catches up", async || caught().await.is_some()).await;
    app.services.worker.drain().await.unwrap();
    let done = detail(&ann, &workflow, &caught().await.unwrap()).await;
    assert_eq!(done["steps"][0]["result"]["rows"], json!([[2]]), "{done}");
    let _ = one.send(true);
}

#[actix_web::test]
async fn nobody_listens_to_what_is_anothers() {
    let (app, target) = (TestApp::start().await, shop().await);
    let (ann, bob) = (app.owner_of("Example").await, app.owner_of("Other").await);
    let connection = ann.connect("shop", &target).await;
    let answer = bob.post("/v1/workflows", listening(&connection, &json!({}))).await;
    assert_eq!(answer.status, 404, "{}", answer.text);
    for wrong in [
        json!({ "channel": "x".repeat(64) }),
        json!({ "per_minute": 0 }),
        json!({ "chanel": "x" }),
        json!({ "on_gap": "skip" }),
    ] {
        let answer = ann.post("/v1/workflows", listening(&connection, &wrong)).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
    }
}
