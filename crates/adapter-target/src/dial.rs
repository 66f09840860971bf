//! From a target to a session: judge the address, dial it, agree on TLS, log in.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use plinth_connections::{Diagnosis, Fault, Place, SslMode, Stage, Target};
use plinth_egress::Gate;
use postgres_protocol::message::frontend;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsConnector;

use crate::diagnose;
use crate::login;
use crate::session::Session;
use crate::settings::ManagedServers;
use crate::stream::Stream;
use crate::tls::Tls;

/// How long one address is tried alone before the next one is tried beside it.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// For how long sent data may stay unacknowledged before the connection counts as broken.
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(30);

/// How long the way of a cancel request may take.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);

/// Opens sessions.
#[derive(Clone)]
pub(crate) struct Dialer {
    pub(crate) gate: Gate,
    pub(crate) managed: Arc<dyn ManagedServers>,
    pub(crate) tls: Tls,
    pub(crate) limit: Duration,
}

impl Dialer {
    /// A new session on the target's database.
    pub(crate) async fn open(&self, target: &Target) -> Result<Session, Diagnosis> {
        let deadline = Instant::now() + self.limit;
        let addresses = match &target.place {
            Place::Typed { host, port } => timeout_at(
                deadline,
                self.gate.admit_database(host.as_str(), *port, &target.database),
            )
            .await
            .map_err(|_| diagnose::timed_out(Stage::Resolve, target))?
            .map_err(|it| diagnose::refusal(&it))?,
            Place::Managed { server } => {
                vec![self.managed.address(server).ok_or_else(|| diagnose::not_running(server))?]
            }
        };
        let encrypt = target.ssl_mode != SslMode::Disable;
        match self.attempt(target, &addresses, encrypt, deadline).await {
            // As libpq does: whoever prefers TLS takes what there is.
            Err(it)
                if target.ssl_mode == SslMode::Prefer
                    && matches!(it.fault, Fault::TlsFailed | Fault::NotAdmitted) =>
            {
                self.attempt(target, &addresses, false, deadline).await.map_err(|_| it)
            }
            other => other,
        }
    }

    async fn attempt(
        &self,
        target: &Target,
        addresses: &[SocketAddr],
        encrypt: bool,
        deadline: Instant,
    ) -> Result<Session, Diagnosis> {
        let socket = timeout_at(deadline, connect(addresses))
            .await
            .map_err(|_| diagnose::timed_out(Stage::Connect, target))?
            .map_err(|it| diagnose::connect(&it, target))?;
        let address = socket.peer_addr().map_err(|it| diagnose::connect(&it, target))?;
        let (stream, tls) = if encrypt {
            timeout_at(deadline, self.encrypt(socket, address, target))
                .await
                .map_err(|_| diagnose::timed_out(Stage::Tls, target))??
        } else {
            (Stream::Plain(socket), None)
        };
        let cancel = Cancel { address, tls, key: None };
        timeout_at(deadline, login::log_in(stream, target, cancel))
            .await
            .map_err(|_| diagnose::timed_out(Stage::Auth, target))?
    }

    async fn encrypt(
        &self,
        mut socket: TcpStream,
        address: SocketAddr,
        target: &Target,
    ) -> Result<(Stream, Option<CancelTls>), Diagnosis> {
        let answer = ask_for_tls(&mut socket).await.map_err(|it| match it.kind() {
            io::ErrorKind::TimedOut => diagnose::timed_out(Stage::Tls, target),
            _ => diagnose::cut(Stage::Tls, target),
        })?;
        match answer {
            b'S' => {
                let name = server_name(target, address);
                let connector = self.tls.connector(target.ssl_mode).clone();
                let stream = connector
                    .connect(name.clone(), socket)
                    .await
                    .map_err(|it| diagnose::tls(&it, target))?;
                Ok((Stream::Tls(Box::new(stream)), Some(CancelTls { connector, name })))
            }
            b'N' if target.ssl_mode == SslMode::Prefer => Ok((Stream::Plain(socket), None)),
            b'N' => Err(diagnose::tls_not_offered(target.ssl_mode)),
            _ => Err(diagnose::not_postgres(Stage::Tls, target)),
        }
    }
}

/// Tries the addresses in their order, each beside the earlier ones if those do not answer soon.
async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut left = addresses.iter();
    let mut tries = FuturesUnordered::new();
    let mut failed = None;
    tries.extend(left.next().map(|it| TcpStream::connect(*it)));
    loop {
        tokio::select! {
            tried = tries.next() => match tried {
                Some(Ok(socket)) => {
                    tune(&socket)?;
                    return Ok(socket);
                }
                Some(Err(error)) => {
                    failed.get_or_insert(error);
                    tries.extend(left.next().map(|it| TcpStream::connect(*it)));
                }
                None => return Err(failed.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into())),
            },
            () = sleep(NEXT_ADDRESS_AFTER), if left.len() > 0 => {
                tries.extend(left.next().map(|it| TcpStream::connect(*it)));
            }
        }
    }
}

fn tune(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_LIMIT))?;
    Ok(())
}

/// Sends an `SSLRequest` and reads the one byte of its answer: not a byte more, so that nothing which somebody on the way sent along in
/// clear can be taken for something that came through TLS.
async fn ask_for_tls(socket: &mut TcpStream) -> io::Result<u8> {
    let mut request = BytesMut::with_capacity(8);
    frontend::ssl_request(&mut request);
    socket.write_all(&request).await?;
    socket.read_u8().await
}

/// Whom to ask for in the handshake and, with `verify-full`, in the certificate.
fn server_name(target: &Target, address: SocketAddr) -> ServerName<'static> {
    let by_address = ServerName::IpAddress(address.ip().into());
    match &target.place {
        Place::Typed { host, .. } => {
            let host = host.as_str();
            let host = host.strip_suffix('.').unwrap_or(host);
            ServerName::try_from(host.to_owned()).unwrap_or(by_address)
        }
        Place::Managed { .. } => by_address,
    }
}

/// How to ask a server to stop what a session is doing.
#[derive(Clone)]
pub(crate) struct Cancel {
    /// Judged when the session was dialled.
    pub(crate) address: SocketAddr,
    tls: Option<CancelTls>,
    /// The backend's process id and its secret; `None` if the server gave none.
    pub(crate) key: Option<(i32, i32)>,
}

#[derive(Clone)]
struct CancelTls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Cancel {
    /// Asks, and waits until the server has passed it on, at most some seconds.
    pub(crate) async fn send(&self) {
        let Some((process, secret)) = self.key else { return };
        let send = async {
            let mut socket = TcpStream::connect(self.address).await?;
            socket.set_nodelay(true)?;
            let mut stream = match &self.tls {
                None => Stream::Plain(socket),
                Some(tls) => {
                    if ask_for_tls(&mut socket).await? != b'S' {
                        return Err(io::Error::from(io::ErrorKind::InvalidData));
                    }
                    let name = tls.name.clone();
                    Stream::Tls(Box::new(tls.connector.connect(name, socket).await?))
                }
            };
            let mut request = BytesMut::with_capacity(16);
            frontend::cancel_request(process, secret, &mut request);
            stream.write_all(&request).await?;
            stream.flush().await?;
            // The server answers by closing, once the signal is sent.
            let _ = stream.read(&mut [0]).await;
            Ok(())
        };
        match timeout_at(Instant::now() + CANCEL_LIMIT, send).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a cancel request did not get through"),
            Err(_) => tracing::debug!("a cancel request took too long"),
        }
    }
}

impl std::fmt::Debug for Cancel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cancel").finish_non_exhaustive()
    }
}
