use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::app::{PASSWORD, Person, TestApp, address, send};
use crate::control_plane::{Node, is_psql_here, psql};
use crate::oauth::{browse, cookie, form, hidden};

/// A server that lets everybody in, gives tokens for every code, and has every project that it is asked for.
pub(crate) struct Stub {
    /// What comes before `/projects` there.
    pub(crate) base_url: String,
    /// Who gives tokens for it.
    pub(crate) issuer: String,
}

impl Stub {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let (base_url, issuer) = (format!("{origin}/api/v2"), origin.clone());
        actix_web::rt::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = Vec::new();
                let request = loop {
                    let mut piece = [0; 4096];
                    let length = stream.read(&mut piece).await.unwrap();
                    bytes.extend_from_slice(&piece[..length]);
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head.lines().find_map(|it| it.strip_prefix("content-length: "));
                    if body.len() >= length.map_or(0, |it| it.parse().unwrap()) {
                        break text;
                    }
                };
                let path = request.split(' ').nth(1).unwrap_or_default();
                let body = match path.rsplit_once("/projects/") {
                    Some((_, id)) => json!({ "project": { "id": id, "name": id } }),
                    None if path.starts_with("/.well-known/") => json!({
                        "issuer": origin,
                        "authorization_endpoint": format!("{origin}/authorize"),
                        "token_endpoint": format!("{origin}/token"),
                        "revocation_endpoint": format!("{origin}/revoke"),
                    }),
                    None if path == "/token" => json!({
                        "access_token": "a", "refresh_token": "r", "expires_in": 3600, "token_type": "Bearer",
                    }),
                    None => json!({ "id": "1", "email": "zoe@example.com" }),
                };
                let body = body.to_string();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { base_url, issuer }
    }
}

fn text(it: &Value) -> String {
    it.as_str().unwrap_or_else(|| panic!("{it} is no text")).to_owned()
}

/// A remote of that person at another server, with that key.
async fn remote(person: &Person, name: &str, there: &TestApp, key: &str) -> Value {
    let body = json!({ "name": name, "base_url": format!("{}/api/v2", there.url), "key": key });
    let made = person.post("/v1/remotes", body).await.is(201);
    assert!(!made.to_string().contains(key), "it is never readable: {made}");
    made["data"].clone()
}

