//! Saved queries: parameters, versions, who sees them, what they were run with, and answers that are kept.

use jiff::SignedDuration;
use plinth_testdb::TestDatabase;
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use crate::app::{Answer, Person, TestApp, send};

async fn target() -> TestDatabase {
    let script = "
        CREATE TABLE countries (code text PRIMARY KEY, name text NOT NULL);
        INSERT INTO countries VALUES ('DE', 'Germany'), ('FR', 'France');
        CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, country text NOT NULL, code uuid NOT NULL,
            is_active boolean NOT NULL, credit numeric(12,2), born date, seen timestamptz);
        INSERT INTO customers SELECT i, 'Customer ' || i, (ARRAY['DE', 'FR'])[1 + i % 2], md5(i::text)::uuid, i % 3 = 0, i * 10.5,
            date '1990-01-01' + i, timestamptz '2026-01-01 12:00:00+00' + i * interval '1 day' FROM generate_series(1, 10) i;
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

/// Runs a statement on the connected database as its superuser.
async fn change(db: &TestDatabase, sql: &str) {
    let (client, connection) = tokio_postgres::connect(&db.superuser_url(), NoTls).await.unwrap();
    actix_web::rt::spawn(connection);
    client.batch_execute(sql).await.unwrap();
}

fn body(connection: &str, sql: &str, parameters: Value) -> Value {
    json!({ "name": "Saved", "connection_id": connection, "sql": sql, "parameters": parameters })
}

async fn save(person: &Person, connection: &str, sql: &str, parameters: Value) -> String {
    let saved = person.post("/v1/queries/save", body(connection, sql, parameters)).await;
    assert_eq!(saved.status, 201, "{}", saved.text);
    saved.body["data"]["query_id"].as_str().unwrap().to_owned()
}

async fn run(person: &Person, id: &str, parameters: Value) -> Answer {
    person.post(&format!("/v1/queries/{id}/run"), json!({ "parameters": parameters })).await
}

#[actix_web::test]
async fn parameters_of_every_type_are_bound() {
    let app = TestApp::start().await;
    let (ann, connection, _db) = shop(&app).await;
    let of_each = [
        ("text", json!({}), "country = {{ p }}", json!("DE"), 5),
        ("text", json!({}), "code = {{ p }}", json!("c4ca4238-a0b9-2382-0dcc-509a6f75849b"), 1),
        ("text", json!({}), "name LIKE '%' || {{ p }} || '%'", json!("mer 1"), 2),
        ("number", json!({}), "credit > {{ p }}", json!(99.5), 1),
        ("number", json!({}), "credit = {{ p }}", json!("10.50"), 1),
        ("number", json!({}), "id <= {{ p }}", json!(3), 3),
        ("boolean", json!({}), "is_active = {{ p }}", json!(true), 3),
        ("boolean", json!({}), "is_active OR {{ p }}", json!(true), 10),
        ("date", json!({}), "born < {{ p }} + interval '2 days'", json!("1990-01-02"), 2),
        ("date", json!({}), "seen >= {{ p }}", json!("2026-01-10"), 2),
        ("timestamp", json!({}), "seen < {{ p }}", json!("2026-01-03T13:00:00+01:00"), 1),
        ("timestamp", json!({}), "seen <= {{ p }}", json!("2026-01-03T12:00:00"), 2),
        ("enum", json!({ "options": ["DE", "FR"] }), "country = {{ p }}", json!("FR"), 5),
    ];
    for (kind, more, condition, value, count) in of_each {
        let mut parameter = json!({ "name": "p", "type": kind });
        parameter.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let sql = format!("SELECT count(*) FROM customers WHERE {condition}");
        let id = save(&ann, &connection, &sql, json!([parameter])).await;
        let answer = run(&ann, &id, json!({ "p": value })).await;
        assert_eq!(answer.rows(), &json!([[count]]), "{condition} with {value}");
        let data = &answer.body["data"];
        assert_eq!(data["parameter_values"], json!({ "p": value }));
        assert_eq!(data["run_of"], json!({ "query_id": id, "version": 1 }));
        assert_eq!(data["cached_at"], Value::Null);
        assert!(!data["sql"].as_str().unwrap().contains("{{"), "{data}");
    }
}

