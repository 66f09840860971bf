use jiff::SignedDuration;
use plinth_testdb::TestDatabase;
use serde_json::{Value, json};

use crate::app::{Answer, Person, TestApp, connection, send};

const SCRIPT: &str = "
    CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, country text NOT NULL, seen_at timestamptz);
    CREATE TABLE orders (
        id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, status text NOT NULL,
        quantity int NOT NULL, unit_price numeric(12,2) NOT NULL, placed_at timestamptz NOT NULL);
    COMMENT ON COLUMN orders.status IS 'How far the order has come.';
    CREATE TABLE salaries (id int PRIMARY KEY, amount numeric);
    INSERT INTO customers SELECT i, 'Customer ' || i, (ARRAY['Germany', 'France'])[1 + i % 2],
        now() - i * interval '20 days' FROM generate_series(1, 10) i;
    INSERT INTO orders SELECT i, 1 + i % 9, (ARRAY['open', 'paid', 'cancelled'])[1 + i % 3], 2, 1.5,
        now() - i * interval '1 day' FROM generate_series(1, 90) i;
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO plinth_test_owner;
    ANALYZE;
";

async fn shop(app: &TestApp) -> (Person, String, TestDatabase) {
    let db = TestDatabase::from_sql(SCRIPT).await.unwrap();
    let ann = app.owner_of("Acme").await;
    let id = ann.connect("Shop", &db).await;
    (ann, id, db)
}

async fn run(db: &TestDatabase, sql: &str) {
    let (client, connection) =
        tokio_postgres::connect(&db.superuser_url(), tokio_postgres::NoTls).await.unwrap();
    let connection = actix_web::rt::spawn(connection);
    client.batch_execute(sql).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
}

async fn made(person: &Person, path: &str, body: Value) -> Answer {
    let answer = person.post(path, body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert!(answer.headers.contains_key("etag") && answer.headers.contains_key("location"));
    answer
}

fn used(answer: &Answer) -> Vec<(&str, &str)> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let used = answer.body["data"]["used"].as_array().unwrap();
    used.iter().map(|it| (it["kind"].as_str().unwrap(), it["name"].as_str().unwrap())).collect()
}

fn revenue() -> Value {
    json!({
        "name": "turnover", "synonyms": ["takings"], "table": "public.orders",
        "expression": "sum(quantity * unit_price)", "filter": "status <> 'cancelled'",
        "time_column": "placed_at",
    })
}

fn active() -> Value {
    json!({
        "name": "active customer", "table": "public.customers",
        "predicate": "seen_at > now() - interval '90 days'",
    })
}

#[actix_web::test]
async fn terms_and_metrics_change_answers_at_once_and_answers_say_so() {
    let app = TestApp::start().await;
    let (ann, shop, _db) = shop(&app).await;
    let (glossary, metrics) =
        (format!("/v1/connections/{shop}/glossary"), format!("/v1/connections/{shop}/metrics"));
    let before = ann.ask(&shop, "How many active customers are there?").await;
    assert_ne!(before.status, 200, "{}", before.text);
    made(&ann, &glossary, active()).await;
    let after = ann.ask(&shop, "How many active customers are there?").await;
    assert_eq!(used(&after), [("term", "active customer")]);
    assert_eq!(after.rows(), &json!([[4]]), "{}", after.text);

    made(&ann, &metrics, revenue()).await;
    let total = ann.ask(&shop, "What is the turnover?").await;
    assert_eq!(used(&total), [("metric", "turnover")]);
    assert_eq!(total.body["data"]["results"]["rows"][0][0].as_f64(), Some(180.0), "{}", total.text);
    let by = ann.ask(&shop, "takings by country").await;
    assert_eq!(used(&by), [("metric", "turnover")]);
    assert_eq!(by.body["data"]["results"]["row_count"], 2, "{}", by.text);

    // The answer of before is gone on every server within a second: this is another one.
    let value = json!({
        "name": "settled", "table": "public.orders", "column": "status", "value": "paid",
    });
    made(&ann, &glossary, value).await;
    let settled = ann.ask(&shop, "How many settled orders are there?").await;
    assert_eq!((used(&settled), settled.rows()), (vec![("term", "settled")], &json!([[30]])));
}

