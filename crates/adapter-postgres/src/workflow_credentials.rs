//! Credentials that workflows' calls carry.

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use plinth_connections::Sealed;
use plinth_core::{Cursor, Limit, OrgId, StoreError, UserId};
use plinth_tenancy::AuditEntry;
use plinth_workflows::secrets::{
    Changed, CredentialError, CredentialId, CredentialKind, CredentialStore, DecideCredential,
    StoredCredential,
};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};

use crate::database::{Deletion, broken_constraint, delete, internal, store};
use crate::{Database, audit};

const CREDENTIAL: &str =
    "id, org_id, name, origin, kind, label, made_by, revision, created_at, updated_at";

/// [`CredentialStore`] in our own database.
#[derive(Clone)]
pub struct PostgresCredentials {
    database: Database,
}

impl PostgresCredentials {
    /// Keeps credentials in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, StoreError> {
    row.try_get(column).map_err(internal)
}

fn credential(row: &Row) -> Result<StoredCredential, StoreError> {
    let kind = CredentialKind::from_parts(get(row, "kind")?, get(row, "label")?);
    Ok(StoredCredential {
        id: CredentialId::from_uuid(get(row, "id")?),
        org: OrgId::from_uuid(get(row, "org_id")?),
        name: get(row, "name")?,
        origin: get(row, "origin")?,
        kind: kind.ok_or_else(|| internal("a credential of no kind"))?,
        by: UserId::from_uuid(get(row, "made_by")?),
        revision: get(row, "revision")?,
        created_at: get(row, "created_at")?,
        updated_at: get(row, "updated_at")?,
    })
}

async fn find(
    tx: &Transaction<'_>,
    org: OrgId,
    id: CredentialId,
    lock: &str,
) -> Result<Option<StoredCredential>, StoreError> {
    let query = format!(
        "SELECT {CREDENTIAL} FROM workflow_credentials WHERE org_id = $1 AND id = $2 {lock}"
    );
    let found = tx.query_opt(&query, &[&org.as_uuid(), &id.as_uuid()]).await;
    found.map_err(store)?.as_ref().map(credential).transpose()
}

fn refused(err: tokio_postgres::Error, name: &str) -> CredentialError {
    match broken_constraint(&err) {
        Some("workflow_credentials_name_key") => CredentialError::NameTaken(name.to_owned()),
        _ => store(err).into(),
    }
}

