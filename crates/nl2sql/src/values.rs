//! Finds the stored values that words of a question may mean.

use std::collections::HashSet;

use crate::{
    index::SchemaIndex,
    lexicon::LEXICON,
    link::{ValueLink, is_question_word},
    lookup,
    token::{Token, TokenKind, normalized},
    work,
};

/// A place where a value was seen that words may mean; only of those that are kept the text is copied.
#[derive(Clone, Copy)]
struct Seen<'a> {
    table: usize,
    column: usize,
    value: &'a str,
    score: f64,
}

impl Seen<'_> {
    fn link(self) -> ValueLink {
        let Seen { table, column, value, score } = self;
        ValueLink { table, column, value: value.to_owned(), score }
    }
}

/// How surely a value is meant by its text alone.
const EXACT: f64 = 0.9;

/// Where a value is known from, or was found for this question, by its normalized text.
fn seen<'a>(index: &'a SchemaIndex, key: &str) -> impl Iterator<Item = Seen<'a>> {
    let known = index.values.seen(key).iter().map(|it| {
        let (table, column, value) = it.place();
        let value = index.tables[table].columns[column].values[value].as_str();
        Seen { table, column, value, score: EXACT }
    });
    let found = index.found.get(key).into_iter().flatten();
    known.chain(found.map(|it| Seen {
        table: it.table,
        column: it.column,
        value: &it.value,
        score: EXACT,
    }))
}

pub(crate) fn exact_values(index: &SchemaIndex, text: &str) -> Vec<ValueLink> {
    seen(index, &normalized(text)).map(Seen::link).collect()
}

/// Whether no value can begin with a span's first word, or none that begins so is as long.
fn is_beyond(index: &SchemaIndex, first: &Token, key: &str) -> bool {
    // words that are spelled in two ways, or that mean a place, are looked for in other words too
    if first.lower.contains("eled")
        || first.lower.contains("elled")
        || !LEXICON.place(key).is_empty()
    {
        return false;
    }
    // what begins a span, whatever stands behind it
    let first = normalized(&first.lower);
    let Some(first) = first.split(' ').next().filter(|it| !it.is_empty()) else { return false };
    let words = key.split(' ').count();
    let found = index
        .found
        .keys()
        .any(|it| it.strip_prefix(first).is_some_and(|it| it.is_empty() || it.starts_with(' ')));
    let reach = index.values.reach(first);
    // the base form of a word may be a word less: `it's`
    !found && (reach == 0 || words > reach + 1)
}

pub(crate) fn quoted_values(index: &SchemaIndex, text: &str) -> Vec<ValueLink> {
    let mut links = exact_values(index, text);
    // `"California"` where states are kept by two letters
    if links.is_empty() {
        links = LEXICON
            .place(&normalized(text))
            .iter()
            .filter(|it| it.len() == 2)
            .flat_map(|it| exact_values(index, it))
            .collect();
    }
    for it in &mut links {
        it.score = if it.value == text { 1.2 } else { 1.1 };
    }
    links.sort_by(|a, b| b.score.total_cmp(&a.score));
    links
}

