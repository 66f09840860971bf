//! The commands that call the product's own binaries: they carry the knowledge, xtask only builds and starts them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::setup;
use crate::setup::room::{self, Build};
use crate::shell::{self, Signalled};
use crate::tree;
use crate::workspace::{self, Workspace};

/// The files that the binary prints: arguments, and where the text is kept.
const GENERATED: [(&[&str], &str); 2] = [
    (&["openapi"], "openapi/plinth.json"),
    (&["openapi", "control-plane"], "openapi/control-plane.json"),
];

/// What `plinth demo` takes.
pub(crate) struct DemoOptions {
    /// Leave at the end instead of staying until Ctrl-C.
    pub(crate) exit: bool,
    /// `None` leaves it to Plinth.
    pub(crate) data_dir: Option<PathBuf>,
    /// `None` leaves it to Plinth.
    pub(crate) listen: Option<String>,
    /// Build it optimized.
    pub(crate) release: bool,
}

/// Builds Plinth and runs its demo; gives the demo's exit code.
///
/// # Errors
/// If something is missing on the machine or Plinth cannot be built.
pub(crate) fn demo(workspace: &Workspace, options: &DemoOptions) -> Result<ExitCode> {
    setup::ensure()?;
    room::ensure(workspace, if options.release { Build::Optimized } else { Build::Plinth })?;
    println!("· building Plinth (the first time takes some minutes) …");
    let plinth = workspace.build_plinth(options.release)?;
    println!("✓ built {}", plinth.display());
    let mut demo = Command::new(plinth);
    demo.arg("demo");
    if options.exit {
        demo.arg("--exit");
    }
    if let Some(data_dir) = &options.data_dir {
        demo.arg("--data-dir").arg(data_dir);
    }
    if let Some(listen) = &options.listen {
        demo.arg("--listen").arg(listen);
    }
    // Plinth alone gets the signals: it stops its Postgres in good order, and we wait for that.
    let status = shell::run(&mut demo, Signalled::Leader)?;
    Ok(ExitCode::from(shell::code(status)))
}

/// Writes the generated files, or with `check` only compares them.
///
/// # Errors
/// If Plinth cannot be built, prints no document, or with `check` if a file is out of date.
pub(crate) fn generate(workspace: &Workspace, check: bool) -> Result<()> {
    setup::ensure()?;
    // These come first: Plinth is built from them.
    generate_layouts(workspace, check)?;
    let plinth = workspace.build_plinth(false)?;
    generate_documents(workspace, &plinth, check)
}

/// As [`generate`], with a binary that is already built.
///
/// # Errors
/// As [`generate`].
pub(crate) fn generate_with(workspace: &Workspace, plinth: &Path, check: bool) -> Result<()> {
    generate_layouts(workspace, check)?;
    generate_documents(workspace, plinth, check)
}

fn generate_layouts(workspace: &Workspace, check: bool) -> Result<()> {
    put(&workspace.root().join(tree::FILE), tree::FILE, &tree::table(workspace)?, check)
}

fn generate_documents(workspace: &Workspace, plinth: &Path, check: bool) -> Result<()> {
    for (arguments, path) in GENERATED {
        let what = format!("plinth {}", arguments.join(" "));
        let text = shell::stdout_of(Command::new(plinth).args(arguments), &what)?;
        let text = String::from_utf8(text).with_context(|| format!("reading from `{what}`"))?;
        serde_json::from_str::<serde_json::Value>(&text)
            .with_context(|| format!("`{what}` printed no JSON"))?;
        put(&workspace.root().join(path), path, &format!("{}\n", text.trim_end()), check)?;
    }
    Ok(())
}

fn put(file: &Path, name: &str, text: &str, check: bool) -> Result<()> {
    let old = fs::read_to_string(file).unwrap_or_default();
    if old == text {
        println!("✓ {name} is up to date");
        return Ok(());
    }
    if check {
        let line = 1 + old.lines().zip(text.lines()).take_while(|(old, new)| old == new).count();
        bail!("{name} is out of date from line {line} on: run `cargo xtask generate`");
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
    println!("✓ wrote {name}");
    Ok(())
}

/// Builds Plinth optimized and runs `plinth-bench` on it; gives its exit code.
///
/// # Errors
/// As [`demo`].
pub(crate) fn measure(workspace: &Workspace, what: &str, arguments: &[String]) -> Result<ExitCode> {
    setup::ensure()?;
    room::ensure(workspace, Build::Optimized)?;
    println!("· building Plinth, optimized …");
    let mut programs = workspace.build(&[
        "--release",
        "--package",
        "plinth-server",
        "--package",
        "plinth-bench",
        "--bin",
        "plinth",
        "--bin",
        "plinth-bench",
    ])?;
    let plinth = workspace::take(&mut programs, "plinth")?;
    let bench = workspace::take(&mut programs, "plinth-bench")?;
    let mut command = Command::new(bench);
    command.arg("--plinth").arg(plinth).arg(what).args(arguments);
    let status = shell::run(&mut command, Signalled::Leader)?;
    Ok(ExitCode::from(shell::code(status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_file_that_differs_fails_the_check_and_is_left_alone() {
        let folder = std::env::temp_dir().join(format!("xtask-generate-{}", std::process::id()));
        let file = folder.join("document.json");
        put(&file, "document.json", "{\n}\n", false).unwrap();
        put(&file, "document.json", "{\n}\n", true).unwrap();
        let err = put(&file, "document.json", "{\n\"a\": 1}\n", true).unwrap_err();
        assert!(err.to_string().contains("from line 2"), "{err}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "{\n}\n");
        fs::remove_dir_all(folder).unwrap();
    }
}
