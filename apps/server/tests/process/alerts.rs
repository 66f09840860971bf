//! Alerts over servers that die: what one was evaluating another evaluates, and what came of it is told once.

use std::time::Duration;

use nix::sys::signal::Signal;
use plinth_adapter_notify::SmtpSink;
use plinth_testdb::TestDatabase;
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};

use crate::bootstrap::printed_key;
use crate::client::{Person, shop, until};
use crate::plinth::{LIMIT, MASTER_KEY, Running, Server, plinth, run, serve_on};

/// An evaluation whose server was killed is taken over within this.
const AT_MOST: Duration = Duration::from_secs(5);

async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    actix_web::rt::spawn(connection);
    client
}

async fn server_on(url: &str, sink: &SmtpSink) -> Server {
    let mut command = serve_on(url);
    command
        .env("PLINTH_SMTP_URL", sink.url())
        .env("PLINTH_MAIL_FROM", "Plinth <plinth@example.com>");
    Running::start(&mut command).up().await
}

/// The local ports of sessions that wait for a lock of the target.
async fn waiting(postgres: &Client, target: &TestDatabase) -> Vec<u16> {
    let query = "SELECT client_port FROM pg_stat_activity
         WHERE datname = $1 AND wait_event_type = 'Lock' AND pid <> pg_backend_pid() AND client_port > 0";
    let rows = postgres.query(query, &[&target.name()]).await.unwrap();
    rows.iter().map(|row| row.get::<_, i32>(0).try_into().unwrap()).collect()
}

/// Whether the process has a socket with that local port.
fn has_port(pid: u32, port: u16) -> bool {
    let sockets: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|it| std::fs::read_link(it.unwrap().path()).ok())
        .filter_map(|it| {
            let name = it.to_string_lossy().into_owned();
            Some(name.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let local = format!(":{port:04X}");
    ["tcp", "tcp6"].iter().any(|table| {
        let table = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        table.lines().any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields.get(1).is_some_and(|it| it.ends_with(&local))
                && fields.get(9).is_some_and(|it| sockets.iter().any(|own| own == it))
        })
    })
}

/// Lets one of two servers begin an evaluation that does not get on, and kills that one; gives the other.
async fn kill_who_evaluates(
    [first, second]: [Server; 2],
    ann: &Person,
    path: &str,
    target: &TestDatabase,
) -> Server {
    let (postgres, locker) =
        (client(&target.superuser_url()).await, client(&target.superuser_url()).await);
    locker.batch_execute("BEGIN; LOCK TABLE customers IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let wanted = ann.post(&format!("{path}/evaluate"), json!({})).await;
    assert_eq!(wanted.status, 202, "{}", wanted.text);
    until("it is evaluated", LIMIT, async || !waiting(&postgres, target).await.is_empty()).await;
    let ports = waiting(&postgres, target).await;
    assert_eq!(ports.len(), 1, "by one server");
    let is_first = has_port(first.process().pid(), ports[0]);
    assert_ne!(is_first, has_port(second.process().pid(), ports[0]), "by one of the two");
    let (dying, other) = if is_first { (first, second) } else { (second, first) };
    dying.kill().await;
    let took = until("the other evaluates it", AT_MOST, async || {
        let ports = waiting(&postgres, target).await;
        ports.iter().any(|port| has_port(other.process().pid(), *port))
    });
    println!("taken over {} ms after the kill", took.await.as_millis());
    locker.batch_execute("COMMIT").await.unwrap();
    other
}

async fn stands(ann: &Person, path: &str, state: &str) {
    until(state, LIMIT, async || ann.get(path).await.body["data"]["state"] == state).await;
}

#[actix_web::test]
async fn what_a_killed_server_was_evaluating_is_told_once() {
    let database = TestDatabase::create().await.unwrap();
    let (url, sink, target) = (database.url(), SmtpSink::start().await, shop().await);
    let first = server_on(&url, &sink).await;
    let mut command =
        plinth(&["bootstrap", "--organization", "Acme", "--email", "ann@example.com"]);
    command.env("PLINTH_DATABASE_URL", &url).env("PLINTH_MASTER_KEY", MASTER_KEY);
    let ann = first.somebody(&printed_key(&run(&mut command)));
    let connection = ann.connect(&target).await;
    let asked = ann.sql(&connection, "SELECT name FROM customers WHERE country = 'Spain'").await;
    asked.rows();
    // Nobody is there: what is told waits, and can be counted.
    let types = json!(["alert.triggered", "alert.resolved"]);
    let told = json!({ "url": "http://127.0.0.1:9/", "types": types });
    let told = ann.post("/v1/event-subscriptions", told).await.body["data"]["id"].clone();
    let alert = json!({
        "name": "Spain", "query_id": asked.body["data"]["query_id"], "condition": { "type": "has_rows" },
        "schedule": { "every": "month" }, "notify": { "owner": false, "emails": ["ops@example.com"] },
    });
    let made = ann.post("/v1/alerts", alert).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let path = format!("/v1/alerts/{}", made.body["data"]["id"].as_str().unwrap());
    stands(&ann, &path, "ok").await;

    let change = client(&target.superuser_url()).await;
    change.batch_execute("INSERT INTO customers VALUES (11, 'Eve', 'Spain')").await.unwrap();
    let second = server_on(&url, &sink).await;
    let left = kill_who_evaluates([first, second], &ann, &path, &target).await;
    let ann = ann.at(left.listen());
    stands(&ann, &path, "triggered").await;
    change.batch_execute("DELETE FROM customers WHERE id = 11").await.unwrap();
    let third = server_on(&url, &sink).await;
    let left = kill_who_evaluates([left, third], &ann, &path, &target).await;
    let ann = ann.at(left.listen());
    stands(&ann, &path, "ok").await;

    let of = |answer: &Value, field: &str| -> Vec<Value> {
        answer["data"].as_array().unwrap().iter().map(|it| it[field].clone()).collect()
    };
    let evaluations = ann.get(&format!("{path}/evaluations")).await.body;
    assert_eq!(of(&evaluations, "state"), ["ok", "triggered", "ok"], "{evaluations}");
    let told = format!("/v1/event-subscriptions/{}/deliveries", told.as_str().unwrap());
    let told = ann.get(&told).await.body;
    assert_eq!(of(&told, "type"), ["alert.resolved", "alert.triggered"], "{told}");
    // A letter is written with the evaluation, so that those that are not sent yet are seen here too.
    let ours = client(&database.superuser_url()).await;
    let letters = "SELECT payload->'letter'->>'kind' FROM plinth.outbox
         WHERE payload->'letter'->>'kind' LIKE 'alert%' ORDER BY created_at, id";
    let letters = ours.query(letters, &[]).await.unwrap();
    let letters: Vec<&str> = letters.iter().map(|row| row.get(0)).collect();
    assert_eq!(letters, ["alert_triggered", "alert_resolved"]);
    until("both letters are there", LIMIT, async || sink.received().len() >= 2).await;
    assert!(sink.received().iter().all(|it| it.to == ["ops@example.com"]));
    left.stop(Signal::SIGTERM).await;
}
