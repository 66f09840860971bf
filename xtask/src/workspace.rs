//! Where the workspace is, what cargo says about it, and how its programs are built.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::shell;

/// The workspace that this xtask belongs to.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    pub(crate) fn here() -> Self {
        let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self { root: xtask.parent().expect("xtask is in the workspace").to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo, called in the root of the workspace.
    pub(crate) fn cargo(&self) -> std::process::Command {
        let mut cargo = shell::cargo();
        cargo.current_dir(&self.root);
        cargo
    }

    /// What `cargo metadata` says; `arguments` narrow it.
    ///
    /// # Errors
    /// If cargo fails, for instance because a manifest cannot be read.
    pub(crate) fn metadata(&self, arguments: &[&str]) -> Result<Value> {
        let mut cargo = self.cargo();
        cargo.args(["metadata", "--format-version", "1"]).args(arguments);
        let json = shell::stdout_of(&mut cargo, "cargo metadata")?;
        serde_json::from_slice(&json).context("reading the output of cargo metadata")
    }

    /// The folder that cargo builds into, also when the environment or a config file moves it.
    ///
    /// # Errors
    /// As [`Self::metadata`].
    pub(crate) fn target_dir(&self) -> Result<PathBuf> {
        let metadata = self.metadata(&["--no-deps"])?;
        let dir = metadata["target_directory"].as_str().context("cargo names no target folder")?;
        Ok(dir.into())
    }

    /// Builds with these arguments of `cargo build` and gives the path of every program that came of it, by name.
    ///
    /// # Errors
    /// If the build fails; cargo has said why.
    pub(crate) fn build(&self, arguments: &[&str]) -> Result<BTreeMap<String, PathBuf>> {
        let mut cargo = self.cargo();
        cargo.arg("build").args(arguments).arg("--message-format=json-render-diagnostics");
        let messages = shell::stdout_of(cargo.stderr(Stdio::inherit()), "the build")?;
        programs(&String::from_utf8_lossy(&messages))
    }

    /// Builds the product's binary.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub(crate) fn build_plinth(&self, release: bool) -> Result<PathBuf> {
        let mut arguments = vec!["--package", "plinth-server", "--bin", "plinth"];
        arguments.extend(release.then_some("--release"));
        take(&mut self.build(&arguments)?, "plinth")
    }
}

/// Takes one program out of what [`Workspace::build`] gave.
///
/// # Errors
/// If it is not there.
pub(crate) fn take(programs: &mut BTreeMap<String, PathBuf>, name: &str) -> Result<PathBuf> {
    programs.remove(name).with_context(|| format!("cargo built no program called {name}"))
}

/// Reads cargo's messages: the programs that it built or found up to date. Test binaries are not among them.
fn programs(messages: &str) -> Result<BTreeMap<String, PathBuf>> {
    let mut programs = BTreeMap::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Value = serde_json::from_str(line).context("reading cargo's messages")?;
        if message["reason"] != "compiler-artifact" || message["profile"]["test"] == true {
            continue;
        }
        let name = message["target"]["name"].as_str();
        if let (Some(name), Some(path)) = (name, message["executable"].as_str()) {
            if !Path::new(path).is_file() {
                bail!("cargo says that it built {path}, but it is not there");
            }
            programs.insert(name.to_owned(), path.into());
        }
    }
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_are_read_from_cargos_messages() {
        let here = std::env::current_exe().unwrap();
        let message = |reason: &str, test: bool| {
            serde_json::json!({
                "reason": reason, "target": { "name": "tool" }, "profile": { "test": test },
                "executable": here,
            })
            .to_string()
        };
        let built = message("compiler-artifact", false);
        let tested = message("compiler-artifact", true);
        let other = message("build-script-executed", false);
        assert_eq!(programs(&built).unwrap()["tool"], here);
        assert!(programs(&format!("noise\n{tested}\n{other}")).unwrap().is_empty());
    }
}
