//! Groups that tell apart the very rows that are counted in them: of each there is one, whatever was asked.

use crate::{
    index::SchemaIndex,
    logical::{ColumnRef, Expr, LogicalQuery},
};

/// The table of which each row of that query is one; `None` if there is none, or a table stands in it twice.
fn finest(index: &SchemaIndex, query: &LogicalQuery) -> Option<usize> {
    let instances = query.instances();
    if instances.iter().any(|it| it.1 != 0) {
        return None;
    }
    let tables: Vec<usize> = instances.iter().map(|it| it.0).collect();
    index.finest(&tables)
}

fn is_aggregated(query: &LogicalQuery) -> bool {
    !query.having.is_empty()
        || query.select.iter().any(Expr::is_aggregate)
        || query.order.iter().any(|it| it.by.is_aggregate())
}

fn is_key(index: &SchemaIndex, column: ColumnRef) -> bool {
    index.column(column).unique || index.tables[column.table].is_keyed_by(column.column)
}

/// `the customer with the fewest accounts`, with groups by the account as well: without it. The same for what an unshown
/// reference tells apart: `the year with the most courses`, where a row is a course in a year.
pub(super) fn drop_row_groups(index: &SchemaIndex, query: &mut LogicalQuery) {
    if query.group.len() < 2 || !is_aggregated(query) {
        return;
    }
    let Some(own) = finest(index, query) else { return };
    let mut shown: Vec<usize> = Vec::new();
    for it in &query.select {
        match it {
            Expr::Everything(_) => return,
            _ => it.columns(&mut |it| shown.push(it.table)),
        }
    }
    let counts_each = |it: &Expr| {
        let Expr::Column(column) = it else { return false };
        let refers = index
            .edges_from(own)
            .any(|edge| edge.from_columns == [column.column] && !shown.contains(&edge.to));
        column.table == own
            && !query.select.contains(it)
            && query.order.iter().all(|order| order.by != *it)
            && (is_key(index, *column) || refers)
    };
    let mut kept: Vec<Expr> = query.group.iter().filter(|it| !counts_each(it)).cloned().collect();
    if kept.is_empty() || kept.len() == query.group.len() {
        return;
    }
    // what followed from the key that is gone is told apart itself
    let plain = query.select.iter().chain(query.order.iter().map(|it| &it.by));
    for it in plain.filter(|it| matches!(it, Expr::Column(it) if it.table == own)) {
        if !kept.contains(it) {
            kept.push(it.clone());
        }
    }
    query.group = kept;
}

/// Whether groups are told apart by what the rows in them are known by, beside something else.
pub(crate) fn tells_rows_apart(index: &SchemaIndex, query: &LogicalQuery) -> bool {
    if query.group.len() < 2 || !is_aggregated(query) {
        return false;
    }
    let Some(own) = finest(index, query) else { return false };
    let table = &index.tables[own];
    query.group.iter().any(|it| {
        let Expr::Column(column) = it else { return false };
        let part = table.primary.len() > 1 && table.primary.contains(&column.column);
        let refers = index.edges_from(own).any(|edge| edge.from_columns == [column.column]);
        column.table == own
            && (is_key(index, *column)
                || table.display.contains(&column.column) && !part && !refers)
    })
}

#[cfg(test)]
mod tests {
    use plinth_schema_introspect::TypeClass;

    use super::{drop_row_groups, tells_rows_apart};
    use crate::{
        index::SchemaIndex,
        logical::{ColumnRef, Expr, LogicalQuery, OrderKey},
        testing,
    };

    /// `owners (id, name)` and `boats (id, owner_id, name)`.
    fn index() -> SchemaIndex {
        use TypeClass::{Integer, Text};
        let owners = testing::keyed(1, "owners", &[("id", Integer), ("name", Text)]);
        let mut boats =
            testing::keyed(2, "boats", &[("id", Integer), ("owner_id", Integer), ("name", Text)]);
        boats.foreign_keys.push(testing::reference(1, 1));
        testing::index(vec![owners, boats])
    }

    fn column(index: &SchemaIndex, table: &str, column: usize) -> Expr {
        let table = index.tables.iter().position(|it| it.name == table).expect("a table");
        Expr::Column(ColumnRef::new(table, column))
    }

    fn counting(index: &SchemaIndex, select: Vec<Expr>, group: Vec<Expr>) -> LogicalQuery {
        let Expr::Column(root) = column(index, "boats", 0) else { unreachable!("a column") };
        LogicalQuery {
            root: Some(root.table),
            select,
            group,
            order: vec![OrderKey { by: Expr::count(), descending: true }],
            ..LogicalQuery::default()
        }
    }

    #[test]
    fn what_is_counted_is_no_group_of_its_own() {
        let index = index();
        let name = column(&index, "owners", 1);
        let groups = vec![column(&index, "boats", 0), name.clone()];
        let mut query = counting(&index, vec![name.clone()], groups);
        assert!(tells_rows_apart(&index, &query));
        drop_row_groups(&index, &mut query);
        assert_eq!(query.group, [name]);
        assert!(!tells_rows_apart(&index, &query));
    }

    #[test]
    fn a_group_that_is_shown_stays_and_is_doubted() {
        let index = index();
        let shown = vec![column(&index, "owners", 1), column(&index, "boats", 2)];
        let mut query = counting(&index, shown.clone(), shown.clone());
        drop_row_groups(&index, &mut query);
        assert_eq!(query.group, shown);
        assert!(tells_rows_apart(&index, &query));
    }

    #[test]
    fn groups_of_what_rows_belong_to_are_none_of_the_rows() {
        let index = index();
        let groups = vec![column(&index, "owners", 0), column(&index, "owners", 1)];
        let mut query = counting(&index, groups[1..].to_vec(), groups.clone());
        drop_row_groups(&index, &mut query);
        assert_eq!(query.group, groups);
        assert!(!tells_rows_apart(&index, &query));
    }
}
