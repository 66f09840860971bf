//! Running other programs: what they print, how they end, and what Ctrl-C does to them.
//!
//! Each program gets a process group of its own, and the signals that would end xtask are passed on to it. So it gets
//! each signal exactly once, whether a terminal or `kill` sent it, and xtask always outlives it: it can wait for a
//! clean stop, say how it ended, and tidy up.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Read, Write};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::unistd::Pid;

/// What a shell gives for "ended by Ctrl-C".
pub(crate) const INTERRUPTED_CODE: u8 = 130;

/// How long what a program left running may hold its output open after its end.
const OUTPUT_GRACE: Duration = Duration::from_secs(3);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static RUNNING: Mutex<Option<Running>> = Mutex::new(None);

/// The one program that runs now.
#[derive(Clone, Copy)]
struct Running {
    pid: Pid,
    whom: Signalled,
}

/// Who gets a signal that was meant for xtask.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signalled {
    /// The program and what it started: a compiler goes with its cargo.
    Group,
    /// Only the program, which stops its own children in good order.
    Leader,
}

/// From now on SIGINT, SIGTERM, SIGHUP and SIGQUIT go to the running program instead of ending xtask. Call it before any thread
/// is started, because threads inherit which signals are blocked.
///
/// # Errors
/// If the signals cannot be blocked; nothing has changed then.
pub(crate) fn forward_signals() -> Result<()> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        signals.add(signal);
    }
    // Blocked here and taken by one thread; `spawn` starts programs with nothing blocked.
    signals.thread_block().context("blocking signals")?;
    thread::spawn(move || {
        while let Ok(signal) = signals.wait() {
            INTERRUPTED.store(true, Ordering::SeqCst);
            let Some(Running { pid, whom }) = *running() else {
                std::process::exit(INTERRUPTED_CODE.into());
            };
            // It may have ended a moment ago: then there is nobody to tell.
            let _ = match whom {
                Signalled::Group => killpg(pid, signal),
                Signalled::Leader => kill(pid, signal),
            };
        }
    });
    Ok(())
}

/// Whether somebody asked xtask to stop.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// The exit code to pass on; for a program that a signal ended, 128 and the signal, as shells do.
pub(crate) fn code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(1)
}

/// Runs it before the user's eyes.
///
/// # Errors
/// If it cannot be started. How it ended is the caller's to judge.
pub(crate) fn run(command: &mut Command, whom: Signalled) -> Result<ExitStatus> {
    wait(spawn(command.stdin(Stdio::null()), whom)?)
}

/// Runs it before the user's eyes; `what` says in an error what it was for.
///
/// # Errors
/// If it cannot be started or fails, or if xtask was interrupted meanwhile.
pub(crate) fn run_ok(command: &mut Command, what: &str) -> Result<()> {
    let status = run(command, Signalled::Group)?;
    succeeded(status, what)
}

/// Runs it and gives what it wrote to stdout; stderr stays visible.
///
/// # Errors
/// As [`run_ok`].
pub(crate) fn stdout_of(command: &mut Command, what: &str) -> Result<Vec<u8>> {
    let mut child = spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()), Signalled::Group)?;
    let mut text = Vec::new();
    let read = child.stdout.take().context("it has no stdout")?.read_to_end(&mut text);
    let status = wait(child)?;
    read.with_context(|| format!("reading from {what}"))?;
    succeeded(status, what)?;
    Ok(text)
}

/// Runs it unseen and gives whether it succeeded and all that it wrote.
///
/// # Errors
/// If it cannot be started.
pub(crate) fn quietly(command: &mut Command) -> Result<(bool, String)> {
    let mut text = String::new();
    let command = command.stdin(Stdio::null());
    let status = stream(command, None, |line| {
        text.push_str(line);
        text.push('\n');
    })?;
    Ok((status.success(), text))
}

/// Runs it before the user's eyes and hands over each line, freed of colours.
///
/// A program that prints nothing for as long as `silence` is ended: without it a hanging test would hold a run for ever.
///
/// # Errors
/// If it cannot be started, or was ended for its silence.
pub(crate) fn watched(
    command: &mut Command,
    silence: Duration,
    on_line: impl FnMut(&str),
) -> Result<ExitStatus> {
    stream(command.stdin(Stdio::null()), Some(silence), on_line)
}

/// `shown` by its silence limit; unseen without one.
fn stream(
    command: &mut Command,
    silence: Option<Duration>,
    mut on_line: impl FnMut(&str),
) -> Result<ExitStatus> {
    let mut child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()), Signalled::Group)?;
    let pid = pid_of(&child)?;
    let (sender, lines) = mpsc::channel();
    let shown = silence.is_some();
    if let Some(stdout) = child.stdout.take() {
        let sender = sender.clone();
        thread::spawn(move || pump(stdout, shown.then(std::io::stdout), &sender));
    }
    if let Some(stderr) = child.stderr.take() {
        thread::spawn(move || pump(stderr, shown.then(std::io::stderr), &sender));
    }

    // The end of the output is not waited for: what the program leaves running may hold the pipes open.
    let mut last_line = Instant::now();
    let mut status = None;
    let mut overdue = false;
    loop {
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => {
                last_line = Instant::now();
                on_line(&line);
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if status.is_none() {
            status = child.try_wait().context("waiting for a program")?;
            if status.is_some() {
                last_line = Instant::now();
            } else if !overdue && silence.is_some_and(|limit| last_line.elapsed() > limit) {
                overdue = true;
                let _ = killpg(pid, Signal::SIGKILL);
            }
        } else if last_line.elapsed() > OUTPUT_GRACE {
            break;
        }
    }
    let status = match status {
        Some(status) => {
            *running() = None;
            status
        }
        None => wait(child)?,
    };
    if overdue {
        let minutes = silence.unwrap_or_default().as_secs() / 60;
        bail!("it printed nothing for {minutes} minutes and was ended");
    }
    Ok(status)
}

