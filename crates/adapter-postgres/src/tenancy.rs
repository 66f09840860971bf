use async_trait::async_trait;
use jiff::Timestamp;
use plinth_core::{Cursor, KeyId, Limit, OrgId, StoreError, UserId};
use plinth_tenancy::{
    ApiKey, AuditEntry, FoundKey, FoundingError, KeyHash, KeyKind, KeyScope, NewOwner,
    Organization, OrganizationName, TenancyStore,
};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::database::{broken_constraint, internal, store};
use crate::{Database, audit};

/// [`TenancyStore`] in our own database.
#[derive(Clone)]
pub struct PostgresTenancy {
    database: Database,
}

impl PostgresTenancy {
    /// Keeps organizations, people and keys in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

const KEY_COLUMNS: &str = "id, org_id, user_id, name, kind, scopes, hint, created_at, expires_at, revoked_at, last_used_at";

#[async_trait]
impl TenancyStore for PostgresTenancy {
    async fn found(
        &self,
        new: &NewOwner,
        token: Option<&[u8; 32]>,
        entry: &AuditEntry,
    ) -> Result<UserId, FoundingError> {
        let (organization, key) = (&new.organization, &new.key);
        self.database
            .for_org(organization.id, async |tx| {
                if let Some(token) = token {
                    let claimed: Option<bool> = tx
                        .query_one("SELECT claim_setup_token($1)", &[&token.as_slice()])
                        .await
                        .map_err(store)?
                        .get(0);
                    if claimed != Some(true) {
                        return Err(FoundingError::WrongToken);
                    }
                }
                tx.execute(
                    "INSERT INTO organizations (id, name, time_zone, created_at) VALUES ($1, $2, $3, $4)",
                    &[
                        &organization.id.as_uuid(),
                        &organization.name.as_str(),
                        &organization.time_zone,
                        &organization.created_at,
                    ],
                )
                .await
                .map_err(|err| match broken_constraint(&err) {
                    Some("organizations_name_key") => FoundingError::NameTaken,
                    _ => store(err).into(),
                })?;
                let user: Uuid = tx
                    .query_one(
                        "SELECT find_or_add_user($1, $2, $3)",
                        &[&new.user.id.as_uuid(), &new.user.email.as_str(), &new.user.created_at],
                    )
                    .await
                    .map_err(store)?
                    .get(0);
                tx.execute(
                    "INSERT INTO members (org_id, user_id, role, created_at) VALUES ($1, $2, 'owner', $3)",
                    &[&organization.id.as_uuid(), &user, &organization.created_at],
                )
                .await
                .map_err(store)?;
                let user = UserId::from_uuid(user);
                insert_key(tx, &ApiKey { user, ..key.clone() }, &new.hash).await?;
                audit::append(&self.database, tx, &entry.clone().by(user)).await?;
                Ok(user)
            })
            .await
    }

    async fn put_setup_token(&self, hash: &[u8; 32]) -> Result<bool, StoreError> {
        self.database
            .for_nobody(async |tx| {
                let kept = tx.query_one("SELECT put_setup_token($1)", &[&hash.as_slice()]).await;
                Ok(kept.map_err(store)?.get::<_, Option<bool>>(0) == Some(true))
            })
            .await
    }

    async fn organization(&self, org: OrgId) -> Result<Option<Organization>, StoreError> {
        let query = "SELECT id, name, time_zone, created_at FROM organizations WHERE id = $1";
        self.database
            .for_org(org, async |tx| {
                let query = tx.prepare_cached(query).await.map_err(store)?;
                let row = tx.query_opt(&query, &[&org.as_uuid()]).await.map_err(store)?;
                row.as_ref().map(read_organization).transpose()
            })
            .await
    }

    async fn find_key(&self, hash: &KeyHash) -> Result<Option<FoundKey>, StoreError> {
        let ids = self
            .database
            .for_nobody(async |tx| {
                let query = "SELECT org_id, key_id FROM find_api_key($1)";
                let query = tx.prepare_cached(query).await.map_err(store)?;
                let row = tx.query_opt(&query, &[&hash.as_bytes()]).await.map_err(store)?;
                row.map(|row| {
                    let org = OrgId::from_uuid(row.try_get(0).map_err(internal)?);
                    Ok((org, row.try_get::<_, Uuid>(1).map_err(internal)?))
                })
                .transpose()
            })
            .await?;
        let Some((org, id)) = ids else { return Ok(None) };
        // From here on as everywhere: in the organization's own view.
        let query = format!(
            "SELECT {KEY_COLUMNS}, (SELECT role FROM members WHERE org_id = $1 AND user_id = api_keys.user_id) AS role
             FROM api_keys WHERE org_id = $1 AND id = $2"
        );
        self.database
            .for_org(org, async |tx| {
                let query = tx.prepare_cached(&query).await.map_err(store)?;
                let row = tx.query_opt(&query, &[&org.as_uuid(), &id]).await.map_err(store)?;
                let Some(row) = row else { return Ok(None) };
                let Some(role) = row.try_get::<_, Option<&str>>("role").map_err(internal)? else {
                    return Ok(None);
                };
                let role = role.parse().map_err(internal)?;
                Ok(Some(FoundKey { key: read_key(&row)?, role }))
            })
            .await
    }

