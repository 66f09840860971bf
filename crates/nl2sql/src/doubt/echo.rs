//! Unread words that are no riddle: what they say stands in the query.

use std::collections::BTreeSet;

use super::{each_column, joining};
use crate::{
    index::{Kin, SchemaIndex},
    join,
    lexicon::LEXICON,
    link::{Item, Meaning},
    logical::{Aggregate, Expr, LogicalQuery},
    token,
};

/// Unread words that say once more what stands in the query: `the banking industry`, where banking is a main industry.
pub(crate) fn echoes(
    index: &SchemaIndex,
    items: &[Item],
    query: &LogicalQuery,
    ignored: &[String],
) -> Vec<String> {
    echoed(index, items, query, ignored).into_iter().map(|it| it.0).collect()
}

/// The same, each with what it was taken for where only a general dictionary says that it is the same.
pub(crate) fn echoed(
    index: &SchemaIndex,
    items: &[Item],
    query: &LogicalQuery,
    ignored: &[String],
) -> Vec<(String, Option<String>)> {
    let mut stems: BTreeSet<String> = BTreeSet::new();
    let mut numbers: BTreeSet<(usize, usize)> = BTreeSet::new();
    query.each(&mut |part| {
        for (table, _) in part.instances() {
            stems.extend(index.tables[table].words.iter().map(|it| LEXICON.stem(it)));
            stems.extend(described(index.tables[table].comment.as_deref()));
        }
        // `a member`, where the table of members joins the others
        for it in join::plan(index, part).map(|it| it.tables).unwrap_or_default() {
            stems.extend(index.tables[it.table].words.iter().map(|it| LEXICON.stem(it)));
        }
        // what tables are joined by is said by the join
        for (table, column) in joining(index, part) {
            let info = &index.tables[table].columns[column];
            stems.extend(info.words.iter().map(|it| LEXICON.stem(it)));
        }
        each_column(part, &mut |it| {
            let info = index.column(it);
            stems.extend(info.words.iter().map(|it| LEXICON.stem(it)));
            // `authors without an organization`: the reference to it is in the query
            for edge in index.edges_of[it.table].iter().map(|at| &index.edges[*at]) {
                if edge.from == it.table && edge.from_columns == [it.column] {
                    let words = &index.tables[edge.to].words;
                    stems.extend(words.iter().map(|it| LEXICON.stem(it)));
                }
            }
            // `reviews that 20 readers found helpful`, of a column that counts those: what its description says
            if info.class.is_numeric() && !info.foreign {
                stems.extend(described(info.comment.as_deref()));
            }
            if info.class.is_numeric() && !info.is_id() {
                numbers.insert((it.table, it.column));
            }
        });
    });
    // `all schools`, of a table of universities: what is near to it in a dictionary, and nothing that is less near
    let related = |word: &str| {
        let stem = LEXICON.stem(&LEXICON.lemma(word));
        LEXICON.related(&stem).find(|it| it.1 && stems.contains(it.0)).map(|it| it.0)
    };
    let said = |word: &str| {
        let stem = LEXICON.stem(&LEXICON.lemma(word));
        LEXICON.is_stop(word)
            || LEXICON.is_light(word)
            || stems.contains(&stem)
            || stems.iter().any(|it| akin(&stem, it))
            || LEXICON.synonyms(&stem).iter().any(|it| stems.contains(it))
    };
    let alone = only_table(query).filter(|table| !is_named(items, *table));
    // by the word itself, and with the help of a dictionary
    let echoed = |at: usize, helped: bool| {
        let it = &items[at];
        if it.quoted || !matches!(it.meaning, Meaning::Word | Meaning::Name(_)) {
            return false;
        }
        // `the snatch score`: what kind of number a column holds, and `gold medals`: what it is a number of
        let divides = matches!(
            it.lemma.as_str(),
            "group"
                | "band"
                | "range"
                | "bracket"
                | "tier"
                | "bucket"
                | "bin"
                | "class"
                | "level"
                | "change"
                | "increase"
                | "decrease"
                | "drop"
                | "cut"
                | "raise"
                | "trend"
                | "difference"
        );
        let counted = it.lower != it.lemma && it.lower.ends_with('s') && !divides;
        let links = at.checked_sub(1).map_or(&[][..], |it| match &items[it].meaning {
            Meaning::Name(links) => links.as_slice(),
            _ => &[],
        });
        let likely = if is_measure(&it.lemma) { links.len() } else { usize::from(counted) };
        let measures = links
            .iter()
            .take(likely)
            .any(|it| it.column.is_some_and(|column| numbers.contains(&(it.table, column))));
        // `the Marketing team`, `of "Windmill" type`: of which kind a value is
        if (matches!(it.lemma.as_str(), "team" | "unit" | "crew" | "folk") && it.is_word()
            || matches!(it.lemma.as_str(), "type" | "kind" | "class" | "category" | "position"))
            && at > 0
            && matches!(items[at - 1].meaning, Meaning::Value(_))
        {
            return true;
        }
        // `everyone in Engineering`, where people are shown
        if matches!(it.lower.as_str(), "everyone" | "everybody") {
            return query.instances().iter().any(|it| index.tables[it.0].display.len() == 2);
        }
        // `staff members`
        if it.lemma == "member" && at > 0 && matches!(items[at - 1].meaning, Meaning::Name(_)) {
            return true;
        }
        if it.is_word() && (sets_the_scene(items, at) || alone.is_some() && is_subject(items, at)) {
            return true;
        }
        // `orders created last month`: that they came to be is said by the moment
        if it.lower == "created"
            && items.get(at + 1).is_some_and(|it| matches!(it.meaning, Meaning::Time(_)))
        {
            return true;
        }
        // `in USD`: what a number is counted in
        if matches!(it.lower.as_str(), "usd" | "eur" | "dollar" | "dollars" | "euro" | "euros") {
            return !numbers.is_empty();
        }
        // `in square kilometers`, where no other unit is kept
        if is_unit(&it.lower) && at > 0 && matches!(items[at - 1].lower.as_str(), "in" | "square") {
            let known = it.lower.split(' ').any(|word| {
                let stem = LEXICON.stem(&LEXICON.lemma(word));
                index.tables.iter().any(|it| it.columns.iter().any(|it| it.has_word(&stem)))
            });
            return !numbers.is_empty() && !known;
        }
        // both parts of it are in the query
        if it.lemma == "name" && it.lower.starts_with("full ") {
            return stems.contains("first") && stems.contains("last")
                || stems.contains("given") && stems.contains("family");
        }
        let mut words =
            it.lower.split([' ', '-', '\'']).filter(|it| !matches!(*it, "" | "s")).peekable();
        // but `the novel "…"` must have been looked for among novels
        let kind = items.get(at + 1).is_some_and(|it| it.quoted);
        let near = |it: &str| helped && !kind && it != "second" && related(it).is_some();
        measures || words.peek().is_some() && words.all(|it| said(it) || near(it))
    };
    let echoes = |word: &String, helped: bool| {
        (0..items.len()).any(|at| items[at].text == **word && echoed(at, helped))
    };
    ignored
        .iter()
        .filter_map(|word| {
            if echoes(word, false) {
                return Some((word.clone(), None));
            }
            let stem = word.to_lowercase().split([' ', '-', '\'']).find_map(&related);
            echoes(word, true).then(|| (word.clone(), stem.map(|it| whole(index, query, it))))
        })
        .collect()
}

