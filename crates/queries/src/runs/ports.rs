use async_trait::async_trait;
use jiff::SignedDuration;
use plinth_core::{OrgId, StoreError, UserId};

use super::{QueryRun, QueryRunId};

/// Who wants to see a run.
#[derive(Clone, Copy, Debug)]
pub struct RunViewer {
    /// Whose runs.
    pub user: UserId,
    /// Whether by a key that reaches test connections only.
    pub test_only: bool,
}

/// Some of a run's rows, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedPage {
    /// How many rows stand before them.
    pub first_row: u64,
    /// How many they are.
    pub row_count: u64,
    /// The rows.
    pub sealed: Vec<u8>,
}

/// What became of a run's lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// It goes on.
    Kept,
    /// Somebody wants it to end.
    CancelWanted,
    /// It has ended, or is gone: whoever runs it has been silent for too long.
    Lost,
}

/// Where runs that nobody waits for are kept, with their rows. Every method is one transaction. A run is held by the process
/// that runs it, under a lease by the database's clock.
#[async_trait]
pub trait QueryRunStore: Send + Sync + 'static {
    /// Keeps a new run for that long, unless its organization has `most` that have not ended; `false` if it has. What the
    /// organization keeps of ended ones beyond its bounds goes, those that ended first before others.
    async fn insert(
        &self,
        run: &QueryRun,
        most: i64,
        lease: SignedDuration,
    ) -> Result<bool, StoreError>;

    /// One run of the viewer's; one whose lease is over has failed, and is kept until `kept` after now. `None` if there is
    /// none, or it has expired.
    async fn find(
        &self,
        org: OrgId,
        id: QueryRunId,
        viewer: RunViewer,
        kept: SignedDuration,
    ) -> Result<Option<QueryRun>, StoreError>;

    /// Ends the runs, of all organizations, whose leases are over: whoever ran them is gone. They have failed, with
    /// [`RunFault::server_lost`](super::RunFault::server_lost), lose their rows and are kept for so long. Says how many.
    async fn end_lost(&self, kept: SignedDuration) -> Result<u64, StoreError>;

    /// Holds a run for another lease.
    async fn beat(
        &self,
        org: OrgId,
        id: QueryRunId,
        lease: SignedDuration,
    ) -> Result<Beat, StoreError>;

    /// Writes how far it is, with some more of its rows; `false` if it has ended already, and then nothing is written. A run
    /// that ends with anything but success loses its rows; with its end goes what its organization keeps beyond its bounds.
    async fn save(&self, run: &QueryRun, page: Option<&SealedPage>) -> Result<bool, StoreError>;

    /// The pages with rows from `from` on, up to the one that holds the last of `most` rows, or the one with which they are
    /// `most_bytes` or more; in their order.
    async fn pages(
        &self,
        org: OrgId,
        id: QueryRunId,
        from: u64,
        most: u64,
        most_bytes: u64,
    ) -> Result<Vec<SealedPage>, StoreError>;

    /// Notes that somebody wants a run of the viewer's to end; `false` if there is none. One that has ended stays as it is.
    async fn cancel(
        &self,
        org: OrgId,
        id: QueryRunId,
        viewer: RunViewer,
    ) -> Result<bool, StoreError>;

    /// Forgets what has expired, of all organizations; how many runs.
    async fn sweep(&self) -> Result<u64, StoreError>;
}
