mod inquiries;
mod permissions;
mod remotes;
mod row;
mod transfers;
mod usage;

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use jiff::{SignedDuration, Timestamp};
use plinth_connections::Sealed;
use plinth_control_plane::{
    Branch, BranchId, Census, Chain, Change, ChangeError, ControlPlaneStore, Database as Db,
    Endpoint, NodeInfo, Operation, OperationId, Person, Project, ProjectFilter, ProjectId, Role,
    Snapshot, TakenChain, Transfer, TransferRequest, Tree,
};
use plinth_core::{Cursor, OrgId, StoreError};
use plinth_tenancy::AuditEntry;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

pub use self::remotes::PostgresRemotes;
use crate::database::{broken_constraint, internal, store};
use crate::{Database, audit};

/// [`ControlPlaneStore`] in our own database.
#[derive(Clone)]
pub struct PostgresControlPlane {
    database: Database,
}

impl PostgresControlPlane {
    /// Keeps projects in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl ControlPlaneStore for PostgresControlPlane {
    async fn projects(
        &self,
        org: OrgId,
        filter: &ProjectFilter,
    ) -> Result<Vec<Project>, StoreError> {
        let query = "SELECT * FROM cp_projects
             WHERE org_id = $1
               AND CASE WHEN $2::timestamptz IS NULL THEN deleted_at IS NULL
                        ELSE recoverable AND deleted_at > $2 END
               AND ($3::text IS NULL OR strpos(lower(name), lower($3)) > 0 OR strpos(id, $3) > 0)
               -- Of those made at the same moment each has a number of its own.
               AND ($4::timestamptz IS NULL OR (created_at, number) < ($4, $5))
               AND ($7::text IS NULL OR id = $7)
             ORDER BY created_at DESC, number DESC LIMIT $6";
        let (after, number) = place(filter.after);
        self.database
            .for_org(org, async |tx| {
                let limit = i64::from(filter.limit);
                let only = filter.only.as_ref().map(ProjectId::as_str);
                let rows = tx
                    .query(
                        query,
                        &[
                            &org.as_uuid(),
                            &filter.deleted_since,
                            &filter.search,
                            &after,
                            &number,
                            &limit,
                            &only,
                        ],
                    )
                    .await
                    .map_err(store)?;
                rows.iter().map(row::project).collect()
            })
            .await
    }

