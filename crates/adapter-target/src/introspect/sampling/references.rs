//! Whether columns that look like references are some: by how many of their values stand where they seem to refer to.
//!
//! Nothing of the values leaves the database but two counts. At most [`ROWS`] rows of the referring table are read and
//! [`VALUES`] different values looked up, in a table that has an index for it or is small; [`TIME_LIMIT`] for all together.

use std::fmt::Write;
use std::time::Duration;

use plinth_queries::{RawRow, RunError};
use plinth_schema_introspect::{InferredKey, ReferenceCandidate, Relation, reference_candidates};
use tokio::time::Instant;

use super::statements::quoted;
use super::{STATEMENT_LIMIT, WHOLE_ROWS};
use crate::introspect::assemble::Draft;
use crate::introspect::fields::{Fields, Unreadable};
use crate::introspect::queries;
use crate::{Query, ReadLimits, Session};

const ROWS: u32 = 1_000;
const VALUES: u32 = 200;
const TIME_LIMIT: Duration = Duration::from_secs(1);

/// How many are asked for in one round trip.
const BATCH: usize = 8;

/// A table without an index that is larger on disk is not read for this.
const SMALL_BYTES: u64 = 8 << 20;

/// Fills [`inferred_keys`](Relation::inferred_keys) of as many relations as the limits allow.
pub(in crate::introspect) async fn read(session: &mut Session, draft: &mut Draft) {
    let deadline = Instant::now() + TIME_LIMIT;
    let relations = &draft.relations;
    let mut candidates = reference_candidates(relations);
    candidates.retain(|it| it.is_unique || is_small(&relations[it.to]));
    for batch in candidates.chunks(BATCH) {
        match look(session, draft, batch, deadline).await {
            Ok(()) => {}
            // One of them was too slow, locked or broken: the others are asked for by themselves.
            Err(RunError::Database(_)) if batch.len() > 1 => {
                for it in batch {
                    match look(session, draft, std::slice::from_ref(it), deadline).await {
                        Ok(()) | Err(RunError::Database(_)) => {}
                        Err(_) => return,
                    }
                }
            }
            Err(RunError::Database(_)) => {}
            Err(_) => return,
        }
    }
}

fn is_small(it: &Relation) -> bool {
    let few = it.estimated_rows.is_some_and(|rows| rows <= f64::from(WHOLE_ROWS));
    few || it.estimated_rows.is_none()
        && it.measures.is_some_and(|it| it.table_bytes <= SMALL_BYTES)
}

async fn look(
    session: &mut Session,
    draft: &mut Draft,
    batch: &[ReferenceCandidate],
    deadline: Instant,
) -> Result<(), RunError> {
    let time = deadline.saturating_duration_since(Instant::now());
    if time < Duration::from_millis(20) {
        return Err(RunError::TimedOut(TIME_LIMIT));
    }
    let limits = ReadLimits { time, row_bytes: 4 << 10, total_bytes: 1 << 20 };
    let time_ms = STATEMENT_LIMIT.min(time).as_millis().to_string();
    let settings = [Some("100"), Some(time_ms.as_str())];
    let statements: Vec<String> = batch.iter().map(|it| statement(&draft.relations, *it)).collect();
    let mut asked = vec![Query { sql: queries::SETTINGS, parameters: &settings }];
    asked.extend(statements.iter().map(|sql| Query { sql, parameters: &[] }));
    let answers = session.query_all(&asked, &limits).await?;
    for (it, rows) in batch.iter().zip(answers.iter().skip(1)) {
        let counted = |row: &RawRow| -> Result<(u32, u32, bool), Unreadable> {
            let mut fields = Fields::of(row);
            let (looked_at, contained): (u32, u32) = (fields.number()?, fields.number()?);
            let unique: u32 = fields.number()?;
            Ok((looked_at, contained, unique == 1))
        };
        let Some(Ok((looked_at, contained, is_unique))) = rows.first().map(counted) else {
            continue;
        };
        // An empty table tells nothing.
        if looked_at == 0 {
            continue;
        }
        let target = &draft.relations[it.to];
        let key = InferredKey {
            column: draft.relations[it.from].columns[it.column].name.clone(),
            target_schema: target.schema.clone(),
            target_table: target.name.clone(),
            target_column: target.columns[it.target_column].name.clone(),
            looked_at,
            contained,
            is_unique,
        };
        draft.relations[it.from].inferred_keys.push(key);
    }
    Ok(())
}

/// How many different values were looked at, how many of them stand there, and whether none stands there twice (1 or 0).
fn statement(relations: &[Relation], it: ReferenceCandidate) -> String {
    let (from, to) = (&relations[it.from], &relations[it.to]);
    let name = |it: &Relation| format!("{}.{}", quoted(&it.schema), quoted(&it.name));
    let (column, key) =
        (quoted(&from.columns[it.column].name), quoted(&to.columns[it.target_column].name));
    let mut sample = String::new();
    if let Some(rows) = from.estimated_rows.filter(|it| *it > f64::from(WHOLE_ROWS)) {
        // Pages from all over it, a few more than are needed.
        let percent = (400.0 * f64::from(ROWS) / rows).clamp(0.000_1, 100.0);
        let _ = write!(sample, " TABLESAMPLE SYSTEM ({percent:.6})");
    }
    let unique = if it.is_unique {
        "1".to_owned()
    } else {
        format!(
            "(SELECT (count(u.{key}) = count(DISTINCT u.{key}))::int FROM ONLY {} AS u)",
            name(to)
        )
    };
    format!(
        "SELECT count(*), count(*) FILTER (WHERE EXISTS (SELECT 1 FROM ONLY {to} AS t WHERE t.{key} = d.v)), {unique} \
         FROM (SELECT DISTINCT s.v FROM (SELECT f.{column} AS v FROM ONLY {from} AS f{sample} \
         WHERE f.{column} IS NOT NULL LIMIT {ROWS}) AS s LIMIT {VALUES}) AS d",
        to = name(to),
        from = name(from),
    )
}
