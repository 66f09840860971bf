//! Customers' databases: dialling them, pooling sessions, running statements read-only and streaming what comes back.
//!
//! Start with [`TargetDatabases`]. It speaks the Postgres protocol by itself; `docs/decisions/0003` says why.

mod session;
mod targets;

pub use session::{Query, ReadLimits, Session};
pub use targets::{PooledSession, TargetDatabases};
