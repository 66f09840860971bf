use plinth_core::{Classify, ErrorKind, ProviderId, StoreError};
use serde_json::{Value, json};

use super::InvalidProvider;
use crate::KeySetError;

/// Why something about identity providers failed.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The token is not good. Never says why: that would tell a forger what to mend.
    #[error("send a valid API key or token as `Authorization: Bearer …`")]
    Unauthenticated,
    /// It is, and says nothing by which to know the person.
    #[error(
        "the identity provider's token has no verified e-mail address in the claim that was configured"
    )]
    NoAddress,
    /// Several organizations would take it.
    #[error("several organizations take this token; say which one you mean in `x-tenant-id`")]
    PickOrganization,
    /// No such provider in this organization.
    #[error("there is no identity provider {0}")]
    NotFound(ProviderId),
    /// A setting breaks a rule.
    #[error(transparent)]
    Invalid(#[from] InvalidProvider),
    /// A role that it names does not exist.
    #[error("a role that it names does not exist in this organization")]
    NoSuchRole,
    /// It would give more than the caller has.
    #[error("a provider cannot give roles that you could not give")]
    Escalation,
    /// The organization has one with the same.
    #[error("there is an identity provider with this {0} already")]
    Taken(&'static str),
    /// There are too many.
    #[error("an organization has at most {0} identity providers")]
    TooMany(usize),
    /// Its keys cannot be read.
    #[error(transparent)]
    KeySet(#[from] KeySetError),
    /// It has no key that we can use.
    #[error(
        "the provider's key set has no key that can check signatures (RSA from 2048 bits, P-256, P-384, Ed25519)"
    )]
    NoKeys,
    /// Our own storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Classify for IdentityError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unauthenticated | Self::NoAddress => ErrorKind::Unauthenticated,
            Self::PickOrganization | Self::NoSuchRole | Self::NoKeys => ErrorKind::Invalid,
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Invalid(err) => err.kind(),
            Self::Escalation => ErrorKind::Forbidden,
            Self::Taken(_) | Self::TooMany(_) => ErrorKind::Conflict,
            Self::KeySet(err) => err.kind(),
            Self::Store(err) => err.kind(),
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::Invalid(err) => err.details(),
            Self::PickOrganization => Some(json!({ "x-tenant-id": self.to_string() })),
            Self::NoSuchRole => Some(json!({ "group_roles": self.to_string() })),
            Self::NoKeys => Some(json!({ "jwks_url": self.to_string() })),
            Self::KeySet(err) => err.details(),
            Self::Escalation => Some(json!({ "reason": "role_escalation_denied" })),
            _ => None,
        }
    }
}
