-- Runs are found by their ids alone, and what hangs on a run goes with it by one trigger.
--
-- A run is written three times, each time with an entry in each of its indexes, which is a third of what that takes. The second
-- index of ids was there for foreign keys, which guarded nothing: tries and approvals are written with their run's row locked,
-- as results are.

-- In the order in which whoever moves runs on, or begins an action, has them: what a statement writes is locked before what it calls.
LOCK TABLE workflow_run_steps, workflow_run_attempts, workflow_runs, workflow_approvals IN ACCESS EXCLUSIVE MODE;

ALTER TABLE workflow_run_attempts DROP CONSTRAINT workflow_run_attempts_org_id_run_id_fkey;
ALTER TABLE workflow_approvals DROP CONSTRAINT workflow_approvals_org_id_run_id_fkey;
ALTER TABLE workflow_runs DROP CONSTRAINT workflow_runs_org_id_id_key;

CREATE POLICY workflow_run_attempts_swept ON workflow_run_attempts TO CURRENT_USER USING (true);
CREATE POLICY workflow_approvals_swept ON workflow_approvals TO CURRENT_USER USING (true);

DROP TRIGGER workflow_runs_sweep_steps ON workflow_runs;
DROP FUNCTION sweep_workflow_run_steps();

-- Whoever deletes runs may see nothing of this, or an organization's only; what is of the runs goes in any case.
CREATE FUNCTION sweep_workflow_runs() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = plinth, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
BEGIN
    DELETE FROM workflow_run_steps it USING gone WHERE it.org_id = gone.org_id AND it.run_id = gone.id;
    DELETE FROM workflow_run_attempts it USING gone WHERE it.org_id = gone.org_id AND it.run_id = gone.id;
    DELETE FROM workflow_approvals it USING gone WHERE it.org_id = gone.org_id AND it.run_id = gone.id;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION sweep_workflow_runs FROM PUBLIC;

CREATE TRIGGER workflow_runs_sweep AFTER DELETE ON workflow_runs
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION sweep_workflow_runs();
