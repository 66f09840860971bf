//! Whose turn it is when runs are taken: where in the circles of organizations and of their workflows the last round ended.

use std::collections::HashMap;

use plinth_core::OrgId;
use uuid::Uuid;

use crate::WorkflowId;
use crate::run::Taken;

/// Of how many organizations it is remembered which workflow came last before the others are forgotten, which begin with their
/// newest workflow then.
const REMEMBERED: usize = 256;

/// After whom the next round goes on.
#[derive(Debug)]
pub(crate) struct Turns {
    org: OrgId,
    workflows: HashMap<OrgId, WorkflowId>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { org: OrgId::from_uuid(Uuid::nil()), workflows: HashMap::new() }
    }
}

impl Turns {
    /// Notes a round, with its runs in the order of their turns.
    pub(crate) fn took(&mut self, runs: &[Taken]) {
        let Some(last) = runs.last() else { return };
        self.org = last.org;
        let latest: HashMap<OrgId, WorkflowId> =
            runs.iter().map(|it| (it.org, it.workflow)).collect();
        let new = latest.keys().filter(|it| !self.workflows.contains_key(it)).count();
        if self.workflows.len() + new > REMEMBERED {
            self.workflows.clear();
        }
        self.workflows.extend(latest);
    }

    /// The organization with which the last round ended.
    pub(crate) fn organization(&self) -> OrgId {
        self.org
    }

    /// The workflow that came last in each organization.
    pub(crate) fn workflows(&self) -> Vec<(OrgId, WorkflowId)> {
        self.workflows.iter().map(|(org, workflow)| (*org, *workflow)).collect()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use plinth_core::UserId;

    use super::*;
    use crate::RunId;

    fn org(number: usize) -> OrgId {
        OrgId::from_uuid(Uuid::from_u128(number as u128))
    }

    fn workflow(number: u128) -> WorkflowId {
        WorkflowId::from_uuid(Uuid::from_u128(number))
    }

    fn taken((of, by): (usize, u128)) -> Taken {
        Taken {
            org: org(of),
            id: RunId::from_uuid(Uuid::nil()),
            workflow: workflow(by),
            workflow_name: String::new(),
            owner: UserId::from_uuid(Uuid::nil()),
            version: 1,
            fence: 1,
            trigger: "manual".to_owned(),
            payload: None,
            created_at: Timestamp::UNIX_EPOCH,
            passed: std::time::Duration::ZERO,
            stored: 0,
            done: Vec::new(),
            tried: 0,
            verdict: None,
            losses: 0,
        }
    }

    fn round(turns: &mut Turns, runs: impl IntoIterator<Item = (usize, u128)>) {
        turns.took(&runs.into_iter().map(taken).collect::<Vec<_>>());
    }

    #[test]
    fn the_next_round_goes_on_after_the_last_of_each_organization() {
        let mut turns = Turns::default();
        assert_eq!((turns.organization(), turns.workflows()), (org(0), Vec::new()));
        round(&mut turns, [(7, 1), (7, 3), (2, 9), (7, 2)]);
        assert_eq!(turns.organization(), org(7));
        let mut workflows = turns.workflows();
        workflows.sort_unstable();
        assert_eq!(workflows, [(org(2), workflow(9)), (org(7), workflow(2))]);
        // A round that took nothing is none, and one of others leaves these where they are.
        round(&mut turns, []);
        assert_eq!(turns.organization(), org(7));
        round(&mut turns, [(5, 4)]);
        assert_eq!((turns.organization(), turns.workflows().len()), (org(5), 3));
    }

    #[test]
    fn no_more_than_so_many_organizations_are_remembered() {
        let mut turns = Turns::default();
        for number in 0..REMEMBERED {
            round(&mut turns, [(number, 1)]);
        }
        // Those that come again take no further place.
        round(&mut turns, (0..REMEMBERED).map(|it| (it, 3)));
        assert_eq!(turns.workflows().len(), REMEMBERED);
        assert!(turns.workflows().iter().all(|it| it.1 == workflow(3)));
        round(&mut turns, [(REMEMBERED, 2)]);
        assert_eq!(turns.workflows(), [(org(REMEMBERED), workflow(2))]);
    }
}
