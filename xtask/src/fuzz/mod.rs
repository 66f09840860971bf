//! Sends the API requests of every shape that its document allows, and others, and judges the answers.
//!
//! schemathesis (Python) makes the requests, from the document that the built binary prints; the files in `xtask/fuzz` tell
//! it which ids exist and which answers are allowed. Here: its environment, the server, and what must have come of it.

mod environment;
mod findings;
mod report;
mod server;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use self::environment::{Environment, Unavailable};
use self::findings::Findings;
use self::report::Report;
use self::server::Server;
use crate::setup::{self, Need};
use crate::shell;
use crate::workspace::Workspace;

/// How the skip is called in `skipped-tests.txt`.
pub(crate) const NAME: &str = "fuzz-api";

/// A phase of the long form prints nothing before its end.
const SILENCE: Duration = Duration::from_hours(2);

/// How hard to try.
pub(crate) struct FuzzOptions {
    /// At least so many requests, spread over all operations.
    pub(crate) requests: u32,
    /// What chance begins with; `None` draws one, which is printed.
    pub(crate) seed: Option<u32>,
}

impl FuzzOptions {
    /// The long form, of which "Done means" speaks.
    pub(crate) const LONG: u32 = 10_000;

    /// The short form, for every change: always the same requests.
    pub(crate) const SHORT: Self = Self { requests: 1_000, seed: Some(1) };
}

/// What came of a run that found nothing.
pub(crate) enum Fuzzed {
    /// Every operation has succeeded, and no answer was wrong.
    Clean,
    /// The tool could not be installed here, and why.
    Skipped(String),
}

/// Builds Plinth, and as [`run_built`].
///
/// # Errors
/// As [`run_built`], or if the build fails.
pub(crate) fn run(workspace: &Workspace, options: &FuzzOptions, release: bool) -> Result<Fuzzed> {
    setup::ensure()?;
    println!("· building Plinth …");
    let plinth = workspace.build_plinth(release)?;
    run_built(workspace, &plinth, options)
}

/// Starts the binary on a Postgres of its own with the sample shop, and lets schemathesis at it.
///
/// # Errors
/// If an answer breaks the document or the contract, an operation never succeeded, there were too few requests, the server
/// panicked, or something does not start.
pub(crate) fn run_built(
    workspace: &Workspace,
    plinth: &Path,
    options: &FuzzOptions,
) -> Result<Fuzzed> {
    setup::ensure_these(&[Need::Python])?;
    let files = workspace.root().join("xtask/fuzz");
    let folder = workspace.target_dir()?.join("fuzz");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let environment = match Environment::open(&folder, &files.join("requirements.txt"))? {
        Ok(environment) => environment,
        Err(Unavailable(reason)) => return Ok(Fuzzed::Skipped(reason)),
    };

    let document = folder.join("openapi.json");
    let text = shell::stdout_of(Command::new(plinth).arg("openapi"), "plinth openapi")?;
    fs::write(&document, &text).with_context(|| format!("writing {}", document.display()))?;
    let operations = report::operations(&serde_json::from_slice(&text)?)?;
    let seed = options.seed.unwrap_or_else(seed_of_now);
    // Half more than their share: an operation without parameters soon has none left that are different.
    let each = (options.requests / 2 * 3).div_ceil(u32::try_from(operations.len())?).max(10);

    println!("· starting Plinth with the sample shop …");
    let (first, mut server) = Server::start(plinth, &environment, &folder)?;
    println!("· {} operations, seed {seed} …", operations.len());
    let counts = folder.join("report.json");
    let _ = fs::remove_file(&counts);
    let mut schemathesis = Command::new(environment.program("schemathesis"));
    schemathesis
        .arg("--config-file")
        .arg(files.join("schemathesis.toml"))
        .arg("run")
        .arg(&document)
        .args(["--url", server.url(), "--seed", &seed.to_string()])
        .args(["--max-examples", &each.to_string()])
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", &files)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PLINTH_FUZZ_URL", server.url())
        .env("PLINTH_FUZZ_KEY", server.key())
        .env("PLINTH_FUZZ_DATA", server.data())
        .env("PLINTH_FUZZ_NEIGHBOUR", server.neighbour())
        .env("PLINTH_FUZZ_DOCUMENT", &document)
        .env("PLINTH_FUZZ_REPORT", &counts)
        .env("PLINTH_FUZZ_SEED", seed.to_string())
        .current_dir(&folder);
    let begun = Instant::now();
    let mut findings = Findings::default();
    let status = shell::watched(&mut schemathesis, SILENCE, |line| findings.read(line))?;
    ensure!(!shell::interrupted(), "interrupted");
    let stopped = server.stop();

    let mut report = Report::read(&counts)?;
    report.add(&first);
    println!("· {} requests in {} s", report.requests(), begun.elapsed().as_secs());
    let mut complaints = report.complaints(&operations, options.requests);
    if !status.success() {
        complaints.push(format!("schemathesis ({status}) found:{}", findings.text()));
    }
    complaints.extend(server.complaints()?);
    if let Err(err) = stopped {
        complaints.push(format!("{err:#}"));
    }
    ensure!(complaints.is_empty(), "seed {seed}:\n  {}", complaints.join("\n  "));
    println!("✓ every operation has succeeded, and no answer was wrong");
    Ok(Fuzzed::Clean)
}

/// A seed that differs from run to run.
fn seed_of_now() -> u32 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |it| it.subsec_nanos())
}
