use std::net::IpAddr;

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use jiff::{SignedDuration, Timestamp};
use plinth_core::{AppId, OrgId, ScopeSet, SessionId, StoreError, UserId};
use plinth_tenancy::accounts::{
    Account, AccountStore, AttemptStore, LiveSession, Membership, NewPassword, Refused, Reuse,
    Subject,
};
use plinth_tenancy::outbox::{Message, Recipients};
use plinth_tenancy::password::PasswordHash;
use plinth_tenancy::session::{Presented, RefreshClaim, Session};
use plinth_tenancy::{AuditEntry, Email, MemberRole, OrganizationName, Role, User};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::database::{internal, store};
use crate::roles::{JOIN_ROLES, ROLE_COLUMNS, read_role};
use crate::{Database, audit, outbox};

/// [`AccountStore`] in our own database.
#[derive(Clone)]
pub struct PostgresAccounts {
    database: Database,
}

impl PostgresAccounts {
    /// Keeps people's passwords and sessions in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Writes what a person's act leaves in an organization; the last thing of its transaction.
    async fn leave(
        &self,
        tx: &Transaction<'_>,
        entry: Option<&AuditEntry>,
        letter: Option<&Message>,
    ) -> Result<(), StoreError> {
        if let Some(letter) = letter {
            outbox::put(tx, letter).await?;
        }
        match entry {
            Some(entry) => audit::append(&self.database, tx, entry).await,
            None => Ok(()),
        }
    }
}

const SESSION_COLUMNS: &str =
    "id, user_id, epoch, app_id, scopes, org_id, generation, refreshed_at, device, address,
    created_at, last_used_at, ended_at";

const MEMBERSHIPS: &str =
    "SELECT members.org_id, organizations.name, members.role AS role_kind, members.custom_role,
        members.managed_by IS NOT NULL AS is_managed
    FROM members JOIN organizations ON organizations.id = members.org_id
    WHERE members.user_id = $1 ORDER BY members.created_at, members.org_id";

/// Ended sessions are kept for a while, so that a refresh token that comes again is recognized.
const SWEEP: &str = "DELETE FROM sessions WHERE user_id = $1
    AND (ended_at < $2::timestamptz - interval '90 days' OR created_at < $2::timestamptz - interval '180 days')";

#[async_trait]
impl AccountStore for PostgresAccounts {
    async fn find_user(&self, email: &Email) -> Result<Option<UserId>, StoreError> {
        self.database
            .for_nobody(async |tx| {
                let find = tx.prepare_cached("SELECT find_user($1)").await.map_err(store)?;
                let row = tx.query_one(&find, &[&email.as_str()]).await.map_err(store)?;
                let id: Option<Uuid> = row.try_get(0).map_err(internal)?;
                Ok(id.map(UserId::from_uuid))
            })
            .await
    }

    async fn account(&self, user: UserId) -> Result<Option<Account>, StoreError> {
        let query = "SELECT users.email, users.created_at, password_hash, epoch, home_org_id, reset_number, reset_expires_at
             FROM users JOIN accounts ON accounts.user_id = users.id WHERE users.id = $1";
        self.database
            .for_person(user, None, async |tx| {
                let query = tx.prepare_cached(query).await.map_err(store)?;
                let row = tx.query_opt(&query, &[&user.as_uuid()]).await.map_err(store)?;
                let memberships = memberships(tx, user).await?;
                let Some(row) = row else { return Ok(None) };
                let email: &str = row.try_get("email").map_err(internal)?;
                let hash: Option<String> = row.try_get("password_hash").map_err(internal)?;
                let home: Option<Uuid> = row.try_get("home_org_id").map_err(internal)?;
                Ok(Some(Account {
                    user: User {
                        id: user,
                        email: Email::parse(email).map_err(internal)?,
                        created_at: row.try_get("created_at").map_err(internal)?,
                    },
                    password: hash.map(PasswordHash::from_stored),
                    epoch: row.try_get("epoch").map_err(internal)?,
                    home: home.map(OrgId::from_uuid),
                    reset: (
                        row.try_get("reset_number").map_err(internal)?,
                        row.try_get("reset_expires_at").map_err(internal)?,
                    ),
                    memberships,
                }))
            })
            .await
    }

