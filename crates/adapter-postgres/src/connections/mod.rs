mod checks;
mod row;

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use jiff::{SignedDuration, Timestamp};
use plinth_connections::{
    Checked, Connection, ConnectionFilter, ConnectionId, ConnectionStore, HealthStatus,
    InsertError, Stored, UpdateError,
};
use plinth_core::{Cursor, Limit, OrgId, StoreError};
use plinth_tenancy::AuditEntry;
use tokio_postgres::Row;

use self::row::{COLUMNS, Written, read, read_connection};
use crate::database::{broken_constraint, store};
use crate::{Database, audit};

/// [`ConnectionStore`] in our own database.
#[derive(Clone)]
pub struct PostgresConnections {
    database: Database,
}

impl PostgresConnections {
    /// Keeps connections in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

/// What every query of connections reads: the record and what checks found.
const FROM: &str =
    "connections c LEFT JOIN connection_checks h ON h.org_id = c.org_id AND h.connection_id = c.id";

#[async_trait]
impl ConnectionStore for PostgresConnections {
    async fn insert(&self, stored: &Stored, entry: &AuditEntry) -> Result<(), InsertError> {
        let it = &stored.connection;
        self.database
            .for_org(it.org, async |tx| {
                if it.is_primary {
                    demote(tx, it).await?;
                }
                let written = Written::new(stored);
                let statement = written.insert();
                tx.execute(&statement, &written.values()).await.map_err(|err| {
                    match broken_constraint(&err) {
                        Some("connections_name_key") => InsertError::NameTaken,
                        _ => store(err).into(),
                    }
                })?;
                // Whoever adds a connection often sets the database up just now: the first look comes a little later.
                let check = "INSERT INTO connection_checks (org_id, connection_id, due_at)
                             VALUES ($1, $2, CASE WHEN $3 THEN db_now() + interval '1 minute' END)";
                let due = is_checked(it);
                tx.execute(check, &[&it.org.as_uuid(), &it.id.as_uuid(), &due])
                    .await
                    .map_err(store)?;
                audit::append(&self.database, tx, entry).await?;
                Ok(())
            })
            .await
    }

    async fn find(&self, org: OrgId, id: ConnectionId) -> Result<Option<Stored>, StoreError> {
        let query = format!(
            "SELECT {COLUMNS} FROM {FROM} WHERE c.org_id = $1 AND c.id = $2 AND c.deleted_at IS NULL"
        );
        self.database
            .for_org(org, async |tx| {
                let query = tx.prepare_cached(&query).await.map_err(store)?;
                let row = tx.query_opt(&query, &[&org.as_uuid(), &id.as_uuid()]).await;
                row.map_err(store)?.as_ref().map(read).transpose()
            })
            .await
    }

