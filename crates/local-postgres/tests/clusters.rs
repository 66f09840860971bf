//! Clusters as they are used, with real servers in folders of their own.
#![expect(clippy::unwrap_used, reason = "a test's helpers may panic as tests do")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use plinth_local_postgres::{
    Cluster, ClusterError, ClusterSettings, ConnectionParameters, Installation, Stopped,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::ExposeSecret as _;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A folder for one test, where the server's user may enter; removed with it.
struct Home(PathBuf);

impl Home {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "plinth-clusters-{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        Self(std::env::temp_dir().join(name))
    }

    /// Settings for a server that does not flush: the tests kill processes, not the machine.
    fn settings(&self) -> ClusterSettings {
        settings(&self.0)
    }

    async fn open(&self) -> Cluster {
        Cluster::open(installation(), self.settings()).await.unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn settings(folder: &Path) -> ClusterSettings {
    let mut settings = ClusterSettings::new(folder);
    settings.server = vec![("fsync".to_owned(), "off".to_owned())];
    settings
}

fn installation() -> Installation {
    let named = std::env::var_os("PLINTH_POSTGRES_BIN").map(PathBuf::from);
    Installation::find(named.as_deref()).unwrap()
}

fn config(connection: &ConnectionParameters) -> Config {
    let mut config = Config::new();
    config.host(&connection.host).port(connection.port).user(&connection.user).dbname("postgres");
    config.password(connection.password.expose_secret());
    config
}

async fn connect(connection: &ConnectionParameters) -> Client {
    let (client, session) = config(connection).connect(NoTls).await.unwrap();
    tokio::spawn(session);
    client
}

async fn ask(client: &Client, question: &str) -> String {
    client.query_one(question, &[]).await.unwrap().get(0)
}

/// A connector that trusts this one certificate and checks the server's name.
fn verifying(certificate: &Path) -> MakeRustlsConnect {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    MakeRustlsConnect::new(config.with_root_certificates(roots).with_no_client_auth())
}

/// The processes whose arguments or title have `part` in them.
fn processes_with(part: &str) -> Vec<String> {
    let output = Command::new("ps").args(["-ax", "-ww", "-o", "stat=,args="]).output().unwrap();
    let lines =
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect::<Vec<_>>();
    lines.into_iter().filter(|line| !line.starts_with('Z') && line.contains(part)).collect()
}

fn cluster_name(home: &Path) -> String {
    let state = fs::read_to_string(home.join("cluster.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&state).unwrap()["id"].as_str().unwrap().to_owned()
}

fn kill_9(pid: u32) {
    kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGKILL).unwrap();
}

/// Looks again and again until the condition holds.
async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition().await {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_new_cluster_answers_over_verified_tls_and_keeps_its_secrets() {
    let home = Home::new();
    let mut cluster = home.open().await;
    let connection = cluster.start().await.unwrap();

    let mut tls = config(&connection);
    tls.ssl_mode(tokio_postgres::config::SslMode::Require);
    let (client, session) = tls.connect(verifying(&connection.certificate)).await.unwrap();
    tokio::spawn(session);
    let encrypted = "SELECT version || ' ' || ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(ask(&client, encrypted).await, "TLSv1.3 true");
    assert_eq!(ask(&client, "SHOW server_encoding").await, "UTF8");
    assert_eq!(ask(&client, "SHOW data_checksums").await, "on");
    assert_eq!(
        ask(
            &client,
            "SELECT array_to_string(array_agg(x ORDER BY x), '') FROM unnest('{b,B,a,ä}'::text[]) x"
        )
        .await,
        "Babä"
    );
    let stored = "SELECT bool_and(rolpassword LIKE 'SCRAM-SHA-256$%')::text FROM pg_authid WHERE rolcanlogin";
    assert_eq!(ask(&client, stored).await, "true");
    let addresses =
        "SELECT current_setting('listen_addresses') || current_setting('unix_socket_directories')";
    assert_eq!(ask(&client, addresses).await, "127.0.0.1");

    let mut wrong = config(&connection);
    wrong.password("guessed");
    let refused = wrong.connect(NoTls).await.map(|_| ()).unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::INVALID_PASSWORD));

    for secret in ["superuser.password", "server.key", "cluster.json", "server.log", "lock"] {
        assert_eq!(fs::metadata(home.0.join(secret)).unwrap().mode() & 0o777, 0o600, "{secret}");
    }
    let left: Vec<_> =
        fs::read_dir(&home.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("draft")), "{left:?}");
    assert_eq!(cluster.stop().await.unwrap(), Stopped::Fast);
}

