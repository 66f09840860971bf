use plinth_testdb::TestDatabase;
use serde_json::{Value, json};

use crate::app::{Answer, TestApp, config, connection, send};

const CONFIGS: &str = "/api/database-configs";

async fn database() -> TestDatabase {
    let script = "
        CREATE TABLE users (id int PRIMARY KEY, email text);
        INSERT INTO users SELECT i, 'x' FROM generate_series(1, 42) i;
        CREATE TABLE \"Odd \"\"name\" (id int NOT NULL);
        CREATE TABLE many AS SELECT i AS id FROM generate_series(1, 12000) i;
        CREATE VIEW few AS SELECT * FROM users WHERE id < 3;
        CREATE SCHEMA sales;
        CREATE TABLE sales.orders (id int);
        CREATE TABLE hidden (id int);
        GRANT USAGE ON SCHEMA sales TO plinth_test_owner;
        GRANT SELECT ON ALL TABLES IN SCHEMA public, sales TO plinth_test_owner;
        ANALYZE many;
    ";
    TestDatabase::from_sql(script).await.unwrap()
}

/// The code, with all that this door's errors have to have.
fn error(answer: &Answer) -> (u16, &str) {
    let body = &answer.body;
    assert_eq!(body["success"], false, "{}", answer.text);
    assert_eq!(body["status"], "error", "{}", answer.text);
    assert!(body["message"].is_string(), "{}", answer.text);
    let known = ["success", "error", "message", "status", "details"];
    assert!(body.as_object().unwrap().keys().all(|it| known.contains(&it.as_str())));
    (answer.status, body["error"].as_str().unwrap())
}

