//! Looking into single tables: whether one can be read, and how many rows there are.

use std::time::Duration;

use async_trait::async_trait;
use plinth_connections::{CountedTable, Diagnosis, TableName, TableReader, Target, TriedTable};
use plinth_queries::{RawRow, RunError};
use tokio::time::Instant;

use crate::plan::{self, EXPLAIN};
use crate::{PooledSession, Query, ReadLimits, TargetDatabases};

/// How long looking at one table may take.
const TRY_LIMITS: ReadLimits =
    ReadLimits { time: Duration::from_secs(10), row_bytes: 64 << 10, total_bytes: 1 << 20 };

/// How long all counting may take. What is not counted by then keeps its estimate.
const COUNT_LIMIT: Duration = Duration::from_secs(10);

/// How long one batch of tables may take: one slow disk does not use up everybody's time.
const BATCH_LIMIT: Duration = Duration::from_secs(3);

/// How many tables are counted by one statement.
const BATCH: usize = 100;

/// The first table by name that the role may read.
const FIRST_TABLE: &str = "
SELECT n.nspname, c.relname
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
   AND (pg_catalog.has_table_privilege(c.oid, 'SELECT') OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT'))
 ORDER BY n.nspname = 'public' DESC, c.relkind IN ('v', 'f'), n.nspname, c.relname LIMIT 1";

#[async_trait]
impl TableReader for TargetDatabases {
    async fn try_table(
        &self,
        target: &Target,
        table: Option<&TableName>,
    ) -> Result<Option<TriedTable>, Diagnosis> {
        let mut session = self.session(target).await?;
        let name = match table {
            Some(name) => name.clone(),
            None => match first_table(&mut session).await.map_err(Self::read_failure)? {
                Some(name) => name,
                None => return Ok(None),
            },
        };
        let sql = format!("SELECT 1 FROM {} LIMIT 1", quoted(&name));
        let asked = [Query { sql: &sql, parameters: &[] }];
        let is_accessible = match session.query_all(&asked, &TRY_LIMITS).await {
            Ok(_) => true,
            Err(RunError::Connection(it)) => return Err(*it),
            // Not there, not permitted, a view that fails or takes for ever: it cannot be read.
            Err(_) => false,
        };
        Ok(Some(TriedTable { name, is_accessible }))
    }

    async fn count_rows(
        &self,
        target: &Target,
        tables: &[CountedTable],
        most: u64,
    ) -> Result<Vec<Option<u64>>, Diagnosis> {
        let mut session = self.session(target).await?;
        let deadline = Instant::now() + COUNT_LIMIT;
        let mut rows: Vec<Option<u64>> =
            tables.iter().map(|it| it.estimate.and_then(whole)).collect();
        // Everything of which nothing says that it is large.
        let small: Vec<usize> = (0..tables.len())
            .filter(|at| tables[*at].is_countable && rows[*at].is_none_or(|it| it < most))
            .collect();
        for batch in small.chunks(BATCH) {
            let Some(limits) = left(deadline) else { break };
            let sql = count(batch.iter().map(|at| &tables[*at].name), most);
            match session.query_all(&[Query { sql: &sql, parameters: &[] }], &limits).await {
                Ok(answer) => {
                    for (at, counted) in batch.iter().zip(answer.iter().flatten()) {
                        let counted = counted.values().next().flatten().and_then(number);
                        rows[*at] = match counted {
                            // As many as were looked at: there may be more.
                            Some(it) if it >= most => rows[*at].map(|estimate| estimate.max(it)),
                            counted => counted.or(rows[*at]),
                        };
                    }
                }
                Err(error) => session = self.again(session, error, target).await?,
            }
        }
        // What has neither statistics nor few rows: the planner guesses by the size of the file, or from the view's text.
        for at in 0..tables.len() {
            if rows[at].is_some() {
                continue;
            }
            let Some(limits) = left(deadline) else { break };
            let sql = format!("{EXPLAIN}SELECT 1 FROM {}", quoted(&tables[at].name));
            match session.query_all(&[Query { sql: &sql, parameters: &[] }], &limits).await {
                Ok(answer) => rows[at] = answer.first().and_then(|it| estimate(it)),
                Err(error) => session = self.again(session, error, target).await?,
            }
        }
        Ok(rows)
    }
}

impl TargetDatabases {
    /// A session to go on with after a statement failed on this one.
    async fn again(
        &self,
        session: PooledSession,
        error: RunError,
        target: &Target,
    ) -> Result<PooledSession, Diagnosis> {
        match error {
            RunError::Connection(it) => Err(*it),
            RunError::TimedOut(_) => {
                drop(session);
                self.session(target).await
            }
            _ => Ok(session),
        }
    }
}

async fn first_table(session: &mut PooledSession) -> Result<Option<TableName>, RunError> {
    let asked = [Query { sql: FIRST_TABLE, parameters: &[] }];
    let answer = session.query_all(&asked, &TRY_LIMITS).await?;
    Ok(answer.first().and_then(|it| it.first()).and_then(|row| {
        let mut names = row.values().map(|it| String::from_utf8(it?.to_vec()).ok());
        Some(TableName { schema: names.next()??, name: names.next()?? })
    }))
}

/// How long the next batch may take; `None` if the time is up.
fn left(deadline: Instant) -> Option<ReadLimits> {
    let left = deadline.checked_duration_since(Instant::now())?;
    Some(ReadLimits { time: left.min(BATCH_LIMIT), ..TRY_LIMITS })
}

/// One row for each table, in their order: how many rows it has, counted up to `most`.
fn count<'a>(tables: impl Iterator<Item = &'a TableName>, most: u64) -> String {
    let counts: Vec<String> = tables
        .map(|it| {
            format!(
                "(SELECT pg_catalog.count(*) FROM (SELECT 1 FROM {} LIMIT {most}) counted)",
                quoted(it)
            )
        })
        .collect();
    format!("SELECT pg_catalog.unnest(ARRAY[{}])", counts.join(", "))
}

fn estimate(rows: &[RawRow]) -> Option<u64> {
    let mut json = Vec::new();
    for row in rows {
        json.extend_from_slice(row.values().next().flatten().unwrap_or_default());
    }
    whole(plan::read(&json)?.estimated_rows)
}

fn whole(estimate: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked before")]
    let whole = (estimate.is_finite() && estimate >= 0.0).then(|| estimate.round() as u64);
    whole
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A name as it stands in a statement, whatever characters it has.
fn quoted(it: &TableName) -> String {
    let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    format!("{}.{}", quote(&it.schema), quote(&it.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_whatever_is_in_them() {
        let name = TableName { schema: "a\"b".to_owned(), name: "x; DROP TABLE y --".to_owned() };
        assert_eq!(quoted(&name), "\"a\"\"b\".\"x; DROP TABLE y --\"");
        assert!(
            count([&name].into_iter(), 3)
                .contains("FROM \"a\"\"b\".\"x; DROP TABLE y --\" LIMIT 3")
        );
    }
}
