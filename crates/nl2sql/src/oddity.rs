//! What a query does though no question means it: it takes the size of what has none, or tells apart what nobody named.

use crate::{
    index::SchemaIndex,
    link::{Item, Meaning},
    logical::{Aggregate, ColumnRef, Comparison, Expr, Literal, LogicalQuery, Predicate},
};

/// Whether a query does something that hardly any question means.
pub(crate) fn is_odd(index: &SchemaIndex, items: &[Item], query: &LogicalQuery) -> bool {
    sizes_what_has_none(index, query)
        || flags_a_measure(index, items, query)
        || spans_strangers(items, query)
        || mixes_either(items, query)
        || answers_when_by_name(index, items, query)
        || groups_unasked(index, items, query)
        || halves_a_full_name(index, items, query)
        || shows_one_of_both(index, items, query)
        || shows_links(index, items, query)
        || seeks_the_word_itself(items, query)
        || sorts_one(items, query)
        || shows_what_it_denies(index, items, query)
        || takes_and_for_or(index, items, query)
        || sets_figures_apart(index, items, query)
}

fn says(items: &[Item], words: &[&str]) -> bool {
    items.iter().any(|it| it.is_word() && words.contains(&it.lower.as_str()))
}

fn names(items: &[Item], column: ColumnRef) -> bool {
    items.iter().any(|it| {
        matches!(&it.meaning, Meaning::Name(links)
            if links.iter().any(|it| (it.table, it.column) == (column.table, Some(column.column))))
    })
}

/// Whether a column, or the table whose rows it names, stands in a list of what to show: `the mean and the channel`,
/// `owners and their phones`; with `told`, only where it says of each: by its plural, or as what others have.
///
/// `counted`, a table that only follows `and` is another thing to count: `number of orders and customers`.
fn is_listed(
    index: &SchemaIndex,
    items: &[Item],
    column: ColumnRef,
    told: bool,
    counted: bool,
) -> bool {
    let rows = index.tables[column.table].display.contains(&column.column);
    let is_it = |it: &Item| {
        matches!(&it.meaning, Meaning::Name(links) if links.iter().any(|it| {
            it.table == column.table && it.column.map_or(rows, |it| it == column.column)
        }))
    };
    let is_table = |it: &Item| {
        matches!(&it.meaning, Meaning::Name(links)
            if links.first().is_some_and(|it| it.table == column.table && it.column.is_none()))
    };
    let joins = |it: &Item| it.is_mark(',') || it.is_word() && it.lower == "and";
    items.iter().enumerate().any(|(at, it)| {
        if it.quoted || !is_it(it) {
            return false;
        }
        let article =
            |it: &&Item| matches!(it.lower.as_str(), "the" | "their" | "its" | "a" | "an");
        let articles = items[..at].iter().rev().take_while(article).count();
        let lead = (at - articles).checked_sub(1).map(|it| &items[it]);
        let theirs = articles > 0 && matches!(items[at - 1].lower.as_str(), "their" | "its");
        if counted && is_table(it) && articles == 0 {
            return false;
        }
        let next = items.get(at + 1);
        let ends = next.is_none_or(|it| joins(it) || matches!(it.meaning, Meaning::Mark(_)));
        let begins = next.is_some_and(joins)
            && lead.is_none_or(|it| {
                joins(it)
                    || matches!(
                        it.lower.as_str(),
                        "show" | "list" | "give" | "find" | "return" | "all" | "is" | "are" | "me"
                    )
            });
        let follows = lead.is_some_and(|it| {
            joins(it) || articles > 0 && ends && it.is_word() && it.lower == "with"
        });
        let last = it.lower.rsplit(' ').next();
        let several = last.is_some_and(|last| last.ends_with('s') && last != it.lemma);
        (begins || follows) && (!told || theirs || several)
    })
}

fn is_name_shown(index: &SchemaIndex, it: ColumnRef) -> bool {
    let info = index.column(it);
    index.tables[it.table].display.contains(&it.column) && info.class.is_textual() && !info.is_id()
}

/// `at least two records` as a year of 2 or more, `used at least twice` as a name of `2` or more.
fn sizes_what_has_none(index: &SchemaIndex, query: &LogicalQuery) -> bool {
    let sized = |it: &Predicate| {
        let Predicate::Compare(
            Expr::Column(column),
            Comparison::Less | Comparison::Greater | Comparison::AtLeast | Comparison::AtMost,
            Expr::Literal(literal),
        ) = it
        else {
            return false;
        };
        let number = match literal {
            Literal::Number(it) => Some(*it),
            Literal::Text(it) => it.parse().ok(),
            _ => None,
        };
        let info = index.column(*column);
        // the years of something are a number of them
        let year = info.words.last().is_some_and(|it| it == "year")
            && !info.name.to_lowercase().ends_with('s');
        number.is_some_and(|it| year && (0.0..100.0).contains(&it) || is_name_shown(index, *column))
    };
    let mut found = false;
    query.each(&mut |part| found |= part.filter.iter().any(sized));
    found
}

