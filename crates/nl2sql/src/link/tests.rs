//! What is kept of one question must be what another would find out by itself.

use plinth_connections::AllowedTables;
use plinth_schema_introspect::{Catalog, Column, Relation, Schema, TypeClass};
use proptest::prelude::*;

use super::{Kin, Names, key, name::BEHIND, names};
use crate::{
    index::SchemaIndex,
    token::{Token, TokenKind, tokenize},
};

/// What a key stands for.
#[derive(Debug, PartialEq)]
struct Seen {
    length: usize,
    kin: Kin,
    tokens: Vec<(char, bool, [String; 3])>,
}

fn seen(tokens: &[Token], kin: Kin, first: usize, end: usize) -> Seen {
    let token = |it: &Token| {
        let kind = match it.kind {
            TokenKind::Word => 'w',
            TokenKind::Number(_) => 'n',
            TokenKind::Quoted => 'q',
            TokenKind::Mark(_) => 'm',
        };
        (kind, it.capital, [it.lower.clone(), it.lemma.clone(), it.stem.clone()])
    };
    let shown = &tokens[first..(end + BEHIND).min(tokens.len())];
    Seen { length: end - first, kin, tokens: shown.iter().map(token).collect() }
}

/// Reads a key back: a text that can be read in one way only is one thing's only.
fn read(key: &str) -> Seen {
    let at = key.find(['=', '~', '?']).expect("by which words");
    let (length, rest) = (key[..at].parse().expect("a number"), &key[at..]);
    let mut rest = rest.chars();
    let kin = match rest.next() {
        Some('=') => Kin::Own,
        Some('~') => Kin::Near,
        _ => Kin::Loose,
    };
    let mut rest = rest.as_str();
    let mut tokens = Vec::new();
    while !rest.is_empty() {
        let mut chars = rest.chars();
        let kind = chars.next().expect("a kind");
        let capital = chars.next() == Some('^');
        rest = chars.as_str();
        let parts = [(); 3].map(|()| {
            let (length, text) = rest.split_once(':').expect("a length");
            let (part, behind) = text.split_at(length.parse().expect("a number"));
            rest = behind;
            part.to_owned()
        });
        tokens.push((kind, capital, parts));
    }
    Seen { length, kin, tokens }
}

/// Words, numbers, marks and quotes that look like parts of a key.
fn question() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z]{1,4}s?",
        "[A-Z][a-z]{0,3}",
        "[0-9]{1,3}",
        "[,.?:'=~^-]",
        "\"[wnqm=~?^_:0-9é ]{0,8}\"",
        Just("longer than".to_owned()),
    ];
    proptest::collection::vec(piece, 1..10).prop_map(|it| it.join(" "))
}

proptest! {
    #[test]
    fn a_key_is_that_of_one_span_only(question in question(), at in 0usize..8, length in 1usize..6) {
        let tokens = tokenize(&question);
        prop_assume!(at < tokens.len());
        let end = (at + length).min(tokens.len());
        for kin in [Kin::Own, Kin::Near, Kin::Loose] {
            prop_assert_eq!(read(&key(&tokens, kin, at, end)), seen(&tokens, kin, at, end));
        }
    }
}

/// So many tables of the same columns that what words may name is kept.
fn many() -> SchemaIndex {
    let column = |name: &str| Column {
        name: name.to_owned(),
        class: TypeClass::Integer,
        readable: true,
        ..Column::default()
    };
    let relation = |at: u32| {
        let columns =
            ["longer", "cost", "institution_count", "founded", "day", "name"].map(column).to_vec();
        let name = format!("shelf_{at}");
        Relation {
            oid: at,
            schema: "public".to_owned(),
            name,
            readable: true,
            columns,
            ..Relation::default()
        }
    };
    let catalog = Catalog {
        search_path: vec!["public".to_owned()],
        schemas: vec![Schema { name: "public".to_owned(), comment: None, usable: true }],
        relations: (1..=60).map(|it| relation(it).into()).collect(),
        ..Catalog::default()
    };
    SchemaIndex::build(&catalog, &AllowedTables::All)
}

#[test]
fn spans_that_differ_in_anything_that_decides_share_nothing() {
    let index = many();
    // the same words, told apart by what stands behind them, by capitals, by quotes, by marks, by their number
    let questions = [
        "longer of all shelves",
        "longer than 3000",
        "which shelves cost more than 3",
        "which shelves cost 3",
        "the name of the day",
        "the Name of the Day",
        "the name, of the day",
        "the 'name' of the day",
        "name name day",
        "name day day",
        "names",
        "name",
        "institutions founded after 1880",
        "institutions founded",
        "institution founded after 1880",
        "day the longer",
        "day of the longer",
    ];
    let mut met = 0;
    for question in questions.iter().chain(questions.iter().rev()) {
        let tokens = tokenize(question);
        let kept = Names::new(&index, &tokens);
        for first in 0..tokens.len() {
            for end in first + 1..=tokens.len().min(first + super::MAX_NAME) {
                let own = names(&index, &tokens, &kept.hits, first, end);
                assert_eq!(kept.of(first, end), own, "{question}: {first}..{end}");
                met += usize::from(own.len() > 1);
            }
        }
    }
    assert!(met > 0, "they name something");
    // what is kept is what is asked for: words that may name many things, and mean none where they compare
    let of = |question: &str| {
        let tokens = tokenize(question);
        Names::new(&index, &tokens).of(0, 1).len()
    };
    assert!(of("longer of all shelves") > 0);
    assert_eq!(of("longer than 3000"), 0);
    assert!(of("longer of all shelves") > 0);
}