#[actix_web::test]
async fn a_project_lives_at_another_server_and_is_used_like_one_of_here() {
    if !is_psql_here() {
        return;
    }
    // The other server is another Plinth: its own `/api/v2` is the API.
    let (there, here) = (TestApp::start().await, TestApp::start().await);
    let node = Node::start(&there, 4).await;
    let zoe = there.owner_of("Host").await;
    let (ann, bob) = (here.owner_of("Acme").await, here.owner_of("Other").await);
    let base_url = format!("{}/api/v2", there.url);
    let wrong = json!({ "name": "lab", "base_url": base_url, "key": "plinth_live_nobody" });
    let refused = ann.post("/v1/remotes", wrong).await;
    assert_eq!(refused.error(), (422, "validation_error"), "{}", refused.text);
    assert!(refused.body["error"]["details"]["key"].is_string(), "{}", refused.text);
    let lab = remote(&ann, "lab", &there, &zoe.key).await;
    assert_eq!(
        (&lab["region"], &lab["account"]),
        (&json!("neon:lab"), &json!("owner@host.example.com"))
    );
    let regions = ann.get("/api/v2/regions").await.is(200);
    assert_eq!(regions["regions"][1]["region_id"], "neon:lab");
    assert_eq!(bob.get("/api/v2/regions").await.is(200)["regions"].as_array().unwrap().len(), 1);

    let new = json!({ "project": { "name": "shop", "region_id": "neon:lab" } });
    let nowhere = bob.post("/api/v2/projects", new.clone()).await;
    assert_eq!(nowhere.status, 400, "{}", nowhere.text);
    let made = ann.post("/api/v2/projects", new).await.is(201);
    let me = text(&ann.get("/v1/me/access").await.body["data"]["organization_id"]);
    assert_eq!(
        (&made["project"]["org_id"], &made["project"]["remote"]),
        (&json!(me), &json!("lab"))
    );
    for operation in made["operations"].as_array().unwrap() {
        assert_eq!(operation["status"], "finished", "{operation}");
    }
    let id = text(&made["project"]["id"]);
    let uri = text(&made["connection_uris"][0]["connection_uri"]);
    assert_eq!(
        psql(&uri, "CREATE TABLE t AS SELECT 7 AS n; SELECT n FROM t").await.as_deref(),
        Ok("7")
    );
    assert_eq!(zoe.get(&format!("/api/v2/projects/{id}")).await.is(200)["project"]["name"], "shop");

    // It stands among the organization's own, and is nobody else's.
    let base = format!("/api/v2/projects/{id}");
    let listed = ann.get("/api/v2/projects?search=sho").await.is(200);
    assert_eq!(
        (&listed["projects"][0]["id"], &listed["projects"][0]["org_id"]),
        (&json!(id), &json!(me))
    );
    assert_eq!(bob.get("/api/v2/projects").await.body["projects"], json!([]));
    for path in [
        "",
        "/branches",
        "/operations",
        "/connection_uri?database_name=neondb&role_name=neondb_owner",
    ] {
        assert_eq!(ann.get(&format!("{base}{path}")).await.status, 200, "{path}");
        assert_eq!(bob.get(&format!("{base}{path}")).await.status, 404, "{path}");
    }
    assert_eq!(bob.delete(&base).await.status, 404);
    assert_eq!(bob.get(&format!("/v1/remotes/{}", text(&lab["id"]))).await.status, 404);

    works(&ann, &base, &made).await;
    rights(&here, &ann, &base, &me).await;

    // What is refused there is refused in its words, under our request's id.
    let twice = json!({ "branch": { "name": "dev" } });
    let again = ann.request("POST", &format!("{base}/branches")).header("x-request-id", "req-77");
    let again = send(again.json(&twice)).await.is(409);
    assert_eq!(
        (&again["code"], &again["request_id"]),
        (&json!("BRANCH_ALREADY_EXISTS"), &json!("req-77"))
    );
    let shared = json!({ "email": "mia@example.com" });
    let shared = ann.post(&format!("{base}/permissions"), shared).await.is(422);
    assert_eq!(shared["code"], "NOT_AVAILABLE");
    // Two servers that are each other's remotes do not send a call round and round.
    let round = ann.request("GET", &base).header("x-plinth-passed", "1");
    assert_eq!(send(round).await.is(422)["code"], "NOT_AVAILABLE");

    // Each change stands in the trail before it is made, and no key stands anywhere.
    let trail =
        here.rows("SELECT details::text FROM audit_entries WHERE action = 'remote.asked'").await;
    assert!(trail.iter().any(|it| it.contains("POST") && it.contains("/branches")), "{trail:?}");
    let kept = here
        .rows("SELECT encode(secret, 'escape') || body::text FROM cp_remotes, cp_remote_projects")
        .await;
    assert!(kept.iter().all(|it| !it.contains("plinth_live_")), "{kept:?}");

    // Deleted there it is gone here, and can be recovered like any.
    let path = format!("/v1/remotes/{}", text(&lab["id"]));
    assert_eq!(ann.delete(&path).await.error(), (409, "conflict"));
    ann.delete(&base).await.is(200);
    assert_eq!(ann.get("/api/v2/projects").await.body["projects"], json!([]));
    ann.get(&base).await.is(404);
    ann.post(&format!("{base}/recover"), json!({})).await.is(200);
    assert_eq!(ann.get(&base).await.is(200)["project"]["id"], id);
    assert_eq!(psql(&uri, "SELECT n FROM t").await.as_deref(), Ok("7"));

    // Let go it lives on there, and can be brought in again, by whoever has a key that sees it.
    let known = format!("{path}/projects/{id}");
    assert_eq!(ann.delete(&known).await.status, 204);
    ann.get(&base).await.is(404);
    let body = json!({ "project_id": id });
    ann.post(&format!("{path}/projects"), body.clone()).await.is(201);
    assert_eq!(ann.post(&format!("{path}/projects"), body).await.error(), (409, "conflict"));
    let missing = json!({ "project_id": "quiet-lake-00000000" });
    assert_eq!(ann.post(&format!("{path}/projects"), missing).await.status, 404);
    // Somebody deletes it there.
    zoe.delete(&base).await.is(200);
    ann.get(&base).await.is(404);
    assert_eq!(ann.get("/api/v2/projects").await.body["projects"], json!([]));
    assert_eq!(ann.delete(&path).await.status, 204);
    node.end().await;
}

