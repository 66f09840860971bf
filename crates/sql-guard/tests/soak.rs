//! Very many statements, made of the corpus's by chance: none that must be refused comes through, whatever it is dressed in,
//! nothing panics, and each is judged quickly.
//!
//! A short form runs with the other tests; `cargo xtask soak guard` runs a million, in as many processes as there are
//! processors: Postgres's parser has one thread in each. Chance begins with a number that is printed, so that a failure can be
//! repeated: the statements are cut into parts that begin with numbers of their own, whichever process tries them.

#![expect(clippy::print_stdout, reason = "seed and counts are for whoever runs the tests")]

#[path = "support/calls.rs"]
mod calls;
#[path = "support/chance.rs"]
mod chance;
#[path = "support/mutate.rs"]
mod mutate;
mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use plinth_connections::AllowedTables;
use plinth_schema_introspect::Catalog;
use plinth_sql_guard::{Guard, Rule};
use serde_json::Value;

use calls::forbidden_call;
use chance::Chance;
use mutate::{FRAMES, disguised};

/// How many statements the short form judges.
const SHORT: u64 = 4_000;

/// What chance begins with in the short form.
const SEED: u64 = 20_261_128;

/// The longest statement of which the time counts.
const TIMED_BYTES: usize = 10 * 1024;

/// How long nearly all of those may take. A figure for optimized builds.
const P99_LIMIT: Duration = Duration::from_millis(2);

/// What takes longer is judged again, and the least time counts: what else the machine does is none of the guard's.
const AGAIN: Duration = Duration::from_micros(500);

/// How often in all.
const ATTEMPTS: usize = 3;

/// How many statements one beginning of chance is for.
const PART: u64 = 20_000;

/// The name of the test that starts itself in other processes.
const TEST: &str = "nothing_comes_through_in_any_dress_and_all_is_judged_quickly";

/// A catalog with a list of what may be read, and the statements that are about it.
struct Ground {
    guard: Guard,
    statements: Vec<(String, Option<Rule>)>,
    /// A table that may be read, and a condition on it.
    condition: &'static str,
    table: &'static str,
}

impl Ground {
    fn new(
        catalog: &Catalog,
        allowed: &AllowedTables,
        statements: impl Iterator<Item = String>,
        (table, condition): (&'static str, &'static str),
    ) -> Self {
        let guard = Guard::new(catalog, allowed);
        let judged = |sql: String| {
            let rule = guard.check(&sql).err().map(|it| it.rule);
            (sql, rule)
        };
        let statements: Vec<_> = statements.map(judged).collect();
        assert!(statements.iter().filter(|it| it.1.is_some()).count() > 50, "there is a corpus");
        Self { guard, statements, condition, table }
    }

    /// The project's own corpus.
    fn clinic() -> Self {
        let catalog = support::catalog(include_str!("catalogs/clinic.json"));
        let allowed = support::listed(&catalog, |schema, name| {
            schema == "billing" || (schema == "public" && name != "secrets")
        });
        let files = [
            include_str!("corpus/reads.jsonl"),
            include_str!("corpus/statements.jsonl"),
            include_str!("corpus/relations.jsonl"),
            include_str!("corpus/code.jsonl"),
            include_str!("corpus/versions.jsonl"),
        ];
        let statements = files.into_iter().flat_map(str::lines).map(sql_of);
        Self::new(
            &catalog,
            &allowed,
            statements,
            ("pets", "(name LIKE 'a%' OR id BETWEEN 3 AND 7 * 2)"),
        )
    }

