use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use plinth_connections::{ConnectionId, Diagnosis, Target};
use plinth_core::{OrgId, StoreError};

use crate::{Catalog, Snapshot, SnapshotId};

/// Reads the catalog of a database that is not ours.
#[async_trait]
pub trait CatalogReader: Send + Sync + 'static {
    /// Reads everything that [`Catalog`] holds, in one pass, and beside it what `options` say.
    ///
    /// # Errors
    ///
    /// [`Diagnosis`] of the stage that failed.
    async fn read(&self, target: &Target, options: ReadOptions) -> Result<Catalog, Diagnosis>;
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

/// Where snapshots are kept. Every method is one transaction.
#[async_trait]
pub trait SnapshotStore: Send + Sync + 'static {
    /// Keeps a snapshot, and of the older ones of that connection the last few.
    ///
    /// # Errors
    ///
    /// [`InsertSnapshotError::NoConnection`] if the connection was removed meanwhile.
    async fn insert(&self, snapshot: &Snapshot) -> Result<(), InsertSnapshotError>;

    /// The id and time of the newest snapshot; cheap.
    async fn newest(
        &self,
        org: OrgId,
        connection: ConnectionId,
    ) -> Result<Option<(SnapshotId, Timestamp)>, StoreError>;

    /// A whole snapshot.
    async fn find(&self, org: OrgId, id: SnapshotId) -> Result<Option<Arc<Snapshot>>, StoreError>;
}

/// Why a snapshot was not kept.
#[derive(Debug, thiserror::Error)]
pub enum InsertSnapshotError {
    /// The connection is gone.
    #[error("the connection is gone")]
    NoConnection,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}
