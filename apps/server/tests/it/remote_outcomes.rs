//! What is known here of calls at remotes whose answer does not say: or does not come, or comes to nobody.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::app::{Person, TestApp, send};
use crate::neon::{Fault, Neon, ORG};

fn text(it: &Value) -> String {
    it.as_str().unwrap_or_else(|| panic!("{it} is no text")).to_owned()
}

/// A remote that is such a server; gives its path.
async fn remote(person: &Person, neon: &Neon) -> String {
    let body =
        json!({ "name": "neon", "base_url": neon.base_url, "key": "napi_canary", "org_id": ORG });
    let made = person.post("/v1/remotes", body).await.is(201);
    format!("/v1/remotes/{}", text(&made["data"]["id"]))
}

fn new(name: &str) -> Value {
    json!({ "project": { "name": name, "region_id": "neon:neon" } })
}

async fn listed(person: &Person) -> Vec<String> {
    let all = person.get("/api/v2/projects?limit=100").await.is(200);
    all["projects"].as_array().unwrap().iter().map(|it| text(&it["name"])).collect()
}

async fn intents(app: &TestApp) -> usize {
    app.rows("SELECT id::text FROM cp_remote_intents").await.len()
}

async fn sweep(app: &TestApp) -> usize {
    app.services.remotes.sweep().await.unwrap()
}

const GATEWAY: &str = "503 Service Unavailable";

#[actix_web::test]
async fn what_takes_its_time_there_is_waited_for_and_what_is_new_there_comes_as_it_is() {
    let (here, neon) = (TestApp::start().await, Neon::start().await);
    let ann = here.owner_of("Acme").await;
    remote(&ann, &neon).await;
    let made = ann.post("/api/v2/projects", new("shop")).await.is(201);
    assert_eq!(made["project"]["name"], "shop", "{made}");
    assert_eq!(made["project"]["something_new"], json!({ "a": [1] }));
    assert_eq!(
        (&made["project"]["hipaa"], &made["project"]["platform_id"]),
        (&Value::Null, &json!("aws"))
    );
    let operation = &made["operations"][0];
    assert_eq!((&operation["status"], &operation["new_field"]), (&json!("finished"), &json!(true)));
    assert_eq!(made["branch"]["current_state"], "ready", "{made}");
    assert_eq!((neon.projects(), intents(&here).await), (vec!["shop".to_owned()], 0));
    let base = format!("/api/v2/projects/{}", text(&made["project"]["id"]));

    // Locked, and asked too often: nothing was done, so it is asked again.
    neon.fail(Fault::refused("POST /projects/", "423 Locked", 2));
    neon.fail(Fault::refused("POST /projects/", "429 Too Many Requests\r\nretry-after: 1", 1));
    let dev = json!({ "branch": { "name": "dev" } });
    let dev = ann.post(&format!("{base}/branches"), dev).await.is(201);
    assert_eq!(
        (&dev["branch"]["current_state"], &dev["branch"]["new"]),
        (&json!("ready"), &json!(1))
    );
    assert_eq!(neon.asked("POST /projects/").len(), 4);
    let branch = format!("{base}/branches/{}", text(&dev["branch"]["id"]));
    let restored = json!({ "source_branch_id": "^self" });
    let restored = ann.post(&format!("{branch}/restore"), restored).await.is(200);
    assert_eq!(restored["branch"]["current_state"], "resetting");
    // One that stays locked says so.
    neon.fail(Fault::refused("DELETE", "423 Locked", 100));
    assert_eq!(ann.delete(&branch).await.status, 423);
}

