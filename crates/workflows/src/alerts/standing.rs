//! What comes of an evaluation: the next state, and what has to be told.

use jiff::{SignedDuration, Timestamp};

use crate::condition::Verdict;

/// How an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertState {
    /// The condition does not hold.
    Ok,
    /// It holds.
    Triggered,
    /// It cannot be said: a null, no earlier value, or nothing was asked yet.
    Unknown,
    /// The query failed.
    Error,
}

impl AlertState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Triggered, Self::Unknown, Self::Error];

    /// Its name in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Triggered => "triggered",
            Self::Unknown => "unknown",
            Self::Error => "error",
        }
    }
}

/// From the first evaluation that found the condition to hold, to the first that found it not to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Episode {
    /// Since when.
    pub since: Timestamp,
    /// When it was told of last; `None` if it was not.
    pub told_at: Option<Timestamp>,
}

/// All that the next evaluation has to know of those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The state.
    pub state: AlertState,
    /// Since when.
    pub since: Timestamp,
    /// The episode that is not over. It goes on while the state is unknown or an error: nobody knows that it is over.
    pub episode: Option<Episode>,
    /// Whether it was told that the state is unknown or an error, and not yet that it is neither any more.
    pub trouble_told: bool,
}

/// What an evaluation found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This came of the condition.
    Judged(Verdict),
    /// The query failed for good.
    Failed,
}

/// When people want to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Telling {
    /// Whether nothing is told now.
    pub is_muted: bool,
    /// After how long an episode that goes on is told of again; `None` for never.
    pub rearm: Option<SignedDuration>,
    /// Whether its end is told.
    pub resolved: bool,
    /// Whether it is told that the condition cannot be judged.
    pub unknown: bool,
}

/// Something that has to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The condition holds.
    Triggered,
    /// It still does.
    Reminder,
    /// It does not any more.
    Resolved,
    /// It cannot be judged.
    Unknown,
    /// The query fails.
    Failing,
    /// It can be judged again.
    Recovered,
}

impl Notice {
    /// Every notice.
    pub const ALL: [Self; 6] = [
        Self::Triggered,
        Self::Reminder,
        Self::Resolved,
        Self::Unknown,
        Self::Failing,
        Self::Recovered,
    ];

    /// Its name in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Triggered => "triggered",
            Self::Reminder => "reminder",
            Self::Resolved => "resolved",
            Self::Unknown => "unknown",
            Self::Failing => "failing",
            Self::Recovered => "recovered",
        }
    }
}

impl Standing {
    /// How an alert stands before it was evaluated.
    pub fn new(now: Timestamp) -> Self {
        Self { state: AlertState::Unknown, since: now, episode: None, trouble_told: false }
    }

