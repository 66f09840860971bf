//! Looks words of a question up in the database that nothing else explains.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use plinth_connections::Opened;
use plinth_nl2sql::lookup::{Found, Lookup, Wanted};

use super::Queries;
use crate::explain::Ceiling;
use crate::kept::Key;
use crate::knowledge::{Judged, Knowledge};
use crate::lookups::{LOOKUP_COST, LOOKUP_TIME};
use crate::{QueryError, RunLimits, Statement};

/// How far one lookup may go.
const ROWS: u64 = 512;
const BYTES: u64 = 256 * 1024;
const ROW_BYTES: usize = 16 * 1024;

impl Queries {
    /// Where those words stand, as far as the caller may see it. It goes the way of every statement — policies, guard, plan,
    /// run, in a read-only transaction — and what fails or takes too long has found nothing: a question is not refused for it.
    ///
    /// Nothing is looked up where values may not be looked at for questions' sake: in a connection without sampling.
    pub(super) async fn look_up(
        &self,
        opened: &Opened,
        knowledge: &Arc<Knowledge>,
        wanted: &Wanted,
        limits: &RunLimits,
    ) -> Arc<[Found]> {
        let nothing: Arc<[Found]> = Arc::from([]);
        if !opened.connection.sampling {
            return nothing;
        }
        let Some(lookup) = knowledge.access().lookup(wanted) else { return nothing };
        let limits = RunLimits {
            rows: ROWS,
            bytes: BYTES,
            row_bytes: ROW_BYTES,
            time: LOOKUP_TIME.min(limits.time),
            reader_time: Duration::ZERO,
            time_zone: limits.time_zone.clone(),
            // What is found is kept for everybody, and has little time to be found.
            in_background: false,
        };
        let prepared = Self::prepared(knowledge, &lookup);
        let (judged, statement) = match prepared {
            Ok(it) => it,
            Err(err) => {
                tracing::debug!(error = %err, "a lookup is not let through");
                return nothing;
            }
        };
        let key = Key::new(opened, knowledge, &statement, &limits);
        let now = self.clock.now();
        if let Some(found) = self.lookups.get(&key, now) {
            return found;
        }
        let looking = self.looked_up(opened, knowledge, &judged, &statement, &lookup, &limits);
        let found: Arc<[Found]> = match tokio::time::timeout(limits.time, looking).await {
            Ok(Ok(found)) => found.into(),
            Ok(Err(err)) => {
                tracing::debug!(
                    connection.id = %opened.connection.id, error = %err,
                    "words of a question could not be looked up"
                );
                nothing
            }
            Err(_) => {
                tracing::debug!(
                    connection.id = %opened.connection.id,
                    "looking words of a question up took too long"
                );
                nothing
            }
        };
        self.lookups.put(key, now, found.clone());
        found
    }

    fn prepared(
        knowledge: &Knowledge,
        lookup: &Lookup,
    ) -> Result<(Arc<Judged>, Statement), QueryError> {
        let judged = knowledge.judge_lookup(&lookup.sql, lookup.parameters.len())?;
        let parameters = lookup.parameters.iter().cloned().map(Some).collect();
        let statement = knowledge.statement_with(&judged, parameters)?;
        Ok((judged, statement))
    }

    async fn looked_up(
        &self,
        opened: &Opened,
        knowledge: &Knowledge,
        judged: &Judged,
        statement: &Statement,
        lookup: &Lookup,
        limits: &RunLimits,
    ) -> Result<Vec<Found>, QueryError> {
        let sql = &lookup.sql;
        // The first time only: what is asked of the same columns costs the same.
        if !judged.is_cheap.load(Ordering::Relaxed) {
            let mut plan =
                self.hold_against_plan(opened, knowledge, judged, statement, limits, sql).await?;
            if let Some(text) = judged.approved.for_estimates.clone() {
                let statement = Statement { sql: text, ..statement.clone() };
                plan = self.plan(opened, judged, &statement, limits, sql).await?;
            }
            let settings = self.tenancy.current(opened.connection.org).await?.settings;
            let ceiling = Ceiling { cost: settings.plan_cost_limit, rows: settings.plan_row_limit };
            ceiling.check(&plan, judged.is_restricted())?;
            if plan.total_cost > LOOKUP_COST {
                return Ok(Vec::new());
            }
            judged.is_cheap.store(true, Ordering::Relaxed);
        }
        let failed = |source| QueryError::Run { sql: sql.clone(), source: judged.told(source) };
        let mut rows = self.runner.run(&opened.target, statement, limits).await.map_err(failed)?;
        let mut found = Vec::new();
        loop {
            let some = rows.next().await.map_err(failed)?;
            if some.is_empty() {
                return Ok(found);
            }
            for row in &some {
                let mut values = row.values().map(|it| it.and_then(|it| str::from_utf8(it).ok()));
                if let (Some(Some(number)), Some(Some(value))) = (values.next(), values.next()) {
                    found.extend(lookup.read(number, value));
                }
            }
        }
    }
}
