-- Projects that are shared with people of other organizations, by their address.
CREATE TABLE cp_permissions (
    id          uuid PRIMARY KEY,
    org_id      uuid NOT NULL,
    project_id  text NOT NULL,
    email       text NOT NULL,
    granted_by  uuid NOT NULL,
    granted_at  timestamptz NOT NULL,
    revoked_at  timestamptz,
    FOREIGN KEY (org_id, project_id) REFERENCES cp_projects (org_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX cp_permissions_email ON cp_permissions (project_id, email) WHERE revoked_at IS NULL;
CREATE INDEX cp_permissions_project ON cp_permissions (org_id, project_id);
CREATE INDEX cp_permissions_shared ON cp_permissions (email) WHERE revoked_at IS NULL;
ALTER TABLE cp_permissions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY cp_permissions_own ON cp_permissions TO plinth_app USING (org_id = current_org());
CREATE POLICY cp_permissions_lookup ON cp_permissions TO CURRENT_USER USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON cp_permissions TO plinth_app;

-- The projects that are shared with a person: one who has chosen a password by a link that went to the address. What an
-- organization's identity provider says of an address proves nothing to another organization.
CREATE FUNCTION cp_shared_with(person uuid) RETURNS TABLE (org_id uuid, project_id text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        SELECT it.org_id, it.project_id
        FROM cp_permissions it
        JOIN users u ON u.email = it.email
        JOIN accounts a ON a.user_id = u.id AND a.password_hash IS NOT NULL
        JOIN cp_projects p ON p.id = it.project_id
        JOIN organizations o ON o.id = it.org_id
        WHERE u.id = person AND it.revoked_at IS NULL AND p.deleted_at IS NULL AND o.deleting_at IS NULL
        ORDER BY it.granted_at, it.id;
    END;
REVOKE ALL ON FUNCTION cp_shared_with FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cp_shared_with TO plinth_app;

-- Whoever gets a project decides anew with whom it is shared. A transfer takes the rows of a project from one organization
-- to another; these stay behind, so they have to be gone.
CREATE FUNCTION cp_end_permissions() RETURNS trigger
    LANGUAGE plpgsql SET search_path = plinth, pg_temp AS $$
BEGIN
    DELETE FROM cp_permissions it WHERE it.project_id = OLD.id AND it.org_id = OLD.org_id;
    RETURN NEW;
END $$;
CREATE TRIGGER cp_projects_transferred BEFORE UPDATE OF org_id ON cp_projects
    FOR EACH ROW WHEN (OLD.org_id IS DISTINCT FROM NEW.org_id) EXECUTE FUNCTION cp_end_permissions();
