//! Tidies a query that was assembled: what is said twice, shown needlessly, joined for nothing, or counted several times.

use crate::{
    index::SchemaIndex,
    interpret::{Draft, Interpreter},
    join,
    logical::{Aggregate, ColumnRef, Comparison, Expr, LogicalQuery, Predicate},
};

/// `the number of films by each director`: of each value of a column there is one, so what is counted is its rows.
pub(super) fn count_rows_of_groups(query: &mut LogicalQuery) {
    let groups = query.group.clone();
    let mut rows = |it: &mut Expr| {
        let always_one = matches!(it, Expr::Aggregate { function: Aggregate::Count, distinct: true, argument: Some(of), .. }
            if groups.contains(of));
        if always_one {
            *it = Expr::count();
        }
    };
    query.select.iter_mut().for_each(&mut rows);
    query.order.iter_mut().for_each(|it| rows(&mut it.by));
    let mut shown: Vec<Expr> = Vec::new();
    query.select.retain(|it| {
        let again = *it == Expr::count() && shown.contains(it);
        shown.push(it.clone());
        !again
    });
}

/// `faculty who participate in …`, where one table says who participates and another that of the faculty: the other one.
pub(super) fn drop_repeated(index: &SchemaIndex, query: &mut LogicalQuery) {
    let mut spoken: Vec<usize> = query.root.into_iter().collect();
    crate::doubt::each_column(query, &mut |it| spoken.push(it.table));
    let all: Vec<usize> = query.instances().iter().map(|it| it.0).collect();
    let planned: Vec<usize> = join::plan(index, query)
        .map(|it| it.tables.iter().map(|it| it.table).collect())
        .unwrap_or_default();
    query.also.retain(|table| {
        let own = &index.tables[*table];
        let said_longer = planned.iter().chain(&all).any(|it| {
            let other = &index.tables[*it].words;
            it != table
                && other.len() > own.words.len()
                && own.words.iter().all(|word| other.contains(word))
        });
        !(own.bridge && said_longer && !spoken.contains(table))
    });
}

/// `which carriers …`, `in which cities …`: each of them once, where the column is no name of a row.
pub(super) fn distinct_kinds(
    index: &SchemaIndex,
    reader: &Interpreter<'_>,
    query: &mut LogicalQuery,
) {
    let [Expr::Column(column)] = query.select.as_slice() else { return };
    let info = index.column(*column);
    let table = &index.tables[column.table];
    let kind = info.class.is_textual()
        && !info.unique
        && !info.primary
        && !table.display.contains(&column.column);
    let listed = query.group.is_empty()
        && query.limit.is_none()
        && query.order.is_empty()
        && query.per.is_empty();
    let asked = (0..2).any(|at| {
        matches!(reader.word(at), "which" | "what")
            && reader.items.get(at + 1).is_some_and(|it| {
                it.lower.ends_with('s')
                    && matches!(&it.meaning, crate::link::Meaning::Name(links)
                        if links.iter().any(|it| it.table == column.table && it.column == Some(column.column)))
            })
    });
    // `all product colors`: which there are
    let all = (0..4).any(|at| reader.word(at) == "all")
        && query.filter.is_empty()
        && query.instances().len() == 1;
    query.distinct |= kind && listed && (asked || all);
}

/// What a condition holds at one value is not shown beside something else: `the type of the product with name X`.
/// What is named among other things to show (`the last name and first name of …`) stays.
pub(super) fn drop_fixed(reader: &Interpreter<'_>, draft: &Draft, query: &mut LogicalQuery) {
    let listed = |column: &Expr| {
        draft.asked_at.iter().any(|(at, asked)| {
            let before = at.checked_sub(1).map_or("", |it| reader.word(it));
            let leads =
                matches!(before, "and" | "the" | "their") || reader.marked(at.wrapping_sub(1), ',');
            let goes_on = reader.word(at + 1) == "and"
                || reader.marked(at + 1, ',')
                || reader.word(at + 1) == "of" && !reader.is_value(at + 2);
            Expr::Column(*asked) == *column && leads && goes_on
        })
    };
    let fixed: Vec<Expr> = query
        .filter
        .iter()
        .filter_map(|it| match it {
            Predicate::Compare(column @ Expr::Column(_), Comparison::Equal, Expr::Literal(_))
                if !listed(column) =>
            {
                Some(column.clone())
            }
            _ => None,
        })
        .collect();
    let kept: Vec<Expr> = query.select.iter().filter(|it| !fixed.contains(it)).cloned().collect();
    if kept.is_empty() || kept.len() == query.select.len() {
        return;
    }
    query.select = kept;
    query.group.retain(|it| !fixed.contains(it));
    // one number is left where the groups were only of what is fixed
    if query.group.is_empty() || !query.select.iter().all(Expr::is_aggregate) {
        return;
    }
    let only = query.having.is_empty() && query.order.is_empty();
    let of_fixed = |it: &Expr| matches!(it, Expr::Column(key) if fixed.iter().any(|it| matches!(it, Expr::Column(it) if it.table == key.table)));
    if only && query.group.iter().all(of_fixed) {
        query.group.clear();
    }
}

