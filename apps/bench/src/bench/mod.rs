//! Speed and memory beside peers on the same Postgres, in one run. Rounds alternate between Plinth and its peer, and
//! ratios are taken pair by pair, so that what else the machine does hits both.

mod auth;
mod bare;
mod branches;
mod engine;
mod figure;
mod introspect;
mod load;
mod memory;
mod queue;
mod rest;
mod rows;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value as Json, json};

pub(crate) use self::bare::{BareOptions, serve as serve_bare};
use self::figure::{Figure, show};
use crate::client::Client;
use crate::machine::Machine;
use crate::process::{Databases, Folder, Model, Plinth};
use crate::sample::Sample;
use crate::terminal::say;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[arg(value_enum, default_value = "all")]
    what: What,
    /// How long a round of requests lasts
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// How often Plinth and its peer take turns
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How many clients send requests at once
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// How large the databases are that branches are made of, in MB
    #[arg(long, default_value = "100,1000", value_name = "N,N", value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..))]
    sizes: Vec<u64>,
    /// How many jobs a round of the queue has
    #[arg(long, default_value_t = 5_000, value_name = "N", value_parser = clap::value_parser!(u32).range(100..))]
    jobs: u32,
    /// Write the figures to this file, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Fail if a figure misses its aim
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// A statement and a question with one row, over HTTP
    Rest,
    /// 100,000 rows, and the server's memory
    Rows,
    /// Reading the schema of 10,000 tables, and the server's memory
    Introspect,
    /// The embedded engine's own time for a question
    Engine,
    /// Authenticated requests beside a handler that asks nobody who they are
    Auth,
    /// Branches of databases and sleeping endpoints; as root also on an XFS in a file. Not one of all: it takes minutes
    Branches,
    /// Runs of workflows beside graphile-worker; needs node and npm. Not one of all: it installs something
    Queue,
    /// All of these but branches and the queue
    All,
}

/// What each part needs.
struct Stage<'a> {
    binary: &'a Path,
    databases: &'a Databases,
    options: &'a Options,
}

impl Stage<'_> {
    /// A fresh server for a part, so that what one leaves in memory does not count for another.
    async fn plinth(&self) -> Result<(Folder, Plinth)> {
        let folder = Folder::create()?;
        let plinth = Plinth::start(self.binary, &folder, Model::None).await?;
        Ok((folder, plinth))
    }

    fn round(&self) -> Duration {
        Duration::from_secs(self.options.seconds)
    }
}

/// Measures, prints the table and stops all again.
///
/// # Errors
/// If something does not start or answers otherwise than it should, or with `strict` if a figure misses its aim.
pub(crate) async fn run(binary: &Path, options: &Options) -> Result<()> {
    let folder = Folder::create()?;
    say("· starting a Postgres for the data …");
    let databases = Databases::start(&folder).await?;
    let machine = Machine::look(databases.version());
    let stage = Stage { binary, databases: &databases, options };
    let wanted = |what| options.what == what || options.what == What::All;

    let mut figures = Vec::new();
    if wanted(What::Rest) || wanted(What::Engine) {
        let sample = Sample::load(&databases).await?;
        say(&format!("✓ loaded the sample: {} rows", sample.rows));
        if wanted(What::Rest) {
            figures.extend(rest::measure(&stage, &sample).await.context("measuring one row")?);
        }
        if wanted(What::Engine) {
            figures.extend(engine::measure(&stage, &sample).await.context("measuring the engine")?);
        }
    }
    if wanted(What::Rows) {
        figures.extend(rows::measure(&stage).await.context("measuring many rows")?);
    }
    if wanted(What::Introspect) {
        figures.extend(introspect::measure(&stage).await.context("measuring introspection")?);
    }
    if wanted(What::Auth) {
        figures.extend(auth::measure(&stage).await.context("measuring authentication")?);
    }
    if options.what == What::Branches {
        figures.extend(branches::measure(&stage).await.context("measuring branches")?);
    }
    if options.what == What::Queue {
        figures.extend(queue::measure(&stage).await.context("measuring the queue")?);
    }
    databases.stop().await?;

    say(&format!("\n{}\n{}", show(&figures), machine.text()));
    if let Some(path) = &options.report {
        let all: Vec<Json> = figures.iter().map(Figure::json).collect();
        let report = json!({ "machine": machine.json(), "figures": all });
        fs::write(path, format!("{report:#}\n"))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    let missed = figures.iter().filter(|figure| figure.is_met() == Some(false)).count();
    ensure!(!options.strict || missed == 0, "{missed} figures miss their aims");
    Ok(())
}

/// Sends a query with a ready body and reads the answer to its end; gives its length.
async fn send(client: &mut Client, body: &[u8]) -> Result<u64> {
    // Kept only if it is short: an error is.
    let mut start = Vec::new();
    let response = client
        .send("POST", "/v1/queries", Some(body), |part| {
            if start.len() < 2000 {
                start.extend_from_slice(part);
            }
        })
        .await?;
    ensure!(
        response.status == 200,
        "status {}: {:.500}",
        response.status,
        String::from_utf8_lossy(&start)
    );
    Ok(response.length)
}
