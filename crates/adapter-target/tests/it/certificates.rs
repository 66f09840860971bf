//! The five modes of TLS against real servers with good and bad certificates; each case is put to libpq too, where psql is installed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use plinth_connections::{
    ChannelBinding, Fault, Host, Place, SslMode, Stage, Target, TargetDatabase as _, TlsMaterial,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa};

use crate::support::{databases, free_target};
use plinth_testdb::peers::{
    Authority, Cluster, PASSWORD, Pem, SUPERUSER, Server, authority, key, named,
};

const MODES: [SslMode; 5] =
    [SslMode::Disable, SslMode::Prefer, SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull];

/// What a connection comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Plain,
    Tls,
    Fails(Fault),
}

use Ends::{Fails, Plain, Tls};

fn expired(mut params: CertificateParams) -> CertificateParams {
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    params
}

fn self_signed(mut params: CertificateParams, authority: bool) -> Pem {
    params.is_ca =
        if authority { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
    let key = key();
    Pem { certificate: params.self_signed(&key).expect("signed").pem(), key: key.serialize_pem() }
}

/// One way to connect.
#[derive(Clone, Copy)]
struct Way<'a> {
    host: &'a str,
    roots: Option<&'a str>,
    client: Option<&'a Pem>,
    /// What each of [`MODES`] comes to.
    expected: [Ends; 5],
    /// Whether libpq lets in with `verify-full` where we do not: it takes a common name for a host's name.
    libpq_takes_common_names: bool,
}

const fn way<'a>(host: &'a str, roots: Option<&'a str>, expected: [Ends; 5]) -> Way<'a> {
    Way { host, roots, client: None, expected, libpq_takes_common_names: false }
}

struct Bench {
    cluster: Cluster,
    psql: Option<PathBuf>,
}

const RULES: &str = "host all all 127.0.0.1/32 scram-sha-256\n";

impl Bench {
    fn new() -> Self {
        let cluster = Cluster::make("certificates");
        let psql = cluster.installation.program("psql");
        let psql = psql.is_file().then_some(psql);
        Self { cluster, psql }
    }

    fn server(
        &self,
        certificate: Option<&Pem>,
        clients: Option<&Authority>,
        rules: &str,
    ) -> Server {
        let mut settings =
            vec![("ssl", if certificate.is_some() { "on" } else { "off" }.to_owned())];
        let mut file = |setting, name, text: &str| {
            settings.push((setting, self.cluster.write(name, text).display().to_string()));
        };
        if let Some(it) = certificate {
            file("ssl_cert_file", "server.crt", &it.certificate);
            file("ssl_key_file", "server.key", &it.key);
        }
        if let Some(it) = clients {
            file("ssl_ca_file", "clients.crt", &it.pem);
        }
        self.cluster.start(&settings, rules)
    }

