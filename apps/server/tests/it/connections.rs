use std::io::{Read as _, Write as _};

use plinth_testdb::TestDatabase;
use serde_json::{Value, json};

use crate::app::{TestApp, connection, send};

async fn target() -> TestDatabase {
    let script = "
        CREATE TYPE order_status AS ENUM ('open', 'paid');
        CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL);
        COMMENT ON TABLE customers IS 'Who buys.';
        CREATE TABLE orders (
            id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, status order_status, total numeric(12,2));
        CREATE TABLE secret_plans (id int);
        INSERT INTO customers VALUES (1, 'Ann'), (2, 'Bob');
        INSERT INTO orders VALUES (1, 1, 'open', 12.50), (2, 1, 'paid', 99.99);
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO plinth_test_owner;
        ANALYZE;
    ";
    TestDatabase::from_sql(script).await.unwrap()
}

#[actix_web::test]
async fn a_connection_is_kept_without_its_password() {
    let (app, db) = (TestApp::start().await, target().await);
    let ann = app.owner_of("Acme").await;
    let made = ann.post("/v1/connections", connection("Shop", &db)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert!(!made.text.contains(db.password()));
    let id = made.body["data"]["id"].as_str().unwrap();
    assert_eq!(made.headers["location"], format!("/v1/connections/{id}"));
    let shown = ann.get(&format!("/v1/connections/{id}")).await;
    assert_eq!(shown.body["data"], made.body["data"]);
    let self_hosted = ann.get(&format!("/api/v1/connections/{id}")).await;
    assert_eq!(self_hosted.body["data"], made.body["data"]);
    let again = ann.post("/v1/connections", connection("Shop", &db)).await;
    assert_eq!(again.error(), (409, "conflict"));
    assert_eq!(ann.delete(&format!("/v1/connections/{id}")).await.status, 204);
    assert_eq!(ann.get(&format!("/v1/connections/{id}")).await.error(), (404, "not_found"));
    assert_eq!(ann.post("/v1/connections", connection("Shop", &db)).await.status, 201);
}

#[actix_web::test]
async fn another_organizations_connection_does_not_exist() {
    let (app, db) = (TestApp::start().await, target().await);
    let (ann, bob) = (app.owner_of("Acme").await, app.owner_of("Other").await);
    let id = ann.connect("Shop", &db).await;
    for (method, path) in [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/test"),
        ("GET", "/schema"),
        ("POST", "/schema/refresh"),
    ] {
        let path = format!("/v1/connections/{id}{path}");
        let theirs = send(bob.request(method, &path)).await;
        assert_eq!(theirs.error(), (404, "not_found"), "{method} {path}");
    }
    assert_eq!(bob.sql(&id, "SELECT 1").await.error(), (404, "not_found"));
    assert_eq!(bob.ask(&id, "How many orders?").await.error(), (404, "not_found"));
    assert_eq!(bob.get("/v1/connections").await.body["data"], json!([]));
    assert_eq!(ann.sql(&id, "SELECT 1").await.rows(), &json!([[1]]), "the owner's same call");
}

#[actix_web::test]
async fn lists_are_paged_by_cursors_of_their_own() {
    let (app, db) = (TestApp::start().await, target().await);
    let ann = app.owner_of("Acme").await;
    for number in 0..5 {
        app.clock.advance(jiff::SignedDuration::from_secs(1));
        ann.connect(&format!("db {number}"), &db).await;
    }
    let mut seen = Vec::new();
    let mut path = "/v1/connections?limit=2".to_owned();
    loop {
        let page = ann.get(&path).await;
        seen.extend(page.body["data"].as_array().unwrap().iter().map(|it| it["name"].clone()));
        match page.body["meta"]["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/connections?limit=2&cursor={cursor}"),
            None => break,
        }
        assert_eq!(
            ann.get(&path.replace("connections", "queries")).await.error(),
            (422, "validation_error")
        );
    }
    assert_eq!(json!(seen), json!(["db 4", "db 3", "db 2", "db 1", "db 0"]));
    for bad in ["limit=0", "limit=101", "limit=x", "cursor=abc", "page=2"] {
        let answer = ann.get(&format!("/v1/connections?{bad}")).await;
        assert_eq!(answer.error(), (422, "validation_error"), "{bad}: {}", answer.text);
    }
}

