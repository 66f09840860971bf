//! What nobody can have meant: moments that are counted instead of what happened then, a count of what is one by condition,
//! keys among what is sorted by; and what is asked for at the end though it is only ranked by.

use crate::{
    index::SchemaIndex,
    interpret::Interpreter,
    lexicon::LEXICON,
    link::{Meaning, is_question_word},
    logical::{Aggregate, ColumnRef, Comparison, Expr, LogicalQuery, Predicate},
};

/// `at least 200 trips started`: trips, not the moments at which they did, unless days or the like are spoken of.
pub(super) fn count_events(
    index: &SchemaIndex,
    reader: &Interpreter<'_>,
    query: &mut LogicalQuery,
) {
    let moments = reader.items.iter().any(|it| {
        it.lower.split(' ').any(|word| {
            ["date", "day", "year", "month", "week", "hour", "when", "moment"]
                .iter()
                .any(|it| word.starts_with(it))
                || word == "time"
        })
    });
    // `how many different starts`: the moments after all
    let different = reader
        .items
        .iter()
        .any(|it| it.lower.split(' ').any(|it| matches!(it, "different" | "distinct" | "unique")));
    if moments || different {
        return;
    }
    count_rows(
        query,
        &|it| matches!(it, Expr::Column(it) if index.column(*it).class.is_temporal()),
    );
}

/// `how many neighbours does A have`, where A is a value of what is counted: its rows.
pub(super) fn count_rows_of_fixed(query: &mut LogicalQuery) {
    let fixed: Vec<Expr> = query
        .filter
        .iter()
        .filter_map(|it| match it {
            Predicate::Compare(column @ Expr::Column(_), Comparison::Equal, Expr::Literal(_)) => {
                Some(column.clone())
            }
            _ => None,
        })
        .collect();
    if query.instances().len() > 1 {
        count_rows(query, &|it| fixed.contains(it));
    }
}

/// Makes a count of rows of every count of different values of such an expression.
fn count_rows(query: &mut LogicalQuery, of: &impl Fn(&Expr) -> bool) {
    let counted = |it: &mut Expr| {
        let such = matches!(it, Expr::Aggregate {
            function: Aggregate::Count,
            distinct: true,
            argument: Some(argument),
            filter: None,
        } if of(argument));
        if such {
            *it = Expr::count();
        }
    };
    query.select.iter_mut().for_each(counted);
    query.order.iter_mut().for_each(|it| counted(&mut it.by));
    for it in &mut query.having {
        if let Predicate::Compare(left, ..) = it {
            counted(left);
        }
    }
}

/// `in descending order of days held`, where orders are a table: by what is named, not by a key that nobody named.
pub(super) fn order_by_named(
    index: &SchemaIndex,
    reader: &Interpreter<'_>,
    query: &mut LogicalQuery,
) {
    let said = reader.items.iter().any(|it| {
        it.lower.split(' ').any(|it| {
            matches!(it, "id" | "ids" | "number" | "numbers" | "code" | "codes" | "identifier")
        })
    });
    // nor one whose own word is said: `by rider and distance`; where rows of riders are listed it says of which
    let spoken = |column: ColumnRef| {
        let table = &index.tables[column.table].words;
        index.column(column).words.iter().filter(|it| !table.contains(it)).any(|own| {
            let stem = LEXICON.stem(own);
            reader.tokens.iter().any(|it| {
                it.stem == stem && !is_question_word(&it.lower) && !LEXICON.is_stop(&it.lower)
            })
        })
    };
    let key =
        |it: &Expr| matches!(it, Expr::Column(it) if index.column(*it).is_id() && !spoken(*it));
    if said || query.order.iter().all(|it| key(&it.by)) {
        return;
    }
    query.order.retain(|it| !key(&it.by));
}

