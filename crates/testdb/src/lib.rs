//! Databases for tests, on one real Postgres that all test processes of a user share.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! let database = plinth_testdb::TestDatabase::create().await?; // empty
//! let migrated = plinth_testdb::TestDatabase::create_from_template("shop, version 3", async |draft| {
//!     // build it once on `draft.url()`; later calls with this key get a copy in some 30 ms
//!     # let _ = draft;
//!     Ok(())
//! })
//! .await?;
//! # Ok(())
//! # }
//! ```
//!
//! The first test that asks starts the server, in a folder of its own in memory (`/dev/shm`) or
//! under `TMPDIR`, and the others find it running, in this run and the next. It stays until
//! `plinth-testdb stop` (`cargo run -p plinth-testdb -- stop`), which `cargo xtask test` calls at
//! its end; `plinth-testdb remove` also removes its folder with the templates. `plinth-testdb
//! start` beforehand takes the seconds of a first start out of the first test.
//!
//! The server does not flush to disk. It accepts TLS and plaintext on loopback.
//!
//! **Invariant:** a test's database belongs to a role without superuser rights that may make roles
//! and databases, as an operator's one URL does; so row security binds it, and a migration that
//! needs more than it will have in production fails here.

mod database;
pub mod peers;
mod server;
mod template;

pub use database::TestDatabase;
pub use server::{OWNER, TestServer};