#[actix_web::test]
async fn every_field_that_breaks_a_rule_is_named() {
    let (app, db) = (TestApp::start().await, target().await);
    let ann = app.owner_of("Acme").await;
    let cases = [
        ("name", json!("")),
        ("host", json!("/var/run/postgresql")),
        ("host", json!("a,b")),
        ("port", json!(0)),
        ("port", json!(70000)),
        ("database", json!("")),
        ("username", json!("a\nb")),
        ("password", json!("x".repeat(2000))),
        ("ssl_mode", json!("maybe")),
        ("allowed_tables", json!(["public."])),
        ("unknown", json!(1)),
    ];
    for (field, value) in cases {
        let mut body = connection("Shop", &db);
        body[field] = value;
        let answer = ann.post("/v1/connections", body).await;
        assert_eq!(answer.error(), (422, "validation_error"), "{field}: {}", answer.text);
        assert!(answer.body["error"]["details"][field].is_string(), "{field}: {}", answer.text);
    }
    let mut body = connection("Shop", &db);
    body.as_object_mut().unwrap().remove("host");
    let missing = ann.post("/v1/connections", body).await;
    assert!(missing.body["error"]["details"]["host"].is_string(), "{}", missing.text);
}

#[actix_web::test]
async fn bodies_that_cannot_be_read_answer_in_the_envelope() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    for body in [&b"{"[..], b"", b"[]", b"null", b"\xff\xfe", b"{\"name\": \"\xc3\x28\"}"] {
        let answer = send(ann.request("POST", "/v1/connections").body(body.to_vec())).await;
        assert_eq!(answer.error(), (422, "validation_error"), "{body:?}: {}", answer.text);
    }
    let huge = send(ann.request("POST", "/v1/connections").body(vec![b' '; 300 * 1024])).await;
    assert_eq!(huge.error(), (413, "payload_too_large"));
}

#[actix_web::test]
async fn a_test_says_what_it_found_or_what_to_do() {
    let (app, db) = (TestApp::start().await, target().await);
    let ann = app.owner_of("Acme").await;
    let id = ann.connect("Shop", &db).await;
    let good = ann.post(&format!("/v1/connections/{id}/test"), json!({})).await;
    let found = &good.body["data"];
    assert_eq!(found["success"], true, "{}", good.text);
    assert!(found["latency_ms"].as_f64().unwrap() > 0.0);
    assert!(found["server_version_num"].as_u64().unwrap() >= 140_000);
    assert_eq!(found["tls"], false);

    let cases: [(&str, Value, &str, &str); 5] = [
        ("password", json!("wrong"), "auth", "wrong_password"),
        ("database", json!("nothing_here"), "database", "unknown_database"),
        ("port", json!(1), "connect", "connection_refused"),
        ("host", json!("no-such-host.invalid"), "resolve", "unknown_host"),
        ("host", json!("169.254.169.254"), "resolve", "address_not_allowed"),
    ];
    for (field, value, stage, fault) in cases {
        let mut body = connection(&format!("bad {fault}"), &db);
        body[field] = value;
        let id = ann.post("/v1/connections", body.clone()).await.body["data"]["id"].clone();
        let id = id.as_str().unwrap();
        let tested = ann.post(&format!("/v1/connections/{id}/test"), json!({})).await;
        let diagnosis = &tested.body["data"]["diagnosis"];
        assert_eq!(
            (tested.status, &tested.body["data"]["success"]),
            (200, &json!(false)),
            "{fault}"
        );
        assert_eq!(
            (&diagnosis["stage"], &diagnosis["fault"]),
            (&json!(stage), &json!(fault)),
            "{}",
            tested.text
        );
        assert!(!diagnosis["fix_steps"].as_array().unwrap().is_empty(), "{fault}");
        let query = ann.sql(id, "SELECT 1").await;
        assert_eq!(query.error(), (502, "connection_error"), "{}", query.text);
        body["name"] = json!(format!("verified {fault}"));
        body["verify"] = json!(true);
        let verified = ann.post("/v1/connections", body).await;
        assert_eq!(verified.error(), (502, "connection_error"), "{}", verified.text);
    }
    let names = ann.get("/v1/connections?limit=100").await.text;
    assert!(!names.contains("verified"), "what was to be verified and failed is not kept");
}

