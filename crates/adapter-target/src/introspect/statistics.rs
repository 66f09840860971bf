//! What the planner knows of columns: how many different values, how wide.

use std::cmp::Reverse;
use std::time::Duration;

use plinth_core::FastMap;
use plinth_queries::{RawRow, RunError};

use super::assemble::Draft;
use super::fields::{Fields, Unreadable};
use super::queries::Scope;
use super::{SETTINGS, names, queries};
use crate::{Query, ReadLimits, Session};

/// How many relations the view of statistics is asked for: it judges each column's privileges, 8 µs a column.
const RELATIONS: usize = 1_000;

const LIMITS: ReadLimits =
    ReadLimits { time: Duration::from_secs(5), row_bytes: 1 << 20, total_bytes: 64 << 20 };

/// The planner's average width of columns, in bytes, by position of the relation and the column.
pub(super) type Widths = FastMap<(usize, usize), u32>;

/// Fills [`distinct`](plinth_schema_introspect::Column::distinct) where the planner knows it and the role may see it; of all relations, or of the
/// one of the oid `relation`.
///
/// # Errors
///
/// [`RunError`]; then nothing is filled.
pub(super) async fn read(
    session: &mut Session,
    draft: &mut Draft,
    relation: Option<&str>,
) -> Result<Widths, RunError> {
    let relations = &draft.relations;
    let mut analyzed: Vec<_> =
        relations.iter().filter(|it| it.estimated_rows.is_some_and(|rows| rows > 0.0)).collect();
    if analyzed.is_empty() {
        return Ok(Widths::default());
    }
    let answers = if draft.reads_statistics {
        let scope = if relation.is_some() { Scope::One } else { Scope::All };
        let sql = scope.fill(queries::STATISTICS);
        let parameters = [relation];
        let parameters = if relation.is_some() { &parameters[..] } else { &[] };
        let asked = [SETTINGS, Query { sql: &sql, parameters }];
        session.query_all(&asked, &LIMITS).await?
    } else {
        // The larger a table, the more depends on knowing it.
        analyzed.sort_by_key(|it| Reverse(it.estimated_rows.map(f64::to_bits)));
        analyzed.retain(|it| it.columns.iter().any(|it| it.readable));
        analyzed.truncate(RELATIONS);
        let schemas = names(analyzed.iter().map(|it| it.schema.as_str()));
        let relations = names(analyzed.iter().map(|it| it.name.as_str()));
        let parameters = [Some(schemas.as_str()), Some(relations.as_str())];
        let asked = [SETTINGS, Query { sql: queries::VISIBLE_STATISTICS, parameters: &parameters }];
        session.query_all(&asked, &LIMITS).await?
    };
    let rows = answers.get(1).map_or(&[][..], |it| it);
    let filled = if draft.reads_statistics { by_number(draft, rows) } else { by_name(draft, rows) };
    Ok(filled.unwrap_or_default())
}

fn by_number(draft: &mut Draft, rows: &[RawRow]) -> Result<Widths, Unreadable> {
    let mut widths = Widths::default();
    for row in rows {
        let mut fields = Fields::of(row);
        let Some(at) = draft.position(fields.number()?) else { continue };
        let Some(column) = draft.column(at, fields.number()?) else { continue };
        fill(draft, &mut widths, (at, column), &mut fields)?;
    }
    Ok(widths)
}

fn by_name(draft: &mut Draft, rows: &[RawRow]) -> Result<Widths, Unreadable> {
    let mut widths = Widths::default();
    for row in rows {
        let mut fields = Fields::of(row);
        if let Some(place) = draft.place(&fields.text()?, &fields.text()?, &fields.text()?) {
            fill(draft, &mut widths, place, &mut fields)?;
        }
    }
    Ok(widths)
}

fn fill(
    draft: &mut Draft,
    widths: &mut Widths,
    (at, column): (usize, usize),
    fields: &mut Fields<'_>,
) -> Result<(), Unreadable> {
    // Zero is what the planner writes where it does not know.
    let distinct: f32 = fields.number()?;
    draft.relations[at].columns[column].distinct =
        (distinct != 0.0 && distinct.is_finite()).then_some(distinct);
    widths.insert((at, column), fields.number()?);
    Ok(())
}
