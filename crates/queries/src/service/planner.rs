use std::sync::Arc;
use std::time::Duration;

use plinth_connections::Opened;
use plinth_nl2sql::model::{DryRun, DryRunError, Tried};

use super::Queries;
use crate::knowledge::Knowledge;
use crate::{JsonRows, Purpose, QueryError, RunError, RunLimits};

/// How far a statement of a model is run to see what it finds, before it is run in earnest.
const TRIED_ROWS: u64 = 200;
const TRIED_BYTES: u64 = 256 * 1024;
const TRIED_ROW_BYTES: usize = 64 * 1024;
const TRIED_TIME: Duration = Duration::from_millis(1_500);

/// A refusal of ours, told to the model as the database would (`insufficient_privilege`).
fn refused(message: String) -> DryRunError {
    DryRunError::Database { sqlstate: "42501".to_owned(), message, hint: None, position: None }
}

/// The planner as the model's strategy sees it: guard and plan, as for every statement that is run.
pub(super) struct Planner<'a> {
    pub(super) queries: &'a Queries,
    pub(super) opened: &'a Opened,
    pub(super) knowledge: &'a Arc<Knowledge>,
    pub(super) limits: &'a RunLimits,
    pub(super) purpose: Purpose,
}

#[async_trait::async_trait]
impl DryRun for Planner<'_> {
    async fn plan(&self, sql: &str) -> Result<(), DryRunError> {
        let judged = self.knowledge.judge(sql).map_err(|it| refused(it.to_string()))?;
        let statement = self.knowledge.statement(&judged).map_err(|it| refused(it.to_string()))?;
        let planned = self.queries.hold_against_plan(
            self.opened,
            self.knowledge,
            &judged,
            &statement,
            self.limits,
            sql,
        );
        planned.await.map(drop).map_err(|err| match err {
            QueryError::Run { source: RunError::Database(message), .. } => DryRunError::Database {
                sqlstate: message.sqlstate,
                message: message.message,
                hint: message.hint,
                position: message.position,
            },
            QueryError::TableNotAllowed { .. } => refused(err.to_string()),
            other => DryRunError::Unavailable(other.to_string()),
        })
    }

    async fn try_run(&self, sql: &str) -> Result<Option<Tried>, DryRunError> {
        // Whoever wants to know what would be run wants nothing run.
        if self.purpose == Purpose::Explain {
            return Ok(None);
        }
        let judged = self.knowledge.judge(sql).map_err(|it| refused(it.to_string()))?;
        let statement = self.knowledge.statement(&judged).map_err(|it| refused(it.to_string()))?;
        let limits = RunLimits {
            rows: TRIED_ROWS,
            bytes: TRIED_BYTES,
            row_bytes: TRIED_ROW_BYTES,
            time: TRIED_TIME.min(self.limits.time),
            reader_time: Duration::ZERO,
            time_zone: self.limits.time_zone.clone(),
            in_background: self.limits.in_background,
        };
        let runner = &self.queries.runner;
        let running = async {
            let mut rows = runner.run(&self.opened.target, &statement, &limits).await?;
            let mut json = JsonRows::new(rows.columns(), &self.knowledge.types);
            let mut tried = Tried::default();
            loop {
                let some = rows.next().await?;
                if some.is_empty() {
                    tried.is_complete = rows.cut_off().is_none();
                    return Ok(tried);
                }
                for row in &some {
                    let text = |it| match it {
                        serde_json::Value::Null => None,
                        serde_json::Value::String(text) => Some(text),
                        other => Some(other.to_string()),
                    };
                    tried.rows.push(json.values(row).into_iter().map(text).collect());
                }
            }
        };
        match running.await.map_err(|err| judged.told(err)) {
            Ok(tried) => Ok(Some(tried)),
            Err(RunError::Database(message)) => Err(DryRunError::Database {
                sqlstate: message.sqlstate,
                message: message.message,
                hint: message.hint,
                position: message.position,
            }),
            // Not cheap, or not now: that says nothing about the statement.
            Err(
                RunError::TimedOut(_)
                | RunError::RowTooLarge { .. }
                | RunError::Cancelled
                | RunError::Busy,
            ) => Ok(None),
            Err(err @ RunError::Connection(_)) => Err(DryRunError::Unavailable(err.to_string())),
        }
    }
}
