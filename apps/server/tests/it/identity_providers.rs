use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::SignedDuration;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::app::{Answer, Person, TestApp, send};

const KEYS: &str = "https://id.example.com/keys";

/// An identity provider with one key.
struct Provider {
    key: Ed25519KeyPair,
    name: &'static str,
}

impl Provider {
    fn new(name: &'static str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { key: Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap(), name }
    }

    fn set(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.key.public_key().as_ref());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": self.name, "x": x }] })
    }

    fn token(&self, app: &TestApp, subject: &str, groups: &[&str]) -> String {
        let at = app.now().as_second();
        self.sign(&json!({
            "iss": "https://id.example.com", "aud": "plinth", "sub": subject, "iat": at, "exp": at + 3600,
            "email": format!("{subject}@example.com"), "email_verified": true, "groups": groups,
        }))
    }

    fn sign(&self, claims: &Value) -> String {
        let header = json!({ "alg": "EdDSA", "kid": self.name }).to_string();
        let part = |it: &str| URL_SAFE_NO_PAD.encode(it);
        let signed = format!("{}.{}", part(&header), part(&claims.to_string()));
        let signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

fn settings() -> Value {
    json!({
        "name": "Work", "issuer": "https://id.example.com", "jwks_url": KEYS, "audience": "plinth",
        "group_roles": [{ "group": "data", "role": "editor" }, { "group": "staff", "role": "viewer" }],
    })
}

/// An organization that takes the provider's tokens.
async fn stage(app: &TestApp) -> (Person, Provider, String) {
    let ann = app.owner_of("Acme").await;
    let provider = Provider::new("one");
    app.documents.put(KEYS, provider.set());
    let made = ann.post("/v1/identity-providers", settings()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let id = made.body["data"]["id"].as_str().unwrap().to_owned();
    (ann, provider, id)
}

#[actix_web::test]
async fn whoever_the_provider_vouches_for_is_what_their_groups_say() {
    let app = TestApp::start().await;
    let (ann, provider, _) = stage(&app).await;
    let told = json!({ "url": "https://events.example.com/", "types": ["member.added"] });
    let told = ann.post("/v1/event-subscriptions", told).await.body["data"]["id"].clone();
    let eve = app.somebody(&provider.token(&app, "eve", &["staff", "data"]));
    assert_eq!(
        eve.get("/v1/connections").await.status,
        200,
        "an editor sees what can be asked about"
    );
    assert_eq!(eve.get("/v1/identity-providers").await.error(), (403, "authorization_error"));
    let lower = app.somebody(&provider.token(&app, "eve", &["staff"]));
    assert_eq!(lower.get("/v1/connections").await.error(), (403, "authorization_error"));
    let nobody = app.somebody(&provider.token(&app, "joe", &["guests"]));
    assert_eq!(nobody.get("/v1/queries").await.error(), (401, "authentication_error"));
    let page = ann.get("/v1/identity-providers").await;
    assert_eq!(page.body["data"].as_array().unwrap().len(), 1);
    // That somebody joined is told once, however they joined.
    let path = format!("/v1/event-subscriptions/{}/deliveries", told.as_str().unwrap());
    let sent = ann.get(&path).await.body["data"].clone();
    assert_eq!(sent.as_array().unwrap().len(), 1, "{sent}");
    let detail = ann.get(&format!("{path}/{}", sent[0]["id"].as_str().unwrap())).await;
    let data = &detail.body["data"]["payload"]["data"];
    assert_eq!(
        (&data["email"], &data["role"]),
        (&json!("eve@example.com"), &json!("editor")),
        "{data}"
    );
}

#[actix_web::test]
async fn a_token_is_good_in_its_own_organization_only() {
    let app = TestApp::start().await;
    let (_, provider, _) = stage(&app).await;
    let bob = app.owner_of("Other").await;
    let theirs = bob.post("/v1/connections", json!({})).await;
    assert_eq!(theirs.status, 422);
    let other = bob.get("/v1/me").await.body["data"]["organization"]["id"].clone();
    let token = provider.token(&app, "eve", &["data"]);
    if let Some(other) = other.as_str() {
        let request = app.request("GET", "/v1/queries").bearer_auth(&token);
        let answer = send(request.header("x-tenant-id", other)).await;
        assert_eq!(answer.status, 401, "{}", answer.text);
    }
    assert_eq!(app.somebody(&token).get("/v1/queries").await.status, 200);
}

#[actix_web::test]
async fn forged_expired_and_misdirected_tokens_are_refused_alike() {
    let app = TestApp::start().await;
    let (_, provider, _) = stage(&app).await;
    let at = app.now().as_second();
    let good = json!({
        "iss": "https://id.example.com", "aud": "plinth", "sub": "eve", "iat": at, "exp": at + 60,
        "email": "eve@example.com", "groups": ["data"],
    });
    assert_eq!(app.somebody(&provider.sign(&good)).get("/v1/queries").await.status, 200);
    let forger = Provider::new("one");
    let refused = |token: String| {
        let app = &app;
        async move { app.somebody(&token).get("/v1/queries").await }
    };
    let mut answers: Vec<Answer> = vec![refused(forger.sign(&good)).await];
    for (claim, value) in [
        ("iss", json!("https://other.example.com")),
        ("aud", json!("another service")),
        ("exp", json!(at - 100)),
        ("nbf", json!(at + 1000)),
    ] {
        let mut bad = good.clone();
        bad[claim] = value;
        answers.push(refused(provider.sign(&bad)).await);
    }
    for answer in answers {
        assert_eq!(answer.error(), (401, "authentication_error"), "{}", answer.text);
    }
    app.clock.advance(SignedDuration::from_secs(200));
    assert_eq!(refused(provider.sign(&good)).await.status, 401, "it has expired");
}

#[actix_web::test]
async fn rotated_keys_are_found_and_a_removed_provider_counts_within_a_second() {
    let app = TestApp::start().await;
    let (ann, provider, id) = stage(&app).await;
    let token = provider.token(&app, "eve", &["data"]);
    assert_eq!(app.somebody(&token).get("/v1/queries").await.status, 200);
    let successor = Provider::new("two");
    app.documents.put(KEYS, successor.set());
    app.clock.advance(SignedDuration::from_secs(61));
    let new = successor.token(&app, "eve", &["data"]);
    assert_eq!(app.somebody(&new).get("/v1/queries").await.status, 200);
    app.clock.advance(SignedDuration::from_secs(2));
    assert_eq!(app.somebody(&token).get("/v1/queries").await.status, 401, "its key is gone");
    assert_eq!(ann.delete(&format!("/v1/identity-providers/{id}")).await.status, 204);
    assert_eq!(app.somebody(&new).get("/v1/queries").await.status, 401);
}

#[actix_web::test]
async fn whom_people_removed_the_provider_does_not_bring_back() {
    let app = TestApp::start().await;
    let (_, provider, _) = stage(&app).await;
    let eve = app.somebody(&provider.token(&app, "eve", &["data"]));
    assert_eq!(eve.get("/v1/queries").await.status, 200);
    app.behind_its_back("DELETE FROM members WHERE managed_by IS NOT NULL").await;
    app.clock.advance(SignedDuration::from_secs(2));
    assert_eq!(eve.get("/v1/queries").await.error(), (401, "authentication_error"));
}

#[actix_web::test]
async fn a_persons_own_sign_in_does_not_lead_where_only_a_provider_put_them() {
    let app = TestApp::start().await;
    let (ann, provider, id) = stage(&app).await;
    let theirs = ann.get("/v1/me").await.body["data"]["organization"]["id"].clone();
    let vouched = app.somebody(&provider.token(&app, "eve", &["data"]));
    assert_eq!(vouched.get("/v1/queries").await.status, 200, "she is a member of Acme first");
    app.clock.advance(SignedDuration::from_secs(1));
    let bob = app.owner_of("Other").await;
    let (_, member) = app.member(&bob, "eve@example.com", "viewer").await;
    assert!(!member.is_empty());
    let other = bob.get("/v1/me").await.body["data"]["organization"]["id"].clone();
    let lands = async || {
        let (eve, signed_in) = app.sign_in("eve@example.com").await;
        assert_eq!(signed_in.body["data"]["organizations"].as_array().unwrap().len(), 2);
        assert_eq!(signed_in.body["data"]["organization_id"], other, "{}", signed_in.text);
        eve
    };
    // It is where she accepted the invitation; and if that were not known, the first that no provider put her in.
    lands().await;
    app.behind_its_back("UPDATE accounts SET home_org_id = NULL").await;
    let eve = lands().await;
    let picked = eve.request("GET", "/v1/me").header("x-tenant-id", theirs.as_str().unwrap());
    let picked = send(picked).await;
    assert_eq!(picked.body["data"]["organization"]["id"], theirs, "{}", picked.text);
    // A provider that is gone leaves its members as they are; her home is still where she came herself.
    let home = "UPDATE accounts SET home_org_id = members.org_id FROM members
        WHERE members.user_id = accounts.user_id AND members.managed_by IS NULL";
    app.behind_its_back(home).await;
    assert_eq!(ann.delete(&format!("/v1/identity-providers/{id}")).await.status, 204);
    lands().await;
}

#[actix_web::test]
async fn settings_are_checked_and_may_not_give_more_than_their_maker_has() {
    let app = TestApp::start().await;
    let (ann, _, id) = stage(&app).await;
    for (field, value) in [
        ("name", json!("")),
        ("issuer", json!("http://id.example.com")),
        ("jwks_url", json!("https://user@id.example.com/keys")),
        ("audience", json!("")),
        ("default_role", json!("owner")),
        ("default_role", json!("king")),
        ("default_role", json!("role_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
        ("verify", json!("yes")),
        ("unknown", json!(1)),
    ] {
        let mut bad = settings();
        bad["name"] = json!("Second");
        bad["audience"] = json!("second");
        bad[field] = value;
        let answer = ann.post("/v1/identity-providers", bad).await;
        assert_eq!(answer.error(), (422, "validation_error"), "{field}: {}", answer.text);
    }
    assert_eq!(ann.post("/v1/identity-providers", settings()).await.error(), (409, "conflict"));
    let mut unreadable = settings();
    (unreadable["verify"], unreadable["jwks_url"]) =
        (json!(true), json!("https://id.example.com/no"));
    let path = format!("/v1/identity-providers/{id}");
    let answer = send(ann.request("PUT", &path).json(&unreadable)).await;
    assert_eq!(answer.error(), (502, "connection_error"));
    let scopes = json!({ "name": "narrow", "scopes": ["admin", "queries:read"] });
    let made = ann.post("/v1/api-keys", scopes).await;
    let narrow = app.somebody(made.body["data"]["key"].as_str().unwrap());
    let mut more = settings();
    more["name"] = json!("More");
    more["audience"] = json!("more");
    let answer = narrow.post("/v1/identity-providers", more).await;
    assert_eq!(answer.error(), (403, "authorization_error"));
    assert_eq!(answer.body["error"]["details"]["reason"], "role_escalation_denied");
}

/// An admin can make a provider that says anything, so its word is worth no more than an admin's.
#[actix_web::test]
async fn a_provider_neither_speaks_for_the_owner_nor_raises_anybody() {
    let app = TestApp::start().await;
    let (ann, provider, _) = stage(&app).await;
    let owner = provider.token(&app, "owner@acme", &["data"]);
    let at = app.now().as_second();
    let vouched = |subject: &str, email: &str| {
        provider.sign(&json!({
            "iss": "https://id.example.com", "aud": "plinth", "sub": subject, "iat": at, "exp": at + 600,
            "email": email, "groups": ["data"],
        }))
    };
    assert_eq!(app.somebody(&owner).get("/v1/queries").await.status, 401, "no address");
    let as_owner = app.somebody(&vouched("boss", "owner@acme.example.com"));
    assert_eq!(as_owner.get("/v1/queries").await.status, 401);
    // Who was made an admin by people is an editor by the provider's word.
    let eve = app.somebody(&vouched("eve", "eve@example.com"));
    assert_eq!(eve.get("/v1/queries").await.status, 200);
    app.behind_its_back(
        "UPDATE members SET role = 'admin', managed_by = NULL WHERE managed_by IS NOT NULL",
    )
    .await;
    app.clock.advance(SignedDuration::from_secs(2));
    assert_eq!(eve.get("/v1/connections").await.status, 200);
    assert_eq!(eve.get("/v1/audit").await.error(), (403, "authorization_error"));
    let key = eve.post("/v1/api-keys", json!({ "name": "stays", "scopes": ["full"] })).await;
    assert_eq!(key.status, 403, "a key would outlive the provider: {}", key.text);
    assert_eq!(ann.get("/v1/audit").await.status, 200);
}

/// Another organization that names the same issuer and audience does not get in the way of those who are known.
#[actix_web::test]
async fn whom_one_organization_knows_another_one_cannot_claim() {
    let app = TestApp::start().await;
    let (_, provider, _) = stage(&app).await;
    let eve = app.somebody(&provider.token(&app, "eve", &["data"]));
    assert_eq!(eve.get("/v1/queries").await.status, 200);
    let mallory = app.owner_of("Mallory").await;
    assert_eq!(mallory.post("/v1/identity-providers", settings()).await.status, 201);
    app.clock.advance(SignedDuration::from_secs(2));
    assert_eq!(eve.get("/v1/queries").await.status, 200);
    let new = app.somebody(&provider.token(&app, "new", &["data"]));
    assert_eq!(
        new.get("/v1/queries").await.error(),
        (422, "validation_error"),
        "either may be meant"
    );
}
