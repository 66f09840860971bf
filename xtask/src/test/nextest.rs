//! Runs tests with cargo-nextest and reads its summary.

use std::process::Stdio;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::skips::{MARKERS_VARIABLE, Markers, Skip};
use super::{SILENCE, TestOptions, Totals};
use crate::shell;
use crate::workspace::Workspace;

pub(super) fn is_installed(workspace: &Workspace) -> bool {
    workspace
        .cargo()
        .args(["nextest", "--version"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Every test but those in the documentation, which nextest cannot run.
///
/// # Errors
/// If nextest cannot be started, or had to be ended for its silence.
pub(super) fn run(
    workspace: &Workspace,
    options: &TestOptions,
    markers: &Markers,
) -> Result<Totals> {
    let mut list = workspace.cargo();
    list.args(["nextest", "list", "--message-format", "json"])
        .args(options.selection())
        .args(&options.filters);
    let list = shell::stdout_of(&mut list, "listing the tests")?;
    let list = serde_json::from_slice(&list).context("reading the list of tests")?;
    let skipped = ignored(&list)?;

    let mut run = workspace.cargo();
    run.args(["nextest", "run", "--no-fail-fast", "--no-tests", "pass", "--no-input-handler"])
        .args(options.selection())
        .args(&options.filters)
        .env(MARKERS_VARIABLE, markers.folder());
    if shell::colours() {
        run.args(["--color", "always"]);
    }
    let mut counts = None;
    let status = shell::watched(&mut run, SILENCE, |line| {
        // Tests may print anything: the runner's own summary is the last one.
        counts = summary(line).or(counts);
    })
    .context("cargo nextest run")?;
    let (passed, failed) = counts.unwrap_or_default();
    Ok(Totals { passed, failed, skipped }.with_success(status.success()))
}

/// The tests that are marked `#[ignore]`. nextest's own count of skipped tests has those in it that a filter left out.
fn ignored(list: &Value) -> Result<Vec<Skip>> {
    let suites = list["rust-suites"].as_object().context("nextest lists no suites")?;
    let mut skips = Vec::new();
    for suite in suites.values() {
        for (name, test) in suite["testcases"].as_object().into_iter().flatten() {
            let filter = &test["filter-match"];
            if filter["status"] == "mismatch" && filter["reason"] == "ignored" {
                skips.push(Skip { name: name.clone(), reason: "ignored".into() });
            }
        }
    }
    Ok(skips)
}

/// Passed and failed of `Summary [ 1.5s] 12 tests run: 11 passed (1 slow), 1 timed out, 2 skipped`.
fn summary(line: &str) -> Option<(u64, u64)> {
    let rest = line.trim_start().strip_prefix("Summary [")?;
    let (_, counts) = rest.split_once("] ")?;
    let (_, counts) = counts.split_once(" run: ")?;
    let (mut passed, mut failed) = (0, 0);
    for part in outside_brackets(counts).split(", ") {
        let (number, what) = part.trim().split_once(' ')?;
        let number: u64 = number.parse().ok()?;
        match what.trim() {
            "passed" => passed += number,
            "skipped" => {}
            // Failed, timed out, could not be started: whatever else nextest tells apart is no success.
            _ => failed += number,
        }
    }
    Some((passed, failed))
}

/// The text without what stands in brackets: `(1 slow, 2 flaky)` says more of tests that are counted already.
fn outside_brackets(text: &str) -> String {
    let mut depth = 0_u32;
    text.chars()
        .filter(|char| match char {
            '(' => {
                depth += 1;
                false
            }
            ')' => {
                depth = depth.saturating_sub(1);
                false
            }
            _ => depth == 0,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_summary_is_read_with_everything_that_may_stand_in_it() {
        for (line, expected) in [
            ("     Summary [   0.022s] 5 tests run: 5 passed, 0 skipped", Some((5, 0))),
            ("Summary [ 1.2s] 1 test run: 1 passed, 3 skipped", Some((1, 0))),
            (
                "Summary [ 9s] 12 tests run: 9 passed (1 slow, 1 flaky), 2 failed, 1 timed out, 0 skipped",
                Some((9, 3)),
            ),
            ("Summary [ 9s] 3/12 tests run: 2 passed, 1 exec failed, 0 skipped", Some((2, 1))),
            ("Summary [ 0s] 0 tests run: 0 passed, 40 skipped", Some((0, 0))),
            ("    PASS [   0.005s] xtask test::tests::summary", None),
            ("Summary of the year", None),
        ] {
            assert_eq!(summary(line), expected, "{line}");
        }
    }

    #[test]
    fn what_a_filter_left_out_is_not_skipped() {
        let test =
            |reason: &str| json!({ "filter-match": { "status": "mismatch", "reason": reason } });
        let list = json!({ "rust-suites": { "plinth-core": { "testcases": {
            "a": { "filter-match": { "status": "matches" } }, "b": test("string"), "c": test("ignored"),
        } } } });
        let skips = ignored(&list).unwrap();
        assert_eq!(skips, [Skip { name: "c".into(), reason: "ignored".into() }]);
        assert!(ignored(&json!({})).is_err());
    }
}
