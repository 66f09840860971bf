use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::WorkflowId;

/// How many refusals of one webhook are noted in a minute; the last says that there may be more.
const NOTED: u32 = 10;

/// Of how many workflows it is remembered what came before those that did not come this minute are forgotten.
const REMEMBERED: usize = 10_000;

/// What came to each webhook this minute, and of which workflows too many runs wait. Counted in this process's memory: a flood must not become writes to our database.
/// Servers count each for itself.
#[derive(Debug, Default)]
pub(super) struct Calls {
    minutes: Mutex<HashMap<WorkflowId, Minute>>,
}

#[derive(Debug, Default)]
struct Minute {
    number: i64,
    taken: u32,
    is_full: bool,
    refused: u32,
    /// Whether too many runs of it wait; `None` before it was looked at.
    too_many_wait: Option<bool>,
}

/// A call that is one too many.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany {
    /// In how many seconds there is room again.
    pub(super) seconds: i64,
    /// Whether it is the first of its minute.
    pub(super) is_first: bool,
}

/// Whether a refusal is noted among the workflow's events.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Noted {
    Yes,
    /// The last of its minute that is.
    Last,
    No,
}

impl Calls {
    /// Counts a call that is as it should be, unless `most` came this minute.
    pub(super) fn admit(&self, id: WorkflowId, most: u32, now: Timestamp) -> Result<(), TooMany> {
        self.with(id, now, |minute| {
            if minute.taken < most {
                minute.taken += 1;
                return Ok(());
            }
            let is_first = !std::mem::replace(&mut minute.is_full, true);
            Err(TooMany { seconds: 60 - now.as_second().rem_euclid(60), is_first })
        })
    }

    /// Counts a call that is not, which takes nobody's room.
    pub(super) fn refuse(&self, id: WorkflowId, now: Timestamp) -> Noted {
        self.with(id, now, |minute| {
            minute.refused = minute.refused.saturating_add(1);
            match minute.refused {
                ..NOTED => Noted::Yes,
                NOTED => Noted::Last,
                _ => Noted::No,
            }
        })
    }

    /// Whether too many runs of it wait, if that was looked at this minute: counting many takes a while.
    pub(super) fn too_many_wait(&self, id: WorkflowId, now: Timestamp) -> Option<bool> {
        self.with(id, now, |minute| minute.too_many_wait)
    }

    /// Keeps that in mind for the rest of the minute.
    pub(super) fn looked(&self, id: WorkflowId, now: Timestamp, too_many_wait: bool) {
        self.with(id, now, |minute| minute.too_many_wait = Some(too_many_wait));
    }

    fn with<T>(&self, id: WorkflowId, now: Timestamp, count: impl FnOnce(&mut Minute) -> T) -> T {
        let number = now.as_second().div_euclid(60);
        // Counts are whole after every step: a panic elsewhere leaves nothing half done.
        let mut minutes = self.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        if minutes.len() >= REMEMBERED && !minutes.contains_key(&id) {
            minutes.retain(|_, it| it.number >= number);
        }
        let minute = minutes.entry(id).or_default();
        if number > minute.number {
            *minute = Minute { number, ..Minute::default() };
        }
        count(minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_takes_so_many_calls_and_a_flood_is_noted_once() {
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).expect("a time");
        let (calls, one) = (Calls::default(), WorkflowId::new(at(0)));
        let taken = (0..1_000).filter(|_| calls.admit(one, 60, at(10)).is_ok()).count();
        assert_eq!(taken, 60);
        let again = calls.admit(one, 60, at(10));
        assert_eq!(
            again,
            Err(TooMany { seconds: 50, is_first: false }),
            "the first was told before"
        );
        assert!(calls.admit(one, 60, at(60)).is_ok());
        let full = calls.admit(one, 1, at(60));
        assert_eq!(full, Err(TooMany { seconds: 60, is_first: true }), "once in each minute");
    }

    #[test]
    fn refusals_are_noted_up_to_a_bound_and_take_nobodys_room() {
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).expect("a time");
        let (calls, one) = (Calls::default(), WorkflowId::new(at(0)));
        let noted: Vec<_> = (0..1_000).map(|_| calls.refuse(one, at(1))).collect();
        assert_eq!(noted.iter().filter(|it| **it != Noted::No).count(), 10);
        assert_eq!(noted[9], Noted::Last);
        assert_eq!(calls.refuse(one, at(61)), Noted::Yes);
        assert!(calls.admit(one, 1, at(61)).is_ok());
    }

    #[test]
    fn how_many_wait_is_looked_at_once_a_minute() {
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).expect("a time");
        let (calls, one) = (Calls::default(), WorkflowId::new(at(0)));
        assert_eq!(calls.too_many_wait(one, at(0)), None);
        calls.looked(one, at(0), true);
        assert_eq!(calls.too_many_wait(one, at(59)), Some(true));
        assert_eq!(calls.too_many_wait(one, at(60)), None);
    }
}
