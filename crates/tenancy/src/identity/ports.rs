use async_trait::async_trait;
use jiff::Timestamp;
use plinth_core::{OrgId, ProviderId, StoreError, UserId};

use super::IdentityProvider;
use crate::{AuditEntry, Email, MemberRole, RoleKey};

/// Somebody whom a provider vouched for before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownIdentity {
    /// Who.
    pub user: UserId,
    /// What they are in the organization now; `None` if they were removed from it.
    pub role: Option<MemberRole>,
    /// Whether they came by the provider, so that it says what they are; else people of the organization do.
    pub is_managed: bool,
}

/// Where providers are kept, and whom they vouched for. Every method is one transaction; where it takes an
/// [`AuditEntry`], that is written in it if and only if something changes.
#[async_trait]
pub trait IdentityStore: Send + Sync + 'static {
    /// The role of that key, if the organization has it.
    async fn role(&self, org: OrgId, key: RoleKey) -> Result<Option<MemberRole>, StoreError>;

    /// Keeps a new provider.
    ///
    /// # Errors
    ///
    /// [`PutProviderError`]; nothing changes.
    async fn insert(
        &self,
        provider: &IdentityProvider,
        entry: &AuditEntry,
    ) -> Result<(), PutProviderError>;

    /// Puts a provider's settings in the place of the old ones; `false` if there is none of that id.
    ///
    /// # Errors
    ///
    /// [`PutProviderError`]; nothing changes.
    async fn update(
        &self,
        provider: &IdentityProvider,
        entry: &AuditEntry,
    ) -> Result<bool, PutProviderError>;

    /// Forgets a provider; `false` if there was none. Its members stay, as what they are.
    async fn remove(
        &self,
        org: OrgId,
        id: ProviderId,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError>;

    /// A provider of the organization.
    async fn find(
        &self,
        org: OrgId,
        id: ProviderId,
    ) -> Result<Option<IdentityProvider>, StoreError>;

    /// All providers of the organization, oldest first: there are a handful.
    async fn list(&self, org: OrgId) -> Result<Vec<IdentityProvider>, StoreError>;

    /// The providers of all organizations that have this issuer and are active.
    async fn of_issuer(&self, issuer: &str) -> Result<Vec<IdentityProvider>, StoreError>;

    /// Whom the provider means by that subject; `None` if it never vouched for them.
    async fn identity(
        &self,
        org: OrgId,
        provider: ProviderId,
        subject: &str,
    ) -> Result<Option<KnownIdentity>, StoreError>;

    /// Remembers whom the provider means: the member who has the address, or a new one with that role.
    async fn admit(
        &self,
        provider: &IdentityProvider,
        subject: &str,
        email: &Email,
        role: RoleKey,
        at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<KnownIdentity, StoreError>;

    /// Changes what a member is who came by a provider; nothing happens to others.
    async fn set_role(
        &self,
        org: OrgId,
        user: UserId,
        role: RoleKey,
        entry: &AuditEntry,
    ) -> Result<(), StoreError>;
}

/// Why a provider was not kept.
#[derive(Debug, thiserror::Error)]
pub enum PutProviderError {
    /// The organization has one of that name.
    #[error("the name is taken")]
    NameTaken,
    /// The organization has one of that issuer and audience.
    #[error("the issuer is known")]
    IssuerTaken,
    /// A role that it names does not exist in the organization.
    #[error("there is no such role")]
    NoSuchRole,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}
