use async_trait::async_trait;
use deadpool_postgres::Transaction;
use jiff::Timestamp;
use plinth_core::{Cursor, Limit, OrgId, Scope, StoreError, UserId};
use plinth_tenancy::team::{
    Acceptance, AttributesChange, ChangeRole, Held, Invitation, InvitationId, JudgeInvitation,
    JudgeMember, JudgeRole, Member, MemberAttributes, MemberId, NewInvitation, Renew, TeamError,
    TeamStore, WhichMember,
};
use plinth_tenancy::{
    AuditEntry, CustomRole, Email, MemberRole, RoleId, RoleKey, UnknownRole, outbox::Message,
};
use plinth_workflows::events::EventKind;
use serde_json::{Value, json};
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use crate::accounts::set_first_home;
use crate::database::{broken_constraint, internal, store};
use crate::policies::read_attributes;
use crate::roles::{
    JOIN_ROLES, ROLE_COLUMNS, find_custom, find_role, list_custom, read_role, role_columns,
};
use crate::sweep::Old;
use crate::{Database, audit, events, outbox};

/// [`TeamStore`] in our own database.
#[derive(Clone)]
pub struct PostgresTeam {
    database: Database,
}

impl PostgresTeam {
    /// Keeps members, invitations and roles in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

const MEMBER_COLUMNS: &str =
    "members.id, members.org_id, members.user_id, users.email, members.created_at";

const JOIN_USERS: &str = "JOIN users ON users.id = members.user_id";

/// Named `members`, so that its role is read as a member's is.
const INVITATION_COLUMNS: &str =
    "members.id, members.org_id, members.email, members.invited_by, members.sending,
    members.created_at, members.sent_at, members.expires_at";

#[async_trait]
impl TeamStore for PostgresTeam {
    async fn members(
        &self,
        org: OrgId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Member>, StoreError> {
        let query = format!(
            "SELECT {MEMBER_COLUMNS}, {ROLE_COLUMNS} FROM members {JOIN_USERS} {JOIN_ROLES}
             WHERE members.org_id = $1
               AND ($2::timestamptz IS NULL OR (members.created_at, members.id) < ($2, $3))
             ORDER BY members.created_at DESC, members.id DESC LIMIT $4"
        );
        self.page(org, &query, after, limit, read_member).await
    }

    async fn member(&self, org: OrgId, which: WhichMember) -> Result<Option<Member>, StoreError> {
        let (query, id) = member_query(which, "");
        let found = self.database.rows_of_org(org, &query, &[&org.as_uuid(), &id]).await?;
        found.first().map(read_member).transpose()
    }

    async fn change_role(
        &self,
        org: OrgId,
        id: MemberId,
        to: RoleKey,
        judge: JudgeMember<'_>,
        entry: &AuditEntry,
    ) -> Result<Option<Member>, TeamError> {
        let update = "UPDATE members SET role = $3, custom_role = $4 WHERE org_id = $1 AND id = $2";
        self.database
            .for_org(org, async |tx| {
                let which = WhichMember::Id(id);
                let Some(member) = find_member(tx, org, which, LOCK_MEMBER).await? else {
                    return Ok(None);
                };
                let role = role_to_give(tx, org, to).await?;
                judge(&member, Some(&role))?;
                let (kind, custom) = role_columns(to);
                tx.execute(update, &[&org.as_uuid(), &id.as_uuid(), &kind, &custom])
                    .await
                    .map_err(store)?;
                audit::append(&self.database, tx, entry).await?;
                Ok(Some(Member { role, ..member }))
            })
            .await
    }

    async fn remove_member(
        &self,
        org: OrgId,
        which: WhichMember,
        judge: JudgeMember<'_>,
        entry: &AuditEntry,
    ) -> Result<Option<Member>, TeamError> {
        self.database
            .for_org(org, async |tx| {
                let Some(member) = find_member(tx, org, which, LOCK_MEMBER).await? else {
                    return Ok(None);
                };
                judge(&member, None)?;
                let delete = "DELETE FROM members WHERE org_id = $1 AND id = $2";
                tx.execute(delete, &[&org.as_uuid(), &member.id.as_uuid()]).await.map_err(store)?;
                let happened = || vec![(entry.at, event_of(&member))];
                events::announce(tx, org, EventKind::MemberRemoved, happened).await?;
                audit::append(&self.database, tx, entry).await?;
                Ok(Some(member))
            })
            .await
    }

    async fn attributes(
        &self,
        org: OrgId,
        id: MemberId,
    ) -> Result<Option<MemberAttributes>, StoreError> {
        let query = "SELECT it.attributes, coalesce(it.revision, 0) AS revision
             FROM members LEFT JOIN member_attributes it ON it.org_id = members.org_id AND it.user_id = members.user_id
             WHERE members.org_id = $1 AND members.id = $2";
        self.database
            .for_org(org, async |tx| {
                let row = tx.query_opt(query, &[&org.as_uuid(), &id.as_uuid()]).await;
                let Some(row) = row.map_err(store)? else { return Ok(None) };
                Ok(Some(MemberAttributes {
                    attributes: read_attributes(&row)?,
                    revision: row.try_get("revision").map_err(internal)?,
                }))
            })
            .await
    }

    async fn set_attributes(
        &self,
        org: OrgId,
        which: WhichMember,
        change: &AttributesChange,
        judge: JudgeMember<'_>,
        entry: &AuditEntry,
    ) -> Result<Option<MemberAttributes>, TeamError> {
        let revision = "SELECT revision FROM member_attributes WHERE org_id = $1 AND user_id = $2";
        let put = "INSERT INTO member_attributes (org_id, user_id, attributes, revision, updated_by, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (org_id, user_id) DO UPDATE SET attributes = excluded.attributes,
                 revision = excluded.revision, updated_by = excluded.updated_by, updated_at = excluded.updated_at";
        self.database
            .for_org(org, async |tx| {
                // The member's lock makes changes to one of them take turns.
                let Some(member) = find_member(tx, org, which, LOCK_MEMBER).await? else {
                    return Ok(None);
                };
                judge(&member, None)?;
                let (org, user) = (org.as_uuid(), member.user.as_uuid());
                let before = tx.query_opt(revision, &[&org, &user]).await.map_err(store)?;
                let before: i64 = before.map_or(Ok(0), |row| row.try_get(0).map_err(internal))?;
                if change.expected.as_ref().is_some_and(|it| !it.contains(&before)) {
                    return Err(TeamError::AttributesChanged);
                }
                let json: std::collections::BTreeMap<_, _> =
                    change.attributes.iter().map(|(name, it)| (name, it.to_json())).collect();
                let revision = before + 1;
                let parameters: [&(dyn ToSql + Sync); 6] =
                    [&org, &user, &Json(json), &revision, &change.by.as_uuid(), &change.at];
                tx.execute(put, &parameters).await.map_err(store)?;
                audit::append(&self.database, tx, entry).await?;
                Ok(Some(MemberAttributes { attributes: change.attributes.clone(), revision }))
            })
            .await
    }

    async fn invite(
        &self,
        new: &NewInvitation,
        judge: JudgeRole<'_>,
        entry: &AuditEntry,
        letter: &Message,
    ) -> Result<Invitation, TeamError> {
        let (org, email) = (new.org, new.email.as_str());
        self.database
            .for_org(org, async |tx| {
                let role = role_to_give(tx, org, new.role).await?;
                judge(&role)?;
                let member = "SELECT FROM members JOIN users ON users.id = members.user_id
                     WHERE members.org_id = $1 AND users.email = $2";
                let member = tx.query_opt(member, &[&org.as_uuid(), &email]).await;
                if member.map_err(store)?.is_some() {
                    return Err(TeamError::AlreadyMember(new.email.clone()));
                }
                let expired = "DELETE FROM invitations WHERE org_id = $1 AND email = $2 AND expires_at <= $3";
                tx.execute(expired, &[&org.as_uuid(), &email, &new.at]).await.map_err(store)?;
                let insert = "INSERT INTO invitations (id, org_id, email, role, custom_role, invited_by, sending,
                         created_at, sent_at, expires_at)
                     VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $7, $8)";
                let (kind, custom) = role_columns(new.role);
                let parameters: [&(dyn ToSql + Sync); 8] = [
                    &new.id.as_uuid(),
                    &org.as_uuid(),
                    &email,
                    &kind,
                    &custom,
                    &new.invited_by.as_uuid(),
                    &new.at,
                    &new.expires_at(),
                ];
                tx.execute(insert, &parameters).await.map_err(|err| {
                    match broken_constraint(&err) {
                        Some("invitations_email_key") => TeamError::AlreadyInvited(new.email.clone()),
                        _ => store(err).into(),
                    }
                })?;
                outbox::put(tx, letter).await?;
                audit::append(&self.database, tx, entry).await?;
                Ok(Invitation {
                    id: new.id,
                    org,
                    email: new.email.clone(),
                    role,
                    invited_by: new.invited_by,
                    sending: 1,
                    created_at: new.at,
                    sent_at: new.at,
                    expires_at: new.expires_at(),
                })
            })
            .await
    }