#[async_trait]
impl CredentialStore for PostgresCredentials {
    async fn insert(
        &self,
        it: &StoredCredential,
        secret: &Sealed,
        most: i64,
        entry: &AuditEntry,
    ) -> Result<(), CredentialError> {
        let count = "SELECT count(*) FROM workflow_credentials WHERE org_id = $1";
        let insert = "INSERT INTO workflow_credentials
                 (id, org_id, name, origin, kind, label, key_version, secret, made_by, revision, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        let (id, org, by) = (it.id.as_uuid(), it.org.as_uuid(), it.by.as_uuid());
        self.database
            .for_org(it.org, async |tx| {
                let count = tx.query_one(count, &[&org]).await.map_err(store)?;
                if count.get::<_, i64>(0) >= most {
                    return Err(CredentialError::TooMany(most));
                }
                let parameters: [&(dyn ToSql + Sync); 12] = [
                    &id,
                    &org,
                    &it.name,
                    &it.origin,
                    &it.kind.as_str(),
                    &it.kind.label(),
                    &secret.key_version,
                    &secret.bytes,
                    &by,
                    &it.revision,
                    &it.created_at,
                    &it.updated_at,
                ];
                tx.execute(insert, &parameters).await.map_err(|err| refused(err, &it.name))?;
                Ok(audit::append(&self.database, tx, entry).await?)
            })
            .await
    }

    async fn find(
        &self,
        org: OrgId,
        id: CredentialId,
    ) -> Result<Option<StoredCredential>, StoreError> {
        self.database.for_org(org, async |tx| find(tx, org, id, "").await).await
    }

    async fn named(
        &self,
        org: OrgId,
        name: &str,
    ) -> Result<Option<(StoredCredential, Sealed)>, StoreError> {
        let query = format!(
            "SELECT {CREDENTIAL}, key_version, secret FROM workflow_credentials WHERE org_id = $1 AND name = $2"
        );
        self.database
            .for_org(org, async |tx| {
                let found = tx.query_opt(&query, &[&org.as_uuid(), &name]).await.map_err(store)?;
                let read = |row: &Row| {
                    let sealed = Sealed {
                        key_version: get(row, "key_version")?,
                        bytes: get(row, "secret")?,
                    };
                    Ok((credential(row)?, sealed))
                };
                found.as_ref().map(read).transpose()
            })
            .await
    }

    async fn is_lent(&self, org: OrgId, id: CredentialId) -> Result<bool, StoreError> {
        // A version of which it is not noted means whatever has the name.
        let query = "SELECT EXISTS (
                 SELECT FROM workflow_credentials c
                 JOIN workflows w ON w.org_id = c.org_id
                 JOIN workflow_versions v ON v.org_id = w.org_id AND v.workflow_id = w.id AND v.number = w.published
                 WHERE c.org_id = $1 AND c.id = $2 AND CASE WHEN v.meant IS NULL
                     THEN v.definition->'actions' @> jsonb_build_array(jsonb_build_object('credential', c.name))
                     ELSE EXISTS (SELECT FROM jsonb_each(v.meant->'credentials') it WHERE it.value->>'id' = $3)
                 END
             )";
        self.database
            .for_org(org, async |tx| {
                let row =
                    tx.query_one(query, &[&org.as_uuid(), &id.as_uuid(), &id.to_string()]).await;
                row.map_err(store)?.try_get(0).map_err(internal)
            })
            .await
    }

    async fn list(
        &self,
        org: OrgId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<StoredCredential>, StoreError> {
        self.database
            .newest_of(org, CREDENTIAL, "workflow_credentials", after, limit, credential)
            .await
    }

    async fn change(
        &self,
        org: OrgId,
        id: CredentialId,
        decide: DecideCredential<'_>,
    ) -> Result<Option<StoredCredential>, CredentialError> {
        let update = "UPDATE workflow_credentials SET name = $3, revision = $4, updated_at = $5,
                 key_version = coalesce($6, key_version), secret = coalesce($7, secret)
             WHERE org_id = $1 AND id = $2";
        self.database
            .for_org(org, async |tx| {
                let Some(mut it) = find(tx, org, id, "FOR UPDATE").await? else {
                    return Ok(None);
                };
                let Changed { entry, secret } = decide(&mut it)?;
                let (org_id, own) = (org.as_uuid(), id.as_uuid());
                let (version, bytes) = secret.map(|it| (it.key_version, it.bytes)).unzip();
                let parameters: [&(dyn ToSql + Sync); 7] =
                    [&org_id, &own, &it.name, &it.revision, &it.updated_at, &version, &bytes];
                tx.execute(update, &parameters).await.map_err(|err| refused(err, &it.name))?;
                audit::append(&self.database, tx, &entry).await?;
                Ok(Some(it))
            })
            .await
    }

    async fn remove(
        &self,
        org: OrgId,
        id: CredentialId,
        expected: Option<&[i64]>,
        entry: &AuditEntry,
    ) -> Result<bool, CredentialError> {
        self.database
            .for_org(org, async |tx| {
                match delete(tx, "workflow_credentials", (org, id.as_uuid()), expected).await? {
                    Deletion::Missing => return Ok(false),
                    Deletion::Changed => return Err(CredentialError::Changed),
                    Deletion::Done => {}
                }
                audit::append(&self.database, tx, entry).await?;
                Ok(true)
            })
            .await
    }
}
