//! Words that only descriptions know, labels that they explain, and what rows are under, over a small rescue service.

mod schema;

use plinth_connections::AllowedTables;
use plinth_nl2sql::{AskContext, Engine, Outcome, SchemaIndex};
use plinth_schema_introspect::{Catalog, Relation, Schema};

use crate::schema::relation;

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
    let mut catalog = Catalog {
        server_version_num: 150_000,
        search_path: vec!["public".to_owned()],
        schemas: vec![Schema { name: "public".to_owned(), comment: None, usable: true }],
        ..Catalog::default()
    };
    for (oid, (name, columns)) in (1..).zip(TABLES.iter().zip(columns)) {
        let mut it = relation(oid, name, columns, &TABLES);
        describe(&mut it);
        catalog.relations.push(it.into());
    }
    SchemaIndex::build(&catalog, &AllowedTables::All)
}

fn describe(relation: &mut Relation) {
    for (place, text) in COMMENTS {
        match place.split_once('.') {
            None if place == relation.name => relation.comment = Some(text.to_owned()),
            Some((table, column)) if table == relation.name => {
                for it in relation.columns.iter_mut().filter(|it| it.name == column) {
                    it.comment = Some(text.to_owned());
                }
            }
            _ => {}
        }
    }
}

fn context() -> AskContext {
    AskContext { now: "2025-03-03T09:00:00[UTC]".parse().expect("a moment") }
}

fn says(question: &str, parts: &[&str]) {
    let reading = Engine::new().best_reading(question, &index(), &context()).expect(question);
    assert!(parts.iter().all(|it| reading.sql.contains(it)), "{question}: {}", reading.sql);
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
    match Engine::new().ask("how many calls are waiting for a doctor?", &index(), &context()) {
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
    let reading = Engine::new().best_reading(asked, &index(), &context()).expect(asked);
    assert_eq!(reading.sql, "SELECT avg(delay_minutes) FROM calls");
}

#[test]
fn set_phrases_ask_for_labels_and_lists() {
    says("which states can a call have?", &["SELECT DISTINCT state FROM calls"]);
    says("station list of the medics", &["title"]);
}
