//! Runs tests with `cargo test` and reads what the standard test harness prints.

use std::process::Command;

use anyhow::{Context as _, Result};

use super::skips::{MARKERS_VARIABLE, Markers, Skip};
use super::{SILENCE, TestOptions, Totals};
use crate::shell;
use crate::workspace::Workspace;

/// Every test but those in the documentation.
///
/// # Errors
/// If cargo cannot be started, or had to be ended for its silence.
pub(super) fn run(
    workspace: &Workspace,
    options: &TestOptions,
    markers: &Markers,
) -> Result<Totals> {
    let mut cargo = workspace.cargo();
    cargo.arg("test").args(options.selection());
    // The same targets as the build before: documentation tests follow on their own.
    cargo.args(if options.packages.is_empty() {
        &["--lib", "--bins", "--tests"][..]
    } else {
        &["--bins", "--tests"]
    });
    read(&mut cargo, options, markers).context("cargo test")
}

/// The tests in the documentation.
///
/// # Errors
/// As [`run`].
pub(super) fn run_doc_tests(
    workspace: &Workspace,
    options: &TestOptions,
    markers: &Markers,
) -> Result<Totals> {
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--doc"]).args(options.selection());
    read(&mut cargo, options, markers).context("cargo test --doc")
}

fn read(cargo: &mut Command, options: &TestOptions, markers: &Markers) -> Result<Totals> {
    cargo.arg("--no-fail-fast").env(MARKERS_VARIABLE, markers.folder());
    if shell::colours() {
        cargo.args(["--color", "always"]);
    }
    cargo.arg("--").args(&options.filters);
    let mut totals = Totals::default();
    let status = shell::watched(cargo, SILENCE, |line| count(line, &mut totals))?;
    Ok(totals.with_success(status.success()))
}

/// Adds what one line of output says.
fn count(line: &str, totals: &mut Totals) {
    if let Some(counts) = line.strip_prefix("test result: ") {
        // `ok. 3 passed; 0 failed; 1 ignored; 0 measured; 5 filtered out; finished in 0.00s`
        let counts = counts.split_once(". ").map_or(counts, |(_, counts)| counts);
        for part in counts.split("; ") {
            match part.split_once(' ').map(|(number, what)| (number.parse::<u64>(), what)) {
                Some((Ok(number), "passed")) => totals.passed += number,
                Some((Ok(number), "failed")) => totals.failed += number,
                _ => {}
            }
        }
    } else if let Some(test) = line.strip_prefix("test ") {
        // `test name ... ignored` or `test name ... ignored, reason`
        let Some((name, outcome)) = test.rsplit_once(" ... ") else { return };
        if let Some(reason) = outcome.strip_prefix("ignored") {
            let reason = reason.trim_start_matches([',', ' ']);
            let reason = if reason.is_empty() { "ignored" } else { reason };
            totals.skipped.push(Skip { name: name.to_owned(), reason: reason.to_owned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_ignored_tests_are_read_from_the_harness() {
        let mut totals = Totals::default();
        for line in [
            "running 3 tests",
            "test rules::a_name_is_kept ... ok",
            "test rules::slow ... ignored, takes an hour",
            "test src/lib.rs - name (line 3) ... ignored",
            "test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.02s",
            "test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s",
        ] {
            count(line, &mut totals);
        }
        assert_eq!((totals.passed, totals.failed), (11, 2));
        let skipped: Vec<_> = totals.skipped.iter().map(ToString::to_string).collect();
        assert_eq!(
            skipped,
            ["rules::slow (takes an hour)", "src/lib.rs - name (line 3) (ignored)"]
        );
    }

    #[test]
    fn what_tests_print_is_not_counted() {
        let mut totals = Totals::default();
        for line in ["tests passed: 3", "a test result: ok. 1 passed", "test of strength"] {
            count(line, &mut totals);
        }
        assert_eq!(totals, Totals::default());
    }
}
