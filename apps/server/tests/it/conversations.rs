use jiff::SignedDuration;
use plinth_testdb::TestDatabase;
use serde_json::{Value, json};

use crate::app::{Answer, Person, TestApp};

async fn shop(app: &TestApp) -> (Person, String, TestDatabase) {
    let script = "
        CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, country text NOT NULL);
        CREATE TABLE orders (
            id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, status text NOT NULL,
            total numeric(12,2), placed_at timestamptz);
        INSERT INTO customers SELECT i, 'Customer ' || i, (ARRAY['Germany', 'France'])[1 + i % 2] FROM generate_series(1, 10) i;
        INSERT INTO orders SELECT i, 1 + i % 9, (ARRAY['open', 'paid', 'cancelled'])[1 + i % 3], i * 1.5,
            now() - i * interval '1 day' FROM generate_series(1, 90) i;
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO plinth_test_owner;
        ANALYZE;
    ";
    let db = TestDatabase::from_sql(script).await.unwrap();
    let ann = app.owner_of("Acme").await;
    let id = ann.connect("Shop", &db).await;
    (ann, id, db)
}

async fn say(person: &Person, connection: &str, conversation: &str, question: &str) -> Answer {
    let body = json!({
        "connection_id": connection, "conversation_id": conversation, "question": question,
    });
    person.post("/v1/queries", body).await
}

fn id_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["data"]["conversation_id"].as_str().unwrap().to_owned()
}

#[actix_web::test]
async fn a_follow_up_changes_the_last_answer_and_says_what_it_took_over() {
    let app = TestApp::start().await;
    let (ann, shop, _db) = shop(&app).await;
    let first = ann.ask(&shop, "How many customers are there?").await;
    let talk = id_of(&first);
    assert!(talk.starts_with("conv_"), "{talk}");
    assert_eq!(first.body["data"]["taken_over"], json!([]));

    let german = say(&ann, &shop, &talk, "only the German ones").await;
    assert_eq!(german.rows(), &json!([[5]]), "{}", german.text);
    assert_eq!(id_of(&german), talk);
    let taken_over = german.body["data"]["taken_over"].to_string();
    assert!(taken_over.contains("number of rows"), "{taken_over}");

    let which = say(&ann, &shop, &talk, "which ones?").await;
    assert_eq!(which.body["data"]["results"]["row_count"], 5, "{}", which.text);
    let by = say(&ann, &shop, &talk, "what about France?").await;
    assert_eq!(by.body["data"]["results"]["row_count"], 5, "{}", by.text);
    assert!(by.body["data"]["sql"].as_str().unwrap().contains("'France'"), "{}", by.text);

    let back = say(&ann, &shop, &talk, "go back").await;
    assert!(back.body["data"]["sql"].as_str().unwrap().contains("'Germany'"), "{}", back.text);
    let back = say(&ann, &shop, &talk, "go back").await;
    assert_eq!(back.rows(), &json!([[5]]), "{}", back.text);
    let on = say(&ann, &shop, &talk, "as a percentage").await;
    assert_eq!(on.body["data"]["results"]["rows"][0][0].as_f64(), Some(50.0), "{}", on.text);

    let orders = say(&ann, &shop, &talk, "number of orders by status").await;
    assert_eq!(orders.body["data"]["taken_over"], json!([]), "a question of its own");
    let two = say(&ann, &shop, &talk, "top 2").await;
    assert_eq!(two.body["data"]["results"]["row_count"], 2, "{}", two.text);
}

#[actix_web::test]
async fn why_explains_the_last_answer() {
    let app = TestApp::start().await;
    let (ann, shop, _db) = shop(&app).await;
    let first = ann.ask(&shop, "How many customers are there in Germany?").await;
    let talk = id_of(&first);
    let why = say(&ann, &shop, &talk, "why?").await;
    let data = &why.body["data"];
    assert_eq!((why.status, &data["outcome"], &data["sql"]), (200, &json!("meta"), &Value::Null));
    let answer = data["answer"].as_str().unwrap();
    for part in ["public.customers", "Germany", "count(*)", "of 100"] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    let again = say(&ann, &shop, &talk, "and in France?").await;
    assert_eq!(again.rows(), &json!([[5]]), "the explanation changed nothing: {}", again.text);
}

#[actix_web::test]
async fn what_cannot_be_applied_is_asked_back_in_the_conversation() {
    let app = TestApp::start().await;
    let (ann, shop, _db) = shop(&app).await;
    let talk = id_of(&ann.ask(&shop, "How many customers are there?").await);
    let unclear = say(&ann, &shop, &talk, "only the purple ones").await;
    assert_eq!(unclear.error(), (422, "validation_error"), "{}", unclear.text);
    let details = &unclear.body["error"]["details"];
    assert_eq!(details["conversation_id"], json!(talk));
    assert!(!details["not_understood"].as_array().unwrap().is_empty(), "{}", unclear.text);
    assert_eq!(details["rephrasings"].as_array().unwrap().len(), 3, "{}", unclear.text);
    let german = say(&ann, &shop, &talk, "only the German ones").await;
    assert_eq!(german.rows(), &json!([[5]]), "it goes on from the last answer: {}", german.text);

    let alone = ann.ask(&shop, "and last month?").await;
    assert_eq!(alone.error(), (422, "validation_error"), "{}", alone.text);
    let own = ann.sql(&shop, "SELECT 1").await;
    assert_eq!(own.body["data"]["conversation_id"], Value::Null, "SQL begins none");
    let body =
        json!({ "connection_id": shop, "conversation_id": talk, "sql": "SELECT 7 AS seven" });
    assert_eq!(ann.post("/v1/queries", body).await.rows(), &json!([[7]]));
    let changed = say(&ann, &shop, &talk, "only the German ones").await;
    assert_eq!(changed.status, 422, "{}", changed.text);
    assert!(changed.text.contains("written by you"), "{}", changed.text);
}

