//! From a target to a session: judge the address, dial it, agree on TLS, log in.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use plinth_connections::{ChannelBinding, Diagnosis, Fault, Place, SslMode, Stage, Target, Tunnel};
use plinth_egress::Gate;
use postgres_protocol::message::frontend;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::diagnose;
use crate::login;
use crate::session::Session;
use crate::settings::ManagedServers;
use crate::ssh::{Channel, Ssh, TunnelSlot, channel_failure};
use crate::stream::{Socket, Stream};
use crate::tls::Tls;

/// How long one address is tried alone before the next one is tried beside it.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// A connection on which nothing has moved for so long is asked whether its other end is there, then again so often and so many times.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

/// For how long sent data may stay unacknowledged before the connection counts as broken.
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(30);

/// How long to listen for one more byte of what is not Postgres.
const HEAR_LIMIT: Duration = Duration::from_millis(200);

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
    /// A new session on the target's database. `slot` is where it finds the SSH session that its pool has in common, if the target is
    /// behind a bastion.
    pub(crate) async fn open(
        &self,
        target: &Target,
        slot: &TunnelSlot,
    ) -> Result<Session, Diagnosis> {
        let deadline = Instant::now() + self.limit;
        let route = match (&target.place, &target.tunnel) {
            // The bastion looks the database's host up and dials it: whom it can reach is its own network's business.
            (Place::Typed { host, port }, Some(tunnel)) => {
                Route::Tunnel { tunnel, slot, host: host.as_str(), port: *port }
            }
            (Place::Typed { host, port }, None) => {
                let admitted = self.gate.admit_database(host.as_str(), *port, &target.database);
                Route::Direct(
                    timeout_at(deadline, admitted)
                        .await
                        .map_err(|_| diagnose::timed_out(Stage::Resolve, target))?
                        .map_err(|it| diagnose::refusal(&it))?,
                )
            }
            (Place::Managed { server }, _) => {
                let address = self.managed.address(server);
                Route::Direct(vec![address.ok_or_else(|| diagnose::not_running(server))?])
            }
        };
        let encrypt = target.ssl_mode != SslMode::Disable;
        match self.attempt(target, &route, encrypt, deadline).await {
            // As libpq does: whoever prefers TLS takes what there is. Not where the login must be tied to TLS.
            Err(it)
                if target.ssl_mode == SslMode::Prefer
                    && target.tls.channel_binding != ChannelBinding::Require
                    && falls_back(it.fault) =>
            {
                self.attempt(target, &route, false, deadline).await.map_err(|second| {
                    // What it said without TLS tells more if it is no Postgres at all.
                    if second.fault == Fault::NotPostgres { second } else { it }
                })
            }
            other => other,
        }
    }

    async fn attempt(
        &self,
        target: &Target,
        route: &Route<'_>,
        encrypt: bool,
        deadline: Instant,
    ) -> Result<Session, Diagnosis> {
        let (socket, way) = match route {
            Route::Direct(addresses) => {
                let socket = timeout_at(deadline, connect(addresses))
                    .await
                    .map_err(|_| diagnose::timed_out(Stage::Connect, target))?
                    .map_err(|it| diagnose::connect(&it, target))?;
                let address = socket.peer_addr().map_err(|it| diagnose::connect(&it, target))?;
                (Socket::Tcp(socket), Way::Direct(address))
            }
            Route::Tunnel { tunnel, slot, host, port } => {
                let channel = timeout_at(deadline, self.channel(tunnel, slot, host, *port, target))
                    .await
                    .map_err(|_| diagnose::tunnel_timed_out(tunnel))??;
                let ssh = channel.ssh().clone();
                let way = Way::Tunnel { ssh, host: (*host).to_owned(), port: *port };
                (Socket::Tunnel(Box::new(channel)), way)
            }
        };
        let (stream, tls) = if encrypt {
            timeout_at(deadline, self.encrypt(socket, &way, target))
                .await
                .map_err(|_| diagnose::timed_out(Stage::Tls, target))??
        } else {
            (Stream::Plain(socket), None)
        };
        let cancel = Cancel { way, tls, key: None };
        timeout_at(deadline, login::log_in(stream, target, cancel))
            .await
            .map_err(|_| diagnose::timed_out(Stage::Auth, target))?
    }

    /// A connection through the bastion, by the SSH session that there is or a new one.
    async fn channel(
        &self,
        tunnel: &Tunnel,
        slot: &TunnelSlot,
        host: &str,
        port: u16,
        target: &Target,
    ) -> Result<Channel, Diagnosis> {
        let mut again = true;
        loop {
            let ssh = slot.get(self.reach_bastion(tunnel)).await?;
            match ssh.channel(host, port).await {
                Ok(channel) => return Ok(channel),
                Err(error) => match channel_failure(&error, tunnel, target) {
                    Some(diagnosis) => return Err(diagnosis),
                    // The session had ended, and nobody had noticed.
                    None if again => {
                        again = false;
                        slot.forget(&ssh).await;
                    }
                    None => return Err(diagnose::tunnel_handshake(&error, tunnel)),
                },
            }
        }
    }

    async fn reach_bastion(&self, tunnel: &Tunnel) -> Result<Ssh, Diagnosis> {
        let addresses = self
            .gate
            .admit(tunnel.host.as_str(), tunnel.port)
            .await
            .map_err(|it| diagnose::tunnel_refusal(&it))?;
        let socket =
            connect(&addresses).await.map_err(|it| diagnose::tunnel_unreachable(&it, tunnel))?;
        Ssh::open(socket, tunnel).await
    }

    async fn encrypt(
        &self,
        mut socket: Socket,
        way: &Way,
        target: &Target,
    ) -> Result<(Stream, Option<CancelTls>), Diagnosis> {
        let answer = ask_for_tls(&mut socket).await.map_err(|it| match it.kind() {
            io::ErrorKind::TimedOut => diagnose::timed_out(Stage::Tls, target),
            _ => diagnose::cut(Stage::Tls, target),
        })?;
        match answer {
            b'S' => {
                let name = server_name(target, way);
                let connector = self.tls.connector(target).map_err(|it| diagnose::material(&it))?;
                let stream = connector
                    .connect(name.clone(), socket)
                    .await
                    .map_err(|it| diagnose::tls(&it, target))?;
                Ok((Stream::Tls(Box::new(stream)), Some(CancelTls { connector, name })))
            }
            b'N' if target.ssl_mode == SslMode::Prefer => Ok((Stream::Plain(socket), None)),
            b'N' => Err(diagnose::tls_not_offered(target.ssl_mode)),
            // Its words stay unread: anybody on the way could have put them there.
            b'E' => Err(diagnose::refused_before_tls()),
            other => {
                let heard = heard(other, &mut socket).await;
                Err(diagnose::not_postgres_but(Stage::Tls, target, &heard))
            }
        }
    }
}

