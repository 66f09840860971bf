use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool, QueueMode, RecyclingMethod, Runtime, Transaction,
};
use futures_util::future::{join, join4};
use plinth_core::{Clock, Cursor, Limit, OrgId, StoreError, UserId};
use plinth_tenancy::TrailKey;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Connection, IsolationLevel, Row, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

use crate::DatabaseUrl;
use crate::tls::Verify;

/// How long a request may wait for a connection.
const WAIT_LIMIT: Duration = Duration::from_secs(5);

/// How long a worker may: it has what it does to itself for three seconds, unless it says in time that it is still at it.
const WORKERS_WAIT_LIMIT: Duration = Duration::from_secs(2);

/// Connections of workers at the least. Taking runs, keeping them, and for one organization two transactions that move runs on
/// and two that begin actions may be under way at once; more than that only shortens waits.
const WORKERS_LEAST: usize = 6;

/// Says whose rows a transaction sees.
const SET_ORG: &str = "SELECT set_config('plinth.org_id', $1, true)";

/// The same, and that its commit waits for no disk.
const SET_ORG_UNFLUSHED: &str =
    "SELECT set_config('plinth.org_id', $1, true), set_config('synchronous_commit', 'off', true)";

/// What is asked at every turn is planned once for each session: everything in it is found by its key, so that no value makes
/// another plan better, and planning takes longer than what is planned. Where tables were small when it was planned, reading
/// them whole would be the plan that stays.
const SET_ORG_PLANNED: &str =
    "SELECT set_config('plinth.org_id', $1, true), set_config('plan_cache_mode', 'force_generic_plan', true),
         set_config('enable_seqscan', 'off', true)";

/// The same, and that its commit waits for no disk.
const SET_ORG_PLANNED_UNFLUSHED: &str =
    "SELECT set_config('plinth.org_id', $1, true), set_config('plan_cache_mode', 'force_generic_plan', true),
         set_config('enable_seqscan', 'off', true), set_config('synchronous_commit', 'off', true)";

/// What was committed before on the session is on disk when this is answered: it writes a record of its own, and its commit
/// waits for the disk.
const FLUSH: &str = "SELECT pg_logical_emit_message(true, 'plinth', '')";

type TlsStream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// A pool of connections to our own database, all as the role `plinth_app`.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    /// For sessions beside the pool.
    dialled: Arc<(Config, MakeRustlsConnect)>,
    trail: Option<TrailKey>,
    clock: Option<Arc<dyn Clock>>,
}

impl Database {
    /// Opens a pool of at most `size` connections and checks that the first one is bound by row-level security.
    ///
    /// # Errors
    ///
    /// [`OpenError`], with what the operator can do.
    pub async fn open(url: &DatabaseUrl, size: usize) -> Result<Self, OpenError> {
        let (config, verify) = url.as_app();
        let tls = verify.connector().map_err(|err| OpenError::Tls(err.to_string()))?;
        let dialled = Arc::new((config, tls));
        let pool = pool(&dialled, size, WAIT_LIMIT);
        let client = pool.get().await.map_err(|err| OpenError::of(&err))?;
        let query = "SELECT current_user::text, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user";
        let row = client
            .query_one(query, &[])
            .await
            .map_err(|err| OpenError::Refused(err.to_string()))?;
        let (role, free): (String, bool) = (row.get(0), row.get(1));
        if role != "plinth_app" || free {
            return Err(OpenError::NotBound(role));
        }
        drop(client);
        Ok(Self { pool, dialled, trail: None, clock: None })
    }

    /// The same, with the key that chains the audit trail; changes cannot be made without.
    #[must_use]
    pub fn with_trail(mut self, key: TrailKey) -> Self {
        self.trail = Some(key);
        self
    }

    /// The same database over connections of their own, as many again and at least six, which are dialled
    /// when they are needed. For what has to be written within a lease: requests, however many and slow, take none of these.
    #[must_use]
    pub fn for_workers(&self) -> Self {
        let size = self.pool.status().max_size.max(WORKERS_LEAST);
        Self { pool: pool(&self.dialled, size, WORKERS_WAIT_LIMIT), ..self.clone() }
    }

