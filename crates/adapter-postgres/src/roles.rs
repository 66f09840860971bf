//! How a member's role is read, wherever one is.

use std::sync::Arc;

use deadpool_postgres::Transaction;
use plinth_core::{OrgId, StoreError, UserId};
use plinth_tenancy::{CustomRole, MemberRole, Role, RoleId, RoleKey, RoleName, scope_set};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::database::{internal, store};

/// What [`read_custom`] reads.
const CUSTOM_COLUMNS: &str =
    "roles.id AS role_id, roles.org_id AS role_org, roles.name AS role_name,
    roles.description AS role_description, roles.scopes AS role_scopes,
    roles.saved_queries_only AS role_saved_queries_only, roles.created_by AS role_created_by,
    roles.created_at AS role_created_at, roles.updated_at AS role_updated_at";

/// What [`read_role`] reads, of a statement with `members` and [`JOIN_ROLES`] in its `FROM`. In the organization's own
/// view.
pub(crate) const ROLE_COLUMNS: &str =
    "members.role AS role_kind, roles.id AS role_id, roles.org_id AS role_org,
    roles.name AS role_name, roles.description AS role_description, roles.scopes AS role_scopes,
    roles.saved_queries_only AS role_saved_queries_only, roles.created_by AS role_created_by,
    roles.created_at AS role_created_at, roles.updated_at AS role_updated_at";

/// See [`ROLE_COLUMNS`].
pub(crate) const JOIN_ROLES: &str =
    "LEFT JOIN roles ON roles.org_id = members.org_id AND roles.id = members.custom_role";

/// A member's role, in the one look-up that finds the member.
pub(crate) fn read_role(row: &Row) -> Result<MemberRole, StoreError> {
    let kind: &str = row.try_get("role_kind").map_err(internal)?;
    if kind != CUSTOM {
        let role: Role = kind.parse().map_err(internal)?;
        return Ok(role.into());
    }
    Ok(MemberRole::Custom(Arc::new(read_custom(row)?)))
}

/// A role by its key; `lock` is for a custom one.
pub(crate) async fn find_role(
    tx: &Transaction<'_>,
    org: OrgId,
    key: RoleKey,
    lock: &str,
) -> Result<Option<MemberRole>, StoreError> {
    Ok(match key {
        RoleKey::BuiltIn(role) => Some(role.into()),
        RoleKey::Custom(id) => {
            find_custom(tx, org, id, lock).await?.map(|it| MemberRole::Custom(Arc::new(it)))
        }
    })
}

/// One of the organization's own roles.
pub(crate) async fn find_custom(
    tx: &Transaction<'_>,
    org: OrgId,
    id: RoleId,
    lock: &str,
) -> Result<Option<CustomRole>, StoreError> {
    let query = format!("SELECT {CUSTOM_COLUMNS} FROM roles WHERE org_id = $1 AND id = $2 {lock}");
    let row = tx.query_opt(&query, &[&org.as_uuid(), &id.as_uuid()]).await.map_err(store)?;
    row.as_ref().map(read_custom).transpose()
}

/// All of them, by name.
pub(crate) async fn list_custom(
    tx: &Transaction<'_>,
    org: OrgId,
) -> Result<Vec<CustomRole>, StoreError> {
    let query =
        format!("SELECT {CUSTOM_COLUMNS} FROM roles WHERE org_id = $1 ORDER BY lower(name), id");
    let rows = tx.query(&query, &[&org.as_uuid()]).await.map_err(store)?;
    rows.iter().map(read_custom).collect()
}

pub(crate) fn read_custom(row: &Row) -> Result<CustomRole, StoreError> {
    let scopes: Vec<String> = row.try_get("role_scopes").map_err(internal)?;
    Ok(CustomRole {
        id: RoleId::from_uuid(row.try_get("role_id").map_err(internal)?),
        org: OrgId::from_uuid(row.try_get("role_org").map_err(internal)?),
        name: RoleName::parse(row.try_get("role_name").map_err(internal)?).map_err(internal)?,
        description: row.try_get("role_description").map_err(internal)?,
        scopes: scope_set(&scopes).map_err(internal)?,
        saved_queries_only: row.try_get("role_saved_queries_only").map_err(internal)?,
        created_by: UserId::from_uuid(row.try_get("role_created_by").map_err(internal)?),
        created_at: row.try_get("role_created_at").map_err(internal)?,
        updated_at: row.try_get("role_updated_at").map_err(internal)?,
    })
}

/// What stands in `role` where `custom_role` says which one.
const CUSTOM: &str = "custom";

/// The two columns of a role that is held: `role` and `custom_role`.
pub(crate) fn role_columns(key: RoleKey) -> (&'static str, Option<Uuid>) {
    match key {
        RoleKey::BuiltIn(role) => (role.as_str(), None),
        RoleKey::Custom(id) => (CUSTOM, Some(id.as_uuid())),
    }
}