/// What only says of which kind a condition is: the first country in `mountains of climbers from country "Chile"`, where the
/// value is the climber's; the age in `which student's age is older than 18`.
pub(super) fn drop_told(
    index: &SchemaIndex,
    reader: &Interpreter<'_>,
    draft: &Draft,
    query: &mut LogicalQuery,
) {
    let compared: Vec<ColumnRef> = query
        .filter
        .iter()
        .filter_map(|it| match it {
            Predicate::Compare(Expr::Column(column), _, Expr::Literal(_)) => Some(*column),
            _ => None,
        })
        .collect();
    let told = |it: &Expr| {
        let Expr::Column(shown) = it else { return false };
        let mut named = draft.asked_at.iter().filter(|it| it.1 == *shown).peekable();
        let name = &index.column(*shown).name;
        named.peek().is_some()
            && named.all(|(at, _)| {
                let of_other = reader.is_value(at + 1)
                    && compared
                        .iter()
                        .any(|it| it.table != shown.table && index.column(*it).name == *name);
                let own = compared.contains(shown);
                let next = reader.word(at + 1);
                let is_more = matches!(next, "is" | "are") && reader.comparator(at + 2).is_some()
                    || matches!(next, "before" | "after" | "since");
                of_other || own && is_more
            })
    };
    let kept: Vec<Expr> = query.select.iter().filter(|it| !told(it)).cloned().collect();
    if kept.is_empty() || kept.len() == query.select.len() {
        return;
    }
    let dropped: Vec<Expr> = query.select.iter().filter(|it| told(it)).cloned().collect();
    query.select = kept;
    query.group.retain(|it| !dropped.contains(it));
}

/// A reference and the key that it refers to are equal where both tables are joined: shown once, grouped by once.
pub(super) fn unify_keys(index: &SchemaIndex, query: &mut LogicalQuery) {
    let Some(plan) = join::plan(index, query) else { return };
    let mut same: Vec<(ColumnRef, ColumnRef)> = Vec::new();
    for it in &plan.tables {
        let Some((to, pairs)) = &it.to else { continue };
        let other = &plan.tables[*to];
        if it.role != 0 || other.role != 0 {
            continue;
        }
        for (there, here) in pairs {
            let (a, b) = (ColumnRef::new(other.table, *there), ColumnRef::new(it.table, *here));
            // the key stands for both
            if index.column(a).primary && !index.column(b).primary {
                same.push((b, a));
            } else {
                same.push((a, b));
            }
        }
    }
    let tidy = |all: &mut Vec<Expr>| {
        let mut kept: Vec<Expr> = Vec::new();
        for it in all.drain(..) {
            let twin = same.iter().find_map(|(from, to)| match &it {
                Expr::Column(it) if it == from => Some(Expr::Column(*to)),
                Expr::Column(it) if it == to => Some(Expr::Column(*from)),
                _ => None,
            });
            let again = matches!(it, Expr::Column(_)) && kept.contains(&it);
            if !again && twin.is_none_or(|it| !kept.contains(&it)) {
                kept.push(it);
            }
        }
        *all = kept;
    };
    tidy(&mut query.select);
    tidy(&mut query.group);
    show_what_groups(query, &same);
}

/// Of a reference and its key one was kept in the groups, perhaps not the one that is shown or sorted by: the same one is
/// everywhere. `same` has the key second where one of the two is a key, so that what follows from it can be shown beside it.
fn show_what_groups(query: &mut LogicalQuery, same: &[(ColumnRef, ColumnRef)]) {
    if query.group.is_empty() {
        return;
    }
    for (other, key) in same {
        let (other, key) = (Expr::Column(*other), Expr::Column(*key));
        let grouped = |it: &Expr| query.group.contains(it);
        if grouped(&other) == grouped(&key) {
            continue;
        }
        let mut read = query.select.iter().chain(query.order.iter().map(|it| &it.by));
        // the reference alone, in the groups and shown, is as good
        if !grouped(&key) && !read.any(|it| *it == key) {
            continue;
        }
        let (from, to) = (other, key);
        let replace = |it: &mut Expr| {
            if *it == from {
                *it = to.clone();
            }
        };
        query.group.iter_mut().for_each(replace);
        query.select.iter_mut().for_each(replace);
        query.order.iter_mut().for_each(|it| replace(&mut it.by));
    }
}

