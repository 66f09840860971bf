//! Actions that write: through what, what is let through, and who lets it.

use jiff::SignedDuration;
use plinth_testdb::TestDatabase;
use serde_json::{Value, json};

use crate::app::{Person, TestApp, send};
use crate::workflows::{detail, make, run, shop};

/// The role that writes in tests; roles are the server's, and outlive a database.
pub(crate) const WRITER: &str = "plinth_test_writer";
pub(crate) const WRITER_PASSWORD: &str = "writes what tests write";

async fn client(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    actix_web::rt::spawn(connection);
    client
}

/// Sees to it that the role is there.
pub(crate) async fn writer(target: &TestDatabase) {
    let make = format!(
        "DO $$ BEGIN CREATE ROLE {WRITER} LOGIN PASSWORD '{WRITER_PASSWORD}';
         EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    );
    client(&target.superuser_url()).await.batch_execute(&make).await.unwrap();
}

/// Makes a role that may write the shop's orders and nothing else, and gives a client that may do everything.
async fn with_writer(target: &TestDatabase) -> tokio_postgres::Client {
    writer(target).await;
    let client = client(&target.superuser_url()).await;
    let grant = format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO {WRITER};
         CREATE SCHEMA plinth AUTHORIZATION {WRITER}"
    );
    client.batch_execute(&grant).await.unwrap();
    client
}

