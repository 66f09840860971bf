//! How much the runs under way in a process hold of what they found.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use plinth_core::OrgId;
use serde_json::Value;

use crate::result::StepResult;

/// From how many bytes on it matters who holds them, as texts; in memory they are several times as many. Runs that have a result
/// already go on, and free what they hold when they end.
const MUCH: usize = 64 << 20;

/// How many of them each organization may have where there are as many or more, whatever others have.
const SHARE: usize = MUCH / 8;

/// From how many on nobody begins to find something.
const MOST: usize = 4 * MUCH;

/// What all runs of a process hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holdings(Arc<Mutex<All>>);

#[derive(Debug, Default)]
struct All {
    bytes: usize,
    /// Of each organization that holds something.
    by_org: HashMap<OrgId, usize>,
}

impl Holdings {
    /// Whether runs of that organization that hold nothing have to wait. Where much is held, those of organizations do that hold
    /// more than a share of it: however much one holds, another's runs begin.
    pub(crate) fn are_much(&self, org: OrgId) -> bool {
        let all = self.0.lock().expect("not poisoned");
        let theirs = || all.by_org.get(&org).copied().unwrap_or_default();
        all.bytes > MUCH && (theirs() > SHARE || all.bytes > MOST)
    }

    /// What one run of that organization holds: nothing yet.
    pub(crate) fn of_one(&self, org: OrgId) -> Held {
        Held { all: self.clone(), org, bytes: 0 }
    }
}

/// What one run holds; it is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    all: Holdings,
    org: OrgId,
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
        let mut all = self.all.0.lock().expect("not poisoned");
        all.bytes += bytes;
        *all.by_org.entry(self.org).or_default() += bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut all = self.all.0.lock().expect("not poisoned");
        all.bytes -= self.bytes;
        if let Some(theirs) = all.by_org.get_mut(&self.org) {
            *theirs -= self.bytes;
            if *theirs == 0 {
                all.by_org.remove(&self.org);
            }
        }
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
    use uuid::Uuid;

    use super::*;

    fn org(number: u128) -> OrgId {
        OrgId::from_uuid(Uuid::from_u128(number))
    }

    fn large() -> StepResult {
        StepResult {
            columns: vec!["text".to_owned()],
            rows: vec![vec![json!({ "text": ["x".repeat(4 << 20)] })]],
            ..StepResult::default()
        }
    }

    /// How many large results an organization gets before it has to wait.
    fn fill(holdings: &Holdings, org: OrgId) -> Vec<Held> {
        let (mut all, large) = (Vec::new(), large());
        while !holdings.are_much(org) {
            let mut one = holdings.of_one(org);
            assert!(one.is_nothing());
            one.add(&large);
            assert!(!one.is_nothing());
            all.push(one);
        }
        all
    }

    #[test]
    fn much_is_held_until_those_who_hold_it_end() {
        let holdings = Holdings::default();
        let mut all = fill(&holdings, org(1));
        assert_eq!(all.len(), 16);
        all.pop();
        assert!(!holdings.are_much(org(1)));
        all.clear();
        let mut small = holdings.of_one(org(1));
        small.add(&StepResult::default());
        assert!(!small.is_nothing(), "whoever has a result goes on");
        drop(small);
        let left = holdings.0.lock().unwrap();
        assert!(left.bytes == 0 && left.by_org.is_empty(), "{left:?}");
    }

    #[test]
    fn what_one_organization_holds_makes_no_other_wait() {
        let holdings = Holdings::default();
        let first = fill(&holdings, org(1));
        assert!(holdings.are_much(org(1)) && !holdings.are_much(org(2)));
        let second = fill(&holdings, org(2));
        assert_eq!((first.len(), second.len()), (16, 2));
        assert!(holdings.are_much(org(1)) && holdings.are_much(org(2)));
        assert!(!holdings.are_much(org(3)), "who holds nothing may begin");
        // A process has no more than there is.
        let others: Vec<_> = (3..100).flat_map(|it| fill(&holdings, org(it))).collect();
        assert!(holdings.are_much(org(200)));
        let held = holdings.0.lock().unwrap().bytes;
        assert!(held > MOST && held < MOST + (5 << 20), "{held}");
        drop((first, second, others));
        assert!(holdings.0.lock().unwrap().by_org.is_empty());
    }
}
