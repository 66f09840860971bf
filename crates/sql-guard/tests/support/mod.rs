//! Catalogs for the tests. They were printed by `catalogs/catalog.sql` from real databases.

use plinth_connections::{AllowedTables, TableName};
use plinth_schema_introspect::Catalog;

/// Reads a catalog that was printed.
pub(crate) fn catalog(json: &str) -> Catalog {
    let mut catalog: Catalog = serde_json::from_str(json).expect("a catalog");
    // The printing database sorts by its own rules.
    catalog.relations.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    catalog
}

/// Every relation of which `keep` says so.
pub(crate) fn listed(catalog: &Catalog, keep: impl Fn(&str, &str) -> bool) -> AllowedTables {
    let names = catalog.relations.iter().filter(|it| keep(&it.schema, &it.name));
    AllowedTables::Listed(
        names.map(|it| TableName { schema: it.schema.clone(), name: it.name.clone() }).collect(),
    )
}
