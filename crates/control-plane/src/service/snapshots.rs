use jiff::Timestamp;
use plinth_connections::Vault;
use plinth_core::{Permit, ProjectsRead, ProjectsWrite, UserId};

use super::branches::{in_history, point, taken};
use super::inherit::inherit;
use super::projects::new_endpoint;
use super::{ControlPlane, Outcome, entry, name};
use crate::{
    BackupItem, Branch, BranchId, BranchState, Change, ControlPlaneError, Lsn, Point, ProjectId,
    Rule, Snapshot, Step, Tree,
};

/// How many lines a schedule has at most.
const MOST_BACKUPS: usize = 10;

/// A snapshot to be taken.
#[derive(Clone, Debug, Default)]
pub struct NewSnapshot {
    /// Its name; made of the branch's and the time if not said.
    pub name: Option<String>,
    /// As of which place in the branch's log.
    pub lsn: Option<Lsn>,
    /// As of when.
    pub timestamp: Option<Timestamp>,
    /// When it is deleted by itself.
    pub expires_at: Option<Timestamp>,
}

/// What is to be changed about a snapshot.
#[derive(Clone, Debug, Default)]
pub struct SnapshotPatch {
    /// Another name.
    pub name: Option<String>,
    /// When it is deleted by itself; `Some(None)` for never.
    pub expires_at: Option<Option<Timestamp>>,
}

/// How a snapshot's state is to be had again.
#[derive(Clone, Debug, Default)]
pub struct RestoreSnapshot {
    /// The new branch's name; made of the snapshot's if not said.
    pub name: Option<String>,
    /// In whose place it is to come; the branch that the snapshot is of if not said.
    pub target: Option<BranchId>,
    /// Whether it takes that place at once.
    pub finalize: bool,
}

impl ControlPlane {
    /// A project's snapshots, newest first.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::NotFound`] if the organization has no project of that id.
    pub async fn snapshots(
        &self,
        permit: &Permit<ProjectsRead>,
        project: &ProjectId,
    ) -> Result<Vec<Snapshot>, ControlPlaneError> {
        let mut all = self.reach(permit, project).await?.snapshots;
        all.reverse();
        Ok(all)
    }

    /// Keeps a branch's state, now or as of a point of its history; the branch goes on meanwhile.
    ///
    /// # Errors
    ///
    /// [`Rule::NotReady`] while the branch is being made; [`Rule::OutOfHistory`] for a point that is not in its history.
    pub async fn create_snapshot(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        branch: &BranchId,
        new: NewSnapshot,
    ) -> Result<(Outcome, BranchId), ControlPlaneError> {
        let point = point(new.lsn, new.timestamp)?;
        let changed = self.change(permit, project, async |tree, now| {
            let source = tree.branch(branch).ok_or(ControlPlaneError::NotFound("branch"))?;
            in_history(tree, source, point, now)?;
            in_future(new.expires_at, now)?;
            let called = match &new.name {
                Some(text) => name("name", text)?,
                None => usual_name(source, now),
            };
            let taking = Taking { point, by: permit.user(), name: called, manual: true };
            let mut change = take(&self.vault, tree, source, taking, new.expires_at, now).await?;
            let id = change.snapshots[0].files.id.clone();
            let made = entry(permit, now, "snapshot.created", "snapshot", &id, project);
            change.entry = Some(made);
            Ok((change, id))
        });
        changed.await
    }

    /// Changes a snapshot's record.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::NotFound`] if the project has none of that id.
    pub async fn update_snapshot(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        id: &BranchId,
        patch: SnapshotPatch,
    ) -> Result<Outcome, ControlPlaneError> {
        let changed = self.change(permit, project, async |tree, now| {
            let mut it = tree.snapshot(id).ok_or(ControlPlaneError::NotFound("snapshot"))?.clone();
            if let Some(text) = &patch.name {
                it.name = name("name", text)?;
            }
            if let Some(expires_at) = patch.expires_at {
                in_future(expires_at, now)?;
                it.files.expires_at = expires_at;
            }
            it.files.updated_at = now;
            let entry = entry(permit, now, "snapshot.updated", "snapshot", id, project);
            Ok((Change { snapshots: vec![it], entry: Some(entry), ..Change::of(tree) }, ()))
        });
        Ok(changed.await?.0)
    }

