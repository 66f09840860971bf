use std::error::Error;

use refinery::{Runner, Target};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::DatabaseUrl;
use crate::database::{OpenError, connect_as_owner};

mod embedded {
    refinery::embed_migrations!("../../migrations");
}

/// The schema that holds everything of ours, so that a database may hold other things beside it.
pub const SCHEMA: &str = "plinth";

/// One server migrates while the others wait here ("plinth" in ASCII).
const LOCK: i64 = 0x706c_696e_7468;

/// How often it is begun in all where it meets deadlocks: other servers work meanwhile, and no order of locks is right for all that
/// they do.
const TRIES: usize = 5;

/// Brings the database to the newest schema and makes the runtime role. Safe to call from every server at once.
///
/// # Errors
///
/// [`MigrateError`]; what was done before the failing migration stays, and the next call goes on from there.
pub async fn migrate(url: &DatabaseUrl) -> Result<(), MigrateError> {
    let mut client = connect_as_owner(url).await?;
    let version: String = client.query_one("SHOW server_version_num", &[]).await?.get(0);
    if version.parse::<u32>().unwrap_or(0) < 140_000 {
        return Err(MigrateError::TooOld(version));
    }
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await?;
    let done = migrate_locked(&mut client).await;
    // The lock would also end with the session; ending it here lets the others go on at once.
    client.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).await?;
    done
}

async fn migrate_locked(client: &mut Client) -> Result<(), MigrateError> {
    client.batch_execute(PREPARE).await?;
    run(&embedded::migrations::runner().set_target(Target::Latest), client).await?;
    Ok(())
}

async fn run(runner: &Runner, client: &mut Client) -> Result<(), refinery::Error> {
    let mut tries = 1;
    loop {
        match runner.run_async(client).await {
            Err(err) if tries < TRIES && met_a_deadlock(&err) => {
                tries += 1;
                tracing::info!(
                    "a migration and another session waited for each other; it is tried again"
                );
            }
            done => return done.map(drop),
        }
    }
}

fn met_a_deadlock(err: &refinery::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(err);
    while let Some(it) = cause {
        let of_postgres = it.downcast_ref::<tokio_postgres::Error>();
        if of_postgres.and_then(tokio_postgres::Error::code)
            == Some(&SqlState::T_R_DEADLOCK_DETECTED)
        {
            return true;
        }
        cause = it.source();
    }
    false
}

/// The role is the cluster's, not the database's: another installation on the same cluster may have made it. Two that
/// make it at once are two sessions on two databases, which the advisory lock does not part. Nothing is asked for that
/// is there already: an owner without CREATEROLE is enough where an administrator made the role and granted it.
const PREPARE: &str = "
    DO $$
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'plinth_app') THEN
            BEGIN
                CREATE ROLE plinth_app NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
        -- From version 16 on a role's maker is a member without the right to take the role on.
        IF NOT pg_has_role(current_user, 'plinth_app', CASE
            WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END) THEN
            EXECUTE format('GRANT plinth_app TO %I', current_user);
        END IF;
    END
    $$;
    DO $$
    BEGIN
        IF to_regnamespace('plinth') IS NULL THEN
            CREATE SCHEMA plinth;
        END IF;
    END
    $$;
    REVOKE ALL ON SCHEMA plinth FROM PUBLIC;
    GRANT USAGE ON SCHEMA plinth TO plinth_app;
";

/// The name and text of each migration, oldest first.
pub fn migrations() -> Vec<(String, String)> {
    let mut all = embedded::migrations::runner().get_migrations().clone();
    all.sort();
    all.into_iter().map(|it| (it.to_string(), it.sql().unwrap_or_default().to_owned())).collect()
}

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The server is older than we support.
    #[error("the database is PostgreSQL {0}; Plinth needs 14 or newer")]
    TooOld(String),
    /// A statement outside the migrations failed.
    #[error("the database could not be prepared: {}", plinth_core::chain(.0))]
    Prepare(#[from] tokio_postgres::Error),
    /// A migration failed, or one that has run was changed since.
    #[error("a migration failed: {}", plinth_core::chain(.0))]
    Migration(#[from] refinery::Error),
}

#[cfg(test)]
mod tests {
    use plinth_testdb::TestDatabase;
    use refinery::Migration;
    use tokio_postgres::NoTls;

    use super::*;

    async fn session(test: &TestDatabase) -> Client {
        let (client, connection) =
            tokio_postgres::connect(&test.superuser_url(), NoTls).await.expect("it listens");
        tokio::spawn(connection);
        client
    }

    /// Somebody has what it wants next, and waits for what it has: Postgres ends the migration, which looks for that sooner.
    #[tokio::test]
    async fn a_migration_that_meets_a_deadlock_is_tried_again() {
        let test = TestDatabase::create().await.expect("a database");
        let [mut ours, other, referee] =
            [session(&test).await, session(&test).await, session(&test).await];
        let tables =
            "CREATE TABLE a (n integer); CREATE TABLE b (n integer); SELECT pg_advisory_lock(7)";
        referee.batch_execute(tables).await.expect("nobody else is there");
        ours.batch_execute("SET deadlock_timeout = '10ms'").await.expect("a superuser may");
        let begin = "SET deadlock_timeout = '1h'; BEGIN; LOCK TABLE b";
        other.batch_execute(begin).await.expect("a superuser may");
        let waiting = async |count: i64| {
            let query = "SELECT count(*) FROM pg_stat_activity
                WHERE wait_event_type = 'Lock' AND datname = current_database()";
            while referee.query_one(query, &[]).await.expect("it answers").get::<_, i64>(0) < count
            {
                tokio::task::yield_now().await;
            }
        };
        let sql =
            "INSERT INTO a VALUES (1); LOCK TABLE a; SELECT pg_advisory_xact_lock(7); LOCK TABLE b";
        let runner = Runner::new(&[Migration::unapplied("V1__locks", sql).expect("it is one")]);
        let migrating = tokio::spawn(async move { run(&runner, &mut ours).await });
        waiting(1).await;
        let others = tokio::spawn(async move { other.batch_execute("LOCK TABLE a; COMMIT").await });
        waiting(2).await;
        referee.batch_execute("SELECT pg_advisory_unlock(7)").await.expect("it has it");
        others.await.expect("no panic").expect("the migration gives way");
        migrating.await.expect("no panic").expect("it is done at the second try");
        let found = referee.query_one("SELECT count(*) FROM a", &[]).await.expect("it is there");
        assert_eq!(found.get::<_, i64>(0), 1, "once");
    }
}
