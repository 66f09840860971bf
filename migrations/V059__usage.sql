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
