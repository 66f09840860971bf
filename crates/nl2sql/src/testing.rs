//! Small schemas for tests.

use plinth_connections::AllowedTables;
use plinth_schema_introspect::{Catalog, Column, ForeignKey, Key, Relation, Schema, TypeClass};

use crate::{
    engine::{AskContext, Engine, Reading},
    index::SchemaIndex,
};

/// A table without a key, of columns that may not be empty.
pub(crate) fn table(oid: u32, name: &str, columns: &[(&str, TypeClass)]) -> Relation {
    let column = |(name, class): &(&str, TypeClass)| Column {
        name: (*name).to_owned(),
        class: *class,
        readable: true,
        ..Column::default()
    };
    Relation {
        oid,
        schema: "public".to_owned(),
        name: name.to_owned(),
        readable: true,
        columns: columns.iter().map(column).collect(),
        ..Relation::default()
    }
}

/// A table whose first column is its key.
pub(crate) fn keyed(oid: u32, name: &str, columns: &[(&str, TypeClass)]) -> Relation {
    let key = Key { name: "key".to_owned(), columns: vec![0], primary: true, ..Key::default() };
    Relation { keys: vec![key], ..table(oid, name, columns) }
}

/// That a column refers to the first one of the table with that number.
pub(crate) fn reference(column: usize, target: u32) -> ForeignKey {
    ForeignKey {
        name: "reference".to_owned(),
        columns: vec![column],
        target,
        target_columns: vec![0],
        ..ForeignKey::default()
    }
}

/// What the engine knows of a database of those tables.
pub(crate) fn index(relations: Vec<Relation>) -> SchemaIndex {
    let catalog = Catalog {
        search_path: vec!["public".to_owned()],
        schemas: vec![Schema { name: "public".to_owned(), comment: None, usable: true }],
        relations: relations.into_iter().map(Into::into).collect(),
        ..Catalog::default()
    };
    SchemaIndex::build(&catalog, &AllowedTables::All)
}

/// The likeliest reading of a question, on the first day of 2026.
pub(crate) fn reading(index: &SchemaIndex, question: &str) -> Reading {
    let now = jiff::civil::date(2026, 1, 1)
        .to_zoned(jiff::tz::TimeZone::UTC)
        .expect("a day that there is");
    Engine::new().best_reading(question, index, &AskContext { now }).expect("words of the schema")
}
