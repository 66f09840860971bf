use std::time::Duration;

use plinth_queries::QuerySettings;
use plinth_testdb::TestDatabase;
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use crate::app::{Person, TestApp, send};

async fn target() -> TestDatabase {
    let script = "
        CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, country text NOT NULL);
        CREATE TABLE orders (
            id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, total numeric(12,2), placed_at timestamptz);
        INSERT INTO customers SELECT i, 'Customer ' || i, (ARRAY['Germany', 'France'])[1 + i % 2] FROM generate_series(1, 10) i;
        INSERT INTO orders SELECT i, 1 + i % 9, i * 1.5, now() - i * interval '1 day' FROM generate_series(1, 100) i;
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO plinth_test_owner;
        ANALYZE;
    ";
    TestDatabase::from_sql(script).await.unwrap()
}

async fn shop(app: &TestApp) -> (Person, String, TestDatabase) {
    let db = target().await;
    let ann = app.owner_of("Acme").await;
    let id = ann.connect("Shop", &db).await;
    (ann, id, db)
}

#[actix_web::test]
async fn a_question_is_answered_with_its_sql_and_rows() {
    let app = TestApp::start().await;
    let (ann, id, _db) = shop(&app).await;
    let answer = ann.ask(&id, "How many customers are there?").await;
    assert_eq!(answer.rows(), &json!([[10]]));
    let data = &answer.body["data"];
    assert!(data["query_id"].as_str().unwrap().starts_with("q_"));
    assert!(data["sql"].as_str().unwrap().contains("count(*)"));
    assert_eq!(data["results"]["columns"], json!(["count"]));
    assert_eq!(data["results"]["row_count"], 1);
    assert_eq!((&data["outcome"], &data["engine"]), (&json!("answered"), &json!("embedded")));
    assert!(data["confidence"].as_f64().unwrap() > 0.5);
    assert!(!data["explanation"].as_str().unwrap().is_empty());
    assert_eq!(data["tables"], json!(["public.customers"]));
    assert!(data["execution_time_ms"].is_number() && data["timings"]["engine_ms"].is_number());
    assert!(
        answer.body["meta"]["request_id"].is_string()
            && answer.body["meta"]["timestamp"].is_string()
    );
    assert!(answer.headers.contains_key("content-length"), "a small answer has its size");
}

#[actix_web::test]
async fn what_is_not_understood_is_said_and_not_guessed() {
    let app = TestApp::start().await;
    let (ann, id, _db) = shop(&app).await;
    let answer = ann.ask(&id, "What is the airspeed velocity of an unladen swallow?").await;
    assert_eq!(answer.error(), (422, "validation_error"), "{}", answer.text);
    let details = &answer.body["error"]["details"];
    assert!(
        details["not_understood"].is_array() || details["options"].is_array(),
        "{}",
        answer.text
    );
    assert!(details["rephrasings"].as_array().is_none_or(|it| it.len() <= 3));
    let history = ann.get("/v1/queries").await;
    assert_eq!(history.body["data"][0]["sql"], Value::Null, "nothing ran");
}

#[actix_web::test]
async fn either_a_question_or_sql() {
    let app = TestApp::start().await;
    let (ann, id, _db) = shop(&app).await;
    for body in [
        json!({ "connection_id": id }),
        json!({ "connection_id": id, "question": "How many?", "sql": "SELECT 1" }),
        json!({ "connection_id": id, "question": "  " }),
        json!({ "connection_id": id, "question": "x".repeat(3000) }),
        json!({ "connection_id": id, "sql": "SELECT 1", "row_limit": 0 }),
        json!({ "connection_id": id, "sql": "SELECT 1", "row_limit": 100_000_000_u64 }),
        json!({ "connection_id": id, "sql": "SELECT 1", "timeout_ms": 0 }),
        json!({ "connection_id": id, "sql": "SELECT 1", "format": "pdf" }),
        json!({ "connection_id": id, "sql": "SELECT 1", "limit": 5 }),
        json!({ "connection_id": "shop", "sql": "SELECT 1" }),
        json!({ "sql": "SELECT 1" }),
    ] {
        let answer = ann.post("/v1/queries", body.clone()).await;
        assert_eq!(answer.error(), (422, "validation_error"), "{body}: {}", answer.text);
    }
    let unknown = ann.sql("conn_00000000000000000000000000000000", "SELECT 1").await;
    assert_eq!(unknown.error(), (404, "not_found"));
}

