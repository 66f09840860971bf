use serde_json::{Value, json};

use crate::app::{TestApp, address, send};
use crate::control_plane::{Node, is_psql_here, new_project, psql};

async fn organization(person: &crate::app::Person) -> String {
    let all = person.get("/api/v2/users/me/organizations").await.is(200);
    all["organizations"][0]["id"].as_str().unwrap().to_owned()
}

#[actix_web::test]
async fn people_and_keys_are_those_of_the_team() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.owner_with_password("Acme").await, app.owner_of("Other").await);
    let (acme, other) = (organization(&ann).await, organization(&bob).await);
    let base = format!("/api/v2/organizations/{acme}");

    let invited = json!({ "invitations": [{ "email": "eve@example.com", "role": "viewer" }, { "email": "joe@example.com", "role": "member" }] });
    let made = ann.post(&format!("{base}/invitations"), invited.clone()).await.is(200);
    assert_eq!(made["invitations"][0]["role"], "viewer");
    assert_eq!(made["invitations"][1]["role"], "editor");
    let listed = ann.get(&format!("{base}/invitations")).await.is(200);
    assert_eq!(listed["invitations"].as_array().unwrap().len(), 2);
    let again = ann.post(&format!("{base}/invitations"), invited).await;
    assert_eq!(again.status, 409, "{}", again.text);
    for wrong in ["collaborator", "owner", "x"] {
        let body = json!({ "invitations": [{ "email": "max@example.com", "role": wrong }] });
        ann.post(&format!("{base}/invitations"), body).await.is(400);
    }

    let (mia, _) = app.member(&ann, "mia@example.com", "viewer").await;
    let all = ann.get(&format!("{base}/members?sort_by=email")).await.is(200);
    let emails: Vec<_> =
        all["members"].as_array().unwrap().iter().map(|it| &it["user"]["email"]).collect();
    assert_eq!(emails, [&json!("mia@example.com"), &json!(address("Acme"))]);
    let (member, owner) =
        (all["members"][0]["member"].clone(), all["members"][1]["member"].clone());
    assert_eq!((&member["role"], &owner["role"]), (&json!("viewer"), &json!("admin")));
    let page = ann.get(&format!("{base}/members?sort_by=email&limit=1")).await.is(200);
    let next = page["pagination"]["next"].as_str().unwrap();
    let page =
        ann.get(&format!("{base}/members?sort_by=email&limit=1&cursor={next}")).await.is(200);
    assert_eq!(page["members"][0]["member"], owner);
    let one = format!("{base}/members/{}", member["id"].as_str().unwrap());
    assert_eq!(ann.get(&one).await.is(200), member);
    assert_eq!(ann.patch(&one, json!({ "role": "editor" })).await.is(200)["role"], "editor");
    let top = format!("{base}/members/{}", owner["id"].as_str().unwrap());
    assert!(!ann.patch(&top, json!({ "role": "viewer" })).await.is_success(), "the owner stays");
    // Whoever may not read the team may not read it here either.
    assert_eq!(mia.get(&format!("{base}/members")).await.status, 403);
    assert_eq!(mia.get(&format!("{base}/api_keys")).await.status, 403);

    // Keys have numbers; their secrets are told once.
    let made = ann.post("/api/v2/api_keys", json!({ "key_name": "deployment" })).await.is(200);
    let (number, secret) = (made["id"].as_i64().unwrap(), made["key"].as_str().unwrap());
    assert_eq!(app.somebody(secret).get("/api/v2/users/me").await.status, 200);
    let keys = ann.get("/api/v2/api_keys").await.is(200);
    let found = keys.as_array().unwrap().iter().find(|it| it["id"] == number).unwrap().clone();
    assert_eq!(
        (&found["name"], &found["created_by"]["name"]),
        (&json!("deployment"), &json!(address("Acme")))
    );
    assert!(!keys.to_string().contains(secret));
    let body = json!({ "key_name": "narrow", "project_id": "some-shop-1" });
    assert_eq!(
        ann.post("/api/v2/api_keys", body.clone()).await.status,
        400,
        "not wider than asked"
    );
    assert_eq!(ann.post(&format!("{base}/api_keys"), body).await.status, 404, "no such project");
    let shared =
        ann.post(&format!("{base}/api_keys"), json!({ "key_name": "shared" })).await.is(200);
    let shared = shared["id"].as_i64().unwrap();
    assert_eq!(ann.delete(&format!("{base}/api_keys/{shared}")).await.is(200)["revoked"], true);
    assert_eq!(ann.delete(&format!("{base}/api_keys/{shared}")).await.status, 404);
    assert_eq!(bob.delete(&format!("/api/v2/api_keys/{number}")).await.status, 404);
    assert_eq!(ann.delete(&format!("/api/v2/api_keys/{number}")).await.is(200)["revoked"], true);
    assert_eq!(app.somebody(secret).get("/api/v2/users/me").await.status, 401);

    // Another organization's look like nothing.
    let theirs = format!("/api/v2/organizations/{other}");
    for (method, path) in [
        ("GET", theirs.clone()),
        ("GET", format!("{theirs}/members")),
        ("GET", format!("{base}/members")),
        ("GET", one.clone()),
        ("PATCH", one.clone()),
        ("DELETE", one.clone()),
        ("GET", format!("{base}/invitations")),
        ("POST", format!("{base}/invitations")),
        ("GET", format!("{base}/api_keys")),
        ("POST", format!("{base}/api_keys")),
        ("DELETE", format!("{base}/api_keys/{number}")),
    ] {
        let caller = if path.starts_with(&theirs) { &ann } else { &bob };
        assert_eq!(send(caller.request(method, &path)).await.status, 404, "{method} {path}");
    }
    ann.delete(&one).await.is(200);
    ann.get(&one).await.is(404);
}

