use jiff::SignedDuration;
use serde_json::json;

use crate::app::{Answer, Person, TestApp, address, send};

fn reason(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.body["error"]["details"]["reason"].as_str().unwrap_or_default())
}

/// Signed in, as the owner of an organization of that name.
async fn owner(app: &TestApp, organization: &str) -> (Person, Person, String) {
    let by_key = app.owner_with_password(organization).await;
    let (signed_in, _) = app.sign_in(&address(organization)).await;
    let me = signed_in.get("/v1/me").await;
    let id = me.body["data"]["organization"]["id"].as_str().unwrap().to_owned();
    (by_key, signed_in, id)
}

async fn within(person: &Person, org: &str, method: &str, path: &str) -> Answer {
    send(person.request(method, path).header("x-tenant-id", org)).await
}

#[actix_web::test]
async fn whoever_signed_in_makes_an_organization_and_works_in_it_at_once() {
    let app = TestApp::start().await;
    let (_, ann, first) = owner(&app, "Acme").await;
    app.clock.advance(SignedDuration::from_secs(1));
    let body = json!({ "name": "Second", "time_zone": "europe/berlin" });
    let made = ann.post("/v1/organizations", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.body["data"]["time_zone"], "Europe/Berlin");
    assert_eq!(made.body["data"]["plan"]["name"], "self-hosted");
    let second = made.body["data"]["id"].as_str().unwrap();
    assert_eq!(within(&ann, second, "GET", "/v1/api-keys").await.body["data"], json!([]));
    let listed = ann.get("/v1/organizations").await;
    let listed = listed.body["data"].as_array().unwrap();
    assert_eq!(
        listed.iter().map(|it| &it["id"]).collect::<Vec<_>>(),
        [&json!(first), &json!(second)]
    );
    let taken = ann.post("/v1/organizations", json!({ "name": "Acme" })).await;
    assert_eq!(reason(&taken), (409, "name_taken"));
    let path = format!("/v1/organizations/{second}");
    assert_eq!(ann.get(&path).await.status, 404, "the call is for the other");
    assert_eq!(within(&ann, second, "GET", &path).await.body["data"], made.body["data"]);
}

#[actix_web::test]
async fn name_time_zone_and_settings_change_here_at_once() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let id =
        ann.get("/v1/me").await.body["data"]["organization"]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/organizations/{id}");
    let (ben, _) = app.member(&ann, "ben@example.com", "editor").await;
    assert_eq!(ben.patch(&path, json!({ "name": "Ben's" })).await.error().0, 403);
    assert_eq!(
        ben.post("/v1/api-keys", json!({ "name": "k", "scopes": ["full"] })).await.status,
        201
    );
    let change = json!({
        "name": " Acme & Co ", "time_zone": "America/New_York", "settings": { "member_keys": false },
    });
    let changed = ann.patch(&path, change).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(changed.body["data"]["name"], "Acme & Co");
    assert_eq!(ann.get(&path).await.body["data"], changed.body["data"]);
    let refused = ben.post("/v1/api-keys", json!({ "name": "k", "scopes": ["full"] })).await;
    assert_eq!(reason(&refused), (403, "admins_only"));
    assert_eq!(
        ann.post("/v1/api-keys", json!({ "name": "k", "scopes": ["full"] })).await.status,
        201
    );
    for bad in [
        json!({ "time_zone": "Mars/Olympus" }),
        json!({ "name": "" }),
        json!({ "settings": { "colour": "red" } }),
        json!({ "settings": [null, null] }),
    ] {
        assert_eq!(ann.patch(&path, bad.clone()).await.error().0, 422, "{bad}");
    }
}

#[actix_web::test]
async fn an_organization_is_handed_over_and_both_are_told() {
    let app = TestApp::start().await;
    let (key, ann, id) = owner(&app, "Acme").await;
    let (ben, bens) = app.member(&key, "ben@example.com", "viewer").await;
    let path = format!("/v1/organizations/{id}/transfer");
    let body = json!({ "member_id": bens });
    assert_eq!(reason(&key.post(&path, body.clone()).await), (403, "sign_in_required"));
    assert_eq!(reason(&ben.post(&path, body.clone()).await), (403, "owner_only"));
    let done = ann.post(&path, body.clone()).await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert_eq!(
        (&done.body["data"]["id"], &done.body["data"]["role"]),
        (&json!(bens), &json!("owner"))
    );
    assert_eq!(reason(&ann.post(&path, body.clone()).await), (403, "owner_only"), "not any more");
    assert_eq!(ann.get("/v1/audit").await.status, 200, "an admin now");
    assert_eq!(reason(&ben.post(&path, body).await), (409, "already_the_owner"));
    assert_eq!(ann.delete("/v1/team/members/me").await.status, 204, "now she can leave");
    let letters = app.letters().await;
    let mut told: Vec<_> = letters
        .iter()
        .filter(|it| it["letter"]["kind"] == "ownership_transferred")
        .map(|it| it["to"]["address"].as_str().unwrap())
        .collect();
    // Both are written in one moment.
    told.sort_unstable();
    assert_eq!(told, ["ben@example.com", address("Acme").as_str()]);
}

#[actix_web::test]
async fn two_who_are_made_owners_at_once_leave_one_owner() {
    let app = TestApp::start().await;
    let (key, ann, id) = owner(&app, "Acme").await;
    let (_, bens) = app.member(&key, "ben@example.com", "viewer").await;
    let (_, eves) = app.member(&key, "eve@example.com", "viewer").await;
    let path = format!("/v1/organizations/{id}/transfer");
    let (a, b) = tokio::join!(
        ann.post(&path, json!({ "member_id": bens })),
        ann.post(&path, json!({ "member_id": eves }))
    );
    let mut statuses = [a.status, b.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 403], "{} {}", a.text, b.text);
    let members = key.get("/v1/team/members").await;
    let owners = members.body["data"].as_array().unwrap().iter().filter(|it| it["role"] == "owner");
    assert_eq!(owners.count(), 1);
}

