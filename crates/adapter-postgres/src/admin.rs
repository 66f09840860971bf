use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::{Client, Config, NoTls};

use crate::DatabaseUrl;
use crate::database::{OpenError, connect};

/// A superuser's session on a server of ours, to make roles and databases there.
pub struct Admin {
    client: Client,
}

impl Admin {
    /// Logs in over loopback.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if the server refuses.
    pub async fn connect(
        host: &str,
        port: u16,
        user: &str,
        password: &SecretString,
    ) -> Result<Self, OpenError> {
        let mut config = Config::new();
        config
            .host(host)
            .port(port)
            .user(user)
            .password(password.expose_secret())
            .dbname("postgres");
        let (client, connection) =
            config.connect(NoTls).await.map_err(|err| OpenError::of(&err))?;
        tokio::spawn(connection);
        Ok(Self { client })
    }

    /// Makes a role that may log in, or gives the one that is there this password; with `makes_roles` it may make others.
    ///
    /// # Errors
    ///
    /// If the server refuses.
    pub async fn put_role(
        &self,
        name: &str,
        password: &str,
        makes_roles: bool,
    ) -> Result<(), OpenError> {
        let found = "SELECT FROM pg_roles WHERE rolname = $1";
        let found =
            self.client.query_opt(found, &[&name]).await.map_err(|err| OpenError::of(&err))?;
        let verb = if found.is_some() { "ALTER" } else { "CREATE" };
        let rights = if makes_roles { "LOGIN CREATEROLE" } else { "LOGIN" };
        let (name, password) = (identifier(name), literal(password));
        self.run(&format!("{verb} ROLE {name} {rights} PASSWORD {password}")).await
    }

    /// Makes a database that belongs to `owner`, unless it is there; nobody else may connect to it.
    ///
    /// # Errors
    ///
    /// If the server refuses.
    pub async fn put_database(&self, name: &str, owner: &str) -> Result<(), OpenError> {
        let found = "SELECT FROM pg_database WHERE datname = $1";
        let found =
            self.client.query_opt(found, &[&name]).await.map_err(|err| OpenError::of(&err))?;
        let (name, owner) = (identifier(name), identifier(owner));
        if found.is_none() {
            self.run(&format!("CREATE DATABASE {name} OWNER {owner}")).await?;
        }
        // By default everybody may connect to every database.
        self.run(&format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC")).await
    }

    /// Lets a role connect to a database.
    ///
    /// # Errors
    ///
    /// If the server refuses.
    pub async fn grant_connect(&self, database: &str, role: &str) -> Result<(), OpenError> {
        let (database, role) = (identifier(database), identifier(role));
        self.run(&format!("GRANT CONNECT ON DATABASE {database} TO {role}")).await
    }

    async fn run(&self, sql: &str) -> Result<(), OpenError> {
        self.client.batch_execute(sql).await.map_err(|err| OpenError::of(&err))
    }
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A session on any database that the operator names, as the URL's role; for loading a sample into it.
///
/// # Errors
///
/// [`OpenError`] if the URL cannot be used or the server refuses.
pub async fn open_session(url: &SecretString) -> Result<Client, OpenError> {
    let url = DatabaseUrl::parse(url).map_err(|err| OpenError::Refused(err.to_string()))?;
    connect(url.plain()).await
}
