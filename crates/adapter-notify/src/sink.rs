//! A mail server for tests: keeps what it is given, and misbehaves on request.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// How long [`SmtpSink::wait_for`] waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether the sink encrypts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SinkTls {
    /// Never.
    #[default]
    Off,
    /// When the client sends `STARTTLS`.
    StartTls,
    /// From the first byte on.
    Implicit,
}

/// What a sink is like.
#[derive(Clone, Debug, Default)]
pub struct SinkSettings {
    /// Whether it encrypts.
    pub tls: SinkTls,
    /// Who may send: user and password. `None` asks nobody.
    pub login: Option<(String, String)>,
    /// Offers `AUTH LOGIN` instead of `AUTH PLAIN`.
    pub only_auth_login: bool,
}

/// What goes wrong at a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The sink says that instead, without a line break at its end. With a code of success it also does what was asked.
    Say(String),
    /// It says nothing any more.
    Silence,
    /// It hangs up.
    HangUp,
}

/// A mail as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The envelope's sender.
    pub from: String,
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// Headers and body, with the dots of SMTP undone.
    pub data: String,
    /// Whether it came through TLS.
    pub encrypted: bool,
    /// Who was logged in.
    pub user: Option<String>,
}

impl Delivery {
    /// The value of a header of the mail, unfolded; not decoded.
    pub fn header(&self, name: &str) -> Option<String> {
        header(&self.data, name)
    }

    /// The plain text, decoded.
    pub fn text(&self) -> String {
        self.part("text/plain")
    }

    /// The HTML, decoded; empty if there is none.
    pub fn html(&self) -> String {
        self.part("text/html")
    }

    /// What an attached file of that name holds, decoded; `None` if there is none.
    pub fn attachment(&self, file_name: &str) -> Option<String> {
        let name = format!("filename=\"{file_name}\"");
        let named = |it: &&str| {
            let place = header(it, "Content-Disposition").unwrap_or_default();
            place.starts_with("attachment") && place.contains(&name)
        };
        self.parts().into_iter().find(named).map(decoded)
    }

    /// The parts of a mail that has several.
    fn parts(&self) -> Vec<&str> {
        let kind_of_all = self.header("Content-Type").unwrap_or_default();
        let boundary = kind_of_all.split("boundary=\"").nth(1).and_then(|it| it.split('"').next());
        let Some(boundary) = boundary else { return Vec::new() };
        let line = format!("--{boundary}");
        self.data.split(&line).map(|it| it.trim_start_matches("\r\n")).collect()
    }

    fn part(&self, kind: &str) -> String {
        let of_kind = |it: &str| header(it, "Content-Type").is_some_and(|it| it.starts_with(kind));
        if of_kind(&self.data) {
            return decoded(&self.data);
        }
        self.parts().into_iter().find(|it| of_kind(it)).map(decoded).unwrap_or_default()
    }
}

