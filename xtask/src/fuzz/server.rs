//! The server that is fuzzed: in a folder of its own, with the sample shop and its key.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::environment::Environment;
use super::report::Report;
use crate::shell::{self, Background};

/// How long a start may take; the first makes a cluster, the second loads the sample.
const START_LIMIT: Duration = Duration::from_mins(3);

const STOP_LIMIT: Duration = Duration::from_secs(40);

/// A server, its folder and its logs.
pub(super) struct Server {
    // Before the folder: what works in it ends first.
    process: Background,
    /// Another one, whose Postgres is a database that tenants may connect.
    neighbour: Background,
    folder: Folder,
    url: String,
    key: String,
    log: PathBuf,
}

impl Server {
    /// Starts it twice: as a new one, whose first owner is made with the printed token (the report has that call), and then
    /// with the sample shop. The logs lie in `logs`.
    ///
    /// # Errors
    /// If it does not start, or does not let the first owner in.
    pub(super) fn start(
        plinth: &Path,
        environment: &Environment,
        logs: &Path,
    ) -> Result<(Report, Self)> {
        let folder = Folder::make()?;
        let (data, listen) = (folder.data(), free_address()?);
        let url = format!("http://{listen}");

        let log = logs.join("neighbour.log");
        let mut neighbour = start(plinth, "serve", &folder.neighbour(), &free_address()?, &log)?;
        wait_for(&mut neighbour, &log, "plinth is up")?;

        let log = logs.join("first-start.log");
        let mut first = start(plinth, "serve", &data, &listen, &log)?;
        let text = wait_for(&mut first, &log, "plinth is up")?;
        let token = text
            .split_once("\"token\": \"")
            .and_then(|(_, rest)| rest.split_once('"'))
            .context("the first start printed no token")?
            .0;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/set_up.py");
        let mut set_up = Command::new(environment.program("python"));
        set_up.arg(script).args([&url, token]);
        shell::stdout_of(&mut set_up, "making the first owner")?;
        first.stop(STOP_LIMIT).context("stopping Plinth")?;

        let log = logs.join("server.log");
        let mut process = start(plinth, "demo", &data, &listen, &log)?;
        wait_for(&mut process, &log, "Plinth is running.")?;
        let kept = fs::read_to_string(data.join("demo.json")).context("reading the demo's key")?;
        let kept: Value = serde_json::from_str(&kept)?;
        let key = kept["api_key"].as_str().context("the demo has no key")?.to_owned();
        let report = Report::one("POST /v1/setup", 201);
        Ok((report, Self { process, neighbour, folder, url, key, log }))
    }

    /// Its data folder, where it also leaves its mail.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.data()
    }

    /// The data folder of the other one.
    pub(super) fn neighbour(&self) -> PathBuf {
        self.folder.neighbour()
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// A key that may do everything in the organization that has the sample shop.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Stops it.
    ///
    /// # Errors
    /// If it had ended by itself, does not stop in good order, or does not stop.
    pub(super) fn stop(&mut self) -> Result<()> {
        if let Some(status) = self.process.ended()? {
            bail!("Plinth ended by itself ({status}); its log is {}", self.log.display());
        }
        let status = self.process.stop(STOP_LIMIT).context("stopping Plinth")?;
        ensure!(status.success(), "Plinth stopped with {status}");
        self.neighbour.stop(STOP_LIMIT).context("stopping the other Plinth")?;
        Ok(())
    }

    /// What the log has that no request may cause.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub(super) fn complaints(&self) -> Result<Option<String>> {
        let text =
            fs::read(&self.log).with_context(|| format!("reading {}", self.log.display()))?;
        let text = String::from_utf8_lossy(&text);
        let panic = text.lines().find(|line| line.contains("panicked at"));
        Ok(panic.map(|line| format!("the server panicked: {line} ({})", self.log.display())))
    }
}

/// Starts the binary with this task on this data folder.
fn start(plinth: &Path, task: &str, data: &Path, listen: &str, log: &Path) -> Result<Background> {
    let file = File::create(log).with_context(|| format!("making {}", log.display()))?;
    let mut command = bare(plinth);
    command.arg(task).arg("--data-dir").arg(data).args(["--listen", listen]);
    command.env("PLINTH_LOG", "info").stdout(file.try_clone()?).stderr(file);
    Background::start(&mut command)
}

/// An address on this machine that nobody listens on.
fn free_address() -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("there is no free port")?;
    Ok(listener.local_addr()?.to_string())
}

/// The binary, without settings that our surroundings have for another Plinth.
fn bare(plinth: &Path) -> Command {
    let mut command = Command::new(plinth);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("PLINTH_") && text != "PLINTH_POSTGRES_BIN" {
            command.env_remove(&name);
        }
    }
    command
}

/// Waits until the log has these words; gives the log.
fn wait_for(process: &mut Background, log: &Path, words: &str) -> Result<String> {
    let started = Instant::now();
    loop {
        let ended = process.ended()?;
        let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
        if text.contains(words) {
            return Ok(text);
        }
        if let Some(status) = ended {
            bail!("Plinth ended while it started ({status}):\n{text}");
        }
        ensure!(started.elapsed() < START_LIMIT, "Plinth does not start:\n{text}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A folder that everybody may enter (as root, Postgres runs as another user); removed with this value.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("plinth-fuzz-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(Self(path))
    }

    fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    fn neighbour(&self) -> PathBuf {
        self.0.join("neighbour")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nobody could do anything about it now.
        let _ = fs::remove_dir_all(&self.0);
    }
}
