-- Servers of others that speak the management API, and the projects that an organization has there.

CREATE TABLE cp_remotes (
    id           uuid PRIMARY KEY,
    org_id       uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    name         text NOT NULL,
    base_url     text NOT NULL,
    -- In which organization and region projects are made there; NULL leaves it to the remote.
    org_there    text,
    region       text,
    -- As whom the secret was last let in.
    account      text,
    key_version  integer NOT NULL,
    secret       bytea NOT NULL,
    made_by      uuid NOT NULL,
    revision     bigint NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    CONSTRAINT cp_remotes_name UNIQUE (org_id, name),
    UNIQUE (org_id, id)
);
CREATE INDEX cp_remotes_newest ON cp_remotes (org_id, created_at DESC, id DESC);

-- Two organizations whose keys reach the same project there may both have it here.
CREATE TABLE cp_remote_projects (
    org_id      uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    id          text NOT NULL CHECK (id ~ '^[a-z0-9-]{1,60}$'),
    remote_id   uuid NOT NULL,
    name        text NOT NULL,
    -- The project as the remote last told of it.
    body        jsonb NOT NULL,
    -- From the numbers of all projects: lists are sorted by it where moments are the same.
    number      bigint NOT NULL DEFAULT nextval('cp_projects_number_seq'),
    made_by     uuid NOT NULL,
    created_at  timestamptz NOT NULL,
    deleted_at  timestamptz,
    CONSTRAINT cp_remote_projects_id PRIMARY KEY (org_id, id),
    CONSTRAINT cp_remote_projects_remote FOREIGN KEY (org_id, remote_id) REFERENCES cp_remotes (org_id, id)
);
CREATE INDEX cp_remote_projects_newest ON cp_remote_projects (org_id, created_at DESC, number DESC);
CREATE INDEX cp_remote_projects_of ON cp_remote_projects (org_id, remote_id);

ALTER TABLE cp_remotes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY cp_remotes_own ON cp_remotes TO plinth_app USING (org_id = current_org());
ALTER TABLE cp_remote_projects ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY cp_remote_projects_own ON cp_remote_projects TO plinth_app USING (org_id = current_org());

GRANT SELECT, INSERT, UPDATE, DELETE ON cp_remotes, cp_remote_projects TO plinth_app;
GRANT USAGE ON SEQUENCE cp_projects_number_seq TO plinth_app;
