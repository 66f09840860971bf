//! Asks a running server a set of questions and judges the answers by their results.

mod judge;
mod kit;
mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::{StreamExt as _, stream};
use plinth_core::{Clock as _, SystemClock};
use serde_json::{Value as Json, json};

use self::judge::{Verdict, judge, judge_words};
use self::kit::{Kit, quoted};
use self::tally::{Outcome, Tallies};
use crate::client::{Client, Response};
use crate::database::{Runner, config, connect};
use crate::machine::Machine;
use crate::process::{Databases, Folder, Plinth};
use crate::question::{Expected, Question, Source, read};
use crate::sample;
use crate::terminal::{Progress, say};

/// Our own questions. The tool runs in its workspace, so the file is read when it is needed.
pub(crate) const OWN_QUESTIONS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/questions/sample.jsonl");

/// The role that reads a kit's databases.
const KIT_READER: &str = "kit_ro";

/// How often a question is asked again that the server puts off because there are too many.
const MOST_ATTEMPTS: u32 = 10;

/// So many failures are shown; they are seldom of different kinds.
const MOST_FAILURES_SHOWN: usize = 3;

/// What to evaluate.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// A kit of public benchmark questions with its databases, instead of our own set over the sample
    #[arg(long, value_name = "DIR")]
    kit: Option<PathBuf>,
    /// A file of questions, instead of those of the kit or our own
    #[arg(long, value_name = "FILE")]
    questions: Option<PathBuf>,
    /// Ask this many, spread evenly over the set
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Only questions of these corpora
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    corpus: Vec<String>,
    /// Only questions to these databases
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    db: Vec<String>,
    /// Only questions of these kinds
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    kind: Vec<String>,
    /// Leave out questions with one of these flags, like `relative_date` or `empty`
    #[arg(long, value_delimiter = ',', value_name = "FLAGS")]
    skip_flags: Vec<String>,
    /// Take the question from this field where there is one, like `syn`
    #[arg(long, default_value = "question", value_name = "FIELD")]
    field: String,
    /// How many questions are asked at once
    #[arg(long, default_value_t = 4, value_name = "N")]
    concurrency: usize,
    /// Start no Plinth and judge the set itself: its own gold is the answer, and must be right
    #[arg(long)]
    self_test: bool,
    /// Write the figures to this file, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write what became of each question to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Fail if fewer are answered rightly
    #[arg(long, value_name = "PERCENT")]
    min_accuracy: Option<f64>,
}

