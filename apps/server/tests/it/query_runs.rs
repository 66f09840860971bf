//! Answers that nobody waits for, and answers as events.

use std::time::Duration;

use futures_util::StreamExt as _;
use plinth_testdb::TestDatabase;
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use crate::app::{Answer, Person, TestApp, send};

async fn target() -> TestDatabase {
    let script = "
        CREATE TABLE orders (id int PRIMARY KEY, country text, total numeric);
        INSERT INTO orders SELECT i, 'land ' || i % 7, i * 1.5 FROM generate_series(1, 2500) i;
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO plinth_test_owner;
        ANALYZE;
    ";
    TestDatabase::from_sql(script).await.unwrap()
}

/// A statement that runs until somebody ends it.
const ENDLESS: &str =
    "SELECT count(*) FROM generate_series(1, 987654321) a, generate_series(1, 1000) b";

/// How many such statements run, by the server's own word.
async fn running(db: &TestDatabase) -> i64 {
    let (client, connection) = tokio_postgres::connect(&db.superuser_url(), NoTls).await.unwrap();
    actix_web::rt::spawn(connection);
    let query = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND state = 'active' AND query LIKE '%987654321%'
                 AND pid <> pg_backend_pid()";
    client.query_one(query, &[&db.name()]).await.unwrap().get(0)
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        actix_web::rt::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn begin(person: &Person, path: &str, body: Value) -> Answer {
    send(person.request("POST", path).header("prefer", "respond-async").json(&body)).await
}

/// The address of a new run of this statement.
async fn begun(person: &Person, connection: &str, sql: &str) -> String {
    let body = json!({ "connection_id": connection, "sql": sql });
    let begun = begin(person, "/v1/queries", body).await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    assert_eq!(begun.headers["preference-applied"], "respond-async");
    let place = begun.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(place, format!("/v1/query-runs/{}", begun.body["data"]["id"].as_str().unwrap()));
    assert_eq!(begun.body["data"]["state"], "queued");
    place
}

/// The run, once it has ended.
async fn ended(person: &Person, place: &str) -> Value {
    let deadline = std::time::Instant::now() + Duration::from_mins(1);
    loop {
        let run = person.get(place).await;
        assert_eq!(run.status, 200, "{}", run.text);
        let run = run.body["data"].clone();
        if !["queued", "running"].contains(&run["state"].as_str().unwrap()) {
            return run;
        }
        assert!(std::time::Instant::now() < deadline, "never ended: {run}");
        actix_web::rt::time::sleep(Duration::from_millis(30)).await;
    }
}

#[actix_web::test]
async fn who_does_not_wait_comes_back_for_the_rows() {
    let app = TestApp::start().await;
    let db = target().await;
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Orders", &db).await;
    let place = begun(&ann, &connection, "SELECT id, total FROM orders ORDER BY id").await;
    let run = ended(&ann, &place).await;
    assert_eq!((&run["state"], &run["row_count"]), (&json!("succeeded"), &json!(2500)), "{run}");
    assert_eq!((&run["truncated"], &run["error"]), (&json!(false), &Value::Null));
    let results = run["results_url"].as_str().unwrap();

    let (mut rows, mut next) = (Vec::new(), String::new());
    let mut pages = 0;
    loop {
        let page = ann.get(&format!("{results}?limit=700{next}")).await;
        assert_eq!(page.status, 200, "{}", page.text);
        assert_eq!(page.body["data"]["columns"], json!(["id", "total"]));
        assert_eq!(page.body["data"]["schema"][1], json!({ "name": "total", "type": "numeric" }));
        rows.extend(page.body["data"]["rows"].as_array().unwrap().clone());
        pages += 1;
        match page.body["meta"]["next_cursor"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!((pages, rows.len()), (4, 2500));
    for (row, id) in rows.iter().zip(1..) {
        assert_eq!(row[0], json!(id));
    }
    assert_eq!(rows[1], json!([2, 3.0]));
    // What is kept of them is not to be read.
    let kept = app.rows("SELECT encode(rows, 'escape') FROM query_run_pages").await;
    assert!(kept.len() > 2 && kept.iter().all(|it| !it.contains("],[1") && !it.contains("],[2")));

    // A cursor of another run is none.
    let other = begun(&ann, &connection, "SELECT id FROM orders WHERE id < 3").await;
    ended(&ann, &other).await;
    assert_eq!(ann.get(&format!("{other}/results?{}", &next[1..])).await.status, 422);
    assert_eq!(ann.get(&format!("{other}/results?limit=0")).await.status, 422);

    // It stands in the history like any other.
    let query = ann.get(&format!("/v1/queries/{}", run["query_id"].as_str().unwrap())).await;
    assert_eq!(query.body["data"]["row_count"], 2500, "{}", query.text);

    // Nobody else sees it: not another organization, not a colleague, not a key of less.
    let bob = app.owner_of("Bob").await;
    let (colleague, _) = app.member(&ann, "cy@example.com", "admin").await;
    let key = ann
        .post("/v1/api-keys", json!({ "name": "Test", "scopes": ["read"], "is_test": true }))
        .await;
    assert_eq!(key.status, 201, "{}", key.text);
    let by_test_key = app.somebody(key.body["data"]["key"].as_str().unwrap());
    for person in [&bob, &colleague, &by_test_key] {
        for path in [place.clone(), format!("{place}/results")] {
            let none = person.get(&path).await;
            assert_eq!(none.error(), (404, "not_found"), "{path} {}", none.text);
        }
        let none = person.post(&format!("{place}/cancel"), json!({})).await;
        assert_eq!(none.error(), (404, "not_found"), "{}", none.text);
    }

    // Its time is over.
    app.clock.advance(jiff::SignedDuration::from_mins(61));
    assert_eq!(ann.get(&place).await.status, 404);
    assert_eq!(app.services.query_runs.sweep().await.unwrap(), 2);
    assert_eq!(app.rows("SELECT run_id::text FROM query_run_pages").await.len(), 0);
}

#[actix_web::test]
async fn a_run_is_cancelled_from_any_server() {
    let app = TestApp::start().await;
    let db = target().await;
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Orders", &db).await;
    // Schema and plan are there before.
    ann.sql(&connection, "SELECT count(*) FROM generate_series(1, 3) a").await.rows();
    for by_another in [false, true] {
        let place = begun(&ann, &connection, ENDLESS).await;
        until("the statement runs", async || running(&db).await > 0).await;
        let early = ann.get(&format!("{place}/results")).await;
        assert_eq!(early.error(), (409, "conflict"), "{}", early.text);
        assert_eq!(early.body["error"]["details"]["state"], "running");
        if by_another {
            // Another process over the same database, which knows of it by that alone.
            let other = app.another().await;
            let principal = other.tenancy.authenticate(&ann.key, std::sync::Arc::default()).await;
            let permit = plinth_core::Permit::check(&principal.unwrap()).unwrap();
            let id = place.rsplit('/').next().unwrap().parse().unwrap();
            let told = other.query_runs.cancel(&permit, id).await.unwrap();
            assert!(told.is_cancel_wanted);
        } else {
            let told = ann.post(&format!("{place}/cancel"), json!({})).await;
            assert_eq!(told.status, 202, "{}", told.text);
            assert_eq!(told.body["data"]["cancel_requested"], true);
        }
        let run = ended(&ann, &place).await;
        assert_eq!(run["state"], "cancelled", "{run}");
        until("the statement is cancelled", async || running(&db).await == 0).await;
        assert_eq!(ann.get(&format!("{place}/results")).await.status, 409);
        let again = ann.post(&format!("{place}/cancel"), json!({})).await;
        assert_eq!((again.status, &again.body["data"]["state"]), (202, &json!("cancelled")));
    }
    let history = ann.get("/v1/queries?outcome=cancelled").await;
    assert_eq!(history.body["data"].as_array().unwrap().len(), 2, "{}", history.text);
}

#[actix_web::test]
async fn what_becomes_of_a_run_is_told_as_if_one_had_waited() {
    let app = TestApp::start().await;
    let db = target().await;
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Orders", &db).await;
    let failed =
        ended(&ann, &begun(&ann, &connection, "SELECT 1 / (id - id) FROM orders").await).await;
    assert_eq!((&failed["state"], &failed["results_url"]), (&json!("failed"), &Value::Null));
    let error = &failed["error"];
    assert_eq!(
        (&error["code"], &error["details"]["sqlstate"]),
        (&json!("query_error"), &json!("22012")),
        "{failed}"
    );
    let refused = ended(&ann, &begun(&ann, &connection, "DELETE FROM orders").await).await;
    assert_eq!(refused["error"]["details"]["reason"], "sql_rejected", "{refused}");

    let body = json!({ "connection_id": connection, "sql": ENDLESS, "timeout_ms": 300 });
    let slow = begin(&ann, "/v1/queries", body).await;
    let slow = ended(&ann, slow.headers["location"].to_str().unwrap()).await;
    assert_eq!(
        (&slow["state"], &slow["error"]["code"]),
        (&json!("timed_out"), &json!("query_timeout")),
        "{slow}"
    );

    let body =
        json!({ "connection_id": connection, "sql": "SELECT id FROM orders", "row_limit": 10 });
    let cut = begin(&ann, "/v1/queries", body).await;
    let cut = ended(&ann, cut.headers["location"].to_str().unwrap()).await;
    assert_eq!(
        (&cut["truncated_by"], &cut["row_count"], &cut["row_limit"]),
        (&json!("rows"), &json!(10), &json!(10))
    );

    // What can be told at once is.
    let none =
        json!({ "connection_id": "conn_018f3a2b4c5d7e6f8091a2b3c4d5e6f7", "sql": "SELECT 1" });
    assert_eq!(begin(&ann, "/v1/queries", none).await.status, 404);
    let body = json!({ "connection_id": connection, "sql": "SELECT 1", "row_limit": 0 });
    assert_eq!(begin(&ann, "/v1/queries", body).await.status, 422);
    // What has no place in a run is answered at once.
    for more in [json!({ "format": "csv" }), json!({ "dry_run": true })] {
        let mut body = json!({ "connection_id": connection, "sql": "SELECT 1" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(begin(&ann, "/v1/queries", body).await.status, 200);
    }

    // A saved query, with values; also by those who run nothing else.
    let saved = json!({
        "name": "Of a land", "connection_id": connection,
        "sql": "SELECT count(*) AS n FROM orders WHERE country = {{ land }}",
        "parameters": [{ "name": "land", "type": "text" }],
    });
    let saved = ann.post("/v1/queries/save", saved).await;
    let path = format!("/v1/queries/{}/run", saved.body["data"]["query_id"].as_str().unwrap());
    let (viewer, _) = app.member(&ann, "vi@example.com", "viewer").await;
    let run = begin(&viewer, &path, json!({ "parameters": { "land": "land 3" } })).await;
    assert_eq!(run.status, 202, "{}", run.text);
    let place = run.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(ended(&viewer, &place).await["state"], "succeeded");
    assert_eq!(viewer.get(&format!("{place}/results")).await.body["data"]["rows"], json!([[357]]));
    let body = json!({ "connection_id": connection, "sql": "SELECT 1" });
    assert_eq!(begin(&viewer, "/v1/queries", body).await.status, 403);

    // The process that runs it ends in good order.
    let place = begun(&ann, &connection, ENDLESS).await;
    until("the statement runs", async || running(&db).await > 0).await;
    app.services.query_runs.stop().await;
    let stopped = ended(&ann, &place).await;
    assert_eq!(
        (&stopped["state"], &stopped["error"]["details"]["reason"]),
        (&json!("failed"), &json!("server_lost"))
    );
    until("the statement is cancelled", async || running(&db).await == 0).await;

    // The process that runs it is gone.
    let place = begun(&ann, &connection, "SELECT 1").await;
    ended(&ann, &place).await;
    app.behind_its_back(
        "UPDATE query_runs SET state = 'running', finished_at = NULL, expires_at = NULL, leased_until = '2026-03-04'",
    )
    .await;
    let lost = ended(&ann, &place).await;
    assert_eq!(
        (&lost["state"], &lost["error"]["details"]["reason"]),
        (&json!("failed"), &json!("server_lost"))
    );
}

/// Events as they come: name and data.
async fn events(request: reqwest::RequestBuilder) -> Vec<(String, Value)> {
    let response = request.header("accept", "text/event-stream").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    read(&response.text().await.unwrap())
}

fn read(text: &str) -> Vec<(String, Value)> {
    let blocks = text.split("\n\n").filter(|it| !it.is_empty() && !it.starts_with(':'));
    let event = |block: &str| {
        let (name, data) = block.split_once('\n').unwrap();
        let data = data.strip_prefix("data: ").unwrap();
        (name.strip_prefix("event: ").unwrap().to_owned(), serde_json::from_str(data).unwrap())
    };
    blocks.map(event).collect()
}

#[actix_web::test]
async fn events_say_what_is_done_as_it_is_done() {
    let app = TestApp::start().await;
    let db = target().await;
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Orders", &db).await;
    let sql = "SELECT id, repeat('x', 100) AS x FROM orders ORDER BY id";
    let body = json!({ "connection_id": connection, "sql": sql });
    let told = events(ann.request("POST", "/v1/queries").json(&body)).await;
    let names: Vec<_> = told.iter().map(|it| it.0.as_str()).collect();
    assert_eq!(names[..3], ["state", "sql", "rows"], "{names:?}");
    assert_eq!(names[names.len() - 3..], ["usage", "state", "done"], "{names:?}");
    assert_eq!((&told[1].1["sql"], &told[1].1["engine"]), (&json!(sql), &json!("sql")));
    assert_eq!(told[2].1["columns"], json!(["id", "x"]));
    let rows = told.iter().filter(|it| it.0 == "rows");
    let rows: Vec<_> = rows.flat_map(|it| it.1["rows"].as_array().unwrap().clone()).collect();
    assert_eq!((rows.len(), &rows[2499][0]), (2500, &json!(2500)));
    assert!(names.iter().filter(|it| **it == "rows").count() > 2, "in pieces: {names:?}");
    let usage = &told[names.len() - 3].1;
    assert_eq!((&usage["row_count"], &usage["truncated"]), (&json!(2500), &json!(false)));
    assert_eq!(usage["tables"], json!(["public.orders"]));
    assert_eq!(told.last().unwrap().1["state"], "succeeded");
    assert_eq!(told.last().unwrap().1["query_id"], told[1].1["query_id"]);

    let question = json!({ "connection_id": connection, "question": "How many orders are there?" });
    let told = events(ann.request("POST", "/v1/queries").json(&question)).await;
    assert_eq!(told[1].0, "sql");
    assert!(
        told[1].1["explanation"].is_string() && told[1].1["confidence"].is_number(),
        "{told:?}"
    );
    assert_eq!(told[3].1["rows"], json!([[2500]]), "{told:?}");

    let body = json!({ "connection_id": connection, "sql": "SELECT 1 / (id - 2000) FROM orders ORDER BY id" });
    let told = events(ann.request("POST", "/v1/queries").json(&body)).await;
    let error = told.iter().find(|it| it.0 == "error").unwrap();
    assert_eq!(error.1["error"]["details"]["sqlstate"], "22012");
    assert_eq!(told.last().unwrap().1["state"], "failed");
    assert!(!told.iter().any(|it| it.0 == "usage"));

    let saved = json!({ "name": "One", "connection_id": connection, "sql": "SELECT 1 AS one" });
    let saved = ann.post("/v1/queries/save", saved).await;
    let path = format!("/v1/queries/{}/run", saved.body["data"]["query_id"].as_str().unwrap());
    let told = events(ann.request("POST", &path).json(&json!({}))).await;
    assert_eq!(told[1].1["run_of"]["version"], 1, "{told:?}");
    assert_eq!(told[3].1["rows"], json!([[1]]));

    // Who may not is told so before anything is streamed.
    let (viewer, _) = app.member(&ann, "vi@example.com", "viewer").await;
    let bob = app.owner_of("Bob").await;
    for (person, code) in [(&viewer, "authorization_error"), (&bob, "not_found")] {
        let told = events(person.request("POST", "/v1/queries").json(&question)).await;
        let error = told.iter().find(|it| it.0 == "error").unwrap();
        assert_eq!(error.1["error"]["code"], code, "{told:?}");
    }
}

#[actix_web::test]
async fn a_stream_ends_with_the_entry_that_was_made_also_where_nothing_came_of_it() {
    let app = TestApp::start().await;
    let db = target().await;
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Orders", &db).await;
    let stream = async |path: &str, body: Value| {
        let told = events(ann.request("POST", path).json(&body)).await;
        let (name, done) = told.last().unwrap().clone();
        assert_eq!((name.as_str(), &done["state"]), ("done", &json!("failed")), "{told:?}");
        (told, done["query_id"].clone())
    };
    let outcome = async |id: &Value| {
        let shown = ann.get(&format!("/v1/queries/{}", id.as_str().unwrap())).await;
        assert_eq!(shown.status, 200, "{}", shown.text);
        shown.body["data"]["outcome"].clone()
    };
    for (sql, became) in [
        ("SELECT 1 / 0", "failed"),
        ("SELECT 1 / (id - 2000) FROM orders ORDER BY id", "failed"),
        ("DROP TABLE orders", "rejected"),
    ] {
        let body = json!({ "connection_id": connection, "sql": sql });
        let (told, id) = stream("/v1/queries", body).await;
        let statement = &told.iter().find(|it| it.0 == "sql").unwrap().1;
        assert_eq!((&statement["query_id"], &statement["sql"]), (&id, &json!(sql)));
        assert!(statement.get("outcome").is_none(), "not known yet: {statement}");
        assert_eq!(outcome(&id).await, became, "{sql}");
    }

    // A run has an entry of its own.
    let saved = json!({
        "name": "Split", "connection_id": connection, "sql": "SELECT 1 / {{ parts }}::int AS part",
        "parameters": [{ "name": "parts", "type": "number" }],
    });
    let saved = ann.post("/v1/queries/save", saved).await;
    let saved = saved.body["data"]["query_id"].as_str().unwrap();
    let run = format!("/v1/queries/{saved}/run");
    let (_, id) = stream(&run, json!({ "parameters": { "parts": 0 } })).await;
    assert_ne!(id, saved);
    assert_eq!(outcome(&id).await, "failed");

    // Of what is not understood there is no statement to tell of.
    let question = json!({ "connection_id": connection, "question": "flibbertigibbets glorp?" });
    let (told, id) = stream("/v1/queries", question).await;
    assert!(!told.iter().any(|it| it.0 == "sql"), "{told:?}");
    assert_eq!(outcome(&id).await, "not_answerable");

    // Without an entry there is none to name.
    let nowhere = "conn_018f3a2b4c5d7e6f8091a2b3c4d5e6f7";
    let nowhere = json!({ "connection_id": nowhere, "sql": "SELECT 1" });
    for (path, body) in [("/v1/queries", nowhere), (run.as_str(), json!({}))] {
        let (_, id) = stream(path, body).await;
        assert_eq!(id, Value::Null, "{path}");
    }
}

#[actix_web::test]
async fn a_stream_says_that_it_is_there_and_hanging_up_cancels() {
    let app = TestApp::start().await;
    let db = target().await;
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Orders", &db).await;
    ann.sql(&connection, "SELECT count(*) FROM generate_series(1, 3) a").await.rows();
    let body = json!({ "connection_id": connection, "sql": ENDLESS });
    let request = ann.request("POST", "/v1/queries").header("accept", "text/event-stream");
    let mut stream = request.json(&body).send().await.unwrap().bytes_stream();
    let (mut text, begun) = (String::new(), std::time::Instant::now());
    while !text.contains("\n\n: ") && !text.starts_with(": ") {
        assert!(begun.elapsed() < Duration::from_secs(30), "a heartbeat in time: {text}");
        text.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
    }
    let told = read(&text);
    assert_eq!(
        (told[0].0.as_str(), told[1].0.as_str(), told.len()),
        ("state", "sql", 2),
        "before it has answered"
    );
    assert_eq!(running(&db).await, 1);
    drop(stream);
    until("the statement is cancelled", async || running(&db).await == 0).await;
}
