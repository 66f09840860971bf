//! Who sees which rows and values: written over REST, and tried to get around against a real Postgres.

use jiff::SignedDuration;
use plinth_testdb::TestDatabase;
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use crate::app::{Answer, Person, TestApp, send};
use crate::workflows::{Receiver, body, detail, make, run};

/// People of two countries. The secrets of French ones are `SECRET…`, so that nothing that shows one goes unseen.
async fn target() -> TestDatabase {
    let script = "
        CREATE TABLE people (
            id int PRIMARY KEY, country text NOT NULL, name text NOT NULL, email text, salary int, born date);
        CREATE TABLE visits (id int, person_id int REFERENCES people, note text, at date)
            PARTITION BY RANGE (at);
        CREATE TABLE visits_2025 PARTITION OF visits FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
        CREATE TABLE countries (name text PRIMARY KEY, region text);
        INSERT INTO countries VALUES ('Germany', 'EU'), ('France', 'EU');
        INSERT INTO people SELECT i, 'Germany', 'Name ' || i, 'person' || i || '@example.com', 1000 + i, '1990-01-01'
            FROM generate_series(1, 5) i;
        INSERT INTO people SELECT i, 'France', 'SECRET' || i, 'SECRET' || i || '@example.com', 7777, '1980-01-01'
            FROM generate_series(6, 20) i;
        INSERT INTO visits SELECT i, i, CASE WHEN i <= 5 THEN 'fine' ELSE 'SECRET' END, '2025-06-01' FROM generate_series(1, 20) i;
        CREATE VIEW everybody AS SELECT * FROM people;
        CREATE VIEW over_everybody AS SELECT name FROM everybody;
        CREATE MATERIALIZED VIEW kept AS SELECT * FROM people;
        CREATE VIEW planner AS SELECT tablename::text, attname::text, most_common_vals::text FROM pg_stats;
        CREATE FUNCTION peek() RETURNS text LANGUAGE sql STABLE AS 'SELECT max(name) FROM people';
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO plinth_test_owner;
        ANALYZE;
    ";
    TestDatabase::from_sql(script).await.unwrap()
}

struct Scene {
    app: TestApp,
    ann: Person,
    ben: Person,
    bens: String,
    id: String,
    db: TestDatabase,
}

impl Scene {
    /// Ann owns; Ben is an editor for Germany.
    async fn start() -> Self {
        let app = TestApp::start().await;
        let ann = app.owner_of("Acme").await;
        let db = target().await;
        let id = ann.connect("People", &db).await;
        let (ben, bens) = app.member(&ann, "ben@example.com", "editor").await;
        let scene = Self { app, ann, ben, bens, id, db };
        scene.attributes(json!({ "country": { "type": "text", "value": "Germany" } })).await;
        scene
    }

    async fn attributes(&self, attributes: Value) {
        let path = format!("/v1/team/members/{}/attributes", self.bens);
        let put = self.ann.request("PUT", &path).json(&json!({ "attributes": attributes }));
        let put = send(put).await;
        assert_eq!(put.status, 200, "{}", put.text);
        self.a_second_passes();
    }

    fn a_second_passes(&self) {
        self.app.clock.advance(SignedDuration::from_millis(1100));
    }

