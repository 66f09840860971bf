//! The organization's language, for those from whom policies hide something: a taught word tells them no more than asking does.

use jiff::SignedDuration;
use plinth_testdb::TestDatabase;
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use crate::app::{Answer, Person, TestApp, send};

/// Five Germans, and fifteen French people whose every word is `SECRET…`.
const SCRIPT: &str = "
    CREATE TYPE standing AS ENUM ('fresh', 'loyal', 'lapsed');
    CREATE TABLE countries (name text PRIMARY KEY, region text NOT NULL);
    CREATE TABLE people (
        id int PRIMARY KEY, country text NOT NULL REFERENCES countries, name text NOT NULL, email text, age int NOT NULL,
        standing standing NOT NULL);
    CREATE TABLE visits (id int PRIMARY KEY, person_id int NOT NULL REFERENCES people, at date NOT NULL);
    INSERT INTO countries VALUES ('Germany', 'EU'), ('France', 'EU');
    INSERT INTO people SELECT i, 'Germany', 'Name ' || i, 'person' || i || '@example.com', 15 + i, 'loyal'
        FROM generate_series(1, 5) i;
    INSERT INTO people SELECT i, 'France', 'SECRET' || i, 'SECRET' || i || '@example.com', 15 + i, 'lapsed'
        FROM generate_series(6, 20) i;
    INSERT INTO visits SELECT i, i, '2025-06-01' FROM generate_series(1, 20) i;
    CREATE VIEW directory AS SELECT name, email FROM people;
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO plinth_test_owner;
    ANALYZE;
";

/// Ann owns; Ben is an editor who sees Germans, without their addresses.
struct Scene {
    app: TestApp,
    ann: Person,
    ben: Person,
    id: String,
    db: TestDatabase,
}

impl Scene {
    async fn start() -> Self {
        let app = TestApp::start().await;
        let ann = app.owner_of("Acme").await;
        let db = TestDatabase::from_sql(SCRIPT).await.unwrap();
        let id = ann.connect("People", &db).await;
        let (ben, bens) = app.member(&ann, "ben@example.com", "editor").await;
        let path = format!("/v1/team/members/{bens}/attributes");
        let attributes =
            json!({ "attributes": { "country": { "type": "text", "value": "Germany" } } });
        let put = send(ann.request("PUT", &path).json(&attributes)).await;
        assert_eq!(put.status, 200, "{}", put.text);
        let policy = json!({
            "name": "Own country", "table": "public.people", "roles": ["editor"], "rows": "country = {{user.country}}",
            "masks": { "email": { "type": "full" } },
        });
        let made = ann.post(&format!("/v1/connections/{id}/policies"), policy).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let scene = Self { app, ann, ben, id, db };
        scene.a_second_passes();
        scene
    }

    fn a_second_passes(&self) {
        self.app.clock.advance(SignedDuration::from_millis(1100));
    }

    fn path(&self, what: &str) -> String {
        format!("/v1/connections/{}/{what}", self.id)
    }

