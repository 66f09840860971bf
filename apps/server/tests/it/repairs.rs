use jiff::SignedDuration;
use plinth_testdb::TestDatabase;
use serde_json::{Value, json};

use crate::app::{Answer, Person, TestApp, address, send};
use crate::dashboards::{id, make, shared, widget};
use crate::schemas::run;

const SHOP: &str = "
    CREATE TABLE customers (id int PRIMARY KEY, name text, country text, credit int);
    CREATE TABLE orders (id int PRIMARY KEY, customer_id int, total int, note text);
    CREATE VIEW rich AS SELECT id, name, credit FROM customers WHERE credit > 100;
    INSERT INTO customers VALUES (1, 'Ann', 'Chad', 50), (2, 'Bob', 'Mali', 150), (3, 'Cy', 'Chad', 250);
    INSERT INTO orders VALUES (1, 1, 10, 'a'), (2, 2, 20, 'b');
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO plinth_test_owner;
    ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO plinth_test_owner;
";

async fn shop() -> TestDatabase {
    TestDatabase::from_sql(SHOP).await.unwrap()
}

/// Changes the schema, has it read, and the queries over it tried.
async fn drift(
    app: &TestApp,
    who: &Person,
    (target, connection): (&TestDatabase, &str),
    sql: &str,
) {
    run(target, sql).await;
    app.clock.advance(SignedDuration::from_mins(1));
    let path = format!("/v1/connections/{connection}/schema/refresh");
    let read = who.post(&path, json!({})).await;
    assert_eq!(read.status, 200, "{}", read.text);
    app.services.outbox.drain().await.unwrap();
}

async fn save(who: &Person, connection: &str, name: &str, sql: &str) -> String {
    let body = json!({ "name": name, "connection_id": connection, "sql": sql });
    let saved = who.post("/v1/queries/save", body).await;
    assert_eq!(saved.status, 201, "{}", saved.text);
    saved.body["data"]["query_id"].as_str().unwrap().to_owned()
}

/// The newest repair of a query; null if it has none.
async fn repair(who: &Person, query: &str) -> Value {
    let found = who.get(&format!("/v1/queries/repairs?query_id={query}")).await;
    assert_eq!(found.status, 200, "{}", found.text);
    found.body["data"][0].clone()
}

