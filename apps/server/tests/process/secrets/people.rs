use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Canaries;
use crate::client::{Person, send, until};
use crate::folder::DataFolder;
use crate::plinth::{LIMIT, PASSWORD, Server};

/// The first owner's address.
pub(crate) const OWNER: &str = "ann@example.com";

const NEW_PASSWORD: &str = "canary lions drink at night";
const VERIFIER: &str = "canary-verifier-that-is-long-enough-for-the-standard-0123456";
const BACK: &str = "https://reports.example.com/back";

/// What people and apps sign in with; gives what was answered, without what was shown on purpose.
pub(crate) async fn plant(
    server: &Server,
    ann: &Person,
    folder: &DataFolder,
    canaries: &mut Canaries,
) -> String {
    let mut seen = String::new();
    let nobody = server.nobody();
    canaries.add("a person's password", PASSWORD);
    canaries.add("a wrong password of a person", "canary of no password at all");
    let wrong = json!({ "email": OWNER, "password": "canary of no password at all" });
    seen += &nobody.post("/v1/auth/login", wrong).await.text;

    let signed_in = sign_in(server, PASSWORD).await;
    let refresh = json!({ "refresh_token": signed_in["refresh_token"] });
    canaries.add("a refresh token", text(&signed_in["refresh_token"]));
    canaries.add("an access token", text(&signed_in["access_token"]));
    let newer = nobody.post("/v1/auth/refresh", refresh.clone()).await;
    assert_eq!(newer.status, 200, "{}", newer.text);
    canaries.add("a refresh token", text(&newer.body["data"]["refresh_token"]));
    let token = text(&newer.body["data"]["access_token"]);
    canaries.add("an access token", &token);
    let person = server.somebody(&token);
    seen += &person.get("/v1/me").await.text;
    seen += &person.get("/v1/me/sessions").await.text;
    canaries.add("a person's new password", NEW_PASSWORD);
    let change = json!({ "current_password": PASSWORD, "new_password": NEW_PASSWORD });
    seen += &person.post("/v1/auth/password", change).await.text;

    let provider = json!({ "iss": "https://id.example.com", "sub": "canary-at-a-provider" });
    let part = |it: &Value| URL_SAFE_NO_PAD.encode(it.to_string());
    let head = json!({ "alg": "RS256", "kid": "1" });
    let foreign = format!("{}.{}.{}", part(&head), part(&provider), "canarySignature99");
    canaries.add("a token of an identity provider", &foreign);
    seen += &server.somebody(&foreign).get("/v1/me").await.text;

    let forgot = nobody.post("/v1/auth/password/forgot", json!({ "email": OWNER })).await;
    assert_eq!(forgot.status, 202, "{}", forgot.text);
    let reset = letter(folder, "reset_").await;
    canaries.add("a token of a password's letter", &reset);
    let short = json!({ "token": reset, "password": "short" });
    seen += &nobody.post("/v1/auth/password/reset", short).await.text;
    let reset = json!({ "token": reset, "password": PASSWORD });
    let changed = nobody.post("/v1/auth/password/reset", reset.clone()).await;
    assert_eq!(changed.status, 204, "{}", changed.text);
    seen += &nobody.post("/v1/auth/password/reset", reset).await.text;

    let invited =
        ann.post("/v1/team/members", json!({ "email": "ben@example.com", "role": "viewer" })).await;
    assert_eq!(invited.status, 201, "{}", invited.text);
    let invitation = letter(folder, "invite_").await;
    canaries.add("a token of an invitation", &invitation);
    let accept = json!({ "token": invitation, "password": PASSWORD });
    let accepted = nobody.post("/v1/invitations/accept", accept.clone()).await;
    assert_eq!(accepted.status, 200, "{}", accepted.text);
    seen += &(invited.text + &nobody.post("/v1/invitations/accept", accept).await.text);
    seen += &ann.get("/v1/team/members").await.text;
    seen += &ann.get("/v1/team/invitations").await.text;
    seen + &app(server, ann, canaries).await
}