    /// What Ann teaches; its place.
    async fn teach(&self, what: &str, body: Value) -> String {
        let made = self.ann.post(&self.path(what), body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        made.headers["location"].to_str().unwrap().to_owned()
    }

    /// Everything that somebody is shown of the language.
    async fn shown(&self, person: &Person) -> String {
        let mut all = String::new();
        for what in ["glossary", "metrics", "examples"] {
            let listed = person.get(&self.path(&format!("{what}?limit=100"))).await;
            assert_eq!(listed.status, 200, "{}", listed.text);
            all.push_str(&listed.text);
        }
        all
    }

    async fn change(&self, sql: &str) {
        let url = self.db.superuser_url();
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        actix_web::rt::spawn(connection);
        client.batch_execute(sql).await.unwrap();
        let refreshed = self.ann.post(&self.path("schema/refresh"), json!({})).await;
        assert_eq!(refreshed.status, 200, "{}", refreshed.text);
        self.a_second_passes();
    }
}

fn people(name: &str, predicate: &str) -> Value {
    json!({ "name": name, "table": "public.people", "predicate": predicate })
}

fn pair(question: &str, sql: &str) -> Value {
    json!({ "question": question, "sql": sql })
}

fn used(answer: &Answer) -> usize {
    answer.body["data"]["used"].as_array().map_or(0, Vec::len)
}

#[actix_web::test]
async fn a_taught_word_reads_what_the_asker_may_see() {
    let scene = Scene::start().await;
    let Scene { ann, ben, id, .. } = &scene;
    scene.teach("glossary", people("adult people", "age >= 18")).await;
    let inhabited = json!({
        "name": "inhabited", "table": "public.countries",
        "predicate": "EXISTS (SELECT 1 FROM people p WHERE p.country = countries.name)",
    });
    scene.teach("glossary", inhabited).await;
    let seniority = json!({
        "name": "seniority", "table": "public.people", "expression": "sum(age)", "filter": "standing <> 'fresh'",
    });
    scene.teach("metrics", seniority).await;
    scene.teach("examples", pair("How big are we?", "SELECT count(*) FROM people")).await;
    for (question, anns, bens) in [
        ("How many adult people are there?", json!(18), json!(3)),
        ("How many inhabited countries are there?", json!(2), json!(1)),
        ("How big are we?", json!(20), json!(5)),
    ] {
        let (of_ann, of_ben) = (ann.ask(id, question).await, ben.ask(id, question).await);
        assert_eq!(of_ann.rows(), &json!([[anns]]), "{}", of_ann.text);
        assert_eq!(of_ben.rows(), &json!([[bens]]), "{}", of_ben.text);
        assert_eq!((used(&of_ann), used(&of_ben)), (1, 1), "{question}");
        assert_eq!(of_ben.body["data"]["restricted"], json!(["public.people"]), "{}", of_ben.text);
    }
    let sums = [ann, ben].map(|it| it.ask(id, "What is the seniority?"));
    let [of_ann, of_ben] = sums;
    let (of_ann, of_ben) = (of_ann.await, of_ben.await);
    let sum = |it: &Answer| it.rows()[0][0].as_f64();
    assert_eq!((sum(&of_ann), sum(&of_ben)), (Some(510.0), Some(90.0)), "{}", of_ben.text);
}

#[actix_web::test]
async fn what_speaks_of_a_masked_column_is_told_to_nobody_from_whom_it_is_hidden() {
    let scene = Scene::start().await;
    let Scene { ann, ben, id, .. } = &scene;
    let inner = "EXISTS (SELECT 1 FROM people p WHERE p.id = people.id AND";
    let mut places = Vec::new();
    for (at, predicate) in [
        "email LIKE 'SECRET%'".to_owned(),
        "U&\"\\0065mail\" LIKE 'SECRET%'".to_owned(),
        "public.people.\"email\" = 'SECRET7@example.com'".to_owned(),
        format!("{inner} p::text LIKE '%SECRET%')"),
        format!("{inner} to_jsonb(p) ->> 'email' = 'SECRET7@example.com')"),
        format!("{inner} ROW(p.*)::text LIKE '%SECRET%')"),
        "EXISTS (SELECT 1 FROM people AS p (a, b, c, d) WHERE d LIKE 'SECRET%' AND a = people.id)"
            .to_owned(),
        "EXISTS (SELECT 1 FROM people p NATURAL JOIN (VALUES ('SECRET7@example.com')) AS v (email) WHERE p.id = people.id)"
            .to_owned(),
        "id IN (SELECT p.id FROM people p JOIN (SELECT 'SECRET7@example.com' AS email) v USING (email))".to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("kind {} people", ["a", "b", "c", "d", "e", "f", "g", "h", "i"][at]);
        places.push(scene.teach("glossary", people(&name, &predicate)).await);
    }
    let column = json!({ "name": "mailbox", "table": "public.people", "column": "email" });
    places.push(scene.teach("glossary", column).await);
    let value = json!({
        "name": "the rival", "table": "public.people", "column": "email", "value": "SECRET7@example.com",
    });
    places.push(scene.teach("glossary", value).await);
    let metric = json!({
        "name": "reach", "table": "public.people", "expression": "count(*) FILTER (WHERE email LIKE 'SECRET%')",
    });
    places.push(scene.teach("metrics", metric).await);
    let filtered = json!({
        "name": "grasp", "table": "public.visits", "expression": "count(*)",
        "filter": "person_id IN (SELECT id FROM people WHERE email LIKE 'SECRET%')",
    });
    places.push(scene.teach("metrics", filtered).await);
    for (question, sql) in [
        ("Whom do we watch?", "SELECT count(*) FROM people WHERE email LIKE 'SECRET%'"),
        ("Whom do we fear?", "SELECT count(*) FROM people p WHERE p::text LIKE '%SECRET%'"),
        (
            "Whom do we love?",
            "SELECT count(*) FROM (TABLE people) p (a, b, c, d, e, f) WHERE d LIKE 'SECRET%'",
        ),
        ("Who is listed?", "SELECT count(*) FROM directory WHERE email LIKE 'SECRET%'"),
    ] {
        places.push(scene.teach("examples", pair(question, sql)).await);
        let of_ben = ben.ask(id, question).await;
        assert!(!of_ben.text.contains("SECRET") && used(&of_ben) == 0, "{}", of_ben.text);
        assert_eq!(used(&ann.ask(id, question).await), 1, "{question}");
    }
    for question in [
        "How many kind a people are there?",
        "How many kind g people are there?",
        "What is the mailbox of the rival?",
        "What is the reach?",
        "What is the grasp?",
        "What does reach mean?",
        "What does kind a mean?",
    ] {
        let of_ben = ben.ask(id, question).await;
        assert!(
            !of_ben.text.contains("SECRET") && used(&of_ben) == 0,
            "{question}: {}",
            of_ben.text
        );
    }
    let shown = scene.shown(ben).await;
    assert!(!shown.contains("SECRET") && !shown.contains("email"), "{shown}");
    for place in &places {
        assert_eq!(ann.get(place).await.status, 200);
        for answer in [ben.get(place).await, ben.delete(place).await] {
            assert_eq!(answer.error(), (404, "not_found"), "{place}: {}", answer.text);
        }
        let put = send(ben.request("PUT", place).json(&people("mine", "age > 1"))).await;
        assert!(matches!(put.status, 404 | 422), "{place}: {}", put.text);
    }
    assert_eq!(scene.shown(ann).await.matches("\"id\":").count(), places.len());
}

#[actix_web::test]
async fn what_quotes_rows_is_told_to_nobody_from_whom_rows_are_hidden() {
    let scene = Scene::start().await;
    let Scene { ann, ben, id, .. } = &scene;
    let value = |name: &str, column: &str, value: &str| json!({ "name": name, "table": "public.people", "column": column, "value": value });
    scene.teach("glossary", value("rival", "name", "SECRET7")).await;
    scene.teach("glossary", value("gone", "standing", "lapsed")).await;
    scene.teach("glossary", value("faithful", "standing", "loyal")).await;
    let rivals = "SELECT count(*) FROM people WHERE name IN ('SECRET7', 'SECRET8')";
    scene.teach("examples", pair("How strong are our rivals?", rivals)).await;
    let recent = "SELECT count(*) FROM people JOIN visits v ON v.person_id = people.id
                  WHERE v.at > '2025-01-01' AND standing <> 'fresh' AND date_trunc('month', v.at) > date '2020-01-01'";
    scene.teach("examples", pair("How busy are we?", recent)).await;
    for question in ["How many rival people are there?", "How strong are our rivals?"] {
        let (of_ann, of_ben) = (ann.ask(id, question).await, ben.ask(id, question).await);
        assert_eq!(used(&of_ann), 1, "{}", of_ann.text);
        assert!(!of_ben.text.contains("SECRET") && used(&of_ben) == 0, "{}", of_ben.text);
    }
    // What the schema names itself is no secret; which rows there are, is.
    let gone = ben.ask(id, "How many gone people are there?").await;
    assert_eq!((used(&gone), gone.rows()), (1, &json!([[0]])), "{}", gone.text);
    let faithful = ben.ask(id, "How many faithful people are there?").await;
    assert_eq!((used(&faithful), faithful.rows()), (1, &json!([[5]])), "{}", faithful.text);
    let busy = ben.ask(id, "How busy are we?").await;
    assert_eq!((used(&busy), busy.rows()), (1, &json!([[5]])), "{}", busy.text);
    assert!(!scene.shown(ben).await.contains("SECRET"));

    let none = ben.ask(id, "List the gone people").await;
    let told = none.body["data"]["answer"].as_str().unwrap_or_default();
    assert!(told.contains("Nothing that you may see is found"), "{}", none.text);
}

#[actix_web::test]
async fn what_waits_and_what_is_broken_is_told_to_who_may_see_everything_and_to_its_author() {
    let scene = Scene::start().await;
    let Scene { ann, ben, id, .. } = &scene;
    let rate = async |person: &Person, question: &str, body: Value| {
        let asked = person.ask(id, question).await;
        let query = asked.body["data"]["query_id"].as_str().unwrap();
        let given = person.post(&format!("/v1/queries/{query}/feedback"), body).await;
        assert_eq!(given.status, 200, "{}", given.text);
        let candidate = given.body["data"]["candidate_id"].as_str().unwrap().to_owned();
        scene.path(&format!("examples/{candidate}"))
    };
    let up = json!({ "rating": "up" });
    let anns = rate(ann, "How many people are called \"SECRET7\"?", up.clone()).await;
    let bens = rate(ben, "How many people are called \"Name 3\"?", up).await;
    let listed = ben.get(&scene.path("examples?status=candidate")).await;
    assert_eq!(listed.body["data"].as_array().unwrap().len(), 1, "{}", listed.text);
    assert!(!listed.text.contains("SECRET"), "{}", listed.text);
    assert_eq!(ben.get(&anns).await.status, 404);
    let accept = format!("{anns}/accept");
    assert_eq!(ben.post(&accept, json!({})).await.error(), (404, "not_found"));
    assert_eq!((ann.get(&anns).await.status, ann.get(&bens).await.status), (200, 200));
    assert_eq!(ben.get(&bens).await.status, 200);
    // Accepting it would put what Ben cannot judge before everybody; Ann can.
    let own = ben.post(&format!("{bens}/accept"), json!({})).await;
    assert_eq!(own.error(), (422, "validation_error"), "{}", own.text);
    assert_eq!(ann.post(&format!("{bens}/accept"), json!({})).await.status, 200);
    assert_eq!(ann.post(&accept, json!({})).await.status, 200);
    assert!(!scene.shown(ben).await.contains("SECRET"));

    let total = json!({ "name": "total age", "table": "public.people", "expression": "sum(age)" });
    scene.teach("metrics", total).await;
    let made = ben.post(&scene.path("glossary"), people("grown people", "age > 17")).await;
    assert_eq!(made.status, 201, "{}", made.text);
    scene.change("ALTER TABLE people RENAME COLUMN age TO years").await;
    let of_ann = scene.shown(ann).await;
    assert_eq!(of_ann.matches("has no column age").count(), 2, "{of_ann}");
    let of_ben = scene.shown(ben).await;
    assert!(of_ben.contains("it does not fit the schema any more"), "{of_ben}");
    assert!(of_ben.contains("grown people") && !of_ben.contains("total age"), "{of_ben}");
    assert!(!of_ben.contains("no column"), "{of_ben}");
}

#[actix_web::test]
async fn who_is_bound_teaches_what_they_see() {
    let scene = Scene::start().await;
    let Scene { ben, .. } = &scene;
    for (what, body) in [
        ("glossary", people("postal people", "email IS NOT NULL")),
        ("glossary", json!({ "name": "box", "table": "public.people", "column": "email" })),
        ("glossary", json!({ "name": "files", "table": "public.directory" })),
        ("examples", pair("Who is there?", "SELECT * FROM people")),
        ("examples", pair("Who is filed?", "SELECT name FROM directory")),
    ] {
        let refused = ben.post(&scene.path(what), body.clone()).await;
        assert_eq!(refused.error(), (422, "validation_error"), "{body}: {}", refused.text);
    }
    let made = ben.post(&scene.path("glossary"), people("adult people", "age >= 18")).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert!(scene.shown(ben).await.contains("adult people"));
    let trail = scene.ann.get("/v1/audit?limit=100").await.text;
    assert!(trail.contains("language.defined") && !trail.contains("age >= 18"), "{trail}");
}

#[actix_web::test]
async fn a_question_about_what_a_policy_closes_is_refused_as_its_sql_is() {
    let scene = Scene::start().await;
    let Scene { ann, ben, id, .. } = &scene;
    assert_eq!(ann.ask(id, "How many directories are there?").await.rows(), &json!([[20]]));
    let asked = ben.ask(id, "How many directories are there?").await;
    assert_eq!(asked.error(), (403, "authorization_error"), "{}", asked.text);
    assert_eq!(asked.body["error"]["details"]["reason"], "not_permitted");
    let written = ben.sql(id, "SELECT count(*) FROM directory").await;
    assert_eq!(written.error(), (403, "authorization_error"), "{}", written.text);
    assert_eq!(written.body["error"]["details"]["reason"], "policy");
    let unknown = ben.ask(id, "How many unicorns are there?").await;
    assert_eq!(unknown.error(), (422, "validation_error"), "{}", unknown.text);
}
