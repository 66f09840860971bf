//! What a server says of itself in its `postmaster.pid`, and whether it answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The part of `postmaster.pid` that we use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PidFile {
    pub(crate) pid: i32,
    /// The port, once the server has written it.
    pub(crate) port: Option<u16>,
    pub(crate) phase: Phase,
}

/// How far a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Ready,
    Stopping,
}

impl PidFile {
    /// `None` if there is no such file, or none that names a process.
    pub(crate) fn read(data: &Path) -> io::Result<Option<Self>> {
        match fs::read_to_string(data.join("postmaster.pid")) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(err),
        }
    }

    /// Lines: pid, data directory, start time, port, socket folder, address, shared memory, status.
    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        // A server in single-user mode writes its number with a minus.
        let pid: i32 = lines.first()?.parse().ok()?;
        let phase = match lines.get(7).copied() {
            Some("ready") => Phase::Ready,
            Some("stopping") => Phase::Stopping,
            _ => Phase::Starting,
        };
        Some(Self { pid: pid.abs(), port: lines.get(3).and_then(|port| port.parse().ok()), phase })
    }
}

/// Where a client on this machine finds a server that listens on these addresses.
pub(crate) fn reachable(listen: &[IpAddr]) -> IpAddr {
    let loopback = listen.iter().find(|address| address.is_loopback());
    match loopback.or(listen.first()) {
        Some(IpAddr::V6(address)) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        Some(address) if !address.is_unspecified() => *address,
        _ => Ipv4Addr::LOCALHOST.into(),
    }
}

/// Whether a Postgres answers there: its first byte to the question for GSSAPI encryption is `G` or
/// `N`.
pub(crate) async fn answers(address: IpAddr, port: u16) -> bool {
    // Length 8, then the code of GSSENCRequest: the one question after which a server does not log
    // that we hang up.
    const QUESTION: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 48];
    let ask = async {
        let mut stream = TcpStream::connect((address, port)).await?;
        stream.write_all(&QUESTION).await?;
        stream.read_u8().await
    };
    matches!(timeout(Duration::from_secs(2), ask).await, Ok(Ok(b'G' | b'N')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_is_read_however_far_it_is_written() {
        let whole = "4711\n/data\n1700000000\n5433\n\n127.0.0.1\n  123 456\nready   \n";
        assert_eq!(
            PidFile::parse(whole),
            Some(PidFile { pid: 4711, port: Some(5433), phase: Phase::Ready })
        );
        let begun = "4711\n/data\n1700000000\n";
        assert_eq!(
            PidFile::parse(begun),
            Some(PidFile { pid: 4711, port: None, phase: Phase::Starting })
        );
        assert_eq!(PidFile::parse(""), None);
    }

    #[test]
    fn a_server_on_all_addresses_is_reached_on_loopback() {
        let reach = |listen: &[&str]| {
            let listen: Vec<IpAddr> =
                listen.iter().map(|address| address.parse().unwrap()).collect();
            reachable(&listen).to_string()
        };
        assert_eq!(reach(&["0.0.0.0"]), "127.0.0.1");
        assert_eq!(reach(&["::"]), "::1");
        assert_eq!(reach(&["192.0.2.7", "127.0.0.1"]), "127.0.0.1");
        assert_eq!(reach(&["192.0.2.7"]), "192.0.2.7");
    }
}
