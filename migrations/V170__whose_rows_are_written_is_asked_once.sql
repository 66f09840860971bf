-- Whose rows are written is asked once for a statement, and not for each row.
--
-- Rows of these tables are written a hundred and more at a time, and for each of them the organization was read from the session's
-- settings again. A subquery is answered once. Reading stays as it is: there the planner sees which organization it is, and has an
-- index for it.
ALTER POLICY queries_own ON queries WITH CHECK (org_id = (SELECT current_org()));
ALTER POLICY audit_entries_own ON audit_entries WITH CHECK (org_id = (SELECT current_org()));
ALTER POLICY workflow_run_steps_own ON workflow_run_steps WITH CHECK (org_id = (SELECT current_org()));
ALTER POLICY workflow_run_attempts_own ON workflow_run_attempts WITH CHECK (org_id = (SELECT current_org()));
