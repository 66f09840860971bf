use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::app::{Answer, PASSWORD, Person, TestApp, send};

const WEEK: SignedDuration = SignedDuration::from_hours(24 * 7);

async fn accept(app: &TestApp, token: &str, password: Option<&str>) -> Answer {
    let mut body = json!({ "token": token });
    if let Some(password) = password {
        body["password"] = password.into();
    }
    send(app.request("POST", "/v1/invitations/accept").json(&body)).await
}

async fn invite(person: &Person, email: &str, role: &str) -> Answer {
    person.post("/v1/team/members", json!({ "email": email, "role": role })).await
}

fn id(answer: &Answer) -> String {
    assert!(answer.is_success(), "{}", answer.text);
    answer.body["data"]["id"].as_str().unwrap().to_owned()
}

fn reason(answer: &Answer) -> &str {
    answer.body["error"]["details"]["reason"].as_str().unwrap_or_default()
}

fn assert_escalation(answer: &Answer) {
    assert_eq!(answer.error(), (403, "authorization_error"), "{}", answer.text);
    assert_eq!(reason(answer), "role_escalation_denied");
}

/// A key of that person's with these scopes.
async fn key(app: &TestApp, person: &Person, scopes: &[&str]) -> Person {
    let made = person.post("/v1/api-keys", json!({ "name": "k", "scopes": scopes })).await;
    assert_eq!(made.status, 201, "{}", made.text);
    app.somebody(made.body["data"]["key"].as_str().unwrap())
}

async fn member_of(person: &Person, email: &str) -> Value {
    let members = person.get("/v1/team/members?limit=100").await;
    let members = members.body["data"].as_array().unwrap().clone();
    members.into_iter().find(|it| it["email"] == email).unwrap_or_default()
}

#[actix_web::test]
async fn somebody_new_is_invited_chooses_a_password_and_works_as_what_they_were_invited() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let invited = invite(&ann, " Ben@Example.com", "editor").await;
    assert_eq!(invited.status, 201, "{}", invited.text);
    assert_eq!(invited.body["data"]["email"], "ben@example.com");
    assert_eq!(invited.body["data"]["expires_at"], "2026-03-11T05:06:07Z");
    let place = invited.headers["location"].to_str().unwrap();
    assert_eq!(ann.get(place).await.body["data"], invited.body["data"]);

    let token = app.invitation_token(&id(&invited), 1);
    let none = accept(&app, &token, None).await;
    assert_eq!(none.error(), (422, "validation_error"), "{}", none.text);
    assert!(none.body["error"]["details"]["password"].is_string());
    let weak = accept(&app, &token, Some("ben")).await;
    assert_eq!(weak.error(), (422, "validation_error"), "{}", weak.text);
    let accepted = accept(&app, &token, Some(PASSWORD)).await;
    assert_eq!(accepted.status, 200, "{}", accepted.text);
    assert!(!accepted.text.contains("token"), "it signs nobody in");

    let (ben, _) = app.sign_in("ben@example.com").await;
    assert_eq!(ben.get("/v1/queries").await.status, 200);
    assert_eq!(ben.get("/v1/api-keys").await.body["data"], json!([]), "their own keys only");
    assert_eq!(ben.get("/v1/team/members").await.error(), (403, "authorization_error"));
    let listed = member_of(&ann, "ben@example.com").await;
    assert_eq!(
        (&listed["role"], &listed["id"]),
        (&json!("editor"), &accepted.body["data"]["member_id"])
    );

    let again = accept(&app, &token, Some(PASSWORD)).await;
    assert_eq!((again.error().0, reason(&again)), (404, "invitation_not_good"), "once");
    assert_eq!(ann.get("/v1/team/invitations").await.body["data"], json!([]));
}

#[actix_web::test]
async fn who_has_a_password_joins_without_and_belongs_to_both() {
    let app = TestApp::start().await;
    let (ann, _) = (app.owner_of("Acme").await, app.owner_with_password("Other").await);
    let address = crate::app::address("Other");
    let token = app.invitation_token(&id(&invite(&ann, &address, "viewer").await), 1);
    let given = accept(&app, &token, Some("a stranger's idea of a password")).await;
    assert_eq!(given.error(), (422, "validation_error"), "nobody sets another's password");
    assert_eq!(accept(&app, &token, None).await.status, 200);
    let (bob, _) = app.sign_in(&address).await;
    let mine = bob.get("/v1/me/organizations").await;
    assert_eq!(mine.body["data"].as_array().unwrap().len(), 2, "{}", mine.text);
    assert_eq!(member_of(&ann, &address).await["role"], "viewer");
}

