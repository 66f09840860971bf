//! What a question costs over large schemas, in steps and not in time: the same on every machine, so that a bound cannot rot
//! unseen.

use plinth_connections::AllowedTables;
use plinth_nl2sql::{AskContext, Engine, SchemaIndex, work};

mod large;

/// The steps of each of the first questions, over a schema of so many tables.
fn steps(tables: usize) -> Vec<(u64, String)> {
    let index = SchemaIndex::build(&large::catalog(tables), &AllowedTables::All);
    let context = AskContext { now: "2026-03-04T05:06:07+00:00[UTC]".parse().expect("a moment") };
    let engine = Engine::new();
    let ask = |question: String| {
        engine.ask(&question, &index, &context);
        (work::done(), question)
    };
    large::questions(tables).into_iter().take(QUESTIONS).map(ask).collect()
}

/// Two of each kind.
const QUESTIONS: usize = 24;

/// The most steps of a question over 2,000 tables. A step takes some ten nanoseconds where the engine is optimized.
const MOST: u64 = 2_000_000;

/// How much more they may be than over 100 tables, which are a twentieth.
const GROWTH: u64 = 25;

#[test]
fn questions_over_two_thousand_tables_take_a_bounded_number_of_steps() {
    let (small, large) = (steps(100), steps(2000));
    for (steps, question) in &large {
        assert!(*steps > 0, "{question:?} counts nothing");
        assert!(*steps <= MOST, "{question:?} takes {steps} steps");
    }
    let sum = |all: &[(u64, String)]| all.iter().map(|it| it.0).sum::<u64>();
    let (small, large) = (sum(&small), sum(&large));
    assert!(large <= GROWTH * small, "{small} steps became {large}");
}