    async fn load(&self, org: OrgId, project: &ProjectId) -> Result<Option<Tree>, StoreError> {
        let (org_id, id) = (org.as_uuid(), project.as_str());
        self.database
            .for_org_as_of_now(org, async |tx| {
                let query = "SELECT p.*, n.host, coalesce((n.offers ->> 'limits')::boolean, false) AS limits FROM cp_projects p LEFT JOIN cp_nodes n ON n.name = p.node
                             WHERE p.org_id = $1 AND p.id = $2";
                let Some(found) = tx.query_opt(query, &[&org_id, &id]).await.map_err(store)? else {
                    return Ok(None);
                };
                let host: Option<String> = found.try_get("host").map_err(internal)?;
                let all = async |query: &'static str| {
                    let query = tx.prepare_cached(query).await.map_err(store)?;
                    tx.query(&query, &[&org_id, &id]).await.map_err(store)
                };
                let branches = all("SELECT b.* FROM cp_branches b
                                    WHERE b.org_id = $1 AND b.project_id = $2 AND b.deleted_at IS NULL
                                      AND NOT EXISTS (SELECT FROM cp_snapshots s WHERE s.branch_id = b.id)
                                    ORDER BY b.created_at, b.id").await?;
                let snapshots = all("SELECT b.*, s.name AS snapshot_name, s.manual FROM cp_snapshots s JOIN cp_branches b ON b.id = s.branch_id
                                     WHERE b.org_id = $1 AND b.project_id = $2 AND b.deleted_at IS NULL ORDER BY b.created_at, b.id").await?;
                let endpoints = all("SELECT * FROM cp_endpoints WHERE org_id = $1 AND project_id = $2 AND deleted_at IS NULL ORDER BY created_at, id").await?;
                let roles = all("SELECT r.* FROM cp_roles r JOIN cp_branches b ON b.id = r.branch_id
                                 WHERE r.org_id = $1 AND b.project_id = $2 AND b.deleted_at IS NULL ORDER BY r.name").await?;
                let databases = all("SELECT d.* FROM cp_databases d JOIN cp_branches b ON b.id = d.branch_id
                                     WHERE d.org_id = $1 AND b.project_id = $2 AND b.deleted_at IS NULL ORDER BY d.id").await?;
                Ok(Some(Tree {
                    project: row::project(&found)?,
                    host: host.unwrap_or_default(),
                    holds_limits: found.try_get("limits").map_err(internal)?,
                    branches: branches.iter().map(row::branch).collect::<Result<_, StoreError>>()?,
                    snapshots: snapshots.iter().map(row::snapshot).collect::<Result<_, StoreError>>()?,
                    endpoints: endpoints.iter().map(row::endpoint).collect::<Result<_, StoreError>>()?,
                    roles: roles.iter().map(row::role).collect::<Result<_, StoreError>>()?,
                    databases: databases.iter().map(row::database).collect::<Result<_, StoreError>>()?,
                }))
            })
            .await
    }

    async fn own_project(&self, org: OrgId) -> Result<Option<ProjectId>, StoreError> {
        let query = "SELECT id FROM cp_projects WHERE org_id = $1 AND own_team IS NOT NULL AND deleted_at IS NULL";
        self.database
            .for_org(org, async |tx| {
                let row = tx.query_opt(query, &[&org.as_uuid()]).await.map_err(store)?;
                row.map(|row| row.get::<_, &str>(0).parse().map_err(internal)).transpose()
            })
            .await
    }

    async fn people(&self, org: OrgId) -> Result<Vec<Person>, StoreError> {
        let query = "SELECT u.id, u.email, coalesce(m.role, 'custom'), m.created_at FROM members m JOIN users u ON u.id = m.user_id
                     WHERE m.org_id = $1 ORDER BY u.id";
        self.database
            .for_org(org, async |tx| {
                let rows = tx.query(query, &[&org.as_uuid()]).await.map_err(store)?;
                let read = |row: &tokio_postgres::Row| {
                    Ok(Person {
                        id: row.try_get(0).map_err(internal)?,
                        email: row.try_get(1).map_err(internal)?,
                        role: row.try_get(2).map_err(internal)?,
                        joined_at: row.try_get(3).map_err(internal)?,
                    })
                };
                rows.iter().map(read).collect()
            })
            .await
    }

    async fn deleted_branch(
        &self,
        org: OrgId,
        project: &ProjectId,
        id: &BranchId,
        since: Timestamp,
    ) -> Result<Option<Branch>, StoreError> {
        let query = "SELECT * FROM cp_branches
                     WHERE org_id = $1 AND project_id = $2 AND id = $3 AND recoverable AND deleted_at > $4";
        self.database
            .for_org(org, async |tx| {
                let row = tx
                    .query_opt(query, &[&org.as_uuid(), &project.as_str(), &id.as_str(), &since])
                    .await
                    .map_err(store)?;
                row.as_ref().map(row::branch).transpose()
            })
            .await
    }

    async fn commit(&self, change: &Change) -> Result<(), ChangeError> {
        self.database.for_org(change.org, async |tx| write(&self.database, tx, change).await).await
    }

    async fn operations(
        &self,
        org: OrgId,
        project: &ProjectId,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Vec<Operation>, StoreError> {
        let query = "SELECT * FROM cp_operations
             WHERE org_id = $1 AND project_id = $2
               AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4))
             ORDER BY created_at DESC, id DESC LIMIT $5";
        let (at, id) = (after.map(|it| it.created_at), after.map(|it| it.id));
        self.database
            .for_org(org, async |tx| {
                let limit = i64::from(limit);
                let rows = tx
                    .query(query, &[&org.as_uuid(), &project.as_str(), &at, &id, &limit])
                    .await
                    .map_err(store)?;
                rows.iter().map(row::operation).collect()
            })
            .await
    }

    async fn operation(
        &self,
        org: OrgId,
        project: &ProjectId,
        id: OperationId,
    ) -> Result<Option<Operation>, StoreError> {
        let query = "SELECT * FROM cp_operations WHERE org_id = $1 AND project_id = $2 AND id = $3";
        self.database
            .for_org(org, async |tx| {
                let query = tx.prepare_cached(query).await.map_err(store)?;
                let row = tx
                    .query_opt(&query, &[&org.as_uuid(), &project.as_str(), &id.as_uuid()])
                    .await
                    .map_err(store)?;
                row.as_ref().map(row::operation).transpose()
            })
            .await
    }

    async fn all_roles(&self, org: OrgId, project: &ProjectId) -> Result<Vec<Role>, StoreError> {
        self.all_roles_of(org, project).await
    }

    async fn put_transfer_request(
        &self,
        request: &TransferRequest,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        self.put_request(request, entry).await
    }

    async fn find_transfer(
        &self,
        request: Uuid,
        project: &ProjectId,
        now: Timestamp,
    ) -> Result<Option<OrgId>, StoreError> {
        self.find_request(request, project, now).await
    }

    async fn transfer(&self, transfer: &Transfer) -> Result<(), ChangeError> {
        self.give(transfer).await
    }

    async fn beat(&self, node: &NodeInfo) -> Result<(), StoreError> {
        let (first, last) = (i32::from(node.first_port), i32::from(node.last_port));
        self.database
            .for_nobody(async |tx| {
                let beat = "SELECT cp_beat($1, $2, $3, $4, $5, $6)";
                let offers = Json(&node.offers);
                let values: [&(dyn ToSql + Sync); 6] =
                    [&node.name, &node.host, &first, &last, &node.pg_version, &offers];
                tx.query_one(beat, &values).await.map_err(store)?;
                Ok(())
            })
            .await
    }

    async fn nodes(&self, within: SignedDuration) -> Result<Vec<NodeInfo>, StoreError> {
        let query = "SELECT * FROM cp_nodes WHERE seen_at > now() - make_interval(secs => $1) ORDER BY name";
        self.database
            .for_nobody(async |tx| {
                let rows = tx.query(query, &[&within.as_secs_f64()]).await.map_err(store)?;
                rows.iter().map(row::node).collect()
            })
            .await
    }

    async fn ports(&self, node: &str) -> Result<Vec<u16>, StoreError> {
        self.database
            .for_nobody(async |tx| {
                let rows = tx.query("SELECT cp_ports($1)", &[&node]).await.map_err(store)?;
                rows.iter()
                    .map(|row| u16::try_from(row.get::<_, i32>(0)).map_err(internal))
                    .collect()
            })
            .await
    }

    async fn projects_of(&self, node: &str) -> Result<Vec<(OrgId, ProjectId)>, StoreError> {
        self.database
            .for_nobody(async |tx| {
                let query = "SELECT org_id, project_id FROM cp_projects_of($1)";
                let rows = tx.query(query, &[&node]).await.map_err(store)?;
                rows.iter()
                    .map(|row| {
                        let id = row.get::<_, &str>(1).parse().map_err(internal)?;
                        Ok((OrgId::from_uuid(row.get(0)), id))
                    })
                    .collect()
            })
            .await
    }

    async fn kept(
        &self,
        node: &str,
        since: Timestamp,
    ) -> Result<Vec<(ProjectId, BranchId)>, StoreError> {
        self.database
            .for_nobody(async |tx| {
                let query = "SELECT project_id, branch_id FROM cp_kept($1, $2)";
                let rows = tx.query(query, &[&node, &since]).await.map_err(store)?;
                rows.iter()
                    .map(|row| {
                        let project = row.get::<_, &str>(0).parse().map_err(internal)?;
                        Ok((project, row.get::<_, &str>(1).parse().map_err(internal)?))
                    })
                    .collect()
            })
            .await
    }

    async fn due(&self, node: &str, now: Timestamp) -> Result<Vec<(OrgId, ProjectId)>, StoreError> {
        self.database
            .for_nobody(async |tx| {
                let query = "SELECT org_id, project_id FROM cp_due($1, $2)";
                let query = tx.prepare_cached(query).await.map_err(store)?;
                let rows = tx.query(&query, &[&node, &now]).await.map_err(store)?;
                rows.iter()
                    .map(|row| {
                        let id = row.get::<_, &str>(1).parse().map_err(internal)?;
                        Ok((OrgId::from_uuid(row.get(0)), id))
                    })
                    .collect()
            })
            .await
    }

    async fn census(&self) -> Result<Vec<Census>, StoreError> {
        let query = "SELECT what, kind, state, many FROM cp_census()";
        self.database
            .for_nobody(async |tx| {
                let rows = tx.query(query, &[]).await.map_err(store)?;
                let read = |row: &tokio_postgres::Row| {
                    Ok(Census {
                        what: row.try_get(0).map_err(internal)?,
                        kind: row.try_get(1).map_err(internal)?,
                        state: row.try_get(2).map_err(internal)?,
                        many: row.try_get(3).map_err(internal)?,
                    })
                };
                rows.iter().map(read).collect()
            })
            .await
    }

    async fn take(
        &self,
        node: &str,
        instance: Uuid,
        lease: SignedDuration,
    ) -> Result<Option<TakenChain>, StoreError> {
        let taken: Option<(OrgId, Uuid)> = self
            .database
            .for_nobody(async |tx| {
                let take =
                    "SELECT org_id, chain_id FROM cp_take($1, $2, make_interval(secs => $3))";
                let take = tx.prepare_cached(take).await.map_err(store)?;
                let row = tx.query_opt(&take, &[&node, &instance, &lease.as_secs_f64()]).await;
                let row = row.map_err(store)?;
                Ok::<_, StoreError>(row.map(|row| (OrgId::from_uuid(row.get(0)), row.get(1))))
            })
            .await?;
        let Some((org, id)) = taken else { return Ok(None) };
        // From here on as everywhere: in the organization's own view.
        let operations: Vec<Operation> = self
            .database
            .for_org(org, async |tx| {
                let query = "SELECT * FROM cp_operations WHERE org_id = $1 AND chain_id = $2 ORDER BY place";
                let rows = tx.query(query, &[&org.as_uuid(), &id]).await.map_err(store)?;
                rows.iter().map(row::operation).collect::<Result<_, StoreError>>()
            })
            .await?;
        let Some(first) = operations.first() else {
            return Err(internal("a chain without operations"));
        };
        let (project, id) = (first.project.clone(), OperationId::from_uuid(id));
        Ok(Some(TakenChain { id, org, project, chain: Chain { operations } }))
    }

    async fn extend(
        &self,
        org: OrgId,
        chain: OperationId,
        instance: Uuid,
        lease: SignedDuration,
    ) -> Result<bool, StoreError> {
        let update = "UPDATE cp_chains SET leased_until = now() + make_interval(secs => $4)
                      WHERE org_id = $1 AND id = $2 AND taken_by = $3 AND finished_at IS NULL";
        self.database
            .for_org(org, async |tx| {
                let done = tx
                    .execute(
                        update,
                        &[&org.as_uuid(), &chain.as_uuid(), &instance, &lease.as_secs_f64()],
                    )
                    .await
                    .map_err(store)?;
                Ok(done == 1)
            })
            .await
    }

    async fn keep_authority(
        &self,
        certificate: &str,
        key: &Sealed,
    ) -> Result<(String, Sealed), StoreError> {
        self.authority_or(Some(certificate), Some(key))
            .await?
            .ok_or_else(|| internal("the authority is not there"))
    }

    async fn authority(&self) -> Result<Option<(String, Sealed)>, StoreError> {
        self.authority_or(None, None).await
    }
}

impl PostgresControlPlane {
    async fn authority_or(
        &self,
        certificate: Option<&str>,
        key: Option<&Sealed>,
    ) -> Result<Option<(String, Sealed)>, StoreError> {
        let keep =
            "SELECT kept_certificate, kept_version, kept_key FROM cp_keep_authority($1, $2, $3)";
        let (version, bytes) = (key.map(|it| it.key_version), key.map(|it| it.bytes.as_slice()));
        self.database
            .for_nobody(async |tx| {
                let row =
                    tx.query_one(keep, &[&certificate, &version, &bytes]).await.map_err(store)?;
                let kept: Option<String> = row.try_get(0).map_err(internal)?;
                let Some(kept) = kept else { return Ok(None) };
                let key_version = row.try_get(1).map_err(internal)?;
                let bytes = row.try_get(2).map_err(internal)?;
                Ok(Some((kept, Sealed { key_version, bytes })))
            })
            .await
    }
}

/// Where a page of projects begins: the number stands in the low half of the cursor's id.
fn place(after: Option<Cursor>) -> (Option<Timestamp>, Option<i64>) {
    let number = after.map(|it| i64::try_from(it.id.as_u128()).unwrap_or(i64::MAX));
    (after.map(|it| it.created_at), number)
}

async fn write(
    database: &Database,
    tx: &Transaction<'_>,
    change: &Change,
) -> Result<(), ChangeError> {
    let (org, project) = (change.org.as_uuid(), change.project.as_str());
    if let Some(revision) = change.revision {
        let next = "UPDATE cp_projects SET revision = revision + 1 WHERE org_id = $1 AND id = $2 AND revision = $3";
        let next = tx.execute(next, &[&org, &project, &revision]).await.map_err(store)?;
        if next == 0 {
            return Err(ChangeError::Changed);
        }
    }
    if let Some(it) = &change.put_project {
        put_project(tx, it).await?;
    }
    if !change.remove_roles.is_empty() {
        let delete = "DELETE FROM cp_roles WHERE org_id = $1 AND id = ANY ($2)";
        tx.execute(delete, &[&org, &change.remove_roles]).await.map_err(store)?;
    }
    if !change.remove_databases.is_empty() {
        let delete = "DELETE FROM cp_databases WHERE org_id = $1 AND id = ANY ($2)";
        tx.execute(delete, &[&org, &change.remove_databases]).await.map_err(store)?;
    }
    for it in &change.branches {
        put_branch(tx, org, it).await?;
    }
    for it in &change.snapshots {
        put_snapshot(tx, org, it).await?;
    }
    for it in &change.endpoints {
        put_endpoint(tx, org, it).await?;
    }
    for it in &change.roles {
        put_role(tx, org, it).await?;
    }
    for it in &change.databases {
        put_database(tx, org, it).await?;
    }
    if let Some(first) = change.chain.first() {
        let insert = "INSERT INTO cp_chains (id, org_id, project_id, node, created_at)
                      SELECT $1, org_id, id, node, $4 FROM cp_projects WHERE org_id = $2 AND id = $3";
        tx.execute(insert, &[&first.id.as_uuid(), &org, &project, &first.created_at])
            .await
            .map_err(refused)?;
        for (place, it) in (0_i32..).zip(&change.chain) {
            let insert = "INSERT INTO cp_operations (id, org_id, project_id, chain_id, place, branch_id, endpoint_id, action,
                              step, status, error, failures, created_at, updated_at, duration_ms)
                          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
            let insert = tx.prepare_cached(insert).await.map_err(store)?;
            let (branch, endpoint) = (
                it.branch.as_ref().map(BranchId::as_str),
                it.endpoint.as_ref().map(plinth_control_plane::EndpointId::as_str),
            );
            tx.execute(
                &insert,
                &[
                    &it.id.as_uuid(),
                    &org,
                    &project,
                    &first.id.as_uuid(),
                    &place,
                    &branch,
                    &endpoint,
                    &it.action.as_str(),
                    &Json(&it.step),
                    &it.status.as_str(),
                    &it.error,
                    &it.failures,
                    &it.created_at,
                    &it.updated_at,
                    &it.duration_ms,
                ],
            )
            .await
            .map_err(store)?;
        }
    }
    for it in &change.operations {
        let update = "UPDATE cp_operations SET status = $3, error = $4, failures = $5, updated_at = $6, duration_ms = $7
                      WHERE org_id = $1 AND id = $2";
        let update = tx.prepare_cached(update).await.map_err(store)?;
        tx.execute(
            &update,
            &[
                &org,
                &it.id.as_uuid(),
                &it.status.as_str(),
                &it.error,
                &it.failures,
                &it.updated_at,
                &it.duration_ms,
            ],
        )
        .await
        .map_err(store)?;
    }
    if let Some(chain) = change.finished {
        let finish = "UPDATE cp_chains SET finished_at = now(), leased_until = NULL WHERE org_id = $1 AND id = $2";
        tx.execute(finish, &[&org, &chain.as_uuid()]).await.map_err(store)?;
    }
    if let Some(entry) = &change.entry {
        audit::append(database, tx, entry).await?;
    }
    Ok(())
}

fn refused(err: tokio_postgres::Error) -> ChangeError {
    match broken_constraint(&err) {
        Some("cp_chains_one") => ChangeError::Busy,
        Some("cp_projects_own") => ChangeError::Exists("project"),
        Some("cp_branches_name" | "cp_branches_default") => ChangeError::Exists("branch"),
        Some("cp_endpoints_writer") => ChangeError::Exists("endpoint"),
        Some("cp_endpoints_port") => ChangeError::PortTaken,
        Some("cp_roles_name") => ChangeError::Exists("role"),
        Some("cp_databases_name") => ChangeError::Exists("database"),
        _ => store(err).into(),
    }
}

async fn put_project(tx: &Transaction<'_>, it: &Project) -> Result<(), ChangeError> {
    let put = "INSERT INTO cp_projects (id, org_id, node, name, pg_version, history_retention_seconds, store_passwords,
                   default_endpoint_settings, settings, created_by, created_at, updated_at, deleted_at, recoverable, own_team, key_sets)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
               ON CONFLICT (id) DO UPDATE SET name = excluded.name,
                   history_retention_seconds = excluded.history_retention_seconds,
                   default_endpoint_settings = excluded.default_endpoint_settings, settings = excluded.settings,
                   updated_at = excluded.updated_at, deleted_at = excluded.deleted_at, recoverable = excluded.recoverable,
                   own_team = excluded.own_team, key_sets = excluded.key_sets";
    tx.execute(
        put,
        &[
            &it.id.as_str(),
            &it.org.as_uuid(),
            &it.node,
            &it.name,
            &it.pg_version,
            &it.history_retention_seconds,
            &it.store_passwords,
            &it.default_endpoint_settings,
            &it.settings,
            &it.created_by.as_uuid(),
            &it.created_at,
            &it.updated_at,
            &it.deleted_at,
            &it.recoverable,
            &it.own_team,
            &Json(&it.key_sets),
        ],
    )
    .await
    .map_err(refused)?;
    Ok(())
}