/// `the ids of players and the number of hours played`, where a player has several rows of hours: their sum for each player.
/// The same for what is ranked by: `the maker with the highest total price of its cars`.
pub(super) fn add_up(index: &SchemaIndex, reader: &Interpreter<'_>, query: &mut LogicalQuery) {
    let plain = query.group.is_empty()
        && query.per.is_empty()
        && query.set.is_none()
        && !query.select.iter().any(Expr::is_aggregate)
        && !query.order.iter().any(|it| it.by.is_aggregate());
    if !plain || query.order.len() > 1 || query.instances().iter().any(|it| it.1 != 0) {
        return;
    }
    // `number of hours`, `total hours`
    let said = |of: ColumnRef| {
        (1..reader.items.len()).any(|at| {
            let named = matches!(&reader.items[at].meaning, Meaning::Name(links)
                if links.iter().any(|it| (it.table, it.column) == (of.table, Some(of.column))));
            let back = |by: usize| at.checked_sub(by).map_or("", |it| reader.word(it));
            let numbered = back(1) == "of" && matches!(back(2), "number" | "numbers");
            named && (back(1) == "total" || numbered || back(1) == "number of")
        })
    };
    let number = query.select.iter().chain(query.order.iter().map(|it| &it.by)).find_map(|it| {
        let Expr::Column(it) = it else { return None };
        let info = index.column(*it);
        (info.class.is_numeric() && !info.is_id() && said(*it)).then_some(*it)
    });
    let Some(number) = number else { return };
    let mut owners: Vec<ColumnRef> = Vec::new();
    for it in &query.select {
        match it {
            Expr::Column(it) if *it != number => owners.push(*it),
            Expr::Column(_) => {}
            _ => return,
        }
    }
    let Some(owner) = owners.first().map(|it| it.table) else { return };
    let [key] = index.tables[owner].primary.as_slice() else { return };
    let several = owner != number.table
        && reader.single(number.table, owner)
        && !reader.single(owner, number.table)
        && owners.iter().all(|it| it.table == owner);
    let other_order = query.order.iter().any(|it| {
        it.by != Expr::Column(number) && !matches!(&it.by, Expr::Column(it) if it.table == owner)
    });
    if !several || other_order {
        return;
    }
    let add = |it: &mut Expr| {
        if *it == Expr::Column(number) {
            *it = Expr::aggregate(Aggregate::Sum, Expr::Column(number));
        }
    };
    query.select.iter_mut().for_each(add);
    query.order.iter_mut().for_each(|it| add(&mut it.by));
    query.group = vec![Expr::Column(ColumnRef::new(owner, *key))];
    let ordered = query.order.iter().filter_map(|it| match &it.by {
        Expr::Column(it) => Some(*it),
        _ => None,
    });
    let follows = index.tables[owner].declared_key;
    for it in owners.into_iter().chain(ordered).filter(|_| !follows) {
        let it = Expr::Column(it);
        if !query.group.contains(&it) {
            query.group.push(it);
        }
    }
    query.distinct = false;
}

/// `which department has the highest average grade, and what is that average grade`: what is ranked by is shown as well.
pub(super) fn show_what_ranks(reader: &Interpreter<'_>, query: &mut LogicalQuery) {
    let count = reader.items.len();
    let asks = |at: &usize| {
        reader.word(*at) == "what"
            && matches!(reader.word(at + 1), "is" | "are" | "was" | "were")
            && (reader.word(at - 1) == "and" || reader.marked(at - 1, ','))
    };
    let Some(from) = (1..count).rev().find(asks) else { return };
    let mut at = from + 2;
    while matches!(
        reader.word(at),
        "the"
            | "their"
            | "its"
            | "his"
            | "her"
            | "that"
            | "those"
            | "these"
            | "this"
            | "average"
            | "mean"
            | "total"
            | "maximum"
            | "minimum"
            | "highest"
            | "lowest"
            | "corresponding"
    ) {
        at += 1;
    }
    let ends = (at + 1..count).all(|it| matches!(reader.items[it].meaning, Meaning::Mark(_)));
    let Some(Meaning::Name(links)) = reader.items.get(at).map(|it| &it.meaning) else { return };
    let named = |of: &Expr| {
        let mut found = false;
        of.columns(&mut |it| {
            found |= links.iter().any(|link| {
                link.table == it.table && link.column.is_none_or(|column| column == it.column)
            });
        });
        found
    };
    let exactly = |of: &Expr| matches!(of, Expr::Column(it) if links.iter().any(|link| link.table == it.table && link.column == Some(it.column)));
    if !ends || query.select.iter().any(|it| exactly(it) || it.is_aggregate()) {
        return;
    }
    let ranks = query.order.iter().map(|it| &it.by).find(|it| named(it)).cloned();
    // `and what is their age`, where only those of some age are shown
    let narrowed = || {
        let plain = query.group.is_empty() && query.set.is_none();
        query.filter.iter().filter(|_| plain).find_map(|it| match it {
            Predicate::Compare(column, comparison, Expr::Literal(_))
                if *comparison != Comparison::Equal && exactly(column) =>
            {
                Some(column.clone())
            }
            _ => None,
        })
    };
    let Some(expr) = ranks.or_else(narrowed) else { return };
    if !query.select.contains(&expr) {
        query.select.push(expr);
    }
}

