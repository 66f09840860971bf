use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::app::{Answer, Person, TestApp, send};

async fn post(person: &Person, key: &str, body: &Value) -> Answer {
    let request = person.request("POST", "/v1/api-keys").header("Idempotency-Key", key);
    send(request.json(body)).await
}

async fn keys(person: &Person) -> usize {
    person.get("/v1/api-keys").await.body["data"].as_array().unwrap().len()
}

fn report() -> Value {
    json!({ "name": "report", "scopes": ["queries:read"] })
}

#[actix_web::test]
async fn a_request_sent_twice_takes_effect_once_and_a_secret_is_shown_once() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let first = post(&ann, "k-1", &report()).await;
    assert_eq!(first.status, 201, "{}", first.text);
    assert!(!first.headers.contains_key("idempotent-replayed"));
    let again = post(&ann, "k-1", &report()).await;
    assert_eq!(again.status, 201, "{}", again.text);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(again.headers["location"], first.headers["location"]);
    assert_eq!(again.body["data"]["id"], first.body["data"]["id"]);
    assert_eq!(again.body["data"]["key"], Value::Null);
    assert!(first.body["data"]["key"].as_str().unwrap().starts_with("plinth_live_"));
    assert_eq!(keys(&ann).await, 2, "the owner's first key and one more");
}

#[actix_web::test]
async fn a_key_belongs_to_one_request_of_one_caller() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.owner_of("Acme").await, app.owner_of("Other").await);
    assert_eq!(post(&ann, "k-1", &report()).await.status, 201);
    let other = json!({ "name": "another", "scopes": ["read"] });
    let reused = post(&ann, "k-1", &other).await;
    assert_eq!(reused.error(), (422, "validation_error"));
    assert_eq!(reused.body["error"]["details"]["reason"], "idempotency_key_reused");
    let theirs = post(&bob, "k-1", &report()).await;
    assert!(theirs.status == 201 && !theirs.headers.contains_key("idempotent-replayed"));
    for bad in ["a b", &"x".repeat(256)] {
        assert_eq!(post(&ann, bad, &report()).await.error(), (422, "validation_error"));
    }
}

#[actix_web::test]
async fn a_refused_request_can_be_sent_again() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let wrong = json!({ "name": "", "scopes": ["read"] });
    assert_eq!(post(&ann, "k-1", &wrong).await.status, 422);
    assert_eq!(
        post(&ann, "k-1", &report()).await.status,
        201,
        "it had no effect, so the key is free"
    );
}

#[actix_web::test]
async fn requests_at_once_take_effect_once() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let body = report();
    let all = futures_util::future::join_all((0..8).map(|_| post(&ann, "k-1", &body))).await;
    for answer in &all {
        let is_running = answer.body["error"]["details"]["reason"] == "idempotent_request_running";
        assert!(answer.status == 201 || (answer.status == 409 && is_running), "{}", answer.text);
    }
    assert_eq!(keys(&ann).await, 2);
    assert_eq!(post(&ann, "k-1", &body).await.headers["idempotent-replayed"], "true");
}

/// The server dies between the effect and the answer: the effect's own transaction has noted what there is now.
#[actix_web::test]
async fn a_crash_between_effect_and_answer_is_survived() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let first = post(&ann, "k-1", &report()).await;
    app.behind_its_back(
        "UPDATE idempotent_requests SET answer = NULL, leased_until = '2026-03-04T05:06:20Z'",
    )
    .await;
    let early = post(&ann, "k-1", &report()).await;
    assert_eq!(early.body["error"]["details"]["reason"], "idempotent_request_running");
    app.clock.advance(SignedDuration::from_secs(20));
    let again = post(&ann, "k-1", &report()).await;
    let id = first.body["data"]["id"].as_str().unwrap();
    assert!(again.text.contains(id), "it says what there is: {}", again.text);
    assert_eq!(keys(&ann).await, 2, "and makes nothing twice");
}

/// The server dies before the effect.
#[actix_web::test]
async fn a_crash_before_the_effect_lets_the_request_be_sent_again() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    assert_eq!(post(&ann, "k-1", &report()).await.status, 201);
    app.behind_its_back(
        "DELETE FROM api_keys WHERE name = 'report';
         UPDATE idempotent_requests SET answer = NULL, effect = NULL, leased_until = '2026-03-04T05:06:00Z'",
    )
    .await;
    assert_eq!(post(&ann, "k-1", &report()).await.status, 201);
    assert_eq!(keys(&ann).await, 2);
}

#[actix_web::test]
async fn an_answer_is_kept_for_a_day_and_sealed() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    assert_eq!(post(&ann, "k-1", &report()).await.status, 201);
    app.behind_its_back(
        "DO $$ BEGIN ASSERT NOT (SELECT encode(answer, 'escape') LIKE '%report%' FROM idempotent_requests); END $$",
    )
    .await;
    app.clock.advance(SignedDuration::from_hours(25));
    let later = post(&ann, "k-1", &report()).await;
    assert!(later.status == 201 && !later.headers.contains_key("idempotent-replayed"));
    assert_eq!(keys(&ann).await, 3);
}