#[actix_web::test]
async fn what_does_not_fit_the_schema_is_refused_with_why() {
    let app = TestApp::start().await;
    let (ann, shop, _db) = shop(&app).await;
    let path = |what: &str| format!("/v1/connections/{shop}/{what}");
    let predicate =
        |sql: &str| json!({ "name": "x", "table": "public.customers", "predicate": sql });
    for (what, body, part) in [
        ("glossary", predicate("nothing > 1"), "nothing"),
        ("glossary", predicate("name"), "boolean"),
        ("glossary", predicate("pg_sleep(9) IS NULL"), "pg_sleep"),
        ("glossary", predicate("true) UNION SELECT (1"), "expression"),
        ("glossary", json!({ "name": "x", "table": "public.nowhere" }), "not there"),
        (
            "glossary",
            json!({ "name": "x", "table": "public.customers", "expression": "name" }),
            "sum",
        ),
        ("glossary", json!({ "name": "--", "table": "public.customers" }), "words"),
        (
            "glossary",
            json!({ "name": "x", "table": "public.customers", "value": "y" }),
            "one thing",
        ),
        (
            "metrics",
            json!({ "name": "x", "table": "public.orders", "expression": "quantity" }),
            "aggregate",
        ),
        ("examples", json!({ "question": "how?", "sql": "DELETE FROM orders" }), "read"),
        ("examples", json!({ "question": "how?", "sql": "SELECT nothing FROM orders" }), "nothing"),
        ("examples", json!({ "question": "how?", "sql": "SELECT 1", "more": 1 }), "more"),
    ] {
        let refused = ann.post(&path(what), body.clone()).await;
        assert_eq!(refused.error(), (422, "validation_error"), "{body}: {}", refused.text);
        assert!(refused.text.contains(part), "{part}: {}", refused.text);
    }
    for what in ["glossary", "metrics", "examples"] {
        assert_eq!(ann.get(&path(what)).await.body["data"], json!([]));
    }
}

#[actix_web::test]
async fn entries_are_read_replaced_and_removed_with_their_tags() {
    let app = TestApp::start().await;
    let (ann, shop, _db) = shop(&app).await;
    let path = format!("/v1/connections/{shop}/metrics");
    let first = made(&ann, &path, revenue()).await;
    let location = first.headers["location"].to_str().unwrap().to_owned();
    let tag = first.headers["etag"].clone();
    let again = ann.post(&path, revenue()).await;
    assert_eq!(again.error(), (409, "conflict"), "a word means one thing: {}", again.text);
    let shown = ann.get(&location).await;
    assert_eq!((shown.status, &shown.headers["etag"]), (200, &tag));
    assert_eq!(shown.body["data"]["expression"], "sum(quantity * unit_price)");

    let mut body = revenue();
    body["filter"] = Value::Null;
    let put = |tag: &reqwest::header::HeaderValue| {
        ann.request("PUT", &location).header("If-Match", tag).json(&body)
    };
    let changed = send(put(&tag)).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let stale = send(put(&tag)).await;
    assert_eq!(stale.error(), (412, "precondition_failed"), "{}", stale.text);
    let total = ann.ask(&shop, "What is the turnover?").await;
    assert_eq!(total.body["data"]["results"]["rows"][0][0].as_f64(), Some(270.0), "{}", total.text);

    let gone = ann.request("DELETE", &location).header("If-Match", &tag);
    assert_eq!(send(gone).await.status, 412);
    assert_eq!(ann.delete(&location).await.status, 204);
    assert_eq!(ann.get(&location).await.error(), (404, "not_found"));
    let trail = ann.get("/v1/audit?limit=100").await.text;
    for action in ["language.defined", "language.changed", "language.removed"] {
        assert!(trail.contains(action), "{action}: {trail}");
    }
}

#[actix_web::test]
async fn checked_answers_are_given_again_with_other_values() {
    let app = TestApp::start().await;
    let (ann, shop, _db) = shop(&app).await;
    let path = format!("/v1/connections/{shop}/examples");
    let pair = json!({
        "question": "Who are our 3 keenest buyers in Germany?",
        "sql": "SELECT c.name FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.country = 'Germany'
                GROUP BY c.id ORDER BY count(*) DESC, c.id LIMIT 3",
    });
    made(&ann, &path, pair).await;
    let same = ann.ask(&shop, "who are our 3 keenest buyers in Germany").await;
    assert_eq!(used(&same), [("example", "Who are our 3 keenest buyers in Germany?")]);
    assert_eq!(same.body["data"]["results"]["row_count"], 3);
    assert_eq!(same.body["data"]["tables"], json!(["public.customers", "public.orders"]));
    let other = ann.ask(&shop, "Who are our 2 keenest buyers in France?").await;
    assert_eq!(other.body["data"]["results"]["row_count"], 2, "{}", other.text);
    let sql = other.body["data"]["sql"].as_str().unwrap();
    assert!(sql.contains("'France'") && sql.ends_with("LIMIT 2"), "{sql}");
    assert_eq!(other.body["data"]["assumptions"].as_array().unwrap().len(), 2);
    let different = ann.ask(&shop, "Who are our 3 laziest buyers in Germany?").await;
    assert_ne!(different.body["data"]["used"], same.body["data"]["used"], "{}", different.text);
}

