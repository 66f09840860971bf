use std::time::Duration;

use plinth_connections::writes::{
    KEY_TABLE, TargetWriter as _, Write, WriteFailure, WriteKey, Written,
};
use plinth_testdb::TestDatabase;

use crate::support::{client, databases, eventually, target};

fn write(sql: &str, parameters: &[Option<&str>]) -> Write {
    Write {
        sql: sql.to_owned(),
        parameters: parameters.iter().map(|it| it.map(str::to_owned)).collect(),
        search_path: vec!["public".to_owned()],
        time_zone: "Europe/Berlin".to_owned(),
        time: Duration::from_secs(20),
        max_rows: 2,
        key: None,
    }
}

fn keyed(sql: &str, key: &str) -> Write {
    let key = WriteKey { schema: "public".to_owned(), key: key.to_owned() };
    Write { key: Some(key), ..write(sql, &[]) }
}

async fn scene() -> (TestDatabase, tokio_postgres::Client) {
    let database = TestDatabase::create().await.expect("a database");
    let client = client(&database.url()).await;
    let script = "CREATE TABLE t (id int PRIMARY KEY, n int, deferrable_ int,
                      CONSTRAINT once UNIQUE (deferrable_) DEFERRABLE INITIALLY DEFERRED);
                  INSERT INTO t VALUES (1, 0, 1), (2, 0, 2), (3, 0, 3);
                  CREATE PROCEDURE add(int) LANGUAGE plpgsql AS
                      $$ BEGIN UPDATE t SET n = n + $1; PERFORM set_config('work_mem', '1MB', false); END $$;
                  CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN UPDATE t SET n = 99; COMMIT; END $$";
    client.batch_execute(script).await.expect("it runs");
    (database, client)
}

async fn sum(client: &tokio_postgres::Client) -> i64 {
    client.query_one("SELECT sum(n) FROM t", &[]).await.expect("a sum").get(0)
}

#[tokio::test]
async fn what_is_written_is_written_whole_or_not_at_all() {
    let (database, client) = scene().await;
    let (databases, target) = (databases(), target(&database));
    let update = write("UPDATE t SET n = $1::int WHERE id = $2", &[Some("5"), Some("1")]);
    assert_eq!(databases.write(&target, &update).await, Ok(Written::Now { rows: 1 }));
    assert_eq!(sum(&client).await, 5);
    let many = write("UPDATE t SET n = 7", &[]);
    let failed = databases.write(&target, &many).await;
    assert_eq!(failed, Err(WriteFailure::TooManyRows { rows: 3, most: 2 }));
    let refused = |sql: &str| {
        let (databases, target, write) = (&databases, &target, write(sql, &[]));
        async move {
            match databases.write(target, &write).await {
                Err(WriteFailure::Refused { sqlstate, .. }) => sqlstate,
                other => format!("{other:?}"),
            }
        }
    };
    assert_eq!(refused("INSERT INTO t VALUES (1, 1, 9)").await, "23505");
    // Judged only when it is committed.
    assert_eq!(refused("INSERT INTO t VALUES (4, 1, 1)").await, "23505");
    assert_eq!(refused("CALL commits()").await, "2D000");
    assert_eq!(refused("UPDATE t SET n = 1; DELETE FROM t").await, "42601");
    assert_eq!(sum(&client).await, 5, "nothing of all that stays");
    assert_eq!(
        databases.write(&target, &write("CALL add(1)", &[])).await,
        Ok(Written::Now { rows: 0 })
    );
    assert_eq!(sum(&client).await, 8);
    let slow = Write {
        time: Duration::from_millis(300),
        ..write("UPDATE t SET n = 1 WHERE pg_sleep(9) IS NULL", &[])
    };
    assert!(matches!(databases.write(&target, &slow).await, Err(WriteFailure::TimedOut(_))));
}

#[tokio::test]
async fn a_key_lets_an_effect_happen_once() {
    let (database, client) = scene().await;
    let (databases, target) = (databases(), target(&database));
    let add = "UPDATE t SET n = n + 1 WHERE id = 1";
    databases.prepare_keys(&target, "public").await.expect("the table is made");
    databases.prepare_keys(&target, "public").await.expect("and used when it is there");
    assert!(databases.prepare_keys(&target, "nowhere").await.is_err());
    let write = keyed(add, "run_1.add");
    // Many at once, as workers that take over while the one before them is not dead.
    let all =
        futures_util::future::join_all((0..6).map(|_| databases.write(&target, &write))).await;
    let now = all.iter().filter(|it| **it == Ok(Written::Now { rows: 1 })).count();
    let before = all.iter().filter(|it| **it == Ok(Written::Before)).count();
    assert_eq!((now, before), (1, 5), "{all:?}");
    assert_eq!(sum(&client).await, 1);
    // What failed may be tried again under its key.
    let failed =
        databases.write(&target, &keyed("UPDATE t SET n = 1 / 0 WHERE id = 1", "run_2.add")).await;
    assert!(matches!(failed, Err(WriteFailure::Refused { .. })), "{failed:?}");
    let again = databases.write(&target, &keyed(add, "run_2.add")).await;
    assert_eq!(again, Ok(Written::Now { rows: 1 }));
    let keys = client.query(&format!("SELECT key FROM {KEY_TABLE} ORDER BY key"), &[]).await;
    let keys: Vec<String> = keys.expect("keys").iter().map(|it| it.get(0)).collect();
    assert_eq!(keys, ["run_1.add", "run_2.add"]);
}

#[tokio::test]
async fn a_session_that_is_cut_before_the_commit_leaves_nothing() {
    let (database, client) = scene().await;
    let (databases, target) = (databases(), target(&database));
    databases.prepare_keys(&target, "public").await.expect("the table is made");
    let mut other = crate::support::client(&database.url()).await;
    let lock = other.transaction().await.expect("a transaction");
    lock.execute("SELECT FROM t WHERE id = 1 FOR UPDATE", &[]).await.expect("locked");
    let write = keyed("UPDATE t SET n = n + 1 WHERE id = 1", "run_3.add");
    let (writer, to) = (databases.clone(), target.clone());
    let writing = tokio::spawn(async move { writer.write(&to, &write).await });
    let waits = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("it waits", async || client.query(waits, &[]).await.is_ok_and(|it| it.len() == 1))
        .await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'";
    client.query(end, &[]).await.expect("ended");
    let failed = writing.await.expect("no panic");
    assert!(
        matches!(
            failed,
            Err(WriteFailure::Unreachable(_) | WriteFailure::Refused { is_temporary: true, .. })
        ),
        "{failed:?}"
    );
    drop(lock);
    eventually("nothing is locked", async || sum(&client).await == 0).await;
    let again =
        databases.write(&target, &keyed("UPDATE t SET n = n + 1 WHERE id = 1", "run_3.add")).await;
    assert_eq!(again, Ok(Written::Now { rows: 1 }));
}
