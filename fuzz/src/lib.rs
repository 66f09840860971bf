//! What the targets stand on: the clinic, a catalog with a bit of everything, and the list of what may be read of it.

#[path = "../../crates/sql-guard/tests/support/calls.rs"]
mod calls;
#[path = "../../crates/sql-guard/tests/support/compare.rs"]
mod compare;
#[path = "../../crates/sql-guard/tests/support/mod.rs"]
mod support;

use std::time::Duration;

use cpu_time::ProcessTime;
use plinth_connections::AllowedTables;
use plinth_schema_introspect::Catalog;

/// The function that the text calls though nothing that is approved may, as its tokens say.
pub fn forbidden_call(sql: &str) -> Option<String> {
    calls::forbidden_call(sql)
}

/// Holds the tree that is read from the parser's memory against the one that `pg_query` decodes.
///
/// # Panics
///
/// If they are not the same.
pub fn same_tree(sql: &str) {
    compare::compare(sql);
}

/// The clinic and what may be read of it.
pub fn clinic() -> (Catalog, AllowedTables) {
    let catalog =
        support::catalog(include_str!("../../crates/sql-guard/tests/catalogs/clinic.json"));
    let allowed = support::listed(&catalog, |schema, name| {
        schema == "billing" || (schema == "public" && name != "secrets")
    });
    (catalog, allowed)
}

/// How much of a processor one input may take in a fuzzer's build, which counts every branch and checks every sum: several times
/// what it takes in a release. No wall's clock: what else the machine does is none of ours.
const MOST: Duration = Duration::from_millis(300);

/// Does the work, and fails if it takes too long three times.
///
/// # Panics
///
/// If it does.
pub fn quickly<T>(work: impl Fn() -> T) -> T {
    let mut least = Duration::MAX;
    for _ in 0..3 {
        let started = ProcessTime::now();
        let done = work();
        least = least.min(started.elapsed());
        if least <= MOST {
            return done;
        }
    }
    panic!("it takes {least:?} of a processor");
}
