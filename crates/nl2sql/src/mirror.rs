//! Tables that relate things of one kind to each other (who borders whom, who follows whom): a value names one of the two,
//! and the other one is asked for.

use crate::{
    index::SchemaIndex,
    join,
    logical::{ColumnRef, Comparison, Expr, LogicalQuery, Predicate},
};

/// Puts conditions that would only give the value itself back (`countries that border Chad` as those that *are* Chad) on the
/// other side of the relation.
pub(crate) fn other_side(index: &SchemaIndex, query: &mut LogicalQuery) {
    let asked = match query.select.as_slice() {
        [Expr::Column(it)] => Some(*it),
        _ => None,
    };
    let changes: Vec<(usize, ColumnRef)> = query
        .filter
        .iter()
        .enumerate()
        .filter_map(|(at, it)| {
            let named = named(it)?;
            let to = joined_over(index, query, named).or_else(|| {
                // `NOT IN (SELECT border … WHERE border = …)`
                (asked == Some(named) && query.instances().len() == 1)
                    .then(|| target(index, named))
                    .flatten()
            })?;
            Some((at, twin(index, named, to)?))
        })
        .collect();
    for (at, column) in changes {
        if let Some(Predicate::Compare(left, ..)) = query.filter.get_mut(at) {
            *left = Expr::Column(column);
        }
    }
    for it in &mut query.filter {
        if let Predicate::InQuery { query, .. } = it {
            other_side(index, query);
        }
    }
}

/// The column that is equal to one value.
fn named(it: &Predicate) -> Option<ColumnRef> {
    match it {
        Predicate::Compare(Expr::Column(column), Comparison::Equal, Expr::Literal(_)) => {
            Some(*column)
        }
        _ => None,
    }
}

/// The table that a column alone refers to.
fn target(index: &SchemaIndex, column: ColumnRef) -> Option<usize> {
    index.edges_from(column.table).find(|it| it.from_columns == [column.column]).map(|it| it.to)
}

/// The other column of that table that refers to the same one, where there is just one.
fn twin(index: &SchemaIndex, column: ColumnRef, to: usize) -> Option<ColumnRef> {
    let mut others = index.edges_from(column.table).filter(|it| {
        it.to == to
            && it.to != it.from
            && it.from_columns.len() == 1
            && it.from_columns != [column.column]
    });
    let other = others.next()?;
    others.next().is_none().then(|| ColumnRef { column: other.from_columns[0], ..column })
}

/// The table to which a query joins that column's table over this very column, if it stands there once and something of it
/// is shown or counted.
fn joined_over(index: &SchemaIndex, query: &LogicalQuery, column: ColumnRef) -> Option<usize> {
    let plan = join::plan(index, query)?;
    let to = plan.tables.iter().find_map(|it| {
        let (other, pairs) = it.to.as_ref()?;
        let other = &plan.tables[*other];
        let [(there, here)] = pairs.as_slice() else { return None };
        if it.table == column.table && it.role == column.role && *here == column.column {
            Some(other.table)
        } else if other.table == column.table
            && other.role == column.role
            && *there == column.column
        {
            Some(it.table)
        } else {
            None
        }
    })?;
    let once = plan.tables.iter().filter(|it| it.table == to).count() == 1;
    (once && to != column.table && target(index, column) == Some(to)).then_some(to)
}
