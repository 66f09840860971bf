//! Everything we do to the workspace besides building it. `cargo xtask --help` lists it.
//!
//! **Invariant**: this crate depends on no crate of ours. What needs the product calls its binary (`plinth openapi`,
//! `plinth demo`), so `cargo xtask` itself is built in seconds, also where the product cannot be built yet.
//!
//! Start reading in `shell.rs` (how a program is run, and what Ctrl-C does to it); each command is a module of its own.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to a terminal")]

mod check;
mod ci;
mod fuzz;
mod product;
mod setup;
mod shell;
mod soak;
mod test;
mod tree;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::fuzz::{FuzzOptions, Fuzzed};
use crate::product::DemoOptions;
use crate::soak::{SoakOptions, Subject};
use crate::test::TestOptions;
use crate::workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The workspace's tasks")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check for what building and testing need, and install what is missing where that is allowed
    Setup,
    /// Build Plinth, start it with its own Postgres, load the sample shop and ask it ten questions
    ///
    /// It stays until Ctrl-C, and starts in seconds the next time.
    Demo {
        /// Leave at the end: 0 only if every question was answered rightly
        #[arg(long)]
        exit: bool,
        /// Where Plinth keeps its data
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
        /// Where the server listens
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Option<String>,
        /// Build it optimized: slower to build, faster to answer
        #[arg(long)]
        release: bool,
    },
    /// Run every test, with a real Postgres; the last line counts them
    ///
    /// How a test says that it was skipped: xtask/README.md.
    Test {
        /// Only tests whose name contains one of these
        filters: Vec<String>,
        /// Only the tests of these packages
        #[arg(short, long, value_name = "PACKAGE")]
        package: Vec<String>,
    },
    /// Write the files that are made from code: the `OpenAPI` documents, and the layouts of Postgres's parse nodes
    Generate {
        /// Write nothing; fail if a file is out of date
        #[arg(long)]
        check: bool,
    },
    /// Hold the workspace against its rules: layers, licences, banned packages, manifests, file sizes
    Check,
    /// All that must hold before a change is kept: format, clippy, docs, rules, generated files, tests
    Ci,
    /// Send the API thousands of requests made from its document, right and wrong, and judge every answer
    ///
    /// Needs Python and its package index: schemathesis is installed below the target folder.
    FuzzApi {
        /// At least so many requests
        #[arg(long, default_value_t = FuzzOptions::LONG, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        requests: u32,
        /// Repeat the run that printed this
        #[arg(long, value_name = "N")]
        seed: Option<u32>,
        /// Build it optimized
        #[arg(long)]
        release: bool,
    },
    /// Try very many inputs made by chance, optimized; the short forms are among the tests
    Soak {
        /// What is tried
        subject: Subject,
        /// How many inputs: a million statements, 100,000 questions, or 2,000 runs (with 100 kills), unless it is said
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        inputs: Option<u64>,
        /// Repeat the run that printed this
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
    },
    /// Measure how many questions are answered rightly, by kind (the arguments go to `plinth-bench eval`)
    #[command(disable_help_flag = true)]
    Eval {
        /// For `plinth-bench eval`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure speed, side by side with other tools (the arguments go to `plinth-bench bench`)
    #[command(disable_help_flag = true)]
    Bench {
        /// For `plinth-bench bench`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = shell::forward_signals().and_then(|()| {
        let workspace = Workspace::here();
        match args.task {
            Task::Setup => setup::run().map(|()| ExitCode::SUCCESS),
            Task::Demo { exit, data_dir, listen, release } => {
                product::demo(&workspace, &DemoOptions { exit, data_dir, listen, release })
            }
            Task::Test { filters, package } => {
                test::run(&workspace, &TestOptions { filters, packages: package })
            }
            Task::Generate { check } => {
                product::generate(&workspace, check).map(|()| ExitCode::SUCCESS)
            }
            Task::Check => check::run(&workspace).map(|()| ExitCode::SUCCESS),
            Task::Ci => ci::run(&workspace),
            Task::FuzzApi { requests, seed, release } => {
                match fuzz::run(&workspace, &FuzzOptions { requests, seed }, release)? {
                    Fuzzed::Clean => Ok(ExitCode::SUCCESS),
                    Fuzzed::Skipped(reason) => anyhow::bail!("{reason}"),
                }
            }
            Task::Soak { subject, inputs, seed } => {
                soak::run(&workspace, subject, &SoakOptions { inputs, seed })
            }
            Task::Eval { arguments } => product::measure(&workspace, "eval", &arguments),
            Task::Bench { arguments } => product::measure(&workspace, "bench", &arguments),
        }
    });
    outcome.unwrap_or_else(|err| {
        if shell::interrupted() {
            return ExitCode::from(shell::INTERRUPTED_CODE);
        }
        eprintln!("✗ {err:#}");
        ExitCode::FAILURE
    })
}
