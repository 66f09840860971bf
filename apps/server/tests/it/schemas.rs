use jiff::SignedDuration;
use plinth_testdb::TestDatabase;
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use crate::app::{Answer, Person, TestApp, connection, send};

const SHOP: &str = "
    CREATE TYPE order_status AS ENUM ('open', 'paid');
    CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, email text);
    COMMENT ON TABLE customers IS 'Who buys.';
    CREATE TABLE orders (
        id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, status order_status,
        total numeric(12,2) CHECK (total >= 0));
    CREATE TABLE order_items (
        order_id int REFERENCES orders, product text, quantity int, PRIMARY KEY (order_id, product));
    CREATE TABLE secret_plans (id int PRIMARY KEY, order_id int REFERENCES orders, plan text);
    CREATE VIEW open_orders AS SELECT id, total FROM orders WHERE status = 'open';
    CREATE VIEW planned AS SELECT plan FROM secret_plans;
    INSERT INTO customers VALUES (1, 'Ann', 'ann@example.com'), (2, 'Bob', 'bob@example.com');
    INSERT INTO orders VALUES (1, 1, 'open', 12.50), (2, 1, 'paid', 99.99);
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO plinth_test_owner;
    ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO plinth_test_owner;
";

pub(crate) async fn shop() -> TestDatabase {
    TestDatabase::from_sql(SHOP).await.unwrap()
}

pub(crate) async fn run(database: &TestDatabase, sql: &str) {
    let (client, connection) =
        tokio_postgres::connect(&database.superuser_url(), NoTls).await.unwrap();
    let running = tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap();
    drop(client);
    running.await.unwrap().unwrap();
}

/// Reads the schema anew, a minute later.
async fn refresh(app: &TestApp, who: &Person, id: &str) -> Value {
    app.clock.advance(SignedDuration::from_mins(1));
    let answer = who.post(&format!("/v1/connections/{id}/schema/refresh"), json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["data"].clone()
}

async fn put(who: &Person, path: &str, body: &Value) -> Answer {
    send(who.request("PUT", path).json(body)).await
}

fn names(answer: &Answer) -> Vec<&str> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let tables = answer.body["data"]["tables"].as_array().unwrap();
    tables.iter().map(|it| it["name"].as_str().unwrap()).collect()
}

fn changes(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let all = answer.body["data"]["changes"].as_array().unwrap();
    let text = |it: &Value, field: &str| it[field].as_str().unwrap_or("-").to_owned();
    all.iter()
        .map(|it| {
            let parts = ["change", "object", "table", "name", "aspect"].map(|name| text(it, name));
            parts.join(" ")
        })
        .collect()
}

