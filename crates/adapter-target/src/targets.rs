use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use plinth_connections::{Diagnosis, Target};
use plinth_queries::RunError;

use crate::Session;

/// Customers' databases, reached through the egress gate and pooled by connection. Clones share the pools.
#[derive(Clone, Debug)]
pub struct TargetDatabases(#[expect(dead_code, reason = "filled next")] Arc<()>);

/// A session that goes back to its pool when dropped, or is closed if something is left unfinished on it.
#[derive(Debug)]
pub struct PooledSession(Session);

impl TargetDatabases {
    /// A session on the target's database, from its pool if it has one to spare.
    ///
    /// # Errors
    ///
    /// [`Diagnosis`] of the stage that failed.
    pub async fn session(&self, _target: &Target) -> Result<PooledSession, Diagnosis> {
        Err(Self::read_failure(RunError::Busy))
    }

    /// What a failure of [`Session::query_all`] means for somebody who reads the schema.
    pub fn read_failure(error: RunError) -> Diagnosis {
        Diagnosis {
            stage: plinth_connections::Stage::ReadSchema,
            fault: plinth_connections::Fault::ServerError,
            title: error.to_string(),
            explanation: error.to_string(),
            fix_steps: Vec::new(),
            retryable: true,
        }
    }
}

impl Deref for PooledSession {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}

impl DerefMut for PooledSession {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.0
    }
}
