//! `cargo xtask test` counts what the runners say, and its last line is the sum.

use std::process::Output;

use crate::fake::FakeCargo;

const NO_NEXTEST: &str = "build*) ;;\n nextest*) exit 101 ;;\n";
const NEXTEST: &str = "build*) ;;\n 'nextest --version') ;;\n";

fn last_line(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() != Some(99), "{stdout}");
    stdout.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn the_last_line_sums_up_tests_and_documentation_tests() {
    let fake = FakeCargo::new(&format!(
        "{NO_NEXTEST}
         'test --doc'*) echo 'test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out' ;;
         test*) echo 'test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out' ;;"
    ));
    let output = fake.xtask(&["test"]).env("CI", "true").output().unwrap();
    assert_eq!(last_line(&output), "7 passed, 0 failed, 0 skipped");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_failed_test_fails_the_run_with_either_runner() {
    let plain = FakeCargo::new(&format!(
        "{NO_NEXTEST}
         'test --doc'*) ;;
         test*) echo 'test result: FAILED. 5 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out'; exit 101 ;;"
    ));
    let nextest = FakeCargo::new(&format!(
        "{NEXTEST}
         'nextest list'*) echo '{{\"rust-suites\": {{}}}}' ;;
         'nextest run'*) echo '  Summary [ 1.0s] 6 tests run: 5 passed, 1 failed, 0 skipped' >&2; exit 100 ;;
         'test --doc'*) ;;"
    ));
    for fake in [plain, nextest] {
        let output = fake.xtask(&["test"]).output().unwrap();
        assert_eq!(last_line(&output), "5 passed, 1 failed, 0 skipped");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn a_test_that_says_it_was_skipped_is_no_passed_one_and_fails_continuous_integration() {
    let fake = FakeCargo::new(&format!(
        "{NO_NEXTEST}
         'test --doc'*) ;;
         test*) echo 'no corpus here' > \"$XTASK_SKIPPED_DIR/attacks::all\"
             echo 'test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out' ;;"
    ));
    let here = fake.xtask(&["test"]).output().unwrap();
    assert_eq!(last_line(&here), "4 passed, 0 failed, 1 skipped");
    assert_eq!(here.status.code(), Some(0));
    let stdout = String::from_utf8(here.stdout).unwrap();
    assert!(stdout.contains("skipped: attacks::all (no corpus here)"), "{stdout}");

    let in_ci = fake.xtask(&["test"]).env("CI", "true").output().unwrap();
    assert_eq!(last_line(&in_ci), "4 passed, 0 failed, 1 skipped");
    assert_eq!(in_ci.status.code(), Some(1));
}

#[test]
fn a_test_binary_that_dies_without_a_count_is_a_failure() {
    let fake = FakeCargo::new(&format!(
        "{NO_NEXTEST}
         'test --doc'*) ;;
         test*) echo 'error: test failed, (signal: 11, SIGSEGV)' >&2; exit 101 ;;"
    ));
    let output = fake.xtask(&["test"]).output().unwrap();
    assert_eq!(last_line(&output), "0 passed, 1 failed, 0 skipped");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_run_without_tests_fails() {
    let fake = FakeCargo::new(&format!("{NO_NEXTEST} test*) ;;"));
    let output = fake.xtask(&["test", "no_such_name"]).output().unwrap();
    assert_eq!(last_line(&output), "0 passed, 0 failed, 0 skipped");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_shared_postgres_is_stopped_also_after_a_failure() {
    let fake = FakeCargo::new(&format!("{NO_NEXTEST} 'test --doc'*) ;;\n test*) exit 101 ;;"));
    std::fs::create_dir(fake.folder().join("debug")).unwrap();
    fake.script("debug/plinth-testdb", "touch \"$HERE/$1ped\"");
    fake.xtask(&["test"]).output().unwrap();
    assert!(fake.folder().join("stopped").exists());
}
