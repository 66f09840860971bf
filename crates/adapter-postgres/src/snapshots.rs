use std::io::{Read as _, Write as _};
use std::sync::Arc;

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use jiff::Timestamp;
use plinth_connections::ConnectionId;
use plinth_core::{Cursor, Limit, OrgId, StoreError};
use plinth_schema_introspect::{
    Catalog, CatalogPatch, InsertSnapshotError, KEPT_DAYS, KEPT_SNAPSHOTS, Parts, Snapshot,
    SnapshotId, SnapshotStore, SnapshotSummary, StructureDigest,
};
use plinth_tenancy::outbox::{Message, MessageId};
use plinth_workflows::events::EventKind;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio_postgres::Row;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::database::{internal, store};
use crate::{Database, events, outbox};

/// [`SnapshotStore`] in our own database.
#[derive(Clone)]
pub struct PostgresSnapshots {
    database: Database,
}

impl PostgresSnapshots {
    /// Keeps snapshots in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

/// How many ids of replaced snapshots one remembers; who noted an older one has to begin anew.
const EARLIER_IDS: usize = 500;

#[async_trait]
impl SnapshotStore for PostgresSnapshots {
    async fn insert(&self, snapshot: &Arc<Snapshot>) -> Result<(), InsertSnapshotError> {
        let (catalog, structure) = written(snapshot).await?;
        let base = snapshot.parts.as_ref().map(|it| it.base.as_uuid());
        let (org, connection) = (snapshot.org.as_uuid(), snapshot.connection.as_uuid());
        let duration_ms = i64::try_from(snapshot.duration_ms).unwrap_or(i64::MAX);
        let write = async |tx: &Transaction<'_>| {
            let newest = "SELECT id, coalesce(first_read_at, taken_at) AS first_read_at, earlier_ids
                          FROM schema_snapshots s
                          WHERE org_id = $1 AND connection_id = $2 AND structure = $3 AND NOT replaced
                            AND NOT EXISTS (
                              SELECT FROM schema_snapshots later WHERE later.org_id = $1 AND later.connection_id = $2
                                AND (later.taken_at, later.id) > (s.taken_at, s.id))";
            let structure = structure.as_bytes().as_slice();
            let newest = tx.prepare_cached(newest).await.map_err(store)?;
            let same = tx.query_opt(&newest, &[&org, &connection, &structure]).await;
            let same = same.map_err(store)?.as_ref().map(replaced).transpose()?;
            let (first_read_at, earlier) = match &same {
                Some(it) => (it.first_read_at, it.ids.as_slice()),
                None => (snapshot.taken_at, &[][..]),
            };
            // Only into a connection that is still there: the foreign key does not know of soft removal.
            let insert = "INSERT INTO schema_snapshots
                     (id, org_id, connection_id, taken_at, duration_ms, catalog, structure, first_read_at, earlier_ids, base_id)
                 SELECT $1, org_id, id, $4, $5, $6, $7, $8, $9, $10 FROM connections
                 WHERE org_id = $2 AND id = $3 AND deleted_at IS NULL";
            let insert = tx.prepare_cached(insert).await.map_err(store)?;
            let inserted = tx
                .execute(
                    &insert,
                    &[
                        &snapshot.id.as_uuid(),
                        &org,
                        &connection,
                        &snapshot.taken_at,
                        &duration_ms,
                        &catalog,
                        &structure,
                        &first_read_at,
                        &earlier,
                        &base,
                    ],
                )
                .await
                .map_err(|err| match err.code() {
                    Some(code) if *code == SqlState::FOREIGN_KEY_VIOLATION => {
                        let constraint = err.as_db_error().and_then(DbError::constraint);
                        match constraint {
                            Some("schema_snapshots_base_id_fkey") => InsertSnapshotError::NoBase,
                            _ => InsertSnapshotError::NoConnection,
                        }
                    }
                    _ => store(err).into(),
                })?;
            if inserted == 0 {
                return Err(InsertSnapshotError::NoConnection);
            }
            if same.is_none() {
                announce(tx, snapshot).await?;
            }
            if let Some(id) = same.and_then(|it| it.ids.last().copied()) {
                let replace =
                    "UPDATE schema_snapshots SET replaced = true WHERE org_id = $1 AND id = $2";
                let replace = tx.prepare_cached(replace).await.map_err(store)?;
                tx.execute(&replace, &[&org, &id]).await.map_err(store)?;
            }
            // What others are built on stays until they are gone.
            let trim = "DELETE FROM schema_snapshots s WHERE org_id = $1 AND connection_id = $2 AND (replaced OR id NOT IN (
                     SELECT id FROM schema_snapshots WHERE org_id = $1 AND connection_id = $2 AND NOT replaced
                     ORDER BY taken_at DESC, id DESC LIMIT $3)
                 AND id NOT IN (
                     SELECT DISTINCT ON ((taken_at AT TIME ZONE 'UTC')::date) id FROM schema_snapshots
                     WHERE org_id = $1 AND connection_id = $2 AND NOT replaced AND taken_at > $4::timestamptz - make_interval(days => $5)
                     ORDER BY (taken_at AT TIME ZONE 'UTC')::date, taken_at DESC, id DESC))
                 AND NOT EXISTS (SELECT FROM schema_snapshots built WHERE built.base_id = s.id)";
            let trim = tx.prepare_cached(trim).await.map_err(store)?;
            tx.execute(
                &trim,
                &[
                    &org,
                    &connection,
                    &i64::from(KEPT_SNAPSHOTS),
                    &snapshot.taken_at,
                    &i32::try_from(KEPT_DAYS).unwrap_or(i32::MAX),
                ],
            )
            .await
            .map_err(store)?;
            Ok(())
        };
        // One table read anew is there again with one call: who waits for it need not wait for the disk too. Whatever is
        // done about it later is committed after it, and so never outlasts it.
        match snapshot.parts {
            Some(_) => self.database.for_org_unflushed(snapshot.org, write).await,
            None => self.database.for_org(snapshot.org, write).await,
        }
    }

    async fn newest(
        &self,
        org: OrgId,
        connection: ConnectionId,
    ) -> Result<Option<(SnapshotId, Timestamp)>, StoreError> {
        let query =
            "SELECT id, taken_at FROM schema_snapshots WHERE org_id = $1 AND connection_id = $2 AND NOT replaced
                     ORDER BY taken_at DESC, id DESC LIMIT 1";
        self.database
            .for_org(org, async |tx| {
                let query = tx.prepare_cached(query).await.map_err(store)?;
                let row = tx.query_opt(&query, &[&org.as_uuid(), &connection.as_uuid()]).await;
                row.map_err(store)?
                    .map(|row| {
                        let id = SnapshotId::from_uuid(row.try_get(0).map_err(internal)?);
                        Ok((id, row.try_get(1).map_err(internal)?))
                    })
                    .transpose()
            })
            .await
    }

    async fn list(
        &self,
        org: OrgId,
        connection: ConnectionId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<SnapshotSummary>, StoreError> {
        let query =
            "SELECT id, coalesce(first_read_at, taken_at) AS first_read_at, taken_at, duration_ms
                     FROM schema_snapshots
                     WHERE org_id = $1 AND connection_id = $2 AND NOT replaced
                       AND ($3::timestamptz IS NULL OR (taken_at, id) < ($3, $4))
                     ORDER BY taken_at DESC, id DESC LIMIT $5";
        let (at, id) = (after.map(|it| it.created_at), after.map(|it| it.id));
        let limit = i64::from(limit.get()) + 1;
        self.database
            .for_org(org, async |tx| {
                let parameters: [&(dyn ToSql + Sync); 5] =
                    [&org.as_uuid(), &connection.as_uuid(), &at, &id, &limit];
                let rows = tx.query(query, &parameters).await.map_err(store)?;
                rows.iter().map(summary).collect()
            })
            .await
    }

    async fn find(&self, org: OrgId, id: SnapshotId) -> Result<Option<Arc<Snapshot>>, StoreError> {
        let columns = "SELECT s.id, s.connection_id, s.taken_at, s.duration_ms, s.catalog,
                              s.base_id, b.taken_at AS base_taken_at, b.catalog AS base_catalog
                       FROM schema_snapshots s LEFT JOIN schema_snapshots b ON b.org_id = $1 AND b.id = s.base_id
                       WHERE s.org_id = $1 AND NOT s.replaced";
        let row = self
            .database
            .for_org(org, async |tx| {
                let own = format!("{columns} AND s.id = $2");
                let parameters: [&(dyn ToSql + Sync); 2] = [&org.as_uuid(), &id.as_uuid()];
                if let Some(row) = tx.query_opt(&own, &parameters).await.map_err(store)? {
                    return Ok(Some(row));
                }
                let later = format!("{columns} AND s.earlier_ids @> ARRAY[$2::uuid] LIMIT 1");
                tx.query_opt(&later, &parameters).await.map_err(store)
            })
            .await?;
        match row {
            // Parsing the catalog of a large database takes longer than others on this thread should wait.
            Some(row) => off_thread(move || read(org, &row)).await.map(|it| Some(Arc::new(it))),
            None => Ok(None),
        }
    }
}

