use serde_json::json;

use crate::app::{Answer, TestApp};

fn reason(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.body["error"]["details"]["reason"].as_str().unwrap_or_default())
}

#[actix_web::test]
async fn a_role_of_its_own_allows_exactly_its_scopes_and_changes_for_all_who_hold_it() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.owner_of("Acme").await, app.owner_of("Other").await);
    let body = json!({ "name": "Analyst", "description": "Asks.", "scopes": ["queries:read", "connections:read"] });
    let made = ann.post("/v1/roles", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let id = made.body["data"]["id"].as_str().unwrap();
    let path = format!("/v1/roles/{id}");
    let (ben, bens) = app.member(&ann, "ben@example.com", id).await;
    for (route, expected) in
        [("/v1/connections", 200), ("/v1/queries", 200), ("/v1/roles", 403), ("/v1/audit", 403)]
    {
        assert_eq!(ben.get(route).await.status, expected, "{route}");
    }
    let missing = "q_018a3a2b4c5d7e6f8091a2b3c4d5e6f7";
    let asks =
        json!({ "connection_id": "conn_018a3a2b4c5d7e6f8091a2b3c4d5e6f7", "sql": "SELECT 1" });
    assert_eq!(
        ben.post("/v1/queries", asks.clone()).await.error().0,
        404,
        "may ask; no such connection"
    );
    assert_eq!(ben.delete(&format!("/v1/queries/{missing}")).await.error().0, 403);

    let narrowed = json!({ "scopes": ["queries:read"], "saved_queries_only": true });
    assert_eq!(ann.patch(&path, narrowed).await.status, 200);
    assert_eq!(ben.get("/v1/connections").await.status, 403);
    assert_eq!(ben.post("/v1/queries", asks).await.error().0, 403, "saved ones only");

    assert_eq!(reason(&ann.delete(&path).await), (409, "role_held"));
    let taken = ann.post("/v1/roles", json!({ "name": "ANALYST", "scopes": ["admin"] })).await;
    assert_eq!(reason(&taken), (409, "name_taken"));
    assert_eq!(
        bob.post("/v1/roles", json!({ "name": "Analyst", "scopes": ["admin"] })).await.status,
        201
    );
    for answer in [bob.get(&path).await, bob.patch(&path, json!({})).await, bob.delete(&path).await]
    {
        assert_eq!(answer.error(), (404, "not_found"), "{}", answer.text);
    }
    let theirs =
        bob.post("/v1/team/members", json!({ "email": "x@example.com", "role": id })).await;
    assert_eq!(theirs.error(), (422, "validation_error"), "{}", theirs.text);

    assert_eq!(
        ann.patch(&format!("/v1/team/members/{bens}"), json!({ "role": "viewer" })).await.status,
        200
    );
    let invited =
        ann.post("/v1/team/members", json!({ "email": "x@example.com", "role": id })).await;
    assert_eq!(reason(&ann.delete(&path).await), (409, "role_held"), "by an invitation");
    let invitation =
        format!("/v1/team/invitations/{}", invited.body["data"]["id"].as_str().unwrap());
    assert_eq!(ann.delete(&invitation).await.status, 204);
    assert_eq!(ann.delete(&path).await.status, 204);
    assert_eq!(ann.get(&path).await.error(), (404, "not_found"));
}

#[actix_web::test]
async fn the_built_in_roles_are_listed_and_stay_as_they_are() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    ann.post("/v1/roles", json!({ "name": "zebra", "scopes": ["admin"] })).await;
    ann.post("/v1/roles", json!({ "name": "Ant", "scopes": ["admin"] })).await;
    let listed = ann.get("/v1/roles").await;
    let names: Vec<_> = listed.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["owner", "admin", "editor", "viewer", "Ant", "zebra"]);
    assert_eq!(ann.get("/v1/roles/viewer").await.body["data"], listed.body["data"][3]);
    assert_eq!(ann.get("/v1/roles/king").await.error(), (404, "not_found"));
    assert_eq!(
        ann.patch("/v1/roles/viewer", json!({ "name": "x" })).await.error(),
        (404, "not_found")
    );
    assert_eq!(ann.delete("/v1/roles/owner").await.error(), (404, "not_found"));
    for bad in [
        json!({ "name": "Admin", "scopes": ["admin"] }),
        json!({ "name": "X", "scopes": [] }),
        json!({ "name": "X", "scopes": ["everything"] }),
        json!({ "name": "X", "scopes": ["admin"], "description": "x".repeat(501) }),
        json!({ "name": "X", "scopes": ["admin"], "color": "red" }),
    ] {
        assert_eq!(ann.post("/v1/roles", bad.clone()).await.error().0, 422, "{bad}");
    }
}
