use std::time::Duration;

use async_trait::async_trait;
use plinth_core::{Cursor, Limit, OrgId, StoreError};
use plinth_tenancy::AuditEntry;

use super::{WriteConnection, WriteConnectionId};
use crate::{Diagnosis, InsertError, Sealed, Target, UpdateError};

/// A write connection as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredWrite {
    /// The record.
    pub record: WriteConnection,
    /// The role's password.
    pub password: Sealed,
}

/// Where write connections are kept. Every method is one transaction.
#[async_trait]
pub trait WriteStore: Send + Sync + 'static {
    /// Keeps a new one.
    ///
    /// # Errors
    ///
    /// [`InsertError::NameTaken`]; nothing changes.
    async fn insert(&self, it: &StoredWrite, entry: &AuditEntry) -> Result<(), InsertError>;

    /// One of the organization's, as long as the connection beside which it stands is there.
    async fn find(
        &self,
        org: OrgId,
        id: WriteConnectionId,
    ) -> Result<Option<StoredWrite>, StoreError>;

    /// The organization's, newest first; one more than `limit` if there are more.
    async fn list(
        &self,
        org: OrgId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<WriteConnection>, StoreError>;

    /// Puts a changed one in the place of the one whose revision is one less.
    ///
    /// # Errors
    ///
    /// [`UpdateError::Stale`] if somebody else changed it, [`UpdateError::NameTaken`]; nothing changes.
    async fn update(&self, it: &StoredWrite, entry: &AuditEntry) -> Result<(), UpdateError>;

    /// Removes one with its credential; `false` if there is none.
    async fn remove(
        &self,
        org: OrgId,
        id: WriteConnectionId,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError>;
}

/// A statement that writes, judged and ready to be sent.
#[derive(Clone, Debug)]
pub struct Write {
    /// One statement.
    pub sql: String,
    /// Its values as Postgres reads them; `None` for null.
    pub parameters: Vec<Option<String>>,
    /// The schemas in which unqualified names are found.
    pub search_path: Vec<String>,
    /// An IANA name.
    pub time_zone: String,
    /// How long all of it may take.
    pub time: Duration,
    /// What changes more rows is rolled back.
    pub max_rows: u64,
    /// What is kept beside the effect, in the same transaction; `None` keeps nothing.
    pub key: Option<WriteKey>,
}

/// Names an effect in the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteKey {
    /// Where [`super::KEY_TABLE`] is.
    pub schema: String,
    /// Made of run and action, the same at each try.
    pub key: String,
}

/// What came of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It took effect now.
    Now {
        /// How many rows it changed; 0 for CALL.
        rows: u64,
    },
    /// It took effect before: the key was there. Nothing was done.
    Before,
}

/// Why a statement did not take effect, or may not have.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WriteFailure {
    /// There was no session, or it ended before anything was committed: nothing took effect.
    #[error("the database could not be reached: {}", .0.title)]
    Unreachable(Box<Diagnosis>),
    /// Every session is in use: nothing took effect.
    #[error("too many statements are running on this write connection; try again in a moment")]
    Busy,
    /// The database refused it, and rolled back: nothing took effect.
    #[error("the database refused the statement: {message}")]
    Refused {
        /// Postgres's code.
        sqlstate: String,
        /// Its message.
        message: String,
        /// Whether the same may work later: a deadlock, a serialization failure, a server that stops.
        is_temporary: bool,
    },
    /// It took too long and was rolled back: nothing took effect.
    #[error("the statement took longer than {} ms and was rolled back", .0.as_millis())]
    TimedOut(Duration),
    /// It changed more rows than it may, and was rolled back: nothing took effect.
    #[error(
        "the statement would have changed {rows} rows, and may change {most}; it was rolled back"
    )]
    TooManyRows {
        /// How many it changed.
        rows: u64,
        /// How many it may.
        most: u64,
    },
    /// The commit was sent, and its answer did not come: nobody knows.
    #[error(
        "the connection was cut while the database committed: whether it took effect is not known"
    )]
    Unknown,
}

/// Why the key table is not usable.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum KeyFailure {
    /// There is no session.
    #[error("the database could not be reached: {}", .0.title)]
    Unreachable(Box<Diagnosis>),
    /// The database refused to make or to use it.
    #[error("{0}")]
    Refused(String),
}

/// Writes to customers' databases, as the role of a write connection.
#[async_trait]
pub trait TargetWriter: Send + Sync + 'static {
    /// Makes the key table in that schema unless it is there, and proves that the role may use it.
    ///
    /// # Errors
    ///
    /// [`KeyFailure`]; nothing is left but perhaps the table.
    async fn prepare_keys(&self, target: &Target, schema: &str) -> Result<(), KeyFailure>;

    /// Runs a statement in a transaction of its own, together with its key if it has one.
    ///
    /// # Errors
    ///
    /// [`WriteFailure`]: all but [`WriteFailure::Unknown`] mean that nothing took effect.
    async fn write(&self, target: &Target, write: &Write) -> Result<Written, WriteFailure>;
}