/// Tells that the schema is another than the one that was read before, and leaves it to whoever tries what stands on it; of
/// the first there is nothing to tell.
async fn announce(tx: &Transaction<'_>, snapshot: &Snapshot) -> Result<(), StoreError> {
    let before = "SELECT id FROM schema_snapshots
         WHERE org_id = $1 AND connection_id = $2 AND id <> $3 AND NOT replaced ORDER BY taken_at DESC, id DESC LIMIT 1";
    let (org, connection) = (snapshot.org, snapshot.connection);
    let parameters: [&(dyn ToSql + Sync); 3] =
        [&org.as_uuid(), &connection.as_uuid(), &snapshot.id.as_uuid()];
    let before = tx.prepare_cached(before).await.map_err(store)?;
    let found = tx.query_opt(&before, &parameters).await.map_err(store)?;
    let Some(row) = found else { return Ok(()) };
    let previous = SnapshotId::from_uuid(row.try_get(0).map_err(internal)?);
    let data = json!({
        "connection_id": connection, "snapshot_id": snapshot.id, "previous_snapshot_id": previous,
    });
    let message = Message {
        id: MessageId::new(snapshot.taken_at),
        org,
        topic: Message::SCHEMA.to_owned(),
        payload: json!({ "connection": connection, "from": previous }),
        created_at: snapshot.taken_at,
    };
    outbox::put(tx, &message).await?;
    let happened = || vec![(snapshot.taken_at, data)];
    events::announce(tx, org, EventKind::SchemaChanged, happened).await
}

