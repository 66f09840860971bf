use std::collections::{HashMap, HashSet};
use std::fs::{self, File, Permissions};
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use nix::fcntl::{Flock, FlockArg};
use plinth_control_plane::{
    BranchId, BranchPlace, EndpointEvent, EndpointId, LIBRARIES, NodeOffers, OfferedLibrary,
    ProjectId,
};
use plinth_core::Clock;
use plinth_local_postgres::{ClusterError, FindError, Installation, RunUser};
use tokio::sync::mpsc;

use crate::authority::Authority;
use crate::cell::Cell;
use crate::front::Front;
use crate::limits::Groups;
use crate::pooler::Program;

/// How a node is to be run.
pub struct NodeSettings {
    /// The folder that is its alone.
    pub folder: PathBuf,
    /// PostgreSQL's programs; `None` looks for them.
    pub postgres_bin: Option<PathBuf>,
    /// The address that endpoints listen on.
    pub listen: IpAddr,
    /// The name or address under which clients reach them.
    pub host: String,
    /// Ports for the servers behind the endpoints, on loopback.
    pub server_ports: RangeInclusive<u16>,
    /// As root: the first of the system's user ids of which each project gets one; nobody else's may be among them.
    pub first_uid: u32,
}

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no Postgres.
    #[error(transparent)]
    Find(#[from] FindError),
    /// Another process is this node.
    #[error("the folder {0} is another node's: stop that first")]
    Locked(PathBuf),
    /// The folder cannot be used.
    #[error("the folder {0} cannot be used")]
    Folder(PathBuf, #[source] io::Error),
    /// Nobody to run servers as.
    #[error(transparent)]
    User(#[from] ClusterError),
}

/// The branches of this machine, with what runs on them.
#[derive(Clone)]
pub struct LocalBranches {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) installation: Installation,
    pub(crate) settings: NodeSettings,
    /// `None` where PgBouncer was not installed when it was last looked for.
    pooler: RwLock<Option<Program>>,
    /// `None` where nothing can be held to compute units.
    pub(crate) groups: Option<Groups>,
    pub(crate) authority: Authority,
    pub(crate) clock: Arc<dyn Clock>,
    /// `None` where projects cannot have users of their own.
    own_users: Option<u32>,
    usual_user: RunUser,
    cells: Mutex<HashMap<BranchId, Arc<Cell>>>,
    pub(crate) fronts: Mutex<HashMap<EndpointId, Front>>,
    pub(crate) events: mpsc::UnboundedSender<EndpointEvent>,
    pub(crate) told: tokio::sync::Mutex<mpsc::UnboundedReceiver<EndpointEvent>>,
    /// The folders of copies that are looked at and then thrown away.
    pub(crate) looked_at: Mutex<HashSet<String>>,
    /// One template at a time.
    pub(crate) template: tokio::sync::Mutex<()>,
    _lock: Flock<File>,
}

impl LocalBranches {
    /// Takes the folder for this process. Starts nothing.
    ///
    /// # Errors
    ///
    /// [`OpenError`], with what the operator can do.
    pub fn open(
        settings: NodeSettings,
        authority: Authority,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let installation = Installation::find(settings.postgres_bin.as_deref())?;
        let folder = settings.folder.clone();
        let failed = |err| OpenError::Folder(folder.clone(), err);
        let make = || -> io::Result<File> {
            // As root the servers' users must get through to their data.
            let mode = if nix::unistd::geteuid().is_root() { 0o711 } else { 0o700 };
            for part in [folder.clone(), folder.join("projects")] {
                fs::create_dir_all(&part)?;
                fs::set_permissions(&part, Permissions::from_mode(mode))?;
            }
            File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(folder.join("node.lock"))
        };
        let file = make().map_err(failed)?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|_| OpenError::Locked(folder.clone()))?;
        fs::write(folder.join("node.pid"), std::process::id().to_string()).map_err(failed)?;
        let own_users = own_users(&folder, settings.first_uid);
        let usual_user = RunUser::choose()?;
        let groups = Groups::find();
        if let Err(why) = &groups {
            tracing::info!(why, "servers are not held to their endpoints' compute units");
        }
        let (events, told) = mpsc::unbounded_channel();
        let inner = Inner {
            installation,
            settings,
            pooler: RwLock::new(Program::find()),
            groups: groups.ok(),
            authority,
            clock,
            own_users,
            usual_user,
            cells: Mutex::default(),
            fronts: Mutex::default(),
            events,
            told: tokio::sync::Mutex::new(told),
            looked_at: Mutex::default(),
            template: tokio::sync::Mutex::default(),
            _lock: lock,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The major version of its Postgres.
    pub fn pg_version(&self) -> i32 {
        i32::try_from(self.inner.installation.version().major).unwrap_or(0)
    }

    /// What it can do beside running Postgres. What was not there when it was last looked for is looked for again.
    pub fn offers(&self) -> NodeOffers {
        let known = LIBRARIES.iter().map(|it| it.name);
        let libraries = self.inner.installation.libraries(known);
        let offered =
            |(name, version): (&str, String)| OfferedLibrary { name: name.to_owned(), version };
        NodeOffers {
            libraries: libraries.into_iter().map(offered).collect(),
            pooler: self.inner.looked_for_pooler(),
            limits: self.inner.groups.is_some(),
        }
    }
}

impl Inner {
    /// PgBouncer, if it is there.
    pub(crate) fn pooler(&self) -> Option<Program> {
        self.pooler.read().expect("not poisoned").clone()
    }

    fn looked_for_pooler(&self) -> bool {
        if self.pooler.read().expect("not poisoned").is_some() {
            return true;
        }
        let found = Program::find();
        let is_there = found.is_some();
        if is_there {
            tracing::info!("PgBouncer is there now: endpoints can have a pooled port");
        }
        *self.pooler.write().expect("not poisoned") = found;
        is_there
    }

    pub(crate) fn projects(&self) -> PathBuf {
        self.settings.folder.join("projects")
    }

    pub(crate) fn project(&self, project: &ProjectId) -> PathBuf {
        self.projects().join(project.as_str())
    }

    /// The folder of a branch. Ids have no slashes and dots.
    pub(crate) fn home(&self, place: &BranchPlace) -> PathBuf {
        self.project(&place.project).join(place.branch.as_str())
    }

    /// As whom the servers of a project run.
    pub(crate) fn user(&self, place: &BranchPlace) -> RunUser {
        let own = self.own_users.and_then(|first| {
            let uid = first.checked_add(u32::try_from(place.number).ok()?)?;
            Some(RunUser { uid, gid: uid })
        });
        own.unwrap_or(self.usual_user)
    }

    /// As whom the template is made: somebody whom the system knows.
    pub(crate) fn template_user(&self) -> RunUser {
        self.usual_user
    }

    /// What is known of a branch's server.
    pub(crate) fn cell(&self, place: &BranchPlace) -> Arc<Cell> {
        let mut cells = self.cells.lock().expect("not poisoned");
        cells.entry(place.branch.clone()).or_default().clone()
    }

    /// Whether a folder is a copy that somebody looks at just now.
    pub(crate) fn is_looked_at(&self, folder: &str) -> bool {
        self.looked_at.lock().expect("not poisoned").contains(folder)
    }

    pub(crate) fn forget(&self, branch: &BranchId) {
        self.cells.lock().expect("not poisoned").remove(branch);
    }

    pub(crate) fn cells(&self) -> Vec<Arc<Cell>> {
        self.cells.lock().expect("not poisoned").values().cloned().collect()
    }
}

/// The first user id of projects, if we may give files to it: in a container with few ids we may not.
fn own_users(folder: &Path, first: u32) -> Option<u32> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let probe = folder.join("probe");
    let given = File::create(&probe).and_then(|_| chown(&probe, Some(first + 1), Some(first + 1)));
    let _ = fs::remove_file(&probe);
    if let Err(error) = &given {
        tracing::warn!(%error, uid = first, "projects get no users of their own: the system does not let us use such ids");
    }
    given.is_ok().then_some(first)
}