    async fn policy(&self, body: Value) -> Answer {
        let made = self.ann.post(&format!("/v1/connections/{}/policies", self.id), body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        self.a_second_passes();
        made
    }

    /// Changes the database, and reads its schema anew.
    async fn change(&self, sql: &str) {
        let url = self.db.superuser_url();
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        actix_web::rt::spawn(connection);
        client.batch_execute(sql).await.unwrap();
        let path = format!("/v1/connections/{}/schema/refresh", self.id);
        let refreshed = self.ann.post(&path, json!({})).await;
        assert_eq!(refreshed.status, 200, "{}", refreshed.text);
        self.a_second_passes();
    }

    /// Germans only, with their addresses and pay under masks, and visits without notes.
    async fn bind(&self) {
        self.policy(json!({
            "name": "Own country", "table": "public.people", "roles": ["editor"], "rows": "country = {{user.country}}",
            "masks": {
                "email": { "type": "partial", "keep_last": 4 }, "salary": { "type": "hash" }, "born": { "type": "null" },
            },
        }))
        .await;
        self.policy(json!({
            "name": "No notes", "table": "public.visits", "except_roles": ["owner", "admin"],
            "rows": "person_id <= 5", "masks": { "note": { "type": "full" } },
        }))
        .await;
    }
}

#[actix_web::test]
async fn rows_and_values_are_hidden_from_whom_the_policy_binds_and_from_nobody_else() {
    let scene = Scene::start().await;
    scene.bind().await;
    let Scene { ann, ben, id, .. } = &scene;
    let sql = "SELECT id, name, email, salary, born FROM people ORDER BY id LIMIT 1";
    let seen = ben.sql(id, sql).await;
    let row = &seen.rows()[0];
    assert_eq!(
        (&row[0], &row[1], &row[2], &row[4]),
        (&json!(1), &json!("Name 1"), &json!("***.com"), &Value::Null)
    );
    assert_eq!(row[3].as_str().unwrap().len(), 64, "a keyed hash: {row}");
    let data = &seen.body["data"];
    assert_eq!((&data["restricted"], &data["sql"]), (&json!(["public.people"]), &json!(sql)));
    assert_eq!(ann.sql(id, sql).await.rows()[0][2], "person1@example.com");
    assert_eq!(ben.sql(id, "SELECT count(*) FROM people").await.rows(), &json!([[5]]));
    assert_eq!(ann.sql(id, "SELECT count(*) FROM people").await.rows(), &json!([[20]]));
    // A question goes the same way, and so does running it again, also what somebody else ran.
    assert_eq!(ben.ask(id, "How many people are there?").await.rows(), &json!([[5]]));
    let anns = ann.sql(id, "SELECT count(*), max(email) FROM people").await;
    let path = format!("/v1/queries/{}/run", anns.body["data"]["query_id"].as_str().unwrap());
    assert_eq!(ben.post(&path, json!({})).await.rows(), &json!([[5, "***.com"]]));
    // The same value has the same hash, here and in a key of Ben's.
    let hashes = "SELECT count(DISTINCT salary) FROM people";
    assert_eq!(ben.sql(id, hashes).await.rows(), &json!([[5]]));
    // What takes a value of the caller's is bound, not spliced.
    scene.attributes(json!({ "country": { "type": "text", "value": "x' OR 'a' = 'a" } })).await;
    assert_eq!(ben.sql(id, "SELECT count(*) FROM people").await.rows(), &json!([[0]]));
    // Without the attribute nothing is guessed.
    scene.attributes(json!({})).await;
    let refused = ben.sql(id, "SELECT count(*) FROM people").await;
    assert_eq!(refused.error(), (403, "authorization_error"), "{}", refused.text);
    assert_eq!(refused.body["error"]["details"]["reason"], "attribute_missing");
    scene.attributes(json!({ "country": { "type": "integer", "value": 5 } })).await;
    assert_eq!(ben.sql(id, "SELECT 1 FROM people").await.status, 403);
    assert_eq!(ben.sql(id, "SELECT count(*) FROM countries").await.rows(), &json!([[2]]));
}

/// Everything that anybody came up with to see around it.
const ATTACKS: &[&str] = &[
    "SELECT * FROM people",
    "TABLE people",
    "TABLE ONLY people",
    "SELECT * FROM ONLY (public.people)",
    "SELECT * FROM public.\"people\" AS p (a, b, c, d, e, f)",
    "SELECT people FROM people",
    "SELECT p.* FROM people p",
    "SELECT (p).email, (p).salary FROM people p",
    "SELECT to_jsonb(p), row_to_json(p), p::text FROM people p",
    "SELECT json_agg(people) FROM people",
    "SELECT array_agg(p) FROM people p",
    "SELECT string_agg(name || coalesce(email, '') || salary, ',') FROM people",
    "SELECT ROW(p.*) FROM people p",
    "SELECT hstore(p) FROM people p",
    "SELECT ctid, xmin, tableoid FROM people",
    "SELECT tableoid::regclass FROM people",
    "SELECT max(name), min(name), max(email) FROM people",
    "SELECT name FROM people ORDER BY salary DESC LIMIT 1",
    "SELECT id FROM people WHERE salary::text = '7777'",
    "SELECT id FROM people WHERE email LIKE 'SECRET%'",
    "SELECT id FROM people WHERE born = '1980-01-01'",
    "SELECT count(*) FROM people WHERE country = 'France'",
    "SELECT country, count(*) FROM people GROUP BY country HAVING country <> 'Germany'",
    "SELECT * FROM countries c JOIN people p ON p.country = c.name WHERE c.name = 'France'",
    "SELECT * FROM countries c, LATERAL (SELECT * FROM people WHERE country = c.name) x WHERE c.name = 'France'",
    "SELECT * FROM people NATURAL JOIN people b WHERE country = 'France'",
    "SELECT (SELECT max(name) FROM people WHERE country = c.name) FROM countries c WHERE c.name = 'France'",
    "SELECT (SELECT json_agg(p) FROM people p) FROM (SELECT 'France' AS country, 'France' AS r) x",
    "WITH people AS (SELECT * FROM public.people) SELECT * FROM people WHERE country = 'France'",
    "WITH r AS (SELECT 'France' AS country) SELECT * FROM r, people WHERE r.country = people.country",
    "WITH RECURSIVE t AS (SELECT id, name FROM people UNION SELECT id, name FROM people WHERE id > 5) SELECT * FROM t",
    "WITH x AS MATERIALIZED (TABLE people) SELECT * FROM x WHERE country = 'France'",
    "SELECT * FROM people UNION ALL SELECT * FROM people WHERE id > 5",
    "SELECT * FROM people EXCEPT SELECT * FROM people WHERE country = 'Germany'",
    "SELECT * FROM people TABLESAMPLE SYSTEM (100)",
    "SELECT * FROM everybody",
    "SELECT * FROM over_everybody",
    "SELECT * FROM kept",
    "SELECT * FROM planner",
    "SELECT peek()",
    "SELECT * FROM pg_stats WHERE tablename = 'people'",
    "SELECT query_to_xml('SELECT * FROM people', true, true, '')",
    "SELECT table_to_xml('people', true, true, '')",
    "SELECT * FROM visits WHERE note = 'SECRET'",
    "SELECT * FROM visits_2025 WHERE note LIKE 'SEC%'",
    "SELECT v.*, p.* FROM visits v LEFT JOIN people p ON p.id = v.person_id WHERE v.person_id > 5",
    "SELECT * FROM people WHERE EXISTS (SELECT FROM visits WHERE note = 'SECRET')",
    // Errors that quote, or that come for some rows only.
    "SELECT name::int FROM people",
    "SELECT * FROM people WHERE name::int = 1",
    "SELECT * FROM people WHERE CASE WHEN name LIKE 'SECRET%' THEN name::int = 1 ELSE false END",
    "SELECT email::int FROM people",
    "SELECT to_date(email, 'YYYY-MM-DD') FROM people",
    "SELECT jsonb(note) FROM visits",
    "SELECT to_tsquery(name) FROM people",
    "SELECT regexp_replace(name, email, '') FROM people",
    // Unicode escapes, comments, casing.
    "SELECT * FROM U&\"p\\0065ople\" WHERE country = 'France'",
    "SELECT/**/*/**/FROM/**/PEOPLE/**/WHERE country = 'France'",
    "SELECT * FROM people -- WHERE true\n WHERE country = 'France'",
    "SELECT * FROM people FOR UPDATE",
    "SELECT * FROM people; SELECT * FROM people",
    "SELECT public.people.name FROM public.people WHERE public.people.country = 'France'",
    "SELECT * FROM (people CROSS JOIN countries) AS j WHERE country = 'France'",
    "SELECT x FROM unnest(ARRAY(SELECT name FROM people)) x WHERE x LIKE 'SECRET%'",
    "VALUES ((SELECT max(name) FROM people))",
    "SELECT lag(name) OVER (ORDER BY id), first_value(name) OVER (ORDER BY salary DESC) FROM people",
    "SELECT percentile_disc(1) WITHIN GROUP (ORDER BY name) FROM people",
    "SELECT mode() WITHIN GROUP (ORDER BY country) FROM people",
    "SELECT * FROM people ORDER BY (SELECT max(name) FROM people)",
    "SELECT DISTINCT ON (country) * FROM people ORDER BY country",
    "SELECT jsonb_populate_record(NULL::people, to_jsonb(p)) FROM people p",
    "SELECT JSON_OBJECT('a' : name) FROM people",
    "SELECT xmlelement(name x, name, email) FROM people",
    "SELECT grouping(country), country FROM people GROUP BY ROLLUP (country)",
];

/// The text without what masks by hash wrote: any four digits stand in sixty-four of them now and then.
fn without_hashes(text: &str) -> String {
    let mut left = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|it: char| !it.is_ascii_hexdigit()).unwrap_or(rest.len());
        if digits < 64 {
            left.push_str(&rest[..digits]);
        }
        rest = &rest[digits..];
        let others = rest.find(|it: char| it.is_ascii_hexdigit()).unwrap_or(rest.len());
        left.push_str(&rest[..others]);
        rest = &rest[others..];
    }
    left
}

