//! Many databases at once: what some do must be nothing to the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use plinth_adapter_target::TargetDatabases;
use plinth_connections::{Fault, Host, Place, Target, TargetDatabase as _};
use plinth_core::{Clock as _, OrgId, SystemClock};
use plinth_queries::RunError;
use plinth_testdb::TestDatabase;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::{client, databases, eventually, free_target, one, settings, target};

/// A server that takes every connection and never says a word; how many it has.
async fn hanging() -> (Place, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (open, counter) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = open.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (open, most) = (open.clone(), counter.clone());
            most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::spawn(async move {
                let _ = tokio::io::copy(&mut socket, &mut tokio::io::sink()).await;
                open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (Place::Typed { host: Host::parse("127.0.0.1").expect("a host"), port }, seen)
}

async fn quickest(databases: &TargetDatabases, target: &Target) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(one(databases, target, "SELECT 1").await.expect("healthy"), "1");
        best = best.min(began.elapsed());
    }
    best
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_databases_that_hang_do_not_slow_a_healthy_one() {
    const HANGING: usize = 500;
    let database = TestDatabase::create().await.expect("a database");
    let mut settings = settings();
    // However slow the machine is: none of them is given up before the last is dialled.
    settings.connect_limit = Duration::from_mins(2);
    let databases = TargetDatabases::new(settings).expect("settings");
    let healthy = target(&database);
    let alone = quickest(&databases, &healthy).await;

    let (place, open) = hanging().await;
    let mut asking = JoinSet::new();
    let other = OrgId::new(SystemClock.now());
    for at in 0..HANGING {
        // Half of them are of the healthy one's own organization.
        let org = if at % 2 == 0 { healthy.org } else { other };
        let target = Target { place: place.clone(), org, ..free_target() };
        // Each is asked for by three at once.
        for _ in 0..3 {
            let (databases, target) = (databases.clone(), target.clone());
            asking.spawn(async move { one(&databases, &target, "SELECT 1").await });
        }
    }
    eventually("all of them are being dialled", async || open.load(Ordering::SeqCst) == HANGING)
        .await;
    let beside = quickest(&databases, &healthy).await;
    // Far below any limit that a wait could run into; the machine is busy with the others' tasks.
    let limit = Duration::from_millis(100).max(alone * 10);
    assert!(beside < limit, "{alone:?} alone, {beside:?} beside the others");
    // Another healthy one that has no session yet, of the organization that has all the trouble.
    let began = Instant::now();
    let fresh = Target { org: other, ..target(&database) };
    assert_eq!(one(&databases, &fresh, "SELECT 1").await.expect("healthy"), "1");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    // Even with several sessions at once: the organization's share is not with those that hang.
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(databases.session(&fresh).await.expect("a session"));
    }
    // Nobody dialled twice: those who came second wait for what the first gets.
    assert_eq!(open.load(Ordering::SeqCst), HANGING);
    asking.abort_all();
    while asking.join_next().await.is_some() {}
    eventually("nothing is left", async || open.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn who_waits_for_a_dial_that_fails_gets_its_diagnosis() {
    let (place, open) = hanging().await;
    let mut settings = settings();
    settings.connect_limit = Duration::from_millis(300);
    let databases = TargetDatabases::new(settings).expect("settings");
    let target = Target { place, ..free_target() };
    let ask = || async { one(&databases, &target, "SELECT 1").await };
    let began = Instant::now();
    let all = futures_util::future::join_all((0..8).map(|_| ask())).await;
    // One after the other would be 2.4 seconds.
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    for found in all {
        assert!(
            matches!(&found, Err(RunError::Connection(it)) if it.fault == Fault::TimedOut),
            "{found:?}"
        );
    }
    eventually("it is closed", async || open.load(Ordering::SeqCst) == 0).await;
    // The next one dials anew.
    assert!(ask().await.is_err());
}

#[tokio::test]
async fn an_organization_has_so_many_sessions_beyond_the_first_of_each_and_tests_are_counted_apart()
{
    let database = TestDatabase::create().await.expect("a database");
    let mut settings = settings();
    settings.sessions_per_organization = 1;
    settings.trials_per_organization = 1;
    settings.wait_limit = Duration::from_millis(100);
    let databases = TargetDatabases::new(settings).expect("settings");
    let first = target(&database);
    let second = Target { org: first.org, ..target(&database) };
    let foreign = target(&database);

    let held = databases.session(&first).await.expect("its first");
    let more = databases.session(&first).await.expect("the organization's one more");
    let other = databases.session(&second).await.expect("its first, whatever the other has");
    let denied = databases.session(&second).await.expect_err("the organization has no more");
    assert_eq!(denied.fault, Fault::TooManyConnections);
    let _theirs = databases.session(&foreign).await.expect("another organization's first");
    let _theirs_too = databases.session(&foreign).await.expect("and its one more");
    // An idle one of the organization makes room.
    drop(more);
    let again = databases.session(&second).await.expect("the idle one made room");
    drop((held, other, again));

    assert!(databases.test(&first).await.is_ok(), "tests do not come out of that share");
    let (place, open) = hanging().await;
    let hangs = Target { place, org: first.org, connection: None, ..free_target() };
    let testing = tokio::spawn({
        let (databases, hangs) = (databases.clone(), hangs.clone());
        async move { databases.test(&hangs).await }
    });
    eventually("it is being tested", async || open.load(Ordering::SeqCst) == 1).await;
    let second_test = databases.test(&first).await.expect_err("one test at a time");
    assert_eq!(second_test.fault, Fault::TooManyConnections);
    assert!(databases.test(&foreign).await.is_ok());
    assert_eq!(one(&databases, &first, "SELECT 1").await.expect("queries go on"), "1");
    testing.abort();
}

#[tokio::test]
async fn a_changed_password_counts_at_once() {
    let database = TestDatabase::create().await.expect("a database");
    let admin = client(&database.superuser_url()).await;
    let role = format!("changing_{}", database.name());
    admin
        .batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'before'"))
        .await
        .expect("a role");
    let databases = databases();
    let before = Target {
        username: role.clone(),
        password: "before".to_owned().into(),
        ..target(&database)
    };
    let pid = one(&databases, &before, "SELECT pg_backend_pid()").await.expect("a pid");

    // What is stored changes first: from then on nobody gets in by the old sessions.
    let after = Target { password: "after".to_owned().into(), version: 2, ..before.clone() };
    let wrong = one(&databases, &after, "SELECT 1").await;
    assert!(
        matches!(&wrong, Err(RunError::Connection(it)) if it.fault == Fault::WrongPassword),
        "{wrong:?}"
    );
    let alive = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
    eventually("the old session ends", async || {
        admin.query_one(&alive, &[]).await.expect("a count").get::<_, i64>(0) == 0
    })
    .await;
    admin.batch_execute(&format!("ALTER ROLE {role} PASSWORD 'after'")).await.expect("changed");
    assert_eq!(one(&databases, &after, "SELECT 1").await.expect("in"), "1");
    // Whoever still holds what was read before the change does not get into the new pool either.
    let late = one(&databases, &before, "SELECT 1").await;
    assert!(matches!(late, Err(RunError::Connection(_))), "{late:?}");
    databases.forget(after.connection.expect("kept")).await;
    admin.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.expect("gone");
}