    async fn invitations(
        &self,
        org: OrgId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Invitation>, StoreError> {
        let query = format!(
            "SELECT {INVITATION_COLUMNS}, {ROLE_COLUMNS} FROM invitations AS members {JOIN_ROLES}
             WHERE members.org_id = $1
               AND ($2::timestamptz IS NULL OR (members.created_at, members.id) < ($2, $3))
             ORDER BY members.created_at DESC, members.id DESC LIMIT $4"
        );
        self.page(org, &query, after, limit, read_invitation).await
    }

    async fn invitation(
        &self,
        org: OrgId,
        id: InvitationId,
    ) -> Result<Option<Invitation>, StoreError> {
        self.database.for_org(org, async |tx| find_invitation(tx, org, id, "").await).await
    }

    async fn resend(
        &self,
        org: OrgId,
        id: InvitationId,
        renew: Renew<'_>,
    ) -> Result<Option<Invitation>, TeamError> {
        let update =
            "UPDATE invitations SET invited_by = $3, sending = $4, sent_at = $5, expires_at = $6
             WHERE org_id = $1 AND id = $2";
        self.database
            .for_org(org, async |tx| {
                let Some(found) = find_invitation(tx, org, id, LOCK_MEMBER).await? else {
                    return Ok(None);
                };
                let (again, entry, letter) = renew(&found)?;
                let parameters: [&(dyn ToSql + Sync); 6] = [
                    &org.as_uuid(),
                    &id.as_uuid(),
                    &again.invited_by.as_uuid(),
                    &again.sending,
                    &again.sent_at,
                    &again.expires_at,
                ];
                tx.execute(update, &parameters).await.map_err(store)?;
                outbox::put(tx, &letter).await?;
                audit::append(&self.database, tx, &entry).await?;
                Ok(Some(again))
            })
            .await
    }

    async fn revoke(
        &self,
        org: OrgId,
        id: InvitationId,
        judge: JudgeRole<'_>,
        entry: &AuditEntry,
    ) -> Result<bool, TeamError> {
        self.database
            .for_org(org, async |tx| {
                let Some(found) = find_invitation(tx, org, id, LOCK_MEMBER).await? else {
                    return Ok(false);
                };
                judge(&found.role)?;
                remove_invitation(tx, org, id).await?;
                audit::append(&self.database, tx, entry).await?;
                Ok(true)
            })
            .await
    }

    async fn find_invitation(&self, id: InvitationId) -> Result<Option<OrgId>, StoreError> {
        self.database
            .for_nobody(async |tx| {
                let row = tx.query_one("SELECT find_invitation($1)", &[&id.as_uuid()]).await;
                Ok(row.map_err(store)?.get::<_, Option<Uuid>>(0).map(OrgId::from_uuid))
            })
            .await
    }

    async fn accept(
        &self,
        how: &Acceptance,
        judge: JudgeInvitation<'_>,
        entry: &AuditEntry,
    ) -> Result<Member, TeamError> {
        let (org, id) = (how.org, how.invitation);
        self.database
            .for_org(org, async |tx| {
                let found = find_invitation(tx, org, id, LOCK_MEMBER).await?;
                let Some(found) = found else { return Err(TeamError::NotGood) };
                let inviter = WhichMember::User(found.invited_by);
                let inviter = find_member(tx, org, inviter, "").await?.ok_or(TeamError::NotGood)?;
                judge(&found, &inviter.role)?;
                remove_invitation(tx, org, id).await?;
                let user: Uuid = tx
                    .query_one(
                        "SELECT find_or_add_user($1, $2, $3)",
                        &[&how.new_user.as_uuid(), &found.email.as_str(), &how.at],
                    )
                    .await
                    .map_err(store)?
                    .get(0);
                let insert =
                    "INSERT INTO members (org_id, id, user_id, role, custom_role, created_at)
                     VALUES ($1, $2, $3, $4, $5, $6)";
                let (kind, custom) = role_columns(found.role.key());
                let parameters: [&(dyn ToSql + Sync); 6] =
                    [&org.as_uuid(), &how.member.as_uuid(), &user, &kind, &custom, &how.at];
                tx.execute(insert, &parameters).await.map_err(|err| {
                    match broken_constraint(&err) {
                        Some("members_pkey") => TeamError::AlreadyMember(found.email.clone()),
                        _ => store(err).into(),
                    }
                })?;
                let user = UserId::from_uuid(user);
                set_first_home(tx, org, user).await?;
                audit::append(&self.database, tx, &entry.clone().by(user)).await?;
                let member = Member {
                    id: how.member,
                    org,
                    user,
                    email: found.email,
                    role: found.role,
                    joined_at: how.at,
                };
                let happened = || vec![(how.at, event_of(&member))];
                events::announce(tx, org, EventKind::MemberAdded, happened).await?;
                Ok(member)
            })
            .await
    }

    async fn sweep_invitations(&self, org: OrgId, before: Timestamp) -> Result<u64, StoreError> {
        let old = Old { table: "invitations", which: "expires_at < $2", part: 1_000 };
        self.database.delete_old(org, &old, &[&org.as_uuid(), &before]).await
    }

    async fn organizations(&self) -> Result<Vec<OrgId>, StoreError> {
        self.database.organizations().await
    }

    async fn roles(&self, org: OrgId) -> Result<Vec<CustomRole>, StoreError> {
        self.database.for_org(org, async |tx| list_custom(tx, org).await).await
    }

    async fn role(&self, org: OrgId, id: RoleId) -> Result<Option<CustomRole>, StoreError> {
        self.database.for_org(org, async |tx| find_custom(tx, org, id, "").await).await
    }

    async fn insert_role(
        &self,
        role: &CustomRole,
        most: usize,
        entry: &AuditEntry,
    ) -> Result<(), TeamError> {
        let insert = "INSERT INTO roles (id, org_id, name, description, scopes, saved_queries_only, created_by,
                 created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        self.database
            .for_org(role.org, async |tx| {
                let count = "SELECT count(*) FROM roles WHERE org_id = $1";
                let count = tx.query_one(count, &[&role.org.as_uuid()]).await.map_err(store)?;
                if count.get::<_, i64>(0) >= i64::try_from(most).unwrap_or(i64::MAX) {
                    return Err(TeamError::TooManyRoles(most));
                }
                let parameters: [&(dyn ToSql + Sync); 9] = [
                    &role.id.as_uuid(),
                    &role.org.as_uuid(),
                    &role.name.as_str(),
                    &role.description,
                    &scope_names(role),
                    &role.saved_queries_only,
                    &role.created_by.as_uuid(),
                    &role.created_at,
                    &role.updated_at,
                ];
                tx.execute(insert, &parameters).await.map_err(|err| name_taken(err, role))?;
                Ok(audit::append(&self.database, tx, entry).await?)
            })
            .await
    }

    async fn change_role_itself(
        &self,
        org: OrgId,
        id: RoleId,
        change: ChangeRole<'_>,
        entry: &AuditEntry,
    ) -> Result<Option<CustomRole>, TeamError> {
        let update = "UPDATE roles SET name = $3, description = $4, scopes = $5, saved_queries_only = $6, updated_at = $7
             WHERE org_id = $1 AND id = $2";
        self.database
            .for_org(org, async |tx| {
                let Some(found) = find_custom(tx, org, id, "FOR NO KEY UPDATE").await? else {
                    return Ok(None);
                };
                let changed = change(&found)?;
                let parameters: [&(dyn ToSql + Sync); 7] = [
                    &org.as_uuid(),
                    &id.as_uuid(),
                    &changed.name.as_str(),
                    &changed.description,
                    &scope_names(&changed),
                    &changed.saved_queries_only,
                    &changed.updated_at,
                ];
                tx.execute(update, &parameters).await.map_err(|err| name_taken(err, &changed))?;
                audit::append(&self.database, tx, entry).await?;
                Ok(Some(changed))
            })
            .await
    }

    async fn remove_role(
        &self,
        org: OrgId,
        id: RoleId,
        judge: JudgeRole<'_>,
        entry: &AuditEntry,
    ) -> Result<bool, TeamError> {
        self.database
            .for_org(org, async |tx| {
                // Whoever is just giving it to somebody waits, and then finds that it is gone.
                let Some(found) = find_custom(tx, org, id, "FOR UPDATE").await? else {
                    return Ok(false);
                };
                judge(&MemberRole::Custom(found.into()))?;
                let held = "SELECT (SELECT count(*) FROM members WHERE org_id = $1 AND custom_role = $2),
                                   (SELECT count(*) FROM invitations WHERE org_id = $1 AND custom_role = $2)";
                let row = tx.query_one(held, &[&org.as_uuid(), &id.as_uuid()]).await;
                let row = row.map_err(store)?;
                let held = Held { members: row.get(0), invitations: row.get(1) };
                if held != (Held { members: 0, invitations: 0 }) {
                    return Err(TeamError::RoleHeld(held));
                }
                let delete = "DELETE FROM roles WHERE org_id = $1 AND id = $2";
                tx.execute(delete, &[&org.as_uuid(), &id.as_uuid()]).await.map_err(store)?;
                audit::append(&self.database, tx, entry).await?;
                Ok(true)
            })
            .await
    }
}

impl PostgresTeam {
    async fn page<T>(
        &self,
        org: OrgId,
        query: &str,
        after: Option<Cursor>,
        limit: Limit,
        read: impl Fn(&Row) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let (at, id) = (after.map(|it| it.created_at), after.map(|it| it.id));
        let limit = i64::from(limit.get()) + 1;
        self.database
            .for_org(org, async |tx| {
                let rows = tx.query(query, &[&org.as_uuid(), &at, &id, &limit]).await;
                rows.map_err(store)?.iter().map(&read).collect()
            })
            .await
    }
}

/// Locks the member or the invitation, and not what is joined to it.
pub(crate) const LOCK_MEMBER: &str = "FOR UPDATE OF members";

pub(crate) async fn find_member(
    tx: &Transaction<'_>,
    org: OrgId,
    which: WhichMember,
    lock: &str,
) -> Result<Option<Member>, StoreError> {
    let (query, id) = member_query(which, lock);
    let row = tx.query_opt(&query, &[&org.as_uuid(), &id]).await.map_err(store)?;
    row.as_ref().map(read_member).transpose()
}

/// Finds one member, by the organization's id and that of whom it says.
fn member_query(which: WhichMember, lock: &str) -> (String, Uuid) {
    let (column, id) = match which {
        WhichMember::Id(id) => ("id", id.as_uuid()),
        WhichMember::User(id) => ("user_id", id.as_uuid()),
    };
    let query = format!(
        "SELECT {MEMBER_COLUMNS}, {ROLE_COLUMNS} FROM members {JOIN_USERS} {JOIN_ROLES}
         WHERE members.org_id = $1 AND members.{column} = $2 {lock}"
    );
    (query, id)
}

async fn find_invitation(
    tx: &Transaction<'_>,
    org: OrgId,
    id: InvitationId,
    lock: &str,
) -> Result<Option<Invitation>, StoreError> {
    let query = format!(
        "SELECT {INVITATION_COLUMNS}, {ROLE_COLUMNS} FROM invitations AS members {JOIN_ROLES}
         WHERE members.org_id = $1 AND members.id = $2 {lock}"
    );
    let row = tx.query_opt(&query, &[&org.as_uuid(), &id.as_uuid()]).await.map_err(store)?;
    row.as_ref().map(read_invitation).transpose()
}

async fn remove_invitation(
    tx: &Transaction<'_>,
    org: OrgId,
    id: InvitationId,
) -> Result<(), StoreError> {
    let delete = "DELETE FROM invitations WHERE org_id = $1 AND id = $2";
    tx.execute(delete, &[&org.as_uuid(), &id.as_uuid()]).await.map_err(store)?;
    Ok(())
}

/// A role as it is until the transaction ends: nobody widens or removes it between the judgement and the grant.
async fn role_to_give(
    tx: &Transaction<'_>,
    org: OrgId,
    key: RoleKey,
) -> Result<MemberRole, TeamError> {
    let found = find_role(tx, org, key, "FOR SHARE").await?;
    found.ok_or_else(|| UnknownRole(key.to_string()).into())
}

/// What is told of a member to others' servers.
pub(crate) fn event(member: MemberId, user: UserId, email: &Email, role: RoleKey) -> Value {
    json!({
        "member_id": member, "user_id": user, "email": email.as_str(), "role": role.to_string(),
    })
}

fn event_of(it: &Member) -> Value {
    event(it.id, it.user, &it.email, it.role.key())
}

fn name_taken(err: tokio_postgres::Error, role: &CustomRole) -> TeamError {
    match broken_constraint(&err) {
        Some("roles_name_key") => TeamError::RoleNameTaken(role.name.clone()),
        _ => store(err).into(),
    }
}

fn scope_names(role: &CustomRole) -> Vec<&'static str> {
    role.scopes.iter().map(Scope::as_str).collect()
}