#[actix_web::test]
async fn sql_that_the_guard_refuses_says_which_rule() {
    let app = TestApp::start().await;
    let (ann, id, _db) = shop(&app).await;
    for (sql, rule) in [
        ("DELETE FROM orders", "not_a_select"),
        ("SELECT 1; SELECT 2", "multiple_statements"),
        ("WITH x AS (DELETE FROM orders RETURNING *) SELECT * FROM x", "data_modifying_cte"),
        ("SELECT pg_read_file('/etc/passwd')", "function_not_allowed"),
        ("SELECT 1 +", "syntax"),
        ("", "empty"),
    ] {
        let answer = ann.sql(&id, sql).await;
        assert_eq!(answer.error(), (422, "validation_error"), "{sql}: {}", answer.text);
        let details = &answer.body["error"]["details"];
        assert_eq!(
            (&details["reason"], &details["rule"]),
            (&json!("sql_rejected"), &json!(rule)),
            "{sql}"
        );
    }
    let unknown = ann.sql(&id, "SELECT * FROM order").await;
    assert_eq!(unknown.status, 422);
    let missing = ann.sql(&id, "SELECT * FROM ordrs").await;
    assert_eq!(missing.body["error"]["details"]["reason"], "unknown_table", "{}", missing.text);
    assert!(missing.text.contains("orders"), "it says what is near: {}", missing.text);
    assert_eq!(ann.sql(&id, "SELECT * FROM pg_class").await.error(), (403, "authorization_error"));
    assert_eq!(
        ann.sql(&id, "SELECT count(*) FROM orders").await.rows(),
        &json!([[100]]),
        "nothing was deleted"
    );
}

#[actix_web::test]
async fn what_the_database_says_is_passed_on() {
    let app = TestApp::start().await;
    let (ann, id, _db) = shop(&app).await;
    let answer = ann.sql(&id, "SELECT totl FROM orders").await;
    assert_eq!(answer.error(), (500, "query_error"), "{}", answer.text);
    let details = &answer.body["error"]["details"];
    assert_eq!(details["sqlstate"], "42703");
    assert!(details["position"].as_u64().unwrap() > 0);
    assert!(details["hint"].as_str().unwrap().contains("total"));
    assert_eq!(details["sql"], "SELECT totl FROM orders");
    assert_eq!(details["retryable"], false);
    let zero = ann.sql(&id, "SELECT 1 / (id - id) FROM orders").await;
    assert_eq!(zero.body["error"]["details"]["sqlstate"], "22012");
}

#[actix_web::test]
async fn every_kind_of_value_comes_as_json() {
    let app = TestApp::start().await;
    let (ann, id, _db) = shop(&app).await;
    let sql = "SELECT 1::int AS a, 9007199254740993::bigint AS b, 0.1::numeric AS c, 12345678901234567890.5::numeric AS d,
        1.5::float8 AS e, 'NaN'::float8 AS f, true AS g, NULL::text AS h, 'é\"\\'::text AS i, '{\"k\":[1,null]}'::jsonb AS j,
        ARRAY[1,NULL,3] AS k, '2026-01-02 03:04:05+00'::timestamptz AS l, 'infinity'::timestamp AS m, '2026-01-02'::date AS n,
        '\\x00ff'::bytea AS o, int4range(1,5) AS p, '1 day 02:00'::interval AS q, ARRAY['a b','c\"d'] AS r,
        ROW(1,'x') AS s, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS t, '10.0.0.1/8'::inet AS u";
    let answer = ann.sql(&id, sql).await;
    let row = &answer.rows()[0];
    let expected = json!([
        1, "9007199254740993", 0.1, "12345678901234567890.5", 1.5, "NaN", true, null, "é\"\\", { "k": [1, null] },
        [1, null, 3], "2026-01-02T03:04:05+00:00", "infinity", "2026-01-02", "\\x00ff", "[1,5)", "1 day 02:00:00",
        ["a b", "c\"d"], "(1,x)", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "10.0.0.1/8"
    ]);
    for (at, value) in expected.as_array().unwrap().iter().enumerate() {
        assert_eq!(&row[at], value, "column {at}");
    }
    let types: Vec<_> = answer.body["data"]["results"]["schema"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["type"].clone())
        .collect();
    assert_eq!(json!(types[..3]), json!(["integer", "bigint", "numeric"]));
}

