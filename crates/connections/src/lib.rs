//! The databases that an organization connects: what is known of them, how their credentials are kept, and how to
//! reach them.
//!
//! Read in this order: [`Connection`], then [`Connections`] and [`HealthChecks`], then the ports [`ConnectionStore`] and
//! [`TargetDatabase`]. [`Vault`] keeps the secrets, [`Rotation`] puts them under a new master key.
//!
//! **Invariant:** a password is in clear only inside a [`Target`], which is made for dialling and never stored.

mod allowed;
mod checks;
mod connection;
mod credentials;
mod diagnosis;
mod error;
mod health;
pub mod listening;
mod patch;
mod ports;
mod service;
#[cfg(feature = "testing")]
pub mod testing;
mod trail;
mod transport;
mod url;
mod vault;
pub mod writes;

pub use allowed::{AllowedTables, InvalidTableName, TableName};
pub use checks::HealthChecks;
pub use connection::{
    Connection, ConnectionId, ConnectionName, Description, Host, Login, ModelPrivacy,
    NewConnection, Place, SslMode, Target, TlsSettings, TunnelSettings, password, server_name,
};
pub use credentials::Credentials;
pub use diagnosis::{Diagnosis, Fault, Stage, TestReport};
pub use error::{ConnectionError, Inactive, InvalidConnection};
pub use health::{Activity, FAILURES_UNTIL_LOST, Health, HealthStatus, Judged, Turn, with_jitter};
pub use patch::{ConnectionPatch, LoginPatch, Patch, TunnelPatch};
pub use ports::{
    Checked, ConnectionFilter, ConnectionStore, CountedTable, InsertError, Stored, TableReader,
    TargetDatabase, TriedTable, UpdateError,
};
pub use service::{ConnectionParts, Connections, Opened};
pub use transport::{
    ChannelBinding, ClientCertificate, DEFAULT_SSH_PORT, HostKey, InvalidTransport, TlsMaterial,
    TransportField, Tunnel, TunnelCredential,
};
pub use url::{ConnectionUrl, DEFAULT_PORT, InvalidUrl};
pub use vault::{
    DataKey, InstallationKey, KeyCensus, KeyError, KeySource, KeyStore, Location, MASTER_KEY_CHECK,
    MasterKey, MasterKeyId, MasterKeys, Rotation, RotationError, Sealed, Step, Vault, VaultError,
};
