//! Runs every test of the workspace and counts them truly.
//!
//! cargo-nextest is used where it is installed, else `cargo test`; documentation tests are always cargo's. A test that
//! was skipped is named with its reason, and in continuous integration (`CI=true`) fails the run unless
//! `xtask/skipped-tests.txt` lists it.

mod libtest;
mod nextest;
mod skips;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result};

use self::skips::Listed;
pub(crate) use self::skips::Skip;
use crate::setup;
use crate::setup::room::{self, Build};
use crate::shell::{self, Signalled};
use crate::workspace::Workspace;

/// A runner that prints nothing for so long has a test that hangs.
const SILENCE: Duration = Duration::from_mins(10);

/// Which tests to run.
#[derive(Default)]
pub(crate) struct TestOptions {
    /// Parts of names; none means every test.
    pub(crate) filters: Vec<String>,
    /// None means the whole workspace.
    pub(crate) packages: Vec<String>,
}

impl TestOptions {
    /// Which packages, as cargo and nextest both take it.
    fn selection(&self) -> Vec<&str> {
        if self.packages.is_empty() {
            return vec!["--workspace"];
        }
        self.packages.iter().flat_map(|package| ["--package", package]).collect()
    }
}

/// How many tests ended how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: u64,
    failed: u64,
    skipped: Vec<Skip>,
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
    }

    /// The last line of a run.
    fn summary(&self) -> String {
        let skipped = self.skipped.len();
        format!("{} passed, {} failed, {skipped} skipped", self.passed, self.failed)
    }

    /// A runner that failed without naming a failed test has one all the same: a test binary that died, for instance.
    fn with_success(mut self, success: bool) -> Self {
        if !success && self.failed == 0 {
            self.failed = 1;
        }
        self
    }
}

/// Runs the tests; the counts are the last line of output.
///
/// # Errors
/// If something is missing on the machine or the tests cannot be built. Failed tests are no error but a failing code.
pub(crate) fn run(workspace: &Workspace, options: &TestOptions) -> Result<ExitCode> {
    setup::ensure_these(&setup::Need::TO_TEST)?;
    // The tests of some packages take as much as they take; those of all are known.
    if options.packages.is_empty() {
        room::ensure(workspace, Build::Tests)?;
    }
    build(workspace, options)?;
    run_built(workspace, options, Beside::default())
}

/// Builds the tests, and with them every program of the workspace, with the same features: so nothing is built twice.
///
/// # Errors
/// If the build fails; cargo has said why.
pub(crate) fn build(
    workspace: &Workspace,
    options: &TestOptions,
) -> Result<BTreeMap<String, PathBuf>> {
    let mut arguments = options.selection();
    arguments.extend(["--lib", "--bins", "--tests"]);
    if !options.packages.is_empty() {
        // Cargo refuses `--lib` where the chosen packages have no library.
        arguments.retain(|&argument| argument != "--lib");
    }
    workspace.build(&arguments)
}

/// Checks beside the tests, of which the end of the run has to tell.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// What failed, with the reason. A long log is often kept from its end only, so it is said there again.
    pub(crate) failed: Vec<String>,
    /// What could not do its work here.
    pub(crate) skipped: Vec<Skip>,
}

