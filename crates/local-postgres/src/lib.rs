//! Runs PostgreSQL clusters on this machine: finds the server's programs, makes a cluster in a
//! folder, starts it, adopts it if it still runs from before, watches it, and stops it in order.
//!
//! One [`Cluster`] stands for one folder; any number of them live side by side in one process, and
//! nothing here is global. Start reading at [`Cluster::open`] and [`Cluster::start`];
//! [`Installation::find`] comes before both.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use plinth_local_postgres::{Cluster, ClusterSettings, Installation};
//!
//! let installation = Installation::find(None)?;
//! let settings = ClusterSettings::new("/var/lib/plinth/postgres");
//! let mut cluster = Cluster::open(installation, settings).await?;
//! let connection = cluster.start().await?;
//! // … use connection.host, connection.port, connection.user, connection.password …
//! cluster.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! What lies in the folder of a cluster (`home`):
//!
//! | file | what it is | who may read it |
//! |---|---|---|
//! | `lock` | held by the process that owns the cluster, with its pid | we |
//! | `cluster.json` | the cluster's id and the port it had last | we |
//! | `superuser.password` | the random password of `postgres` | we |
//! | `server.crt`, `server.key` | the cluster's own certificate | everybody; the server alone |
//! | `postgresql.conf`, `pg_hba.conf` | written anew at every start | everybody |
//! | `server.log`, `server.log.1` | what the server printed, limited in size | we |
//! | `data/` | the data directory; it appears complete or not at all | the server alone |
//!
//! **Invariant:** `data/` exists only if initialization went to its end, and a server runs on it
//! only under the folder's lock or left over from an owner that is gone; the next owner adopts or
//! stops it before anything else.

mod certificate;
mod cluster;
mod connection;
mod error;
mod folder;
mod initialize;
mod installation;
mod log;
mod postmaster;
mod process;
mod run_user;
mod settings;

pub use cluster::{Cluster, Stopped};
pub use connection::ConnectionParameters;
pub use error::ClusterError;
pub use installation::{FindError, Installation, Version};
pub use run_user::RunUser;
pub use settings::{ClusterSettings, SUPERUSER, ServerCertificate};
