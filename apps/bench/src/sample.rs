//! The sample shop in a database of the cluster, and databases made known to Plinth.

use anyhow::{Context as _, Result};
use plinth_core::{Clock as _, SystemClock};
use serde_json::{Value as Json, json};
use tokio_postgres::Config;

use crate::client::Client;
use crate::database::{config, connect};
use crate::process::Databases;

/// The database with the sample in it.
pub(crate) const DATABASE: &str = "shop";

const READER: &str = "shop_reader";

/// The loaded sample.
#[derive(Debug)]
pub(crate) struct Sample {
    password: String,
    /// Of all tables.
    pub(crate) rows: u64,
}

/// A role that reads a database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) database: &'a str,
    pub(crate) role: &'static str,
    pub(crate) password: &'a str,
}

impl Reader<'_> {
    /// Settings to connect as this role.
    pub(crate) fn config(&self, databases: &Databases) -> Config {
        let mut config = config(databases, self.database);
        config.user(self.role).password(self.password);
        config
    }
}

impl Sample {
    /// Makes the database and loads the sample as of now.
    ///
    /// # Errors
    /// If the database refuses.
    pub(crate) async fn load(databases: &Databases) -> Result<Self> {
        let password = password()?;
        let admin = connect(&config(databases, "postgres")).await?;
        admin.batch_execute(&format!("CREATE DATABASE {DATABASE}")).await?;
        admin.batch_execute(&format!("CREATE ROLE {READER} LOGIN PASSWORD '{password}'")).await?;
        let mut client = connect(&config(databases, DATABASE)).await?;
        let mut options = plinth_sample::Options::new(SystemClock.now());
        options.reader = Some(READER.to_owned());
        let summary = plinth_sample::load(&mut client, &options, &mut |_| {})
            .await
            .context("loading the sample")?;
        Ok(Self { password, rows: summary.rows() })
    }

    /// The role that reads it.
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader { database: DATABASE, role: READER, password: &self.password }
    }

    /// Makes it known to Plinth; gives the connection's id.
    ///
    /// # Errors
    /// As [`connect_plinth`].
    pub(crate) async fn connect(
        &self,
        client: &mut Client,
        databases: &Databases,
    ) -> Result<String> {
        connect_plinth(client, databases, &self.reader()).await
    }
}

/// Makes a database known to Plinth, without TLS as we use it ourselves, and lets Plinth read its schema. Gives the
/// connection's id.
///
/// # Errors
/// If Plinth refuses or does not reach it.
pub(crate) async fn connect_plinth(
    client: &mut Client,
    databases: &Databases,
    reader: &Reader<'_>,
) -> Result<String> {
    let id = create_connection(client, databases, reader).await?;
    refresh_schema(client, &id).await?;
    Ok(id)
}

/// Makes a database known to Plinth; gives the connection's id.
///
/// # Errors
/// If Plinth refuses.
pub(crate) async fn create_connection(
    client: &mut Client,
    databases: &Databases,
    reader: &Reader<'_>,
) -> Result<String> {
    let connection = databases.connection();
    let body = json!({
        "type": "postgresql",
        "name": reader.database,
        "host": connection.host,
        "port": connection.port,
        "database": reader.database,
        "username": reader.role,
        "password": reader.password,
        "ssl_mode": "disable",
    });
    let made = client.request("POST", "/v1/connections", Some(&body)).await?;
    let made = made.data().with_context(|| format!("connecting {}", reader.database))?;
    Ok(made["id"].as_str().context("the connection has no id")?.to_owned())
}

/// Lets Plinth read a connection's schema; gives what it says of it.
///
/// # Errors
/// If Plinth cannot.
pub(crate) async fn refresh_schema(client: &mut Client, id: &str) -> Result<Json> {
    let path = format!("/v1/connections/{id}/schema/refresh");
    let response = client.request("POST", &path, None).await?;
    response.data().context("reading the schema")
}

/// A random password of letters and digits.
///
/// # Errors
/// If the system gives no random numbers.
pub(crate) fn password() -> Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).context("the system gives no random numbers")?;
    Ok(random.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}
