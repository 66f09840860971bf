-- Third-party apps, and what people let them do.

CREATE TABLE oauth_apps (
    id             uuid PRIMARY KEY,
    -- Who registered it. Members of any organization may let it act for them.
    org_id         uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    name           text NOT NULL,
    redirect_uris  text[] NOT NULL CHECK (cardinality(redirect_uris) > 0),
    scopes         text[] NOT NULL CHECK (cardinality(scopes) > 0),
    -- NULL: a public app, which can keep no secret.
    secret_hash    bytea CHECK (length(secret_hash) = 32),
    created_by     uuid NOT NULL,
    created_at     timestamptz NOT NULL,
    CONSTRAINT oauth_apps_name_key UNIQUE (org_id, name)
);
CREATE INDEX oauth_apps_newest ON oauth_apps (org_id, created_at DESC, id DESC);
ALTER TABLE oauth_apps ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY oauth_apps_own ON oauth_apps TO plinth_app USING (org_id = current_org());
CREATE POLICY oauth_apps_lookup ON oauth_apps TO CURRENT_USER USING (true);

-- Codes that a browser carries from the consent page to the app. A code is derived from its id, and kept nowhere.
CREATE TABLE oauth_codes (
    id            uuid PRIMARY KEY,
    -- The organization that the person lets the app act in.
    org_id        uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    user_id       uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    app_id        uuid NOT NULL REFERENCES oauth_apps ON DELETE CASCADE,
    scopes        text[] NOT NULL,
    redirect_uri  text NOT NULL,
    challenge     text NOT NULL,
    -- The person's when they granted it.
    epoch         integer NOT NULL,
    expires_at    timestamptz NOT NULL,
    -- What it was exchanged for; a code that comes twice ends that.
    session_id    uuid,
    is_replayed   boolean NOT NULL DEFAULT false
);
CREATE INDEX oauth_codes_expires ON oauth_codes (org_id, expires_at);
ALTER TABLE oauth_codes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY oauth_codes_own ON oauth_codes TO plinth_app USING (org_id = current_org());

-- What was granted to an app goes with it.
ALTER TABLE sessions
    ADD CONSTRAINT sessions_app FOREIGN KEY (app_id) REFERENCES oauth_apps ON DELETE CASCADE;

-- Whose app that is.
CREATE FUNCTION find_oauth_app(app uuid) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        SELECT oauth_apps.org_id FROM oauth_apps WHERE oauth_apps.id = app;
    END;

REVOKE ALL ON FUNCTION find_oauth_app FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_oauth_app TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON oauth_apps, oauth_codes TO plinth_app;
