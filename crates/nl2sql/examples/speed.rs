//! Measures the engine's own time over large schemas: `cargo run --release -p plinth-nl2sql --example speed [-- TABLES…]`,
//! 100 and 2,000 tables where none are named.
//!
//! The schemas are made by rule and always the same: tables called by one or two words, fifteen columns each, one to three
//! keys to other tables, values in four columns. The questions are made by rule too, 600 of twelve kinds, a third of them
//! with words that no name has. The time is that of [`Engine::ask`], and of a follow-up where an answer allows one. Each is
//! asked three times and the quickest counts: what else the machine does is none of the engine's time.

use std::{fs, io::Write, time::Instant};

use plinth_connections::AllowedTables;
use plinth_nl2sql::conversation::Past;
use plinth_nl2sql::{AskContext, Engine, Outcome, SchemaIndex};
use plinth_schema_introspect::{
    Catalog, Column, ForeignKey, Key, Relation, Samples, Schema, TypeClass,
};

/// Things that tables are called after.
const THINGS: [&str; 50] = [
    "customer",
    "order",
    "product",
    "invoice",
    "payment",
    "shipment",
    "supplier",
    "employee",
    "department",
    "project",
    "task",
    "ticket",
    "account",
    "contract",
    "asset",
    "vehicle",
    "driver",
    "route",
    "warehouse",
    "location",
    "campaign",
    "lead",
    "event",
    "course",
    "student",
    "teacher",
    "school",
    "patient",
    "doctor",
    "visit",
    "claim",
    "policy",
    "agent",
    "device",
    "sensor",
    "reading",
    "machine",
    "part",
    "batch",
    "recipe",
    "ingredient",
    "store",
    "receipt",
    "refund",
    "review",
    "article",
    "author",
    "journal",
    "member",
    "loan",
];

/// What is kept of things.
const KINDS: [&str; 40] = [
    "",
    "item",
    "note",
    "history",
    "status",
    "group",
    "schedule",
    "request",
    "approval",
    "document",
    "address",
    "contact",
    "price",
    "discount",
    "budget",
    "target",
    "assignment",
    "comment",
    "attachment",
    "category",
    "plan",
    "report",
    "rule",
    "score",
    "session",
    "transfer",
    "version",
    "alert",
    "checklist",
    "link",
    "limit",
    "message",
    "period",
    "quota",
    "rating",
    "region",
    "setting",
    "summary",
    "template",
    "usage",
];

const CITIES: [&str; 8] =
    ["Berlin", "Paris", "Oslo", "Madrid", "Rome", "Vienna", "Dublin", "Lisbon"];

/// Numbers that look like chance (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % (end.max(1) as u64)).unwrap_or_default()
    }
}

/// What the table of that number is called.
fn called(at: usize) -> String {
    let (thing, kind) = (THINGS[at % THINGS.len()], KINDS[at / THINGS.len() % KINDS.len()]);
    if kind.is_empty() { format!("{thing}s") } else { format!("{thing}_{kind}s") }
}

fn column(name: &str, class: TypeClass, values: &[&str]) -> Column {
    Column {
        name: name.to_owned(),
        class,
        readable: true,
        nullable: name != "id",
        samples: (!values.is_empty()).then(|| Samples {
            values: values.iter().map(|it| (*it).to_owned()).collect(),
            complete: true,
        }),
        ..Column::default()
    }
}

fn catalog(tables: usize) -> Catalog {
    use TypeClass::{Boolean, Date, Decimal, Integer, Text, Timestamp};
    let mut chance = Chance(20_261_128);
    let mut relations = Vec::new();
    for at in 0..tables {
        let mut columns = vec![
            column("id", Integer, &[]),
            column("name", Text, &[]),
            column("code", Text, &[]),
            column("status", Text, &["open", "active", "closed", "cancelled", "pending"]),
            column("priority", Text, &["low", "medium", "high"]),
            column("city", Text, &CITIES),
            column("country", Text, &["Germany", "France", "Norway", "Spain", "Italy", "Austria"]),
            column("amount", Decimal, &[]),
            column("quantity", Integer, &[]),
            column("is_active", Boolean, &[]),
            column("created_at", Timestamp, &[]),
            column("due_on", Date, &[]),
        ];
        let mut foreign_keys = Vec::new();
        for _ in 0..(1 + chance.below(3)).min(at) {
            let target = chance.below(at);
            let name = format!("{}_id", called(target).trim_end_matches('s'));
            if columns.iter().any(|it| it.name == name) {
                continue;
            }
            foreign_keys.push(ForeignKey {
                columns: vec![columns.len()],
                target: u32::try_from(target + 1).unwrap_or_default(),
                target_columns: vec![0],
                ..ForeignKey::default()
            });
            columns.push(column(&name, Integer, &[]));
        }
        relations.push(
            Relation {
                oid: u32::try_from(at + 1).unwrap_or_default(),
                schema: "public".to_owned(),
                name: called(at),
                readable: true,
                columns,
                keys: vec![Key { primary: true, columns: vec![0], ..Key::default() }],
                foreign_keys,
                estimated_rows: Some(1000.0),
                ..Relation::default()
            }
            .into(),
        );
    }
    Catalog {
        server_version_num: 150_000,
        search_path: vec!["public".to_owned()],
        schemas: vec![Schema { name: "public".to_owned(), comment: None, usable: true }],
        relations,
        ..Catalog::default()
    }
}

