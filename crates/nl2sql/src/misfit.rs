//! What a question asks for and its query does not do, or does though nobody can have meant it. Such a reading is asked back.

use crate::{
    index::{ColumnInfo, SchemaIndex},
    link::{Item, Meaning},
    logical::{Aggregate, ColumnRef, Comparison, Expr, Literal, LogicalQuery, Predicate},
    oddity::is_odd,
};

/// Whether a query misses something of its question.
pub(crate) fn misses(index: &SchemaIndex, items: &[Item], query: &LogicalQuery) -> bool {
    is_odd(index, items, query)
        || shares_nothing(items, query)
        || compares_keys(index, items, query)
        || seeks_what_is_never_empty(index, query)
        || orders_one_row(query)
        || counts_twice(query)
        || hides_keys(index, items, query)
        || adds_keys(index, items, query)
        || forgets_one(items, query)
        || shows_unasked(index, items, query)
}

fn words(it: &Item) -> impl Iterator<Item = &str> {
    it.lower.split(' ')
}

/// `in the same department as Clara`: hers is found by a query of its own.
fn shares_nothing(items: &[Item], query: &LogicalQuery) -> bool {
    let says = |word: &str| items.iter().position(|it| it.is_word() && it.lower == word);
    let compared = says("same")
        .is_some_and(|at| items[at..].iter().take(5).any(|it| it.is_word() && it.lower == "as"));
    let mut parts = 0;
    query.each(&mut |_| parts += 1);
    let twice = query.instances().iter().any(|it| it.1 != 0);
    compared && parts == 1 && !twice && query.group.is_empty()
}

fn is_bound(it: Comparison) -> bool {
    matches!(it, Comparison::Less | Comparison::Greater | Comparison::AtLeast | Comparison::AtMost)
}

/// `managing 4 or more employees` as a manager's key of 4 or more: a key has no size, unless somebody speaks of keys right before.
fn compares_keys(index: &SchemaIndex, items: &[Item], query: &LogicalQuery) -> bool {
    let spoken = items.iter().enumerate().any(|(at, it)| {
        let key = |it: &str| {
            matches!(
                it,
                "id" | "ids" | "number" | "numbers" | "code" | "codes" | "key" | "identifier"
            )
        };
        let sized =
            || items[at + 1..].iter().take(5).any(|it| matches!(it.meaning, Meaning::Number(..)));
        words(it).any(key) && sized()
    });
    let mut compared = false;
    query.each(&mut |part| {
        compared |= part.filter.iter().any(|it| {
            matches!(it, Predicate::Compare(Expr::Column(column), how, Expr::Literal(Literal::Number(_)))
                if is_bound(*how) && is_mere_key(index, items, *column))
        });
    });
    compared && !spoken
}

/// Whether a number only says which row is meant. What refers to a figure (`level` of a table of levels) and is named is one.
fn is_mere_key(index: &SchemaIndex, items: &[Item], column: ColumnRef) -> bool {
    let info = index.column(column);
    let called = |it: &ColumnInfo| {
        it.words
            .iter()
            .any(|it| matches!(it.as_str(), "id" | "uuid" | "key" | "code" | "number" | "no"))
    };
    let named = items.iter().any(|it| {
        matches!(&it.meaning, Meaning::Name(links)
            if links.first().is_some_and(|it| (it.table, it.column) == (column.table, Some(column.column))))
    });
    let of_figure = || {
        index.edges_of[column.table].iter().map(|at| &index.edges[*at]).any(|it| {
            it.from == column.table
                && it.from_columns == [column.column]
                && matches!(it.to_columns.as_slice(), [to]
                    if !called(&index.tables[it.to].columns[*to]))
        })
    };
    info.is_id() && !(info.foreign && !info.primary && named && !called(info) && of_figure())
}

/// Whether rows are sought where something is empty that never is: a column that must be filled, or that says `no` itself.
fn seeks_what_is_never_empty(index: &SchemaIndex, query: &LogicalQuery) -> bool {
    let never = |it: &Predicate| {
        let Predicate::Null { column, negated: false } = it else { return false };
        let info = index.column(*column);
        let has = |said: &str| info.values.iter().any(|it| it.eq_ignore_ascii_case(said));
        // among initials `N` denies nothing, nor does `NO` among codes of countries
        let codes =
            info.values.len() > 1 && info.values.iter().all(|it| it.len() < 4) && !has("yes");
        let denies = has("none")
            || has("no") && !codes
            || [("n", "y"), ("false", "true")].iter().any(|it| has(it.0) && has(it.1));
        info.primary || info.defined.is_none() && info.key.is_none() && !info.nullable || denies
    };
    let mut found = false;
    query.each(&mut |part| found |= !part.outer && part.filter.iter().any(never));
    found
}

