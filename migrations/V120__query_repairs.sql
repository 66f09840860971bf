-- Saved queries that a change of a schema broke, and what is done for them.

CREATE TABLE query_repairs (
    id               uuid PRIMARY KEY,
    org_id           uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    query_id         uuid NOT NULL REFERENCES queries ON DELETE CASCADE,
    connection_id    uuid NOT NULL,
    -- The version that does not work.
    version          integer NOT NULL CHECK (version > 0),
    state            text NOT NULL CHECK (state IN ('open', 'dismissed', 'applied', 'resolved')),
    -- The states of the schema over which it last worked and over which it was last tried. No references: old ones go.
    from_id          uuid NOT NULL,
    to_id            uuid NOT NULL,
    why              text NOT NULL,
    changes          jsonb NOT NULL,
    proposal         jsonb,
    no_proposal      text,
    applied_version  integer,
    -- NULL for Plinth itself.
    settled_by       uuid,
    -- When its owner was told.
    told_at          timestamptz,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    FOREIGN KEY (org_id, connection_id) REFERENCES connections (org_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX query_repairs_unsettled ON query_repairs (org_id, query_id) WHERE state IN ('open', 'dismissed');
CREATE INDEX query_repairs_newest ON query_repairs (org_id, created_at DESC, id DESC);
CREATE INDEX query_repairs_query ON query_repairs (query_id);
CREATE INDEX query_repairs_connection ON query_repairs (org_id, connection_id);
ALTER TABLE query_repairs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY query_repairs_own ON query_repairs TO plinth_app USING (org_id = current_org());

-- Of the organization where it is of neither.
CREATE TABLE repair_modes (
    org_id        uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    query_id      uuid REFERENCES queries ON DELETE CASCADE,
    dashboard_id  uuid,
    mode          text NOT NULL CHECK (mode IN ('off', 'suggest', 'auto')),
    CHECK (num_nonnulls(query_id, dashboard_id) <= 1),
    subject       uuid GENERATED ALWAYS AS (coalesce(query_id, dashboard_id, org_id)) STORED,
    PRIMARY KEY (org_id, subject),
    FOREIGN KEY (org_id, dashboard_id) REFERENCES dashboards (org_id, id) ON DELETE CASCADE
);
CREATE INDEX repair_modes_query ON repair_modes (query_id) WHERE query_id IS NOT NULL;
CREATE INDEX repair_modes_dashboard ON repair_modes (org_id, dashboard_id) WHERE dashboard_id IS NOT NULL;
ALTER TABLE repair_modes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY repair_modes_own ON repair_modes TO plinth_app USING (org_id = current_org());

-- As which repair a version was made, of which version, and why; NULL where somebody wrote it.
ALTER TABLE saved_query_versions
    ADD COLUMN repair_id      uuid,
    ADD COLUMN repair_of      integer,
    ADD COLUMN repair_certain boolean,
    ADD COLUMN repair_alone   boolean,
    ADD COLUMN reason         text,
    ADD CHECK (num_nonnulls(repair_id, repair_of, repair_certain, repair_alone, reason) IN (0, 5));

CREATE INDEX queries_saved_over ON queries (org_id, connection_id, id) WHERE saved;

GRANT SELECT, INSERT, UPDATE, DELETE ON query_repairs, repair_modes TO plinth_app;
