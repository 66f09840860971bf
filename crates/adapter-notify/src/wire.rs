//! From a mail server's name to a stream on which SMTP can be spoken: resolve, dial, encrypt.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use lettre::transport::smtp::client::AsyncTokioStream;
use lettre::transport::smtp::extension::ClientId;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
    ReadBuf,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::settings::SmtpTls;

/// How long one of several addresses may take to answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The longest answer that is read before there is TLS, in bytes. Real ones have some hundred.
const MAX_ANSWER: u64 = 64 * 1024;

/// Why there is no stream. The text is for operators.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("the mail server could not be reached: {0}")]
    Connect(io::Error),
    #[error("the mail server hung up or answered with something else than SMTP: {0}")]
    Greeting(io::Error),
    #[error("the mail server refuses to talk: {0}")]
    Refused(String),
    #[error("the mail server offers no encryption (STARTTLS)")]
    NoStartTls,
    #[error("the mail server sent more than its answer before the connection was encrypted")]
    Injected,
    #[error("the connection could not be encrypted: {0}")]
    Tls(io::Error),
}

/// A connection to a mail server, encrypted or not.
#[derive(Debug)]
enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection whose greeting was read already, and is given once more to whoever reads first: after `STARTTLS` a
/// server does not greet again, and the client library waits for a greeting.
#[derive(Debug)]
pub(crate) struct Wire {
    greeting: &'static [u8],
    socket: Socket,
    peer: SocketAddr,
}

/// How to reach a server.
pub(crate) struct Dial<'a> {
    pub(crate) admitted: &'a [SocketAddr],
    pub(crate) name: ServerName<'static>,
    pub(crate) tls: SmtpTls,
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) hello: &'a ClientId,
}

impl Dial<'_> {
    /// A stream to the first of the addresses that answers; says whether it is encrypted.
    pub(crate) async fn open(self) -> Result<(Wire, bool), WireError> {
        let socket = connect(self.admitted).await.map_err(WireError::Connect)?;
        let peer = socket.peer_addr().map_err(WireError::Connect)?;
        let encrypt = async |socket: TcpStream| {
            let connector = TlsConnector::from(self.config.clone());
            let stream = connector.connect(self.name.clone(), socket).await;
            Ok(Socket::Tls(Box::new(stream.map_err(WireError::Tls)?)))
        };
        if self.tls == SmtpTls::Implicit {
            return Ok((Wire { greeting: b"", socket: encrypt(socket).await?, peer }, true));
        }
        if self.tls == SmtpTls::Off {
            return Ok((Wire { greeting: b"", socket: Socket::Plain(socket), peer }, false));
        }
        let mut socket = BufReader::new(socket);
        answer(&mut socket, 220).await?;
        let offered = ask(&mut socket, &format!("EHLO {}\r\n", self.hello), 250).await;
        let offered = match offered {
            Ok(lines) => lines.iter().any(|it| it.trim().eq_ignore_ascii_case("STARTTLS")),
            Err(error) if self.tls == SmtpTls::Required => return Err(error),
            // A server that knows no EHLO offers nothing.
            Err(WireError::Refused(_)) => false,
            Err(error) => return Err(error),
        };
        let greeting = b"220 again\r\n";
        if !offered {
            if self.tls == SmtpTls::Required {
                return Err(WireError::NoStartTls);
            }
            // Nothing can be waiting: each answer was asked for.
            return Ok((
                Wire { greeting, socket: Socket::Plain(socket.into_inner()), peer },
                false,
            ));
        }
        ask(&mut socket, "STARTTLS\r\n", 220).await?;
        // What somebody on the way put behind the answer in clear would be taken for something that came through TLS.
        if !socket.buffer().is_empty() {
            return Err(WireError::Injected);
        }
        Ok((Wire { greeting, socket: encrypt(socket.into_inner()).await?, peer }, true))
    }
}

async fn connect(admitted: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut failed = None;
    for address in admitted {
        match timeout(CONNECT_LIMIT, TcpStream::connect(*address)).await {
            Ok(Ok(socket)) => {
                socket.set_nodelay(true)?;
                return Ok(socket);
            }
            Ok(Err(error)) => failed = Some(error),
            Err(_) => failed = Some(io::ErrorKind::TimedOut.into()),
        }
    }
    Err(failed.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
}

async fn ask(
    socket: &mut BufReader<TcpStream>,
    command: &str,
    wanted: u16,
) -> Result<Vec<String>, WireError> {
    socket.write_all(command.as_bytes()).await.map_err(WireError::Greeting)?;
    answer(socket, wanted).await
}

/// Reads one answer (RFC 5321, 4.2): the texts of its lines, if its code is the one that is wanted.
async fn answer(socket: &mut BufReader<TcpStream>, wanted: u16) -> Result<Vec<String>, WireError> {
    let odd = || WireError::Greeting(io::ErrorKind::InvalidData.into());
    let mut socket = socket.take(MAX_ANSWER);
    let mut texts = Vec::new();
    loop {
        let mut line = String::new();
        socket.read_line(&mut line).await.map_err(WireError::Greeting)?;
        if line.is_empty() {
            return Err(WireError::Greeting(io::ErrorKind::UnexpectedEof.into()));
        }
        let (code, text) = line.split_at_checked(3).ok_or_else(odd)?;
        let code: u16 = code.parse().map_err(|_| odd())?;
        let is_last = !text.starts_with('-');
        texts.push(text.get(1..).unwrap_or_default().trim_end().to_owned());
        if is_last && code == wanted {
            return Ok(texts);
        }
        if is_last {
            return Err(WireError::Refused(crate::smtp::words(&format!(
                "{code} {}",
                texts.join(" ")
            ))));
        }
    }
}

impl AsyncTokioStream for Wire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.greeting.is_empty() {
            let (now, later) = self.greeting.split_at(self.greeting.len().min(buffer.remaining()));
            buffer.put_slice(now);
            self.greeting = later;
            return Poll::Ready(Ok(()));
        }
        match &mut self.socket {
            Socket::Plain(it) => Pin::new(it).poll_read(cx, buffer),
            Socket::Tls(it) => Pin::new(it).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Plain(it) => Pin::new(it).poll_write(cx, bytes),
            Socket::Tls(it) => Pin::new(it).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain(it) => Pin::new(it).poll_flush(cx),
            Socket::Tls(it) => Pin::new(it).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain(it) => Pin::new(it).poll_shutdown(cx),
            Socket::Tls(it) => Pin::new(it).poll_shutdown(cx),
        }
    }
}
