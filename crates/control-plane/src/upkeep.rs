use jiff::Timestamp;
use plinth_core::{StoreError, chain};

use crate::service::snapshots::{Taking, remove, take, usual_name};
use crate::{
    BackupItem, Branch, BranchId, BranchState, Change, ChangeError, ControlPlane,
    ControlPlaneError, Point, Runner, Step, Tree,
};

impl Runner {
    /// Does what is to be done because its time has come: branches and snapshots that expire, snapshots that a schedule
    /// asks for. What a project's other operations hold up comes the next time.
    pub(crate) async fn keep_up(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        for (org, id) in self.store.due(&self.node.name, now).await? {
            let Some(tree) = self.store.load(org, &id).await? else { continue };
            let change = match self.due(&tree, now).await {
                Ok(Some(change)) => change,
                Ok(None) => continue,
                Err(err) => {
                    tracing::warn!(project = %id, error = chain(&err), "what is due in a project cannot be done");
                    continue;
                }
            };
            match self.store.commit(&change).await {
                Ok(()) | Err(ChangeError::Busy | ChangeError::Changed) => {}
                Err(err) => {
                    tracing::warn!(project = %id, error = chain(&err), "what is due in a project waits");
                }
            }
        }
        Ok(())
    }

    /// Writes down what every branch has used since the last time. A branch that sleeps takes room all the same.
    pub(crate) async fn measure(&self) -> Result<(), StoreError> {
        for (org, id) in self.store.projects_of(&self.node.name).await? {
            let Some(tree) = self.store.load(org, &id).await? else { continue };
            for branch in tree.branches.iter().filter(|it| it.state == BranchState::Ready) {
                self.measure_one(&tree, &branch.id).await?;
            }
        }
        Ok(())
    }

    /// The same of one branch.
    pub(crate) async fn measure_one(
        &self,
        tree: &Tree,
        branch: &BranchId,
    ) -> Result<(), StoreError> {
        match self.substrate.usage(&tree.place(branch)).await {
            Ok(used) => {
                let (project, now) = (&tree.project, self.clock.now());
                self.store.add_usage(project.org, &project.id, branch, now, &used).await
            }
            Err(error) => {
                tracing::warn!(%branch, %error, "what a branch uses could not be measured");
                Ok(())
            }
        }
    }

    /// The first thing that is due in a project: one chain at a time.
    async fn due(&self, tree: &Tree, now: Timestamp) -> Result<Option<Change>, ControlPlaneError> {
        let is_over = |at: Option<Timestamp>| at.is_some_and(|it| it <= now);
        if let Some(it) = tree.snapshots.iter().find(|it| is_over(it.files.expires_at)) {
            tracing::info!(project = %tree.project.id, snapshot = %it.files.id, "a snapshot expires");
            return Ok(Some(remove(tree, it, now)));
        }
        let expired = |it: &&Branch| is_over(it.expires_at) && it.state == BranchState::Ready;
        if let Some(it) =
            tree.branches.iter().filter(expired).find(|it| tree.may_delete(it).is_ok())
        {
            tracing::info!(project = %tree.project.id, branch = %it.id, "a branch expires");
            return Ok(Some(expire(tree, it, now)));
        }
        for branch in tree.branches.iter().filter(|it| it.state == BranchState::Ready) {
            let Some(due) = branch.backup_due_at.filter(|it| *it <= now) else { continue };
            let (point, by, name) = (Point::Head, branch.created_by, usual_name(branch, now));
            let taking = Taking { point, by, name, manual: false };
            let until = BackupItem::kept_until(&branch.backups, due, now);
            let mut change = take(&self.vault, tree, branch, taking, until, now).await?;
            // Those that were missed while no node ran are one.
            let next = BackupItem::next_of(&branch.backups, now);
            change.branches.push(Branch { backup_due_at: next, ..branch.clone() });
            return Ok(Some(change));
        }
        Ok(None)
    }
}

/// The change that deletes a branch whose time is over, as its owner would; it can be recovered like any other.
fn expire(tree: &Tree, branch: &Branch, now: Timestamp) -> Change {
    let steps = tree.endpoints_of(&branch.id).map(|it| Step::Close { endpoint: it.id.clone() });
    let chain = ControlPlane::chain(tree, now, steps.collect());
    let deleted = Branch { deleted_at: Some(now), updated_at: now, ..branch.clone() };
    Change { branches: vec![deleted], chain, ..Change::of(tree) }
}