/// Where a session is to be dialled.
enum Route<'a> {
    /// Judged addresses.
    Direct(Vec<SocketAddr>),
    Tunnel {
        tunnel: &'a Tunnel,
        slot: &'a TunnelSlot,
        host: &'a str,
        port: u16,
    },
}

/// After which faults of an encrypted attempt somebody who only prefers TLS is served without. A certificate is looked at in that mode
/// only if authorities were given.
fn falls_back(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::TlsFailed
            | Fault::CertificateUntrusted
            | Fault::CertificateExpired
            | Fault::ClientCertificate
            | Fault::NotAdmitted
    )
}

/// A little more of what something says that is not Postgres, to tell what it is.
async fn heard(first: u8, socket: &mut Socket) -> Vec<u8> {
    let mut bytes = vec![first];
    while bytes.len() < 5 {
        match timeout(HEAR_LIMIT, socket.read_u8()).await {
            Ok(Ok(byte)) => bytes.push(byte),
            _ => break,
        }
    }
    bytes
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
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_LIMIT))?;
    Ok(())
}

/// Sends an `SSLRequest` and reads the one byte of its answer: not a byte more, so that nothing which somebody on the way sent along in
/// clear can be taken for something that came through TLS.
async fn ask_for_tls(socket: &mut Socket) -> io::Result<u8> {
    let mut request = BytesMut::with_capacity(8);
    frontend::ssl_request(&mut request);
    socket.write_all(&request).await?;
    socket.read_u8().await
}

