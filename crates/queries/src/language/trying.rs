//! Trying entries out: guard and planner say whether they fit a schema.

use std::sync::Arc;

use plinth_connections::Opened;
use plinth_nl2sql::SchemaIndex;

use super::{Entry, EntryBody};
use crate::knowledge::Knowledge;
use crate::{Queries, QueryError, RunError, RunLimits};

/// The statements that are planned to try an entry.
pub(super) fn statements(entry: &Entry) -> Vec<String> {
    let from = |table: &str| {
        let parts: Vec<String> =
            table.splitn(2, '.').map(|it| format!("\"{}\"", it.replace('"', "\"\""))).collect();
        parts.join(".")
    };
    match &entry.body {
        EntryBody::Term { table, predicate, expression, .. } => {
            let table = from(table);
            let held = predicate.iter().map(|it| format!("SELECT 1 FROM {table} WHERE ({it}\n)"));
            let counted = expression.iter().map(|it| format!("SELECT sum(({it}\n)) FROM {table}"));
            held.chain(counted).collect()
        }
        EntryBody::Metric { table, expression, filter, time, .. } => {
            let table = from(table);
            let whole = std::iter::once(format!("SELECT ({expression}\n) FROM {table}"));
            let held = filter.iter().map(|it| format!("SELECT 1 FROM {table} WHERE ({it}\n)"));
            let timed =
                time.iter().map(|it| format!("SELECT date_trunc('day', ({it}\n)) FROM {table}"));
            whole.chain(held).chain(timed).collect()
        }
        EntryBody::Example { sql, .. } => vec![sql.clone()],
    }
}

impl Queries {
    /// Says why an entry cannot be used over the schema as it is; `None` if it can.
    ///
    /// # Errors
    ///
    /// Only when it could not be found out: the database is away, say.
    pub(super) async fn try_out(
        &self,
        opened: &Opened,
        knowledge: &Arc<Knowledge>,
        limits: &RunLimits,
        entry: &Entry,
    ) -> Result<Option<String>, QueryError> {
        let (terms, metrics) = (entry.term(), entry.metric());
        if terms.is_some() || metrics.is_some() {
            let held = knowledge.clone();
            let tried = tokio::task::spawn_blocking(move || {
                let catalog = &held.snapshot().catalog;
                let mut index = SchemaIndex::build(catalog, held.allowed());
                index.speak(terms.as_slice(), metrics.as_slice(), held.guard())
            });
            let unusable = tried
                .await
                .map_err(|err| QueryError::Store(plinth_core::StoreError::Internal(err.into())))?;
            if let Some(it) = unusable.into_iter().next() {
                return Ok(Some(it.why));
            }
        }
        for sql in statements(entry) {
            let judged = match knowledge.judge(&sql) {
                Ok(judged) => judged,
                Err(refused) => return Ok(Some(refused.to_string())),
            };
            let statement = knowledge.statement(&judged)?;
            let planned =
                self.hold_against_plan(opened, knowledge, &judged, &statement, limits, &sql).await;
            match planned {
                Ok(_) => {}
                Err(QueryError::Run { source: RunError::Database(message), .. }) => {
                    return Ok(Some(message.message));
                }
                Err(err @ QueryError::TableNotAllowed { .. }) => return Ok(Some(err.to_string())),
                Err(err) => return Err(err),
            }
        }
        Ok(None)
    }
}