fn questions(tables: usize) -> Vec<String> {
    let mut chance = Chance(7);
    let mut some = || called(chance.below(tables)).replace('_', " ");
    (0..600)
        .map(|at| {
            let (one, two) = (some(), some());
            let city = CITIES[at % CITIES.len()];
            match at % 12 {
                0 => format!("How many {one} are there?"),
                1 => format!("total amount of {one} by status last month"),
                2 => format!("{one} in {city} with an amount of more than 500"),
                3 => format!("top 5 {one} by amount"),
                4 => format!("Which {one} have no {two}?"),
                5 => format!("average quantity of {one} per country in 2025"),
                6 => format!("number of {one} for each of the {two}"),
                7 => format!("show the name and code of active {one} created since Monday"),
                8 => format!("what percentage of {one} is cancelled?"),
                9 => format!(
                    "{one} whose quantity is above the average and that are open or pending"
                ),
                10 => format!("the most expensive {one} that somebody in {city} complained about"),
                _ => format!("monthly revenue of {one} compared with {two} over the last year"),
            }
        })
        .collect()
}

/// The memory that this process holds, in MiB; 0 where the system does not tell.
fn memory_mib() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
    line.and_then(|it| it.split_whitespace().next()?.parse::<usize>().ok()).unwrap_or_default()
        / 1024
}

/// How often each is asked.
const ATTEMPTS: usize = 3;

/// What came of it, and the least time that it took, in milliseconds.
fn timed<T>(mut ask: impl FnMut() -> T) -> (T, f64) {
    let mut once = || {
        let start = Instant::now();
        let outcome = ask();
        (outcome, start.elapsed().as_secs_f64() * 1000.0)
    };
    let first = once();
    (1..ATTEMPTS).fold(first, |best, _| {
        let next = once();
        if next.1 < best.1 { next } else { best }
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut sizes: Vec<usize> =
        std::env::args().skip(1).map(|it| it.parse()).collect::<Result<_, _>>()?;
    if sizes.is_empty() {
        sizes = vec![100, 2000];
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "| tables | index | memory | questions | answered | median | p99 | most |")?;
    writeln!(out, "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
    let engine = Engine::new();
    let context = AskContext { now: "2026-03-04T05:06:07+00:00[UTC]".parse()? };
    for tables in sizes {
        let catalog = catalog(tables);
        let before = memory_mib();
        let start = Instant::now();
        let index = SchemaIndex::build(&catalog, &AllowedTables::All);
        let built = start.elapsed().as_secs_f64() * 1000.0;
        let memory = memory_mib().saturating_sub(before);
        let questions = questions(tables);
        let (mut times, mut answered) = (Vec::new(), 0);
        // the first ones warm up
        for (at, question) in questions.iter().take(24).chain(&questions).enumerate() {
            let (outcome, ms) = timed(|| engine.ask(question, &index, &context));
            if at >= 24 {
                times.push(ms);
            }
            let Outcome::Answered(it) = outcome else { continue };
            answered += usize::from(at >= 24);
            let past =
                Past { query: it.query, confidence: it.confidence, assumptions: it.assumptions };
            let follow = || engine.follow_up("and last month?", &past, &index, &context);
            let ms = timed(follow).1;
            if at >= 24 {
                times.push(ms);
            }
        }
        times.sort_by(f64::total_cmp);
        let part = |share: usize| times[(times.len() - 1) * share / 100];
        writeln!(
            out,
            "| {tables} | {built:.0} ms | {memory} MiB | {} | {answered} | {:.2} ms | {:.2} ms | {:.2} ms |",
            questions.len(),
            part(50),
            part(99),
            part(100),
        )?;
    }
    Ok(())
}
