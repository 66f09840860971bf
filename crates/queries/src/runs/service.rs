use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use plinth_connections::{DataKey, Location, Sealed};
use plinth_core::{Classify as _, Clock, ErrorKind, Permit, QueriesRead, StoreError};
use plinth_tenancy::limits::Places;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::sync::Notify;

use super::{
    Beat, QueryRun, QueryRunId, QueryRunStore, RESULTS_KEPT_FOR, RunFault, RunState, RunViewer,
    SealedPage,
};
use crate::{
    Answer, Ask, CallerLimits, JsonRows, Queries, QueryError, QueryId, RunAgain, Running,
    SavedColumn, type_name,
};

/// Runs of one organization that have not ended, over all servers.
const MOST_UNFINISHED: i64 = 100;
/// Runs that are under way at once in one process.
const AT_ONCE: usize = 32;
/// How long a run is held by a process that says nothing: so long whoever waits for it waits in vain. Twelve beats, so that
/// neither a busy machine nor a restart of our database takes a run from a process that lives.
const LEASE: SignedDuration = SignedDuration::from_secs(6);
/// How often it says something, and hears whether the run is to end.
const BEAT: Duration = Duration::from_millis(500);
/// The most bytes that one run keeps, as the database sends them.
const MOST_BYTES: u64 = 64 << 20;
/// Rows, and bytes, after which a page is full.
const PAGE_ROWS: usize = 1_000;
const PAGE_BYTES: usize = 512 * 1024;
/// The most of them that are read at once, in bytes as they are kept: what follows comes with the next page of the answer.
const READ_BYTES: u64 = 4 << 20;
/// How often the end of a run is written where our database does not answer, and how long to wait between.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);
/// How long a process that ends waits for the ends of its runs.
const STOPPING: Duration = Duration::from_secs(5);

/// What is to be run.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// A question or a statement.
    Ask(Box<Ask>),
    /// An entry of the history, or a saved query.
    Again(QueryId, RunAgain),
}

/// What [`BackgroundRuns`] is put together from.
pub struct RunParts {
    /// Runs them.
    pub queries: Queries,
    /// Keeps them.
    pub store: Arc<dyn QueryRunStore>,
    /// Seals their rows.
    pub key: DataKey,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Some of a run's rows.
#[derive(Clone, Debug)]
pub struct RunPage {
    /// The run.
    pub run: QueryRun,
    /// The rows, each with a value for each column.
    pub rows: Vec<Vec<Value>>,
    /// Where the next begin; `None` if these are the last.
    pub next: Option<u64>,
}

/// Runs that nobody waits for.
#[derive(Clone)]
pub struct BackgroundRuns {
    parts: Arc<RunParts>,
    places: Places,
    /// Those that this process holds: by it they are told to end at once.
    here: Arc<Mutex<HashMap<QueryRunId, Arc<Notify>>>>,
    /// Whether this process is about to end.
    is_stopping: Arc<AtomicBool>,
}

/// How a run came to its end.
enum Ended {
    /// Rows, or words, are there.
    Done,
    Failed(QueryError),
    Cancelled,
    /// It is another's to say, or nobody's.
    Lost,
}

impl BackgroundRuns {
    /// Puts the service together.
    pub fn new(parts: RunParts) -> Self {
        Self {
            parts: Arc::new(parts),
            places: Places::new(AT_ONCE),
            here: Arc::default(),
            is_stopping: Arc::default(),
        }
    }

