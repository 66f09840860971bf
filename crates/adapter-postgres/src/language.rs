use async_trait::async_trait;
use jiff::Timestamp;
use plinth_connections::ConnectionId;
use plinth_core::{OrgId, StoreError, UserId};
use plinth_queries::{
    Entry, EntryId, EntryKind, EntryStatus, Language, LanguageStore, PutEntryError, QueryId,
};
use plinth_schema_introspect::SnapshotId;
use plinth_tenancy::AuditEntry;
use tokio_postgres::types::{Json, ToSql};
use tokio_postgres::{Row, Transaction};
use uuid::Uuid;

use crate::database::{broken_constraint, internal, store};
use crate::queries::{storable, storable_json};
use crate::{Database, audit};

/// [`LanguageStore`] in our own database.
#[derive(Clone)]
pub struct PostgresLanguage {
    database: Database,
}

impl PostgresLanguage {
    /// Keeps the organization's language in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

const VERSION: &str =
    "SELECT version FROM language_versions WHERE org_id = $1 AND connection_id = $2";

const COLUMNS: &str = "id, kind, name, body, status, broken, checked_snapshot, version, created_by,
    created_at, updated_by, updated_at";

/// Raises the connection's version; the row's lock makes changes to its language take turns. `None` if there is no such
/// connection.
async fn raise(
    tx: &Transaction<'_>,
    org: OrgId,
    connection: ConnectionId,
) -> Result<Option<i64>, StoreError> {
    let raise = "INSERT INTO language_versions AS it (org_id, connection_id, version)
                 SELECT org_id, id, 1 FROM connections WHERE org_id = $1 AND id = $2 AND deleted_at IS NULL
                 ON CONFLICT (org_id, connection_id) DO UPDATE SET version = it.version + 1
                 RETURNING version";
    let row = tx.query_opt(raise, &[&org.as_uuid(), &connection.as_uuid()]).await.map_err(store)?;
    row.map(|row| row.try_get(0).map_err(internal)).transpose()
}

/// The version of an entry that is there.
async fn version_of(
    tx: &Transaction<'_>,
    (org, connection, id): (OrgId, ConnectionId, EntryId),
    expected: Option<&[i64]>,
) -> Result<(), PutEntryError> {
    let query = "SELECT version FROM language_entries WHERE org_id = $1 AND connection_id = $2 AND id = $3 AND kind = $4";
    let parameters: [&(dyn ToSql + Sync); 4] =
        [&org.as_uuid(), &connection.as_uuid(), &id.as_uuid(), &id.kind().as_str()];
    let row = tx.query_opt(query, &parameters).await.map_err(store)?;
    let row = row.ok_or(PutEntryError::Missing)?;
    let version: i64 = row.try_get(0).map_err(internal)?;
    if expected.is_some_and(|it| !it.contains(&version)) {
        return Err(PutEntryError::Changed);
    }
    Ok(())
}

fn taken(err: &tokio_postgres::Error) -> bool {
    broken_constraint(err) == Some("language_entries_name")
}

#[async_trait]
impl LanguageStore for PostgresLanguage {
    async fn version(&self, org: OrgId, connection: ConnectionId) -> Result<i64, StoreError> {
        self.database
            .for_org(org, async |tx| {
                let query = tx.prepare_cached(VERSION).await.map_err(store)?;
                let row = tx.query_opt(&query, &[&org.as_uuid(), &connection.as_uuid()]).await;
                row.map_err(store)?.map_or(Ok(0), |row| row.try_get(0).map_err(internal))
            })
            .await
    }

    async fn all(&self, org: OrgId, connection: ConnectionId) -> Result<Language, StoreError> {
        let query = format!(
            "SELECT {COLUMNS} FROM language_entries WHERE org_id = $1 AND connection_id = $2 ORDER BY lower(name), id"
        );
        let (org_id, id) = (org.as_uuid(), connection.as_uuid());
        // Of one moment: a version that does not fit what is read would stay for as long as nothing changes.
        self.database
            .for_org_as_of_now(org, async |tx| {
                let version = tx.query_opt(VERSION, &[&org_id, &id]).await.map_err(store)?;
                let version = version.map_or(Ok(0), |row| row.try_get(0).map_err(internal))?;
                let rows = tx.query(&query, &[&org_id, &id]).await.map_err(store)?;
                let entries = rows.iter().map(|row| read(org, connection, row));
                Ok(Language { version, entries: entries.collect::<Result<_, StoreError>>()? })
            })
            .await
    }

