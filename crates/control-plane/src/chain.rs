use std::str::FromStr;

use jiff::Timestamp;
use plinth_core::OrgId;
use serde::{Deserialize, Serialize};

use crate::{BranchId, EndpointId, InvalidName, Person, Point, ProjectId, SqlName};

plinth_core::typed_id! {
    /// Identifies an operation.
    OperationId
}

/// What a node has to do: all of it in this order, or nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// The operations, first the first.
    pub operations: Vec<Operation>,
}

/// One step, as callers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// Whose it is.
    pub org: OrgId,
    /// Its project.
    pub project: ProjectId,
    /// The branch that it is about.
    pub branch: Option<BranchId>,
    /// The endpoint that it is about.
    pub endpoint: Option<EndpointId>,
    /// What callers are told that it does.
    pub action: OperationAction,
    /// What it does.
    pub step: Step,
    /// How far it is.
    pub status: OperationStatus,
    /// Why it failed.
    pub error: Option<String>,
    /// How often it failed.
    pub failures: i32,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// How long it took.
    pub duration_ms: i32,
}

/// Work of a node. Each can be begun again after a crash at any point in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Step {
    /// Make a root's files.
    MakeRoot {
        /// The root.
        branch: BranchId,
    },
    /// Make a branch's files from another's.
    Copy {
        /// The new branch.
        branch: BranchId,
        /// What it is made from.
        source: BranchId,
        /// As of when.
        point: Point,
    },
    /// Make a branch's files with another's definitions and none of its rows.
    CopySchema {
        /// The new branch, whose roles and databases the rows say.
        branch: BranchId,
        /// Whose definitions they are.
        source: BranchId,
    },
    /// Keep a branch's state.
    Snapshot {
        /// The snapshot.
        snapshot: BranchId,
        /// The branch.
        source: BranchId,
        /// As of when.
        point: Point,
    },
    /// Put a branch that was made from a snapshot in the place of another: its name, its endpoints.
    Finalize {
        /// The branch that was made.
        branch: BranchId,
        /// The one whose place it takes.
        target: BranchId,
        /// How that one is called from then on.
        old_name: String,
    },
    /// Put a branch's files in the place of another's, which stay under a name of their own, if there is one.
    Replace {
        /// The branch that gets other files.
        branch: BranchId,
        /// Where they come from.
        source: BranchId,
        /// As of when.
        point: Point,
        /// The branch that gets the files there were.
        preserve: Option<BranchId>,
    },
    /// Make roles and databases be as the rows say.
    Configure {
        /// On which branch.
        branch: BranchId,
        /// Roles that are no more.
        #[serde(default)]
        drop_roles: Vec<SqlName>,
        /// Databases that are no more.
        #[serde(default)]
        drop_databases: Vec<SqlName>,
        /// A database that has another name now: from, to.
        #[serde(default)]
        rename_database: Option<(SqlName, SqlName)>,
        /// A role whose sessions end, because it has another password now.
        #[serde(default)]
        cut_sessions_of: Option<SqlName>,
    },
    /// Open the endpoint's port, and start its Postgres.
    Start {
        /// The endpoint.
        endpoint: EndpointId,
    },
    /// Open the endpoint's port anew, without starting anything: it leads elsewhere, or has other settings.
    Reopen {
        /// The endpoint.
        endpoint: EndpointId,
    },
    /// Stop the endpoint's Postgres; its port stays open.
    Suspend {
        /// The endpoint.
        endpoint: EndpointId,
    },
    /// Close the endpoint's port, and stop its Postgres.
    Close {
        /// The endpoint.
        endpoint: EndpointId,
    },
    /// Make the tables of the organization's own database, and show the team in it.
    Own {
        /// The branch.
        branch: BranchId,
        /// The database.
        database: SqlName,
        /// Its owner.
        owner: SqlName,
        /// The team.
        people: Vec<Person>,
    },
    /// Remove a branch's files.
    Remove {
        /// The branch.
        branch: BranchId,
    },
}

impl Step {
    /// Roles and databases as the rows say, with nothing special about it.
    pub fn configure(branch: &BranchId) -> Self {
        Self::Configure {
            branch: branch.clone(),
            drop_roles: Vec::new(),
            drop_databases: Vec::new(),
            rename_database: None,
            cut_sessions_of: None,
        }
    }

    /// The branch whose files it makes.
    pub fn makes(&self) -> Option<&BranchId> {
        match self {
            Self::MakeRoot { branch }
            | Self::Copy { branch, .. }
            | Self::CopySchema { branch, .. }
            | Self::Snapshot { snapshot: branch, .. } => Some(branch),
            _ => None,
        }
    }

    /// What callers are told that it does.
    pub fn action(&self) -> OperationAction {
        match self {
            Self::MakeRoot { .. } | Self::Snapshot { .. } => OperationAction::CreateTimeline,
            Self::Copy { .. } | Self::CopySchema { .. } | Self::Replace { .. } => {
                OperationAction::CreateBranch
            }
            Self::Configure { .. }
            | Self::Reopen { .. }
            | Self::Own { .. }
            | Self::Finalize { .. } => OperationAction::ApplyConfig,
            Self::Start { .. } => OperationAction::StartCompute,
            Self::Suspend { .. } | Self::Close { .. } => OperationAction::SuspendCompute,
            Self::Remove { .. } => OperationAction::DeleteTimeline,
        }
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $type:ident { $($(#[$vdoc:meta])* $variant:ident => $name:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $type { $($(#[$vdoc])* $variant),* }

        impl $type {
            /// Its name in rows and answers.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                match text { $($name => Ok(Self::$variant),)* _ => Err(InvalidName("it is not one of those that there are")) }
            }
        }
    };
}

words! {
    /// Those of the API's actions that Plinth does.
    OperationAction {
        /// A root's files are made, or a snapshot's.
        CreateTimeline => "create_timeline",
        /// A branch's files are made from another's.
        CreateBranch => "create_branch",
        /// A Postgres is started.
        StartCompute => "start_compute",
        /// A Postgres is stopped.
        SuspendCompute => "suspend_compute",
        /// Roles, databases or settings are made to be as they were asked for.
        ApplyConfig => "apply_config",
        /// A branch's files are removed.
        DeleteTimeline => "delete_timeline",
    }
}

words! {
    /// How far an operation is.
    OperationStatus {
        /// Nobody has begun.
        Scheduling => "scheduling",
        /// A node does it.
        Running => "running",
        /// It is done.
        Finished => "finished",
        /// It was given up.
        Failed => "failed",
        /// It was not begun, because one before it failed.
        Cancelled => "cancelled",
        /// There was nothing to do.
        Skipped => "skipped",
    }
}

impl OperationStatus {
    /// Whether it stays so.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Scheduling | Self::Running)
    }
}
