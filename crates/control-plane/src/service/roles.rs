use plinth_core::{Permit, ProjectsRead, ProjectsWrite};
use secrecy::SecretString;
use uuid::Uuid;

use super::{ControlPlane, Outcome, entry};
use crate::{
    Branch, BranchId, Change, ControlPlaneError, Database, ProjectId, Role, Rule, SqlName, Step,
    Tree, role_password,
};

fn ready<'a>(tree: &'a Tree, branch: &BranchId) -> Result<&'a Branch, ControlPlaneError> {
    let found = tree.branch(branch).ok_or(ControlPlaneError::NotFound("branch"))?;
    Tree::must_be_ready(found)?;
    Ok(found)
}

impl ControlPlane {
    /// Makes a role; its password is told now, and again where the project stores passwords.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::Exists`] if the branch has one of that name.
    pub async fn create_role(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        branch: &BranchId,
        name: &str,
        can_log_in: bool,
    ) -> Result<(Outcome, Option<SecretString>), ControlPlaneError> {
        let name = SqlName::role(name)?;
        let password = can_log_in.then(role_password).transpose()?;
        let changed = self.change(permit, project, async |tree, now| {
            ready(tree, branch)?;
            let id = Uuid::new_v4();
            let sealed = match &password {
                Some(password) => Some(self.seal(tree.project.org, id, password).await?),
                None => None,
            };
            let role = Role {
                id,
                branch: branch.clone(),
                name: name.clone(),
                password: sealed,
                created_at: now,
                updated_at: now,
            };
            let change = Change {
                roles: vec![role],
                chain: Self::chain(tree, now, vec![Step::configure(branch)]),
                entry: Some(entry(permit, now, "role.created", "role", &name, project)),
                ..Change::of(tree)
            };
            Ok((change, ()))
        });
        Ok((changed.await?.0, password))
    }

    /// A role's password.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::NotFound`] if there is no such role; [`ControlPlaneError::NoPassword`] if the project does not
    /// tell, or the role has none.
    pub async fn reveal_password(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        branch: &BranchId,
        name: &SqlName,
    ) -> Result<SecretString, ControlPlaneError> {
        let tree = self.reach(permit, project).await?;
        tree.branch(branch).ok_or(ControlPlaneError::NotFound("branch"))?;
        let role = tree.role(branch, name).ok_or(ControlPlaneError::NotFound("role"))?;
        if !tree.project.store_passwords {
            return Err(ControlPlaneError::NoPassword);
        }
        self.reveal(tree.project.org, role).await?.ok_or(ControlPlaneError::NoPassword)
    }

    /// The passwords of a branch's roles, for connection strings; none where the project does not tell.
    ///
    /// # Errors
    ///
    /// If one cannot be opened.
    pub async fn passwords(
        &self,
        _: &Permit<ProjectsWrite>,
        tree: &Tree,
        branch: &BranchId,
    ) -> Result<Vec<(SqlName, SecretString)>, ControlPlaneError> {
        let mut all = Vec::new();
        if tree.project.store_passwords {
            for role in tree.roles_of(branch) {
                if let Some(password) = self.reveal(tree.project.org, role).await? {
                    all.push((role.name.clone(), password));
                }
            }
        }
        Ok(all)
    }

    /// Gives a role a new password; its sessions are cut.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::NotFound`] if there is no such role.
    pub async fn reset_password(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        branch: &BranchId,
        name: &SqlName,
    ) -> Result<(Outcome, SecretString), ControlPlaneError> {
        let password = role_password()?;
        let changed = self.change(permit, project, async |tree, now| {
            ready(tree, branch)?;
            let role = tree.role(branch, name).ok_or(ControlPlaneError::NotFound("role"))?;
            let sealed = self.seal(tree.project.org, role.id, &password).await?;
            let mut step = Step::configure(branch);
            if let Step::Configure { cut_sessions_of, .. } = &mut step {
                *cut_sessions_of = Some(name.clone());
            }
            let role = Role { password: Some(sealed), updated_at: now, ..role.clone() };
            let change = Change {
                roles: vec![role],
                chain: Self::chain(tree, now, vec![step]),
                entry: Some(entry(permit, now, "role.password_reset", "role", name, project)),
                ..Change::of(tree)
            };
            Ok((change, ()))
        });
        Ok((changed.await?.0, password))
    }

