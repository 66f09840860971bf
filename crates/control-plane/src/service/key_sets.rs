use plinth_core::{Permit, ProjectsRead, ProjectsWrite};
use uuid::Uuid;

use super::{ControlPlane, entry, name};
use crate::{BranchId, Change, ControlPlaneError, KeySetRecord, Project, ProjectId, SqlName};

/// How many a project can have.
const MOST: usize = 20;
/// For how many roles one can be.
const MOST_ROLES: usize = 10;

/// A record to be made of where tokens are verified by.
#[derive(Clone, Debug, Default)]
pub struct NewKeySet {
    /// Where the keys are.
    pub url: String,
    /// What people call who issues the tokens.
    pub provider: String,
    /// For which branch; `None` for all.
    pub branch: Option<BranchId>,
    /// For whom the tokens must be.
    pub audience: Option<String>,
    /// As which roles they let somebody in.
    pub roles: Vec<String>,
}

impl ControlPlane {
    /// A project's records of where tokens are verified by, oldest first.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::NotFound`] if there is no project of that id.
    pub async fn key_sets(
        &self,
        permit: &Permit<ProjectsRead>,
        project: &ProjectId,
    ) -> Result<Vec<KeySetRecord>, ControlPlaneError> {
        Ok(self.reach(permit, project).await?.project.key_sets)
    }

    /// Makes a record, once there is a key set at its URL.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::Invalid`] if there is none, or for what breaks a rule; [`ControlPlaneError::Exists`] if the project
    /// has one of that URL for that branch.
    pub async fn add_key_set(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        new: NewKeySet,
    ) -> Result<KeySetRecord, ControlPlaneError> {
        let provider = name("provider_name", &new.provider)?;
        let audience = new.audience.as_deref().map(|it| name("jwt_audience", it)).transpose()?;
        if new.url.len() > 2048 {
            return Err(ControlPlaneError::invalid("jwks_url", "has at most 2048 bytes"));
        }
        if new.roles.len() > MOST_ROLES {
            return Err(ControlPlaneError::invalid("role_names", "are at most 10"));
        }
        let roles: Vec<_> =
            new.roles.iter().map(|it| SqlName::role(it)).collect::<Result<_, _>>()?;
        // Before anything is fetched: whoever may not change the project makes us call nobody.
        self.reach(permit, project).await?;
        let read = self.key_sets.fetch(&new.url).await;
        let read = read.map_err(|err| ControlPlaneError::invalid("jwks_url", err))?;
        if read.json["keys"].as_array().is_none_or(Vec::is_empty) {
            let rule = "what is served there is no set of keys";
            return Err(ControlPlaneError::invalid("jwks_url", rule));
        }
        let id = Uuid::new_v4();
        let changed = self.change(permit, project, async |tree, now| {
            let branch = match &new.branch {
                Some(id) => tree.branch(id),
                None => tree.default_branch(),
            };
            let branch = branch.ok_or(ControlPlaneError::NotFound("branch"))?;
            if let Some(missing) = roles.iter().find(|it| tree.role(&branch.id, it).is_none()) {
                let rule = format!("the branch has no role `{missing}`: make it first");
                return Err(ControlPlaneError::invalid("role_names", rule));
            }
            let mut changed = tree.project.clone();
            if changed.key_sets.iter().any(|it| it.url == new.url && it.branch == new.branch) {
                return Err(ControlPlaneError::Exists { kind: "jwks", name: new.url.clone() });
            }
            if changed.key_sets.len() >= MOST {
                let rule = "the project has 20 key sets, and can have no more";
                return Err(ControlPlaneError::invalid("jwks_url", rule));
            }
            let record = KeySetRecord {
                id,
                branch: new.branch.clone(),
                url: new.url.clone(),
                provider: provider.clone(),
                audience: audience.clone(),
                roles: roles.clone(),
                created_at: now,
            };
            changed.key_sets.push(record.clone());
            let changed = Project { updated_at: now, ..changed };
            let entry = entry(permit, now, "project.key_set_added", "project", project, project);
            let change =
                Change { put_project: Some(changed), entry: Some(entry), ..Change::of(tree) };
            Ok((change, record))
        });
        Ok(changed.await?.1)
    }

    /// Removes a record.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::NotFound`] if the project has none of that id.
    pub async fn remove_key_set(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        id: Uuid,
    ) -> Result<KeySetRecord, ControlPlaneError> {
        let changed = self.change(permit, project, async |tree, now| {
            let mut changed = Project { updated_at: now, ..tree.project.clone() };
            let at = changed.key_sets.iter().position(|it| it.id == id);
            let removed = changed.key_sets.remove(at.ok_or(ControlPlaneError::NotFound("jwks"))?);
            let entry = entry(permit, now, "project.key_set_removed", "project", project, project);
            let change =
                Change { put_project: Some(changed), entry: Some(entry), ..Change::of(tree) };
            Ok((change, removed))
        });
        Ok(changed.await?.1)
    }
}
