use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use plinth_testdb::TestDatabase;
use plinth_workflows::hook::sign;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::app::{Person, TestApp, send};

pub(crate) async fn shop() -> TestDatabase {
    let target = TestDatabase::create().await.unwrap();
    let (client, connection) =
        tokio_postgres::connect(&target.url(), tokio_postgres::NoTls).await.unwrap();
    actix_web::rt::spawn(connection);
    client
        .batch_execute(
            "CREATE TABLE orders (id int PRIMARY KEY, email text, total numeric);
             INSERT INTO orders VALUES (1, 'cy@example.com', 12.5), (2, 'di@example.com', 30)",
        )
        .await
        .unwrap();
    target
}

/// A receiver that keeps what it gets, and answers by a script, the last line again and again: a status, perhaps with a body
/// after a bar. Where the script is empty it answers nothing and keeps the connection open.
pub(crate) struct Receiver {
    pub(crate) url: String,
    got: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    pub(crate) async fn answering(script: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/orders?token=canary", listener.local_addr().unwrap());
        let got: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = got.clone();
        actix_web::rt::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = Vec::new();
                loop {
                    let mut piece = [0; 4096];
                    let length = stream.read(&mut piece).await.unwrap();
                    assert!(length > 0, "it hung up in the middle of a request");
                    bytes.extend_from_slice(&piece[..length]);
                    let text = String::from_utf8_lossy(&bytes);
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let head = head.to_lowercase();
                    let line = head.lines().find_map(|it| it.strip_prefix("content-length: "));
                    if body.len() >= line.map_or(0, |it| it.parse().unwrap()) {
                        break;
                    }
                }
                let place = {
                    let mut kept = kept.lock().unwrap();
                    kept.push(String::from_utf8(bytes).unwrap());
                    kept.len() - 1
                };
                let status = script[place.min(script.len() - 1)];
                if status.is_empty() {
                    actix_web::rt::spawn(async move {
                        let _open = stream;
                        std::future::pending::<()>().await;
                    });
                    continue;
                }
                let (status, body) = status.split_once('|').unwrap_or((status, "ok"));
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { url, got }
    }

    pub(crate) fn got(&self) -> Vec<String> {
        self.got.lock().unwrap().clone()
    }