    /// The shared corpus of attacks, where it lies beside the workspace: those that must be refused.
    fn attacks() -> Option<Self> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let text =
            std::fs::read_to_string(root.join("../shared/security/sql-attacks.jsonl")).ok()?;
        let catalog = support::catalog(include_str!("catalogs/attacks.json"));
        let allowed = support::listed(&catalog, |schema, name| {
            schema == "sales" || (schema == "public" && !name.ends_with("_private"))
        });
        let statements = text.lines().filter(|it| !it.trim().is_empty()).map(sql_of);
        Some(Self::new(&catalog, &allowed, statements, ("orders", "(id = 5 OR id IN (1, 2, 3))")))
    }

    /// A statement, and what must come of it: whether the guard must refuse it, and the rule if that is known too.
    fn statement(&self, chance: &mut Chance) -> (String, Must) {
        let (sql, rule) = chance.pick(&self.statements);
        match chance.below(100) {
            // The same in other letters is judged the same.
            0..40 => dress(sql, chance).map_or_else(
                || (sql.clone(), Must::BeJudged(*rule)),
                |dressed| (dressed, Must::BeJudged(*rule)),
            ),
            // What is refused for what it holds is refused inside anything.
            40..75 => {
                let inner = sql.trim_end_matches([';', ' ']);
                let must =
                    if is_refused_for_its_content(*rule) { Must::BeRefused } else { Must::End };
                let mut whole = inner.to_owned();
                for _ in 0..=chance.below(3) {
                    whole = chance.pick(FRAMES).replace("{}", &format!("\n{whole}\n"));
                }
                // A comment or text that is not closed swallows what stands around it.
                (dress(&whole, chance).unwrap_or(whole), must)
            }
            // Halves of two, with something between: most are no statement, and some are one that nobody thought of.
            75..90 => {
                let other = &chance.pick(&self.statements).0;
                let noise =
                    ["", " ", ";", "'", "\"", "(", ")", "/*", "--", "$$", "\\", "U&\"", ",", "::"];
                let noise = *chance.pick(&noise);
                let first = &sql[..boundary(sql, chance)];
                let second = &other[boundary(other, chance)..];
                (format!("{first}{noise}{second}"), Must::End)
            }
            // Bytes.
            90..95 => {
                let mut bytes = sql.clone().into_bytes();
                for _ in 0..=chance.below(6) {
                    let at = chance.below(bytes.len());
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = chance.next().to_le_bytes()[0];
                    }
                }
                (String::from_utf8_lossy(&bytes).into_owned(), Must::End)
            }
            // Noise alone.
            95..97 => {
                let length = chance.below(400);
                (String::from_utf8_lossy(&chance.bytes(length)).into_owned(), Must::End)
            }
            // Long ones, up to where their time counts.
            _ => {
                let length = 500 + chance.below(TIMED_BYTES - 700);
                let (table, condition) = (self.table, self.condition);
                let mut sql = format!("SELECT count(*) FROM {table} WHERE {condition}");
                while sql.len() + condition.len() + 5 < length {
                    sql += if chance.below(2) == 0 { " AND " } else { " OR " };
                    sql += condition;
                }
                (sql, Must::BeJudged(None))
            }
        }
    }
}

/// What must come of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Must {
    /// The same as of the one it was made of.
    BeJudged(Option<Rule>),
    /// No approval.
    BeRefused,
    /// An answer; if it is approval, one that holds.
    End,
}

fn sql_of(line: &str) -> String {
    let case: Value = serde_json::from_str(line).expect("a case");
    case["sql"].as_str().expect("a text").to_owned()
}

fn dress(sql: &str, chance: &mut Chance) -> Option<String> {
    let count = 1 + chance.below(59);
    disguised(sql, &chance.bytes(count))
}

fn boundary(text: &str, chance: &mut Chance) -> usize {
    text.floor_char_boundary(chance.below(text.len() + 1))
}

fn is_refused_for_its_content(rule: Option<Rule>) -> bool {
    rule.is_some_and(|rule| {
        !matches!(
            rule,
            Rule::Empty
                | Rule::Syntax
                | Rule::MultipleStatements
                | Rule::NotASelect
                | Rule::UnknownParameter
                // What stands around it may be what gives it the table.
                | Rule::UnknownTable
        )
    })
}

/// What a run found.
#[derive(Default)]
struct Found {
    faults: Vec<String>,
    statements: u64,
    approved: u64,
    /// How many were refused by which rule.
    refused: BTreeMap<String, u64>,
    /// How many statements took so many microseconds.
    times: BTreeMap<u64, u64>,
}

impl Found {
    fn add(&mut self, other: Self) {
        self.faults.extend(other.faults);
        self.statements += other.statements;
        self.approved += other.approved;
        for (time, count) in other.times {
            *self.times.entry(time).or_default() += count;
        }
        for (rule, count) in other.refused {
            *self.refused.entry(rule).or_default() += count;
        }
    }

