use std::io::{Read as _, Write as _};
use std::sync::Arc;

use async_trait::async_trait;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use jiff::Timestamp;
use plinth_connections::ConnectionId;
use plinth_core::{OrgId, StoreError};
use plinth_schema_introspect::{Catalog, InsertSnapshotError, Snapshot, SnapshotId, SnapshotStore};
use tokio_postgres::error::SqlState;

use crate::Database;
use crate::database::{internal, store};

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

/// How many snapshots of a connection are kept: enough to say what changed.
const KEPT: i64 = 5;

#[async_trait]
impl SnapshotStore for PostgresSnapshots {
    async fn insert(&self, snapshot: &Snapshot) -> Result<(), InsertSnapshotError> {
        let catalog = deflate(&snapshot.catalog)?;
        let (org, connection) = (snapshot.org.as_uuid(), snapshot.connection.as_uuid());
        let duration_ms = i64::try_from(snapshot.duration_ms).unwrap_or(i64::MAX);
        self.database
            .for_org(snapshot.org, async |tx| {
                // Only into a connection that is still there: the foreign key does not know of soft removal.
                let inserted = tx
                    .execute(
                        "INSERT INTO schema_snapshots (id, org_id, connection_id, taken_at, duration_ms, catalog)
                         SELECT $1, org_id, id, $4, $5, $6 FROM connections
                         WHERE org_id = $2 AND id = $3 AND deleted_at IS NULL",
                        &[
                            &snapshot.id.as_uuid(),
                            &org,
                            &connection,
                            &snapshot.taken_at,
                            &duration_ms,
                            &catalog,
                        ],
                    )
                    .await
                    .map_err(|err| match err.code() {
                        Some(code) if *code == SqlState::FOREIGN_KEY_VIOLATION => {
                            InsertSnapshotError::NoConnection
                        }
                        _ => store(err).into(),
                    })?;
                if inserted == 0 {
                    return Err(InsertSnapshotError::NoConnection);
                }
                tx.execute(
                    "DELETE FROM schema_snapshots WHERE org_id = $1 AND connection_id = $2 AND id NOT IN (
                         SELECT id FROM schema_snapshots WHERE org_id = $1 AND connection_id = $2
                         ORDER BY taken_at DESC, id DESC LIMIT $3)",
                    &[&org, &connection, &KEPT],
                )
                .await
                .map_err(store)?;
                Ok(())
            })
            .await
    }

    async fn newest(
        &self,
        org: OrgId,
        connection: ConnectionId,
    ) -> Result<Option<(SnapshotId, Timestamp)>, StoreError> {
        let query =
            "SELECT id, taken_at FROM schema_snapshots WHERE org_id = $1 AND connection_id = $2
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

    async fn find(&self, org: OrgId, id: SnapshotId) -> Result<Option<Arc<Snapshot>>, StoreError> {
        let query = "SELECT connection_id, taken_at, duration_ms, catalog FROM schema_snapshots
                     WHERE org_id = $1 AND id = $2";
        let row = self
            .database
            .for_org(org, async |tx| {
                tx.query_opt(query, &[&org.as_uuid(), &id.as_uuid()]).await.map_err(store)
            })
            .await?;
        let Some(row) = row else { return Ok(None) };
        let duration_ms: i64 = row.try_get("duration_ms").map_err(internal)?;
        Ok(Some(Arc::new(Snapshot {
            id,
            org,
            connection: ConnectionId::from_uuid(row.try_get("connection_id").map_err(internal)?),
            catalog: inflate(row.try_get("catalog").map_err(internal)?)?,
            taken_at: row.try_get("taken_at").map_err(internal)?,
            duration_ms: u64::try_from(duration_ms).map_err(internal)?,
        })))
    }
}

/// JSON through a buffered deflater: neither the text nor its compressed form is held twice.
fn deflate(catalog: &Catalog) -> Result<Vec<u8>, StoreError> {
    let encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    let mut buffered = std::io::BufWriter::with_capacity(1 << 16, encoder);
    serde_json::to_writer(&mut buffered, catalog).map_err(internal)?;
    buffered.flush().map_err(internal)?;
    let encoder = buffered.into_inner().map_err(|err| internal(err.into_error()))?;
    encoder.finish().map_err(internal)
}

fn inflate(bytes: &[u8]) -> Result<Catalog, StoreError> {
    let mut text = Vec::new();
    DeflateDecoder::new(bytes).read_to_end(&mut text).map_err(internal)?;
    serde_json::from_slice(&text).map_err(internal)
}
