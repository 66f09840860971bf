use std::time::Duration;

use serde_json::{Value, json};

use crate::app::{Person, TestApp, send};
use crate::control_plane::{Node, is_psql_here, new_project, psql};

async fn branch_named(owner: &Person, project: &str, name: &str) -> Value {
    let path = format!("/api/v2/projects/{project}/branches");
    let all = owner.get(&path).await.is(200);
    let all = all["branches"].as_array().unwrap();
    all.iter().find(|it| it["name"] == name).cloned().unwrap_or(Value::Null)
}

#[actix_web::test]
async fn a_snapshot_keeps_a_state_and_brings_it_back() {
    if !is_psql_here() {
        return;
    }
    let app = TestApp::start().await;
    let node = Node::start(&app, 4).await;
    let (owner, other) = (app.owner_of("Acme").await, app.owner_of("Other").await);
    let made = new_project(&owner, "shop").await;
    let project = made["project"]["id"].as_str().unwrap();
    let main = made["branch"]["id"].as_str().unwrap();
    let uri = made["connection_uris"][0]["connection_uri"].as_str().unwrap();
    let base = format!("/api/v2/projects/{project}");
    let take = format!("{base}/branches/{main}/snapshot");
    psql(uri, "CREATE TABLE t AS SELECT generate_series(1, 100) AS n").await.unwrap();
    let before = psql(uri, "SELECT pg_current_wal_lsn()").await.unwrap();
    psql(uri, "DELETE FROM t WHERE n > 50").await.unwrap();

    let taken = owner.post(&format!("{take}?name=half"), json!({})).await.is(200);
    let half = taken["snapshot"].clone();
    assert_eq!((&half["name"], &half["source_branch_id"]), (&json!("half"), &json!(main)));
    assert_eq!((&half["current_state"], &half["manual"]), (&json!("ready"), &json!(true)));
    assert!(half["full_size"].as_i64().unwrap() > 1 << 20, "{half}");
    let half = half["id"].as_str().unwrap();
    psql(uri, "DELETE FROM t").await.unwrap();
    let past = owner.post(&format!("{take}?lsn={before}"), json!({})).await.is(200);
    let past = past["snapshot"]["id"].as_str().unwrap().to_owned();
    let files = node.folder(&format!("projects/{project}/{half}"));
    assert!(files.join("data").exists() && !files.join("bases").exists(), "no more than the state");

    // It is no branch, and nobody else's.
    let branches = owner.get(&format!("{base}/branches")).await.is(200);
    assert_eq!(branches["branches"].as_array().unwrap().len(), 1);
    let one = format!("{base}/snapshots/{half}");
    for (method, path) in [
        ("GET", format!("{base}/snapshots")),
        ("POST", take.clone()),
        ("PATCH", one.clone()),
        ("DELETE", one.clone()),
        ("POST", format!("{one}/restore")),
        ("GET", format!("{base}/branches/{main}/backup_schedule")),
    ] {
        assert_eq!(send(other.request(method, &path)).await.status, 404, "{method} {path}");
    }

    // Looked at first: a branch of its own with an endpoint of its own.
    let restored = owner.post(&format!("{one}/restore"), json!({ "name": "look" })).await.is(200);
    let look = restored["branch"].clone();
    assert_eq!(look["restore_status"], "restored");
    assert_eq!((&look["restored_from"], &look["restored_as"]), (&json!(half), &json!(main)));
    let host = restored["endpoints"][0]["host"].as_str().unwrap();
    let (login, rest) = uri.split_once('@').unwrap();
    let there = format!("{login}@{host}/{}", rest.split_once('/').unwrap().1);
    assert_eq!(psql(&there, "SELECT count(*) FROM t").await.unwrap(), "50");
    assert_eq!(psql(uri, "SELECT count(*) FROM t").await.unwrap(), "0");

    // Then put in the place of what it was taken of: same address, same name.
    let look = look["id"].as_str().unwrap();
    let finalize = format!("{base}/branches/{look}/finalize_restore");
    owner.post(&finalize, json!({ "name": "main-before" })).await.is(200);
    assert_eq!(psql(uri, "SELECT count(*) FROM t").await.unwrap(), "50");
    assert!(psql(&there, "SELECT 1").await.is_err(), "its own endpoint went");
    let now_main = branch_named(&owner, project, "main").await;
    assert_eq!((&now_main["id"], &now_main["default"]), (&json!(look), &json!(true)));
    assert_eq!(now_main["restore_status"], "finalized");
    let old = branch_named(&owner, project, "main-before").await;
    assert_eq!((&old["id"], &old["default"]), (&json!(main), &json!(false)));
    assert!(!node.folder(&format!("projects/{project}/{main}/data/postmaster.pid")).exists());
    assert_eq!(owner.post(&finalize, json!({})).await.is(422)["code"], "BRANCH_NOT_RESTORED");

    // The branch that it is of goes, the snapshot stays; at once and named, it replaces what is there now.
    owner.delete(&format!("{base}/branches/{main}?hard_delete=true")).await.is(200);
    let path = format!("{base}/snapshots/{past}/restore");
    let gone = owner.post(&path, json!({ "finalize_restore": true })).await.is(422);
    assert_eq!(gone["code"], "TARGET_BRANCH_MISSING");
    let body = json!({ "finalize_restore": true, "target_branch_id": look });
    let done = owner.post(&path, body).await.is(200);
    assert_eq!(
        (&done["branch"]["name"], &done["branch"]["restore_status"]),
        (&json!("main"), &json!("finalized"))
    );
    assert_eq!(psql(uri, "SELECT count(*) FROM t").await.unwrap(), "100", "as of then");
    psql(uri, "INSERT INTO t VALUES (0)").await.unwrap();

    // Renamed, and deleted with its files.
    let body = json!({ "snapshot": { "name": "fifty" } });
    assert_eq!(owner.patch(&one, body).await.is(200)["snapshot"]["name"], "fifty");
    owner.delete(&one).await.is(202);
    owner.delete(&one).await.is(404);
    assert!(!files.exists());
    let left = owner.get(&format!("{base}/snapshots")).await.is(200);
    assert_eq!(left["snapshots"].as_array().unwrap().len(), 1);
    node.end().await;
}