#[actix_web::test]
async fn nothing_shows_what_is_hidden() {
    let scene = Scene::start().await;
    scene.bind().await;
    let (ran, refused) = (&mut 0, &mut 0);
    for sql in ATTACKS {
        let answer = scene.ben.sql(&scene.id, sql).await;
        let results = &answer.body["data"]["results"];
        let told = if results.is_null() { answer.body["error"].clone() } else { results.clone() };
        // What the caller wrote comes back to them; only that is taken out.
        let mut told = told;
        if let Some(details) = told["details"].as_object_mut() {
            details.remove("sql");
        }
        let told = without_hashes(&told.to_string());
        for secret in ["SECRET", "7777", "1980-01-01", "France\"", "1001", "person1@"] {
            assert!(!told.contains(secret), "{sql} shows {secret}: {told}");
        }
        *(if answer.status == 200 { &mut *ran } else { &mut *refused }) += 1;
    }
    println!("{ran} ran, {refused} were refused");
    assert!(*ran >= 35, "what can be answered is answered: {ran}");

    // An error for hidden rows alone would tell that they are there: it does not come.
    let division = "SELECT count(*) FROM people WHERE 1 / (CASE WHEN country = 'France' THEN 0 ELSE 1 END) = 1";
    assert_eq!(scene.ben.sql(&scene.id, division).await.rows(), &json!([[5]]));
    assert_eq!(
        scene.ann.sql(&scene.id, division).await.body["error"]["details"]["sqlstate"],
        "22012"
    );
    let joined = "SELECT count(*) FROM countries c JOIN people p ON p.country = c.name
        WHERE 1 / (CASE WHEN p.name LIKE 'SECRET%' THEN 0 ELSE 1 END) = 1";
    assert_eq!(scene.ben.sql(&scene.id, joined).await.rows(), &json!([[5]]));
    let failing = scene.ben.sql(&scene.id, "SELECT email::int FROM people").await;
    assert_eq!(failing.error(), (500, "query_error"), "{}", failing.text);
    assert_eq!(failing.body["error"]["details"]["sqlstate"], "22P02");
    assert!(
        !failing.text.contains(".com") && failing.body["error"]["details"]["position"].is_null()
    );
    let unknown = scene.ben.sql(&scene.id, "SELECT nmae FROM people").await;
    assert!(unknown.text.contains("nmae"), "names are no values: {}", unknown.text);
    let view = scene.ben.sql(&scene.id, "SELECT * FROM everybody").await;
    assert_eq!(view.error(), (403, "authorization_error"), "{}", view.text);
    assert_eq!(view.body["error"]["details"]["reason"], "policy");
}

