//! Dashboards, and links to them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use jiff::Timestamp;
use plinth_core::{Cursor, Limit, OrgId, StoreError, UserId};
use plinth_dashboards::{
    Dashboard, DashboardError, DashboardId, DashboardStore, DecideDashboard, Share, ShareId,
    ShareKind,
};
use plinth_tenancy::AuditEntry;
use plinth_tenancy::outbox::Message;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Json, ToSql};

use crate::database::{Database, Deletion, delete, internal, store};
use crate::policies::read_attributes;
use crate::{audit, outbox};

/// [`DashboardStore`] in our own database.
#[derive(Clone)]
pub struct PostgresDashboards {
    database: Database,
}

impl PostgresDashboards {
    /// Keeps dashboards in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

const DASHBOARD: &str =
    "id, org_id, name, description, owner_id, widgets, filters, refresh_seconds, revision,
    created_at, updated_at";

const SHARE: &str =
    "id, org_id, dashboard_id, kind, name, made_by, locked, open, reach, attributes,
    expires_at, revoked_at, created_at";

const INSERT: &str = "INSERT INTO dashboards (id, org_id, name, description, owner_id, widgets, filters, refresh_seconds, revision,
         created_at, updated_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

const UPDATE: &str =
    "UPDATE dashboards SET name = $3, description = $4, owner_id = $5, widgets = $6, filters = $7,
         refresh_seconds = $8, revision = $9, created_at = $10, updated_at = $11
     WHERE id = $1 AND org_id = $2";

const INSERT_SHARE: &str = "INSERT INTO dashboard_shares (id, org_id, dashboard_id, kind, name, made_by, locked, open, expires_at,
         revoked_at, created_at, reach, attributes)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, StoreError> {
    row.try_get(column).map_err(internal)
}

fn dashboard(row: &Row) -> Result<Dashboard, StoreError> {
    let refresh: Option<i32> = get(row, "refresh_seconds")?;
    Ok(Dashboard {
        id: DashboardId::from_uuid(get(row, "id")?),
        org: OrgId::from_uuid(get(row, "org_id")?),
        name: get(row, "name")?,
        description: get(row, "description")?,
        owner: UserId::from_uuid(get(row, "owner_id")?),
        widgets: get::<Json<_>>(row, "widgets")?.0,
        filters: get::<Json<_>>(row, "filters")?.0,
        refresh_seconds: refresh.map(u32::try_from).transpose().map_err(internal)?,
        revision: get(row, "revision")?,
        created_at: get(row, "created_at")?,
        updated_at: get(row, "updated_at")?,
    })
}

fn share(row: &Row) -> Result<Share, StoreError> {
    let kind: &str = get(row, "kind")?;
    let kind = [ShareKind::Link, ShareKind::Embed].into_iter().find(|it| it.as_str() == kind);
    Ok(Share {
        id: ShareId::from_uuid(get(row, "id")?),
        org: OrgId::from_uuid(get(row, "org_id")?),
        dashboard: DashboardId::from_uuid(get(row, "dashboard_id")?),
        kind: kind.ok_or_else(|| internal("a link of no kind"))?,
        name: get(row, "name")?,
        by: UserId::from_uuid(get(row, "made_by")?),
        locked: get::<Json<_>>(row, "locked")?.0,
        open: get(row, "open")?,
        attributes: read_attributes(row)?,
        reach: get::<Option<Json<_>>>(row, "reach")?.map(|it| it.0),
        expires_at: get(row, "expires_at")?,
        revoked_at: get(row, "revoked_at")?,
        created_at: get(row, "created_at")?,
    })
}

