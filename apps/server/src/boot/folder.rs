use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

/// Where things are kept unless somebody says otherwise: for root where the unprivileged user that runs Postgres can
/// enter, which root's own home is not.
#[expect(clippy::disallowed_methods, reason = "the user's folders are where the system says")]
pub(crate) fn default_data_dir() -> anyhow::Result<PathBuf> {
    if nix::unistd::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/plinth"));
    }
    if let Some(data) = std::env::var("XDG_DATA_HOME").ok().filter(|it| it.starts_with('/')) {
        return Ok(Path::new(&data).join("plinth"));
    }
    match std::env::home_dir() {
        Some(home) => Ok(home.join(".local/share/plinth")),
        None => bail!("there is no home folder; say where to keep data with --data-dir"),
    }
}

/// What a running server tells commands that are started beside it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Runtime {
    /// The server's process.
    pub(crate) pid: u32,
    /// How to reach its database as the owner.
    pub(crate) database_url: String,
}

fn runtime_file(data_dir: &Path) -> PathBuf {
    data_dir.join("runtime.json")
}

impl Runtime {
    pub(crate) fn write(data_dir: &Path, database_url: &SecretString) -> anyhow::Result<()> {
        let runtime =
            Self { pid: std::process::id(), database_url: database_url.expose_secret().to_owned() };
        write_secret(&runtime_file(data_dir), serde_json::to_string(&runtime)?.as_bytes())
    }

    pub(crate) fn read(data_dir: &Path) -> Option<Self> {
        serde_json::from_str(&fs::read_to_string(runtime_file(data_dir)).ok()?).ok()
    }

    pub(crate) fn remove(data_dir: &Path) {
        // If it cannot be removed, the next server overwrites it.
        let _ = fs::remove_file(runtime_file(data_dir));
    }
}

/// Makes the data folder, unless it is there. As root, the user that Postgres runs as must get through it to its own
/// data, whatever the umask is; what is in it closes itself.
pub(crate) fn make_data_dir(path: &Path) -> anyhow::Result<()> {
    let mode = if nix::unistd::geteuid().is_root() { 0o711 } else { 0o700 };
    let make = || -> std::io::Result<()> {
        let path = std::path::absolute(path)?;
        let missing: Vec<_> = path.ancestors().take_while(|it| !it.exists()).collect();
        for part in missing.into_iter().rev() {
            match fs::create_dir(part) {
                Ok(()) => fs::set_permissions(part, fs::Permissions::from_mode(mode))?,
                // Somebody who starts at the same time was faster.
                Err(err) if err.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(err) => return Err(err),
            }
        }
        if path.is_dir() { Ok(()) } else { Err(std::io::ErrorKind::NotADirectory.into()) }
    };
    make().with_context(|| format!("cannot make the data folder {}", path.display()))
}

/// Makes a folder that only we may enter.
pub(crate) fn make_private(path: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make the folder {}", path.display()))
}

/// Writes a file that only we may read: whole or not at all.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let write = || fs::rename(draft(path, bytes)?, path);
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// The same for a file that is written once: says whether it was written, or there already.
pub(crate) fn write_secret_once(path: &Path, bytes: &[u8]) -> anyhow::Result<bool> {
    let write = || -> std::io::Result<bool> {
        let draft = draft(path, bytes)?;
        // Unlike a renaming, a link never replaces what somebody else put there in the meantime.
        let linked = fs::hard_link(&draft, path);
        fs::remove_file(&draft)?;
        match linked {
            Ok(()) => Ok(true),
            Err(err) if err.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
            Err(err) => Err(err),
        }
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Writes the bytes to a file beside the one that they are meant for.
fn draft(path: &Path, bytes: &[u8]) -> std::io::Result<PathBuf> {
    let draft = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(draft)
}

/// Bytes as lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