/// Starts all that is needed, asks, prints the tables and stops all again.
///
/// # Errors
/// If something does not start, a gold statement does not run, or fewer questions than wanted were answered rightly.
pub(crate) async fn run(plinth: &Path, options: &Options) -> Result<()> {
    let kit = options.kit.as_deref().map(Kit::at).transpose()?;
    let questions = select(options, kit.as_ref())?;
    let folder = Folder::create()?;
    say("· starting a Postgres for the data, and Plinth …");
    let databases = Databases::start(&folder).await?;
    let plinth =
        if options.self_test { None } else { Some(Plinth::start(plinth, &folder, &[]).await?) };
    say("✓ started");
    let machine = Machine::look(databases.version());

    let (runner, connections) = match &kit {
        Some(kit) => load_kit(kit, &databases, plinth.as_ref(), &questions).await?,
        None => load_sample(&databases, plinth.as_ref()).await?,
    };
    let started = Instant::now();
    let asking = Asking { runner: &runner, connections: &connections, plinth: plinth.as_ref() };
    let results = asking.all(questions, options.concurrency.max(1)).await?;
    let took = started.elapsed();

    let mut tallies = Tallies::default();
    for result in &results {
        tallies.add(&result.question, result.outcome, result.sql.is_some());
        tallies.add_times(result.engine_ms, result.total_ms);
    }
    if let Some(plinth) = plinth {
        plinth.stop()?;
    }
    databases.stop().await?;
    show(&tallies, &results, &machine, took);
    if SystemClock.now().strftime("%F").to_string() != machine.started.strftime("%F").to_string() {
        say("! A day ended during the run: questions about today may have been judged wrongly.");
    }
    if let Some(path) = &options.report {
        let report = json!({ "machine": machine.json(), "seconds": took.as_secs_f64(), "figures": tallies.json() });
        fs::write(path, format!("{report:#}\n"))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    if let Some(path) = &options.out {
        write_each(path, &results).with_context(|| format!("writing {}", path.display()))?;
    }
    if let Some(least) = options.min_accuracy {
        let accuracy = tallies.all.percent(tallies.all.right);
        ensure!(accuracy >= least, "{accuracy:.1} % were answered rightly, fewer than {least} %");
    }
    Ok(())
}

fn select(options: &Options, kit: Option<&Kit>) -> Result<Vec<Question>> {
    let (source, file) = match kit {
        Some(kit) => (Source::Kit, kit.questions.as_path()),
        None => (Source::Own, Path::new(OWN_QUESTIONS)),
    };
    let file = options.questions.as_deref().unwrap_or(file);
    let mut questions = read(file, source, &options.field)?;
    let filters = [("corpus", &options.corpus), ("db", &options.db), ("kind", &options.kind)];
    questions.retain(|question| {
        let is = |by: &str, wanted: &[String]| {
            question.groups.iter().any(|(group, name)| *group == by && wanted.contains(name))
        };
        filters.iter().all(|(by, wanted)| wanted.is_empty() || is(by, wanted))
            && !is("flag", &options.skip_flags)
    });
    if let Some(limit) = options.limit {
        questions = spread(questions, limit);
    }
    ensure!(!questions.is_empty(), "no question of {} is left by these filters", file.display());
    // One database after the other, so that few are in use at a time.
    questions.sort_by(|a, b| a.database.cmp(&b.database));
    Ok(questions)
}

/// So many of the items, at even distances.
fn spread<T>(items: Vec<T>, limit: usize) -> Vec<T> {
    let (all, limit) = (items.len(), limit.min(items.len()));
    let mut at = 0;
    let mut taken = items;
    taken.retain(|_| {
        at += 1;
        at * limit / all > (at - 1) * limit / all
    });
    taken
}

/// The connections' ids by the database's name.
type Connections = BTreeMap<String, String>;

async fn load_kit(
    kit: &Kit,
    databases: &Databases,
    plinth: Option<&Plinth>,
    questions: &[Question],
) -> Result<(Runner, Connections)> {
    let names: BTreeSet<String> =
        questions.iter().filter_map(|question| question.database.clone()).collect();
    let password = sample::password()?;
    let admin = connect(&config(databases, "postgres")).await?;
    admin
        .batch_execute(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD '{password}'; ALTER ROLE {role} SET default_transaction_read_only = on",
            role = quoted(KIT_READER)
        ))
        .await?;
    let mut progress = Progress::new();
    let all = names.len();
    kit.load(databases, &names, KIT_READER, |done| {
        progress.show(|| format!("{done} of {all} databases loaded"));
    })
    .await?;
    progress.done(&format!("loaded {all} databases"));

    // The runner puts the database's name in itself.
    let reader = |database| sample::Reader { database, role: KIT_READER, password: &password };
    let runner = Runner::new(reader("postgres").config(databases), false);
    let mut connections = Connections::new();
    let Some(plinth) = plinth else { return Ok((runner, connections)) };
    let mut progress = Progress::new();
    let mut client = plinth.client();
    for name in &names {
        let id = sample::connect_plinth(&mut client, databases, &reader(name)).await?;
        connections.insert(name.clone(), id);
        progress.show(|| format!("{} of {all} databases connected", connections.len()));
    }
    progress.done(&format!("connected {all} databases"));
    Ok((runner, connections))
}

async fn load_sample(
    databases: &Databases,
    plinth: Option<&Plinth>,
) -> Result<(Runner, Connections)> {
    let sample = sample::Sample::load(databases).await?;
    say(&format!("✓ loaded the sample: {} rows", sample.rows));
    let mut connections = Connections::new();
    if let Some(plinth) = plinth {
        let id = sample.connect(&mut plinth.client(), databases).await?;
        connections.insert(sample::DATABASE.to_owned(), id);
    }
    Ok((Runner::new(sample.reader().config(databases), true), connections))
}

/// What was asked and what came of it.
struct Asked {
    question: Question,
    outcome: Outcome,
    sql: Option<String>,
    /// Why it is not right.
    note: Option<String>,
    status: u16,
    confidence: Option<f64>,
    engine_ms: Option<f64>,
    total_ms: f64,
}

/// All that asking needs.
struct Asking<'a> {
    runner: &'a Runner,
    connections: &'a Connections,
    /// `None` takes the gold for the answer.
    plinth: Option<&'a Plinth>,
}