/// `which sizes are there`: a document without that key has none.
pub(super) fn known_keys(index: &SchemaIndex, query: &mut LogicalQuery) {
    if let ([Expr::Column(it)], true) = (query.select.as_slice(), query.distinct)
        && index.column(*it).key.is_some()
        && query.group.is_empty()
    {
        let known = Predicate::Null { column: *it, negated: true };
        if !query.filter.contains(&known) {
            query.filter.push(known);
        }
    }
}

/// A row that is asked for is shown once, however many partners the joined tables have for it.
pub(super) fn shown_once(index: &SchemaIndex, reader: &Interpreter<'_>, query: &mut LogicalQuery) {
    let plain = query.group.is_empty()
        && query.limit.is_none()
        && query.order.is_empty()
        && !query.select.iter().any(Expr::is_aggregate);
    if !plain || query.distinct {
        return;
    }
    let mut shown: Vec<usize> = Vec::new();
    for it in &query.select {
        match it {
            Expr::Column(it) => shown.push(it.table),
            Expr::Everything(_) => return,
            _ => it.columns(&mut |it| shown.push(it.table)),
        }
    }
    let Some(&first) = shown.first() else { return };
    let _ = index;
    let repeated = query
        .instances()
        .iter()
        .any(|it| !shown.contains(&it.0) && !shown.iter().any(|own| reader.single(*own, it.0)));
    if repeated && shown.iter().all(|it| *it == first) {
        query.distinct = true;
    }
}

/// Rows that a join shows several times are counted once.
pub(super) fn count_once(
    index: &SchemaIndex,
    reader: &Interpreter<'_>,
    query: &mut LogicalQuery,
    counted: &[(usize, Option<usize>)],
) {
    let instances = query.instances();
    for (at, table) in counted {
        let Some(table) = table else { continue };
        let [key] = index.tables[*table].primary.as_slice() else { continue };
        let repeated = instances.iter().any(|it| it.0 != *table && !reader.single(*table, it.0));
        if repeated && query.select[*at] == Expr::count() {
            query.select[*at] = Expr::Aggregate {
                function: Aggregate::Count,
                distinct: true,
                argument: Some(Box::new(Expr::Column(ColumnRef::new(*table, *key)))),
                filter: None,
            };
        }
    }
}

/// A table of which nothing but its key is read stands in the query as the reference to it, where that reference is only
/// guessed from names: `lakes in each state` are told apart by the state that each says, whether it is listed or not.
pub(super) fn drop_key_leaf(index: &SchemaIndex, query: &mut LogicalQuery) {
    let Some(plan) = join::plan(index, query) else { return };
    if plan.tables.len() < 2 {
        return;
    }
    for (at, it) in plan.tables.iter().enumerate() {
        let inner = plan.tables.iter().any(|other| other.to.as_ref().is_some_and(|it| it.0 == at));
        let first = at == 0;
        // the table and its only neighbour, and the pairs of columns between them
        let (leaf, other, pairs) = match &it.to {
            Some((to, pairs)) if !inner => {
                let own: Vec<(usize, usize)> = pairs.iter().map(|it| (it.1, it.0)).collect();
                (it, &plan.tables[*to], own)
            }
            None if first => {
                let mut children =
                    plan.tables.iter().filter(|it| it.to.as_ref().is_some_and(|it| it.0 == 0));
                let (Some(child), None) = (children.next(), children.next()) else { continue };
                let Some((_, pairs)) = &child.to else { continue };
                (it, child, pairs.clone())
            }
            _ => continue,
        };
        let [(key, reference)] = pairs.as_slice() else { continue };
        let guessed = index.edges_from(other.table).any(|edge| {
            !edge.declared
                && edge.to == leaf.table
                && edge.from_columns == [*reference]
                && edge.to_columns == [*key]
        });
        if !guessed || leaf.role != 0 || other.role != 0 || leaf.table == other.table {
            continue;
        }
        let (from, to) =
            (ColumnRef::new(leaf.table, *key), ColumnRef::new(other.table, *reference));
        let mut moved = query.clone();
        let replace = |it: &mut Expr| {
            if *it == Expr::Column(from) {
                *it = Expr::Column(to);
            }
        };
        moved.select.iter_mut().for_each(replace);
        moved.group.iter_mut().for_each(replace);
        moved.per.iter_mut().for_each(replace);
        moved.order.iter_mut().for_each(|it| replace(&mut it.by));
        for it in &mut moved.filter {
            if let Predicate::Compare(left, _, _) = it {
                replace(left);
            }
        }
        // that there is such a row is said where nothing of it is shown
        if moved == *query {
            continue;
        }
        moved.also.retain(|it| *it != leaf.table);
        if moved.root == Some(leaf.table) {
            moved.root = Some(other.table);
        }
        if moved.instances().iter().any(|it| it.0 == leaf.table) {
            continue;
        }
        *query = moved;
        return;
    }
}

