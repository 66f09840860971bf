//! Fuzzing that is led by what of the code an input reaches: the targets in `fuzz/`, a workspace of its own, by cargo-fuzz.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Result, bail, ensure};

use super::SoakOptions;
use crate::shell::{self, Signalled};
use crate::workspace::Workspace;

/// The targets, each with what else it is given.
const TARGETS: [(&str, &[&str]); 2] = [
    ("guard", &["-dict=fuzz/sql.dict", "-max_len=4096"]),
    ("question", &["-dict=fuzz/question.dict", "-max_len=400"]),
];

/// How long each runs unless a number of inputs is said.
const SECONDS: u32 = 600;

/// An input that takes so many seconds is taken for one that never ends.
const HANG_SECONDS: u32 = 20;

/// How cargo-fuzz is got.
const INSTALL: &str = "cargo install cargo-fuzz --locked";

/// Runs each target, one after the other, from the seeds and what earlier runs kept; stops at the first that finds something,
/// whose input lies in `fuzz/artifacts` then.
///
/// # Errors
/// If cargo-fuzz is missing, or something does not build or start.
pub(super) fn run(workspace: &Workspace, options: &SoakOptions) -> Result<ExitCode> {
    let found = shell::on_path("cargo-fuzz").or_else(|| {
        let own = PathBuf::from(std::env::var_os("CARGO_HOME")?).join("bin/cargo-fuzz");
        own.is_file().then_some(own)
    });
    let Some(program) = found else { bail!("cargo-fuzz is not here; get it with `{INSTALL}`") };
    let nightly = has_nightly();
    println!("· with {}", if nightly { "the nightly compiler" } else { "this compiler, unlocked" });
    println!("· writing the seeds …");
    let manifest = workspace.root().join("fuzz/Cargo.toml");
    shell::run_ok(
        workspace.cargo().args(["run", "--bin", "seeds", "--manifest-path"]).arg(&manifest),
        "writing the seeds",
    )?;
    let seed = options.seed.unwrap_or_else(super::by_the_clock);
    for (target, given) in TARGETS {
        println!("· {target} from seed {seed} …");
        let mut fuzz = cargo_fuzz(&program, nightly, workspace);
        fuzz.args(["fuzz", "run", "--sanitizer", "none", target, "--"]).args(given);
        fuzz.args(limits(options)).arg(seed_of(seed)).arg("-print_final_stats=1");
        let status = shell::run(&mut fuzz, Signalled::Group)?;
        ensure!(!shell::interrupted(), "interrupted");
        if !status.success() {
            println!("✗ {target} found something: see fuzz/artifacts/{target}");
            return Ok(ExitCode::from(shell::code(status)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// cargo-fuzz takes the compiler from rustup's variable; without a nightly one, the compiler lets itself be used as one.
fn cargo_fuzz(program: &Path, nightly: bool, workspace: &Workspace) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace.root());
    // Whoever called this has told it its own compiler and cargo.
    for name in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(name);
    }
    if nightly {
        command.env("RUSTUP_TOOLCHAIN", "nightly");
    } else {
        command.env("RUSTC_BOOTSTRAP", "1");
    }
    command
}

fn has_nightly() -> bool {
    let mut command = Command::new("rustc");
    command.env("RUSTUP_TOOLCHAIN", "nightly").arg("--version");
    shell::quietly(&mut command).is_ok_and(|(works, said)| works && said.contains("nightly"))
}

fn limits(options: &SoakOptions) -> [String; 2] {
    let end = match options.inputs {
        Some(inputs) => format!("-runs={inputs}"),
        None => format!("-max_total_time={SECONDS}"),
    };
    [end, format!("-timeout={HANG_SECONDS}")]
}

/// The fuzzer's seed has 32 bits, and 0 means any.
fn seed_of(seed: u64) -> String {
    format!("-seed={}", (seed % u64::from(u32::MAX)).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_inputs_takes_the_place_of_the_time() {
        let options = |inputs| SoakOptions { inputs, seed: None };
        assert_eq!(limits(&options(Some(5))), ["-runs=5", "-timeout=20"]);
        assert_eq!(limits(&options(None)), ["-max_total_time=600", "-timeout=20"]);
    }

    #[test]
    fn a_seed_is_never_the_one_that_means_any() {
        assert_eq!(seed_of(7), "-seed=7");
        assert_eq!(seed_of(0), "-seed=1");
        assert_eq!(seed_of(u64::from(u32::MAX)), "-seed=1");
    }

    #[test]
    fn every_target_has_its_file() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
        for (target, given) in TARGETS {
            assert!(fuzz.join(format!("targets/{target}.rs")).is_file(), "{target}");
            let dictionary = given.iter().find_map(|it| it.strip_prefix("-dict=fuzz/"));
            assert!(dictionary.is_some_and(|it| fuzz.join(it).is_file()), "{given:?}");
        }
    }
}
