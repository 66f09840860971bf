-- Credentials that workflows' calls carry: each for one receiver, sealed, used by name.

CREATE TABLE workflow_credentials (
    id           uuid PRIMARY KEY,
    org_id       uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    name         text NOT NULL,
    -- Scheme, host and port of the only receiver that gets it.
    origin       text NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('bearer', 'basic', 'header', 'url')),
    -- The user's or the header's name.
    label        text,
    key_version  integer NOT NULL,
    secret       bytea NOT NULL,
    made_by      uuid NOT NULL,
    revision     bigint NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    CONSTRAINT workflow_credentials_name_key UNIQUE (org_id, name),
    CHECK ((kind IN ('basic', 'header')) = (label IS NOT NULL))
);
CREATE INDEX workflow_credentials_newest ON workflow_credentials (org_id, created_at DESC, id DESC);
ALTER TABLE workflow_credentials ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY workflow_credentials_own ON workflow_credentials TO plinth_app USING (org_id = current_org());

GRANT SELECT, INSERT, UPDATE, DELETE ON workflow_credentials TO plinth_app;