/// Numbers of their own, none of which reads a row of the query around them: one row.
pub(super) fn free_of_rows(query: &mut LogicalQuery) {
    let mut read = !query.filter.is_empty() || !query.group.is_empty() || !query.order.is_empty();
    for it in &query.select {
        read |= it.is_aggregate() || matches!(it, Expr::Everything(_));
        it.columns(&mut |_| read = true);
    }
    if !read && !query.select.is_empty() {
        query.root = None;
        query.also.clear();
        query.distinct = false;
    }
}

/// `how long is the Rhine`, where a table has a row for each country that a river flows through: its length once.
pub(super) fn named_once(index: &SchemaIndex, query: &mut LogicalQuery) {
    let Some(root) = query.root else { return };
    let table = &index.tables[root];
    let plain = query.group.is_empty()
        && query.limit.is_none()
        && query.order.is_empty()
        && query.per.is_empty()
        && query.set.is_none()
        && query.instances().len() == 1;
    let [name] = table.display.as_slice() else { return };
    let several = table.primary.len() > 1 && table.primary.contains(name) && !table.bridge;
    let named = query.filter.iter().any(|it| {
        matches!(it, Predicate::Compare(Expr::Column(it), Comparison::Equal, Expr::Literal(_))
            if (it.table, it.column) == (root, *name))
    });
    let shown = query
        .select
        .iter()
        .all(|it| matches!(it, Expr::Column(it) if !table.primary.contains(&it.column)));
    query.distinct |= plain && several && named && shown;
}

#[cfg(test)]
mod tests {
    use plinth_schema_introspect::{Samples, TypeClass};

    use crate::{index::SchemaIndex, testing};

    /// `owners (id, first, town)` and `boats (id, owner_id, maker, town)`.
    fn index() -> SchemaIndex {
        use TypeClass::{Integer, Text};
        let owners =
            testing::keyed(1, "owners", &[("id", Integer), ("first", Text), ("town", Text)]);
        let mut boats = testing::keyed(
            2,
            "boats",
            &[("id", Integer), ("owner_id", Integer), ("maker", Text), ("town", Text)],
        );
        boats.foreign_keys.push(testing::reference(1, 1));
        boats.columns[2].samples =
            Some(Samples { values: vec!["Alo".to_owned(), "Bly".to_owned()], complete: true });
        testing::index(vec![owners, boats])
    }

    #[test]
    fn what_is_listed_is_shown_though_a_condition_holds_it() {
        let sql =
            testing::reading(&index(), "Show the maker and town of boats whose maker is \"Alo\".")
                .sql;
        assert!(sql.contains("maker, town"), "{sql}");
    }

    #[test]
    fn a_reference_that_groups_are_shown_by_is_their_key() {
        let sql = testing::reading(
            &index(),
            "How many boats does each owner have? List the owner id and the number.",
        )
        .sql;
        assert!(!sql.contains("b.owner_id, ") || sql.contains("GROUP BY b.owner_id"), "{sql}");
    }

    /// `sailors (id, name, town, age)` and `trips (id, sailor_id, name, town)`.
    fn sailing() -> SchemaIndex {
        use TypeClass::{Integer, Text};
        let columns = [("id", Integer), ("name", Text), ("town", Text), ("age", Integer)];
        let mut sailors = testing::keyed(1, "sailors", &columns);
        sailors.columns[2].samples =
            Some(Samples { values: vec!["Kiel".to_owned(), "Vigo".to_owned()], complete: true });
        let columns = [("id", Integer), ("sailor_id", Integer), ("name", Text), ("town", Text)];
        let mut trips = testing::keyed(2, "trips", &columns);
        trips.foreign_keys.push(testing::reference(1, 1));
        testing::index(vec![sailors, trips])
    }

    #[test]
    fn what_only_says_of_which_kind_a_value_is_is_not_shown() {
        let sql =
            testing::reading(&sailing(), "Show the names of trips of sailors from town \"Kiel\".")
                .sql;
        let shown = sql.split(" FROM ").next().unwrap_or_default();
        assert!(!shown.contains("town") && shown.contains("name"), "{sql}");
    }

    #[test]
    fn what_is_compared_where_it_is_named_is_not_shown() {
        let sql = testing::reading(
            &sailing(),
            "What is the name of the trip in which sailor's age is older than 18?",
        )
        .sql;
        let shown = sql.split(" FROM ").next().unwrap_or_default();
        assert!(!shown.contains("age") && sql.contains("age > 18"), "{sql}");
        let sql = testing::reading(&sailing(), "Show the age of sailors older than 18.").sql;
        assert!(sql.split(" FROM ").next().unwrap_or_default().contains("age"), "{sql}");
    }
}
