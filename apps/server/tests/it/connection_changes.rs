use plinth_testdb::TestDatabase;
use serde_json::{Value, json};

use crate::app::{Person, TestApp, connection, send};

/// A database with a role of its own, whose password and rights a test may change.
pub(crate) struct OwnRole {
    pub(crate) db: TestDatabase,
    pub(crate) role: String,
}

impl OwnRole {
    pub(crate) async fn new() -> Self {
        let db =
            TestDatabase::from_sql("CREATE TABLE orders (id int); INSERT INTO orders VALUES (1);")
                .await
                .unwrap();
        let role = format!("reader_{}", db.name());
        let own = Self { db, role };
        own.sql(&format!(
            "CREATE ROLE {0} LOGIN PASSWORD 'first'; GRANT SELECT ON orders TO {0}",
            own.role
        ))
        .await;
        own
    }

    /// Runs statements as the superuser and gives the first value of the last, if there is one.
    pub(crate) async fn sql(&self, sql: &str) -> Option<String> {
        let (client, connection) =
            tokio_postgres::connect(&self.db.superuser_url(), tokio_postgres::NoTls).await.unwrap();
        actix_web::rt::spawn(connection);
        let answers = client.simple_query(sql).await.unwrap();
        answers.iter().rev().find_map(|it| match it {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
    }

    pub(crate) async fn sessions(&self) -> String {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE usename =";
        self.sql(&format!("{count} '{}'", self.role)).await.unwrap()
    }

    /// The body that connects it as that role.
    pub(crate) fn connection(&self, name: &str) -> Value {
        let mut body = connection(name, &self.db);
        body["username"] = json!(self.role);
        body["password"] = json!("first");
        body
    }
}

async fn make(person: &Person, body: Value) -> (String, Value) {
    let made = person.post("/v1/connections", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let data = made.body["data"].clone();
    (format!("/v1/connections/{}", data["id"].as_str().unwrap()), data)
}

async fn database() -> TestDatabase {
    TestDatabase::from_sql(
        "CREATE TABLE orders (id int); GRANT SELECT ON orders TO plinth_test_owner;",
    )
    .await
    .unwrap()
}

#[actix_web::test]
async fn what_is_left_out_stays_and_null_takes_away() {
    let (app, db) = (TestApp::start().await, database().await);
    let ann = app.owner_of("Acme").await;
    let (path, before) = make(&ann, connection("Shop", &db)).await;
    app.clock.advance(jiff::SignedDuration::from_secs(5));
    let change = json!({ "name": "Store", "description": " What we sell ", "allowed_tables": ["public.orders"] });
    let changed = ann.patch(&path, change.clone()).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let mut expected = before.clone();
    expected["name"] = json!("Store");
    expected["description"] = json!("What we sell");
    expected["allowed_tables"] = json!(["public.orders"]);
    expected["updated_at"] = json!("2026-03-04T05:06:12Z");
    assert_eq!(changed.body["data"], expected);
    let again = ann.patch(&path, change).await;
    assert_eq!(again.headers["etag"], changed.headers["etag"], "nothing was changed");

    let cleared = ann.patch(&path, json!({ "description": null, "allowed_tables": null })).await;
    assert_eq!(cleared.body["data"]["description"], Value::Null);
    assert_eq!(cleared.body["data"]["allowed_tables"], Value::Null);
    let wrong = [
        ("name", json!(null)),
        ("name", json!("")),
        ("port", json!(0)),
        ("password", json!(null)),
        ("ssl_mode", json!("maybe")),
        ("channel_binding", json!("maybe")),
        ("ssl_key", json!("no key")),
        ("ssl_root_cert", json!("no certificate")),
        ("tunnel", json!({ "host": "bastion.example.com" })),
        ("is_active", json!(null)),
        ("unknown", json!(1)),
        ("url", json!("mysql://a:b@c/d")),
    ];
    for (field, value) in wrong {
        let answer = ann.patch(&path, json!({ (field): value })).await;
        assert_eq!(answer.error(), (422, "validation_error"), "{field}: {}", answer.text);
    }
    let url = "postgresql://a:b@db.example.com/d";
    let twice = ann.patch(&path, json!({ "url": url, "host": "c" })).await;
    assert!(twice.body["error"]["details"]["host"].is_string(), "{}", twice.text);
}

#[actix_web::test]
async fn who_read_an_older_state_is_told_so() {
    let (app, db) = (TestApp::start().await, database().await);
    let ann = app.owner_of("Acme").await;
    let (path, _) = make(&ann, connection("Shop", &db)).await;
    let read = ann.get(&path).await.headers["etag"].to_str().unwrap().to_owned();
    let change = async |tag: &str, name: &str| {
        let request = ann.request("PATCH", &path).header("if-match", tag);
        send(request.json(&json!({ "name": name }))).await
    };
    assert_eq!(change(&read, "One").await.status, 200);
    let late = change(&read, "Two").await;
    assert_eq!(late.error(), (412, "precondition_failed"));
    assert_eq!(change(&format!("W/{read}"), "Two").await.error(), (412, "precondition_failed"));
    assert_eq!(change("*", "Two").await.status, 200);
    let now = ann.get(&path).await;
    assert_eq!(now.body["data"]["name"], "Two");
    let tag = now.headers["etag"].to_str().unwrap();
    assert_eq!(change(&format!("\"99\", {tag}"), "Three").await.status, 200);
    let stale = send(ann.request("DELETE", &path).header("if-match", &read)).await;
    assert_eq!(stale.error(), (412, "precondition_failed"));
    assert_eq!(ann.delete(&path).await.status, 204);
}

#[actix_web::test]
async fn a_new_password_counts_at_once_and_ends_the_sessions_of_the_old_one() {
    let (app, own) = (TestApp::start().await, OwnRole::new().await);
    let ann = app.owner_of("Acme").await;
    let (path, data) = make(&ann, own.connection("Shop")).await;
    let id = data["id"].as_str().unwrap();
    assert_eq!(ann.sql(id, "SELECT id FROM orders").await.rows(), &json!([[1]]));
    assert_ne!(own.sessions().await, "0");
    own.sql(&format!("ALTER ROLE {} PASSWORD 'second'", own.role)).await;

    let wrong = ann.patch(&path, json!({ "password": "third", "verify": true })).await;
    assert_eq!(wrong.error(), (502, "connection_error"), "{}", wrong.text);
    assert!(!wrong.text.contains("third"));
    let right = ann.patch(&path, json!({ "password": "second", "verify": true })).await;
    assert_eq!(right.status, 200, "{}", right.text);
    assert!(!right.text.contains("second\""));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while own.sessions().await != "0" {
        assert!(std::time::Instant::now() < deadline, "sessions of the old password go on");
        actix_web::rt::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(ann.sql(id, "SELECT id FROM orders").await.rows(), &json!([[1]]));
    let renamed = ann.patch(&path, json!({ "name": "Store" })).await;
    assert_eq!(renamed.status, 200);
    assert_ne!(own.sessions().await, "0", "a new name ends nothing");
}

/// Else everybody with `connections:write` could have it sent to a server of their own that asks for it in clear.
#[actix_web::test]
async fn a_kept_password_goes_neither_elsewhere_nor_less_protected() {
    let (app, db) = (TestApp::start().await, database().await);
    let ann = app.owner_of("Acme").await;
    let mut body = connection("Shop", &db);
    body["ssl_mode"] = json!("prefer");
    let (path, before) = make(&ann, body).await;
    let (user, name) = (before["username"].as_str().unwrap(), db.name());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let evil = listener.local_addr().unwrap().port();
    let tunnel = json!({
        "host": "evil.test", "username": "x", "password": "x",
        "host_key": "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
    });
    let changes = [
        json!({ "host": "evil.test" }),
        json!({ "host": "evil.test", "ssl_mode": "require", "channel_binding": "disable" }),
        json!({ "host": "127.0.0.1", "port": evil, "verify": true }),
        json!({ "url": format!("postgresql://{user}@evil.test/{name}") }),
        json!({ "tunnel": tunnel }),
        json!({ "ssl_mode": "disable" }),
        json!({ "channel_binding": "disable" }),
    ];
    for change in &changes {
        let refused = ann.patch(&path, change.clone()).await;
        assert_eq!(refused.error(), (422, "validation_error"), "{change}: {}", refused.text);
        assert!(refused.body["error"]["details"]["password"].is_string(), "{}", refused.text);
    }
    assert!(listener.accept().is_err(), "nobody dialled it");
    assert_eq!(ann.get(&path).await.body["data"], before, "nothing was changed");

    let url = format!("postgresql://{user}:new@evil.test/{name}");
    assert_eq!(ann.patch(&path, json!({ "url": url })).await.status, 200, "it is in the URL");
    for change in &changes {
        let mut change = change.clone();
        change["password"] = json!("new");
        change["verify"] = json!(false);
        let changed = ann.patch(&path, change.clone()).await;
        assert_eq!(changed.status, 200, "{change}: {}", changed.text);
    }
    let moved = json!({ "tunnel": { "host": "other.test" }, "password": "new" });
    let refused = ann.patch(&path, moved).await;
    assert_eq!(refused.error(), (422, "validation_error"), "{}", refused.text);
    assert!(refused.body["error"]["details"]["tunnel.password"].is_string(), "{}", refused.text);
    let moved = json!({ "tunnel": { "host": "other.test", "password": "y" }, "password": "new" });
    let changed = ann.patch(&path, moved).await;
    assert_eq!(changed.body["data"]["tunnel"]["host"], "other.test", "{}", changed.text);
}

#[actix_web::test]
async fn one_connection_of_each_organization_is_primary() {
    let (app, db) = (TestApp::start().await, database().await);
    let (ann, bob) = (app.owner_of("Acme").await, app.owner_of("Other").await);
    let primary = |name: &str| {
        let mut body = connection(name, &db);
        body["is_primary"] = json!(true);
        body
    };
    let (one, _) = make(&ann, primary("one")).await;
    let (theirs, _) = make(&bob, primary("one")).await;
    let (two, _) = make(&ann, primary("two")).await;
    let is_primary = async |person: &Person, path: &str| {
        person.get(path).await.body["data"]["is_primary"] == true
    };
    assert!(!is_primary(&ann, &one).await && is_primary(&ann, &two).await);
    assert!(is_primary(&bob, &theirs).await);
    assert_eq!(ann.patch(&one, json!({ "is_primary": true })).await.status, 200);
    assert!(is_primary(&ann, &one).await && !is_primary(&ann, &two).await);
    let both = futures_util::future::join_all(
        [&one, &two, &one, &two].map(|it| ann.patch(it, json!({ "is_primary": true }))),
    );
    assert!(both.await.iter().all(|it| it.status == 200));
    assert!(is_primary(&ann, &one).await != is_primary(&ann, &two).await);
}

#[actix_web::test]
async fn what_is_switched_off_is_not_asked_and_says_why() {
    let (app, db) = (TestApp::start().await, database().await);
    let ann = app.owner_of("Acme").await;
    let (path, data) = make(&ann, connection("Shop", &db)).await;
    let id = data["id"].as_str().unwrap();
    assert_eq!(ann.sql(id, "SELECT 1").await.status, 200);
    let off = ann.patch(&path, json!({ "is_active": false })).await;
    assert_eq!(off.body["data"]["inactive_reason"], "switched_off");
    for refused in [ann.sql(id, "SELECT 1").await, ann.ask(id, "How many orders?").await] {
        assert_eq!(refused.error(), (409, "conflict"), "{}", refused.text);
        assert_eq!(refused.body["error"]["details"]["inactive_reason"], "switched_off");
    }
    let tested = ann.post(&format!("{path}/test"), json!({})).await;
    assert_eq!(tested.body["data"]["success"], true, "it can still be tried out");
    assert_eq!(ann.patch(&path, json!({ "is_active": true })).await.status, 200);
    assert_eq!(ann.sql(id, "SELECT 1").await.status, 200);
}

#[actix_web::test]
async fn a_test_key_changes_nothing_that_others_rely_on() {
    let (app, db) = (TestApp::start().await, database().await);
    let ann = app.owner_of("Acme").await;
    let (live, _) = make(&ann, connection("Live", &db)).await;
    let mut body = connection("Test", &db);
    body["is_test"] = json!(true);
    let (test, _) = make(&ann, body).await;
    let made =
        ann.post("/v1/api-keys", json!({ "name": "t", "scopes": ["full"], "is_test": true })).await;
    let tester = app.somebody(made.body["data"]["key"].as_str().unwrap());
    assert_eq!(tester.patch(&test, json!({ "description": "x" })).await.status, 200);
    assert_eq!(
        tester.patch(&live, json!({ "description": "x" })).await.error(),
        (404, "not_found")
    );
    for change in [json!({ "is_test": false }), json!({ "is_primary": true })] {
        let refused = tester.patch(&test, change).await;
        assert_eq!(refused.error(), (403, "authorization_error"), "{}", refused.text);
    }
}

#[actix_web::test]
async fn a_url_stands_for_the_fields() {
    let (app, db) = (TestApp::start().await, database().await);
    let ann = app.owner_of("Acme").await;
    let url = format!("{}?sslmode=disable", db.url().split('?').next().unwrap());
    let body = json!({ "type": "postgresql", "name": "Shop", "url": url, "verify": true });
    let (_, data) = make(&ann, body).await;
    assert_eq!(data["host"], db.host());
    assert_eq!((&data["database"], &data["ssl_mode"]), (&json!(db.name()), &json!("disable")));
    let odd = json!({
        "type": "postgresql", "name": "Odd", "url": "postgresql://u:hunter2@db.example.com/d?frobnicate=x"
    });
    let refused = ann.post("/v1/connections", odd).await;
    assert_eq!(refused.error(), (422, "validation_error"));
    assert!(refused.text.contains("frobnicate") && !refused.text.contains("hunter2"));
}

#[actix_web::test]
async fn whoever_opts_out_of_sampling_has_no_values_kept() {
    let script = "CREATE TABLE orders (id int, status text);
                  INSERT INTO orders SELECT i, 'canaryvalue' FROM generate_series(1, 50) i;
                  GRANT SELECT ON orders TO plinth_test_owner; ANALYZE;";
    let (app, db) = (TestApp::start().await, TestDatabase::from_sql(script).await.unwrap());
    let ann = app.owner_of("Acme").await;
    let (path, data) = make(&ann, connection("Shop", &db)).await;
    let refresh = async || ann.post(&format!("{path}/schema/refresh"), json!({})).await.status;
    let id: plinth_connections::ConnectionId = data["id"].as_str().unwrap().parse().unwrap();
    let has_value = async || {
        let principal = app.services.tenancy.authenticate(&ann.key, std::sync::Arc::default());
        let principal = principal.await.unwrap();
        let opened = app.services.connections.open(&principal, id).await.unwrap();
        let snapshot = app.services.schemas.current(&opened).await.unwrap();
        serde_json::to_string(&snapshot.catalog).unwrap().contains("canaryvalue")
    };
    assert_eq!(refresh().await, 200);
    assert!(has_value().await, "else this shows nothing");
    assert_eq!(ann.patch(&path, json!({ "sampling": false })).await.status, 200);
    let kept = app.rows("SELECT id::text FROM schema_snapshots").await;
    assert!(kept.is_empty(), "what was sampled is gone");
    assert_eq!(refresh().await, 200);
    app.clock.advance(jiff::SignedDuration::from_secs(2));
    assert!(!has_value().await);
}

/// Whoever can write Plinth's database cannot make one connection open with another's password.
#[actix_web::test]
async fn a_ciphertext_that_was_moved_does_not_open() {
    let (app, own) = (TestApp::start().await, OwnRole::new().await);
    let (ann, bob) = (app.owner_of("Acme").await, app.owner_of("Other").await);
    let (_, one) = make(&ann, own.connection("One")).await;
    let (_, two) = make(&ann, own.connection("Two")).await;
    let (_, theirs) = make(&bob, own.connection("One")).await;
    let uuid = |it: &Value| it["id"].as_str().unwrap().trim_start_matches("conn_").to_owned();
    for from in [&one, &theirs] {
        let moving = format!(
            "UPDATE connections SET password_sealed = (SELECT password_sealed FROM connections WHERE id = '{}')
             WHERE id = '{}'",
            uuid(from), uuid(&two)
        );
        app.behind_its_back(&moving).await;
        app.clock.advance(jiff::SignedDuration::from_secs(2));
        let answer = ann.sql(two["id"].as_str().unwrap(), "SELECT 1").await;
        assert_eq!(answer.error(), (500, "internal_error"), "{}", answer.text);
    }
    let columns = format!(
        "UPDATE connections SET client_key_version = password_version, client_key_sealed = password_sealed,
             tls_certificate = 'x' WHERE id = '{}'",
        uuid(&one)
    );
    app.behind_its_back(&columns).await;
    app.clock.advance(jiff::SignedDuration::from_secs(2));
    let answer = ann.sql(one["id"].as_str().unwrap(), "SELECT 1").await;
    assert_eq!(answer.error(), (500, "internal_error"), "{}", answer.text);
    assert_eq!(bob.sql(theirs["id"].as_str().unwrap(), "SELECT 1").await.status, 200);
}

#[actix_web::test]
async fn every_change_stands_in_the_trail_without_secrets() {
    let (app, own) = (TestApp::start().await, OwnRole::new().await);
    let ann = app.owner_of("Acme").await;
    let (path, _) = make(&ann, own.connection("Shop")).await;
    ann.patch(&path, json!({ "name": "Store", "password": "second" })).await;
    ann.delete(&path).await;
    let mut probe = own.connection("x");
    probe["password"] = json!("guessed");
    ann.post("/api/db/test-postgres", probe).await;
    let trail = app
        .rows(
            "SELECT action || ' ' || outcome || ' ' || details::text FROM audit_entries
               WHERE action LIKE 'connection.%' ORDER BY number",
        )
        .await;
    let acts: Vec<_> = trail.iter().map(|it| it.split(" {").next().unwrap()).collect();
    let expected = [
        "connection.created succeeded",
        "connection.updated succeeded",
        "connection.deleted succeeded",
        "connection.tested failed",
    ];
    assert_eq!(acts, expected, "{trail:?}");
    assert!(
        trail[1].contains("Store") && trail[1].contains("\"replaced\":[\"password\"]"),
        "{}",
        trail[1]
    );
    let all = trail.join("\n");
    for secret in ["first", "second", "guessed"] {
        assert!(!all.contains(secret), "{secret}: {all}");
    }
}