fn read(org: OrgId, row: &Row) -> Result<Snapshot, StoreError> {
    let duration_ms: i64 = row.try_get("duration_ms").map_err(internal)?;
    let base: Option<Uuid> = row.try_get("base_id").map_err(internal)?;
    let stored = row.try_get("catalog").map_err(internal)?;
    let (catalog, parts) = match base {
        None => (inflate(stored)?, None),
        Some(base) => {
            let patch: CatalogPatch = inflate(stored)?;
            let whole: Catalog = inflate(row.try_get("base_catalog").map_err(internal)?)?;
            let parts = Parts {
                base: SnapshotId::from_uuid(base),
                base_taken_at: row.try_get("base_taken_at").map_err(internal)?,
                patch,
            };
            (parts.patch.apply(&whole), Some(parts))
        }
    };
    Ok(Snapshot {
        id: SnapshotId::from_uuid(row.try_get("id").map_err(internal)?),
        org,
        connection: ConnectionId::from_uuid(row.try_get("connection_id").map_err(internal)?),
        catalog,
        taken_at: row.try_get("taken_at").map_err(internal)?,
        duration_ms: u64::try_from(duration_ms).map_err(internal)?,
        parts,
    })
}

/// What is stored of a snapshot, and its structure. The two take about as long as each other, and are made side by side.
async fn written(snapshot: &Arc<Snapshot>) -> Result<(Vec<u8>, StructureDigest), StoreError> {
    let (one, other) = (snapshot.clone(), snapshot.clone());
    tokio::try_join!(
        off_thread(move || match &one.parts {
            Some(parts) => deflate(&parts.patch),
            None => deflate(&one.catalog),
        }),
        off_thread(move || Ok(other.catalog.structure_digest())),
    )
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(internal)?
}

/// A snapshot whose place another takes.
struct Replaced {
    first_read_at: Timestamp,
    /// Its own id last.
    ids: Vec<Uuid>,
}

fn replaced(row: &Row) -> Result<Replaced, StoreError> {
    let mut ids: Vec<Uuid> = row.try_get("earlier_ids").map_err(internal)?;
    ids.drain(..ids.len().saturating_sub(EARLIER_IDS - 1));
    ids.push(row.try_get("id").map_err(internal)?);
    Ok(Replaced { first_read_at: row.try_get("first_read_at").map_err(internal)?, ids })
}

fn summary(row: &Row) -> Result<SnapshotSummary, StoreError> {
    let duration_ms: i64 = row.try_get("duration_ms").map_err(internal)?;
    Ok(SnapshotSummary {
        id: SnapshotId::from_uuid(row.try_get("id").map_err(internal)?),
        first_read_at: row.try_get("first_read_at").map_err(internal)?,
        taken_at: row.try_get("taken_at").map_err(internal)?,
        duration_ms: u64::try_from(duration_ms).map_err(internal)?,
    })
}

/// JSON through a buffered deflater: neither the text nor its compressed form is held twice.
fn deflate(catalog: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    let mut buffered = std::io::BufWriter::with_capacity(1 << 16, encoder);
    serde_json::to_writer(&mut buffered, catalog).map_err(internal)?;
    buffered.flush().map_err(internal)?;
    let encoder = buffered.into_inner().map_err(|err| internal(err.into_error()))?;
    encoder.finish().map_err(internal)
}

fn inflate<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    let mut text = Vec::new();
    DeflateDecoder::new(bytes).read_to_end(&mut text).map_err(internal)?;
    serde_json::from_slice(&text).map_err(internal)
}
