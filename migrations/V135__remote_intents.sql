-- What is about to be done at remotes and is not noted here yet: whoever begins it may die before the answer is kept.

CREATE TABLE cp_remote_intents (
    id           uuid PRIMARY KEY,
    org_id       uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    remote_id    uuid NOT NULL,
    -- The project that is deleted or brought back; NULL for one that is made, which is found by the intent's id in its name.
    project_id   text CHECK (project_id ~ '^[a-z0-9-]{1,60}$'),
    -- What a project that is made is to be called; NULL for the id that it gets.
    name         text,
    made_by      uuid NOT NULL,
    begun_at     timestamptz NOT NULL,
    -- Until when whoever began it, or looks after it, is left alone.
    lease_until  timestamptz NOT NULL,
    CHECK (project_id IS NULL OR name IS NULL),
    -- Without the remote nobody can look.
    FOREIGN KEY (org_id, remote_id) REFERENCES cp_remotes (org_id, id) ON DELETE CASCADE
);
CREATE INDEX cp_remote_intents_due ON cp_remote_intents (lease_until);
CREATE INDEX cp_remote_intents_of ON cp_remote_intents (org_id, remote_id);

ALTER TABLE cp_remote_intents ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY cp_remote_intents_own ON cp_remote_intents TO plinth_app USING (org_id = current_org());
CREATE POLICY cp_remote_intents_lookup ON cp_remote_intents TO CURRENT_USER USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON cp_remote_intents TO plinth_app;

-- Takes intents of all organizations that nobody looks after, those first that have waited longest; of one remote three at
-- most, so that one that answers nobody does not take the others' turns.
CREATE FUNCTION take_remote_intents(most integer, lease interval)
    RETURNS TABLE (taken_org uuid, taken_intent uuid)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        WITH locked AS (
            SELECT id FROM cp_remote_intents WHERE lease_until <= db_now() AND id IN (
                SELECT ranked.id FROM (
                    SELECT due.id, row_number() OVER (PARTITION BY due.remote_id ORDER BY due.lease_until, due.id) AS place
                    FROM cp_remote_intents due WHERE due.lease_until <= db_now()) ranked
                WHERE ranked.place <= 3)
            ORDER BY lease_until, id LIMIT most
            FOR UPDATE SKIP LOCKED
        )
        UPDATE cp_remote_intents SET lease_until = db_now() + lease
        FROM locked WHERE cp_remote_intents.id = locked.id
        RETURNING cp_remote_intents.org_id, cp_remote_intents.id;
    END;

REVOKE ALL ON FUNCTION take_remote_intents FROM PUBLIC;
GRANT EXECUTE ON FUNCTION take_remote_intents TO plinth_app;
