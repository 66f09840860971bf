//! What people know a row by.

use plinth_schema_introspect::TypeClass;

use super::Table;

/// The columns that people know a row by: a name, else a title, else the first telling text, else the key.
pub(super) fn display_columns(table: &Table) -> Vec<usize> {
    let is = |at: usize, words: &[&str]| table.columns[at].words.iter().eq(words.iter());
    let ends = |at: usize, word: &str| table.columns[at].words.last().is_some_and(|it| it == word);
    let texts: Vec<usize> = (0..table.columns.len())
        .filter(|&it| {
            table.columns[it].class.is_textual() || table.columns[it].class == TypeClass::Other
        })
        .collect();
    let own = |at: usize| {
        let words = &table.columns[at].words;
        words.len() == table.words.len() + 1
            && words[..table.words.len()] == table.words[..]
            && words.last().is_some_and(|it| it == "name")
    };
    if let Some(&at) =
        texts.iter().find(|&&at| is(at, &["name"]) || own(at) || is(at, &["full", "name"]))
    {
        return vec![at];
    }
    let part = |first: &str| {
        texts
            .iter()
            .copied()
            .find(|&at| ends(at, "name") && table.columns[at].words.iter().any(|it| it == first))
    };
    let called = |word: &str| texts.iter().copied().find(|&at| ends(at, word));
    let firsts = || {
        part("fore")
            .or_else(|| part("given"))
            .or_else(|| part("give"))
            .or_else(|| called("forename"))
    };
    let lasts = || part("sur").or_else(|| part("family")).or_else(|| called("surname"));
    if let Some(first) = part("first").or_else(firsts)
        && let Some(last) = part("last").or_else(lasts)
    {
        return vec![first, last];
    }
    if let Some(&at) = texts.iter().find(|&&at| is(at, &["title"])) {
        return vec![at];
    }
    let references = |at: usize| table.columns[at].foreign;
    for word in ["name", "title", "surname", "label", "designation", "", "description", "detail"] {
        // the number or code that people know a row by, where it is not the key that rows refer to
        if word.is_empty() {
            let number = texts.iter().find(|&&at| {
                let it = &table.columns[at];
                it.unique && !it.primary && !it.nullable && (ends(at, "number") || ends(at, "code"))
            });
            if let Some(&at) = number {
                return vec![at];
            }
            continue;
        }
        if let Some(&at) = texts.iter().find(|&&at| ends(at, word) && !references(at)) {
            return vec![at];
        }
    }
    // a column called like its table
    if let Some(&at) = texts.iter().find(|&&at| table.columns[at].words == table.words) {
        return vec![at];
    }
    if let Some(&at) = texts
        .iter()
        .find(|&&at| table.columns[at].words.iter().any(|it| it == "name" || it == "title"))
    {
        return vec![at];
    }
    if !table.primary.is_empty() && table.primary.len() == 1 {
        return table.primary.clone();
    }
    texts.first().copied().or((!table.columns.is_empty()).then_some(0)).into_iter().collect()
}
