use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use plinth_adapter_target::{ManagedServers, Query, ReadLimits, TargetDatabases};
use plinth_connections::{Fault, Host, Place, SslMode, Stage, Target, TargetDatabase as _};
use plinth_queries::RunError;
use plinth_testdb::TestDatabase;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::{client, databases, one, settings, target, texts};

#[tokio::test]
async fn a_test_tells_who_answers_and_warns_of_rights() {
    let database = TestDatabase::create().await.expect("a database");
    let databases = databases();
    let owner = databases.test(&target(&database)).await.expect("reached");
    assert!(owner.server_version_num >= 140_000 && owner.latency_ms > 0.0 && !owner.tls);
    assert!(owner.server_version.starts_with(&(owner.server_version_num / 10_000).to_string()));
    assert_eq!(owner.warnings.len(), 1);
    assert!(owner.warnings[0].contains("create roles"), "{:?}", owner.warnings);

    let superuser =
        Target { username: "postgres".to_owned(), ssl_mode: SslMode::Prefer, ..target(&database) };
    let report = databases.test(&superuser).await.expect("reached");
    assert!(report.tls && report.warnings[0].contains("superuser"), "{:?}", report.warnings);

    // A role as it should be: it reads, and that is all.
    let reader = format!("reader_{}", database.name());
    let admin = client(&database.superuser_url()).await;
    admin
        .batch_execute(&format!(
            "CREATE ROLE {reader} LOGIN PASSWORD 'secret'; REVOKE CREATE ON SCHEMA public FROM PUBLIC;
             CREATE TABLE t (n int); GRANT SELECT ON t TO {reader}"
        ))
        .await
        .expect("a reader");
    let reading = Target {
        username: reader.clone(),
        password: "secret".to_owned().into(),
        ..target(&database)
    };
    assert_eq!(databases.test(&reading).await.expect("reached").warnings, Vec::<String>::new());
    admin.batch_execute(&format!("GRANT UPDATE (n) ON t TO {reader}")).await.expect("granted");
    let warnings = databases.test(&reading).await.expect("reached").warnings;
    assert!(warnings[0].contains("write to tables, public.t"), "{warnings:?}");
    admin
        .batch_execute(&format!("DROP OWNED BY {reader}; DROP ROLE {reader}"))
        .await
        .expect("gone");
}

#[tokio::test]
async fn each_thing_that_can_be_wrong_is_named() {
    let database = TestDatabase::create().await.expect("a database");
    let databases = databases();
    // Kept nowhere, so that each case has sessions of its own.
    let good = Target { connection: None, ..target(&database) };
    let at = |host: &str, port| Place::Typed { host: Host::parse(host).expect("a host"), port };
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listener.local_addr().expect("bound").port()
    };
    let cases = [
        (
            Target { password: "wrong".to_owned().into(), ..good.clone() },
            (Stage::Auth, Fault::WrongPassword),
        ),
        (
            Target { username: "nobody".to_owned(), ..good.clone() },
            (Stage::Auth, Fault::WrongPassword),
        ),
        (
            Target { database: "no_such_database".to_owned(), ..good.clone() },
            (Stage::Database, Fault::UnknownDatabase),
        ),
        (
            Target { place: at("127.0.0.1", closed), ..good.clone() },
            (Stage::Connect, Fault::ConnectionRefused),
        ),
        (
            Target { place: at("nowhere.invalid", 5432), ..good.clone() },
            (Stage::Resolve, Fault::UnknownHost),
        ),
        (
            Target { place: at("10.0.0.1", 5432), ..good.clone() },
            (Stage::Resolve, Fault::AddressNotAllowed),
        ),
        (
            Target { place: Place::Managed { server: "other".to_owned() }, ..good.clone() },
            (Stage::Connect, Fault::NotReady),
        ),
        (
            Target { ssl_mode: SslMode::VerifyFull, ..good.clone() },
            (Stage::Tls, Fault::CertificateUntrusted),
        ),
        (
            Target { ssl_mode: SslMode::VerifyCa, ..good.clone() },
            (Stage::Tls, Fault::CertificateUntrusted),
        ),
    ];
    for (target, expected) in cases {
        let found = databases.test(&target).await.expect_err("wrong");
        assert_eq!((found.stage, found.fault), expected, "{found:?}");
        assert!(!found.fix_steps.is_empty() && !found.explanation.contains("wrong-"), "{found:?}");
        let run = one(&databases, &target, "SELECT 1").await.expect_err("wrong");
        assert!(matches!(&run, RunError::Connection(it) if it.fault == expected.1), "{run:?}");
    }
}

