use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use plinth_adapter_branches::{LocalBranches, NodeSettings};
use plinth_control_plane::Substrate as _;
use plinth_server::{NodeParts, run_node};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::app::{Answer, Person, TestApp, send};

/// A node in this process, with a folder of its own.
pub(crate) struct Node {
    branches: LocalBranches,
    folder: PathBuf,
    stop: Option<oneshot::Sender<()>>,
}

/// Ports of this process: tests run at once, and other databases know nothing of these.
fn ports(nth: u16) -> std::ops::RangeInclusive<u16> {
    let first = 10_000 + u16::try_from(std::process::id() % 150).unwrap() * 100 + nth * 20;
    first..=first + 19
}

impl Node {
    pub(crate) async fn start(app: &TestApp, nth: u16) -> Self {
        let name = format!("plinth-it-node-{}-{nth}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let ports = ports(nth);
        let settings = NodeSettings {
            folder: folder.clone(),
            postgres_bin: None,
            listen: "127.0.0.1".parse().unwrap(),
            host: "127.0.0.1".to_owned(),
            server_ports: ports.start() + 14..=*ports.end(),
            first_uid: 500_000_000,
        };
        let services = &app.services;
        let authority = services.authority.open().await.unwrap();
        let branches = LocalBranches::open(settings, authority, services.clock.clone()).unwrap();
        let parts = NodeParts {
            store: services.control_plane_store.clone(),
            vault: services.vault.clone(),
            clock: services.clock.clone(),
            name: "local".to_owned(),
            // Two an endpoint, where there is a pooler.
            ports: *ports.start()..=ports.start() + 13,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let worked = branches.clone();
        tokio::spawn(async move {
            run_node(&worked, parts, "127.0.0.1", async { drop(stopped.await) }).await;
        });
        let node = Self { branches, folder, stop: Some(stop) };
        for _ in 0..200 {
            if !services.control_plane.nodes().await.unwrap().is_empty() {
                return node;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the node never lived");
    }

    /// A path in its folder.
    pub(crate) fn folder(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    pub(crate) async fn end(mut self) {
        let _ = self.stop.take().unwrap().send(());
        self.branches.stop().await;
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What psql says to a statement: its rows, or its complaint.
pub(crate) async fn psql(uri: &str, sql: &str) -> Result<String, String> {
    let (uri, sql) = (uri.to_owned(), sql.to_owned());
    let run = move || {
        let mut command = Command::new("psql");
        command.args([&uri, "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", &sql]);
        command.env("PGCONNECT_TIMEOUT", "20").output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

pub(crate) fn is_psql_here() -> bool {
    if Command::new("psql").arg("--version").output().is_ok() {
        return true;
    }
    let reason = "psql is not there";
    println!("SKIPPED: {reason}");
    if let Some(folder) = std::env::var_os("XTASK_SKIPPED_DIR") {
        std::fs::write(std::path::Path::new(&folder).join("control_plane::psql"), reason).unwrap();
    }
    false
}

impl Answer {
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.body
    }
}

pub(crate) async fn new_project(owner: &Person, name: &str) -> Value {
    let made = owner.post("/api/v2/projects", json!({ "project": { "name": name } })).await.is(201);
    for operation in made["operations"].as_array().unwrap() {
        assert_eq!(operation["status"], "finished", "{operation}");
    }
    made
}

#[actix_web::test]
async fn a_project_is_made_used_branched_and_deleted() {
    if !is_psql_here() {
        return;
    }
    let app = TestApp::start().await;
    let node = Node::start(&app, 0).await;
    let owner = app.owner_of("Acme").await;
    let made = new_project(&owner, "shop").await;
    let project = made["project"]["id"].as_str().unwrap();
    let main = made["branch"]["id"].as_str().unwrap();
    let uri = made["connection_uris"][0]["connection_uri"].as_str().unwrap();

    psql(uri, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n").await.unwrap();
    let who = "SELECT current_user, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(psql(uri, who).await.unwrap(), "neondb_owner|t");
    let refused = psql(
        &uri.replace("sslmode=require", "sslmode=disable").replace("channel_binding=require&", ""),
        "SELECT 1",
    )
    .await;
    assert!(refused.is_err(), "TLS only");
    let rights =
        "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls,
                         pg_has_role(current_user, 'pg_execute_server_program', 'MEMBER')
                  FROM pg_roles WHERE rolname = current_user";
    assert_eq!(psql(uri, rights).await.unwrap(), "f|f");
    for no in [
        "COPY t TO PROGRAM 'cat'",
        "CREATE ROLE x",
        "ALTER SYSTEM SET work_mem = '1GB'",
        "SELECT pg_read_file('/etc/passwd')",
    ] {
        assert!(psql(uri, no).await.is_err(), "{no}");
    }
    let (_, rest) = uri.split_once('@').unwrap();
    let superuser = psql(&format!("postgresql://postgres:x@{rest}"), "SELECT 1").await.unwrap_err();
    assert!(superuser.contains("pg_hba.conf rejects"), "{superuser}");

    // The certificate is the authority's.
    let ca = owner.get("/v1/misc/ca.pem").await;
    assert_eq!(ca.status, 200);
    let file = node.folder.join("ca.pem");
    std::fs::write(&file, &ca.text).unwrap();
    let verified = uri
        .replace("sslmode=require", &format!("sslmode=verify-full&sslrootcert={}", file.display()));
    assert_eq!(psql(&verified, "SELECT count(*) FROM t").await.unwrap(), "1000");

    // A branch of what is in use, with the same password.
    let body = json!({ "branch": { "name": "dev" }, "endpoints": [{ "type": "read_write" }] });
    let path = format!("/api/v2/projects/{project}/branches");
    let dev = owner.post(&path, body.clone()).await.is(201);
    let dev_uri = dev["connection_uris"][0]["connection_uri"].as_str().unwrap();
    assert_eq!(psql(dev_uri, "SELECT count(*) FROM t").await.unwrap(), "1000");
    psql(dev_uri, "DELETE FROM t WHERE n > 10").await.unwrap();
    psql(uri, "INSERT INTO t VALUES (0)").await.unwrap();
    assert_eq!(psql(dev_uri, "SELECT count(*) FROM t").await.unwrap(), "10");
    assert_eq!(psql(uri, "SELECT count(*) FROM t").await.unwrap(), "1001");
    let again = owner.post(&path, body).await.is(409);
    assert_eq!(again["code"], "BRANCH_ALREADY_EXISTS");
    assert_eq!(again["message"], "branch already exists; branch_name:\"dev\"");

    // Roles and databases.
    let branch = format!("/api/v2/projects/{project}/branches/{main}");
    let role = json!({ "role": { "name": "reporting" } });
    let role = owner.post(&format!("{branch}/roles"), role).await.is(201);
    let password = role["role"]["password"].as_str().unwrap();
    let reporting = format!("postgresql://reporting:{password}@{rest}");
    assert_eq!(psql(&reporting, "SELECT current_user").await.unwrap(), "reporting");
    let reset =
        owner.post(&format!("{branch}/roles/reporting/reset_password"), json!({})).await.is(200);
    assert!(psql(&reporting, "SELECT 1").await.is_err(), "the old password is over");
    let revealed = owner.get(&format!("{branch}/roles/reporting/reveal_password")).await.is(200);
    assert_eq!(revealed["password"], reset["role"]["password"]);
    let database = json!({ "database": { "name": "books", "owner_name": "reporting" } });
    owner.post(&format!("{branch}/databases"), database).await.is(201);
    let owns = owner.delete(&format!("{branch}/roles/reporting")).await.is(422);
    assert_eq!(owns["code"], "ROLE_OWNS_DATABASE");
    owner.delete(&format!("{branch}/databases/books")).await.is(200);
    owner.delete(&format!("{branch}/databases/books")).await.is(204);
    owner.delete(&format!("{branch}/roles/reporting")).await.is(200);

    // Suspended it costs no process, and the next connection wakes it.
    let endpoint = made["endpoints"][0]["id"].as_str().unwrap();
    let endpoint = format!("/api/v2/projects/{project}/endpoints/{endpoint}");
    let idle = owner.post(&format!("{endpoint}/suspend"), json!({})).await.is(200);
    assert_eq!(idle["endpoint"]["current_state"], "idle");
    assert!(!node.folder.join(format!("projects/{project}/{main}/data/postmaster.pid")).exists());
    assert_eq!(psql(uri, "SELECT count(*) FROM t").await.unwrap(), "1001");
    for _ in 0..100 {
        if owner.get(&endpoint).await.body["endpoint"]["current_state"] == "active" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(owner.get(&endpoint).await.body["endpoint"]["current_state"], "active");

    // Whom the project does not let in is let go at the door.
    let settings = |ips: serde_json::Value| json!({ "project": { "settings": { "allowed_ips": { "ips": ips } } } });
    let project_path = format!("/api/v2/projects/{project}");
    owner.patch(&project_path, settings(json!(["everybody"]))).await.is(400);
    owner.patch(&project_path, settings(json!(["192.0.2.0/24"]))).await.is(200);
    assert!(psql(uri, "SELECT 1").await.is_err());
    owner.patch(&project_path, settings(json!(["192.0.2.0/24", "127.0.0.1"]))).await.is(200);
    assert_eq!(psql(uri, "SELECT 1").await.unwrap(), "1");
    owner.patch(&project_path, settings(json!([]))).await.is(200);

    // What may not be deleted.
    let root = owner.delete(&branch).await.is(422);
    assert_eq!(root["code"], "DEFAULT_BRANCH");
    let dev_id = dev["branch"]["id"].as_str().unwrap();
    let reset = format!("/api/v2/projects/{project}/branches/{dev_id}/reset_to_parent");
    owner.post(&reset, json!({})).await.is(200);
    assert_eq!(
        psql(dev_uri, "SELECT count(*) FROM t").await.unwrap(),
        "1001",
        "set back on the same address"
    );
    owner.delete(&format!("{path}/{dev_id}?hard_delete=true")).await.is(200);
    assert!(!node.folder.join(format!("projects/{project}/{dev_id}")).exists());
    assert!(psql(dev_uri, "SELECT 1").await.is_err());

    owner.delete(&format!("/api/v2/projects/{project}")).await.is(200);
    owner.get(&format!("/api/v2/projects/{project}")).await.is(404);
    assert!(psql(uri, "SELECT 1").await.is_err(), "its port is closed");
    let back = owner.post(&format!("/api/v2/projects/{project}/recover"), json!({})).await.is(200);
    assert_eq!(back["branches"][0]["project_id"], project, "with its branches: {back}");
    assert_eq!(psql(uri, "SELECT count(*) FROM t").await.unwrap(), "1001", "and open again");
    node.end().await;
}

#[actix_web::test]
async fn what_another_organization_has_looks_like_nothing() {
    let app = TestApp::start().await;
    let node = Node::start(&app, 1).await;
    let (ann, bob) = (app.owner_of("Acme").await, app.owner_of("Other").await);
    let made = new_project(&ann, "secret").await;
    let id = |what: &str| made[what]["id"].as_str().unwrap().to_owned();
    let (project, branch) = (id("project"), id("branch"));
    let endpoint = made["endpoints"][0]["id"].as_str().unwrap();
    let operation = made["operations"][0]["id"].as_str().unwrap();
    let base = format!("/api/v2/projects/{project}");
    for (method, path) in [
        ("GET", base.clone()),
        ("PATCH", base.clone()),
        ("DELETE", base.clone()),
        ("GET", format!("{base}/branches")),
        ("POST", format!("{base}/branches")),
        ("GET", format!("{base}/branches/{branch}")),
        ("GET", format!("{base}/branches/{branch}/roles")),
        ("GET", format!("{base}/branches/{branch}/roles/neondb_owner/reveal_password")),
        ("POST", format!("{base}/branches/{branch}/roles/neondb_owner/reset_password")),
        ("GET", format!("{base}/branches/{branch}/databases")),
        ("GET", format!("{base}/branches/{branch}/schema?db_name=neondb")),
        (
            "GET",
            format!(
                "{base}/branches/{branch}/compare_schema?db_name=neondb&base_branch_id={branch}"
            ),
        ),
        ("GET", format!("{base}/endpoints/{endpoint}")),
        ("POST", format!("{base}/endpoints/{endpoint}/suspend")),
        ("GET", format!("{base}/operations")),
        ("GET", format!("{base}/operations/{operation}")),
        ("GET", format!("{base}/connection_uri?database_name=neondb&role_name=neondb_owner")),
    ] {
        let refused = send(bob.request(method, &path)).await;
        assert_eq!(refused.status, 404, "{method} {path}: {}", refused.text);
        assert!(refused.body["request_id"].is_string() && refused.body["code"].is_string());
        if method == "GET" {
            assert_eq!(send(ann.request(method, &path)).await.status, 200, "{path}");
        }
    }
    assert_eq!(bob.get("/api/v2/projects").await.body["projects"], json!([]));
    assert_eq!(ann.get("/api/v2/projects").await.body["projects"][0]["id"], project.as_str());
    node.end().await;
}

#[actix_web::test]
async fn without_a_node_nothing_is_promised() {
    let app = TestApp::start().await;
    let owner = app.owner_of("Acme").await;
    let refused = owner.post("/api/v2/projects", json!({ "project": {} })).await.is(503);
    assert!(refused["message"].as_str().unwrap().contains("plinth node"), "{refused}");
    assert_eq!(owner.get("/api/v2/projects").await.body["projects"], json!([]));
}

#[actix_web::test]
async fn what_one_machine_cannot_be_is_named_in_neons_error() {
    let app = TestApp::start().await;
    let owner = app.owner_of("Acme").await;
    let branch = "/api/v2/projects/some-shop-1/branches/br-some-branch-1";
    for (path, thing) in [
        ("/api/v2/projects/some-shop-1/vpc_endpoints", "VPC endpoints"),
        (&format!("{branch}/auth"), "Neon Auth"),
        (&format!("{branch}/data-api/shop"), "Data API"),
        (&format!("{branch}/anonymized_status"), "anonymized branches"),
    ] {
        let refused = owner.get(path).await.is(404);
        assert!(refused["message"].as_str().unwrap().contains(thing), "{refused}");
        assert!(refused["code"].is_string() && refused["request_id"].is_string(), "{refused}");
    }
    let made = owner.post(&format!("{branch}/auth"), json!({ "auth_provider": "mock" })).await;
    assert!(made.is(404)["message"].as_str().unwrap().contains("Neon Auth"));
}

#[actix_web::test]
async fn an_organization_has_a_database_of_its_own() {
    if !is_psql_here() {
        return;
    }
    let app = TestApp::start().await;
    let node = Node::start(&app, 2).await;
    let (ann, bob) = (app.owner_of("Acme").await, app.owner_of("Other").await);
    let own = ann.get("/v1/misc/db").await.is(200);
    let org = own["organization_id"].as_str().unwrap();
    assert_eq!(own["name"], format!("org_{org}"));
    let uri = own["connection_uri"]["uri"].as_str().unwrap();
    let tables = "SELECT string_agg(tablename, ',' ORDER BY tablename) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(psql(uri, tables).await.unwrap(), "agents,documents,knowledge_bases,tasks,users");
    assert_eq!(
        psql(uri, "SELECT email, role, left_at IS NULL FROM users").await.unwrap(),
        "owner@acme.example.com|owner|t"
    );
    psql(uri, "INSERT INTO agents (name) VALUES ('Watcher')").await.unwrap();
    let again = ann.get("/v1/misc/db").await.is(200);
    assert_eq!(again["id"], own["id"], "there is one");
    assert_eq!(again["connection_uri"], own["connection_uri"]);

    // Questions can be asked of it.
    let connections = ann.get("/v1/connections").await.is(200);
    let connection = connections["data"][0]["id"].as_str().unwrap().to_owned();
    let body = json!({ "connection_id": connection, "sql": "SELECT name FROM agents" });
    let asked = ann.post("/v1/queries", body).await.is(200);
    assert_eq!(asked["data"]["results"]["rows"], json!([["Watcher"]]), "{asked}");

    // Who comes, goes and becomes something else is shown there without anybody asking for it; only one's own team.
    let shown = "SELECT string_agg(split_part(email, '@', 1) || ' ' || role || ' ' || (left_at IS NULL), ', ' ORDER BY email) FROM users";
    let (_, member) = app.member(&ann, "mia@acme.example.com", "viewer").await;
    app.services.outbox.drain().await.unwrap();
    assert_eq!(psql(uri, shown).await.unwrap(), "mia viewer true, owner owner true");
    let changed =
        ann.patch(&format!("/v1/team/members/{member}"), json!({ "role": "editor" })).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    app.services.outbox.drain().await.unwrap();
    assert_eq!(psql(uri, shown).await.unwrap(), "mia editor true, owner owner true");
    assert!(ann.delete(&format!("/v1/team/members/{member}")).await.is_success());
    app.services.outbox.drain().await.unwrap();
    assert_eq!(psql(uri, shown).await.unwrap(), "mia editor false, owner owner true");
    let waiting =
        "SELECT count(*)::text FROM plinth.outbox WHERE topic = 'team' AND due_at IS NOT NULL";
    assert_eq!(app.rows(waiting).await, ["0"]);

    let theirs = bob.get("/v1/misc/db").await.is(200);
    assert_ne!(theirs["id"], own["id"]);
    let their_uri = theirs["connection_uri"]["uri"].as_str().unwrap();
    assert_eq!(psql(their_uri, "SELECT count(*) FROM agents").await.unwrap(), "0");
    node.end().await;
}