/// `the games that are played` as hours of 1: a measure is no flag, where nobody said the number. That there is nothing of it
/// (`out of stock`) can be said without one.
fn flags_a_measure(index: &SchemaIndex, items: &[Item], query: &LogicalQuery) -> bool {
    let said = items.iter().any(|it| matches!(it.meaning, Meaning::Number(..)))
        || says(items, &["one", "once", "single"]);
    let flag = |it: &Predicate| {
        matches!(it, Predicate::Compare(Expr::Column(it), Comparison::Equal, Expr::Literal(Literal::Number(value)))
        if (*value - 1.0).abs() < f64::EPSILON && index.column(*it).words.iter().any(|it| {
            matches!(
                it.as_str(),
                "hour" | "minute" | "price" | "cost" | "amount" | "quantity" | "total" | "length"
            )
        }))
    };
    let mut found = false;
    query.each(&mut |part| found |= part.filter.iter().any(flag));
    found && !said
}

/// The moments between which a duration lies, if both are columns.
fn span(it: &Expr) -> Option<(ColumnRef, ColumnRef)> {
    match it {
        Expr::Duration { from, to, .. } => match (from.as_ref(), to.as_ref()) {
            (Expr::Column(from), Expr::Column(to)) => Some((*from, *to)),
            _ => None,
        },
        Expr::Aggregate { argument: Some(it), .. } => span(it),
        _ => None,
    }
}

/// `how long is the total lesson time` as the time between moments of two tables, though nobody says from when to when.
fn spans_strangers(items: &[Item], query: &LogicalQuery) -> bool {
    let led = says(
        items,
        &["between", "until", "till", "after", "before", "from", "to", "since", "take", "takes"],
    );
    !led && query.select.iter().filter_map(span).any(|(from, to)| from.table != to.table)
}

/// `either in A, or in B and tall`: what the last condition belongs to, nobody can tell.
fn mixes_either(items: &[Item], query: &LogicalQuery) -> bool {
    let mut wanted = ["either", "or", "and"].iter().peekable();
    for it in items.iter().filter(|it| it.is_word() && !it.quoted) {
        if wanted.peek().is_some_and(|word| it.lower == **word) {
            wanted.next();
        }
    }
    let mixed = |part: &LogicalQuery| {
        part.filter.len() > 1 && part.filter.iter().any(|it| matches!(it, Predicate::Or(_)))
    };
    wanted.peek().is_none() && mixed(query)
}

/// `when was the largest school founded`: what the school is called is no moment.
fn answers_when_by_name(index: &SchemaIndex, items: &[Item], query: &LogicalQuery) -> bool {
    let dated = |it: &String| it.starts_with(|it: char| it.is_ascii_digit());
    // moments are kept in texts and numbers as well
    let is_moment = |it: ColumnRef| {
        let info = index.column(it);
        !info.class.is_textual()
            || info.words.iter().any(|it| {
                matches!(
                    it.as_str(),
                    "date"
                        | "time"
                        | "year"
                        | "month"
                        | "day"
                        | "week"
                        | "weekday"
                        | "season"
                        | "period"
                        | "hour"
                        | "quarter"
                        | "semester"
                        | "term"
                        | "decade"
                        | "century"
                        | "schedule"
                )
            })
            || !info.values.is_empty() && info.values.iter().all(dated)
    };
    // `when orders are cancelled, which channel …` asks for no moment
    let asks_itself = items.get(1).is_some_and(|it| {
        matches!(
            it.lower.as_str(),
            "was" | "were" | "is" | "are" | "did" | "does" | "do" | "has" | "have" | "had" | "will"
        )
    });
    let asks_more = !asks_itself
        && items.iter().enumerate().any(|(at, it)| {
            at > 1
                && items[at - 1].is_mark(',')
                && matches!(it.lower.as_str(), "which" | "what" | "who" | "whose" | "where" | "how")
        });
    !asks_more
        && items.first().is_some_and(|it| it.is_word() && it.lower == "when")
        && !query.select.is_empty()
        && query.select.iter().all(|it| matches!(it, Expr::Column(it) if !is_moment(*it)))
}

