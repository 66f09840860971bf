use jiff::Timestamp;
use plinth_core::{Permit, ProjectsWrite};
use secrecy::SecretString;

use super::inherit::inherit;
use super::projects::new_endpoint;
use super::{ControlPlane, EndpointPatch, Outcome, entry, name, refused};
use crate::{
    Branch, BranchId, BranchState, Change, ControlPlaneError, Endpoint, EndpointKind,
    EndpointState, Lsn, Point, ProjectId, Rule, SqlName, Step, Tree,
};

/// How many endpoints a branch can be made with.
const MOST_ENDPOINTS: usize = 8;

/// A branch to be made.
#[derive(Clone, Debug, Default)]
pub struct NewBranch {
    /// What it is made from; the default branch if not said.
    pub parent: Option<BranchId>,
    /// Its name; its id if not said.
    pub name: Option<String>,
    /// With the parent's roles, databases and definitions, and none of its rows: not a child of it then.
    pub schema_only: bool,
    /// As of which place in the parent's log.
    pub lsn: Option<Lsn>,
    /// As of when.
    pub timestamp: Option<Timestamp>,
    /// See [`Branch::protected`].
    pub protected: bool,
    /// See [`Branch::expires_at`].
    pub expires_at: Option<Timestamp>,
    /// Endpoints that it gets at once: at most one that writes.
    pub endpoints: Vec<(EndpointKind, EndpointPatch)>,
}

/// What is to be changed about a branch.
#[derive(Clone, Debug, Default)]
pub struct BranchPatch {
    /// Another name.
    pub name: Option<String>,
    /// See [`Branch::protected`].
    pub protected: Option<bool>,
    /// See [`Branch::expires_at`]; `Some(None)` for never.
    pub expires_at: Option<Option<Timestamp>>,
}

/// How a branch is to be set back.
#[derive(Clone, Debug)]
pub struct Restore {
    /// From which branch; from itself as well.
    pub source: BranchId,
    /// As of which place in the source's log.
    pub lsn: Option<Lsn>,
    /// As of when.
    pub timestamp: Option<Timestamp>,
    /// Under which name what was is kept.
    pub preserve_under_name: Option<String>,
}

/// A branch that was made.
pub struct BranchCreated {
    /// The project, and what is done about it.
    pub outcome: Outcome,
    /// The branch.
    pub branch: BranchId,
    /// The passwords of its roles, as far as the project tells them.
    pub passwords: Vec<(SqlName, SecretString)>,
}

