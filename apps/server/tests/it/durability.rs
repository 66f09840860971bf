//! What makes a run or an alert stop for ever, or somebody else's with it: results that cannot be kept or read, definitions of
//! newer servers, many of one, and clocks that differ.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use plinth_core::ManualClock;
use serde_json::{Value, json};

use crate::app::{Person, TestApp};
use crate::workflows::{Receiver, body, detail, make, run, shop};

fn post_to(url: &str) -> Value {
    json!([{ "name": "post", "type": "http", "url": url, "json": { "n": "{{ row_count }}" } }])
}

async fn queue(person: &Person, workflow: &str) -> String {
    let queued = person.post(&format!("/v1/workflows/{workflow}/run"), json!({})).await;
    assert_eq!(queued.status, 202, "{}", queued.text);
    queued.body["data"]["id"].as_str().unwrap().to_owned()
}

/// Saves a query, and an alert on whether it has rows that is evaluated every five minutes; gives the alert's path.
async fn alert(person: &Person, connection: &str, sql: &str) -> String {
    let asked = person.sql(connection, sql).await;
    assert_eq!(asked.status, 200, "{}", asked.text);
    let alert = json!({ "name": "Any", "query_id": asked.body["data"]["query_id"],
        "condition": { "type": "has_rows" }, "schedule": { "every": "5_minutes" } });
    let made = person.post("/v1/alerts", alert).await;
    assert_eq!(made.status, 201, "{}", made.text);
    format!("/v1/alerts/{}", made.body["data"]["id"].as_str().unwrap())
}

/// A condition on Plinth's rows of the workflow of that name.
fn named(name: &str) -> String {
    format!("workflow_id = (SELECT id FROM workflows WHERE name = '{name}')")
}

#[actix_web::test]
async fn what_postgres_does_not_keep_is_kept_all_the_same() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    // Written so that no NUL stands in the workflow itself, which would be refused.
    let nul = r#"SELECT ('{"a": "x' || chr(92) || 'u0000y"}')::json AS nul"#;
    let sql = format!("{nul}, (repeat('[', 125) || repeat(']', 125))::json AS deep");
    let step = json!({ "name": "odd", "type": "sql", "connection_id": connection, "sql": sql });
    let receiver = Receiver::answering(&["503 Busy", "200 OK"]).await;
    let more = json!({ "steps": [step], "actions": post_to(&receiver.url) });
    let workflow = make(&ann, body("Odd", &connection, &more)).await;
    let first = run(&app, &ann, &workflow).await;
    assert_eq!(first["status"], "queued", "the receiver was busy: {first}");
    // Whoever goes on reads it again.
    app.clock.advance(SignedDuration::from_secs(10));
    app.services.worker.drain().await.unwrap();
    let done = detail(&ann, &workflow, first["id"].as_str().unwrap()).await;
    assert_eq!(done["status"], "succeeded", "{done}");
    let row = &done["steps"][0]["result"]["rows"][0];
    assert_eq!(row[0], json!({ "a": "x\u{fffd}y" }), "{done}");
    assert_eq!(row[1], json!("[".repeat(125) + &"]".repeat(125)));

    let path = alert(&ann, &connection, nul).await;
    assert_eq!(app.services.alert_worker.drain().await.unwrap(), 1);
    assert_eq!(ann.get(&path).await.body["data"]["state"], "triggered");
}

#[actix_web::test]
async fn what_cannot_be_written_down_ends_and_is_not_done_again() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let workflow = make(&ann, body("Unkept", &connection, &json!({}))).await;
    app.behind_its_back(
        "ALTER TABLE workflow_run_steps ADD CHECK (name <> 'late');
         ALTER TABLE alert_evaluations ADD CHECK (glance IS NULL)",
    )
    .await;
    let done = run(&app, &ann, &workflow).await;
    assert_eq!(done["status"], "failed", "{done}");
    assert_eq!(done["error"], "late: what came of it cannot be stored", "{done}");
    let path = alert(&ann, &connection, "SELECT id FROM orders").await;
    assert_eq!(app.services.alert_worker.drain().await.unwrap(), 1);
    assert_eq!(ann.get(&path).await.body["data"]["state"], "error");
    let found = ann.get(&format!("{path}/evaluations")).await;
    assert_eq!(found.body["data"][0]["error"], "what it found cannot be stored", "{}", found.text);
    app.clock.advance(SignedDuration::from_secs(4));
    assert_eq!(app.services.worker.drain().await.unwrap(), 0);
    assert_eq!(app.services.alert_worker.drain().await.unwrap(), 0, "it waits for its next slot");
}