    /// Comes back when so many requests came.
    pub(crate) async fn has_got(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while self.got().len() < count {
            assert!(Instant::now() < deadline, "nothing came");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub(crate) fn body(name: &str, connection: &str, more: &Value) -> Value {
    let mut body = json!({
        "name": name, "trigger": { "type": "manual" },
        "steps": [{ "name": "late", "type": "sql", "connection_id": connection,
                    "sql": "SELECT id, email, total FROM orders ORDER BY id" }],
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

pub(crate) async fn make(person: &Person, body: Value) -> String {
    let made = person.post("/v1/workflows", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.body["data"]["id"].as_str().unwrap().to_owned()
}

/// Runs it and gives the run as it is then.
pub(crate) async fn run(app: &TestApp, person: &Person, workflow: &str) -> Value {
    let queued = person.post(&format!("/v1/workflows/{workflow}/run"), json!({})).await;
    assert_eq!(queued.status, 202, "{}", queued.text);
    app.services.worker.drain().await.unwrap();
    let id = queued.body["data"]["id"].as_str().unwrap();
    detail(person, workflow, id).await
}

pub(crate) async fn detail(person: &Person, workflow: &str, run: &str) -> Value {
    let read = person.get(&format!("/v1/workflows/{workflow}/runs/{run}")).await;
    assert_eq!(read.status, 200, "{}", read.text);
    read.body["data"].clone()
}

#[actix_web::test]
async fn a_workflow_asks_judges_and_acts() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let receiver = Receiver::answering(&["503 Busy", "200 OK"]).await;
    let more = json!({
        "conditions": { "type": "all", "of": [
            { "type": "row_count", "is": ">=", "value": 2 },
            { "type": "value", "column": "total", "rows": "any", "is": ">", "value": 20 },
        ] },
        "actions": [
            { "name": "tell", "type": "email", "to_column": { "step": "late", "column": "email" },
              "subject": "{{ row_count }} orders", "body": "# Orders\n\n{{ results_table }}", "csv": {} },
            { "name": "post", "type": "http", "url": receiver.url,
              "headers": { "x-first": "{{ steps.late.email }}" },
              "json": { "text": "{{ row_count }} \"late\"", "rows": "{{ results }}" } },
        ],
    });
    let workflow = make(&ann, body("Late orders", &connection, &more)).await;
    let first = run(&app, &ann, &workflow).await;
    assert_eq!(first["status"], "queued", "the receiver was busy: {first}");
    app.clock.advance(jiff::SignedDuration::from_secs(10));
    app.services.worker.drain().await.unwrap();
    let done = detail(&ann, &workflow, first["id"].as_str().unwrap()).await;
    assert_eq!(
        (&done["status"], &done["conditions"]),
        (&json!("succeeded"), &json!("met")),
        "{done}"
    );
    assert_eq!(done["steps"][0]["result"]["rows"][1], json!([2, "di@example.com", 30]));
    let tries = done["steps"][2]["attempts"].as_array().unwrap();
    let statuses: Vec<_> = tries.iter().map(|it| it["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["failed", "succeeded"], "{done}");
    assert!(!done.to_string().contains("canary"), "a URL's query is no part of the history");

    let mails = app.mailer.sent_to("di@example.com");
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].subject.as_str(), "2 orders");
    assert!(mails[0].html.as_deref().unwrap().contains("<table"));
    assert!(mails[0].attachments[0].bytes.starts_with(b"id,email,total\r\n1,cy@example.com,12.5"));

    let got = receiver.got();
    assert_eq!(got.len(), 2);
    let key = format!("idempotency-key: {}.post", done["id"].as_str().unwrap());
    assert!(got.iter().all(|it| it.contains(&key)), "{got:?}");
    assert!(got[0].contains("x-first: cy@example.com"));
    let sent: Value = serde_json::from_str(got[1].split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(sent["text"], "2 \"late\"");
    assert_eq!(sent["rows"][0]["total"], 12.5);

    // Others of the organization see that it ran, and not what it found; other organizations see nothing.
    let (eve, _) = app.member(&ann, "eve@example.com", "editor").await;
    let seen = detail(&eve, &workflow, done["id"].as_str().unwrap()).await;
    assert_eq!((&seen["status"], &seen["steps"][0]["result"]), (&json!("succeeded"), &Value::Null));
    let posted = &seen["steps"][2]["attempts"][1];
    assert_eq!(posted["request"]["method"], "POST", "{seen}");
    assert_eq!(posted["response"], json!({ "status": 200 }), "{seen}");
    assert!(!seen.to_string().contains("cy@example.com"), "{seen}");
    let bob = app.owner_of("Other").await;
    assert_eq!(bob.get(&format!("/v1/workflows/{workflow}/runs")).await.status, 404);
}

#[actix_web::test]
async fn what_is_wrong_is_said_all_at_once_and_drafts_do_not_run() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let wrong = json!({ "trigger": { "type": "schedule", "cron": "x" }, "actions": [{ "name": "a", "type": "fax" },
        { "name": "b", "type": "slack", "channel": "#ops", "text": "late" }] });
    let refused = ann.post("/v1/workflows", body("Wrong", &connection, &wrong)).await;
    assert_eq!(refused.status, 422);
    let pointers: Vec<_> = refused.body["error"]["details"]["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["/trigger/cron", "/actions/0/type", "/actions/1/credential"]);

    let workflow = make(&ann, body("Draft", &connection, &json!({ "publish": false }))).await;
    let path = format!("/v1/workflows/{workflow}");
    assert_eq!(ann.get(&path).await.body["data"]["status"], "draft");
    assert_eq!(ann.post(&format!("{path}/run"), json!({})).await.status, 409);
    let preview = ann.post(&format!("{path}/preview"), json!({})).await;
    assert_eq!(preview.body["data"]["steps"][0]["result"]["rows"][0][0], 1, "{}", preview.text);
    let published = ann.post(&format!("{path}/publish"), json!({})).await;
    assert_eq!(published.body["data"]["published_version"], 1, "{}", published.text);
    assert_eq!(run(&app, &ann, &workflow).await["status"], "succeeded");

    // An edit that somebody else made is not written over, and what is published stays as it is.
    let edit = json!({ "steps": [{ "name": "none", "type": "sql", "connection_id": connection,
                                   "sql": "SELECT id FROM orders WHERE false" }], "publish": false });
    let old = ann.request("PATCH", &path).header("if-match", "\"1\"").json(&edit);
    assert_eq!(send(old).await.status, 412);
    assert_eq!(ann.patch(&path, edit).await.status, 200);
    assert_eq!(run(&app, &ann, &workflow).await["steps"][0]["name"], "late");
    assert_eq!(
        ann.patch(&path, json!({ "publish": true })).await.body["data"]["published_version"],
        2
    );
    assert_eq!(run(&app, &ann, &workflow).await["steps"][0]["name"], "none");
    let versions = ann.get(&format!("{path}/versions")).await;
    assert_eq!(versions.body["data"].as_array().unwrap().len(), 2);
    let stale = send(ann.request("DELETE", &path).header("if-match", "\"0\"")).await;
    assert_eq!(stale.error(), (412, "precondition_failed"), "{}", stale.text);
    let shown = ann.get(&path).await;
    let read = shown.headers["etag"].to_str().unwrap();
    assert_eq!(send(ann.request("DELETE", &path).header("if-match", read)).await.status, 204);
    assert_eq!(ann.get(&path).await.status, 404);
}

#[actix_web::test]
async fn a_schedule_runs_once_a_slot_and_stops_with_its_owner() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let (eve, member) = app.member(&ann, "eve@example.com", "editor").await;
    let trigger = json!({ "trigger": { "type": "schedule", "every": "5_minutes" } });
    let workflow = make(&eve, body("Scheduled", &connection, &trigger)).await;
    let path = format!("/v1/workflows/{workflow}");
    assert_eq!(ann.get(&path).await.body["data"]["next_run_at"], "2026-03-04T05:10:00Z");
    assert_eq!(app.services.workflows.tick().await.unwrap(), 0);
    app.clock.advance(jiff::SignedDuration::from_mins(4));
    assert_eq!(app.services.workflows.tick().await.unwrap(), 1);
    assert_eq!(app.services.workflows.tick().await.unwrap(), 0);
    app.services.worker.drain().await.unwrap();
    let runs = ann.get(&format!("{path}/runs")).await;
    assert_eq!(runs.body["data"][0]["slot"], "2026-03-04T05:10:00Z", "{}", runs.text);
    assert_eq!(runs.body["data"][0]["status"], "succeeded", "{}", runs.text);

    // Rights are those of the moment: who left has none.
    assert_eq!(ann.delete(&format!("/v1/team/members/{member}")).await.status, 204);
    app.clock.advance(jiff::SignedDuration::from_mins(5));
    assert_eq!(app.services.workflows.tick().await.unwrap(), 1);
    app.services.worker.drain().await.unwrap();
    let paused = ann.get(&path).await.body["data"].clone();
    assert_eq!(paused["status"], "paused", "{paused}");
    assert_eq!(paused["next_run_at"], Value::Null);
    let letters = app.letters().await;
    let told = letters.iter().find(|it| it["letter"]["kind"] == "workflow_paused").unwrap();
    assert_eq!(told["to"], "managers");
    // Who takes it over is whom it runs as.
    let again = ann.post(&format!("{path}/publish"), json!({})).await;
    assert_eq!(again.body["data"]["status"], "enabled", "{}", again.text);
}

#[actix_web::test]
async fn a_webhook_is_called_by_whoever_has_its_url() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let more = json!({
        "trigger": { "type": "webhook", "signed": true },
        "actions": [{ "name": "tell", "type": "email", "to": ["cy@example.com"], "subject": "{{ webhook.order.id }}",
                      "body": "{{ webhook.note }}" }],
    });
    let workflow = make(&ann, body("Called", &connection, &more)).await;
    let path = format!("/v1/workflows/{workflow}");
    let hook = ann.get(&format!("{path}/webhook")).await.body["data"].clone();
    let url = hook["url"].as_str().unwrap().strip_prefix(&app.url).unwrap().to_owned();
    let secret = hook["secret"].as_str().unwrap().to_owned().into();
    let text = r#"{"order":{"id":7},"note":"[x](http://evil.example)"}"#;
    let call = async |id: &str, signed: &str| {
        let at = app.now();
        let signature = sign(&secret, id, at, signed.as_bytes()).unwrap();
        let request = app
            .request("POST", &url)
            .header("webhook-id", id)
            .header("webhook-timestamp", at.as_second().to_string())
            .header("webhook-signature", signature);
        send(request.body(text)).await
    };
    assert_eq!(call("msg_1", "another body").await.status, 401);
    assert_eq!(send(app.request("POST", &url).body(text)).await.status, 401);
    assert_eq!(call("msg_1", text).await.status, 202);
    assert_eq!(call("msg_1", text).await.status, 200, "it was taken before");
    let large = app.request("POST", &url).body("x".repeat(70_000));
    assert_eq!(send(large).await.status, 413);
    app.services.worker.drain().await.unwrap();
    let mails = app.mailer.sent_to("cy@example.com");
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].subject.as_str(), "7");
    assert!(!mails[0].html.as_deref().unwrap().contains("<a "), "data is no Markdown");
    let events = ann.get(&format!("{path}/events")).await;
    assert_eq!(events.body["data"].as_array().unwrap().len(), 4, "{}", events.text);

    assert_eq!(ann.post(&format!("{path}/webhook/rotate"), json!({})).await.status, 204);
    assert_eq!(call("msg_2", text).await.status, 404);
    let none = app.request("POST", "/v1/hooks/nothing").body("{}");
    assert_eq!(send(none).await.status, 404);
}

#[actix_web::test]
async fn a_step_runs_a_saved_query_with_values_of_earlier_ones() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let saved = json!({
        "name": "Order of", "connection_id": connection, "sql": "SELECT email FROM orders WHERE id = {{ id }}",
        "parameters": [{ "name": "id", "type": "number" }], "max_age_seconds": 3600,
    });
    let saved = ann.post("/v1/queries/save", saved).await;
    assert_eq!(saved.status, 201, "{}", saved.text);
    let query = &saved.body["data"]["query_id"];
    let step = |parameters: Value| {
        json!({ "steps": [
            { "name": "newest", "type": "sql", "connection_id": connection, "sql": "SELECT max(id) AS id FROM orders" },
            { "name": "whose", "type": "saved_query", "query_id": query, "parameters": parameters },
        ] })
    };
    let steps = step(json!({ "id": "{{ steps.newest.id }}" }));
    let workflow = make(&ann, body("Newest", &connection, &steps)).await;
    let done = run(&app, &ann, &workflow).await;
    assert_eq!(done["status"], "succeeded", "{done}");
    assert_eq!(done["steps"][1]["result"]["rows"], json!([["di@example.com"]]), "{done}");

    // Values that do not fit fail the run; what cannot be a template is refused when saved.
    let workflow = make(&ann, body("Wrong", &connection, &step(json!({ "id": "x" })))).await;
    let failed = run(&app, &ann, &workflow).await;
    assert_eq!(failed["status"], "failed", "{failed}");
    assert!(failed["error"].as_str().unwrap().contains("parameters.id"), "{failed}");
    for parameters in [json!({ "id": "{{ steps.later.id }}" }), json!(["x"])] {
        let refused = ann.post("/v1/workflows", body("Bad", &connection, &step(parameters))).await;
        assert_eq!(refused.error(), (422, "validation_error"), "{}", refused.text);
    }
}

#[actix_web::test]
async fn what_would_fail_at_each_run_is_refused_when_it_is_saved() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Shop", &target).await;
    let saved = ann
        .post(
            "/v1/queries/save",
            json!({ "name": "Late", "connection_id": connection, "sql": "SELECT id FROM orders WHERE id = {{ id }}",
                    "parameters": [{ "name": "id", "type": "number", "required": true }] }),
        )
        .await;
    assert_eq!(saved.status, 201, "{}", saved.text);
    let query = saved.body["data"]["query_id"].clone();
    let sql = |name: &str, sql: &str| json!({ "name": name, "type": "sql", "connection_id": connection, "sql": sql });
    let asks = |name: &str, parameters: Value| json!({ "name": name, "type": "saved_query", "query_id": query, "parameters": parameters });
    let new = |steps: Vec<Value>| json!({ "name": "All", "trigger": { "type": "manual" }, "steps": steps });
    let refused = ann
        .post(
            "/v1/workflows",
            new(vec![
                sql("a", "SELEC 1"),
                sql("b", "DELETE FROM orders"),
                sql("c", "SELECT * FROM nosuch"),
                sql("d", "SELECT pg_read_file('/etc/passwd')"),
                sql("e", "SELECT id FROM orders WHERE id = {{ steps.a.id }}"),
                asks("f", json!({ "nope": 1 })),
                asks("g", json!({ "id": "{{ steps.e.id }}" })),
            ]),
        )
        .await;
    assert_eq!(refused.error(), (422, "validation_error"), "{}", refused.text);
    let faults = refused.body["error"]["details"]["faults"].as_array().unwrap();
    let at: Vec<_> = faults.iter().map(|it| it["pointer"].as_str().unwrap()).collect();
    assert_eq!(
        at,
        [
            "/steps/0/sql",
            "/steps/1/sql",
            "/steps/2/sql",
            "/steps/3/sql",
            "/steps/5/parameters/nope",
            "/steps/5/parameters/id"
        ],
        "{}",
        refused.text
    );
    let good = ann.post(
        "/v1/workflows",
        new(vec![sql("e", "SELECT 1 AS id"), asks("g", json!({ "id": "{{ steps.e.id }}" }))]),
    );
    let good = good.await;
    assert_eq!(good.status, 201, "{}", good.text);
}

#[actix_web::test]
async fn lists_and_averages_of_one_step_are_values_of_the_next() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let step = |name: &str, sql: &str| json!({ "name": name, "type": "sql", "connection_id": connection, "sql": sql });
    let more = json!({ "steps": [
        step("all", "SELECT array_agg(id ORDER BY id) AS ids, avg(total / 3) AS mean, 9007199254740993 AS big FROM orders"),
        step("again", "SELECT array_agg(id ORDER BY id) AS ids, {{ steps.all.ids }}::int[] AS same, {{ steps.all.mean }}::numeric AS mean
                       FROM orders WHERE id = ANY({{ steps.all.ids }})"),
    ], "actions": [{ "name": "tell", "type": "email", "to": ["ops@example.com"], "body": "x",
        "subject": "{% if steps.all.mean < 8 %}small{% endif %} {{ steps.all.mean | round(2) }} {{ steps.all.big + 1 }}" }] });
    let workflow = make(&ann, body("Lists", &connection, &more)).await;
    let done = run(&app, &ann, &workflow).await;
    assert_eq!(done["status"], "succeeded", "{done}");
    let row = |at: usize| &done["steps"][at]["result"]["rows"][0];
    assert_eq!((&row(1)[0], &row(1)[1]), (&json!([1, 2]), &json!([1, 2])), "{done}");
    assert_eq!(row(1)[2], row(0)[1], "to its last digit: {done}");
    assert!(row(0)[1].is_string(), "no double holds it: {done}");
    let mails = app.mailer.sent_to("ops@example.com");
    assert_eq!(mails.last().unwrap().subject.as_str(), "small 7.08 9007199254740994");
}
