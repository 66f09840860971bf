//! Statements of strangers, over HTTP against a real database, as a role that could do harm: what the guard must refuse
//! is refused, what is benign is answered, and nothing has an effect.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use plinth_testdb::TestDatabase;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use crate::app::{Answer, Person, TestApp, connection};

/// What may become of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Must {
    /// Refused before the database sees it.
    Reject,
    /// Refused or answered or stopped by a limit, without effect.
    Harmless,
    /// Answered.
    Allow,
}

struct Case {
    must: Must,
    sql: String,
}

/// How long a statement may run, and how long it may take until its caller is answered all the same.
const TIMEOUT_MS: u64 = 1_500;
const ANSWERED_WITHIN: Duration = Duration::from_secs(12);

/// Everything that a statement could have changed: rows, sequences, objects, roles, settings, large objects, slots.
const STATE: &str = "
    SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
        SELECT format('%s %s', c.oid::regclass,
            CASE WHEN c.relkind = 'S' THEN
                (xpath('/row/s/text()', query_to_xml(format('SELECT last_value || '' '' || is_called AS s FROM %s', c.oid::regclass), false, true, '')))[1]::text
            ELSE
                (xpath('/row/s/text()', query_to_xml(format('SELECT count(*) || '' '' || coalesce(sum(hashtext(t::text)), 0) AS s FROM ONLY %s t', c.oid::regclass), false, true, '')))[1]::text
            END) AS line
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'S', 'm') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
        UNION ALL SELECT 'relation ' || oid::regclass || relkind::text FROM pg_class WHERE relnamespace > 16383 OR relnamespace = 2200
        UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc WHERE oid > 16383
        UNION ALL SELECT 'role ' || rolname || rolsuper FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%'
        UNION ALL SELECT 'large object ' || oid FROM pg_largeobject_metadata
        UNION ALL SELECT 'setting ' || setdatabase || setrole || setconfig::text FROM pg_db_role_setting
        UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots
        UNION ALL SELECT 'lock ' || objid FROM pg_locks WHERE locktype = 'advisory'
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ) lines";

async fn state(db: &TestDatabase) -> String {
    let (client, connection) = tokio_postgres::connect(&db.superuser_url(), NoTls).await.unwrap();
    actix_web::rt::spawn(connection);
    client.query_one(STATE, &[]).await.unwrap().get(0)
}

/// How many of each kind there were, and what was wrong.
#[derive(Default)]
struct Count {
    rejected: usize,
    allowed: usize,
    harmless: usize,
    wrong: Vec<String>,
}

async fn run(ann: &Person, id: &str, db: &TestDatabase, cases: &[Case]) -> Count {
    let mut count = Count::default();
    for case in cases {
        // The corpus calls its database by name; here it has another.
        let sql = case.sql.replace("clinic.", &format!("{}.", db.name()));
        let body = json!({ "connection_id": id, "sql": sql, "timeout_ms": TIMEOUT_MS });
        let started = Instant::now();
        let answer = ann.post("/v1/queries", body).await;
        let late = started.elapsed() > ANSWERED_WITHIN;
        let right = match case.must {
            Must::Reject => refused(&answer),
            Must::Allow => answer.status == 200,
            Must::Harmless => answer.status == 200 || answer.body["error"]["code"].is_string(),
        };
        let counter = match case.must {
            Must::Reject => &mut count.rejected,
            Must::Allow => &mut count.allowed,
            Must::Harmless => &mut count.harmless,
        };
        *counter += usize::from(right && !late);
        if !right || late {
            let sql: String = case.sql.chars().take(160).collect();
            let text: String = answer.text.chars().take(300).collect();
            count.wrong.push(format!(
                "{:?} in {:?}: {sql}\n    → {} {text}",
                case.must,
                started.elapsed(),
                answer.status
            ));
        }
    }
    count
}

/// By the guard, not by the database: a statement that Postgres stopped was let through.
fn refused(answer: &Answer) -> bool {
    let details = &answer.body["error"]["details"];
    let reasons = ["sql_rejected", "table_not_allowed", "unknown_table"];
    matches!(answer.status, 403 | 422)
        && (reasons.iter().any(|it| details["reason"] == *it) || details["body"].is_string())
}

async fn judge(
    script: &str,
    role: (&str, &str),
    keep: impl Fn(&str, &str) -> bool,
    cases: &[Case],
) -> Count {
    let db = TestDatabase::from_sql(script).await.unwrap();
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let (client, session) = tokio_postgres::connect(&db.superuser_url(), NoTls).await.unwrap();
    actix_web::rt::spawn(session);
    let tables = "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'";
    let tables: Vec<String> = client
        .query(tables, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| (row.get::<_, String>(0), row.get::<_, String>(1)))
        .filter(|(schema, name)| keep(schema, name))
        .map(|(schema, name)| format!("{schema}.{name}"))
        .collect();
    let mut body = connection("Target", &db);
    body["username"] = json!(role.0);
    body["password"] = json!(role.1);
    body["allowed_tables"] = json!(tables);
    let made = ann.post("/v1/connections", body).await;
    let id = made.body["data"]["id"].as_str().unwrap().to_owned();

    let before = state(&db).await;
    let mut count = run(&ann, &id, &db, cases).await;
    let after = state(&db).await;
    if before != after {
        let lost: Vec<_> = before.lines().filter(|it| !after.contains(*it)).collect();
        let new: Vec<_> = after.lines().filter(|it| !before.contains(*it)).collect();
        count.wrong.push(format!("something had an effect: {lost:?} → {new:?}"));
    }
    let still = ann.sql(&id, "SELECT 1").await;
    assert_eq!(still.rows(), &json!([[1]]), "the connection still works");
    count
}

