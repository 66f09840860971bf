//! Workflows and their runs.

mod approvals;
mod listeners;
mod queue;
mod rope;
mod rows;
mod runs;
mod store;

use std::sync::Arc;

pub use listeners::PostgresListeners;
pub use rope::PostgresRope;

use crate::Database;

/// [`plinth_workflows::WorkflowStore`] in our own database.
#[derive(Clone)]
pub struct PostgresWorkflows {
    database: Database,
}

impl PostgresWorkflows {
    /// Keeps workflows in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

/// [`plinth_workflows::RunQueue`] in our own database.
#[derive(Clone)]
pub struct PostgresRuns {
    database: Database,
    clock: Arc<dyn plinth_core::Clock>,
}

impl PostgresRuns {
    /// Keeps runs in `database`; letters about them are dated by `clock`.
    pub fn new(database: Database, clock: Arc<dyn plinth_core::Clock>) -> Self {
        Self { database, clock }
    }
}
