//! `cargo xtask ci` does all of its checks, and ends with the tests' summary whatever failed before.

use crate::fake::FakeCargo;

const CHECKS: &str = r"-vV) echo 'host: somewhere' ;;
 fmt*) ;;
 doc*) ;;
 nextest*) exit 101 ;;
 'test --doc'*) ;;
 test*) echo 'test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out' ;;
";

/// A build that brings a `plinth`.
const BUILT: &str = r#"build*) echo '{"reason": "compiler-artifact", "target": {"name": "plinth"},
    "profile": {"test": false}, "executable": "'"$HERE"'/plinth"}' | tr -d '\n'; echo ;;
"#;

#[test]
fn a_failed_check_fails_the_run_though_every_test_passed() {
    let fake = FakeCargo::new(&format!("{CHECKS}{BUILT} clippy*) exit 101 ;;"));
    fake.script("plinth", "echo '{}'");
    let output = fake.xtask(&["ci"]).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(stdout.lines().last(), Some("5 passed, 0 failed, 0 skipped"));
    assert!(stdout.contains("✓ format"), "{stdout}");
    assert!(stdout.contains("✗ clippy"), "{stdout}");
    assert!(stdout.contains("✗ generated files"), "an empty document is not ours: {stdout}");
    let end: Vec<_> = stdout.lines().rev().take(4).collect();
    for check in ["clippy", "generated files"] {
        let said = format!("✗ before the tests failed {check}: ");
        assert!(
            end.iter().any(|line| line.starts_with(&said)),
            "the end of a log says why: {stdout}"
        );
    }
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn where_nothing_builds_no_summary_pretends_that_tests_ran() {
    let fake = FakeCargo::new(&format!("{CHECKS} build*) exit 101 ;;\n clippy*) ;;"));
    let output = fake.xtask(&["ci"]).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(!stdout.contains("passed"), "{stdout}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("failed: ") && stderr.contains("build"), "{stderr}");
    assert_eq!(output.status.code(), Some(1));
}
