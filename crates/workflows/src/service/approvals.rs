use plinth_core::{Cursor, Limit, Page, Permit, Principal, WorkflowsRead, WorkflowsWrite};
use plinth_tenancy::{AuditEntry, MemberRole};
use serde_json::{Value, json};

use super::{Workflows, sees_results};
use crate::run::Run;
use crate::writes::{
    Approval, ApprovalFilter, ApprovalState, Decision, ListedApproval, WantedApproval,
};
use crate::{RunId, WorkflowError, WorkflowId};

impl Workflows {
    /// What actions of all workflows wait for, or waited for, newest first. What would be done is left out for who neither
    /// may decide nor sees what was read as whoever asked for it.
    ///
    /// # Errors
    ///
    /// Only when our own storage fails.
    pub async fn approvals(
        &self,
        permit: &Permit<WorkflowsRead>,
        filter: ApprovalFilter,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<ListedApproval>, WorkflowError> {
        let caller = permit.principal();
        let found = self.parts.store.all_approvals(permit.org(), filter, after, limit).await?;
        let place =
            |it: &ListedApproval| Cursor { created_at: it.approval.asked_at, id: it.run.as_uuid() };
        let mut page = Page::cut(found, limit, place);
        let role = self.parts.members.role(caller.org, caller.user).await?;
        for it in &mut page.items {
            let decides = decides(caller, &it.approval, role.as_ref());
            if !decides && !sees_results(caller, it.approval.requested_by) {
                it.approval.shown = Value::Null;
            }
            it.may_approve = decides
                && it.approval.state == ApprovalState::Pending
                && Permit::<WorkflowsWrite>::check(caller).is_ok()
                && !self.needs_another(caller, &it.approval).await?;
        }
        Ok(page)
    }

    /// Decides what a run waits for: it goes on at once, and if it was declined the action fails.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::RunNotFound`]; [`WorkflowError::NothingWaits`] if it waits for nothing, or waited too long;
    /// [`WorkflowError::NotYours`] if the caller's role is not the one that decides; [`WorkflowError::OwnRequest`] if somebody
    /// else has to approve it.
    pub async fn decide(
        &self,
        permit: &Permit<WorkflowsWrite>,
        workflow: WorkflowId,
        id: RunId,
        approves: bool,
        comment: Option<String>,
    ) -> Result<Run, WorkflowError> {
        if comment.as_ref().is_some_and(|it| it.chars().count() > 1_000 || it.contains('\0')) {
            let rule = "has to be at most 1000 characters";
            return Err(WorkflowError::Field { field: "comment", rule });
        }
        let caller = permit.principal();
        let found = self.parts.store.run(permit.org(), id).await?;
        found.filter(|it| it.0.workflow == workflow).ok_or(WorkflowError::RunNotFound(id))?;
        let approvals = self.parts.store.approvals(permit.org(), id).await?;
        let pending = approvals.into_iter().find(|it| it.state == ApprovalState::Pending);
        let pending = pending.ok_or(WorkflowError::NothingWaits)?;
        let role = self.parts.members.role(caller.org, caller.user).await?;
        if !decides(caller, &pending, role.as_ref()) {
            return Err(WorkflowError::NotYours(pending.role));
        }
        // Who does not want their own any more says no by themselves.
        if approves && self.needs_another(caller, &pending).await? {
            return Err(WorkflowError::OwnRequest(pending.role));
        }
        let comment = comment.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
        let decision =
            Decision { position: pending.position, approves, by: permit.user(), comment };
        let now = self.parts.clock.now();
        let what = if approves { "workflow_run.approved" } else { "workflow_run.declined" };
        let entry = AuditEntry::of(caller, now, what)
            .on("workflow_run", id)
            .with(json!({ "action": pending.action, "statement": pending.shown["statement"] }));
        if !self.parts.store.decide(permit.org(), id, &decision, &entry).await? {
            return Err(WorkflowError::NothingWaits);
        }
        self.parts.bell.ring();
        let found = self.parts.store.run(permit.org(), id).await?;
        found.map(|it| it.0).ok_or(WorkflowError::RunNotFound(id))
    }

    /// Whether it is the caller's own, and somebody else has to approve it: nobody approves what they asked for, unless the
    /// workflow lets them or nobody else could.
    async fn needs_another(
        &self,
        caller: &Principal,
        it: &Approval,
    ) -> Result<bool, WorkflowError> {
        if it.self_approval || !it.is_of(caller.user) {
            return Ok(false);
        }
        let own: Vec<_> = [it.requested_by, it.started_by].into_iter().flatten().collect();
        let fits = |role: &MemberRole| WantedApproval::is_for(&it.role, role);
        Ok(self.parts.members.has_another(caller.org, &own, &fits).await?)
    }
}

/// Whether that is the caller's to decide, by their role. A key that is narrower than its maker decides nothing that its
/// maker could.
fn decides(caller: &Principal, it: &Approval, role: Option<&MemberRole>) -> bool {
    !caller.test_only
        && !caller.saved_queries_only
        && role.is_some_and(|role| WantedApproval::is_for(&it.role, role))
}