#[actix_web::test]
async fn estimates_samples_and_others_errors_tell_nothing_either() {
    let scene = Scene::start().await;
    scene.bind().await;
    let Scene { ann, ben, id, .. } = &scene;
    let schema = format!("/v1/connections/{id}/schema/tables/public.people");
    let (open, bound) = (ann.get(&schema).await, ben.get(&schema).await);
    assert!(
        bound.body["data"]["estimated_rows"].is_null() && bound.body["data"]["measures"].is_null()
    );
    assert_eq!(open.body["data"]["estimated_rows"], 20.0);
    let all = ben.get(&format!("/v1/connections/{id}/schema")).await;
    assert!(!all.text.contains("everybody"), "what is closed is not named: {}", all.text);

    let explained = |sql: &str| json!({ "connection_id": id, "sql": sql, "explain": "json" });
    let (rare, common) = (
        "SELECT 1 FROM people WHERE country = 'Spain'",
        "SELECT 1 FROM people WHERE country = 'France'",
    );
    let anns = ann.post("/v1/queries", explained(common)).await;
    assert_eq!(anns.body["data"]["plan"]["estimated_rows"], 15.0, "{}", anns.text);
    assert!(anns.body["data"]["plan"]["json"].is_array() && anns.body["data"]["results"].is_null());
    for sql in [rare, common] {
        let bens = ben.post("/v1/queries", explained(sql)).await;
        let plan = &bens.body["data"]["plan"];
        assert!(
            plan["estimated_rows"].is_null()
                && plan["total_cost"].is_null()
                && plan["json"].is_null()
        );
        assert_eq!(plan["steps"], json!(["Reads all of public.people"]), "{}", bens.text);
    }
    // A limit on estimates cannot be made to answer which values are frequent.
    let org = ann.get("/v1/me").await.body["data"]["organization"]["id"].clone();
    let org = org.as_str().map_or_else(|| panic!("no organization in /v1/me"), str::to_owned);
    let limit = json!({ "settings": { "plan_row_limit": 3 } });
    let set = ann.patch(&format!("/v1/organizations/{org}"), limit).await;
    assert_eq!(set.status, 200, "{}", set.text);
    scene.a_second_passes();
    let statuses = [ben.sql(id, rare).await.status, ben.sql(id, common).await.status];
    assert_eq!(statuses[0], statuses[1], "the estimate depends on hidden rows");
    let refused = ann.sql(id, common).await;
    assert_eq!(refused.error(), (422, "validation_error"), "{}", refused.text);
    let details = &refused.body["error"]["details"];
    assert_eq!(
        (&details["reason"], &details["estimated_rows"]),
        (&json!("plan_limit"), &json!(15.0))
    );
    let bens = ben
        .sql(id, "SELECT 1 FROM people a, people b, people c, generate_series(1, 1000000)")
        .await;
    assert_eq!(bens.body["error"]["details"]["reason"], "plan_limit", "{}", bens.text);
    assert!(bens.body["error"]["details"]["estimated_rows"].is_null());
    let none = json!({ "settings": { "plan_row_limit": null } });
    assert_eq!(ann.patch(&format!("/v1/organizations/{org}"), none).await.status, 200);
    scene.a_second_passes();

    let failed = ann.sql(id, "SELECT name::int FROM people WHERE id = 6").await;
    assert!(failed.text.contains("SECRET6"));
    let history = ben.get("/v1/queries?outcome=failed").await;
    assert_eq!(history.body["data"].as_array().unwrap().len(), 1, "{}", history.text);
    assert!(!history.text.contains("SECRET6"), "{}", history.text);
    assert!(ann.get("/v1/queries?outcome=failed").await.text.contains("SECRET6"));
}

