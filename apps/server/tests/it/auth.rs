use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use plinth_adapter_notify::{SmtpMailer, SmtpSettings, SmtpSink};
use plinth_adapter_target::SystemResolver;
use plinth_core::{Limit, Permit};
use plinth_egress::{Gate, Network};
use plinth_tenancy::audit::AuditFilter;
use plinth_tenancy::signing::Rotation;
use plinth_tenancy::{Email, OrganizationName};
use serde_json::{Value, json};

use crate::app::{Answer, PASSWORD, Person, TestApp, address, send};

/// Longer than anything is believed without looking it up.
const A_MOMENT: SignedDuration = SignedDuration::from_millis(1_001);

async fn post(app: &TestApp, path: &str, body: Value) -> Answer {
    send(app.request("POST", path).json(&body)).await
}

async fn refresh(app: &TestApp, token: &Value) -> Answer {
    post(app, "/v1/auth/refresh", json!({ "refresh_token": token })).await
}

async fn sign_in(app: &TestApp, email: &str, password: &str) -> Answer {
    post(app, "/v1/auth/login", json!({ "email": email, "password": password })).await
}

fn bearer(app: &TestApp, answer: &Answer) -> Person {
    app.somebody(answer.body["data"]["access_token"].as_str().unwrap())
}

/// What stands in the trail of the key's organization.
async fn trail(app: &TestApp, owner: &Person) -> Vec<(String, &'static str, Value)> {
    let principal = app.services.tenancy.authenticate(&owner.key, Arc::default()).await.unwrap();
    let permit = Permit::check(&principal).unwrap();
    let filter = AuditFilter::default();
    let page = app.services.audit.list(&permit, &filter, None, Limit::new(100).unwrap()).await;
    let told = |it: plinth_tenancy::audit::ChainedEntry| {
        (it.entry.action, it.entry.outcome.as_str(), it.entry.details)
    };
    page.unwrap().items.into_iter().map(told).collect()
}

/// The same, once that act is in it: some are written behind the answer.
async fn trail_with(app: &TestApp, owner: &Person, action: &str) -> (String, &'static str, Value) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = trail(app, owner).await.into_iter().find(|it| it.0 == action) {
            return found;
        }
        assert!(Instant::now() < deadline, "no {action} in the trail");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sends what waits, once there is something: letters for new passwords are made ready behind the answer.
async fn deliver(app: &TestApp) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while app.services.outbox.drain().await.unwrap() == 0 {
        assert!(Instant::now() < deadline, "nothing to send");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The token of the link in a mail's text.
fn token_in(text: &str) -> String {
    let (_, token) = text.split_once("/reset-password?token=").expect("a link");
    token.split_whitespace().next().unwrap().to_owned()
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
    let refreshed = refresh(&app, &data["refresh_token"]).await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.text);
    assert_eq!(bearer(&app, &refreshed).get("/v1/me").await.status, 200);
}

#[actix_web::test]
async fn a_wrong_password_and_an_unknown_address_look_alike_and_the_trail_knows_better() {
    let app = TestApp::start().await;
    let owner = app.owner_with_password("Acme").await;
    let wrong = sign_in(&app, &address("Acme"), "another password").await;
    let unknown = sign_in(&app, "nobody@example.com", PASSWORD).await;
    assert_eq!(wrong.error(), (401, "authentication_error"));
    assert_eq!(wrong.body["error"], unknown.body["error"]);
    let endless = sign_in(&app, &address("Acme"), &"x".repeat(2_000)).await;
    assert_eq!(endless.body["error"], unknown.body["error"]);
    let told = trail_with(&app, &owner, "user.sign_in_refused").await;
    assert_eq!((told.1, &told.2["reason"]), ("failed", &json!("wrong_password")));
    app.sign_in(&address("Acme")).await;
    assert_eq!(trail_with(&app, &owner, "user.signed_in").await.1, "succeeded");
    assert!(!format!("{:?}", trail(&app, &owner).await).contains("another password"));
}

