use std::time::{Duration, Instant};

use plinth_adapter_target::TargetDatabases;
use plinth_connections::SslMode;
use plinth_queries::{CutOff, RunError, RunLimits, Statement, StatementRunner as _};
use plinth_testdb::TestDatabase;

use crate::support::{
    Texts, all, client, databases, eventually, limits, one, statement, target, texts,
};

#[tokio::test]
async fn every_kind_of_type_comes_as_the_servers_own_text() {
    let database = TestDatabase::create().await.expect("a database");
    let owner = client(&database.url()).await;
    owner
        .batch_execute(
            "CREATE TYPE mood AS ENUM ('glad', 'sad'); CREATE TYPE pair AS (a int, b text);
             CREATE DOMAIN posint AS int CHECK (VALUE > 0);",
        )
        .await
        .expect("types");
    let (databases, target) = (databases(), target(&database));
    let cases = [
        ("true", "t"),
        ("32767::int2", "32767"),
        ("'-9223372036854775808'::int8", "-9223372036854775808"),
        (
            "123456789012345678901234567890.123456789::numeric",
            "123456789012345678901234567890.123456789",
        ),
        ("'NaN'::numeric", "NaN"),
        ("0.1::float8", "0.1"),
        ("'-Infinity'::float4", "-Infinity"),
        ("'infinity'::timestamptz", "infinity"),
        ("'2024-02-29 12:34:56.789+02'::timestamptz", "2024-02-29 10:34:56.789+00"),
        ("'4713-01-01 BC'::date", "4713-01-01 BC"),
        ("'1 year 2 mons -3 days 04:05:06.7'::interval", "1 year 2 mons -3 days +04:05:06.7"),
        ("'24:00'::time", "24:00:00"),
        ("'\\xdeadbeef'::bytea", "\\xdeadbeef"),
        ("ARRAY[[1,2],[3,NULL]]", "{{1,2},{3,NULL}}"),
        ("int4range(1,5)", "[1,5)"),
        ("'{[1,3),[5,6)}'::int4multirange", "{[1,3),[5,6)}"),
        ("'{\"a\": [1, 2.50]}'::json", "{\"a\": [1, 2.50]}"),
        ("'{\"a\":1}'::jsonb", "{\"a\": 1}"),
        ("'<a>b</a>'::xml", "<a>b</a>"),
        ("'sad'::mood", "sad"),
        ("ROW(1,'x y')::pair", "(1,\"x y\")"),
        ("7::posint", "7"),
        ("'0.0.0.0/0'::cidr", "0.0.0.0/0"),
        ("'08:00:2b:01:02:03'::macaddr", "08:00:2b:01:02:03"),
        ("'(1,2)'::point", "(1,2)"),
        ("B'1011'", "1011"),
        ("'a & b'::tsquery", "'a' & 'b'"),
        ("'12.34'::money", "$12.34"),
        ("'9d7c2f9e-8f0a-7b1c-8f0a-7b1c8f0a7b1c'::uuid", "9d7c2f9e-8f0a-7b1c-8f0a-7b1c8f0a7b1c"),
        ("'pg_class'::regclass", "pg_class"),
        ("'é😀'::text", "é😀"),
        ("NULL::int", "null"),
    ];
    for (expression, expected) in cases {
        let value = one(&databases, &target, &format!("SELECT {expression}")).await;
        assert_eq!(value.expect(expression), expected, "{expression}");
    }
}

#[tokio::test]
async fn columns_are_named_and_typed_and_parameters_are_bound() {
    let database = TestDatabase::create().await.expect("a database");
    let (databases, target) = (databases(), target(&database));
    let asked = Statement {
        sql: "SELECT $1::int + 1 AS n, $2::varchar(10) AS v, $3::text AS t".to_owned(),
        parameters: vec![Some("41".to_owned()), Some("x'; --".to_owned()), None],
        search_path: Vec::new(),
    };
    let mut rows = databases.run(&target, &asked, &limits()).await.expect("a result");
    let columns: Vec<_> =
        rows.columns().iter().map(|it| (it.name.as_str(), it.type_oid, it.type_modifier)).collect();
    assert_eq!(columns, [("n", 23, -1), ("v", 1043, 14), ("t", 25, -1)]);
    let got = texts(&rows.next().await.expect("rows"));
    assert_eq!(got, [[Some("42".to_owned()), Some("x'; --".to_owned()), None]]);
    assert!(rows.next().await.expect("the end").is_empty());
}