pub(crate) fn writing(connection: &str, more: &Value) -> Value {
    let mut body = json!({
        "name": "Writes", "connection_id": connection, "username": WRITER, "password": WRITER_PASSWORD,
        "tables": ["public.orders"],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn made(person: &Person, body: Value) -> String {
    let answer = person.post("/v1/write-connections", body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.body["data"]["id"].as_str().unwrap().to_owned()
}

fn marking(connection: &str, writes: &str, more: &Value) -> Value {
    let mut action = json!({
        "name": "mark", "type": "write", "write_connection_id": writes,
        "sql": "UPDATE orders SET email = {{ steps.one.email }} || '!', total = total + 1 WHERE id = {{ steps.one.id }}",
    });
    action.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({
        "name": "Marks", "trigger": { "type": "manual" },
        "steps": [{ "name": "one", "type": "sql", "connection_id": connection,
                    "sql": "SELECT id, email FROM orders WHERE id = 1" }],
        "actions": [action],
    })
}

async fn order(client: &tokio_postgres::Client) -> (String, String) {
    let row = client.query_one("SELECT email, total::text FROM orders WHERE id = 1", &[]);
    let row = row.await.unwrap();
    (row.get(0), row.get(1))
}

#[actix_web::test]
async fn an_action_writes_what_it_shows_and_nothing_is_run_before() {
    let (app, target) = (TestApp::start().await, shop().await);
    let client = with_writer(&target).await;
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let writes = made(&ann, writing(&connection, &json!({ "key_schema": "plinth" }))).await;
    let keys = client.query_one("SELECT count(*) FROM plinth.plinth_write_keys", &[]).await;
    assert_eq!(keys.unwrap().get::<_, i64>(0), 0, "the table is there, and empty");

    let workflow = make(&ann, marking(&connection, &writes, &json!({}))).await;
    let preview = ann.post(&format!("/v1/workflows/{workflow}/preview"), json!({})).await;
    let shown = &preview.body["data"]["actions"][0]["result"];
    assert_eq!(shown["values"], json!(["cy@example.com", "1"]), "{}", preview.text);
    assert_eq!((&shown["kind"], &shown["target"]), (&json!("update"), &json!("public.orders")));
    assert!(shown["statement"].as_str().unwrap().contains("= $1 || '!'"), "{shown}");
    assert_eq!(order(&client).await, ("cy@example.com".to_owned(), "12.5".to_owned()));

    let done = run(&app, &ann, &workflow).await;
    assert_eq!(done["status"], "succeeded", "{done}");
    let tried = &done["steps"][1]["attempts"][0];
    assert_eq!(tried["response"], json!({ "rows": 1, "took_effect": "now" }));
    assert!(!tried["request"].to_string().contains("cy@example.com"), "{tried}");
    assert_eq!(order(&client).await, ("cy@example.com!".to_owned(), "13.5".to_owned()));
    let keys = client.query("SELECT key FROM plinth.plinth_write_keys", &[]).await.unwrap();
    let keys: Vec<String> = keys.iter().map(|it| it.get(0)).collect();
    assert_eq!(keys, [format!("{}.mark", done["id"].as_str().unwrap())]);
    // What writes stands in no history of queries, and is no connection that anything reads by.
    let asked = ann.sql(&writes, "SELECT 1").await;
    assert!(asked.status == 404 || asked.status == 422, "{} {}", asked.status, asked.text);
    let as_connection = writes.replace("wconn_", "conn_");
    assert_eq!(ann.sql(&as_connection, "SELECT 1").await.status, 404);
    assert_eq!(ann.get(&format!("/v1/connections/{as_connection}")).await.status, 404);
}

#[actix_web::test]
async fn what_the_guard_refuses_is_not_sent_and_what_is_too_much_is_rolled_back() {
    let (app, target) = (TestApp::start().await, shop().await);
    let client = with_writer(&target).await;
    let grant = format!(
        "CREATE TABLE secrets (id int, key text); INSERT INTO secrets VALUES (1, 'canary');
         GRANT ALL ON secrets TO {WRITER};
         CREATE FUNCTION drain() RETURNS int LANGUAGE sql AS 'DELETE FROM secrets; SELECT 1';
         CREATE PROCEDURE settle(int) LANGUAGE sql AS 'UPDATE orders SET total = 0 WHERE id = $1'"
    );
    client.batch_execute(&grant).await.unwrap();
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let more = json!({ "max_rows": 1, "procedures": ["public.settle"] });
    let writes = made(&ann, writing(&connection, &more)).await;
    let mut wrong = Vec::new();
    for (at, (sql, why)) in [
        ("WITH x AS (DELETE FROM secrets RETURNING *) UPDATE orders SET email = 'x' WHERE id = 1", "changes data"),
        ("UPDATE orders SET total = drain() WHERE id = 1", "drain"),
        ("UPDATE orders SET email = (SELECT key FROM secrets) WHERE id = 1", "secrets"),
        ("DELETE FROM orders WHERE id = 1 RETURNING email", "RETURNING"),
        ("DELETE FROM orders WHERE id = 1; DELETE FROM secrets WHERE true", "one statement"),
        ("DELETE FROM orders", "WHERE"),
        ("DELETE FROM secrets WHERE true", "secrets"),
        ("CALL public.other()", "procedures"),
        ("SELECT 1", "INSERT, UPDATE, DELETE or CALL"),
        // Of two rows one may change.
        ("UPDATE orders SET total = 7 WHERE true", "2 rows"),
        ("INSERT INTO orders VALUES (1, 'again', 1)", "duplicate key"),
    ]
    .into_iter()
    .enumerate()
    {
        let body = marking(&connection, &writes, &json!({ "sql": sql }));
        let mut body = body;
        body["name"] = format!("Tries {at}").into();
        // The guard's word comes when it is saved, the database's when it runs.
        let saved = ann.post("/v1/workflows", body).await;
        if saved.status == 422 {
            let fault = &saved.body["error"]["details"]["faults"][0];
            let said = fault["message"].as_str().unwrap_or_default();
            if fault["pointer"] != "/actions/0/sql" || !said.contains(why) {
                wrong.push(format!("{sql}: {}", saved.text));
            }
            continue;
        }
        let workflow = saved.body["data"]["id"].as_str().unwrap();
        let done = run(&app, &ann, workflow).await;
        let error = done["steps"][1]["attempts"][0]["error"].as_str().unwrap_or_default().to_owned();
        if done["status"] != "failed" || !error.contains(why) {
            wrong.push(format!("{sql}: {} {error}", done["status"]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(order(&client).await, ("cy@example.com".to_owned(), "12.5".to_owned()));
    let left = client.query_one("SELECT count(*) FROM secrets", &[]).await.unwrap();
    assert_eq!(left.get::<_, i64>(0), 1);
    let mut body =
        marking(&connection, &writes, &json!({ "sql": "CALL public.settle({{ steps.one.id }})" }));
    body["name"] = "Settles".into();
    let workflow = make(&ann, body).await;
    let done = run(&app, &ann, &workflow).await;
    assert_eq!(done["status"], "succeeded", "{done}");
    assert_eq!(order(&client).await.1, "0");
    // It is judged at each run too: what it may do can have become less.
    let less =
        ann.patch(&format!("/v1/write-connections/{writes}"), json!({ "procedures": [] })).await;
    assert_eq!(less.status, 200, "{}", less.text);
    let done = run(&app, &ann, &workflow).await;
    let error = done["steps"][1]["attempts"][0]["error"].as_str().unwrap_or_default();
    assert!(done["status"] == "failed" && error.contains("procedures"), "{done}");
}

#[actix_web::test]
async fn a_write_connection_is_its_organizations_and_has_a_role_of_its_own() {
    let (app, target) = (TestApp::start().await, shop().await);
    let _client = with_writer(&target).await;
    let (ann, bob) = (app.owner_of("Example").await, app.owner_of("Other").await);
    let connection = ann.connect("shop", &target).await;
    let theirs = bob.connect("shop", &target).await;
    let refused = |body: Value| {
        let ann = &ann;
        async move { ann.post("/v1/write-connections", body).await }
    };
    let same = json!({ "username": target.user(), "password": target.password() });
    let answer = refused(writing(&connection, &same)).await;
    assert_eq!(
        (answer.status, &answer.body["error"]["details"]["username"].is_string()),
        (422, &true),
        "{}",
        answer.text
    );
    assert_eq!(refused(writing(&connection, &json!({ "tables": [] }))).await.status, 422);
    assert_eq!(refused(writing(&connection, &json!({ "password": "wrong" }))).await.status, 502);
    assert_eq!(refused(writing(&theirs, &json!({}))).await.status, 404);
    let keys = json!({ "tables": ["plinth.plinth_write_keys"] });
    assert_eq!(refused(writing(&connection, &keys)).await.status, 422);
    // Where the role may make no table, it is told what has to be done, and nothing is kept.
    let answer = refused(writing(&connection, &json!({ "key_schema": "public" }))).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    assert!(answer.text.contains("CREATE TABLE IF NOT EXISTS"), "{}", answer.text);
    assert_eq!(ann.get("/v1/write-connections").await.body["data"], json!([]));

    let writes = made(&ann, writing(&connection, &json!({}))).await;
    let path = format!("/v1/write-connections/{writes}");
    let shown = ann.get(&path).await;
    assert!(!shown.text.contains(WRITER_PASSWORD), "{}", shown.text);
    for answer in [
        bob.get(&path).await,
        bob.patch(&path, json!({ "max_rows": 5 })).await,
        bob.delete(&path).await,
        bob.post("/v1/workflows", marking(&theirs, &writes, &json!({}))).await,
    ] {
        assert_eq!(answer.status, 404, "{}", answer.text);
    }
    let editor = app.member(&ann, "editor@example.com", "editor").await.0;
    assert_eq!(editor.patch(&path, json!({ "max_rows": 5 })).await.status, 403);
    assert_eq!(editor.get(&path).await.status, 200, "who makes workflows has to see what there is");
    let changed = ann.patch(&path, json!({ "max_rows": 5, "tables": ["orders"] })).await;
    assert_eq!(
        (changed.status, &changed.body["data"]["max_rows"]),
        (200, &json!(5)),
        "{}",
        changed.text
    );

    // The credential goes nowhere else, whoever moves the connection.
    let workflow = make(&ann, marking(&connection, &writes, &json!({}))).await;
    let moved = json!({ "database": "postgres", "password": target.password() });
    let moved = ann.patch(&format!("/v1/connections/{connection}"), moved).await;
    assert_eq!(moved.status, 200, "{}", moved.text);
    let preview = ann.post(&format!("/v1/workflows/{workflow}/preview"), json!({})).await;
    assert!(preview.status == 422 && preview.text.contains("password again"), "{}", preview.text);
    assert_eq!(ann.patch(&path, json!({ "max_rows": 6 })).await.status, 422);

    // With the connection it goes too.
    assert_eq!(ann.delete(&format!("/v1/connections/{connection}")).await.status, 204);
    assert_eq!(ann.get(&path).await.status, 404);
    assert!(app.rows("SELECT id::text FROM plinth.write_connections").await.is_empty());
}

#[actix_web::test]
async fn an_action_waits_for_whom_the_workflow_names_and_what_they_saw_is_what_is_done() {
    let (app, target) = (TestApp::start().await, shop().await);
    let client = with_writer(&target).await;
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let writes = made(&ann, writing(&connection, &json!({}))).await;
    let approval = json!({ "approval": { "role": "admin", "expires_in_seconds": 3600 } });
    let workflow = make(&ann, marking(&connection, &writes, &approval)).await;
    let path = format!("/v1/workflows/{workflow}");
    let tested = json!({ "action": "mark", "confirm": true });
    assert_eq!(ann.post(&format!("{path}/test-action"), tested).await.status, 422);

    let waiting = run(&app, &ann, &workflow).await;
    let id = waiting["id"].as_str().unwrap().to_owned();
    assert_eq!(waiting["status"], "queued", "{waiting}");
    assert_eq!(waiting["approvals"][0]["status"], "pending");
    assert_eq!(waiting["approvals"][0]["shown"]["values"], json!(["cy@example.com", "1"]));
    assert_eq!(order(&client).await.1, "12.5");
    let letters = app.letters().await;
    assert!(letters.iter().any(|it| it.to_string().contains("approval_wanted")), "{letters:?}");

    let editor = app.member(&ann, "editor@example.com", "editor").await.0;
    let seen = detail(&editor, &workflow, &id).await;
    assert_eq!(seen["approvals"][0]["shown"], Value::Null);
    let decide = format!("{path}/runs/{id}/approval");
    let approve = json!({ "decision": "approve" });
    assert_eq!(editor.post(&decide, approve.clone()).await.status, 403);
    let bob = app.owner_of("Other").await;
    assert_eq!(bob.post(&decide, approve.clone()).await.status, 404);

    // As long as nobody else could, she may approve what is her own; then somebody else has to.
    let waiting = async |person: &Person, query: &str| {
        let listed = person.get(&format!("/v1/workflows/approvals?{query}")).await;
        assert_eq!(listed.status, 200, "{}", listed.text);
        listed.body["data"].as_array().unwrap().clone()
    };
    let listed = waiting(&ann, "status=pending").await;
    assert_eq!((listed.len(), &listed[0]["run_id"]), (1, &json!(id)), "{listed:?}");
    assert_eq!(listed[0]["workflow_id"], json!(workflow));
    assert_eq!(listed[0]["may_approve"], true, "{listed:?}");
    assert_eq!(waiting(&editor, "status=pending").await[0]["shown"], Value::Null);
    assert_eq!(waiting(&editor, "").await[0]["may_approve"], false);
    assert!(waiting(&bob, "").await.is_empty());
    // It waits longer than a run may take, and that is not counted.
    app.clock.advance(SignedDuration::from_mins(30));
    let admin = app.member(&ann, "admin@example.com", "admin").await.0;
    assert_eq!(waiting(&ann, "").await[0]["may_approve"], false);
    assert_eq!(waiting(&admin, "").await[0]["may_approve"], true);
    let own = ann.post(&decide, approve.clone()).await;
    assert!(own.status == 403 && own.text.contains("your own"), "{}", own.text);

    let decided = admin.post(&decide, approve.clone()).await;
    assert_eq!(decided.status, 200, "{}", decided.text);
    assert_eq!(admin.post(&decide, approve.clone()).await.status, 409);
    assert_eq!(app.services.worker.drain().await.unwrap(), 1);
    let done = detail(&ann, &workflow, &id).await;
    assert_eq!(
        (&done["status"], &done["approvals"][0]["status"]),
        (&json!("succeeded"), &json!("approved")),
        "{done}"
    );
    assert_eq!(order(&client).await.1, "13.5");
    assert!(waiting(&ann, "status=pending").await.is_empty());
    let listed = waiting(&ann, &format!("status=approved&workflow_id={workflow}")).await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(ann.get("/v1/workflows/approvals?status=open").await.status, 422);

    // Who started the run asked for it too: of the two that there are, one owns it and one started it, so either may.
    let started = admin.post(&format!("{path}/run"), json!({})).await.body["data"].clone();
    app.services.worker.drain().await.unwrap();
    let mine = async |person: &Person| waiting(person, "status=pending").await[0].clone();
    assert_eq!(mine(&ann).await["run_id"], started["id"]);
    assert_eq!(mine(&ann).await["may_approve"], true);
    assert_eq!(mine(&admin).await["may_approve"], true);
    let third = app.member(&ann, "third@example.com", "admin").await.0;
    assert_eq!(mine(&ann).await["may_approve"], false);
    assert_eq!(mine(&admin).await["may_approve"], false);
    assert_eq!(mine(&third).await["may_approve"], true);

    // One that is cancelled waits for nobody.
    let gone = started["id"].as_str().unwrap();
    assert_eq!(ann.post(&format!("{path}/runs/{gone}/cancel"), json!({})).await.status, 200);
    assert_eq!(detail(&ann, &workflow, gone).await["approvals"][0]["status"], "withdrawn");
    assert!(waiting(&ann, "status=pending").await.is_empty());

    // Declined.
    let waiting = run(&app, &ann, &workflow).await;
    let id = waiting["id"].as_str().unwrap().to_owned();
    let declined = json!({ "decision": "decline", "comment": "not today" });
    let decide = format!("{path}/runs/{id}/approval");
    assert_eq!(ann.post(&decide, declined).await.status, 200);
    assert_eq!(app.services.worker.drain().await.unwrap(), 1);
    let done = detail(&ann, &workflow, &id).await;
    assert!(done["error"].as_str().unwrap().contains("not today"), "{done}");

    // Nobody decided.
    let waiting = run(&app, &ann, &workflow).await;
    let id = waiting["id"].as_str().unwrap().to_owned();
    app.clock.advance(SignedDuration::from_secs(3_601));
    let decide = format!("{path}/runs/{id}/approval");
    assert_eq!(ann.post(&decide, approve.clone()).await.status, 409);
    assert_eq!(app.services.worker.drain().await.unwrap(), 1);
    let done = detail(&ann, &workflow, &id).await;
    assert_eq!(
        (&done["status"], &done["approvals"][0]["status"]),
        (&json!("failed"), &json!("expired")),
        "{done}"
    );

    // What would be done now is not what was approved.
    let waiting = run(&app, &ann, &workflow).await;
    let id = waiting["id"].as_str().unwrap().to_owned();
    let fresh = app.member(&ann, "fresh@example.com", "admin").await.0;
    assert_eq!(fresh.post(&format!("{path}/runs/{id}/approval"), approve).await.status, 200);
    let other = json!({ "max_rows": 7 });
    assert_eq!(ann.patch(&format!("/v1/write-connections/{writes}"), other).await.status, 200);
    assert_eq!(app.services.worker.drain().await.unwrap(), 1);
    let done = detail(&ann, &workflow, &id).await;
    assert!(done["error"].as_str().unwrap().contains("not what was approved"), "{done}");
    assert_eq!(order(&client).await.1, "13.5");
}

#[actix_web::test]
async fn what_is_approved_is_done_also_when_a_later_run_found_nothing_to_do() {
    let (app, target) = (TestApp::start().await, shop().await);
    let client = with_writer(&target).await;
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let writes = made(&ann, writing(&connection, &json!({}))).await;
    let approval = json!({ "approval": { "role": "admin", "expires_in_seconds": 3600, "self_approval": true } });
    let mut marks = marking(&connection, &writes, &approval);
    marks["steps"][0]["sql"] = json!("SELECT id, email, total FROM orders WHERE id = 1");
    marks["conditions"] = json!({ "type": "change", "column": "total", "is": ">", "value": 0 });
    let workflow = make(&ann, marks).await;
    let next = async || {
        app.clock.advance(SignedDuration::from_secs(1));
        run(&app, &ann, &workflow).await
    };
    next().await;
    client.batch_execute("UPDATE orders SET total = 20 WHERE id = 1").await.unwrap();
    let waiting = next().await;
    assert_eq!((&waiting["status"], &waiting["conditions"]), (&json!("queued"), &json!("met")));
    // What waits is what the next one is compared with: nobody is asked twice about one change.
    let later = next().await;
    assert_eq!((&later["status"], &later["conditions"]), (&json!("succeeded"), &json!("not_met")));

    let id = waiting["id"].as_str().unwrap();
    let decide = format!("/v1/workflows/{workflow}/runs/{id}/approval");
    let decided = ann.post(&decide, json!({ "decision": "approve" })).await;
    assert_eq!(decided.status, 200, "{}", decided.text);
    assert_eq!(app.services.worker.drain().await.unwrap(), 1);
    let done = detail(&ann, &workflow, id).await;
    assert_eq!(
        (&done["status"], &done["conditions"]),
        (&json!("succeeded"), &json!("met")),
        "{done}"
    );
    assert_eq!(order(&client).await.1, "21");
}

#[actix_web::test]
async fn what_a_webhook_says_is_written_to_its_last_digit() {
    let (app, target) = (TestApp::start().await, shop().await);
    let client = with_writer(&target).await;
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let writes = made(&ann, writing(&connection, &json!({}))).await;
    let sql = "UPDATE orders SET total = {{ webhook.amount }}, email = {{ webhook.note }} WHERE id = {{ webhook.id }}";
    let mut body = marking(&connection, &writes, &json!({ "sql": sql }));
    body["trigger"] = json!({ "type": "webhook" });
    // The step has six characters in it that are no NUL, and a threshold that no double holds.
    body["steps"][0]["sql"] = json!(r"SELECT 12345678901234567890.12 AS one, 'a\u0000' AS spelled");
    body["conditions"] =
        json!({ "type": "value", "column": "one", "is": "=", "value": "12345678901234567890.12" });
    let workflow = make(&ann, body.clone()).await;
    let hook = ann.get(&format!("/v1/workflows/{workflow}/webhook")).await;
    let url = hook.body["data"]["url"].as_str().unwrap().strip_prefix(&app.url).unwrap().to_owned();
    for (amount, note, written) in [
        ("12345678901234567890.12", "a", "a"),
        ("100000000000000.235", r"a\u0000", "a\u{fffd}"),
        ("0.25", r"\ud83d", "\u{fffd}"),
    ] {
        let text = format!(r#"{{"id":1,"amount":{amount},"note":"{note}","far":1e400}}"#);
        assert_eq!(send(app.request("POST", &url).body(text)).await.status, 202);
        app.services.worker.drain().await.unwrap();
        assert_eq!(order(&client).await, (written.to_owned(), amount.to_owned()));
    }

    body["name"] = json!("Rounds");
    body["conditions"]["value"] = json!(12_345_678_901_234_567_890.12);
    let refused = ann.post("/v1/workflows", body).await;
    assert_eq!(refused.status, 422);
    let told =
        refused.text.contains("/conditions/value") && refused.text.contains("send it as a string");
    assert!(told, "{}", refused.text);
}

#[actix_web::test]
async fn what_waits_is_shown_to_who_asked_for_it_and_not_to_who_took_the_workflow_over() {
    let (app, target) = (TestApp::start().await, shop().await);
    with_writer(&target).await;
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let writes = made(&ann, writing(&connection, &json!({}))).await;
    let approval = json!({ "approval": { "role": "admin", "expires_in_seconds": 3600 } });
    let workflow = make(&ann, marking(&connection, &writes, &approval)).await;
    let hers = run(&app, &ann, &workflow).await["id"].clone();
    let (eve, _) = app.member(&ann, "eve@example.com", "editor").await;
    let published = eve.post(&format!("/v1/workflows/{workflow}/publish"), json!({})).await;
    assert_eq!(published.status, 200, "{}", published.text);
    app.clock.advance(SignedDuration::from_secs(1));
    let own = run(&app, &eve, &workflow).await["id"].clone();

    let listed = eve.get("/v1/workflows/approvals").await.body["data"].clone();
    assert_eq!([&listed[0]["run_id"], &listed[1]["run_id"]], [&own, &hers], "{listed}");
    assert_eq!(listed[0]["shown"]["values"], json!(["cy@example.com", "1"]), "{listed}");
    assert_eq!(listed[1]["shown"], Value::Null, "{listed}");
    let shown = async |person: &Person, run: &Value| {
        let seen = detail(person, &workflow, run.as_str().unwrap()).await;
        seen["approvals"][0]["shown"].clone()
    };
    assert_eq!(shown(&eve, &own).await["values"], json!(["cy@example.com", "1"]));
    assert_eq!(shown(&eve, &hers).await, Value::Null);
    assert_eq!(shown(&ann, &hers).await["values"], json!(["cy@example.com", "1"]));
}