/// One number over all rows has no order.
fn orders_one_row(query: &LogicalQuery) -> bool {
    query.group.is_empty()
        && query.per.is_empty()
        && !query.order.is_empty()
        && !query.select.is_empty()
        && query.select.iter().all(Expr::is_aggregate)
}

/// `names of members and their clubs` without the clubs; `how many are red and how many are blue` as one number.
fn forgets_one(items: &[Item], query: &LogicalQuery) -> bool {
    let counted = query.select.iter().any(Expr::is_aggregate);
    let asked = items
        .windows(2)
        .filter(|it| it[0].lower == "how" && it[1].lower == "many" || it[0].lower == "how many")
        .count();
    if asked > 1 && counted && query.select.len() == 1 {
        return true;
    }
    if counted || query.source.is_some() || query.select.is_empty() {
        return false;
    }
    let mut shown: Vec<usize> = Vec::new();
    query.select.iter().for_each(|it| match it {
        Expr::Everything(table) => shown.push(*table),
        _ => it.columns(&mut |it| shown.push(it.table)),
    });
    let mut read: Vec<usize> = shown.clone();
    query.filter.iter().for_each(|it| it.columns(&mut |it| read.push(it.table)));
    query.order.iter().for_each(|it| it.by.columns(&mut |it| read.push(it.table)));
    let tables = query.instances();
    items.iter().enumerate().any(|(at, it)| {
        if it.lower != "and" || !it.is_word() {
            return false;
        }
        let thing = items[at + 1..].iter().take(4).find(|it| {
            !matches!(it.lower.as_str(), "the" | "their" | "its" | "corresponding" | "all" | "each")
        });
        thing.is_some_and(|it| {
            let of_one = matches!(
                items[at + 1].lower.as_str(),
                "the" | "their" | "its" | "each" | "corresponding"
            ) || it.lower != it.lemma;
            of_one
                && matches!(&it.meaning, Meaning::Name(links) if links.first().is_some_and(|link| {
                    link.column.is_none()
                        && link.score > 0.8
                        && tables.iter().any(|it| it.0 == link.table)
                        && !read.contains(&link.table)
                }))
        })
    })
}

/// Keys have no sum and no mean.
fn adds_keys(index: &SchemaIndex, items: &[Item], query: &LogicalQuery) -> bool {
    query.select.iter().any(|it| {
        matches!(it, Expr::Aggregate { function: Aggregate::Sum | Aggregate::Avg, argument: Some(of), .. }
            if matches!(of.as_ref(), Expr::Column(it) if is_mere_key(index, items, *it)))
    })
}

/// Beside what was asked for something is shown that only stands for the rows of a table without a name, and nobody named it.
fn shows_unasked(index: &SchemaIndex, items: &[Item], query: &LogicalQuery) -> bool {
    let mut tables: Vec<usize> = Vec::new();
    query.select.iter().for_each(|it| it.columns(&mut |it| tables.push(it.table)));
    let named = |table: usize, column: usize| {
        items.iter().any(|it| {
            matches!(&it.meaning, Meaning::Name(links)
                if links.iter().any(|it| (it.table, it.column) == (table, Some(column))))
        })
    };
    // whose rows are asked for by the first thing that is named: `tickets with their customers`
    let led = items.iter().find_map(|it| match &it.meaning {
        Meaning::Name(links) => links.first(),
        _ => None,
    });
    let led = led.filter(|it| it.column.is_none() && it.score > 0.8).map(|it| it.table);
    query.select.iter().any(|it| {
        let Expr::Column(it) = it else { return false };
        let table = &index.tables[it.table];
        let called = index.column(*it).words.iter().any(|it| {
            matches!(
                it.as_str(),
                "name" | "title" | "label" | "code" | "number" | "description" | "detail"
            ) || table.words.contains(it)
        });
        table.display == [it.column]
            && !called
            && led != Some(it.table)
            && !named(it.table, it.column)
            && tables.iter().any(|other| *other != it.table)
    })
}