#[actix_web::test]
async fn a_project_that_was_made_is_known_here_whatever_becomes_of_its_answer() {
    let (here, neon) = (TestApp::start().await, Neon::start().await);
    let (ann, bob) = (here.owner_of("Acme").await, here.owner_of("Other").await);
    remote(&ann, &neon).await;
    // The answer is lost: it is looked at once.
    for (name, fault) in [
        ("lost", Fault::lost("POST /projects")),
        ("hidden", Fault::hidden("POST /projects", GATEWAY)),
    ] {
        neon.fail(fault);
        let again = || ann.request("POST", "/api/v2/projects").header("Idempotency-Key", name);
        let lost = send(again().json(&new(name))).await.is(502);
        assert_eq!(lost["code"], "REMOTE_ANSWER_LOST", "{lost}");
        assert!(text(&lost["message"]).contains("quiet-lake-"), "{lost}");
        assert!(listed(&ann).await.contains(&name.to_owned()));
        // With the same key it is not made a second time.
        let known = send(again().json(&new(name))).await;
        assert_eq!(known.status, 409, "{}", known.text);
        assert!(known.text.contains("took effect"), "{}", known.text);
    }
    assert_eq!((neon.projects(), intents(&here).await), (vec!["lost".into(), "hidden".into()], 0));

    // Nobody can look at once, as if the server had died: the next look finds it.
    neon.fail(Fault::lost("POST /projects"));
    neon.fail(Fault::refused("GET /projects?search", "500 X", 4));
    let unknown = ann.post("/api/v2/projects", new("died")).await.is(502);
    assert_eq!(unknown["code"], "REMOTE_OUTCOME_UNKNOWN", "{unknown}");
    assert_eq!((listed(&ann).await.len(), intents(&here).await), (2, 1));
    assert!(neon.projects()[2].starts_with("died plinth-"), "{:?}", neon.projects());
    assert_eq!(sweep(&here).await, 0, "whoever began it may be at it still");
    here.clock.advance(SignedDuration::from_mins(3));
    // What cannot be asked is asked later.
    neon.fail(Fault::refused("GET /projects?search", "500 X", 4));
    assert_eq!((sweep(&here).await, intents(&here).await), (1, 1));
    here.clock.advance(SignedDuration::from_mins(3));
    assert_eq!((sweep(&here).await, intents(&here).await), (1, 0));
    assert_eq!((listed(&ann).await[0].as_str(), neon.projects()[2].as_str()), ("died", "died"));
    assert_eq!(listed(&bob).await, Vec::<String>::new());
    let trail = here
        .rows("SELECT details::text FROM audit_entries WHERE action = 'project.brought_in'")
        .await;
    assert_eq!(trail.len(), 3, "{trail:?}");

    // The name is given later where the remote is busy.
    neon.fail(Fault::refused("PATCH /projects/", "423 Locked", 4));
    let made = ann.post("/api/v2/projects", new("busy")).await.is(201);
    assert!(text(&made["project"]["name"]).starts_with("busy plinth-"), "{made}");
    here.clock.advance(SignedDuration::from_mins(3));
    assert_eq!((sweep(&here).await, intents(&here).await), (1, 0));
    assert_eq!((listed(&ann).await[0].as_str(), neon.projects()[3].as_str()), ("busy", "busy"));
    // And one without a name is called as its id.
    let made = json!({ "project": { "region_id": "neon:neon" } });
    let made = ann.post("/api/v2/projects", made).await.is(201);
    assert_eq!(made["project"]["name"], made["project"]["id"]);
}

#[actix_web::test]
async fn what_was_never_made_is_not_looked_for_for_ever() {
    let (here, neon) = (TestApp::start().await, Neon::start().await);
    let ann = here.owner_of("Acme").await;
    let path = remote(&ann, &neon).await;
    // What the remote refuses it has not done.
    for (answer, status) in [("400 X", 400), ("422 X", 422), ("401 X", 503)] {
        neon.fail(Fault::refused("POST /projects", answer, 1));
        assert_eq!(ann.post("/api/v2/projects", new("no")).await.status, status);
        assert_eq!(intents(&here).await, 0, "{answer}");
    }
    for wrong in [json!(""), json!(7), json!("x".repeat(257))] {
        let wrong = json!({ "project": { "name": wrong, "region_id": "neon:neon" } });
        assert_eq!(ann.post("/api/v2/projects", wrong.clone()).await.status, 400, "{wrong}");
    }
    neon.asked("");
    neon.fail(Fault::refused("POST /projects", GATEWAY, 1));
    let unknown = ann.post("/api/v2/projects", new("no")).await.is(502);
    assert_eq!(unknown["code"], "REMOTE_OUTCOME_UNKNOWN", "{unknown}");
    assert_eq!(neon.asked("POST").len(), 1, "it might be made twice");
    here.clock.advance(SignedDuration::from_mins(3));
    assert_eq!((sweep(&here).await, intents(&here).await), (1, 1), "it may still appear");
    here.clock.advance(SignedDuration::from_mins(9));
    assert_eq!((sweep(&here).await, intents(&here).await), (1, 0));
    // Where nobody was reached nothing was sent.
    here.behind_its_back("UPDATE cp_remotes SET base_url = 'http://127.0.0.1:9/api/v2'").await;
    let away = ann.post("/api/v2/projects", new("no")).await.is(503);
    assert_eq!((&away["code"], intents(&here).await), (&json!("REMOTE_UNAVAILABLE"), 0));
    assert_eq!((neon.projects(), listed(&ann).await), (vec![], vec![]));
    assert_eq!(ann.delete(&path).await.status, 204);
}

