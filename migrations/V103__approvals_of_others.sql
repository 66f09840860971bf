-- Who asked for what waits to be approved: nobody approves their own unless the workflow says so, or nobody else could.

ALTER TABLE workflow_approvals
    -- As whom the run acts; NULL for those asked for before this was kept.
    ADD COLUMN requested_by uuid,
    -- Who started it, where somebody did.
    ADD COLUMN started_by uuid,
    -- Whether these two may approve it themselves.
    ADD COLUMN self_approval boolean NOT NULL DEFAULT false;

CREATE INDEX workflow_approvals_newest ON workflow_approvals (org_id, asked_at DESC, run_id DESC);
CREATE INDEX workflow_approvals_open ON workflow_approvals (org_id, asked_at DESC, run_id DESC) WHERE approved IS NULL;
