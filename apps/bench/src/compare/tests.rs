use proptest::prelude::*;
use tokio_postgres::types::Type;

use super::*;
use crate::value::Number;

const EXACT: Leave = Leave { columns: false, duplicates: false };
const MORE_COLUMNS: Leave = Leave { columns: true, duplicates: false };
const AS_SET: Leave = Leave { columns: true, duplicates: true };

/// Rows of texts; `-` is NULL.
fn rows(text: &[&[&str]]) -> Rows {
    let value = |text: &&str| Value::read((*text != "-").then_some(*text), &Type::TEXT);
    Rows {
        columns: text.first().map_or(1, |row| row.len()),
        rows: text.iter().map(|row| row.iter().map(value).collect()).collect(),
    }
}

/// Sorted by the last column, which the answer does not need to show.
fn sorted(text: &[&[&str]], limit: Option<usize>) -> Sorted {
    let mut all = rows(text);
    let keys = all.rows.iter_mut().map(|row| row.pop().into_iter().collect()).collect();
    all.columns -= 1;
    Sorted { rows: all, keys, limit, order_matters: true }
}

#[test]
fn columns_may_stand_in_any_order() {
    let gold = rows(&[&["ann", "1"], &["bob", "2"]]);
    assert!(same_rows(&gold, &rows(&[&["2", "bob"], &["1", "ann"]]), EXACT));
    assert!(!same_rows(&gold, &rows(&[&["1", "bob"], &["2", "ann"]]), EXACT));
}

#[test]
fn columns_with_the_same_values_are_told_apart_by_the_rows() {
    let gold = rows(&[&["1", "2"], &["2", "1"], &["3", "3"], &["1", "2"], &["2", "1"]]);
    let answer = rows(&[&["2", "1"], &["1", "2"], &["3", "3"], &["2", "1"], &["1", "2"]]);
    assert!(same_rows(&gold, &answer, EXACT));
    assert!(!same_rows(
        &rows(&[&["1", "2"], &["2", "1"]]),
        &rows(&[&["1", "1"], &["2", "2"]]),
        EXACT
    ));
}

#[test]
fn duplicates_count_unless_they_are_left_free() {
    let (once, twice) = (rows(&[&["a"]]), rows(&[&["a"], &["a"]]));
    assert!(!same_rows(&once, &twice, EXACT));
    assert!(!same_rows(&twice, &once, MORE_COLUMNS));
    assert!(same_rows(&once, &twice, AS_SET));
    assert!(same_rows(&twice, &once, AS_SET));
}

#[test]
fn further_columns_are_wrong_unless_they_are_allowed() {
    let gold = rows(&[&["a"], &["b"]]);
    let answer = rows(&[&["1", "b"], &["2", "a"]]);
    assert!(!same_rows(&gold, &answer, EXACT));
    assert!(same_rows(&gold, &answer, MORE_COLUMNS));
    assert!(!same_rows(&answer, &gold, AS_SET));
}

#[test]
fn nothing_is_the_same_as_nothing_of_the_same_width() {
    let empty = |columns| Rows { columns, rows: Vec::new() };
    assert!(same_rows(&empty(2), &empty(2), EXACT));
    assert!(!same_rows(&empty(2), &empty(1), MORE_COLUMNS));
    assert!(!same_rows(&empty(1), &rows(&[&["-"]]), EXACT));
}

#[test]
fn a_row_without_columns_is_no_hole() {
    assert!(same_rows(&rows(&[&["-"]]), &rows(&[&["-"]]), EXACT));
    assert!(!same_rows(&rows(&[&["-"]]), &rows(&[&[""]]), EXACT));
}

#[test]
fn rounding_does_not_part_rows_that_belong_together() {
    let gold = rows(&[&["b", "1.00001"], &["a", "1.00002"]]);
    assert!(same_rows(&gold, &rows(&[&["a", "1.00001"], &["b", "1.00002"]]), EXACT));
}

#[test]
fn an_order_that_was_asked_for_counts() {
    let gold = sorted(&[&["ann", "1"], &["bob", "2"], &["cid", "3"]], None);
    assert!(same_sorted(&gold, &rows(&[&["ann"], &["bob"], &["cid"]]), EXACT));
    assert!(!same_sorted(&gold, &rows(&[&["bob"], &["ann"], &["cid"]]), EXACT));
    assert!(!same_sorted(&gold, &rows(&[&["ann"], &["bob"]]), EXACT));
}

#[test]
fn rows_that_tie_may_stand_in_any_order() {
    let gold = sorted(&[&["ann", "1"], &["bob", "1"], &["cid", "2"]], None);
    assert!(same_sorted(&gold, &rows(&[&["bob"], &["ann"], &["cid"]]), EXACT));
    assert!(!same_sorted(&gold, &rows(&[&["bob"], &["cid"], &["ann"]]), EXACT));
}

#[test]
fn any_choice_among_those_that_tie_at_the_cut_is_right_and_so_are_all_of_them() {
    let gold = sorted(&[&["ann", "9"], &["bob", "7"], &["cid", "7"], &["dan", "7"]], Some(2));
    for second in ["bob", "cid", "dan"] {
        assert!(same_sorted(&gold, &rows(&[&["ann"], &[second]]), EXACT));
        assert!(!same_sorted(&gold, &rows(&[&["bob"], &[second]]), EXACT));
    }
    assert!(same_sorted(&gold, &rows(&[&["ann"], &["dan"], &["bob"], &["cid"]]), EXACT));
    assert!(!same_sorted(&gold, &rows(&[&["ann"], &["dan"], &["bob"]]), EXACT));
}

