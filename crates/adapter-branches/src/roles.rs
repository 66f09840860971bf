use plinth_control_plane::{SqlName, SubstrateError, Wanted};
use plinth_core::chain;
use plinth_local_postgres::ConnectionParameters;
use secrecy::ExposeSecret as _;
use tokio_postgres::Client;

use crate::cell::admin;

/// What no role of a tenant has: such a role could run programs as the server's user, or make one that can.
const NOT: &str = "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS";

/// Makes roles and databases be as they are to be. Each statement alone leaves something that the next call goes on from.
pub(crate) async fn configure(
    connection: &ConnectionParameters,
    wanted: &Wanted,
) -> Result<(), SubstrateError> {
    let client = admin(connection, "postgres").await.map_err(refused)?;
    if let Some((from, to)) = &wanted.rename_database
        && has(&client, "pg_database WHERE datname", from).await?
        && !has(&client, "pg_database WHERE datname", to).await?
    {
        cut(&client, "datname", from).await?;
        let rename = format!("ALTER DATABASE {} RENAME TO {}", from.quoted(), to.quoted());
        run(&client, &rename).await?;
    }
    for name in &wanted.drop_databases {
        run(&client, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", name.quoted())).await?;
    }
    for role in &wanted.roles {
        let name = role.name.quoted();
        if !has(&client, "pg_roles WHERE rolname", &role.name).await? {
            run(&client, &format!("CREATE ROLE {name} {NOT}")).await?;
        }
        let login = match &role.password {
            Some(password) => {
                let verifier =
                    postgres_protocol::password::scram_sha_256(password.expose_secret().as_bytes());
                format!("LOGIN PASSWORD '{verifier}'")
            }
            None => "NOLOGIN".to_owned(),
        };
        run(&client, &format!("ALTER ROLE {name} {NOT} {login}")).await?;
    }
    for database in &wanted.databases {
        let (name, owner) = (database.name.quoted(), database.owner.quoted());
        if has(&client, "pg_database WHERE datname", &database.name).await? {
            run(&client, &format!("ALTER DATABASE {name} OWNER TO {owner}")).await?;
        } else {
            run(&client, &format!("CREATE DATABASE {name} OWNER {owner}")).await?;
        }
    }
    if !wanted.extensions.is_empty() {
        for database in &wanted.databases {
            extend(connection, &database.name, &wanted.extensions).await;
        }
    }
    for name in &wanted.drop_roles {
        if !has(&client, "pg_roles WHERE rolname", name).await? {
            continue;
        }
        cut(&client, "usename", name).await?;
        // What it owns in a database goes to the database's owner; what it was granted goes with it.
        for database in &wanted.databases {
            let within = admin(connection, database.name.as_str()).await.map_err(refused)?;
            let (role, owner) = (name.quoted(), database.owner.quoted());
            run(&within, &format!("REASSIGN OWNED BY {role} TO {owner}")).await?;
            run(&within, &format!("DROP OWNED BY {role}")).await?;
        }
        run(&client, &format!("DROP ROLE {}", name.quoted())).await?;
    }
    if let Some(name) = &wanted.cut_sessions_of {
        cut(&client, "usename", name).await?;
    }
    Ok(())
}

/// Makes extensions in a database. One whose owner has let go of the schema, or put something else in the place of what the
/// extension makes, goes without.
async fn extend(connection: &ConnectionParameters, database: &SqlName, extensions: &[&str]) {
    for name in extensions {
        let make = async {
            let client = admin(connection, database.as_str()).await?;
            let statement = format!("CREATE EXTENSION IF NOT EXISTS {name} SCHEMA public");
            client.batch_execute(&statement).await
        };
        if let Err(err) = make.await {
            tracing::warn!(%database, extension = name, error = chain(&err), "an extension could not be made");
        }
    }
}

async fn has(client: &Client, what: &str, name: &SqlName) -> Result<bool, SubstrateError> {
    let query = format!("SELECT FROM {what} = $1");
    Ok(client.query_opt(&query, &[&name.as_str()]).await.map_err(refused)?.is_some())
}

/// Ends sessions on a database, or of a role.
async fn cut(client: &Client, column: &str, name: &SqlName) -> Result<(), SubstrateError> {
    let query = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {column} = $1 AND pid <> pg_backend_pid()"
    );
    client.query(&query, &[&name.as_str()]).await.map_err(refused)?;
    Ok(())
}

async fn run(client: &Client, statement: &str) -> Result<(), SubstrateError> {
    client.batch_execute(statement).await.map_err(refused)
}

/// Postgres's own words: no password stands in them, only verifiers were sent.
pub(crate) fn refused(err: tokio_postgres::Error) -> SubstrateError {
    match err.as_db_error() {
        Some(said) => SubstrateError::Failed(said.message().to_owned()),
        None => SubstrateError::Failed(chain(&err)),
    }
}
