//! Runs of queries that nobody waits for, and their rows.

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use jiff::SignedDuration;
use plinth_connections::ConnectionId;
use plinth_core::{OrgId, StoreError, UserId};
use plinth_queries::{
    Beat, CutOff, QueryId, QueryRun, QueryRunId, QueryRunStore, RunFault, RunState, RunViewer,
    SavedColumn, SealedPage,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Json, ToSql};
use uuid::Uuid;

use crate::Database;
use crate::database::{internal, store};
use crate::queries::{storable, storable_json};
use crate::sweep::Old;

/// [`QueryRunStore`] in our own database.
#[derive(Clone)]
pub struct PostgresQueryRuns {
    database: Database,
}

impl PostgresQueryRuns {
    /// Keeps runs in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

/// What an organization keeps of runs that ended: bytes of rows as they lie here, and runs.
const KEPT_BYTES: i64 = 256 << 20;
const KEPT_RUNS: i64 = 1_000;

const COLUMNS: &str =
    "id, org_id, user_id, connection_id, state, cancel_wanted, query_id, sql, answer, columns,
    row_count, row_limit, cut_off, text_replaced, cached_at, execution_time_ms, error, created_at, started_at, finished_at, expires_at";

/// The runs that a viewer sees; `$1` is the organization, `$2` the run, `$3` the viewer, `$4` whether by a test key.
const VISIBLE: &str = "org_id = $1 AND id = $2 AND user_id = $3 AND connection_id IN (
    SELECT id FROM connections WHERE org_id = $1 AND deleted_at IS NULL AND (is_test OR NOT $4))";

fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, StoreError> {
    row.try_get(column).map_err(internal)
}

fn run(row: &Row) -> Result<QueryRun, StoreError> {
    let state: &str = get(row, "state")?;
    let cut_off: Option<&str> = get(row, "cut_off")?;
    let row_limit: Option<i64> = get(row, "row_limit")?;
    Ok(QueryRun {
        id: QueryRunId::from_uuid(get(row, "id")?),
        org: OrgId::from_uuid(get(row, "org_id")?),
        user: UserId::from_uuid(get(row, "user_id")?),
        connection: ConnectionId::from_uuid(get(row, "connection_id")?),
        state: RunState::parse(state).ok_or_else(|| internal("a run in no state"))?,
        is_cancel_wanted: get(row, "cancel_wanted")?,
        query: get::<Option<_>>(row, "query_id")?.map(QueryId::from_uuid),
        sql: get(row, "sql")?,
        answer: get(row, "answer")?,
        columns: read_columns(&get::<Json<Vec<StoredColumn>>>(row, "columns")?.0),
        row_count: u64::try_from(get::<i64>(row, "row_count")?).map_err(internal)?,
        row_limit: row_limit.map(u64::try_from).transpose().map_err(internal)?,
        cut_off: cut_off.map(|it| if it == "rows" { CutOff::Rows } else { CutOff::Bytes }),
        text_replaced: get(row, "text_replaced")?,
        cached_at: get(row, "cached_at")?,
        execution_time_ms: get(row, "execution_time_ms")?,
        error: get::<Option<Json<RunFault>>>(row, "error")?.map(|it| it.0),
        created_at: get(row, "created_at")?,
        started_at: get(row, "started_at")?,
        finished_at: get(row, "finished_at")?,
        expires_at: get(row, "expires_at")?,
    })
}

#[derive(Deserialize)]
struct StoredColumn {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
}

fn read_columns(stored: &[StoredColumn]) -> Vec<SavedColumn> {
    let column =
        |it: &StoredColumn| SavedColumn { name: it.name.clone(), type_name: it.type_name.clone() };
    stored.iter().map(column).collect()
}

fn written_columns(columns: &[SavedColumn]) -> Value {
    columns.iter().map(|it| json!({ "name": it.name, "type": it.type_name })).collect()
}