async fn put_branch(tx: &Transaction<'_>, org: Uuid, it: &Branch) -> Result<(), ChangeError> {
    let put = "INSERT INTO cp_branches (id, org_id, project_id, parent_id, parent_lsn, parent_timestamp, name, is_default,
                   protected, state, pending, state_changed_at, storage, logical_size, created_by, created_at, updated_at,
                   expires_at, last_reset_at, deleted_at, recoverable, restored_from, restored_as, restore_finalized, backups,
                   backup_due_at, schema_only)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
                   $23, $24, $25, $26, $27)
               ON CONFLICT (id) DO UPDATE SET parent_id = excluded.parent_id, parent_lsn = excluded.parent_lsn,
                   parent_timestamp = excluded.parent_timestamp, name = excluded.name, is_default = excluded.is_default,
                   protected = excluded.protected, state = excluded.state, pending = excluded.pending,
                   state_changed_at = excluded.state_changed_at, storage = excluded.storage,
                   logical_size = excluded.logical_size, updated_at = excluded.updated_at, expires_at = excluded.expires_at,
                   last_reset_at = excluded.last_reset_at, deleted_at = excluded.deleted_at,
                   recoverable = excluded.recoverable, restored_from = excluded.restored_from,
                   restored_as = excluded.restored_as, restore_finalized = excluded.restore_finalized,
                   backups = excluded.backups, backup_due_at = excluded.backup_due_at,
                   schema_only = excluded.schema_only";
    let put = tx.prepare_cached(put).await.map_err(store)?;
    tx.execute(
        &put,
        &[
            &it.id.as_str(),
            &org,
            &it.project.as_str(),
            &it.parent.as_ref().map(BranchId::as_str),
            &it.parent_lsn.map(|it| it.to_string()),
            &it.parent_timestamp,
            &it.name,
            &it.is_default,
            &it.protected,
            &it.state.as_str(),
            &it.pending.map(plinth_control_plane::BranchState::as_str),
            &it.state_changed_at,
            &it.storage.map(plinth_control_plane::StorageMethod::as_str),
            &it.logical_size,
            &it.created_by.as_uuid(),
            &it.created_at,
            &it.updated_at,
            &it.expires_at,
            &it.last_reset_at,
            &it.deleted_at,
            &it.recoverable,
            &it.restored_from.as_ref().map(BranchId::as_str),
            &it.restored_as.as_ref().map(BranchId::as_str),
            &it.restore_finalized,
            &Json(&it.backups),
            &it.backup_due_at,
            &it.schema_only,
        ],
    )
    .await
    .map_err(refused)?;
    Ok(())
}