/// A number over rows, or the largest of them, is shown of groups of which nobody spoke: `the average enrollment of universities
/// founded before 1850` for each year. What stands in the list of what to show was spoken of; of the largest one, only if it
/// says that each has one: `the highest salary and the department` may be that of all, and where it is.
fn groups_unasked(index: &SchemaIndex, items: &[Item], query: &LogicalQuery) -> bool {
    let spoken = says(
        items,
        &[
            "each",
            "every",
            "per",
            "by",
            "different",
            "distinct",
            "various",
            "respective",
            "respectively",
            "along",
            "corresponding",
            "for",
            "all",
            "across",
            "among",
            "versus",
            "vs",
            "compare",
        ],
    );
    let extreme =
        |it: &Expr| matches!(it, Expr::Aggregate { function: Aggregate::Max | Aggregate::Min, .. });
    let shown = query.select.as_slice();
    let is_extreme = shown.iter().any(extreme);
    let is_count = |it: &Expr| matches!(it, Expr::Aggregate { function: Aggregate::Count, .. });
    let counted = shown.iter().any(is_count);
    // `number of payments and their amounts` has one of each in mind; a rating of five tells groups apart
    let measures = |it: ColumnRef| {
        let info = index.column(it);
        let few = info.complete && !info.values.is_empty();
        !few && (info.class.is_numeric() && !info.is_id() || info.class.is_temporal())
    };
    // a column that tells groups apart, and that nobody listed; the first of them only is not each
    let listed = |it: ColumnRef| {
        query.limit.is_none() && !measures(it) && is_listed(index, items, it, is_extreme, counted)
    };
    let plain = |it: &Expr| matches!(it, Expr::Column(it) if !listed(*it));
    let odd = match shown {
        [Expr::Aggregate { .. }, rest @ ..] => rest.iter().any(plain),
        [first, rest @ ..] => query.limit.is_none() && rest.iter().any(extreme) && plain(first),
        _ => false,
    };
    odd && !query.group.is_empty() && query.source.is_none() && !spoken
}

/// `the full names`, where only a part of them is shown, or what something else is called.
fn halves_a_full_name(index: &SchemaIndex, items: &[Item], query: &LogicalQuery) -> bool {
    let said = items.iter().enumerate().any(|(at, it)| {
        it.lower.starts_with("full name")
            || it.lower == "full" && items.get(at + 1).is_some_and(|it| it.lemma == "name")
    });
    if !said || query.select.iter().any(|it| !matches!(it, Expr::Column(_))) {
        return false;
    }
    let mut parted =
        query.instances().into_iter().filter(|it| index.tables[it.0].display.len() == 2).peekable();
    parted.peek().is_some()
        && !parted.any(|(table, _)| {
            index.tables[table].display.iter().all(|column| {
                query.select.iter().any(
                |it| matches!(it, Expr::Column(it) if (it.table, it.column) == (table, *column)),
            )
            })
        })
}

/// `the phone numbers of customers and staff`: where both have some, those of one of them are half of what was asked.
fn shows_one_of_both(index: &SchemaIndex, items: &[Item], query: &LogicalQuery) -> bool {
    let tables = query.instances();
    let table = |it: &Item| match &it.meaning {
        Meaning::Name(links) => links
            .iter()
            .find(|it| it.column.is_none() && tables.iter().any(|own| own.0 == it.table))
            .map(|it| it.table),
        _ => None,
    };
    let shows = |table: usize, name: &str| {
        query.select.iter().any(|it| {
            matches!(it, Expr::Column(it) if it.table == table && index.column(*it).name == name)
        })
    };
    let has = |table: usize, name: &str| {
        index.tables[table]
            .columns
            .iter()
            .any(|it| it.name == name && it.class.is_textual() && !it.is_id() && !it.foreign)
    };
    items.iter().enumerate().any(|(at, it)| {
        if it.lower != "and" || !it.is_word() || at == 0 {
            return false;
        }
        let Some(first) = table(&items[at - 1]) else { return false };
        let other = items[at + 1..]
            .iter()
            .take(4)
            .find(|it| !matches!(it.lower.as_str(), "all" | "the" | "by" | "of" | "their"))
            .and_then(table);
        other.is_some_and(|other| {
            let half = |a: usize, b: usize| {
                index.tables[a].columns.iter().any(|it| {
                    has(a, &it.name)
                        && has(b, &it.name)
                        && shows(a, &it.name)
                        && !shows(b, &it.name)
                })
            };
            first != other && (half(first, other) || half(other, first))
        })
    })
}