#[actix_web::test]
async fn policies_are_written_read_changed_and_removed() {
    let scene = Scene::start().await;
    let Scene { app, ann, ben, id, bens, .. } = &scene;
    let path = format!("/v1/connections/{id}/policies");
    let body = json!({ "name": "Own", "table": "people", "roles": ["editor"], "rows": "country = {{user.country}}" });
    for (field, change) in [
        ("rows", json!({ "rows": "country = 'x' OR (SELECT true)" })),
        ("rows", json!({ "rows": "nowhere = 1" })),
        ("rows", json!({ "rows": "pg_sleep(1) IS NULL" })),
        ("rows", json!({ "rows": "country = {{user.country::integer}}" })),
        ("rows", json!({ "rows": "salary = 'a'" })),
        ("masks", json!({ "masks": { "nowhere": { "type": "full" } } })),
        ("masks", json!({ "masks": { "email": { "type": "partial", "keep_last": 0 } } })),
        ("table", json!({ "table": "public.nothing" })),
        ("roles", json!({ "roles": [] })),
        ("roles", json!({ "roles": ["role_018a3a2b4c5d7e6f8091a2b3c4d5e6f7"] })),
        ("roles", json!({ "except_roles": ["owner"] })),
        ("name", json!({ "name": " " })),
        ("body", json!({ "row": "true" })),
    ] {
        let mut wrong = body.clone();
        for (name, value) in change.as_object().unwrap() {
            wrong[name] = value.clone();
        }
        let answer = ann.post(&path, wrong).await;
        assert_eq!(answer.error(), (422, "validation_error"), "{change}: {}", answer.text);
        assert!(
            field == "body" || !answer.body["error"]["details"][field].is_null(),
            "{change}: {}",
            answer.text
        );
    }
    let made = scene.policy(body.clone()).await;
    let tag = made.headers["etag"].to_str().unwrap().to_owned();
    let one = format!("{path}/{}", made.body["data"]["id"].as_str().unwrap());
    assert_eq!(made.body["data"]["table"], "public.people");
    assert_eq!(ann.get(&one).await.body["data"], made.body["data"]);
    assert_eq!(ann.get(&path).await.body["data"], json!([made.body["data"]]));
    assert_eq!(ann.post(&path, body.clone()).await.status, 409, "the name is taken");
    assert_eq!(ben.get(&path).await.status, 403);

    // Another organization sees nothing of it.
    let other = app.owner_of("Other").await;
    for answer in [
        other.get(&path).await,
        other.get(&one).await,
        other.delete(&one).await,
        other.post(&path, body).await,
    ] {
        assert_eq!(answer.error(), (404, "not_found"), "{}", answer.text);
    }
    assert_eq!(ben.sql(id, "SELECT count(*) FROM people").await.rows(), &json!([[5]]));

    let patch = |tag: &str, body: Value| {
        send(ann.request("PATCH", &one).header("If-Match", tag).json(&body))
    };
    let change = json!({ "masks": { "name": { "type": "full" } }, "rows": null });
    let changed = patch(&tag, change.clone()).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(patch(&tag, change).await.error(), (412, "precondition_failed"));
    scene.a_second_passes();
    assert_eq!(
        ben.sql(id, "SELECT DISTINCT name, count(*) OVER () FROM people").await.rows(),
        &json!([["***", 20]])
    );
    assert_eq!(ben.sql(id, "SELECT * FROM everybody").await.status, 403);

    // A policy without anything opens a view.
    let open =
        scene.policy(json!({ "name": "Open", "table": "everybody", "roles": ["editor"] })).await;
    assert_eq!(ben.sql(id, "SELECT count(*) FROM everybody").await.rows(), &json!([[20]]));
    let open = format!("{path}/{}", open.body["data"]["id"].as_str().unwrap());

    let effective = ann.get(&format!("{path}/effective?member={bens}")).await;
    let data = &effective.body["data"];
    assert_eq!(
        (&data["role"], &data["email"]),
        (&json!("editor"), &json!("ben@example.com")),
        "{}",
        effective.text
    );
    let tables = data["tables"].as_array().unwrap();
    let of = |name: &str| tables.iter().find(|it| it["table"] == name).unwrap();
    assert_eq!(of("public.people")["masks"], json!({ "name": { "type": "full" } }));
    assert!(of("public.everybody")["closed"].is_null() && of("public.kept")["closed"].is_string());
    assert_eq!(
        ben.get(&format!("{path}/effective")).await.body["data"]["tables"],
        data["tables"],
        "one's own"
    );
    assert_eq!(ann.get(&format!("{path}/effective")).await.body["data"]["tables"], json!([]));
    let anns = ann.get("/v1/team/members").await;
    let anns = anns.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["role"] == "owner")
        .unwrap()["id"]
        .clone();
    let others = ben.get(&format!("{path}/effective?member={}", anns.as_str().unwrap())).await;
    assert_eq!(others.status, 403, "{}", others.text);
    assert_eq!(
        ann.get(&format!("{path}/effective?member=mem_018a3a2b4c5d7e6f8091a2b3c4d5e6f7"))
            .await
            .status,
        404
    );

    // Whoever is bound changes nothing, whatever else they may.
    let role = json!({ "name": "Steward", "scopes": ["queries:read", "connections:read", "connections:write"] });
    let role = ann.post("/v1/roles", role).await.body["data"]["id"].clone();
    let (cat, _) = app.member(ann, "cat@example.com", role.as_str().unwrap()).await;
    assert_eq!(cat.get(&one).await.status, 200);
    let bind = json!({ "roles": [role] });
    assert_eq!(ann.patch(&one, bind).await.status, 200);
    scene.a_second_passes();
    let freed = cat.delete(&one).await;
    assert_eq!(
        (freed.status, &freed.body["error"]["details"]["reason"]),
        (403, &json!("bound_by_policy"))
    );
    assert_eq!(cat.patch(&open, json!({ "active": false })).await.status, 403);

    let audit = ann.get("/v1/audit?limit=100").await;
    for action in ["policy.created", "policy.changed", "member.attributes_changed"] {
        assert!(audit.text.contains(action), "{action}");
    }
    assert_eq!(ann.delete(&one).await.status, 204);
    assert_eq!(ann.delete(&one).await.status, 404);
    scene.a_second_passes();
    assert_eq!(
        ben.sql(id, "SELECT count(name) FROM people WHERE name LIKE 'SECRET%'").await.rows(),
        &json!([[15]])
    );
}

