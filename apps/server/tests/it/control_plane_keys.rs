use serde_json::{Value, json};

use crate::app::{TestApp, send};
use crate::control_plane::{Node, is_psql_here, new_project, psql};

fn text(it: &Value) -> String {
    it.as_str().unwrap().to_owned()
}

#[actix_web::test]
async fn a_key_for_one_project_reaches_that_and_nothing_else() {
    if !is_psql_here() {
        return;
    }
    let app = TestApp::start().await;
    let node = Node::start(&app, 0).await;
    let (ann, bob) = (app.owner_of("Acme").await, app.owner_of("Other").await);
    let org =
        text(&ann.get("/api/v2/users/me/organizations").await.is(200)["organizations"][0]["id"]);
    let (shop, other) = (new_project(&ann, "shop").await, new_project(&ann, "other").await);
    let theirs = new_project(&bob, "theirs").await;
    let id = |it: &Value| text(&it["project"]["id"]);
    let (shop_id, other_id, their_id) = (id(&shop), id(&other), id(&theirs));
    let keys = format!("/api/v2/organizations/{org}/api_keys");

    let body = json!({ "key_name": "shop only", "project_id": shop_id });
    let made = ann.post(&keys, body).await.is(200);
    assert_eq!(made["project_id"], shop_id);
    let listed = ann.get(&keys).await.is(200);
    let listed =
        listed.as_array().unwrap().iter().find(|it| it["id"] == made["id"]).unwrap().clone();
    assert_eq!(listed["project_id"], shop_id);
    let wrong = json!({ "key_name": "theirs", "project_id": their_id });
    assert_eq!(ann.post(&keys, wrong).await.status, 404);
    let narrow = app.somebody(made["key"].as_str().unwrap());

    // What is the project's, it may.
    let base = format!("/api/v2/projects/{shop_id}");
    assert_eq!(narrow.get(&base).await.is(200)["project"]["id"], shop_id);
    let branch = json!({ "branch": { "name": "dev" }, "endpoints": [{ "type": "read_write" }] });
    let branch = narrow.post(&format!("{base}/branches"), branch).await.is(201);
    let endpoint = text(&branch["endpoints"][0]["id"]);
    let role = "database_name=neondb&role_name=neondb_owner";
    let uri = narrow.get(&format!("{base}/connection_uri?{role}&endpoint_id={endpoint}")).await;
    let uri = text(&uri.is(200)["uri"]);
    assert_eq!(psql(&uri, "SELECT 1").await.as_deref(), Ok("1"));
    assert_eq!(uri, text(&branch["connection_uris"][0]["connection_uri"]), "the endpoint's branch");
    let main = text(&shop["branch"]["id"]);
    let crossed = format!("{base}/connection_uri?{role}&endpoint_id={endpoint}&branch_id={main}");
    assert_eq!(narrow.get(&crossed).await.status, 404, "an endpoint of another branch");
    let listed = narrow.get("/api/v2/projects?limit=100").await.is(200);
    let listed: Vec<_> =
        listed["projects"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
    assert_eq!(listed, [&json!(shop_id)]);
    let now = app.now();
    let frame = format!("from={now}&to={now}&granularity=daily");
    let used = narrow.get(&format!("/api/v2/consumption_history/projects?{frame}")).await.is(200);
    assert_eq!(used["projects"].as_array().unwrap().len(), 1);

    // Other projects are not there for it.
    for other in [&other_id, &their_id] {
        for path in ["", "/branches", "/endpoints", "/operations", "/permissions", "/jwks"] {
            let path = format!("/api/v2/projects/{other}{path}");
            assert_eq!(narrow.get(&path).await.status, 404, "{path}");
        }
        let used = format!("/api/v2/consumption_history/projects?{frame}&project_ids={other}");
        assert_eq!(narrow.get(&used).await.status, 404);
    }
    let dev = json!({ "branch": { "name": "dev" } });
    let elsewhere = format!("/api/v2/projects/{other_id}/branches");
    assert_eq!(narrow.post(&elsewhere, dev).await.status, 404);

    // Nor may it what is the organization's.
    for (method, path) in [
        ("POST", "/api/v2/projects".to_owned()),
        ("DELETE", base.clone()),
        ("POST", format!("{base}/recover")),
        ("POST", format!("{base}/permissions")),
        ("POST", format!("{base}/transfer_requests")),
        ("GET", keys.clone()),
        ("POST", keys.clone()),
        ("GET", format!("/api/v2/organizations/{org}/members")),
        ("GET", "/v1/misc/db".to_owned()),
        ("GET", "/v1/connections".to_owned()),
        ("GET", "/v1/queries".to_owned()),
        ("GET", "/v1/team/members".to_owned()),
        ("POST", "/v1/api-keys".to_owned()),
    ] {
        let request = narrow.request(method, &path);
        let body = if path.starts_with("/v1/") {
            json!({ "name": "k", "scopes": ["full"] })
        } else {
            json!({ "email": "x@example.com", "key_name": "k" })
        };
        let request = if method == "GET" { request } else { request.json(&body) };
        assert_eq!(send(request).await.status, 403, "{method} {path}");
    }
    assert_eq!(ann.get(&base).await.status, 200, "it is all there");

    // It goes with its end.
    let number = made["id"].as_i64().unwrap();
    assert_eq!(ann.delete(&format!("{keys}/{number}")).await.is(200)["project_id"], shop_id);
    assert_eq!(narrow.get(&base).await.status, 401);
    node.end().await;
}

#[actix_web::test]
async fn libraries_are_chosen_from_what_the_machine_has() {
    if !is_psql_here() {
        return;
    }
    let app = TestApp::start().await;
    let node = Node::start(&app, 1).await;
    let (ann, bob) = (app.owner_of("Acme").await, app.owner_of("Other").await);
    let shop = new_project(&ann, "shop").await;
    let base = format!("/api/v2/projects/{}", text(&shop["project"]["id"]));
    let uri = text(&shop["connection_uris"][0]["connection_uri"]);
    let available = format!("{base}/available_preload_libraries");
    assert_eq!(bob.get(&available).await.status, 404);
    let offered = ann.get(&available).await.is(200);
    let offered = offered["libraries"].as_array().unwrap();
    let find = |name: &str| offered.iter().find(|it| it["library_name"] == name);
    let statements = find("pg_stat_statements").expect("it comes with Postgres");
    assert!(text(&statements["version"]).starts_with("1."), "{statements}");
    assert!(find("passwordcheck").is_none(), "there, but nothing to choose");

    let asks = |names: Value| json!({ "project": { "settings": { "preload_libraries": { "enabled_libraries": names } } } });
    for no in [json!(["passwordcheck"]), json!(["../../tmp/x"]), json!(["timescaledb,evil"])] {
        let refused = ann.patch(&base, asks(no.clone())).await.is(400);
        assert!(text(&refused["message"]).contains("pg_stat_statements"), "{refused}");
        let refused = ann.post("/api/v2/projects", asks(no)).await;
        assert_eq!(refused.status, 400);
    }
    let counted = "SELECT count(*) > 0 FROM pg_stat_statements WHERE calls > 0";
    let refused = psql(&uri, counted).await.unwrap_err();
    assert!(refused.contains("does not exist"), "{refused}");

    // The running endpoint is started anew; what belongs to the library is in the database.
    let changed = ann.patch(&base, asks(json!(["pg_stat_statements"]))).await.is(200);
    let actions: Vec<_> =
        changed["operations"].as_array().unwrap().iter().map(|it| text(&it["action"])).collect();
    assert_eq!(actions, ["suspend_compute", "start_compute", "apply_config"]);
    assert_eq!(psql(&uri, counted).await.as_deref(), Ok("t"));
    // A new database has it too, a branch as well; a branch's server loads it.
    let branch = text(&shop["branch"]["id"]);
    let more = json!({ "database": { "name": "more", "owner_name": "neondb_owner" } });
    ann.post(&format!("{base}/branches/{branch}/databases"), more).await.is(201);
    assert_eq!(psql(&uri.replace("/neondb?", "/more?"), counted).await.as_deref(), Ok("t"));
    let dev = json!({ "branch": { "name": "dev" }, "endpoints": [{ "type": "read_write" }] });
    let dev = ann.post(&format!("{base}/branches"), dev).await.is(201);
    let dev = text(&dev["connection_uris"][0]["connection_uri"]);
    assert_eq!(psql(&dev, counted).await.as_deref(), Ok("t"));

    // Without a change nothing is started anew; taken away, it is loaded no more.
    let again = ann.patch(&base, asks(json!(["pg_stat_statements"]))).await.is(200);
    assert_eq!(again["operations"], json!([]));
    ann.patch(&base, asks(json!([]))).await.is(200);
    let refused = psql(&uri, counted).await.unwrap_err();
    assert!(refused.contains("must be loaded"), "{refused}");
    node.end().await;
}
