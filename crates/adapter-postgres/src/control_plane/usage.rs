use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use plinth_control_plane::{
    BranchFrame, BranchId, Frame, Granularity, ProjectId, UsageStore, Used,
};
use plinth_core::{OrgId, StoreError};
use tokio_postgres::Row;

use super::PostgresControlPlane;
use crate::database::{internal, store};

/// For how long it is kept what branches used: a year, and what is left of the month in which it began.
const KEPT: SignedDuration = SignedDuration::from_hours(400 * 24);

#[async_trait]
impl UsageStore for PostgresControlPlane {
    async fn add_usage(
        &self,
        org: OrgId,
        project: &ProjectId,
        branch: &BranchId,
        at: Timestamp,
        used: &Used,
    ) -> Result<(), StoreError> {
        // Not if the project has gone elsewhere meanwhile.
        let add = "INSERT INTO cp_usage AS it (org_id, project_id, branch_id, hour, active_ms, cpu_ms, written_bytes,
                       logical_bytes, storage_bytes, transfer_bytes)
                   SELECT org_id, id, $3, $4, $5, $6, $7, $8, $9, $10 FROM cp_projects WHERE org_id = $1 AND id = $2
                   ON CONFLICT (branch_id, hour) DO UPDATE SET active_ms = it.active_ms + excluded.active_ms,
                       cpu_ms = it.cpu_ms + excluded.cpu_ms, written_bytes = it.written_bytes + excluded.written_bytes,
                       transfer_bytes = it.transfer_bytes + excluded.transfer_bytes,
                       logical_bytes = greatest(it.logical_bytes, excluded.logical_bytes),
                       storage_bytes = greatest(it.storage_bytes, excluded.storage_bytes)";
        let sweep = "DELETE FROM cp_usage WHERE org_id = $1 AND branch_id = $2 AND hour < $3";
        let hour = Granularity::Hourly.floor(at);
        self.database
            .for_org(org, async |tx| {
                let (org, branch) = (org.as_uuid(), branch.as_str());
                let add = tx.prepare_cached(add).await.map_err(store)?;
                tx.execute(
                    &add,
                    &[
                        &org,
                        &project.as_str(),
                        &branch,
                        &hour,
                        &used.active_ms,
                        &used.cpu_ms,
                        &used.written_bytes,
                        &used.logical_bytes,
                        &used.storage_bytes,
                        &used.transfer_bytes,
                    ],
                )
                .await
                .map_err(store)?;
                let sweep = tx.prepare_cached(sweep).await.map_err(store)?;
                tx.execute(&sweep, &[&org, &branch, &(at - KEPT)]).await.map_err(store)?;
                Ok(())
            })
            .await
    }

    async fn usage(
        &self,
        org: OrgId,
        projects: Option<&[ProjectId]>,
        granularity: Granularity,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Frame>, StoreError> {
        let query = "
            WITH hours AS (
                SELECT u.project_id, u.hour, sum(u.active_ms)::bigint AS active_ms, sum(u.cpu_ms)::bigint AS cpu_ms,
                       sum(u.written_bytes)::bigint AS written_bytes, sum(u.transfer_bytes)::bigint AS transfer_bytes, sum(u.logical_bytes)::bigint AS logical_bytes,
                       sum(u.storage_bytes)::bigint AS storage_bytes
                FROM cp_usage u JOIN cp_projects p ON p.id = u.project_id
                WHERE u.org_id = $1 AND u.hour >= $3 AND u.hour < $4 AND p.deleted_at IS NULL
                  AND ($2::text[] IS NULL OR u.project_id = ANY ($2))
                GROUP BY u.project_id, u.hour
            )
            SELECT project_id, date_trunc($5, hour AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS begin,
                   sum(active_ms)::bigint AS active_ms, sum(cpu_ms)::bigint AS cpu_ms,
                   sum(written_bytes)::bigint AS written_bytes, sum(transfer_bytes)::bigint AS transfer_bytes, max(logical_bytes) AS logical_bytes,
                   max(storage_bytes) AS storage_bytes, sum(storage_bytes)::bigint AS storage_hours,
                   sum(logical_bytes)::bigint AS logical_hours
            FROM hours GROUP BY 1, 2 ORDER BY 1, 2";
        let projects: Option<Vec<&str>> =
            projects.map(|it| it.iter().map(ProjectId::as_str).collect());
        self.database
            .for_org(org, async |tx| {
                let unit = granularity.unit();
                let rows = tx
                    .query(query, &[&org.as_uuid(), &projects, &from, &to, &unit])
                    .await
                    .map_err(store)?;
                rows.iter().map(frame).collect()
            })
            .await
    }

    async fn usage_by_branch(
        &self,
        org: OrgId,
        projects: &[ProjectId],
        granularity: Granularity,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<BranchFrame>, StoreError> {
        let query = "
            SELECT u.project_id, u.branch_id, b.parent_id IS NULL AS is_root,
                   date_trunc($5, u.hour AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS begin,
                   sum(u.active_ms)::bigint AS active_ms, sum(u.cpu_ms)::bigint AS cpu_ms,
                   sum(u.written_bytes)::bigint AS written_bytes, sum(u.transfer_bytes)::bigint AS transfer_bytes, max(u.logical_bytes) AS logical_bytes,
                   max(u.storage_bytes) AS storage_bytes, sum(u.storage_bytes)::bigint AS storage_hours,
                   sum(u.logical_bytes)::bigint AS logical_hours
            FROM cp_usage u JOIN cp_branches b ON b.id = u.branch_id
            WHERE u.org_id = $1 AND u.project_id = ANY ($2) AND u.hour >= $3 AND u.hour < $4
            GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 4";
        let projects: Vec<&str> = projects.iter().map(ProjectId::as_str).collect();
        self.database
            .for_org(org, async |tx| {
                let unit = granularity.unit();
                let rows = tx
                    .query(query, &[&org.as_uuid(), &projects, &from, &to, &unit])
                    .await
                    .map_err(store)?;
                rows.iter()
                    .map(|row| {
                        Ok(BranchFrame {
                            branch: row.get::<_, &str>("branch_id").parse().map_err(internal)?,
                            is_root: row.try_get("is_root").map_err(internal)?,
                            frame: frame(row)?,
                        })
                    })
                    .collect()
            })
            .await
    }

    async fn branch_usage(
        &self,
        org: OrgId,
        project: &ProjectId,
        since: Timestamp,
    ) -> Result<Vec<(BranchId, Used)>, StoreError> {
        let query = "SELECT branch_id, sum(active_ms)::bigint AS active_ms, sum(cpu_ms)::bigint AS cpu_ms,
                            sum(written_bytes)::bigint AS written_bytes, sum(transfer_bytes)::bigint AS transfer_bytes, max(logical_bytes) AS logical_bytes,
                            max(storage_bytes) AS storage_bytes
                     FROM cp_usage WHERE org_id = $1 AND project_id = $2 AND hour >= $3 GROUP BY branch_id ORDER BY branch_id";
        self.database
            .for_org(org, async |tx| {
                let rows = tx
                    .query(query, &[&org.as_uuid(), &project.as_str(), &since])
                    .await
                    .map_err(store)?;
                rows.iter()
                    .map(|row| {
                        let branch = row.get::<_, &str>("branch_id").parse().map_err(internal)?;
                        Ok((branch, read(row)?))
                    })
                    .collect()
            })
            .await
    }
}

fn frame(row: &Row) -> Result<Frame, StoreError> {
    Ok(Frame {
        project: row.get::<_, &str>("project_id").parse().map_err(internal)?,
        begin: row.try_get("begin").map_err(internal)?,
        used: read(row)?,
        storage_bytes_hours: row.try_get("storage_hours").map_err(internal)?,
        logical_bytes_hours: row.try_get("logical_hours").map_err(internal)?,
    })
}

fn read(row: &Row) -> Result<Used, StoreError> {
    let number = |column: &str| row.try_get(column).map_err(internal);
    Ok(Used {
        active_ms: number("active_ms")?,
        cpu_ms: number("cpu_ms")?,
        written_bytes: number("written_bytes")?,
        transfer_bytes: number("transfer_bytes")?,
        logical_bytes: number("logical_bytes")?,
        storage_bytes: number("storage_bytes")?,
    })
}
