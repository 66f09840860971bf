use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::{Person, TestApp};
use crate::control_plane::{Node, is_psql_here, new_project, psql};

async fn uri_of(person: &Person, project: &str, endpoint: &Value) -> String {
    let (id, branch) = (endpoint["id"].as_str().unwrap(), endpoint["branch_id"].as_str().unwrap());
    let query = format!(
        "/api/v2/projects/{project}/connection_uri?database_name=neondb&role_name=neondb_owner&endpoint_id={id}&branch_id={branch}"
    );
    person.get(&query).await.is(200)["uri"].as_str().unwrap().to_owned()
}

/// Asks until the answer is that, for some seconds at most.
async fn comes_to(uri: &str, sql: &str, wanted: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let said = psql(uri, sql).await;
        if said.as_deref() == Ok(wanted) {
            return;
        }
        assert!(Instant::now() < deadline, "{sql}: {said:?} instead of {wanted}");
        actix_web::rt::time::sleep(Duration::from_millis(50)).await;
    }
}

#[actix_web::test]
async fn a_read_only_endpoint_shows_what_is_written_and_writes_nothing() {
    if !is_psql_here() {
        return;
    }
    let app = TestApp::start().await;
    let node = Node::start(&app, 1).await;
    let (ann, bob) = (app.owner_of("Acme").await, app.owner_of("Other").await);
    let shop = new_project(&ann, "shop").await;
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    let (project, branch) = (text(&shop["project"]["id"]), text(&shop["branch"]["id"]));
    let base = format!("/api/v2/projects/{project}");
    let writer = text(&shop["connection_uris"][0]["connection_uri"]);
    psql(&writer, "CREATE TABLE t AS SELECT generate_series(1, 3) n").await.unwrap();

    let body = json!({ "endpoint": { "branch_id": branch, "type": "read_only",
        "settings": { "pg_settings": { "work_mem": "7MB" } } } });
    assert_eq!(bob.post(&format!("{base}/endpoints"), body.clone()).await.status, 404);
    let made = ann.post(&format!("{base}/endpoints"), body.clone()).await.is(201);
    let endpoint = made["endpoint"].clone();
    assert_eq!(
        (&endpoint["type"], &endpoint["current_state"]),
        (&json!("read_only"), &json!("active"))
    );
    let id = text(&endpoint["id"]);
    let reader = uri_of(&ann, &project, &endpoint).await;
    assert_ne!(reader, writer);
    assert_eq!(psql(&reader, "SELECT count(*) FROM t").await.as_deref(), Ok("3"));
    // The endpoint alone says which branch it is of.
    let role = "database_name=neondb&role_name=neondb_owner";
    let alone = format!("{base}/connection_uri?{role}&endpoint_id={id}");
    assert_eq!(ann.get(&alone).await.is(200)["uri"], reader);
    assert_eq!(psql(&reader, "SHOW work_mem").await.as_deref(), Ok("7MB"));
    assert_eq!(psql(&writer, "SHOW work_mem").await.as_deref(), Ok("4MB"), "its own setting");
    for write in
        ["INSERT INTO t VALUES (4)", "CREATE TABLE u ()", "SET transaction_read_only = off"]
    {
        let refused = psql(&reader, write).await.unwrap_err();
        assert!(refused.contains("read-only") || refused.contains("recovery"), "{refused}");
    }
    psql(&writer, "INSERT INTO t VALUES (4)").await.unwrap();
    comes_to(&reader, "SELECT count(*) FROM t", "4").await;

    // A role that is made later can log in there as well.
    let role = json!({ "role": { "name": "late" } });
    let role = ann.post(&format!("{base}/branches/{branch}/roles"), role).await.is(201);
    let late = reader.replace("neondb_owner:", "late:");
    let (_, rest) = late.split_once('@').unwrap();
    let late = format!("postgresql://late:{}@{rest}", text(&role["role"]["password"]));
    comes_to(&late, "SELECT current_user", "late").await;

    // Asleep it costs nothing, and knows on waking what was written meanwhile, also while what it follows sleeps.
    let one = format!("{base}/endpoints/{id}");
    assert_eq!(
        ann.post(&format!("{one}/suspend"), json!({})).await.is(200)["endpoint"]["current_state"],
        "idle"
    );
    psql(&writer, "INSERT INTO t VALUES (5)").await.unwrap();
    let owner = text(&shop["endpoints"][0]["id"]);
    ann.post(&format!("{base}/endpoints/{owner}/suspend"), json!({})).await.is(200);
    assert_eq!(psql(&reader, "SELECT count(*) FROM t").await.as_deref(), Ok("5"));
    psql(&writer, "INSERT INTO t VALUES (6)").await.unwrap();
    comes_to(&reader, "SELECT count(*) FROM t", "6").await;
    ann.post(&format!("{base}/endpoints/{owner}/restart"), json!({})).await.is(200);
    ann.post(&format!("{one}/restart"), json!({})).await.is(200);
    psql(&writer, "INSERT INTO t VALUES (7)").await.unwrap();
    comes_to(&reader, "SELECT count(*) FROM t", "7").await;

    // Several of one branch, and one with a branch that is new.
    let second = ann.post(&format!("{base}/endpoints"), body).await.is(201);
    let second = uri_of(&ann, &project, &second["endpoint"]).await;
    assert_eq!(psql(&second, "SELECT count(*) FROM t").await.as_deref(), Ok("7"));
    let dev = json!({ "branch": { "name": "dev" }, "endpoints": [{ "type": "read_only" }] });
    let dev = ann.post(&format!("{base}/branches"), dev).await.is(201);
    let of_dev = uri_of(&ann, &project, &dev["endpoints"][0]).await;
    assert_eq!(psql(&of_dev, "SELECT count(*) FROM t").await.as_deref(), Ok("7"));
    assert!(psql(&of_dev, "DELETE FROM t").await.is_err());

    // Set back, the branch has another past, and so has what follows it.
    let lsn = psql(&writer, "SELECT pg_current_wal_lsn()").await.unwrap();
    psql(&writer, "DELETE FROM t").await.unwrap();
    comes_to(&reader, "SELECT count(*) FROM t", "0").await;
    let restore =
        json!({ "source_branch_id": branch, "source_lsn": lsn, "preserve_under_name": "old" });
    ann.post(&format!("{base}/branches/{branch}/restore"), restore).await.is(200);
    for uri in [&writer, &reader, &second] {
        assert_eq!(psql(uri, "SELECT count(*) FROM t").await.as_deref(), Ok("7"));
    }
    psql(&writer, "INSERT INTO t VALUES (8)").await.unwrap();
    comes_to(&reader, "SELECT count(*) FROM t", "8").await;

    // The endpoint goes with all that it has.
    let folder = |name: &str| {
        let all = std::fs::read_dir(node.folder("projects").join(&project)).unwrap();
        let mut all = all.flatten().map(|it| it.file_name().to_string_lossy().into_owned());
        all.any(|it| it.starts_with(&branch) && it.contains(name))
    };
    let (_, last) = id.rsplit_once('-').unwrap();
    assert!(folder(last));
    ann.delete(&one).await.is(200);
    assert!(!folder(last));
    assert!(psql(&reader, "SELECT 1").await.is_err());
    assert_eq!(psql(&writer, "SELECT count(*) FROM t").await.as_deref(), Ok("8"));
    node.end().await;
}
