use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use plinth_core::{Cursor, Limit, OrgId, Principal, StoreError, UserId};
use plinth_queries::policies::Narrowing;
use plinth_queries::repairs::Repair;
use plinth_queries::{Parameter, QueryError, QueryId};
use plinth_tenancy::AuditEntry;
use plinth_tenancy::outbox::Message;
use serde_json::{Map, Value};

use crate::dashboard::Dashboard;
use crate::share::Share;
use crate::{DashboardError, DashboardId, ShareId};

/// A decision about one dashboard: pure, so that it can be taken again. What it gives goes into the trail.
pub type DecideDashboard<'a> =
    &'a mut (dyn FnMut(&mut Dashboard) -> Result<AuditEntry, DashboardError> + Send);

/// Where dashboards and links to them are kept. Every method is one transaction.
#[async_trait]
pub trait DashboardStore: Send + Sync + 'static {
    /// Keeps a new dashboard.
    ///
    /// # Errors
    ///
    /// [`DashboardError::TooMany`] if there are `most` already; nothing changes.
    async fn insert(
        &self,
        dashboard: &Dashboard,
        most: i64,
        entry: &AuditEntry,
    ) -> Result<(), DashboardError>;

    /// One dashboard.
    async fn find(&self, org: OrgId, id: DashboardId) -> Result<Option<Dashboard>, StoreError>;

    /// The organization's dashboards, newest first; one more than `limit` if there are more.
    async fn list(
        &self,
        org: OrgId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Dashboard>, StoreError>;

    /// Changes a dashboard as `decide` says; `None` if there is none.
    ///
    /// # Errors
    ///
    /// What `decide` says; nothing changes.
    async fn change(
        &self,
        org: OrgId,
        id: DashboardId,
        decide: DecideDashboard<'_>,
    ) -> Result<Option<Dashboard>, DashboardError>;

    /// Notes of a dashboard's widgets that run as `owner`, and of which it is not noted, that they stand still since `at`, and
    /// leaves the message; `false` if there are none such, and then nothing is written. It is no change of the dashboard.
    async fn pause(
        &self,
        org: OrgId,
        id: DashboardId,
        owner: UserId,
        at: Timestamp,
        entry: &AuditEntry,
        message: &Message,
    ) -> Result<bool, StoreError>;

    /// Removes a dashboard with the links to it, if its revision is one of `expected`; `false` if there is none.
    ///
    /// # Errors
    ///
    /// [`DashboardError::Changed`] if it has another revision.
    async fn remove(
        &self,
        org: OrgId,
        id: DashboardId,
        expected: Option<&[i64]>,
        entry: &AuditEntry,
    ) -> Result<bool, DashboardError>;

    /// Keeps a new link.
    ///
    /// # Errors
    ///
    /// [`DashboardError::NotFound`] if the dashboard is gone, [`DashboardError::TooManyShares`] if `most` links to it work
    /// at `share.created_at`; nothing changes.
    async fn insert_share(
        &self,
        share: &Share,
        most: i64,
        entry: &AuditEntry,
    ) -> Result<(), DashboardError>;

    /// The newest 200 links to a dashboard, also those that are expired or revoked.
    async fn shares(&self, org: OrgId, dashboard: DashboardId) -> Result<Vec<Share>, StoreError>;

    /// One link.
    async fn share(&self, org: OrgId, id: ShareId) -> Result<Option<Share>, StoreError>;

    /// Revokes a link, as of that moment; one that is revoked stays as it is. `None` if there is none.
    async fn revoke(
        &self,
        org: OrgId,
        dashboard: DashboardId,
        id: ShareId,
        at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<Option<Share>, StoreError>;
}

/// What a query takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// Whether somebody saved it; what nobody did may be gone tomorrow.
    pub is_saved: bool,
    /// Its newest version; 0 if nobody saved it.
    pub version: u32,
    /// Its parameters, in the version that runs as whoever asked.
    pub parameters: Vec<Parameter>,
}

/// A run of a widget's query.
#[derive(Clone, Debug)]
pub struct WidgetRun {
    /// The saved query.
    pub query: QueryId,
    /// Values of its parameters by name.
    pub parameters: Map<String, Value>,
    /// How old the answer may be, in seconds; 0 runs it now, `None` leaves it to the query.
    pub max_age_seconds: Option<u32>,
    /// Rows at most.
    pub row_limit: u64,
    /// The version that its owner stands for; see [`plinth_queries::SavedRun::version`].
    pub version: Option<u32>,
    /// Who looks, if it runs as somebody else.
    pub shown_to: Option<Principal>,
    /// What a link that carries attributes lets through of it.
    pub narrowing: Option<Arc<Narrowing>>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct WidgetResult {
    /// The columns.
    pub columns: Vec<ResultColumn>,
    /// The rows, a value for each column.
    pub rows: Vec<Vec<Value>>,
    /// What they take as the database sent them, in bytes.
    pub size_bytes: u64,
    /// Whether a limit cut the rows off.
    pub is_cut_off: bool,
    /// The tables of which policies hid something from whoever it ran as.
    pub restricted: Vec<String>,
    /// The run's entry in the history.
    pub run: QueryId,
    /// Which version of the query ran, and which is the newest.
    pub versions: (u32, u32),
    /// When the answer was made, if it was made before; `None` if it was made now.
    pub cached_at: Option<Timestamp>,
    /// From sending the statement to its last row, in milliseconds.
    pub execution_time_ms: f64,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultColumn {
    /// As the statement named it; not always unique.
    pub name: String,
    /// Its type as Postgres prints it, like `numeric(12,2)`.
    pub type_name: String,
}

/// Runs what widgets ask.
#[async_trait]
pub trait WidgetRunner: Send + Sync + 'static {
    /// What a query takes, for somebody who may see it, and stands for that version; `None` for the newest.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] also where they may not see it; [`QueryError::Input`] if it has no statement for them.
    async fn describe(
        &self,
        caller: &Principal,
        of: (QueryId, Option<u32>),
    ) -> Result<Described, DashboardError>;

    /// Saves a query of the history that a widget is about to stand on.
    ///
    /// # Errors
    ///
    /// [`DashboardError::Permit`] if the caller may save none.
    async fn save(&self, caller: &Principal, query: QueryId) -> Result<(), DashboardError>;

    /// Runs a query as somebody, under the policies that bind them.
    ///
    /// # Errors
    ///
    /// Each case of [`QueryError`]; nothing is left running.
    async fn run(&self, caller: &Principal, run: WidgetRun) -> Result<WidgetResult, QueryError>;

    /// Which version of a query runs as somebody who stands for that one.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] also where they may not see it.
    async fn version_for(&self, caller: &Principal, of: (QueryId, u32)) -> Result<u32, QueryError>;

    /// Which attributes of a link reach a query, in the version that runs as somebody who stands for that one. Nothing is run.
    ///
    /// # Errors
    ///
    /// As for [`WidgetRunner::run`].
    async fn reached_by(
        &self,
        caller: &Principal,
        of: (QueryId, u32),
        by: &Narrowing,
    ) -> Result<BTreeSet<String>, QueryError>;

    /// The open repairs of these queries, of those that the caller sees.
    async fn repairs(
        &self,
        caller: &Principal,
        queries: &[QueryId],
    ) -> Result<Vec<Repair>, StoreError>;
}
