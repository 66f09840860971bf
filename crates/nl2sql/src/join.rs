//! Finds how the tables of a query join: a small connected part of the graph of foreign keys that holds all of them.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::{index::SchemaIndex, logical::LogicalQuery, work};

/// One table of a `FROM` clause.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Joined {
    pub(crate) table: usize,
    pub(crate) role: u8,
    /// To which earlier one it is joined, and by which pairs of columns (there, here); `None` for the first.
    pub(crate) to: Option<(usize, Vec<(usize, usize)>)>,
}

/// The tables of a query in joining order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct JoinPlan {
    pub(crate) tables: Vec<Joined>,
}

impl JoinPlan {
    /// Which of its tables that instance is.
    pub(crate) fn position(&self, table: usize, role: u8) -> Option<usize> {
        self.tables.iter().position(|it| it.table == table && it.role == role)
    }
}

/// Plans the joins of that query; `None` where its tables do not connect.
pub(crate) fn plan(index: &SchemaIndex, query: &LogicalQuery) -> Option<JoinPlan> {
    let instances = query.instances();
    if instances.len() < 2 {
        return plan_of(index, query, &instances);
    }
    let key = (instances.clone(), query.edges.clone(), query.also.clone());
    let plan = index.plans.plan(key, || plan_of(index, query, &instances))?;
    Some(JoinPlan::clone(&plan))
}

/// Nothing else of the query may decide, as plans are kept.
fn plan_of(
    index: &SchemaIndex,
    query: &LogicalQuery,
    instances: &[(usize, u8)],
) -> Option<JoinPlan> {
    let first = *instances.first()?;
    let mut plan = JoinPlan { tables: vec![Joined { table: first.0, role: first.1, to: None }] };
    let mut rest: Vec<(usize, u8)> = instances[1..].to_vec();
    while !rest.is_empty() {
        // the nearest one first, so that the tree stays small
        let (at, path) = rest
            .iter()
            .enumerate()
            .filter_map(|(at, it)| path(index, query, &plan, *it).map(|path| (at, path)))
            .min_by(|a, b| a.1.0.total_cmp(&b.1.0).then(a.0.cmp(&b.0)))
            .map(|(at, path)| (at, path.1))?;
        let wanted = rest.remove(at);
        for (edge, from) in path {
            let (own, table, other) = index.edges[edge].seen_from(plan.tables[from].table);
            // an edge of a table with itself looks the same from both sides; the new role is what is referred to
            let pairs: Vec<(usize, usize)> =
                own.iter().copied().zip(other.iter().copied()).collect();
            let role = if table == wanted.0 { wanted.1 } else { 0 };
            plan.tables.push(Joined { table, role, to: Some((from, pairs)) });
        }
        rest.retain(|it| plan.position(it.0, it.1).is_none());
    }
    Some(plan)
}

type Step = (usize, usize);

