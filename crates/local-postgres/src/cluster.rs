use std::fs;
use std::net::{IpAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::error::{ClusterError, IoContext as _};
use crate::folder::{Folder, FolderLock, State, write_whole};
use crate::initialize::{initialize, plain_surroundings};
use crate::installation::{Installation, Version};
use crate::log;
use crate::postmaster::{Phase, PidFile, answers, reachable};
use crate::process::{Process, signal};
use crate::run_user::RunUser;
use crate::settings::{ClusterSettings, SUPERUSER};

/// How often a condition of another process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How often we look whether an adopted server still runs, and at the size of the log.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// How long a server may take to end once its sessions are cut, before it is killed.
const CUT_LIMIT: Duration = Duration::from_secs(5);

/// How long the sessions of a server that died get to notice it themselves.
const NOTICE_LIMIT: Duration = Duration::from_secs(1);

/// How many free ports are tried before a start fails.
const PORT_ATTEMPTS: u32 = 5;

/// One PostgreSQL cluster in one folder, held by this process.
///
/// Dropping it stops a running server as well as that can be done without waiting long; call [`stop`](Self::stop) where
/// there is time, and [`leave_running`](Self::leave_running) where the server is to outlive this value.
#[derive(Debug)]
pub struct Cluster {
    installation: Installation,
    settings: ClusterSettings,
    folder: Folder,
    user: RunUser,
    id: String,
    password: SecretString,
    running: Option<Running>,
    _lock: FolderLock,
}

#[derive(Debug)]
struct Running {
    pid: i32,
    /// `None` if it was adopted: its parent is gone, so somebody else reaps it.
    child: Option<Child>,
    port: u16,
}

/// How to reach a running cluster as its superuser.
#[derive(Clone, Debug)]
pub struct ConnectionParameters {
    /// An address of this machine.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The superuser, always [`SUPERUSER`].
    pub user: String,
    /// The superuser's password; letters and digits only.
    pub password: SecretString,
    /// The server's certificate as PEM. Who verifies the server trusts this one and no other; it names `localhost`, `127.0.0.1` and `::1`.
    pub certificate: PathBuf,
}

impl ConnectionParameters {
    /// A URL for libpq and its kin to one database, encrypted, with the password in it.
    pub fn url(&self, database: &str) -> SecretString {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let (user, password, port) = (&self.user, self.password.expose_secret(), self.port);
        format!("postgresql://{user}:{password}@{host}:{port}/{database}?sslmode=require").into()
    }
}

/// How a server ended that we stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// None was running.
    NotRunning,
    /// In order: sessions were ended, everything was written.
    Fast,
    /// Not within [`ClusterSettings::stop_limit`]: it was cut short, and recovers at the next start. Nothing committed is lost.
    Immediate,
    /// It did not even do that and was killed; it recovers at the next start.
    Killed,
}

impl Cluster {
    /// Takes the folder for this process and makes the cluster if there is none yet, which takes some seconds. Starts nothing.
    ///
    /// # Errors
    ///
    /// - [`ClusterError::Locked`] if another process has the folder.
    /// - [`ClusterError::VersionMismatch`] if the cluster is of another major version.
    /// - [`ClusterError::NotEnterable`], [`ClusterError::RunAs`], [`ClusterError::Unusable`] if the folder cannot be used by the server.
    /// - [`ClusterError::Initialize`] and the rest if it could not be made; what was begun is removed now or at the next call.
    pub async fn open(
        installation: Installation,
        settings: ClusterSettings,
    ) -> Result<Self, ClusterError> {
        let folder = Folder::create(&settings.folder)?;
        let lock = folder.lock()?;
        let owner = folder.data_owner()?;
        let user = match settings.run_as.or(owner) {
            Some(user) => user,
            None => RunUser::choose()?,
        };
        check_user(&folder, user, owner)?;
        match folder.data_version()? {
            Some(cluster_major) if cluster_major != installation.version().major => {
                return Err(ClusterError::VersionMismatch {
                    folder: folder.home().to_owned(),
                    cluster_major,
                    bin: installation.bin().to_owned(),
                    programs_major: installation.version().major,
                });
            }
            Some(_) => folder.ensure_certificate(user)?,
            None => {
                tracing::info!(folder = %folder.home().display(), version = %installation.version(), "making a new cluster");
                initialize(&folder, &installation, user, settings.durable()).await?;
            }
        }
        let state = folder.state()?.ok_or_else(|| {
            folder.unusable("its cluster.json is missing: restore it from a backup")
        })?;
        let password = folder.password()?;
        Ok(Self {
            installation,
            settings,
            folder,
            user,
            id: state.id,
            password,
            running: None,
            _lock: lock,
        })
    }

