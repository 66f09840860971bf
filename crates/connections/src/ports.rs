use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use plinth_core::{Cursor, Limit, OrgId, StoreError};
use plinth_tenancy::AuditEntry;
use plinth_tenancy::outbox::Message;

use crate::{
    Connection, ConnectionId, Credentials, Diagnosis, Judged, TableName, Target, TestReport,
};

/// A connection with what is needed to dial it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The record.
    pub connection: Connection,
    /// What is secret, sealed.
    pub credentials: Credentials,
    /// Counts changes of what dialling depends on.
    pub version: i64,
}

/// Which connections a list shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionFilter {
    /// Only those that are marked as test.
    pub test_only: bool,
    /// Only those that may be used.
    pub active_only: bool,
    /// Those too that were removed.
    pub with_deleted: bool,
}

/// Where connections are kept. Every method is one transaction; the [`AuditEntry`] that it takes is written in it if and
/// only if something changes.
#[async_trait]
pub trait ConnectionStore: Send + Sync + 'static {
    /// Adds a connection. One that is primary takes that from the one that was.
    ///
    /// # Errors
    ///
    /// [`InsertError::NameTaken`] if the organization has one of that name; nothing changes.
    async fn insert(&self, stored: &Stored, entry: &AuditEntry) -> Result<(), InsertError>;

    /// Finds a connection of the organization; `None` if there is none, or it was removed.
    async fn find(&self, org: OrgId, id: ConnectionId) -> Result<Option<Stored>, StoreError>;

    /// The organization's connections, newest first, from after `after`; one more than `limit` if there are more.
    async fn list(
        &self,
        org: OrgId,
        filter: ConnectionFilter,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Connection>, StoreError>;

    /// Replaces a connection that has the revision before that of `stored`. One that becomes primary takes that from the
    /// one that was. If its health is unknown, it is checked next; if its values are no longer to be looked at, those that
    /// were kept go.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; nothing changes.
    async fn update(&self, stored: &Stored, entry: &AuditEntry) -> Result<(), UpdateError>;

    /// Removes a connection, which wipes its credentials and schema snapshots; the record stays for the history that names
    /// it. `false` if there is none with that revision.
    async fn remove(
        &self,
        org: OrgId,
        id: ConnectionId,
        revision: i64,
        at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError>;

    /// Writes an entry of an act that changes no record.
    async fn note(&self, entry: &AuditEntry) -> Result<(), StoreError>;

    /// Takes at most `limit` connections of all organizations that are due to be checked, each for `lease`: no two callers
    /// get the same one. Those that [may not be checked](crate::Place::may_be_checked), that were
    /// removed or that somebody switched off are never due.
    /// Time is the database's.
    async fn take_checks(
        &self,
        limit: usize,
        lease: SignedDuration,
    ) -> Result<Vec<(OrgId, ConnectionId)>, StoreError>;

    /// Keeps what a check found. `false` if the connection was changed since it was read for the check; then nothing
    /// changes, and what was found is of no use.
    async fn put_check(&self, check: &Checked) -> Result<bool, StoreError>;
}

/// What a check found, with all that follows from it.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The connection as it was when the check began.
    pub connection: Connection,
    /// What follows.
    pub judged: Judged,
    /// When it is checked again.
    pub again_in: SignedDuration,
    /// What it turned around, for the trail.
    pub entry: Option<AuditEntry>,
    /// The same, for people.
    pub message: Option<Message>,
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

/// Why a connection was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The organization has another of that name.
    #[error("the name is taken")]
    NameTaken,
    /// It has another revision by now, or is gone.
    #[error("it was changed meanwhile")]
    Stale,
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

/// Looks into single tables of databases that are not ours.
#[async_trait]
pub trait TableReader: Send + Sync + 'static {
    /// Reads a row of `table`, or of the first table by name that the role may read; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Diagnosis`] if no session can be opened, or it ends.
    async fn try_table(
        &self,
        target: &Target,
        table: Option<&TableName>,
    ) -> Result<Option<TriedTable>, Diagnosis>;

    /// How many rows each table has, in their order: counted as far as `most`, above that what the planner estimates.
    /// `None` for one that cannot be read, or when the time is up.
    ///
    /// # Errors
    ///
    /// As for [`Self::try_table`].
    async fn count_rows(
        &self,
        target: &Target,
        tables: &[CountedTable],
        most: u64,
    ) -> Result<Vec<Option<u64>>, Diagnosis>;
}

/// A table whose rows are to be counted.
#[derive(Clone, Debug, PartialEq)]
pub struct CountedTable {
    /// Which one.
    pub name: TableName,
    /// What the planner's statistics say; `None` if it was never analyzed.
    pub estimate: Option<f64>,
    /// Whether counting costs no more than reading rows: a view or a foreign table can cost anything, so that for these
    /// only the planner is asked.
    pub is_countable: bool,
}

/// Whether a table could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriedTable {
    /// Which one.
    pub name: TableName,
    /// Whether a row could be read, if there was one.
    pub is_accessible: bool,
}
