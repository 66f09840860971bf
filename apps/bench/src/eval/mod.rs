//! Asks a running server a set of questions and judges the answers by their results.

mod ask;
mod engine;
mod judge;
mod kit;
mod tally;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use plinth_core::{Clock as _, SystemClock};
use serde_json::{Value as Json, json};

pub(crate) use self::ask::conversation_of;
use self::ask::{Asked, Asking, WhoIsAsked};
use self::engine::Alone;
use self::kit::{Kit, quoted};
use self::tally::{Outcome, Tallies};
use crate::database::{Runner, config, connect};
use crate::machine::Machine;
use crate::process::{Databases, Folder, Model, Plinth};
use crate::question::{Expected, Question, Source, read};
use crate::sample;
use crate::terminal::{Progress, say};

/// Our own questions. The tool runs in its workspace, so the files are read when they are needed.
const OWN_QUESTIONS: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/questions/sample.jsonl"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/questions/sample2.jsonl"),
];

/// Our own questions over the sample, with those that follow others.
///
/// # Errors
/// If they cannot be read.
pub(crate) fn own_questions(field: &str) -> Result<Vec<Question>> {
    read(&OWN_QUESTIONS.map(Path::new), Source::Own, field)
}

/// The role that reads a kit's databases.
const KIT_READER: &str = "kit_ro";

/// So many failures are shown; they are seldom of different kinds.
const MOST_FAILURES_SHOWN: usize = 3;

/// What to evaluate.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// A kit of public benchmark questions with its databases, instead of our own set over the sample; skipped where there is
    /// no such folder
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
    /// Let Plinth use the language model that the variables `PLINTH_LLM_…` name; without it they are left out
    #[arg(long)]
    with_model: bool,
    /// Ask the embedded engine by itself, without a server
    #[arg(long, conflicts_with_all = ["with_model", "self_test"])]
    engine: bool,
    /// With `--engine` and our own set: as if tables and columns were called so, by a file like `questions/renames.txt`
    #[arg(long, requires = "engine", conflicts_with = "kit", value_name = "FILE")]
    renamed: Option<PathBuf>,
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

impl Options {
    fn model(&self) -> Model {
        if self.with_model { Model::FromSurroundings } else { Model::None }
    }
}

