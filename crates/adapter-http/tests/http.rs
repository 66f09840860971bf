//! The client against servers of the test: what is dialled, what is followed, where it stops.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use plinth_adapter_http::{
    HttpCalls, HttpClient, HttpError, HttpKeySets, HttpRequest, HttpSettings,
};
use plinth_egress::{Gate, Network, Own, Refusal, Resolver, Scheme, WebAddress};
use plinth_tenancy::{KeySetError, KeySetSource as _};
use plinth_workflows::{Outward as _, OutwardCall};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Answers look-ups by a script, the last line again and again, and counts them.
struct Names {
    script: Vec<Vec<Ipv4Addr>>,
    asked: AtomicUsize,
}

impl Names {
    fn saying(script: &[&[Ipv4Addr]]) -> Arc<Self> {
        let script = script.iter().map(|it| it.to_vec()).collect();
        Arc::new(Self { script, asked: AtomicUsize::new(0) })
    }
}

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed).min(self.script.len() - 1);
        Ok(self.script[asked].iter().map(|it| IpAddr::from(*it)).collect())
    }
}

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Documentation: nothing answers there, and nothing may be sent there.
const INNER: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 7);

fn open(names: Arc<Names>) -> Gate {
    Gate::new(names, [Network::LOOPBACK_V4], [])
}

fn address(url: &str) -> WebAddress {
    WebAddress::parse(url, Scheme::Any).expect(url)
}

