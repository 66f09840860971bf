-- Which entries of the history somebody removed: a batch that was written in part may be written again, by another server than
-- the one that removed them, and must not bring them back. A row is small, and there are fewer than of what was ever asked.
CREATE TABLE removed_queries (
    org_id    uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    query_id  uuid NOT NULL,
    PRIMARY KEY (org_id, query_id)
);
ALTER TABLE removed_queries ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY removed_queries_own ON removed_queries TO plinth_app USING (org_id = current_org());

GRANT SELECT, INSERT ON removed_queries TO plinth_app;