/// `which amenities are there` as the keys of what has them: a table that only connects others has nothing to show.
fn shows_links(index: &SchemaIndex, items: &[Item], query: &LogicalQuery) -> bool {
    let asked = items.iter().any(|it| {
        it.lower.split(' ').any(|it| {
            matches!(it, "id" | "ids" | "code" | "codes" | "number" | "numbers" | "identifier")
        })
    });
    !asked
        && query.select.iter().any(|it| {
            matches!(it, Expr::Column(it) if index.tables[it.table].bridge
                && index.column(*it).foreign
                && !names(items, *it))
        })
}

/// `the letter Z in their names` as names with `letter Z` in them, `D or S` as one text.
fn seeks_the_word_itself(items: &[Item], query: &LogicalQuery) -> bool {
    let mut found = false;
    query.each(&mut |part| {
        found |= part.filter.iter().any(|it| {
            let Predicate::Like { pattern, .. } = it else { return false };
            let text = pattern.trim_matches('%');
            let kind = ["letter ", "letters ", "word ", "substring "];
            let quoted = items.iter().any(|it| it.quoted && it.text == text);
            !quoted && (kind.iter().any(|it| text.starts_with(it)) || text.contains(" or "))
        });
    });
    found
}

/// `all clubs, starting with the oldest` as that club alone.
fn sorts_one(items: &[Item], query: &LogicalQuery) -> bool {
    let starts = items.windows(2).any(|it| {
        it[0].lower == "starting" && it[1].lower == "with" || it[0].lower == "starting with"
    });
    query.limit == Some(1) && (starts || says(items, &["sorted"]))
}

/// `carriers that do not have Android as their platform` with the platforms, which nobody asked for.
fn shows_what_it_denies(index: &SchemaIndex, items: &[Item], query: &LogicalQuery) -> bool {
    let others = says(items, &["other", "except", "besides", "excluding", "but"]);
    !others
        && query.select.iter().any(|shown| {
            matches!(shown, Expr::Column(it) if !is_listed(index, items, *it, false, false))
                && query.filter.iter().any(|it| {
                    matches!(it, Predicate::Compare(left, Comparison::NotEqual, Expr::Literal(Literal::Text(_)))
                        if left == shown)
                })
        })
}

/// `students who do A and B` as those who do any of both: of one thing that each has several of, `and` means all.
fn takes_and_for_or(index: &SchemaIndex, items: &[Item], query: &LogicalQuery) -> bool {
    let is_value = |it: &Item| it.quoted || matches!(it.meaning, Meaning::Value(_));
    let joined = items.iter().enumerate().any(|(at, it)| {
        it.lower == "and"
            && it.is_word()
            && at > 0
            && is_value(&items[at - 1])
            && items[at + 1..].iter().take(3).any(is_value)
    });
    let Some(root) = query.root.filter(|_| joined && !says(items, &["or", "either"])) else {
        return false;
    };
    let one_of = |it: &Predicate| {
        let Predicate::Or(all) = it else { return None };
        let mut columns = all.iter().map(|it| match it {
            Predicate::Compare(
                Expr::Column(it),
                Comparison::Equal,
                Expr::Literal(Literal::Text(_)),
            ) => Some(*it),
            _ => None,
        });
        let first = columns.next().flatten()?;
        columns.all(|it| it == Some(first)).then_some(first)
    };
    // a total over rows that have one of it each is one over the rows of both: `units of Audio and Toys`
    let adds_up = |label: ColumnRef| {
        !query.select.is_empty()
            && query.select.iter().all(|it| {
                let Expr::Aggregate {
                    function: Aggregate::Sum | Aggregate::Avg,
                    argument: Some(of),
                    ..
                } = it
                else {
                    return false;
                };
                let mut each_has_one = true;
                of.columns(&mut |it| each_has_one &= index.is_single(it.table, label.table));
                each_has_one
            })
    };
    query.group.is_empty()
        && query.filter.iter().filter_map(one_of).any(|it| {
            (index.tables[root].bridge || !index.is_single(root, it.table))
                && !query.select.contains(&Expr::Column(it))
                && !adds_up(it)
        })
}

/// `total quantity of products in A and B` as the quantities that both have: what is added up is no set.
fn sets_figures_apart(index: &SchemaIndex, items: &[Item], query: &LogicalQuery) -> bool {
    let added =
        says(items, &["total", "sum", "average", "mean", "overall", "combined", "altogether"]);
    let figure = |it: &Expr| {
        matches!(it, Expr::Column(it) if {
            let info = index.column(*it);
            info.class.is_numeric() && !info.is_id()
        })
    };
    added && query.set.is_some() && query.select.iter().any(figure)
}

#[cfg(test)]
mod tests;
