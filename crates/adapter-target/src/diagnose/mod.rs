//! What went wrong on the way to a database, in words that help its owner. One file for each part of the way.

mod auth;
mod connect;
mod resolve;
mod server;
mod session;
mod tls;
mod tunnel;

pub(crate) use auth::*;
pub(crate) use connect::*;
pub(crate) use resolve::*;
pub(crate) use server::*;
pub(crate) use session::*;
pub(crate) use tls::*;
pub(crate) use tunnel::*;

use plinth_connections::{Diagnosis, Fault, Place, Stage, Target};

/// The oldest server that is supported, as `server_version_num`: PostgreSQL 12, whose catalogs have everything that introspection reads.
pub(crate) const OLDEST_VERSION: u32 = 12_00_00;

fn diagnosis(
    stage: Stage,
    fault: Fault,
    title: impl Into<String>,
    explanation: impl Into<String>,
    fix_steps: &[&str],
) -> Diagnosis {
    let retryable = matches!(
        fault,
        Fault::TimedOut
            | Fault::Unreachable
            | Fault::ConnectionRefused
            | Fault::TooManyConnections
            | Fault::NotReady
            | Fault::Disconnected
            | Fault::TunnelUnreachable
            | Fault::TunnelTarget
    );
    Diagnosis {
        stage,
        fault,
        title: title.into(),
        explanation: explanation.into(),
        fix_steps: fix_steps.iter().map(|it| (*it).to_owned()).collect(),
        retryable,
    }
}

/// Where a target is, as its owner typed it.
pub(crate) fn place(target: &Target) -> String {
    match &target.place {
        Place::Typed { host, port } => format!("{host}:{port}"),
        Place::Managed { server } => format!("Plinth's own server `{server}`"),
    }
}

/// What an error of the system or of a library says, without a full stop of its own.
pub(crate) fn words(error: &impl std::fmt::Display) -> String {
    error.to_string().trim_end_matches('.').to_owned()
}
