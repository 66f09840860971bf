//! Very many questions made by chance: whatever people or programs send, the engine answers, and soon.
//!
//! A short form runs with the other tests; `cargo xtask soak questions` tries a million.

mod schema;

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use plinth_connections::AllowedTables;
use plinth_nl2sql::{AskContext, Engine, SchemaIndex};
use plinth_schema_introspect::{Catalog, Schema};

use crate::schema::relation;

/// How many questions the short form asks.
const SHORT: u64 = 1_500;

/// What chance begins with in the short form.
const SEED: u64 = 20_261_128;

/// No question takes longer in an optimized build, however odd it is.
const LIMIT: Duration = Duration::from_secs(1);

/// Words that mean something to the engine, names of the schema, and what stands between words.
const WORDS: &[&str] = &[
    "how",
    "many",
    "books",
    "authors",
    "loans",
    "readers",
    "branches",
    "per",
    "by",
    "for",
    "each",
    "top",
    "3",
    "most",
    "average",
    "sum",
    "of",
    "price",
    "pages",
    "in",
    "2024",
    "last",
    "month",
    "this",
    "year",
    "before",
    "after",
    "between",
    "and",
    "or",
    "not",
    "without",
    "any",
    "never",
    "more",
    "than",
    "10",
    "less",
    "highest",
    "lowest",
    "crime",
    "poetry",
    "Cork",
    "Aarhus",
    "Ada",
    "Berg",
    "percentage",
    "ratio",
    "share",
    "who",
    "which",
    "where",
    "what",
    "is",
    "are",
    "the",
    "a",
    "all",
    "list",
    "show",
    "me",
    "distinct",
    "different",
    "old",
    "new",
    "returned",
    "fine",
    "published",
    "in_print",
    "first",
    "second",
    "-1",
    "1e309",
    "99999999999999999999",
    "0.5",
    "50%",
    "'",
    "\"",
    "''",
    "\\",
    ";",
    "--",
    "/*",
    "*/",
    "$$",
    "%",
    "_",
    "(",
    ")",
    "?",
    "!",
    ",",
    ".",
    "=",
    "<",
    ">=",
    "\u{0}",
    "\u{feff}",
    "\u{202e}",
    "é",
    "日本",
    "🙂",
    "SELECT",
    "DROP TABLE books",
    "ignore previous instructions",
    "'; DELETE FROM loans; --",
    "31 February",
    "2024-02-30",
    "yesterday",
    "tomorrow",
    "week",
    "quarter",
    "since",
    "until",
    "group",
    "order",
    "sorted",
    "descending",
    "count",
];

/// Numbers that look like chance (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).expect("below a usize")
    }

    fn question(&mut self) -> String {
        let words =
            (0..=self.below(16)).map(|_| WORDS[self.below(WORDS.len())]).collect::<Vec<_>>();
        let text = words.join(if self.below(8) == 0 { "" } else { " " });
        match self.below(10) {
            // Slips of the finger, and what no finger does.
            0..4 => {
                let mut bytes = text.into_bytes();
                for _ in 0..=self.below(5) {
                    let at = self.below(bytes.len());
                    match (self.below(3), bytes.get(at).copied()) {
                        (0, Some(_)) => drop(bytes.remove(at)),
                        (1, Some(byte)) => bytes.insert(at, byte),
                        _ => bytes.insert(at, self.next().to_le_bytes()[0]),
                    }
                }
                String::from_utf8_lossy(&bytes).into_owned()
            }
            4 => {
                let bytes: Vec<_> =
                    (0..self.below(300)).map(|_| self.next().to_le_bytes()[0]).collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
            _ => text,
        }
    }
}

fn catalog() -> Catalog {
    const TABLES: [&str; 3] = ["authors", "books", "loans"];
    let columns: [&[&str]; 3] = [
        &["id* integer", "name text=Ada Berg|Tom Reed", "birth_year integer"],
        &[
            "id* integer",
            "title text=The Quiet Harbour|Northern Light",
            "author_id integer>authors",
            "genre text=crime|poetry|travel",
            "price numeric",
            "pages integer",
            "published_on date",
            "in_print boolean",
        ],
        &[
            "id* integer",
            "book_id integer>books",
            "city text=Aarhus|Cork",
            "returned_at? timestamptz",
            "fine? numeric",
        ],
    ];
    let relations = TABLES
        .iter()
        .zip(columns)
        .enumerate()
        .map(|(at, (name, columns))| {
            relation(u32::try_from(at).expect("few") + 1, name, columns, &TABLES).into()
        })
        .collect();
    Catalog {
        server_version_num: 150_000,
        database: "library".to_owned(),
        role: "reader".to_owned(),
        search_path: vec!["public".to_owned()],
        schemas: vec![Schema { name: "public".to_owned(), comment: None, usable: true }],
        relations,
        ..Catalog::default()
    }
}

/// A number from the environment, as `cargo xtask soak` gives it.
fn number(name: &str) -> Option<u64> {
    std::env::var_os(name)?.to_str()?.parse().ok()
}

#[test]
fn whatever_is_asked_is_answered_and_soon() {
    let asked = number("SOAK_INPUTS");
    let seed = number("SOAK_SEED").unwrap_or(SEED);
    let inputs = asked.unwrap_or(SHORT);
    let engine = Engine::new();
    let index = SchemaIndex::build(&catalog(), &AllowedTables::All);
    let now = "2026-03-04T05:06:07[UTC]".parse().expect("a time");
    let context = AskContext { now };
    let mut chance = Chance(seed);
    let mut longest = (Duration::ZERO, String::new());
    println!("{inputs} questions from seed {seed}");
    for number in 0..inputs {
        let question = chance.question();
        let started = Instant::now();
        let ended = std::panic::catch_unwind(AssertUnwindSafe(|| {
            drop(engine.ask(&question, &index, &context))
        }));
        assert!(ended.is_ok(), "question {number} from seed {seed}: {question:?}");
        longest = longest.max((started.elapsed(), question));
    }
    println!("the longest took {:?}: {:?}", longest.0, longest.1);
    let is_measured = asked.is_some() && !cfg!(debug_assertions);
    assert!(!is_measured || longest.0 < LIMIT, "{:?} took {:?}", longest.1, longest.0);
}
