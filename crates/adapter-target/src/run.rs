//! One statement of a user, from its text to its rows.

use std::time::Duration;

use async_trait::async_trait;
use plinth_queries::{CutOff, RawRow, ResultColumn, Rows, RunError, RunLimits, Statement};
use tokio::time::Instant;

use crate::pool::PooledSession;
use crate::session::{Around, Broken, Step, broken_error, deadline, malformed, statement_error};
use crate::wire::{self, Frame, ServerError};

/// Why a statement did not begin to answer.
pub(crate) enum NotStarted {
    /// The session was dead before it said anything: on another one, the same may well succeed, and nothing can have happened
    /// twice, because nothing that runs changes anything.
    Stale,
    Failed(RunError),
}

impl From<RunError> for NotStarted {
    fn from(error: RunError) -> Self {
        Self::Failed(error)
    }
}

/// A statement that has begun to answer.
pub(crate) struct RunningRows {
    /// `None` once it has ended. Dropping a session that is busy cancels what runs on it and closes it.
    session: Option<PooledSession>,
    columns: Vec<ResultColumn>,
    limits: RunLimits,
    rows_left: u64,
    bytes_left: u64,
    started: Instant,
    deadline: Instant,
    /// Since when rows wait to be taken.
    given_at: Instant,
    /// How much longer they may without its counting.
    reader_left: Duration,
    cut_off: Option<CutOff>,
}

/// Sends the statement with everything around it in one piece, and reads until the result is described.
pub(crate) async fn start(
    mut session: PooledSession,
    statement: &Statement,
    limits: &RunLimits,
) -> Result<RunningRows, NotStarted> {
    let started = Instant::now();
    let deadline = deadline(started, limits.time);
    // The server cannot tell for whom it waits; ours is the clock that stops.
    let mut step = session.write_prelude(
        Around::User,
        limits.time + limits.reader_time,
        &limits.time_zone,
        &statement.search_path,
    )?;
    let parameters: Vec<_> = statement.parameters.iter().map(Option::as_deref).collect();
    session.write_statement(&statement.sql, &parameters, true)?;
    session.write_epilogue();
    session.frames.row_bytes = limits.row_bytes;

    let broken = |it: Broken| broken_error(&it, limits.row_bytes, limits.time);
    let mut silent = session.used;
    match session.send_by(deadline).await {
        Err(Broken::Cut) if silent => return Err(NotStarted::Stale),
        sent => sent.map_err(broken)?,
    }
    let columns = loop {
        match (step, session.receive_by(deadline).await) {
            (_, Err(Broken::Cut)) if silent => return Err(NotStarted::Stale),
            (_, Err(it)) => return Err(broken(it).into()),
            (Step::Body, Ok(Frame::Columns(it))) => {
                break wire::columns(&it).map_err(|_| malformed())?;
            }
            (Step::Body, Ok(Frame::NoData)) => break Vec::new(),
            (_, Ok(Frame::Error(it))) => {
                let error = ServerError::read(&it).map_err(|_| malformed())?;
                // Said by a server that shut down while nobody listened.
                if silent && error.fatal {
                    return Err(NotStarted::Stale);
                }
                if step == Step::Body && !error.fatal {
                    settle_in_background(session);
                }
                return Err(statement_error(error, started, limits.time).into());
            }
            (step_now, Ok(frame)) => step = session.advance(step_now, &frame)?,
        }
        silent = false;
    };
    Ok(RunningRows {
        session: Some(session),
        columns,
        limits: limits.clone(),
        rows_left: limits.rows,
        bytes_left: limits.bytes,
        started,
        deadline,
        given_at: Instant::now(),
        reader_left: limits.reader_time,
        cut_off: None,
    })
}

/// Whoever asked need not wait until the session is fit for the next.
fn settle_in_background(mut session: PooledSession) {
    tokio::spawn(async move { session.wind_down().await });
}

impl RunningRows {
    /// Ends with the last row: what is left of the answer is only the transaction's end.
    fn complete(&mut self) {
        if let Some(mut session) = self.session.take()
            && !session.settle_now()
        {
            settle_in_background(session);
        }
    }

    /// Ends before the last row.
    fn cut(&mut self, limit: CutOff) {
        self.cut_off = Some(limit);
        if let Some(session) = self.session.take() {
            settle_in_background(session);
        }
    }

    fn take(&mut self, body: bytes::Bytes) -> Result<Option<RawRow>, RunError> {
        let Some(rows_left) = self.rows_left.checked_sub(1) else {
            self.cut(CutOff::Rows);
            return Ok(None);
        };
        let Some(bytes_left) = self.bytes_left.checked_sub(body.len() as u64) else {
            self.cut(CutOff::Bytes);
            return Ok(None);
        };
        let values = body.first_chunk().map(|it| usize::from(u16::from_be_bytes(*it)));
        if values != Some(self.columns.len()) {
            return Err(malformed());
        }
        (self.rows_left, self.bytes_left) = (rows_left, bytes_left);
        RawRow::new(body).map(Some).ok_or_else(malformed)
    }

    async fn receive(&mut self) -> Result<Vec<RawRow>, RunError> {
        let mut rows = Vec::new();
        while let Some(session) = &mut self.session {
            let frame = if rows.is_empty() {
                session.receive_by(self.deadline).await.map(Some)
            } else {
                session.frames.next().map_err(Broken::from)
            };
            let limits = &self.limits;
            match frame.map_err(|it| broken_error(&it, limits.row_bytes, limits.time)) {
                Ok(Some(Frame::Row(body))) => rows.extend(self.take(body)?),
                Ok(Some(Frame::CommandComplete | Frame::EmptyQuery)) => self.complete(),
                Ok(Some(Frame::Aside)) => {}
                Ok(Some(Frame::Error(it))) => {
                    let error = ServerError::read(&it).map_err(|_| malformed())?;
                    if let Some(session) = self.session.take()
                        && !error.fatal
                    {
                        settle_in_background(session);
                    }
                    return Err(statement_error(error, self.started, self.limits.time));
                }
                Ok(Some(_)) => return Err(malformed()),
                Ok(None) => break,
                // The rows before it are given out first; the same comes up again at the next call.
                Err(_) if !rows.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(rows)
    }
}

#[async_trait]
impl Rows for RunningRows {
    fn columns(&self) -> &[ResultColumn] {
        &self.columns
    }

    async fn next(&mut self) -> Result<Vec<RawRow>, RunError> {
        let waited = self.given_at.elapsed().min(self.reader_left);
        self.reader_left -= waited;
        self.deadline += waited;
        let received = self.receive().await;
        self.given_at = Instant::now();
        if received.is_err() {
            self.session = None;
        }
        received
    }

    fn cut_off(&self) -> Option<CutOff> {
        self.cut_off
    }
}
