//! Runs statements and gives their rows, gold and answer by the same way.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use secrecy::ExposeSecret as _;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::compare::Rows;
use crate::process::Databases;
use crate::value::Value;

/// How long a statement may run.
const STATEMENT_LIMIT: Duration = Duration::from_secs(10);

/// The server's own limit is overrun by some plans: this one is ours.
const PATIENCE: Duration = Duration::from_secs(20);

/// More rows are no answer.
const MOST_ROWS: usize = 100_000;

/// So many idle connections are kept over all databases.
const MOST_IDLE: usize = 12;

/// Why a statement gave no rows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("{}", database_text(.0))]
    Database(#[from] tokio_postgres::Error),
    #[error("it returns no rows, or too many: more than {MOST_ROWS}")]
    Shape,
    #[error("it ran for more than {} s", PATIENCE.as_secs())]
    Time,
}

fn database_text(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || error.to_string(),
        |error| format!("{} ({})", error.message(), error.code().code()),
    )
}

/// Settings to reach a database of the cluster, without TLS.
pub(crate) fn config(databases: &Databases, database: &str) -> Config {
    let connection = databases.connection();
    let mut config = Config::new();
    config
        .host(&connection.host)
        .port(connection.port)
        .user(&connection.user)
        .password(connection.password.expose_secret())
        .dbname(database);
    config
}

/// Connects and drives the connection in a task of its own.
///
/// # Errors
/// If the database cannot be reached.
pub(crate) async fn connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    // What breaks it shows in the next statement.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(client)
}

/// Runs statements read-only, each in a transaction of its own.
#[derive(Debug)]
pub(crate) struct Runner {
    /// As the role that may only read, without the database's name.
    config: Config,
    /// Whether numbers may be rounded to few decimals.
    rounding: bool,
    idle: Mutex<HashMap<String, Vec<Client>>>,
}

impl Runner {
    /// A runner that connects by these settings, to whichever database is named. With `rounding`, its numbers may be
    /// rounded to few decimals and still be the same.
    pub(crate) fn new(mut config: Config, rounding: bool) -> Self {
        let limit = STATEMENT_LIMIT.as_millis();
        config.options(format!(
            "-c default_transaction_read_only=on -c statement_timeout={limit} -c timezone=UTC -c search_path=public -c work_mem=32MB"
        ));
        Self { config, rounding, idle: Mutex::default() }
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// If it is refused, fails, runs too long, is no query, or has more than [`MOST_ROWS`] rows.
    pub(crate) async fn rows(&self, database: &str, sql: &str) -> Result<Rows, RunError> {
        let client = match self.take(database) {
            Some(client) => client,
            None => connect(self.config.clone().dbname(database)).await?,
        };
        let outcome = timeout(PATIENCE, run(&client, sql)).await.map_err(|_| RunError::Time)?;
        // A transaction that cannot be ended belongs to a connection that is not used again.
        if client.batch_execute("ROLLBACK").await.is_ok() {
            self.put(database, client);
        }
        let mut rows = outcome?;
        if !self.rounding {
            for row in &mut rows.rows {
                for value in row {
                    *value = std::mem::replace(value, Value::Null).unrounded();
                }
            }
        }
        Ok(rows)
    }

    fn take(&self, database: &str) -> Option<Client> {
        let mut idle = self.idle.lock().ok()?;
        idle.get_mut(database)?.pop()
    }

    fn put(&self, database: &str, client: Client) {
        let Ok(mut idle) = self.idle.lock() else { return };
        if idle.values().map(Vec::len).sum::<usize>() >= MOST_IDLE {
            idle.clear();
        }
        idle.entry(database.to_owned()).or_default().push(client);
    }
}

async fn run(client: &Client, sql: &str) -> Result<Rows, RunError> {
    client.batch_execute("BEGIN TRANSACTION READ ONLY").await?;
    // Preparing takes one statement only, and says the types; the simple protocol then gives all values as text.
    let statement = client.prepare(sql).await?;
    let types: Vec<_> = statement.columns().iter().map(|column| column.type_().clone()).collect();
    if types.is_empty() {
        return Err(RunError::Shape);
    }
    let mut rows = Vec::new();
    let mut messages = pin!(client.simple_query_raw(sql).await?);
    while let Some(message) = messages.try_next().await? {
        if let SimpleQueryMessage::Row(row) = message {
            if rows.len() == MOST_ROWS {
                return Err(RunError::Shape);
            }
            let values = types.iter().enumerate();
            rows.push(values.map(|(at, of)| Value::read(row.get(at), of)).collect());
        }
    }
    Ok(Rows { columns: types.len(), rows })
}

#[cfg(test)]
mod tests {
    use plinth_testdb::TestDatabase;

    use super::*;
    use crate::value::Number;

    async fn runner() -> (TestDatabase, Runner, String) {
        let database = TestDatabase::create().await.unwrap();
        let config: Config = database.url().parse().unwrap();
        let name = config.get_dbname().unwrap().to_owned();
        (database, Runner::new(config, false), name)
    }

    #[tokio::test]
    async fn values_come_as_what_they_mean() {
        let (_database, runner, name) = runner().await;
        let sql = "SELECT 1::int2, 2.50::numeric, true, NULL::text, date '2024-05-31', timestamptz '2024-05-31 02:00+02', 'x'::char(3);";
        let rows = runner.rows(&name, sql).await.unwrap();
        let text = |text: &str| Value::Text(text.to_owned());
        let day = text("2024-05-31");
        let number = |value| Value::Number(Number { value, decimals: None });
        let expected =
            [number(1.0), number(2.5), Value::Bool(true), Value::Null, day.clone(), day, text("x")];
        assert_eq!(rows, Rows { columns: 7, rows: vec![expected.to_vec()] });
    }

    #[tokio::test]
    async fn only_one_query_is_run_and_nothing_is_written() {
        let (_database, runner, name) = runner().await;
        for refused in [
            "SELECT 1; SELECT 2",
            "CREATE TABLE t (a int)",
            "COMMIT",
            "SELECT 1/0",
            "SELECT FROM pg_class",
            "",
        ] {
            assert!(runner.rows(&name, refused).await.is_err(), "{refused}");
        }
        let rows = runner.rows(&name, "SELECT 1").await.unwrap();
        assert_eq!(rows.rows, [[Value::Number(Number { value: 1.0, decimals: None })]]);
    }

    #[tokio::test]
    async fn too_many_rows_are_no_answer() {
        let (_database, runner, name) = runner().await;
        let rows = runner.rows(&name, "SELECT generate_series(1, 100001)").await;
        assert!(matches!(rows, Err(RunError::Shape)));
    }
}
