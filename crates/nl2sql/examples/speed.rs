//! Measures the engine's own time over large schemas: `cargo run --release -p plinth-nl2sql --example speed [-- TABLES…]`,
//! 100 and 2,000 tables where none are named.
//!
//! Schemas and questions are those of `tests/large`. The time is that of [`Engine::ask`], and of a follow-up where an answer
//! allows one. Each is asked three times: the first time as by somebody who asks in words that nobody asked in before, then
//! with what the index has kept of it; of those the quickest counts, as what else the machine does is none of the engine's
//! time. Steps are things looked at, the same on every machine.

use std::{fs, io::Write, time::Instant};

use plinth_connections::AllowedTables;
use plinth_nl2sql::conversation::Past;
use plinth_nl2sql::{AskContext, Engine, Outcome, SchemaIndex, work};

#[path = "../tests/large/mod.rs"]
mod large;

/// The memory that this process holds, in MiB; 0 where the system does not tell.
fn memory_mib() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
    line.and_then(|it| it.split_whitespace().next()?.parse::<usize>().ok()).unwrap_or_default()
        / 1024
}

/// How often each is asked.
const ATTEMPTS: usize = 3;

/// What came of it, the time of the first attempt and the least of all, in milliseconds.
fn timed<T>(mut ask: impl FnMut() -> T) -> (T, f64, f64) {
    let mut once = || {
        let start = Instant::now();
        let outcome = ask();
        (outcome, start.elapsed().as_secs_f64() * 1000.0)
    };
    let (mut outcome, first) = once();
    let mut least = first;
    for _ in 1..ATTEMPTS {
        let next = once();
        if next.1 < least {
            (outcome, least) = next;
        }
    }
    (outcome, first, least)
}

/// The median, the one that one in a hundred is above, and the most.
fn quantiles(mut all: Vec<f64>) -> [f64; 3] {
    all.sort_by(f64::total_cmp);
    [50, 99, 100].map(|share| all[(all.len() - 1) * share / 100])
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut sizes: Vec<usize> =
        std::env::args().skip(1).map(|it| it.parse()).collect::<Result<_, _>>()?;
    if sizes.is_empty() {
        sizes = vec![100, 2000];
    }
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "| tables | index | memory | questions | answered | median | p99 | most | first time: median | p99 | most | steps: median | most |"
    )?;
    writeln!(out, "|{}", " ---: |".repeat(13))?;
    let engine = Engine::new();
    let context = AskContext { now: "2026-03-04T05:06:07+00:00[UTC]".parse()? };
    for tables in sizes {
        let catalog = large::catalog(tables);
        let before = memory_mib();
        let start = Instant::now();
        let index = SchemaIndex::build(&catalog, &AllowedTables::All);
        let built = start.elapsed().as_secs_f64() * 1000.0;
        let questions = large::questions(tables);
        let (mut times, mut firsts, mut steps, mut answered) = (vec![], vec![], vec![], 0);
        for question in &questions {
            let (outcome, first, least) = timed(|| engine.ask(question, &index, &context));
            firsts.push(first);
            times.push(least);
            #[expect(clippy::cast_precision_loss, reason = "some millions")]
            steps.push(work::done() as f64);
            let Outcome::Answered(it) = outcome else { continue };
            answered += 1;
            let past =
                Past { query: it.query, confidence: it.confidence, assumptions: it.assumptions };
            let follow = || engine.follow_up("and last month?", &past, &index, &context);
            let (_, first, least) = timed(follow);
            firsts.push(first);
            times.push(least);
        }
        // with what the index has kept of the questions
        let memory = memory_mib().saturating_sub(before);
        let ([half, nearly_all, most], first, steps) =
            (quantiles(times), quantiles(firsts), quantiles(steps));
        writeln!(
            out,
            "| {tables} | {built:.0} ms | {memory} MiB | {} | {answered} | {half:.2} ms | {nearly_all:.2} ms | {most:.2} ms | {:.2} ms | {:.2} ms | {:.2} ms | {:.0} | {:.0} |",
            questions.len(),
            first[0],
            first[1],
            first[2],
            steps[0],
            steps[2],
        )?;
    }
    Ok(())
}
