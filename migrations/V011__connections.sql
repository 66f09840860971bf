-- Connections in full: what people say of them, certificates, tunnels, health; and master keys that can be rotated.

ALTER TABLE connections
    ADD COLUMN description      text,
    -- NULL: the authorities of Plinth's machine.
    ADD COLUMN tls_roots        text,
    ADD COLUMN tls_certificate  text,
    ADD COLUMN channel_binding  text NOT NULL DEFAULT 'prefer'
                                CHECK (channel_binding IN ('disable', 'prefer', 'require')),
    ADD COLUMN client_key_version  integer,
    ADD COLUMN client_key_sealed   bytea,
    ADD COLUMN tunnel_host      text,
    ADD COLUMN tunnel_port      integer CHECK (tunnel_port BETWEEN 1 AND 65535),
    ADD COLUMN tunnel_username  text,
    ADD COLUMN tunnel_host_key  text,
    ADD COLUMN tunnel_version   integer,
    ADD COLUMN tunnel_sealed    bytea,
    ADD COLUMN is_primary       boolean NOT NULL DEFAULT false,
    -- NULL: it may be used.
    ADD COLUMN inactive_reason  text CHECK (inactive_reason IN ('switched_off', 'unhealthy')),
    ADD COLUMN sampling         boolean NOT NULL DEFAULT true,
    -- Counts every change of the record; `version` counts those that dialling depends on.
    ADD COLUMN revision         bigint NOT NULL DEFAULT 1,
    ADD CHECK ((client_key_version IS NULL) = (client_key_sealed IS NULL)),
    ADD CHECK ((tunnel_version IS NULL) = (tunnel_sealed IS NULL)),
    ADD CHECK ((tunnel_host IS NULL) = (tunnel_port IS NULL) AND (tunnel_host IS NULL) = (tunnel_username IS NULL)
               AND (tunnel_host IS NULL) = (tunnel_host_key IS NULL));
CREATE UNIQUE INDEX connections_one_primary ON connections (org_id) WHERE is_primary AND deleted_at IS NULL;
CREATE INDEX connections_newest_of_all ON connections (org_id, created_at DESC, id DESC);

-- What background checks found. Apart from the record, because it is written every few minutes.
CREATE TABLE connection_checks (
    org_id         uuid NOT NULL,
    connection_id  uuid NOT NULL,
    status         text NOT NULL DEFAULT 'unknown' CHECK (status IN ('unknown', 'healthy', 'unhealthy')),
    checked_at     timestamptz,
    failures       integer NOT NULL DEFAULT 0,
    failing_since  timestamptz,
    diagnosis      jsonb,
    -- NULL: never.
    due_at         timestamptz,
    PRIMARY KEY (org_id, connection_id),
    FOREIGN KEY (org_id, connection_id) REFERENCES connections (org_id, id) ON DELETE CASCADE
);
CREATE INDEX connection_checks_due ON connection_checks (due_at) WHERE due_at IS NOT NULL;
-- Row-level security binds the owner too, who has seen no connection so far.
ALTER TABLE connections NO FORCE ROW LEVEL SECURITY;
INSERT INTO connection_checks (org_id, connection_id, due_at)
    SELECT org_id, id, now() FROM connections
    WHERE deleted_at IS NULL AND (managed_server IS NULL OR managed_server = 'embedded');
INSERT INTO connection_checks (org_id, connection_id)
    SELECT org_id, id FROM connections ON CONFLICT DO NOTHING;
ALTER TABLE connections FORCE ROW LEVEL SECURITY;
ALTER TABLE connection_checks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY connection_checks_own ON connection_checks TO plinth_app USING (org_id = current_org());
CREATE POLICY connection_checks_lookup ON connection_checks TO CURRENT_USER USING (true);

-- Takes connections of all organizations that are due to be checked, each for the length of a lease.
CREATE FUNCTION take_connection_checks(most integer, lease interval) RETURNS TABLE (org_id uuid, connection_id uuid)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        WITH due AS (
            SELECT it.org_id, it.connection_id FROM connection_checks it WHERE it.due_at <= db_now()
            ORDER BY it.due_at, it.connection_id LIMIT most FOR UPDATE SKIP LOCKED
        )
        UPDATE connection_checks SET due_at = db_now() + lease
        FROM due
        WHERE connection_checks.org_id = due.org_id AND connection_checks.connection_id = due.connection_id
        RETURNING connection_checks.org_id, connection_checks.connection_id;
    END;

-- From here on `master_version` names a master key by its fingerprint; 1 stands for the key from before there were names.
CREATE INDEX data_keys_master ON data_keys (master_version, org_id);
CREATE POLICY data_keys_lookup ON data_keys TO CURRENT_USER USING (true);

-- Whose data keys another master key wraps.
CREATE FUNCTION list_data_keys_of_others(current_key integer, after_org uuid, most integer) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        SELECT data_keys.org_id FROM data_keys
        WHERE data_keys.master_version <> current_key AND (after_org IS NULL OR data_keys.org_id > after_org)
        ORDER BY data_keys.org_id LIMIT most;
    END;

-- How many data keys each master key wraps.
CREATE FUNCTION count_data_keys() RETURNS TABLE (master_version integer, data_keys bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        SELECT it.master_version, count(*) FROM data_keys it GROUP BY it.master_version ORDER BY it.master_version;
    END;

-- The installation's wrapped key.
CREATE FUNCTION find_installation_key() RETURNS TABLE (kept_version integer, kept_wrapped bytea)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        SELECT installation.key_version, installation.key_wrapped FROM installation
        WHERE installation.key_version IS NOT NULL;
    END;

-- Ends a rotation: the installation's key wrapped anew, and the master key that servers must show from now on. Says
-- whether it did: not while another master key wraps a data key.
CREATE FUNCTION rewrap_installation_key(wrapped_by integer, version integer, wrapped bytea, key_check bytea) RETURNS boolean
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        UPDATE installation SET key_version = version, key_wrapped = wrapped, master_key_check = key_check
        WHERE key_version = wrapped_by
          AND NOT EXISTS (SELECT FROM data_keys WHERE data_keys.master_version <> version)
        RETURNING true;
    END;

-- Remembers the first of the keys that are shown, if there was none; says whether the one that counts is among them.
CREATE FUNCTION check_master_keys(key_checks bytea[]) RETURNS boolean
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        UPDATE installation SET master_key_check = coalesce(master_key_check, key_checks[1])
        RETURNING master_key_check = ANY (key_checks);
    END;
DROP FUNCTION check_master_key(bytea);

REVOKE ALL ON FUNCTION take_connection_checks, list_data_keys_of_others, count_data_keys, find_installation_key,
    rewrap_installation_key, check_master_keys FROM PUBLIC;
GRANT EXECUTE ON FUNCTION take_connection_checks, list_data_keys_of_others, count_data_keys, find_installation_key,
    rewrap_installation_key, check_master_keys TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON connection_checks TO plinth_app;
GRANT UPDATE ON data_keys TO plinth_app;
