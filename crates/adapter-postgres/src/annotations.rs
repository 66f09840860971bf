use async_trait::async_trait;
use plinth_connections::ConnectionId;
use plinth_core::{OrgId, StoreError, UserId};
use plinth_schema_introspect::{
    Annotation, AnnotationStore, AnnotationTarget, AnnotationText, Annotations, PutAnnotationError,
};
use plinth_tenancy::AuditEntry;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::database::{internal, store};
use crate::{Database, audit};

/// [`AnnotationStore`] in our own database.
#[derive(Clone)]
pub struct PostgresAnnotations {
    database: Database,
}

impl PostgresAnnotations {
    /// Keeps annotations in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

const VERSION: &str =
    "SELECT version FROM schema_annotation_versions WHERE org_id = $1 AND connection_id = $2";

const THIS: &str = "org_id = $1 AND connection_id = $2 AND schema_name = $3 AND table_name = $4 AND column_name = $5";

#[async_trait]
impl AnnotationStore for PostgresAnnotations {
    async fn version(&self, org: OrgId, connection: ConnectionId) -> Result<i64, StoreError> {
        self.database
            .for_org(org, async |tx| {
                let query = tx.prepare_cached(VERSION).await.map_err(store)?;
                let row = tx.query_opt(&query, &[&org.as_uuid(), &connection.as_uuid()]).await;
                row.map_err(store)?.map_or(Ok(0), |row| row.try_get(0).map_err(internal))
            })
            .await
    }

    async fn all(&self, org: OrgId, connection: ConnectionId) -> Result<Annotations, StoreError> {
        let query = "SELECT schema_name, table_name, column_name, description, synonyms, version, updated_by, updated_at
                     FROM schema_annotations WHERE org_id = $1 AND connection_id = $2";
        let (org_id, id) = (org.as_uuid(), connection.as_uuid());
        // Of one moment: a version that does not fit what is read would stay for as long as nothing changes.
        self.database
            .for_org_as_of_now(org, async |tx| {
                let version = tx.query_opt(VERSION, &[&org_id, &id]).await.map_err(store)?;
                let version = version.map_or(Ok(0), |row| row.try_get(0).map_err(internal))?;
                let rows = tx.query(query, &[&org_id, &id]).await.map_err(store)?;
                let all = rows.iter().map(|row| read(org, connection, row));
                Ok(Annotations::new(version, all.collect::<Result<Vec<_>, StoreError>>()?))
            })
            .await
    }

    async fn put(
        &self,
        annotation: &Annotation,
        expected: Option<i64>,
        entry: &AuditEntry,
    ) -> Result<i64, PutAnnotationError> {
        let (org, connection) = (annotation.org.as_uuid(), annotation.connection.as_uuid());
        let target = &annotation.target;
        let column = target.column.as_deref().unwrap_or_default();
        self.database
            .for_org(annotation.org, async |tx| {
                // The row's lock makes changes to one connection's annotations take turns.
                let next = tx
                    .query_opt(
                        "INSERT INTO schema_annotation_versions AS it (org_id, connection_id, version)
                         SELECT org_id, id, 1 FROM connections WHERE org_id = $1 AND id = $2 AND deleted_at IS NULL
                         ON CONFLICT (org_id, connection_id) DO UPDATE SET version = it.version + 1
                         RETURNING version",
                        &[&org, &connection],
                    )
                    .await
                    .map_err(store)?;
                let version: i64 = next
                    .ok_or(PutAnnotationError::NoConnection)?
                    .try_get(0)
                    .map_err(internal)?;
                if let Some(expected) = expected {
                    let query = format!("SELECT version FROM schema_annotations WHERE {THIS}");
                    let parameters: [&(dyn ToSql + Sync); 5] =
                        [&org, &connection, &target.schema, &target.table, &column];
                    let there = tx.query_opt(&query, &parameters).await.map_err(store)?;
                    let there: Option<i64> = there
                        .map(|row| row.try_get(0))
                        .transpose()
                        .map_err(internal)?;
                    if there != Some(expected) {
                        return Err(PutAnnotationError::Changed);
                    }
                }
                tx.execute(
                    "INSERT INTO schema_annotations (org_id, connection_id, schema_name, table_name, column_name,
                         description, synonyms, version, updated_by, updated_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                     ON CONFLICT (org_id, connection_id, schema_name, table_name, column_name) DO UPDATE SET
                         description = excluded.description, synonyms = excluded.synonyms,
                         version = excluded.version, updated_by = excluded.updated_by,
                         updated_at = excluded.updated_at",
                    &[
                        &org,
                        &connection,
                        &target.schema,
                        &target.table,
                        &column,
                        &annotation.text.description(),
                        &annotation.text.synonyms(),
                        &version,
                        &annotation.updated_by.as_uuid(),
                        &annotation.updated_at,
                    ],
                )
                .await
                .map_err(store)?;
                audit::append(&self.database, tx, entry).await?;
                Ok(version)
            })
            .await
    }

    async fn remove(
        &self,
        org: OrgId,
        connection: ConnectionId,
        target: &AnnotationTarget,
        expected: Option<i64>,
        entry: &AuditEntry,
    ) -> Result<bool, PutAnnotationError> {
        let (org_id, id) = (org.as_uuid(), connection.as_uuid());
        let column = target.column.as_deref().unwrap_or_default();
        self.database
            .for_org(org, async |tx| {
                // Locked first, as where annotations are written: two at once never wait for each other in a circle.
                let lock = format!("{VERSION} FOR UPDATE");
                tx.query_opt(&lock, &[&org_id, &id]).await.map_err(store)?;
                let query =
                    format!("DELETE FROM schema_annotations WHERE {THIS} RETURNING version");
                let parameters: [&(dyn ToSql + Sync); 5] =
                    [&org_id, &id, &target.schema, &target.table, &column];
                let Some(row) = tx.query_opt(&query, &parameters).await.map_err(store)? else {
                    return Ok(false);
                };
                let version: i64 = row.try_get(0).map_err(internal)?;
                if expected.is_some_and(|it| it != version) {
                    return Err(PutAnnotationError::Changed);
                }
                let count = "UPDATE schema_annotation_versions SET version = version + 1
                             WHERE org_id = $1 AND connection_id = $2";
                tx.execute(count, &[&org_id, &id]).await.map_err(store)?;
                audit::append(&self.database, tx, entry).await?;
                Ok(true)
            })
            .await
    }
}

fn read(org: OrgId, connection: ConnectionId, row: &Row) -> Result<Annotation, StoreError> {
    let column: String = row.try_get("column_name").map_err(internal)?;
    let description: Option<&str> = row.try_get("description").map_err(internal)?;
    let synonyms: Vec<String> = row.try_get("synonyms").map_err(internal)?;
    Ok(Annotation {
        org,
        connection,
        target: AnnotationTarget {
            schema: row.try_get("schema_name").map_err(internal)?,
            table: row.try_get("table_name").map_err(internal)?,
            column: (!column.is_empty()).then_some(column),
        },
        text: AnnotationText::parse(description, synonyms).map_err(internal)?,
        version: row.try_get("version").map_err(internal)?,
        updated_by: UserId::from_uuid(row.try_get("updated_by").map_err(internal)?),
        updated_at: row.try_get("updated_at").map_err(internal)?,
    })
}
