use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::client::{shop, until};
use crate::folder::DataFolder;
use crate::plinth::{LIMIT, Running, run, serve_in};

#[actix_web::test]
async fn a_second_server_is_refused_and_kills_on_either_side_are_survived() {
    let folder = DataFolder::new();
    let first = Running::start(&mut serve_in(&folder)).up().await;
    let ann = first.set_up().await;
    let target = shop().await;
    let connection = ann.connect(&target).await;

    // A second server on the folder.
    let started = Instant::now();
    let pid = first.process().pid().to_string();
    run(&mut serve_in(&folder)).assert_refused(&["in use", &pid, "data folder"]);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let runtime: Value =
        serde_json::from_str(&fs::read_to_string(folder.path().join("runtime.json")).unwrap())
            .unwrap();
    assert_eq!(runtime["pid"], json!(first.process().pid()), "the first is still the one to find");
    assert_eq!(ann.get("/readyz").await.status, 200);
    assert_eq!(ann.sql(&connection, "SELECT 1").await.rows(), &json!([[1]]));

    // Kill -9 of Plinth: its Postgres may live on, the next start must not stumble over it.
    let before = folder.postmaster().unwrap();
    first.kill().await;
    let second = Running::start(&mut serve_in(&folder)).up().await;
    assert_eq!(second.setup_token(), None, "{}", second.process().stderr());
    let ann = ann.at(second.listen());
    assert_eq!(ann.sql(&connection, "SELECT count(*) FROM customers").await.rows(), &json!([[10]]));
    let adopted = folder.postmaster().unwrap();
    assert!(adopted == before || !is_alive(before), "two servers on one folder");

    // Kill -9 of Postgres under a running server.
    kill(Pid::from_raw(adopted), Signal::SIGKILL).unwrap();
    until("the server says that it is not ready", LIMIT, async || {
        ann.get("/readyz").await.status == 503
    })
    .await;
    assert_eq!(ann.get("/healthz").await.status, 200, "the process itself is fine");
    until("it is ready again", LIMIT, async || ann.get("/readyz").await.status == 200).await;
    assert_ne!(folder.postmaster(), Some(adopted));
    let asked = ann.ask(&connection, "How many customers are there?").await;
    assert_eq!(asked.rows(), &json!([[10]]));
    let id = asked.body["data"]["query_id"].as_str().unwrap().to_owned();
    let ended = second.stop(Signal::SIGTERM).await;
    folder.assert_quiet();

    // What was asked just before a stop is in the history.
    let third = Running::start(&mut serve_in(&folder)).up().await;
    let kept = ann.at(third.listen()).get(&format!("/v1/queries/{id}")).await;
    assert_eq!(kept.status, 200, "{}\n{}", kept.text, ended.stdout);

    // Kill -9 of both at once, as when the machine goes down.
    kill(Pid::from_raw(folder.postmaster().unwrap()), Signal::SIGKILL).unwrap();
    third.kill().await;
    let fourth = Running::start(&mut serve_in(&folder)).up().await;
    assert_eq!(ann.at(fourth.listen()).get(&format!("/v1/queries/{id}")).await.status, 200);
    fourth.stop(Signal::SIGTERM).await;
    folder.assert_quiet();
}

fn is_alive(pid: i32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|it| !it.is_empty())
}
