use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::certificate;
use crate::error::{ClusterError, IoContext as _};
use crate::run_user::RunUser;

/// Where the parts of a cluster lie.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    home: PathBuf,
}

/// What is remembered of a cluster from start to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The cluster's `cluster_name`, of which there is one in the world.
    pub(crate) id: String,
    /// The port it had last.
    pub(crate) port: Option<u16>,
}

/// The right to work on a folder. It ends with the process, however that ends.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: Flock<File>,
}

impl Folder {
    pub(crate) fn new(home: &Path) -> Self {
        Self { home: home.to_owned() }
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.home.join("server.log")
    }

    pub(crate) fn server_file(&self) -> PathBuf {
        self.home.join("postgresql.conf")
    }

    pub(crate) fn access_file(&self) -> PathBuf {
        self.home.join("pg_hba.conf")
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.home.join("server.crt")
    }

    pub(crate) fn certificate_key(&self) -> PathBuf {
        self.home.join("server.key")
    }

    fn state_file(&self) -> PathBuf {
        self.home.join("cluster.json")
    }

    fn password_file(&self) -> PathBuf {
        self.home.join("superuser.password")
    }

    /// A path of ours as text, for Postgres's files and command line.
    pub(crate) fn text<'a>(&self, path: &'a Path) -> Result<&'a str, ClusterError> {
        let text = path.to_str().filter(|text| !text.chars().any(char::is_control));
        text.ok_or_else(|| {
            self.unusable("its path has characters that are not text: choose another one")
        })
    }

    pub(crate) fn unusable(&self, reason: impl Into<String>) -> ClusterError {
        ClusterError::Unusable { folder: self.home.clone(), reason: reason.into() }
    }

    /// Makes the folder, or checks the one that is there, so that only we can write to it. Returns
    /// it by its real path, which is the one that the server's processes show.
    pub(crate) fn create(home: &Path) -> Result<Self, ClusterError> {
        // As root the server's user must get through to its data; what it must not read is closed
        // file by file.
        let mode = if geteuid().is_root() { 0o711 } else { 0o700 };
        let absolute = std::path::absolute(home).context("find", home)?;
        let missing: Vec<_> =
            absolute.ancestors().take_while(|part| !part.exists()).map(Path::to_owned).collect();
        for part in missing.iter().rev() {
            match fs::create_dir(part) {
                // Whatever the umask is: one of 077 would bar the server's user.
                Ok(()) => fs::set_permissions(part, Permissions::from_mode(mode))
                    .context("set the mode of", part)?,
                Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
                Err(err) => return Err(err).context("create", part),
            }
        }
        let real = absolute.canonicalize().context("find", &absolute)?;
        let folder = Self::new(&real);
        let meta = fs::metadata(&real).context("look at", &real)?;
        if !meta.is_dir() {
            return Err(folder.unusable("it is not a folder"));
        }
        if meta.uid() != geteuid().as_raw() {
            return Err(folder.unusable(
                "it belongs to another user: run as that user, or choose another data folder",
            ));
        }
        if let Some(stranger) = folder.stranger()? {
            let reason = format!(
                "it holds `{stranger}`, which is not a cluster's: choose an empty folder, or one that does not exist yet"
            );
            return Err(folder.unusable(reason));
        }
        if meta.mode() & 0o777 != mode {
            fs::set_permissions(&real, Permissions::from_mode(mode))
                .context("set the mode of", &real)?;
        }
        Ok(folder)
    }

    /// Something in a folder without a cluster that we did not put there.
    fn stranger(&self) -> Result<Option<String>, ClusterError> {
        if self.state_file().exists() {
            return Ok(None);
        }
        let entries = fs::read_dir(&self.home).context("read", &self.home)?.flatten();
        let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        // What may stand there of a first initialization that was killed early.
        let ours = ["lock", "superuser.password", "cluster.json"];
        Ok(names.find(|name| !ours.iter().any(|ours| name.starts_with(ours))))
    }

    /// Takes the folder for this process.
    pub(crate) fn lock(&self) -> Result<FolderLock, ClusterError> {
        let path = self.home.join("lock");
        let mut open = OpenOptions::new();
        open.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = open.open(&path).context("open", &path)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut file) => {
                let write = |file: &mut File| {
                    file.set_len(0)?;
                    file.write_all(std::process::id().to_string().as_bytes())
                };
                write(&mut file).context("write to", &path)?;
                Ok(FolderLock { _file: file })
            }
            Err((mut file, Errno::EWOULDBLOCK)) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                Err(ClusterError::Locked {
                    folder: self.home.clone(),
                    holder: holder.trim().parse().ok(),
                })
            }
            Err((_, errno)) => Err(io::Error::from(errno)).context("lock", &path),
        }
    }

    /// The major version of the data, or `None` before initialization.
    pub(crate) fn data_version(&self) -> Result<Option<u32>, ClusterError> {
        if !self.data().exists() {
            return Ok(None);
        }
        let path = self.data().join("PG_VERSION");
        let text = fs::read_to_string(&path).context("read", &path)?;
        let major = text.trim().split('.').next().and_then(|major| major.parse().ok());
        major
            .map(Some)
            .ok_or_else(|| self.unusable(format!("its PG_VERSION says {:?}", text.trim())))
    }

    /// The user that owns the data, or `None` before initialization.
    pub(crate) fn data_owner(&self) -> Result<Option<RunUser>, ClusterError> {
        match fs::metadata(self.data()) {
            Ok(meta) => Ok(Some(RunUser { uid: meta.uid(), gid: meta.gid() })),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(err).context("look at", &self.data()),
        }
    }

    pub(crate) fn state(&self) -> Result<Option<State>, ClusterError> {
        let path = self.state_file();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(err).context("read", &path),
        };
        let state = serde_json::from_slice(&text);
        state
            .map(Some)
            .map_err(|err| self.unusable(format!("its cluster.json cannot be read ({err})")))
    }

    pub(crate) fn keep_state(&self, state: &State) -> Result<(), ClusterError> {
        let text = serde_json::to_vec(state).expect("a struct of plain fields is JSON");
        write_whole(&self.state_file(), &text, 0o600, None)
    }

    pub(crate) fn password(&self) -> Result<SecretString, ClusterError> {
        let path = self.password_file();
        let text = fs::read_to_string(&path).context("read", &path)?;
        Ok(text.trim_end().into())
    }

    pub(crate) fn keep_password(&self, password: &SecretString) -> Result<(), ClusterError> {
        write_whole(&self.password_file(), password.expose_secret().as_bytes(), 0o600, None)
    }

    /// Makes the cluster's certificate if it has none.
    pub(crate) fn ensure_certificate(&self, user: RunUser) -> Result<(), ClusterError> {
        if self.certificate().exists() && self.certificate_key().exists() {
            return Ok(());
        }
        let made = certificate::generate()?;
        write_whole(&self.certificate_key(), made.key.as_bytes(), 0o600, Some(user))?;
        write_whole(&self.certificate(), made.certificate.as_bytes(), 0o644, None)
    }
}

/// Writes a file so that it is there whole or as before, also after a crash of the machine.
pub(crate) fn write_whole(
    path: &Path,
    content: &[u8],
    mode: u32,
    owner: Option<RunUser>,
) -> Result<(), ClusterError> {
    let draft = path.with_added_extension(format!("new-{}", random_hex::<4>()?));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        if let Some(user) = owner.filter(|user| user.is_other()) {
            chown(&draft, Some(user.uid), Some(user.gid))?;
        }
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        path.parent().map_or(Ok(()), sync_folder)
    };
    write().inspect_err(|_| drop(fs::remove_file(&draft))).context("write", path)
}

/// Makes what was created, renamed or removed in a folder outlive a crash of the machine.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// `BYTES` random bytes as lower-case hex.
pub(crate) fn random_hex<const BYTES: usize>() -> Result<String, getrandom::Error> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)?;
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    Ok(digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect())
}
