use async_trait::async_trait;
use jiff::SignedDuration;
use plinth_control_plane::{Answer, BranchId, Inquiry, InquiryStore, ProjectId, TakenInquiry};
use plinth_core::{OrgId, StoreError};
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::PostgresControlPlane;
use crate::database::{internal, store};

#[async_trait]
impl InquiryStore for PostgresControlPlane {
    async fn ask(
        &self,
        org: OrgId,
        project: &ProjectId,
        branch: &BranchId,
        inquiry: &Inquiry,
    ) -> Result<Uuid, StoreError> {
        let insert = "INSERT INTO cp_inquiries (org_id, project_id, branch_id, node, inquiry)
                      SELECT org_id, id, $3, node, $4 FROM cp_projects WHERE org_id = $1 AND id = $2
                      RETURNING id";
        self.database
            .for_org(org, async |tx| {
                let (project, branch) = (project.as_str(), branch.as_str());
                let row = tx
                    .query_opt(insert, &[&org.as_uuid(), &project, &branch, &Json(inquiry)])
                    .await
                    .map_err(store)?;
                row.map(|row| row.get(0)).ok_or_else(|| internal("the project is gone"))
            })
            .await
    }

    async fn fetch_answer(&self, org: OrgId, id: Uuid) -> Result<Option<Answer>, StoreError> {
        let fetch = "DELETE FROM cp_inquiries WHERE org_id = $1 AND id = $2 AND answer IS NOT NULL RETURNING answer";
        self.database
            .for_org(org, async |tx| {
                let fetch = tx.prepare_cached(fetch).await.map_err(store)?;
                let row = tx.query_opt(&fetch, &[&org.as_uuid(), &id]).await.map_err(store)?;
                row.map(|row| serde_json::from_str(row.get(0)).map_err(internal)).transpose()
            })
            .await
    }

    async fn forget_inquiry(&self, org: OrgId, id: Uuid) -> Result<(), StoreError> {
        let delete = "DELETE FROM cp_inquiries WHERE org_id = $1 AND id = $2";
        self.database
            .for_org(org, async |tx| {
                tx.execute(delete, &[&org.as_uuid(), &id]).await.map_err(store)?;
                Ok(())
            })
            .await
    }

    async fn take_inquiry(
        &self,
        node: &str,
        instance: Uuid,
        lease: SignedDuration,
    ) -> Result<Option<TakenInquiry>, StoreError> {
        let taken: Option<(OrgId, Uuid)> = self
            .database
            .for_nobody(async |tx| {
                let take =
                    "SELECT org_id, inquiry_id FROM cp_take_inquiry($1, $2, make_interval(secs => $3))";
                let take = tx.prepare_cached(take).await.map_err(store)?;
                let row = tx.query_opt(&take, &[&node, &instance, &lease.as_secs_f64()]).await;
                let row = row.map_err(store)?;
                Ok::<_, StoreError>(row.map(|row| (OrgId::from_uuid(row.get(0)), row.get(1))))
            })
            .await?;
        let Some((org, id)) = taken else { return Ok(None) };
        let query =
            "SELECT project_id, branch_id, inquiry FROM cp_inquiries WHERE org_id = $1 AND id = $2";
        self.database
            .for_org(org, async |tx| {
                let row = tx.query_opt(query, &[&org.as_uuid(), &id]).await.map_err(store)?;
                // Whoever asked may have gone meanwhile.
                let Some(row) = row else { return Ok(None) };
                let Json(inquiry) = row.try_get::<_, Json<Inquiry>>(2).map_err(internal)?;
                Ok(Some(TakenInquiry {
                    id,
                    org,
                    project: row.get::<_, &str>(0).parse().map_err(internal)?,
                    branch: row.get::<_, &str>(1).parse().map_err(internal)?,
                    inquiry,
                }))
            })
            .await
    }

    async fn answer(&self, org: OrgId, id: Uuid, answer: &Answer) -> Result<(), StoreError> {
        let update = "UPDATE cp_inquiries SET answer = $3 WHERE org_id = $1 AND id = $2";
        let text = serde_json::to_string(answer).map_err(internal)?;
        self.database
            .for_org(org, async |tx| {
                tx.execute(update, &[&org.as_uuid(), &id, &text]).await.map_err(store)?;
                Ok(())
            })
            .await
    }
}