    /// The same, with a clock instead of the database's own, by which leases are decided. For tests.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The key that chains the audit trail.
    pub(crate) fn trail(&self) -> Result<&TrailKey, StoreError> {
        self.trail
            .as_ref()
            .ok_or_else(|| internal("the database was opened without the trail's key"))
    }

    /// Every organization there is.
    pub(crate) async fn organizations(&self) -> Result<Vec<OrgId>, StoreError> {
        self.for_nobody(async |tx| {
            let rows = tx.query("SELECT list_organizations()", &[]).await.map_err(store)?;
            Ok(rows.iter().map(|row| OrgId::from_uuid(row.get(0))).collect())
        })
        .await
    }

    /// The wrapped key of the installation: the given one if there was none, else the one that is kept.
    ///
    /// # Errors
    ///
    /// Only when the database does not answer.
    pub async fn keep_installation_key(
        &self,
        version: i32,
        wrapped: &[u8],
    ) -> Result<(i32, Vec<u8>), StoreError> {
        self.for_nobody(async |tx| {
            let keep = "SELECT kept_version, kept_wrapped FROM keep_installation_key($1, $2)";
            let row = tx.query_one(keep, &[&version, &wrapped]).await.map_err(store)?;
            Ok((row.try_get(0).map_err(internal)?, row.try_get(1).map_err(internal)?))
        })
        .await
    }

