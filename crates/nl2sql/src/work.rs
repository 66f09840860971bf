//! How much is done for a question, counted in steps and not in time: the same on every machine, however busy.
//!
//! A step is about one thing looked at: a name that a word may be one of, a place where a value was seen, a reference on the way
//! from one table to another. What is remembered from earlier questions counts as if it were found out again, so that a
//! question always costs the same.

use std::cell::Cell;

thread_local! {
    static DONE: Cell<u64> = const { Cell::new(0) };
}

/// The most steps after which further readings of a question are still tried. A question over thousands of tables that
/// remains unsure takes a fraction of that; what takes more is answered with what was found by then.
const MOST: u64 = 4_000_000;

/// A new question begins.
pub(crate) fn begin() {
    DONE.set(0);
}

/// So many things were looked at.
pub(crate) fn note(steps: usize) {
    DONE.set(DONE.get().saturating_add(steps as u64));
}

/// The steps since the last question of this thread began.
pub fn done() -> u64 {
    DONE.get()
}

/// Whether there is room for one more reading of the question.
pub(crate) fn has_room() -> bool {
    done() < MOST
}
