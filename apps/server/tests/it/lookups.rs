//! Words of questions that no name and no sampled value explains, looked up in a real Postgres.

use jiff::SignedDuration;
use plinth_testdb::TestDatabase;
use serde_json::{Value, json};

use crate::app::{Answer, Person, TestApp, send};

/// Parts of 2,400 different names and makers, of which none is sampled: by an index, by reading a small table, and in one
/// that is too large to be read. Those of the south are called `Secret…`.
async fn target() -> TestDatabase {
    let script = "
        CREATE TABLE makers (id int PRIMARY KEY, name text NOT NULL, region text NOT NULL, api_token text NOT NULL);
        CREATE INDEX ON makers (name text_pattern_ops);
        CREATE TABLE parts (
            id int PRIMARY KEY, title text NOT NULL, finish text NOT NULL, maker_id int NOT NULL REFERENCES makers);
        CREATE TABLE readings (id int PRIMARY KEY, part_id int NOT NULL REFERENCES parts, remark text NOT NULL);
        INSERT INTO makers SELECT i, CASE WHEN i % 2 = 0 THEN 'Maker ' ELSE 'Secret ' END || i,
            CASE WHEN i % 2 = 0 THEN 'north' ELSE 'south' END, 'Canary' || i FROM generate_series(1, 2400) i;
        INSERT INTO makers VALUES (3001, 'Wolfram Brothers', 'north', 'Canary'), (3002, 'Hidden Valley', 'south', 'Canary'),
            (3003, 'Basalt Quarry', 'south', 'Canary');
        INSERT INTO parts SELECT i, 'Part ' || i, 'Finish ' || i, i FROM generate_series(1, 2400) i;
        INSERT INTO parts VALUES
            (3001, 'Bracket', 'Brushed Zirconium', 3001), (3002, 'Flange', 'zirconium', 3001), (3003, 'Shim', 'Zinc', 3002),
            (3004, 'Pin', 'Zinc', 3003);
        INSERT INTO readings SELECT i, i, 'Remark ' || i || repeat('-', 90) FROM generate_series(1, 2400) i;
        INSERT INTO readings VALUES (3001, 3001, 'cracked');
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO plinth_test_owner;
        ANALYZE;
        UPDATE pg_class SET reltuples = 5e6, relpages = 100000 WHERE relname = 'readings';
    ";
    TestDatabase::from_sql(script).await.unwrap()
}

struct Scene {
    app: TestApp,
    ann: Person,
    ben: Person,
    id: String,
    db: TestDatabase,
}

impl Scene {
    /// Ann owns; Ben is an editor.
    async fn start() -> Self {
        let app = TestApp::start().await;
        let ann = app.owner_of("Acme").await;
        let db = target().await;
        let id = ann.connect("Parts", &db).await;
        let (ben, bens) = app.member(&ann, "ben@example.com", "editor").await;
        let path = format!("/v1/team/members/{bens}/attributes");
        let attributes =
            json!({ "attributes": { "region": { "type": "text", "value": "north" } } });
        let put = send(ann.request("PUT", &path).json(&attributes)).await;
        assert_eq!(put.status, 200, "{}", put.text);
        Self { app, ann, ben, id, db }
    }