    /// The time that so many of a hundred thousand take at most.
    fn quantile(&self, of: u64) -> Duration {
        let total: u64 = self.times.values().sum();
        let place = (total * of).div_ceil(100_000).max(1);
        let mut sum = 0;
        let found = self.times.iter().find(|it| {
            sum += it.1;
            sum >= place
        });
        Duration::from_micros(found.map_or(0, |it| *it.0))
    }

    /// As lines, for the process that has started this one.
    fn told(&self) -> String {
        let times: Vec<String> = self.times.iter().map(|it| format!("{}:{}", it.0, it.1)).collect();
        let mut told =
            format!("soaked {} {} {}\n", self.statements, self.approved, times.join(","));
        for (rule, count) in &self.refused {
            told += &format!("refused {rule} {count}\n");
        }
        for it in &self.faults {
            told += &format!("fault {}\n", it.replace('\n', "\\n"));
        }
        told
    }

    /// What a process told.
    fn read(told: &str) -> Self {
        let mut found = Self::default();
        for line in told.lines() {
            if let Some(it) = line.strip_prefix("fault ") {
                found.faults.push(it.to_owned());
            } else if let Some((rule, count)) =
                line.strip_prefix("refused ").and_then(|it| it.split_once(' '))
            {
                found.refused.insert(rule.to_owned(), count.parse().expect("a count"));
            // The harness writes in front of what a test writes.
            } else if let Some((_, it)) = line.split_once("soaked ") {
                let mut parts = it.split(' ');
                let mut number = || parts.next().and_then(|it| it.parse().ok()).expect("a number");
                (found.statements, found.approved) = (number(), number());
                let times = parts.next().unwrap_or_default().split(',');
                found.times = times
                    .filter_map(|it| it.split_once(':'))
                    .map(|it| (it.0.parse().expect("a time"), it.1.parse().expect("a count")))
                    .collect();
            }
        }
        found
    }
}

fn grounds() -> Vec<Ground> {
    [Some(Ground::clinic()), Ground::attacks()].into_iter().flatten().collect()
}

/// Tries those of the parts of all statements that are this process's.
fn run(grounds: &[Ground], statements: u64, seed: u64, (own, of): (u64, u64)) -> Found {
    let mut found = Found::default();
    for part in (0..statements.div_ceil(PART)).filter(|it| it % of == own) {
        let count = PART.min(statements - part * PART);
        // Far from each other, so that no two parts are alike.
        let seed = seed.wrapping_add(part.wrapping_mul(0x51_7c_c1_b7_27_22_0a_95));
        found.add(try_part(grounds, count, seed));
    }
    found
}

fn try_part(grounds: &[Ground], statements: u64, seed: u64) -> Found {
    let mut chance = Chance(seed);
    let mut found = Found { statements, ..Found::default() };
    for number in 0..statements {
        let ground = chance.pick(grounds);
        let (sql, must) = ground.statement(&mut chance);
        let judge = || {
            let started = Instant::now();
            let verdict = ground.guard.check(&sql);
            (verdict, started.elapsed())
        };
        let (verdict, mut took) = judge();
        if sql.len() <= TIMED_BYTES {
            for _ in 1..ATTEMPTS {
                if took > AGAIN {
                    took = took.min(judge().1);
                }
            }
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            *found.times.entry(micros).or_default() += 1;
        }
        let rule = verdict.as_ref().err().map(|it| it.rule);
        if let Some(rule) = rule {
            *found.refused.entry(rule.name().to_owned()).or_default() += 1;
        }
        let mut fault = |what: String| {
            if found.faults.len() < 20 {
                found.faults.push(format!("statement {number} from seed {seed}: {what}: {sql:?}"));
            }
        };
        match must {
            // other letters may make a long statement too long, which is refused before it is read
            Must::BeJudged(expected) if expected != rule && rule != Some(Rule::TooLong) => {
                fault(format!("{rule:?} and not {expected:?}"));
            }
            Must::BeRefused if rule.is_none() => fault("approved".to_owned()),
            _ => {}
        }
        // So ends a statement over which the parser's thread has panicked.
        if rule == Some(Rule::Unavailable) {
            fault("not judged".to_owned());
        }
        if let Ok(approved) = verdict {
            // The same text was just judged, and the same way: only a text that was changed is another one.
            let is_same = approved.sql == sql;
            if !is_same && ground.guard.check(&approved.sql).as_ref() != Ok(&approved) {
                fault(format!("what is run is judged otherwise: {:?}", approved.sql));
            }
            if let Some(name) = forbidden_call(&approved.sql) {
                fault(format!("it calls {name}"));
            }
            found.approved += 1;
        }
    }
    found
}

