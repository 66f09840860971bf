-- Runs of queries whose process died are ended by whoever sweeps, not only by who looks at them.

CREATE INDEX query_runs_held ON query_runs (leased_until) WHERE finished_at IS NULL;

CREATE POLICY query_runs_lookup ON query_runs FOR SELECT TO CURRENT_USER USING (true);

-- Organizations that have some: one step in the index where there are none.
CREATE FUNCTION organizations_with_lost_query_runs() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        SELECT DISTINCT org_id FROM query_runs WHERE finished_at IS NULL AND leased_until <= db_now() ORDER BY org_id;
    END;

REVOKE ALL ON FUNCTION organizations_with_lost_query_runs FROM PUBLIC;
GRANT EXECUTE ON FUNCTION organizations_with_lost_query_runs TO plinth_app;
