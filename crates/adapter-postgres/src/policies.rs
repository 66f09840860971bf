use std::collections::BTreeMap;

use async_trait::async_trait;
use plinth_connections::{ConnectionId, TableName};
use plinth_core::{Attribute, OrgId, StoreError, UserId};
use plinth_queries::policies::{
    Audience, ColumnMask, Policy, PolicyId, PolicyName, PolicyStore, Viewer, WritePolicyError,
    mask_from_json, mask_json,
};
use plinth_tenancy::{AuditEntry, MemberId, RoleKey};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use crate::database::{broken_constraint, internal, store};
use crate::roles::{JOIN_ROLES, ROLE_COLUMNS, read_role};
use crate::{Database, audit};

/// [`PolicyStore`] in our own database.
#[derive(Clone)]
pub struct PostgresPolicies {
    database: Database,
}

impl PostgresPolicies {
    /// Keeps policies in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    async fn find_viewer(
        &self,
        org: OrgId,
        condition: &str,
        id: Uuid,
    ) -> Result<Option<Viewer>, StoreError> {
        let query = format!(
            "SELECT members.id, members.user_id, users.email, member_attributes.attributes, {ROLE_COLUMNS}
             FROM members JOIN users ON users.id = members.user_id {JOIN_ROLES}
             LEFT JOIN member_attributes
                 ON member_attributes.org_id = members.org_id AND member_attributes.user_id = members.user_id
             WHERE members.org_id = $1 AND {condition}"
        );
        self.database
            .for_org(org, async |tx| {
                let query = tx.prepare_cached(&query).await.map_err(store)?;
                let row = tx.query_opt(&query, &[&org.as_uuid(), &id]).await.map_err(store)?;
                row.as_ref().map(read_viewer).transpose()
            })
            .await
    }
}

const COLUMNS: &str = "id, org_id, connection_id, name, description, schema_name, table_name, table_oid, roles, all_but,
    row_condition, masks, is_active, revision, created_by, created_at, updated_at";

#[async_trait]
impl PolicyStore for PostgresPolicies {
    async fn all(&self, org: OrgId, connection: ConnectionId) -> Result<Vec<Policy>, StoreError> {
        let query = format!(
            "SELECT {COLUMNS} FROM policies WHERE org_id = $1 AND connection_id = $2 ORDER BY lower(name)"
        );
        self.database
            .for_org(org, async |tx| {
                let query = tx.prepare_cached(&query).await.map_err(store)?;
                let rows = tx.query(&query, &[&org.as_uuid(), &connection.as_uuid()]).await;
                rows.map_err(store)?.iter().map(read).collect()
            })
            .await
    }

    async fn find(
        &self,
        org: OrgId,
        connection: ConnectionId,
        id: PolicyId,
    ) -> Result<Option<Policy>, StoreError> {
        let query = format!(
            "SELECT {COLUMNS} FROM policies WHERE org_id = $1 AND connection_id = $2 AND id = $3"
        );
        let parameters = (org.as_uuid(), connection.as_uuid(), id.as_uuid());
        self.database
            .for_org(org, async |tx| {
                let (org, connection, id) = &parameters;
                let row = tx.query_opt(&query, &[org, connection, id]).await.map_err(store)?;
                row.as_ref().map(read).transpose()
            })
            .await
    }