#[actix_web::test]
async fn a_project_goes_to_another_organization_as_it_is() {
    if !is_psql_here() {
        return;
    }
    let app = TestApp::start().await;
    let node = Node::start(&app, 2).await;
    let (ann, bob) = (app.owner_with_password("Acme").await, app.owner_of("Other").await);
    let eve = app.owner_of("Third").await;
    let (acme, other) = (organization(&ann).await, organization(&bob).await);
    let made = new_project(&ann, "shop").await;
    let project = made["project"]["id"].as_str().unwrap();
    let branch = made["branch"]["id"].as_str().unwrap();
    let uri = made["connection_uris"][0]["connection_uri"].as_str().unwrap();
    psql(uri, "CREATE TABLE t AS SELECT generate_series(1, 10) AS n").await.unwrap();
    let base = format!("/api/v2/projects/{project}");
    let body = json!({ "branch": { "name": "gone" } });
    let gone = ann.post(&format!("{base}/branches"), body).await.is(201);
    let gone = gone["branch"]["id"].as_str().unwrap();
    ann.delete(&format!("{base}/branches/{gone}")).await.is(200);

    let offers = format!("{base}/transfer_requests");
    assert_eq!(bob.post(&offers, json!({})).await.status, 404);
    ann.post(&offers, json!({ "ttl_seconds": 0 })).await.is(400);
    let offer = ann.post(&offers, json!({ "ttl_seconds": 60 })).await.is(201);
    let take = format!("{offers}/{}", offer["id"].as_str().unwrap());
    let put = async |person: &crate::app::Person, path: &str, body: Value| {
        send(person.request("PUT", path).json(&body)).await
    };
    assert_eq!(put(&bob, &take, json!({ "org_id": acme })).await.status, 404, "not bob's");
    assert_eq!(put(&ann, &take, json!({})).await.status, 400, "hers already");
    assert_eq!(put(&bob, &take, json!({ "org_id": other })).await.status, 204);
    assert_eq!(put(&eve, &take, json!({})).await.status, 404, "once");
    assert_eq!(ann.get(&base).await.status, 404);
    assert_eq!(ann.get("/api/v2/projects").await.body["projects"], json!([]));
    let theirs = bob.get(&base).await.is(200);
    assert_eq!(theirs["project"]["org_id"], other.as_str());

    // Address and password are as they were, and told to whose it is now; also of what can be recovered.
    assert_eq!(psql(uri, "SELECT count(*) FROM t").await.unwrap(), "10");
    let query = "database_name=neondb&role_name=neondb_owner";
    assert_eq!(bob.get(&format!("{base}/connection_uri?{query}")).await.is(200)["uri"], uri);
    bob.post(&format!("{base}/branches/{gone}/recover"), json!({})).await.is(200);
    let role = format!("{base}/branches/{gone}/roles/neondb_owner/reveal_password");
    assert!(uri.contains(bob.get(&role).await.is(200)["password"].as_str().unwrap()));
    let told = bob.get(&format!("{base}/operations")).await.is(200);
    assert!(told["operations"].as_array().unwrap().len() > 3, "its past comes with it");
    let endpoint = made["endpoints"][0]["id"].as_str().unwrap();
    bob.post(&format!("{base}/endpoints/{endpoint}/suspend"), json!({})).await.is(200);
    assert_eq!(psql(uri, "SELECT 1").await.unwrap(), "1");
    let body = json!({ "role": { "name": "more" } });
    bob.post(&format!("{base}/branches/{branch}/roles"), body).await.is(201);

    // By who is in both, signed in; not by a key, which is one organization's.
    let second = new_project(&ann, "second").await;
    let second = second["project"]["id"].as_str().unwrap();
    let signed_in = ann.sign_in(&address("Acme")).await.0;
    let spare = signed_in.post("/v1/organizations", json!({ "name": "Spare" })).await.is(201);
    let spare = spare["data"]["id"].as_str().unwrap();
    let transfer = format!("/api/v2/organizations/{acme}/projects/transfer");
    let to = |org: &str| json!({ "destination_org_id": org, "project_ids": [second] });
    assert_eq!(ann.post(&transfer, to(spare)).await.status, 403, "with a key");
    assert_eq!(signed_in.post(&transfer, to(&other)).await.status, 404, "not hers");
    let missing = json!({ "destination_org_id": spare, "project_ids": [second, project] });
    assert_eq!(
        signed_in.post(&transfer, missing).await.status,
        404,
        "one is not there: nothing goes"
    );
    assert_eq!(ann.get(&format!("/api/v2/projects/{second}")).await.status, 200);
    signed_in.post(&transfer, to(spare)).await.is(200);
    assert_eq!(ann.get(&format!("/api/v2/projects/{second}")).await.status, 404);
    let request = signed_in.request("GET", &format!("/api/v2/projects/{second}"));
    assert_eq!(send(request.header("x-tenant-id", spare)).await.status, 200);

    // The organization's own database stays.
    let own = ann.get("/v1/misc/db").await.is(200);
    let own = format!("/api/v2/projects/{}/transfer_requests", own["id"].as_str().unwrap());
    assert_eq!(ann.post(&own, json!({})).await.is(422)["code"], "OWN_DATABASE");
    node.end().await;
}

