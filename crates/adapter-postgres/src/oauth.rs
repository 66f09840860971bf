use async_trait::async_trait;
use plinth_core::{AppId, Cursor, Limit, OrgId, ScopeSet, SessionId, StoreError, UserId};
use plinth_tenancy::AuditEntry;
use plinth_tenancy::oauth::{
    App, AppStore, Challenge, ClientSecretHash, Code, PutAppError, RedirectUri,
};
use plinth_tenancy::scope_set;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::database::{broken_constraint, internal, store};
use crate::{Database, audit};

/// [`AppStore`] in our own database.
#[derive(Clone)]
pub struct PostgresApps {
    database: Database,
}

impl PostgresApps {
    /// Keeps apps and codes in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

const COLUMNS: &str =
    "id, org_id, name, redirect_uris, scopes, secret_hash, created_by, created_at";

#[async_trait]
impl AppStore for PostgresApps {
    async fn insert(&self, app: &App, entry: &AuditEntry) -> Result<(), PutAppError> {
        let insert =
            format!("INSERT INTO oauth_apps ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
        self.database
            .for_org(app.org, async |tx| {
                let (uris, scopes) = (uris(app), names(app.scopes));
                let secret = app.secret.as_ref().map(|it| it.0.as_slice());
                tx.execute(
                    &insert,
                    &[
                        &app.id.as_uuid(),
                        &app.org.as_uuid(),
                        &app.name,
                        &uris,
                        &scopes,
                        &secret,
                        &app.created_by.as_uuid(),
                        &app.created_at,
                    ],
                )
                .await
                .map_err(put)?;
                Ok(audit::append(&self.database, tx, entry).await?)
            })
            .await
    }

    async fn update(&self, app: &App, entry: &AuditEntry) -> Result<bool, PutAppError> {
        let update =
            "UPDATE oauth_apps SET name = $3, redirect_uris = $4, scopes = $5, secret_hash = $6
             WHERE org_id = $1 AND id = $2";
        self.database
            .for_org(app.org, async |tx| {
                let (org, id) = (app.org.as_uuid(), app.id.as_uuid());
                let (uris, scopes) = (uris(app), names(app.scopes));
                let secret = app.secret.as_ref().map(|it| it.0.as_slice());
                let changed = tx
                    .execute(update, &[&org, &id, &app.name, &uris, &scopes, &secret])
                    .await
                    .map_err(put)?;
                if changed == 0 {
                    return Ok(false);
                }
                audit::append(&self.database, tx, entry).await?;
                Ok(true)
            })
            .await
    }

    async fn remove(&self, org: OrgId, id: AppId, entry: &AuditEntry) -> Result<bool, StoreError> {
        let delete = "DELETE FROM oauth_apps WHERE org_id = $1 AND id = $2";
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

    async fn find(&self, org: OrgId, id: AppId) -> Result<Option<App>, StoreError> {
        let query = format!("SELECT {COLUMNS} FROM oauth_apps WHERE org_id = $1 AND id = $2");
        self.database
            .for_org(org, async |tx| {
                let row = tx.query_opt(&query, &[&org.as_uuid(), &id.as_uuid()]).await;
                row.map_err(store)?.as_ref().map(read).transpose()
            })
            .await
    }

    async fn list(
        &self,
        org: OrgId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<App>, StoreError> {
        let query = format!(
            "SELECT {COLUMNS} FROM oauth_apps
             WHERE org_id = $1 AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3))
             ORDER BY created_at DESC, id DESC LIMIT $4"
        );
        let (at, id) = (after.map(|it| it.created_at), after.map(|it| it.id));
        let limit = i64::from(limit.get()) + 1;
        self.database
            .for_org(org, async |tx| {
                let rows = tx.query(&query, &[&org.as_uuid(), &at, &id, &limit]).await;
                rows.map_err(store)?.iter().map(read).collect()
            })
            .await
    }

    async fn find_any(&self, id: AppId) -> Result<Option<App>, StoreError> {
        let org: Option<Uuid> = self
            .database
            .for_nobody(async |tx| {
                let query = "SELECT find_oauth_app($1)";
                let row = tx.query_one(query, &[&id.as_uuid()]).await.map_err(store)?;
                row.try_get(0).map_err(internal)
            })
            .await?;
        match org {
            // From here on as everywhere: in the organization's own view.
            Some(org) => self.find(OrgId::from_uuid(org), id).await,
            None => Ok(None),
        }
    }

    async fn insert_code(&self, code: &Code) -> Result<(), StoreError> {
        let insert = "INSERT INTO oauth_codes
                 (id, org_id, user_id, app_id, scopes, redirect_uri, challenge, expires_at, epoch)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        // A used one is kept as long as a thief may still try it.
        let sweep = "DELETE FROM oauth_codes WHERE org_id = $1 AND expires_at < $2::timestamptz - interval '1 day'";
        self.database
            .for_org(code.org, async |tx| {
                let org = code.org.as_uuid();
                tx.execute(sweep, &[&org, &code.expires_at]).await.map_err(store)?;
                tx.execute(
                    insert,
                    &[
                        &code.id,
                        &org,
                        &code.user.as_uuid(),
                        &code.app.as_uuid(),
                        &names(code.scopes),
                        &code.redirect_uri,
                        &code.challenge.as_str(),
                        &code.expires_at,
                        &code.epoch,
                    ],
                )
                .await
                .map_err(store)?;
                Ok(())
            })
            .await
    }

    async fn code(&self, org: OrgId, id: Uuid) -> Result<Option<Code>, StoreError> {
        let query = "SELECT id, org_id, user_id, app_id, scopes, redirect_uri, challenge, expires_at, session_id,
                 epoch, is_replayed
             FROM oauth_codes WHERE org_id = $1 AND id = $2";
        self.database
            .for_org(org, async |tx| {
                let row = tx.query_opt(query, &[&org.as_uuid(), &id]).await.map_err(store)?;
                row.as_ref().map(read_code).transpose()
            })
            .await
    }

    async fn use_code(&self, org: OrgId, id: Uuid, session: SessionId) -> Result<bool, StoreError> {
        let update = "UPDATE oauth_codes SET session_id = $3
             WHERE org_id = $1 AND id = $2 AND session_id IS NULL";
        self.database
            .for_org(org, async |tx| {
                let used = tx.execute(update, &[&org.as_uuid(), &id, &session.as_uuid()]).await;
                Ok(used.map_err(store)? == 1)
            })
            .await
    }

    async fn note_replay(&self, org: OrgId, id: Uuid) -> Result<(), StoreError> {
        let update = "UPDATE oauth_codes SET is_replayed = true WHERE org_id = $1 AND id = $2";
        self.database
            .for_org(org, async |tx| {
                tx.execute(update, &[&org.as_uuid(), &id]).await.map_err(store)?;
                Ok(())
            })
            .await
    }
}

fn uris(app: &App) -> Vec<&str> {
    app.redirect_uris.iter().map(RedirectUri::as_str).collect()
}

fn names(scopes: ScopeSet) -> Vec<&'static str> {
    scopes.iter().map(plinth_core::Scope::as_str).collect()
}

fn put(err: tokio_postgres::Error) -> PutAppError {
    match broken_constraint(&err) {
        Some("oauth_apps_name_key") => PutAppError::NameTaken,
        _ => store(err).into(),
    }
}

fn read(row: &Row) -> Result<App, StoreError> {
    let uris: Vec<&str> = row.try_get("redirect_uris").map_err(internal)?;
    let scopes: Vec<String> = row.try_get("scopes").map_err(internal)?;
    let secret: Option<&[u8]> = row.try_get("secret_hash").map_err(internal)?;
    let secret = secret.map(TryInto::try_into).transpose().map_err(internal)?;
    Ok(App {
        id: AppId::from_uuid(row.try_get("id").map_err(internal)?),
        org: OrgId::from_uuid(row.try_get("org_id").map_err(internal)?),
        name: row.try_get("name").map_err(internal)?,
        redirect_uris: uris
            .into_iter()
            .map(RedirectUri::parse)
            .collect::<Result<_, _>>()
            .map_err(internal)?,
        scopes: scope_set(&scopes).map_err(internal)?,
        secret: secret.map(ClientSecretHash),
        created_by: UserId::from_uuid(row.try_get("created_by").map_err(internal)?),
        created_at: row.try_get("created_at").map_err(internal)?,
    })
}

fn read_code(row: &Row) -> Result<Code, StoreError> {
    let scopes: Vec<String> = row.try_get("scopes").map_err(internal)?;
    let challenge: &str = row.try_get("challenge").map_err(internal)?;
    let session: Option<Uuid> = row.try_get("session_id").map_err(internal)?;
    Ok(Code {
        id: row.try_get("id").map_err(internal)?,
        org: OrgId::from_uuid(row.try_get("org_id").map_err(internal)?),
        user: UserId::from_uuid(row.try_get("user_id").map_err(internal)?),
        app: AppId::from_uuid(row.try_get("app_id").map_err(internal)?),
        scopes: scope_set(&scopes).map_err(internal)?,
        redirect_uri: row.try_get("redirect_uri").map_err(internal)?,
        challenge: Challenge::parse(challenge)
            .ok_or_else(|| internal("a stored challenge is none"))?,
        expires_at: row.try_get("expires_at").map_err(internal)?,
        session: session.map(SessionId::from_uuid),
        epoch: row.try_get("epoch").map_err(internal)?,
        is_replayed: row.try_get("is_replayed").map_err(internal)?,
    })
}
