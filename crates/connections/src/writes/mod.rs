//! Write connections: what workflows' actions write through. Each stands beside a connection, over the same database, with
//! a role and a list of tables of its own; nothing that reads ever uses it.

mod ports;
mod service;

use std::collections::BTreeSet;

use jiff::Timestamp;
use plinth_core::{OrgId, UserId};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

pub use self::ports::{
    KeyFailure, StoredWrite, TargetWriter, Write, WriteFailure, WriteKey, WriteStore, Written,
};
pub use self::service::{OpenedWrite, WriteConnectionParts, WriteConnections};
use crate::{ConnectionId, ConnectionName, Login, Place, TableName, TlsMaterial};

plinth_core::typed_id! {
    /// Identifies a write connection.
    WriteConnectionId, "wconn"
}

/// The table that Plinth makes in a target that opts in: one row for each action that took effect.
pub const KEY_TABLE: &str = "plinth_write_keys";

/// How many rows a statement may change unless the record says otherwise, and at most.
pub const USUAL_WRITTEN_ROWS: u32 = 1_000;
/// See [`USUAL_WRITTEN_ROWS`].
pub const MOST_WRITTEN_ROWS: u32 = 1_000_000;

/// The most tables and the most procedures on a list.
pub const MOST_LISTED: usize = 200;

/// A way to write to a database that is connected for reading. Holds no secret.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteConnection {
    /// Its id.
    pub id: WriteConnectionId,
    /// Whose.
    pub org: OrgId,
    /// Unique among the organization's write connections.
    pub name: ConnectionName,
    /// The connection beside which it stands: where the database is, and how it is reached.
    pub connection: ConnectionId,
    /// The role that writes; never the one that reads.
    pub username: String,
    /// The tables that may be written, and read in the same statement.
    pub tables: BTreeSet<TableName>,
    /// The procedures that may be called.
    pub procedures: BTreeSet<TableName>,
    /// What changes more rows than this is rolled back.
    pub max_rows: u32,
    /// The schema in which the target keeps [`KEY_TABLE`], so that an action takes effect once; `None` if it does not, and
    /// an action takes effect at most once.
    pub key_schema: Option<String>,
    /// Since when keys are kept there, for that place; what was begun before has none. `None` as for [`Self::key_schema`].
    pub keys_since: Option<Timestamp>,
    /// Where the credential was given for: see [`place_of`].
    pub place: String,
    /// Counts changes of what dialling depends on.
    pub version: i64,
    /// Counts changes of the record.
    pub revision: i64,
    /// Who made it.
    pub created_by: UserId,
    /// When.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What makes a write connection.
#[derive(Clone, Debug)]
pub struct NewWriteConnection {
    /// See [`WriteConnection::name`].
    pub name: ConnectionName,
    /// See [`WriteConnection::connection`].
    pub connection: ConnectionId,
    /// See [`WriteConnection::username`].
    pub username: String,
    /// The role's password; kept sealed, never shown again.
    pub password: SecretString,
    /// See [`WriteConnection::tables`].
    pub tables: BTreeSet<TableName>,
    /// See [`WriteConnection::procedures`].
    pub procedures: BTreeSet<TableName>,
    /// See [`WriteConnection::max_rows`].
    pub max_rows: u32,
    /// See [`WriteConnection::key_schema`].
    pub key_schema: Option<String>,
}

/// What to change; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct WriteConnectionPatch {
    /// See [`WriteConnection::name`].
    pub name: Option<ConnectionName>,
    /// See [`WriteConnection::username`]; takes a password beside it.
    pub username: Option<String>,
    /// The role's password.
    pub password: Option<SecretString>,
    /// See [`WriteConnection::tables`].
    pub tables: Option<BTreeSet<TableName>>,
    /// See [`WriteConnection::procedures`].
    pub procedures: Option<BTreeSet<TableName>>,
    /// See [`WriteConnection::max_rows`].
    pub max_rows: Option<u32>,
    /// See [`WriteConnection::key_schema`]; the inner `None` takes the promise away and leaves the table.
    pub key_schema: Option<Option<String>>,
}

/// A fingerprint of where a login goes and how it is protected on its way. A credential that was given for one place is sent
/// to no other, whoever moves the connection.
pub fn place_of(login: &Login) -> String {
    let mut hash = Sha256::new();
    let mut put = |text: &str| {
        hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(text.as_bytes());
    };
    match &login.place {
        Place::Typed { host, port } => {
            put("typed");
            put(host.as_str());
            put(&port.to_string());
        }
        Place::Managed { server } => {
            put("managed");
            put(server);
        }
    }
    put(&login.database);
    put(login.ssl_mode.as_str());
    put(login.tls.roots().unwrap_or_default());
    put(login.tls.channel_binding.as_str());
    if let Some(tunnel) = &login.tunnel {
        put(tunnel.host.as_str());
        put(&tunnel.port.to_string());
        put(&tunnel.username);
        put(tunnel.host_key.as_str());
    }
    hash.finalize().iter().fold(String::new(), |mut hex, byte| {
        use std::fmt::Write as _;
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The same way to the same database, as another role. What the reading role shows of itself (a client certificate) stays
/// behind.
fn login_as(login: &Login, username: &str, password: SecretString) -> Login {
    let roots = login.tls.roots().map(str::to_owned);
    Login {
        username: username.to_owned(),
        password,
        tls: TlsMaterial::from_stored(roots, None, login.tls.channel_binding),
        ..login.clone()
    }
}
