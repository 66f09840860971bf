//! Ways to say things that were once misread, over a small atlas: which neighbour is meant, what a number counts, what a
//! word says once more.

use plinth_nl2sql::SchemaIndex;

use crate::support;

fn index() -> SchemaIndex {
    const TABLES: [&str; 5] = ["lands", "neighbours", "streams", "guides", "walks"];
    let columns: [&[&str]; 5] = [
        &[
            "land_name* text=Chad|Niger|Libya",
            "area numeric",
            "population integer",
            "main_industry text=Mining|Fishing",
        ],
        &["land_name text>lands=Chad|Niger|Libya", "neighbour text>lands=Chad|Niger|Libya"],
        &["id* integer", "stream_name text=Ebro|Shari", "land_name text>lands", "length numeric"],
        &[
            "id* integer",
            "first_name text",
            "last_name text",
            "phone text",
            "age integer",
            "land_name text>lands",
        ],
        &["id* integer", "guide_id integer>guides", "kilometers integer", "walked_on date"],
    ];
    support::index(&support::catalog(&TABLES, &columns))
}

fn sql(question: &str) -> String {
    support::answered(question, support::ask(&index(), question)).sql
}

#[test]
fn who_is_related_to_one_is_the_other_one() {
    let sql = sql("Which lands are neighbours of Chad?");
    // one side of the relation is Chad, the other one is shown
    assert!(
        sql.contains("land_name = 'Chad'") && !sql.contains("neighbour = 'Chad'")
            || sql.contains("neighbour = 'Chad'") && sql.contains("land_name = l.land_name"),
        "{sql}"
    );
}

#[test]
fn both_parts_of_a_name_are_shown_where_the_word_stands_once() {
    let sql = sql("What are the first and last names of all guides?");
    assert_eq!(sql, "SELECT first_name, last_name FROM guides");
}

#[test]
fn a_phone_number_counts_nothing() {
    let sql = sql("What are the last name and phone number of the guides older than 30?");
    assert_eq!(sql, "SELECT last_name, phone FROM guides WHERE age > 30");
}

#[test]
fn a_second_comparison_without_a_column_is_of_the_first_ones() {
    let sql = sql("lands with a population bigger than 1500 or smaller than 500");
    assert_eq!(sql, "SELECT land_name FROM lands WHERE population > 1500 OR population < 500");
}

#[test]
fn the_most_of_something_that_many_rows_have_is_their_sum() {
    let sql = sql("What is the last name of the guide with the most kilometers?");
    assert!(sql.contains("sum(w.kilometers) DESC"), "{sql}");
}

#[test]
fn a_kind_in_front_or_behind_a_value_is_no_riddle() {
    let sql = sql("How many lands are in the mining industry?");
    assert_eq!(sql, "SELECT count(*) FROM lands WHERE main_industry = 'Mining'");
}

#[test]
fn from_large_to_small_is_downwards() {
    let sql = sql("List the lands sorted by the area from large to small.");
    assert_eq!(sql, "SELECT land_name FROM lands ORDER BY area DESC");
}

#[test]
fn each_in_a_plain_list_groups_nothing() {
    let sql = sql("List the area and population of each land.");
    assert_eq!(sql, "SELECT area, population FROM lands");
}

#[test]
fn the_number_and_an_average_are_two_figures() {
    let sql = sql("Find the number and average age of guides.");
    assert_eq!(sql, "SELECT count(*), avg(age) FROM guides");
}