#[actix_web::test]
async fn guessing_is_stopped_for_the_account_and_nobody_else() {
    let app = TestApp::start().await;
    let owner = app.owner_with_password("Acme").await;
    app.owner_with_password("Other").await;
    // All at once, so that they cannot overtake the count.
    let email = address("Acme");
    let tries = (0..12).map(|_| sign_in(&app, &email, "a guess at it"));
    let answers = futures_util::future::join_all(tries).await;
    let refused: Vec<_> = answers.iter().filter(|it| it.status == 429).collect();
    assert_eq!(refused.len(), 2, "ten guesses");
    let wait: i64 = refused[0].headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=901).contains(&wait), "{wait}");
    let right = sign_in(&app, &address("Acme"), PASSWORD).await;
    assert_eq!(right.error(), (429, "rate_limit_exceeded"), "even with the right one");
    app.sign_in(&address("Other")).await;
    trail_with(&app, &owner, "user.sign_in_refused").await;
    app.clock.advance(SignedDuration::from_secs(wait));
    app.sign_in(&address("Acme")).await;
}

#[actix_web::test]
async fn a_refresh_token_that_was_stolen_ends_the_session_when_it_comes_again() {
    let app = TestApp::start().await;
    let owner = app.owner_with_password("Acme").await;
    let (ann, first) = app.sign_in(&address("Acme")).await;
    let old = &first.body["data"]["refresh_token"];
    let second = refresh(&app, old).await;
    let new = &second.body["data"]["refresh_token"];
    assert_ne!(old, new);

    // The answer was lost: the same comes again.
    let again = refresh(&app, old).await;
    assert_eq!((again.status, &again.body["data"]["refresh_token"]), (200, new));

    app.clock.advance(SignedDuration::from_secs(11));
    assert_eq!(refresh(&app, old).await.error(), (401, "authentication_error"));
    assert_eq!(refresh(&app, new).await.error(), (401, "authentication_error"), "the thief's too");
    for person in [&ann, &bearer(&app, &second)] {
        assert_eq!(person.get("/v1/me").await.error(), (401, "authentication_error"));
    }
    trail_with(&app, &owner, "session.token_reused").await;
    deliver(&app).await;
    let mails = app.mailer.sent_to(&address("Acme"));
    assert_eq!(mails[0].subject.as_str(), "One of your sessions was ended");
    app.sign_in(&address("Acme")).await;
}

#[actix_web::test]
async fn of_two_exchanges_at_once_one_wins_and_both_have_its_token() {
    let app = TestApp::start().await;
    app.owner_with_password("Acme").await;
    let (_, first) = app.sign_in(&address("Acme")).await;
    let old = &first.body["data"]["refresh_token"];
    let answers = futures_util::future::join_all((0..8).map(|_| refresh(&app, old))).await;
    let tokens: BTreeSet<_> =
        answers.iter().map(|it| it.body["data"]["refresh_token"].to_string()).collect();
    assert_eq!(tokens.len(), 1, "exchanged once");
    let new = &answers[0].body["data"]["refresh_token"];
    assert_eq!(refresh(&app, new).await.status, 200);
    // Once the new one was used it is known to have arrived.
    assert_eq!(refresh(&app, old).await.error(), (401, "authentication_error"));
}

#[actix_web::test]
async fn a_session_that_nobody_uses_ends_after_a_month_and_every_session_after_three() {
    let app = TestApp::start().await;
    app.owner_with_password("Acme").await;
    let (_, idle) = app.sign_in(&address("Acme")).await;
    let (_, used) = app.sign_in(&address("Acme")).await;
    let mut token = used.body["data"]["refresh_token"].clone();
    for day in (20..=80).step_by(20) {
        app.clock.advance(SignedDuration::from_hours(20 * 24));
        let refreshed = refresh(&app, &token).await;
        assert_eq!(refreshed.status, 200, "day {day}: {}", refreshed.text);
        token = refreshed.body["data"]["refresh_token"].clone();
        let is_idle = day > 30;
        assert!(!is_idle || refresh(&app, &idle.body["data"]["refresh_token"]).await.status == 401);
    }
    app.clock.advance(SignedDuration::from_hours(11 * 24));
    assert_eq!(refresh(&app, &token).await.error(), (401, "authentication_error"));
}