#[actix_web::test]
async fn a_renamed_table_or_column_stays_under_its_policy() {
    let scene = Scene::start().await;
    scene.bind().await;
    let Scene { ben, id, .. } = &scene;
    scene
        .change(
            "ALTER TABLE people RENAME TO persons; ALTER TABLE persons RENAME COLUMN email TO mail",
        )
        .await;
    assert_eq!(
        ben.sql(id, "SELECT count(*), max(mail) FROM persons").await.rows(),
        &json!([[5, "***.com"]])
    );
    // What the condition reads is gone: closed, and said.
    scene.change("ALTER TABLE persons RENAME COLUMN country TO land").await;
    let closed = ben.sql(id, "SELECT count(*) FROM persons").await;
    assert_eq!(
        (closed.status, &closed.body["error"]["details"]["reason"]),
        (403, &json!("policy")),
        "{}",
        closed.text
    );
    assert!(closed.text.contains("country"));
    let around = ben
        .sql(id, "SELECT (SELECT count(*) FROM persons) FROM (SELECT 'Germany' AS country) x")
        .await;
    assert_eq!(around.status, 403);
}

#[actix_web::test]
async fn attributes_are_set_by_those_above() {
    let scene = Scene::start().await;
    let Scene { app, ann, ben, bens, .. } = &scene;
    let path = format!("/v1/team/members/{bens}/attributes");
    let got = ann.get(&path).await;
    assert_eq!(got.body["data"]["attributes"]["country"]["value"], "Germany", "{}", got.text);
    let put = |who: &Person, tag: Option<&str>, attributes: Value| {
        let request = who.request("PUT", &path).json(&json!({ "attributes": attributes }));
        send(match tag {
            Some(tag) => request.header("If-Match", tag),
            None => request,
        })
    };
    for wrong in [
        json!({ "Country": { "type": "text", "value": "x" } }),
        json!({ "email": { "type": "text", "value": "x@example.com" } }),
        json!({ "level": { "type": "integer", "value": "1" } }),
        json!({ "level": { "type": "int", "value": 1 } }),
        json!({ "level": 1 }),
    ] {
        let answer = put(ann, None, wrong.clone()).await;
        assert_eq!(answer.error(), (422, "validation_error"), "{wrong}: {}", answer.text);
    }
    let good = json!({ "levels": { "type": "integer[]", "value": [1, 2] } });
    assert_eq!(put(ann, Some("\"7\""), good.clone()).await.error(), (412, "precondition_failed"));
    let set = put(ann, Some("\"1\""), good.clone()).await;
    assert_eq!((set.status, set.headers["etag"].to_str().unwrap()), (200, "\"2\""), "{}", set.text);
    assert_eq!(put(ben, None, good.clone()).await.status, 403);
    let other = app.owner_of("Other").await;
    assert_eq!(put(&other, None, good.clone()).await.status, 404);
    assert_eq!(other.get(&path).await.status, 404);
    // Whoever manages members does not let themselves see more.
    let role = json!({ "name": "People", "scopes": ["team:read", "team:write"] });
    let role = ann.post("/v1/roles", role).await.body["data"]["id"].clone();
    let (cat, cats) = app.member(ann, "cat@example.com", role.as_str().unwrap()).await;
    let own = format!("/v1/team/members/{cats}/attributes");
    let own = send(cat.request("PUT", &own).json(&json!({ "attributes": good }))).await;
    assert_eq!(own.body["error"]["details"]["reason"], "role_escalation_denied", "{}", own.text);
}

