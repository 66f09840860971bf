//! Which tables and columns a picture shows.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};

use super::{
    Diagram, DiagramColumn, DiagramEdge, DiagramOptions, DiagramTable, MAX_DIAGRAM_TABLES,
    MAX_EDGES,
};
use crate::visible::{Visible, readable_columns};
use crate::{Relation, RelationKind, SchemaError};

pub(super) fn select(
    visible: &Visible<'_>,
    options: &DiagramOptions,
) -> Result<Diagram, SchemaError> {
    let most = options.most.clamp(1, MAX_DIAGRAM_TABLES);
    // A partition says what its parent says; a view has no references.
    let is_table = |it: &Relation| {
        let view = matches!(it.kind, RelationKind::View | RelationKind::MaterializedView);
        !view && it.partition_of.is_none()
    };
    let mut all: Vec<&Relation> = visible.relations().filter(|it| is_table(it)).collect();
    let named = options.tables.iter().map(|it| visible.table(it));
    let named: Vec<&Relation> = named.collect::<Result<_, _>>()?;
    for extra in &named {
        // Whoever names a view or a partition gets it.
        if !all.iter().any(|it| it.oid == extra.oid) {
            all.push(extra);
        }
    }
    let at: HashMap<u32, usize> = all.iter().enumerate().map(|(at, it)| (it.oid, at)).collect();
    let neighbours = neighbours(visible, &all, &at);
    let position = |it: &Relation| at.get(&it.oid).copied();
    let mut chosen: Vec<usize> = match &options.around {
        Some((centre, steps)) => {
            let centre = visible.table(centre)?;
            let centre =
                position(centre).ok_or_else(|| SchemaError::TableNotFound(centre.full_name()))?;
            around(centre, *steps, &neighbours)
        }
        None if named.is_empty() => {
            if all.len() <= most {
                (0..all.len()).collect()
            } else {
                most_connected(most, &neighbours)
            }
        }
        None => Vec::new(),
    };
    let first: Vec<usize> = named.iter().filter_map(|it| position(it)).collect();
    chosen.retain(|it| !first.contains(it));
    chosen.splice(0..0, first.into_iter().collect::<BTreeSet<_>>());
    chosen.truncate(most);
    chosen.sort_by_key(|at| (&all[*at].schema, &all[*at].name));
    let omitted = all.len() - chosen.len();
    let shown: Vec<&Relation> = chosen.into_iter().map(|at| all[at]).collect();
    Ok(draw(visible, &shown, omitted, options.columns))
}

/// For each table those that it refers to or that refer to it, itself left out.
fn neighbours(
    visible: &Visible<'_>,
    all: &[&Relation],
    at: &HashMap<u32, usize>,
) -> Vec<BTreeSet<usize>> {
    let mut neighbours = vec![BTreeSet::new(); all.len()];
    for (from, relation) in all.iter().enumerate() {
        for reference in visible.references(relation) {
            if let Some(to) = at.get(&reference.target.oid).copied()
                && to != from
            {
                neighbours[from].insert(to);
                neighbours[to].insert(from);
            }
        }
    }
    neighbours
}

/// What is so many steps away, the nearest first, of equally near ones the most connected.
fn around(centre: usize, steps: u32, neighbours: &[BTreeSet<usize>]) -> Vec<usize> {
    let mut found = vec![(0, Reverse(usize::MAX), centre)];
    let (mut seen, mut queue) = (HashSet::from([centre]), VecDeque::from([(centre, 0)]));
    while let Some((at, distance)) = queue.pop_front() {
        if distance == steps {
            continue;
        }
        for next in &neighbours[at] {
            if seen.insert(*next) {
                found.push((distance + 1, Reverse(neighbours[*next].len()), *next));
                queue.push_back((*next, distance + 1));
            }
        }
    }
    found.sort_unstable();
    found.into_iter().map(|it| it.2).collect()
}

