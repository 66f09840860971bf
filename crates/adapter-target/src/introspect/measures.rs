//! How large tables are, and when they were last analyzed.

use std::time::Duration;

use jiff::Timestamp;
use plinth_core::FastMap;
use plinth_queries::{RawRow, RunError};
use plinth_schema_introspect::{Measures, RelationKind};

use super::assemble::Draft;
use super::fields::{Fields, Unreadable};
use super::queries::{self, Scope};
use crate::{Query, ReadLimits, Session};

/// Locks are taken only where the file system has to be asked, and hardly waited for.
const WAITING: [Option<&str>; 2] = [Some("100"), Some("2000")];

const LIMITS: ReadLimits =
    ReadLimits { time: Duration::from_secs(3), row_bytes: 1 << 20, total_bytes: 64 << 20 };

/// Asks; with the scope [`Scope::One`] about the relation of the oid `relation`.
///
/// # Errors
///
/// [`RunError`]; then nothing is known, which is no reason to fail.
pub(super) async fn ask(
    session: &mut Session,
    scope: Scope,
    relation: Option<&str>,
) -> Result<Vec<RawRow>, RunError> {
    let sql = queries::measures(scope);
    let parameters = [relation];
    let parameters = if relation.is_some() { &parameters[..] } else { &[] };
    let settings = Query { sql: queries::SETTINGS, parameters: &WAITING };
    let answers = session.query_all(&[settings, Query { sql: &sql, parameters }], &LIMITS).await?;
    Ok(answers.into_iter().nth(1).unwrap_or_default())
}

/// Fills [`Relation::measures`](plinth_schema_introspect::Relation::measures), and of one relation whether it has pages. A
/// partitioned table is as large as its partitions.
///
/// # Errors
///
/// [`Unreadable`] if the rows are not what was asked for.
pub(super) fn fill(draft: &mut Draft, rows: &[RawRow]) -> Result<(), Unreadable> {
    let relations = &mut draft.relations;
    let mut measures: FastMap<u32, Measures> = FastMap::default();
    measures.reserve(rows.len());
    for row in rows {
        let mut fields = Fields::of(row);
        let oid = fields.number()?;
        let sizes = fields.optional_number()?.zip(fields.optional_number()?);
        let (manual, automatic) = (fields.optional_number()?, fields.optional_number()?);
        draft.has_pages = fields.optional_flag()?;
        let Some((table_bytes, index_bytes)) = sizes else { continue };
        let moment = |it: Option<i64>| it.and_then(|it| Timestamp::from_millisecond(it).ok());
        let of_one = Measures {
            table_bytes,
            index_bytes,
            last_analyze: moment(manual),
            last_autoanalyze: moment(automatic),
        };
        measures.insert(oid, of_one);
    }
    let parents: FastMap<u32, Option<u32>> =
        relations.iter().map(|it| (it.oid, it.partition_of)).collect();
    let mut sums: FastMap<u32, Measures> = FastMap::default();
    for relation in relations.iter_mut() {
        relation.measures = measures.remove(&relation.oid);
        let (Some(own), mut parent) = (relation.measures, relation.partition_of) else { continue };
        // Up to the topmost one; the bound only guards against a server that tells of a loop.
        for _ in 0..16 {
            let Some(oid) = parent else { break };
            let sum = sums.entry(oid).or_default();
            sum.table_bytes = sum.table_bytes.saturating_add(own.table_bytes);
            sum.index_bytes = sum.index_bytes.saturating_add(own.index_bytes);
            parent = parents.get(&oid).copied().flatten();
        }
    }
    for relation in relations.iter_mut().filter(|it| it.kind == RelationKind::PartitionedTable) {
        relation.measures = sums.get(&relation.oid).copied();
    }
    Ok(())
}
