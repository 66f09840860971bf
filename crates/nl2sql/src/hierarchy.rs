//! Things that are kept in a tree, like categories within categories: what belongs to one of them belongs to the one above it
//! as well.

use crate::{
    index::SchemaIndex,
    lexicon::LEXICON,
    logical::{ColumnRef, Comparison, Expr, Literal, LogicalQuery, Predicate},
};

/// Lets what is named in conditions stand for what lies directly below it too, where rows of another table are asked for.
/// Superiors are no such tree: what is asked of somebody is not asked of those who report to them.
pub(crate) fn include_below(index: &SchemaIndex, query: &mut LogicalQuery) {
    let root = query.root;
    for it in &mut query.filter {
        widen(index, root, it);
    }
}

/// The same for one condition of a query over that table.
pub(crate) fn widen(index: &SchemaIndex, root: Option<usize>, it: &mut Predicate) {
    match it {
        Predicate::Compare(
            Expr::Column(column),
            Comparison::Equal,
            Expr::Literal(Literal::Text(_)),
        ) if column.role == 0 && Some(column.table) != root => {
            let column = *column;
            let Some((key, above)) = tree(index, column) else { return };
            let named = LogicalQuery {
                select: vec![Expr::Column(key)],
                root: Some(column.table),
                filter: vec![it.clone()],
                ..LogicalQuery::default()
            };
            let below =
                Predicate::InQuery { columns: vec![above], query: Box::new(named), negated: false };
            *it = Predicate::Or(vec![it.clone(), below]);
        }
        Predicate::And(all) | Predicate::Or(all) => {
            all.iter_mut().for_each(|it| widen(index, root, it));
        }
        Predicate::Not(it) => widen(index, root, it),
        Predicate::InQuery { query, .. } => include_below(index, query),
        _ => {}
    }
}

/// The key of a table that is a tree of what that column names, and the reference to the row above.
fn tree(index: &SchemaIndex, name: ColumnRef) -> Option<(ColumnRef, ColumnRef)> {
    let table = &index.tables[name.table];
    let [key] = table.primary.as_slice() else { return None };
    if !table.display.contains(&name.column) {
        return None;
    }
    let mut own = index.edges_of[name.table]
        .iter()
        .map(|it| &index.edges[*it])
        .filter(|it| it.from == it.to && it.to_columns == [*key]);
    let edge = own.next()?;
    let ([above], None) = (edge.from_columns.as_slice(), own.next()) else { return None };
    let says = table.columns[*above].words.iter().any(|it| {
        matches!(it.as_str(), "parent" | "upper" | "super" | "main" | "part" | "within" | "belong")
    });
    // called otherwise: what is no person and may have none above it
    let people = table.display.len() > 1
        || table.columns[*above].words.iter().any(|it| {
            let stem = LEXICON.stem(it);
            ["manag", "supervis", "superior", "report", "mentor", "replac"].contains(&stem.as_str())
                || LEXICON.synonyms("manag").contains(&stem)
        });
    let tree = says || !people && table.columns[*above].nullable;
    tree.then(|| (ColumnRef::new(name.table, *key), ColumnRef::new(name.table, *above)))
}
