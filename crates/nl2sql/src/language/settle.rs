//! Puts metrics right in a query that was read as if they were columns.

use super::MetricColumn;
use crate::{
    index::SchemaIndex,
    logical::{Aggregate, ColumnRef, Comparison, Expr, Literal, LogicalQuery, OrderKey, Predicate},
};

fn metric(index: &SchemaIndex, it: ColumnRef) -> Option<MetricColumn> {
    index.column(it).defined.as_deref()?.metric
}

/// The metric that an expression is as a whole, without an aggregate.
fn bare(index: &SchemaIndex, it: &Expr) -> Option<(ColumnRef, MetricColumn)> {
    let Expr::Column(at) = it else { return None };
    Some((*at, metric(index, *at)?))
}

fn taken(at: ColumnRef, it: MetricColumn) -> Expr {
    Expr::aggregate(it.function.unwrap_or(Aggregate::Sum), Expr::Column(at))
}

/// Makes metrics what they are: values of groups of rows, of the rows that count, at the time when they count. `None` if
/// the query uses one as it cannot be used.
pub(crate) fn settle(index: &SchemaIndex, mut query: LogicalQuery) -> Option<LogicalQuery> {
    if index.spoken.is_empty() {
        return Some(query);
    }
    let mut top = Vec::new();
    let mut nested = false;
    query.each(&mut |part| {
        let mut found = Vec::new();
        let mut note = |it: ColumnRef| found.extend(metric(index, it).map(|of| (it, of)));
        part.select.iter().chain(&part.group).chain(&part.per).for_each(|it| it.columns(&mut note));
        part.order.iter().for_each(|it| it.by.columns(&mut note));
        part.filter.iter().chain(&part.having).for_each(|it| it.columns(&mut note));
        if std::ptr::eq(part, &raw const query) {
            top = found;
        } else {
            nested |= !found.is_empty();
        }
    });
    if nested {
        return None;
    }
    top.dedup_by_key(|it| it.0);
    let Some(&(first, _)) = top.first() else { return Some(query) };
    let grouped = |it: &Expr| bare(index, it).is_some();
    if query.group.iter().chain(&query.per).any(grouped) {
        return None;
    }
    let mut unusable =
        query.select.iter().chain(&query.group).chain(&query.per).any(|it| beyond(index, it));
    unusable |= query.order.iter().any(|it| beyond(index, &it.by));
    unusable |= query.filter.iter().chain(&query.having).any(|it| compares_beyond(index, it));
    if unusable {
        return None;
    }
    let root = query.root?;
    let row_wise = |at: ColumnRef, it: MetricColumn| at.table == root && it.function.is_some();

    let mut of_groups = query.select.iter().any(Expr::is_aggregate) || !query.group.is_empty();
    let mut shown = false;
    for it in &mut query.select {
        if let Some((at, of)) = bare(index, it) {
            *it = taken(at, of);
            shown = true;
        }
    }
    // values beside a metric tell for what it is taken
    let mut by_rows = shown && !of_groups && query.select.iter().any(|it| !it.is_aggregate());
    of_groups |= shown;
    for key in &mut query.order {
        if let Some((at, of)) = bare(index, &key.by)
            && (of_groups || !row_wise(at, of))
        {
            key.by = taken(at, of);
            by_rows |= !of_groups;
        }
    }
    let mut having = Vec::new();
    let mut kept = Vec::new();
    for it in std::mem::take(&mut query.filter) {
        match it {
            Predicate::Compare(ref left, comparison, ref right) => match bare(index, left) {
                Some((at, of)) if of_groups || !row_wise(at, of) => {
                    having.push(Predicate::Compare(taken(at, of), comparison, right.clone()));
                    by_rows |= !of_groups;
                }
                _ => kept.push(it),
            },
            other => {
                let mut any = false;
                other.columns(&mut |it| any |= metric(index, it).is_some());
                if any {
                    return None;
                }
                kept.push(other);
            }
        }
    }
    query.filter = kept;
    query.having.extend(having);
    if by_rows && query.group.is_empty() {
        let rows: Vec<Expr> =
            query.select.iter().filter(|it| !it.is_aggregate()).cloned().collect();
        let of_root = |it: &Expr| {
            let mut any = false;
            it.columns(&mut |it| any |= it.table == root);
            any
        };
        // two rows may be called the same
        if root != first.table && rows.iter().any(of_root) {
            let key = index.tables[root].primary.iter();
            query.group.extend(key.map(|it| Expr::Column(ColumnRef::new(root, *it))));
        }
        for it in rows {
            if !query.group.contains(&it) {
                query.group.push(it);
            }
        }
    }
    aggregates(index, &mut query, &top)?;
    times(index, &mut query, &top);
    Some(query)
}

