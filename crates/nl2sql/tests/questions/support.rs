//! Small schemas to ask about, and ways to ask.

use plinth_connections::AllowedTables;
use plinth_nl2sql::{AskContext, Engine, Outcome, Reading, SchemaIndex};
use plinth_schema_introspect::{Catalog, Relation, Schema};

use crate::schema::relation;

/// A schema without tables.
pub(crate) fn empty() -> Catalog {
    Catalog {
        server_version_num: 150_000,
        search_path: vec!["public".to_owned()],
        schemas: vec![Schema { name: "public".to_owned(), comment: None, usable: true }],
        ..Catalog::default()
    }
}

/// A schema of those tables, each with columns as [`relation`] reads them, sorted by name as a reader of catalogs leaves them.
pub(crate) fn catalog(tables: &[&str], columns: &[&[&str]]) -> Catalog {
    changed(tables, columns, |_| {})
}

/// The same, with descriptions of tables and of columns (`table.column`).
pub(crate) fn described(
    tables: &[&str],
    columns: &[&[&str]],
    comments: &[(&str, &str)],
) -> Catalog {
    changed(tables, columns, |relation| describe(relation, comments))
}

/// The same, each table changed by `change`.
pub(crate) fn changed(
    tables: &[&str],
    columns: &[&[&str]],
    change: impl Fn(&mut Relation),
) -> Catalog {
    let mut catalog = empty();
    for (oid, (name, columns)) in (1..).zip(tables.iter().zip(columns)) {
        let mut it = relation(oid, name, columns, tables);
        change(&mut it);
        catalog.relations.push(it.into());
    }
    catalog.relations.sort_by(|a, b| a.name.cmp(&b.name));
    catalog
}

/// Describes what of that table is described.
pub(crate) fn describe(relation: &mut Relation, comments: &[(&str, &str)]) {
    for (place, text) in comments {
        match place.split_once('.') {
            None if *place == relation.name => relation.comment = Some((*text).to_owned()),
            Some((table, column)) if table == relation.name => {
                for it in relation.columns.iter_mut().filter(|it| it.name == column) {
                    it.comment = Some((*text).to_owned());
                }
            }
            _ => {}
        }
    }
}

/// What is known of all of that schema.
pub(crate) fn index(catalog: &Catalog) -> SchemaIndex {
    SchemaIndex::build(catalog, &AllowedTables::All)
}

/// On a Monday in March 2025, in UTC.
pub(crate) fn context() -> AskContext {
    at("2025-03-03T09:00:00[UTC]")
}

/// At that moment.
pub(crate) fn at(moment: &str) -> AskContext {
    AskContext { now: moment.parse().expect("a moment") }
}

/// What comes of a question at [`context`].
pub(crate) fn ask(index: &SchemaIndex, question: &str) -> Outcome {
    Engine::new().ask(question, index, &context())
}

/// The answer to a question that must have one.
pub(crate) fn answered(question: &str, outcome: Outcome) -> Reading {
    match outcome {
        Outcome::Answered(it) => it,
        other => panic!("{question}: {other:?}"),
    }
}

/// The likeliest reading of a question, sure or not.
pub(crate) fn best(index: &SchemaIndex, question: &str) -> Reading {
    let read = Engine::new().best_reading(question, index, &context());
    read.unwrap_or_else(|| panic!("{question}: nothing"))
}

/// That a statement has all of those parts.
pub(crate) fn says(question: &str, sql: &str, parts: &[&str]) {
    assert!(parts.iter().all(|it| sql.contains(it)), "{question}: {sql}");
}
