//! When two results are the same answer.
//!
//! The order of the columns is free, the order of the rows is free unless it was asked for, and numbers may be rounded.
//! Where the gold statement sorts, rows whose sort keys tie may stand in any order, and where it also cuts, any choice
//! among the rows that tie at the cut is right, as is the answer that shows them all.

use std::cmp::Ordering;

use crate::value::Value;

/// Above this many rows, rows that do not stand side by side after sorting are not looked for one by one.
const MOST_ROWS_ONE_BY_ONE: usize = 2_000;

/// So many ways to match the columns are tried; more exist only where many columns hold the same values.
const MOST_COLUMN_ORDERS: usize = 500;

/// The rows of a result.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rows {
    /// How many columns each row has.
    pub(crate) columns: usize,
    pub(crate) rows: Vec<Vec<Value>>,
}

/// A result with what it was sorted by.
#[derive(Clone, Debug)]
pub(crate) struct Sorted {
    /// All rows in order; more than [`limit`](Self::limit) if those at the cut tie.
    pub(crate) rows: Rows,
    /// Each row's sort keys.
    pub(crate) keys: Vec<Vec<Value>>,
    /// How many rows were asked for.
    pub(crate) limit: Option<usize>,
    /// Whether the order itself was asked for, or only which rows are the first.
    pub(crate) order_matters: bool,
}

/// What a right answer may have beyond the gold's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leave {
    /// Further columns.
    pub(crate) columns: bool,
    /// The same row any number of times.
    pub(crate) duplicates: bool,
}

type Row<'a> = Vec<&'a Value>;

/// Whether both hold the same rows, in any order.
pub(crate) fn same_rows(gold: &Rows, answer: &Rows, leave: Leave) -> bool {
    let shape = |rows| if leave.duplicates { without_duplicates(rows) } else { rows };
    let all: Vec<usize> = (0..gold.columns).collect();
    let gold_rows = shape(pick(gold, &all));
    let alike = |a: usize, b: usize| same_bag(&shape(pick(gold, &[a])), &shape(pick(answer, &[b])));
    any_matching(gold, answer, leave, alike, |columns| {
        same_bag(&gold_rows, &shape(pick(answer, columns)))
    })
}

/// Whether the answer has the rows that the sorted gold allows, and in its order if that matters.
pub(crate) fn same_sorted(gold: &Sorted, answer: &Rows, leave: Leave) -> bool {
    let all = gold.rows.rows.len();
    let wanted = gold.limit.map_or(all, |limit| limit.min(all));
    let given = answer.rows.len();
    if given != wanted && given != all {
        return false;
    }
    let alike = |a: usize, b: usize| {
        let (a, b) = (pick(&gold.rows, &[a]), pick(answer, &[b]));
        if given == all { same_bag(&a, &b) } else { within_bag(&b, &a) }
    };
    any_matching(&gold.rows, answer, leave, alike, |columns| {
        fits_blocks(gold, &pick(answer, columns))
    })
}