#[actix_web::test]
async fn whatever_a_value_holds_it_is_no_text_of_the_statement() {
    let app = TestApp::start().await;
    let (ann, connection, _db) = shop(&app).await;
    let sql = "SELECT name FROM customers WHERE name = {{ name }} OR country = {{ name }}";
    let id = save(&ann, &connection, sql, json!([{ "name": "name", "type": "text" }])).await;
    for value in
        ["x' OR '1'='1", "'; DROP TABLE customers; --", "{{ name }}", "$1", "\\", "\u{1F980}"]
    {
        let answer = run(&ann, &id, json!({ "name": value })).await;
        assert_eq!(answer.rows(), &json!([]), "{value}");
    }
    for (parameters, field) in [
        (json!({}), "parameters.name"),
        (json!({ "name": null }), "parameters.name"),
        (json!({ "name": 1 }), "parameters.name"),
        (json!({ "name": "a\u{0}b" }), "parameters.name"),
        (json!({ "name": "x".repeat(10_001) }), "parameters.name"),
        (json!({ "name": "x", "other": "y" }), "parameters.other"),
    ] {
        let answer = run(&ann, &id, parameters.clone()).await;
        assert_eq!(answer.error(), (422, "validation_error"), "{parameters}");
        assert!(answer.body["error"]["details"][field].is_string(), "{}", answer.text);
    }
    let asked = ann.sql(&connection, "SELECT 1 AS one").await;
    let plain = asked.body["data"]["query_id"].as_str().unwrap();
    assert_eq!(run(&ann, plain, json!({ "x": 1 })).await.error(), (422, "validation_error"));
    for body in
        [json!({ "parameters": [] }), json!({ "max_age": 86_401 }), json!({ "max_age": -1 })]
    {
        let answer = ann.post(&format!("/v1/queries/{id}/run"), body.clone()).await;
        assert_eq!(answer.error(), (422, "validation_error"), "{body}");
    }
}

#[actix_web::test]
async fn a_number_is_bound_as_what_it_is_and_refused_as_the_callers_where_it_does_not_fit() {
    let app = TestApp::start().await;
    let (ann, connection, _db) = shop(&app).await;
    let (ben, _) = app.member(&ann, "ben@example.com", "editor").await;
    let policy = json!({ "name": "Germans", "table": "public.customers", "roles": ["editor"],
        "rows": "country = 'DE'" });
    let made = ann.post(&format!("/v1/connections/{connection}/policies"), policy).await;
    assert_eq!(made.status, 201, "{}", made.text);
    app.clock.advance(SignedDuration::from_millis(1100));
    let sql = "SELECT count(*) FROM customers WHERE id <= {{ most }} AND country <> {{ not }}";
    let parameters = json!([{ "name": "not", "type": "text", "default": "" }, { "name": "most", "type": "number" }]);
    let id = save(&ann, &connection, sql, parameters).await;
    for most in [json!(3.0), json!(3e0), json!("3")] {
        assert_eq!(run(&ann, &id, json!({ "most": most })).await.rows(), &json!([[3]]), "{most}");
    }
    // For whom policies bind too, though they are told little of what the database says.
    for person in [&ann, &ben] {
        for most in [json!(3.5), json!("3e0"), json!(99_999_999_999_i64), json!(1e16)] {
            let answer = run(person, &id, json!({ "most": most })).await;
            assert_eq!(answer.error(), (422, "validation_error"), "{most}: {}", answer.text);
            let rule = &answer.body["error"]["details"]["parameters.most"];
            assert!(rule.is_string(), "{most}: {}", answer.text);
        }
    }
    // What the statement finds in a row is not the caller's, also where it reads like a value of theirs.
    let sql = "SELECT country::int FROM customers WHERE country = {{ country }}";
    let id = save(&ann, &connection, sql, json!([{ "name": "country", "type": "text" }])).await;
    let answer = run(&ann, &id, json!({ "country": "DE" })).await;
    assert_eq!(answer.error(), (500, "query_error"), "{}", answer.text);
}

#[actix_web::test]
async fn a_value_may_be_left_out_where_it_has_a_default_or_need_not_be() {
    let app = TestApp::start().await;
    let (ann, connection, _db) = shop(&app).await;
    let sql = "SELECT count(*) FROM customers WHERE ({{ country }} IS NULL OR country = {{ country }}) AND id <= {{ most }}";
    let parameters = json!([
        { "name": "country", "type": "text", "required": false },
        { "name": "most", "type": "number", "default": 4, "label": "At most" },
    ]);
    let id = save(&ann, &connection, sql, parameters).await;
    assert_eq!(run(&ann, &id, json!({})).await.rows(), &json!([[4]]));
    assert_eq!(run(&ann, &id, json!({ "country": "FR" })).await.rows(), &json!([[2]]));
    let answer = run(&ann, &id, json!({ "country": null, "most": 9 })).await;
    assert_eq!(answer.rows(), &json!([[9]]));
    assert_eq!(answer.body["data"]["parameter_values"], json!({ "country": null, "most": 9 }));

    // A run is run again with what it was run with.
    let first = answer.body["data"]["query_id"].as_str().unwrap();
    assert_eq!(run(&ann, first, json!({})).await.rows(), &json!([[9]]));
    assert_eq!(run(&ann, first, json!({ "country": "DE" })).await.rows(), &json!([[4]]));
}

