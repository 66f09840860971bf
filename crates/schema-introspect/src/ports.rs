use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use plinth_connections::{ConnectionId, Diagnosis, TableName, Target};
use plinth_core::{Cursor, Limit, OrgId, StoreError};
use plinth_tenancy::AuditEntry;

use crate::{
    Annotation, AnnotationTarget, Annotations, Catalog, Relation, Snapshot, SnapshotId,
    SnapshotSummary, UserType,
};

/// Reads the catalog of a database that is not ours.
#[async_trait]
pub trait CatalogReader: Send + Sync + 'static {
    /// Reads everything that [`Catalog`] holds, in one pass, and beside it what `options` say.
    ///
    /// # Errors
    ///
    /// [`Diagnosis`] of the stage that failed.
    async fn read(&self, target: &Target, options: ReadOptions) -> Result<Catalog, Diagnosis>;

    /// The server's own catalogs in short, to be compared with [`Catalog::fingerprint`]: it changes when a schema, relation,
    /// column, constraint, index, type, function, comment or privilege is made, changed or removed, and not by rows being
    /// written, vacuumed or analyzed, nor by temporary tables. It may change without a visible change; that costs one
    /// needless reading.
    ///
    /// # Errors
    ///
    /// [`Diagnosis`] of the stage that failed.
    async fn fingerprint(&self, target: &Target) -> Result<String, Diagnosis>;

    /// Reads one table, view or foreign table by its name, without looking at others: what it refers to is looked up in
    /// `known`, a catalog of the same database that was read with [`Catalog::REVISION`].
    ///
    /// # Errors
    ///
    /// [`Diagnosis`] of the stage that failed.
    async fn read_table(
        &self,
        target: &Target,
        table: &TableName,
        known: &Catalog,
        options: ReadOptions,
    ) -> Result<TableRead, Diagnosis>;
}

/// One table as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct TablePart {
    /// The table itself.
    pub relation: Arc<Relation>,
    /// The types outside `pg_catalog` that its columns have.
    pub types: Vec<UserType>,
}

/// What reading one table brought.
#[derive(Clone, Debug, PartialEq)]
pub enum TableRead {
    /// There is no relation of that name.
    Gone,
    /// This.
    Found(Box<TablePart>),
    /// It refers to something that the known catalog does not have: only reading everything helps.
    Entangled,
}

/// What is read beside names, types and definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// Whether values are looked at.
    pub sampling: Sampling,
    /// Whether [`Measures`](crate::Measures) are taken.
    pub measures: bool,
}

impl Default for ReadOptions {
    /// Everything.
    fn default() -> Self {
        Self { sampling: Sampling::default(), measures: true }
    }
}

/// Whether values of columns are looked at while a catalog is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sampling {
    /// Names and types only.
    Off,
    /// The values of columns with few different ones, so that questions can name them.
    #[default]
    FewValued,
}

/// How many snapshots of a connection are kept at least.
pub const KEPT_SNAPSHOTS: u32 = 30;

/// For how many days the last snapshot of each day (in UTC) is kept beside them.
pub const KEPT_DAYS: u32 = 90;

/// Where snapshots are kept. Every method is one transaction.
#[async_trait]
pub trait SnapshotStore: Send + Sync + 'static {
    /// Keeps a snapshot. One that says nothing new, by its [structure](crate::StructureDigest), takes the place of the
    /// newest of that connection and goes on answering to its id; so the history holds what changed and nothing else.
    /// One that has [parts](Snapshot::parts) is kept as what differs from the one it builds on.
    ///
    /// Of older snapshots the newest [`KEPT_SNAPSHOTS`] stay, and for [`KEPT_DAYS`] days the last one of each day.
    ///
    /// # Errors
    ///
    /// - [`InsertSnapshotError::NoConnection`] if the connection was removed meanwhile.
    /// - [`InsertSnapshotError::NoBase`] if what the parts build on is not there.
    async fn insert(&self, snapshot: &Arc<Snapshot>) -> Result<(), InsertSnapshotError>;

    /// The id and time of the newest snapshot; cheap.
    async fn newest(
        &self,
        org: OrgId,
        connection: ConnectionId,
    ) -> Result<Option<(SnapshotId, Timestamp)>, StoreError>;

    /// The history of a connection's schema, newest first, from after `after`; one more than `limit` if there are more.
    async fn list(
        &self,
        org: OrgId,
        connection: ConnectionId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<SnapshotSummary>, StoreError>;

    /// A whole snapshot, by its own id or that of one whose place it took.
    async fn find(&self, org: OrgId, id: SnapshotId) -> Result<Option<Arc<Snapshot>>, StoreError>;
}

/// Why a snapshot was not kept.
#[derive(Debug, thiserror::Error)]
pub enum InsertSnapshotError {
    /// The connection is gone.
    #[error("the connection is gone")]
    NoConnection,
    /// The snapshot that it builds on is gone.
    #[error("the snapshot that this one builds on is gone")]
    NoBase,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where annotations are kept. Every method is one transaction.
#[async_trait]
pub trait AnnotationStore: Send + Sync + 'static {
    /// The number of the last change to a connection's annotations, 0 if there never was one; cheap.
    async fn version(&self, org: OrgId, connection: ConnectionId) -> Result<i64, StoreError>;

    /// All annotations of a connection.
    async fn all(&self, org: OrgId, connection: ConnectionId) -> Result<Annotations, StoreError>;

    /// Writes an annotation, or writes it anew, and gives the number of this change; the one in `annotation` does not
    /// count. With `expected`, only if the one that is there has that number.
    ///
    /// # Errors
    ///
    /// - [`PutAnnotationError::NoConnection`] if the connection was removed meanwhile.
    /// - [`PutAnnotationError::Changed`] if it is not the expected one; nothing changes.
    async fn put(
        &self,
        annotation: &Annotation,
        expected: Option<i64>,
        entry: &AuditEntry,
    ) -> Result<i64, PutAnnotationError>;

    /// Removes an annotation; `false` if there was none. `expected` as for [`AnnotationStore::put`].
    ///
    /// # Errors
    ///
    /// [`PutAnnotationError::Changed`] if it is not the expected one; nothing changes.
    async fn remove(
        &self,
        org: OrgId,
        connection: ConnectionId,
        target: &AnnotationTarget,
        expected: Option<i64>,
        entry: &AuditEntry,
    ) -> Result<bool, PutAnnotationError>;
}

/// Why an annotation was not changed.
#[derive(Debug, thiserror::Error)]
pub enum PutAnnotationError {
    /// The connection is gone.
    #[error("the connection is gone")]
    NoConnection,
    /// Somebody else changed it since the caller read it.
    #[error("the annotation has changed")]
    Changed,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}
