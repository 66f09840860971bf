use plinth_schema_introspect::TypeClass::{Integer, Text};

use super::is_verb;
use crate::{CONFIDENCE_THRESHOLD, index::SchemaIndex, testing};

/// `owners (id, name, age)` and `boats (id, owner_id, maker, metres, gold)`.
fn index() -> SchemaIndex {
    let owners = testing::keyed(1, "owners", &[("id", Integer), ("name", Text), ("age", Integer)]);
    let columns = [
        ("id", Integer),
        ("owner_id", Integer),
        ("maker", Text),
        ("metres", Integer),
        ("gold", Integer),
    ];
    let mut boats = testing::keyed(2, "boats", &columns);
    boats.foreign_keys.push(testing::reference(1, 1));
    testing::index(vec![owners, boats])
}

fn answered(question: &str) -> bool {
    testing::reading(&index(), question).confidence >= CONFIDENCE_THRESHOLD
}

#[test]
fn a_mean_of_all_beside_every_is_no_lost_group() {
    assert!(answered("Show the name of every owner with an age below the average."));
    assert!(!answered("Show the average age of every owner with an age below 30, please."));
}

#[test]
fn a_sum_of_the_one_row_that_each_has_is_that_row() {
    assert!(answered("What is the total metres of each boat id?"));
    assert!(!answered("How many boats are there for each boat id?"));
}

#[test]
fn verbs_that_only_relate_are_known_by_themselves() {
    for it in ["belong", "contains", "suffer", "taught", "owned"] {
        assert!(is_verb(it), "{it}");
    }
    for it in ["delegates", "train", "last", "order"] {
        assert!(!is_verb(it), "{it}");
    }
}

#[test]
fn what_a_number_is_a_number_of_changes_nothing() {
    assert!(answered("What is the maximum number of gold medals of boats?"));
}
