use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use plinth_connections::ConnectionId;
use plinth_core::{Cursor, KeyId, Limit, OrgId, StoreError, UserId};
use plinth_queries::{HistoryEntry, HistoryFilter, QueryId, QueryOutcome, QueryRecord, QueryStore};
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use crate::database::{internal, store};
use crate::{Database, audit};

/// [`QueryStore`] in our own database.
#[derive(Clone)]
pub struct PostgresQueries {
    database: Database,
}

impl PostgresQueries {
    /// Keeps the history in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

const COLUMNS: &str =
    "id, org_id, connection_id, user_id, key_id, question, sql, outcome, answer, error, row_count,
    truncated, execution_time_ms, saved, created_at";

/// What a filter lets through; `$1` is the organization, `$2` and `$3` the filter's two sides.
const FILTER: &str = "org_id = $1 AND (saved OR NOT $2) AND (NOT $3 OR connection_id IN (
    SELECT id FROM connections WHERE org_id = $1 AND is_test))";

#[async_trait]
impl QueryStore for PostgresQueries {
    async fn insert(&self, org: OrgId, entries: &[Arc<HistoryEntry>]) -> Result<(), StoreError> {
        // One statement for many rows: a busy server writes thousands of entries a second.
        let insert = format!(
            "INSERT INTO queries ({COLUMNS})
             SELECT a, b, c, d, e, f, g, h, i::jsonb, j::jsonb, k, l, m, n, o
             FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[],
                 $8::text[], $9::text[], $10::text[], $11::bigint[], $12::boolean[], $13::double precision[],
                 $14::boolean[], $15::timestamptz[]) AS it (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o)
             ON CONFLICT (id) DO NOTHING RETURNING id"
        );
        self.database
            .for_org(org, async |tx| {
                let insert = tx.prepare_cached(&insert).await.map_err(store)?;
                let mut told = Vec::with_capacity(entries.len());
                for records in entries.chunks(BATCH) {
                    let parameters: [&(dyn ToSql + Sync); 15] = [
                        &column(records, |it| it.id.as_uuid()),
                        &column(records, |it| it.org.as_uuid()),
                        &column(records, |it| it.connection.as_uuid()),
                        &column(records, |it| it.user.as_uuid()),
                        &column(records, |it| it.key.map(KeyId::as_uuid)),
                        &column(records, |it| it.question.as_deref().map(storable)),
                        &column(records, |it| it.sql.as_deref().map(storable)),
                        &column(records, |it| it.outcome.as_str()),
                        &column(records, |it| storable_json(&it.notes)),
                        &column(records, |it| it.error.as_ref().map(storable_json)),
                        &column(records, |it| {
                            it.row_count.map(|it| i64::try_from(it).unwrap_or(i64::MAX))
                        }),
                        &column(records, |it| it.truncated),
                        &column(records, |it| it.execution_time_ms),
                        &column(records, |it| it.saved),
                        &column(records, |it| it.created_at),
                    ];
                    let new = tx.query(&insert, &parameters).await.map_err(store)?;
                    let new: HashSet<Uuid> = new.iter().map(|row| row.get(0)).collect();
                    let new = records.iter().filter(|it| new.contains(&it.id.as_uuid()));
                    told.extend(new.map(|it| it.audit_entry()));
                }
                // What was written before, by a try whose end was lost, the trail tells of already.
                audit::append_all(&self.database, tx, org, &told).await
            })
            .await
    }

    async fn find(
        &self,
        org: OrgId,
        id: QueryId,
        filter: HistoryFilter,
    ) -> Result<Option<QueryRecord>, StoreError> {
        let query = format!("SELECT {COLUMNS} FROM queries WHERE {FILTER} AND id = $4");
        self.database
            .for_org(org, async |tx| {
                let HistoryFilter { saved_only, test_only } = filter;
                let row = tx
                    .query_opt(&query, &[&org.as_uuid(), &saved_only, &test_only, &id.as_uuid()])
                    .await;
                row.map_err(store)?.as_ref().map(read).transpose()
            })
            .await
    }

    async fn list(
        &self,
        org: OrgId,
        filter: HistoryFilter,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<QueryRecord>, StoreError> {
        let query = format!(
            "SELECT {COLUMNS} FROM queries
             WHERE {FILTER} AND ($4::timestamptz IS NULL OR (created_at, id) < ($4, $5))
             ORDER BY created_at DESC, id DESC LIMIT $6"
        );
        let HistoryFilter { saved_only, test_only } = filter;
        let (at, id) = (after.map(|it| it.created_at), after.map(|it| it.id));
        let limit = i64::from(limit.get()) + 1;
        self.database
            .for_org(org, async |tx| {
                let rows = tx
                    .query(&query, &[&org.as_uuid(), &saved_only, &test_only, &at, &id, &limit])
                    .await;
                rows.map_err(store)?.iter().map(read).collect()
            })
            .await
    }

    async fn remove(
        &self,
        org: OrgId,
        id: QueryId,
        filter: HistoryFilter,
    ) -> Result<bool, StoreError> {
        let delete = format!("DELETE FROM queries WHERE {FILTER} AND id = $4");
        self.database
            .for_org(org, async |tx| {
                let HistoryFilter { saved_only, test_only } = filter;
                let removed = tx
                    .execute(&delete, &[&org.as_uuid(), &saved_only, &test_only, &id.as_uuid()])
                    .await;
                Ok(removed.map_err(store)? == 1)
            })
            .await
    }
}

/// How many entries one statement writes.
const BATCH: usize = 500;

/// One column of many records.
fn column<'a, T>(records: &'a [Arc<HistoryEntry>], of: impl Fn(&'a QueryRecord) -> T) -> Vec<T> {
    records.iter().map(|it| of(it)).collect()
}

/// Postgres keeps no NUL in a text; what callers send may hold one, and is still worth remembering.
pub(crate) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// The same for what is kept as JSON, where a NUL stands as an escape.
pub(crate) fn storable_json(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
    if text.contains("\\u0000") { text.replace("\\u0000", "\\ufffd") } else { text }
}

fn read(row: &Row) -> Result<QueryRecord, StoreError> {
    let outcome: &str = row.try_get("outcome").map_err(internal)?;
    let outcome = QueryOutcome::ALL
        .into_iter()
        .find(|it| it.as_str() == outcome)
        .ok_or_else(|| internal(format!("no outcome: {outcome}")))?;
    let row_count: Option<i64> = row.try_get("row_count").map_err(internal)?;
    Ok(QueryRecord {
        id: QueryId::from_uuid(row.try_get("id").map_err(internal)?),
        org: OrgId::from_uuid(row.try_get("org_id").map_err(internal)?),
        connection: ConnectionId::from_uuid(row.try_get("connection_id").map_err(internal)?),
        user: UserId::from_uuid(row.try_get("user_id").map_err(internal)?),
        key: row.try_get::<_, Option<_>>("key_id").map_err(internal)?.map(KeyId::from_uuid),
        question: row.try_get("question").map_err(internal)?,
        sql: row.try_get("sql").map_err(internal)?,
        outcome,
        notes: row.try_get::<_, Json<_>>("answer").map_err(internal)?.0,
        error: row.try_get::<_, Option<Json<_>>>("error").map_err(internal)?.map(|it| it.0),
        row_count: row_count.map(u64::try_from).transpose().map_err(internal)?,
        truncated: row.try_get("truncated").map_err(internal)?,
        execution_time_ms: row.try_get("execution_time_ms").map_err(internal)?,
        saved: row.try_get("saved").map_err(internal)?,
        created_at: row.try_get("created_at").map_err(internal)?,
    })
}
