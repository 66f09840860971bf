//! Puts right slips of the finger in words of every question.

use crate::{
    idiom,
    index::SchemaIndex,
    lasting,
    lexicon::LEXICON,
    link::distance,
    token::{Token, TokenKind},
};

/// Puts right slips of the finger in words that calculate and compare, which no schema holds.
pub(crate) fn correct(index: &SchemaIndex, tokens: &mut Vec<Token>) {
    idiom::plain(index, tokens);
    lasting::plain(index, tokens);
    const WORDS: [&str; 50] = [
        "average",
        "total",
        "number",
        "maximum",
        "minimum",
        "highest",
        "lowest",
        "largest",
        "smallest",
        "between",
        "without",
        "revenue",
        "month",
        "quarter",
        "percentage",
        "currently",
        "which",
        "running",
        "cumulative",
        "growth",
        "share",
        "percent",
        "received",
        "failed",
        "returned",
        "cancelled",
        "delivered",
        "shipped",
        "payment",
        "payments",
        "customer",
        "customers",
        "product",
        "products",
        "employee",
        "employees",
        "orders",
        "yesterday",
        "today",
        "november",
        "december",
        "february",
        "january",
        "september",
        "october",
        "country",
        "category",
        "department",
        "supplier",
        "revenue",
    ];
    // `revenu` is what the lexicon knows the word by, but no word
    let is_cut = |it: &str| {
        WORDS.iter().any(|word| word.strip_suffix('e') == Some(it)) && !LEXICON.is_vocabulary(it)
    };
    // `how mcuh`
    for at in 1..tokens.len() {
        let slip = tokens[at].kind == TokenKind::Word
            && tokens[at].lower.len() == 4
            && !LEXICON.knows(&tokens[at].lower, &tokens[at].stem)
            && !index.vocabulary.holds(&tokens[at].stem)
            && tokens[at - 1].lower == "how";
        let meant = ["much", "many"].into_iter().find(|it| distance(&tokens[at].lower, it, 1) == 1);
        if let Some(meant) = meant.filter(|_| slip) {
            tokens[at].lower = meant.to_owned();
            tokens[at].lemma = meant.to_owned();
            tokens[at].stem = LEXICON.stem(meant);
        }
    }
    for token in tokens.iter_mut() {
        below(index, token);
        // `the Fall of 2009`, where semesters are called so: a name, no time of the year
        if crate::time::season(&token.lower).is_some() && index.values.has(&token.lower) {
            token.capital = true;
        }
        let known = token.kind != TokenKind::Word
            || token.lower.len() < 4
            || token.capital && !token.lower.starts_with(['j', 'f', 's', 'o', 'n', 'd'])
            || LEXICON.knows(&token.lower, &token.lower) && !is_cut(&token.lower)
            || LEXICON.is_light(&token.lower)
            || LEXICON.degree(&token.lower).is_some()
            || index.vocabulary.holds(&token.stem) && !is_cut(&token.lower)
            || index.vocabulary.holds(&token.lower) && !is_cut(&token.lower)
            || index.values.has(&token.lower)
            || index.found.contains_key(&token.lower);
        if known || WORDS.contains(&token.lower.as_str()) {
            continue;
        }
        // a plural or another form is no slip
        let meant = WORDS.iter().find(|it| {
            (token.lower.len() > 4 || **it == "which")
                && it.as_bytes().first() == token.lower.as_bytes().first()
                && distance(&token.lower, it, if it.len() > 7 { 2 } else { 1 })
                    <= if it.len() > 7 { 2 } else { 1 }
                && !token.lower.starts_with(**it)
                && !is_form_of(&token.lower, it)
        });
        let meant = meant.copied().or_else(|| other_word(index, token));
        if let Some(meant) = meant {
            token.lower = meant.to_owned();
            token.lemma = LEXICON.lemma(meant);
            token.stem = LEXICON.stem(&token.lemma);
        }
    }
}

/// `subcategories`, where categories lie in one another and nothing is called so: those that belong to others.
fn below(index: &SchemaIndex, token: &mut Token) {
    let Some(name) = token.lower.strip_prefix("sub").map(|it| it.trim_start_matches('-')) else {
        return;
    };
    let lemma = LEXICON.lemma(name);
    let stem = LEXICON.stem(&lemma);
    let tree =
        index.tables.iter().enumerate().any(|(at, _)| {
            index.edges_from(at).any(|it| it.to == at) && index.is_called(at, &stem)
        });
    let known = index.vocabulary.holds(&token.stem) || index.values.has(&token.lower);
    if tree && !known && name.len() > 2 {
        token.lower = name.to_owned();
        token.stem = LEXICON.stem(&lemma);
        token.lemma = lemma;
    }
}

/// Names of a lower quality are parts of names, or made of descriptions.
const CALLED: f64 = 0.86;

/// The only word one slip away for which something in the schema may stand: `ordre` where orders are called purchases.
fn other_word(index: &SchemaIndex, token: &Token) -> Option<&'static str> {
    let word = token.lower.as_str();
    if word.len() < 5 || token.capital || LEXICON.knows(word, &token.stem) {
        return None;
    }
    // what is one slip from a name is put right when it is linked
    if index.vocabulary.is_near(&token.stem, CALLED) {
        return None;
    }
    let mut found = LEXICON.told().iter().copied().filter(|it| {
        let stem = LEXICON.stem(&LEXICON.lemma(it));
        it.as_bytes().first() == word.as_bytes().first()
            // `sallaries`: by the form for one
            && (distance(word, it, 1) == 1 || distance(&token.lemma, it, 1) == 1)
            && !word.starts_with(it)
            && !is_form_of(word, it)
            && LEXICON.synonyms(&stem).iter().any(|it| index.vocabulary.holds(it))
    });
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// Whether a word is a verb in a form of its own that only looks like a slip of another: `employed` is no `employee`.
fn is_form_of(word: &str, other: &str) -> bool {
    let stem = word.strip_suffix("ed").or_else(|| word.strip_suffix("ing"));
    stem.is_some_and(|it| it.len() > 3 && other.starts_with(it))
}
