use jiff::Timestamp;
use plinth_control_plane::{ChangeError, ProjectId, Role, Transfer, TransferRequest};
use plinth_core::{OrgId, StoreError};
use plinth_tenancy::AuditEntry;
use uuid::Uuid;

use super::{PostgresControlPlane, row, write};
use crate::audit;
use crate::database::{internal, store};

impl PostgresControlPlane {
    pub(super) async fn all_roles_of(
        &self,
        org: OrgId,
        project: &ProjectId,
    ) -> Result<Vec<Role>, StoreError> {
        let query = "SELECT r.* FROM cp_roles r JOIN cp_branches b ON b.id = r.branch_id
                     WHERE r.org_id = $1 AND b.project_id = $2 ORDER BY r.id";
        self.database
            .for_org(org, async |tx| {
                let rows = tx.query(query, &[&org.as_uuid(), &project.as_str()]).await;
                rows.map_err(store)?.iter().map(row::role).collect()
            })
            .await
    }

    pub(super) async fn put_request(
        &self,
        request: &TransferRequest,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let insert = "INSERT INTO cp_transfer_requests (id, org_id, project_id, created_by, created_at, expires_at)
                      VALUES ($1, $2, $3, $4, $5, $6)";
        // Those that stand no longer go when the next one comes.
        let sweep = "DELETE FROM cp_transfer_requests WHERE org_id = $1 AND expires_at <= $2";
        self.database
            .for_org(request.org, async |tx| {
                let org = request.org.as_uuid();
                tx.execute(sweep, &[&org, &request.created_at]).await.map_err(store)?;
                tx.execute(
                    insert,
                    &[
                        &request.id,
                        &org,
                        &request.project.as_str(),
                        &request.created_by.as_uuid(),
                        &request.created_at,
                        &request.expires_at,
                    ],
                )
                .await
                .map_err(store)?;
                audit::append(&self.database, tx, entry).await
            })
            .await
    }

    pub(super) async fn find_request(
        &self,
        request: Uuid,
        project: &ProjectId,
        now: Timestamp,
    ) -> Result<Option<OrgId>, StoreError> {
        self.database
            .for_nobody(async |tx| {
                let find = "SELECT cp_find_transfer($1, $2, $3)";
                let row = tx.query_one(find, &[&request, &project.as_str(), &now]).await;
                let org: Option<Uuid> = row.map_err(store)?.try_get(0).map_err(internal)?;
                Ok(org.map(OrgId::from_uuid))
            })
            .await
    }

    /// Gives a project away in the view of the organization that has it, and writes what follows in the view of the one that
    /// gets it: one transaction.
    pub(super) async fn give(&self, it: &Transfer) -> Result<(), ChangeError> {
        let give = "SELECT cp_transfer($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let ids: Vec<Uuid> = it.passwords.iter().map(|it| it.0).collect();
        let versions: Vec<i32> = it.passwords.iter().map(|it| it.1.key_version).collect();
        let sealed: Vec<&[u8]> = it.passwords.iter().map(|it| it.1.bytes.as_slice()).collect();
        self.database
            .for_org(it.from, async |tx| {
                let done = tx
                    .query_one(
                        give,
                        &[
                            &it.change.project.as_str(),
                            &it.from.as_uuid(),
                            &it.change.org.as_uuid(),
                            &it.revision,
                            &it.request,
                            &it.at,
                            &ids,
                            &versions,
                            &sealed,
                        ],
                    )
                    .await
                    .map_err(store)?;
                match done.try_get::<_, &str>(0).map_err(internal)? {
                    "done" => {}
                    "busy" => return Err(ChangeError::Busy),
                    _ => return Err(ChangeError::Changed),
                }
                audit::append(&self.database, tx, &it.entry).await?;
                let see = "SELECT set_config('plinth.org_id', $1, true)";
                tx.execute(see, &[&it.change.org.to_string()]).await.map_err(store)?;
                write(&self.database, tx, &it.change).await
            })
            .await
    }
}
