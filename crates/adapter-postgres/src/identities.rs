use async_trait::async_trait;
use deadpool_postgres::Transaction;
use jiff::Timestamp;
use plinth_core::{OrgId, ProviderId, StoreError, UserId};
use plinth_tenancy::identity::{IdentityProvider, IdentityStore, KnownIdentity, PutProviderError};
use plinth_tenancy::team::MemberId;
use plinth_tenancy::{AuditEntry, Email, MemberRole, RoleKey};
use plinth_workflows::events::EventKind;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::database::{broken_constraint, internal, store};
use crate::roles::{JOIN_ROLES, ROLE_COLUMNS, read_custom, read_role, role_columns};
use crate::{Database, audit, events, team};

/// [`IdentityStore`] in our own database.
#[derive(Clone)]
pub struct PostgresIdentities {
    database: Database,
}

impl PostgresIdentities {
    /// Keeps providers in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

const COLUMNS: &str = "id, org_id, name, issuer, jwks_url, audience, email_claim, groups_claim, is_active, created_at";

#[async_trait]
impl IdentityStore for PostgresIdentities {
    async fn role(&self, org: OrgId, key: RoleKey) -> Result<Option<MemberRole>, StoreError> {
        let id = match key {
            RoleKey::BuiltIn(role) => return Ok(Some(role.into())),
            RoleKey::Custom(id) => id.as_uuid(),
        };
        let query = "SELECT id AS role_id, org_id AS role_org, name AS role_name, description AS role_description,
                 scopes AS role_scopes, saved_queries_only AS role_saved_queries_only,
                 created_by AS role_created_by, created_at AS role_created_at, updated_at AS role_updated_at
             FROM roles WHERE org_id = $1 AND id = $2";
        self.database
            .for_org(org, async |tx| {
                let row = tx.query_opt(query, &[&org.as_uuid(), &id]).await.map_err(store)?;
                let role = row.as_ref().map(read_custom).transpose()?;
                Ok(role.map(|it| MemberRole::Custom(it.into())))
            })
            .await
    }

    async fn insert(
        &self,
        provider: &IdentityProvider,
        entry: &AuditEntry,
    ) -> Result<(), PutProviderError> {
        let insert = format!(
            "INSERT INTO identity_providers ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
        );
        self.database
            .for_org(provider.org, async |tx| {
                put(tx, &insert, provider).await?;
                put_roles(tx, provider).await?;
                Ok(audit::append(&self.database, tx, entry).await?)
            })
            .await
    }

    async fn update(
        &self,
        provider: &IdentityProvider,
        entry: &AuditEntry,
    ) -> Result<bool, PutProviderError> {
        let update =
            "UPDATE identity_providers SET name = $3, issuer = $4, jwks_url = $5, audience = $6,
                 email_claim = $7, groups_claim = $8, is_active = $9
             WHERE id = $1 AND org_id = $2 AND created_at = $10";
        self.database
            .for_org(provider.org, async |tx| {
                if put(tx, update, provider).await? == 0 {
                    return Ok(false);
                }
                let old =
                    "DELETE FROM identity_provider_roles WHERE org_id = $1 AND provider_id = $2";
                tx.execute(old, &[&provider.org.as_uuid(), &provider.id.as_uuid()])
                    .await
                    .map_err(store)?;
                put_roles(tx, provider).await?;
                audit::append(&self.database, tx, entry).await?;
                Ok(true)
            })
            .await
    }

    async fn remove(
        &self,
        org: OrgId,
        id: ProviderId,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let delete = "DELETE FROM identity_providers WHERE org_id = $1 AND id = $2";
        self.database
            .for_org(org, async |tx| {
                let gone = tx.execute(delete, &[&org.as_uuid(), &id.as_uuid()]).await;
                if gone.map_err(store)? == 0 {
                    return Ok(false);
                }
                audit::append(&self.database, tx, entry).await?;
                Ok(true)
            })
            .await
    }

    async fn find(
        &self,
        org: OrgId,
        id: ProviderId,
    ) -> Result<Option<IdentityProvider>, StoreError> {
        let query =
            format!("SELECT {COLUMNS} FROM identity_providers WHERE org_id = $1 AND id = $2");
        self.database
            .for_org(org, async |tx| {
                let row = tx.query_opt(&query, &[&org.as_uuid(), &id.as_uuid()]).await;
                match row.map_err(store)? {
                    Some(row) => read(tx, &row).await.map(Some),
                    None => Ok(None),
                }
            })
            .await
    }

