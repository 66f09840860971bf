//! What values may belong to, what is vague, and how several readings are offered, over a small town's eateries.

use plinth_nl2sql::{Clarification, Outcome, SchemaIndex};

use crate::support;

fn index() -> SchemaIndex {
    const TABLES: [&str; 4] = ["couriers", "eateries", "meals", "rides"];
    let columns: [&[&str]; 4] = [
        &["id* integer", "name text=Ida|Per", "city text=Lindby|Mossau", "age integer"],
        &[
            "id* integer",
            "name text=Blue Door|Oak Room",
            // a place that is also said of a kitchen
            "cuisine text=Nordic|Lindby|Thai",
            "city text=Lindby|Mossau",
            "rating numeric",
        ],
        &["id* integer", "name text", "eatery_id integer>eateries", "meal_type text=lunch|dinner"],
        &[
            "id* integer",
            "courier_id integer>couriers",
            "eatery_id integer>eateries",
            "started_at timestamptz",
        ],
    ];
    support::index(&support::catalog(&TABLES, &columns))
}

fn ask(question: &str) -> Outcome {
    support::ask(&index(), question)
}

fn sql(question: &str) -> String {
    support::answered(question, ask(question)).sql
}

fn asked_back(question: &str) -> Clarification {
    match ask(question) {
        Outcome::NeedsClarification(it) => it,
        other => panic!("{question}: {other:?}"),
    }
}

#[test]
fn two_values_beside_each_other_are_of_two_columns() {
    for question in
        ["How many Nordic eateries are there in Lindby?", "How many eateries in Lindby are Nordic?"]
    {
        let sql = sql(question);
        assert!(sql.contains("cuisine = 'Nordic'") && sql.contains("city = 'Lindby'"), "{sql}");
    }
}

#[test]
fn a_judgement_without_a_measure_is_asked_back() {
    let asked = asked_back("Show me some good eateries in Mossau");
    assert_eq!(asked.words, ["good"]);
    assert_eq!(
        sql("Show me the best eatery in Mossau"),
        "SELECT name FROM eateries WHERE city = 'Mossau' ORDER BY rating DESC FETCH FIRST 1 ROW WITH TIES"
    );
}

#[test]
fn readings_that_are_close_are_offered_to_choose_from() {
    // whose city it is nobody can know
    let asked = asked_back("How many sunny rides were there in Mossau?");
    assert!((2..=3).contains(&asked.options.len()), "{asked:?}");
    assert!(asked.question.ends_with("Which of these do you mean?"), "{}", asked.question);
    for (at, option) in asked.options.iter().enumerate() {
        for other in &asked.options[at + 1..] {
            assert_ne!(option.sql, other.sql);
            assert_ne!(option.label, other.label, "what is chosen by must differ");
            assert!(option.confidence >= other.confidence, "the likeliest first");
        }
    }
    let all: String = asked.options.iter().map(|it| it.sql.as_str()).collect();
    assert!(all.contains("JOIN couriers") && all.contains("JOIN eateries"), "{all}");
}

#[test]
fn the_first_one_is_found_by_when_it_was() {
    let sql = sql("What is the name of the courier of the first ride?");
    assert!(sql.contains("ORDER BY r.started_at FETCH FIRST 1 ROW"), "{sql}");
}

#[test]
fn one_thing_in_two_words_is_counted_once() {
    assert_eq!(
        sql("How many different meal types are there?"),
        "SELECT count(DISTINCT meal_type) FROM meals"
    );
    assert_eq!(
        sql("Find the number of meals of each meal type."),
        "SELECT meal_type, count(*) FROM meals GROUP BY meal_type"
    );
}

#[test]
fn a_bound_in_two_words_is_no_alternative() {
    let sql = sql("What are the names of the couriers with two or more rides?");
    assert!(sql.contains("HAVING count(*) >= 2"), "{sql}");
}
