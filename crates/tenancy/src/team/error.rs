use plinth_core::{Classify, ErrorKind, InvalidAttribute, StoreError};
use serde_json::{Value, json};

use super::{InvitationId, MemberId};
use crate::{
    AccountError, Email, InvalidName, InvalidRole, RoleId, RoleName, TenancyError, UnknownRole,
};

/// By how many a role is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Members who have it.
    pub members: i64,
    /// Invitations that give it.
    pub invitations: i64,
}

/// Why an operation on members, invitations or roles failed.
#[derive(Debug, thiserror::Error)]
pub enum TeamError {
    /// Input that breaks a rule.
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
    /// Input that breaks a rule.
    #[error(transparent)]
    InvalidRole(#[from] InvalidRole),
    /// A role was named that this organization does not have.
    #[error(transparent)]
    UnknownRole(#[from] UnknownRole),
    /// No such member in this organization.
    #[error("there is no member {0}")]
    MemberNotFound(MemberId),
    /// No such invitation in this organization.
    #[error("there is no invitation {0}")]
    InvitationNotFound(InvitationId),
    /// No such role of this organization's own.
    #[error("there is no role {0}")]
    RoleNotFound(RoleId),
    /// The address belongs to a member.
    #[error("{0} is a member already")]
    AlreadyMember(Email),
    /// The address was invited.
    #[error("{0} was invited already; send that invitation again")]
    AlreadyInvited(Email),
    /// The organization has a role of that name.
    #[error("a role named `{0}` exists already")]
    RoleNameTaken(RoleName),
    /// The organization has as many roles as it may.
    #[error("an organization has at most {0} roles of its own")]
    TooManyRoles(usize),
    /// Somebody has the role or is going to.
    #[error("{} members and {} invitations hold this role", .0.members, .0.invitations)]
    RoleHeld(Held),
    /// Somebody would give what they do not have, or act on somebody above them.
    #[error("nobody can give or take away more than they have themselves")]
    Escalation,
    /// An attribute of a member breaks a rule.
    #[error(transparent)]
    Attribute(#[from] InvalidAttribute),
    /// A member's attributes have changed since the caller read them.
    #[error("the member's attributes have changed since you read them; read them again")]
    AttributesChanged,
    /// The owner is neither changed nor removed.
    #[error("an organization always has its owner: hand it over to another member first")]
    OwnerStays,
    /// The link is not, or no longer, good. Never says which.
    #[error(
        "this invitation is not good: it was used, taken back or sent again, or it has expired; ask for a new one"
    )]
    NotGood,
    /// The invited person has no password and gave none.
    #[error("choose a password: there is none for this address yet")]
    PasswordNeeded,
    /// The invited person has a password and gave one.
    #[error(
        "there is a password for this address already: leave it out, and sign in with it afterwards"
    )]
    PasswordKnown,
    /// See [`AccountError`].
    #[error(transparent)]
    Account(#[from] AccountError),
    /// See [`TenancyError`].
    #[error(transparent)]
    Tenancy(#[from] TenancyError),
    /// Our own storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Classify for TeamError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidName(err) => err.kind(),
            Self::InvalidRole(err) => err.kind(),
            Self::UnknownRole(_) | Self::PasswordNeeded | Self::PasswordKnown => ErrorKind::Invalid,
            Self::Account(err) => err.kind(),
            Self::Attribute(err) => err.kind(),
            Self::AttributesChanged => ErrorKind::PreconditionFailed,
            Self::MemberNotFound(_)
            | Self::InvitationNotFound(_)
            | Self::RoleNotFound(_)
            | Self::NotGood => ErrorKind::NotFound,
            Self::AlreadyMember(_)
            | Self::AlreadyInvited(_)
            | Self::RoleNameTaken(_)
            | Self::RoleHeld(_)
            | Self::TooManyRoles(_)
            | Self::OwnerStays => ErrorKind::Conflict,
            Self::Escalation => ErrorKind::Forbidden,
            Self::Tenancy(err) => err.kind(),
            Self::Store(err) => err.kind(),
        }
    }

    fn details(&self) -> Option<Value> {
        Some(match self {
            Self::InvalidName(err) => return err.details(),
            Self::InvalidRole(err) => return err.details(),
            Self::Tenancy(err) => return err.details(),
            Self::Account(err) => return err.details(),
            Self::Attribute(err) => return err.details(),
            Self::PasswordNeeded | Self::PasswordKnown => json!({ "password": self.to_string() }),
            Self::UnknownRole(err) => json!({ "role": err.to_string() }),
            Self::AlreadyMember(_) => json!({ "reason": "already_a_member" }),
            Self::AlreadyInvited(_) => json!({ "reason": "already_invited" }),
            Self::RoleNameTaken(_) => json!({ "reason": "name_taken" }),
            Self::RoleHeld(held) => {
                json!({ "reason": "role_held", "members": held.members, "invitations": held.invitations })
            }
            Self::TooManyRoles(most) => json!({ "reason": "too_many", "most": most }),
            Self::Escalation => json!({ "reason": "role_escalation_denied" }),
            Self::OwnerStays => json!({ "reason": "owner_must_hand_over" }),
            Self::NotGood => json!({ "reason": "invitation_not_good" }),
            Self::MemberNotFound(_)
            | Self::InvitationNotFound(_)
            | Self::RoleNotFound(_)
            | Self::AttributesChanged
            | Self::Store(_) => return None,
        })
    }
}
