-- Snapshots of branches: their files are kept like a branch's, and have their row among the branches.
CREATE TABLE cp_snapshots (
    branch_id  text PRIMARY KEY,
    org_id     uuid NOT NULL,
    name       text NOT NULL,
    manual     boolean NOT NULL,
    FOREIGN KEY (org_id, branch_id) REFERENCES cp_branches (org_id, id) ON DELETE CASCADE
);
CREATE INDEX cp_snapshots_org ON cp_snapshots (org_id);
ALTER TABLE cp_snapshots ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY cp_snapshots_own ON cp_snapshots TO plinth_app USING (org_id = current_org());
CREATE POLICY cp_snapshots_lookup ON cp_snapshots TO CURRENT_USER USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON cp_snapshots TO plinth_app;

ALTER TABLE cp_branches
    -- The snapshot that it was restored from, and in whose place it comes. Both may be gone.
    ADD COLUMN restored_from      text,
    ADD COLUMN restored_as        text,
    ADD COLUMN restore_finalized  boolean NOT NULL DEFAULT false,
    -- When snapshots of it are taken by themselves.
    ADD COLUMN backups            jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN backup_due_at      timestamptz;
CREATE INDEX cp_branches_backups ON cp_branches (backup_due_at) WHERE backup_due_at IS NOT NULL AND deleted_at IS NULL;

-- The projects of a node in which the time of something has come, and nothing else is being done.
CREATE FUNCTION cp_due(node_name text, by_then timestamptz) RETURNS TABLE (org_id uuid, project_id text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        SELECT DISTINCT p.org_id, p.id
        FROM cp_branches b JOIN cp_projects p ON p.id = b.project_id
        WHERE p.node = node_name AND p.deleted_at IS NULL AND b.deleted_at IS NULL AND b.state = 'ready'
          AND (b.backup_due_at <= by_then
               OR b.expires_at <= by_then AND NOT b.is_default AND NOT b.protected
                  AND NOT EXISTS (
                      SELECT FROM cp_branches c
                      WHERE c.parent_id = b.id AND c.deleted_at IS NULL
                        AND NOT EXISTS (SELECT FROM cp_snapshots s WHERE s.branch_id = c.id)))
          AND NOT EXISTS (SELECT FROM cp_chains c WHERE c.project_id = p.id AND c.finished_at IS NULL);
    END;
REVOKE ALL ON FUNCTION cp_due FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cp_due TO plinth_app;