#[actix_web::test]
async fn a_person_in_two_organizations_picks_one_by_header() {
    let app = TestApp::start().await;
    let key = app.owner_with_password("Acme").await;
    app.clock.advance(A_MOMENT);
    let name = OrganizationName::parse("Second").unwrap();
    let email = Email::parse(&address("Acme")).unwrap();
    let second = app.services.tenancy.bootstrap(name, email).await.unwrap().organization.id;
    let bob = app.owner_of("Other").await;
    let other = bob.get("/v1/me").await.body["data"]["organization"]["id"].clone();
    let (ann, signed_in) = app.sign_in(&address("Acme")).await;
    let data = &signed_in.body["data"];
    assert_eq!(data["organizations"].as_array().unwrap().len(), 2);
    let listed = ann.get("/v1/me/organizations").await;
    assert_eq!(listed.body["data"], data["organizations"]);

    let me = async |person: &Person, org: &str| {
        send(person.request("GET", "/v1/me").header("x-tenant-id", org)).await
    };
    let (first, second) = (data["organization_id"].as_str().unwrap(), second.to_string());
    for org in [first, &second] {
        assert_eq!(me(&ann, org).await.body["data"]["organization"]["id"], org);
    }
    let refused = me(&ann, other.as_str().unwrap()).await;
    assert_eq!(refused.error(), (403, "authorization_error"));
    let nowhere = "018a3a2b-4c5d-7e6f-8091-a2b3c4d5e6f7";
    assert_eq!(me(&ann, nowhere).await.error(), refused.error(), "no difference to none");
    assert_eq!(me(&ann, "everywhere").await.error(), (422, "validation_error"));
    assert_eq!(me(&key, first).await.status, 200);
    assert_eq!(me(&key, &second).await.error(), (403, "authorization_error"), "a key is of one");
    // What belongs to the one is not in the other.
    let made = key.post("/v1/api-keys", json!({ "name": "k", "scopes": ["read"] })).await;
    let id = made.body["data"]["id"].as_str().unwrap();
    let there = ann.request("DELETE", &format!("/v1/api-keys/{id}")).header("x-tenant-id", &second);
    assert_eq!(send(there).await.error(), (404, "not_found"));
}

#[actix_web::test]
async fn a_changed_role_and_a_removed_member_count_within_a_second() {
    let app = TestApp::start().await;
    app.owner_with_password("Acme").await;
    let (ann, signed_in) = app.sign_in(&address("Acme")).await;
    assert_eq!(ann.get("/v1/connections").await.status, 200);
    app.behind_its_back("UPDATE members SET role = 'viewer'").await;
    app.clock.advance(A_MOMENT);
    assert_eq!(ann.get("/v1/connections").await.error(), (403, "authorization_error"));
    app.behind_its_back("DELETE FROM members").await;
    app.clock.advance(A_MOMENT);
    assert_eq!(ann.get("/v1/connections").await.error(), (401, "authentication_error"));
    // They are still a person, in no organization.
    assert_eq!(ann.get("/v1/me/organizations").await.body["data"], json!([]));
    let refreshed = refresh(&app, &signed_in.body["data"]["refresh_token"]).await;
    assert_eq!(refreshed.body["data"]["organization_id"], Value::Null);
    let nowhere = bearer(&app, &refreshed);
    let refused = nowhere.get("/v1/connections").await;
    assert_eq!(refused.error(), (403, "authorization_error"));
    assert_eq!(refused.body["error"]["details"]["reason"], "no_organization");
    assert_eq!(nowhere.get("/v1/me/sessions").await.status, 200);
}

#[actix_web::test]
async fn sessions_are_listed_and_ended_one_by_one_or_all() {
    let app = TestApp::start().await;
    let key = app.owner_with_password("Acme").await;
    app.owner_with_password("Other").await;
    let (ann, _) = app.sign_in(&address("Acme")).await;
    app.clock.advance(A_MOMENT);
    let (phone, on_phone) = app.sign_in(&address("Acme")).await;
    let (bob, bobs) = app.sign_in(&address("Other")).await;
    let listed = ann.get("/v1/me/sessions").await;
    let current: Vec<_> =
        listed.body["data"].as_array().unwrap().iter().map(|it| &it["is_current"]).collect();
    assert_eq!(current, [&json!(false), &json!(true)], "newest first; {}", listed.text);
    assert_eq!(listed.body["data"][0]["address"], "127.0.0.1");

    let session = |answer: &Answer| {
        format!("/v1/me/sessions/{}", answer.body["data"]["session_id"].as_str().unwrap())
    };
    assert_eq!(ann.delete(&session(&bobs)).await.error(), (404, "not_found"));
    assert_eq!(key.delete(&session(&on_phone)).await.error(), (403, "authorization_error"));
    assert_eq!(ann.delete(&session(&on_phone)).await.status, 204);
    assert_eq!(ann.delete(&session(&on_phone)).await.error(), (404, "not_found"));
    assert_eq!(phone.get("/v1/me").await.error(), (401, "authentication_error"));
    let token = &on_phone.body["data"]["refresh_token"];
    assert_eq!(refresh(&app, token).await.error(), (401, "authentication_error"));

    let (tablet, on_tablet) = app.sign_in(&address("Acme")).await;
    assert_eq!(ann.post("/v1/auth/logout", json!({})).await.status, 204);
    assert_eq!(ann.get("/v1/me").await.error(), (401, "authentication_error"));
    assert_eq!(tablet.get("/v1/me").await.status, 200);
    assert_eq!(tablet.post("/v1/auth/logout-all", json!({})).await.status, 204);
    assert_eq!(tablet.get("/v1/me").await.error(), (401, "authentication_error"));
    assert_eq!(refresh(&app, &on_tablet.body["data"]["refresh_token"]).await.status, 401);
    assert_eq!((bob.get("/v1/me").await.status, key.get("/v1/me").await.status), (200, 200));
}

