//! Remotes, and the projects that live there.

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use jiff::{SignedDuration, Timestamp};
use plinth_connections::Sealed;
use plinth_control_plane::remote::{
    ChangedRemote, DecideRemote, Intended, OAuthClient, Remote, RemoteError, RemoteId,
    RemoteIntent, RemoteIntentId, RemoteProject, RemoteStore,
};
use plinth_control_plane::{ProjectFilter, ProjectId};
use plinth_core::{Cursor, Limit, OrgId, StoreError, UserId};
use plinth_tenancy::AuditEntry;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Json, ToSql};

use super::place;
use crate::database::{broken_constraint, internal, store};
use crate::{Database, audit};

const REMOTE: &str = "id, org_id, name, base_url, org_there, region, oauth, account, made_by, revision, created_at, updated_at";

const PROJECT: &str = "SELECT p.*, r.name AS remote_name FROM cp_remote_projects p
     JOIN cp_remotes r ON r.org_id = p.org_id AND r.id = p.remote_id";

/// [`RemoteStore`] in our own database.
#[derive(Clone)]
pub struct PostgresRemotes {
    database: Database,
}

impl PostgresRemotes {
    /// Keeps remotes in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, StoreError> {
    row.try_get(column).map_err(internal)
}

fn remote(row: &Row) -> Result<Remote, StoreError> {
    Ok(Remote {
        id: RemoteId::from_uuid(get(row, "id")?),
        org: OrgId::from_uuid(get(row, "org_id")?),
        name: get(row, "name")?,
        base_url: get(row, "base_url")?,
        org_there: get(row, "org_there")?,
        region: get(row, "region")?,
        oauth: get::<Option<Json<OAuthClient>>>(row, "oauth")?.map(|it| it.0),
        account: get(row, "account")?,
        by: UserId::from_uuid(get(row, "made_by")?),
        revision: get(row, "revision")?,
        created_at: get(row, "created_at")?,
        updated_at: get(row, "updated_at")?,
    })
}

fn project(row: &Row) -> Result<RemoteProject, StoreError> {
    Ok(RemoteProject {
        id: get::<&str>(row, "id")?.parse().map_err(internal)?,
        org: OrgId::from_uuid(get(row, "org_id")?),
        remote: RemoteId::from_uuid(get(row, "remote_id")?),
        remote_name: get(row, "remote_name")?,
        name: get(row, "name")?,
        body: get::<Json<Value>>(row, "body")?.0,
        number: get(row, "number")?,
        by: UserId::from_uuid(get(row, "made_by")?),
        created_at: get(row, "created_at")?,
        deleted_at: get(row, "deleted_at")?,
    })
}

fn intent(row: &Row) -> Result<RemoteIntent, StoreError> {
    let what = match get::<Option<&str>>(row, "project_id")? {
        Some(id) => Intended::Changed { project: id.parse().map_err(internal)? },
        None => Intended::Made { name: get(row, "name")? },
    };
    Ok(RemoteIntent {
        id: RemoteIntentId::from_uuid(get(row, "id")?),
        org: OrgId::from_uuid(get(row, "org_id")?),
        remote: RemoteId::from_uuid(get(row, "remote_id")?),
        what,
        by: UserId::from_uuid(get(row, "made_by")?),
        age: SignedDuration::from_secs(get(row, "age")?),
    })
}

async fn find(
    tx: &Transaction<'_>,
    org: OrgId,
    id: RemoteId,
    lock: &str,
) -> Result<Option<Remote>, StoreError> {
    let query = format!("SELECT {REMOTE} FROM cp_remotes WHERE org_id = $1 AND id = $2 {lock}");
    let found = tx.query_opt(&query, &[&org.as_uuid(), &id.as_uuid()]).await;
    found.map_err(store)?.as_ref().map(remote).transpose()
}

fn refused(err: tokio_postgres::Error, name: &str) -> RemoteError {
    match broken_constraint(&err) {
        Some("cp_remotes_name") => RemoteError::NameTaken(name.to_owned()),
        _ => store(err).into(),
    }
}

