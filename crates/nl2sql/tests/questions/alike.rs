//! Other words for what a schema has: kinds behind names, parts of long names, plurals that only a table's
//! rows can mean; and orders of several directions, over a small library of tools.

use plinth_nl2sql::{Engine, Outcome, SchemaIndex};

use crate::support;

fn index() -> SchemaIndex {
    const TABLES: [&str; 3] = ["loans", "members", "tools"];
    let columns: [&[&str]; 3] = [
        &[
            "id* integer",
            "member_id integer>members",
            "tool_id integer>tools",
            "date_loan_made date",
        ],
        &["id* integer", "given_name text", "surname text", "town text=Springfield|Portland"],
        &[
            "id* integer",
            "title text",
            "maker text",
            "mass integer",
            "launch date",
            "price numeric",
        ],
    ];
    support::index(&support::catalog(&TABLES, &columns))
}

fn says(question: &str, parts: &[&str]) {
    support::says(question, &support::best(&index(), question).sql, parts);
}

#[test]
fn a_noun_behind_a_name_may_say_what_kind_of_thing_it_is() {
    says("What are the maker names of all tools?", &["maker FROM tools"]);
    says("titles of tools sorted by launch date", &["ORDER BY launch"]);
    says("list the members", &["given_name, surname FROM members"]);
}

#[test]
fn a_word_of_a_long_name_is_enough_where_nothing_else_is_called_so() {
    says("What is the date of each loan?", &["date_loan_made FROM loans"]);
}

#[test]
fn a_plural_that_nothing_is_called_means_the_rows_of_the_only_table() {
    let asked = "What is the highest price of all gadgets?";
    match Engine::new().ask(asked, &index(), &support::context()) {
        Outcome::Answered(it) => assert_eq!(it.sql, "SELECT max(price) FROM tools"),
        other => panic!("{other:?}"),
    }
    // but what is counted must be known, and beside the table's own name it is somebody else
    for unsure in ["How many gadgets are there?", "Show the tools of tourists"] {
        let asked = Engine::new().ask(unsure, &index(), &support::context());
        assert!(!matches!(asked, Outcome::Answered(_)), "{unsure}: {asked:?}");
    }
}

#[test]
fn each_key_of_an_order_has_its_direction() {
    says(
        "title and price of tools sorted by price descending and title ascending",
        &["ORDER BY price DESC", ", title"],
    );
    let reading = Engine::new().best_reading(
        "title and price of tools sorted by price descending and title ascending",
        &index(),
        &support::context(),
    );
    assert!(!reading.expect("read").sql.contains("title DESC"));
    says(
        "different towns of members, descending by frequency",
        &["GROUP BY town", "count(*) DESC"],
    );
}

#[test]
fn the_most_recent_is_of_what_stands_before() {
    says("the member who made a loan most recently", &["date_loan_made DESC", "FETCH FIRST 1 ROW"]);
}
