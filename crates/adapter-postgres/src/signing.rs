use async_trait::async_trait;
use deadpool_postgres::Transaction;
use plinth_core::StoreError;
use plinth_tenancy::signing::{DecideKeys, Plan, ScheduledKey, SealedKey, SigningKeyStore};

use crate::Database;
use crate::database::{internal, store};

/// [`SigningKeyStore`] in our own database.
#[derive(Clone)]
pub struct PostgresSigningKeys {
    database: Database,
}

impl PostgresSigningKeys {
    /// Keeps signing keys in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

/// Whoever changes the keys waits here for the one before ("keys" in ASCII).
const LOCK: i64 = 0x6b65_7973;

#[async_trait]
impl SigningKeyStore for PostgresSigningKeys {
    async fn list(&self) -> Result<Vec<(ScheduledKey, SealedKey)>, StoreError> {
        self.database.for_nobody(list).await
    }

    async fn change(
        &self,
        plan: DecideKeys<'_>,
        spare: &SealedKey,
    ) -> Result<Vec<(ScheduledKey, SealedKey)>, StoreError> {
        self.database
            .for_nobody(async |tx| {
                tx.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(store)?;
                let keys: Vec<_> = list(tx).await?.into_iter().map(|(it, _)| it).collect();
                let Plan { add, remove } = plan(&keys);
                if !remove.is_empty() {
                    let delete = "DELETE FROM signing_keys WHERE id = ANY($1)";
                    tx.execute(delete, &[&remove]).await.map_err(store)?;
                }
                if let Some(from) = add {
                    let insert =
                        "INSERT INTO signing_keys (id, sealed, signs_from) VALUES ($1, $2, $3)";
                    tx.execute(insert, &[&spare.id, &spare.sealed, &from]).await.map_err(store)?;
                }
                list(tx).await
            })
            .await
    }
}

async fn list(tx: &Transaction<'_>) -> Result<Vec<(ScheduledKey, SealedKey)>, StoreError> {
    let query = "SELECT id, sealed, signs_from FROM signing_keys ORDER BY signs_from, id";
    let query = tx.prepare_cached(query).await.map_err(store)?;
    let rows = tx.query(&query, &[]).await.map_err(store)?;
    rows.iter()
        .map(|row| {
            let id: String = row.try_get("id").map_err(internal)?;
            let signs_from = row.try_get("signs_from").map_err(internal)?;
            let sealed = row.try_get("sealed").map_err(internal)?;
            Ok((ScheduledKey { id: id.clone(), signs_from }, SealedKey { id, sealed }))
        })
        .collect()
}
