use std::collections::BTreeMap;

use async_trait::async_trait;
use plinth_connections::ConnectionId;
use plinth_core::{Attribute, OrgId, StoreError, UserId};
use plinth_tenancy::{AuditEntry, MemberId, RoleKey};

use super::{Policy, PolicyId};

/// What policies go by of a member.
#[derive(Clone, Debug, PartialEq)]
pub struct Viewer {
    /// Who.
    pub user: UserId,
    /// The membership.
    pub member: MemberId,
    /// Where to write to them; `{{user.email}}`.
    pub email: String,
    /// As what; `{{user.role}}`.
    pub role: RoleKey,
    /// What the organization says of them.
    pub attributes: BTreeMap<String, Attribute>,
}

impl Viewer {
    /// An attribute by its name, those that everybody has among them.
    pub fn attribute(&self, name: &str) -> Option<Attribute> {
        match name {
            "id" => Some(Attribute::text(self.user.to_string())),
            "email" => Some(Attribute::text(self.email.clone())),
            "role" => Some(Attribute::text(self.role.to_string())),
            other => self.attributes.get(other).cloned(),
        }
    }
}

/// Why a policy was not written.
#[derive(Debug, thiserror::Error)]
pub enum WritePolicyError {
    /// The connection has one of that name; nothing changes.
    #[error("the connection has a policy of that name")]
    NameTaken,
    /// The connection is not there any more; nothing changes.
    #[error("there is no such connection")]
    NoConnection,
    /// The connection has as many as it may; nothing changes.
    #[error("the connection has as many policies as it may")]
    TooMany,
    /// A role that the organization does not have; nothing changes.
    #[error("the organization has no such role")]
    UnknownRole,
    /// It has another revision than expected, or is gone; nothing changes.
    #[error("the policy has changed")]
    Stale,
    /// Our own storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where policies are kept. Every method is one transaction; an entry of the trail is written with each change.
#[async_trait]
pub trait PolicyStore: Send + Sync + 'static {
    /// Every policy of a connection, by name.
    async fn all(&self, org: OrgId, connection: ConnectionId) -> Result<Vec<Policy>, StoreError>;

    /// One of them.
    async fn find(
        &self,
        org: OrgId,
        connection: ConnectionId,
        id: PolicyId,
    ) -> Result<Option<Policy>, StoreError>;

    /// Keeps a new one, if the connection has fewer than `most`.
    ///
    /// # Errors
    ///
    /// [`WritePolicyError`], but not [`WritePolicyError::Stale`].
    async fn insert(
        &self,
        policy: &Policy,
        most: usize,
        entry: &AuditEntry,
    ) -> Result<(), WritePolicyError>;

    /// Replaces the one of that id and the revision before.
    ///
    /// # Errors
    ///
    /// [`WritePolicyError::NameTaken`], [`WritePolicyError::Stale`].
    async fn update(&self, policy: &Policy, entry: &AuditEntry) -> Result<(), WritePolicyError>;

    /// Removes the one of that id and revision; `false` if there is none.
    async fn remove(&self, policy: &Policy, entry: &AuditEntry) -> Result<bool, StoreError>;

    /// What policies go by of a member; `None` if they are none.
    async fn viewer(&self, org: OrgId, user: UserId) -> Result<Option<Viewer>, StoreError>;

    /// The same by the membership.
    async fn viewer_of(&self, org: OrgId, member: MemberId) -> Result<Option<Viewer>, StoreError>;
}
