use async_trait::async_trait;
use deadpool_postgres::Transaction;
use plinth_core::{KeyId, OrgId, StoreError, UserId};
use plinth_queries::repairs::RepairId;
use plinth_queries::{QueryId, QueryRecord, SavedStore, Version, VersionRepair};
use plinth_tenancy::AuditEntry;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};

use crate::database::{internal, store};
use crate::queries::{PostgresQueries, storable, storable_json};
use crate::{audit, repairs};

#[async_trait]
impl SavedStore for PostgresQueries {
    async fn insert_saved(
        &self,
        record: &QueryRecord,
        version: &Version,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let insert = "INSERT INTO queries (id, org_id, connection_id, user_id, key_id, sql, outcome, answer, truncated, saved,
                 name, description, tags, owner_id, visibility, parameters, max_age_seconds, version, revision,
                 updated_at, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, ($8::text)::jsonb, false, true, $9, $10, $11, $12, $13, ($14::text)::jsonb,
                 $15, $16, $17, $18, $19)";
        let it = &record.definition;
        let seconds = it.max_age_seconds.map(i32::try_from).transpose().map_err(internal)?;
        let number = i32::try_from(it.version).map_err(internal)?;
        let parameters: [&(dyn ToSql + Sync); 19] = [
            &record.id.as_uuid(),
            &record.org.as_uuid(),
            &record.connection.as_uuid(),
            &record.user.as_uuid(),
            &record.key.map(KeyId::as_uuid),
            &record.sql.as_deref().map(storable),
            &record.outcome.as_str(),
            &storable_json(&record.notes),
            &record.name.as_deref().map(storable),
            &record.description.as_deref().map(storable),
            &record.tags,
            &it.owner.map(UserId::as_uuid),
            &it.visibility.as_str(),
            &storable_json(&it.parameters),
            &seconds,
            &number,
            &it.revision,
            &it.updated_at,
            &record.created_at,
        ];
        self.database
            .for_org(record.org, async |tx| {
                tx.execute(insert, &parameters).await.map_err(store)?;
                insert_version(tx, record.org, version).await?;
                audit::append(&self.database, tx, entry).await
            })
            .await
    }

    async fn update_saved(
        &self,
        record: &QueryRecord,
        before: i64,
        version: Option<&Version>,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let update = "UPDATE queries SET saved = $4, name = $5, description = $6, tags = $7, owner_id = $8, visibility = $9,
                 parameters = ($10::text)::jsonb, max_age_seconds = $11, version = $12, revision = $13, updated_at = $14,
                 sql = $15, question = $16, answer = ($17::text)::jsonb
             WHERE org_id = $1 AND id = $2 AND revision = $3";
        let it = &record.definition;
        let seconds = it.max_age_seconds.map(i32::try_from).transpose().map_err(internal)?;
        let number = i32::try_from(it.version).map_err(internal)?;
        let parameters: [&(dyn ToSql + Sync); 17] = [
            &record.org.as_uuid(),
            &record.id.as_uuid(),
            &before,
            &record.saved,
            &record.name.as_deref().map(storable),
            &record.description.as_deref().map(storable),
            &record.tags,
            &it.owner.map(UserId::as_uuid),
            &it.visibility.as_str(),
            &storable_json(&it.parameters),
            &seconds,
            &number,
            &it.revision,
            &it.updated_at,
            &record.sql.as_deref().map(storable),
            &record.question.as_deref().map(storable),
            &storable_json(&record.notes),
        ];
        self.database
            .for_org(record.org, async |tx| {
                if !repairs::may_settle(tx, record.org, version).await? {
                    return Ok(false);
                }
                let changed = tx.execute(update, &parameters).await.map_err(store)?;
                if changed == 0 {
                    return Ok(false);
                }
                if let Some(version) = version {
                    insert_version(tx, record.org, version).await?;
                    repairs::settle(tx, record, version).await?;
                }
                audit::append(&self.database, tx, entry).await?;
                Ok(true)
            })
            .await
    }

    async fn versions(
        &self,
        org: OrgId,
        query: QueryId,
        before: u32,
        limit: u32,
    ) -> Result<Vec<Version>, StoreError> {
        let select = format!(
            "SELECT {VERSION} FROM saved_query_versions WHERE org_id = $1 AND query_id = $2 AND number < $3
             ORDER BY number DESC LIMIT $4"
        );
        let before = i32::try_from(before).unwrap_or(i32::MAX);
        let parameters: [&(dyn ToSql + Sync); 4] =
            [&org.as_uuid(), &query.as_uuid(), &before, &i64::from(limit)];
        self.database
            .for_org(org, async |tx| {
                let rows = tx.query(&select, &parameters).await.map_err(store)?;
                rows.iter().map(read).collect()
            })
            .await
    }

    async fn version(
        &self,
        org: OrgId,
        query: QueryId,
        number: u32,
    ) -> Result<Option<Version>, StoreError> {
        let Ok(number) = i32::try_from(number) else { return Ok(None) };
        let select = format!(
            "SELECT {VERSION} FROM saved_query_versions WHERE org_id = $1 AND query_id = $2 AND number = $3"
        );
        self.database
            .for_org(org, async |tx| {
                let row = tx.query_opt(&select, &[&org.as_uuid(), &query.as_uuid(), &number]).await;
                row.map_err(store)?.as_ref().map(read).transpose()
            })
            .await
    }
}