impl ControlPlane {
    /// Makes a branch from another, which goes on meanwhile. Roles, passwords and databases are the parent's.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::Exists`] if the project has a branch of that name; [`Rule::NotReady`] while the parent is being
    /// made; [`Rule::OutOfHistory`] for a point that is not in the parent's history.
    pub async fn create_branch(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        new: NewBranch,
    ) -> Result<BranchCreated, ControlPlaneError> {
        let point = point(new.lsn, new.timestamp)?;
        let changed = self.change(permit, project, async |tree, now| {
            let parent = match &new.parent {
                Some(id) => tree.branch(id),
                None => tree.default_branch(),
            };
            let parent = parent.ok_or(ControlPlaneError::NotFound("branch"))?;
            Tree::must_be_ready(parent)?;
            in_history(tree, parent, point, now)?;
            if new.schema_only && point != Point::Head {
                let rule = "schema-only branches are made of what the parent is now";
                return Err(ControlPlaneError::invalid("init_source", rule));
            }
            if new.expires_at.is_some_and(|it| it <= now) {
                return Err(ControlPlaneError::invalid("expires_at", "must be in the future"));
            }
            if new.expires_at.is_some() && new.protected {
                return Err(Rule::NeverExpires.into());
            }
            let id = BranchId::random()?;
            let called = match &new.name {
                Some(text) => name("name", text)?,
                None => id.to_string(),
            };
            taken(tree, &called, None)?;
            let branch = Branch {
                parent: (!new.schema_only).then(|| parent.id.clone()),
                schema_only: new.schema_only,
                parent_lsn: new.lsn,
                parent_timestamp: new.timestamp,
                protected: new.protected,
                expires_at: new.expires_at,
                ..Branch::new(id.clone(), project.clone(), called, permit.user(), now)
            };
            let mut with = tree.clone();
            with.branches.push(branch.clone());
            let (roles, databases) =
                inherit(&self.vault, tree, &parent.id, &id, point, now).await?;
            let (branch_id, source) = (id.clone(), parent.id.clone());
            let mut steps = vec![if new.schema_only {
                Step::CopySchema { branch: branch_id, source }
            } else {
                Step::Copy { branch: branch_id, source, point }
            }];
            let mut endpoints = Vec::new();
            let mut wanted: Vec<_> = new.endpoints.iter().collect();
            // The one that writes first: the others follow what its settings are.
            wanted.sort_by_key(|it| it.0 != EndpointKind::ReadWrite);
            if wanted.iter().filter(|it| it.0 == EndpointKind::ReadWrite).count() > 1 {
                return Err(Rule::SecondReadWrite.into());
            }
            if wanted.len() > MOST_ENDPOINTS {
                return Err(ControlPlaneError::invalid("endpoints", "are at most 8"));
            }
            for (kind, patch) in wanted {
                let node = self.node_of(&tree.project.node).await?;
                let ports = |it: &Endpoint| [Some(it.port), it.pooled_port()].into_iter().flatten();
                let port = self.free_port(&node, endpoints.iter().flat_map(ports));
                let mut endpoint = new_endpoint(tree, &id, port.await?, None, now)?;
                endpoint.kind = *kind;
                patch.apply(&mut endpoint)?;
                steps.push(Step::Start { endpoint: endpoint.id.clone() });
                with.endpoints.push(endpoint.clone());
                endpoints.push(endpoint);
            }
            if point != Point::Head {
                steps.push(Step::configure(&id));
            }
            let change = Change {
                branches: vec![branch],
                endpoints,
                roles,
                databases,
                chain: Self::chain(&with, now, steps),
                entry: Some(entry(permit, now, "branch.created", "branch", &id, project)),
                ..Change::of(tree)
            };
            Ok((change, id))
        });
        let (outcome, branch) = changed.await?;
        let passwords = self.passwords(permit, &outcome.tree, &branch).await?;
        Ok(BranchCreated { outcome, branch, passwords })
    }

    /// Changes a branch's record.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::Exists`] if the project has a branch of that name.
    pub async fn update_branch(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        id: &BranchId,
        patch: BranchPatch,
    ) -> Result<Outcome, ControlPlaneError> {
        let changed = self.change(permit, project, async |tree, now| {
            let mut branch = tree.branch(id).ok_or(ControlPlaneError::NotFound("branch"))?.clone();
            if let Some(text) = &patch.name {
                branch.name = name("name", text)?;
                taken(tree, &branch.name, Some(id))?;
            }
            if let Some(protected) = patch.protected {
                branch.protected = protected;
            }
            if let Some(expires_at) = patch.expires_at {
                if expires_at.is_some_and(|it| it <= now) {
                    return Err(ControlPlaneError::invalid("expires_at", "must be in the future"));
                }
                branch.expires_at = expires_at;
            }
            // It could not go when its time has come.
            if branch.expires_at.is_some()
                && (patch.expires_at.is_some() || patch.protected.is_some())
            {
                tree.may_delete(&branch).map_err(|_| Rule::NeverExpires)?;
            }
            branch.updated_at = now;
            // Who may come may depend on whether it is protected.
            let steps = if patch.protected.is_none()
                || tree.project.settings["allowed_ips"]["protected_branches_only"] != true
            {
                Vec::new()
            } else {
                tree.endpoints_of(id).map(|it| Step::Reopen { endpoint: it.id.clone() }).collect()
            };
            let change = Change {
                branches: vec![branch],
                chain: Self::chain(tree, now, steps),
                entry: Some(entry(permit, now, "branch.updated", "branch", id, project)),
                ..Change::of(tree)
            };
            Ok((change, ()))
        });
        Ok(changed.await?.0)
    }

    /// Makes a branch the one to use when nobody says which.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::NotFound`] if there is none of that id.
    pub async fn set_default(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        id: &BranchId,
    ) -> Result<Outcome, ControlPlaneError> {
        let changed = self.change(permit, project, async |tree, now| {
            let branch = tree.branch(id).ok_or(ControlPlaneError::NotFound("branch"))?;
            if branch.expires_at.is_some() {
                return Err(Rule::NeverExpires.into());
            }
            let mut branches = Vec::new();
            for branch in tree.branches.iter().filter(|it| it.is_default != (it.id == *id)) {
                let is_default = branch.id == *id;
                branches.push(Branch { is_default, updated_at: now, ..branch.clone() });
            }
            // The old one first: two at once are none.
            branches.sort_by_key(|it| it.is_default);
            let entry = entry(permit, now, "branch.set_as_default", "branch", id, project);
            Ok((Change { branches, entry: Some(entry), ..Change::of(tree) }, ()))
        });
        Ok(changed.await?.0)
    }