    async fn insert(
        &self,
        entry: &Entry,
        most: usize,
        told: &AuditEntry,
    ) -> Result<i64, PutEntryError> {
        let (org, connection) = (entry.org.as_uuid(), entry.connection.as_uuid());
        let kind = entry.id.kind().as_str();
        self.database
            .for_org(entry.org, async |tx| {
                let version = raise(tx, entry.org, entry.connection).await?;
                let version = version.ok_or(PutEntryError::Missing)?;
                let count = "SELECT count(*) FROM language_entries
                             WHERE org_id = $1 AND connection_id = $2 AND kind = $3 AND status = $4";
                let parameters: [&(dyn ToSql + Sync); 4] =
                    [&org, &connection, &kind, &entry.status.as_str()];
                let row = tx.query_one(count, &parameters).await.map_err(store)?;
                let there: i64 = row.try_get(0).map_err(internal)?;
                if usize::try_from(there).map_err(internal)? >= most {
                    return Err(PutEntryError::TooMany);
                }
                let insert = "INSERT INTO language_entries (id, org_id, connection_id, kind, name, body, status, broken,
                                  checked_snapshot, version, created_by, created_at, updated_by, updated_at)
                              VALUES ($1, $2, $3, $4, $5, ($6::text)::jsonb, $7, $8, $9, $10, $11, $12, $13, $14)";
                let parameters: [&(dyn ToSql + Sync); 14] = [
                    &entry.id.as_uuid(),
                    &org,
                    &connection,
                    &kind,
                    &storable(&entry.name),
                    &storable_json(&entry.body),
                    &entry.status.as_str(),
                    &entry.broken,
                    &entry.checked.map(SnapshotId::as_uuid),
                    &version,
                    &entry.created_by.as_uuid(),
                    &entry.created_at,
                    &entry.updated_by.as_uuid(),
                    &entry.updated_at,
                ];
                match tx.execute(insert, &parameters).await {
                    Err(err) if taken(&err) => return Err(PutEntryError::NameTaken),
                    done => done.map_err(store)?,
                };
                audit::append(&self.database, tx, told).await?;
                Ok(version)
            })
            .await
    }

    async fn update(
        &self,
        entry: &Entry,
        expected: Option<&[i64]>,
        told: &AuditEntry,
    ) -> Result<i64, PutEntryError> {
        let (org, connection) = (entry.org.as_uuid(), entry.connection.as_uuid());
        self.database
            .for_org(entry.org, async |tx| {
                let version = raise(tx, entry.org, entry.connection).await?;
                let version = version.ok_or(PutEntryError::Missing)?;
                version_of(tx, (entry.org, entry.connection, entry.id), expected).await?;
                let update = "UPDATE language_entries SET name = $4, body = ($5::text)::jsonb, status = $6, broken = $7,
                                  checked_snapshot = $8, version = $9, updated_by = $10, updated_at = $11
                              WHERE org_id = $1 AND connection_id = $2 AND id = $3";
                let parameters: [&(dyn ToSql + Sync); 11] = [
                    &org,
                    &connection,
                    &entry.id.as_uuid(),
                    &storable(&entry.name),
                    &storable_json(&entry.body),
                    &entry.status.as_str(),
                    &entry.broken,
                    &entry.checked.map(SnapshotId::as_uuid),
                    &version,
                    &entry.updated_by.as_uuid(),
                    &entry.updated_at,
                ];
                match tx.execute(update, &parameters).await {
                    Err(err) if taken(&err) => return Err(PutEntryError::NameTaken),
                    done => done.map_err(store)?,
                };
                audit::append(&self.database, tx, told).await?;
                Ok(version)
            })
            .await
    }

    async fn remove(
        &self,
        org: OrgId,
        connection: ConnectionId,
        id: EntryId,
        expected: Option<&[i64]>,
        told: &AuditEntry,
    ) -> Result<(), PutEntryError> {
        self.database
            .for_org(org, async |tx| {
                raise(tx, org, connection).await?.ok_or(PutEntryError::Missing)?;
                version_of(tx, (org, connection, id), expected).await?;
                let delete = "DELETE FROM language_entries WHERE org_id = $1 AND connection_id = $2 AND id = $3";
                let parameters: [&(dyn ToSql + Sync); 3] =
                    [&org.as_uuid(), &connection.as_uuid(), &id.as_uuid()];
                tx.execute(delete, &parameters).await.map_err(store)?;
                audit::append(&self.database, tx, told).await?;
                Ok(())
            })
            .await
    }

