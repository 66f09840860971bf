//! What a reading leaves unexplained, and what speaks against answering it however good the rest looks.

mod echo;

pub(crate) use self::echo::{by_kin, echoed, echoes, taken};
use std::collections::BTreeSet;

use crate::{
    assemble::tells_rows_apart,
    confidence,
    index::{SchemaIndex, Table},
    interpret::{EARNED, Interpreter},
    join,
    lexicon::{Form, LEXICON},
    link::{self, Item, Meaning},
    logical::{Aggregate, ColumnRef, Comparison, Expr, Literal, LogicalQuery, Predicate},
    time,
};

/// The columns by which the tables of a query are joined.
fn joining(index: &SchemaIndex, query: &LogicalQuery) -> Vec<(usize, usize)> {
    let Some(plan) = join::plan(index, query) else { return Vec::new() };
    let mut all = Vec::new();
    for it in &plan.tables {
        let Some((to, pairs)) = &it.to else { continue };
        let other = plan.tables[*to].table;
        for (there, here) in pairs {
            all.extend([(other, *there), (it.table, *here)]);
        }
    }
    all
}

/// Calls `f` with every column that a query speaks of, nested queries left out.
pub(crate) fn each_column(query: &LogicalQuery, f: &mut impl FnMut(ColumnRef)) {
    for it in query.select.iter().chain(&query.group).chain(&query.per) {
        it.columns(f);
    }
    query.order.iter().for_each(|it| it.by.columns(f));
    query.filter.iter().chain(&query.having).for_each(|it| it.columns(f));
}

/// Names that were read, but of which nothing stands in the query.
pub(crate) fn lost(
    items: &[Item],
    reader: &Interpreter<'_>,
    query: &LogicalQuery,
    known: &[String],
) -> Vec<String> {
    let mut tables: BTreeSet<usize> = BTreeSet::new();
    let mut columns: BTreeSet<(usize, usize)> = BTreeSet::new();
    query.each(&mut |part| {
        tables.extend(part.instances().into_iter().map(|it| it.0));
        columns.extend(joining(reader.index, part));
        each_column(part, &mut |it| {
            columns.insert((it.table, it.column));
        });
    });
    let mut all = Vec::new();
    for (at, (item, used)) in items.iter().zip(&reader.used).enumerate() {
        let Meaning::Name(links) = &item.meaning else { continue };
        let idle = LEXICON.is_stop(&item.lower)
            || link::is_question_word(&item.lower)
            || LEXICON.degree(&item.lower).is_some()
            || LEXICON.is_light(&item.lower);
        let stands = links.iter().any(|it| match it.column {
            Some(column) => {
                columns.contains(&(it.table, column))
                    || (it.with_table || knows_rows(&reader.index.tables[it.table], column))
                        && tables.contains(&it.table)
            }
            None => tables.contains(&it.table),
        });
        // what was earned is summed up, whatever its column is called
        let earned = EARNED.contains(&item.lower.as_str()) && reader.measured.is_some();
        let spent = reader.spent.contains(&at) || earned;
        if *used && !spent && !idle && !stands && !known.contains(&item.text) {
            all.push(item.text.clone());
        }
    }
    all
}

/// Whether people know rows by that column, so that it may stand for them: `the schools` in a table of universities.
fn knows_rows(table: &Table, column: usize) -> bool {
    let first = table.columns.iter().position(|it| it.class.is_textual() && !it.is_id());
    let keyed = table.display == table.primary;
    table.display.contains(&column) || keyed && first == Some(column)
}