    /// Deletes a snapshot with its files. Branches that were restored from it stay.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::NotFound`] if the project has none of that id.
    pub async fn delete_snapshot(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        id: &BranchId,
    ) -> Result<Outcome, ControlPlaneError> {
        let changed = self.change(permit, project, async |tree, now| {
            let it = tree.snapshot(id).ok_or(ControlPlaneError::NotFound("snapshot"))?;
            let mut change = remove(tree, it, now);
            change.entry = Some(entry(permit, now, "snapshot.deleted", "snapshot", id, project));
            Ok((change, ()))
        });
        Ok(changed.await?.0)
    }

    /// Makes a branch of a snapshot's state, with an endpoint to look at it; or puts it in the place of another at once.
    ///
    /// # Errors
    ///
    /// [`Rule::NotReady`] while the snapshot is being taken; [`ControlPlaneError::Exists`] if a branch has that name;
    /// [`Rule::NothingToReplace`] if it is to be finalized, and the branch in whose place it would come is gone;
    /// [`Rule::ResetProtected`] if that is protected.
    pub async fn restore_snapshot(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        id: &BranchId,
        restore: RestoreSnapshot,
    ) -> Result<(Outcome, BranchId), ControlPlaneError> {
        let changed = self.change(permit, project, async |tree, now| {
            let snapshot = tree.snapshot(id).ok_or(ControlPlaneError::NotFound("snapshot"))?;
            Tree::must_be_ready(&snapshot.files)?;
            let target = match &restore.target {
                Some(id) => Some(tree.branch(id).ok_or(ControlPlaneError::NotFound("branch"))?),
                None => snapshot.files.parent.as_ref().and_then(|it| tree.branch(it)),
            };
            if restore.finalize {
                may_replace(target)?;
            }
            let branch = BranchId::random()?;
            let called = match &restore.name {
                Some(text) => name("name", text)?,
                None => tree.free_name(&cut(&format!("{}_restored", snapshot.name))),
            };
            taken(tree, &called, None)?;
            let made = Branch {
                restored_from: Some(id.clone()),
                restored_as: target.map(|it| it.id.clone()),
                ..Branch::new(branch.clone(), project.clone(), called, permit.user(), now)
            };
            let (roles, databases) =
                inherit(&self.vault, tree, id, &branch, Point::Head, now).await?;
            let mut with = tree.clone();
            with.branches.push(made.clone());
            let mut steps =
                vec![Step::Copy { branch: branch.clone(), source: id.clone(), point: Point::Head }];
            let mut endpoints = Vec::new();
            if let Some(target) = target.filter(|_| restore.finalize) {
                steps.push(Step::Finalize {
                    branch: branch.clone(),
                    target: target.id.clone(),
                    old_name: old_name(tree, target, None, now)?,
                });
            } else {
                let port = self.free_port(&self.node_of(&tree.project.node).await?, []).await?;
                let endpoint = new_endpoint(tree, &branch, port, None, now)?;
                steps.push(Step::Start { endpoint: endpoint.id.clone() });
                with.endpoints.push(endpoint.clone());
                endpoints.push(endpoint);
            }
            let change = Change {
                branches: vec![made],
                endpoints,
                roles,
                databases,
                chain: Self::chain(&with, now, steps),
                entry: Some(entry(permit, now, "snapshot.restored", "snapshot", id, project)),
                ..Change::of(tree)
            };
            Ok((change, branch))
        });
        changed.await
    }

    /// Puts a branch that was restored from a snapshot in the place of another: it gets that one's name and endpoints, and is
    /// the default if that was. The other stays, under another name.
    ///
    /// # Errors
    ///
    /// [`Rule::NotRestored`] for other branches, [`Rule::NothingToReplace`] if the other is gone, [`Rule::ResetProtected`] if
    /// it is protected.
    pub async fn finalize_restore(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        id: &BranchId,
        old: Option<&str>,
    ) -> Result<Outcome, ControlPlaneError> {
        let changed = self.change(permit, project, async |tree, now| {
            let branch = tree.branch(id).ok_or(ControlPlaneError::NotFound("branch"))?;
            if branch.restored_from.is_none() || branch.restore_finalized {
                return Err(Rule::NotRestored.into());
            }
            Tree::must_be_ready(branch)?;
            let target = branch.restored_as.as_ref().and_then(|it| tree.branch(it));
            let target = may_replace(target)?;
            let step = Step::Finalize {
                branch: id.clone(),
                target: target.id.clone(),
                old_name: old_name(tree, target, old, now)?,
            };
            let change = Change {
                chain: Self::chain(tree, now, vec![step]),
                entry: Some(entry(permit, now, "branch.restore_finalized", "branch", id, project)),
                ..Change::of(tree)
            };
            Ok((change, ()))
        });
        Ok(changed.await?.0)
    }

