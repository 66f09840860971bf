//! One statement that writes, in a transaction of its own, with its key beside its effect.
//!
//! The commit is sent only when everything before it was answered well, so whatever goes wrong earlier has taken no effect; and
//! whatever goes wrong after it is not known.

use std::time::Duration;

use async_trait::async_trait;
use plinth_connections::Target;
use plinth_connections::writes::{
    KEY_TABLE, KeyFailure, TargetWriter, Write, WriteFailure, Written,
};
use plinth_queries::RunError;
use tokio::time::{Instant, timeout};

use crate::TargetDatabases;
use crate::pool::{NoSession, PooledSession};
use crate::session::{
    Broken, Session, broken_error, deadline, malformed, statement_error, write_settings,
};
use crate::wire::{Frame, ServerError};

/// What may come back from a statement that gives no rows: a procedure's output, which nobody reads.
const UNREAD_BYTES: usize = 1 << 20;

/// How long the key table may take to be made.
const PREPARE_LIMIT: Duration = Duration::from_secs(20);

/// How long the end of a transaction is waited for beyond a statement's own time.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Keys older than this are of no run that could come again: runs are kept for 30 days after their end, and wait for nobody
/// longer than that.
const FORGET_KEYS: &str = "interval '90 days'";

/// What the server answered to one batch.
struct Answered {
    /// How many rows each command changed, in order.
    changed: Vec<u64>,
    /// How the transaction stands.
    status: u8,
    /// Whether the last command was a rollback.
    rolled_back: bool,
}