#[actix_web::test]
async fn a_run_whose_results_cannot_be_read_ends_and_holds_up_no_other() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let receiver = Receiver::answering(&["503 Busy", "503 Busy", "200 OK"]).await;
    let more = json!({ "actions": post_to(&receiver.url) });
    let workflow = make(&ann, body("Read again", &connection, &more)).await;
    let (first, second) = (queue(&ann, &workflow).await, queue(&ann, &workflow).await);
    assert_eq!(app.services.worker.drain().await.unwrap(), 2);
    let result =
        format!(r#"{{"columns": ["id"], "rows": [[{}{}]]}}"#, "[".repeat(126), "]".repeat(126));
    app.behind_its_back(&format!(
        "UPDATE workflow_run_steps SET result = '{result}' WHERE run_id =
             (SELECT id FROM workflow_runs ORDER BY created_at, id LIMIT 1)"
    ))
    .await;
    app.clock.advance(SignedDuration::from_secs(10));
    assert_eq!(app.services.worker.drain().await.unwrap(), 2);
    let runs = ann.get(&format!("/v1/workflows/{workflow}/runs")).await;
    let of = |id: &str| {
        let all = runs.body["data"].as_array().unwrap();
        all.iter().find(|it| it["id"] == id).unwrap().clone()
    };
    let ends = [of(&first), of(&second)];
    let unread = ends.iter().find(|it| it["status"] == "failed").expect("one failed");
    assert_eq!(unread["error"], "what its steps found cannot be read any more");
    assert!(ends.iter().any(|it| it["status"] == "succeeded"), "{}", runs.text);
}

/// Also where they were found by somebody else, before these runs were taken over.
#[actix_web::test]
async fn large_results_of_one_organization_make_no_other_wait() {
    let (app, target) = (TestApp::start().await, shop().await);
    let (ann, bob) = (app.owner_of("Example").await, app.owner_of("Other").await);
    let connection = ann.connect("shop", &target).await;
    let receiver = Receiver::answering(&[""]).await;
    let steps: Vec<_> = (0..20)
        .map(|at| {
            json!({ "name": format!("s{at}"), "type": "sql", "connection_id": connection,
                    "sql": "SELECT 1 AS one" })
        })
        .collect();
    let more = json!({ "steps": steps, "limits": { "concurrency": 100 },
        "actions": [{ "name": "post", "type": "http", "url": receiver.url, "timeout_seconds": 60 }] });
    let workflow = make(&ann, body("Large", &connection, &more)).await;
    for _ in 0..18 {
        queue(&ann, &workflow).await;
    }
    app.behind_its_back(&format!(
        "INSERT INTO workflow_run_steps (org_id, run_id, position, name, is_action, succeeded, result, started_at, ended_at)
         SELECT org_id, id, n, 's' || n, false, true, jsonb_build_object('columns', '[\"x\"]'::jsonb, 'rows',
             jsonb_build_array(jsonb_build_array(repeat('x', CASE n WHEN 0 THEN {} ELSE 1 END)))), created_at, created_at
         FROM workflow_runs, generate_series(0, 19) n;
         UPDATE workflow_runs SET done = 20",
        4 << 20
    ))
    .await;
    let worker = app.services.worker.clone();
    let working = actix_web::rt::spawn(async move { worker.drain().await });
    receiver.has_got(16).await;

    let theirs = bob.connect("shop", &target).await;
    let other = make(&bob, body("Small", &theirs, &json!({}))).await;
    let other = queue(&bob, &other).await;
    app.services.worker.drain().await.unwrap();
    let ended =
        app.rows("SELECT replace(id::text, '-', '') FROM workflow_runs WHERE state = 'succeeded'");
    assert!(other.ends_with(&ended.await[0]), "another organization's run begins, and ends");
    let states = "SELECT state || ' ' || count(*) FROM workflow_runs WHERE ended_at IS NULL GROUP BY state ORDER BY state";
    assert_eq!(app.rows(states).await, ["queued 2", "running 16"]);
    assert_eq!(receiver.got().len(), 16);
    working.abort();
}

#[actix_web::test]
async fn what_a_newer_server_published_is_left_to_it() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let trigger = json!({ "trigger": { "type": "schedule", "every": "5_minutes" } });
    let newer = make(&ann, body("Newer", &connection, &trigger)).await;
    make(&ann, body("Known", &connection, &trigger)).await;
    let of_newer = named("Newer");
    app.behind_its_back(&format!(
        "UPDATE workflow_versions SET definition = definition || '{{\"field\": 1}}' WHERE {of_newer}"
    ))
    .await;
    let run = queue(&ann, &newer).await;
    app.clock.advance(SignedDuration::from_mins(4));
    assert_eq!(app.services.workflows.tick().await.unwrap(), 1, "the other one's");
    assert_eq!(app.services.worker.drain().await.unwrap(), 2);
    let seen = detail(&ann, &newer, &run).await;
    assert_eq!((&seen["status"], &seen["started_at"]), (&json!("queued"), &Value::Null), "{seen}");

    // Here it is: both go on, the slot too.
    app.behind_its_back(&format!(
        "UPDATE workflow_versions SET definition = definition - 'field' WHERE {of_newer}"
    ))
    .await;
    let known = app.another().await;
    app.clock.advance(SignedDuration::from_secs(15));
    assert_eq!(known.workflows.tick().await.unwrap(), 1);
    assert_eq!(known.worker.drain().await.unwrap(), 2);
    let slots = format!(
        "SELECT slot::text FROM workflow_runs WHERE {of_newer} AND state = 'succeeded' AND slot IS NOT NULL"
    );
    assert_eq!(app.rows(&slots).await, ["2026-03-04 05:10:00+00"]);
    assert_eq!(detail(&ann, &newer, &run).await["status"], "succeeded");

    // Nobody waits for ever.
    app.behind_its_back(&format!(
        "UPDATE workflow_versions SET definition = definition || '{{\"field\": 1}}' WHERE {of_newer}"
    ))
    .await;
    let run = queue(&ann, &newer).await;
    app.clock.advance(SignedDuration::from_hours(25));
    app.services.worker.drain().await.unwrap();
    let seen = detail(&ann, &newer, &run).await;
    assert_eq!(seen["error"], "no server here understands the workflow", "{seen}");
}

