use async_trait::async_trait;
use jiff::Timestamp;
use plinth_core::{Cursor, KeyId, Limit, OrgId, StoreError, UserId};

use crate::{ApiKey, AuditEntry, InvalidKey, KeyHash, MemberRole, Organization, User};

/// An organization with its first member and their first key: kept together or not at all.
#[derive(Clone, Debug)]
pub struct NewOwner {
    /// The organization.
    pub organization: Organization,
    /// Its owner; if somebody has that address already, they are meant.
    pub user: User,
    /// The owner's key.
    pub key: ApiKey,
    /// What the key is found by.
    pub hash: KeyHash,
}

/// A key that was found by its text.
#[derive(Clone, Debug)]
pub struct FoundKey {
    /// The key.
    pub key: ApiKey,
    /// What its maker is in the organization now.
    pub role: MemberRole,
}

/// A decision about a key: pure.
pub type DecideKey<'a> = &'a (dyn Fn(&mut ApiKey) -> Result<(), InvalidKey> + Send + Sync);

/// Where organizations, people and keys are kept. Every method is one transaction; where it takes an [`AuditEntry`], that
/// is written in it if and only if something changes.
#[async_trait]
pub trait TenancyStore: Send + Sync + 'static {
    /// Keeps a new organization and returns its owner's id: the given one, or that of the person who has the address.
    /// Who has no home yet ([`crate::accounts::Account::home`]) has it there.
    ///
    /// With `token` it does so only if that is the hash of the installation's setup token, which is used up by it.
    ///
    /// # Errors
    ///
    /// [`FoundingError`]; nothing changes.
    async fn found(
        &self,
        new: &NewOwner,
        token: Option<&[u8; 32]>,
        entry: &AuditEntry,
    ) -> Result<UserId, FoundingError>;

    /// Keeps the hash of a new setup token, unless an organization exists already; says whether it was kept.
    async fn put_setup_token(&self, hash: &[u8; 32]) -> Result<bool, StoreError>;

    /// Whether that is the hash of the installation's setup token and [`TenancyStore::found`] would take it; changes
    /// nothing.
    async fn is_setup_token(&self, hash: &[u8; 32]) -> Result<bool, StoreError>;

    /// The organization itself.
    async fn organization(&self, org: OrgId) -> Result<Option<Organization>, StoreError>;

    /// Finds a key by its hash, with its maker's role; `None` if there is none or its maker left.
    async fn find_key(&self, hash: &KeyHash) -> Result<Option<FoundKey>, StoreError>;

    /// Keeps a key.
    async fn insert_key(
        &self,
        key: &ApiKey,
        hash: &KeyHash,
        entry: &AuditEntry,
    ) -> Result<(), StoreError>;

    /// The organization's keys, or those that one person made, newest first; one more than `limit` if there are more.
    async fn list_keys(
        &self,
        org: OrgId,
        of: Option<UserId>,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<ApiKey>, StoreError>;

    /// The number that each of the organization's keys has.
    async fn key_numbers(&self, org: OrgId) -> Result<Vec<(KeyId, i64)>, StoreError>;

    /// One key, revoked or not.
    async fn key(&self, org: OrgId, id: KeyId) -> Result<Option<ApiKey>, StoreError>;

    /// Changes name and limits of a key that was not revoked, as `decide` says, and returns it as it is then; `None` if
    /// there is no such key.
    async fn change_key(
        &self,
        org: OrgId,
        id: KeyId,
        of: Option<UserId>,
        decide: DecideKey<'_>,
        entry: &AuditEntry,
    ) -> Result<Option<Result<ApiKey, InvalidKey>>, StoreError>;

    /// Revokes a key; `false` if there is no such key that still works. With `of` only a key that this person made.
    async fn revoke_key(
        &self,
        org: OrgId,
        id: KeyId,
        of: Option<UserId>,
        at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError>;

    /// Notes when a key was last used.
    async fn touch_key(&self, org: OrgId, id: KeyId, at: Timestamp) -> Result<(), StoreError>;
}

/// Why no organization was founded.
#[derive(Debug, thiserror::Error)]
pub enum FoundingError {
    /// There is one of that name.
    #[error("an organization of that name exists already")]
    NameTaken,
    /// The setup token is wrong or was used.
    #[error("the setup token is wrong or was used already")]
    WrongToken,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}