#[async_trait]
impl RemoteStore for PostgresRemotes {
    async fn insert(
        &self,
        it: &Remote,
        secret: &Sealed,
        most: i64,
        entry: &AuditEntry,
    ) -> Result<(), RemoteError> {
        let count = "SELECT count(*) FROM cp_remotes WHERE org_id = $1";
        let insert = "INSERT INTO cp_remotes (id, org_id, name, base_url, org_there, region, account, key_version, secret,
                 made_by, revision, created_at, updated_at, oauth)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
        let (id, org, by) = (it.id.as_uuid(), it.org.as_uuid(), it.by.as_uuid());
        self.database
            .for_org(it.org, async |tx| {
                let count = tx.query_one(count, &[&org]).await.map_err(store)?;
                if count.get::<_, i64>(0) >= most {
                    return Err(RemoteError::TooMany(most));
                }
                let oauth = it.oauth.as_ref().map(Json);
                let parameters: [&(dyn ToSql + Sync); 14] = [
                    &id,
                    &org,
                    &it.name,
                    &it.base_url,
                    &it.org_there,
                    &it.region,
                    &it.account,
                    &secret.key_version,
                    &secret.bytes,
                    &by,
                    &it.revision,
                    &it.created_at,
                    &it.updated_at,
                    &oauth,
                ];
                tx.execute(insert, &parameters).await.map_err(|err| refused(err, &it.name))?;
                Ok(audit::append(&self.database, tx, entry).await?)
            })
            .await
    }

    async fn find(&self, org: OrgId, id: RemoteId) -> Result<Option<Remote>, StoreError> {
        self.database.for_org(org, async |tx| find(tx, org, id, "").await).await
    }

    async fn named(&self, org: OrgId, name: &str) -> Result<Option<Remote>, StoreError> {
        let query = format!("SELECT {REMOTE} FROM cp_remotes WHERE org_id = $1 AND name = $2");
        self.database
            .for_org(org, async |tx| {
                let found = tx.query_opt(&query, &[&org.as_uuid(), &name]).await;
                found.map_err(store)?.as_ref().map(remote).transpose()
            })
            .await
    }

    async fn list(
        &self,
        org: OrgId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Remote>, StoreError> {
        self.database.newest_of(org, REMOTE, "cp_remotes", after, limit, remote).await
    }

    async fn secret(&self, org: OrgId, id: RemoteId) -> Result<Option<Sealed>, StoreError> {
        let query = "SELECT key_version, secret FROM cp_remotes WHERE org_id = $1 AND id = $2";
        self.database
            .for_org(org, async |tx| {
                let found = tx.query_opt(query, &[&org.as_uuid(), &id.as_uuid()]).await;
                let read = |row: &Row| {
                    Ok(Sealed { key_version: get(row, "key_version")?, bytes: get(row, "secret")? })
                };
                found.map_err(store)?.as_ref().map(read).transpose()
            })
            .await
    }

    async fn swap_secret(
        &self,
        org: OrgId,
        id: RemoteId,
        from: &Sealed,
        to: &Sealed,
    ) -> Result<bool, StoreError> {
        let swap = "UPDATE cp_remotes SET key_version = $5, secret = $6
                    WHERE org_id = $1 AND id = $2 AND key_version = $3 AND secret = $4";
        self.database
            .for_org(org, async |tx| {
                let (org, id) = (org.as_uuid(), id.as_uuid());
                let parameters: [&(dyn ToSql + Sync); 6] =
                    [&org, &id, &from.key_version, &from.bytes, &to.key_version, &to.bytes];
                Ok(tx.execute(swap, &parameters).await.map_err(store)? == 1)
            })
            .await
    }

    async fn lease_renewal(
        &self,
        org: OrgId,
        id: RemoteId,
        lease: SignedDuration,
    ) -> Result<bool, StoreError> {
        let take = "UPDATE cp_remotes SET renewing_until = db_now() + make_interval(secs => $3)
                    WHERE org_id = $1 AND id = $2 AND (renewing_until IS NULL OR renewing_until < db_now())";
        self.database
            .for_org(org, async |tx| {
                let (org, id, seconds) = (org.as_uuid(), id.as_uuid(), lease.as_secs_f64());
                Ok(tx.execute(take, &[&org, &id, &seconds]).await.map_err(store)? == 1)
            })
            .await
    }

    async fn end_renewal(&self, org: OrgId, id: RemoteId) -> Result<(), StoreError> {
        let end = "UPDATE cp_remotes SET renewing_until = NULL WHERE org_id = $1 AND id = $2";
        self.database
            .for_org(org, async |tx| {
                let done = tx.execute(end, &[&org.as_uuid(), &id.as_uuid()]).await;
                done.map(|_| ()).map_err(store)
            })
            .await
    }

    async fn change(
        &self,
        org: OrgId,
        id: RemoteId,
        decide: DecideRemote<'_>,
    ) -> Result<Option<Remote>, RemoteError> {
        let update = "UPDATE cp_remotes SET name = $3, org_there = $4, region = $5, account = $6, revision = $7,
                 updated_at = $8, key_version = coalesce($9, key_version), secret = coalesce($10, secret)
             WHERE org_id = $1 AND id = $2";
        self.database
            .for_org(org, async |tx| {
                let Some(mut it) = find(tx, org, id, "FOR UPDATE").await? else {
                    return Ok(None);
                };
                let ChangedRemote { entry, secret } = decide(&mut it)?;
                let (org_id, own) = (org.as_uuid(), id.as_uuid());
                let (version, bytes) = secret.map(|it| (it.key_version, it.bytes)).unzip();
                let parameters: [&(dyn ToSql + Sync); 10] = [
                    &org_id,
                    &own,
                    &it.name,
                    &it.org_there,
                    &it.region,
                    &it.account,
                    &it.revision,
                    &it.updated_at,
                    &version,
                    &bytes,
                ];
                tx.execute(update, &parameters).await.map_err(|err| refused(err, &it.name))?;
                audit::append(&self.database, tx, &entry).await?;
                Ok(Some(it))
            })
            .await
    }

    async fn remove(
        &self,
        org: OrgId,
        id: RemoteId,
        entry: &AuditEntry,
    ) -> Result<bool, RemoteError> {
        let forget = "DELETE FROM cp_remote_projects WHERE org_id = $1 AND remote_id = $2 AND deleted_at IS NOT NULL";
        let delete = "DELETE FROM cp_remotes WHERE org_id = $1 AND id = $2";
        self.database
            .for_org(org, async |tx| {
                let (org, id) = (org.as_uuid(), id.as_uuid());
                let own: [&(dyn ToSql + Sync); 2] = [&org, &id];
                tx.execute(forget, &own).await.map_err(store)?;
                let removed = tx.execute(delete, &own).await;
                let removed = removed.map_err(|err| match broken_constraint(&err) {
                    Some("cp_remote_projects_remote") => RemoteError::InUse,
                    _ => store(err).into(),
                })?;
                if removed == 0 {
                    return Ok(false);
                }
                audit::append(&self.database, tx, entry).await?;
                Ok(true)
            })
            .await
    }

    async fn keep_project(
        &self,
        it: &RemoteProject,
        entry: &AuditEntry,
    ) -> Result<(), RemoteError> {
        // One of this installation is not hidden by another of its id.
        let insert = "INSERT INTO cp_remote_projects (org_id, id, remote_id, name, body, made_by, created_at)
             SELECT $1::uuid, $2::text, $3::uuid, $4::text, $5::jsonb, $6::uuid, $7::timestamptz
             WHERE NOT EXISTS (SELECT FROM cp_projects o WHERE o.org_id = $1 AND o.id = $2)
             ON CONFLICT ON CONSTRAINT cp_remote_projects_id DO UPDATE
                 SET remote_id = excluded.remote_id, name = excluded.name, body = excluded.body, deleted_at = NULL
                 WHERE cp_remote_projects.deleted_at IS NOT NULL";
        self.database
            .for_org(it.org, async |tx| {
                let (org, remote, by) = (it.org.as_uuid(), it.remote.as_uuid(), it.by.as_uuid());
                let (id, body) = (it.id.as_str(), Json(&it.body));
                let parameters: [&(dyn ToSql + Sync); 7] =
                    [&org, &id, &remote, &it.name, &body, &by, &it.created_at];
                let kept = tx.execute(insert, &parameters).await;
                let kept = kept.map_err(|err| match broken_constraint(&err) {
                    Some("cp_remote_projects_remote") => RemoteError::NotFound("remote"),
                    _ => store(err).into(),
                })?;
                if kept == 0 {
                    return Err(RemoteError::ProjectKnown(it.name.clone()));
                }
                Ok(audit::append(&self.database, tx, entry).await?)
            })
            .await
    }

    async fn project(
        &self,
        org: OrgId,
        id: &ProjectId,
    ) -> Result<Option<RemoteProject>, StoreError> {
        let query = format!("{PROJECT} WHERE p.org_id = $1 AND p.id = $2");
        self.database
            .for_org(org, async |tx| {
                let query = tx.prepare_cached(&query).await.map_err(store)?;
                let found = tx.query_opt(&query, &[&org.as_uuid(), &id.as_str()]).await;
                found.map_err(store)?.as_ref().map(project).transpose()
            })
            .await
    }

    async fn projects(
        &self,
        org: OrgId,
        filter: &ProjectFilter,
    ) -> Result<Vec<RemoteProject>, StoreError> {
        let query = format!(
            "{PROJECT} WHERE p.org_id = $1 AND p.deleted_at IS NULL
               AND ($2::text IS NULL OR strpos(lower(p.name), lower($2)) > 0 OR strpos(p.id, $2) > 0)
               AND ($3::timestamptz IS NULL OR (p.created_at, p.number) < ($3, $4))
               AND ($6::text IS NULL OR p.id = $6)
             ORDER BY p.created_at DESC, p.number DESC LIMIT $5"
        );
        let (after, number) = place(filter.after);
        self.database
            .for_org(org, async |tx| {
                let (org, limit) = (org.as_uuid(), i64::from(filter.limit));
                let only = filter.only.as_ref().map(ProjectId::as_str);
                let parameters: [&(dyn ToSql + Sync); 6] =
                    [&org, &filter.search, &after, &number, &limit, &only];
                let rows = tx.query(&query, &parameters).await.map_err(store)?;
                rows.iter().map(project).collect()
            })
            .await
    }

    async fn note_project(
        &self,
        org: OrgId,
        remote: RemoteId,
        id: &ProjectId,
        told: &Value,
    ) -> Result<(), StoreError> {
        // Most of the time nothing has changed.
        let update = "UPDATE cp_remote_projects SET body = $3::jsonb, name = coalesce($3::jsonb ->> 'name', name), deleted_at = NULL
             WHERE org_id = $1 AND id = $2 AND remote_id = $4 AND (body IS DISTINCT FROM $3::jsonb OR deleted_at IS NOT NULL)";
        self.database
            .for_org(org, async |tx| {
                let (org, remote, id) = (org.as_uuid(), remote.as_uuid(), id.as_str());
                let done = tx.execute(update, &[&org, &id, &Json(told), &remote]).await;
                done.map(|_| ()).map_err(store)
            })
            .await
    }

    async fn note_deletion(
        &self,
        org: OrgId,
        remote: RemoteId,
        id: &ProjectId,
        deleted_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let update = "UPDATE cp_remote_projects SET deleted_at = $3
             WHERE org_id = $1 AND id = $2 AND remote_id = $4";
        self.database
            .for_org(org, async |tx| {
                let (org, remote, id) = (org.as_uuid(), remote.as_uuid(), id.as_str());
                let done = tx.execute(update, &[&org, &id, &deleted_at, &remote]).await;
                done.map(|_| ()).map_err(store)
            })
            .await
    }

    async fn forget_project(
        &self,
        org: OrgId,
        remote: RemoteId,
        id: &ProjectId,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let delete =
            "DELETE FROM cp_remote_projects WHERE org_id = $1 AND remote_id = $2 AND id = $3";
        self.database
            .for_org(org, async |tx| {
                let (org, remote, id) = (org.as_uuid(), remote.as_uuid(), id.as_str());
                let own: [&(dyn ToSql + Sync); 3] = [&org, &remote, &id];
                if tx.execute(delete, &own).await.map_err(store)? == 0 {
                    return Ok(false);
                }
                audit::append(&self.database, tx, entry).await?;
                Ok(true)
            })
            .await
    }

    async fn begin(
        &self,
        it: &RemoteIntent,
        lease: SignedDuration,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let insert = "INSERT INTO cp_remote_intents (id, org_id, remote_id, project_id, name, made_by, begun_at, lease_until)
             VALUES ($1, $2, $3, $4, $5, $6, db_now(), db_now() + make_interval(secs => $7))";
        let (project, name) = match &it.what {
            Intended::Made { name } => (None, name.as_deref()),
            Intended::Changed { project } => (Some(project.as_str()), None),
        };
        self.database
            .for_org(it.org, async |tx| {
                let (id, org, remote) = (it.id.as_uuid(), it.org.as_uuid(), it.remote.as_uuid());
                let (by, seconds) = (it.by.as_uuid(), lease.as_secs_f64());
                let parameters: [&(dyn ToSql + Sync); 7] =
                    [&id, &org, &remote, &project, &name, &by, &seconds];
                tx.execute(insert, &parameters).await.map_err(store)?;
                audit::append(&self.database, tx, entry).await
            })
            .await
    }

    async fn end_intent(&self, org: OrgId, id: RemoteIntentId) -> Result<(), StoreError> {
        let delete = "DELETE FROM cp_remote_intents WHERE org_id = $1 AND id = $2";
        self.database
            .for_org(org, async |tx| {
                let done = tx.execute(delete, &[&org.as_uuid(), &id.as_uuid()]).await;
                done.map(|_| ()).map_err(store)
            })
            .await
    }

    async fn take_intents(
        &self,
        most: usize,
        lease: SignedDuration,
    ) -> Result<Vec<RemoteIntent>, StoreError> {
        let take = "SELECT taken_org, taken_intent FROM take_remote_intents($1, make_interval(secs => $2))";
        let read = "SELECT *, extract(epoch FROM db_now() - begun_at)::bigint AS age FROM cp_remote_intents
                    WHERE org_id = $1 AND id = $2";
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        let ids: Vec<(OrgId, RemoteIntentId)> = self
            .database
            .for_nobody(async |tx| {
                let take = tx.prepare_cached(take).await.map_err(store)?;
                let rows = tx.query(&take, &[&most, &lease.as_secs_f64()]).await.map_err(store)?;
                let ids = |row: &Row| {
                    (OrgId::from_uuid(row.get(0)), RemoteIntentId::from_uuid(row.get(1)))
                };
                Ok::<_, StoreError>(rows.iter().map(ids).collect())
            })
            .await?;
        let mut taken = Vec::with_capacity(ids.len());
        for (org, id) in ids {
            // From here on as everywhere: in the organization's own view.
            let found = self.database.for_org(org, async |tx| {
                let found = tx.query_opt(read, &[&org.as_uuid(), &id.as_uuid()]).await;
                found.map_err(store)?.as_ref().map(intent).transpose()
            });
            taken.extend(found.await?);
        }
        Ok(taken)
    }

    async fn note(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.database
            .for_org(entry.org, async |tx| audit::append(&self.database, tx, entry).await)
            .await
    }
}
