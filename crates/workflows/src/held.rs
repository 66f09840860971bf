//! How much the runs under way in a process hold of what they found.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::result::StepResult;

/// From how many bytes on no further run begins to find something, as texts; in memory they are several times as many. Runs that
/// have a result already go on, and free what they hold when they end.
const MUCH: usize = 64 << 20;

/// What all runs of a process hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holdings(Arc<AtomicUsize>);

impl Holdings {
    /// Whether runs that hold nothing have to wait.
    pub(crate) fn are_much(&self) -> bool {
        self.0.load(Ordering::Relaxed) > MUCH
    }

    /// What one run holds: nothing yet.
    pub(crate) fn of_one(&self) -> Held {
        Held { all: self.clone(), bytes: 0 }
    }
}

/// What one run holds; it is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    all: Holdings,
    bytes: usize,
}

impl Held {
    /// Whether it holds nothing.
    pub(crate) fn is_nothing(&self) -> bool {
        self.bytes == 0
    }

    /// It holds that too.
    pub(crate) fn add(&mut self, result: &StepResult) {
        let bytes = result.rows.iter().flatten().map(size).sum::<usize>() + 1;
        self.bytes += bytes;
        self.all.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// About how long a value is as a text.
fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(it) => it.len() + 2,
        Value::Array(all) => all.iter().map(size).sum::<usize>() + 2,
        Value::Object(all) => all.iter().map(|(name, it)| name.len() + 4 + size(it)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn much_is_held_until_those_who_hold_it_end() {
        let holdings = Holdings::default();
        let large = StepResult {
            columns: vec!["text".to_owned()],
            rows: vec![vec![json!({ "text": ["x".repeat(4 << 20)] })]],
        };
        let mut all = Vec::new();
        while !holdings.are_much() {
            let mut one = holdings.of_one();
            assert!(one.is_nothing());
            one.add(&large);
            assert!(!one.is_nothing());
            all.push(one);
        }
        assert_eq!(all.len(), 16);
        all.pop();
        assert!(!holdings.are_much());
        all.clear();
        let mut small = holdings.of_one();
        small.add(&StepResult::default());
        assert!(!small.is_nothing(), "whoever has a result goes on");
        drop(small);
        assert_eq!(holdings.0.load(Ordering::Relaxed), 0);
    }
}
