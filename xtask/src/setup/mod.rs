//! What building and testing need from the machine, and how it gets there.

mod find;
mod install;

use anyhow::{Result, bail};

use self::find::{Found, Need};

/// Checks for every need, installs what is missing where that is allowed, and otherwise says the one command to run.
///
/// # Errors
/// If something is still missing at the end.
pub(crate) fn run() -> Result<()> {
    let missing = missing(true);
    if missing.is_empty() {
        return Ok(());
    }
    install::install(&missing)?;
    let still = self::missing(false);
    if still.iter().any(|need| matches!(need, Need::Postgres)) {
        println!("{}", install::NEWER_POSTGRES);
    }
    if !still.is_empty() {
        bail!("still missing: {}", names(&still));
    }
    Ok(())
}

/// As [`run`], without a word when nothing is missing: for the commands that begin with it.
///
/// # Errors
/// As [`run`].
pub(crate) fn ensure() -> Result<()> {
    if missing(false).is_empty() { Ok(()) } else { run() }
}

/// The needs that are not met.
fn missing(say: bool) -> Vec<Need> {
    let mut missing = Vec::new();
    for need in Need::ALL {
        match need.find() {
            Found::At(what) if say => println!("✓ {need}: {what}"),
            Found::At(_) => {}
            Found::Not(why) => {
                if say {
                    println!("· {need}: {why}");
                }
                missing.push(need);
            }
        }
    }
    missing
}

fn names(needs: &[Need]) -> String {
    needs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
