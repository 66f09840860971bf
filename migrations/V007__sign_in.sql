-- How people sign in: their passwords and sessions, the keys that sign their tokens, and counts of their attempts.
--
-- What is a person's own belongs to no organization. Its tables have FORCE ROW LEVEL SECURITY all the same: a
-- transaction in a person's name says so in `plinth.user_id`, and sees that person's rows and no others.

CREATE FUNCTION current_person() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('plinth.user_id', true), '')::uuid;

CREATE POLICY users_self ON users FOR SELECT TO plinth_app USING (id = current_person());
CREATE POLICY members_self ON members FOR SELECT TO plinth_app USING (user_id = current_person());
CREATE POLICY organizations_of_person ON organizations FOR SELECT TO plinth_app
    USING (EXISTS (SELECT FROM members WHERE members.org_id = organizations.id AND members.user_id = current_person()));

-- One row for each person.
CREATE TABLE accounts (
    user_id              uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    -- In the PHC format; NULL until a password is chosen.
    password_hash        text CHECK (password_hash LIKE '$argon2id$%'),
    password_changed_at  timestamptz,
    -- Sessions of another epoch have ended.
    epoch                integer NOT NULL DEFAULT 0,
    -- Where the person was last.
    home_org_id          uuid REFERENCES organizations ON DELETE SET NULL,
    -- Only the link of this number sets a password, until then.
    reset_number         integer NOT NULL DEFAULT 0,
    reset_expires_at     timestamptz
);
CREATE INDEX accounts_home ON accounts (home_org_id);
ALTER TABLE accounts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY accounts_own ON accounts TO plinth_app USING (user_id = current_person());
CREATE POLICY accounts_making ON accounts TO CURRENT_USER USING (true);

INSERT INTO accounts (user_id) SELECT id FROM users;

CREATE FUNCTION add_account() RETURNS trigger
    LANGUAGE plpgsql SET search_path = plinth, pg_temp
    AS $$
    BEGIN
        INSERT INTO accounts (user_id) VALUES (NEW.id);
        RETURN NULL;
    END
    $$;
CREATE TRIGGER users_have_accounts AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION add_account();

-- Sign-ins, and what people granted to apps. Tokens are derived from the id and the generation, and kept nowhere.
CREATE TABLE sessions (
    id            uuid PRIMARY KEY,
    user_id       uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    epoch         integer NOT NULL,
    -- The app that acts for the person, with these scopes; NULL for the person themselves.
    app_id        uuid,
    scopes        text[],
    org_id        uuid REFERENCES organizations ON DELETE SET NULL,
    generation    integer NOT NULL DEFAULT 0,
    refreshed_at  timestamptz NOT NULL,
    device        text NOT NULL,
    address       inet,
    created_at    timestamptz NOT NULL,
    last_used_at  timestamptz NOT NULL,
    ended_at      timestamptz,
    CHECK ((app_id IS NULL) = (scopes IS NULL))
);
CREATE INDEX sessions_newest ON sessions (user_id, created_at DESC, id DESC);
CREATE INDEX sessions_app ON sessions (app_id) WHERE app_id IS NOT NULL;
CREATE INDEX sessions_org ON sessions (org_id);
ALTER TABLE sessions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY sessions_own ON sessions TO plinth_app USING (user_id = current_person());

-- The installation's own: sealed, so that they may be seen.
CREATE TABLE signing_keys (
    id          text PRIMARY KEY,
    sealed      bytea NOT NULL,
    -- Until the next one's.
    signs_from  timestamptz NOT NULL
);
ALTER TABLE signing_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY signing_keys_all ON signing_keys TO plinth_app USING (true);

-- Counts of attempts, by a keyed hash of who tries.
CREATE TABLE attempts (
    subject     bytea PRIMARY KEY CHECK (length(subject) = 32),
    count       integer NOT NULL,
    started_at  timestamptz NOT NULL
);
CREATE INDEX attempts_started ON attempts (started_at);
ALTER TABLE attempts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY attempts_all ON attempts TO plinth_app USING (true);

-- The person who has that address.
CREATE FUNCTION find_user(address text) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        SELECT users.id FROM users WHERE users.email = address;
    END;

REVOKE ALL ON FUNCTION find_user FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_user TO plinth_app;
GRANT SELECT, UPDATE ON accounts TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO plinth_app;
GRANT SELECT, INSERT, DELETE ON signing_keys TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON attempts TO plinth_app;
