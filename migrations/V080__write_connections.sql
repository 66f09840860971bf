-- Write connections, through which actions of workflows write, and approvals that actions wait for.

CREATE TABLE write_connections (
    id                uuid PRIMARY KEY,
    org_id            uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    name              text NOT NULL,
    -- The connection beside which it stands: where the database is, and how it is reached.
    connection_id     uuid NOT NULL,
    -- The role that writes.
    username          text NOT NULL,
    password_version  integer NOT NULL,
    password_sealed   bytea NOT NULL,
    -- What may be written, and what may be called, as `schema.name`.
    tables            text[] NOT NULL,
    procedures        text[] NOT NULL,
    max_rows          integer NOT NULL CHECK (max_rows > 0),
    -- In which schema of the target keys are kept, and since when; NULL if none are.
    key_schema        text,
    keys_since        timestamptz,
    -- Where the credential was given for.
    place             text NOT NULL,
    -- Counts changes of what dialling depends on.
    version           bigint NOT NULL,
    revision          bigint NOT NULL,
    created_by        uuid NOT NULL,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    UNIQUE (org_id, id),
    CHECK ((key_schema IS NULL) = (keys_since IS NULL)),
    FOREIGN KEY (org_id, connection_id) REFERENCES connections (org_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX write_connections_name_key ON write_connections (org_id, name);
CREATE INDEX write_connections_newest ON write_connections (org_id, created_at DESC, id DESC);
CREATE INDEX write_connections_beside ON write_connections (org_id, connection_id);
ALTER TABLE write_connections ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY write_connections_own ON write_connections TO plinth_app USING (org_id = current_org());

CREATE TABLE workflow_approvals (
    org_id      uuid NOT NULL,
    run_id      uuid NOT NULL,
    position    integer NOT NULL,
    action      text NOT NULL,
    -- Whose role decides.
    role        text NOT NULL,
    -- What would be done; exactly that is what is approved.
    shown       jsonb NOT NULL,
    asked_at    timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    -- NULL until somebody decides.
    approved    boolean,
    decided_at  timestamptz,
    decided_by  uuid,
    comment     text,
    PRIMARY KEY (org_id, run_id, position),
    CHECK ((approved IS NULL) = (decided_at IS NULL) AND (approved IS NULL) = (decided_by IS NULL)),
    FOREIGN KEY (org_id, run_id) REFERENCES workflow_runs (org_id, id) ON DELETE CASCADE
);
ALTER TABLE workflow_approvals ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY workflow_approvals_own ON workflow_approvals TO plinth_app USING (org_id = current_org());

GRANT SELECT, INSERT, UPDATE, DELETE ON write_connections, workflow_approvals TO plinth_app;