#[actix_web::test]
async fn a_deleted_organization_answers_nothing_until_it_is_restored_or_gone() {
    let app = TestApp::start().await;
    let (key, ann, id) = owner(&app, "Acme").await;
    let other = app.owner_of("Other").await;
    let (ben, _) = app.member(&key, "ben@example.com", "admin").await;
    let path = format!("/v1/organizations/{id}");
    let confirmed = format!("{path}?confirm=Acme");
    assert_eq!(reason(&key.delete(&confirmed).await), (403, "sign_in_required"));
    assert_eq!(reason(&ben.delete(&confirmed).await), (403, "owner_only"));
    assert_eq!(ann.delete(&path).await.error().0, 422);
    assert_eq!(ann.delete(&format!("{path}?confirm=Acne")).await.error().0, 422);
    assert_eq!(
        reason(&ann.post(&format!("{path}/restore"), json!({})).await),
        (409, "not_deleting")
    );

    let deleted = ann.delete(&confirmed).await;
    assert_eq!(deleted.status, 202, "{}", deleted.text);
    assert_eq!(deleted.body["data"]["deleting_at"], "2026-03-18T05:06:07Z");
    for person in [&key, &ann, &ben] {
        for route in ["/v1/queries", "/v1/team/members", "/v1/audit"] {
            let answer = person.get(route).await;
            assert_eq!(reason(&answer), (409, "organization_deleting"), "{route}: {}", answer.text);
        }
    }
    assert_eq!(ann.get(&path).await.body["data"], deleted.body["data"], "but what it is");
    assert_eq!(ann.get("/v1/organizations").await.status, 200);
    assert_eq!(app.services.organizations.sweep().await.unwrap(), 0, "not yet");
    assert_eq!(reason(&ben.post(&format!("{path}/restore"), json!({})).await), (403, "owner_only"));
    assert_eq!(ann.post(&format!("{path}/restore"), json!({})).await.status, 200);
    assert_eq!(key.get("/v1/queries").await.status, 200);

    assert_eq!(ann.delete(&confirmed).await.status, 202);
    let letters = app.letters().await;
    let told = letters.iter().filter(|it| it["letter"]["kind"] == "organization_deletion");
    assert_eq!(told.count(), 2);
    app.clock.advance(SignedDuration::from_hours(24 * 14));
    assert_eq!(app.services.organizations.sweep().await.unwrap(), 1);
    assert_eq!(key.get("/v1/queries").await.error().0, 401, "its keys are gone");
    let (ann, _) = app.sign_in(&address("Acme")).await;
    assert_eq!(ann.get("/v1/organizations").await.body["data"], json!([]), "she is still there");
    assert_eq!(other.get("/v1/queries").await.status, 200, "and so are others");
    assert_eq!(ann.post("/v1/organizations", json!({ "name": "Acme" })).await.status, 201);
    for table in
        ["members WHERE role = 'admin'", "invitations", "api_keys WHERE name <> 'first key'"]
    {
        app.behind_its_back(&format!(
            "DO $$ BEGIN ASSERT NOT EXISTS (SELECT FROM {table}), 'something is left'; END $$"
        ))
        .await;
    }
}

#[actix_web::test]
async fn keys_are_renamed_limited_and_read_by_whom_they_belong_to() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let (ben, _) = app.member(&ann, "ben@example.com", "editor").await;
    let body = json!({ "name": "mine", "scopes": ["queries:read"], "rate_limit_per_minute": 5 });
    let made = ben.post("/v1/api-keys", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let bens_key = app.somebody(made.body["data"]["key"].as_str().unwrap());
    let path = format!("/v1/api-keys/{}", made.body["data"]["id"].as_str().unwrap());
    let changed = ben
        .patch(
            &path,
            json!({ "name": "renamed", "rate_limit_per_minute": null, "rate_limit_per_day": 9 }),
        )
        .await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let read = ben.get(&path).await;
    assert_eq!(read.body["data"], changed.body["data"]);
    assert_eq!(
        (&read.body["data"]["name"], &read.body["data"]["rate_limit_per_day"]),
        (&json!("renamed"), &json!(9))
    );
    assert_eq!(read.body["data"]["rate_limit_per_minute"], json!(null));
    assert_eq!(ben.patch(&path, json!({ "rate_limit_per_day": 0 })).await.error().0, 422);
    assert_eq!(ben.patch(&path, json!({ "name": " " })).await.error().0, 422);

    let wider = ben.post("/v1/api-keys", json!({ "name": "w", "scopes": ["admin"] })).await;
    assert_eq!(reason(&wider), (403, "role_escalation_denied"));
    assert_eq!(bens_key.get("/v1/api-keys").await.error().0, 403, "a key makes no keys");
    let (eve, _) = app.member(&ann, "eve@example.com", "editor").await;
    for answer in [
        eve.get(&path).await,
        eve.patch(&path, json!({ "name": "eve's" })).await,
        eve.delete(&path).await,
    ] {
        assert_eq!(answer.error(), (404, "not_found"), "{}", answer.text);
    }
    assert_eq!(eve.get("/v1/api-keys").await.body["data"], json!([]));
    assert!(ann.get("/v1/api-keys").await.text.contains("renamed"), "an admin sees all");
    assert_eq!(ann.delete(&path).await.status, 204);
    assert_eq!(bens_key.get("/v1/queries").await.error().0, 401);
}
