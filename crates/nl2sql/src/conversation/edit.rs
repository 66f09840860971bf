//! The changes that a follow-up makes to a query, each of which knows how to take itself back.

use crate::{
    index::SchemaIndex,
    join,
    logical::{ColumnRef, Expr, LogicalQuery, OrderKey, Predicate},
};

/// One change of one side of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// What rows must be like, instead of what they had to be like before.
    Conditions(Vec<Predicate>),
    /// What is shown, for which groups.
    Shape {
        /// What is shown, in order.
        select: Vec<Expr>,
        /// One row for each of these.
        group: Vec<Expr>,
        /// What groups must be like.
        having: Vec<Predicate>,
        /// Each row once.
        distinct: bool,
    },
    /// In which order.
    Order(Vec<OrderKey>),
    /// At most so many rows.
    Limit(Option<u64>),
    /// Of which groups the first rows are kept.
    Per(Vec<Expr>),
    /// Another query altogether.
    Whole(Box<LogicalQuery>),
}

impl Edit {
    /// Changes the query, and says what changes it back.
    #[must_use = "the inverse takes the change back"]
    pub fn apply(self, query: &mut LogicalQuery) -> Self {
        use std::mem::replace;
        match self {
            Self::Conditions(all) => Self::Conditions(replace(&mut query.filter, all)),
            Self::Shape { select, group, having, distinct } => Self::Shape {
                select: replace(&mut query.select, select),
                group: replace(&mut query.group, group),
                having: replace(&mut query.having, having),
                distinct: replace(&mut query.distinct, distinct),
            },
            Self::Order(keys) => Self::Order(replace(&mut query.order, keys)),
            Self::Limit(limit) => Self::Limit(replace(&mut query.limit, limit)),
            Self::Per(groups) => Self::Per(replace(&mut query.per, groups)),
            Self::Whole(other) => Self::Whole(Box::new(replace(query, *other))),
        }
    }
}

/// Whether a query reads other queries inside: those are not taken apart.
pub(super) fn is_nested(query: &LogicalQuery) -> bool {
    let mut parts = 0;
    query.each(&mut |_| parts += 1);
    parts > 1
}

/// Whether every column of a condition is a moment: it says when.
pub(super) fn says_when(index: &SchemaIndex, it: &Predicate) -> bool {
    let (mut any, mut all) = (false, true);
    it.columns(&mut |it| {
        any = true;
        all &= index.column(it).class.is_temporal();
    });
    any && all && !matches!(it, Predicate::Null { .. } | Predicate::InQuery { .. })
}

/// The columns of some conditions, each once.
pub(super) fn columns_of(all: &[Predicate]) -> Vec<ColumnRef> {
    let mut columns = Vec::new();
    for it in all {
        it.columns(&mut |it| {
            if !columns.contains(&it) {
                columns.push(it);
            }
        });
    }
    columns
}

/// Whether joining makes several rows of one row of the first table: what is counted or summed then counts too often.
pub(crate) fn multiplies(index: &SchemaIndex, query: &LogicalQuery) -> bool {
    let Some(plan) = join::plan(index, query) else { return true };
    plan.tables.iter().any(|it| {
        let Some((_, pairs)) = &it.to else { return false };
        let table = &index.tables[it.table];
        let here: Vec<usize> = pairs.iter().map(|it| it.1).collect();
        let is_key = !table.primary.is_empty() && table.primary.iter().all(|it| here.contains(it));
        !is_key && !here.iter().any(|it| table.columns[*it].unique)
    })
}

/// The same expression over other columns; `None` if one has no counterpart, or a query stands in it.
pub(super) fn mapped(
    it: &Expr,
    f: &mut impl FnMut(ColumnRef) -> Option<ColumnRef>,
) -> Option<Expr> {
    let boxed = |it: &Expr, f: &mut _| mapped(it, f).map(Box::new);
    Some(match it {
        Expr::Column(it) => Expr::Column(f(*it)?),
        Expr::Aggregate { function, distinct, argument, filter } => Expr::Aggregate {
            function: *function,
            distinct: *distinct,
            argument: match argument {
                Some(it) => Some(boxed(it, f)?),
                None => None,
            },
            filter: match filter {
                Some(it) => Some(Box::new(mapped_condition(it, f)?)),
                None => None,
            },
        },
        Expr::Literal(_) => it.clone(),
        Expr::Arithmetic(operation, a, b) => {
            Expr::Arithmetic(*operation, boxed(a, f)?, boxed(b, f)?)
        }
        Expr::Bucket(unit, it) => Expr::Bucket(*unit, boxed(it, f)?),
        Expr::Part(part, it) => Expr::Part(part, boxed(it, f)?),
        Expr::Percentage(a, b) => Expr::Percentage(boxed(a, f)?, boxed(b, f)?),
        // What these hold cannot be said of other columns.
        _ => return None,
    })
}

/// The same for a condition.
pub(super) fn mapped_condition(
    it: &Predicate,
    f: &mut impl FnMut(ColumnRef) -> Option<ColumnRef>,
) -> Option<Predicate> {
    Some(match it {
        Predicate::Compare(a, comparison, b) => {
            Predicate::Compare(mapped(a, f)?, *comparison, mapped(b, f)?)
        }
        Predicate::Between(a, b, c) => {
            Predicate::Between(mapped(a, f)?, mapped(b, f)?, mapped(c, f)?)
        }
        Predicate::Like { column, pattern, negated } => {
            Predicate::Like { column: f(*column)?, pattern: pattern.clone(), negated: *negated }
        }
        Predicate::Null { column, negated } => {
            Predicate::Null { column: f(*column)?, negated: *negated }
        }
        Predicate::During { moment, from, until } => Predicate::During {
            moment: mapped(moment, f)?,
            from: from.clone(),
            until: until.clone(),
        },
        Predicate::And(all) => Predicate::And(mapped_all(all, f)?),
        Predicate::Or(any) => Predicate::Or(mapped_all(any, f)?),
        Predicate::Not(it) => Predicate::Not(Box::new(mapped_condition(it, f)?)),
        Predicate::InQuery { .. } => return None,
    })
}

/// The same for several.
pub(super) fn mapped_all(
    all: &[Predicate],
    f: &mut impl FnMut(ColumnRef) -> Option<ColumnRef>,
) -> Option<Vec<Predicate>> {
    all.iter().map(|it| mapped_condition(it, f)).collect()
}
