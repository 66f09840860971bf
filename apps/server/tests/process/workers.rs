//! Workers beside servers: the runs of one that is killed go on in another.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::Signal;
use plinth_testdb::TestDatabase;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::bootstrap::printed_key;
use crate::client::{shop, until};
use crate::folder::DataFolder;
use crate::plinth::{LIMIT, MASTER_KEY, Running, plinth, run, serve_on};

/// A run whose worker was killed goes on within this.
const AT_MOST: Duration = Duration::from_secs(5);

pub(crate) async fn worker_on(database_url: &str) -> Running {
    let mut command = plinth(&["worker", "--log-format", "json"]);
    command
        .env("PLINTH_DATABASE_URL", database_url)
        .env("PLINTH_MASTER_KEY", MASTER_KEY)
        .env("PLINTH_EGRESS_ALLOW", "127.0.0.0/8,::1/128");
    let mut worker = Running::start(&mut command);
    worker.until("it works", |it| it.stdout().contains("plinth works").then_some(())).await;
    worker
}

#[actix_web::test]
async fn what_a_killed_worker_did_goes_on_within_five_seconds() {
    let database = TestDatabase::create().await.unwrap();
    let url = database.url();
    let server = Running::start(serve_on(&url).env("PLINTH_WORKFLOW_RUNS", "0")).up().await;
    let mut command =
        plinth(&["bootstrap", "--organization", "Acme", "--email", "ann@example.com"]);
    command.env("PLINTH_DATABASE_URL", &url).env("PLINTH_MASTER_KEY", MASTER_KEY);
    let ann = server.somebody(&printed_key(&run(&mut command)));
    let target = shop().await;
    let connection = ann.connect(&target).await;

    // It keeps the first call waiting, and says yes to the second.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let receiver = format!("http://{}/", listener.local_addr().unwrap());
    let (calls, keys) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<String>>>::default());
    let (count, kept) = (calls.clone(), keys.clone());
    actix_web::rt::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (count, kept) = (count.clone(), kept.clone());
            actix_web::rt::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let key = head.lines().find_map(|it| it.strip_prefix("idempotency-key: "));
                kept.lock().unwrap().push(key.unwrap().to_owned());
                if count.fetch_add(1, Ordering::SeqCst) == 0 {
                    std::future::pending::<()>().await;
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            });
        }
    });

    let body = json!({
        "name": "Report", "trigger": { "type": "manual" },
        "steps": [{ "name": "one", "type": "sql", "connection_id": connection,
                    "sql": "SELECT count(*) AS n FROM customers" }],
        "actions": [{ "name": "post", "type": "http", "url": receiver, "timeout_seconds": 60 }],
    });
    let made = ann.post("/v1/workflows", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let path = format!("/v1/workflows/{}", made.body["data"]["id"].as_str().unwrap());
    let queued = ann.post(&format!("{path}/run"), json!({})).await;
    let run = format!("{path}/runs/{}", queued.body["data"]["id"].as_str().unwrap());
    assert_eq!(ann.get(&run).await.body["data"]["status"], "queued", "the server does no runs");

    let first = worker_on(&url).await;
    until("it calls", LIMIT, async || calls.load(Ordering::SeqCst) == 1).await;
    let second = worker_on(&url).await;
    first.signal(Signal::SIGKILL);
    let took =
        until("the other one calls", AT_MOST, async || calls.load(Ordering::SeqCst) == 2).await;
    println!("taken over {} ms after the kill", took.as_millis());
    until("it ends", LIMIT, async || ann.get(&run).await.body["data"]["status"] == "succeeded")
        .await;
    let keys = keys.lock().unwrap().clone();
    assert_eq!(keys[0], keys[1], "the receiver can tell that it is the same");

    second.signal(Signal::SIGTERM);
    let ended = second.ended().await;
    assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
    server.stop(Signal::SIGTERM).await;
}

#[actix_web::test]
async fn a_worker_needs_a_database_to_share_and_something_to_do() {
    let folder = DataFolder::new();
    let mut command = plinth(&["worker"]);
    command.arg("--data-dir").arg(folder.path());
    run(&mut command).assert_refused(&["PLINTH_DATABASE_URL"]);
    let database = TestDatabase::create().await.unwrap();
    let mut command = plinth(&["worker"]);
    command.env("PLINTH_DATABASE_URL", database.url()).env("PLINTH_MASTER_KEY", MASTER_KEY);
    run(command.env("PLINTH_WORKFLOW_RUNS", "0")).assert_refused(&["PLINTH_WORKFLOW_RUNS"]);
}