    async fn policy(&self, body: Value) {
        let made = self.ann.post(&format!("/v1/connections/{}/policies", self.id), body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        self.app.clock.advance(SignedDuration::from_millis(1100));
    }
}

fn assumed(answer: &Answer) -> String {
    answer.body["data"]["assumptions"].to_string()
}

#[actix_web::test]
async fn what_nothing_explains_is_looked_up_and_the_answer_says_where_it_was_found() {
    let scene = Scene::start().await;
    let Scene { ann, id, .. } = &scene;
    let found = ann.ask(id, "How many zirconium parts are there?").await;
    assert_eq!(found.rows(), &json!([[1]]), "{}", found.text);
    assert!(assumed(&found).contains("“zirconium” was found in parts.finish"), "{}", found.text);
    // By an index, of which the name's beginning is enough.
    let found = ann.ask(id, "How many parts are of the maker Wolfram?").await;
    assert_eq!(found.rows(), &json!([[2]]), "{}", found.text);
    assert!(assumed(&found).contains("“Wolfram” means “Wolfram Brothers”"), "{}", found.text);
    // What is too large to be read is not, and what speaks of secrets is not searched.
    for question in ["How many cracked readings are there?", "How many canary3 makers are there?"] {
        let asked = ann.ask(id, question).await;
        assert!(!asked.text.contains("found in"), "{}", asked.text);
    }
    // Without a run, the statement is the one that would run.
    let body = json!({ "connection_id": id, "question": "How many zirconium parts are there?", "dry_run": true });
    let planned = ann.post("/v1/queries", body).await;
    assert!(
        planned.body["data"]["sql"].as_str().unwrap().contains("'zirconium'"),
        "{}",
        planned.text
    );
    // A stranger's words are not looked up in somebody else's database.
    let other = scene.app.owner_of("Other").await;
    assert_eq!(other.ask(id, "How many zirconium parts are there?").await.status, 404);
}

#[actix_web::test]
async fn nothing_is_found_that_a_policy_hides_or_masks() {
    let scene = Scene::start().await;
    let Scene { ann, ben, id, .. } = &scene;
    let question = "How many parts are of the maker Hidden Valley?";
    assert_eq!(ann.ask(id, question).await.rows(), &json!([[1]]));
    assert_eq!(ben.ask(id, question).await.rows(), &json!([[1]]), "nothing binds Ben yet");
    scene
        .policy(json!({
            "name": "Own region", "table": "public.makers", "roles": ["editor"], "rows": "region = {{user.region}}",
        }))
        .await;
    scene
        .policy(json!({
            "name": "No finish", "table": "public.parts", "roles": ["editor"], "masks": { "finish": { "type": "full" } },
        }))
        .await;
    assert_eq!(ann.ask(id, question).await.rows(), &json!([[1]]), "the owner is not bound");
    let hidden = ben.ask(id, question).await;
    let never = ben.ask(id, "How many parts are of the maker Vanished Meadow?").await;
    assert_eq!(hidden.status, never.status, "{}", hidden.text);
    assert!(!hidden.text.contains("found in makers"), "{}", hidden.text);
    let seen = ben.ask(id, "How many parts are of the maker Wolfram Brothers?").await;
    assert_eq!(seen.rows(), &json!([[2]]), "what Ben may see is found: {}", seen.text);
    let masked = ben.ask(id, "How many zirconium parts are there?").await;
    assert_eq!(masked.status, 422, "{}", masked.text);

    // Nor does the history tell what was found as somebody else.
    let asked = "How many parts are of the maker Basalt?";
    let anns = ann.ask(id, asked).await;
    assert!(anns.text.contains("Basalt Quarry"), "{}", anns.text);
    let anns = ann.get("/v1/queries?search=quarry").await;
    assert_eq!(anns.body["data"].as_array().map(Vec::len), Some(1), "{}", anns.text);
    let entry = &anns.body["data"][0];
    let bens = ben.get(&format!("/v1/queries/{}", entry["query_id"].as_str().unwrap())).await;
    assert_eq!((bens.status, &bens.body["data"]["question"]), (200, &json!(asked)));
    assert!(bens.body["data"]["sql"].is_null(), "{}", bens.text);
    let all = ben.get("/v1/queries").await;
    assert!(!all.text.contains("Quarry") && all.text.contains("Wolfram"), "{}", all.text);
    let save = format!("/v1/queries/{}/save", entry["query_id"].as_str().unwrap());
    let saved = ben.post(&save, json!({ "name": "Mine" })).await;
    assert_eq!(saved.error(), (422, "validation_error"), "{}", saved.text);
    assert!(!saved.text.contains("Quarry"), "{}", saved.text);
    let found = ben.get("/v1/queries?search=quarry").await;
    assert_eq!(found.body["data"], json!([]), "{}", found.text);
}

#[actix_web::test]
async fn whoever_opts_out_of_sampling_is_not_searched() {
    let scene = Scene::start().await;
    let Scene { ann, id, .. } = &scene;
    let question = "How many zirconium parts are there?";
    assert_eq!(ann.ask(id, question).await.status, 200);
    let path = format!("/v1/connections/{id}");
    assert_eq!(ann.patch(&path, json!({ "sampling": false })).await.status, 200);
    scene.app.clock.advance(SignedDuration::from_secs(2));
    assert_eq!(ann.ask(id, question).await.status, 422);
}

/// Another session locks the table, so that whoever reads it waits.
#[actix_web::test]
async fn a_question_does_not_wait_for_a_slow_database() {
    let scene = Scene::start().await;
    let Scene { ann, id, db, .. } = &scene;
    assert_eq!(ann.ask(id, "How many parts are there?").await.rows(), &json!([[2404]]));
    let (client, connection) =
        tokio_postgres::connect(&db.superuser_url(), tokio_postgres::NoTls).await.unwrap();
    actix_web::rt::spawn(connection);
    client.batch_execute("BEGIN; LOCK TABLE parts, makers IN ACCESS EXCLUSIVE MODE").await.unwrap();
    // The question is answered though the table stays locked: a lookup that waited for it would not have ended, and one that
    // ran into the question's own limit would have taken the question with it.
    let refused = ann.ask(id, "How many zirconium parts are there?").await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    let locked = "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND mode = 'AccessExclusiveLock' AND granted
                  AND relation IN ('parts'::regclass, 'makers'::regclass)";
    assert_eq!(client.query_one(locked, &[]).await.unwrap().get::<_, i64>(0), 2);
    // Nor is it left behind: the lookup was cancelled where it waited.
    let (watcher, connection) =
        tokio_postgres::connect(&db.superuser_url(), tokio_postgres::NoTls).await.unwrap();
    actix_web::rt::spawn(connection);
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while watcher.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        actix_web::rt::task::yield_now().await;
    }
    // It is not tried again at once: what was slow would be.
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(ann.ask(id, "How many zirconium parts are there?").await.status, 422);
    scene.app.clock.advance(SignedDuration::from_secs(61));
    assert_eq!(ann.ask(id, "How many zirconium parts are there?").await.rows(), &json!([[1]]));
}
