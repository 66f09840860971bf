-- Connected databases and the keys that seal their credentials.

CREATE TABLE data_keys (
    org_id          uuid PRIMARY KEY REFERENCES organizations ON DELETE CASCADE,
    master_version  integer NOT NULL,
    wrapped         bytea NOT NULL
);
ALTER TABLE data_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY data_keys_own ON data_keys TO plinth_app USING (org_id = current_org());

CREATE TABLE connections (
    id                uuid PRIMARY KEY,
    org_id            uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    name              text NOT NULL,
    -- Either an address that somebody typed, or a server that Plinth runs.
    host              text,
    port              integer CHECK (port BETWEEN 1 AND 65535),
    managed_server    text,
    database_name     text NOT NULL,
    username          text NOT NULL,
    password_version  integer NOT NULL,
    password_sealed   bytea NOT NULL,
    ssl_mode          text NOT NULL
                      CHECK (ssl_mode IN ('disable', 'prefer', 'require', 'verify-ca', 'verify-full')),
    -- NULL: every table that the role may read.
    allowed_tables    text[],
    is_test           boolean NOT NULL,
    -- Counts changes of what dialling depends on.
    version           bigint NOT NULL,
    created_by        uuid NOT NULL,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    deleted_at        timestamptz,
    CHECK ((managed_server IS NULL) = (host IS NOT NULL) AND (host IS NULL) = (port IS NULL)),
    UNIQUE (org_id, id)
);
-- A removed connection gives its name back.
CREATE UNIQUE INDEX connections_name_key ON connections (org_id, name) WHERE deleted_at IS NULL;
CREATE INDEX connections_newest ON connections (org_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;
ALTER TABLE connections ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY connections_own ON connections TO plinth_app USING (org_id = current_org());

GRANT SELECT, INSERT ON data_keys TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON connections TO plinth_app;
