//! A source file is one thing: long ones are several.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::Report;
use crate::workspace::Workspace;

const WARN_LINES: usize = 700;
const MOST_LINES: usize = 800;

/// The folders of our crates.
const FOLDERS: [&str; 3] = ["apps", "crates", "xtask"];

pub(super) fn check(workspace: &Workspace) -> Result<Report> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        collect(&workspace.root().join(folder), &mut files)?;
    }
    files.sort();
    let mut report = Report { subject: format!("{} Rust files", files.len()), ..Report::default() };
    for file in files {
        let text =
            fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let path = file.strip_prefix(workspace.root()).unwrap_or(&file);
        judge(path, text.lines().count(), &mut report);
    }
    Ok(report)
}

fn judge(path: &Path, lines: usize, report: &mut Report) {
    let text = format!("{}: {lines} lines, at most {MOST_LINES}", path.display());
    if lines > MOST_LINES {
        report.faults.push(text);
    } else if lines > WARN_LINES {
        report.warnings.push(text);
    }
}

pub(super) fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let path = entry.path();
        // What a build leaves is not ours; links could lead in a circle.
        if entry.file_type()?.is_dir() {
            if name != "target"
                && name != "node_modules"
                && !name.to_string_lossy().starts_with('.')
            {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_warned_of_before_it_is_refused() {
        let mut report = Report::default();
        for lines in [1, WARN_LINES, WARN_LINES + 1, MOST_LINES, MOST_LINES + 1] {
            judge(Path::new("crates/a/src/lib.rs"), lines, &mut report);
        }
        assert_eq!((report.warnings.len(), report.faults.len()), (2, 1));
        assert!(report.faults[0].contains("801 lines"), "{report:?}");
    }
}
