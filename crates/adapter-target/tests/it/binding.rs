//! SCRAM tied to the TLS session: with each kind of certificate, where it must not be skipped, and with somebody in between.

use std::process::Command;
use std::sync::Arc;

use plinth_connections::{
    ChannelBinding, Fault, Host, Place, SslMode, Target, TargetDatabase as _, TlsMaterial,
};
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::{client, databases, free_target};
use plinth_testdb::peers::{
    Authority, Cluster, PASSWORD, Pem, SUPERUSER, Server, authority, key, named,
};

/// Who logs in how; the superuser makes the roles.
const RULES: &str = "host all postgres 127.0.0.1/32 scram-sha-256
host all digest 127.0.0.1/32 md5
host all clear 127.0.0.1/32 password
host all free 127.0.0.1/32 trust
";

fn start(cluster: &Cluster, certificate: &Pem) -> Server {
    let file = |name, text: &str| cluster.write(name, text).display().to_string();
    let settings = [
        ("ssl", "on".to_owned()),
        ("ssl_cert_file", file("server.crt", &certificate.certificate)),
        ("ssl_key_file", file("server.key", &certificate.key)),
    ];
    cluster.start(&settings, RULES)
}

fn target(port: u16, username: &str, mode: SslMode, binding: ChannelBinding) -> Target {
    Target {
        connection: None,
        place: Place::Typed { host: Host::parse("localhost").expect("a host"), port },
        database: "postgres".to_owned(),
        username: username.to_owned(),
        password: PASSWORD.to_owned().into(),
        ssl_mode: mode,
        tls: TlsMaterial::from_stored(None, None, binding),
        ..free_target()
    }
}

async fn ends(
    port: u16,
    username: &str,
    mode: SslMode,
    binding: ChannelBinding,
) -> Result<(), Fault> {
    let found = databases().test(&target(port, username, mode, binding)).await;
    found.map(drop).map_err(|it| it.fault)
}

/// Whether libpq gets in; `None` where there is no psql.
fn libpq(
    cluster: &Cluster,
    port: u16,
    username: &str,
    mode: SslMode,
    binding: ChannelBinding,
) -> Option<bool> {
    let psql = cluster.installation.program("psql");
    if !psql.is_file() {
        return None;
    }
    let options = format!(
        "host=localhost port={port} user={username} dbname=postgres sslmode={} channel_binding={}",
        mode.as_str(),
        binding.as_str()
    );
    let output = Command::new(psql)
        .env_clear()
        .env("PGPASSWORD", PASSWORD)
        .env("HOME", &cluster.folder)
        .args(["-X", "-A", "-t", "-w", "-c", "SELECT 1", &options])
        .output()
        .expect("psql runs");
    Some(output.status.success())
}

/// RSA keys are not made by what makes the certificates.
fn rsa(cluster: &Cluster) -> KeyPair {
    let path = cluster.folder.join("rsa");
    let status = Command::new("ssh-keygen")
        .args(["-q", "-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", "", "-f"])
        .arg(&path)
        .status()
        .expect("ssh-keygen runs");
    assert!(status.success());
    KeyPair::from_pem(&std::fs::read_to_string(path).expect("a key")).expect("a key")
}