/// Copies line by line to `screen` and, as plain text, to `lines`.
fn pump(from: impl Read, mut screen: Option<impl Write>, lines: &mpsc::Sender<String>) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while matches!(from.read_until(b'\n', &mut line), Ok(1..)) {
        if let Some(screen) = &mut screen {
            // A closed screen is no reason to stop counting.
            let _ = screen.write_all(&line).and_then(|()| screen.flush());
        }
        let text = String::from_utf8_lossy(&line);
        if lines.send(plain(text.trim_end_matches(['\n', '\r']))).is_err() {
            return;
        }
        line.clear();
    }
}

/// The line without its escape sequences for colours.
fn plain(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        if char != '\u{1b}' {
            plain.push(char);
        } else if chars.next() == Some('[') {
            // A control sequence ends with its first letter.
            chars.by_ref().find(|char| ('@'..='~').contains(char));
        }
    }
    plain
}

/// Whether to ask programs whose output goes through us for colours.
pub(crate) fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// A program that runs beside others, like a server; it is stopped with this value at the latest.
pub(crate) struct Background {
    child: Child,
}

impl Background {
    /// Starts it. Until another program is run, it is the one that gets the signals meant for xtask.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        Ok(Self { child: spawn(command.stdin(Stdio::null()), Signalled::Leader)? })
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// If the system does not tell.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("looking after a program")
    }

    /// Asks it to stop and waits; one that does not within `limit` is killed.
    ///
    /// # Errors
    /// If it had to be killed.
    pub(crate) fn stop(&mut self, limit: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        kill(pid_of(&self.child)?, Signal::SIGTERM).context("asking a program to stop")?;
        let asked = Instant::now();
        while asked.elapsed() < limit {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.child.kill()?;
        self.child.wait()?;
        bail!("a program did not stop within {} s and was killed", limit.as_secs())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // We are on the way out with another error, or it has ended.
        let _ = self.stop(Duration::from_secs(30));
    }
}

/// The first file of this name on PATH.
pub(crate) fn on_path(program: &str) -> Option<std::path::PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The program that is running cargo, or else the one on PATH, as if it was called from a shell.
///
/// Cargo tells what it runs about the package (`CARGO_PKG_…`). Passed on to another cargo, some build scripts take that
/// for a change and build again (ring's does), so that calls from here and from a shell would undo each other.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if about_a_package(&name) {
            cargo.env_remove(name);
        }
    }
    cargo
}

fn about_a_package(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_MANIFEST_")
        || ["CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"]
            .contains(&&*name)
}

fn running() -> MutexGuard<'static, Option<Running>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn spawn(command: &mut Command, whom: Signalled) -> Result<Child> {
    // Held over the start, so that a signal in between finds the program.
    let mut running = running();
    // A program inherits what is blocked where it is started, and would never hear that it is to stop. (A signal in just
    // this moment ends xtask as it would have without `forward_signals`.)
    let blocked = SigSet::thread_get_mask().context("reading which signals are blocked")?;
    SigSet::empty().thread_set_mask().context("unblocking signals")?;
    let child = command.process_group(0).spawn();
    blocked.thread_set_mask().context("blocking signals")?;
    let child = child.with_context(|| format!("starting {}", command.get_program().display()))?;
    *running = Some(Running { pid: pid_of(&child)?, whom });
    Ok(child)
}

fn wait(mut child: Child) -> Result<ExitStatus> {
    let status = child.wait().context("waiting for a program");
    *running() = None;
    status
}

fn pid_of(child: &Child) -> Result<Pid> {
    Ok(Pid::from_raw(i32::try_from(child.id())?))
}

fn succeeded(status: ExitStatus, what: &str) -> Result<()> {
    if interrupted() {
        bail!("{what} was interrupted");
    }
    if !status.success() {
        bail!("{what} failed ({status})");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_taken_off_a_line() {
        assert_eq!(plain("\u{1b}[32;1m PASS\u{1b}[0m [ 0.1s] a"), " PASS [ 0.1s] a");
        assert_eq!(plain("nothing to take"), "nothing to take");
    }

    #[test]
    fn both_streams_of_a_program_are_read_and_its_code_is_known() {
        let mut lines = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let status = stream(&mut command, None, |line| lines.push(line.to_owned())).unwrap();
        lines.sort();
        assert_eq!((lines, code(status)), (vec!["err".to_owned(), "out".to_owned()], 3));
    }

    #[test]
    fn a_child_that_outlives_the_program_does_not_hold_the_run() {
        let mut pid = String::new();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & echo $!"]);
        let begun = Instant::now();
        stream(&mut command, None, |line| line.clone_into(&mut pid)).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(30));
        kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL).unwrap();
    }

    #[test]
    fn a_silent_program_is_ended() {
        let mut command = Command::new("sleep");
        let err = watched(command.arg("60"), Duration::from_millis(200), |_| ()).unwrap_err();
        assert!(err.to_string().contains("printed nothing"), "{err}");
    }

    #[test]
    fn what_cargo_says_about_xtask_is_not_passed_on() {
        for name in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "OUT_DIR"] {
            assert!(about_a_package(OsStr::new(name)), "{name}");
        }
        for name in ["CARGO_TARGET_DIR", "CARGO_HOME", "CARGO_INCREMENTAL", "PATH"] {
            assert!(!about_a_package(OsStr::new(name)), "{name}");
        }
    }
}
