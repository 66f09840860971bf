//! A real sshd on a port of this machine, run by a user without rights: what stands in front of a database.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::{Uid, User};
use plinth_local_postgres::RunUser;

use super::server::{Server, as_user, free_port, scratch, write};

/// How long it may take to start.
const START_LIMIT: Duration = Duration::from_secs(20);

/// An SSH server that takes the keys that it made, and leads to loopback. Ended and removed with this value.
pub struct Bastion {
    // Before the folder in which it works.
    server: Server,
    folder: PathBuf,
    user: RunUser,
}

/// What its configuration says of forwarding.
pub enum Forwarding {
    /// To anywhere.
    Yes,
    /// Not at all.
    No,
}

impl Bastion {
    /// Starts one in a folder of that name, with an Ed25519 and an ECDSA host key.
    ///
    /// # Panics
    ///
    /// If sshd is not installed, or does not start.
    pub fn start(name: &str, forwarding: &Forwarding) -> Self {
        let user = RunUser::choose().expect("a user to run it");
        let folder = scratch(name, user);
        generate(&folder, user, "host_ed25519", &["-t", "ed25519"]);
        generate(&folder, user, "host_ecdsa", &["-t", "ecdsa"]);
        let port = free_port();
        let at = folder.display();
        let forwarding = match forwarding {
            Forwarding::Yes => "local",
            Forwarding::No => "no",
        };
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host_ed25519\nHostKey {at}/host_ecdsa\n\
             PidFile none\nUsePAM no\nStrictModes no\nAuthorizedKeysFile {at}/authorized_keys\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             AllowTcpForwarding {forwarding}\nLogLevel VERBOSE\n"
        );
        let config = write(&folder.join("config"), &config, user);
        let log = std::fs::File::create(folder.join("log")).expect("a log");
        let process = as_user(&sshd(), user)
            .args(["-D", "-e", "-f"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("sshd starts");
        let mut bastion = Self { server: Server { process, port }, folder, user };
        let deadline = Instant::now() + START_LIMIT;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = bastion.server.process.try_wait().expect("ours");
            assert!(ended.is_none() && Instant::now() < deadline, "sshd: {}", bastion.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        bastion
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.server.process.id()
    }

    /// Who may log in.
    ///
    /// # Panics
    ///
    /// If the user that runs it has no name.
    pub fn username(&self) -> String {
        let user = User::from_uid(Uid::from_raw(self.user.uid)).expect("asked");
        user.expect("it has a name").name
    }

    /// A new key that it takes, made by `ssh-keygen` with these options; the private one as text.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    pub fn key(&self, name: &str, options: &[&str]) -> String {
        let (private, public) = generate(&self.folder, self.user, name, options);
        let path = self.folder.join("authorized_keys");
        let mut authorized = std::fs::read_to_string(&path).unwrap_or_default();
        authorized += &public;
        write(&path, &authorized, self.user);
        private
    }

    /// A new key that it does not take.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    pub fn strange_key(&self, name: &str, options: &[&str]) -> String {
        generate(&self.folder, self.user, name, options).0
    }

    /// Where its public host key lies (`ed25519`, `ecdsa`).
    pub fn host_key_file(&self, algorithm: &str) -> PathBuf {
        self.folder.join(format!("host_{algorithm}.pub"))
    }

    /// That key as text.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn host_key(&self, algorithm: &str) -> String {
        std::fs::read_to_string(self.host_key_file(algorithm)).expect("a public key")
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// How often somebody has logged in.
    pub fn logins(&self) -> usize {
        self.log().matches("Accepted publickey").count()
    }
}

impl Drop for Bastion {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// It wants to be started by its whole path.
fn sshd() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|it| it.join("sshd"))
        .find(|it| it.is_file())
        .expect("sshd is installed: `cargo xtask setup` sees to it")
}

/// Makes a pair of keys; the private and the public one as text.
fn generate(folder: &Path, user: RunUser, name: &str, options: &[&str]) -> (String, String) {
    let path = folder.join(name);
    let passphrase = if options.contains(&"-N") { &[][..] } else { &["-N", ""] };
    let status = Command::new("ssh-keygen")
        .args(["-q", "-C", "test", "-f"])
        .arg(&path)
        .args(options)
        .args(passphrase)
        .stdin(Stdio::null())
        .status()
        .expect("ssh-keygen runs");
    assert!(status.success());
    let private = std::fs::read_to_string(&path).expect("a key");
    let public = std::fs::read_to_string(path.with_added_extension("pub")).expect("its other half");
    write(&path, &private, user);
    (private, public)
}
