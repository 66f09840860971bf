use std::collections::BTreeSet;

use async_trait::async_trait;
use plinth_connections::writes::{StoredWrite, WriteConnection, WriteConnectionId, WriteStore};
use plinth_connections::{
    AllowedTables, ConnectionId, ConnectionName, InsertError, Sealed, TableName, UpdateError,
};
use plinth_core::{Cursor, Limit, OrgId, StoreError, UserId};
use plinth_tenancy::AuditEntry;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::database::{broken_constraint, internal, store};
use crate::{Database, audit};

/// [`WriteStore`] in our own database.
#[derive(Clone)]
pub struct PostgresWriteConnections {
    database: Database,
}

impl PostgresWriteConnections {
    /// Keeps write connections in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

const NAME_KEY: &str = "write_connections_name_key";

/// Those whose connection is there still.
const FROM: &str = "write_connections w JOIN connections c
     ON c.org_id = w.org_id AND c.id = w.connection_id AND c.deleted_at IS NULL";

fn names(it: &BTreeSet<TableName>) -> Vec<String> {
    it.iter().map(ToString::to_string).collect()
}

#[async_trait]
impl WriteStore for PostgresWriteConnections {
    async fn insert(&self, stored: &StoredWrite, entry: &AuditEntry) -> Result<(), InsertError> {
        let insert = "INSERT INTO write_connections (org_id, id, name, connection_id, username, password_version,
                 password_sealed, tables, procedures, max_rows, key_schema, keys_since, place, version, revision,
                 created_by, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)";
        let it = &stored.record;
        let max_rows = i32::try_from(it.max_rows).unwrap_or(i32::MAX);
        self.database
            .for_org(it.org, async |tx| {
                let (tables, procedures) = (names(&it.tables), names(&it.procedures));
                let parameters: [&(dyn ToSql + Sync); 18] = [
                    &it.org.as_uuid(),
                    &it.id.as_uuid(),
                    &it.name.as_str(),
                    &it.connection.as_uuid(),
                    &it.username,
                    &stored.password.key_version,
                    &stored.password.bytes,
                    &tables,
                    &procedures,
                    &max_rows,
                    &it.key_schema,
                    &it.keys_since,
                    &it.place,
                    &it.version,
                    &it.revision,
                    &it.created_by.as_uuid(),
                    &it.created_at,
                    &it.updated_at,
                ];
                tx.execute(insert, &parameters).await.map_err(|err| {
                    match broken_constraint(&err) {
                        Some(NAME_KEY) => InsertError::NameTaken,
                        _ => store(err).into(),
                    }
                })?;
                audit::append(&self.database, tx, entry).await?;
                Ok(())
            })
            .await
    }

    async fn find(
        &self,
        org: OrgId,
        id: WriteConnectionId,
    ) -> Result<Option<StoredWrite>, StoreError> {
        let query = format!("SELECT w.* FROM {FROM} WHERE w.org_id = $1 AND w.id = $2");
        self.database
            .for_org(org, async |tx| {
                let query = tx.prepare_cached(&query).await.map_err(store)?;
                let row = tx.query_opt(&query, &[&org.as_uuid(), &id.as_uuid()]).await;
                let Some(row) = row.map_err(store)? else { return Ok(None) };
                let password = Sealed {
                    key_version: get(&row, "password_version")?,
                    bytes: get(&row, "password_sealed")?,
                };
                Ok(Some(StoredWrite { record: read(&row)?, password }))
            })
            .await
    }