#[actix_web::test]
async fn a_changed_password_ends_the_other_sessions_and_is_told() {
    let app = TestApp::start().await;
    let key = app.owner_with_password("Acme").await;
    let (ann, _) = app.sign_in(&address("Acme")).await;
    let (phone, on_phone) = app.sign_in(&address("Acme")).await;
    let change = async |person: &Person, current: &str, new: &str| {
        let body = json!({ "current_password": current, "new_password": new });
        person.post("/v1/auth/password", body).await
    };
    let wrong = change(&ann, "not this one", "a fine new password").await;
    assert_eq!(wrong.error(), (422, "validation_error"));
    assert!(wrong.body["error"]["details"]["current_password"].is_string());
    for bad in ["short", "password123", &address("Acme")] {
        let refused = change(&ann, PASSWORD, bad).await;
        assert_eq!(refused.error(), (422, "validation_error"), "{bad}");
        assert!(refused.body["error"]["details"]["password"].is_string());
    }
    assert_eq!(change(&ann, PASSWORD, "a fine new password").await.status, 204);
    assert_eq!(ann.get("/v1/me").await.status, 200, "this session goes on");
    assert_eq!(phone.get("/v1/me").await.error(), (401, "authentication_error"));
    assert_eq!(refresh(&app, &on_phone.body["data"]["refresh_token"]).await.status, 401);
    assert_eq!(sign_in(&app, &address("Acme"), PASSWORD).await.status, 401);
    assert_eq!(sign_in(&app, &address("Acme"), "a fine new password").await.status, 200);
    trail_with(&app, &key, "user.password_changed").await;
    deliver(&app).await;
    let mails = app.mailer.sent_to(&address("Acme"));
    assert_eq!(mails[0].subject.as_str(), "Your password was changed");
}

#[actix_web::test]
async fn who_forgot_their_password_chooses_a_new_one_by_the_newest_link() {
    let app = TestApp::start().await;
    let key = app.owner_with_password("Acme").await;
    let (ann, _) = app.sign_in(&address("Acme")).await;
    let forgot =
        async |email: &str| post(&app, "/v1/auth/password/forgot", json!({ "email": email })).await;
    let (known, unknown) = (forgot(&address("Acme")).await, forgot("nobody@example.com").await);
    assert_eq!((known.status, unknown.status), (202, 202));
    assert_eq!((known.text.as_str(), unknown.text.as_str()), ("", ""));
    deliver(&app).await;
    forgot(&address("Acme")).await;
    deliver(&app).await;
    assert!(app.mailer.sent_to("nobody@example.com").is_empty());
    let mails = app.mailer.sent_to(&address("Acme"));
    let (older, token) = (token_in(&mails[0].text), token_in(&mails[1].text));

    let reset = async |token: &str, password: &str| {
        let body = json!({ "token": token, "password": password });
        post(&app, "/v1/auth/password/reset", body).await
    };
    assert_eq!(reset(&older, "a fine new password").await.error(), (422, "validation_error"));
    assert_eq!(reset(&token, "short").await.error(), (422, "validation_error"));
    assert_eq!(reset(&token, "a fine new password").await.status, 204);
    assert_eq!(reset(&token, "one more new password").await.error(), (422, "validation_error"));
    assert_eq!(ann.get("/v1/me").await.error(), (401, "authentication_error"));
    assert_eq!(sign_in(&app, &address("Acme"), "a fine new password").await.status, 200);
    deliver(&app).await;
    let told = format!("{:?}", trail(&app, &key).await);
    assert!(told.contains("user.password_reset_requested") && !told.contains(&token));

    // A link is good for an hour.
    forgot(&address("Acme")).await;
    deliver(&app).await;
    let late = token_in(&app.mailer.sent_to(&address("Acme")).last().unwrap().text);
    app.clock.advance(SignedDuration::from_hours(1));
    assert_eq!(reset(&late, "one more new password").await.error(), (422, "validation_error"));
}