/// An Ed25519 key in the older form of PKCS #8, the only one that OpenSSL 3.0 reads.
fn without_public_half(key: &KeyPair) -> String {
    use base64::Engine as _;
    let der = key.serialize_der();
    let header = [0x04, 0x22, 0x04, 0x20];
    let at = der.windows(4).position(|it| it == header).expect("the private half") + header.len();
    let start = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    let older = [start, &der[at..at + 32]].concat();
    let base64 = base64::engine::general_purpose::STANDARD.encode(older);
    let name = "PRIVATE KEY";
    format!("-----BEGIN {name}-----\n{base64}\n-----END {name}-----\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_tied_to_tls_where_that_is_asked_for() {
    let cluster = Cluster::make("binding");
    let ours = authority("ours");
    let localhost = named("db", &["localhost"]);
    let kinds = [
        ("ECDSA on P-256", key(), true),
        ("ECDSA on P-384", KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("a key"), true),
        ("RSA", rsa(&cluster), true),
        // No hash is defined for what its own key signs so.
        ("Ed25519", KeyPair::generate_for(&PKCS_ED25519).expect("a key"), false),
    ];
    for (kind, key, bound) in kinds {
        let certificate = if bound {
            ours.sign_key(&localhost, &key)
        } else {
            let certificate = localhost.self_signed(&key).expect("signed").pem();
            Pem { certificate, key: without_public_half(&key) }
        };
        let server = start(&cluster, &certificate);
        for binding in [ChannelBinding::Disable, ChannelBinding::Prefer, ChannelBinding::Require] {
            let found = ends(server.port, SUPERUSER, SslMode::Require, binding).await;
            let fails = binding == ChannelBinding::Require && !bound;
            let expected = if fails { Err(Fault::ChannelBinding) } else { Ok(()) };
            assert_eq!(found, expected, "{kind} {binding:?}");
        }
        if bound {
            let theirs =
                libpq(&cluster, server.port, SUPERUSER, SslMode::Require, ChannelBinding::Require);
            assert_ne!(theirs, Some(false), "{kind}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_is_required_nothing_less_is_taken() {
    let cluster = Cluster::make("binding-required");
    let ours = authority("ours");
    let server = start(&cluster, &ours.sign_key(&named("db", &["localhost"]), &key()));
    let admin = client(&format!(
        "host=127.0.0.1 port={} user={SUPERUSER} password='{PASSWORD}' dbname=postgres",
        server.port
    ))
    .await;
    admin
        .batch_execute(&format!(
            "SET password_encryption = 'md5'; CREATE ROLE digest LOGIN PASSWORD '{PASSWORD}';
             CREATE ROLE clear LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE free LOGIN"
        ))
        .await
        .expect("roles");
    let cases = [
        (SUPERUSER, SslMode::Require, true),
        (SUPERUSER, SslMode::Prefer, true),
        (SUPERUSER, SslMode::Disable, false),
        ("digest", SslMode::Require, false),
        ("clear", SslMode::Require, false),
        ("free", SslMode::Require, false),
    ];
    for (role, mode, good) in cases {
        let required = ends(server.port, role, mode, ChannelBinding::Require).await;
        let expected = if good { Ok(()) } else { Err(Fault::ChannelBinding) };
        assert_eq!(required, expected, "{role} {mode:?}");
        let theirs = libpq(&cluster, server.port, role, mode, ChannelBinding::Require);
        assert!(theirs.is_none_or(|it| it == good), "{role} {mode:?}: libpq differs");
        let preferred = ends(server.port, role, mode, ChannelBinding::Prefer).await;
        assert_eq!(preferred, Ok(()), "{role} {mode:?}");
    }
    // A password in clear needs TLS, however much somebody else may want it.
    let clear = ends(server.port, "clear", SslMode::Disable, ChannelBinding::Prefer).await;
    assert_eq!(clear, Err(Fault::UnsupportedAuthentication));
}

/// Somebody who opens TLS up, looks in, and passes it on encrypted; takes the better offer out of the server's words if told so.
async fn in_between(server: u16, authority: &Authority, own: Pem, downgrade: bool) -> u16 {
    let provider = || Arc::new(rustls::crypto::ring::default_provider());
    let chain = CertificateDer::from_pem_slice(own.certificate.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("a key");
    let accepting = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .expect("a certificate with its key");
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("a certificate"))
        .expect("an authority");
    let connecting = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let acceptor = TlsAcceptor::from(Arc::new(accepting));
    let connector = TlsConnector::from(Arc::new(connecting));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (acceptor, connector) = (acceptor.clone(), connector.clone());
            tokio::spawn(async move {
                let mut request = [0; 8];
                socket.read_exact(&mut request).await?;
                socket.write_all(b"S").await?;
                let mut client = acceptor.accept(socket).await?;
                let mut upstream = TcpStream::connect(("127.0.0.1", server)).await?;
                upstream.write_all(&request).await?;
                assert_eq!(upstream.read_u8().await?, b'S');
                let name = "localhost".try_into().expect("a name");
                let mut upstream = connector.connect(name, upstream).await?;
                if downgrade {
                    let mut bytes = vec![0; 1024];
                    let read = client.read(&mut bytes).await?;
                    upstream.write_all(&bytes[..read]).await?;
                    upstream.flush().await?;
                    let read = upstream.read(&mut bytes).await?;
                    assert!(bytes[..read].windows(19).any(|it| it == b"SCRAM-SHA-256-PLUS\0"));
                    let body = b"\0\0\0\x0aSCRAM-SHA-256\0\0";
                    let length = u32::try_from(body.len() + 4).expect("short");
                    client.write_all(&[b"R", &length.to_be_bytes()[..], body].concat()).await?;
                    client.flush().await?;
                }
                copy_bidirectional(&mut client, &mut upstream).await
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_in_between_is_found_out_even_where_no_certificate_is_checked() {
    let cluster = Cluster::make("binding-between");
    let ours = authority("ours");
    let localhost = named("db", &["localhost"]);
    let server = start(&cluster, &ours.sign_key(&localhost, &key()));
    for downgrade in [false, true] {
        let own = authority("theirs").sign_key(&localhost, &key());
        let port = in_between(server.port, &ours, own, downgrade).await;
        for binding in [ChannelBinding::Prefer, ChannelBinding::Require] {
            let found = ends(port, SUPERUSER, SslMode::Require, binding).await;
            assert_eq!(found, Err(Fault::ChannelBinding), "{downgrade} {binding:?}");
        }
        // Who does not ask for it does not get it.
        let unbound = ends(port, SUPERUSER, SslMode::Require, ChannelBinding::Disable).await;
        assert_eq!(unbound, Ok(()), "{downgrade}");
    }
}