#[actix_web::test]
async fn limits_cut_off_and_say_so() {
    let app = TestApp::start().await;
    let (ann, id, _db) = shop(&app).await;
    let body =
        json!({ "connection_id": id, "sql": "SELECT id FROM orders ORDER BY id", "row_limit": 7 });
    let answer = ann.post("/v1/queries", body).await;
    let results = &answer.body["data"]["results"];
    assert_eq!(results["rows"].as_array().unwrap().len(), 7);
    assert_eq!(
        (&results["row_count"], &results["truncated"], &results["truncated_by"]),
        (&json!(7), &json!(true), &json!("rows"))
    );
    let exact = json!({ "connection_id": id, "sql": "SELECT id FROM orders", "row_limit": 100 });
    let whole = ann.post("/v1/queries", exact).await;
    assert_eq!(
        whole.body["data"]["results"]["truncated"], false,
        "exactly as many as allowed is whole"
    );
}

#[actix_web::test]
async fn large_answers_are_streamed_whole_and_bounded() {
    let app = TestApp::with(QuerySettings {
        max_bytes: 8 << 20,
        max_row_bytes: 1 << 20,
        ..QuerySettings::default()
    })
    .await;
    let (ann, id, _db) = shop(&app).await;
    let body = json!({ "connection_id": id, "row_limit": 60_000,
        "sql": "SELECT i, repeat('x', 50) AS filler FROM generate_series(1, 50000) i" });
    let answer = ann.post("/v1/queries", body).await;
    let results = &answer.body["data"]["results"];
    assert_eq!(results["row_count"], 50_000, "{}", &answer.text[..300.min(answer.text.len())]);
    assert_eq!(results["rows"].as_array().unwrap().len(), 50_000);
    assert!(!answer.headers.contains_key("content-length"));

    let body = json!({ "connection_id": id, "row_limit": 1_000_000,
        "sql": "SELECT repeat('x', 1000) FROM generate_series(1, 1000000)" });
    let cut = ann.post("/v1/queries", body).await;
    assert_eq!(cut.body["data"]["results"]["truncated_by"], "bytes");

    // Making it takes a busy server longer than statements have by default.
    let body = json!({ "connection_id": id, "timeout_ms": 300_000, "sql": "SELECT repeat('x', 500000000)" });
    let row = ann.post("/v1/queries", body).await;
    assert_eq!(row.error(), (500, "query_error"), "{}", row.text);
    assert_eq!(row.body["error"]["details"]["reason"], "row_too_large");
}

#[actix_web::test]
async fn time_runs_out_at_the_limit() {
    let app = TestApp::start().await;
    let (ann, id, _db) = shop(&app).await;
    let sql = "SELECT count(*) FROM generate_series(1, 1000000000)";
    let body = json!({ "connection_id": id, "sql": sql, "timeout_ms": 300 });
    let started = std::time::Instant::now();
    let answer = ann.post("/v1/queries", body).await;
    assert_eq!(answer.error(), (504, "query_timeout"), "{}", answer.text);
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(answer.body["error"]["details"]["limit_ms"], 300);
}

/// What runs for this database's role, by the server's own word.
async fn running(db: &TestDatabase) -> i64 {
    let (client, connection) = tokio_postgres::connect(&db.superuser_url(), NoTls).await.unwrap();
    actix_web::rt::spawn(connection);
    let query = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND state = 'active' AND query LIKE '%987654321%'
                 AND pid <> pg_backend_pid()";
    client.query_one(query, &[&db.name()]).await.unwrap().get(0)
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        actix_web::rt::time::sleep(Duration::from_millis(50)).await;
    }
}

