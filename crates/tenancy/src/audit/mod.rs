//! The audit trail: who did what, from where, chained so that nobody can change or cut it unseen.

mod chain;
mod entry;
mod trail;

pub use chain::{Link, TrailKey};
pub use entry::{AuditEntry, AuditId, AuditOutcome, ChainedEntry};
pub use trail::{AuditFilter, AuditStore, AuditTrail, Broken, TrailPart, Verified};
