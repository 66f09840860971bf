//! Tests that did not run, and those of them that may be missing.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// The variable that tells a test where to say that it was skipped (see `xtask/README.md`).
pub(super) const MARKERS_VARIABLE: &str = "XTASK_SKIPPED_DIR";

/// A test that did not run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Skip {
    pub(crate) name: String,
    pub(crate) reason: String,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.reason)
    }
}

/// The folder in which a test that cannot do its work leaves a file: its name is the test's, its text the reason.
///
/// A runner takes such a test for passed, and nextest hides what it prints.
pub(super) struct Markers {
    folder: PathBuf,
}

impl Markers {
    /// An empty folder in cargo's target folder.
    ///
    /// # Errors
    /// If the files of an earlier run cannot be removed.
    pub(super) fn fresh(target: &Path) -> Result<Self> {
        let folder = target.join("skipped");
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("emptying {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(Self { folder })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the tests of this run have left, in the order of their names.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(super) fn read(&self) -> Result<Vec<Skip>> {
        let mut skips = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text =
                fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let reason = text.lines().next().unwrap_or("no reason given").trim().to_owned();
            skips.push(Skip { name, reason });
        }
        skips.sort();
        Ok(skips)
    }
}

/// The tests that may be skipped in continuous integration, each with its reason.
#[derive(Debug, Default)]
pub(super) struct Listed(BTreeMap<String, String>);

impl Listed {
    /// Reads the checked-in list.
    ///
    /// # Errors
    /// If the file is missing, or a line has no reason.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("reading {}", path.display()))
    }

    /// One test on a line, `name: reason`; `#` begins a comment. Names hold colons only in pairs.
    ///
    /// # Errors
    /// If a line has no reason.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut listed = BTreeMap::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line.split_once(": ") {
                Some((name, reason)) if !reason.trim().is_empty() => {
                    listed.insert(name.trim().to_owned(), reason.trim().to_owned());
                }
                _ => bail!("`{line}` has no reason: write `name: reason`"),
            }
        }
        Ok(Self(listed))
    }

    pub(super) fn allows(&self, skip: &Skip) -> bool {
        self.0.contains_key(&skip.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_test_needs_a_reason() {
        let listed = Listed::parse("# none\n\nit::attacks::all: beside the repository\n").unwrap();
        let skip = |name: &str| Skip { name: name.to_owned(), reason: String::new() };
        assert!(listed.allows(&skip("it::attacks::all")));
        assert!(!listed.allows(&skip("it::attacks")));
        assert!(Listed::parse("it::attacks::all").is_err());
        assert!(Listed::parse("it::attacks::all: ").is_err());
    }

    #[test]
    fn the_checked_in_list_can_be_read() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("skipped-tests.txt");
        Listed::read(&path).unwrap();
    }

    #[test]
    fn marks_of_an_earlier_run_do_not_count() {
        let target = std::env::temp_dir().join(format!("xtask-markers-{}", std::process::id()));
        let markers = Markers::fresh(&target).unwrap();
        fs::write(markers.folder().join("attacks::all"), "no corpus here\nmore\n").unwrap();
        let expected = Skip { name: "attacks::all".into(), reason: "no corpus here".into() };
        assert_eq!(markers.read().unwrap(), [expected]);
        assert_eq!(Markers::fresh(&target).unwrap().read().unwrap(), []);
        fs::remove_dir_all(target).unwrap();
    }
}