async fn find(
    tx: &Transaction<'_>,
    org: OrgId,
    id: QueryRunId,
    viewer: RunViewer,
) -> Result<Option<QueryRun>, StoreError> {
    let query = format!(
        "SELECT {COLUMNS} FROM query_runs
         WHERE {VISIBLE} AND (expires_at IS NULL OR expires_at > db_now())"
    );
    let parameters: [&(dyn ToSql + Sync); 4] =
        [&org.as_uuid(), &id.as_uuid(), &viewer.user.as_uuid(), &viewer.test_only];
    let found = tx.query_opt(&query, &parameters).await.map_err(store)?;
    found.as_ref().map(run).transpose()
}

/// Writes down that the processes of runs are gone, of one run or of all: their leases are over. Gives how many that were.
async fn end_lost(
    tx: &Transaction<'_>,
    org: OrgId,
    run: Option<QueryRunId>,
    kept: SignedDuration,
) -> Result<u64, StoreError> {
    let end = "UPDATE query_runs SET state = 'failed', error = $3, finished_at = db_now(), leased_until = NULL,
             row_count = 0, kept_bytes = 0, expires_at = db_now() + make_interval(secs => $4)
         WHERE org_id = $1 AND ($2::uuid IS NULL OR id = $2) AND finished_at IS NULL AND leased_until <= db_now()
         RETURNING id";
    // In a statement of its own, which sees pages that were saved while the first one waited for the row.
    let forget = "DELETE FROM query_run_pages WHERE org_id = $1 AND run_id = ANY ($2)";
    let lost = Json(RunFault::server_lost());
    let run = run.map(QueryRunId::as_uuid);
    let parameters: [&(dyn ToSql + Sync); 4] = [&org.as_uuid(), &run, &lost, &kept.as_secs_f64()];
    let ended = tx.query(end, &parameters).await.map_err(store)?;
    let ended: Vec<Uuid> = ended.iter().map(|row| get(row, "id")).collect::<Result<_, _>>()?;
    if !ended.is_empty() {
        tx.execute(forget, &[&org.as_uuid(), &ended]).await.map_err(store)?;
    }
    u64::try_from(ended.len()).map_err(internal)
}

/// Forgets what an organization keeps beyond its bounds: of the runs that ended those that did so last stay, and the very last in
/// any case.
async fn trim(tx: &Transaction<'_>, org: OrgId) -> Result<(), StoreError> {
    // Of two that trim at once neither waits for the other: what is locked is going.
    let trim = "DELETE FROM query_runs WHERE org_id = $1 AND id IN (
            SELECT id FROM query_runs WHERE org_id = $1 AND id IN (
                SELECT id FROM (
                    SELECT id, sum(kept_bytes) OVER latest AS bytes, row_number() OVER latest AS number
                    FROM query_runs WHERE org_id = $1 AND finished_at IS NOT NULL
                    WINDOW latest AS (ORDER BY finished_at DESC, id DESC)
                ) AS kept WHERE bytes > $2::bigint AND number > 1 OR number > $3)
            FOR UPDATE SKIP LOCKED)";
    tx.execute(trim, &[&org.as_uuid(), &KEPT_BYTES, &KEPT_RUNS]).await.map_err(store)?;
    Ok(())
}