    /// The next standing, and what has to be told of it. An episode or a failure that is not told because the alert is
    /// muted is told by the first evaluation after, if it still holds then.
    #[must_use]
    pub fn next(
        &self,
        outcome: Outcome,
        telling: &Telling,
        now: Timestamp,
    ) -> (Self, Option<Notice>) {
        let state = match outcome {
            Outcome::Judged(Verdict::Met) => AlertState::Triggered,
            Outcome::Judged(Verdict::NotMet) => AlertState::Ok,
            Outcome::Judged(Verdict::Unknown) => AlertState::Unknown,
            Outcome::Failed => AlertState::Error,
        };
        let since = if state == self.state { self.since } else { now };
        let mut next = Self { state, since, ..*self };
        let mut notice = None;
        match state {
            AlertState::Triggered => {
                let mut episode = self.episode.unwrap_or(Episode { since: now, told_at: None });
                notice = match (episode.told_at, telling.rearm) {
                    (None, _) => Some(Notice::Triggered),
                    (Some(told), Some(rearm)) if now.duration_since(told) >= rearm => {
                        Some(Notice::Reminder)
                    }
                    _ => None,
                };
                if notice.is_some() && !telling.is_muted {
                    episode.told_at = Some(now);
                }
                next.episode = Some(episode);
            }
            AlertState::Ok => {
                let was_told = self.episode.is_some_and(|it| it.told_at.is_some());
                notice = (was_told && telling.resolved).then_some(Notice::Resolved);
                next.episode = None;
            }
            AlertState::Unknown if telling.unknown && !self.trouble_told => {
                // Before anything was judged, that nothing can be is no news.
                notice = (self.state != AlertState::Unknown).then_some(Notice::Unknown);
            }
            // Who was told that it cannot be judged was not told that it fails, and others hear of that than of this.
            AlertState::Error
                if !self.trouble_told || telling.unknown && self.state == AlertState::Unknown =>
            {
                notice = Some(Notice::Failing);
            }
            AlertState::Unknown | AlertState::Error => {}
        }
        if telling.is_muted {
            notice = None;
        }
        if matches!(notice, Some(Notice::Unknown | Notice::Failing)) {
            next.trouble_told = true;
        }
        if matches!(state, AlertState::Ok | AlertState::Triggered) {
            // What is told anyway says that it works again.
            if self.trouble_told && !telling.is_muted && notice.is_none() {
                notice = Some(Notice::Recovered);
            }
            next.trouble_told = false;
        }
        (next, notice)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TELLING: Telling =
        Telling { is_muted: false, rearm: None, resolved: true, unknown: false };
    const MET: Outcome = Outcome::Judged(Verdict::Met);
    const NOT_MET: Outcome = Outcome::Judged(Verdict::NotMet);
    const UNKNOWN: Outcome = Outcome::Judged(Verdict::Unknown);

    /// What is told of these outcomes, one a minute.
    fn told(telling: impl Fn(usize) -> Telling, outcomes: &[Outcome]) -> Vec<Option<Notice>> {
        let mut now = Timestamp::UNIX_EPOCH;
        let mut standing = Standing::new(now);
        let mut notices = Vec::new();
        for (at, outcome) in outcomes.iter().enumerate() {
            now += SignedDuration::from_mins(1);
            let (next, notice) = standing.next(*outcome, &telling(at), now);
            standing = next;
            notices.push(notice);
        }
        notices
    }

    #[test]
    fn an_episode_is_told_when_it_begins_and_when_it_ends() {
        use Notice::{Resolved, Triggered};
        let outcomes = [NOT_MET, MET, MET, NOT_MET, NOT_MET, MET];
        let expected = [None, Some(Triggered), None, Some(Resolved), None, Some(Triggered)];
        assert_eq!(told(|_| TELLING, &outcomes), expected);
        let silent = Telling { resolved: false, ..TELLING };
        assert_eq!(told(|_| silent, &outcomes)[3], None);
    }

    #[test]
    fn it_is_told_again_when_it_is_armed_again() {
        use Notice::{Reminder, Triggered};
        let rearmed = Telling { rearm: Some(SignedDuration::from_mins(2)), ..TELLING };
        let expected = [Some(Triggered), None, Some(Reminder), None, Some(Reminder)];
        assert_eq!(told(|_| rearmed, &[MET; 5]), expected);
    }

    #[test]
    fn what_is_muted_is_told_afterwards_if_it_still_holds() {
        let muted = |at| Telling { is_muted: at < 2, ..TELLING };
        assert_eq!(told(muted, &[MET, MET, MET]), [None, None, Some(Notice::Triggered)]);
        assert_eq!(told(muted, &[MET, MET, NOT_MET]), [None; 3], "nobody knew that it began");
    }

    #[test]
    fn trouble_is_told_once_and_ends_no_episode() {
        use Notice::{Failing, Recovered, Resolved, Triggered};
        let failed = Outcome::Failed;
        let outcomes = [MET, failed, failed, UNKNOWN, MET, NOT_MET, failed, NOT_MET];
        let expected = [
            Some(Triggered),
            Some(Failing),
            None,
            None,
            Some(Recovered),
            Some(Resolved),
            Some(Failing),
            Some(Recovered),
        ];
        assert_eq!(told(|_| TELLING, &outcomes), expected);
        let asked = Telling { unknown: true, ..TELLING };
        let outcomes = [UNKNOWN, NOT_MET, UNKNOWN, UNKNOWN, NOT_MET];
        let expected = [None, None, Some(Notice::Unknown), None, Some(Recovered)];
        assert_eq!(told(|_| asked, &outcomes), expected);
        let outcomes = [NOT_MET, UNKNOWN, failed, failed, NOT_MET];
        let expected = [None, Some(Notice::Unknown), Some(Failing), None, Some(Recovered)];
        assert_eq!(told(|_| asked, &outcomes), expected);
    }

    proptest! {
        /// Whatever comes: of each episode its beginning is told once, and its end only after.
        #[test]
        fn beginnings_and_ends_alternate(outcomes in proptest::collection::vec(0..4usize, 0..60), muted in 0..60usize) {
            let all = [MET, NOT_MET, UNKNOWN, Outcome::Failed];
            let outcomes: Vec<_> = outcomes.into_iter().map(|it| all[it]).collect();
            let notices = told(|at| Telling { is_muted: at == muted, ..TELLING }, &outcomes);
            let mut is_open = false;
            for (outcome, notice) in outcomes.iter().zip(notices) {
                match notice {
                    Some(Notice::Triggered) => { prop_assert!(!is_open); is_open = true; }
                    Some(Notice::Resolved) => { prop_assert!(is_open); is_open = false; }
                    _ => {}
                }
                if *outcome == NOT_MET { is_open = false; }
            }
        }
    }
}
