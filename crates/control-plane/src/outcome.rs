use jiff::Timestamp;

use crate::service::own::fingerprint;
use crate::{
    Branch, BranchId, BranchState, Change, Endpoint, EndpointState, Made, Operation,
    OperationStatus, Step, Tree,
};

/// What rows say once a step is done.
pub(crate) fn came_of(
    tree: &Tree,
    step: &Step,
    made: Option<Made>,
    now: Timestamp,
    change: &mut Change,
) {
    let endpoint = |id, state: EndpointState| {
        tree.endpoint(id).map(|it| {
            let mut it = it.clone();
            (it.state, it.pending, it.updated_at) = (state, None, now);
            match state {
                EndpointState::Active => {
                    (it.started_at, it.last_active) = (Some(now), Some(now));
                }
                EndpointState::Idle => it.suspended_at = Some(now),
                EndpointState::Init => {}
            }
            it
        })
    };
    match step {
        Step::MakeRoot { branch }
        | Step::Copy { branch, .. }
        | Step::CopySchema { branch, .. }
        | Step::Replace { branch, .. } => {
            let Some(it) = tree.branch(branch) else { return };
            let mut it = it.clone();
            (it.state, it.pending) = (BranchState::Ready, None);
            (it.state_changed_at, it.updated_at) = (now, now);
            if let Some(made) = made {
                it.storage = Some(made.storage);
                it.logical_size = Some(made.size_bytes);
                if it.parent.is_some() {
                    it.parent_lsn = made.lsn.or(it.parent_lsn);
                    it.parent_timestamp = made.at.or(it.parent_timestamp);
                }
            }
            change.branches.push(it);
            if let Step::Replace { preserve: Some(preserve), .. } = step
                && let Some(kept) = tree.branch(preserve)
            {
                let mut kept = kept.clone();
                (kept.state, kept.pending) = (BranchState::Ready, None);
                (kept.state_changed_at, kept.updated_at) = (now, now);
                change.branches.push(kept);
            }
        }
        Step::Snapshot { snapshot, .. } => {
            let Some(it) = tree.snapshot(snapshot) else { return };
            let mut it = it.clone();
            (it.files.state, it.files.pending) = (BranchState::Ready, None);
            (it.files.state_changed_at, it.files.updated_at) = (now, now);
            if let Some(made) = made {
                it.files.storage = Some(made.storage);
                it.files.logical_size = Some(made.size_bytes);
                (it.files.parent_lsn, it.files.parent_timestamp) = (made.lsn, made.at);
            }
            change.snapshots.push(it);
        }
        Step::Finalize { branch, target, old_name } => {
            finalized(tree, branch, target, old_name, now, change);
        }
        Step::Start { endpoint: id } => {
            change.endpoints.extend(endpoint(id, EndpointState::Active));
        }
        Step::Suspend { endpoint: id } => {
            change.endpoints.extend(endpoint(id, EndpointState::Idle));
        }
        Step::Reopen { endpoint: id } => {
            change.endpoints.extend(tree.endpoint(id).map(|it| {
                let mut it = it.clone();
                (it.pending, it.updated_at) = (None, now);
                it.state =
                    if it.state == EndpointState::Init { EndpointState::Idle } else { it.state };
                it
            }));
        }
        Step::Close { endpoint: id } => {
            change.endpoints.extend(tree.endpoint(id).map(|it| {
                let mut it = it.clone();
                (it.pending, it.state) = (None, EndpointState::Idle);
                it.updated_at = now;
                // One of a deleted project keeps its port, and opens again if the project is recovered.
                if tree.project.deleted_at.is_none() {
                    it.deleted_at = Some(now);
                }
                it
            }));
        }
        Step::Own { people, .. } => {
            let mut project = tree.project.clone();
            project.own_team = Some(fingerprint(people));
            change.put_project = Some(project);
        }
        Step::Configure { .. } | Step::Remove { .. } => {}
    }
}

/// A branch has come in the place of another: with its name, its endpoints, and as the default if that was.
fn finalized(
    tree: &Tree,
    branch: &BranchId,
    target: &BranchId,
    old_name: &str,
    now: Timestamp,
    change: &mut Change,
) {
    let (Some(new), Some(old)) = (tree.branch(branch), tree.branch(target)) else { return };
    // The old one first: of two with one name the second is refused.
    change.branches.push(Branch {
        name: tree.free_name(old_name),
        is_default: false,
        updated_at: now,
        ..old.clone()
    });
    change.branches.push(Branch {
        name: old.name.clone(),
        is_default: old.is_default,
        expires_at: if old.is_default { None } else { new.expires_at },
        restore_finalized: true,
        updated_at: now,
        ..new.clone()
    });
    let moved: Vec<_> = tree.endpoints_of(target).collect();
    if moved.is_empty() {
        return;
    }
    for endpoint in tree.endpoints_of(branch) {
        let deleted_at = Some(now);
        change.endpoints.push(Endpoint { deleted_at, updated_at: now, ..endpoint.clone() });
    }
    for endpoint in moved {
        let branch = branch.clone();
        change.endpoints.push(Endpoint { branch, updated_at: now, ..endpoint.clone() });
    }
}

/// What rows say once a chain that failed was undone: what it was to make is not there, what it was to change is as it
/// was.
pub(crate) fn rolled_back(
    tree: &Tree,
    operations: &[Operation],
    now: Timestamp,
    change: &mut Change,
) {
    let made: Vec<_> = operations.iter().filter_map(|it| it.step.makes()).collect();
    // Replacements that did not come about: the branch, and the one that was to get its files.
    let kept: Vec<_> = operations
        .iter()
        .filter(|it| it.status != OperationStatus::Finished)
        .filter_map(|it| match &it.step {
            Step::Replace { branch, preserve: Some(kept), .. } => {
                Some((branch, tree.branch(kept)?))
            }
            _ => None,
        })
        .collect();
    for branch in &tree.branches {
        let mut it = branch.clone();
        for (replaced, kept) in &kept {
            if branch.id == **replaced {
                it.parent.clone_from(&kept.parent);
                (it.parent_lsn, it.parent_timestamp) = (kept.parent_lsn, kept.parent_timestamp);
            } else if branch.parent.as_ref() == Some(&kept.id) {
                it.parent = Some((*replaced).clone());
            }
        }
        let is_kept = kept.iter().any(|(_, kept)| kept.id == branch.id);
        if is_kept || made.contains(&&branch.id) {
            (it.deleted_at, it.recoverable) = (Some(now), false);
            if branch.parent.is_none() && branch.is_default {
                let mut project = tree.project.clone();
                (project.deleted_at, project.updated_at) = (Some(now), now);
                project.recoverable = false;
                change.put_project = Some(project);
            }
        } else if branch.pending.is_some() {
            it.pending = None;
            it.state = BranchState::Ready;
        } else if it == *branch {
            continue;
        }
        (it.updated_at, it.state_changed_at) = (now, now);
        change.branches.push(it);
    }
    for snapshot in tree.snapshots.iter().filter(|it| made.contains(&&it.files.id)) {
        let mut it = snapshot.clone();
        (it.files.deleted_at, it.files.updated_at) = (Some(now), now);
        change.snapshots.push(it);
    }
    for endpoint in &tree.endpoints {
        let mut it = endpoint.clone();
        if made.contains(&&endpoint.branch) || endpoint.state == EndpointState::Init {
            it.deleted_at = Some(now);
        } else if endpoint.pending.is_some() {
            it.pending = None;
        } else {
            continue;
        }
        it.updated_at = now;
        change.endpoints.push(it);
    }
}
