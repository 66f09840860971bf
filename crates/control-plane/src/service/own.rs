use plinth_core::{AllProjects, OrgId, Permit};
use secrecy::SecretString;

use super::{ControlPlane, NewProject};
use crate::{
    Change, ControlPlaneError, Database, Endpoint, Operation, OperationStatus, Person, ProjectId,
    Step, Tree,
};

/// How often another call's work on the same project is waited for.
const ATTEMPTS: usize = 40;

/// The organization's own database, with how to reach it.
pub struct OwnDatabase {
    /// The project.
    pub tree: Tree,
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The database.
    pub database: Database,
    /// Its owner's password.
    pub password: SecretString,
    /// Whether this call made it.
    pub is_new: bool,
}

impl ControlPlane {
    /// The organization's own database: made when it is first asked for, with its tables, and with the team as it is now.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::NoNode`] if no node lives; [`ControlPlaneError::Busy`] if other work on it takes too long.
    pub async fn own_database(
        &self,
        permit: &Permit<AllProjects>,
    ) -> Result<OwnDatabase, ControlPlaneError> {
        let org = permit.org();
        let mut is_new = false;
        for _ in 0..ATTEMPTS {
            let id = if let Some(id) = self.store.own_project(org).await? {
                id
            } else {
                let new = NewProject {
                    name: Some(format!("org_{org}")),
                    role: Some("org_owner".to_owned()),
                    database: Some("org".to_owned()),
                    own: true,
                    ..NewProject::default()
                };
                match self.create(permit, new).await {
                    Ok(made) => {
                        is_new = true;
                        made.outcome.tree.project.id
                    }
                    // Somebody asked at the same moment.
                    Err(ControlPlaneError::Exists { .. } | ControlPlaneError::Busy) => continue,
                    Err(err) => return Err(err),
                }
            };
            match self.show_team(permit, &id).await {
                Ok(()) => {}
                Err(ControlPlaneError::Busy | ControlPlaneError::Rule(crate::Rule::NotReady)) => {
                    tokio::time::sleep(std::time::Duration::from_millis(250)).await;
                    continue;
                }
                Err(err) => return Err(err),
            }
            let tree = self.tree(org, &id).await?;
            let missing = || ControlPlaneError::NotFound("database");
            let branch = tree.default_branch().ok_or_else(missing)?.id.clone();
            let endpoint = tree.writer_of(&branch).ok_or_else(missing)?.clone();
            let database = tree.databases_of(&branch).next().ok_or_else(missing)?.clone();
            let role = tree.role(&branch, &database.owner).ok_or_else(missing)?;
            let password = self.reveal(org, role).await?.ok_or(ControlPlaneError::NoPassword)?;
            return Ok(OwnDatabase { tree, endpoint, database, password, is_new });
        }
        Err(ControlPlaneError::Busy)
    }

    /// Makes the table of users show the team, unless it does.
    async fn show_team(
        &self,
        permit: &Permit<AllProjects>,
        id: &ProjectId,
    ) -> Result<(), ControlPlaneError> {
        let people = self.store.people(permit.org()).await?;
        let now_shown = fingerprint(&people);
        let (_, ()) = self
            .change(permit, id, async |tree, now| {
                let branch = tree.default_branch().ok_or(ControlPlaneError::NotFound("branch"))?;
                Tree::must_be_ready(branch)?;
                let mut change = Change::of(tree);
                // A look at it is told of, as the password is in the answer.
                change.entry =
                    Some(super::entry(permit, now, "own_database.revealed", "project", id, id));
                if tree.project.own_team.as_deref() == Some(now_shown.as_str()) {
                    return Ok((change, ()));
                }
                let database = tree.databases_of(&branch.id).next();
                let database = database.ok_or(ControlPlaneError::NotFound("database"))?;
                let step = Step::Own {
                    branch: branch.id.clone(),
                    database: database.name.clone(),
                    owner: database.owner.clone(),
                    people: people.clone(),
                };
                let chain: Vec<Operation> = Self::chain(tree, now, vec![step]);
                change.chain = chain;
                Ok((change, ()))
            })
            .await?;
        Ok(())
    }

    /// Makes the table of users in the organization's own database show the team, if there is one and it does not.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::Busy`] while other work on it is under way, this included: it is to be called again.
    pub async fn keep_team(&self, org: OrgId) -> Result<(), ControlPlaneError> {
        let Some(id) = self.store.own_project(org).await? else { return Ok(()) };
        let people = self.store.people(org).await?;
        let tree = self.tree(org, &id).await?;
        if tree.project.own_team.as_deref() == Some(fingerprint(&people).as_str()) {
            return Ok(());
        }
        let branch = tree.default_branch().ok_or(ControlPlaneError::NotFound("branch"))?;
        Tree::must_be_ready(branch)?;
        // Where somebody has removed it there is nothing to be shown in.
        let Some(database) = tree.databases_of(&branch.id).next() else { return Ok(()) };
        let step = Step::Own {
            branch: branch.id.clone(),
            database: database.name.clone(),
            owner: database.owner.clone(),
            people,
        };
        let chain = Self::chain(&tree, self.clock.now(), vec![step]);
        let change = Change { chain, ..Change::of(&tree) };
        self.store.commit(&change).await.map_err(|err| super::refused(err, &change))?;
        let done = self.settled(org, &id, change.chain).await?;
        let is_done = done.operations.iter().all(|it| it.status == OperationStatus::Finished);
        is_done.then_some(()).ok_or(ControlPlaneError::Busy)
    }
}

/// Which team it is, in few letters: also the version of the tables, so that newer ones are made.
pub(crate) fn fingerprint(people: &[Person]) -> String {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    const TABLES: u32 = 1;
    let mut hasher = DefaultHasher::new();
    for it in people {
        (it.id, &it.email, &it.role, it.joined_at.as_microsecond()).hash(&mut hasher);
    }
    format!("{TABLES}-{}-{:016x}", people.len(), hasher.finish())
}
