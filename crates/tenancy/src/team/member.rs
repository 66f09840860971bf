use std::sync::Arc;

use jiff::Timestamp;
use plinth_core::{Credential, OrgId, Principal, UserId};

use crate::{Email, MemberRole};

plinth_core::typed_id! {
    /// Identifies a membership: a person in one organization. Who leaves and comes back is another member.
    MemberId, "mem"
}

/// A person in an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The membership's id.
    pub id: MemberId,
    /// In which organization.
    pub org: OrgId,
    /// Who.
    pub user: UserId,
    /// Where to write to them.
    pub email: Email,
    /// As what.
    pub role: MemberRole,
    /// Since when.
    pub joined_at: Timestamp,
}

impl Member {
    /// As whom something runs that this member has set up and that runs without them: with the rights of their role now. What
    /// is the owner's alone, nobody does by a job.
    pub fn as_job(&self) -> Principal {
        Principal {
            org: self.org,
            user: self.user,
            credential: Credential::Job,
            scopes: self.role.scopes(),
            is_owner: false,
            project: None,
            test_only: false,
            saved_queries_only: self.role.saved_queries_only(),
            origin: Arc::default(),
        }
    }
}
