use async_trait::async_trait;
use plinth_core::{OrgId, StoreError, UserId};
use plinth_tenancy::limits::Plan;
use plinth_tenancy::organizations::{
    ChangeOrganization, HandOver, HandOverLetters, OrganizationError, OrganizationStore,
};
use plinth_tenancy::team::WhichMember;
use plinth_tenancy::{AuditEntry, Member, MemberId, Organization, Role};
use tokio_postgres::types::ToSql;

use crate::accounts::set_first_home;
use crate::database::{broken_constraint, store};
use crate::team::{LOCK_MEMBER, find_member};
use crate::tenancy::{ORGANIZATION_COLUMNS, read_organization};
use crate::{Database, audit, outbox};

/// [`OrganizationStore`] in our own database.
#[derive(Clone)]
pub struct PostgresOrganizations {
    database: Database,
}

impl PostgresOrganizations {
    /// Keeps organizations in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl OrganizationStore for PostgresOrganizations {
    async fn create(
        &self,
        organization: &Organization,
        owner: UserId,
        member: MemberId,
        entry: &AuditEntry,
    ) -> Result<(), OrganizationError> {
        let insert =
            "INSERT INTO organizations (id, name, time_zone, created_at) VALUES ($1, $2, $3, $4)";
        let join = "INSERT INTO members (org_id, id, user_id, role, created_at) VALUES ($1, $2, $3, 'owner', $4)";
        let (id, at) = (organization.id.as_uuid(), organization.created_at);
        self.database
            .for_org(organization.id, async |tx| {
                let name = organization.name.as_str();
                tx.execute(insert, &[&id, &name, &organization.time_zone, &at])
                    .await
                    .map_err(|err| name_taken(err, organization))?;
                tx.execute(join, &[&id, &member.as_uuid(), &owner.as_uuid(), &at])
                    .await
                    .map_err(store)?;
                set_first_home(tx, organization.id, owner).await?;
                Ok(audit::append(&self.database, tx, entry).await?)
            })
            .await
    }

    async fn change(
        &self,
        org: OrgId,
        change: ChangeOrganization<'_>,
    ) -> Result<Option<Organization>, OrganizationError> {
        let find = format!(
            "SELECT {ORGANIZATION_COLUMNS} FROM organizations WHERE id = $1 FOR NO KEY UPDATE"
        );
        let update =
            "UPDATE organizations SET name = $2, time_zone = $3, plan = $4, plan_per_minute = $5,
                 plan_per_day = $6, member_keys = $7, deleting_at = $8, plan_cost_limit = $9, plan_row_limit = $10
             WHERE id = $1";
        self.database
            .for_org(org, async |tx| {
                let row = tx.query_opt(&find, &[&org.as_uuid()]).await.map_err(store)?;
                let Some(row) = row else { return Ok(None) };
                let changed = change(&read_organization(&row)?)?;
                let new = &changed.organization;
                let custom = match new.plan {
                    Plan::Custom(rate) => Some(rate),
                    Plan::SelfHosted | Plan::Free | Plan::Pro => None,
                };
                let number = |it: u32| i32::try_from(it).unwrap_or(i32::MAX);
                let row_limit =
                    new.settings.plan_row_limit.map(|it| i64::try_from(it).unwrap_or(i64::MAX));
                let parameters: [&(dyn ToSql + Sync); 10] = [
                    &org.as_uuid(),
                    &new.name.as_str(),
                    &new.time_zone,
                    &new.plan.as_str(),
                    &custom.map(|it| number(it.per_minute)),
                    &custom.map(|it| number(it.per_day)),
                    &new.settings.member_keys,
                    &new.deleting_at,
                    &new.settings.plan_cost_limit,
                    &row_limit,
                ];
                tx.execute(update, &parameters).await.map_err(|err| name_taken(err, new))?;
                for letter in &changed.letters {
                    outbox::put(tx, letter).await?;
                }
                audit::append(&self.database, tx, &changed.entry).await?;
                Ok(Some(changed.organization))
            })
            .await
    }

    async fn hand_over(
        &self,
        how: &HandOver,
        letters: HandOverLetters<'_>,
    ) -> Result<Member, OrganizationError> {
        let org = how.org;
        let update =
            "UPDATE members SET role = $3, custom_role = NULL WHERE org_id = $1 AND id = $2";
        self.database
            .for_org(org, async |tx| {
                // The owner first: two who hand over at once take turns.
                let from = find_member(tx, org, WhichMember::User(how.from), LOCK_MEMBER).await?;
                let from = from.filter(|it| it.role.is_owner());
                let from = from.ok_or(OrganizationError::NotOwner)?;
                let to = find_member(tx, org, WhichMember::Id(how.to), LOCK_MEMBER).await?;
                let to = to.ok_or(OrganizationError::MemberNotFound(how.to))?;
                if to.id == from.id {
                    return Err(OrganizationError::AlreadyOwner);
                }
                // In this order there are never two.
                for (member, role) in [(&from, Role::Admin), (&to, Role::Owner)] {
                    let parameters: [&(dyn ToSql + Sync); 3] =
                        [&org.as_uuid(), &member.id.as_uuid(), &role.as_str()];
                    tx.execute(update, &parameters).await.map_err(store)?;
                }
                for letter in letters(&from, &to) {
                    outbox::put(tx, &letter).await?;
                }
                audit::append(&self.database, tx, &how.entry).await?;
                Ok(Member { role: Role::Owner.into(), ..to })
            })
            .await
    }

    async fn organizations(&self) -> Result<Vec<OrgId>, StoreError> {
        self.database.organizations().await
    }

    async fn due(&self) -> Result<Vec<OrgId>, StoreError> {
        self.database
            .for_nobody(async |tx| {
                let rows = tx.query("SELECT organizations_to_delete()", &[]).await;
                Ok(rows.map_err(store)?.iter().map(|row| OrgId::from_uuid(row.get(0))).collect())
            })
            .await
    }

    async fn delete(&self, org: OrgId) -> Result<bool, StoreError> {
        let delete = "DELETE FROM organizations WHERE id = $1 AND deleting_at <= db_now()";
        self.database
            .for_org(org, async |tx| {
                // A long history takes longer than a request may.
                tx.execute("SET LOCAL statement_timeout = '30min'", &[]).await.map_err(store)?;
                Ok(tx.execute(delete, &[&org.as_uuid()]).await.map_err(store)? == 1)
            })
            .await
    }
}

fn name_taken(err: tokio_postgres::Error, organization: &Organization) -> OrganizationError {
    match broken_constraint(&err) {
        Some("organizations_name_key") => OrganizationError::NameTaken(organization.name.clone()),
        _ => store(err).into(),
    }
}