const VERSION: &str =
    "query_id, number, sql, parameters, restored_from, made_by, made_at, repair_id, repair_of,
    repair_certain, repair_alone, reason";

async fn insert_version(
    tx: &Transaction<'_>,
    org: OrgId,
    version: &Version,
) -> Result<(), StoreError> {
    let insert = "INSERT INTO saved_query_versions (org_id, query_id, number, sql, parameters, restored_from, made_by, made_at,
             repair_id, repair_of, repair_certain, repair_alone, reason)
         VALUES ($1, $2, $3, $4, ($5::text)::jsonb, $6, $7, $8, $9, $10, $11, $12, $13)";
    let number = i32::try_from(version.number).map_err(internal)?;
    let restored = version.restored_from.map(i32::try_from).transpose().map_err(internal)?;
    let repair = version.repair.as_ref();
    let repair_of = repair.map(|it| i32::try_from(it.of)).transpose().map_err(internal)?;
    let parameters: [&(dyn ToSql + Sync); 13] = [
        &org.as_uuid(),
        &version.query.as_uuid(),
        &number,
        &storable(&version.sql),
        &storable_json(&version.parameters),
        &restored,
        &version.made_by.as_uuid(),
        &version.made_at,
        &repair.map(|it| it.repair.as_uuid()),
        &repair_of,
        &repair.map(|it| it.is_certain),
        &repair.map(|it| it.by_itself),
        &repair.map(|it| it.reason.as_str()),
    ];
    tx.execute(insert, &parameters).await.map_err(store)?;
    Ok(())
}

fn read(row: &Row) -> Result<Version, StoreError> {
    let number: i32 = row.try_get("number").map_err(internal)?;
    let restored: Option<i32> = row.try_get("restored_from").map_err(internal)?;
    Ok(Version {
        query: QueryId::from_uuid(row.try_get("query_id").map_err(internal)?),
        number: u32::try_from(number).map_err(internal)?,
        sql: row.try_get("sql").map_err(internal)?,
        parameters: row.try_get::<_, Json<_>>("parameters").map_err(internal)?.0,
        restored_from: restored.map(u32::try_from).transpose().map_err(internal)?,
        repair: repaired(row)?,
        made_by: UserId::from_uuid(row.try_get("made_by").map_err(internal)?),
        made_at: row.try_get("made_at").map_err(internal)?,
    })
}

fn repaired(row: &Row) -> Result<Option<VersionRepair>, StoreError> {
    let Some(id) = row.try_get::<_, Option<_>>("repair_id").map_err(internal)? else {
        return Ok(None);
    };
    let of: i32 = row.try_get("repair_of").map_err(internal)?;
    Ok(Some(VersionRepair {
        repair: RepairId::from_uuid(id),
        of: u32::try_from(of).map_err(internal)?,
        is_certain: row.try_get("repair_certain").map_err(internal)?,
        by_itself: row.try_get("repair_alone").map_err(internal)?,
        reason: row.try_get("reason").map_err(internal)?,
    }))
}
