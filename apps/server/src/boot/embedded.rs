use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use plinth_adapter_postgres::Admin;
use plinth_adapter_target::ManagedServers;
use plinth_connections::MasterKey;
use plinth_local_postgres::{
    Cluster, ClusterError, ClusterSettings, ConnectionParameters, Installation,
};
use secrecy::SecretString;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::folder::hex;

/// The embedded server's name among those that Plinth runs.
pub(crate) const EMBEDDED: &str = plinth_connections::Place::EMBEDDED;

/// The role that owns Plinth's own tables.
const OWNER: &str = "plinth_owner";
/// Plinth's own database.
const DATABASE: &str = "plinth";

/// The Postgres that Plinth runs for itself, and stops again.
pub(crate) struct Embedded {
    parameters: ConnectionParameters,
    owner_password: String,
    stop: oneshot::Sender<()>,
    supervisor: JoinHandle<Result<plinth_local_postgres::Stopped, ClusterError>>,
}

/// A database on the embedded server with a role that owns it and one that may only read it.
pub(crate) struct EmbeddedDatabase {
    /// The database's name.
    pub(crate) name: &'static str,
    /// The role that owns it.
    pub(crate) owner: &'static str,
    /// The role that may log in to read it.
    pub(crate) reader: &'static str,
}

impl Embedded {
    /// Starts the cluster in the data folder, made if it is new, with Plinth's own role and database in it.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Locked`] inside if another Plinth has the folder; else whatever keeps Postgres from starting.
    pub(crate) async fn start(
        data_dir: &Path,
        postgres_bin: Option<&Path>,
        master: &MasterKey,
    ) -> anyhow::Result<Self> {
        let installation = Installation::find(postgres_bin)?;
        let mut settings = ClusterSettings::new(data_dir.join("postgres"));
        settings.server.push(("max_connections".to_owned(), "200".to_owned()));
        let mut cluster = Cluster::open(installation, settings).await?;
        let parameters = cluster.start().await?;
        tracing::info!(
            port = parameters.port, version = %cluster.version(), adopted = cluster.is_adopted(),
            "the embedded Postgres is up"
        );
        let (stop, stopped) = oneshot::channel();
        let supervisor = tokio::spawn(cluster.supervise(async {
            let _ = stopped.await;
        }));
        let embedded =
            Self { parameters, owner_password: password(master, OWNER), stop, supervisor };
        match embedded.prepare().await {
            Ok(()) => Ok(embedded),
            Err(err) => {
                embedded.stop().await?;
                Err(err)
            }
        }
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        let admin = self.admin().await?;
        // CREATEROLE for the runtime role; nothing else that a superuser has.
        admin.put_role(OWNER, &self.owner_password, true).await?;
        admin.put_database(DATABASE, OWNER).await?;
        Ok(())
    }

    async fn admin(&self) -> anyhow::Result<Admin> {
        let ConnectionParameters { host, port, user, password, .. } = &self.parameters;
        Admin::connect(host, *port, user, password)
            .await
            .context("cannot log in to the embedded Postgres")
    }
    /// How to reach Plinth's own database as its owner.
    pub(crate) fn database_url(&self) -> SecretString {
        self.url(DATABASE, OWNER, &self.owner_password)
    }

    fn url(&self, database: &str, user: &str, password: &str) -> SecretString {
        let ConnectionParameters { host, port, .. } = &self.parameters;
        // Loopback within one machine, between processes of one operator: TLS would protect nothing.
        format!("postgresql://{user}:{password}@{host}:{port}/{database}?sslmode=disable").into()
    }

    /// Makes a database with its two roles, unless they are there; returns its owner's URL and the reader's password.
    ///
    /// # Errors
    ///
    /// If Postgres refuses.
    pub(crate) async fn put_database(
        &self,
        master: &MasterKey,
        wanted: &EmbeddedDatabase,
    ) -> anyhow::Result<(SecretString, SecretString)> {
        let admin = self.admin().await?;
        let (owner, reader) = (password(master, wanted.owner), password(master, wanted.reader));
        admin.put_role(wanted.owner, &owner, false).await?;
        admin.put_role(wanted.reader, &reader, false).await?;
        admin.put_database(wanted.name, wanted.owner).await?;
        admin.grant_connect(wanted.name, wanted.reader).await?;
        Ok((self.url(wanted.name, wanted.owner, &owner), reader.into()))
    }

    /// The server's TCP port.
    pub(crate) fn port(&self) -> u16 {
        self.parameters.port
    }

    /// What the adapter asks for the address of a managed server.
    pub(crate) fn address(&self) -> anyhow::Result<EmbeddedAddress> {
        let ip = self.parameters.host.parse().context("the embedded server's address")?;
        Ok(EmbeddedAddress(Some(SocketAddr::new(ip, self.parameters.port))))
    }

    /// Stops the server in order; comes back when its last process is gone.
    ///
    /// # Errors
    ///
    /// If it could not be stopped.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let _ = self.stop.send(());
        self.supervisor.await??;
        tracing::info!("the embedded Postgres has stopped");
        Ok(())
    }
}

/// Where the embedded server is; nowhere, if Plinth was given a database.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EmbeddedAddress(Option<SocketAddr>);

impl ManagedServers for EmbeddedAddress {
    fn address(&self, server: &str) -> Option<SocketAddr> {
        match endpoint_port(server) {
            Some(port) => Some(SocketAddr::from(([127, 0, 0, 1], port))),
            None => self.0.filter(|_| server == EMBEDDED),
        }
    }
}

/// The port of the branch's endpoint that a managed server's name stands for, if it stands for one: tenants cannot write
/// such names.
pub fn endpoint_port(server: &str) -> Option<u16> {
    server.strip_prefix("endpoint:")?.parse().ok()
}

/// Passwords of our own roles are made from the master key: nothing to store, and the same after every start.
fn password(master: &MasterKey, role: &str) -> String {
    hex(master.derive(&format!("password of {role}")).as_slice())
}