#[async_trait]
impl QueryRunStore for PostgresQueryRuns {
    async fn insert(
        &self,
        run: &QueryRun,
        most: i64,
        lease: SignedDuration,
    ) -> Result<bool, StoreError> {
        let lease = lease.as_secs_f64();
        // What a dead process left behind does not count.
        let insert = "INSERT INTO query_runs (id, org_id, user_id, connection_id, state, columns, row_count, created_at,
                 leased_until)
             SELECT $2, $1, $3, $4, $5, '[]', 0, $6, db_now() + make_interval(secs => $7)
             WHERE (SELECT count(*) FROM query_runs
                    WHERE org_id = $1 AND finished_at IS NULL AND leased_until > db_now()) < $8";
        self.database
            .for_org(run.org, async |tx| {
                let org = run.org.as_uuid();
                trim(tx, run.org).await?;
                let parameters: [&(dyn ToSql + Sync); 8] = [
                    &org,
                    &run.id.as_uuid(),
                    &run.user.as_uuid(),
                    &run.connection.as_uuid(),
                    &run.state.as_str(),
                    &run.created_at,
                    &lease,
                    &most,
                ];
                Ok(tx.execute(insert, &parameters).await.map_err(store)? == 1)
            })
            .await
    }

    async fn find(
        &self,
        org: OrgId,
        id: QueryRunId,
        viewer: RunViewer,
        kept: SignedDuration,
    ) -> Result<Option<QueryRun>, StoreError> {
        self.database
            .for_org(org, async |tx| {
                let found = find(tx, org, id, viewer).await?;
                if found.as_ref().is_none_or(|it| it.finished_at.is_some()) {
                    return Ok(found);
                }
                if end_lost(tx, org, Some(id), kept).await? == 0 {
                    return Ok(found);
                }
                find(tx, org, id, viewer).await
            })
            .await
    }

    async fn end_lost(&self, kept: SignedDuration) -> Result<u64, StoreError> {
        let with = "SELECT organizations_with_lost_query_runs()";
        let (mut ended, mut failed) = (0, None);
        for row in self.database.rows_of_nobody(with, &[]).await? {
            let org = OrgId::from_uuid(row.try_get(0).map_err(internal)?);
            let end = async |tx: &Transaction<'_>| end_lost(tx, org, None, kept).await;
            // One whose rows somebody holds keeps nobody else's waiting for good.
            match self.database.for_org(org, end).await {
                Ok(more) => ended += more,
                Err(err) => failed = failed.or(Some(err)),
            }
        }
        failed.map_or(Ok(ended), Err)
    }

    async fn beat(
        &self,
        org: OrgId,
        id: QueryRunId,
        lease: SignedDuration,
    ) -> Result<Beat, StoreError> {
        let update = "UPDATE query_runs SET leased_until = db_now() + make_interval(secs => $3)
             WHERE org_id = $1 AND id = $2 AND finished_at IS NULL RETURNING cancel_wanted";
        self.database
            .for_org(org, async |tx| {
                let lease = lease.as_secs_f64();
                let row = tx.query_opt(update, &[&org.as_uuid(), &id.as_uuid(), &lease]).await;
                let Some(row) = row.map_err(store)? else { return Ok(Beat::Lost) };
                let is_wanted: bool = row.try_get(0).map_err(internal)?;
                Ok(if is_wanted { Beat::CancelWanted } else { Beat::Kept })
            })
            .await
    }

    async fn save(&self, run: &QueryRun, page: Option<&SealedPage>) -> Result<bool, StoreError> {
        let update = "UPDATE query_runs SET state = $3, query_id = $4, sql = $5, answer = $6, columns = ($7::text)::jsonb,
                 row_count = $8, row_limit = $9, cut_off = $10, cached_at = $11, execution_time_ms = $12,
                 error = ($13::text)::jsonb, started_at = $14, finished_at = $15, expires_at = $16,
                 kept_bytes = CASE WHEN $18 THEN 0 ELSE kept_bytes + $17 END,
                 text_replaced = $19,
                 leased_until = CASE WHEN $15::timestamptz IS NULL THEN leased_until END
             WHERE org_id = $1 AND id = $2 AND finished_at IS NULL";
        let insert = "INSERT INTO query_run_pages (org_id, run_id, first_row, row_count, rows)
             VALUES ($1, $2, $3, $4, $5)";
        let forget = "DELETE FROM query_run_pages WHERE org_id = $1 AND run_id = $2";
        let is_in_vain = run.state.is_end() && run.state != RunState::Succeeded;
        let row_count = if is_in_vain { 0 } else { run.row_count };
        let row_count = i64::try_from(row_count).map_err(internal)?;
        let row_limit = run.row_limit.map(i64::try_from).transpose().map_err(internal)?;
        let cut_off = run.cut_off.map(|it| match it {
            CutOff::Rows => "rows",
            CutOff::Bytes => "bytes",
        });
        let size = page.map_or(0, |it| it.sealed.len());
        let size = i64::try_from(size).map_err(internal)?;
        self.database
            .for_org(run.org, async |tx| {
                let (org, id) = (run.org.as_uuid(), run.id.as_uuid());
                let parameters: [&(dyn ToSql + Sync); 19] = [
                    &org,
                    &id,
                    &run.state.as_str(),
                    &run.query.map(QueryId::as_uuid),
                    &run.sql.as_deref().map(storable),
                    &run.answer.as_deref().map(storable),
                    &storable_json(&written_columns(&run.columns)),
                    &row_count,
                    &row_limit,
                    &cut_off,
                    &run.cached_at,
                    &run.execution_time_ms,
                    &run.error.as_ref().map(storable_json),
                    &run.started_at,
                    &run.finished_at,
                    &run.expires_at,
                    &size,
                    &is_in_vain,
                    &run.text_replaced,
                ];
                if tx.execute(update, &parameters).await.map_err(store)? == 0 {
                    return Ok(false);
                }
                if is_in_vain {
                    tx.execute(forget, &[&org, &id]).await.map_err(store)?;
                } else if let Some(page) = page {
                    let first = i64::try_from(page.first_row).map_err(internal)?;
                    let count = i64::try_from(page.row_count).map_err(internal)?;
                    let parameters: [&(dyn ToSql + Sync); 5] =
                        [&org, &id, &first, &count, &page.sealed];
                    tx.execute(insert, &parameters).await.map_err(store)?;
                }
                if run.state.is_end() {
                    trim(tx, run.org).await?;
                }
                Ok(true)
            })
            .await
    }

    async fn pages(
        &self,
        org: OrgId,
        id: QueryRunId,
        from: u64,
        most: u64,
        most_bytes: u64,
    ) -> Result<Vec<SealedPage>, StoreError> {
        // How long they are is known without reading them.
        let query = "SELECT first_row, row_count, rows FROM (
                 SELECT first_row, row_count, rows,
                     sum(octet_length(rows)) OVER (ORDER BY first_row) - octet_length(rows) AS before
                 FROM query_run_pages
                 WHERE org_id = $1 AND run_id = $2 AND first_row + row_count > $3 AND first_row < $4
             ) AS pages WHERE before < $5 ORDER BY first_row";
        let end = i64::try_from(from.saturating_add(most)).unwrap_or(i64::MAX);
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        let bytes = i64::try_from(most_bytes).unwrap_or(i64::MAX);
        self.database
            .for_org(org, async |tx| {
                let parameters: [&(dyn ToSql + Sync); 5] =
                    [&org.as_uuid(), &id.as_uuid(), &from, &end, &bytes];
                let rows = tx.query(query, &parameters).await;
                let page = |row: &Row| {
                    Ok(SealedPage {
                        first_row: u64::try_from(get::<i64>(row, "first_row")?)
                            .map_err(internal)?,
                        row_count: u64::try_from(get::<i64>(row, "row_count")?)
                            .map_err(internal)?,
                        sealed: get(row, "rows")?,
                    })
                };
                rows.map_err(store)?.iter().map(page).collect()
            })
            .await
    }

    async fn cancel(
        &self,
        org: OrgId,
        id: QueryRunId,
        viewer: RunViewer,
    ) -> Result<bool, StoreError> {
        let update = format!(
            "UPDATE query_runs SET cancel_wanted = cancel_wanted OR finished_at IS NULL WHERE {VISIBLE}"
        );
        self.database
            .for_org(org, async |tx| {
                let parameters: [&(dyn ToSql + Sync); 4] =
                    [&org.as_uuid(), &id.as_uuid(), &viewer.user.as_uuid(), &viewer.test_only];
                Ok(tx.execute(&update, &parameters).await.map_err(store)? == 1)
            })
            .await
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        // A run whose process died and for which nobody came back goes with its lease.
        let old = Old {
            table: "query_runs",
            which: "(expires_at <= (SELECT db_now()) OR leased_until <= (SELECT db_now() - interval '1 hour'))",
            // With each go its rows, up to many megabytes.
            part: 20,
        };
        let database = &self.database;
        let sweep = |org: OrgId| {
            let old = &old;
            async move { database.delete_old(org, old, &[&org.as_uuid()]).await }
        };
        let all = database.organizations().await?;
        Ok(plinth_core::sweep_each("rows of runs", all, sweep).await)
    }
}
