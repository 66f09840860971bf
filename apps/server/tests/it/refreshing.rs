//! Reading single tables anew.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::app::{Answer, Person, TestApp};
use crate::schemas::{run, shop};

async fn refresh_table(app: &TestApp, who: &Person, id: &str, table: &str) -> Answer {
    app.clock.advance(SignedDuration::from_mins(1));
    who.post(&format!("/v1/connections/{id}/schema/tables/{table}/refresh"), json!({})).await
}

async fn columns(who: &Person, id: &str, table: &str) -> Vec<String> {
    let answer = who.get(&format!("/v1/connections/{id}/schema/tables/{table}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let columns = answer.body["data"]["columns"].as_array().unwrap();
    columns.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

#[actix_web::test]
async fn one_table_is_read_anew_and_the_others_stay_as_they_were() {
    let (app, db) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Acme").await;
    let id = ann.connect("Shop", &db).await;
    let before = ann.get(&format!("/v1/connections/{id}/schema")).await;
    run(
        &db,
        "ALTER TABLE orders ADD COLUMN note text, DROP COLUMN total CASCADE; ALTER TABLE customers ADD COLUMN phone text;
         CREATE TABLE reviews (order_id int REFERENCES orders, stars int)",
    )
    .await;

    let refreshed = refresh_table(&app, &ann, &id, "public.orders").await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.text);
    assert_ne!(refreshed.body["data"]["snapshot_id"], before.body["data"]["snapshot_id"]);
    assert_eq!(columns(&ann, &id, "public.orders").await, ["id", "customer_id", "status", "note"]);
    assert_eq!(columns(&ann, &id, "public.customers").await, ["id", "name", "email"]);
    // A new table that refers to a known one.
    assert_eq!(refresh_table(&app, &ann, &id, "reviews").await.status, 200);
    assert_eq!(columns(&ann, &id, "public.reviews").await, ["order_id", "stars"]);

    let drift = ann.get(&format!("/v1/connections/{id}/schema/drift")).await;
    let changes: Vec<&Value> = drift.body["data"]["changes"].as_array().unwrap().iter().collect();
    assert!(changes.iter().any(|it| it.to_string().contains("reviews")), "{}", drift.text);
}

#[actix_web::test]
async fn a_table_that_is_gone_leaves_the_schema_and_an_unknown_one_is_none() {
    let (app, db) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Acme").await;
    let id = ann.connect("Shop", &db).await;
    let path = format!("/v1/connections/{id}/schema/tables/public.customers");
    assert_eq!(ann.get(&path).await.status, 200);
    run(&db, "DROP TABLE customers CASCADE").await;
    let refreshed = refresh_table(&app, &ann, &id, "public.customers").await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.text);
    assert_eq!(ann.get(&path).await.error(), (404, "not_found"));
    let orders = ann.get(&format!("/v1/connections/{id}/schema/tables/public.orders")).await;
    assert_eq!(orders.body["data"]["foreign_keys"], json!([]), "{}", orders.text);
    for unknown in ["public.customers", "public.nothing", "pg_catalog.pg_class", "nowhere.orders"] {
        let answer = refresh_table(&app, &ann, &id, unknown).await;
        assert_eq!(answer.error(), (404, "not_found"), "{unknown}: {}", answer.text);
    }
}