/// Runs the statement, which is one of the first two above.
async fn write(tx: &Transaction<'_>, sql: &str, it: &Dashboard) -> Result<(), StoreError> {
    let refresh = it.refresh_seconds.map(i32::try_from).transpose().map_err(internal)?;
    let (id, org, owner) = (it.id.as_uuid(), it.org.as_uuid(), it.owner.as_uuid());
    let (widgets, filters) = (Json(&it.widgets), Json(&it.filters));
    let parameters: [&(dyn ToSql + Sync); 11] = [
        &id,
        &org,
        &it.name,
        &it.description,
        &owner,
        &widgets,
        &filters,
        &refresh,
        &it.revision,
        &it.created_at,
        &it.updated_at,
    ];
    tx.execute(sql, &parameters).await.map_err(store)?;
    Ok(())
}

async fn find(
    tx: &Transaction<'_>,
    org: OrgId,
    id: DashboardId,
    lock: &str,
) -> Result<Option<Dashboard>, StoreError> {
    let query = format!("SELECT {DASHBOARD} FROM dashboards WHERE org_id = $1 AND id = $2 {lock}");
    let found = tx.query_opt(&query, &[&org.as_uuid(), &id.as_uuid()]).await;
    found.map_err(store)?.as_ref().map(dashboard).transpose()
}

#[async_trait]
impl DashboardStore for PostgresDashboards {
    async fn insert(
        &self,
        dashboard: &Dashboard,
        most: i64,
        entry: &AuditEntry,
    ) -> Result<(), DashboardError> {
        let count = "SELECT count(*) FROM dashboards WHERE org_id = $1";
        self.database
            .for_org(dashboard.org, async |tx| {
                let org = dashboard.org.as_uuid();
                let there: i64 = tx.query_one(count, &[&org]).await.map_err(store)?.get(0);
                if there >= most {
                    return Err(DashboardError::TooMany(most));
                }
                write(tx, INSERT, dashboard).await?;
                Ok(audit::append(&self.database, tx, entry).await?)
            })
            .await
    }

    async fn find(&self, org: OrgId, id: DashboardId) -> Result<Option<Dashboard>, StoreError> {
        self.database.for_org(org, async |tx| find(tx, org, id, "").await).await
    }

