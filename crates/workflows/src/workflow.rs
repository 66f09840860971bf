use jiff::Timestamp;
use plinth_core::{OrgId, UserId};
use serde_json::Value;

use crate::WorkflowId;
use crate::definition::Meant;

/// A workflow: what people edit, and which version of it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Workflow {
    /// Its id.
    pub id: WorkflowId,
    /// Whose.
    pub org: OrgId,
    /// Its name, unique in the organization.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// As whom it runs: who made it, or published it last.
    pub owner: UserId,
    /// Whether its triggers start it.
    pub enabled: bool,
    /// Since when and why it stands still although it is enabled.
    pub paused: Option<(Timestamp, String)>,
    /// How many runs failed since one succeeded.
    pub failures: i32,
    /// What people edit; whole and valid, and not yet what runs.
    pub draft: Value,
    /// The number of the version that runs; `None` before anything was published.
    pub published: Option<i32>,
    /// How its published version is started: `manual`, `schedule`, `webhook` or `listen`.
    pub trigger: Option<String>,
    /// When the schedule is due next.
    pub next_slot: Option<Timestamp>,
    /// Counts the URLs that its webhook had: the newest counts.
    pub hook_number: i32,
    /// Counts changes, for `ETag`.
    pub revision: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed.
    pub updated_at: Timestamp,
}

impl Workflow {
    /// Whether triggers start it.
    pub fn is_live(&self) -> bool {
        self.enabled && self.paused.is_none() && self.published.is_some()
    }
}

/// A published version. It is never changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// Its number, from 1.
    pub number: i32,
    /// What it does.
    pub definition: Value,
    /// What the names in it meant then; `None` of a version from before that was noted.
    pub meant: Option<Meant>,
    /// By whom it was published.
    pub by: UserId,
    /// When.
    pub at: Timestamp,
    /// How many of its runs may be under way at once.
    pub concurrency: i32,
}