/// The word of a query's tables and columns that has that stem.
fn whole(index: &SchemaIndex, query: &LogicalQuery, stem: &str) -> String {
    let mut found = None;
    query.each(&mut |part| {
        let tables = part.instances().into_iter().map(|it| &index.tables[it.0]);
        let mut words: Vec<&String> = tables.flat_map(|it| &it.words).collect();
        each_column(part, &mut |it| words.extend(&index.column(it).words));
        let word = words.into_iter().find(|it| LEXICON.stem(it) == stem);
        found = found.take().or_else(|| word.cloned());
    });
    found.unwrap_or_else(|| stem.to_owned())
}

/// What was found by words near to those that were said, in words for people; and whether any of these are so far off that
/// somebody must be asked.
pub(crate) fn by_kin(
    index: &SchemaIndex,
    items: &[Item],
    query: &LogicalQuery,
) -> (Vec<String>, bool) {
    let mut tables: BTreeSet<usize> = BTreeSet::new();
    let mut columns: BTreeSet<(usize, usize)> = BTreeSet::new();
    query.each(&mut |part| {
        tables.extend(part.instances().into_iter().map(|it| it.0));
        each_column(part, &mut |it| {
            columns.insert((it.table, it.column));
        });
    });
    let mut told = Vec::new();
    let mut far = false;
    for it in items.iter().filter(|it| it.kin > Kin::Own) {
        let Meaning::Name(links) = &it.meaning else { continue };
        let stands = links.iter().find(|it| match it.column {
            Some(column) => columns.contains(&(it.table, column)),
            None => tables.contains(&it.table),
        });
        let Some(link) = stands else { continue };
        let table = &index.tables[link.table];
        let name = link.column.map_or(&table.name, |it| &table.columns[it].name);
        told.push(taken(&it.text, name));
        far |= it.kin == Kin::Loose;
    }
    (told, far)
}

/// That one word was taken for another, in words for people.
pub(crate) fn taken(said: &str, read: &str) -> String {
    format!("{said} is taken for {read}")
}

/// Whether words name a unit of length, area or weight.
fn is_unit(words: &str) -> bool {
    words.split(' ').all(|it| {
        matches!(
            it,
            "square"
                | "meter"
                | "meters"
                | "metres"
                | "kilometer"
                | "kilometers"
                | "kilometres"
                | "km"
                | "miles"
                | "feet"
                | "foot"
                | "inches"
                | "centimeters"
                | "kilograms"
                | "gram"
                | "grams"
                | "kg"
                | "pounds"
                | "tons"
                | "acres"
                | "hectares"
        )
    })
}