/// The cheapest way from the plan to that instance: its cost, and the edges, each with the position in the plan from which
/// it goes on.
fn path(
    index: &SchemaIndex,
    query: &LogicalQuery,
    plan: &JoinPlan,
    wanted: (usize, u8),
) -> Option<(f64, Vec<Step>)> {
    let n = index.tables.len();
    if wanted.1 > 0 {
        // another role of a table: over an edge that is not used yet
        return role_path(index, query, plan, wanted);
    }
    // no way leads there, so that none of all tables need be looked at
    if !plan.tables.iter().any(|it| it.role == 0 && index.distance(it.table, wanted.0).is_some()) {
        return None;
    }
    let mut cost = vec![f64::INFINITY; n];
    let mut back: Vec<Option<(usize, usize)>> = vec![None; n];
    let mut done = vec![false; n];
    // of equally short ways the one from what the question is about
    let mut open: BinaryHeap<Reverse<Reached>> = BinaryHeap::new();
    for (at, it) in plan.tables.iter().enumerate().filter(|it| it.1.role == 0) {
        cost[it.table] = if at == 0 { 0.0 } else { 0.01 };
    }
    for it in plan.tables.iter().filter(|it| it.role == 0) {
        open.push(Reverse(Reached { cost: cost[it.table], table: it.table }));
    }
    loop {
        // the nearest one that is reached; of equally near ones the first
        let Reverse(Reached { table: at, .. }) = open.pop()?;
        if at == wanted.0 {
            break;
        }
        // it may have been reached in several ways
        if std::mem::replace(&mut done[at], true) {
            continue;
        }
        work::note(1 + index.edges_of[at].len());
        for &edge in &index.edges_of[at] {
            let it = &index.edges[edge];
            if it.from == it.to {
                continue;
            }
            let (_, next, _) = it.seen_from(at);
            let mut step = if it.declared { 1.0 } else { 1.2 };
            if query.edges.contains(&edge) {
                step -= 0.5;
            }
            // up to what many rows share and down again says little: that two things lie in one place does not relate them
            let hub = it.to == at
                && it.from == next
                && match back[at] {
                    Some((before, _)) => {
                        index.edges[before].to == at && index.edges[before].from != at
                    }
                    // what was joined as the one that another row has
                    None => plan.tables.iter().any(|joined| {
                        joined.table == at
                            && joined.role == 0
                            && joined.to.as_ref().is_some_and(|(above, pairs)| {
                                let key = &index.tables[at].primary;
                                plan.tables[*above].table != next
                                    && !key.is_empty()
                                    && key.iter().all(|it| pairs.iter().any(|pair| pair.1 == *it))
                            })
                    }),
                }
                && !query.also.contains(&at);
            if hub {
                step += 1.5;
            }
            // on the way through a table that only connects is more natural than through one that means something
            if next != wanted.0 && !index.tables[next].bridge {
                step += 0.1;
            }
            if cost[at] + step < cost[next] - 1e-9 {
                cost[next] = cost[at] + step;
                back[next] = Some((edge, at));
                open.push(Reverse(Reached { cost: cost[next], table: next }));
            }
        }
    }
    let mut edges = Vec::new();
    let mut at = wanted.0;
    while let Some((edge, from)) = back[at] {
        edges.push((edge, from));
        at = from;
    }
    edges.reverse();
    let mut steps = Vec::new();
    let mut position = plan.position(at, 0)?;
    for (number, (edge, _)) in edges.into_iter().enumerate() {
        steps.push((edge, position));
        position = plan.tables.len() + number;
    }
    Some((cost[wanted.0], steps))
}

/// A table that some way leads to, the nearest one first.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Reached {
    cost: f64,
    table: usize,
}

impl Eq for Reached {}

impl Ord for Reached {
    fn cmp(&self, other: &Self) -> Ordering {
        self.cost.total_cmp(&other.cost).then(self.table.cmp(&other.table))
    }
}

impl PartialOrd for Reached {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn role_path(
    index: &SchemaIndex,
    query: &LogicalQuery,
    plan: &JoinPlan,
    wanted: (usize, u8),
) -> Option<(f64, Vec<Step>)> {
    let used = |at: usize, edge: usize| {
        let (own, table, other) = index.edges[edge].seen_from(plan.tables[at].table);
        plan.tables.iter().any(|it| {
            it.table == table
                && it.to.as_ref().is_some_and(|(to, pairs)| {
                    *to == at
                        && pairs.iter().map(|it| it.0).eq(own.iter().copied())
                        && pairs.iter().map(|it| it.1).eq(other.iter().copied())
                })
        }) || plan.tables[at].to.as_ref().is_some_and(|(to, pairs)| {
            plan.tables[*to].table == table
                && pairs.iter().map(|it| it.1).eq(own.iter().copied())
                && pairs.iter().map(|it| it.0).eq(other.iter().copied())
        })
    };
    let mut best: Option<(f64, Vec<Step>)> = None;
    // `top-level category`: over the table's reference to itself, once it is there
    let own = |edge: usize| {
        let it = &index.edges[edge];
        it.from == wanted.0 && it.to == wanted.0 && query.edges.contains(&edge)
    };
    let parent = index.edges_of[wanted.0].iter().any(|it| own(*it));
    for at in 0..plan.tables.len() {
        for &edge in &index.edges_of[plan.tables[at].table] {
            let (_, table, _) = index.edges[edge].seen_from(plan.tables[at].table);
            if table != wanted.0 || used(at, edge) || parent && !own(edge) {
                continue;
            }
            let mut cost = 1.0;
            if query.edges.contains(&edge) {
                cost -= 0.5;
            }
            if best.as_ref().is_none_or(|it| cost < it.0 - 1e-9) {
                best = Some((cost, vec![(edge, at)]));
            }
        }
    }
    best
}
