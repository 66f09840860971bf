-- A single table can be read anew: only it is written, on top of the whole catalog that was read before.

ALTER TABLE schema_snapshots
    -- The row whose catalog this one changes; then `catalog` holds the changed parts only, as deflated JSON.
    ADD COLUMN base_id   uuid REFERENCES schema_snapshots (id),
    -- Another row took this one's place, which stays only because others are built on it.
    ADD COLUMN replaced  boolean NOT NULL DEFAULT false;
CREATE INDEX schema_snapshots_base ON schema_snapshots (base_id) WHERE base_id IS NOT NULL;
GRANT UPDATE (replaced) ON schema_snapshots TO plinth_app;
