use serde::{Deserialize, Serialize};

/// How far an attempt to reach a database came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Finding and judging the address.
    Resolve,
    /// The TCP connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// Logging in.
    Auth,
    /// Opening the database.
    Database,
    /// Reading the catalog.
    ReadSchema,
}

/// What went wrong, as a word that programs can match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// No such name.
    UnknownHost,
    /// The egress gate refuses the address.
    AddressNotAllowed,
    /// Nobody listens on the port.
    ConnectionRefused,
    /// No answer in time.
    TimedOut,
    /// No route, or the network is down.
    Unreachable,
    /// Something answers, but not a Postgres server.
    NotPostgres,
    /// The server has TLS off and the mode demands it.
    TlsNotOffered,
    /// The server's certificate is not from a trusted authority.
    CertificateUntrusted,
    /// The server's certificate has expired or is not yet valid.
    CertificateExpired,
    /// The server's certificate names another host.
    CertificateWrongName,
    /// The handshake failed otherwise.
    TlsFailed,
    /// The server takes TLS connections only.
    TlsRequired,
    /// The server wants a client certificate, or did not take the one that it got.
    ClientCertificate,
    /// The login could not be tied to the TLS session although that is required.
    ChannelBinding,
    /// The bastion cannot be reached, or does not speak SSH.
    TunnelUnreachable,
    /// The bastion showed another key than the expected one.
    TunnelHostKey,
    /// The bastion did not let us log in.
    TunnelLogin,
    /// The bastion forwards no connections, or not to there.
    TunnelForwarding,
    /// The bastion could not reach the database.
    TunnelTarget,
    /// The password is wrong, or there is no such role.
    WrongPassword,
    /// `pg_hba.conf` lets nobody in from here.
    NotAdmitted,
    /// The server asks for a way of logging in that we do not have.
    UnsupportedAuthentication,
    /// The role may not log in or not connect to this database.
    PermissionDenied,
    /// There is no database of that name.
    UnknownDatabase,
    /// The server has no connection left.
    TooManyConnections,
    /// The server is starting, stopping or recovering.
    NotReady,
    /// The server is older than we support.
    TooOld,
    /// The connection was cut.
    Disconnected,
    /// The server answered with another error.
    ServerError,
}

/// Why a database could not be reached, told so that its owner can mend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{title}: {explanation}")]
pub struct Diagnosis {
    /// How far it came.
    pub stage: Stage,
    /// What went wrong there.
    pub fault: Fault,
    /// One line.
    pub title: String,
    /// What it means; with the server's own words where it said some.
    pub explanation: String,
    /// What to do, most likely first.
    pub fix_steps: Vec<String>,
    /// Whether the same attempt may succeed later without a change.
    pub retryable: bool,
}

/// What a successful test found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TestReport {
    /// From the first packet to a usable session, in milliseconds.
    pub latency_ms: f64,
    /// The server's own version text, like `15.18 (Debian 15.18-0+deb12u1)`.
    pub server_version: String,
    /// `server_version_num`, like 150018.
    pub server_version_num: u32,
    /// Whether the session is encrypted.
    pub tls: bool,
    /// What the owner should know: a superuser's role, a role that can write, no TLS over a public address.
    pub warnings: Vec<String>,
}
