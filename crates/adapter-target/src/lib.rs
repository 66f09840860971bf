//! Customers' databases: dialling them, pooling sessions, running statements read-only and streaming what comes back.
//!
//! Start with [`TargetDatabases`]. It speaks Postgres's protocol by itself (`docs/decisions/0003` says why): [`Session`] is one session,
//! `dial` and `login` open it, `wire` cuts what comes into messages, `run` is one statement of a user, `pool` keeps sessions.
//!
//! **Invariant:** a session goes back to its pool only when the server has said that it is idle and in no transaction, and what a
//! statement can leave behind is cleaned away. In every other case it is closed, and what runs on it is cancelled.

mod diagnose;
mod dial;
mod introspect;
mod listen;
mod login;
mod opener;
mod plan;
mod pool;
mod probe;
mod resolver;
mod run;
mod session;
mod settings;
mod share;
mod ssh;
mod stream;
mod tables;
mod targets;
mod tls;
mod wire;
mod write;

pub use pool::PooledSession;
pub use resolver::SystemResolver;
pub use session::{Query, ReadLimits, Session};
pub use settings::{ManagedServers, TargetSettings};
pub use targets::TargetDatabases;
