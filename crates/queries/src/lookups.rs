//! What was looked up in customers' databases, for a short while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use plinth_nl2sql::lookup::Found;

use crate::kept::Key;

/// How long words that were looked up and judged to be there, or not, are taken for so.
const KEPT_FOR: SignedDuration = SignedDuration::from_mins(1);

/// How many answers are kept.
const KEPT: usize = 1_024;

/// How long all of a lookup may take; whoever asked waits for it.
pub(crate) const LOOKUP_TIME: Duration = Duration::from_millis(150);

/// What a lookup may cost by the planner's estimate, in its own unit: about what reading fifty megabytes does.
pub(crate) const LOOKUP_COST: f64 = 20_000.0;

/// Answers by exactly what was sent: the connection as it was, the policies that bind the caller, the statement after they
/// rewrote it, and every value that is bound, those of the caller's attributes among them.
#[derive(Default)]
pub(crate) struct Lookups {
    held: Mutex<HashMap<Key, (Timestamp, Arc<[Found]>)>>,
}

impl Lookups {
    /// What is known of that lookup.
    pub(crate) fn get(&self, key: &Key, now: Timestamp) -> Option<Arc<[Found]>> {
        let held = self.held.lock().expect("not poisoned");
        let (at, found) = held.get(key)?;
        is_fresh(*at, now).then(|| found.clone())
    }

    /// Keeps what came of it. What failed or took too long is kept as well: it would again.
    pub(crate) fn put(&self, key: Key, now: Timestamp, found: Arc<[Found]>) {
        let mut held = self.held.lock().expect("not poisoned");
        if held.len() >= KEPT {
            held.retain(|_, (at, _)| is_fresh(*at, now));
        }
        if held.len() >= KEPT {
            held.clear();
        }
        held.insert(key, (now, found));
    }
}

fn is_fresh(at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(at) < KEPT_FOR
}