async fn put_snapshot(tx: &Transaction<'_>, org: Uuid, it: &Snapshot) -> Result<(), ChangeError> {
    put_branch(tx, org, &it.files).await?;
    let put = "INSERT INTO cp_snapshots (branch_id, org_id, name, manual) VALUES ($1, $2, $3, $4)
               ON CONFLICT (branch_id) DO UPDATE SET name = excluded.name";
    tx.execute(put, &[&it.files.id.as_str(), &org, &it.name, &it.manual]).await.map_err(refused)?;
    Ok(())
}

async fn put_endpoint(tx: &Transaction<'_>, org: Uuid, it: &Endpoint) -> Result<(), ChangeError> {
    let put = "INSERT INTO cp_endpoints (id, org_id, project_id, branch_id, node, kind, name, port, settings, min_computes,
                   max_computes, suspend_timeout, disabled, state, pending, last_active, started_at, suspended_at,
                   created_at, updated_at, deleted_at, pooled)
               SELECT $1, $2, $3, $4, p.node, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21
               FROM cp_projects p WHERE p.org_id = $2 AND p.id = $3
               ON CONFLICT (id) DO UPDATE SET branch_id = excluded.branch_id, name = excluded.name,
                   settings = excluded.settings, min_computes = excluded.min_computes, max_computes = excluded.max_computes,
                   suspend_timeout = excluded.suspend_timeout, disabled = excluded.disabled, state = excluded.state,
                   pending = excluded.pending, last_active = excluded.last_active, started_at = excluded.started_at,
                   suspended_at = excluded.suspended_at, updated_at = excluded.updated_at, deleted_at = excluded.deleted_at,
                   pooled = excluded.pooled";
    let put = tx.prepare_cached(put).await.map_err(store)?;
    tx.execute(
        &put,
        &[
            &it.id.as_str(),
            &org,
            &it.project.as_str(),
            &it.branch.as_str(),
            &it.kind.as_str(),
            &it.name,
            &i32::from(it.port),
            &it.settings,
            &it.computes.min,
            &it.computes.max,
            &it.suspend_timeout_seconds,
            &it.disabled,
            &it.state.as_str(),
            &it.pending.map(plinth_control_plane::EndpointState::as_str),
            &it.last_active,
            &it.started_at,
            &it.suspended_at,
            &it.created_at,
            &it.updated_at,
            &it.deleted_at,
            &it.pooled,
        ],
    )
    .await
    .map_err(refused)?;
    Ok(())
}