    async fn insert_session(
        &self,
        session: &Session,
        entry: Option<&AuditEntry>,
    ) -> Result<(), StoreError> {
        let insert = format!(
            "INSERT INTO sessions ({SESSION_COLUMNS})
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
        );
        let scopes: Option<Vec<String>> =
            session.scopes.map(|it| it.iter().map(|it| it.to_string()).collect());
        let user = session.user.as_uuid();
        let device = session.device.replace('\0', " ");
        let values: [&(dyn ToSql + Sync); 13] = [
            &session.id.as_uuid(),
            &user,
            &session.epoch,
            &session.app.map(AppId::as_uuid),
            &scopes,
            &session.org.map(OrgId::as_uuid),
            &session.generation,
            &session.refreshed_at,
            &device,
            &session.address,
            &session.created_at,
            &session.last_used_at,
            &session.ended_at,
        ];
        self.database
            .for_person(session.user, entry.map(|it| it.org), async |tx| {
                tx.execute(&insert, &values).await.map_err(store)?;
                tx.execute(SWEEP, &[&user, &session.created_at]).await.map_err(store)?;
                self.leave(tx, entry, None).await
            })
            .await
    }

    async fn find_session(
        &self,
        user: UserId,
        id: SessionId,
    ) -> Result<Option<LiveSession>, StoreError> {
        let query = format!(
            "SELECT {SESSION_COLUMNS}, (SELECT epoch FROM accounts WHERE accounts.user_id = $1) AS now_epoch
             FROM sessions WHERE user_id = $1 AND id = $2"
        );
        self.database
            .for_person(user, None, async |tx| {
                let query = tx.prepare_cached(&query).await.map_err(store)?;
                let row = tx.query_opt(&query, &[&user.as_uuid(), &id.as_uuid()]).await;
                let Some(row) = row.map_err(store)? else { return Ok(None) };
                Ok(Some(LiveSession {
                    session: read_session(&row)?,
                    epoch: row.try_get("now_epoch").map_err(internal)?,
                    memberships: memberships(tx, user).await?,
                }))
            })
            .await
    }

    async fn list_sessions(&self, user: UserId) -> Result<Vec<Session>, StoreError> {
        let query = format!(
            "SELECT {SESSION_COLUMNS} FROM sessions WHERE user_id = $1 ORDER BY created_at DESC, id DESC"
        );
        self.database
            .for_person(user, None, async |tx| {
                let rows = tx.query(&query, &[&user.as_uuid()]).await.map_err(store)?;
                rows.iter().map(read_session).collect()
            })
            .await
    }

    async fn touch_session(
        &self,
        user: UserId,
        id: SessionId,
        at: Timestamp,
        address: Option<IpAddr>,
        org: Option<OrgId>,
    ) -> Result<(), StoreError> {
        let touch = "UPDATE sessions SET last_used_at = greatest(last_used_at, $3), address = coalesce($4, address)
             WHERE user_id = $1 AND id = $2";
        let home = "UPDATE accounts SET home_org_id = $2 WHERE user_id = $1 AND home_org_id IS DISTINCT FROM $2";
        let user_id = user.as_uuid();
        self.database
            .for_person(user, None, async |tx| {
                // The account before its sessions, as wherever both are written: else two such could wait for each other.
                if let Some(org) = org {
                    tx.execute(home, &[&user_id, &org.as_uuid()]).await.map_err(store)?;
                }
                tx.execute(touch, &[&user_id, &id.as_uuid(), &at, &address])
                    .await
                    .map_err(store)?;
                Ok(())
            })
            .await
    }

    async fn refresh_session(
        &self,
        claim: &RefreshClaim,
        at: Timestamp,
        address: Option<IpAddr>,
        reuse: Option<&Reuse>,
    ) -> Result<Option<(Session, Presented)>, StoreError> {
        let find = format!(
            "SELECT {SESSION_COLUMNS}, (SELECT epoch FROM accounts WHERE accounts.user_id = $1) AS now_epoch
             FROM sessions WHERE user_id = $1 AND id = $2 FOR UPDATE OF sessions"
        );
        let exchange = format!(
            "UPDATE sessions SET generation = generation + 1, refreshed_at = $3,
                 last_used_at = greatest(last_used_at, $3), address = coalesce($4, address)
             WHERE user_id = $1 AND id = $2 RETURNING {SESSION_COLUMNS}"
        );
        let end = "UPDATE sessions SET ended_at = $3 WHERE user_id = $1 AND id = $2";
        let (user, id) = (claim.user.as_uuid(), claim.session.as_uuid());
        self.database
            .for_person(claim.user, reuse.map(|it| it.entry.org), async |tx| {
                let row = tx.query_opt(&find, &[&user, &id]).await.map_err(store)?;
                let Some(row) = row else { return Ok(None) };
                let session = read_session(&row)?;
                let epoch: i32 = row.try_get("now_epoch").map_err(internal)?;
                let presented = session.present(claim.generation, epoch, at);
                let session = match presented {
                    Presented::Newest => {
                        let row = tx.query_one(&exchange, &[&user, &id, &at, &address]).await;
                        read_session(&row.map_err(store)?)?
                    }
                    Presented::Reused => {
                        tx.execute(end, &[&user, &id, &at]).await.map_err(store)?;
                        let (entry, letter) =
                            (reuse.map(|it| &it.entry), reuse.map(|it| &it.letter));
                        self.leave(tx, entry, letter).await?;
                        Session { ended_at: Some(at), ..session }
                    }
                    Presented::Again | Presented::Ended => session,
                };
                Ok(Some((session, presented)))
            })
            .await
    }