#[tokio::test]
async fn plaintext_is_refused_where_it_is_switched_off() {
    let home = Home::new();
    let mut settings = home.settings();
    settings.plaintext_on_loopback = false;
    let mut cluster = Cluster::open(installation(), settings).await.unwrap();
    let connection = cluster.start().await.unwrap();
    let refused = config(&connection).connect(NoTls).await.map(|_| ()).unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION));
    let encrypted = config(&connection).connect(verifying(&connection.certificate)).await;
    assert!(encrypted.is_ok());
}

#[tokio::test]
async fn a_stop_leaves_no_process_and_a_start_finds_the_data() {
    let home = Home::new();
    let mut cluster = home.open().await;
    let first = cluster.start().await.unwrap();
    connect(&first)
        .await
        .batch_execute("CREATE TABLE kept AS SELECT 'here' AS word")
        .await
        .unwrap();
    let again = cluster.start().await.unwrap();
    assert_eq!(again.port, first.port, "a start of what runs does nothing");

    assert_eq!(cluster.stop().await.unwrap(), Stopped::Fast);
    assert_eq!(cluster.stop().await.unwrap(), Stopped::NotRunning);
    assert!(cluster.connection().is_none() && cluster.pid().is_none());
    assert_eq!(processes_with(&cluster_name(&home.0)), [""; 0]);
    assert_eq!(processes_with(&format!("-D {}", home.0.display())), [""; 0]);

    let second = cluster.start().await.unwrap();
    assert_eq!(second.port, first.port, "its port is remembered");
    assert_eq!(ask(&connect(&second).await, "SELECT word FROM kept").await, "here");
}

#[tokio::test]
async fn dropping_a_cluster_stops_its_server() {
    let home = Home::new();
    let mut cluster = home.open().await;
    cluster.start().await.unwrap();
    drop(cluster);
    assert_eq!(processes_with(&format!("-D {}", home.0.display())), [""; 0]);
}

#[tokio::test]
async fn a_server_that_does_not_react_is_killed_in_the_end() {
    let home = Home::new();
    let mut settings = home.settings();
    settings.stop_limit = Duration::from_millis(300);
    let mut cluster = Cluster::open(installation(), settings).await.unwrap();
    cluster.start().await.unwrap();
    // A stopped process cannot follow the order to end; only the hardest signal reaches it.
    kill(Pid::from_raw(cluster.pid().unwrap().try_into().unwrap()), Signal::SIGSTOP).unwrap();
    assert_eq!(cluster.stop().await.unwrap(), Stopped::Killed);
    assert_eq!(processes_with(&cluster_name(&home.0)), [""; 0]);
    cluster.start().await.unwrap();
}

#[tokio::test]
async fn a_second_owner_is_refused_and_told_who_is_there() {
    let home = Home::new();
    let mut cluster = home.open().await;
    cluster.start().await.unwrap();
    let refused = Cluster::open(installation(), home.settings()).await.unwrap_err();
    assert!(
        matches!(refused, ClusterError::Locked { holder: Some(pid), .. } if pid == std::process::id())
    );
    assert!(refused.to_string().contains(&format!("pid {}", std::process::id())), "{refused}");
    // The refused one has disturbed nothing.
    connect(&cluster.connection().unwrap()).await;
}

/// Runs itself again as the owner of a cluster that is then killed.
#[tokio::test]
async fn a_server_whose_owner_was_killed_is_adopted() {
    const OWNER_OF: &str = "PLINTH_TEST_OWNER_OF";
    if let Some(folder) = std::env::var_os(OWNER_OF) {
        let mut cluster =
            Cluster::open(installation(), settings(Path::new(&folder))).await.unwrap();
        cluster.start().await.unwrap();
        return std::future::pending().await;
    }

    let home = Home::new();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["a_server_whose_owner_was_killed_is_adopted", "--exact"]).env(OWNER_OF, &home.0);
    let mut owner = command
        .env("PLINTH_MASTER_KEY", "of-our-environment")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid_file = home.0.join("data/postmaster.pid");
    eventually("the owner's server is ready", async || {
        fs::read_to_string(&pid_file).is_ok_and(|text| text.contains("ready"))
    })
    .await;
    let refused = Cluster::open(installation(), home.settings()).await.unwrap_err();
    assert!(matches!(refused, ClusterError::Locked { holder, .. } if holder == Some(owner.id())));
    owner.kill().unwrap();
    owner.wait().unwrap();
    let pid: u32 = fs::read_to_string(&pid_file).unwrap().lines().next().unwrap().parse().unwrap();

    // Settings that changed meanwhile come into force where they can.
    let mut changed = home.settings();
    changed.server.push(("work_mem".to_owned(), "7MB".to_owned()));
    let mut cluster = Cluster::open(installation(), changed).await.unwrap();
    let connection = cluster.start().await.unwrap();
    assert!(cluster.is_adopted());
    assert_eq!(cluster.pid(), Some(pid));
    eventually("the new setting holds", async || {
        ask(&connect(&connection).await, "SHOW work_mem").await == "7MB"
    })
    .await;
    if let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) {
        assert!(
            !String::from_utf8_lossy(&environment).contains("of-our-environment"),
            "our secrets are not for the server"
        );
    }

    assert_eq!(cluster.stop().await.unwrap(), Stopped::Fast);
    assert_eq!(processes_with(&cluster_name(&home.0)), [""; 0]);
}