    /// Deletes a role; what it owns goes to the owner of the database. `None` if it is not there.
    ///
    /// # Errors
    ///
    /// [`Rule::RoleOwnsDatabase`] while it owns a database.
    pub async fn delete_role(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        branch: &BranchId,
        name: &SqlName,
    ) -> Result<Option<(Outcome, Role)>, ControlPlaneError> {
        let tree = self.reach(permit, project).await?;
        tree.branch(branch).ok_or(ControlPlaneError::NotFound("branch"))?;
        let Some(role) = tree.role(branch, name).cloned() else { return Ok(None) };
        let changed = self.change(permit, project, async |tree, now| {
            ready(tree, branch)?;
            if tree.databases_of(branch).any(|it| it.owner == *name) {
                return Err(Rule::RoleOwnsDatabase.into());
            }
            let step = Step::Configure {
                branch: branch.clone(),
                drop_roles: vec![name.clone()],
                drop_databases: Vec::new(),
                rename_database: None,
                cut_sessions_of: None,
            };
            let change = Change {
                remove_roles: vec![role.id],
                chain: Self::chain(tree, now, vec![step]),
                entry: Some(entry(permit, now, "role.deleted", "role", name, project)),
                ..Change::of(tree)
            };
            Ok((change, ()))
        });
        let outcome = changed.await?.0;
        Ok(Some((outcome, role)))
    }

    /// Makes a database.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::Exists`] if the branch has one of that name.
    pub async fn create_database(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        branch: &BranchId,
        name: &str,
        owner: &str,
    ) -> Result<(Outcome, SqlName), ControlPlaneError> {
        let (name, owner) = (SqlName::database(name)?, SqlName::role(owner)?);
        let changed = self.change(permit, project, async |tree, now| {
            ready(tree, branch)?;
            tree.role(branch, &owner).ok_or(ControlPlaneError::NotFound("role"))?;
            let database = Database {
                id: 0,
                branch: branch.clone(),
                name: name.clone(),
                owner: owner.clone(),
                created_at: now,
                updated_at: now,
            };
            let change = Change {
                databases: vec![database],
                chain: Self::chain(tree, now, vec![Step::configure(branch)]),
                entry: Some(entry(permit, now, "database.created", "database", &name, project)),
                ..Change::of(tree)
            };
            Ok((change, ()))
        });
        Ok((changed.await?.0, name))
    }

    /// Renames a database or gives it another owner; a renaming cuts its sessions.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::NotFound`] if there is no such database or role.
    pub async fn update_database(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        branch: &BranchId,
        database: &SqlName,
        name: Option<&str>,
        owner: Option<&str>,
    ) -> Result<(Outcome, SqlName), ControlPlaneError> {
        let name = name.map(SqlName::database).transpose()?;
        let owner = owner.map(SqlName::role).transpose()?;
        let changed = self.change(permit, project, async |tree, now| {
            ready(tree, branch)?;
            let found = tree.database(branch, database);
            let mut found = found.ok_or(ControlPlaneError::NotFound("database"))?.clone();
            if let Some(owner) = &owner {
                tree.role(branch, owner).ok_or(ControlPlaneError::NotFound("role"))?;
                found.owner = owner.clone();
            }
            if let Some(name) = &name {
                found.name = name.clone();
            }
            found.updated_at = now;
            let now_called = found.name.clone();
            let renamed = (now_called != *database).then(|| (database.clone(), now_called.clone()));
            let step = Step::Configure {
                branch: branch.clone(),
                drop_roles: Vec::new(),
                drop_databases: Vec::new(),
                rename_database: renamed,
                cut_sessions_of: None,
            };
            let change = Change {
                databases: vec![found],
                chain: Self::chain(tree, now, vec![step]),
                entry: Some(entry(permit, now, "database.updated", "database", database, project)),
                ..Change::of(tree)
            };
            Ok((change, now_called))
        });
        changed.await
    }

    /// Deletes a database with everything in it. `None` if it is not there.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::Busy`] while other operations are under way.
    pub async fn delete_database(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        branch: &BranchId,
        name: &SqlName,
    ) -> Result<Option<(Outcome, Database)>, ControlPlaneError> {
        let tree = self.reach(permit, project).await?;
        tree.branch(branch).ok_or(ControlPlaneError::NotFound("branch"))?;
        let Some(found) = tree.database(branch, name).cloned() else { return Ok(None) };
        let changed = self.change(permit, project, async |tree, now| {
            ready(tree, branch)?;
            let step = Step::Configure {
                branch: branch.clone(),
                drop_roles: Vec::new(),
                drop_databases: vec![name.clone()],
                rename_database: None,
                cut_sessions_of: None,
            };
            let change = Change {
                remove_databases: vec![found.id],
                chain: Self::chain(tree, now, vec![step]),
                entry: Some(entry(permit, now, "database.deleted", "database", name, project)),
                ..Change::of(tree)
            };
            Ok((change, ()))
        });
        let outcome = changed.await?.0;
        Ok(Some((outcome, found)))
    }

    /// Whether the caller may see a branch's roles and databases; gives the project.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::NotFound`] if there is no such branch.
    pub async fn with_branch(
        &self,
        permit: &Permit<ProjectsRead>,
        project: &ProjectId,
        branch: &BranchId,
    ) -> Result<Tree, ControlPlaneError> {
        let tree = self.reach(permit, project).await?;
        tree.branch(branch).ok_or(ControlPlaneError::NotFound("branch"))?;
        Ok(tree)
    }
}