/// Whether a query says less than it seems to: counts what is always one, joins what nobody spoke of, loses its groups.
pub(crate) fn doubtful(
    index: &SchemaIndex,
    items: &[Item],
    query: &LogicalQuery,
    signals: &[f64],
    left: &[&str],
    used: &[bool],
) -> bool {
    let signal = |name: &str| {
        confidence::SIGNALS.iter().position(|it| *it == name).map_or(0.0, |it| signals[it])
    };
    if signal("unnamed_tables") > 1.5 {
        return true;
    }
    let each = items
        .iter()
        .any(|it| it.is_word() && matches!(it.lower.as_str(), "each" | "per" | "every"));
    let mut grouped = false;
    // `the name and origin of each program` is a list
    let mut counted = query.limit.is_some();
    let mut empty = false;
    query.each(&mut |part| {
        let nested = !std::ptr::eq(part, query);
        grouped |= !part.group.is_empty() || !part.per.is_empty();
        // `every student with less than the average` is no group
        counted |= !(nested && part.group.is_empty())
            && (part.select.iter().any(Expr::is_aggregate)
                || part.order.iter().any(|it| it.by.is_aggregate()));
        // one row for each group by a key
        if let ([Expr::Column(key)], [_]) = (part.group.as_slice(), part.instances().as_slice()) {
            // `the total revenue of each maker` is its revenue, where each has one
            let adds = |it: &Expr| {
                matches!(it, Expr::Aggregate { function: Aggregate::Sum, argument: Some(of), .. }
                    if matches!(of.as_ref(), Expr::Column(it) if index.column(*it).class.is_numeric()))
            };
            let counts = part.order.iter().any(|it| it.by.is_aggregate())
                || !part.having.is_empty()
                || part.select.iter().any(|it| it.is_aggregate() && !(each && adds(it)));
            empty |= counts && index.tables[key.table].is_keyed_by(key.column);
        }
        // no row is of one year and not of another: rows of several kinds were meant
        empty |= part.filter.iter().any(|it| {
            let Predicate::Not(denied) = it else { return false };
            let Predicate::Compare(a, Comparison::Equal, _) = denied.as_ref() else { return false };
            part.filter
                .iter()
                .any(|it| matches!(it, Predicate::Compare(b, Comparison::Equal, _) if a == b))
        });
        // nor does one column hold two texts
        let texts = |it: &Predicate| match it {
            Predicate::Compare(Expr::Column(it), Comparison::Equal, Expr::Literal(Literal::Text(_))) => {
                Some(*it)
            }
            _ => None,
        };
        empty |= part.filter.iter().any(|it| {
            let Predicate::Like { column, negated: false, .. } = it else { return false };
            part.filter.iter().any(|it| texts(it) == Some(*column))
        });
        // what is shown is what was given: no answer
        empty |= !nested
            && !part.select.is_empty()
            && part.set.is_none()
            && part.select.iter().all(|shown| {
                matches!(shown, Expr::Column(_))
                    && part.filter.iter().any(|it| {
                        matches!(it, Predicate::Compare(left, Comparison::Equal, Expr::Literal(_)) if left == shown)
                    })
            });
        // moments have no sum and no mean
        empty |= part.select.iter().any(|it| {
            matches!(it, Expr::Aggregate { function: Aggregate::Sum | Aggregate::Avg, argument: Some(of), .. }
                if matches!(of.as_ref(), Expr::Column(it) if index.column(*it).class.is_temporal()))
        });
        // a number over rows has no order
        empty |= part.group.is_empty()
            && part.select.iter().any(Expr::is_aggregate)
            && part.order.iter().any(|it| !it.by.is_aggregate());
    });
    // `the id, the date and the amount`: one of what is listed is not shown
    let missed = items.iter().enumerate().any(|(at, it)| {
        let listed = |it: Option<&Item>| it.is_some_and(|it| it.is_mark(',') || it.lower == "and");
        let lead = at.checked_sub(1).and_then(|it| items.get(it));
        let lead = match lead {
            Some(the) if matches!(the.lower.as_str(), "the" | "their" | "its") => {
                at.checked_sub(2).and_then(|it| items.get(it))
            }
            other => other,
        };
        // `the company name`, where that column is called `company`
        let kind = it.lemma == "name"
            && at > 0
            && used.get(at - 1).copied().unwrap_or(false)
            && matches!(items[at - 1].meaning, Meaning::Name(_));
        it.is_word()
            && !kind
            && !used.get(at).copied().unwrap_or(true)
            && matches!(
                it.lemma.as_str(),
                "date"
                    | "year"
                    | "name"
                    | "age"
                    | "id"
                    | "time"
                    | "type"
                    | "email"
                    | "address"
                    | "phone"
            )
            && (listed(lead) || listed(items.get(at + 1)))
    });
    // a second request that nothing answers
    let who = items.windows(2).enumerate().any(|(at, it)| {
        // behind another condition it is one more
        let led = items[..at]
            .iter()
            .any(|it| matches!(it.lower.as_str(), "who" | "with" | "whose" | "that" | "which"));
        it[0].lower == "and" && matches!(it[1].lower.as_str(), "who" | "whom") && !led
    });
    let mut shown: BTreeSet<(usize, u8)> = BTreeSet::new();
    query.select.iter().for_each(|it| {
        it.columns(&mut |it| {
            shown.insert((it.table, it.role));
        });
    });
    // told apart by something that was not understood
    let apart = query.group.is_empty()
        && query.per.is_empty()
        && query.source.is_none()
        && query.select.iter().any(Expr::is_aggregate)
        && items.windows(2).any(|it| {
            it[0].lower == "by"
                && it[0].is_word()
                && matches!(it[1].lower.as_str(), "how" | "what" | "which" | "whether" | "where")
        });
    // one row of all is not one of each
    let one_of_all = each
        && query.limit.is_some()
        && query.per.is_empty()
        && !query.group.is_empty()
        && query.group.len() > 1;
    // `the same name in one city`: that rows share what they are known by is what is asked
    let rows_apart = !items.iter().any(|it| it.lower == "same") && tells_rows_apart(index, query);
    // `handled per support person`: of what there should be one row each is not known
    let mut tables: BTreeSet<usize> = BTreeSet::new();
    query.each(&mut |part| tables.extend(part.instances().into_iter().map(|it| it.0)));
    let stands = |it: &Item| matches!(&it.meaning, Meaning::Name(links) if links.iter().any(|it| tables.contains(&it.table)));
    let per = items.iter().enumerate().any(|(at, it)| {
        let known = items[at + 1..].iter().take(2).any(stands);
        it.lower == "per" && it.is_word() && !it.quoted && (at == 0 || !known)
    });
    // nobody is a key of something that has no name, nor is a list of keys one of each of anything
    let nobody = (items.first().is_some_and(|it| it.lower == "who")
        || !grouped && items.iter().any(|it| it.lower == "per" && it.is_word()))
        && !query.select.is_empty()
        && query.select.iter().all(|it| {
            matches!(it, Expr::Column(it) if index.column(*it).is_id()
                && index.tables[it.table].is_keyed_by(it.column))
        });
    // `logged in during the last week`: what happened then is not known
    let untold = items.windows(3).any(|it| {
        matches!(it[2].meaning, Meaning::Time(_))
            && it[..2].iter().any(|it| it.is_word() && left.contains(&it.text.as_str()))
            || matches!(it[1].meaning, Meaning::Time(_))
                && it[0].is_word()
                && left.contains(&it[0].text.as_str())
    });
    empty
        || missed
        || apart
        || untold
        || nobody
        || per && !grouped
        || each && counted && !grouped
        || one_of_all
        || rows_apart
        || who && shown.len() < 2
}

