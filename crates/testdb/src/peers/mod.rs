//! Servers of a test's own, for what the shared one cannot be: a Postgres with TLS and rules of the test's choosing, and an
//! SSH server in front of a database. Each lies in a folder of its own and is ended with its value.

mod bastion;
mod certificates;
mod server;

pub use bastion::{Bastion, Forwarding};
pub use certificates::{Authority, Pem, authority, key, named};
pub use server::{Cluster, PASSWORD, SUPERUSER, Server, free_port};