#[actix_web::test]
async fn hanging_up_cancels_in_the_database() {
    let app = TestApp::start().await;
    let (ann, id, db) = shop(&app).await;
    let sql = "SELECT count(*) FROM generate_series(1, 987654321) a, generate_series(1, 1000) b";
    let body = json!({ "connection_id": id, "sql": sql });
    // The same words with a known answer make sure that schema and plan are there before.
    ann.sql(&id, "SELECT count(*) FROM generate_series(1, 3) a").await.rows();
    let request = ann.request("POST", "/v1/queries").json(&body).send();
    let request = actix_web::rt::spawn(request);
    until("the statement runs", async || running(&db).await > 0).await;
    request.abort();
    until("the statement is cancelled", async || running(&db).await == 0).await;
    let outcomes = ann.get("/v1/queries").await;
    let cancelled = outcomes.body["data"].as_array().unwrap().iter();
    let cancelled: Vec<_> = cancelled.filter(|it| it["outcome"] == "cancelled").collect();
    assert_eq!(cancelled.len(), 1, "it stands in the history: {}", outcomes.text);
    assert_eq!(ann.sql(&id, "SELECT 1").await.rows(), &json!([[1]]));
}

#[actix_web::test]
async fn csv_says_when_it_is_cut_off() {
    let app = TestApp::start().await;
    let (ann, id, _db) = shop(&app).await;
    let csv = |sql: &str, row_limit: u64| {
        let body = json!({ "connection_id": id, "sql": sql, "row_limit": row_limit });
        ann.request("POST", "/v1/queries").header("accept", "text/csv").json(&body)
    };
    let whole = send(csv("SELECT id FROM orders", 100)).await;
    assert!(!whole.headers.contains_key("x-plinth-truncated"));
    assert_eq!(whole.headers["x-plinth-row-limit"], "100");
    let cut = send(csv("SELECT id FROM orders", 99)).await;
    assert_eq!((cut.status, cut.headers["x-plinth-truncated"].to_str().unwrap()), (200, "rows"));
    let streamed = "SELECT repeat('x', 100) FROM generate_series(1, 20000)";
    assert_eq!(send(csv(streamed, 20_000)).await.text.lines().count(), 20_001);
    let ended = csv(streamed, 10_000).send().await.unwrap().text().await;
    assert!(ended.is_err(), "a part is not taken for the whole");
}

#[actix_web::test]
async fn what_stands_beside_the_rows_is_bounded() {
    let app = TestApp::start().await;
    let (ann, id, _db) = shop(&app).await;
    for format in ["json", "csv", "chart"] {
        let body = json!({ "connection_id": id, "format": format,
            "sql": "SELECT repeat('x', 25000) AS x, i FROM generate_series(1, 5000) i" });
        let answer = ann.post("/v1/queries", body).await;
        assert_eq!(answer.error(), (422, "validation_error"), "{format}");
    }
}

#[actix_web::test]
async fn a_question_with_a_zero_byte_hides_nothing() {
    let app = TestApp::start().await;
    let (ann, id, _db) = shop(&app).await;
    ann.ask(&id, "How many orders are there?").await.rows();
    ann.ask(&id, "glorp \"a\u{0}b\"").await;
    ann.sql(&id, "SELECT 'a\u{0}b'").await;
    let history = ann.get("/v1/queries").await;
    assert_eq!(history.body["data"].as_array().unwrap().len(), 3, "{}", history.text);
}

#[actix_web::test]
async fn a_database_that_dies_in_mid_query_is_told_and_comes_back() {
    let app = TestApp::start().await;
    let (ann, id, db) = shop(&app).await;
    ann.sql(&id, "SELECT 1").await.rows();
    let sql = "SELECT count(*) FROM generate_series(1, 987654321) a, generate_series(1, 1000) b";
    let asked = {
        let (ann, id) = (ann.clone(), id.clone());
        actix_web::rt::spawn(async move { ann.sql(&id, sql).await })
    };
    until("the statement runs", async || running(&db).await > 0).await;
    let (client, connection) = tokio_postgres::connect(&db.superuser_url(), NoTls).await.unwrap();
    actix_web::rt::spawn(connection);
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()";
    client.query(kill, &[&db.name()]).await.unwrap();
    let answer = asked.await.unwrap();
    assert_eq!(answer.error(), (502, "connection_error"), "{}", answer.text);
    assert!(answer.body["error"]["details"]["diagnosis"]["fix_steps"].is_array());
    assert_eq!(ann.sql(&id, "SELECT 1").await.rows(), &json!([[1]]));
}

