//! Makes a logical query of a draft: groups for aggregates, what rows are shown by, set operations for conditions that one
//! row cannot meet.

mod apart;
mod believe;
mod lacking;
mod tidy;

use plinth_schema_introspect::TypeClass;

use self::apart::drop_row_groups;
pub(crate) use self::apart::tells_rows_apart;
use self::believe::{add_up, count_events, count_rows_of_fixed, order_by_named, show_what_ranks};
use self::lacking::without_any;
use self::tidy::{
    count_once, count_rows_of_groups, distinct_kinds, drop_fixed, drop_key_leaf, drop_repeated,
    drop_told, free_of_rows, known_keys, named_once, shown_once, unify_keys,
};
use crate::{
    index::SchemaIndex,
    interpret::{Asked, Condition, Draft, GroupKey, Interpreter, Note, OrderBy},
    lexicon::LEXICON,
    logical::{
        Aggregate, ColumnRef, Comparison, Expr, Literal, LogicalQuery, OrderKey, Predicate,
        SetOperation,
    },
};

/// The query of that draft; `None` if nothing was asked.
pub(crate) fn assemble(
    index: &SchemaIndex,
    reader: &mut Interpreter<'_>,
    mut draft: Draft,
) -> Option<LogicalQuery> {
    let root = draft.root?;
    implied(index, reader, &mut draft, root);
    reader.count_groups(&mut draft);
    tallies(index, &mut draft);
    Interpreter::relax_groups(&mut draft);
    if draft.asked.is_empty() {
        draft.ask(Asked::Rows(root));
    }
    let mut query = LogicalQuery {
        root: Some(root),
        distinct: draft.distinct,
        outer: draft.outer,
        ..LogicalQuery::default()
    };
    let mut groups: Vec<Expr> = Vec::new();
    let mut shown: Vec<Expr> = Vec::new();
    for group in &draft.groups {
        if let GroupKey::Parent(table) = group {
            if *table != root && !query.also.contains(table) {
                query.also.push(*table);
            }
            let own = index.edges_of[*table].iter().copied();
            query.edges.extend(own.filter(|it| index.edges[*it].from == index.edges[*it].to));
        }
        for expr in key(index, group) {
            if !groups.contains(&expr) {
                groups.push(expr);
            }
        }
        // `the account id and the number of … for each account`: by what each is shown is said
        let said = matches!(group, GroupKey::Rows(_))
            && draft.asked.iter().any(|it| {
                let Asked::Column(it) = it else { return false };
                let Some(key) = (match index.tables[group.table()].primary.as_slice() {
                    [key] => Some(*key),
                    _ => None,
                }) else {
                    return false;
                };
                (it.table, it.column) == (group.table(), key)
                    || index.edges_from(it.table).any(|edge| {
                        edge.from_columns == [it.column]
                            && edge.to == group.table()
                            && edge.to_columns == [key]
                    })
            });
        // `How many students are in each department?`: by the code that people know it by, unless more of it is asked for
        let more = draft
            .asked
            .iter()
            .any(|it| matches!(it, Asked::Column(it) if it.table == group.table()));
        let coded = matches!(group, GroupKey::Rows(_)) && !more && is_coded(index, group.table());
        if coded && !said {
            shown.extend(key(index, group));
        } else if !said {
            shown.extend(label(index, group));
        }
    }
    // groups that conditions and rankings speak of
    let mut extra: Vec<GroupKey> = Vec::new();
    for (condition, _) in &draft.conditions {
        if let Condition::Group { of, having, joins } = condition {
            if !extra.contains(of) {
                extra.push(of.clone());
            }
            query.having.push(having.clone());
            if let Some(table) = joins
                && !query.also.contains(table)
            {
                query.also.push(*table);
            }
        }
    }
    if let Some(of) = &draft.ranked
        && !extra.contains(of)
    {
        extra.push(of.clone());
    }
    let aggregate_order = draft.order.iter().any(|it| match &it.by {
        OrderBy::Count(_) => true,
        OrderBy::Expr(expr) => expr.is_aggregate(),
        OrderBy::First => false,
    });
    if aggregate_order && extra.is_empty() && groups.is_empty() {
        extra.push(reader.subject_of(&draft));
    }
    let counting_groups = !extra.is_empty() && draft.groups.is_empty();
    for group in &extra {
        for expr in key(index, group) {
            if !groups.contains(&expr) {
                groups.push(expr);
            }
        }
    }
    let mut counted: Vec<(usize, Option<usize>)> = Vec::new();
    for asked in &draft.asked {
        match asked {
            Asked::Column(it) => query.select.push(Expr::Column(*it)),
            Asked::Rows(table) => {
                for column in &index.tables[*table].display {
                    query.select.push(Expr::Column(ColumnRef::new(*table, *column)));
                }
            }
            Asked::Everything(table) => query.select.push(Expr::Everything(*table)),
            Asked::Count { table, column, distinct } => {
                let expr = match (column, distinct, table) {
                    (Some(column), _, _) => Expr::Aggregate {
                        function: Aggregate::Count,
                        distinct: true,
                        argument: Some(Box::new(Expr::Column(*column))),
                        filter: None,
                    },
                    (None, true, Some(table))
                        if !index.tables[*table].primary.is_empty()
                            && index.tables[*table].primary.len() == 1
                            && draft.conditions.len() + draft.joins.len() > 0 =>
                    {
                        Expr::Aggregate {
                            function: Aggregate::Count,
                            distinct: true,
                            argument: Some(Box::new(Expr::Column(ColumnRef::new(
                                *table,
                                index.tables[*table].primary[0],
                            )))),
                            filter: None,
                        }
                    }
                    _ => Expr::count(),
                };
                if let Some(table) = table
                    && *table != root
                    && !query.also.contains(table)
                {
                    query.also.push(*table);
                }
                counted.push((query.select.len(), *table));
                query.select.push(expr);
            }
            Asked::Aggregate(function, expr) => {
                query.select.push(Expr::aggregate(*function, expr.clone()));
            }
            Asked::Expr(expr) => query.select.push(expr.clone()),
        }
    }
    // `the top 3 products by price`: what makes them so stands behind them
    let topped = reader.items.iter().any(|it| it.lower == "top" && it.is_word())
        && draft.limit.is_some_and(|it| it > 1)
        && !draft.aggregates()
        && draft.groups.is_empty()
        && draft.asked.iter().all(|it| match it {
            Asked::Rows(_) => true,
            Asked::Column(it) => draft.ranked == Some(GroupKey::Column(*it)),
            _ => false,
        });
    if let [only] = draft.order.as_slice()
        && topped
    {
        let by = match &only.by {
            OrderBy::Expr(expr) => Some(expr.clone()),
            OrderBy::Count(_) => Some(Expr::count()),
            OrderBy::First => None,
        };
        query.select.extend(by.filter(|it| !query.select.contains(it)));
    }
    // `how many … have more than 3 …`: the groups themselves are counted
    if counting_groups
        && draft.asked.iter().all(|it| matches!(it, Asked::Count { .. }))
        && draft.order.is_empty()
    {
        return counted_groups(index, &draft, query, &extra);
    }
    if !draft.groups.is_empty() && (!draft.per_group || !shown.is_empty()) {
        let mut all = Vec::new();
        for it in shown {
            if !query.select.contains(&it) && !all.contains(&it) {
                all.push(it);
            }
        }
        all.extend(std::mem::take(&mut query.select));
        query.select = all;
    } else if draft.aggregates() {
        // a plain column beside an aggregate: one row for each of its values
        let plain: Vec<Expr> =
            query.select.iter().filter(|it| !it.is_aggregate()).cloned().collect();
        if !plain.is_empty() && groups.is_empty() {
            for expr in &plain {
                if let Expr::Column(column) = expr {
                    let table = &index.tables[column.table];
                    if table.display.contains(&column.column)
                        && table.primary.len() == 1
                        && index.tables.len() > 1
                    {
                        let id = Expr::Column(ColumnRef::new(column.table, table.primary[0]));
                        let counted_here = draft.asked.iter().all(|it| match it {
                            Asked::Count { table, .. } => *table == Some(column.table),
                            Asked::Aggregate(_, Expr::Column(it)) => it.table == column.table,
                            _ => true,
                        });
                        if !counted_here && !groups.contains(&id) {
                            groups.push(id);
                        }
                    }
                    if !groups.contains(expr) {
                        groups.push(expr.clone());
                    }
                }
            }
        }
    }
    query.filter = Interpreter::rows(&draft.conditions);
    for table in &draft.joins {
        if *table != root && !query.also.contains(table) && !nested_only(&query, *table) {
            query.also.push(*table);
        }
    }
    for it in &draft.order {
        match &it.by {
            OrderBy::Expr(expr) => {
                // of groups a bare column has no single value
                let by = expr.clone();
                query.order.push(OrderKey { by, descending: it.descending });
            }
            OrderBy::Count(table) => {
                if let Some(table) = table
                    && *table != root
                    && !query.also.contains(table)
                {
                    query.also.push(*table);
                }
                query.order.push(OrderKey { by: Expr::count(), descending: it.descending });
            }
            OrderBy::First => {
                // `how many of each, in ascending order`: by how many, where no letters are spoken of
                let lettered = reader
                    .items
                    .iter()
                    .any(|it| it.lower.contains("alphabet") || it.lower.contains("lexicograph"));
                let number = query.select.iter().find(|it| it.is_aggregate() && !lettered);
                if let Some(first) = number
                    .or_else(|| query.select.iter().find(|it| !matches!(it, Expr::Everything(_))))
                {
                    query.order.push(OrderKey { by: first.clone(), descending: it.descending });
                }
            }
        }
    }
    if groups.is_empty() {
        count_once(index, reader, &mut query, &counted);
    }
    // what only a nested query speaks of is not what the question is about
    let read = |table: usize| {
        let mut read = false;
        let mut note = |it: ColumnRef| read |= it.table == table;
        query.select.iter().for_each(|it| it.columns(&mut note));
        query.filter.iter().for_each(|it| it.columns(&mut note));
        query.order.iter().for_each(|it| it.by.columns(&mut note));
        query.having.iter().for_each(|it| it.columns(&mut note));
        read
    };
    if nested_only(&query, root)
        && !read(root)
        && let Some(Expr::Column(first)) = query.select.first()
        && first.table != root
    {
        query.root = Some(first.table);
    }
    query.limit = draft.limit;
    if draft.per_group {
        query.per = std::mem::take(&mut groups);
    }
    if !groups.is_empty() {
        // what is shown and ordered by must be among the groups or follow from them
        let keyed: Vec<(usize, u8)> = groups
            .iter()
            .filter_map(|it| match it {
                Expr::Column(it)
                    if index.tables[it.table].declared_key
                        && index.tables[it.table].is_keyed_by(it.column) =>
                {
                    Some((it.table, it.role))
                }
                _ => None,
            })
            .collect();
        let mut missing = Vec::new();
        for it in query.select.iter().chain(query.order.iter().map(|it| &it.by)) {
            if it.is_aggregate() || groups.contains(it) || missing.contains(it) {
                continue;
            }
            match it {
                Expr::Column(column) if keyed.contains(&(column.table, column.role)) => {}
                Expr::Column(_) | Expr::Bucket(..) | Expr::Part(..) => missing.push(it.clone()),
                _ => {}
            }
        }
        let only_distinct = !query.select.iter().any(Expr::is_aggregate)
            && query.having.is_empty()
            && !query.order.iter().any(|it| it.by.is_aggregate());
        if !only_distinct || !draft.groups.is_empty() {
            groups.extend(missing);
        }
        query.group = groups;
        if query.select.iter().any(|it| matches!(it, Expr::Everything(_))) {
            // `t.*` beside a group by its key is fine; by anything else it is not
            reader.notes.push(Note::Doubt("everything of groups"));
        }
    } else if query.order.iter().any(|it| it.by.is_aggregate())
        && !query.select.iter().any(Expr::is_aggregate)
    {
        query.order.retain(|it| !it.by.is_aggregate());
    }
    if query.distinct && !query.order.is_empty() {
        // DISTINCT can only be ordered by what is shown
        let hidden = query.order.iter().any(|it| !query.select.contains(&it.by));
        if hidden {
            if query.group.is_empty() && query.limit.is_none() {
                query.group =
                    query.select.iter().filter(|it| !it.is_aggregate()).cloned().collect();
                for it in &query.order {
                    if !it.by.is_aggregate() && !query.group.contains(&it.by) {
                        query.group.push(it.by.clone());
                    }
                }
            }
            query.distinct = false;
        }
    }
    if query.distinct && query.select.iter().all(Expr::is_aggregate) {
        query.distinct = false;
        for it in &mut query.select {
            if let Expr::Aggregate {
                function: Aggregate::Count, distinct, argument: Some(_), ..
            } = it
            {
                *distinct = true;
            }
        }
    }
    count_events(index, reader, &mut query);
    count_rows_of_fixed(&mut query);
    order_by_named(index, reader, &mut query);
    show_what_ranks(reader, &mut query);
    add_up(index, reader, &mut query);
    count_rows_of_groups(&mut query);
    drop_repeated(index, &mut query);
    distinct_kinds(index, reader, &mut query);
    unify_keys(index, &mut query);
    drop_row_groups(index, &mut query);
    drop_key_leaf(index, &mut query);
    drop_told(index, reader, &draft, &mut query);
    drop_fixed(reader, &draft, &mut query);
    shown_once(index, reader, &mut query);
    named_once(index, &mut query);
    known_keys(index, &mut query);
    without_any(index, reader, &mut query);
    if let Some(from) = draft.percentage {
        percentage(&mut query, from);
    }
    free_of_rows(&mut query);
    Some(intersected(index, &draft, query))
}