#[actix_web::test]
async fn what_is_due_happens_when_its_time_has_come() {
    let app = TestApp::start().await;
    let node = Node::start(&app, 4).await;
    let owner = app.owner_of("Acme").await;
    let made = new_project(&owner, "shop").await;
    let project = made["project"]["id"].as_str().unwrap();
    let main = made["branch"]["id"].as_str().unwrap();
    let base = format!("/api/v2/projects/{project}");
    let schedule = format!("{base}/branches/{main}/backup_schedule");
    let set = async |body: Value| send(owner.request("PUT", &schedule).json(&body)).await;
    let items = json!([{ "frequency": "daily", "hour": 3, "retention_seconds": 3600 }]);
    set(json!({ "schedule": items })).await.is(200);
    assert_eq!(owner.get(&schedule).await.is(200)["schedule"], items);
    for wrong in [
        json!([{ "frequency": "daily", "hour": 24 }]),
        json!([{ "frequency": "weekly", "day": 8 }]),
        json!([{ "frequency": "daily", "retention_seconds": 60 }]),
        json!([{ "frequency": "often" }]),
    ] {
        set(json!({ "schedule": wrong })).await.is(400);
    }

    // Neither the default branch nor a protected one can expire.
    let hour = json!(app.now() + jiff::SignedDuration::from_hours(1));
    let never = json!({ "branch": { "expires_at": hour } });
    let refused = owner.patch(&format!("{base}/branches/{main}"), never).await.is(422);
    assert_eq!(refused["code"], "BRANCH_CANNOT_EXPIRE");
    let body = json!({ "branch": { "name": "short", "expires_at": hour }, "endpoints": [{ "type": "read_write" }] });
    let short = owner.post(&format!("{base}/branches"), body).await.is(201);
    assert_eq!(short["branch"]["ttl_interval_seconds"], 3600);

    app.clock.advance(jiff::SignedDuration::from_hours(25));
    wait(async || {
        let snapshots = owner.get(&format!("{base}/snapshots")).await.is(200);
        let snapshots = snapshots["snapshots"].as_array().unwrap().clone();
        snapshots.len() == 1
            && snapshots[0]["manual"] == false
            && snapshots[0]["current_state"] == "ready"
            && branch_named(&owner, project, "short").await.is_null()
    })
    .await;
    let id = short["branch"]["id"].as_str().unwrap();
    wait(async || {
        owner.post(&format!("{base}/branches/{id}/recover"), json!({})).await.status == 200
    })
    .await;

    // Taken once, and gone an hour later.
    app.clock.advance(jiff::SignedDuration::from_mins(61));
    wait(async || {
        let left = owner.get(&format!("{base}/snapshots")).await.is(200);
        left["snapshots"].as_array().unwrap().is_empty()
    })
    .await;
    // Its files go a moment later.
    wait(async || {
        let mut left = std::fs::read_dir(node.folder(&format!("projects/{project}"))).unwrap();
        !left.any(|it| it.unwrap().file_name().to_string_lossy().starts_with("snap-"))
    })
    .await;
    node.end().await;
}

/// Waits until something holds.
async fn wait(holds: impl AsyncFn() -> bool) {
    for _ in 0..600 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it never came to be");
}