#[actix_web::test]
async fn a_project_is_shared_with_an_address_and_nothing_more_of_the_organization() {
    let app = TestApp::start().await;
    let node = Node::start(&app, 1).await;
    let (ann, bob) = (app.owner_of("Acme").await, app.owner_with_password("Other").await);
    let eve = app.owner_of("Third").await;
    let (shop, private) = (new_project(&ann, "shop").await, new_project(&ann, "private").await);
    let id = |it: &Value| it["project"]["id"].as_str().unwrap().to_owned();
    let (shop_id, private) = (id(&shop), id(&private));
    let branch = shop["branch"]["id"].as_str().unwrap();
    let base = format!("/api/v2/projects/{shop_id}");
    let permissions = format!("{base}/permissions");
    assert_eq!(bob.get(&base).await.status, 404);
    let body = json!({ "email": address("Other").to_uppercase() });
    let given = ann.post(&permissions, body.clone()).await.is(200);
    assert_eq!(given["granted_to_email"], address("Other"));
    assert_eq!(ann.post(&permissions, body).await.is(409)["code"], "PERMISSION_ALREADY_EXISTS");
    let listed = ann.get(&permissions).await.is(200);
    assert_eq!(listed["project_permissions"], json!([given]));

    let shared = bob.get("/api/v2/projects/shared").await.is(200);
    assert_eq!(shared["projects"][0]["id"], shop_id.as_str());
    assert_eq!(bob.get("/api/v2/projects").await.body["projects"], json!([]));
    bob.get(&base).await.is(200);
    let role = json!({ "role": { "name": "bobs" } });
    let role = bob.post(&format!("{base}/branches/{branch}/roles"), role).await.is(201);
    let reveal = format!("{base}/branches/{branch}/roles/bobs/reveal_password");
    let told = bob.get(&reveal).await.is(200)["password"].clone();
    assert_eq!(told, role["role"]["password"]);
    assert_eq!(ann.get(&reveal).await.is(200)["password"], told, "sealed for whose project it is");
    let operations = bob.get(&format!("{base}/operations")).await.is(200);
    let operation = operations["operations"][0]["id"].as_str().unwrap();
    bob.get(&format!("{base}/operations/{operation}")).await.is(200);
    let branches = format!("{base}/branches");
    let dev = bob.post(&branches, json!({ "branch": { "name": "bobs" } })).await.is(201);
    let dev = format!("{branches}/{}", dev["branch"]["id"].as_str().unwrap());
    bob.delete(&dev).await.is(200);
    bob.post(&format!("{dev}/recover"), json!({})).await.is(200);
    // What he did stands in the trail of whose project it is, and not in his own organization's.
    let trail = ann.get("/v1/audit?limit=100").await.is(200);
    let has = |trail: &Value| {
        let all = trail["data"].as_array().unwrap();
        all.iter().any(|it| it["action"] == "role.created")
    };
    assert!(has(&trail) && !has(&bob.get("/v1/audit?limit=100").await.is(200)));

    // Neither given further, nor deleted, nor is anything else seen.
    for (method, path) in [
        ("DELETE", base.clone()),
        ("POST", permissions.clone()),
        ("GET", permissions.clone()),
        ("POST", format!("{base}/transfer_requests")),
        ("GET", format!("/api/v2/projects/{private}")),
    ] {
        let body = json!({ "email": "max@example.com" });
        let refused = send(bob.request(method, &path).json(&body)).await;
        assert_eq!(refused.status, 404, "{method} {path}");
    }
    // With what he may in his own organization: a key that reads reads.
    let key = json!({ "name": "reads", "scopes": ["projects:read"] });
    let key = bob.post("/v1/api-keys", key).await.is(201);
    let reader = app.somebody(key["data"]["key"].as_str().unwrap());
    reader.get(&base).await.is(200);
    assert_eq!(reader.get(&reveal).await.status, 403);
    assert_eq!(reader.delete(&dev).await.status, 403);
    assert_eq!(eve.get(&base).await.status, 404);

    // An address alone is nobody: hers was never proven by choosing a password.
    let body = json!({ "email": address("Third") });
    ann.post(&permissions, body).await.is(200);
    assert_eq!(eve.get(&base).await.status, 404);

    let one = format!("{permissions}/{}", given["id"].as_str().unwrap());
    assert_eq!(eve.delete(&one).await.status, 404);
    assert!(ann.delete(&one).await.is(200)["revoked_at"].is_string());
    assert_eq!(ann.delete(&one).await.status, 404);
    assert_eq!(bob.get(&base).await.status, 404, "over");
    assert_eq!(bob.get("/api/v2/projects/shared").await.is(200)["projects"], json!([]));
    node.end().await;
}

