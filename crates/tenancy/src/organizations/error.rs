use plinth_core::{Classify, ErrorKind, OrgId, StoreError};
use serde_json::{Value, json};

use crate::{InvalidName, MemberId, OrganizationName, TenancyError};

/// Why an operation on an organization failed.
#[derive(Debug, thiserror::Error)]
pub enum OrganizationError {
    /// Input that breaks a rule.
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
    /// Not the organization that the call is for.
    #[error(
        "there is no organization {0}, or this call is for another: pick it with `x-tenant-id`"
    )]
    NotFound(OrgId),
    /// Another organization has that name.
    #[error("an organization named `{0}` exists already")]
    NameTaken(OrganizationName),
    /// The name that was typed is not the organization's.
    #[error("type the organization's name to confirm that it shall be deleted")]
    NotConfirmed,
    /// It is not being deleted.
    #[error("the organization is not being deleted")]
    NotClosing,
    /// No such member in this organization.
    #[error("there is no member {0}")]
    MemberNotFound(MemberId),
    /// The member owns the organization.
    #[error("this member is the owner already")]
    AlreadyOwner,
    /// The caller was the owner a moment ago.
    #[error("only the organization's owner may do this")]
    NotOwner,
    /// See [`TenancyError`].
    #[error(transparent)]
    Tenancy(#[from] TenancyError),
    /// Our own storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Classify for OrganizationError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidName(err) => err.kind(),
            Self::NotFound(_) | Self::MemberNotFound(_) => ErrorKind::NotFound,
            Self::NameTaken(_) | Self::NotClosing | Self::AlreadyOwner => ErrorKind::Conflict,
            Self::NotConfirmed => ErrorKind::Invalid,
            Self::NotOwner => ErrorKind::Forbidden,
            Self::Tenancy(err) => err.kind(),
            Self::Store(err) => err.kind(),
        }
    }

    fn details(&self) -> Option<Value> {
        Some(match self {
            Self::InvalidName(err) => return err.details(),
            Self::Tenancy(err) => return err.details(),
            Self::NotConfirmed => json!({ "confirm": self.to_string() }),
            Self::NameTaken(_) => json!({ "reason": "name_taken" }),
            Self::NotClosing => json!({ "reason": "not_deleting" }),
            Self::AlreadyOwner => json!({ "reason": "already_the_owner" }),
            Self::NotOwner => json!({ "reason": "owner_only" }),
            Self::NotFound(_) | Self::MemberNotFound(_) | Self::Store(_) => return None,
        })
    }
}
