use anyhow::Context as _;
use tokio_postgres::Client;

use crate::database::TestDatabase;
use crate::server::{DRAFT, TEMPLATE, TestServer, hash};

/// The name of the template for a key, which exists when this returns.
pub(crate) async fn find_or_build(
    server: &TestServer,
    client: &Client,
    key: &str,
    build: impl AsyncFnOnce(&TestDatabase) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let name = format!("{TEMPLATE}{}", hash(key));
    if exists(client, &name).await? {
        return Ok(name);
    }
    // Held by the session: a builder that is killed lets the next one in.
    client.execute("SELECT pg_advisory_lock(hashtextextended($1, 0))", &[&name]).await?;
    let built = build_once(server, client, &name, build).await;
    client.execute("SELECT pg_advisory_unlock(hashtextextended($1, 0))", &[&name]).await?;
    built.with_context(|| {
        format!("building the template for `{}`", key.chars().take(60).collect::<String>())
    })?;
    Ok(name)
}

async fn build_once(
    server: &TestServer,
    client: &Client,
    name: &str,
    build: impl AsyncFnOnce(&TestDatabase) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if exists(client, name).await? {
        return Ok(());
    }
    let draft = TestDatabase::make(server, client, DRAFT, None).await?;
    build(&draft).await?;
    // A database that somebody is connected to can be neither renamed nor copied.
    let close = format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", draft.name());
    client.batch_execute(&close).await?;
    let cut = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = $1";
    client.query(cut, &[&draft.name()]).await?;
    client.batch_execute(&format!("ALTER DATABASE {} RENAME TO {name}", draft.name())).await?;
    draft.keep();
    Ok(())
}

async fn exists(client: &Client, name: &str) -> anyhow::Result<bool> {
    Ok(client.query_opt("SELECT FROM pg_database WHERE datname = $1", &[&name]).await?.is_some())
}