#[actix_web::test]
async fn what_cannot_run_is_not_saved() {
    let app = TestApp::start().await;
    let (ann, connection, _db) = shop(&app).await;
    let p = json!([{ "name": "p", "type": "text" }]);
    for (sql, parameters, reason) in [
        ("SELECT '{{ p }}'", p.clone(), Value::Null),
        ("SELECT 1", p.clone(), Value::Null),
        ("SELECT {{ q }}", p.clone(), Value::Null),
        ("SELECT $1", json!([]), Value::Null),
        ("SELECT {{ p }} FROM nothing", p.clone(), json!("unknown_table")),
        ("DELETE FROM customers WHERE name = {{ p }}", p.clone(), json!("sql_rejected")),
        ("SELECT pg_read_file({{ p }})", p.clone(), json!("sql_rejected")),
        ("SELECT missing FROM customers WHERE name = {{ p }}", p.clone(), json!("unusable")),
        ("SELECT {{ p }}", json!([{ "name": "P", "type": "text" }]), Value::Null),
        ("SELECT {{ p }}", json!([{ "name": "p", "type": "enum" }]), Value::Null),
        ("SELECT {{ p }}", json!([{ "name": "p", "type": "text", "options": ["a"] }]), Value::Null),
        (
            "SELECT {{ p }}",
            json!([{ "name": "p", "type": "date", "default": "soon" }]),
            Value::Null,
        ),
        (
            "SELECT {{ p }}",
            json!([{ "name": "p", "type": "text" }, { "name": "p", "type": "text" }]),
            Value::Null,
        ),
        ("SELECT {{ p }}", json!([{ "name": "p", "type": "text", "kind": "x" }]), Value::Null),
        ("SELECT {{ p }}", json!([["p", "text"]]), Value::Null),
    ] {
        let answer = ann.post("/v1/queries/save", body(&connection, sql, parameters.clone())).await;
        assert_eq!(
            answer.error(),
            (422, "validation_error"),
            "{sql} {parameters}: {}",
            answer.text
        );
        assert_eq!(answer.body["error"]["details"]["reason"], reason, "{sql}: {}", answer.text);
    }
    let catalog =
        ann.post("/v1/queries/save", body(&connection, "SELECT * FROM pg_class", json!([]))).await;
    assert_eq!(catalog.error(), (403, "authorization_error"));
    assert_eq!(ann.get("/v1/queries").await.body["data"], json!([]), "nothing of it is kept");
}