#[actix_web::test]
async fn conversations_are_their_persons_alone() {
    let app = TestApp::start().await;
    let (ann, shop, db) = shop(&app).await;
    let talk = id_of(&ann.ask(&shop, "How many customers are there?").await);
    let path = format!("/v1/conversations/{talk}");

    let bob = app.owner_of("Other").await;
    let theirs = bob.connect("Shop", &db).await;
    let (carl, _) = app.member(&ann, "carl@example.com", "editor").await;
    for (person, connection) in [(&bob, &theirs), (&carl, &shop)] {
        for answer in [
            person.get(&path).await,
            person.delete(&path).await,
            say(person, connection, &talk, "and in Germany?").await,
        ] {
            assert_eq!(answer.error(), (404, "not_found"), "{}", answer.text);
        }
        let listed = person.get("/v1/conversations").await;
        assert_eq!(listed.body["data"], json!([]), "{}", listed.text);
    }
    let second = ann.connect("Second", &db).await;
    let other = say(&ann, &second, &talk, "and in Germany?").await;
    assert_eq!(other.error(), (422, "validation_error"), "{}", other.text);

    let shown = ann.get(&path).await;
    assert_eq!(shown.body["data"]["title"], "How many customers are there?");
    let turns = shown.body["data"]["turns"].as_array().unwrap();
    assert_eq!(turns.len(), 1, "what others tried left nothing: {}", shown.text);
    assert_eq!((&turns[0]["number"], &turns[0]["outcome"]), (&json!(1), &json!("answered")));
    assert_eq!(ann.delete(&path).await.status, 204);
    assert_eq!(ann.get(&path).await.status, 404);
    assert_eq!(say(&ann, &shop, &talk, "and in Germany?").await.status, 404);
}

#[actix_web::test]
async fn conversations_are_bounded_and_expire() {
    let app = TestApp::start().await;
    let (ann, shop, _db) = shop(&app).await;
    let talk = id_of(&ann.ask(&shop, "How many customers are there?").await);
    for at in 0..54 {
        let country = ["Germany", "France"][at % 2];
        let answer = say(&ann, &shop, &talk, &format!("what about {country}?")).await;
        assert_eq!(answer.rows(), &json!([[5]]), "{}", answer.text);
    }
    let shown = ann.get(&format!("/v1/conversations/{talk}")).await;
    let turns = shown.body["data"]["turns"].as_array().unwrap();
    assert_eq!((turns.len(), &turns[0]["number"]), (50, &json!(6)));
    assert_eq!(shown.body["data"]["turn_count"], 55);

    app.clock.advance(SignedDuration::from_secs(1));
    let newer = id_of(&ann.ask(&shop, "How many orders are there?").await);
    let listed = ann.get("/v1/conversations?limit=1").await;
    assert_eq!(listed.body["data"][0]["id"], json!(newer));
    let next = listed.body["meta"]["next_cursor"].as_str().unwrap();
    let rest = ann.get(&format!("/v1/conversations?limit=1&cursor={next}")).await;
    assert_eq!(rest.body["data"][0]["id"], json!(talk));

    app.clock.advance(SignedDuration::from_hours(31 * 24));
    assert_eq!(ann.get("/v1/conversations").await.body["data"], json!([]));
    assert_eq!(say(&ann, &shop, &talk, "and in Spain?").await.status, 404);
    assert_eq!(app.services.conversations.sweep().await.unwrap(), 2);
    assert_eq!(app.rows("SELECT count(*)::text FROM conversation_turns").await, ["0"]);
}

#[actix_web::test]
async fn a_conversation_goes_on_while_the_schema_changes() {
    let app = TestApp::start().await;
    let (ann, shop, db) = shop(&app).await;
    let talk = id_of(&ann.ask(&shop, "How many customers are there?").await);
    let (client, connection) =
        tokio_postgres::connect(&db.superuser_url(), tokio_postgres::NoTls).await.unwrap();
    let connection = actix_web::rt::spawn(connection);
    let change =
        "ALTER TABLE customers ADD COLUMN aa_first text; CREATE TABLE aaa_new (id int PRIMARY KEY);
                  GRANT SELECT ON ALL TABLES IN SCHEMA public TO plinth_test_owner";
    client.batch_execute(change).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
    let path = format!("/v1/connections/{shop}/schema/refresh");
    assert!(ann.post(&path, json!({})).await.is_success());
    app.clock.advance(SignedDuration::from_secs(2));
    let german = say(&ann, &shop, &talk, "only the German ones").await;
    assert_eq!(german.rows(), &json!([[5]]), "{}", german.text);
}
