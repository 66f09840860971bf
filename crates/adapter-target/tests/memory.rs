//! How much memory results take. In a process of its own, one test at a time: what others take would count too.

use plinth_queries::{RunError, RunLimits, StatementRunner as _};
use plinth_testdb::TestDatabase;

#[path = "it/support.rs"]
#[expect(dead_code, reason = "made for the other tests")]
mod support;

use support::{databases, limits, one, statement, target};

/// The most that this process has had so far, in kB.
fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|it| it.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

#[tokio::test]
async fn large_results_pass_through_and_too_large_rows_are_never_held() {
    let database = TestDatabase::create().await.expect("a database");
    let (databases, target) = (databases(), target(&database));
    assert_eq!(one(&databases, &target, "SELECT 1").await.expect("a result"), "1");
    let before = peak_kb();

    let limits = RunLimits { bytes: u64::MAX, rows: u64::MAX, ..limits() };
    let many = statement("SELECT repeat('x', 2000), generate_series(1, 100000)");
    let mut rows = databases.run(&target, &many, &limits).await.expect("a result");
    let mut bytes = 0;
    loop {
        let some = rows.next().await.expect("rows");
        if some.is_empty() {
            break;
        }
        bytes += some.iter().map(plinth_queries::RawRow::size_bytes).sum::<usize>();
    }
    assert!(bytes > 200_000_000, "{bytes}");
    let grown = peak_kb() - before;
    assert!(grown < 8 * 1024, "200 MB passed through, and {grown} kB were held");

    // A row below its limit is held once, while it is read; one above is not held at all.
    let error = one(&databases, &target, "SELECT repeat('x', 500000000)").await;
    assert!(matches!(error, Err(RunError::RowTooLarge { limit_bytes: 4_194_304 })), "{error:?}");
    let grown = peak_kb() - before;
    assert!(grown < 8 * 1024, "grew by {grown} kB");
    assert_eq!(one(&databases, &target, "SELECT 1").await.expect("another session"), "1");
}
