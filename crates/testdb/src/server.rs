use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;
use plinth_local_postgres::{Cluster, ClusterError, ClusterSettings, Installation, Stopped};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;
use tokio_postgres::{Client, Config, NoTls};

/// The role that owns every test's database. One for all: a role that it makes, it may also grant
/// and take on.
pub const OWNER: &str = "plinth_test_owner";

/// Databases of tests begin so.
pub(crate) const TEST: &str = "test_";

/// Templates begin so.
pub(crate) const TEMPLATE: &str = "template_";

/// Templates still being built begin so.
pub(crate) const DRAFT: &str = "draft_";

/// With more templates than this, a start of the server drops them all: their keys change with the
/// code, and nobody asks for old ones again.
const TEMPLATES_KEPT: usize = 24;

/// Where Linux has a file system in memory.
const MEMORY: &str = "/dev/shm";

/// Its size from which on we use it.
const MEMORY_AT_LEAST_BYTES: u64 = 8 << 30;

/// The server that tests share.
#[derive(Clone, Debug)]
pub struct TestServer {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) password: String,
    certificate: PathBuf,
    /// The server's major version.
    pub(crate) major: u32,
}

impl TestServer {
    /// The running server; starts it if need be. Within a process it is looked up once.
    ///
    /// # Errors
    ///
    /// If no PostgreSQL is installed, or it does not start: the error says why.
    pub async fn get() -> anyhow::Result<&'static Self> {
        static SERVER: OnceCell<TestServer> = OnceCell::const_new();
        SERVER.get_or_try_init(start).await
    }

    /// Stops the server if it runs.
    ///
    /// # Errors
    ///
    /// If it cannot be stopped.
    pub async fn stop() -> anyhow::Result<Stopped> {
        let installation = installation()?;
        let folder = folder(&installation);
        let _turn = take_turn(&folder).await?;
        if !folder.join("data/postmaster.pid").exists() {
            return Ok(Stopped::NotRunning);
        }
        let mut cluster = Cluster::open(installation, settings(&folder)).await?;
        cluster.start().await?;
        Ok(cluster.stop().await?)
    }

    /// Stops the server if it runs, and removes it with all its templates.
    ///
    /// # Errors
    ///
    /// If it cannot be stopped or removed.
    pub async fn remove() -> anyhow::Result<()> {
        Self::stop().await?;
        let folder = folder(&installation()?);
        let _turn = take_turn(&folder).await?;
        if folder.exists() {
            std::fs::remove_dir_all(&folder)
                .with_context(|| format!("removing {}", folder.display()))?;
        }
        Ok(())
    }

    /// The server's address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The server's TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's certificate as PEM, for tests of verification.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// A connection as the superuser.
    pub(crate) async fn superuser(&self, database: &str) -> anyhow::Result<Client> {
        let mut config = Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .user(plinth_local_postgres::SUPERUSER)
            .password(&self.password);
        config.dbname(database).application_name("plinth-testdb");
        let (client, connection) =
            config.connect(NoTls).await.context("connecting to the test server")?;
        tokio::spawn(connection);
        Ok(client)
    }
}

async fn start() -> anyhow::Result<TestServer> {
    let installation = installation()?;
    let folder = folder(&installation);
    // Not the cluster's own lock, which nobody waits for.
    let _turn = take_turn(&folder).await?;
    let mut cluster = Cluster::open(installation.clone(), settings(&folder)).await?;
    let connection = match cluster.start().await {
        Ok(connection) => connection,
        Err(error @ (ClusterError::Start { .. } | ClusterError::NotReady { .. })) => {
            // Without flushing, a crash of the machine may ruin it, and nothing in it is worth a
            // repair.
            drop(cluster);
            std::fs::remove_dir_all(&folder)
                .with_context(|| format!("removing the broken test server ({error})"))?;
            cluster = Cluster::open(installation, settings(&folder)).await?;
            cluster.start().await?
        }
        Err(error) => return Err(error.into()),
    };
    let password = connection.password.expose_secret().to_owned();
    let (host, port, certificate) = (connection.host, connection.port, connection.certificate);
    let server = TestServer { host, port, password, certificate, major: cluster.version().major };
    if !cluster.is_adopted() {
        prepare(&server).await?;
    }
    cluster.leave_running();
    Ok(server)
}