#[tokio::test]
async fn a_running_server_with_another_port_is_started_anew() {
    let home = Home::new();
    let mut cluster = home.open().await;
    let before = cluster.start().await.unwrap().port;
    cluster.leave_running();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut settings = home.settings();
    settings.port = Some(free);
    let mut cluster = Cluster::open(installation(), settings).await.unwrap();
    assert_eq!(cluster.start().await.unwrap().port, free);
    assert_ne!(free, before);
    assert!(!cluster.is_adopted());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_that_an_operator_started_by_hand_is_adopted_too() {
    use std::os::unix::process::CommandExt as _;
    let home = Home::new();
    let mut cluster = home.open().await;
    cluster.start().await.unwrap();
    cluster.stop().await.unwrap();
    drop(cluster);
    let owner = fs::metadata(home.0.join("data")).unwrap();
    let mut by_hand = Command::new(installation().program("postgres"));
    by_hand.args(["-c", "config_file=postgresql.conf", "-D", "data"]).current_dir(&home.0);
    if geteuid().is_root() {
        by_hand.uid(owner.uid()).gid(owner.gid());
    }
    let mut by_hand = by_hand.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid_file = home.0.join("data/postmaster.pid");
    eventually("it has begun", async || pid_file.exists()).await;

    let mut cluster = home.open().await;
    connect(&cluster.start().await.unwrap()).await;
    assert!(cluster.is_adopted());
    assert_eq!(cluster.pid(), Some(by_hand.id()));
    assert_eq!(cluster.stop().await.unwrap(), Stopped::Fast);
    assert!(by_hand.wait().unwrap().success());
}

#[tokio::test]
async fn a_start_after_the_server_was_killed_ends_the_sessions_it_left() {
    let home = Home::new();
    let mut cluster = home.open().await;
    let connection = cluster.start().await.unwrap();
    let client = connect(&connection).await;
    client.batch_execute("CREATE TABLE kept AS SELECT 'here' AS word").await.unwrap();
    // A session that computes does not notice that its server is gone.
    let busy = tokio::spawn(async move {
        client.batch_execute("SELECT count(*) FROM generate_series(1, 1e12)").await
    });
    let working = "SELECT count(*)::text FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%1e12%' AND pid <> pg_backend_pid()";
    eventually("the session computes", async || {
        ask(&connect(&connection).await, working).await == "1"
    })
    .await;

    kill_9(cluster.pid().unwrap());
    let how = cluster.exited().await;
    assert!(how.contains("signal: 9"), "{how}");
    assert!(cluster.connection().is_none());
    let connection = cluster.start().await.unwrap();
    assert_eq!(ask(&connect(&connection).await, "SELECT word FROM kept").await, "here");
    assert!(busy.await.unwrap().is_err());
}

#[tokio::test]
async fn a_supervised_server_comes_back_on_its_port_and_stops_when_told() {
    let home = Home::new();
    let mut cluster = home.open().await;
    let connection = cluster.start().await.unwrap();
    let first = cluster.pid().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let supervisor = tokio::spawn(cluster.supervise(async move { drop(stopped.await) }));

    kill_9(first);
    eventually("it answers again", async || config(&connection).connect(NoTls).await.is_ok()).await;
    let second = fs::read_to_string(home.0.join("data/postmaster.pid")).unwrap();
    assert_ne!(second.lines().next(), Some(first.to_string().as_str()));

    stop.send(()).unwrap();
    assert_eq!(supervisor.await.unwrap().unwrap(), Stopped::Fast);
    assert_eq!(processes_with(&cluster_name(&home.0)), [""; 0]);
}

#[tokio::test]
async fn clusters_live_side_by_side() {
    let (here, there) = (Home::new(), Home::new());
    let (mut one, mut two) = tokio::join!(here.open(), there.open());
    let (first, second) = (one.start().await.unwrap(), two.start().await.unwrap());
    assert_ne!(first.port, second.port);
    assert_ne!(first.password.expose_secret(), second.password.expose_secret());
    connect(&first).await;
    one.stop().await.unwrap();
    connect(&second).await;
    two.stop().await.unwrap();
}

#[tokio::test]
async fn a_cluster_of_another_version_is_refused_with_what_to_do() {
    let home = Home::new();
    drop(home.open().await);
    fs::write(home.0.join("data/PG_VERSION"), "11\n").unwrap();
    let refused = Cluster::open(installation(), home.settings()).await.unwrap_err();
    assert!(matches!(refused, ClusterError::VersionMismatch { cluster_major: 11, .. }));
    assert!(refused.to_string().contains("install PostgreSQL 11"), "{refused}");
}

#[tokio::test]
async fn an_initialization_that_was_cut_off_begins_anew() {
    let home = Home::new();
    for moment_ms in [1, 30, 120] {
        let begun = Cluster::open(installation(), home.settings());
        let _ = tokio::time::timeout(Duration::from_millis(moment_ms), begun).await;
    }
    // As after a kill, when nobody could tidy up.
    let draft = home.0.join("draft-0123");
    fs::create_dir_all(draft.join("base")).unwrap();
    fs::write(home.0.join("draft-0123.password"), "x").unwrap();
    let mut cluster = home.open().await;
    cluster.start().await.unwrap();
    assert!(!draft.exists() || home.0.join("data").exists());
}

#[tokio::test]
async fn a_port_that_was_taken_meanwhile_is_replaced_unless_it_was_asked_for() {
    let home = Home::new();
    let mut cluster = home.open().await;
    let port = cluster.start().await.unwrap().port;
    cluster.stop().await.unwrap();
    let taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    assert_ne!(cluster.start().await.unwrap().port, port);
    cluster.stop().await.unwrap();
    drop(cluster);

    let mut settings = home.settings();
    settings.port = Some(port);
    let mut cluster = Cluster::open(installation(), settings).await.unwrap();
    let refused = cluster.start().await.unwrap_err();
    assert!(matches!(refused, ClusterError::PortTaken { port: named } if named == port));
    drop(taken);
    assert_eq!(cluster.start().await.unwrap().port, port);
}

#[tokio::test]
async fn a_start_that_fails_shows_the_servers_own_words() {
    let home = Home::new();
    let mut settings = home.settings();
    settings.server.push(("shared_buffers".to_owned(), "nonsense".to_owned()));
    let mut cluster = Cluster::open(installation(), settings).await.unwrap();
    let failed = cluster.start().await.unwrap_err().to_string();
    assert!(
        failed.contains("shared_buffers")
            && failed.contains("nonsense")
            && failed.contains("server.log"),
        "{failed}"
    );
    assert!(cluster.connection().is_none());
}

#[tokio::test]
async fn a_pid_file_that_names_a_stranger_is_no_hindrance() {
    let home = Home::new();
    let mut cluster = home.open().await;
    let pid_file = home.0.join("data/postmaster.pid");
    let pid = std::process::id();
    fs::write(
        &pid_file,
        format!(
            "{pid}\n{}\n1700000000\n5432\n\n127.0.0.1\n\nready\n",
            home.0.join("data").display()
        ),
    )
    .unwrap();
    cluster.start().await.unwrap();
    assert!(!cluster.is_adopted());
}

#[tokio::test]
async fn a_folder_with_other_things_in_it_is_refused_and_left_alone() {
    let home = Home::new();
    fs::create_dir(&home.0).unwrap();
    fs::write(home.0.join("thesis.txt"), "").unwrap();
    let mode = fs::metadata(&home.0).unwrap().mode();
    let refused = Cluster::open(installation(), home.settings()).await.unwrap_err();
    assert!(refused.to_string().contains("thesis.txt"), "{refused}");
    assert_eq!(fs::metadata(&home.0).unwrap().mode(), mode);
    assert_eq!(fs::read_dir(&home.0).unwrap().count(), 1);
}

#[tokio::test]
async fn a_folder_that_the_servers_user_cannot_enter_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    fs::create_dir(&home.0).unwrap();
    fs::set_permissions(&home.0, fs::Permissions::from_mode(0o700)).unwrap();
    let opened = Cluster::open(installation(), settings(&home.0.join("inner"))).await;
    // Whoever is not root runs the server as itself, and has no such trouble.
    if geteuid().is_root() {
        let refused = opened.unwrap_err();
        assert!(
            matches!(&refused, ClusterError::NotEnterable { folder, .. } if *folder == home.0.canonicalize().unwrap())
        );
        assert!(refused.to_string().contains("--data-dir"), "{refused}");
    } else {
        opened.unwrap();
    }
}
