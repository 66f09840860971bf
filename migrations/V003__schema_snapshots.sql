-- What connected databases looked like, newest last.

CREATE TABLE schema_snapshots (
    id             uuid PRIMARY KEY,
    org_id         uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    connection_id  uuid NOT NULL,
    taken_at       timestamptz NOT NULL,
    duration_ms    bigint NOT NULL,
    -- JSON of the catalog, deflated: a large schema shrinks to a twentieth.
    catalog        bytea NOT NULL,
    FOREIGN KEY (org_id, connection_id) REFERENCES connections (org_id, id) ON DELETE CASCADE
);
-- It is compressed already.
ALTER TABLE schema_snapshots ALTER COLUMN catalog SET STORAGE EXTERNAL;
CREATE INDEX schema_snapshots_newest ON schema_snapshots (org_id, connection_id, taken_at DESC, id DESC);
ALTER TABLE schema_snapshots ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY schema_snapshots_own ON schema_snapshots TO plinth_app USING (org_id = current_org());

GRANT SELECT, INSERT, DELETE ON schema_snapshots TO plinth_app;