/// A workflow that runs both queries, in its draft the second only, and an alert on the first: their paths.
async fn users_of(who: &Person, one: &str, two: &str) -> [String; 2] {
    let step = |name, query| json!({ "name": name, "type": "saved_query", "query_id": query });
    let body = json!({
        "name": "Both", "trigger": { "type": "manual" }, "steps": [step("one", one), step("two", two)],
    });
    let made = who.post("/v1/workflows", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.body["data"]["repairs"], json!([]));
    let workflow = format!("/v1/workflows/{}", made.body["data"]["id"].as_str().unwrap());
    let draft = json!({ "steps": [step("two", two)], "publish": false });
    let changed = send(who.request("PATCH", &workflow).json(&draft)).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let body = json!({
        "name": "Rich", "query_id": one, "condition": { "type": "has_rows" }, "schedule": { "every": "day" },
    });
    let made = who.post("/v1/alerts", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    [workflow, format!("/v1/alerts/{}", made.body["data"]["id"].as_str().unwrap())]
}

async fn act(who: &Person, repair: &Value, what: &str) -> Answer {
    let id = repair["id"].as_str().unwrap();
    who.post(&format!("/v1/queries/repairs/{id}/{what}"), json!({})).await
}

async fn mode(who: &Person, body: Value) -> Answer {
    send(who.request("PUT", "/v1/queries/repair-modes").json(&body)).await
}

async fn rows(who: &Person, query: &str) -> Value {
    let ran = who.post(&format!("/v1/queries/{query}/run"), json!({})).await;
    assert_eq!(ran.status, 200, "{}", ran.text);
    ran.body["data"]["results"].clone()
}

#[actix_web::test]
async fn what_a_change_breaks_is_marked_with_a_fix_that_was_tried() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let (viewer, _) = app.member(&ann, "vi@example.com", "viewer").await;
    let bob = app.owner_of("Bob").await;
    let connection = ann.connect("Shop", &target).await;
    let theirs = bob.connect("Shop", &target).await;

    let parameters = json!([{ "name": "least", "type": "number", "default": 100 }]);
    let sql = "-- who may owe\nSELECT name, credit FROM customers WHERE credit > {{ least }} ORDER BY credit";
    let body = json!({ "name": "Rich", "connection_id": connection, "sql": sql, "parameters": parameters });
    let rich = ann.post("/v1/queries/save", body).await.body["data"]["query_id"].clone();
    let rich = rich.as_str().unwrap().to_owned();
    let notes = save(&ann, &connection, "Notes", "SELECT id, note FROM orders").await;
    let sums =
        save(&ann, &connection, "Sums", "SELECT sum(total) AS sum FROM orders WHERE note = 'b'")
            .await;
    let view = save(&ann, &connection, "View", "SELECT name FROM rich WHERE credit > 200").await;
    let countries =
        save(&ann, &connection, "Countries", "SELECT DISTINCT country FROM customers").await;
    let other = save(&bob, &theirs, "Theirs", "SELECT credit FROM customers").await;
    let widgets =
        json!([widget("table", &rich, (0, 0, 6, 4)), widget("table", &countries, (6, 0, 6, 4)),]);
    let made = make(&ann, json!({ "name": "Shop", "widgets": widgets })).await;
    let dashboard = format!("/v1/dashboards/{}", id(&made));
    let [workflow, alert] = users_of(&ann, &rich, &countries).await;
    let link = ann.post(&format!("{dashboard}/shares"), json!({ "kind": "link" })).await;
    let token = link.body["data"]["token"].as_str().unwrap().to_owned();

    drift(
        &app,
        &ann,
        (&target, &connection),
        "DROP VIEW rich;
         ALTER TABLE customers RENAME COLUMN credit TO credit_limit;
         CREATE VIEW rich AS SELECT id, name, credit_limit AS owed FROM customers WHERE credit_limit > 100;
         ALTER TABLE orders DROP COLUMN note;
         GRANT SELECT ON rich TO plinth_test_owner",
    )
    .await;

    // A rename that the database shows, in the words that somebody wrote, with the result's column as it was called.
    let found = repair(&ann, &rich).await;
    assert_eq!((&found["state"], &found["query_version"]), (&json!("open"), &json!(1)), "{found}");
    assert!(found["why"].as_str().unwrap().contains("credit"), "{found}");
    let change = &found["changes"][0];
    assert_eq!(
        (&change["kind"], &change["before"], &change["after"], &change["confidence"]),
        (&json!("renamed"), &json!("credit"), &json!("credit_limit"), &json!(1.0)),
        "{found}"
    );
    let proposal = &found["proposal"];
    let expected = "-- who may owe\nSELECT name, credit_limit AS credit FROM customers WHERE credit_limit > {{ least }} ORDER BY credit";
    assert_eq!(proposal["sql"], expected);
    assert_eq!(proposal["certain"], true);
    let tried = &proposal["dry_run"];
    assert_eq!(
        (&tried["succeeded"], &tried["differences"], &tried["row_count"]),
        (&json!(true), &json!([]), &json!(2)),
        "{found}"
    );
    // A column that is gone can be left out of a result, which nobody does by itself.
    let lost = repair(&ann, &notes).await;
    assert_eq!(lost["proposal"]["sql"], "SELECT id FROM orders", "{lost}");
    assert_eq!(lost["proposal"]["steps"][0]["action"], "leave_out");
    assert_eq!(lost["proposal"]["certain"], false);
    let needed = repair(&ann, &sums).await;
    assert_eq!(needed["proposal"], Value::Null);
    assert!(needed["no_proposal"].as_str().unwrap().contains("note"), "{needed}");
    // A view that was made anew is the same by its looks only.
    let guessed = repair(&ann, &view).await;
    assert_eq!(guessed["state"], "open", "{guessed}");
    assert_eq!(guessed["proposal"]["certain"], json!(false), "{guessed}");
    assert_eq!(repair(&ann, &countries).await, Value::Null, "it works");

    // Widgets carry the mark, for whoever looks; a link does not tell.
    for who in [&ann, &viewer] {
        let seen = who.get(&dashboard).await;
        let widgets = &seen.body["data"]["widgets"];
        assert_eq!(widgets[0]["repair"]["id"], found["id"], "{}", seen.text);
        assert_eq!(widgets[0]["data"]["status"], "error");
        assert_eq!(widgets[1]["repair"], Value::Null);
    }
    assert!(!shared(&app, &token, "").await.text.contains("credit_limit"));

    // Workflows and alerts do too, for whoever may read queries.
    let marks = async |who: &Person| {
        let workflow = who.get(&workflow).await.body["data"]["repairs"].clone();
        let alert = who.get(&alert).await.body["data"]["repair"].clone();
        let listed = who.get("/v1/alerts").await.body["data"][0]["repair"].clone();
        (workflow, alert, listed)
    };
    let (of_workflow, of_alert, listed) = marks(&ann).await;
    assert_eq!((&of_workflow[0]["id"], of_workflow.as_array().unwrap().len()), (&found["id"], 1));
    assert_eq!((&of_alert["id"], &listed["id"]), (&found["id"], &found["id"]));
    let new = json!({ "name": "looks", "scopes": ["workflows:read"] });
    let key = ann.post("/v1/api-keys", new).await.body["data"]["key"].clone();
    let (of_workflow, of_alert, _) = marks(&app.somebody(key.as_str().unwrap())).await;
    assert_eq!((of_workflow, of_alert), (json!([]), Value::Null));

    // Viewers look on; another organization has repairs of its own.
    let refused = act(&viewer, &found, "apply").await;
    assert_eq!(refused.error(), (403, "authorization_error"), "{}", refused.text);
    assert_eq!(act(&viewer, &found, "dismiss").await.status, 403);
    assert_eq!(act(&bob, &found, "apply").await.status, 404);
    assert_eq!(
        bob.get(&format!("/v1/queries/repairs/{}", found["id"].as_str().unwrap())).await.status,
        404
    );
    assert_eq!(repair(&bob, &rich).await, Value::Null);
    assert_eq!(
        repair(&bob, &other).await,
        Value::Null,
        "nobody read their connection's schema anew"
    );

    // Owners hear of it once.
    let mails = app.mailer.sent_to(&address("Ann"));
    let told: Vec<_> =
        mails.iter().filter(|it| it.subject.as_str().contains("do not work")).collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].text.contains("Notes, Rich, Sums, View"), "{}", told[0].text);
    assert!(app.mailer.sent_to(&address("Bob")).is_empty());

    // Applied, it is a version; the one before is kept.
    let applied = act(&ann, &found, "apply").await;
    assert_eq!(applied.status, 200, "{}", applied.text);
    assert_eq!(
        (&applied.body["data"]["state"], &applied.body["data"]["applied_version"]),
        (&json!("applied"), &json!(2))
    );
    assert_eq!(rows(&viewer, &rich).await["rows"], json!([["Bob", 150], ["Cy", 250]]));
    assert_eq!(rows(&viewer, &rich).await["columns"], json!(["name", "credit"]));
    let version = ann.get(&format!("/v1/queries/{rich}/versions/2")).await.body["data"].clone();
    assert_eq!(version["repair"]["version"], 1, "{version}");
    assert!(
        version["repair"]["reason"].as_str().unwrap().contains("credit → credit_limit"),
        "{version}"
    );
    let first = ann.get(&format!("/v1/queries/{rich}/versions/1")).await.body["data"].clone();
    assert_eq!((&first["sql"], &first["repair"]), (&json!(sql), &Value::Null));
    let seen = ann.get(&dashboard).await;
    assert_eq!(seen.body["data"]["widgets"][0]["repair"], Value::Null, "{}", seen.text);
    assert_eq!(marks(&ann).await, (json!([]), Value::Null, Value::Null));
    assert_eq!(seen.body["data"]["widgets"][0]["data"]["row_count"], 2);
    let again = act(&ann, &found, "apply").await;
    assert_eq!(again.body["error"]["details"]["reason"], "settled", "{}", again.text);
    let none = act(&ann, &needed, "apply").await;
    assert_eq!(none.body["error"]["details"]["reason"], "no_proposal", "{}", none.text);

    // Who mends it by hand settles it too.
    let patched = ann
        .patch(
            &format!("/v1/queries/{sums}"),
            json!({ "sql": "SELECT sum(total) AS sum FROM orders" }),
        )
        .await;
    assert_eq!(patched.status, 200, "{}", patched.text);
    assert_eq!(repair(&ann, &sums).await["state"], "resolved");
    let trail = ann.get("/v1/audit?action=query.broken").await;
    assert_eq!(trail.body["data"].as_array().unwrap().len(), 4, "{}", trail.text);
}