/// `the total price in this shop`: where all of it happens, at the end of what is asked.
fn sets_the_scene(items: &[Item], at: usize) -> bool {
    let word = |back: usize| at.checked_sub(back).map_or("", |it| items[it].lower.as_str());
    let ends =
        items.get(at + 1).is_none_or(|it| matches!(it.meaning, Meaning::Mark('.' | '?' | '!')));
    ends && !items[at].capital
        && items[at].lower == items[at].lemma
        && !matches!(
            items[at].lower.as_str(),
            "past"
                | "future"
                | "end"
                | "beginning"
                | "morning"
                | "moment"
                | "present"
                | "day"
                | "week"
                | "month"
                | "year"
                | "time"
        )
        && matches!(word(1), "the" | "this" | "our")
        && matches!(word(2), "in" | "at" | "of" | "on")
}

/// The table of which alone a query speaks, if it counts none of its columns' values.
fn only_table(query: &LogicalQuery) -> Option<usize> {
    let mut all: BTreeSet<usize> = BTreeSet::new();
    query.each(&mut |part| all.extend(part.instances().into_iter().map(|it| it.0)));
    let values = query.select.iter().any(|it| {
        matches!(it, Expr::Aggregate { function: Aggregate::Count, argument: Some(_), .. })
    });
    if values || all.len() != 1 { None } else { all.first().copied() }
}

/// Whether the question says a table by its name: what else is said is not another word for its rows then.
fn is_named(items: &[Item], table: usize) -> bool {
    items.iter().any(|it| {
        matches!(&it.meaning, Meaning::Name(links)
            if links.iter().any(|it| it.table == table && it.column.is_none() && it.score > 0.6))
    })
}

/// Whether an unread plural stands where a question says of what it speaks: `of all mills`, `mills that …`. Of one table
/// only, it is another word for its rows.
fn is_subject(items: &[Item], at: usize) -> bool {
    let it = &items[at];
    let plural = it.lower != it.lemma && it.lower.ends_with('s') && !it.lower.contains(' ');
    let word = |at: usize| items.get(at).map_or("", |it| it.lower.as_str());
    let before = at.checked_sub(1).map_or("", word);
    let led = matches!(
        before,
        "of" | "all"
            | "the"
            | "which"
            | "what"
            | "for"
            | "from"
            | "across"
            | "any"
            | "some"
            | "these"
    );
    // what is counted must be known
    let counted = before == "of"
        && at.checked_sub(2).is_some_and(|it| matches!(word(it), "number" | "numbers" | "count"));
    let end = items.get(at + 1).is_none_or(|it| matches!(it.meaning, Meaning::Mark(_)));
    let goes_on = matches!(
        word(at + 1),
        "that"
            | "who"
            | "whose"
            | "with"
            | "which"
            | "where"
            | "are"
            | "is"
            | "were"
            | "have"
            | "has"
            | "had"
            | "in"
            | "from"
            | "at"
            | "do"
            | "there"
    );
    let done = word(at + 1).len() > 4 && word(at + 1).ends_with("ed");
    plural && !counted && !it.capital && !it.quoted && led && (end || goes_on || done)
}

/// What a short description says of a table, as stems: what is unread and stands there is said by the table.
fn described(comment: Option<&str>) -> Vec<String> {
    const MOST_WORDS: usize = 12;
    let first = comment.unwrap_or_default().split(['.', ';', ':', '(']).next().unwrap_or_default();
    let normal = token::normalized(first);
    let words: Vec<&str> = normal.split(' ').collect();
    if words.len() > MOST_WORDS {
        return Vec::new();
    }
    let told = words.into_iter().filter(|it| it.len() > 3 && !LEXICON.is_stop(it));
    told.map(|it| LEXICON.stem(&LEXICON.lemma(it))).collect()
}

/// Whether a noun behind a name only says that it is a number.
fn is_measure(lemma: &str) -> bool {
    matches!(
        lemma,
        "score"
            | "size"
            | "point"
            | "level"
            | "figure"
            | "unit"
            | "mark"
            | "rate"
            | "value"
            | "count"
            | "balance"
    )
}

/// Whether two stems are of one family: the same beginning, and endings that only make another kind of word of it.
fn akin(a: &str, b: &str) -> bool {
    let common = a.bytes().zip(b.bytes()).take_while(|it| it.0 == it.1).count();
    let (short, long) = (a.len().min(b.len()), a.len().max(b.len()));
    let ending =
        |it: &str| matches!(it, "d" | "ed" | "s" | "es" | "r" | "er" | "or" | "ing" | "ment" | "e");
    if common == short && short >= 3 {
        return ending(&(if a.len() > b.len() { a } else { b })[common..])
            || common >= 5 && long - common <= 4;
    }
    common >= 6 && common * 3 >= long * 2
}
