//! Set phrases whose meaning depends on what a schema keeps: how customers found us, a value by the initials of its words.

use crate::{
    index::SchemaIndex,
    lexicon::LEXICON,
    logical::ColumnRef,
    meta, phrase,
    token::{Token, TokenKind, normalized},
};

/// Reads such phrases as plainer words.
pub(crate) fn plain(index: &SchemaIndex, tokens: &mut Vec<Token>) {
    initials(index, tokens);
    sales(index, tokens);
    found_us(index, tokens);
}

fn word(tokens: &[Token], at: usize) -> &str {
    match tokens.get(at) {
        Some(it) if it.kind != TokenKind::Quoted => &it.lower,
        _ => "",
    }
}

/// `HR`, where one of the departments is called Human Resources and nothing else is called so.
fn initials(index: &SchemaIndex, tokens: &mut Vec<Token>) {
    // where everything is in capitals they say nothing
    let lower = |it: &Token| it.kind == TokenKind::Word && it.text.chars().any(char::is_lowercase);
    if index.initials.is_empty() || !tokens.iter().any(lower) {
        return;
    }
    let mut at = 0;
    while at < tokens.len() {
        let token = &tokens[at];
        let capitals = token.kind == TokenKind::Word
            && (2..=5).contains(&token.text.len())
            && token.text.chars().all(|it| it.is_ascii_uppercase());
        // `the TOP ten`, `at 9 AM`: words of language, however they are written
        let word = LEXICON.is_stop(&token.lower)
            || LEXICON.is_light(&token.lower)
            || LEXICON.knows(&token.lower, &token.stem)
            || matches!(token.lower.as_str(), "am" | "pm");
        let known = word
            || index.values.has(&token.lower)
            || index.vocabulary.holds(&token.stem)
            || index.found.contains_key(&token.lower)
            || !LEXICON.place(&token.lower).is_empty();
        let value = index.initials.get(&token.lower).filter(|_| capitals && !known);
        let Some(Some(value)) = value else {
            at += 1;
            continue;
        };
        let said = phrase::words(value, token);
        let length = said.len();
        tokens.splice(at..=at, said);
        at += length;
    }
}

/// `per sales channel`, where a column is called channel and none sales channel: the channel.
fn sales(index: &SchemaIndex, tokens: &mut Vec<Token>) {
    let led = |it: &str| matches!(it, "per" | "by" | "each" | "every" | "which" | "what");
    let found = (1..tokens.len().saturating_sub(1)).find(|&at| {
        tokens[at].lower == "sales"
            && led(word(tokens, at - 1))
            && index.vocabulary.holding(&tokens[at + 1].stem).iter().any(|it| {
                let name = index.vocabulary.name(it.0);
                name.len() == 1 && name.column().is_some() && name.quality > 0.9
            })
    });
    let Some(at) = found else { return };
    // a name of both words
    let vocabulary = &index.vocabulary;
    let sold = ["sale", "sales"].map(|it| vocabulary.id(it));
    let both = vocabulary.holding(&tokens[at + 1].stem).iter().any(|it| {
        let name = vocabulary.name(it.0);
        name.quality > 0.9 && vocabulary.words(name).iter().any(|it| sold.contains(&Some(it.lemma)))
    });
    if !both {
        tokens.remove(at);
    }
}

