//! The databases that an organization connects: what is known of them, how their credentials are kept, and how to
//! reach them.
//!
//! Read in this order: [`Connection`], then [`Connections`], then the ports [`ConnectionStore`] and
//! [`TargetDatabase`]; [`MasterKey`] and [`DataKey`] keep the secrets.
//!
//! **Invariant:** a password is in clear only inside a [`Target`], which is made for dialling and never stored.

mod allowed;
mod connection;
mod diagnosis;
mod error;
mod ports;
mod service;
#[cfg(feature = "testing")]
pub mod testing;
mod transport;
mod url;
mod vault;

pub use allowed::{AllowedTables, InvalidTableName, TableName};
pub use connection::{
    Connection, ConnectionId, ConnectionName, Host, NewConnection, Place, SslMode, Target,
    server_name,
};
pub use diagnosis::{Diagnosis, Fault, Stage, TestReport};
pub use error::{ConnectionError, InvalidConnection};
pub use ports::{ConnectionStore, InsertError, Stored, TargetDatabase};
pub use service::{Connections, Opened};
pub use transport::{
    ChannelBinding, ClientCertificate, DEFAULT_SSH_PORT, HostKey, InvalidTransport, TlsMaterial,
    TransportField, Tunnel, TunnelCredential,
};
pub use url::{ConnectionUrl, DEFAULT_PORT, InvalidUrl};
pub use vault::{DataKey, InstallationKey, Location, MasterKey, Sealed, VaultError};
