use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::SignedDuration;
use reqwest::header::{HeaderMap, LOCATION, SET_COOKIE};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::app::{Answer, PASSWORD, Person, TestApp, address, send};

const BACK: &str = "https://reports.example.com/callback?tenant=1";
const VERIFIER: &str = "a-verifier-that-is-long-enough-for-the-standard-0123456789";

/// An app that somebody registered.
struct App {
    id: String,
    secret: Option<String>,
}

async fn register(ann: &Person, is_confidential: bool) -> App {
    let body = json!({
        "name": format!("Reports {is_confidential}"), "redirect_uris": [BACK, "http://127.0.0.1/cb"],
        "scopes": ["queries:read", "connections:read"], "is_confidential": is_confidential,
    });
    let made = ann.post("/v1/oauth-apps", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let data = &made.body["data"];
    App {
        id: data["id"].as_str().unwrap().to_owned(),
        secret: data["client_secret"].as_str().map(str::to_owned),
    }
}

impl App {
    fn query(&self, changes: &[(&str, &str)]) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let mut fields = vec![
            ("response_type", "code"),
            ("client_id", &self.id),
            ("redirect_uri", BACK),
            ("scope", "queries:read"),
            ("state", "a state & more"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        for (name, value) in changes {
            fields.retain(|(field, _)| field != name);
            if !value.is_empty() {
                fields.push((name, value));
            }
        }
        encoded(&fields)
    }

    fn form<'a>(&'a self, fields: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let mut all = vec![("client_id", self.id.as_str())];
        all.extend(self.secret.as_deref().map(|it| ("client_secret", it)));
        all.extend(fields);
        all
    }

    async fn exchange(&self, app: &TestApp, code: &str) -> Answer {
        let fields = self.form(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", BACK),
            ("code_verifier", VERIFIER),
        ]);
        post(app, "/oauth/token", &fields).await
    }

    async fn refresh(&self, app: &TestApp, token: &str) -> Answer {
        let fields = self.form(&[("grant_type", "refresh_token"), ("refresh_token", token)]);
        post(app, "/oauth/token", &fields).await
    }
}

fn encoded(fields: &[(&str, &str)]) -> String {
    let url = reqwest::Url::parse_with_params("http://localhost/", fields).unwrap();
    url.query().unwrap_or_default().to_owned()
}

/// A request that posts a form.
pub(crate) fn form(
    request: reqwest::RequestBuilder,
    fields: &[(&str, &str)],
) -> reqwest::RequestBuilder {
    request.header("content-type", "application/x-www-form-urlencoded").body(encoded(fields))
}

async fn post(app: &TestApp, path: &str, fields: &[(&str, &str)]) -> Answer {
    send(form(app.request("POST", path), fields)).await
}

/// A browser that does not follow where it is sent.
pub(crate) async fn browse(request: reqwest::RequestBuilder) -> Answer {
    let (_, request) = request.build_split();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let response = client.build().unwrap().execute(request.unwrap()).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    Answer { status, headers, body: Value::Null, text }
}

pub(crate) fn cookie(headers: &HeaderMap) -> String {
    let set = headers[SET_COOKIE].to_str().unwrap();
    for rule in ["HttpOnly", "SameSite=Strict", "Path=/oauth"] {
        assert!(set.contains(rule), "{set}");
    }
    set.split(';').next().unwrap().to_owned()
}

pub(crate) fn hidden<'t>(html: &'t str, name: &str) -> &'t str {
    let after =
        html.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap_or_else(|| panic!("{html}"));
    after.split('"').next().unwrap()
}

