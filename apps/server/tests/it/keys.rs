use jiff::SignedDuration;
use plinth_core::Clock as _;
use plinth_tenancy::KeySecret;
use serde_json::json;

use crate::app::{TestApp, send};

#[actix_web::test]
async fn a_key_works_in_either_header_until_it_is_revoked() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let made =
        ann.post("/v1/api-keys", json!({ "name": "report", "scopes": ["queries:read"] })).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let secret = made.body["data"]["key"].as_str().unwrap();
    assert!(secret.starts_with("plinth_live_"));
    let other_header = app.request("GET", "/v1/queries").header("x-api-key", secret);
    assert_eq!(send(other_header).await.status, 200);
    let bob = app.somebody(secret);
    assert_eq!(bob.get("/v1/queries").await.status, 200);
    assert_eq!(bob.get("/v1/connections").await.error(), (403, "authorization_error"));

    let listed = ann.get("/v1/api-keys").await;
    assert!(!listed.text.contains(secret), "a secret is shown once");
    let id = made.body["data"]["id"].as_str().unwrap();
    assert_eq!(ann.delete(&format!("/v1/api-keys/{id}")).await.status, 204);
    assert_eq!(bob.get("/v1/queries").await.error(), (401, "authentication_error"));
    assert_eq!(ann.delete(&format!("/v1/api-keys/{id}")).await.error(), (404, "not_found"));
}

#[actix_web::test]
async fn an_expired_key_no_longer_works() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let body = json!({ "name": "short", "scopes": ["read"], "expires_at": "2026-03-04T06:00:00Z" });
    let made = ann.post("/v1/api-keys", body).await;
    let bob = app.somebody(made.body["data"]["key"].as_str().unwrap());
    assert_eq!(bob.get("/v1/queries").await.status, 200);
    app.clock.advance(SignedDuration::from_hours(1));
    assert_eq!(bob.get("/v1/queries").await.error(), (401, "authentication_error"));
}

#[actix_web::test]
async fn a_key_that_was_known_a_moment_ago_is_judged_anew() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let eve = app.owner_of("Elsewhere").await;
    let elsewhere = eve.get("/v1/me/access").await.body["data"]["organization_id"].clone();
    let end = app.clock.now() + SignedDuration::from_millis(500);
    let body = json!({ "name": "short", "scopes": ["read"], "expires_at": end });
    let made = ann.post("/v1/api-keys", body).await;
    let secret = made.body["data"]["key"].as_str().unwrap();
    let strange = || {
        let request = app.request("GET", "/v1/me/access").header("x-api-key", secret);
        send(request.header("x-tenant-id", elsewhere.as_str().unwrap()))
    };
    let (bob, unknown) = (app.somebody(secret), strange().await);
    assert_ne!(unknown.status, 200);
    for _ in 0..3 {
        assert_eq!(bob.get("/v1/me/access").await.status, 200);
    }
    assert_eq!(strange().await.error(), unknown.error(), "it is one organization's");
    app.clock.advance(SignedDuration::from_millis(499));
    assert_eq!(bob.get("/v1/me/access").await.status, 200);
    app.clock.advance(SignedDuration::from_millis(1));
    assert_eq!(bob.get("/v1/me/access").await.error(), (401, "authentication_error"));
}

#[actix_web::test]
async fn what_is_no_key_of_ours_is_refused_alike() {
    let app = TestApp::start().await;
    let unknown = KeySecret::generate(plinth_tenancy::KeyKind::Live).unwrap();
    let mut messages = std::collections::BTreeSet::new();
    for key in ["", "x", "plinth_live_", unknown.expose(), "plinth_live_é"] {
        let answer =
            send(app.request("GET", "/v1/queries").header("x-api-key", key.as_bytes())).await;
        assert_eq!(answer.error(), (401, "authentication_error"), "{key}");
        messages.insert(answer.body["error"]["message"].to_string());
    }
    let basic = send(app.request("GET", "/v1/queries").basic_auth("a", Some("b"))).await;
    assert_eq!(basic.error(), (401, "authentication_error"));
    assert_eq!(messages.len(), 1, "which kind of wrong it is stays with us");
}

#[actix_web::test]
async fn a_key_carries_at_most_what_its_maker_may() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let narrow = json!({ "name": "admin only", "scopes": ["admin", "queries:read"] });
    let made = ann.post("/v1/api-keys", narrow).await;
    let bob = app.somebody(made.body["data"]["key"].as_str().unwrap());
    let wider =
        bob.post("/v1/api-keys", json!({ "name": "w", "scopes": ["connections:write"] })).await;
    assert_eq!(wider.error(), (403, "authorization_error"));
    assert_eq!(wider.body["error"]["details"]["reason"], "role_escalation_denied");
    let full = bob.post("/v1/api-keys", json!({ "name": "f", "scopes": ["full"] })).await;
    assert_eq!(full.body["data"]["scopes"], json!(["queries:read", "admin"]), "all that bob has");
    let test =
        ann.post("/v1/api-keys", json!({ "name": "t", "scopes": ["full"], "is_test": true })).await;
    let tester = app.somebody(test.body["data"]["key"].as_str().unwrap());
    let live = tester.post("/v1/api-keys", json!({ "name": "l", "scopes": ["read"] })).await;
    assert_eq!(live.error(), (403, "authorization_error"), "a test key makes no live one");
}

#[actix_web::test]
async fn the_first_owner_is_made_once_with_the_printed_token() {
    let app = TestApp::start().await;
    let token = app.services.tenancy.prepare_setup().await.unwrap().unwrap();
    let body =
        |token: &str| json!({ "token": token, "organization": "Acme", "email": "ann@example.com" });
    let setup = |body| send(app.request("POST", "/v1/setup").json(&body));
    assert_eq!(setup(body("setup_guess")).await.error(), (403, "authorization_error"));
    let made = setup(body(token.expose())).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let ann = app.somebody(made.body["data"]["api_key"].as_str().unwrap());
    assert_eq!(ann.get("/v1/connections").await.status, 200);
    assert_eq!(setup(body(token.expose())).await.error(), (403, "authorization_error"));
    assert!(app.services.tenancy.prepare_setup().await.unwrap().is_none());
}

#[actix_web::test]
async fn keys_of_another_organization_do_not_exist() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.owner_of("Acme").await, app.owner_of("Other").await);
    let made = ann.post("/v1/api-keys", json!({ "name": "k", "scopes": ["read"] })).await;
    let id = made.body["data"]["id"].as_str().unwrap();
    assert_eq!(bob.delete(&format!("/v1/api-keys/{id}")).await.error(), (404, "not_found"));
    assert!(!bob.get("/v1/api-keys").await.text.contains(id));
    assert_eq!(ann.delete(&format!("/v1/api-keys/{id}")).await.status, 204);
}
