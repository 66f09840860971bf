use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, RwLock, Weak};
use std::time::Duration;

use plinth_control_plane::{AddressRange, EndpointEvent, EndpointPlace, SubstrateError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::cell::{Cell, admin};
use crate::node::Inner;
use crate::{pooler, standby};

/// The address that endpoints' connections come from. Loopback is a whole network only on Linux.
pub(crate) const SOURCE: Option<Ipv4Addr> =
    if cfg!(target_os = "linux") { Some(Ipv4Addr::new(127, 0, 0, 2)) } else { None };

/// How often it is looked whether an endpoint is idle.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// An endpoint's open port.
pub(crate) struct Front {
    place: Arc<RwLock<EndpointPlace>>,
    serving: JoinHandle<()>,
    pooling: Option<JoinHandle<()>>,
    watching: JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        // With it go its listener and its connections.
        self.serving.abort();
        if let Some(pooling) = &self.pooling {
            pooling.abort();
        }
        self.watching.abort();
    }
}

impl Front {
    /// Opens the port.
    pub(crate) async fn open(
        inner: &Arc<Inner>,
        place: EndpointPlace,
    ) -> Result<Self, SubstrateError> {
        let listen = |port: u16| {
            let address = SocketAddr::new(inner.settings.listen, port);
            bind(address).map_err(|err| {
                let text = format!("the endpoint's port {port} cannot be opened: {err}");
                SubstrateError::Failed(text)
            })
        };
        let listener = listen(place.port)?;
        let pooled = place.pooled_port().map(listen).transpose()?;
        let cell = inner.cell(&standby::server(&place)?);
        let place = Arc::new(RwLock::new(place));
        let weak = Arc::downgrade(inner);
        let open = |listener, way| {
            tokio::spawn(serve(listener, way, weak.clone(), place.clone(), cell.clone()))
        };
        let serving = open(listener, Way::Direct);
        let pooling = pooled.map(|listener| open(listener, Way::Pooled));
        let watching = tokio::spawn(watch(weak, place.clone(), cell));
        Ok(Self { place, serving, pooling, watching })
    }

    /// What it leads to.
    pub(crate) fn place(&self) -> EndpointPlace {
        self.place.read().expect("not poisoned").clone()
    }

    /// Whether it can become that without being opened anew.
    pub(crate) fn change(&self, wanted: EndpointPlace) -> bool {
        let mut place = self.place.write().expect("not poisoned");
        let of = |it: &EndpointPlace| (it.port, it.pooled, it.branch.branch.clone());
        if of(&place) != of(&wanted) {
            return false;
        }
        *place = wanted;
        !self.serving.is_finished()
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of an earlier process that are still being let go do not hold the port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(256)
}

/// How a port leads to the server.
#[derive(Clone, Copy)]
enum Way {
    Direct,
    /// Through the pooler.
    Pooled,
}

async fn serve(
    listener: TcpListener,
    way: Way,
    inner: Weak<Inner>,
    place: Arc<RwLock<EndpointPlace>>,
    cell: Arc<Cell>,
) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let (client, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "an endpoint could not take a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(inner) = inner.upgrade() else { return };
        let place = place.read().expect("not poisoned").clone();
        let may_come = |it: &Vec<AddressRange>| it.iter().any(|it| it.contains(from.ip()));
        if place.disabled || !place.allowed.as_ref().is_none_or(may_come) {
            continue;
        }
        let cell = cell.clone();
        connections.spawn(async move {
            let counted = Counted::new(&cell, &inner);
            let server = match way {
                Way::Direct => reach(&inner, &place, &cell).await,
                Way::Pooled => reach_pooler(&inner, &place, &cell).await,
            };
            match server {
                Ok(server) => counted.pass(client, server, &inner).await,
                Err(error) => {
                    tracing::warn!(endpoint = %place.id, error, "a connection could not be handed on");
                }
            }
        });
    }
}

/// A connection while it lasts.
struct Counted<'a> {
    cell: &'a Cell,
}

impl<'a> Counted<'a> {
    fn new(cell: &'a Cell, inner: &Inner) -> Self {
        cell.connections.fetch_add(1, Ordering::AcqRel);
        cell.used_at.store(now_ms(inner), Ordering::Release);
        Self { cell }
    }

