//! Runs and those who do them: who takes over, who may, and what is bound and signed on the way.

use jiff::SignedDuration;
use plinth_workflows::hook::sign;
use serde_json::{Value, json};

use crate::app::{TestApp, send};
use crate::workflows::{Receiver, body, detail, make, run, shop};

fn post_to(receiver: &Receiver) -> Value {
    json!([{ "name": "post", "type": "http", "url": receiver.url, "json": { "n": "{{ row_count }}" } }])
}

#[actix_web::test]
async fn a_slot_runs_once_however_many_servers_and_workers_there_are() {
    let (app, target) = (TestApp::start().await, shop().await);
    let other = app.another().await;
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let receiver = Receiver::answering(&["200 OK"]).await;
    let trigger = json!({ "type": "schedule", "every": "5_minutes" });
    let more = json!({ "trigger": trigger, "actions": post_to(&receiver) });
    let workflow = make(&ann, body("Scheduled", &connection, &more)).await;
    for slots in 1..=3 {
        app.clock.advance(SignedDuration::from_mins(5));
        let (one, two) = tokio::join!(app.services.workflows.tick(), other.workflows.tick());
        assert_eq!(one.unwrap() + two.unwrap(), 1);
        let (one, two) = tokio::join!(app.services.worker.drain(), other.worker.drain());
        assert_eq!(one.unwrap() + two.unwrap(), 1);
        assert_eq!(receiver.got().len(), slots);
    }
    let runs = ann.get(&format!("/v1/workflows/{workflow}/runs")).await;
    let slots: Vec<_> = runs.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["slot"].as_str().unwrap())
        .collect();
    let expected = ["2026-03-04T05:20:00Z", "2026-03-04T05:15:00Z", "2026-03-04T05:10:00Z"];
    assert_eq!(slots, expected, "{}", runs.text);
}

#[actix_web::test]
async fn a_run_whose_worker_died_goes_on_elsewhere_from_its_last_step() {
    let (app, target) = (TestApp::start().await, shop().await);
    let other = app.another().await;
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let receiver = Receiver::answering(&["", "200 OK"]).await;
    let workflow =
        make(&ann, body("Long", &connection, &json!({ "actions": post_to(&receiver) }))).await;
    let path = format!("/v1/workflows/{workflow}");
    let queued = ann.post(&format!("{path}/run"), json!({})).await;
    let id = queued.body["data"]["id"].as_str().unwrap().to_owned();
    let dying = app.services.worker.clone();
    let dying = actix_web::rt::spawn(async move { dying.drain().await });
    receiver.has_got(1).await;
    assert_eq!(detail(&ann, &workflow, &id).await["status"], "running");
    assert_eq!(other.worker.drain().await.unwrap(), 0, "it is in good hands");
    dying.abort();
    assert!(dying.await.unwrap_err().is_cancelled());

    app.clock.advance(SignedDuration::from_secs(4));
    assert_eq!(other.worker.drain().await.unwrap(), 1);
    let done = detail(&ann, &workflow, &id).await;
    assert_eq!(done["status"], "succeeded", "{done}");
    let tries = done["steps"][1]["attempts"].as_array().unwrap();
    let tries: Vec<_> = tries.iter().map(|it| it["status"].as_str().unwrap()).collect();
    assert_eq!(tries, ["unknown", "succeeded"], "{done}");
    let key = format!("idempotency-key: {id}.post");
    let got = receiver.got();
    assert_eq!(got.len(), 2);
    assert!(got.iter().all(|it| it.contains(&key)), "{got:?}");
    // What was asked is not asked again.
    app.services.queries.flush_history().await.unwrap();
    other.queries.flush_history().await.unwrap();
    let asked = ann.get("/v1/queries").await;
    assert_eq!(asked.body["data"].as_array().unwrap().len(), 1, "{}", asked.text);
}

