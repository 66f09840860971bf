//! All that must hold before a change is kept, from a machine with nothing installed by hand.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::fuzz::{self, FuzzOptions, Fuzzed};
use crate::setup::room::{self, Build};
use crate::test::{Beside, Skip, TestOptions};
use crate::workspace::{self, Workspace};
use crate::{check, product, setup, shell, test};

/// Runs every check, the quick ones first, and the tests last, whose summary is the last line.
///
/// A failed check stops nothing but what cannot do without it: one run tells everything that is wrong.
///
/// # Errors
/// If something is missing on the machine, the tests cannot be built, or somebody stopped it.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    setup::run()?;
    room::ensure(workspace, Build::Tests)?;
    let mut failed = Vec::new();
    let mut step = |name: &'static str, work: &mut dyn FnMut() -> Result<()>| -> Result<()> {
        println!("\n── {name}");
        let begun = Instant::now();
        let outcome = work();
        if shell::interrupted() {
            bail!("interrupted");
        }
        let seconds = begun.elapsed().as_secs();
        match outcome {
            Ok(()) => println!("✓ {name} ({seconds} s)"),
            Err(err) => {
                println!("✗ {name} ({seconds} s): {err:#}");
                failed.push((name, format!("{name}: {err:#}")));
            }
        }
        Ok(())
    };

    step("format", &mut || cargo(workspace, &["fmt", "--all", "--check"]))?;
    step("rules", &mut || check::run(workspace))?;
    step("clippy", &mut || {
        let arguments = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
        cargo(workspace, &arguments)
    })?;
    step("documentation", &mut || {
        let mut cargo = workspace.cargo();
        cargo.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
        shell::run_ok(&mut cargo, "cargo doc")
    })?;
    // One build with the features of the tests serves the generated files too.
    let options = TestOptions::default();
    let mut programs = BTreeMap::new();
    step("build", &mut || {
        programs = test::build(workspace, &options)?;
        Ok(())
    })?;
    let mut built = None;
    let mut skipped = Vec::new();
    step("generated files", &mut || {
        let plinth = workspace::take(&mut programs, "plinth").context("it needs the build")?;
        product::generate_with(workspace, &plinth, true)?;
        built = Some(plinth);
        Ok(())
    })?;
    // What is fuzzed is what the document says.
    if let Some(plinth) = built {
        step("API fuzz, short", &mut || {
            match fuzz::run_built(workspace, &plinth, &FuzzOptions::SHORT)? {
                Fuzzed::Clean => {}
                Fuzzed::Skipped(reason) => {
                    skipped.push(Skip { name: fuzz::NAME.to_owned(), reason });
                }
            }
            Ok(())
        })?;
    }
    let unbuilt = failed.iter().any(|(name, _)| *name == "build");
    let failed: Vec<_> = failed.into_iter().map(|(_, complaint)| complaint).collect();
    if unbuilt {
        bail!("failed: {}", failed.join("; "));
    }

    println!("\n── tests");
    test::run_built(workspace, &options, Beside { failed, skipped })
}

fn cargo(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    let what = format!("cargo {}", arguments[0]);
    shell::run_ok(workspace.cargo().args(arguments), &what)
}
