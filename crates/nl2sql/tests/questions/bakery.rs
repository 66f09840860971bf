//! What people in business ask, over the schema of a bakery: what was earned, what is current, what is not known.

use plinth_nl2sql::{CONFIDENCE_THRESHOLD, Engine, Outcome, SchemaIndex};
use plinth_schema_introspect::RelationKind;

use crate::support;

fn index() -> SchemaIndex {
    const TABLES: [&str; 6] =
        ["bakers", "cafes", "cakes", "monthly_takings", "purchase_lines", "purchases"];
    let columns: [&[&str]; 6] = [
        &[
            "id* integer",
            "first_name text",
            "last_name text",
            "wage numeric",
            "hired_on date",
            "left_on? date",
        ],
        &["id* integer", "name text=Corner|Harbour", "city text=Aarhus|Cork"],
        &["id* integer", "name text", "kind text=tart|roll", "price numeric", "cost numeric"],
        &["month date", "revenue numeric"],
        &[
            "id* integer",
            "purchase_id integer>purchases",
            "cake_id integer>cakes",
            "quantity integer",
            "unit_price numeric",
        ],
        &[
            "id* integer",
            "cafe_id integer>cafes",
            "status text=paid|void|cancelled",
            "total numeric",
            "bought_at timestamptz",
            "cancelled_at? timestamptz",
        ],
    ];
    let catalog = support::changed(&TABLES, &columns, |it| match it.name.as_str() {
        "purchases" => it.comment = Some("Revenue counts all of them but void ones.".to_owned()),
        "monthly_takings" => it.kind = RelationKind::View,
        _ => {}
    });
    support::index(&catalog)
}

fn ask(question: &str) -> Outcome {
    let context = support::at("2024-06-12T10:00:00+02:00[Europe/Copenhagen]");
    Engine::new().ask(question, &index(), &context)
}

fn sql(question: &str) -> String {
    support::answered(question, ask(question)).sql
}

#[test]
fn a_thing_that_is_not_understood_is_asked_back_instead_of_left_out() {
    for question in ["How many cafes are vegan?", "Show the purchases of tourists"] {
        let words = match ask(question) {
            Outcome::NeedsClarification(it) => it.words,
            Outcome::NotAnswerable(it) => it.words,
            other => panic!("{question}: {other:?}"),
        };
        assert_eq!(words.len(), 1, "{question}: {words:?}");
    }
}

#[test]
fn nobody_is_told_what_is_not_known_yet() {
    assert!(!matches!(ask("What will our revenue be next year?"), Outcome::Answered(_)));
}

#[test]
fn what_was_earned_is_summed_over_the_rows_that_count() {
    assert_eq!(
        sql("What is the total revenue?"),
        "SELECT sum(total) FROM purchases WHERE status <> 'void'"
    );
    let lines = sql("top 5 cakes by revenue");
    assert!(lines.contains("sum(pl.quantity * pl.unit_price) DESC"), "{lines}");
}

#[test]
fn tables_are_read_before_views_that_repeat_them() {
    let reading = match ask("revenue by month in 2023") {
        Outcome::Answered(it) => it,
        other => panic!("{other:?}"),
    };
    assert_eq!(reading.tables, ["public.purchases"]);
    assert!(reading.confidence >= CONFIDENCE_THRESHOLD);
}

#[test]
fn rows_by_a_kind_are_counted() {
    assert_eq!(
        sql("purchases by status"),
        "SELECT status, count(*) FROM purchases GROUP BY status"
    );
}

#[test]
fn a_verb_tells_which_moment_is_meant() {
    let cancelled = sql("Which purchases were cancelled last week?");
    assert!(cancelled.contains("cancelled_at >="), "{cancelled}");
    assert!(!cancelled.contains("status"), "{cancelled}");
}

#[test]
fn who_is_there_now_has_not_left() {
    assert_eq!(
        sql("How many current bakers are there?"),
        "SELECT count(*) FROM bakers WHERE left_on IS NULL"
    );
    assert_eq!(sql("How many bakers are there?"), "SELECT count(*) FROM bakers");
}

#[test]
fn to_cost_is_to_have_a_price() {
    assert_eq!(
        sql("How many cakes cost more than the average price?"),
        "SELECT count(*) FROM cakes WHERE price > (SELECT avg(price) FROM cakes)"
    );
    assert_eq!(
        sql("How many cakes cost more than 5?"),
        "SELECT count(*) FROM cakes WHERE price > 5"
    );
}

#[test]
fn a_day_without_a_year_has_the_year_of_the_day_it_goes_until() {
    let between = sql("How many purchases were there between May 1 and August 31, 2023?");
    assert!(between.contains("'2023-05-01'") && between.contains("'2023-09-01'"), "{between}");
}
