use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, User, getegid, geteuid};

use crate::error::ClusterError;

/// The user that a server runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunUser {
    /// User id; never 0, because PostgreSQL refuses that.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// Users to lend from when we are root, best first.
const CANDIDATES: [&str; 4] = ["postgres", "_postgres", "nobody", "daemon"];

impl RunUser {
    /// Ourselves, or, when we are root, the system's `postgres` user or else one without rights of
    /// its own.
    ///
    /// # Errors
    ///
    /// [`ClusterError::RunAs`] if we are root and the system has none of them.
    pub fn choose() -> Result<Self, ClusterError> {
        if !geteuid().is_root() {
            return Ok(Self { uid: geteuid().as_raw(), gid: getegid().as_raw() });
        }
        CANDIDATES
            .iter()
            .filter_map(|name| User::from_name(name).ok().flatten())
            .find(|user| !user.uid.is_root())
            .map(|user| Self { uid: user.uid.as_raw(), gid: user.gid.as_raw() })
            .ok_or_else(|| {
                let text = "it refuses to run as root, and the system has no user `postgres` or `nobody` to run it as: \
                            create one with `useradd --system postgres`, or start as another user";
                ClusterError::RunAs(text.to_owned())
            })
    }

    /// Whether a process of ours must change its user to run as this one.
    pub(crate) fn is_other(self) -> bool {
        self.uid != geteuid().as_raw()
    }

    /// Prepares a program to run as this user. The standard library also drops our supplementary
    /// groups then.
    pub(crate) fn apply(self, command: &mut tokio::process::Command) {
        if self.is_other() {
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// How to call the user in a message.
    pub(crate) fn name(self) -> String {
        match User::from_uid(Uid::from_raw(self.uid)) {
            Ok(Some(user)) => format!("the user `{}`", user.name),
            _ => format!("the user with id {}", self.uid),
        }
    }

    /// The outermost of `folder` and its parents that this user cannot enter.
    pub(crate) fn barred_from(self, folder: &Path) -> Option<PathBuf> {
        let mut outermost_first: Vec<_> = folder.ancestors().collect();
        outermost_first.reverse();
        outermost_first
            .into_iter()
            .find(|part| part.metadata().is_ok_and(|meta| !self.may_enter(&meta)))
            .map(Path::to_owned)
    }

    fn may_enter(self, folder: &Metadata) -> bool {
        let execute = if folder.uid() == self.uid {
            0o100
        } else if Gid::from_raw(folder.gid()) == Gid::from_raw(self.gid) {
            0o010
        } else {
            0o001
        };
        folder.mode() & execute != 0
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_outermost_closed_folder_is_named() {
        let root = std::env::temp_dir().join(format!("plinth-run-user-{}", std::process::id()));
        let inner = root.join("closed/inner");
        fs::create_dir_all(&inner).unwrap();
        fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
        let stranger = RunUser { uid: 65_000, gid: 65_000 };
        let barred = stranger.barred_from(&inner);
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(barred, Some(root.join("closed")));
    }

    #[test]
    fn nobody_is_chosen_to_be_root() {
        assert_ne!(RunUser::choose().unwrap().uid, 0);
    }
}