#[actix_web::test]
async fn an_invitation_expires_is_sent_again_and_is_taken_back() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let invited = id(&invite(&ann, "ben@example.com", "viewer").await);
    let twice = invite(&ann, "ben@example.com", "viewer").await;
    assert_eq!((twice.error().0, reason(&twice)), (409, "already_invited"));

    app.clock.advance(WEEK);
    let first = app.invitation_token(&invited, 1);
    assert_eq!(reason(&accept(&app, &first, Some(PASSWORD)).await), "invitation_not_good");
    let path = format!("/v1/team/invitations/{invited}");
    assert_eq!(ann.get(&path).await.body["data"]["is_expired"], true);
    let again = ann.post(&format!("{path}/resend"), json!({})).await;
    assert_eq!((again.status, &again.body["data"]["sendings"]), (200, &json!(2)), "{}", again.text);
    assert_eq!(reason(&accept(&app, &first, Some(PASSWORD)).await), "invitation_not_good");
    let third = app.invitation_token(&invited, 3);
    assert_eq!(reason(&accept(&app, &third, Some(PASSWORD)).await), "invitation_not_good");

    assert_eq!(ann.delete(&path).await.status, 204);
    assert_eq!(ann.delete(&path).await.error(), (404, "not_found"));
    let second = app.invitation_token(&invited, 2);
    assert_eq!(reason(&accept(&app, &second, Some(PASSWORD)).await), "invitation_not_good");
    // One that has expired makes room for a new one.
    let old = id(&invite(&ann, "ben@example.com", "viewer").await);
    app.clock.advance(WEEK);
    let new = id(&invite(&ann, "ben@example.com", "editor").await);
    assert_ne!(old, new);
    assert_eq!(accept(&app, &app.invitation_token(&new, 1), Some(PASSWORD)).await.status, 200);
    let member = invite(&ann, "ben@example.com", "viewer").await;
    assert_eq!((member.error().0, reason(&member)), (409, "already_a_member"));
}

#[actix_web::test]
async fn two_who_accept_at_once_are_one_member() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let token = app.invitation_token(&id(&invite(&ann, "ben@example.com", "viewer").await), 1);
    let (a, b) =
        tokio::join!(accept(&app, &token, Some(PASSWORD)), accept(&app, &token, Some(PASSWORD)));
    let mut statuses = [a.status, b.status];
    statuses.sort_unstable();
    assert_eq!(statuses[0], 200, "{} {}", a.text, b.text);
    assert!(matches!(statuses[1], 404 | 422), "{} {}", a.text, b.text);
}

#[actix_web::test]
async fn a_strangers_token_is_good_for_nothing() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let good = app.invitation_token(&id(&invite(&ann, "ben@example.com", "viewer").await), 1);
    let other = app.invitation_token("inv_018a3a2b4c5d7e6f8091a2b3c4d5e6f7", 1);
    let bent = format!("{}A", &good[..good.len() - 1]);
    for token in ["", "x", "invite_", &good[7..], &bent, &good.replace("invite_", "reset_"), &other]
    {
        let answer = accept(&app, token, Some(PASSWORD)).await;
        let is_same = bent == good && token == bent;
        assert!(is_same || answer.error() == (404, "not_found"), "{token}: {}", answer.text);
    }
}