#[actix_web::test]
async fn each_change_of_the_statement_makes_a_version_that_stays() {
    let app = TestApp::start().await;
    let (ann, connection, _db) = shop(&app).await;
    let asked = ann.ask(&connection, "How many customers are there?").await;
    let id = asked.body["data"]["query_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/queries/{id}");
    assert_eq!(ann.get(&format!("{path}/versions")).await.body["data"], json!([]));

    // Saved as it ran.
    let saved = ann.post(&format!("{path}/save"), json!({ "name": "Customers" })).await;
    assert_eq!((saved.status, &saved.body["data"]["version"]), (200, &json!(1)), "{}", saved.text);
    assert!(saved.body["data"]["explanation"].is_string());
    let read = saved.headers["etag"].to_str().unwrap().to_owned();

    // Renaming makes no version; another statement does, and the words it came from go.
    let named = ann.patch(&path, json!({ "name": "All customers", "max_age_seconds": 60 })).await;
    assert_eq!(named.body["data"]["version"], 1);
    let change = json!({ "sql": "SELECT count(*) FROM customers WHERE country = {{ country }}",
        "parameters": [{ "name": "country", "type": "text" }] });
    let stale = ann.request("PATCH", &path).header("if-match", &read).json(&change);
    assert_eq!(send(stale).await.error(), (412, "precondition_failed"));
    let read = named.headers["etag"].to_str().unwrap().to_owned();
    let changed = send(ann.request("PATCH", &path).header("if-match", &read).json(&change)).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let data = &changed.body["data"];
    assert_eq!(
        (&data["version"], &data["engine"], &data["question"]),
        (&json!(2), &json!("sql"), &Value::Null)
    );
    assert_eq!((&data["name"], &data["max_age_seconds"]), (&json!("All customers"), &json!(60)));
    let bad =
        ann.patch(&path, json!({ "sql": "SELECT missing FROM customers", "parameters": [] })).await;
    assert_eq!(bad.body["error"]["details"]["reason"], "unusable", "{}", bad.text);
    assert_eq!(ann.get(&path).await.body["data"]["version"], 2, "it was not changed");
    assert_eq!(run(&ann, &id, json!({ "country": "DE" })).await.rows(), &json!([[5]]));

    // An earlier one comes back as a new one.
    assert_eq!(
        ann.post(&format!("{path}/versions/7/restore"), json!({})).await.error(),
        (404, "not_found")
    );
    let restored = send(ann.request("POST", &format!("{path}/versions/1/restore"))).await;
    assert_eq!(restored.body["data"]["version"], 3, "{}", restored.text);
    assert_eq!(run(&ann, &id, json!({})).await.rows(), &json!([[10]]));
    let first = ann.get(&format!("{path}/versions?limit=2")).await;
    let versions = first.body["data"].as_array().unwrap();
    assert_eq!(versions.len(), 2);
    assert_eq!((&versions[0]["version"], &versions[0]["restored_from"]), (&json!(3), &json!(1)));
    assert_eq!(versions[1]["parameters"][0]["name"], "country");
    let cursor = first.body["meta"]["next_cursor"].as_str().unwrap();
    let rest = ann.get(&format!("{path}/versions?cursor={cursor}")).await;
    assert_eq!(
        (rest.body["data"].as_array().unwrap().len(), &rest.body["meta"]["next_cursor"]),
        (1, &Value::Null)
    );
    let one = ann.get(&format!("{path}/versions/1")).await;
    assert_eq!(one.body["data"]["sql"], asked.body["data"]["sql"]);
    for none in ["0", "4", "4000000000", "x"] {
        assert_eq!(
            ann.get(&format!("{path}/versions/{none}")).await.error(),
            (404, "not_found"),
            "{none}"
        );
    }

    // What ran says which version it was.
    let runs = ann.get(&format!("{path}/runs")).await;
    let runs = runs.body["data"].as_array().unwrap();
    let of = |it: &Value| (it["run_of"]["version"].as_u64(), it["parameter_values"].clone());
    let mut of: Vec<_> = runs.iter().map(of).collect();
    of.sort_by_key(|it| it.0);
    assert_eq!(of, [(Some(2), json!({ "country": "DE" })), (Some(3), json!({}))]);
    let log =
        app.rows("SELECT details::text FROM audit_entries WHERE action = 'query.saved'").await;
    assert_eq!(log.len(), 4, "{log:?}");

    // It is deleted by whoever knows what it is, and the trail tells of it; what nobody saved goes without.
    let stale = send(ann.request("DELETE", &path).header("if-match", &read)).await;
    assert_eq!(stale.error(), (412, "precondition_failed"));
    let read = restored.headers["etag"].to_str().unwrap();
    assert_eq!(send(ann.request("DELETE", &path).header("if-match", read)).await.status, 204);
    assert_eq!(send(ann.request("DELETE", &path)).await.error(), (404, "not_found"));
    let plain = ann.sql(&connection, "SELECT 1 AS one").await;
    let plain = format!("/v1/queries/{}", plain.body["data"]["query_id"].as_str().unwrap());
    assert_eq!(send(ann.request("DELETE", &plain)).await.status, 204);
    let log =
        app.rows("SELECT details::text FROM audit_entries WHERE action = 'query.deleted'").await;
    assert!(log.len() == 1 && log[0].contains("All customers"), "{log:?}");
}

#[actix_web::test]
async fn only_what_is_saved_is_changed_and_changes_that_meet_lose_nothing() {
    let app = TestApp::start().await;
    let (ann, connection, _db) = shop(&app).await;
    let asked = ann.sql(&connection, "SELECT 1 AS one").await;
    let path = format!("/v1/queries/{}", asked.body["data"]["query_id"].as_str().unwrap());
    let early = ann.patch(&path, json!({ "sql": "SELECT 2 AS two" })).await;
    assert_eq!(early.error(), (422, "validation_error"), "{}", early.text);

    let id = save(&ann, &connection, "SELECT 1 AS one", json!([])).await;
    let path = format!("/v1/queries/{id}");
    let change = |number: u32| {
        let (ann, path) = (ann.clone(), path.clone());
        actix_web::rt::spawn(async move {
            ann.patch(&path, json!({ "sql": format!("SELECT {number} AS one") })).await
        })
    };
    let changes: Vec<_> = (2..6).map(change).collect();
    let mut made = 1;
    for it in changes {
        match it.await.unwrap().status {
            200 => made += 1,
            status => assert_eq!(status, 412),
        }
    }
    let versions = ann.get(&format!("{path}/versions")).await;
    let numbers =
        versions.body["data"].as_array().unwrap().iter().map(|it| it["version"].as_u64().unwrap());
    assert_eq!(numbers.collect::<Vec<_>>(), (1..=made).rev().collect::<Vec<_>>());
}