/// `had 11 stops and took part in 5 races`: one count is not both.
fn counts_twice(query: &LogicalQuery) -> bool {
    let mut twice = false;
    query.each(&mut |part| {
        let of_rows = part.having.iter().filter(|it| {
            matches!(it, Predicate::Compare(left, Comparison::Equal, _) if *left == Expr::count())
        });
        twice |= of_rows.count() > 0 && part.having.len() > 1;
    });
    twice
}

/// `the details and id of each`: where a key is asked for, something like one is shown.
fn hides_keys(index: &SchemaIndex, items: &[Item], query: &LogicalQuery) -> bool {
    let word =
        |at: Option<usize>| at.and_then(|at| items.get(at)).map_or("", |it| it.lower.as_str());
    let asked = items.iter().enumerate().any(|(at, it)| {
        let before = word(at.checked_sub(1));
        let listed = matches!(
            before,
            "the"
                | "and"
                | "is"
                | "are"
                | "their"
                | "its"
                | ","
                | "list"
                | "find"
                | "show"
                | "return"
                | "give"
        );
        let sorted = at > 1 && matches!(word(at.checked_sub(2)), "by" | "of" | "order");
        let goes_on = items.get(at + 1).is_none_or(|it| {
            it.is_mark('.')
                || it.is_mark('?')
                || it.is_mark(',')
                || matches!(it.lower.as_str(), "of" | "for" | "and")
        });
        let is_id = |word: Option<&str>| matches!(word, Some("id" | "ids"));
        // `the id of the customers` may be one name
        let whole = is_id(words(it).next()) && words(it).nth(1) == Some("of");
        !it.quoted && listed && !sorted && (whole || is_id(words(it).last()) && goes_on)
    });
    let mut shows = query.select.is_empty();
    for it in &query.select {
        shows |= !matches!(it, Expr::Column(_));
        it.columns(&mut |it| {
            let info = index.column(it);
            shows |= info.is_id()
                || info.primary && !info.class.is_textual()
                || index.tables[it.table].is_keyed_by(it.column)
                    && !index.tables[it.table].display.contains(&it.column);
        });
    }
    asked && !shows
}

#[cfg(test)]
mod tests {
    use plinth_schema_introspect::{Samples, TypeClass};

    use super::misses;
    use crate::{
        index::SchemaIndex,
        link::link,
        logical::{
            Aggregate, ColumnRef, Comparison, Expr, Literal, LogicalQuery, OrderKey, Predicate,
        },
        testing,
        token::tokenize,
    };

    /// `owners (id, name, age)` and `boats (id, owner_id, berth, metres)`.
    fn index() -> SchemaIndex {
        use TypeClass::{Integer, Text};
        let owners =
            testing::keyed(1, "owners", &[("id", Integer), ("name", Text), ("age", Integer)]);
        let mut boats = testing::keyed(
            2,
            "boats",
            &[("id", Integer), ("owner_id", Integer), ("berth", Text), ("metres", Integer)],
        );
        boats.foreign_keys.push(testing::reference(1, 1));
        testing::index(vec![owners, boats])
    }

    fn at(index: &SchemaIndex, table: &str, column: usize) -> ColumnRef {
        let table = index.tables.iter().position(|it| it.name == table).expect("a table");
        ColumnRef::new(table, column)
    }

    fn asked(index: &SchemaIndex, question: &str, query: &LogicalQuery) -> bool {
        misses(index, &link(index, &tokenize(question), &[]), query)
    }

    /// What those columns hold, of the first one's table.
    fn shows(columns: &[ColumnRef]) -> LogicalQuery {
        LogicalQuery {
            root: columns.first().map(|it| it.table),
            select: columns.iter().map(|it| Expr::Column(*it)).collect(),
            ..LogicalQuery::default()
        }
    }

    #[test]
    fn who_is_like_somebody_is_not_that_one() {
        let index = index();
        let query = shows(&[at(&index, "boats", 2)]);
        assert!(asked(&index, "boats of the same owner as Ann", &query));
        assert!(!asked(&index, "boats of the same owner", &query));
    }

