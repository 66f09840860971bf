//! Who belongs to an organization and as what: members, invitations and roles.
//!
//! **Invariant:** nobody gives, or takes from somebody, what they do not hold themselves; it is decided in the
//! transaction that changes something, on what is there then.

mod attributes;
mod error;
mod invitation;
mod member;
mod ports;
mod roles;
mod service;

pub use attributes::{AttributesChange, MemberAttributes, parse_attributes};
pub use error::{Held, TeamError};
pub use invitation::{INVITATION_DAYS, Invitation, InvitationId, NewInvitation};
pub use member::{Member, MemberId};
pub use ports::{
    Acceptance, ChangeRole, JudgeInvitation, JudgeMember, JudgeRole, Renew, Renewed, TeamStore,
    WhichMember,
};
pub use service::{Accepted, Team};