#[actix_web::test]
async fn what_is_private_is_its_owners_and_viewers_run_what_is_everybodys() {
    let app = TestApp::start().await;
    let (ann, connection, _db) = shop(&app).await;
    let (ben, _) = app.member(&ann, "ben@example.com", "editor").await;
    let (vic, _) = app.member(&ann, "vic@example.com", "viewer").await;
    let bob = app.owner_of("Other").await;

    let mut private = body(&connection, "SELECT 'hidden' AS word", json!([]));
    private["visibility"] = "private".into();
    let saved = ben.post("/v1/queries/save", private).await;
    assert_eq!(saved.status, 201, "{}", saved.text);
    let id = saved.body["data"]["query_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/queries/{id}");
    assert_eq!(run(&ben, &id, json!({})).await.rows(), &json!([["hidden"]]));
    for (who, person) in [("owner", &ann), ("viewer", &vic), ("another organization", &bob)] {
        for answer in [
            person.get(&path).await,
            person.get(&format!("{path}/versions")).await,
            person.get(&format!("{path}/versions/1")).await,
            person.get(&format!("{path}/runs")).await,
            run(person, &id, json!({})).await,
        ] {
            assert_eq!(answer.error(), (404, "not_found"), "{who}: {}", answer.text);
        }
        let listed = person.get("/v1/queries").await;
        assert!(!listed.text.contains("hidden"), "{who}: neither it nor its runs: {}", listed.text);
    }
    for answer in [
        ann.patch(&path, json!({ "name": "Mine" })).await,
        ann.post(&format!("{path}/save"), json!({ "name": "Mine" })).await,
        ann.post(&format!("{path}/versions/1/restore"), json!({})).await,
        ann.delete(&path).await,
    ] {
        assert_eq!(answer.error(), (404, "not_found"), "{}", answer.text);
    }
    assert_eq!(ben.get("/v1/queries?saved=true").await.body["data"].as_array().unwrap().len(), 1);

    // Given to everybody by its owner, and taken back by nobody else.
    assert_eq!(ben.patch(&path, json!({ "visibility": "organization" })).await.status, 200);
    let taken = ann.patch(&path, json!({ "visibility": "private" })).await;
    assert_eq!(taken.error(), (403, "authorization_error"), "{}", taken.text);
    assert_eq!(ann.patch(&path, json!({ "name": "Ours" })).await.status, 200);
    assert_eq!(run(&vic, &id, json!({})).await.rows(), &json!([["hidden"]]));
    let runs = |person: &Person| {
        let (person, path) = (person.clone(), format!("{path}/runs"));
        async move { person.get(&path).await.body["data"].as_array().unwrap().len() }
    };
    assert_eq!(runs(&vic).await, 1, "viewers see their own runs");
    assert_eq!(runs(&ann).await, 1, "what ran in private stays private");
    assert_eq!(runs(&ben).await, 2);
    assert_eq!(bob.get(&path).await.error(), (404, "not_found"));

    // A viewer does nothing else.
    let asked = ann.sql(&connection, "SELECT 1 AS one").await;
    let plain = asked.body["data"]["query_id"].as_str().unwrap();
    assert_eq!(run(&vic, plain, json!({})).await.error(), (404, "not_found"));
    assert_eq!(vic.sql(&connection, "SELECT 1").await.error(), (403, "authorization_error"));
    let own = vic.post("/v1/queries/save", body(&connection, "SELECT 1", json!([]))).await;
    assert_eq!(own.error(), (403, "authorization_error"));

    // What somebody else asked cannot be hidden from them.
    let hidden = json!({ "name": "Mine", "visibility": "private" });
    let hidden = ben.post(&format!("/v1/queries/{plain}/save"), hidden).await;
    assert_eq!(hidden.error(), (403, "authorization_error"), "{}", hidden.text);
}

/// The history's id of a run.
fn run_id(ran: &Answer) -> String {
    assert_eq!(ran.status, 200, "{}", ran.text);
    ran.body["data"]["query_id"].as_str().unwrap().to_owned()
}

