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
        if self.workflows.len() + latest.len() > REMEMBERED {
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
