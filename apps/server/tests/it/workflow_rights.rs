//! What a workflow does it does as its owner: only what they vouched for, only as long as they may, and not for an organization
//! that is being deleted.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::app::{Person, TestApp, send};
use crate::workflows::{Receiver, body, detail, make, run, shop};

/// From editors all orders of up to 20 are hidden.
async fn large_ones(owner: &Person, connection: &str) {
    let policy = json!({ "name": "Large ones", "table": "public.orders", "roles": ["editor"], "rows": "total > 20" });
    let made = owner.post(&format!("/v1/connections/{connection}/policies"), policy).await;
    assert_eq!(made.status, 201, "{}", made.text);
}

async fn saved(person: &Person, connection: &str, sql: &str) -> String {
    let body = json!({ "name": "Saved", "connection_id": connection, "sql": sql });
    let saved = person.post("/v1/queries/save", body).await;
    assert_eq!(saved.status, 201, "{}", saved.text);
    saved.body["data"]["query_id"].as_str().unwrap().to_owned()
}

async fn rewrite(person: &Person, query: &str, sql: &str) {
    let changed = person.patch(&format!("/v1/queries/{query}"), json!({ "sql": sql })).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
}

fn origin(receiver: &Receiver) -> String {
    receiver.url.split_once("/orders").unwrap().0.to_owned()
}

#[actix_web::test]
async fn nobody_lets_anothers_workflow_ask_what_they_wrote() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let query = saved(&ann, &connection, "SELECT count(*) AS n FROM orders").await;
    let steps = json!({ "steps": [{ "name": "late", "type": "saved_query", "query_id": query }] });
    let workflow = make(&ann, body("Hers", &connection, &steps)).await;
    let (eve, _) = app.member(&ann, "eve@example.com", "editor").await;
    let found = async || {
        let done = run(&app, &ann, &workflow).await;
        assert_eq!(done["status"], "succeeded", "{done}");
        done["steps"][0]["result"]["columns"].clone()
    };

    // As long as nothing is hidden from anybody, what is saved is what runs.
    rewrite(&eve, &query, "SELECT count(*) AS many FROM orders").await;
    assert_eq!(found().await, json!(["many"]));

    // What Eve writes then does not run as Ann; what Ann publishes does.
    large_ones(&ann, &connection).await;
    app.clock.advance(SignedDuration::from_secs(2));
    rewrite(&eve, &query, "SELECT id, email FROM orders").await;
    assert_eq!(found().await, json!(["n"]));
    let path = format!("/v1/workflows/{workflow}");
    assert_eq!(ann.post(&format!("{path}/publish"), json!({})).await.status, 200);
    assert_eq!(found().await, json!(["id", "email"]));

    // Of a version that an older server published, the first counts, as of a widget.
    app.behind_its_back("UPDATE workflow_versions SET meant = NULL").await;
    let other = app.another().await;
    let queued = ann.post(&format!("{path}/run"), json!({})).await;
    other.worker.drain().await.unwrap();
    let done = detail(&ann, &workflow, queued.body["data"]["id"].as_str().unwrap()).await;
    assert_eq!(done["steps"][0]["result"]["columns"], json!(["n"]), "{done}");
}

#[actix_web::test]
async fn what_nobody_had_saved_is_not_what_somebody_else_saves_of_it() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let asked = ann.sql(&connection, "SELECT count(*) AS n FROM orders").await;
    let query = asked.body["data"]["query_id"].as_str().unwrap().to_owned();
    let steps = json!({ "steps": [{ "name": "late", "type": "saved_query", "query_id": query }] });
    let workflow = make(&ann, body("Hers", &connection, &steps)).await;
    assert_eq!(run(&app, &ann, &workflow).await["status"], "succeeded");
    large_ones(&ann, &connection).await;
    let (eve, _) = app.member(&ann, "eve@example.com", "editor").await;
    let change = json!({ "saved": true, "sql": "SELECT id, email FROM orders" });
    let changed = eve.patch(&format!("/v1/queries/{query}"), change).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    app.clock.advance(SignedDuration::from_secs(2));
    let failed = run(&app, &ann, &workflow).await;
    assert_eq!(failed["status"], "failed", "{failed}");
    assert!(failed["error"].as_str().unwrap().contains("publish it again"), "{failed}");
}