#[actix_web::test]
async fn viewers_show_run_and_export_their_own_runs_as_long_as_they_see_the_query() {
    let app = TestApp::start().await;
    let (ann, connection, _db) = shop(&app).await;
    let (vic, _) = app.member(&ann, "vic@example.com", "viewer").await;
    let (val, _) = app.member(&ann, "val@example.com", "viewer").await;
    let bob = app.owner_of("Other").await;
    let word = json!([{ "name": "word", "type": "text" }]);
    let saved = save(&ann, &connection, "SELECT {{ word }} AS word", word).await;
    let path = format!("/v1/queries/{saved}");
    let his = run_id(&run(&vic, &saved, json!({ "word": "mine" })).await);
    let hers = run_id(&run(&ann, &saved, json!({ "word": "hers" })).await);

    // The statement is another by now; a run stays with its version and its values.
    let newer = json!({ "sql": "SELECT {{ word }} AS word, 2 AS version" });
    assert_eq!(ann.patch(&path, newer).await.status, 200);
    let shown = vic.get(&format!("/v1/queries/{his}")).await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    let listed = vic.get(&format!("{path}/runs")).await;
    assert_eq!(shown.body["data"], listed.body["data"][0], "as the list of runs shows it");
    let again = run(&vic, &his, json!({})).await;
    assert_eq!(again.rows(), &json!([["mine"]]));
    assert_eq!(again.body["data"]["run_of"], json!({ "query_id": saved, "version": 1 }));
    assert_eq!(run(&vic, &his, json!({ "word": "new" })).await.rows(), &json!([["new"]]));
    assert_eq!(run(&vic, &run_id(&again), json!({})).await.rows(), &json!([["mine"]]));
    let csv = json!({ "format": "csv" });
    let file = vic.post(&format!("/v1/queries/{his}/export"), csv.clone()).await;
    assert_eq!((file.status, file.text.as_str()), (200, "word\r\nmine\r\n"));
    let later = vic.request("POST", &format!("/v1/queries/{his}/run"));
    let later = send(later.header("prefer", "respond-async").json(&json!({}))).await;
    assert_eq!(later.status, 202, "{}", later.text);
    // The history lists what it did before.
    let history = vic.get("/v1/queries").await;
    assert!(history.text.contains(&saved) && !history.text.contains(&his), "{}", history.text);

    let refused = async |person: &Person, id: &str, why: &str| {
        let at = format!("/v1/queries/{id}");
        let later = person.request("POST", &format!("{at}/run"));
        for answer in [
            person.get(&at).await,
            run(person, id, json!({})).await,
            run(person, id, json!({ "word": "x" })).await,
            person.post(&format!("{at}/export"), csv.clone()).await,
            send(later.header("prefer", "respond-async").json(&json!({}))).await,
        ] {
            assert_eq!(answer.error(), (404, "not_found"), "{why}: {}", answer.text);
        }
    };
    refused(&vic, &hers, "another's, with her values").await;
    refused(&val, &his, "another viewer's").await;
    refused(&bob, &his, "another organization's").await;
    let plain = run_id(&ann.sql(&connection, "SELECT 1 AS one").await);
    let plainly = run_id(&run(&ann, &plain, json!({})).await);
    refused(&vic, &plainly, "a run of what nobody saved").await;

    // Of what they may not do with the query they may do nothing with its runs either.
    let changed = vic.patch(&format!("/v1/queries/{his}"), json!({ "name": "Mine" })).await;
    assert_eq!(changed.error(), (403, "authorization_error"), "{}", changed.text);
    let deleted = vic.delete(&format!("/v1/queries/{his}")).await;
    assert_eq!(deleted.error(), (403, "authorization_error"), "{}", deleted.text);

    // What somebody saved out of a run and rewrote is no run of the query any more.
    let fixed = save(&ann, &connection, "SELECT 'fixed' AS word", json!([])).await;
    let taken = run_id(&run(&vic, &fixed, json!({})).await);
    let kept = format!("/v1/queries/{taken}");
    assert_eq!(vic.get(&kept).await.status, 200);
    let made = ann.post(&format!("{kept}/save"), json!({ "name": "Kept" })).await;
    assert!(made.is_success(), "{}", made.text);
    let rewritten = json!({ "sql": "SELECT 'else' AS word" });
    assert_eq!(ann.patch(&kept, rewritten).await.status, 200);
    assert_eq!(run(&vic, &taken, json!({})).await.rows(), &json!([["else"]]), "a saved query");
    let let_go = ann.patch(&kept, json!({ "saved": false })).await;
    assert_eq!(let_go.status, 200, "{}", let_go.text);
    refused(&vic, &taken, "it was rewritten").await;

    let his = run_id(&again);
    assert_eq!(ann.patch(&path, json!({ "visibility": "private" })).await.status, 200);
    refused(&vic, &his, "the query is private now").await;
    assert_eq!(ann.patch(&path, json!({ "visibility": "organization" })).await.status, 200);
    assert_eq!(run(&vic, &his, json!({})).await.rows(), &json!([["mine"]]));
    assert_eq!(ann.patch(&path, json!({ "saved": false })).await.status, 200);
    refused(&vic, &his, "nobody keeps the query any more").await;
    assert_eq!(ann.patch(&path, json!({ "saved": true })).await.status, 200);
    assert_eq!(vic.get(&format!("/v1/queries/{his}")).await.status, 200);
    assert_eq!(ann.delete(&path).await.status, 204);
    refused(&vic, &his, "the query is gone").await;
}