/// `how did our customers find us?`, `revenue by how the customer came to us`: by the column that keeps it.
fn found_us(index: &SchemaIndex, tokens: &mut Vec<Token>) {
    let Some(how) = (0..tokens.len()).find(|it| word(tokens, *it) == "how") else { return };
    let asks = matches!(word(tokens, how + 1), "did" | "do" | "does" | "have" | "has");
    let led = how > 0 && matches!(word(tokens, how - 1), "by" | "per" | "of");
    if !(asks && how == 0 || led && !asks) {
        return;
    }
    let from = how + 1 + usize::from(asks);
    let came = |at: &usize| {
        matches!(
            word(tokens, *at),
            "find"
                | "found"
                | "discover"
                | "discovered"
                | "hear"
                | "heard"
                | "come"
                | "came"
                | "get"
                | "got"
                | "learn"
                | "learned"
                | "learnt"
                | "reach"
                | "reached"
        )
    };
    // of whom it is said stands between, in a word or three
    let Some(verb) = (from + 1..tokens.len().min(from + 5)).find(came) else { return };
    let mut end = verb + 1;
    while matches!(word(tokens, end), "to" | "about" | "of" | "out" | "know") {
        end += 1;
    }
    if word(tokens, end) != "us" {
        return;
    }
    end += 1;
    let Some(column) = acquisition(index) else { return };
    let table = &index.tables[column.table];
    if !speaks_of(&tokens[from..verb], &table.words) {
        return;
    }
    let name = table.words.join(" ");
    let called = format!("{name} {ACQUISITION}");
    let place = tokens[how].clone();
    if led {
        tokens.splice(how..end, phrase::words(&called, &place));
        return;
    }
    // `numbers per channel` says the same once more
    let mark = tokens.get(end).is_some_and(|it| matches!(it.kind, TokenKind::Mark(_)));
    let more = end + usize::from(mark);
    let again = matches!(word(tokens, more), "numbers" | "number" | "count" | "counts")
        && matches!(word(tokens, more + 1), "per" | "by");
    if again {
        // told apart by anything else it is another question
        let by = tokens.get(more + 2).map_or("", |it| it.lemma.as_str());
        let own = index.column(column).words.iter().any(|it| it == by);
        if !own && !matches!(by, "channel" | "source") {
            return;
        }
        end = more + 3;
    } else if more < tokens.len() {
        return;
    }
    let many = meta::plural(&name);
    let read = phrase::words(&format!("number of {many} per {called}"), &place);
    tokens.splice(..end.min(tokens.len()), read);
}

/// Whether words between "how did" and "find us" name the rows of a table, or everybody.
fn speaks_of(said: &[Token], table: &[String]) -> bool {
    let meant: Vec<&Token> = said
        .iter()
        .filter(|it| {
            !matches!(
                it.lower.as_str(),
                "the" | "our" | "a" | "an" | "all" | "each" | "every" | "these" | "those" | "of"
            )
        })
        .collect();
    match meant.as_slice() {
        [] => false,
        [one] if matches!(one.lower.as_str(), "you" | "they" | "people") => true,
        all => all.iter().all(|it| {
            let stem = &it.stem;
            table.iter().any(|word| {
                let own = LEXICON.stem(word);
                own == *stem || LEXICON.synonyms(stem).contains(&own)
            })
        }),
    }
}

/// A word for that column, whatever it is called.
const ACQUISITION: &str = "acquisition";

impl SchemaIndex {
    /// Gives the column that says how somebody was won a name of its own.
    pub(crate) fn add_acquisition(&mut self) {
        if let Some(column) = acquisition(self) {
            let name = [ACQUISITION.to_owned()];
            self.add_name(column.table, Some(column.column), &name, 0.97, false);
            let mut with = self.tables[column.table].words.clone();
            with.extend(name);
            self.add_name(column.table, Some(column.column), &with, 0.97, true);
        }
    }
}

/// The one column that says how somebody was won: by its name, or by what is written about it.
fn acquisition(index: &SchemaIndex) -> Option<ColumnRef> {
    let mut all = index.tables.iter().enumerate().flat_map(|(table, info)| {
        info.columns.iter().enumerate().filter_map(move |(column, it)| {
            let named = it.words.iter().any(|it| {
                matches!(it.as_str(), "acquired" | "acquire" | "acquisition" | "referrer" | "utm")
            }) || it.words.last().is_some_and(|it| it == "source")
                && it.words.iter().any(|it| {
                    matches!(it.as_str(), "lead" | "referral" | "signup" | "traffic" | "marketing")
                });
            let comment = normalized(it.comment.as_deref().unwrap_or_default());
            let told = ["found us", "came to us", "heard about us", "heard of us"];
            let told = told.iter().any(|it| comment.contains(it));
            let kept = !it.class.is_temporal() && !it.class.is_numeric() && !it.is_id();
            (kept && (named || told)).then(|| ColumnRef::new(table, column))
        })
    });
    let first = all.next()?;
    all.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::speaks_of;
    use crate::token::tokenize;

    #[test]
    fn only_those_of_the_table_found_us() {
        let of = |said: &str, table: &str| speaks_of(&tokenize(said), &[table.to_owned()]);
        assert!(of("our guests", "guest") && of("they", "guest") && of("people", "guest"));
        assert!(!of("our cooks", "guest") && !of("the new guests", "guest") && !of("our", "guest"));
    }
}
