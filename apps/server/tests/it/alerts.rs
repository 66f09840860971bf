use jiff::SignedDuration;
use plinth_testdb::TestDatabase;
use serde_json::{Value, json};

use crate::app::{Person, TestApp, send};
use crate::workflows::shop;

/// A query of the orders whose total is above 20.
async fn saved(person: &Person, connection: &str) -> String {
    let asked = person.sql(connection, "SELECT id, total FROM orders WHERE total > 20 ORDER BY id");
    let asked = asked.await;
    assert_eq!(asked.status, 200, "{}", asked.text);
    asked.body["data"]["query_id"].as_str().unwrap().to_owned()
}

async fn make(person: &Person, query: &str, more: Value) -> String {
    let mut body = json!({
        "name": "Many", "query_id": query, "condition": { "type": "row_count", "is": ">", "value": 1 },
        "schedule": { "every": "5_minutes" },
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let made = person.post("/v1/alerts", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.body["data"]["id"].as_str().unwrap().to_owned()
}

async fn change(target: &TestDatabase, sql: &str) {
    let (client, connection) =
        tokio_postgres::connect(&target.url(), tokio_postgres::NoTls).await.unwrap();
    actix_web::rt::spawn(connection);
    client.batch_execute(sql).await.unwrap();
}

/// Five minutes later: what was evaluated, and how the alert stands.
async fn later(app: &TestApp, person: &Person, path: &str) -> Value {
    app.clock.advance(SignedDuration::from_mins(5));
    app.services.alert_worker.drain().await.unwrap();
    person.get(path).await.body["data"].clone()
}

/// The letters about alerts: what each says, and to whom it goes.
async fn told(app: &TestApp) -> Vec<(String, String)> {
    let mut all: Vec<_> = app
        .letters()
        .await
        .iter()
        .map(|it| {
            let to = it["to"]["address"].as_str().unwrap_or("managers");
            (it["letter"]["kind"].as_str().unwrap().to_owned(), to.to_owned())
        })
        .filter(|it| it.0.starts_with("alert"))
        .collect();
    all.sort_unstable();
    all
}

fn has(told: &[(String, String)], kind: &str, to: &str) -> bool {
    told.iter().any(|it| it.0 == kind && it.1 == to)
}

#[actix_web::test]
async fn an_alert_tells_when_it_begins_and_when_it_ends() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let query = saved(&ann, &connection).await;
    let notify = json!({ "notify": { "emails": ["ops@example.com"] }, "rearm_seconds": 600 });
    let alert = make(&ann, &query, notify).await;
    let path = format!("/v1/alerts/{alert}");
    assert_eq!(ann.get(&path).await.body["data"]["state"], "unknown");
    assert_eq!(ann.get(&format!("/v1/queries/{query}")).await.body["data"]["saved"], true);

    // It is evaluated at once, and then once a slot, however many servers there are.
    let other = app.another().await;
    let (one, two) = tokio::join!(app.services.alert_worker.drain(), other.alert_worker.drain());
    assert_eq!(one.unwrap() + two.unwrap(), 1);
    let stands = ann.get(&path).await.body["data"].clone();
    assert_eq!(stands["state"], "ok", "one order is above 20: {stands}");
    assert_eq!(stands["next_evaluation_at"], "2026-03-04T05:10:00Z");
    change(&target, "INSERT INTO orders VALUES (3, 'ed@example.com', 99)").await;
    let stands = later(&app, &ann, &path).await;
    assert_eq!(
        (&stands["state"], stands["triggered_since"].is_string()),
        (&json!("triggered"), true)
    );
    let begun = told(&app).await;
    assert!(has(&begun, "alert_triggered", "ops@example.com"), "{begun:?}");
    assert!(has(&begun, "alert_triggered", "owner@example.example.com") && begun.len() == 2);
    let text = app.letters().await.last().unwrap()["letter"]["found"].as_str().unwrap().to_owned();
    assert_eq!(text, "2 rows, the first with id = 2, total = 30");
    later(&app, &ann, &path).await;
    assert_eq!(told(&app).await.len(), 2, "it was told");
    later(&app, &ann, &path).await;
    assert_eq!(told(&app).await.len(), 4, "it is told again after ten minutes");

    // What cannot be asked ends nothing, and the owner alone hears of it.
    change(&target, "ALTER TABLE orders RENAME TO gone").await;
    let stands = later(&app, &ann, &path).await;
    assert_eq!(
        (&stands["state"], stands["triggered_since"].is_string()),
        (&json!("error"), true),
        "{stands}"
    );
    assert!(has(&told(&app).await, "alert_failing", "owner@example.example.com"));
    change(&target, "ALTER TABLE gone RENAME TO orders; DELETE FROM orders WHERE id = 3").await;
    let stands = later(&app, &ann, &path).await;
    assert_eq!(
        (&stands["state"], &stands["triggered_since"]),
        (&json!("ok"), &Value::Null),
        "{stands}"
    );
    let all = told(&app).await;
    assert!(has(&all, "alert_resolved", "ops@example.com"), "{all:?}");
    assert_eq!(all.iter().filter(|it| it.0 == "alert_failing").count(), 1);

    let evaluations = ann.get(&format!("{path}/evaluations")).await;
    let told: Vec<_> =
        evaluations.body["data"].as_array().unwrap().iter().map(|it| it["told"].clone()).collect();
    let expected = json!(["resolved", "failing", "reminder", null, "triggered", null]);
    assert_eq!(Value::from(told), expected, "{}", evaluations.text);
    assert_eq!(evaluations.body["data"][0]["first_row"]["total"], 30);
    // Others see how it was judged, and not what was found; other organizations see nothing.
    let (eve, _) = app.member(&ann, "eve@example.com", "editor").await;
    let seen = eve.get(&format!("{path}/evaluations")).await;
    assert_eq!(seen.body["data"][0]["first_row"], Value::Null, "{}", seen.text);
    assert_eq!(seen.body["data"][0]["condition"], "not_met");
    let bob = app.owner_of("Other").await;
    assert_eq!(bob.get(&path).await.status, 404);
    assert_eq!(bob.post(&format!("{path}/evaluate"), json!({})).await.status, 404);
}

#[actix_web::test]
async fn a_muted_alert_tells_nobody_and_what_still_holds_afterwards() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let query = saved(&ann, &connection).await;
    let alert = make(&ann, &query, json!({ "condition": { "type": "has_rows" } })).await;
    let path = format!("/v1/alerts/{alert}");
    let muted = ann.post(&format!("{path}/mute"), json!({ "seconds": 360 })).await;
    assert_eq!(muted.body["data"]["muted_until"], "2026-03-04T05:12:07Z", "{}", muted.text);
    app.services.alert_worker.drain().await.unwrap();
    assert_eq!(later(&app, &ann, &path).await["state"], "triggered");
    assert!(told(&app).await.is_empty());
    later(&app, &ann, &path).await;
    let all = told(&app).await;
    assert!(has(&all, "alert_triggered", "owner@example.example.com") && all.len() == 1, "{all:?}");
    assert_eq!(ann.post(&format!("{path}/mute"), json!({ "seconds": 0 })).await.status, 422);
    assert_eq!(ann.post(&format!("{path}/mute"), json!({})).await.body["data"]["muted"], true);
    assert_eq!(ann.post(&format!("{path}/unmute"), json!({})).await.body["data"]["muted"], false);

    // Another question begins anew, and a change that somebody else made is not written over.
    let edit = json!({ "condition": { "type": "no_rows" } });
    let old = ann.request("PATCH", &path).header("if-match", "\"1\"").json(&edit);
    assert_eq!(send(old).await.status, 412);
    let edited = ann.patch(&path, edit).await;
    assert_eq!((edited.status, &edited.body["data"]["state"]), (200, &json!("unknown")));
    app.services.alert_worker.drain().await.unwrap();
    assert_eq!(ann.get(&path).await.body["data"]["state"], "ok");
    assert_eq!(
        ann.patch(&path, json!({ "enabled": false })).await.body["data"]["next_evaluation_at"],
        Value::Null
    );
    assert_eq!(ann.post(&format!("{path}/evaluate"), json!({})).await.status, 409);
    let stale = send(ann.request("DELETE", &path).header("if-match", "\"0\"")).await;
    assert_eq!(stale.error(), (412, "precondition_failed"), "{}", stale.text);
    let shown = ann.get(&path).await;
    let read = shown.headers["etag"].to_str().unwrap();
    assert_eq!(send(ann.request("DELETE", &path).header("if-match", read)).await.status, 204);
    assert_eq!(ann.get(&path).await.status, 404);
}

#[actix_web::test]
async fn what_is_wrong_with_an_alert_is_said_and_it_stops_with_its_owner() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let query = saved(&ann, &connection).await;
    let wrong = json!({ "name": "Wrong", "query_id": query, "condition": { "type": "guess" },
        "schedule": { "cron": "x" }, "notify": { "emails": ["nobody"] }, "rearm_seconds": 1 });
    let refused = ann.post("/v1/alerts", wrong).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    let pointers: Vec<_> = refused.body["error"]["details"]["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(
        pointers,
        ["/condition/type", "/schedule/cron", "/notify/emails/0", "/rearm_seconds"]
    );
    let body = json!({ "name": "Wrong", "query_id": query, "condition": { "type": "has_rows" },
        "schedule": { "every": "hour" }, "parameters": { "of": 1 } });
    assert_eq!(ann.post("/v1/alerts", body).await.status, 422, "the query has no parameters");

    let (eve, member) = app.member(&ann, "eve@example.com", "editor").await;
    let alert = make(&eve, &query, json!({})).await;
    let path = format!("/v1/alerts/{alert}");
    let same = json!({ "name": "Many", "query_id": query, "condition": { "type": "has_rows" },
        "schedule": { "every": "hour" } });
    assert_eq!(ann.post("/v1/alerts", same).await.status, 409);
    app.services.alert_worker.drain().await.unwrap();
    assert_eq!(ann.delete(&format!("/v1/team/members/{member}")).await.status, 204);
    let paused = later(&app, &ann, &path).await;
    assert_eq!(
        (&paused["status"], &paused["next_evaluation_at"]),
        (&json!("paused"), &Value::Null),
        "{paused}"
    );
    let all = told(&app).await;
    assert!(has(&all, "alert_paused", "managers") && all.len() == 1, "{all:?}");
    let taken = ann.patch(&path, json!({ "notify": {} })).await;
    assert_eq!(
        taken.body["data"]["status"], "enabled",
        "who changes it takes it over: {}",
        taken.text
    );
}