/// From the most connected table on, always that which is tied most to what is there already: a picture of one part that
/// hangs together says more than the busiest tables of all parts side by side.
fn most_connected(most: usize, neighbours: &[BTreeSet<usize>]) -> Vec<usize> {
    let mut ties = vec![0_usize; neighbours.len()];
    let mut heap: BinaryHeap<(usize, usize, Reverse<usize>)> =
        (0..neighbours.len()).map(|at| (0, neighbours[at].len(), Reverse(at))).collect();
    let mut chosen = Vec::new();
    let mut taken = vec![false; neighbours.len()];
    while chosen.len() < most
        && let Some((known, _, Reverse(at))) = heap.pop()
    {
        // An entry from before another tie was counted.
        if taken[at] || known < ties[at] {
            continue;
        }
        taken[at] = true;
        chosen.push(at);
        for next in &neighbours[at] {
            ties[*next] += 1;
            if !taken[*next] {
                heap.push((ties[*next], neighbours[*next].len(), Reverse(*next)));
            }
        }
    }
    chosen
}

fn draw(visible: &Visible<'_>, shown: &[&Relation], omitted: usize, columns: usize) -> Diagram {
    let at: HashMap<u32, usize> = shown.iter().enumerate().map(|(at, it)| (it.oid, at)).collect();
    let tables: Vec<DiagramTable> = shown.iter().map(|it| table(it, columns)).collect();
    let column = |table: usize, name: Option<&&str>| {
        name.and_then(|name| tables[table].columns.iter().position(|it| it.name == **name))
    };
    let mut edges = Vec::new();
    for (from, relation) in shown.iter().enumerate() {
        for key in &relation.foreign_keys {
            let Some(reference) = visible.reference(relation, key) else { continue };
            let Some(to) = at.get(&reference.target.oid).copied() else { continue };
            let same = |it: &[usize]| {
                let set = |it: &[usize]| it.iter().copied().collect::<BTreeSet<_>>();
                set(it) == set(&key.columns)
            };
            let nullable = |at: &usize| relation.columns.get(*at).is_some_and(|it| it.nullable);
            edges.push(DiagramEdge {
                from,
                from_column: column(from, reference.columns.first()),
                to,
                to_column: column(to, reference.target_columns.first()),
                optional: key.columns.iter().any(nullable),
                single: relation.keys.iter().any(|it| same(&it.columns)),
                columns: reference.columns.iter().map(|it| (*it).to_owned()).collect(),
            });
        }
    }
    let mut omitted_edges = 0;
    if edges.len() > MAX_EDGES {
        // One between any two tables says that they are connected.
        let mut seen = HashSet::new();
        let all = edges.len();
        edges.sort_by_cached_key(|it| !seen.insert((it.from, it.to)));
        edges.truncate(MAX_EDGES);
        edges.sort_by_key(|it| (it.from, it.to));
        omitted_edges = all - edges.len();
    }
    let database = visible.catalog().database.clone();
    Diagram { database, tables, edges, omitted, omitted_edges }
}

fn table(of: &Relation, most: usize) -> DiagramTable {
    let foreign: HashSet<usize> =
        of.foreign_keys.iter().flat_map(|it| &it.columns).copied().collect();
    let primary = of.primary_key();
    let all: Vec<(usize, DiagramColumn)> = of
        .columns
        .iter()
        .enumerate()
        .filter(|(_, it)| it.readable)
        .map(|(at, it)| {
            let column = DiagramColumn {
                name: it.name.clone(),
                type_name: it.type_name.clone(),
                primary: primary.contains(&at),
                foreign: foreign.contains(&at),
                nullable: it.nullable,
            };
            (at, column)
        })
        .collect();
    // Keys are what a picture of references is about; of the others the first.
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|it| (!all[*it].1.primary, !all[*it].1.foreign, all[*it].0));
    let keep: HashSet<usize> = order.into_iter().take(most.max(1)).collect();
    let kept = all.into_iter().enumerate().filter(|(at, _)| keep.contains(at));
    let columns: Vec<DiagramColumn> = kept.map(|(_, (_, it))| it).collect();
    DiagramTable {
        schema: of.schema.clone(),
        name: of.name.clone(),
        comment: of.comment.clone(),
        omitted: readable_columns(of).count() - columns.len(),
        columns,
    }
}