#[actix_web::test]
async fn a_run_that_is_cancelled_stops_where_it_is() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let receiver = Receiver::answering(&["", "200 OK"]).await;
    let action = json!([{ "name": "post", "type": "http", "url": receiver.url, "timeout_seconds": 60 },
                        { "name": "again", "type": "http", "url": receiver.url }]);
    let workflow = make(&ann, body("Long", &connection, &json!({ "actions": action }))).await;
    let path = format!("/v1/workflows/{workflow}");

    // One that waits.
    let queued = ann.post(&format!("{path}/run"), json!({})).await;
    let first = format!("{path}/runs/{}", queued.body["data"]["id"].as_str().unwrap());
    let bob = app.owner_of("Other").await;
    assert_eq!(bob.post(&format!("{first}/cancel"), json!({})).await.status, 404);
    let cancelled = ann.post(&format!("{first}/cancel"), json!({})).await;
    assert_eq!((cancelled.status, &cancelled.body["data"]["status"]), (200, &json!("cancelled")));
    assert_eq!(ann.post(&format!("{first}/cancel"), json!({})).await.status, 409);
    assert_eq!(app.services.worker.drain().await.unwrap(), 0);

    // One that is under way: its call is dropped, and nothing comes after it.
    let queued = ann.post(&format!("{path}/run"), json!({})).await;
    let id = queued.body["data"]["id"].as_str().unwrap().to_owned();
    let worker = app.services.worker.clone();
    let working = actix_web::rt::spawn(async move { worker.drain().await });
    receiver.has_got(1).await;
    assert_eq!(ann.post(&format!("{path}/runs/{id}/cancel"), json!({})).await.status, 200);
    assert_eq!(working.await.unwrap().unwrap(), 1);
    assert_eq!(receiver.got().len(), 1);
    assert_eq!(detail(&ann, &workflow, &id).await["status"], "cancelled");
}

#[actix_web::test]
async fn values_are_bound_into_statements_and_calls_are_signed() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let receiver = Receiver::answering(&["200 OK"]).await;
    let more = json!({
        "trigger": { "type": "webhook" },
        "steps": [
            { "name": "order", "type": "sql", "connection_id": connection,
              "sql": "SELECT id, total FROM orders WHERE email = {{ webhook.email }}" },
            { "name": "dearer", "type": "sql", "connection_id": connection,
              "sql": "SELECT count(*) AS n FROM orders WHERE total > {{ steps.order.total }}" },
        ],
        "actions": [{ "name": "post", "type": "http", "url": receiver.url, "sign": true,
                      "json": { "dearer": "{{ steps.dearer.n }}", "order": "{{ steps.order.rows }}" } }],
    });
    let workflow = make(&ann, body("Called", &connection, &more)).await;
    let path = format!("/v1/workflows/{workflow}");
    let hook = ann.get(&format!("{path}/webhook")).await.body["data"].clone();
    let url = hook["url"].as_str().unwrap().strip_prefix(&app.url).unwrap().to_owned();
    let call = async |email: &str| {
        let called = send(app.request("POST", &url).json(&json!({ "email": email }))).await;
        assert_eq!(called.status, 202, "{}", called.text);
        app.services.worker.drain().await.unwrap();
        detail(&ann, &workflow, called.body["data"]["id"].as_str().unwrap()).await
    };
    let done = call("cy@example.com").await;
    assert_eq!(done["status"], "succeeded", "{done}");

    let got = receiver.got();
    let (head, sent) = got[0].split_once("\r\n\r\n").unwrap();
    let order = json!({ "dearer": 1, "order": [{ "id": 1, "total": 12.5 }] });
    assert_eq!(serde_json::from_str::<Value>(sent).unwrap(), order);
    let header = |name: &str| {
        let line = head.lines().find_map(|it| it.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("there is no {name}: {head}"))
    };
    let secret = hook["calls_secret"].as_str().unwrap();
    assert_ne!(secret, hook["secret"].as_str().unwrap(), "who calls cannot speak for the workflow");
    let signature =
        sign(&secret.to_owned().into(), header("webhook-id"), app.now(), sent.as_bytes());
    assert_eq!(header("webhook-signature"), signature.unwrap());
    assert_eq!(header("webhook-timestamp"), app.now().as_second().to_string());

    // What comes in is a value, whatever it says. Without a row there is no `total`, which is an error and no empty text.
    let none = call("x' OR '1'='1").await;
    assert_eq!(none["steps"][0]["result"]["rows"], json!([]), "{none}");
    assert_eq!(none["status"], "failed", "{none}");
    assert_eq!(receiver.got().len(), 1);
    let quoted = json!({ "steps": [{ "name": "one", "type": "sql", "connection_id": connection,
                                     "sql": "SELECT '{{ webhook.email }}' AS one" }] });
    let refused = ann.post("/v1/workflows", body("Quoted", &connection, &quoted)).await;
    assert_eq!(refused.body["error"]["details"]["faults"][0]["pointer"], "/steps/0/sql");
    let write = json!({ "steps": [{ "name": "one", "type": "sql", "connection_id": connection,
                                    "sql": "DELETE FROM orders" }] });
    let refused = ann.post("/v1/workflows", body("Write", &connection, &write)).await;
    assert_eq!(refused.error(), (422, "validation_error"), "steps only read: {}", refused.text);
}

