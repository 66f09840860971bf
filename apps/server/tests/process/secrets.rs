use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use plinth_testdb::TestDatabase;
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};

use crate::client::{connection, send, until};
use crate::folder::DataFolder;
use crate::model::{Reply, ScriptedModel};
use crate::plinth::{LIMIT, Running, serve_in};

mod calls;
mod people;
mod transport;

/// Where secrets come in or go out. Each has a canary of its own; none of them may be found anywhere else.
const PLACES: [&str; 30] = [
    "the master key",
    "the owner's password of our own database",
    "the superuser's password of our own database",
    "the model's key",
    "the mail server's password",
    "the setup token",
    "a wrong setup token",
    "the first key",
    "the second key",
    "what is no key",
    "a person's password",
    "a person's new password",
    "a wrong password of a person",
    "an access token",
    "a refresh token",
    "a token of a password's letter",
    "a token of an invitation",
    "an app's secret",
    "an app's code",
    "an app's verifier",
    "an app's refresh token",
    "a token of an identity provider",
    "the connection's password",
    "a wrong password",
    "a password in a URL",
    "a client's TLS key",
    "a bastion's password",
    "a bastion's key and passphrase",
    "a workflow's credential",
    "the URL of an incoming webhook",
];

/// Values that must not be found, each with what it is.
#[derive(Default)]
pub(crate) struct Canaries(Vec<(&'static str, String)>);

impl Canaries {
    /// Fails unless there is one for each of the places.
    fn assert_complete(&self) {
        for place in PLACES {
            assert!(self.0.iter().any(|(what, _)| *what == place), "no canary for {place}");
        }
    }

    pub(crate) fn add(&mut self, what: &'static str, value: impl Into<String>) {
        let value = value.into();
        assert!(value.len() >= 8, "{what} is too short to be told from chance");
        self.0.push((what, value));
    }

    /// Fails if one of them is in there, in clear, as bytes in Rust's notation or as hex.
    fn assert_absent(&self, place: &str, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        for (what, value) in &self.0 {
            let digits = value.bytes().flat_map(|it| [it >> 4, it & 15]);
            let hex: String = digits.filter_map(|it| char::from_digit(it.into(), 16)).collect();
            let bytes = format!("{:?}", value.as_bytes());
            for form in [value, hex.as_str(), bytes.trim_matches(['[', ']'])] {
                if let Some(at) = text.find(form) {
                    panic!("{what} is in {place}: {}", around(&text, at));
                }
            }
        }
    }
}

fn around(text: &str, at: usize) -> &str {
    &text[text.floor_char_boundary(at.saturating_sub(400))..text.floor_char_boundary(at + 200)]
}

#[actix_web::test]
async fn no_secret_is_in_logs_answers_metrics_files_or_tables() {
    let folder = DataFolder::new();
    let model = ScriptedModel::start(Reply::Status(401));
    let mut command = serve_in(&folder);
    command
        .env("PLINTH_LOG", "trace")
        .env("PLINTH_LLM_BASE_URL", model.url())
        .env("PLINTH_LLM_MODEL", "scripted-1")
        .env("PLINTH_LLM_API_KEY", "sk-canary-of-the-model");
    let server = Running::start(&mut command).up().await;
    let mut canaries = Canaries::default();
    canaries.add("the model's key", "sk-canary-of-the-model");
    let token = server.printed_token().await;
    canaries.add("the setup token", &token);

    // Everything that carries a secret, rightly and wrongly.
    let mut seen = String::new();
    let nobody = server.nobody();
    let wrong = json!({ "token": "setup_canaryWrongTokenOfSomebody", "organization": "Bad", "email": "b@example.com" });
    canaries.add("a wrong setup token", "canaryWrongTokenOfSomebody");
    seen += &nobody.post("/v1/setup", wrong).await.text;
    let ann = server.set_up().await;
    seen += &people::plant(&server, &ann, &folder, &mut canaries).await;
    seen += &transport::plant(&ann, &mut canaries).await;
    let key = ann.key.clone().unwrap();
    canaries.add("the first key", secret_of(&key));
    let made = ann.post("/v1/api-keys", json!({ "name": "second", "scopes": ["read"] })).await;
    let second = made.body["data"]["key"].as_str().unwrap().to_owned();
    canaries.add("the second key", secret_of(&second));
    seen += &send(nobody.request("GET", "/v1/connections").header("x-api-key", &second)).await.text;
    seen += &server.somebody("plinth_live_canaryThatIsNoKeyAtAll").get("/v1/queries").await.text;
    canaries.add("what is no key", "canaryThatIsNoKeyAtAll");

    let target = rows_to_keep_quiet_about().await;
    canaries.add("the connection's password", target.password());
    let id = ann.post("/v1/connections", connection("Shop", &target)).await;
    seen += &id.text;
    let id = id.body["data"]["id"].as_str().unwrap().to_owned();
    let mut bad = connection("Wrong password", &target);
    bad["password"] = "canary-pass-word-7321".into();
    canaries.add("a wrong password", "canary-pass-word-7321");
    let bad = ann.post("/v1/connections", bad).await;
    seen += &bad.text;
    let bad = bad.body["data"]["id"].as_str().unwrap().to_owned();
    let mut unreadable = connection("Unreadable", &target);
    unreadable["password"] = json!({ "value": "canary-in-a-wrong-place-5590" });
    unreadable["port"] = "canary-in-a-wrong-place-5590".into();
    canaries.add("a misplaced password", "canary-in-a-wrong-place-5590");
    let unreadable = ann.post("/v1/connections", unreadable).await;
    assert_eq!(unreadable.status, 422);
    let diagnosed = ann.post(&format!("/v1/connections/{bad}/test"), json!({})).await;
    assert_eq!(diagnosed.body["data"]["success"], false, "{}", diagnosed.text);
    let refused = ann.sql(&bad, "SELECT 1").await;
    assert_eq!(refused.status, 502, "{}", refused.text);
    seen += &(diagnosed.text + &refused.text + &unreadable.text);
    seen += &ann.post(&format!("/v1/connections/{id}/test"), json!({})).await.text;
    seen += &calls::plant(&ann, &id, &mut canaries).await;
    for path in ["/v1/connections", &format!("/v1/connections/{id}"), "/v1/api-keys", "/v1/queries"]
    {
        seen += &ann.get(path).await.text;
    }
    let secret_row = ann.sql(&id, "SELECT note FROM diary").await;
    assert_eq!(secret_row.rows(), &json!([["canary of a row 99182"]]));
    assert_eq!(ann.ask(&id, "How many rows of diary are there?").await.rows(), &json!([[1]]));
    seen += &ann.sql(&id, "SELECT 1 / (id - 1) FROM diary").await.text;
    seen += &ann.get("/v1/queries").await.text;
    seen += &nobody.get("/metrics").await.text;
    seen += &nobody.get("/readyz").await.text;

    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    canaries.add("the master key", read("keys/master.key").trim());
    let runtime: Value = serde_json::from_str(&read("runtime.json")).unwrap();
    let owner = runtime["database_url"].as_str().unwrap().to_owned();
    let owner_password = owner.split([':', '@']).nth(2).unwrap().to_owned();
    canaries.add("the owner's password of our own database", owner_password.clone());
    let superuser = read("postgres/superuser.password").trim().to_owned();
    canaries.add("the superuser's password of our own database", &superuser);
    canaries.add("the mail server's password", MAIL_PASSWORD);
    canaries.assert_complete();

    canaries.assert_absent("an answer", seen.as_bytes());
    let cluster = owner.replace("plinth_owner", "postgres").replace(&owner_password, &superuser);
    until("the history is written", LIMIT, async || {
        tables(&cluster).await.iter().any(|it| it.1.contains("SELECT note FROM diary"))
    })
    .await;
    for (table, rows) in tables(&cluster).await {
        canaries.assert_absent(&format!("the table {table}"), rows.as_bytes());
        assert!(!rows.contains("canary of a row"), "a result is in {table}");
    }
    canaries.assert_absent("a dump", &dump(&cluster));
    canaries.assert_files(folder.path());

    let ended = server.stop(Signal::SIGTERM).await;
    canaries.assert_files(folder.path());
    undeliverable(&folder, &canaries).await;
    assert!(ended.stdout.contains("TRACE"), "the log was as chatty as it can be");
    assert!(!ended.stdout.contains("canary of a row"), "rows are in the log");
    canaries.assert_absent("the log", ended.stdout.as_bytes());
    // There, and there only, it is shown once on purpose.
    let errors = ended.stderr.replacen(&token, "", 1);
    canaries.assert_absent("standard error", errors.as_bytes());
}

const MAIL_PASSWORD: &str = "canary-of-the-mail-server";

/// The same server once more, with a mail server that nobody reaches: what it says of letters that do not leave.
async fn undeliverable(folder: &DataFolder, canaries: &Canaries) {
    let mut command = serve_in(folder);
    let url = format!("smtp://plinth:{MAIL_PASSWORD}@127.0.0.1:9");
    command
        .env("PLINTH_LOG", "trace")
        .env("PLINTH_SMTP_URL", url)
        .env("PLINTH_MAIL_FROM", "Plinth <plinth@example.com>");
    let server = Running::start(&mut command).up().await;
    let forgot = json!({ "email": people::OWNER });
    let asked = server.nobody().post("/v1/auth/password/forgot", forgot).await;
    assert_eq!(asked.status, 202, "{}", asked.text);
    until("a letter could not be sent", LIMIT, async || {
        server.process().stdout().contains("a message of the outbox was not delivered")
    })
    .await;
    let metrics = server.nobody().get("/metrics").await.text;
    canaries.assert_absent("the metrics", metrics.as_bytes());
    let ended = server.stop(Signal::SIGTERM).await;
    canaries.assert_absent("the second log", ended.stdout.as_bytes());
    canaries.assert_absent("the second standard error", ended.stderr.as_bytes());
    canaries.assert_files(folder.path());
}

/// What `pg_dump` writes of our own database.
fn dump(url: &str) -> Vec<u8> {
    let named = std::env::var_os("PLINTH_POSTGRES_BIN").map(PathBuf::from);
    let programs = plinth_local_postgres::Installation::find(named.as_deref()).unwrap();
    let program = programs.bin().join("pg_dump");
    let dump = std::process::Command::new(program).arg(url).output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    assert!(dump.stdout.len() > 10_000, "a dump has more in it");
    dump.stdout
}

/// The part of a key that only its holder knows.
pub(crate) fn secret_of(key: &str) -> String {
    key.rsplit('_').next().unwrap().to_owned()
}

async fn rows_to_keep_quiet_about() -> TestDatabase {
    let script = "
        CREATE TABLE diary (id int PRIMARY KEY, note text NOT NULL);
        INSERT INTO diary VALUES (1, 'canary of a row 99182');
        GRANT SELECT ON diary TO plinth_test_owner;
        ANALYZE;
    ";
    TestDatabase::from_sql(script).await.unwrap()
}

impl Canaries {
    /// Fails if one is in a file that others may read, or in a file that is not there to hold it.
    fn assert_files(&self, folder: &Path) {
        let mut files = Vec::new();
        collect(folder, &mut files);
        assert!(files.len() > 500, "a cluster has many files");
        for file in files {
            let name = file.strip_prefix(folder).unwrap().to_str().unwrap();
            // What a running server removes meanwhile holds nothing any more.
            let (Ok(meta), Ok(bytes)) = (file.metadata(), fs::read(&file)) else { continue };
            // Letters lie there because no mail server is configured; their links are what they are for.
            let is_letter =
                name.starts_with("mail/") && file.extension().is_some_and(|it| it == "eml");
            if is_letter
                || ["runtime.json", "keys/master.key", "postgres/superuser.password"]
                    .contains(&name)
            {
                assert_eq!(meta.permissions().mode() & 0o7777, 0o600, "{name}");
                continue;
            }
            self.assert_absent(&format!("the file {name}"), &bytes);
        }
        let keys = folder.join("keys").metadata().unwrap();
        assert_eq!(keys.permissions().mode() & 0o7777, 0o700, "keys/");
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect(&entry.path(), files),
            Ok(kind) if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
}

/// Every row of every table of ours as text, as a superuser sees them: row security hides nothing from it.
async fn tables(url: &str) -> Vec<(String, String)> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    actix_web::rt::spawn(connection);
    let names = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
                 WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";
    let names = client.query(names, &[]).await.unwrap();
    assert!(names.len() >= 8, "{}", names.len());
    let mut tables = Vec::new();
    for name in names {
        let name: String = name.get(0);
        tables.push((name.clone(), rows(&client, &name).await));
    }
    tables
}

async fn rows(client: &Client, table: &str) -> String {
    let query = format!("SELECT coalesce(string_agg(it::text, E'\\n'), '') FROM {table} AS it");
    client.query_one(&query, &[]).await.unwrap().get(0)
}
