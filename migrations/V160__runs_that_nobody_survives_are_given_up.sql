-- A run whose worker dies each time it is begun is noticed, so that it can be given up.
--
-- Nothing bounded how often a run was taken over: one that no worker survives ended one after the other, and with each all else
-- that it had, until the run's time was over.

-- How often in a row the run's worker lost it, and how much of it was done and tried then: with more of either, they say nothing.
-- Whoever moves runs on need not take them back, and a run that was never lost has nothing here.
ALTER TABLE workflow_runs
    ADD COLUMN losses      integer,
    ADD COLUMN lost_done   integer,
    ADD COLUMN lost_tried  integer;

-- Takes runs of all organizations whose worker lost its lease, and counts that. What was given back lost nobody.
--
-- `take_workflow_runs` does the same without counting, for servers that are older than this; others ask this first.
CREATE FUNCTION take_lost_workflow_runs(most integer, lease interval)
    RETURNS TABLE (taken_org uuid, taken_run uuid, taken_fence bigint)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_incremental_sort = off SET jit = off
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    moment constant timestamptz := db_now();
    ids uuid[];
BEGIN
    -- As taking what waits: a crash may take it back.
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT array_agg(lost.id) INTO ids FROM (
        SELECT r.id FROM workflow_runs r WHERE r.state = 'running' AND r.lease_until <= moment
        ORDER BY r.org_id, r.workflow_id LIMIT most FOR UPDATE SKIP LOCKED
    ) lost;
    IF ids IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
        UPDATE workflow_runs r SET
            lease_until = moment + lease, fence = next_fence(r.fence), starts = r.starts + 1,
            losses = CASE WHEN r.lost_done = r.done AND r.lost_tried = r.tried THEN r.losses ELSE 0 END
                + CASE WHEN r.lease_until > '-infinity' THEN 1 ELSE 0 END,
            lost_done = r.done, lost_tried = r.tried
        WHERE r.id = ANY (ids) RETURNING r.org_id, r.id, r.fence;
END
$$;

-- Prolongs leases, and says which of the runs the worker still has. A row that somebody has locked is being moved on, and keeps
-- the lease it has: there are three more turns before that is over. A lease of no time gives a run back: it was over before ever.
CREATE OR REPLACE FUNCTION keep_workflow_runs(runs uuid[], fences bigint[], lease interval) RETURNS SETOF uuid
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        SELECT set_config('synchronous_commit', 'off', true);
        WITH had AS (
            SELECT held.id, held.fence FROM unnest(runs, fences) AS held (id, fence)
            -- Each by its id: the planner would hold all that are under way against all that are held.
            CROSS JOIN LATERAL (SELECT * FROM workflow_runs WHERE id = held.id OFFSET 0) r
            WHERE r.fence = held.fence AND r.state = 'running'
        ), free AS (
            -- One that somebody has just moved on is another row by now, and is held against this again.
            SELECT r.id FROM workflow_runs r JOIN had ON had.id = r.id AND had.fence = r.fence
            WHERE r.lease_until IS NOT NULL
            FOR NO KEY UPDATE OF r SKIP LOCKED
        ), kept AS (
            UPDATE workflow_runs r
            SET lease_until = CASE WHEN lease > interval '0' THEN db_now() + lease ELSE '-infinity' END FROM free
            WHERE r.id = free.id AND r.lease_until IS NOT NULL
        )
        SELECT had.id FROM had;
    END;

REVOKE ALL ON FUNCTION take_lost_workflow_runs, keep_workflow_runs FROM PUBLIC;
GRANT EXECUTE ON FUNCTION take_lost_workflow_runs, keep_workflow_runs TO plinth_app;
