use std::collections::BTreeMap;

use async_trait::async_trait;
use plinth_connections::{KeyCensus, KeyStore, MasterKeyId, Sealed};
use plinth_core::{OrgId, StoreError};
use plinth_tenancy::AuditEntry;
use tokio_postgres::Row;

use crate::database::{internal, store};
use crate::{Database, audit};

/// [`KeyStore`] in our own database.
#[derive(Clone)]
pub struct PostgresKeys {
    database: Database,
}

impl PostgresKeys {
    /// Keeps wrapped keys in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl KeyStore for PostgresKeys {
    async fn data_key(&self, org: OrgId) -> Result<Option<Sealed>, StoreError> {
        let query = "SELECT master_version, wrapped FROM data_keys WHERE org_id = $1";
        self.database
            .for_org(org, async |tx| {
                let row = tx.query_opt(query, &[&org.as_uuid()]).await.map_err(store)?;
                row.as_ref().map(read).transpose()
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

    async fn rewrap_data_key(
        &self,
        org: OrgId,
        wrapped_by: i32,
        key: &Sealed,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let update = "UPDATE data_keys SET master_version = $3, wrapped = $4
                      WHERE org_id = $1 AND master_version = $2";
        self.database
            .for_org(org, async |tx| {
                let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                    [&org.as_uuid(), &wrapped_by, &key.key_version, &key.bytes];
                if tx.execute(update, &values).await.map_err(store)? == 0 {
                    return Ok(false);
                }
                audit::append(&self.database, tx, entry).await?;
                Ok(true)
            })
            .await
    }

    async fn wrapped_by_others(
        &self,
        current: i32,
        after: Option<OrgId>,
        limit: usize,
    ) -> Result<Vec<OrgId>, StoreError> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let after = after.map(OrgId::as_uuid);
        let query = "SELECT list_data_keys_of_others($1, $2, $3)";
        self.database
            .for_nobody(async |tx| {
                let rows = tx.query(query, &[&current, &after, &limit]).await.map_err(store)?;
                Ok(rows.iter().map(|row| OrgId::from_uuid(row.get(0))).collect())
            })
            .await
    }

    async fn installation_key(&self) -> Result<Option<Sealed>, StoreError> {
        let query = "SELECT kept_version, kept_wrapped FROM find_installation_key()";
        self.database
            .for_nobody(async |tx| {
                let row = tx.query_opt(query, &[]).await.map_err(store)?;
                row.as_ref().map(read).transpose()
            })
            .await
    }

    async fn rewrap_installation_key(
        &self,
        wrapped_by: i32,
        key: &Sealed,
        check: &[u8; 32],
    ) -> Result<bool, StoreError> {
        let rewrap = "SELECT rewrap_installation_key($1, $2, $3, $4)";
        self.database
            .for_nobody(async |tx| {
                let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                    [&wrapped_by, &key.key_version, &key.bytes, &check.as_slice()];
                let row = tx.query_one(rewrap, &values).await.map_err(store)?;
                Ok(row.try_get::<_, Option<bool>>(0).map_err(internal)? == Some(true))
            })
            .await
    }

    async fn census(&self) -> Result<KeyCensus, StoreError> {
        let installation = self.installation_key().await?;
        let installation = installation.map(|it| MasterKeyId::from_stored(it.key_version));
        let count = "SELECT master_version, data_keys FROM count_data_keys()";
        let data_keys = self
            .database
            .for_nobody(async |tx| {
                let rows = tx.query(count, &[]).await.map_err(store)?;
                Ok::<BTreeMap<_, _>, StoreError>(
                    rows.iter()
                        .map(|row| (MasterKeyId::from_stored(row.get(0)), row.get(1)))
                        .collect(),
                )
            })
            .await?;
        Ok(KeyCensus { installation, data_keys })
    }
}

fn read(row: &Row) -> Result<Sealed, StoreError> {
    Ok(Sealed {
        key_version: row.try_get(0).map_err(internal)?,
        bytes: row.try_get(1).map_err(internal)?,
    })
}
