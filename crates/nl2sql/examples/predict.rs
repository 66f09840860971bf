//! Asks every question of a file over catalogs in a folder and writes what the engine answers, for measuring.
//!
//! `predict CATALOGS QUESTIONS PREDICTIONS [--best]`: `CATALOGS/<db>.json` are serialized catalogs, questions and
//! predictions are JSON lines. With `--best` readings below the threshold are written too.

use std::{
    collections::HashMap,
    fs,
    io::{BufWriter, Write},
    time::Instant,
};

use plinth_connections::AllowedTables;
use plinth_nl2sql::{AskContext, Engine, Outcome, SchemaIndex};
use plinth_schema_introspect::Catalog;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [catalogs, questions, predictions, options @ ..] = arguments.as_slice() else {
        return Err("usage: predict CATALOGS QUESTIONS PREDICTIONS [--best]".into());
    };
    let best = options.iter().any(|it| it == "--best");
    let field = if options.iter().any(|it| it == "--syn") { "syn" } else { "question" };
    let engine = Engine::new();
    let context = AskContext { now: jiff::Zoned::now() };
    let mut indexes: HashMap<String, SchemaIndex> = HashMap::new();
    let mut out = BufWriter::new(fs::File::create(predictions)?);
    let mut times = Vec::new();
    for line in fs::read_to_string(questions)?.lines() {
        let record: serde_json::Value = serde_json::from_str(line)?;
        let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        let db = text("db");
        if !indexes.contains_key(&db) {
            let catalog: Catalog =
                serde_json::from_str(&fs::read_to_string(format!("{catalogs}/{db}.json"))?)?;
            indexes.insert(db.clone(), SchemaIndex::build(&catalog, &AllowedTables::All));
        }
        let index = &indexes[&db];
        let question = if record[field].is_string() { text(field) } else { text("question") };
        let start = Instant::now();
        let outcome = engine.ask(&question, index, &context);
        let ms = start.elapsed().as_secs_f64() * 1000.0;
        times.push(ms);
        let kind = match &outcome {
            Outcome::Answered(_) => "answered",
            Outcome::NeedsClarification(_) => "clarify",
            Outcome::NotAnswerable(_) => "not_answerable",
            Outcome::NotPermitted(_) => "not_permitted",
            Outcome::Meta(_) => "meta",
        };
        let reading = match outcome {
            Outcome::Answered(it) => Some(it),
            _ if best => engine.best_reading(&question, index, &context),
            _ => None,
        };
        let record = serde_json::json!({
            "id": text("id"),
            "sql": reading.as_ref().map(|it| it.sql.as_str()),
            "confidence": reading.as_ref().map(|it| it.confidence),
            "ignored": reading.as_ref().map(|it| it.ignored.clone()),
            "signals": reading.as_ref().map(|it| it.signals.clone()),
            "kind": kind,
            "ms": ms,
        });
        writeln!(out, "{record}")?;
    }
    times.sort_by(f64::total_cmp);
    if !times.is_empty() {
        let at = |share: usize| times[(times.len() - 1) * share / 100];
        writeln!(
            std::io::stderr(),
            "{} questions, median {:.2} ms, p99 {:.2} ms, max {:.2} ms",
            times.len(),
            at(50),
            at(99),
            at(100)
        )?;
    }
    Ok(())
}