#[actix_web::test]
async fn feedback_proposes_candidates_that_somebody_accepts() {
    let app = TestApp::start().await;
    let (ann, shop, _db) = shop(&app).await;
    let asked = ann.ask(&shop, "How many customers are there?").await;
    let id = asked.body["data"]["query_id"].as_str().unwrap();
    let path = format!("/v1/queries/{id}/feedback");
    let better = json!({
        "rating": "down", "sql": "SELECT count(*) FROM customers WHERE country <> 'nowhere'",
        "comment": "Only real ones.",
    });
    let given = ann.post(&path, better).await;
    assert_eq!(given.status, 200, "{}", given.text);
    let candidate = given.body["data"]["candidate_id"].as_str().unwrap().to_owned();
    let still = ann.ask(&shop, "How many customers are there?").await;
    assert_eq!(used(&still), [], "nobody has accepted it");

    let examples = format!("/v1/connections/{shop}/examples");
    let listed = ann.get(&format!("{examples}?status=candidate")).await;
    assert_eq!(listed.body["data"][0]["id"], json!(candidate), "{}", listed.text);
    assert_eq!(listed.body["data"][0]["query_id"], json!(id));
    let accepted = ann.post(&format!("{examples}/{candidate}/accept"), json!({})).await;
    assert_eq!(accepted.body["data"]["status"], "active", "{}", accepted.text);
    let now = ann.ask(&shop, "How many customers are there?").await;
    assert_eq!(used(&now), [("example", "How many customers are there?")]);
    assert!(now.body["data"]["sql"].as_str().unwrap().contains("nowhere"));

    let wrong = json!({ "rating": "down", "sql": "SELECT nothing" });
    assert_eq!(ann.post(&path, wrong).await.error(), (422, "validation_error"));
    let up = ann.post(&path, json!({ "rating": "up" })).await;
    assert_eq!(up.status, 200, "{}", up.text);
    assert_eq!(
        app.rows("SELECT is_good::text FROM query_feedback").await,
        ["true"],
        "what was said before is replaced"
    );
    let own = ann.sql(&shop, "SELECT 1").await;
    let id = own.body["data"]["query_id"].as_str().unwrap();
    let corrected = json!({ "rating": "down", "sql": "SELECT 2" });
    let refused = ann.post(&format!("/v1/queries/{id}/feedback"), corrected).await;
    assert_eq!(refused.error(), (422, "validation_error"), "{}", refused.text);
}

#[actix_web::test]
async fn what_the_schema_breaks_is_marked_and_not_used_until_it_fits_again() {
    let app = TestApp::start().await;
    let (ann, shop, db) = shop(&app).await;
    let path = |what: &str| format!("/v1/connections/{shop}/{what}");
    made(&ann, &path("metrics"), revenue()).await;
    let pair = json!({
        "question": "How is business?", "sql": "SELECT sum(unit_price) FROM orders",
    });
    made(&ann, &path("examples"), pair).await;
    assert_eq!(used(&ann.ask(&shop, "How is business?").await).len(), 1);

    run(&db, "ALTER TABLE orders RENAME COLUMN unit_price TO price").await;
    app.clock.advance(SignedDuration::from_secs(20));
    let refresh = path("schema/refresh");
    assert!(ann.post(&refresh, json!({})).await.is_success());
    app.clock.advance(SignedDuration::from_secs(2));
    let stale = ann.ask(&shop, "How is business?").await;
    assert_ne!(stale.status, 200, "it is not guessed: {}", stale.text);
    for what in ["metrics", "examples"] {
        let listed = ann.get(&path(what)).await;
        let broken = listed.body["data"][0]["broken"].as_str().unwrap_or_default().to_owned();
        assert!(broken.contains("unit_price"), "{}", listed.text);
    }
    let total = ann.ask(&shop, "What is the turnover?").await;
    assert!(!total.text.contains("metric_"), "{}", total.text);

    run(&db, "ALTER TABLE orders RENAME COLUMN price TO unit_price").await;
    assert!(ann.post(&refresh, json!({})).await.is_success());
    app.clock.advance(SignedDuration::from_secs(2));
    for what in ["metrics", "examples"] {
        assert_eq!(ann.get(&path(what)).await.body["data"][0]["broken"], Value::Null);
    }
    assert_eq!(used(&ann.ask(&shop, "How is business?").await).len(), 1);
}