/// Reads the answer to one batch, up to where the server waits for the next.
async fn answered(
    session: &mut Session,
    started: Instant,
    time: Duration,
) -> Result<Answered, RunError> {
    let until = deadline(started, time);
    let broken = |it: Broken| broken_error(&it, UNREAD_BYTES, time);
    session.send_by(until).await.map_err(broken)?;
    let mut answered = Answered { changed: Vec::new(), status: b'I', rolled_back: false };
    let (mut error, mut unread) = (None, UNREAD_BYTES);
    loop {
        match session.receive_by(until).await.map_err(broken)? {
            Frame::Ready(status) => {
                answered.status = status;
                return error.map_or(Ok(answered), |it| Err(statement_error(it, started, time)));
            }
            Frame::CommandComplete => {
                let tag = session.frames.tag.as_str();
                answered.rolled_back = tag == "ROLLBACK";
                let count = tag.rsplit(' ').next().and_then(|it| it.parse().ok());
                answered.changed.push(count.unwrap_or(0));
            }
            Frame::Error(it) => {
                let it = ServerError::read(&it).map_err(|_| malformed())?;
                if it.fatal {
                    return Err(statement_error(it, started, time));
                }
                error.get_or_insert(it);
            }
            Frame::Row(it) => unread = unread.checked_sub(it.len()).ok_or_else(malformed)?,
            Frame::ParseComplete
            | Frame::BindComplete
            | Frame::EmptyQuery
            | Frame::NoData
            | Frame::Columns(_)
            | Frame::Notification(_)
            | Frame::Aside => {}
            Frame::Other(_) => return Err(malformed()),
        }
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn key_table(schema: &str) -> String {
    format!("{}.{KEY_TABLE}", quoted(schema))
}

/// Runs it. The session can be used again only if the result says so by being idle; else dropping it ends it, and with it the
/// transaction.
async fn run(session: &mut Session, write: &Write) -> Result<Written, WriteFailure> {
    let (started, time) = (Instant::now(), write.time);
    session.frames.keeps_tags = true;
    session.frames.row_bytes = UNREAD_BYTES;
    session.begin_write(time, &write.time_zone, &write.search_path).map_err(failure)?;
    let parameters: Vec<_> = write.parameters.iter().map(Option::as_deref).collect();
    if let Some(it) = &write.key {
        let table = key_table(&it.schema);
        // Whoever is at the same key now is waited for: what becomes of it decides.
        let insert = format!(
            "INSERT INTO {table} (key) VALUES ($1::pg_catalog.text) ON CONFLICT (key) DO NOTHING"
        );
        session.write_statement(&insert, &[Some(&it.key)], false).map_err(failure)?;
        session.end_batch();
        let answer = match answered(session, started, time).await {
            Ok(answer) => answer,
            Err(err) => return Err(refused(session, err).await),
        };
        if answer.changed.last() == Some(&0) {
            roll_back(session).await;
            return Ok(Written::Before);
        }
    }
    session.write_statement(&write.sql, &parameters, false).map_err(failure)?;
    session.end_batch();
    let answer = match answered(session, started, time).await {
        Ok(answer) => answer,
        Err(err) => return Err(refused(session, err).await),
    };
    let rows = answer.changed.last().copied().unwrap_or(0);
    // A procedure cannot end the transaction that stands around it; if something did, nothing is known any more.
    if answer.status != b'T' {
        return Err(WriteFailure::Unknown);
    }
    if rows > write.max_rows {
        roll_back(session).await;
        return Err(WriteFailure::TooManyRows { rows, most: write.max_rows });
    }
    session.write_statement("COMMIT", &[], false).map_err(failure)?;
    session.end_batch();
    let left = time.saturating_sub(started.elapsed()) + END_LIMIT;
    match answered(session, Instant::now(), left).await {
        // A deferred constraint is judged at the commit.
        Err(RunError::Database(it)) => Err(failure(RunError::Database(it))),
        Err(_) => Err(WriteFailure::Unknown),
        Ok(answer) if answer.rolled_back => Err(WriteFailure::Refused {
            sqlstate: "40000".to_owned(),
            message: "the transaction was rolled back".to_owned(),
            is_temporary: false,
        }),
        Ok(_) => Ok(Written::Now { rows }),
    }
}

/// What a statement's failure means. The transaction is ended where the server waits for that; in every other case the
/// session is, and the transaction with it.
async fn refused(session: &mut Session, error: RunError) -> WriteFailure {
    if matches!(error, RunError::Database(_)) {
        roll_back(session).await;
    }
    failure(error)
}

async fn roll_back(session: &mut Session) {
    if session.write_statement("ROLLBACK", &[], false).is_ok() {
        session.end_batch();
        let _ = answered(session, Instant::now(), END_LIMIT).await;
    }
}

/// Takes away what triggers and procedures may have left in the session, and sometimes keys that nobody needs any more. The
/// session can be used again if that went well.
async fn clean(session: &mut Session, write: &Write, forget_keys: bool) {
    if let Some(it) = write.key.as_ref().filter(|_| forget_keys) {
        let table = key_table(&it.schema);
        let forget = format!("DELETE FROM {table} WHERE at < pg_catalog.now() - {FORGET_KEYS}");
        if session.write_statement(&forget, &[], false).is_ok() {
            session.end_batch();
            // The role need not have the right to.
            let _ = answered(session, Instant::now(), END_LIMIT).await;
        }
    }
    if session.write_statement("DISCARD ALL", &[], false).is_err() {
        return;
    }
    session.end_batch();
    if let Ok(Answered { status: b'I', .. }) = answered(session, Instant::now(), END_LIMIT).await {
        session.end_write();
    }
}

fn failure(error: RunError) -> WriteFailure {
    match error {
        RunError::Connection(it) => WriteFailure::Unreachable(it),
        RunError::Database(it) => WriteFailure::Refused {
            is_temporary: is_temporary(&it.sqlstate),
            message: it.message.clone(),
            sqlstate: it.sqlstate.clone(),
        },
        RunError::TimedOut(time) => WriteFailure::TimedOut(time),
        RunError::Busy => WriteFailure::Busy,
        error @ (RunError::Cancelled | RunError::RowTooLarge { .. }) => WriteFailure::Refused {
            sqlstate: "57014".to_owned(),
            message: error.to_string(),
            is_temporary: matches!(error, RunError::Cancelled),
        },
    }
}

/// Whether the same may work later: conflicts between transactions, locks, a lack of resources, a server that stops.
fn is_temporary(sqlstate: &str) -> bool {
    matches!(sqlstate, "40001" | "40P01" | "55P03")
        || ["08", "53", "57P"].iter().any(|it| sqlstate.starts_with(it))
}

/// Proves that the table is there and the role can use it, and leaves nothing in it.
async fn try_keys(session: &mut Session, schema: &str) -> Result<(), RunError> {
    session.begin_write(PREPARE_LIMIT, "UTC", &[])?;
    let table = key_table(schema);
    let insert = format!(
        "INSERT INTO {table} (key) VALUES (pg_catalog.concat('try ', pg_catalog.clock_timestamp())) \
         ON CONFLICT (key) DO NOTHING"
    );
    session.write_statement(&insert, &[], false)?;
    session.end_batch();
    let tried = answered(session, Instant::now(), PREPARE_LIMIT).await;
    roll_back(session).await;
    session.end_write();
    tried.map(drop)
}

async fn make_keys(session: &mut Session, schema: &str) -> Result<(), RunError> {
    session.begin_write(PREPARE_LIMIT, "UTC", &[])?;
    session.write_statement(&definition(schema), &[], false)?;
    session.write_statement("COMMIT", &[], false)?;
    session.end_batch();
    let made = answered(session, Instant::now(), PREPARE_LIMIT).await;
    if made.is_err() {
        roll_back(session).await;
    }
    session.end_write();
    made.map(drop)
}

fn definition(schema: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (key text PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())",
        key_table(schema)
    )
}

fn key_failure(error: RunError, schema: &str, username: &str) -> KeyFailure {
    match error {
        RunError::Connection(it) => KeyFailure::Unreachable(it),
        error => {
            let said = match &error {
                RunError::Database(it) => it.message.clone(),
                other => other.to_string(),
            };
            KeyFailure::Refused(format!(
                "{said}. Let somebody who may run: {}; GRANT USAGE ON SCHEMA {} TO {user}; GRANT SELECT, INSERT, DELETE ON \
                 {} TO {user};",
                definition(schema),
                quoted(schema),
                key_table(schema),
                user = quoted(username),
            ))
        }
    }
}

#[async_trait]
impl TargetWriter for TargetDatabases {
    async fn prepare_keys(&self, target: &Target, schema: &str) -> Result<(), KeyFailure> {
        let mut session = self
            .fresh(target)
            .await
            .map_err(|it| key_failure(it.into_run_error(), schema, &target.username))?;
        session.frames.keeps_tags = true;
        let prepared = async {
            match try_keys(&mut session, schema).await {
                // `undefined_table`.
                Err(RunError::Database(it)) if it.sqlstate == "42P01" => {
                    make_keys(&mut session, schema).await?;
                    try_keys(&mut session, schema).await
                }
                tried => tried,
            }
        };
        prepared.await.map_err(|it| key_failure(it, schema, &target.username))
    }

    async fn write(&self, target: &Target, write: &Write) -> Result<Written, WriteFailure> {
        let found = self.pooled(target).await;
        let mut session = found.map_err(|it| failure(NoSession::into_run_error(it)))?;
        let mut written = run(&mut session, write).await;
        // Nothing was committed, so it can be done again: a session that had died in its pool says nothing of the database.
        if session.used && matches!(written, Err(WriteFailure::Unreachable(_))) {
            drop(session);
            session = self.fresh(target).await.map_err(|it| failure(it.into_run_error()))?;
            written = run(&mut session, write).await;
        }
        if matches!(
            written,
            Err(WriteFailure::Unreachable(_) | WriteFailure::Unknown | WriteFailure::TimedOut(_))
        ) {
            return written;
        }
        tidy_in_background(session, write.clone());
        written
    }
}

/// Whoever wrote need not wait for it.
fn tidy_in_background(mut session: PooledSession, write: Write) {
    // About once in 256 times; the key's end is as good as chance.
    let forget_keys = write.key.as_ref().is_some_and(|it| {
        it.key.bytes().fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte)) == 0
    });
    tokio::spawn(async move {
        let _ = timeout(END_LIMIT * 2, clean(&mut session, &write, forget_keys)).await;
    });
}

impl Session {
    /// Puts the beginning of a transaction that may write into the outbox, with everything that holds in it alone. From here
    /// on the session is busy.
    ///
    /// # Errors
    ///
    /// [`RunError::Connection`] if the session is not idle.
    fn begin_write(
        &mut self,
        time: Duration,
        time_zone: &str,
        search_path: &[String],
    ) -> Result<(), RunError> {
        self.take_up()?;
        let begin = "BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE";
        self.write_statement(begin, &[], false)?;
        write_settings(self, time, time_zone, search_path)
    }
}
