use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plinth_connections::{AllowedTables, TableName};
use plinth_core::AttributeType;
use plinth_schema_introspect::{Catalog, Visible};
use plinth_sql_guard::{Guard, Mask};

use super::{Policy, PolicyId, Viewer, restrictions};

/// What policies leave a member to see.
#[derive(Clone, Debug)]
pub struct Effective {
    /// Who.
    pub viewer: Viewer,
    /// Attributes that the policies need and the member lacks, or has as another type: tables that need them are refused.
    pub missing: BTreeMap<String, AttributeType>,
    /// The tables and views that are limited or closed; everything else is seen as the connection shows it.
    pub tables: Vec<EffectiveTable>,
}

/// What a member sees of one table or view.
#[derive(Clone, Debug)]
pub struct EffectiveTable {
    /// Which.
    pub table: TableName,
    /// The policies that name it, or a table whose rows it holds.
    pub policies: Vec<PolicyId>,
    /// Conditions, all of which a row has to satisfy; empty: every row is seen.
    pub rows: Vec<String>,
    /// Columns under a mask.
    pub masks: BTreeMap<String, Mask>,
    /// Why it cannot be read at all; `None` if it can.
    pub closed: Option<String>,
}

impl Effective {
    pub(super) fn new(
        viewer: Viewer,
        policies: &[Arc<Policy>],
        catalog: &Catalog,
        allowed: &AllowedTables,
    ) -> Self {
        let all = restrictions(catalog, policies);
        let guard = Guard::restricted(catalog, allowed, &all);
        let needed: BTreeSet<(String, AttributeType)> = all
            .iter()
            .flat_map(|it| &it.rows)
            .flat_map(plinth_sql_guard::Predicate::attributes)
            .map(|(name, of)| (name.to_owned(), of))
            .collect();
        let missing = needed
            .into_iter()
            .filter(|(name, of)| viewer.attribute(name).is_none_or(|it| it.of() != *of))
            .collect();
        let mut tables = Vec::new();
        for relation in Visible::new(catalog, allowed).relations() {
            let table = TableName { schema: relation.schema.clone(), name: relation.name.clone() };
            let lineage = lineage(catalog, &table);
            let mut it = EffectiveTable {
                table,
                policies: Vec::new(),
                rows: Vec::new(),
                masks: BTreeMap::new(),
                closed: None,
            };
            for policy in policies {
                for restriction in restrictions(catalog, std::slice::from_ref(policy)) {
                    if !lineage.contains(&restriction.relation) {
                        continue;
                    }
                    it.policies.push(policy.id);
                    it.rows.extend(policy.rows.clone());
                    for (column, mask) in restriction.masks {
                        let known = it.masks.get(&column).copied();
                        it.masks.insert(column, known.map_or(mask, |known| known.stricter(mask)));
                    }
                }
            }
            let may_be_closed = !policies.is_empty()
                && (!it.policies.is_empty()
                    || relation.definition.is_some()
                    || has_children(catalog, relation.oid));
            if may_be_closed {
                it.closed = guard.why_closed(&it.table).map(|it| it.message);
            }
            if !it.policies.is_empty() || it.closed.is_some() {
                tables.push(it);
            }
        }
        Self { viewer, missing, tables }
    }
}

fn has_children(catalog: &Catalog, oid: u32) -> bool {
    catalog.relations.iter().any(|it| it.partition_of == Some(oid) || it.inherits.contains(&oid))
}

/// A table, and those that it is a partition or child of.
fn lineage(catalog: &Catalog, table: &TableName) -> Vec<TableName> {
    let mut found = vec![table.clone()];
    let mut open = vec![table.clone()];
    while let Some(name) = open.pop() {
        let Some(it) = catalog.find(&name.schema, &name.name) else { continue };
        for parent in
            it.partition_of.iter().chain(&it.inherits).filter_map(|oid| catalog.relation(*oid))
        {
            let parent = TableName { schema: parent.schema.clone(), name: parent.name.clone() };
            if !found.contains(&parent) {
                found.push(parent.clone());
                open.push(parent);
            }
        }
    }
    found
}
