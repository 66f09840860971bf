//! Every crate of the workspace takes its lints and its edition from the root.

use std::fs;

use anyhow::{Context as _, Result};

use super::Report;
use super::graph::Graph;
use crate::workspace::Workspace;

/// What each manifest inherits: table, and key.
const INHERITED: [(&str, &str); 4] = [
    ("lints", "workspace"),
    ("package", "edition.workspace"),
    ("package", "license.workspace"),
    ("package", "rust-version.workspace"),
];

/// Has lints of its own: it alone may have `unsafe`, which the workspace's forbid.
const OWN_LINTS: &str = "plinth-pg-tree";

pub(super) fn check(workspace: &Workspace, graph: &Graph) -> Result<Report> {
    let mut faults = Vec::new();
    for member in &graph.members {
        let manifest = fs::read_to_string(&member.manifest)
            .with_context(|| format!("reading {}", member.manifest.display()))?;
        let path = member.manifest.strip_prefix(workspace.root()).unwrap_or(&member.manifest);
        for (table, key) in INHERITED {
            if (member.name.as_str(), table) == (OWN_LINTS, "lints") {
                continue;
            }
            if !says_true(&manifest, table, key) {
                faults.push(format!("{}: `[{table}]` lacks `{key} = true`", path.display()));
            }
        }
        if member.edition != "2024" {
            faults.push(format!("{}: edition {}", path.display(), member.edition));
        }
    }
    Ok(Report { subject: format!("{} crates", graph.members.len()), faults, ..Report::default() })
}

/// Whether the table has the line `key = true`. Manifests are written by hand in this plain form, and what is written
/// otherwise is reported: so no reader of TOML is needed here.
fn says_true(manifest: &str, table: &str, key: &str) -> bool {
    let mut within = String::new();
    for line in manifest.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(name) = line.strip_prefix('[') {
            name.trim_end_matches(']').clone_into(&mut within);
        } else if within == table
            && line
                .split_once('=')
                .is_some_and(|(name, value)| name.trim() == key && value.trim() == "true")
        {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_in_its_own_table_only() {
        let manifest = "[package]\nedition.workspace = true\n\n[lints]\nworkspace = true # ours\n";
        assert!(says_true(manifest, "lints", "workspace"));
        assert!(says_true(manifest, "package", "edition.workspace"));
        assert!(!says_true(manifest, "package", "workspace"));
        assert!(!says_true("[lints]\n# workspace = true\n", "lints", "workspace"));
        assert!(!says_true("[lints]\nworkspace = false\n", "lints", "workspace"));
        assert!(!says_true("[lints.clippy]\nworkspace = true\n", "lints", "workspace"));
    }
}
