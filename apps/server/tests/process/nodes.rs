use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::client::Person;
use crate::folder::DataFolder;
use crate::plinth::{LIMIT, Running, plinth, run, serve_in};

/// Ports of this process's own: other tests run at once, those beside `it` below 25,000.
fn ports(nth: u32) -> String {
    let first = 26_000 + (std::process::id() % 48) * 80 + nth * 40;
    format!("{first}-{}", first + 39)
}

fn psql(uri: &str, sql: &str) -> Child {
    Command::new("psql")
        .args([uri, "-X", "-A", "-t", "-q", "-c", sql])
        .env("PGCONNECT_TIMEOUT", "20")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn ask(uri: &str, sql: &str) -> Result<String, String> {
    let output = psql(uri, sql).wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Says that a test cannot run here.
fn skip(test: &str, reason: &str) {
    println!("SKIPPED: {reason}");
    if let Some(folder) = std::env::var_os("XTASK_SKIPPED_DIR") {
        std::fs::write(Path::new(&folder).join(test), reason).unwrap();
    }
}

fn stop_node(folder: &DataFolder) {
    let mut command = plinth(&["node", "--stop", "--data-dir"]);
    let stopped = run(command.arg(folder.path()));
    assert!(stopped.status.success(), "{}", stopped.stderr);
}

async fn project(owner: &Person) -> String {
    let made = owner.post("/api/v2/projects", json!({ "project": { "name": "shop" } })).await;
    assert_eq!(made.status, 201, "{}", made.text);
    // Its endpoint's port is open once these are finished, for which the answer does not wait on a busy machine.
    let id = made.body["project"]["id"].as_str().unwrap();
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = owner.get(&format!("/api/v2/projects/{id}/operations")).await;
        let operations = answer.body["operations"].as_array().unwrap();
        if operations.iter().all(|it| it["status"] == "finished") {
            break;
        }
        assert!(Instant::now() < deadline, "still being made: {}", answer.text);
        actix_web::rt::time::sleep(Duration::from_millis(100)).await;
    }
    made.body["connection_uris"][0]["connection_uri"].as_str().unwrap().to_owned()
}

#[actix_web::test]
async fn sessions_outlive_a_restart_of_the_server_and_endpoints_a_kill_of_the_node() {
    if Command::new("psql").arg("--version").output().is_err() {
        return skip("nodes::sessions_outlive_a_restart", "psql is not there");
    }
    let folder = DataFolder::new();
    let ports = ports(0);
    let server = Running::start(serve_in(&folder).env("PLINTH_NODE_PORTS", &ports)).up().await;
    let owner = server.set_up().await;
    assert!(!folder.path().join("node").exists(), "without a project there is no node");
    let uri = project(&owner).await;
    ask(&uri, "CREATE TABLE t AS SELECT generate_series(1, 100) AS n").unwrap();

    let session = psql(&uri, "SELECT pg_sleep(6); SELECT count(*) FROM t");
    server.stop(Signal::SIGTERM).await;
    assert_eq!(ask(&uri, "SELECT count(*) FROM t").unwrap(), "100", "while no server runs");
    let server = Running::start(serve_in(&folder).env("PLINTH_NODE_PORTS", &ports)).up().await;
    let owner = owner.at(server.listen());
    assert_eq!(owner.get("/api/v2/projects").await.body["projects"][0]["name"], "shop");
    let deadline = Instant::now() + LIMIT;
    let counted = "plinth_endpoints{type=\"read_write\",state=\"active\"} 1";
    while !owner.get("/metrics").await.text.contains(counted) {
        assert!(Instant::now() < deadline, "endpoints are counted");
        actix_web::rt::time::sleep(Duration::from_millis(100)).await;
    }
    let ended = session.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));

    let data = std::fs::read_dir(folder.path().join("node/projects")).unwrap().flatten().next();
    let data = std::fs::read_dir(data.unwrap().path()).unwrap().flatten().next().unwrap().path();
    let postmaster = || {
        let text = std::fs::read_to_string(data.join("data/postmaster.pid")).unwrap();
        text.lines().next().unwrap().to_owned()
    };
    let before = postmaster();
    let pid_file = folder.path().join("node/node.pid");
    let node: i32 = std::fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    kill(Pid::from_raw(node), Signal::SIGKILL).unwrap();
    let deadline = Instant::now() + LIMIT;
    while ask(&uri, "SELECT count(*) FROM t").is_err() {
        assert!(Instant::now() < deadline, "the node never came back");
        actix_web::rt::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(postmaster(), before, "its Postgres was taken over, not started anew");

    server.stop(Signal::SIGTERM).await;
    stop_node(&folder);
    folder.assert_quiet();
}

/// Neon's own clients; what they are answered is judged by Neon's own schemas.
#[actix_web::test]
async fn neons_own_clients_work_unmodified() {
    const NAME: &str = "nodes::neons_own_clients_work_unmodified";
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../xtask/clients");
    let clients = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    if let Err(reason) = install(&here, &clients) {
        return skip(NAME, &reason);
    }
    let folder = DataFolder::new();
    let server = Running::start(serve_in(&folder).env("PLINTH_NODE_PORTS", ports(1))).up().await;
    let owner = server.set_up().await;
    let mut check = Command::new(clients.join("python/bin/python"));
    check.arg(here.join("check.py")).args(["--url", &format!("http://{}", server.listen())]);
    check.args(["--key", owner.key.as_deref().unwrap(), "--folder"]).arg(&clients);
    let checked = tokio::task::spawn_blocking(move || check.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    println!("{said}");
    server.stop(Signal::SIGTERM).await;
    stop_node(&folder);
    assert!(checked.status.success(), "{said}{}", String::from_utf8_lossy(&checked.stderr));
}

/// Gets the clients, at the versions that stand beside the script, unless they are there.
fn install(here: &Path, folder: &Path) -> Result<(), String> {
    let run = |command: &mut Command, what: &str| match command.output() {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => Err(format!("{what}: {}", String::from_utf8_lossy(&done.stderr).trim())),
        Err(err) => Err(format!("{what}: {err}")),
    };
    run(Command::new("psql").arg("--version"), "psql is not there")?;
    std::fs::create_dir_all(folder).unwrap();
    let wanted = std::fs::read(here.join("package.json")).unwrap();
    let ready = folder.join("ready");
    if std::fs::read(&ready).is_ok_and(|it| it == wanted) {
        return Ok(());
    }
    std::fs::write(folder.join("package.json"), &wanted).unwrap();
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(folder);
    run(&mut npm, "npm cannot install Neon's clients here")?;
    let python = folder.join("python");
    run(Command::new("python3").args(["-m", "venv"]).arg(&python), "there is no Python")?;
    let mut pip = Command::new(python.join("bin/pip"));
    pip.args(["install", "--quiet", "-r"]).arg(here.join("requirements.txt"));
    run(&mut pip, "pip cannot install Neon's client here")?;
    std::fs::write(ready, wanted).unwrap();
    Ok(())
}
