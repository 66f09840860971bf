use async_trait::async_trait;
use jiff::Timestamp;
use plinth_connections::ConnectionId;
use plinth_core::{Cursor, Limit, OrgId, StoreError, UserId};
use plinth_tenancy::AuditEntry;
use uuid::Uuid;

use super::{Repair, RepairId, RepairMode, RepairState};
use crate::{QueryId, QueryRecord};

/// Which repairs are wanted.
#[derive(Clone, Debug)]
pub struct RepairFilter {
    /// Those of queries that this person sees.
    pub viewer: UserId,
    /// Only those over connections marked as test.
    pub test_only: bool,
    /// Only in these states; empty for all.
    pub states: Vec<RepairState>,
    /// Only of these queries; `None` for all.
    pub queries: Option<Vec<QueryId>>,
    /// Only that one.
    pub id: Option<RepairId>,
}

/// What a mode is for. A dashboard's id is its own, since dashboards are not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModeOf {
    /// Everything that has none of its own.
    Organization,
    /// A saved query.
    Query(QueryId),
    /// The queries of a dashboard's widgets.
    Dashboard(Uuid),
}

/// A mode that somebody set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnMode {
    /// What for.
    pub of: ModeOf,
    /// Which.
    pub mode: RepairMode,
}

/// Where repairs are kept. Every method is one transaction; an entry of the trail is written with each change.
///
/// A new version of a query settles its repair: [`SavedStore::update_saved`](crate::SavedStore::update_saved) does that.
#[async_trait]
pub trait RepairStore: Send + Sync + 'static {
    /// Saved queries over a connection in the order of their ids, from after `after`, at most `limit`.
    async fn saved_over(
        &self,
        org: OrgId,
        connection: ConnectionId,
        after: Option<QueryId>,
        limit: u32,
    ) -> Result<Vec<QueryRecord>, StoreError>;

    /// The repairs of a connection's queries that are not settled.
    async fn unsettled(
        &self,
        org: OrgId,
        connection: ConnectionId,
    ) -> Result<Vec<Repair>, StoreError>;

    /// Repairs, newest first, from after `after`; one more than `limit` if there are more.
    async fn list(
        &self,
        org: OrgId,
        filter: &RepairFilter,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Repair>, StoreError>;

    /// Keeps what is known of a broken query, in the place of its repair that is not settled if there is one: that keeps its
    /// id, and stays dismissed if it meets the same changes in the same version. Gives what is there then; `None` if the query
    /// is at another version by now, or gone.
    async fn note(&self, repair: &Repair, entry: &AuditEntry)
    -> Result<Option<Repair>, StoreError>;

    /// Settles the repair of a query that works again; `false` if there is none.
    async fn resolve(
        &self,
        org: OrgId,
        query: QueryId,
        at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError>;

    /// Dismisses an open repair; `None` if there is no such open one.
    async fn dismiss(
        &self,
        org: OrgId,
        id: RepairId,
        by: UserId,
        at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<Option<Repair>, StoreError>;

    /// Leaves a letter to each owner of queries over that connection that are broken, or were repaired, and of which they were
    /// not told; forgets what was settled long ago.
    async fn tell(
        &self,
        org: OrgId,
        connection: ConnectionId,
        at: Timestamp,
    ) -> Result<(), StoreError>;

    /// What is done for a query: its own mode; else that of the dashboards that show it, of several the one that does least;
    /// else the organization's; else [`RepairMode::default`].
    async fn mode(&self, org: OrgId, query: QueryId) -> Result<RepairMode, StoreError>;

    /// Every mode that somebody set and that is for everybody to see, or for that person.
    async fn modes(&self, org: OrgId, viewer: UserId) -> Result<Vec<OwnMode>, StoreError>;

    /// Sets a mode, or takes it away; `false` if the organization has no such query that the person sees, or no such dashboard.
    async fn set_mode(
        &self,
        org: OrgId,
        viewer: UserId,
        of: ModeOf,
        mode: Option<RepairMode>,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError>;
}
