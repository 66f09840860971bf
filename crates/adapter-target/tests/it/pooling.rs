use std::time::Duration;

use plinth_adapter_target::TargetDatabases;
use plinth_connections::{Host, Place, TableName, Target, TargetDatabase as _};
use plinth_queries::{RunError, RunLimits, StatementRunner as _};
use plinth_schema_introspect::{CatalogReader as _, ReadOptions, TableRead};
use plinth_testdb::TestDatabase;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{
    all, client, databases, eventually, limits, one, settings, statement, target,
};

const PID: &str = "SELECT pg_backend_pid()";

#[tokio::test]
async fn a_connection_has_so_many_sessions_and_no_more() {
    let database = TestDatabase::create().await.expect("a database");
    let mut settings = settings();
    settings.sessions_per_connection = 2;
    settings.wait_limit = Duration::from_millis(100);
    let databases = TargetDatabases::new(settings).expect("settings");
    let target = target(&database);
    let first = databases.session(&target).await.expect("a session");
    let _second = databases.session(&target).await.expect("a session");
    assert!(matches!(one(&databases, &target, "SELECT 1").await, Err(RunError::Busy)));
    drop(first);
    assert_eq!(one(&databases, &target, "SELECT 1").await.expect("free again"), "1");
}

#[tokio::test]
async fn what_runs_in_the_background_leaves_a_session_to_others_and_waits_for_its_turn() {
    let database = TestDatabase::create().await.expect("a database");
    let mut settings = settings();
    settings.sessions_per_connection = 2;
    settings.wait_limit = Duration::from_millis(50);
    let databases = TargetDatabases::new(settings).expect("settings");
    let target = target(&database);
    let in_background = RunLimits { in_background: true, ..limits() };
    let slow =
        async || all(&databases, &target, "SELECT pg_sleep(0.3)", &in_background).await.map(drop);
    // Each waits for the one before it, much longer than anybody else would.
    let background = async { tokio::join!(slow(), slow(), slow()) };
    let others = async {
        for _ in 0..5 {
            assert_eq!(one(&databases, &target, "SELECT 1").await.expect("a session"), "1");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let (ended, ()) = tokio::join!(background, others);
    assert!(matches!(ended, (Ok(()), Ok(()), Ok(()))), "{ended:?}");
}

#[tokio::test]
async fn what_runs_in_the_background_comes_again_when_its_turn_does_not() {
    let database = TestDatabase::create().await.expect("a database");
    let mut settings = settings();
    settings.turn_limit = Duration::from_millis(50);
    settings.background_per_organization = 1;
    let databases = TargetDatabases::new(settings).expect("settings");
    let in_background = RunLimits { in_background: true, ..limits() };
    // Of one organization, on two connections.
    let (target, other) = (target(&database), target(&database));
    let other = Target { org: target.org, ..other };
    let held = databases.run(&target, &statement(PID), &in_background).await.expect("its turn");
    for target in [&target, &other] {
        let waited = all(&databases, target, PID, &in_background).await;
        assert!(matches!(waited, Err(RunError::Busy)), "{waited:?}");
        one(&databases, target, PID).await.expect("people are not asked to wait");
    }
    // A connection that changes lets nobody wait for what its old settings are at.
    let changed = Target { version: 2, ..target.clone() };
    let waiting = all(&databases, &target, PID, &in_background);
    let changing = one(&databases, &changed, PID);
    let (waited, seen) = tokio::join!(waiting, changing);
    assert!(matches!(waited, Err(RunError::Busy)) && seen.is_ok(), "{waited:?} {seen:?}");
    drop(held);
    all(&databases, &other, PID, &in_background).await.expect("its turn");
}

#[tokio::test]
async fn all_connections_together_have_a_bound_and_idle_sessions_make_room() {
    let database = TestDatabase::create().await.expect("a database");
    let mut settings = settings();
    settings.sessions_total = 1;
    settings.wait_limit = Duration::from_millis(200);
    let databases = TargetDatabases::new(settings).expect("settings");
    let (one_target, other) = (target(&database), target(&database));
    let first = one(&databases, &one_target, PID).await.expect("a pid");
    let held = databases.session(&other).await.expect("the idle one made room");
    assert!(matches!(one(&databases, &one_target, PID).await, Err(RunError::Busy)));
    drop(held);
    assert_ne!(one(&databases, &one_target, PID).await.expect("a pid"), first);
}

#[tokio::test]
async fn sessions_that_nobody_uses_are_closed() {
    let database = TestDatabase::create().await.expect("a database");
    let mut settings = settings();
    settings.idle_limit = Duration::from_millis(100);
    let databases = TargetDatabases::new(settings).expect("settings");
    let target = target(&database);
    one(&databases, &target, "SELECT 1").await.expect("a result");
    let watcher = client(&database.superuser_url()).await;
    let sql = "SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'plinth' AND datname = current_database()";
    eventually("it is closed", async || {
        watcher.query_one(sql, &[]).await.expect("a count").get::<_, i64>(0) == 0
    })
    .await;
    assert_eq!(one(&databases, &target, "SELECT 1").await.expect("a new one"), "1");
}

#[tokio::test]
async fn sessions_of_a_forgotten_or_changed_connection_end() {
    let database = TestDatabase::create().await.expect("a database");
    let (databases, mut target) = (databases(), target(&database));
    let first = one(&databases, &target, PID).await.expect("a pid");
    assert_eq!(one(&databases, &target, PID).await.expect("a pid"), first);
    target.version = 2;
    let second = one(&databases, &target, PID).await.expect("a pid");
    assert_ne!(first, second);
    databases.forget(target.connection.expect("kept")).await;
    assert_ne!(one(&databases, &target, PID).await.expect("a pid"), second);
    // Whoever still holds the old settings gets a session by them, of its own.
    target.version = 1;
    assert_eq!(one(&databases, &target, "SELECT 1").await.expect("a result"), "1");
    target.connection = None;
    assert_eq!(one(&databases, &target, "SELECT 1").await.expect("a result"), "1");
}

/// A proxy that greets with a process id of its own, as those do that share backends among clients.
async fn proxy(database: &TestDatabase) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let upstream = format!("{}:{}", database.host(), database.port());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&upstream).await.expect("the test server");
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(async move {
                let (mut buffer, mut greeted) = ([0; 8192], false);
                while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
                    let key = b"K\0\0\0\x0c";
                    let at = buffer[..read].windows(key.len()).position(|it| it == key);
                    if let (Some(at), false) = (at, greeted) {
                        buffer[at + key.len()..][..4].copy_from_slice(&[0, 0, 0, 1]);
                        greeted = true;
                    }
                    if to_client.write_all(&buffer[..read]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    let host = Host::parse("127.0.0.1").expect("a host");
    Target { place: Place::Typed { host, port }, ..target(database) }
}

#[tokio::test]
async fn behind_a_proxy_nothing_is_left_on_the_backend_that_others_would_get() {
    let database = TestDatabase::create().await.expect("a database");
    let (databases, target) = (databases(), proxy(&database).await);
    let table = TableName { schema: "public".to_owned(), name: "none".to_owned() };
    let known = databases.read(&target, ReadOptions::default()).await.expect("a catalog");
    let read = databases.read_table(&target, &table, &known, ReadOptions::default()).await;
    assert_eq!(read.expect("an answer"), TableRead::Gone);
    let sql = "SELECT current_setting('TimeZone'), current_setting('transaction_read_only'),
        current_setting('statement_timeout'), current_setting('IntervalStyle'),
        (SELECT count(*) FROM pg_prepared_statements WHERE name <> ''),
        (SELECT string_agg(name, ',') FROM pg_settings
          WHERE reset_val <> boot_val AND name IN ('default_transaction_read_only', 'bytea_output'))";
    for (zone, seconds) in [("Asia/Tokyo", 10), ("Europe/Paris", 20)] {
        let limits = RunLimits {
            time_zone: zone.to_owned(),
            time: Duration::from_secs(seconds),
            ..limits()
        };
        let (rows, _) = all(&databases, &target, sql, &limits).await.expect("a result");
        let timeout = format!("{}ms", seconds * 1000 - 250);
        let expected = [zone, "on", &timeout, "postgres", "0"].map(|it| Some(it.to_owned()));
        assert_eq!(rows[0][..5], expected);
        assert_eq!(rows[0][5], None);
    }
    let error = one(&databases, &target, "SELECT nothing").await.expect_err("no such column");
    assert!(matches!(&error, RunError::Database(it) if it.position == Some(8)), "{error:?}");
    // What a transaction's end takes back was set by the transaction alone: a plain session on the same way sees none of it.
    let plain = client(&format!(
        "postgresql://{}:{}@127.0.0.1:{}/{}",
        database.user(),
        database.password(),
        match target.place {
            Place::Typed { port, .. } => port,
            Place::Managed { .. } => 0,
        },
        database.name()
    ))
    .await;
    let writes = plain.query_one("SHOW default_transaction_read_only", &[]).await.expect("a row");
    assert_eq!(writes.get::<_, &str>(0), "off");
}

#[tokio::test]
async fn a_statement_that_overruns_its_time_keeps_its_place_until_the_server_has_stopped() {
    let database = TestDatabase::create().await.expect("a database");
    let mut settings = settings();
    settings.sessions_per_connection = 1;
    let databases = TargetDatabases::new(settings).expect("settings");
    let target = target(&database);
    let first = one(&databases, &target, PID).await.expect("a pid");
    // The function hears of neither the time limit nor a cancel while it sleeps in pieces and swallows both.
    let owner = client(&database.url()).await;
    owner
        .batch_execute(
            "CREATE FUNCTION stubborn() RETURNS int LANGUAGE plpgsql AS $$
             DECLARE until timestamptz := clock_timestamp() + interval '1 s';
             BEGIN
               WHILE clock_timestamp() < until LOOP
                 BEGIN PERFORM pg_sleep(0.05); EXCEPTION WHEN query_canceled THEN NULL; END;
               END LOOP;
               RETURN 1;
             END $$",
        )
        .await
        .expect("a function");
    let hurried = RunLimits { time: Duration::from_millis(200), ..limits() };
    let began = std::time::Instant::now();
    let late = all(&databases, &target, "SELECT stubborn()", &hurried).await;
    assert!(matches!(late, Err(RunError::TimedOut(_))), "{late:?}");
    assert!(began.elapsed() < Duration::from_millis(800));
    let next = one(&databases, &target, PID).await.expect("once the server has stopped");
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
    assert_ne!(first, next);
}