#[actix_web::test]
async fn choices_come_from_another_saved_query() {
    let app = TestApp::start().await;
    let (ann, connection, db) = shop(&app).await;
    let from =
        save(&ann, &connection, "SELECT code, name FROM countries ORDER BY name", json!([])).await;
    let country = json!([{ "name": "country", "type": "query", "query_id": from },
        { "name": "most", "type": "number", "default": 10 }]);
    let sql = "SELECT count(*) FROM customers WHERE country = {{ country }} AND id <= {{ most }}";
    let id = save(&ann, &connection, sql, country).await;
    let path = format!("/v1/queries/{id}/parameters/country/choices");
    let choices = ann.get(&path).await;
    let expected =
        json!([{ "value": "FR", "label": "France" }, { "value": "DE", "label": "Germany" }]);
    assert_eq!(choices.body["data"]["choices"], expected, "{}", choices.text);
    assert_eq!(choices.body["data"]["truncated"], false);
    assert_eq!(run(&ann, &id, json!({ "country": "FR" })).await.rows(), &json!([[5]]));

    // They are kept for a minute.
    change(&db, "INSERT INTO countries VALUES ('IT', 'Italy')").await;
    let kept = ann.get(&path).await;
    assert_eq!(kept.body["data"]["choices"], expected);
    assert!(kept.body["data"]["cached_at"].is_string());
    app.clock.advance(SignedDuration::from_secs(61));
    assert_eq!(ann.get(&path).await.body["data"]["choices"].as_array().unwrap().len(), 3);

    let none = ann.get(&format!("/v1/queries/{id}/parameters/nothing/choices")).await;
    assert_eq!(none.error(), (404, "not_found"));
    let number = ann.get(&format!("/v1/queries/{id}/parameters/most/choices")).await;
    assert_eq!(number.error(), (422, "validation_error"));
    let missing =
        json!([{ "name": "p", "type": "query", "query_id": "q_018a3a2b4c5d7e6f8091a2b3c4d5e6f7" }]);
    let missing = ann.post("/v1/queries/save", body(&connection, "SELECT {{ p }}", missing)).await;
    assert_eq!(missing.error(), (422, "validation_error"), "{}", missing.text);
    let itself = json!([{ "name": "p", "type": "query", "query_id": id }]);
    let itself = ann.post("/v1/queries/save", body(&connection, "SELECT {{ p }}", itself)).await;
    assert_eq!(itself.error(), (422, "validation_error"), "it does not run without parameters");
}

#[actix_web::test]
async fn an_answer_is_given_again_while_it_is_young_enough() {
    let app = TestApp::start().await;
    let (ann, connection, db) = shop(&app).await;
    let (ben, _) = app.member(&ann, "ben@example.com", "editor").await;
    let sql = "SELECT count(*) FROM customers WHERE country = {{ country }}";
    let parameters = json!([{ "name": "country", "type": "text" }]);
    let id = save(&ann, &connection, sql, parameters).await;
    let path = format!("/v1/queries/{id}/run");
    let ask = |person: &Person, country: &str, max_age: Value| {
        let mut body = json!({ "parameters": { "country": country } });
        if !max_age.is_null() {
            body["max_age"] = max_age;
        }
        let (person, path) = (person.clone(), path.clone());
        async move {
            let answer = person.post(&path, body).await;
            (answer.rows()[0][0].as_i64().unwrap(), answer.body["data"]["cached_at"].clone())
        }
    };
    let first = app.now().to_string();
    assert_eq!(ask(&ann, "DE", json!(60)).await, (5, Value::Null));
    change(&db, "DELETE FROM customers WHERE id = 2").await;
    app.clock.advance(SignedDuration::from_secs(30));
    assert_eq!(ask(&ann, "DE", json!(60)).await, (5, json!(first)), "as it was");
    assert_eq!(ask(&ben, "DE", json!(60)).await, (5, json!(first)), "for whoever sees the same");
    assert_eq!(ask(&ann, "DE", json!(29)).await, (4, Value::Null), "too old");
    assert_eq!(
        ask(&ann, "FR", json!(60)).await,
        (5, Value::Null),
        "other values are another answer"
    );
    change(&db, "DELETE FROM customers WHERE id = 4").await;
    assert_eq!(
        ask(&ann, "DE", Value::Null).await,
        (3, Value::Null),
        "nobody said that it may be old"
    );
    assert_eq!(ask(&ann, "DE", json!(60)).await.0, 4, "and that was for nobody else");
    assert_eq!(ask(&ann, "DE", json!(0)).await, (3, Value::Null), "0 runs it now");
    assert_eq!(ask(&ben, "DE", json!(60)).await.0, 3, "for whoever asks next too");

    // By default as old as the query says.
    let changed = ann.patch(&format!("/v1/queries/{id}"), json!({ "max_age_seconds": 60 })).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    change(&db, "DELETE FROM customers WHERE id = 6").await;
    let (count, cached_at) = ask(&ann, "DE", Value::Null).await;
    assert_eq!((count, cached_at.is_string()), (3, true));

    // In every form, and in the history.
    let csv = ann.request("POST", &path).header("accept", "text/csv");
    let csv = send(csv.json(&json!({ "parameters": { "country": "DE" } }))).await;
    assert_eq!(csv.text, "count\r\n3\r\n");
    assert!(csv.headers.contains_key("x-plinth-cached-at"));
    let runs = ann.get(&format!("/v1/queries/{id}/runs?limit=100")).await;
    let kept =
        runs.body["data"].as_array().unwrap().iter().filter(|it| it["cached_at"].is_string());
    assert_eq!(kept.count(), 6, "{}", runs.text);

    // A change of the schema is another state of it.
    change(&db, "ALTER TABLE customers ADD COLUMN extra int").await;
    let refreshed =
        ann.post(&format!("/v1/connections/{connection}/schema/refresh"), json!({})).await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.text);
    app.clock.advance(SignedDuration::from_millis(1100));
    assert_eq!(ask(&ann, "DE", json!(86_400)).await, (2, Value::Null));
}