/// Whether the rows go through the gold's blocks of tied rows one after the other.
fn fits_blocks(gold: &Sorted, answer: &[Row<'_>]) -> bool {
    let every: Vec<usize> = (0..gold.rows.columns).collect();
    let mut blocks: Vec<(&[Value], Vec<Row<'_>>)> = Vec::new();
    for (row, key) in pick(&gold.rows, &every).into_iter().zip(&gold.keys) {
        match blocks.last_mut() {
            Some((of, block)) if same_values(of, key) => block.push(row),
            _ => blocks.push((key, vec![row])),
        }
    }
    if !gold.order_matters {
        return fits_unordered(blocks, answer);
    }
    if fits_in_order(blocks.iter().map(|(_, block)| block), answer) {
        return true;
    }
    // Whether rows without a key come first or last is a matter of taste, unless the cut decides which rows are seen.
    let (null, rest): (Vec<_>, Vec<_>) =
        blocks.iter().partition(|(key, _)| key.contains(&Value::Null));
    let one_by_one = |first: &[&(&[Value], Vec<_>)], second: &[&(&[Value], Vec<_>)]| {
        let order: Vec<_> = first.iter().chain(second).map(|(_, block)| block.clone()).collect();
        fits_in_order(order.iter(), answer)
    };
    !null.is_empty() && (one_by_one(&null, &rest) || one_by_one(&rest, &null))
}

fn fits_in_order<'a, 'b: 'a>(
    blocks: impl Iterator<Item = &'a Vec<Row<'b>>>,
    answer: &[Row<'_>],
) -> bool {
    let mut left = answer;
    for block in blocks {
        if left.len() < block.len() {
            return within_bag(left, block);
        }
        let (these, others) = left.split_at(block.len());
        if !same_bag(block, these) {
            return false;
        }
        left = others;
    }
    left.is_empty()
}

/// All blocks before the cut are in the answer, and the rest of it is from the block that is cut.
fn fits_unordered(blocks: Vec<(&[Value], Vec<Row<'_>>)>, answer: &[Row<'_>]) -> bool {
    let mut sure: Vec<Row<'_>> = Vec::new();
    let mut all: Vec<Row<'_>> = Vec::new();
    for (_, block) in blocks {
        if sure.len() == all.len() && sure.len() + block.len() <= answer.len() {
            sure.extend(block.iter().cloned());
        }
        all.extend(block);
    }
    within_bag(&sure, answer) && within_bag(answer, &all)
}

/// Whether for any assignment of the gold's columns to the answer's, of which each pair is `alike`, the test holds.
fn any_matching(
    gold: &Rows,
    answer: &Rows,
    leave: Leave,
    alike: impl Fn(usize, usize) -> bool,
    holds: impl Fn(&[usize]) -> bool,
) -> bool {
    if answer.columns < gold.columns || (answer.columns > gold.columns && !leave.columns) {
        return false;
    }
    if gold.rows.is_empty() || answer.rows.is_empty() {
        return gold.rows.is_empty() && answer.rows.is_empty();
    }
    let mut candidates = Vec::with_capacity(gold.columns);
    for column in 0..gold.columns {
        // The same place first: it is the most likely.
        let mut places: Vec<usize> = (0..answer.columns).filter(|&at| alike(column, at)).collect();
        places.sort_by_key(|&at| at != column);
        candidates.push(places);
    }
    let mut tries = MOST_COLUMN_ORDERS;
    assign(&candidates, &mut Vec::new(), &mut tries, &holds)
}

fn assign(
    candidates: &[Vec<usize>],
    chosen: &mut Vec<usize>,
    tries: &mut usize,
    holds: &impl Fn(&[usize]) -> bool,
) -> bool {
    let Some(places) = candidates.get(chosen.len()) else {
        *tries = tries.saturating_sub(1);
        return holds(chosen);
    };
    for &place in places {
        if *tries == 0 {
            return false;
        }
        if chosen.contains(&place) {
            continue;
        }
        chosen.push(place);
        if assign(candidates, chosen, tries, holds) {
            return true;
        }
        chosen.pop();
    }
    false
}

fn pick<'a>(rows: &'a Rows, columns: &[usize]) -> Vec<Row<'a>> {
    rows.rows.iter().map(|row| columns.iter().map(|&at| &row[at]).collect()).collect()
}

fn same_row(a: &[&Value], b: &[&Value]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b))
}

fn same_values(a: &[Value], b: &[Value]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b))
}

/// Sorts by everything but numbers first, so that a little difference in a number moves a row among its likes only.
fn order(a: &Row<'_>, b: &Row<'_>) -> Ordering {
    let by = |compare: fn(&Value, &Value) -> Ordering| {
        let parts = a.iter().zip(b).map(|(a, b)| compare(a, b));
        parts.fold(Ordering::Equal, Ordering::then)
    };
    by(Value::order_apart_from_numbers).then_with(|| by(Value::order_of_numbers))
}

/// Whether both hold the same rows equally often.
fn same_bag(a: &[Row<'_>], b: &[Row<'_>]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    if a.iter().zip(b).all(|(a, b)| same_row(a, b)) {
        return true;
    }
    let sorted = |rows: &[Row<'_>]| {
        let mut places: Vec<usize> = (0..rows.len()).collect();
        places.sort_by(|&a, &b| order(&rows[a], &rows[b]));
        places
    };
    let (places_a, places_b) = (sorted(a), sorted(b));
    if places_a.iter().zip(&places_b).all(|(&at_a, &at_b)| same_row(&a[at_a], &b[at_b])) {
        return true;
    }
    a.len() <= MOST_ROWS_ONE_BY_ONE && within_bag(a, b)
}

/// Whether each row of `part` is in `whole`, and at least as often.
fn within_bag(part: &[Row<'_>], whole: &[Row<'_>]) -> bool {
    if part.len() > whole.len() {
        return false;
    }
    let mut free: Vec<&Row<'_>> = whole.iter().collect();
    part.iter().all(|row| {
        let found = free.iter().position(|other| same_row(row, other));
        found.map(|at| free.swap_remove(at)).is_some()
    })
}

fn without_duplicates(mut rows: Vec<Row<'_>>) -> Vec<Row<'_>> {
    rows.sort_by(order);
    rows.dedup_by(|a, b| same_row(a, b));
    rows
}

#[cfg(test)]
mod tests;
