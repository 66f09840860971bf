-- The history of what was asked and run. Results are not kept: they are the customer's data.

CREATE TABLE queries (
    id                 uuid PRIMARY KEY,
    org_id             uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    connection_id      uuid NOT NULL,
    user_id            uuid NOT NULL,
    key_id             uuid,
    -- Asked in words, or NULL when the caller sent SQL.
    question           text,
    -- NULL when no statement came of the question.
    sql                text,
    outcome            text NOT NULL,
    -- What the answer said beside its rows: explanation, tables, assumptions, confidence, engine.
    answer             jsonb NOT NULL,
    -- What went wrong, in the words that the caller got.
    error              jsonb,
    row_count          bigint,
    truncated          boolean NOT NULL,
    execution_time_ms  double precision,
    saved              boolean NOT NULL DEFAULT false,
    created_at         timestamptz NOT NULL
);
CREATE INDEX queries_newest ON queries (org_id, created_at DESC, id DESC);
ALTER TABLE queries ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY queries_own ON queries TO plinth_app USING (org_id = current_org());

GRANT SELECT, INSERT, UPDATE, DELETE ON queries TO plinth_app;
