use jiff::SignedDuration;
use plinth_testdb::TestDatabase;
use serde_json::{Value, json};

use crate::app::{Answer, TestApp, send};

const SECOND: SignedDuration = SignedDuration::from_secs(1);

fn actions(answer: &Answer) -> Vec<&str> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let entries = answer.body["data"].as_array().unwrap();
    entries.iter().map(|it| it["action"].as_str().unwrap()).collect()
}

#[actix_web::test]
async fn what_was_done_stands_in_the_trail_of_its_organization_with_who_and_how() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.owner_of("Acme").await, app.owner_of("Other").await);
    app.clock.advance(SECOND);
    let made = ann.request("POST", "/v1/api-keys").header("x-request-id", "my-request");
    let made = send(made.json(&json!({ "name": "report", "scopes": ["read"] }))).await;
    let key = made.body["data"]["id"].as_str().unwrap();
    app.clock.advance(SECOND);
    ann.delete(&format!("/v1/api-keys/{key}")).await;
    let all = ann.get("/v1/audit").await;
    assert_eq!(actions(&all), ["api_key.revoked", "api_key.created", "organization.created"]);
    assert!(!all.text.contains(made.body["data"]["key"].as_str().unwrap()));
    assert_eq!(actions(&bob.get("/v1/audit").await), ["organization.created"]);

    let created = &all.body["data"][1];
    assert_eq!(created["request_id"], "my-request");
    assert_eq!(created["target_id"], key);
    assert_eq!(created["credential_kind"], "api_key");
    assert_eq!(created["address"], "127.0.0.1");
    assert_eq!(created["details"]["name"], "report");
    let user = created["user_id"].as_str().unwrap();
    for (filter, count) in [
        ("action=api_key.".to_owned(), 2),
        ("action=api_key".to_owned(), 0),
        ("action=api_key.created".to_owned(), 1),
        ("target_kind=api_key".to_owned(), 2),
        (format!("target_id={key}"), 2),
        (format!("user_id={user}"), 3),
        ("user_id=user_018a3a2b4c5d7e6f8091a2b3c4d5e6f7".to_owned(), 0),
        ("request_id=my-request".to_owned(), 1),
        ("outcome=succeeded".to_owned(), 3),
        ("outcome=denied".to_owned(), 0),
        ("from=2026-03-04T05:06:07Z".to_owned(), 3),
        ("until=2026-03-04T05:06:07Z".to_owned(), 0),
    ] {
        let answer = ann.get(&format!("/v1/audit?{filter}")).await;
        assert_eq!(actions(&answer).len(), count, "{filter}");
    }
    for bad in [
        "user_id=x",
        "outcome=maybe",
        "from=yesterday",
        "colour=red",
        "action=%00",
        "format=xml",
        "format=csv&limit=2",
    ] {
        assert_eq!(ann.get(&format!("/v1/audit?{bad}")).await.error().0, 422, "{bad}");
    }
}

#[actix_web::test]
async fn a_long_trail_comes_in_pages_and_whole_as_a_file() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    for number in 0..120 {
        let name = if number == 0 { "=1+1".to_owned() } else { format!("Role {number}") };
        assert_eq!(
            ann.post("/v1/roles", json!({ "name": name, "scopes": ["admin"] })).await.status,
            if number < 100 { 201 } else { 409 }
        );
    }
    let first = ann.get("/v1/audit?limit=70").await;
    let next = first.body["meta"]["next_cursor"].as_str().unwrap();
    let second = ann.get(&format!("/v1/audit?limit=70&cursor={next}")).await;
    assert_eq!((actions(&first).len(), actions(&second).len()), (70, 31));
    assert_eq!(second.body["meta"]["next_cursor"], Value::Null);

    let lines = ann.get("/v1/audit?format=ndjson").await;
    assert_eq!(lines.headers["content-type"], "application/x-ndjson");
    let lines: Vec<Value> =
        lines.text.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert_eq!(lines.len(), 101);
    assert_eq!(&lines[0], &first.body["data"][0]);
    let accept = ann.request("GET", "/v1/audit?action=role.").header("accept", "text/csv");
    let csv = send(accept).await;
    assert!(csv.headers["content-disposition"].to_str().unwrap().contains("audit.csv"));
    assert_eq!(csv.text.lines().count(), 101, "a head and a hundred roles");
    assert!(csv.text.starts_with("number,id,at,"));
}

#[actix_web::test]
async fn questions_and_statements_stand_in_the_trail_without_what_the_database_said() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let script = "CREATE TABLE orders (id int PRIMARY KEY, note text);
        INSERT INTO orders VALUES (1, 'canary-7f3a');
        GRANT SELECT ON orders TO plinth_test_owner; ANALYZE;";
    let target = TestDatabase::from_sql(script).await.unwrap();
    let connection = ann.connect("shop", &target).await;
    ann.ask(&connection, "How many orders are there?").await;
    app.clock.advance(SECOND);
    let failed = ann.sql(&connection, "SELECT note::int FROM orders").await;
    assert!(failed.text.contains("canary-7f3a"), "the caller is told: {}", failed.text);
    app.clock.advance(SECOND);
    ann.sql(&connection, "DELETE FROM orders").await;
    let told = ann.get("/v1/audit?action=query.").await;
    assert_eq!(actions(&told), ["query.run", "query.run", "query.asked"]);
    assert!(!told.text.contains("canary-7f3a"), "{}", told.text);
    let [refused, failed, asked] = [0, 1, 2].map(|at| &told.body["data"][at]);
    assert_eq!(
        (&refused["outcome"], &refused["details"]["outcome"]),
        (&json!("denied"), &json!("rejected"))
    );
    assert_eq!(failed["outcome"], "failed");
    assert_eq!(failed["details"]["sql"], "SELECT note::int FROM orders");
    assert_eq!(asked["details"]["question"], "How many orders are there?");
    assert_eq!(asked["details"]["connection"], connection);
    assert_eq!(asked["details"]["tables"], json!(["public.orders"]));
    assert_eq!(asked["credential_kind"], "api_key");
    assert!(!asked["request_id"].as_str().unwrap().is_empty());
    let history = ann.get("/v1/queries").await;
    assert_eq!(asked["target_id"], history.body["data"][2]["query_id"], "{}", history.text);
    // Reading again writes nothing again.
    ann.get("/v1/queries").await;
    assert_eq!(actions(&ann.get("/v1/audit?action=query.").await).len(), 3);
}

#[actix_web::test]
async fn whoever_asks_is_told_whether_the_trail_is_whole() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    app.clock.advance(SECOND);
    ann.post("/v1/roles", json!({ "name": "A", "scopes": ["admin"] })).await;
    let whole = ann.get("/v1/audit/verify").await;
    assert_eq!(whole.body["data"]["is_whole"], true, "{}", whole.text);
    assert_eq!(whole.body["data"]["entries"], 2);
    assert_eq!(whole.body["data"]["head"]["number"], 2);
    app.behind_its_back("UPDATE audit_entries SET action = 'role.deleted' WHERE number = 2").await;
    let broken = ann.get("/v1/audit/verify").await;
    assert_eq!(broken.body["data"]["is_whole"], false);
    assert_eq!(broken.body["data"]["problem"], "entry 2 is not what was written");
}
