use nix::sys::signal::Signal;
use plinth_testdb::TestDatabase;
use serde_json::json;
use tokio_postgres::{Client, NoTls};

use crate::plinth::{Ended, MASTER_KEY, Running, plinth, run, serve_on};

/// A command on that database, beside the server.
fn command(database: &TestDatabase, arguments: &[&str]) -> Ended {
    let mut command = plinth(arguments);
    run(command.env("PLINTH_DATABASE_URL", database.url()).env("PLINTH_MASTER_KEY", MASTER_KEY))
}

async fn intruder(database: &TestDatabase) -> Client {
    let (client, connection) =
        tokio_postgres::connect(&database.superuser_url(), NoTls).await.unwrap();
    actix_web::rt::spawn(connection);
    client.batch_execute("SET search_path = plinth").await.unwrap();
    client
}

#[actix_web::test]
async fn a_tampered_trail_of_a_real_server_is_found_from_the_command_line() {
    let database = TestDatabase::create().await.unwrap();
    let server = Running::start(&mut serve_on(&database.url())).up().await;
    let ann = server.set_up().await;
    for name in ["one", "two", "three"] {
        let made = ann.post("/v1/roles", json!({ "name": name, "scopes": ["admin"] })).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
    let whole = command(&database, &["audit", "verify"]);
    assert_eq!(whole.status.code(), Some(0), "{}{}", whole.stdout, whole.stderr);
    assert!(whole.stdout.contains("whole: 4 entries"), "{}", whole.stdout);

    // Written down elsewhere, while the server goes on.
    let head = command(&database, &["audit", "head"]);
    let (org, anchor) = head.stdout.trim().split_once(' ').unwrap();
    let anchored = ["audit", "verify", "--organization", org, "--anchor", anchor];
    assert_eq!(
        ann.post("/v1/roles", json!({ "name": "four", "scopes": ["admin"] })).await.status,
        201
    );
    assert_eq!(command(&database, &anchored).status.code(), Some(0), "it went on");

    let intruder = intruder(&database).await;
    intruder
        .batch_execute(
            "CREATE TABLE kept AS SELECT * FROM audit_entries; CREATE TABLE kept_heads AS SELECT * FROM audit_heads",
        )
        .await
        .unwrap();
    let restore = "DELETE FROM audit_entries; INSERT INTO audit_entries SELECT * FROM kept;
        UPDATE audit_heads h SET number = k.number, hash = k.hash, signature = k.signature
        FROM kept_heads k WHERE k.org_id = h.org_id";
    for (tampering, said) in [
        ("UPDATE audit_entries SET details = '{}' WHERE number = 2", "entry 2 is not what was written"),
        ("DELETE FROM audit_entries WHERE number = 3", "entry 3 is missing"),
        ("DELETE FROM audit_entries WHERE number > 3", "says 5 entries, and there are 3"),
        (
            "DELETE FROM audit_entries WHERE number > 3;
             UPDATE audit_heads SET number = 3, hash = (SELECT hash FROM audit_entries WHERE number = 3)",
            "not signed",
        ),
        (
            "UPDATE audit_entries SET action = 'x' WHERE number = 2;
             DO $$ DECLARE last bytea := decode(repeat('00', 32), 'hex'); it record; BEGIN
                 FOR it IN SELECT * FROM audit_entries ORDER BY number LOOP
                     last := sha256(last || convert_to(it.id || it.action || it.details::text, 'UTF8'));
                     UPDATE audit_entries SET hash = last WHERE number = it.number;
                 END LOOP;
                 UPDATE audit_heads SET hash = last;
             END $$",
            "entry 1 is not what was written",
        ),
    ] {
        intruder.batch_execute(tampering).await.unwrap();
        let found = command(&database, &["audit", "verify"]);
        assert_eq!(found.status.code(), Some(1), "{tampering}: {}", found.stdout);
        assert!(found.stdout.contains("BROKEN") && found.stdout.contains(said), "{}", found.stdout);
        let asked = ann.get("/v1/audit/verify").await;
        assert_eq!(asked.body["data"]["is_whole"], false, "{tampering}: {}", asked.text);
        intruder.batch_execute(restore).await.unwrap();
        assert_eq!(command(&database, &["audit", "verify"]).status.code(), Some(0), "{tampering}");
    }
    command(&database, &["audit", "verify", "--organization", org, "--anchor", "1:00"])
        .assert_refused(&["--anchor", "plinth audit head"]);
    let nobody = "018a3a2b-4c5d-7e6f-8091-a2b3c4d5e6f7";
    command(&database, &["audit", "verify", "--organization", nobody]).assert_refused(&[nobody]);
    server.stop(Signal::SIGTERM).await;
}

#[actix_web::test]
async fn an_operator_lists_organizations_and_sets_their_plans() {
    let database = TestDatabase::create().await.unwrap();
    let server = Running::start(&mut serve_on(&database.url())).up().await;
    let ann = server.set_up().await;
    let listed = command(&database, &["organization", "list"]);
    let line: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!((&line["name"], &line["plan"]), (&json!("Acme"), &json!("self-hosted")));
    let id = line["id"].as_str().unwrap();
    command(&database, &["organization", "set-plan", id, "custom"])
        .assert_refused(&["--per-minute", "--per-day"]);
    command(&database, &["organization", "set-plan", id, "free", "--per-minute", "7"])
        .assert_refused(&["custom"]);
    let set = ["organization", "set-plan", id, "custom", "--per-minute", "7", "--per-day", "70"];
    let set = command(&database, &set);
    assert_eq!(set.status.code(), Some(0), "{}", set.stderr);
    let read = ann.get(&format!("/v1/organizations/{id}")).await;
    let plan = json!({ "name": "custom", "per_minute": 7, "per_day": 70 });
    assert_eq!(read.body["data"]["plan"], plan, "{}", read.text);
    let told = ann.get("/v1/audit?action=organization.plan_changed").await;
    assert_eq!(told.body["data"][0]["credential_kind"], "operator", "{}", told.text);
    let nobody = "018a3a2b-4c5d-7e6f-8091-a2b3c4d5e6f7";
    command(&database, &["organization", "set-plan", nobody, "pro"]).assert_refused(&[nobody]);
    server.stop(Signal::SIGTERM).await;
}
