//! Any text as a question: the engine neither panics nor takes long nor writes SQL that the guard refuses, and what it is not
//! sure of it does not answer.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use plinth_fuzz::{clinic, quickly};
use plinth_nl2sql::{AskContext, CONFIDENCE_THRESHOLD, Engine, Outcome, SchemaIndex};
use plinth_sql_guard::Guard;

struct Ground {
    index: SchemaIndex,
    guard: Guard,
    context: AskContext,
}

static GROUND: LazyLock<Ground> = LazyLock::new(|| {
    let (catalog, allowed) = clinic();
    let guard = Guard::new(&catalog, &allowed);
    Ground {
        // Some of the clinic's views are there to be refused, whoever asks for them.
        index: SchemaIndex::build(&guard.askable(&catalog), &allowed),
        guard,
        // Always the same day, so that a finding stays one.
        context: AskContext { now: "2026-03-31T23:59:59[UTC]".parse().expect("a moment") },
    }
});

fuzz_target!(|bytes: &[u8]| {
    let question = String::from_utf8_lossy(bytes);
    let Ground { index, guard, context } = &*GROUND;
    let passes = |sql: &str| {
        if let Err(refused) = guard.check(sql) {
            panic!("{question:?} became {sql:?}: {refused}");
        }
    };
    match quickly(|| Engine::new().ask(&question, index, context)) {
        Outcome::Answered(reading) => {
            assert!(reading.confidence >= CONFIDENCE_THRESHOLD, "not sure of {:?}", reading.sql);
            passes(&reading.sql);
        }
        Outcome::NeedsClarification(asked) => {
            assert!((1..=3).contains(&asked.options.len()), "{:?}", asked.options);
            asked.options.iter().for_each(|it| passes(&it.sql));
        }
        Outcome::NotAnswerable(_) | Outcome::NotPermitted(_) | Outcome::Meta(_) => {}
    }
});
