use jiff::Timestamp;
use plinth_core::{Permit, ProjectsRead};

use super::ControlPlane;
use crate::{
    BranchId, ControlPlaneError, Frame, Granularity, Project, ProjectFilter, ProjectId, Used,
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
        let mut projects = Vec::new();
        match named {
            Some(named) => {
                for id in named {
                    projects.push(self.tree(org, id).await?.project);
                }
            }
            None => projects = self.store.projects(org, filter).await?,
        }
        let ids: Vec<ProjectId> = projects.iter().map(|it| it.id.clone()).collect();
        let frames = self.store.usage(org, Some(&ids), granularity, from, to).await?;
        let of = |project: Project| {
            let own = frames.iter().filter(|it| it.project == project.id).cloned().collect();
            (project, own)
        };
        Ok(projects.into_iter().map(of).collect())
    }

    /// What all of the organization's projects used in these frames.
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
        Ok(self.store.usage(permit.org(), None, granularity, from, to).await?)
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
        let from = Granularity::Monthly.floor(self.clock.now());
        Ok(self.store.branch_usage(permit.org(), project, from).await?)
    }
}