#[actix_web::test]
async fn key_sets_of_a_project_are_read_before_they_are_kept() {
    const KEYS: &str = "https://id.example.com/keys";
    let app = TestApp::start().await;
    let node = Node::start(&app, 1).await;
    let (ann, bob) = (app.owner_of("Acme").await, app.owner_of("Other").await);
    let shop = new_project(&ann, "shop").await;
    let (id, branch) = (shop["project"]["id"].clone(), shop["branch"]["id"].clone());
    let base = format!("/api/v2/projects/{}/jwks", id.as_str().unwrap());
    app.documents.put(KEYS, json!({ "keys": [{ "kty": "OKP" }] }));
    app.documents.put("https://id.example.com/none", json!({ "issuer": "x" }));
    let sent = |url: &str| json!({ "jwks_url": url, "provider_name": "Example" });
    for (field, value) in [
        ("jwks_url", json!("http://id.example.com/keys")),
        ("jwks_url", json!("https://id.example.com/none")),
        ("jwks_url", json!("https://id.example.com/missing")),
        ("provider_name", json!("")),
        ("jwt_audience", json!("a\nb")),
        ("role_names", json!(["nobody"])),
    ] {
        let mut body = sent(KEYS);
        body[field] = value;
        let refused = ann.post(&base, body).await.is(400);
        assert!(refused["message"].as_str().unwrap().starts_with(field), "{refused}");
    }
    let made = ann.post(&base, sent(KEYS)).await.is(201)["jwks"].clone();
    assert_eq!((&made["jwks_url"], &made["project_id"]), (&json!(KEYS), &id));
    assert_eq!(ann.post(&base, sent(KEYS)).await.is(409)["code"], "JWKS_ALREADY_EXISTS");
    let mut of_branch = sent(KEYS);
    of_branch["branch_id"] = branch.clone();
    of_branch["jwt_audience"] = json!("shop");
    of_branch["role_names"] = json!(["neondb_owner"]);
    let other = ann.post(&base, of_branch).await.is(201)["jwks"].clone();
    assert_eq!((&other["branch_id"], &other["jwt_audience"]), (&branch, &json!("shop")));
    assert_eq!(ann.get(&base).await.is(200)["jwks"], json!([made, other]));
    let one = format!("{base}/{}", made["id"].as_str().unwrap());
    for refused in [bob.get(&base).await, bob.post(&base, sent(KEYS)).await, bob.delete(&one).await]
    {
        assert_eq!(refused.status, 404);
    }
    assert_eq!(ann.delete(&one).await.is(200), made);
    assert_eq!(ann.delete(&one).await.status, 404);
    assert_eq!(ann.get(&base).await.is(200)["jwks"], json!([other]));
    node.end().await;
}
