use async_trait::async_trait;
use jiff::Timestamp;
use plinth_control_plane::{ChangeError, PermissionStore, ProjectId, ProjectPermission};
use plinth_core::{OrgId, StoreError, UserId};
use plinth_tenancy::{AuditEntry, Email};
use tokio_postgres::Row;
use uuid::Uuid;

use super::PostgresControlPlane;
use crate::audit;
use crate::database::{broken_constraint, internal, store};

#[async_trait]
impl PermissionStore for PostgresControlPlane {
    async fn permissions(
        &self,
        org: OrgId,
        project: &ProjectId,
    ) -> Result<Vec<ProjectPermission>, StoreError> {
        let query = "SELECT * FROM cp_permissions
                     WHERE org_id = $1 AND project_id = $2 AND revoked_at IS NULL ORDER BY granted_at, id";
        self.database
            .for_org(org, async |tx| {
                let rows = tx.query(query, &[&org.as_uuid(), &project.as_str()]).await;
                rows.map_err(store)?.iter().map(read).collect()
            })
            .await
    }

    async fn grant(&self, it: &ProjectPermission, entry: &AuditEntry) -> Result<(), ChangeError> {
        let insert =
            "INSERT INTO cp_permissions (id, org_id, project_id, email, granted_by, granted_at)
                      VALUES ($1, $2, $3, $4, $5, $6)";
        self.database
            .for_org(it.org, async |tx| {
                tx.execute(
                    insert,
                    &[
                        &it.id,
                        &it.org.as_uuid(),
                        &it.project.as_str(),
                        &it.email.as_str(),
                        &it.granted_by.as_uuid(),
                        &it.granted_at,
                    ],
                )
                .await
                .map_err(|err| match broken_constraint(&err) {
                    Some("cp_permissions_email") => ChangeError::Exists("permission"),
                    _ => store(err).into(),
                })?;
                audit::append(&self.database, tx, entry).await?;
                Ok(())
            })
            .await
    }

    async fn revoke(
        &self,
        org: OrgId,
        project: &ProjectId,
        id: Uuid,
        at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<Option<ProjectPermission>, StoreError> {
        let update = "UPDATE cp_permissions SET revoked_at = $4
                      WHERE org_id = $1 AND project_id = $2 AND id = $3 AND revoked_at IS NULL RETURNING *";
        self.database
            .for_org(org, async |tx| {
                let row = tx
                    .query_opt(update, &[&org.as_uuid(), &project.as_str(), &id, &at])
                    .await
                    .map_err(store)?;
                let Some(row) = row else { return Ok(None) };
                audit::append(&self.database, tx, entry).await?;
                read(&row).map(Some)
            })
            .await
    }

    async fn shared_with(&self, person: UserId) -> Result<Vec<(OrgId, ProjectId)>, StoreError> {
        self.database
            .for_nobody(async |tx| {
                let query = "SELECT org_id, project_id FROM cp_shared_with($1)";
                let query = tx.prepare_cached(query).await.map_err(store)?;
                let rows = tx.query(&query, &[&person.as_uuid()]).await.map_err(store)?;
                rows.iter()
                    .map(|row| {
                        let id = row.get::<_, &str>(1).parse().map_err(internal)?;
                        Ok((OrgId::from_uuid(row.get(0)), id))
                    })
                    .collect()
            })
            .await
    }
}

fn read(row: &Row) -> Result<ProjectPermission, StoreError> {
    let email: &str = row.try_get("email").map_err(internal)?;
    Ok(ProjectPermission {
        id: row.try_get("id").map_err(internal)?,
        org: OrgId::from_uuid(row.try_get("org_id").map_err(internal)?),
        project: row.get::<_, &str>("project_id").parse().map_err(internal)?,
        email: Email::parse(email).map_err(internal)?,
        granted_by: UserId::from_uuid(row.try_get("granted_by").map_err(internal)?),
        granted_at: row.try_get("granted_at").map_err(internal)?,
        revoked_at: row.try_get("revoked_at").map_err(internal)?,
    })
}
