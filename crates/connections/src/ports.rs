use async_trait::async_trait;
use jiff::Timestamp;
use plinth_core::{Cursor, Limit, OrgId, StoreError};

use crate::{Connection, ConnectionId, Diagnosis, Sealed, Target, TestReport};

/// A connection with what is needed to dial it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The record.
    pub connection: Connection,
    /// Its password, sealed.
    pub password: Sealed,
    /// Counts changes of what dialling depends on.
    pub version: i64,
}

/// Where connections are kept. Every method is one transaction.
#[async_trait]
pub trait ConnectionStore: Send + Sync + 'static {
    /// Adds a connection.
    ///
    /// # Errors
    ///
    /// [`InsertError::NameTaken`] if the organization has one of that name; nothing changes.
    async fn insert(&self, stored: &Stored) -> Result<(), InsertError>;

    /// Finds a connection of the organization; `None` if there is none.
    async fn find(&self, org: OrgId, id: ConnectionId) -> Result<Option<Stored>, StoreError>;

    /// The organization's connections, newest first, from after `after`; one more than `limit` if there are more.
    /// `test_only` leaves out those that are not marked as test.
    async fn list(
        &self,
        org: OrgId,
        test_only: bool,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Connection>, StoreError>;

    /// Removes a connection with its credentials and schema snapshots; `false` if there was none.
    async fn remove(&self, org: OrgId, id: ConnectionId, at: Timestamp)
    -> Result<bool, StoreError>;

    /// The organization's sealed data key, if one was made.
    async fn data_key(&self, org: OrgId) -> Result<Option<Sealed>, StoreError>;

    /// Keeps a data key unless there is one already; returns the one that is kept.
    async fn put_data_key(&self, org: OrgId, key: &Sealed) -> Result<Sealed, StoreError>;
}

/// Why a connection was not added.
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// The organization has one of that name.
    #[error("the name is taken")]
    NameTaken,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Databases that are not ours.
#[async_trait]
pub trait TargetDatabase: Send + Sync + 'static {
    /// Opens a new session, looks who answers, and leaves.
    ///
    /// # Errors
    ///
    /// [`Diagnosis`] of the first stage that failed.
    async fn test(&self, target: &Target) -> Result<TestReport, Diagnosis>;

    /// Ends every pooled session of a connection: it was removed, or its settings changed.
    async fn forget(&self, connection: ConnectionId);
}
