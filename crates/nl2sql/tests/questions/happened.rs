//! What happened to rows and when, which one of them is meant, and what belongs together, over a small bus company.

use plinth_nl2sql::SchemaIndex;

use crate::support;

fn index() -> SchemaIndex {
    const TABLES: [&str; 4] = ["drivers", "passes", "trips", "stops"];
    let columns: [&[&str]; 4] = [
        &["id* integer", "first_name text", "last_name text", "joined_on date", "left_on? date"],
        &["id* integer", "code text", "valid_from date", "valid_until? date"],
        &["id* integer", "driver_id integer>drivers", "price numeric", "started_at timestamptz"],
        &["id* integer", "town text=Springfield|Portland", "state text=Ohio|Oregon"],
    ];
    support::index(&support::catalog(&TABLES, &columns))
}

fn sql(question: &str) -> String {
    support::best(&index(), question).sql
}

fn says(question: &str, parts: &[&str]) {
    support::says(question, &sql(question), parts);
}

#[test]
fn a_verb_names_the_moment_at_which_it_happened() {
    says("drivers who left", &["FROM drivers", "left_on IS NOT NULL"]);
    says("how many drivers have left?", &["count(*)", "left_on IS NOT NULL"]);
    says("who joined in 2024?", &["first_name, last_name FROM drivers", "joined_on) = 2024"]);
    says("new drivers per month in 2024", &["date_trunc('month', joined_on)", "count(*)"]);
}

#[test]
fn what_ends_has_its_other_moment() {
    says("passes that ended in 2024", &["valid_until) = 2024"]);
    says("passes that expired last month", &["valid_until >="]);
    says("passes that started in 2024", &["valid_from) = 2024"]);
}

#[test]
fn a_year_may_be_open_on_one_side() {
    says("passes that started in 2024 or later", &["valid_from) >= 2024"]);
    says("passes that ended in 2024 or earlier", &["valid_until) <= 2024"]);
    says("drivers who joined from 2020 onwards", &["joined_on) >= 2020"]);
}

#[test]
fn the_most_extreme_of_each_is_compared() {
    says(
        "drivers whose cheapest trip costs more than 12 dollars",
        &["GROUP BY d.id", "HAVING min(t.price) > 12"],
    );
    says("drivers whose most expensive trip is under 50", &["HAVING max(t.price) < 50"]);
}

#[test]
fn a_number_behind_a_thing_is_its_key() {
    says("price of trip 10", &["price", "id = 10"]);
    says("trips of the driver with id 7", &["= 7"]);
}

#[test]
fn towns_and_states_belong_together_in_pairs() {
    says(
        "stops in Springfield, Ohio or in Portland, Oregon",
        &["(town = 'Springfield' AND state = 'Ohio') OR (town = 'Portland' AND state = 'Oregon')"],
    );
}