#[actix_web::test]
async fn what_is_gone_there_is_gone_here_whatever_becomes_of_its_answer() {
    let (here, neon) = (TestApp::start().await, Neon::start().await);
    let ann = here.owner_of("Acme").await;
    remote(&ann, &neon).await;
    let mut bases = Vec::new();
    for name in ["one", "two", "three"] {
        let made = ann.post("/api/v2/projects", new(name)).await.is(201);
        bases.push(format!("/api/v2/projects/{}", text(&made["project"]["id"])));
    }
    // It is looked at once, and the answer is what it would have been.
    neon.fail(Fault::lost("DELETE /projects/"));
    let gone = ann.delete(&bases[0]).await.is(200);
    let me = text(&ann.get("/v1/me/access").await.body["data"]["organization_id"]);
    assert_eq!((&gone["project"]["name"], &gone["project"]["org_id"]), (&json!("one"), &json!(me)));
    assert_eq!((listed(&ann).await, intents(&here).await), (vec!["three".into(), "two".into()], 0));
    // Refused for the moment, and still there: once more.
    neon.fail(Fault::refused("DELETE /projects/", GATEWAY, 1));
    ann.delete(&bases[1]).await.is(200);
    assert_eq!(neon.projects(), ["three"]);
    // Nobody can look.
    neon.fail(Fault::lost("DELETE /projects/"));
    neon.fail(Fault::refused("GET /projects/", "500 X", 4));
    let unknown = ann.delete(&bases[2]).await.is(502);
    assert_eq!(unknown["code"], "REMOTE_OUTCOME_UNKNOWN");
    assert_eq!((listed(&ann).await, intents(&here).await), (vec!["three".into()], 1));
    here.clock.advance(SignedDuration::from_mins(3));
    assert_eq!((sweep(&here).await, intents(&here).await), (1, 1), "it may come about later");
    assert_eq!(listed(&ann).await, Vec::<String>::new());
    here.clock.advance(SignedDuration::from_mins(9));
    assert_eq!((sweep(&here).await, intents(&here).await), (1, 0));
    assert_eq!(listed(&ann).await, Vec::<String>::new());
    // And brought back.
    neon.fail(Fault::lost("POST /projects/"));
    let unknown = ann.post(&format!("{}/recover", bases[2]), json!({})).await.is(502);
    assert_eq!(unknown["code"], "REMOTE_OUTCOME_UNKNOWN");
    here.clock.advance(SignedDuration::from_mins(12));
    assert_eq!((sweep(&here).await, intents(&here).await), (1, 0));
    assert_eq!(listed(&ann).await, ["three"]);
    // The second finds the first in its way: nobody knows yet what comes of it.
    neon.fail(Fault::refused("DELETE /projects/", GATEWAY, 1));
    neon.fail(Fault::refused("DELETE /projects/", "423 Locked", 100));
    let unknown = ann.delete(&bases[2]).await.is(502);
    assert_eq!((&unknown["code"], intents(&here).await), (&json!("REMOTE_OUTCOME_UNKNOWN"), 1));
}