/// Whom to ask for in the handshake and, with `verify-full`, in the certificate.
fn server_name(target: &Target, way: &Way) -> ServerName<'static> {
    match (&target.place, way) {
        // A host is a name or an address, and the type takes both.
        (Place::Typed { host, .. }, _) => {
            let host = host.as_str();
            let host = host.strip_suffix('.').unwrap_or(host);
            ServerName::try_from(host.to_owned()).unwrap_or_else(|_| nobody())
        }
        (Place::Managed { .. }, Way::Direct(address)) => ServerName::IpAddress(address.ip().into()),
        (Place::Managed { .. }, Way::Tunnel { .. }) => nobody(),
    }
}

/// No certificate names this address: whoever has no name that can stand in a certificate fails where names count.
fn nobody() -> ServerName<'static> {
    ServerName::IpAddress(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED).into())
}

/// How to ask a server to stop what a session is doing.
#[derive(Clone)]
pub(crate) struct Cancel {
    way: Way,
    tls: Option<CancelTls>,
    /// The backend's process id and its secret; `None` if the server gave none.
    pub(crate) key: Option<(i32, i32)>,
}

#[derive(Clone)]
struct CancelTls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

/// How a session got to its server; a cancel request goes the same way.
#[derive(Clone)]
enum Way {
    /// Judged when the session was dialled.
    Direct(SocketAddr),
    Tunnel {
        ssh: Arc<Ssh>,
        host: String,
        port: u16,
    },
}

impl Way {
    async fn connect(&self) -> io::Result<Socket> {
        match self {
            Self::Direct(address) => {
                let socket = TcpStream::connect(address).await?;
                tune(&socket)?;
                Ok(Socket::Tcp(socket))
            }
            Self::Tunnel { ssh, host, port } => {
                let channel = ssh.channel(host, *port).await.map_err(io::Error::other)?;
                Ok(Socket::Tunnel(Box::new(channel)))
            }
        }
    }
}

impl Cancel {
    /// Whether what is sent in clear could be read by others than the machine's own users, and from where on.
    pub(crate) fn in_clear_from(&self) -> Option<&'static str> {
        match &self.way {
            Way::Direct(address) if address.ip().is_loopback() => None,
            Way::Direct(_) => Some("on the way"),
            Way::Tunnel { host, .. } if host == "localhost" => None,
            Way::Tunnel { host, .. } => {
                let loopback = host.parse::<std::net::IpAddr>().is_ok_and(|it| it.is_loopback());
                (!loopback).then_some("between the bastion and the database")
            }
        }
    }

    /// Asks, and waits until the server has passed it on, at most some seconds.
    pub(crate) async fn send(&self) {
        let Some((process, secret)) = self.key else { return };
        let send = async {
            let mut socket = self.way.connect().await?;
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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_socket_notices_when_the_other_end_is_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let direct = connect(&[address]).await.expect("connected");
        let Ok(Socket::Tcp(cancel)) = Way::Direct(address).connect().await else {
            panic!("not connected")
        };
        for socket in [direct, cancel] {
            assert!(socket.nodelay().expect("readable"));
            let socket = SockRef::from(&socket);
            assert!(socket.keepalive().expect("readable"));
            #[cfg(target_os = "linux")]
            {
                assert_eq!(socket.tcp_keepalive_time().expect("readable"), KEEPALIVE_AFTER);
                assert_eq!(socket.tcp_keepalive_interval().expect("readable"), KEEPALIVE_EVERY);
                assert_eq!(socket.tcp_keepalive_retries().expect("readable"), KEEPALIVE_RETRIES);
                let limit = socket.tcp_user_timeout().expect("readable");
                assert_eq!(limit, Some(UNACKNOWLEDGED_LIMIT));
            }
        }
    }
}
