use std::time::Duration;

use async_trait::async_trait;
use plinth_connections::{Diagnosis, Target};
use serde::Serialize;

use crate::{RawRow, ResultColumn};

/// A statement that the guard let through.
#[derive(Clone, Debug)]
pub struct Statement {
    /// One `SELECT`, with `$1`, `$2`, … where parameters stand.
    pub sql: String,
    /// The parameters' values in Postgres's text format, `None` for null; the server infers their types.
    pub parameters: Vec<Option<String>>,
    /// The schemas, in order, in which unqualified names are found: those that the guard resolved them in. What the
    /// database's owner set since then must not make the same text mean another table. Empty: as the server has it.
    pub search_path: Vec<String>,
}

/// How far one run may go. Every limit holds even where the server overruns its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunLimits {
    /// Rows given out at most; the rest is not fetched and the result says `truncated`.
    pub rows: u64,
    /// Bytes of rows given out at most, as the server sends them; likewise.
    pub bytes: u64,
    /// The largest single row, in bytes; a larger one ends the run with [`RunError::RowTooLarge`].
    pub row_bytes: usize,
    /// From the moment the statement is sent until its last row has come.
    pub time: Duration,
    /// How long in all whoever takes the rows may let the database wait, without its counting as [`RunLimits::time`]. Zero where
    /// that is part of it.
    pub reader_time: Duration,
    /// An IANA name: in which zone `now()`, dates and times are read and printed.
    pub time_zone: String,
    /// Nobody waits for it as one waits for an answer, as it is with steps of workflows: it leaves some of the connection's
    /// sessions to others, and is [`RunError::Busy`] if none of the rest becomes free for a moment, to come again later.
    pub in_background: bool,
}

/// Runs statements on databases that are not ours, in a read-only transaction over the extended protocol.
#[async_trait]
pub trait StatementRunner: Send + Sync + 'static {
    /// Starts a statement: comes back when the server has described the result and begun to answer.
    ///
    /// # Errors
    ///
    /// [`RunError`]; nothing is left running.
    async fn run(
        &self,
        target: &Target,
        statement: &Statement,
        limits: &RunLimits,
    ) -> Result<Box<dyn Rows>, RunError>;

    /// What the planner would do: the statement is planned (`EXPLAIN (VERBOSE, FORMAT JSON)`), not run.
    ///
    /// # Errors
    ///
    /// [`RunError`], also when the statement does not fit the schema.
    async fn plan(
        &self,
        target: &Target,
        statement: &Statement,
        limits: &RunLimits,
    ) -> Result<Plan, RunError>;
}

/// A running statement. Dropping it before its end cancels it in the database.
#[async_trait]
pub trait Rows: Send {
    /// The columns.
    fn columns(&self) -> &[ResultColumn];

    /// The next rows, as many as have come; empty only at the end.
    ///
    /// # Errors
    ///
    /// [`RunError`]; then the run has ended.
    async fn next(&mut self) -> Result<Vec<RawRow>, RunError>;

    /// Which limit cut the result off, once [`Rows::next`] came back empty; `None` if it is complete.
    fn cut_off(&self) -> Option<CutOff>;
}

/// Which limit a result ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CutOff {
    /// [`RunLimits::rows`].
    Rows,
    /// [`RunLimits::bytes`].
    Bytes,
}

/// What the planner says of a statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Every relation that would be read, as schema and name: views are gone, partitions and children are there.
    pub relations: Vec<(String, String)>,
    /// The planner's cost of the whole, in its own unit (a sequential page read is 1).
    pub total_cost: f64,
    /// How many rows it expects.
    pub estimated_rows: f64,
    /// The plan's outermost step.
    pub root: PlanStep,
    /// The whole as the server printed it.
    pub json: String,
}

/// One step of a plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlanStep {
    /// The server's name for it, like `Seq Scan`.
    pub kind: String,
    /// The relation that it reads, as schema and name.
    pub relation: Option<(String, String)>,
    /// The index that it uses.
    pub index: Option<String>,
    /// `Inner`, `Left`, `Semi`, …, of a join.
    pub join: Option<String>,
    /// By what it aggregates: `Sorted`, `Hashed`, `Plain`, `Mixed`.
    pub strategy: Option<String>,
    /// What it sorts or groups by, as the server prints it.
    pub keys: Vec<String>,
    /// How many rows the planner expects of it.
    pub estimated_rows: f64,
    /// Its cost with everything below, in the planner's unit.
    pub total_cost: f64,
    /// The steps whose rows it takes.
    pub below: Vec<PlanStep>,
}

/// What the server said about a statement that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatabaseMessage {
    /// Five characters, like `42P01`.
    pub sqlstate: String,
    /// The primary message.
    pub message: String,
    /// More of it.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// Where in the statement, in characters from 1.
    pub position: Option<u32>,
}

/// Why a statement did not run to its end.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RunError {
    /// The database could not be reached, or the session was cut.
    #[error("the database could not be reached: {}", .0.title)]
    Connection(Box<Diagnosis>),
    /// The database refused or failed the statement.
    #[error("the database could not run the statement: {}", .0.message)]
    Database(Box<DatabaseMessage>),
    /// It took longer than allowed and was cancelled.
    #[error("the statement ran longer than {} ms and was cancelled", .0.as_millis())]
    TimedOut(Duration),
    /// Somebody cancelled it.
    #[error("the statement was cancelled")]
    Cancelled,
    /// A single row is larger than [`RunLimits::row_bytes`].
    #[error(
        "a row of the result is larger than {limit_bytes} bytes; select fewer or shorter columns"
    )]
    RowTooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// Every session of this connection is in use, and none became free in time.
    #[error("too many statements are running on this connection; try again in a moment")]
    Busy,
}