/// Signs in on the consent page and decides; gives where the browser is sent.
async fn consent(app: &TestApp, query: &str, email: &str, decision: &str) -> Vec<(String, String)> {
    let path = format!("/oauth/authorize?{query}");
    let first = browse(app.request("GET", &path)).await;
    assert!(
        first.status == 200 && first.text.contains("Sign in"),
        "{} {}",
        first.status,
        first.text
    );
    let fields = [("email", email), ("password", PASSWORD)];
    let second = browse(form(app.request("POST", &path), &fields)).await;
    assert_eq!(second.status, 200, "{}", second.text);
    assert!(second.text.contains("ask questions"), "{}", second.text);
    let cookie = cookie(&second.headers);
    let organization =
        second.text.split("<option value=\"").nth(1).unwrap().split('"').next().unwrap();
    let fields = [
        ("ticket", hidden(&second.text, "ticket")),
        ("organization", organization),
        ("decision", decision),
    ];
    // Another site's form does not know the ticket.
    let forged = [("ticket", "AAAA"), ("organization", organization), ("decision", "allow")];
    let forged = browse(form(app.request("POST", &path).header("cookie", &cookie), &forged)).await;
    assert_eq!(forged.status, 200, "it is asked again");
    let elsewhere = form(app.request("POST", &path).header("cookie", &cookie), &fields);
    assert_eq!(browse(elsewhere.header("origin", "https://evil.example.com")).await.status, 403);
    let other_site = app.request("POST", &path).header("cookie", &cookie);
    let other_site = form(other_site.header("sec-fetch-site", "cross-site"), &fields);
    assert_eq!(browse(other_site).await.status, 403);
    let last = browse(form(app.request("POST", &path).header("cookie", &cookie), &fields)).await;
    assert_eq!(last.status, 303, "{}", last.text);
    let to = reqwest::Url::parse(last.headers[LOCATION].to_str().unwrap()).unwrap();
    assert!(to.as_str().starts_with(BACK), "{to}");
    let again = browse(app.request("GET", &path).header("cookie", &cookie)).await;
    assert!(again.text.contains("Sign in"), "its sign-in was for one decision");
    to.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

fn field<'f>(fields: &'f [(String, String)], name: &str) -> &'f str {
    &fields.iter().find(|it| it.0 == name).unwrap_or_else(|| panic!("{name} in {fields:?}")).1
}

struct Stage {
    app: TestApp,
    ann: Person,
    email: String,
    client: App,
}

async fn stage(is_confidential: bool) -> Stage {
    let app = TestApp::start().await;
    let (ann, email) = (app.owner_with_password("Acme").await, address("Acme"));
    let client = register(&ann, is_confidential).await;
    Stage { app, ann, email, client }
}

impl Stage {
    async fn tokens(&self) -> Answer {
        let sent = consent(&self.app, &self.client.query(&[]), &self.email, "allow").await;
        assert_eq!(field(&sent, "state"), "a state & more");
        assert_eq!(field(&sent, "iss"), self.app.url);
        let answer = self.client.exchange(&self.app, field(&sent, "code")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.headers["cache-control"], "no-store");
        answer
    }
}

/// What apps are given that is no access token, each with what it is: `ann` registers an app, and whoever has that address
/// lets it act for them.
pub(crate) async fn handed_out(
    app: &TestApp,
    ann: &Person,
    email: &str,
) -> Vec<(&'static str, String)> {
    let client = register(ann, true).await;
    let query = client.query(&[]);
    let code = consent(app, &query, email, "allow").await;
    let used = consent(app, &query, email, "allow").await;
    let tokens = client.exchange(app, field(&used, "code")).await;
    let acting = app.somebody(text(&tokens, "access_token"));
    assert_eq!(acting.get("/v1/queries").await.status, 200, "the one that is an access token");
    vec![
        ("an OAuth code", field(&code, "code").to_owned()),
        ("an OAuth code that was used", field(&used, "code").to_owned()),
        ("an app's refresh token", text(&tokens, "refresh_token").to_owned()),
        ("an app's secret", client.secret.clone().unwrap()),
        ("an app's id", client.id.clone()),
        ("an app's challenge", query.split("code_challenge=").nth(1).unwrap()[..43].to_owned()),
    ]
}

fn text<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.body[name].as_str().unwrap_or_else(|| panic!("{name} in {}", answer.text))
}

#[actix_web::test]
async fn an_app_does_what_it_was_let_and_no_more_until_it_is_taken_back() {
    let stage = stage(true).await;
    let tokens = stage.tokens().await;
    assert_eq!(text(&tokens, "scope"), "queries:read");
    let acting = stage.app.somebody(text(&tokens, "access_token"));
    assert_eq!(acting.get("/v1/queries").await.status, 200);
    assert_eq!(acting.get("/v1/connections").await.error(), (403, "authorization_error"));
    assert_eq!(
        acting.get("/v1/me/apps").await.status,
        403,
        "what is the person's own is not the app's"
    );
    let (signed_in, _) = stage.ann.sign_in(&stage.email).await;
    let mine = signed_in.get("/v1/me/apps").await;
    assert_eq!(mine.body["data"][0]["app_id"], stage.client.id.as_str());
    let path = format!("/v1/me/apps/{}", stage.client.id);
    assert_eq!(signed_in.delete(&path).await.status, 204);
    assert_eq!(acting.get("/v1/queries").await.status, 401);
    assert_eq!(stage.client.refresh(&stage.app, text(&tokens, "refresh_token")).await.status, 400);
    assert_eq!(signed_in.delete(&path).await.status, 404);
}

