use plinth_core::{AllProjects, Credential, Permit, Principal, ProjectsRead};
use plinth_tenancy::Email;
use uuid::Uuid;

use super::{ControlPlane, entry};
use crate::{
    ChangeError, ControlPlaneError, ProjectFilter, ProjectId, ProjectPermission, Rule, Tree,
};

impl ControlPlane {
    /// A project that the caller may use: their organization's, or one that is shared with them.
    pub(super) async fn reach<P>(
        &self,
        permit: &Permit<P>,
        project: &ProjectId,
    ) -> Result<Tree, ControlPlaneError> {
        within(permit, project)?;
        match self.tree(permit.org(), project).await {
            Err(ControlPlaneError::NotFound(_)) if is_vouched_for(permit.principal()) => {}
            other => return other,
        }
        let shared = self.store.shared_with(permit.user()).await?;
        let found = shared.into_iter().find(|it| it.1 == *project);
        let (org, _) = found.ok_or(ControlPlaneError::NotFound("project"))?;
        self.tree(org, project).await
    }

    /// The projects of other organizations that are shared with the caller.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn shared(
        &self,
        permit: &Permit<ProjectsRead>,
    ) -> Result<Vec<Tree>, ControlPlaneError> {
        let mut all = Vec::new();
        if !is_vouched_for(permit.principal()) {
            return Ok(all);
        }
        for (org, project) in self.store.shared_with(permit.user()).await? {
            if org == permit.org() {
                continue;
            }
            match self.tree(org, &project).await {
                Ok(tree) => all.push(tree),
                // It went a moment ago.
                Err(ControlPlaneError::NotFound(_)) => {}
                Err(err) => return Err(err),
            }
        }
        Ok(all)
    }

    /// With whom a project of the caller's organization is shared, oldest first.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::NotFound`] if the organization has no project of that id.
    pub async fn permissions(
        &self,
        permit: &Permit<ProjectsRead>,
        project: &ProjectId,
    ) -> Result<Vec<ProjectPermission>, ControlPlaneError> {
        within(permit, project)?;
        self.tree(permit.org(), project).await?;
        Ok(self.store.permissions(permit.org(), project).await?)
    }

    /// Shares a project of the caller's organization with whoever has that address. They use it with what their own
    /// organization lets them, and can neither delete it nor give it to others.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::Exists`] if it is shared with them; [`Rule::OwnDatabase`] for the organization's own.
    pub async fn grant(
        &self,
        permit: &Permit<AllProjects>,
        project: &ProjectId,
        email: Email,
    ) -> Result<ProjectPermission, ControlPlaneError> {
        let tree = self.tree(permit.org(), project).await?;
        if tree.project.own_team.is_some() {
            return Err(Rule::OwnDatabase.into());
        }
        let now = self.clock.now();
        let permission = ProjectPermission {
            id: Uuid::new_v4(),
            org: permit.org(),
            project: project.clone(),
            email,
            granted_by: permit.user(),
            granted_at: now,
            revoked_at: None,
        };
        let entry = entry(permit, now, "project.shared", "project", project, project);
        let entry = entry.with(serde_json::json!({ "email": permission.email.as_str() }));
        match self.store.grant(&permission, &entry).await {
            Ok(()) => Ok(permission),
            Err(ChangeError::Store(err)) => Err(err.into()),
            Err(_) => {
                let name = permission.email.as_str().to_owned();
                Err(ControlPlaneError::Exists { kind: "permission", name })
            }
        }
    }

    /// Ends that a project is shared: from the next call on.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::NotFound`] if there is no such permission that stands.
    pub async fn revoke_permission(
        &self,
        permit: &Permit<AllProjects>,
        project: &ProjectId,
        id: Uuid,
    ) -> Result<ProjectPermission, ControlPlaneError> {
        self.tree(permit.org(), project).await?;
        let now = self.clock.now();
        let entry = entry(permit, now, "project.unshared", "project", project, project);
        let ended = self.store.revoke(permit.org(), project, id, now, &entry).await?;
        ended.ok_or(ControlPlaneError::NotFound("permission"))
    }
}

/// Whether it is certain that the caller is whose address they have: an app acts for its own organization, and an outside
/// provider of one organization says nothing to another. A key for one project reaches none of another organization.
fn is_vouched_for(caller: &Principal) -> bool {
    let is_theirs = matches!(caller.credential, Credential::Session(_) | Credential::Key(_));
    is_theirs && caller.project.is_none()
}

/// Whether the caller's credential reaches a project; for one that it does not reach there is none.
pub(super) fn within<P>(permit: &Permit<P>, project: &ProjectId) -> Result<(), ControlPlaneError> {
    let only = permit.principal().project.as_deref();
    let reaches = only.is_none_or(|it| it == project.as_str());
    reaches.then_some(()).ok_or(ControlPlaneError::NotFound("project"))
}

/// Leaves of a list what the caller's credential reaches.
pub(super) fn only<P>(
    permit: &Permit<P>,
    filter: &mut ProjectFilter,
) -> Result<(), ControlPlaneError> {
    let only = permit.principal().project.as_deref().map(str::parse);
    filter.only = only.transpose()?;
    Ok(())
}