    /// Says when snapshots of a branch are taken by themselves; an empty list for never.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::Invalid`] for numbers that break a rule.
    pub async fn set_backups(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        id: &BranchId,
        items: Vec<BackupItem>,
    ) -> Result<Outcome, ControlPlaneError> {
        if items.len() > MOST_BACKUPS {
            return Err(ControlPlaneError::invalid("schedule", "must have at most 10 entries"));
        }
        for item in &items {
            item.check().map_err(|rule| ControlPlaneError::invalid("schedule", rule))?;
        }
        let changed = self.change(permit, project, async |tree, now| {
            let branch = tree.branch(id).ok_or(ControlPlaneError::NotFound("branch"))?;
            let branch = Branch {
                backup_due_at: BackupItem::next_of(&items, now),
                backups: items.clone(),
                updated_at: now,
                ..branch.clone()
            };
            let entry = entry(permit, now, "branch.backups_scheduled", "branch", id, project);
            Ok((Change { branches: vec![branch], entry: Some(entry), ..Change::of(tree) }, ()))
        });
        Ok(changed.await?.0)
    }
}

/// What is taken.
pub(crate) struct Taking {
    /// As of when.
    pub(crate) point: Point,
    /// By whom.
    pub(crate) by: UserId,
    /// As what.
    pub(crate) name: String,
    /// Whether somebody asked for it.
    pub(crate) manual: bool,
}

/// The change that takes a snapshot.
pub(crate) async fn take(
    vault: &Vault,
    tree: &Tree,
    source: &Branch,
    taking: Taking,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<Change, ControlPlaneError> {
    Tree::must_be_ready(source)?;
    let id = BranchId::random_snapshot()?;
    let project = tree.project.id.clone();
    let files = Branch {
        parent: Some(source.id.clone()),
        expires_at,
        // Gone is gone.
        recoverable: false,
        ..Branch::new(id.clone(), project, id.to_string(), taking.by, now)
    };
    let point = taking.point;
    let (roles, databases) = inherit(vault, tree, &source.id, &id, point, now).await?;
    let step = Step::Snapshot { snapshot: id, source: source.id.clone(), point };
    Ok(Change {
        snapshots: vec![Snapshot { files, name: taking.name, manual: taking.manual }],
        roles,
        databases,
        chain: ControlPlane::chain(tree, now, vec![step]),
        ..Change::of(tree)
    })
}

/// The change that deletes a snapshot.
pub(crate) fn remove(tree: &Tree, snapshot: &Snapshot, now: Timestamp) -> Change {
    let mut it = snapshot.clone();
    (it.files.deleted_at, it.files.updated_at) = (Some(now), now);
    let step = Step::Remove { branch: it.files.id.clone() };
    let chain = ControlPlane::chain(tree, now, vec![step]);
    Change { snapshots: vec![it], chain, ..Change::of(tree) }
}

/// A snapshot's name where nobody gives one.
pub(crate) fn usual_name(branch: &Branch, now: Timestamp) -> String {
    cut(&format!("{} at {}", branch.name, now.strftime("%Y-%m-%d %H:%M:%S UTC")))
}

/// Whether another branch may come in this one's place.
fn may_replace(target: Option<&Branch>) -> Result<&Branch, ControlPlaneError> {
    let target = target.ok_or(Rule::NothingToReplace)?;
    if target.protected {
        return Err(Rule::ResetProtected.into());
    }
    if target.state != BranchState::Ready {
        return Err(Rule::NotReady.into());
    }
    Ok(target)
}

/// How a branch is called in whose place another comes.
fn old_name(
    tree: &Tree,
    target: &Branch,
    wanted: Option<&str>,
    now: Timestamp,
) -> Result<String, ControlPlaneError> {
    if let Some(text) = wanted {
        let called = name("name", text)?;
        taken(tree, &called, None)?;
        return Ok(called);
    }
    let time = now.strftime("%Y%m%dT%H%M%SZ");
    Ok(tree.free_name(&cut(&format!("{}_old_{time}", target.name))))
}

/// No longer than names may be, with room for a number.
fn cut(text: &str) -> String {
    text.chars().take(240).collect()
}

fn in_future(at: Option<Timestamp>, now: Timestamp) -> Result<(), ControlPlaneError> {
    if at.is_some_and(|it| it <= now) {
        return Err(ControlPlaneError::invalid("expires_at", "must be in the future"));
    }
    Ok(())
}