#[cfg(test)]
mod tests {
    use plinth_schema_introspect::TypeClass;

    use super::{count_events, order_by_named};
    use crate::{
        index::SchemaIndex,
        interpret::Interpreter,
        link::link,
        logical::{Aggregate, ColumnRef, Expr, LogicalQuery, OrderKey},
        testing,
        token::tokenize,
    };

    /// `laps (rider_id, begun_on, metres)`.
    fn index() -> SchemaIndex {
        use TypeClass::{Integer, Timestamp};
        let columns = [("rider_id", Integer), ("begun_on", Timestamp), ("metres", Integer)];
        testing::index(vec![testing::table(1, "laps", &columns)])
    }

    #[test]
    fn numbers_of_several_rows_are_added_up() {
        use TypeClass::{Integer, Text};
        let riders = testing::keyed(1, "riders", &[("id", Integer), ("name", Text)]);
        let columns = [("id", Integer), ("rider_id", Integer), ("metres", Integer)];
        let mut laps = testing::keyed(2, "laps", &columns);
        laps.foreign_keys.push(testing::reference(1, 1));
        let index = testing::index(vec![riders, laps]);
        let sql = |question: &str| testing::reading(&index, question).sql;
        let added = sql("the names of riders and the number of metres");
        assert!(added.contains("sum(l.metres)") && added.contains("GROUP BY r.id"), "{added}");
        let most = sql("Which rider has the highest total metres?");
        assert!(most.contains("ORDER BY sum(l.metres) DESC"), "{most}");
        let each = sql("the ids of laps and the number of metres");
        assert!(!each.contains("sum("), "{each}");
    }

    #[test]
    fn different_moments_are_counted_where_they_are_asked_for() {
        let counted = |question: &str| {
            let mut query = LogicalQuery {
                select: vec![Expr::Aggregate {
                    function: Aggregate::Count,
                    distinct: true,
                    argument: Some(Box::new(Expr::Column(ColumnRef::new(0, 1)))),
                    filter: None,
                }],
                ..LogicalQuery::default()
            };
            let index = index();
            let tokens = tokenize(question);
            let items = link(&index, &tokens, &[]);
            count_events(&index, &Interpreter::new(&index, &items, &tokens), &mut query);
            query.select[0] == Expr::count()
        };
        assert!(counted("laps begun by each rider"));
        assert!(!counted("how many different starts of laps"));
    }

    #[test]
    fn a_key_that_is_named_stays_what_is_sorted_by() {
        let kept = |question: &str| {
            let by = |column| OrderKey {
                by: Expr::Column(ColumnRef::new(0, column)),
                descending: false,
            };
            let mut query = LogicalQuery { order: vec![by(0), by(2)], ..LogicalQuery::default() };
            let index = index();
            let tokens = tokenize(question);
            let items = link(&index, &tokens, &[]);
            order_by_named(&index, &Interpreter::new(&index, &items, &tokens), &mut query);
            query.order.len()
        };
        assert_eq!(kept("laps by metres"), 1);
        assert_eq!(kept("laps by rider and metres"), 2);
    }
}
