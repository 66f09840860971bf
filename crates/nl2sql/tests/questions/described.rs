//! Words that only descriptions know, labels that they explain, and what rows are under, over a small rescue service.

use plinth_nl2sql::{Engine, Outcome, SchemaIndex};

use crate::support;

const COMMENTS: [(&str, &str); 9] = [
    ("crews.leader_id", "The medic who leads it."),
    ("staff_list", "Medics and drivers of the service."),
    ("staff_list.boss_id", "The medic above; NULL for the head."),
    ("staff_list.ended", "Day the medic went; NULL while on duty."),
    ("calls.state", "new: nobody has answered; held: waiting for a doctor; done: all is well."),
    ("calls.k4", "Distance to the scene in miles."),
    ("calls.seen_at", "When a medic first replied; NULL while nobody did."),
    ("calls", "What came in by radio."),
    ("stations", "Where crews sit."),
];

fn index() -> SchemaIndex {
    const TABLES: [&str; 4] = ["calls", "crews", "staff_list", "stations"];
    let columns: [&[&str]; 4] = [
        &[
            "id* integer",
            "crew_id integer>crews",
            "state text=new|held|done",
            "k4 integer",
            "delay_minutes integer",
            "via text=radio|wire",
            "made_at timestamptz",
            "seen_at? timestamptz",
        ],
        &["id* integer", "title text", "leader_id integer>staff_list"],
        &[
            "id* integer",
            "first_name text",
            "last_name text",
            "boss_id? integer>staff_list",
            "station_id integer>stations",
            "ended? date",
        ],
        &["id* integer", "title text=Harbour|North Gate", "material text=wood"],
    ];
    support::index(&support::described(&TABLES, &columns, &COMMENTS))
}

fn says(question: &str, parts: &[&str]) {
    support::says(question, &support::best(&index(), question).sql, parts);
}

#[test]
fn what_references_are_described_by_is_a_word_for_the_rows() {
    says("how many medics do we have?", &["count(*) FROM staff_list"]);
    says("list the medics", &["first_name, last_name FROM staff_list"]);
}

#[test]
fn a_word_of_one_description_only_is_a_word_for_that_column() {
    says("what is the average distance of the calls?", &["avg(k4) FROM calls"]);
    says("how many calls have not been replied to?", &["seen_at IS NULL"]);
}

#[test]
fn labels_are_known_by_what_is_said_of_them() {
    says("calls that are waiting for a doctor", &["state = 'held'"]);
    match Engine::new().ask(
        "how many calls are waiting for a doctor?",
        &index(),
        &support::context(),
    ) {
        Outcome::Answered(it) => assert!(it.sql.contains("state = 'held'"), "{}", it.sql),
        other => panic!("{other:?}"),
    }
}

#[test]
fn people_are_known_by_where_they_belong_and_whom_they_are_under() {
    says("everyone in Harbour", &["first_name", "JOIN stations", "'Harbour'"]);
    says(
        "list the medics and who their manager is",
        &["LEFT JOIN staff_list", "boss_id", "sl2.last_name"],
    );
    says("managers with at least 2 people under them", &["HAVING count(*) >= 2", "boss_id"]);
    says("show all medics together with the one above them", &["LEFT JOIN staff_list"]);
}

#[test]
fn labels_behind_by_materials_and_units_are_conditions_and_no_more_columns() {
    says("calls by radio that are held", &["via = 'radio'", "state = 'held'"]);
    says("stations made of brick", &["material = 'brick'"]);
    let asked = "what is the average delay of the calls, in minutes?";
    let reading = Engine::new().best_reading(asked, &index(), &support::context()).expect(asked);
    assert_eq!(reading.sql, "SELECT avg(delay_minutes) FROM calls");
}

#[test]
fn set_phrases_ask_for_labels_and_lists() {
    says("which states can a call have?", &["SELECT DISTINCT state FROM calls"]);
    says("station list of the medics", &["title"]);
}