#[test]
fn which_rows_are_first_can_be_asked_without_asking_for_their_order() {
    let mut gold = sorted(&[&["ann", "9"], &["bob", "8"], &["cid", "7"], &["dan", "7"]], Some(3));
    assert!(!same_sorted(&gold, &rows(&[&["bob"], &["ann"], &["dan"]]), EXACT));
    gold.order_matters = false;
    assert!(same_sorted(&gold, &rows(&[&["bob"], &["dan"], &["ann"]]), EXACT));
    assert!(!same_sorted(&gold, &rows(&[&["cid"], &["dan"], &["ann"]]), EXACT));
}

#[test]
fn rows_without_a_key_may_come_first_or_last() {
    let gold = sorted(&[&["ann", "1"], &["bob", "2"], &["cid", "-"]], None);
    assert!(same_sorted(&gold, &rows(&[&["cid"], &["ann"], &["bob"]]), EXACT));
    assert!(!same_sorted(&gold, &rows(&[&["ann"], &["cid"], &["bob"]]), EXACT));
}

#[test]
fn a_sorted_answer_may_show_its_key_where_columns_are_free() {
    let gold = sorted(&[&["ann", "1"], &["bob", "2"]], None);
    let answer = rows(&[&["1", "ann"], &["2", "bob"]]);
    assert!(same_sorted(&gold, &answer, MORE_COLUMNS));
    assert!(!same_sorted(&gold, &answer, EXACT));
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (0_u32..9).prop_map(|n| Value::Number(Number::whole(n))),
        (-1e6..1e6_f64).prop_map(|value| Value::Number(Number { value, decimals: None })),
        "[a-c]{0,2}".prop_map(Value::Text),
    ]
}

fn any_rows() -> impl Strategy<Value = Rows> {
    (1_usize..4).prop_flat_map(|columns| {
        let row = prop::collection::vec(any_value(), columns);
        prop::collection::vec(row, 0..12).prop_map(move |rows| Rows { columns, rows })
    })
}

/// Rows with an order of theirs and an order of their columns.
fn any_shuffled() -> impl Strategy<Value = (Rows, Rows)> {
    any_rows().prop_flat_map(|gold| {
        let columns: Vec<usize> = (0..gold.columns).collect();
        let shuffled = (Just(gold.rows.clone()).prop_shuffle(), Just(columns).prop_shuffle());
        (Just(gold), shuffled).prop_map(|(gold, (rows, columns))| {
            let rows = rows.iter().map(|row| columns.iter().map(|&at| row[at].clone()).collect());
            let answer = Rows { columns: gold.columns, rows: rows.collect() };
            (gold, answer)
        })
    })
}

proptest! {
    #[test]
    fn shuffling_rows_and_columns_changes_nothing((gold, answer) in any_shuffled()) {
        prop_assert!(same_rows(&gold, &answer, EXACT));
        prop_assert!(same_rows(&answer, &gold, AS_SET));
    }

    #[test]
    fn a_row_more_or_less_is_noticed((gold, mut answer) in any_shuffled(), extra in any_value()) {
        answer.rows.push(vec![extra; answer.columns]);
        prop_assert!(!same_rows(&gold, &answer, EXACT));
        prop_assert!(!same_rows(&answer, &gold, EXACT));
    }

    #[test]
    fn repeating_rows_is_noticed_unless_duplicates_are_free((gold, mut answer) in any_shuffled()) {
        answer.rows.extend(answer.rows.clone());
        prop_assert_eq!(same_rows(&gold, &answer, EXACT), gold.rows.is_empty());
        prop_assert!(same_rows(&gold, &answer, AS_SET));
    }

    #[test]
    fn a_further_column_is_allowed_only_where_said((gold, mut answer) in any_shuffled(), extra in any_value()) {
        for row in &mut answer.rows {
            row.insert(0, extra.clone());
        }
        answer.columns += 1;
        prop_assert!(!same_rows(&gold, &answer, EXACT));
        prop_assert!(same_rows(&gold, &answer, MORE_COLUMNS));
    }

    #[test]
    fn a_text_that_the_gold_lacks_is_noticed((gold, mut answer) in any_shuffled(), at in any::<prop::sample::Index>()) {
        prop_assume!(!gold.rows.is_empty());
        let at = at.index(answer.rows.len());
        answer.rows[at][0] = Value::Text("elsewhere".to_owned());
        prop_assert!(!same_rows(&gold, &answer, EXACT));
        prop_assert!(!same_rows(&gold, &answer, AS_SET));
    }

    #[test]
    fn what_is_in_order_is_also_the_same_without_order(gold in any_rows()) {
        let keys = gold.rows.iter().map(|row| row[..1].to_vec()).collect();
        let sorted = Sorted { rows: gold.clone(), keys, limit: None, order_matters: true };
        prop_assert!(same_sorted(&sorted, &gold, EXACT));
        prop_assert!(same_rows(&gold, &gold, EXACT));
    }
}
