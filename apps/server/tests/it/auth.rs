use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::app::{Answer, PASSWORD, Person, TestApp, address, send};

async fn post(app: &TestApp, path: &str, body: Value) -> Answer {
    send(app.request("POST", path).json(&body)).await
}

#[actix_web::test]
async fn who_signs_in_is_known_by_the_token_until_it_expires() {
    let app = TestApp::start().await;
    let key = app.owner_with_password("Acme").await;
    let (ann, signed_in) = app.sign_in(&address("Acme")).await;
    let data = &signed_in.body["data"];
    assert_eq!((&data["token_type"], &data["expires_in"]), (&json!("Bearer"), &json!(600)));
    assert_eq!(data["organizations"][0]["role"], "owner");
    assert_eq!(signed_in.headers["cache-control"], "no-store");

    let (me, by_key) = (ann.get("/v1/me").await, key.get("/v1/me").await);
    assert_eq!(me.status, 200, "{}", me.text);
    assert_eq!(me.body["data"]["user"], by_key.body["data"]["user"]);
    assert_eq!(me.body["data"]["organization"], by_key.body["data"]["organization"]);
    assert_eq!(me.body["data"]["credential"]["kind"], "session");
    assert_eq!(by_key.body["data"]["credential"]["kind"], "api_key");
    assert_eq!(ann.get("/v1/connections").await.status, 200);

    app.clock.advance(SignedDuration::from_secs(599));
    assert_eq!(ann.get("/v1/me").await.status, 200);
    app.clock.advance(SignedDuration::from_secs(1));
    let expired = ann.get("/v1/me").await;
    assert_eq!(expired.error(), (401, "authentication_error"));
    assert_eq!(expired.headers["www-authenticate"], "Bearer");
    let refresh = json!({ "refresh_token": data["refresh_token"] });
    let refreshed = post(&app, "/v1/auth/refresh", refresh).await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.text);
    let ann: Person = app.somebody(refreshed.body["data"]["access_token"].as_str().unwrap());
    assert_eq!(ann.get("/v1/me").await.status, 200);
}

#[actix_web::test]
async fn a_wrong_password_and_an_unknown_address_look_alike() {
    let app = TestApp::start().await;
    app.owner_with_password("Acme").await;
    let sign_in = async |email: &str, password: &str| {
        post(&app, "/v1/auth/login", json!({ "email": email, "password": password })).await
    };
    let wrong = sign_in(&address("Acme"), "another password").await;
    let unknown = sign_in("nobody@example.com", PASSWORD).await;
    assert_eq!(wrong.error(), (401, "authentication_error"));
    assert_eq!(wrong.body["error"], unknown.body["error"]);
}