/// Shares the statements out among as many processes as there are processors.
fn run_in_processes(statements: u64, seed: u64) -> Found {
    let program = std::env::current_exe().expect("this program");
    let count = std::thread::available_parallelism().map_or(1, |it| it.get() as u64);
    let started: Vec<_> = (0..count)
        .map(|own| {
            Command::new(&program)
                .args(["--exact", TEST, "--nocapture"])
                .env("SOAK_SHARE", format!("{own}/{count}"))
                .env("SOAK_INPUTS", statements.to_string())
                .env("SOAK_SEED", seed.to_string())
                .stdout(Stdio::piped())
                .spawn()
                .expect("it starts")
        })
        .collect();
    let mut found = Found::default();
    for process in started {
        let output = process.wait_with_output().expect("it ends");
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "a process ended with {}:\n{told}", output.status);
        found.add(Found::read(&told));
    }
    assert_eq!(found.statements, statements, "all were tried");
    found
}

/// Which of how many processes this is.
#[expect(
    clippy::disallowed_methods,
    reason = "a process that this test starts is told its part so"
)]
fn share() -> Option<(u64, u64)> {
    let share = std::env::var("SOAK_SHARE").ok()?;
    let (own, of) = share.split_once('/')?;
    Some((own.parse().ok()?, of.parse().ok()?))
}

/// A number from the environment, as `cargo xtask soak` gives it.
fn number(name: &str) -> Option<u64> {
    std::env::var_os(name)?.to_str()?.parse().ok()
}

#[test]
fn nothing_comes_through_in_any_dress_and_all_is_judged_quickly() {
    let asked = number("SOAK_INPUTS");
    let statements = asked.unwrap_or(SHORT);
    let seed = number("SOAK_SEED").unwrap_or(SEED);
    if let Some(share) = share() {
        // The process that has started this one tells what there is to tell.
        println!("{}", run(&grounds(), statements, seed, share).told());
        return;
    }
    let found = match asked {
        Some(_) => run_in_processes(statements, seed),
        None => run(&grounds(), statements, seed, (0, 1)),
    };
    let [half, nearly_all, most] = [50_000, 99_000, 100_000].map(|it| found.quantile(it));
    println!(
        "{statements} statements from seed {seed} over {} corpora: {} approved; p50 {half:?}, p99 {nearly_all:?}, at most \
         {most:?}",
        1 + usize::from(Ground::attacks().is_some()),
        found.approved
    );
    let mut refused: Vec<_> = found.refused.iter().collect();
    refused.sort_by_key(|it| std::cmp::Reverse(it.1));
    let refused: Vec<_> =
        refused.into_iter().map(|(rule, count)| format!("{rule} {count}")).collect();
    println!("refused: {}", refused.join(", "));
    assert!(found.faults.is_empty(), "{}", found.faults.join("\n"));
    assert_eq!(found.approved + found.refused.values().sum::<u64>(), statements, "each was judged");
    assert!(found.approved > statements / 20, "it is no test if nothing is approved");
    let is_measured = asked.is_some() && !cfg!(debug_assertions);
    assert!(!is_measured || nearly_all <= P99_LIMIT, "p99 {nearly_all:?} is above {P99_LIMIT:?}");
}

#[test]
fn a_guard_that_lets_more_through_is_caught() {
    let mut ground = Ground::clinic();
    let catalog = support::catalog(include_str!("catalogs/clinic.json"));
    ground.guard = Guard::new(&catalog, &AllowedTables::All);
    let found = try_part(&[ground], 500, SEED);
    let through = |it: &String| it.contains("approved") || it.contains("None and not Some");
    assert!(found.faults.iter().any(through), "{:?}", found.faults);
}

#[test]
fn what_a_process_found_is_read_as_it_told_it() {
    let found = try_part(&grounds(), 200, SEED);
    let read = Found::read(&found.told());
    assert_eq!((read.statements, read.approved), (200, found.approved));
    assert_eq!((read.refused, read.times, read.faults), (found.refused, found.times, found.faults));
}
