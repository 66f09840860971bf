//! The TCP connection, and what listens at its other end.

use std::io;

use plinth_connections::{Diagnosis, Fault, Stage, Target};

use super::{diagnosis, place, words};

pub(crate) fn not_running(server: &str) -> Diagnosis {
    diagnosis(
        Stage::Connect,
        Fault::NotReady,
        format!("Plinth's server `{server}` does not run"),
        "Plinth runs this database server itself, and it is not up at the moment.",
        &["Try again in a moment.", "If it stays so, ask the operator to look at Plinth's log."],
    )
}

pub(crate) fn timed_out(stage: Stage, target: &Target) -> Diagnosis {
    let place = place(target);
    match stage {
        Stage::Resolve => diagnosis(
            stage,
            Fault::TimedOut,
            "Looking up the host took too long",
            "No name server answered in time.",
            &["Try again in a moment.", "Check the spelling of the host."],
        ),
        Stage::Connect => diagnosis(
            stage,
            Fault::TimedOut,
            format!("{place} does not answer"),
            "The connection attempt was neither accepted nor refused. A firewall that drops packets looks like this.",
            &[
                "Allow connections from Plinth's address in the database's firewall, security group or IP allow-list.",
                "Check host and port.",
                "Check that the server is running.",
            ],
        ),
        Stage::Tls | Stage::Auth | Stage::Database | Stage::ReadSchema => diagnosis(
            stage,
            Fault::TimedOut,
            format!("{place} accepted the connection, then fell silent"),
            "Something listens on this port but did not finish the login in time. The server may be overloaded, waking from sleep, or not be Postgres.",
            &[
                "Try again in a moment: a suspended database takes some seconds to wake.",
                "Check that the port is that of Postgres (5432 by default).",
                "Look at the server's load and its log.",
            ],
        ),
    }
}

pub(crate) fn connect(error: &io::Error, target: &Target) -> Diagnosis {
    let place = place(target);
    match error.kind() {
        io::ErrorKind::ConnectionRefused => diagnosis(
            Stage::Connect,
            Fault::ConnectionRefused,
            format!("Nobody listens on {place}"),
            "The machine answered that this port is closed.",
            &[
                "Check the port.",
                "Check that the server is running and that its `listen_addresses` include this address.",
                "Check that a firewall does not reject connections from Plinth.",
            ],
        ),
        io::ErrorKind::TimedOut => timed_out(Stage::Connect, target),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => cut(Stage::Connect, target),
        // These are about Plinth's own machine.
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::AddrInUse
        | io::ErrorKind::OutOfMemory
        | io::ErrorKind::QuotaExceeded => diagnosis(
            Stage::Connect,
            Fault::Unreachable,
            "Plinth's own machine did not let the connection out",
            format!("It said: {}.", words(error)),
            &["Ask the operator of Plinth to look at its firewall and limits."],
        ),
        _ => diagnosis(
            Stage::Connect,
            Fault::Unreachable,
            format!("{place} cannot be reached"),
            format!("The network said: {}.", words(error)),
            &[
                "Check the host.",
                "Check that Plinth's machine has a route to that network (VPN, peering, IPv6).",
            ],
        ),
    }
}

/// The connection ended before or while logging in.
pub(crate) fn cut(stage: Stage, target: &Target) -> Diagnosis {
    let place = place(target);
    diagnosis(
        stage,
        Fault::Disconnected,
        format!("{place} closed the connection"),
        "The connection was accepted and then cut without a word. A proxy, a firewall or an overloaded server does so; so does a server that demands TLS when it is off.",
        &[
            "Try again in a moment.",
            "If `ssl_mode` is `disable`, try `require`.",
            "Look into the server's log for the reason.",
        ],
    )
}

pub(crate) fn not_postgres(stage: Stage, target: &Target) -> Diagnosis {
    not_postgres_but(stage, target, &[])
}

/// What answers begins with `heard`.
pub(crate) fn not_postgres_but(stage: Stage, target: &Target, heard: &[u8]) -> Diagnosis {
    let place = place(target);
    // MySQL greets with a packet of its version 10 of the protocol; the others say who they are.
    let who = match heard {
        [b'H', b'T', b'T', b'P', ..] => "It answers as a web server does.",
        [b'S', b'S', b'H', b'-', ..] => {
            "It answers as an SSH server does; a bastion is given as `tunnel`."
        }
        [_, _, 0, 0, 10, ..] => "It answers as MySQL or MariaDB does.",
        [b'-', b'E', b'R', b'R', ..] => "It answers as Redis does.",
        [0x15, 3, ..] => "It answers as a server for TLS alone does.",
        _ => "A web server, another database or a proxy may be listening there.",
    };
    diagnosis(
        stage,
        Fault::NotPostgres,
        format!("What answers on {place} is not Postgres"),
        format!("It does not speak Postgres's protocol. {who}"),
        &["Check the port: Postgres's own is 5432.", "Check the host."],
    )
}

pub(crate) fn busy() -> Diagnosis {
    diagnosis(
        Stage::Connect,
        Fault::TooManyConnections,
        "All of Plinth's sessions on this database are in use",
        "Plinth keeps to a limit of sessions for each connection, and none became free in time.",
        &["Try again in a moment."],
    )
}
