-- Who listens to which database for workflows that `NOTIFY` starts: one at a time, however many servers there are.

CREATE TABLE workflow_listeners (
    org_id          uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    connection_id   uuid NOT NULL,
    -- Until then its server has it to itself; NULL for nobody.
    lease_until     timestamptz,
    -- Counts how often it was taken. Who writes with an older number has lost it.
    fence           bigint NOT NULL,
    -- Until when something that was said was heard; NULL before the first time.
    listened_until  timestamptz,
    PRIMARY KEY (org_id, connection_id)
);
ALTER TABLE workflow_listeners ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY workflow_listeners_own ON workflow_listeners TO plinth_app USING (org_id = current_org());
CREATE POLICY workflow_listeners_lookup ON workflow_listeners TO CURRENT_USER USING (true);
CREATE INDEX workflows_listening ON workflows (org_id, id) WHERE trigger_kind = 'listen';

-- Takes connections of all organizations that live workflows listen to and nobody has.
CREATE FUNCTION take_workflow_listeners(most integer, lease interval)
    RETURNS TABLE (taken_org uuid, taken_connection uuid, taken_fence bigint, heard_until timestamptz)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        WITH wanted AS (
            SELECT DISTINCT w.org_id, substr(v.definition->'trigger'->>'connection_id', 6)::uuid AS connection_id
            FROM workflows w
            JOIN workflow_versions v ON v.org_id = w.org_id AND v.workflow_id = w.id AND v.number = w.published
            WHERE w.trigger_kind = 'listen' AND w.enabled AND w.paused_at IS NULL
        ), free AS (
            SELECT it.org_id, it.connection_id FROM wanted it
            LEFT JOIN workflow_listeners l ON l.org_id = it.org_id AND l.connection_id = it.connection_id
            WHERE l.lease_until IS NULL OR l.lease_until <= db_now()
            ORDER BY it.org_id, it.connection_id LIMIT most
        )
        INSERT INTO workflow_listeners AS l (org_id, connection_id, lease_until, fence)
            SELECT free.org_id, free.connection_id, db_now() + lease, 1 FROM free
        ON CONFLICT (org_id, connection_id) DO UPDATE
            SET lease_until = excluded.lease_until, fence = l.fence + 1
            WHERE l.lease_until IS NULL OR l.lease_until <= db_now()
        RETURNING l.org_id, l.connection_id, l.fence, l.listened_until;
    END;
REVOKE ALL ON FUNCTION take_workflow_listeners FROM PUBLIC;
GRANT EXECUTE ON FUNCTION take_workflow_listeners TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON workflow_listeners TO plinth_app;
