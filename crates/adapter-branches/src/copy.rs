use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;

use plinth_control_plane::StorageMethod;
use plinth_local_postgres::RunUser;

/// What a copy came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copied {
    pub(crate) bytes: u64,
    pub(crate) method: StorageMethod,
}

/// Whether a server writes to the directory while it is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// No: everything in it is as it was when the server ended.
    AtRest,
    /// Yes: its log is taken from elsewhere, and what belongs to the running server is left out.
    InUse,
}

/// Copies a data directory into one that is there and empty: by sharing blocks where the file system can, else block by
/// block.
pub(crate) fn data_directory(
    from: &Path,
    to: &Path,
    source: Source,
    user: RunUser,
) -> io::Result<Copied> {
    let mut copier = Copier { bytes: 0, cloned: true, shares: true, source, user };
    copier.folder(from, to, 0)?;
    nix::unistd::syncfs(File::open(to)?).map_err(io::Error::from)?;
    let method = if copier.cloned { StorageMethod::Reflink } else { StorageMethod::Copy };
    Ok(Copied { bytes: copier.bytes, method })
}

struct Copier {
    bytes: u64,
    /// Every file so far shares its blocks.
    cloned: bool,
    /// The file system may share blocks: not asked again once it said no.
    shares: bool,
    source: Source,
    user: RunUser,
}

/// Left out at the top: of the process that ran there, or of another server's place in the world.
const NEVER: [&str; 8] = [
    "postmaster.pid",
    "postmaster.opts",
    "standby.signal",
    "recovery.signal",
    "backup_label.old",
    "tablespace_map.old",
    "postgresql.auto.conf.tmp",
    "current_logfiles",
];
/// Folders whose content is left out always: slots hold back a log that the copy has not got.
const EMPTY: [&str; 1] = ["pg_replslot"];
/// Folders whose content is left out of a copy of what is in use.
const EMPTY_IN_USE: [&str; 7] = [
    "pg_wal",
    "pg_dynshmem",
    "pg_notify",
    "pg_serial",
    "pg_snapshots",
    "pg_stat_tmp",
    "pg_subtrans",
];

impl Copier {
    fn folder(&mut self, from: &Path, to: &Path, depth: usize) -> io::Result<()> {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let name = entry.file_name();
            let text = name.to_string_lossy();
            if text.starts_with("pgsql_tmp") || text == "pg_internal.init" {
                continue;
            }
            if depth == 0 && NEVER.contains(&&*text) {
                continue;
            }
            // A label of a server that has begun to recover from it belongs to what is at rest.
            if depth == 0
                && self.source == Source::InUse
                && (text == "backup_label" || text == "tablespace_map")
            {
                continue;
            }
            let (path, target) = (entry.path(), to.join(&name));
            // A running server removes files while we look.
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            if meta.is_dir() {
                fs::create_dir(&target)?;
                self.own(&target, meta.mode())?;
                let is_empty = depth == 0
                    && (EMPTY.contains(&&*text)
                        || self.source == Source::InUse && EMPTY_IN_USE.contains(&&*text));
                if !is_empty {
                    self.folder(&path, &target, depth + 1)?;
                } else if text == "pg_wal" {
                    let status = target.join("archive_status");
                    fs::create_dir(&status)?;
                    self.own(&status, 0o700)?;
                }
                // What the parent has not archived yet goes to the parent's archive.
                if text == "pg_wal" && !is_empty {
                    let status = target.join("archive_status");
                    let _ = fs::remove_dir_all(&status);
                    fs::create_dir(&status)?;
                    self.own(&status, 0o700)?;
                }
            } else if meta.file_type().is_symlink() {
                symlink(fs::read_link(&path)?, &target)?;
            } else if meta.is_file() {
                match self.file(&path, &target) {
                    Err(err) if err.kind() == io::ErrorKind::NotFound => {
                        let _ = fs::remove_file(&target);
                    }
                    other => {
                        other?;
                        self.own(&target, meta.mode())?;
                        self.bytes += meta.len();
                    }
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if self.shares {
            let (source, target) = (File::open(from)?, File::create(to)?);
            match rustix::fs::ioctl_ficlone(&target, &source) {
                Ok(()) => return Ok(()),
                Err(_) => self.shares = false,
            }
        }
        self.cloned = false;
        fs::copy(from, to).map(|_| ())
    }

    fn own(&self, path: &Path, mode: u32) -> io::Result<()> {
        fs::set_permissions(path, Permissions::from_mode(mode & 0o777))?;
        own(path, self.user)
    }
}

/// Gives a path to the user that a server runs as.
pub(crate) fn own(path: &Path, user: RunUser) -> io::Result<()> {
    if nix::unistd::geteuid().is_root() {
        chown(path, Some(user.uid), Some(user.gid))?;
    }
    Ok(())
}

/// How many bytes the files in a folder have.
pub(crate) fn size_of(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size_of(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}