/// What is taken of each metric, and of which rows.
fn aggregates(
    index: &SchemaIndex,
    query: &mut LogicalQuery,
    top: &[(ColumnRef, MetricColumn)],
) -> Option<()> {
    let mut alone = true;
    let mut whole_with_others = false;
    let mut seen: Vec<ColumnRef> = Vec::new();
    let mut note = |it: &Expr| {
        each(it, &mut |it| {
            let of = match it {
                Expr::Aggregate { argument: Some(of), .. } => match of.as_ref() {
                    Expr::Column(at) if metric(index, *at).is_some() => Some(*at),
                    _ => None,
                },
                _ => None,
            };
            match of {
                Some(at) if !seen.contains(&at) => seen.push(at),
                Some(_) => {}
                None => alone = false,
            }
        });
    };
    query.select.iter().for_each(&mut note);
    query.order.iter().for_each(|it| note(&it.by));
    for it in &query.having {
        if let Predicate::Compare(a, _, b) = it {
            note(a);
            note(b);
        }
    }
    alone &= seen.len() == 1;
    let flag = |at: ColumnRef, column: usize| {
        Predicate::Compare(
            Expr::Column(ColumnRef { column, ..at }),
            Comparison::Equal,
            Expr::Literal(Literal::Boolean(true)),
        )
    };
    let mut change = |it: &mut Expr| {
        each_mut(it, &mut |it| {
            let Expr::Aggregate { function, distinct, argument: Some(of), filter } = it else {
                return;
            };
            let Expr::Column(at) = **of else { return };
            let Some(known) = metric(index, at) else { return };
            *distinct = false;
            match known.function {
                // it is one aggregate as a whole
                None => *function = Aggregate::Sum,
                Some(own) if *function == Aggregate::Sum || *function == Aggregate::Count => {
                    *function = own;
                }
                Some(_) => {}
            }
            if let Some(column) = known.filter.filter(|_| !alone) {
                whole_with_others |= known.function.is_none();
                let counts = flag(at, column);
                *filter = Some(Box::new(match filter.take() {
                    Some(other) => Predicate::And(vec![*other, counts]),
                    None => counts,
                }));
            }
        });
    };
    query.select.iter_mut().for_each(&mut change);
    query.order.iter_mut().for_each(|it: &mut OrderKey| change(&mut it.by));
    for it in &mut query.having {
        if let Predicate::Compare(a, _, b) = it {
            change(a);
            change(b);
        }
    }
    if whole_with_others {
        return None;
    }
    // where nothing else is counted, or a row's own value is compared, other rows are left out
    let rows = seen.is_empty();
    for (at, of) in top {
        if let Some(column) = of.filter.filter(|_| alone || rows) {
            let counts = flag(*at, column);
            if !query.filter.contains(&counts) {
                query.filter.push(counts);
            }
        }
    }
    Some(())
}

/// A metric has a time of its own: other moments of its table are not meant where only a time was said.
fn times(index: &SchemaIndex, query: &mut LogicalQuery, top: &[(ColumnRef, MetricColumn)]) {
    let [(at, of)] = top else { return };
    let Some(time) = of.time else { return };
    let meant = |it: &mut Expr| {
        let Expr::Column(column) = it else { return };
        if column.table == at.table && index.column(*column).class.is_temporal() {
            column.column = time;
        }
    };
    for it in &mut query.filter {
        match it {
            Predicate::During { moment, .. } => meant(moment),
            Predicate::Compare(Expr::Part(_, it), ..) => meant(it),
            _ => {}
        }
    }
    let keys = query.select.iter_mut().chain(&mut query.group);
    for it in keys.chain(query.order.iter_mut().map(|it| &mut it.by)) {
        if let Expr::Bucket(_, it) | Expr::Part(_, it) = it {
            meant(it);
        }
    }
}

/// Whether an expression goes over rows of a result, or takes the time since a metric: what a metric is there is not settled.
fn beyond(index: &SchemaIndex, it: &Expr) -> bool {
    match it {
        Expr::Window { .. } | Expr::Output(_) => true,
        Expr::Duration { from, to, .. } => {
            let mut any = false;
            it.columns(&mut |it| any |= metric(index, it).is_some());
            any || beyond(index, from) || beyond(index, to)
        }
        Expr::Aggregate { argument, filter, .. } => {
            argument.as_deref().is_some_and(|it| beyond(index, it))
                || filter.as_deref().is_some_and(|it| compares_beyond(index, it))
        }
        Expr::Arithmetic(_, a, b) | Expr::Percentage(a, b) => beyond(index, a) || beyond(index, b),
        Expr::Bucket(_, it) | Expr::Part(_, it) => beyond(index, it),
        Expr::Column(_) | Expr::Literal(_) | Expr::Scalar(_) | Expr::Everything(_) => false,
    }
}

/// The same for what is compared.
fn compares_beyond(index: &SchemaIndex, it: &Predicate) -> bool {
    match it {
        Predicate::Compare(a, _, b) => beyond(index, a) || beyond(index, b),
        Predicate::Between(a, b, c) => [a, b, c].into_iter().any(|it| beyond(index, it)),
        Predicate::During { moment, .. } => beyond(index, moment),
        Predicate::And(all) | Predicate::Or(all) => all.iter().any(|it| compares_beyond(index, it)),
        Predicate::Not(it) => compares_beyond(index, it),
        Predicate::Like { .. } | Predicate::Null { .. } | Predicate::InQuery { .. } => false,
    }
}

/// Calls `f` with every aggregate in an expression.
fn each(it: &Expr, f: &mut impl FnMut(&Expr)) {
    match it {
        Expr::Aggregate { .. } => f(it),
        Expr::Arithmetic(_, a, b) | Expr::Percentage(a, b) => {
            each(a, f);
            each(b, f);
        }
        Expr::Duration { from, to, .. } => {
            each(from, f);
            each(to, f);
        }
        Expr::Bucket(_, it) | Expr::Part(_, it) => each(it, f),
        // Windows and outputs were refused before.
        _ => {}
    }
}

fn each_mut(it: &mut Expr, f: &mut impl FnMut(&mut Expr)) {
    match it {
        Expr::Aggregate { .. } => f(it),
        Expr::Arithmetic(_, a, b) | Expr::Percentage(a, b) => {
            each_mut(a, f);
            each_mut(b, f);
        }
        Expr::Duration { from, to, .. } => {
            each_mut(from, f);
            each_mut(to, f);
        }
        Expr::Bucket(_, it) | Expr::Part(_, it) => each_mut(it, f),
        _ => {}
    }
}
