use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use plinth_control_plane::{BranchPlace, SubstrateError};
use plinth_core::chain;
use plinth_local_postgres::{Cluster, ClusterError, ClusterSettings, ConnectionParameters};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{Mutex, MutexGuard};
use tokio_postgres::{Client, Config, NoTls};

use crate::meter::{self, Meter};
use crate::node::Inner;
use crate::pooler::{self, Pooler};

/// A branch's server, and whoever uses it.
#[derive(Default)]
pub(crate) struct Cell {
    /// Whoever changes whether it runs, or needs it to stay as it is.
    server: Mutex<Option<Cluster>>,
    /// The port of the server that runs; 0 while none does.
    port: AtomicU16,
    /// How many connections lead through endpoints.
    pub(crate) connections: AtomicUsize,
    /// When bytes last went through, in milliseconds since 1970.
    pub(crate) used_at: AtomicI64,
    /// How many bytes went through, both ways, and were not told yet.
    pub(crate) passed: AtomicI64,
    /// Whether the server has ended by itself, and nobody was told.
    died: AtomicBool,
    /// The pooler before the server; `None` while none runs.
    pub(crate) pooler: Mutex<Option<Pooler>>,
    /// The port of the server that this one was told to follow; 0 for none.
    pub(crate) followed: AtomicU16,
    /// What the server uses.
    pub(crate) meter: std::sync::Mutex<Meter>,
}

/// The right to change whether a server runs.
pub(crate) type Held<'a> = MutexGuard<'a, Option<Cluster>>;

/// The file with the password that a copy's superuser still has.
pub(crate) const INHERITED: &str = "superuser.inherited";

impl Cell {
    /// Takes that right, and notices if the server has ended by itself.
    pub(crate) async fn hold(&self) -> Held<'_> {
        let mut held = self.server.lock().await;
        self.look(&mut held).await;
        held
    }

    /// Whether the server has ended by itself since this was last asked, or since an endpoint started it.
    pub(crate) fn has_died(&self) -> bool {
        self.died.swap(false, Ordering::AcqRel)
    }

    /// The port, if a server runs.
    pub(crate) fn port(&self) -> Option<u16> {
        Some(self.port.load(Ordering::Acquire)).filter(|it| *it != 0)
    }

    /// Starts the server, unless it runs. Says whether it had to.
    pub(crate) async fn start(
        &self,
        inner: &Inner,
        place: &BranchPlace,
        held: &mut Held<'_>,
    ) -> Result<bool, SubstrateError> {
        if self.port().is_some() {
            return Ok(false);
        }
        let mut cluster = open(inner, place, Vec::new()).await?;
        let connection = cluster.start().await.map_err(failed)?;
        own_password(cluster.folder(), &connection).await?;
        self.port.store(connection.port, Ordering::Release);
        **held = Some(cluster);
        limit(inner, place, held);
        meter::begun(inner, self, held, true);
        Ok(true)
    }

    /// Takes over a server that runs. Says whether one does.
    pub(crate) async fn adopt(
        &self,
        inner: &Inner,
        place: &BranchPlace,
    ) -> Result<bool, SubstrateError> {
        let mut held = self.hold().await;
        if self.port().is_some() {
            // It may have got others.
            limit(inner, place, &held);
            return Ok(true);
        }
        if self.pooler.lock().await.is_none() {
            pooler::end_leftover(&inner.home(place));
        }
        if !inner.home(place).join("data/postmaster.pid").exists() {
            return Ok(false);
        }
        let mut cluster = open(inner, place, Vec::new()).await?;
        let Some(connection) = cluster.adopt_running().await.map_err(failed)? else {
            return Ok(false);
        };
        own_password(cluster.folder(), &connection).await?;
        self.port.store(connection.port, Ordering::Release);
        *held = Some(cluster);
        limit(inner, place, &held);
        meter::begun(inner, self, &held, false);
        Ok(true)
    }

    /// Notices that the server has ended by itself.
    async fn look(&self, held: &mut Held<'_>) {
        if let Some(cluster) = held.as_mut() {
            let gone = tokio::time::timeout(Duration::from_millis(5), cluster.exited()).await;
            if let Ok(how) = gone {
                tracing::warn!(folder = %cluster.folder().display(), how, "a branch's Postgres has ended");
                self.port.store(0, Ordering::Release);
                self.died.store(true, Ordering::Release);
                **held = None;
            }
        }
    }

    /// Makes the files of a branch that is not in use be at rest: those of a server that was killed, or that runs on after
    /// whoever started it was, are not.
    pub(crate) async fn settle(
        &self,
        inner: &Inner,
        place: &BranchPlace,
        held: &mut Held<'_>,
    ) -> Result<(), SubstrateError> {
        if self.port().is_none() && inner.home(place).join("data/postmaster.pid").exists() {
            self.start(inner, place, held).await?;
            self.stop(inner, held).await?;
        }
        Ok(())
    }

    /// Stops the server, if it runs. Says whether it did.
    pub(crate) async fn stop(
        &self,
        inner: &Inner,
        held: &mut Held<'_>,
    ) -> Result<bool, SubstrateError> {
        meter::ending(inner, self, held).await;
        self.port.store(0, Ordering::Release);
        self.end_pooler().await;
        let Some(cluster) = held.as_mut() else { return Ok(false) };
        cluster.stop().await.map_err(failed)?;
        let home = cluster.folder().file_name().map(|it| it.to_string_lossy().into_owned());
        **held = None;
        if let (Some(groups), Some(home)) = (&inner.groups, home) {
            groups.release(&home);
        }
        Ok(true)
    }

    /// Ends the pooler before the server, if one runs: the next connection through it starts another.
    pub(crate) async fn end_pooler(&self) {
        if let Some(pooler) = self.pooler.lock().await.take() {
            pooler.end().await;
        }
    }

    /// How the running server is reached by us.
    pub(crate) fn connection(held: &Held<'_>) -> Option<ConnectionParameters> {
        held.as_ref()?.connection()
    }
}

