use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::client::shop;
use crate::folder::DataFolder;
use crate::plinth::{Running, plinth, run, serve_in};

#[actix_web::test]
async fn a_server_comes_up_stops_without_a_trace_and_comes_up_again_with_all_that_was_made() {
    let folder = DataFolder::new();
    let server = Running::start(&mut serve_in(&folder)).up().await;
    let token = server.printed_token().await;
    let nobody = server.nobody();
    assert_eq!(nobody.get("/healthz").await.status, 200);
    assert_eq!(nobody.get("/readyz").await.status, 200);
    assert_eq!(nobody.get("/v1/queries").await.status, 401);
    let metrics = nobody.get("/metrics").await.text;
    assert!(metrics.contains("plinth_http_requests_total{"), "{metrics}");

    let ann = server.set_up().await;
    let again =
        serde_json::json!({ "token": token, "organization": "Bad", "email": "bob@example.com" });
    let again = nobody.post("/v1/setup", again).await;
    assert!((400..500).contains(&again.status), "a token works once: {}", again.text);
    let target = shop().await;
    let connection = ann.connect(&target).await;
    let asked = ann.ask(&connection, "How many customers are there?").await;
    assert_eq!(asked.rows(), &serde_json::json!([[10]]));
    let asked = asked.body["data"]["query_id"].as_str().unwrap().to_owned();

    let ended = server.stop(Signal::SIGTERM).await;
    folder.assert_quiet();
    assert_eq!(ended.stderr.matches(&token).count(), 1, "{}", ended.stderr);
    assert!(!ended.stdout.contains(&token), "the token is not for those who read logs");

    let copy = folder.beside("copy");
    assert!(Command::new("cp").arg("-a").args([folder.path(), &copy]).status().unwrap().success());
    let started = Instant::now();
    let server = Running::start(&mut serve_in(&folder)).up().await;
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    assert_eq!(server.setup_token(), None, "{}", server.process().stderr());
    let ann = ann.at(server.listen());
    assert_eq!(ann.get(&format!("/v1/connections/{connection}")).await.status, 200);
    assert_eq!(ann.get(&format!("/v1/queries/{asked}")).await.body["data"]["row_count"], 1);
    assert_eq!(
        ann.sql(&connection, "SELECT count(*) FROM customers").await.rows(),
        &serde_json::json!([[10]])
    );

    // A restored backup is tried beside the original, which does not notice.
    let before = folder.postmaster();
    let mut command =
        plinth(&["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir"]);
    let beside = Running::start(command.arg(&copy)).up().await;
    assert_eq!(ann.at(beside.listen()).get(&format!("/v1/queries/{asked}")).await.status, 200);
    beside.stop(Signal::SIGTERM).await;
    assert_eq!(ann.get("/readyz").await.status, 200);
    assert_eq!(folder.postmaster(), before);
    let log = server.process().stdout();
    assert!(!log.contains("ended unexpectedly") && !log.contains("could not be recycled"), "{log}");

    // Ctrl-C is as good as SIGTERM; a client that keeps its connection open does not hold anything up.
    let started = Instant::now();
    server.stop(Signal::SIGINT).await;
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    folder.assert_quiet();

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = plinth(&["serve", "--listen", &address, "--data-dir"]);
    run(command.arg(folder.path())).assert_refused(&["cannot listen on", &address, "--listen"]);
    folder.assert_quiet();
}

#[actix_web::test]
async fn a_server_that_is_told_to_stop_while_it_starts_leaves_nothing() {
    let folder = DataFolder::new();
    let mut starting = Running::start(&mut serve_in(&folder));
    starting
        .until("the first files are there", |_| {
            folder.path().join("postgres").exists().then_some(())
        })
        .await;
    starting.signal(Signal::SIGTERM);
    let ended = starting.ended().await;
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.stdout, ended.stderr);
    folder.assert_quiet();
}

#[actix_web::test]
async fn a_strict_umask_does_not_keep_postgres_out() {
    let folder = DataFolder::new();
    let mut command = Command::new("/bin/sh");
    let bootstrap = plinth(&[]);
    command.args(["-c", r#"umask 077; exec "$0" "$@""#]).arg(bootstrap.get_program());
    command.args([
        "bootstrap",
        "--organization",
        "Acme",
        "--email",
        "ann@example.com",
        "--data-dir",
    ]);
    let ended = run(command.arg(folder.path()));
    assert!(ended.status.success(), "{}", ended.stderr);
    folder.assert_quiet();
}