fn header(data: &str, name: &str) -> Option<String> {
    let head = data.split("\r\n\r\n").next().unwrap_or_default().replace("\r\n ", " ");
    head.split("\r\n").find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// The body of a mail or a part of one.
fn decoded(part: &str) -> String {
    let body = part.split_once("\r\n\r\n").map_or("", |it| it.1);
    let bytes = match header(part, "Content-Transfer-Encoding").as_deref() {
        Some("base64") => {
            BASE64.decode(body.split_whitespace().collect::<String>()).unwrap_or_default()
        }
        Some("quoted-printable") => {
            let body = body.replace("=\r\n", "");
            let mut pieces = body.split('=');
            let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
            for piece in pieces {
                let (digits, rest) = piece.split_at_checked(2).unwrap_or(("", piece));
                bytes.extend(u8::from_str_radix(digits, 16));
                bytes.extend_from_slice(rest.as_bytes());
            }
            bytes
        }
        _ => body.as_bytes().to_vec(),
    };
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}

/// What every conversation shares.
struct Shared {
    settings: SinkSettings,
    acceptor: TlsAcceptor,
    received: watch::Sender<Vec<Delivery>>,
    faults: Mutex<HashMap<String, Fault>>,
    commands: Mutex<Vec<String>>,
}

/// A mail server on a free port of 127.0.0.1; it ends with this value. Speaks EHLO, STARTTLS, AUTH (PLAIN and LOGIN),
/// MAIL, RCPT, DATA, RSET, NOOP and QUIT.
pub struct SmtpSink {
    address: SocketAddr,
    authority: CertificateDer<'static>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SmtpSink {
    /// One without encryption and login.
    pub async fn start() -> Self {
        Self::with(SinkSettings::default()).await
    }

    /// One like that.
    ///
    /// # Panics
    ///
    /// If the machine has no free port.
    pub async fn with(settings: SinkSettings) -> Self {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let authority = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![authority.clone()], key)
            .expect("a certificate and its key");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            settings,
            acceptor: TlsAcceptor::from(Arc::new(tls)),
            received: watch::Sender::default(),
            faults: Mutex::default(),
            commands: Mutex::default(),
        });
        let all = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let shared = all.clone();
                tokio::spawn(async move {
                    // A client that hangs up is no news.
                    let _ = Conversation::new(shared).hold(socket).await;
                });
            }
        });
        Self { address, authority, shared, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `PLINTH_SMTP_URL` has to be to send here, in the way that the sink speaks.
    pub fn url(&self) -> String {
        let settings = &self.shared.settings;
        let login = settings.login.as_ref().map(|(user, password)| format!("{user}:{password}@"));
        let (scheme, option) = match settings.tls {
            SinkTls::Off => ("smtp", ""),
            SinkTls::StartTls => ("smtp", "?tls=required"),
            SinkTls::Implicit => ("smtps", ""),
        };
        format!("{scheme}://{}{}{option}", login.unwrap_or_default(), self.address)
    }

    /// The certificate that vouches for it, as `localhost` and `127.0.0.1`.
    pub fn authority(&self) -> CertificateDer<'static> {
        self.authority.clone()
    }

    /// What came so far, in that order.
    pub fn received(&self) -> Vec<Delivery> {
        self.shared.received.borrow().clone()
    }

    /// The same, once there are at least that many.
    ///
    /// # Panics
    ///
    /// If there are not within 30 seconds.
    pub async fn wait_for(&self, count: usize) -> Vec<Delivery> {
        let mut received = self.shared.received.subscribe();
        let enough = received.wait_for(|it| it.len() >= count);
        let all = tokio::time::timeout(PATIENCE, enough).await.expect("mail in time");
        all.expect("the sink is there").clone()
    }

    /// The lines that clients sent as commands, without those of logging in.
    pub fn commands(&self) -> Vec<String> {
        self.shared.commands.lock().expect("not poisoned").clone()
    }

    /// From now on that goes wrong at that command (`GREETING`, `EHLO`, `STARTTLS`, `AUTH`, `MAIL`, `RCPT`, `DATA`, or
    /// `END` for what follows the mail's last line); `None` lets it work again.
    pub fn fault(&self, command: &str, fault: Option<Fault>) {
        let mut faults = self.shared.faults.lock().expect("not poisoned");
        match fault {
            Some(fault) => faults.insert(command.to_owned(), fault),
            None => faults.remove(command),
        };
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// What comes after a command.
enum Next {
    GoOn,
    Encrypt,
    End,
}

struct Conversation {
    shared: Arc<Shared>,
    encrypted: bool,
    user: Option<String>,
    from: Option<String>,
    to: Vec<String>,
}

impl Conversation {
    fn new(shared: Arc<Shared>) -> Self {
        Self { shared, encrypted: false, user: None, from: None, to: Vec::new() }
    }

    async fn hold(mut self, socket: tokio::net::TcpStream) -> std::io::Result<()> {
        let mut stream: BufReader<Box<dyn Stream>> =
            if self.shared.settings.tls == SinkTls::Implicit {
                self.encrypted = true;
                BufReader::new(Box::new(self.shared.acceptor.accept(socket).await?))
            } else {
                BufReader::new(Box::new(socket))
            };
        if !self.say(&mut stream, "GREETING", "220 sink.test ESMTP").await? {
            return Ok(());
        }
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            match self.obey(&mut stream, line.trim_end()).await? {
                Next::GoOn => {}
                Next::End => return Ok(()),
                Next::Encrypt => {
                    let acceptor = self.shared.acceptor.clone();
                    let encrypted = acceptor.accept(stream.into_inner()).await?;
                    stream = BufReader::new(Box::new(encrypted));
                    self.encrypted = true;
                }
            }
        }
    }

    /// Says that, or what the fault of that command is; says whether the command is to be done.
    async fn say(
        &self,
        stream: &mut BufReader<Box<dyn Stream>>,
        command: &str,
        usual: &str,
    ) -> std::io::Result<bool> {
        let fault = self.shared.faults.lock().expect("not poisoned").get(command).cloned();
        let text = match fault {
            None => usual.to_owned(),
            Some(Fault::Say(text)) => text,
            Some(Fault::HangUp) => return Err(std::io::ErrorKind::ConnectionAborted.into()),
            Some(Fault::Silence) => std::future::pending().await,
        };
        stream.write_all(format!("{text}\r\n").as_bytes()).await?;
        stream.flush().await?;
        Ok(text.starts_with(['2', '3']))
    }

    async fn obey(
        &mut self,
        stream: &mut BufReader<Box<dyn Stream>>,
        line: &str,
    ) -> std::io::Result<Next> {
        let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        let mut commands = vec![line.to_owned()];
        if verb == "AUTH" {
            commands = vec!["AUTH".to_owned()];
        }
        self.shared.commands.lock().expect("not poisoned").append(&mut commands);
        let path = || {
            let inner = line.split_once('<').and_then(|it| it.1.split_once('>'));
            inner.map(|it| it.0.to_owned()).unwrap_or_default()
        };
        match verb.as_str() {
            "EHLO" => {
                let settings = &self.shared.settings;
                let mut lines = vec!["sink.test", "8BITMIME", "SMTPUTF8"];
                if settings.tls == SinkTls::StartTls && !self.encrypted {
                    lines.push("STARTTLS");
                } else if settings.login.is_some() {
                    lines.push(if settings.only_auth_login { "AUTH LOGIN" } else { "AUTH PLAIN" });
                }
                let last = lines.len() - 1;
                let text: Vec<String> = lines
                    .iter()
                    .enumerate()
                    .map(|(at, it)| format!("250{}{it}", if at == last { ' ' } else { '-' }))
                    .collect();
                self.say(stream, "EHLO", &text.join("\r\n")).await?;
            }
            "STARTTLS" if self.shared.settings.tls == SinkTls::StartTls && !self.encrypted => {
                if self.say(stream, "STARTTLS", "220 go ahead").await? {
                    return Ok(Next::Encrypt);
                }
            }
            "AUTH" => self.log_in(stream, line).await?,
            "MAIL" | "RCPT" if self.shared.settings.login.is_some() && self.user.is_none() => {
                self.say(stream, &verb, "530 5.7.0 log in first").await?;
            }
            "MAIL" => {
                if self.say(stream, "MAIL", "250 fine").await? {
                    self.from = Some(path());
                }
            }
            "RCPT" => {
                if self.say(stream, "RCPT", "250 fine").await? {
                    self.to.push(path());
                }
            }
            "DATA" if self.from.is_some() && !self.to.is_empty() => {
                if self.say(stream, "DATA", "354 go ahead").await? {
                    let data = read_data(stream).await?;
                    if self.say(stream, "END", "250 taken").await? {
                        let delivery = Delivery {
                            from: self.from.take().unwrap_or_default(),
                            to: std::mem::take(&mut self.to),
                            data,
                            encrypted: self.encrypted,
                            user: self.user.clone(),
                        };
                        self.shared.received.send_modify(|it| it.push(delivery));
                    }
                }
            }
            "RSET" | "NOOP" => {
                (self.from, self.to) = (None, Vec::new());
                self.say(stream, &verb, "250 fine").await?;
            }
            "QUIT" => {
                self.say(stream, "QUIT", "221 bye").await?;
                return Ok(Next::End);
            }
            _ => {
                self.say(stream, "OTHER", "503 5.5.1 not now").await?;
            }
        }
        Ok(Next::GoOn)
    }

    async fn log_in(
        &mut self,
        stream: &mut BufReader<Box<dyn Stream>>,
        line: &str,
    ) -> std::io::Result<()> {
        let text = |it: &str| String::from_utf8(BASE64.decode(it.trim()).unwrap_or_default());
        let mut ask = async |what: &str| {
            stream.write_all(format!("334 {}\r\n", BASE64.encode(what)).as_bytes()).await?;
            stream.flush().await?;
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            std::io::Result::Ok(text(&line).unwrap_or_default())
        };
        let words: Vec<&str> = line.split(' ').collect();
        let given = match words[1..] {
            ["PLAIN", initial] => {
                let all = text(initial).unwrap_or_default();
                let mut parts = all.split('\0').skip(1).map(str::to_owned);
                parts.next().zip(parts.next())
            }
            ["LOGIN"] => Some((ask("Username:").await?, ask("Password:").await?)),
            _ => None,
        };
        let is_right = given.is_some() && given == self.shared.settings.login;
        let usual = if is_right { "235 2.7.0 welcome" } else { "535 5.7.8 wrong user or password" };
        if self.say(stream, "AUTH", usual).await? {
            self.user = given.map(|it| it.0);
        }
        Ok(())
    }
}

/// The mail up to its last line, a dot; a dot that begins a line was doubled.
async fn read_data(stream: &mut BufReader<Box<dyn Stream>>) -> std::io::Result<String> {
    let mut data = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == ".\r\n" {
            return Ok(data);
        }
        data.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}
