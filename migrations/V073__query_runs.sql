-- Runs of queries that nobody waits for, and their rows for a while.

CREATE TABLE query_runs (
    id                 uuid PRIMARY KEY,
    org_id             uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    -- Who wanted it; nobody else sees it.
    user_id            uuid NOT NULL,
    connection_id      uuid NOT NULL,
    state              text NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'timed_out')),
    -- The entry of the history; it is written later.
    query_id           uuid,
    sql                text,
    answer             text,
    columns            jsonb NOT NULL,
    row_count          bigint NOT NULL,
    row_limit          bigint,
    cut_off            text CHECK (cut_off IN ('rows', 'bytes')),
    cached_at          timestamptz,
    execution_time_ms  double precision,
    error              jsonb,
    -- What its rows take here.
    kept_bytes         bigint NOT NULL DEFAULT 0,
    cancel_wanted      boolean NOT NULL DEFAULT false,
    -- Until when the process that runs it holds it; NULL once it has ended.
    leased_until       timestamptz,
    created_at         timestamptz NOT NULL,
    started_at         timestamptz,
    finished_at        timestamptz,
    expires_at         timestamptz,
    UNIQUE (org_id, id),
    FOREIGN KEY (org_id, connection_id) REFERENCES connections (org_id, id) ON DELETE CASCADE
);
CREATE INDEX query_runs_newest ON query_runs (org_id, created_at DESC, id DESC);
CREATE INDEX query_runs_unfinished ON query_runs (org_id) WHERE finished_at IS NULL;
CREATE INDEX query_runs_expiring ON query_runs (org_id, expires_at);
ALTER TABLE query_runs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY query_runs_own ON query_runs TO plinth_app USING (org_id = current_org());

CREATE TABLE query_run_pages (
    org_id     uuid NOT NULL,
    run_id     uuid NOT NULL,
    -- How many rows stand before.
    first_row  bigint NOT NULL,
    row_count  bigint NOT NULL CHECK (row_count > 0),
    -- The rows, sealed.
    rows       bytea NOT NULL,
    PRIMARY KEY (org_id, run_id, first_row),
    FOREIGN KEY (org_id, run_id) REFERENCES query_runs (org_id, id) ON DELETE CASCADE
);
-- What is sealed does not get smaller.
ALTER TABLE query_run_pages ALTER COLUMN rows SET STORAGE EXTERNAL;
ALTER TABLE query_run_pages ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY query_run_pages_own ON query_run_pages TO plinth_app USING (org_id = current_org());

GRANT SELECT, INSERT, UPDATE, DELETE ON query_runs, query_run_pages TO plinth_app;