    async fn mark(
        &self,
        org: OrgId,
        connection: ConnectionId,
        checked: SnapshotId,
        marks: &[(EntryId, i64, Option<String>)],
    ) -> Result<(), StoreError> {
        let ids: Vec<Uuid> = marks.iter().map(|it| it.0.as_uuid()).collect();
        let versions: Vec<i64> = marks.iter().map(|it| it.1).collect();
        let why: Vec<Option<String>> =
            marks.iter().map(|it| it.2.as_deref().map(|it| storable(it).into_owned())).collect();
        self.database
            .for_org(org, async |tx| {
                // The version comes first, as where entries are written. It is raised also where none changes sides: every
                // server then reads what was tried, and tries it no more.
                if raise(tx, org, connection).await?.is_none() {
                    return Ok(());
                }
                let update =
                    "UPDATE language_entries AS it SET broken = mark.broken, checked_snapshot = $3
                              FROM unnest($4::uuid[], $5::bigint[], $6::text[]) AS mark (id, version, broken)
                              WHERE it.org_id = $1 AND it.connection_id = $2 AND it.id = mark.id
                                  AND it.version = mark.version";
                let parameters: [&(dyn ToSql + Sync); 6] = [
                    &org.as_uuid(),
                    &connection.as_uuid(),
                    &checked.as_uuid(),
                    &ids,
                    &versions,
                    &why,
                ];
                tx.execute(update, &parameters).await.map_err(store)?;
                Ok(())
            })
            .await
    }

    async fn rate(
        &self,
        org: OrgId,
        query: QueryId,
        user: UserId,
        is_good: bool,
        comment: Option<&str>,
        at: Timestamp,
        told: &AuditEntry,
    ) -> Result<(), StoreError> {
        let put = "INSERT INTO query_feedback (org_id, query_id, user_id, is_good, comment, created_at)
                   VALUES ($1, $2, $3, $4, $5, $6)
                   ON CONFLICT (org_id, query_id, user_id) DO UPDATE SET
                       is_good = excluded.is_good, comment = excluded.comment, created_at = excluded.created_at";
        self.database
            .for_org(org, async |tx| {
                let comment = comment.map(storable);
                let parameters: [&(dyn ToSql + Sync); 6] =
                    [&org.as_uuid(), &query.as_uuid(), &user.as_uuid(), &is_good, &comment, &at];
                tx.execute(put, &parameters).await.map_err(store)?;
                audit::append(&self.database, tx, told).await
            })
            .await
    }
}

fn read(org: OrgId, connection: ConnectionId, row: &Row) -> Result<Entry, StoreError> {
    let kind: &str = row.try_get("kind").map_err(internal)?;
    let kind = EntryKind::ALL
        .into_iter()
        .find(|it| it.as_str() == kind)
        .ok_or_else(|| internal(format!("no kind of entry: {kind}")))?;
    let status: &str = row.try_get("status").map_err(internal)?;
    let status = [EntryStatus::Active, EntryStatus::Candidate]
        .into_iter()
        .find(|it| it.as_str() == status)
        .ok_or_else(|| internal(format!("no status of an entry: {status}")))?;
    let checked: Option<Uuid> = row.try_get("checked_snapshot").map_err(internal)?;
    Ok(Entry {
        id: EntryId::from_uuid(kind, row.try_get("id").map_err(internal)?),
        org,
        connection,
        name: row.try_get("name").map_err(internal)?,
        body: row.try_get::<_, Json<_>>("body").map_err(internal)?.0,
        status,
        broken: row.try_get("broken").map_err(internal)?,
        checked: checked.map(SnapshotId::from_uuid),
        version: row.try_get("version").map_err(internal)?,
        created_by: UserId::from_uuid(row.try_get("created_by").map_err(internal)?),
        created_at: row.try_get("created_at").map_err(internal)?,
        updated_by: UserId::from_uuid(row.try_get("updated_by").map_err(internal)?),
        updated_at: row.try_get("updated_at").map_err(internal)?,
    })
}