/// Whether a word says what is done rather than what something is.
pub(crate) fn is_verb(word: &str) -> bool {
    !word.contains(' ')
        && (word.len() > 4 && (word.ends_with("ed") || word.ends_with("ing"))
            || DONE.contains(&word)
            // `the store that owns it`
            || word.strip_suffix('s').is_some_and(|it| RELATES.contains(&it))
            || RELATES.contains(&word))
}

/// What was done, or is, by verbs that do not say so by their ending.
const DONE: [&str; 20] = [
    "taught", "built", "run", "runs", "play", "plays", "flow", "flows", "born", "won", "led",
    "sold", "bought", "stay", "stays", "eat", "eats", "spent", "left", "lasts",
];

/// Verbs that say how things belong together, or that they are there. None of them says which rows are meant, and none is a
/// noun as well.
const RELATES: [&str; 17] = [
    "attend",
    "belong",
    "choose",
    "contain",
    "exist",
    "grow",
    "happen",
    "hire",
    "involve",
    "join",
    "occur",
    "participate",
    "perform",
    "receive",
    "serve",
    "suffer",
    "teach",
];

/// Unread words that can only be verbs, by where they stand: `did each employee handle`, `rivers flow through`.
pub(crate) fn acts(items: &[Item]) -> Vec<&str> {
    let mut all = Vec::new();
    for (at, it) in items.iter().enumerate() {
        if !it.is_word()
            || it.quoted
            || it.capital
            || it.lower.contains(' ')
            || LEXICON.is_stop(&it.lower)
            || LEXICON.degree(&it.lower).is_some()
        {
            continue;
        }
        let before = at.checked_sub(1).map(|it| &items[it]);
        let thing =
            before.is_some_and(|it| matches!(it.meaning, Meaning::Name(_) | Meaning::Value(_)));
        let helped = items[..at]
            .iter()
            .rev()
            .take(5)
            .any(|it| matches!(it.lower.as_str(), "do" | "does" | "did" | "can"));
        let ends = items.get(at + 1).is_none_or(|it| matches!(it.meaning, Meaning::Mark(_)));
        let leads = items.get(at + 1).is_some_and(|it| {
            matches!(
                it.lower.as_str(),
                "through" | "in" | "to" | "for" | "with" | "by" | "from" | "at" | "on" | "into"
            )
        });
        if thing && (helped && (ends || leads) || leads && it.lower == it.lemma) {
            all.push(it.lower.as_str());
        }
    }
    all
}