/// `how many check-ins`, where each row of them says how many it stands for: those numbers together.
fn tallies(index: &SchemaIndex, draft: &mut Draft) {
    let tally = |table: usize| index.tally(table).map(Expr::Column);
    for it in &mut draft.asked {
        if let Asked::Count { table: Some(table), column: None, distinct: false } = it
            && let Some(number) = tally(*table)
        {
            *it = Asked::Aggregate(Aggregate::Sum, number);
        }
    }
    for it in &mut draft.order {
        if let OrderBy::Count(Some(table)) = it.by
            && let Some(number) = tally(table)
        {
            it.by = OrderBy::Expr(Expr::aggregate(Aggregate::Sum, number));
        }
    }
}

/// Columns that question words ask for.
fn implied(index: &SchemaIndex, reader: &mut Interpreter<'_>, draft: &mut Draft, root: usize) {
    for word in std::mem::take(&mut draft.implied) {
        let only_rows = draft.asked.iter().all(|it| matches!(it, Asked::Rows(_)));
        if !only_rows {
            continue;
        }
        let mut found = None;
        for name in LEXICON.implied(word) {
            let stem = LEXICON.stem(name);
            found = index.tables[root]
                .columns
                .iter()
                .position(|it| {
                    it.has_word(&stem)
                        && !it.is_id()
                        && (word != "when"
                            || it.class.is_temporal()
                            || it.class == TypeClass::Text
                            || it.class == TypeClass::Integer
                            || it.class == TypeClass::Time)
                })
                .map(|it| ColumnRef::new(root, it));
            if found.is_some() {
                break;
            }
        }
        if word == "when" && found.is_none() {
            found = reader.moment_of(root, None);
        }
        if let Some(column) = found {
            draft.asked.clear();
            draft.ask(Asked::Column(column));
        }
    }
}