#[tokio::test]
async fn a_session_is_used_again_and_the_time_zone_is_that_of_the_run() {
    let database = TestDatabase::create().await.expect("a database");
    let (databases, target) = (databases(), target(&database));
    let first = one(&databases, &target, "SELECT pg_backend_pid()").await.expect("a pid");
    for zone in ["Europe/Berlin", "Asia/Tokyo", "Asia/Tokyo", "UTC"] {
        let limits = RunLimits { time_zone: zone.to_owned(), ..limits() };
        let sql = "SELECT current_setting('TimeZone'), pg_backend_pid()";
        let (rows, _) = all(&databases, &target, sql, &limits).await.expect("a result");
        assert_eq!(rows, [[Some(zone.to_owned()), Some(first.clone())]]);
    }
    let wrong = RunLimits { time_zone: "Mars/Olympus".to_owned(), ..limits() };
    let refused = all(&databases, &target, "SELECT 1", &wrong).await.expect_err("no such zone");
    assert!(matches!(&refused, RunError::Database(it) if it.sqlstate == "22023"), "{refused:?}");
    assert_eq!(one(&databases, &target, "SELECT 1").await.expect("a fresh one"), "1");
}

#[tokio::test]
async fn an_error_says_what_and_where_and_costs_no_session() {
    let database = TestDatabase::create().await.expect("a database");
    let (databases, target) = (databases(), target(&database));
    let first = one(&databases, &target, "SELECT pg_backend_pid()").await.expect("a pid");
    let error = one(&databases, &target, "SELECT nothing FROM nowhere").await.expect_err("no");
    let RunError::Database(said) = error else { panic!("{error:?}") };
    assert_eq!((said.sqlstate.as_str(), said.position), ("42P01", Some(21)));
    let late = "SELECT 1 / (1000 - g) FROM generate_series(1, 2000) g";
    let error = all(&databases, &target, late, &limits()).await.expect_err("by zero");
    assert!(matches!(&error, RunError::Database(it) if it.sqlstate == "22012"), "{error:?}");
    eventually("the session comes back", async || {
        one(&databases, &target, "SELECT pg_backend_pid()").await.expect("a pid") == first
    })
    .await;
}

