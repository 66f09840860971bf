//! How sure a reading is: a logistic function over signs of trouble, whose weights were fitted to questions with known
//! answers (see `examples/calibrate.rs`) and stand in `lexicon/confidence.txt`.

use std::sync::LazyLock;

use crate::{
    doubt::{each_column, echoes},
    index::SchemaIndex,
    interpret::{Interpreter, Note},
    join,
    lexicon::{Form, LEXICON},
    link::{Item, Meaning},
    logical::{ColumnRef, Expr, Literal, LogicalQuery, Predicate},
    render::number,
};

/// Readings below this are not answered: the engine asks back.
pub const CONFIDENCE_THRESHOLD: f64 = 0.5;

/// Readings below this are not even worth a question back.
pub(crate) const HOPELESS: f64 = 0.12;

/// The names of the signals, in the order in which they are computed.
pub const SIGNALS: [&str; 38] = [
    "base",
    "ignored",
    "ignored_share",
    "close",
    "close_gap",
    "weak",
    "weakest",
    "unseen",
    "idle",
    "doubt",
    "tables",
    "bridges",
    "inferred",
    "unnamed_tables",
    "unused_tables",
    "columns_shown",
    "conditions",
    "having",
    "group",
    "ordered",
    "limited",
    "nested",
    "set",
    "distinct",
    "per_group",
    "superlative_lost",
    "negation_lost",
    "group_lost",
    "average_lost",
    "count_lost",
    "number_lost",
    "value_lost",
    "comparison_lost",
    "or_lost",
    "length",
    "sentences",
    "root_unnamed",
    "key_shown",
];

static WEIGHTS: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let mut weights = vec![0.0; SIGNALS.len()];
    for line in include_str!("../lexicon/confidence.txt").lines() {
        if let Some((name, value)) = line.split_once('=')
            && let Some(at) = SIGNALS.iter().position(|it| *it == name.trim())
            && let Ok(value) = value.trim().parse()
        {
            weights[at] = value;
        }
    }
    weights
});