/// What a group is told apart by.
fn key(index: &SchemaIndex, group: &GroupKey) -> Vec<Expr> {
    match group {
        GroupKey::Column(it) => vec![Expr::Column(*it)],
        GroupKey::Rows(table) => {
            let info = &index.tables[*table];
            // a river with a row for each country is one river
            let several = info.primary.len() > 1
                && !info.bridge
                && info.display.iter().all(|it| info.primary.contains(it));
            let columns =
                if info.primary.is_empty() || several { &info.display } else { &info.primary };
            columns.iter().map(|it| Expr::Column(ColumnRef::new(*table, *it))).collect()
        }
        GroupKey::Parent(table) => index.tables[*table]
            .primary
            .iter()
            .map(|it| Expr::Column(ColumnRef { table: *table, column: *it, role: 1 }))
            .collect(),
        GroupKey::Time(unit, it) => vec![Expr::Bucket(*unit, Box::new(Expr::Column(*it)))],
        GroupKey::Part(part, it) => vec![Expr::Part(part, Box::new(Expr::Column(*it)))],
    }
}

/// Whether the key of a table is a text that is called a code: no number that only a database knows.
fn is_coded(index: &SchemaIndex, table: usize) -> bool {
    let info = &index.tables[table];
    matches!(info.primary.as_slice(), [key] if info.columns[*key].class.is_textual()
        && info.columns[*key].words.last().is_some_and(|it| it == "code"))
}

