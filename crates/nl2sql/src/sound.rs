//! Whether the server would plan a query at all: what nobody meant is not worth a question back either.

use plinth_schema_introspect::TypeClass;

use crate::{
    index::SchemaIndex,
    logical::{ColumnRef, Expr, Literal, LogicalQuery, Predicate},
};

/// Whether all of the query, nested ones included, shows and sorts by what its groups have one of, and compares numbers and ids
/// with such.
pub(crate) fn is_sound(index: &SchemaIndex, query: &LogicalQuery) -> bool {
    let mut sound = true;
    query.each(&mut |part| sound &= is_grouped_rightly(index, part) && compares_alike(index, part));
    sound
}

fn is_grouped_rightly(index: &SchemaIndex, query: &LogicalQuery) -> bool {
    // what is read of another query, and the first few of each kind, are rows of their own
    if query.group.is_empty() || query.source.is_some() || !query.per.is_empty() {
        return true;
    }
    let mut shown = query.select.iter().chain(query.order.iter().map(|it| &it.by));
    shown.all(|it| is_one(index, query, it))
}

/// Whether each group has one value of it.
fn is_one(index: &SchemaIndex, query: &LogicalQuery, it: &Expr) -> bool {
    if query.group.contains(it) {
        return true;
    }
    let follows = |table: usize, role: u8| {
        let of = &index.tables[table];
        let mut key = of.primary.iter();
        let in_group = |column: &usize| {
            query.group.contains(&Expr::Column(ColumnRef { table, column: *column, role }))
        };
        of.declared_key && !of.primary.is_empty() && key.all(in_group)
    };
    match it {
        Expr::Column(it) => index.column(*it).defined.is_some() || follows(it.table, it.role),
        Expr::Everything(table) => follows(*table, 0),
        Expr::Aggregate { .. } | Expr::Literal(_) | Expr::Scalar(_) | Expr::Output(_) => true,
        Expr::Arithmetic(_, a, b) | Expr::Percentage(a, b) => {
            is_one(index, query, a) && is_one(index, query, b)
        }
        Expr::Bucket(_, it) | Expr::Part(_, it) => is_one(index, query, it),
        Expr::Duration { from, to, .. } => is_one(index, query, from) && is_one(index, query, to),
        Expr::Window { argument, partition, order, .. } => {
            let parts = argument.iter().map(AsRef::as_ref).chain(partition);
            parts.chain(order.iter().map(|it| &it.by)).all(|it| is_one(index, query, it))
        }
    }
}

fn compares_alike(index: &SchemaIndex, query: &LogicalQuery) -> bool {
    query.filter.iter().chain(&query.having).all(|it| is_alike(index, it))
}

fn is_alike(index: &SchemaIndex, it: &Predicate) -> bool {
    match it {
        Predicate::Compare(Expr::Column(column), _, Expr::Literal(Literal::Text(text))) => {
            let class = index.column(*column).class;
            let hexadecimal = text.chars().filter(char::is_ascii_hexdigit).count() == 32;
            if class.is_numeric() {
                text.trim().parse::<f64>().is_ok()
            } else {
                class != TypeClass::Uuid || hexadecimal
            }
        }
        Predicate::And(all) | Predicate::Or(all) => all.iter().all(|it| is_alike(index, it)),
        Predicate::Not(it) => is_alike(index, it),
        Predicate::Compare(..)
        | Predicate::Between(..)
        | Predicate::Like { .. }
        | Predicate::Null { .. }
        | Predicate::During { .. }
        | Predicate::InQuery { .. } => true,
    }
}
