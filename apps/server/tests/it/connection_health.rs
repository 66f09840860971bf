use jiff::SignedDuration;
use plinth_connections::HealthChecks;
use serde_json::json;

use crate::app::{Person, TestApp};
use crate::connection_changes::OwnRole;

const INTERVAL: SignedDuration = SignedDuration::from_mins(5);

async fn connect(person: &Person, own: &OwnRole, name: &str) -> String {
    let made = person.post("/v1/connections", own.connection(name)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.body["data"]["id"].as_str().unwrap().to_owned()
}

/// Looks once at everything that is due, after the longest pause that there is between two looks.
async fn look(app: &TestApp, checks: &HealthChecks) -> usize {
    app.clock.advance(INTERVAL + INTERVAL / 10);
    checks.tick().await.unwrap()
}

#[actix_web::test]
async fn three_failures_in_a_row_take_it_out_of_use_and_the_first_success_brings_it_back() {
    let (app, own) = (TestApp::start().await, OwnRole::new().await);
    let (ann, bob) = (app.owner_of("Acme").await, app.owner_of("Other").await);
    let id = connect(&ann, &own, "Shop").await;
    let types = json!(["connection.unhealthy", "connection.recovered"]);
    let told = json!({ "url": "https://events.example.com/", "types": types });
    let told = ann.post("/v1/event-subscriptions", told).await.body["data"]["id"].clone();
    let checks = HealthChecks::new(app.services.connections.clone(), INTERVAL);
    let shown = async || ann.get(&format!("/v1/connections/{id}")).await.body["data"].clone();

    assert_eq!(shown().await["health"]["status"], "unknown");
    assert_eq!(look(&app, &checks).await, 1);
    assert_eq!(shown().await["health"]["status"], "healthy");
    assert_eq!(checks.tick().await.unwrap(), 0, "not due again yet");

    own.sql(&format!("ALTER ROLE {} NOLOGIN", own.role)).await;
    for failures in 1..=3 {
        assert_eq!(shown().await["is_active"], true);
        look(&app, &checks).await;
        let it = shown().await;
        assert_eq!(it["health"]["failures"], failures);
        assert!(it["health"]["diagnosis"]["fix_steps"][0].is_string(), "{it}");
    }
    let lost = shown().await;
    assert_eq!(
        (&lost["is_active"], &lost["inactive_reason"]),
        (&json!(false), &json!("unhealthy"))
    );
    let refused = ann.sql(&id, "SELECT 1").await;
    assert_eq!(refused.error(), (409, "conflict"), "{}", refused.text);
    assert_eq!(refused.body["error"]["details"]["inactive_reason"], "unhealthy");
    assert!(refused.body["error"]["details"]["diagnosis"]["title"].is_string());
    look(&app, &checks).await;
    let letters = app.letters().await;
    assert_eq!(letters.len(), 1, "told once: {letters:?}");
    assert_eq!(letters[0]["to"], "managers");
    assert_eq!(letters[0]["letter"]["kind"], "connection_lost");
    assert_eq!(letters[0]["letter"]["connection"], "Shop");

    own.sql(&format!("ALTER ROLE {} LOGIN", own.role)).await;
    look(&app, &checks).await;
    let back = shown().await;
    assert_eq!((&back["is_active"], &back["health"]["failures"]), (&json!(true), &json!(0)));
    assert_eq!(app.letters().await[1]["letter"]["kind"], "connection_recovered");
    assert_eq!(ann.sql(&id, "SELECT 1").await.status, 200);
    assert_eq!(bob.get("/v1/connections").await.body["data"], json!([]));

    // Others' servers hear the same.
    let path = format!("/v1/event-subscriptions/{}/deliveries", told.as_str().unwrap());
    let sent = ann.get(&path).await.body["data"].clone();
    let types: Vec<_> = sent.as_array().unwrap().iter().map(|it| &it["type"]).collect();
    assert_eq!(types, ["connection.recovered", "connection.unhealthy"]);
    let lost = ann.get(&format!("{path}/{}", sent[1]["id"].as_str().unwrap())).await;
    let data = &lost.body["data"]["payload"]["data"];
    assert_eq!((&data["connection_id"], data["title"].is_string()), (&json!(id), true), "{data}");
}

#[actix_web::test]
async fn what_a_person_switched_off_is_neither_looked_at_nor_switched_on() {
    let (app, own) = (TestApp::start().await, OwnRole::new().await);
    let ann = app.owner_of("Acme").await;
    let id = connect(&ann, &own, "Shop").await;
    let path = format!("/v1/connections/{id}");
    let checks = HealthChecks::new(app.services.connections.clone(), INTERVAL);
    ann.patch(&path, json!({ "is_active": false })).await;
    assert_eq!(look(&app, &checks).await, 0);
    let tested = ann.post(&format!("{path}/test"), json!({})).await;
    assert_eq!(tested.body["data"]["success"], true);
    assert_eq!(ann.get(&path).await.body["data"]["inactive_reason"], "switched_off");
    assert!(app.letters().await.is_empty());
}

#[actix_web::test]
async fn whoever_mends_it_need_not_wait() {
    let (app, own) = (TestApp::start().await, OwnRole::new().await);
    let ann = app.owner_of("Acme").await;
    let [tested, patched] =
        [connect(&ann, &own, "Tested").await, connect(&ann, &own, "Patched").await];
    let checks = HealthChecks::new(app.services.connections.clone(), INTERVAL);
    own.sql(&format!("ALTER ROLE {} PASSWORD 'second'", own.role)).await;
    for _ in 0..3 {
        assert_eq!(look(&app, &checks).await, 2);
    }
    assert_eq!(ann.sql(&patched, "SELECT 1").await.error(), (409, "conflict"));
    let mended =
        ann.patch(&format!("/v1/connections/{patched}"), json!({ "password": "second" })).await;
    assert_eq!(mended.body["data"]["is_active"], true, "{}", mended.text);
    assert_eq!(ann.sql(&patched, "SELECT 1").await.status, 200);
    assert_eq!(checks.tick().await.unwrap(), 1, "what was changed is looked at next");

    own.sql(&format!("ALTER ROLE {} PASSWORD 'first'", own.role)).await;
    let path = format!("/v1/connections/{tested}");
    ann.post(&format!("{path}/test"), json!({})).await;
    assert_eq!(ann.get(&path).await.body["data"]["is_active"], true);
}

/// Several servers share the work: nothing is looked at twice.
#[actix_web::test]
async fn servers_do_not_look_at_the_same_one_at_once() {
    let (app, own) = (TestApp::start().await, OwnRole::new().await);
    let ann = app.owner_of("Acme").await;
    for number in 0..6 {
        connect(&ann, &own, &format!("db {number}")).await;
    }
    app.clock.advance(INTERVAL);
    let servers: Vec<_> =
        (0..3).map(|_| HealthChecks::new(app.services.connections.clone(), INTERVAL)).collect();
    let looked = futures_util::future::join_all(servers.iter().map(HealthChecks::tick)).await;
    let looked: usize = looked.into_iter().map(|it| it.unwrap()).sum();
    assert_eq!(looked, 6);
}