    async fn check(&self, name: &str, server: &Server, ways: &[Way<'_>]) {
        for way in ways {
            for (mode, expected) in MODES.into_iter().zip(way.expected) {
                let cell = format!(
                    "{name}, {} by {}, roots {}, client {}",
                    mode.as_str(),
                    way.host,
                    way.roots.is_some(),
                    way.client.is_some()
                );
                let found = ours(server.port, mode, way).await;
                assert_eq!(found, Ok(expected), "{cell}");
                let Some(psql) = &self.psql else { continue };
                let theirs = self.libpq(psql, server.port, mode, way);
                let wanted = match expected {
                    Fails(Fault::CertificateWrongName) if way.libpq_takes_common_names => {
                        Some(true)
                    }
                    Fails(_) => None,
                    Plain => Some(false),
                    Tls => Some(true),
                };
                assert_eq!(theirs.as_ref().ok().copied(), wanted, "{cell}: libpq says {theirs:?}");
            }
        }
    }

    /// Whether libpq's session was encrypted, or what it said.
    fn libpq(&self, psql: &Path, port: u16, mode: SslMode, way: &Way<'_>) -> Result<bool, String> {
        // What it reads lies where only we may read: a key of a client must not be open to others.
        let folder = self.cluster.folder.join("libpq");
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("written");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&path, mode).expect("ours");
            path.display().to_string()
        };
        let mut options = format!(
            "host={} port={port} user={SUPERUSER} dbname=postgres sslmode={}",
            way.host,
            mode.as_str()
        );
        if let Some(it) = way.roots {
            let _ = write!(options, " sslrootcert={}", file("root.crt", it));
        }
        if let Some(it) = way.client {
            let _ = write!(options, " sslcert={}", file("client.crt", &it.certificate));
            let _ = write!(options, " sslkey={}", file("client.key", &it.key));
        }
        let output = Command::new(psql)
            .env_clear()
            .env("PGPASSWORD", PASSWORD)
            // No files of whoever runs the test.
            .env("HOME", &folder)
            .args(["-X", "-A", "-t", "-w", "-c"])
            .arg("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            .arg(&options)
            .output()
            .expect("psql runs");
        if output.status.success() {
            return Ok(output.stdout == b"t\n");
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn target(port: u16, mode: SslMode, way: &Way<'_>) -> Target {
    let now = "2026-06-01T00:00:00Z".parse().expect("a time");
    let client_key = way.client.map(|it| it.key.as_str().into());
    let certificate = way.client.map(|it| it.certificate.as_str());
    // What has expired is refused when it is given; here it has expired since.
    let tls = TlsMaterial::parse(
        way.roots,
        certificate,
        client_key.as_ref(),
        ChannelBinding::Prefer,
        now,
    )
    .expect("good when it is given");
    Target {
        connection: None,
        place: Place::Typed { host: Host::parse(way.host).expect("a host"), port },
        database: "postgres".to_owned(),
        username: SUPERUSER.to_owned(),
        password: PASSWORD.to_owned().into(),
        ssl_mode: mode,
        tls,
        ..free_target()
    }
}

/// What it comes to, or the diagnosis if that says nothing of use.
async fn ours(port: u16, mode: SslMode, way: &Way<'_>) -> Result<Ends, String> {
    match databases().test(&target(port, mode, way)).await {
        Ok(report) if report.tls => Ok(Tls),
        Ok(_) => Ok(Plain),
        Err(it) => {
            let useful = !it.fix_steps.is_empty() && !it.explanation.contains(PASSWORD);
            let stage = match it.fault {
                Fault::CertificateExpired
                | Fault::CertificateUntrusted
                | Fault::CertificateWrongName
                | Fault::TlsNotOffered => it.stage == Stage::Tls,
                Fault::NotAdmitted | Fault::TlsRequired => it.stage == Stage::Auth,
                _ => matches!(it.stage, Stage::Tls | Stage::Auth),
            };
            if useful && stage { Ok(Fails(it.fault)) } else { Err(format!("{it:?}")) }
        }
    }
}

/// Every mode that looks at the certificate fails so.
const fn checked(fault: Fault) -> [Ends; 5] {
    [Plain, Tls, Tls, Fails(fault), Fails(fault)]
}

/// With authorities of its own, `require` is `verify-ca`, and `prefer` does without TLS where the certificate is bad.
const fn bad(fault: Fault) -> [Ends; 5] {
    [Plain, Plain, Fails(fault), Fails(fault), Fails(fault)]
}

const GOOD: [Ends; 5] = [Plain, Tls, Tls, Tls, Tls];
const UNTRUSTED: Fault = Fault::CertificateUntrusted;
const WRONG_NAME: [Ends; 5] = [Plain, Tls, Tls, Tls, Fails(Fault::CertificateWrongName)];

#[tokio::test(flavor = "multi_thread")]
async fn each_mode_means_what_libpq_means_by_it() {
    let bench = Bench::new();
    let (ours, other) = (authority("ours"), authority("another"));
    let roots = Some(ours.pem.as_str());
    let localhost = named("db", &["localhost"]);

    let good = ours.sign(&localhost);
    {
        let server = bench.server(Some(&good), None, RULES);
        let both = format!("{}{}", other.pem, ours.pem);
        let ways = [
            way("localhost", roots, GOOD),
            way("localhost", Some(&both), GOOD),
            way("localhost", None, checked(UNTRUSTED)),
            way("localhost", Some(&other.pem), bad(UNTRUSTED)),
            way("127.0.0.1", roots, WRONG_NAME),
        ];
        bench.check("good", &server, &ways).await;
    }
    {
        let server = bench.server(Some(&ours.sign(&named("db", &["127.0.0.1"]))), None, RULES);
        let ways = [way("127.0.0.1", roots, GOOD), way("localhost", roots, WRONG_NAME)];
        bench.check("an address", &server, &ways).await;
    }
    {
        let server = bench.server(Some(&ours.sign(&expired(localhost.clone()))), None, RULES);
        let ways = [
            way("localhost", roots, bad(Fault::CertificateExpired)),
            way("localhost", None, checked(Fault::CertificateExpired)),
        ];
        bench.check("expired", &server, &ways).await;
    }
    {
        let wrong = ours.sign(&named("localhost", &["other.example.com"]));
        let server = bench.server(Some(&wrong), None, RULES);
        bench.check("wrong name", &server, &[way("localhost", roots, WRONG_NAME)]).await;
    }
    {
        let server = bench.server(Some(&ours.sign(&named("localhost", &[]))), None, RULES);
        let by_name = Way { libpq_takes_common_names: true, ..way("localhost", roots, WRONG_NAME) };
        bench.check("common name only", &server, &[by_name]).await;
        let target = target(server.port, SslMode::VerifyFull, &by_name);
        let said = databases().test(&target).await.expect_err("no name that counts").explanation;
        assert!(said.contains("common name only"), "{said}");
    }
    for is_authority in [false, true] {
        let own = self_signed(localhost.clone(), is_authority);
        let server = bench.server(Some(&own), None, RULES);
        let ways = [
            way("localhost", Some(&own.certificate), GOOD),
            way("127.0.0.1", Some(&own.certificate), WRONG_NAME),
            way("localhost", roots, bad(UNTRUSTED)),
            way("localhost", None, checked(UNTRUSTED)),
        ];
        bench.check("self-signed", &server, &ways).await;
    }
    {
        let own = self_signed(expired(localhost.clone()), false);
        let server = bench.server(Some(&own), None, RULES);
        let stored =
            TlsMaterial::from_stored(Some(own.certificate.clone()), None, ChannelBinding::Prefer);
        let way = way("localhost", None, GOOD);
        let target = Target { tls: stored, ..target(server.port, SslMode::VerifyFull, &way) };
        let found = databases().test(&target).await.expect_err("out of date");
        assert_eq!(found.fault, Fault::CertificateExpired, "{found:?}");
    }
    {
        let server = bench.server(None, None, RULES);
        let off = Fails(Fault::TlsNotOffered);
        let ways = [
            way("localhost", roots, [Plain, Plain, off, off, off]),
            way("localhost", None, [Plain, Plain, off, off, off]),
        ];
        bench.check("TLS off", &server, &ways).await;
    }
    {
        let server = bench.server(Some(&good), None, &RULES.replace("host ", "hostssl "));
        let ways = [way("localhost", roots, [Fails(Fault::TlsRequired), Tls, Tls, Tls, Tls])];
        bench.check("TLS only", &server, &ways).await;
    }
    {
        let server = bench.server(Some(&good), None, &RULES.replace("host ", "hostnossl "));
        let out = Fails(Fault::NotAdmitted);
        bench
            .check("no TLS", &server, &[way("localhost", roots, [Plain, Plain, out, out, out])])
            .await;
    }
    let clients = authority("clients");
    let rules = "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-full\n";
    let server = bench.server(Some(&good), Some(&clients), rules);
    let (client, stranger, unknown) = (
        clients.sign(&named(SUPERUSER, &[])),
        clients.sign(&named("somebody", &[])),
        other.sign(&named(SUPERUSER, &[])),
    );
    let plain = Fails(Fault::TlsRequired);
    let refused = Fails(Fault::ClientCertificate);
    let refusing = [plain, refused, refused, refused, refused];
    // The server looks at the name after the password, and says of both the same.
    let wrong = Fails(Fault::WrongPassword);
    let ways = [
        Way { client: Some(&client), ..way("localhost", roots, [plain, Tls, Tls, Tls, Tls]) },
        way("localhost", roots, refusing),
        Way {
            client: Some(&stranger),
            ..way("localhost", roots, [plain, wrong, wrong, wrong, wrong])
        },
        Way { client: Some(&unknown), ..way("localhost", roots, refusing) },
    ];
    bench.check("client certificates", &server, &ways).await;
}
