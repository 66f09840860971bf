//! Words that stand nowhere in a schema, and what two dictionaries tell of them.

mod schema;

use plinth_connections::AllowedTables;
use plinth_nl2sql::{AskContext, Engine, Outcome, SchemaIndex};
use plinth_schema_introspect::{Catalog, Schema};

use crate::schema::relation;

fn ask(question: &str) -> Outcome {
    const TABLES: [&str; 3] = ["consumers", "restitutions", "universities"];
    let columns: [&[&str]; 3] = [
        &["id* integer", "full_name text", "town text=Rome|Oslo"],
        &["id* integer", "consumer_id integer>consumers", "worth numeric", "returned_on date"],
        &["id* integer", "university_name text", "founded integer", "enrollment integer"],
    ];
    let mut catalog = Catalog {
        server_version_num: 150_000,
        database: "other".to_owned(),
        role: "reader".to_owned(),
        search_path: vec!["public".to_owned()],
        schemas: vec![Schema { name: "public".to_owned(), comment: None, usable: true }],
        ..Catalog::default()
    };
    for (oid, (name, columns)) in (1..).zip(TABLES.iter().zip(columns)) {
        catalog.relations.push(relation(oid, name, columns, &TABLES).into());
    }
    let now = "2025-03-03T09:00:00[UTC]".parse().expect("a moment");
    let index = SchemaIndex::build(&catalog, &AllowedTables::All);
    Engine::new().ask(question, &index, &AskContext { now })
}

fn sql(question: &str) -> String {
    match ask(question) {
        Outcome::Answered(it) => it.sql,
        other => panic!("{question}: {other:?}"),
    }
}

#[test]
fn a_noun_that_nothing_explains_is_what_is_called_by_a_word_near_to_it() {
    assert_eq!(sql("How many customers are there?"), "SELECT count(*) FROM consumers");
    assert_eq!(sql("How many refunds are there?"), "SELECT count(*) FROM restitutions");
}

#[test]
fn what_is_near_to_what_is_read_is_no_trouble() {
    let of_all = sql("What is the total and minimum enrollment of all schools?");
    assert_eq!(of_all, "SELECT sum(enrollment), min(enrollment) FROM universities");
}

#[test]
fn units_are_never_looked_for() {
    assert!(!matches!(ask("Show the pounds"), Outcome::Answered(_)));
}
