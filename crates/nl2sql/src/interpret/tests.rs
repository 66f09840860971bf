use plinth_schema_introspect::TypeClass::{Date, Integer, Text};

use crate::testing::{index, keyed, reading, reference};

#[test]
fn the_year_of_a_verb_comes_before_another_tables_moment() {
    let boats = keyed(
        1,
        "boats",
        &[("id", Integer), ("name", Text), ("launch", Integer), ("pier_id", Integer)],
    );
    let mut boats = boats;
    boats.foreign_keys.push(reference(3, 2));
    let piers = keyed(2, "piers", &[("id", Integer), ("opened_on", Date)]);
    let index = index(vec![boats, piers]);
    let sql = reading(&index, "Which boat was launched most recently?").sql;
    assert!(sql.contains("ORDER BY launch DESC"), "{sql}");
}

#[test]
fn a_text_that_rows_are_known_by_is_no_id() {
    let songs = keyed(1, "songs", &[("song", Text), ("f_id", Integer), ("seconds", Integer)]);
    let index = index(vec![songs]);
    let sql = reading(&index, "What are the ids of songs of more than 60 seconds?").sql;
    assert_eq!(sql, "SELECT f_id FROM songs WHERE seconds > 60");
}

#[test]
fn what_a_sentence_adds_stands_beside_what_was_asked() {
    let boats = keyed(1, "boats", &[("id", Integer), ("name", Text), ("metres", Integer)]);
    let index = index(vec![boats]);
    let shown = |question: &str| {
        let sql = reading(&index, question).sql;
        sql.split(" FROM ").next().unwrap_or_default().to_owned()
    };
    let asked = "Which boat has the most metres?";
    assert_eq!(shown(&format!("{asked} And what are its metres?")), "SELECT name, metres");
    assert_eq!(shown(&format!("{asked} What are its metres?")), "SELECT metres");
}
