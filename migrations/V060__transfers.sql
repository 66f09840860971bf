-- Projects go from one organization to another.

-- An offer: whoever knows it and the project may take the project into their organization, once.
CREATE TABLE cp_transfer_requests (
    id          uuid PRIMARY KEY,
    org_id      uuid NOT NULL,
    project_id  text NOT NULL,
    created_by  uuid NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    FOREIGN KEY (org_id, project_id) REFERENCES cp_projects (org_id, id) ON DELETE CASCADE
);
CREATE INDEX cp_transfer_requests_project ON cp_transfer_requests (org_id, project_id);
ALTER TABLE cp_transfer_requests ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY cp_transfer_requests_own ON cp_transfer_requests TO plinth_app USING (org_id = current_org());
CREATE POLICY cp_transfer_requests_lookup ON cp_transfer_requests TO CURRENT_USER USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON cp_transfer_requests TO plinth_app;

-- Whose project an offer is of, if it still stands then.
CREATE FUNCTION cp_find_transfer(request uuid, project text, by_then timestamptz) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        SELECT it.org_id FROM cp_transfer_requests it
        WHERE it.id = request AND it.project_id = project AND it.expires_at > by_then;
    END;

-- Between the first and the last statement of a transfer what hangs on a project is another organization's than it.
DO $$
DECLARE
    it record;
BEGIN
    FOR it IN
        SELECT conrelid::regclass AS on_table, conname FROM pg_constraint
        WHERE contype = 'f' AND NOT condeferrable
          AND confrelid IN ('cp_projects'::regclass, 'cp_branches'::regclass)
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER CONSTRAINT %I DEFERRABLE INITIALLY IMMEDIATE', it.on_table, it.conname);
    END LOOP;
END $$;

-- Gives a project with all that it has to another organization, and says how that went: done, changed or busy. Passwords are
-- sealed for the organization, so they come sealed anew. With a request, only if that still stands; it goes with all others.
CREATE FUNCTION cp_transfer(
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

REVOKE ALL ON FUNCTION cp_find_transfer, cp_transfer FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cp_find_transfer, cp_transfer TO plinth_app;

-- A number of its own for each key: the management API names keys so.
ALTER TABLE api_keys ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY UNIQUE;
