//! From policies to what the guard enforces and the engine may know.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use plinth_connections::TableName;
use plinth_schema_introspect::{Catalog, Column, Relation, TypeClass};
use plinth_sql_guard::{Guard, Mask, Predicate, Restriction};

use super::limits::of_link;
use super::{Limits, Policy};

/// The oid of `text`.
const TEXT_OID: u32 = 25;

/// What policies mean in a database as it is now. A table that was renamed since is found by its oid, and a column by its
/// number; one that is found by neither leaves the table closed, for its values may stand under another name.
pub(crate) fn restrictions(catalog: &Catalog, policies: &[Arc<Policy>]) -> Vec<Restriction> {
    policies.iter().flat_map(|it| of_policy(catalog, it, false)).collect()
}

/// The same for whoever is bound so, with what a link adds.
pub(crate) fn restrictions_of(catalog: &Catalog, limits: &Limits) -> Vec<Restriction> {
    let mut all = restrictions(catalog, &limits.policies);
    all.extend(limits.by_link().iter().flat_map(|it| of_policy(catalog, it, true)));
    all
}

fn of_policy(catalog: &Catalog, policy: &Policy, by_link: bool) -> Vec<Restriction> {
    let named = catalog.find(&policy.table.schema, &policy.table.name);
    let same = policy.table_oid.and_then(|oid| catalog.relation(oid));
    let mut found: Vec<&Relation> = named.into_iter().chain(same).collect();
    found.dedup_by_key(|it| it.oid);
    found.into_iter().map(|relation| on(relation, policy, by_link)).collect()
}

fn on(relation: &Relation, policy: &Policy, by_link: bool) -> Restriction {
    let mut restriction = Restriction {
        relation: TableName { schema: relation.schema.clone(), name: relation.name.clone() },
        rows: Vec::new(),
        masks: BTreeMap::new(),
        closed: None,
    };
    match policy.rows.as_deref().map(Predicate::parse).transpose() {
        Ok(rows) if by_link => {
            restriction.rows.extend(rows.map(|it| it.with_attributes(of_link)));
        }
        Ok(rows) => restriction.rows.extend(rows),
        // What was written by another version.
        Err(err) => {
            restriction.closed =
                Some(format!("the policy `{}` cannot be read: {err}", policy.name.as_str()));
        }
    }
    let is_same = policy.table_oid == Some(relation.oid);
    for (name, mask) in &policy.masks {
        let by_number = mask.number.filter(|_| is_same).and_then(|it| relation.position(it));
        let found = by_number.map(|at| relation.columns[at].name.as_str());
        let found = found.or_else(|| relation.column(name).map(|_| name.as_str()));
        match found {
            Some(column) => {
                let known = restriction.masks.get(column).copied();
                let mask = known.map_or(mask.mask, |it| it.stricter(mask.mask));
                restriction.masks.insert(column.to_owned(), mask);
            }
            None => {
                restriction.closed = Some(format!(
                    "the policy `{}` masks its column `{name}`, which is not there any more",
                    policy.name.as_str()
                ));
            }
        }
    }
    restriction
}

/// The catalog as these callers may know it: without the values, counts and sizes of what is hidden from them, with masked
/// columns as what they are to them, and with what is closed to them as not readable.
pub(crate) fn redacted(catalog: &Catalog, guard: &Guard, restrictions: &[Restriction]) -> Catalog {
    let mut catalog = catalog.clone();
    let by_name: HashMap<(&str, &str), Vec<&Restriction>> =
        restrictions.iter().fold(HashMap::new(), |mut all, it| {
            all.entry((it.relation.schema.as_str(), it.relation.name.as_str()))
                .or_default()
                .push(it);
            all
        });
    let oids: HashMap<u32, usize> =
        catalog.relations.iter().enumerate().map(|(at, it)| (it.oid, at)).collect();
    // Partitions and children hold the same rows as their parents, and so do parents.
    let kin = |at: usize| {
        let mut found = vec![at];
        let mut next = 0;
        while let Some(of) = found.get(next).copied() {
            next += 1;
            let it = &catalog.relations[of];
            let parents = it.partition_of.iter().chain(&it.inherits);
            for parent in parents.filter_map(|oid| oids.get(oid)) {
                if !found.contains(parent) {
                    found.push(*parent);
                }
            }
        }
        found
    };
    let parents: HashSet<u32> = catalog
        .relations
        .iter()
        .flat_map(|it| it.partition_of.iter().chain(&it.inherits))
        .copied()
        .collect();
    let mut changed: Vec<(usize, Arc<Relation>)> = Vec::new();
    let mut counted: Vec<usize> = Vec::new();
    for at in 0..catalog.relations.len() {
        let lineage = kin(at);
        let own: Vec<&Restriction> = lineage
            .iter()
            .filter_map(|at| {
                let it = &catalog.relations[*at];
                by_name.get(&(it.schema.as_str(), it.name.as_str()))
            })
            .flatten()
            .copied()
            .collect();
        let relation = &catalog.relations[at];
        let name = TableName { schema: relation.schema.clone(), name: relation.name.clone() };
        let may_be_closed =
            !own.is_empty() || relation.definition.is_some() || parents.contains(&relation.oid);
        let closed = may_be_closed && guard.why_closed(&name).is_some();
        if own.is_empty() && !closed {
            continue;
        }
        let hides_rows = closed || own.iter().any(|it| !it.rows.is_empty());
        if hides_rows {
            counted.extend(&lineage);
        }
        let mut relation = Relation::clone(relation);
        if closed {
            relation.readable = false;
        }
        for column in &mut relation.columns {
            let mask = own.iter().filter_map(|it| it.masks.get(&column.name)).copied();
            let mask = mask.reduce(Mask::stricter);
            if hides_rows || mask.is_some() {
                column.samples = None;
                column.distinct = None;
            }
            if closed {
                column.readable = false;
            }
            if let Some(mask) = mask {
                become_masked(column, mask);
            }
        }
        changed.push((at, Arc::new(relation)));
    }
    for (at, relation) in changed {
        catalog.relations[at] = relation;
    }
    for at in counted {
        let relation = Arc::make_mut(&mut catalog.relations[at]);
        relation.estimated_rows = None;
        relation.measures = None;
    }

    catalog
}

fn become_masked(column: &mut Column, mask: Mask) {
    column.enum_values.clear();
    if mask.makes_text() {
        "text".clone_into(&mut column.type_name);
        column.type_oid = TEXT_OID;
        column.class = TypeClass::Text;
    }
}
