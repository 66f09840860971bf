//! Asks every question of a file over catalogs in a folder and writes what the engine answers, for measuring.
//!
//! `predict CATALOGS QUESTIONS PREDICTIONS [--best] [--syn] [--renamed NAMES]`: `CATALOGS/<db>.json` are serialized catalogs, questions and
//! predictions are JSON lines. With `--best` readings below the threshold are written too. A question that `follows` another
//! goes on from what was answered last in its conversation; without a `db` it is asked over `sample.json`.
//! With `--syn` the wording in that field is asked. With `--renamed` the engine reads a schema of other names (a file like
//! `apps/bench/questions/renames.txt`), and what it reads is written for the schema as it is.
//! With `--psql CONNECTION` words that nothing explains are looked up, as the server does, by the `psql` of the path over that
//! connection string, in which `{db}` stands for the question's database.

use std::{
    collections::HashMap,
    fs,
    io::{BufWriter, Write},
    time::Instant,
};

use plinth_connections::AllowedTables;
use plinth_nl2sql::lookup::{Access, Found, Lookup};
use plinth_nl2sql::measure::{Asked, Conversation, Names};
use plinth_nl2sql::{AskContext, Engine, Outcome, Reading, SchemaIndex};
use plinth_schema_introspect::Catalog;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [catalogs, questions, predictions, options @ ..] = arguments.as_slice() else {
        return Err("usage: predict CATALOGS QUESTIONS PREDICTIONS [--best]".into());
    };
    let best = options.iter().any(|it| it == "--best");
    let field = if options.iter().any(|it| it == "--syn") { "syn" } else { "question" };
    let names = match options.iter().position(|it| it == "--renamed") {
        Some(at) => fs::read_to_string(options.get(at + 1).ok_or("--renamed NAMES")?)?,
        None => String::new(),
    };
    let names = Names::parse(&names);
    let psql = match options.iter().position(|it| it == "--psql") {
        Some(at) => Some(options.get(at + 1).ok_or("--psql CONNECTION")?.clone()),
        None => None,
    };
    let (mut lookups, mut finds) = (0_usize, 0_usize);
    let engine = Engine::new();
    let context = AskContext { now: jiff::Zoned::now() };
    // what is read, what is written for, and what can be looked up
    let mut indexes: HashMap<String, (SchemaIndex, SchemaIndex, Access)> = HashMap::new();
    let mut out = BufWriter::new(fs::File::create(predictions)?);
    let mut times = Vec::new();
    let mut conversation = Conversation::default();
    for line in fs::read_to_string(questions)?.lines() {
        let record: serde_json::Value = serde_json::from_str(line)?;
        let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        let db = record["db"].as_str().unwrap_or("sample").to_owned();
        if !indexes.contains_key(&db) {
            let catalog: Catalog =
                serde_json::from_str(&fs::read_to_string(format!("{catalogs}/{db}.json"))?)?;
            let other = names.rename(&catalog)?;
            let index = |it: &Catalog| SchemaIndex::build(it, &AllowedTables::All);
            indexes.insert(db.clone(), (index(&other), index(&catalog), Access::of(&catalog)));
        }
        let (index, own, access) = &indexes[&db];
        let question = if record[field].is_string() { text(field) } else { text("question") };
        if !record["follows"].is_string() {
            conversation = Conversation::default();
        }
        let start = Instant::now();
        let gone_on = conversation.go_on(&engine, &question, index, &context);
        let (asked, best_reading) = if let Some(asked) = gone_on {
            (asked, None)
        } else {
            let outcome = engine.ask(&question, index, &context);
            let wanted = psql
                .as_ref()
                .and_then(|it| Some((it, engine.wanted(&question, index, &context, &outcome)?)));
            let found = match wanted {
                Some((psql, wanted)) => match access.lookup(&wanted) {
                    Some(lookup) => {
                        lookups += 1;
                        look_up(&psql.replace("{db}", &db), &lookup)?
                    }
                    None => Vec::new(),
                },
                None => Vec::new(),
            };
            let reading = |outcome: &Outcome, index: &SchemaIndex| {
                let unsure =
                    matches!(outcome, Outcome::NeedsClarification(_) | Outcome::NotAnswerable(_));
                (best && unsure).then(|| engine.best_reading(&question, index, &context)).flatten()
            };
            let (outcome, reading) = if found.is_empty() {
                let reading = reading(&outcome, index);
                (outcome, reading)
            } else {
                finds += 1;
                let index = index.with_found(&found);
                let outcome = engine.ask(&question, &index, &context);
                let reading = reading(&outcome, &index);
                (outcome, reading)
            };
            (conversation.answered(outcome.into()), reading)
        };
        let ms = start.elapsed().as_secs_f64() * 1000.0;
        times.push(ms);
        let (kind, reading, message) = told(asked, best_reading);
        let message = message.map(|it| names.own_words(&it));
        let record = serde_json::json!({
            "id": text("id"),
            "sql": reading.as_ref().and_then(|it| own.sql(&it.query)),
            "confidence": reading.as_ref().map(|it| it.confidence),
            "ignored": reading.as_ref().map(|it| it.ignored.clone()),
            "signals": reading.as_ref().map(|it| it.signals.clone()),
            "kind": kind,
            "message": message,
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
    if psql.is_some() {
        writeln!(std::io::stderr(), "{lookups} were looked up, for {finds} something was found")?;
    }
    Ok(())
}

/// What `psql` finds over that connection; what fails has found nothing.
fn look_up(connection: &str, lookup: &Lookup) -> Result<Vec<Found>, Box<dyn std::error::Error>> {
    let mut sql = lookup.sql.clone();
    for (at, text) in lookup.parameters.iter().enumerate() {
        sql = sql.replace(&format!("${}::", at + 1), &format!("'{}'::", text.replace('\'', "''")));
    }
    let output = std::process::Command::new("psql")
        .args([
            "-X", "-A", "-t", "-q", "-F", "\u{1f}", "-R", "\u{1e}", "-d", connection, "-c", &sql,
        ])
        .env("PGOPTIONS", "-c statement_timeout=150ms -c default_transaction_read_only=on")
        .output()?;
    if !output.status.success() {
        std::io::stderr().write_all(&output.stderr)?;
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let rows = text.trim_end_matches('\n').split('\u{1e}').filter_map(|it| it.split_once('\u{1f}'));
    Ok(rows.flat_map(|(number, value)| lookup.read(number, value)).collect())
}

/// What came of a question in one word, the reading of it, and what was said without one.
fn told(asked: Asked, best: Option<Reading>) -> (&'static str, Option<Reading>, Option<String>) {
    match asked {
        Asked::Answered(it) => ("answered", Some(it), None),
        Asked::Told(it) => ("meta", None, Some(it)),
        Asked::Back(it, reading) => ("clarify", reading.or(best), Some(it)),
        Asked::Declined(it) => ("not_answerable", best, Some(it)),
    }
}
