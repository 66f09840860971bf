-- What belongs to a saved query beyond its name: whose it is and who sees it, what it is run with, and what it was.

ALTER TABLE queries
    -- Who saved it; of a run that only they may see, who ran it.
    ADD COLUMN owner_id         uuid,
    ADD COLUMN visibility       text NOT NULL DEFAULT 'organization'
                                CHECK (visibility IN ('private', 'organization')),
    -- NULL: none.
    ADD COLUMN parameters       jsonb,
    ADD COLUMN max_age_seconds  integer CHECK (max_age_seconds BETWEEN 0 AND 86400),
    -- The newest version's number; 0 where nobody saved it.
    ADD COLUMN version          integer NOT NULL DEFAULT 0,
    ADD COLUMN revision         bigint NOT NULL DEFAULT 0,
    ADD COLUMN updated_at       timestamptz,
    -- Of which saved query it is a run, and of which version. A query that goes leaves its runs behind.
    ADD COLUMN run_of           uuid,
    ADD COLUMN run_of_version   integer;
CREATE INDEX queries_runs ON queries (org_id, run_of, created_at DESC, id DESC) WHERE run_of IS NOT NULL;

CREATE TABLE saved_query_versions (
    org_id         uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    query_id       uuid NOT NULL REFERENCES queries ON DELETE CASCADE,
    number         integer NOT NULL CHECK (number > 0),
    sql            text NOT NULL,
    parameters     jsonb NOT NULL,
    restored_from  integer,
    made_by        uuid NOT NULL,
    made_at        timestamptz NOT NULL,
    PRIMARY KEY (org_id, query_id, number)
);
CREATE INDEX saved_query_versions_query ON saved_query_versions (query_id);

-- What is saved already is its first version. Row-level security holds for the owner too where it is forced.
ALTER TABLE queries NO FORCE ROW LEVEL SECURITY;
UPDATE queries SET owner_id = user_id, version = 1, revision = 1, updated_at = created_at WHERE saved AND sql IS NOT NULL;
INSERT INTO saved_query_versions (org_id, query_id, number, sql, parameters, made_by, made_at)
SELECT org_id, id, 1, sql, '[]', user_id, created_at FROM queries WHERE saved AND sql IS NOT NULL;
ALTER TABLE queries FORCE ROW LEVEL SECURITY;

ALTER TABLE saved_query_versions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY saved_query_versions_own ON saved_query_versions TO plinth_app USING (org_id = current_org());

-- Never an update: a version stays what it is.
GRANT SELECT, INSERT ON saved_query_versions TO plinth_app;