/// Runs the tests that [`build`] has built; what happened `beside` them counts as if it were of them.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_built(
    workspace: &Workspace,
    options: &TestOptions,
    beside: Beside,
) -> Result<ExitCode> {
    let listed = Listed::read(&workspace.root().join("xtask/skipped-tests.txt"))?;
    let markers = skips::Markers::fresh(&workspace.target_dir()?)?;
    let outcome = run_all(workspace, options, &markers);
    // Also when a runner could not be started or somebody pressed Ctrl-C: no server stays behind.
    let stopped = stop_databases(workspace);
    let mut totals = outcome?;
    stopped?;
    if shell::interrupted() {
        return Ok(ExitCode::from(shell::INTERRUPTED_CODE));
    }

    // The runners know nothing of these: for them the test came to its end.
    let marked = markers.read()?;
    totals.passed = totals.passed.saturating_sub(marked.len() as u64);
    totals.skipped.extend(marked);
    totals.skipped.extend(beside.skipped);
    let mut complaints = judge(&totals, &listed, is_ci());
    complaints
        .extend(beside.failed.into_iter().map(|check| format!("before the tests failed {check}")));
    println!();
    for skip in &totals.skipped {
        println!("skipped: {skip}");
    }
    for complaint in &complaints {
        println!("✗ {complaint}");
    }
    println!("{}", totals.summary());
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_all(
    workspace: &Workspace,
    options: &TestOptions,
    markers: &skips::Markers,
) -> Result<Totals> {
    let mut totals = if nextest::is_installed(workspace) {
        nextest::run(workspace, options, markers)?
    } else {
        libtest::run(workspace, options, markers)?
    };
    if !shell::interrupted() && has_doc_tests(workspace, options)? {
        totals.add(libtest::run_doc_tests(workspace, options, markers)?);
    }
    Ok(totals)
}

/// Why the run fails, if it does.
fn judge(totals: &Totals, listed: &Listed, ci: bool) -> Vec<String> {
    let mut complaints = Vec::new();
    if totals.failed > 0 {
        complaints.push(format!("{} failed", totals.failed));
    }
    if totals.passed + totals.failed == 0 {
        complaints.push("no test ran".to_owned());
    }
    if ci {
        for skip in totals.skipped.iter().filter(|skip| !listed.allows(skip)) {
            complaints.push(format!(
                "{} was skipped and is not listed in xtask/skipped-tests.txt",
                skip.name
            ));
        }
    }
    complaints
}

fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true" || value == "1")
}

/// Cargo refuses to look for documentation tests where no package has a library.
fn has_doc_tests(workspace: &Workspace, options: &TestOptions) -> Result<bool> {
    let metadata = workspace.metadata(&["--no-deps"])?;
    let packages = metadata["packages"].as_array().context("cargo names no packages")?;
    Ok(packages
        .iter()
        .filter(|package| {
            let name = package["name"].as_str().unwrap_or_default();
            options.packages.is_empty() || options.packages.iter().any(|chosen| chosen == name)
        })
        .flat_map(|package| package["targets"].as_array().into_iter().flatten())
        .any(|target| target["doctest"] == true))
}

/// Stops the Postgres that the tests share; without tests that used it, nothing.
fn stop_databases(workspace: &Workspace) -> Result<()> {
    let program = workspace.target_dir()?.join("debug/plinth-testdb");
    if !program.is_file() {
        return Ok(());
    }
    let status = shell::run(Command::new(program).arg("stop"), Signalled::Leader)?;
    anyhow::ensure!(status.success(), "stopping the tests' Postgres failed ({status})");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(passed: u64, failed: u64, skipped: &[&str]) -> Totals {
        let skipped = skipped
            .iter()
            .map(|name| Skip { name: (*name).to_owned(), reason: "because".into() })
            .collect();
        Totals { passed, failed, skipped }
    }

    #[test]
    fn the_last_line_counts_all_runners_together() {
        let mut sum = totals(3, 0, &["a"]);
        sum.add(totals(2, 1, &[]));
        assert_eq!(sum.summary(), "5 passed, 1 failed, 1 skipped");
    }

    #[test]
    fn a_run_fails_for_a_failure_and_for_emptiness() {
        let listed = Listed::default();
        assert!(judge(&totals(1, 0, &[]), &listed, true).is_empty());
        assert_eq!(judge(&totals(1, 2, &[]), &listed, false), ["2 failed"]);
        assert_eq!(judge(&totals(0, 0, &["a"]), &listed, false), ["no test ran"]);
    }

    #[test]
    fn a_skipped_test_fails_continuous_integration_unless_it_is_listed() {
        let listed = Listed::parse("attacks: the corpus lies beside the repository").unwrap();
        let skipped = totals(1, 0, &["attacks", "other"]);
        assert!(judge(&skipped, &listed, false).is_empty());
        let complaints = judge(&skipped, &listed, true);
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].starts_with("other was skipped"), "{complaints:?}");
    }

    #[test]
    fn a_runner_that_failed_without_a_word_is_a_failure() {
        assert_eq!(totals(4, 0, &[]).with_success(false).failed, 1);
        assert_eq!(totals(4, 2, &[]).with_success(false).failed, 2);
        assert_eq!(totals(4, 0, &[]).with_success(true).failed, 0);
    }
}
