//! Reading one table without looking at the others.

use std::sync::Arc;

use plinth_connections::{Diagnosis, TableName, Target};
use plinth_schema_introspect::{
    Catalog, ReadOptions, RelationKind, Sampling, TablePart, TableRead,
};

use super::{Asked, Subject, finish};
use crate::{Session, TargetDatabases};

/// How often a name may turn out to be another relation's than the one that was looked at.
const TRIES: usize = 3;

pub(super) async fn read(
    databases: &TargetDatabases,
    target: &Target,
    table: &TableName,
    known: &Catalog,
    options: ReadOptions,
) -> Result<TableRead, Diagnosis> {
    // As a rule a name stands for what it stood for. So that is asked about at once, together with whether it does: one
    // round trip, and one moment that all answers are of. No relation has the oid 0.
    let before = known.find(&table.schema, &table.name);
    let mut oid = before.map_or(0, |it| it.oid).to_string();
    for _ in 0..TRIES {
        let subject = Subject::One { name: table, oid, known };
        let (mut session, asked) = databases.ask(target, &subject, options).await?;
        match &asked.found {
            None => return Ok(TableRead::Gone),
            Some(it) if Some(it.as_str()) == subject.oid() => {
                return read_found(&mut session, asked, &subject, known, options).await;
            }
            Some(it) => oid = it.clone(),
        }
    }
    // Somebody makes it anew again and again.
    Ok(TableRead::Entangled)
}

async fn read_found(
    session: &mut Session,
    asked: Asked,
    subject: &Subject<'_>,
    known: &Catalog,
    options: ReadOptions,
) -> Result<TableRead, Diagnosis> {
    let mut draft = finish(session, asked, subject, options).await?;
    let Some(mut relation) = draft.relations.pop() else { return Ok(TableRead::Gone) };
    if draft.dangling {
        return Ok(TableRead::Entangled);
    }
    // Where it was known by its name, it need not be looked for among all.
    let by_name = known.find(&relation.schema, &relation.name).filter(|it| it.oid == relation.oid);
    let before = by_name.or_else(|| known.relation(relation.oid));
    if relation.kind == RelationKind::PartitionedTable
        && let Some(before) = before
    {
        // These are sums over its partitions, which were not looked at.
        relation.estimated_rows = relation.estimated_rows.or(before.estimated_rows);
        relation.measures = before.measures;
    }
    if options.sampling == Sampling::FewValued
        && let Some(before) = before
    {
        // The tables that it seems to refer to were not looked at.
        relation.inferred_keys.clone_from(&before.inferred_keys);
    }
    Ok(TableRead::Found(Box::new(TablePart {
        relation: Arc::new(relation),
        types: draft.catalog.types,
    })))
}
