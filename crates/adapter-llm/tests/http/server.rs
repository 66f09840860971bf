//! A server that speaks the protocol by a script.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use plinth_adapter_llm::{ClientSettings, Endpoint, ModelClient};
use plinth_egress::{Gate, Resolver};
use plinth_models::Provider;
use plinth_nl2sql::model::{Message, ModelRequest, Role};
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpListener,
    sync::watch,
};

/// The key of every client here. No error and no log line may hold it.
pub(crate) const KEY: &str = "sk-test-4f9d1c7a-never-shown";

/// What the server does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Line {
    /// Answers with that status, those header lines, and that body.
    Answer(u16, &'static str, String),
    /// Announces more than it sends, and hangs up.
    HalfABody,
    /// Sends without end and without announcing how much.
    Endless,
    /// Reads the request and never answers.
    Silence,
    /// Hangs up at once.
    HangUp,
    /// Answers well with that content type and body, in chunks of a few bytes.
    Stream(&'static str, String),
    /// The same, and hangs up without having ended.
    CutStream(&'static str, String),
    /// The same, and then says nothing more.
    Drip(&'static str, String),
}

impl Line {
    /// A completion with that text.
    pub(crate) fn says(text: &str) -> Self {
        let body = json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1_763_650_000, "model": "tiny",
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 120, "completion_tokens": 9, "total_tokens": 129 },
        });
        Self::Answer(200, "", body.to_string())
    }

    /// A refusal in the protocol's form.
    pub(crate) fn error(status: u16, headers: &'static str, code: &str, message: &str) -> Self {
        let error = json!({ "error": { "message": message, "type": "invalid_request_error", "code": code } });
        Self::Answer(status, headers, error.to_string())
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) head: String,
    pub(crate) body: Value,
}

pub(crate) struct Server {
    pub(crate) base_url: String,
    /// Who vouches for it over TLS, as PEM.
    pub(crate) authority: Option<String>,
    received: Arc<Mutex<Vec<Received>>>,
    gone: watch::Receiver<usize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Starts one that says those lines in order, the last one again and again.
    pub(crate) async fn saying(lines: impl IntoIterator<Item = Line>) -> Self {
        Self::start(lines.into_iter().collect(), None).await
    }

    /// The same over TLS, with a certificate of its own for `localhost`.
    pub(crate) async fn over_tls(lines: impl IntoIterator<Item = Line>) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        Self::start(lines.into_iter().collect(), Some(made)).await
    }

    async fn start(lines: Vec<Line>, tls: Option<rcgen::CertifiedKey<rcgen::KeyPair>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let base_url = match &tls {
            None => format!("http://{address}/v1"),
            Some(_) => format!("https://localhost:{}/v1", address.port()),
        };
        let authority = tls.as_ref().map(|it| it.cert.pem());
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
        let lines: Arc<Vec<Line>> = Arc::new(lines);
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (gone_tx, gone) = watch::channel(0);
        let gone_tx = Arc::new(gone_tx);
        let log = received.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (lines, log, gone) = (lines.clone(), log.clone(), gone_tx.clone());
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    match acceptor {
                        None => drop(serve(stream, &lines, &log).await),
                        Some(it) => {
                            if let Ok(stream) = it.accept(stream).await {
                                drop(serve(stream, &lines, &log).await);
                            }
                        }
                    }
                    gone.send_modify(|it| *it += 1);
                });
            }
        });
        Self { base_url, authority, received, gone, task }
    }

    /// Its address without any path.
    pub(crate) fn host_url(&self) -> String {
        self.base_url.trim_end_matches("/v1").to_owned()
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().expect("not poisoned").clone()
    }

    /// Comes back once the client has let a connection go.
    pub(crate) async fn is_left(&self) {
        let mut gone = self.gone.clone();
        let left = gone.wait_for(|it| *it > 0);
        tokio::time::timeout(Duration::from_secs(10), left).await.expect("in time").expect("alive");
    }

    /// A client of it, impatient between tries.
    pub(crate) fn client(&self, time_limit: Duration) -> ModelClient {
        client(of_operator(&self.base_url), time_limit)
    }
}

/// Every name is this machine's.
pub(crate) struct Here;

#[async_trait]
impl Resolver for Here {
    async fn resolve(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(vec![[127, 0, 0, 1].into()])
    }
}

/// An endpoint that the operator named.
pub(crate) fn of_operator(base_url: &str) -> Endpoint {
    let gate = Gate::new(Arc::new(Here), [], []).of_operator();
    Endpoint::new(base_url, gate).expect("a URL")
}

pub(crate) fn client(endpoint: Endpoint, time_limit: Duration) -> ModelClient {
    let mut settings =
        ClientSettings::new(Provider::OpenAi, endpoint, "tiny", Some(KEY.into()), time_limit);
    settings.backoff = Duration::from_millis(1);
    ModelClient::new(settings).expect("a client")
}

/// A request like those of the strategy.
pub(crate) fn request() -> ModelRequest {
    ModelRequest {
        messages: vec![
            Message::new(Role::System, "rules"),
            Message::new(Role::User, "{\"question\": \"how many?\"}"),
        ],
        temperature: 0.0,
        max_tokens: 500,
        json: true,
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    lines: &[Line],
    log: &Mutex<Vec<Received>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let length = head
            .lines()
            .filter_map(|it| it.split_once(':'))
            .find(|it| it.0.eq_ignore_ascii_case("content-length"))
            .and_then(|it| it.1.trim().parse().ok())
            .unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let line = {
            let mut log = log.lock().expect("not poisoned");
            log.push(Received { head, body: serde_json::from_slice(&body).unwrap_or_default() });
            lines[(log.len() - 1).min(lines.len() - 1)].clone()
        };
        match line {
            Line::Answer(status, headers, body) => {
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).await?;
                stream.flush().await?;
            }
            Line::HalfABody => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"choices\": [")
                    .await?;
                return Ok(());
            }
            Line::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                loop {
                    stream.write_all(&[b' '; 8192]).await?;
                }
            }
            Line::Silence => {
                stream.read_u8().await?;
            }
            Line::HangUp => return Ok(()),
            Line::Stream(content_type, ref body)
            | Line::CutStream(content_type, ref body)
            | Line::Drip(content_type, ref body) => {
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).await?;
                // Pieces that end in the middle of lines and letters.
                for piece in body.as_bytes().chunks(61) {
                    let size = format!("{:x}\r\n", piece.len());
                    stream.write_all(&[size.as_bytes(), piece, b"\r\n"].concat()).await?;
                }
                match line {
                    Line::Stream(..) => stream.write_all(b"0\r\n\r\n").await?,
                    Line::Drip(..) => {
                        stream.flush().await?;
                        stream.read_u8().await?;
                    }
                    _ => return Ok(()),
                }
                stream.flush().await?;
            }
        }
    }
}
