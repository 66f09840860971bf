//! What protects the way to a database, and what it leads through: certificates, channel binding, an SSH tunnel.
//!
//! Everything here is parsed once, when somebody gives it, with an error that names the field; nothing here does I/O.

mod error;
mod ssh;
#[cfg(test)]
mod tests;
mod tls;
mod tunnel;

pub use error::{InvalidTransport, TransportField};
pub use tls::{ChannelBinding, ClientCertificate, TlsMaterial};
pub use tunnel::{DEFAULT_SSH_PORT, HostKey, Tunnel, TunnelCredential};