    async fn insert(
        &self,
        policy: &Policy,
        most: usize,
        entry: &AuditEntry,
    ) -> Result<(), WritePolicyError> {
        let insert = format!(
            "INSERT INTO policies ({COLUMNS})
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)"
        );
        self.database
            .for_org(policy.org, async |tx| {
                let (org, connection) = (policy.org.as_uuid(), policy.connection.as_uuid());
                // The row's lock makes those who add to one connection take turns, so that counting is right.
                let lock = "SELECT FROM connections WHERE org_id = $1 AND id = $2 AND deleted_at IS NULL FOR NO KEY UPDATE";
                let there = tx.query_opt(lock, &[&org, &connection]).await.map_err(store)?;
                there.ok_or(WritePolicyError::NoConnection)?;
                let count = "SELECT count(*) FROM policies WHERE org_id = $1 AND connection_id = $2";
                let count: i64 = tx
                    .query_one(count, &[&org, &connection])
                    .await
                    .map_err(store)?
                    .try_get(0)
                    .map_err(internal)?;
                if usize::try_from(count).is_ok_and(|it| it >= most) {
                    return Err(WritePolicyError::TooMany);
                }
                require_roles(tx, policy).await?;
                let row = Stored::of(policy);
                tx.execute(&insert, &row.parameters(policy)).await.map_err(failed)?;
                audit::append(&self.database, tx, entry).await?;
                Ok(())
            })
            .await
    }

    async fn update(&self, policy: &Policy, entry: &AuditEntry) -> Result<(), WritePolicyError> {
        let update = "UPDATE policies SET name = $4, description = $5, schema_name = $6, table_name = $7, table_oid = $8,
                 roles = $9, all_but = $10, row_condition = $11, masks = $12, is_active = $13, revision = $14,
                 created_by = $15, created_at = $16, updated_at = $17
             WHERE id = $1 AND org_id = $2 AND connection_id = $3 AND revision = $14::bigint - 1";
        self.database
            .for_org(policy.org, async |tx| {
                require_roles(tx, policy).await?;
                let row = Stored::of(policy);
                let changed = tx.execute(update, &row.parameters(policy)).await.map_err(failed)?;
                if changed == 0 {
                    return Err(WritePolicyError::Stale);
                }
                audit::append(&self.database, tx, entry).await?;
                Ok(())
            })
            .await
    }

    async fn remove(&self, policy: &Policy, entry: &AuditEntry) -> Result<bool, StoreError> {
        let delete = "DELETE FROM policies WHERE org_id = $1 AND id = $2 AND revision = $3";
        self.database
            .for_org(policy.org, async |tx| {
                let (org, id) = (policy.org.as_uuid(), policy.id.as_uuid());
                let removed =
                    tx.execute(delete, &[&org, &id, &policy.revision]).await.map_err(store)?;
                if removed == 1 {
                    audit::append(&self.database, tx, entry).await?;
                }
                Ok(removed == 1)
            })
            .await
    }

    async fn viewer(&self, org: OrgId, user: UserId) -> Result<Option<Viewer>, StoreError> {
        self.find_viewer(org, "members.user_id = $2", user.as_uuid()).await
    }

    async fn viewer_of(&self, org: OrgId, member: MemberId) -> Result<Option<Viewer>, StoreError> {
        self.find_viewer(org, "members.id = $2", member.as_uuid()).await
    }
}

/// A role that is not there would bind nobody, and nobody would notice.
async fn require_roles(
    tx: &deadpool_postgres::Transaction<'_>,
    policy: &Policy,
) -> Result<(), WritePolicyError> {
    let own: Vec<Uuid> = policy
        .audience
        .roles()
        .iter()
        .filter_map(|it| match it {
            RoleKey::Custom(id) => Some(id.as_uuid()),
            RoleKey::BuiltIn(_) => None,
        })
        .collect();
    let missing = "SELECT FROM unnest($2::uuid[]) AS it (id)
        WHERE NOT EXISTS (SELECT FROM roles WHERE roles.org_id = $1 AND roles.id = it.id)";
    let missing = tx.query(missing, &[&policy.org.as_uuid(), &own]).await.map_err(store)?;
    if missing.is_empty() { Ok(()) } else { Err(WritePolicyError::UnknownRole) }
}

fn failed(err: tokio_postgres::Error) -> WritePolicyError {
    match broken_constraint(&err) {
        Some("policies_name_key") => WritePolicyError::NameTaken,
        _ => store(err).into(),
    }
}

/// A policy's values as they are written.
struct Stored {
    ids: [Uuid; 4],
    oid: Option<i64>,
    roles: Vec<String>,
    all_but: bool,
    masks: Json<Value>,
}

