use async_trait::async_trait;
use jiff::Timestamp;
use plinth_core::{Cursor, KeyId, Limit, OrgId, StoreError, UserId};
use plinth_tenancy::limits::{Plan, Rate};
use plinth_tenancy::{
    ApiKey, AuditEntry, DecideKey, FoundKey, FoundingError, InvalidKey, KeyHash, KeyKind,
    KeyLimits, KeyScope, MemberId, NewOwner, Organization, OrganizationName, OrganizationSettings,
    TenancyStore,
};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::accounts::set_first_home;
use crate::database::{broken_constraint, internal, store};
use crate::roles::{JOIN_ROLES, ROLE_COLUMNS, read_role};
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

const KEY_COLUMNS: &str = "api_keys.id, api_keys.org_id, api_keys.user_id, api_keys.name, api_keys.kind, api_keys.scopes,
    api_keys.hint, api_keys.created_at, api_keys.expires_at, api_keys.revoked_at, api_keys.last_used_at,
    api_keys.rate_limit_per_minute, api_keys.rate_limit_per_day, api_keys.project_id";

/// What an organization is read from.
pub(crate) const ORGANIZATION_COLUMNS: &str = "id, name, time_zone, created_at, plan, plan_per_minute, plan_per_day, member_keys, deleting_at, plan_cost_limit, plan_row_limit";

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
                    "INSERT INTO members (org_id, id, user_id, role, created_at) VALUES ($1, $2, $3, 'owner', $4)",
                    &[
                        &organization.id.as_uuid(),
                        &MemberId::new(organization.created_at).as_uuid(),
                        &user,
                        &organization.created_at,
                    ],
                )
                .await
                .map_err(store)?;
                let user = UserId::from_uuid(user);
                set_first_home(tx, organization.id, user).await?;
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

    async fn is_setup_token(&self, hash: &[u8; 32]) -> Result<bool, StoreError> {
        self.database
            .for_nobody(async |tx| {
                // The token's hash cannot be read here, only claimed: so it is claimed and given back.
                tx.batch_execute("SAVEPOINT trial").await.map_err(store)?;
                let claim = "SELECT claim_setup_token($1)";
                let row = tx.query_one(claim, &[&hash.as_slice()]).await.map_err(store)?;
                let claimed: Option<bool> = row.get(0);
                tx.batch_execute("ROLLBACK TO SAVEPOINT trial").await.map_err(store)?;
                Ok(claimed == Some(true))
            })
            .await
    }

    async fn organization(&self, org: OrgId) -> Result<Option<Organization>, StoreError> {
        let query = format!("SELECT {ORGANIZATION_COLUMNS} FROM organizations WHERE id = $1");
        self.database
            .for_org(org, async |tx| {
                let query = tx.prepare_cached(&query).await.map_err(store)?;
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
            "SELECT {KEY_COLUMNS}, {ROLE_COLUMNS}
             FROM api_keys
             JOIN members ON members.org_id = $1 AND members.user_id = api_keys.user_id {JOIN_ROLES}
             WHERE api_keys.org_id = $1 AND api_keys.id = $2"
        );
        self.database
            .for_org(org, async |tx| {
                let query = tx.prepare_cached(&query).await.map_err(store)?;
                let row = tx.query_opt(&query, &[&org.as_uuid(), &id]).await.map_err(store)?;
                row.map(|row| Ok(FoundKey { key: read_key(&row)?, role: read_role(&row)? }))
                    .transpose()
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
        of: Option<UserId>,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<ApiKey>, StoreError> {
        let query = format!(
            "SELECT {KEY_COLUMNS} FROM api_keys
             WHERE org_id = $1 AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3))
               AND ($5::uuid IS NULL OR user_id = $5)
             ORDER BY created_at DESC, id DESC LIMIT $4"
        );
        let of = of.map(UserId::as_uuid);
        let (at, id) = (after.map(|it| it.created_at), after.map(|it| it.id));
        let limit = i64::from(limit.get()) + 1;
        self.database
            .for_org(org, async |tx| {
                let rows = tx.query(&query, &[&org.as_uuid(), &at, &id, &limit, &of]).await;
                rows.map_err(store)?.iter().map(read_key).collect()
            })
            .await
    }

    async fn key_numbers(&self, org: OrgId) -> Result<Vec<(KeyId, i64)>, StoreError> {
        let query = "SELECT id, number FROM api_keys WHERE org_id = $1 ORDER BY number";
        self.database
            .for_org(org, async |tx| {
                let rows = tx.query(query, &[&org.as_uuid()]).await.map_err(store)?;
                Ok(rows.iter().map(|row| (KeyId::from_uuid(row.get(0)), row.get(1))).collect())
            })
            .await
    }

    async fn key(&self, org: OrgId, id: KeyId) -> Result<Option<ApiKey>, StoreError> {
        let query = format!("SELECT {KEY_COLUMNS} FROM api_keys WHERE org_id = $1 AND id = $2");
        self.database
            .for_org(org, async |tx| {
                let row = tx.query_opt(&query, &[&org.as_uuid(), &id.as_uuid()]).await;
                row.map_err(store)?.as_ref().map(read_key).transpose()
            })
            .await
    }

    async fn change_key(
        &self,
        org: OrgId,
        id: KeyId,
        of: Option<UserId>,
        decide: DecideKey<'_>,
        entry: &AuditEntry,
    ) -> Result<Option<Result<ApiKey, InvalidKey>>, StoreError> {
        let find = format!(
            "SELECT {KEY_COLUMNS} FROM api_keys
             WHERE org_id = $1 AND id = $2 AND revoked_at IS NULL AND ($3::uuid IS NULL OR user_id = $3) FOR UPDATE"
        );
        let update =
            "UPDATE api_keys SET name = $3, rate_limit_per_minute = $4, rate_limit_per_day = $5
             WHERE org_id = $1 AND id = $2";
        let of = of.map(UserId::as_uuid);
        self.database
            .for_org(org, async |tx| {
                let found = tx.query_opt(&find, &[&org.as_uuid(), &id.as_uuid(), &of]).await;
                let Some(row) = found.map_err(store)? else { return Ok(None) };
                let mut key = read_key(&row)?;
                if let Err(err) = decide(&mut key) {
                    return Ok(Some(Err(err)));
                }
                let (minute, day) = limit_numbers(&key.limits);
                let parameters: [&(dyn ToSql + Sync); 5] =
                    [&org.as_uuid(), &id.as_uuid(), &key.name, &minute, &day];
                tx.execute(update, &parameters).await.map_err(store)?;
                audit::append(&self.database, tx, entry).await?;
                Ok(Some(Ok(key)))
            })
            .await
    }

    async fn revoke_key(
        &self,
        org: OrgId,
        id: KeyId,
        of: Option<UserId>,
        at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let update = "UPDATE api_keys SET revoked_at = $3
             WHERE org_id = $1 AND id = $2 AND revoked_at IS NULL AND ($4::uuid IS NULL OR user_id = $4)";
        let of = of.map(UserId::as_uuid);
        self.database
            .for_org(org, async |tx| {
                let changed = tx.execute(update, &[&org.as_uuid(), &id.as_uuid(), &at, &of]).await;
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
    let (minute, day) = limit_numbers(&key.limits);
    tx.execute(
        "INSERT INTO api_keys (id, org_id, user_id, name, kind, scopes, hint, hash, created_at, expires_at,
             rate_limit_per_minute, rate_limit_per_day, project_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
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
            &minute,
            &day,
            &key.project,
        ],
    )
    .await
    .map_err(store)?;
    Ok(())
}

/// As the database keeps them; they were checked to fit.
fn limit_numbers(limits: &KeyLimits) -> (Option<i32>, Option<i32>) {
    let number = |it: Option<u32>| it.map(|it| i32::try_from(it).unwrap_or(i32::MAX));
    (number(limits.per_minute), number(limits.per_day))
}

fn read_number(row: &Row, column: &str) -> Result<Option<u32>, StoreError> {
    let number: Option<i32> = row.try_get(column).map_err(internal)?;
    number.map(u32::try_from).transpose().map_err(internal)
}

pub(crate) fn read_organization(row: &Row) -> Result<Organization, StoreError> {
    let plan: &str = row.try_get("plan").map_err(internal)?;
    let custom = read_number(row, "plan_per_minute")?.zip(read_number(row, "plan_per_day")?);
    let custom = custom.map(|(per_minute, per_day)| Rate { per_minute, per_day });
    let plan_row_limit: Option<i64> = row.try_get("plan_row_limit").map_err(internal)?;
    Ok(Organization {
        plan: Plan::read(plan, custom).ok_or_else(|| internal(format!("no plan: {plan}")))?,
        settings: OrganizationSettings {
            member_keys: row.try_get("member_keys").map_err(internal)?,
            plan_cost_limit: row.try_get("plan_cost_limit").map_err(internal)?,
            plan_row_limit: plan_row_limit.map(u64::try_from).transpose().map_err(internal)?,
        },
        deleting_at: row.try_get("deleting_at").map_err(internal)?,
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
        limits: KeyLimits {
            per_minute: read_number(row, "rate_limit_per_minute")?,
            per_day: read_number(row, "rate_limit_per_day")?,
        },
        project: row.try_get("project_id").map_err(internal)?,
    })
}
