use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plinth_control_plane::{BranchPlace, EndpointPlace, SubstrateError};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::cell::Cell;
use crate::copy::own;
use crate::front::{SOURCE, connect};
use crate::history::io_failed;
use crate::node::Inner;
use crate::standby::{self, private};

/// How long a pooler may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(5);
/// How often another port is tried.
const PORT_ATTEMPTS: usize = 3;
/// A pooler's log is emptied when it has grown to so many bytes.
const LOG_LIMIT: u64 = 1 << 20;
/// The first version that keeps prepared statements of the protocol apart from the server's.
const PREPARES_SINCE: (u32, u32) = (1, 21);

/// `PgBouncer` on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    path: PathBuf,
    version: (u32, u32),
}

impl Program {
    /// Looks for it where programs are, and where distributions put it.
    pub(crate) fn find() -> Option<Self> {
        let path: OsString = std::env::var_os("PATH").unwrap_or_default();
        let usual = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/opt/homebrew/bin"];
        let folders = std::env::split_paths(&path).chain(usual.map(PathBuf::from));
        let programs = folders.map(|it| it.join("pgbouncer")).filter(|it| it.is_file());
        programs.into_iter().find_map(|path| {
            let mut command = std::process::Command::new(&path);
            command.arg("--version").env_clear().stdin(Stdio::null());
            let said = command.output().ok()?;
            let version = version(&String::from_utf8_lossy(&said.stdout))?;
            Some(Self { path, version })
        })
    }
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.lines().next()?.strip_prefix("PgBouncer ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// A pooler that runs before a branch's server.
pub(crate) struct Pooler {
    child: Child,
    port: u16,
    /// The server's port.
    server: u16,
}

impl Pooler {
    /// Ends it, and with it its clients' connections.
    pub(crate) async fn end(mut self) {
        // It keeps nothing that it would have to put away.
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
    }
}

/// A connection to the pooler before an endpoint's server, which runs. The pooler is started if it does not.
pub(crate) async fn reach(
    inner: &Inner,
    endpoint: &EndpointPlace,
    cell: &Cell,
    server: u16,
) -> Result<TcpStream, String> {
    let mut pooler = cell.pooler.lock().await;
    let runs = |it: &mut Pooler| it.server == server && matches!(it.child.try_wait(), Ok(None));
    if !pooler.as_mut().is_some_and(runs) {
        if let Some(old) = pooler.take() {
            old.end().await;
        }
        let place = standby::server(endpoint).map_err(|err| err.to_string())?;
        let started = start(inner, &place, server).await.map_err(|err| err.to_string())?;
        if cell.port() != Some(server) {
            started.end().await;
            return Err("the server was stopped again".to_owned());
        }
        *pooler = Some(started);
    }
    let port = pooler.as_ref().map_or(0, |it| it.port);
    limit_log(&inner.home(&standby::server(endpoint).map_err(|err| err.to_string())?));
    drop(pooler);
    connect(port).await.map_err(|err| err.to_string())
}

async fn start(inner: &Inner, place: &BranchPlace, server: u16) -> Result<Pooler, SubstrateError> {
    let program = inner.pooler().ok_or_else(|| {
        let text = "PgBouncer is not on the node's machine any more";
        SubstrateError::Missing(text.to_owned())
    })?;
    let home = inner.home(place);
    end_leftover(&home);
    let mut attempt = 1;
    loop {
        let port = free_port(inner)?;
        match launch(inner, &program, place, &home, (port, server)).await {
            // Somebody may have taken the port between our look and the pooler's.
            Err(SubstrateError::Failed(_)) if attempt < PORT_ATTEMPTS => attempt += 1,
            other => return other,
        }
    }
}

async fn launch(
    inner: &Inner,
    program: &Program,
    place: &BranchPlace,
    home: &Path,
    (port, server): (u16, u16),
) -> Result<Pooler, SubstrateError> {
    let user = inner.user(place);
    let files = Files::of(home);
    let write = || {
        let password = fs::read_to_string(home.join("superuser.password"))?;
        let text = configuration(place, program.version, &files, (port, server));
        let users = format!("\"postgres\" \"{}\"\n", password.trim());
        // From wherever the endpoint lets connections in; never as the superuser.
        let access =
            "hostssl all postgres 0.0.0.0/0 reject\nhostssl all all 0.0.0.0/0 scram-sha-256\n";
        let all = [
            (&files.settings, text.as_str()),
            (&files.users, users.as_str()),
            (&files.access, access),
        ];
        for (path, text) in all {
            private(path, text)?;
            own(path, user)?;
        }
        fs::write(&files.log, "")?;
        File::options().append(true).open(&files.log)
    };
    let log = write().map_err(|err| io_failed(&err))?;
    let mut command = Command::new(&program.path);
    command
        .arg(&files.settings)
        .env_clear()
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .kill_on_drop(true);
    if nix::unistd::geteuid().as_raw() != user.uid {
        command.uid(user.uid).gid(user.gid);
    }
    let mut child = command.spawn().map_err(|err| io_failed(&err))?;
    let pid = child.id().unwrap_or_default();
    fs::write(&files.pid, pid.to_string()).map_err(|err| io_failed(&err))?;
    let deadline = Instant::now() + START_LIMIT;
    loop {
        let ended = child.try_wait().map_err(|err| io_failed(&err))?;
        if ended.is_some() || Instant::now() > deadline {
            let said = fs::read_to_string(&files.log).unwrap_or_default();
            let said = said.lines().last().unwrap_or("it does not answer").to_owned();
            return Err(SubstrateError::Failed(format!("PgBouncer did not start: {said}")));
        }
        if connect(port).await.is_ok() {
            return Ok(Pooler { child, port, server });
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Where a pooler's files are, in the folder of its server.
struct Files {
    settings: PathBuf,
    users: PathBuf,
    access: PathBuf,
    log: PathBuf,
    pid: PathBuf,
    key: PathBuf,
    certificate: PathBuf,
}

impl Files {
    fn of(home: &Path) -> Self {
        let file = |name: &str| home.join(name);
        Self {
            settings: file("pooler.ini"),
            users: file("pooler.users"),
            access: file("pooler.access"),
            log: file("pooler.log"),
            pid: file("pooler.pid"),
            key: file("server.key"),
            certificate: file("server.crt"),
        }
    }
}

fn configuration(
    place: &BranchPlace,
    version: (u32, u32),
    files: &Files,
    (port, server): (u16, u16),
) -> String {
    let most = place.settings["max_connections"].clone();
    let most = most.as_u64().or_else(|| most.as_str()?.parse().ok()).unwrap_or(100).max(10);
    // Some are left for who connects directly, and for the node.
    let (of_user, of_database) = (most * 6 / 10, most * 8 / 10);
    // Where connections on loopback need no TLS, the way between the two is not encrypted twice.
    let tls = if SOURCE.is_some() { "disable" } else { "require" };
    let prepared = if version >= PREPARES_SINCE { "max_prepared_statements = 200\n" } else { "" };
    let Files { users, access, key, certificate, .. } = files;
    format!(
        "[databases]\n\
         * = host=127.0.0.1 port={server}\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir =\n\
         pool_mode = transaction\n\
         auth_type = hba\n\
         auth_hba_file = {access}\n\
         auth_file = {users}\n\
         auth_user = postgres\n\
         auth_query = SELECT rolname, rolpassword FROM pg_catalog.pg_authid \
             WHERE rolname OPERATOR(pg_catalog.=) $1::pg_catalog.name AND rolcanlogin AND NOT rolsuper\n\
         client_tls_sslmode = require\n\
         client_tls_key_file = {key}\n\
         client_tls_cert_file = {certificate}\n\
         server_tls_sslmode = {tls}\n\
         max_client_conn = 1000\n\
         default_pool_size = {of_user}\n\
         max_db_connections = {of_database}\n\
         ignore_startup_parameters = extra_float_digits\n\
         server_idle_timeout = 60\n\
         query_wait_timeout = 30\n\
         {prepared}\
         log_connections = 0\n\
         log_disconnections = 0\n\
         log_pooler_errors = 0\n\
         log_stats = 0\n",
        access = access.display(),
        users = users.display(),
        key = key.display(),
        certificate = certificate.display(),
    )
}

fn free_port(inner: &Inner) -> Result<u16, SubstrateError> {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let range = &inner.settings.server_ports;
    let count = u32::from(range.end().saturating_sub(*range.start())) + 1;
    // Not always the lowest: it may have been given back a moment ago.
    let from = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let from = from.map_or(0, |it| it.subsec_nanos()) % count;
    let ports = (0..count)
        .filter_map(|at| u16::try_from(u32::from(*range.start()) + (from + at) % count).ok());
    let any = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr().map(|it| it.port());
    match ports.into_iter().find(is_free) {
        Some(port) => Ok(port),
        None => any().map_err(|err| io_failed(&err)),
    }
}

/// Ends the pooler that an earlier process of this node left in a folder.
pub(crate) fn end_leftover(home: &Path) {
    let files = Files::of(home);
    let Ok(pid) = fs::read_to_string(&files.pid) else { return };
    let _ = fs::remove_file(&files.pid);
    let Ok(pid) = pid.trim().parse::<i32>() else { return };
    // The number may be somebody else's by now.
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command);
    let settings = files.settings.display().to_string();
    if pid > 1 && command.split('\0').any(|it| it == settings) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// Keeps a pooler's log small.
fn limit_log(home: &Path) {
    let log = Files::of(home).log;
    if fs::metadata(&log).is_ok_and(|it| it.len() > LOG_LIMIT)
        && let Ok(file) = File::options().write(true).open(&log)
    {
        let _ = file.set_len(0);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_version_is_read() {
        assert_eq!(version("PgBouncer 1.18.0\nlibevent 2.1\n"), Some((1, 18)));
        assert_eq!(version("PgBouncer 1.24.1"), Some((1, 24)));
        assert_eq!(version("something else"), None);
    }

    #[test]
    fn a_pool_leaves_connections_for_others() {
        let place = |most: serde_json::Value| BranchPlace {
            project: "still-meadow-1".parse().unwrap(),
            number: 1,
            branch: "br-a-b-c".parse().unwrap(),
            settings: json!({ "max_connections": most }),
            libraries: Vec::new(),
            history_retention_seconds: 0,
            computes: None,
        };
        let files = Files::of(Path::new("/x"));
        let text = |most, version| configuration(&place(most), version, &files, (7, 8));
        let usual = text(json!(null), (1, 18));
        assert!(usual.contains("\ndefault_pool_size = 60\nmax_db_connections = 80\n"), "{usual}");
        assert!(!usual.contains("max_prepared_statements"), "1.18 would not start with it");
        let other = text(json!("20"), (1, 21));
        assert!(other.contains("\ndefault_pool_size = 12\nmax_db_connections = 16\n"), "{other}");
        assert!(other.contains("\nmax_prepared_statements = 200\n"), "{other}");
    }
}
