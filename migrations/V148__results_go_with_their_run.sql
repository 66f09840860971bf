-- The results of a run's steps go with the run by a trigger, and not by a foreign key.
--
-- Holding each result against its run took as long as writing it. It was never in doubt: a result is written by the statement that
-- moves its run on, which has the run's row locked and says which run that is. What the key was for is that nothing is left of a
-- run that is gone.

-- In the order in which whoever moves runs on has them.
LOCK TABLE workflow_runs, workflow_run_steps IN ACCESS EXCLUSIVE MODE;

ALTER TABLE workflow_run_steps DROP CONSTRAINT workflow_run_steps_org_id_run_id_fkey;

CREATE POLICY workflow_run_steps_swept ON workflow_run_steps TO CURRENT_USER USING (true);

-- Whoever deletes runs may see nobody's results, or an organization's only; those of the runs go in any case.
CREATE FUNCTION sweep_workflow_run_steps() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = plinth, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
BEGIN
    DELETE FROM workflow_run_steps s USING gone WHERE s.org_id = gone.org_id AND s.run_id = gone.id;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION sweep_workflow_run_steps FROM PUBLIC;

CREATE TRIGGER workflow_runs_sweep_steps AFTER DELETE ON workflow_runs
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION sweep_workflow_run_steps();
