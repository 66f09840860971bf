use plinth_connections::Sealed;
use plinth_control_plane::{
    Branch, Computes, Database, Endpoint, NodeInfo, Operation, OperationId, Project, Role, Snapshot,
};
use plinth_core::{OrgId, StoreError, UserId};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Json};

use crate::database::internal;

fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, StoreError> {
    row.try_get(column).map_err(internal)
}

/// A text that reads as something.
fn parsed<T>(row: &Row, column: &str) -> Result<T, StoreError>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    get::<&str>(row, column)?.parse().map_err(internal)
}

/// The same, or NULL.
fn parsed_opt<T>(row: &Row, column: &str) -> Result<Option<T>, StoreError>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    get::<Option<&str>>(row, column)?.map(|it| it.parse().map_err(internal)).transpose()
}

pub(super) fn project(row: &Row) -> Result<Project, StoreError> {
    Ok(Project {
        id: parsed(row, "id")?,
        org: OrgId::from_uuid(get(row, "org_id")?),
        node: get(row, "node")?,
        name: get(row, "name")?,
        pg_version: get(row, "pg_version")?,
        history_retention_seconds: get(row, "history_retention_seconds")?,
        store_passwords: get(row, "store_passwords")?,
        default_endpoint_settings: get(row, "default_endpoint_settings")?,
        settings: get(row, "settings")?,
        own_team: get(row, "own_team")?,
        key_sets: get::<Json<_>>(row, "key_sets")?.0,
        number: get(row, "number")?,
        revision: get(row, "revision")?,
        created_by: UserId::from_uuid(get(row, "created_by")?),
        created_at: get(row, "created_at")?,
        updated_at: get(row, "updated_at")?,
        deleted_at: get(row, "deleted_at")?,
        recoverable: get(row, "recoverable")?,
    })
}

pub(super) fn branch(row: &Row) -> Result<Branch, StoreError> {
    Ok(Branch {
        id: parsed(row, "id")?,
        project: parsed(row, "project_id")?,
        parent: parsed_opt(row, "parent_id")?,
        parent_lsn: parsed_opt(row, "parent_lsn")?,
        parent_timestamp: get(row, "parent_timestamp")?,
        schema_only: get(row, "schema_only")?,
        name: get(row, "name")?,
        is_default: get(row, "is_default")?,
        protected: get(row, "protected")?,
        state: parsed(row, "state")?,
        pending: parsed_opt(row, "pending")?,
        state_changed_at: get(row, "state_changed_at")?,
        storage: parsed_opt(row, "storage")?,
        logical_size: get(row, "logical_size")?,
        created_by: UserId::from_uuid(get(row, "created_by")?),
        created_at: get(row, "created_at")?,
        updated_at: get(row, "updated_at")?,
        expires_at: get(row, "expires_at")?,
        last_reset_at: get(row, "last_reset_at")?,
        deleted_at: get(row, "deleted_at")?,
        recoverable: get(row, "recoverable")?,
        restored_from: parsed_opt(row, "restored_from")?,
        restored_as: parsed_opt(row, "restored_as")?,
        restore_finalized: get(row, "restore_finalized")?,
        backups: get::<Json<_>>(row, "backups")?.0,
        backup_due_at: get(row, "backup_due_at")?,
    })
}

pub(super) fn snapshot(row: &Row) -> Result<Snapshot, StoreError> {
    Ok(Snapshot {
        files: branch(row)?,
        name: get(row, "snapshot_name")?,
        manual: get(row, "manual")?,
    })
}

pub(super) fn endpoint(row: &Row) -> Result<Endpoint, StoreError> {
    Ok(Endpoint {
        id: parsed(row, "id")?,
        project: parsed(row, "project_id")?,
        branch: parsed(row, "branch_id")?,
        kind: parsed(row, "kind")?,
        name: get(row, "name")?,
        port: u16::try_from(get::<i32>(row, "port")?).map_err(internal)?,
        pooled: get(row, "pooled")?,
        settings: get(row, "settings")?,
        computes: Computes { min: get(row, "min_computes")?, max: get(row, "max_computes")? },
        suspend_timeout_seconds: get(row, "suspend_timeout")?,
        disabled: get(row, "disabled")?,
        state: parsed(row, "state")?,
        pending: parsed_opt(row, "pending")?,
        last_active: get(row, "last_active")?,
        started_at: get(row, "started_at")?,
        suspended_at: get(row, "suspended_at")?,
        created_at: get(row, "created_at")?,
        updated_at: get(row, "updated_at")?,
        deleted_at: get(row, "deleted_at")?,
    })
}

pub(super) fn role(row: &Row) -> Result<Role, StoreError> {
    let version: Option<i32> = get(row, "password_version")?;
    let bytes: Option<Vec<u8>> = get(row, "password_sealed")?;
    Ok(Role {
        id: get(row, "id")?,
        branch: parsed(row, "branch_id")?,
        name: get::<String>(row, "name")?.try_into().map_err(internal)?,
        password: version.zip(bytes).map(|(key_version, bytes)| Sealed { key_version, bytes }),
        created_at: get(row, "created_at")?,
        updated_at: get(row, "updated_at")?,
    })
}

pub(super) fn database(row: &Row) -> Result<Database, StoreError> {
    Ok(Database {
        id: get(row, "id")?,
        branch: parsed(row, "branch_id")?,
        name: get::<String>(row, "name")?.try_into().map_err(internal)?,
        owner: get::<String>(row, "owner")?.try_into().map_err(internal)?,
        created_at: get(row, "created_at")?,
        updated_at: get(row, "updated_at")?,
    })
}

pub(super) fn operation(row: &Row) -> Result<Operation, StoreError> {
    Ok(Operation {
        id: OperationId::from_uuid(get(row, "id")?),
        org: OrgId::from_uuid(get(row, "org_id")?),
        project: parsed(row, "project_id")?,
        branch: parsed_opt(row, "branch_id")?,
        endpoint: parsed_opt(row, "endpoint_id")?,
        action: parsed(row, "action")?,
        step: get::<Json<_>>(row, "step")?.0,
        status: parsed(row, "status")?,
        error: get(row, "error")?,
        failures: get(row, "failures")?,
        created_at: get(row, "created_at")?,
        updated_at: get(row, "updated_at")?,
        duration_ms: get(row, "duration_ms")?,
    })
}

pub(super) fn node(row: &Row) -> Result<NodeInfo, StoreError> {
    Ok(NodeInfo {
        name: get(row, "name")?,
        host: get(row, "host")?,
        first_port: u16::try_from(get::<i32>(row, "first_port")?).map_err(internal)?,
        last_port: u16::try_from(get::<i32>(row, "last_port")?).map_err(internal)?,
        pg_version: get(row, "pg_version")?,
        offers: get::<Json<_>>(row, "offers")?.0,
    })
}