/// Starts all that is needed, asks, prints the tables and stops all again.
///
/// # Errors
/// If something does not start, a gold statement does not run, or fewer questions than wanted were answered rightly.
pub(crate) async fn run(plinth: &Path, options: &Options) -> Result<()> {
    if let Some(folder) = options.kit.as_deref().filter(|it| !it.exists()) {
        say(&format!("· skipped: there is no kit of questions at {}", folder.display()));
        return Ok(());
    }
    let kit = options.kit.as_deref().map(Kit::at).transpose()?;
    let (questions, wanted) = select(options, kit.as_ref())?;
    let folder = Folder::create()?;
    say("· starting a Postgres for the data, and Plinth …");
    let databases = Databases::start(&folder).await?;
    let plinth = if options.self_test || options.engine {
        None
    } else {
        Some(Plinth::start(plinth, &folder, options.model()).await?)
    };
    say("✓ started");
    let machine = Machine::look(databases.version());

    let loaded = match &kit {
        Some(kit) => load_kit(kit, &databases, plinth.as_ref(), &questions).await?,
        None => load_sample(&databases, plinth.as_ref()).await?,
    };
    let Loaded { runner, connections, .. } = &loaded;
    let alone = if options.engine {
        Some(Alone::over(&databases, &loaded.readers(), options.renamed.as_deref()).await?)
    } else {
        None
    };
    let started = Instant::now();
    let asked = match (&plinth, &alone) {
        (Some(plinth), _) => WhoIsAsked::Plinth(plinth),
        (None, Some(engine)) => WhoIsAsked::Engine(engine),
        (None, None) => WhoIsAsked::Nobody,
    };
    let asking = Asking { runner, connections, asked };
    let mut results = asking.all(questions, options.concurrency.max(1)).await?;
    let took = started.elapsed();
    // what was asked only so that something could follow does not count
    results.retain(|it| wanted.contains(&it.question.id));

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

/// The questions to ask, and the ids of those that count. What a wanted question follows is asked before it, wanted or not.
fn select(options: &Options, kit: Option<&Kit>) -> Result<(Vec<Question>, HashSet<String>)> {
    let all = match (&options.questions, kit) {
        (Some(file), _) => {
            let source = if kit.is_some() { Source::Kit } else { Source::Own };
            read(&[file], source, &options.field)?
        }
        (None, Some(kit)) => read(&[&kit.questions], Source::Kit, &options.field)?,
        (None, None) => own_questions(&options.field)?,
    };
    let filters = [("corpus", &options.corpus), ("db", &options.db), ("kind", &options.kind)];
    let mut wanted: Vec<&Question> = all
        .iter()
        .filter(|question| {
            let is = |by: &str, wanted: &[String]| {
                question.groups.iter().any(|(group, name)| *group == by && wanted.contains(name))
            };
            filters.iter().all(|(by, wanted)| wanted.is_empty() || is(by, wanted))
                && !is("flag", &options.skip_flags)
        })
        .collect();
    if let Some(limit) = options.limit {
        wanted = spread(wanted, limit);
    }
    ensure!(!wanted.is_empty(), "no question is left by these filters");
    let wanted: HashSet<String> = wanted.into_iter().map(|it| it.id.clone()).collect();
    let mut questions = with_those_before(all, &wanted);
    // One database after the other, so that few are in use at a time.
    questions.sort_by(|a, b| a.database.cmp(&b.database));
    Ok((questions, wanted))
}

/// Those of the questions that are wanted, with all that they follow.
fn with_those_before(all: Vec<Question>, wanted: &HashSet<String>) -> Vec<Question> {
    let mut needed = wanted.clone();
    // what is followed stands before
    for question in all.iter().rev() {
        if let Some(before) = &question.follows
            && needed.contains(&question.id)
        {
            needed.insert(before.clone());
        }
    }
    all.into_iter().filter(|it| needed.contains(&it.id)).collect()
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

/// The databases that are asked.
struct Loaded {
    runner: Runner,
    connections: Connections,
    names: Vec<String>,
    role: &'static str,
    password: String,
}

impl Loaded {
    fn readers(&self) -> Vec<sample::Reader<'_>> {
        let names = self.names.iter();
        names
            .map(|database| sample::Reader { database, role: self.role, password: &self.password })
            .collect()
    }
}

async fn load_kit(
    kit: &Kit,
    databases: &Databases,
    plinth: Option<&Plinth>,
    questions: &[Question],
) -> Result<Loaded> {
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
    if let Some(plinth) = plinth {
        let mut progress = Progress::new();
        let mut client = plinth.client();
        for name in &names {
            let id = sample::connect_plinth(&mut client, databases, &reader(name)).await?;
            connections.insert(name.clone(), id);
            progress.show(|| format!("{} of {all} databases connected", connections.len()));
        }
        progress.done(&format!("connected {all} databases"));
    }
    let names = names.into_iter().collect();
    Ok(Loaded { runner, connections, names, role: KIT_READER, password })
}

async fn load_sample(databases: &Databases, plinth: Option<&Plinth>) -> Result<Loaded> {
    let sample = sample::Sample::load(databases).await?;
    say(&format!("✓ loaded the sample: {} rows", sample.rows));
    let mut connections = Connections::new();
    if let Some(plinth) = plinth {
        let id = sample.connect(&mut plinth.client(), databases).await?;
        connections.insert(sample::DATABASE.to_owned(), id);
    }
    let reader = sample.reader();
    Ok(Loaded {
        runner: Runner::new(reader.config(databases), true),
        connections,
        names: vec![sample::DATABASE.to_owned()],
        role: reader.role,
        password: reader.password.to_owned(),
    })
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
            "follows": result.question.follows,
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
    use crate::question::conversations;

    #[test]
    fn a_limit_takes_questions_from_the_whole_set() {
        assert_eq!(spread((0..10).collect(), 5), [1, 3, 5, 7, 9]);
        assert_eq!(spread((0..10).collect(), 1), [9]);
        assert_eq!(spread((0..3).collect(), 10), [0, 1, 2]);
        assert_eq!(spread((0..3).collect(), 0), Vec::<i32>::new());
        assert_eq!(spread(Vec::<i32>::new(), 5), Vec::<i32>::new());
    }

    #[test]
    fn our_own_questions_can_be_read_with_those_that_follow_others() {
        let all = own_questions("question").unwrap();
        assert!(all.len() >= 300, "{}", all.len());
        assert!(all.iter().filter(|it| it.follows.is_some()).count() >= 30);
    }

    #[test]
    fn what_a_wanted_question_follows_is_asked_with_it() {
        let all = own_questions("question").unwrap();
        let last = all
            .iter()
            .rfind(|it| {
                let before = all.iter().find(|other| Some(&other.id) == it.follows.as_ref());
                before.is_some_and(|it| it.follows.is_some())
            })
            .unwrap();
        let wanted = HashSet::from([last.id.clone()]);
        let asked = with_those_before(all.clone(), &wanted);
        assert!(asked.len() >= 3, "{asked:?}");
        assert_eq!(conversations(asked).len(), 1);
    }
}
