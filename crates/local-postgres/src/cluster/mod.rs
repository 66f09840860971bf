mod receive;
mod start;
mod stop;
mod supervise;

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use tokio::process::Child;
use tokio::time::sleep;

pub use self::stop::Stopped;
use self::stop::is_alive;
use crate::connection::ConnectionParameters;
use crate::error::ClusterError;
use crate::folder::{Folder, FolderLock};
use crate::initialize::initialize;
use crate::installation::{Installation, Version};
use crate::log;
use crate::postmaster::reachable;
use crate::run_user::RunUser;
use crate::settings::{ClusterSettings, SUPERUSER};

/// How often a condition of another process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How often we look whether an adopted server still runs, and at the size of the log.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// One PostgreSQL cluster in one folder, held by this process.
///
/// Dropping it stops a running server as well as that can be done without waiting long; call
/// [`stop`](Self::stop) where there is time, and [`leave_running`](Self::leave_running) where the
/// server is to outlive this value.
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

impl Cluster {
    /// Takes the folder for this process and makes the cluster if there is none yet, which takes
    /// some seconds. Starts nothing.
    ///
    /// # Errors
    ///
    /// - [`ClusterError::Locked`] if another process has the folder.
    /// - [`ClusterError::VersionMismatch`] if the cluster is of another major version.
    /// - [`ClusterError::NotEnterable`], [`ClusterError::RunAs`], [`ClusterError::Unusable`] if the
    ///   folder cannot be used by the server.
    /// - [`ClusterError::Initialize`] and the rest if it could not be made; what was begun is
    ///   removed now or at the next call.
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

    /// Starts the server and waits until it answers; adopts one that still runs on this folder.
    /// Does nothing if it runs already.
    ///
    /// An adopted server gets our present settings as far as they apply without a restart. If it
    /// has another port than the settings ask for, or does not become ready, it is stopped and
    /// started anew.
    ///
    /// # Errors
    ///
    /// - [`ClusterError::PortTaken`] if the settings name a port and it is not free.
    /// - [`ClusterError::Leftover`] if processes of an earlier server on this folder do not end.
    /// - [`ClusterError::Start`], [`ClusterError::NotReady`] with the end of the server's log. No
    ///   server runs then.
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

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.data()
    }

    /// The file that the server prints to.
    pub fn log_file(&self) -> PathBuf {
        self.folder.log()
    }

    /// The version of the programs that run it.
    pub fn version(&self) -> &Version {
        self.installation.version()
    }

    /// Waits until the running server is gone and says how it ended, as far as that can be known.
    /// Returns at once if none runs. It is not started again, and [`connection`](Self::connection)
    /// is `None` from then on. Dropping the future loses nothing.
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

    /// Gives the folder back and lets the server run on. Whoever opens the folder next adopts it.
    pub fn leave_running(mut self) {
        self.running = None;
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
