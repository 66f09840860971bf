//! What is started for a run, and ended with it: the product under test, a Postgres cluster for the data, and a folder.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plinth_local_postgres::{Cluster, ClusterSettings, ConnectionParameters, Installation};
use serde_json::json;

use crate::client::Client;

/// How long a first start may take; it makes a cluster.
const START_LIMIT: Duration = Duration::from_mins(3);

/// How long the product may take to stop in good order.
const STOP_LIMIT: Duration = Duration::from_secs(40);

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How much of the server's log is shown when it fails.
const LOG_LINES: usize = 30;

/// A folder that is removed with this value. Everybody may enter it: as root, Postgres runs as another user.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes one in the system's place for temporary files.
    ///
    /// # Errors
    /// If that is not possible.
    pub(crate) fn create() -> Result<Self> {
        Self::create_in(&std::env::temp_dir())
    }

    /// Makes one in another place.
    ///
    /// # Errors
    /// If that is not possible.
    pub(crate) fn create_in(place: &Path) -> Result<Self> {
        let mut random = [0; 6];
        getrandom::fill(&mut random).context("the system gives no random numbers")?;
        let name =
            random.iter().fold("plinth-bench-".to_owned(), |name, b| format!("{name}{b:02x}"));
        let path = place.join(name);
        fs::DirBuilder::new()
            .mode(0o755)
            .create(&path)
            .with_context(|| format!("making {}", path.display()))?;
        // The umask may have taken something away.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nobody could do anything about it now.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A cluster for the databases that are asked, apart from Plinth's own.
#[derive(Debug)]
pub(crate) struct Databases {
    cluster: Cluster,
    programs: PathBuf,
    connection: ConnectionParameters,
}

impl Databases {
    /// Makes and starts one. It does not flush: its data is thrown away.
    ///
    /// # Errors
    /// If there is no Postgres on this machine or it cannot be started.
    pub(crate) async fn start(folder: &Folder) -> Result<Self> {
        let named = std::env::var_os("PLINTH_POSTGRES_BIN").map(PathBuf::from);
        let installation = Installation::find(named.as_deref())?;
        let mut settings = ClusterSettings::new(folder.path().join("databases"));
        let own = [
            ("fsync", "off"),
            ("synchronous_commit", "off"),
            ("full_page_writes", "off"),
            ("max_wal_size", "4GB"),
            ("shared_buffers", "256MB"),
            // Sessions stay open a while on each of a kit's many databases; and `pg_dump` locks ten thousand tables in one
            // transaction, for which there is room in proportion to the sessions.
            ("max_connections", "600"),
        ];
        settings.server = own.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let programs = installation.bin().to_owned();
        let mut cluster = Cluster::open(installation, settings).await?;
        let connection = cluster.start().await?;
        Ok(Self { cluster, programs, connection })
    }

    /// How to reach it as the superuser.
    pub(crate) fn connection(&self) -> &ConnectionParameters {
        &self.connection
    }

    /// The folder of PostgreSQL's programs.
    pub(crate) fn programs(&self) -> &Path {
        &self.programs
    }

    /// Postgres's version, like 15.18.
    pub(crate) fn version(&self) -> String {
        self.cluster.version().to_string()
    }

    /// Stops it.
    ///
    /// # Errors
    /// If it could not be stopped.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.cluster.stop().await.context("stopping the cluster of the databases")?;
        Ok(())
    }
}

/// Whether Plinth may ask a language model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    /// The embedded engine answers alone.
    None,
    /// That of the variables `PLINTH_LLM_…`.
    FromSurroundings,
}

/// The owner that a server is given.
const OWNER: &str = "owner@example.com";

/// The owner's password. It protects nothing: the server lives as long as a measurement.
const PASSWORD: &str = "tall giraffes eat acacia";

/// A running `plinth serve` with its embedded Postgres and a data folder of its own, and an organization in it.
///
/// Dropping it stops it too, and waits for that.
#[derive(Debug)]
pub(crate) struct Plinth {
    child: Child,
    address: SocketAddr,
    key: String,
    log: PathBuf,
}

/// What is measured is the server's speed and not its limits on requests.
fn lift_limits(binary: &Path, data: &Path, organization: &str) -> Result<()> {
    let mut command = plinth(binary, Model::None);
    command.args(["organization", "set-plan", organization, "custom"]);
    command.args(["--per-minute", "2000000000", "--per-day", "2000000000", "--data-dir"]).arg(data);
    let output = command.stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the limits could not be lifted: {said}");
    Ok(())
}

