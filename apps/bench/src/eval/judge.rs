//! Whether an answer is right.

use anyhow::{Context as _, Result, ensure};

use crate::compare::{Leave, Rows, Sorted, same_rows, same_sorted};
use crate::database::Runner;
use crate::question::{Expected, Keyed, Matching, Place, Question};
use crate::value::{Number, Value};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    /// With what is wrong about it.
    Wrong(String),
}

/// Judges the SQL that was given as an answer, by its result.
///
/// # Errors
/// If a gold statement cannot be run: then the question set is wrong, not the answer.
pub(crate) async fn judge(
    runner: &Runner,
    database: &str,
    question: &Question,
    sql: &str,
) -> Result<Verdict> {
    let Expected::Rows { gold, keyed, matching } = &question.expected else {
        return Ok(Verdict::Wrong("the data does not say it".to_owned()));
    };
    let answer = runner.rows(database, sql).await;
    let mut seen = Vec::new();
    for (number, gold) in gold.iter().enumerate() {
        let rows = runner
            .rows(database, gold)
            .await
            .with_context(|| format!("gold of {}: {gold}", question.id))?;
        let keyed = if number == 0 { keyed.as_ref() } else { None };
        let sorted = match keyed {
            Some(keyed) => {
                Some(sort_keys(runner, database, keyed).await.with_context(|| {
                    format!("keys of the gold of {}: {}", question.id, keyed.sql)
                })?)
            }
            None => None,
        };
        if let Ok(answer) = &answer
            && is_right(&rows, sorted, *matching, answer)
        {
            return Ok(Verdict::Right);
        }
        seen.push(rows);
    }
    Ok(Verdict::Wrong(match answer {
        Ok(answer) => difference(&seen, &answer),
        Err(error) => error.to_string(),
    }))
}

fn is_right(gold: &Rows, sorted: Option<Sorted>, matching: Matching, answer: &Rows) -> bool {
    let (ordered, columns) = match matching {
        Matching::Exact { ordered } => (ordered, false),
        Matching::MoreColumns { ordered } => (ordered, true),
        Matching::AsSet => (sorted.is_some(), false),
    };
    let leave = Leave { columns, duplicates: false };
    let sorted = match sorted {
        None if ordered => Some(in_this_order(gold)),
        sorted => sorted.map(|sorted| Sorted { order_matters: ordered, ..sorted }),
    };
    let exact = sorted.map_or_else(
        || same_rows(gold, answer, leave),
        |sorted| same_sorted(&sorted, answer, leave),
    );
    let as_set = Leave { columns: true, duplicates: true };
    exact || (matching == Matching::AsSet && same_rows(gold, answer, as_set))
}

/// The rows in exactly this order, for want of keys that say which of them tie.
fn in_this_order(rows: &Rows) -> Sorted {
    let keys = (0_u32..).take(rows.rows.len()).map(|at| vec![Value::Number(Number::whole(at))]);
    Sorted { rows: rows.clone(), keys: keys.collect(), limit: None, order_matters: true }
}

async fn sort_keys(runner: &Runner, database: &str, keyed: &Keyed) -> Result<Sorted> {
    let all = runner.rows(database, &keyed.sql).await?;
    let base = all.columns.checked_sub(keyed.added).context("more keys than columns")?;
    let places = keyed.places.iter().map(|place| match place {
        Place::Column(at) => *at,
        Place::Added(_, at) => base + at,
    });
    let places: Vec<usize> = places.collect();
    ensure!(places.iter().all(|at| *at < all.columns), "a key that is no column");
    let pick = |row: &Vec<Value>| places.iter().map(|at| row[*at].clone()).collect();
    let keys = all.rows.iter().map(pick).collect();
    let rows = all.rows.into_iter().map(|mut row| {
        row.truncate(base);
        row
    });
    let rows = Rows { columns: base, rows: rows.collect() };
    Ok(Sorted { rows, keys, limit: keyed.limit, order_matters: true })
}

/// Judges an answer in words, without SQL: it is right if it names all that a gold statement finds.
///
/// # Errors
/// As [`judge`].
pub(crate) async fn judge_words(
    runner: &Runner,
    database: &str,
    question: &Question,
    words: &str,
) -> Result<Verdict> {
    let Expected::Rows { gold, .. } = &question.expected else { return Ok(Verdict::Right) };
    for gold in gold {
        let rows = runner
            .rows(database, gold)
            .await
            .with_context(|| format!("gold of {}: {gold}", question.id))?;
        if names_all(&rows, words) {
            return Ok(Verdict::Right);
        }
    }
    Ok(Verdict::Wrong("the answer in words lacks something".to_owned()))
}

fn names_all(rows: &Rows, words: &str) -> bool {
    let mut texts = rows.rows.iter().flatten().map(|value| match value {
        Value::Text(text) => words.contains(text.as_str()),
        _ => false,
    });
    !rows.rows.is_empty() && texts.all(|named| named)
}

fn difference(golds: &[Rows], answer: &Rows) -> String {
    let shape = |rows: &Rows| format!("{} rows of {} columns", rows.rows.len(), rows.columns);
    let Some(gold) = golds.first() else { return "nothing to compare with".to_owned() };
    if shape(gold) == shape(answer) {
        return format!("other values, or another order, in {}", shape(answer));
    }
    format!("{} instead of {}", shape(answer), shape(gold))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: u32) -> Value {
        Value::Number(Number::whole(value))
    }

    fn rows(values: &[&[u32]]) -> Rows {
        let row = |row: &&[u32]| row.iter().map(|value| number(*value)).collect();
        Rows { columns: values[0].len(), rows: values.iter().map(row).collect() }
    }

    #[test]
    fn without_keys_an_order_is_kept_to_the_row() {
        let (gold, other) = (rows(&[&[1], &[2]]), rows(&[&[2], &[1]]));
        for (ordered, right) in [(true, false), (false, true)] {
            for matching in [Matching::Exact { ordered }, Matching::MoreColumns { ordered }] {
                assert!(is_right(&gold, None, matching, &gold));
                assert_eq!(is_right(&gold, None, matching, &other), right, "{matching:?}");
            }
        }
    }

    #[test]
    fn as_a_set_neither_order_nor_duplicates_nor_further_columns_matter() {
        let gold = rows(&[&[1], &[2]]);
        let keys = vec![vec![number(1)], vec![number(2)]];
        let sorted = Sorted { rows: gold.clone(), keys, limit: None, order_matters: true };
        let answer = rows(&[&[7, 2], &[7, 1], &[7, 1]]);
        assert!(is_right(&gold, Some(sorted.clone()), Matching::AsSet, &answer));
        assert!(!is_right(&gold, Some(sorted), Matching::Exact { ordered: true }, &answer));
    }

    #[test]
    fn an_answer_in_words_must_name_all() {
        let text = |text: &str| vec![Value::Text(text.to_owned())];
        let gold = Rows { columns: 1, rows: vec![text("orders"), text("customers")] };
        assert!(names_all(&gold, "There are two tables: customers and orders."));
        assert!(!names_all(&gold, "There is a table orders."));
        assert!(!names_all(&Rows { columns: 1, rows: Vec::new() }, "anything"));
        assert!(!names_all(&rows(&[&[1]]), "1"));
    }
}
