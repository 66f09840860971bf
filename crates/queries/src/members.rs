use std::sync::Arc;

use async_trait::async_trait;
use plinth_core::{OrgId, Principal, StoreError, UserId};
use plinth_tenancy::team::{TeamStore, WhichMember};

/// Members as whom something runs, as they are at that moment.
#[async_trait]
pub trait Members: Send + Sync + 'static {
    /// Their rights now; `None` if they are no member any more.
    async fn acting(&self, org: OrgId, user: UserId) -> Result<Option<Principal>, StoreError>;
}

/// [`Members`] over the team: rights are those of the role at that moment.
pub struct TeamMembers {
    team: Arc<dyn TeamStore>,
}

impl TeamMembers {
    /// Looks members up there.
    pub fn new(team: Arc<dyn TeamStore>) -> Self {
        Self { team }
    }
}

#[async_trait]
impl Members for TeamMembers {
    async fn acting(&self, org: OrgId, user: UserId) -> Result<Option<Principal>, StoreError> {
        Ok(self.team.member(org, WhichMember::User(user)).await?.map(|it| it.as_job()))
    }
}