impl Plinth {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// If it does not become ready, with the end of its log.
    pub(crate) async fn start(binary: &Path, folder: &Folder, model: Model) -> Result<Self> {
        let data = folder.path().join("plinth");
        let log = folder.path().join("plinth.log");
        let address = free_address()?;
        let output = File::create(&log)?;
        let mut command = plinth(binary, model);
        command
            .args(["serve", "--log", "warn", "--listen", &address.to_string(), "--data-dir"])
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // Ctrl-C comes to us alone, and we stop it when we no longer need it.
            .process_group(0);
        let child = command.spawn().with_context(|| format!("starting {}", binary.display()))?;
        let mut plinth = Self { child, address, key: String::new(), log };
        plinth.wait_until_ready().await?;
        let (key, organization) = plinth.set_up().await.context("making the first owner")?;
        plinth.key = key;
        lift_limits(binary, &data, &organization)?;
        Ok(plinth)
    }

    /// Starts it on a database instead of one of its own; it does no runs of workflows itself.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub(crate) async fn start_on(binary: &Path, folder: &Folder, url: &str) -> Result<Self> {
        let log = folder.path().join("plinth.log");
        let address = free_address()?;
        let output = File::create(&log)?;
        let mut command = plinth_on(binary, url);
        command
            .args(["serve", "--log", "warn", "--listen", &address.to_string()])
            .env("PLINTH_WORKFLOW_RUNS", "0")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0);
        let child = command.spawn().with_context(|| format!("starting {}", binary.display()))?;
        let mut plinth = Self { child, address, key: String::new(), log };
        plinth.wait_until_ready().await?;
        let (key, organization) = plinth.set_up().await.context("making the first owner")?;
        plinth.key = key;
        let mut command = plinth_on(binary, url);
        command.args(["organization", "set-plan", &organization, "custom"]);
        command.args(["--per-minute", "2000000000", "--per-day", "2000000000"]);
        let output = command.stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the limits could not be lifted: {said}");
        Ok(plinth)
    }

    /// A client with a connection of its own and the owner's key.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address, &self.key)
    }

    /// A client with a connection of its own that sends this key or token.
    pub(crate) fn client_with(&self, token: &str) -> Client {
        Client::new(self.address, token)
    }

    /// The process id of the server.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops it in good order.
    ///
    /// # Errors
    /// If it had ended before, did not end in time, or ended with another status than success.
    pub(crate) fn stop(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("Plinth ended by itself ({status}):\n{}", self.log_end());
        }
        let status = self.end()?;
        ensure!(status.success(), "Plinth ended with {status}:\n{}", self.log_end());
        Ok(())
    }

    /// The last lines of its log.
    pub(crate) fn log_end(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let started = Instant::now();
        let mut client = Client::new(self.address, "");
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("Plinth ended while it started ({status}):\n{}", self.log_end());
            }
            if let Ok(response) = client.request("GET", "/readyz", None).await
                && response.status == 200
            {
                return Ok(());
            }
            ensure!(
                started.elapsed() < START_LIMIT,
                "Plinth is not ready after {} s:\n{}",
                START_LIMIT.as_secs(),
                self.log_end()
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Makes the first owner with the token that the server printed; gives the owner's key and the organization's id.
    async fn set_up(&self) -> Result<(String, String)> {
        let started = Instant::now();
        // It is printed a moment after the server answers.
        let token = loop {
            let log =
                fs::read(&self.log).with_context(|| format!("reading {}", self.log.display()))?;
            let log = String::from_utf8_lossy(&log);
            let token = log.split_once(r#""token": ""#).and_then(|(_, rest)| rest.split_once('"'));
            if let Some((token, _)) = token {
                break token.to_owned();
            }
            ensure!(started.elapsed() < START_LIMIT, "no token was printed:\n{log}");
            tokio::time::sleep(LOOK_EVERY).await;
        };
        let body = json!({ "token": token, "organization": "Bench", "email": OWNER, "password": PASSWORD });
        let made = Client::new(self.address, "").request("POST", "/v1/setup", Some(&body)).await?;
        let made = made.data()?;
        let text = |name: &str| {
            let value = made[name].as_str().with_context(|| format!("the answer has no {name}"));
            value.map(str::to_owned)
        };
        Ok((text("api_key")?, text("organization_id")?))
    }

    /// Signs the owner in; gives the access token.
    ///
    /// # Errors
    /// If the server does not let them.
    pub(crate) async fn sign_in(&self) -> Result<String> {
        let body = json!({ "email": OWNER, "password": PASSWORD });
        let mut nobody = Client::new(self.address, "");
        let tokens = nobody.request("POST", "/v1/auth/login", Some(&body)).await?.data()?;
        Ok(tokens["access_token"].as_str().context("the sign-in gave no token")?.to_owned())
    }

    fn end(&mut self) -> Result<ExitStatus> {
        signal(&self.child, Signal::SIGTERM)?;
        let asked = Instant::now();
        while asked.elapsed() < STOP_LIMIT {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(LOOK_EVERY);
        }
        self.child.kill()?;
        self.child.wait()?;
        bail!("Plinth did not stop within {} s and was killed", STOP_LIMIT.as_secs())
    }
}

impl Drop for Plinth {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // We are on the way out with another error.
            let _ = self.end();
        }
    }
}

