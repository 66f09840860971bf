use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use plinth_egress::Gate;

/// Knows where the servers are that Plinth runs itself.
pub trait ManagedServers: Send + Sync + 'static {
    /// Where `server` listens now, on this machine; `None` if it does not run.
    fn address(&self, server: &str) -> Option<SocketAddr>;
}

/// How customers' databases are reached.
#[derive(Clone)]
pub struct TargetSettings {
    /// Judges every address that somebody typed.
    pub gate: Gate,
    /// Where Plinth's own servers are; these are not judged, because no tenant can name an address through them.
    pub managed: Arc<dyn ManagedServers>,
    /// Certificates as PEM that are trusted beside the machine's authorities.
    pub extra_roots_pem: Vec<u8>,
    /// From the look-up of the name to the end of logging in.
    pub connect_limit: Duration,
    /// Sessions for each connection, at most.
    pub sessions_per_connection: usize,
    /// Sessions of all pools, at most; more than there are connections in use at once, so that each can have one.
    pub sessions_total: usize,
    /// Sessions of all pools beyond the first of each, at most.
    pub sessions_beyond_first: usize,
    /// Sessions of an organization's pools beyond the first of each, at most.
    pub sessions_per_organization: usize,
    /// Sessions of an organization's that what runs in the background has at once, at most.
    pub background_per_organization: usize,
    /// Sessions of all that what runs in the background has at once, at most.
    pub background_total: usize,
    /// How long what runs in the background waits for its turn before [`RunError::Busy`](plinth_queries::RunError::Busy).
    pub turn_limit: Duration,
    /// Sessions for one use, as tests of connections are, at most.
    pub trials_total: usize,
    /// Such sessions of one organization, at most.
    pub trials_per_organization: usize,
    /// How long to wait for a free session before [`RunError::Busy`](plinth_queries::RunError::Busy).
    pub wait_limit: Duration,
    /// A session that was not used for so long is closed.
    pub idle_limit: Duration,
    /// A session that is so old is closed when it comes back.
    pub age_limit: Duration,
}

impl TargetSettings {
    /// Settings for one server process.
    pub fn new(gate: Gate, managed: Arc<dyn ManagedServers>) -> Self {
        Self {
            gate,
            managed,
            extra_roots_pem: Vec::new(),
            connect_limit: Duration::from_secs(10),
            sessions_per_connection: 8,
            sessions_total: 1024,
            sessions_beyond_first: 256,
            sessions_per_organization: 64,
            background_per_organization: 32,
            background_total: 128,
            turn_limit: Duration::from_secs(1),
            trials_total: 128,
            trials_per_organization: 8,
            wait_limit: Duration::from_secs(5),
            idle_limit: Duration::from_mins(3),
            age_limit: Duration::from_mins(30),
        }
    }
}

impl fmt::Debug for TargetSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TargetSettings")
            .field("gate", &self.gate)
            .field("sessions_per_connection", &self.sessions_per_connection)
            .field("sessions_total", &self.sessions_total)
            .finish_non_exhaustive()
    }
}
