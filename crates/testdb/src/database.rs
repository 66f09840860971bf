use anyhow::Context as _;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::server::{OWNER, TEST, TestServer};
use crate::template;

/// A database of its own for one test; dropped with this value, whoever is still connected to it.
#[derive(Debug)]
pub struct TestDatabase {
    server: TestServer,
    name: String,
    /// A template outlives its builder.
    dropped: bool,
}

impl TestDatabase {
    /// An empty database that belongs to [`OWNER`].
    ///
    /// # Errors
    ///
    /// If the server cannot be started or refuses.
    pub async fn create() -> anyhow::Result<Self> {
        let server = TestServer::get().await?;
        let client = server.superuser("postgres").await?;
        Self::make(server, &client, TEST, None).await
    }

    /// A database in which the superuser has run `script`, for fixtures that need more rights than
    /// the owner has. It is run once for each text and copied from then on, so that what it makes
    /// outside the database, such as roles, is made once too.
    ///
    /// # Errors
    ///
    /// If the server cannot be started, or the script fails: psql's own commands (`\…`) are not
    /// SQL.
    pub async fn from_sql(script: &str) -> anyhow::Result<Self> {
        Self::create_from_template(script, async |draft| {
            let client = draft.server.superuser(&draft.name).await?;
            client.batch_execute(script).await.context("running the script")
        })
        .await
    }

    /// A copy of the database that `build` makes: `build` runs on an empty one at the first call
    /// with this key, in whichever process, and not again. Everything that the result depends on
    /// belongs into the key.
    ///
    /// `build` must not keep connections: those that are left are cut.
    ///
    /// # Errors
    ///
    /// If the server cannot be started, or `build` fails; the next call with the key then builds
    /// again.
    pub async fn create_from_template(
        key: &str,
        build: impl AsyncFnOnce(&Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let server = TestServer::get().await?;
        let client = server.superuser("postgres").await?;
        let template = template::find_or_build(server, &client, key, build).await?;
        Self::make(server, &client, TEST, Some(&template)).await
    }

    pub(crate) async fn make(
        server: &TestServer,
        client: &Client,
        prefix: &str,
        template: Option<&str>,
    ) -> anyhow::Result<Self> {
        let name = format!("{prefix}{}", Uuid::new_v4().simple());
        let template = template.unwrap_or("template1");
        // The other way, which is the default, writes every page into the log as well. Before 15
        // there was only this one.
        let strategy = if server.major >= 15 { "STRATEGY FILE_COPY" } else { "" };
        let create = format!("CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {template} {strategy}");
        client.batch_execute(&create).await?;
        Ok(Self { server: server.clone(), name, dropped: false })
    }

    /// Lets the database be.
    pub(crate) fn keep(mut self) {
        self.dropped = true;
    }

    /// A URL of the database as its owner, without saying whether to encrypt.
    pub fn url(&self) -> String {
        self.url_as(OWNER)
    }

    /// A URL of the database as the superuser, for what a test must see or do behind the product's
    /// back.
    pub fn superuser_url(&self) -> String {
        self.url_as(plinth_local_postgres::SUPERUSER)
    }

    fn url_as(&self, user: &str) -> String {
        let TestServer { host, port, password, .. } = &self.server;
        format!("postgresql://{user}:{password}@{host}:{port}/{}", self.name)
    }

    /// The server that it is on.
    pub fn server(&self) -> &TestServer {
        &self.server
    }

    /// The server's address.
    pub fn host(&self) -> &str {
        &self.server.host
    }

    /// The server's TCP port.
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// The owner's name: [`OWNER`].
    pub fn user(&self) -> &str {
        OWNER
    }

    /// The owner's password; letters and digits only.
    pub fn password(&self) -> &str {
        &self.server.password
    }

    /// The database's name; letters, digits and `_` only.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if self.dropped {
            return;
        }
        let (server, name) = (self.server.clone(), self.name.clone());
        // `drop` cannot await, so a thread with a runtime of its own does. What fails here is
        // dropped at the server's next start.
        let dropped = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
                let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                anyhow::Ok(server.superuser("postgres").await?.batch_execute(&drop).await?)
            })
        });
        let _ = dropped.join();
    }
}
