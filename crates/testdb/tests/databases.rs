//! What tests may rely on, against the shared server itself.
#![expect(clippy::unwrap_used, reason = "a test's helpers may panic as tests do")]

use std::sync::atomic::{AtomicUsize, Ordering};

use plinth_testdb::{OWNER, TestDatabase};
use tokio_postgres::{Client, NoTls};

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn exists(witness: &TestDatabase, name: &str) -> bool {
    let client = connect(&witness.superuser_url()).await;
    client
        .query_opt("SELECT FROM pg_database WHERE datname = $1", &[&name])
        .await
        .unwrap()
        .is_some()
}

#[tokio::test]
async fn the_owner_is_bound_by_row_security_and_may_make_roles() {
    let database = TestDatabase::create().await.unwrap();
    let client = connect(&database.url()).await;
    let rights = "SELECT current_user::text, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user";
    let row = client.query_one(rights, &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), OWNER);
    let rights: Vec<bool> = (1..5).map(|column| row.get(column)).collect();
    assert_eq!(rights, [false, false, true, true]);
    let role = format!("app_{}", database.name());
    let steps = [
        format!("CREATE ROLE {role} NOLOGIN"),
        format!("GRANT {role} TO CURRENT_USER"),
        format!("SET ROLE {role}"),
        "RESET ROLE".to_owned(),
        format!("DROP ROLE {role}"),
    ];
    client.batch_execute(&steps.join(";")).await.unwrap();
}

#[tokio::test]
async fn a_database_is_dropped_with_its_value_though_somebody_is_connected() {
    let witness = TestDatabase::create().await.unwrap();
    let database = TestDatabase::create().await.unwrap();
    let name = database.name().to_owned();
    let client = connect(&database.url()).await;
    assert!(exists(&witness, &name).await);
    drop(database);
    assert!(!exists(&witness, &name).await);
    assert!(client.simple_query("SELECT 1").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_built_once_however_many_ask_at_a_time() {
    static BUILT: AtomicUsize = AtomicUsize::new(0);
    let key = format!("{:?} {}", std::time::SystemTime::now(), std::process::id());
    let ask = async || {
        TestDatabase::create_from_template(&key, async |draft| {
            BUILT.fetch_add(1, Ordering::SeqCst);
            // It stays connected: a pool would too.
            let client = connect(&draft.url()).await;
            Ok(client.batch_execute("CREATE TABLE made AS SELECT 7 AS number").await?)
        })
        .await
        .unwrap()
    };
    let (one, two, three) = tokio::join!(ask(), ask(), ask());
    assert_eq!(BUILT.load(Ordering::SeqCst), 1);
    for database in [&one, &two, &three] {
        let number: i32 = connect(&database.url())
            .await
            .query_one("SELECT number FROM made", &[])
            .await
            .unwrap()
            .get(0);
        assert_eq!(number, 7);
    }
    connect(&one.url()).await.batch_execute("DROP TABLE made").await.unwrap();
    connect(&two.url()).await.batch_execute("TABLE made").await.unwrap();
}

#[tokio::test]
async fn a_build_that_fails_is_built_again() {
    let key = format!("fails {:?} {}", std::time::SystemTime::now(), std::process::id());
    let failed =
        TestDatabase::create_from_template(&key, async |_| anyhow::bail!("not today")).await;
    assert!(format!("{:#}", failed.unwrap_err()).contains("not today"));
    TestDatabase::create_from_template(&key, async |_| Ok(())).await.unwrap();
}

#[tokio::test]
async fn a_script_runs_as_superuser() {
    let bad = TestDatabase::from_sql("SELECT 1/0").await.unwrap_err();
    assert!(format!("{bad:#}").contains("running the script"), "{bad:#}");
    let database =
        TestDatabase::from_sql("CREATE VIEW me AS SELECT rolname, 1 AS version FROM pg_authid")
            .await
            .unwrap();
    connect(&database.superuser_url()).await.query("TABLE me", &[]).await.unwrap();
}