    async fn end_session(
        &self,
        user: UserId,
        id: SessionId,
        at: Timestamp,
        entry: Option<&AuditEntry>,
    ) -> Result<bool, StoreError> {
        let end =
            "UPDATE sessions SET ended_at = $3 WHERE user_id = $1 AND id = $2 AND ended_at IS NULL";
        self.database
            .for_person(user, entry.map(|it| it.org), async |tx| {
                let ended = tx.execute(end, &[&user.as_uuid(), &id.as_uuid(), &at]).await;
                if ended.map_err(store)? == 0 {
                    return Ok(false);
                }
                self.leave(tx, entry, None).await?;
                Ok(true)
            })
            .await
    }

    async fn end_sessions(
        &self,
        user: UserId,
        at: Timestamp,
        entry: Option<&AuditEntry>,
    ) -> Result<(), StoreError> {
        let raise = "UPDATE accounts SET epoch = epoch + 1 WHERE user_id = $1";
        let end = "UPDATE sessions SET ended_at = $2 WHERE user_id = $1 AND ended_at IS NULL";
        self.database
            .for_person(user, entry.map(|it| it.org), async |tx| {
                tx.execute(raise, &[&user.as_uuid()]).await.map_err(store)?;
                tx.execute(end, &[&user.as_uuid(), &at]).await.map_err(store)?;
                self.leave(tx, entry, None).await
            })
            .await
    }

    async fn set_password(
        &self,
        new: &NewPassword,
        entry: Option<&AuditEntry>,
        letter: Option<&Message>,
    ) -> Result<bool, StoreError> {
        let update = "UPDATE accounts
             SET password_hash = $2, password_changed_at = $3, epoch = epoch + 1, reset_expires_at = NULL
             WHERE user_id = $1 AND epoch = $4
               AND ($5::int IS NULL OR reset_number = $5 AND reset_expires_at > $3)
             RETURNING epoch";
        let keep =
            "UPDATE sessions SET epoch = $3 WHERE user_id = $1 AND id = $2 AND ended_at IS NULL";
        let end = "UPDATE sessions SET ended_at = $2 WHERE user_id = $1 AND ended_at IS NULL AND epoch <> $3";
        let user = new.user.as_uuid();
        let org = entry.map(|it| it.org).or(letter.map(|it| it.org));
        self.database
            .for_person(new.user, org, async |tx| {
                let values: [&(dyn ToSql + Sync); 5] =
                    [&user, &new.hash.as_str(), &new.at, &new.epoch, &new.reset];
                let row = tx.query_opt(update, &values).await.map_err(store)?;
                let Some(row) = row else { return Ok(false) };
                let epoch: i32 = row.try_get(0).map_err(internal)?;
                if let Some(session) = new.keep {
                    tx.execute(keep, &[&user, &session.as_uuid(), &epoch]).await.map_err(store)?;
                }
                tx.execute(end, &[&user, &new.at, &epoch]).await.map_err(store)?;
                self.leave(tx, entry, letter).await?;
                Ok(true)
            })
            .await
    }

    async fn set_first_password(
        &self,
        user: UserId,
        hash: &PasswordHash,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let update = "UPDATE accounts SET password_hash = $2, password_changed_at = $3
             WHERE user_id = $1 AND password_hash IS NULL";
        self.database
            .for_person(user, None, async |tx| {
                let values: [&(dyn ToSql + Sync); 3] = [&user.as_uuid(), &hash.as_str(), &at];
                Ok(tx.execute(update, &values).await.map_err(store)? == 1)
            })
            .await
    }