    async fn list(&self, org: OrgId) -> Result<Vec<IdentityProvider>, StoreError> {
        let query = format!(
            "SELECT {COLUMNS} FROM identity_providers WHERE org_id = $1 ORDER BY created_at, id"
        );
        self.database
            .for_org(org, async |tx| {
                let mut all = Vec::new();
                for row in tx.query(&query, &[&org.as_uuid()]).await.map_err(store)? {
                    all.push(read(tx, &row).await?);
                }
                Ok(all)
            })
            .await
    }

    async fn of_issuer(&self, issuer: &str) -> Result<Vec<IdentityProvider>, StoreError> {
        let found = self
            .database
            .for_nobody(async |tx| {
                let query = "SELECT org_id, provider_id FROM find_identity_providers($1)";
                tx.query(query, &[&issuer]).await.map_err(store)
            })
            .await?;
        let mut all = Vec::with_capacity(found.len());
        for row in found {
            // From here on as everywhere: in the organization's own view.
            let org = OrgId::from_uuid(row.try_get(0).map_err(internal)?);
            let id = ProviderId::from_uuid(row.try_get(1).map_err(internal)?);
            all.extend(self.find(org, id).await?);
        }
        Ok(all)
    }

    async fn identity(
        &self,
        org: OrgId,
        provider: ProviderId,
        subject: &str,
    ) -> Result<Option<KnownIdentity>, StoreError> {
        self.database.for_org(org, async |tx| identity(tx, org, provider, subject).await).await
    }