/// What belongs to the project can be made, changed and read.
async fn works(ann: &Person, base: &str, made: &Value) {
    let branch = json!({ "branch": { "name": "dev" }, "endpoints": [{ "type": "read_write" }] });
    let dev = ann.post(&format!("{base}/branches"), branch).await.is(201);
    assert_eq!(dev["branch"]["current_state"], "ready");
    let uri = text(&dev["connection_uris"][0]["connection_uri"]);
    assert_eq!(psql(&uri, "SELECT n FROM t").await.as_deref(), Ok("7"));
    let main = format!("{base}/branches/{}", text(&made["branch"]["id"]));
    let role = json!({ "role": { "name": "reporting" } });
    ann.post(&format!("{main}/roles"), role).await.is(201);
    let reset =
        ann.post(&format!("{main}/roles/reporting/reset_password"), json!({})).await.is(200);
    let revealed = ann.get(&format!("{main}/roles/reporting/reveal_password")).await.is(200);
    assert_eq!(revealed["password"], reset["role"]["password"]);
    let database = json!({ "database": { "name": "books", "owner_name": "reporting" } });
    ann.post(&format!("{main}/databases"), database).await.is(201);
    let schema = ann.get(&format!("{main}/schema?db_name=neondb")).await.is(200);
    assert!(text(&schema["sql"]).contains("CREATE TABLE public.t"), "{schema}");
    let endpoint = format!("{base}/endpoints/{}", text(&dev["endpoints"][0]["id"]));
    let idle = ann.post(&format!("{endpoint}/suspend"), json!({})).await.is(200);
    assert_eq!(idle["endpoint"]["current_state"], "idle");
    let renamed = json!({ "project": { "name": "store" } });
    ann.patch(base, renamed).await.is(200);
    let listed = ann.get("/api/v2/projects").await.is(200);
    assert_eq!(listed["projects"][0]["name"], "store", "what the remote told last");
    let operations = ann.get(&format!("{base}/operations?limit=5")).await.is(200);
    assert_eq!(operations["operations"].as_array().unwrap().len(), 5);
}

/// A call needs here what the same call needs for a project of here.
async fn rights(here: &TestApp, ann: &Person, base: &str, me: &str) {
    let key = async |body: Value| {
        let made = ann.post("/v1/api-keys", body).await.is(201);
        here.somebody(&text(&made["data"]["key"]))
    };
    let reader = key(json!({ "name": "reads", "scopes": ["projects:read"] })).await;
    let other = key(json!({ "name": "asks", "scopes": ["queries:read"] })).await;
    let uri = format!("{base}/connection_uri?database_name=neondb&role_name=neondb_owner");
    for (method, path, reads) in [
        ("GET", base.to_owned(), true),
        ("GET", format!("{base}/branches"), true),
        ("GET", uri, false),
        ("PATCH", base.to_owned(), false),
        ("POST", format!("{base}/branches"), false),
        ("DELETE", base.to_owned(), false),
    ] {
        let answer = send(reader.request(method, &path).json(&json!({}))).await;
        assert_eq!(
            answer.status,
            if reads { 200 } else { 403 },
            "{method} {path}: {}",
            answer.text
        );
        let answer = send(other.request(method, &path).json(&json!({}))).await;
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text);
    }
    let body = json!({ "key_name": "shop only", "project_id": base.rsplit_once('/').unwrap().1 });
    let made = ann.post(&format!("/api/v2/organizations/{me}/api_keys"), body).await.is(200);
    let narrow = here.somebody(&text(&made["key"]));
    narrow.get(base).await.is(200);
    narrow.delete(base).await.is(403);
    assert_eq!(
        narrow.get("/api/v2/projects").await.is(200)["projects"].as_array().unwrap().len(),
        1
    );
}