#[actix_web::test]
async fn however_many_schedules_are_due_at_once_all_servers_share_them_in_one_look() {
    let (app, target) = (TestApp::start().await, shop().await);
    let other = app.another().await;
    let (ann, bob) = (app.owner_of("Example").await, app.owner_of("Other").await);
    let trigger =
        json!({ "trigger": { "type": "schedule", "every": "5_minutes", "misfire": "skip" } });
    for person in [&ann, &bob] {
        let connection = person.connect("shop", &target).await;
        make(person, body("Scheduled", &connection, &trigger)).await;
    }
    // One of them cannot be acted on.
    let columns = "name, description, owner_id, enabled, draft, published, trigger_kind, next_slot, revision, created_at, updated_at";
    app.behind_its_back(&format!(
        "INSERT INTO workflows (id, org_id, {columns})
         SELECT gen_random_uuid(), org_id, {} FROM workflows, generate_series(1, 119) n
         WHERE org_id = (SELECT org_id FROM workflows ORDER BY created_at LIMIT 1);
         INSERT INTO workflow_versions (org_id, workflow_id, number, definition, concurrency, published_by, published_at)
         SELECT w.org_id, w.id, 1, w.draft, 1, w.owner_id, w.created_at FROM workflows w WHERE name ~ ' ';
         DO $$ BEGIN EXECUTE format('ALTER TABLE workflow_events ADD CHECK (workflow_id <> %L)',
             (SELECT id FROM workflows WHERE name = 'Scheduled 7')); END $$",
        columns.replacen("name", "name || ' ' || n", 1)
    ))
    .await;
    app.clock.advance(SignedDuration::from_mins(4));
    let (one, two) = tokio::join!(app.services.workflows.tick(), other.workflows.tick());
    assert_eq!(one.unwrap() + two.unwrap(), 120);
    let events = "SELECT outcome || ' ' || count(*) FROM workflow_events GROUP BY outcome";
    assert_eq!(app.rows(events).await, ["queued 120"]);
    let due = "SELECT name FROM workflows WHERE next_slot <= '2026-03-04T05:12Z'";
    assert_eq!(app.rows(due).await, ["Scheduled 7"]);
}

#[actix_web::test]
async fn machines_whose_clocks_differ_agree_on_what_is_due_and_what_is_over() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    // A slot is evaluated once, also by who thinks that it is still to come.
    let path = alert(&ann, &connection, "SELECT id FROM orders").await;
    app.services.alert_worker.drain().await.unwrap();
    app.clock.advance(SignedDuration::from_mins(5));
    let behind = app.now() - SignedDuration::from_mins(2);
    let behind = app.another_at(Arc::new(ManualClock::at(behind))).await;
    let drained = tokio::time::timeout(Duration::from_secs(30), behind.alert_worker.drain());
    assert_eq!(drained.await.expect("it comes to an end").unwrap(), 1);
    let seen = ann.get(&path).await;
    assert_eq!(seen.body["data"]["next_evaluation_at"], "2026-03-04T05:15:00Z", "{}", seen.text);

    // A run has its whole time, also on a machine that is ahead.
    let receiver = Receiver::answering(&["200 OK", "503 Busy"]).await;
    let more = json!({ "actions": post_to(&receiver.url) });
    let workflow = make(&ann, body("Timed", &connection, &more)).await;
    let first = queue(&ann, &workflow).await;
    let ahead = app.now() + SignedDuration::from_hours(1);
    let ahead = app.another_at(Arc::new(ManualClock::at(ahead))).await;
    assert_eq!(ahead.worker.drain().await.unwrap(), 1);
    assert_eq!(detail(&ann, &workflow, &first).await["status"], "succeeded");
    // And no more than that on any.
    let second = queue(&ann, &workflow).await;
    assert_eq!(app.services.worker.drain().await.unwrap(), 1);
    app.clock.advance(SignedDuration::from_mins(16));
    assert_eq!(behind.worker.drain().await.unwrap(), 1);
    assert_eq!(detail(&ann, &workflow, &second).await["status"], "timed_out");
}