    async fn list(
        &self,
        org: OrgId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<WriteConnection>, StoreError> {
        let query = format!(
            "SELECT w.* FROM {FROM} WHERE w.org_id = $1
               AND ($2::timestamptz IS NULL OR (w.created_at, w.id) < ($2, $3))
             ORDER BY w.created_at DESC, w.id DESC LIMIT $4"
        );
        let (at, id) = (after.map(|it| it.created_at), after.map(|it| it.id));
        let limit = i64::from(limit.get()) + 1;
        self.database
            .for_org(org, async |tx| {
                let rows = tx.query(&query, &[&org.as_uuid(), &at, &id, &limit]).await;
                rows.map_err(store)?.iter().map(read).collect()
            })
            .await
    }

    async fn update(&self, stored: &StoredWrite, entry: &AuditEntry) -> Result<(), UpdateError> {
        let update = "UPDATE write_connections SET name = $3, username = $4, password_version = $5, password_sealed = $6,
                 tables = $7, procedures = $8, max_rows = $9, key_schema = $10, keys_since = $11, place = $12,
                 version = $13, revision = $14, updated_at = $15
             WHERE org_id = $1 AND id = $2 AND revision = $14::bigint - 1";
        let it = &stored.record;
        let max_rows = i32::try_from(it.max_rows).unwrap_or(i32::MAX);
        self.database
            .for_org(it.org, async |tx| {
                let (tables, procedures) = (names(&it.tables), names(&it.procedures));
                let parameters: [&(dyn ToSql + Sync); 15] = [
                    &it.org.as_uuid(),
                    &it.id.as_uuid(),
                    &it.name.as_str(),
                    &it.username,
                    &stored.password.key_version,
                    &stored.password.bytes,
                    &tables,
                    &procedures,
                    &max_rows,
                    &it.key_schema,
                    &it.keys_since,
                    &it.place,
                    &it.version,
                    &it.revision,
                    &it.updated_at,
                ];
                let changed = tx.execute(update, &parameters).await;
                let changed = changed.map_err(|err| match broken_constraint(&err) {
                    Some(NAME_KEY) => UpdateError::NameTaken,
                    _ => store(err).into(),
                })?;
                if changed == 0 {
                    return Err(UpdateError::Stale);
                }
                audit::append(&self.database, tx, entry).await?;
                Ok(())
            })
            .await
    }

    async fn remove(
        &self,
        org: OrgId,
        id: WriteConnectionId,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let remove = "DELETE FROM write_connections WHERE org_id = $1 AND id = $2";
        self.database
            .for_org(org, async |tx| {
                let removed = tx.execute(remove, &[&org.as_uuid(), &id.as_uuid()]).await;
                if removed.map_err(store)? == 0 {
                    return Ok(false);
                }
                audit::append(&self.database, tx, entry).await?;
                Ok(true)
            })
            .await
    }
}

fn get<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a Row,
    column: &str,
) -> Result<T, StoreError> {
    row.try_get(column).map_err(internal)
}

fn listed(row: &Row, column: &str) -> Result<BTreeSet<TableName>, StoreError> {
    let texts: Vec<String> = get(row, column)?;
    match AllowedTables::parse(texts.iter().map(String::as_str)).map_err(internal)? {
        AllowedTables::Listed(names) => Ok(names),
        AllowedTables::All => Ok(BTreeSet::new()),
    }
}

fn read(row: &Row) -> Result<WriteConnection, StoreError> {
    let name: String = get(row, "name")?;
    let max_rows: i32 = get(row, "max_rows")?;
    Ok(WriteConnection {
        id: WriteConnectionId::from_uuid(get(row, "id")?),
        org: OrgId::from_uuid(get(row, "org_id")?),
        name: ConnectionName::parse(&name).map_err(internal)?,
        connection: ConnectionId::from_uuid(get(row, "connection_id")?),
        username: get(row, "username")?,
        tables: listed(row, "tables")?,
        procedures: listed(row, "procedures")?,
        max_rows: u32::try_from(max_rows).map_err(internal)?,
        key_schema: get(row, "key_schema")?,
        keys_since: get(row, "keys_since")?,
        place: get(row, "place")?,
        version: get(row, "version")?,
        revision: get(row, "revision")?,
        created_by: UserId::from_uuid(get(row, "created_by")?),
        created_at: get(row, "created_at")?,
        updated_at: get(row, "updated_at")?,
    })
}