    async fn rehash(
        &self,
        user: UserId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<(), StoreError> {
        let update =
            "UPDATE accounts SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2";
        self.database
            .for_person(user, None, async |tx| {
                tx.execute(update, &[&user.as_uuid(), &old.as_str(), &new.as_str()])
                    .await
                    .map_err(store)?;
                Ok(())
            })
            .await
    }

    async fn start_reset(
        &self,
        user: UserId,
        expires_at: Timestamp,
        letter: &(dyn Fn(i32) -> Option<Message> + Send + Sync),
        entry: Option<&AuditEntry>,
    ) -> Result<i32, StoreError> {
        let update = "UPDATE accounts SET reset_number = reset_number + 1, reset_expires_at = $2
             WHERE user_id = $1 RETURNING reset_number";
        self.database
            .for_person(user, entry.map(|it| it.org), async |tx| {
                let row = tx.query_one(update, &[&user.as_uuid(), &expires_at]).await;
                let number: i32 = row.map_err(store)?.try_get(0).map_err(internal)?;
                self.leave(tx, entry, letter(number).as_ref()).await?;
                Ok(number)
            })
            .await
    }

    async fn note(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let noted = async |tx: &Transaction<'_>| audit::append(&self.database, tx, entry).await;
        self.database.for_org(entry.org, noted).await
    }
}

/// Where the person of this transaction belongs. A role that an organization made is read in that organization's own
/// view; the transaction names none afterwards.
async fn memberships(tx: &Transaction<'_>, user: UserId) -> Result<Vec<Membership>, StoreError> {
    let query = tx.prepare_cached(MEMBERSHIPS).await.map_err(store)?;
    let rows = tx.query(&query, &[&user.as_uuid()]).await.map_err(store)?;
    let mut memberships = Vec::with_capacity(rows.len());
    for row in &rows {
        let org = OrgId::from_uuid(row.try_get("org_id").map_err(internal)?);
        let name: &str = row.try_get("name").map_err(internal)?;
        let custom: Option<Uuid> = row.try_get("custom_role").map_err(internal)?;
        let role = match custom {
            None => {
                let role: &str = row.try_get("role_kind").map_err(internal)?;
                role.parse::<Role>().map_err(internal)?.into()
            }
            Some(_) => custom_role(tx, org, user).await?,
        };
        let name = OrganizationName::parse(name).map_err(internal)?;
        let is_managed = row.try_get("is_managed").map_err(internal)?;
        memberships.push(Membership { org, name, role, is_managed });
    }
    Ok(memberships)
}

/// Notes where somebody who was nowhere yet came of their own will: that is where their sign-ins lead, whoever else's
/// identity provider vouched for them before.
pub(crate) async fn set_first_home(
    tx: &Transaction<'_>,
    org: OrgId,
    user: UserId,
) -> Result<(), StoreError> {
    let name = "SELECT set_config('plinth.user_id', $1, true)";
    tx.execute(name, &[&user.as_uuid().to_string()]).await.map_err(store)?;
    let home = "UPDATE accounts SET home_org_id = $2 WHERE user_id = $1 AND home_org_id IS NULL";
    tx.execute(home, &[&user.as_uuid(), &org.as_uuid()]).await.map_err(store)?;
    tx.execute(name, &[&""]).await.map_err(store)?;
    Ok(())
}

async fn custom_role(
    tx: &Transaction<'_>,
    org: OrgId,
    user: UserId,
) -> Result<MemberRole, StoreError> {
    let name = "SELECT set_config('plinth.org_id', $1, true)";
    let name = tx.prepare_cached(name).await.map_err(store)?;
    tx.execute(&name, &[&org.to_string()]).await.map_err(store)?;
    let query = format!(
        "SELECT {ROLE_COLUMNS} FROM members {JOIN_ROLES} WHERE members.org_id = $1 AND members.user_id = $2"
    );
    let query = tx.prepare_cached(&query).await.map_err(store)?;
    let row = tx.query_one(&query, &[&org.as_uuid(), &user.as_uuid()]).await.map_err(store)?;
    tx.execute(&name, &[&""]).await.map_err(store)?;
    read_role(&row)
}

fn read_session(row: &Row) -> Result<Session, StoreError> {
    let app: Option<Uuid> = row.try_get("app_id").map_err(internal)?;
    let org: Option<Uuid> = row.try_get("org_id").map_err(internal)?;
    let scopes: Option<Vec<String>> = row.try_get("scopes").map_err(internal)?;
    let scopes = scopes
        .map(|names| names.iter().map(|it| it.parse()).collect::<Result<ScopeSet, _>>())
        .transpose()
        .map_err(internal)?;
    Ok(Session {
        id: SessionId::from_uuid(row.try_get("id").map_err(internal)?),
        user: UserId::from_uuid(row.try_get("user_id").map_err(internal)?),
        epoch: row.try_get("epoch").map_err(internal)?,
        app: app.map(AppId::from_uuid),
        scopes,
        org: org.map(OrgId::from_uuid),
        generation: row.try_get("generation").map_err(internal)?,
        refreshed_at: row.try_get("refreshed_at").map_err(internal)?,
        device: row.try_get("device").map_err(internal)?,
        address: row.try_get("address").map_err(internal)?,
        created_at: row.try_get("created_at").map_err(internal)?,
        last_used_at: row.try_get("last_used_at").map_err(internal)?,
        ended_at: row.try_get("ended_at").map_err(internal)?,
    })
}

#[async_trait]
impl Recipients for PostgresAccounts {
    async fn managers(&self, org: OrgId) -> Result<Vec<Email>, StoreError> {
        let query = "SELECT users.email FROM members JOIN users ON users.id = members.user_id
             WHERE members.org_id = $1 AND members.role IN ('owner', 'admin') ORDER BY members.created_at, users.id";
        self.database
            .for_org(org, async |tx| {
                let rows = tx.query(query, &[&org.as_uuid()]).await.map_err(store)?;
                let read =
                    |row: &Row| Email::parse(row.try_get(0).map_err(internal)?).map_err(internal);
                rows.iter().map(read).collect()
            })
            .await
    }
}

/// [`AttemptStore`] in our own database.
#[derive(Clone)]
pub struct PostgresAttempts {
    database: Database,
}

impl PostgresAttempts {
    /// Counts in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl AttemptStore for PostgresAttempts {
    async fn begin(
        &self,
        subjects: &[Subject],
        at: Timestamp,
        window: SignedDuration,
    ) -> Result<Option<Refused>, StoreError> {
        let count = "INSERT INTO attempts (subject, count, started_at) VALUES ($1, 1, $2)
             ON CONFLICT (subject) DO UPDATE SET
                 count = CASE WHEN attempts.started_at <= $3 THEN 1 ELSE least(attempts.count, 1000000) + 1 END,
                 started_at = CASE WHEN attempts.started_at <= $3 THEN $2 ELSE attempts.started_at END
             RETURNING count, started_at";
        let over = at - window;
        // In one order, so that two who count the same never wait for each other.
        let mut subjects: Vec<_> = subjects.iter().collect();
        subjects.sort_by_key(|it| it.hash);
        self.database
            .for_nobody(async |tx| {
                let count = tx.prepare_cached(count).await.map_err(store)?;
                let mut refused: Option<Refused> = None;
                for subject in &subjects {
                    let row = tx.query_one(&count, &[&subject.hash.as_slice(), &at, &over]).await;
                    let row = row.map_err(store)?;
                    let count: i32 = row.try_get(0).map_err(internal)?;
                    let started: Timestamp = row.try_get(1).map_err(internal)?;
                    if count > subject.limit {
                        let is_first = count == subject.limit + 1;
                        let until = started + window;
                        refused = Some(match refused {
                            Some(other) => Refused {
                                until: until.max(other.until),
                                is_first: is_first || other.is_first,
                            },
                            None => Refused { until, is_first },
                        });
                    }
                }
                Ok(refused)
            })
            .await
    }

    async fn succeeded(&self, subjects: &[Subject]) -> Result<(), StoreError> {
        let Some((first, others)) = subjects.split_first() else { return Ok(()) };
        self.database
            .for_nobody(async |tx| {
                let forget = "DELETE FROM attempts WHERE subject = $1";
                let less = "UPDATE attempts SET count = greatest(count - 1, 0) WHERE subject = $1";
                let mut steps: Vec<_> = others.iter().map(|it| (it.hash, less)).collect();
                steps.push((first.hash, forget));
                steps.sort_unstable_by_key(|it| it.0);
                for (hash, statement) in steps {
                    tx.execute(statement, &[&hash.as_slice()]).await.map_err(store)?;
                }
                Ok(())
            })
            .await
    }

    async fn sweep(&self, before: Timestamp) -> Result<(), StoreError> {
        self.database
            .for_nobody(async |tx| {
                let sweep = "DELETE FROM attempts WHERE started_at < $1";
                tx.execute(sweep, &[&before]).await.map_err(store)?;
                Ok(())
            })
            .await
    }
}
