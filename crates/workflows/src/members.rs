use std::sync::Arc;

use async_trait::async_trait;
use plinth_core::{Cursor, Limit, OrgId, Page, Principal, StoreError, UserId};
use plinth_tenancy::MemberRole;
use plinth_tenancy::team::{Member, TeamStore, WhichMember};

use crate::ports::{FitsRole, Members};

/// [`Members`] over the team: an owner's rights are those of their role at that moment.
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

    async fn role(&self, org: OrgId, user: UserId) -> Result<Option<MemberRole>, StoreError> {
        Ok(self.team.member(org, WhichMember::User(user)).await?.map(|it| it.role))
    }

    async fn has_another(
        &self,
        org: OrgId,
        but: &[UserId],
        fits: FitsRole<'_>,
    ) -> Result<bool, StoreError> {
        let limit = Limit::default();
        let mut after = None;
        loop {
            let found = self.team.members(org, after, limit).await?;
            let page = Page::cut(found, limit, |it: &Member| Cursor {
                created_at: it.joined_at,
                id: it.id.as_uuid(),
            });
            if page.items.iter().any(|it| !but.contains(&it.user) && fits(&it.role)) {
                return Ok(true);
            }
            after = page.next;
            if after.is_none() {
                return Ok(false);
            }
        }
    }
}