#[tokio::test]
async fn a_server_of_ours_is_reached_by_its_name_past_the_gate() {
    struct Ours(SocketAddr);
    impl ManagedServers for Ours {
        fn address(&self, server: &str) -> Option<SocketAddr> {
            (server == "embedded").then_some(self.0)
        }
    }
    let database = TestDatabase::create().await.expect("a database");
    let address = format!("{}:{}", database.host(), database.port()).parse().expect("an address");
    let mut settings = settings();
    settings.managed = Arc::new(Ours(address));
    let databases = TargetDatabases::new(settings).expect("settings");
    let place = Place::Managed { server: "embedded".to_owned() };
    let target = Target { place, ssl_mode: SslMode::Require, ..target(&database) };
    assert_eq!(one(&databases, &target, "SELECT 1").await.expect("reached"), "1");
}

#[tokio::test]
async fn the_servers_own_certificate_can_be_trusted_as_it_is() {
    let database = TestDatabase::create().await.expect("a database");
    let mut settings = settings();
    settings.extra_roots_pem =
        std::fs::read(database.server().certificate()).expect("a certificate");
    let databases = TargetDatabases::new(settings).expect("settings");
    let target = Target { ssl_mode: SslMode::VerifyFull, ..target(&database) };
    let report = databases.test(&target).await.expect("trusted");
    assert!(report.tls);
}

/// An authority, and a server that hands what it decrypts on to `database`; its certificate names `name`.
async fn behind_tls(database: &TestDatabase, name: &str, expired: bool) -> (String, Target) {
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key).expect("a certificate").pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([name.to_owned()]).expect("parameters");
    if expired {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    }
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config =
        ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a certificate with its key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let upstream = format!("{}:{}", database.host(), database.port());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
            tokio::spawn(async move {
                socket.read_exact(&mut [0; 8]).await?;
                socket.write_all(b"S").await?;
                let mut client = acceptor.accept(socket).await?;
                let mut server = TcpStream::connect(upstream).await?;
                copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    let host = Host::parse("localhost").expect("a host");
    let target = Target { place: Place::Typed { host, port }, ..target(database) };
    (root, target)
}

#[tokio::test]
async fn certificates_are_checked_as_the_mode_says() {
    let database = TestDatabase::create().await.expect("a database");
    let cases = [
        ("localhost", false, SslMode::VerifyFull, Ok(())),
        ("other.example.com", false, SslMode::VerifyFull, Err(Fault::CertificateWrongName)),
        ("other.example.com", false, SslMode::VerifyCa, Ok(())),
        ("localhost", true, SslMode::VerifyCa, Err(Fault::CertificateExpired)),
        ("localhost", true, SslMode::Require, Ok(())),
    ];
    for (name, expired, mode, expected) in cases {
        let (root, target) = behind_tls(&database, name, expired).await;
        let mut settings = settings();
        settings.extra_roots_pem = root.into_bytes();
        let databases = TargetDatabases::new(settings).expect("settings");
        let target = Target { ssl_mode: mode, ..target };
        // Who decrypts in between cannot offer the binding that the server would: the login works without it, and says so.
        let outcome = databases.test(&target).await.map(drop).map_err(|it| it.fault);
        assert_eq!(outcome, expected, "{name} {expired} {mode:?}");
    }
}

#[tokio::test]
async fn several_reads_see_one_moment_in_one_round_trip() {
    let database = TestDatabase::create().await.expect("a database");
    let (databases, target) = (databases(), target(&database));
    let limits =
        ReadLimits { time: Duration::from_secs(10), row_bytes: 1 << 20, total_bytes: 1 << 20 };
    let mut session = databases.session(&target).await.expect("a session");
    let queries = [
        Query { sql: "SELECT g FROM generate_series(1, 3) g", parameters: &[] },
        Query { sql: "SELECT $1::text, $2::int", parameters: &[Some("a"), None] },
        Query {
            sql: "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')",
            parameters: &[],
        },
        Query { sql: "SELECT WHERE false", parameters: &[] },
    ];
    let results = session.query_all(&queries, &limits).await.expect("results");
    let results: Vec<_> = results.iter().map(|it| texts(it)).collect();
    let some = |it: &str| Some(it.to_owned());
    assert_eq!(results[0], [[some("1")], [some("2")], [some("3")]]);
    assert_eq!(results[1], [[some("a"), None]]);
    assert_eq!(results[2], [[some("repeatable read"), some("on")]]);
    assert!(results[3].is_empty());

    let wrong = [queries[0], Query { sql: "SELECT nothing", parameters: &[] }];
    let error = session.query_all(&wrong, &limits).await.expect_err("no such column");
    assert!(matches!(&error, RunError::Database(it) if it.sqlstate == "42703"), "{error:?}");
    assert!(session.query_all(&queries, &limits).await.is_ok());
    let soon = ReadLimits { time: Duration::from_millis(200), ..limits };
    let slow = [Query { sql: "SELECT pg_sleep(30)", parameters: &[] }];
    let error = session.query_all(&slow, &soon).await.expect_err("too slow");
    assert!(matches!(error, RunError::TimedOut(_)), "{error:?}");
}
