//! Words in names and in what people type: how names are split, what counts as the same word, how alike two names are.

use std::collections::HashSet;

/// The words of a name or a sentence in lower case: divided at what is neither letter nor digit, between small and
/// capital letters (`orderLines`, `HTTPServer`), and between letters and digits.
pub(crate) fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let chars: Vec<char> = text.chars().collect();
    for (at, c) in chars.iter().copied().enumerate() {
        if !c.is_alphanumeric() {
            flush(&mut word, &mut words);
            continue;
        }
        let before = at.checked_sub(1).map(|it| chars[it]).filter(|it| it.is_alphanumeric());
        let after = chars.get(at + 1).copied();
        let begins = before.is_some_and(|it| {
            let camel = c.is_uppercase()
                && (it.is_lowercase()
                    || it.is_uppercase() && after.is_some_and(char::is_lowercase));
            camel || it.is_numeric() != c.is_numeric()
        });
        if begins {
            flush(&mut word, &mut words);
        }
        word.extend(c.to_lowercase());
    }
    flush(&mut word, &mut words);
    words
}

fn flush(word: &mut String, words: &mut Vec<String>) {
    if !word.is_empty() {
        words.push(std::mem::take(word));
    }
}

/// What is left of an English word without its ending, so that `categories`, `category` and `shipped`, `shipping` meet.
/// A word that is too short to have an ending, or not English, stays as it is.
pub(crate) fn stem(word: &str) -> String {
    if !word.is_ascii() || word.len() < 4 {
        return word.to_owned();
    }
    let singular = match word {
        _ if word.ends_with("sses") => word[..word.len() - 2].to_owned(),
        _ if word.ends_with("ies") && word.len() > 4 => format!("{}y", &word[..word.len() - 3]),
        _ if ["xes", "ches", "shes", "zes"].iter().any(|it| word.ends_with(it)) => {
            word[..word.len() - 2].to_owned()
        }
        _ if ["ss", "us", "is"].iter().any(|it| word.ends_with(it)) => word.to_owned(),
        _ => word.strip_suffix('s').unwrap_or(word).to_owned(),
    };
    for ending in ["ing", "ed"] {
        let Some(root) = singular.strip_suffix(ending) else { continue };
        // `red`, `king` and `need` have no root before their ending.
        let vowels = |it: char| "aeiouy".contains(it);
        if root.len() < 3 || !root.contains(vowels) || root.ends_with('e') {
            continue;
        }
        let mut letters = root.chars().rev();
        let (last, second) = (letters.next(), letters.next());
        // The consonant that was doubled before the ending.
        let doubled = last == second && last.is_some_and(|it| !vowels(it) && !"lsz".contains(it));
        let root = if doubled { &root[..root.len() - 1] } else { root };
        return root.to_owned();
    }
    // `ship-e-s` has lost its `s` above, `invoice` and `invoic-ing` meet without the `e`.
    match singular.strip_suffix('e') {
        Some(root) if root.len() > 3 && !root.ends_with(['e', 'l']) => root.to_owned(),
        _ => singular,
    }
}

/// How alike two names are, from 0 to 1: by the words that they share, or by their letters where they share none.
pub(crate) fn likeness(a: &str, b: &str) -> f64 {
    if a == b {
        return 1.0;
    }
    let words = |name: &str| split(name).iter().map(|it| stem(it)).collect::<HashSet<_>>();
    let by_words = dice(&words(a), &words(b));
    let pairs = |name: &str| {
        let letters: Vec<char> =
            format!(" {name} ").to_lowercase().chars().filter(|it| *it != '_').collect();
        letters.windows(2).map(|it| (it[0], it[1])).collect::<HashSet<_>>()
    };
    by_words.max(dice(&pairs(a), &pairs(b))).min(0.99)
}

#[expect(clippy::cast_precision_loss, reason = "names have few words and letters")]
fn dice<T: Eq + std::hash::Hash>(a: &HashSet<T>, b: &HashSet<T>) -> f64 {
    let all = a.len() + b.len();
    if all == 0 { 0.0 } else { 2.0 * a.intersection(b).count() as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_fall_into_words() {
        assert_eq!(split("order_items"), ["order", "items"]);
        assert_eq!(split("OrderLineItems"), ["order", "line", "items"]);
        assert_eq!(split("HTTPServerID2"), ["http", "server", "id", "2"]);
        assert_eq!(split("tbl.Größe  (cm)"), ["tbl", "größe", "cm"]);
        assert!(split("__ -").is_empty());
    }

    #[test]
    fn forms_of_a_word_meet_and_others_do_not() {
        for same in [
            ["category", "categories"],
            ["order", "orders"],
            ["ship", "shipped"],
            ["ship", "shipping"],
            ["invoice", "invoicing"],
            ["address", "addresses"],
            ["box", "boxes"],
            ["price", "prices"],
            ["create", "created"],
            ["employee", "employees"],
        ] {
            assert_eq!(stem(same[0]), stem(same[1]), "{same:?}");
        }
        for other in [["status", "state"], ["red", "r"], ["news", "new2"], ["user", "use"]] {
            assert_ne!(stem(other[0]), stem(other[1]), "{other:?}");
        }
    }

    #[test]
    fn the_closer_of_two_names_is_the_more_alike() {
        assert!(likeness("total", "total_amount") > likeness("total", "customer_id"));
        assert!(likeness("customers", "customer") > likeness("customers", "consumers"));
        assert!(likeness("colour", "color") > 0.5);
    }

    proptest! {
        #[test]
        fn any_text_can_be_split_and_compared(a in "\\PC{0,40}", b in "\\PC{0,40}") {
            for word in split(&a) {
                prop_assert!(!word.is_empty() && !stem(&word).is_empty());
            }
            let both = likeness(&a, &b);
            prop_assert!((0.0..=1.0).contains(&both));
            prop_assert!((both - likeness(&b, &a)).abs() < 1e-9);
            prop_assert!((likeness(&a, &a) - 1.0).abs() < 1e-9);
        }
    }
}