    #[test]
    fn keys_have_no_size_and_no_sum() {
        let index = index();
        let mut query = shows(&[at(&index, "boats", 2)]);
        let more = |column| {
            let four = Expr::Literal(Literal::Number(4.0));
            Predicate::Compare(Expr::Column(column), Comparison::AtLeast, four)
        };
        query.filter = vec![more(at(&index, "boats", 1))];
        assert!(asked(&index, "boats with 4 or more owners", &query));
        assert!(!asked(&index, "boats with an owner id of 4 or more", &query));
        query.filter = vec![more(at(&index, "boats", 3))];
        assert!(!asked(&index, "boats of 4 metres or more", &query));
        query.filter.clear();
        query.select = vec![Expr::aggregate(Aggregate::Sum, Expr::Column(at(&index, "boats", 1)))];
        assert!(asked(&index, "total of owners", &query));
        query.select = vec![Expr::aggregate(Aggregate::Sum, Expr::Column(at(&index, "boats", 3)))];
        assert!(!asked(&index, "total metres", &query));
        query.order =
            vec![OrderKey { by: Expr::Column(at(&index, "boats", 3)), descending: false }];
        assert!(asked(&index, "total metres in ascending order", &query));
    }

    #[test]
    fn what_refers_to_a_figure_has_a_size() {
        use TypeClass::Integer;
        let levels = testing::keyed(1, "levels", &[("level", Integer)]);
        let columns = [("id", Integer), ("level", Integer), ("crew_id", Integer)];
        let mut games = testing::keyed(2, "games", &columns);
        games.foreign_keys.push(testing::reference(1, 1));
        let index = testing::index(vec![levels, games]);
        let mut query = shows(&[at(&index, "games", 0)]);
        let mut above = |column, question: &str| {
            let three = Expr::Literal(Literal::Number(3.0));
            let column = Expr::Column(at(&index, "games", column));
            query.filter = vec![Predicate::Compare(column, Comparison::Greater, three)];
            asked(&index, question, &query)
        };
        assert!(!above(1, "games with a game level above 3"));
        assert!(above(2, "games with more than 3 crews"));
    }

    #[test]
    fn among_initials_n_denies_nothing() {
        let empty = |values: &[&str]| {
            let mut owners = testing::keyed(
                1,
                "owners",
                &[("id", TypeClass::Integer), ("initial", TypeClass::Text)],
            );
            owners.columns[1].nullable = true;
            owners.columns[1].samples = Some(Samples {
                values: values.iter().map(|it| (*it).to_owned()).collect(),
                complete: true,
            });
            let index = testing::index(vec![owners]);
            let mut query = shows(&[at(&index, "owners", 0)]);
            query.filter =
                vec![Predicate::Null { column: at(&index, "owners", 1), negated: false }];
            asked(&index, "owners without an initial", &query)
        };
        assert!(!empty(&["A", "N", "T"]));
        assert!(!empty(&["DE", "NO"]));
        assert!(empty(&["Y", "N"]));
        assert!(empty(&["5 GHz", "No"]));
        assert!(empty(&["none", "some"]));
    }

    #[test]
    fn what_must_be_filled_is_never_empty() {
        let index = index();
        let mut query = shows(&[at(&index, "owners", 1)]);
        query.filter = vec![Predicate::Null { column: at(&index, "owners", 2), negated: false }];
        assert!(asked(&index, "owners without an age", &query));
        query.filter = vec![Predicate::Null { column: at(&index, "owners", 2), negated: true }];
        assert!(!asked(&index, "owners with an age", &query));
    }

    #[test]
    fn keys_that_are_asked_for_are_shown() {
        let index = index();
        let (id, name) = (at(&index, "owners", 0), at(&index, "owners", 1));
        assert!(asked(&index, "the name and id of owners", &shows(&[name])));
        assert!(!asked(&index, "the name and id of owners", &shows(&[name, id])));
        assert!(!asked(&index, "the name of the owner with id 4", &shows(&[name])));
    }

    #[test]
    fn one_number_is_not_two_and_one_table_not_both() {
        let index = index();
        let (id, name) = (at(&index, "boats", 0), at(&index, "owners", 1));
        let mut query = shows(&[name]);
        query.also = vec![id.table];
        assert!(asked(&index, "the names of owners and their boats", &query));
        query.select.push(Expr::Column(id));
        assert!(!asked(&index, "the names of owners and their boats", &query));
        query.select = vec![Expr::count()];
        assert!(asked(&index, "how many owners are old and how many are young", &query));
        assert!(!asked(&index, "how many owners are old", &query));
    }
}