#[actix_web::test]
async fn an_organizations_language_is_its_own() {
    let app = TestApp::start().await;
    let (ann, shop, db) = shop(&app).await;
    let path = format!("/v1/connections/{shop}/glossary");
    let first = made(&ann, &path, active()).await;
    let location = first.headers["location"].to_str().unwrap().to_owned();
    let bob = app.owner_of("Other").await;
    let theirs = bob.connect("Shop", &db).await;
    let through_theirs = location.replace(&shop, &theirs);
    for at in [&location, &through_theirs] {
        assert_eq!(bob.get(at).await.error(), (404, "not_found"));
        assert_eq!(bob.delete(at).await.error(), (404, "not_found"));
        let put = send(bob.request("PUT", at).json(&active())).await;
        assert_eq!(put.error(), (404, "not_found"), "{}", put.text);
    }
    assert_eq!(bob.get(&path).await.error(), (404, "not_found"));
    let asked = bob.ask(&theirs, "How many active customers are there?").await;
    assert!(!asked.text.contains("term_"), "{}", asked.text);
    assert_eq!(ann.get(&location).await.status, 200);
    let wrong = location.replace("glossary/term_", "metrics/term_");
    assert_eq!(ann.get(&wrong).await.error(), (404, "not_found"));
}

#[actix_web::test]
async fn no_access_is_not_no_rows() {
    let app = TestApp::start().await;
    let db = TestDatabase::from_sql(SCRIPT).await.unwrap();
    let ann = app.owner_of("Acme").await;
    let mut body = connection("Shop", &db);
    body["allowed_tables"] = json!(["public.customers", "public.orders"]);
    let made = ann.post("/v1/connections", body).await;
    let shop = made.body["data"]["id"].as_str().unwrap().to_owned();
    let hidden = ann.ask(&shop, "How many salaries are there?").await;
    assert_eq!(hidden.error(), (403, "authorization_error"), "{}", hidden.text);
    let details = &hidden.body["error"]["details"];
    assert_eq!(
        (&details["reason"], &details["outcome"]),
        (&json!("not_permitted"), &json!("not_permitted"))
    );
    assert!(!hidden.text.contains("public.salaries") && !hidden.text.contains("amount"));
    let unknown = ann.ask(&shop, "How many unicorns are there?").await;
    assert_eq!(unknown.error(), (422, "validation_error"), "{}", unknown.text);

    let none = ann.ask(&shop, "list orders with quantity over 1000").await;
    assert_eq!(none.body["data"]["results"]["row_count"], 0, "{}", none.text);
    let told = none.body["data"]["answer"].as_str().unwrap();
    assert!(told.contains("Nothing is found") && told.contains("quantity"), "{told}");
    let some = ann.ask(&shop, "list orders with quantity over 1").await;
    assert_eq!(some.body["data"]["answer"], Value::Null, "{}", some.text);
}

#[actix_web::test]
async fn questions_about_the_schema_are_answered() {
    let app = TestApp::start().await;
    let (ann, shop, _db) = shop(&app).await;
    for (question, parts) in [
        ("What can I ask?", &["customers", "orders"][..]),
        ("which tables have a country?", &["customers.country"]),
        ("what does status mean?", &["orders.status", "How far the order has come"]),
        ("How are orders and customers connected?", &["orders.customer_id refers to customers.id"]),
        ("how fresh is the schema?", &["last read"]),
    ] {
        let answer = ann.ask(&shop, question).await;
        let data = &answer.body["data"];
        assert_eq!((answer.status, &data["outcome"]), (200, &json!("meta")), "{}", answer.text);
        for part in parts {
            assert!(data["answer"].as_str().unwrap().contains(part), "{part}: {}", answer.text);
        }
    }
    let odd = ann.ask(&shop, "What is the airspeed velocity of an unladen swallow?").await;
    let rephrasings = odd.body["error"]["details"]["rephrasings"].as_array().unwrap().clone();
    assert_eq!(rephrasings.len(), 3, "{}", odd.text);
    for it in rephrasings {
        let answer = ann.ask(&shop, it.as_str().unwrap()).await;
        assert_eq!(answer.status, 200, "{it}: {}", answer.text);
    }
}
