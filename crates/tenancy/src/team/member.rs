use jiff::Timestamp;
use plinth_core::{OrgId, UserId};

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
