use jiff::Timestamp;
use plinth_dashboards::DashboardId;
use plinth_queries::repairs::{
    DryRun, MetChange, ModeOf, OwnMode, Proposal, ProposedStep, Repair, RepairMode, RepairState,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::envelope::{envelope, page_envelope};

/// How far a repair is.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = QueryRepairState)]
pub(super) enum StateBody {
    /// The query does not work.
    Open,
    /// It does not, and somebody wants to hear no more of it.
    Dismissed,
    /// The proposal is a version of the query now.
    Applied,
    /// It works again without: the schema is as it was, or somebody changed the query.
    Resolved,
}

impl From<StateBody> for RepairState {
    fn from(it: StateBody) -> Self {
        match it {
            StateBody::Open => Self::Open,
            StateBody::Dismissed => Self::Dismissed,
            StateBody::Applied => Self::Applied,
            StateBody::Resolved => Self::Resolved,
        }
    }
}

impl From<RepairState> for StateBody {
    fn from(it: RepairState) -> Self {
        match it {
            RepairState::Open => Self::Open,
            RepairState::Dismissed => Self::Dismissed,
            RepairState::Applied => Self::Applied,
            RepairState::Resolved => Self::Resolved,
        }
    }
}

/// What is done for queries that break.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = QueryRepairMode)]
pub(super) enum ModeBody {
    /// They are marked.
    Off,
    /// And a fix is proposed.
    Suggest,
    /// And applied, where the database shows that everything is the same thing under another name, and it ran with the same
    /// columns.
    Auto,
}

impl From<ModeBody> for RepairMode {
    fn from(it: ModeBody) -> Self {
        match it {
            ModeBody::Off => Self::Off,
            ModeBody::Suggest => Self::Suggest,
            ModeBody::Auto => Self::Auto,
        }
    }
}

impl From<RepairMode> for ModeBody {
    fn from(it: RepairMode) -> Self {
        match it {
            RepairMode::Off => Self::Off,
            RepairMode::Suggest => Self::Suggest,
            RepairMode::Auto => Self::Auto,
        }
    }
}

/// A saved query that a change of the schema broke.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueryRepair)]
pub(in crate::http) struct RepairBody {
    #[schema(example = "rep_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: String,
    #[schema(example = "q_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    query_id: String,
    connection_id: String,
    /// Which version does not work.
    #[schema(example = 2)]
    query_version: u32,
    state: StateBody,
    /// Why it does not work, in the guard's or the database's words.
    #[schema(example = "column \"credit\" does not exist")]
    why: String,
    /// The changes of the schema that it meets.
    changes: Vec<MetChangeBody>,
    /// What it would have to be; null where nothing is proposed.
    #[schema(required = true)]
    proposal: Option<ProposalBody>,
    /// Why nothing is proposed; null where something is, or nobody wants it.
    #[schema(required = true)]
    no_proposal: Option<String>,
    /// The version that the proposal became.
    #[schema(required = true)]
    applied_version: Option<u32>,
    /// Who applied, dismissed or changed it; null for Plinth itself.
    #[schema(required = true)]
    settled_by: Option<String>,
    /// The last state of the schema over which it worked, and the one over which it was last tried.
    from_snapshot_id: String,
    to_snapshot_id: String,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// A change of the schema that a query meets.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueryRepairChange)]
struct MetChangeBody {
    /// `removed`, `renamed` or `changed`.
    #[schema(example = "renamed")]
    kind: String,
    /// What kind of thing changed.
    #[schema(example = "column")]
    object: String,
    /// The table it belongs to; null for types.
    #[schema(required = true, example = "public.customers")]
    table: Option<String>,
    /// Its name now, or the one that it had if it is gone.
    #[schema(example = "credit_limit")]
    name: String,
    /// Which side of it changed; null if it was the whole.
    #[schema(required = true)]
    aspect: Option<String>,
    /// The name or type before.
    #[schema(required = true, example = "credit")]
    before: Option<String>,
    /// The name or type after.
    #[schema(required = true, example = "credit_limit")]
    after: Option<String>,
    /// For a rename, how sure that is; 1 if the database itself shows it.
    #[schema(required = true, example = 1.0)]
    confidence: Option<f64>,
}

impl From<MetChange> for MetChangeBody {
    fn from(it: MetChange) -> Self {
        let MetChange { kind, object, table, name, aspect, before, after, confidence } = it;
        Self { kind, object, table, name, aspect, before, after, confidence }
    }
}

/// What a query would have to be to work again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueryRepairProposal)]
struct ProposalBody {
    /// Its SQL.
    #[schema(example = "SELECT name, credit_limit AS credit FROM customers")]
    sql: String,
    /// What is done, for which change.
    steps: Vec<StepBody>,
    /// Whether it only gives names to what the database shows to be the same things.
    certain: bool,
    dry_run: DryRunBody,
}

/// Something that a proposal does.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueryRepairStep)]
struct StepBody {
    /// For which of `changes`, from 0.
    change: usize,
    /// `rename`, `cast` or `leave_out`.
    #[schema(example = "rename")]
    action: &'static str,
    /// The type of a cast, or the column that is left out.
    #[schema(required = true)]
    detail: Option<String>,
}

impl From<ProposedStep> for StepBody {
    fn from(it: ProposedStep) -> Self {
        Self { change: it.change, action: it.action.as_str(), detail: it.detail }
    }
}

/// What came of planning a proposal and running it for its first rows, as the query's owner.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueryRepairDryRun)]
struct DryRunBody {
    succeeded: bool,
    /// Why not.
    #[schema(required = true)]
    error: Option<String>,
    /// How its columns differ from those that the query had.
    differences: Vec<String>,
    /// How many rows were read; at most twenty are.
    row_count: u64,
    duration_ms: f64,
    at: Timestamp,
}

impl From<DryRun> for DryRunBody {
    fn from(it: DryRun) -> Self {
        let DryRun { succeeded, error, differences, rows, duration_ms, at } = it;
        Self { succeeded, error, differences, row_count: rows, duration_ms, at }
    }
}

impl From<Proposal> for ProposalBody {
    fn from(it: Proposal) -> Self {
        Self {
            sql: it.sql,
            steps: it.steps.into_iter().map(StepBody::from).collect(),
            certain: it.is_certain,
            dry_run: it.dry_run.into(),
        }
    }
}

impl From<Repair> for RepairBody {
    fn from(it: Repair) -> Self {
        Self {
            id: it.id.to_string(),
            query_id: it.query.to_string(),
            connection_id: it.connection.to_string(),
            query_version: it.version,
            state: it.state.into(),
            why: it.why,
            changes: it.changes.into_iter().map(MetChangeBody::from).collect(),
            proposal: it.proposal.map(ProposalBody::from),
            no_proposal: it.no_proposal,
            applied_version: it.applied_version,
            settled_by: it.settled_by.map(|it| it.to_string()),
            from_snapshot_id: it.from.to_string(),
            to_snapshot_id: it.to.to_string(),
            created_at: it.created_at,
            updated_at: it.updated_at,
        }
    }
}

/// What is done for queries that break: a query's own mode counts before its dashboards', and they before the organization's.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueryRepairModes)]
pub(super) struct ModesBody {
    organization: ModeBody,
    queries: Vec<QueryModeBody>,
    dashboards: Vec<DashboardModeBody>,
}

/// What is done for one query.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueryRepairModeOfQuery)]
struct QueryModeBody {
    #[schema(example = "q_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    query_id: String,
    mode: ModeBody,
}

/// What is done for the queries of one dashboard.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueryRepairModeOfDashboard)]
struct DashboardModeBody {
    #[schema(example = "dash_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    dashboard_id: String,
    mode: ModeBody,
}

impl From<Vec<OwnMode>> for ModesBody {
    fn from(all: Vec<OwnMode>) -> Self {
        let organization = RepairMode::default().into();
        let mut modes = Self { organization, queries: Vec::new(), dashboards: Vec::new() };
        for OwnMode { of, mode } in all {
            let mode = mode.into();
            match of {
                ModeOf::Organization => modes.organization = mode,
                ModeOf::Query(id) => {
                    modes.queries.push(QueryModeBody { query_id: id.to_string(), mode });
                }
                ModeOf::Dashboard(id) => {
                    let dashboard_id = DashboardId::from_uuid(id).to_string();
                    modes.dashboards.push(DashboardModeBody { dashboard_id, mode });
                }
            }
        }
        modes
    }
}

envelope! {
    /// A repair.
    RepairEnvelope(RepairBody)
}
page_envelope! {
    /// A page of repairs.
    RepairPage(RepairBody)
}
envelope! {
    /// What is done for queries that break.
    ModesEnvelope(ModesBody)
}