#[actix_web::test]
async fn nobody_grants_above_themselves_by_role_or_by_key() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let hr = json!({ "name": "HR", "scopes": ["team:read", "team:write", "dashboards:read"] });
    let hr = id(&ann.post("/v1/roles", hr).await);
    let (eve, eves) = app.member(&ann, "eve@example.com", &hr).await;
    let (_, bens) = app.member(&ann, "ben@example.com", "editor").await;
    let (adam, adams) = app.member(&ann, "adam@example.com", "admin").await;
    let anns =
        member_of(&ann, &crate::app::address("Acme")).await["id"].as_str().unwrap().to_owned();

    for role in ["owner", "admin", "editor", "viewer"] {
        assert_escalation(&invite(&eve, "new@example.com", role).await);
    }
    assert_eq!(invite(&eve, "new@example.com", &hr).await.status, 201, "what she has herself");
    for (member, role) in
        [(&eves, "admin"), (&bens, hr.as_str()), (&adams, hr.as_str()), (&anns, "viewer")]
    {
        let path = format!("/v1/team/members/{member}");
        assert_escalation(&eve.patch(&path, json!({ "role": role })).await);
    }
    for member in [&bens, &adams, &anns] {
        assert_escalation(&eve.delete(&format!("/v1/team/members/{member}")).await);
    }
    assert_escalation(&eve.post("/v1/roles", json!({ "name": "X", "scopes": ["admin"] })).await);
    let wider = json!({ "scopes": ["team:read", "team:write", "dashboards:read", "admin"] });
    assert_escalation(&eve.patch(&format!("/v1/roles/{hr}"), wider).await);

    // An admin stands below the owner, and a key below its maker.
    assert_escalation(
        &adam.patch(&format!("/v1/team/members/{anns}"), json!({ "role": "viewer" })).await,
    );
    assert_escalation(&adam.delete(&format!("/v1/team/members/{anns}")).await);
    assert_escalation(&invite(&adam, "new@example.com", "owner").await);
    let narrow = key(&app, &ann, &["team:read", "team:write"]).await;
    assert_escalation(&invite(&narrow, "key@example.com", "viewer").await);
    assert_escalation(&narrow.delete(&format!("/v1/team/members/{bens}")).await);
    let enough = key(&app, &ann, &["team:write", "queries:read", "dashboards:read"]).await;
    assert_eq!(invite(&enough, "key@example.com", "viewer").await.status, 201);
    let test =
        ann.post("/v1/api-keys", json!({ "name": "t", "scopes": ["full"], "is_test": true }));
    let test = app.somebody(test.await.body["data"]["key"].as_str().unwrap());
    assert_escalation(&invite(&test, "test@example.com", "viewer").await);

    // The owner is nobody's to demote, not even their own.
    let down = ann.patch(&format!("/v1/team/members/{anns}"), json!({ "role": "admin" })).await;
    assert_eq!((down.error().0, reason(&down)), (409, "owner_must_hand_over"));
    let gone = ann.delete(&format!("/v1/team/members/{anns}")).await;
    assert_eq!((gone.error().0, reason(&gone)), (409, "owner_must_hand_over"));

    // Each attempt is in the trail, with who tried what; none of the changes is.
    let denied = ann.get("/v1/audit?action=role.escalation&outcome=denied&limit=100").await;
    let denied = denied.body["data"].as_array().unwrap().clone();
    let by = |person: &str| denied.iter().filter(|it| it["user_id"] == *person).count();
    let who = async |person: &Person| {
        let me = person.get("/v1/me/access").await;
        me.body["data"]["user_id"].as_str().unwrap().to_owned()
    };
    assert_eq!(by(&who(&eve).await), 13);
    assert_eq!(by(&who(&adam).await), 3);
    assert_eq!(by(&who(&ann).await), 3, "her keys");
    assert_eq!(denied.len(), 19);
    let invitations = |it: &&Value| {
        it["details"]["route"] == "/v1/team/members" && it["details"]["method"] == "POST"
    };
    assert_eq!(denied.iter().filter(invitations).count(), 7, "{denied:?}");
    let changed = ann.get("/v1/audit?action=member.role_changed").await;
    assert_eq!(changed.body["data"], json!([]));
    let whole = ann.get("/v1/audit/verify").await;
    assert_eq!(whole.status, 200, "{}", whole.text);

    let unknown = invite(&ann, "new2@example.com", "king").await;
    assert_eq!(unknown.error(), (422, "validation_error"));
    assert!(unknown.body["error"]["details"]["role"].is_string());
}

#[actix_web::test]
async fn what_somebody_may_not_grant_any_more_nobody_gets() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let (adam, adams) = app.member(&ann, "adam@example.com", "admin").await;
    let admin = app.invitation_token(&id(&invite(&adam, "mole@example.com", "admin").await), 1);
    let later = id(&invite(&adam, "late@example.com", "viewer").await);
    let path = format!("/v1/team/members/{adams}");
    assert_eq!(ann.patch(&path, json!({ "role": "viewer" })).await.status, 200);
    assert_eq!(reason(&accept(&app, &admin, Some(PASSWORD)).await), "invitation_not_good");
    // Sent again by somebody who may, it is theirs.
    assert_eq!(ann.delete(&path).await.status, 204);
    assert_eq!(ann.get(&format!("/v1/team/invitations/{later}")).await.status, 404);
    assert_eq!(ann.get("/v1/team/invitations").await.body["data"], json!([]));
}

