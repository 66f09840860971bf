-- The audit trail, the outbox, and the key of the installation.

-- The database's clock decides about leases; only tests set it.
CREATE FUNCTION db_now() RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(nullif(current_setting('plinth.test_now', true), '')::timestamptz, now());

-- One row for each act, chained: a row's hash covers the row before it.
CREATE TABLE audit_entries (
    org_id           uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    -- From 1, without gaps.
    number           bigint NOT NULL CHECK (number > 0),
    id               uuid NOT NULL,
    at               timestamptz NOT NULL,
    user_id          uuid,
    credential_kind  text NOT NULL,
    credential_id    text,
    action           text NOT NULL,
    target_kind      text,
    target_id        text,
    outcome          text NOT NULL CHECK (outcome IN ('succeeded', 'denied', 'failed')),
    address          inet,
    request_id       text NOT NULL,
    -- json and not jsonb: the text is hashed, and has to stay as it was.
    details          json NOT NULL,
    hash             bytea NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (org_id, number)
);
CREATE INDEX audit_entries_newest ON audit_entries (org_id, at DESC, id DESC);
CREATE INDEX audit_entries_target ON audit_entries (org_id, target_kind, target_id);
ALTER TABLE audit_entries ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_entries_own ON audit_entries TO plinth_app USING (org_id = current_org());

-- Where each trail ends, signed: a trail that was cut does not end where its head says.
CREATE TABLE audit_heads (
    org_id     uuid PRIMARY KEY REFERENCES organizations ON DELETE CASCADE,
    number     bigint NOT NULL,
    hash       bytea NOT NULL,
    signature  bytea NOT NULL
);
ALTER TABLE audit_heads ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_heads_own ON audit_heads TO plinth_app USING (org_id = current_org());

-- What changes leave to be done.
CREATE TABLE outbox (
    id          uuid PRIMARY KEY,
    org_id      uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    topic       text NOT NULL,
    payload     jsonb NOT NULL,
    created_at  timestamptz NOT NULL,
    -- Not before then: now, after a pause, or when a worker's lease ends. NULL when it was done or given up.
    due_at      timestamptz,
    attempts    integer NOT NULL DEFAULT 0,
    last_error  text,
    done_at     timestamptz
);
CREATE INDEX outbox_due ON outbox (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX outbox_done ON outbox (org_id, done_at);
ALTER TABLE outbox ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY outbox_own ON outbox TO plinth_app USING (org_id = current_org());
CREATE POLICY outbox_lookup ON outbox TO CURRENT_USER USING (true);

-- Takes messages of all organizations that are due, each for the length of a lease.
CREATE FUNCTION take_outbox(most integer, lease interval) RETURNS TABLE (org_id uuid, message_id uuid)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        WITH due AS (
            SELECT outbox.id FROM outbox WHERE outbox.due_at <= db_now()
            ORDER BY outbox.due_at, outbox.id LIMIT most FOR UPDATE SKIP LOCKED
        )
        UPDATE outbox SET due_at = db_now() + lease, attempts = attempts + 1
        FROM due WHERE outbox.id = due.id
        RETURNING outbox.org_id, outbox.id;
    END;

-- Every organization, for jobs that go through all of them.
CREATE FUNCTION list_organizations() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        SELECT organizations.id FROM organizations ORDER BY organizations.id;
    END;

-- From this key everything derives that belongs to the whole installation. Wrapped by the master key.
ALTER TABLE installation
    ADD COLUMN key_version integer,
    ADD COLUMN key_wrapped bytea,
    ADD CHECK ((key_version IS NULL) = (key_wrapped IS NULL));

-- Keeps the first key that is given; tells the one that is kept.
CREATE FUNCTION keep_installation_key(version integer, wrapped bytea) RETURNS TABLE (kept_version integer, kept_wrapped bytea)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        UPDATE installation
        SET key_version = coalesce(key_version, version), key_wrapped = coalesce(key_wrapped, wrapped)
        RETURNING key_version, key_wrapped;
    END;

REVOKE ALL ON FUNCTION take_outbox, list_organizations, keep_installation_key FROM PUBLIC;
GRANT EXECUTE ON FUNCTION take_outbox, list_organizations, keep_installation_key TO plinth_app;
-- The trail is added to and read, never changed.
GRANT SELECT, INSERT ON audit_entries TO plinth_app;
GRANT SELECT, INSERT, UPDATE ON audit_heads TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox TO plinth_app;
