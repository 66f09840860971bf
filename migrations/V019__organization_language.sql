-- The organization's own language for a connection: what its people call things, what they measure, and questions whose
-- SQL somebody checked.

CREATE TABLE language_entries (
    id                uuid PRIMARY KEY,
    org_id            uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    connection_id     uuid NOT NULL,
    kind              text NOT NULL CHECK (kind IN ('term', 'metric', 'example')),
    -- What it is called; of an example the question.
    name              text NOT NULL CHECK (length(name) BETWEEN 1 AND 2000),
    -- What it says.
    body              jsonb NOT NULL,
    status            text NOT NULL CHECK (status IN ('active', 'candidate')),
    -- Why it does not fit the schema any more.
    broken            text,
    -- Over which state of the schema it was last tried.
    checked_snapshot  uuid,
    -- The number of its last change among all changes to the connection's language.
    version           bigint NOT NULL,
    created_by        uuid NOT NULL,
    created_at        timestamptz NOT NULL,
    updated_by        uuid NOT NULL,
    updated_at        timestamptz NOT NULL,
    FOREIGN KEY (org_id, connection_id) REFERENCES connections (org_id, id) ON DELETE CASCADE
);
-- A word means one thing.
CREATE UNIQUE INDEX language_entries_name ON language_entries (org_id, connection_id, lower(name)) WHERE kind <> 'example';
CREATE INDEX language_entries_connection ON language_entries (org_id, connection_id);
ALTER TABLE language_entries ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY language_entries_own ON language_entries TO plinth_app USING (org_id = current_org());

-- How often the language of a connection has changed: what is computed from it is named by this number.
CREATE TABLE language_versions (
    org_id         uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    connection_id  uuid NOT NULL,
    version        bigint NOT NULL,
    PRIMARY KEY (org_id, connection_id),
    FOREIGN KEY (org_id, connection_id) REFERENCES connections (org_id, id) ON DELETE CASCADE
);
ALTER TABLE language_versions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY language_versions_own ON language_versions TO plinth_app USING (org_id = current_org());

-- What people think of answers. An entry of the history that goes takes it along in time; it is no part of it.
CREATE TABLE query_feedback (
    org_id      uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    query_id    uuid NOT NULL REFERENCES queries ON DELETE CASCADE,
    user_id     uuid NOT NULL,
    is_good     boolean NOT NULL,
    comment     text CHECK (length(comment) <= 2000),
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (org_id, query_id, user_id)
);
CREATE INDEX query_feedback_query ON query_feedback (query_id);
ALTER TABLE query_feedback ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY query_feedback_own ON query_feedback TO plinth_app USING (org_id = current_org());

GRANT SELECT, INSERT, UPDATE, DELETE ON language_entries, language_versions, query_feedback TO plinth_app;