/// An app from its registration to its tokens.
async fn app(server: &Server, ann: &Person, canaries: &mut Canaries) -> String {
    let nobody = server.nobody();
    let body = json!({
        "name": "Reports", "redirect_uris": [BACK], "scopes": ["queries:read"], "is_confidential": true,
    });
    let made = ann.post("/v1/oauth-apps", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let (id, secret) = (text(&made.body["data"]["id"]), text(&made.body["data"]["client_secret"]));
    canaries.add("an app's secret", &secret);
    canaries.add("an app's verifier", VERIFIER);
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    let query = encoded(&[
        ("response_type", "code"),
        ("client_id", &id),
        ("redirect_uri", BACK),
        ("scope", "queries:read"),
        ("state", "s"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ]);
    let path = format!("/oauth/authorize?{query}");
    let form = |path: &str, fields: &[(&str, &str)]| {
        nobody
            .request("POST", path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(encoded(fields))
    };
    let fields = [("email", OWNER), ("password", PASSWORD)];
    let page = form(&path, &fields).send().await.unwrap();
    let cookie =
        page.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let html = page.text().await.unwrap();
    let ticket = between(&html, "name=\"ticket\" value=\"");
    let organization = between(&html, "<option value=\"");
    let fields = [("ticket", ticket), ("organization", organization), ("decision", "allow")];
    let (_, request) = form(&path, &fields).header("cookie", cookie).build_split();
    let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
    let sent = browser.build().unwrap().execute(request.unwrap()).await.unwrap();
    let location = sent.headers()["location"].to_str().unwrap().to_owned();
    let code = location.split_once("code=").unwrap().1.split('&').next().unwrap();
    canaries.add("an app's code", code);
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", &id),
        ("client_secret", &secret),
        ("code", code),
        ("redirect_uri", BACK),
        ("code_verifier", VERIFIER),
    ];
    let tokens = send(form("/oauth/token", &fields)).await;
    assert_eq!(tokens.status, 200, "{}", tokens.text);
    canaries.add("an access token", text(&tokens.body["access_token"]));
    canaries.add("an app's refresh token", text(&tokens.body["refresh_token"]));
    // Once more is once too often.
    let again = send(form("/oauth/token", &fields)).await;
    assert_eq!(again.status, 400, "{}", again.text);
    again.text + &ann.get("/v1/oauth-apps").await.text
}

async fn sign_in(server: &Server, password: &str) -> Value {
    let body = json!({ "email": OWNER, "password": password });
    let answer = server.nobody().post("/v1/auth/login", body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["data"].clone()
}

/// The token with this prefix in the letters of the data folder.
async fn letter(folder: &DataFolder, prefix: &str) -> String {
    let find = || {
        let letters = std::fs::read_dir(folder.path().join("mail")).ok()?;
        letters.flatten().find_map(|entry| {
            // A letter that is still being written has another ending.
            let path = Some(entry.path()).filter(|it| it.extension().is_some_and(|it| it == "eml"));
            let text = std::fs::read_to_string(path?).ok()?;
            // Long lines of a letter are cut with an equals sign, which itself is written in hex.
            let text = text.replace("=\r\n", "").replace("=\n", "").replace("=3D", "=");
            let (_, token) = text.split_once(prefix)?;
            let end = token.find(|it: char| !it.is_ascii_alphanumeric() && it != '-' && it != '_');
            Some(format!("{prefix}{}", &token[..end.unwrap_or(token.len())]))
        })
    };
    let mut found = None;
    until("the letter is there", LIMIT, async || {
        found = find();
        found.is_some()
    })
    .await;
    found.unwrap()
}

fn between<'a>(html: &'a str, before: &str) -> &'a str {
    let (_, after) = html.split_once(before).unwrap_or_else(|| panic!("no {before} in {html}"));
    after.split('"').next().unwrap()
}

fn encoded(fields: &[(&str, &str)]) -> String {
    let url = reqwest::Url::parse_with_params("http://localhost/", fields).unwrap();
    url.query().unwrap_or_default().to_owned()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