#[actix_web::test]
async fn who_is_removed_or_leaves_is_out_with_keys_and_sessions() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let (ben, bens) = app.member(&ann, "ben@example.com", "editor").await;
    let bens_key = key(&app, &ben, &["full"]).await;
    assert_eq!(bens_key.get("/v1/queries").await.status, 200);
    assert_eq!(ann.delete(&format!("/v1/team/members/{bens}")).await.status, 204);
    assert_eq!(bens_key.get("/v1/queries").await.error(), (401, "authentication_error"));
    assert_eq!(ben.get("/v1/queries").await.status, 401);
    assert_eq!(ben.get("/v1/me/organizations").await.body["data"], json!([]), "still somebody");

    let (eve, _) = app.member(&ann, "eve@example.com", "viewer").await;
    let eves_key = key(&app, &eve, &["read"]).await;
    let by_key = eves_key.delete("/v1/team/members/me").await;
    assert_eq!((by_key.error().0, reason(&by_key)), (403, "sign_in_required"));
    assert_eq!(eve.delete("/v1/team/members/me").await.status, 204);
    assert_eq!(eves_key.get("/v1/queries").await.status, 401);
    assert_eq!(eve.get("/v1/queries").await.status, 401);
    let (ann, _) = {
        let ann = app.owner_with_password("Other").await;
        ann.sign_in(&crate::app::address("Other")).await
    };
    let stays = ann.delete("/v1/team/members/me").await;
    assert_eq!((stays.error().0, reason(&stays)), (409, "owner_must_hand_over"));
}

#[actix_web::test]
async fn a_change_of_role_takes_effect_at_once() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let (ben, bens) = app.member(&ann, "ben@example.com", "viewer").await;
    let bens_key = key(&app, &ben, &["full"]).await;
    let path = format!("/v1/team/members/{bens}");
    for (role, expected) in [("admin", 200), ("editor", 200), ("viewer", 403)] {
        assert_eq!(ann.patch(&path, json!({ "role": role })).await.status, 200);
        for person in [&ben, &bens_key] {
            assert_eq!(person.get("/v1/connections").await.status, expected, "{role}");
        }
    }
}

#[actix_web::test]
async fn letters_of_invitations_hold_no_token() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let invited = id(&invite(&ann, "ben@example.com", "viewer").await);
    ann.post(&format!("/v1/team/invitations/{invited}/resend"), json!({})).await;
    let mut letters = app.letters().await;
    // Of one moment, they come in any order.
    letters.sort_by_key(|it| it["letter"]["sending"].as_i64());
    assert_eq!(letters.len(), 2, "{letters:?}");
    for (at, payload) in letters.iter().enumerate() {
        assert_eq!(payload["to"]["address"], "ben@example.com");
        let letter = &payload["letter"];
        assert_eq!((&letter["kind"], &letter["role"]), (&json!("invitation"), &json!("viewer")));
        assert_eq!(letter["sending"], at + 1);
        assert_eq!(letter["organization"], "Acme");
        let sending = letter["sending"].as_i64().unwrap().try_into().unwrap();
        let token = app.invitation_token(&invited, sending);
        assert!(!payload.to_string().contains(&token[..20]));
    }
}

#[actix_web::test]
async fn the_letters_link_leads_to_a_page_that_takes_the_invitation() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let token = app.invitation_token(&id(&invite(&ann, "ben@example.com", "viewer").await), 1);
    let path = format!("/accept-invitation?token={token}");
    let page = send(app.request("GET", &path)).await;
    assert_eq!(page.status, 200);
    for text in ["Acme invites ben@example.com as viewer", "name=\"password\"", token.as_str()] {
        assert!(page.text.contains(text), "{text}: {}", page.text);
    }
    assert!(!page.text.contains("<script"));
    assert_eq!(send(app.request("GET", &path)).await.status, 200, "looking uses nothing up");
    let post = |password: &str| {
        let form = format!("token={token}&password={}", password.replace(' ', "+"));
        let request = app.request("POST", "/accept-invitation");
        send(request.header("content-type", "application/x-www-form-urlencoded").body(form))
    };
    assert_eq!(post("weak").await.status, 422);
    let done = post(PASSWORD).await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert!(done.text.contains("ben@example.com"), "{}", done.text);
    app.sign_in("ben@example.com").await;
    for gone in [path.as_str(), "/accept-invitation", "/accept-invitation?token=x"] {
        assert_eq!(send(app.request("GET", gone)).await.status, 410, "{gone}");
    }
    assert_eq!(post(PASSWORD).await.status, 410);
}
