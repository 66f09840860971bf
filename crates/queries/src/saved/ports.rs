use async_trait::async_trait;
use plinth_core::{OrgId, StoreError};
use plinth_tenancy::AuditEntry;

use super::Version;
use crate::{QueryId, QueryRecord};

/// Where saved queries and their versions are kept, beside the history. Every method is one transaction.
#[async_trait]
pub trait SavedStore: Send + Sync + 'static {
    /// Adds a query that was saved without being run, with its first version.
    async fn insert_saved(
        &self,
        record: &QueryRecord,
        version: &Version,
        entry: &AuditEntry,
    ) -> Result<(), StoreError>;

    /// Writes as what an entry is saved, its statement and its notes as `record` says, if it is still at the revision
    /// `before`, and adds the version if there is a new one; `false` if it is not, or gone.
    async fn update_saved(
        &self,
        record: &QueryRecord,
        before: i64,
        version: Option<&Version>,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError>;

    /// The versions of a query, newest first, at most `limit` of those with a number below `before`.
    async fn versions(
        &self,
        org: OrgId,
        query: QueryId,
        before: u32,
        limit: u32,
    ) -> Result<Vec<Version>, StoreError>;

    /// One version of a query.
    async fn version(
        &self,
        org: OrgId,
        query: QueryId,
        number: u32,
    ) -> Result<Option<Version>, StoreError>;
}