    async fn admit(
        &self,
        provider: &IdentityProvider,
        subject: &str,
        email: &Email,
        role: RoleKey,
        at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<KnownIdentity, StoreError> {
        let (org, id) = (provider.org.as_uuid(), provider.id.as_uuid());
        self.database
            .for_org(provider.org, async |tx| {
                let user: Uuid = tx
                    .query_one(
                        "SELECT find_or_add_user($1, $2, $3)",
                        &[&UserId::new(at).as_uuid(), &email.as_str(), &at],
                    )
                    .await
                    .map_err(store)?
                    .get(0);
                let (kind, custom) = role_columns(role);
                let member = "INSERT INTO members (org_id, user_id, role, custom_role, created_at, managed_by)
                     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (org_id, user_id) DO NOTHING RETURNING id";
                let added = tx
                    .query_opt(member, &[&org, &user, &kind, &custom, &at, &id])
                    .await
                    .map_err(store)?;
                if let Some(row) = &added {
                    let member = MemberId::from_uuid(row.try_get(0).map_err(internal)?);
                    let told = team::event(member, UserId::from_uuid(user), email, role);
                    let happened = || vec![(at, told)];
                    events::announce(tx, provider.org, EventKind::MemberAdded, happened).await?;
                }
                // Two first requests at once: one of them admits.
                let remember = "INSERT INTO identities (org_id, provider_id, subject, user_id, created_at)
                     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (provider_id, subject) DO NOTHING";
                let remembered =
                    tx.execute(remember, &[&org, &id, &subject, &user, &at]).await.map_err(store)?;
                if added.is_some() || remembered > 0 {
                    let user = UserId::from_uuid(user);
                    let entry = entry.clone().by(user).on("user", user);
                    audit::append(&self.database, tx, &entry).await?;
                }
                let known = identity(tx, provider.org, provider.id, subject).await?;
                known.ok_or_else(|| internal("the identity is not there after it was written"))
            })
            .await
    }

    async fn set_role(
        &self,
        org: OrgId,
        user: UserId,
        role: RoleKey,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let (kind, custom) = role_columns(role);
        let update = "UPDATE members SET role = $3, custom_role = $4
             WHERE org_id = $1 AND user_id = $2 AND managed_by IS NOT NULL AND role <> 'owner'";
        self.database
            .for_org(org, async |tx| {
                let changed = tx
                    .execute(update, &[&org.as_uuid(), &user.as_uuid(), &kind, &custom])
                    .await
                    .map_err(store)?;
                if changed == 1 {
                    audit::append(&self.database, tx, entry).await?;
                }
                Ok(())
            })
            .await
    }
}

async fn put(
    tx: &Transaction<'_>,
    statement: &str,
    it: &IdentityProvider,
) -> Result<u64, PutProviderError> {
    let done = tx
        .execute(
            statement,
            &[
                &it.id.as_uuid(),
                &it.org.as_uuid(),
                &it.name,
                &it.issuer,
                &it.jwks_url,
                &it.audience,
                &it.email_claim,
                &it.groups_claim,
                &it.is_active,
                &it.created_at,
            ],
        )
        .await;
    done.map_err(|err| match broken_constraint(&err) {
        Some("identity_providers_name_key") => PutProviderError::NameTaken,
        Some("identity_providers_issuer_key") => PutProviderError::IssuerTaken,
        _ => store(err).into(),
    })
}

async fn put_roles(tx: &Transaction<'_>, it: &IdentityProvider) -> Result<(), PutProviderError> {
    let insert = "INSERT INTO identity_provider_roles (org_id, provider_id, position, group_name, role, custom_role)
         VALUES ($1, $2, $3, $4, $5, $6)";
    let named = it.group_roles.iter().map(|(group, role)| (Some(group), *role));
    let default = it.default_role.map(|role| (None, role));
    for (position, (group, role)) in (0i32..).zip(named.chain(default)) {
        let (kind, custom) = role_columns(role);
        let (org, id) = (it.org.as_uuid(), it.id.as_uuid());
        tx.execute(insert, &[&org, &id, &position, &group, &kind, &custom]).await.map_err(
            |err| match broken_constraint(&err) {
                Some("identity_provider_roles_custom") => PutProviderError::NoSuchRole,
                _ => store(err).into(),
            },
        )?;
    }
    Ok(())
}

async fn read(tx: &Transaction<'_>, row: &Row) -> Result<IdentityProvider, StoreError> {
    let (id, org): (Uuid, Uuid) =
        (row.try_get("id").map_err(internal)?, row.try_get("org_id").map_err(internal)?);
    let query = "SELECT group_name, role, custom_role FROM identity_provider_roles
         WHERE org_id = $1 AND provider_id = $2 ORDER BY position";
    let (mut group_roles, mut default_role) = (Vec::new(), None);
    for row in tx.query(query, &[&org, &id]).await.map_err(store)? {
        let key = match row.try_get::<_, Option<Uuid>>(2).map_err(internal)? {
            Some(custom) => RoleKey::Custom(plinth_tenancy::RoleId::from_uuid(custom)),
            None => row.try_get::<_, &str>(1).map_err(internal)?.parse().map_err(internal)?,
        };
        match row.try_get::<_, Option<String>>(0).map_err(internal)? {
            Some(group) => group_roles.push((group, key)),
            None => default_role = Some(key),
        }
    }
    let text = |name: &str| row.try_get::<_, String>(name).map_err(internal);
    Ok(IdentityProvider {
        id: ProviderId::from_uuid(id),
        org: OrgId::from_uuid(org),
        name: text("name")?,
        issuer: text("issuer")?,
        jwks_url: text("jwks_url")?,
        audience: text("audience")?,
        email_claim: text("email_claim")?,
        groups_claim: text("groups_claim")?,
        group_roles,
        default_role,
        is_active: row.try_get("is_active").map_err(internal)?,
        created_at: row.try_get("created_at").map_err(internal)?,
    })
}

async fn identity(
    tx: &Transaction<'_>,
    org: OrgId,
    provider: ProviderId,
    subject: &str,
) -> Result<Option<KnownIdentity>, StoreError> {
    let query = format!(
        "SELECT identities.user_id, members.managed_by IS NOT NULL AS is_managed,
                members.user_id IS NOT NULL AS is_member, {ROLE_COLUMNS}
         FROM identities
         LEFT JOIN members ON members.org_id = identities.org_id AND members.user_id = identities.user_id
         {JOIN_ROLES}
         WHERE identities.org_id = $1 AND identities.provider_id = $2 AND identities.subject = $3"
    );
    let query = tx.prepare_cached(&query).await.map_err(store)?;
    let row = tx.query_opt(&query, &[&org.as_uuid(), &provider.as_uuid(), &subject]).await;
    let Some(row) = row.map_err(store)? else { return Ok(None) };
    let is_member: bool = row.try_get("is_member").map_err(internal)?;
    Ok(Some(KnownIdentity {
        user: UserId::from_uuid(row.try_get("user_id").map_err(internal)?),
        role: if is_member { Some(read_role(&row)?) } else { None },
        is_managed: row.try_get("is_managed").map_err(internal)?,
    }))
}
