use async_trait::async_trait;
use jiff::Timestamp;
use plinth_connections::ConnectionId;
use plinth_core::{OrgId, StoreError, UserId};
use plinth_schema_introspect::SnapshotId;
use plinth_tenancy::AuditEntry;

use super::{Entry, EntryId, Language};
use crate::QueryId;

/// Why an entry is not kept.
#[derive(Debug, thiserror::Error)]
pub enum PutEntryError {
    /// Something of the connection's language is called so already.
    #[error("that name is taken")]
    NameTaken,
    /// The connection has as many as it may.
    #[error("there are too many")]
    TooMany,
    /// There is no such entry, or no such connection.
    #[error("there is nothing to change")]
    Missing,
    /// It is not the expected one any more.
    #[error("it has changed")]
    Changed,
    /// Our storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where the organization's language is kept. Every method is one transaction; each change raises the connection's version.
#[async_trait]
pub trait LanguageStore: Send + Sync + 'static {
    /// The number of the last change, 0 if there never was one.
    async fn version(&self, org: OrgId, connection: ConnectionId) -> Result<i64, StoreError>;

    /// Everything of a connection, by name, as of one moment.
    async fn all(&self, org: OrgId, connection: ConnectionId) -> Result<Language, StoreError>;

    /// Adds an entry, and tells the audit trail; gives its version.
    async fn insert(
        &self,
        entry: &Entry,
        most: usize,
        told: &AuditEntry,
    ) -> Result<i64, PutEntryError>;

    /// Replaces an entry, if its version is among the expected ones (any, if `None`); gives the new version.
    async fn update(
        &self,
        entry: &Entry,
        expected: Option<&[i64]>,
        told: &AuditEntry,
    ) -> Result<i64, PutEntryError>;

    /// Removes an entry, under the same condition.
    async fn remove(
        &self,
        org: OrgId,
        connection: ConnectionId,
        id: EntryId,
        expected: Option<&[i64]>,
        told: &AuditEntry,
    ) -> Result<(), PutEntryError>;

    /// Notes what entries, of the versions that were tried, are worth over a state of the schema: `None` for those that fit,
    /// else why not. What has changed since is left as it is. Versions of entries stay; the connection's is raised, so that every server reads what was found out.
    async fn mark(
        &self,
        org: OrgId,
        connection: ConnectionId,
        checked: SnapshotId,
        marks: &[(EntryId, i64, Option<String>)],
    ) -> Result<(), StoreError>;

    /// Keeps what somebody thinks of an answer; what they thought before is replaced.
    async fn rate(
        &self,
        org: OrgId,
        query: QueryId,
        user: UserId,
        is_good: bool,
        comment: Option<&str>,
        at: Timestamp,
        told: &AuditEntry,
    ) -> Result<(), StoreError>;
}