    /// Whether the database answers.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let client = self.pool.get().await.map_err(unavailable)?;
        client.query_one("SELECT 1", &[]).await.map_err(store).map(|_| ())
    }

    /// Whether the master key that the installation's secrets are sealed with is among those of these check values; if none
    /// was shown before, the first of these counts from now on.
    ///
    /// # Errors
    ///
    /// Only when the database does not answer.
    pub async fn check_master_keys(&self, checks: &[&[u8]]) -> Result<bool, StoreError> {
        self.for_nobody(async |tx| {
            let same = tx.query_one("SELECT check_master_keys($1)", &[&checks]).await;
            Ok(same.map_err(store)?.get::<_, Option<bool>>(0) == Some(true))
        })
        .await
    }

    /// A session beside the pool, for what is not a transaction. Whoever gets it moves its bytes.
    pub(crate) async fn dial(&self) -> Result<(Client, Connection<Socket, TlsStream>), StoreError> {
        let (config, tls) = &*self.dialled;
        let dialled = tokio::time::timeout(WAIT_LIMIT, config.connect(tls.clone())).await;
        dialled.map_err(unavailable)?.map_err(store)
    }

    /// Runs `work` in one transaction that sees only that organization's rows; commits if it returns `Ok`.
    pub(crate) async fn for_org<T, E: From<StoreError>>(
        &self,
        org: OrgId,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut client = self.pool.get().await.map_err(unavailable)?;
        let tx = client.transaction().await.map_err(store)?;
        self.run_for(org, SET_ORG, tx, work).await
    }

    /// The same, but its commit does not wait for the disk: everybody sees it at once, and a crash of the database within
    /// the next second may take it away, whole and with what was committed after it in this way. For what somebody
    /// waits for at each question and can do without.
    pub(crate) async fn for_org_unflushed<T, E: From<StoreError>>(
        &self,
        org: OrgId,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut client = self.pool.get().await.map_err(unavailable)?;
        let tx = client.transaction().await.map_err(store)?;
        self.run_for(org, SET_ORG_UNFLUSHED, tx, work).await
    }

    /// As [`Self::for_org`], for a transaction that is made again and again and begins with one statement: it goes out
    /// together with what says whose rows are seen, and is planned once. Its rows are given to `work`. Unless `flushed`, the
    /// commit waits for no disk, as that of [`Self::for_org_unflushed`].
    pub(crate) async fn for_org_after<T>(
        &self,
        org: OrgId,
        flushed: bool,
        first: &str,
        parameters: &[&(dyn ToSql + Sync)],
        work: impl AsyncFnOnce(&Transaction<'_>, Vec<Row>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let set = if flushed { SET_ORG_PLANNED } else { SET_ORG_PLANNED_UNFLUSHED };
        let mut client = self.pool.get().await.map_err(unavailable)?;
        let tx = client.transaction().await.map_err(store)?;
        if self.clock.is_some() {
            let work = async |tx: &Transaction<'_>| {
                let first = tx.prepare_cached(first).await.map_err(store)?;
                let rows = tx.query(&first, parameters).await.map_err(store)?;
                work(tx, rows).await
            };
            return self.run_for(org, set, tx, work).await;
        }
        let set = tx.prepare_cached(set).await.map_err(store)?;
        let first = tx.prepare_cached(first).await.map_err(store)?;
        let org = org.to_string();
        let set_to: [&(dyn ToSql + Sync); 1] = [&org];
        // Each is sent when it is first polled, in this order. If the first fails, so does everything after it.
        let (set, rows) = join(tx.execute(&set, &set_to), tx.query(&first, parameters)).await;
        set.map_err(store)?;
        let done = work(&tx, rows.map_err(store)?).await?;
        tx.commit().await.map_err(store)?;
        Ok(done)
    }

    /// For several transactions of an organization, one after the other, that hold their locks while they compute and not
    /// while the disk writes.
    pub(crate) async fn hurry(&self, org: OrgId) -> Result<Hurry<'_>, StoreError> {
        let client = self.pool.get().await.map_err(unavailable)?;
        Ok(Hurry { database: self, client, org })
    }

    /// `org`'s rows of `table` that come after a cursor, newest first, and one more than asked for: whoever cuts the page sees
    /// by that whether there is another.
    pub(crate) async fn newest_of<T>(
        &self,
        org: OrgId,
        columns: &str,
        table: &str,
        after: Option<Cursor>,
        limit: Limit,
        read: impl Fn(&Row) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let query = format!(
            "SELECT {columns} FROM {table}
             WHERE org_id = $1 AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3))
             ORDER BY created_at DESC, id DESC LIMIT $4"
        );
        let (at, id) = (after.map(|it| it.created_at), after.map(|it| it.id));
        let limit = i64::from(limit.get()) + 1;
        self.for_org(org, async |tx| {
            let found = tx.query(&query, &[&org.as_uuid(), &at, &id, &limit]).await;
            found.map_err(store)?.iter().map(&read).collect()
        })
        .await
    }

    /// The same, reading only, with every statement seeing the same moment.
    pub(crate) async fn for_org_as_of_now<T, E: From<StoreError>>(
        &self,
        org: OrgId,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut client = self.pool.get().await.map_err(unavailable)?;
        self.run_as_of_now(&mut client, org, work).await
    }

    /// The same, and what it gives is on disk: where others commit before the disk has written, a crash could take back what
    /// somebody was shown already.
    ///
    /// # Errors
    ///
    /// Also [`StoreError::Unavailable`] if the database crashed meanwhile.
    pub(crate) async fn for_org_as_on_disk<T, E: From<StoreError>>(
        &self,
        org: OrgId,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut client = self.pool.get().await.map_err(unavailable)?;
        let done = self.run_as_of_now(&mut client, org, work).await?;
        Hurry { database: self, client, org }.flush().await?;
        Ok(done)
    }

    async fn run_as_of_now<T, E: From<StoreError>>(
        &self,
        client: &mut Object,
        org: OrgId,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let start = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
        let tx = start.read_only(true).start().await.map_err(store)?;
        self.run_for(org, SET_ORG, tx, work).await
    }

    async fn run_for<T, E: From<StoreError>>(
        &self,
        org: OrgId,
        set: &str,
        tx: Transaction<'_>,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let set = tx.prepare_cached(set).await.map_err(store)?;
        tx.execute(&set, &[&org.to_string()]).await.map_err(store)?;
        self.set_clock(&tx).await?;
        let done = work(&tx).await?;
        tx.commit().await.map_err(store)?;
        Ok(done)
    }

    /// The rows of one statement that sees only that organization's rows. Everything is sent at once and answered at once:
    /// one trip to the database instead of four. For what is read at every turn, by its key: it is planned once.
    pub(crate) async fn rows_of_org(
        &self,
        org: OrgId,
        query: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        if self.clock.is_some() {
            let read = async |tx: &Transaction<'_>| {
                let query = tx.prepare_cached(query).await.map_err(store)?;
                tx.query(&query, parameters).await.map_err(store)
            };
            return self.for_org(org, read).await;
        }
        let client = self.pool.get().await.map_err(unavailable)?;
        let set = client.prepare_cached(SET_ORG_PLANNED).await.map_err(store)?;
        let query = client.prepare_cached(query).await.map_err(store)?;
        let org = org.to_string();
        let set_to: [&(dyn ToSql + Sync); 1] = [&org];
        // Each is sent when it is first polled, and this polls them in their order.
        let (begun, set, rows, ended) = join4(
            client.batch_execute("BEGIN READ ONLY"),
            client.execute(&set, &set_to),
            client.query(&query, parameters),
            client.batch_execute("COMMIT"),
        )
        .await;
        begun.map_err(store)?;
        set.map_err(store)?;
        let rows = rows.map_err(store)?;
        ended.map_err(store)?;
        Ok(rows)
    }

    /// The rows of one statement that sees no organization's rows, a transaction by itself: for the look-up functions.
    pub(crate) async fn rows_of_nobody(
        &self,
        query: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        if self.clock.is_some() {
            let read = async |tx: &Transaction<'_>| {
                let query = tx.prepare_cached(query).await.map_err(store)?;
                tx.query(&query, parameters).await.map_err(store)
            };
            return self.for_nobody(read).await;
        }
        let client = self.pool.get().await.map_err(unavailable)?;
        let query = client.prepare_cached(query).await.map_err(store)?;
        client.query(&query, parameters).await.map_err(store)
    }

    /// Runs `work` in one transaction that sees that person's own rows and where they belong, and besides all rows of
    /// `org`, if one is given: for what a person's act leaves there.
    pub(crate) async fn for_person<T, E: From<StoreError>>(
        &self,
        person: UserId,
        org: Option<OrgId>,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut client = self.pool.get().await.map_err(unavailable)?;
        let tx = client.transaction().await.map_err(store)?;
        let set =
            "SELECT set_config('plinth.user_id', $1, true), set_config('plinth.org_id', $2, true)";
        let set = tx.prepare_cached(set).await.map_err(store)?;
        let org = org.map(|it| it.to_string()).unwrap_or_default();
        tx.execute(&set, &[&person.as_uuid().to_string(), &org]).await.map_err(store)?;
        self.set_clock(&tx).await?;
        let done = work(&tx).await?;
        tx.commit().await.map_err(store)?;
        Ok(done)
    }

    /// Runs `work` in one transaction that sees no organization's rows, for the look-up functions.
    pub(crate) async fn for_nobody<T, E: From<StoreError>>(
        &self,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut client = self.pool.get().await.map_err(unavailable)?;
        let tx = client.transaction().await.map_err(store)?;
        self.set_clock(&tx).await?;
        let done = work(&tx).await?;
        tx.commit().await.map_err(store)?;
        Ok(done)
    }

    async fn set_clock(&self, tx: &Transaction<'_>) -> Result<(), StoreError> {
        let Some(clock) = &self.clock else { return Ok(()) };
        let set = "SELECT set_config('plinth.test_now', $1, true)";
        tx.execute(set, &[&clock.now().to_string()]).await.map_err(store)?;
        Ok(())
    }
}