    /// Begins a run and comes back. It goes on in this process, as the caller with the rights that they have now.
    ///
    /// # Errors
    ///
    /// - [`QueryError::TooManyRuns`] if the organization has as many as it may that have not ended.
    /// - [`QueryError::NotFound`], [`QueryError::Connection`], [`QueryError::Limit`] and the like for what can be told at
    ///   once; then nothing is kept.
    pub async fn begin(
        &self,
        permit: &Permit<QueriesRead>,
        wanted: Wanted,
    ) -> Result<QueryRun, QueryError> {
        let (queries, caller) = (&self.parts.queries, permit.principal());
        let (connection, limits) = match &wanted {
            Wanted::Ask(ask) => {
                if caller.saved_queries_only {
                    return Err(QueryError::SavedOnly);
                }
                crate::ask::check(&ask.input)?;
                (ask.connection, ask.limits)
            }
            Wanted::Again(id, run) => (queries.show(permit, *id).await?.connection, run.limits),
        };
        let most = MOST_BYTES.min(queries.settings.max_bytes);
        if limits.byte_limit.is_some_and(|it| it > most) {
            return Err(QueryError::Limit { field: "byte_limit", most });
        }
        let limits = CallerLimits { byte_limit: Some(limits.byte_limit.unwrap_or(most)), ..limits };
        queries.limits(limits, caller).await?;
        queries.connections.open(caller, connection).await?;
        let wanted = match wanted {
            Wanted::Ask(ask) => Wanted::Ask(Box::new(Ask { limits, ..*ask })),
            Wanted::Again(id, run) => Wanted::Again(id, RunAgain { limits, ..run }),
        };
        let now = self.parts.clock.now();
        let run = QueryRun {
            id: QueryRunId::new(now),
            org: caller.org,
            user: caller.user,
            connection,
            state: RunState::Queued,
            is_cancel_wanted: false,
            query: None,
            sql: None,
            answer: None,
            columns: Vec::new(),
            row_count: 0,
            row_limit: None,
            cut_off: None,
            text_replaced: false,
            cached_at: None,
            execution_time_ms: None,
            error: None,
            created_at: now,
            started_at: None,
            finished_at: None,
            expires_at: None,
        };
        if !self.parts.store.insert(&run, MOST_UNFINISHED, LEASE).await? {
            return Err(QueryError::TooManyRuns(MOST_UNFINISHED));
        }
        let stop = Arc::new(Notify::new());
        self.held().insert(run.id, stop.clone());
        let (runs, permit, begun) = (self.clone(), permit.clone(), run.clone());
        tokio::spawn(async move {
            let id = run.id;
            runs.drive(run, permit, wanted, &stop).await;
            runs.held().remove(&id);
        });
        Ok(begun)
    }

    /// How far a run of the caller's is.
    ///
    /// # Errors
    ///
    /// [`QueryError::NoRun`] also when it is somebody else's, or has expired.
    pub async fn get(
        &self,
        permit: &Permit<QueriesRead>,
        id: QueryRunId,
    ) -> Result<QueryRun, QueryError> {
        let viewer = viewer(permit);
        let found = self.parts.store.find(permit.org(), id, viewer, RESULTS_KEPT_FOR).await?;
        found.ok_or(QueryError::NoRun(id))
    }

    /// Rows of a run that succeeded, from the one that `from` others stand before: `most` at most, and fewer where they are
    /// large.
    ///
    /// # Errors
    ///
    /// [`QueryError::NoRun`] as for [`BackgroundRuns::get`]; [`QueryError::NoResults`] if it has not succeeded.
    pub async fn results(
        &self,
        permit: &Permit<QueriesRead>,
        id: QueryRunId,
        from: u64,
        most: u64,
    ) -> Result<RunPage, QueryError> {
        let run = self.get(permit, id).await?;
        if run.state != RunState::Succeeded {
            return Err(QueryError::NoResults { run: id, state: run.state });
        }
        // Whoever may not reach the connection any more reads nothing of it.
        self.parts.queries.connections.open_inactive(permit.principal(), run.connection).await?;
        let pages = self.parts.store.pages(run.org, id, from, most, READ_BYTES).await?;
        let mut rows = Vec::new();
        for page in &pages {
            let opened = self.unseal(&run, page)?;
            let before = usize::try_from(from.saturating_sub(page.first_row)).unwrap_or(usize::MAX);
            rows.extend(opened.into_iter().skip(before));
        }
        rows.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        let next = from + rows.len() as u64;
        let next = (next < run.row_count && !rows.is_empty()).then_some(next);
        Ok(RunPage { run, rows, next })
    }

    /// Wants a run of the caller's to end. The process that runs it, this or another, cancels the statement in the database
    /// within about half a second.
    ///
    /// # Errors
    ///
    /// [`QueryError::NoRun`].
    pub async fn cancel(
        &self,
        permit: &Permit<QueriesRead>,
        id: QueryRunId,
    ) -> Result<QueryRun, QueryError> {
        if !self.parts.store.cancel(permit.org(), id, viewer(permit)).await? {
            return Err(QueryError::NoRun(id));
        }
        let stop = self.held().get(&id).cloned();
        if let Some(stop) = stop {
            stop.notify_one();
        }
        self.get(permit, id).await
    }