/// Makes the owner's role and drops what earlier runs left: after a fresh start no test is using
/// anything.
async fn prepare(server: &TestServer) -> anyhow::Result<()> {
    let client = server.superuser("postgres").await?;
    let exists =
        client.query_opt("SELECT FROM pg_roles WHERE rolname = $1", &[&OWNER]).await?.is_some();
    let verb = if exists { "ALTER" } else { "CREATE" };
    let rights = "LOGIN NOSUPERUSER NOBYPASSRLS NOREPLICATION CREATEDB CREATEROLE";
    client
        .batch_execute(&format!("{verb} ROLE {OWNER} {rights} PASSWORD '{}'", server.password))
        .await?;

    let names = client.query("SELECT datname FROM pg_database ORDER BY oid", &[]).await?;
    let names: Vec<String> = names.iter().map(|row| row.get(0)).collect();
    let too_many = names.iter().filter(|name| name.starts_with(TEMPLATE)).count() > TEMPLATES_KEPT;
    let stale = |name: &&String| {
        name.starts_with(TEST)
            || name.starts_with(DRAFT)
            || (too_many && name.starts_with(TEMPLATE))
    };
    for name in
        names.iter().filter(|name| **name != "template0" && **name != "template1").filter(stale)
    {
        client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
    }
    Ok(())
}

fn installation() -> anyhow::Result<Installation> {
    let named = std::env::var_os("PLINTH_POSTGRES_BIN").map(PathBuf::from);
    Ok(Installation::find(named.as_deref())?)
}

/// One folder for each user and each version of the server's programs.
fn folder(installation: &Installation) -> PathBuf {
    let version = hash(&installation.version().text);
    place().join(format!("plinth-testdb-{}-{}", geteuid(), &version[..8]))
}

/// In memory where there is plenty of it, unless `TMPDIR` says otherwise: a database has 300 files,
/// and to copy them takes a tenth of the time there. The answer rests on nothing that changes while
/// tests run, as all must come to the same.
fn place() -> PathBuf {
    let chosen = std::env::var_os("TMPDIR").is_some();
    let large = memory_bytes() >= MEMORY_AT_LEAST_BYTES;
    if large && !chosen { MEMORY.into() } else { std::env::temp_dir() }
}

/// The size of the file system in memory.
#[cfg(target_os = "linux")]
fn memory_bytes() -> u64 {
    nix::sys::statvfs::statvfs(MEMORY).map_or(0, |system| system.blocks() * system.fragment_size())
}

/// Other systems have none at a place of its own.
#[cfg(not(target_os = "linux"))]
fn memory_bytes() -> u64 {
    0
}

/// A short name for a text: 32 hexadecimal digits.
pub(crate) fn hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let start = digest.first_chunk().expect("SHA-256 has 32 bytes");
    format!("{:032x}", u128::from_be_bytes(*start))
}

fn settings(folder: &Path) -> ClusterSettings {
    let mut settings = ClusterSettings::new(folder);
    let server = [
        ("fsync", "off"),
        ("synchronous_commit", "off"),
        ("full_page_writes", "off"),
        ("max_connections", "300"),
        ("max_wal_size", "256MB"),
        ("wal_level", "minimal"),
        ("max_wal_senders", "0"),
        ("autovacuum_naptime", "5min"),
    ];
    settings.server = server.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    settings
}

/// Waits until no other process is starting or stopping the server.
async fn take_turn(folder: &Path) -> anyhow::Result<Flock<File>> {
    let path = folder.with_added_extension("turn");
    let take = move || {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        let file = file.with_context(|| format!("opening {}", path.display()))?;
        Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, errno)| anyhow!("locking {}: {errno}", path.display()))
    };
    tokio::task::spawn_blocking(take).await?
}