/// What the server made of a question.
#[derive(Debug, PartialEq)]
enum Answer {
    Sql(String),
    /// In words, without SQL.
    Words(String),
    /// Asked back or declined, with what it said.
    None(String),
    Failed(String),
}

impl Asking<'_> {
    async fn all(&self, questions: Vec<Question>, at_once: usize) -> Result<Vec<Asked>> {
        let free: Mutex<Vec<Client>> = Mutex::default();
        let all = questions.len();
        let asked = questions.into_iter().map(async |question| {
            let Some(plinth) = self.plinth else { return self.gold(question).await };
            let kept = free.lock().ok().and_then(|mut free| free.pop());
            let mut client = kept.unwrap_or_else(|| plinth.client());
            let asked = self.one(&mut client, question).await;
            if let Ok(mut free) = free.lock() {
                free.push(client);
            }
            asked
        });
        let mut asked = pin!(stream::iter(asked).buffer_unordered(at_once));
        let mut progress = Progress::new();
        let mut results: Vec<Asked> = Vec::with_capacity(all);
        let mut right = 0;
        while let Some(result) = asked.next().await {
            let result = result?;
            right += usize::from(result.outcome == Outcome::Right);
            results.push(result);
            let done = results.len();
            progress.show(|| format!("{done} of {all} asked, {} % right", right * 100 / done));
        }
        progress.done(&format!("asked {all} questions"));
        results.sort_by(|a, b| a.question.id.cmp(&b.question.id));
        Ok(results)
    }

    /// Takes the first gold for the answer.
    async fn gold(&self, question: Question) -> Result<Asked> {
        let sql = match &question.expected {
            Expected::Decline => None,
            Expected::Rows { gold, .. } => gold.first().cloned(),
        };
        let verdict = match &sql {
            Some(sql) => judge(self.runner, database_of(&question), &question, sql).await?,
            None => Verdict::Right,
        };
        let (outcome, note) = match verdict {
            Verdict::Right => (Outcome::Right, None),
            Verdict::Wrong(why) => (Outcome::Wrong, Some(why)),
        };
        let (status, confidence, engine_ms, total_ms) = (0, None, None, 0.0);
        Ok(Asked { question, outcome, sql, note, status, confidence, engine_ms, total_ms })
    }

    async fn one(&self, client: &mut Client, question: Question) -> Result<Asked> {
        let database = database_of(&question);
        let connection = self.connections.get(database);
        let connection = connection.with_context(|| format!("there is no database {database}"))?;
        let body = json!({ "connection_id": connection, "question": question.text });
        let started = Instant::now();
        let response = ask(client, &body).await?;
        let total_ms = started.elapsed().as_secs_f64() * 1000.0;
        let json = response.json().unwrap_or_default();
        let answer = understand(&response, &json);
        let (outcome, sql, note) = match answer {
            Answer::Sql(sql) => match judge(self.runner, database, &question, &sql).await? {
                Verdict::Right => (Outcome::Right, Some(sql), None),
                Verdict::Wrong(why) => (Outcome::Wrong, Some(sql), Some(why)),
            },
            Answer::Words(words) => {
                match judge_words(self.runner, database, &question, &words).await? {
                    Verdict::Right => (Outcome::Right, None, None),
                    Verdict::Wrong(why) => (Outcome::Wrong, None, Some(format!("{why}: {words}"))),
                }
            }
            Answer::None(said) => match question.expected {
                Expected::Decline => (Outcome::Right, None, None),
                Expected::Rows { .. } => (Outcome::AskedBack, None, Some(said)),
            },
            Answer::Failed(why) => (Outcome::Failed, None, Some(why)),
        };
        Ok(Asked {
            outcome,
            sql,
            note,
            status: response.status,
            confidence: json["data"]["confidence"].as_f64(),
            engine_ms: json["data"]["timings"]["engine_ms"].as_f64(),
            total_ms,
            question,
        })
    }
}

fn database_of(question: &Question) -> &str {
    question.database.as_deref().unwrap_or(sample::DATABASE)
}

/// Asks, and waits where the server says that there are too many requests.
async fn ask(client: &mut Client, body: &Json) -> Result<Response> {
    for _ in 0..MOST_ATTEMPTS {
        let response = client.request("POST", "/v1/queries", Some(body)).await?;
        if response.status != 429 {
            return Ok(response);
        }
        tokio::time::sleep(Duration::from_secs(response.retry_after.unwrap_or(1).max(1))).await;
    }
    bail!("the server puts off every question: there are too many")
}

