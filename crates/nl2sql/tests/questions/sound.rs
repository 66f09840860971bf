//! What is written can be run: groups have one of what is shown for each, and numbers are compared with numbers.

use plinth_nl2sql::{Outcome, SchemaIndex};

use crate::support;

fn index() -> SchemaIndex {
    const TABLES: [&str; 3] = ["boats", "owners", "repairs"];
    let columns: [&[&str]; 3] = [
        &["boat_id* integer", "boat_name text", "owner_id integer>owners"],
        &["owner_id* integer", "first_name text", "town text"],
        &["repair_id* integer", "boat_id integer>boats", "cost numeric", "repaired_on date"],
    ];
    support::index(&support::catalog(&TABLES, &columns))
}

/// All that is written for a question, answered or offered.
fn written(question: &str) -> Vec<String> {
    match support::ask(&index(), question) {
        Outcome::Answered(it) => vec![it.sql],
        Outcome::NeedsClarification(it) => it.options.into_iter().map(|it| it.sql).collect(),
        Outcome::NotAnswerable(_) | Outcome::NotPermitted(_) | Outcome::Meta(_) => Vec::new(),
    }
}

#[test]
fn a_reference_is_shown_as_the_key_that_the_groups_are_told_apart_by() {
    for question in [
        "How many repairs does each boat have? List the boat id and the number of repairs.",
        "Find the number of repairs each boat has. Show the number together with the boat id.",
        "How many boats does each owner have? List the owner id, first name, and the count.",
    ] {
        let sql = written(question);
        assert!(!sql.is_empty(), "{question}");
        for sql in sql {
            let (shown, groups) = sql.split_once(" GROUP BY ").expect("groups");
            let shown = shown.trim_start_matches("SELECT ").split(" FROM ").next().expect("a list");
            let groups = groups.split(" ORDER BY ").next().expect("keys");
            for it in shown.split(", ").filter(|it| it.ends_with("_id")) {
                assert!(groups.split(", ").any(|group| group == it), "{question}: {sql}");
            }
        }
    }
}

#[test]
fn a_title_is_no_number() {
    for question in [
        "Who is the owner of the repair \"The Long Voyage Home\"?",
        "Show the boats with boat id \"The Long Voyage Home\"",
        "Which repairs cost \"a fortune\"?",
    ] {
        for sql in written(question) {
            assert!(
                !sql.contains("= 'The Long") && !sql.contains("cost = 'a"),
                "{question}: {sql}"
            );
        }
    }
}
