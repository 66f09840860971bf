//! Values of which no row is such: `locations where no cinema has more than 800 seats`, of cinemas that say where they are.

use crate::{
    index::SchemaIndex,
    interpret::Interpreter,
    logical::{Comparison, Expr, LogicalQuery, Predicate},
};

/// What a condition turns into without its denial, if it has one.
fn affirmed(it: &Predicate) -> Option<Predicate> {
    let Predicate::Compare(column, comparison, value) = it else {
        let Predicate::Not(denied) = it else { return None };
        return Some(denied.as_ref().clone());
    };
    let comparison = match comparison {
        Comparison::NotEqual => Comparison::Equal,
        Comparison::AtMost => Comparison::Greater,
        Comparison::AtLeast => Comparison::Less,
        _ => return None,
    };
    Some(Predicate::Compare(column.clone(), comparison, value.clone()))
}

/// Whether the question says that none of the rows of a table is so: `no cinema`, `without a company`, `never … in any game`.
fn denies_rows(reader: &Interpreter<'_>, table: usize) -> bool {
    let denied = |at: usize| {
        (0..at).any(|it| {
            matches!(reader.word(it), "never" | "not" | "don't" | "doesn't" | "didn't" | "haven't")
        })
    };
    (1..reader.items.len()).any(|at| {
        let mut before = at - 1;
        // `any friendly competition`
        let leads = |at: usize| matches!(reader.word(at), "no" | "without" | "any");
        if before > 0 && !leads(before) {
            before -= 1;
        }
        let said = match reader.word(before) {
            "no" | "without" => true,
            "any" => denied(before),
            _ => false,
        };
        said && reader.table_at(at) == Some(table)
    })
}

/// Values of a column, of rows that are not so: those of which no row is so, if that was asked.
pub(super) fn without_any(index: &SchemaIndex, reader: &Interpreter<'_>, query: &mut LogicalQuery) {
    let ([Expr::Column(shown)], [condition], Some(root)) =
        (query.select.as_slice(), query.filter.as_slice(), query.root)
    else {
        return;
    };
    let info = index.column(*shown);
    let table = &index.tables[root];
    let kind = shown.table == root
        && !info.unique
        && !info.primary
        && !info.foreign
        && !table.display.contains(&shown.column);
    let plain = query.instances().len() == 1
        && query.group.is_empty()
        && query.limit.is_none()
        && query.per.is_empty()
        && query.set.is_none();
    if !kind || !plain || !denies_rows(reader, root) {
        return;
    }
    let Some(such) = affirmed(condition) else { return };
    let mut filter = vec![such];
    // beside an empty value nothing is outside
    if info.nullable {
        filter.push(Predicate::Null { column: *shown, negated: true });
    }
    let nested = LogicalQuery {
        root: Some(root),
        select: query.select.clone(),
        filter,
        ..LogicalQuery::default()
    };
    query.filter =
        vec![Predicate::InQuery { columns: vec![*shown], query: Box::new(nested), negated: true }];
    query.distinct = true;
}

#[cfg(test)]
mod tests {
    use plinth_schema_introspect::TypeClass;

    use super::without_any;
    use crate::{
        interpret::Interpreter,
        link::link,
        logical::{ColumnRef, Comparison, Expr, Literal, LogicalQuery, Predicate},
        testing,
        token::tokenize,
    };

    #[test]
    fn values_without_any_such_row_are_not_those_of_other_rows() {
        use TypeClass::{Integer, Text};
        let columns = [("id", Integer), ("name", Text), ("harbor", Text), ("seats", Integer)];
        let index = testing::index(vec![testing::keyed(1, "ferries", &columns)]);
        let lacks = |question: &str, shown: usize| {
            let mut query = LogicalQuery {
                root: Some(0),
                select: vec![Expr::Column(ColumnRef::new(0, shown))],
                filter: vec![Predicate::Compare(
                    Expr::Column(ColumnRef::new(0, 3)),
                    Comparison::AtMost,
                    Expr::Literal(Literal::Number(80.0)),
                )],
                ..LogicalQuery::default()
            };
            let tokens = tokenize(question);
            let items = link(&index, &tokens, &[]);
            without_any(&index, &Interpreter::new(&index, &items, &tokens), &mut query);
            matches!(query.filter.as_slice(), [Predicate::InQuery { negated: true, .. }])
        };
        assert!(lacks("harbors where no ferry has more than 80 seats", 2));
        assert!(lacks("harbors without a ferry of more than 80 seats", 2));
        assert!(lacks("which harbors do not have any ferry with more than 80 seats", 2));
        assert!(!lacks("harbors of ferries that have no more than 80 seats", 2));
        assert!(!lacks("names where no ferry has more than 80 seats", 1));
    }
}