/// Holds a server that runs to its compute units, where that is possible. One that cannot be held runs all the same.
fn limit(inner: &Inner, place: &BranchPlace, held: &Held<'_>) {
    let (Some(groups), Some(computes)) = (&inner.groups, place.computes) else { return };
    let Some(pid) = held.as_ref().and_then(Cluster::pid) else { return };
    let pids = meter::processes_of(pid);
    if let Err(error) = groups.hold(place.branch.as_str(), &pids, computes) {
        tracing::warn!(branch = %place.branch, %error, "a server could not be held to its compute units");
    }
}

/// Opens a branch's cluster, whose files are there.
pub(crate) async fn open(
    inner: &Inner,
    place: &BranchPlace,
    more: Vec<(String, String)>,
) -> Result<Cluster, SubstrateError> {
    let home = inner.home(place);
    if !home.join("data/PG_VERSION").exists() {
        return Err(SubstrateError::Refused("the branch has no files".to_owned()));
    }
    let mut settings = settings(inner, place, &home)?;
    settings.server.extend(more);
    Cluster::open(inner.installation.clone(), settings).await.map_err(failed)
}

pub(crate) fn settings(
    inner: &Inner,
    place: &BranchPlace,
    home: &Path,
) -> Result<ClusterSettings, SubstrateError> {
    let mut settings = ClusterSettings::new(home);
    settings.ports = inner.settings.server_ports.clone();
    settings.run_as = Some(inner.user(place));
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into_iter();
    let mut names: Vec<_> = names.chain([inner.settings.host.clone()]).collect();
    names.dedup();
    let issued = inner.authority.issue(&names);
    settings.certificate = Some(issued.map_err(|err| SubstrateError::Failed(chain(&err)))?);
    // Endpoints come from an address of their own, so that Plinth's own way in is not open to whoever comes through them.
    settings.plaintext_on_loopback = crate::front::SOURCE.is_some();
    let kind = if settings.plaintext_on_loopback { "host" } else { "hostssl" };
    // Servers that follow this one come from where we come from.
    settings.access_rules = vec![format!("{kind} replication postgres 127.0.0.1/32 scram-sha-256")];
    if let Some(source) = crate::front::SOURCE {
        settings.access_rules.extend([
            format!("hostssl all postgres {source}/32 reject"),
            format!("hostssl all all {source}/32 scram-sha-256"),
        ]);
    }
    let archive = home.join("archive");
    let archive = archive.to_str().filter(|it| !it.contains(['\'', '%'])).ok_or_else(|| {
        SubstrateError::Refused(
            "the node's folder has a quote or a per cent sign in its path".to_owned(),
        )
    })?;
    // A file that is there whole was archived before a crash.
    let command = format!(
        "if test -f '{archive}/%f'; then cmp -s '%p' '{archive}/%f'; \
         else cp '%p' '{archive}/%f.part' && mv '{archive}/%f.part' '{archive}/%f'; fi"
    );
    let ours = [
        ("shared_buffers", "64MB"),
        ("wal_level", "replica"),
        ("archive_mode", "on"),
        ("archive_command", &command),
        ("archive_timeout", "300"),
        ("min_wal_size", "32MB"),
        ("max_wal_size", "512MB"),
        ("max_wal_senders", "16"),
        ("recovery_init_sync_method", "syncfs"),
    ];
    for (name, value) in place.settings.as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        settings.server.push((name.clone(), value));
    }
    if !place.libraries.is_empty() {
        let all = place.libraries.join(",");
        settings.server.push(("shared_preload_libraries".to_owned(), all));
    }
    settings.server.extend(ours.map(|(name, value)| (name.to_owned(), value.to_owned())));
    settings.server.extend(crate::standby::settings(inner, place, home)?);
    Ok(settings)
}