#[actix_web::test]
async fn the_history_holds_what_changed_and_says_what_it_was() {
    let (app, db) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Acme").await;
    let id = ann.connect("Shop", &db).await;
    let path = format!("/v1/connections/{id}/schema");
    let first = ann.get(&path).await.body["data"]["snapshot_id"].clone();
    let drift = ann.get(&format!("{path}/drift")).await;
    assert_eq!((drift.status, &drift.body["data"]["from"]), (200, &Value::Null), "{}", drift.text);

    run(&db, "ANALYZE").await;
    let again = refresh(&app, &ann, &id).await["snapshot_id"].clone();
    assert_ne!(first, again);
    let all = ann.get(&format!("{path}/snapshots")).await;
    assert_eq!(all.body["data"].as_array().unwrap().len(), 1, "nothing new: {}", all.text);
    assert_eq!(all.body["data"][0]["id"], again);
    assert!(
        all.body["data"][0]["first_read_at"].as_str() < all.body["data"][0]["taken_at"].as_str()
    );

    run(
        &db,
        "ALTER TABLE orders RENAME COLUMN total TO amount; ALTER TABLE customers RENAME TO clients;
         ALTER TYPE order_status ADD VALUE 'sent'; ALTER TABLE clients ALTER email SET NOT NULL;
         CREATE TABLE notes (id int PRIMARY KEY);",
    )
    .await;
    refresh(&app, &ann, &id).await;
    let expected = [
        "renamed table public.clients public.clients -",
        "changed column public.clients email nullable",
        "added table public.notes public.notes -",
        "changed view public.open_orders public.open_orders definition",
        "renamed column public.orders amount -",
        "changed enum - public.order_status labels",
    ];
    let drift = ann.get(&format!("{path}/drift")).await;
    assert_eq!(changes(&drift), expected, "{}", drift.text);
    let data = &drift.body["data"];
    assert_eq!(
        data["summary"],
        json!({ "added": 1, "removed": 0, "renamed": 2, "changed": 3, "breaking": 3 })
    );
    assert_eq!(data["from"]["snapshot_id"], again);
    assert_eq!(data["changes"][4]["before"], "total");
    assert_eq!(data["changes"][4]["confidence"], 1.0, "the database shows that it is the same");
    // The former name of a state that was read again, and pages of both.
    let from = format!("{path}/drift?from={}", first.as_str().unwrap());
    assert_eq!(changes(&ann.get(&from).await), expected);
    let mut paged = Vec::new();
    let mut next = format!("{from}&limit=2");
    loop {
        let page = ann.get(&next).await;
        paged.extend(changes(&page));
        match page.body["meta"]["next_cursor"].as_str() {
            Some(cursor) => next = format!("{from}&limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(paged, expected);
    let page = ann.get(&format!("{path}/snapshots?limit=1")).await;
    let cursor = page.body["meta"]["next_cursor"].as_str().unwrap();
    let rest = ann.get(&format!("{path}/snapshots?limit=1&cursor={cursor}")).await;
    assert_eq!(rest.body["data"][0]["id"], again);
    let missing = ann.get(&format!("{path}/drift?to=snap_{}", "0".repeat(32))).await;
    assert_eq!(missing.error(), (404, "not_found"));

    // Back again: that is a state of its own.
    run(&db, "DROP TABLE notes").await;
    refresh(&app, &ann, &id).await;
    assert_eq!(
        changes(&ann.get(&format!("{path}/drift")).await),
        ["removed table public.notes public.notes -"]
    );
}

#[actix_web::test]
async fn what_a_connection_hides_is_told_by_no_route() {
    let (app, db) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Acme").await;
    let mut body = connection("Shop", &db);
    body["allowed_tables"] = json!(["public.orders", "public.planned"]);
    let made = ann.post("/v1/connections", body).await;
    let id = made.body["data"]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/connections/{id}/schema");
    assert_eq!(names(&ann.get(&path).await), ["orders", "planned"]);
    assert_eq!(names(&ann.get(&format!("{path}?search=secret plan")).await), ["planned"]);
    run(
        &db,
        "ALTER TABLE secret_plans ADD COLUMN more text; ALTER TABLE orders ADD COLUMN note text",
    )
    .await;
    refresh(&app, &ann, &id).await;
    let drift = ann.get(&format!("{path}/drift")).await;
    assert_eq!(changes(&drift), ["added column public.orders note -"]);
    let planned = ann.get(&format!("{path}/tables/public.planned")).await;
    assert_eq!(planned.body["data"]["definition"], Value::Null, "it names what is hidden");
    for hidden in ["public.secret_plans", "public.customers", "public.nothing"] {
        let table = format!("{path}/tables/{hidden}");
        let answers = [
            ann.get(&table).await,
            put(&ann, &format!("{table}/annotation"), &json!({ "description": "x" })).await,
            ann.delete(&format!("{table}/annotation")).await,
        ];
        for answer in answers {
            assert_eq!(answer.error(), (404, "not_found"), "{hidden}: {}", answer.text);
        }
    }
    for path in [path.clone(), format!("{path}/drift"), format!("{path}/tables/orders")] {
        let answer = ann.get(&path).await;
        assert!(!answer.text.contains("secret_plans"), "{path}: {}", answer.text);
        assert!(!answer.text.contains("customers"), "{path}: {}", answer.text);
    }
}

#[actix_web::test]
async fn tables_are_found_by_words_and_come_in_pages() {
    let (app, db) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Acme").await;
    let id = ann.connect("Shop", &db).await;
    let path = format!("/v1/connections/{id}/schema");
    let all = ann.get(&path).await;
    let every = names(&all).into_iter().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        every,
        ["customers", "open_orders", "order_items", "orders", "planned", "secret_plans"]
    );
    let found = ann.get(&format!("{path}?search=customer+email")).await;
    assert_eq!(names(&found)[0], "customers");
    let hit = &found.body["data"]["tables"][0]["match"];
    assert_eq!(hit["columns"][0]["name"], "email", "{hit}");
    for query in ["limit=2", "search=order&limit=1"] {
        let (mut seen, mut next) = (Vec::new(), format!("{path}?{query}"));
        loop {
            let page = ann.get(&next).await;
            seen.extend(names(&page).into_iter().map(str::to_owned));
            match page.body["meta"]["next_cursor"].as_str() {
                Some(cursor) => next = format!("{path}?{query}&cursor={cursor}"),
                None => break,
            }
        }
        let words =
            query.split('&').next().filter(|it| it.starts_with("search")).unwrap_or("limit=100");
        let whole = ann.get(&format!("{path}?{words}")).await;
        assert_eq!(seen, names(&whole), "{query}");
    }
    let page = ann.get(&format!("{path}?limit=2")).await;
    let cursor = page.body["meta"]["next_cursor"].as_str().unwrap();
    for bad in [
        "limit=0".to_owned(),
        format!("search=x&cursor={cursor}"),
        format!("search={}", "x".repeat(201)),
    ] {
        let answer = ann.get(&format!("{path}?{bad}")).await;
        assert_eq!(answer.error(), (422, "validation_error"), "{bad}");
    }
    let table = ann.get(&format!("{path}/tables/public.orders")).await;
    assert_eq!(table.body["data"], all.body["data"]["tables"][3], "the same as in the whole");
    assert_eq!(
        table.body["data"]["constraints"][0]["definition"],
        "CHECK ((total >= (0)::numeric))"
    );
    let by_path = ann.get(&format!("{path}/tables/orders")).await;
    assert_eq!(by_path.body["data"], table.body["data"], "along the search path");
}

#[actix_web::test]
async fn names_with_anything_in_them_can_be_asked_for() {
    let db = TestDatabase::from_sql(r#"CREATE TABLE "a/b.c %20é" ("x/y" int); GRANT SELECT ON ALL TABLES IN SCHEMA public TO plinth_test_owner"#).await.unwrap();
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let id = ann.connect("Shop", &db).await;
    let path = format!("/v1/connections/{id}/schema/tables/public.a%2Fb.c%20%2520%C3%A9");
    let table = ann.get(&path).await;
    assert_eq!(table.body["data"]["name"], "a/b.c %20é", "{}", table.text);
    let written = put(
        &ann,
        &format!("{path}/columns/x%2Fy/annotation"),
        &json!({ "description": "X by Y." }),
    )
    .await;
    assert_eq!(written.body["data"]["column"], "x/y", "{}", written.text);
}

#[actix_web::test]
async fn what_people_write_outlives_refreshes_and_helps_questions() {
    let (app, db) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Acme").await;
    let id = ann.connect("Shop", &db).await;
    let path = format!("/v1/connections/{id}/schema");
    let unknown = ann.ask(&id, "How many zorbles are there?").await;
    assert_eq!(unknown.error(), (422, "validation_error"), "{}", unknown.text);

    let table = format!("{path}/tables/public.orders");
    let body = json!({ "description": " What people bought. ", "synonyms": ["zorble", "Zorble"] });
    let written = put(&ann, &format!("{table}/annotation"), &body).await;
    assert_eq!(written.status, 200, "{}", written.text);
    let note = &written.body["data"];
    assert_eq!(note["description"], "What people bought.");
    assert_eq!(note["synonyms"], json!(["zorble"]));
    let tag = written.headers["etag"].to_str().unwrap().to_owned();

    let known = ann.ask(&id, "How many zorbles are there?").await;
    assert_eq!(known.rows(), &json!([[2]]));
    let total =
        put(&ann, &format!("{table}/columns/total/annotation"), &json!({ "synonyms": ["blarg"] }))
            .await;
    assert_eq!(total.status, 200, "{}", total.text);
    let asked = ann.ask(&id, "What is the highest blarg of all orders?").await;
    assert_eq!(asked.rows(), &json!([[99.99]]), "{}", asked.text);

    refresh(&app, &ann, &id).await;
    let shown = ann.get(&table).await;
    assert_eq!(shown.body["data"]["annotation"]["synonyms"], json!(["zorble"]));
    assert_eq!(shown.body["data"]["columns"][3]["annotation"]["synonyms"], json!(["blarg"]));
    assert_eq!(names(&ann.get(&format!("{path}?search=blarg")).await), ["orders"]);
    let list = ann.get(&format!("{path}/annotations")).await;
    assert_eq!(list.body["data"].as_array().unwrap().len(), 2, "{}", list.text);

    // Two people at once: who saw the older text does not overwrite the newer.
    let newer =
        put(&ann, &format!("{table}/annotation"), &json!({ "description": "Orders." })).await;
    assert_eq!(newer.status, 200);
    let request = ann.request("PUT", &format!("{table}/annotation")).header("if-match", &tag);
    let stale = send(request.json(&json!({ "description": "Older." }))).await;
    assert_eq!(stale.error(), (412, "precondition_failed"));
    let stale =
        send(ann.request("DELETE", &format!("{table}/annotation")).header("if-match", &tag)).await;
    assert_eq!(stale.error(), (412, "precondition_failed"));

    // What is not there any more can still be seen and taken back.
    run(&db, "ALTER TABLE orders RENAME TO purchases").await;
    refresh(&app, &ann, &id).await;
    let list = ann.get(&format!("{path}/annotations?limit=1")).await;
    assert_eq!(list.body["data"][0]["orphaned"], true, "{}", list.text);
    let cursor = list.body["meta"]["next_cursor"].as_str().unwrap();
    let rest = ann.get(&format!("{path}/annotations?cursor={cursor}")).await;
    assert_eq!(rest.body["data"][0]["column"], "total");
    assert_eq!(ann.delete(&format!("{table}/columns/total/annotation")).await.status, 204);
    assert_eq!(ann.delete(&format!("{table}/annotation")).await.status, 204);
    assert_eq!(ann.delete(&format!("{table}/annotation")).await.error(), (404, "not_found"));
    assert_eq!(ann.get(&format!("{path}/annotations")).await.body["data"], json!([]));

    for (body, field) in [
        (json!({}), "description"),
        (json!({ "description": "" }), "description"),
        (json!({ "description": "x".repeat(2_001) }), "description"),
        (json!({ "synonyms": [""] }), "synonyms"),
        (json!({ "note": "x" }), "note"),
    ] {
        let answer = put(&ann, &format!("{path}/tables/purchases/annotation"), &body).await;
        assert_eq!(answer.error(), (422, "validation_error"), "{body}");
        assert!(answer.body["error"]["details"][field].is_string(), "{}", answer.text);
    }
}

#[actix_web::test]
async fn a_schema_is_stale_by_age_and_by_what_the_database_says() {
    let (app, db) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Acme").await;
    let id = ann.connect("Shop", &db).await;
    let path = format!("/v1/connections/{id}/schema/freshness");
    let fresh = async |query: &str| {
        let answer = ann.get(&format!("{path}{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body["data"].clone()
    };
    let never =
        json!({ "needs_refresh": true, "last_refresh": null, "age_hours": null, "changed": null });
    assert_eq!(fresh("?check=true").await, never);
    refresh(&app, &ann, &id).await;
    assert_eq!(fresh("?check=true").await["needs_refresh"], false);
    run(&db, "ALTER TABLE orders ADD COLUMN note text").await;
    let unasked = fresh("").await;
    assert_eq!((&unasked["needs_refresh"], &unasked["changed"]), (&json!(false), &Value::Null));
    let asked = fresh("?check=true").await;
    assert_eq!((&asked["needs_refresh"], &asked["changed"]), (&json!(true), &json!(true)));
    refresh(&app, &ann, &id).await;
    assert_eq!(fresh("?check=true").await["changed"], false);
    app.clock.advance(SignedDuration::from_hours(25));
    let old = fresh("").await;
    assert_eq!((&old["needs_refresh"], &old["age_hours"]), (&json!(true), &json!(25.0)));
    assert_eq!(ann.get(&format!("{path}?x=1")).await.error(), (422, "validation_error"));
}

#[actix_web::test]
async fn a_schema_can_be_drawn() {
    let (app, db) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Acme").await;
    let id = ann.connect("Shop", &db).await;
    let path = format!("/v1/connections/{id}/schema/diagram");
    let picture = ann.get(&path).await;
    assert_eq!(picture.status, 200, "{}", picture.text);
    assert_eq!(picture.headers["content-type"], "image/svg+xml");
    assert_eq!(picture.headers["content-security-policy"], "default-src 'none'; sandbox");
    assert_eq!(picture.headers["x-plinth-tables-shown"], "4", "tables only");
    assert_eq!(picture.headers["x-plinth-tables-omitted"], "0");
    assert!(picture.text.starts_with("<svg ") && picture.text.contains(">order_items</text>"));
    let text = ann.get(&format!("{path}?format=mermaid&tables=orders,customers")).await;
    assert_eq!(text.headers["x-plinth-tables-omitted"], "2");
    assert!(
        text.text.starts_with("erDiagram\n")
            && text.text.contains("customers ||--o{ orders : \"customer_id\""),
        "{}",
        text.text
    );
    let accepted = send(ann.request("GET", &path).header("accept", "text/vnd.mermaid")).await;
    assert_eq!(accepted.headers["content-type"], "text/vnd.mermaid; charset=utf-8");
    let around = ann.get(&format!("{path}?around=public.order_items&depth=1")).await;
    assert_eq!(around.headers["x-plinth-tables-shown"], "2");
    for bad in ["format=png", "limit=0", "limit=201", "depth=0", "x=1"] {
        assert_eq!(
            ann.get(&format!("{path}?{bad}")).await.error(),
            (422, "validation_error"),
            "{bad}"
        );
    }
    assert_eq!(ann.get(&format!("{path}?around=nothing")).await.error(), (404, "not_found"));
}

#[actix_web::test]
async fn another_organization_sees_and_changes_none_of_it() {
    let (app, db) = (TestApp::start().await, shop().await);
    let (ann, bob) = (app.owner_of("Acme").await, app.owner_of("Other").await);
    let id = ann.connect("Shop", &db).await;
    let theirs = bob.connect("Shop", &db).await;
    let path = format!("/v1/connections/{id}/schema");
    let snapshot = ann.get(&path).await.body["data"]["snapshot_id"].as_str().unwrap().to_owned();
    let note = json!({ "description": "Ours alone." });
    let calls = [
        ("GET", format!("{path}?search=order")),
        ("GET", format!("{path}/tables/public.orders")),
        ("GET", format!("{path}/tables/public.orders/ddl")),
        ("GET", format!("{path}/snapshots")),
        ("GET", format!("{path}/freshness?check=true")),
        ("GET", format!("{path}/drift")),
        ("GET", format!("{path}/diagram")),
        ("PUT", format!("{path}/tables/public.orders/annotation")),
        ("PUT", format!("{path}/tables/public.orders/columns/total/annotation")),
        ("GET", format!("{path}/annotations")),
        ("DELETE", format!("{path}/tables/public.orders/annotation")),
        ("DELETE", format!("{path}/tables/public.orders/columns/total/annotation")),
    ];
    for (method, path) in &calls {
        let call = |who: &Person| {
            let request = who.request(method, path);
            send(if *method == "PUT" { request.json(&note) } else { request })
        };
        let refused = call(&bob).await;
        assert_eq!(refused.error(), (404, "not_found"), "{method} {path}");
        let own = call(&ann).await;
        assert!((200..300).contains(&own.status), "{method} {path}: {}", own.text);
    }
    // Another connection's snapshot is none of this one's.
    let mixed = bob.get(&format!("/v1/connections/{theirs}/schema/drift?from={snapshot}")).await;
    assert_eq!(mixed.error(), (404, "not_found"));
    let second = ann.connect("Shop again", &db).await;
    let mixed = ann.get(&format!("/v1/connections/{second}/schema/drift?from={snapshot}")).await;
    assert_eq!(mixed.error(), (404, "not_found"));
}

/// The view calls a function that might do anything: no statement over it is let through, so none is proposed.
#[actix_web::test]
async fn a_view_that_the_guard_refuses_is_not_proposed_and_its_question_is_told_why() {
    let (app, db) = (TestApp::start().await, shop().await);
    run(
        &db,
        "CREATE FUNCTION shout(text) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT upper($1)';
         CREATE VIEW greetings AS SELECT id, shout(name) AS phrase FROM customers;
         GRANT SELECT ON greetings TO plinth_test_owner;",
    )
    .await;
    let ann = app.owner_of("Acme").await;
    let id = ann.connect("Shop", &db).await;
    let ask = |question: &str| json!({ "connection_id": id, "question": question });
    let refused = ann.post("/v1/queries", ask("how many greetings are there?")).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    let error = &refused.body["error"];
    assert_eq!(error["details"]["outcome"], "not_permitted", "{}", refused.text);
    assert_eq!(error["details"]["words"], json!(["greetings"]), "{}", refused.text);
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("`public.greetings` cannot be read") && message.contains("shout"),
        "{message}"
    );
    let answered = ann.post("/v1/queries", ask("how many customers are there?")).await;
    assert_eq!(answered.status, 200, "{}", answered.text);
    let sql = json!({ "connection_id": id, "sql": "SELECT * FROM greetings" });
    let sql = ann.post("/v1/queries", sql).await;
    assert_eq!(sql.body["error"]["details"]["rule"], "unsafe_view", "{}", sql.text);
}
