//! A Postgres of a test's own, whose TLS and rules it can choose. The data folder is made once; a server on it takes some
//! 200 ms.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plinth_local_postgres::{Installation, RunUser};

/// The name of a cluster's superuser.
pub const SUPERUSER: &str = "postgres";
/// Their password.
pub const PASSWORD: &str = "a password";

/// A folder with a cluster, removed with it.
pub struct Cluster {
    /// Whose programs it runs.
    pub installation: Installation,
    /// Where it lies, in `data`, beside what its servers read.
    pub folder: PathBuf,
    user: RunUser,
}

impl Cluster {
    /// Makes one in a folder of that name.
    ///
    /// # Panics
    ///
    /// If there is no PostgreSQL, or it cannot be made.
    pub fn make(name: &str) -> Self {
        let installation = Installation::find(None).expect("an installed PostgreSQL");
        let user = RunUser::choose().expect("a user to run it");
        let folder = scratch(name, user);
        let cluster = Self { installation, folder, user };
        let password = cluster.write("password", &format!("{PASSWORD}\n"));
        let mut initdb = cluster.command("initdb");
        initdb
            .arg("--pgdata")
            .arg(cluster.folder.join("data"))
            .arg("--pwfile")
            .arg(password)
            .args(["--username", SUPERUSER, "--auth", "scram-sha-256", "--no-sync"])
            .args(["--encoding", "UTF8", "--locale", "C", "--no-instructions"]);
        let output = initdb.output().expect("initdb runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        cluster
    }

    fn command(&self, program: &str) -> Command {
        as_user(&self.installation.program(program), self.user)
    }

    /// Writes a file that only the server may read.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        write(&self.folder.join(name), text, self.user)
    }

    /// Starts a server with these lines in its two files, and waits until it answers.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn start(&self, settings: &[(&str, String)], rules: &str) -> Server {
        let hba = self.write("pg_hba.conf", rules);
        let port = free_port();
        let mut postgres = self.command("postgres");
        postgres.arg("-D").arg(self.folder.join("data"));
        let mut set = |name: &str, value: &str| {
            postgres.arg("-c").arg(format!("{name}={value}"));
        };
        set("hba_file", &hba.display().to_string());
        set("port", &port.to_string());
        for (name, value) in
            [("listen_addresses", "127.0.0.1"), ("unix_socket_directories", ""), ("fsync", "off")]
        {
            set(name, value);
        }
        for (name, value) in settings {
            set(name, value);
        }
        let log = std::fs::File::create(self.folder.join("log")).expect("a log");
        let process = postgres
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("starts");
        let mut server = Server { process, port };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !answers(port) {
            let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(server.process.try_wait().expect("ours").is_none(), "it ended: {}", log());
            assert!(Instant::now() < deadline, "it does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A running process that listens on loopback; ended with it.
pub struct Server {
    /// The process.
    pub process: Child,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.process.id().try_into().expect("a pid"));
        // A fast shutdown to Postgres, the end to anything else.
        let _ = kill(pid, Signal::SIGINT);
        let deadline = Instant::now() + Duration::from_secs(20);
        while matches!(self.process.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.process.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Whether a server there takes sessions: its answer to a session of nobody is an error of its own, and not that it starts up.
fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        let body = b"\0\x03\0\0user\0postgres\0\0";
        let length = u32::try_from(body.len() + 4).expect("short");
        socket.write_all(&[&length.to_be_bytes()[..], body].concat())?;
        let mut answer = vec![0; 256];
        let read = socket.read(&mut answer)?;
        answer.truncate(read);
        Ok(answer)
    };
    ask().is_ok_and(|it| !it.is_empty() && !it.windows(5).any(|it| it == b"57P03"))
}

/// A port on 127.0.0.1 that nobody listens on.
///
/// # Panics
///
/// If there is none.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("bound").port()
}

/// A folder of the test's own, which that user can enter.
pub(super) fn scratch(name: &str, user: RunUser) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("plinth-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o700)).expect("ours");
    own(&folder, user);
    folder
}

pub(super) fn write(path: &Path, text: &str, user: RunUser) -> PathBuf {
    std::fs::write(path, text).expect("written");
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).expect("ours");
    own(path, user);
    path.to_owned()
}

fn own(path: &Path, user: RunUser) {
    if nix::unistd::geteuid().is_root() {
        chown(path, Some(user.uid), Some(user.gid)).expect("root may");
    }
}

/// A program as that user, in a folder where it may be.
pub(super) fn as_user(program: &Path, user: RunUser) -> Command {
    let mut command = Command::new(program);
    if nix::unistd::geteuid().is_root() {
        command.uid(user.uid).gid(user.gid);
    }
    command.current_dir("/");
    command
}