fn pool(dialled: &(Config, MakeRustlsConnect), size: usize, wait_limit: Duration) -> Pool {
    let (config, tls) = dialled.clone();
    let recycle = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    Pool::builder(Manager::from_config(config, tls, recycle))
        .max_size(size)
        // What was used last knows the statements already, and what it needs of the catalogs; the others stay for rushes.
        .queue_mode(QueueMode::Lifo)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(wait_limit))
        .create_timeout(Some(wait_limit))
        .build()
        .expect("limits of time have a runtime")
}

/// Transactions whose commits everybody sees at once, and which are stored only when [`Hurry::flush`] says so: until then a
/// crash of the database may take the last of them away, whole, and whatever others committed after it in this way. Their
/// statements are planned once for each session, as those of [`Database::for_org_after`].
pub(crate) struct Hurry<'a> {
    database: &'a Database,
    client: Object,
    org: OrgId,
}

impl Hurry<'_> {
    /// Begins the next one. Whoever began it commits it.
    pub(crate) async fn begin(&mut self) -> Result<Transaction<'_>, StoreError> {
        let tx = self.client.transaction().await.map_err(store)?;
        let set = tx.prepare_cached(SET_ORG_PLANNED_UNFLUSHED).await.map_err(store)?;
        tx.execute(&set, &[&self.org.to_string()]).await.map_err(store)?;
        self.database.set_clock(&tx).await?;
        Ok(tx)
    }

    /// Waits until all of them are on disk.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] also if the database crashed since: then its session is gone, on which this is said.
    pub(crate) async fn flush(self) -> Result<(), StoreError> {
        let flush = self.client.prepare_cached(FLUSH).await.map_err(store)?;
        self.client.query_one(&flush, &[]).await.map_err(store).map(drop)
    }
}

