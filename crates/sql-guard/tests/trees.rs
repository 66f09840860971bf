//! The trees that `plinth-pg-tree` reads from the parser's memory are those that `pg_query` decodes, for the statements of the
//! guard's tests, for what chance makes of them, and for what no statement of theirs holds.

#[path = "support/chance.rs"]
mod chance;
#[path = "support/compare.rs"]
mod compare;
#[path = "support/mutate.rs"]
mod mutate;

use std::path::PathBuf;
use std::thread;

use serde_json::Value;

use chance::Chance;
use compare::compare;
use mutate::{FRAMES, disguised};

/// Of each kind of node and clause that a statement which reads or writes can hold, at least one.
const KINDS: &str = include_str!("../../pg-tree/tests/kinds.sql");

/// How many are made by chance.
const BY_CHANCE: u64 = 6_000;

/// Decoding takes more stack than the threads of tests have.
fn with_stack(test: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().stack_size(64 << 20).spawn(test).expect("it starts");
    thread.join().expect("no assertion failed");
}

/// The statements of the corpora, and of each kind one.
fn statements() -> Vec<String> {
    let files = [
        include_str!("corpus/reads.jsonl"),
        include_str!("corpus/statements.jsonl"),
        include_str!("corpus/relations.jsonl"),
        include_str!("corpus/code.jsonl"),
        include_str!("corpus/versions.jsonl"),
    ];
    let shared = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/security/sql-attacks.jsonl");
    let attacks = std::fs::read_to_string(shared).unwrap_or_default();
    let lines = files.into_iter().chain([attacks.as_str()]).flat_map(str::lines);
    let cases = lines.filter(|it| !it.trim().is_empty()).map(|line| {
        let case: Value = serde_json::from_str(line).expect("a case");
        case["sql"].as_str().expect("a text").to_owned()
    });
    cases.chain(kinds().map(str::to_owned)).collect()
}

fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.split(";\n").map(str::trim).filter(|it| !it.is_empty())
}

#[test]
fn every_kind_is_read_as_it_is_decoded() {
    with_stack(|| {
        for sql in kinds() {
            assert!(compare(sql), "it should be a statement: {sql}");
        }
    });
}

#[test]
fn the_corpora_are_read_as_they_are_decoded() {
    with_stack(|| {
        let trees = statements().iter().filter(|it| compare(it)).count();
        assert!(trees > 400, "{trees} are statements");
    });
}

#[test]
fn what_chance_makes_is_read_as_it_is_decoded() {
    with_stack(|| {
        let statements = statements();
        let mut chance = Chance(20_261_129);
        let mut trees = 0;
        for _ in 0..BY_CHANCE {
            let mut sql = chance.pick(&statements).clone();
            match chance.below(10) {
                0..4 => {
                    let choices = chance.bytes(40);
                    sql = disguised(&sql, &choices).unwrap_or(sql);
                }
                4..8 => {
                    for _ in 0..=chance.below(3) {
                        let inner = sql.trim_end_matches([';', ' ']);
                        sql = chance.pick(FRAMES).replace("{}", &format!("\n{inner}\n"));
                    }
                }
                8 => {
                    let other = chance.pick(&statements);
                    let (own, others) =
                        (chance.below(sql.len() + 1), chance.below(other.len() + 1));
                    let (own, others) =
                        (sql.floor_char_boundary(own), other.floor_char_boundary(others));
                    sql = format!("{}{}", &sql[..own], &other[others..]);
                }
                _ => {
                    let mut bytes = sql.into_bytes();
                    for _ in 0..3 {
                        let at = chance.below(bytes.len());
                        if let Some(byte) = bytes.get_mut(at) {
                            *byte = chance.next().to_le_bytes()[0];
                        }
                    }
                    sql = String::from_utf8_lossy(&bytes).into_owned();
                }
            }
            trees += u64::from(compare(&sql));
        }
        assert!(trees > BY_CHANCE / 2, "{trees} are statements");
    });
}

/// Where the decoder stops is where reading stops, whatever the levels are made of.
#[test]
fn depth_ends_at_the_same_place() {
    let deep: [fn(usize) -> String; 6] = [
        |levels| format!("SELECT {}1", "1 + (".repeat(levels)) + &")".repeat(levels),
        |levels| format!("SELECT {}1", "~ ".repeat(levels)),
        |levels| format!("SELECT {}x{}", "f(".repeat(levels), ")".repeat(levels)),
        |levels| "SELECT 1".to_owned() + &" UNION SELECT 1".repeat(levels),
        |levels| format!("{}SELECT 1{}", "SELECT (".repeat(levels), ")".repeat(levels)),
        |levels| format!("SELECT {}1{}", "ARRAY[".repeat(levels), "]".repeat(levels)),
    ];
    with_stack(move || {
        for of in deep {
            let taken = (1..120).filter(|levels| compare(&of(*levels))).count();
            assert!((10..119).contains(&taken), "{taken} levels of {:?}", of(2));
        }
    });
}

#[test]
fn what_is_not_known_goes_the_long_way() {
    with_stack(|| {
        for sql in ["CREATE TABLE t (a int)", "GRANT SELECT ON t TO u", "SELECT 1; DROP TABLE t"] {
            assert!(compare(sql), "{sql}");
        }
        for sql in [
            "",
            ";",
            " -- only words\n",
            "SELECT '\0'",
            "SELECT E'\\xff'",
            "SELECT '",
            "\u{feff}SELECT 1",
        ] {
            compare(sql);
        }
    });
}
