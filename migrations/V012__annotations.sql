-- The history of schemas holds what changed, and people write beside tables and columns what the database does not say.

ALTER TABLE schema_snapshots
    -- Of everything that only changes when somebody changes the schema; NULL in rows of before there was one.
    ADD COLUMN structure      bytea CHECK (length(structure) = 32),
    -- When that structure was first read; taken_at says when it was last read.
    ADD COLUMN first_read_at  timestamptz,
    -- The snapshots of the same structure whose place this one took: whoever noted one of them finds this one.
    ADD COLUMN earlier_ids    uuid[] NOT NULL DEFAULT '{}';
CREATE INDEX schema_snapshots_earlier ON schema_snapshots USING gin (earlier_ids);

CREATE TABLE schema_annotations (
    org_id         uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    connection_id  uuid NOT NULL,
    schema_name    text NOT NULL,
    table_name     text NOT NULL,
    -- Empty: about the table itself; no column has an empty name.
    column_name    text NOT NULL,
    description    text CHECK (length(description) BETWEEN 1 AND 2000),
    synonyms       text[] NOT NULL,
    -- Counts the changes of this connection's annotations; also of each the number of its last change.
    version        bigint NOT NULL,
    updated_by     uuid NOT NULL,
    updated_at     timestamptz NOT NULL,
    PRIMARY KEY (org_id, connection_id, schema_name, table_name, column_name),
    FOREIGN KEY (org_id, connection_id) REFERENCES connections (org_id, id) ON DELETE CASCADE,
    CHECK (description IS NOT NULL OR cardinality(synonyms) > 0)
);
ALTER TABLE schema_annotations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY schema_annotations_own ON schema_annotations TO plinth_app USING (org_id = current_org());

-- How often the annotations of a connection have changed: what is computed from them is named by this number.
CREATE TABLE schema_annotation_versions (
    org_id         uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    connection_id  uuid NOT NULL,
    version        bigint NOT NULL,
    PRIMARY KEY (org_id, connection_id),
    FOREIGN KEY (org_id, connection_id) REFERENCES connections (org_id, id) ON DELETE CASCADE
);
ALTER TABLE schema_annotation_versions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY schema_annotation_versions_own ON schema_annotation_versions TO plinth_app USING (org_id = current_org());

GRANT SELECT, INSERT, UPDATE, DELETE ON schema_annotations, schema_annotation_versions TO plinth_app;