    async fn pass(&self, client: TcpStream, server: TcpStream, inner: &Inner) {
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let ((from_client, to_client), (from_server, to_server)) =
            (client.into_split(), server.into_split());
        // A half that ends ends its way only: the other may still have something to say.
        tokio::join!(
            pump(from_client, to_server, self.cell, inner),
            pump(from_server, to_client, self.cell, inner)
        );
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.cell.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, cell: &Cell, inner: &Inner) {
    let mut bytes = vec![0; 32 << 10];
    loop {
        match from.read(&mut bytes).await {
            Ok(read @ 1..) => {
                cell.used_at.store(now_ms(inner), Ordering::Release);
                if to.write_all(&bytes[..read]).await.is_err() {
                    break;
                }
                let read = i64::try_from(read).unwrap_or_default();
                cell.passed.fetch_add(read, Ordering::AcqRel);
            }
            _ => break,
        }
    }
    let _ = to.shutdown().await;
}

fn now_ms(inner: &Inner) -> i64 {
    inner.clock.now().as_millisecond()
}

/// A connection to the branch's server, which is started if it does not run.
async fn reach(
    inner: &Arc<Inner>,
    place: &EndpointPlace,
    cell: &Cell,
) -> Result<TcpStream, String> {
    if let Some(port) = cell.port()
        && let Ok(server) = connect(port).await
    {
        return Ok(server);
    }
    let port = wake(inner, place, cell).await?;
    connect(port).await.map_err(|err| err.to_string())
}

/// A connection to the pooler before the branch's server; both are started if they do not run.
async fn reach_pooler(
    inner: &Arc<Inner>,
    place: &EndpointPlace,
    cell: &Cell,
) -> Result<TcpStream, String> {
    let server = match cell.port() {
        Some(port) => port,
        None => wake(inner, place, cell).await?,
    };
    pooler::reach(inner, place, cell, server).await
}

/// Starts the server, and tells of it. Gives its port.
async fn wake(inner: &Arc<Inner>, place: &EndpointPlace, cell: &Cell) -> Result<u16, String> {
    let started = standby::wake(inner, place).await.map_err(|err| err.to_string())?;
    if started {
        let (org, project) = (place.org, place.branch.project.clone());
        let event = EndpointEvent::Started { org, project, endpoint: place.id.clone() };
        let _ = inner.events.send(event);
    }
    cell.port().ok_or_else(|| "it was stopped again".to_owned())
}

pub(crate) async fn connect(port: u16) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Some(source) = SOURCE {
        socket.bind(SocketAddr::new(IpAddr::V4(source), 0))?;
    }
    socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
}

/// Stops the server when nobody has used it for long enough.
async fn watch(inner: Weak<Inner>, place: Arc<RwLock<EndpointPlace>>, cell: Arc<Cell>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(inner) = inner.upgrade() else { return };
        let place = place.read().expect("not poisoned").clone();
        let used_at = cell.used_at.load(Ordering::Acquire);
        if cell.port().is_some() {
            // Holding it is looking at it.
            let mut held = cell.hold().await;
            if let Err(error) = standby::follow(&inner, &place, &cell, &mut held) {
                tracing::warn!(endpoint = %place.id, %error, "a server could not be told whom it follows");
            }
        }
        if cell.has_died() {
            tell_suspended(&inner, &place, used_at);
        }
        let (Some(seconds), Some(_)) = (place.suspend_after_seconds, cell.port()) else { continue };
        if used_at == 0 {
            // It was taken over, or started by an operation: from now on.
            cell.used_at.store(now_ms(&inner), Ordering::Release);
            continue;
        }
        if now_ms(&inner) - used_at < i64::from(seconds) * 1000 {
            continue;
        }
        let mut held = cell.hold().await;
        if works(&held, seconds).await {
            continue;
        }
        match cell.stop(&inner, &mut held).await {
            Ok(true) => {
                cell.used_at.store(0, Ordering::Release);
                tell_suspended(&inner, &place, used_at);
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(endpoint = %place.id, %error, "an idle endpoint could not be suspended");
            }
        }
    }
}

pub(crate) fn tell_suspended(inner: &Inner, place: &EndpointPlace, used_at_ms: i64) {
    let (org, project) = (place.org, place.branch.project.clone());
    // One that was taken over, and died before anybody looked.
    let used_at_ms = if used_at_ms == 0 { now_ms(inner) } else { used_at_ms };
    let last_active = jiff::Timestamp::from_millisecond(used_at_ms).unwrap_or_default();
    let endpoint = place.id.clone();
    let event = EndpointEvent::Suspended { org, project, endpoint, last_active };
    let _ = inner.events.send(event);
}

/// Whether a statement runs that says nothing for long, or ended a moment ago.
async fn works(held: &crate::cell::Held<'_>, seconds: u32) -> bool {
    let Some(connection) = Cell::connection(held) else { return false };
    let ask = async {
        let client = admin(&connection, "postgres").await?;
        let query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
                     AND (state <> 'idle' OR state_change > now() - make_interval(secs => $1))";
        client.query_one(query, &[&f64::from(seconds)]).await
    };
    match ask.await {
        Ok(row) => row.get::<_, i64>(0) > 0,
        // What does not answer us is nobody's to use.
        Err(_) => false,
    }
}
