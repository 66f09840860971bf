//! Drives the product from outside, as a user would: how many questions it answers rightly, and how fast it is beside
//! others. `cargo xtask eval` and `cargo xtask bench` build Plinth and call this.
//!
//! Whatever is started here (a `plinth serve` with a data folder of its own, a Postgres for the data) is stopped here,
//! also after a failure or Ctrl-C. Start reading in `eval` or `bench`; `compare` says when two results are the same.

mod bench;
mod client;
mod compare;
mod database;
mod eval;
mod machine;
mod process;
mod question;
mod sample;
mod terminal;
mod value;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(name = "plinth-bench", about = "Measures Plinth from outside", max_term_width = 110)]
struct Arguments {
    /// The binary to measure
    #[arg(long, value_name = "FILE")]
    plinth: PathBuf,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Ask a set of questions and count the right answers
    Eval(Box<eval::Options>),
    /// Measure speed and memory beside others on the same Postgres
    Bench(bench::Options),
    /// Answer every request with a file, as a server that does nothing else (`bench auth` starts this)
    #[command(hide = true)]
    Bare(bench::BareOptions),
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match until_stopped(run(arguments)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::complain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    match arguments.task {
        Task::Eval(options) => eval::run(&arguments.plinth, &options).await,
        Task::Bench(options) => bench::run(&arguments.plinth, &options).await,
        Task::Bare(options) => bench::serve_bare(options).await,
    }
}

/// Runs until done or told to stop; what was started goes with the future.
async fn until_stopped(work: impl Future<Output = Result<()>>) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut hangup = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
    tokio::select! {
        outcome = work => outcome,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("told to stop"),
        _ = hangup.recv() => bail!("the terminal is gone"),
    }
}
