-- How many branches and endpoints all organizations have, and what became of operations of late: numbers only.
CREATE INDEX cp_operations_latest ON cp_operations (updated_at);
CREATE FUNCTION cp_census() RETURNS TABLE (what text, kind text, state text, many bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        SELECT 'branches', '', b.state, count(*)
        FROM cp_branches b JOIN cp_projects p ON p.id = b.project_id
        WHERE b.deleted_at IS NULL AND p.deleted_at IS NULL
          AND NOT EXISTS (SELECT FROM cp_snapshots s WHERE s.branch_id = b.id)
        GROUP BY b.state
        UNION ALL
        SELECT 'endpoints', e.kind, e.state, count(*)
        FROM cp_endpoints e JOIN cp_projects p ON p.id = e.project_id
        WHERE e.deleted_at IS NULL AND p.deleted_at IS NULL
        GROUP BY e.kind, e.state
        UNION ALL
        SELECT 'operations', o.action, o.status, count(*)
        FROM cp_operations o
        WHERE o.updated_at > now() - interval '1 hour'
        GROUP BY o.action, o.status;
    END;
REVOKE ALL ON FUNCTION cp_census FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cp_census TO plinth_app;
