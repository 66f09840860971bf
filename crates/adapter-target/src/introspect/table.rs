//! Reading one table without looking at the others.

use std::sync::Arc;

use plinth_connections::{Diagnosis, TableName, Target};
use plinth_schema_introspect::{
    Catalog, ReadOptions, RelationKind, Sampling, TablePart, TableRead,
};

use super::assemble::Known;
use super::fields::Fields;
use super::{ATTEMPTS, LIMITS, Subject, finish, queries, unreadable};
use crate::{Query, TargetDatabases};

pub(super) async fn read(
    databases: &TargetDatabases,
    target: &Target,
    table: &TableName,
    known: &Catalog,
    options: ReadOptions,
) -> Result<TableRead, Diagnosis> {
    let Some(oid) = find(databases, target, table).await? else { return Ok(TableRead::Gone) };
    let subject = Subject::One { oid, known: Known::of(known) };
    let (mut session, asked) = databases.ask(target, &subject).await?;
    let mut draft = finish(&mut session, asked, &subject, options).await?;
    let Some(mut relation) = draft.relations.pop() else { return Ok(TableRead::Gone) };
    if draft.dangling {
        return Ok(TableRead::Entangled);
    }
    if relation.kind == RelationKind::PartitionedTable
        && let Some(before) = known.relation(relation.oid)
    {
        // These are sums over its partitions, which were not looked at.
        relation.estimated_rows = relation.estimated_rows.or(before.estimated_rows);
        relation.measures = before.measures;
    }
    if options.sampling == Sampling::FewValued
        && let Some(before) = known.relation(relation.oid)
    {
        // The tables that it seems to refer to were not looked at.
        relation.inferred_keys.clone_from(&before.inferred_keys);
    }
    Ok(TableRead::Found(Box::new(TablePart {
        relation: Arc::new(relation),
        types: draft.catalog.types,
    })))
}

async fn find(
    databases: &TargetDatabases,
    target: &Target,
    table: &TableName,
) -> Result<Option<String>, Diagnosis> {
    let parameters = [Some(table.schema.as_str()), Some(table.name.as_str())];
    let asked = [Query { sql: queries::FIND, parameters: &parameters }];
    let mut attempts = 0;
    loop {
        attempts += 1;
        let mut session = databases.session(target).await?;
        match session.query_all(&asked, &LIMITS).await {
            Ok(answers) => {
                let row = answers.first().and_then(|it| it.first());
                return row.map(|it| Fields::of(it).owned()).transpose().map_err(unreadable);
            }
            // It died in the pool.
            Err(plinth_queries::RunError::Connection(_)) if attempts < ATTEMPTS => {}
            Err(error) => return Err(TargetDatabases::read_failure(error)),
        }
    }
}