async fn put_role(tx: &Transaction<'_>, org: Uuid, it: &Role) -> Result<(), ChangeError> {
    let put = "INSERT INTO cp_roles (id, org_id, branch_id, name, password_version, password_sealed, created_at, updated_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
               ON CONFLICT (id) DO UPDATE SET password_version = excluded.password_version,
                   password_sealed = excluded.password_sealed, updated_at = excluded.updated_at";
    let put = tx.prepare_cached(put).await.map_err(store)?;
    let version = it.password.as_ref().map(|it| it.key_version);
    let sealed = it.password.as_ref().map(|it| it.bytes.as_slice());
    tx.execute(
        &put,
        &[
            &it.id,
            &org,
            &it.branch.as_str(),
            &it.name.as_str(),
            &version,
            &sealed,
            &it.created_at,
            &it.updated_at,
        ],
    )
    .await
    .map_err(refused)?;
    Ok(())
}

async fn put_database(tx: &Transaction<'_>, org: Uuid, it: &Db) -> Result<(), ChangeError> {
    let (branch, name, owner) = (it.branch.as_str(), it.name.as_str(), it.owner.as_str());
    if it.id == 0 {
        let insert = "INSERT INTO cp_databases (org_id, branch_id, name, owner, created_at, updated_at)
                      VALUES ($1, $2, $3, $4, $5, $6)";
        tx.execute(insert, &[&org, &branch, &name, &owner, &it.created_at, &it.updated_at]).await
    } else {
        let update = "UPDATE cp_databases SET name = $3, owner = $4, updated_at = $5 WHERE org_id = $1 AND id = $2";
        tx.execute(update, &[&org, &it.id, &name, &owner, &it.updated_at]).await
    }
    .map_err(refused)?;
    Ok(())
}
