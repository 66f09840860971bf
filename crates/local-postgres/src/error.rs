use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a cluster could not be made, started or stopped. The text says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Another process owns the folder.
    #[error("the folder {} is in use by {}: stop it first, or choose another data folder", folder.display(), holder_text(*holder))]
    Locked {
        /// The cluster's folder.
        folder: PathBuf,
        /// The process that holds it; `None` if it did not leave its number yet.
        holder: Option<u32>,
    },

    /// We run as root, and the user that PostgreSQL runs as cannot get to the cluster's folder.
    #[error(
        "PostgreSQL does not run as root, and {user} cannot enter {}: choose another data folder (--data-dir), \
         for example /var/lib/plinth, or allow it with `chmod o+x {0}`", folder.display()
    )]
    NotEnterable {
        /// The outermost folder that cannot be entered.
        folder: PathBuf,
        /// The user PostgreSQL would run as.
        user: String,
    },

    /// We run as root and found nobody else to run PostgreSQL as, or we are not root and were asked
    /// for another user.
    #[error("PostgreSQL cannot be run: {0}")]
    RunAs(String),

    /// The cluster belongs to another major version than the programs.
    #[error(
        "the cluster in {} was made by PostgreSQL {cluster_major}, but the programs in {} are PostgreSQL {programs_major}: \
         install PostgreSQL {cluster_major} (PLINTH_POSTGRES_BIN names its bin folder), or move the data over with pg_dump \
         into a new data folder", folder.display(), bin.display()
    )]
    VersionMismatch {
        /// The cluster's folder.
        folder: PathBuf,
        /// Major version in the cluster's `PG_VERSION`.
        cluster_major: u32,
        /// The programs' bin folder.
        bin: PathBuf,
        /// The programs' major version.
        programs_major: u32,
    },

    /// The folder does not hold what a cluster of ours holds, and guessing could destroy something.
    #[error("{} is not usable as a cluster's folder: {reason}", folder.display())]
    Unusable {
        /// The cluster's folder.
        folder: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },

    /// A server setting that cannot be written to a configuration file.
    #[error("the server setting `{name}` cannot be used: {reason}")]
    Setting {
        /// The setting's name as given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// `initdb` failed; nothing is left of the attempt.
    #[error("initdb failed ({status}):\n{output}")]
    Initialize {
        /// How it ended.
        status: String,
        /// The end of what it printed.
        output: String,
    },

    /// The port that the caller chose belongs to somebody else.
    #[error("port {port} is taken by another program: free it, or choose another port")]
    PortTaken {
        /// The TCP port.
        port: u16,
    },

    /// The server ended instead of becoming ready.
    #[error("PostgreSQL did not start ({status}); its log {} ends with:\n{tail}", log.display())]
    Start {
        /// How it ended.
        status: String,
        /// The server's log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },

    /// The server runs but was not ready in time. It was stopped again.
    #[error("PostgreSQL was not ready within {limit:?}; its log {} ends with:\n{tail}", log.display())]
    NotReady {
        /// How long it was waited for.
        limit: Duration,
        /// The server's log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },

    /// Processes of an earlier server on this folder do not go away.
    #[error("processes of an earlier PostgreSQL on {} do not end: {pids:?}", folder.display())]
    Leftover {
        /// The cluster's folder.
        folder: PathBuf,
        /// Their process ids.
        pids: Vec<i32>,
    },

    /// The certificate could not be made.
    #[error("the cluster's certificate could not be made")]
    Certificate(#[from] rcgen::Error),

    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Random(#[from] getrandom::Error),

    /// The operating system refused something.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried, as in "create".
        action: &'static str,
        /// On which file, folder or program.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn holder_text(holder: Option<u32>) -> String {
    holder.map_or_else(|| "another process".to_owned(), |pid| format!("the process with pid {pid}"))
}

/// Puts what was tried, and on what, to a bare error of the system.
pub(crate) trait IoContext<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, ClusterError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, ClusterError> {
        self.map_err(|source| ClusterError::Io { action, path: path.to_owned(), source })
    }
}
