use std::io;
use std::time::Duration;

use bytes::BytesMut;
use plinth_queries::{RawRow, RunError};
use postgres_protocol::IsNull;
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};

use crate::diagnose;
use crate::dial::Cancel;
use crate::login::settings_calls;
use crate::share::Share;
use crate::stream::Stream;
use crate::wire::{Frame, FrameError, Frames, ServerError};

/// The statements that stand around each of a user's, prepared once where the session is the server's own.
const BEGIN: (&str, &str) = ("plinth_begin", "BEGIN TRANSACTION READ ONLY");
const ROLLBACK: (&str, &str) = ("plinth_rollback", "ROLLBACK");

/// What a `SELECT` can leave behind that a rollback does not take back, and that a built-in function does: locks of the session.
const CLEAN: (&str, &str) = ("plinth_clean", "SELECT pg_catalog.pg_advisory_unlock_all()");

/// How much more of an unwanted result is read rather than cancelled: asking for a cancel costs the server a process.
const UNWANTED_BYTES: usize = 256 << 10;

/// How much is read after a cancel, which takes effect only when the server has got rid of what it had begun to send.
const CANCELLED_BYTES: usize = 64 << 20;

/// The longest time that the server's settings can say, in milliseconds.
const MAX_MS: u64 = 0x7fff_ffff;

/// How long that may take.
const WIND_DOWN_LIMIT: Duration = Duration::from_secs(3);

/// For how long a server that ignores a cancel still counts as running the statement.
const ABANDON_LIMIT: Duration = Duration::from_secs(15);

/// How many statements the server keeps prepared for one session at most: some tens of kilobytes of its memory each.
const KEPT_STATEMENTS: usize = 64;

/// An outbox or inbox that grew beyond this for one statement is not kept for the next.
const KEPT_BYTES: usize = 256 << 10;

/// One session on a customer's database.
#[derive(Debug)]
pub struct Session {
    stream: Stream,
    pub(crate) frames: Frames,
    pub(crate) outbox: BytesMut,
    pub(crate) cancel: Cancel,
    pub(crate) state: State,
    /// Whether we speak with the server itself, and not with a proxy that may give each transaction another backend.
    pub(crate) direct: bool,
    /// Whether the statements around a user's are prepared.
    prepared: bool,
    /// What was last set for the whole session.
    applied: Option<Applied>,
    /// Statements that the server keeps prepared for [`Self::query_each_kept`], each at the place that it is named by.
    kept: Vec<String>,
    /// Whether a statement ran on it before, or it lay idle in its pool.
    pub(crate) used: bool,
    pub(crate) opened: Instant,
    /// What cut the transport, where the system or TLS said something.
    pub(crate) cut_by: Option<io::Error>,
    /// Its share of the sessions that there may be in all; goes with it.
    pub(crate) share: Option<Share>,
    pub(crate) server_version: String,
    pub(crate) server_version_num: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The server waits for us.
    Idle,
    /// Something may be running or on its way.
    Busy,
    /// The transport is cut.
    Dead,
}

/// Why nothing more can be read from a session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    Cut,
    Malformed,
    RowTooLarge,
    /// The deadline passed.
    Late,
}

impl From<FrameError> for Broken {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::RowTooLarge => Self::RowTooLarge,
            FrameError::Malformed => Self::Malformed,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Applied {
    time: Duration,
    time_zone: String,
    search_path: Vec<String>,
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

/// Where in the answer to one batch of messages we are. Each step ends with a completed command, but for the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The session's settings and preparations, which end with the server being ready: they are not part of the transaction.
    Settings,
    /// So many commands until the first statement.
    Prelude(u8),
    /// The statement, or statements.
    Body,
}

/// Which transaction stands around statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Around {
    /// One statement of a user.
    User,
    /// Several of ours that must see the same moment.
    Snapshot,
}

impl Session {
    pub(crate) fn new(stream: Stream, cancel: Cancel) -> Self {
        Self {
            stream,
            frames: Frames::new(),
            outbox: BytesMut::with_capacity(1024),
            cancel,
            state: State::Busy,
            direct: false,
            prepared: false,
            applied: None,
            kept: Vec::new(),
            used: false,
            opened: Instant::now(),
            cut_by: None,
            share: None,
            server_version: String::new(),
            server_version_num: 0,
        }
    }