#[actix_web::test]
async fn refresh_tokens_rotate_and_one_that_comes_again_ends_all() {
    let stage = stage(false).await;
    assert!(stage.client.secret.is_none());
    let first = stage.tokens().await;
    let second = stage.client.refresh(&stage.app, text(&first, "refresh_token")).await;
    assert_eq!(second.status, 200, "{}", second.text);
    assert_eq!(text(&second, "scope"), "queries:read");
    stage.app.clock.advance(SignedDuration::from_secs(30));
    let third = stage.client.refresh(&stage.app, text(&second, "refresh_token")).await;
    let reused = stage.client.refresh(&stage.app, text(&first, "refresh_token")).await;
    assert_eq!((reused.status, text(&reused, "error")), (400, "invalid_grant"));
    stage.app.clock.advance(SignedDuration::from_secs(2));
    let after = stage.client.refresh(&stage.app, text(&third, "refresh_token")).await;
    assert_eq!(after.status, 400);
    assert_eq!(
        stage.app.somebody(text(&third, "access_token")).get("/v1/queries").await.status,
        401
    );
}

#[actix_web::test]
async fn a_code_is_good_once_for_a_minute_and_for_its_own_app_only() {
    let stage = stage(true).await;
    let (app, client) = (&stage.app, &stage.client);
    let code = async || {
        let sent = consent(app, &client.query(&[]), &stage.email, "allow").await;
        field(&sent, "code").to_owned()
    };
    let stolen = code().await;
    let tokens = client.exchange(app, &stolen).await;
    assert_eq!(tokens.status, 200);
    let again = client.exchange(app, &stolen).await;
    assert_eq!((again.status, text(&again, "error")), (400, "invalid_grant"));
    app.clock.advance(SignedDuration::from_secs(2));
    let acting = app.somebody(text(&tokens, "access_token"));
    assert_eq!(acting.get("/v1/queries").await.status, 401, "what the code gave is ended");

    let late = code().await;
    app.clock.advance(SignedDuration::from_secs(61));
    assert_eq!(client.exchange(app, &late).await.status, 400);

    let other = register(&stage.ann, false).await;
    assert_eq!(other.exchange(app, &code().await).await.status, 400, "another app's code");
    for (name, value) in [
        ("redirect_uri", "http://127.0.0.1/cb"),
        ("code_verifier", "another-verifier-that-is-long-enough-for-the-standard-01"),
    ] {
        let code = code().await;
        let mut fields = client.form(&[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", BACK),
            ("code_verifier", VERIFIER),
        ]);
        fields.iter_mut().filter(|it| it.0 == name).for_each(|it| it.1 = value);
        assert_eq!(post(app, "/oauth/token", &fields).await.status, 400, "{name}");
    }
}

#[actix_web::test]
async fn an_app_shows_who_it_is_and_mistakes_have_the_standards_codes() {
    let stage = stage(true).await;
    let (app, client) = (&stage.app, &stage.client);
    let id = client.id.as_str();
    for (fields, status, code) in [
        (
            vec![("grant_type", "refresh_token"), ("client_id", id), ("refresh_token", "x")],
            401,
            "invalid_client",
        ),
        (vec![("grant_type", "refresh_token"), ("refresh_token", "x")], 401, "invalid_client"),
        (
            client.form(&[("grant_type", "refresh_token"), ("client_secret", "x")]),
            400,
            "invalid_request",
        ),
        (client.form(&[("grant_type", "password")]), 400, "unsupported_grant_type"),
        (client.form(&[]), 400, "invalid_request"),
        (client.form(&[("grant_type", "authorization_code")]), 400, "invalid_request"),
        (
            client.form(&[("grant_type", "refresh_token"), ("refresh_token", "x")]),
            400,
            "invalid_grant",
        ),
    ] {
        let answer = post(app, "/oauth/token", &fields).await;
        assert_eq!((answer.status, text(&answer, "error")), (status, code), "{}", answer.text);
    }
    let json = send(app.request("POST", "/oauth/token").json(&json!({}))).await;
    assert_eq!((json.status, text(&json, "error")), (400, "invalid_request"));
    let basic = app.request("POST", "/oauth/token").basic_auth(id, client.secret.as_deref());
    let fields = [("grant_type", "refresh_token"), ("refresh_token", "x")];
    assert_eq!(text(&send(form(basic, &fields)).await, "error"), "invalid_grant");
}