    /// Starts the server and waits until it answers; adopts one that still runs on this folder. Does nothing if it runs already.
    ///
    /// An adopted server gets our present settings as far as they apply without a restart. If it has another port than the
    /// settings ask for, or does not become ready, it is stopped and started anew.
    ///
    /// # Errors
    ///
    /// - [`ClusterError::PortTaken`] if the settings name a port and it is not free.
    /// - [`ClusterError::Leftover`] if processes of an earlier server on this folder do not end.
    /// - [`ClusterError::Start`], [`ClusterError::NotReady`] with the end of the server's log. No server runs then.
    pub async fn start(&mut self) -> Result<ConnectionParameters, ClusterError> {
        self.start_on(self.settings.port).await
    }

    /// Where the server is reached; `None` while none runs.
    pub fn connection(&self) -> Option<ConnectionParameters> {
        self.running.as_ref().map(|running| self.connection_on(running.port))
    }

    /// Whether the running server was started by an earlier owner of the folder.
    pub fn is_adopted(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.child.is_none())
    }

    /// The process id of the running server.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().and_then(|running| running.pid.try_into().ok())
    }

    /// The cluster's folder, by its real path.
    pub fn folder(&self) -> &Path {
        self.folder.home()
    }

    /// The file that the server prints to.
    pub fn log_file(&self) -> PathBuf {
        self.folder.log()
    }

    /// The version of the programs that run it.
    pub fn version(&self) -> &Version {
        self.installation.version()
    }

    /// Waits until the running server is gone and says how it ended, as far as that can be known. Returns at once if none runs.
    /// It is not started again, and [`connection`](Self::connection) is `None` from then on. Dropping the future loses nothing.
    pub async fn exited(&mut self) -> String {
        let Some(running) = &mut self.running else { return "it was not running".to_owned() };
        let how = if let Some(child) = &mut running.child {
            child.wait().await.map_or_else(|err| err.to_string(), |status| status.to_string())
        } else {
            while is_alive(running.pid, &self.folder) {
                sleep(WATCH_EVERY).await;
            }
            "it was adopted, so its exit status is unknown".to_owned()
        };
        self.running = None;
        how
    }

    /// Keeps the server running until `until` is done, then stops it in order.
    ///
    /// A server that dies is started again on the same port, so that whoever uses it need only reconnect: after a tenth of a second,
    /// then ever more slowly up to half a minute. The log file is kept small meanwhile.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop). A start that fails is logged and tried again.
    pub async fn supervise(
        mut self,
        until: impl Future<Output = ()>,
    ) -> Result<Stopped, ClusterError> {
        let mut until = pin!(until);
        let port = self.running.as_ref().map(|running| running.port).or(self.settings.port);
        let mut watch = tokio::time::interval(WATCH_EVERY);
        let mut pause = Pause::default();
        let mut started = Instant::now();
        loop {
            if self.running.is_none() {
                tokio::select! {
                    () = &mut until => break,
                    () = sleep(pause.next()) => {}
                }
                let start = tokio::select! {
                    () = &mut until => break,
                    start = self.start_on(port) => start,
                };
                match start {
                    Ok(_) => started = Instant::now(),
                    Err(error) => {
                        tracing::error!(folder = %self.folder.home().display(), %error, "PostgreSQL could not be started again");
                        continue;
                    }
                }
            }
            tokio::select! {
                () = &mut until => break,
                how = self.exited() => {
                    tracing::error!(folder = %self.folder.home().display(), how, "PostgreSQL ended unexpectedly and is started again");
                    if started.elapsed() > Pause::LONGEST {
                        pause = Pause::default();
                    }
                }
                _ = watch.tick() => self.limit_log(),
            }
        }
        self.stop().await
    }

    /// Stops the server: in order, else cut short, else killed. Returns when none of its processes is left.
    ///
    /// # Errors
    ///
    /// - [`ClusterError::Leftover`] if something of it survives even a kill.
    /// - [`ClusterError::Io`] if signals cannot be sent.
    pub async fn stop(&mut self) -> Result<Stopped, ClusterError> {
        // It stays ours until it is gone, so that dropping this future midway leaves nothing behind.
        let Some(running) = &mut self.running else { return Ok(Stopped::NotRunning) };
        let steps = [
            (Signal::SIGINT, self.settings.stop_limit, Stopped::Fast),
            (Signal::SIGQUIT, CUT_LIMIT.min(self.settings.stop_limit), Stopped::Immediate),
            (Signal::SIGKILL, CUT_LIMIT, Stopped::Killed),
        ];
        for (kind, limit, outcome) in steps {
            // The number of a process that has ended may be given to another one: asked again before each signal.
            if is_alive(running.pid, &self.folder) {
                signal(running.pid, kind).context("signal PostgreSQL on", self.folder.home())?;
            }
            let gone = async {
                match &mut running.child {
                    Some(child) => drop(child.wait().await),
                    None => wait_gone(running.pid, &self.folder).await,
                }
            };
            if tokio::time::timeout(limit, gone).await.is_ok() {
                self.running = None;
                self.end_children().await?;
                return Ok(outcome);
            }
            tracing::warn!(folder = %self.folder.home().display(), signal = %kind, ?limit, "PostgreSQL has not ended");
        }
        Err(ClusterError::Leftover {
            folder: self.folder.home().to_owned(),
            pids: vec![running.pid],
        })
    }

    /// Gives the folder back and lets the server run on. Whoever opens the folder next adopts it.
    pub fn leave_running(mut self) {
        self.running = None;
    }

    async fn start_on(&mut self, port: Option<u16>) -> Result<ConnectionParameters, ClusterError> {
        if let Some(connection) = self.connection() {
            return Ok(connection);
        }
        if let Some(connection) = self.adopt(port).await? {
            return Ok(connection);
        }
        self.end_children().await?;
        let mut attempt = 1;
        loop {
            let chosen = self.choose_port(port)?;
            match self.launch(chosen).await {
                // Somebody took it between our look and the server's.
                Err(ClusterError::Start { .. }) if !is_free(&self.settings.listen, chosen) => {
                    if port.is_some() || attempt == PORT_ATTEMPTS {
                        return Err(ClusterError::PortTaken { port: chosen });
                    }
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    /// Takes over a server that runs on the folder. `None` if there is none (any more).
    async fn adopt(
        &mut self,
        port: Option<u16>,
    ) -> Result<Option<ConnectionParameters>, ClusterError> {
        let data = self.folder.data();
        let Some(file) = PidFile::read(&data).context("read postmaster.pid in", &data)? else {
            return Ok(None);
        };
        if !is_alive(file.pid, &self.folder) {
            if Process::find(file.pid).is_some() {
                // The number now belongs to a stranger, which would keep Postgres from starting.
                let stale = data.join("postmaster.pid");
                fs::remove_file(&stale).context("remove", &stale)?;
            }
            return Ok(None);
        }
        self.running = Some(Running { pid: file.pid, child: None, port: file.port.unwrap_or(0) });
        if file.phase == Phase::Stopping {
            // It may wait for its sessions to end by themselves.
            self.stop().await?;
            return Ok(None);
        }
        match self.wait_ready(0).await {
            Ok(running_port) if port.is_none_or(|wanted| wanted == running_port) => {
                tracing::info!(folder = %self.folder.home().display(), pid = file.pid, "adopted a running PostgreSQL");
                if self.write_configuration(running_port)? {
                    // Reads its configuration again.
                    signal(file.pid, Signal::SIGHUP).context("signal PostgreSQL on", &data)?;
                }
                return Ok(self.connection());
            }
            Ok(_) => tracing::info!(
                pid = file.pid,
                "a running PostgreSQL has another port: it is stopped and started anew"
            ),
            Err(error) => {
                tracing::warn!(pid = file.pid, %error, "a running PostgreSQL cannot be used: it is stopped and started anew");
            }
        }
        self.stop().await?;
        Ok(None)
    }

    /// Starts a server on a port and waits until it is ready.
    async fn launch(&mut self, port: u16) -> Result<ConnectionParameters, ClusterError> {
        self.write_configuration(port)?;
        self.limit_log();
        let log_file = self.folder.log();
        let log = log::open(&log_file).context("open", &log_file)?;
        let log_start = log.metadata().context("look at", &log_file)?.len();
        let program = self.installation.program("postgres");
        let mut command = Command::new(&program);
        command.arg("-D").arg(self.folder.data());
        command
            .arg("-c")
            .arg(format!("config_file={}", self.folder.text(&self.folder.server_file())?));
        plain_surroundings(&mut command, self.folder.home());
        self.user.apply(&mut command);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("open", &log_file)?)
            .stderr(log);
        // A Ctrl-C on our terminal is for us: we stop the server once nobody needs it.
        command.process_group(0);
        let child = command.spawn().context("run", &program)?;
        let pid = child
            .id()
            .and_then(|pid| pid.try_into().ok())
            .expect("a process that was not waited for has a number");
        self.running = Some(Running { pid, child: Some(child), port });
        match self.wait_ready(log_start).await {
            Ok(_) => {
                self.folder.keep_state(&State { id: self.id.clone(), port: Some(port) })?;
                let folder = self.folder.home().display();
                tracing::info!(%folder, pid, port, version = %self.installation.version(), "PostgreSQL is ready");
                Ok(self.connection_on(port))
            }
            Err(error) => {
                self.stop().await?;
                Err(error)
            }
        }
    }

    /// Waits until the running server says that it is ready and answers on its port, which is returned.
    async fn wait_ready(&mut self, log_start: u64) -> Result<u16, ClusterError> {
        let deadline = Instant::now() + self.settings.start_limit;
        let data = self.folder.data();
        let log = self.folder.log();
        let Some(running) = &mut self.running else {
            unreachable!("only called on a running server")
        };
        loop {
            let ended = match &mut running.child {
                Some(child) => {
                    child.try_wait().context("wait for", &data)?.map(|status| status.to_string())
                }
                None => (!is_alive(running.pid, &self.folder)).then(|| "it was adopted".to_owned()),
            };
            if let Some(status) = ended {
                self.running = None;
                return Err(ClusterError::Start { status, tail: log::tail(&log, log_start), log });
            }
            if let Some(PidFile { pid, port: Some(port), phase: Phase::Ready }) =
                PidFile::read(&data).context("read postmaster.pid in", &data)?
                && pid == running.pid
                && answers(reachable(&self.settings.listen), port).await
            {
                running.port = port;
                return Ok(port);
            }
            if Instant::now() > deadline {
                return Err(ClusterError::NotReady {
                    limit: self.settings.start_limit,
                    tail: log::tail(&log, log_start),
                    log,
                });
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Ends what is left of a server whose first process is gone: sessions hold its shared memory, and no new server
    /// may start beside them.
    async fn end_children(&self) -> Result<(), ClusterError> {
        let steps = [
            (None, NOTICE_LIMIT),
            (Some(Signal::SIGQUIT), CUT_LIMIT),
            (Some(Signal::SIGKILL), CUT_LIMIT),
        ];
        for (kind, limit) in steps {
            for pid in self.children()? {
                if let Some(kind) = kind {
                    tracing::warn!(pid, signal = %kind, "ending a process of a PostgreSQL that is gone");
                    signal(pid, kind).context("signal PostgreSQL on", self.folder.home())?;
                }
            }
            let deadline = Instant::now() + limit;
            while !self.children()?.is_empty() && Instant::now() < deadline {
                sleep(LOOK_EVERY).await;
            }
        }
        let pids = self.children()?;
        if pids.is_empty() {
            Ok(())
        } else {
            Err(ClusterError::Leftover { folder: self.folder.home().to_owned(), pids })
        }
    }

    fn children(&self) -> Result<Vec<i32>, ClusterError> {
        let processes = Process::list().context("list", Path::new("/proc"))?;
        Ok(processes
            .iter()
            .filter(|process| process.is_child_of(&self.id))
            .map(|process| process.pid)
            .collect())
    }

    /// Writes the configuration where it is not so already, and says whether it was not.
    fn write_configuration(&self, port: u16) -> Result<bool, ClusterError> {
        let files = [
            (self.folder.server_file(), self.settings.server_file(&self.folder, &self.id, port)?),
            (self.folder.access_file(), self.settings.access_file()),
        ];
        let mut changed = false;
        for (path, text) in files {
            if fs::read_to_string(&path).is_ok_and(|present| present == text) {
                continue;
            }
            write_whole(&path, text.as_bytes(), 0o644, None)?;
            changed = true;
        }
        Ok(changed)
    }

    fn choose_port(&self, wanted: Option<u16>) -> Result<u16, ClusterError> {
        let free = |port: &u16| is_free(&self.settings.listen, *port);
        if let Some(port) = wanted {
            return Some(port).filter(free).ok_or(ClusterError::PortTaken { port });
        }
        if let Some(port) = self.folder.state()?.and_then(|state| state.port).filter(free) {
            return Ok(port);
        }
        for _ in 0..100 {
            let mut bytes = [0; 2];
            getrandom::fill(&mut bytes)?;
            // Below the range from which the system serves outgoing connections, which would come and go on it.
            let port = 16_384 + u16::from_le_bytes(bytes) % 16_000;
            if free(&port) {
                return Ok(port);
            }
        }
        let any = TcpListener::bind((reachable(&self.settings.listen), 0))
            .and_then(|listener| listener.local_addr());
        Ok(any.context("find a free port for", self.folder.home())?.port())
    }

    fn connection_on(&self, port: u16) -> ConnectionParameters {
        ConnectionParameters {
            host: reachable(&self.settings.listen).to_string(),
            port,
            user: SUPERUSER.to_owned(),
            password: self.password.clone(),
            certificate: self.folder.certificate(),
        }
    }

    fn limit_log(&self) {
        if let Err(error) = log::limit(&self.folder.log()) {
            tracing::warn!(log = %self.folder.log().display(), %error, "the log could not be kept small");
        }
    }
}

impl Drop for Cluster {
    /// Best effort, for panics and forgotten stops: waits at most some seconds, and blocks the thread meanwhile.
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        for (kind, limit) in [
            (Signal::SIGINT, CUT_LIMIT),
            (Signal::SIGQUIT, NOTICE_LIMIT),
            (Signal::SIGKILL, NOTICE_LIMIT),
        ] {
            let deadline = Instant::now() + limit;
            if is_alive(running.pid, &self.folder) {
                let _ = signal(running.pid, kind);
            }
            while is_alive(running.pid, &self.folder) {
                if Instant::now() > deadline {
                    break;
                }
                std::thread::sleep(LOOK_EVERY);
            }
        }
    }
}

/// Pauses between attempts to start a server again.
#[derive(Default)]
struct Pause {
    attempts: u32,
}

impl Pause {
    const LONGEST: Duration = Duration::from_secs(30);

    fn next(&mut self) -> Duration {
        let pause = Duration::from_millis(100) * 2u32.pow(self.attempts.min(9));
        self.attempts += 1;
        pause.min(Self::LONGEST)
    }
}

/// Checks that the server's user can work there.
fn check_user(folder: &Folder, user: RunUser, owner: Option<RunUser>) -> Result<(), ClusterError> {
    if user.uid == 0 {
        return Err(folder.unusable("its data belongs to root, as whom PostgreSQL does not run: give it to another user with `chown -R`"));
    }
    if let Some(owner) = owner.filter(|owner| owner.uid != user.uid) {
        return Err(folder.unusable(format!(
            "its data belongs to {}, not to {}",
            owner.name(),
            user.name()
        )));
    }
    if !user.is_other() {
        return Ok(());
    }
    if !nix::unistd::geteuid().is_root() {
        let text = format!("only root can run it as {}", user.name());
        return Err(ClusterError::RunAs(text));
    }
    user.barred_from(folder.home()).map_or(Ok(()), |barred| {
        Err(ClusterError::NotEnterable { folder: barred, user: user.name() })
    })
}

fn is_alive(pid: i32, folder: &Folder) -> bool {
    Process::find(pid).is_some_and(|process| process.is_postmaster_of(&folder.data()))
}

async fn wait_gone(pid: i32, folder: &Folder) {
    while is_alive(pid, folder) {
        sleep(LOOK_EVERY).await;
    }
}

fn is_free(listen: &[IpAddr], port: u16) -> bool {
    listen.iter().all(|address| TcpListener::bind((*address, port)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_their_limit() {
        let mut pause = Pause::default();
        let first: Vec<_> = (0..4).map(|_| pause.next().as_millis()).collect();
        assert_eq!(first, [100, 200, 400, 800]);
        assert_eq!((0..40).map(|_| pause.next()).max(), Some(Pause::LONGEST));
    }

    #[test]
    fn the_url_of_an_ipv6_host_has_brackets() {
        let connection = ConnectionParameters {
            host: "::1".to_owned(),
            port: 5433,
            user: SUPERUSER.to_owned(),
            password: "secret".into(),
            certificate: PathBuf::new(),
        };
        assert_eq!(
            connection.url("shop").expose_secret(),
            "postgresql://postgres:secret@[::1]:5433/shop?sslmode=require"
        );
    }
}