#[actix_web::test]
async fn the_letters_link_leads_over_smtp_to_a_page_that_takes_the_new_password() {
    let sink = SmtpSink::start().await;
    let gate = Gate::new(Arc::new(SystemResolver), [Network::LOOPBACK_V4], []);
    let clock = Arc::new(plinth_core::SystemClock);
    let settings = SmtpSettings::parse(&sink.url()).unwrap();
    let from = "Plinth <plinth@example.com>".parse().unwrap();
    let mailer = SmtpMailer::new(settings, from, gate.of_operator(), &[sink.authority()], clock);
    let app = TestApp::mailing(Arc::new(mailer.unwrap())).await;
    app.owner_with_password("Acme").await;

    let form = |fields: &[(&str, &str)]| {
        let encoded: Vec<_> =
            fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        app.request("POST", "/reset-password")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(encoded.join("&").replace(' ', "+").replace('@', "%40"))
    };
    let page = send(app.request("GET", "/reset-password")).await;
    assert!(page.status == 200 && page.text.contains("name=\"email\""), "{}", page.text);
    let asked = send(form(&[("email", &address("Acme"))])).await;
    assert_eq!(asked.status, 200, "{}", asked.text);
    deliver(&app).await;
    let mails = sink.wait_for(1).await;
    assert_eq!(mails[0].to, [address("Acme")]);
    let token = token_in(&mails[0].text());
    assert!(mails[0].html().contains(&token));

    let link = format!("/reset-password?token={token}");
    for _ in 0..2 {
        // Looking at it uses nothing up.
        let page = send(app.request("GET", &link)).await;
        assert!(page.status == 200 && page.text.contains("name=\"password\""), "{}", page.text);
        assert!(page.headers["content-security-policy"].to_str().unwrap().contains("'none'"));
        assert_eq!(page.headers["referrer-policy"], "same-origin");
        assert_eq!(page.headers["cache-control"], "no-store");
    }
    let refused = send(form(&[("token", &token), ("password", "short")])).await;
    assert!(refused.status == 422 && refused.text.contains("at least 8"), "{}", refused.text);
    let done = send(form(&[("token", &token), ("password", "a fine new password")])).await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert_eq!(send(app.request("GET", &link)).await.status, 410);
    assert_eq!(sign_in(&app, &address("Acme"), "a fine new password").await.status, 200);
}

#[actix_web::test]
async fn an_operator_makes_a_link_for_who_has_no_password_yet() {
    let app = TestApp::start().await;
    app.owner_of("Acme").await;
    assert_eq!(sign_in(&app, &address("Acme"), PASSWORD).await.status, 401, "there is none");
    let accounts = &app.services.accounts;
    let nobody = Email::parse("nobody@example.com").unwrap();
    assert!(accounts.make_reset(&nobody).await.unwrap().is_none());
    let email = Email::parse(&address("Acme")).unwrap();
    let (token, _) = accounts.make_reset(&email).await.unwrap().unwrap();
    let token = secrecy::ExposeSecret::expose_secret(&token).to_owned();
    let body = json!({ "token": token, "password": PASSWORD });
    assert_eq!(post(&app, "/v1/auth/password/reset", body).await.status, 204);
    app.sign_in(&address("Acme")).await;
}

#[actix_web::test]
async fn the_first_owner_may_choose_a_password_at_once() {
    let app = TestApp::start().await;
    let token = app.services.tenancy.prepare_setup().await.unwrap().unwrap();
    let body = |password: &str| json!({ "token": token.expose(), "organization": "Acme", "email": address("Acme"), "password": password });
    assert_eq!(post(&app, "/v1/setup", body("short")).await.error(), (422, "validation_error"));
    assert_eq!(
        post(&app, "/v1/setup", body(PASSWORD)).await.status,
        201,
        "the token is still good"
    );
    app.sign_in(&address("Acme")).await;
}