/// The values that these tokens may mean, best first.
pub(crate) fn values(
    index: &SchemaIndex,
    tokens: &[Token],
    first: usize,
    end: usize,
) -> Vec<ValueLink> {
    let part = &tokens[first..end];
    if matches!(part[0].kind, TokenKind::Mark(_))
        || matches!(part[part.len() - 1].kind, TokenKind::Mark(_))
            && !part.last().is_some_and(|it| it.is_mark('.'))
    {
        return Vec::new();
    }
    let joined = part.iter().map(|it| it.lower.as_str()).collect::<Vec<_>>().join(" ");
    let key = normalized(&joined);
    if part.len() > 1 && is_beyond(index, &part[0], &key) {
        return Vec::new();
    }
    let capital = part.iter().any(|it| it.capital);
    let mut links: Vec<Seen<'_>> = seen(index, &key).collect();
    let mut keys: HashSet<String> = HashSet::from([key.clone()]);
    let base = if part.len() > 1 { 1.25 } else { 0.95 };
    let boost = if capital { 0.25 } else { 0.0 };
    for it in &mut links {
        let worth = lookup::worth(index, &key, (it.table, it.column), it.value);
        it.score = (base + boost) * worth;
    }
    let only_word = part.len() == 1;
    if matches!(part[part.len() - 1].kind, TokenKind::Word) {
        // one of several, or several of one
        let mut lemmas: Vec<&str> = part.iter().map(|it| it.lower.as_str()).collect();
        let last = part[part.len() - 1].lemma.as_str();
        lemmas.pop();
        lemmas.push(last);
        let plural = format!("{}s", part[part.len() - 1].lower);
        let mut forms = vec![lemmas.join(" ")];
        lemmas.pop();
        lemmas.push(&plural);
        forms.push(lemmas.join(" "));
        // `payments that fail`: a state of that verb
        if only_word
            && !capital
            && part[0].lower == part[0].lemma
            && part[0].lower.len() > 3
            && LEXICON.degree(&part[0].lower).is_none()
        {
            // `successful payments`: of the state `success`
            let ful = part[0].lower.strip_suffix("ful").unwrap_or_default().to_owned();
            for form in [
                ful,
                format!("{}ed", part[0].lemma),
                format!("{}d", part[0].lemma),
                format!("{}led", part[0].lemma),
            ] {
                let of_kind = seen(index, &normalized(&form))
                    .any(|it| index.tables[it.table].columns[it.column].is_state());
                if of_kind {
                    forms.push(form);
                }
            }
        }
        // `canceled` and `cancelled`
        if part[part.len() - 1].lower.ends_with("eled") {
            forms.push(key.replace("eled", "elled"));
        } else if part[part.len() - 1].lower.ends_with("elled") {
            forms.push(key.replace("elled", "eled"));
        }
        for (number, form) in forms.into_iter().enumerate() {
            let form = normalized(&form);
            if keys.insert(form.clone()) {
                for mut it in seen(index, &form) {
                    it.score = if only_word && !capital && number == 0 {
                        0.75
                    } else {
                        base - 0.15 + boost
                    };
                    links.push(it);
                }
            }
        }
        for place in LEXICON.place(&key) {
            // `in` is no Indiana
            if key.len() == 2 && place.len() > 2 && !capital {
                continue;
            }
            let form = normalized(place);
            if keys.insert(form.clone()) {
                for mut it in seen(index, &form) {
                    it.score = base - 0.1 + boost;
                    links.push(it);
                }
            }
        }
    }
    // `artworks that are nominated`: all that stands in a table of nominations is
    if only_word && !capital && part[0].lower.ends_with("ed") {
        links.retain(|it| !index.tables[it.table].stems.iter().any(|it| **it == *part[0].stem));
    }
    if links.is_empty() {
        return Vec::new();
    }
    // words of every question are values only where something else says so
    let only = part.len() == 1;
    let lower = part[0].lower.as_str();
    if only
        && !capital
        && (LEXICON.is_stop(lower) || LEXICON.degree(lower).is_some() || is_question_word(lower))
    {
        // `high priority tickets`, `urgent and high tickets`: a label of what stands beside it
        // and of the labels of one column, the others told (`high and urgent`), whatever that column is called
        let joined = |at: usize| {
            let only = tokens.get(at).filter(|it| it.kind == TokenKind::Word);
            only.is_some_and(|other| {
                LEXICON.degree(lower).is_some()
                    && other.lower != lower
                    && seen(index, &other.lower).any(|other| {
                        index.tables[other.table].columns[other.column].complete
                            && links
                                .iter()
                                .any(|it| (it.table, it.column) == (other.table, other.column))
                    })
            })
        };
        let joins = |at: usize| {
            tokens.get(at).is_some_and(|it| {
                matches!(it.lower.as_str(), "and" | "or" | "nor") || it.is_mark(',')
            })
        };
        // `are they bad or good?` asks which
        let choice = tokens
            .first()
            .is_some_and(|it| matches!(it.lower.as_str(), "is" | "are" | "was" | "were"));
        let listed = !choice
            && (joins(end) && joined(end + 1)
                || first > 1 && joins(first - 1) && joined(first - 2));
        let beside = listed
            || (end..(end + 3).min(tokens.len())).any(|at| {
                links.iter().any(|it| {
                    let table = &index.tables[it.table];
                    table.columns[it.column].complete
                        && LEXICON.degree(lower).is_some()
                        && (table.columns[it.column].words.contains(&tokens[at].lemma)
                            || table.words == [tokens[at].lemma.clone()])
                })
            });
        if beside {
            links.retain(|it| index.tables[it.table].columns[it.column].complete);
            return links.into_iter().take(UNRANKED).map(Seen::link).collect();
        }
        let shouted = part[0].text.len() > 1 && part[0].text.chars().all(char::is_uppercase);
        if !shouted {
            return Vec::new();
        }
    }
    if only && lower.chars().count() == 1 && !(capital && lower != "a" && lower != "i") {
        return Vec::new();
    }
    if only
        && capital
        && (LEXICON.is_stop(lower) || is_question_word(lower))
        && part[0].text.len() > 1
        && !part[0].text.chars().all(char::is_uppercase)
    {
        return Vec::new();
    }
    if !only && part.len() == 2 && matches!(part[0].lower.as_str(), "the" | "a" | "an") && !capital
    {
        return Vec::new();
    }
    if !only && part.iter().all(|it| LEXICON.is_stop(&it.lower)) {
        return Vec::new();
    }
    if matches!(part[0].kind, TokenKind::Number(_)) && only {
        for it in &mut links {
            it.score = 0.4;
        }
    }
    work::note(links.len());
    let mut ranked: Vec<(usize, Seen<'_>)> = links.into_iter().enumerate().collect();
    let better = |a: &(usize, Seen<'_>), b: &(usize, Seen<'_>)| {
        let place = |it: &(usize, Seen<'_>)| (it.1.table, it.1.column, it.0);
        b.1.score.total_cmp(&a.1.score).then(place(a).cmp(&place(b)))
    };
    if ranked.len() > MOST {
        ranked.select_nth_unstable_by(MOST, better);
        ranked.truncate(MOST);
    }
    ranked.sort_unstable_by(better);
    ranked.into_iter().map(|it| it.1.link()).collect()
}

/// The most places of a value that are kept.
const MOST: usize = 20;

/// The same of a label that is meant wherever it stands.
const UNRANKED: usize = 1000;