    async fn list(
        &self,
        org: OrgId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Dashboard>, StoreError> {
        self.database.newest_of(org, DASHBOARD, "dashboards", after, limit, dashboard).await
    }

    async fn change(
        &self,
        org: OrgId,
        id: DashboardId,
        decide: DecideDashboard<'_>,
    ) -> Result<Option<Dashboard>, DashboardError> {
        self.database
            .for_org(org, async |tx| {
                let Some(mut dashboard) = find(tx, org, id, "FOR UPDATE").await? else {
                    return Ok(None);
                };
                let entry = decide(&mut dashboard)?;
                write(tx, UPDATE, &dashboard).await?;
                audit::append(&self.database, tx, &entry).await?;
                Ok(Some(dashboard))
            })
            .await
    }

    async fn pause(
        &self,
        org: OrgId,
        id: DashboardId,
        owner: UserId,
        at: Timestamp,
        entry: &AuditEntry,
        message: &Message,
    ) -> Result<bool, StoreError> {
        self.database
            .for_org(org, async |tx| {
                let Some(mut dashboard) = find(tx, org, id, "FOR UPDATE").await? else {
                    return Ok(false);
                };
                let whose = dashboard.owner;
                let running = dashboard.widgets.iter_mut().filter(|it| {
                    let is_theirs = it.owner.unwrap_or(whose) == owner;
                    is_theirs && it.query.is_some() && it.paused_at.is_none()
                });
                if running.map(|it| it.paused_at = Some(at)).count() == 0 {
                    return Ok(false);
                }
                write(tx, UPDATE, &dashboard).await?;
                audit::append(&self.database, tx, entry).await?;
                outbox::put(tx, message).await?;
                Ok(true)
            })
            .await
    }

    async fn remove(
        &self,
        org: OrgId,
        id: DashboardId,
        expected: Option<&[i64]>,
        entry: &AuditEntry,
    ) -> Result<bool, DashboardError> {
        self.database
            .for_org(org, async |tx| {
                match delete(tx, "dashboards", (org, id.as_uuid()), expected).await? {
                    Deletion::Missing => return Ok(false),
                    Deletion::Changed => return Err(DashboardError::Changed),
                    Deletion::Done => {}
                }
                audit::append(&self.database, tx, entry).await?;
                Ok(true)
            })
            .await
    }

    async fn insert_share(
        &self,
        share: &Share,
        most: i64,
        entry: &AuditEntry,
    ) -> Result<(), DashboardError> {
        let count = "SELECT count(*) FROM dashboard_shares
             WHERE org_id = $1 AND dashboard_id = $2 AND revoked_at IS NULL AND expires_at > $3";
        self.database
            .for_org(share.org, async |tx| {
                let (org, id) = (share.org.as_uuid(), share.id.as_uuid());
                let (on, by) = (share.dashboard.as_uuid(), share.by.as_uuid());
                // Locked, so that links are counted by one at a time and the dashboard stays.
                if find(tx, share.org, share.dashboard, "FOR UPDATE").await?.is_none() {
                    return Err(DashboardError::NotFound(share.dashboard));
                }
                let there = tx.query_one(count, &[&org, &on, &share.created_at]).await;
                let there: i64 = there.map_err(store)?.get(0);
                if there >= most {
                    return Err(DashboardError::TooManyShares(most));
                }
                let (kind, locked) = (share.kind.as_str(), Json(&share.locked));
                let reach = share.reach.as_ref().map(Json);
                let attributes: BTreeMap<&String, Value> =
                    share.attributes.iter().map(|(name, it)| (name, it.to_json())).collect();
                let attributes = Json(attributes);
                let parameters: [&(dyn ToSql + Sync); 13] = [
                    &id,
                    &org,
                    &on,
                    &kind,
                    &share.name,
                    &by,
                    &locked,
                    &share.open,
                    &share.expires_at,
                    &share.revoked_at,
                    &share.created_at,
                    &reach,
                    &attributes,
                ];
                tx.execute(INSERT_SHARE, &parameters).await.map_err(store)?;
                Ok(audit::append(&self.database, tx, entry).await?)
            })
            .await
    }

    async fn shares(&self, org: OrgId, dashboard: DashboardId) -> Result<Vec<Share>, StoreError> {
        let query = format!(
            "SELECT {SHARE} FROM dashboard_shares WHERE org_id = $1 AND dashboard_id = $2
             ORDER BY created_at DESC, id DESC LIMIT 200"
        );
        self.database
            .for_org(org, async |tx| {
                let found = tx.query(&query, &[&org.as_uuid(), &dashboard.as_uuid()]).await;
                found.map_err(store)?.iter().map(share).collect()
            })
            .await
    }

    async fn share(&self, org: OrgId, id: ShareId) -> Result<Option<Share>, StoreError> {
        let query = format!("SELECT {SHARE} FROM dashboard_shares WHERE org_id = $1 AND id = $2");
        self.database
            .for_org(org, async |tx| {
                let found = tx.query_opt(&query, &[&org.as_uuid(), &id.as_uuid()]).await;
                found.map_err(store)?.as_ref().map(share).transpose()
            })
            .await
    }

    async fn revoke(
        &self,
        org: OrgId,
        dashboard: DashboardId,
        id: ShareId,
        at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<Option<Share>, StoreError> {
        let update = "UPDATE dashboard_shares SET revoked_at = $4
             WHERE org_id = $1 AND dashboard_id = $2 AND id = $3 AND revoked_at IS NULL";
        let query = format!(
            "SELECT {SHARE} FROM dashboard_shares WHERE org_id = $1 AND dashboard_id = $2 AND id = $3"
        );
        self.database
            .for_org(org, async |tx| {
                let (org, on, id) = (org.as_uuid(), dashboard.as_uuid(), id.as_uuid());
                let changed = tx.execute(update, &[&org, &on, &id, &at]).await.map_err(store)?;
                if changed > 0 {
                    audit::append(&self.database, tx, entry).await?;
                }
                let found = tx.query_opt(&query, &[&org, &on, &id]).await.map_err(store)?;
                found.as_ref().map(share).transpose()
            })
            .await
    }
}