#[actix_web::test]
async fn the_history_keeps_what_was_asked_and_forgets_what_is_deleted() {
    let app = TestApp::start().await;
    let (ann, id, _db) = shop(&app).await;
    let bob = app.owner_of("Other").await;
    let asked = ann.ask(&id, "How many orders are there?").await;
    app.clock.advance(jiff::SignedDuration::from_secs(1));
    ann.sql(&id, "SELECT nothing FROM orders").await;
    let listed = ann.get("/v1/queries").await;
    let entries = listed.body["data"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "{}", listed.text);
    assert_eq!((&entries[0]["outcome"], &entries[0]["engine"]), (&json!("failed"), &json!("sql")));
    assert_eq!(entries[0]["error"]["details"]["sqlstate"], "42703");
    assert_eq!(entries[1]["question"], "How many orders are there?");
    assert_eq!(ann.get("/v1/queries?saved=true").await.body["data"], json!([]));
    for (field, most) in [("search", 200), ("engine", 200), ("tag", 50)] {
        let value = "a".repeat(most + 1);
        let answer = ann.get(&format!("/v1/queries?{field}={value}")).await;
        assert_eq!(answer.error(), (422, "validation_error"), "{field}");
    }

    let id = asked.body["data"]["query_id"].as_str().unwrap();
    let path = format!("/v1/queries/{id}");
    assert_eq!(ann.get(&path).await.body["data"]["row_count"], 1);
    let again = ann.post(&format!("{path}/run"), json!({})).await;
    assert_eq!(again.rows(), asked.rows());
    assert_ne!(again.body["data"]["query_id"], asked.body["data"]["query_id"]);
    assert_eq!(
        send(ann.request("POST", &format!("{path}/run"))).await.status,
        200,
        "without a body too"
    );
    assert_eq!(bob.get(&path).await.error(), (404, "not_found"));
    assert_eq!(bob.delete(&path).await.error(), (404, "not_found"));
    assert_eq!(ann.delete(&path).await.status, 204);
    assert_eq!(ann.get(&path).await.error(), (404, "not_found"));
}

#[actix_web::test]
async fn the_same_rows_come_in_the_form_that_is_asked_for() {
    let app = TestApp::start().await;
    let (ann, id, _db) = shop(&app).await;
    let sql = "SELECT name, country FROM customers WHERE id <= 2 ORDER BY id";
    let ask = |format: &str| json!({ "connection_id": id, "sql": sql, "format": format });
    let records = ann.post("/v1/queries", ask("json")).await;
    let expected = json!([{ "name": "Customer 1", "country": "France" }, { "name": "Customer 2", "country": "Germany" }]);
    assert_eq!(records.body["data"]["results"]["records"], expected);
    let csv = "name,country\r\nCustomer 1,France\r\nCustomer 2,Germany\r\n";
    assert_eq!(ann.post("/v1/queries", ask("csv")).await.body["data"]["results"]["csv"], csv);
    let alone =
        send(ann.request("POST", "/v1/queries").header("accept", "text/csv").json(&ask("table")))
            .await;
    assert_eq!(alone.text, csv);
    assert!(alone.headers["content-type"].to_str().unwrap().starts_with("text/csv"));
    let chart = json!({ "connection_id": id, "format": "chart", "sql": "SELECT country, count(*) FROM customers GROUP BY 1 ORDER BY 1" });
    let chart = ann.post("/v1/queries", chart).await;
    assert_eq!(chart.body["data"]["chart"]["mark"], "bar", "{}", chart.text);
}

#[actix_web::test]
async fn a_table_made_after_the_snapshot_is_found() {
    let app = TestApp::start().await;
    let (ann, id, db) = shop(&app).await;
    assert_eq!(ann.sql(&id, "SELECT count(*) FROM invoices").await.status, 422);
    let (client, connection) = tokio_postgres::connect(&db.superuser_url(), NoTls).await.unwrap();
    actix_web::rt::spawn(connection);
    client
        .batch_execute(
            "CREATE TABLE invoices (id int); GRANT SELECT ON invoices TO plinth_test_owner",
        )
        .await
        .unwrap();
    app.clock.advance(jiff::SignedDuration::from_secs(11));
    assert_eq!(ann.sql(&id, "SELECT count(*) FROM invoices").await.rows(), &json!([[0]]));
}
