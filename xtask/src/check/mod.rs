//! The rules of the workspace that no compiler holds: layers, licences, bans, manifests, outbound connections,
//! sizes of files.
//!
//! All of it comes from `cargo metadata` and the files themselves; nothing is built.

mod bans;
mod graph;
mod layers;
mod licences;
mod manifests;
mod outbound;
mod sizes;

use anyhow::{Context as _, Result, bail};

use self::graph::Graph;
use crate::shell;
use crate::workspace::Workspace;

/// What holding one rule against the workspace gave.
#[derive(Debug, Default)]
struct Report {
    /// What the rule was held against, for example `214 packages`.
    subject: String,
    /// Each breaks the rule; none means that it holds.
    faults: Vec<String>,
    /// Worth a look, and no fault.
    warnings: Vec<String>,
}

/// Holds every rule against the workspace.
///
/// # Errors
/// If one is broken; each fault has been printed.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let host = host(workspace)?;
    let graph = Graph::read(&workspace.metadata(&["--filter-platform", &host])?)?;
    let rules = [
        ("layers", layers::check(&graph)),
        ("licences", licences::check(&graph)),
        ("bans", bans::check(&graph)),
        ("manifests", manifests::check(workspace, &graph)?),
        ("outbound connections", outbound::check(workspace)?),
        ("file sizes", sizes::check(workspace)?),
    ];
    let mut faults = 0;
    for (name, report) in &rules {
        let mark = if report.faults.is_empty() { '✓' } else { '✗' };
        println!("{mark} {name}: {}", report.subject);
        for fault in &report.faults {
            println!("    {fault}");
        }
        for warning in &report.warnings {
            println!("    (only a warning) {warning}");
        }
        faults += report.faults.len();
    }
    if faults > 0 {
        bail!("rules broken: {faults}");
    }
    Ok(())
}

/// The platform that we build for: what others would need does not count.
fn host(workspace: &Workspace) -> Result<String> {
    let mut rustc = workspace.cargo();
    let text = shell::stdout_of(rustc.arg("-vV"), "cargo -vV")?;
    let text = String::from_utf8(text)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("cargo does not name its platform")?.to_owned())
}