#[actix_web::test]
async fn tokens_can_be_asked_about_and_ended_by_their_own_app() {
    let stage = stage(true).await;
    let (app, client) = (&stage.app, &stage.client);
    let tokens = stage.tokens().await;
    let access = text(&tokens, "access_token");
    let asked = post(app, "/oauth/introspect", &client.form(&[("token", access)])).await;
    assert_eq!(asked.body["active"], true, "{}", asked.text);
    assert_eq!(text(&asked, "client_id"), client.id);
    let other = register(&stage.ann, false).await;
    let public = post(app, "/oauth/introspect", &other.form(&[("token", access)])).await;
    assert_eq!(public.status, 401, "whoever finds a token must not learn whose it is");
    assert_eq!(post(app, "/oauth/revoke", &other.form(&[("token", access)])).await.status, 200);
    assert_eq!(
        app.somebody(access).get("/v1/queries").await.status,
        200,
        "it was not theirs to end"
    );
    let refresh = text(&tokens, "refresh_token");
    assert_eq!(post(app, "/oauth/revoke", &client.form(&[("token", refresh)])).await.status, 200);
    assert_eq!(app.somebody(access).get("/v1/queries").await.status, 401);
    let asked = post(app, "/oauth/introspect", &client.form(&[("token", access)])).await;
    assert_eq!(asked.body, json!({ "active": false }));
}

#[actix_web::test]
async fn nobody_is_sent_where_the_app_is_not_registered() {
    let stage = stage(true).await;
    let show = async |changes: &[(&str, &str)]| {
        let path = format!("/oauth/authorize?{}", stage.client.query(changes));
        browse(stage.app.request("GET", &path)).await
    };
    for changes in [
        ("redirect_uri", "https://evil.example.com/"),
        ("redirect_uri", "https://reports.example.com/callback"),
        ("redirect_uri", ""),
        ("client_id", "app_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
        ("client_id", ""),
    ] {
        let answer = show(&[changes]).await;
        assert_eq!(answer.status, 400, "{changes:?}");
        assert!(!answer.headers.contains_key(LOCATION));
    }
    for (changes, error) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("code_challenge_method", ""), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
        (("scope", "queries:read admin"), "invalid_scope"),
        (("scope", "queries:read nothing"), "invalid_scope"),
    ] {
        let answer = show(&[changes]).await;
        let to = answer.headers[LOCATION].to_str().unwrap();
        assert!(
            to.starts_with(BACK) && to.contains(&format!("error={error}")),
            "{changes:?}: {to}"
        );
    }
    assert_eq!(show(&[("redirect_uri", "http://127.0.0.1:4711/cb")]).await.status, 200, "any port");
    let twice = format!("/oauth/authorize?{}&state=2", stage.client.query(&[]));
    assert_eq!(browse(stage.app.request("GET", &twice)).await.status, 400);
    let page = show(&[]).await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'none'"));
}

#[actix_web::test]
async fn a_person_may_say_no_and_a_wrong_password_lets_nobody_in() {
    let stage = stage(true).await;
    let sent = consent(&stage.app, &stage.client.query(&[]), &stage.email, "refuse").await;
    assert_eq!(field(&sent, "error"), "access_denied");
    let path = format!("/oauth/authorize?{}", stage.client.query(&[]));
    let fields = [("email", stage.email.as_str()), ("password", "wrong and long enough")];
    let answer = browse(form(stage.app.request("POST", &path), &fields)).await;
    assert!(answer.status == 401 && !answer.headers.contains_key(SET_COOKIE));
}

#[actix_web::test]
async fn apps_are_looked_after_by_their_own_organization() {
    let stage = stage(true).await;
    let (ann, id) = (&stage.ann, stage.client.id.as_str());
    let bob = stage.app.owner_of("Other").await;
    let path = format!("/v1/oauth-apps/{id}");
    assert_eq!(bob.get(&path).await.error(), (404, "not_found"));
    assert_eq!(ann.get(&path).await.status, 200);
    let changed = send(ann.request("PUT", &path).json(&json!({
        "name": "New name", "redirect_uris": ["com.example.app:/cb"], "scopes": ["queries:read"],
    })));
    assert_eq!(changed.await.body["data"]["is_confidential"], true, "that stays as it was");
    let secret = ann.post(&format!("{path}/secret"), json!({})).await;
    assert_eq!(secret.status, 201, "{}", secret.text);
    assert_ne!(secret.body["data"]["client_secret"].as_str(), stage.client.secret.as_deref());
    for (field, value) in [
        ("name", json!("")),
        ("redirect_uris", json!([])),
        ("redirect_uris", json!(["http://example.com/"])),
        ("redirect_uris", json!(["javascript:alert(1)"])),
        ("scopes", json!([])),
        ("scopes", json!(["everything"])),
    ] {
        let mut bad = json!({ "name": "Bad", "redirect_uris": [BACK], "scopes": ["queries:read"] });
        bad[field] = value;
        let answer = ann.post("/v1/oauth-apps", bad).await;
        assert_eq!(answer.error(), (422, "validation_error"), "{field}: {}", answer.text);
    }
    assert_eq!(ann.delete(&path).await.status, 204);
    assert_eq!(ann.get(&path).await.status, 404);
}