fn read_member(row: &Row) -> Result<Member, StoreError> {
    Ok(Member {
        id: MemberId::from_uuid(row.try_get("id").map_err(internal)?),
        org: OrgId::from_uuid(row.try_get("org_id").map_err(internal)?),
        user: UserId::from_uuid(row.try_get("user_id").map_err(internal)?),
        email: read_email(row)?,
        role: read_role(row)?,
        joined_at: row.try_get("created_at").map_err(internal)?,
    })
}

fn read_invitation(row: &Row) -> Result<Invitation, StoreError> {
    Ok(Invitation {
        id: InvitationId::from_uuid(row.try_get("id").map_err(internal)?),
        org: OrgId::from_uuid(row.try_get("org_id").map_err(internal)?),
        email: read_email(row)?,
        role: read_role(row)?,
        invited_by: UserId::from_uuid(row.try_get("invited_by").map_err(internal)?),
        sending: row.try_get("sending").map_err(internal)?,
        created_at: row.try_get("created_at").map_err(internal)?,
        sent_at: row.try_get("sent_at").map_err(internal)?,
        expires_at: row.try_get("expires_at").map_err(internal)?,
    })
}

fn read_email(row: &Row) -> Result<Email, StoreError> {
    Email::parse(row.try_get("email").map_err(internal)?).map_err(internal)
}
