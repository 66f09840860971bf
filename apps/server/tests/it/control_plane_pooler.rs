use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::{TestApp, send};
use crate::control_plane::{Node, is_psql_here, new_project, psql};

fn text(it: &Value) -> String {
    it.as_str().unwrap().to_owned()
}

fn is_pooler_here() -> bool {
    let there = ["pgbouncer", "/usr/sbin/pgbouncer"];
    if there.iter().any(|it| Command::new(it).arg("--version").output().is_ok()) {
        return true;
    }
    let reason = "PgBouncer is not there";
    println!("SKIPPED: {reason}");
    if let Some(folder) = std::env::var_os("XTASK_SKIPPED_DIR") {
        std::fs::write(std::path::Path::new(&folder).join("control_plane::pooler"), reason)
            .unwrap();
    }
    false
}

/// The processes of poolers whose settings lie in a folder.
fn poolers(folder: &std::path::Path) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let commands = all.filter_map(|it| std::fs::read(it.path().join("cmdline")).ok());
    let folder = folder.to_str().unwrap();
    let ours = |it: &Vec<u8>| {
        let command = String::from_utf8_lossy(it);
        command.contains("pgbouncer") && command.contains(folder)
    };
    commands.filter(ours).count()
}

#[actix_web::test]
async fn a_pooled_port_shares_connections_and_comes_and_goes_with_its_endpoint() {
    if !is_psql_here() || !is_pooler_here() {
        return;
    }
    let app = TestApp::start().await;
    let node = Node::start(&app, 2).await;
    let (ann, bob) = (app.owner_of("Acme").await, app.owner_of("Other").await);
    let shop = new_project(&ann, "shop").await;
    let (project, branch) = (text(&shop["project"]["id"]), text(&shop["branch"]["id"]));
    let base = format!("/api/v2/projects/{project}");
    let direct = text(&shop["connection_uris"][0]["connection_uri"]);
    assert_eq!(shop["endpoints"][0]["pooler_enabled"], true);
    let endpoint = format!("{base}/endpoints/{}", text(&shop["endpoints"][0]["id"]));
    let role = "database_name=neondb&role_name=neondb_owner";
    let wanted = format!("{base}/connection_uri?{role}&pooled=true");
    assert_eq!(bob.get(&wanted).await.status, 404);
    let uri = text(&ann.get(&wanted).await.is(200)["uri"]);
    let parameters = &shop["connection_uris"][0]["connection_parameters"];
    assert!(uri.contains(&format!("@{}/", text(&parameters["pooler_host"]))), "{uri}");
    assert_ne!(parameters["host"], parameters["pooler_host"]);
    let folder = node.folder("");
    assert_eq!(poolers(&folder), 0, "until somebody comes through it");

    // One connection of the server's serves one client after another.
    psql(&uri, "CREATE TABLE t AS SELECT generate_series(1, 3) n").await.unwrap();
    let who = "SELECT pg_backend_pid()";
    let first = psql(&uri, who).await.unwrap();
    assert_eq!(psql(&uri, who).await.unwrap(), first);
    assert_ne!(psql(&direct, who).await.unwrap(), first);
    assert_eq!(
        psql(&uri, "SELECT count(*), current_user FROM t").await.as_deref(),
        Ok("3|neondb_owner")
    );
    assert_eq!(poolers(&folder), 1);

    // The endpoint's certificate, checked against the authority's.
    let authority = std::env::temp_dir().join(format!("plinth-it-ca-{project}.pem"));
    std::fs::write(&authority, ann.get("/v1/misc/ca.pem").await.text).unwrap();
    let full =
        format!("{}&sslrootcert={}", uri.replace("=require", "=verify-full"), authority.display());
    assert_eq!(psql(&full, "SELECT 1").await.as_deref(), Ok("1"));
    std::fs::remove_file(&authority).unwrap();

    // Nobody without TLS, with a wrong password, as the superuser, or who is unknown.
    let password = text(&parameters["password"]);
    for (wrong, complaint) in [
        (uri.replace("sslmode=require", "sslmode=disable"), "SSL required"),
        (uri.replace(&password, "wrong"), "SASL authentication failed"),
        (uri.replace("neondb_owner", "postgres"), "login rejected"),
        (uri.replace("neondb_owner", "nobody_at_all"), "no such user"),
    ] {
        let said = psql(&wrong, "SELECT 1").await.unwrap_err();
        assert!(said.contains(complaint), "{said}");
    }

    // With the endpoint it ends, and a connection starts both.
    ann.post(&format!("{endpoint}/suspend"), json!({})).await.is(200);
    assert_eq!(poolers(&folder), 0);
    assert_eq!(psql(&uri, "SELECT count(*) FROM t").await.as_deref(), Ok("3"));
    let deadline = Instant::now() + Duration::from_secs(10);
    while ann.get(&endpoint).await.is(200)["endpoint"]["current_state"] != "active" {
        assert!(Instant::now() < deadline, "it was woken");
        actix_web::rt::time::sleep(Duration::from_millis(50)).await;
    }

    // Another password holds there at once, also one that was set by SQL.
    let reset = format!("{base}/branches/{branch}/roles/neondb_owner/reset_password");
    ann.post(&reset, json!({})).await.is(200);
    assert!(psql(&uri, "SELECT 1").await.is_err(), "the old one");
    let uri = text(&ann.get(&wanted).await.is(200)["uri"]);
    assert_eq!(psql(&uri, "SELECT 1").await.as_deref(), Ok("1"));
    psql(&uri, "ALTER ROLE neondb_owner PASSWORD 'by-hand'").await.unwrap();
    assert!(psql(&uri, "SELECT 1").await.is_err(), "the one before");

    // A reader has one of its own; one can be given back, and taken again.
    let reader = json!({ "endpoint": { "branch_id": branch, "type": "read_only" } });
    let reader = ann.post(&format!("{base}/endpoints"), reader).await.is(201)["endpoint"].clone();
    ann.post(&reset, json!({})).await.is(200);
    let of_reader = format!("{wanted}&endpoint_id={}", text(&reader["id"]));
    let reads = text(&ann.get(&of_reader).await.is(200)["uri"]);
    let deadline = Instant::now() + Duration::from_secs(20);
    while psql(&reads, "SELECT count(*) FROM t").await.as_deref() != Ok("3") {
        assert!(Instant::now() < deadline, "the new password comes there too");
    }
    assert!(psql(&reads, "INSERT INTO t VALUES (4)").await.unwrap_err().contains("read-only"));
    let reader = format!("{base}/endpoints/{}", text(&reader["id"]));
    let set = |on: bool| json!({ "endpoint": { "pooler_enabled": on } });
    assert_eq!(ann.patch(&reader, set(false)).await.is(200)["endpoint"]["pooler_enabled"], false);
    let refused = ann.get(&of_reader).await.is(412);
    assert!(text(&refused["message"]).contains("apt-get install pgbouncer"), "{refused}");
    assert!(psql(&reads, "SELECT 1").await.is_err(), "its port is closed");
    ann.patch(&reader, set(true)).await.is(200);
    assert_eq!(psql(&reads, "SELECT 1").await.as_deref(), Ok("1"));

    let gone = send(ann.request("DELETE", &reader)).await;
    assert_eq!(gone.status, 200);
    node.end().await;
    assert_eq!(poolers(&folder), 0);
}
