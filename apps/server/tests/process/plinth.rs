use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::client::Person;
use crate::folder::DataFolder;

/// Longer than anything here takes on a machine that is busy with the other tests.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// 32 random bytes, as `openssl rand -hex 32` prints them.
pub(crate) const MASTER_KEY: &str =
    "5f0c1d7e93ab4826b1e4d2709c3f68a5472ed0916bfc83a5e7194c2db608f31a";

/// The first owner's password.
pub(crate) const PASSWORD: &str = "canary giraffes eat acacia";

/// The binary with arguments, and nothing of this process's own environment that it could take for a setting.
pub(crate) fn plinth(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plinth"));
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PLINTH_") {
            command.env_remove(name);
        }
    }
    command
}

/// A server with a Postgres of its own, before its start.
pub(crate) fn serve_in(folder: &DataFolder) -> Command {
    let mut command = plinth(&["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]);
    command.arg("--data-dir").arg(folder.path());
    command
}

/// A server on a database that the operator gives, before its start; it may reach this machine's databases.
pub(crate) fn serve_on(database_url: &str) -> Command {
    let mut command = plinth(&["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]);
    command
        .env("PLINTH_DATABASE_URL", database_url)
        .env("PLINTH_MASTER_KEY", MASTER_KEY)
        .env("PLINTH_EGRESS_ALLOW", "127.0.0.0/8,::1/128");
    command
}

/// What a command that ends by itself printed, as text, and how it ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Fails unless the command ended with an error that says all of these.
    pub(crate) fn assert_refused(&self, saying: &[&str]) {
        assert!(!self.status.success(), "{}{}", self.stdout, self.stderr);
        assert_ne!(self.status.code(), Some(101), "it panicked: {}", self.stderr);
        for text in saying {
            assert!(self.stderr.contains(text), "`{text}` is not in: {}", self.stderr);
        }
    }
}

/// Runs a command to its end, which must come within [`LIMIT`].
pub(crate) fn run(command: &mut Command) -> Ended {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    let (sender, ended) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        let is_late = ended.recv_timeout(LIMIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
        if is_late {
            let _ = kill(pid, Signal::SIGKILL);
        }
        is_late
    });
    let mut errors = child.stderr.take().unwrap();
    let errors = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        errors.read_to_end(&mut bytes).map(|_| bytes)
    });
    let Output { status, stdout, .. } = child.wait_with_output().unwrap();
    drop(sender);
    let stderr = String::from_utf8(errors.join().unwrap().unwrap()).unwrap();
    assert!(!watch.join().unwrap(), "it did not end: {stderr}");
    Ended { status, stdout: String::from_utf8(stdout).unwrap(), stderr }
}

/// A process that stays up; whatever a failed test leaves of it is killed with this value.
pub(crate) struct Running {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

/// What a process has printed so far.
struct Lines {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Lines {
    fn read(from: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let kept = text.clone();
        let reader = std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = String::new();
            while from.read_line(&mut line).is_ok_and(|read| read > 0) {
                kept.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        Self { text, reader: Some(reader) }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }
}

impl Running {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = Lines::read(child.stdout.take().unwrap());
        let stderr = Lines::read(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed on standard output.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has printed on standard error.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits until something about it holds; it must not end meanwhile.
    pub(crate) async fn until<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&Self) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "never: {what} ({ended:?})\n{}{}",
                self.stdout(),
                self.stderr()
            );
            actix_web::rt::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until it says where it listens.
    pub(crate) async fn up(mut self) -> Server {
        let listen = self.until("it is up", |it| {
            let text = it.stdout();
            let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let mut lines = lines.filter(|line| line["message"] == "plinth is up");
            lines.next()?["listen"].as_str()?.parse().ok()
        });
        let listen = listen.await;
        Server { running: self, listen }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for its end; gives all that it printed.
    pub(crate) async fn ended(mut self) -> Ended {
        let deadline = Instant::now() + LIMIT;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "it does not end\n{}{}",
                self.stdout(),
                self.stderr()
            );
            actix_web::rt::time::sleep(Duration::from_millis(10)).await;
        };
        // What it left running may hold its standard output open; then there is no end to read to, and a test that
        // looks for leftovers fails later.
        for lines in [&mut self.stdout, &mut self.stderr] {
            let closed = Instant::now() + Duration::from_secs(5);
            while lines.reader.as_ref().is_some_and(|it| !it.is_finished())
                && Instant::now() < closed
            {
                actix_web::rt::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Ended { status, stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|it| it.is_none()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A server that answers.
pub(crate) struct Server {
    running: Running,
    listen: SocketAddr,
}

impl Server {
    pub(crate) fn listen(&self) -> SocketAddr {
        self.listen
    }

    pub(crate) fn process(&self) -> &Running {
        &self.running
    }

    /// The one-time token that it printed for the first owner.
    pub(crate) fn setup_token(&self) -> Option<String> {
        let text = self.running.stderr();
        let (_, after) = text.split_once(r#""token": ""#)?;
        Some(after.split_once('"')?.0.to_owned())
    }

    /// Somebody who holds that key.
    pub(crate) fn somebody(&self, key: &str) -> Person {
        Person::new(self.listen, Some(key))
    }

    /// Somebody without a key.
    pub(crate) fn nobody(&self) -> Person {
        Person::new(self.listen, None)
    }

    /// That token, as soon as it is printed: the server answers a moment before.
    pub(crate) async fn printed_token(&self) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(token) = self.setup_token() {
                return token;
            }
            assert!(Instant::now() < deadline, "no token: {}", self.running.stderr());
            actix_web::rt::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Makes the first owner with the printed token.
    pub(crate) async fn set_up(&self) -> Person {
        let token = self.printed_token().await;
        let body = serde_json::json!({
            "token": token, "organization": "Acme", "email": "ann@example.com", "password": PASSWORD,
        });
        let answer = self.nobody().post("/v1/setup", body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        self.somebody(answer.body["data"]["api_key"].as_str().unwrap())
    }

    /// Tells it to stop with this signal, and waits for its end, which must be a success.
    pub(crate) async fn stop(self, signal: Signal) -> Ended {
        self.running.signal(signal);
        let ended = self.running.ended().await;
        assert_eq!(ended.status.code(), Some(0), "{}{}", ended.stdout, ended.stderr);
        ended
    }

    /// Kills it, as no program can prevent.
    pub(crate) async fn kill(self) {
        self.running.signal(Signal::SIGKILL);
        assert!(!self.running.ended().await.status.success());
    }
}
