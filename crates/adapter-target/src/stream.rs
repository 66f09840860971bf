use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::ssh::Channel;

/// The transport of a session.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// What carries it.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    /// Through a bastion.
    Tunnel(Box<Channel>),
}

impl Stream {
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Whether nothing has come on a session from which nothing is expected, as far as is known without waiting: a server that
    /// closes, or announces that it will, says so unasked. What had come may be lost: the session is of no more use then.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let socket = match self {
            Self::Plain(it) => it,
            Self::Tls(it) => it.get_mut().0,
        };
        match socket {
            Socket::Tcp(it) => it.peek(&mut [0]).now_or_never().is_none(),
            Socket::Tunnel(it) => is_silent(it),
        }
    }
}

/// A channel cannot be peeked into. It also answers "not yet" after a message that is nothing to us, and wakes whoever asked.
fn is_silent(channel: &mut Channel) -> bool {
    struct Woken(AtomicBool);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    loop {
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(woken.clone());
        let mut byte = [0];
        let mut buf = ReadBuf::new(&mut byte);
        let read = Pin::new(&mut *channel).poll_read(&mut Context::from_waker(&waker), &mut buf);
        match read {
            Poll::Ready(_) => return false,
            Poll::Pending if woken.0.load(Ordering::Relaxed) => {}
            Poll::Pending => return true,
        }
    }
}

macro_rules! delegate {
    ($kind:ty, $($variant:path),+) => {
        impl AsyncRead for $kind {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $($variant(it) => Pin::new(it).poll_read(cx, buf),)+
                }
            }
        }

        impl AsyncWrite for $kind {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    $($variant(it) => Pin::new(it).poll_write(cx, buf),)+
                }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $($variant(it) => Pin::new(it).poll_flush(cx),)+
                }
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $($variant(it) => Pin::new(it).poll_shutdown(cx),)+
                }
            }
        }
    };
}

delegate!(Socket, Socket::Tcp, Socket::Tunnel);
delegate!(Stream, Stream::Plain, Stream::Tls);
