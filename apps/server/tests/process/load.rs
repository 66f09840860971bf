//! Branches of a parent that is being written to all the time.

use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::scene::{Scene, psql, text};

/// In each of pgbench's transactions the same amount goes to an account, a teller and a branch, and into the history.
const BALANCES: &str = "
    SELECT count(*) FROM (VALUES
        ((SELECT sum(abalance) FROM pgbench_accounts)), ((SELECT sum(tbalance) FROM pgbench_tellers)),
        ((SELECT sum(bbalance) FROM pgbench_branches)), ((SELECT coalesce(sum(delta), 0) FROM pgbench_history))
    ) it (sum) GROUP BY sum";

#[actix_web::test]
async fn ten_branches_of_a_parent_under_load_add_up() {
    const NAME: &str = "load::ten_branches_of_a_parent_under_load_add_up";
    let Some(scene) = Scene::new(NAME, &["psql", "pgbench"], 5).await else { return };
    let filled =
        Command::new("pgbench").args(["-i", "-q", "-s", "1", &scene.uri]).output().unwrap();
    assert!(filled.status.success(), "{}", String::from_utf8_lossy(&filled.stderr));
    // As much as leaves a machine with two cores time for the branches.
    let mut load = Command::new("pgbench")
        .args(["-n", "-c", "4", "-R", "200", "-T", "280", &scene.uri])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let path = scene.path("/branches");
    let mut seen = Vec::new();
    for nth in 0..10 {
        let body = json!({
            "branch": { "name": format!("b-{nth}") }, "endpoints": [{ "type": "read_write" }],
        });
        let made = scene.calls(("POST", &path, body)).await;
        scene.settles(&scene.project).await;
        let uri = text(&made["connection_uris"][0]["connection_uri"]);
        assert_eq!(psql(&uri, BALANCES).as_deref(), Ok("4"), "branch {nth}");
        let history = psql(&uri, "SELECT count(*) FROM pgbench_history").unwrap();
        seen.push(history.parse::<i64>().unwrap());
        // What is changed in the branch is the branch's.
        psql(&uri, "TRUNCATE pgbench_history; UPDATE pgbench_tellers SET tbalance = 0").unwrap();
    }
    assert!(load.try_wait().unwrap().is_none(), "the load went on all the time");
    assert!(seen.is_sorted() && seen[0] < seen[9], "each has what was committed by then: {seen:?}");
    kill(Pid::from_raw(load.id().try_into().unwrap()), Signal::SIGKILL).unwrap();
    load.wait().unwrap();
    assert_eq!(psql(&scene.uri, BALANCES).as_deref(), Ok("4"), "the parent");
    let history = psql(&scene.uri, "SELECT count(*) FROM pgbench_history").unwrap();
    assert!(history.parse::<i64>().unwrap() >= seen[9]);
    scene.end().await;
}
