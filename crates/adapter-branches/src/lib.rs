//! Branches as data directories and endpoints as Postgres processes, on this machine: what a node is made of.
//!
//! Start with [`LocalBranches`]. A branch has a folder, `projects/<project>/<branch>/`, which is a cluster's home
//! (`plinth_local_postgres`) with two folders more: `archive/`, where its server puts what it has written to the log, and
//! `bases/`, copies of its data from which the archive leads on. An endpoint is a listener that is open as long as the
//! endpoint exists; the first connection starts the branch's server, and bytes are handed through as they are, so that TLS
//! and the binding of a login to it stay between the client and Postgres.
//!
//! Where PgBouncer is installed, an endpoint has a second port, of a pooler that runs before its server while that runs, and
//! is started when it is first needed.
//!
//! An endpoint that reads only has a server of its own beside the branch's, a hot standby in `<branch>-ro-<endpoint>/`: a copy
//! that can be made again at any time, and is thrown away with the endpoint or when the branch gets another past.
//!
//! **Invariant:** a folder holds a branch whole or not at all, whatever was killed when; what lies there and belongs to
//! nobody is removed by the next sweep.

mod authority;
mod cell;
mod copy;
mod front;
mod history;
mod inquiry;
mod limits;
mod meter;
mod node;
mod own;
mod pooler;
mod roles;
mod schema;
mod standby;
mod substrate;

pub use authority::{Authority, AuthorityError};
pub use node::{LocalBranches, NodeSettings, OpenError};