#[actix_web::test]
async fn an_answer_never_crosses_policies() {
    let app = TestApp::start().await;
    let (ann, connection, db) = shop(&app).await;
    let (ben, bens) = app.member(&ann, "ben@example.com", "editor").await;
    let (cat, cats) = app.member(&ann, "cat@example.com", "editor").await;
    for (member, country) in [(&bens, "DE"), (&cats, "FR")] {
        let attributes = json!({ "country": { "type": "text", "value": country } });
        let path = format!("/v1/team/members/{member}/attributes");
        let put = send(ann.request("PUT", &path).json(&json!({ "attributes": attributes }))).await;
        assert_eq!(put.status, 200, "{}", put.text);
    }
    let id =
        save(&ann, &connection, "SELECT DISTINCT country FROM customers ORDER BY 1", json!([]))
            .await;
    let path = format!("/v1/queries/{id}/run");
    let ask = |person: &Person| {
        let (person, path) = (person.clone(), path.clone());
        async move {
            let answer = person.post(&path, json!({ "max_age": 3600 })).await;
            (answer.rows().clone(), answer.body["data"]["cached_at"].is_string())
        }
    };
    let both = json!([["DE"], ["FR"]]);
    assert_eq!(ask(&ann).await, (both.clone(), false));
    assert_eq!(ask(&ben).await, (both.clone(), true), "nothing binds anybody yet");
    let policy = json!({ "name": "Own country", "table": "public.customers", "roles": ["editor"],
        "rows": "country = {{user.country}}" });
    let made = ann.post(&format!("/v1/connections/{connection}/policies"), policy).await;
    assert_eq!(made.status, 201, "{}", made.text);
    app.clock.advance(SignedDuration::from_millis(1100));
    assert_eq!(ask(&ben).await, (json!([["DE"]]), false));
    assert_eq!(ask(&cat).await, (json!([["FR"]]), false), "the same policy, and another attribute");
    assert_eq!(ask(&ann).await, (both, true));
    assert_eq!(ask(&ben).await, (json!([["DE"]]), true));
    assert_eq!(ask(&cat).await, (json!([["FR"]]), true));

    // Another organization over the same database has answers of its own.
    let bob = app.owner_of("Other").await;
    let theirs = bob.connect("Shop", &db).await;
    let id =
        save(&bob, &theirs, "SELECT DISTINCT country FROM customers ORDER BY 1", json!([])).await;
    let answer = bob.post(&format!("/v1/queries/{id}/run"), json!({ "max_age": 3600 })).await;
    assert_eq!(answer.body["data"]["cached_at"], Value::Null);
}

#[actix_web::test]
async fn of_many_who_ask_at_once_one_runs_it() {
    let app = TestApp::start().await;
    let (ann, connection, _db) = shop(&app).await;
    // Each run of it says when it ran.
    let sql = "SELECT clock_timestamp()::text, count(*) FROM generate_series(1, 2000000)";
    let id = save(&ann, &connection, sql, json!([])).await;
    let path = format!("/v1/queries/{id}/run");
    let ask = |max_age: u32| {
        let (ann, path) = (ann.clone(), path.clone());
        actix_web::rt::spawn(async move {
            let answer = ann.post(&path, json!({ "max_age": max_age })).await;
            answer.rows()[0][0].as_str().unwrap().to_owned()
        })
    };
    let asked: Vec<_> = (0..12).map(|_| ask(60)).collect();
    let mut moments = Vec::new();
    for it in asked {
        moments.push(it.await.unwrap());
    }
    moments.dedup();
    assert_eq!(moments.len(), 1, "one ran: {moments:?}");
    assert_ne!(ask(0).await.unwrap(), moments[0]);
}

#[actix_web::test]
async fn what_is_too_large_to_be_kept_comes_whole() {
    let app = TestApp::start().await;
    let (ann, connection, _db) = shop(&app).await;
    let sql = "SELECT i, repeat('x', 100) AS filler FROM generate_series(1, 60000) i";
    let id = save(&ann, &connection, sql, json!([])).await;
    for _ in 0..2 {
        let body = json!({ "max_age": 60, "row_limit": 100_000 });
        let answer = ann.post(&format!("/v1/queries/{id}/run"), body).await;
        assert_eq!(answer.body["data"]["results"]["row_count"], 60_000);
        assert_eq!(answer.rows()[59_999][0], 60_000);
        assert_eq!(answer.body["data"]["cached_at"], Value::Null);
    }
}