#[actix_web::test]
async fn a_change_that_may_have_been_made_is_looked_for_before_it_is_sent_again() {
    let (here, neon) = (TestApp::start().await, Neon::start().await);
    let ann = here.owner_of("Acme").await;
    remote(&ann, &neon).await;
    let made = ann.post("/api/v2/projects", new("shop")).await.is(201);
    let base = format!("/api/v2/projects/{}", text(&made["project"]["id"]));
    let branches = format!("{base}/branches");
    let branch = |name: &str| json!({ "branch": { "name": name } });

    // It has left no trace: once more, and only once.
    neon.asked("");
    neon.fail(Fault::refused("POST /projects/", GATEWAY, 1));
    ann.post(&branches, branch("first")).await.is(201);
    assert_eq!(neon.asked("POST").len(), 2);
    neon.fail(Fault::refused("POST /projects/", GATEWAY, 2));
    let unknown = ann.post(&branches, branch("second")).await.is(502);
    assert_eq!(unknown["code"], "REMOTE_OUTCOME_UNKNOWN");
    assert!(text(&unknown["message"]).contains("not now"), "the remote's own words: {unknown}");
    assert_eq!(neon.asked("POST").len(), 2);
    // It went through, and somebody in between said no.
    for fault in [
        Fault::hidden("POST /projects/", GATEWAY),
        Fault::hidden("POST /projects/", "502 Bad Gateway"),
        Fault::lost("POST /projects/"),
    ] {
        let name = format!("b{}", neon.branches().len());
        neon.fail(fault);
        let lost = ann.post(&branches, branch(&name)).await.is(502);
        assert_eq!(lost["code"], "REMOTE_ANSWER_LOST", "{lost}");
        assert!(text(&lost["message"]).contains(&name), "{lost}");
        assert_eq!(neon.asked("POST").len(), 1, "{name}");
    }
    assert_eq!(neon.branches(), ["first", "b1", "b2", "b3"]);
    let main = format!("{branches}/br-cool-king-auw0r6up");
    neon.fail(Fault::hidden("POST /projects/", GATEWAY));
    let lost = ann.post(&format!("{main}/roles"), json!({ "role": { "name": "r" } })).await.is(502);
    assert_eq!(lost["code"], "REMOTE_ANSWER_LOST", "{lost}");
    // What cannot be seen is not sent again; what is as good twice is.
    neon.asked("");
    neon.fail(Fault::refused("POST /projects/", GATEWAY, 1));
    let restore = json!({ "source_branch_id": "^self" });
    assert_eq!(ann.post(&format!("{main}/restore"), restore).await.status, 502);
    assert_eq!(neon.asked("POST").len(), 1);
    neon.fail(Fault::refused("PATCH /projects/", GATEWAY, 1));
    ann.patch(&base, json!({ "project": { "name": "store" } })).await.is(200);
    assert_eq!(neon.projects(), ["store"]);
    let listed = ann.get(&branches).await.is(200);
    let first = format!("{branches}/{}", text(&listed["branches"][0]["id"]));
    neon.fail(Fault::hidden("DELETE /projects/", "504 Gateway Timeout"));
    assert_eq!(ann.delete(&first).await.status, 204);
    assert_eq!(neon.branches(), ["b1", "b2", "b3"]);
    // What only reads is asked for until it is there.
    neon.fail(Fault::refused("GET /projects/", GATEWAY, 2));
    ann.get(&branches).await.is(200);
}

#[actix_web::test]
async fn a_key_for_one_project_sees_no_remotes_and_only_the_remotes_organization_is_brought_in() {
    let (here, neon) = (TestApp::start().await, Neon::start().await);
    let ann = here.owner_of("Acme").await;
    let path = remote(&ann, &neon).await;
    let made = ann.post("/api/v2/projects", new("shop")).await.is(201);
    let id = text(&made["project"]["id"]);
    let me = text(&ann.get("/v1/me/access").await.body["data"]["organization_id"]);
    let body = json!({ "key_name": "shop only", "project_id": id });
    let key = ann.post(&format!("/api/v2/organizations/{me}/api_keys"), body).await.is(200);
    let narrow = here.somebody(&text(&key["key"]));
    narrow.get(&format!("/api/v2/projects/{id}")).await.is(200);
    assert_eq!(ann.get("/v1/remotes").await.is(200)["data"].as_array().unwrap().len(), 1);
    assert_eq!(narrow.get("/v1/remotes").await.is(200)["data"], json!([]));
    assert_eq!(ann.get(&path).await.status, 200);
    assert_eq!(narrow.get(&path).await.error(), (404, "not_found"));
    assert_eq!(narrow.post(&format!("{path}/test"), json!({})).await.status, 403);
    let regions = async |who: &Person| {
        who.get("/api/v2/regions").await.is(200)["regions"].as_array().unwrap().len()
    };
    assert_eq!((regions(&ann).await, regions(&narrow).await), (2, 1));
    assert_eq!(narrow.post("/api/v2/projects", new("more")).await.status, 403);

    // The remote's key reaches another organization there too.
    let body =
        json!({ "name": "other", "base_url": neon.base_url, "key": "k", "org_id": "org-other-1" });
    let other = ann.post("/v1/remotes", body).await.is(201);
    let other = format!("/v1/remotes/{}/projects", text(&other["data"]["id"]));
    let brought = json!({ "project_id": id });
    assert_eq!(ann.delete(&format!("{path}/projects/{id}")).await.status, 204);
    let refused = ann.post(&other, brought.clone()).await;
    assert_eq!(refused.error(), (422, "validation_error"), "{}", refused.text);
    assert!(refused.body["error"]["details"]["project_id"].is_string(), "{}", refused.text);
    ann.post(&format!("{path}/projects"), brought).await.is(201);
}