/// Whether a verb stands right between two things that are known, with a preposition: `presented in each conference`.
pub(crate) fn relates(items: &[Item], word: &str) -> bool {
    let known = |it: Option<&Item>| {
        it.is_some_and(|it| matches!(it.meaning, Meaning::Name(_) | Meaning::Value(_)))
    };
    items.iter().enumerate().any(|(at, it)| {
        let helped = at
            .checked_sub(1)
            .and_then(|it| items.get(it))
            .is_some_and(|it| matches!(it.lower.as_str(), "were" | "was" | "are" | "been" | "is"));
        let before = at.checked_sub(if helped { 2 } else { 1 }).and_then(|it| items.get(it));
        let leads = items.get(at + 1).is_some_and(|it| {
            matches!(it.lower.as_str(), "in" | "at" | "by" | "on" | "for" | "to" | "through")
        });
        let after = (at + 2..at + 5).find(|it| {
            !items.get(*it).is_some_and(|it| {
                matches!(it.lower.as_str(), "the" | "a" | "an" | "each" | "every" | "different")
            })
        });
        it.is_word()
            && it.lower == word
            && known(before)
            && leads
            && known(after.and_then(|it| items.get(it)))
    })
}

/// Whether a question asks what is not known yet.
pub(crate) fn predicts(items: &[Item]) -> bool {
    let says =
        |words: &[&str]| items.iter().any(|it| it.is_word() && words.contains(&it.lower.as_str()));
    let ahead = items.iter().any(|it| match &it.meaning {
        Meaning::Time(time::Span::Range(Some(from), _)) => {
            matches!(from, crate::logical::Moment::Start(_, steps) if *steps > 0)
                || matches!(from, crate::logical::Moment::Now(_, 0))
        }
        _ => false,
    });
    says(&["forecast", "predict", "prediction", "projected", "expect"]) || ahead && says(&["will"])
}

/// The content words that were not used.
pub(crate) fn content(items: &[Item], used: &[bool]) -> Vec<String> {
    items
        .iter()
        .zip(used)
        .filter(|(item, used)| {
            !**used
                && !matches!(item.meaning, Meaning::Mark(_))
                && !LEXICON.is_stop(&item.lower)
                && !link::is_question_word(&item.lower)
                && LEXICON.degree(&item.lower).is_none_or(|it| is_judgement(item, it.form))
        })
        .map(|(item, _)| item.text.clone())
        .collect()
}

/// Whether an adjective that was left out would have chosen among rows: `some good restaurants`.
fn is_judgement(item: &Item, form: Form) -> bool {
    form == Form::Positive && item.is_word() && !item.lower.ends_with("ly")
}

#[cfg(test)]
mod tests;
