//! What building and testing need from the machine, and how it gets there.

mod find;
mod install;
pub(crate) mod room;

use anyhow::{Result, bail};

use self::find::Found;

pub(crate) use self::find::Need;

/// Checks for every need, installs what is missing where that is allowed, and otherwise says the one command to run.
///
/// # Errors
/// If something is still missing at the end.
pub(crate) fn run() -> Result<()> {
    provide(&Need::ALL)
}

fn provide(needs: &[Need]) -> Result<()> {
    let missing = missing(needs, true);
    if missing.is_empty() {
        return Ok(());
    }
    install::install(&missing)?;
    let still = self::missing(needs, false);
    if still.iter().any(|need| matches!(need, Need::Postgres)) {
        println!("{}", install::NEWER_POSTGRES);
    }
    if !still.is_empty() {
        bail!("still missing: {}", names(&still));
    }
    Ok(())
}

/// As [`run`] for what building takes, without a word when nothing is missing: for the commands that begin with it.
///
/// # Errors
/// As [`run`].
pub(crate) fn ensure() -> Result<()> {
    ensure_these(&Need::TO_BUILD)
}

/// As [`ensure`], for these needs.
///
/// # Errors
/// As [`run`].
pub(crate) fn ensure_these(needs: &[Need]) -> Result<()> {
    if missing(needs, false).is_empty() { Ok(()) } else { provide(needs) }
}

/// The needs that are not met.
fn missing(needs: &[Need], say: bool) -> Vec<Need> {
    let mut missing = Vec::new();
    for &need in needs {
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
