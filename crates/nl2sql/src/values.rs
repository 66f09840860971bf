//! Finds the stored values that words of a question may mean.

use std::collections::HashSet;

use crate::{
    index::SchemaIndex,
    lexicon::LEXICON,
    link::{ValueLink, is_question_word},
    lookup,
    token::{Token, TokenKind, normalized},
};

pub(crate) fn exact_values(index: &SchemaIndex, text: &str) -> Vec<ValueLink> {
    let key = normalized(text);
    let found = index.found.get(&key).into_iter().flatten();
    let looked_up = found.map(|it| ValueLink {
        table: it.table,
        column: it.column,
        value: it.value.clone(),
        score: 0.9,
    });
    index
        .values
        .get(&key)
        .into_iter()
        .flatten()
        .map(|it| ValueLink {
            table: it.table,
            column: it.column,
            value: index.tables[it.table].columns[it.column].values[it.value].clone(),
            score: 0.9,
        })
        .chain(looked_up)
        .collect()
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
    let capital = part.iter().any(|it| it.capital);
    let mut links = exact_values(index, &key);
    let mut keys: HashSet<String> = HashSet::from([key.clone()]);
    let base = if part.len() > 1 { 1.25 } else { 0.95 };
    let boost = if capital { 0.25 } else { 0.0 };
    for it in &mut links {
        it.score = (base + boost) * lookup::worth(index, &key, it);
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
                let of_kind = exact_values(index, &form)
                    .into_iter()
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
                for mut it in exact_values(index, &form) {
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
                for mut it in exact_values(index, &form) {
                    it.score = base - 0.1 + boost;
                    links.push(it);
                }
            }
        }
    }
    // `artworks that are nominated`: all that stands in a table of nominations is
    if only_word && !capital && part[0].lower.ends_with("ed") {
        links.retain(|it| {
            let words = &index.tables[it.table].words;
            !words.iter().any(|it| LEXICON.stem(it) == part[0].stem)
        });
    }
    if links.is_empty() {
        return links;
    }
    // words of every question are values only where something else says so
    let only = part.len() == 1;
    let lower = part[0].lower.as_str();
    if only
        && !capital
        && (LEXICON.is_stop(lower) || LEXICON.degree(lower).is_some() || is_question_word(lower))
    {
        // `high priority tickets`, `urgent and high tickets`: a label of what stands beside it
        let beside = (end..(end + 3).min(tokens.len())).any(|at| {
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
            return links;
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
    links.sort_by(|a, b| {
        b.score.total_cmp(&a.score).then((a.table, a.column).cmp(&(b.table, b.column)))
    });
    links.truncate(20);
    links
}