/// A server that gives every request on every connection the same answer.
struct Server {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    authority: Option<CertificateDer<'static>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn saying(answer: impl Into<String>) -> Self {
        Self::start(answer.into(), None).await
    }

    /// With a certificate for `idp.test`.
    async fn over_tls(answer: impl Into<String>) -> Self {
        let made = rcgen::generate_simple_self_signed(["idp.test".to_owned()]).expect("made");
        Self::start(answer.into(), Some(made)).await
    }

    async fn start(answer: String, tls: Option<rcgen::CertifiedKey<rcgen::KeyPair>>) -> Self {
        let listener = TcpListener::bind((HERE, 0)).await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let authority = tls.as_ref().map(|it| it.cert.der().clone());
        let acceptor = tls.map(|it| {
            let key = PrivateKeyDer::try_from(it.signing_key.serialize_der()).expect("a key");
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = rustls::ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_no_client_auth()
                .with_single_cert(vec![it.cert.der().clone()], key)
                .expect("a certificate");
            tokio_rustls::TlsAcceptor::from(Arc::new(config))
        });
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let connections = Arc::<AtomicUsize>::default();
        let (log, count) = (heads.clone(), connections.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let (answer, log, acceptor) = (answer.clone(), log.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream, &answer, &log).await,
                        Some(it) => {
                            if let Ok(stream) = it.accept(stream).await {
                                serve(stream, &answer, &log).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, heads, connections, authority, task }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("not poisoned").clone()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &str,
    log: &Mutex<Vec<String>>,
) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        log.lock().expect("not poisoned").push(String::from_utf8(head).expect("text"));
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn ok(headers: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

#[tokio::test]
async fn what_the_gate_admitted_is_dialled_though_a_second_look_up_would_lead_elsewhere() {
    let server = Server::saying(ok("", "here")).await;
    let names = Names::saying(&[&[HERE], &[INNER]]);
    let client = HttpClient::new(HttpSettings::new(open(names.clone()))).expect("a client");
    let url = format!("http://rebind.test:{}/x?y", server.port);
    let answer = client.send(HttpRequest::get(address(&url))).await.expect("an answer");
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"here"[..]));
    assert_eq!(names.asked.load(Ordering::Relaxed), 1, "asked once, judged once, dialled once");
    let head = server.heads()[0].to_lowercase();
    assert!(head.starts_with("get /x?y http/1.1"), "{head}");
    assert!(head.contains(&format!("host: rebind.test:{}", server.port)), "{head}");

    // The kept connection is no way around the gate.
    let error = client.send(HttpRequest::get(address(&url))).await.expect_err("inner now");
    assert!(matches!(error, HttpError::Refused(Refusal::Forbidden { .. })), "{error:?}");
    assert_eq!(server.heads().len(), 1);
}

#[tokio::test]
async fn a_name_with_one_inner_address_is_not_dialled_at_all() {
    let server = Server::saying(ok("", "here")).await;
    let names = Names::saying(&[&[HERE, INNER]]);
    let client = HttpClient::new(HttpSettings::new(open(names))).expect("a client");
    let url = format!("http://mixed.test:{}/", server.port);
    let error = client.send(HttpRequest::get(address(&url))).await.expect_err("mixed");
    assert!(matches!(error, HttpError::Refused(_)) && !error.is_temporary(), "{error:?}");
    assert_eq!(server.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn no_spelling_in_a_url_reaches_a_port_of_ours() {
    let server = Server::saying(ok("", "inside")).await;
    let gate = Gate::new(
        Names::saying(&[&[HERE]]),
        ["0.0.0.0/0", "::/0"].map(|it| it.parse().expect("a network")),
        [],
    );
    gate.protect(Own::LocalPort(server.port));
    let client = HttpClient::new(HttpSettings::new(gate)).expect("a client");
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "2130706433",
        "0177.1",
        "[::ffff:127.0.0.1]",
        "0",
        "own.test",
        "１２７.1",
    ] {
        let url = format!("http://{host}:{}/", server.port);
        let error = client.send(HttpRequest::get(address(&url))).await.expect_err(host);
        assert!(matches!(error, HttpError::Refused(Refusal::Own { .. })), "{host}: {error:?}");
    }
    assert_eq!(server.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_redirect_comes_back_as_what_it_is() {
    let other = Server::saying(ok("", "stolen")).await;
    let location = format!(
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{}/\r\ncontent-length: 0\r\n\r\n",
        other.port
    );
    let server = Server::saying(location).await;
    let client =
        HttpClient::new(HttpSettings::new(open(Names::saying(&[&[HERE]])))).expect("a client");
    let url = format!("http://127.0.0.1:{}/", server.port);
    let answer = client.send(HttpRequest::get(address(&url))).await.expect("an answer");
    assert_eq!(answer.status, 302);
    assert_eq!(other.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn bodies_and_time_have_limits() {
    let mut settings = HttpSettings::new(open(Names::saying(&[&[HERE]])));
    settings.max_body_bytes = 100;
    settings.time_limit = Duration::from_millis(300);
    let client = HttpClient::new(settings).expect("a client");
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1000));
    for answer in [ok("", &"x".repeat(101)), endless] {
        let server = Server::saying(answer).await;
        let url = format!("http://127.0.0.1:{}/", server.port);
        let error = client.send(HttpRequest::get(address(&url))).await.expect_err("too large");
        assert!(matches!(error, HttpError::TooLarge(100)), "{error:?}");
    }
    for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"] {
        let server = Server::saying(answer).await;
        let url = format!("http://127.0.0.1:{}/", server.port);
        let error = client.send(HttpRequest::get(address(&url))).await.expect_err("too late");
        assert!(matches!(error, HttpError::Timeout(_)) && error.is_temporary(), "{error:?}");
    }
}

#[tokio::test]
async fn connections_are_kept_and_origins_are_apart() {
    let (one, two) = (Server::saying(ok("", "one")).await, Server::saying(ok("", "two")).await);
    let client =
        HttpClient::new(HttpSettings::new(open(Names::saying(&[&[HERE]])))).expect("a client");
    for _ in 0..5 {
        for (server, expected) in [(&one, "one"), (&two, "two")] {
            let url = format!("http://both.test:{}/", server.port);
            let answer = client.send(HttpRequest::get(address(&url))).await.expect("an answer");
            assert_eq!(answer.body, expected.as_bytes());
        }
    }
    assert_eq!(one.connections.load(Ordering::Relaxed), 1);
    assert_eq!((one.heads().len(), two.heads().len()), (5, 5));
}

#[tokio::test]
async fn a_key_set_comes_over_a_checked_certificate() {
    let body = json!({ "keys": [] }).to_string();
    let server = Server::over_tls(ok("cache-control: max-age=300\r\n", &body)).await;
    let mut settings = HttpSettings::new(open(Names::saying(&[&[HERE]])));
    let url = format!("https://idp.test:{}/jwks", server.port);
    let strict = HttpKeySets::with(settings.clone()).expect("a client");
    let error = strict.fetch(&url).await.expect_err("nobody vouches for it");
    assert!(matches!(error, KeySetError::Unreachable(_)), "{error:?}");

    settings.authorities.extend(server.authority.clone());
    let trusting = HttpKeySets::with(settings).expect("a client");
    let document = trusting.fetch(&url).await.expect("a document");
    assert_eq!(document.json, json!({ "keys": [] }));
    assert_eq!(document.fresh_for, Some(Duration::from_mins(5)));
    let other = format!("https://other.test:{}/jwks", server.port);
    assert!(trusting.fetch(&other).await.is_err(), "the certificate is not for that name");
}

#[tokio::test]
async fn a_document_that_cannot_be_used_says_why() {
    let gate = open(Names::saying(&[&[HERE]]));
    let source = HttpKeySets::new(gate).expect("a client");
    let large = format!("{{\"keys\": \"{}\"}}", "x".repeat(300 * 1024));
    for (answer, expected) in [
        (ok("", "{\"keys\":"), KeySetError::Unusable("it is not JSON")),
        (ok("", "[]"), KeySetError::Unusable("it is not a JSON object")),
        (ok("", &large), KeySetError::Unusable("it is larger than 256 KiB")),
        ("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n".to_owned(), KeySetError::Status(404)),
        (
            "HTTP/1.1 301 No\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n".to_owned(),
            KeySetError::Status(301),
        ),
    ] {
        let server = Server::saying(answer).await;
        let url = format!("http://127.0.0.1:{}/jwks", server.port);
        assert_eq!(source.fetch(&url).await.expect_err("unusable"), expected);
    }
    for url in [
        "",
        "jwks",
        "http://idp.test/jwks",
        "ftp://127.0.0.1/",
        "https://u:p@idp.test/",
        "https://idp.test/#x",
    ] {
        assert_eq!(source.fetch(url).await.expect_err(url), KeySetError::InvalidUrl, "{url}");
    }
    let error = source.fetch("https://192.168.7.7/jwks").await.expect_err("inner");
    assert!(matches!(&error, KeySetError::Forbidden(_)) && !error.is_temporary(), "{error:?}");
}

fn call(method: &'static str, url: String, body: Option<&str>) -> OutwardCall {
    OutwardCall {
        method,
        url,
        headers: vec![("authorization".to_owned(), "canary".to_owned())],
        body: body.map(|it| it.as_bytes().to_vec()),
        time: Duration::from_secs(5),
    }
}

fn redirect(status: &str, to: &str) -> String {
    format!("HTTP/1.1 {status}\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

#[tokio::test]
async fn a_call_of_a_workflow_takes_neither_secret_nor_body_to_another_origin() {
    let other = Server::saying(ok("connection: close\r\n", "there")).await;
    let there = format!("http://127.0.0.1:{}/", other.port);
    let calls = HttpCalls::new(open(Names::saying(&[&[HERE]]))).expect("made");
    let server = Server::saying(redirect("307 Temporary Redirect", &there)).await;
    let url = format!("http://127.0.0.1:{}/x", server.port);
    let refused = calls.call(call("POST", url.clone(), Some("{}"))).await.expect_err("elsewhere");
    assert!(!refused.is_temporary && refused.message.contains("another origin"), "{refused:?}");
    assert_eq!(other.connections.load(Ordering::Relaxed), 0);

    let answer = calls.call(call("GET", url, None)).await.expect("followed");
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"there"[..]));
    assert!(server.heads().iter().all(|it| it.contains("authorization: canary")));
    assert!(!other.heads()[0].contains("canary"));

    // A redirect that would send the call again without its body is the receiver's answer.
    let server = Server::saying(redirect("303 See Other", &there)).await;
    let url = format!("http://127.0.0.1:{}/x", server.port);
    assert_eq!(calls.call(call("POST", url, Some("{}"))).await.expect("answered").status, 303);
    assert_eq!(other.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_gate_judges_each_redirect_of_a_call_and_a_ring_of_them_ends() {
    let calls = HttpCalls::new(open(Names::saying(&[&[HERE]]))).expect("made");
    let inner = Server::saying(redirect("302 Found", &format!("http://{INNER}/"))).await;
    let url = format!("http://127.0.0.1:{}/", inner.port);
    let refused = calls.call(call("GET", url, None)).await.expect_err("inner");
    assert!(!refused.is_temporary, "{refused:?}");
    let ring = Server::saying(redirect("302 Found", "/")).await;
    let url = format!("http://127.0.0.1:{}/", ring.port);
    let refused = calls.call(call("GET", url, None)).await.expect_err("a ring");
    assert!(refused.message.contains("redirects"), "{refused:?}");
    assert_eq!(ring.heads().len(), 4);
}

#[tokio::test]
async fn of_a_large_answer_the_beginning_is_read_and_a_late_one_is_given_up() {
    let calls = HttpCalls::new(open(Names::saying(&[&[HERE]]))).expect("made");
    let large = Server::saying(ok("", &"x".repeat(300 * 1024))).await;
    let url = format!("http://127.0.0.1:{}/", large.port);
    let answer = calls.call(call("POST", url, Some("{}"))).await.expect("it said yes");
    assert_eq!((answer.status, answer.body.len()), (200, 256 * 1024));

    let silent = Server::saying("").await;
    let mut late = call("POST", format!("http://127.0.0.1:{}/", silent.port), None);
    late.time = Duration::from_millis(300);
    assert!(calls.call(late).await.expect_err("late").is_temporary);
}