#[actix_web::test]
async fn both_doors_lead_to_the_same_records() {
    let (app, db) = (TestApp::start().await, database().await);
    let (ann, bob) = (app.owner_of("Acme").await, app.owner_of("Other").await);
    let mut body = config("Shop", &db);
    body["description"] = json!("What we sell");
    body["settings"] = json!({ "allowed_tables": ["public.users"], "other": 1 });
    body["is_primary"] = json!(true);
    body["tenant"] = json!("ignored");
    let made = ann.post(CONFIGS, body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert!(!made.text.contains(db.password()));
    let data = &made.body["data"];
    let id = data["id"].as_str().unwrap();
    assert_eq!(made.headers["location"], format!("{CONFIGS}/{id}"));
    assert_eq!(id.len(), 36, "a plain UUID");
    assert_eq!((&made.body["success"], &data["provider"]), (&json!(true), &json!("postgresql")));
    assert_eq!(data["settings"], json!({ "allowed_tables": ["public.users"] }));
    assert_eq!(data["connection_config"]["ssl"], false);

    let same = format!("conn_{}", id.replace('-', ""));
    let other = ann.get(&format!("/v1/connections/{same}")).await.body["data"].clone();
    assert_eq!((&other["name"], &other["is_primary"]), (&json!("Shop"), &json!(true)));
    assert_eq!(ann.sql(&same, "SELECT count(*) FROM users").await.rows(), &json!([[42]]));
    app.clock.advance(jiff::SignedDuration::from_secs(1));
    let second = ann.connect("From the other side", &db).await;
    let listed = ann.get(CONFIGS).await;
    assert_eq!((&listed.body["success"], &listed.body["count"]), (&json!(true), &json!(2)));
    assert_eq!(listed.body["data"][0]["name"], "From the other side");
    assert_eq!(listed.body["data"][1]["id"], id);
    assert_eq!(bob.get(CONFIGS).await.body, json!({ "success": true, "data": [], "count": 0 }));

    let path = format!("{CONFIGS}/{id}");
    assert_eq!(ann.get(&path).await.body["data"], *data);
    assert_eq!(error(&bob.get(&path).await), (404, "not_found"));
    ann.patch(&path, json!({ "is_active": false })).await;
    let count =
        async |query: &str| ann.get(&format!("{CONFIGS}?{query}")).await.body["count"].clone();
    assert_eq!(count("activeOnly=true").await, 1);
    let gone = ann.delete(&path).await;
    assert_eq!((gone.status, &gone.body["success"]), (200, &json!(true)));
    assert_eq!(error(&ann.get(&path).await), (404, "not_found"));
    assert_eq!((count("").await, count("includeDeleted=true").await), (json!(1), json!(2)));
    assert_eq!(count("includeDeleted=true&activeOnly=true").await, 1);
    assert_eq!(ann.delete(&format!("/v1/connections/{second}")).await.status, 204);
    let history = ann.get("/v1/queries").await;
    assert_eq!(history.body["data"][0]["connection_id"], same, "the history stays");
}

#[actix_web::test]
async fn this_door_never_weakens_the_transport() {
    let (app, db) = (TestApp::start().await, database().await);
    let ann = app.owner_of("Acme").await;
    let modes = [
        ("disable", "require"),
        ("prefer", "require"),
        ("require", "require"),
        ("verify-ca", "verify-ca"),
        ("verify-full", "verify-full"),
    ];
    for (before, after) in modes {
        let mut body = connection(before, &db);
        body["ssl_mode"] = json!(before);
        let id = ann.post("/v1/connections", body).await.body["data"]["id"].clone();
        let id = id.as_str().unwrap().trim_start_matches("conn_").to_owned();
        let path = format!("{CONFIGS}/{id}");
        let mode = async |ssl: bool| {
            let change = json!({ "connection_config": { "ssl": ssl } });
            let changed = ann.patch(&path, change).await;
            assert_eq!(changed.status, 200, "{}", changed.text);
            changed.body["data"]["connection_config"]["ssl_mode"].clone()
        };
        assert_eq!(mode(false).await, before);
        assert_eq!(mode(true).await, after);
        assert_eq!(mode(false).await, after);
    }
}

#[actix_web::test]
async fn a_kept_password_goes_to_no_other_place_through_this_door() {
    let (app, db) = (TestApp::start().await, database().await);
    let ann = app.owner_of("Acme").await;
    let made = ann.post(CONFIGS, config("Shop", &db)).await;
    let before = made.body["data"].clone();
    let path = format!("{CONFIGS}/{}", before["id"].as_str().unwrap());
    for change in [json!({ "host": "evil.test" }), json!({ "port": 1 })] {
        let refused = ann.patch(&path, json!({ "connection_config": change })).await;
        assert_eq!(error(&refused), (422, "validation_error"), "{}", refused.text);
        assert!(refused.body["details"]["password"].is_string(), "{}", refused.text);
        assert_eq!(ann.get(&path).await.body["data"], before, "nothing was changed");
        let mut change = change;
        change["password"] = json!("new");
        let changed = ann.patch(&path, json!({ "connection_config": change })).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        let back = json!({
            "host": db.host(), "port": before["connection_config"]["port"], "password": db.password(),
        });
        let back = ann.patch(&path, json!({ "connection_config": back })).await;
        assert_eq!(back.body["data"]["connection_config"], before["connection_config"]);
        assert_eq!(back.status, 200, "{}", back.text);
    }
    let same = json!({ "host": db.host(), "username": "other" });
    let changed = ann.patch(&path, json!({ "connection_config": same })).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
}

#[actix_web::test]
async fn every_error_here_has_this_doors_own_envelope() {
    let (app, db) = (TestApp::start().await, database().await);
    let ann = app.owner_of("Acme").await;
    ann.post(CONFIGS, config("Shop", &db)).await;
    let body = json!({ "name": "r", "scopes": ["queries:read"] });
    let made = ann.post("/v1/api-keys", body).await;
    let reader = app.somebody(made.body["data"]["key"].as_str().unwrap());
    let nobody = send(app.request("GET", CONFIGS)).await;
    assert_eq!(error(&nobody), (401, "authentication_error"));
    assert_eq!(nobody.headers["www-authenticate"], "Bearer");
    assert_eq!(error(&reader.get(CONFIGS).await), (403, "authorization_error"));
    for path in ["/nothing/here", "/018f3a2b-4c5d-7e6f-8091-a2b3c4d5e6f7", "/no-id"] {
        assert_eq!(
            error(&ann.get(&format!("{CONFIGS}{path}")).await),
            (404, "not_found"),
            "{path}"
        );
    }
    assert_eq!(error(&ann.get("/api/db/nothing").await), (404, "not_found"));
    assert_eq!(error(&ann.get("/api/db").await), (404, "not_found"));
    for (method, path, allow) in
        [("PUT", CONFIGS, "GET, POST"), ("GET", "/api/db/test-postgres", "POST")]
    {
        let wrong = send(ann.request(method, path)).await;
        assert_eq!(error(&wrong), (405, "method_not_allowed"), "{path}");
        assert_eq!(wrong.headers["allow"], allow);
    }
    assert_eq!(error(&ann.post(CONFIGS, config("Shop", &db)).await), (409, "conflict"));
    let huge = send(ann.request("POST", CONFIGS).body(vec![b' '; 300 * 1024])).await;
    assert_eq!(error(&huge), (413, "payload_too_large"));
    for (body, field) in [
        (json!({ "provider": "postgresql", "connection_config": {} }), "name"),
        (json!({ "name": "x", "provider": "postgresql", "connection_config": {} }), "host"),
        (json!({ "name": "x", "provider": "mysql", "connection_config": {} }), "body"),
    ] {
        let answer = ann.post(CONFIGS, body).await;
        assert_eq!(error(&answer), (422, "validation_error"), "{}", answer.text);
        assert!(answer.body["details"][field].is_string(), "{field}: {}", answer.text);
    }
    let query = ann.get(&format!("{CONFIGS}?includeDeleted=maybe")).await;
    assert_eq!(error(&query), (422, "validation_error"));
}

#[actix_web::test]
async fn a_schema_is_read_anew_and_grows_old() {
    let (app, db) = (TestApp::start().await, database().await);
    let ann = app.owner_of("Acme").await;
    let mut body = config("Shop", &db);
    body["settings"] = json!({ "allowed_tables": ["public.users"] });
    let id = ann.post(CONFIGS, body).await.body["data"]["id"].as_str().unwrap().to_owned();
    let freshness = async || ann.get(&format!("{CONFIGS}/{id}/freshness")).await.body;
    let never =
        json!({ "success": true, "needs_refresh": true, "last_refresh": null, "age_hours": null });
    assert_eq!(freshness().await, never);
    let read = ann.post(&format!("{CONFIGS}/{id}/refresh-schema"), json!({})).await;
    assert_eq!(read.status, 200, "{}", read.text);
    let columns = json!([
        { "name": "id", "type": "integer", "nullable": false },
        { "name": "email", "type": "text", "nullable": true },
    ]);
    let tables = json!([{ "name": "users", "schema": "public", "columns": columns }]);
    assert_eq!(read.body["schema"], json!({ "tables": tables }));
    assert_eq!(read.body["refreshed_at"], "2026-03-04T05:06:07Z");
    app.clock.advance(jiff::SignedDuration::from_mins(90));
    let young = freshness().await;
    assert_eq!((&young["needs_refresh"], &young["age_hours"]), (&json!(false), &json!(1.5)));
    app.clock.advance(jiff::SignedDuration::from_hours(24));
    assert_eq!(freshness().await["needs_refresh"], true);
}

#[actix_web::test]
async fn a_typed_in_database_is_tried_out() {
    let (app, db) = (TestApp::start().await, database().await);
    let ann = app.owner_of("Acme").await;
    let probe = |tables: Value| {
        let mut body = config("x", &db)["connection_config"].clone();
        body["allowed_tables"] = tables;
        body
    };
    let test = async |body: Value| {
        let answer = ann.post("/api/db/test-postgres", body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body
    };
    let good = test(probe(json!(["sales.orders", "public.users"]))).await;
    assert_eq!(good["success"], true);
    assert!(good["latency_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(good["tested_table"], "sales.orders", "the first as it was sent");
    assert_eq!(good["tested_table_accessible"], true);
    let missing = test(probe(json!(["public.nothing"]))).await;
    assert_eq!(
        (&missing["success"], &missing["tested_table_accessible"]),
        (&json!(true), &json!(false))
    );
    let any = test(probe(json!(null))).await;
    assert_eq!(any["tested_table_accessible"], true, "{any}");
    let none = test(probe(json!([]))).await;
    assert_eq!(none["tested_table"], Value::Null);

    let mut wrong = probe(json!(null));
    wrong["password"] = json!("wrong");
    let failed = test(wrong).await;
    assert_eq!((&failed["success"], &failed["error"]), (&json!(false), &json!("connection_error")));
    assert_eq!(
        (&failed["status"], &failed["diagnosis"]["fault"]),
        (&json!("error"), &json!("wrong_password"))
    );
    assert_eq!(ann.get(CONFIGS).await.body["count"], 0, "nothing is kept");

    let superuser: tokio_postgres::Config = db.superuser_url().parse().unwrap();
    let mut body = probe(json!(null));
    body["username"] = json!(superuser.get_user().unwrap());
    body["password"] =
        json!(String::from_utf8(superuser.get_password().unwrap_or_default().to_vec()).unwrap());
    let warned = test(body).await;
    assert!(warned["warnings"].to_string().contains("superuser"), "{warned}");
}

#[actix_web::test]
async fn what_is_in_a_typed_in_database_is_discovered() {
    let (app, db) = (TestApp::start().await, database().await);
    let ann = app.owner_of("Acme").await;
    let mut body = config("x", &db)["connection_config"].clone();
    let found = ann.post("/api/db/discover-postgres-schema", body.clone()).await;
    assert_eq!(found.status, 200, "{}", found.text);
    assert!(found.body["duration_ms"].is_u64());
    let schemas = found.body["schemas"].as_array().unwrap();
    let public = schemas.iter().find(|it| it["name"] == "public").unwrap();
    let tables = public["tables"].as_array().unwrap();
    let count = |name: &str| {
        let table = tables.iter().find(|it| it["name"] == name);
        table.unwrap_or_else(|| panic!("{name} in {}", found.text))["row_count"].clone()
    };
    assert_eq!(count("users"), 42, "never analyzed, and counted");
    assert_eq!(count("Odd \"name"), 0);
    assert_eq!(count("many"), 12000, "the planner's estimate");
    assert_eq!(
        tables.iter().find(|it| it["name"] == "users").unwrap()["full_name"],
        "public.users"
    );
    assert_eq!(public["views"][0]["name"], "few");
    assert!(public["views"][0]["row_count"].is_u64());
    let sales = schemas.iter().find(|it| it["name"] == "sales").unwrap();
    assert_eq!(sales["tables"][0]["full_name"], "sales.orders");
    body["allowed_tables"] = json!(["sales.orders"]);
    let narrowed = ann.post("/api/db/discover-postgres-schema", body.clone()).await;
    let schemas = narrowed.body["schemas"].as_array().unwrap();
    assert_eq!((schemas.len(), &schemas[0]["name"]), (1, &json!("sales")));
    body["port"] = json!(1);
    let unreachable = ann.post("/api/db/discover-postgres-schema", body).await;
    assert_eq!(error(&unreachable), (502, "connection_error"));
    assert!(unreachable.body["details"]["diagnosis"]["fix_steps"].is_array());
}
