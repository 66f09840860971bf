use jiff::{SignedDuration, Timestamp};
use plinth_core::{OrgId, UserId};

use crate::{Email, MemberRole, RoleKey};

plinth_core::typed_id! {
    /// Identifies an invitation into an organization.
    InvitationId, "inv"
}

/// How many days an invitation is good after it was sent.
pub const INVITATION_DAYS: i64 = 7;

/// An invitation that was neither accepted nor taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// Into which organization.
    pub org: OrgId,
    /// Who was asked to come.
    pub email: Email,
    /// As what.
    pub role: MemberRole,
    /// By whom: what they may not grant any more, nobody gets by it.
    pub invited_by: UserId,
    /// How often it was sent, from 1. Each sending has a link of its own, and the newest counts.
    pub sending: i32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last sent.
    pub sent_at: Timestamp,
    /// From when its link is good no longer.
    pub expires_at: Timestamp,
}

impl Invitation {
    /// Whether its link would be taken then.
    pub fn is_good(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }

    /// The same, sent again: older links no longer count.
    #[must_use]
    pub fn sent_again(&self, by: UserId, now: Timestamp) -> Self {
        Self {
            invited_by: by,
            sending: self.sending.saturating_add(1),
            sent_at: now,
            expires_at: expiry(now),
            ..self.clone()
        }
    }
}

/// An invitation to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInvitation {
    /// Its id.
    pub id: InvitationId,
    /// Into which organization.
    pub org: OrgId,
    /// Who is asked to come.
    pub email: Email,
    /// As what.
    pub role: RoleKey,
    /// By whom.
    pub invited_by: UserId,
    /// When.
    pub at: Timestamp,
}

impl NewInvitation {
    /// From when its link is good no longer.
    pub fn expires_at(&self) -> Timestamp {
        expiry(self.at)
    }
}

fn expiry(sent_at: Timestamp) -> Timestamp {
    sent_at.saturating_add(SignedDuration::from_hours(24 * INVITATION_DAYS)).unwrap_or(sent_at)
}