#[actix_web::test]
async fn our_own_database_and_address_are_out_of_reach() {
    let (app, db) = (TestApp::start().await, target().await);
    let ann = app.owner_of("Acme").await;
    let mut body = connection("Plinth itself", &db);
    body["port"] = json!(app.url.rsplit(':').next().unwrap().parse::<u16>().unwrap());
    for host in ["127.0.0.1", "127.8.8.8", "localhost", "::1", "0.0.0.0"] {
        body["name"] = json!(host);
        body["host"] = json!(host);
        let id = ann.post("/v1/connections", body.clone()).await.body["data"]["id"].clone();
        let path = format!("/v1/connections/{}/test", id.as_str().unwrap());
        let tested = ann.post(&path, json!({})).await;
        let fault = &tested.body["data"]["diagnosis"]["fault"];
        assert_eq!(fault, "address_not_allowed", "{host}: {}", tested.text);
    }
}

#[actix_web::test]
async fn the_schema_is_what_may_be_asked_about() {
    let (app, db) = (TestApp::start().await, target().await);
    let ann = app.owner_of("Acme").await;
    let mut body = connection("Shop", &db);
    body["allowed_tables"] = json!(["public.orders", "public.customers"]);
    let id = ann.post("/v1/connections", body).await.body["data"]["id"].clone();
    let id = id.as_str().unwrap();
    let schema = ann.get(&format!("/v1/connections/{id}/schema")).await;
    let tables = schema.body["data"]["tables"].as_array().unwrap();
    let names: Vec<_> = tables.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["customers", "orders"], "{}", schema.text);
    assert!(!schema.text.contains("secret_plans"));
    let orders = &tables[1];
    assert_eq!(orders["primary_key"], json!(["id"]));
    assert_eq!(orders["foreign_keys"][0]["references"], "public.customers");
    assert_eq!(orders["columns"][2]["enum_values"], json!(["open", "paid"]));
    assert_eq!(orders["columns"][3]["type"], "numeric(12,2)");
    assert_eq!(tables[0]["comment"], "Who buys.");

    assert_eq!(
        ann.sql(id, "SELECT * FROM secret_plans").await.error(),
        (403, "authorization_error")
    );
    let refreshed = ann.post(&format!("/v1/connections/{id}/schema/refresh"), json!({})).await;
    assert_eq!(refreshed.body["data"]["table_count"], 2);
    assert_ne!(refreshed.body["data"]["snapshot_id"], schema.body["data"]["snapshot_id"]);
}

#[actix_web::test]
async fn a_test_key_reaches_only_what_is_marked_as_test() {
    let (app, db) = (TestApp::start().await, target().await);
    let ann = app.owner_of("Acme").await;
    let live = ann.connect("Live", &db).await;
    let mut body = connection("Test", &db);
    body["is_test"] = json!(true);
    let test =
        ann.post("/v1/connections", body).await.body["data"]["id"].as_str().unwrap().to_owned();
    let made =
        ann.post("/v1/api-keys", json!({ "name": "t", "scopes": ["full"], "is_test": true })).await;
    let tester = app.somebody(made.body["data"]["key"].as_str().unwrap());

    assert_eq!(tester.sql(&test, "SELECT 1").await.status, 200);
    assert_eq!(tester.sql(&live, "SELECT 1").await.error(), (404, "not_found"));
    assert_eq!(tester.get(&format!("/v1/connections/{live}")).await.error(), (404, "not_found"));
    ann.sql(&live, "SELECT 2").await;
    let seen = tester.get("/v1/queries").await;
    assert_eq!(seen.body["data"].as_array().unwrap().len(), 1, "{}", seen.text);
}

/// Something listens that is no Postgres.
#[actix_web::test]
async fn a_server_that_is_no_postgres_is_told_apart() {
    let (app, db) = (TestApp::start().await, target().await);
    let ann = app.owner_of("Acme").await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(2) {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let mut body = connection("Web server", &db);
    body["port"] = json!(port);
    let id = ann.post("/v1/connections", body).await.body["data"]["id"].clone();
    let tested =
        ann.post(&format!("/v1/connections/{}/test", id.as_str().unwrap()), json!({})).await;
    assert_eq!(tested.body["data"]["diagnosis"]["fault"], "not_postgres", "{}", tested.text);
}