#[actix_web::test]
async fn a_remote_that_is_away_or_lets_nobody_in_says_what_to_do() {
    let (there, here) = (TestApp::start().await, TestApp::start().await);
    let (zoe, ann) = (there.owner_of("Host").await, here.owner_of("Acme").await);
    let key = zoe.post("/v1/api-keys", json!({ "name": "lab", "scopes": ["full"] })).await.is(201);
    let lab = remote(&ann, "lab", &there, &text(&key["data"]["key"])).await;
    let path = format!("/v1/remotes/{}", text(&lab["id"]));
    assert_eq!(ann.post(&format!("{path}/test"), json!({})).await.is(200)["data"]["success"], true);
    let stub = Stub::start().await;
    let body = json!({ "name": "stub", "base_url": stub.base_url, "key": "k" });
    let other = ann.post("/v1/remotes", body).await.is(201);
    let other = format!("/v1/remotes/{}", text(&other["data"]["id"]));
    let known = json!({ "project_id": "still-meadow-1" });
    ann.post(&format!("{other}/projects"), known).await.is(201);
    assert_eq!(ann.get("/api/v2/projects/still-meadow-1").await.status, 200);

    assert_eq!(zoe.delete(&format!("/v1/api-keys/{}", text(&key["data"]["id"]))).await.status, 204);
    let tested = ann.post(&format!("{path}/test"), json!({})).await.is(200);
    assert_eq!(tested["data"]["success"], false);
    here.behind_its_back("UPDATE cp_remote_projects p SET remote_id = r.id FROM cp_remotes r WHERE r.name = 'lab' AND r.org_id = p.org_id").await;
    let refused = ann.get("/api/v2/projects/still-meadow-1").await.is(503);
    assert_eq!(refused["code"], "REMOTE_KEY_REFUSED");
    assert!(text(&refused["message"]).contains("PATCH /v1/remotes"), "{refused}");
    let fresh =
        zoe.post("/v1/api-keys", json!({ "name": "lab", "scopes": ["full"] })).await.is(201);
    let body = json!({ "key": fresh["data"]["key"], "name": "lab-2" });
    let stale = send(ann.request("PATCH", &path).header("if-match", "\"9\"").json(&body)).await;
    assert_eq!(stale.error(), (412, "precondition_failed"));
    assert_eq!(ann.patch(&path, body).await.is(200)["data"]["name"], "lab-2");
    assert_eq!(
        ann.get("/api/v2/projects/still-meadow-1").await.status,
        404,
        "it has none of that id"
    );

    here.behind_its_back("UPDATE cp_remotes SET base_url = 'http://127.0.0.1:9/api/v2'").await;
    here.behind_its_back("UPDATE cp_remote_projects SET deleted_at = NULL").await;
    let away = ann.get("/api/v2/projects/still-meadow-1").await;
    assert_eq!(away.headers["retry-after"], "5");
    let away = away.is(503);
    assert_eq!(away["code"], "REMOTE_UNAVAILABLE");
    assert!(text(&away["message"]).contains("/test"), "{away}");
    here.behind_its_back("UPDATE cp_remotes SET base_url = 'https://10.0.0.7/api/v2'").await;
    assert_eq!(ann.get("/api/v2/projects/still-meadow-1").await.status, 400, "the gate");
    for wrong in [
        json!({ "name": "x", "base_url": "http://console.example.com/api/v2", "key": "k" }),
        json!({ "name": "x", "base_url": "https://10.0.0.7/api/v2", "key": "k" }),
        json!({ "name": "x", "base_url": format!("{}/api/v2", here.url), "key": "k" }),
        json!({ "name": "x", "base_url": there.url, "key": "k" }),
        json!({ "name": "Upper", "base_url": stub.base_url, "key": "k" }),
        json!({ "name": "x", "base_url": stub.base_url, "key": "a b" }),
        json!({ "name": "x", "base_url": stub.base_url, "key": "k", "org_id": "a/b" }),
        json!({ "name": "x", "base_url": stub.base_url, "key": "k", "more": 1 }),
    ] {
        let refused = ann.post("/v1/remotes", wrong.clone()).await;
        assert_eq!(refused.error(), (422, "validation_error"), "{wrong}: {}", refused.text);
    }
}

/// Somebody's browser at the authorization server: they sign in and say yes. Gives where it is sent.
async fn consent(there: &TestApp, url: &str, email: &str) -> reqwest::Url {
    let path = url.strip_prefix(&there.url).unwrap_or_else(|| panic!("{url} is elsewhere"));
    let fields = [("email", email), ("password", PASSWORD)];
    let page = browse(form(there.request("POST", path), &fields)).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let cookie = cookie(&page.headers);
    let organization = page.text.split("<option value=\"").nth(1).unwrap();
    let fields = [
        ("ticket", hidden(&page.text, "ticket")),
        ("organization", organization.split('"').next().unwrap()),
        ("decision", "allow"),
    ];
    let sent = browse(form(there.request("POST", path).header("cookie", cookie), &fields)).await;
    assert_eq!(sent.status, 303, "{}", sent.text);
    reqwest::Url::parse(sent.headers["location"].to_str().unwrap()).unwrap()
}