#[actix_web::test]
async fn a_run_may_what_its_owner_may_at_that_moment() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let (eve, member) = app.member(&ann, "eve@example.com", "editor").await;
    let workflow = make(&eve, body("Hers", &connection, &json!({}))).await;
    let first = run(&app, &eve, &workflow).await;
    assert_eq!(first["steps"][0]["result"]["rows"].as_array().unwrap().len(), 2, "{first}");

    let policy = json!({ "name": "Large ones", "table": "public.orders", "roles": ["editor"], "rows": "total > 20" });
    let made = ann.post(&format!("/v1/connections/{connection}/policies"), policy).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let second = run(&app, &eve, &workflow).await;
    let rows = second["steps"][0]["result"]["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0][0]), (1, &json!(2)), "{second}");

    let path = format!("/v1/team/members/{member}");
    assert_eq!(ann.patch(&path, json!({ "role": "viewer" })).await.status, 200);
    let third = run(&app, &ann, &workflow).await;
    assert_eq!(third["status"], "failed", "{third}");
    assert!(third["error"].as_str().unwrap().contains("may not publish"), "{third}");
    let paused = ann.get(&format!("/v1/workflows/{workflow}")).await.body["data"].clone();
    assert_eq!(paused["status"], "paused", "it does not try again and again: {paused}");
    let letters = app.letters().await;
    let told = letters.iter().find(|it| it["letter"]["kind"] == "workflow_paused").unwrap();
    assert_eq!(told["to"], "managers");
}

/// A worker whose leases are over while its actions are under way would have them done twice.
#[actix_web::test]
async fn leases_are_kept_while_callers_use_up_every_connection() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let receiver = Receiver::answering(&[""]).await;
    let workflow =
        make(&ann, body("Long", &connection, &json!({ "actions": post_to(&receiver) }))).await;
    let queued = ann.post(&format!("/v1/workflows/{workflow}/run"), json!({})).await;
    assert_eq!(queued.status, 202, "{}", queued.text);
    let (_alive, stopped) = tokio::sync::watch::channel(false);
    let worker = app.services.worker.clone();
    let working = actix_web::rt::spawn(async move { worker.work(stopped).await });
    receiver.has_got(1).await;

    let (client, link) =
        tokio_postgres::connect(&app.database.superuser_url(), tokio_postgres::NoTls)
            .await
            .unwrap();
    actix_web::rt::spawn(link);
    client.batch_execute("BEGIN; LOCK TABLE plinth.alerts IN ACCESS EXCLUSIVE MODE").await.unwrap();
    for _ in 0..4 {
        let ann = app.somebody(&ann.key);
        actix_web::rt::spawn(async move { ann.get("/v1/alerts").await.status });
    }
    let until = async |query: &str, holds: &dyn Fn(&str) -> bool| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(8);
        loop {
            let found = app.rows(query).await.remove(0);
            if holds(&found) {
                return found;
            }
            assert!(std::time::Instant::now() < deadline, "{query} still gives {found}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let waiting = "SELECT count(*)::text FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until(waiting, &|it: &str| it == "4").await;
    let lease = "SELECT lease_until::text FROM workflow_runs WHERE state = 'running'";
    let before = app.rows(lease).await.remove(0);
    app.clock.advance(SignedDuration::from_secs(2));
    until(lease, &|it: &str| it != before).await;
    assert_eq!(app.rows(waiting).await, ["4"], "they wait still");
    working.abort();
}
