//! Whether a build finds room on the disk. A compiler that runs out of it fails after ten minutes, in the middle of a
//! thousand lines, and in words of its own.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

const GIB: u64 = 1 << 30;

/// What is built anew even where all has been built before.
const ALWAYS: u64 = GIB;

/// What is to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Build {
    /// Every test and program of the workspace.
    Tests,
    /// Plinth alone, as it is worked on.
    Plinth,
    /// Plinth and what measures it, optimized.
    Optimized,
}

impl Build {
    /// What a first build takes in bytes. Measured on Debian 12 after `cargo xtask ci`, which builds all of the tests and
    /// nothing for a second build: 4.8 GiB, and builds that go on take more. The others are a guess: they build a part of it.
    const fn takes(self) -> u64 {
        match self {
            Self::Tests => 7 * GIB,
            Self::Plinth | Self::Optimized => 3 * GIB,
        }
    }

    /// Cargo's folder for it.
    const fn folder(self) -> &'static str {
        match self {
            Self::Tests | Self::Plinth => "debug/deps",
            Self::Optimized => "release/deps",
        }
    }
}

/// Checks that it can be built, before anything is.
///
/// # Errors
/// If there is not room enough: how much is missing, where, and what to do.
pub(crate) fn ensure(workspace: &Workspace, build: Build) -> Result<()> {
    let target = workspace.target_dir()?;
    let Some(free) = free(&target) else {
        // A system that does not tell may well have room.
        return Ok(());
    };
    let there = size(&target.join(build.folder()));
    let Some(takes) = missing(build.takes(), there, free) else {
        return Ok(());
    };
    bail!(
        "building takes some {} GiB more in {}, and {:.1} are free there: make room (`cargo clean` here or in another \
         clone), or build on another disk with CARGO_TARGET_DIR=…",
        takes.div_ceil(GIB),
        target.display(),
        gibibytes(free),
    )
}

/// What the build needs if there is not so much: of what it takes, what is there already need not be written again.
fn missing(takes: u64, there: u64, free: u64) -> Option<u64> {
    let needed = takes.saturating_sub(there).max(ALWAYS);
    (free < needed).then_some(needed)
}

/// Bytes that may still be written to where the folder is or will be made.
fn free(folder: &Path) -> Option<u64> {
    let there = folder.ancestors().find(|folder| folder.exists())?;
    let system = nix::sys::statvfs::statvfs(there).ok()?;
    Some(system.blocks_available() * system.fragment_size())
}

/// Bytes of the files in this folder; what cannot be read counts as nothing.
fn size(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|it| it.len()).sum()
}

/// That many bytes in gibibytes, to be shown with one decimal.
#[expect(clippy::cast_precision_loss, reason = "a tenth of a gibibyte is shown")]
fn gibibytes(bytes: u64) -> f64 {
    bytes as f64 / GIB as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_already_needs_no_room() {
        assert_eq!(missing(20 * GIB, 0, 2 * GIB), Some(20 * GIB));
        assert_eq!(missing(20 * GIB, 0, 20 * GIB), None);
        assert_eq!(missing(20 * GIB, 18 * GIB, 2 * GIB), None);
        assert_eq!(missing(20 * GIB, 17 * GIB, 2 * GIB), Some(3 * GIB));
    }

    #[test]
    fn a_full_disk_is_said_even_where_all_is_built() {
        assert_eq!(missing(20 * GIB, 60 * GIB, GIB / 2), Some(GIB));
        assert_eq!(missing(20 * GIB, 60 * GIB, GIB), None);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_on_the_disk_of_the_one_above() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(free(&here.join("not/there/yet")).is_some());
        assert_eq!(size(&here.join("not/there/yet")), 0);
        assert!(size(&here.join("src")) > 0);
    }
}