#[actix_web::test]
async fn an_alert_asks_what_its_owner_vouched_for() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let query = saved(&ann, &connection, "SELECT count(*) AS n FROM orders").await;
    let alert = json!({ "name": "Many", "query_id": query, "condition": { "type": "has_rows" }, "schedule": { "every": "5_minutes" } });
    let made = ann.post("/v1/alerts", alert).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let path = format!("/v1/alerts/{}", made.body["data"]["id"].as_str().unwrap());
    let found = async || {
        app.clock.advance(SignedDuration::from_mins(5));
        app.services.alert_worker.drain().await.unwrap();
        let all = ann.get(&format!("{path}/evaluations")).await;
        all.body["data"][0]["first_row"].clone()
    };
    assert_eq!(found().await, json!({ "n": 2 }));
    large_ones(&ann, &connection).await;
    let (eve, member) = app.member(&ann, "eve@example.com", "editor").await;
    let own = saved(&eve, &connection, "SELECT id FROM orders").await;
    let hers = json!({ "name": "Hers", "query_id": own, "condition": { "type": "has_rows" }, "schedule": { "every": "5_minutes" } });
    let hers = eve.post("/v1/alerts", hers).await;
    assert_eq!(hers.status, 201, "{}", hers.text);
    let hers = format!("/v1/alerts/{}", hers.body["data"]["id"].as_str().unwrap());
    app.clock.advance(SignedDuration::from_secs(2));
    rewrite(&eve, &query, "SELECT id, email FROM orders ORDER BY id").await;
    assert_eq!(found().await, json!({ "n": 2 }), "it is Ann's alert, and not Ann's statement");
    let name = json!({ "notify": { "emails": ["ops@example.com"] } });
    assert_eq!(ann.patch(&path, name).await.status, 200);
    assert_eq!(found().await["id"], 1, "she says what it tells whom: she vouches for it");

    // Who may make no alerts any more has none.
    let viewer = json!({ "role": "viewer" });
    assert_eq!(ann.patch(&format!("/v1/team/members/{member}"), viewer).await.status, 200);
    app.clock.advance(SignedDuration::from_mins(5));
    app.services.alert_worker.drain().await.unwrap();
    assert_eq!(ann.get(&hers).await.body["data"]["status"], "paused");
    let letters = app.letters().await;
    let told = letters.iter().find(|it| it["letter"]["kind"] == "alert_paused").unwrap();
    assert_eq!(told["to"], "managers");
}

#[actix_web::test]
async fn a_call_goes_where_it_went_when_it_was_published() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let (slack, evil) =
        (Receiver::answering(&["200 OK"]).await, Receiver::answering(&["200 OK"]).await);
    let (eve, _) = app.member(&ann, "eve@example.com", "editor").await;
    let keep = async |person: &Person, name: &str, to: &Receiver| {
        let secret = format!("{}/services/T0/B0/x", origin(to));
        let hook = json!({ "name": name, "type": "url", "origin": origin(to), "secret": secret });
        let kept = person.post("/v1/credentials", hook).await;
        assert_eq!(kept.status, 201, "{}", kept.text);
        format!("/v1/credentials/{}", kept.body["data"]["id"].as_str().unwrap())
    };
    let hook = keep(&ann, "hook", &slack).await;
    let more = json!({ "actions": [{ "name": "tell", "type": "slack", "credential": "hook", "text": "late" }] });
    let workflow = make(&ann, body("Told", &connection, &more)).await;
    assert_eq!(run(&app, &ann, &workflow).await["status"], "succeeded");
    assert_eq!(slack.got().len(), 1);

    // What Ann's workflow sends by it is not Eve's to lead elsewhere, or to end; what nobody uses is nobody's harm.
    let other = format!("{}/services/T0/B0/eve", origin(&slack));
    let refused = eve.patch(&hook, json!({ "secret": other })).await;
    assert_eq!(refused.error(), (403, "authorization_error"), "{}", refused.text);
    assert_eq!(eve.patch(&hook, json!({ "name": "old" })).await.status, 403);
    assert_eq!(eve.delete(&hook).await.status, 403);
    let unused = keep(&ann, "unused", &slack).await;
    assert_eq!(eve.patch(&unused, json!({ "secret": other })).await.status, 403);
    assert_eq!(eve.delete(&unused).await.status, 204);

    // Another of the same name is another.
    assert_eq!(ann.delete(&hook).await.status, 204);
    keep(&eve, "hook", &evil).await;
    let failed = run(&app, &ann, &workflow).await;
    assert_eq!(failed["status"], "failed", "{failed}");
    assert!(failed["error"].as_str().unwrap().contains("publish it again"), "{failed}");
    assert!(evil.got().is_empty(), "{:?}", evil.got());
    let path = format!("/v1/workflows/{workflow}");
    assert_eq!(ann.post(&format!("{path}/publish"), json!({})).await.status, 200);
    assert_eq!(run(&app, &ann, &workflow).await["status"], "succeeded");
    assert_eq!((slack.got().len(), evil.got().len()), (1, 1), "she has said so");
}

