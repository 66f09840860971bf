//! Credentials for the calls of workflows: sealed, bound to one origin, used by name, never readable again.
//!
//! Read in this order: [`StoredCredential`], [`StoredCredentials`] (what people do with them, and what actions borrow), then
//! the port [`CredentialStore`].
//!
//! **Invariant:** a secret leaves the vault only to be put into a call to its own origin.

mod credential;
mod error;
mod service;
#[cfg(feature = "testing")]
pub mod testing;

use async_trait::async_trait;
use plinth_connections::Sealed;
use plinth_core::{Cursor, Limit, OrgId, StoreError};
use plinth_tenancy::AuditEntry;

pub use credential::{CredentialKind, StoredCredential};
pub use error::CredentialError;
pub use service::{CredentialChange, NewCredential, StoredCredentials};
pub(crate) use service::{Lent, lend};

plinth_core::typed_id! {
    /// Identifies a stored credential.
    CredentialId, "cred"
}

/// What a change of a credential leaves beside it.
#[derive(Clone, Debug)]
pub struct Changed {
    /// What goes into the trail.
    pub entry: AuditEntry,
    /// Another secret in the place of the one that is kept; `None` leaves it.
    pub secret: Option<Sealed>,
}

/// A decision about one credential: pure, so that it can be taken again.
pub type DecideCredential<'a> =
    &'a mut (dyn FnMut(&mut StoredCredential) -> Result<Changed, CredentialError> + Send);

/// Where credentials are kept. Every method is one transaction.
#[async_trait]
pub trait CredentialStore: Send + Sync + 'static {
    /// Keeps a new credential.
    ///
    /// # Errors
    ///
    /// [`CredentialError::NameTaken`], [`CredentialError::TooMany`] if there are `most` already; nothing changes.
    async fn insert(
        &self,
        credential: &StoredCredential,
        secret: &Sealed,
        most: i64,
        entry: &AuditEntry,
    ) -> Result<(), CredentialError>;

    /// One credential.
    async fn find(
        &self,
        org: OrgId,
        id: CredentialId,
    ) -> Result<Option<StoredCredential>, StoreError>;

    /// The credential of that name, with its secret.
    async fn named(
        &self,
        org: OrgId,
        name: &str,
    ) -> Result<Option<(StoredCredential, Sealed)>, StoreError>;

    /// Whether a version that runs of some workflow uses it.
    async fn is_lent(&self, org: OrgId, id: CredentialId) -> Result<bool, StoreError>;

    /// The organization's credentials, newest first; one more than `limit` if there are more.
    async fn list(
        &self,
        org: OrgId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<StoredCredential>, StoreError>;

    /// Changes a credential as `decide` says; `None` if there is none.
    ///
    /// # Errors
    ///
    /// What `decide` says, and [`CredentialError::NameTaken`]; nothing changes.
    async fn change(
        &self,
        org: OrgId,
        id: CredentialId,
        decide: DecideCredential<'_>,
    ) -> Result<Option<StoredCredential>, CredentialError>;

    /// Removes a credential, if its revision is one of `expected`; `false` if there is none.
    ///
    /// # Errors
    ///
    /// [`CredentialError::Changed`] if it has another revision.
    async fn remove(
        &self,
        org: OrgId,
        id: CredentialId,
        expected: Option<&[i64]>,
        entry: &AuditEntry,
    ) -> Result<bool, CredentialError>;
}