#[actix_web::test]
async fn modes_say_what_is_done_and_only_what_is_certain_is_done_alone() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let (editor, _) = app.member(&ann, "ed@example.com", "editor").await;
    let bob = app.owner_of("Bob").await;
    let connection = ann.connect("Shop", &target).await;
    let at = (&target, connection.as_str());
    let renamed =
        save(&editor, &connection, "Renamed", "SELECT name, credit FROM customers ORDER BY 1")
            .await;
    let moved =
        save(&ann, &connection, "Moved", "SELECT customers.total AS t FROM orders customers").await;
    let off = save(&ann, &connection, "Off", "SELECT credit AS off FROM customers").await;
    let careful =
        save(&ann, &connection, "Careful", "SELECT credit AS careful FROM customers").await;
    let retyped =
        save(&ann, &connection, "Retyped", "SELECT total FROM orders WHERE total + 1 > 11").await;
    let widgets =
        json!([widget("table", &careful, (0, 0, 6, 4)), widget("table", &off, (6, 0, 6, 4))]);
    let board = make(&ann, json!({ "name": "Careful", "widgets": widgets })).await;
    let bold = make(
        &editor,
        json!({ "name": "Bold", "widgets": [
        widget("table", &careful, (0, 0, 6, 4)), widget("table", &renamed, (0, 4, 6, 4)) ] }),
    )
    .await;

    // Whose is what to decide.
    assert_eq!(
        mode(&editor, json!({ "mode": "auto" })).await.status,
        403,
        "the organization's is an admin's"
    );
    assert_eq!(mode(&ann, json!({ "mode": "auto" })).await.status, 200);
    assert_eq!(
        mode(&ann, json!({ "mode": "suggest", "dashboard_id": id(&board) })).await.status,
        200
    );
    assert_eq!(
        mode(&editor, json!({ "mode": "auto", "dashboard_id": id(&bold) })).await.status,
        200
    );
    let set = mode(&ann, json!({ "mode": "off", "query_id": off })).await;
    assert_eq!(set.body["data"]["organization"], "auto");
    assert_eq!(set.body["data"]["queries"], json!([{ "query_id": off, "mode": "off" }]));
    assert_eq!(set.body["data"]["dashboards"].as_array().unwrap().len(), 2);
    assert_eq!(mode(&bob, json!({ "mode": "off", "query_id": off })).await.status, 404);
    assert_eq!(mode(&bob, json!({ "mode": "off", "dashboard_id": id(&board) })).await.status, 404);
    assert_eq!(
        mode(&ann, json!({ "mode": "off", "query_id": off, "dashboard_id": id(&board) }))
            .await
            .status,
        422
    );
    assert_eq!(mode(&ann, json!({ "mode": "sometimes" })).await.status, 422);
    assert_eq!(mode(&ann, json!({ "query_id": off })).await.status, 422, "null is said");
    assert_eq!(bob.get("/v1/queries/repair-modes").await.body["data"]["organization"], "suggest");

    drift(
        &app,
        &ann,
        at,
        "DROP VIEW rich;
         ALTER TABLE customers RENAME COLUMN credit TO credit_limit;
         ALTER TABLE orders RENAME TO purchases;
         ALTER TABLE purchases ALTER COLUMN total TYPE text",
    )
    .await;

    let by_itself = repair(&ann, &renamed).await;
    assert_eq!(
        (&by_itself["state"], &by_itself["settled_by"]),
        (&json!("applied"), &Value::Null),
        "{by_itself}"
    );
    let version = ann.get(&format!("/v1/queries/{renamed}/versions/2")).await.body["data"].clone();
    let user = editor.get("/v1/me").await.body["data"]["user"]["id"].clone();
    assert_eq!(version["created_by"], user, "the words are still the editor's: {version}");
    assert_eq!(
        (&version["repair"]["automatic"], &version["repair"]["certain"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(version["sql"], "SELECT name, credit_limit AS credit FROM customers ORDER BY 1");
    // A widget whose owner stands for the version before goes on by itself.
    let seen = ann.get(&format!("/v1/dashboards/{}", id(&bold))).await;
    let data = &seen.body["data"]["widgets"][1]["data"];
    assert_eq!(
        (&data["row_count"], &data["query_version"]),
        (&json!(3), &json!(2)),
        "{}",
        seen.text
    );

    let marked = repair(&ann, &off).await;
    assert_eq!(
        (&marked["state"], &marked["proposal"], &marked["no_proposal"]),
        (&json!("open"), &Value::Null, &Value::Null)
    );
    // Of two dashboards the one counts that does least.
    let careful = repair(&ann, &careful).await;
    assert_eq!(
        (&careful["state"], &careful["proposal"]["certain"]),
        (&json!("open"), &json!(true)),
        "{careful}"
    );
    let cast = repair(&ann, &retyped).await;
    assert_eq!(
        cast["proposal"]["sql"],
        "SELECT total::integer FROM purchases AS orders WHERE total::integer + 1 > 11",
        "{cast}"
    );
    assert_eq!((&cast["state"], &cast["proposal"]["certain"]), (&json!("open"), &json!(false)));
    assert_eq!(cast["proposal"]["dry_run"]["differences"], json!([]), "{cast}");
    assert_eq!(act(&ann, &cast, "apply").await.status, 200);
    assert_eq!(rows(&ann, &retyped).await["rows"], json!([[20]]));
    let moved = repair(&ann, &moved).await;
    assert!(
        moved["proposal"]["sql"].as_str().unwrap().contains("FROM purchases customers"),
        "{moved}"
    );

    // Back again: what stands on the old names works again, and what was repaired is repaired once more.
    let dismissed = act(&ann, &marked, "dismiss").await;
    assert_eq!(dismissed.body["data"]["state"], "dismissed", "{}", dismissed.text);
    drift(&app, &ann, at, "ALTER TABLE customers RENAME COLUMN credit_limit TO credit").await;
    assert_eq!(repair(&ann, &off).await["state"], "resolved");
    let version = ann.get(&format!("/v1/queries/{renamed}/versions/3")).await.body["data"].clone();
    assert_eq!(
        version["sql"], "SELECT name, credit AS credit FROM customers ORDER BY 1",
        "{version}"
    );
    let restored = ann.post(&format!("/v1/queries/{renamed}/versions/1/restore"), json!({})).await;
    assert_eq!(restored.status, 200, "{}", restored.text);
    assert_eq!(rows(&ann, &renamed).await["row_count"], 3);
    let mails = app.mailer.sent_to("ed@example.com");
    let about = |it: &&plinth_tenancy::Mail| it.subject.as_str().contains("Saved queries");
    assert_eq!(mails.iter().filter(about).count(), 2, "once for each repair");
}

#[actix_web::test]
async fn a_fix_is_tried_with_its_owners_rights_and_a_guess_waits_for_somebody() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let (editor, _) = app.member(&ann, "ed@example.com", "editor").await;
    let connection = ann.connect("Shop", &target).await;
    let at = (&target, connection.as_str());
    let hidden = save(&editor, &connection, "Hidden", "SELECT total FROM orders").await;
    let body = json!({ "name": "Secret", "connection_id": connection, "sql": "SELECT credit FROM customers",
        "visibility": "private" });
    let secret = editor.post("/v1/queries/save", body).await.body["data"]["query_id"].clone();
    let secret = secret.as_str().unwrap().to_owned();
    let policy = json!({ "name": "Own", "table": "public.orders", "roles": ["editor"],
        "rows": "note = {{user.note}}" });
    let path = format!("/v1/connections/{connection}/policies");
    assert_eq!(ann.post(&path, policy).await.status, 201);
    assert_eq!(mode(&ann, json!({ "mode": "auto" })).await.status, 200);
    drift(&app, &ann, at, "ALTER TABLE orders RENAME COLUMN total TO amount").await;
    let tried = repair(&ann, &hidden).await;
    let run = &tried["proposal"]["dry_run"];
    assert_eq!((&tried["state"], &run["succeeded"]), (&json!("open"), &json!(false)), "{tried}");
    assert!(
        run["error"].as_str().unwrap().contains("note"),
        "its owner lacks an attribute: {tried}"
    );
    let refused = act(&ann, &tried, "apply").await;
    assert_eq!(refused.body["error"]["details"]["reason"], "dry_run_failed", "{}", refused.text);

    // A table that was made anew has another number: it only looks like the one before. What is private is its owner's.
    drift(
        &app,
        &ann,
        at,
        "DROP VIEW rich; DROP TABLE customers;
         CREATE TABLE customers (id int PRIMARY KEY, name text, country text, credit_now int);
         GRANT SELECT ON customers TO plinth_test_owner",
    )
    .await;
    assert_eq!(repair(&ann, &secret).await, Value::Null);
    let guess = repair(&editor, &secret).await;
    assert_eq!(
        (&guess["state"], &guess["proposal"]["certain"]),
        (&json!("open"), &json!(false)),
        "{guess}"
    );
    assert!(guess["changes"][0]["confidence"].as_f64().unwrap() < 1.0, "{guess}");
    let applied = act(&editor, &guess, "apply").await;
    assert_eq!(applied.body["data"]["state"], "applied", "{}", applied.text);
    // Somebody changed the query while the proposal waited.
    let patched = ann
        .patch(&format!("/v1/queries/{hidden}"), json!({ "sql": "SELECT amount FROM orders" }))
        .await;
    assert_eq!(patched.status, 200, "{}", patched.text);
    assert_eq!(act(&ann, &tried, "dismiss").await.status, 409);
}

#[actix_web::test]
async fn a_widget_is_marked_with_what_broke_the_version_that_it_runs() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let (editor, _) = app.member(&ann, "ed@example.com", "editor").await;
    let connection = ann.connect("Shop", &target).await;
    let at = (&target, connection.as_str());
    let policy = json!({ "name": "Chad", "table": "public.customers", "roles": ["editor"],
        "rows": "country = 'Chad'" });
    let path = format!("/v1/connections/{connection}/policies");
    assert_eq!(ann.post(&path, policy).await.status, 201);
    let query = save(&ann, &connection, "Names", "SELECT name FROM customers").await;
    let board = async |who: &Person| {
        let widgets = json!([widget("table", &query, (0, 0, 6, 4))]);
        let made = make(who, json!({ "name": "Names", "widgets": widgets })).await;
        format!("/v1/dashboards/{}", id(&made))
    };
    // Ann stands for the first version; the editor wrote the second, from whom something is hidden.
    let hers = board(&ann).await;
    let change = json!({ "sql": "SELECT name, credit FROM customers" });
    let changed = editor.patch(&format!("/v1/queries/{query}"), change).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let theirs = board(&editor).await;
    let shown = async |path: &str| {
        let seen = ann.get(path).await;
        assert_eq!(seen.status, 200, "{}", seen.text);
        let widget = &seen.body["data"]["widgets"][0];
        (widget["data"]["status"].clone(), widget["repair"]["query_version"].clone())
    };

    drift(
        &app,
        &ann,
        at,
        "DROP VIEW rich; ALTER TABLE customers RENAME COLUMN credit TO credit_limit",
    )
    .await;
    assert_eq!(repair(&ann, &query).await["query_version"], 2);
    assert_eq!(shown(&theirs).await, (json!("error"), json!(2)));
    assert_eq!(shown(&hers).await, (json!("ok"), Value::Null), "the first version works");

    // Only the newest version is tried: what broke of it is not what broke the first.
    drift(&app, &ann, at, "ALTER TABLE customers RENAME COLUMN name TO full_name").await;
    assert_eq!(shown(&hers).await, (json!("error"), Value::Null));
    assert_eq!(shown(&theirs).await, (json!("error"), json!(2)));
}