    /// Writes down that runs have failed whose process died: that of another server, or one before this. So nobody has to
    /// look at one for it to have ended, and it takes no place.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn end_lost(&self) -> Result<u64, StoreError> {
        let ended = self.parts.store.end_lost(RESULTS_KEPT_FOR).await?;
        if ended > 0 {
            tracing::warn!(runs = ended, "runs have failed whose server ended before them");
        }
        Ok(ended)
    }

    /// Forgets what has expired.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        self.parts.store.sweep().await
    }

    /// Ends what this process runs, in the database too, and writes down that it did: for when the process ends.
    pub async fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        for stop in self.held().values() {
            stop.notify_one();
        }
        let deadline = Instant::now() + STOPPING;
        while !self.held().is_empty() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<QueryRunId, Arc<Notify>>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a run to its end.
    async fn drive(
        &self,
        mut run: QueryRun,
        permit: Permit<QueriesRead>,
        wanted: Wanted,
        stop: &Notify,
    ) {
        let (org, id) = (run.org, run.id);
        // Dropping the work cancels its statement in the database.
        let ended = tokio::select! {
            ended = self.work(&mut run, &permit, wanted) => ended,
            ended = self.watch(org, id, stop) => ended,
        };
        let now = self.parts.clock.now();
        run.state = match ended {
            Ended::Lost => return,
            Ended::Done => RunState::Succeeded,
            Ended::Cancelled if self.is_stopping.load(Ordering::Relaxed) => {
                run.error = Some(RunFault::server_lost());
                RunState::Failed
            }
            Ended::Cancelled => RunState::Cancelled,
            Ended::Failed(err) => {
                run.error = Some(RunFault::of(&err));
                match err.kind() {
                    ErrorKind::QueryTimeout => RunState::TimedOut,
                    ErrorKind::QueryCancelled => RunState::Cancelled,
                    _ => RunState::Failed,
                }
            }
        };
        run.finished_at = Some(now);
        run.expires_at = Some(now + RESULTS_KEPT_FOR);
        for attempt in 1..=ATTEMPTS {
            match self.parts.store.save(&run, None).await {
                Ok(_) => return,
                Err(err) => {
                    tracing::warn!(
                        error = plinth_core::chain(&err), run.id = %id, attempt,
                        "the end of a run cannot be written"
                    );
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Holds the run, and hears whether it is to end.
    async fn watch(&self, org: plinth_core::OrgId, id: QueryRunId, stop: &Notify) -> Ended {
        loop {
            tokio::select! {
                () = stop.notified() => return Ended::Cancelled,
                () = tokio::time::sleep(BEAT) => {}
            }
            match self.parts.store.beat(org, id, LEASE).await {
                Ok(Beat::Kept) => {}
                Ok(Beat::CancelWanted) => return Ended::Cancelled,
                Ok(Beat::Lost) => return Ended::Lost,
                Err(err) => {
                    tracing::warn!(error = plinth_core::chain(&err), run.id = %id, "a run's lease");
                }
            }
        }
    }

    async fn work(
        &self,
        run: &mut QueryRun,
        permit: &Permit<QueriesRead>,
        wanted: Wanted,
    ) -> Ended {
        let _place = self.places.take(run.org).await;
        run.state = RunState::Running;
        run.started_at = Some(self.parts.clock.now());
        match self.fill(run, permit, wanted).await {
            Ok(true) => Ended::Done,
            Ok(false) => Ended::Lost,
            Err(err) => Ended::Failed(err),
        }
    }

    /// Runs it and keeps its rows; `false` if it is not this process's any more.
    async fn fill(
        &self,
        run: &mut QueryRun,
        permit: &Permit<QueriesRead>,
        wanted: Wanted,
    ) -> Result<bool, QueryError> {
        let (queries, store) = (&self.parts.queries, &self.parts.store);
        if !store.save(run, None).await? {
            return Ok(false);
        }
        let answer = match wanted {
            Wanted::Ask(ask) => queries.ask(permit, *ask).await?,
            Wanted::Again(id, again) => {
                Answer::Rows(Box::new(queries.run_again(permit, id, again).await?))
            }
        };
        let mut running = match answer {
            Answer::Rows(running) => running,
            Answer::Meta(record) => {
                run.query = Some(record.id);
                run.answer.clone_from(&record.notes.answer);
                return Ok(true);
            }
            Answer::Planned(explained) => {
                run.query = Some(explained.record.id);
                run.sql.clone_from(&explained.record.sql);
                return Ok(true);
            }
        };
        run.query = Some(running.id());
        run.sql = Some(running.sql().to_owned());
        run.row_limit = Some(running.row_limit());
        run.cached_at = running.notes().cached_at;
        run.columns = columns(&running);
        let types = running.types().clone();
        let mut json = JsonRows::new(running.columns(), &types);
        let (mut page, mut bytes) = (Vec::new(), 0);
        loop {
            let rows = running.next().await?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                bytes += row.size_bytes();
                page.push(json.values(row));
                if page.len() >= PAGE_ROWS || bytes >= PAGE_BYTES {
                    bytes = 0;
                    if !self.keep(run, std::mem::take(&mut page)).await? {
                        return Ok(false);
                    }
                }
            }
        }
        if !page.is_empty() && !self.keep(run, page).await? {
            return Ok(false);
        }
        let summary = running.summary();
        run.cut_off = summary.and_then(|it| it.cut_off);
        run.text_replaced = json.replaced_text();
        run.execution_time_ms = summary.map(|it| it.execution_time_ms);
        run.answer.clone_from(&running.notes().answer);
        Ok(true)
    }

    /// Keeps some more rows.
    async fn keep(&self, run: &mut QueryRun, rows: Vec<Vec<Value>>) -> Result<bool, QueryError> {
        let (first_row, row_count) = (run.row_count, rows.len() as u64);
        let (key, at) = (self.parts.key.clone(), location(run));
        // Writing and sealing half a megabyte takes a while; others' requests do not wait for it.
        let sealed = tokio::task::spawn_blocking(move || {
            let text: SecretString = serde_json::to_string(&(first_row, rows))?.into();
            let sealed = key.seal(at, &text)?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(sealed)
        });
        let sealed = sealed.await.map_err(|err| StoreError::Internal(err.into()))?;
        let sealed = sealed.map_err(StoreError::Internal)?;
        let sealed = [&sealed.key_version.to_be_bytes(), sealed.bytes.as_slice()].concat();
        run.row_count += row_count;
        let page = SealedPage { first_row, row_count, sealed };
        Ok(self.parts.store.save(run, Some(&page)).await?)
    }

    fn unseal(&self, run: &QueryRun, page: &SealedPage) -> Result<Vec<Vec<Value>>, StoreError> {
        let broken = || StoreError::Internal("the rows of a run do not open".into());
        let (version, bytes) = page.sealed.split_first_chunk::<4>().ok_or_else(broken)?;
        let sealed = Sealed { key_version: i32::from_be_bytes(*version), bytes: bytes.to_vec() };
        let text = self.parts.key.open(location(run), &sealed).map_err(|_| broken())?;
        let (first_row, rows): (u64, _) =
            serde_json::from_str(text.expose_secret()).map_err(|_| broken())?;
        // Sealed for its run, and for its place there.
        if first_row == page.first_row { Ok(rows) } else { Err(broken()) }
    }
}

fn viewer(permit: &Permit<QueriesRead>) -> RunViewer {
    RunViewer { user: permit.user(), test_only: permit.principal().test_only }
}

fn location(run: &QueryRun) -> Location<'static> {
    Location { org: run.org, table: "query_run_pages", column: "rows", record: run.id.as_uuid() }
}

fn columns(running: &Running) -> Vec<SavedColumn> {
    let types = running.types();
    let column = |it: &crate::ResultColumn| SavedColumn {
        name: it.name.clone(),
        type_name: type_name(it.type_oid, it.type_modifier, types).into_owned(),
    };
    running.columns().iter().map(column).collect()
}
