-- What branches use, by the hour: measured by nodes.
CREATE TABLE cp_usage (
    org_id         uuid NOT NULL,
    project_id     text NOT NULL,
    branch_id      text NOT NULL,
    hour           timestamptz NOT NULL,
    active_ms      bigint NOT NULL,
    cpu_ms         bigint NOT NULL,
    written_bytes  bigint NOT NULL,
    -- The greatest within the hour.
    logical_bytes  bigint NOT NULL,
    storage_bytes  bigint NOT NULL,
    PRIMARY KEY (branch_id, hour),
    FOREIGN KEY (org_id, project_id) REFERENCES cp_projects (org_id, id) ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE
);
CREATE INDEX cp_usage_project ON cp_usage (org_id, project_id, hour);
ALTER TABLE cp_usage ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY cp_usage_own ON cp_usage TO plinth_app USING (org_id = current_org());
CREATE POLICY cp_usage_lookup ON cp_usage TO CURRENT_USER USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON cp_usage TO plinth_app;

-- What a project used goes with it.
CREATE OR REPLACE FUNCTION cp_transfer(
    project text, from_org uuid, to_org uuid, expected bigint, request uuid, by_then timestamptz,
    role_ids uuid[], key_versions integer[], passwords bytea[]
) RETURNS text
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp AS $$
DECLARE
    it text;
BEGIN
    PERFORM FROM cp_projects p
    WHERE p.id = project AND p.org_id = from_org AND p.revision = expected AND p.deleted_at IS NULL AND p.own_team IS NULL
    FOR UPDATE;
    IF NOT FOUND OR request IS NOT NULL AND NOT EXISTS (
        SELECT FROM cp_transfer_requests r
        WHERE r.id = request AND r.project_id = project AND r.org_id = from_org AND r.expires_at > by_then)
    THEN
        RETURN 'changed';
    END IF;
    IF EXISTS (SELECT FROM cp_chains c WHERE c.project_id = project AND c.finished_at IS NULL) THEN
        RETURN 'busy';
    END IF;
    SET CONSTRAINTS ALL DEFERRED;
    DELETE FROM cp_transfer_requests r WHERE r.project_id = project;
    DELETE FROM cp_inquiries i WHERE i.project_id = project;
    UPDATE cp_roles r SET org_id = to_org FROM cp_branches b WHERE b.id = r.branch_id AND b.project_id = project;
    UPDATE cp_roles r SET password_version = n.version, password_sealed = n.sealed
    FROM unnest(role_ids, key_versions, passwords) n (id, version, sealed) WHERE r.id = n.id AND r.org_id = to_org;
    UPDATE cp_databases d SET org_id = to_org FROM cp_branches b WHERE b.id = d.branch_id AND b.project_id = project;
    UPDATE cp_snapshots s SET org_id = to_org FROM cp_branches b WHERE b.id = s.branch_id AND b.project_id = project;
    FOREACH it IN ARRAY ARRAY['cp_endpoints', 'cp_operations', 'cp_chains', 'cp_usage', 'cp_branches'] LOOP
        EXECUTE format('UPDATE %I SET org_id = $1 WHERE project_id = $2', it) USING to_org, project;
    END LOOP;
    UPDATE cp_projects p SET org_id = to_org, revision = p.revision + 1, updated_at = by_then WHERE p.id = project;
    SET CONSTRAINTS ALL IMMEDIATE;
    RETURN 'done';
END $$;
