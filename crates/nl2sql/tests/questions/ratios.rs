//! Questions of reports over a schema in which no reference is declared: ratios, rankings by kinds, spans of time that leave
//! something out, rows that stand for several things, equals.

use plinth_nl2sql::SchemaIndex;

use crate::support;

fn index() -> SchemaIndex {
    const TABLES: [&str; 5] = ["museums", "salesclerks", "tickets", "visits", "streams"];
    let columns: [&[&str]; 5] = [
        &[
            "museum_id integer",
            "museum_name text=Attic|Cellar",
            "region text=North|South",
            "is_free integer=0|1",
            "floors integer",
        ],
        &["clerk_id integer", "first_name text", "last_name text"],
        &[
            "ticket_id integer",
            "museum_id integer",
            "clerk_id integer",
            "ticket_date date",
            "created_at timestamptz",
            "price numeric",
            "kind text=adult|child",
        ],
        &[
            "visit_id integer",
            "museum_id integer",
            "day text=Monday|Saturday|Sunday",
            "count integer",
        ],
        &["stream_name* text=Ebro|Shari", "land text=Chad|Niger", "length numeric"],
    ];
    support::index(&support::catalog(&TABLES, &columns))
}

fn sql(question: &str) -> String {
    support::best(&index(), question).sql
}

fn answered(question: &str) -> String {
    support::answered(question, support::ask(&index(), question)).sql
}

#[test]
fn a_ratio_of_two_kinds_of_rows_counts_both() {
    assert_eq!(
        answered("What is the ratio of adult tickets to child tickets?"),
        "SELECT count(*) FILTER (WHERE kind = 'adult')::numeric / NULLIF(count(*) FILTER (WHERE kind = 'child'), 0) FROM tickets"
    );
}

#[test]
fn a_ratio_of_two_tables_is_of_two_numbers() {
    assert_eq!(
        sql("What is the ratio of tickets to museums?"),
        "SELECT (SELECT count(*) FROM tickets)::numeric / NULLIF((SELECT count(*) FROM museums), 0)"
    );
}

#[test]
fn kinds_are_ranked_as_groups() {
    let sql = answered(
        "What are the top 2 ticket kinds by number of tickets? Return the kind and the number of tickets.",
    );
    assert_eq!(
        sql,
        "SELECT kind, count(*) FROM tickets GROUP BY kind ORDER BY count(*) DESC LIMIT 2"
    );
}

#[test]
fn a_span_may_leave_out_the_unit_that_goes_on() {
    let sql =
        answered("How many tickets were there in the last 3 months, excluding the current month?");
    assert!(
        sql.contains("ticket_date >= date_trunc('month', current_date) - interval '3 months'")
            && sql.contains("ticket_date < date_trunc('month', current_date)"),
        "{sql}"
    );
    let sql = answered("How many tickets were there on or after January 2, 2025?");
    assert!(sql.contains("ticket_date >= '2025-01-02'"), "{sql}");
}

#[test]
fn rows_that_say_how_many_they_stand_for_are_summed_up() {
    assert_eq!(
        answered("What is the total number of visits on weekends?"),
        "SELECT sum(count) FROM visits WHERE day IN ('Saturday', 'Sunday')"
    );
}

#[test]
fn a_flag_of_one_and_zero_is_read_by_its_adjective() {
    assert_eq!(
        answered("How many free museums are there?"),
        "SELECT count(*) FROM museums WHERE is_free = 1"
    );
}

#[test]
fn a_table_written_as_one_word_is_found_as_it_is_written() {
    let sql = answered("List the first and last name of all salesclerks");
    assert_eq!(sql, "SELECT first_name, last_name FROM salesclerks");
}

#[test]
fn what_is_equal_to_the_first_is_shown_too_where_one_was_asked_for() {
    let sql = answered("Which museum has the most floors?");
    assert!(sql.ends_with("ORDER BY floors DESC FETCH FIRST 1 ROW WITH TIES"), "{sql}");
    // the length is the same for all of them
    let sql = answered("What is the length of the longest stream?");
    assert!(!sql.contains("TIES"), "{sql}");
}

#[test]
fn how_to_answer_is_no_part_of_what_is_asked() {
    let plain = answered("How many child tickets are there?");
    let told = answered("How many child tickets are there? Match strings exactly.");
    assert_eq!(plain, told);
}

#[test]
fn a_proportion_is_of_one_and_a_percentage_of_a_hundred() {
    let proportion = sql("What proportion of tickets are child tickets?");
    assert!(!proportion.contains("100"), "{proportion}");
    let percentage = sql("What percentage of tickets are child tickets?");
    assert!(percentage.contains("100"), "{percentage}");
}

#[test]
fn the_first_few_show_what_they_are_ranked_by() {
    let sql = answered("What are the top 3 museums by floors?");
    assert_eq!(sql, "SELECT museum_name, floors FROM museums ORDER BY floors DESC LIMIT 3");
}