/// What a group is shown by.
fn label(index: &SchemaIndex, group: &GroupKey) -> Vec<Expr> {
    match group {
        GroupKey::Rows(table) => index.tables[*table]
            .display
            .iter()
            .map(|it| Expr::Column(ColumnRef::new(*table, *it)))
            .collect(),
        GroupKey::Parent(table) => index.tables[*table]
            .display
            .iter()
            .map(|it| Expr::Column(ColumnRef { table: *table, column: *it, role: 1 }))
            .collect(),
        _ => key(index, group),
    }
}

/// `SELECT count(*) … WHERE id IN (SELECT id … GROUP BY id HAVING …)`
fn counted_groups(
    index: &SchemaIndex,
    draft: &Draft,
    query: LogicalQuery,
    extra: &[GroupKey],
) -> Option<LogicalQuery> {
    let group = extra.first()?;
    let keys = key(index, group);
    let columns: Vec<ColumnRef> = keys
        .iter()
        .filter_map(|it| match it {
            Expr::Column(it) => Some(*it),
            _ => None,
        })
        .collect();
    let table = group.table();
    // keys of the table that is counted, looked up where the rows that belong to it stand
    let nested = LogicalQuery {
        select: keys.clone(),
        root: Some(table),
        also: query
            .also
            .iter()
            .copied()
            .chain(draft.joins.iter().copied())
            .filter(|it| *it != table)
            .collect(),
        filter: Interpreter::rows(&draft.conditions),
        group: keys,
        having: query.having,
        ..LogicalQuery::default()
    };
    Some(LogicalQuery {
        select: vec![if matches!(group, GroupKey::Rows(_)) {
            Expr::count()
        } else {
            Expr::Aggregate {
                function: Aggregate::Count,
                distinct: true,
                argument: Some(Box::new(Expr::Column(columns[0]))),
                filter: None,
            }
        }],
        root: Some(table),
        filter: vec![Predicate::InQuery { columns, query: Box::new(nested), negated: false }],
        ..LogicalQuery::default()
    })
}