    async fn insert_key(
        &self,
        key: &ApiKey,
        hash: &KeyHash,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        self.database
            .for_org(key.org, async |tx| {
                insert_key(tx, key, hash).await?;
                audit::append(&self.database, tx, entry).await
            })
            .await
    }

    async fn list_keys(
        &self,
        org: OrgId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<ApiKey>, StoreError> {
        let query = format!(
            "SELECT {KEY_COLUMNS} FROM api_keys
             WHERE org_id = $1 AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3))
             ORDER BY created_at DESC, id DESC LIMIT $4"
        );
        let (at, id) = (after.map(|it| it.created_at), after.map(|it| it.id));
        let limit = i64::from(limit.get()) + 1;
        self.database
            .for_org(org, async |tx| {
                let rows = tx.query(&query, &[&org.as_uuid(), &at, &id, &limit]).await;
                rows.map_err(store)?.iter().map(read_key).collect()
            })
            .await
    }

    async fn revoke_key(
        &self,
        org: OrgId,
        id: KeyId,
        at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let update = "UPDATE api_keys SET revoked_at = $3 WHERE org_id = $1 AND id = $2 AND revoked_at IS NULL";
        self.database
            .for_org(org, async |tx| {
                let changed = tx.execute(update, &[&org.as_uuid(), &id.as_uuid(), &at]).await;
                if changed.map_err(store)? == 0 {
                    return Ok(false);
                }
                audit::append(&self.database, tx, entry).await?;
                Ok(true)
            })
            .await
    }

    async fn touch_key(&self, org: OrgId, id: KeyId, at: Timestamp) -> Result<(), StoreError> {
        let update = "UPDATE api_keys SET last_used_at = greatest(last_used_at, $3) WHERE org_id = $1 AND id = $2";
        self.database
            .for_org(org, async |tx| {
                tx.execute(update, &[&org.as_uuid(), &id.as_uuid(), &at]).await.map_err(store)?;
                Ok(())
            })
            .await
    }
}

async fn insert_key(
    tx: &deadpool_postgres::Transaction<'_>,
    key: &ApiKey,
    hash: &KeyHash,
) -> Result<(), StoreError> {
    let kind = match key.kind {
        KeyKind::Live => "live",
        KeyKind::Test => "test",
    };
    tx.execute(
        "INSERT INTO api_keys (id, org_id, user_id, name, kind, scopes, hint, hash, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        &[
            &key.id.as_uuid(),
            &key.org.as_uuid(),
            &key.user.as_uuid(),
            &key.name,
            &kind,
            &key.scope.names(),
            &key.hint,
            &hash.as_bytes(),
            &key.created_at,
            &key.expires_at,
        ],
    )
    .await
    .map_err(store)?;
    Ok(())
}

fn read_organization(row: &Row) -> Result<Organization, StoreError> {
    Ok(Organization {
        id: OrgId::from_uuid(row.try_get("id").map_err(internal)?),
        name: OrganizationName::parse(row.try_get("name").map_err(internal)?).map_err(internal)?,
        time_zone: row.try_get("time_zone").map_err(internal)?,
        created_at: row.try_get("created_at").map_err(internal)?,
    })
}

fn read_key(row: &Row) -> Result<ApiKey, StoreError> {
    let kind = match row.try_get("kind").map_err(internal)? {
        "live" => KeyKind::Live,
        "test" => KeyKind::Test,
        other => return Err(internal(format!("no kind of key: {other}"))),
    };
    let scopes: Vec<String> = row.try_get("scopes").map_err(internal)?;
    Ok(ApiKey {
        id: KeyId::from_uuid(row.try_get("id").map_err(internal)?),
        org: OrgId::from_uuid(row.try_get("org_id").map_err(internal)?),
        user: UserId::from_uuid(row.try_get("user_id").map_err(internal)?),
        name: row.try_get("name").map_err(internal)?,
        kind,
        scope: KeyScope::parse(&scopes).map_err(internal)?,
        hint: row.try_get("hint").map_err(internal)?,
        created_at: row.try_get("created_at").map_err(internal)?,
        expires_at: row.try_get("expires_at").map_err(internal)?,
        revoked_at: row.try_get("revoked_at").map_err(internal)?,
        last_used_at: row.try_get("last_used_at").map_err(internal)?,
    })
}