pub(crate) fn failed(err: ClusterError) -> SubstrateError {
    match err {
        ClusterError::Locked { .. } | ClusterError::VersionMismatch { .. } => {
            SubstrateError::Refused(chain(&err))
        }
        err => SubstrateError::Failed(chain(&err)),
    }
}

/// Logs in as the superuser.
pub(crate) async fn admin(
    connection: &ConnectionParameters,
    database: &str,
) -> Result<Client, tokio_postgres::Error> {
    log_in(connection, &connection.password, database).await
}

async fn log_in(
    connection: &ConnectionParameters,
    password: &SecretString,
    database: &str,
) -> Result<Client, tokio_postgres::Error> {
    let mut config = Config::new();
    config
        .host(&connection.host)
        .port(connection.port)
        .user(&connection.user)
        .password(password.expose_secret())
        .dbname(database)
        .application_name("plinth node")
        .connect_timeout(Duration::from_secs(10));
    // On loopback, between processes of one machine.
    let (client, driver) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = driver.await {
            tracing::debug!(%error, "a connection to a branch ended");
        }
    });
    Ok(client)
}

/// Notes which password the superuser of a copy has: its source's.
pub(crate) fn keep_inherited(home: &Path, source: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // A copy of a copy that never ran has what that one inherited.
    let theirs = [source.join(INHERITED), source.join("superuser.password")];
    let found = theirs.iter().find(|it| it.exists());
    let text = std::fs::read(found.unwrap_or(&theirs[1]))?;
    let mut open = std::fs::OpenOptions::new();
    open.write(true).create(true).truncate(true).mode(0o600);
    let mut file = open.open(home.join(INHERITED))?;
    std::io::Write::write_all(&mut file, &text)?;
    file.sync_all()
}

/// Gives the superuser of a copy a password of its own.
pub(crate) async fn own_password(
    home: &Path,
    connection: &ConnectionParameters,
) -> Result<(), SubstrateError> {
    let file: PathBuf = home.join(INHERITED);
    let Ok(text) = std::fs::read_to_string(&file) else { return Ok(()) };
    let refused = |err: tokio_postgres::Error| {
        SubstrateError::Failed(format!(
            "the branch's Postgres does not take its superuser: {}",
            chain(&err)
        ))
    };
    // Cut off between the change and the removal of the file: it has its own already.
    if admin(connection, "postgres").await.is_err() {
        let inherited = SecretString::from(text.trim_end().to_owned());
        let client = log_in(connection, &inherited, "postgres").await.map_err(refused)?;
        let own = connection.password.expose_secret().as_bytes();
        let verifier = postgres_protocol::password::scram_sha_256(own);
        let change = format!("ALTER ROLE postgres PASSWORD '{verifier}'");
        client.batch_execute(&change).await.map_err(refused)?;
    }
    std::fs::remove_file(&file).map_err(|err| SubstrateError::Failed(err.to_string()))
}
