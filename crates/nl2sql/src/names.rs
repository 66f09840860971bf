//! Splits the names of tables and columns into words: snake and camel case, glued words, short forms, prefixes.

use std::collections::HashSet;

use crate::lexicon::LEXICON;

/// The words of a name, in lower case, short forms as written.
pub(crate) fn split(name: &str, extra: &HashSet<String>) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let chars: Vec<char> = name.chars().collect();
    for (at, &c) in chars.iter().enumerate() {
        if !c.is_alphanumeric() {
            flush(&mut word, &mut words);
            continue;
        }
        let before = at.checked_sub(1).map(|it| chars[it]);
        let camel = c.is_uppercase()
            && before.is_some_and(|it| {
                it.is_lowercase()
                    || (it.is_uppercase() && chars.get(at + 1).is_some_and(|it| it.is_lowercase()))
            });
        let digit = before
            .is_some_and(|it| it.is_alphanumeric() && it.is_ascii_digit() != c.is_ascii_digit());
        if camel || digit {
            flush(&mut word, &mut words);
        }
        word.extend(c.to_lowercase());
    }
    flush(&mut word, &mut words);
    words.into_iter().flat_map(|word| unglue(&word, extra).unwrap_or_else(|| vec![word])).collect()
}

fn flush(word: &mut String, words: &mut Vec<String>) {
    if !word.is_empty() {
        words.push(std::mem::take(word));
    }
}

/// Splits a word that was glued from several known ones (`employeeid`, `birthdate`); `None` if it is not such a word.
fn unglue(word: &str, extra: &HashSet<String>) -> Option<Vec<String>> {
    let n = word.len();
    if !(4..=40).contains(&n)
        || !word.is_ascii()
        || LEXICON.is_vocabulary(word)
        || LEXICON.is_vocabulary(&LEXICON.lemma(word))
        || LEXICON.expand(word).is_some()
        || is_whole(word)
    {
        return None;
    }
    let known = |it: &str| {
        LEXICON.is_vocabulary(it)
            || extra.contains(it)
            || matches!(it, "id" | "num" | "no" | "of" | "dob" | "yn")
            || (it.len() >= 3 && LEXICON.is_vocabulary(&LEXICON.lemma(it)))
    };
    const TAILS: [&str; 9] = ["id", "name", "num", "code", "date", "no", "type", "title", "number"];
    // a short form or a letter in front of a word that many names end with (`custid`, `pname`)
    for tail in TAILS {
        if let Some(head) = word.strip_suffix(tail)
            && !LEXICON.is_vocabulary(&LEXICON.lemma(word))
        {
            if head.len() == 1 && tail.len() > 2 {
                return Some(vec![tail.to_owned()]);
            }
            let stem = LEXICON.stem(&LEXICON.lemma(head));
            if head.len() >= 3
                && (LEXICON.expand(head).is_some()
                    || !LEXICON.is_stop(head) && LEXICON.knows(head, &stem))
            {
                return Some(vec![head.to_owned(), tail.to_owned()]);
            }
        }
    }
    // the fewest pieces that make up the word; a piece of one letter may stand first only (`pname`)
    let mut best: Vec<Option<(usize, usize)>> = vec![None; n + 1];
    best[0] = Some((0, 0));
    for end in 1..=n {
        for start in 0..end {
            let Some((count, _)) = best[start] else { continue };
            let piece = &word[start..end];
            let whole = start == 0 && end == n;
            let cost = if !whole && piece.len() > 1 && known(piece) {
                1
            } else {
                continue;
            };
            if best[end].is_none_or(|it| count + cost < it.0) {
                best[end] = Some((count + cost, start));
            }
        }
    }
    best[n].filter(|it| it.0 <= 5)?;
    let mut pieces = Vec::new();
    let mut end = n;
    while end > 0 {
        let (_, start) = best[end]?;
        pieces.push(word[start..end].to_owned());
        end = start;
    }
    pieces.reverse();
    (pieces.len() > 1 || pieces[0] != word).then_some(pieces)
}

/// Whether a word that could be cut in two is known as a whole (`keywords`). What ends in a noun that many names end with is
/// cut all the same, as are birthdays, which are dates of birth.
fn is_whole(word: &str) -> bool {
    let lemma = LEXICON.lemma(word);
    LEXICON.told().binary_search(&lemma.as_str()).is_ok()
        && !lemma.starts_with("birth")
        && !["name", "date", "code", "title", "number", "time"].iter().any(|it| lemma.ends_with(it))
}

/// The length in bytes of the beginning that most of these names share: a prefix that says nothing (`cust_`, `sbTx`).
/// Zero unless there are at least three names and three quarters of them share it.
pub(crate) fn common_prefix(names: &[&str]) -> usize {
    if names.len() < 3 {
        return 0;
    }
    let mut best = 0;
    let first: Vec<&&str> = names.iter().filter(|it| it.is_ascii()).collect();
    for name in first.iter().take(4) {
        for length in 2..name.len() {
            let prefix = &name[..length];
            let share = first
                .iter()
                .filter(|it| it.len() > length + 1 && it[..length].eq_ignore_ascii_case(prefix))
                .count();
            if share * 4 >= names.len() * 3 && share >= 3 {
                best = best.max(length);
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_at_underscores_capitals_digits_and_seams() {
        let words = |name| split(name, &HashSet::new());
        assert_eq!(words("first_name"), ["first", "name"]);
        assert_eq!(words("orderLineNo"), ["order", "line", "no"]);
        assert_eq!(words("HTTPStatus2"), ["http", "status", "2"]);
        assert_eq!(words("employeeid"), ["employee", "id"]);
        assert_eq!(words("pname"), ["name"]);
        assert_eq!(words("title"), ["title"]);
        assert_eq!(words("keywords"), ["keywords"]);
    }

    #[test]
    fn a_prefix_that_nearly_all_columns_share_is_found() {
        assert_eq!(common_prefix(&["cu_id", "cu_name", "cu_city"]), 3);
        assert_eq!(common_prefix(&["id", "name", "city"]), 0);
    }
}
