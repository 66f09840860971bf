use jiff::Timestamp;
use plinth_core::{Permit, ProjectsRead};

use super::ControlPlane;
use super::permissions::{only, within};
use crate::{
    BranchFrame, BranchId, ControlPlaneError, Frame, Granularity, Project, ProjectFilter,
    ProjectId, Used,
};

impl ControlPlane {
    /// What projects used in the frames that begin from `from` on and before `to`: of those named, or a page of all, newest
    /// first. Each project is there, also if nothing is known of it.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::NotFound`] if a named project is not the organization's.
    pub async fn consumption(
        &self,
        permit: &Permit<ProjectsRead>,
        named: Option<&[ProjectId]>,
        filter: &ProjectFilter,
        granularity: Granularity,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Vec<(Project, Vec<Frame>)>, ControlPlaneError> {
        let org = permit.org();
        let projects = self.named_or_page(permit, named, filter).await?;
        let ids: Vec<ProjectId> = projects.iter().map(|it| it.id.clone()).collect();
        let frames = self.store.usage(org, Some(&ids), granularity, from, to).await?;
        let of = |project: Project| {
            let own = frames.iter().filter(|it| it.project == project.id).cloned().collect();
            (project, own)
        };
        Ok(projects.into_iter().map(of).collect())
    }

    /// What each branch of projects used in the frames that begin from `from` on and before `to`: of those named, or of a page
    /// of all, newest first.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::NotFound`] if a named project is not the organization's.
    pub async fn consumption_by_branch(
        &self,
        permit: &Permit<ProjectsRead>,
        named: Option<&[ProjectId]>,
        filter: &ProjectFilter,
        granularity: Granularity,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<(Vec<Project>, Vec<BranchFrame>), ControlPlaneError> {
        let projects = self.named_or_page(permit, named, filter).await?;
        let ids: Vec<ProjectId> = projects.iter().map(|it| it.id.clone()).collect();
        let frames = self.store.usage_by_branch(permit.org(), &ids, granularity, from, to).await?;
        Ok((projects, frames))
    }

    async fn named_or_page(
        &self,
        permit: &Permit<ProjectsRead>,
        named: Option<&[ProjectId]>,
        filter: &ProjectFilter,
    ) -> Result<Vec<Project>, ControlPlaneError> {
        let Some(named) = named else {
            let mut filter = filter.clone();
            only(permit, &mut filter)?;
            return Ok(self.store.projects(permit.org(), &filter).await?);
        };
        let mut projects = Vec::new();
        for id in named {
            within(permit, id)?;
            projects.push(self.tree(permit.org(), id).await?.project);
        }
        Ok(projects)
    }

    /// What all of the organization's projects used in these frames; of those that the caller reaches.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn all_consumption(
        &self,
        permit: &Permit<ProjectsRead>,
        granularity: Granularity,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Vec<Frame>, ControlPlaneError> {
        let mut filter = ProjectFilter::default();
        only(permit, &mut filter)?;
        let only = filter.only.as_ref().map(std::slice::from_ref);
        Ok(self.store.usage(permit.org(), only, granularity, from, to).await?)
    }

    /// What these projects have used since the month began.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn used_this_month(
        &self,
        permit: &Permit<ProjectsRead>,
        projects: &[ProjectId],
    ) -> Result<Vec<Frame>, ControlPlaneError> {
        let (now, month) = (self.clock.now(), Granularity::Monthly);
        let from = month.floor(now);
        let to = month.end_of(from);
        Ok(self.store.usage(permit.org(), Some(projects), month, from, to).await?)
    }

    /// What each branch of a project has used since the month began.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn branches_used_this_month(
        &self,
        permit: &Permit<ProjectsRead>,
        project: &ProjectId,
    ) -> Result<Vec<(BranchId, Used)>, ControlPlaneError> {
        within(permit, project)?;
        let from = Granularity::Monthly.floor(self.clock.now());
        Ok(self.store.branch_usage(permit.org(), project, from).await?)
    }
}
