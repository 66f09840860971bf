//! The Python environment that schemathesis lives in: made once, and again when what it must hold changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::shell;

/// What pip says when it reaches no package index, in its own words.
const UNREACHABLE: [&str; 6] = [
    "connection broken by",
    "Could not fetch URL",
    "Temporary failure in name resolution",
    "Network is unreachable",
    "(from versions: none)",
    "ProxyError",
];

/// An environment with everything in it.
pub(super) struct Environment {
    folder: PathBuf,
}

/// Why there is none: no package index can be reached.
#[derive(Debug)]
pub(super) struct Unavailable(pub(super) String);

impl Environment {
    /// The one in `folder`, made if it does not hold just what `requirements` says.
    ///
    /// # Errors
    /// If it cannot be made though a package index answers.
    pub(super) fn open(folder: &Path, requirements: &Path) -> Result<Result<Self, Unavailable>> {
        let environment = Self { folder: folder.join("venv") };
        let wanted = fs::read_to_string(requirements)
            .with_context(|| format!("reading {}", requirements.display()))?;
        // Written last: a half-made environment is made again.
        let stamp = environment.folder.join("requirements.txt");
        if fs::read_to_string(&stamp).is_ok_and(|held| held == wanted) {
            return Ok(Ok(environment));
        }
        println!("· installing schemathesis into {} …", environment.folder.display());
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "--clear"]).arg(&environment.folder);
        shell::run_ok(&mut venv, "making a Python environment")?;
        let mut pip = Command::new(environment.program("pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check", "--no-input"])
            .args(["--retries", "2", "--timeout", "20", "--requirement"])
            .arg(requirements);
        let (succeeded, text) = shell::quietly(&mut pip)?;
        if shell::interrupted() {
            bail!("interrupted");
        }
        if !succeeded {
            if UNREACHABLE.iter().any(|words| text.contains(words)) {
                let last = text.lines().rfind(|line| !line.is_empty()).unwrap_or_default();
                return Ok(Err(Unavailable(format!(
                    "schemathesis cannot be installed, no package index answers: {last}"
                ))));
            }
            bail!("installing schemathesis failed:\n{text}");
        }
        fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))?;
        Ok(Ok(environment))
    }

    /// A program in it.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }
}