    /// Runs several statements of ours in one round trip, in one read-only, repeatable-read transaction: all of them see the
    /// database at the same moment. Returns the rows of each, values in Postgres's text format, in UTC.
    ///
    /// # Errors
    ///
    /// [`RunError`] of the first that failed; the others' rows are lost. Nothing is left running, and the session can be used
    /// again unless the error is [`RunError::Connection`] or [`RunError::TimedOut`].
    pub async fn query_all(
        &mut self,
        queries: &[Query<'_>],
        limits: &ReadLimits,
    ) -> Result<Vec<Vec<RawRow>>, RunError> {
        let mut results = Vec::with_capacity(queries.len());
        self.query_each(queries, limits, |rows| results.push(rows)).await?;
        Ok(results)
    }

    /// As [`query_all`](Self::query_all), but gives the rows of each statement as soon as they are complete, while the server
    /// works on the next. If it fails, `each` was called for those that did not.
    pub(crate) async fn query_each(
        &mut self,
        queries: &[Query<'_>],
        limits: &ReadLimits,
        each: impl FnMut(Vec<RawRow>),
    ) -> Result<(), RunError> {
        self.query_in_turn(queries, limits, false, each).await
    }

    /// As [`query_each`](Self::query_each), for statements that are asked again and again: the server keeps them prepared
    /// and need not parse them a second time, nor plan them where it takes the same plan for all parameters. At most
    /// [`KEPT_STATEMENTS`] of them; others are sent like any.
    pub(crate) async fn query_each_kept(
        &mut self,
        queries: &[Query<'_>],
        limits: &ReadLimits,
        each: impl FnMut(Vec<RawRow>),
    ) -> Result<(), RunError> {
        self.query_in_turn(queries, limits, true, each).await
    }

    async fn query_in_turn(
        &mut self,
        queries: &[Query<'_>],
        limits: &ReadLimits,
        keep: bool,
        mut each: impl FnMut(Vec<RawRow>),
    ) -> Result<(), RunError> {
        let started = Instant::now();
        let deadline = deadline(started, limits.time);
        let mut step = self.write_prelude(Around::Snapshot, limits.time, "UTC", &[])?;
        // What is known to be kept stays out of here until all went well: an error leaves in the dark what the server
        // took in before it, and whatever is not known is closed before it is prepared.
        let mut kept = std::mem::take(&mut self.kept);
        for query in queries {
            // Behind a proxy the next transaction may be another server's.
            if keep && self.direct {
                self.write_kept(*query, &mut kept)?;
            } else {
                self.write_statement(query.sql, query.parameters, false)?;
            }
        }
        self.write_epilogue();
        self.frames.row_bytes = limits.row_bytes;
        let broken = |it: Broken| broken_error(&it, limits.row_bytes, limits.time);
        self.send_by(deadline).await.map_err(broken)?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        let mut left = queries.len();
        while left > 0 {
            match (step, self.receive_by(deadline).await.map_err(broken)?) {
                (Step::Body, Frame::Row(body)) => {
                    bytes += body.len() as u64;
                    if bytes > limits.total_bytes {
                        return Err(RunError::RowTooLarge { limit_bytes: limits.row_bytes });
                    }
                    rows.push(RawRow::new(body).ok_or_else(malformed)?);
                }
                (Step::Body, Frame::CommandComplete | Frame::EmptyQuery) => {
                    each(std::mem::take(&mut rows));
                    left -= 1;
                }
                (_, Frame::Error(it)) => {
                    let error = ServerError::read(&it).map_err(|_| malformed())?;
                    if !error.fatal && step == Step::Body {
                        let _ = timeout_at(deadline, self.settle(UNWANTED_BYTES)).await;
                    }
                    return Err(statement_error(error, started, limits.time));
                }
                (step_now, frame) => step = self.advance(step_now, &frame)?,
            }
        }
        let _ = timeout_at(deadline, self.settle(UNWANTED_BYTES)).await;
        self.kept = kept;
        Ok(())
    }

    /// The server's own version text, like `15.18 (Debian 15.18-0+deb12u1)`.
    pub fn server_version(&self) -> &str {
        &self.server_version
    }

    /// `server_version_num`, like 150018.
    pub fn server_version_num(&self) -> u32 {
        self.server_version_num
    }

    /// Whether the transport is encrypted.
    pub fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }

    pub(crate) fn server_certificate(&self) -> Option<&CertificateDer<'static>> {
        match &self.stream {
            Stream::Plain(_) => None,
            Stream::Tls(it) => it.get_ref().1.peer_certificates()?.first(),
        }
    }

    /// Logging in is over.
    pub(crate) fn greeted(&mut self) {
        self.state = State::Idle;
    }

    /// Whether it can take another statement, as far as can be known without asking the server.
    pub(crate) fn is_fit(&mut self) -> bool {
        self.state == State::Idle && self.frames.buffer.is_empty() && self.stream.is_quiet()
    }

    /// Sends what is in the outbox.
    pub(crate) async fn send(&mut self) -> Result<(), Broken> {
        let sent: io::Result<()> = async {
            self.stream.write_all(&self.outbox).await?;
            self.stream.flush().await
        }
        .await;
        self.outbox.clear();
        if self.outbox.capacity() > KEPT_BYTES {
            self.outbox = BytesMut::with_capacity(1024);
        }
        sent.map_err(|error| {
            self.state = State::Dead;
            self.cut_by = Some(error);
            Broken::Cut
        })
    }

    /// Sends what is in the outbox, unless that takes longer than until `deadline`.
    pub(crate) async fn send_by(&mut self, deadline: Instant) -> Result<(), Broken> {
        timeout_at(deadline, self.send()).await.map_err(|_| Broken::Late)?
    }

    /// The next message, waiting for it if need be.
    pub(crate) async fn receive(&mut self) -> Result<Frame, Broken> {
        loop {
            if let Some(frame) = self.frames.next()? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    /// The next message, waiting until `deadline` if need be.
    pub(crate) async fn receive_by(&mut self, deadline: Instant) -> Result<Frame, Broken> {
        loop {
            if let Some(frame) = self.frames.next()? {
                return Ok(frame);
            }
            timeout_at(deadline, self.fill()).await.map_err(|_| Broken::Late)??;
            // A server that always has more to say never lets the timer have its turn.
            if Instant::now() >= deadline {
                return Err(Broken::Late);
            }
        }
    }

    async fn fill(&mut self) -> Result<(), Broken> {
        self.frames.make_room();
        match self.stream.read_buf(&mut self.frames.buffer).await {
            Ok(1..) => Ok(()),
            ended => {
                self.state = State::Dead;
                // The first says most.
                self.cut_by = self.cut_by.take().or(ended.err());
                Err(Broken::Cut)
            }
        }
    }

    /// Waits for the first bytes of an answer, and shows what has come of it.
    pub(crate) async fn first_bytes(&mut self) -> Result<&[u8], Broken> {
        if self.frames.buffer.is_empty() {
            self.fill().await?;
        }
        Ok(&self.frames.buffer)
    }

    /// Puts into the outbox what comes before a statement: the session's settings where they differ from the last, and the
    /// beginning of a read-only transaction. From here on the session is busy.
    ///
    /// The statement must not run if the transaction did not begin. It cannot: after an error the server skips everything up to
    /// the next Sync, and there is none between this and the end of [`Self::write_epilogue`].
    ///
    /// # Errors
    ///
    /// [`RunError::Connection`] if the session is not idle.
    pub(crate) fn write_prelude(
        &mut self,
        around: Around,
        time: Duration,
        time_zone: &str,
        search_path: &[String],
    ) -> Result<Step, RunError> {
        self.take_up()?;
        let applied = self.applied.as_ref().is_some_and(|it| {
            it.time == time && it.time_zone == time_zone && it.search_path == search_path
        });
        let mut step = Step::Prelude(1);
        if self.direct && !(applied && self.prepared) {
            self.write_limits("SELECT ".to_owned(), false, time, time_zone, search_path)?;
            if !self.prepared {
                for (name, sql) in [BEGIN, ROLLBACK, CLEAN] {
                    write(frontend::parse(name, sql, [], &mut self.outbox))?;
                }
            }
            frontend::sync(&mut self.outbox);
            self.applied = Some(Applied {
                time,
                time_zone: time_zone.to_owned(),
                search_path: search_path.to_vec(),
            });
            step = Step::Settings;
        }
        match around {
            Around::User => self.write_own(BEGIN),
            Around::Snapshot => {
                let begin = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";
                self.write_statement(begin, &[], false)?;
            }
        }
        if !self.direct {
            self.write_limits(of_transaction(), true, time, time_zone, search_path)?;
            step = Step::Prelude(2);
        }
        Ok(step)
    }

    /// Puts a statement into the outbox that begins so and then sets the limits of what follows: for this transaction if `local`,
    /// else for the session.
    fn write_limits(
        &mut self,
        begin: String,
        local: bool,
        time: Duration,
        time_zone: &str,
        search_path: &[String],
    ) -> Result<(), RunError> {
        let timeout_ms = server_limit(time).as_millis().to_string();
        let lock_ms = (server_limit(time) / 2).as_millis().clamp(1, 10_000).to_string();
        // Null sets what the role or the database has as its default.
        let path = (!search_path.is_empty()).then(|| quoted_path(search_path));
        let values = [Some(timeout_ms.as_str()), Some(&lock_ms), Some(time_zone), path.as_deref()];
        self.write_statement(&(begin + &limits_calls(local)), &values, false)
    }

    /// From here on the session is busy.
    ///
    /// # Errors
    ///
    /// [`RunError::Connection`] if the session is not idle.
    pub(crate) fn take_up(&mut self) -> Result<(), RunError> {
        if self.state != State::Idle {
            return Err(RunError::Connection(Box::new(diagnose::disconnected(None))));
        }
        self.state = State::Busy;
        Ok(())
    }

    /// Puts the end of a batch into the outbox: the server answers what was sent, and waits.
    pub(crate) fn end_batch(&mut self) {
        frontend::sync(&mut self.outbox);
    }

    /// The session is as it was after logging in, but for what was prepared and set: that is gone.
    pub(crate) fn end_write(&mut self) {
        self.prepared = false;
        self.applied = None;
        self.kept.clear();
        self.rest();
    }

    /// Puts one statement into the outbox, by the extended protocol: the server refuses a text with several.
    ///
    /// # Errors
    ///
    /// [`RunError::Database`] if it cannot be said in the protocol: a zero byte, or more than 65,535 parameters.
    pub(crate) fn write_statement(
        &mut self,
        sql: &str,
        parameters: &[Option<&str>],
        describe: bool,
    ) -> Result<(), RunError> {
        let out = &mut self.outbox;
        let written = (|| {
            frontend::parse("", sql, [], out)?;
            bind("", parameters, out)?;
            if describe {
                frontend::describe(b'P', "", out)?;
            }
            frontend::execute("", 0, out)
        })();
        if written.is_err() {
            self.forget_unsent();
        }
        write(written)
    }

    /// The same for a statement that the server keeps; `kept` are those that it has, and gets this one.
    fn write_kept(&mut self, query: Query<'_>, kept: &mut Vec<String>) -> Result<(), RunError> {
        let at = kept.iter().position(|it| it == query.sql);
        if at.is_none() && kept.len() == KEPT_STATEMENTS {
            return self.write_statement(query.sql, query.parameters, false);
        }
        let name = format!("plinth_kept_{}", at.unwrap_or(kept.len()));
        let out = &mut self.outbox;
        let written = (|| {
            if at.is_none() {
                frontend::close(b'S', &name, out)?;
                frontend::parse(&name, query.sql, [], out)?;
                kept.push(query.sql.to_owned());
            }
            bind(&name, query.parameters, out)?;
            frontend::execute("", 0, out)
        })();
        if written.is_err() {
            self.forget_unsent();
        }
        write(written)
    }

    /// Nothing was sent, so the session is as it was.
    fn forget_unsent(&mut self) {
        self.outbox.clear();
        self.applied = None;
        self.state = State::Idle;
    }

    /// Puts the cleaning and the end of the transaction into the outbox. In this order the cleaning needs no transaction of its
    /// own; where the statement failed neither is done, and [`Self::settle`] does both.
    pub(crate) fn write_epilogue(&mut self) {
        self.write_own(CLEAN);
        self.write_own(ROLLBACK);
        frontend::sync(&mut self.outbox);
    }

    fn write_own(&mut self, (name, sql): (&str, &str)) {
        let out = &mut self.outbox;
        let name = if self.direct { name } else { "" };
        let written = (|| {
            if !self.direct {
                frontend::parse("", sql, [], out)?;
            }
            bind(name, &[], out)?;
            frontend::execute("", 0, out)
        })();
        written.expect("our own statements can be said in the protocol");
    }

    /// What a message means for the step before the statement.
    ///
    /// # Errors
    ///
    /// [`RunError::Connection`] if the message has no business there.
    pub(crate) fn advance(&mut self, step: Step, frame: &Frame) -> Result<Step, RunError> {
        match (step, frame) {
            (Step::Settings, Frame::Ready(b'I')) => {
                self.prepared = true;
                Ok(Step::Prelude(1))
            }
            (Step::Prelude(1), Frame::CommandComplete) => Ok(Step::Body),
            (Step::Prelude(left), Frame::CommandComplete) => Ok(Step::Prelude(left - 1)),
            (Step::Settings | Step::Prelude(_), Frame::Row(_))
            | (Step::Settings, Frame::CommandComplete)
            | (_, Frame::ParseComplete | Frame::BindComplete | Frame::Aside) => Ok(step),
            _ => Err(malformed()),
        }
    }

    /// Takes the end of an answer that is complete as far as it has come, without waiting. Whether the session is idle then.
    pub(crate) fn settle_now(&mut self) -> bool {
        loop {
            match self.frames.next() {
                Ok(Some(
                    Frame::CommandComplete
                    | Frame::BindComplete
                    | Frame::ParseComplete
                    | Frame::Row(_)
                    | Frame::Aside,
                )) => {}
                Ok(Some(Frame::Ready(b'I'))) => {
                    self.rest();
                    return true;
                }
                Ok(Some(_) | None) | Err(_) => return false,
            }
        }
    }

    fn rest(&mut self) {
        self.state = State::Idle;
        self.used = true;
        if self.frames.buffer.capacity() > KEPT_BYTES {
            self.frames.buffer = BytesMut::new();
        }
    }

    /// Reads to the end of the present answer, ends the transaction if it is still open, and cleans. The session is idle afterwards if
    /// that went well and the answer had no more than `budget` bytes of rows.
    pub(crate) async fn settle(&mut self, budget: usize) {
        if let Some((status, failed)) = self.drain(budget).await {
            self.finish(status, failed).await;
        }
    }

    async fn finish(&mut self, status: u8, failed: bool) {
        if status == b'I' && !failed {
            return self.rest();
        }
        for (_, sql) in [ROLLBACK, CLEAN] {
            self.write_statement(sql, &[], false).expect("ours can be said in the protocol");
        }
        frontend::sync(&mut self.outbox);
        if self.send().await.is_ok() && self.drain(UNWANTED_BYTES).await == Some((b'I', false)) {
            self.rest();
        }
    }

    /// Reads until the server is ready: the transaction's status, and whether there was an error. `None` if it did not come to that.
    async fn drain(&mut self, budget: usize) -> Option<(u8, bool)> {
        let (mut left, mut failed) = (budget, false);
        loop {
            match self.receive().await.ok()? {
                Frame::Ready(status) => return Some((status, failed)),
                Frame::Row(it) => left = left.checked_sub(it.len())?,
                Frame::Error(_) => failed = true,
                // The server waits for data that will not come.
                Frame::Other(Message::CopyInResponse(_)) => return None,
                _ => {}
            }
        }
    }

    /// Cancels what runs, and waits until the server has stopped or for some seconds. The session must be closed then.
    pub(crate) async fn abandon(&mut self) {
        let cancel = self.cancel.clone();
        // Both at once: behind a bastion the cancel goes through the same SSH session, which may wait for us to read.
        let drain = timeout(ABANDON_LIMIT, self.drain(CANCELLED_BYTES));
        let _ = tokio::join!(cancel.send(), drain);
    }

    /// Gets rid of a result of which no more is wanted: reads on if little is left, else cancels it.
    pub(crate) async fn wind_down(&mut self) {
        let _ = timeout(WIND_DOWN_LIMIT, async {
            let soon = timeout(Duration::from_millis(20), self.drain(UNWANTED_BYTES)).await;
            if let Ok(Some((status, failed))) = soon {
                return self.finish(status, failed).await;
            }
            // Behind a proxy nobody says when the cancel has arrived; it could hit the next statement.
            if !self.direct || self.state == State::Dead {
                return;
            }
            let cancel = self.cancel.clone();
            let ((), drained) = tokio::join!(cancel.send(), self.drain(CANCELLED_BYTES));
            if let Some((status, failed)) = drained {
                self.finish(status, failed).await;
            }
        })
        .await;
    }
}

/// Writes a Bind of the unnamed portal, everything in text.
pub(crate) fn bind(
    statement: &str,
    parameters: &[Option<&str>],
    out: &mut BytesMut,
) -> io::Result<()> {
    let value = |it: Option<&str>, out: &mut BytesMut| {
        Ok(match it {
            None => IsNull::Yes,
            Some(text) => {
                out.extend_from_slice(text.as_bytes());
                IsNull::No
            }
        })
    };
    frontend::bind("", statement, [], parameters.iter().copied(), value, [], out).map_err(|it| {
        match it {
            frontend::BindError::Serialization(it) => it,
            frontend::BindError::Conversion(it) => io::Error::other(it),
        }
    })
}

fn write(written: io::Result<()>) -> Result<(), RunError> {
    written.map_err(|error| {
        let error = ServerError {
            sqlstate: "22021".to_owned(),
            message: format!("the statement cannot be sent: {error}"),
            ..ServerError::default()
        };
        RunError::Database(Box::new(error.into()))
    })
}

/// When time is up; a limit that is as good as none does not overflow the clock.
pub(crate) fn deadline(started: Instant, time: Duration) -> Instant {
    started + time.min(Duration::from_millis(MAX_MS))
}

/// The server's own limit is a little below ours, so that a statement that it can end costs no session.
pub(crate) fn server_limit(time: Duration) -> Duration {
    let earlier = (time / 20).min(Duration::from_millis(250));
    // Zero would mean no limit at all, and the setting is a 32-bit number.
    time.saturating_sub(earlier).clamp(Duration::from_millis(1), Duration::from_millis(MAX_MS))
}

/// How a statement begins that sets for one transaction what is else set at the login, before its limits.
fn of_transaction() -> String {
    format!("SELECT {}, ", settings_calls(true))
}

fn limits_calls(local: bool) -> String {
    format!(
        "pg_catalog.set_config('statement_timeout', $1, {local}), \
         pg_catalog.set_config('lock_timeout', $2, {local}), \
         pg_catalog.set_config('TimeZone', $3, {local}), \
         pg_catalog.set_config('search_path', $4, {local})"
    )
}

/// Puts into the outbox what holds for one transaction that writes, whatever was set for the session.
///
/// # Errors
///
/// As for [`Session::write_statement`].
pub(crate) fn write_settings(
    session: &mut Session,
    time: Duration,
    time_zone: &str,
    search_path: &[String],
) -> Result<(), RunError> {
    session.write_limits(of_transaction(), true, time, time_zone, search_path)
}

/// Schemas' names as the setting wants them.
fn quoted_path(schemas: &[String]) -> String {
    let quoted = schemas.iter().map(|it| format!("\"{}\"", it.replace('"', "\"\"")));
    quoted.collect::<Vec<_>>().join(", ")
}

/// What the error of a statement means that was given `time` when it `started`.
pub(crate) fn statement_error(error: ServerError, started: Instant, time: Duration) -> RunError {
    if error.sqlstate == "57014" {
        // The code is the same whoever cancelled, and the text is in the server's language: the clock tells.
        let limit = server_limit(time).saturating_sub(Duration::from_millis(2));
        return if started.elapsed() >= limit {
            RunError::TimedOut(time)
        } else {
            RunError::Cancelled
        };
    }
    diagnose::run_error(error)
}

pub(crate) fn malformed() -> RunError {
    RunError::Connection(Box::new(diagnose::broken_protocol()))
}

pub(crate) fn broken_error(broken: &Broken, limit_bytes: usize, time: Duration) -> RunError {
    match broken {
        Broken::Cut => RunError::Connection(Box::new(diagnose::disconnected(None))),
        Broken::Malformed => malformed(),
        Broken::RowTooLarge => RunError::RowTooLarge { limit_bytes },
        Broken::Late => RunError::TimedOut(time),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_server_stops_before_we_do_but_never_has_no_limit(ms in 0u64..=u64::MAX / 2) {
            let time = Duration::from_millis(ms);
            let limit = server_limit(time);
            prop_assert!(limit >= Duration::from_millis(1));
            prop_assert!(limit <= time.max(Duration::from_millis(1)));
            prop_assert!(limit.as_millis() <= u128::from(MAX_MS));
            let now = Instant::now();
            prop_assert!(deadline(now, time) >= now);
        }
    }
}
