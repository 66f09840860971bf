//! The tool as it is called, without a Plinth to measure.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value as Json;

/// How long anything may take here.
const LIMIT: Duration = Duration::from_mins(2);

/// A place for temporary files of one test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bench-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }

    fn folders(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn bench(place: &Place, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plinth-bench"));
    command
        .args(["--plinth", "/nowhere/plinth"])
        .args(arguments)
        .env("TMPDIR", &place.0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < LIMIT, "no {what} in {LIMIT:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

/// The Postgres that was started in the place, by its pid file.
fn postmaster(folder: &Path) -> Option<String> {
    let file = fs::read_to_string(folder.join("databases/data/postmaster.pid")).ok()?;
    // The last line says that it is ready.
    file.lines().last()?.starts_with("ready").then(|| file.lines().next().unwrap().to_owned())
}

#[test]
fn a_kit_that_is_not_there_is_skipped_and_said_to_be() {
    let place = Place::new("no-kit");
    let folder = place.0.join("nl2sql");
    let output = bench(&place, &["eval", "--kit"]).arg(&folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("skipped") && said.contains(folder.to_str().unwrap()), "{said}");
    assert!(place.folders().is_empty(), "nothing was started");
    // A folder that is there and no kit is a mistake.
    fs::create_dir(&folder).unwrap();
    let output = bench(&place, &["eval", "--kit"]).arg(&folder).output().unwrap();
    assert!(!output.status.success());
}

#[test]
fn every_gold_statement_of_our_own_questions_is_right_by_its_own_measure() {
    let place = Place::new("gold");
    let report = place.0.join("report.json");
    let output = bench(&place, &["eval", "--self-test", "--min-accuracy", "100", "--report"])
        .arg(&report)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let report: Json = serde_json::from_str(&fs::read_to_string(&report).unwrap()).unwrap();
    assert!(report["figures"]["all"]["asked"].as_u64() >= Some(100), "{report}");
    assert!(report["figures"]["by"]["kind"].as_object().unwrap().len() > 5, "{report}");
    assert_eq!(place.folders(), Vec::<PathBuf>::new());
}

#[test]
fn nothing_is_left_when_it_is_told_to_stop() {
    let place = Place::new("stop");
    for stop in [Signal::SIGINT, Signal::SIGTERM] {
        let mut child = bench(&place, &["eval", "--self-test"]).spawn().unwrap();
        wait_for("running Postgres", || {
            place.folders().iter().any(|folder| postmaster(folder).is_some())
        });
        let pid = postmaster(&place.folders()[0]).unwrap();
        signal(&child, stop);
        assert!(!child.wait().unwrap().success());
        wait_for("end of Postgres", || !Path::new("/proc").join(&pid).exists());
        assert_eq!(place.folders(), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_plinth_that_is_not_there_is_named_and_nothing_is_left() {
    let place = Place::new("missing");
    let output = bench(&place, &["eval"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("/nowhere/plinth"), "{said}");
    assert_eq!(place.folders(), Vec::<PathBuf>::new());
}
