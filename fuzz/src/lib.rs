//! What the targets stand on: the clinic, a catalog with a bit of everything, and the list of what may be read of it.

#[path = "../../crates/sql-guard/tests/support/calls.rs"]
mod calls;
#[path = "../../crates/sql-guard/tests/support/mod.rs"]
mod support;

use plinth_connections::AllowedTables;
use plinth_schema_introspect::Catalog;

/// The function that the text calls though nothing that is approved may, as its tokens say.
pub fn forbidden_call(sql: &str) -> Option<String> {
    calls::forbidden_call(sql)
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