    async fn list(
        &self,
        org: OrgId,
        filter: ConnectionFilter,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Connection>, StoreError> {
        let query = format!(
            "SELECT {COLUMNS} FROM {FROM}
             WHERE c.org_id = $1 AND (c.is_test OR NOT $2) AND (c.deleted_at IS NULL OR $3)
               AND (c.inactive_reason IS NULL AND c.deleted_at IS NULL OR NOT $4)
               AND ($5::timestamptz IS NULL OR (c.created_at, c.id) < ($5, $6))
             ORDER BY c.created_at DESC, c.id DESC LIMIT $7"
        );
        let ConnectionFilter { test_only, active_only, with_deleted } = filter;
        let (at, id) = (after.map(|it| it.created_at), after.map(|it| it.id));
        let limit = i64::from(limit.get()) + 1;
        self.database
            .for_org(org, async |tx| {
                let org = org.as_uuid();
                let values: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
                    [&org, &test_only, &with_deleted, &active_only, &at, &id, &limit];
                let rows = tx.query(&query, &values).await.map_err(store)?;
                rows.iter().map(read_connection).collect()
            })
            .await
    }

    async fn update(&self, stored: &Stored, entry: &AuditEntry) -> Result<(), UpdateError> {
        let it = &stored.connection;
        self.database
            .for_org(it.org, async |tx| {
                if it.is_primary {
                    demote(tx, it).await?;
                }
                let before = "SELECT sampling FROM connections WHERE org_id = $1 AND id = $2 FOR NO KEY UPDATE";
                let before = tx.query_opt(before, &[&it.org.as_uuid(), &it.id.as_uuid()]).await;
                let before = before.map_err(store)?.ok_or(UpdateError::Stale)?;
                let was_sampling: bool = get(&before, "sampling")?;
                let written = Written::new(stored);
                let statement = Written::update();
                let changed = tx.execute(&statement, &written.values()).await;
                let changed = changed.map_err(|err| match broken_constraint(&err) {
                    Some("connections_name_key") => UpdateError::NameTaken,
                    _ => store(err).into(),
                })?;
                if changed == 0 {
                    return Err(UpdateError::Stale);
                }
                if it.health.status == HealthStatus::Unknown {
                    checks::reset(tx, it).await?;
                }
                // Snapshots hold what was sampled.
                if was_sampling && !it.sampling {
                    forget(tx, "schema_snapshots", it.org, it.id).await?;
                }
                audit::append(&self.database, tx, entry).await?;
                Ok(())
            })
            .await
    }

    async fn remove(
        &self,
        org: OrgId,
        id: ConnectionId,
        revision: i64,
        at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        // The record stays for the history that names it; the credentials do not.
        let wipe = "UPDATE connections
             SET deleted_at = $4, updated_at = $4, is_primary = false, revision = revision + 1, version = version + 1,
                 password_sealed = '', client_key_version = NULL, client_key_sealed = NULL,
                 tunnel_version = NULL, tunnel_sealed = NULL
             WHERE org_id = $1 AND id = $2 AND revision = $3 AND deleted_at IS NULL";
        self.database
            .for_org(org, async |tx| {
                let (org_id, id_) = (org.as_uuid(), id.as_uuid());
                let wiped = tx.execute(wipe, &[&org_id, &id_, &revision, &at]).await;
                if wiped.map_err(store)? == 0 {
                    return Ok(false);
                }
                checks::stop(tx, org, id).await?;
                for table in ["schema_snapshots", "schema_annotations", "write_connections"] {
                    forget(tx, table, org, id).await?;
                }
                audit::append(&self.database, tx, entry).await?;
                Ok(true)
            })
            .await
    }

    async fn note(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.database
            .for_org(entry.org, async |tx| audit::append(&self.database, tx, entry).await)
            .await
    }

    async fn take_checks(
        &self,
        limit: usize,
        lease: SignedDuration,
    ) -> Result<Vec<(OrgId, ConnectionId)>, StoreError> {
        checks::take(&self.database, limit, lease).await
    }

    async fn put_check(&self, check: &Checked) -> Result<bool, StoreError> {
        checks::put(&self.database, check).await
    }
}

/// Takes the mark of the primary from whichever other connection has it. Two that become primary at once take turns.
async fn demote(tx: &Transaction<'_>, it: &Connection) -> Result<(), StoreError> {
    let org = it.org.as_uuid();
    let lock = "SELECT FROM organizations WHERE id = $1 FOR NO KEY UPDATE";
    tx.execute(lock, &[&org]).await.map_err(store)?;
    let demote =
        "UPDATE connections SET is_primary = false, revision = revision + 1, updated_at = $3
                  WHERE org_id = $1 AND id <> $2 AND is_primary AND deleted_at IS NULL";
    tx.execute(demote, &[&org, &it.id.as_uuid(), &it.updated_at]).await.map_err(store)?;
    Ok(())
}

/// Whether it is looked at in the background.
fn is_checked(it: &Connection) -> bool {
    it.place.may_be_checked() && it.activity != plinth_connections::Activity::SwitchedOff
}

/// Takes away what was kept of a connection in a table of its own.
async fn forget(
    tx: &Transaction<'_>,
    table: &str,
    org: OrgId,
    id: ConnectionId,
) -> Result<(), StoreError> {
    let forget = format!("DELETE FROM {table} WHERE org_id = $1 AND connection_id = $2");
    tx.execute(&forget, &[&org.as_uuid(), &id.as_uuid()]).await.map_err(store)?;
    Ok(())
}

/// A column's value, or our own fault.
fn get<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a Row,
    column: &str,
) -> Result<T, StoreError> {
    row.try_get(column).map_err(crate::database::internal)
}