    /// Deletes a branch with its endpoints. Its files stay for a week, unless `hard`. `None` if it is not there.
    ///
    /// # Errors
    ///
    /// The [`Rule`] that forbids it.
    pub async fn delete_branch(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        id: &BranchId,
        hard: bool,
    ) -> Result<Option<(Outcome, Branch)>, ControlPlaneError> {
        let tree = self.reach(permit, project).await?;
        if tree.branch(id).is_none() {
            return Ok(None);
        }
        let changed = self.change(permit, project, async |tree, now| {
            let branch = tree.branch(id).ok_or(ControlPlaneError::NotFound("branch"))?;
            tree.may_delete(branch)?;
            let mut branch = branch.clone();
            (branch.deleted_at, branch.updated_at) = (Some(now), now);
            branch.recoverable = !hard;
            let mut steps: Vec<_> =
                tree.endpoints_of(id).map(|it| Step::Close { endpoint: it.id.clone() }).collect();
            if hard {
                steps.push(Step::Remove { branch: id.clone() });
            }
            let change = Change {
                branches: vec![branch.clone()],
                chain: Self::chain(tree, now, steps),
                entry: Some(entry(permit, now, "branch.deleted", "branch", id, project)),
                ..Change::of(tree)
            };
            Ok((change, branch))
        });
        changed.await.map(Some)
    }

    /// Sets a branch to another's state, or to an earlier one of its own. It keeps its id, its endpoint and its address.
    ///
    /// # Errors
    ///
    /// The [`Rule`] that forbids it; [`ControlPlaneError::Exists`] for the name that is to be preserved.
    pub async fn restore_branch(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        id: &BranchId,
        restore: Restore,
    ) -> Result<Outcome, ControlPlaneError> {
        let point = point(restore.lsn, restore.timestamp)?;
        let changed = self.change(permit, project, async |tree, now| {
            let branch = tree.branch(id).ok_or(ControlPlaneError::NotFound("branch"))?;
            let source = tree.branch(&restore.source);
            let source = source.ok_or(ControlPlaneError::NotFound("branch"))?;
            if branch.protected {
                return Err(Rule::ResetProtected.into());
            }
            Tree::must_be_ready(branch)?;
            Tree::must_be_ready(source)?;
            let of_itself = source.id == branch.id;
            if of_itself && point == Point::Head {
                let rule = "a branch is restored from itself by source_timestamp or source_lsn";
                return Err(ControlPlaneError::invalid("source_timestamp", rule));
            }
            if restore.preserve_under_name.is_none() && (of_itself || tree.has_children(id)) {
                return Err(Rule::PreserveNeeded.into());
            }
            in_history(tree, source, point, now)?;
            let mut change = Change::of(tree);
            let mut with = tree.clone();
            let mut set_back = Branch {
                state: BranchState::Resetting,
                pending: Some(BranchState::Ready),
                state_changed_at: now,
                updated_at: now,
                last_reset_at: Some(now),
                ..branch.clone()
            };
            let preserve = match &restore.preserve_under_name {
                Some(text) => {
                    let called = name("preserve_under_name", text)?;
                    taken(tree, &called, None)?;
                    let kept_id = BranchId::random()?;
                    let kept = Branch {
                        id: kept_id.clone(),
                        name: called,
                        is_default: false,
                        state: BranchState::Init,
                        pending: Some(BranchState::Ready),
                        created_at: now,
                        created_by: permit.user(),
                        ..set_back.clone()
                    };
                    // What was made from it was made from what it was.
                    for child in tree.branches.iter().filter(|it| it.parent.as_ref() == Some(id)) {
                        let parent = Some(kept_id.clone());
                        change.branches.push(Branch { parent, updated_at: now, ..child.clone() });
                    }
                    if branch.parent.is_some() {
                        set_back.parent = Some(kept_id.clone());
                    }
                    let (roles, databases) =
                        inherit(&self.vault, tree, id, &kept_id, Point::Head, now).await?;
                    change.roles.extend(roles);
                    change.databases.extend(databases);
                    with.branches.push(kept.clone());
                    change.branches.push(kept);
                    Some(kept_id)
                }
                None => None,
            };
            if !of_itself {
                set_back.schema_only = false;
                if branch.parent.is_some() {
                    set_back.parent = Some(source.id.clone());
                }
                change.remove_roles = tree.roles_of(id).map(|it| it.id).collect();
                change.remove_databases = tree.databases_of(id).map(|it| it.id).collect();
                let (roles, databases) =
                    inherit(&self.vault, tree, &source.id, id, point, now).await?;
                change.roles.extend(roles);
                change.databases.extend(databases);
            }
            (set_back.parent_lsn, set_back.parent_timestamp) = (restore.lsn, restore.timestamp);
            change.branches.push(set_back);
            let source = source.id.clone();
            let mut steps = vec![Step::Replace { branch: id.clone(), source, point, preserve }];
            if let Some(endpoint) = tree.writer_of(id) {
                steps.push(Step::Start { endpoint: endpoint.id.clone() });
                change.endpoints.push(crate::Endpoint {
                    pending: Some(EndpointState::Active),
                    ..endpoint.clone()
                });
            }
            steps.push(Step::configure(id));
            change.chain = Self::chain(&with, now, steps);
            change.entry = Some(entry(permit, now, "branch.restored", "branch", id, project));
            Ok((change, ()))
        });
        Ok(changed.await?.0)
    }

