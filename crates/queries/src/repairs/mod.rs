//! Saved queries that a schema has drifted away from: which they are, what broke them, and what they would have to be.
//!
//! After each change of a connection's schema every saved query over it is tried. One that fits no more has a [`Repair`]: the
//! changes that it meets and, unless nobody wants one, a [`Proposal`], which was tried under its owner's rights.
//!
//! **Invariant:** a query has at most one repair that is not settled. Nothing is applied by itself but names of what the database
//! shows to be the same thing, after a dry run with the same columns.

mod check;
mod error;
mod ports;
mod propose;
mod service;

use jiff::Timestamp;
use plinth_connections::ConnectionId;
use plinth_core::{OrgId, UserId};
use plinth_schema_introspect::{Aspect, Change, ChangeKind, SnapshotId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::check::{Checked, Counts};
pub use self::error::RepairError;
pub use self::ports::{ModeOf, OwnMode, RepairFilter, RepairStore};
pub use self::service::{RepairParts, Repairs};
use crate::QueryId;

plinth_core::typed_id! {
    /// Identifies a repair of a saved query.
    RepairId, "rep"
}

/// What is done for queries that break.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum RepairMode {
    /// They are marked.
    Off,
    /// And a fix is proposed.
    #[default]
    Suggest,
    /// And applied where it is certain.
    Auto,
}

impl RepairMode {
    /// From the one that does least.
    pub const ALL: [Self; 3] = [Self::Off, Self::Suggest, Self::Auto];

    /// Its name in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Suggest => "suggest",
            Self::Auto => "auto",
        }
    }
}

/// How far a repair is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepairState {
    /// The query does not work.
    Open,
    /// It does not, and somebody wants to hear no more of it.
    Dismissed,
    /// The proposal is a version of the query now.
    Applied,
    /// It works again without: the schema is as it was, or somebody changed the query.
    Resolved,
}

impl RepairState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Open, Self::Dismissed, Self::Applied, Self::Resolved];

    /// Its name in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Dismissed => "dismissed",
            Self::Applied => "applied",
            Self::Resolved => "resolved",
        }
    }

    /// Whether the query still does not work.
    pub fn is_unsettled(self) -> bool {
        matches!(self, Self::Open | Self::Dismissed)
    }
}

/// A saved query that a change of the schema broke.
#[derive(Clone, Debug, PartialEq)]
pub struct Repair {
    /// Its id.
    pub id: RepairId,
    /// In which organization.
    pub org: OrgId,
    /// The query.
    pub query: QueryId,
    /// Over which database.
    pub connection: ConnectionId,
    /// Which version of it does not work.
    pub version: u32,
    /// How far it is.
    pub state: RepairState,
    /// The last state of the schema over which it worked.
    pub from: SnapshotId,
    /// The state over which it was last tried.
    pub to: SnapshotId,
    /// Why it does not work, in the guard's or the database's words.
    pub why: String,
    /// The changes that it meets.
    pub changes: Vec<MetChange>,
    /// What it would have to be.
    pub proposal: Option<Proposal>,
    /// Why nothing is proposed, for people.
    pub no_proposal: Option<String>,
    /// The version that the proposal became.
    pub applied_version: Option<u32>,
    /// Who applied or dismissed it; `None` for Plinth.
    pub settled_by: Option<UserId>,
    /// When it was found.
    pub created_at: Timestamp,
    /// When it was last tried or settled.
    pub updated_at: Timestamp,
}

/// A change of a schema as those are told of it whose query it broke. It has names and types only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetChange {
    /// `removed`, `renamed` or `changed`.
    pub kind: String,
    /// What kind of thing changed: `table`, `view`, `column` and others.
    pub object: String,
    /// The table it belongs to; `None` for types.
    pub table: Option<String>,
    /// Its name now, or the one that it had if it is gone.
    pub name: String,
    /// Which side of it changed, if it was not the whole.
    pub aspect: Option<String>,
    /// The name or type before.
    pub before: Option<String>,
    /// The name or type after.
    pub after: Option<String>,
    /// For a rename, how sure that is; 1 if the database itself shows it.
    pub confidence: Option<f64>,
}

impl MetChange {
    fn of(change: &Change) -> Self {
        let word = |it: Value| it.as_str().unwrap_or_default().to_owned();
        let named = change.kind == ChangeKind::Renamed || change.aspect == Some(Aspect::Type);
        let shown = |it: &Option<String>| it.clone().filter(|_| named);
        Self {
            kind: word(serde_json::to_value(change.kind).unwrap_or_default()),
            object: word(serde_json::to_value(change.object).unwrap_or_default()),
            table: change.table.clone(),
            name: change.name.clone(),
            aspect: change.aspect.map(|it| word(serde_json::to_value(it).unwrap_or_default())),
            before: shown(&change.before),
            after: shown(&change.after),
            confidence: change.confidence,
        }
    }
}

/// What a query would have to be to work again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// Its statement, with `{{ name }}` where parameters stand.
    pub sql: String,
    /// What is done, for which change.
    pub steps: Vec<ProposedStep>,
    /// Whether it only gives names to what the database shows to be the same things.
    pub is_certain: bool,
    /// What came of trying it.
    pub dry_run: DryRun,
}

impl Proposal {
    /// Whether it may be applied without anybody looking at it.
    fn is_safe(&self) -> bool {
        self.is_certain && self.dry_run.succeeded && self.dry_run.differences.is_empty()
    }
}

/// Something that a proposal does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProposedStep {
    /// For which of the repair's changes, from 0.
    pub change: usize,
    /// What.
    pub action: ProposedAction,
    /// The type of a cast, or the column that is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What a proposal can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProposedAction {
    /// A table or column is called what it is called now.
    Rename,
    /// A column's values are made those of the type that it had.
    Cast,
    /// A column is left out of the result.
    LeaveOut,
}

impl ProposedAction {
    /// Its name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rename => "rename",
            Self::Cast => "cast",
            Self::LeaveOut => "leave_out",
        }
    }
}

/// What came of planning a proposal and running it for its first rows, as the query's owner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DryRun {
    /// Whether it ran.
    pub succeeded: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How its columns differ from those that the query had, in sentences.
    pub differences: Vec<String>,
    /// How many rows were read; at most twenty are.
    pub rows: u64,
    /// How long that took, in milliseconds.
    pub duration_ms: f64,
    /// When.
    pub at: Timestamp,
}
