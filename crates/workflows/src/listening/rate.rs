//! How many runs a channel may start.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::WorkflowId;

/// What each workflow was started this minute, and how often it was not.
#[derive(Debug, Default)]
pub(super) struct Rates {
    minutes: HashMap<WorkflowId, Minute>,
}

#[derive(Debug, Default)]
struct Minute {
    number: i64,
    runs: u32,
    skipped: u64,
}

/// A minute in which some were skipped.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flood {
    pub(super) workflow: WorkflowId,
    pub(super) skipped: u64,
}

impl Rates {
    /// Whether there is room for one more; counts it either way.
    pub(super) fn admit(&mut self, workflow: WorkflowId, most: u32, now: Timestamp) -> bool {
        let minute = self.minutes.entry(workflow).or_default();
        let number = now.as_second().div_euclid(60);
        if number > minute.number {
            // What was skipped before was told, or is told with what is skipped now.
            (minute.number, minute.runs) = (number, 0);
        }
        if minute.runs < most {
            minute.runs += 1;
            return true;
        }
        minute.skipped += 1;
        false
    }

    /// What was skipped in minutes that are over; each is told once.
    pub(super) fn floods(&mut self, now: Timestamp) -> Vec<Flood> {
        let number = now.as_second().div_euclid(60);
        let mut floods = Vec::new();
        for (workflow, minute) in &mut self.minutes {
            if minute.skipped > 0 && number > minute.number {
                floods.push(Flood { workflow: *workflow, skipped: minute.skipped });
                minute.skipped = 0;
            }
        }
        self.minutes.retain(|_, it| it.number + 1 >= number);
        floods
    }

    /// What was skipped and not told yet, at the end.
    pub(super) fn rest(&mut self) -> Vec<Flood> {
        let all = std::mem::take(&mut self.minutes).into_iter();
        all.filter(|it| it.1.skipped > 0)
            .map(|(workflow, it)| Flood { workflow, skipped: it.skipped })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_starts_as_many_runs_as_it_may_and_is_told_once() {
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).expect("a time");
        let (mut rates, one) = (Rates::default(), WorkflowId::new(at(0)));
        let started = (0..1_000).filter(|_| rates.admit(one, 60, at(10))).count();
        assert_eq!(started, 60);
        assert_eq!(rates.floods(at(59)), [], "the minute is not over");
        assert_eq!(rates.floods(at(60)), [Flood { workflow: one, skipped: 940 }]);
        assert_eq!(rates.floods(at(61)), []);
        assert!(rates.admit(one, 60, at(61)));
        assert_eq!(rates.rest(), []);
    }
}