/// Why our own database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The TLS settings do not work.
    #[error("TLS to the database cannot be set up: {0}")]
    Tls(String),
    /// The server refused the connection.
    #[error("the database refused the connection: {0}")]
    Refused(String),
    /// A transaction pooler stands in front, which would mix up the sessions of different organizations.
    #[error(
        "a connection pooler in transaction mode (PgBouncer, or a `-pooler` host) stands in front of the database; \
         give the URL of the database itself: Plinth pools its connections itself and needs sessions of its own"
    )]
    Pooler,
    /// The runtime role is not bound by row-level security.
    #[error(
        "the runtime role `{0}` is not bound by row-level security; it must be `plinth_app` without BYPASSRLS"
    )]
    NotBound(String),
}

impl OpenError {
    pub(crate) fn of(err: &dyn std::error::Error) -> Self {
        let text = plinth_core::chain(err);
        // PgBouncer refuses the startup parameter by which the role is set, before it asks the server.
        if text.contains("unsupported startup parameter") {
            return Self::Pooler;
        }
        Self::Refused(text)
    }
}

/// One connection as the owner, for migrations.
pub(crate) async fn connect_as_owner(url: &DatabaseUrl) -> Result<Client, OpenError> {
    if url.host().split('.').next().is_some_and(|it| it.ends_with("-pooler")) {
        return Err(OpenError::Pooler);
    }
    connect(url.as_owner()).await
}

/// One connection; what moves its bytes ends with it.
pub(crate) async fn connect((config, verify): (Config, &Verify)) -> Result<Client, OpenError> {
    let tls = verify.connector().map_err(|err| OpenError::Tls(err.to_string()))?;
    let (client, connection) = config.connect(tls).await.map_err(|err| OpenError::of(&err))?;
    tokio::spawn(async move {
        if let Err(err) = connection.await {
            tracing::warn!(error = %plinth_core::chain(&err), "a connection of its own ended");
        }
    });
    Ok(client)
}

/// The name of the constraint that a statement broke, if it broke one.
pub(crate) fn broken_constraint(err: &tokio_postgres::Error) -> Option<&str> {
    err.as_db_error()?.constraint()
}

/// What a port reports when a statement failed for no reason of its own.
pub(crate) fn store(err: tokio_postgres::Error) -> StoreError {
    use tokio_postgres::error::SqlState;
    // Shutting down, starting up, out of connections, cancelled for time: it may work in a moment.
    let passing = err.code().is_none_or(|code| {
        matches!(code.code().get(..2), Some("08" | "53" | "57"))
            || *code == SqlState::LOCK_NOT_AVAILABLE
    });
    if passing { unavailable(err) } else { internal(err) }
}

pub(crate) fn internal(err: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Internal(err.into())
}

pub(crate) fn unavailable(err: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Unavailable(err.into())
}

/// What became of a row that was to be deleted.
pub(crate) enum Deletion {
    Done,
    /// There is none.
    Missing,
    /// It has another revision than was expected.
    Changed,
}

/// Deletes a row of an organization's `table`, if its revision is one of `expected`.
pub(crate) async fn delete(
    tx: &Transaction<'_>,
    table: &'static str,
    (org, id): (OrgId, Uuid),
    expected: Option<&[i64]>,
) -> Result<Deletion, StoreError> {
    let query = format!("SELECT revision FROM {table} WHERE org_id = $1 AND id = $2 FOR UPDATE");
    let Some(row) = tx.query_opt(&query, &[&org.as_uuid(), &id]).await.map_err(store)? else {
        return Ok(Deletion::Missing);
    };
    let revision: i64 = row.try_get(0).map_err(internal)?;
    if expected.is_some_and(|it| !it.contains(&revision)) {
        return Ok(Deletion::Changed);
    }
    let delete = format!("DELETE FROM {table} WHERE org_id = $1 AND id = $2");
    tx.execute(&delete, &[&org.as_uuid(), &id]).await.map_err(store)?;
    Ok(Deletion::Done)
}
