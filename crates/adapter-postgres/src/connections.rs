use async_trait::async_trait;
use jiff::Timestamp;
use plinth_connections::{
    AllowedTables, Connection, ConnectionId, ConnectionName, ConnectionStore, Host, InsertError,
    Place, Sealed, Stored,
};
use plinth_core::{Cursor, Limit, OrgId, StoreError, UserId};
use tokio_postgres::Row;

use crate::Database;
use crate::database::{broken_constraint, internal, store};

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

const COLUMNS: &str = "id, org_id, name, host, port, managed_server, database_name, username, password_version,
    password_sealed, ssl_mode, allowed_tables, is_test, version, created_by, created_at, updated_at";

#[async_trait]
impl ConnectionStore for PostgresConnections {
    async fn insert(&self, stored: &Stored) -> Result<(), InsertError> {
        let Stored { connection: it, password, version } = stored;
        let statement = format!(
            "INSERT INTO connections ({COLUMNS})
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)"
        );
        let (host, port, server) = match &it.place {
            Place::Typed { host, port } => (Some(host.as_str()), Some(i32::from(*port)), None),
            Place::Managed { server } => (None, None, Some(server.as_str())),
        };
        self.database
            .for_org(it.org, async |tx| {
                tx.execute(
                    &statement,
                    &[
                        &it.id.as_uuid(),
                        &it.org.as_uuid(),
                        &it.name.as_str(),
                        &host,
                        &port,
                        &server,
                        &it.database,
                        &it.username,
                        &password.key_version,
                        &password.bytes,
                        &it.ssl_mode.as_str(),
                        &it.allowed_tables.names(),
                        &it.is_test,
                        version,
                        &it.created_by.as_uuid(),
                        &it.created_at,
                        &it.updated_at,
                    ],
                )
                .await
                .map_err(|err| match broken_constraint(&err) {
                    Some("connections_name_key") => InsertError::NameTaken,
                    _ => store(err).into(),
                })?;
                Ok(())
            })
            .await
    }

    async fn find(&self, org: OrgId, id: ConnectionId) -> Result<Option<Stored>, StoreError> {
        let query = format!(
            "SELECT {COLUMNS} FROM connections WHERE org_id = $1 AND id = $2 AND deleted_at IS NULL"
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
        test_only: bool,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Connection>, StoreError> {
        let query = format!(
            "SELECT {COLUMNS} FROM connections
             WHERE org_id = $1 AND deleted_at IS NULL AND (is_test OR NOT $2)
               AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4))
             ORDER BY created_at DESC, id DESC LIMIT $5"
        );
        let (at, id) = (after.map(|it| it.created_at), after.map(|it| it.id));
        let limit = i64::from(limit.get()) + 1;
        self.database
            .for_org(org, async |tx| {
                let rows = tx.query(&query, &[&org.as_uuid(), &test_only, &at, &id, &limit]).await;
                rows.map_err(store)?.iter().map(|row| Ok(read(row)?.connection)).collect()
            })
            .await
    }

    async fn remove(
        &self,
        org: OrgId,
        id: ConnectionId,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.database
            .for_org(org, async |tx| {
                // The record stays for the history that names it; the credential does not.
                let removed = tx
                    .execute(
                        "UPDATE connections SET deleted_at = $3, password_sealed = '', version = version + 1
                         WHERE org_id = $1 AND id = $2 AND deleted_at IS NULL",
                        &[&org.as_uuid(), &id.as_uuid(), &at],
                    )
                    .await
                    .map_err(store)?;
                for table in ["schema_snapshots", "schema_annotations"] {
                    let forget =
                        format!("DELETE FROM {table} WHERE org_id = $1 AND connection_id = $2");
                    tx.execute(&forget, &[&org.as_uuid(), &id.as_uuid()]).await.map_err(store)?;
                }
                Ok(removed == 1)
            })
            .await
    }

    async fn data_key(&self, org: OrgId) -> Result<Option<Sealed>, StoreError> {
        let query = "SELECT master_version, wrapped FROM data_keys WHERE org_id = $1";
        self.database
            .for_org(org, async |tx| {
                let row = tx.query_opt(query, &[&org.as_uuid()]).await.map_err(store)?;
                row.as_ref().map(|row| read_sealed(row, "master_version", "wrapped")).transpose()
            })
            .await
    }

    async fn put_data_key(&self, org: OrgId, key: &Sealed) -> Result<Sealed, StoreError> {
        let insert = "INSERT INTO data_keys (org_id, master_version, wrapped) VALUES ($1, $2, $3)
                      ON CONFLICT (org_id) DO NOTHING";
        self.database
            .for_org(org, async |tx| {
                tx.execute(insert, &[&org.as_uuid(), &key.key_version, &key.bytes])
                    .await
                    .map_err(store)
            })
            .await?;
        self.data_key(org).await?.ok_or_else(|| internal("the data key is not there"))
    }
}

fn read_sealed(row: &Row, version: &str, bytes: &str) -> Result<Sealed, StoreError> {
    Ok(Sealed {
        key_version: row.try_get(version).map_err(internal)?,
        bytes: row.try_get(bytes).map_err(internal)?,
    })
}

fn read(row: &Row) -> Result<Stored, StoreError> {
    let host: Option<&str> = row.try_get("host").map_err(internal)?;
    let port: Option<i32> = row.try_get("port").map_err(internal)?;
    let server: Option<String> = row.try_get("managed_server").map_err(internal)?;
    let place = match (host, port, server) {
        (Some(host), Some(port), None) => Place::Typed {
            host: Host::parse(host).map_err(internal)?,
            port: u16::try_from(port).map_err(internal)?,
        },
        (None, None, Some(server)) => Place::Managed { server },
        _ => return Err(internal("a connection is at two places or none")),
    };
    let allowed: Option<Vec<String>> = row.try_get("allowed_tables").map_err(internal)?;
    let allowed_tables = match &allowed {
        None => AllowedTables::All,
        Some(names) => AllowedTables::parse(names.iter().map(String::as_str)).map_err(internal)?,
    };
    let ssl_mode: &str = row.try_get("ssl_mode").map_err(internal)?;
    let connection = Connection {
        id: ConnectionId::from_uuid(row.try_get("id").map_err(internal)?),
        org: OrgId::from_uuid(row.try_get("org_id").map_err(internal)?),
        name: ConnectionName::parse(row.try_get("name").map_err(internal)?).map_err(internal)?,
        place,
        database: row.try_get("database_name").map_err(internal)?,
        username: row.try_get("username").map_err(internal)?,
        ssl_mode: ssl_mode.parse().map_err(internal)?,
        allowed_tables,
        is_test: row.try_get("is_test").map_err(internal)?,
        created_by: UserId::from_uuid(row.try_get("created_by").map_err(internal)?),
        created_at: row.try_get("created_at").map_err(internal)?,
        updated_at: row.try_get("updated_at").map_err(internal)?,
    };
    let password = read_sealed(row, "password_version", "password_sealed")?;
    Ok(Stored { connection, password, version: row.try_get("version").map_err(internal)? })
}
