//! The long forms of tests that try very many inputs made by chance; their short forms run with all the others.

mod guided;

use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::ValueEnum;

use crate::setup;
use crate::shell::{self, Signalled};
use crate::workspace::Workspace;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subject {
    /// Statements to the guard
    Guard,
    /// Questions to the language engine
    Questions,
    /// Both, led by what of the code they reach: ten minutes each (needs cargo-fuzz)
    Fuzz,
    /// Runs of workflows through servers and workers that are killed
    Workers,
    /// Runs of workflows while Plinth's own Postgres is killed
    Postgres,
}

/// How hard.
pub(crate) struct SoakOptions {
    /// How many inputs; `None` takes what is usual for the subject.
    pub(crate) inputs: Option<u64>,
    /// What chance begins with; `None` takes the time, which is printed.
    pub(crate) seed: Option<u64>,
}

/// Builds the test optimized and runs its long form; gives its exit code.
///
/// # Errors
/// If something is missing on the machine or it cannot be started.
pub(crate) fn run(
    workspace: &Workspace,
    subject: Subject,
    options: &SoakOptions,
) -> Result<ExitCode> {
    setup::ensure()?;
    let (package, binary, filter, usual) = match subject {
        Subject::Guard => ("plinth-sql-guard", "soak", "", 1_000_000),
        Subject::Questions => ("plinth-nl2sql", "soak", "", 100_000),
        Subject::Fuzz => return guided::run(workspace, options),
        // A kill comes on twenty runs.
        Subject::Workers => ("plinth-server", "process", "soak::", 2_000),
        Subject::Postgres => ("plinth-server", "process", "postgres_kills::", 10),
    };
    let inputs = options.inputs.unwrap_or(usual);
    let seed = options.seed.unwrap_or_else(by_the_clock);
    println!("· {inputs} inputs from seed {seed} (repeat with --seed {seed}) …");
    let mut cargo: Command = workspace.cargo();
    cargo
        .args(["test", "--release", "--package", package, "--test", binary, filter])
        .args(["--", "--nocapture"])
        .env("SOAK_INPUTS", inputs.to_string())
        .env("SOAK_SEED", seed.to_string());
    let status = shell::run(&mut cargo, Signalled::Group)?;
    Ok(ExitCode::from(shell::code(status)))
}

fn by_the_clock() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(1, |it| it.as_secs())
}