#[tokio::test]
async fn nothing_can_be_written_and_one_text_is_one_statement() {
    let database = TestDatabase::create().await.expect("a database");
    let owner = client(&database.url()).await;
    owner.batch_execute("CREATE TABLE t (n int)").await.expect("a table");
    let (databases, target) = (databases(), target(&database));
    for (sql, state) in [
        ("INSERT INTO t VALUES (1) RETURNING n", "25006"),
        ("WITH x AS (DELETE FROM t RETURNING n) SELECT * FROM x", "25006"),
        ("CREATE TABLE u (n int)", "25006"),
        ("SELECT nextval('pg_catalog.pg_class'::regclass)", "42809"),
        ("SELECT 1; SELECT 2", "42601"),
        ("COMMIT; INSERT INTO t VALUES (1)", "42601"),
    ] {
        let error = one(&databases, &target, sql).await.expect_err(sql);
        assert!(
            matches!(&error, RunError::Database(it) if it.sqlstate == state),
            "{sql}: {error:?}"
        );
    }
    let rows: i64 = owner.query_one("SELECT count(*) FROM t", &[]).await.expect("a count").get(0);
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn what_a_statement_could_leave_behind_is_gone() {
    let database = TestDatabase::create().await.expect("a database");
    let (databases, target) = (databases(), target(&database));
    let first = one(&databases, &target, "SELECT pg_backend_pid()").await.expect("a pid");
    one(&databases, &target, "SELECT set_config('search_path', 'evil', false)").await.expect("ok");
    one(&databases, &target, "SELECT pg_advisory_lock(42)").await.expect("ok");
    let after = "SELECT current_setting('search_path'),
        (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()), pg_backend_pid()";
    let (rows, _) = all(&databases, &target, after, &limits()).await.expect("a result");
    let expected = ["\"$user\", public", "0", &first].map(|it| Some(it.to_owned()));
    assert_eq!(rows, [expected]);
}

#[tokio::test]
async fn rows_and_bytes_are_cut_at_the_limit_and_said_to_be() {
    let database = TestDatabase::create().await.expect("a database");
    let mut settings = crate::support::settings();
    settings.sessions_per_connection = 1;
    let databases = TargetDatabases::new(settings).expect("settings");
    let target = target(&database);
    let first = one(&databases, &target, "SELECT pg_backend_pid()").await.expect("a pid");
    let sql = "SELECT g FROM generate_series(1, 10) g";
    for (rows, cut) in [(10, None), (11, None), (9, Some(CutOff::Rows)), (0, Some(CutOff::Rows))] {
        let limits = RunLimits { rows, ..limits() };
        let got = all(&databases, &target, sql, &limits).await.expect("a result");
        let expected: Texts = (1..=rows.min(10)).map(|it| vec![Some(it.to_string())]).collect();
        assert_eq!(got, (expected, cut));
    }
    let limits = RunLimits { bytes: 1000, ..limits() };
    let endless = "SELECT repeat('x', 91), generate_series(1, 1000000000)";
    let (rows, cut) = all(&databases, &target, endless, &limits).await.expect("a result");
    // A row is two bytes of count and, for each value, four of length.
    assert_eq!((rows.len(), cut), (9, Some(CutOff::Bytes)));
    // One that was cut off is cancelled and used again, not closed.
    let last = one(&databases, &target, "SELECT pg_backend_pid()").await.expect("a pid");
    assert_eq!(first, last);
}

#[tokio::test]
async fn a_statement_ends_at_its_deadline_even_if_the_planner_does_not() {
    let database = TestDatabase::create().await.expect("a database");
    let (databases, target) = (databases(), target(&database));
    let limits = RunLimits { time: Duration::from_millis(500), ..limits() };
    // 4,096 grouping sets: the planner is at it for seconds and listens to nobody meanwhile.
    let columns: Vec<_> = (1..=12).map(|it| format!("c{it}")).collect();
    let values: Vec<_> = columns.iter().map(|it| format!("random() AS {it}")).collect();
    let cube = format!(
        "SELECT count(*) FROM (SELECT {} FROM generate_series(1, 100000)) t GROUP BY CUBE ({})",
        values.join(", "),
        columns.join(", ")
    );
    for sql in ["SELECT pg_sleep(60)", &cube, "SELECT generate_series(1, 10000000000)"] {
        let began = Instant::now();
        let error = all(&databases, &target, sql, &limits).await.err();
        assert!(
            matches!(error, Some(RunError::TimedOut(it)) if it == limits.time),
            "{sql}: {error:?}"
        );
        assert!(began.elapsed() < Duration::from_millis(900), "{sql}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn the_time_of_a_statement_is_not_that_of_a_slow_reader() {
    let database = TestDatabase::create().await.expect("a database");
    let (databases, target) = (databases(), target(&database));
    // More than what lies on the way, so that the server waits too.
    let sql = "SELECT repeat('x', 1000) FROM generate_series(1, 60000)";
    let time = Duration::from_secs(2);
    for reader_time in [Duration::ZERO, Duration::from_mins(1)] {
        let limits = RunLimits { time, reader_time, ..limits() };
        let mut rows = databases.run(&target, &statement(sql), &limits).await.expect("begins");
        let mut count = rows.next().await.expect("some").len();
        one(&databases, &target, "SELECT pg_sleep(2.1)").await.expect("a reader's own affairs");
        let ended = loop {
            match rows.next().await {
                Ok(some) if some.is_empty() => break Ok(count),
                Ok(some) => count += some.len(),
                Err(err) => break Err(err),
            }
        };
        match ended {
            Err(RunError::TimedOut(it)) => assert!(reader_time.is_zero() && it == time),
            ended => assert!(ended.is_ok_and(|it| it == 60_000) && !reader_time.is_zero()),
        }
    }
}

#[tokio::test]
async fn a_dropped_run_is_cancelled_in_the_database() {
    let database = TestDatabase::create().await.expect("a database");
    let (databases, target) = (databases(), target(&database));
    let watcher = client(&database.superuser_url()).await;
    let running = async || -> i64 {
        let sql = "SELECT count(*) FROM pg_stat_activity
            WHERE application_name = 'plinth' AND state <> 'idle' AND datname = current_database()";
        watcher.query_one(sql, &[]).await.expect("a count").get(0)
    };
    // While it has not begun to answer.
    let sleeping = tokio::spawn({
        let (databases, target) = (databases.clone(), target.clone());
        async move {
            databases.run(&target, &statement("SELECT pg_sleep(60)"), &limits()).await.map(drop)
        }
    });
    eventually("it runs", async || running().await == 1).await;
    sleeping.abort();
    eventually("it is cancelled", async || running().await == 0).await;
    // In the middle of its rows.
    let endless = statement("SELECT repeat('x', 100), generate_series(1, 10000000000)");
    let mut rows = databases.run(&target, &endless, &limits()).await.expect("a result");
    assert!(!rows.next().await.expect("rows").is_empty());
    assert_eq!(running().await, 1);
    drop(rows);
    eventually("it is cancelled", async || running().await == 0).await;
}

#[tokio::test]
async fn a_session_that_is_cut_in_the_middle_says_so_and_the_next_run_has_another() {
    let database = TestDatabase::create().await.expect("a database");
    let (databases, target) = (databases(), target(&database));
    let admin = client(&database.superuser_url()).await;
    let end_all = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE application_name = 'plinth' AND datname = current_database()";
    let endless = statement("SELECT generate_series(1, 10000000000)");
    let mut rows = databases.run(&target, &endless, &limits()).await.expect("a result");
    rows.next().await.expect("rows");
    admin.query_one(end_all, &[]).await.expect("ended");
    let error = loop {
        match rows.next().await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, RunError::Connection(_)), "{error:?}");
    // Idle ones that were cut are noticed, at the latest by using them.
    for _ in 0..20 {
        assert_eq!(one(&databases, &target, "SELECT 1").await.expect("another session"), "1");
        admin.query_one(end_all, &[]).await.expect("ended");
    }
}

#[tokio::test]
async fn a_plan_names_what_would_be_read_and_runs_nothing() {
    let database = TestDatabase::create().await.expect("a database");
    let owner = client(&database.url()).await;
    owner
        .batch_execute(
            "CREATE TABLE a (n int); CREATE VIEW v AS SELECT n FROM a;
             CREATE TABLE p (n int) PARTITION BY RANGE (n); CREATE TABLE p1 PARTITION OF p DEFAULT;",
        )
        .await
        .expect("tables");
    let (databases, target) = (databases(), target(&database));
    let asked = Statement {
        sql: "SELECT count(pg_sleep(60)) FROM v JOIN p USING (n) WHERE n > $1::int".to_owned(),
        parameters: vec![Some("1".to_owned())],
        search_path: Vec::new(),
    };
    let plan = databases.plan(&target, &asked, &limits()).await.expect("a plan");
    let names: Vec<_> = plan.relations.iter().map(|(s, r)| format!("{s}.{r}")).collect();
    assert_eq!(names, ["public.a", "public.p1"]);
    assert!(plan.total_cost > 0.0 && plan.estimated_rows > 0.0);
    let error = databases.plan(&target, &statement("SELECT x"), &limits()).await.expect_err("no x");
    assert!(matches!(&error, RunError::Database(it) if it.position == Some(8)), "{error:?}");
}

#[tokio::test]
async fn everything_works_the_same_over_tls() {
    let database = TestDatabase::create().await.expect("a database");
    let (databases, mut target) = (databases(), target(&database));
    target.ssl_mode = SslMode::Require;
    let tls = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(one(&databases, &target, tls).await.expect("a result"), "t");
    let many = "SELECT repeat('x', 1000) FROM generate_series(1, 20000)";
    let (rows, _) = all(&databases, &target, many, &limits()).await.expect("a result");
    assert_eq!(rows.len(), 20_000);
    let limits = RunLimits { time: Duration::from_millis(300), ..limits() };
    let error = all(&databases, &target, "SELECT pg_sleep(60)", &limits).await;
    assert!(matches!(error, Err(RunError::TimedOut(_))), "{error:?}");
}

#[tokio::test]
async fn whoever_cancels_at_the_server_is_told_from_the_deadline() {
    let database = TestDatabase::create().await.expect("a database");
    let (databases, target) = (databases(), target(&database));
    let admin = client(&database.superuser_url()).await;
    let sleeping =
        tokio::spawn(async move { one(&databases, &target, "SELECT pg_sleep(60)").await });
    let cancel = "SELECT count(*) FILTER (WHERE pg_cancel_backend(pid)) FROM pg_stat_activity
        WHERE application_name = 'plinth' AND state = 'active' AND query ~ 'pg_sleep' AND datname = current_database()";
    eventually("it runs and is cancelled", async || {
        admin.query_one(cancel, &[]).await.expect("a count").get::<_, i64>(0) == 1
    })
    .await;
    let outcome = sleeping.await.expect("no panic");
    assert!(matches!(outcome, Err(RunError::Cancelled)), "{outcome:?}");
}