/// How likely a reading with those signals is right, from 0 to 1.
pub(crate) fn judge(signals: &[f64]) -> f64 {
    let sum: f64 = signals.iter().zip(WEIGHTS.iter()).map(|(a, b)| a * b).sum();
    1.0 / (1.0 + (-sum).exp())
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn count(n: usize) -> f64 {
    n as f64
}

fn yes(it: bool) -> f64 {
    if it { 1.0 } else { 0.0 }
}

/// What speaks for and against that reading; see [`SIGNALS`].
pub(crate) fn signals(
    index: &SchemaIndex,
    items: &[Item],
    reader: &Interpreter<'_>,
    query: &LogicalQuery,
    ignored: &[String],
) -> Vec<f64> {
    let content = items
        .iter()
        .filter(|it| !matches!(it.meaning, Meaning::Mark(_)) && !LEXICON.is_stop(&it.lower))
        .count()
        .max(1);
    let idle_names: Vec<String> = reader
        .notes
        .iter()
        .filter_map(|it| match it {
            Note::Idle(at) => items.get(*at).map(|it| it.text.clone()),
            _ => None,
        })
        .collect();
    let said = echoes(index, items, query, &idle_names);
    let echoed: Vec<usize> =
        (0..items.len()).filter(|at| said.contains(&items[*at].text)).collect();
    let (mut close, mut gap, mut weak, mut weakest, mut unseen, mut idle, mut doubt) =
        (0.0, 0.0, 0.0, 0.0_f64, 0.0, 0.0, 0.0);
    for note in &reader.notes {
        match note {
            Note::Close(_, by) => {
                close += 1.0;
                gap += (0.12 - by).max(0.0) / 0.12;
            }
            Note::Weak(link) => {
                weak += 1.0 - link;
                weakest = weakest.max(1.0 - link);
            }
            Note::Unseen(_) => unseen += 1.0,
            Note::Idle(at)
                if items.get(*at).is_some_and(|it| LEXICON.is_light(&it.lower))
                    || echoed.contains(at) => {}
            Note::Idle(_) => idle += 1.0,
            Note::Doubt(_) => doubt += 1.0,
            Note::Assumed(_) => {}
        }
    }
    let mut used: Vec<usize> = Vec::new();
    let (mut bridges, mut inferred, mut nested) = (0.0, 0.0, 0.0);
    // what belongs to the rows that are summed up is no guess
    let follows =
        |table: usize| reader.measured.is_some_and(|it| it != table && reader.single(it, table));
    // nor what lies between the root and a named table, where each row has one
    let between = |table: usize| {
        query.root.is_some_and(|root| {
            root != table
                && reader.weight[table] < 0.3
                && reader.single(root, table)
                && (0..index.tables.len()).any(|it| {
                    it != table
                        && it != root
                        && reader.weight[it] >= 0.9
                        && reader.single(table, it)
                        && index.distance(root, it).is_some_and(|steps| steps > 1)
                })
        })
    };
    let mut joined = 0;
    let undeclared = !index.edges.iter().any(|it| it.declared);
    query.each(&mut |part| {
        nested += 1.0;
        if let Some(plan) = join::plan(index, part) {
            let free =
                plan.tables.iter().filter(|it| !follows(it.table) && !between(it.table)).count();
            joined = joined.max(free.max(1));
            for it in &plan.tables {
                if !used.contains(&it.table) {
                    used.push(it.table);
                    bridges += yes(index.tables[it.table].bridge);
                }
                if let Some((to, pairs)) = &it.to {
                    let other = plan.tables[*to].table;
                    let own = index.edges_of[it.table].iter().map(|edge| &index.edges[*edge]);
                    let declared = own.into_iter().any(|edge| {
                        edge.declared
                            && (edge.from == it.table
                                && edge.to == other
                                && edge.from_columns
                                    == pairs.iter().map(|it| it.1).collect::<Vec<_>>()
                                || edge.to == it.table
                                    && edge.from == other
                                    && edge.from_columns
                                        == pairs.iter().map(|it| it.0).collect::<Vec<_>>())
                    });
                    // where nobody declared anything, columns of one name are how tables join
                    let told = undeclared
                        && pairs.iter().all(|(there, here)| {
                            index.tables[other].columns[*there].name
                                == index.tables[it.table].columns[*here].name
                        });
                    inferred += if told { 0.5 } else { yes(!declared) };
                }
            }
        }
    });
    // the one that each row of the root has, on the way to another that is named, is no guess either
    let passed = |table: usize| {
        query.root.is_some_and(|root| {
            root != table
                && reader.single(root, table)
                && used.iter().any(|it| {
                    *it != table
                        && *it != root
                        && reader.weight[*it] >= 0.3
                        && reader.single(table, *it)
                })
        })
    };
    // `everyone in Engineering`: whoever is shown by two names is named
    let everybody = items.iter().any(|it| matches!(it.lower.as_str(), "everyone" | "everybody"));
    let people = |table: usize| everybody && index.tables[table].display.len() == 2;
    let unnamed = used
        .iter()
        .filter(|it| !people(**it))
        .filter(|it| reader.weight[**it] < 0.3 && !index.tables[**it].bridge)
        .filter(|it| !follows(**it) && !passed(**it))
        .count();
    // `without a coupon`: a reference that is empty speaks of the table it would refer to
    let mut denied: Vec<usize> = Vec::new();
    query.each(&mut |part| {
        for it in &part.filter {
            if let Predicate::Null { column, .. } = it {
                let refers = index
                    .edges_from(column.table)
                    .filter(|edge| edge.from_columns == [column.column]);
                denied.extend(refers.map(|edge| edge.to));
            }
        }
    });
    // `instructors in the Physics department`, where a reference holds the department's name; the same words name another
    query.each(&mut |part| {
        each_column(part, &mut |column| {
            let refers =
                index.edges_from(column.table).filter(|edge| edge.from_columns == [column.column]);
            denied.extend(refers.map(|edge| edge.to));
        });
    });
    let covered = |table: usize| {
        let words = &index.tables[table].words;
        used.iter().any(|it| words.iter().all(|word| index.tables[*it].words.contains(word)))
    };
    let unused = (0..index.tables.len())
        .filter(|it| reader.weight[*it] > 0.85 && !used.contains(it) && !denied.contains(it))
        .filter(|it| !covered(*it))
        .count();
    let mut literals: Vec<f64> = Vec::new();
    let mut texts = 0;
    let mut negative = false;
    let mut either = false;
    query.each(&mut |part| {
        for it in part.filter.iter().chain(&part.having) {
            facts(it, &mut literals, &mut texts, &mut negative, &mut either);
        }
        for it in &part.select {
            counted(it, &mut |it| {
                facts(it, &mut literals, &mut texts, &mut negative, &mut either);
            });
        }
    });
    negative |= query.set.as_ref().is_some_and(|it| it.0 == crate::logical::SetOperation::Except);
    let aggregated = |wanted: &str| {
        let mut found = false;
        query.each(&mut |part| {
            for it in part.select.iter().chain(part.order.iter().map(|it| &it.by)) {
                found |= format!("{it:?}").contains(wanted);
            }
            for it in part.filter.iter().chain(&part.having) {
                found |= format!("{it:?}").contains(wanted);
            }
        });
        found
    };
    let mut ordered = false;
    query.each(&mut |part| ordered |= !part.order.is_empty());
    let has_word = |all: &[&str]| {
        items.iter().any(|it| {
            !it.quoted
                && all.contains(&it.lower.as_str())
                && !matches!(it.meaning, Meaning::Name(_) | Meaning::Value(_))
        })
    };
    let spoken = |at: &usize| !reader.spent.contains(at);
    let has_left = |all: &[&str]| {
        items.iter().enumerate().any(|(at, it)| {
            spoken(&at)
                && !it.quoted
                && all.contains(&it.lower.as_str())
                && !matches!(it.meaning, Meaning::Name(_) | Meaning::Value(_))
        })
    };
    let superlative = has_left(&[
        "most", "least", "highest", "lowest", "largest", "smallest", "fewest", "top", "maximum",
        "minimum",
    ]) || items.iter().enumerate().any(|(at, it)| {
        spoken(&at)
            && it.is_word()
            && LEXICON.degree(&it.lower).is_some_and(|it| it.form == Form::Superlative)
    });
    // `at least` and `at most` compare
    let bounds = items
        .windows(2)
        .filter(|it| it[0].lower == "at" && matches!(it[1].lower.as_str(), "least" | "most"))
        .count();
    let superlative = superlative
        && (bounds == 0
            || has_left(&["highest", "lowest", "largest", "smallest", "fewest", "top"]));
    let extreme = ordered || aggregated("Max") || aggregated("Min");
    let negation = has_word(&[
        "not",
        "no",
        "never",
        "without",
        "except",
        "neither",
        "excluding",
        "don't",
        "doesn't",
        "didn't",
        "nor",
        "isn't",
        "aren't",
    ]);
    let grouping = has_left(&["each", "every", "per"]);
    let comparing =
        has_left(&["than", "above", "below", "over", "under", "between", "exceed", "exceeds"])
            || items.windows(2).any(|it| {
                // `… before.` compares with nothing
                matches!(it[0].lower.as_str(), "before" | "after")
                    && it[0].is_word()
                    && !matches!(it[1].meaning, Meaning::Mark(_))
            });
    let compares = {
        let mut found = false;
        query.each(&mut |part| {
            for it in part.filter.iter().chain(&part.having) {
                let text = format!("{it:?}");
                found |= COMPARED.iter().any(|it| text.contains(it));
            }
            for it in &part.select {
                counted(it, &mut |it| {
                    let text = format!("{it:?}");
                    found |= COMPARED.iter().any(|it| text.contains(it));
                });
                // `the time between order and delivery`
                found |= format!("{it:?}").contains("Duration");
            }
        });
        found
    };
    let lost_numbers = items
        .iter()
        .enumerate()
        .filter(|(at, it)| {
            spoken(at) && matches!(it.meaning, Meaning::Number(value, _) if !reader.used.get(*at).copied().unwrap_or(false)
                || !literals.iter().any(|it| (it - value).abs() < 1e-9) && query.limit.is_none_or(|it| number(value) != it.to_string()) && texts == 0)
                && it.lower != "one"
        })
        .count();
    let lost_values = items
        .iter()
        .enumerate()
        .filter(|(at, it)| {
            (matches!(it.meaning, Meaning::Value(_))
                || it.capital && it.is_word() && !matches!(it.lemma.as_str(), "id" | "usd"))
                && !reader.used[*at]
        })
        .count();
    // `two or more`, `32 or older` say how something is compared
    let either_or = items.iter().enumerate().any(|(at, it)| {
        let bound = items.get(at + 1).is_some_and(|it| {
            matches!(it.lower.as_str(), "more" | "less" | "fewer" | "above" | "below" | "later")
                || LEXICON.degree(&it.lower).is_some_and(|it| it.form == Form::Comparative)
        });
        it.lower == "or" && it.is_word() && !it.quoted && !bound
    });
    let root_unnamed = query.root.is_some_and(|it| reader.weight[it] < 0.5);
    // `open tickets`, though the table is called otherwise
    let listed = |table: usize| {
        items.iter().any(|it| {
            it.lower != it.lemma
                && it.lower.ends_with('s')
                && matches!(&it.meaning, Meaning::Name(links)
                    if links.iter().any(|it| it.table == table && it.column.is_none() && it.score >= 0.7))
        })
    };
    // rows that are known by their key alone and were asked for by name
    let only_key = |it: ColumnRef| {
        index.tables[it.table].display == [it.column]
            && (reader.weight[it.table] >= 0.9 || listed(it.table))
    };
    let key_shown =
        query.select.iter().any(
            |it| matches!(it, Expr::Column(it) if index.column(*it).is_id() && !only_key(*it)),
        ) && !items.iter().any(|it| {
            it.lower.split(' ').any(|it| {
                matches!(
                    it,
                    "id" | "ids"
                        | "code"
                        | "codes"
                        | "number"
                        | "numbers"
                        | "identifier"
                        | "identifiers"
                )
            })
        });
    let requests = requested(items);
    // a person's name is one thing, though it is kept in two columns
    let pairs =
        used.iter()
            .filter(|it| Some(**it) != query.root && index.tables[**it].display.len() == 2)
            .filter(|it| {
                index.tables[**it].display.iter().all(|column| {
                    query.select.contains(&Expr::Column(ColumnRef::new(**it, *column)))
                })
            })
            .count();
    vec![
        1.0,
        count(ignored.len()),
        count(ignored.len()) / count(content),
        close,
        gap,
        weak,
        weakest,
        unseen,
        idle,
        doubt,
        count(joined.saturating_sub(1)),
        bridges,
        inferred,
        count(unnamed),
        count(unused),
        count((query.select.len() - pairs).saturating_sub(1).saturating_sub(requests.1)),
        count(query.filter.len()),
        count(query.having.len()),
        yes(!query.group.is_empty()),
        yes(ordered),
        yes(query.limit.is_some()),
        nested - 1.0,
        yes(query.set.is_some()),
        yes(query.distinct),
        yes(!query.per.is_empty()),
        yes(superlative && !extreme),
        yes(negation && !negative),
        yes(grouping && query.group.is_empty() && query.per.is_empty()),
        yes(has_word(&["average", "mean", "avg"])
            && !aggregated("Avg")
            && !aggregated("function: Mean")),
        yes(items.windows(2).any(|it| it[0].lower == "how" && it[1].lower == "many")
            && !aggregated("Count")
            && !aggregated("Sum")),
        count(lost_numbers),
        count(lost_values),
        yes(comparing && !compares),
        yes(either_or && !either),
        count(items.len() - requests.0) / 10.0,
        count(items.iter().filter(|it| it.is_mark('.')).count()),
        yes(root_unnamed),
        yes(key_shown),
    ]
}

/// What a condition is written as that compares.
const COMPARED: [&str; 6] = ["Less", "Greater", "AtLeast", "AtMost", "Between", "During"];

/// Calls `f` with every condition on what an expression counts or sums.
fn counted(it: &Expr, f: &mut impl FnMut(&Predicate)) {
    match it {
        Expr::Aggregate { filter: Some(filter), .. } => f(filter),
        Expr::Arithmetic(_, a, b) | Expr::Percentage(a, b) => {
            counted(a, f);
            counted(b, f);
        }
        _ => {}
    }
}

/// What sentences behind the first ask to be shown: how many items they have, and how many of those are names. Saying what
/// is wanted makes no question harder.
fn requested(items: &[Item]) -> (usize, usize) {
    let Some(first) = items.iter().position(|it| it.is_mark('.') || it.is_mark('?')) else {
        return (0, 0);
    };
    let mut asked = (0, 0);
    let mut inside = false;
    for (at, it) in items.iter().enumerate().skip(first) {
        if it.is_mark('.') || it.is_mark('?') {
            inside = items.get(at + 1).is_some_and(|it| {
                matches!(
                    it.lower.as_str(),
                    "return" | "give" | "show" | "list" | "display" | "report"
                )
            });
        } else if inside {
            asked.0 += 1;
            asked.1 += usize::from(matches!(it.meaning, Meaning::Name(_)));
        }
    }
    asked
}

fn facts(
    it: &Predicate,
    numbers: &mut Vec<f64>,
    texts: &mut usize,
    negative: &mut bool,
    either: &mut bool,
) {
    let mut literal = |it: &Expr| match it {
        Expr::Literal(Literal::Number(value)) => numbers.push(*value),
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        Expr::Literal(Literal::Interval(count, _)) => numbers.push(*count as f64),
        Expr::Literal(Literal::Text(_) | Literal::Moment(_)) => *texts += 1,
        _ => {}
    };
    match it {
        Predicate::Compare(a, comparison, b) => {
            for side in [a, b] {
                // `more than twice the average`
                if let Expr::Arithmetic(_, x, y) = side {
                    literal(x);
                    literal(y);
                }
                literal(side);
            }
            *negative |= *comparison == crate::logical::Comparison::NotEqual
                || matches!(b, Expr::Literal(Literal::Boolean(false)))
                || matches!(
                    comparison,
                    crate::logical::Comparison::AtLeast | crate::logical::Comparison::AtMost
                );
        }
        Predicate::Between(_, a, b) => {
            literal(a);
            literal(b);
        }
        Predicate::Like { negated, .. } => {
            *texts += 1;
            *negative |= negated;
        }
        Predicate::Null { negated, .. } => *negative |= !negated,
        Predicate::InQuery { negated, .. } => *negative |= negated,
        Predicate::During { .. } => *texts += 1,
        Predicate::And(all) => {
            for it in all {
                facts(it, numbers, texts, negative, either);
            }
        }
        Predicate::Or(all) => {
            *either = true;
            for it in all {
                facts(it, numbers, texts, negative, either);
            }
        }
        Predicate::Not(it) => {
            *negative = true;
            facts(it, numbers, texts, negative, either);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{SIGNALS, judge};

    #[test]
    fn trouble_lowers_the_confidence() {
        let mut calm = vec![0.0; SIGNALS.len()];
        calm[0] = 1.0;
        let mut troubled = calm.clone();
        for name in ["ignored", "doubt", "superlative_lost", "negation_lost", "value_lost"] {
            let at = SIGNALS.iter().position(|it| *it == name).expect("a signal");
            troubled[at] = 1.0;
        }
        assert!(judge(&troubled) < judge(&calm));
    }
}