#[actix_web::test]
async fn an_organization_that_is_being_deleted_does_nothing_until_it_is_restored() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let receiver = Receiver::answering(&["200 OK"]).await;
    let post = json!([{ "name": "post", "type": "http", "url": receiver.url }]);
    let trigger = json!({ "type": "schedule", "every": "5_minutes" });
    let more = json!({ "trigger": trigger, "actions": post });
    let workflow = make(&ann, body("Scheduled", &connection, &more)).await;
    let path = format!("/v1/workflows/{workflow}");
    let query = saved(&ann, &connection, "SELECT count(*) AS n FROM orders").await;
    let alert = json!({ "name": "Many", "query_id": query, "condition": { "type": "has_rows" }, "schedule": { "every": "5_minutes" } });
    assert_eq!(ann.post("/v1/alerts", alert).await.status, 201);
    let queued = ann.post(&format!("{path}/run"), json!({})).await;
    assert_eq!(queued.status, 202, "{}", queued.text);
    app.behind_its_back("UPDATE organizations SET deleting_at = '2026-03-18'").await;

    app.clock.advance(SignedDuration::from_hours(1));
    assert_eq!(app.services.workflows.tick().await.unwrap(), 0);
    assert_eq!(app.services.worker.drain().await.unwrap(), 0);
    assert_eq!(app.services.alert_worker.drain().await.unwrap(), 0);
    assert!(receiver.got().is_empty());

    // Then what waited goes on, and of the slots that were missed there is one run.
    app.behind_its_back("UPDATE organizations SET deleting_at = NULL").await;
    assert_eq!(app.services.workflows.tick().await.unwrap(), 1);
    app.services.worker.drain().await.unwrap();
    assert_eq!(app.services.alert_worker.drain().await.unwrap(), 1);
    assert_eq!(receiver.got().len(), 2);
    let runs = ann.get(&format!("{path}/runs")).await;
    let ended = |it: &Value| it["status"] == "succeeded";
    assert!(runs.body["data"].as_array().unwrap().iter().all(ended), "{}", runs.text);
}

#[actix_web::test]
async fn a_webhook_takes_so_many_calls_a_minute_and_a_flood_is_told_once() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let outcomes = async |path: &str| -> Vec<String> {
        let events = ann.get(&format!("{path}/events?limit=100")).await;
        let all = events.body["data"].as_array().unwrap();
        all.iter().map(|it| it["outcome"].as_str().unwrap().to_owned()).collect()
    };
    let called = async |trigger: Value| {
        let name = trigger.to_string();
        let workflow = make(&ann, body(&name, &connection, &json!({ "trigger": trigger }))).await;
        let path = format!("/v1/workflows/{workflow}");
        let hook = ann.get(&format!("{path}/webhook")).await.body["data"].clone();
        (path, hook["url"].as_str().unwrap().strip_prefix(&app.url).unwrap().to_owned())
    };
    let (path, url) = called(json!({ "type": "webhook", "per_minute": 2 })).await;
    let call = async |url: &str| send(app.request("POST", url).json(&json!({}))).await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(call(&url).await.status);
    }
    assert_eq!(statuses, [202, 202, 429, 429, 429]);
    let refused = app.request("POST", &url).json(&json!({})).send().await.unwrap();
    assert_eq!(refused.headers()["retry-after"], "53", "the next minute begins at 05:07:00");
    let told = outcomes(&path).await;
    assert_eq!(told.iter().filter(|it| it.contains("per_minute")).count(), 1, "{told:?}");
    app.clock.advance(SignedDuration::from_mins(1));
    assert_eq!(call(&url).await.status, 202);

    // Who cannot sign fills neither the minute nor the events.
    let (path, url) = called(json!({ "type": "webhook", "signed": true })).await;
    for _ in 0..30 {
        assert_eq!(call(&url).await.status, 401);
    }
    let told = outcomes(&path).await;
    let last = told.iter().filter(|it| it.contains("not noted")).count();
    assert_eq!((told.len(), last), (10, 1), "{told:?}");
}

#[actix_web::test]
async fn a_workflow_that_is_disabled_begins_nothing_that_triggers_queued() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let hook = json!({ "trigger": { "type": "webhook" } });
    let workflow = make(&ann, body("Called", &connection, &hook)).await;
    let path = format!("/v1/workflows/{workflow}");
    let hook = ann.get(&format!("{path}/webhook")).await.body["data"].clone();
    let url = hook["url"].as_str().unwrap().strip_prefix(&app.url).unwrap().to_owned();
    for _ in 0..2 {
        assert_eq!(send(app.request("POST", &url).json(&json!({}))).await.status, 202);
    }
    assert_eq!(ann.post(&format!("{path}/run"), json!({})).await.status, 202);
    assert_eq!(ann.patch(&path, json!({ "enabled": false })).await.status, 200);
    assert_eq!(app.services.worker.drain().await.unwrap(), 1, "what was asked for by hand");
    let runs = ann.get(&format!("{path}/runs")).await;
    let runs = runs.body["data"].as_array().unwrap();
    let of = |trigger: &str| runs.iter().filter(|it| it["trigger"] == trigger).collect::<Vec<_>>();
    assert_eq!(of("manual")[0]["status"], "succeeded", "{runs:?}");
    assert_eq!(of("webhook").len(), 2);
    for it in of("webhook") {
        assert_eq!(it["status"], "cancelled", "{it}");
        assert!(it["error"].as_str().unwrap().starts_with("workflow_disabled"), "{it}");
    }
}