impl Stored {
    fn of(policy: &Policy) -> Self {
        let masks = policy.masks.iter().map(|(column, it)| {
            let mut json = mask_json(it.mask);
            json["number"] = it.number.into();
            (column.clone(), json)
        });
        Self {
            ids: [
                policy.id.as_uuid(),
                policy.org.as_uuid(),
                policy.connection.as_uuid(),
                policy.created_by.as_uuid(),
            ],
            oid: policy.table_oid.map(i64::from),
            roles: policy.audience.roles().iter().map(ToString::to_string).collect(),
            all_but: matches!(policy.audience, Audience::Except(_)),
            masks: Json(Value::Object(masks.collect())),
        }
    }

    fn parameters<'a>(&'a self, policy: &'a Policy) -> [&'a (dyn ToSql + Sync); 17] {
        let [id, org, connection, created_by] = &self.ids;
        [
            id,
            org,
            connection,
            policy.name.as_string(),
            &policy.description,
            &policy.table.schema,
            &policy.table.name,
            &self.oid,
            &self.roles,
            &self.all_but,
            &policy.rows,
            &self.masks,
            &policy.is_active,
            &policy.revision,
            created_by,
            &policy.created_at,
            &policy.updated_at,
        ]
    }
}

fn read(row: &Row) -> Result<Policy, StoreError> {
    let roles: Vec<String> = row.try_get("roles").map_err(internal)?;
    let roles = roles.iter().map(|it| it.parse::<RoleKey>()).collect::<Result<Vec<_>, _>>();
    let roles = roles.map_err(internal)?;
    let all_but: bool = row.try_get("all_but").map_err(internal)?;
    let oid: Option<i64> = row.try_get("table_oid").map_err(internal)?;
    let Json(masks) = row.try_get::<_, Json<BTreeMap<String, Value>>>("masks").map_err(internal)?;
    let read_mask = |(column, json): (String, Value)| {
        let mask = mask_from_json(&json).ok_or_else(|| internal(format!("no mask: {json}")))?;
        let number = json["number"].as_i64().map(i16::try_from).transpose().map_err(internal)?;
        Ok((column, ColumnMask { mask, number }))
    };
    Ok(Policy {
        id: PolicyId::from_uuid(row.try_get("id").map_err(internal)?),
        org: OrgId::from_uuid(row.try_get("org_id").map_err(internal)?),
        connection: ConnectionId::from_uuid(row.try_get("connection_id").map_err(internal)?),
        name: PolicyName::parse(row.try_get("name").map_err(internal)?).map_err(internal)?,
        description: row.try_get("description").map_err(internal)?,
        table: TableName {
            schema: row.try_get("schema_name").map_err(internal)?,
            name: row.try_get("table_name").map_err(internal)?,
        },
        table_oid: oid.map(u32::try_from).transpose().map_err(internal)?,
        audience: if all_but { Audience::Except(roles) } else { Audience::Roles(roles) },
        rows: row.try_get("row_condition").map_err(internal)?,
        masks: masks.into_iter().map(read_mask).collect::<Result<_, StoreError>>()?,
        is_active: row.try_get("is_active").map_err(internal)?,
        revision: row.try_get("revision").map_err(internal)?,
        created_by: UserId::from_uuid(row.try_get("created_by").map_err(internal)?),
        created_at: row.try_get("created_at").map_err(internal)?,
        updated_at: row.try_get("updated_at").map_err(internal)?,
    })
}

fn read_viewer(row: &Row) -> Result<Viewer, StoreError> {
    Ok(Viewer {
        user: UserId::from_uuid(row.try_get("user_id").map_err(internal)?),
        member: MemberId::from_uuid(row.try_get("id").map_err(internal)?),
        email: row.try_get("email").map_err(internal)?,
        role: read_role(row)?.key(),
        attributes: read_attributes(row)?,
    })
}

/// The attributes of a row that was joined with `member_attributes`.
pub(crate) fn read_attributes(row: &Row) -> Result<BTreeMap<String, Attribute>, StoreError> {
    let json: Option<Json<BTreeMap<String, Value>>> =
        row.try_get("attributes").map_err(internal)?;
    let read =
        |(name, json): (String, Value)| Ok((name, Attribute::from_json(&json).map_err(internal)?));
    json.map_or_else(BTreeMap::new, |it| it.0).into_iter().map(read).collect()
}
