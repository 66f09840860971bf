use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use plinth_connections::{ConnectionId, Diagnosis, Target, TargetDatabase, TestReport};
use plinth_queries::{Plan, Rows, RunError, RunLimits, Statement, StatementRunner};
use tokio::time::Instant;

use crate::diagnose;
use crate::dial::Dialer;
use crate::plan::{self, EXPLAIN};
use crate::pool::{NoSession, PooledSession, Pools};
use crate::probe;
use crate::run::{self, NotStarted, RunningRows};
use crate::session::malformed;
use crate::settings::TargetSettings;
use crate::tls::Tls;

/// Customers' databases, reached through the egress gate and pooled by connection. Clones share the pools.
#[derive(Clone, Debug)]
pub struct TargetDatabases {
    pools: Arc<Pools>,
    sessions_per_connection: usize,
}

impl TargetDatabases {
    /// Dials nothing yet.
    ///
    /// # Errors
    ///
    /// If [`TargetSettings::extra_roots_pem`] has something that is no certificate.
    pub fn new(settings: TargetSettings) -> io::Result<Self> {
        let dialer = Dialer {
            gate: settings.gate.clone(),
            managed: settings.managed.clone(),
            tls: Tls::new(&settings.extra_roots_pem)?,
            limit: settings.connect_limit,
        };
        let sessions_per_connection = settings.sessions_per_connection;
        Ok(Self { pools: Arc::new(Pools::new(dialer, settings)), sessions_per_connection })
    }

    /// A session on the target's database, from its pool if it has one to spare.
    ///
    /// # Errors
    ///
    /// [`Diagnosis`] of the stage that failed.
    pub async fn session(&self, target: &Target) -> Result<PooledSession, Diagnosis> {
        self.pools.session(target, false).await.map_err(NoSession::into_diagnosis)
    }

    /// A session of the target's pool, for what writes.
    pub(crate) async fn pooled(&self, target: &Target) -> Result<PooledSession, NoSession> {
        self.pools.session(target, false).await
    }

    /// A session that belongs to no pool.
    pub(crate) async fn fresh(&self, target: &Target) -> Result<PooledSession, NoSession> {
        self.pools.fresh(target).await
    }

    /// What a failure of [`Session::query_all`](crate::Session::query_all) means for somebody who reads the schema.
    pub fn read_failure(error: RunError) -> Diagnosis {
        diagnose::read_schema(error)
    }

    async fn start(
        &self,
        target: &Target,
        statement: &Statement,
        limits: &RunLimits,
    ) -> Result<RunningRows, RunError> {
        // After a restart of the server every pooled session may be dead, each found out only by using it.
        let mut stale_left = self.sessions_per_connection;
        loop {
            let session = self.pools.session(target, limits.in_background).await;
            let session = session.map_err(NoSession::into_run_error)?;
            match run::start(session, statement, limits).await {
                Ok(rows) => return Ok(rows),
                Err(NotStarted::Failed(error)) => return Err(error),
                Err(NotStarted::Stale) if stale_left > 0 => stale_left -= 1,
                Err(NotStarted::Stale) => {
                    return Err(RunError::Connection(Box::new(diagnose::disconnected(None))));
                }
            }
        }
    }
}

impl NoSession {
    pub(crate) fn into_diagnosis(self) -> Diagnosis {
        match self {
            Self::Unreachable(it) => *it,
            Self::Busy => diagnose::busy(),
        }
    }

    pub(crate) fn into_run_error(self) -> RunError {
        match self {
            Self::Unreachable(it) => RunError::Connection(it),
            Self::Busy => RunError::Busy,
        }
    }
}

#[async_trait]
impl TargetDatabase for TargetDatabases {
    async fn test(&self, target: &Target) -> Result<TestReport, Diagnosis> {
        let began = Instant::now();
        let session = self.pools.fresh(target).await.map_err(NoSession::into_diagnosis)?;
        probe::probe(session, target, began).await
    }

    async fn forget(&self, connection: ConnectionId) {
        self.pools.forget(connection);
    }
}

#[async_trait]
impl StatementRunner for TargetDatabases {
    async fn run(
        &self,
        target: &Target,
        statement: &Statement,
        limits: &RunLimits,
    ) -> Result<Box<dyn Rows>, RunError> {
        Ok(Box::new(self.start(target, statement, limits).await?))
    }

    async fn plan(
        &self,
        target: &Target,
        statement: &Statement,
        limits: &RunLimits,
    ) -> Result<Plan, RunError> {
        let explained = Statement {
            sql: format!("{EXPLAIN}{}", statement.sql),
            parameters: statement.parameters.clone(),
            search_path: statement.search_path.clone(),
        };
        let read = async {
            let mut rows = self.start(target, &explained, limits).await?;
            let mut json = Vec::new();
            loop {
                let some = rows.next().await?;
                if some.is_empty() {
                    break;
                }
                for row in &some {
                    json.extend_from_slice(row.values().next().flatten().unwrap_or_default());
                }
            }
            plan::read(&json).ok_or_else(malformed)
        };
        read.await.map_err(|mut error| {
            // The position counts from the text that was sent.
            if let RunError::Database(it) = &mut error {
                let before = EXPLAIN.len().try_into().unwrap_or(0);
                it.position = it.position.and_then(|it| it.checked_sub(before));
            }
            error
        })
    }
}
