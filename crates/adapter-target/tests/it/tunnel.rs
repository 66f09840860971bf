//! Databases behind a bastion: a real sshd on a port of this machine, run by a user without rights.

use std::process::Command;
use std::time::Duration;

use plinth_adapter_target::TargetDatabases;
use plinth_connections::{
    Fault, Host, Place, SslMode, Stage, Target, TargetDatabase as _, Tunnel, TunnelCredential,
};
use plinth_queries::{RunError, RunLimits};
use plinth_testdb::TestDatabase;
use plinth_testdb::peers::{Bastion, Forwarding, free_port};
use secrecy::SecretString;

use crate::support::{all, client, databases, eventually, limits, one, settings, target};

const PASSPHRASE: &str = "open sesame";

/// A tunnel through it, as a caller's would be: what cannot be read is refused there.
fn tunnel(bastion: &Bastion, key: &SecretString, passphrase: Option<&str>) -> Tunnel {
    Tunnel {
        host: Host::parse("127.0.0.1").expect("a host"),
        port: bastion.port(),
        username: bastion.username(),
        credential: TunnelCredential::parse(
            None,
            Some(key),
            passphrase.map(SecretString::from).as_ref(),
        )
        .expect("a good key"),
        host_key: bastion.host_key("ed25519").parse().expect("a host key"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_sessions_of_a_connection_go_through_one_ssh_session_that_ends_with_them() {
    let database = TestDatabase::create().await.expect("a database");
    let bastion = Bastion::start("bastion-one", &Forwarding::Yes);
    let key: SecretString = bastion.key("client", &["-t", "ed25519"]).into();
    let tunnel = Some(tunnel(&bastion, &key, None));
    let (databases, target) = (databases(), Target { tunnel, ..target(&database) });

    let first = one(&databases, &target, "SELECT 1").await;
    assert_eq!(first.unwrap_or_else(|it| panic!("{it:?}\n{}", bastion.log())), "1");
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(databases.session(&target).await.expect("a session"));
    }
    drop(held);
    // Much in one direction, and back into the pool.
    let (rows, _) = all(
        &databases,
        &target,
        "SELECT repeat(g::text, 200) FROM generate_series(10000, 30000) g",
        &limits(),
    )
    .await
    .expect("rows");
    assert_eq!((rows.len(), rows[20_000][0].as_ref().map(String::len)), (20_001, Some(1000)));
    assert_eq!(bastion.logins(), 1, "{}", bastion.log());

    databases.forget(target.connection.expect("kept")).await;
    eventually("the SSH session ends", async || {
        bastion.log().contains("Disconnected from")
            || bastion.log().contains("Connection closed by")
    })
    .await;
    assert_eq!(one(&databases, &target, "SELECT 2").await.expect("a new one"), "2");
    assert_eq!(bastion.logins(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_goes_through_the_tunnel_and_so_do_cancels() {
    let database = TestDatabase::create().await.expect("a database");
    let bastion = Bastion::start("bastion-tls", &Forwarding::Yes);
    let key: SecretString = bastion.key("client", &["-t", "ed25519"]).into();
    let databases = databases();
    for ssl_mode in [SslMode::Require, SslMode::Disable] {
        let tunnel = Some(tunnel(&bastion, &key, None));
        let target = Target { tunnel, ssl_mode, ..target(&database) };
        let report = databases.test(&target).await.expect("reached");
        assert_eq!(report.tls, ssl_mode == SslMode::Require);
        assert!(!report.warnings.iter().any(|it| it.contains("not encrypted")), "{report:?}");

        let hurried = RunLimits { time: Duration::from_millis(400), ..limits() };
        // The server's own limit would end it too; this one has none.
        let sql = "SELECT set_config('statement_timeout', '0', false), pg_sleep(60)";
        let late = all(&databases, &target, sql, &hurried).await;
        assert!(matches!(late, Err(RunError::TimedOut(_))), "{late:?}");
        let watcher = client(&database.superuser_url()).await;
        let running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%'
            AND pid <> pg_backend_pid() AND datname = current_database() AND state = 'active'";
        eventually("it is cancelled", async || {
            watcher.query_one(running, &[]).await.expect("a count").get::<_, i64>(0) == 0
        })
        .await;
    }
}

/// The processes that were started by that one, and by those, and are still there.
fn descendants(ancestor: i32) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").expect("Linux");
    let pids = processes.flatten().filter_map(|it| it.file_name().to_str()?.parse::<i32>().ok());
    let children = pids.filter(|pid| {
        // `pid (name) state ppid …`; the name may have spaces, and brackets of its own.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit(')').next().and_then(|it| it.split_whitespace().nth(1));
        parent.is_some_and(|it| it == ancestor.to_string())
    });
    children.flat_map(|it| [vec![it], descendants(it)].concat()).collect()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_that_was_cut_is_built_anew_without_anybody_noticing() {
    let database = TestDatabase::create().await.expect("a database");
    let bastion = Bastion::start("bastion-cut", &Forwarding::Yes);
    let key: SecretString = bastion.key("client", &["-t", "ed25519"]).into();
    let tunnel = Some(tunnel(&bastion, &key, None));
    let (databases, target) = (databases(), Target { tunnel, ..target(&database) });
    let slowly = "SELECT pg_sleep(0.1)::text";
    let both = tokio::join!(one(&databases, &target, slowly), one(&databases, &target, slowly));
    assert!(both.0.is_ok() && both.1.is_ok(), "{both:?}");
    let sessions = descendants(bastion.process().try_into().expect("a pid"));
    assert!(!sessions.is_empty(), "{}", bastion.log());
    for pid in sessions {
        let killed = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(pid),
            nix::sys::signal::Signal::SIGKILL,
        );
        assert_eq!(killed, Ok(()));
    }
    assert_eq!(one(&databases, &target, "SELECT 1").await.expect("reached again"), "1");
    assert_eq!(bastion.logins(), 2);
}

/// An SSH server that takes a password only, in one of the two ways in which servers do, and forwards.
mod by_password {
    use std::sync::Arc;

    use russh::keys::PrivateKey;
    use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
    use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Response, Session};
    use russh::{Channel, MethodKind, MethodSet};
    use tokio::net::{TcpListener, TcpStream};

    #[derive(Clone, Copy)]
    pub(super) enum Asks {
        ForThePassword,
        InWords,
        /// For the password, and then for something else.
        ForMore,
    }

    struct Server(Asks);

    fn judge(password: &[u8]) -> Auth {
        if password == b"hunter2" { Auth::Accept } else { Auth::reject() }
    }

    impl Handler for Server {
        type Error = russh::Error;

        async fn auth_password(&mut self, _: &str, password: &str) -> Result<Auth, Self::Error> {
            Ok(match (self.0, judge(password.as_bytes())) {
                (Asks::ForMore, Auth::Accept) => Auth::Reject {
                    proceed_with_methods: Some(MethodSet::from(&[MethodKind::PublicKey][..])),
                    partial_success: true,
                },
                (_, judged) => judged,
            })
        }

        async fn auth_keyboard_interactive<'a>(
            &'a mut self,
            _: &str,
            _: &str,
            response: Option<Response<'a>>,
        ) -> Result<Auth, Self::Error> {
            Ok(match response {
                None => Auth::Partial {
                    name: "".into(),
                    instructions: "".into(),
                    prompts: vec![("Password: ".into(), false)].into(),
                },
                Some(mut it) => judge(&it.next().unwrap_or_default()),
            })
        }

        async fn channel_open_direct_tcpip(
            &mut self,
            channel: Channel<Msg>,
            host: &str,
            port: u32,
            _: &str,
            _: u32,
            reply: ChannelOpenHandle,
            _: &mut Session,
        ) -> Result<(), Self::Error> {
            let port = u16::try_from(port).expect("a port");
            let mut database = TcpStream::connect((host, port)).await?;
            reply.accept().await;
            tokio::spawn(async move {
                let mut channel = channel.into_stream();
                tokio::io::copy_bidirectional(&mut channel, &mut database).await
            });
            Ok(())
        }
    }

    /// Its port and its public key.
    pub(super) async fn start(asks: Asks) -> (u16, String) {
        let pair = KeypairData::Ed25519(Ed25519Keypair::from_seed(&[9; 32]));
        let key = PrivateKey::new(pair, "").expect("a key");
        let public = key.public_key().to_openssh().expect("can be written");
        let method = match asks {
            Asks::ForThePassword | Asks::ForMore => MethodKind::Password,
            Asks::InWords => MethodKind::KeyboardInteractive,
        };
        let config = Arc::new(Config {
            keys: vec![key],
            methods: MethodSet::from(&[method][..]),
            auth_rejection_time: std::time::Duration::from_millis(1),
            ..Config::default()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let config = config.clone();
                tokio::spawn(async move {
                    russh::server::run_stream(config, socket, Server(asks)).await?.await
                });
            }
        });
        (port, public)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_given_in_the_way_in_which_the_bastion_asks_for_it() {
    use by_password::Asks;
    let database = TestDatabase::create().await.expect("a database");
    let databases = databases();
    for asks in [Asks::ForThePassword, Asks::InWords, Asks::ForMore] {
        let (port, host_key) = by_password::start(asks).await;
        for (password, good) in [("hunter2", !matches!(asks, Asks::ForMore)), ("wrong", false)] {
            let tunnel = Tunnel {
                host: Host::parse("127.0.0.1").expect("a host"),
                port,
                username: "ann".to_owned(),
                credential: TunnelCredential::Password(password.into()),
                host_key: host_key.parse().expect("a host key"),
            };
            let target = Target { tunnel: Some(tunnel), connection: None, ..target(&database) };
            let found = databases.test(&target).await.map(drop);
            let found = found.map_err(|it| {
                assert!(!format!("{it:?}").contains(password), "{it:?}");
                let second = it.explanation.contains("second proof");
                assert_eq!(second, matches!(asks, Asks::ForMore) && password == "hunter2");
                it.fault
            });
            assert_eq!(found, if good { Ok(()) } else { Err(Fault::TunnelLogin) });
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_form_of_key_that_is_taken_works() {
    let database = TestDatabase::create().await.expect("a database");
    let bastion = Bastion::start("bastion-keys", &Forwarding::Yes);
    let databases = databases();
    let forms: [(&str, &[&str], Option<&str>); 6] = [
        ("rsa", &["-t", "rsa", "-b", "2048"], None),
        ("rsa_pem", &["-t", "rsa", "-b", "2048", "-m", "PEM"], None),
        ("rsa_pkcs8", &["-t", "rsa", "-b", "2048", "-m", "PKCS8"], None),
        ("ecdsa", &["-t", "ecdsa", "-b", "384"], None),
        ("ecdsa_pkcs8", &["-t", "ecdsa", "-b", "256", "-m", "PKCS8"], None),
        ("locked", &["-t", "ed25519", "-a", "4", "-N", PASSPHRASE], Some(PASSPHRASE)),
    ];
    for (name, options, passphrase) in forms {
        let key: SecretString = bastion.key(name, options).into();
        let tunnel = Some(tunnel(&bastion, &key, passphrase));
        let target = Target { tunnel, connection: None, ..target(&database) };
        let reached = databases.test(&target).await;
        assert!(reached.is_ok(), "{name}: {reached:?}\n{}", bastion.log());
    }
    // The host's other key, and a key by its fingerprint.
    let key: SecretString = bastion.key("client", &["-t", "ed25519"]).into();
    let mut through = tunnel(&bastion, &key, None);
    let printed = Command::new("ssh-keygen")
        .arg("-lf")
        .arg(bastion.host_key_file("ed25519"))
        .output()
        .expect("ssh-keygen runs");
    let printed = String::from_utf8(printed.stdout).expect("text");
    let fingerprint = printed.split(' ').nth(1).expect("the fingerprint").to_owned();
    for host_key in [bastion.host_key("ecdsa"), fingerprint] {
        through.host_key = host_key.parse().expect("a host key");
        let tunnel = Some(through.clone());
        let target = Target { tunnel, connection: None, ..target(&database) };
        let reached = databases.test(&target).await;
        assert!(reached.is_ok(), "{host_key}: {reached:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_thing_that_can_be_wrong_with_a_tunnel_is_named() {
    let database = TestDatabase::create().await.expect("a database");
    let bastion = Bastion::start("bastion-wrong", &Forwarding::Yes);
    let closed = Bastion::start("bastion-closed", &Forwarding::No);
    let key: SecretString = bastion.key("client", &["-t", "ed25519"]).into();
    let good = tunnel(&bastion, &key, None);
    let unknown = bastion.strange_key("unknown", &["-t", "ed25519"]);
    let no_forwarding = tunnel(&closed, &closed.key("client", &["-t", "ed25519"]).into(), None);
    let host = |it: &str| Host::parse(it).expect("a host");
    let at = |it: &str, port| Place::Typed { host: host(it), port };
    let here = target(&database).place;
    let cases = [
        (
            Tunnel { host_key: closed.host_key("ed25519").parse().expect("a key"), ..good.clone() },
            here.clone(),
            (Stage::Connect, Fault::TunnelHostKey),
        ),
        (
            tunnel(&bastion, &unknown.into(), None),
            here.clone(),
            (Stage::Connect, Fault::TunnelLogin),
        ),
        (
            Tunnel { username: "somebody".to_owned(), ..good.clone() },
            here.clone(),
            (Stage::Connect, Fault::TunnelLogin),
        ),
        (
            Tunnel { credential: TunnelCredential::Password("x".into()), ..good.clone() },
            here.clone(),
            (Stage::Connect, Fault::TunnelLogin),
        ),
        (
            Tunnel { port: free_port(), ..good.clone() },
            here.clone(),
            (Stage::Connect, Fault::TunnelUnreachable),
        ),
        (
            // Not an SSH server.
            Tunnel { port: database.port(), ..good.clone() },
            here.clone(),
            (Stage::Connect, Fault::TunnelUnreachable),
        ),
        (
            Tunnel { host: host("10.0.0.1"), ..good.clone() },
            here.clone(),
            (Stage::Resolve, Fault::AddressNotAllowed),
        ),
        (
            Tunnel { host: host("nowhere.invalid"), ..good.clone() },
            here.clone(),
            (Stage::Resolve, Fault::UnknownHost),
        ),
        (no_forwarding, here, (Stage::Connect, Fault::TunnelForwarding)),
        (good.clone(), at("127.0.0.1", free_port()), (Stage::Connect, Fault::TunnelTarget)),
        (good.clone(), at("nowhere.invalid", 5432), (Stage::Connect, Fault::TunnelTarget)),
        (good.clone(), at("127.0.0.1", bastion.port()), (Stage::Auth, Fault::NotPostgres)),
    ];
    let mut settings = settings();
    settings.connect_limit = Duration::from_secs(4);
    let databases = TargetDatabases::new(settings).expect("settings");
    for (tunnel, place, expected) in cases {
        let target = Target { tunnel: Some(tunnel), place, connection: None, ..target(&database) };
        let found = databases.test(&target).await.expect_err("wrong");
        assert_eq!((found.stage, found.fault), expected, "{found:?}\n{}", bastion.log());
        assert!(!found.fix_steps.is_empty() && !found.explanation.is_empty(), "{found:?}");
    }
}
