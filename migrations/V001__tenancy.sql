-- Organizations, people, memberships and API keys.
--
-- Every table of an organization's rows has FORCE ROW LEVEL SECURITY. The runtime role `plinth_app` owns nothing and
-- sees only the rows of the organization that its transaction names in `plinth.org_id`. What must be found before the
-- organization is known goes through SECURITY DEFINER functions that return ids only; they run as the owner, for whom
-- the tables that they need have a policy of their own.

CREATE FUNCTION current_org() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('plinth.org_id', true), '')::uuid;

CREATE TABLE organizations (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    time_zone   text NOT NULL,
    created_at  timestamptz NOT NULL,
    CONSTRAINT organizations_name_key UNIQUE (name)
);
ALTER TABLE organizations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY organizations_own ON organizations TO plinth_app USING (id = current_org());
CREATE POLICY organizations_lookup ON organizations TO CURRENT_USER USING (true);

CREATE TABLE users (
    id          uuid PRIMARY KEY,
    email       text NOT NULL,
    created_at  timestamptz NOT NULL,
    CONSTRAINT users_email_key UNIQUE (email)
);
ALTER TABLE users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY users_lookup ON users TO CURRENT_USER USING (true);

CREATE TABLE members (
    org_id      uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    user_id     uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    role        text NOT NULL CHECK (role IN ('owner', 'admin', 'editor', 'viewer')),
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (org_id, user_id)
);
CREATE UNIQUE INDEX members_one_owner ON members (org_id) WHERE role = 'owner';
CREATE INDEX members_user ON members (user_id);
ALTER TABLE members ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY members_own ON members TO plinth_app USING (org_id = current_org());
CREATE POLICY members_lookup ON members TO CURRENT_USER USING (true);

-- A person is visible to the organizations that they belong to. No row can be added or changed through this policy by
-- somebody who is not a member yet: that is done by the functions below.
CREATE POLICY users_of_own ON users TO plinth_app
    USING (EXISTS (SELECT FROM members WHERE members.user_id = users.id AND members.org_id = current_org()));

CREATE TABLE api_keys (
    id            uuid PRIMARY KEY,
    org_id        uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    user_id       uuid NOT NULL,
    name          text NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('live', 'test')),
    scopes        text[] NOT NULL CHECK (cardinality(scopes) > 0),
    hint          text NOT NULL,
    hash          bytea NOT NULL CHECK (length(hash) = 32),
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz,
    revoked_at    timestamptz,
    last_used_at  timestamptz,
    CONSTRAINT api_keys_hash_key UNIQUE (hash),
    -- A key dies with its maker's membership.
    FOREIGN KEY (org_id, user_id) REFERENCES members (org_id, user_id) ON DELETE CASCADE
);
CREATE INDEX api_keys_newest ON api_keys (org_id, created_at DESC, id DESC);
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY api_keys_own ON api_keys TO plinth_app USING (org_id = current_org());
CREATE POLICY api_keys_lookup ON api_keys TO CURRENT_USER USING (true);

-- One row: what belongs to the whole installation. The runtime role has no rights on it.
CREATE TABLE installation (
    id                boolean PRIMARY KEY DEFAULT true CHECK (id),
    setup_token_hash  bytea CHECK (length(setup_token_hash) = 32)
);
INSERT INTO installation DEFAULT VALUES;
ALTER TABLE installation ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY installation_lookup ON installation TO CURRENT_USER USING (true);

-- Which organization and key a hash belongs to.
CREATE FUNCTION find_api_key(key_hash bytea) RETURNS TABLE (org_id uuid, key_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        SELECT api_keys.org_id, api_keys.id FROM api_keys WHERE api_keys.hash = key_hash;
    END;

-- Keeps the hash of a setup token as long as there is no organization; says whether it was kept.
CREATE FUNCTION put_setup_token(token_hash bytea) RETURNS boolean
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        UPDATE installation SET setup_token_hash = token_hash
        WHERE NOT EXISTS (SELECT FROM organizations)
        RETURNING true;
    END;

-- Uses the setup token up; says whether it was the right one. The row lock makes two callers take turns.
CREATE FUNCTION claim_setup_token(token_hash bytea) RETURNS boolean
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        UPDATE installation SET setup_token_hash = NULL
        WHERE setup_token_hash = token_hash AND NOT EXISTS (SELECT FROM organizations)
        RETURNING true;
    END;

-- The id of the person with that address; made with the given id if there is none.
CREATE FUNCTION find_or_add_user(new_id uuid, new_email text, at timestamptz) RETURNS uuid
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        INSERT INTO users (id, email, created_at) VALUES (new_id, new_email, at)
        ON CONFLICT (email) DO UPDATE SET email = excluded.email
        RETURNING id;
    END;

REVOKE ALL ON FUNCTION find_api_key, put_setup_token, claim_setup_token, find_or_add_user FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_api_key, put_setup_token, claim_setup_token, find_or_add_user TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON organizations, members, api_keys TO plinth_app;
GRANT SELECT ON users TO plinth_app;