fn corpus(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/sql-guard/tests");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// The project's own corpus, on the database that it was written for.
#[actix_web::test]
async fn our_own_corpus_is_refused_or_answered_as_it_says() {
    #[derive(Deserialize)]
    struct Line {
        sql: String,
        expect: String,
        #[serde(default)]
        parameters: usize,
        server: Option<u32>,
        runs_on_server: Option<bool>,
    }
    let mut cases = Vec::new();
    for file in ["reads", "statements", "relations", "code", "versions"] {
        for line in corpus(&format!("corpus/{file}.jsonl")).lines() {
            let line: Line = serde_json::from_str(line).unwrap();
            // Written for another server, or with parameters that this route does not take.
            if line.server.is_some()
                || line.parameters > 0
                || line.expect == "unsupported_by_server"
            {
                continue;
            }
            let must = match line.expect.as_str() {
                "allow" if line.runs_on_server == Some(false) => Must::Harmless,
                "allow" => Must::Allow,
                _ => Must::Reject,
            };
            cases.push(Case { must, sql: line.sql });
        }
    }
    let script = format!(
        "{}
        DO $$
        DECLARE s text;
        BEGIN
            FOREACH s IN ARRAY ARRAY['public', 'billing', 'staff'] LOOP
                EXECUTE format('GRANT ALL ON SCHEMA %I TO plinth_test_owner', s);
                EXECUTE format('GRANT ALL ON ALL TABLES IN SCHEMA %I TO plinth_test_owner', s);
                EXECUTE format('GRANT ALL ON ALL SEQUENCES IN SCHEMA %I TO plinth_test_owner', s);
                EXECUTE format('GRANT ALL ON ALL FUNCTIONS IN SCHEMA %I TO plinth_test_owner', s);
            END LOOP;
        END $$;",
        corpus("catalogs/clinic.sql")
    );
    let db = TestDatabase::create().await.unwrap();
    let role = (db.user(), db.password());
    let keep =
        |schema: &str, name: &str| schema == "billing" || schema == "public" && name != "secrets";
    let count = judge(&script, role, keep, &cases).await;
    assert!(
        count.wrong.is_empty(),
        "{} of {}:\n{}",
        count.wrong.len(),
        cases.len(),
        count.wrong.join("\n")
    );
    assert!(count.rejected + count.allowed >= 200, "the corpus has shrunk");
}

/// The shared corpus, where it lies beside the workspace: an extra that says when it is skipped.
#[actix_web::test]
async fn the_shared_corpus_is_refused_harmless_or_answered_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/security");
    let Ok(lines) = std::fs::read_to_string(folder.join("sql-attacks.jsonl")) else {
        skipped(
            "attacks::the_shared_corpus_is_refused_harmless_or_answered_as_it_says",
            "the shared attack corpus is not beside the workspace",
        );
        return;
    };
    let cases: Vec<Case> = lines
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let must = match line["must"].as_str().unwrap() {
                "reject" => Must::Reject,
                "allow" => Must::Allow,
                "harmless" => Must::Harmless,
                other => panic!("{other}"),
            };
            Case { must, sql: line["sql"].as_str().unwrap().to_owned() }
        })
        .collect();
    // The owner of the tables, by password: of the fixture's roles the one that could do most.
    let script = format!(
        "{}; ALTER ROLE c_owner PASSWORD 'owner'; GRANT ALL ON ALL TABLES IN SCHEMA public, sales, hr, secrets TO c_owner;",
        std::fs::read_to_string(folder.join("fixture.sql")).unwrap()
    );
    let keep = |schema: &str, name: &str| {
        schema == "sales" || schema == "public" && !name.ends_with("_private")
    };
    let count = judge(&script, ("c_owner", "owner"), keep, &cases).await;
    println!("rejected {}, allowed {}, harmless {}", count.rejected, count.allowed, count.harmless);
    assert!(
        count.wrong.is_empty(),
        "{} of {}:\n{}",
        count.wrong.len(),
        cases.len(),
        count.wrong.join("\n")
    );
}

/// Tells whoever runs the tests that one did not do its work here (`xtask/README.md`).
fn skipped(test: &str, reason: &str) {
    println!("SKIPPED: {reason}");
    if let Some(folder) = std::env::var_os("XTASK_SKIPPED_DIR") {
        std::fs::write(PathBuf::from(folder).join(test), reason).unwrap();
    }
}