/// A running `plinth worker`. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct WorkerProcess {
    child: Child,
}

impl WorkerProcess {
    /// Starts one on the database of a [`Plinth::start_on`].
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn start(binary: &Path, url: &str) -> Result<Self> {
        let mut command = plinth_on(binary, url);
        command
            .args(["worker", "--log", "warn"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let child = command.spawn().with_context(|| format!("starting {}", binary.display()))?;
        Ok(Self { child })
    }

    /// Stops it in good order.
    ///
    /// # Errors
    /// If it ended otherwise than with success, or not in time.
    pub(crate) fn stop(mut self) -> Result<()> {
        signal(&self.child, Signal::SIGTERM)?;
        let asked = Instant::now();
        while asked.elapsed() < STOP_LIMIT {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the worker ended with {status}");
                return Ok(());
            }
            thread::sleep(LOOK_EVERY);
        }
        bail!("the worker did not stop within {} s", STOP_LIMIT.as_secs())
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The master key of everything that this run starts: what it seals lives as long as a measurement.
fn master_key() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(|| {
        let mut random = [0; 32];
        getrandom::fill(&mut random).expect("the system gives random numbers");
        random.iter().fold(String::new(), |key, byte| format!("{key}{byte:02x}"))
    })
}

/// The binary on a database of the measurement's, which may be asked on this machine.
fn plinth_on(binary: &Path, url: &str) -> Command {
    let mut command = plinth(binary, Model::None);
    command
        .env("PLINTH_DATABASE_URL", url)
        .env("PLINTH_MASTER_KEY", master_key())
        .env("PLINTH_EGRESS_ALLOW", "127.0.0.0/8,::1/128");
    command
}

/// The binary, without settings that our surroundings have for another Plinth: they would change what is measured, or even
/// whose data is used.
fn plinth(binary: &Path, model: Model) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let keep = text == "PLINTH_POSTGRES_BIN"
            || (model == Model::FromSurroundings && text.starts_with("PLINTH_LLM_"));
        if text.starts_with("PLINTH_") && !keep {
            command.env_remove(&name);
        }
    }
    command
}

fn signal(child: &Child, signal: Signal) -> Result<()> {
    let pid = i32::try_from(child.id()).context("a process id is too large")?;
    Ok(kill(Pid::from_raw(pid), signal)?)
}

/// An address on this machine that nobody listens on.
///
/// # Errors
/// If there is none.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("there is no free port")?;
    Ok(listener.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_can_be_entered_by_everybody_and_goes_with_its_value() {
        let folder = Folder::create().unwrap();
        let path = folder.path().to_owned();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o755);
        File::create(path.join("file")).unwrap();
        drop(folder);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_plinth_that_does_not_start_is_reported_with_its_words() {
        let folder = Folder::create().unwrap();
        let binary = folder.path().join("plinth");
        fs::write(&binary, "#!/bin/sh\necho no room left >&2\nexit 3\n").unwrap();
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
        let error = Plinth::start(&binary, &folder, Model::None).await.unwrap_err().to_string();
        assert!(error.contains("no room left") && error.contains('3'), "{error}");
    }
}