#[actix_web::test]
async fn a_failure_that_quotes_a_value_is_told_to_whom_results_are_shown() {
    let scene = Scene::start().await;
    scene.bind().await;
    let Scene { app, ann, ben, id, .. } = &scene;
    let receiver = Receiver::answering(&["204 Fine"]).await;
    let listens = json!({ "url": receiver.url, "types": ["workflow.run.failed"] });
    assert_eq!(ann.post("/v1/event-subscriptions", listens).await.status, 201);

    let sql = "SELECT email::int FROM people WHERE id = 7";
    let step =
        json!({ "steps": [{ "name": "q", "type": "sql", "connection_id": id, "sql": sql }] });
    let workflow = make(ann, body("Failing", id, &step)).await;
    let runs = format!("/v1/workflows/{workflow}/runs");
    let whole = run(app, ann, &workflow).await;
    assert_eq!(whole["status"], "failed", "{whole}");
    for it in [&whole, &whole["steps"][0], &whole["steps"][0]["attempts"][0]] {
        assert!(it["error"].as_str().unwrap().contains("SECRET7"), "its owner sees it: {whole}");
    }
    assert!(ann.get(&runs).await.text.contains("SECRET7"));

    let sentence = "the database could not run the statement; its owner sees why";
    let told = detail(ben, &workflow, whole["id"].as_str().unwrap()).await;
    assert!(!told.to_string().contains("SECRET"), "{told}");
    assert_eq!(told["error"], format!("q: {sentence}"));
    let step = &told["steps"][0];
    assert_eq!(
        (&step["error"], &step["attempts"][0]["error"]),
        (&json!(sentence), &json!(sentence))
    );
    let told = ben.get(&runs).await;
    assert_eq!(told.body["data"][0]["error"], format!("q: {sentence}"), "{}", told.text);
    assert!(!told.text.contains("SECRET"), "{}", told.text);

    // What is sent to others' servers never quotes it.
    app.services.event_worker.drain().await.unwrap();
    let sent = receiver.got().pop().unwrap();
    assert!(sent.contains(&format!("q: {sentence}")) && !sent.contains("SECRET"), "{sent}");

    let query = json!({ "name": "Broken", "connection_id": id, "sql": sql });
    let query = ann.post("/v1/queries/save", query).await;
    assert_eq!(query.status, 201, "{}", query.text);
    let alert = json!({
        "name": "Broken", "query_id": query.body["data"]["query_id"], "schedule": { "every": "5_minutes" },
        "condition": { "type": "row_count", "is": ">", "value": 1 },
    });
    let alert = ann.post("/v1/alerts", alert).await;
    assert_eq!(alert.status, 201, "{}", alert.text);
    app.services.alert_worker.drain().await.unwrap();
    let path = format!("/v1/alerts/{}/evaluations", alert.body["data"]["id"].as_str().unwrap());
    let whole = ann.get(&path).await;
    assert!(whole.text.contains("SECRET7"), "its owner sees it: {}", whole.text);
    let told = ben.get(&path).await;
    assert_eq!(told.body["data"][0]["error"], sentence, "{}", told.text);
    assert!(!told.text.contains("SECRET"), "{}", told.text);
}
