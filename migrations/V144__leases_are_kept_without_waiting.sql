-- Keeping leases waits for nobody.
--
-- It used to lock the rows of all runs that a worker has in one order, while the worker's other session moved some of them on in
-- another. Now and then each waited for the other: Postgres ended one of them after a second, in which none of the worker's runs
-- went on.

-- Prolongs leases, and says which of the runs the worker still has. A row that somebody has locked is being moved on, and keeps
-- the lease it has: there are three more turns before that is over.
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
            UPDATE workflow_runs r SET lease_until = db_now() + lease FROM free
            WHERE r.id = free.id AND r.lease_until IS NOT NULL
        )
        SELECT had.id FROM had;
    END;

REVOKE ALL ON FUNCTION keep_workflow_runs FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keep_workflow_runs TO plinth_app;