    /// Brings a deleted branch back, without its endpoints.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::NotFound`] if there is none of that id, or its week is over; [`ControlPlaneError::Exists`] if its
    /// name is taken meanwhile.
    pub async fn recover_branch(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        id: &BranchId,
    ) -> Result<Outcome, ControlPlaneError> {
        let now = self.clock.now();
        let tree = self.reach(permit, project).await?;
        let org = tree.project.org;
        let since = now - crate::RECOVERABLE;
        let found = self.store.deleted_branch(org, project, id, since).await?;
        let mut branch = found.ok_or(ControlPlaneError::NotFound("branch"))?;
        taken(&tree, &branch.name, None)?;
        if branch.parent.as_ref().is_some_and(|it| tree.branch(it).is_none()) {
            branch.parent = None;
        }
        (branch.deleted_at, branch.updated_at) = (None, now);
        // It would go again at once.
        branch.expires_at = branch.expires_at.filter(|it| *it > now);
        let mut recovered = entry(permit, now, "branch.recovered", "branch", id, project);
        recovered.org = org;
        let change = Change { branches: vec![branch], entry: Some(recovered), ..Change::of(&tree) };
        self.store.commit(&change).await.map_err(|err| refused(err, &change))?;
        self.settled(org, project, Vec::new()).await
    }
}

pub(super) fn point(
    lsn: Option<Lsn>,
    timestamp: Option<Timestamp>,
) -> Result<Point, ControlPlaneError> {
    match (lsn, timestamp) {
        (None, None) => Ok(Point::Head),
        (Some(lsn), None) => Ok(Point::Lsn(lsn)),
        (None, Some(at)) => Ok(Point::Time(at)),
        (Some(_), Some(_)) => {
            Err(ControlPlaneError::invalid("lsn", "give a timestamp or an LSN, not both"))
        }
    }
}

/// Whether a point is in a branch's history as far as the rows can tell; the node looks again, with the files before it.
pub(super) fn in_history(
    tree: &Tree,
    branch: &Branch,
    point: Point,
    now: Timestamp,
) -> Result<(), ControlPlaneError> {
    let Point::Time(at) = point else { return Ok(()) };
    let kept = jiff::SignedDuration::from_secs(tree.project.history_retention_seconds.into());
    if at > now || at < branch.created_at || at < now - kept {
        return Err(Rule::OutOfHistory.into());
    }
    Ok(())
}

pub(super) fn taken(
    tree: &Tree,
    name: &str,
    but: Option<&BranchId>,
) -> Result<(), ControlPlaneError> {
    if tree.branches.iter().any(|it| it.name == name && Some(&it.id) != but) {
        return Err(ControlPlaneError::Exists { kind: "branch", name: name.to_owned() });
    }
    Ok(())
}