#[actix_web::test]
async fn a_remote_is_signed_in_to_by_oauth_and_its_tokens_are_renewed() {
    let (there, here) = (TestApp::start().await, TestApp::start().await);
    let zoe = there.owner_with_password("Host").await;
    let (ann, bob) = (here.owner_of("Acme").await, here.owner_of("Other").await);
    let back = format!("{}/oauth/remote", here.url);
    let scopes = json!(["projects:read", "projects:write"]);
    let app = json!({ "name": "Other Plinth", "redirect_uris": [back], "scopes": scopes, "is_confidential": true });
    let app = zoe.post("/v1/oauth-apps", app).await.is(201)["data"].clone();
    let oauth = json!({
        "issuer": there.url, "client_id": app["id"], "client_secret": app["client_secret"], "scopes": scopes,
    });
    let base_url = format!("{}/api/v2", there.url);
    let body = json!({ "name": "lab", "base_url": base_url, "oauth": oauth });
    let both = json!({ "name": "lab", "base_url": base_url, "oauth": oauth, "key": "k" });
    assert_eq!(ann.post("/v1/remotes", both).await.error(), (422, "validation_error"));
    let elsewhere = json!({ "name": "lab", "base_url": base_url, "oauth": { "issuer": format!("{}/x", there.url), "client_id": "a" } });
    assert_eq!(ann.post("/v1/remotes", elsewhere).await.error(), (422, "validation_error"));
    let lab = ann.post("/v1/remotes", body).await.is(201)["data"].clone();
    assert_eq!((&lab["sign_in"], &lab["account"]), (&json!("oauth"), &Value::Null));
    let path = format!("/v1/remotes/{}", text(&lab["id"]));
    let tried = async || ann.post(&format!("{path}/test"), json!({})).await.is(200)["data"].clone();
    let before = tried().await;
    assert!(text(&before["fault"]).contains("authorization"), "{before}");

    // Somebody says yes, and whoever asked hands over what the browser came back with.
    assert_eq!(bob.post(&format!("{path}/authorization"), json!({})).await.status, 404);
    let asked = ann.post(&format!("{path}/authorization"), json!({})).await.is(200);
    assert_eq!(asked["data"]["redirect_uri"], back);
    let url = text(&asked["data"]["authorize_url"]);
    assert!(url.contains("code_challenge_method=S256"), "{url}");
    let returned = consent(&there, &url, &address("Host")).await;
    assert!(returned.as_str().starts_with(&back), "{returned}");
    let query: std::collections::HashMap<_, _> = returned.query_pairs().into_owned().collect();
    let page =
        browse(here.request("GET", &format!("/oauth/remote?{}", returned.query().unwrap()))).await;
    assert!(page.status == 200 && page.text.contains(&query["code"]), "{}", page.text);
    let no = browse(
        here.request("GET", "/oauth/remote?error=access_denied&error_description=%3Cb%3Eno"),
    )
    .await;
    assert!(no.status == 400 && no.text.contains("&lt;b&gt;no"), "{}", no.text);
    let shown = json!({ "code": query["code"], "state": query["state"] });
    let connection = format!("{path}/connection");
    let other = json!({ "code": query["code"], "state": "guessed" });
    assert_eq!(ann.post(&connection, other).await.error(), (422, "validation_error"));
    assert_eq!(bob.post(&connection, shown.clone()).await.status, 404);
    let connected = ann.post(&connection, shown.clone()).await.is(200);
    assert_eq!(connected["data"]["account"], address("Host"));
    assert_eq!(ann.post(&connection, shown).await.error(), (422, "validation_error"), "once");
    assert_eq!(tried().await["success"], true);
    let missing = json!({ "project_id": "quiet-lake-00000000" });
    assert_eq!(ann.post(&format!("{path}/projects"), missing).await.status, 404, "it was let in");
    let kept = here.rows("SELECT encode(secret, 'escape') FROM cp_remotes").await;
    assert!(
        kept.iter().all(|it| !it.contains("refresh") && !it.contains("client_secret")),
        "{kept:?}"
    );

    // Tokens end, and each refresh token is good once: of many that come at the same moment one renews.
    for _ in 0..3 {
        for clock in [&here.clock, &there.clock] {
            clock.advance(SignedDuration::from_hours(2));
        }
        let (one, two, three) = tokio::join!(tried(), tried(), tried());
        for it in [one, two, three] {
            assert_eq!(it["success"], true, "{it}");
        }
    }
    // A key cannot come in its place, and whoever takes their yes back ends it.
    assert_eq!(ann.patch(&path, json!({ "key": "k" })).await.error(), (422, "validation_error"));
    let (signed_in, _) = there.sign_in(&address("Host")).await;
    assert_eq!(signed_in.delete(&format!("/v1/me/apps/{}", text(&app["id"]))).await.status, 204);
    let over = ann.post(&format!("{path}/projects"), json!({ "project_id": "quiet-lake-1" })).await;
    assert_eq!(over.status, 409, "{}", over.text);
    assert_eq!(over.body["error"]["details"]["code"], "REMOTE_NOT_CONNECTED", "{}", over.text);
    let over = tried().await;
    assert!(text(&over["fault"]).contains("authorization"), "{over}");
    assert_eq!(ann.delete(&path).await.status, 204);
}