#[actix_web::test]
async fn a_condition_on_a_column_that_is_not_there_is_an_error_that_its_owner_hears_of() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let query = saved(&ann, &connection).await;
    let mistyped = json!({ "type": "value", "column": "totl", "is": ">", "value": 1 });
    let alert = make(&ann, &query, json!({ "condition": mistyped })).await;
    app.services.alert_worker.drain().await.unwrap();
    let path = format!("/v1/alerts/{alert}");
    assert_eq!(ann.get(&path).await.body["data"]["state"], "error");
    let told = told(&app).await;
    assert!(has(&told, "alert_failing", "owner@example.example.com"), "{told:?}");
    let evaluations = ann.get(&format!("{path}/evaluations")).await;
    let said = "a condition asks for the column `totl`, but there is `id`, `total`";
    assert_eq!(evaluations.body["data"][0]["error"], said, "{}", evaluations.text);
}

#[actix_web::test]
async fn whoever_heard_of_trouble_hears_that_it_is_over() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let query = saved(&ann, &connection).await;
    let over = json!({ "type": "value", "column": "total", "is": ">", "value": 25 });
    let notify = json!({ "owner": false, "emails": ["ops@example.com"], "unknown": true });
    let alert = make(&ann, &query, json!({ "condition": over, "notify": notify })).await;
    let (path, owner) = (format!("/v1/alerts/{alert}"), "owner@example.example.com");
    app.services.alert_worker.drain().await.unwrap();
    assert_eq!(ann.get(&path).await.body["data"]["state"], "triggered");

    // The query fails, and works again when the episode is over: the address hears of the end, the owner that it works.
    change(&target, "ALTER TABLE orders RENAME TO gone").await;
    assert_eq!(later(&app, &ann, &path).await["state"], "error");
    change(&target, "ALTER TABLE gone RENAME TO orders; UPDATE orders SET total = 21").await;
    assert_eq!(later(&app, &ann, &path).await["state"], "ok");
    let letters = told(&app).await;
    for (kind, to) in [("alert_failing", owner), ("alert_recovered", owner)] {
        assert!(has(&letters, kind, to), "{kind}: {letters:?}");
    }
    assert!(has(&letters, "alert_resolved", "ops@example.com"), "{letters:?}");
    assert!(!has(&letters, "alert_recovered", "ops@example.com"), "{letters:?}");

    // Who was told that it cannot be judged is told that it can.
    change(&target, "UPDATE orders SET total = 1").await;
    assert_eq!(later(&app, &ann, &path).await["state"], "unknown");
    assert!(has(&told(&app).await, "alert_unknown", "ops@example.com"));
    change(&target, "UPDATE orders SET total = 21").await;
    assert_eq!(later(&app, &ann, &path).await["state"], "ok");
    assert!(has(&told(&app).await, "alert_recovered", "ops@example.com"));
}