#[actix_web::test]
async fn guessing_at_tokens_with_passwords_does_not_keep_anybody_from_signing_in() {
    let app = TestApp::start().await;
    app.services.tenancy.prepare_setup().await.unwrap().unwrap();
    // More at once than passwords are hashed or wait to be: had one of these been hashed, one would find no place.
    let guesses = (0..100).map(|n| {
        let token = format!("guess_{n}");
        let (path, body) = match n % 4 {
            0 => ("/v1/invitations/accept", json!({ "token": token, "password": PASSWORD })),
            1 => ("/v1/auth/password/reset", json!({ "token": token, "password": PASSWORD })),
            _ => (
                "/v1/setup",
                json!({ "token": token, "organization": "Acme", "email": address("Acme"), "password": PASSWORD }),
            ),
        };
        let app = &app;
        async move { (path, post(app, path, body).await) }
    });
    for (path, answer) in futures_util::future::join_all(guesses).await {
        assert!(matches!(answer.status, 401 | 403 | 404 | 410 | 422), "{path}: {}", answer.text);
    }
}

/// The header of a token.
fn header(token: &str) -> Value {
    use base64::Engine as _;
    let part = token.split('.').next().unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[actix_web::test]
async fn another_service_checks_tokens_with_the_published_keys_while_these_take_turns() {
    use base64::Engine as _;
    let decode = |it: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(it).unwrap();
    let app = TestApp::start().await;
    app.owner_with_password("Acme").await;
    let signing = app.services.accounts.signing();
    let published = async || {
        let set = send(app.request("GET", "/.well-known/jwks.json")).await;
        assert_eq!(set.headers["cache-control"], "public, max-age=300");
        set.body["keys"].as_array().unwrap().clone()
    };
    let good = async |token: &str| {
        let kid = header(token)["kid"].clone();
        let keys = published().await;
        let Some(key) = keys.iter().find(|it| it["kid"] == kid) else { return false };
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let x = decode(key["x"].as_str().unwrap());
        let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, x);
        key.verify(signed.as_bytes(), &decode(signature)).is_ok()
    };
    let (before, _) = app.sign_in(&address("Acme")).await;
    assert!(good(&before.key).await);

    signing.rotate(Rotation::Now).await.unwrap();
    assert_eq!(published().await.len(), 2, "known before it is used");
    let (meanwhile, _) = app.sign_in(&address("Acme")).await;
    assert_eq!(header(&meanwhile.key)["kid"], header(&before.key)["kid"]);
    app.clock.advance(SignedDuration::from_mins(59));
    let (last, _) = app.sign_in(&address("Acme")).await;
    app.clock.advance(SignedDuration::from_mins(2));
    let (after, _) = app.sign_in(&address("Acme")).await;
    assert_ne!(header(&after.key)["kid"], header(&before.key)["kid"]);
    for person in [&last, &after] {
        assert!(good(&person.key).await && person.get("/v1/me").await.status == 200);
    }
    app.clock.advance(SignedDuration::from_mins(20));
    signing.rotate(Rotation::WhenDue).await.unwrap();
    assert_eq!(published().await.len(), 1, "the old one has no tokens left");

    let (stolen, signed_in) = app.sign_in(&address("Acme")).await;
    assert_eq!(stolen.get("/v1/me").await.status, 200);
    signing.rotate(Rotation::Compromised).await.unwrap();
    app.clock.advance(A_MOMENT);
    assert_eq!(stolen.get("/v1/me").await.error(), (401, "authentication_error"));
    let refreshed = refresh(&app, &signed_in.body["data"]["refresh_token"]).await;
    assert_eq!(bearer(&app, &refreshed).get("/v1/me").await.status, 200);
}

/// A key signs from when it was made, which our database keeps to the microsecond.
#[actix_web::test]
async fn the_first_sign_in_of_an_installation_works_between_two_microseconds() {
    let app = TestApp::start().await;
    app.clock.advance(SignedDuration::from_nanos(123_456_789));
    app.owner_with_password("Acme").await;
    let (ann, _) = app.sign_in(&address("Acme")).await;
    assert_eq!(ann.get("/v1/me").await.status, 200);
}
