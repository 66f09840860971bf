-- Runs are moved on by their ids, whatever the statistics say.
--
-- The statement that did it was joined the wrong way round: statistics say that hardly any run is under way at a time, so the
-- planner went through all that are and held each against all that were given. Reading what was taken did the same. Together
-- that was a third of what Postgres did for a run, and grew with the square of how many are under way.

-- Moves runs of the current organization on, as the worker that has them says, and tells which it still had. A run is given by
-- its id, its fence, and how many of its steps and actions are stored; what is said of it is its new state, for how many seconds
-- it pauses if that is `queued`, by how much more of it is done or was tried, what was found of its condition, and an error.
--
-- Nothing in it is written so that an index of what is under way, or of an organization's runs, could be used. It is planned each
-- time: where the table was small when it was planned, reading an index whole would be the plan that stays.
--
-- One that is put back before anything came of it was never started.
CREATE FUNCTION advance_workflow_runs(
    ids uuid[], fences bigint[], stored integer[], states text[], pauses double precision[], done_more integer[],
    tried_more integer[], verdicts text[], errors text[]
) RETURNS TABLE (moved_run uuid, moved_fence bigint, moved_workflow uuid, moved_to_end boolean)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 50 SET search_path = plinth, pg_temp
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_nestloop = off SET enable_mergejoin = off SET jit = off
    SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    org constant uuid := current_org();
    moment constant timestamptz := db_now();
BEGIN
    RETURN QUERY
        UPDATE workflow_runs r SET
            state = it.state,
            lease_until = CASE WHEN it.state = 'running' THEN r.lease_until END,
            started_at = CASE WHEN it.state <> 'queued' OR r.done + r.tried + it.tried_more > 0 THEN r.started_at END,
            starts = CASE WHEN it.state <> 'queued' OR r.done + r.tried + it.tried_more > 0 THEN r.starts ELSE r.starts - 1 END,
            due_at = CASE WHEN it.state = 'queued' THEN moment + make_interval(secs => it.pause) ELSE r.due_at END,
            done = r.done + it.done_more,
            tried = CASE WHEN it.done_more > 0 THEN 0 ELSE r.tried + it.tried_more END,
            verdict = coalesce(it.verdict, r.verdict),
            error = it.error,
            ended_at = CASE WHEN it.state NOT IN ('running', 'queued') THEN moment END
        FROM unnest(ids, fences, stored, states, pauses, done_more, tried_more, verdicts, errors)
            AS it (id, fence, stored, state, pause, done_more, tried_more, verdict, error)
        WHERE r.id = ANY (ids) AND r.id = it.id AND r.fence = it.fence AND r.done = it.stored
            -- It is running; said so that the index of those that are is of no use.
            AND r.lease_until IS NOT NULL
            AND r.org_id IS NOT DISTINCT FROM org
        RETURNING r.id, r.fence, r.workflow_id, r.ended_at IS NOT NULL;
END
$$;

REVOKE ALL ON FUNCTION advance_workflow_runs FROM PUBLIC;
GRANT EXECUTE ON FUNCTION advance_workflow_runs TO plinth_app;
