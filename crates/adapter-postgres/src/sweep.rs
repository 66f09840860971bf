//! Deleting what is old, in parts that are over soon.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use plinth_core::{OrgId, StoreError};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::Database;
use crate::database::{internal, store};

/// What is deleted.
pub(crate) struct Old<'a> {
    /// From where: a table with an `id`.
    pub(crate) table: &'a str,
    /// Which rows of the organization `$1`, and in which order. What it compares with is a parameter or a `SELECT` of its own:
    /// where row-level security is, an index is asked for nothing else, and all rows of the organization would be read.
    pub(crate) which: &'a str,
    /// How many in one transaction. It has to be over long before its session's time is, on a slow disk and with all that
    /// hangs on the rows: of what is rolled back nothing is ever done.
    pub(crate) part: u64,
}

impl Database {
    /// When the first row was made that is one too many, and its id. `query` finds it for the organization `$1`, for `of` and
    /// with `count` newer ones. It is planned for these values: a plan that was made while there were few would stay.
    pub(crate) async fn first_beyond(
        &self,
        org: OrgId,
        query: &str,
        of: Uuid,
        count: i64,
    ) -> Result<Option<(Timestamp, Uuid)>, StoreError> {
        let find = async |tx: &Transaction<'_>| {
            tx.query_opt(query, &[&org.as_uuid(), &of, &count]).await.map_err(store)
        };
        let Some(row) = self.for_org(org, find).await? else { return Ok(None) };
        Ok(Some((row.try_get(0).map_err(internal)?, row.try_get(1).map_err(internal)?)))
    }

    /// Deletes rows of an organization, part by part, each for good; says how many. What another session has locked it
    /// leaves: that is another server that sweeps, and neither waits for the other.
    pub(crate) async fn delete_old(
        &self,
        org: OrgId,
        old: &Old<'_>,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, StoreError> {
        let Old { table, which, part } = old;
        // An array is made once. What is chosen in a subquery may be chosen again for each row that it is compared with.
        let delete = format!(
            "DELETE FROM {table} WHERE org_id = $1 AND id = ANY (ARRAY(
                 SELECT id FROM {table} WHERE org_id = $1 AND {which} LIMIT {part} FOR UPDATE SKIP LOCKED))"
        );
        let mut all = 0;
        loop {
            let gone = self
                .for_org(org, async |tx| tx.execute(&delete, parameters).await.map_err(store))
                .await?;
            all += gone;
            if gone < *part {
                return Ok(all);
            }
        }
    }
}