/// Whether a table only stands inside nested queries.
fn nested_only(query: &LogicalQuery, table: usize) -> bool {
    query.filter.iter().any(|it| {
        matches!(it, Predicate::InQuery { query, .. } if query.root == Some(table) || query.also.contains(&table))
    }) && !query.filter.iter().any(|it| {
        let mut reads = false;
        it.columns(&mut |column| reads |= column.table == table);
        reads
    })
}

/// The share of rows that meet the conditions.
fn percentage(query: &mut LogicalQuery, from: usize) {
    if query.filter.len() <= from {
        return;
    }
    let part: Vec<Predicate> = query.filter.split_off(from);
    let filter = if part.len() == 1 { part[0].clone() } else { Predicate::And(part) };
    let some = Expr::Aggregate {
        function: Aggregate::Count,
        distinct: false,
        argument: None,
        filter: Some(Box::new(filter)),
    };
    query.select.retain(|it| query.group.contains(it));
    query.select.push(Expr::Percentage(Box::new(some), Box::new(Expr::count())));
}

/// Conditions on one column that no row can meet at once are meant of different rows: "from both France and Spain".
fn intersected(index: &SchemaIndex, draft: &Draft, query: LogicalQuery) -> LogicalQuery {
    let _ = index;
    if query.select.iter().any(Expr::is_aggregate) && query.group.is_empty()
        || query.limit.is_some()
    {
        // a number over rows: one of them suffices
        return either(index, query);
    }
    let Some((first, second)) = contradiction(index, &query.filter) else { return query };
    let _ = draft;
    let mut left = query.clone();
    let mut right = query;
    left.filter.remove(second);
    right.filter.remove(first);
    left.order.clear();
    right.order.clear();
    left.distinct = false;
    right.distinct = false;
    left.set = Some((SetOperation::Intersect, Box::new(right)));
    left
}

fn either(index: &SchemaIndex, mut query: LogicalQuery) -> LogicalQuery {
    if let Some((first, second)) = contradiction(index, &query.filter) {
        let right = query.filter.remove(second);
        let left = query.filter.remove(first);
        query.filter.insert(first, Predicate::Or(vec![left, right]));
    }
    query
}

/// Two conditions that no row meets at once.
fn contradiction(index: &SchemaIndex, all: &[Predicate]) -> Option<(usize, usize)> {
    for (at, one) in all.iter().enumerate() {
        for (other, two) in all.iter().enumerate().skip(at + 1) {
            let (Predicate::Compare(a, how, x), Predicate::Compare(b, as_well, y)) = (one, two)
            else {
                continue;
            };
            // a list may hold both
            let list = matches!(a, Expr::Column(it) if index.column(*it).class == TypeClass::Array);
            if a != b || list {
                continue;
            }
            let equal = *how == Comparison::Equal && *as_well == Comparison::Equal && x != y;
            let apart = match (x, y) {
                (Expr::Literal(Literal::Number(x)), Expr::Literal(Literal::Number(y))) => {
                    let above =
                        |it: Comparison| matches!(it, Comparison::Greater | Comparison::AtLeast);
                    let below =
                        |it: Comparison| matches!(it, Comparison::Less | Comparison::AtMost);
                    above(*how) && below(*as_well) && x >= y
                        || below(*how) && above(*as_well) && x <= y
                }
                _ => false,
            };
            if equal || apart {
                return Some((at, other));
            }
        }
    }
    None
}