fn understand(response: &Response, json: &Json) -> Answer {
    let data = &json["data"];
    let error = &json["error"];
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    match response.status {
        200 | 201 => {
            if let Some(sql) = data["sql"].as_str().filter(|sql| !sql.trim().is_empty()) {
                return Answer::Sql(sql.to_owned());
            }
            match data["answer"].as_str() {
                Some(words) => Answer::Words(words.to_owned()),
                None => Answer::None(text(&data["outcome"])),
            }
        }
        422 => Answer::None(format!("{} {}", text(&error["message"]), error["details"])),
        status => Answer::Failed(format!(
            "{status} {}: {} {}",
            text(&error["code"]),
            text(&error["message"]),
            error["details"]
        )),
    }
}

fn show(tallies: &Tallies, results: &[Asked], machine: &Machine, took: Duration) {
    say(&format!("\n{}", tallies.text()));
    let all = &tallies.all;
    say(&format!(
        "{:.1} % right, {:.1} % confidently wrong, {:.1} % asked back: {} questions in {:.0} s\n{}",
        all.percent(all.right),
        all.percent(all.wrong),
        all.percent(all.asked_back),
        all.asked,
        took.as_secs_f64(),
        machine.text()
    ));
    let failed = results.iter().filter(|result| result.outcome == Outcome::Failed);
    for result in failed.take(MOST_FAILURES_SHOWN) {
        let note = result.note.as_deref().unwrap_or_default();
        say(&format!("✗ {} failed: {note}", result.question.id));
    }
}

fn write_each(path: &Path, results: &[Asked]) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for result in results {
        let gold = match &result.question.expected {
            Expected::Decline => Json::Null,
            Expected::Rows { gold, .. } => json!(gold),
        };
        let line = json!({
            "id": result.question.id,
            "db": result.question.database,
            "question": result.question.text,
            "outcome": result.outcome.name(),
            "sql": result.sql,
            "gold_sql": gold,
            "note": result.note,
            "status": result.status,
            "confidence": result.confidence,
            "engine_ms": result.engine_ms,
            "total_ms": result.total_ms,
        });
        writeln!(file, "{line}")?;
    }
    Ok(file.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(status: u16, json: &Json) -> Answer {
        understand(&Response { status, retry_after: None, body: Vec::new(), length: 0 }, json)
    }

    #[test]
    fn an_answer_is_its_sql() {
        let json = json!({ "data": { "sql": "SELECT 1", "answer": "One." } });
        assert_eq!(understood(200, &json), Answer::Sql("SELECT 1".to_owned()));
    }

    #[test]
    fn words_without_sql_are_an_answer_and_nothing_at_all_is_none() {
        let json = json!({ "data": { "sql": null, "outcome": "meta", "answer": "Two tables." } });
        assert_eq!(understood(200, &json), Answer::Words("Two tables.".to_owned()));
        let json = json!({ "data": { "sql": " ", "outcome": "declined" } });
        assert_eq!(understood(200, &json), Answer::None("declined".to_owned()));
    }

    #[test]
    fn asking_back_is_no_failure_and_an_error_of_the_server_is_one() {
        let json = json!({ "error": { "code": "c", "message": "m", "details": {} } });
        assert!(matches!(understood(422, &json), Answer::None(_)));
        assert!(matches!(understood(500, &json), Answer::Failed(_)));
        assert!(matches!(understood(401, &json), Answer::Failed(_)));
    }

    #[test]
    fn a_limit_takes_questions_from_the_whole_set() {
        assert_eq!(spread((0..10).collect(), 5), [1, 3, 5, 7, 9]);
        assert_eq!(spread((0..10).collect(), 1), [9]);
        assert_eq!(spread((0..3).collect(), 10), [0, 1, 2]);
        assert_eq!(spread((0..3).collect(), 0), Vec::<i32>::new());
        assert_eq!(spread(Vec::<i32>::new(), 5), Vec::<i32>::new());
    }

    #[test]
    fn our_own_questions_can_be_read() {
        assert!(read(Path::new(OWN_QUESTIONS), Source::Own, "question").unwrap().len() >= 100);
    }
}
