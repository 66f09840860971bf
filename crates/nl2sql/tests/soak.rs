//! Very many questions, made of a few by chance: the engine never panics, answers nothing that it is not sure of, and writes
//! no SQL that the guard refuses.
//!
//! A short form runs with the other tests; `cargo xtask soak questions` runs a hundred thousand. Chance begins with a number
//! that is printed, so that a failure can be repeated. The same is asked of a fuzzer that is led by what of the code it reaches
//! (`fuzz/targets/question.rs`), which wants another compiler.

#![expect(clippy::print_stdout, reason = "seed and counts are for whoever runs the tests")]

#[path = "../../sql-guard/tests/support/mod.rs"]
mod support;

use plinth_nl2sql::{AskContext, CONFIDENCE_THRESHOLD, Engine, Outcome, SchemaIndex, work};
use plinth_sql_guard::Guard;

/// How many questions the short form asks.
const SHORT: u64 = 300;

/// What chance begins with in the short form.
const SEED: u64 = 20_261_129;

/// The most steps of a question over a small schema, whatever it says.
const MOST_STEPS: u64 = 2_000_000;

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

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// What questions are made of beside the words of others.
const PIECES: [&str; 40] = [
    "not",
    "without",
    "more than",
    "at least",
    "between",
    "and",
    "or",
    "but",
    "per",
    "each",
    "top 3",
    "average",
    "percentage of",
    "growth",
    "running total of",
    "last month",
    "in 2026",
    "since Monday",
    "'",
    "\"",
    "“Rex”",
    "9999999999999999999999",
    "-0",
    "1e308",
    "0.0000001",
    "32 December",
    "29 February 2027",
    "?",
    ".",
    ";--",
    "%",
    "_",
    "\\",
    "NULL",
    "ß",
    "İ",
    "日本",
    "e\u{301}",
    "\u{200b}",
    "🐕",
];

/// A question made of those by chance.
fn question(from: &[&str], chance: &mut Chance) -> String {
    let mut words: Vec<String> = chance.pick(from).split(' ').map(str::to_owned).collect();
    for _ in 0..=chance.below(5) {
        let at = chance.below(words.len() + 1);
        match chance.below(9) {
            0 if words.len() > 1 => {
                words.remove(at.min(words.len() - 1));
            }
            1 if words.len() > 1 => {
                let other = chance.below(words.len());
                words.swap(at.min(other), other);
            }
            2 => words.insert(at, chance.pick(&PIECES).to_owned()),
            3 | 4 => {
                let other: Vec<&str> = chance.pick(from).split(' ').collect();
                words.insert(at, chance.pick(&other).to_owned());
            }
            5 => {
                let other: Vec<&str> = chance.pick(from).split(' ').collect();
                let cut = chance.below(other.len() + 1);
                words.truncate(at);
                words.extend(other[cut..].iter().map(|it| (*it).to_owned()));
                if words.is_empty() {
                    words.push(String::new());
                }
            }
            6 => {
                if let Some(word) = words.get_mut(at) {
                    let mut letters: Vec<char> = word.chars().collect();
                    let place = chance.below(letters.len().max(1));
                    if let Some(letter) = letters.get_mut(place) {
                        *letter = char::from(b'a' + chance.next().to_le_bytes()[0] % 26);
                    }
                    *word = letters.into_iter().collect();
                }
            }
            7 => {
                if let Some(word) = words.get_mut(at) {
                    *word = if chance.below(2) == 0 { word.to_uppercase() } else { word.repeat(2) };
                }
            }
            _ => words.extend_from_within(..words.len().min(40)),
        }
    }
    words.join(chance.pick(&[" ", " ", " ", "  ", "", "\n"]))
}

/// A number from the environment, as `cargo xtask soak` gives it.
fn number(name: &str) -> Option<u64> {
    std::env::var_os(name)?.to_str()?.parse().ok()
}

#[test]
fn whatever_is_asked_is_read_without_a_panic_and_answered_only_surely() {
    let count = number("SOAK_INPUTS").unwrap_or(SHORT);
    let seed = number("SOAK_SEED").unwrap_or(SEED);
    let catalog = support::catalog(include_str!("../../sql-guard/tests/catalogs/clinic.json"));
    let listed =
        |schema: &str, name: &str| schema == "billing" || (schema == "public" && name != "secrets");
    let guard = Guard::new(&catalog, &support::listed(&catalog, listed));
    // some of the clinic's views are there to be refused, whoever asks for them
    let askable = guard.askable(&catalog);
    let index = SchemaIndex::build(&askable, &support::listed(&catalog, listed));
    let context = AskContext { now: "2026-03-31T23:59:59[UTC]".parse().expect("a moment") };
    let engine = Engine::new();
    let from: Vec<&str> = include_str!("../../../fuzz/questions.txt").lines().collect();
    let mut chance = Chance(seed);
    let (mut answered, mut asked_back, mut most) = (0_u64, 0_u64, 0_u64);
    for _ in 0..count {
        let question = question(&from, &mut chance);
        let passes = |sql: &str| {
            if let Err(refused) = guard.check(sql) {
                panic!("from seed {seed}: {question:?} became {sql:?}: {refused}");
            }
        };
        match engine.ask(&question, &index, &context) {
            Outcome::Answered(reading) => {
                assert!(reading.confidence >= CONFIDENCE_THRESHOLD, "not sure of {question:?}");
                passes(&reading.sql);
                answered += 1;
            }
            Outcome::NeedsClarification(asked) => {
                assert!(
                    (1..=3).contains(&asked.options.len()),
                    "{question:?}: {:?}",
                    asked.options
                );
                asked.options.iter().for_each(|it| passes(&it.sql));
                asked_back += 1;
            }
            Outcome::NotAnswerable(_) | Outcome::NotPermitted(_) | Outcome::Meta(_) => {}
        }
        assert!(work::done() <= MOST_STEPS, "{question:?} took {} steps", work::done());
        most = most.max(work::done());
    }
    println!(
        "{count} questions from seed {seed}: {answered} answered, {asked_back} asked back, at most {most} steps"
    );
    assert!(answered > count / 50, "it is no test if nothing is answered");
}
